#include "ann_bench/cluster.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "ann_bench/candidates.hpp"
#include "ann_bench/parts.hpp"
#include "ann_bench/threshold.hpp"
#include "cluster_builder.hpp"

namespace ann_bench {
namespace {

/// Blocks that are read between two looks at how near a row must be.
constexpr std::size_t blocks_at_once = 16;

/// Of the clusters that may be read, a query reads those that are not farther than the last of this share of
/// them is on average: where few stand out, few are enough.
constexpr double usual_share = 0.6;

class ClusterSearcher final : public Searcher {
  public:
    explicit ClusterSearcher(const ClusterView& view)
        : Searcher(view.facts.shape()),
          view_(view),
          exact_(view.rows),
          placed_(view.facts.depth),
          code_(view.facts.code_width()),
          signed_code_(view.facts.code_width()),
          distances_(view.facts.centre_blocks() * 16),
          candidates_(view.facts.rows) {}

    void answer(const Question& question, std::int32_t* ids, float* distances) override {
        exact_.start(query);
        answers_.clear();
        const std::size_t rerank = std::max<std::size_t>(question.effort.rerank, question.k);
        const std::uint64_t count = question.selection.count;
        const std::uint64_t others = count - (question.rules_itself_out() ? 1 : 0);
        // What is seldom is met seldom.
        const double rarity =
            static_cast<double>(view_.facts.rows) / static_cast<double>(std::max<std::uint64_t>(count, 1));
        const double wanted = std::ceil(static_cast<double>(question.effort.reach) * rarity);
        const auto reach =
            static_cast<std::size_t>(std::clamp(wanted, 1.0, static_cast<double>(view_.facts.clusters)));
        const double read =
            static_cast<double>(reach) / view_.facts.clusters * static_cast<double>(view_.facts.rows);
        const bool few =
            !question.selection.all() && static_cast<double>(count) * comparison_in_entries < read;
        if (rerank >= count || few ||
            !search(question, reach, rerank, std::min<std::uint64_t>(question.k, others))) {
            distance_computations += count;
            answers_.swap(exact_.nearest_of_all(question, nearest_));
        }
        write_answers(answers_, question.k, ids, distances);
    }

  private:
    /// So many entries are looked at in the time that a row is compared in.
    static constexpr double comparison_in_entries = 8;

    /// Returns false if it met fewer rows than `least`.
    bool search(const Question& question, std::size_t reach, std::size_t rerank, std::uint64_t least) {
        encode();
        route(reach);
        candidates_.start(rerank);
        const bool filtered = !question.selection.all() || question.itself != no_row;
        for (std::size_t i = 0; i < clusters_.size(); ++i) {
            const std::uint64_t next = clusters_[std::min(i + 1, clusters_.size() - 1)];
            if (filtered) {
                read<true>(question, clusters_[i], next);
            } else {
                read<false>(question, clusters_[i], next);
            }
        }
        if (candidates_.all().size() < least) return false;
        narrow(rerank);
        exact_.compare(rows_, answers_);
        return true;
    }

    /// Makes of the query what centres and residuals are compared with.
    void encode() {
        const std::size_t width = view_.facts.width;
        view_.facts.space().place_query(query.numbers.data(), placed_.data());
        if (view_.facts.distance == Distance::dot) lengthen();
        std::uint8_t* const code = code_.as<std::uint8_t>().data();
        std::int8_t* const to = signed_code_.as<std::int8_t>().data();
        project(view_.projection, placed_.data(), projection_, code);
        square_ = sum_ = 0;
        for (std::size_t j = 0; j < width; ++j) {
            const std::int32_t value = code[j] - code_middle;
            to[j] = static_cast<std::int8_t>(value);
            square_ += value * value;
            sum_ += value;
        }
    }

    /// Makes the query, of which the direction alone counts, as long as rows are from their mean, for a code
    /// as fine as theirs. It is no row, and not to be centred.
    void lengthen() {
        const ProjectionView& projection = view_.projection;
        const double length = std::sqrt(view_.facts.width) * code_middle / code_range;
        const float factor = inverse_norm(placed_.data(), view_.facts.dimension) *
                             static_cast<float>(length / projection.steps_per_unit);
        for (std::size_t j = 0; j < placed_.size(); ++j)
            placed_[j] = placed_[j] * factor + projection.mean[j];
    }

    /// Finds the `reach` nearest clusters, or a few more, but none that are much farther than the first; in
    /// order.
    void route(std::size_t reach) {
        const ClusterFacts& facts = view_.facts;
        const std::int8_t* const query = signed_code_.as<std::int8_t>().data();
        std::int32_t* const distances = distances_.data();
        for (std::size_t block = 0; block < facts.centre_blocks(); ++block) {
            kernel_.code_dots(view_.centres + block * facts.centre_block_bytes(), query, facts.width,
                              distances + 16 * block);
        }
        // With q the query and c a centre, of unsigned codes, |q - c|^2 is its square less 2 <q, c> and more
        // what all centres have. Unsigned, so that what a damaged file holds may wrap around.
        const auto rest = static_cast<std::uint32_t>(square_ + 2 * code_middle * sum_);
        const std::int32_t* const squares = view_.centre_squares;
        const std::size_t count = facts.clusters;
        for (std::size_t c = 0; c < count; ++c) {
            distances[c] = static_cast<std::int32_t>(static_cast<std::uint32_t>(squares[c]) -
                                                     2u * static_cast<std::uint32_t>(distances[c]) + rest);
        }
        const std::int64_t limit = reach >= count ? std::int64_t{1} << 31
                                                  : limit_of(std::span(distances, count), reach,
                                                             static_cast<std::int64_t>(facts.gaps.at(
                                                                 usual_share * static_cast<double>(reach))));
        clusters_.resize(count);
        std::uint64_t* const nearest = clusters_.data();
        std::size_t found = 0;
        for (std::size_t c = 0; c < count; ++c) {
            nearest[found] = std::uint64_t{static_cast<std::uint32_t>(std::max(distances[c], 0))} << 32 | c;
            found += distances[c] < limit;
        }
        clusters_.resize(found);
        std::sort(clusters_.begin(), clusters_.end());
        distance_computations += count;
    }

    /// Makes candidates of the rows of a cluster that look near enough and were not met before.
    template <bool filtered>
    void read(const Question& question, std::uint64_t cluster, std::uint64_t next) {
        const ClusterFacts& facts = view_.facts;
        const auto number = static_cast<std::uint32_t>(cluster);
        const std::uint32_t first = view_.first_blocks[number], last = view_.first_blocks[number + 1];
        if (first > last || last > facts.blocks)
            throw DamagedIndex("index damaged: a cluster's blocks are not there");
        // Codes stand for (2 number - 3) / 2 steps.
        const float base =
            static_cast<float>(cluster >> 32) + 3.0f * facts.residual_step * static_cast<float>(sum_);
        const float factor = 2.0f * facts.residual_step;
        const std::byte* const at_next =
            view_.blocks + view_.first_blocks[static_cast<std::uint32_t>(next)] * facts.block_bytes();
        // Evenly, so that what is called for meanwhile is not much less than what is read next.
        const std::size_t parts = (last - first + blocks_at_once - 1) / blocks_at_once;
        for (std::size_t part = 0; part < parts; ++part) {
            const std::size_t block = first + (last - first) * part / parts;
            const std::size_t some = first + (last - first) * (part + 1) / parts - block;
            const std::byte* const at = view_.blocks + block * facts.block_bytes();
            std::uint32_t rows[16 * blocks_at_once + 16];
            float estimates[16 * blocks_at_once + 16];
            const std::size_t found = kernel_.scan_residuals(
                at, some, signed_code_.as<std::int8_t>().data(), facts.width, base, factor,
                candidates_.limit(), block + some < last ? at + some * facts.block_bytes() : at_next, rows,
                estimates);
            candidates_.add<filtered>(rows, estimates, found, question);
            distance_computations += 16 * some;
        }
    }

    /// Leaves the `rerank` best candidates.
    void narrow(std::size_t rerank) {
        rows_.clear();
        const float limit = candidates_.limit();
        best_.clear();
        for (const Candidate& one : candidates_.all()) {
            if (one.estimate < limit || !(limit < std::numeric_limits<float>::infinity()))
                best_.emplace_back(one.estimate, one.row);
        }
        if (best_.size() > rerank) {
            std::nth_element(best_.begin(), best_.begin() + static_cast<std::ptrdiff_t>(rerank), best_.end());
            best_.erase(best_.begin() + static_cast<std::ptrdiff_t>(rerank), best_.end());
        }
        for (const Answer& one : best_) rows_.push_back(one.row());
    }

    ClusterView view_;
    const Kernels& kernel_ = kernels();
    ExactDistance exact_;
    ProjectionScratch projection_;
    std::vector<float> placed_;
    Buffer code_, signed_code_;
    std::int32_t square_ = 0, sum_ = 0;    ///< of the signed code
    std::vector<std::int32_t> distances_;  ///< of centres
    std::vector<std::uint64_t> clusters_;  ///< their distance, then their number
    Candidates candidates_;
    std::vector<std::uint32_t> rows_;
    Nearest nearest_;
    std::vector<Answer> best_, answers_;
};

/// Throws DamagedIndex if these are no numbers of an index of clusters. Afterwards no number of elements
/// overflows.
void check(const ClusterFacts& facts) {
    const auto require = [](bool holds, const char* what) {
        if (!holds) throw DamagedIndex(std::string("header: ") + what + " out of range");
    };
    require(facts.distance <= Distance::dot, "distance");
    require(facts.dimension >= 1 && facts.dimension <= max_dimension, "dimension");
    require(facts.depth == facts.space().depth(), "depth");
    require(facts.width == residual_width(facts.depth), "width");
    require(facts.clusters >= 1 && facts.clusters <= facts.rows, "clusters");
    require(facts.assignments >= 1 && facts.assignments <= 2, "assignments");
    require(facts.blocks < std::uint64_t{1} << 31, "blocks");
    require(facts.gaps.ascends() && facts.gaps.means.back() <= farthest_gap, "gaps");
}

}  // namespace

Cluster::Cluster(const ClusterView& view) : view_(view) {}
Cluster::~Cluster() = default;
Cluster::Cluster(Cluster&&) noexcept = default;
Cluster& Cluster::operator=(Cluster&&) noexcept = default;

Cluster Cluster::build(const Vectors& vectors, std::size_t count, std::uint32_t dimension,
                       const ClusterOptions& options) {
    if (options.distance > Distance::dot) {
        throw std::invalid_argument("distance: clusters are for euclidean, angular and dot");
    }
    OwnedRows rows(vectors, {options.distance, dimension, count}, options.threads);
    auto parts = std::make_unique<ClusterParts>(std::move(rows), options);
    Cluster cluster(parts->view());
    cluster.owned_ = std::move(parts);
    return cluster;
}

Cluster Cluster::open(std::shared_ptr<const SectionFile> file) {
    ClusterView view{};
    ClusterFacts& facts = view.facts;
    facts = file->facts<ClusterFacts>();
    try {
        check(facts);
    } catch (const DamagedIndex& error) {
        throw DamagedIndex(file->path() + ": " + error.what());
    }
    view.rows = RowsView::announced(*file, facts.shape(), facts.type);
    view.projection = {
        facts.depth, facts.code_width(), facts.projection_scale, facts.steps_per_unit, nullptr, nullptr,
        nullptr};
    open_parts(view, *file);
    file->expect_random_reads(rows_section);
    Cluster cluster(view);
    cluster.open_common(*file);
    cluster.file_ = std::move(file);
    return cluster;
}

Effort Cluster::usual_effort(std::size_t k) const {
    return {std::min<std::uint64_t>(32, view_.facts.clusters), 3 * k + 50};
}

std::unique_ptr<Searcher> Cluster::make_searcher() const {
    return std::make_unique<ClusterSearcher>(view_);
}

std::vector<Part> Cluster::parts() const {
    return parts_of(view_);
}

}  // namespace ann_bench
