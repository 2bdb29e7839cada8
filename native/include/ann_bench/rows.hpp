#pragma once
// How vectors lie in memory: padded rows, made from what the caller hands in.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <variant>

#include "ann_bench/distance.hpp"

namespace ann_bench {

inline constexpr std::size_t cache_line = 64;

/// A block of zeroed bytes that starts on a cache line.
class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(std::size_t bytes);

    std::byte* data() { return bytes_.get(); }
    const std::byte* data() const { return bytes_.get(); }
    std::size_t size() const { return size_; }

  private:
    struct Free {
        void operator()(std::byte* p) const { ::operator delete[](p, std::align_val_t{cache_line}); }
    };
    std::unique_ptr<std::byte[], Free> bytes_;
    std::size_t size_ = 0;
};

/// Sizes that follow from a distance and a dimension.
struct Layout {
    std::size_t
        width;  ///< elements of a row that the kernels read: floats (a multiple of 4), or words of bits
    std::size_t row_bytes;   ///< from one row to the next
    std::size_t node_bytes;  ///< from one tree node to the next
};

/// Requires 1 <= dimension <= max_dimension. Rows and nodes up to 64 bytes get a power of two, longer ones a
/// multiple of 64, so that none straddles more cache lines than it must.
Layout layout_of(Distance distance, std::uint32_t dimension);

inline constexpr std::uint32_t max_dimension = 65'535;

/// Vectors as the caller has them, row after row: floats, or one byte (0 or not) per bit for hamming.
using Vectors = std::variant<std::span<const float>, std::span<const std::uint8_t>>;

/// Rows that are stored one after another, `row_bytes` apart.
template <class Element>
struct RowsView {
    const std::byte* data;
    std::size_t row_bytes;
    std::size_t width;

    const Element* operator[](std::size_t row) const {
        return reinterpret_cast<const Element*>(data + row * row_bytes);
    }
};

/// Writes the padded row for `from` (dimension values) to `to`, whose padding is zero already.
///
/// Angular rows are brought to unit length; zero rows stay zero. Returns false if a value is not finite.
bool prepare_row(Distance distance, const float* from, std::uint32_t dimension, float* to);

/// The same for hamming: packs bytes into bits, least significant bit first.
bool prepare_row(Distance distance, const std::uint8_t* from, std::uint32_t dimension, std::uint64_t* to);

/// Pads `count` vectors into rows. Throws std::invalid_argument that names the first row that is not finite.
Buffer prepare_rows(Distance distance, std::uint32_t dimension, Vectors vectors, std::size_t count,
                    unsigned threads);

}  // namespace ann_bench
