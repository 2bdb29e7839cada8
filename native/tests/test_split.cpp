// Splits: the plane lies midway, clusters are told apart, and what cannot be divided is refused.

#include <cmath>
#include <numeric>
#include <set>

#include <doctest/doctest.h>

#include "ann_bench/split.hpp"
#include "ann_bench/tree.hpp"
#include "support.hpp"

using namespace ann_bench;
using namespace ann_bench::testing;

namespace {

/// A node with room behind it.
struct NodeBox {
    explicit NodeBox(std::size_t bytes) : bytes(bytes) {}
    Node& node() { return *reinterpret_cast<Node*>(bytes.data()); }
    Buffer bytes;
};

std::vector<std::uint32_t> numbers(std::size_t count) {
    std::vector<std::uint32_t> ids(count);
    std::iota(ids.begin(), ids.end(), 0u);
    return ids;
}

}  // namespace

TEST_CASE("two_points gives the plane at the same distance from both points, with unit normal") {
    const std::uint32_t dimension = 12;
    const auto values = random_floats(2 * dimension, 4);
    const Buffer rows = prepare_rows(Distance::euclidean, dimension, view(values), 2, 1);
    const Layout layout = layout_of(Distance::euclidean, dimension);
    const RowsView<float> padded{rows.data(), layout.row_bytes, layout.width};
    using Split = PlaneSplit<false>;
    Split split(padded, SplitScheme::two_points);
    NodeBox box(layout.node_bytes);
    Random random(1);
    REQUIRE(split.fit(numbers(2), random, box.node()));
    const float a = Split::margin(box.node(), padded[0], layout.width);
    const float b = Split::margin(box.node(), padded[1], layout.width);
    CHECK(a == doctest::Approx(-b));
    CHECK(2 * std::abs(a) ==
          doctest::Approx(std::sqrt(kernels::squared_l2(padded[0], padded[1], layout.width))));
}

TEST_CASE("a bit split's margin is positive exactly where the right point is nearer") {
    const std::uint32_t dimension = 70;
    const auto bits = random_bits(50 * dimension, 4);
    const Buffer rows = prepare_rows(Distance::hamming, dimension, view(bits), 50, 1);
    const Layout layout = layout_of(Distance::hamming, dimension);
    const RowsView<std::uint64_t> padded{rows.data(), layout.row_bytes, layout.width};
    for (const SplitScheme scheme : {SplitScheme::two_means, SplitScheme::two_points}) {
        BitSplit split(padded, scheme);
        NodeBox box(layout.node_bytes);
        Random random(1);
        REQUIRE(split.fit(numbers(50), random, box.node()));
        const auto* right = payload<std::uint64_t>(box.node());
        for (std::size_t i = 0; i < 50; ++i) {
            const auto to_right = kernels::differing_bits(padded[i], right, layout.width);
            const auto to_left = kernels::differing_bits(padded[i], right + layout.width, layout.width);
            const float margin = BitSplit::margin(box.node(), padded[i], layout.width);
            CHECK((margin > 0) == (to_right < to_left));
            CHECK((margin == 0) == (to_right == to_left));
        }
    }
}

TEST_CASE("the majority of bits is elected, and a tie leaves the bit") {
    BitVotes votes;
    for (const std::uint32_t voters : {0u, 1u, 2u, 5u, 64u, 199u, 200u}) {
        const auto bits = random_bits(voters * 64, 11 + voters);
        votes.start(1);
        std::vector<std::uint32_t> counts(64);
        for (std::uint32_t v = 0; v < voters; ++v) {
            std::uint64_t row = 0;
            prepare_row(Distance::hamming, bits.data() + v * 64, 64, &row);
            votes.add(&row);
            for (std::size_t b = 0; b < 64; ++b) counts[b] += bits[v * 64 + b];
        }
        const std::uint64_t before = 0x0123456789abcdefu;
        std::uint64_t after = before;
        votes.elect(&after);
        for (std::size_t b = 0; b < 64; ++b) {
            const bool was = ((before >> b) & 1) != 0;
            const bool expected = 2 * counts[b] == voters ? was : 2 * counts[b] > voters;
            CHECK((((after >> b) & 1) != 0) == expected);
        }
    }
}

TEST_CASE("two_means tells two far clusters apart") {
    const std::uint32_t dimension = 8;
    auto values = random_floats(200 * dimension, 4);
    for (std::size_t i = 0; i < 100 * dimension; ++i) values[i] += 50;
    const Buffer rows = prepare_rows(Distance::euclidean, dimension, view(values), 200, 1);
    const Layout layout = layout_of(Distance::euclidean, dimension);
    const RowsView<float> padded{rows.data(), layout.row_bytes, layout.width};
    PlaneSplit<false> split(padded, SplitScheme::two_means);
    for (std::uint64_t key = 0; key < 20; ++key) {
        NodeBox box(layout.node_bytes);
        Random random(key);
        REQUIRE(split.fit(numbers(200), random, box.node()));
        const bool first = PlaneSplit<false>::margin(box.node(), padded[0], layout.width) > 0;
        for (std::size_t i = 0; i < 200; ++i) {
            CHECK((PlaneSplit<false>::margin(box.node(), padded[i], layout.width) > 0) ==
                  (first == (i < 100)));
        }
    }
}

TEST_CASE(
    "equal rows have no plane between them, yet the tree over them is balanced and holds each row once") {
    const std::uint32_t dimension = 5;
    const std::size_t count = 1000;
    const std::vector<float> values(count * dimension, 0.25f);
    for (const Distance distance :
         {Distance::euclidean, Distance::angular, Distance::dot, Distance::manhattan}) {
        const Buffer rows = prepare_rows(distance, dimension, view(values), count, 1);
        const Layout layout = layout_of(distance, dimension);
        with_policy(distance, [&]<class Policy>() {
            if constexpr (!std::is_same_v<Policy, Hamming>) {
                const RowsView<float> padded{rows.data(), layout.row_bytes, layout.width};
                TreeBuilder<Policy> builder(padded, layout, 10, SplitScheme::two_means);
                std::vector<std::uint32_t> all(count);
                std::iota(all.begin(), all.end(), 0u);
                const Tree tree = builder.build(all, 3);
                CHECK(tree.leaf_begins.size() == 128);
                CHECK(tree.nodes.size() == 127 * layout.node_bytes);
                CHECK(std::set(tree.entries.begin(), tree.entries.end()).size() == count);
            }
        });
    }
}
