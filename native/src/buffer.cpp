#include "ann_bench/buffer.hpp"

#include <algorithm>
#include <cstring>
#include <new>

namespace ann_bench {
namespace {

/// From here on a block gets pages of its own, huge ones if the system has them: searches jump about in it,
/// and then wait less for the addresses' translation. The system hands them out zeroed.
constexpr std::size_t large = std::size_t{4} << 20;

}  // namespace

Buffer::Buffer(std::size_t bytes) : size_(bytes) {
    if (bytes >= large) {
        pages_ = os::Mapping::in_memory(bytes, "memory for the index");
        data_ = pages_.data();
        return;
    }
    bytes_.reset(static_cast<std::byte*>(std::aligned_alloc(cache_line, round_up(bytes + 1, cache_line))));
    if (!bytes_) throw std::bad_alloc();
    std::memset(bytes_.get(), 0, bytes);
    data_ = bytes_.get();
}

void grow(Buffer& buffer, std::size_t used, std::size_t needed) {
    if (buffer.size() >= needed) return;
    Buffer longer(used == 0 ? needed : std::max(needed, 2 * buffer.size()));
    if (used > 0) std::memcpy(longer.data(), buffer.data(), used);
    buffer = std::move(longer);
}

}  // namespace ann_bench
