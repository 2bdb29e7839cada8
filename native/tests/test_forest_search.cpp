// What a search is made of: the order of its branches, its threshold.

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>

#include <doctest/doctest.h>

#include "ann_bench/branch_queue.hpp"
#include "ann_bench/threshold.hpp"
#include "support.hpp"

using namespace ann_bench;
using namespace ann_bench::testing;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Up to `count` branches, as they come out.
std::vector<BranchQueue::Branch> pop(BranchQueue& queue, std::size_t count) {
    std::vector<BranchQueue::Branch> branches;
    for (BranchQueue::Branch branch; branches.size() < count && queue.pop(branch);)
        branches.push_back(branch);
    return branches;
}

}  // namespace

TEST_CASE("branches come out nearest first, each once, whatever the order they went in") {
    BranchQueue queue;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        queue.clear();
        Random random(seed);
        std::vector<Link> links(300);
        for (Link i = 0; i < 300; ++i) links[i] = i;
        for (Link i = 299; i > 0; --i) std::swap(links[i], links[random.below(i + 1)]);
        for (const Link link : links) queue.push({link, static_cast<float>(link)});
        Link next = 0;
        while (next < 300) {
            for (const auto& branch : pop(queue, 1 + random.below(9))) {
                CHECK(branch.link == next);
                CHECK(branch.distance == static_cast<float>(next++));
            }
        }
        CHECK(pop(queue, 4).empty());
    }
}

TEST_CASE("a branch that is nearer than all that came out is the next one") {
    BranchQueue queue;
    for (const float distance : {50.0f, 60.0f, 70.0f}) queue.push({1, distance});
    CHECK(pop(queue, 2).back().distance == 60);
    queue.push({2, 3});
    queue.push({3, 80});
    queue.push({4, 0});
    const auto rest = pop(queue, 8);
    REQUIRE(rest.size() == 4);
    CHECK(rest[0].link == 4);
    CHECK(rest[1].link == 2);
    CHECK(rest[2].link == 1);
    CHECK(rest[3].link == 3);
}

TEST_CASE("branches that are very far, infinitely far or nowhere come last, and none is lost") {
    BranchQueue queue;
    const float odd[] = {infinity, std::numeric_limits<float>::quiet_NaN(), 1e30f, 1e6f,
                         std::numeric_limits<float>::max()};
    Link link = 100;
    for (const float distance : odd) queue.push({link++, distance});
    for (Link near = 0; near < 50; ++near) queue.push({near, static_cast<float>(50 - near)});
    const auto all = pop(queue, 1000);
    REQUIRE(all.size() == 55);
    for (Link i = 0; i < 50; ++i) CHECK(all[i].link == 49 - i);
    std::vector<Link> far;
    for (std::size_t i = 50; i < 55; ++i) far.push_back(all[i].link);
    std::sort(far.begin(), far.end());
    CHECK(far == std::vector<Link>{100, 101, 102, 103, 104});
}

TEST_CASE("a cleared queue is empty, and works like a new one") {
    BranchQueue queue;
    for (int round = 0; round < 3; ++round) {
        queue.push({1, 1e9f});
        queue.push({2, 0});
        queue.push({3, 77});
        if (round == 1) pop(queue, 2);
        queue.clear();
        CHECK(pop(queue, 5).empty());
    }
    queue.push({9, 12});
    CHECK(pop(queue, 5).front().link == 9);
}

TEST_CASE("the limit is above as many values as are wanted, not far above, and never rises") {
    Threshold threshold;
    Random random(1);
    for (int trial = 0; trial < 400; ++trial) {
        const std::size_t wanted = 1 + random.below(trial % 2 == 0 ? 5 : 60);
        threshold.start(wanted);
        CHECK(threshold.limit() == infinity);
        const std::uint32_t kind = random.below(5);
        std::vector<float> values;
        float before = infinity;
        for (int n = 0; n < 200; ++n) {
            const auto bits = static_cast<std::uint32_t>(random.next());
            float value = static_cast<float>(random.below(1'000'000)) / 50.0f;  // 0 to 20,000
            if (kind == 1) value -= 10'000.0f;
            if (kind == 2) value = std::bit_cast<float>(bits & 0x7fff'ffffu);  // of any size
            if (kind == 3) value = std::bit_cast<float>(bits);
            if (kind == 4) value = random.coin() ? 5.0f : 3.0f;
            if (random.below(16) == 0) value = random.coin() ? infinity : -infinity;
            if (std::isnan(value)) continue;
            threshold.add(value, 1);
            threshold.add(3.5f, 0);
            threshold.tighten();
            values.insert(std::upper_bound(values.begin(), values.end(), value), value);
            const float limit = threshold.limit();
            REQUIRE(limit <= before);
            before = limit;
            if (values.size() < wanted) {
                REQUIRE(limit == infinity);
                continue;
            }
            const float last = values[wanted - 1];
            REQUIRE((limit > last || last == infinity));
            if (last > 1.5f && last < 1e6f) REQUIRE(limit <= last * 1.02f);
        }
        for (const float value : values) threshold.forget(value);
    }
}

TEST_CASE("a threshold that wants nothing has some limit all the same") {
    Threshold threshold;
    threshold.start(0);
    for (const float value : {3.0f, -1.0f, infinity}) {
        threshold.add(value, 1);
        threshold.tighten();
    }
    CHECK(threshold.limit() < infinity);
}

TEST_CASE("a threshold whose values were forgotten starts like a new one") {
    Threshold used, fresh;
    Random random(2);
    for (int trial = 0; trial < 50; ++trial) {
        const std::size_t wanted = 1 + random.below(20);
        used.start(wanted);
        fresh = Threshold();
        fresh.start(wanted);
        const auto most = 1 + random.below(1'000'000);
        std::vector<float> values;
        for (std::uint32_t n = 0; n < random.below(100); ++n) {
            values.push_back(static_cast<float>(random.below(most)));
            for (Threshold* threshold : {&used, &fresh}) {
                threshold->add(values.back(), 1);
                threshold->tighten();
            }
            CHECK(used.limit() == fresh.limit());
        }
        for (const float value : values) used.forget(value);
    }
}
