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

constexpr std::size_t prefetch_ahead = 8;

constexpr std::uint64_t most_rows = (std::uint64_t{1} << 31) - 1;
constexpr std::size_t rows_per_task = 1024;
constexpr float close = 0.05f;

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

/// Which types hold all that one of them holds.
std::uint32_t types_for(RowType type) {
    const auto bit = [](RowType one) { return 1u << static_cast<int>(one); };
    switch (type) {
        case RowType::u8:
        case RowType::i8:
            return bit(type) | bit(RowType::f16) | bit(RowType::f32);
        case RowType::f16:
            return bit(RowType::f16) | bit(RowType::f32);
        default:
            return bit(RowType::f32);
    }
}

RowType smallest(std::uint32_t types) {
    for (const RowType type : {RowType::u8, RowType::i8, RowType::f16}) {
        if ((types >> static_cast<int>(type) & 1) != 0) return type;
    }
    return RowType::f32;
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

RowsView RowsView::announced(const SectionFile& file, const Shape& shape, RowType type) {
    const auto require = [&](bool holds, const char* what) {
        if (!holds) throw DamagedIndex(file.path() + ": header: " + what + " out of range");
    };
    const auto [distance, dimension, count] = shape;
    require(static_cast<std::size_t>(distance) < distance_names.size(), "distance");
    require(dimension >= 1 && dimension <= max_dimension, "dimension");
    require(count >= 1 && count <= most_rows, "rows");
    require(type <= RowType::bits && (type == RowType::bits) == takes_bits(distance), "type of rows");
    return {shape, type, nullptr, nullptr};
}

OwnedRows::OwnedRows(const Vectors& vectors, const Shape& shape, unsigned threads)
    : shape_{shape.distance, shape.dimension, 0} {
    if (shape.dimension < 1 || shape.dimension > max_dimension) {
        throw std::invalid_argument("train: rows have 1 to 65535 dimensions");
    }
    if (shape.rows < 1) throw std::invalid_argument("train: an index needs 1 to 2^31 - 1 rows");
    append(vectors, shape.rows, threads);
}

OwnedRows::OwnedRows(const RowsView& rows)
    : shape_(rows.shape), type_(rows.type), bytes_(rows.shape.rows * rows.stride()) {
    std::memcpy(bytes_.data(), rows.bytes, bytes_.size());
    if (shape_.distance != Distance::angular) return;
    inverse_norms_ = Buffer(shape_.rows * sizeof(float));
    std::memcpy(inverse_norms_.data(), rows.inverse_norms, inverse_norms_.size());
}

void OwnedRows::append(const Vectors& vectors, std::uint64_t count, unsigned threads) {
    const std::uint64_t before = shape_.rows;
    const std::uint32_t dimension = shape_.dimension;
    if (count > most_rows - before) throw std::invalid_argument("train: an index needs 1 to 2^31 - 1 rows");
    check_vectors(vectors, count, dimension, shape_.distance);
    const bool bits = takes_bits(shape_.distance);
    const auto for_rows = [&](auto body) {
        parallel_for((count + rows_per_task - 1) / rows_per_task, threads, [&](std::size_t task) {
            std::vector<float> values(bits ? 0 : dimension);
            const std::size_t last = std::min<std::size_t>(count, (task + 1) * rows_per_task);
            for (std::size_t i = task * rows_per_task; i < last; ++i) body(i, values.data());
        });
    };
    std::atomic<std::uint32_t> types = before == 0 ? ~0u : types_for(type_);
    if (!bits) {
        for_rows([&](std::size_t i, float* values) {
            if (!read_floats(vectors, i, dimension, values)) {
                throw std::invalid_argument("train: row " + std::to_string(i) +
                                            " holds NaN or infinity; every value must be finite as float32");
            }
            std::uint32_t own = types.load(std::memory_order_relaxed);
            if (own == 1u << static_cast<int>(RowType::f32)) return;
            for (std::uint32_t d = 0; d < dimension; ++d) own &= types_for(values[d]);
            types.fetch_and(own, std::memory_order_relaxed);
        });
    }
    become(bits ? RowType::bits : smallest(types.load()));
    const std::size_t stride = row_stride(type_, dimension);
    grow(bytes_, before * stride, (before + count) * stride);
    if (shape_.distance == Distance::angular) {
        grow(inverse_norms_, before * sizeof(float), (before + count) * sizeof(float));
    }
    for_rows([&](std::size_t i, float* values) {
        std::byte* const to = bytes_.data() + (before + i) * stride;
        if (bits) {
            read_bits(vectors, i, dimension, reinterpret_cast<std::uint64_t*>(to));
            return;
        }
        read_floats(vectors, i, dimension, values);
        write_row(values, dimension, type_, to);
        if (shape_.distance == Distance::angular) {
            inverse_norms_.as<float>()[before + i] = inverse_norm(values, dimension);
        }
    });
    shape_.rows = before + count;
}

/// Makes all rows so far of another type, which holds them too.
void OwnedRows::become(RowType type) {
    if (type != type_ && shape_.rows > 0) {
        const RowsView old = view();
        const std::size_t stride = row_stride(type, shape_.dimension);
        Buffer bytes(shape_.rows * stride);
        std::vector<float> values(shape_.dimension);
        for (std::uint64_t i = 0; i < shape_.rows; ++i) {
            old.read(i, values.data());
            write_row(values.data(), shape_.dimension, type, bytes.data() + i * stride);
        }
        bytes_ = std::move(bytes);
    }
    type_ = type;
}

ExactDistance::ExactDistance(const RowsView& rows)
    : rows_(rows),
      stride_(rows.stride()),
      kernel_(rows.type == RowType::bits ? nullptr : &kernels().rows[static_cast<std::size_t>(rows.type)]) {
    if (rows.shape.distance == Distance::manhattan) return;
    if (rows.type == RowType::i8) byte_kernel_ = &kernels().signed_bytes;
    if (rows.type == RowType::u8) byte_kernel_ = &kernels().unsigned_bytes;
    if (byte_kernel_ != nullptr) bytes_.resize(rows.shape.dimension);
}

/// Returns false if these are no bytes as those of the rows.
bool ExactDistance::take_bytes(const std::vector<float>& vector) {
    const float low = rows_.type == RowType::i8 ? -128.0f : 0.0f, high = low + 255.0f;
    std::uint32_t others = 0;
    // Without branches, so that several are looked at together.
    for (std::size_t i = 0; i < vector.size(); ++i) {
        const auto number = static_cast<std::int32_t>(std::min(std::max(vector[i], low), high));
        others |= static_cast<std::uint32_t>(static_cast<float>(number) != vector[i]);
        bytes_[i] = static_cast<std::uint8_t>(number);
    }
    return others == 0;
}

void ExactDistance::start(Query& query) {
    of_bytes_ = byte_kernel_ != nullptr && take_bytes(query.numbers);
    if (rows_.shape.distance == Distance::angular) {
        inverse_norm_ = inverse_norm(query.numbers.data(), rows_.shape.dimension);
        for (float& value : query.numbers) value *= inverse_norm_;
    }
    query_ = query.numbers.data();
    bits_ = query.bits.data();
}

std::vector<Answer>& Nearest::take(const ExactDistance& exact) {
    for (Answer& answer : kept_) answer = {exact.distance(answer.distance()), answer.row()};
    return kept_;
}

/// For angular where 1 - cos has lost its digits: |q - x|^2 / 2 is the same number without that loss. The row
/// is in the cache by now, and a zero row (rank = 1) never comes here.
float ExactDistance::close_rank(const std::byte* at, float inverse_norm) const {
    return 0.5f * kernel_->scaled_squared_l2(query_, at, inverse_norm, rows_.shape.dimension);
}

float ExactDistance::rank(std::uint32_t row) const {
    const std::byte* const at = rows_.bytes + row * stride_;
    const std::size_t dimension = rows_.shape.dimension;
    if (of_bytes_) return rank_of_bytes(row, at);
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
        case Distance::jaccard: {
            const auto* bits = reinterpret_cast<const std::uint64_t*>(at);
            std::uint32_t both = 0, any = 0;
            for (std::size_t w = 0; w < stride_ / 8; ++w) {
                both += static_cast<std::uint32_t>(std::popcount(bits[w] & bits_[w]));
                any += static_cast<std::uint32_t>(std::popcount(bits[w] | bits_[w]));
            }
            return any == 0 ? 1.0f : static_cast<float>(any - both) / static_cast<float>(any);
        }
        case Distance::angular: {
            const float inverse_norm = rows_.inverse_norms[row];
            rank = 1.0f - kernel_->dot(query_, at, dimension) * inverse_norm;
            if (rank < close) rank = close_rank(at, inverse_norm);
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

/// Whole numbers lose nothing, and take a fraction of the time.
float ExactDistance::rank_of_bytes(std::uint32_t row, const std::byte* at) const {
    const std::size_t dimension = rows_.shape.dimension;
    if (rows_.shape.distance == Distance::euclidean) {
        return static_cast<float>(byte_kernel_->squared_l2(bytes_.data(), at, dimension));
    }
    const auto inner = static_cast<float>(byte_kernel_->dot(bytes_.data(), at, dimension));
    if (rows_.shape.distance == Distance::dot) return -inner;
    const float inverse_norm = rows_.inverse_norms[row];
    const float rank = 1.0f - inner * inverse_norm_ * inverse_norm;
    if (rank < close) return close_rank(at, inverse_norm);
    return std::isnan(rank) ? std::numeric_limits<float>::infinity() : rank;
}

float ExactDistance::distance(float rank) const {
    return rows_.shape.distance == Distance::euclidean ? std::sqrt(rank) : rank;
}

/// Calls body(rank, row) for each of the rows.
template <class Body>
void ExactDistance::for_ranks(std::span<const std::uint32_t> rows, Body body) const {
    for (std::size_t i = 0; i < std::min(prefetch_ahead, rows.size()); ++i) prefetch(rows[i]);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (i + prefetch_ahead < rows.size()) prefetch(rows[i + prefetch_ahead]);
        body(rank(rows[i]), rows[i]);
    }
}

void ExactDistance::compare(std::span<const std::uint32_t> rows, std::vector<Answer>& answers) const {
    for_ranks(rows, [&](float rank, std::uint32_t row) { answers.emplace_back(distance(rank), row); });
}

std::vector<Answer>& ExactDistance::nearest_of_all(const Question& question, Nearest& nearest) const {
    nearest.start(question.k);
    question.selection.for_blocks(rows_.shape.rows, [&](std::span<const std::uint32_t> rows) {
        for_ranks(rows, [&](float rank, std::uint32_t row) {
            if (row != question.itself) nearest.add(rank, row);
        });
    });
    return nearest.take(*this);
}

}  // namespace ann_bench
