#pragma once
// From floats to codes: a linear map to few dimensions of equal variance, rounded to 7 bits.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ann_bench/index.hpp"
#include "ann_bench/vectors.hpp"

namespace ann_bench {

/// Codes have at most so many dimensions; rows of more are projected onto as many principal axes.
inline constexpr std::uint32_t max_width = 192;

/// Dimensions of codes for rows of `depth` dimensions.
std::uint32_t code_width(std::uint32_t depth);

/// 1 / |vector|, 0 for a zero vector.
float inverse_norm(const float* vector, std::uint32_t dimension);

/// What codes are made of: vectors in the space where the trees measure L2 distances.
///
/// Rows stand there as they are, but for angular with unit length. Queries do too, but for dot as long as the
/// longest row: they then stand where the rows that they are nearest to would have to grow to.
class Space {
  public:
    Space(Distance distance, std::uint32_t dimension, float longest)
        : distance_(distance), dimension_(dimension), longest_(longest) {}

    /// Both write `dimension` floats. `inverse_norm` is that of the row (angular only).
    void place_row(const float* row, float inverse_norm, float* to) const;
    void place_query(const float* query, float* to) const;

  private:
    Distance distance_;
    std::uint32_t dimension_;
    float longest_;
};

/// The parts of an index that project.
struct Projection {
    std::vector<float> mean;
    std::vector<std::int8_t> matrix;
    std::vector<std::int32_t> column_sums;
    float scale = 0;
    float steps_per_unit = 0;
};

/// Finds the projection for rows like those of the sample (`sample` / `depth` of them, one after another;
/// they are changed).
///
/// Up to max_width dimensions it is a random rotation into code_width(depth) dimensions, which spreads the
/// variance evenly; beyond, it is the principal axes by subspace iteration (Halko, Martinsson & Tropp 2011),
/// rotated. For inner products `longest` is the length of the longest row, and 0 otherwise: codes then are
/// not centred, which would change the order, and reach as far as that row needs.
Projection fit_projection(std::span<float> sample, std::uint32_t depth, float longest, std::uint64_t key,
                          unsigned threads);

/// Room for one projection at a time.
struct ProjectionScratch {
    std::vector<std::uint8_t> values;
    std::vector<std::int32_t> sums;
};

/// Writes the unsigned code (`width` bytes) of a vector in the Space, and returns its squared distance from
/// the mean, in squared steps. `placed` (`depth` floats) is changed.
std::int32_t project(const IndexView& index, float* placed, ProjectionScratch& scratch, std::uint8_t* code);

}  // namespace ann_bench
