#pragma once
// One tree: rows are split until a leaf holds them.

#include <cstring>
#include <span>
#include <vector>

#include "ann_bench/split.hpp"

namespace ann_bench {

/// A tree by itself; links count its own nodes and leaves.
struct Tree {
    std::vector<std::byte> nodes;            ///< records of layout.node_bytes, parents before children
    std::vector<std::uint64_t> leaf_begins;  ///< where each leaf begins in `entries`
    std::vector<std::uint32_t> entries;      ///< every row number once
    Link root = leaf_bit;
};

template <class Policy>
class TreeBuilder {
  public:
    TreeBuilder(RowsView<typename Policy::Element> rows, const Layout& layout, std::uint32_t leaf_size,
                SplitScheme scheme)
        : rows_(rows), layout_(layout), leaf_size_(leaf_size), split_(rows, scheme) {}

    /// Builds the tree that belongs to `key` over the rows `ids`.
    Tree build(const std::vector<std::uint32_t>& ids, std::uint64_t key) {
        tree_ = Tree{};
        tree_.entries = ids;
        tree_.root = grow(tree_.entries, key);
        return std::move(tree_);
    }

  private:
    static constexpr std::uint64_t attempts = 3;
    /// A split that leaves less than this on one side is tried again: such splits make trees deep and leaves
    /// bad.
    static constexpr double least_share = 0.05;
    static constexpr std::size_t prefetch_ahead = 8;

    Node& node(std::size_t number) {
        return *reinterpret_cast<Node*>(tree_.nodes.data() + number * layout_.node_bytes);
    }

    /// Depth is bounded: each level takes away 5 % of the rows or halves them.
    Link grow(std::span<std::uint32_t> ids, std::uint64_t key) {
        if (ids.size() <= leaf_size_) {
            tree_.leaf_begins.push_back(static_cast<std::uint64_t>(ids.data() - tree_.entries.data()));
            return leaf_bit | static_cast<Link>(tree_.leaf_begins.size() - 1);
        }
        const std::size_t number = tree_.nodes.size() / layout_.node_bytes;
        if (number >= leaf_bit)
            throw std::length_error("a tree grew more than 2^31 nodes: use larger leaves");
        tree_.nodes.resize(tree_.nodes.size() + layout_.node_bytes);
        const std::size_t lefts = divide(ids, key, number);
        const Link left = grow(ids.first(lefts), derive_key(key, 0));
        const Link right = grow(ids.subspan(lefts), derive_key(key, 1));
        node(number).left = left;
        node(number).right = right;
        return static_cast<Link>(number);
    }

    /// Orders `ids` so that the left child's come first, and returns how many those are.
    std::size_t divide(std::span<std::uint32_t> ids, std::uint64_t key, std::size_t number) {
        const auto least = static_cast<std::size_t>(least_share * static_cast<double>(ids.size()));
        for (std::uint64_t attempt = 0; attempt < attempts; ++attempt) {
            Random random(derive_key(key, 2 + attempt));
            if (!split_.fit(ids, random, node(number))) continue;
            const std::size_t rights = choose_sides(ids, node(number), random);
            if (std::min(rights, ids.size() - rights) > least) return partition(ids);
        }
        return halve(ids, Random(derive_key(key, 2 + attempts)), node(number));
    }

    std::size_t choose_sides(std::span<const std::uint32_t> ids, const Node& plane, Random& random) {
        sides_.resize(ids.size());
        std::size_t rights = 0;
        for (std::size_t i = 0; i < ids.size(); ++i) {
            if (i + prefetch_ahead < ids.size()) __builtin_prefetch(rows_[ids[i + prefetch_ahead]]);
            const float margin = SplitOf<Policy>::margin(plane, rows_[ids[i]], rows_.width);
            const bool right = margin == 0 ? random.coin() : margin > 0;
            sides_[i] = right;
            rights += right;
        }
        return rights;
    }

    /// Stable, so that entries keep rising within a leaf and its rows are read in the order of their
    /// addresses.
    std::size_t partition(std::span<std::uint32_t> ids) {
        rights_.clear();
        std::size_t lefts = 0;
        for (std::size_t i = 0; i < ids.size(); ++i) {
            if (sides_[i]) {
                rights_.push_back(ids[i]);
            } else {
                ids[lefts++] = ids[i];
            }
        }
        std::copy(rights_.begin(), rights_.end(), ids.begin() + static_cast<std::ptrdiff_t>(lefts));
        return lefts;
    }

    /// What no plane divides well, chance divides evenly. The margin there is 0 for all: searches that come
    /// by look into both halves before they look behind any plane.
    std::size_t halve(std::span<std::uint32_t> ids, Random random, Node& plane) {
        std::memset(static_cast<void*>(&plane), 0, layout_.node_bytes);
        const std::size_t half = ids.size() / 2;
        for (std::size_t i = 0; i < half; ++i) {
            const auto rest = static_cast<std::uint32_t>(ids.size() - i);
            std::swap(ids[i], ids[i + random.below(rest)]);
        }
        std::sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(half));
        std::sort(ids.begin() + static_cast<std::ptrdiff_t>(half), ids.end());
        return half;
    }

    RowsView<typename Policy::Element> rows_;
    Layout layout_;
    std::size_t leaf_size_;
    SplitOf<Policy> split_;
    Tree tree_;
    std::vector<std::uint8_t> sides_;
    std::vector<std::uint32_t> rights_;
};

}  // namespace ann_bench
