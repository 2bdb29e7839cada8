#pragma once
// What a search goes on with: of the rows that it met, each once, those that look near enough.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ann_bench/index.hpp"
#include "ann_bench/section_file.hpp"
#include "ann_bench/threshold.hpp"

namespace ann_bench {

/// A row and what its distance is estimated to be.
struct Candidate {
    float estimate;
    std::uint32_t row;
};

/// Keeps the candidates of one search after another.
class Candidates {
  public:
    explicit Candidates(std::uint64_t rows) : rows_(rows), seen_((rows + 63) / 64) {}

    /// Forgets those of the search before. About `wanted` will be below the limit, if so many are added.
    void start(std::size_t wanted) {
        for (const Candidate& one : all()) {
            seen_[one.row / 64] = 0;
            threshold_.forget(one.estimate);
        }
        count_ = 0;
        threshold_.start(wanted);
    }

    /// Estimates that are not below it need not be added. It falls as others are.
    float limit() const { return threshold_.limit(); }

    /// Adds the rows that were not added before and, if `filtered`, that the question does not rule out.
    /// Throws DamagedIndex if there is no such row.
    template <bool filtered>
    void add(const std::uint32_t* rows, const float* estimates, std::size_t count, const Question& question);

    /// Those that were added, not all of them below the limit.
    std::span<const Candidate> all() const { return {candidates_.data(), count_}; }

  private:
    std::uint64_t rows_;
    std::vector<std::uint64_t> seen_;  ///< a bit for each row
    Threshold threshold_;
    std::vector<Candidate> candidates_;
    std::size_t count_ = 0;
};

template <bool filtered>
void Candidates::add(const std::uint32_t* rows, const float* estimates, std::size_t count,
                     const Question& question) {
    std::uint32_t last = 0;
    for (std::size_t i = 0; i < count; ++i) last = std::max(last, rows[i]);
    if (last >= rows_) throw DamagedIndex("index damaged: an entry names no row");
    if (candidates_.size() < count_ + count) candidates_.resize(2 * (count_ + count));
    Candidate* const to = candidates_.data();
    std::size_t kept = count_;
    // Without branches, as nobody could predict which rows are new.
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint32_t row = rows[i];
        std::uint64_t& word = seen_[row / 64];
        auto fresh = static_cast<std::uint32_t>(~word >> row % 64 & 1);
        if constexpr (filtered) {
            fresh &= static_cast<std::uint32_t>(question.selection.has(row) && row != question.itself);
        }
        word |= std::uint64_t{fresh} << row % 64;
        to[kept] = {estimates[i], row};
        kept += fresh;
        threshold_.add(estimates[i], fresh);
    }
    count_ = kept;
    threshold_.tighten();
}

}  // namespace ann_bench
