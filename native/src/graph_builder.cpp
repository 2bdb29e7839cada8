#include "graph_builder.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>

#include "ann_bench/parallel.hpp"
#include "ann_bench/random.hpp"
#include "joiner.hpp"
#include "leaf_neighbours.hpp"

namespace ann_bench {
namespace {

constexpr std::size_t rows_per_task = 512;

/// Rows that the projection is fitted to.
constexpr std::size_t projection_sample = 4096;

/// Edges of a vertex, unless told otherwise: fewer where a code is more than a cache line, as those are the
/// dearer ones to look at.
constexpr std::uint32_t usual_degree = 48, wide_degree = 32;

/// What stands for the rest of a graph's options.
enum Key : std::uint64_t { sample_key, projection_key, trees_key, entries_key };

/// The bytes of a graph that was built here.
struct Owned {
    OwnedRows rows;
    Projection projection;
    Buffer codes, edges, entries, entry_codes;
};

/// Makes the parts of a graph in order, each from those before it.
class Builder {
  public:
    Builder(const Vectors& vectors, const Shape& shape, const GraphOptions& options)
        : options_(options), key_(mix(options.seed)), owned_(std::make_shared<Owned>()) {
        owned_->rows = OwnedRows(vectors, shape, options.threads);
        view_.rows = owned_->rows.view();
        GraphFacts& facts = view_.facts;
        facts.distance = shape.distance;
        facts.dimension = shape.dimension;
        facts.rows = shape.rows;
        facts.type = view_.rows.type;
        facts.seed = options.seed;
        facts.alpha = options.alpha;
        if (shape.distance == Distance::dot) facts.longest = longest_row();
        facts.depth = view_.space().depth();
        facts.width = graph_code_width(facts.depth);
        facts.degree = options.degree != 0        ? options.degree
                       : facts.width <= code_line ? usual_degree
                                                  : wide_degree;
        facts.entries = static_cast<std::uint32_t>(std::min<std::uint64_t>(most_entries, facts.rows));
    }

    std::pair<GraphView, std::shared_ptr<const void>> build() {
        find_projection();
        Buffer codes(view_.facts.rows * view_.facts.width);
        encode_rows(codes.as<std::uint8_t>().data());
        choose_entries();
        join(codes.as<std::uint8_t>().data());
        return {view_, owned_};
    }

  private:
    template <class Body>
    void for_pieces(Body body) const {
        const std::size_t rows = view_.facts.rows;
        parallel_for((rows + rows_per_task - 1) / rows_per_task, options_.threads, [&](std::size_t task) {
            body(task * rows_per_task, std::min(rows, (task + 1) * rows_per_task));
        });
    }

    float longest_row() const {
        std::vector<float> row(view_.facts.dimension);
        double longest = 0;
        for (std::size_t i = 0; i < view_.facts.rows; ++i) {
            view_.rows.read(i, row.data());
            longest = std::max(longest, squared_norm(row.data(), row.size()));
        }
        return static_cast<float>(std::min(std::sqrt(longest), 3.4e38));
    }

    void place(std::size_t row, std::vector<float>& scratch, float* to) const {
        scratch.resize(view_.facts.dimension);
        view_.rows.read(row, scratch.data());
        view_.space().place_row(scratch.data(), to);
    }

    void find_projection() {
        GraphFacts& facts = view_.facts;
        const std::size_t count = std::min<std::size_t>(projection_sample, facts.rows);
        std::vector<float> sample(count * facts.depth), scratch;
        Random random(derive_key(key_, sample_key));
        for (std::size_t i = 0; i < count; ++i) {
            const bool all = count == facts.rows;
            place(all ? i : random.below(static_cast<std::uint32_t>(facts.rows)), scratch,
                  sample.data() + i * facts.depth);
        }
        owned_->projection = fit_projection(sample, facts.depth, facts.width, 0,
                                            derive_key(key_, projection_key), options_.threads);
        view_.projection = owned_->projection.view();
        facts.projection_scale = view_.projection.scale;
        facts.steps_per_unit = view_.projection.steps_per_unit;
    }

    void encode_rows(std::uint8_t* codes) {
        const GraphFacts& facts = view_.facts;
        owned_->codes = Buffer(facts.rows * (facts.width / 2));
        std::uint8_t* const short_codes = owned_->codes.as<std::uint8_t>().data();
        for_pieces([&](std::size_t first, std::size_t last) {
            std::vector<float> placed(facts.depth), scratch;
            ProjectionScratch projection;
            for (std::size_t i = first; i < last; ++i) {
                place(i, scratch, placed.data());
                project(view_.projection, placed.data(), projection, codes + i * facts.width);
                shorten_code(codes + i * facts.width, short_codes + i * (facts.width / 2));
            }
        });
        view_.graph.vertices = facts.rows;
        view_.graph.width = facts.width;
        view_.graph.degree = facts.degree;
        view_.graph.codes = short_codes;
    }

    void shorten_code(const std::uint8_t* code, std::uint8_t* to) const {
        constexpr std::size_t half = code_line / 2;
        for (std::size_t first = 0; first < view_.facts.width; first += code_line) {
            for (std::size_t t = 0; t < half; ++t) {
                to[first / 2 + t] =
                    static_cast<std::uint8_t>(code[first + t] >> 3 | code[first + half + t] >> 3 << 4);
            }
        }
    }

    /// Random vertices, each once.
    void choose_entries() {
        const GraphFacts& facts = view_.facts;
        owned_->entries = Buffer(facts.entries * sizeof(std::uint32_t));
        owned_->entry_codes = Buffer(facts.entries * (facts.width / 2));
        const auto entries = owned_->entries.as<std::uint32_t>();
        Random random(derive_key(key_, entries_key));
        for (std::uint32_t i = 0; i < facts.entries; ++i) {
            const auto before = entries.begin() + i;
            std::uint32_t vertex = i;
            if (facts.rows > facts.entries) {
                do {
                    vertex = random.below(static_cast<std::uint32_t>(facts.rows));
                } while (std::find(entries.begin(), before, vertex) != before);
            }
            entries[i] = vertex;
            std::memcpy(owned_->entry_codes.data() + i * (facts.width / 2), view_.graph.code(vertex),
                        facts.width / 2);
        }
        view_.graph.entries = entries.data();
        view_.graph.entry_codes = owned_->entry_codes.as<std::uint8_t>().data();
        view_.graph.entry_count = facts.entries;
    }

    void join(const std::uint8_t* codes) {
        const GraphFacts& facts = view_.facts;
        Joiner joiner({codes, facts.width, facts.rows}, facts.degree, facts.alpha, options_.threads);
        {
            const Buffer neighbours = find_leaf_neighbours({codes, facts.width, facts.rows},
                                                           derive_key(key_, trees_key), options_.threads);
            joiner.join_to_leaf_neighbours(neighbours.as<std::uint32_t>());
        }
        view_.graph.edges = joiner.edges();
        joiner.join_along_walks(view_.graph);
        joiner.join_twins();
        joiner.join_what_is_out_of_reach(view_.graph);
        owned_->edges = joiner.take_edges();
        view_.graph.edges = owned_->edges.as<std::uint32_t>().data();
    }

    const GraphOptions& options_;
    std::uint64_t key_;
    std::shared_ptr<Owned> owned_;
    GraphView view_{};
};

}  // namespace

std::pair<GraphView, std::shared_ptr<const void>> build_graph(const Vectors& vectors, const Shape& shape,
                                                              const GraphOptions& options) {
    return Builder(vectors, shape, options).build();
}

}  // namespace ann_bench
