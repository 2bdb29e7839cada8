#pragma once
// The forest as its users see it: build, query, save, open.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ann_bench/index.hpp"
#include "ann_bench/search.hpp"
#include "ann_bench/section_file.hpp"
#include "ann_bench/vectors.hpp"

namespace ann_bench {

struct BuildOptions {
    Distance distance = Distance::euclidean;
    std::uint32_t trees = 1;
    std::uint64_t seed = 0;
    unsigned threads = 1;
    /// The rows that can be found, rising; others are kept and never found. All of them unless told
    /// otherwise.
    std::optional<std::span<const std::uint32_t>> present{};
};

/// A forest of trees over rows that do not change. All members may be called from several threads at once.
class Forest {
  public:
    /// Copies `count` vectors of `dimension` values and builds trees over them, one task per tree.
    ///
    /// The result depends on the vectors and the options without `threads`, to the last byte.
    /// Throws std::invalid_argument if a size is out of range, a value is not finite, or the vectors are
    /// bits where the distance needs numbers.
    static Forest build(const Vectors& vectors, std::size_t count, std::uint32_t dimension,
                        const BuildOptions& options);

    /// The same straight into a file, which is then opened: what `save` would write, for rows that do not fit
    /// in memory. The rows go to the file as they come; codes and trees, a fraction of them, stay in memory
    /// until the end. Throws std::system_error too.
    static Forest build_file(const Vectors& vectors, std::size_t count, std::uint32_t dimension,
                             const BuildOptions& options, const std::string& path);

    /// See open_index.
    static Forest open(const std::string& path, OpenMode mode = OpenMode::mmap);

    /// See save_index.
    void save(const std::string& path) const;

    /// Finds the `k` nearest of the rows that a search sees, for each of `count` vectors.
    ///
    /// `ids` and `distances` have room for count x k values; see Search::run for the order, the padding and
    /// the effort. Throws std::invalid_argument if a value is not finite, DamagedIndex.
    void query(const Vectors& vectors, std::size_t count, std::size_t k, const Effort& effort,
               unsigned threads, std::int32_t* ids, float* distances) const;

    /// What a search for `k` neighbours does unless told otherwise.
    Effort default_effort(std::size_t k) const;

    /// Changes that; `save` keeps it.
    void set_default_effort(const Effort& effort);

    /// Writes a row as it was given (hamming: 0 and 1) to `to`. Throws std::out_of_range.
    void vector(std::uint64_t row, float* to) const;

    const Facts& facts() const { return view_.facts; }

    /// Bytes of the saved file.
    std::uint64_t size_bytes() const;

    /// Leaf entries that the queries so far estimated the distance of.
    std::uint64_t distance_computations() const { return pool_->distance_computations(); }

  private:
    Forest(const IndexView& view, std::shared_ptr<const void> owner)
        : view_(view), owner_(std::move(owner)), pool_(std::make_unique<ScratchPool>()) {}

    IndexView view_;
    std::shared_ptr<const void> owner_;
    std::unique_ptr<ScratchPool> pool_;
};

}  // namespace ann_bench
