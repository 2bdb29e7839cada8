#pragma once
// The distances, by name and by number.

#include <array>
#include <cstdint>
#include <string_view>

namespace ann_bench {

/// The numbers are part of the file format.
enum class Distance : std::uint32_t {
    euclidean = 0,
    angular = 1,
    dot = 2,
    hamming = 3,
    manhattan = 4,
    jaccard = 5,
};

inline constexpr std::array<std::string_view, 6> distance_names = {"euclidean", "angular",   "dot",
                                                                   "hamming",   "manhattan", "jaccard"};

/// Whether vectors are bits: for jaccard, of the items of a set. Every other distance takes numbers.
constexpr bool takes_bits(Distance distance) {
    return distance == Distance::hamming || distance == Distance::jaccard;
}

}  // namespace ann_bench
