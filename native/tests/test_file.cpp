// The file: byte for byte the same for any number of threads, refused when its header is damaged, harmless
// when anything behind it is.

#include <cstring>
#include <system_error>

#include <doctest/doctest.h>

#include "ann_bench/file.hpp"
#include "support.hpp"

using namespace ann_bench;
using namespace ann_bench::testing;

namespace {

constexpr std::size_t header_bytes = 128;

/// Opens the file and searches it, in small and in full; what is thrown passes on.
void open_and_search(const TemporaryFile& file, std::uint64_t seed) {
    const Forest forest = Forest::open(file.path());
    const std::uint32_t dimension = forest.summary().dimension;
    const auto floats = random_floats(dimension, seed);
    const auto bits = random_bits(dimension, seed);
    std::vector<std::int32_t> ids(10);
    std::vector<float> distances(10);
    for (const std::uint64_t search_k : {std::uint64_t{1}, std::uint64_t{50}, ~std::uint64_t{0}}) {
        forest.query(forest.summary().distance == Distance::hamming ? view(bits) : view(floats), 1, 10,
                     search_k, 1, ids.data(), distances.data());
        for (const std::int32_t id : ids) CHECK(id < static_cast<std::int32_t>(forest.summary().rows));
    }
}

}  // namespace

TEST_CASE("the saved file is the same byte for byte for any number of threads") {
    for (const Distance distance : all_distances) {
        const TemporaryFile file;
        small_forest(distance, 3000, 17, 1).save(file.path());
        const std::string one = file.read();
        CHECK(one.size() % cache_line == 0);
        for (const unsigned threads : {2u, 3u, 8u}) {
            small_forest(distance, 3000, 17, threads).save(file.path());
            CHECK(file.read() == one);
        }
    }
}

TEST_CASE("an opened file answers like the forest that saved it, and saves the same bytes again") {
    for (const Distance distance : all_distances) {
        const TemporaryFile file;
        const Forest built = small_forest(distance);
        built.save(file.path());
        const std::string bytes = file.read();
        CHECK(bytes.size() == file_bytes(built.summary()));
        const Forest opened = Forest::open(file.path());
        const auto floats = random_floats(20, 3);
        const auto bits = random_bits(20, 3);
        const Vectors query = distance == Distance::hamming ? view(bits) : view(floats);
        std::vector<std::int32_t> a(10), b(10);
        std::vector<float> x(10), y(10);
        built.query(query, 1, 10, 60, 1, a.data(), x.data());
        opened.query(query, 1, 10, 60, 1, b.data(), y.data());
        CHECK(a == b);
        CHECK(x == y);
        opened.save(file.path());
        CHECK(file.read() == bytes);
    }
}

TEST_CASE("every flipped bit of the header is noticed") {
    const TemporaryFile file;
    small_forest(Distance::euclidean, 50).save(file.path());
    const std::string bytes = file.read();
    for (std::size_t bit = 0; bit < 8 * header_bytes; ++bit) {
        std::string damaged = bytes;
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
        file.write(damaged);
        CAPTURE(bit);
        CHECK_THROWS_AS(Forest::open(file.path()), DamagedIndex);
    }
}

TEST_CASE("a file of any other length is refused") {
    const TemporaryFile file;
    small_forest(Distance::euclidean, 50).save(file.path());
    const std::string bytes = file.read();
    for (std::size_t length = 0; length < bytes.size(); length += 61) {
        file.write(bytes.substr(0, length));
        CHECK_THROWS_AS(Forest::open(file.path()), DamagedIndex);
    }
    file.write(bytes + '\0');
    CHECK_THROWS_AS(Forest::open(file.path()), DamagedIndex);
}

TEST_CASE("damage behind the header gives answers or DamagedIndex, nothing worse") {
    Random random(5);
    for (const Distance distance : all_distances) {
        const TemporaryFile file;
        small_forest(distance, 100, 12).save(file.path());
        const std::string bytes = file.read();
        for (int trial = 0; trial < 300; ++trial) {
            std::string damaged = bytes;
            const std::uint32_t flips = 1u << random.below(10);
            for (std::uint32_t i = 0; i < flips; ++i) {
                const auto span = static_cast<std::uint32_t>(bytes.size() - header_bytes);
                damaged[header_bytes + random.below(span)] = static_cast<char>(random.below(256));
            }
            file.write(damaged);
            try {
                open_and_search(file, static_cast<std::uint64_t>(trial));
            } catch (const DamagedIndex&) {
            }
        }
    }
}

TEST_CASE("no number in a header makes sizes wrap around") {
    Summary summary{};
    summary.distance = Distance::euclidean;
    summary.dimension = max_dimension;
    summary.trees = 1u << 28;
    summary.rows = summary.present = leaf_bit - 1;
    summary.nodes = 0;
    summary.leaves = summary.trees;
    CHECK(file_bytes(summary) > std::uint64_t{1} << 60);
    summary.trees = 0x7fff'fffeu;
    summary.leaves = summary.trees;
    CHECK_THROWS_AS(file_bytes(summary), DamagedIndex);
    summary.nodes = ~std::uint64_t{0};
    summary.leaves = summary.nodes + summary.trees;
    CHECK_THROWS_AS(file_bytes(summary), DamagedIndex);
    summary.nodes = 0;
    summary.leaves = summary.trees + 1;
    CHECK_THROWS_AS(file_bytes(summary), DamagedIndex);
}

TEST_CASE("links that lead back or share children end in DamagedIndex, not in an endless search") {
    const TemporaryFile file;
    const Forest forest = small_forest(Distance::euclidean, 400, 20, 1, 1);
    forest.save(file.path());
    const std::string bytes = file.read();
    const Layout layout = layout_of(Distance::euclidean, 20);
    const std::size_t nodes_at = header_bytes + 400 * layout.row_bytes;
    const auto node_at = [&](std::string& text, Link number) {
        return reinterpret_cast<Node*>(text.data() + nodes_at + number * layout.node_bytes);
    };
    REQUIRE(forest.summary().nodes > 10);

    std::string loop = bytes;
    node_at(loop, 3)->left = node_at(loop, 3)->right = 0;
    file.write(loop);
    CHECK_THROWS_AS(open_and_search(file, 1), DamagedIndex);

    // Both children of every node are the next node: 2^nodes paths, and only empty leaves at their end.
    std::string fan = bytes;
    const auto last = static_cast<Link>(forest.summary().nodes - 1);
    for (Link i = 0; i < last; ++i) node_at(fan, i)->left = node_at(fan, i)->right = i + 1;
    const std::size_t leaves_at = nodes_at + forest.summary().nodes * layout.node_bytes;
    std::memset(fan.data() + leaves_at, 0, (forest.summary().leaves + 1) * 8);
    file.write(fan);
    CHECK_THROWS_AS(open_and_search(file, 1), DamagedIndex);
}

TEST_CASE("what cannot be read or written is told as the system tells it, and nothing is left behind") {
    CHECK_THROWS_AS(Forest::open("/nonexistent/index"), std::system_error);
    CHECK_THROWS_AS(Forest::open("/"), DamagedIndex);
    CHECK_THROWS_AS(small_forest(Distance::dot, 10).save("/nonexistent/index"), std::system_error);
    const TemporaryFile file;
    std::filesystem::create_directory(file.path());
    CHECK_THROWS_AS(small_forest(Distance::dot, 10).save(file.path()), std::system_error);
    const auto folder = std::filesystem::path(file.path()).parent_path();
    const auto name = std::filesystem::path(file.path()).filename().string();
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        CHECK_FALSE(entry.path().filename().string().starts_with(name + ".tmp"));
    }
}
