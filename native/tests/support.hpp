#pragma once
// Seeded test data and a folder to write in.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <unistd.h>
#include <vector>

#include "ann_bench/forest.hpp"
#include "ann_bench/random.hpp"

namespace ann_bench::testing {

/// Values in -1..1.
inline std::vector<float> random_floats(std::size_t count, std::uint64_t seed) {
    Random random(seed);
    std::vector<float> values(count);
    for (float& value : values) value = static_cast<float>(random.below(2'000'001)) / 1e6f - 1.0f;
    return values;
}

inline std::vector<Bit> random_bits(std::size_t count, std::uint64_t seed) {
    Random random(seed);
    std::vector<Bit> values(count);
    for (Bit& value : values) value.byte = random.coin();
    return values;
}

template <class T>
Vectors view(const std::vector<T>& values) {
    return std::span<const T>(values);
}

/// A path for one test, removed after it.
class TemporaryFile {
  public:
    TemporaryFile()
        : path_(std::filesystem::temp_directory_path() / ("ann_bench_test_" + std::to_string(::getpid()))) {}
    ~TemporaryFile() { std::filesystem::remove(path_); }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;

    std::string path() const { return path_.string(); }

    std::string read() const {
        std::ifstream file(path_, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }

    void write(const std::string& bytes) const { std::ofstream(path_, std::ios::binary) << bytes; }

  private:
    std::filesystem::path path_;
};

inline Forest small_forest(Distance distance, std::size_t rows = 400, std::uint32_t dimension = 20,
                           unsigned threads = 1, std::uint32_t trees = 5) {
    ForestOptions options;
    options.distance = distance;
    options.trees = trees;
    options.seed = 7;
    options.threads = threads;
    if (takes_bits(distance)) {
        return Forest::build(view(random_bits(rows * dimension, 1)), rows, dimension, options);
    }
    return Forest::build(view(random_floats(rows * dimension, 1)), rows, dimension, options);
}

inline constexpr Distance all_distances[] = {Distance::euclidean, Distance::angular,   Distance::dot,
                                             Distance::hamming,   Distance::manhattan, Distance::jaccard};

}  // namespace ann_bench::testing
