#pragma once
// Rows as an index keeps them, each in the smallest type that holds all of them exactly, and exact distances.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "ann_bench/buffer.hpp"
#include "ann_bench/distance.hpp"
#include "ann_bench/index.hpp"
#include "ann_bench/kernels.hpp"
#include "ann_bench/vectors.hpp"

namespace ann_bench {

/// Bytes of a row. Rows start on a multiple of 16 bytes, rows of bits on one of 8.
constexpr std::size_t row_stride(RowType type, std::uint32_t dimension) {
    switch (type) {
        case RowType::bits:
            return round_up(dimension, 64) / 8;
        case RowType::f32:
            return round_up(std::size_t{dimension} * 4, 16);
        case RowType::f16:
            return round_up(std::size_t{dimension} * 2, 16);
        default:
            return round_up(dimension, 16);
    }
}

/// The rows of an index, wherever they lie.
struct RowsView {
    Shape shape;
    RowType type;
    const std::byte* bytes;      ///< row_stride apart
    const float* inverse_norms;  ///< angular: 1 / |row|, 0 for a zero row

    std::size_t stride() const { return row_stride(type, shape.dimension); }
    const std::byte* row(std::uint64_t number) const { return bytes + number * stride(); }
    /// Writes a row as floats.
    void read(std::uint64_t number, float* to) const;

    /// Those that a file says it has, to be opened with its other parts. Throws DamagedIndex if there can be
    /// none such.
    static RowsView announced(const SectionFile& file, const Shape& shape, RowType type);
};

/// The section that every file begins with.
inline constexpr std::uint32_t rows_section = section_type("rows");

template <class Part>
void for_each_part(RowsView& view, Part part) {
    part(rows_section, view.bytes, view.stride(), view.shape.rows);
    if (view.shape.distance != Distance::angular) return;
    part(section_type("norm"), view.inverse_norms, sizeof(float), view.shape.rows);
}

/// Rows in memory.
class OwnedRows {
  public:
    OwnedRows() = default;
    /// Copies `count` vectors. Throws std::invalid_argument if their number is out of range, if a value is
    /// not finite, or if the vectors are bits where the distance needs numbers.
    OwnedRows(const Vectors& vectors, const Shape& shape, unsigned threads);
    explicit OwnedRows(const RowsView& rows);

    /// Copies more vectors behind those that it has, and changes nothing if it throws: as the constructor
    /// does. What `view` gave before is no more.
    void append(const Vectors& vectors, std::uint64_t count, unsigned threads);

    RowsView view() const { return {shape_, type_, bytes_.data(), inverse_norms_.as<float>().data()}; }

  private:
    void become(RowType type);

    Shape shape_{};
    RowType type_ = RowType::f32;
    Buffer bytes_, inverse_norms_;
};

/// The rows with the smallest ranks, of any number that pass by.
class Nearest {
  public:
    void start(std::size_t k) {
        wanted_ = k;
        limit_ = std::numeric_limits<float>::infinity();
        kept_.clear();
    }
    void add(float rank, std::uint32_t row) {
        if (rank > limit_) return;
        kept_.emplace_back(rank, row);
        if (kept_.size() >= 2 * wanted_ + 64) shrink();
    }
    /// What is beyond it is not among those wanted.
    float limit() const { return limit_; }
    /// Makes the limit the largest rank of those wanted, if there are as many.
    void settle() {
        if (kept_.size() >= wanted_) shrink();
    }
    /// Those wanted, and maybe more, in no order. For those of an ExactDistance their distances stand in
    /// place of ranks.
    std::vector<Answer>& take() { return kept_; }
    std::vector<Answer>& take(const class ExactDistance& exact);

  private:
    void shrink() {
        const auto last = kept_.begin() + static_cast<std::ptrdiff_t>(wanted_ - 1);
        std::nth_element(kept_.begin(), last, kept_.end());
        limit_ = last->distance();
        kept_.erase(last + 1, kept_.end());
    }

    std::size_t wanted_ = 1;
    float limit_ = 0;
    std::vector<Answer> kept_;
};

/// The exact distances of rows from one vector.
class ExactDistance {
  public:
    explicit ExactDistance(const RowsView& rows);

    /// The vector that distances are from, as long as the next does not start. An angular one gets unit
    /// length.
    void start(Query& query);

    /// What orders rows: the distance, for euclidean its square. +inf instead of NaN, which overflow or a
    /// damaged row can bring.
    float rank(std::uint32_t row) const;
    /// The distance that a rank stands for.
    float distance(float rank) const;

    void prefetch(std::uint32_t row) const {
        const std::byte* const at = rows_.bytes + row * stride_;
        for (std::size_t i = 0; i < stride_; i += cache_line) __builtin_prefetch(at + i);
    }

    /// Appends some rows with their distances, in no order.
    void compare(std::span<const std::uint32_t> rows, std::vector<Answer>& answers) const;

    /// The nearest of all rows that the question allows, and maybe more, in no order.
    std::vector<Answer>& nearest_of_all(const Question& question, Nearest& nearest) const;

  private:
    template <class Body>
    void for_ranks(std::span<const std::uint32_t> rows, Body body) const;
    bool take_bytes(const std::vector<float>& vector);
    float rank_of_bytes(std::uint32_t row, const std::byte* at) const;
    float close_rank(const std::byte* at, float inverse_norm) const;

    RowsView rows_;
    std::size_t stride_;
    const RowKernels* kernel_;
    const ByteKernels* byte_kernel_ = nullptr;  ///< where rows are bytes
    const float* query_ = nullptr;
    const std::uint64_t* bits_ = nullptr;
    std::vector<std::uint8_t> bytes_;  ///< the query, where it is of bytes as the rows are
    bool of_bytes_ = false;
    float inverse_norm_ = 0;  ///< of the query
};

/// Compares each row exactly.
class ExactComparison final : public Comparison {
  public:
    explicit ExactComparison(const RowsView& rows) : exact_(rows) {}

    void start(Query& query, const Question& question) override {
        exact_.start(query);
        nearest_.start(question.k);
        itself_ = question.itself;
    }
    void add(std::span<const std::uint32_t> rows) override {
        for (const std::uint32_t row : rows) {
            if (row != itself_) nearest_.add(exact_.rank(row), row);
        }
        distance_computations += rows.size();
    }
    std::vector<Answer>& take() override { return nearest_.take(exact_); }

  private:
    ExactDistance exact_;
    Nearest nearest_;
    std::uint32_t itself_ = no_row;
};

}  // namespace ann_bench
