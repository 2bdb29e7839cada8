#pragma once
// The plane that divides the rows of a node.

#include <algorithm>
#include <bit>
#include <cmath>
#include <span>
#include <vector>

#include "ann_bench/forest_parts.hpp"
#include "ann_bench/random.hpp"

namespace ann_bench {

/// Finds planes between two means.
class PlaneFitter {
  public:
    explicit PlaneFitter(std::size_t width)
        : width_(width), total_(width), right_sums_(width), right_(width), left_(width), weights_(width) {}

    /// Fits a plane to a sample of the rows at `positions` (two at least): the rows whose dot product with
    /// `normal` is at least `threshold` lie on the right. Returns false if it finds no two different means.
    bool fit(const std::uint8_t* codes, std::span<const std::uint32_t> positions, Random& random,
             std::int8_t* normal) {
        const auto count = static_cast<std::uint32_t>(positions.size());
        sample_.resize(std::min(sample_size, count));
        if (count <= sample_size) {
            std::copy(positions.begin(), positions.end(), sample_.begin());
        } else {
            for (auto& position : sample_) position = positions[random.below(count)];
        }
        std::fill(total_.begin(), total_.end(), 0);
        kernel_.add_rows(codes, sample_.data(), sample_.size(), width_, total_.data());

        const auto picked = static_cast<std::uint32_t>(sample_.size());
        const std::uint32_t i = random.below(picked);
        std::uint32_t j = random.below(picked - 1);
        j += j >= i;
        for (std::size_t d = 0; d < width_; ++d) {
            right_[d] = codes[std::size_t{sample_[i]} * width_ + d];
            left_[d] = codes[std::size_t{sample_[j]} * width_ + d];
        }
        if (!take_plane(normal)) return false;
        dots_.resize(picked);
        for (int round = 0; round < fit_rounds; ++round) {
            if (!improve(codes, normal)) return round > 0;
        }
        return true;
    }

    std::int32_t threshold() const { return threshold_; }

  private:
    /// Rows that a plane is fitted to.
    static constexpr std::uint32_t sample_size = 200;
    static constexpr int fit_rounds = 3;
    static constexpr std::int32_t normal_limit = 127;

    /// One of Lloyd's rounds.
    bool improve(const std::uint8_t* codes, std::int8_t* normal) {
        kernel_.dots(codes, sample_.data(), sample_.size(), normal, width_, dots_.data());
        rights_.resize(sample_.size());
        std::uint32_t* end = rights_.data();
        for (std::size_t n = 0; n < sample_.size(); ++n) {
            *end = sample_[n];  // overwritten unless it counts
            end += dots_[n] >= threshold_;
        }
        rights_.resize(static_cast<std::size_t>(end - rights_.data()));
        if (rights_.empty() || rights_.size() == sample_.size()) return false;
        std::fill(right_sums_.begin(), right_sums_.end(), 0);
        kernel_.add_rows(codes, rights_.data(), rights_.size(), width_, right_sums_.data());
        const float right_share = 1.0f / static_cast<float>(rights_.size());
        const float left_share = 1.0f / static_cast<float>(sample_.size() - rights_.size());
        for (std::size_t d = 0; d < width_; ++d) {
            right_[d] = static_cast<float>(right_sums_[d]) * right_share;
            left_[d] = static_cast<float>(total_[d] - right_sums_[d]) * left_share;
        }
        return take_plane(normal);
    }

    /// Takes the plane midway between the means. Changes nothing and returns false if they are the same.
    bool take_plane(std::int8_t* normal) {
        std::int32_t largest_bits = 0;  // magnitudes compare as integers do
        for (std::size_t d = 0; d < width_; ++d) {
            weights_[d] = right_[d] - left_[d];
            largest_bits = std::max(largest_bits, std::bit_cast<std::int32_t>(weights_[d]) & 0x7fff'ffff);
        }
        if (largest_bits == 0) return false;
        const float factor = normal_limit / std::bit_cast<float>(largest_bits);
        for (std::size_t d = 0; d < width_; ++d) {
            const std::int32_t weight = round_small(weights_[d] * factor);
            normal[d] = static_cast<std::int8_t>(weight);
            weights_[d] = static_cast<float>(weight);
        }
        const double right = kernel_.dot_f32(weights_.data(), right_.data(), width_);
        const double left = kernel_.dot_f32(weights_.data(), left_.data(), width_);
        threshold_ = static_cast<std::int32_t>(std::ceil(0.5 * (right + left)));
        return true;
    }

    const Kernels& kernel_ = kernels();
    std::size_t width_;
    std::int32_t threshold_ = 0;
    std::vector<std::uint32_t> sample_, rights_;
    std::vector<std::int32_t> total_, right_sums_, dots_;
    std::vector<float> right_, left_, weights_;  ///< the means, and what lies between them
};

}  // namespace ann_bench
