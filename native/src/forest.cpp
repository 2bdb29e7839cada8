#include "ann_bench/forest.hpp"

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "ann_bench/file.hpp"
#include "ann_bench/parallel.hpp"
#include "ann_bench/tree.hpp"

namespace ann_bench {
namespace {

/// The bytes of an index that was built here.
struct Owned {
    Buffer rows, nodes, leaf_begins, entries, roots;
};

template <class T>
T* as(Buffer& buffer) {
    return reinterpret_cast<T*>(buffer.data());
}

void check_kind(const Vectors& vectors, Distance distance, std::size_t values) {
    const bool bits = std::holds_alternative<std::span<const std::uint8_t>>(vectors);
    if (bits != (distance == Distance::hamming)) {
        throw std::invalid_argument("vectors: hamming takes bytes, every other distance floats");
    }
    if (std::visit([](auto span) { return span.size(); }, vectors) != values) {
        throw std::invalid_argument("vectors: their number does not fit the shape told");
    }
}

template <class Policy>
std::vector<Tree> grow_trees(const Buffer& rows, const Layout& layout, const std::vector<std::uint32_t>& ids,
                             const BuildOptions& options) {
    std::vector<Tree> trees(options.trees);
    const RowsView<typename Policy::Element> view{rows.data(), layout.row_bytes, layout.width};
    parallel_for(options.trees, options.threads, [&](std::size_t tree) {
        TreeBuilder<Policy> builder(view, layout, options.leaf_size, options.split);
        trees[tree] = builder.build(ids, derive_key(mix(options.seed), tree));
    });
    return trees;
}

/// Puts trees one behind the other and makes their links count through all of them. Frees them as it goes.
void join(std::vector<Tree>& trees, const Layout& layout, Summary& summary, Owned& owned) {
    for (const Tree& tree : trees) {
        summary.nodes += tree.nodes.size() / layout.node_bytes;
        summary.leaves += tree.leaf_begins.size();
    }
    if (summary.leaves >= leaf_bit)
        throw std::length_error("more than 2^31 leaves: use larger leaves or fewer trees");
    owned.nodes = Buffer(summary.nodes * layout.node_bytes);
    owned.leaf_begins = Buffer((summary.leaves + 1) * sizeof(std::uint64_t));
    owned.entries = Buffer(summary.entries() * sizeof(std::uint32_t));
    owned.roots = Buffer(summary.trees * sizeof(Link));

    Link first_node = 0, first_leaf = 0;
    std::uint64_t first_entry = 0;
    for (std::size_t t = 0; t < trees.size(); ++t) {
        const Tree tree = std::move(trees[t]);
        const auto shift = [&](Link link) {
            return link + ((link & leaf_bit) != 0 ? first_leaf : first_node);
        };
        as<Link>(owned.roots)[t] = shift(tree.root);
        if (!tree.nodes.empty()) {
            std::memcpy(owned.nodes.data() + first_node * layout.node_bytes, tree.nodes.data(),
                        tree.nodes.size());
        }
        const auto nodes = static_cast<Link>(tree.nodes.size() / layout.node_bytes);
        for (std::size_t i = first_node; i < std::size_t{first_node} + nodes; ++i) {
            auto& node = *reinterpret_cast<Node*>(owned.nodes.data() + i * layout.node_bytes);
            node.left = shift(node.left);
            node.right = shift(node.right);
        }
        for (const std::uint64_t begin : tree.leaf_begins) {
            as<std::uint64_t>(owned.leaf_begins)[first_leaf++] = first_entry + begin;
        }
        std::copy(tree.entries.begin(), tree.entries.end(), as<std::uint32_t>(owned.entries) + first_entry);
        first_node += nodes;
        first_entry += tree.entries.size();
    }
    as<std::uint64_t>(owned.leaf_begins)[summary.leaves] = first_entry;
}

}  // namespace

Forest Forest::build(Vectors vectors, std::size_t count, std::uint32_t dimension, const BuildOptions& options,
                     std::span<const std::uint8_t> present) {
    const auto require = [](bool holds, const char* what) {
        if (!holds) throw std::invalid_argument(what);
    };
    require(count >= 1 && count < leaf_bit, "train: an index needs 1 to 2^31 - 1 rows");
    require(dimension >= 1 && dimension <= max_dimension, "train: rows have 1 to 65535 dimensions");
    require(options.trees >= 1, "n_trees: at least 1");
    require(options.leaf_size >= 1, "leaf_size: at least 1");
    check_kind(vectors, options.distance, count * dimension);
    require(present.empty() || present.size() == count, "present: one value for each row");
    std::vector<std::uint32_t> ids;
    for (std::size_t i = 0; i < count; ++i) {
        if (present.empty() || present[i] != 0) ids.push_back(static_cast<std::uint32_t>(i));
    }

    IndexView view{};
    view.summary = {options.distance,
                    dimension,
                    options.trees,
                    options.leaf_size,
                    options.split,
                    options.seed,
                    count,
                    0,
                    0,
                    ids.size()};
    view.layout = layout_of(options.distance, dimension);
    const auto owned = std::make_shared<Owned>();
    owned->rows = prepare_rows(options.distance, dimension, vectors, count, options.threads);
    auto trees = with_policy(options.distance, [&]<class Policy>() {
        return grow_trees<Policy>(owned->rows, view.layout, ids, options);
    });
    join(trees, view.layout, view.summary, *owned);
    view.rows = owned->rows.data();
    view.nodes = owned->nodes.data();
    view.leaf_begins = as<std::uint64_t>(owned->leaf_begins);
    view.entries = as<std::uint32_t>(owned->entries);
    view.roots = as<Link>(owned->roots);
    return Forest(view, owned);
}

Forest Forest::open(const std::string& path) {
    MappedIndex mapped = open_index(path);
    return Forest(mapped.view, std::move(mapped.mapping));
}

void Forest::save(const std::string& path) const {
    save_index(view_, path);
}

void Forest::vector(std::size_t row, float* to) const {
    if (row >= view_.summary.rows) throw std::out_of_range("no such row");
    std::memcpy(to, view_.rows + row * view_.layout.row_bytes, view_.summary.dimension * sizeof(float));
}

void Forest::vector(std::size_t row, std::uint8_t* to) const {
    if (row >= view_.summary.rows) throw std::out_of_range("no such row");
    const auto* words = reinterpret_cast<const std::uint64_t*>(view_.rows + row * view_.layout.row_bytes);
    for (std::uint32_t i = 0; i < view_.summary.dimension; ++i) to[i] = (words[i / 64] >> (i % 64)) & 1;
}

void Forest::query(Vectors vectors, std::size_t count, std::size_t k, std::uint64_t search_k,
                   unsigned threads, std::int32_t* ids, float* distances) const {
    const Summary& summary = view_.summary;
    check_kind(vectors, summary.distance, count * summary.dimension);
    constexpr std::size_t queries_per_task = 16;
    with_policy(summary.distance, [&]<class Policy>() {
        using Element = typename Policy::Element;
        using Given = std::conditional_t<std::is_same_v<Element, float>, float, std::uint8_t>;
        const Given* given = std::get<std::span<const Given>>(vectors).data();
        const auto some = [&](std::size_t task) {
            const ScratchPool::Lease lease(*pool_, summary.rows, view_.layout.row_bytes);
            Scratch& scratch = *lease;
            const std::size_t last = std::min(count, (task + 1) * queries_per_task);
            for (std::size_t i = task * queries_per_task; i < last; ++i) {
                if (!prepare_row(Policy::id, given + i * summary.dimension, summary.dimension,
                                 reinterpret_cast<Element*>(scratch.query.data()))) {
                    throw std::invalid_argument(
                        "vectors: row " + std::to_string(i) +
                        " holds NaN or infinity; every value must be finite as float32");
                }
                Search<Policy>(view_, scratch).run(k, search_k, ids + i * k, distances + i * k);
            }
        };
        if (count == 1) {
            some(0);
        } else {
            parallel_for((count + queries_per_task - 1) / queries_per_task, threads, some);
        }
    });
}

}  // namespace ann_bench
