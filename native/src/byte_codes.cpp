#include "ann_bench/byte_codes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ann_bench/parallel.hpp"
#include "ann_bench/projection.hpp"

namespace ann_bench {
namespace {

constexpr std::uint32_t codes_section = section_type("byte");
constexpr std::uint32_t terms_section = section_type("bter");
constexpr std::size_t rows_per_task = 1024;

/// What float32 may lose in a sum of products, for each unit of the lengths: bounds allow for so much more.
constexpr float rounding = 1e-5f;

constexpr float infinity = std::numeric_limits<float>::infinity();

float largest(std::span<const float> values) {
    float found = 0;
    for (const float value : values) found = std::max(found, std::abs(value));
    return found;
}

/// A vector as small numbers times a scale; 0 if they would not fit a float.
struct Rounded {
    float scale, length, error;
};

/// Writes values / scale, rounded, at most `range`, by put(dimension, number), and returns what they stand
/// for.
template <class Put>
Rounded round_to(std::span<const float> values, float range, Put put) {
    const float scale = largest(values) / range;
    const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
    const bool fits = std::isfinite(inverse);
    double squared = 0, missed = 0;
    for (std::size_t d = 0; d < values.size(); ++d) {
        const float number = fits ? std::nearbyint(std::clamp(values[d] * inverse, -range, range)) : 0.0f;
        put(d, number);
        const double meant = static_cast<double>(number) * scale, difference = values[d] - meant;
        squared += meant * meant;
        missed += difference * difference;
    }
    return {scale, static_cast<float>(std::sqrt(squared)), static_cast<float>(std::sqrt(missed))};
}

}  // namespace

std::vector<Part> ByteCodesView::parts(std::uint64_t rows) const {
    return {{codes_section, width, std::as_bytes(std::span(codes, rows * width))},
            {terms_section, sizeof(ByteCodeTerms), std::as_bytes(std::span(terms, rows))}};
}

ByteCodesView ByteCodesView::open(const SectionFile& file, const Shape& shape) {
    const std::size_t width = width_for(shape.dimension);
    return {reinterpret_cast<const std::uint8_t*>(file.section(codes_section, width, shape.rows).data()),
            reinterpret_cast<const ByteCodeTerms*>(
                file.section(terms_section, sizeof(ByteCodeTerms), shape.rows).data()),
            width};
}

OwnedByteCodes::OwnedByteCodes(const RowsView& rows, unsigned threads)
    : width_(ByteCodesView::width_for(rows.shape.dimension)),
      codes_(rows.shape.rows * width_),
      terms_(rows.shape.rows * sizeof(ByteCodeTerms)) {
    const std::size_t tasks = (rows.shape.rows + rows_per_task - 1) / rows_per_task;
    parallel_for(tasks, threads, [&](std::size_t task) {
        std::vector<float> values(rows.shape.dimension);
        const std::size_t last = std::min<std::size_t>(rows.shape.rows, (task + 1) * rows_per_task);
        for (std::size_t row = task * rows_per_task; row < last; ++row) {
            rows.read(row, values.data());
            if (rows.shape.distance == Distance::angular) make_unit(values);
            std::uint8_t* const code = codes_.as<std::uint8_t>().data() + row * width_;
            std::fill_n(code, width_, static_cast<std::uint8_t>(code_middle));
            const Rounded rounded = round_to(values, code_middle - 1, [&](std::size_t d, float number) {
                code[d] = static_cast<std::uint8_t>(code_middle + static_cast<std::int32_t>(number));
            });
            terms_.as<ByteCodeTerms>()[row] = {rounded.scale, rounded.length,
                                               rounded.error + rounding * rounded.length};
        }
    });
}

Sieve::Sieve(const RowsView& rows, const ByteCodesView& codes)
    : rows_(rows), codes_(codes), exact_(rows), code_(codes.width) {}

void Sieve::start(Query& query, const Question& question) {
    exact_.start(query);
    const Rounded rounded = round_to(query.numbers, 127, [&](std::size_t d, float number) {
        code_[d] = static_cast<std::int8_t>(number);
    });
    std::int32_t sum = 0;
    for (const std::int8_t number : code_) sum += number;
    offset_ = code_middle * sum;
    scale_ = rounded.scale;
    coded_length_ = rounded.length;
    error_ = rounded.error + rounding * rounded.length;
    length_ = coded_length_ + error_;
    uppers_.start(question.k);
    nearest_.start(question.k);
    itself_ = question.itself;
    candidates_.clear();
}

void Sieve::add(std::span<const std::uint32_t> rows) {
    distance_computations += rows.size();
    dots_.resize(rows.size());
    kernels().dots(codes_.codes, rows.data(), rows.size(), code_.data(), codes_.width, dots_.data());
    if (rows_.shape.distance == Distance::euclidean) {
        add_by<true>(rows);
    } else {
        add_by<false>(rows);
    }
}

template <bool euclidean>
void Sieve::add_by(std::span<const std::uint32_t> rows) {
    const float same = rows_.shape.distance == Distance::angular ? 1.0f : 0.0f;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const ByteCodeTerms& row = codes_.terms[rows[i]];
        const float inner = scale_ * row.scale * static_cast<float>(dots_[i] - offset_);
        const float limit = uppers_.limit();
        float lower, upper;
        if constexpr (euclidean) {
            const float squares = coded_length_ * coded_length_ + row.length * row.length;
            const float squared = squares - 2.0f * inner, slack = rounding * squares;
            const float error = error_ + row.error;
            if (squared - slack > (limit + error) * (limit + error)) continue;
            lower = std::sqrt(std::max(squared - slack, 0.0f)) - error;
            upper = std::sqrt(std::max(squared + slack, 0.0f)) + error;
        } else {
            const float slack = length_ * row.error + error_ * row.length + rounding * length_ * row.length;
            lower = same - inner - slack;
            upper = same - inner + slack;
            if (lower > limit) continue;
        }
        if (rows[i] == itself_) continue;
        if (!(upper < infinity)) {  // too large for floats, or damaged: nothing is known
            lower = -infinity;
            upper = infinity;
        }
        candidates_.emplace_back(lower, rows[i]);
        uppers_.add(upper, rows[i]);
    }
}

std::vector<Answer>& Sieve::take() {
    uppers_.settle();
    for (const Answer& candidate : candidates_) {
        if (candidate.distance() > uppers_.limit()) continue;
        nearest_.add(exact_.rank(candidate.row()), candidate.row());
        ++distance_computations;
    }
    return nearest_.take(exact_);
}

}  // namespace ann_bench
