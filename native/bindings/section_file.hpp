#pragma once

#include <pybind11/pybind11.h>

namespace ann_bench {

/// Adds what reads an index file of any kind: `describe_file` and `verify_file`.
void bind_section_file(pybind11::module_& module);

}  // namespace ann_bench
