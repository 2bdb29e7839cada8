#include "ann_bench/file.hpp"

#include <cstring>

#include "ann_bench/projection.hpp"
#include "ann_bench/vectors.hpp"

namespace ann_bench {
namespace {

/// Throws DamagedIndex if these are no numbers of a forest. Afterwards no number of elements overflows.
void check(const Facts& facts) {
    const auto require = [](bool holds, const char* what) {
        if (!holds) throw DamagedIndex(std::string("header: ") + what + " out of range");
    };
    require(static_cast<std::size_t>(facts.distance) < distance_names.size(), "distance");
    require(facts.dimension >= 1 && facts.dimension <= max_dimension, "dimension");
    require(facts.rows >= 1 && facts.rows < bough_bit, "rows");
    require(facts.present <= facts.rows, "present rows");
    require(facts.trees >= 1, "trees");
    require(facts.nodes < bough_bit, "nodes");
    // A tree has one bough more than it has nodes.
    require(facts.boughs == facts.nodes + facts.trees && facts.boughs < bough_bit, "boughs");
    require(facts.leaves < bough_bit, "leaves");
    const bool bits = facts.distance == Distance::hamming;
    require(facts.depth == (bits ? 0 : facts.dimension), "depth");
    require(facts.width == (bits ? round_up(facts.dimension, code_step) : code_width(facts.dimension)),
            "width");
}

/// Calls part(type, pointer, element bytes, elements) for each part, in the order in which they are written.
template <class Index, class Part>
void for_each_part(Index& index, Part part) {
    const Facts& facts = index.facts;
    const bool codes = facts.distance != Distance::hamming;
    part(rows_section, index.rows, facts.row_bytes(), facts.rows);
    if (facts.distance == Distance::angular) part(section_type("norm"), index.inverse_norms, 4, facts.rows);
    if (codes) {
        part(section_type("code"), index.codes, facts.code_bytes(), facts.rows);
        part(section_type("term"), index.code_terms, 4, facts.rows);
        part(section_type("mean"), index.mean, 4, facts.depth);
        part(section_type("proj"), index.matrix, facts.width, round_up(facts.depth, 4));
        part(section_type("sums"), index.column_sums, 4, facts.width);
    }
    part(section_type("root"), index.roots, sizeof(Link), facts.trees);
    part(section_type("node"), index.nodes, sizeof(Node), facts.nodes);
    part(section_type("plan"), index.normals, facts.width, facts.nodes);
    part(section_type("boug"), index.boughs, facts.bough_bytes(), facts.boughs);
    part(section_type("leaf"), index.leaves, facts.leaf_bytes(), facts.leaves);
}

}  // namespace

std::uint64_t index_file_bytes(const IndexView& index) {
    std::uint64_t end = sizeof(FileHeader);
    for_each_part(index, [&](std::uint32_t, const auto*, std::size_t bytes, std::size_t count) {
        end = round_up(end, section_alignment) + bytes * count;
    });
    return end;
}

void save_index(const IndexView& index, const std::string& path) {
    SectionWriter writer(path);
    writer.add(rows_section, static_cast<std::uint32_t>(index.facts.row_bytes()),
               {index.rows, index.facts.rows * index.facts.row_bytes()});
    save_rest(index, writer);
}

void save_rest(const IndexView& index, SectionWriter& writer) {
    for_each_part(index,
                  [&]<class T>(std::uint32_t type, const T* data, std::size_t bytes, std::size_t count) {
                      if (type == rows_section) return;
                      writer.add(type, static_cast<std::uint32_t>(bytes),
                                 {reinterpret_cast<const std::byte*>(data), bytes * count});
                  });
    writer.commit(IndexKind::forest, index.facts);
}

OpenedIndex open_index(const std::string& path, OpenMode mode) {
    OpenedIndex opened{{}, std::make_shared<const SectionFile>(SectionFile::open(path, mode))};
    const SectionFile& file = *opened.file;
    if (file.kind() != IndexKind::forest) {
        throw DamagedIndex(path + ": holds a " + name_of(file.kind()) + ", and no forest");
    }
    opened.view.facts = file.facts<Facts>();
    try {
        check(opened.view.facts);
    } catch (const DamagedIndex& error) {
        throw DamagedIndex(path + ": " + error.what());
    }
    for_each_part(opened.view,
                  [&]<class T>(std::uint32_t type, const T*& data, std::size_t bytes, std::size_t count) {
                      data = reinterpret_cast<const T*>(file.section(type, bytes, count).data());
                  });
    // Those that a search reads a line here and there of.
    file.expect_random_reads(rows_section);
    return opened;
}

}  // namespace ann_bench
