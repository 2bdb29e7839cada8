#pragma once
// What an index consists of, wherever its bytes lie: in memory or in a mapped file.

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "ann_bench/rows.hpp"

namespace ann_bench {

/// How a split's two points are found. The numbers are part of the file format.
enum class SplitScheme : std::uint32_t { two_means = 0, two_points = 1 };

inline constexpr std::array<std::string_view, 2> split_names = {"two_means", "two_points"};

/// Where a branch leads: to a node or, with the top bit set, to a leaf.
using Link = std::uint32_t;
inline constexpr Link leaf_bit = 0x8000'0000u;

/// A split. Behind it lies the normal (width floats), or the two points (2 x width words) for hamming.
/// `offset + scale * projection` is the margin; where it is positive, the right child is the near one.
struct Node {
    float offset;
    float scale;
    Link left;
    Link right;
};
static_assert(sizeof(Node) == 16);

/// A file that is not a whole index of this version, or an index whose contents contradict each other.
class DamagedIndex : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// The numbers that tell the size of everything; what the file's header holds.
struct Summary {
    Distance distance;
    std::uint32_t dimension;
    std::uint32_t trees;
    std::uint32_t leaf_size;
    SplitScheme split;
    std::uint64_t seed;
    std::uint64_t rows;
    std::uint64_t nodes;
    std::uint64_t leaves;
    std::uint64_t present;  ///< rows that can be found

    /// Every tree holds every row that can be found once.
    std::uint64_t entries() const { return trees * present; }
};

/// The parts of an index. Does not own them; a node's number is larger than its parent's.
struct IndexView {
    Summary summary;
    Layout layout;
    const std::byte* rows;             ///< summary.rows x layout.row_bytes
    const std::byte* nodes;            ///< summary.nodes x layout.node_bytes
    const std::uint64_t* leaf_begins;  ///< summary.leaves + 1: where a leaf's entries begin
    const std::uint32_t* entries;      ///< summary.entries() row numbers
    const Link* roots;                 ///< summary.trees

    const Node& node(Link number) const {
        return *reinterpret_cast<const Node*>(nodes + number * layout.node_bytes);
    }
};

template <class Element>
const Element* payload(const Node& node) {
    return reinterpret_cast<const Element*>(&node + 1);
}

}  // namespace ann_bench
