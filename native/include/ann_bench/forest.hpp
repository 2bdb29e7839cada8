#pragma once
// The forest as its users see it: build, query, save, open.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ann_bench/forest_parts.hpp"
#include "ann_bench/index.hpp"
#include "ann_bench/section_file.hpp"
#include "ann_bench/vectors.hpp"

namespace ann_bench {

struct ForestOptions {
    Distance distance = Distance::euclidean;
    std::uint32_t trees = 1;
    std::uint64_t seed = 0;
    unsigned threads = 1;
    /// The rows that can be found, rising; others are kept and never found. All of them unless told
    /// otherwise.
    std::optional<std::span<const std::uint32_t>> present{};
};

/// A forest of trees over rows.
class Forest final : public Index {
  public:
    /// Copies `count` vectors of `dimension` values and builds trees over them, one task per tree.
    ///
    /// The result depends on the vectors and the options without `threads`, to the last byte.
    /// Throws std::invalid_argument if a size is out of range, a value is not finite, or the vectors are
    /// bits where the distance needs numbers.
    static Forest build(const Vectors& vectors, std::size_t count, std::uint32_t dimension,
                        const ForestOptions& options);

    /// The same straight into a file, which is then opened: what `save` would write, for rows that do not fit
    /// in memory. The rows go to the file as they come; codes and trees, a fraction of them, stay in memory
    /// until the end. Throws std::system_error too.
    static Forest build_file(const Vectors& vectors, std::size_t count, std::uint32_t dimension,
                             const ForestOptions& options, const std::string& path);

    /// See Index::open.
    static Forest open(const std::string& path, OpenMode mode = OpenMode::mmap);
    static Forest open(std::shared_ptr<const SectionFile> file);

    IndexKind kind() const override { return IndexKind::forest; }
    RowsView rows() const override { return view_.exact_rows(); }
    Effort usual_effort(std::size_t k) const override;
    Effort whole_effort() const override {
        return {view_.facts.trees * view_.facts.present, view_.facts.present};
    }

    const ForestFacts& facts() const { return view_.facts; }

  protected:
    std::unique_ptr<Searcher> make_searcher() const override;
    std::span<const std::byte> header_facts() const override {
        return std::as_bytes(std::span(&view_.facts, 1));
    }
    std::vector<Part> parts() const override;

  private:
    Forest(const ForestView& view, std::shared_ptr<const void> owner)
        : view_(view), owner_(std::move(owner)) {}

    ForestView view_;
    std::shared_ptr<const void> owner_;
};

}  // namespace ann_bench
