#pragma once
// One vector's query with as little between Python and the engine as can be.

#include <pybind11/pybind11.h>

namespace ann_bench {

/// A function of (vector, k, reach, rerank, recall) that answers for one index as its `query` does, or
/// returns None where an argument is not of the plainest kind or something is wrong with it: `query` then
/// tells.
///
/// pybind11 takes 1 us for a call with seven arguments and two new arrays, which is as long as a short walk
/// through a graph takes to a quarter of its way. This takes a fifth of it.
pybind11::object quick_query_of(const pybind11::object& index);

}  // namespace ann_bench
