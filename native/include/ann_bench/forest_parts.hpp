#pragma once
// What a forest consists of, wherever its bytes lie: in memory or in a mapped file.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "ann_bench/buffer.hpp"
#include "ann_bench/damaged_index.hpp"
#include "ann_bench/distance.hpp"
#include "ann_bench/kernels.hpp"
#include "ann_bench/projection.hpp"
#include "ann_bench/rows.hpp"

namespace ann_bench {

/// Where a branch leads: to a node or, with the top bit set, to a bough.
using Link = std::uint32_t;
inline constexpr Link bough_bit = 0x8000'0000u;

/// A leaf is one block of sketches.
inline constexpr std::size_t leaf_size = block_entries;

/// Leaves of a bough at most: as many as one register holds sums for.
inline constexpr std::size_t bough_leaves = 16;

/// Codes have at most so many dimensions; rows of more are projected onto as many principal axes.
inline constexpr std::uint32_t max_width = 192;

/// Dimensions of codes for rows of `depth` dimensions.
constexpr std::uint32_t code_width(std::uint32_t depth) {
    return std::min(max_width, static_cast<std::uint32_t>(round_up(depth, code_step)));
}

/// What stands for the squared length of rows and centres where only inner products count: about that of the
/// longest row's code.
constexpr std::int32_t equal_square(std::size_t width) {
    constexpr double variance = code_middle / code_range * (code_middle / code_range);
    return static_cast<std::int32_t>(variance * static_cast<double>(width));
}

/// A 4-bit code stands for the middle of 8 unsigned ones.
constexpr std::int32_t shorten(std::int32_t code) {
    return code >> 3;
}
constexpr std::int32_t lengthen(std::int32_t code) {
    return 8 * code + 4;
}

/// The codes of bits.
inline constexpr std::uint8_t bit_code = 96, no_bit_code = 32;

/// A split. Its normal stands beside it, among the normals. `offset + scale * dot` is the distance to the
/// plane, in steps; where it is positive, the right child is the near one.
struct Node {
    float offset;
    float scale;
    Link left;  ///< larger than the node's own number, if it is a node
    Link right;
};
static_assert(sizeof(Node) == 16);

/// What a branch ends in: leaves that follow one another, whose centres are compared with a query at once.
/// Behind it stand the centres, as Kernels::bough_dots takes them.
struct Bough {
    std::uint32_t first_leaf;
    std::uint32_t leaves;
    std::uint32_t entries;
    std::uint32_t reserved[13];
    std::int32_t squares[bough_leaves];  ///< |centre|^2; for dot equal_square(width)
};
static_assert(sizeof(Bough) == 2 * cache_line);

/// The numbers that tell the size of everything; they stand in the file's header as they are.
struct ForestFacts {
    Distance distance;
    std::uint32_t dimension;
    std::uint32_t trees;
    std::uint32_t width;  ///< dimensions of codes
    std::uint32_t depth;  ///< dimensions that the projection takes; 0 for bits, which have none
    std::uint32_t reserved;
    std::uint64_t seed;
    std::uint64_t rows;
    std::uint64_t present;  ///< rows that the trees hold
    std::uint64_t nodes;
    std::uint64_t boughs;
    std::uint64_t leaves;
    float projection_scale;  ///< what a sum of the projection stands for, in steps
    float steps_per_unit;    ///< steps of a code in a distance of 1
    float longest;           ///< for dot: the length of the longest row; queries are brought to it
    std::uint32_t reserved_end;

    std::size_t row_bytes() const {
        return row_stride(takes_bits(distance) ? RowType::bits : RowType::f32, dimension);
    }
    std::size_t code_bytes() const { return takes_bits(distance) ? 0 : width / 2; }
    std::size_t bough_bytes() const { return sizeof(Bough) + bough_leaves * width / 2; }
    std::size_t leaf_bytes() const { return block_bytes(width); }
};
static_assert(sizeof(ForestFacts) == 88, "no gaps: what stands in them would stand in the file");

/// The parts of an index. Does not own them.
struct ForestView {
    ForestFacts facts;
    const std::byte* rows;           ///< floats as given, or packed bits; facts.row_bytes() apart
    const float* inverse_norms;      ///< angular: 1 / |row|, 0 for a zero row
    const std::uint8_t* codes;       ///< 4 bits a dimension
    const std::int32_t* code_terms;  ///< what a row adds to its estimated distance
    ProjectionView projection;       ///< none for bits
    const Node* nodes;
    const std::int8_t* normals;  ///< `width` for each node
    const std::byte* boughs;     ///< facts.bough_bytes() apart
    const std::byte* leaves;     ///< facts.leaf_bytes() apart
    const Link* roots;           ///< one for each tree

    RowsView exact_rows() const {
        return {{facts.distance, facts.dimension, facts.rows},
                takes_bits(facts.distance) ? RowType::bits : RowType::f32,
                rows,
                inverse_norms};
    }
};

}  // namespace ann_bench
