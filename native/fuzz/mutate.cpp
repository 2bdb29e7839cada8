// How the fuzzer changes a file: most of the time behind the header, which is mostly padding in a small one,
// and without moving anything, so that the sections stay where the header says.

#include <cstddef>
#include <cstdint>

#include "ann_bench/section_file.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
    constexpr std::size_t header_bytes = sizeof(ann_bench::FileHeader);
    if (size <= header_bytes || seed % 4 == 0) return LLVMFuzzerMutate(data, size, max_size);
    const std::size_t behind = size - header_bytes;
    LLVMFuzzerMutate(data + header_bytes, behind, behind);
    return size;
}
