// The forest through its public members: exactness, order, padding, errors.

#include <algorithm>
#include <cmath>
#include <limits>
#include <thread>

#include <doctest/doctest.h>

#include "support.hpp"

using namespace ann_bench;
using namespace ann_bench::testing;

namespace {

constexpr std::size_t rows = 400;
constexpr std::uint32_t dimension = 20;

double oracle(Distance distance, const float* a, const float* b) {
    double dot = 0, squared = 0, absolute = 0, norm_a = 0, norm_b = 0;
    for (std::uint32_t i = 0; i < dimension; ++i) {
        dot += double{a[i]} * b[i];
        squared += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
        absolute += std::abs(double{a[i]} - b[i]);
        norm_a += double{a[i]} * a[i];
        norm_b += double{b[i]} * b[i];
    }
    switch (distance) {
        case Distance::euclidean:
            return std::sqrt(squared);
        case Distance::angular:
            return 1 - dot / std::sqrt(norm_a * norm_b);
        case Distance::dot:
            return -dot;
        default:
            return absolute;
    }
}

}  // namespace

TEST_CASE("a search that may look at everything returns the exact neighbours in order") {
    const auto values = random_floats(rows * dimension, 1), queries = random_floats(10 * dimension, 2);
    for (const Distance distance :
         {Distance::euclidean, Distance::angular, Distance::dot, Distance::manhattan}) {
        const Forest forest = small_forest(distance, rows, dimension);
        std::vector<std::int32_t> ids(10 * rows);
        std::vector<float> distances(10 * rows);
        forest.query(view(queries), 10, rows, 5 * rows, 2, ids.data(), distances.data());
        CHECK(forest.distance_computations() == 10 * rows);
        for (std::size_t q = 0; q < 10; ++q) {
            for (std::size_t i = 0; i < rows; ++i) {
                const std::size_t at = q * rows + i;
                const double exact = oracle(distance, &queries[q * dimension],
                                            &values[static_cast<std::size_t>(ids[at]) * dimension]);
                CHECK(distances[at] == doctest::Approx(exact).epsilon(1e-5));
                if (i > 0) CHECK(distances[at - 1] <= distances[at]);
            }
        }
    }
}

TEST_CASE("hamming distances are exact shares, ties by id") {
    const auto bits = random_bits(rows * dimension, 1), query = random_bits(dimension, 2);
    const Forest forest = small_forest(Distance::hamming, rows, dimension);
    std::vector<std::int32_t> ids(rows);
    std::vector<float> distances(rows);
    forest.query(view(query), 1, rows, 5 * rows, 1, ids.data(), distances.data());
    for (std::size_t i = 0; i < rows; ++i) {
        float differing = 0;
        for (std::uint32_t d = 0; d < dimension; ++d) {
            differing += bits[static_cast<std::size_t>(ids[i]) * dimension + d] != query[d];
        }
        CHECK(distances[i] == differing / static_cast<float>(dimension));
        if (i > 0 && distances[i - 1] == distances[i]) CHECK(ids[i - 1] < ids[i]);
    }
}

TEST_CASE("fewer rows than k are padded, and the smallest search still finds k rows") {
    for (const Distance distance : all_distances) {
        for (const std::size_t n : {1u, 2u, 9u, 30u}) {
            const Forest forest = small_forest(distance, n, dimension);
            std::vector<std::int32_t> ids(12);
            std::vector<float> distances(12);
            const auto floats = random_floats(dimension, 3);
            const auto bits = random_bits(dimension, 3);
            forest.query(distance == Distance::hamming ? view(bits) : view(floats), 1, 12, 1, 1, ids.data(),
                         distances.data());
            for (std::size_t i = 0; i < 12; ++i) {
                CHECK((ids[i] >= 0) == (i < n));
                CHECK(std::isinf(distances[i]) == (i >= n));
            }
        }
    }
}

TEST_CASE(
    "a search goes the way the build went: the first leaf of a single tree holds the row that is asked for") {
    const auto values = random_floats(2000 * dimension, 1);
    for (const Distance distance : {Distance::euclidean, Distance::angular, Distance::manhattan}) {
        const Forest forest = small_forest(distance, 2000, dimension, 1, 1);
        std::vector<std::int32_t> ids(2000);
        std::vector<float> distances(2000);
        forest.query(view(values), 2000, 1, 1, 1, ids.data(), distances.data());
        for (std::size_t i = 0; i < 2000; ++i) CHECK(ids[i] == static_cast<std::int32_t>(i));
    }
}

TEST_CASE("several threads may query one forest, and each gets what one alone would") {
    const Forest forest = small_forest(Distance::euclidean, 2000, dimension);
    const auto queries = random_floats(100 * dimension, 2);
    std::vector<std::int32_t> expected(1000);
    std::vector<float> distances(1000);
    forest.query(view(queries), 100, 10, 50, 1, expected.data(), distances.data());
    std::vector<std::vector<std::int32_t>> answers(4, std::vector<std::int32_t>(1000));
    {
        std::vector<std::jthread> threads;
        for (auto& ids : answers) {
            threads.emplace_back([&forest, &queries, &ids] {
                std::vector<float> scores(1000);
                forest.query(view(queries), 100, 10, 50, 2, ids.data(), scores.data());
            });
        }
    }
    for (const auto& ids : answers) CHECK(ids == expected);
}

TEST_CASE("what cannot be indexed is refused") {
    const auto values = random_floats(40, 1);
    const auto bits = random_bits(40, 1);
    BuildOptions options;
    CHECK_THROWS_AS(Forest::build(view(values), 0, 4, options), std::invalid_argument);
    CHECK_THROWS_AS(Forest::build(view(values), 10, 0, options), std::invalid_argument);
    CHECK_THROWS_AS(Forest::build(view(values), 11, 4, options), std::invalid_argument);
    CHECK_THROWS_AS(Forest::build(view(bits), 10, 4, options), std::invalid_argument);
    auto broken = values;
    broken[17] = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_WITH(Forest::build(view(broken), 10, 4, options),
                      "train: row 4 holds NaN or infinity; every value must be finite as float32");
    options.trees = 0;
    CHECK_THROWS_AS(Forest::build(view(values), 10, 4, options), std::invalid_argument);
}

TEST_CASE("after a query that threw, the next one is right") {
    const Forest forest = small_forest(Distance::euclidean);
    auto query = random_floats(dimension, 2);
    std::int32_t before = 0, after = 0;
    float distance = 0;
    forest.query(view(query), 1, 1, 100, 1, &before, &distance);
    auto broken = query;
    broken[3] = std::numeric_limits<float>::infinity();
    CHECK_THROWS_AS(forest.query(view(broken), 1, 1, 100, 1, &after, &distance), std::invalid_argument);
    forest.query(view(query), 1, 1, 100, 1, &after, &distance);
    CHECK(before == after);
}
