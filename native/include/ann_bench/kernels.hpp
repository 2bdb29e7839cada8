#pragma once
// The inner loops, written once for each instruction set and chosen when the program starts.
//
// All instruction sets compute the same: integers are exact, floats are added in one fixed order over `lanes`
// lanes without contraction. So an index, and an answer, do not depend on the machine.

#include <cstddef>
#include <cstdint>
#include <span>

namespace ann_bench {

enum class Isa { portable, avx2, avx512 };

/// Codes hold this many dimensions, or a multiple of it.
inline constexpr std::size_t code_step = 64;

/// Entries of a block of sketches.
inline constexpr std::size_t block_entries = 32;

/// Bytes of a block of sketches: row numbers (u32), terms and factors (bfloat16 each), then a bit for every
/// dimension and entry, byte b of entry e at b * 32 + block_lane(e).
constexpr std::size_t block_bytes(std::size_t width) {
    return block_entries * (sizeof(std::uint32_t) + 2 * sizeof(std::uint16_t)) + block_entries / 8 * width;
}
constexpr std::size_t block_terms = block_entries * sizeof(std::uint32_t);
constexpr std::size_t block_factors = block_terms + block_entries * sizeof(std::uint16_t);
constexpr std::size_t block_bits = block_factors + block_entries * sizeof(std::uint16_t);

/// Even bytes of a row of bits are the first 16 entries, odd ones the rest: sums of bytes then widen to 16
/// bits with a mask and a shift.
constexpr std::size_t block_lane(std::size_t entry) {
    return entry < block_entries / 2 ? 2 * entry : 2 * (entry - block_entries / 2) + 1;
}

/// Room for what `Kernels::scan` writes for one block.
inline constexpr std::size_t scan_room = block_entries + 16;

/// Room that `Kernels::split` needs beyond what it moves.
inline constexpr std::size_t split_room = 16;

/// Bytes that `Kernels::lay_out_tables` writes for `width` dimensions.
constexpr std::size_t table_bytes(std::size_t width) {
    return width / 4 * 32;
}

/// Codes of residuals hold this many dimensions, or a multiple of it.
inline constexpr std::size_t residual_step = 16;

/// Bytes of a block of residuals: sixteen row numbers (u32) and terms (f32), then 2 bits for every dimension
/// and entry, 16 dimensions at a time: bits 2 p and 2 p + 1 of byte 4 i + t of each 64 are dimension 4 p + t
/// of entry i.
constexpr std::size_t residual_terms = 16 * sizeof(std::uint32_t);
constexpr std::size_t residual_codes = residual_terms + 16 * sizeof(float);
constexpr std::size_t residual_block_bytes(std::size_t width) {
    return residual_codes + 4 * width;
}

/// What the values of a row are. The numbers are part of the file format.
enum class RowType : std::uint32_t { f32 = 0, f16 = 1, i8 = 2, u8 = 3, bits = 4 };

/// Sums over a vector and a row of `count` values, as floats. A row may be read to the next multiple of 16
/// bytes.
struct RowKernels {
    float (*dot)(const float* vector, const void* row, std::size_t count);
    float (*squared_l2)(const float* vector, const void* row, std::size_t count);
    /// Of the vector and scale * row.
    float (*scaled_squared_l2)(const float* vector, const void* row, float scale, std::size_t count);
    float (*l1)(const float* vector, const void* row, std::size_t count);
};

/// Exact sums over two vectors of `count` <= 65535 bytes, signed or not.
struct ByteKernels {
    std::int64_t (*dot)(const void* a, const void* b, std::size_t count);
    std::int64_t (*squared_l2)(const void* a, const void* b, std::size_t count);
};

/// Keys of a walk through a graph beyond those that it has, which may be overwritten.
inline constexpr std::size_t pool_room = 16;

/// What no distance of codes is beyond.
inline constexpr std::uint32_t no_limit = 0xffff'ffff;

/// The key of a vertex: nearer ones are smaller; the lowest bit tells whether the walk was there.
constexpr std::uint64_t vertex_key(std::uint32_t distance, std::uint32_t vertex) {
    return std::uint64_t{distance} << 32 | std::uint64_t{vertex} << 1;
}
constexpr std::uint32_t vertex_of(std::uint64_t key) {
    return static_cast<std::uint32_t>(key) >> 1;
}

/// How a row of codes differs from a centre.
struct Residual {
    std::int32_t l1;            ///< sum of |difference|
    std::int32_t squared_l2;    ///< sum of its squares
    std::int32_t centre_signs;  ///< sum of (centre - 64) with the sign of the difference
};

/// `width` is a multiple of code_step wherever nothing else is told. Unsigned codes are 0..127, signed ones
/// -127..127; that is what AVX2 can multiply without saturation.
struct Kernels {
    Isa isa;

    std::int32_t (*dot)(const std::uint8_t* a, const std::int8_t* b, std::size_t width);

    /// out[i] = dot(rows + ids[i] * width, b) for i < count.
    void (*dots)(const std::uint8_t* rows, const std::uint32_t* ids, std::size_t count, const std::int8_t* b,
                 std::size_t width, std::int32_t* out);

    /// sums[j] += rows[ids[i] * width + j] for i < count.
    void (*add_rows)(const std::uint8_t* rows, const std::uint32_t* ids, std::size_t count, std::size_t width,
                     std::int32_t* sums);

    /// How many of the values are smaller than `limit`.
    std::size_t (*count_below)(const std::int32_t* values, std::size_t count, std::int32_t limit);

    /// Moves the positions whose value is below `limit` to the front and the others to `rest`, which has room
    /// for all and split_room more; both keep their order.
    void (*split)(std::uint32_t* positions, const std::int32_t* values, std::size_t count, std::int32_t limit,
                  std::uint32_t* rest);

    /// out[w] = sum over j < depth of values[j] * matrix[j / 4][w][j % 4]; depth is a multiple of 4.
    void (*project)(const std::uint8_t* values, std::size_t depth, const std::int8_t* matrix,
                    std::size_t width, std::int32_t* out);

    /// out[i] = dot of the 4-bit centre i < 16 with `query`. Centres stand side by side, 8 dimensions at a
    /// time: byte 4 i + t of each 64 holds dimension t of its 8 in the low half, and 4 + t in the high half.
    void (*bough_dots)(const std::uint8_t* centres, const std::int8_t* query, std::size_t width,
                       std::int32_t* out);

    /// out[i] = dot of code i < 16 with `query`; `width` is a multiple of residual_step. Codes stand side by
    /// side, 4 dimensions at a time: byte 4 i + t of each 64 is dimension t of its 4.
    void (*code_dots)(const std::uint8_t* codes, const std::int8_t* query, std::size_t width,
                      std::int32_t* out);

    /// Writes the row numbers and estimates of the entries of blocks of residuals whose estimate is below
    /// `limit`, in the order of the entries, and returns how many those are. An entry's estimate is
    ///   base + (term - factor * dot of its code with `query`);
    /// `width` is a multiple of residual_step. As many bytes as are read are called for at `ahead`, which
    /// need not be there. `ids` and `estimates` have room for all entries, and 16 more.
    std::size_t (*scan_residuals)(const std::byte* blocks, std::size_t count, const std::int8_t* query,
                                  std::size_t width, float base, float factor, float limit,
                                  const std::byte* ahead, std::uint32_t* ids, float* estimates);

    /// Bit j of `bits` tells whether row[j] >= centre[j].
    Residual (*residual)(const std::uint8_t* row, const std::uint8_t* centre, std::size_t width,
                         std::uint8_t* bits);

    /// Prepares `width` / 4 tables of 16 bytes, each at most 127, for `scan`.
    void (*lay_out_tables)(const std::uint8_t* tables, std::size_t width, std::uint8_t* out);

    /// Writes the row numbers and estimates of the entries whose estimate is below `limit`, in the order of
    /// the entries, and returns how many those are. An entry's estimate is
    ///   base + (term - factor * (sum of its tables' values - offset)).
    /// `ids` and `estimates` have room for all entries of the blocks, and 16 more.
    std::size_t (*scan)(const std::byte* blocks, std::size_t count, const std::uint8_t* tables,
                        std::size_t width, std::int32_t offset, float base, float limit, std::uint32_t* ids,
                        float* estimates);

    /// out[i] = dot of the 4-bit code of row ids[i] with `query`. Codes have width / 2 bytes; byte t < 32 of
    /// each 32 holds dimension t of its 64 in the low half, and 32 + t in the high half.
    void (*score)(const std::uint8_t* codes, const std::uint32_t* ids, std::size_t count,
                  const std::int8_t* query, std::size_t width, std::int32_t* out);

    /// out[i] = sum of (rows[ids[i] * width + j] - row[j])^2 over j < width, of unsigned codes.
    void (*code_squares)(const std::uint8_t* rows, const std::uint32_t* ids, std::size_t count,
                         const std::uint8_t* row, std::size_t width, std::int32_t* out);

    /// out[i] = sum of (8 * code - query[j])^2 over the 4-bit code of vertex ids[i]; -7 <= query[j] <= 123.
    /// `width` is a multiple of 128; byte t < 64 of each 64 holds dimension t of its 128 in the low half, and
    /// 64 + t in the high half.
    void (*short_code_squares)(const std::uint8_t* codes, const std::uint32_t* ids, std::size_t count,
                               const std::int8_t* query, std::size_t width, std::int32_t* out);

    /// Puts those of the vertices `ids` that are no farther than `limit` into a pool: the `capacity` smallest
    /// keys in order, of which there are `size` so far, and pool_room more. Returns how many there are then;
    /// `lowest` becomes the lowest place that changed, if that is lower than it was.
    std::size_t (*admit)(std::uint64_t* pool, std::size_t size, std::size_t capacity,
                         const std::uint32_t* ids, const std::int32_t* distances, std::size_t count,
                         std::uint32_t limit, std::size_t* lowest);

    /// For rows of each type but bits, by its number.
    RowKernels rows[4];

    ByteKernels signed_bytes, unsigned_bytes;

    // Over floats of any number, at any address.
    float (*dot_f32)(const float* a, const float* b, std::size_t count);
    float (*squared_l2_f32)(const float* a, const float* b, std::size_t count);
    /// Of a and scale * b.
    float (*scaled_squared_l2_f32)(const float* a, const float* b, float scale, std::size_t count);
    float (*l1_f32)(const float* a, const float* b, std::size_t count);
    /// out[i] += a * b[i].
    void (*add_scaled_f32)(float* out, const float* b, float a, std::size_t count);
};

/// The fastest kernels that this processor runs, or those that the environment variable ANN_BENCH_ISA names
/// (portable, avx2 or avx512). Throws std::runtime_error if it names something else, or more than the
/// processor has.
const Kernels& kernels();

/// What this build and this processor can run, portable first.
std::span<const Kernels* const> available_kernels();

const char* name_of(Isa isa);

namespace detail {
// In plain C++, what AVX2 has nothing for.
std::size_t admit_portable(std::uint64_t* pool, std::size_t size, std::size_t capacity,
                           const std::uint32_t* ids, const std::int32_t* distances, std::size_t count,
                           std::uint32_t limit, std::size_t* lowest);
void split_portable(std::uint32_t* positions, const std::int32_t* values, std::size_t count,
                    std::int32_t limit, std::uint32_t* rest);

extern const Kernels portable_kernels;
#if defined(__x86_64__)
extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;
#endif
}  // namespace detail

}  // namespace ann_bench
