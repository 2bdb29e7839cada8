#pragma once
// The search: one queue over all trees, then exact distances.

#include <algorithm>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

#include "ann_bench/split.hpp"

namespace ann_bench {

/// What one search needs and the next can use again. One thread at a time.
struct Scratch {
    struct Branch {
        float priority;  ///< the smallest margin on the way here: +inf at a root, negative behind a plane
        Link link;
        Link parent;  ///< the node that led here, for the check of `link`
        bool operator<(const Branch& other) const {
            return priority != other.priority ? priority < other.priority : link > other.link;
        }
    };
    struct Answer {
        float distance;
        std::uint32_t id;
        bool operator<(const Answer& other) const {
            return distance != other.distance ? distance < other.distance : id < other.id;
        }
    };

    Scratch(std::size_t rows, std::size_t row_bytes) : query(row_bytes), seen((rows + 63) / 64) {}

    Buffer query;                           ///< the padded query
    std::vector<std::uint64_t> seen;        ///< a bit per row, zero between searches
    std::vector<Branch> queue;              ///< a heap
    std::vector<std::uint32_t> candidates;  ///< rows found, each once
    std::vector<Answer> best;               ///< a heap with the worst on top
    std::uint64_t distance_computations = 0;
};

/// Keeps scratch space between searches, so that a search allocates nothing, and adds up what they counted.
class ScratchPool {
  public:
    /// Lends a Scratch for its lifetime. One that an exception interrupts is thrown away, as it is not clean.
    class Lease {
      public:
        Lease(ScratchPool& pool, std::size_t rows, std::size_t row_bytes);
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

/// Searches an index for the query in a Scratch.
///
/// Everything read from the index is checked where it is used: a damaged file gives wrong answers or
/// DamagedIndex, but no access outside of it, and no search without end (links lead to higher numbers, and a
/// search that takes more steps than there are nodes and leaves is stopped).
template <class Policy>
class Search {
  public:
    using Element = typename Policy::Element;

    Search(const IndexView& index, Scratch& scratch)
        : index_(index),
          scratch_(scratch),
          rows_{index.rows, index.layout.row_bytes, index.layout.width},
          query_(reinterpret_cast<const Element*>(scratch.query.data())) {}

    /// Writes the `k` nearest of the rows found, ties by id; -1 and +inf where the index has fewer than k
    /// rows.
    ///
    /// Leaves are read in order of their margin until `search_k` entries, duplicates included, and at least k
    /// different rows have been seen, or all.
    void run(std::size_t k, std::uint64_t search_k, std::int32_t* ids, float* distances) {
        collect(k, search_k);
        rank(k);
        write(k, ids, distances);
    }

  private:
    static constexpr std::size_t prefetch_ahead = 8;
    static constexpr std::size_t prefetch_bytes = 8 * cache_line;

    [[noreturn]] static void damaged(const char* what) {
        throw DamagedIndex(std::string("index damaged: ") + what);
    }

    /// Annoy's order: the branch with the largest minimum margin next. A near child whose priority is still
    /// the largest is followed at once, which is what the queue would do with it.
    void collect(std::size_t k, std::uint64_t search_k) {
        const Summary& summary = index_.summary;
        auto& queue = scratch_.queue;
        scratch_.candidates.clear();
        queue.clear();
        for (std::uint32_t tree = 0; tree < summary.trees; ++tree) {
            queue.push_back({std::numeric_limits<float>::infinity(), index_.roots[tree], no_parent});
        }
        std::make_heap(queue.begin(), queue.end());
        const std::size_t wanted = std::min<std::uint64_t>(k, summary.present);
        std::uint64_t entries = 0;
        steps_left_ = summary.nodes + summary.leaves;
        while (!queue.empty() && (entries < search_k || scratch_.candidates.size() < wanted)) {
            std::pop_heap(queue.begin(), queue.end());
            const Scratch::Branch branch = queue.back();
            queue.pop_back();
            entries += descend(branch);
        }
        for (const std::uint32_t id : scratch_.candidates) scratch_.seen[id / 64] = 0;
    }

    /// Follows a branch while it is the best; returns the entries of the leaf it reached, 0 if it was put
    /// back.
    std::uint64_t descend(Scratch::Branch branch) {
        auto& queue = scratch_.queue;
        for (;;) {
            if (steps_left_-- == 0) damaged("a search would not end");
            if ((branch.link & leaf_bit) != 0) return take_leaf(branch.link & ~leaf_bit);
            if (branch.link >= index_.summary.nodes) damaged("a link leads past the last node");
            if (branch.parent != no_parent && branch.link <= branch.parent) damaged("a link leads back");
            const Node& node = index_.node(branch.link);
            const float margin = SplitOf<Policy>::margin(node, query_, rows_.width);
            const bool right = margin > 0;
            // std::min(a, b) is a if b is NaN: priorities stay numbers whatever the file holds.
            const float far = std::min(branch.priority, -std::abs(margin));
            const float near = std::min(branch.priority, std::abs(margin));
            queue.push_back({far, right ? node.left : node.right, branch.link});
            std::push_heap(queue.begin(), queue.end());
            branch = {near, right ? node.right : node.left, branch.link};
            if (near < queue.front().priority) {
                queue.push_back(branch);
                std::push_heap(queue.begin(), queue.end());
                return 0;
            }
        }
    }

    std::uint64_t take_leaf(Link leaf) {
        if (leaf >= index_.summary.leaves) damaged("a link leads past the last leaf");
        const std::uint64_t begin = index_.leaf_begins[leaf];
        const std::uint64_t end = index_.leaf_begins[leaf + 1];
        if (begin > end || end > index_.summary.entries()) damaged("a leaf lies outside the entries");
        for (std::uint64_t i = begin; i < end; ++i) {
            const std::uint32_t id = index_.entries[i];
            if (id >= index_.summary.rows) damaged("an entry names no row");
            std::uint64_t& word = scratch_.seen[id / 64];
            const std::uint64_t bit = std::uint64_t{1} << (id % 64);
            if ((word & bit) == 0) {
                word |= bit;
                scratch_.candidates.push_back(id);
            }
        }
        return end - begin;
    }

    void rank(std::size_t k) {
        const auto& candidates = scratch_.candidates;
        auto& best = scratch_.best;
        best.clear();
        for (std::size_t i = 0; i < candidates.size(); ++i) {
            if (i + prefetch_ahead < candidates.size()) prefetch(candidates[i + prefetch_ahead]);
            const std::uint32_t id = candidates[i];
            Scratch::Answer answer{Policy::rank(query_, rows_[id], rows_.width), id};
            // Overflow, or a damaged row, can make this NaN, which no order could place.
            if (std::isnan(answer.distance)) answer.distance = std::numeric_limits<float>::infinity();
            if (best.size() < k) {
                best.push_back(answer);
                std::push_heap(best.begin(), best.end());
            } else if (answer < best.front()) {
                std::pop_heap(best.begin(), best.end());
                best.back() = answer;
                std::push_heap(best.begin(), best.end());
            }
        }
        scratch_.distance_computations += candidates.size();
    }

    /// Candidates lie anywhere: without this each would cost a full trip to memory.
    void prefetch(std::uint32_t id) const {
        const auto* row = reinterpret_cast<const std::byte*>(rows_[id]);
        const std::size_t bytes = std::min(prefetch_bytes, rows_.row_bytes);
        for (std::size_t at = 0; at < bytes; at += cache_line) __builtin_prefetch(row + at);
    }

    /// Sorts by the distance returned rather than by rank: two ranks may round to one distance, and then the
    /// smaller id comes first.
    void write(std::size_t k, std::int32_t* ids, float* distances) {
        auto& best = scratch_.best;
        for (auto& answer : best) {
            answer.distance = Policy::value(answer.distance, index_.summary.dimension);
        }
        std::sort(best.begin(), best.end());
        for (std::size_t i = 0; i < best.size(); ++i) {
            ids[i] = static_cast<std::int32_t>(best[i].id);
            distances[i] = best[i].distance;
        }
        for (std::size_t i = best.size(); i < k; ++i) {
            ids[i] = -1;
            distances[i] = std::numeric_limits<float>::infinity();
        }
    }

    static constexpr Link no_parent = ~Link{0};

    const IndexView& index_;
    Scratch& scratch_;
    RowsView<Element> rows_;
    const Element* query_;
    std::uint64_t steps_left_ = 0;
};

}  // namespace ann_bench
