// Writes the seeds of the fuzzer to a folder, or tells with --check whether the folder has them already:
// small indexes of every distance, valid and the same on every machine.

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <unistd.h>
#include <vector>

#include "ann_bench/forest.hpp"
#include "ann_bench/random.hpp"

using namespace ann_bench;
namespace fs = std::filesystem;

namespace {

struct Size {
    const char* name;
    std::size_t rows;
    std::uint32_t dimension;
    std::uint32_t trees;
};
constexpr Size sizes[] = {{"one", 1, 1, 1}, {"few", 9, 3, 2}, {"more", 600, 3, 2}};

Forest grow(Distance distance, const Size& size) {
    ForestOptions options;
    options.distance = distance;
    options.trees = size.trees;
    Random random(size.rows);
    std::vector<float> floats(size.rows * size.dimension);
    std::vector<Bit> bits(floats.size());
    for (float& value : floats) value = static_cast<float>(random.below(2001)) / 1000.0f - 1.0f;
    for (Bit& bit : bits) bit.byte = random.coin();
    const Vectors vectors = distance == Distance::hamming ? Vectors(std::span<const Bit>(bits))
                                                          : Vectors(std::span<const float>(floats));
    return Forest::build(vectors, size.rows, size.dimension, options);
}

std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

int main(int argc, char** argv) {
    const bool check = argc == 3 && std::strcmp(argv[1], "--check") == 0;
    if (argc != 2 && !check) {
        std::fputs("usage: make_corpus [--check] FOLDER\n", stderr);
        return 2;
    }
    const fs::path folder = argv[argc - 1];
    const fs::path temporary = fs::temp_directory_path() / ("ann_bench_seed_" + std::to_string(::getpid()));
    int wrong = 0;
    for (std::size_t d = 0; d < distance_names.size(); ++d) {
        for (const Size& size : sizes) {
            const std::string name = "forest-" + std::string(distance_names[d]) + "-" + size.name;
            const Forest forest = grow(static_cast<Distance>(d), size);
            if (!check) {
                forest.save((folder / name).string());
                continue;
            }
            forest.save(temporary.string());
            if (read(temporary) != read(folder / name)) {
                std::fprintf(stderr,
                             "%s: is not what this build writes; if the format was changed on purpose: "
                             "make_corpus %s\n",
                             (folder / name).c_str(), folder.c_str());
                ++wrong;
            }
            fs::remove(temporary);
        }
    }
    return wrong == 0 ? 0 : 1;
}
