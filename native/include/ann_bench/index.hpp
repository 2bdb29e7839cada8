#pragma once
// What all kinds of index have in common: saving, opening, queries from many threads, rows taken out.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ann_bench/distance.hpp"
#include "ann_bench/section_file.hpp"
#include "ann_bench/vectors.hpp"

namespace ann_bench {

/// What every index is over.
struct Shape {
    Distance distance;
    std::uint32_t dimension;
    std::uint64_t rows;
};

/// How much a search looks at.
struct Effort {
    std::uint64_t
        reach;  ///< what the kind counts: leaf entries of a forest, vertices that a graph's walk keeps
    std::uint64_t rerank;  ///< rows whose exact distance is computed; at least k are
};

/// An effort that was found to reach a recall, as it stands in the file.
struct TunedEffort {
    float recall;
    std::uint32_t k;
    Effort effort;
};
static_assert(sizeof(TunedEffort) == 24);

/// Some of the rows: all, or those whose bit is set. Does not own the bits.
struct Selection {
    const std::uint64_t* words = nullptr;  ///< a bit for each row, zeros after the last; null for all
    std::uint64_t count = 0;               ///< rows in it

    bool all() const { return words == nullptr; }
    bool has(std::uint64_t row) const { return words == nullptr || (words[row / 64] >> row % 64 & 1) != 0; }

    /// Calls body(row) for each row of it, rising, where there are `rows`.
    template <class Body>
    void for_each(std::uint64_t rows, Body body) const {
        if (all()) {
            for (std::uint32_t row = 0; row < rows; ++row) body(row);
            return;
        }
        for (std::uint64_t first = 0; first < rows; first += 64) {
            for (std::uint64_t rest = words[first / 64]; rest != 0; rest &= rest - 1) {
                body(static_cast<std::uint32_t>(first) + static_cast<std::uint32_t>(std::countr_zero(rest)));
            }
        }
    }

    /// Calls body(rows) for the rows of it, some at a time, rising, where there are `rows`.
    template <class Body>
    void for_blocks(std::uint64_t rows, Body body) const {
        std::array<std::uint32_t, 64> block;
        std::size_t count = 0;
        for_each(rows, [&](std::uint32_t row) {
            block[count++] = row;
            if (count < block.size()) return;
            body(std::span<const std::uint32_t>(block));
            count = 0;
        });
        if (count > 0) body(std::span<const std::uint32_t>(block).first(count));
    }
};

inline constexpr std::uint32_t no_row = ~std::uint32_t{0};

/// What is asked of a vector.
struct Question {
    std::size_t k;
    Effort effort;
    Selection selection;
    std::uint32_t itself = no_row;  ///< the row that asks: it is searched as if it were not there

    bool rules_itself_out() const { return itself != no_row && selection.has(itself); }
};

/// A row and its distance, ordered by distance, then by number.
class Answer {
  public:
    Answer(float distance, std::uint32_t row) : key_(std::uint64_t{ordered(distance)} << 32 | row) {}

    float distance() const {
        const auto high = static_cast<std::uint32_t>(key_ >> 32);
        return std::bit_cast<float>((high & sign) != 0 ? high ^ sign : ~high);
    }
    std::uint32_t row() const { return static_cast<std::uint32_t>(key_); }
    bool operator<(const Answer& other) const { return key_ < other.key_; }

  private:
    static constexpr std::uint32_t sign = 0x8000'0000u;

    /// An integer that orders numbers as they are; both zeros are one.
    static std::uint32_t ordered(float number) {
        const auto bits = std::bit_cast<std::uint32_t>(number + 0.0f);
        return (bits & sign) != 0 ? ~bits : bits ^ sign;
    }

    std::uint64_t key_;
};

/// Writes the `k` first of the answers, nearest first; then -1 and +inf. Reorders them.
void write_answers(std::vector<Answer>& answers, std::size_t k, std::int32_t* ids, float* distances);

/// A vector that is asked for: numbers, or bits.
struct Query {
    explicit Query(const Shape& shape)
        : numbers(takes_bits(shape.distance) ? 0 : shape.dimension),
          bits(takes_bits(shape.distance) ? (shape.dimension + 63) / 64 : 0) {}

    std::vector<float> numbers;
    std::vector<std::uint64_t> bits;
};

/// Searches for one thread at a time. Its memory serves one search after another.
class Searcher {
  public:
    explicit Searcher(const Shape& shape) : query(shape) {}
    virtual ~Searcher() = default;
    Searcher(const Searcher&) = delete;
    Searcher& operator=(const Searcher&) = delete;

    /// Answers for the vector in `query`, which it may change, as write_answers writes it.
    /// Throws DamagedIndex.
    virtual void answer(const Question& question, std::int32_t* ids, float* distances) = 0;

    Query query;
    std::uint64_t distance_computations = 0;
};

/// Compares a vector with rows that are told of, some at a time, and finds the nearest of them.
class Comparison {
  public:
    Comparison() = default;
    virtual ~Comparison() = default;
    Comparison(const Comparison&) = delete;
    Comparison& operator=(const Comparison&) = delete;

    /// The vector in `query`, which it may change, and which stays until `take`. Of the rows to come, that
    /// of the question itself is passed over.
    virtual void start(Query& query, const Question& question) = 0;
    virtual void add(std::span<const std::uint32_t> rows) = 0;
    /// The `k` nearest, and maybe more, in no order.
    virtual std::vector<Answer>& take() = 0;

    std::uint64_t distance_computations = 0;
};

/// What a query tells besides its vectors.
struct Request {
    std::size_t k;
    Effort effort;
    unsigned threads = 1;
    /// The only rows to answer with: a bit for each row, in whole words.
    std::optional<std::span<const std::uint64_t>> allowed{};
};

/// A section of the file that holds an index.
struct Part {
    std::uint32_t type;
    std::size_t element_bytes;
    std::span<const std::byte> bytes;
};

struct RowsView;

/// An index of rows that finds those nearest to a vector.
///
/// Members that are const may be called from several threads at once, others from one while no other is at
/// work.
class Index {
  public:
    virtual ~Index();

    /// Opens what `save` wrote, of whatever kind: see SectionFile::open. Throws DamagedIndex too if the
    /// sections do not fit each other.
    static std::unique_ptr<Index> open(const std::string& path, OpenMode mode = OpenMode::mmap);

    virtual IndexKind kind() const = 0;
    virtual RowsView rows() const = 0;
    Shape shape() const;

    /// What a search for `k` neighbours does in an index that was not tuned.
    virtual Effort usual_effort(std::size_t k) const = 0;

    /// The effort that looks at everything: a search then compares all rows, and is exact.
    virtual Effort whole_effort() const = 0;

    /// Writes a row as it was given (bits: 0 and 1) to `to`. Throws std::out_of_range.
    void vector(std::uint64_t row, float* to) const;

    /// Finds the `k` nearest of the rows that a search sees, for each of `count` vectors.
    ///
    /// `ids` and `distances` have room for count x k values: nearest first, ties by id, -1 and +inf where
    /// there are fewer rows. Throws std::invalid_argument if a value is not finite or `allowed` is not of
    /// this index's size, DamagedIndex.
    void query(const Vectors& vectors, std::size_t count, const Request& request, std::int32_t* ids,
               float* distances) const;

    /// The same for rows of the index, each searched for as if it were not there.
    void query_rows(std::span<const std::uint32_t> rows, const Request& request, std::int32_t* ids,
                    float* distances) const;

    /// What a search for `k` neighbours does unless told otherwise: what reaches `recall`, where the index
    /// was tuned; the first thing it was tuned for, if no recall is told. Throws std::invalid_argument if it
    /// was not tuned for as much.
    Effort effort_for(std::size_t k, std::optional<float> recall = std::nullopt) const;

    /// What it was tuned for; `save` keeps it.
    const std::vector<TunedEffort>& tuned() const { return tuned_; }
    void set_tuned(std::vector<TunedEffort> tuned) { tuned_ = std::move(tuned); }

    /// Adds `count` vectors, whose numbers follow those of the rows there are; it then takes them as if it
    /// had been built with them, about. Throws std::invalid_argument if a value is not finite, and then
    /// changes nothing; or if this kind cannot grow.
    void add(const Vectors& vectors, std::size_t count, unsigned threads);

    /// Takes rows out: no search finds them any more. Those that are out already stay so. Throws
    /// std::out_of_range, and then changes nothing.
    void remove(std::span<const std::uint32_t> rows);

    /// Rows that can be found.
    std::uint64_t present() const { return live_.empty() ? shape().rows : live_count_; }
    bool is_present(std::uint64_t row) const { return selection().has(row); }

    /// Writes the index to `path`, whole or not at all: see SectionWriter.
    void save(const std::string& path) const;

    /// Bytes of the saved file.
    std::uint64_t size_bytes() const;

    /// Distances that the queries so far computed or estimated.
    std::uint64_t distance_computations() const;

  protected:
    Index();
    Index(Index&&) noexcept;
    Index& operator=(Index&&) noexcept;

    virtual std::unique_ptr<Searcher> make_searcher() const = 0;
    /// What a search that looks at all rows compares them by.
    virtual std::unique_ptr<Comparison> make_comparison() const;
    virtual void append(const Vectors& vectors, std::size_t count, unsigned threads);
    /// What stands in the header, without padding, whose bytes would be those of chance.
    virtual std::span<const std::byte> header_facts() const = 0;
    virtual std::vector<Part> parts() const = 0;

    /// Reads what `write_common` wrote.
    void open_common(const SectionFile& file);
    /// Writes the sections that all kinds have, and commits.
    void write_common(SectionWriter& writer) const;
    void set_live(std::vector<std::uint64_t> live);

  private:
    struct Pool;
    class Lease;

    Selection selection() const { return {live_.empty() ? nullptr : live_.data(), present()}; }
    std::vector<Part> common_parts() const;
    template <class Read>
    void run(std::size_t count, const Request& request, std::int32_t* ids, float* distances, Read read) const;
    template <class Read>
    void compare_all(std::size_t first, std::size_t last, const Question& question, std::int32_t* ids,
                     float* distances, Read read) const;

    std::vector<std::uint64_t> live_;  ///< a bit for each row that can be found; empty while all can
    std::uint64_t live_count_ = 0;
    std::vector<TunedEffort> tuned_;
    std::unique_ptr<Pool> pool_;
};

}  // namespace ann_bench
