#include "ann_bench/forest_search.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <utility>

namespace ann_bench {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Candidates that pass the sketches, for each that is ranked exactly.
constexpr std::size_t sketched_per_reranked = 4;

/// So many leaf entries are looked at in the time that a row is compared in.
constexpr std::uint64_t entries_per_comparison = 4;
constexpr std::size_t leaves_ahead = 3;

/// Entries of the leaves that are looked at by their centre, for each entry of those that are read.
constexpr std::uint64_t explored_per_read = 4;

/// Leaves are read in order of their distance, rounded to so many steps.
constexpr std::size_t leaf_buckets = 256;

[[noreturn]] void damaged(const char* what) {
    throw DamagedIndex(std::string("index damaged: ") + what);
}

void prefetch_bytes(const void* from, std::size_t bytes) {
    const auto* at = static_cast<const std::byte*>(from);
    for (std::size_t i = 0; i < bytes; i += cache_line) __builtin_prefetch(at + i);
}

}  // namespace

ForestScratch::ForestScratch(const ForestView& view)
    : Searcher({view.facts.distance, view.facts.dimension, view.facts.rows}),
      index(view),
      exact(index.exact_rows()),
      placed(view.facts.depth),
      code(view.facts.width),
      signed_code(view.facts.width),
      tables(view.facts.width / 4 * 16),
      laid_out_tables(table_bytes(view.facts.width)),
      bucket_ends(leaf_buckets),
      candidates(view.facts.rows) {}

void ForestScratch::answer(const Question& question, std::int32_t* ids, float* distances) {
    ForestSearch(*this).run(question, ids, distances);
}

void ForestSearch::run(const Question& question, std::int32_t* ids, float* distances) {
    prepare();
    const std::size_t k = question.k;
    const Selection& selection = question.selection;
    const std::size_t rows = std::min(facts_.present, selection.count);
    // What is seldom is met seldom.
    const double rarity =
        static_cast<double>(facts_.present) / static_cast<double>(std::max<std::size_t>(rows, 1));
    const double wanted = static_cast<double>(question.effort.reach) * rarity;
    const auto reach = static_cast<std::uint64_t>(std::min(wanted, 0x1p62));
    // A search through all entries ranks all rows: then the answer is exact.
    const bool all = reach >= facts_.trees * facts_.present;
    const bool filtered = !selection.all() || question.itself != no_row;
    const bool few = !selection.all() && rows <= reach / entries_per_comparison;
    if (few || (filtered && all)) {
        scratch_.distance_computations += selection.count;
        scratch_.answers.swap(scratch_.exact.nearest_of_all(question, scratch_.nearest));
    } else {
        const std::size_t rerank =
            all ? rows : std::min<std::size_t>(std::max<std::uint64_t>(question.effort.rerank, k), rows);
        const bool estimates_are_exact = facts_.distance == Distance::hamming;
        scratch_.candidates.start(estimates_are_exact ? rerank
                                                      : std::min(rows, rerank * sketched_per_reranked));
        const std::size_t least = std::min(k, rows - (question.rules_itself_out() ? 1 : 0));
        if (filtered) {
            collect<true>(question, reach, least);
        } else {
            collect<false>(question, reach, least);
        }
        narrow(rerank);
        scratch_.answers.clear();
        scratch_.exact.compare(scratch_.ids, scratch_.answers);
    }
    write_answers(scratch_.answers, k, ids, distances);
}

/// Makes of the query what trees, sketches and codes are compared with.
void ForestSearch::prepare() {
    scratch_.exact.start(scratch_.query);
    const std::size_t width = facts_.width;
    const auto code = scratch_.code.as<std::uint8_t>();
    const auto signed_code = scratch_.signed_code.as<std::int8_t>();
    const auto tables = scratch_.tables.as<std::uint8_t>();
    if (takes_bits(facts_.distance)) {
        const auto* bits = reinterpret_cast<const std::uint8_t*>(scratch_.query.bits.data());
        for (std::size_t j = 0; j < width; ++j)
            code[j] = (bits[j / 8] >> j % 8 & 1) != 0 ? bit_code : no_bit_code;
        for (std::size_t group = 0; group < width / 4; ++group) {
            const std::uint32_t nibble = bits[group / 2] >> group % 2 * 4 & 15;
            for (std::uint32_t n = 0; n < 16; ++n) {
                tables[16 * group + n] = static_cast<std::uint8_t>(std::popcount(n ^ nibble));
            }
        }
        for (std::size_t j = 0; j < width; ++j)
            signed_code[j] = static_cast<std::int8_t>(code[j] - code_middle);
        offset_ = 0;
        base_ = 0;
        if (facts_.distance == Distance::jaccard) {
            int items = 0;
            for (const std::uint64_t word : scratch_.query.bits) items += std::popcount(word);
            base_ = 1.0f + 0.5f * static_cast<float>(items);  // so that no estimate is below 1
        }
    } else {
        const TreeSpace space(facts_.distance, facts_.dimension, facts_.longest);
        space.place_query(scratch_.query.numbers.data(), scratch_.placed.data());
        // Rows are compared with the query at unit length.
        project(index_.projection, scratch_.placed.data(), scratch_.projection, code.data());
        for (std::size_t j = 0; j < width; ++j)
            signed_code[j] = static_cast<std::int8_t>(code[j] - code_middle);
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
    std::int32_t squared = 0, sum = 0;
    for (std::size_t j = 0; j < width; ++j) {
        squared += signed_code[j] * signed_code[j];
        sum += signed_code[j];
    }
    query_term_ = static_cast<std::uint32_t>(squared + 2 * (code_middle - lengthen(0)) * sum);
    kernel_.lay_out_tables(tables.data(), width, scratch_.laid_out_tables.as<std::uint8_t>().data());
}

void ForestSearch::check_link(Link link, Link parent) const {
    if ((link & bough_bit) != 0) {
        if ((link & ~bough_bit) >= facts_.boughs) damaged("a link leads past the last bough");
    } else if (link >= facts_.nodes) {
        damaged("a link leads past the last node");
    } else if (parent != bough_bit && link <= parent) {
        damaged("a link leads back");
    }
}

/// Finds boughs in order of what lies between them and the query, then reads their leaves in order of their
/// centres' distance, until `search_k` entries and `least` different rows have been seen, or all.
template <bool filtered>
void ForestSearch::collect(const Question& question, std::uint64_t search_k, std::size_t least) {
    scratch_.queue.clear();
    steps_left_ = facts_.nodes + facts_.boughs;
    explored_ = 0;
    // All trees at first: that is where the nearest boughs are.
    for (std::uint32_t tree = 0; tree < facts_.trees; ++tree) {
        check_link(index_.roots[tree], bough_bit);
        scratch_.queue.push({index_.roots[tree], 0});
    }
    std::uint64_t read = 0;
    const std::uint64_t entries = facts_.trees * facts_.present;
    std::uint64_t to_explore = search_k < entries ? search_k * explored_per_read : entries;
    for (bool more = true; more && (read < search_k || scratch_.candidates.all().size() < least);) {
        scratch_.leaves.clear();
        while (more && explored_ < to_explore) more = explore();
        sort_leaves();
        const auto& leaves = scratch_.sorted_leaves;
        for (std::size_t i = 0; i < std::min(leaves_ahead, leaves.size()); ++i) {
            prefetch_bytes(leaf(leaves[i].number), leaf_bytes_);
        }
        for (std::size_t i = 0; i < leaves.size(); ++i) {
            if (read >= search_k && scratch_.candidates.all().size() >= least) break;
            if (i + leaves_ahead < leaves.size()) {
                prefetch_bytes(leaf(leaves[i + leaves_ahead].number), leaf_bytes_);
            }
            scan<filtered>(question, leaves[i]);
            read += leaf_size;
        }
        to_explore = explored_ + 1;
    }
    scratch_.distance_computations += read;
}

/// Follows the nearest branch to its bough. Returns false if there is none left.
///
/// A branch is as far as the planes to be crossed on the way to it: the sum of the distances to them. In
/// Annoy the largest of those distances counts alone.
bool ForestSearch::explore() {
    BranchQueue::Branch branch;
    if (!scratch_.queue.pop(branch)) return false;
    while ((branch.link & bough_bit) == 0) branch.link = descend(branch);
    take_bough(branch.link);
    return true;
}

/// One step from a node to its near child; the far one is queued.
Link ForestSearch::descend(BranchQueue::Branch& branch) {
    if (steps_left_-- == 0) damaged("a search would not end");
    const Node node = index_.nodes[branch.link];
    check_link(node.left, branch.link);
    check_link(node.right, branch.link);
    const std::int32_t dot =
        kernel_.dot(scratch_.code.as<std::uint8_t>().data(),
                    index_.normals + std::size_t{branch.link} * facts_.width, facts_.width);
    const float margin = node.offset + node.scale * static_cast<float>(dot);
    const bool right = margin > 0;
    scratch_.queue.push({right ? node.left : node.right, branch.distance + std::abs(margin)});
    return right ? node.right : node.left;
}

/// Notes the leaves of a bough.
void ForestSearch::take_bough(Link link) {
    if (steps_left_-- == 0) damaged("a search would not end");
    Bough head;
    std::memcpy(&head, bough(link), sizeof head);
    if (head.leaves > bough_leaves || head.first_leaf + std::uint64_t{head.leaves} > facts_.leaves) {
        damaged("a bough's leaves are not there");
    }
    if (head.entries > head.leaves * leaf_size || head.entries + leaf_size <= head.leaves * leaf_size) {
        damaged("a bough's leaves do not hold its entries");
    }
    std::int32_t dots[bough_leaves];
    kernel_.bough_dots(reinterpret_cast<const std::uint8_t*>(bough(link) + sizeof head),
                       scratch_.signed_code.as<std::int8_t>().data(), facts_.width, dots);
    for (std::uint32_t i = 0; i < head.leaves; ++i) {
        // Unsigned, so that what a damaged file holds may wrap around.
        const std::uint32_t sum = query_term_ + static_cast<std::uint32_t>(head.squares[i]) -
                                  16u * static_cast<std::uint32_t>(dots[i]);
        const std::int32_t distance = std::max(static_cast<std::int32_t>(sum), 0);
        scratch_.leaves.push_back({static_cast<std::uint32_t>(distance), head.first_leaf + i});
    }
    explored_ += head.entries;
}

/// Orders the leaves by their distance, nearest first, about: by counting.
void ForestSearch::sort_leaves() {
    const auto& leaves = scratch_.leaves;
    auto& sorted = scratch_.sorted_leaves;
    auto& ends = scratch_.bucket_ends;
    sorted.resize(leaves.size());
    std::uint32_t low = ~std::uint32_t{0}, high = 0;
    for (const auto& leaf : leaves) {
        low = std::min(low, leaf.distance);
        high = std::max(high, leaf.distance);
    }
    const float scale = (leaf_buckets - 1) / std::max(static_cast<float>(high - low), 1.0f);
    const auto bucket = [&](const ForestScratch::Leaf& leaf) {
        return static_cast<std::size_t>(static_cast<float>(leaf.distance - low) * scale);
    };
    std::fill(ends.begin(), ends.end(), 0u);
    for (const auto& leaf : leaves) ++ends[bucket(leaf)];
    std::uint32_t before = 0;
    for (std::uint32_t& end : ends) before += std::exchange(end, before);
    for (const auto& leaf : leaves) sorted[ends[bucket(leaf)]++] = leaf;
}

/// Makes candidates of the rows of a leaf that look near enough and were not met before.
template <bool filtered>
void ForestSearch::scan(const Question& question, const ForestScratch::Leaf& one) {
    const float base = takes_bits(facts_.distance) ? base_ : static_cast<float>(one.distance);
    std::uint32_t ids[scan_room];
    float estimates[scan_room];
    const std::size_t found =
        kernel_.scan(leaf(one.number), 1, scratch_.laid_out_tables.as<std::uint8_t>().data(), facts_.width,
                     offset_, base, scratch_.candidates.limit(), ids, estimates);
    scratch_.candidates.add<filtered>(ids, estimates, found, question);
}

/// Leaves the `rerank` best candidates, or a few more, in `ids`.
void ForestSearch::narrow(std::size_t rerank) {
    auto& ids = scratch_.ids;
    ids.clear();
    const bool codes = facts_.code_bytes() != 0;
    const float limit = scratch_.candidates.limit();
    for (const Candidate& candidate : scratch_.candidates.all()) {
        if (!(candidate.estimate < limit)) continue;
        ids.push_back(candidate.row);
        if (!codes) continue;
        prefetch_bytes(index_.codes + candidate.row * facts_.code_bytes(), facts_.code_bytes());
        __builtin_prefetch(index_.code_terms + candidate.row);
    }
    if (ids.size() <= rerank || !codes) return;
    auto& scores = scratch_.scores;
    scores.resize(ids.size());
    kernel_.score(index_.codes, ids.data(), ids.size(), scratch_.signed_code.as<std::int8_t>().data(),
                  facts_.width, scores.data());
    for (std::size_t i = 0; i < ids.size(); ++i) {
        // Unsigned, so that what a damaged file holds may wrap around.
        scores[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(index_.code_terms[ids[i]]) -
                                              16u * static_cast<std::uint32_t>(scores[i]));
    }
    const std::int64_t limit_here = limit_of(scores, rerank);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
        if (scores[i] < limit_here) ids[kept++] = ids[i];
    }
    ids.resize(kept);
}

}  // namespace ann_bench
