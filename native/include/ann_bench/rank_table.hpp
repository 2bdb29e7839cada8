#pragma once
// How something grows from the nearest to the farthest.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace ann_bench {

/// Means at the ranks 1, 2, 4, 8, ..; what a file has of it is checked by `ascends`.
template <std::size_t count>
struct RankTable {
    std::array<float, count> means;

    /// The mean at any rank: on the line through those at the powers of two around it, and beyond the last as
    /// much more at each doubling as at the last one.
    double at(double rank) const {
        const double from_first = std::max(rank, 1.0);
        const int power = std::ilogb(from_first);
        const double part = std::ldexp(from_first, -power) - 1;
        const int below = std::min(power, static_cast<int>(count) - 2);
        const double low = means[static_cast<std::size_t>(below)];
        const double high = means[static_cast<std::size_t>(below) + 1];
        return low + (high - low) * (power - below + part);
    }

    bool ascends() const {
        float before = 0;
        for (const float mean : means) {
            if (!(mean >= before)) return false;
            before = mean;
        }
        return std::isfinite(before);
    }
};

}  // namespace ann_bench
