// What graphs do that other kinds do not.

#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "ann_bench/graph.hpp"
#include "support.hpp"

using namespace ann_bench;
using namespace ann_bench::testing;

namespace {

constexpr std::size_t rows = 3000, group = 12, k = 10;
constexpr std::uint32_t dimension = 20;

/// The first half of the rows are groups of very near ones, the others lie apart from each other.
Graph uneven_graph() {
    auto values = random_floats(rows * dimension, 1);
    const auto places = random_floats(rows * dimension, 2);
    for (std::size_t i = 0; i < rows / 2; ++i) {
        for (std::size_t j = 0; j < dimension; ++j) {
            float& value = values[i * dimension + j];
            value = 0.2f * value + places[i / group * dimension + j];
        }
    }
    return Graph::build(view(values), rows, dimension, {});
}

/// Distances that a query for a row computes.
std::uint64_t distances_computed(const Graph& graph, std::uint64_t row) {
    std::vector<float> query(dimension);
    graph.vector(row, query.data());
    std::vector<std::int32_t> ids(k);
    std::vector<float> distances(k);
    const std::uint64_t before = graph.distance_computations();
    graph.query(view(query), 1, {k, {60, 30}, 1}, ids.data(), distances.data());
    CHECK(ids.front() == static_cast<std::int32_t>(row));
    return graph.distance_computations() - before;
}

}  // namespace

TEST_CASE("a walk goes on from few vertices where the nearest stand out") {
    const Graph graph = uneven_graph();
    std::uint64_t grouped = 0, apart = 0;
    for (std::uint64_t i = 0; i < 20; ++i) {
        grouped += distances_computed(graph, i * group);
        apart += distances_computed(graph, rows - 1 - i);
    }
    CHECK(2 * grouped < apart);
}
