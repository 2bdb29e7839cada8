// The file: byte for byte the same for any number of threads, refused when its header is damaged, harmless
// when anything behind it is.

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <system_error>

#include <doctest/doctest.h>

#include "ann_bench/forest_file.hpp"
#include "support.hpp"

using namespace ann_bench;
using namespace ann_bench::testing;

namespace {

constexpr std::uint64_t everything = ~std::uint64_t{0};
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

/// Opens the file and searches it, in small and in full; what is thrown passes on.
void open_and_search(const TemporaryFile& file, std::uint64_t seed = 1) {
    const Forest forest = Forest::open(file.path());
    const std::uint32_t dimension = forest.facts().dimension;
    const auto floats = random_floats(dimension, seed);
    const auto bits = random_bits(dimension, seed);
    const Vectors query = takes_bits(forest.facts().distance) ? view(bits) : view(floats);
    std::vector<std::int32_t> ids(10);
    std::vector<float> distances(10);
    const Effort efforts[] = {{1, 1}, {50, 20}, {everything, 1}, forest.effort_for(10)};
    for (Effort effort : efforts) {
        effort.rerank = std::min<std::uint64_t>(effort.rerank, 1000);
        forest.query(query, 1, {10, effort}, ids.data(), distances.data());
        for (const std::int32_t id : ids) REQUIRE(id < static_cast<std::int32_t>(forest.facts().rows));
    }
}

/// What opening and searching ends in: "" for answers, or the complaint of DamagedIndex.
std::string complaint(const TemporaryFile& file) {
    try {
        open_and_search(file);
    } catch (const DamagedIndex& error) {
        return error.what();
    }
    return "";
}

/// The bytes of a saved index, to be changed at places that have names.
class Patched {
  public:
    explicit Patched(const Forest& forest) {
        forest.save(file_.path());
        bytes_ = file_.read();
    }

    FileHeader& header() { return *reinterpret_cast<FileHeader*>(bytes_.data()); }

    ForestFacts facts() {
        ForestFacts facts;
        std::memcpy(&facts, header().facts.data(), sizeof facts);
        return facts;
    }

    void set_facts(const ForestFacts& facts) { std::memcpy(header().facts.data(), &facts, sizeof facts); }

    template <class T>
    std::span<T> section(std::uint32_t type) {
        for (std::size_t i = 0; i < header().section_count; ++i) {
            const Section& section = header().sections[i];
            if (section.type != type) continue;
            return {reinterpret_cast<T*>(bytes_.data() + section.offset), section.bytes / sizeof(T)};
        }
        FAIL("no such section");
        return {};
    }

    std::span<Node> nodes() { return section<Node>(section_type("node")); }

    Bough& bough(std::size_t number) {
        auto* const at = section<std::byte>(section_type("boug")).data() + number * facts().bough_bytes();
        return *reinterpret_cast<Bough*>(at);
    }

    /// The row number of an entry of a leaf.
    std::uint32_t& entry(std::size_t leaf, std::size_t number) {
        auto* const at = section<std::byte>(section_type("leaf")).data() + leaf * facts().leaf_bytes();
        return reinterpret_cast<std::uint32_t*>(at)[number];
    }

    std::string& bytes() { return bytes_; }

    /// Writes the file, with a header that is sealed anew, for others to open.
    const TemporaryFile& write() {
        header().digest = header().expected_digest();
        file_.write(bytes_);
        return file_;
    }

  private:
    TemporaryFile file_;
    std::string bytes_;
};

}  // namespace

TEST_CASE("the saved file is the same byte for byte for any number of threads") {
    for (const Distance distance : all_distances) {
        const TemporaryFile file;
        for (const std::uint32_t dimension : {17u, 300u}) {
            const std::size_t rows = dimension == 17 ? 3000 : 500;
            small_forest(distance, rows, dimension, 1).save(file.path());
            const std::string one = file.read();
            for (const unsigned threads : {2u, 3u, 8u}) {
                small_forest(distance, rows, dimension, threads).save(file.path());
                CHECK(file.read() == one);
            }
        }
    }
}

TEST_CASE("an index that is built straight into a file is the one that would be saved") {
    for (const Distance distance : all_distances) {
        for (const std::uint32_t dimension : {17u, 300u}) {
            const auto floats = random_floats(700 * dimension, 1);
            const auto bits = random_bits(700 * dimension, 1);
            const Vectors vectors = takes_bits(distance) ? view(bits) : view(floats);
            ForestOptions options;
            options.distance = distance;
            options.trees = 3;
            const TemporaryFile file;
            const Forest built = Forest::build_file(vectors, 700, dimension, options, file.path());
            const std::string straight = file.read();
            CHECK(built.size_bytes() == straight.size());
            Forest::build(vectors, 700, dimension, options).save(file.path());
            CHECK(file.read() == straight);
            SectionFile::open(file.path()).verify();
        }
    }
}

TEST_CASE(
    "an opened file, mapped or in memory, answers like the forest that saved it, and saves the same bytes "
    "again") {
    for (const Distance distance : all_distances) {
        const TemporaryFile file;
        Forest built = small_forest(distance);
        built.set_tuned({{0.9f, 3, {77, 33}}});
        built.save(file.path());
        const std::string bytes = file.read();
        CHECK(bytes.size() == built.size_bytes());
        const auto floats = random_floats(20 * 20, 3);
        const auto bits = random_bits(20 * 20, 3);
        const Vectors queries = takes_bits(distance) ? view(bits) : view(floats);
        std::vector<std::int32_t> a(200), b(200);
        std::vector<float> x(200), y(200);
        for (const OpenMode mode : {OpenMode::mmap, OpenMode::ram}) {
            const Forest opened = Forest::open(file.path(), mode);
            CHECK(opened.effort_for(3).reach == 77);
            CHECK(opened.effort_for(3).rerank == 33);
            for (const std::uint64_t search_k : {std::uint64_t{1}, std::uint64_t{60}, everything}) {
                built.query(queries, 20, {10, {search_k, 20}}, a.data(), x.data());
                opened.query(queries, 20, {10, {search_k, 20}}, b.data(), y.data());
                CHECK(a == b);
                CHECK(x == y);
            }
            std::vector<float> row(20), same_row(20);
            built.vector(13, row.data());
            opened.vector(13, same_row.data());
            CHECK(row == same_row);
            opened.save(file.path());
            CHECK(file.read() == bytes);
        }
    }
}

TEST_CASE("sections that are missing, of another length or of other elements are refused") {
    for (const Distance distance : all_distances) {
        Patched patched(small_forest(distance, 50));
        const FileHeader whole = patched.header();
        const auto refused = [&] {
            CHECK_THROWS_AS(Forest::open(patched.write().path()), DamagedIndex);
            patched.header() = whole;
        };
        patched.header().kind = static_cast<IndexKind>(2);
        refused();
        for (std::size_t i = 0; i < whole.section_count; ++i) {
            patched.header().sections[i].type = section_type("else");
            refused();
            patched.header().sections[i].element_bytes = 1;
            refused();
            patched.header().sections[i].bytes -= patched.header().sections[i].element_bytes;
            refused();
        }
        CHECK_NOTHROW(Forest::open(patched.write().path()));
    }
}

TEST_CASE("facts that do not fit the sections are refused, and none of any value does harm") {
    for (const Distance distance : all_distances) {
        Patched patched(small_forest(distance, 50));
        const ForestFacts whole = patched.facts();
        const auto try_facts = [&](const std::function<void(ForestFacts&)>& change, bool refused) {
            ForestFacts facts = whole;
            change(facts);
            if (std::memcmp(&facts, &whole, sizeof facts) == 0) return;
            patched.set_facts(facts);
            const std::string text = complaint(patched.write());
            if (refused) CHECK(text != "");
        };
        const auto try_number = [&](auto field, bool refused) {
            using Number = std::remove_reference_t<decltype(field(const_cast<ForestFacts&>(whole)))>;
            ForestFacts copy = whole;
            const Number right = field(copy);
            for (const Number value :
                 {Number{0}, Number(right + 1), Number(right - 1), Number(2 * right), Number(right + 128),
                  Number(0x7fff'ffff), Number(0x8000'0000), std::numeric_limits<Number>::max()}) {
                CAPTURE(value);
                try_facts([&](ForestFacts& facts) { field(facts) = value; }, refused);
            }
        };
        try_number([](ForestFacts& f) -> auto& { return f.trees; }, true);
        try_number([](ForestFacts& f) -> auto& { return f.width; }, true);
        try_number([](ForestFacts& f) -> auto& { return f.depth; }, true);
        try_number([](ForestFacts& f) -> auto& { return f.rows; }, true);
        try_number([](ForestFacts& f) -> auto& { return f.nodes; }, true);
        try_number([](ForestFacts& f) -> auto& { return f.boughs; }, true);
        try_number([](ForestFacts& f) -> auto& { return f.leaves; }, true);
        // Some other values of these fit the same sections.
        try_number([](ForestFacts& f) -> auto& { return f.dimension; }, false);
        try_number([](ForestFacts& f) -> auto& { return f.present; }, false);
        try_number([](ForestFacts& f) -> auto& { return f.seed; }, false);
        try_facts([](ForestFacts& f) { f.present = f.rows + 1; }, true);
        try_facts([](ForestFacts& f) { f.dimension = 0; }, true);
        for (std::uint32_t other = 0; other < 300; ++other) {
            try_facts([&](ForestFacts& f) { f.distance = static_cast<Distance>(other); },
                      other >= distance_names.size());
        }
        for (const float value : {not_a_number, infinity, -infinity, 0.0f, -1.0f, 3e38f, 1e-45f}) {
            try_facts([&](ForestFacts& f) { f.projection_scale = value; }, false);
            try_facts([&](ForestFacts& f) { f.steps_per_unit = value; }, false);
            try_facts([&](ForestFacts& f) { f.longest = value; }, false);
        }
    }
}

TEST_CASE("no facts, however large, make sizes wrap around") {
    for (const Distance distance : all_distances) {
        Patched patched(small_forest(distance, 50));
        const ForestFacts whole = patched.facts();
        Random random(4);
        for (int trial = 0; trial < 500; ++trial) {
            ForestFacts facts = whole;
            const auto any = [&]() -> std::uint64_t {
                const std::uint64_t power = std::uint64_t{1} << random.below(64);
                return power + random.below(3) - 1;
            };
            facts.present = facts.rows = any();
            if (random.coin()) facts.dimension = static_cast<std::uint32_t>(any() & 0xffff);
            if (random.coin()) facts.trees = static_cast<std::uint32_t>(any());
            facts.nodes = any();
            facts.boughs = facts.nodes + facts.trees;
            facts.leaves = any();
            patched.set_facts(facts);
            CHECK_THROWS_AS(Forest::open(patched.write().path()), DamagedIndex);
        }
    }
}

TEST_CASE("damage behind the header gives answers or DamagedIndex, nothing worse") {
    Random random(5);
    for (const Distance distance : all_distances) {
        Patched patched(small_forest(distance, 100, 12));
        const std::string whole = patched.bytes();
        for (int trial = 0; trial < 300; ++trial) {
            patched.bytes() = whole;
            const std::uint32_t flips = 1u << random.below(10);
            for (std::uint32_t i = 0; i < flips; ++i) {
                const auto span = static_cast<std::uint32_t>(whole.size() - sizeof(FileHeader));
                patched.bytes()[sizeof(FileHeader) + random.below(span)] =
                    static_cast<char>(random.below(256));
            }
            complaint(patched.write());
        }
    }
}

TEST_CASE("a section full of one byte, or of numbers at an edge, gives answers or DamagedIndex") {
    for (const Distance distance : all_distances) {
        Patched patched(small_forest(distance, 100, 12));
        const std::string whole = patched.bytes();
        for (std::size_t i = 0; i < patched.header().section_count; ++i) {
            const Section section = patched.header().sections[i];
            for (const std::uint32_t word : {0u, 0xffff'ffffu, 0x7fff'ffffu, 0x8000'0000u, 0x7f7f'7f7fu,
                                             0x8080'8080u, 0x7f80'0000u, 0x7fc0'0000u, 1u}) {
                patched.bytes() = whole;
                for (std::size_t at = 0; at + 4 <= section.bytes; at += 4) {
                    std::memcpy(patched.bytes().data() + section.offset + at, &word, 4);
                }
                CAPTURE(section_name(section.type));
                complaint(patched.write());
            }
        }
    }
}

TEST_CASE("links that lead back, in a circle or past the end are told") {
    Patched patched(small_forest(Distance::euclidean, 12'000, 20, 1, 1));
    const std::string whole = patched.bytes();
    REQUIRE(patched.nodes().size() > 10);
    const auto told = [&](const std::string& text) {
        CHECK(complaint(patched.write()) == text);
        patched.bytes() = whole;
    };
    const auto nodes = static_cast<Link>(patched.nodes().size());
    for (Node& node : patched.nodes()) node.left = node.right = 0;
    told("index damaged: a link leads back");
    patched.nodes()[0].left = patched.nodes()[0].right = 0;  // to itself
    told("index damaged: a link leads back");
    patched.nodes()[0].left = nodes;
    told("index damaged: a link leads past the last node");
    patched.nodes()[0].right = bough_bit | (nodes + 1);
    told("index damaged: a link leads past the last bough");
    for (const Link past : {nodes, bough_bit - 1, bough_bit | (nodes + 1), ~Link{0}}) {
        patched.section<Link>(section_type("root"))[0] = past;
        const bool node = (past & bough_bit) == 0;
        told(std::string("index damaged: a link leads past the last ") + (node ? "node" : "bough"));
    }
}

TEST_CASE("children that are shared, and boughs at the end of many ways, end the search in time") {
    for (const bool empty : {false, true}) {
        Patched patched(small_forest(Distance::euclidean, 30'000, 20, 1, 1));
        // Both children of every node are the next node: 2^nodes ways to one bough.
        const auto nodes = patched.nodes();
        REQUIRE(nodes.size() > 50);
        for (Link i = 0; i < nodes.size(); ++i) {
            const bool last = i + 1 == nodes.size();
            nodes[i].left = nodes[i].right = last ? bough_bit : i + 1;
        }
        if (empty) {
            for (std::size_t i = 0; i < patched.facts().boughs; ++i) {
                patched.bough(i).entries = patched.bough(i).leaves = 0;
            }
        }
        CHECK(complaint(patched.write()) == "index damaged: a search would not end");
        for (Node& node : patched.nodes()) node.left = node.right = bough_bit | 3;
        complaint(patched.write());
    }
}

TEST_CASE("boughs whose leaves are not there or do not hold their entries, and entries of no row, are told") {
    for (const Distance distance : all_distances) {
        Patched patched(small_forest(distance, 400));
        const std::string whole = patched.bytes();
        const std::size_t boughs = patched.facts().boughs, leaves = patched.facts().leaves;
        const auto told = [&](const std::string& text) {
            CHECK(complaint(patched.write()) == text);
            patched.bytes() = whole;
        };
        const auto each = [&](const std::function<void(Bough&)>& change) {
            for (std::size_t i = 0; i < boughs; ++i) change(patched.bough(i));
        };
        for (const std::uint32_t number : {17u, 0x7fff'ffffu, 0xffff'ffffu}) {
            each([&](Bough& bough) { bough.leaves = number; });
            told("index damaged: a bough's leaves are not there");
            each([&](Bough& bough) { bough.first_leaf = static_cast<std::uint32_t>(leaves) - 1 + number; });
            told("index damaged: a bough's leaves are not there");
            each([&](Bough& bough) { bough.entries = std::max(number, 417u); });
            told("index damaged: a bough's leaves do not hold its entries");
        }
        each([](Bough& bough) { bough.entries = 0; });
        told("index damaged: a bough's leaves do not hold its entries");
        each([](Bough& bough) { bough.entries = bough.leaves = 0; });
        told("");
        each([](Bough& bough) { bough.first_leaf = 0; });  // all hold the same leaves
        told("");
        for (const std::uint32_t id : {400u, 0x7fff'ffffu, 0xffff'ffffu}) {
            for (std::size_t i = 0; i < leaves; ++i) patched.entry(i, 0) = id;
            told("index damaged: an entry names no row");
        }
        for (std::size_t i = 0; i < leaves; ++i) {
            for (std::size_t n = 0; n < leaf_size; ++n) patched.entry(i, n) = 7;
        }
        told("");
    }
}

TEST_CASE("a bough of more leaves than boughs may have is told, even if all of them are there") {
    Patched patched(small_forest(Distance::euclidean, 2000));
    for (std::size_t i = 0; i < patched.facts().boughs; ++i) {
        Bough& bough = patched.bough(i);
        bough.first_leaf = 0;
        bough.leaves = bough_leaves + 1;
        bough.entries = bough.leaves * leaf_size;
    }
    CHECK(complaint(patched.write()) == "index damaged: a bough's leaves are not there");
}

TEST_CASE("an index that tells of fewer rows than its leaves hold, or of none, finds some of them") {
    for (const std::uint64_t present : {0u, 1u, 40u}) {
        Patched patched(small_forest(Distance::euclidean, 400));
        ForestFacts fewer = patched.facts();
        fewer.present = present;
        patched.set_facts(fewer);
        complaint(patched.write());
    }
}

TEST_CASE("planes that are no numbers lead somewhere") {
    for (const float value : {not_a_number, infinity, -infinity, 3e38f}) {
        Patched patched(small_forest(Distance::euclidean, 2000));
        REQUIRE(!patched.nodes().empty());
        for (Node& node : patched.nodes()) {
            node.offset = value;
            node.scale = value;
        }
        CHECK(complaint(patched.write()) == "");
    }
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
