#pragma once
// Which rows are near to each other, roughly: those nearest within the leaves of a few random trees.

#include <cstdint>

#include "ann_bench/buffer.hpp"

namespace ann_bench {

/// Unsigned codes, `width` bytes a row.
struct Codes {
    const std::uint8_t* data;
    std::uint32_t width;
    std::uint64_t rows;

    const std::uint8_t* of(std::uint64_t row) const { return data + row * width; }
};

/// Neighbours that are found for a row, at most: from each of `leaf_trees` trees so many.
inline constexpr std::size_t leaf_trees = 4, neighbours_per_leaf = 16;
inline constexpr std::size_t leaf_neighbours = leaf_trees * neighbours_per_leaf;

/// leaf_neighbours row numbers (u32) for each row: the nearest of its leaves, in no order, some of them
/// twice; where there are fewer, itself. The same for any number of threads.
///
/// Overlapping partitions in place of searches, as in PiPNN and its like; trees as in Annoy, split in halves.
Buffer find_leaf_neighbours(const Codes& codes, std::uint64_t key, unsigned threads);

}  // namespace ann_bench
