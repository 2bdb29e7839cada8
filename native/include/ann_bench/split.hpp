#pragma once
// Splits: the plane that lies midway between two points, and how the two points are found.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "ann_bench/index.hpp"
#include "ann_bench/random.hpp"

namespace ann_bench {

/// Rows that two-means looks at. Annoy's number: more moves the centroids by less than their spread.
inline constexpr std::uint32_t split_sample = 200;

/// The two different members of `ids` that a split starts from. Requires ids.size() >= 2.
inline std::pair<std::uint32_t, std::uint32_t> two_members(std::span<const std::uint32_t> ids,
                                                           Random& random) {
    const auto count = static_cast<std::uint32_t>(ids.size());
    const std::uint32_t i = random.below(count);
    std::uint32_t j = random.below(count - 1);
    j += j >= i;
    return {ids[i], ids[j]};
}

/// Float rows: the hyperplane midway between two points, for every distance but hamming.
///
/// Manhattan rows are split in the L2 sense too. Its own bisectors are not planes, while what the tree needs
/// is only that neighbours mostly fall on one side, and what is returned is ranked by true L1.
template <bool spherical>
class PlaneSplit {
  public:
    PlaneSplit(RowsView<float> rows, SplitScheme scheme) : rows_(rows), scheme_(scheme) {}

    static float margin(const Node& node, const float* row, std::size_t width) {
        return node.offset + node.scale * kernels::dot(payload<float>(node), row, width);
    }

    /// Writes a plane for the rows `ids` (at least two) to `node` and what lies behind it.
    /// Returns false if the two points found are the same.
    bool fit(std::span<const std::uint32_t> ids, Random& random, Node& node) {
        const std::size_t width = rows_.width;
        const auto [i, j] = two_members(ids, random);
        right_.assign(rows_[i], rows_[i] + width);
        left_.assign(rows_[j], rows_[j] + width);
        if (spherical) {
            to_unit_length(right_);
            to_unit_length(left_);
        }
        if (scheme_ == SplitScheme::two_means) {
            refine(ids, random);
            if (spherical) {
                to_unit_length(right_);
                to_unit_length(left_);
            }
        }
        auto* normal = reinterpret_cast<float*>(&node + 1);
        for (std::size_t d = 0; d < width; ++d) normal[d] = right_[d] - left_[d];
        const float length = std::sqrt(kernels::dot(normal, normal, width));
        if (!(length > 0) || !std::isfinite(length)) return false;
        // Unit normals make margins distances to the plane: only then is one queue over all nodes meaningful.
        node.scale = 1.0f / length;
        if (!std::isfinite(node.scale)) return false;
        node.offset = 0;
        if (!spherical) {
            for (std::size_t d = 0; d < width; ++d) right_[d] = 0.5f * right_[d] + 0.5f * left_[d];
            node.offset = -node.scale * kernels::dot(normal, right_.data(), width);
        }
        return std::isfinite(node.offset);
    }

  private:
    static void to_unit_length(std::vector<float>& vector) {
        const float length = std::sqrt(kernels::dot(vector.data(), vector.data(), vector.size()));
        if (length > 0) {
            for (float& value : vector) value /= length;
        }
    }

    /// Annoy's two-means: each sampled row moves the centroid it is nearer to, where a centroid's distance
    /// counts times its number of rows, so that neither runs away with all of them.
    void refine(std::span<const std::uint32_t> ids, Random& random) {
        const std::size_t width = rows_.width;
        const auto count = static_cast<std::uint32_t>(ids.size());
        float rows_right = 1, rows_left = 1;
        sample_.resize(width);
        for (std::uint32_t n = std::min(split_sample, count); n > 0; --n) {
            const float* row = rows_[ids[random.below(count)]];
            if (spherical) {
                sample_.assign(row, row + width);
                to_unit_length(sample_);
                row = sample_.data();
            }
            const float right = rows_right * kernels::squared_l2(right_.data(), row, width);
            const float left = rows_left * kernels::squared_l2(left_.data(), row, width);
            if (right < left) {
                move_towards(right_, row, ++rows_right);
            } else if (left < right) {
                move_towards(left_, row, ++rows_left);
            }
        }
    }

    static void move_towards(std::vector<float>& centroid, const float* row, float count) {
        const float share = 1.0f / count;
        for (std::size_t d = 0; d < centroid.size(); ++d) centroid[d] += share * (row[d] - centroid[d]);
    }

    RowsView<float> rows_;
    SplitScheme scheme_;
    std::vector<float> right_, left_, sample_;
};

/// Counts, for each bit of some rows, in how many it is set.
///
/// The counts lie across words: plane p holds bit p of 64 counts. Adding a row is then a carry that ripples
/// through two planes on average, for 64 counts at a time, where a counter per bit would take 64 additions.
class BitVotes {
  public:
    void start(std::size_t words) {
        words_ = words;
        voters_ = 0;
        counts_.assign(words * planes, 0);
    }

    /// At most split_sample times after `start`.
    void add(const std::uint64_t* row) {
        ++voters_;
        for (std::size_t w = 0; w < words_; ++w) {
            std::uint64_t carry = row[w];
            for (std::size_t p = w * planes; carry != 0; ++p) {
                const std::uint64_t next = counts_[p] & carry;
                counts_[p] ^= carry;
                carry = next;
            }
        }
    }

    /// Sets each bit of `centroid` as most rows have it; a tie, or no row at all, leaves it as it was.
    void elect(std::uint64_t* centroid) const {
        const std::uint32_t half = voters_ / 2;
        for (std::size_t w = 0; w < words_; ++w) {
            std::uint64_t more = 0,
                          equal = ~std::uint64_t{0};  // than `half`, 64 comparisons from the top bit down
            for (std::size_t p = planes; p-- > 0;) {
                const std::uint64_t count = counts_[w * planes + p];
                const std::uint64_t limit = ((half >> p) & 1) != 0 ? ~std::uint64_t{0} : 0;
                more |= equal & count & ~limit;
                equal &= ~(count ^ limit);
            }
            const std::uint64_t tie = voters_ % 2 == 0 ? equal : 0;
            centroid[w] = more | (tie & centroid[w]);
        }
    }

  private:
    static constexpr std::size_t planes = 8;
    static_assert(split_sample < (1u << planes));

    std::size_t words_ = 0;
    std::uint32_t voters_ = 0;
    std::vector<std::uint64_t> counts_;
};

/// Bits: the rows nearer, in hamming distance, to one of two bit vectors than to the other.
///
/// This is the same plane midway between two points. The other choice, a single bit per node as in Annoy,
/// makes nodes smaller, but one bit says little about a neighbourhood; see README.md for the recall of both.
/// Margins are integers up to the final scale, so zero is common: the tree sends such rows either way.
class BitSplit {
  public:
    BitSplit(RowsView<std::uint64_t> rows, SplitScheme scheme) : rows_(rows), scheme_(scheme) {}

    static float margin(const Node& node, const std::uint64_t* row, std::size_t words) {
        const auto* right = payload<std::uint64_t>(node);
        const auto to_right = static_cast<std::int32_t>(kernels::differing_bits(right, row, words));
        const auto to_left = static_cast<std::int32_t>(kernels::differing_bits(right + words, row, words));
        return node.offset + node.scale * static_cast<float>(to_left - to_right);
    }

    bool fit(std::span<const std::uint32_t> ids, Random& random, Node& node) {
        const std::size_t words = rows_.width;
        const auto [i, j] = two_members(ids, random);
        auto* right = reinterpret_cast<std::uint64_t*>(&node + 1);
        auto* left = right + words;
        std::memcpy(right, rows_[i], words * 8);
        std::memcpy(left, rows_[j], words * 8);
        if (scheme_ == SplitScheme::two_means) refine(ids, random, right, left);
        const std::uint32_t apart = kernels::differing_bits(right, left, words);
        if (apart == 0) return false;
        // The plane's normal has one entry of +-1 for each bit in which the points differ.
        node.scale = 1.0f / std::sqrt(static_cast<float>(apart));
        node.offset = 0;
        return true;
    }

  private:
    static constexpr int rounds = 3;

    /// Lloyd's rounds on a sample; a centroid is the majority of each bit, which keeps it a bit vector.
    void refine(std::span<const std::uint32_t> ids, Random& random, std::uint64_t* right,
                std::uint64_t* left) {
        const auto count = static_cast<std::uint32_t>(ids.size());
        sample_.resize(std::min(split_sample, count));
        for (auto& id : sample_) id = ids[random.below(count)];
        for (int round = 0; round < rounds; ++round) {
            right_.start(rows_.width);
            left_.start(rows_.width);
            for (const std::uint32_t id : sample_) {
                const std::uint64_t* row = rows_[id];
                const bool nearer = kernels::differing_bits(right, row, rows_.width) <
                                    kernels::differing_bits(left, row, rows_.width);
                (nearer ? right_ : left_).add(row);
            }
            right_.elect(right);
            left_.elect(left);
        }
    }

    RowsView<std::uint64_t> rows_;
    SplitScheme scheme_;
    std::vector<std::uint32_t> sample_;
    BitVotes right_, left_;
};

/// The split that goes with a distance.
template <class Policy>
using SplitOf = std::conditional_t<std::is_same_v<typename Policy::Element, std::uint64_t>, BitSplit,
                                   PlaneSplit<Policy::spherical>>;

}  // namespace ann_bench
