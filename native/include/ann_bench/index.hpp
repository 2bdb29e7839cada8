#pragma once
// What a forest consists of, wherever its bytes lie: in memory or in a mapped file.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "ann_bench/buffer.hpp"
#include "ann_bench/damaged_index.hpp"
#include "ann_bench/distance.hpp"
#include "ann_bench/kernels.hpp"

namespace ann_bench {

/// Where a branch leads: to a node or, with the top bit set, to a leaf.
using Link = std::uint32_t;
inline constexpr Link leaf_bit = 0x8000'0000u;

/// Unsigned codes are 64 more than the signed ones.
inline constexpr std::int32_t code_middle = 64;

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

/// The beginning of a leaf. Behind it come its centre (a signed code for each dimension), and its blocks of
/// sketches.
struct LeafHead {
    /// With q a query's code: |q - centre|^2 = |q|^2 + `constant` - 2 dot(unsigned code of q, centre).
    std::int32_t constant;
    std::uint32_t entries;
    std::uint32_t reserved[14];
};
static_assert(sizeof(LeafHead) == cache_line);

/// The numbers that tell the size of everything; they stand in the file's header as they are.
struct Facts {
    Distance distance;
    std::uint32_t dimension;
    std::uint32_t trees;
    std::uint32_t leaf_size;  ///< entries of a leaf at most
    std::uint32_t width;      ///< dimensions of codes
    std::uint32_t depth;      ///< dimensions that the projection takes; 0 for hamming, which has none
    std::uint64_t seed;
    std::uint64_t rows;
    std::uint64_t present;  ///< rows that the trees hold
    std::uint64_t nodes;
    std::uint64_t leaves;
    float projection_scale;  ///< what a sum of the projection stands for, in steps
    float steps_per_unit;    ///< steps of a code in a distance of 1
    float longest;           ///< for dot: the length of the longest row; queries are brought to it
    std::uint32_t rerank;    ///< what searches do unless told otherwise; 0: a rule
    std::uint64_t search_k;  ///< the same

    std::size_t row_bytes() const {
        return distance == Distance::hamming ? (dimension + 63) / 64 * 8 : round_up(dimension, 4) * 4;
    }
    std::size_t code_bytes() const { return distance == Distance::hamming ? 0 : width / 2; }
    /// Leaves have room for all rows at most, however many `leaf_size` allows.
    std::size_t leaf_blocks() const {
        return (std::min<std::uint64_t>(leaf_size, present) + block_entries - 1) / block_entries;
    }
    std::size_t leaf_bytes() const { return sizeof(LeafHead) + width + leaf_blocks() * block_bytes(width); }
    std::size_t matrix_bytes() const { return round_up(depth, 4) * width; }
};
static_assert(sizeof(Facts) == 88);

/// The parts of an index. Does not own them.
struct IndexView {
    Facts facts;
    const std::byte* rows;            ///< floats as given, or packed bits; facts.row_bytes() apart
    const float* inverse_norms;       ///< angular: 1 / |row|, 0 for a zero row
    const std::uint8_t* codes;        ///< 4 bits a dimension
    const std::int32_t* code_terms;   ///< what a row adds to its estimated distance
    const float* mean;                ///< what the projection takes off, `depth` numbers
    const std::int8_t* matrix;        ///< the projection, as Kernels::project takes it
    const std::int32_t* column_sums;  ///< of the matrix, times 64: what unsigned inputs add
    const Node* nodes;
    const std::int8_t* normals;  ///< `width` for each node
    const std::byte* leaves;     ///< facts.leaf_bytes() apart
    const Link* roots;           ///< one for each tree
};

}  // namespace ann_bench
