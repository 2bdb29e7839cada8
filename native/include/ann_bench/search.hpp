#pragma once
// The search: one order over the branches of all trees, then ever better estimates of ever fewer distances.

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "ann_bench/branch_queue.hpp"
#include "ann_bench/projection.hpp"
#include "ann_bench/threshold.hpp"

namespace ann_bench {

/// What one search needs and the next can use again. One thread at a time.
struct Scratch {
    struct Candidate {
        float estimate;
        std::uint32_t id;
    };
    struct Answer {
        float distance;
        std::uint32_t id;
        bool operator<(const Answer& other) const {
            return distance != other.distance ? distance < other.distance : id < other.id;
        }
    };

    explicit Scratch(const Facts& facts);

    std::vector<float> query, placed;
    std::vector<std::uint64_t> query_bits;
    ProjectionScratch projection;
    Buffer code, signed_code, tables, laid_out_tables;
    BranchQueue queue;
    struct Leaf {
        std::uint32_t distance;  ///< of its centre, squared
        std::uint32_t number;
    };
    std::vector<Leaf> leaves, sorted_leaves;
    std::vector<std::uint32_t> bucket_ends;
    std::vector<std::uint64_t> seen;  ///< a bit per row, zero between searches
    Threshold threshold;
    std::vector<Candidate> candidates;  ///< the first candidate_count
    std::size_t candidate_count = 0;
    std::vector<std::uint32_t> ids;
    std::vector<std::int32_t> scores;
    std::vector<Answer> answers;
    std::uint64_t distance_computations = 0;
};

/// Keeps scratch space between searches, so that a search allocates nothing, and adds up what they counted.
class ScratchPool {
  public:
    /// Lends a Scratch for its lifetime. One that an exception interrupts is thrown away, as it is not clean.
    class Lease {
      public:
        Lease(ScratchPool& pool, const Facts& facts);
        ~Lease();
        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;
        Scratch& operator*() const { return *scratch_; }

      private:
        ScratchPool& pool_;
        std::unique_ptr<Scratch> scratch_;
        int exceptions_;
    };

    std::uint64_t distance_computations() const;

  private:
    mutable std::mutex mutex_;
    std::vector<std::unique_ptr<Scratch>> free_;
    std::uint64_t distance_computations_ = 0;
};

/// How much a search looks at.
struct Effort {
    std::uint64_t search_k;  ///< leaf entries
    std::size_t rerank;      ///< rows whose exact distance is computed, at least k
};

/// Searches an index for the query in a Scratch (`query`, or `query_bits`).
///
/// Everything read from the index is checked where it is used: a damaged file gives wrong answers or
/// DamagedIndex, but no access outside of it, and no search without end (links lead to higher numbers, and a
/// search that takes more steps than there are nodes and boughs is stopped).
class Search {
  public:
    Search(const IndexView& index, Scratch& scratch)
        : index_(index), facts_(index.facts), scratch_(scratch) {}

    /// Writes the `k` nearest of the rows found, ties by id; -1 and +inf where the index has fewer rows.
    void run(std::size_t k, const Effort& effort, std::int32_t* ids, float* distances);

  private:
    void prepare();
    void collect(std::uint64_t search_k, std::size_t least);
    bool explore();
    Link descend(BranchQueue::Branch& branch);
    void take_bough(Link link);
    void sort_leaves();
    void scan(const Scratch::Leaf& leaf);
    std::int64_t limit_of(std::size_t count) const;
    void narrow(std::size_t rerank);
    void rank(std::size_t rerank);
    float exact(std::uint32_t id) const;
    void write(std::size_t k, std::int32_t* ids, float* distances);

    void check_link(Link link, Link parent) const;
    const std::byte* bough(Link link) const {
        return index_.boughs + std::size_t{link & ~bough_bit} * bough_bytes_;
    }
    const std::byte* leaf(std::size_t number) const { return index_.leaves + number * leaf_bytes_; }

    const IndexView& index_;
    const Facts& facts_;
    Scratch& scratch_;
    const Kernels& kernel_ = kernels();
    std::size_t bough_bytes_ = facts_.bough_bytes();
    std::size_t leaf_bytes_ = facts_.leaf_bytes();
    std::uint32_t query_term_ = 0;  ///< what the query adds to the distances of centres
    std::int32_t offset_ = 0;
    std::uint64_t explored_ = 0;  ///< entries of the boughs that were reached
    std::uint64_t steps_left_ = 0;
};

}  // namespace ann_bench
