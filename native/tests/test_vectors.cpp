// Vectors of every kind of value, read as floats or as bits.

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>

#include <doctest/doctest.h>

#include "support.hpp"

using namespace ann_bench;
using namespace ann_bench::testing;

namespace {

/// The number that 16 bits stand for, by the definition of the format.
float value_of(std::uint16_t bits) {
    const int exponent = bits >> 10 & 31;
    const int mantissa = bits & 1023;
    float value = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                                : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
    if (exponent == 31) {
        value =
            mantissa == 0 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
    }
    return std::copysign(value, (bits >> 15) != 0 ? -1.0f : 1.0f);
}

}  // namespace

TEST_CASE("every number of 16 bits is read as what it is, and those that are none are told") {
    for (std::uint32_t bits = 0; bits < 65'536; ++bits) {
        const std::vector<Half> one = {{static_cast<std::uint16_t>(bits)}};
        const float expected = value_of(static_cast<std::uint16_t>(bits));
        float read = 7;
        REQUIRE(read_floats(view(one), 0, 1, &read) == std::isfinite(expected));
        if (std::isnan(expected)) {
            REQUIRE(std::isnan(read));
        } else {
            REQUIRE(std::bit_cast<std::uint32_t>(read) == std::bit_cast<std::uint32_t>(expected));
        }
    }
}

TEST_CASE("a vector is read by its number, whatever its values are made of") {
    std::vector<std::int8_t> bytes(256);
    std::vector<std::uint8_t> unsigned_bytes(256);
    std::vector<float> floats(256);
    std::vector<Half> halves(256);
    std::vector<Bit> bits(256);
    for (int i = 0; i < 256; ++i) {
        const auto at = static_cast<std::size_t>(i);
        bytes[at] = static_cast<std::int8_t>(i - 128);
        unsigned_bytes[at] = static_cast<std::uint8_t>(i);
        floats[at] = static_cast<float>(i) * 0.3f;
        halves[at] = {static_cast<std::uint16_t>(i * 100)};
        bits[at] = {static_cast<std::uint8_t>(i % 3)};  // 2 is a bit that is set, too
    }
    for (const std::uint32_t dimension : {1u, 8u, 32u, 256u}) {
        std::vector<float> read(dimension);
        for (std::size_t which = 0; which < 256 / dimension; ++which) {
            const auto check = [&](const Vectors& vectors, auto expected) {
                REQUIRE(read_floats(vectors, which, dimension, read.data()));
                bool equal = true;
                for (std::size_t i = 0; i < dimension; ++i) {
                    equal = equal && read[i] == expected(which * dimension + i);
                }
                CHECK(equal);
            };
            check(view(bytes), [](std::size_t i) { return static_cast<float>(i) - 128.0f; });
            check(view(unsigned_bytes), [](std::size_t i) { return static_cast<float>(i); });
            check(view(floats), [](std::size_t i) { return static_cast<float>(i) * 0.3f; });
            check(view(halves), [](std::size_t i) { return value_of(static_cast<std::uint16_t>(i * 100)); });
            check(view(bits), [](std::size_t i) { return i % 3 != 0 ? 1.0f : 0.0f; });
        }
    }
}

TEST_CASE("bits are packed from the least significant one of a word on, with zeros at the end") {
    for (const std::uint32_t dimension : {1u, 7u, 63u, 64u, 65u, 128u, 200u}) {
        auto bits = random_bits(3 * std::size_t{dimension}, dimension);
        for (Bit& bit : bits) bit.byte = static_cast<std::uint8_t>(bit.byte * 255);
        for (std::size_t which = 0; which < 3; ++which) {
            std::vector<std::uint64_t> words((dimension + 63) / 64, ~std::uint64_t{0});
            read_bits(view(bits), which, dimension, words.data());
            for (std::uint32_t i = 0; i < words.size() * 64; ++i) {
                const bool expected = i < dimension && bits[which * dimension + i].byte != 0;
                CHECK((words[i / 64] >> i % 64 & 1) == (expected ? 1u : 0u));
            }
        }
    }
}

TEST_CASE("a value that is not finite is told wherever it stands, and the largest one is finite") {
    constexpr float most = std::numeric_limits<float>::max();
    constexpr float infinity = std::numeric_limits<float>::infinity();
    for (std::uint32_t dimension = 1; dimension <= 40; ++dimension) {
        std::vector<float> values(dimension, -most), read(dimension);
        CHECK(read_floats(view(values), 0, dimension, read.data()));
        for (std::uint32_t i = 0; i < dimension; ++i) {
            for (const float bad : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) {
                values[i] = bad;
                CHECK_FALSE(read_floats(view(values), 0, dimension, read.data()));
            }
            values[i] = std::numeric_limits<float>::denorm_min();
        }
    }
}

TEST_CASE("the sum of squares neither overflows nor vanishes") {
    for (const std::size_t dimension : {1u, 3u, 4u, 5u, 1000u}) {
        const double count = static_cast<double>(dimension);
        for (const float value : {3e38f, 1.5f, 1e-44f, 0.0f}) {
            const std::vector<float> vector(dimension, value);
            const double expected = count * double{value} * value;
            CHECK(std::abs(squared_norm(vector.data(), dimension) - expected) <= 1e-12 * expected);
        }
    }
}

TEST_CASE("bits are for hamming and jaccard alone, and as many values must come as were told") {
    const auto floats = random_floats(12, 1);
    const auto bits = random_bits(12, 1);
    for (const Distance distance : all_distances) {
        const bool takes = takes_bits(distance);
        const Vectors right = takes ? view(bits) : view(floats), wrong = takes ? view(floats) : view(bits);
        CHECK_NOTHROW(check_vectors(right, 4, 3, distance));
        CHECK_THROWS_AS(check_vectors(wrong, 4, 3, distance), std::invalid_argument);
        CHECK_THROWS_AS(check_vectors(right, 4, 4, distance), std::invalid_argument);
        CHECK_THROWS_AS(check_vectors(right, 3, 3, distance), std::invalid_argument);
    }
}
