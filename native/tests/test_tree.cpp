// One tree: every row once, full leaves, and planes that separate what lies on their sides.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include <doctest/doctest.h>

#include "ann_bench/tree.hpp"
#include "support.hpp"

using namespace ann_bench;
using namespace ann_bench::testing;

namespace {

/// Rows of codes, and a tree over them.
struct Grown {
    ForestFacts facts{};
    std::vector<std::uint8_t> codes;
    std::vector<std::int32_t> outside;
    std::vector<std::uint64_t> bits;
    std::vector<std::uint32_t> order;
    Tree tree;

    Grown(std::vector<std::uint8_t> codes_, std::uint32_t width, std::uint64_t key = 1,
          std::vector<std::uint32_t> ids = {})
        : codes(std::move(codes_)) {
        const std::size_t count = codes.size() / width;
        facts.distance = Distance::euclidean;
        facts.dimension = facts.depth = facts.width = width;
        facts.rows = count;
        if (ids.empty()) {
            ids.resize(count);
            std::iota(ids.begin(), ids.end(), 0u);
        }
        facts.present = ids.size();
        outside.resize(count);
        order = std::move(ids);
        tree = build_tree({facts, codes.data(), outside.data(), nullptr}, order, key);
    }

    std::size_t leaves() const { return tree.leaves.size() / facts.leaf_bytes(); }
    std::size_t boughs() const { return tree.boughs.size() / facts.bough_bytes(); }

    const std::byte* bough_at(std::size_t number) const {
        return tree.boughs.data() + number * facts.bough_bytes();
    }

    Bough bough(std::size_t number) const {
        Bough head;
        std::memcpy(&head, bough_at(number), sizeof head);
        return head;
    }

    /// The rows that a search finds in a leaf.
    std::vector<std::uint32_t> rows_of(std::size_t leaf) const {
        const std::vector<std::uint8_t> tables(facts.width / 4 * 16, 63);
        Buffer laid_out(table_bytes(facts.width));
        kernels().lay_out_tables(tables.data(), facts.width, laid_out.as<std::uint8_t>().data());
        std::vector<std::uint32_t> ids(scan_room);
        std::vector<float> estimates(scan_room);
        ids.resize(kernels().scan(tree.leaves.data() + leaf * facts.leaf_bytes(), 1,
                                  laid_out.as<std::uint8_t>().data(), facts.width,
                                  static_cast<std::int32_t>(facts.width / 4 * 63), 0,
                                  std::numeric_limits<float>::infinity(), ids.data(), estimates.data()));
        return ids;
    }

    /// The rows below a link. Counts leaves, boughs and nodes, the depth, and how often a row lies on the
    /// side of a plane where it belongs.
    std::vector<std::uint32_t> rows_below(Link link, std::size_t depth = 0) {
        deepest = std::max(deepest, depth);
        if ((link & bough_bit) != 0) {
            REQUIRE((link & ~bough_bit) < boughs());
            ++seen_boughs;
            const Bough head = bough(link & ~bough_bit);
            REQUIRE(head.leaves <= bough_leaves);
            REQUIRE(head.first_leaf + head.leaves <= leaves());
            std::vector<std::uint32_t> rows;
            for (std::uint32_t i = 0; i < head.leaves; ++i) {
                const auto more = rows_of(head.first_leaf + i);
                rows.insert(rows.end(), more.begin(), more.end());
            }
            CHECK(rows.size() == head.entries);
            seen_leaves += head.leaves;
            return rows;
        }
        REQUIRE(link < tree.nodes.size());
        ++seen_nodes;
        const Node node = tree.nodes[link];
        for (const Link child : {node.left, node.right}) CHECK(((child & bough_bit) != 0 || child > link));
        auto left = rows_below(node.left, depth + 1);
        const auto right = rows_below(node.right, depth + 1);
        CHECK(!left.empty());
        CHECK(!right.empty());
        if (node.scale > 0) {  // a node without a plane is divided by chance
            for (const std::uint32_t id : left) on_their_side += margin(link, id) <= 0;
            for (const std::uint32_t id : right) on_their_side += margin(link, id) > 0;
            sides += left.size() + right.size();
        }
        left.insert(left.end(), right.begin(), right.end());
        return left;
    }

    float margin(Link link, std::uint32_t id) const {
        const Node node = tree.nodes[link];
        const std::int32_t dot =
            kernels().dot(codes.data() + std::size_t{id} * facts.width,
                          tree.normals.data() + std::size_t{link} * facts.width, facts.width);
        return node.offset + node.scale * static_cast<float>(dot);
    }

    /// Checks all that holds for every tree.
    void check() {
        const std::size_t expected = (facts.present + leaf_size - 1) / leaf_size;
        REQUIRE(leaves() == expected);
        REQUIRE(boughs() == tree.nodes.size() + 1);
        REQUIRE(tree.normals.size() == tree.nodes.size() * facts.width);
        auto rows = rows_below(tree.root);
        CHECK(seen_leaves == expected);
        CHECK(seen_boughs == boughs());
        CHECK(seen_nodes == tree.nodes.size());
        std::sort(rows.begin(), rows.end());
        auto ids = order;
        std::sort(ids.begin(), ids.end());
        CHECK(rows == ids);
        std::size_t partial = 0;
        for (std::size_t i = 0; i < expected; ++i) partial += rows_of(i).size() != leaf_size;
        CHECK(partial <= 1);
    }

    std::size_t deepest = 0, seen_leaves = 0, seen_boughs = 0, seen_nodes = 0, on_their_side = 0, sides = 0;
};

std::uint8_t code_near(std::uint8_t centre, Random& random) {
    const int value = centre + static_cast<int>(random.below(21)) - 10;
    return static_cast<std::uint8_t>(std::clamp(value, 1, 127));
}

/// Codes around 20 centres.
std::vector<std::uint8_t> clustered_codes(std::size_t count, std::uint32_t width, std::uint64_t seed = 3) {
    Random random(seed);
    std::vector<std::uint8_t> centres(20 * width), codes;
    for (auto& code : centres) code = static_cast<std::uint8_t>(1 + random.below(127));
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t centre = random.below(20);
        for (std::size_t j = 0; j < width; ++j)
            codes.push_back(code_near(centres[centre * width + j], random));
    }
    return codes;
}

}  // namespace

TEST_CASE("every row is in a tree once, all leaves but one are full, and children come after their parents") {
    for (const std::size_t count :
         {0u, 1u, 2u, 31u, 32u, 33u, 64u, 65u, 511u, 512u, 513u, 700u, 4096u, 4097u, 9000u}) {
        CAPTURE(count);
        Grown grown(clustered_codes(count, 64), 64);
        grown.check();
        CHECK(grown.deepest <= 60);
    }
}

TEST_CASE("planes have the rows of the left child on their negative side, those of the right on the other") {
    for (const std::uint32_t width : {64u, 128u, 320u}) {
        Grown grown(clustered_codes(20'000, width), width);
        grown.check();
        CHECK(grown.sides > 5000);
        CHECK(static_cast<double>(grown.on_their_side) > 0.98 * static_cast<double>(grown.sides));
        for (std::size_t i = 0; i < grown.tree.nodes.size(); ++i) {
            double squared = 0;
            for (std::size_t j = 0; j < width; ++j) {
                const double weight = grown.tree.normals[i * width + j];
                squared += weight * weight;
            }
            if (squared > 0) CHECK(grown.tree.nodes[i].scale == doctest::Approx(1 / std::sqrt(squared)));
        }
    }
}

TEST_CASE("rows of a leaf are near each other: nearer than rows at random") {
    const Grown grown(clustered_codes(4000, 64), 64);
    const auto distance = [&](std::uint32_t a, std::uint32_t b) {
        double sum = 0;
        for (std::size_t j = 0; j < 64; ++j)
            sum += std::abs(grown.codes[a * 64 + j] - grown.codes[b * 64 + j]);
        return sum;
    };
    Random random(5);
    double within = 0, between = 0;
    for (std::uint32_t i = 0; i < grown.leaves(); ++i) {
        const auto rows = grown.rows_of(i);
        if (rows.size() < 2) continue;
        within += distance(rows[0], rows[rows.size() / 2]);
        between += distance(random.below(4000), random.below(4000));
    }
    CHECK(within < 0.5 * between);
}

TEST_CASE(
    "rows that are all equal, that have two values, or of which one differs, make trees like any others") {
    std::vector<std::uint8_t> codes(3000 * 64, 64);
    Grown(codes, 64).check();
    std::fill_n(codes.begin(), 64, std::uint8_t{127});
    Grown(codes, 64).check();
    std::fill_n(codes.begin(), 1500 * 64, std::uint8_t{127});
    Grown(codes, 64).check();
    // 640 rows of each value fill twenty leaves.
    codes.assign(1280 * 64, 30);
    for (std::size_t i = 0; i < 1280; i += 2) std::fill_n(&codes[i * 64], 64, std::uint8_t{90});
    std::size_t mixed = 0;
    for (std::uint64_t key = 1; key <= 20; ++key) {
        const Grown grown(codes, 64, key);
        REQUIRE(grown.leaves() == 40);
        for (std::uint32_t i = 0; i < 40; ++i) {
            const auto rows = grown.rows_of(i);
            mixed += std::any_of(rows.begin(), rows.end(), [&](auto id) { return id % 2 != rows[0] % 2; });
        }
    }
    CHECK(mixed <= 80);  // of 800
}

TEST_CASE("a tree holds the rows it is told to hold, and no others") {
    const std::vector<std::uint32_t> ids = {3, 4, 100, 101, 250, 251, 252, 299};
    Grown grown(clustered_codes(300, 64), 64, 1, ids);
    grown.check();
    CHECK(grown.leaves() == 1);
}

TEST_CASE("one key makes one tree, to the last byte, and another key another tree") {
    const auto codes = clustered_codes(5000, 128);
    const Grown a(codes, 128, 1), b(codes, 128, 1), c(codes, 128, 2);
    const auto same_nodes = [](const Tree& x, const Tree& y) {
        return x.nodes.size() == y.nodes.size() &&
               std::memcmp(x.nodes.data(), y.nodes.data(), x.nodes.size() * sizeof(Node)) == 0;
    };
    CHECK(a.tree.root == b.tree.root);
    CHECK(same_nodes(a.tree, b.tree));
    CHECK(a.tree.normals == b.tree.normals);
    CHECK(a.tree.boughs == b.tree.boughs);
    CHECK(a.tree.leaves == b.tree.leaves);
    CHECK(a.tree.normals != c.tree.normals);
}

TEST_CASE("a bough tells the distances to its leaves' centres, which are the means of their rows") {
    const Grown grown(clustered_codes(2000, 64), 64);
    Random random(6);
    for (std::size_t number = 0; number < grown.boughs(); ++number) {
        const Bough head = grown.bough(number);
        const auto* centres = reinterpret_cast<const std::uint8_t*>(grown.bough_at(number) + sizeof(Bough));
        std::vector<std::int8_t> query(64);
        for (auto& value : query) value = static_cast<std::int8_t>(static_cast<int>(random.below(127)) - 63);
        std::int32_t dots[bough_leaves];
        kernels().bough_dots(centres, query.data(), 64, dots);
        for (std::size_t i = 0; i < head.leaves; ++i) {
            const auto rows = grown.rows_of(head.first_leaf + i);
            std::int32_t squared = 0, dot = 0;
            for (std::size_t j = 0; j < 64; ++j) {
                const std::uint8_t byte = centres[j / 8 * 64 + 4 * i + j % 4];
                const std::int32_t code = j % 8 < 4 ? byte & 15 : byte >> 4;
                double mean = 0;
                for (const auto id : rows) mean += grown.codes[id * 64 + j];
                CHECK(std::abs(mean / static_cast<double>(rows.size()) - lengthen(code)) <= 4.51);
                squared += (lengthen(code) - code_middle) * (lengthen(code) - code_middle);
                dot += code * query[j];
            }
            CHECK(head.squares[i] == squared);
            CHECK(dots[i] == dot);
        }
    }
}

TEST_CASE("bits make trees too, of codes far from the middle and without centres") {
    constexpr std::uint32_t width = 128;
    const auto bits = random_bits(600 * width, 4);
    std::vector<std::uint64_t> rows(600 * width / 64);
    std::vector<std::uint8_t> codes;
    for (const Bit bit : bits) codes.push_back(bit.byte != 0 ? bit_code : no_bit_code);
    for (std::size_t i = 0; i < 600; ++i) read_bits(view(bits), i, width, &rows[i * width / 64]);
    Grown grown(codes, width);
    const auto planes = grown.tree.normals;
    grown.facts.distance = Distance::hamming;
    grown.facts.depth = 0;
    std::iota(grown.order.begin(), grown.order.end(), 0u);
    grown.tree = build_tree(
        {grown.facts, codes.data(), grown.outside.data(), reinterpret_cast<const std::byte*>(rows.data())},
        grown.order, 1);
    grown.check();
    CHECK(grown.tree.normals == planes);
}
