#pragma once
// From floats to codes: a linear map to few dimensions of equal variance, rounded to 7 bits.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ann_bench/buffer.hpp"
#include "ann_bench/distance.hpp"
#include "ann_bench/section_file.hpp"
#include "ann_bench/vectors.hpp"

namespace ann_bench {

/// Unsigned codes are 64 more than the signed ones.
inline constexpr std::int32_t code_middle = 64;

/// Codes reach so many standard deviations before they are cut off.
inline constexpr double code_range = 2.7;

/// 1 / |vector|, 0 for a zero vector.
float inverse_norm(const float* vector, std::uint32_t dimension);

/// Gives a vector unit length, or leaves it if it is zero.
void make_unit(std::span<float> vector);

/// What codes are made of: vectors in the space where the trees measure L2 distances.
///
/// Rows stand there as they are, but for angular with unit length. Queries do too, but for dot as long as the
/// longest row: they then stand where the rows that they are nearest to would have to grow to.
class TreeSpace {
  public:
    TreeSpace(Distance distance, std::uint32_t dimension, float longest)
        : distance_(distance), dimension_(dimension), longest_(longest) {}

    /// Both write `dimension` floats. `inverse_norm` is that of the row (angular only).
    void place_row(const float* row, float inverse_norm, float* to) const;
    void place_query(const float* query, float* to) const;

  private:
    Distance distance_;
    std::uint32_t dimension_;
    float longest_;
};

/// Where rows and queries stand so that the nearest by any distance are the nearest by L2.
///
/// Angular ones at unit length. For inner products rows get one more coordinate, which makes all of them as
/// long as the longest, and queries that length and 0 there (Bachrach et al. 2014).
class MetricSpace {
  public:
    MetricSpace(Distance distance, std::uint32_t dimension, float longest)
        : distance_(distance), dimension_(dimension), longest_(longest) {}

    std::uint32_t depth() const { return dimension_ + (distance_ == Distance::dot ? 1 : 0); }
    /// Both write `depth` floats.
    void place_row(const float* row, float* to) const;
    void place_query(const float* query, float* to) const;

  private:
    Distance distance_;
    std::uint32_t dimension_;
    float longest_;
};

/// A projection from `depth` to `width` dimensions, wherever its numbers lie.
struct ProjectionView {
    std::uint32_t depth;
    std::uint32_t width;
    float scale;                      ///< what a sum of the matrix's products stands for, in steps
    float steps_per_unit;             ///< steps of a code in a distance of 1
    const float* mean;                ///< what is taken off first, `depth` numbers
    const std::int8_t* matrix;        ///< as Kernels::project takes it
    const std::int32_t* column_sums;  ///< of the matrix, times 64: what unsigned inputs add
};

template <class Part>
void for_each_part(ProjectionView& view, Part part) {
    part(section_type("mean"), view.mean, sizeof(float), view.depth);
    part(section_type("proj"), view.matrix, view.width, round_up(view.depth, 4));
    part(section_type("sums"), view.column_sums, sizeof(std::int32_t), view.width);
}

/// One that owns them.
struct Projection {
    std::uint32_t depth = 0;
    std::uint32_t width = 0;
    float scale = 0;
    float steps_per_unit = 0;
    std::vector<float> mean;
    std::vector<std::int8_t> matrix;
    std::vector<std::int32_t> column_sums;

    ProjectionView view() const {
        return {depth, width, scale, steps_per_unit, mean.data(), matrix.data(), column_sums.data()};
    }
};

/// Finds the projection onto `axes` dimensions for rows like those of the sample (`sample` / `depth` of them,
/// one after another; they are changed). Codes get zeros behind them, up to a multiple of code_step.
///
/// Where `axes` is not less than `depth` it is a random rotation, which spreads the variance evenly; else it
/// is the principal axes by subspace iteration (Halko, Martinsson & Tropp 2011), rotated. For inner products
/// `longest` is the length of the longest row, and 0 otherwise: codes then are not centred, which would
/// change the order, and reach as far as that row needs.
Projection fit_projection(std::span<float> sample, std::uint32_t depth, std::uint32_t axes, float longest,
                          std::uint64_t key, unsigned threads);

/// The nearest integer to `value`, ties to even, if it lies within +-2^22: adding this number leaves no bits
/// for a fraction. Compilers can do it for several values at once on every processor.
inline std::int32_t round_small(float value) {
    return std::bit_cast<std::int32_t>(value + 12582912.0f) - 0x4b400000;
}

/// Room for one projection at a time.
struct ProjectionScratch {
    std::vector<std::uint8_t> values;
    std::vector<std::int32_t> sums;
};

/// Writes the unsigned code (`width` bytes) of a vector in the TreeSpace, and returns its squared distance
/// from the mean, in squared steps. `placed` (`depth` floats) is changed.
std::int32_t project(const ProjectionView& projection, float* placed, ProjectionScratch& scratch,
                     std::uint8_t* code);

}  // namespace ann_bench
