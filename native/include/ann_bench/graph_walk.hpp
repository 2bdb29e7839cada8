#pragma once
// The walk through a graph: from vertex to vertex, always on from the nearest that it knows.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "ann_bench/index.hpp"
#include "ann_bench/kernels.hpp"

namespace ann_bench {

/// Vertices that a walk looks at to find where it begins, and how many of them it begins at.
inline constexpr std::size_t most_entries = 64;
inline constexpr std::size_t first_vertices = 4;

/// What a walk goes through, wherever it lies.
struct WalkedGraph {
    std::uint64_t vertices;
    std::uint32_t width;              ///< dimensions of codes, a multiple of 128
    std::uint32_t degree;             ///< edges of a vertex
    std::uint32_t entry_count;        ///< at most most_entries
    const std::uint8_t* codes;        ///< 4 bits a dimension, as Kernels::short_code_squares takes them
    const std::uint32_t* edges;       ///< `degree` for each vertex; those that it lacks lead to itself
    const std::uint32_t* entries;     ///< vertices
    const std::uint8_t* entry_codes;  ///< their codes

    const std::uint8_t* code(std::uint32_t vertex) const { return codes + std::size_t{vertex} * (width / 2); }
    const std::uint32_t* edges_of(std::uint32_t vertex) const { return edges + std::size_t{vertex} * degree; }
};

/// How far a walk goes: to the nearest `followed` of the vertices that it saw, but to none that is more than
/// `times` as far, squared, as the `rank`-th nearest of them.
struct Reach {
    std::size_t followed;
    std::size_t rank = 1;
    double times = std::numeric_limits<double>::infinity();
    std::size_t kept = 0;  ///< of the vertices seen the nearest so many are told even where they are farther
};

/// Walks, one at a time; memory serves one after another.
///
/// Best-first search (Malkov & Yashunin 2018 and many before) as a pipeline of three steps, so that nothing
/// is waited for that was not called for a step before: the edges of the next vertex are called for; those of
/// the one before are followed, and the codes at their ends called for; those of the one before that are
/// scored. Numbers of vertices that a damaged file may hold are checked where they are used.
class GraphWalk {
  public:
    explicit GraphWalk(const WalkedGraph& graph);

    /// Walks until it was at all vertices within reach, and gives their keys, nearest first, and maybe some
    /// more (see vertex_key; their lowest bit means nothing now). `query` is a code as
    /// Kernels::short_code_squares takes it; `itself` is a vertex that is not there. Valid until the next
    /// walk.
    std::span<const std::uint64_t> walk(const std::int8_t* query, const Reach& reach, std::uint32_t itself);

    /// The vertices that the last walk saw, each once, and their distances. Valid until the next walk.
    std::span<const std::uint32_t> seen() const { return {seen_.data(), seen_count_}; }
    std::span<const std::int32_t> distances() const { return {distances_.data(), seen_count_}; }

    /// Distances that the last walk estimated.
    std::size_t scored() const { return graph_.entry_count + seen_count_ - begun_; }

  private:
    void begin(const std::int8_t* query, std::size_t followed, std::uint32_t itself);
    std::size_t follow(std::uint32_t vertex, std::size_t to);
    std::uint32_t limit_of(const Reach& reach) const;
    void make_room(std::size_t count);

    WalkedGraph graph_;
    const Kernels& kernel_ = kernels();
    std::vector<std::uint8_t> visited_;  ///< the number of the walk that was there last
    std::uint8_t walk_ = 0;
    std::vector<std::uint64_t> pool_;
    std::size_t size_ = 0;  ///< keys in the pool
    std::vector<std::uint32_t> seen_;
    std::vector<std::int32_t> distances_;
    std::size_t seen_count_ = 0, begun_ = 0;  ///< vertices seen; the first of them, which are entries
};

}  // namespace ann_bench
