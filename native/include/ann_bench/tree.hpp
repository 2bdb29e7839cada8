#pragma once
// One tree: rows are split by planes until a leaf holds them.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ann_bench/forest_parts.hpp"
#include "ann_bench/random.hpp"

namespace ann_bench {

/// A tree by itself; links count its own nodes, boughs and leaves.
struct Tree {
    std::vector<Node> nodes;  ///< parents before children
    std::vector<std::int8_t> normals;
    std::vector<std::byte> boughs, leaves;
    Link root = bough_bit;
};

/// What a tree is built over.
struct TreeInput {
    ForestFacts facts;            ///< distance and width
    const std::uint8_t* codes;    ///< `width` unsigned codes for each row
    const std::int32_t* outside;  ///< what a row's squared distance from the mean is above its code's
    const std::byte* rows;        ///< where the distance takes bits: those, packed
};

/// Builds the tree that belongs to `key` over the rows `ids`, which are reordered.
///
/// The plane of a node is midway between two means, found by a few rounds of Lloyd's on a sample, and moved
/// so that all leaves but one are full. All decisions rest on integers and on doubles in a fixed order: the
/// tree is the same on every machine.
Tree build_tree(const TreeInput& input, std::span<std::uint32_t> ids, std::uint64_t key);

}  // namespace ann_bench
