#pragma once
// The index that compares every row.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "ann_bench/byte_codes.hpp"
#include "ann_bench/index.hpp"
#include "ann_bench/rows.hpp"

namespace ann_bench {

/// What the header says of a flat index.
struct FlatFacts {
    Distance distance;
    std::uint32_t dimension;
    RowType type;
    std::uint32_t codes;  ///< 1: it has codes of the rows; 0: it has not
    std::uint64_t rows;
};
static_assert(sizeof(FlatFacts) == 24);

/// Rows, and maybe codes to rule most of them out by; the answers are exact either way.
class Flat final : public Index {
  public:
    /// Copies `count` vectors of `dimension` values: see OwnedRows. Of rows that gain nothing from codes it
    /// has none.
    static Flat build(const Vectors& vectors, std::size_t count, std::uint32_t dimension, Distance distance,
                      bool codes, unsigned threads);

    static Flat open(std::shared_ptr<const SectionFile> file);

    IndexKind kind() const override { return IndexKind::flat; }
    RowsView rows() const override { return rows_; }
    Effort usual_effort(std::size_t) const override { return whole_effort(); }
    Effort whole_effort() const override { return {rows_.shape.rows, rows_.shape.rows}; }

    const FlatFacts& facts() const { return facts_; }

  protected:
    std::unique_ptr<Searcher> make_searcher() const override;
    std::unique_ptr<Comparison> make_comparison() const override;
    std::span<const std::byte> header_facts() const override { return std::as_bytes(std::span(&facts_, 1)); }
    std::vector<Part> parts() const override;
    void append(const Vectors& vectors, std::size_t count, unsigned threads) override;

  private:
    Flat() = default;
    void show(const RowsView& rows, bool codes);
    void make_codes(unsigned threads);

    FlatFacts facts_{};
    RowsView rows_{};
    ByteCodesView codes_{};
    std::shared_ptr<const SectionFile> file_;  ///< where the rows are, or
    std::unique_ptr<OwnedRows> owned_;         ///< what they are in
    std::optional<OwnedByteCodes> owned_codes_;
};

}  // namespace ann_bench
