#include "ann_bench/forest_file.hpp"

#include <cstring>

#include "ann_bench/parts.hpp"
#include "ann_bench/projection.hpp"
#include "ann_bench/vectors.hpp"

namespace ann_bench {
namespace {

/// Throws DamagedIndex if these are no numbers of a forest. Afterwards no number of elements overflows.
void check(const ForestFacts& facts) {
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
    const bool bits = takes_bits(facts.distance);
    require(facts.depth == (bits ? 0 : facts.dimension), "depth");
    require(facts.width == (bits ? round_up(facts.dimension, code_step) : code_width(facts.dimension)),
            "width");
}

}  // namespace

ForestView open_forest(const SectionFile& file) {
    if (file.kind() != IndexKind::forest) {
        throw DamagedIndex(file.path() + ": holds a " + name_of(file.kind()) + ", and no forest");
    }
    ForestView view{};
    view.facts = file.facts<ForestFacts>();
    try {
        check(view.facts);
    } catch (const DamagedIndex& error) {
        throw DamagedIndex(file.path() + ": " + error.what());
    }
    const ForestFacts& facts = view.facts;
    view.projection = {facts.depth, facts.width, facts.projection_scale, facts.steps_per_unit, nullptr,
                       nullptr,     nullptr};
    open_parts(view, file);
    // Those that a search reads a line here and there of.
    file.expect_random_reads(rows_section);
    return view;
}

}  // namespace ann_bench
