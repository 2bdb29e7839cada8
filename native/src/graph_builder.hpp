#pragma once
// How a graph comes to be, and how it grows.

#include <cstdint>
#include <memory>
#include <vector>

#include "ann_bench/graph.hpp"

namespace ann_bench {

/// Dimensions of a graph's codes for rows of `depth` dimensions.
constexpr std::uint32_t graph_code_width(std::uint32_t depth) {
    return std::min(most_code_width, static_cast<std::uint32_t>(round_up(depth, code_line)));
}

/// Makes of an unsigned code what Kernels::short_code_squares takes for a query: a short code stands for the
/// middle of the eight that it was made of.
inline void query_code(const std::uint8_t* code, std::size_t width, std::int8_t* to) {
    for (std::size_t i = 0; i < width; ++i) to[i] = static_cast<std::int8_t>(code[i] - 4);
}

/// The bytes of a graph that was built here, or has grown here.
struct GraphParts {
    GraphFacts facts{};
    OwnedRows rows;
    Projection projection;
    Buffer codes, edges, entries, entry_codes;
    /// Unsigned codes of all rows, while the graph grows: what edges are chosen by.
    Buffer long_codes;

    /// Copies what lies elsewhere.
    explicit GraphParts(const GraphView& view);
    /// Builds them: see Graph::build.
    GraphParts(OwnedRows rows, const GraphOptions& options);

    GraphView view() const;

    /// Adds vectors behind the rows, each joined to what a walk to it finds, and what it finds to it. Anew,
    /// from all rows, once they are twice as many as the last time that this was done, or if one is longer
    /// than the projection was made for.
    void append(const Vectors& vectors, std::size_t count, unsigned threads);
};

}  // namespace ann_bench
