#include "ann_bench/search.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <exception>
#include <limits>
#include <string>

namespace ann_bench {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Branches that are followed at once, so that the memory of one arrives while the others compute.
constexpr std::size_t branches_at_once = 8;

/// What crossing a plane costs besides the distance to it, in steps.
constexpr float crossing = 20.0f;

/// Candidates that pass the sketches, for each that is ranked exactly.
constexpr std::size_t sketched_per_reranked = 6;

constexpr std::size_t prefetch_ahead = 8;

[[noreturn]] void damaged(const char* what) {
    throw DamagedIndex(std::string("index damaged: ") + what);
}

void prefetch_bytes(const void* from, std::size_t bytes) {
    const auto* at = static_cast<const std::byte*>(from);
    for (std::size_t i = 0; i < bytes; i += cache_line) __builtin_prefetch(at + i);
}

/// The place of a value among 4096: its exponent and 7 bits of its mantissa, from 1 on.
std::uint32_t bucket_of(float value) {
    constexpr std::uint32_t one = std::bit_cast<std::uint32_t>(1.0f) >> 16;
    if (!(value > 1.0f)) return 0;
    return std::min((std::bit_cast<std::uint32_t>(value) >> 16) - one, 4095u);
}

float bucket_begin(std::uint32_t bucket) {
    return std::bit_cast<float>((bucket + (std::bit_cast<std::uint32_t>(1.0f) >> 16)) << 16);
}

}  // namespace

void BranchQueue::clear() {
    std::fill_n(first_.begin(), highest_ + 1, none);
    items_.clear();
    lowest_ = highest_ = 0;
}

void BranchQueue::push(Branch branch) {
    const float place = branch.distance * buckets_per_step;
    // A NaN goes to the end.
    const std::size_t bucket = place < buckets - 1 ? static_cast<std::size_t>(place) : buckets - 1;
    items_.push_back({branch, first_[bucket]});
    first_[bucket] = static_cast<std::uint32_t>(items_.size() - 1);
    lowest_ = std::min(lowest_, bucket);
    highest_ = std::max(highest_, bucket);
}

std::size_t BranchQueue::pop(Branch* to, std::size_t count) {
    std::size_t taken = 0;
    while (taken < count) {
        std::uint32_t& item = first_[lowest_];
        if (item == none) {
            if (lowest_ == highest_) break;
            ++lowest_;
        } else {
            to[taken++] = items_[item].branch;
            item = items_[item].next;
        }
    }
    return taken;
}

void Threshold::start(std::size_t wanted) {
    if (highest_ >= lowest_) {
        std::fill(counts_.begin() + lowest_, counts_.begin() + highest_ + 1, 0u);
    }
    wanted_ = wanted;
    below_ = 0;
    last_ = buckets - 1;
    lowest_ = buckets - 1;
    highest_ = 0;
    limit_ = infinity;
}

void Threshold::add(float value) {
    const std::uint32_t bucket = bucket_of(value);
    ++counts_[bucket];
    lowest_ = std::min(lowest_, bucket);
    highest_ = std::max(highest_, bucket);
    below_ += bucket <= last_;
    while (below_ - counts_[last_] >= wanted_) {
        below_ -= counts_[last_--];
        limit_ = bucket_begin(last_ + 1);
    }
}

Scratch::Scratch(const Facts& facts)
    : query(facts.dimension),
      placed(facts.depth),
      query_bits((facts.dimension + 63) / 64),
      code(facts.width),
      signed_code(facts.width),
      tables(facts.width / 4 * 16),
      laid_out_tables(table_bytes(facts.width)),
      seen((facts.rows + 63) / 64),
      passing_ids(facts.leaf_blocks() * block_entries + block_entries),
      passing_estimates(passing_ids.size()) {}

ScratchPool::Lease::Lease(ScratchPool& pool, const Facts& facts)
    : pool_(pool), exceptions_(std::uncaught_exceptions()) {
    {
        const std::scoped_lock lock(pool_.mutex_);
        if (!pool_.free_.empty()) {
            scratch_ = std::move(pool_.free_.back());
            pool_.free_.pop_back();
        }
    }
    if (!scratch_) scratch_ = std::make_unique<Scratch>(facts);
}

ScratchPool::Lease::~Lease() {
    if (std::uncaught_exceptions() > exceptions_) return;
    const std::scoped_lock lock(pool_.mutex_);
    pool_.distance_computations_ += scratch_->distance_computations;
    scratch_->distance_computations = 0;
    pool_.free_.push_back(std::move(scratch_));
}

std::uint64_t ScratchPool::distance_computations() const {
    const std::scoped_lock lock(mutex_);
    return distance_computations_;
}

void Search::run(std::size_t k, const Effort& effort, std::int32_t* ids, float* distances) {
    prepare();
    const std::size_t rows = facts_.present;
    // A search through all entries ranks all rows: then the answer is exact.
    const bool all = effort.search_k / facts_.trees >= rows;
    const std::size_t rerank = all ? rows : std::min(std::max(effort.rerank, k), rows);
    const bool estimates_are_exact = facts_.distance == Distance::hamming;
    scratch_.threshold.start(estimates_are_exact ? rerank : std::min(rows, rerank * sketched_per_reranked));
    collect(effort.search_k, std::min(k, rows));
    narrow(rerank);
    rank(rerank);
    write(k, ids, distances);
}

/// Makes of the query what trees, sketches and codes are compared with.
void Search::prepare() {
    const std::size_t width = facts_.width;
    const auto code = scratch_.code.as<std::uint8_t>();
    const auto signed_code = scratch_.signed_code.as<std::int8_t>();
    const auto tables = scratch_.tables.as<std::uint8_t>();
    if (facts_.distance == Distance::hamming) {
        const auto* bits = reinterpret_cast<const std::uint8_t*>(scratch_.query_bits.data());
        for (std::size_t j = 0; j < width; ++j)
            code[j] = (bits[j / 8] >> j % 8 & 1) != 0 ? bit_code : no_bit_code;
        for (std::size_t group = 0; group < width / 4; ++group) {
            const std::uint32_t nibble = bits[group / 2] >> group % 2 * 4 & 15;
            for (std::uint32_t n = 0; n < 16; ++n) {
                tables[16 * group + n] = static_cast<std::uint8_t>(std::popcount(n ^ nibble));
            }
        }
        offset_ = 0;
        squared_query_ = 0;
    } else {
        const Space space(facts_.distance, facts_.dimension, facts_.longest);
        space.place_query(scratch_.query.data(), scratch_.placed.data());
        // Rows are compared with the query at unit length.
        if (facts_.distance == Distance::angular) scratch_.query = scratch_.placed;
        project(index_, scratch_.placed.data(), scratch_.projection, code.data());
        squared_query_ = 0;
        for (std::size_t j = 0; j < width; ++j) {
            const std::int32_t c = code[j] - code_middle;
            signed_code[j] = static_cast<std::int8_t>(c);
            squared_query_ += c * c;
        }
        // Entry n of a table is the sum of four dimensions, each with the sign that a bit of n tells; a
        // quarter of it, made positive.
        for (std::size_t group = 0; group < width / 4; ++group) {
            const std::int8_t* q = signed_code.data() + 4 * group;
            for (int n = 0; n < 16; ++n) {
                const int sum = (n & 1 ? q[0] : -q[0]) + (n & 2 ? q[1] : -q[1]) + (n & 4 ? q[2] : -q[2]) +
                                (n & 8 ? q[3] : -q[3]);
                tables[16 * group + static_cast<std::size_t>(n)] =
                    static_cast<std::uint8_t>((sum + 254) >> 2);
            }
        }
        offset_ = static_cast<std::int32_t>(width / 4 * 63);
    }
    kernel_.lay_out_tables(tables.data(), width, scratch_.laid_out_tables.as<std::uint8_t>().data());
}

void Search::check_link(Link link, Link parent) const {
    if ((link & leaf_bit) != 0) {
        if ((link & ~leaf_bit) >= facts_.leaves) damaged("a link leads past the last leaf");
    } else if (link >= facts_.nodes) {
        damaged("a link leads past the last node");
    } else if (parent != leaf_bit && link <= parent) {
        damaged("a link leads back");
    }
}

void Search::prefetch(Link link) const {
    if ((link & leaf_bit) != 0) {
        prefetch_bytes(leaf(link), sizeof(LeafHead) + facts_.width);
    } else {
        __builtin_prefetch(index_.nodes + link);
        prefetch_bytes(index_.normals + std::size_t{link} * facts_.width, facts_.width);
    }
}

/// Reads leaves, in order of what lies between them and the query, until `search_k` entries and `least`
/// different rows have been seen, or all.
///
/// A branch is as far as the planes to be crossed on the way to it: the sum of the distances to them, and
/// something for each. In Annoy the largest of those distances counts alone.
void Search::collect(std::uint64_t search_k, std::size_t least) {
    auto& queue = scratch_.queue;
    scratch_.candidates.clear();
    queue.clear();
    entries_ = 0;
    steps_left_ = facts_.nodes + facts_.leaves;
    struct Reached {
        std::int32_t distance;
        Link leaf;
    };
    // All trees at first: that is where the nearest leaves are.
    for (std::uint32_t tree = 0; tree < facts_.trees; ++tree) {
        check_link(index_.roots[tree], leaf_bit);
        queue.push({index_.roots[tree], 0});
    }
    BranchQueue::Branch branches[branches_at_once];
    Reached reached[branches_at_once];
    while (entries_ < search_k || scratch_.candidates.size() < least) {
        const std::size_t count = queue.pop(branches, branches_at_once);
        if (count == 0) break;
        for (std::size_t i = 0; i < count; ++i) prefetch(branches[i].link);
        for (std::size_t left = count; left > 0;) {
            left = 0;
            for (std::size_t i = 0; i < count; ++i) {
                if ((branches[i].link & leaf_bit) != 0) continue;
                branches[i].link = descend(branches[i]);
                prefetch(branches[i].link);
                ++left;
            }
        }
        for (std::size_t i = 0; i < count; ++i) {
            const Reached one{distance_to(branches[i].link), branches[i].link};
            std::size_t place = i;
            for (; place > 0 && reached[place - 1].distance > one.distance; --place) {
                reached[place] = reached[place - 1];
            }
            reached[place] = one;
        }
        prefetch_bytes(leaf(reached[0].leaf), leaf_bytes_);
        for (std::size_t i = 0; i < count; ++i) {
            if (entries_ >= search_k && scratch_.candidates.size() >= least) break;
            if (i + 1 < count) prefetch_bytes(leaf(reached[i + 1].leaf), leaf_bytes_);
            scan(reached[i].leaf);
        }
    }
    for (const auto& candidate : scratch_.candidates) scratch_.seen[candidate.id / 64] = 0;
    scratch_.distance_computations += entries_;
}

/// The squared distance from the query to the centre of a leaf, less what is the same for all leaves.
std::int32_t Search::distance_to(Link link) const {
    const std::byte* const at = leaf(link);
    LeafHead head;
    std::memcpy(&head, at, sizeof head);
    const auto* centre = reinterpret_cast<const std::int8_t*>(at + sizeof head);
    const std::int32_t dot = kernel_.dot(scratch_.code.as<std::uint8_t>().data(), centre, facts_.width);
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(head.constant) -
                                     2u * static_cast<std::uint32_t>(dot));
}

/// One step from a node to its near child; the far one is queued.
Link Search::descend(BranchQueue::Branch& branch) {
    if (steps_left_-- == 0) damaged("a search would not end");
    const Node node = index_.nodes[branch.link];
    check_link(node.left, branch.link);
    check_link(node.right, branch.link);
    const std::int32_t dot =
        kernel_.dot(scratch_.code.as<std::uint8_t>().data(),
                    index_.normals + std::size_t{branch.link} * facts_.width, facts_.width);
    const float margin = node.offset + node.scale * static_cast<float>(dot);
    const bool right = margin > 0;
    scratch_.queue.push({right ? node.left : node.right, branch.distance + (std::abs(margin) + crossing)});
    return right ? node.right : node.left;
}

void Search::scan(Link link) {
    if (steps_left_-- == 0) damaged("a search would not end");
    const std::byte* at = leaf(link);
    LeafHead head;
    std::memcpy(&head, at, sizeof head);
    const float base = facts_.distance == Distance::hamming
                           ? 0.0f
                           : static_cast<float>(std::int64_t{squared_query_} + distance_to(link));
    const std::size_t found = kernel_.scan(at + sizeof head + facts_.width, facts_.leaf_blocks(),
                                           scratch_.laid_out_tables.as<std::uint8_t>().data(), facts_.width,
                                           offset_, base, scratch_.threshold.limit(),
                                           scratch_.passing_ids.data(), scratch_.passing_estimates.data());
    // Every tree holds a row once. Without this a damaged file could let each of its leaves hold all rows.
    if (head.entries > facts_.leaf_size || entries_ + head.entries > facts_.trees * facts_.present) {
        damaged("its leaves hold more than all rows");
    }
    entries_ += head.entries;
    for (std::size_t i = 0; i < found; ++i) admit(scratch_.passing_ids[i], scratch_.passing_estimates[i]);
}

void Search::admit(std::uint32_t id, float estimate) {
    if (id >= facts_.rows) damaged("an entry names no row");
    std::uint64_t& word = scratch_.seen[id / 64];
    const std::uint64_t bit = std::uint64_t{1} << id % 64;
    if ((word & bit) != 0) return;
    word |= bit;
    scratch_.candidates.push_back({estimate, id});
    scratch_.threshold.add(estimate);
    prefetch_bytes(index_.codes + id * facts_.code_bytes(), facts_.code_bytes());
}

/// Leaves the `rerank` best candidates, or a few more, in `ids`.
void Search::narrow(std::size_t rerank) {
    auto& ids = scratch_.ids;
    ids.clear();
    const float limit = scratch_.threshold.limit();
    for (const auto& candidate : scratch_.candidates) {
        if (candidate.estimate < limit) ids.push_back(candidate.id);
    }
    if (ids.size() <= rerank || facts_.distance == Distance::hamming) return;
    auto& scores = scratch_.scores;
    scores.resize(ids.size());
    kernel_.score(index_.codes, ids.data(), ids.size(), scratch_.signed_code.as<std::int8_t>().data(),
                  facts_.width, scores.data());
    for (std::size_t i = 0; i < ids.size(); ++i) {
        // Unsigned, so that what a damaged file holds may wrap around.
        scores[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(index_.code_terms[ids[i]]) -
                                              16u * static_cast<std::uint32_t>(scores[i]));
    }
    // The smallest limit that `rerank` scores are below.
    std::int64_t low = *std::min_element(scores.begin(), scores.end());
    std::int64_t high = std::int64_t{*std::max_element(scores.begin(), scores.end())} + 1;
    while (low < high) {
        const std::int64_t middle = low + (high - low) / 2;
        const auto limit_here = static_cast<std::int32_t>(std::min<std::int64_t>(middle, 0x7fff'ffff));
        if (kernel_.count_below(scores.data(), scores.size(), limit_here) >= rerank) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    std::size_t kept = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
        if (scores[i] < high) ids[kept++] = ids[i];
    }
    ids.resize(kept);
}

/// The exact distance of a row, as `rank` orders it: squared for euclidean.
float Search::exact(std::uint32_t id) const {
    const std::byte* const at = index_.rows + std::size_t{id} * facts_.row_bytes();
    if (facts_.distance == Distance::hamming) {
        const auto* bits = reinterpret_cast<const std::uint64_t*>(at);
        std::uint32_t differing = 0;
        for (std::size_t w = 0; w < scratch_.query_bits.size(); ++w) {
            differing += static_cast<std::uint32_t>(std::popcount(bits[w] ^ scratch_.query_bits[w]));
        }
        return static_cast<float>(differing) / static_cast<float>(facts_.dimension);
    }
    const auto* row = reinterpret_cast<const float*>(at);
    const float* const query = scratch_.query.data();
    const std::size_t dimension = facts_.dimension;
    switch (facts_.distance) {
        case Distance::angular: {
            const float inverse_norm = index_.inverse_norms[id];
            const float far = 1.0f - kernel_.dot_f32(query, row, dimension) * inverse_norm;
            // Near 0 the subtraction has lost its digits; |q - x|^2 / 2 is the same number without that loss.
            // The row is in the cache by now, and a zero row (far = 1) never comes here.
            if (!(far < 0.05f)) return far;
            return 0.5f * kernel_.scaled_squared_l2_f32(query, row, inverse_norm, dimension);
        }
        case Distance::dot:
            return -kernel_.dot_f32(query, row, dimension);
        case Distance::manhattan:
            return kernel_.l1_f32(query, row, dimension);
        default:
            return kernel_.squared_l2_f32(query, row, dimension);
    }
}

void Search::rank(std::size_t rerank) {
    const auto& ids = scratch_.ids;
    auto& answers = scratch_.answers;
    answers.clear();
    answers.reserve(rerank);
    const std::size_t row_bytes = facts_.row_bytes();
    const auto fetch = [&](std::size_t i) {
        if (i < ids.size()) prefetch_bytes(index_.rows + std::size_t{ids[i]} * row_bytes, row_bytes);
    };
    for (std::size_t i = 0; i < prefetch_ahead; ++i) fetch(i);
    for (std::size_t i = 0; i < ids.size(); ++i) {
        fetch(i + prefetch_ahead);
        float distance = exact(ids[i]);
        // Overflow, or a damaged row, can make this NaN, which no order could place.
        if (std::isnan(distance)) distance = infinity;
        if (facts_.distance == Distance::euclidean) distance = std::sqrt(distance);
        answers.push_back({distance, ids[i]});
    }
}

void Search::write(std::size_t k, std::int32_t* ids, float* distances) {
    auto& answers = scratch_.answers;
    const std::size_t found = std::min(k, answers.size());
    std::partial_sort(answers.begin(), answers.begin() + static_cast<std::ptrdiff_t>(found), answers.end());
    for (std::size_t i = 0; i < found; ++i) {
        ids[i] = static_cast<std::int32_t>(answers[i].id);
        distances[i] = answers[i].distance;
    }
    for (std::size_t i = found; i < k; ++i) {
        ids[i] = -1;
        distances[i] = infinity;
    }
}

}  // namespace ann_bench
