// Kernels against scalar oracles in double precision, and the layout of rows.

#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "ann_bench/distance.hpp"
#include "ann_bench/rows.hpp"
#include "support.hpp"

using namespace ann_bench;
using namespace ann_bench::testing;

TEST_CASE("float kernels agree with a scalar oracle for every width and alignment") {
    for (std::size_t width = 0; width <= 132; width += float_lanes) {
        for (std::size_t shift = 0; shift < float_lanes; ++shift) {
            const auto a = random_floats(width + shift, 1 + width),
                       b = random_floats(width + shift, 1000 + width);
            double dot = 0, squared = 0, absolute = 0, magnitude = 0;
            for (std::size_t i = shift; i < width + shift; ++i) {
                const double x = a[i], y = b[i];
                dot += x * y;
                magnitude += std::abs(x * y);
                squared += (x - y) * (x - y);
                absolute += std::abs(x - y);
            }
            // Each of `width` products and additions rounds once, relative to what has been added up so far.
            const double tolerance = static_cast<double>(width + 2) * std::numeric_limits<float>::epsilon();
            CAPTURE(width);
            CAPTURE(shift);
            CHECK(std::abs(kernels::dot(a.data() + shift, b.data() + shift, width) - dot) <=
                  tolerance * magnitude);
            CHECK(std::abs(kernels::squared_l2(a.data() + shift, b.data() + shift, width) - squared) <=
                  tolerance * squared);
            CHECK(std::abs(kernels::l1(a.data() + shift, b.data() + shift, width) - absolute) <=
                  tolerance * absolute);
        }
    }
}

TEST_CASE("the bit kernel counts what differs for every number of words") {
    for (std::uint32_t dimension = 1; dimension <= 300; dimension += 7) {
        const auto a = random_bits(dimension, dimension), b = random_bits(dimension, 1000 + dimension);
        const Layout layout = layout_of(Distance::hamming, dimension);
        std::vector<std::uint64_t> x(layout.width), y(layout.width);
        prepare_row(Distance::hamming, a.data(), dimension, x.data());
        prepare_row(Distance::hamming, b.data(), dimension, y.data());
        std::uint32_t expected = 0;
        for (std::uint32_t i = 0; i < dimension; ++i) expected += a[i] != b[i];
        CHECK(kernels::differing_bits(x.data(), y.data(), layout.width) == expected);
    }
    CHECK(kernels::count_bits(~std::uint64_t{0}) == 64);
    CHECK(kernels::count_bits(0) == 0);
}

TEST_CASE("the angular rank is 0 for equal directions, exact for near ones, and 1 for a zero row") {
    const std::uint32_t dimension = 40;
    auto near = random_floats(dimension, 3);
    const auto base = near;
    near[0] += 1e-3f;
    std::vector<float> a(dimension), b(dimension), zero(dimension);
    REQUIRE(prepare_row(Distance::angular, base.data(), dimension, a.data()));
    REQUIRE(prepare_row(Distance::angular, near.data(), dimension, b.data()));
    double dot = 0, norm_a = 0, norm_b = 0;
    for (std::uint32_t i = 0; i < dimension; ++i) {
        dot += double{base[i]} * near[i];
        norm_a += double{base[i]} * base[i];
        norm_b += double{near[i]} * near[i];
    }
    const double exact = 1 - dot / std::sqrt(norm_a * norm_b);
    CHECK(Angular::rank(a.data(), a.data(), dimension) == 0.0f);
    CHECK(Angular::rank(a.data(), b.data(), dimension) / exact == doctest::Approx(1).epsilon(1e-2));
    CHECK(Angular::rank(a.data(), zero.data(), dimension) == 1.0f);
    CHECK(Angular::rank(zero.data(), zero.data(), dimension) == 1.0f);
}

TEST_CASE("unit length survives the largest and the smallest floats") {
    for (const float size : {1e-44f, 1e-30f, 1.0f, 1e30f, 3e38f}) {
        const std::vector<float> from(8, size);
        std::vector<float> to(8);
        REQUIRE(prepare_row(Distance::angular, from.data(), 8, to.data()));
        CHECK(kernels::dot(to.data(), to.data(), 8) == doctest::Approx(1.0));
    }
}

TEST_CASE("a row that is not finite is refused wherever the value stands") {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
        for (std::size_t at = 0; at < 11; ++at) {
            auto from = random_floats(11, 5);
            from[at] = bad;
            std::vector<float> to(12);
            CHECK_FALSE(prepare_row(Distance::euclidean, from.data(), 11, to.data()));
        }
    }
}

TEST_CASE("no row or node straddles more cache lines than it must") {
    for (const Distance distance : all_distances) {
        for (std::uint32_t dimension : {1u, 3u, 16u, 17u, 64u, 100u, 128u, 784u, 65'535u}) {
            const Layout layout = layout_of(distance, dimension);
            const std::size_t element = distance == Distance::hamming ? 8 : 4;
            CHECK(layout.row_bytes >= layout.width * element);
            for (const std::size_t bytes : {layout.row_bytes, layout.node_bytes}) {
                CHECK((bytes % cache_line == 0 || cache_line % bytes == 0));
            }
        }
    }
}

TEST_CASE("dot rows all get the length of the longest, and their own inner products back") {
    const std::uint32_t dimension = 10;
    const std::size_t count = 30;
    const auto values = random_floats(count * dimension, 9);
    const Buffer rows = prepare_rows(Distance::dot, dimension, view(values), count, 2);
    const Layout layout = layout_of(Distance::dot, dimension);
    const RowsView<float> padded{rows.data(), layout.row_bytes, layout.width};
    const float length = kernels::dot(padded[0], padded[0], layout.width);
    for (std::size_t i = 0; i < count; ++i) {
        CHECK(kernels::dot(padded[i], padded[i], layout.width) == doctest::Approx(length));
        for (std::uint32_t d = 0; d < dimension; ++d) CHECK(padded[i][d] == values[i * dimension + d]);
    }
}
