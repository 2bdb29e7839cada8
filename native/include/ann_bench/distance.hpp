#pragma once
// The distances: kernels over padded rows, and one policy struct per distance.

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string_view>

namespace ann_bench {

/// The numbers are part of the file format.
enum class Distance : std::uint32_t { euclidean = 0, angular = 1, dot = 2, hamming = 3, manhattan = 4 };

inline constexpr std::array<std::string_view, 5> distance_names = {"euclidean", "angular", "dot", "hamming",
                                                                   "manhattan"};

/// Floats in one vector register of every x86-64 and AArch64. Rows are padded with zeros to a multiple of it.
inline constexpr std::size_t float_lanes = 4;

namespace kernels {

using Float4 = float __attribute__((vector_size(16)));
using Int4 = std::int32_t __attribute__((vector_size(16)));

inline Float4 load(const float* from) {
    Float4 value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

/// Sum of term(i) over whole vectors of four floats, i = 0, 4, .. < width.
///
/// Four accumulators: an addition takes four cycles and two can start in each, so that one chain alone would
/// leave most of the adder idle. The order of additions is fixed by this text (the build turns contraction
/// off), so a sum has the same bits on every machine and in every build.
template <class Term>
inline float sum(std::size_t width, Term term) {
    Float4 s0{}, s1{}, s2{}, s3{};
    std::size_t i = 0;
    for (; i + 4 * float_lanes <= width; i += 4 * float_lanes) {
        s0 += term(i);
        s1 += term(i + float_lanes);
        s2 += term(i + 2 * float_lanes);
        s3 += term(i + 3 * float_lanes);
    }
    for (; i < width; i += float_lanes) s0 += term(i);
    const Float4 s = (s0 + s1) + (s2 + s3);
    return (s[0] + s[1]) + (s[2] + s[3]);
}

inline float dot(const float* a, const float* b, std::size_t width) {
    return sum(width, [=](std::size_t i) { return load(a + i) * load(b + i); });
}

inline float squared_l2(const float* a, const float* b, std::size_t width) {
    return sum(width, [=](std::size_t i) {
        const Float4 difference = load(a + i) - load(b + i);
        return difference * difference;
    });
}

inline float l1(const float* a, const float* b, std::size_t width) {
    return sum(width, [=](std::size_t i) {
        const Int4 magnitude = std::bit_cast<Int4>(load(a + i) - load(b + i)) & 0x7fffffff;
        return std::bit_cast<Float4>(magnitude);
    });
}

/// Set bits of a word by adding neighbours. The baseline instruction set has no popcount, and the compiler
/// would call a table-driven library function for std::popcount.
inline std::uint64_t count_bits(std::uint64_t word) {
    word -= (word >> 1) & 0x5555555555555555u;
    word = (word & 0x3333333333333333u) + ((word >> 2) & 0x3333333333333333u);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (word * 0x0101010101010101u) >> 56;
}

inline std::uint32_t differing_bits(const std::uint64_t* a, const std::uint64_t* b, std::size_t words) {
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < words; ++i) count += count_bits(a[i] ^ b[i]);
    return static_cast<std::uint32_t>(count);
}

}  // namespace kernels

// A policy tells how one distance is computed:
//   Element        what a stored row is made of
//   spherical      whether rows are compared by direction: split planes then go through the origin
//   rank(q, x, w)  a number that rises with the distance; `w` elements, padding included
//   value(r, d)    the distance that a rank stands for, in `d` dimensions

struct Euclidean {
    using Element = float;
    static constexpr Distance id = Distance::euclidean;
    static constexpr bool spherical = false;
    static float rank(const float* query, const float* row, std::size_t width) {
        return kernels::squared_l2(query, row, width);
    }
    static float value(float rank, std::uint32_t) { return std::sqrt(rank); }
};

/// Rows and queries are stored with unit length (zero rows stay zero, and so get 1).
struct Angular {
    using Element = float;
    static constexpr Distance id = Distance::angular;
    static constexpr bool spherical = true;
    static float rank(const float* query, const float* row, std::size_t width) {
        const float far = 1.0f - kernels::dot(query, row, width);
        // Near 0 the subtraction has lost its digits; |q - x|^2 / 2 is the same number without that loss.
        // The row is in the cache by now, and a zero row (far = 1) never comes here.
        return far < 0.05f ? 0.5f * kernels::squared_l2(query, row, width) : far;
    }
    static float value(float rank, std::uint32_t) { return rank; }
};

/// Rows carry one coordinate more than queries tell, see `lift` in rows.hpp; queries have 0 there.
struct Dot {
    using Element = float;
    static constexpr Distance id = Distance::dot;
    static constexpr bool spherical = true;
    static float rank(const float* query, const float* row, std::size_t width) {
        return -kernels::dot(query, row, width);
    }
    static float value(float rank, std::uint32_t) { return rank; }
};

struct Manhattan {
    using Element = float;
    static constexpr Distance id = Distance::manhattan;
    static constexpr bool spherical = false;
    static float rank(const float* query, const float* row, std::size_t width) {
        return kernels::l1(query, row, width);
    }
    static float value(float rank, std::uint32_t) { return rank; }
};

struct Hamming {
    using Element = std::uint64_t;
    static constexpr Distance id = Distance::hamming;
    static constexpr bool spherical = false;
    static float rank(const std::uint64_t* query, const std::uint64_t* row, std::size_t words) {
        return static_cast<float>(kernels::differing_bits(query, row, words));
    }
    static float value(float rank, std::uint32_t dimension) { return rank / static_cast<float>(dimension); }
};

/// Calls visit.operator()<Policy>() with the policy of `distance` and returns what it returns.
template <class Visitor>
decltype(auto) with_policy(Distance distance, Visitor&& visit) {
    switch (distance) {
        case Distance::euclidean:
            return visit.template operator()<Euclidean>();
        case Distance::angular:
            return visit.template operator()<Angular>();
        case Distance::dot:
            return visit.template operator()<Dot>();
        case Distance::hamming:
            return visit.template operator()<Hamming>();
        case Distance::manhattan:
            return visit.template operator()<Manhattan>();
    }
    throw std::invalid_argument("distance: unknown number");
}

}  // namespace ann_bench
