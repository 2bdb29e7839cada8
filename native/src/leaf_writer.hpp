#pragma once
// What a leaf says of its rows, for searches to estimate their distances by.

#include <bit>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "ann_bench/tree.hpp"

namespace ann_bench {

/// Rounds to the nearest number whose lower 16 bits are zero.
inline std::uint16_t to_bfloat16(float value) {
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
        const std::int32_t excess = given - squared;  // of all distances from the centre
        for (std::size_t entry = 0; entry < leaf_size; ++entry) {
            if (entry >= positions.size()) {
                put(leaf + block_terms + 2 * entry, to_bfloat16(std::numeric_limits<float>::infinity()));
                continue;
            }
            const std::uint32_t position = positions[entry];
            const std::uint32_t id = rows.ids[position];
            put(leaf + 4 * entry, id);
            if (takes_bits(input_.facts.distance)) {
                const std::byte* const bits = input_.rows + std::size_t{id} * (width_ / 8);
                put(leaf + block_terms + 2 * entry, to_bfloat16(term_of(bits)));
                put(leaf + block_factors + 2 * entry, to_bfloat16(-1.0f));
                write_bits(bits, leaf, entry);
            } else {
                write_sketch(rows.codes + position * width_, rows.outside[position] - excess, leaf, entry);
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

    /// What is added to the number of differing bits, which the tables count and the factor of -1 leaves as
    /// it is. For hamming nothing: that number is the distance. For jaccard, of two sets as far apart from
    /// the query, the larger is the nearer: with h differing items and sizes p and q the distance is
    /// 2 h / (p + q + h), and that this is less than t says h - p t / (2 - t) < q t / (2 - t). The half is
    /// that of distances around 2/3, where the nearest of large collections of small sets are.
    float term_of(const std::byte* bits) const {
        if (input_.facts.distance == Distance::hamming) return 0;
        int items = 0;
        for (std::size_t i = 0; i < width_ / 8; ++i)
            items += std::popcount(std::to_integer<std::uint8_t>(bits[i]));
        return -0.5f * static_cast<float>(items);
    }

    void write_bits(const std::byte* bits, std::byte* leaf, std::size_t entry) const {
        std::byte* const to = leaf + block_bits + block_lane(entry);
        for (std::size_t b = 0; b < width_ / 8; ++b) to[b * block_entries] = bits[b];
    }

    const TreeInput& input_;
    const Kernels& kernel_ = kernels();
    std::size_t width_;
    std::vector<std::uint8_t> bits_, centre_;
    std::vector<std::int32_t> sums_;
};

}  // namespace ann_bench
