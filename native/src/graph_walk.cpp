#include "ann_bench/graph_walk.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include "ann_bench/buffer.hpp"

namespace ann_bench {
namespace {

constexpr auto places = [] {
    std::array<std::uint32_t, most_entries> numbers{};
    std::iota(numbers.begin(), numbers.end(), 0u);
    return numbers;
}();

inline void prefetch(const void* from, std::size_t bytes) {
    const auto* at = static_cast<const std::byte*>(from);
    for (std::size_t i = 0; i < bytes; i += cache_line) __builtin_prefetch(at + i);
}

}  // namespace

GraphWalk::GraphWalk(const WalkedGraph& graph) : graph_(graph), visited_(graph.vertices) {}

/// Sees to it that so many vertices can be seen.
void GraphWalk::make_room(std::size_t count) {
    if (seen_.size() >= count) return;
    seen_.resize(2 * count);
    distances_.resize(2 * count);
}

/// Puts the nearest of the entries into the pool.
void GraphWalk::begin(const std::int8_t* query, std::size_t followed, std::uint32_t itself) {
    if (++walk_ == 0) {
        std::fill(visited_.begin(), visited_.end(), std::uint8_t{0});
        walk_ = 1;
    }
    if (itself < graph_.vertices) visited_[itself] = walk_;
    if (pool_.size() < followed + pool_room) pool_.resize(followed + pool_room);
    std::array<std::int32_t, most_entries> distances;
    kernel_.short_code_squares(graph_.entry_codes, places.data(), graph_.entry_count, query, graph_.width,
                               distances.data());
    std::array<std::uint64_t, first_vertices + 1 + pool_room> nearest;
    std::size_t lowest = 0;
    const std::size_t found = kernel_.admit(nearest.data(), 0, first_vertices + 1, graph_.entries,
                                            distances.data(), graph_.entry_count, no_limit, &lowest);
    size_ = seen_count_ = 0;
    make_room(first_vertices);
    for (std::size_t i = 0; i < found && size_ < std::min(first_vertices, followed); ++i) {
        const std::uint32_t vertex = vertex_of(nearest[i]);
        if (vertex >= graph_.vertices || visited_[vertex] == walk_) continue;
        visited_[vertex] = walk_;
        pool_[size_++] = nearest[i];
        seen_[seen_count_] = vertex;
        distances_[seen_count_++] = static_cast<std::int32_t>(nearest[i] >> 32);
    }
    begun_ = seen_count_;
}

/// Puts the ends of a vertex's edges that are new among those seen, from place `to` on, calls for their
/// codes, and returns their number.
std::size_t GraphWalk::follow(std::uint32_t vertex, std::size_t to) {
    make_room(to + graph_.degree);
    const std::uint32_t* const edges = graph_.edges_of(vertex);
    std::uint32_t* const next = seen_.data() + to;
    std::uint8_t* const visited = visited_.data();
    const auto vertices = static_cast<std::uint32_t>(graph_.vertices);
    const std::size_t degree = graph_.degree;
    std::size_t count = 0;
    // Without branches, as nobody could predict which are new.
    for (std::size_t i = 0; i < degree; ++i) {
        const std::uint32_t end = edges[i] < vertices ? edges[i] : 0;
        next[count] = end;
        count += visited[end] != walk_;
        visited[end] = walk_;
    }
    for (std::size_t i = 0; i < count; ++i) prefetch(graph_.code(next[i]), graph_.width / 2);
    return count;
}

/// How far a vertex may be to be within reach, by what the walk saw so far.
std::uint32_t GraphWalk::limit_of(const Reach& reach) const {
    if (size_ < reach.rank) return no_limit;
    const double limit =
        reach.times * static_cast<double>(std::max(pool_[reach.rank - 1] >> 32, std::uint64_t{1}));
    return limit < no_limit ? static_cast<std::uint32_t>(limit) : no_limit;
}

std::span<const std::uint64_t> GraphWalk::walk(const std::int8_t* query, const Reach& reach,
                                               std::uint32_t itself) {
    begin(query, reach.followed, itself);
    std::size_t at = 0;
    // In flight: a vertex whose edges were called for, and vertices, the last ones seen, whose codes were.
    std::uint32_t next = no_row;
    std::size_t waiting = 0;
    for (;;) {
        while (at < size_ && (pool_[at] & 1) != 0) ++at;
        std::uint32_t after = no_row;
        const std::uint32_t limit = limit_of(reach);
        while (size_ > reach.kept && pool_[size_ - 1] >> 32 > limit) --size_;
        if (at < size_ && pool_[at] >> 32 <= limit) {
            pool_[at] |= 1;
            after = vertex_of(pool_[at]);
            prefetch(graph_.edges_of(after), graph_.degree * sizeof(std::uint32_t));
        }
        if (after == no_row && next == no_row && waiting == 0) break;
        const std::size_t count = next == no_row ? 0 : follow(next, seen_count_ + waiting);
        if (waiting > 0) {
            const std::uint32_t* const met = seen_.data() + seen_count_;
            std::int32_t* const distances = distances_.data() + seen_count_;
            kernel_.short_code_squares(graph_.codes, met, waiting, query, graph_.width, distances);
            size_ = kernel_.admit(pool_.data(), size_, reach.followed, met, distances, waiting, limit, &at);
            seen_count_ += waiting;
        }
        next = after;
        waiting = count;
    }
    return {pool_.data(), size_};
}

}  // namespace ann_bench
