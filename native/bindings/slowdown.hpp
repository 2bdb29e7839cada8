#pragma once
// What a comparison has to find: a build that is slower on purpose.

#ifdef ANN_BENCH_SLOWDOWN_PERCENT
#include <chrono>
#endif

namespace ann_bench {

#ifdef ANN_BENCH_SLOWDOWN_PERCENT
/// Makes what it stands in last longer by a known share, reading the clock included: what a comparison has to
/// find.
class Slowdown {
  public:
    Slowdown() = default;
    Slowdown(const Slowdown&) = delete;
    Slowdown& operator=(const Slowdown&) = delete;
    ~Slowdown() {
        const auto now = Clock::now();
        const auto until = now + (now - began_) * (ANN_BENCH_SLOWDOWN_PERCENT) / 100 - reads();
        while (Clock::now() < until) {
        }
    }

  private:
    using Clock = std::chrono::steady_clock;

    /// What it takes itself: three reads of the clock, and half of one that comes too late.
    static Clock::duration reads() {
        static const Clock::duration taken = [] {
            constexpr int count = 1000;
            const auto began = Clock::now();
            for (int i = 1; i < count; ++i) (void)Clock::now();
            return (Clock::now() - began) * 7 / (2 * count);
        }();
        return taken;
    }

    Clock::time_point began_ = Clock::now();
};
#else
class Slowdown {};
#endif

}  // namespace ann_bench
