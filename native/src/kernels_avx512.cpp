// The kernels for AVX-512 with VNNI. This file and nothing else is compiled for it, so it uses no inline
// function of a header that other files share: the linker might keep this file's version for all.

#include <immintrin.h>
#include <type_traits>

#include "ann_bench/kernels.hpp"

namespace ann_bench {
namespace {

inline __m512i load(const void* from) {
    return _mm512_loadu_si512(from);
}

inline __m256i load_half(const void* from) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

inline __m128i load_quarter(const void* from) {
    return _mm_loadu_si128(static_cast<const __m128i*>(from));
}

inline __m128i fold(__m512i v) {
    const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

inline __m128i fold(__m256i v) {
    return _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

inline std::int32_t sum(__m128i v) {
    v = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(v, _mm_shuffle_epi32(v, 0xb1)));
}

/// The sums of four vectors.
inline __m128i sums(__m128i a, __m128i b, __m128i c, __m128i d) {
    return _mm_hadd_epi32(_mm_hadd_epi32(a, b), _mm_hadd_epi32(c, d));
}

template <std::size_t lines>
inline __m512i dot_lines(const std::uint8_t* a, const std::int8_t* b, std::size_t width) {
    __m512i total = _mm512_setzero_si512();
    for (std::size_t j = 0; j < (lines ? lines * 64 : width); j += 64) {
        total = _mm512_dpbusd_epi32(total, load(a + j), load(b + j));
    }
    return total;
}

std::int32_t dot(const std::uint8_t* a, const std::int8_t* b, std::size_t width) {
    return sum(fold(width == 128 ? dot_lines<2>(a, b, width) : dot_lines<0>(a, b, width)));
}

template <std::size_t lines>
void dots_of(const std::uint8_t* rows, const std::uint32_t* ids, std::size_t count, const std::int8_t* b,
             std::size_t width, std::int32_t* out) {
    constexpr std::size_t ahead = 12;
    std::size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        if (i + ahead + 4 <= count) {
            for (std::size_t n = 0; n < 4; ++n) {
                const std::uint8_t* next = rows + ids[i + ahead + n] * width;
                for (std::size_t j = 0; j < width; j += 64) {
                    _mm_prefetch(reinterpret_cast<const char*>(next + j), _MM_HINT_T0);
                }
            }
        }
        const __m128i s0 = fold(dot_lines<lines>(rows + ids[i] * width, b, width));
        const __m128i s1 = fold(dot_lines<lines>(rows + ids[i + 1] * width, b, width));
        const __m128i s2 = fold(dot_lines<lines>(rows + ids[i + 2] * width, b, width));
        const __m128i s3 = fold(dot_lines<lines>(rows + ids[i + 3] * width, b, width));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), sums(s0, s1, s2, s3));
    }
    for (; i < count; ++i) out[i] = sum(fold(dot_lines<lines>(rows + ids[i] * width, b, width)));
}

void dots(const std::uint8_t* rows, const std::uint32_t* ids, std::size_t count, const std::int8_t* b,
          std::size_t width, std::int32_t* out) {
    switch (width) {
        case 64:
            return dots_of<1>(rows, ids, count, b, width, out);
        case 128:
            return dots_of<2>(rows, ids, count, b, width, out);
        case 192:
            return dots_of<3>(rows, ids, count, b, width, out);
        case 256:
            return dots_of<4>(rows, ids, count, b, width, out);
        default:
            return dots_of<0>(rows, ids, count, b, width, out);
    }
}

void add_rows(const std::uint8_t* rows, const std::uint32_t* ids, std::size_t count, std::size_t width,
              std::int32_t* totals) {
    // 16-bit sums hold 512 codes.
    for (std::size_t first = 0; first < count; first += 512) {
        const std::size_t last = first + 512 < count ? first + 512 : count;
        for (std::size_t j = 0; j < width; j += 64) {
            __m512i low = _mm512_setzero_si512(), high = _mm512_setzero_si512();
            for (std::size_t i = first; i < last; ++i) {
                const std::uint8_t* row = rows + ids[i] * width + j;
                low = _mm512_add_epi16(low, _mm512_cvtepu8_epi16(load_half(row)));
                high = _mm512_add_epi16(high, _mm512_cvtepu8_epi16(load_half(row + 32)));
            }
            const __m256i parts[4] = {_mm512_castsi512_si256(low), _mm512_extracti64x4_epi64(low, 1),
                                      _mm512_castsi512_si256(high), _mm512_extracti64x4_epi64(high, 1)};
            for (std::size_t p = 0; p < 4; ++p) {
                std::int32_t* to = totals + j + 16 * p;
                _mm512_storeu_si512(to, _mm512_add_epi32(load(to), _mm512_cvtepu16_epi32(parts[p])));
            }
        }
    }
}

std::size_t count_below(const std::int32_t* values, std::size_t count, std::int32_t limit) {
    const __m512i limits = _mm512_set1_epi32(limit);
    __m512i negative = _mm512_setzero_si512();
    std::size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        negative =
            _mm512_add_epi32(negative, _mm512_movm_epi32(_mm512_cmplt_epi32_mask(load(values + i), limits)));
    }
    std::size_t below = static_cast<std::size_t>(-sum(fold(negative)));
    for (; i < count; ++i) below += values[i] < limit;
    return below;
}

void split(std::uint32_t* positions, const std::int32_t* values, std::size_t count, std::int32_t limit,
           std::uint32_t* rest) {
    const __m512i limits = _mm512_set1_epi32(limit);
    std::uint32_t* front = positions;
    for (std::size_t i = 0; i < count; i += 16) {
        const std::size_t left = count - i;
        const auto lanes = static_cast<__mmask16>(left >= 16 ? 0xffff : (1u << left) - 1);
        const __m512i some = _mm512_maskz_loadu_epi32(lanes, positions + i);
        const __mmask16 below =
            _mm512_mask_cmplt_epi32_mask(lanes, _mm512_maskz_loadu_epi32(lanes, values + i), limits);
        const auto above = static_cast<__mmask16>(lanes & ~below);
        // The front is never ahead of what was read, so that only what was read is overwritten.
        _mm512_mask_storeu_epi32(front, lanes, _mm512_maskz_compress_epi32(below, some));
        _mm512_storeu_si512(rest, _mm512_maskz_compress_epi32(above, some));
        front += __builtin_popcount(below);
        rest += __builtin_popcount(above);
    }
}

void project(const std::uint8_t* values, std::size_t depth, const std::int8_t* matrix, std::size_t width,
             std::int32_t* out) {
    for (std::size_t w = 0; w < width; w += 64) {
        __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
        for (std::size_t j = 0; j < depth; j += 4) {
            std::int32_t four;
            __builtin_memcpy(&four, values + j, sizeof four);
            const __m512i value = _mm512_set1_epi32(four);
            const std::int8_t* weights = matrix + j * width + 4 * w;
            s0 = _mm512_dpbusd_epi32(s0, value, load(weights));
            s1 = _mm512_dpbusd_epi32(s1, value, load(weights + 64));
            s2 = _mm512_dpbusd_epi32(s2, value, load(weights + 128));
            s3 = _mm512_dpbusd_epi32(s3, value, load(weights + 192));
        }
        _mm512_storeu_si512(out + w, s0);
        _mm512_storeu_si512(out + w + 16, s1);
        _mm512_storeu_si512(out + w + 32, s2);
        _mm512_storeu_si512(out + w + 48, s3);
    }
}

void bough_dots(const std::uint8_t* centres, const std::int8_t* query, std::size_t width, std::int32_t* out) {
    const __m512i nibble = _mm512_set1_epi8(15);
    // Four sums, as each addition waits for the one before it.
    __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
    for (std::size_t j = 0; j < width; j += 16, centres += 128) {
        std::int32_t four[4];
        __builtin_memcpy(four, query + j, sizeof four);
        const __m512i first = load(centres), second = load(centres + 64);
        s0 = _mm512_dpbusd_epi32(s0, _mm512_and_si512(first, nibble), _mm512_set1_epi32(four[0]));
        s1 = _mm512_dpbusd_epi32(s1, _mm512_and_si512(_mm512_srli_epi16(first, 4), nibble),
                                 _mm512_set1_epi32(four[1]));
        s2 = _mm512_dpbusd_epi32(s2, _mm512_and_si512(second, nibble), _mm512_set1_epi32(four[2]));
        s3 = _mm512_dpbusd_epi32(s3, _mm512_and_si512(_mm512_srli_epi16(second, 4), nibble),
                                 _mm512_set1_epi32(four[3]));
    }
    _mm512_storeu_si512(out, _mm512_add_epi32(_mm512_add_epi32(s0, s1), _mm512_add_epi32(s2, s3)));
}

void code_dots(const std::uint8_t* codes, const std::int8_t* query, std::size_t width, std::int32_t* out) {
    __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
    for (std::size_t j = 0; j < width; j += 16, codes += 256) {
        std::int32_t four[4];
        __builtin_memcpy(four, query + j, sizeof four);
        s0 = _mm512_dpbusd_epi32(s0, load(codes), _mm512_set1_epi32(four[0]));
        s1 = _mm512_dpbusd_epi32(s1, load(codes + 64), _mm512_set1_epi32(four[1]));
        s2 = _mm512_dpbusd_epi32(s2, load(codes + 128), _mm512_set1_epi32(four[2]));
        s3 = _mm512_dpbusd_epi32(s3, load(codes + 192), _mm512_set1_epi32(four[3]));
    }
    _mm512_storeu_si512(out, _mm512_add_epi32(_mm512_add_epi32(s0, s1), _mm512_add_epi32(s2, s3)));
}

/// The sums of `blocks` blocks of residuals, whose codes begin at `codes` and are `stride` bytes apart. What
/// is as far from `ahead` is called for.
///
/// Codes are multiplied where they stand in their bytes, which makes sums 1, 4, 16 and 64 times what they
/// should be: one shift for each sum in place of one for each line.
template <std::size_t blocks>
inline void residual_dots(const std::byte* codes, std::size_t stride, const std::int8_t* query,
                          std::size_t width, const std::byte* ahead, __m512i* out) {
    const __m512i masks[4] = {_mm512_set1_epi8(3), _mm512_set1_epi8(12), _mm512_set1_epi8(48),
                              _mm512_set1_epi8(-64)};
    __m512i sums[blocks][4];
    for (auto& one : sums) one[0] = one[1] = one[2] = one[3] = _mm512_setzero_si512();
    for (std::size_t j = 0; j < width; j += residual_step) {
        const __m128i sixteen = load_quarter(query + j);
        const __m512i parts[4] = {_mm512_broadcastd_epi32(sixteen),
                                  _mm512_broadcastd_epi32(_mm_shuffle_epi32(sixteen, 0x55)),
                                  _mm512_broadcastd_epi32(_mm_shuffle_epi32(sixteen, 0xaa)),
                                  _mm512_broadcastd_epi32(_mm_shuffle_epi32(sixteen, 0xff))};
        for (std::size_t b = 0; b < blocks; ++b) {
            const __m512i bytes = load(codes + b * stride + 4 * j);
            _mm_prefetch(reinterpret_cast<const char*>(ahead + b * stride + 4 * j), _MM_HINT_T1);
            for (std::size_t p = 0; p < 4; ++p) {
                sums[b][p] = _mm512_dpbusd_epi32(sums[b][p], _mm512_and_si512(bytes, masks[p]), parts[p]);
            }
        }
    }
    for (std::size_t b = 0; b < blocks; ++b) {
        out[b] = _mm512_add_epi32(
            _mm512_add_epi32(sums[b][0], _mm512_srai_epi32(sums[b][1], 2)),
            _mm512_add_epi32(_mm512_srai_epi32(sums[b][2], 4), _mm512_srai_epi32(sums[b][3], 6)));
    }
}

std::size_t scan_residuals(const std::byte* blocks, std::size_t count, const std::int8_t* query,
                           std::size_t width, float base, float factor, float limit, const std::byte* ahead,
                           std::uint32_t* ids, float* estimates) {
    const std::size_t bytes = residual_block_bytes(width);
    const __m512 bases = _mm512_set1_ps(base), factors = _mm512_set1_ps(factor);
    const __m512 limits = _mm512_set1_ps(limit);
    std::size_t found = 0;
    for (std::size_t block = 0; block < count;) {
        __m512i dots[4];
        const std::size_t some = count - block >= 4 ? 4 : 1;
        if (some == 4) {
            residual_dots<4>(blocks + residual_codes, bytes, query, width, ahead + residual_codes, dots);
        } else {
            residual_dots<1>(blocks + residual_codes, bytes, query, width, ahead + residual_codes, dots);
        }
        for (std::size_t b = 0; b < some; ++b, blocks += bytes, ahead += bytes) {
            _mm_prefetch(reinterpret_cast<const char*>(ahead), _MM_HINT_T1);
            _mm_prefetch(reinterpret_cast<const char*>(ahead + residual_terms), _MM_HINT_T1);
            const __m512 terms = _mm512_loadu_ps(reinterpret_cast<const float*>(blocks + residual_terms));
            const __m512 sums = _mm512_add_ps(
                bases, _mm512_sub_ps(terms, _mm512_mul_ps(factors, _mm512_cvtepi32_ps(dots[b]))));
            const __mmask16 below = _mm512_cmp_ps_mask(sums, limits, _CMP_LT_OQ);
            if (below == 0) continue;
            // Storing a compressed register whole is quicker than a compressing store, and there is room.
            _mm512_storeu_ps(estimates + found, _mm512_maskz_compress_ps(below, sums));
            _mm512_storeu_si512(ids + found, _mm512_maskz_compress_epi32(below, load(blocks)));
            found += static_cast<std::size_t>(__builtin_popcount(below));
        }
        block += some;
    }
    return found;
}

Residual residual(const std::uint8_t* row, const std::uint8_t* centre, std::size_t width,
                  std::uint8_t* bits) {
    const __m512i middle = _mm512_set1_epi8(64), one = _mm512_set1_epi8(1);
    __m512i l1 = _mm512_setzero_si512(), squares = l1, signs = l1;
    for (std::size_t j = 0; j < width; j += 64) {
        const __m512i x = load(row + j), c = load(centre + j);
        const __mmask64 up = _mm512_cmpge_epu8_mask(x, c);
        const __m512i difference = _mm512_abs_epi8(_mm512_sub_epi8(x, c));
        __builtin_memcpy(bits + j / 8, &up, sizeof up);
        l1 = _mm512_add_epi64(l1, _mm512_sad_epu8(x, c));
        squares = _mm512_dpbusd_epi32(squares, difference, difference);
        const __m512i from_middle = _mm512_sub_epi8(c, middle);
        const __m512i negated = _mm512_sub_epi8(middle, c);
        signs = _mm512_dpbusd_epi32(signs, one, _mm512_mask_blend_epi8(up, negated, from_middle));
    }
    return {static_cast<std::int32_t>(_mm512_reduce_add_epi64(l1)), sum(fold(squares)), sum(fold(signs))};
}

// Two rows of bits are looked up at once. The low half of a register is the first, the high half the second;
// a table stands in both quarters of a half.
void lay_out_tables(const std::uint8_t* tables, std::size_t width, std::uint8_t* out) {
    for (std::size_t first = 0; first < width / 4; first += 4, tables += 64, out += 128) {
        for (std::size_t nibble = 0; nibble < 2; ++nibble) {
            const __m256i upper = _mm256_broadcastsi128_si256(load_quarter(tables + 16 * nibble));
            const __m256i lower = _mm256_broadcastsi128_si256(load_quarter(tables + 32 + 16 * nibble));
            _mm512_storeu_si512(out + 64 * nibble,
                                _mm512_inserti64x4(_mm512_castsi256_si512(upper), lower, 1));
        }
    }
}

inline __m512 from_bfloat16(const std::byte* from) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load_half(from)), 16));
}

std::size_t scan(const std::byte* blocks, std::size_t count, const std::uint8_t* tables, std::size_t width,
                 std::int32_t offset, float base, float limit, std::uint32_t* ids, float* estimates) {
    const __m512i nibble = _mm512_set1_epi8(15), low_byte = _mm512_set1_epi16(255);
    const __m512i offsets = _mm512_set1_epi32(offset);
    const __m512 bases = _mm512_set1_ps(base), limits = _mm512_set1_ps(limit);
    std::size_t found = 0;
    for (std::size_t block = 0; block < count; ++block, blocks += block_bytes(width)) {
        const std::byte* bits = blocks + block_bits;
        const std::uint8_t* table = tables;
        __m512i even = _mm512_setzero_si512(), odd = even;
        for (std::size_t r = 0; r < width / 8; r += 2, bits += 64, table += 128) {
            const __m512i bytes = load(bits);
            const __m512i low = _mm512_shuffle_epi8(load(table), _mm512_and_si512(bytes, nibble));
            const __m512i high =
                _mm512_shuffle_epi8(load(table + 64), _mm512_and_si512(_mm512_srli_epi16(bytes, 4), nibble));
            const __m512i both = _mm512_add_epi8(low, high);
            even = _mm512_add_epi16(even, _mm512_and_si512(both, low_byte));
            odd = _mm512_add_epi16(odd, _mm512_srli_epi16(both, 8));
        }
        const __m512i halves[2] = {even, odd};
        for (std::size_t half = 0; half < 2; ++half) {
            const __m256i narrow = _mm256_add_epi16(_mm512_castsi512_si256(halves[half]),
                                                    _mm512_extracti64x4_epi64(halves[half], 1));
            const __m512 total = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_cvtepu16_epi32(narrow), offsets));
            const __m512 term = from_bfloat16(blocks + block_terms + 32 * half);
            const __m512 factor = from_bfloat16(blocks + block_factors + 32 * half);
            const __m512 estimate = _mm512_add_ps(bases, _mm512_sub_ps(term, _mm512_mul_ps(factor, total)));
            const __mmask16 passing = _mm512_cmp_ps_mask(estimate, limits, _CMP_LT_OQ);
            if (passing == 0) continue;
            const __m512i rows = load(blocks + 64 * half);
            const auto kept = static_cast<std::size_t>(__builtin_popcount(passing));
            // Storing a compressed register whole is quicker than a compressing store, and there is room.
            _mm512_storeu_si512(ids + found, _mm512_maskz_compress_epi32(passing, rows));
            _mm512_storeu_ps(estimates + found, _mm512_maskz_compress_ps(passing, estimate));
            found += kept;
        }
    }
    return found;
}

inline __m256i score_one(const std::uint8_t* code, const std::int8_t* query, std::size_t width) {
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i total = _mm256_setzero_si256();
    for (std::size_t first = 0; first < width; first += 64) {
        const __m256i bytes = load_half(code + first / 2);
        total = _mm256_dpbusd_epi32(total, _mm256_and_si256(bytes, nibble), load_half(query + first));
        total = _mm256_dpbusd_epi32(total, _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble),
                                    load_half(query + first + 32));
    }
    return total;
}

void score(const std::uint8_t* codes, const std::uint32_t* ids, std::size_t count, const std::int8_t* query,
           std::size_t width, std::int32_t* out) {
    const std::size_t bytes = width / 2;
    std::size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        const __m128i s0 = fold(score_one(codes + ids[i] * bytes, query, width));
        const __m128i s1 = fold(score_one(codes + ids[i + 1] * bytes, query, width));
        const __m128i s2 = fold(score_one(codes + ids[i + 2] * bytes, query, width));
        const __m128i s3 = fold(score_one(codes + ids[i + 3] * bytes, query, width));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), sums(s0, s1, s2, s3));
    }
    for (; i < count; ++i) out[i] = sum(fold(score_one(codes + ids[i] * bytes, query, width)));
}

/// The sums of four vectors, each of one row.
template <class Row>
inline void four_at_a_time(std::size_t count, std::int32_t* out, Row row) {
    std::size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        // Added before they are folded: fewer steps than to fold each.
        const __m512i a = row(i), b = row(i + 1), c = row(i + 2), d = row(i + 3);
        const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        const __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), fold(all));
    }
    for (; i < count; ++i) out[i] = sum(fold(row(i)));
}

template <std::size_t lines>
void code_squares_of(const std::uint8_t* rows, const std::uint32_t* ids, std::size_t count,
                     const std::uint8_t* row, std::size_t width, std::int32_t* out) {
    four_at_a_time(count, out, [=](std::size_t i) __attribute__((always_inline)) {
        const std::uint8_t* const other = rows + ids[i] * width;
        __m512i total = _mm512_setzero_si512();
        for (std::size_t j = 0; j < (lines ? lines * 64 : width); j += 64) {
            const __m512i difference = _mm512_abs_epi8(_mm512_sub_epi8(load(other + j), load(row + j)));
            total = _mm512_dpbusd_epi32(total, difference, difference);
        }
        return total;
    });
}

void code_squares(const std::uint8_t* rows, const std::uint32_t* ids, std::size_t count,
                  const std::uint8_t* row, std::size_t width, std::int32_t* out) {
    switch (width) {
        case 128:
            return code_squares_of<2>(rows, ids, count, row, width, out);
        case 256:
            return code_squares_of<4>(rows, ids, count, row, width, out);
        default:
            return code_squares_of<0>(rows, ids, count, row, width, out);
    }
}

template <std::size_t lines>
void short_code_squares_of(const std::uint8_t* codes, const std::uint32_t* ids, std::size_t count,
                           const std::int8_t* query, std::size_t width, std::int32_t* out) {
    const __m512i values = _mm512_set1_epi8(0x78);
    four_at_a_time(count, out, [=](std::size_t i) __attribute__((always_inline)) {
        const std::uint8_t* const code = codes + ids[i] * (width / 2);
        __m512i even = _mm512_setzero_si512(), odd = even;
        for (std::size_t line = 0; line < (lines ? lines : width / 128); ++line) {
            const __m512i both = load(code + 64 * line);
            __m512i low = _mm512_and_si512(_mm512_slli_epi16(both, 3), values);
            __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 1), values);
            low = _mm512_abs_epi8(_mm512_sub_epi8(low, load(query + 128 * line)));
            high = _mm512_abs_epi8(_mm512_sub_epi8(high, load(query + 128 * line + 64)));
            even = _mm512_dpbusd_epi32(even, low, low);
            odd = _mm512_dpbusd_epi32(odd, high, high);
        }
        return _mm512_add_epi32(even, odd);
    });
}

void short_code_squares(const std::uint8_t* codes, const std::uint32_t* ids, std::size_t count,
                        const std::int8_t* query, std::size_t width, std::int32_t* out) {
    switch (width) {
        case 128:
            return short_code_squares_of<1>(codes, ids, count, query, width, out);
        case 256:
            return short_code_squares_of<2>(codes, ids, count, query, width, out);
        default:
            return short_code_squares_of<0>(codes, ids, count, query, width, out);
    }
}

/// Puts one key into its place among the `size` of a pool, and moves those behind it, up to `end`.
inline std::size_t insert(std::uint64_t* pool, std::size_t size, std::size_t end, std::uint64_t key) {
    const __m512i keys = _mm512_set1_epi64(static_cast<long long>(key));
    std::size_t place = 0;
    for (std::size_t i = 0; i < size; i += 8) {
        const std::size_t left = size - i;
        const auto lanes = static_cast<__mmask8>(left >= 8 ? 0xff : (1u << left) - 1);
        const __mmask8 smaller = _mm512_mask_cmplt_epu64_mask(lanes, load(pool + i), keys);
        place += static_cast<std::size_t>(__builtin_popcount(smaller));
        if (smaller != 0xff) break;
    }
    std::size_t i = end;
    for (; i >= place + 8; i -= 8) _mm512_storeu_si512(pool + i - 7, load(pool + i - 8));
    if (i > place) {
        const auto lanes = static_cast<__mmask8>((1u << (i - place)) - 1);
        _mm512_mask_storeu_epi64(pool + place + 1, lanes, _mm512_maskz_loadu_epi64(lanes, pool + place));
    }
    pool[place] = key;
    return place;
}

std::size_t admit(std::uint64_t* pool, std::size_t size, std::size_t capacity, const std::uint32_t* ids,
                  const std::int32_t* distances, std::size_t count, std::uint32_t limit,
                  std::size_t* lowest) {
    for (std::size_t i = 0; i < count; i += 16) {
        const std::size_t left = count - i;
        const auto lanes = static_cast<__mmask16>(left >= 16 ? 0xffff : (1u << left) - 1);
        // Those no nearer than the last of a full pool are most of all.
        const auto last = size == capacity ? static_cast<std::uint32_t>(pool[size - 1] >> 32) : limit;
        const __m512i bound = _mm512_set1_epi32(static_cast<int>(std::min(last, limit)));
        const __mmask16 near =
            _mm512_mask_cmple_epu32_mask(lanes, _mm512_maskz_loadu_epi32(lanes, distances + i), bound);
        for (unsigned rest = near; rest != 0; rest &= rest - 1) {
            const std::size_t at = i + static_cast<std::size_t>(__builtin_ctz(rest));
            const std::uint64_t key =
                std::uint64_t{static_cast<std::uint32_t>(distances[at])} << 32 | std::uint64_t{ids[at]} << 1;
            if (size == capacity && key >= pool[size - 1]) continue;
            const std::size_t end = size < capacity ? size : size - 1;
            const std::size_t place = insert(pool, size, end, key);
            size = end + 1;
            if (place < *lowest) *lowest = place;
        }
    }
    return size;
}

/// Lane i of 32 adds what stands at i, i + 32, ..; then 16 and 16 lanes are added, 8 and 8, and so on.
template <class Term>
inline float sum_f32(std::size_t count, Term term) {
    __m512 first = _mm512_setzero_ps(), second = first;
    std::size_t i = 0;
    for (; i + 32 <= count; i += 32) {
        first = _mm512_add_ps(first, term(i, 0xffff));
        second = _mm512_add_ps(second, term(i + 16, 0xffff));
    }
    if (i + 16 <= count) {
        first = _mm512_add_ps(first, term(i, 0xffff));
        i += 16;
        if (i < count)
            second = _mm512_add_ps(second, term(i, static_cast<__mmask16>((1u << (count - i)) - 1)));
    } else if (i < count) {
        first = _mm512_add_ps(first, term(i, static_cast<__mmask16>((1u << (count - i)) - 1)));
    }
    first = _mm512_add_ps(first, second);
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(first), _mm512_extractf32x8_ps(first, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

/// Sixteen values of a row as floats, zeros where `lanes` are not set.
struct Floats {
    static __m512 load(const void* row, std::size_t i, __mmask16 lanes) {
        return _mm512_maskz_loadu_ps(lanes, static_cast<const float*>(row) + i);
    }
};

struct Halves {
    static __m512 load(const void* row, std::size_t i, __mmask16 lanes) {
        return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, static_cast<const std::uint16_t*>(row) + i));
    }
};

struct SignedBytes {
    static __m512 load(const void* row, std::size_t i, __mmask16 lanes) {
        const __m128i values = _mm_maskz_loadu_epi8(lanes, static_cast<const std::int8_t*>(row) + i);
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(values));
    }
};

struct UnsignedBytes {
    static __m512 load(const void* row, std::size_t i, __mmask16 lanes) {
        const __m128i values = _mm_maskz_loadu_epi8(lanes, static_cast<const std::uint8_t*>(row) + i);
        return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(values));
    }
};

template <class T>
float dot_with(const float* a, const void* b, std::size_t count) {
    return sum_f32(count, [=](std::size_t i, __mmask16 lanes) __attribute__((always_inline)) {
        return _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, a + i), T::load(b, i, lanes));
    });
}

template <class T>
float squared_l2_with(const float* a, const void* b, std::size_t count) {
    return sum_f32(count, [=](std::size_t i, __mmask16 lanes) __attribute__((always_inline)) {
        const __m512 difference = _mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, a + i), T::load(b, i, lanes));
        return _mm512_mul_ps(difference, difference);
    });
}

template <class T>
float scaled_squared_l2_with(const float* a, const void* b, float scale, std::size_t count) {
    const __m512 scales = _mm512_set1_ps(scale);
    return sum_f32(count, [=](std::size_t i, __mmask16 lanes) __attribute__((always_inline)) {
        const __m512 difference =
            _mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, a + i), _mm512_mul_ps(scales, T::load(b, i, lanes)));
        return _mm512_mul_ps(difference, difference);
    });
}

template <class T>
float l1_with(const float* a, const void* b, std::size_t count) {
    return sum_f32(count, [=](std::size_t i, __mmask16 lanes) __attribute__((always_inline)) {
        return _mm512_abs_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, a + i), T::load(b, i, lanes)));
    });
}

template <class T>
constexpr RowKernels row_kernels = {dot_with<T>, squared_l2_with<T>, scaled_squared_l2_with<T>, l1_with<T>};

/// Up to 32 bytes in 16 bits each, zeros where `lanes` are not set.
template <class T>
inline __m512i widen(const T* from, __mmask32 lanes) {
    const __m256i bytes = _mm256_maskz_loadu_epi8(lanes, from);
    return std::is_signed_v<T> ? _mm512_cvtepi8_epi16(bytes) : _mm512_cvtepu8_epi16(bytes);
}

/// The sum over pairs of bytes: pair(total, x, y) adds that of 32 of them.
template <class T, class Pair>
inline std::uint32_t sum_bytes(const void* a, const void* b, std::size_t count, Pair pair) {
    const auto *x = static_cast<const T*>(a), *y = static_cast<const T*>(b);
    constexpr __mmask32 all = 0xffff'ffff;
    __m512i even = _mm512_setzero_si512(), odd = even;
    std::size_t i = 0;
    for (; i + 64 <= count; i += 64) {
        even = pair(even, widen(x + i, all), widen(y + i, all));
        odd = pair(odd, widen(x + i + 32, all), widen(y + i + 32, all));
    }
    for (; i < count; i += 32) {
        const __mmask32 lanes = count - i >= 32 ? all : (__mmask32{1} << (count - i)) - 1;
        even = pair(even, widen(x + i, lanes), widen(y + i, lanes));
    }
    return static_cast<std::uint32_t>(_mm512_reduce_add_epi32(_mm512_add_epi32(even, odd)));
}

template <class T>
std::int64_t byte_dot(const void* a, const void* b, std::size_t count) {
    using Sum = std::conditional_t<std::is_signed_v<T>, std::int32_t, std::uint32_t>;
    return static_cast<Sum>(sum_bytes<T>(
        a, b, count, [](__m512i total, __m512i x, __m512i y) { return _mm512_dpwssd_epi32(total, x, y); }));
}

template <class T>
std::int64_t byte_squared_l2(const void* a, const void* b, std::size_t count) {
    return sum_bytes<T>(a, b, count, [](__m512i total, __m512i x, __m512i y) {
        const __m512i difference = _mm512_sub_epi16(x, y);
        return _mm512_dpwssd_epi32(total, difference, difference);
    });
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
    const __m512 factor = _mm512_set1_ps(a);
    for (std::size_t i = 0; i < count; i += 16) {
        const std::size_t left = count - i;
        const auto lanes = static_cast<__mmask16>(left >= 16 ? 0xffff : (1u << left) - 1);
        const __m512 product = _mm512_mul_ps(factor, _mm512_maskz_loadu_ps(lanes, b + i));
        _mm512_mask_storeu_ps(out + i, lanes, _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, out + i), product));
    }
}

}  // namespace

const Kernels detail::avx512_kernels = {
    Isa::avx512,
    dot,
    dots,
    add_rows,
    count_below,
    split,
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
    admit,
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
