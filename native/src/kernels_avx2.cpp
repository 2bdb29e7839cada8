// The kernels for AVX2. This file and nothing else is compiled for it, so it uses no inline function of a
// header that other files share: the linker might keep this file's version for all.

#include <immintrin.h>
#include <type_traits>

#include "ann_bench/kernels.hpp"

namespace ann_bench {
namespace {

inline __m256i load(const void* from) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

inline __m128i load_half(const void* from) {
    return _mm_loadu_si128(static_cast<const __m128i*>(from));
}

/// Products of 32 pairs of codes, added four at a time. No pair of products exceeds 16 bits: 2 * 127 * 127.
inline __m256i multiply(__m256i unsigned_codes, __m256i signed_codes) {
    return _mm256_madd_epi16(_mm256_maddubs_epi16(unsigned_codes, signed_codes), _mm256_set1_epi16(1));
}

inline __m128i fold(__m256i v) {
    return _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

inline std::int32_t sum(__m256i v) {
    __m128i four = fold(v);
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}

inline __m256i dot_vector(const std::uint8_t* a, const std::int8_t* b, std::size_t width) {
    __m256i total = _mm256_setzero_si256();
    for (std::size_t j = 0; j < width; j += 32) {
        total = _mm256_add_epi32(total, multiply(load(a + j), load(b + j)));
    }
    return total;
}

std::int32_t dot(const std::uint8_t* a, const std::int8_t* b, std::size_t width) {
    return sum(dot_vector(a, b, width));
}

void dots(const std::uint8_t* rows, const std::uint32_t* ids, std::size_t count, const std::int8_t* b,
          std::size_t width, std::int32_t* out) {
    constexpr std::size_t ahead = 12;
    for (std::size_t i = 0; i < count; ++i) {
        if (i + ahead < count) {
            const std::uint8_t* next = rows + ids[i + ahead] * width;
            for (std::size_t j = 0; j < width; j += 64) {
                _mm_prefetch(reinterpret_cast<const char*>(next + j), _MM_HINT_T0);
            }
        }
        out[i] = sum(dot_vector(rows + ids[i] * width, b, width));
    }
}

void add_rows(const std::uint8_t* rows, const std::uint32_t* ids, std::size_t count, std::size_t width,
              std::int32_t* totals) {
    // 16-bit sums hold 512 codes.
    for (std::size_t first = 0; first < count; first += 512) {
        const std::size_t last = first + 512 < count ? first + 512 : count;
        for (std::size_t j = 0; j < width; j += 32) {
            __m256i low = _mm256_setzero_si256(), high = low;
            for (std::size_t i = first; i < last; ++i) {
                const std::uint8_t* row = rows + ids[i] * width + j;
                low = _mm256_add_epi16(low, _mm256_cvtepu8_epi16(load_half(row)));
                high = _mm256_add_epi16(high, _mm256_cvtepu8_epi16(load_half(row + 16)));
            }
            const __m128i parts[4] = {_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1),
                                      _mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1)};
            for (std::size_t p = 0; p < 4; ++p) {
                auto* to = reinterpret_cast<__m256i*>(totals + j + 8 * p);
                _mm256_storeu_si256(to, _mm256_add_epi32(load(to), _mm256_cvtepu16_epi32(parts[p])));
            }
        }
    }
}

std::size_t count_below(const std::int32_t* values, std::size_t count, std::int32_t limit) {
    const __m256i limits = _mm256_set1_epi32(limit);
    __m256i negative = _mm256_setzero_si256();
    std::size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        negative = _mm256_add_epi32(negative, _mm256_cmpgt_epi32(limits, load(values + i)));
    }
    auto below = static_cast<std::size_t>(-sum(negative));
    for (; i < count; ++i) below += values[i] < limit;
    return below;
}

void project(const std::uint8_t* values, std::size_t depth, const std::int8_t* matrix, std::size_t width,
             std::int32_t* out) {
    for (std::size_t w = 0; w < width; w += 32) {
        __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;
        for (std::size_t j = 0; j < depth; j += 4) {
            std::int32_t four;
            __builtin_memcpy(&four, values + j, sizeof four);
            const __m256i value = _mm256_set1_epi32(four);
            const std::int8_t* weights = matrix + j * width + 4 * w;
            s0 = _mm256_add_epi32(s0, multiply(value, load(weights)));
            s1 = _mm256_add_epi32(s1, multiply(value, load(weights + 32)));
            s2 = _mm256_add_epi32(s2, multiply(value, load(weights + 64)));
            s3 = _mm256_add_epi32(s3, multiply(value, load(weights + 96)));
        }
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + w), s0);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + w + 8), s1);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + w + 16), s2);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + w + 24), s3);
    }
}

void bough_dots(const std::uint8_t* centres, const std::int8_t* query, std::size_t width, std::int32_t* out) {
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (std::size_t j = 0; j < width; j += 8) {
        std::int32_t four[2];
        __builtin_memcpy(four, query + j, sizeof four);
        for (std::size_t half = 0; half < 2; ++half, centres += 32) {
            const __m256i bytes = load(centres);
            const __m256i low = _mm256_and_si256(bytes, nibble);
            const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
            sums[half] = _mm256_add_epi32(sums[half], multiply(low, _mm256_set1_epi32(four[0])));
            sums[half] = _mm256_add_epi32(sums[half], multiply(high, _mm256_set1_epi32(four[1])));
        }
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), sums[0]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 8), sums[1]);
}

void code_dots(const std::uint8_t* codes, const std::int8_t* query, std::size_t width, std::int32_t* out) {
    __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (std::size_t j = 0; j < width; j += 4) {
        std::int32_t four;
        __builtin_memcpy(&four, query + j, sizeof four);
        for (std::size_t half = 0; half < 2; ++half, codes += 32) {
            sums[half] = _mm256_add_epi32(sums[half], multiply(load(codes), _mm256_set1_epi32(four)));
        }
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), sums[0]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 8), sums[1]);
}

/// The dots of the codes of a block of residuals, in halves of eight.
inline void residual_dots(const std::byte* codes, const std::int8_t* query, std::size_t width,
                          __m256i sums[2]) {
    const __m256i two_bits = _mm256_set1_epi8(3), ones = _mm256_set1_epi16(1);
    sums[0] = sums[1] = _mm256_setzero_si256();
    for (std::size_t j = 0; j < width; j += residual_step) {
        for (std::size_t half = 0; half < 2; ++half, codes += 32) {
            const __m256i bytes = load(codes);
            __m256i products = _mm256_setzero_si256();  // at most 4 * 2 * 3 * 127: no saturation
            for (int p = 0; p < 4; ++p) {
                std::int32_t four;
                __builtin_memcpy(&four, query + j + 4 * static_cast<std::size_t>(p), sizeof four);
                const __m256i values = _mm256_and_si256(_mm256_srli_epi16(bytes, 2 * p), two_bits);
                products = _mm256_add_epi16(products, _mm256_maddubs_epi16(values, _mm256_set1_epi32(four)));
            }
            sums[half] = _mm256_add_epi32(sums[half], _mm256_madd_epi16(products, ones));
        }
    }
}

std::size_t scan_residuals(const std::byte* blocks, std::size_t count, const std::int8_t* query,
                           std::size_t width, float base, float factor, float limit, const std::byte* ahead,
                           std::uint32_t* ids, float* estimates) {
    const std::size_t bytes = residual_block_bytes(width);
    const __m256 bases = _mm256_set1_ps(base), factors = _mm256_set1_ps(factor);
    const __m256 limits = _mm256_set1_ps(limit);
    std::size_t found = 0;
    for (std::size_t block = 0; block < count; ++block, blocks += bytes, ahead += bytes) {
        for (std::size_t i = 0; i < bytes; i += 64) {
            _mm_prefetch(reinterpret_cast<const char*>(ahead + i), _MM_HINT_T1);
        }
        __m256i dots[2];
        residual_dots(blocks + residual_codes, query, width, dots);
        for (std::size_t half = 0; half < 2; ++half) {
            const auto* const terms = reinterpret_cast<const float*>(blocks + residual_terms) + 8 * half;
            const __m256 products = _mm256_mul_ps(factors, _mm256_cvtepi32_ps(dots[half]));
            const __m256 sums = _mm256_add_ps(bases, _mm256_sub_ps(_mm256_loadu_ps(terms), products));
            const __m256 below = _mm256_cmp_ps(sums, limits, _CMP_LT_OQ);
            auto lanes = static_cast<unsigned>(_mm256_movemask_ps(below));
            if (lanes == 0) continue;
            float all[8];
            _mm256_storeu_ps(all, sums);
            for (; lanes != 0; lanes &= lanes - 1) {
                const auto lane = static_cast<std::size_t>(__builtin_ctz(lanes));
                __builtin_memcpy(ids + found, blocks + 4 * (8 * half + lane), sizeof *ids);
                estimates[found++] = all[lane];
            }
        }
    }
    return found;
}

Residual residual(const std::uint8_t* row, const std::uint8_t* centre, std::size_t width,
                  std::uint8_t* bits) {
    const __m256i middle = _mm256_set1_epi8(64), one = _mm256_set1_epi8(1);
    __m256i l1 = _mm256_setzero_si256(), squares = l1, signs = l1;
    for (std::size_t j = 0; j < width; j += 32) {
        const __m256i x = load(row + j), c = load(centre + j);
        // All codes are below 128, so that a signed comparison will do.
        const __m256i down = _mm256_cmpgt_epi8(c, x);
        const auto up = ~static_cast<std::uint32_t>(_mm256_movemask_epi8(down));
        __builtin_memcpy(bits + j / 8, &up, sizeof up);
        const __m256i difference = _mm256_abs_epi8(_mm256_sub_epi8(x, c));
        l1 = _mm256_add_epi64(l1, _mm256_sad_epu8(x, c));
        squares = _mm256_add_epi32(squares, multiply(difference, difference));
        const __m256i from_middle = _mm256_sub_epi8(c, middle), negated = _mm256_sub_epi8(middle, c);
        signs = _mm256_add_epi32(signs, multiply(one, _mm256_blendv_epi8(from_middle, negated, down)));
    }
    // The sums of |difference| are 64 bits wide with a zero upper half each.
    return {sum(l1), sum(squares), sum(signs)};
}

// A table stands in both halves of a register.
void lay_out_tables(const std::uint8_t* tables, std::size_t width, std::uint8_t* out) {
    for (std::size_t table = 0; table < width / 4; ++table) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 32 * table),
                            _mm256_broadcastsi128_si256(load_half(tables + 16 * table)));
    }
}

inline __m256 from_bfloat16(const std::byte* from) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_half(from)), 16));
}

std::size_t scan(const std::byte* blocks, std::size_t count, const std::uint8_t* tables, std::size_t width,
                 std::int32_t offset, float base, float limit, std::uint32_t* ids, float* estimates) {
    const __m256i nibble = _mm256_set1_epi8(15), low_byte = _mm256_set1_epi16(255);
    const __m256i offsets = _mm256_set1_epi32(offset);
    const __m256 bases = _mm256_set1_ps(base), limits = _mm256_set1_ps(limit);
    std::size_t found = 0;
    for (std::size_t block = 0; block < count; ++block, blocks += block_bytes(width)) {
        const std::byte* bits = blocks + block_bits;
        __m256i even = _mm256_setzero_si256(), odd = even;
        for (std::size_t r = 0; r < width / 8; ++r) {
            const __m256i bytes = load(bits + 32 * r);
            const std::uint8_t* table = tables + 64 * r;
            const __m256i low = _mm256_shuffle_epi8(load(table), _mm256_and_si256(bytes, nibble));
            const __m256i high =
                _mm256_shuffle_epi8(load(table + 32), _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble));
            const __m256i both = _mm256_add_epi8(low, high);
            even = _mm256_add_epi16(even, _mm256_and_si256(both, low_byte));
            odd = _mm256_add_epi16(odd, _mm256_srli_epi16(both, 8));
        }
        const __m128i quarters[4] = {_mm256_castsi256_si128(even), _mm256_extracti128_si256(even, 1),
                                     _mm256_castsi256_si128(odd), _mm256_extracti128_si256(odd, 1)};
        for (std::size_t quarter = 0; quarter < 4; ++quarter) {
            const __m256 total =
                _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_cvtepu16_epi32(quarters[quarter]), offsets));
            const __m256 term = from_bfloat16(blocks + block_terms + 16 * quarter);
            const __m256 factor = from_bfloat16(blocks + block_factors + 16 * quarter);
            const __m256 estimate = _mm256_add_ps(bases, _mm256_sub_ps(term, _mm256_mul_ps(factor, total)));
            auto passing =
                static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(estimate, limits, _CMP_LT_OQ)));
            if (passing == 0) continue;
            alignas(32) float values[8];
            _mm256_store_ps(values, estimate);
            for (; passing != 0; passing &= passing - 1) {
                const auto lane = static_cast<std::size_t>(__builtin_ctz(passing));
                __builtin_memcpy(ids + found, blocks + 4 * (8 * quarter + lane), sizeof *ids);
                estimates[found++] = values[lane];
            }
        }
    }
    return found;
}

void score(const std::uint8_t* codes, const std::uint32_t* ids, std::size_t count, const std::int8_t* query,
           std::size_t width, std::int32_t* out) {
    const __m256i nibble = _mm256_set1_epi8(15);
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint8_t* code = codes + ids[i] * (width / 2);
        __m256i total = _mm256_setzero_si256();
        for (std::size_t first = 0; first < width; first += 64) {
            const __m256i bytes = load(code + first / 2);
            const __m256i low = _mm256_and_si256(bytes, nibble);
            const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
            total = _mm256_add_epi32(total, multiply(low, load(query + first)));
            total = _mm256_add_epi32(total, multiply(high, load(query + first + 32)));
        }
        out[i] = sum(total);
    }
}

/// Sums of the squares of 32 values of 0..127, four at a time.
inline __m256i squares(__m256i values) {
    return multiply(values, values);
}

void code_squares(const std::uint8_t* rows, const std::uint32_t* ids, std::size_t count,
                  const std::uint8_t* row, std::size_t width, std::int32_t* out) {
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint8_t* const other = rows + ids[i] * width;
        __m256i total = _mm256_setzero_si256();
        for (std::size_t j = 0; j < width; j += 32) {
            const __m256i difference = _mm256_abs_epi8(_mm256_sub_epi8(load(other + j), load(row + j)));
            total = _mm256_add_epi32(total, squares(difference));
        }
        out[i] = sum(total);
    }
}

void short_code_squares(const std::uint8_t* codes, const std::uint32_t* ids, std::size_t count,
                        const std::int8_t* query, std::size_t width, std::int32_t* out) {
    const __m256i values = _mm256_set1_epi8(0x78);
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint8_t* const code = codes + ids[i] * (width / 2);
        __m256i total = _mm256_setzero_si256();
        for (std::size_t j = 0; j < width; j += 128) {
            for (std::size_t t = 0; t < 64; t += 32) {
                const __m256i both = load(code + j / 2 + t);
                const __m256i low = _mm256_and_si256(_mm256_slli_epi16(both, 3), values);
                const __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 1), values);
                total = _mm256_add_epi32(total,
                                         squares(_mm256_abs_epi8(_mm256_sub_epi8(low, load(query + j + t)))));
                total = _mm256_add_epi32(
                    total, squares(_mm256_abs_epi8(_mm256_sub_epi8(high, load(query + j + 64 + t)))));
            }
        }
        out[i] = sum(total);
    }
}

/// The first `count` lanes.
inline __m256i first_lanes(std::size_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/// Lane i of 32 adds what stands at i, i + 32, ..; then 16 and 16 lanes are added, 8 and 8, and so on.
template <class Term>
inline float sum_f32(std::size_t count, Term term) {
    const __m256i all = _mm256_set1_epi32(-1);
    __m256 parts[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    std::size_t i = 0;
    for (; i + 32 <= count; i += 32) {
        for (std::size_t p = 0; p < 4; ++p) parts[p] = _mm256_add_ps(parts[p], term(i + 8 * p, all));
    }
    for (std::size_t p = 0; i < count; ++p, i += 8) {
        const std::size_t left = count - i;
        parts[p] = _mm256_add_ps(parts[p], term(i, left >= 8 ? all : first_lanes(left)));
    }
    const __m256 eight = _mm256_add_ps(_mm256_add_ps(parts[0], parts[2]), _mm256_add_ps(parts[1], parts[3]));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

/// Eight values of a row as floats, zeros where `lanes` are not set.
struct Floats {
    static __m256 load(const void* row, std::size_t i, __m256i lanes) {
        return _mm256_maskload_ps(static_cast<const float*>(row) + i, lanes);
    }
};

struct Halves {
    static __m256 load(const void* row, std::size_t i, __m256i lanes) {
        const __m256 values = _mm256_cvtph_ps(load_half(static_cast<const std::uint16_t*>(row) + i));
        return _mm256_and_ps(values, _mm256_castsi256_ps(lanes));
    }
};

inline __m128i load_eight(const void* from) {
    return _mm_loadl_epi64(static_cast<const __m128i*>(from));
}

struct SignedBytes {
    static __m256 load(const void* row, std::size_t i, __m256i lanes) {
        const __m256i values = _mm256_cvtepi8_epi32(load_eight(static_cast<const std::int8_t*>(row) + i));
        return _mm256_cvtepi32_ps(_mm256_and_si256(values, lanes));
    }
};

struct UnsignedBytes {
    static __m256 load(const void* row, std::size_t i, __m256i lanes) {
        const __m256i values = _mm256_cvtepu8_epi32(load_eight(static_cast<const std::uint8_t*>(row) + i));
        return _mm256_cvtepi32_ps(_mm256_and_si256(values, lanes));
    }
};

template <class T>
float dot_with(const float* a, const void* b, std::size_t count) {
    return sum_f32(count, [=](std::size_t i, __m256i lanes) __attribute__((always_inline)) {
        return _mm256_mul_ps(_mm256_maskload_ps(a + i, lanes), T::load(b, i, lanes));
    });
}

template <class T>
float squared_l2_with(const float* a, const void* b, std::size_t count) {
    return sum_f32(count, [=](std::size_t i, __m256i lanes) __attribute__((always_inline)) {
        const __m256 difference = _mm256_sub_ps(_mm256_maskload_ps(a + i, lanes), T::load(b, i, lanes));
        return _mm256_mul_ps(difference, difference);
    });
}

template <class T>
float scaled_squared_l2_with(const float* a, const void* b, float scale, std::size_t count) {
    const __m256 scales = _mm256_set1_ps(scale);
    return sum_f32(count, [=](std::size_t i, __m256i lanes) __attribute__((always_inline)) {
        const __m256 difference =
            _mm256_sub_ps(_mm256_maskload_ps(a + i, lanes), _mm256_mul_ps(scales, T::load(b, i, lanes)));
        return _mm256_mul_ps(difference, difference);
    });
}

template <class T>
float l1_with(const float* a, const void* b, std::size_t count) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return sum_f32(count, [=](std::size_t i, __m256i lanes) __attribute__((always_inline)) {
        return _mm256_andnot_ps(sign, _mm256_sub_ps(_mm256_maskload_ps(a + i, lanes), T::load(b, i, lanes)));
    });
}

template <class T>
constexpr RowKernels row_kernels = {dot_with<T>, squared_l2_with<T>, scaled_squared_l2_with<T>, l1_with<T>};

/// Sixteen bytes in 16 bits each.
template <class T>
inline __m256i widen(const T* from) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return std::is_signed_v<T> ? _mm256_cvtepi8_epi16(bytes) : _mm256_cvtepu8_epi16(bytes);
}

/// The sum over pairs of bytes: `pair` makes eight sums of sixteen of them, `rest` one of one.
template <class T, class Pair, class Rest>
inline std::uint32_t sum_bytes(const void* a, const void* b, std::size_t count, Pair pair, Rest rest) {
    const auto *x = static_cast<const T*>(a), *y = static_cast<const T*>(b);
    __m256i total = _mm256_setzero_si256();
    std::size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        total = _mm256_add_epi32(total, pair(widen(x + i), widen(y + i)));
    }
    auto all = static_cast<std::uint32_t>(sum(total));
    for (; i < count; ++i) all += static_cast<std::uint32_t>(rest(x[i], y[i]));
    return all;
}

template <class T>
std::int64_t byte_dot(const void* a, const void* b, std::size_t count) {
    using Sum = std::conditional_t<std::is_signed_v<T>, std::int32_t, std::uint32_t>;
    return static_cast<Sum>(sum_bytes<T>(
        a, b, count, [](__m256i x, __m256i y) { return _mm256_madd_epi16(x, y); },
        [](int x, int y) { return x * y; }));
}

template <class T>
std::int64_t byte_squared_l2(const void* a, const void* b, std::size_t count) {
    return sum_bytes<T>(
        a, b, count,
        [](__m256i x, __m256i y) {
            const __m256i difference = _mm256_sub_epi16(x, y);
            return _mm256_madd_epi16(difference, difference);
        },
        [](int x, int y) { return (x - y) * (x - y); });
}

template <class T>
constexpr ByteKernels byte_kernels = {byte_dot<T>, byte_squared_l2<T>};

float dot_f32(const float* a, const float* b, std::size_t count) {
    return dot_with<Floats>(a, b, count);
}

float squared_l2_f32(const float* a, const float* b, std::size_t count) {
    return squared_l2_with<Floats>(a, b, count);
}

float scaled_squared_l2_f32(const float* a, const float* b, float scale, std::size_t count) {
    return scaled_squared_l2_with<Floats>(a, b, scale, count);
}

float l1_f32(const float* a, const float* b, std::size_t count) {
    return l1_with<Floats>(a, b, count);
}

void add_scaled_f32(float* out, const float* b, float a, std::size_t count) {
    const __m256 factor = _mm256_set1_ps(a);
    std::size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        const __m256 product = _mm256_mul_ps(factor, _mm256_loadu_ps(b + i));
        _mm256_storeu_ps(out + i, _mm256_add_ps(_mm256_loadu_ps(out + i), product));
    }
    for (; i < count; ++i) out[i] += a * b[i];
}

}  // namespace

const Kernels detail::avx2_kernels = {
    Isa::avx2,
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
    {row_kernels<Floats>, row_kernels<Halves>, row_kernels<SignedBytes>, row_kernels<UnsignedBytes>},
    byte_kernels<std::int8_t>,
    byte_kernels<std::uint8_t>,
    dot_f32,
    squared_l2_f32,
    scaled_squared_l2_f32,
    l1_f32,
    add_scaled_f32,
};

}  // namespace ann_bench
