#pragma once
// The graph: every row is a vertex, joined to near ones in all directions. A query walks towards its
// neighbours over short codes, and compares the best of those that it saw exactly.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ann_bench/graph_walk.hpp"
#include "ann_bench/index.hpp"
#include "ann_bench/projection.hpp"
#include "ann_bench/rank_table.hpp"
#include "ann_bench/rows.hpp"

namespace ann_bench {

/// Dimensions of a graph's codes are a multiple of this: a cache line of 4 bits each.
inline constexpr std::uint32_t code_line = 128;

/// Codes have at most so many dimensions; rows of more are projected onto as many principal axes.
inline constexpr std::uint32_t most_code_width = 256;

inline constexpr std::uint32_t most_degree = 1024;

struct GraphOptions {
    Distance distance = Distance::euclidean;  ///< euclidean, angular or dot
    std::uint32_t degree = 0;                 ///< edges of a vertex at most; 0: the usual
    float alpha =
        1.1f;  ///< a vertex is not joined to what lies so many times nearer to one that it is joined to
    std::uint64_t seed = 0;
    unsigned threads = 1;
};

/// What the header says of a graph.
struct GraphFacts {
    Distance distance;
    std::uint32_t dimension;
    RowType type;
    std::uint32_t depth;  ///< dimensions that the projection takes: one more for dot
    std::uint32_t width;  ///< dimensions of codes
    std::uint32_t degree;
    std::uint32_t entries;  ///< vertices that walks begin near to
    float alpha;
    std::uint64_t rows;
    std::uint64_t fitted;  ///< rows that there were when all was built; the others were added
    std::uint64_t seed;
    float projection_scale;
    float steps_per_unit;
    float longest;              ///< for dot: the length of the longest row
    RankTable<11> distances{};  ///< of vertices from those near to them, by short codes, squared

    Shape shape() const { return {distance, dimension, rows}; }
};
static_assert(sizeof(GraphFacts) == 112, "no gaps: what stands in them would stand in the file");

/// What a graph consists of, wherever its bytes lie. Does not own them.
struct GraphView {
    GraphFacts facts;
    RowsView rows;
    ProjectionView projection;
    WalkedGraph graph;

    MetricSpace space() const { return {facts.distance, facts.dimension, facts.longest}; }
};

template <class Part>
void for_each_part(GraphView& view, Part part) {
    const std::size_t code_bytes = view.facts.width / 2;
    WalkedGraph& graph = view.graph;
    for_each_part(view.rows, part);
    for_each_part(view.projection, part);
    part(section_type("code"), graph.codes, code_bytes, graph.vertices);
    part(section_type("edge"), graph.edges, graph.degree * sizeof(std::uint32_t), graph.vertices);
    part(section_type("entr"), graph.entries, sizeof(std::uint32_t), graph.entry_count);
    part(section_type("entc"), graph.entry_codes, code_bytes, graph.entry_count);
}

struct GraphParts;

/// A graph over rows.
class Graph final : public Index {
  public:
    ~Graph() override;
    Graph(Graph&&) noexcept;
    Graph& operator=(Graph&&) noexcept;

    /// Copies `count` vectors of `dimension` values and joins them.
    ///
    /// The result depends on the vectors and the options without `threads`, to the last byte. Throws
    /// std::invalid_argument if a size is out of range, a value is not finite, or there is no graph for the
    /// distance.
    static Graph build(const Vectors& vectors, std::size_t count, std::uint32_t dimension,
                       const GraphOptions& options);

    static Graph open(std::shared_ptr<const SectionFile> file);

    IndexKind kind() const override { return IndexKind::graph; }
    RowsView rows() const override { return view_.rows; }
    Effort usual_effort(std::size_t k) const override;
    Effort whole_effort() const override { return {view_.facts.rows, view_.facts.rows}; }

    const GraphView& view() const { return view_; }

  protected:
    std::unique_ptr<Searcher> make_searcher() const override;
    std::span<const std::byte> header_facts() const override {
        return std::as_bytes(std::span(&view_.facts, 1));
    }
    std::vector<Part> parts() const override;
    void append(const Vectors& vectors, std::size_t count, unsigned threads) override;

  private:
    explicit Graph(const GraphView& view);

    GraphView view_;
    std::shared_ptr<const SectionFile> file_;  ///< where the parts are, or
    std::unique_ptr<GraphParts> owned_;        ///< what they are in
};

}  // namespace ann_bench
