#pragma once
// Which estimates are small enough to go on with.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "ann_bench/kernels.hpp"

namespace ann_bench {

/// Counts values, and knows a bound that about `wanted` of them are below.
class Threshold {
  public:
    Threshold() : counts_(buckets) {}

    void start(std::size_t wanted);
    /// Counts a value, or does not if `times` is 0.
    void add(float value, std::uint32_t times) {
        const std::uint32_t bucket = bucket_of(value);
        counts_[bucket] += times;
        below_ += bucket <= last_ ? times : 0;
    }
    /// Lowers the bound to where `wanted` values are below it still.
    void tighten();
    /// Forgets a value; all of them must be forgotten before the next start.
    void forget(float value) { counts_[bucket_of(value)] = 0; }

    /// Infinite until there are enough values; never rises.
    float limit() const { return limit_; }

  private:
    static constexpr std::uint32_t buckets = 4096;
    static constexpr std::uint32_t one = std::bit_cast<std::uint32_t>(1.0f) >> 16;

    /// A value's exponent and 7 bits of its mantissa, from 1 on.
    static std::uint32_t bucket_of(float value) {
        const float positive = value > 1.0f ? value : 1.0f;
        return std::min((std::bit_cast<std::uint32_t>(positive) >> 16) - one, buckets - 1);
    }

    std::vector<std::uint32_t> counts_;
    std::size_t wanted_ = 0;
    std::size_t below_ = 0;  ///< values in the buckets up to `last_`
    std::uint32_t last_ = 0;
    float limit_ = 0;
};

/// The smallest limit that `count` of the values, which are as many at least, are below; or one that fewer
/// are below, where it would be more than `most_above` above the least value.
inline std::int64_t limit_of(std::span<const std::int32_t> values, std::size_t count,
                             std::int64_t most_above = std::numeric_limits<std::int32_t>::max()) {
    std::int32_t least = values.front(), most = least;
    for (const std::int32_t value : values) {
        least = std::min(least, value);
        most = std::max(most, value);
    }
    std::int64_t low = least, high = std::min(std::int64_t{most}, least + most_above) + 1;
    while (low < high) {
        const std::int64_t middle = low + (high - low) / 2;
        const auto limit = static_cast<std::int32_t>(std::min<std::int64_t>(middle, 0x7fff'ffff));
        if (kernels().count_below(values.data(), values.size(), limit) >= count) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return high;
}

inline void Threshold::start(std::size_t wanted) {
    wanted_ = wanted;
    below_ = 0;
    last_ = buckets - 1;
    limit_ = std::numeric_limits<float>::infinity();
}

inline void Threshold::tighten() {
    while (below_ - counts_[last_] >= wanted_ && last_ > 0) {
        below_ -= counts_[last_--];
        limit_ = std::bit_cast<float>((last_ + 1 + one) << 16);
    }
}

}  // namespace ann_bench
