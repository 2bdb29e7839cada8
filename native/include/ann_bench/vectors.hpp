#pragma once
// Vectors as the caller has them, and how one becomes a row of the index or a query.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>

#include "ann_bench/distance.hpp"

namespace ann_bench {

inline constexpr std::uint32_t max_dimension = 65'535;

/// An IEEE number of 16 bits.
struct Half {
    std::uint16_t bits;
};

/// Scales by a power of two in place of shifting, so that numbers too small for a leading bit come out right.
inline float to_float(Half half) {
    const std::uint32_t magnitude = half.bits & 0x7fffu;
    const auto shifted = std::bit_cast<float>(magnitude << 13);
    const std::uint32_t bits = magnitude >= 0x7c00u ? 0x7f80'0000u | magnitude << 13
                                                    : std::bit_cast<std::uint32_t>(shifted * 0x1p112f);
    return std::bit_cast<float>(bits | std::uint32_t{half.bits & 0x8000u} << 16);
}

/// A bit in a byte of its own, 0 or not.
struct Bit {
    std::uint8_t byte;
};

/// Vectors, row after row: Bit where the distance takes bits, any other where it takes numbers.
using Vectors = std::variant<std::span<const float>, std::span<const Half>, std::span<const std::int8_t>,
                             std::span<const std::uint8_t>, std::span<const Bit>>;

/// Throws std::invalid_argument unless these are `count` vectors that `distance` takes.
void check_vectors(const Vectors& vectors, std::size_t count, std::uint32_t dimension, Distance distance);

/// Writes vector number `which` to `to` as floats, whatever it is made of. Returns false if a value is not
/// finite.
bool read_floats(const Vectors& vectors, std::size_t which, std::uint32_t dimension, float* to);

/// Packs vector number `which` into bits, least significant bit of a word first, zeros at the end.
void read_bits(const Vectors& vectors, std::size_t which, std::uint32_t dimension, std::uint64_t* to);

/// The sum of squares, in double precision: no float vector overflows it or loses its length to rounding.
double squared_norm(const float* vector, std::size_t dimension);

}  // namespace ann_bench
