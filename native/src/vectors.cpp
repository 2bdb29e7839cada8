#include "ann_bench/vectors.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <type_traits>

namespace ann_bench {
namespace {

/// Looks at exponents as integers, which the compiler may do four at a time.
bool all_finite(const float* vector, std::size_t dimension) {
    std::uint32_t bad = 0;
    for (std::size_t i = 0; i < dimension; ++i) {
        bad |= static_cast<std::uint32_t>((std::bit_cast<std::uint32_t>(vector[i]) & 0x7f80'0000u) ==
                                          0x7f80'0000u);
    }
    return bad == 0;
}

}  // namespace

void check_vectors(const Vectors& vectors, std::size_t count, std::uint32_t dimension, Distance distance) {
    const bool bits = std::holds_alternative<std::span<const Bit>>(vectors);
    if (bits != takes_bits(distance)) {
        throw std::invalid_argument("vectors: hamming and jaccard take bits, other distances numbers");
    }
    if (std::visit([](auto span) { return span.size(); }, vectors) != count * dimension) {
        throw std::invalid_argument("vectors: their number does not fit the shape told");
    }
}

bool read_floats(const Vectors& vectors, std::size_t which, std::uint32_t dimension, float* to) {
    return std::visit(
        [&]<class T>(std::span<const T> values) {
            const T* from = values.data() + which * dimension;
            if constexpr (std::is_same_v<T, float>) {
                std::memcpy(to, from, dimension * sizeof(float));
            } else if constexpr (std::is_same_v<T, Half>) {
                std::transform(from, from + dimension, to, to_float);
            } else if constexpr (std::is_same_v<T, Bit>) {
                std::transform(from, from + dimension, to,
                               [](Bit bit) { return bit.byte != 0 ? 1.0f : 0.0f; });
            } else {
                std::copy(from, from + dimension, to);
            }
            return all_finite(to, dimension);
        },
        vectors);
}

void read_bits(const Vectors& vectors, std::size_t which, std::uint32_t dimension, std::uint64_t* to) {
    const Bit* from = std::get<std::span<const Bit>>(vectors).data() + which * dimension;
    for (std::uint32_t first = 0; first < dimension; first += 64) {
        const std::uint32_t bits = std::min<std::uint32_t>(64, dimension - first);
        std::uint64_t word = 0;
        for (std::uint32_t i = 0; i < bits; ++i) word |= std::uint64_t{from[first + i].byte != 0} << i;
        to[first / 64] = word;
    }
}

double squared_norm(const float* vector, std::size_t dimension) {
    const auto square = [vector](std::size_t i) { return static_cast<double>(vector[i]) * vector[i]; };
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    std::size_t i = 0;
    for (; i + 4 <= dimension; i += 4) {
        s0 += square(i);
        s1 += square(i + 1);
        s2 += square(i + 2);
        s3 += square(i + 3);
    }
    for (; i < dimension; ++i) s0 += square(i);
    return (s0 + s1) + (s2 + s3);
}

}  // namespace ann_bench
