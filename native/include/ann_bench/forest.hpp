#pragma once
// The forest as its users see it: build, query, save, open.

#include <cstdint>
#include <memory>
#include <string>

#include "ann_bench/index.hpp"
#include "ann_bench/search.hpp"

namespace ann_bench {

struct BuildOptions {
    Distance distance = Distance::euclidean;
    std::uint32_t trees = 1;
    std::uint32_t leaf_size = 1;
    SplitScheme split = SplitScheme::two_means;
    std::uint64_t seed = 0;
    unsigned threads = 1;
};

/// A forest of trees over rows that do not change. All members may be called from several threads at once.
class Forest {
  public:
    /// Copies `count` vectors of `dimension` values and builds trees over them, one task per tree.
    ///
    /// The result depends on the vectors and the options without `threads`, to the last byte.
    /// Throws std::invalid_argument if a size is out of range, a value is not finite, or the vectors are
    /// bytes where the distance needs floats.
    ///
    /// `present`, if not empty, has a byte per row; rows with 0 are stored and never found.
    static Forest build(Vectors vectors, std::size_t count, std::uint32_t dimension,
                        const BuildOptions& options, std::span<const std::uint8_t> present = {});

    /// See open_index.
    static Forest open(const std::string& path);

    /// See save_index.
    void save(const std::string& path) const;

    /// Finds the `k` nearest of the rows that a search sees, for each of `count` vectors.
    ///
    /// `ids` and `distances` have room for count x k values; see Search::run for the order, the padding and
    /// `search_k`. Throws std::invalid_argument if a value is not finite, DamagedIndex.
    void query(Vectors vectors, std::size_t count, std::size_t k, std::uint64_t search_k, unsigned threads,
               std::int32_t* ids, float* distances) const;

    /// A row as it is stored, float or one byte per bit.
    void vector(std::size_t row, float* to) const;
    void vector(std::size_t row, std::uint8_t* to) const;

    const Summary& summary() const { return view_.summary; }

    /// Distances that the queries so far computed; hyperplanes are not counted.
    std::uint64_t distance_computations() const { return pool_->distance_computations(); }

  private:
    Forest(const IndexView& view, std::shared_ptr<const void> owner)
        : view_(view), owner_(std::move(owner)), pool_(std::make_unique<ScratchPool>()) {}

    IndexView view_;
    std::shared_ptr<const void> owner_;
    std::unique_ptr<ScratchPool> pool_;
};

}  // namespace ann_bench
