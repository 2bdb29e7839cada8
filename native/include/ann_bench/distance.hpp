#pragma once
// The distances, by name and by number.

#include <array>
#include <cstdint>
#include <string_view>

namespace ann_bench {

/// The numbers are part of the file format.
enum class Distance : std::uint32_t { euclidean = 0, angular = 1, dot = 2, hamming = 3, manhattan = 4 };

inline constexpr std::array<std::string_view, 5> distance_names = {"euclidean", "angular", "dot", "hamming",
                                                                   "manhattan"};

}  // namespace ann_bench
