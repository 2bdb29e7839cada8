#include "ann_bench/tree.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace ann_bench {
namespace {

constexpr std::int32_t normal_limit = 127;

/// Rows that a plane is fitted to.
constexpr std::uint32_t sample_size = 200;
constexpr int fit_rounds = 3;

/// Planes that are tried for a node.
constexpr std::uint64_t attempts = 3;

/// A plane that leaves less than this on a side is tried again, and moved the last time: lopsided splits make
/// trees deep and leaves bad.
constexpr double least_share = 0.05;

/// Nodes of so many rows fit in the second-level cache, and are worked on in a copy there.
constexpr std::size_t local_rows = 4096;

/// Rounds to the nearest number whose lower 16 bits are zero.
std::uint16_t to_bfloat16(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

template <class T>
void put(std::byte* to, T value) {
    std::memcpy(to, &value, sizeof value);
}

/// Rows by their position in a copy of what a tree is built over.
struct Rows {
    const std::uint8_t* codes;
    const std::uint32_t* ids;
    const std::int32_t* outside;
};

/// Writes leaves: what a search needs to estimate the distances of their rows.
///
/// The sketch of a row is a bit for each dimension: the sign of its difference from the leaf's centre. With
/// r that difference and b the signs, <r, q - centre> is estimated as |r|^2 / |r|_1 <b, q - centre>, as in
/// RaBitQ (Gao & Long 2024).
class LeafWriter {
  public:
    LeafWriter(const TreeInput& input)
        : input_(input), width_(input.facts.width), bits_(width_ / 8), centre_(width_), sums_(width_) {}

    /// Writes the rows `positions` of some rows, leaf_size at most. `slot` is the leaf's place in its bough.
    void write(const Rows& rows, std::span<const std::uint32_t> positions, std::byte* leaf, std::byte* bough,
               std::size_t slot) {
        find_centre(rows.codes, positions);
        auto* const centres = reinterpret_cast<std::uint8_t*>(bough + sizeof(Bough)) + 4 * slot;
        std::int32_t squared = 0;
        for (std::size_t j = 0; j < width_; ++j) {
            std::uint8_t& byte = centres[j / 8 * 4 * bough_leaves + j % 4];
            byte = static_cast<std::uint8_t>(byte | shorten(centre_[j]) << (j % 8 < 4 ? 0 : 4));
            squared += (centre_[j] - code_middle) * (centre_[j] - code_middle);
        }
        const std::int32_t given = input_.facts.distance == Distance::dot ? equal_square(width_) : squared;
        put(bough + offsetof(Bough, squares) + slot * sizeof given, given);
        excess_ = given - squared;
        for (std::size_t entry = 0; entry < leaf_size; ++entry) {
            if (entry >= positions.size()) {
                put(leaf + block_terms + 2 * entry, to_bfloat16(std::numeric_limits<float>::infinity()));
                continue;
            }
            const std::uint32_t position = positions[entry];
            const std::uint32_t id = rows.ids[position];
            put(leaf + 4 * entry, id);
            if (input_.facts.distance == Distance::hamming) {
                put(leaf + block_factors + 2 * entry, to_bfloat16(-1.0f));
                write_bits(input_.rows + std::size_t{id} * (width_ / 8), leaf, entry);
            } else {
                write_sketch(rows.codes + position * width_, rows.outside[position] - excess_, leaf, entry);
            }
        }
    }

  private:
    /// The mean of the rows, in 4 bits.
    void find_centre(const std::uint8_t* codes, std::span<const std::uint32_t> positions) {
        const auto count = static_cast<std::int32_t>(positions.size());
        std::fill(sums_.begin(), sums_.end(), 0);
        kernel_.add_rows(codes, positions.data(), positions.size(), width_, sums_.data());
        for (std::size_t j = 0; j < width_; ++j) {
            const std::int32_t mean = (sums_[j] + count / 2) / count;
            centre_[j] = static_cast<std::uint8_t>(lengthen(shorten(mean)));
        }
    }

    void write_sketch(const std::uint8_t* code, std::int32_t outside, std::byte* leaf, std::size_t entry) {
        const Residual r = kernel_.residual(code, centre_.data(), width_, bits_.data());
        const float ratio = r.l1 > 0 ? static_cast<float>(r.squared_l2) / static_cast<float>(r.l1) : 0.0f;
        const float term = static_cast<float>(r.squared_l2) +
                           (2.0f * ratio * static_cast<float>(r.centre_signs) + static_cast<float>(outside));
        put(leaf + block_terms + 2 * entry, to_bfloat16(term));
        put(leaf + block_factors + 2 * entry, to_bfloat16(8.0f * ratio));
        write_bits(reinterpret_cast<const std::byte*>(bits_.data()), leaf, entry);
    }

    /// Bits of hamming rows are distances already: their tables count differing bits, their factor is -1, and
    /// there is nothing to add.
    void write_bits(const std::byte* bits, std::byte* leaf, std::size_t entry) const {
        std::byte* const to = leaf + block_bits + block_lane(entry);
        for (std::size_t b = 0; b < width_ / 8; ++b) to[b * block_entries] = bits[b];
    }

    const TreeInput& input_;
    const Kernels& kernel_ = kernels();
    std::size_t width_;
    std::int32_t excess_ = 0;  ///< what the centre's distances are too large by
    std::vector<std::uint8_t> bits_, centre_;
    std::vector<std::int32_t> sums_;
};

/// Finds planes between two means.
class PlaneFitter {
  public:
    explicit PlaneFitter(std::size_t width)
        : width_(width), total_(width), right_sums_(width), right_(width), left_(width), weights_(width) {}

    /// Fits a plane to a sample of the rows at `positions` (two at least): the rows whose dot product with
    /// `normal` is at least `threshold` lie on the right. Returns false if it finds no two different means.
    bool fit(const std::uint8_t* codes, std::span<const std::uint32_t> positions, Random& random,
             std::int8_t* normal) {
        const auto count = static_cast<std::uint32_t>(positions.size());
        sample_.resize(std::min(sample_size, count));
        if (count <= sample_size) {
            std::copy(positions.begin(), positions.end(), sample_.begin());
        } else {
            for (auto& position : sample_) position = positions[random.below(count)];
        }
        std::fill(total_.begin(), total_.end(), 0);
        kernel_.add_rows(codes, sample_.data(), sample_.size(), width_, total_.data());

        const auto picked = static_cast<std::uint32_t>(sample_.size());
        const std::uint32_t i = random.below(picked);
        std::uint32_t j = random.below(picked - 1);
        j += j >= i;
        for (std::size_t d = 0; d < width_; ++d) {
            right_[d] = codes[std::size_t{sample_[i]} * width_ + d];
            left_[d] = codes[std::size_t{sample_[j]} * width_ + d];
        }
        if (!take_plane(normal)) return false;
        dots_.resize(picked);
        for (int round = 0; round < fit_rounds; ++round) {
            if (!improve(codes, normal)) return round > 0;
        }
        return true;
    }

    std::int32_t threshold() const { return threshold_; }

  private:
    /// One of Lloyd's rounds.
    bool improve(const std::uint8_t* codes, std::int8_t* normal) {
        kernel_.dots(codes, sample_.data(), sample_.size(), normal, width_, dots_.data());
        rights_.resize(sample_.size());
        std::uint32_t* end = rights_.data();
        for (std::size_t n = 0; n < sample_.size(); ++n) {
            *end = sample_[n];  // overwritten unless it counts
            end += dots_[n] >= threshold_;
        }
        rights_.resize(static_cast<std::size_t>(end - rights_.data()));
        if (rights_.empty() || rights_.size() == sample_.size()) return false;
        std::fill(right_sums_.begin(), right_sums_.end(), 0);
        kernel_.add_rows(codes, rights_.data(), rights_.size(), width_, right_sums_.data());
        const float right_share = 1.0f / static_cast<float>(rights_.size());
        const float left_share = 1.0f / static_cast<float>(sample_.size() - rights_.size());
        for (std::size_t d = 0; d < width_; ++d) {
            right_[d] = static_cast<float>(right_sums_[d]) * right_share;
            left_[d] = static_cast<float>(total_[d] - right_sums_[d]) * left_share;
        }
        return take_plane(normal);
    }

    /// Takes the plane midway between the means. Changes nothing and returns false if they are the same.
    bool take_plane(std::int8_t* normal) {
        std::int32_t largest_bits = 0;  // magnitudes compare as integers do
        for (std::size_t d = 0; d < width_; ++d) {
            weights_[d] = right_[d] - left_[d];
            largest_bits = std::max(largest_bits, std::bit_cast<std::int32_t>(weights_[d]) & 0x7fff'ffff);
        }
        if (largest_bits == 0) return false;
        const float factor = normal_limit / std::bit_cast<float>(largest_bits);
        for (std::size_t d = 0; d < width_; ++d) {
            const std::int32_t weight = round_small(weights_[d] * factor);
            normal[d] = static_cast<std::int8_t>(weight);
            weights_[d] = static_cast<float>(weight);
        }
        const double right = kernel_.dot_f32(weights_.data(), right_.data(), width_);
        const double left = kernel_.dot_f32(weights_.data(), left_.data(), width_);
        threshold_ = static_cast<std::int32_t>(std::ceil(0.5 * (right + left)));
        return true;
    }

    const Kernels& kernel_ = kernels();
    std::size_t width_;
    std::int32_t threshold_ = 0;
    std::vector<std::uint32_t> sample_, rights_;
    std::vector<std::int32_t> total_, right_sums_, dots_;
    std::vector<float> right_, left_, weights_;  ///< the means, and what lies between them
};

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
