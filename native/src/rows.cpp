#include "ann_bench/rows.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>

#include "ann_bench/parallel.hpp"
#include "ann_bench/projection.hpp"

namespace ann_bench {
namespace {

constexpr std::uint64_t most_rows = (std::uint64_t{1} << 31) - 1;
constexpr std::size_t rows_per_task = 1024;
constexpr std::uint32_t rows_section = section_type("rows");
constexpr std::uint32_t norms_section = section_type("norm");

/// The half that is this number, if there is one.
std::optional<std::uint16_t> to_half(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = bits >> 16 & 0x8000u, fraction = bits & 0x7f'ffffu;
    const int exponent = static_cast<int>(bits >> 23 & 255) - 127;
    if ((bits & 0x7fff'ffffu) == 0) return static_cast<std::uint16_t>(sign);
    if (exponent > 15 || exponent < -24) return std::nullopt;
    const bool normal = exponent >= -14;
    const std::uint32_t digits = normal ? fraction : fraction | 0x80'0000u;
    const int lost = normal ? 13 : 13 + (-14 - exponent);
    if ((digits & ((1u << lost) - 1)) != 0) return std::nullopt;
    const std::uint32_t biased = normal ? static_cast<std::uint32_t>(exponent + 15) << 10 : 0;
    return static_cast<std::uint16_t>(sign | biased | digits >> lost);
}

/// Which types hold a number exactly: a bit for each, by its number.
std::uint32_t types_for(float value) {
    std::uint32_t types = 1u << static_cast<int>(RowType::f32);
    if (value >= 0 && value <= 255 && value == std::nearbyint(value))
        types |= 1u << static_cast<int>(RowType::u8);
    if (value >= -128 && value <= 127 && value == std::nearbyint(value)) {
        types |= 1u << static_cast<int>(RowType::i8);
    }
    if (to_half(value)) types |= 1u << static_cast<int>(RowType::f16);
    return types;
}

void write_row(const float* values, std::uint32_t dimension, RowType type, std::byte* to) {
    switch (type) {
        case RowType::f16:
            for (std::uint32_t i = 0; i < dimension; ++i) {
                reinterpret_cast<std::uint16_t*>(to)[i] = *to_half(values[i]);
            }
            return;
        case RowType::i8:
            for (std::uint32_t i = 0; i < dimension; ++i) {
                reinterpret_cast<std::int8_t*>(to)[i] = static_cast<std::int8_t>(values[i]);
            }
            return;
        case RowType::u8:
            for (std::uint32_t i = 0; i < dimension; ++i) {
                reinterpret_cast<std::uint8_t*>(to)[i] = static_cast<std::uint8_t>(values[i]);
            }
            return;
        default:
            std::memcpy(to, values, dimension * sizeof(float));
    }
}

}  // namespace

void RowsView::read(std::uint64_t number, float* to) const {
    const std::byte* const from = row(number);
    const std::uint32_t dimension = shape.dimension;
    switch (type) {
        case RowType::bits: {
            const auto* bits = reinterpret_cast<const std::uint8_t*>(from);
            for (std::uint32_t i = 0; i < dimension; ++i)
                to[i] = static_cast<float>(bits[i / 8] >> i % 8 & 1);
            return;
        }
        case RowType::f16:
            std::transform(reinterpret_cast<const Half*>(from),
                           reinterpret_cast<const Half*>(from) + dimension, to, to_float);
            return;
        case RowType::i8:
            std::copy_n(reinterpret_cast<const std::int8_t*>(from), dimension, to);
            return;
        case RowType::u8:
            std::copy_n(reinterpret_cast<const std::uint8_t*>(from), dimension, to);
            return;
        default:
            std::memcpy(to, from, dimension * sizeof(float));
    }
}

std::vector<Part> RowsView::parts() const {
    std::vector<Part> parts = {{rows_section, stride(), {bytes, shape.rows * stride()}}};
    if (shape.distance == Distance::angular) {
        parts.push_back({norms_section, sizeof(float), std::as_bytes(std::span(inverse_norms, shape.rows))});
    }
    return parts;
}

RowsView RowsView::open(const SectionFile& file, const Shape& shape, RowType type) {
    const auto require = [&](bool holds, const char* what) {
        if (!holds) throw DamagedIndex(file.path() + ": header: " + what + " out of range");
    };
    const auto [distance, dimension, count] = shape;
    require(static_cast<std::size_t>(distance) < distance_names.size(), "distance");
    require(dimension >= 1 && dimension <= max_dimension, "dimension");
    require(count >= 1 && count <= most_rows, "rows");
    require(type <= RowType::bits && (type == RowType::bits) == (distance == Distance::hamming),
            "type of rows");
    RowsView rows{shape, type, nullptr, nullptr};
    rows.bytes = file.section(rows_section, rows.stride(), count).data();
    if (distance == Distance::angular) rows.inverse_norms = file.section<float>(norms_section, count).data();
    file.expect_random_reads(rows_section);
    return rows;
}

OwnedRows::OwnedRows(const Vectors& vectors, const Shape& shape, unsigned threads) : shape_(shape) {
    const auto [distance, dimension, count] = shape;
    if (count < 1 || count > most_rows) {
        throw std::invalid_argument("train: an index needs 1 to 2^31 - 1 rows");
    }
    if (dimension < 1 || dimension > max_dimension) {
        throw std::invalid_argument("train: rows have 1 to 65535 dimensions");
    }
    check_vectors(vectors, count, dimension, distance);
    const bool bits = distance == Distance::hamming;
    const std::uint32_t length = dimension;
    const std::uint64_t rows = count;
    const auto for_rows = [&](auto body) {
        parallel_for((rows + rows_per_task - 1) / rows_per_task, threads, [&](std::size_t task) {
            std::vector<float> values(bits ? 0 : length);
            const std::size_t last = std::min<std::size_t>(rows, (task + 1) * rows_per_task);
            for (std::size_t i = task * rows_per_task; i < last; ++i) body(i, values.data());
        });
    };
    std::atomic<std::uint32_t> types = ~0u;
    if (bits) {
        type_ = RowType::bits;
    } else {
        for_rows([&](std::size_t i, float* values) {
            if (!read_floats(vectors, i, length, values)) {
                throw std::invalid_argument("train: row " + std::to_string(i) +
                                            " holds NaN or infinity; every value must be finite as float32");
            }
            std::uint32_t own = types.load(std::memory_order_relaxed);
            if (own == 1u << static_cast<int>(RowType::f32)) return;
            for (std::uint32_t d = 0; d < length; ++d) own &= types_for(values[d]);
            types.fetch_and(own, std::memory_order_relaxed);
        });
        for (const RowType type : {RowType::u8, RowType::i8, RowType::f16, RowType::f32}) {
            if ((types.load() >> static_cast<int>(type) & 1) == 0) continue;
            type_ = type;
            break;
        }
    }
    const std::size_t stride = row_stride(type_, dimension);
    bytes_ = Buffer(count * stride);
    inverse_norms_ = Buffer(distance == Distance::angular ? count * sizeof(float) : 0);
    const auto norms = inverse_norms_.as<float>();
    for_rows([&](std::size_t i, float* values) {
        std::byte* const to = bytes_.data() + i * stride;
        if (bits) {
            read_bits(vectors, i, length, reinterpret_cast<std::uint64_t*>(to));
            return;
        }
        read_floats(vectors, i, length, values);
        write_row(values, length, type_, to);
        if (!norms.empty()) norms[i] = inverse_norm(values, length);
    });
}

void make_unit(std::span<float> vector) {
    const float factor = inverse_norm(vector.data(), static_cast<std::uint32_t>(vector.size()));
    for (float& value : vector) value *= factor;
}

void ExactDistance::start(Query& query) {
    if (rows_.shape.distance == Distance::angular) make_unit(query.numbers);
    query_ = query.numbers.data();
    bits_ = query.bits.data();
}

std::vector<Answer>& Nearest::take(const ExactDistance& exact) {
    for (Answer& answer : kept_) answer = {exact.distance(answer.distance()), answer.row()};
    return kept_;
}

float ExactDistance::rank(std::uint32_t row) const {
    const std::byte* const at = rows_.bytes + row * stride_;
    const std::size_t dimension = rows_.shape.dimension;
    float rank;
    switch (rows_.shape.distance) {
        case Distance::hamming: {
            const auto* bits = reinterpret_cast<const std::uint64_t*>(at);
            std::uint32_t differing = 0;
            for (std::size_t w = 0; w < stride_ / 8; ++w) {
                differing += static_cast<std::uint32_t>(std::popcount(bits[w] ^ bits_[w]));
            }
            return static_cast<float>(differing) / static_cast<float>(dimension);
        }
        case Distance::angular: {
            const float inverse_norm = rows_.inverse_norms[row];
            rank = 1.0f - kernel_->dot(query_, at, dimension) * inverse_norm;
            // Near 0 the subtraction has lost its digits; |q - x|^2 / 2 is the same number without that loss.
            // The row is in the cache by now, and a zero row (rank = 1) never comes here.
            if (rank < 0.05f) rank = 0.5f * kernel_->scaled_squared_l2(query_, at, inverse_norm, dimension);
            break;
        }
        case Distance::dot:
            rank = -kernel_->dot(query_, at, dimension);
            break;
        case Distance::manhattan:
            rank = kernel_->l1(query_, at, dimension);
            break;
        default:
            rank = kernel_->squared_l2(query_, at, dimension);
    }
    return std::isnan(rank) ? std::numeric_limits<float>::infinity() : rank;
}

float ExactDistance::distance(float rank) const {
    return rows_.shape.distance == Distance::euclidean ? std::sqrt(rank) : rank;
}

}  // namespace ann_bench
