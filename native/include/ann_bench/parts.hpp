#pragma once
// Arrays as sections of a file: what holds them lists them once, in a function
//   for_each_part(view, part)
// that calls part(type, pointer, element bytes, elements) for each, in the order of the file.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ann_bench/index.hpp"
#include "ann_bench/section_file.hpp"

namespace ann_bench {

/// The parts of a view, for a file.
template <class View>
std::vector<Part> parts_of(View view) {
    std::vector<Part> parts;
    for_each_part(view, [&](std::uint32_t type, auto*& data, std::size_t bytes, std::size_t count) {
        parts.push_back({type, bytes, {reinterpret_cast<const std::byte*>(data), bytes * count}});
    });
    return parts;
}

/// Points a view, which has its numbers already, at its parts in a file. Throws DamagedIndex if they are not
/// there or are of another size.
template <class View>
void open_parts(View& view, const SectionFile& file) {
    for_each_part(view,
                  [&]<class T>(std::uint32_t type, const T*& data, std::size_t bytes, std::size_t count) {
                      data = reinterpret_cast<const T*>(file.section(type, bytes, count).data());
                  });
}

}  // namespace ann_bench
