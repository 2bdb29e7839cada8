#include "ann_bench/file.hpp"

#include <array>

namespace ann_bench {
namespace {

/// The summary as it stands in the file.
struct Facts {
    std::uint32_t distance;
    std::uint32_t dimension;
    std::uint32_t trees;
    std::uint32_t leaf_size;
    std::uint32_t split;
    std::uint32_t reserved;
    std::uint64_t seed;
    std::uint64_t rows;
    std::uint64_t nodes;
    std::uint64_t leaves;
};
static_assert(sizeof(Facts) == 56);

Facts facts_of(const Summary& summary) {
    return {static_cast<std::uint32_t>(summary.distance),
            summary.dimension,
            summary.trees,
            summary.leaf_size,
            static_cast<std::uint32_t>(summary.split),
            0,
            summary.seed,
            summary.rows,
            summary.nodes,
            summary.leaves};
}

Summary summary_of(const Facts& facts) {
    return {static_cast<Distance>(facts.distance),
            facts.dimension,
            facts.trees,
            facts.leaf_size,
            static_cast<SplitScheme>(facts.split),
            facts.seed,
            facts.rows,
            facts.nodes,
            facts.leaves};
}

/// Throws DamagedIndex if these are no numbers of a forest. Afterwards no number of elements overflows.
void check(const Summary& summary) {
    const auto require = [](bool holds, const char* what) {
        if (!holds) throw DamagedIndex(std::string("header: ") + what + " out of range");
    };
    require(static_cast<std::size_t>(summary.distance) < distance_names.size(), "distance");
    require(static_cast<std::size_t>(summary.split) < split_names.size(), "split");
    require(summary.dimension >= 1 && summary.dimension <= max_dimension, "dimension");
    require(summary.rows >= 1 && summary.rows < leaf_bit, "rows");
    require(summary.trees >= 1, "trees");
    require(summary.nodes < leaf_bit, "nodes");
    // A tree has one leaf more than it has nodes.
    require(summary.leaves == summary.nodes + summary.trees && summary.leaves < leaf_bit, "leaves");
}

/// A section as the summary wants it.
struct Part {
    std::uint32_t type;
    std::uint64_t element_bytes;
    std::uint64_t elements;
};

/// The parts in the order in which they are written.
std::array<Part, 5> parts_of(const Summary& summary) {
    const Layout layout = layout_of(summary.distance, summary.dimension);
    return {{{section_type("rows"), layout.row_bytes, summary.rows},
             {section_type("node"), layout.node_bytes, summary.nodes},
             {section_type("leaf"), sizeof(std::uint64_t), summary.leaves + 1},
             {section_type("item"), sizeof(std::uint32_t), summary.entries()},
             {section_type("root"), sizeof(Link), summary.trees}}};
}

}  // namespace

std::uint64_t file_bytes(const Summary& summary) {
    check(summary);
    std::uint64_t end = sizeof(FileHeader);
    for (const Part& part : parts_of(summary)) {
        std::uint64_t bytes = 0;
        if (__builtin_mul_overflow(part.elements, part.element_bytes, &bytes) ||
            __builtin_add_overflow(end, bytes, &end) ||
            __builtin_add_overflow(end, section_alignment - 1, &end)) {
            throw DamagedIndex("sizes in the header overflow");
        }
        end = end / section_alignment * section_alignment;
    }
    return end;
}

void save_index(const IndexView& index, const std::string& path) {
    const std::array<const void*, 5> begins = {index.rows, index.nodes, index.leaf_begins, index.entries,
                                               index.roots};
    const std::array<Part, 5> parts = parts_of(index.summary);
    SectionWriter writer(path);
    for (std::size_t i = 0; i < parts.size(); ++i) {
        writer.add(parts[i].type, static_cast<std::uint32_t>(parts[i].element_bytes),
                   {static_cast<const std::byte*>(begins[i]), parts[i].elements * parts[i].element_bytes});
    }
    writer.commit(IndexKind::forest, facts_of(index.summary));
}

OpenedIndex open_index(const std::string& path, OpenMode mode) {
    const auto file = std::make_shared<const SectionFile>(SectionFile::open(path, mode));
    if (file->kind() != IndexKind::forest) {
        throw DamagedIndex(path + ": an index of the kind \"" + name_of(file->kind()) + "\", not a forest");
    }
    OpenedIndex opened{{}, file};
    IndexView& view = opened.view;
    view.summary = summary_of(file->facts<Facts>());
    try {
        check(view.summary);
    } catch (const DamagedIndex& error) {
        throw DamagedIndex(path + ": " + error.what());
    }
    view.layout = layout_of(view.summary.distance, view.summary.dimension);
    const auto [rows, nodes, leaf_begins, entries, roots] = parts_of(view.summary);
    const auto begin = [&file](const Part& part) {
        return file->section(part.type, part.element_bytes, part.elements).data();
    };
    view.rows = begin(rows);
    view.nodes = begin(nodes);
    view.leaf_begins = reinterpret_cast<const std::uint64_t*>(begin(leaf_begins));
    view.entries = reinterpret_cast<const std::uint32_t*>(begin(entries));
    view.roots = reinterpret_cast<const Link*>(begin(roots));
    return opened;
}

}  // namespace ann_bench
