#pragma once
// Memory that starts on a cache line.

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <span>

#include "ann_bench/os.hpp"

namespace ann_bench {

inline constexpr std::size_t cache_line = 64;

constexpr std::size_t round_up(std::size_t value, std::size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

/// A block of zeroed bytes that starts on a cache line, and on a huge page if it is large.
class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(std::size_t bytes);

    std::byte* data() { return data_; }
    const std::byte* data() const { return data_; }
    std::size_t size() const { return size_; }

    template <class T>
    std::span<T> as() {
        return {reinterpret_cast<T*>(data()), size() / sizeof(T)};
    }
    template <class T>
    std::span<const T> as() const {
        return {reinterpret_cast<const T*>(data()), size() / sizeof(T)};
    }

  private:
    struct Free {
        void operator()(std::byte* p) const { std::free(p); }
    };
    std::unique_ptr<std::byte[], Free> bytes_;  ///< a small block
    os::Mapping pages_;                         ///< or a large one
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

/// Makes a buffer whose first `used` bytes count at least `needed` bytes long: twice as long as it was, if it
/// had to be moved, so that it need not be soon again.
void grow(Buffer& buffer, std::size_t used, std::size_t needed);

}  // namespace ann_bench
