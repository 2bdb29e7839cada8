#include "ann_bench/buffer.hpp"

#include <cstring>
#include <new>
#include <sys/mman.h>

namespace ann_bench {
namespace {

/// Searches jump about in large blocks: with huge pages they wait less for the addresses' translation.
constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr std::size_t large = 2 * huge_page;

}  // namespace

Buffer::Buffer(std::size_t bytes) : size_(bytes) {
    const std::size_t alignment = bytes >= large ? huge_page : cache_line;
    const std::size_t room = round_up(bytes == 0 ? 1 : bytes, alignment);
    bytes_.reset(static_cast<std::byte*>(std::aligned_alloc(alignment, room)));
    if (!bytes_) throw std::bad_alloc();
    // Advice: where it cannot be followed, pages are small.
    if (alignment == huge_page) ::madvise(bytes_.get(), room, MADV_HUGEPAGE);
    std::memset(bytes_.get(), 0, bytes);
}

}  // namespace ann_bench
