#include <atomic>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "ann_bench/parallel.hpp"

using ann_bench::parallel_for;

TEST_CASE("every task runs exactly once, whatever the number of threads") {
    for (const unsigned threads : {1u, 2u, 7u}) {
        for (const std::size_t count : {0u, 1u, 2u, 100u}) {
            std::vector<std::atomic<int>> calls(count);
            parallel_for(count, threads, [&](std::size_t i) { ++calls[i]; });
            for (const auto& n : calls) CHECK(n == 1);
        }
    }
}

TEST_CASE("of several exceptions the lowest task's is thrown, whatever the number of threads") {
    for (const unsigned threads : {1u, 2u, 7u}) {
        const auto fail = [](std::size_t i) {
            if (i >= 20) throw std::runtime_error(std::to_string(i));
        };
        CHECK_THROWS_WITH(parallel_for(100, threads, fail), "20");
    }
}
