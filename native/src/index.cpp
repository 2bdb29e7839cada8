#include "ann_bench/index.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <exception>
#include <limits>
#include <stdexcept>

#include "ann_bench/cluster.hpp"
#include "ann_bench/flat.hpp"
#include "ann_bench/forest.hpp"
#include "ann_bench/graph.hpp"
#include "ann_bench/parallel.hpp"
#include "ann_bench/rows.hpp"

namespace ann_bench {
namespace {

constexpr std::uint32_t live_section = section_type("live");
constexpr std::uint32_t tune_section = section_type("tune");

std::size_t words_for(std::uint64_t rows) {
    return (rows + 63) / 64;
}

std::uint64_t count_bits(std::span<const std::uint64_t> words) {
    std::uint64_t count = 0;
    for (const std::uint64_t word : words) count += static_cast<std::uint64_t>(std::popcount(word));
    return count;
}

/// The bits of the last word that stand for rows.
std::uint64_t last_word(std::uint64_t rows) {
    return rows % 64 == 0 ? ~std::uint64_t{0} : (std::uint64_t{1} << rows % 64) - 1;
}

}  // namespace

void write_answers(std::vector<Answer>& answers, std::size_t k, std::int32_t* ids, float* distances) {
    const std::size_t found = std::min(k, answers.size());
    std::partial_sort(answers.begin(), answers.begin() + static_cast<std::ptrdiff_t>(found), answers.end());
    for (std::size_t i = 0; i < found; ++i) {
        ids[i] = static_cast<std::int32_t>(answers[i].row());
        distances[i] = answers[i].distance();
    }
    for (std::size_t i = found; i < k; ++i) {
        ids[i] = -1;
        distances[i] = std::numeric_limits<float>::infinity();
    }
}

/// Keeps searchers between searches, so that a search allocates nothing, and adds up what they counted.
struct Index::Pool {
    std::mutex mutex;
    std::vector<std::unique_ptr<Searcher>> free;
    std::uint64_t distance_computations = 0;
};

/// A searcher for as long as it lives. One that an exception interrupts is thrown away, as it is not clean.
class Index::Lease {
  public:
    explicit Lease(const Index& index) : pool_(*index.pool_), exceptions_(std::uncaught_exceptions()) {
        {
            const std::scoped_lock lock(pool_.mutex);
            if (!pool_.free.empty()) {
                searcher_ = std::move(pool_.free.back());
                pool_.free.pop_back();
            }
        }
        if (!searcher_) searcher_ = index.make_searcher();
    }
    ~Lease() {
        if (std::uncaught_exceptions() > exceptions_) return;
        const std::scoped_lock lock(pool_.mutex);
        pool_.distance_computations += searcher_->distance_computations;
        searcher_->distance_computations = 0;
        pool_.free.push_back(std::move(searcher_));
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    Searcher& operator*() const { return *searcher_; }

  private:
    Pool& pool_;
    std::unique_ptr<Searcher> searcher_;
    int exceptions_;
};

Index::~Index() = default;
Index::Index() : pool_(std::make_unique<Pool>()) {}
Index::Index(Index&&) noexcept = default;
Index& Index::operator=(Index&&) noexcept = default;

std::unique_ptr<Index> Index::open(const std::string& path, OpenMode mode) {
    auto file = std::make_shared<const SectionFile>(SectionFile::open(path, mode));
    switch (file->kind()) {
        case IndexKind::forest:
            return std::make_unique<Forest>(Forest::open(std::move(file)));
        case IndexKind::flat:
            return std::make_unique<Flat>(Flat::open(std::move(file)));
        case IndexKind::graph:
            return std::make_unique<Graph>(Graph::open(std::move(file)));
        case IndexKind::cluster:
            return std::make_unique<Cluster>(Cluster::open(std::move(file)));
    }
    throw DamagedIndex(path + ": holds an index of " + name_of(file->kind()) +
                       ", which this build does not know: use a newer one");
}

Shape Index::shape() const {
    return rows().shape;
}

void Index::vector(std::uint64_t row, float* to) const {
    const RowsView view = rows();
    if (row >= view.shape.rows) throw std::out_of_range("no such row");
    view.read(row, to);
}

/// Calls read(i, query, question) for each vector and has it answered.
template <class Read>
void Index::run(std::size_t count, const Request& request, std::int32_t* ids, float* distances,
                Read read) const {
    constexpr std::size_t queries_per_task = 16;
    Question question{request.k, request.effort, selection()};
    std::vector<std::uint64_t> both;
    if (request.allowed) {
        const std::span allowed = *request.allowed;
        const std::uint64_t rows = shape().rows;
        if (allowed.size() != words_for(rows)) {
            throw std::invalid_argument("allow: it has a bit for each row of the index");
        }
        both.assign(allowed.begin(), allowed.end());
        both.back() &= last_word(rows);
        for (std::size_t i = 0; i < live_.size(); ++i) both[i] &= live_[i];
        question.selection = {both.data(), count_bits(both)};
    }
    const std::size_t k = request.k;
    const Effort whole = whole_effort();
    const bool all =
        count > 1 && request.effort.reach >= whole.reach && request.effort.rerank >= whole.rerank;
    const auto some = [&](std::size_t task) {
        const std::size_t first = task * queries_per_task, last = std::min(count, first + queries_per_task);
        if (all) {
            compare_all(first, last, question, ids, distances, read);
            return;
        }
        const Lease lease(*this);
        Searcher& searcher = *lease;
        Question own = question;
        for (std::size_t i = first; i < last; ++i) {
            read(i, searcher.query, own);
            searcher.answer(own, ids + i * k, distances + i * k);
        }
    };
    if (count == 1) {
        some(0);
    } else {
        parallel_for((count + queries_per_task - 1) / queries_per_task, request.threads, some);
    }
}

std::unique_ptr<Comparison> Index::make_comparison() const {
    return std::make_unique<ExactComparison>(rows());
}

/// Compares some vectors with all rows, a few rows at a time: those stay in the cache for all the vectors.
template <class Read>
void Index::compare_all(std::size_t first, std::size_t last, const Question& question, std::int32_t* ids,
                        float* distances, Read read) const {
    struct One {
        Query query;
        Question question;
        std::unique_ptr<Comparison> comparison;
    };
    std::vector<One> all;
    all.reserve(last - first);
    for (std::size_t i = first; i < last; ++i) {
        One& one = all.emplace_back(Query(shape()), question, make_comparison());
        read(i, one.query, one.question);
        one.comparison->start(one.query, one.question);
    }
    question.selection.for_blocks(shape().rows, [&](std::span<const std::uint32_t> rows) {
        for (One& one : all) one.comparison->add(rows);
    });
    std::uint64_t computed = 0;
    for (std::size_t i = first; i < last; ++i) {
        Comparison& comparison = *all[i - first].comparison;
        write_answers(comparison.take(), question.k, ids + i * question.k, distances + i * question.k);
        computed += comparison.distance_computations;
    }
    const std::scoped_lock lock(pool_->mutex);
    pool_->distance_computations += computed;
}

void Index::query(const Vectors& vectors, std::size_t count, const Request& request, std::int32_t* ids,
                  float* distances) const {
    const auto [distance, dimension, rows] = shape();
    check_vectors(vectors, count, dimension, distance);
    const std::uint32_t length = dimension;
    run(count, request, ids, distances, [&](std::size_t i, Query& query, Question&) {
        if (!query.bits.empty()) {
            read_bits(vectors, i, length, query.bits.data());
        } else if (!read_floats(vectors, i, length, query.numbers.data())) {
            throw std::invalid_argument("vectors: row " + std::to_string(i) +
                                        " holds NaN or infinity; every value must be finite as float32");
        }
    });
}

void Index::query_rows(std::span<const std::uint32_t> rows, const Request& request, std::int32_t* ids,
                       float* distances) const {
    const RowsView view = this->rows();
    for (const std::uint32_t row : rows) {
        if (row >= view.shape.rows) throw std::out_of_range("no such row");
    }
    run(rows.size(), request, ids, distances, [&](std::size_t i, Query& query, Question& question) {
        question.itself = rows[i];
        if (query.bits.empty()) {
            view.read(rows[i], query.numbers.data());
        } else {
            std::memcpy(query.bits.data(), view.row(rows[i]), query.bits.size() * sizeof(std::uint64_t));
        }
    });
}

Effort Index::effort_for(std::size_t k, std::optional<float> recall) const {
    if (tuned_.empty()) {
        if (!recall) return usual_effort(k);
        throw std::invalid_argument(
            "recall: this index was not tuned: call tune() first, or give the effort");
    }
    const TunedEffort* best = recall ? nullptr : &tuned_.front();
    for (const TunedEffort& one : tuned_) {
        const bool enough = recall && one.recall >= *recall;
        if (enough && (best == nullptr || one.recall < best->recall)) best = &one;
    }
    if (best == nullptr) {
        float most = 0;
        for (const TunedEffort& one : tuned_) most = std::max(most, one.recall);
        throw std::invalid_argument("recall: got " + std::to_string(*recall) +
                                    "; this index was tuned for at most " + std::to_string(most));
    }
    // More neighbours than it was tuned for take as much more.
    const double more = std::max(1.0, static_cast<double>(k) / std::max<std::uint32_t>(best->k, 1));
    const auto scaled = [more](std::uint64_t number) {
        const double product = std::ceil(static_cast<double>(number) * more);
        return product < 0x1p62 ? static_cast<std::uint64_t>(product) : number;
    };
    return {scaled(best->effort.reach), scaled(best->effort.rerank)};
}

void Index::remove(std::span<const std::uint32_t> rows) {
    const std::uint64_t count = shape().rows;
    for (const std::uint32_t row : rows) {
        if (row >= count) throw std::out_of_range("row: no such row");
    }
    std::vector<std::uint64_t> live = live_;
    if (live.empty()) {
        live.assign(words_for(count), ~std::uint64_t{0});
        live.back() = last_word(count);
    }
    for (const std::uint32_t row : rows) live[row / 64] &= ~(std::uint64_t{1} << row % 64);
    set_live(std::move(live));
}

void Index::set_live(std::vector<std::uint64_t> live) {
    live_ = std::move(live);
    live_count_ = count_bits(live_);
}

void Index::append(const Vectors&, std::size_t, unsigned) {
    throw std::invalid_argument("a " + name_of(kind()) + " cannot grow: build it anew");
}

void Index::add(const Vectors& vectors, std::size_t count, unsigned threads) {
    if (count == 0) return;
    const std::uint64_t before = shape().rows;
    append(vectors, count, threads);
    {
        // Searchers look at the rows that there were.
        const std::scoped_lock lock(pool_->mutex);
        pool_->free.clear();
    }
    if (live_.empty()) return;
    std::vector<std::uint64_t> live = std::move(live_);
    live.resize(words_for(before + count));
    for (std::uint64_t row = before; row < before + count; ++row)
        live[row / 64] |= std::uint64_t{1} << row % 64;
    set_live(std::move(live));
}

std::vector<Part> Index::common_parts() const {
    std::vector<Part> parts;
    if (!live_.empty()) parts.push_back({live_section, 8, std::as_bytes(std::span(live_))});
    if (!tuned_.empty())
        parts.push_back({tune_section, sizeof(TunedEffort), std::as_bytes(std::span(tuned_))});
    return parts;
}

void Index::save(const std::string& path) const {
    SectionWriter writer(path);
    for (const Part& part : parts()) {
        writer.add(part.type, static_cast<std::uint32_t>(part.element_bytes), part.bytes);
    }
    write_common(writer);
}

void Index::write_common(SectionWriter& writer) const {
    for (const Part& part : common_parts()) {
        writer.add(part.type, static_cast<std::uint32_t>(part.element_bytes), part.bytes);
    }
    writer.commit(kind(), header_facts());
}

std::uint64_t Index::size_bytes() const {
    std::uint64_t end = sizeof(FileHeader);
    const auto add = [&end](const std::vector<Part>& parts) {
        for (const Part& part : parts) {
            end = (end + section_alignment - 1) / section_alignment * section_alignment + part.bytes.size();
        }
    };
    add(parts());
    add(common_parts());
    return (end + section_alignment - 1) / section_alignment * section_alignment;
}

void Index::open_common(const SectionFile& file) {
    const std::uint64_t rows = shape().rows;
    if (file.has(live_section)) {
        const auto words = file.section<std::uint64_t>(live_section, words_for(rows));
        std::vector<std::uint64_t> live(words.begin(), words.end());
        if (!live.empty()) live.back() &= last_word(rows);
        set_live(std::move(live));
    }
    if (file.has(tune_section)) {
        const auto tuned = file.section<TunedEffort>(tune_section);
        for (const TunedEffort& one : tuned) {
            if (!(one.recall > 0 && one.recall <= 1) || one.k == 0 || one.effort.reach == 0) {
                throw DamagedIndex(file.path() + ": what it was tuned for is out of range");
            }
        }
        tuned_.assign(tuned.begin(), tuned.end());
    }
}

std::uint64_t Index::distance_computations() const {
    const std::scoped_lock lock(pool_->mutex);
    return pool_->distance_computations;
}

}  // namespace ann_bench
