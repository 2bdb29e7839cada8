// What every kind of index does alike: rows in the smallest type, rows taken out or not allowed, saving.

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <stdexcept>

#include <doctest/doctest.h>

#include "ann_bench/cluster.hpp"
#include "ann_bench/flat.hpp"
#include "ann_bench/graph.hpp"
#include "ann_bench/rows.hpp"
#include "support.hpp"

using namespace ann_bench;
using namespace ann_bench::testing;

namespace {

constexpr std::size_t rows = 2000;
constexpr std::uint32_t dimension = 20;
constexpr std::size_t queries = 20, k = 10;

std::unique_ptr<Index> build(IndexKind kind, Distance distance, std::size_t count = rows,
                             unsigned threads = 1) {
    const auto floats = random_floats(count * dimension, 1);
    const auto bits = random_bits(count * dimension, 1);
    const Vectors vectors = takes_bits(distance) ? view(bits) : view(floats);
    if (kind == IndexKind::flat) {
        return std::make_unique<Flat>(Flat::build(vectors, count, dimension, distance, false, threads));
    }
    if (kind == IndexKind::cluster) {
        ClusterOptions options;
        options.distance = distance;
        options.threads = threads;
        return std::make_unique<Cluster>(Cluster::build(vectors, count, dimension, options));
    }
    if (kind == IndexKind::graph) {
        GraphOptions options;
        options.distance = distance;
        options.threads = threads;
        return std::make_unique<Graph>(Graph::build(vectors, count, dimension, options));
    }
    return std::make_unique<Forest>(small_forest(distance, count, dimension, threads));
}

bool is_for(IndexKind kind, Distance distance) {
    const bool some = kind == IndexKind::graph || kind == IndexKind::cluster;
    return !some || distance <= Distance::dot;
}

/// Calls body(kind, distance) for all that there are.
void for_each_kind(const std::function<void(IndexKind, Distance)>& body) {
    for (const IndexKind kind : {IndexKind::flat, IndexKind::forest, IndexKind::graph, IndexKind::cluster}) {
        for (const Distance distance : all_distances) {
            if (!is_for(kind, distance)) continue;
            CAPTURE(name_of(kind));
            CAPTURE(distance_names[static_cast<std::size_t>(distance)]);
            body(kind, distance);
        }
    }
}

struct Answers {
    std::vector<std::int32_t> ids = std::vector<std::int32_t>(queries * k);
    std::vector<float> distances = std::vector<float>(queries * k);
    bool operator==(const Answers&) const = default;
};

Answers ask(const Index& index, const Request& request, std::uint64_t seed = 2) {
    const auto floats = random_floats(queries * dimension, seed);
    const auto bits = random_bits(queries * dimension, seed);
    Answers answers;
    index.query(takes_bits(index.shape().distance) ? view(bits) : view(floats), queries, request,
                answers.ids.data(), answers.distances.data());
    return answers;
}

/// The share of answers that are as near as the true ones.
double recall(const Answers& found, const Answers& truth) {
    std::size_t right = 0;
    for (std::size_t i = 0; i < found.ids.size(); ++i) {
        const float farthest = truth.distances[i / k * k + k - 1];
        right += found.distances[i] <= farthest ? 1 : 0;
    }
    return static_cast<double>(right) / static_cast<double>(found.ids.size());
}

std::vector<std::uint64_t> words_of(const std::vector<std::uint32_t>& ids, std::size_t count = rows) {
    std::vector<std::uint64_t> words((count + 63) / 64);
    for (const std::uint32_t id : ids) words[id / 64] |= std::uint64_t{1} << id % 64;
    return words;
}

}  // namespace

TEST_CASE("with the whole effort every kind answers as the flat one, from any number of threads") {
    for_each_kind([](IndexKind kind, Distance distance) {
        const auto index = build(kind, distance);
        const auto flat = build(IndexKind::flat, distance);
        const Answers exact = ask(*flat, {k, flat->whole_effort()});
        CHECK(ask(*index, {k, index->whole_effort(), 1}) == exact);
        CHECK(ask(*index, {k, index->whole_effort(), 3}) == exact);
        const Answers usual = ask(*index, {k, index->usual_effort(k), 1});
        CHECK(ask(*index, {k, index->usual_effort(k), 3}) == usual);
        CHECK(recall(usual, exact) > 0.9);
    });
}

TEST_CASE("rows that are taken out or not allowed are never found, and the others are as before") {
    for_each_kind([](IndexKind kind, Distance distance) {
        const auto index = build(kind, distance);
        const auto flat = build(IndexKind::flat, distance);
        Random random(5);
        for (const double share : {0.5, 0.1, 0.01, 0.001}) {
            CAPTURE(share);
            std::vector<std::uint32_t> allowed;
            for (std::uint32_t row = 0; row < rows; ++row) {
                if (random.below(100'000) < share * 100'000) allowed.push_back(row);
            }
            const auto words = words_of(allowed);
            const Request request{k, index->usual_effort(k), 1, words};
            const Answers found = ask(*index, request);
            const Answers exact = ask(*flat, {k, flat->whole_effort(), 1, words});
            for (const std::int32_t id : found.ids) {
                CHECK((id == -1 ||
                       std::binary_search(allowed.begin(), allowed.end(), static_cast<std::uint32_t>(id))));
            }
            CHECK(recall(found, exact) > 0.9);
            if (allowed.size() < 100) CHECK(found == exact);
        }
        const std::vector<std::uint64_t> nobody((rows + 63) / 64);
        const Answers none = ask(*index, {k, index->usual_effort(k), 1, nobody});
        CHECK(std::all_of(none.ids.begin(), none.ids.end(), [](std::int32_t id) { return id == -1; }));
        CHECK_THROWS_AS(ask(*index, {k, index->usual_effort(k), 1, std::span(nobody).first(3)}),
                        std::invalid_argument);

        std::vector<std::uint32_t> gone(rows / 2);
        for (std::uint32_t i = 0; i < gone.size(); ++i) gone[i] = 2 * i;
        index->remove(gone);
        index->remove(gone);
        CHECK(index->present() == rows - gone.size());
        CHECK_THROWS_AS(index->remove(std::vector<std::uint32_t>{1, rows}), std::out_of_range);
        CHECK(index->is_present(1));
        const TemporaryFile file;
        index->save(file.path());
        CHECK(file.read().size() == index->size_bytes());
        const auto opened = Index::open(file.path());
        CHECK(opened->present() == rows - gone.size());
        const Request usual{k, index->usual_effort(k)};
        const Answers left = ask(*index, usual);
        CHECK(std::all_of(left.ids.begin(), left.ids.end(), [](std::int32_t id) { return id % 2 == 1; }));
        CHECK(ask(*opened, usual) == left);
    });
}

TEST_CASE("a row that is asked for is not its own neighbour") {
    for_each_kind([](IndexKind kind, Distance distance) {
        const auto index = build(kind, distance);
        std::vector<std::uint32_t> asked(queries);
        std::iota(asked.begin(), asked.end(), 100u);
        Answers usual, whole;
        index->query_rows(asked, {k, index->usual_effort(k)}, usual.ids.data(), usual.distances.data());
        index->query_rows(asked, {k, index->whole_effort(), 2}, whole.ids.data(), whole.distances.data());
        for (std::size_t i = 0; i < usual.ids.size(); ++i) {
            CHECK(usual.ids[i] != static_cast<std::int32_t>(asked[i / k]));
            CHECK(whole.ids[i] != static_cast<std::int32_t>(asked[i / k]));
        }
        CHECK(recall(usual, whole) > 0.9);
        CHECK_THROWS_AS(index->query_rows(std::vector<std::uint32_t>{rows}, {k, index->usual_effort(k)},
                                          usual.ids.data(), usual.distances.data()),
                        std::out_of_range);
    });
}

TEST_CASE("an index knows what it was tuned for, in memory and in its file") {
    const auto index = build(IndexKind::graph, Distance::euclidean);
    CHECK(index->effort_for(k).reach == index->usual_effort(k).reach);
    CHECK_THROWS_AS(index->effort_for(k, 0.9f), std::invalid_argument);
    index->set_tuned({{0.9f, 10, {40, 20}}, {0.8f, 10, {20, 15}}, {0.99f, 10, {100, 30}}});
    const TemporaryFile file;
    index->save(file.path());
    const auto opened = Index::open(file.path());
    for (const Index* one : {index.get(), opened.get()}) {
        CHECK(one->effort_for(10).reach == 40);
        CHECK(one->effort_for(10, 0.8f).reach == 20);
        CHECK(one->effort_for(10, 0.85f).reach == 40);
        CHECK(one->effort_for(10, 0.95f).rerank == 30);
        CHECK(one->effort_for(5, 0.9f).reach == 40);
        CHECK(one->effort_for(25, 0.9f).reach == 100);
        CHECK(one->effort_for(25, 0.9f).rerank == 50);
        CHECK_THROWS_AS(one->effort_for(10, 0.995f), std::invalid_argument);
    }
}

TEST_CASE("a query that is refused leaves the index as it was") {
    for_each_kind([](IndexKind kind, Distance distance) {
        if (takes_bits(distance)) return;
        const auto index = build(kind, distance, 300);
        const Request request{k, index->usual_effort(k)};
        const Answers before = ask(*index, request);
        auto floats = random_floats(queries * dimension, 2);
        floats[7 * dimension + 3] = std::numeric_limits<float>::quiet_NaN();
        Answers answers;
        CHECK_THROWS_AS(
            index->query(view(floats), queries, request, answers.ids.data(), answers.distances.data()),
            std::invalid_argument);
        CHECK(ask(*index, request) == before);
    });
}

TEST_CASE("rows are kept in the smallest type that holds all of them, and come back as they were") {
    const auto type_of = [](std::vector<float> values) {
        const OwnedRows kept(view(values),
                             {Distance::euclidean, static_cast<std::uint32_t>(values.size()), 1}, 1);
        std::vector<float> read(values.size());
        kept.view().read(0, read.data());
        CHECK(read == values);
        return kept.view().type;
    };
    CHECK(type_of({0, 1, 255}) == RowType::u8);
    CHECK(type_of({0, -1, 127}) == RowType::i8);
    CHECK(type_of({-128, 5}) == RowType::i8);
    CHECK(type_of({0, -1, 128}) == RowType::f16);
    CHECK(type_of({0.5f, 65504}) == RowType::f16);
    CHECK(type_of({0x1p-24f, 0x1.8p-23f, -0x1.ff8p-15f}) == RowType::f16);
    CHECK(type_of({65536}) == RowType::f32);
    CHECK(type_of({0x1p-25f}) == RowType::f32);
    CHECK(type_of({0x1.8p-24f}) == RowType::f32);
    CHECK(type_of({0.1f}) == RowType::f32);
}

TEST_CASE("graphs and clusters are the same file for any number of threads, from nothing to many rows") {
    for (const IndexKind kind : {IndexKind::graph, IndexKind::cluster}) {
        for (const Distance distance : {Distance::euclidean, Distance::angular, Distance::dot}) {
            if (!is_for(kind, distance)) continue;
            for (const std::size_t count : {1u, 2u, 63u, 64u, 65u, 641u, 1500u}) {
                CAPTURE(name_of(kind));
                CAPTURE(count);
                const TemporaryFile file;
                build(kind, distance, count, 1)->save(file.path());
                const std::string one = file.read();
                build(kind, distance, count, 3)->save(file.path());
                CHECK(file.read() == one);
                const auto index = Index::open(file.path());
                const Answers found = ask(*index, {k, {300, 100}});
                const auto known = std::count_if(found.ids.begin(), found.ids.end(),
                                                 [](std::int32_t id) { return id >= 0; });
                CHECK(static_cast<std::size_t>(known) == queries * std::min(k, count));
            }
        }
    }
}

TEST_CASE("every row of a graph can be walked to, twins too, and a short walk still gives k of them") {
    // 30 places with 40 equal rows each, and 300 rows that are alone.
    std::vector<float> values;
    const auto places = random_floats(330 * dimension, 3);
    for (std::size_t place = 0; place < 330; ++place) {
        for (int twin = 0; twin < (place < 30 ? 40 : 1); ++twin) {
            values.insert(values.end(), places.begin() + static_cast<std::ptrdiff_t>(place * dimension),
                          places.begin() + static_cast<std::ptrdiff_t>((place + 1) * dimension));
        }
    }
    const std::size_t count = values.size() / dimension;
    const Graph graph = Graph::build(view(values), count, dimension, {});
    const WalkedGraph& walked = graph.view().graph;
    std::vector<bool> reached(count);
    std::vector<std::uint32_t> waiting(walked.entries, walked.entries + walked.entry_count);
    while (!waiting.empty()) {
        const std::uint32_t vertex = waiting.back();
        waiting.pop_back();
        if (reached[vertex]) continue;
        reached[vertex] = true;
        waiting.insert(waiting.end(), walked.edges_of(vertex), walked.edges_of(vertex) + walked.degree);
    }
    CHECK(std::count(reached.begin(), reached.end(), true) == static_cast<std::ptrdiff_t>(count));
    std::vector<std::int32_t> ids(k);
    std::vector<float> distances(k);
    for (std::size_t place = 0; place < 30; ++place) {
        const std::span<const float> one(values.data() + place * 40 * dimension, dimension);
        graph.query(one, 1, {k, {64, 30}}, ids.data(), distances.data());
        CHECK(std::all_of(distances.begin(), distances.end(), [](float d) { return d == 0; }));
        graph.query(one, 1, {k, {1, 1}}, ids.data(), distances.data());
        CHECK(ids.back() >= 0);
    }
}

namespace {

/// Changes numbers of an index's file, and asks what can still be opened.
void check_damaged(IndexKind kind, std::uint32_t facts_bytes) {
    const auto index = build(kind, Distance::angular, 300);
    const TemporaryFile file;
    index->save(file.path());
    const std::string whole = file.read();
    Random random(9);
    for (int round = 0; round < 400; ++round) {
        std::string bytes = whole;
        FileHeader header;
        std::memcpy(&header, bytes.data(), sizeof header);
        if (round % 4 == 0) {
            // A number of the facts.
            const std::uint32_t number =
                random.coin() ? random.below(70) : static_cast<std::uint32_t>(random.next());
            std::memcpy(header.facts.data() + 4 * random.below(facts_bytes / 4), &number, sizeof number);
            header.digest = header.expected_digest();
            std::memcpy(bytes.data(), &header, sizeof header);
        } else {
            for (int i = 0; i < 200; ++i) {
                const auto at =
                    sizeof header + random.below(static_cast<std::uint32_t>(bytes.size() - sizeof header));
                bytes[at] = static_cast<char>(random.next());
            }
        }
        file.write(bytes);
        try {
            const auto opened = Index::open(file.path());
            if (opened->shape().dimension != dimension) continue;
            for (const Effort effort : {Effort{1, 1}, Effort{64, 30}, opened->whole_effort()}) {
                for (const std::int32_t id : ask(*opened, {k, effort}).ids) {
                    REQUIRE(id >= -1);
                    REQUIRE(id < static_cast<std::int64_t>(opened->shape().rows));
                }
            }
        } catch (const DamagedIndex&) {
        }
    }
}

}  // namespace

TEST_CASE("a file of a graph or of clusters with any number changed is refused, or answers with its rows") {
    check_damaged(IndexKind::graph, sizeof(GraphFacts));
    check_damaged(IndexKind::cluster, sizeof(ClusterFacts));
}
