// Takes any bytes for a file that Annoy wrote, opens it with each distance and searches it. What is wrong
// with it may only show in answers or as DamagedIndex. Seeds: tests/golden/annoy, which have these
// dimensions.

#include "ann_bench/annoy_file.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace {

using namespace ann_bench;

constexpr std::int32_t limits[] = {-1, 0, 1, 40, -2};

void ask(const std::string& path, Distance distance) {
    const std::uint32_t dimension = distance == Distance::hamming ? 70 : 6;
    const auto file = AnnoyFile::open(path, distance, dimension, false);
    std::vector<float> vector(dimension);
    for (std::uint32_t i = 0; i < dimension; ++i) vector[i] = static_cast<float>(i % 3) - 0.9f;
    for (const std::int32_t search_k : limits) {
        for (const std::int32_t id : file->query(vector.data(), 10, search_k).ids) {
            if (id < 0 || id >= file->items()) std::abort();
        }
    }
    const std::int32_t items = file->items();
    for (const std::int32_t item : {0, items / 2, items - 1}) {
        if (item < 0 || item >= items) continue;
        file->vector(item, vector.data());
        file->query(vector.data(), -1, 20);
        file->distance(item, 0);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const int file = ::memfd_create("annoy", MFD_CLOEXEC);
    if (file < 0 || ::write(file, data, size) != static_cast<ssize_t>(size)) std::abort();
    const std::string path = "/proc/self/fd/" + std::to_string(file);
    for (std::uint32_t i = 0; i < distance_names.size(); ++i) {
        try {
            ask(path, static_cast<Distance>(i));
        } catch (const DamagedIndex&) {
        }
    }
    ::close(file);
    return 0;
}
