#pragma once
// Randomness without state that threads could share: every number is a function of a key and a counter.

#include <cstdint>

namespace ann_bench {

/// SplitMix64's finaliser (Steele, Lea & Flood 2014): a bijection of 64 bits in which every input bit counts.
constexpr std::uint64_t mix(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

inline constexpr std::uint64_t golden = 0x9e3779b97f4a7c15u;

/// Key of the `which`-th thing below the thing that `parent` is the key of: tree below seed, child below
/// node, attempt below node. A key depends on the path to it and on nothing else, so the order of work is
/// free.
constexpr std::uint64_t derive_key(std::uint64_t parent, std::uint64_t which) {
    return mix(parent ^ mix(which + golden));
}

/// The stream of numbers that belongs to one key.
class Random {
  public:
    explicit constexpr Random(std::uint64_t key) : key_(key) {}

    constexpr std::uint64_t next() { return mix(key_ + golden * ++counter_); }

    /// A number in 0..bound-1. Multiplication instead of a remainder: biased by less than bound / 2^32.
    constexpr std::uint32_t below(std::uint32_t bound) {
        return static_cast<std::uint32_t>(((next() >> 32) * bound) >> 32);
    }

    constexpr bool coin() { return (next() >> 63) != 0; }

  private:
    std::uint64_t key_;
    std::uint64_t counter_ = 0;
};

}  // namespace ann_bench
