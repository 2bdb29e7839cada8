// What is known of a rank from the powers of two.

#include <limits>

#include <doctest/doctest.h>

#include "ann_bench/rank_table.hpp"

using namespace ann_bench;

TEST_CASE("what stands between two powers of two lies on a line, and so on beyond the last") {
    const RankTable<4> table{{1, 2, 4, 16}};
    CHECK(table.at(0.3) == 1);
    CHECK(table.at(1) == 1);
    CHECK(table.at(1.5) == 1.5);
    CHECK(table.at(3) == 3);
    CHECK(table.at(4) == 4);
    CHECK(table.at(6) == 10);
    CHECK(table.at(8) == 16);
    CHECK(table.at(12) == 22);
    CHECK(table.at(32) == 40);
}

TEST_CASE("a table that does not ascend from zero or more to something finite is told") {
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    constexpr float infinity = std::numeric_limits<float>::infinity();
    CHECK(RankTable<3>{{0, 1, 1}}.ascends());
    CHECK_FALSE(RankTable<3>{{0, 2, 1}}.ascends());
    CHECK_FALSE(RankTable<3>{{-1, 2, 3}}.ascends());
    CHECK_FALSE(RankTable<3>{{0, 2, infinity}}.ascends());
    CHECK_FALSE(RankTable<3>{{nan, nan, nan}}.ascends());
    CHECK_FALSE(RankTable<3>{{0, nan, 1}}.ascends());
}
