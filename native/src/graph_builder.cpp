#include "graph_builder.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>

#include "ann_bench/parallel.hpp"
#include "ann_bench/random.hpp"
#include "encoder.hpp"
#include "joiner.hpp"
#include "leaf_neighbours.hpp"

namespace ann_bench {
namespace {

/// Edges of a vertex, unless told otherwise.
constexpr std::uint32_t usual_degree = 32;

/// Walks that tell how far from a vertex its neighbours are.
constexpr std::uint64_t walks_for_distances = 512, walks_per_task = 32;

/// What stands for the rest of a graph's options.
enum Key : std::uint64_t { sample_key, projection_key, trees_key, entries_key };

/// Writes the short code of an unsigned one.
void shorten_code(const std::uint8_t* code, std::size_t width, std::uint8_t* to) {
    constexpr std::size_t half = code_line / 2;
    for (std::size_t first = 0; first < width; first += code_line) {
        for (std::size_t t = 0; t < half; ++t) {
            to[first / 2 + t] =
                static_cast<std::uint8_t>(code[first + t] >> 3 | code[first + half + t] >> 3 << 4);
        }
    }
}

/// Makes both codes of the rows from `first` on.
void encode(GraphParts& parts, std::uint64_t first, unsigned threads) {
    const GraphFacts& facts = parts.facts;
    const MetricSpace space(facts.distance, facts.dimension, facts.longest);
    std::uint8_t* const codes = parts.long_codes.as<std::uint8_t>().data();
    encode_rows(parts.rows.view(), space, parts.projection.view(), first, threads, codes, nullptr);
    for (std::uint64_t i = first; i < facts.rows; ++i) {
        shorten_code(codes + i * facts.width, facts.width,
                     parts.codes.as<std::uint8_t>().data() + i * (facts.width / 2));
    }
}

/// Makes the parts of a graph in order, each from those before it.
class Builder {
  public:
    Builder(GraphParts& parts, const GraphOptions& options)
        : parts_(parts),
          facts_(parts.facts),
          rows_(parts.rows.view()),
          threads_(options.threads),
          key_(mix(options.seed)) {
        facts_ = {};
        facts_.distance = rows_.shape.distance;
        facts_.dimension = rows_.shape.dimension;
        facts_.rows = facts_.fitted = rows_.shape.rows;
        facts_.type = rows_.type;
        facts_.seed = options.seed;
        facts_.alpha = options.alpha;
        if (facts_.distance == Distance::dot) facts_.longest = longest_of(rows_, 0);
        facts_.depth = space().depth();
        facts_.width = graph_code_width(facts_.depth);
        facts_.degree = options.degree != 0 ? options.degree : usual_degree;
        facts_.entries = static_cast<std::uint32_t>(std::min<std::uint64_t>(most_entries, facts_.rows));
    }

    void build() {
        find_projection();
        parts_.long_codes = Buffer(facts_.rows * facts_.width);
        parts_.codes = Buffer(facts_.rows * (facts_.width / 2));
        encode(parts_, 0, threads_);
        choose_entries();
        join();
        parts_.long_codes = Buffer();
    }

  private:
    MetricSpace space() const { return {facts_.distance, facts_.dimension, facts_.longest}; }

    void find_projection() {
        parts_.projection = fit_to_rows(rows_, space(), facts_.width, derive_key(key_, sample_key),
                                        derive_key(key_, projection_key), threads_);
        facts_.projection_scale = parts_.projection.scale;
        facts_.steps_per_unit = parts_.projection.steps_per_unit;
    }

    /// Random vertices, each once.
    void choose_entries() {
        const std::size_t code_bytes = facts_.width / 2;
        parts_.entries = Buffer(facts_.entries * sizeof(std::uint32_t));
        parts_.entry_codes = Buffer(facts_.entries * code_bytes);
        const auto entries = parts_.entries.as<std::uint32_t>();
        Random random(derive_key(key_, entries_key));
        for (std::uint32_t i = 0; i < facts_.entries; ++i) {
            const auto before = entries.begin() + i;
            std::uint32_t vertex = i;
            if (facts_.rows > facts_.entries) {
                do {
                    vertex = random.below(static_cast<std::uint32_t>(facts_.rows));
                } while (std::find(entries.begin(), before, vertex) != before);
            }
            entries[i] = vertex;
            std::memcpy(parts_.entry_codes.data() + i * code_bytes, parts_.codes.data() + vertex * code_bytes,
                        code_bytes);
        }
    }

    void join() {
        const Codes codes{parts_.long_codes.as<std::uint8_t>().data(), facts_.width, facts_.rows};
        Joiner joiner(codes, facts_.degree, facts_.alpha, threads_);
        {
            const Buffer neighbours = find_leaf_neighbours(codes, derive_key(key_, trees_key), threads_);
            joiner.join_to_leaf_neighbours(neighbours.as<std::uint32_t>());
        }
        WalkedGraph graph = parts_.view().graph;
        graph.edges = joiner.edges();
        joiner.join_along_walks(graph);
        joiner.join_twins();
        joiner.join_what_is_out_of_reach(graph);
        find_distances(graph);
        parts_.edges = joiner.take_edges();
    }

    /// Walks to some vertices as if they were not there.
    void find_distances(const WalkedGraph& graph) {
        constexpr std::size_t ranks = std::tuple_size_v<decltype(facts_.distances.means)>;
        const std::uint64_t count = std::min<std::uint64_t>(walks_for_distances, facts_.rows);
        std::vector<std::array<double, ranks>> found(count);
        parallel_for((count + walks_per_task - 1) / walks_per_task, threads_, [&](std::size_t task) {
            GraphWalk walk(graph);
            std::vector<std::int8_t> query(facts_.width);
            const std::uint64_t last = std::min(count, (task + 1) * walks_per_task);
            for (std::uint64_t i = task * walks_per_task; i < last; ++i) {
                const auto vertex = static_cast<std::uint32_t>(facts_.rows * i / count);
                query_code(parts_.long_codes.as<std::uint8_t>().data() + std::size_t{vertex} * facts_.width,
                           facts_.width, query.data());
                const std::span keys = walk.walk(query.data(), {std::size_t{1} << (ranks - 1)}, vertex);
                for (std::size_t power = 0; power < ranks && !keys.empty(); ++power) {
                    const std::size_t place = std::min(std::size_t{1} << power, keys.size()) - 1;
                    found[i][power] = static_cast<double>(keys[place] >> 32);
                }
            }
        });
        for (std::size_t power = 0; power < ranks; ++power) {
            double sum = 0;
            for (const auto& one : found) sum += one[power];
            facts_.distances.means[power] = static_cast<float>(sum / static_cast<double>(count));
        }
    }

    GraphParts& parts_;
    GraphFacts& facts_;
    RowsView rows_;
    unsigned threads_;
    std::uint64_t key_;
};

Buffer copy_of(const void* from, std::size_t bytes) {
    Buffer copy(bytes);
    std::memcpy(copy.data(), from, bytes);
    return copy;
}

}  // namespace

GraphParts::GraphParts(OwnedRows given, const GraphOptions& options) : rows(std::move(given)) {
    Builder(*this, options).build();
}

GraphParts::GraphParts(const GraphView& view) : facts(view.facts), rows(view.rows) {
    const ProjectionView& from = view.projection;
    projection = {from.depth,
                  from.width,
                  from.scale,
                  from.steps_per_unit,
                  {from.mean, from.mean + from.depth},
                  {from.matrix, from.matrix + round_up(from.depth, 4) * from.width},
                  {from.column_sums, from.column_sums + from.width}};
    const std::size_t code_bytes = facts.width / 2;
    codes = copy_of(view.graph.codes, facts.rows * code_bytes);
    edges = copy_of(view.graph.edges, facts.rows * facts.degree * sizeof(std::uint32_t));
    entries = copy_of(view.graph.entries, facts.entries * sizeof(std::uint32_t));
    entry_codes = copy_of(view.graph.entry_codes, facts.entries * code_bytes);
}

GraphView GraphParts::view() const {
    return {facts,
            rows.view(),
            projection.view(),
            {facts.rows, facts.width, facts.degree, facts.entries, codes.as<std::uint8_t>().data(),
             edges.as<std::uint32_t>().data(), entries.as<std::uint32_t>().data(),
             entry_codes.as<std::uint8_t>().data()}};
}

void GraphParts::append(const Vectors& vectors, std::size_t count, unsigned threads) {
    GraphOptions options{facts.distance, facts.degree, facts.alpha, facts.seed, threads};
    const std::uint64_t before = facts.rows;
    rows.append(vectors, count, threads);
    const bool longer = facts.distance == Distance::dot && longest_of(rows.view(), before) > facts.longest;
    if (longer || before + count >= 2 * facts.fitted) {
        Builder(*this, options).build();
        return;
    }
    facts.rows = before + count;
    facts.type = rows.view().type;
    const bool first_time = long_codes.size() == 0;
    grow(long_codes, first_time ? 0 : before * facts.width, facts.rows * facts.width);
    grow(codes, before * (facts.width / 2), facts.rows * (facts.width / 2));
    const std::size_t edge_bytes = facts.degree * sizeof(std::uint32_t);
    grow(edges, before * edge_bytes, facts.rows * edge_bytes);
    encode(*this, first_time ? 0 : before, threads);
    Joiner joiner({long_codes.as<std::uint8_t>().data(), facts.width, facts.rows}, facts.degree, facts.alpha,
                  threads, std::move(edges));
    WalkedGraph graph = view().graph;
    graph.edges = joiner.edges();
    for (std::uint64_t row = before; row < facts.rows; ++row) {
        joiner.insert(static_cast<std::uint32_t>(row), graph);
    }
    edges = joiner.take_edges();
}

}  // namespace ann_bench
