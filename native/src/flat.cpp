#include "ann_bench/flat.hpp"

#include "ann_bench/parts.hpp"

namespace ann_bench {
namespace {

class FlatSearcher final : public Searcher {
  public:
    FlatSearcher(const Shape& shape, std::unique_ptr<Comparison> comparison)
        : Searcher(shape), rows_(shape.rows), comparison_(std::move(comparison)) {}

    void answer(const Question& question, std::int32_t* ids, float* distances) override {
        comparison_->start(query, question);
        question.selection.for_blocks(rows_,
                                      [&](std::span<const std::uint32_t> rows) { comparison_->add(rows); });
        write_answers(comparison_->take(), question.k, ids, distances);
        distance_computations += std::exchange(comparison_->distance_computations, 0);
    }

  private:
    std::uint64_t rows_;
    std::unique_ptr<Comparison> comparison_;
};

}  // namespace

Flat Flat::build(const Vectors& vectors, std::size_t count, std::uint32_t dimension, Distance distance,
                 bool codes, unsigned threads) {
    Flat flat;
    flat.owned_ = std::make_unique<OwnedRows>(vectors, Shape{distance, dimension, count}, threads);
    flat.show(flat.owned_->view(), codes);
    flat.make_codes(threads);
    return flat;
}

Flat Flat::open(std::shared_ptr<const SectionFile> file) {
    const auto facts = file->facts<FlatFacts>();
    Flat flat;
    RowsView rows = RowsView::announced(*file, {facts.distance, facts.dimension, facts.rows}, facts.type);
    open_parts(rows, *file);
    file->expect_random_reads(rows_section);
    flat.show(rows, facts.codes != 0);
    if (facts.codes != flat.facts_.codes) throw DamagedIndex(file->path() + ": header: codes out of range");
    if (facts.codes != 0) flat.codes_ = ByteCodesView::open(*file, flat.rows_.shape);
    flat.open_common(*file);
    flat.file_ = std::move(file);
    return flat;
}

void Flat::show(const RowsView& rows, bool codes) {
    const bool coded = codes && ByteCodesView::help(rows);
    facts_ = {rows.shape.distance, rows.shape.dimension, rows.type, coded ? 1u : 0u, rows.shape.rows};
    rows_ = rows;
}

void Flat::make_codes(unsigned threads) {
    if (facts_.codes == 0) return;
    owned_codes_.emplace(rows_, threads);
    codes_ = owned_codes_->view();
}

void Flat::append(const Vectors& vectors, std::size_t count, unsigned threads) {
    if (!owned_) owned_ = std::make_unique<OwnedRows>(rows_);
    owned_->append(vectors, count, threads);
    show(owned_->view(), facts_.codes != 0);
    make_codes(threads);
}

std::unique_ptr<Comparison> Flat::make_comparison() const {
    if (facts_.codes != 0) return std::make_unique<Sieve>(rows_, codes_);
    return Index::make_comparison();
}

std::unique_ptr<Searcher> Flat::make_searcher() const {
    return std::make_unique<FlatSearcher>(rows_.shape, make_comparison());
}

std::vector<Part> Flat::parts() const {
    std::vector<Part> parts = parts_of(rows_);
    if (facts_.codes != 0) {
        for (const Part& part : codes_.parts(rows_.shape.rows)) parts.push_back(part);
    }
    return parts;
}

}  // namespace ann_bench
