#pragma once
// How a graph comes to be.

#include <cstdint>
#include <memory>
#include <utility>

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

/// See Graph::build.
std::pair<GraphView, std::shared_ptr<const void>> build_graph(const Vectors& vectors, const Shape& shape,
                                                              const GraphOptions& options);

}  // namespace ann_bench
