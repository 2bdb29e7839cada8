// The kernels that clusters are read with: each instruction set computes what plain loops do.

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "ann_bench/buffer.hpp"
#include "ann_bench/kernels.hpp"
#include "kernel_support.hpp"

using namespace ann_bench;
using namespace ann_bench::testing;

TEST_CASE("code_dots are the products of sixteen codes and a query, at every address") {
    Room codes_room, query_room, out_room;
    Random random(13);
    for (const std::size_t width : residual_widths) {
        for (std::size_t gap = 0; gap < 64; ++gap) {
            auto codes = random_codes(width * 16, random);
            auto query = random_weights(width, random);
            if (gap == 1) {
                std::fill(codes.begin(), codes.end(), std::uint8_t{127});
                std::fill(query.begin(), query.end(), std::int8_t{-127});
            }
            std::vector<std::int32_t> expected(16);
            for (std::size_t i = 0; i < 16; ++i) {
                for (std::size_t j = 0; j < width; ++j) {
                    expected[i] += codes[j / 4 * 64 + 4 * i + j % 4] * query[j];
                }
            }
            const std::uint8_t* const at_codes = codes_room.copy(codes, gap);
            const std::int8_t* const at_query = query_room.copy(query, 63 - gap);
            for_each_isa([&](const Kernels& k) {
                auto* const out = out_room.take<std::int32_t>(16, gap % 5);
                k.code_dots(at_codes, at_query, width, out);
                CHECK(std::equal(expected.begin(), expected.end(), out));
                CHECK(out_room.whole());
            });
        }
    }
}

TEST_CASE("scan_residuals finds the entries below the limit, in their order, with the same bits everywhere") {
    Room blocks_room, query_room, ids_room, estimates_room;
    Random random(14);
    for (const std::size_t width : residual_widths) {
        for (std::size_t count = 0; count < 10; ++count) {
            const std::size_t bytes = residual_block_bytes(width);
            std::vector<std::uint8_t> blocks(count * bytes);
            for (auto& byte : blocks) byte = static_cast<std::uint8_t>(random.below(256));
            for (std::size_t entry = 0; entry < 16 * count; ++entry) {
                const float term = entry % 7 == 3 ? infinity : static_cast<float>(random.below(100'000));
                std::memcpy(blocks.data() + entry / 16 * bytes + residual_terms + entry % 16 * 4, &term, 4);
            }
            const auto query = random_weights(width, random);
            const std::uint8_t* const at_blocks = blocks_room.copy(blocks, count % 3);
            const std::int8_t* const at_query = query_room.copy(query, count);
            const float base = 1234.5f, factor = 0.7f;
            for (const float limit : {-infinity, 3e4f, 6e4f, infinity, not_a_number}) {
                std::vector<std::uint32_t> ids;
                std::vector<float> estimates;
                for (std::size_t entry = 0; entry < 16 * count; ++entry) {
                    const std::uint8_t* const block = blocks.data() + entry / 16 * bytes;
                    std::int32_t dot = 0;
                    for (std::size_t j = 0; j < width; ++j) {
                        const std::uint8_t byte =
                            block[residual_codes + j / 16 * 64 + 4 * (entry % 16) + j % 4];
                        dot += (byte >> j % 16 / 4 * 2 & 3) * query[j];
                    }
                    std::uint32_t id;
                    float term;
                    std::memcpy(&id, block + entry % 16 * 4, 4);
                    std::memcpy(&term, block + residual_terms + entry % 16 * 4, 4);
                    const float estimate = base + (term - factor * static_cast<float>(dot));
                    if (!(estimate < limit)) continue;
                    ids.push_back(id);
                    estimates.push_back(estimate);
                }
                for_each_isa([&](const Kernels& k) {
                    auto* const to_ids = ids_room.take<std::uint32_t>(16 * count + 16, count % 4);
                    auto* const to_estimates = estimates_room.take<float>(16 * count + 16, count % 5);
                    const std::size_t found = k.scan_residuals(
                        reinterpret_cast<const std::byte*>(at_blocks), count, at_query, width, base, factor,
                        limit, reinterpret_cast<const std::byte*>(at_blocks), to_ids, to_estimates);
                    REQUIRE(found == ids.size());
                    CHECK(std::equal(ids.begin(), ids.end(), to_ids));
                    CHECK(std::equal(estimates.begin(), estimates.end(), to_estimates, same));
                    CHECK(ids_room.whole());
                    CHECK(estimates_room.whole());
                });
            }
        }
    }
}
