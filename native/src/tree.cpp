#include "ann_bench/tree.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <stdexcept>

#include "leaf_writer.hpp"
#include "plane_fitter.hpp"

namespace ann_bench {
namespace {

/// Planes that are tried for a node.
constexpr std::uint64_t attempts = 3;

/// A plane that leaves less than this on a side is tried again, and moved the last time: lopsided splits make
/// trees deep and leaves bad.
constexpr double least_share = 0.05;

/// Nodes of so many rows fit in the second-level cache, and are worked on in a copy there.
constexpr std::size_t local_rows = 4096;

class TreeBuilder {
  public:
    explicit TreeBuilder(const TreeInput& input)
        : input_(input),
          width_(input.facts.width),
          codes_(input.codes),
          fitter_(width_),
          writer_(input_),
          normal_(width_) {}

    Tree build(std::span<std::uint32_t> ids, std::uint64_t key) {
        const std::size_t leaves = (ids.size() + leaf_size - 1) / leaf_size;
        tree_.leaves.reserve(leaves * input_.facts.leaf_bytes());
        tree_.root = grow(ids, key);
        return std::move(tree_);
    }

  private:
    /// Depth is bounded: each level takes away 5 % of the rows, or a leaf.
    Link grow(std::span<std::uint32_t> positions, std::uint64_t key) {
        if (!local_ && positions.size() <= local_rows) return grow_locally(positions, key);
        if (positions.size() <= bough_leaves * leaf_size) return add_bough(positions, key);
        const std::size_t number = tree_.nodes.size();
        if (number >= bough_bit) throw std::length_error("a tree grew more than 2^31 nodes");
        tree_.nodes.emplace_back();
        tree_.normals.resize(tree_.normals.size() + width_);
        const std::size_t lefts =
            divide(positions, key, tree_.nodes[number], tree_.normals.data() + number * width_);
        const Link left = grow(positions.first(lefts), derive_key(key, 0));
        const Link right = grow(positions.subspan(lefts), derive_key(key, 1));
        tree_.nodes[number].left = left;
        tree_.nodes[number].right = right;
        return static_cast<Link>(number);
    }

    /// Goes on in a copy of the rows' codes, where no row is far away.
    Link grow_locally(std::span<std::uint32_t> ids, std::uint64_t key) {
        local_codes_.resize(ids.size() * width_);
        for (std::size_t i = 0; i < ids.size(); ++i) {
            std::memcpy(local_codes_.data() + i * width_, input_.codes + std::size_t{ids[i]} * width_,
                        width_);
        }
        local_ids_.assign(ids.begin(), ids.end());
        local_outside_.resize(ids.size());
        for (std::size_t i = 0; i < ids.size(); ++i) local_outside_[i] = input_.outside[ids[i]];
        local_ = true;
        codes_ = local_codes_.data();
        local_positions_.resize(ids.size());
        std::iota(local_positions_.begin(), local_positions_.end(), 0u);
        const Link link = grow(local_positions_, key);
        codes_ = input_.codes;
        local_ = false;
        return link;
    }

    Link add_bough(std::span<std::uint32_t> positions, std::uint64_t key) {
        const std::size_t bytes = input_.facts.bough_bytes();
        const std::size_t number = tree_.boughs.size() / bytes;
        tree_.boughs.resize(tree_.boughs.size() + bytes);
        bough_ = Bough{};
        bough_.first_leaf = static_cast<std::uint32_t>(tree_.leaves.size() / input_.facts.leaf_bytes());
        bough_.entries = static_cast<std::uint32_t>(positions.size());
        std::byte* const bough = tree_.boughs.data() + number * bytes;
        add_leaves(positions, key, bough);
        std::memcpy(bough, &bough_, offsetof(Bough, squares));
        return bough_bit | static_cast<Link>(number);
    }

    /// Splits go on as above, but of their planes nothing is kept.
    void add_leaves(std::span<std::uint32_t> positions, std::uint64_t key, std::byte* bough) {
        if (positions.size() > leaf_size) {
            Node node;
            const std::size_t lefts = divide(positions, key, node, normal_.data());
            add_leaves(positions.first(lefts), derive_key(key, 0), bough);
            add_leaves(positions.subspan(lefts), derive_key(key, 1), bough);
        } else if (!positions.empty()) {
            const std::size_t end = tree_.leaves.size();
            tree_.leaves.resize(end + input_.facts.leaf_bytes());
            writer_.write({codes_, local_ids_.data(), local_outside_.data()}, positions,
                          tree_.leaves.data() + end, bough, bough_.leaves++);
        }
    }

    /// Orders `positions` so that the left child's come first, and returns how many those are: a multiple of
    /// the leaf size, so that only the last leaf of a tree can be less than full.
    std::size_t divide(std::span<std::uint32_t> positions, std::uint64_t key, Node& node,
                       std::int8_t* normal) {
        const std::size_t count = positions.size();
        const auto least = static_cast<std::size_t>(least_share * static_cast<double>(count));
        dots_.resize(count);
        for (std::uint64_t attempt = 0; attempt < attempts; ++attempt) {
            Random random(derive_key(key, 2 + attempt));
            if (!fitter_.fit(codes_, positions, random, normal)) continue;
            kernel_.dots(codes_, positions.data(), count, normal, width_, dots_.data());
            const std::size_t lefts = kernel_.count_below(dots_.data(), count, fitter_.threshold());
            const bool lopsided = std::min(lefts, count - lefts) <= least;
            if (lopsided && attempt + 1 < attempts) continue;
            const std::size_t wanted = whole_leaves(std::clamp(lefts, least, count - least), count);
            const std::int32_t threshold = find_threshold(wanted, lefts);
            std::int32_t squared = 0;
            for (std::size_t d = 0; d < width_; ++d) squared += normal[d] * normal[d];
            node.scale = 1.0f / std::sqrt(static_cast<float>(squared));
            node.offset = -node.scale * (static_cast<float>(threshold) - 0.5f);
            partition(positions, threshold, wanted);
            return wanted;
        }
        std::memset(normal, 0, width_);
        node.scale = node.offset = 0;
        return halve(positions, Random(derive_key(key, 2 + attempts)));
    }

    /// The multiple of the leaf size that is nearest to `lefts` and leaves something on both sides.
    std::size_t whole_leaves(std::size_t lefts, std::size_t count) const {
        const std::size_t leaves = (lefts + leaf_size / 2) / leaf_size;
        return std::clamp<std::size_t>(leaves, 1, (count - 1) / leaf_size) * leaf_size;
    }

    /// The largest threshold that no more than `wanted` of the dots are below. `lefts` are below the
    /// fitter's.
    std::int32_t find_threshold(std::size_t wanted, std::size_t lefts) const {
        std::int32_t low = fitter_.threshold(), high = low;
        if (lefts > wanted) {
            low = *std::min_element(dots_.begin(), dots_.end());
        } else {
            high = *std::max_element(dots_.begin(), dots_.end());
        }
        while (low < high) {
            const std::int32_t middle = low + (high - low + 1) / 2;
            if (kernel_.count_below(dots_.data(), dots_.size(), middle) <= wanted) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        return low;
    }

    /// Stable; rows on the threshold fill the left side up.
    void partition(std::span<std::uint32_t> positions, std::int32_t threshold, std::size_t lefts) {
        std::size_t ties = lefts - kernel_.count_below(dots_.data(), dots_.size(), threshold);
        rights_.resize(positions.size() + split_room);
        std::uint32_t* to_left = positions.data();
        std::uint32_t* to_right = rights_.data();
        if (ties == 0) {
            kernel_.split(positions.data(), dots_.data(), positions.size(), threshold, to_right);
            to_left += lefts;
            to_right += positions.size() - lefts;
        } else {
            const std::int32_t* dot = dots_.data();
            for (const std::uint32_t position : positions) {
                const bool tie = *dot == threshold && ties > 0;
                const bool left = *dot++ < threshold || tie;
                ties -= tie;
                *to_left = position;  // overwritten unless it counts
                *to_right = position;
                to_left += left;
                to_right += !left;
            }
        }
        std::copy(rights_.data(), to_right, to_left);
    }

    /// Where no plane was found, as all rows are equal, chance divides evenly.
    std::size_t halve(std::span<std::uint32_t> positions, Random random) {
        const std::size_t half = whole_leaves(positions.size() / 2, positions.size());
        for (std::size_t i = 0; i < half; ++i) {
            const auto rest = static_cast<std::uint32_t>(positions.size() - i);
            std::swap(positions[i], positions[i + random.below(rest)]);
        }
        return half;
    }

    const TreeInput& input_;
    const Kernels& kernel_ = kernels();
    std::size_t width_;
    const std::uint8_t* codes_;  ///< of all rows, or of the copy
    PlaneFitter fitter_;
    LeafWriter writer_;
    Tree tree_;
    Bough bough_{};
    std::vector<std::int8_t> normal_;
    std::vector<std::int32_t> dots_;
    std::vector<std::uint32_t> rights_;
    std::vector<std::uint8_t> local_codes_;
    std::vector<std::int32_t> local_outside_;
    std::vector<std::uint32_t> local_ids_, local_positions_;
    bool local_ = false;  ///< whether positions are places in the copy
};

}  // namespace

Tree build_tree(const TreeInput& input, std::span<std::uint32_t> ids, std::uint64_t key) {
    return TreeBuilder(input).build(ids, key);
}

}  // namespace ann_bench
