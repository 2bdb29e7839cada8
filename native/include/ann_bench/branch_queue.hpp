#pragma once
// Which branch a search follows next.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "ann_bench/forest_parts.hpp"

namespace ann_bench {

/// Branches by the number that tells how far they are, nearest first; with buckets in place of an order among
/// those that are about equally far. Pushing and taking cost the same however many there are.
class BranchQueue {
  public:
    struct Branch {
        Link link;
        float distance;
    };

    BranchQueue() : first_(buckets, none) {}

    void clear();
    void push(Branch branch);
    /// Takes a nearest branch. Returns false if there is none.
    bool pop(Branch& branch);

  private:
    static constexpr std::uint32_t none = ~std::uint32_t{0};
    static constexpr std::size_t buckets = 2048;

    struct Item {
        Branch branch;
        std::uint32_t next;
    };

    std::vector<std::uint32_t> first_;
    std::vector<Item> items_;
    std::size_t lowest_ = 0;
    std::size_t highest_ = 0;  ///< used since the last `clear`
};

inline void BranchQueue::clear() {
    std::fill_n(first_.begin(), highest_ + 1, none);
    items_.clear();
    lowest_ = highest_ = 0;
}

inline void BranchQueue::push(Branch branch) {
    // A bucket for each step; a NaN goes to the end.
    const std::size_t bucket =
        branch.distance < buckets - 1 ? static_cast<std::size_t>(branch.distance) : buckets - 1;
    items_.push_back({branch, first_[bucket]});
    first_[bucket] = static_cast<std::uint32_t>(items_.size() - 1);
    lowest_ = std::min(lowest_, bucket);
    highest_ = std::max(highest_, bucket);
}

inline bool BranchQueue::pop(Branch& branch) {
    while (first_[lowest_] == none) {
        if (lowest_ == highest_) return false;
        ++lowest_;
    }
    const Item& item = items_[first_[lowest_]];
    branch = item.branch;
    first_[lowest_] = item.next;
    return true;
}

}  // namespace ann_bench
