#pragma once
// Rows in a byte a dimension, which tell how far from a vector a row is at least and at most.

#include <cstdint>
#include <vector>

#include "ann_bench/buffer.hpp"
#include "ann_bench/kernels.hpp"
#include "ann_bench/rows.hpp"

namespace ann_bench {

/// What a code of a row stands for: `scale` (code - 64) a dimension, `error` away from the row.
struct ByteCodeTerms {
    float scale;
    float length;  ///< of what the code stands for
    float error;   ///< no less than it is
};
static_assert(sizeof(ByteCodeTerms) == 12);

/// The codes of rows, wherever they lie. Angular rows have unit length in them.
struct ByteCodesView {
    const std::uint8_t* codes;  ///< `width` for each row
    const ByteCodeTerms* terms;
    std::size_t width;

    static std::size_t width_for(std::uint32_t dimension) { return round_up(dimension, code_step); }
    /// Whether rows of that type and distance gain from codes, and have bounds.
    static bool help(const RowsView& rows) {
        return (rows.type == RowType::f32 || rows.type == RowType::f16) && !takes_bits(rows.shape.distance) &&
               rows.shape.distance != Distance::manhattan;
    }

    std::vector<Part> parts(std::uint64_t rows) const;
    /// Throws DamagedIndex if the file has none for these rows.
    static ByteCodesView open(const SectionFile& file, const Shape& shape);
};

/// Codes in memory.
class OwnedByteCodes {
  public:
    /// Makes the codes of all rows, for which codes help.
    OwnedByteCodes(const RowsView& rows, unsigned threads);

    ByteCodesView view() const {
        return {codes_.as<std::uint8_t>().data(), terms_.as<ByteCodeTerms>().data(), width_};
    }

  private:
    std::size_t width_;
    Buffer codes_, terms_;
};

/// Compares rows with one vector by their codes, and exactly those alone that may be among the nearest: the
/// answers are those of comparing all exactly.
///
/// By the triangle inequality a row is no nearer than its code less both errors, and no farther than its code
/// and both errors; what is no nearer than so many others are far is not among those. Inner products have
/// such bounds from Cauchy and Schwarz.
class Sieve final : public Comparison {
  public:
    Sieve(const RowsView& rows, const ByteCodesView& codes);

    void start(Query& query, const Question& question) override;
    void add(std::span<const std::uint32_t> rows) override;
    std::vector<Answer>& take() override;

  private:
    template <bool euclidean>
    void add_by(std::span<const std::uint32_t> rows);

    RowsView rows_;
    ByteCodesView codes_;
    ExactDistance exact_;
    Nearest uppers_, nearest_;
    std::uint32_t itself_ = no_row;
    std::vector<Answer> candidates_;  ///< lower bounds, with their rows
    std::vector<std::int8_t> code_;   ///< of the vector
    std::int32_t offset_ = 0;         ///< what the codes' 64 adds to inner products
    float scale_ = 0, length_ = 0, coded_length_ = 0, error_ = 0;
    std::vector<std::int32_t> dots_;
};

}  // namespace ann_bench
