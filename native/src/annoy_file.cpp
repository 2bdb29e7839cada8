#include "ann_bench/annoy_file.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fcntl.h>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "ann_bench/os.hpp"

namespace ann_bench::annoy_format {
namespace {

static_assert(std::endian::native == std::endian::little, "the file is mapped as it is, little-endian");

[[noreturn]] void damaged(const std::string& what) {
    throw DamagedIndex("Annoy's index: " + what);
}

// Kernels over rows that are neither padded nor aligned: nodes follow each other without a gap.

using Float4 = float __attribute__((vector_size(16)));

Float4 load(const float* from) {
    Float4 value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

/// Sum of term(a[i], b[i]). Four accumulators hide the latency of the addition; `term` takes four floats at
/// once, the last ones padded with zeros, which every term here maps to 0.
template <class Term>
float sum(const float* a, const float* b, std::size_t n, Term term) {
    Float4 s0{}, s1{}, s2{}, s3{};
    std::size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        s0 += term(load(a + i), load(b + i));
        s1 += term(load(a + i + 4), load(b + i + 4));
        s2 += term(load(a + i + 8), load(b + i + 8));
        s3 += term(load(a + i + 12), load(b + i + 12));
    }
    for (; i + 4 <= n; i += 4) s0 += term(load(a + i), load(b + i));
    Float4 x{}, y{};
    std::memcpy(&x, a + i, (n - i) * sizeof(float));
    std::memcpy(&y, b + i, (n - i) * sizeof(float));
    const Float4 s = ((s0 + term(x, y)) + s1) + (s2 + s3);
    return (s[0] + s[1]) + (s[2] + s[3]);
}

float inner_product(const float* a, const float* b, std::size_t n) {
    return sum(a, b, n, [](Float4 x, Float4 y) { return x * y; });
}

/// A node, of which the file consists: an item, a split, or a bucket of item numbers. Items come first.
struct Node {
    const std::byte* at;

    template <class T>
    T read(std::size_t offset) const {
        T value;
        std::memcpy(&value, at + offset, sizeof value);
        return value;
    }

    template <class T>
    const T* row(std::size_t offset) const {
        return reinterpret_cast<const T*>(at + offset);
    }

    /// 1 at an item, 0 where an item number is not used, the number of rows below at splits and buckets, and
    /// the number of items at roots, however many are used.
    std::int32_t descendants() const { return read<std::int32_t>(0); }
};

// A metric tells how Annoy lays out a node and what it computes:
//   Element, elements(d)          what a vector is made of, and of how many for `d` dimensions
//   children_at, row_at           where in a node the children (or a bucket's items), and the vector, begin
//   Rank                          what items are ordered by, and branches
//   nearest_branch                the rank of a root
//   squared_norm(q, n)            what `rank` wants to know of a query
//   rank(q, norm, node, n)        the order of items, rising
//   value(rank)                   the distance that users see
//   margin(node, q, n)            which side of a split a query is on, and how far
//   child(rank, margin, side)     the rank of a split's child; the largest is looked at first

/// Splits by planes; a child's rank is the smallest margin on the way to it.
struct Planes {
    using Element = float;
    using Rank = float;
    static constexpr float nearest_branch = std::numeric_limits<float>::infinity();
    static std::size_t elements(std::uint32_t dimension) { return dimension; }
    static float squared_norm(const float*, std::size_t) { return 0; }

    /// std::min(a, b) is a if b is NaN: ranks stay numbers whatever the file holds.
    static float child(float rank, float margin, int side) {
        return std::min(rank, side == 0 ? -margin : margin);
    }
};

struct Angular : Planes {
    static constexpr std::size_t children_at = 4;
    static constexpr std::size_t row_at = 12;

    static float squared_norm(const float* row, std::size_t n) { return inner_product(row, row, n); }

    /// An item keeps its squared norm where a split has its children; old versions left 0 there.
    static float norm_of(Node node, std::size_t n) {
        const float stored = node.read<float>(children_at);
        return stored != 0 ? stored : squared_norm(node.row<float>(row_at), n);
    }
    static float rank(const float* query, float norm, Node node, std::size_t n) {
        const float both = norm * norm_of(node, n);
        if (!(both > 0)) return 2.0f;
        const float product = inner_product(query, node.row<float>(row_at), n);
        return static_cast<float>(2.0 - 2.0 * product / std::sqrt(both));
    }
    static float value(float rank) { return std::sqrt(std::max(rank, 0.0f)); }
    static float margin(Node node, const float* query, std::size_t n) {
        return inner_product(node.row<float>(row_at), query, n);
    }
};

/// Splits have one coordinate more, as rows had when the index was built; Annoy adds its square to margins.
struct Dot : Planes {
    static constexpr std::size_t children_at = 4;
    static constexpr std::size_t extra_at = 12;
    static constexpr std::size_t row_at = 16;

    static float rank(const float* query, float, Node node, std::size_t n) {
        return -inner_product(query, node.row<float>(row_at), n);
    }
    static float value(float rank) { return -rank; }
    static float margin(Node node, const float* query, std::size_t n) {
        const float extra = node.read<float>(extra_at);
        return inner_product(node.row<float>(row_at), query, n) + extra * extra;
    }
};

/// Planes that need not go through the origin.
struct Offset : Planes {
    static constexpr std::size_t offset_at = 4;
    static constexpr std::size_t children_at = 8;
    static constexpr std::size_t row_at = 16;

    static float margin(Node node, const float* query, std::size_t n) {
        return node.read<float>(offset_at) + inner_product(node.row<float>(row_at), query, n);
    }
};

struct Euclidean : Offset {
    static float rank(const float* query, float, Node node, std::size_t n) {
        return sum(query, node.row<float>(row_at), n, [](Float4 x, Float4 y) { return (x - y) * (x - y); });
    }
    static float value(float rank) { return std::sqrt(std::max(rank, 0.0f)); }
};

struct Manhattan : Offset {
    static float rank(const float* query, float, Node node, std::size_t n) {
        return sum(query, node.row<float>(row_at), n, [](Float4 x, Float4 y) {
            using Int4 = std::int32_t __attribute__((vector_size(16)));
            return std::bit_cast<Float4>(std::bit_cast<Int4>(x - y) & 0x7fff'ffff);
        });
    }
    static float value(float rank) { return std::max(rank, 0.0f); }
};

/// Splits by one bit, whose number stands in the first word of the vector; a child's rank falls by one for
/// each split that the query is on the other side of.
struct Hamming {
    using Element = std::uint64_t;
    using Rank = std::uint64_t;
    static constexpr std::size_t children_at = 4;
    static constexpr std::size_t row_at = 16;
    static constexpr std::uint64_t nearest_branch = std::numeric_limits<std::uint64_t>::max();
    static std::size_t elements(std::uint32_t dimension) { return (std::size_t{dimension} + 63) / 64; }
    static float squared_norm(const std::uint64_t*, std::size_t) { return 0; }

    static std::uint64_t rank(const std::uint64_t* query, float, Node node, std::size_t n) {
        const auto* row = node.row<std::uint64_t>(row_at);
        std::uint64_t differing = 0;
        for (std::size_t i = 0; i < n; ++i)
            differing += static_cast<std::uint64_t>(std::popcount(query[i] ^ row[i]));
        return differing;
    }
    static float value(std::uint64_t rank) { return static_cast<float>(rank); }
    static bool margin(Node node, const std::uint64_t* query, std::size_t n) {
        const auto bit = node.read<std::uint64_t>(row_at);
        if (bit / 64 >= n) damaged("a split looks at a bit that there is not");
        return ((query[bit / 64] >> (63 - bit % 64)) & 1) != 0;
    }
    static std::uint64_t child(std::uint64_t rank, bool margin, int side) {
        return rank - (margin != (side == 1) ? 1 : 0);
    }
};

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
    }
    throw std::invalid_argument("distance: unknown number");
}

}  // namespace ann_bench
