#pragma once
// A forest as one file of sections. README.md describes the format.

#include <memory>
#include <span>
#include <string>

#include "ann_bench/index.hpp"
#include "ann_bench/section_file.hpp"

namespace ann_bench {

/// Bytes of the file that holds the index.
std::uint64_t index_file_bytes(const IndexView& index);

/// Writes the index to `path`, whole or not at all: see SectionWriter.
void save_index(const IndexView& index, const std::string& path);

/// The first section of the file.
inline constexpr std::uint32_t rows_section = section_type("rows");

/// Writes what comes after the rows, which the writer has already, and commits.
void save_rest(const IndexView& index, SectionWriter& writer);

/// An index that lies in a file.
struct OpenedIndex {
    IndexView view;
    std::shared_ptr<const SectionFile> file;
};

/// Opens the file: see SectionFile::open. Besides its header page it reads nothing.
///
/// Throws DamagedIndex too if the file holds no forest, or sections that do not fit its facts.
OpenedIndex open_index(const std::string& path, OpenMode mode);

}  // namespace ann_bench
