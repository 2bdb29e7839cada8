// What clusters do that other kinds do not.

#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "ann_bench/cluster.hpp"
#include "support.hpp"

using namespace ann_bench;
using namespace ann_bench::testing;

namespace {

constexpr std::size_t rows = 1600, places = 8, clusters = 24, k = 10;
constexpr std::uint32_t dimension = 20;

/// Of the rows the first half lie around a few places far from each other, the others anywhere around one.
Cluster uneven_cluster() {
    const auto centres = random_floats(places * dimension, 1);
    auto values = random_floats(rows * dimension, 2);
    for (std::size_t i = 0; i < rows / 2; ++i) {
        for (std::size_t j = 0; j < dimension; ++j) {
            values[i * dimension + j] += 20 * centres[i % places * dimension + j];
        }
    }
    ClusterOptions options;
    options.clusters = clusters;
    options.assignments = 1;
    return Cluster::build(view(values), rows, dimension, options);
}

/// Distances that a query for a row computes where half of the clusters may be read.
std::uint64_t distances_computed(const Cluster& cluster, std::uint64_t row) {
    std::vector<float> query(dimension);
    cluster.vector(row, query.data());
    std::vector<std::int32_t> ids(k);
    std::vector<float> distances(k);
    const std::uint64_t before = cluster.distance_computations();
    cluster.query(view(query), 1, {k, {clusters / 2, 50}, 1}, ids.data(), distances.data());
    CHECK(ids.front() == static_cast<std::int32_t>(row));
    return cluster.distance_computations() - before;
}

}  // namespace

TEST_CASE(
    "of the clusters that may be read a query leaves out those that are much farther than the nearest") {
    const Cluster cluster = uneven_cluster();
    CHECK(distances_computed(cluster, 0) < rows / 4);
    CHECK(distances_computed(cluster, rows - 1) > rows / 4);
}
