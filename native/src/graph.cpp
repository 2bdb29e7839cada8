#include "ann_bench/graph.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "ann_bench/parts.hpp"
#include "ann_bench/threshold.hpp"
#include "graph_builder.hpp"

namespace ann_bench {
namespace {

/// Codes that are compared at once where all of them are.
constexpr std::size_t codes_at_once = 64;

/// How near the vertices around a query are is told by the k-th nearest, or this one.
constexpr std::uint64_t least_rank = 10;

/// A walk follows at most so many times as many vertices as it is asked to on average.
constexpr std::size_t most_times_followed = 4;

/// A walk compares about so many codes for each vertex that it follows.
constexpr std::uint64_t codes_per_vertex = 24;

class GraphSearcher final : public Searcher {
  public:
    explicit GraphSearcher(const GraphView& view)
        : Searcher(view.facts.shape()),
          view_(view),
          exact_(view.rows),
          walk_(view.graph),
          placed_(view.facts.depth),
          code_(view.facts.width),
          query_code_(view.facts.width) {}

    void answer(const Question& question, std::int32_t* ids, float* distances) override {
        exact_.start(query);
        answers_.clear();
        const Selection& selection = question.selection;
        const std::size_t rerank = std::max<std::size_t>(question.effort.rerank, question.k);
        if (rerank >= selection.count) {
            distance_computations += selection.count;
            answers_.swap(exact_.nearest_of_all(question, nearest_));
        } else {
            encode();
            const std::uint64_t rows = view_.facts.rows;
            // What is seldom is met seldom.
            const double rarity = static_cast<double>(rows) / static_cast<double>(selection.count);
            const auto more = [&](std::uint64_t number) {
                return static_cast<std::size_t>(
                    std::min(std::ceil(static_cast<double>(number) * rarity), static_cast<double>(rows)));
            };
            const std::size_t followed = std::max<std::size_t>(more(question.effort.reach), 1);
            const std::size_t rank = more(std::max<std::uint64_t>(question.k, least_rank));
            const bool few = selection.count / codes_per_vertex <= followed;
            if (few || !walk(question, followed, rank, rerank)) compare_codes(question, rerank);
        }
        write_answers(answers_, question.k, ids, distances);
    }

  private:
    /// Makes of the query the code that walks compare.
    void encode() {
        view_.space().place_query(query.numbers.data(), placed_.data());
        std::uint8_t* const code = code_.as<std::uint8_t>().data();
        project(view_.projection, placed_.data(), projection_, code);
        query_code(code, view_.facts.width, query_code_.as<std::int8_t>().data());
    }

    /// Returns false if it does not find enough rows with less work than comparing all codes.
    bool walk(const Question& question, std::size_t followed, std::size_t rank, std::size_t rerank) {
        const std::uint64_t others = question.selection.count - (question.rules_itself_out() ? 1 : 0);
        const std::uint64_t wanted = std::min<std::uint64_t>(question.k, others);
        for (;; followed *= 2) {
            const std::span keys = walk_.walk(query_code_.as<std::int8_t>().data(),
                                              reach_of(followed, rank, rerank), question.itself);
            distance_computations += walk_.scored();
            candidates_.clear();
            if (rerank <= keys.size() && question.selection.all()) {
                for (const std::uint64_t key : keys.first(rerank)) candidates_.push_back(vertex_of(key));
            } else {
                choose(question.selection, rerank);
            }
            if (candidates_.size() >= wanted) break;
            if (walk_.scored() * 2 > question.selection.count || followed >= view_.facts.rows) return false;
        }
        exact_.compare(candidates_, answers_);
        return true;
    }

    /// As far as the `followed`-th nearest vertex is as a rule, by how far the `rank`-th nearest is here:
    /// where many are about as near, more than `followed`, but not without bound, and elsewhere fewer.
    Reach reach_of(std::size_t followed, std::size_t rank, std::size_t rerank) const {
        if (followed <= rank) return {followed};
        const auto& usual = view_.facts.distances;
        const double times = usual.at(static_cast<double>(followed)) / usual.at(static_cast<double>(rank));
        const std::size_t most = std::min<std::size_t>(most_times_followed * followed, view_.facts.rows);
        return {most, rank, times, std::max(rank, rerank)};
    }

    /// Makes candidates of the `rerank` nearest by their codes, or a few more, of all that a walk saw.
    void choose(const Selection& selection, std::size_t rerank) {
        const std::span seen = walk_.seen();
        std::span<const std::int32_t> distances = walk_.distances();
        if (!selection.all()) {
            distances_.clear();
            for (std::size_t i = 0; i < seen.size(); ++i) {
                if (!selection.has(seen[i])) continue;
                candidates_.push_back(seen[i]);
                distances_.push_back(distances[i]);
            }
            distances = distances_;
        } else {
            candidates_.assign(seen.begin(), seen.end());
        }
        if (candidates_.size() <= rerank) return;
        const std::int64_t limit = limit_of(distances, rerank);
        std::size_t kept = 0;
        for (std::size_t i = 0; i < candidates_.size(); ++i) {
            candidates_[kept] = candidates_[i];
            kept += distances[i] < limit;
        }
        candidates_.resize(kept);
    }

    /// Compares the codes of all rows that may be answers.
    void compare_codes(const Question& question, std::size_t rerank) {
        candidates_.clear();
        nearest_.start(rerank);
        std::uint32_t some[codes_at_once];
        std::size_t count = 0;
        const auto compare = [&] {
            std::int32_t squares[codes_at_once];
            kernels().short_code_squares(view_.graph.codes, some, count, query_code_.as<std::int8_t>().data(),
                                         view_.facts.width, squares);
            for (std::size_t i = 0; i < count; ++i) nearest_.add(static_cast<float>(squares[i]), some[i]);
            count = 0;
        };
        question.selection.for_each(view_.facts.rows, [&](std::uint32_t row) {
            if (row == question.itself) return;
            some[count++] = row;
            if (count == codes_at_once) compare();
        });
        compare();
        distance_computations += question.selection.count;
        std::vector<Answer>& best = nearest_.take();
        if (best.size() > rerank) {
            std::nth_element(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(rerank), best.end());
            best.erase(best.begin() + static_cast<std::ptrdiff_t>(rerank), best.end());
        }
        for (const Answer& one : best) candidates_.push_back(one.row());
        exact_.compare(candidates_, answers_);
    }

    GraphView view_;
    ExactDistance exact_;
    GraphWalk walk_;
    ProjectionScratch projection_;
    std::vector<float> placed_;
    Buffer code_, query_code_;
    Nearest nearest_;
    std::vector<std::uint32_t> candidates_;
    std::vector<std::int32_t> distances_;  ///< of candidates, by their codes
    std::vector<Answer> answers_;
};

/// Throws DamagedIndex if these are no numbers of a graph. Afterwards no number of elements overflows.
void check(const GraphFacts& facts) {
    const auto require = [](bool holds, const char* what) {
        if (!holds) throw DamagedIndex(std::string("header: ") + what + " out of range");
    };
    require(facts.distance <= Distance::dot, "distance");
    require(facts.dimension >= 1 && facts.dimension <= max_dimension, "dimension");
    require(facts.depth == MetricSpace(facts.distance, facts.dimension, 0).depth(), "depth");
    require(facts.width == graph_code_width(facts.depth), "width");
    require(facts.degree >= 1 && facts.degree <= most_degree, "degree");
    require(facts.fitted >= 1 && facts.fitted <= facts.rows, "fitted rows");
    require(facts.entries >= 1 && facts.entries <= most_entries, "entries");
    require(facts.distances.ascends(), "distances");
}

}  // namespace

Graph Graph::build(const Vectors& vectors, std::size_t count, std::uint32_t dimension,
                   const GraphOptions& options) {
    if (options.distance > Distance::dot) {
        throw std::invalid_argument("distance: a graph is for euclidean, angular and dot");
    }
    if (options.degree > most_degree) throw std::invalid_argument("degree: at most 1024");
    OwnedRows rows(vectors, {options.distance, dimension, count}, options.threads);
    auto parts = std::make_unique<GraphParts>(std::move(rows), options);
    Graph graph(parts->view());
    graph.owned_ = std::move(parts);
    return graph;
}

Graph::Graph(const GraphView& view) : view_(view) {}
Graph::~Graph() = default;
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;

void Graph::append(const Vectors& vectors, std::size_t count, unsigned threads) {
    if (!owned_) owned_ = std::make_unique<GraphParts>(view_);
    owned_->append(vectors, count, threads);
    view_ = owned_->view();
}

Graph Graph::open(std::shared_ptr<const SectionFile> file) {
    GraphView view{};
    GraphFacts& facts = view.facts;
    facts = file->facts<GraphFacts>();
    try {
        check(facts);
    } catch (const DamagedIndex& error) {
        throw DamagedIndex(file->path() + ": " + error.what());
    }
    view.rows = RowsView::announced(*file, facts.shape(), facts.type);
    view.projection = {facts.depth, facts.width, facts.projection_scale, facts.steps_per_unit, nullptr,
                       nullptr,     nullptr};
    view.graph = {facts.rows, facts.width, facts.degree, facts.entries, nullptr, nullptr, nullptr, nullptr};
    open_parts(view, *file);
    file->expect_random_reads(rows_section);
    file->expect_random_reads(section_type("code"));
    file->expect_random_reads(section_type("edge"));
    Graph graph(view);
    graph.open_common(*file);
    graph.file_ = std::move(file);
    return graph;
}

Effort Graph::usual_effort(std::size_t k) const {
    return {k + 30, k + k / 2 + 20};
}

std::unique_ptr<Searcher> Graph::make_searcher() const {
    return std::make_unique<GraphSearcher>(view_);
}

std::vector<Part> Graph::parts() const {
    return parts_of(view_);
}

}  // namespace ann_bench
