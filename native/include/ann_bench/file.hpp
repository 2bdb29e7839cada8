#pragma once
// An index as one file: a header, then the parts, each on a cache line. README.md describes the format.

#include <cstdint>
#include <memory>
#include <string>

#include "ann_bench/index.hpp"

namespace ann_bench {

inline constexpr std::uint32_t file_version = 1;

/// Bytes of the file that holds such an index. Throws DamagedIndex if a number is out of range or the sizes
/// overflow.
std::uint64_t file_bytes(const Summary& summary);

/// Writes the index beside `path` and renames it there, so that `path` is the old file or the new one, never
/// half of it; whoever has the old one open keeps it. Throws std::system_error.
void save_index(const IndexView& index, const std::string& path);

/// A mapped index; the pages are shared with every other process that maps the file.
struct MappedIndex {
    IndexView view;
    std::shared_ptr<const void> mapping;
};

/// Maps the file read-only. Reads the header and nothing else, so the time does not depend on the size.
///
/// Throws DamagedIndex if the header or the file's size is not that of an index, std::system_error if the
/// file cannot be read. The file must not be truncated while it is mapped: the system then kills whoever
/// reads beyond its end. `save_index` never does that.
MappedIndex open_index(const std::string& path);

}  // namespace ann_bench
