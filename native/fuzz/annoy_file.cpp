// A fuzz target: any bytes, taken for a file that Annoy wrote, give an error or an index of each distance
// that can be asked all there is to ask. Never a crash, a hang or a read outside the file.

#include "ann_bench/annoy_file.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "memory_file.hpp"

using namespace ann_bench;

namespace {

/// What the seeds, tests/golden/annoy, were built with, and the bytes that a node takes then.
struct Guess {
    Distance distance;
    std::uint32_t dimension;
    std::size_t node_bytes;
};
constexpr Guess shapes[] = {{Distance::angular, 6, 36},
                            {Distance::euclidean, 6, 40},
                            {Distance::manhattan, 6, 40},
                            {Distance::dot, 6, 40},
                            {Distance::hamming, 70, 32}};

void ask(const AnnoyFile& file) {
    std::vector<float> vector(file.dimension());
    for (std::size_t i = 0; i < vector.size(); ++i) vector[i] = static_cast<float>(i % 3) - 0.9f;
    const auto query = [&](std::int32_t k, std::int32_t search_k) {
        for (const std::int32_t id : file.query(vector.data(), k, search_k).ids) {
            if (id < 0 || id >= file.items()) std::abort();
        }
    };
    for (const std::int32_t search_k : {-1, 0, 1, 40, -2}) query(10, search_k);
    const std::int32_t items = file.items();
    for (const std::int32_t item : {0, items / 2, items - 1}) {
        if (item < 0 || item >= items) continue;
        file.vector(item, vector.data());
        query(-1, 20);
        file.distance(item, 0);
    }
}

}  // namespace

/// Leaves out what is no whole node at the end: few inputs would be a number of nodes by chance.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const MemoryFile file;
    const std::span bytes = std::as_bytes(std::span(data, size));
    for (const Guess& shape : shapes) {
        file.assign(bytes.first(size - size % shape.node_bytes));
        try {
            ask(*AnnoyFile::open(file.path(), shape.distance, shape.dimension, false));
        } catch (const DamagedIndex&) {
        }
    }
    return 0;
}
