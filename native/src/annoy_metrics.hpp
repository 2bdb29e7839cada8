#pragma once
// What a node of Annoy's file holds, and what Annoy computes with it, for each of its metrics.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>

#include "ann_bench/damaged_index.hpp"

namespace ann_bench::annoy_format {

static_assert(std::endian::native == std::endian::little, "the file is mapped as it is, little-endian");

[[noreturn]] inline void damaged(const std::string& what) {
    throw DamagedIndex("Annoy's index: " + what);
}

// Kernels over rows that are neither padded nor aligned: nodes follow each other without a gap.

using Float4 = float __attribute__((vector_size(16)));

inline Float4 load(const float* from) {
    Float4 value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

/// Sum of term(a[i], b[i]). Four accumulators hide the latency of the addition; `term` takes four floats at
/// once, the last ones padded with zeros, which every term here maps to 0.
template <class Term>
float sum(const float* a, const float* b, std::size_t n, Term term) {
    Float4 s0{}, s1{}, s2{}, s3{};
    std::size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        s0 += term(load(a + i), load(b + i));
        s1 += term(load(a + i + 4), load(b + i + 4));
        s2 += term(load(a + i + 8), load(b + i + 8));
        s3 += term(load(a + i + 12), load(b + i + 12));
    }
    for (; i + 4 <= n; i += 4) s0 += term(load(a + i), load(b + i));
    Float4 x{}, y{};
    std::memcpy(&x, a + i, (n - i) * sizeof(float));
    std::memcpy(&y, b + i, (n - i) * sizeof(float));
    const Float4 s = ((s0 + term(x, y)) + s1) + (s2 + s3);
    return (s[0] + s[1]) + (s[2] + s[3]);
}

inline float inner_product(const float* a, const float* b, std::size_t n) {
    return sum(a, b, n, [](Float4 x, Float4 y) { return x * y; });
}

/// A node, of which the file consists: an item, a split, or a bucket of item numbers. Items come first.
struct Node {
    const std::byte* at;

    template <class T>
    T read(std::size_t offset) const {
        T value;
        std::memcpy(&value, at + offset, sizeof value);
        return value;
    }

    template <class T>
    const T* row(std::size_t offset) const {
        return reinterpret_cast<const T*>(at + offset);
    }

    /// 1 at an item, 0 where an item number is not used, the number of rows below at splits and buckets, and
    /// the number of items at roots, however many are used.
    std::int32_t descendants() const { return read<std::int32_t>(0); }
};

// A metric tells how Annoy lays out a node and what it computes:
//   Element, elements(d)          what a vector is made of, and of how many for `d` dimensions
//   children_at, row_at           where in a node the children (or a bucket's items), and the vector, begin
//   Rank                          what items are ordered by, and branches
//   nearest_branch                the rank of a root
//   squared_norm(q, n)            what `rank` wants to know of a query
//   rank(q, norm, node, n)        the order of items, rising
//   value(rank)                   the distance that users see
//   margin(node, q, n)            which side of a split a query is on, and how far
//   child(rank, margin, side)     the rank of a split's child; the largest is looked at first

/// Splits by planes; a child's rank is the smallest margin on the way to it.
struct Planes {
    using Element = float;
    using Rank = float;
    static constexpr float nearest_branch = std::numeric_limits<float>::infinity();
    static std::size_t elements(std::uint32_t dimension) { return dimension; }
    static float squared_norm(const float*, std::size_t) { return 0; }

    /// std::min(a, b) is a if b is NaN: ranks stay numbers whatever the file holds.
    static float child(float rank, float margin, int side) {
        return std::min(rank, side == 0 ? -margin : margin);
    }
};

struct Angular : Planes {
    static constexpr std::size_t children_at = 4;
    static constexpr std::size_t row_at = 12;

    static float squared_norm(const float* row, std::size_t n) { return inner_product(row, row, n); }

    /// An item keeps its squared norm where a split has its children; old versions left 0 there.
    static float norm_of(Node node, std::size_t n) {
        const float stored = node.read<float>(children_at);
        return stored != 0 ? stored : squared_norm(node.row<float>(row_at), n);
    }
    static float rank(const float* query, float norm, Node node, std::size_t n) {
        const float both = norm * norm_of(node, n);
        if (!(both > 0)) return 2.0f;
        const float product = inner_product(query, node.row<float>(row_at), n);
        return static_cast<float>(2.0 - 2.0 * product / std::sqrt(both));
    }
    static float value(float rank) { return std::sqrt(std::max(rank, 0.0f)); }
    static float margin(Node node, const float* query, std::size_t n) {
        return inner_product(node.row<float>(row_at), query, n);
    }
};

/// Splits have one coordinate more, as rows had when the index was built; Annoy adds its square to margins.
struct Dot : Planes {
    static constexpr std::size_t children_at = 4;
    static constexpr std::size_t extra_at = 12;
    static constexpr std::size_t row_at = 16;

    static float rank(const float* query, float, Node node, std::size_t n) {
        return -inner_product(query, node.row<float>(row_at), n);
    }
    static float value(float rank) { return -rank; }
    static float margin(Node node, const float* query, std::size_t n) {
        const float extra = node.read<float>(extra_at);
        return inner_product(node.row<float>(row_at), query, n) + extra * extra;
    }
};

/// Planes that need not go through the origin.
struct Offset : Planes {
    static constexpr std::size_t offset_at = 4;
    static constexpr std::size_t children_at = 8;
    static constexpr std::size_t row_at = 16;

    static float margin(Node node, const float* query, std::size_t n) {
        return node.read<float>(offset_at) + inner_product(node.row<float>(row_at), query, n);
    }
};

struct Euclidean : Offset {
    static float rank(const float* query, float, Node node, std::size_t n) {
        return sum(query, node.row<float>(row_at), n, [](Float4 x, Float4 y) { return (x - y) * (x - y); });
    }
    static float value(float rank) { return std::sqrt(std::max(rank, 0.0f)); }
};

struct Manhattan : Offset {
    static float rank(const float* query, float, Node node, std::size_t n) {
        return sum(query, node.row<float>(row_at), n, [](Float4 x, Float4 y) {
            using Int4 = std::int32_t __attribute__((vector_size(16)));
            return std::bit_cast<Float4>(std::bit_cast<Int4>(x - y) & 0x7fff'ffff);
        });
    }
    static float value(float rank) { return std::max(rank, 0.0f); }
};

/// Splits by one bit, whose number stands in the first word of the vector; a child's rank falls by one for
/// each split that the query is on the other side of.
struct Hamming {
    using Element = std::uint64_t;
    using Rank = std::uint64_t;
    static constexpr std::size_t children_at = 4;
    static constexpr std::size_t row_at = 16;
    static constexpr std::uint64_t nearest_branch = std::numeric_limits<std::uint64_t>::max();
    static std::size_t elements(std::uint32_t dimension) { return (std::size_t{dimension} + 63) / 64; }
    static float squared_norm(const std::uint64_t*, std::size_t) { return 0; }

    static std::uint64_t rank(const std::uint64_t* query, float, Node node, std::size_t n) {
        const auto* row = node.row<std::uint64_t>(row_at);
        std::uint64_t differing = 0;
        for (std::size_t i = 0; i < n; ++i)
            differing += static_cast<std::uint64_t>(std::popcount(query[i] ^ row[i]));
        return differing;
    }
    static float value(std::uint64_t rank) { return static_cast<float>(rank); }
    static bool margin(Node node, const std::uint64_t* query, std::size_t n) {
        const auto bit = node.read<std::uint64_t>(row_at);
        if (bit / 64 >= n) damaged("a split looks at a bit that there is not");
        return ((query[bit / 64] >> (63 - bit % 64)) & 1) != 0;
    }
    static std::uint64_t child(std::uint64_t rank, bool margin, int side) {
        return rank - (margin != (side == 1) ? 1 : 0);
    }
};

}  // namespace ann_bench::annoy_format
