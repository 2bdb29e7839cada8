#include "ann_bench/annoy_file.hpp"

#include <algorithm>
#include <cmath>
#include <fcntl.h>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "ann_bench/os.hpp"
#include "annoy_metrics.hpp"

namespace ann_bench::annoy_format {
namespace {

/// Maps a file that may be a number of nodes. Throws DamagedIndex if it is none, std::system_error.
os::Mapping map_nodes(const std::string& path, std::size_t node_bytes, bool prefault) {
    const os::File file(path, O_RDONLY);
    if (!file.is_regular()) damaged(path + " is not a regular file");
    const std::uint64_t bytes = file.size();
    if (bytes == 0) damaged("size of file is zero");
    if (bytes % node_bytes != 0) {
        damaged(
            "Index size is not a multiple of vector size. Ensure you are opening using the same "
            "metric you used to create the index. It is " +
            std::to_string(bytes) + " bytes, and a node takes " + std::to_string(node_bytes));
    }
    return os::Mapping::of(file, 0, bytes, prefault);
}

template <class Metric>
class FileOf final : public AnnoyFile {
  public:
    FileOf(const std::string& path, std::uint32_t dimension, bool prefault)
        : dimension_(dimension),
          elements_(Metric::elements(dimension)),
          node_bytes_(Metric::row_at + elements_ * sizeof(Element)),
          bucket_(static_cast<std::int64_t>((node_bytes_ - Metric::children_at) / sizeof(std::int32_t))),
          mapping_(map_nodes(path, node_bytes_, prefault)) {
        const std::size_t nodes = mapping_.size() / node_bytes_;
        if (nodes > std::numeric_limits<std::int32_t>::max()) damaged("it has more than 2^31 - 1 nodes");
        nodes_ = static_cast<std::int32_t>(nodes);
        find_roots();
        check_items();
    }

    std::int32_t items() const override { return items_; }
    std::int32_t trees() const override { return static_cast<std::int32_t>(roots_.size()); }
    std::uint32_t dimension() const override { return dimension_; }
    std::span<const std::byte> bytes() const override { return {mapping_.data(), mapping_.size()}; }

    void vector(std::int32_t item, float* to) const override {
        const Element* row = row_of(item);
        for (std::uint32_t i = 0; i < dimension_; ++i) {
            if constexpr (std::is_same_v<Element, float>) {
                to[i] = row[i];
            } else {
                to[i] = static_cast<float>((row[i / 64] >> (i % 64)) & 1);
            }
        }
    }

    float distance(std::int32_t a, std::int32_t b) const override {
        const Element* row = row_of(a);
        return Metric::value(Metric::rank(row, Metric::squared_norm(row, elements_), node(b), elements_));
    }

    Answers query(const float* vector, std::int32_t k, std::int32_t search_k) const override {
        // Annoy computes in these types: what is negative becomes too large a number to be a limit.
        const auto wanted = static_cast<std::size_t>(k);
        if (search_k == -1) search_k = static_cast<std::int32_t>(wanted * roots_.size());
        std::unique_ptr<Scratch> scratch = borrow();
        if constexpr (std::is_same_v<Element, float>) {
            search(vector, wanted, static_cast<std::size_t>(search_k), *scratch);
        } else {
            std::vector<Element> bits(elements_);
            for (std::uint32_t i = 0; i < dimension_; ++i) {
                bits[i / 64] |= std::uint64_t{vector[i] > 0.5f} << (i % 64);
            }
            search(bits.data(), wanted, static_cast<std::size_t>(search_k), *scratch);
        }
        Answers answers;
        answers.ids.reserve(scratch->ranked.size());
        answers.distances.reserve(scratch->ranked.size());
        for (const auto& [rank, item] : scratch->ranked) {
            answers.ids.push_back(item);
            answers.distances.push_back(Metric::value(rank));
        }
        give_back(std::move(scratch));
        return answers;
    }

  private:
    using Element = typename Metric::Element;
    using Rank = typename Metric::Rank;
    using Ranked = std::pair<Rank, std::int32_t>;  ///< ordered by rank, then by number, as in Annoy

    static constexpr std::size_t prefetch_ahead = 6;
    static constexpr std::size_t prefetch_bytes = 8 * 64;

    /// What one search needs and the next can use again.
    struct Scratch {
        explicit Scratch(std::int32_t items) : seen((static_cast<std::size_t>(items) + 63) / 64) {}

        std::vector<std::uint64_t> seen;  ///< a bit per item, zero between searches
        std::vector<Ranked> queue;        ///< a heap
        std::vector<std::int32_t> candidates;
        std::vector<Ranked> ranked;
    };

    Node node(std::int32_t number) const {
        return {mapping_.data() + static_cast<std::size_t>(number) * node_bytes_};
    }

    /// Throws std::out_of_range unless 0 <= item < items().
    const Element* row_of(std::int32_t item) const {
        if (item < 0 || item >= items_) throw std::out_of_range("no such item");
        return node(item).template row<Element>(Metric::row_at);
    }

    std::int32_t child(Node node, int side) const {
        return node.read<std::int32_t>(Metric::children_at + sizeof(std::int32_t) * side);
    }

    /// Annoy ends a file with copies of the roots, which tell the number of items for descendants, as do the
    /// roots themselves. The last of these lies right before its copy, and counts once.
    void find_roots() {
        items_ = node(nodes_ - 1).descendants();
        for (std::int32_t i = nodes_ - 1; i >= 0 && node(i).descendants() == items_; --i) {
            roots_.push_back(i);
        }
        if (roots_.size() > 1 && child(node(roots_.front()), 0) == child(node(roots_.back()), 0)) {
            roots_.pop_back();
        }
    }

    /// What the number of items says must be so around the last item: true of every whole index, and of few
    /// that were cut off or are read with another distance or dimension.
    void check_items() const {
        bool plausible = false;
        if (items_ == 0) plausible = node(0).descendants() == 0;
        if (items_ == 1) plausible = is_bucket_of_one(nodes_ - 1);
        if (items_ > 1 && items_ < nodes_) {
            plausible = node(items_ - 1).descendants() == 1 && node(items_).descendants() > 1;
        }
        if (!plausible) {
            damaged("its end tells of " + std::to_string(items_) + " items, and its " +
                    std::to_string(nodes_) +
                    " nodes do not look like that. Ensure you are opening using the same metric and number "
                    "of dimensions you used to create the index; or the file was cut off");
        }
    }

    /// The root over a single item, which only its vector, left zero, tells from an item.
    bool is_bucket_of_one(std::int32_t number) const {
        const Element* row = node(number).template row<Element>(Metric::row_at);
        return number > 0 && child(node(number), 0) == 0 &&
               std::all_of(row, row + elements_, [](Element value) { return value == 0; });
    }

    /// Leaves the answers in `scratch.ranked`.
    void search(const Element* query, std::size_t k, std::size_t search_k, Scratch& scratch) const {
        collect(query, search_k, scratch);
        rank(query, k, scratch);
    }

    /// Annoy's order: the branch with the largest rank next, ties by node number, until `search_k` items,
    /// duplicates included, were seen.
    void collect(const Element* query, std::size_t search_k, Scratch& scratch) const {
        auto& queue = scratch.queue;
        queue.clear();
        scratch.candidates.clear();
        for (const std::int32_t root : roots_) queue.push_back({Metric::nearest_branch, root});
        std::make_heap(queue.begin(), queue.end());
        // No search of a whole index takes more: a tree is walked twice at most, by its root and its copy.
        std::size_t steps_left = roots_.size() + 4 * static_cast<std::size_t>(nodes_);
        std::size_t found = 0;
        while (found < search_k && !queue.empty()) {
            std::pop_heap(queue.begin(), queue.end());
            Ranked branch = queue.back();
            queue.pop_back();
            // A child that would come out of the queue next is followed without going through it.
            while (is_split(branch.second)) {
                if (steps_left-- == 0) damaged("a search would not end");
                const Node split = node(branch.second);
                const auto margin = Metric::margin(split, query, elements_);
                Ranked near{Metric::child(branch.first, margin, 1), child_of(branch.second, 1)};
                Ranked far{Metric::child(branch.first, margin, 0), child_of(branch.second, 0)};
                if (near < far) std::swap(near, far);
                queue.push_back(far);
                std::push_heap(queue.begin(), queue.end());
                branch = near;
                if (branch < queue.front()) {
                    std::pop_heap(queue.begin(), queue.end());
                    std::swap(branch, queue.back());
                    std::push_heap(queue.begin(), queue.end());
                }
            }
            if (steps_left-- == 0) damaged("a search would not end");
            found += take(branch.second, scratch);
        }
        for (const std::int32_t item : scratch.candidates)
            scratch.seen[static_cast<std::size_t>(item) / 64] = 0;
    }

    bool is_split(std::int32_t number) const { return node(number).descendants() > bucket_; }

    /// A split is written after what is below it, so a child's number is smaller, and no path is endless.
    std::int32_t child_of(std::int32_t split, int side) const {
        const std::int32_t number = child(node(split), side);
        if (number < 0 || number >= split) damaged("a split leads nowhere");
        return number;
    }

    /// Adds an item, or those of a bucket, to the candidates; returns how many there were.
    std::size_t take(std::int32_t number, Scratch& scratch) const {
        const Node leaf = node(number);
        const std::int32_t count = leaf.descendants();
        if (count == 1 && number < items_) {
            add(number, scratch);
            return 1;
        }
        if (count < 0 || count > bucket_) damaged("a bucket holds more items than fit");
        for (std::int32_t i = 0; i < count; ++i) add(child(leaf, i), scratch);
        return static_cast<std::size_t>(count);
    }

    void add(std::int32_t item, Scratch& scratch) const {
        if (item < 0 || item >= items_) damaged("a bucket names an item that there is not");
        std::uint64_t& word = scratch.seen[static_cast<std::size_t>(item) / 64];
        const std::uint64_t bit = std::uint64_t{1} << (item % 64);
        if ((word & bit) == 0) {
            word |= bit;
            scratch.candidates.push_back(item);
        }
    }

    void rank(const Element* query, std::size_t k, Scratch& scratch) const {
        const float norm = Metric::squared_norm(query, elements_);
        const auto& candidates = scratch.candidates;
        auto& ranked = scratch.ranked;
        ranked.clear();
        for (std::size_t i = 0; i < candidates.size(); ++i) {
            if (i + prefetch_ahead < candidates.size()) prefetch(candidates[i + prefetch_ahead]);
            const Node item = node(candidates[i]);
            // What stood in the place of an item that was never added (Annoy's issue 284).
            if (item.descendants() != 1) continue;
            Rank rank = Metric::rank(query, norm, item, elements_);
            if constexpr (std::is_same_v<Rank, float>) {
                if (std::isnan(rank)) rank = std::numeric_limits<float>::infinity();  // it has no order
            }
            ranked.push_back({rank, candidates[i]});
        }
        const std::size_t count = std::min(k, ranked.size());
        std::partial_sort(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(count), ranked.end());
        ranked.resize(count);
    }

    /// Candidates lie anywhere: without this each would cost a full trip to memory.
    void prefetch(std::int32_t item) const {
        const std::byte* at = node(item).at;
        for (std::size_t i = 0; i < std::min(prefetch_bytes, node_bytes_); i += 64)
            __builtin_prefetch(at + i);
    }

    std::unique_ptr<Scratch> borrow() const {
        {
            const std::scoped_lock lock(mutex_);
            if (!free_.empty()) {
                auto scratch = std::move(free_.back());
                free_.pop_back();
                return scratch;
            }
        }
        return std::make_unique<Scratch>(items_);
    }

    /// After a search that ended well; what an exception leaves unclean is thrown away.
    void give_back(std::unique_ptr<Scratch> scratch) const {
        const std::scoped_lock lock(mutex_);
        free_.push_back(std::move(scratch));
    }

    std::uint32_t dimension_;
    std::size_t elements_;
    std::size_t node_bytes_;
    std::int64_t bucket_;  ///< the most items that a bucket holds
    os::Mapping mapping_;
    std::int32_t nodes_ = 0;
    std::int32_t items_ = 0;
    std::vector<std::int32_t> roots_;
    mutable std::mutex mutex_;
    mutable std::vector<std::unique_ptr<Scratch>> free_;
};

}  // namespace
}  // namespace ann_bench::annoy_format

namespace ann_bench {

std::unique_ptr<AnnoyFile> AnnoyFile::open(const std::string& path, Distance distance,
                                           std::uint32_t dimension, bool prefault) {
    if (dimension == 0) throw std::invalid_argument("dimension: got 0; it is 1 or more");
    switch (distance) {
        case Distance::euclidean:
            return std::make_unique<annoy_format::FileOf<annoy_format::Euclidean>>(path, dimension, prefault);
        case Distance::angular:
            return std::make_unique<annoy_format::FileOf<annoy_format::Angular>>(path, dimension, prefault);
        case Distance::dot:
            return std::make_unique<annoy_format::FileOf<annoy_format::Dot>>(path, dimension, prefault);
        case Distance::hamming:
            return std::make_unique<annoy_format::FileOf<annoy_format::Hamming>>(path, dimension, prefault);
        case Distance::manhattan:
            return std::make_unique<annoy_format::FileOf<annoy_format::Manhattan>>(path, dimension, prefault);
        case Distance::jaccard:
            break;
    }
    throw std::invalid_argument("distance: Annoy has no such");
}

}  // namespace ann_bench
