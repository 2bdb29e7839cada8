#include "ann_bench/buffer.hpp"

#include <algorithm>
#include <cstring>

namespace ann_bench {

Buffer::Buffer(std::size_t bytes)
    : bytes_(new (std::align_val_t{cache_line}) std::byte[std::max<std::size_t>(bytes, 1)]), size_(bytes) {
    std::memset(bytes_.get(), 0, bytes);
}

}  // namespace ann_bench
