#pragma once
// The edges of a graph: which vertices are joined.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ann_bench/graph_walk.hpp"
#include "leaf_neighbours.hpp"

namespace ann_bench {

/// Joins the rows of some codes, in rounds that each depend on the last one's edges and on nothing else: so
/// the edges are the same for any number of threads.
///
/// An edge is left out where its end lies `alpha` times nearer to one that is joined already: the pruning of
/// relative-neighbourhood graphs (Toussaint 1980), as Vamana relaxed it (Subramanya et al. 2019).
class Joiner {
  public:
    Joiner(const Codes& codes, std::uint32_t degree, float alpha, unsigned threads);
    /// Goes on with edges that there are, for the first of the rows.
    Joiner(const Codes& codes, std::uint32_t degree, float alpha, unsigned threads, Buffer edges);

    /// From nothing: the best of some neighbours, and edges back from them.
    void join_to_leaf_neighbours(std::span<const std::uint32_t> neighbours);

    /// The best of what a walk to each vertex passes, and of its edges so far; and edges back. `graph` has
    /// the edges of this.
    void join_along_walks(const WalkedGraph& graph);

    /// Rows whose codes are the same are joined in a ring: pruning knows one of them only.
    void join_twins();

    /// Joins what no walk can get to, wherever it begins.
    void join_what_is_out_of_reach(const WalkedGraph& graph);

    /// Joins one more vertex, which had no edges, to the best of what a walk to it passes, and those to it.
    /// `graph` has the edges of this.
    void insert(std::uint32_t vertex, const WalkedGraph& graph);

    const std::uint32_t* edges() const { return edges_.as<std::uint32_t>().data(); }
    Buffer take_edges() { return std::move(edges_); }

  private:
    class Pruner;

    std::uint32_t* edges_of(std::uint64_t vertex) {
        return edges_.as<std::uint32_t>().data() + vertex * degree_;
    }
    template <class Body>
    void for_vertices(Body body) const;
    void join_back();
    void replace_last(std::uint32_t vertex, std::uint32_t end);

    Codes codes_;
    std::uint32_t degree_;
    float alpha_squared_;
    unsigned threads_;
    std::unique_ptr<GraphWalk> walk_;  ///< to those that are inserted
    Buffer edges_;                     ///< `degree` for each vertex, those that it lacks lead to itself
};

}  // namespace ann_bench
