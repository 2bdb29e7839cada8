// Files that Annoy wrote, whole and damaged. That the answers are Annoy's is tested from Python, where they
// lie beside the files; here it matters that nothing in a file can do harm.

#include <cstring>
#include <fstream>
#include <iterator>
#include <sys/mman.h>
#include <system_error>
#include <thread>
#include <unistd.h>

#include <doctest/doctest.h>

#include "ann_bench/annoy_file.hpp"
#include "support.hpp"

using namespace ann_bench;
using namespace ann_bench::testing;

namespace {

/// What tests/engine/annoy_answers.py wrote: 60 item numbers, 6 dimensions or 70 bits, 4 trees.
std::string annoys(const std::string& name) {
    return std::string(ANN_BENCH_GOLDEN) + "/annoy/" + name + ".ann";
}

std::string annoys(Distance distance) {
    return annoys(std::string(distance_names[static_cast<std::size_t>(distance)]));
}

std::uint32_t dimension_of(Distance distance) {
    return distance == Distance::hamming ? 70 : 6;
}

std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// A file in memory: writing thousands of damaged ones to a disk would take its time.
class MemoryFile {
  public:
    MemoryFile() : descriptor_(::memfd_create("annoy", MFD_CLOEXEC)) { REQUIRE(descriptor_ >= 0); }
    ~MemoryFile() { ::close(descriptor_); }
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;

    std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

    void write(const std::string& bytes) const {
        REQUIRE(::ftruncate(descriptor_, 0) == 0);
        REQUIRE(::pwrite(descriptor_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    }

  private:
    int descriptor_;
};

/// Opens a file and asks it all there is to ask; what is thrown passes on.
void open_and_ask(const std::string& path, Distance distance, std::uint32_t dimension) {
    const auto file = AnnoyFile::open(path, distance, dimension, false);
    const auto query = random_floats(dimension, 3);
    std::vector<float> vector(dimension);
    for (const std::int32_t search_k : {-1, 1, 40, -2}) {
        for (const std::int32_t k : {1, 10, -1}) {
            const AnnoyFile::Answers answers = file->query(query.data(), k, search_k);
            CHECK(answers.ids.size() == answers.distances.size());
            for (const std::int32_t id : answers.ids) CHECK((id >= 0 && id < file->items()));
        }
    }
    for (std::int32_t item = 0; item < std::min(file->items(), 3); ++item) {
        file->vector(item, vector.data());
        file->query(vector.data(), 3, -1);
        file->distance(item, 0);
    }
}

template <class T>
void put(std::string& bytes, std::size_t at, T value) {
    REQUIRE(at + sizeof value <= bytes.size());
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

constexpr std::span annoy_distances(all_distances, 5);  // all but jaccard

}  // namespace

TEST_CASE("an item is the nearest to its own vector, and every item is found by a search without limit") {
    for (const Distance distance : annoy_distances) {
        CAPTURE(static_cast<int>(distance));
        const std::uint32_t dimension = dimension_of(distance);
        const auto file = AnnoyFile::open(annoys(distance), distance, dimension, distance == Distance::dot);
        REQUIRE(file->items() == 60);
        CHECK(file->trees() == 4);
        std::vector<float> vector(dimension);
        for (const std::int32_t item : {0, 17, 59}) {
            file->vector(item, vector.data());
            const AnnoyFile::Answers answers = file->query(vector.data(), 60, -2);
            REQUIRE(answers.ids.size() == 54);  // six numbers are not used
            if (distance != Distance::dot) CHECK(answers.distances[0] == doctest::Approx(0).epsilon(1e-3));
            for (std::size_t i = 0; i < answers.ids.size(); ++i) {
                CHECK(answers.distances[i] == doctest::Approx(file->distance(item, answers.ids[i])));
            }
        }
        CHECK_THROWS_AS(file->vector(60, vector.data()), std::out_of_range);
        CHECK_THROWS_AS(file->distance(-1, 0), std::out_of_range);
    }
}

TEST_CASE("several threads get the answers that one gets") {
    const auto file = AnnoyFile::open(annoys(Distance::euclidean), Distance::euclidean, 6, false);
    const auto queries = random_floats(50 * 6, 9);
    const auto ask = [&] {
        std::vector<std::int32_t> all;
        for (std::size_t i = 0; i < 50; ++i) {
            const auto answers = file->query(queries.data() + 6 * i, 5, 30);
            all.insert(all.end(), answers.ids.begin(), answers.ids.end());
        }
        return all;
    };
    const auto expected = ask();
    std::vector<std::vector<std::int32_t>> found(4);
    {
        std::vector<std::jthread> threads;
        for (auto& one : found) threads.emplace_back([&] { one = ask(); });
    }
    for (const auto& one : found) CHECK(one == expected);
}

TEST_CASE("what cannot be an index of this distance and dimension is refused") {
    const MemoryFile file;
    CHECK_THROWS_AS(AnnoyFile::open("/nonexistent/index", Distance::dot, 6, false), std::system_error);
    CHECK_THROWS_AS(AnnoyFile::open("/", Distance::dot, 6, false), DamagedIndex);
    CHECK_THROWS_AS(AnnoyFile::open(annoys(Distance::dot), Distance::dot, 0, false), std::invalid_argument);
    CHECK_THROWS_AS(AnnoyFile::open(annoys(Distance::dot), Distance::dot, 7, false), DamagedIndex);
    CHECK_THROWS_AS(AnnoyFile::open(annoys(Distance::dot), Distance::dot, 0xffff'ffff, false), DamagedIndex);
    file.write("");
    CHECK_THROWS_AS(AnnoyFile::open(file.path(), Distance::dot, 6, false), DamagedIndex);
}

TEST_CASE("a file that lost nodes from its end is refused, or searched without harm") {
    for (const Distance distance : annoy_distances) {
        const std::string bytes = read(annoys(distance));
        const MemoryFile file;
        std::size_t refused = 0, cuts = 0;
        for (std::size_t length = 0; length < bytes.size(); length += 8, ++cuts) {
            file.write(bytes.substr(0, length));
            try {
                open_and_ask(file.path(), distance, dimension_of(distance));
            } catch (const DamagedIndex&) {
                ++refused;
            }
        }
        CHECK(refused + 7 >= cuts);  // without the copies of the four roots, or behind one, it is an index
    }
}

TEST_CASE("damage gives answers or DamagedIndex, nothing worse, whatever distance it is opened with") {
    Random random(5);
    for (const Distance distance : annoy_distances) {
        const std::string bytes = read(annoys(distance));
        const MemoryFile file;
        for (int trial = 0; trial < 150; ++trial) {
            std::string damaged = bytes;
            const std::uint32_t changes = 1u << random.below(8);
            for (std::uint32_t i = 0; i < changes; ++i) {
                const std::uint32_t at = random.below(static_cast<std::uint32_t>(bytes.size()));
                damaged[at] = static_cast<char>(random.coin() ? random.below(256) : 0);
            }
            file.write(damaged);
            for (const Distance opened : {distance, annoy_distances[random.below(5)]}) {
                try {
                    open_and_ask(file.path(), opened, dimension_of(opened));
                } catch (const DamagedIndex&) {
                }
            }
        }
    }
}

TEST_CASE("splits that lead back, past the end, or to each other's children end in DamagedIndex") {
    const std::string bytes = read(annoys(Distance::angular));
    constexpr std::size_t node_bytes = 12 + 6 * sizeof(float);
    const std::size_t nodes = bytes.size() / node_bytes;
    const MemoryFile file;
    const auto ask = [&](const std::string& changed) {
        file.write(changed);
        open_and_ask(file.path(), Distance::angular, 6);
    };
    for (const std::int32_t link : {-1, static_cast<std::int32_t>(nodes), 0x7fff'ffff, -0x7fff'ffff - 1}) {
        std::string changed = bytes;
        for (std::size_t root = nodes - 5; root < nodes; ++root) put(changed, root * node_bytes + 8, link);
        CHECK_THROWS_AS(ask(changed), DamagedIndex);
    }
    std::string loop = bytes;
    for (std::size_t node = 60; node < nodes; ++node) {
        put(loop, node * node_bytes, std::int32_t{60});
        put(loop, node * node_bytes + 4, static_cast<std::int32_t>(node));
    }
    CHECK_THROWS_AS(ask(loop), DamagedIndex);
    // Both children of every split are the node before it: 2^splits paths to one bucket.
    std::string fan = bytes;
    for (std::size_t node = 61; node < nodes; ++node) {
        put(fan, node * node_bytes, std::int32_t{60 + (node + 1 < nodes ? 1 : 0)});
        put(fan, node * node_bytes + 4, static_cast<std::int32_t>(node - 1));
        put(fan, node * node_bytes + 8, static_cast<std::int32_t>(node - 1));
    }
    CHECK_THROWS_AS(ask(fan), DamagedIndex);
}

TEST_CASE("buckets that name no item or hold too many end in DamagedIndex") {
    const std::string bytes = read(annoys("few-items"));  // 5 item numbers, then buckets that hold 3 of them
    constexpr std::size_t node_bytes = 16 + 6 * sizeof(float);
    const MemoryFile file;
    for (const std::int32_t item : {5, -1, 0x7fff'ffff}) {
        std::string changed = bytes;
        put(changed, 6 * node_bytes + 8, item);
        file.write(changed);
        CHECK_THROWS_AS(open_and_ask(file.path(), Distance::dot, 6), DamagedIndex);
    }
}
