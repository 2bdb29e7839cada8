#include "ann_bench/search.hpp"

#include <exception>

namespace ann_bench {

ScratchPool::Lease::Lease(ScratchPool& pool, std::size_t rows, std::size_t row_bytes)
    : pool_(pool), exceptions_(std::uncaught_exceptions()) {
    {
        const std::scoped_lock lock(pool_.mutex_);
        if (!pool_.free_.empty()) {
            scratch_ = std::move(pool_.free_.back());
            pool_.free_.pop_back();
        }
    }
    if (!scratch_) scratch_ = std::make_unique<Scratch>(rows, row_bytes);
}

ScratchPool::Lease::~Lease() {
    if (std::uncaught_exceptions() > exceptions_) return;
    const std::scoped_lock lock(pool_.mutex_);
    pool_.distance_computations_ += scratch_->distance_computations;
    scratch_->distance_computations = 0;
    pool_.free_.push_back(std::move(scratch_));
}

std::uint64_t ScratchPool::distance_computations() const {
    const std::scoped_lock lock(mutex_);
    return distance_computations_;
}

}  // namespace ann_bench
