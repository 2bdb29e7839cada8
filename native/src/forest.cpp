#include "ann_bench/forest.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <stdexcept>

#include "ann_bench/forest_file.hpp"
#include "ann_bench/forest_search.hpp"
#include "ann_bench/parallel.hpp"
#include "ann_bench/parts.hpp"
#include "ann_bench/random.hpp"
#include "ann_bench/tree.hpp"

namespace ann_bench {
namespace {

constexpr std::size_t rows_per_task = 1024;

/// Searches look at as much as in Annoy's index of so many trees, unless told otherwise.
constexpr std::uint64_t default_trees = 200;

/// Rows that are on their way to a file.
constexpr std::size_t bytes_at_once = 16 << 20;

/// Rows that the projection is fitted to.
constexpr std::size_t projection_sample = 4096;

/// The bytes of an index that was built here.
struct Owned {
    Buffer rows, inverse_norms, codes, code_terms, nodes, normals, boughs, leaves, roots;
    Projection projection;
};

void require(bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(what);
}

void check(const Vectors& vectors, std::size_t count, std::uint32_t dimension, const ForestOptions& options) {
    require(count >= 1 && count < bough_bit, "train: an index needs 1 to 2^31 - 1 rows");
    require(dimension >= 1 && dimension <= max_dimension, "train: rows have 1 to 65535 dimensions");
    require(options.trees >= 1, "n_trees: at least 1");
    require(!options.present || options.present->empty() || options.present->back() < count,
            "present: no such row");
    check_vectors(vectors, count, dimension, options.distance);
}

/// Calls body(first, last) for pieces of 0..count.
template <class Body>
void for_pieces(std::size_t count, unsigned threads, Body body) {
    parallel_for((count + rows_per_task - 1) / rows_per_task, threads, [&](std::size_t task) {
        body(task * rows_per_task, std::min(count, (task + 1) * rows_per_task));
    });
}

/// Makes the parts of an index in order, each from those before it.
class Builder {
  public:
    /// With a writer, the rows go there and are read from there.
    Builder(const ForestOptions& options, std::size_t count, std::uint32_t dimension, SectionWriter* writer)
        : options_(options), writer_(writer), owned_(std::make_shared<Owned>()) {
        ForestFacts& facts = view_.facts;
        facts.distance = options.distance;
        facts.dimension = dimension;
        facts.trees = options.trees;
        facts.seed = options.seed;
        facts.rows = count;
        facts.present = options.present ? options.present->size() : count;
        if (takes_bits(options.distance)) {
            facts.width = static_cast<std::uint32_t>(round_up(dimension, code_step));
        } else {
            facts.depth = dimension;
            facts.width = code_width(facts.depth);
        }
    }

    std::pair<ForestView, std::shared_ptr<const Owned>> build(const Vectors& vectors) {
        take_rows(vectors);
        Buffer codes(view_.facts.rows * view_.facts.width);
        Buffer outside(view_.facts.rows * sizeof(std::int32_t));
        if (takes_bits(view_.facts.distance)) {
            code_bits(codes.as<std::uint8_t>());
        } else {
            if (view_.facts.distance == Distance::dot) find_longest();
            find_projection();
            code_rows(codes.as<std::uint8_t>(), outside.as<std::int32_t>());
        }
        grow_trees(
            {view_.facts, codes.as<std::uint8_t>().data(), outside.as<std::int32_t>().data(), view_.rows});
        return {view_, owned_};
    }

  private:
    const float* row(std::size_t number) const {
        return reinterpret_cast<const float*>(view_.rows + number * view_.facts.row_bytes());
    }

    std::uint32_t present(std::size_t number) const {
        return options_.present ? (*options_.present)[number] : static_cast<std::uint32_t>(number);
    }

    void take_rows(const Vectors& vectors) {
        const ForestFacts& facts = view_.facts;
        owned_->inverse_norms = Buffer(facts.distance == Distance::angular ? facts.rows * sizeof(float) : 0);
        view_.inverse_norms = owned_->inverse_norms.as<float>().data();
        if (writer_ == nullptr) {
            owned_->rows = Buffer(facts.rows * facts.row_bytes());
            take_rows(vectors, 0, facts.rows, owned_->rows.data());
            view_.rows = owned_->rows.data();
            return;
        }
        writer_->begin(rows_section, static_cast<std::uint32_t>(facts.row_bytes()));
        const std::size_t rows_at_once = std::max<std::size_t>(1, bytes_at_once / facts.row_bytes());
        for (std::size_t first = 0; first < facts.rows; first += rows_at_once) {
            const std::size_t last = std::min<std::size_t>(facts.rows, first + rows_at_once);
            Buffer rows((last - first) * facts.row_bytes());
            take_rows(vectors, first, last, rows.data());
            writer_->append(rows.as<const std::byte>());
        }
        writer_->end();
        view_.rows = writer_->mapped(rows_section).data();
    }

    void take_rows(const Vectors& vectors, std::size_t begin, std::size_t end, std::byte* to) {
        const ForestFacts& facts = view_.facts;
        const auto norms = owned_->inverse_norms.as<float>();
        for_pieces(end - begin, options_.threads, [&](std::size_t first, std::size_t last) {
            for (std::size_t i = first; i < last; ++i) {
                const std::size_t number = begin + i;
                std::byte* const row = to + i * facts.row_bytes();
                if (takes_bits(facts.distance)) {
                    read_bits(vectors, number, facts.dimension, reinterpret_cast<std::uint64_t*>(row));
                    continue;
                }
                auto* const floats = reinterpret_cast<float*>(row);
                if (!read_floats(vectors, number, facts.dimension, floats)) {
                    throw std::invalid_argument(
                        "train: row " + std::to_string(number) +
                        " holds NaN or infinity; every value must be finite as float32");
                }
                if (!norms.empty()) norms[number] = inverse_norm(floats, facts.dimension);
            }
        });
    }

    void find_longest() {
        double longest = 0;
        for (std::size_t i = 0; i < view_.facts.rows; ++i) {
            longest = std::max(longest, squared_norm(row(i), view_.facts.dimension));
        }
        view_.facts.longest = static_cast<float>(std::min(std::sqrt(longest), 3.4e38));
    }

    TreeSpace space() const { return {view_.facts.distance, view_.facts.dimension, view_.facts.longest}; }

    void place(std::size_t number, float* to) const {
        const bool angular = view_.facts.distance == Distance::angular;
        space().place_row(row(number), angular ? view_.inverse_norms[number] : 1.0f, to);
    }

    void find_projection() {
        ForestFacts& facts = view_.facts;
        // Of all rows, if none can be found: a query is projected all the same.
        const std::size_t rows = facts.present > 0 ? facts.present : facts.rows;
        const std::size_t count = std::min(projection_sample, rows);
        std::vector<float> sample(count * facts.depth);
        Random random(derive_key(mix(options_.seed), 0));
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t which = count == rows ? i : random.below(static_cast<std::uint32_t>(rows));
            place(facts.present > 0 ? present(which) : which, sample.data() + i * facts.depth);
        }
        Projection& projection = owned_->projection;
        projection = fit_projection(sample, facts.depth, facts.width, facts.longest,
                                    derive_key(mix(options_.seed), 1), options_.threads);
        facts.projection_scale = projection.scale;
        facts.steps_per_unit = projection.steps_per_unit;
        view_.projection = projection.view();
    }

    void code_bits(std::span<std::uint8_t> codes) {
        const ForestFacts& facts = view_.facts;
        for_pieces(facts.rows, options_.threads, [&](std::size_t first, std::size_t last) {
            for (std::size_t i = first; i < last; ++i) {
                const auto* bits = reinterpret_cast<const std::uint8_t*>(view_.rows + i * facts.row_bytes());
                std::uint8_t* const code = codes.data() + i * facts.width;
                for (std::size_t j = 0; j < facts.width; ++j) {
                    code[j] = (bits[j / 8] >> j % 8 & 1) != 0 ? bit_code : no_bit_code;
                }
            }
        });
    }

    void code_rows(std::span<std::uint8_t> codes, std::span<std::int32_t> outside) {
        const ForestFacts& facts = view_.facts;
        owned_->codes = Buffer(facts.rows * facts.code_bytes());
        owned_->code_terms = Buffer(facts.rows * sizeof(std::int32_t));
        const auto terms = owned_->code_terms.as<std::int32_t>();
        for_pieces(facts.rows, options_.threads, [&](std::size_t first, std::size_t last) {
            std::vector<float> placed(facts.depth);
            ProjectionScratch scratch;
            for (std::size_t i = first; i < last; ++i) {
                std::uint8_t* const code = codes.data() + i * facts.width;
                place(i, placed.data());
                std::int32_t squared = project(view_.projection, placed.data(), scratch, code);
                std::int32_t squared_code = 0;
                for (std::size_t j = 0; j < facts.width; ++j) {
                    squared_code += (code[j] - code_middle) * (code[j] - code_middle);
                }
                // For the order of inner products, all rows are taken to be equally long.
                if (facts.distance == Distance::dot) squared = equal_square(facts.width);
                outside[i] = squared - squared_code;
                terms[i] =
                    squared + pack(code, owned_->codes.as<std::uint8_t>().data() + i * facts.code_bytes());
            }
        });
        view_.codes = owned_->codes.as<std::uint8_t>().data();
        view_.code_terms = terms.data();
    }

    /// Writes the 4-bit code of a row. Returns what that makes its squared distances too small by, for
    /// queries as far from the row as from the mean: <row, error>.
    std::int32_t pack(const std::uint8_t* code, std::uint8_t* packed) const {
        std::int32_t correction = 0;
        const auto take = [&](std::int32_t value) {
            const std::int32_t rounded = shorten(value);
            correction += (value - code_middle) * (lengthen(rounded) - value);
            return rounded;
        };
        for (std::size_t first = 0; first < view_.facts.width; first += code_step) {
            for (std::size_t t = 0; t < code_step / 2; ++t) {
                const std::int32_t low = take(code[first + t]);
                const std::int32_t high = take(code[first + code_step / 2 + t]);
                packed[first / 2 + t] = static_cast<std::uint8_t>(low | high << 4);
            }
        }
        return correction;
    }

    void grow_trees(const TreeInput& input) {
        ForestFacts& facts = view_.facts;
        std::vector<Tree> trees(facts.trees);
        parallel_for(facts.trees, options_.threads, [&](std::size_t tree) {
            std::vector<std::uint32_t> ids(facts.present);
            for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = present(i);
            trees[tree] = build_tree(input, ids, derive_key(mix(options_.seed), 2 + tree));
        });
        join(trees);
    }

    /// Puts trees one behind the other and makes their links count through all of them. Frees them as it
    /// goes.
    void join(std::vector<Tree>& trees) {
        ForestFacts& facts = view_.facts;
        for (const Tree& tree : trees) {
            facts.nodes += tree.nodes.size();
            facts.boughs += tree.boughs.size() / facts.bough_bytes();
            facts.leaves += tree.leaves.size() / facts.leaf_bytes();
        }
        if (facts.leaves >= bough_bit) throw std::length_error("more than 2^31 leaves: use fewer trees");
        owned_->nodes = Buffer(facts.nodes * sizeof(Node));
        owned_->normals = Buffer(facts.nodes * facts.width);
        owned_->boughs = Buffer(facts.boughs * facts.bough_bytes());
        owned_->leaves = Buffer(facts.leaves * facts.leaf_bytes());
        owned_->roots = Buffer(facts.trees * sizeof(Link));
        Node* node = owned_->nodes.as<Node>().data();
        std::int8_t* normal = owned_->normals.as<std::int8_t>().data();
        std::byte* bough = owned_->boughs.data();
        std::byte* leaf = owned_->leaves.data();
        std::uint32_t first_node = 0, first_bough = 0, first_leaf = 0;
        for (std::size_t t = 0; t < trees.size(); ++t) {
            const Tree tree = std::move(trees[t]);
            const auto shift = [&](Link link) {
                return link + ((link & bough_bit) != 0 ? first_bough : first_node);
            };
            owned_->roots.as<Link>()[t] = shift(tree.root);
            for (const Node& own : tree.nodes) {
                *node++ = {own.offset, own.scale, shift(own.left), shift(own.right)};
            }
            for (std::size_t at = 0; at < tree.boughs.size(); at += facts.bough_bytes()) {
                std::memcpy(bough + at, tree.boughs.data() + at, facts.bough_bytes());
                reinterpret_cast<Bough*>(bough + at)->first_leaf += first_leaf;
            }
            bough += tree.boughs.size();
            normal = std::copy(tree.normals.begin(), tree.normals.end(), normal);
            leaf = std::copy(tree.leaves.begin(), tree.leaves.end(), leaf);
            first_node += static_cast<std::uint32_t>(tree.nodes.size());
            first_bough += static_cast<std::uint32_t>(tree.boughs.size() / facts.bough_bytes());
            first_leaf += static_cast<std::uint32_t>(tree.leaves.size() / facts.leaf_bytes());
        }
        view_.nodes = owned_->nodes.as<Node>().data();
        view_.normals = owned_->normals.as<std::int8_t>().data();
        view_.boughs = owned_->boughs.data();
        view_.leaves = owned_->leaves.data();
        view_.roots = owned_->roots.as<Link>().data();
    }

    const ForestOptions& options_;
    SectionWriter* writer_;
    std::shared_ptr<Owned> owned_;
    ForestView view_{};
};

/// A bit for each row that `options` leave in; none if all are.
std::vector<std::uint64_t> live_rows(const ForestOptions& options, std::size_t count) {
    if (!options.present || options.present->size() == count) return {};
    std::vector<std::uint64_t> live((count + 63) / 64);
    for (const std::uint32_t row : *options.present) live[row / 64] |= std::uint64_t{1} << row % 64;
    return live;
}

}  // namespace

Forest Forest::build(const Vectors& vectors, std::size_t count, std::uint32_t dimension,
                     const ForestOptions& options) {
    check(vectors, count, dimension, options);
    auto [view, owner] = Builder(options, count, dimension, nullptr).build(vectors);
    Forest forest(view, owner);
    forest.set_live(live_rows(options, count));
    return forest;
}

Forest Forest::build_file(const Vectors& vectors, std::size_t count, std::uint32_t dimension,
                          const ForestOptions& options, const std::string& path) {
    check(vectors, count, dimension, options);
    {
        SectionWriter writer(path);
        const auto [view, owner] = Builder(options, count, dimension, &writer).build(vectors);
        Forest forest(view, owner);
        forest.set_live(live_rows(options, count));
        for (const Part& part : forest.parts()) {
            if (part.type == rows_section) continue;
            writer.add(part.type, static_cast<std::uint32_t>(part.element_bytes), part.bytes);
        }
        forest.write_common(writer);
    }
    return open(path);
}

Forest Forest::open(const std::string& path, OpenMode mode) {
    return open(std::make_shared<const SectionFile>(SectionFile::open(path, mode)));
}

Forest Forest::open(std::shared_ptr<const SectionFile> file) {
    Forest forest(open_forest(*file), file);
    forest.open_common(*file);
    return forest;
}

std::vector<Part> Forest::parts() const {
    return parts_of(view_);
}

std::unique_ptr<Searcher> Forest::make_searcher() const {
    return std::make_unique<ForestScratch>(view_);
}

Effort Forest::usual_effort(std::size_t k) const {
    return {k * std::max<std::uint64_t>(view_.facts.trees, default_trees), 3 * k + 30};
}

}  // namespace ann_bench
