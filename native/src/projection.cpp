#include "ann_bench/projection.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "ann_bench/buffer.hpp"
#include "ann_bench/kernels.hpp"
#include "ann_bench/parallel.hpp"
#include "ann_bench/random.hpp"

namespace ann_bench {
namespace {

constexpr int code_limit = 63;

/// Vectors of equal length, one after another.
class Basis {
  public:
    Basis(std::size_t vectors, std::size_t length) : length_(length), values_(vectors * length) {}

    float* operator[](std::size_t vector) { return values_.data() + vector * length_; }
    const float* operator[](std::size_t vector) const { return values_.data() + vector * length_; }
    std::size_t size() const { return length_ == 0 ? 0 : values_.size() / length_; }
    std::size_t length() const { return length_; }

    /// Numbers that are symmetric and have few moments in common with data: sums of four random bytes.
    void randomise(std::uint64_t key) {
        Random random(key);
        for (float& value : values_) {
            const std::uint64_t bits = random.next();
            std::int32_t sum = -510;
            for (int byte = 0; byte < 4; ++byte) sum += static_cast<std::int32_t>(bits >> 8 * byte & 255);
            value = static_cast<float>(sum);
        }
    }

    /// Gram and Schmidt, each vector twice against those before it. A vector that lies in their span is
    /// drawn anew.
    void orthonormalise(std::uint64_t key) {
        const Kernels& kernel = kernels();
        Random random(key);
        for (std::size_t i = 0; i < size(); ++i) {
            float* const vector = (*this)[i];
            for (;;) {
                const float before = std::sqrt(kernel.dot_f32(vector, vector, length_));
                if (before > 0 && std::isfinite(before)) {
                    for (std::size_t d = 0; d < length_; ++d) vector[d] /= before;
                    for (int pass = 0; pass < 2; ++pass) {
                        for (std::size_t j = 0; j < i; ++j) {
                            kernel.add_scaled_f32(vector, (*this)[j],
                                                  -kernel.dot_f32(vector, (*this)[j], length_), length_);
                        }
                    }
                    const float length = std::sqrt(kernel.dot_f32(vector, vector, length_));
                    if (length > 1e-4f) {
                        for (std::size_t d = 0; d < length_; ++d) vector[d] /= length;
                        break;
                    }
                }
                for (std::size_t d = 0; d < length_; ++d) {
                    vector[d] =
                        static_cast<float>(static_cast<std::int32_t>(random.next() >> 56) - 127) - 0.5f;
                }
            }
        }
    }

  private:
    std::size_t length_;
    std::vector<float> values_;
};

/// `count` orthonormal vectors of `length` numbers (count <= length).
Basis random_basis(std::size_t count, std::size_t length, std::uint64_t key) {
    Basis basis(count, length);
    basis.randomise(key);
    basis.orthonormalise(derive_key(key, 0));
    return basis;
}

/// Orthonormal vectors that span about the space of the largest principal axes of the sample.
Basis principal_basis(std::span<const float> sample, std::size_t depth, std::size_t width, std::uint64_t key,
                      unsigned threads) {
    constexpr int rounds = 2;
    const Kernels& kernel = kernels();
    const std::size_t count = sample.size() / depth;
    Basis basis = random_basis(width, depth, key);
    for (int round = 0; round < rounds; ++round) {
        Basis next(width, depth);
        constexpr std::size_t axes_per_task = 16;
        parallel_for((width + axes_per_task - 1) / axes_per_task, threads, [&](std::size_t task) {
            const std::size_t last = std::min(width, (task + 1) * axes_per_task);
            for (std::size_t row = 0; row < count; ++row) {
                const float* x = sample.data() + row * depth;
                for (std::size_t axis = task * axes_per_task; axis < last; ++axis) {
                    kernel.add_scaled_f32(next[axis], x, kernel.dot_f32(x, basis[axis], depth), depth);
                }
            }
        });
        next.orthonormalise(derive_key(key, 1 + static_cast<std::uint64_t>(round)));
        basis = std::move(next);
    }
    return basis;
}

/// Divides numbers by a power of two, which leaves the largest about 1, so that the products of four of them
/// are neither infinite nor zero. Returns the power.
int bring_to_one(std::span<float> numbers) {
    float largest = 0;
    for (const float number : numbers) largest = std::max(largest, std::abs(number));
    if (!(largest > 0 && std::isfinite(largest))) return 0;
    const int exponent = std::max(std::ilogb(largest), -126);
    const float factor = std::ldexp(1.0f, -exponent);
    for (float& number : numbers) number *= factor;
    return exponent;
}

/// The projection's columns: `width` vectors of `depth` numbers.
Basis columns_for(std::span<const float> sample, std::uint32_t depth, std::uint32_t width, std::uint64_t key,
                  unsigned threads) {
    Basis columns(width, depth);
    if (depth <= width) {
        const Basis rotation = random_basis(depth, width, key);
        for (std::size_t w = 0; w < width; ++w) {
            for (std::size_t d = 0; d < depth; ++d) columns[w][d] = rotation[d][w];
        }
    } else {
        const Basis axes = principal_basis(sample, depth, width, derive_key(key, 1), threads);
        const Basis rotation = random_basis(width, width, key);
        for (std::size_t w = 0; w < width; ++w) {
            for (std::size_t v = 0; v < width; ++v) {
                kernels().add_scaled_f32(columns[w], axes[v], rotation[w][v], depth);
            }
        }
    }
    return columns;
}

}  // namespace

float inverse_norm(const float* vector, std::uint32_t dimension) {
    const double norm = std::sqrt(squared_norm(vector, dimension));
    constexpr double most = std::numeric_limits<float>::max();
    return norm > 0 ? static_cast<float>(std::min(1.0 / norm, most)) : 0.0f;
}

void make_unit(std::span<float> vector) {
    const float factor = inverse_norm(vector.data(), static_cast<std::uint32_t>(vector.size()));
    for (float& value : vector) value *= factor;
}

void TreeSpace::place_row(const float* row, float inverse_norm, float* to) const {
    if (distance_ == Distance::angular) {
        for (std::uint32_t i = 0; i < dimension_; ++i) to[i] = row[i] * inverse_norm;
        return;
    }
    std::memcpy(to, row, dimension_ * sizeof(float));
}

void TreeSpace::place_query(const float* query, float* to) const {
    std::memcpy(to, query, dimension_ * sizeof(float));
    if (distance_ != Distance::angular && distance_ != Distance::dot) return;
    const float factor = inverse_norm(query, dimension_) * (distance_ == Distance::dot ? longest_ : 1.0f);
    for (std::uint32_t i = 0; i < dimension_; ++i) to[i] = query[i] * factor;
}

void MetricSpace::place_row(const float* row, float* to) const {
    std::memcpy(to, row, dimension_ * sizeof(float));
    if (distance_ == Distance::angular) make_unit({to, dimension_});
    if (distance_ != Distance::dot) return;
    const double rest = double{longest_} * longest_ - squared_norm(row, dimension_);
    to[dimension_] = static_cast<float>(std::sqrt(std::max(rest, 0.0)));
}

void MetricSpace::place_query(const float* query, float* to) const {
    std::memcpy(to, query, dimension_ * sizeof(float));
    if (distance_ != Distance::dot) return;
    const float factor = inverse_norm(query, dimension_) * longest_;
    for (std::uint32_t i = 0; i < dimension_; ++i) to[i] *= factor;
    to[dimension_] = 0;
}

Projection fit_projection(std::span<float> sample, std::uint32_t depth, std::uint32_t axes, float longest,
                          std::uint64_t key, unsigned threads) {
    const Kernels& kernel = kernels();
    const std::size_t count = sample.size() / depth;
    const auto width = static_cast<std::uint32_t>(round_up(axes, code_step));
    Projection found;
    found.depth = depth;
    found.width = width;
    found.mean.resize(depth);
    if (longest == 0) {
        std::vector<double> sums(depth);
        for (std::size_t row = 0; row < count; ++row) {
            for (std::uint32_t d = 0; d < depth; ++d) sums[d] += sample[row * depth + d];
        }
        for (std::uint32_t d = 0; d < depth; ++d) {
            found.mean[d] = static_cast<float>(sums[d] / static_cast<double>(count));
        }
        for (std::size_t row = 0; row < count; ++row) {
            for (std::uint32_t d = 0; d < depth; ++d) sample[row * depth + d] -= found.mean[d];
        }
    }
    const int exponent = bring_to_one(sample);
    const Basis columns = columns_for(sample, depth, axes, key, threads);

    double variance = 0;
    for (std::size_t row = 0; row < count; ++row) {
        for (std::uint32_t w = 0; w < axes; ++w) {
            const double value = kernel.dot_f32(sample.data() + row * depth, columns[w], depth);
            variance += value * value;
        }
    }
    variance /= static_cast<double>(count) * axes;
    const double deviation =
        longest > 0 ? longest / std::sqrt(axes) : std::ldexp(std::sqrt(variance), exponent);
    const double step = code_range * deviation / code_middle;
    const auto steps = static_cast<float>(1 / step);
    found.steps_per_unit = step > 0 && std::isfinite(steps) ? steps : 1.0f;

    float largest = 0;
    for (std::uint32_t w = 0; w < axes; ++w) {
        for (std::uint32_t d = 0; d < depth; ++d) largest = std::max(largest, std::abs(columns[w][d]));
    }
    const std::size_t padded = round_up(depth, 4);
    found.matrix.resize(padded * width);
    found.column_sums.resize(width);
    for (std::uint32_t w = 0; w < axes; ++w) {
        for (std::uint32_t d = 0; d < depth; ++d) {
            const auto weight = static_cast<std::int8_t>(round_small(columns[w][d] * (127.0f / largest)));
            found.matrix[d / 4 * 4 * width + 4 * w + d % 4] = weight;
            found.column_sums[w] += code_middle * weight;
        }
    }
    found.scale = largest / 127.0f * found.steps_per_unit;
    return found;
}

std::int32_t project(const ProjectionView& projection, float* placed, ProjectionScratch& scratch,
                     std::uint8_t* code) {
    const Kernels& kernel = kernels();
    const std::size_t depth = projection.depth;
    scratch.values.resize(round_up(depth, 4), code_middle);
    scratch.sums.resize(projection.width);
    std::int32_t largest_bits = 0;  // magnitudes compare as integers do
    for (std::size_t d = 0; d < depth; ++d) {
        placed[d] -= projection.mean[d];
        largest_bits = std::max(largest_bits, std::bit_cast<std::int32_t>(placed[d]) & 0x7fff'ffff);
    }
    const auto largest = std::bit_cast<float>(largest_bits);
    const float factor = code_limit / largest;
    if (!(factor > 0 && std::isfinite(factor))) {  // at the mean, or beyond all numbers
        std::memset(code, code_middle, projection.width);
        return 0;
    }
    std::uint8_t* const values = scratch.values.data();
    for (std::size_t d = 0; d < depth; ++d) {
        values[d] = static_cast<std::uint8_t>(code_middle + round_small(placed[d] * factor));
    }
    kernel.project(values, scratch.values.size(), projection.matrix, projection.width, scratch.sums.data());
    const float scale = largest / code_limit * projection.scale;
    for (std::size_t w = 0; w < projection.width; ++w) {
        // Unsigned, so that what a damaged file holds may wrap around.
        const std::uint32_t sum = static_cast<std::uint32_t>(scratch.sums[w]) -
                                  static_cast<std::uint32_t>(projection.column_sums[w]);
        float value = static_cast<float>(static_cast<std::int32_t>(sum)) * scale;
        // Comparisons that a NaN, which a damaged file can bring, fails.
        value = value > -code_limit ? value : static_cast<float>(-code_limit);
        value = value < code_limit ? value : static_cast<float>(code_limit);
        code[w] = static_cast<std::uint8_t>(code_middle + round_small(value));
    }
    // Squared in about the unit of steps, as squares of what is very large or small are no floats.
    const auto unit =
        std::bit_cast<float>(std::bit_cast<std::uint32_t>(projection.steps_per_unit) & 0x7f80'0000u);
    const float steps = projection.steps_per_unit / unit;
    for (std::size_t d = 0; d < depth; ++d) placed[d] *= unit;
    const float squared = kernel.dot_f32(placed, placed, depth) * steps * steps;
    constexpr float most = 1 << 22;
    return round_small(squared < most ? squared : most);
}

}  // namespace ann_bench
