// Writes the seeds of the fuzzer to a folder, or tells with --check whether the folder has them already:
// small indexes of every distance, valid and the same on every machine.

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <unistd.h>
#include <vector>

#include "ann_bench/cluster.hpp"
#include "ann_bench/flat.hpp"
#include "ann_bench/forest.hpp"
#include "ann_bench/graph.hpp"
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

std::unique_ptr<Index> build(IndexKind kind, Distance distance, const Size& size) {
    Random random(size.rows);
    std::vector<float> floats(size.rows * size.dimension);
    std::vector<Bit> bits(floats.size());
    for (float& value : floats) value = static_cast<float>(random.below(2001)) / 1000.0f - 1.0f;
    for (Bit& bit : bits) bit.byte = random.coin();
    const Vectors vectors =
        takes_bits(distance) ? Vectors(std::span<const Bit>(bits)) : Vectors(std::span<const float>(floats));
    if (kind == IndexKind::flat) {
        return std::make_unique<Flat>(
            Flat::build(vectors, size.rows, size.dimension, distance, size.rows > 30, 1));
    }
    if (kind == IndexKind::cluster) {
        ClusterOptions options;
        options.distance = distance;
        return std::make_unique<Cluster>(Cluster::build(vectors, size.rows, size.dimension, options));
    }
    if (kind == IndexKind::graph) {
        GraphOptions options;
        options.distance = distance;
        options.degree = 5;
        return std::make_unique<Graph>(Graph::build(vectors, size.rows, size.dimension, options));
    }
    ForestOptions options;
    options.distance = distance;
    options.trees = size.trees;
    return std::make_unique<Forest>(Forest::build(vectors, size.rows, size.dimension, options));
}

/// An index to be a seed: the middle ones have lost a row and are tuned.
std::unique_ptr<Index> seed(IndexKind kind, Distance distance, const Size& size) {
    auto index = build(kind, distance, size);
    if (size.rows == 9) {
        index->remove(std::vector<std::uint32_t>{4});
        index->set_tuned({{0.9f, 5, {7, 6}}});
    }
    return index;
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
    const auto write = [&](IndexKind kind, std::size_t distance, const Size& size) {
        const std::string name =
            name_of(kind) + "-" + std::string(distance_names[distance]) + "-" + size.name;
        const auto index = seed(kind, static_cast<Distance>(distance), size);
        if (!check) {
            index->save((folder / name).string());
            return;
        }
        index->save(temporary.string());
        if (read(temporary) != read(folder / name)) {
            std::fprintf(stderr,
                         "%s: is not what this build writes; if the format was changed on purpose: "
                         "make_corpus %s\n",
                         (folder / name).c_str(), folder.c_str());
            ++wrong;
        }
        fs::remove(temporary);
    };
    for (const IndexKind kind : {IndexKind::flat, IndexKind::forest, IndexKind::graph, IndexKind::cluster}) {
        for (std::size_t d = 0; d < distance_names.size(); ++d) {
            const auto distance = static_cast<Distance>(d);
            const bool for_vectors = kind == IndexKind::cluster || kind == IndexKind::graph;
            const bool is_for_it = !for_vectors || distance <= Distance::dot;
            for (const Size& size : sizes) {
                if (is_for_it) write(kind, d, size);
            }
        }
    }
    return wrong == 0 ? 0 : 1;
}
