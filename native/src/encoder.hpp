#pragma once
// From rows to codes of 7 bits a dimension, for the kinds that measure by them.

#include <cstdint>

#include "ann_bench/graph.hpp"
#include "ann_bench/projection.hpp"
#include "ann_bench/rows.hpp"

namespace ann_bench {

/// The length of the longest row from `first` on.
float longest_of(const RowsView& rows, std::uint64_t first);

/// The projection to `width` dimensions that suits the rows, by a sample that one key draws; the other turns
/// it.
Projection fit_to_rows(const RowsView& rows, const MetricSpace& space, std::uint32_t axes,
                       std::uint64_t sample_key, std::uint64_t key, unsigned threads);

/// Writes the codes (`width` bytes each) of the rows from `first` on to their places in `codes`, and their
/// squared distances from the mean, in squared steps, to theirs in `squares`, if that is not null.
void encode_rows(const RowsView& rows, const MetricSpace& space, const ProjectionView& projection,
                 std::uint64_t first, unsigned threads, std::uint8_t* codes, std::int32_t* squares);

}  // namespace ann_bench
