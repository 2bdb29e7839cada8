#include "leaf_neighbours.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <span>
#include <vector>

#include "ann_bench/kernels.hpp"
#include "ann_bench/parallel.hpp"
#include "ann_bench/random.hpp"

namespace ann_bench {
namespace {

constexpr std::size_t most_in_leaf = 640;

/// Splits rows in halves, again and again, and tells the leaves.
class Splitter {
  public:
    explicit Splitter(const Codes& codes) : codes_(codes), normal_(codes.width) {}

    /// Reorders `ids`; appends the leaves to `leaves`.
    void split(std::span<std::uint32_t> ids, std::uint64_t key,
               std::vector<std::span<const std::uint32_t>>& leaves) {
        if (ids.size() <= most_in_leaf) {
            leaves.push_back(ids);
            return;
        }
        find_normal(ids, key);
        dots_.resize(ids.size());
        kernels().dots(codes_.data, ids.data(), ids.size(), normal_.data(), codes_.width, dots_.data());
        keys_.resize(ids.size());
        for (std::size_t i = 0; i < ids.size(); ++i) {
            keys_[i] = static_cast<std::uint64_t>(std::int64_t{dots_[i]} + 0x8000'0000) << 32 | ids[i];
        }
        const std::size_t half = ids.size() / 2;
        std::nth_element(keys_.begin(), keys_.begin() + static_cast<std::ptrdiff_t>(half), keys_.end());
        for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::uint32_t>(keys_[i]);
        // Which rows are in a half is certain, how nth_element leaves them is the library's affair.
        std::sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(half));
        std::sort(ids.begin() + static_cast<std::ptrdiff_t>(half), ids.end());
        split(ids.first(half), derive_key(key, 1), leaves);
        split(ids.subspan(half), derive_key(key, 2), leaves);
    }

  private:
    /// From one random row to another.
    void find_normal(std::span<const std::uint32_t> ids, std::uint64_t key) {
        Random random(key);
        const auto count = static_cast<std::uint32_t>(ids.size());
        const std::uint8_t* const a = codes_.of(ids[random.below(count)]);
        const std::uint8_t* const b = codes_.of(ids[random.below(count)]);
        for (std::size_t d = 0; d < codes_.width; ++d) normal_[d] = static_cast<std::int8_t>(a[d] - b[d]);
    }

    Codes codes_;
    std::vector<std::int8_t> normal_;
    std::vector<std::int32_t> dots_;
    std::vector<std::uint64_t> keys_;
};

}  // namespace

Buffer find_leaf_neighbours(const Codes& codes, std::uint64_t key, unsigned threads) {
    Buffer buffer(codes.rows * leaf_neighbours * sizeof(std::uint32_t));
    const auto neighbours = buffer.as<std::uint32_t>();
    std::vector<std::vector<std::uint32_t>> ids(leaf_trees);
    std::vector<std::vector<std::span<const std::uint32_t>>> leaves(leaf_trees);
    parallel_for(leaf_trees, threads, [&](std::size_t tree) {
        ids[tree].resize(codes.rows);
        std::iota(ids[tree].begin(), ids[tree].end(), 0u);
        Splitter(codes).split(ids[tree], derive_key(key, tree), leaves[tree]);
    });
    const Kernels& kernel = kernels();
    for (std::size_t tree = 0; tree < leaf_trees; ++tree) {
        parallel_for(leaves[tree].size(), threads, [&](std::size_t which) {
            const std::span leaf = leaves[tree][which];
            std::vector<std::int32_t> squares(leaf.size());
            std::array<std::uint64_t, neighbours_per_leaf + 1 + pool_room> nearest;
            for (const std::uint32_t row : leaf) {
                kernel.code_squares(codes.data, leaf.data(), leaf.size(), codes.of(row), codes.width,
                                    squares.data());
                std::size_t lowest = 0, count = 0;
                count = kernel.admit(nearest.data(), count, neighbours_per_leaf + 1, leaf.data(),
                                     squares.data(), leaf.size(), no_limit, &lowest);
                std::uint32_t* to = &neighbours[row * leaf_neighbours + tree * neighbours_per_leaf];
                std::uint32_t* const end = to + neighbours_per_leaf;
                for (std::size_t i = 0; i < count && to < end; ++i) {
                    if (vertex_of(nearest[i]) != row) *to++ = vertex_of(nearest[i]);
                }
                std::fill(to, end, row);
            }
        });
    }
    return buffer;
}

}  // namespace ann_bench
