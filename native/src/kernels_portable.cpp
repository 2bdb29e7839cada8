// The kernels in plain C++: what the others are tested against, and what other processors run.

#include <cstring>
#include <type_traits>

#include "ann_bench/kernels.hpp"
#include "ann_bench/vectors.hpp"

namespace ann_bench {
namespace {

std::int32_t dot(const std::uint8_t* a, const std::int8_t* b, std::size_t width) {
    std::int32_t sum = 0;
    for (std::size_t j = 0; j < width; ++j) sum += static_cast<std::int16_t>(a[j]) * b[j];
    return sum;
}

void dots(const std::uint8_t* rows, const std::uint32_t* ids, std::size_t count, const std::int8_t* b,
          std::size_t width, std::int32_t* out) {
    for (std::size_t i = 0; i < count; ++i) out[i] = dot(rows + ids[i] * width, b, width);
}

void add_rows(const std::uint8_t* rows, const std::uint32_t* ids, std::size_t count, std::size_t width,
              std::int32_t* sums) {
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint8_t* row = rows + ids[i] * width;
        for (std::size_t j = 0; j < width; ++j) sums[j] += row[j];
    }
}

std::size_t count_below(const std::int32_t* values, std::size_t count, std::int32_t limit) {
    std::uint32_t below = 0;
    for (std::size_t i = 0; i < count; ++i) below += values[i] < limit;
    return below;
}

void project(const std::uint8_t* values, std::size_t depth, const std::int8_t* matrix, std::size_t width,
             std::int32_t* out) {
    std::memset(out, 0, width * sizeof *out);
    for (std::size_t j = 0; j < depth; j += 4) {
        for (std::size_t w = 0; w < width; ++w) {
            const std::int8_t* weights = matrix + (j * width + 4 * w);
            out[w] += values[j] * weights[0] + values[j + 1] * weights[1] + values[j + 2] * weights[2] +
                      values[j + 3] * weights[3];
        }
    }
}

void bough_dots(const std::uint8_t* centres, const std::int8_t* query, std::size_t width, std::int32_t* out) {
    std::memset(out, 0, 16 * sizeof *out);
    for (std::size_t j = 0; j < width; j += 8, centres += 64) {
        for (std::size_t i = 0; i < 16; ++i) {
            for (std::size_t t = 0; t < 4; ++t) {
                const std::uint8_t byte = centres[4 * i + t];
                out[i] += (byte & 15) * query[j + t] + (byte >> 4) * query[j + 4 + t];
            }
        }
    }
}

void code_dots(const std::uint8_t* codes, const std::int8_t* query, std::size_t width, std::int32_t* out) {
    std::memset(out, 0, 16 * sizeof *out);
    for (std::size_t j = 0; j < width; j += 4, codes += 64) {
        for (std::size_t i = 0; i < 16; ++i) {
            for (std::size_t t = 0; t < 4; ++t) out[i] += codes[4 * i + t] * query[j + t];
        }
    }
}

std::size_t scan_residuals(const std::byte* blocks, std::size_t count, const std::int8_t* query,
                           std::size_t width, float base, float factor, float limit, const std::byte*,
                           std::uint32_t* ids, float* estimates) {
    std::size_t found = 0;
    for (std::size_t block = 0; block < count; ++block, blocks += residual_block_bytes(width)) {
        const auto* codes = reinterpret_cast<const std::uint8_t*>(blocks + residual_codes);
        std::int32_t dots[16] = {};
        for (std::size_t j = 0; j < width; j += residual_step, codes += 64) {
            for (std::size_t i = 0; i < 64; ++i) {
                for (std::size_t p = 0; p < 4; ++p) {
                    dots[i / 4] += (codes[i] >> 2 * p & 3) * query[j + 4 * p + i % 4];
                }
            }
        }
        for (std::size_t i = 0; i < 16; ++i) {
            float term;
            __builtin_memcpy(&term, blocks + residual_terms + i * sizeof term, sizeof term);
            const float estimate = base + (term - factor * static_cast<float>(dots[i]));
            if (estimate < limit) {
                __builtin_memcpy(ids + found, blocks + i * sizeof *ids, sizeof *ids);
                estimates[found++] = estimate;
            }
        }
    }
    return found;
}

Residual residual(const std::uint8_t* row, const std::uint8_t* centre, std::size_t width,
                  std::uint8_t* bits) {
    Residual sums{};
    std::memset(bits, 0, width / 8);
    for (std::size_t j = 0; j < width; ++j) {
        const std::int32_t difference = row[j] - centre[j];
        const bool up = difference >= 0;
        bits[j / 8] = static_cast<std::uint8_t>(bits[j / 8] | up << j % 8);
        sums.l1 += up ? difference : -difference;
        sums.squared_l2 += difference * difference;
        sums.centre_signs += up ? centre[j] - 64 : 64 - centre[j];
    }
    return sums;
}

void lay_out_tables(const std::uint8_t* tables, std::size_t width, std::uint8_t* out) {
    std::memcpy(out, tables, width / 4 * 16);
}

float from_bfloat16(std::uint16_t half) {
    const std::uint32_t bits = std::uint32_t{half} << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

std::size_t scan(const std::byte* blocks, std::size_t count, const std::uint8_t* tables, std::size_t width,
                 std::int32_t offset, float base, float limit, std::uint32_t* ids, float* estimates) {
    std::size_t found = 0;
    for (std::size_t block = 0; block < count; ++block, blocks += block_bytes(width)) {
        std::uint16_t sums[block_entries] = {};
        const auto* bits = reinterpret_cast<const std::uint8_t*>(blocks + block_bits);
        for (std::size_t r = 0; r < width / 8; ++r) {
            const std::uint8_t* low = tables + r * 32;
            const std::uint8_t* high = low + 16;
            for (std::size_t lane = 0; lane < block_entries; ++lane) {
                const std::uint8_t byte = bits[r * block_entries + lane];
                sums[lane] = static_cast<std::uint16_t>(sums[lane] + low[byte & 15] + high[byte >> 4]);
            }
        }
        const auto* rows = reinterpret_cast<const std::uint32_t*>(blocks);
        const auto* terms = reinterpret_cast<const std::uint16_t*>(blocks + block_terms);
        const auto* factors = reinterpret_cast<const std::uint16_t*>(blocks + block_factors);
        for (std::size_t entry = 0; entry < block_entries; ++entry) {
            const auto sum = static_cast<float>(sums[block_lane(entry)] - offset);
            const float estimate = base + (from_bfloat16(terms[entry]) - from_bfloat16(factors[entry]) * sum);
            if (estimate < limit) {
                ids[found] = rows[entry];
                estimates[found++] = estimate;
            }
        }
    }
    return found;
}

void score(const std::uint8_t* codes, const std::uint32_t* ids, std::size_t count, const std::int8_t* query,
           std::size_t width, std::int32_t* out) {
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint8_t* code = codes + ids[i] * (width / 2);
        std::int32_t sum = 0;
        for (std::size_t first = 0; first < width; first += code_step) {
            for (std::size_t t = 0; t < code_step / 2; ++t) {
                const std::uint8_t byte = code[first / 2 + t];
                sum += (byte & 15) * query[first + t] + (byte >> 4) * query[first + code_step / 2 + t];
            }
        }
        out[i] = sum;
    }
}

void code_squares(const std::uint8_t* rows, const std::uint32_t* ids, std::size_t count,
                  const std::uint8_t* row, std::size_t width, std::int32_t* out) {
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint8_t* const other = rows + std::size_t{ids[i]} * width;
        std::int32_t sum = 0;
        for (std::size_t j = 0; j < width; ++j) sum += (other[j] - row[j]) * (other[j] - row[j]);
        out[i] = sum;
    }
}

void short_code_squares(const std::uint8_t* codes, const std::uint32_t* ids, std::size_t count,
                        const std::int8_t* query, std::size_t width, std::int32_t* out) {
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint8_t* const code = codes + std::size_t{ids[i]} * (width / 2);
        std::int32_t sum = 0;
        for (std::size_t j = 0; j < width; j += 128) {
            for (std::size_t t = 0; t < 64; ++t) {
                const std::int32_t low = 8 * (code[j / 2 + t] & 15) - query[j + t];
                const std::int32_t high = 8 * (code[j / 2 + t] >> 4) - query[j + 64 + t];
                sum += low * low + high * high;
            }
        }
        out[i] = sum;
    }
}

/// Adds term(i) for i < count over 32 lanes, then the lanes: 16 and 16, 8 and 8, and so on.
template <class Term>
float sum_f32(std::size_t count, Term term) {
    constexpr std::size_t lanes = 32;
    float sums[lanes] = {};
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        for (std::size_t lane = 0; lane < lanes; ++lane) sums[lane] += term(i + lane);
    }
    for (std::size_t lane = 0; i + lane < count; ++lane) sums[lane] += term(i + lane);
    for (std::size_t half = lanes / 2; half > 0; half /= 2) {
        for (std::size_t lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
    }
    return sums[0];
}

inline float value(const float* row, std::size_t i) {
    return row[i];
}
inline float value(const std::int8_t* row, std::size_t i) {
    return row[i];
}
inline float value(const std::uint8_t* row, std::size_t i) {
    return row[i];
}

inline float value(const Half* row, std::size_t i) {
    return to_float(row[i]);
}

template <class T>
float dot_with(const float* a, const void* row, std::size_t count) {
    const auto* b = static_cast<const T*>(row);
    return sum_f32(count, [=](std::size_t i) { return a[i] * value(b, i); });
}

template <class T>
float squared_l2_with(const float* a, const void* row, std::size_t count) {
    const auto* b = static_cast<const T*>(row);
    return sum_f32(count, [=](std::size_t i) {
        const float difference = a[i] - value(b, i);
        return difference * difference;
    });
}

template <class T>
float scaled_squared_l2_with(const float* a, const void* row, float scale, std::size_t count) {
    const auto* b = static_cast<const T*>(row);
    return sum_f32(count, [=](std::size_t i) {
        const float difference = a[i] - scale * value(b, i);
        return difference * difference;
    });
}

template <class T>
float l1_with(const float* a, const void* row, std::size_t count) {
    const auto* b = static_cast<const T*>(row);
    return sum_f32(count, [=](std::size_t i) { return __builtin_fabsf(a[i] - value(b, i)); });
}

template <class T>
constexpr RowKernels row_kernels = {dot_with<T>, squared_l2_with<T>, scaled_squared_l2_with<T>, l1_with<T>};

/// The sum of term(a, b), which fits 32 bits, of products of signed bytes with a sign.
template <class T, class Term>
std::uint32_t sum_bytes(const void* a, const void* b, std::size_t count, Term term) {
    const auto *x = static_cast<const T*>(a), *y = static_cast<const T*>(b);
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < count; ++i) sum += static_cast<std::uint32_t>(term(x[i], y[i]));
    return sum;
}

template <class T>
std::int64_t byte_dot(const void* a, const void* b, std::size_t count) {
    using Sum = std::conditional_t<std::is_signed_v<T>, std::int32_t, std::uint32_t>;
    return static_cast<Sum>(sum_bytes<T>(a, b, count, [](int x, int y) { return x * y; }));
}

template <class T>
std::int64_t byte_squared_l2(const void* a, const void* b, std::size_t count) {
    return sum_bytes<T>(a, b, count, [](int x, int y) { return (x - y) * (x - y); });
}

template <class T>
constexpr ByteKernels byte_kernels = {byte_dot<T>, byte_squared_l2<T>};

float dot_f32(const float* a, const float* b, std::size_t count) {
    return dot_with<float>(a, b, count);
}

float squared_l2_f32(const float* a, const float* b, std::size_t count) {
    return squared_l2_with<float>(a, b, count);
}

float scaled_squared_l2_f32(const float* a, const float* b, float scale, std::size_t count) {
    return scaled_squared_l2_with<float>(a, b, scale, count);
}

float l1_f32(const float* a, const float* b, std::size_t count) {
    return l1_with<float>(a, b, count);
}

void add_scaled_f32(float* out, const float* b, float a, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) out[i] += a * b[i];
}

}  // namespace

std::size_t detail::admit_portable(std::uint64_t* pool, std::size_t size, std::size_t capacity,
                                   const std::uint32_t* ids, const std::int32_t* distances, std::size_t count,
                                   std::uint32_t limit, std::size_t* lowest) {
    for (std::size_t i = 0; i < count; ++i) {
        if (static_cast<std::uint32_t>(distances[i]) > limit) continue;
        const std::uint64_t key = vertex_key(static_cast<std::uint32_t>(distances[i]), ids[i]);
        if (size == capacity && key >= pool[size - 1]) continue;
        std::size_t place = 0;
        for (std::size_t high = size; place < high;) {
            const std::size_t middle = place + (high - place) / 2;
            if (pool[middle] < key) {
                place = middle + 1;
            } else {
                high = middle;
            }
        }
        size += size < capacity;
        std::memmove(pool + place + 1, pool + place, (size - 1 - place) * sizeof *pool);
        pool[place] = key;
        if (place < *lowest) *lowest = place;
    }
    return size;
}

void detail::split_portable(std::uint32_t* positions, const std::int32_t* values, std::size_t count,
                            std::int32_t limit, std::uint32_t* rest) {
    std::uint32_t* front = positions;
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint32_t position = positions[i];
        const bool below = values[i] < limit;
        *front = position;  // overwritten unless it counts
        *rest = position;
        front += below;
        rest += !below;
    }
}

const Kernels detail::portable_kernels = {
    Isa::portable,
    dot,
    dots,
    add_rows,
    count_below,
    detail::split_portable,
    project,
    bough_dots,
    code_dots,
    scan_residuals,
    residual,
    lay_out_tables,
    scan,
    score,
    code_squares,
    short_code_squares,
    detail::admit_portable,
    {row_kernels<float>, row_kernels<Half>, row_kernels<std::int8_t>, row_kernels<std::uint8_t>},
    byte_kernels<std::int8_t>,
    byte_kernels<std::uint8_t>,
    dot_f32,
    squared_l2_f32,
    scaled_squared_l2_f32,
    l1_f32,
    add_scaled_f32,
};

}  // namespace ann_bench
