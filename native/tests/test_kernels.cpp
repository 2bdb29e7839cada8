// Every kernel of every instruction set that this processor has: against plain loops, at all addresses, and
// bit for bit the same among each other.

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

TEST_CASE("instruction sets are told by name, portable first, each once, and one of them is in use") {
    const auto available = available_kernels();
    REQUIRE(!available.empty());
    CHECK(available.front()->isa == Isa::portable);
    CHECK(std::string(name_of(Isa::portable)) == "portable");
    CHECK(std::string(name_of(Isa::avx2)) == "avx2");
    CHECK(std::string(name_of(Isa::avx512)) == "avx512");
    for (std::size_t i = 1; i < available.size(); ++i) CHECK(available[i - 1]->isa < available[i]->isa);
    CHECK(std::count(available.begin(), available.end(), &kernels()) == 1);
}

TEST_CASE("dot is exact at every address, reads nothing behind its arrays and does not saturate") {
    Room a_room, b_room;
    Random random(1);
    for (const std::size_t width : widths) {
        for (std::size_t gap = 0; gap < 64; ++gap) {
            auto a = random_codes(width, random);
            auto b = random_weights(width, random);
            if (gap % 8 == 1) std::fill(a.begin(), a.end(), std::uint8_t{127});
            if (gap % 16 == 1) std::fill(b.begin(), b.end(), std::int8_t{127});
            if (gap % 16 == 9) std::fill(b.begin(), b.end(), std::int8_t{-128});
            const std::uint8_t* const at_a = a_room.copy(a, gap);
            const std::int8_t* const at_b = b_room.copy(b, 63 - gap);
            const std::int32_t expected = plain_dot(a.data(), b.data(), width);
            for_each_isa([&](const Kernels& k) { CHECK(k.dot(at_a, at_b, width) == expected); });
        }
    }
}

TEST_CASE("dots are the dots of the rows told, any number of them, and write no more than those") {
    Room rows_room, ids_room, b_room, out_room;
    Random random(2);
    constexpr std::uint32_t rows = 23;
    for (const std::size_t width : widths) {
        const auto codes = random_codes(rows * width, random);
        const auto b = random_weights(width, random);
        for (std::size_t count = 0; count <= 70; ++count) {
            const std::size_t gap = count % 64;
            const std::uint8_t* const at_rows = rows_room.copy(codes, gap);
            const std::int8_t* const at_b = b_room.copy(b, (gap * 7) % 64);
            const auto ids = random_ids(count, rows, random);
            const std::uint32_t* const at_ids = ids_room.copy(ids, gap % 3);
            for_each_isa([&](const Kernels& k) {
                auto* const out = out_room.take<std::int32_t>(count, gap % 5);
                k.dots(at_rows, at_ids, count, at_b, width, out);
                bool equal = true;
                for (std::size_t i = 0; i < count; ++i) {
                    equal = equal && out[i] == plain_dot(codes.data() + ids[i] * width, b.data(), width);
                }
                CHECK(equal);
                CHECK(out_room.whole());
            });
        }
    }
}

TEST_CASE("add_rows adds to what is there, without overflow however many rows there are") {
    Room rows_room, sums_room;
    Random random(3);
    constexpr std::uint32_t rows = 11;
    for (const std::size_t width : widths) {
        auto codes = random_codes(rows * width, random);
        std::fill_n(codes.begin(), width, std::uint8_t{127});
        std::vector<std::size_t> counts = {511, 512, 513, 1100};
        for (std::size_t count = 0; count <= 70; ++count) counts.push_back(count);
        for (const std::size_t count : counts) {
            auto ids = random_ids(count, rows, random);
            if (count > 500) std::fill(ids.begin(), ids.end(), 0u);
            std::vector<std::int32_t> start(width);
            for (auto& value : start) value = static_cast<std::int32_t>(random.below(1u << 31)) - (1 << 30);
            auto expected = start;
            for (const std::uint32_t id : ids) {
                for (std::size_t j = 0; j < width; ++j) expected[j] += codes[id * width + j];
            }
            const std::uint8_t* const at_rows = rows_room.copy(codes, count % 64);
            for_each_isa([&](const Kernels& k) {
                std::int32_t* const sums = sums_room.copy(start, count % 5);
                k.add_rows(at_rows, ids.data(), count, width, sums);
                CHECK(std::equal(expected.begin(), expected.end(), sums));
                CHECK(sums_room.whole());
            });
        }
    }
}

TEST_CASE("count_below counts what is smaller, up to both ends of the integers") {
    Room room;
    Random random(4);
    constexpr std::int32_t least = std::numeric_limits<std::int32_t>::min();
    constexpr std::int32_t most = std::numeric_limits<std::int32_t>::max();
    constexpr std::int32_t some[] = {least, least + 1, -1, 0, 1, most - 1, most};
    for (std::size_t count = 0; count <= 200; ++count) {
        std::vector<std::int32_t> values(count);
        for (auto& value : values) {
            value = random.coin() ? some[random.below(std::size(some))]
                                  : static_cast<std::int32_t>(random.next());
        }
        const std::int32_t* const at = room.copy(values, count % 17);
        for (const std::int32_t limit : some) {
            const auto below =
                std::count_if(values.begin(), values.end(), [=](std::int32_t v) { return v < limit; });
            for_each_isa([&](const Kernels& k) {
                CHECK(k.count_below(at, count, limit) == static_cast<std::size_t>(below));
            });
        }
    }
}

TEST_CASE("split keeps what is below the limit in front and puts the rest elsewhere, both in order") {
    Room positions_room, values_room, rest_room;
    Random random(13);
    for (std::size_t count = 0; count <= 200; ++count) {
        std::vector<std::uint32_t> positions(count);
        std::vector<std::int32_t> values(count);
        for (auto& position : positions) position = static_cast<std::uint32_t>(random.next());
        for (auto& value : values) value = static_cast<std::int32_t>(random.below(5)) - 2;
        const std::int32_t* const at_values = values_room.copy(values, count % 17);
        for (const std::int32_t limit :
             {std::numeric_limits<std::int32_t>::min(), -1, 0, 2, std::numeric_limits<std::int32_t>::max()}) {
            std::vector<std::uint32_t> below, others;
            for (std::size_t i = 0; i < count; ++i)
                (values[i] < limit ? below : others).push_back(positions[i]);
            for_each_isa([&](const Kernels& k) {
                std::uint32_t* const at = positions_room.copy(positions, count % 5);
                auto* const rest = rest_room.take<std::uint32_t>(count + split_room, count % 3);
                k.split(at, at_values, count, limit, rest);
                CHECK(std::equal(below.begin(), below.end(), at));
                CHECK(std::equal(others.begin(), others.end(), rest));
                CHECK(positions_room.whole());
                CHECK(rest_room.whole());
            });
        }
    }
}

TEST_CASE("project is the product with the matrix, for depths of any multiple of four") {
    Room values_room, matrix_room, out_room;
    Random random(5);
    for (const std::size_t width : {64u, 128u, 192u, 256u, 320u}) {
        for (std::size_t depth = 4; depth <= 400; depth += depth < 32 ? 4 : 92) {
            auto values = random_codes(depth, random);
            auto matrix = random_weights(depth * width, random);
            if (depth == 8) std::fill(values.begin(), values.end(), std::uint8_t{127});
            if (depth == 8) std::fill(matrix.begin(), matrix.end(), std::int8_t{-128});
            std::vector<std::int32_t> expected(width);
            for (std::size_t w = 0; w < width; ++w) {
                for (std::size_t j = 0; j < depth; ++j) {
                    expected[w] += values[j] * matrix[j / 4 * 4 * width + 4 * w + j % 4];
                }
            }
            const std::uint8_t* const at_values = values_room.copy(values, depth % 61);
            const std::int8_t* const at_matrix = matrix_room.copy(matrix, depth % 59);
            for_each_isa([&](const Kernels& k) {
                auto* const out = out_room.take<std::int32_t>(width, depth / 4 % 3);
                k.project(at_values, depth, at_matrix, width, out);
                CHECK(std::equal(expected.begin(), expected.end(), out));
                CHECK(out_room.whole());
            });
        }
    }
}

TEST_CASE("bough_dots are the products of sixteen 4-bit centres and a query, at every address") {
    Room centres_room, query_room, out_room;
    Random random(12);
    for (const std::size_t width : widths) {
        for (std::size_t gap = 0; gap < 64; ++gap) {
            std::vector<std::uint8_t> centres(width / 2 * 16);
            for (auto& byte : centres) byte = gap == 1 ? 255 : static_cast<std::uint8_t>(random.below(256));
            auto query = random_weights(width, random);
            if (gap == 1) std::fill(query.begin(), query.end(), std::int8_t{-127});
            std::vector<std::int32_t> expected(16);
            for (std::size_t i = 0; i < 16; ++i) {
                for (std::size_t j = 0; j < width; ++j) {
                    const std::uint8_t byte = centres[j / 8 * 64 + 4 * i + j % 4];
                    expected[i] += (j % 8 < 4 ? byte & 15 : byte >> 4) * query[j];
                }
            }
            const std::uint8_t* const at_centres = centres_room.copy(centres, gap);
            const std::int8_t* const at_query = query_room.copy(query, 63 - gap);
            for_each_isa([&](const Kernels& k) {
                auto* const out = out_room.take<std::int32_t>(16, gap % 5);
                k.bough_dots(at_centres, at_query, width, out);
                CHECK(std::equal(expected.begin(), expected.end(), out));
                CHECK(out_room.whole());
            });
        }
    }
}

TEST_CASE("residual tells signs, |difference|, its square and the centre's part, at every address") {
    Room row_room, centre_room, bits_room;
    Random random(6);
    for (const std::size_t width : widths) {
        for (std::size_t gap = 0; gap < 64; ++gap) {
            auto row = random_codes(width, random), centre = random_codes(width, random);
            if (gap == 1) centre = row;
            if (gap == 2 || gap == 3) {
                std::fill(row.begin(), row.end(), static_cast<std::uint8_t>(gap == 2 ? 127 : 0));
                std::fill(centre.begin(), centre.end(), static_cast<std::uint8_t>(gap == 2 ? 0 : 127));
            }
            Residual expected{};
            std::vector<std::uint8_t> signs(width / 8);
            for (std::size_t j = 0; j < width; ++j) {
                const int difference = row[j] - centre[j];
                const bool up = difference >= 0;
                if (up) signs[j / 8] = static_cast<std::uint8_t>(signs[j / 8] | 1 << j % 8);
                expected.l1 += std::abs(difference);
                expected.squared_l2 += difference * difference;
                expected.centre_signs += (centre[j] - 64) * (up ? 1 : -1);
            }
            const std::uint8_t* const at_row = row_room.copy(row, gap);
            const std::uint8_t* const at_centre = centre_room.copy(centre, gap * 5 % 64);
            for_each_isa([&](const Kernels& k) {
                auto* const bits = bits_room.take<std::uint8_t>(width / 8, gap);
                const Residual found = k.residual(at_row, at_centre, width, bits);
                CHECK(found.l1 == expected.l1);
                CHECK(found.squared_l2 == expected.squared_l2);
                CHECK(found.centre_signs == expected.centre_signs);
                CHECK(std::equal(signs.begin(), signs.end(), bits));
                CHECK(bits_room.whole());
            });
        }
    }
}

namespace {

/// Blocks of sketches whose entries can be set, and what a plain loop says about them.
struct Sketches {
    std::size_t width, count;
    std::vector<std::byte> bytes = std::vector<std::byte>(count * block_bytes(width));

    std::byte* block(std::size_t entry) { return bytes.data() + entry / block_entries * block_bytes(width); }

    void set(std::size_t entry, std::uint32_t id, float term, float factor) {
        const auto high = [](float value) {
            return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
        };
        const std::uint16_t halves[] = {high(term), high(factor)};
        const std::size_t n = entry % block_entries;
        std::memcpy(block(entry) + 4 * n, &id, sizeof id);
        std::memcpy(block(entry) + block_terms + 2 * n, &halves[0], 2);
        std::memcpy(block(entry) + block_factors + 2 * n, &halves[1], 2);
    }

    void set_byte(std::size_t entry, std::size_t byte, std::uint8_t bits) {
        block(entry)[block_bits + byte * block_entries + block_lane(entry % block_entries)] = std::byte{bits};
    }

    /// Sets all entries to any id and bits and to terms and factors of any size, some of them no numbers.
    void randomise(Random& random) {
        for (std::size_t entry = 0; entry < count * block_entries; ++entry) {
            const auto any = [&] {
                const std::uint32_t kind = random.below(16);
                if (kind == 0) return infinity;
                if (kind == 1) return -infinity;
                if (kind == 2) return not_a_number;
                if (kind == 3) return std::bit_cast<float>(static_cast<std::uint32_t>(random.next()));
                return static_cast<float>(static_cast<int>(random.below(4001)) - 2000) * 0.37f;
            };
            const float term = any(), factor = any();
            set(entry, static_cast<std::uint32_t>(random.next()), term, factor);
            for (std::size_t b = 0; b < width / 8; ++b) {
                set_byte(entry, b, static_cast<std::uint8_t>(random.below(256)));
            }
        }
    }

    struct Found {
        std::vector<std::uint32_t> ids;
        std::vector<float> estimates;
    };
    Found plain_scan(const std::vector<std::uint8_t>& tables, std::int32_t offset, float base, float limit) {
        Found found;
        for (std::size_t entry = 0; entry < count * block_entries; ++entry) {
            const std::byte* const at = block(entry);
            const std::size_t n = entry % block_entries;
            std::uint32_t id, term = 0, factor = 0;
            std::memcpy(&id, at + 4 * n, 4);
            std::memcpy(reinterpret_cast<std::byte*>(&term) + 2, at + block_terms + 2 * n, 2);
            std::memcpy(reinterpret_cast<std::byte*>(&factor) + 2, at + block_factors + 2 * n, 2);
            std::int32_t sum = 0;
            for (std::size_t b = 0; b < width / 8; ++b) {
                const auto bits =
                    std::to_integer<std::uint8_t>(at[block_bits + b * block_entries + block_lane(n)]);
                sum += tables[32 * b + (bits & 15)] + tables[32 * b + 16 + (bits >> 4)];
            }
            const float estimate = base + (std::bit_cast<float>(term) -
                                           std::bit_cast<float>(factor) * static_cast<float>(sum - offset));
            if (estimate < limit) {
                found.ids.push_back(id);
                found.estimates.push_back(estimate);
            }
        }
        return found;
    }
};

/// Compares what every instruction set's scan finds, bit for bit, with the plain loop.
void check_scan(Sketches& sketches, const std::vector<std::uint8_t>& tables, std::int32_t offset, float base,
                float limit, std::size_t gap = 0) {
    static Room tables_room, blocks_room, ids_room, estimates_room;
    const auto expected = sketches.plain_scan(tables, offset, base, limit);
    const std::size_t room = sketches.count * block_entries + scan_room - block_entries;
    Buffer laid_out(table_bytes(sketches.width) + 2 * cache_line);
    const std::byte* const blocks = blocks_room.copy(sketches.bytes, 4 * gap);
    const std::uint8_t* const at_tables = tables_room.copy(tables, gap);
    CAPTURE(sketches.width);
    CAPTURE(sketches.count);
    CAPTURE(limit);
    for_each_isa([&](const Kernels& k) {
        auto* const to_tables = laid_out.as<std::uint8_t>().data() + cache_line;
        std::memset(laid_out.data(), 0xa5, laid_out.size());
        k.lay_out_tables(at_tables, sketches.width, to_tables);
        for (std::size_t i = 0; i < cache_line; ++i) {
            REQUIRE(laid_out.data()[i] == std::byte{0xa5});
            REQUIRE(to_tables[table_bytes(sketches.width) + i] == 0xa5);
        }
        auto* const ids = ids_room.take<std::uint32_t>(room, gap);
        auto* const estimates = estimates_room.take<float>(room, gap);
        const std::size_t found =
            k.scan(blocks, sketches.count, to_tables, sketches.width, offset, base, limit, ids, estimates);
        REQUIRE(found == expected.ids.size());
        CHECK(std::equal(ids, ids + found, expected.ids.begin()));
        CHECK(std::equal(estimates, estimates + found, expected.estimates.begin(), same));
        CHECK(ids_room.whole());
        CHECK(estimates_room.whole());
        CHECK(blocks_room.whole());
    });
}

}  // namespace

TEST_CASE("scan finds the entries below the limit, in their order, with the same bits everywhere") {
    Random random(7);
    for (const std::size_t width : widths) {
        for (const std::size_t count : {0u, 1u, 2u, 3u, 7u}) {
            Sketches sketches{width, count};
            sketches.randomise(random);
            const auto tables = random_codes(width / 4 * 16, random);
            const auto offset = static_cast<std::int32_t>(width / 4 * 63);
            for (const float limit : {infinity, 1e5f, 0.0f, -1e5f, -infinity, not_a_number}) {
                check_scan(sketches, tables, offset, 1234.5f, limit, count + width / 64);
            }
            check_scan(sketches, tables, 0, infinity, infinity);
            check_scan(sketches, tables, 0, -3e38f, infinity);
        }
    }
}

TEST_CASE("an infinite or undefined term passes no limit, not even an infinite one") {
    for (const float term : {infinity, not_a_number}) {
        Sketches sketches{64, 2};
        for (std::uint32_t entry = 0; entry < 64; ++entry) {
            sketches.set(entry, entry, entry % 3 == 0 ? 1.0f : term, 0.0f);
        }
        const std::vector<std::uint8_t> tables(64 / 4 * 16, 1);
        const auto found = sketches.plain_scan(tables, 0, 0, infinity);
        REQUIRE(found.ids.size() == 22);
        check_scan(sketches, tables, 0, 0, infinity);
    }
}

TEST_CASE("sums of tables do not overflow: 127 everywhere, and bits in the largest dimension there is") {
    for (const std::size_t width : widths) {
        Sketches sketches{width, 1};
        for (std::uint32_t entry = 0; entry < block_entries; ++entry) {
            sketches.set(entry, entry, 0.0f, -1.0f);
            for (std::size_t b = 0; b < width / 8; ++b) sketches.set_byte(entry, b, 0xff);
        }
        const std::vector<std::uint8_t> tables(width / 4 * 16, 127);
        const auto found = sketches.plain_scan(tables, 0, 0, infinity);
        REQUIRE(found.estimates == std::vector<float>(block_entries, static_cast<float>(127 * width / 4)));
        check_scan(sketches, tables, 0, 0, infinity);
    }
    Sketches widest{65'536, 1};
    for (std::uint32_t entry = 0; entry < block_entries; ++entry) {
        widest.set(entry, entry, 0.0f, -1.0f);
        for (std::size_t b = 0; b < 65'536 / 8; ++b) widest.set_byte(entry, b, 0xff);
    }
    std::vector<std::uint8_t> tables(65'536 / 4 * 16, 4);
    std::fill(tables.end() - 16, tables.end(), std::uint8_t{3});
    REQUIRE(widest.plain_scan(tables, 0, 0, infinity).estimates[0] == 65'535.0f);
    check_scan(widest, tables, 0, 0, infinity);
}

TEST_CASE("score is the product of 4-bit codes and a query, for any number of rows at every address") {
    Room codes_room, query_room, out_room;
    Random random(8);
    constexpr std::uint32_t rows = 19;
    for (const std::size_t width : widths) {
        std::vector<std::uint8_t> codes(rows * width / 2);
        for (auto& byte : codes) byte = static_cast<std::uint8_t>(random.below(256));
        std::fill_n(codes.begin(), width / 2, std::uint8_t{0xff});
        auto query = random_weights(width, random);
        if (width == 128) std::fill(query.begin(), query.end(), std::int8_t{-127});
        for (std::size_t count = 0; count <= 70; ++count) {
            const auto ids = random_ids(count, rows, random);
            const std::uint8_t* const at_codes = codes_room.copy(codes, count % 64);
            const std::int8_t* const at_query = query_room.copy(query, count * 3 % 64);
            for_each_isa([&](const Kernels& k) {
                auto* const out = out_room.take<std::int32_t>(count, count % 7);
                k.score(at_codes, ids.data(), count, at_query, width, out);
                bool equal = true;
                for (std::size_t i = 0; i < count; ++i) {
                    std::int32_t expected = 0;
                    for (std::size_t d = 0; d < width; ++d) {
                        const std::size_t t = d % code_step;
                        const std::uint8_t byte =
                            codes[ids[i] * (width / 2) + d / code_step * (code_step / 2) + t % 32];
                        expected += (t < 32 ? byte & 15 : byte >> 4) * query[d];
                    }
                    equal = equal && out[i] == expected;
                }
                CHECK(equal);
                CHECK(out_room.whole());
            });
        }
    }
}

TEST_CASE("sums of floats have the same bits everywhere, for every length, address and kind of number") {
    Room a_room, b_room;
    Random random(9);
    for (int kind = 0; kind < 4; ++kind) {
        for (std::size_t count = 0; count <= 200; ++count) {
            const auto a = floats_of_kind(count, kind, random), b = floats_of_kind(count, kind, random);
            const float* const at_a = a_room.copy(a, count % 19);
            const float* const at_b = b_room.copy(b, count % 7);
            const Kernels& plain = *available_kernels().front();
            const float scale = kind == 3 ? 1e20f : 0.7f;
            CAPTURE(kind);
            CAPTURE(count);
            for_each_isa([&](const Kernels& k) {
                CHECK(same(k.dot_f32(at_a, at_b, count), plain.dot_f32(at_a, at_b, count)));
                CHECK(same(k.squared_l2_f32(at_a, at_b, count), plain.squared_l2_f32(at_a, at_b, count)));
                CHECK(same(k.scaled_squared_l2_f32(at_a, at_b, scale, count),
                           plain.scaled_squared_l2_f32(at_a, at_b, scale, count)));
                CHECK(same(k.l1_f32(at_a, at_b, count), plain.l1_f32(at_a, at_b, count)));
            });
        }
    }
}

TEST_CASE("sums of floats are what they are called, to the precision of floats") {
    Random random(10);
    for (std::size_t count = 0; count <= 200; ++count) {
        const auto a = floats_of_kind(count, 0, random), b = floats_of_kind(count, 0, random);
        double dot = 0, size = 1e-30, squared = 0, scaled = 0, absolute = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const double x = a[i], y = b[i];
            dot += x * y;
            size += std::abs(x * y);
            squared += (x - y) * (x - y);
            scaled += (x - 0.7f * y) * (x - 0.7f * y);
            absolute += std::abs(x - y);
        }
        for_each_isa([&](const Kernels& k) {
            CHECK(std::abs(k.dot_f32(a.data(), b.data(), count) - dot) <= 1e-6 * size);
            CHECK(std::abs(k.squared_l2_f32(a.data(), b.data(), count) - squared) <= 1e-6 * squared);
            CHECK(std::abs(k.scaled_squared_l2_f32(a.data(), b.data(), 0.7f, count) - scaled) <=
                  2e-6 * scaled);
            CHECK(std::abs(k.l1_f32(a.data(), b.data(), count) - absolute) <= 1e-6 * absolute);
        });
    }
}

TEST_CASE("add_scaled_f32 adds each product, rounded twice, and touches nothing else") {
    Room out_room, b_room;
    Random random(11);
    for (int kind = 0; kind < 4; ++kind) {
        for (std::size_t count = 0; count <= 200; ++count) {
            const auto start = floats_of_kind(count, kind, random), b = floats_of_kind(count, kind, random);
            const float factor = floats_of_kind(1, kind, random)[0];
            const float* const at_b = b_room.copy(b, count % 7);
            CAPTURE(kind);
            CAPTURE(count);
            for_each_isa([&](const Kernels& k) {
                float* const out = out_room.copy(start, count % 19);
                k.add_scaled_f32(out, at_b, factor, count);
                bool equal = true;
                for (std::size_t i = 0; i < count; ++i) {
                    const float product = factor * b[i];
                    equal = equal && same(out[i], start[i] + product);
                }
                CHECK(equal);
                CHECK(out_room.whole());
            });
        }
    }
}
