#pragma once
// Makes the parts of an index of clusters.

#include <algorithm>
#include <cstdint>

#include "ann_bench/buffer.hpp"
#include "ann_bench/cluster.hpp"

namespace ann_bench {

/// Residuals have at most so many dimensions; rows of more are projected onto as many principal axes.
inline constexpr std::uint32_t most_residual_width = 256;

/// Dimensions of residuals for rows of `depth` dimensions.
constexpr std::uint32_t residual_width(std::uint32_t depth) {
    return std::min(most_residual_width, static_cast<std::uint32_t>(round_up(depth, residual_step)));
}

/// The parts of an index of clusters in memory.
struct ClusterParts {
    ClusterParts(OwnedRows rows, const ClusterOptions& options);

    ClusterView view() const;

    ClusterFacts facts{};
    OwnedRows rows;
    Projection projection;
    Buffer centres, centre_squares, first_blocks, blocks;
};

}  // namespace ann_bench
