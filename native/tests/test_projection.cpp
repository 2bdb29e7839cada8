// Codes: what is near stays near, whatever the number of dimensions and the size of the values.

#include <algorithm>
#include <cmath>
#include <numeric>

#include <doctest/doctest.h>

#include "ann_bench/forest_parts.hpp"
#include "support.hpp"

using namespace ann_bench;
using namespace ann_bench::testing;

namespace {

/// A projection that was fitted to rows, and what it makes of them.
struct Fitted {
    std::uint32_t depth, width = code_width(depth);
    Projection projection;

    Fitted(const std::vector<float>& rows, std::uint32_t depth_, std::uint64_t key = 5, unsigned threads = 1,
           float longest = 0)
        : depth(depth_) {
        auto sample = rows;
        projection = fit_projection(sample, depth, width, longest, key, threads);
    }

    std::vector<std::uint8_t> code(const float* row, std::int32_t* squared = nullptr) const {
        std::vector<float> placed(row, row + depth);
        std::vector<std::uint8_t> code(width);
        ProjectionScratch scratch;
        const std::int32_t found = project(projection.view(), placed.data(), scratch, code.data());
        if (squared != nullptr) *squared = found;
        return code;
    }
};

double squared_distance(const float* a, const float* b, std::size_t depth) {
    double sum = 0;
    for (std::size_t d = 0; d < depth; ++d) sum += (double{a[d]} - b[d]) * (double{a[d]} - b[d]);
    return sum;
}

double squared_distance(const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b) {
    double sum = 0;
    for (std::size_t d = 0; d < a.size(); ++d) sum += (a[d] - b[d]) * (a[d] - b[d]);
    return sum;
}

double correlation(const std::vector<double>& x, const std::vector<double>& y) {
    const auto n = static_cast<double>(x.size());
    const double mx = std::accumulate(x.begin(), x.end(), 0.0) / n;
    const double my = std::accumulate(y.begin(), y.end(), 0.0) / n;
    double xy = 0, xx = 0, yy = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        xy += (x[i] - mx) * (y[i] - my);
        xx += (x[i] - mx) * (x[i] - mx);
        yy += (y[i] - my) * (y[i] - my);
    }
    return xy / std::sqrt(xx * yy);
}

/// Rows whose distances differ: each has a length of its own.
std::vector<float> uneven_rows(std::size_t count, std::uint32_t depth, std::uint64_t seed) {
    auto rows = random_floats(count * depth, seed);
    for (std::size_t i = 0; i < count; ++i) {
        const float length = 0.3f + 1.2f * static_cast<float>(i) / static_cast<float>(count);
        for (std::uint32_t d = 0; d < depth; ++d) rows[i * depth + d] *= length;
    }
    return rows;
}

/// How true the distances between codes are to those between rows.
double faithfulness(const Fitted& fitted, const std::vector<float>& rows, std::size_t count) {
    std::vector<std::vector<std::uint8_t>> codes;
    for (std::size_t i = 0; i < count; ++i) codes.push_back(fitted.code(&rows[i * fitted.depth]));
    std::vector<double> true_distances, distances;
    for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            true_distances.push_back(
                std::sqrt(squared_distance(&rows[i * fitted.depth], &rows[j * fitted.depth], fitted.depth)));
            distances.push_back(std::sqrt(squared_distance(codes[i], codes[j])));
        }
    }
    return correlation(true_distances, distances);
}

}  // namespace

TEST_CASE("codes have as many dimensions as rows, rounded up to 64, and no more than there may be") {
    CHECK(code_width(1) == 64);
    CHECK(code_width(64) == 64);
    CHECK(code_width(65) == 128);
    CHECK(code_width(max_width) == max_width);
    CHECK(code_width(max_width + 1) == max_width);
    CHECK(code_width(65'536) == max_width);
}

TEST_CASE("distances between codes are those between rows, times the steps in a unit") {
    for (const auto& [depth, least] :
         {std::pair{3u, 0.98}, std::pair{64u, 0.98}, std::pair{100u, 0.98}, std::pair{max_width, 0.98}}) {
        const auto rows = uneven_rows(150, depth, 1);
        const Fitted fitted(rows, depth);
        CAPTURE(depth);
        CHECK(faithfulness(fitted, rows, 150) > least);
        std::vector<double> ratios;
        for (std::size_t i = 1; i < 50; ++i) {
            const double steps =
                std::sqrt(squared_distance(fitted.code(&rows[0]), fitted.code(&rows[i * depth])));
            ratios.push_back(steps / std::sqrt(squared_distance(&rows[0], &rows[i * depth], depth)));
        }
        std::nth_element(ratios.begin(), ratios.begin() + 24, ratios.end());
        CHECK(ratios[24] == doctest::Approx(fitted.projection.steps_per_unit).epsilon(0.05));
    }
}

TEST_CASE("of more dimensions than codes have, distances keep what the largest axes tell of them") {
    // Nearly all variance lies in 100 directions that no coordinate shows.
    for (const std::uint32_t depth : {384u, 784u}) {
        constexpr std::size_t count = 300, inner = 100;
        const auto weights = random_floats(inner * depth, 2), noise = random_floats(count * depth, 3);
        const auto hidden = uneven_rows(count, inner, 4);
        std::vector<float> rows(count * depth);
        for (std::size_t i = 0; i < count; ++i) {
            for (std::uint32_t d = 0; d < depth; ++d) {
                float value = 0.05f * noise[i * depth + d];
                for (std::size_t j = 0; j < inner; ++j)
                    value += hidden[i * inner + j] * weights[j * depth + d];
                rows[i * depth + d] = value;
            }
        }
        CAPTURE(depth);
        CHECK(faithfulness(Fitted(rows, depth), rows, 150) > 0.98);
    }
}

TEST_CASE("the axes of more dimensions than codes have are those of the largest variance") {
    // Rows with a variance of their own in each of 512 orthogonal directions (a Hadamard matrix's): so it is
    // known what the best ones keep.
    constexpr std::uint32_t depth = 512;
    constexpr std::size_t count = 2000;
    std::vector<float> deviation(depth);
    for (std::size_t j = 0; j < depth; ++j)
        deviation[j] = std::pow(0.985f, static_cast<float>(j * 37 % depth));
    const auto weights = random_floats(count * depth, 6);
    std::vector<float> rows(count * depth);
    for (std::size_t i = 0; i < count; ++i) {
        float* const row = &rows[i * depth];
        for (std::size_t j = 0; j < depth; ++j) row[j] = weights[i * depth + j] * deviation[j];
        for (std::size_t half = 1; half < depth; half *= 2) {
            for (std::size_t d = 0; d < depth; ++d) {
                if ((d & half) != 0) continue;
                const float x = row[d], y = row[d + half];
                row[d] = x + y;
                row[d + half] = x - y;
            }
        }
    }
    const Fitted fitted(rows, depth);
    double kept = 0, all = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const float* const row = &rows[i * depth];
        for (std::size_t d = 0; d < depth; ++d) {
            const double value = double{row[d]} - fitted.projection.mean[d];
            all += value * value;
        }
        for (std::uint32_t w = 0; w < fitted.width; ++w) {
            double sum = 0;
            for (std::uint32_t d = 0; d < depth; ++d) {
                sum += (row[d] - fitted.projection.mean[d]) *
                       fitted.projection.matrix[d / 4 * 4 * fitted.width + 4 * w + d % 4];
            }
            const double length = fitted.projection.scale / fitted.projection.steps_per_unit;
            kept += sum * length * sum * length;
        }
    }
    std::vector<float> variances = deviation;
    std::sort(variances.begin(), variances.end(), std::greater<>());
    double best = 0, total = 0;
    for (std::size_t j = 0; j < depth; ++j) {
        total += variances[j] * variances[j];
        if (j < fitted.width) best += variances[j] * variances[j];
    }
    REQUIRE(best / total > 0.99);
    CHECK(kept / all > 0.99 * best / total);
    CHECK(kept / all < 1.01);
}

TEST_CASE("the projection depends on the rows and the key, and not on threads") {
    const auto rows = uneven_rows(300, 300, 1);
    const Fitted one(rows, 300, 5, 1), two(rows, 300, 5, 2), other(rows, 300, 6, 1);
    CHECK(one.projection.matrix == two.projection.matrix);
    CHECK(one.projection.scale == two.projection.scale);
    CHECK(one.projection.steps_per_unit == two.projection.steps_per_unit);
    CHECK(one.projection.matrix != other.projection.matrix);
}

TEST_CASE("column sums are those of the matrix, and what stands beyond the depth is zero") {
    const std::uint32_t depth = 101;
    const Fitted fitted(uneven_rows(100, depth, 1), depth);
    REQUIRE(fitted.projection.matrix.size() == 104 * fitted.width);
    for (std::uint32_t w = 0; w < fitted.width; ++w) {
        std::int32_t sum = 0;
        for (std::uint32_t d = 0; d < 104; ++d) {
            const int weight = fitted.projection.matrix[d / 4 * 4 * fitted.width + 4 * w + d % 4];
            if (d >= depth) CHECK(weight == 0);
            sum += weight;
        }
        CHECK(fitted.projection.column_sums[w] == code_middle * sum);
    }
}

TEST_CASE("codes stay in 1..127, equal rows have equal codes, and squares are distances from the mean") {
    for (const std::uint32_t depth : {3u, 100u, 300u}) {
        auto rows = uneven_rows(200, depth, 1);
        for (std::uint32_t d = 0; d < depth; ++d) rows[d] *= 1000;  // far outside
        std::copy_n(&rows[7 * depth], depth, &rows[90 * depth]);
        const Fitted fitted(std::vector<float>(rows.begin() + depth, rows.end()), depth);
        CHECK(fitted.code(&rows[7 * depth]) == fitted.code(&rows[90 * depth]));
        for (std::size_t i = 0; i < 200; ++i) {
            std::int32_t squared = 0;
            for (const std::uint8_t c : fitted.code(&rows[i * depth], &squared)) CHECK((c >= 1 && c <= 127));
            const double steps = fitted.projection.steps_per_unit;
            const double expected =
                squared_distance(&rows[i * depth], fitted.projection.mean.data(), depth) * steps * steps;
            CHECK(std::abs(squared - std::min(expected, double{1 << 22})) <= 0.51 + 1e-5 * expected);
        }
        CHECK(fitted.code(fitted.projection.mean.data()) ==
              std::vector<std::uint8_t>(fitted.width, code_middle));
    }
}

TEST_CASE("rows that are all the same, and a single row, have a code like any other") {
    for (const std::uint32_t depth : {1u, 70u, 300u}) {
        for (const std::size_t count : {1u, 20u}) {
            for (const float value : {0.0f, 1.0f, 3e38f, 1e-45f}) {
                const std::vector<float> rows(count * depth, value);
                const Fitted fitted(rows, depth);
                std::int32_t squared = 1;
                CHECK(fitted.code(rows.data(), &squared) ==
                      std::vector<std::uint8_t>(fitted.width, code_middle));
                CHECK(squared == 0);
                CHECK(std::isfinite(fitted.projection.scale));
            }
        }
    }
}

TEST_CASE("codes do not depend on the unit of the values") {
    for (const std::uint32_t depth : {3u, 100u, 300u}) {
        const auto rows = uneven_rows(100, depth, 1);
        const Fitted fitted(rows, depth);
        for (const int exponent : {-100, -50, -10, 10, 50, 100}) {
            CAPTURE(depth);
            CAPTURE(exponent);
            auto scaled = rows;
            for (float& value : scaled) value = std::ldexp(value, exponent);
            const Fitted again(scaled, depth);
            std::int32_t squared = 0, squared_again = 0;
            for (std::size_t i = 0; i < 100; ++i) {
                CHECK(again.code(&scaled[i * depth], &squared_again) ==
                      fitted.code(&rows[i * depth], &squared));
                CHECK(squared == squared_again);
            }
        }
    }
}

TEST_CASE("values of any size have codes: the huge, the denormal, and both together") {
    for (const std::uint32_t depth : {3u, 100u, 300u}) {
        for (const float size : {3.4e38f, 1e25f, 1e-25f, 1e-44f}) {
            auto rows = random_floats(60 * depth, 1);
            for (float& value : rows) value *= size;
            for (std::uint32_t d = 0; d < depth; ++d) rows[5 * depth + d] = 1e-3f * static_cast<float>(d);
            const Fitted fitted(rows, depth);
            for (std::size_t i = 0; i < 60; ++i) {
                std::int32_t squared = -1;
                for (const auto c : fitted.code(&rows[i * depth], &squared)) CHECK((c >= 1 && c <= 127));
                CHECK(squared >= 0);
            }
        }
    }
}

TEST_CASE("angular rows and queries are placed at unit length, unless they are zero") {
    for (const std::uint32_t dimension : {1u, 3u, 100u}) {
        for (const float size : {1e-30f, 1.0f, 1e30f}) {
            auto row = random_floats(dimension, dimension);
            for (float& value : row) value = (value + 2) * size;
            const TreeSpace space(Distance::angular, dimension, 0);
            std::vector<float> placed(dimension), query(dimension);
            space.place_row(row.data(), inverse_norm(row.data(), dimension), placed.data());
            space.place_query(row.data(), query.data());
            CHECK(squared_norm(placed.data(), dimension) == doctest::Approx(1));
            CHECK(placed == query);
        }
        const std::vector<float> zero(dimension);
        std::vector<float> placed(dimension, 7);
        CHECK(inverse_norm(zero.data(), dimension) == 0);
        TreeSpace(Distance::angular, dimension, 0).place_query(zero.data(), placed.data());
        CHECK(placed == zero);
    }
}

TEST_CASE("for dot, rows stand where they are, and queries as far out as the longest row") {
    constexpr std::uint32_t dimension = 10;
    const auto row = random_floats(dimension, 1), query = random_floats(dimension, 2);
    const TreeSpace space(Distance::dot, dimension, 7.5f);
    std::vector<float> placed(dimension);
    space.place_row(row.data(), 1, placed.data());
    CHECK(placed == row);
    space.place_query(query.data(), placed.data());
    CHECK(squared_norm(placed.data(), dimension) == doctest::Approx(7.5 * 7.5));
    for (std::uint32_t d = 1; d < dimension; ++d) {
        CHECK(placed[d] * query[0] == doctest::Approx(placed[0] * query[d]));
    }
}

TEST_CASE("codes for dot keep inner products, of rows whose mean is far from zero too") {
    constexpr std::uint32_t dimension = 40;
    constexpr std::size_t count = 200;
    auto rows = uneven_rows(count, dimension, 1);
    for (float& value : rows) value += 2.0f;
    double longest = 0;
    for (std::size_t i = 0; i < count; ++i) {
        longest = std::max(longest, std::sqrt(squared_norm(&rows[i * dimension], dimension)));
    }
    const Fitted fitted(rows, dimension, 5, 1, static_cast<float>(longest));
    const auto code_of = [&](std::size_t i) { return fitted.code(&rows[i * dimension]); };
    const double unit = fitted.projection.steps_per_unit;
    for (std::size_t i = 1; i < count; ++i) {
        const auto a = code_of(0), b = code_of(i);
        double exact = 0, coded = 0;
        for (std::uint32_t d = 0; d < dimension; ++d) exact += double{rows[d]} * rows[i * dimension + d];
        for (std::size_t w = 0; w < a.size(); ++w) coded += (a[w] - code_middle) * (b[w] - code_middle);
        CHECK(coded / (unit * unit) == doctest::Approx(exact).epsilon(0.05));
    }
}

TEST_CASE("euclidean and manhattan rows stand where they are") {
    const auto row = random_floats(9, 1);
    for (const Distance distance : {Distance::euclidean, Distance::manhattan}) {
        std::vector<float> placed(9), query(9);
        const TreeSpace space(distance, 9, 0);
        space.place_row(row.data(), 0.5f, placed.data());
        space.place_query(row.data(), query.data());
        CHECK(placed == row);
        CHECK(query == row);
    }
}
