#include "ann_bench/rows.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "ann_bench/index.hpp"
#include "ann_bench/parallel.hpp"

namespace ann_bench {
namespace {

constexpr std::size_t rows_per_task = 4096;

std::size_t round_up(std::size_t value, std::size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

std::size_t stride(std::size_t bytes) {
    return bytes <= cache_line ? std::bit_ceil(bytes) : round_up(bytes, cache_line);
}

/// In double precision no float32 vector overflows or loses its length to rounding.
double squared_norm(const float* vector, std::uint32_t dimension) {
    const auto square = [vector](std::uint32_t i) { return static_cast<double>(vector[i]) * vector[i]; };
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    std::uint32_t i = 0;
    for (; i + 4 <= dimension; i += 4) {
        s0 += square(i);
        s1 += square(i + 1);
        s2 += square(i + 2);
        s3 += square(i + 3);
    }
    for (; i < dimension; ++i) s0 += square(i);
    return (s0 + s1) + (s2 + s3);
}

/// Looks at exponents as integers, which the compiler may do four at a time.
bool all_finite(const float* vector, std::uint32_t dimension) {
    std::uint32_t bad = 0;
    for (std::uint32_t i = 0; i < dimension; ++i) {
        bad |= static_cast<std::uint32_t>((std::bit_cast<std::uint32_t>(vector[i]) & 0x7f80'0000u) ==
                                          0x7f80'0000u);
    }
    return bad == 0;
}

/// Gives dot rows the coordinate that makes them all equally long, sqrt(max |x|^2 - |x|^2).
///
/// With 0 there in the query, inner products stay what they are, and the largest inner product becomes the
/// smallest angle: then planes through the origin split well (Bachrach et al. 2014, "Speeding up the Xbox
/// recommender system using a Euclidean transformation for inner-product spaces"; Annoy does the same).
void lift(std::byte* data, const Layout& layout, std::uint32_t dimension, std::size_t count) {
    std::vector<double> norms(count);
    double largest = 0;
    for (std::size_t i = 0; i < count; ++i) {
        norms[i] = squared_norm(reinterpret_cast<const float*>(data + i * layout.row_bytes), dimension);
        largest = std::max(largest, norms[i]);
    }
    for (std::size_t i = 0; i < count; ++i) {
        auto* row = reinterpret_cast<float*>(data + i * layout.row_bytes);
        row[dimension] = static_cast<float>(std::sqrt(largest - norms[i]));
    }
}

}  // namespace

Buffer::Buffer(std::size_t bytes)
    : bytes_(new (std::align_val_t{cache_line}) std::byte[std::max<std::size_t>(bytes, 1)]), size_(bytes) {
    std::memset(bytes_.get(), 0, bytes);
}

Layout layout_of(Distance distance, std::uint32_t dimension) {
    if (distance == Distance::hamming) {
        const std::size_t words = (dimension + 63u) / 64u;
        return {words, stride(words * 8), stride(sizeof(Node) + 2 * words * 8)};
    }
    const std::size_t values = dimension + (distance == Distance::dot ? 1u : 0u);
    const std::size_t width = round_up(values, float_lanes);
    return {width, stride(width * sizeof(float)), stride(sizeof(Node) + width * sizeof(float))};
}

bool prepare_row(Distance distance, const float* from, std::uint32_t dimension, float* to) {
    if (!all_finite(from, dimension)) return false;
    std::memcpy(to, from, dimension * sizeof(float));
    if (distance == Distance::angular) {
        const double norm = std::sqrt(squared_norm(from, dimension));
        if (norm > 0) {
            const double factor = 1.0 / norm;
            for (std::uint32_t i = 0; i < dimension; ++i) to[i] = static_cast<float>(from[i] * factor);
        }
    }
    return true;
}

bool prepare_row(Distance, const std::uint8_t* from, std::uint32_t dimension, std::uint64_t* to) {
    for (std::uint32_t first = 0; first < dimension; first += 64) {
        const std::uint32_t bits = std::min<std::uint32_t>(64, dimension - first);
        std::uint64_t word = 0;
        for (std::uint32_t i = 0; i < bits; ++i) word |= std::uint64_t{from[first + i] != 0} << i;
        to[first / 64] = word;
    }
    return true;
}

Buffer prepare_rows(Distance distance, std::uint32_t dimension, Vectors vectors, std::size_t count,
                    unsigned threads) {
    const Layout layout = layout_of(distance, dimension);
    Buffer rows(count * layout.row_bytes);
    const std::size_t tasks = (count + rows_per_task - 1) / rows_per_task;
    const auto fill = [&]<class From, class To>(std::span<const From> from, To*) {
        parallel_for(tasks, threads, [&](std::size_t task) {
            const std::size_t last = std::min(count, (task + 1) * rows_per_task);
            for (std::size_t i = task * rows_per_task; i < last; ++i) {
                auto* to = reinterpret_cast<To*>(rows.data() + i * layout.row_bytes);
                if (!prepare_row(distance, from.data() + i * dimension, dimension, to)) {
                    throw std::invalid_argument(
                        "train: row " + std::to_string(i) +
                        " holds NaN or infinity; every value must be finite as float32");
                }
            }
        });
    };
    if (distance == Distance::hamming) {
        fill(std::get<std::span<const std::uint8_t>>(vectors), static_cast<std::uint64_t*>(nullptr));
    } else {
        fill(std::get<std::span<const float>>(vectors), static_cast<float*>(nullptr));
    }
    if (distance == Distance::dot) lift(rows.data(), layout, dimension, count);
    return rows;
}

}  // namespace ann_bench
