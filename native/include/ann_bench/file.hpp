#pragma once
// The forest as a file: what its sections and facts are. README.md describes the format.

#include <cstdint>
#include <memory>
#include <string>

#include "ann_bench/index.hpp"
#include "ann_bench/section_file.hpp"

namespace ann_bench {

/// Bytes of the file that holds such an index. Throws DamagedIndex if a number is out of range or the sizes
/// overflow.
std::uint64_t file_bytes(const Summary& summary);

/// Writes the index whole or not at all, see SectionWriter. Throws std::system_error.
void save_index(const IndexView& index, const std::string& path);

/// An index in a file.
struct OpenedIndex {
    IndexView view;
    std::shared_ptr<const SectionFile> file;
};

/// Opens what `save_index` wrote, see SectionFile::open. The time does not depend on the file's size.
OpenedIndex open_index(const std::string& path, OpenMode mode = OpenMode::mmap);

}  // namespace ann_bench
