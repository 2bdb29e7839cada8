#include "joiner.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "ann_bench/parallel.hpp"
#include "ann_bench/random.hpp"
#include "graph_builder.hpp"

namespace ann_bench {
namespace {

constexpr std::size_t vertices_per_task = 256;

/// How far the walks look that edges are found along, and how many of what they saw is thought about.
constexpr std::size_t walk_sight = 96, walk_candidates = 64;

}  // namespace

/// Chooses among candidates, for one vertex at a time.
class Joiner::Pruner {
  public:
    explicit Pruner(const Joiner& joiner)
        : codes_(joiner.codes_), degree_(joiner.degree_), alpha_squared_(joiner.alpha_squared_) {}

    void start(std::uint32_t vertex) {
        vertex_ = vertex;
        candidates_.clear();
    }

    void add(std::uint32_t candidate) {
        if (candidate != vertex_) candidates_.push_back(candidate);
    }

    std::size_t candidates() {
        std::sort(candidates_.begin(), candidates_.end());
        candidates_.erase(std::unique(candidates_.begin(), candidates_.end()), candidates_.end());
        return candidates_.size();
    }

    /// Writes `degree` edges: all candidates if there is room for them and `all` says so, else the best.
    void choose(std::uint32_t* edges, bool all) {
        const std::size_t count = candidates();
        squares_.resize(count);
        kernel_.code_squares(codes_.data, candidates_.data(), count, codes_.of(vertex_), codes_.width,
                             squares_.data());
        keys_.resize(count);
        for (std::size_t i = 0; i < count; ++i) {
            keys_[i] = vertex_key(static_cast<std::uint32_t>(squares_[i]), candidates_[i]);
        }
        std::sort(keys_.begin(), keys_.end());
        const bool keep_all = all && count <= degree_;
        std::size_t chosen = 0;
        for (const std::uint64_t key : keys_) {
            if (chosen == degree_) break;
            if (keep_all || !is_hidden(key, {edges, chosen})) edges[chosen++] = vertex_of(key);
        }
        std::fill(edges + chosen, edges + degree_, vertex_);
    }

  private:
    /// Whether one of the vertices chosen lies much nearer to this one, or at the same place.
    bool is_hidden(std::uint64_t key, std::span<const std::uint32_t> chosen) const {
        constexpr std::size_t at_once = 8;
        std::int32_t squares[at_once];
        const auto limit = static_cast<float>(key >> 32);
        for (std::size_t first = 0; first < chosen.size(); first += at_once) {
            const std::size_t count = std::min(at_once, chosen.size() - first);
            kernel_.code_squares(codes_.data, chosen.data() + first, count, codes_.of(vertex_of(key)),
                                 codes_.width, squares);
            for (std::size_t i = 0; i < count; ++i) {
                if (squares[i] == 0 || alpha_squared_ * static_cast<float>(squares[i]) < limit) return true;
            }
        }
        return false;
    }

    const Kernels& kernel_ = kernels();
    Codes codes_;
    std::size_t degree_;
    float alpha_squared_;
    std::uint32_t vertex_ = 0;
    std::vector<std::uint32_t> candidates_;
    std::vector<std::int32_t> squares_;
    std::vector<std::uint64_t> keys_;
};

Joiner::Joiner(const Codes& codes, std::uint32_t degree, float alpha, unsigned threads)
    : codes_(codes),
      degree_(degree),
      alpha_squared_(alpha * alpha),
      threads_(threads),
      edges_(codes.rows * degree * sizeof(std::uint32_t)) {}

Joiner::Joiner(const Codes& codes, std::uint32_t degree, float alpha, unsigned threads, Buffer edges)
    : codes_(codes),
      degree_(degree),
      alpha_squared_(alpha * alpha),
      threads_(threads),
      edges_(std::move(edges)) {}

/// Calls body(first, last) for pieces of all vertices.
template <class Body>
void Joiner::for_vertices(Body body) const {
    parallel_for((codes_.rows + vertices_per_task - 1) / vertices_per_task, threads_, [&](std::size_t task) {
        body(task * vertices_per_task, std::min(codes_.rows, (task + 1) * vertices_per_task));
    });
}

void Joiner::join_to_leaf_neighbours(std::span<const std::uint32_t> neighbours) {
    for_vertices([&](std::uint64_t first, std::uint64_t last) {
        Pruner pruner(*this);
        for (std::uint64_t vertex = first; vertex < last; ++vertex) {
            pruner.start(static_cast<std::uint32_t>(vertex));
            for (std::size_t i = 0; i < leaf_neighbours; ++i)
                pruner.add(neighbours[vertex * leaf_neighbours + i]);
            pruner.choose(edges_of(vertex), false);
        }
    });
    join_back();
}

void Joiner::join_along_walks(const WalkedGraph& graph) {
    Buffer found(edges_.size());
    for_vertices([&](std::uint64_t first, std::uint64_t last) {
        Pruner pruner(*this);
        GraphWalk walk(graph);
        Buffer query(codes_.width);
        for (std::uint64_t vertex = first; vertex < last; ++vertex) {
            const auto number = static_cast<std::uint32_t>(vertex);
            pruner.start(number);
            query_code(codes_.of(vertex), codes_.width, query.as<std::int8_t>().data());
            const std::span keys = walk.walk(query.as<std::int8_t>().data(), {walk_sight}, no_row);
            for (std::size_t i = 0; i < std::min(walk_candidates, keys.size()); ++i) {
                pruner.add(vertex_of(keys[i]));
            }
            const std::uint32_t* const edges = graph.edges_of(number);
            for (std::size_t i = 0; i < degree_; ++i) pruner.add(edges[i]);
            pruner.choose(found.as<std::uint32_t>().data() + vertex * degree_, false);
        }
    });
    std::memcpy(edges_.data(), found.data(), found.size());
    join_back();
}

/// Joins the ends of all edges back to their beginnings, as far as there is room or they are good enough.
void Joiner::join_back() {
    std::vector<std::uint64_t> ends(codes_.rows + 1);
    const auto for_edges = [&](auto body) {
        for (std::uint64_t vertex = 0; vertex < codes_.rows; ++vertex) {
            const std::uint32_t* const edges = edges_of(vertex);
            for (std::size_t i = 0; i < degree_ && edges[i] != vertex; ++i) {
                body(static_cast<std::uint32_t>(vertex), edges[i]);
            }
        }
    };
    for_edges([&](std::uint32_t, std::uint32_t end) { ++ends[end + 1]; });
    std::partial_sum(ends.begin(), ends.end(), ends.begin());
    std::vector<std::uint32_t> beginnings(ends.back());
    std::vector<std::uint64_t> next(ends.begin(), ends.end() - 1);
    for_edges([&](std::uint32_t vertex, std::uint32_t end) { beginnings[next[end]++] = vertex; });
    for_vertices([&](std::uint64_t first, std::uint64_t last) {
        Pruner pruner(*this);
        for (std::uint64_t vertex = first; vertex < last; ++vertex) {
            std::uint32_t* const edges = edges_of(vertex);
            pruner.start(static_cast<std::uint32_t>(vertex));
            for (std::size_t i = 0; i < degree_; ++i) pruner.add(edges[i]);
            for (std::uint64_t i = ends[vertex]; i < ends[vertex + 1]; ++i) pruner.add(beginnings[i]);
            pruner.choose(edges, true);
        }
    });
}

void Joiner::insert(std::uint32_t vertex, const WalkedGraph& graph) {
    std::uint32_t* const edges = edges_of(vertex);
    std::fill(edges, edges + degree_, vertex);
    if (!walk_) walk_ = std::make_unique<GraphWalk>(graph);
    Buffer query(codes_.width);
    query_code(codes_.of(vertex), codes_.width, query.as<std::int8_t>().data());
    const std::span keys = walk_->walk(query.as<std::int8_t>().data(), {walk_sight}, vertex);
    Pruner pruner(*this);
    pruner.start(vertex);
    for (std::size_t i = 0; i < std::min(walk_candidates, keys.size()); ++i) pruner.add(vertex_of(keys[i]));
    pruner.choose(edges, false);
    bool reached = false;
    for (std::size_t i = 0; i < degree_ && edges[i] != vertex; ++i) {
        std::uint32_t* const back = edges_of(edges[i]);
        pruner.start(edges[i]);
        for (std::size_t j = 0; j < degree_; ++j) pruner.add(back[j]);
        pruner.add(vertex);
        pruner.choose(back, true);
        reached = reached || std::find(back, back + degree_, vertex) != back + degree_;
    }
    if (reached || edges[0] == vertex) return;
    // Nobody needs it, a twin of another, as it may be. It goes between its nearest and what that led to.
    const std::uint32_t nearest = edges[0];
    const std::uint32_t last = edges_of(nearest)[degree_ - 1];
    if (last != nearest) replace_last(vertex, last);
    replace_last(nearest, vertex);
}

/// Joins a vertex to one more, in place of the farthest if it has no room.
void Joiner::replace_last(std::uint32_t vertex, std::uint32_t end) {
    std::uint32_t* const edges = edges_of(vertex);
    if (std::find(edges, edges + degree_, end) != edges + degree_) return;
    std::uint32_t* const free = std::find(edges, edges + degree_, vertex);
    *(free == edges + degree_ ? free - 1 : free) = end;
}

void Joiner::join_twins() {
    // By a number made of the code, then by the code itself.
    struct Twin {
        std::uint64_t digest;
        std::uint32_t row;
    };
    std::vector<Twin> rows(codes_.rows);
    for_vertices([&](std::uint64_t first, std::uint64_t last) {
        for (std::uint64_t row = first; row < last; ++row) {
            std::uint64_t digest = 0;
            for (std::size_t d = 0; d < codes_.width; d += 8) {
                std::uint64_t eight;
                std::memcpy(&eight, codes_.of(row) + d, sizeof eight);
                digest = mix(digest ^ eight) + d;
            }
            rows[row] = {digest, static_cast<std::uint32_t>(row)};
        }
    });
    const auto compare = [&](const Twin& a, const Twin& b) {
        return std::memcmp(codes_.of(a.row), codes_.of(b.row), codes_.width);
    };
    std::sort(rows.begin(), rows.end(), [&](const Twin& a, const Twin& b) {
        if (a.digest != b.digest) return a.digest < b.digest;
        const int order = compare(a, b);
        return order != 0 ? order < 0 : a.row < b.row;
    });
    for (std::size_t first = 0; first < rows.size();) {
        std::size_t last = first + 1;
        while (last < rows.size() && rows[last].digest == rows[first].digest &&
               compare(rows[first], rows[last]) == 0) {
            ++last;
        }
        if (last - first > 1) {
            for (std::size_t i = first; i < last; ++i) {
                replace_last(rows[i].row, rows[i + 1 < last ? i + 1 : first].row);
            }
        }
        first = last;
    }
}

void Joiner::join_what_is_out_of_reach(const WalkedGraph& graph) {
    std::vector<bool> reached(codes_.rows);
    std::vector<std::uint32_t> waiting;
    const auto reach = [&](std::uint32_t vertex) {
        if (reached[vertex]) return;
        reached[vertex] = true;
        waiting.push_back(vertex);
    };
    const auto spread = [&] {
        while (!waiting.empty()) {
            const std::uint32_t vertex = waiting.back();
            waiting.pop_back();
            for (std::size_t i = 0; i < degree_; ++i) reach(edges_of(vertex)[i]);
        }
    };
    for (std::size_t i = 0; i < graph.entry_count; ++i) reach(graph.entries[i]);
    spread();
    GraphWalk walk(graph);
    Buffer query(codes_.width);
    for (std::uint32_t vertex = 0; vertex < codes_.rows; ++vertex) {
        if (reached[vertex]) continue;
        query_code(codes_.of(vertex), codes_.width, query.as<std::int8_t>().data());
        const std::span keys = walk.walk(query.as<std::int8_t>().data(), {walk_sight}, vertex);
        // One with room for an edge, for taking one away could put something else out of reach.
        const auto room = std::find_if(keys.begin(), keys.end(), [&](std::uint64_t key) {
            return edges_of(vertex_of(key))[degree_ - 1] == vertex_of(key);
        });
        replace_last(vertex_of(room == keys.end() ? keys.front() : *room), vertex);
        reach(vertex);
        spread();
    }
}

}  // namespace ann_bench
