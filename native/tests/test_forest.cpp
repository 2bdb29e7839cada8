// The forest through its public members: exactness, order, effort, padding, errors.

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <thread>

#include <doctest/doctest.h>

#include "support.hpp"

using namespace ann_bench;
using namespace ann_bench::testing;

namespace {

constexpr std::size_t rows = 400;
constexpr std::uint32_t dimension = 20;
constexpr std::uint64_t everything = ~std::uint64_t{0};

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

struct Answers {
    std::vector<std::int32_t> ids;
    std::vector<float> distances;

    bool operator==(const Answers&) const = default;
};

Answers ask(const Forest& forest, const Vectors& queries, std::size_t count, std::size_t k,
            const Effort& effort, unsigned threads = 1) {
    Answers answers{std::vector<std::int32_t>(count * k), std::vector<float>(count * k)};
    forest.query(queries, count, {k, effort, threads}, answers.ids.data(), answers.distances.data());
    return answers;
}

/// How many of the ids are among the others, query by query.
double share(const Answers& answers, const Answers& wanted, std::size_t count) {
    const std::size_t k = answers.ids.size() / count;
    std::size_t found = 0;
    for (std::size_t i = 0; i < answers.ids.size(); ++i) {
        const auto first = wanted.ids.begin() + static_cast<std::ptrdiff_t>(i / k * k);
        found += std::count(first, first + static_cast<std::ptrdiff_t>(k), answers.ids[i]) > 0;
    }
    return static_cast<double>(found) / static_cast<double>(answers.ids.size());
}

struct Queries {
    std::vector<float> floats;
    std::vector<Bit> bits;
    Queries(std::size_t count, std::uint64_t seed)
        : floats(random_floats(count * dimension, seed)), bits(random_bits(count * dimension, seed)) {}
    Vectors of(Distance distance) const { return takes_bits(distance) ? view(bits) : view(floats); }
};

}  // namespace

TEST_CASE("a search that may look at everything returns the exact neighbours in order, whatever the rerank") {
    const auto values = random_floats(rows * dimension, 1), queries = random_floats(10 * dimension, 2);
    for (const Distance distance :
         {Distance::euclidean, Distance::angular, Distance::dot, Distance::manhattan}) {
        const Forest forest = small_forest(distance, rows, dimension);
        const auto all = ask(forest, view(queries), 10, rows, {5 * rows, 1}, 2);
        CHECK(forest.distance_computations() >= 10 * 5 * rows);
        CHECK(forest.distance_computations() < 10 * 5 * (rows + leaf_size));
        for (std::size_t q = 0; q < 10; ++q) {
            std::vector<bool> seen(rows);
            for (std::size_t i = 0; i < rows; ++i) {
                const std::size_t at = q * rows + i;
                const auto id = static_cast<std::size_t>(all.ids[at]);
                CHECK_FALSE(seen[id]);
                seen[id] = true;
                const double exact = oracle(distance, &queries[q * dimension], &values[id * dimension]);
                CHECK(all.distances[at] == doctest::Approx(exact).epsilon(1e-5));
                if (i > 0) CHECK(all.distances[at - 1] <= all.distances[at]);
            }
        }
        const auto first = ask(forest, view(queries), 10, 7, {5 * rows, 1});
        for (std::size_t q = 0; q < 10; ++q) {
            for (std::size_t i = 0; i < 7; ++i) CHECK(first.ids[q * 7 + i] == all.ids[q * rows + i]);
        }
    }
}

TEST_CASE("a search through as many entries as there are is exact, whatever the number of rows") {
    for (const Distance distance : {Distance::euclidean, Distance::hamming}) {
        for (const std::size_t n : {1u, 2u, 32u, 33u, 40u, 65u, 100u, 520u, 600u}) {
            const Forest forest = small_forest(distance, n, dimension);
            const Queries queries(20, 2);
            CAPTURE(n);
            CHECK(ask(forest, queries.of(distance), 20, 1, {5 * n, 1}) ==
                  ask(forest, queries.of(distance), 20, 1, {everything, 1}));
        }
    }
}

TEST_CASE("hamming distances are exact shares, ties by id") {
    const auto bits = random_bits(rows * dimension, 1), query = random_bits(dimension, 2);
    const Forest forest = small_forest(Distance::hamming, rows, dimension);
    const auto answers = ask(forest, view(query), 1, rows, {5 * rows, 1});
    for (std::size_t i = 0; i < rows; ++i) {
        float differing = 0;
        for (std::uint32_t d = 0; d < dimension; ++d) {
            differing +=
                bits[static_cast<std::size_t>(answers.ids[i]) * dimension + d].byte != query[d].byte ? 1 : 0;
        }
        CHECK(answers.distances[i] == differing / static_cast<float>(dimension));
        if (i == 0) continue;
        CHECK(answers.distances[i - 1] <= answers.distances[i]);
        if (answers.distances[i - 1] == answers.distances[i]) CHECK(answers.ids[i - 1] < answers.ids[i]);
    }
}

TEST_CASE("jaccard distances are exact, ties by id, and 1 from and to the empty set") {
    auto bits = random_bits(rows * dimension, 1), query = random_bits(dimension, 2);
    std::fill_n(bits.begin() + 7 * dimension, dimension, Bit{0});
    const std::vector<Bit> none(dimension, Bit{0});
    ForestOptions options;
    options.distance = Distance::jaccard;
    options.trees = 5;
    const Forest forest = Forest::build(view(bits), rows, dimension, options);
    for (const auto& asked : {query, none}) {
        const auto answers = ask(forest, view(asked), 1, rows, {5 * rows, 1});
        for (std::size_t i = 0; i < rows; ++i) {
            float differing = 0, any = 0;
            for (std::uint32_t d = 0; d < dimension; ++d) {
                const bool held = bits[static_cast<std::size_t>(answers.ids[i]) * dimension + d].byte != 0;
                const bool wanted = asked[d].byte != 0;
                differing += held != wanted ? 1 : 0;
                any += held || wanted ? 1 : 0;
            }
            CHECK(answers.distances[i] == (any > 0 ? differing / any : 1.0f));
            if (i == 0) continue;
            CHECK(answers.distances[i - 1] <= answers.distances[i]);
            if (answers.distances[i - 1] == answers.distances[i]) CHECK(answers.ids[i - 1] < answers.ids[i]);
        }
    }
}

TEST_CASE("rows at the same distance come in the order of their numbers, for every distance") {
    for (const Distance distance : all_distances) {
        ForestOptions options;
        options.distance = distance;
        options.trees = 3;
        const std::vector<float> floats(60 * dimension, 1.5f);
        const std::vector<Bit> bits(60 * dimension, Bit{1});
        const Vectors vectors = takes_bits(distance) ? view(bits) : view(floats);
        const Forest forest = Forest::build(vectors, 60, dimension, options);
        std::vector<std::int32_t> expected(60);
        std::iota(expected.begin(), expected.end(), 0);
        const Vectors one = takes_bits(distance) ? Vectors(std::span<const Bit>(bits).first(dimension))
                                                 : Vectors(std::span<const float>(floats).first(dimension));
        CHECK(ask(forest, one, 1, 60, {everything, 1}).ids == expected);
    }
}

TEST_CASE("search_k is how many leaf entries are looked at, to the end of a leaf") {
    const Queries queries(20, 2);
    for (const Distance distance : all_distances) {
        const Forest forest = small_forest(distance, 3000, dimension);
        std::uint64_t before = 0;
        for (const std::uint64_t search_k : {1u, 32u, 33u, 100u, 1000u, 15'000u}) {
            ask(forest, queries.of(distance), 20, 1, {search_k, 1});
            const std::uint64_t looked_at = forest.distance_computations() - before;
            CHECK(looked_at >= 20 * std::min<std::uint64_t>(search_k, 5 * 3000));
            CHECK(looked_at < 20 * (search_k + 5 * leaf_size));
            before += looked_at;
        }
    }
}

TEST_CASE("a larger search_k and a larger rerank find more, down to every neighbour") {
    const Queries queries(50, 2);
    for (const Distance distance : all_distances) {
        CAPTURE(static_cast<int>(distance));
        const Forest forest = small_forest(distance, 3000, dimension);
        const auto found = [&](std::uint64_t search_k, std::size_t rerank) {
            return ask(forest, queries.of(distance), 50, 10, {search_k, rerank});
        };
        const Answers exact = found(everything, 1);
        CHECK(share(found(100, 3000), exact, 50) < share(found(4000, 3000), exact, 50));
        CHECK(share(found(15'000 - 1, 3000), exact, 50) > 0.999);
        if (distance == Distance::hamming) continue;  // whose estimates are exact
        CHECK(share(found(15'000 - 1, 10), exact, 50) < share(found(15'000 - 1, 200), exact, 50));
    }
}

TEST_CASE("fewer rows than k are padded, and the smallest search still finds k rows") {
    const Queries queries(1, 3);
    for (const Distance distance : all_distances) {
        for (const std::size_t n : {1u, 2u, 9u, 30u}) {
            const Forest forest = small_forest(distance, n, dimension);
            const auto answers = ask(forest, queries.of(distance), 1, 12, {1, 1});
            for (std::size_t i = 0; i < 12; ++i) {
                CHECK((answers.ids[i] >= 0) == (i < n));
                CHECK(std::isinf(answers.distances[i]) == (i >= n));
            }
        }
    }
}

TEST_CASE("rows that are not present are kept, and never found") {
    const Queries queries(20, 2);
    std::vector<std::uint32_t> present;
    for (std::uint32_t i = 3; i < rows; i += 7) present.push_back(i);
    for (const Distance distance : all_distances) {
        const auto floats = random_floats(rows * dimension, 1);
        const auto bits = random_bits(rows * dimension, 1);
        ForestOptions options;
        options.distance = distance;
        options.trees = 4;
        options.present = present;
        const Vectors all = takes_bits(distance) ? view(bits) : view(floats);
        const Forest forest = Forest::build(all, rows, dimension, options);
        CHECK(forest.facts().rows == rows);
        CHECK(forest.facts().present == present.size());
        for (const std::uint64_t search_k : {std::uint64_t{1}, std::uint64_t{50}, everything}) {
            const auto answers = ask(forest, queries.of(distance), 20, present.size() + 3, {search_k, 1});
            for (std::size_t i = 0; i < answers.ids.size(); ++i) {
                const bool filled = i % (present.size() + 3) < present.size();
                CHECK((answers.ids[i] >= 0) == filled);
                CHECK((!filled || answers.ids[i] % 7 == 3));
            }
        }
        std::vector<float> row(dimension);
        forest.vector(5, row.data());
        for (std::uint32_t d = 0; d < dimension; ++d) {
            const std::size_t at = 5 * dimension + d;
            CHECK(row[d] == (takes_bits(distance) ? static_cast<float>(bits[at].byte) : floats[at]));
        }
    }
}

TEST_CASE("rows come back as they were given, whatever they were made of") {
    std::vector<Half> halves(3 * dimension);
    for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = {static_cast<std::uint16_t>(i * 300)};
    const Forest forest = Forest::build(view(halves), 3, dimension, {});
    std::vector<float> row(dimension), expected(dimension);
    for (std::size_t i = 0; i < 3; ++i) {
        read_floats(view(halves), i, dimension, expected.data());
        forest.vector(i, row.data());
        CHECK(row == expected);
    }
    CHECK_THROWS_AS(forest.vector(3, row.data()), std::out_of_range);
}

TEST_CASE("vectors of small numbers answer like the same values as floats") {
    std::vector<std::int8_t> bytes(rows * dimension);
    std::vector<std::uint8_t> unsigned_bytes(rows * dimension);
    Random random(3);
    for (auto& value : bytes) value = static_cast<std::int8_t>(random.next());
    for (auto& value : unsigned_bytes) value = static_cast<std::uint8_t>(random.next());
    const auto check = [](const auto& values) {
        const std::vector<float> floats(values.begin(), values.end());
        for (const Distance distance :
             {Distance::euclidean, Distance::angular, Distance::dot, Distance::manhattan}) {
            ForestOptions options;
            options.distance = distance;
            const Forest a = Forest::build(view(values), rows, dimension, options);
            const Forest b = Forest::build(view(floats), rows, dimension, options);
            CHECK(ask(a, view(values), rows, 5, {64, 20}) == ask(b, view(floats), rows, 5, {64, 20}));
        }
    };
    check(bytes);
    check(unsigned_bytes);
}

TEST_CASE(
    "a search goes the way the build went: the first bough of a single tree holds the row that is asked "
    "for") {
    const auto values = random_floats(2000 * dimension, 1);
    for (const Distance distance : {Distance::euclidean, Distance::angular, Distance::manhattan}) {
        const Forest forest = small_forest(distance, 2000, dimension, 1, 1);
        const auto answers = ask(forest, view(values), 2000, 1, {bough_leaves * leaf_size, 8});
        std::size_t itself = 0;
        for (std::size_t i = 0; i < 2000; ++i) itself += answers.ids[i] == static_cast<std::int32_t>(i);
        CHECK(itself > 1960);  // a row on a plane may have come to its other side
    }
}

TEST_CASE("several threads may query one forest, and each gets what one alone would") {
    const Forest forest = small_forest(Distance::euclidean, 2000, dimension);
    const auto queries = random_floats(100 * dimension, 2);
    const auto expected = ask(forest, view(queries), 100, 10, {50, 20});
    std::vector<Answers> answers(4);
    {
        std::vector<std::jthread> threads;
        for (auto& answer : answers) {
            threads.emplace_back([&] { answer = ask(forest, view(queries), 100, 10, {50, 20}, 2); });
        }
    }
    for (const auto& answer : answers) CHECK(answer == expected);
}

TEST_CASE("an index of rows none of which is present finds nothing") {
    const Queries queries(1, 3);
    for (const Distance distance : all_distances) {
        const auto floats = random_floats(rows * dimension, 1);
        const auto bits = random_bits(rows * dimension, 1);
        ForestOptions options;
        options.distance = distance;
        options.trees = 3;
        options.present.emplace();
        const Vectors all = takes_bits(distance) ? view(bits) : view(floats);
        const Forest forest = Forest::build(all, rows, dimension, options);
        for (const std::uint64_t search_k : {std::uint64_t{1}, everything}) {
            const auto answers = ask(forest, queries.of(distance), 1, 2, {search_k, 1});
            CHECK(answers.ids == std::vector<std::int32_t>{-1, -1});
        }
    }
}

TEST_CASE("what cannot be indexed is refused") {
    const auto values = random_floats(40, 1);
    const auto bits = random_bits(40, 1);
    ForestOptions options;
    CHECK_THROWS_AS(Forest::build(view(values), 0, 4, options), std::invalid_argument);
    CHECK_THROWS_AS(Forest::build(view(values), 10, 0, options), std::invalid_argument);
    CHECK_THROWS_AS(Forest::build(view(values), 11, 4, options), std::invalid_argument);
    CHECK_THROWS_AS(Forest::build(view(bits), 10, 4, options), std::invalid_argument);
    auto broken = values;
    broken[17] = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_WITH(Forest::build(view(broken), 10, 4, options),
                      "train: row 4 holds NaN or infinity; every value must be finite as float32");
    const std::uint32_t absent[] = {3, 10};
    options.present = absent;
    CHECK_THROWS_AS(Forest::build(view(values), 10, 4, options), std::invalid_argument);
    options.present.reset();
    options.trees = 0;
    CHECK_THROWS_AS(Forest::build(view(values), 10, 4, options), std::invalid_argument);
}

TEST_CASE("after a query that threw, the next one is right") {
    const Forest forest = small_forest(Distance::euclidean);
    auto query = random_floats(dimension, 2);
    const auto before = ask(forest, view(query), 1, 5, {100, 20});
    auto broken = query;
    broken[3] = std::numeric_limits<float>::infinity();
    CHECK_THROWS_AS(ask(forest, view(broken), 1, 5, {100, 20}), std::invalid_argument);
    CHECK(ask(forest, view(query), 1, 5, {100, 20}) == before);
}
