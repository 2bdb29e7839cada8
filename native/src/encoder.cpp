#include "encoder.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ann_bench/parallel.hpp"
#include "ann_bench/random.hpp"

namespace ann_bench {
namespace {

constexpr std::size_t rows_per_task = 512;

/// Rows that a projection is fitted to.
constexpr std::size_t projection_sample = 4096;

}  // namespace

float longest_of(const RowsView& rows, std::uint64_t first) {
    std::vector<float> row(rows.shape.dimension);
    double longest = 0;
    for (std::uint64_t i = first; i < rows.shape.rows; ++i) {
        rows.read(i, row.data());
        longest = std::max(longest, squared_norm(row.data(), row.size()));
    }
    return static_cast<float>(std::min(std::sqrt(longest), 3.4e38));
}

Projection fit_to_rows(const RowsView& rows, const MetricSpace& space, std::uint32_t axes,
                       std::uint64_t sample_key, std::uint64_t key, unsigned threads) {
    const std::uint64_t all = rows.shape.rows;
    const std::size_t count = std::min<std::size_t>(projection_sample, all);
    std::vector<float> sample(count * space.depth()), row(rows.shape.dimension);
    Random random(sample_key);
    for (std::size_t i = 0; i < count; ++i) {
        rows.read(count == all ? i : random.below(static_cast<std::uint32_t>(all)), row.data());
        space.place_row(row.data(), sample.data() + i * space.depth());
    }
    return fit_projection(sample, space.depth(), axes, 0, key, threads);
}

void encode_rows(const RowsView& rows, const MetricSpace& space, const ProjectionView& projection,
                 std::uint64_t first, unsigned threads, std::uint8_t* codes, std::int32_t* squares) {
    const std::size_t count = rows.shape.rows - first;
    parallel_for((count + rows_per_task - 1) / rows_per_task, threads, [&](std::size_t task) {
        std::vector<float> row(rows.shape.dimension), placed(space.depth());
        ProjectionScratch scratch;
        const std::size_t last = std::min<std::size_t>(rows.shape.rows, first + (task + 1) * rows_per_task);
        for (std::size_t i = first + task * rows_per_task; i < last; ++i) {
            rows.read(i, row.data());
            space.place_row(row.data(), placed.data());
            const std::int32_t square =
                project(projection, placed.data(), scratch, codes + i * projection.width);
            if (squares != nullptr) squares[i] = square;
        }
    });
}

}  // namespace ann_bench
