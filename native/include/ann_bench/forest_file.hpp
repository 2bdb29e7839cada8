#pragma once
// A forest as sections of a file. README.md describes the format.

#include <cstddef>
#include <cstdint>

#include "ann_bench/forest_parts.hpp"
#include "ann_bench/section_file.hpp"

namespace ann_bench {

template <class Part>
void for_each_part(ForestView& index, Part part) {
    const ForestFacts& facts = index.facts;
    const bool codes = !takes_bits(facts.distance);
    part(rows_section, index.rows, facts.row_bytes(), facts.rows);
    if (facts.distance == Distance::angular) part(section_type("norm"), index.inverse_norms, 4, facts.rows);
    if (codes) {
        part(section_type("code"), index.codes, facts.code_bytes(), facts.rows);
        part(section_type("term"), index.code_terms, 4, facts.rows);
        for_each_part(index.projection, part);
    }
    part(section_type("root"), index.roots, sizeof(Link), facts.trees);
    part(section_type("node"), index.nodes, sizeof(Node), facts.nodes);
    part(section_type("plan"), index.normals, facts.width, facts.nodes);
    part(section_type("boug"), index.boughs, facts.bough_bytes(), facts.boughs);
    part(section_type("leaf"), index.leaves, facts.leaf_bytes(), facts.leaves);
}

/// The parts of a forest in an opened file. Besides the header page it reads nothing.
///
/// Throws DamagedIndex if the file holds no forest, or sections that do not fit its facts.
ForestView open_forest(const SectionFile& file);

}  // namespace ann_bench
