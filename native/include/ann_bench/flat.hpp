#pragma once
// The index that compares every row: exact, or exact among those that look nearest by their codes.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ann_bench/index.hpp"
#include "ann_bench/rows.hpp"

namespace ann_bench {

/// What the header says of a flat index.
struct FlatFacts {
    Distance distance;
    std::uint32_t dimension;
    RowType type;
    std::uint32_t reserved;
    std::uint64_t rows;
};
static_assert(sizeof(FlatFacts) == 24);

/// Rows, and nothing else.
class Flat final : public Index {
  public:
    /// Copies `count` vectors of `dimension` values: see OwnedRows.
    static Flat build(const Vectors& vectors, std::size_t count, std::uint32_t dimension, Distance distance,
                      unsigned threads);

    static Flat open(std::shared_ptr<const SectionFile> file);

    IndexKind kind() const override { return IndexKind::flat; }
    RowsView rows() const override { return rows_; }
    Effort usual_effort(std::size_t) const override { return whole_effort(); }
    Effort whole_effort() const override { return {rows_.shape.rows, rows_.shape.rows}; }

    const FlatFacts& facts() const { return facts_; }

  protected:
    std::unique_ptr<Searcher> make_searcher() const override;
    std::span<const std::byte> header_facts() const override { return std::as_bytes(std::span(&facts_, 1)); }
    std::vector<Part> parts() const override;
    void append(const Vectors& vectors, std::size_t count, unsigned threads) override;

  private:
    explicit Flat(const RowsView& rows) { show(rows); }
    void show(const RowsView& rows);

    FlatFacts facts_{};
    RowsView rows_{};
    std::shared_ptr<const SectionFile> file_;  ///< where the rows are, or
    std::unique_ptr<OwnedRows> owned_;         ///< what they are in
};

}  // namespace ann_bench
