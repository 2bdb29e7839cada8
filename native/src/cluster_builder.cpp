#include "cluster_builder.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "ann_bench/parallel.hpp"
#include "ann_bench/random.hpp"
#include "ann_bench/threshold.hpp"
#include "encoder.hpp"

namespace ann_bench {
namespace {

constexpr std::size_t rows_per_task = 512;

/// Clusters for each square root of the rows.
constexpr double clusters_per_root = 2.5;

/// Rows for each cluster that k-means looks at, and how often.
constexpr std::size_t sample_per_cluster = 64;
constexpr int rounds = 8;

/// Centres that a second assignment is chosen from.
constexpr std::size_t second_choices = 24;

/// Rows that tell how much farther than the nearest other centres are.
constexpr std::size_t rows_for_gaps = 1024;

/// Standard deviations in a step of a residual: what loses least of normal numbers in 2 bits (Max 1960).
constexpr double residual_deviations = 0.9957;

/// What stands for the rest of the options.
enum Key : std::uint64_t { sample_key, projection_key, centres_key };

constexpr std::int32_t nowhere = std::numeric_limits<std::int32_t>::max();

/// Codes of centres, sixteen side by side: of `width` dimensions all but the first `axes` are zero.
class Centres {
  public:
    Centres(std::size_t count, std::size_t axes, std::size_t width)
        : count_(count),
          axes_(axes),
          width_(width),
          codes_(count * width),
          squares_(round_up(count, 16), nowhere),
          blocks_(round_up(count, 16) * axes, static_cast<std::uint8_t>(code_middle)) {}

    std::size_t count() const { return count_; }
    const std::uint8_t* code(std::size_t centre) const { return codes_.data() + centre * width_; }
    const std::vector<std::uint8_t>& blocks() const { return blocks_; }
    const std::vector<std::int32_t>& squares() const { return squares_; }

    void set(std::size_t centre, const std::uint8_t* code) {
        std::memcpy(codes_.data() + centre * width_, code, width_);
        std::uint8_t* const block = blocks_.data() + centre / 16 * 16 * axes_;
        std::int32_t squared = 0;
        for (std::size_t j = 0; j < axes_; ++j) {
            block[j / 4 * 64 + centre % 16 * 4 + j % 4] = code[j];
            squared += (code[j] - code_middle) * (code[j] - code_middle);
        }
        squares_[centre] = squared;
    }

    /// Squared distances of a row's signed code from all centres, less its own square; room for a multiple
    /// of sixteen.
    void compare(const std::int8_t* row, std::int32_t* out) const {
        std::int32_t sum = 0;
        for (std::size_t j = 0; j < axes_; ++j) sum += row[j];
        const Kernels& kernel = kernels();
        for (std::size_t first = 0; first < squares_.size(); first += 16) {
            kernel.code_dots(blocks_.data() + first * axes_, row, axes_, out + first);
            for (std::size_t i = first; i < first + 16; ++i) {
                out[i] = squares_[i] == nowhere ? nowhere : squares_[i] - 2 * (out[i] - code_middle * sum);
            }
        }
    }

  private:
    std::size_t count_, axes_, width_;
    std::vector<std::uint8_t> codes_;
    std::vector<std::int32_t> squares_;
    std::vector<std::uint8_t> blocks_;
};

/// Makes the parts in order, each from those before it.
class Builder {
  public:
    Builder(ClusterParts& parts, const ClusterOptions& options)
        : parts_(parts),
          facts_(parts.facts),
          rows_(parts.rows.view()),
          threads_(options.threads),
          key_(mix(options.seed)) {
        facts_.distance = rows_.shape.distance;
        facts_.dimension = rows_.shape.dimension;
        facts_.rows = rows_.shape.rows;
        facts_.type = rows_.type;
        facts_.seed = options.seed;
        facts_.depth = space().depth();
        facts_.width = residual_width(facts_.depth);
        const double root = std::sqrt(static_cast<double>(facts_.rows));
        const auto usual = static_cast<std::uint32_t>(std::lround(clusters_per_root * root));
        const std::uint64_t wanted = options.clusters != 0 ? options.clusters : usual;
        facts_.clusters = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(wanted, 1, facts_.rows));
        facts_.assignments = options.assignments != 0 ? options.assignments : 2;
        if (facts_.clusters < 2) facts_.assignments = 1;
    }

    void build() {
        find_projection();
        encode();
        Centres centres = find_centres();
        assign(centres);
        find_gaps(centres);
        keep(centres);
        write_blocks(centres);
    }

  private:
    MetricSpace space() const { return facts_.space(); }
    const std::uint8_t* code(std::size_t row) const {
        return codes_.as<std::uint8_t>().data() + row * code_width();
    }

    std::size_t code_width() const { return facts_.code_width(); }

    void for_rows(std::size_t count, const std::function<void(std::size_t, std::size_t)>& body) const {
        parallel_for((count + rows_per_task - 1) / rows_per_task, threads_, [&](std::size_t task) {
            body(task * rows_per_task, std::min(count, (task + 1) * rows_per_task));
        });
    }

    void find_projection() {
        parts_.projection = fit_to_rows(rows_, space(), facts_.width, derive_key(key_, sample_key),
                                        derive_key(key_, projection_key), threads_);
        facts_.projection_scale = parts_.projection.scale;
        facts_.steps_per_unit = parts_.projection.steps_per_unit;
    }

    void encode() {
        codes_ = Buffer(facts_.rows * code_width());
        squares_.resize(facts_.rows);
        encode_rows(rows_, space(), parts_.projection.view(), 0, threads_, codes_.as<std::uint8_t>().data(),
                    squares_.data());
    }

    void sign(std::size_t row, std::int8_t* to) const {
        const std::uint8_t* const from = code(row);
        for (std::size_t j = 0; j < code_width(); ++j)
            to[j] = static_cast<std::int8_t>(from[j] - code_middle);
    }

    /// K-means (Lloyd) over a sample; a centre that nothing is near to stays where it was.
    Centres find_centres() {
        const std::size_t width = code_width(), clusters = facts_.clusters;
        std::vector<std::uint32_t> sample(facts_.rows);
        std::iota(sample.begin(), sample.end(), 0u);
        Random random(derive_key(key_, centres_key));
        const std::size_t count = std::min<std::size_t>(facts_.rows, clusters * sample_per_cluster);
        for (std::size_t i = 0; i < count; ++i) {
            std::swap(sample[i], sample[i + random.below(static_cast<std::uint32_t>(sample.size() - i))]);
        }
        sample.resize(count);
        Centres centres(clusters, facts_.width, width);
        for (std::size_t c = 0; c < clusters; ++c) centres.set(c, code(sample[c]));
        std::vector<std::uint32_t> nearest(count);
        for (int round = 0; round < rounds; ++round) {
            for_rows(count, [&](std::size_t first, std::size_t last) {
                std::vector<std::int8_t> row(width);
                std::vector<std::int32_t> distances(centres.squares().size());
                for (std::size_t i = first; i < last; ++i) {
                    sign(sample[i], row.data());
                    centres.compare(row.data(), distances.data());
                    nearest[i] = static_cast<std::uint32_t>(
                        std::min_element(distances.begin(), distances.end()) - distances.begin());
                }
            });
            move(centres, sample, nearest);
        }
        return centres;
    }

    /// Moves each centre to the mean of the rows that it is nearest to.
    void move(Centres& centres, std::span<const std::uint32_t> sample,
              std::span<const std::uint32_t> nearest) const {
        const auto [starts, members] = grouped(nearest, centres.count());
        parallel_for(centres.count(), threads_, [&, &starts = starts, &members = members](std::size_t c) {
            const std::size_t first = starts[c], count = starts[c + 1] - first;
            if (count == 0) return;
            std::vector<std::uint32_t> ids(count);
            for (std::size_t i = 0; i < count; ++i) ids[i] = sample[members[first + i]];
            std::vector<std::int32_t> sums(code_width());
            kernels().add_rows(code(0), ids.data(), count, code_width(), sums.data());
            std::vector<std::uint8_t> mean(code_width());
            const auto number = static_cast<std::int32_t>(count);
            for (std::size_t j = 0; j < mean.size(); ++j) {
                mean[j] = static_cast<std::uint8_t>((sums[j] + number / 2) / number);
            }
            centres.set(c, mean.data());
        });
    }

    /// What is in each of `groups`, in order, and where each begins.
    static std::pair<std::vector<std::size_t>, std::vector<std::uint32_t>> grouped(
        std::span<const std::uint32_t> group_of, std::size_t groups) {
        std::vector<std::size_t> starts(groups + 1);
        for (const std::uint32_t group : group_of) ++starts[group + 1];
        std::partial_sum(starts.begin(), starts.end(), starts.begin());
        std::vector<std::size_t> at(starts.begin(), starts.end() - 1);
        std::vector<std::uint32_t> members(group_of.size());
        for (std::size_t i = 0; i < group_of.size(); ++i) {
            members[at[group_of[i]]++] = static_cast<std::uint32_t>(i);
        }
        return {std::move(starts), std::move(members)};
    }

    /// Finds the clusters of each row: the nearest centre, and maybe one whose differences from the row point
    /// elsewhere than the first's, so that both are seldom far from the same query (SOAR, Sun et al. 2023).
    void assign(const Centres& centres) {
        clusters_of_.resize(facts_.rows * facts_.assignments);
        for_rows(facts_.rows, [&](std::size_t first, std::size_t last) {
            std::vector<std::int8_t> row(code_width()), residual(code_width());
            std::vector<std::int32_t> distances(centres.squares().size());
            for (std::size_t i = first; i < last; ++i) {
                sign(i, row.data());
                centres.compare(row.data(), distances.data());
                std::uint32_t* const to = clusters_of_.data() + i * facts_.assignments;
                to[0] = static_cast<std::uint32_t>(std::min_element(distances.begin(), distances.end()) -
                                                   distances.begin());
                if (facts_.assignments == 2) to[1] = second(centres, i, to[0], distances, residual);
            }
        });
    }

    std::uint32_t second(const Centres& centres, std::size_t row, std::uint32_t first,
                         std::span<const std::int32_t> distances, std::vector<std::int8_t>& residual) const {
        const Kernels& kernel = kernels();
        const std::size_t width = code_width();
        double length = 0, square = 0;
        for (std::size_t j = 0; j < width; ++j) {
            const int difference = code(row)[j] - centres.code(first)[j];
            residual[j] = static_cast<std::int8_t>(difference);
            length += difference * difference;
            square += (code(row)[j] - code_middle) * (code(row)[j] - code_middle);
        }
        const std::size_t choices = std::min<std::size_t>(second_choices, facts_.clusters);
        const std::int64_t limit = limit_of(distances.first(facts_.clusters), choices);
        const std::int32_t own = kernel.dot(code(row), residual.data(), width);
        double least = std::numeric_limits<double>::infinity();
        std::uint32_t best = first;
        for (std::uint32_t c = 0; c < facts_.clusters; ++c) {
            if (distances[c] >= limit || c == first) continue;
            const double along = own - kernel.dot(centres.code(c), residual.data(), width);
            const double cost = square + distances[c] + (length > 0 ? along * along / length : 0.0);
            if (cost < least) {
                least = cost;
                best = c;
            }
        }
        return best;
    }

    void find_gaps(const Centres& centres) {
        if (facts_.distance == Distance::dot) {
            // Queries are unlike rows.
            std::fill(facts_.gaps.means.begin() + 1, facts_.gaps.means.end(), farthest_gap);
            return;
        }
        const std::size_t step = std::max<std::size_t>(1, facts_.rows / rows_for_gaps);
        std::vector<std::int8_t> row(code_width());
        std::vector<std::int32_t> distances(centres.squares().size());
        std::array<double, std::tuple_size_v<decltype(facts_.gaps.means)>> sums{};
        double count = 0;
        for (std::size_t i = 0; i < facts_.rows; i += step, count += 1) {
            sign(i, row.data());
            centres.compare(row.data(), distances.data());
            std::sort(distances.begin(), distances.end());
            for (std::size_t power = 0; power < sums.size(); ++power) {
                const std::size_t rank = std::min<std::size_t>(std::size_t{1} << power, facts_.clusters);
                sums[power] += distances[rank - 1] - distances.front();
            }
        }
        for (std::size_t power = 0; power < sums.size(); ++power) {
            facts_.gaps.means[power] = static_cast<float>(sums[power] / count);
        }
    }

    void keep(const Centres& centres) {
        const auto copy = [](Buffer& to, const auto& from) {
            to = Buffer(from.size() * sizeof from[0]);
            std::memcpy(to.data(), from.data(), to.size());
        };
        copy(parts_.centres, centres.blocks());
        std::vector<std::int32_t> squares = centres.squares();
        if (facts_.distance == Distance::dot) {
            const auto end = squares.begin() + facts_.clusters;
            std::fill(squares.begin(), end, *std::max_element(squares.begin(), end));
        }
        copy(parts_.centre_squares, squares);
    }

    void find_residual_step(const Centres& centres) {
        double squared = 0;
        const std::size_t step = std::max<std::size_t>(1, facts_.rows / 20'000);
        std::size_t count = 0;
        for (std::size_t i = 0; i < facts_.rows; i += step, ++count) {
            const std::uint8_t* const centre = centres.code(clusters_of_[i * facts_.assignments]);
            for (std::size_t j = 0; j < facts_.width; ++j) {
                const int difference = code(i)[j] - centre[j];
                squared += difference * difference;
            }
        }
        const double deviation = std::sqrt(squared / static_cast<double>(count * facts_.width));
        facts_.residual_step = std::max(static_cast<float>(residual_deviations * deviation), 0.125f);
    }

    void write_blocks(const Centres& centres) {
        find_residual_step(centres);
        const auto [starts, members] = grouped(clusters_of_, facts_.clusters);
        std::vector<std::uint32_t> first_blocks(facts_.clusters + 1);
        for (std::size_t c = 0; c < facts_.clusters; ++c) {
            const std::size_t count = starts[c + 1] - starts[c];
            first_blocks[c + 1] = first_blocks[c] + static_cast<std::uint32_t>((count + 15) / 16);
        }
        facts_.blocks = first_blocks.back();
        parts_.first_blocks = Buffer(first_blocks.size() * sizeof(std::uint32_t));
        std::memcpy(parts_.first_blocks.data(), first_blocks.data(), parts_.first_blocks.size());
        parts_.blocks = Buffer(facts_.blocks * facts_.block_bytes());
        parallel_for(facts_.clusters, threads_, [&, &starts = starts, &members = members](std::size_t c) {
            const std::size_t first = starts[c], count = starts[c + 1] - first;
            const std::size_t places = round_up(count, 16);
            for (std::size_t i = 0; i < places; ++i) {
                std::byte* const block =
                    parts_.blocks.data() + (first_blocks[c] + i / 16) * facts_.block_bytes();
                if (i < count) {
                    write(block, i % 16, members[first + i] / facts_.assignments, centres, c);
                } else {
                    constexpr float far = std::numeric_limits<float>::infinity();
                    std::memcpy(block + residual_terms + i % 16 * sizeof far, &far, sizeof far);
                }
            }
        });
    }

    /// Writes what a search needs to estimate a row's distance: with q the query, c the centre and x the row,
    /// |q - x|^2 = |q - c|^2 + |x|^2 - |c|^2 - 2 <q, x - c>. Of x - c it has what the code stands for; what
    /// that misses is taken to be in the direction that queries near the row have: <c + (x - c) / 2, missed>.
    /// For dot all centres and all rows count as equally long.
    void write(std::byte* block, std::size_t place, std::uint32_t row, const Centres& centres,
               std::size_t c) const {
        const std::size_t width = facts_.width;
        const std::uint8_t *const x = code(row), *const centre = centres.code(c);
        auto* const codes = reinterpret_cast<std::uint8_t*>(block + residual_codes);
        double missed = 0;
        for (std::size_t j = 0; j < width; ++j) {
            const auto residual = static_cast<float>(x[j] - centre[j]);
            const float scaled = residual / facts_.residual_step + 2.0f;
            const auto number = static_cast<std::uint8_t>(std::clamp(scaled, 0.0f, 3.0f));
            const double meant = (static_cast<double>(number) - 1.5) * facts_.residual_step;
            missed += (centre[j] - code_middle + 0.5 * residual) * (residual - meant);
            std::uint8_t& byte = codes[j / 16 * 64 + place * 4 + j % 4];
            byte = static_cast<std::uint8_t>(byte | number << j % 16 / 4 * 2);
        }
        const bool lengths = facts_.distance != Distance::dot;
        const double given = lengths ? static_cast<double>(squares_[row]) - centres.squares()[c] : 0;
        const auto term = static_cast<float>(given - 2 * missed);
        std::memcpy(block + place * sizeof row, &row, sizeof row);
        std::memcpy(block + residual_terms + place * sizeof term, &term, sizeof term);
    }

    ClusterParts& parts_;
    ClusterFacts& facts_;
    RowsView rows_;
    unsigned threads_;
    std::uint64_t key_;
    Buffer codes_;                            ///< 7 bits a dimension
    std::vector<std::int32_t> squares_;       ///< squared distances of rows from the mean, in steps
    std::vector<std::uint32_t> clusters_of_;  ///< `assignments` for each row
};

}  // namespace

ClusterParts::ClusterParts(OwnedRows given, const ClusterOptions& options) : rows(std::move(given)) {
    Builder(*this, options).build();
}

ClusterView ClusterParts::view() const {
    return {facts,
            rows.view(),
            projection.view(),
            centres.as<std::uint8_t>().data(),
            centre_squares.as<std::int32_t>().data(),
            first_blocks.as<std::uint32_t>().data(),
            blocks.data()};
}

}  // namespace ann_bench
