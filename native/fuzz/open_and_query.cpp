// A fuzz target: any bytes, taken for a file, give an error or an index that can be queried, verified and
// closed. Never a crash, a hang or a read outside the file.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "ann_bench/index.hpp"
#include "ann_bench/random.hpp"
#include "ann_bench/section_file.hpp"
#include "memory_file.hpp"

using namespace ann_bench;

namespace {

void query(const Index& index) {
    const Shape shape = index.shape();
    constexpr std::size_t count = 2;
    constexpr std::size_t k = 5;
    Random random(shape.dimension);
    std::vector<float> floats(count * shape.dimension);
    std::vector<Bit> bits(floats.size());
    for (float& value : floats) value = static_cast<float>(random.below(2001)) / 1000.0f - 1.0f;
    for (Bit& bit : bits) bit.byte = random.coin();
    const Vectors vectors = takes_bits(shape.distance) ? Vectors(std::span<const Bit>(bits))
                                                       : Vectors(std::span<const float>(floats));
    std::vector<std::int32_t> ids(count * k);
    std::vector<float> distances(count * k);
    const std::vector<std::uint64_t> allowed((shape.rows + 63) / 64, 0x5555'5555'5555'5555u);
    for (const std::uint64_t reach : {std::uint64_t{1}, std::uint64_t{300}}) {
        Request request{k, {reach, k}};
        for (const bool some : {false, true}) {
            if (some) request.allowed = allowed;
            index.query(vectors, count, request, ids.data(), distances.data());
            for (const std::int32_t id : ids) {
                if (id < -1 || id >= static_cast<std::int64_t>(shape.rows)) std::abort();
            }
        }
    }
}

void open_and_query(const std::string& path, OpenMode mode) {
    try {
        query(*Index::open(path, mode));
    } catch (const DamagedIndex&) {
    }
    try {
        SectionFile::open(path, mode).verify();
    } catch (const DamagedIndex&) {
    }
}

}  // namespace

/// Tries the bytes as they are, with a header whose checksum is right, and with one that knows the size as
/// well: by chance no input would get that far.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const MemoryFile file;
    std::vector<std::byte> bytes(size);
    if (size > 0) std::memcpy(bytes.data(), data, size);
    file.assign(bytes);
    open_and_query(file.path(), OpenMode::mmap);
    FileHeader header;
    if (size < sizeof header) return 0;
    std::memcpy(&header, data, sizeof header);
    const auto with_header = [&](OpenMode mode) {
        header.digest = header.expected_digest();
        std::memcpy(bytes.data(), &header, sizeof header);
        file.assign(bytes);
        open_and_query(file.path(), mode);
    };
    with_header(OpenMode::mmap);
    header.file_bytes = size;
    with_header(OpenMode::ram);
    return 0;
}
