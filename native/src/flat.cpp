#include "ann_bench/flat.hpp"

namespace ann_bench {
namespace {

class FlatSearcher final : public Searcher {
  public:
    explicit FlatSearcher(const RowsView& rows) : Searcher(rows.shape), rows_(rows), exact_(rows) {}

    void answer(const Question& question, std::int32_t* ids, float* distances) override {
        exact_.start(query);
        nearest_.start(question.k);
        question.selection.for_each(rows_.shape.rows, [&](std::uint32_t row) {
            if (row != question.itself) nearest_.add(exact_.rank(row), row);
        });
        distance_computations += question.selection.count;
        write_answers(nearest_.take(exact_), question.k, ids, distances);
    }

  private:
    RowsView rows_;
    ExactDistance exact_;
    Nearest nearest_;
};

}  // namespace

Flat Flat::build(const Vectors& vectors, std::size_t count, std::uint32_t dimension, Distance distance,
                 unsigned threads) {
    auto rows = std::make_unique<OwnedRows>(vectors, Shape{distance, dimension, count}, threads);
    Flat flat(rows->view());
    flat.owned_ = std::move(rows);
    return flat;
}

Flat Flat::open(std::shared_ptr<const SectionFile> file) {
    const auto facts = file->facts<FlatFacts>();
    Flat flat(RowsView::open(*file, {facts.distance, facts.dimension, facts.rows}, facts.type));
    flat.open_common(*file);
    flat.file_ = std::move(file);
    return flat;
}

void Flat::show(const RowsView& rows) {
    facts_ = {rows.shape.distance, rows.shape.dimension, rows.type, 0, rows.shape.rows};
    rows_ = rows;
}

void Flat::append(const Vectors& vectors, std::size_t count, unsigned threads) {
    if (!owned_) owned_ = std::make_unique<OwnedRows>(rows_);
    owned_->append(vectors, count, threads);
    show(owned_->view());
}

std::unique_ptr<Searcher> Flat::make_searcher() const {
    return std::make_unique<FlatSearcher>(rows_);
}

std::vector<Part> Flat::parts() const {
    return rows_.parts();
}

}  // namespace ann_bench
