#pragma once
// The search: one order over the branches of all trees, then ever better estimates of ever fewer distances.

#include <cstdint>
#include <vector>

#include "ann_bench/branch_queue.hpp"
#include "ann_bench/candidates.hpp"
#include "ann_bench/index.hpp"
#include "ann_bench/projection.hpp"
#include "ann_bench/rows.hpp"

namespace ann_bench {

/// What one search needs and the next can use again. One thread at a time.
class ForestScratch final : public Searcher {
  public:
    /// `index` outlives it, but for its own address.
    explicit ForestScratch(const ForestView& index);

    void answer(const Question& question, std::int32_t* ids, float* distances) override;

    ForestView index;
    ExactDistance exact;
    std::vector<float> placed;
    ProjectionScratch projection;
    Buffer code, signed_code, tables, laid_out_tables;
    BranchQueue queue;
    struct Leaf {
        std::uint32_t distance;  ///< of its centre, squared
        std::uint32_t number;
    };
    std::vector<Leaf> leaves, sorted_leaves;
    std::vector<std::uint32_t> bucket_ends;
    Candidates candidates;
    Nearest nearest;
    std::vector<std::uint32_t> ids;
    std::vector<std::int32_t> scores;
    std::vector<Answer> answers;
};

/// Searches an index for the query in a ForestScratch (`query`, or `query_bits`).
///
/// Everything read from the index is checked where it is used: a damaged file gives wrong answers or
/// DamagedIndex, but no access outside of it, and no search without end (links lead to higher numbers, and a
/// search that takes more steps than there are nodes and boughs is stopped).
class ForestSearch {
  public:
    explicit ForestSearch(ForestScratch& scratch)
        : index_(scratch.index), facts_(index_.facts), scratch_(scratch) {}

    /// Writes the nearest of the rows found, as write_answers does.
    void run(const Question& question, std::int32_t* ids, float* distances);

  private:
    void prepare();
    template <bool filtered>
    void collect(const Question& question, std::uint64_t search_k, std::size_t least);
    bool explore();
    Link descend(BranchQueue::Branch& branch);
    void take_bough(Link link);
    void sort_leaves();
    template <bool filtered>
    void scan(const Question& question, const ForestScratch::Leaf& leaf);
    void narrow(std::size_t rerank);

    void check_link(Link link, Link parent) const;
    const std::byte* bough(Link link) const {
        return index_.boughs + std::size_t{link & ~bough_bit} * bough_bytes_;
    }
    const std::byte* leaf(std::size_t number) const { return index_.leaves + number * leaf_bytes_; }

    const ForestView& index_;
    const ForestFacts& facts_;
    ForestScratch& scratch_;
    const Kernels& kernel_ = kernels();
    std::size_t bough_bytes_ = facts_.bough_bytes();
    std::size_t leaf_bytes_ = facts_.leaf_bytes();
    std::uint32_t query_term_ = 0;  ///< what the query adds to the distances of centres
    std::int32_t offset_ = 0;
    float base_ = 0;              ///< for bits: what is added to all estimates
    std::uint64_t explored_ = 0;  ///< entries of the boughs that were reached
    std::uint64_t steps_left_ = 0;
};

}  // namespace ann_bench
