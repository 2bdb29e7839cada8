// The kernels that walks through a graph rest on, and those that compare rows of each type.

#include <algorithm>
#include <set>

#include "ann_bench/vectors.hpp"
#include "kernel_support.hpp"

using namespace ann_bench;
using namespace ann_bench::testing;

TEST_CASE("code_squares sums the squares of the differences of codes") {
    Room rows_room, row_room, out_room;
    Random random(21);
    for (const std::size_t width : widths) {
        for (std::size_t count = 0; count <= 9; ++count) {
            constexpr std::uint32_t rows = 7;
            const auto codes = random_codes(rows * width, random), row = random_codes(width, random);
            const auto ids = random_ids(count, rows, random);
            const std::uint8_t* const at_rows = rows_room.copy(codes, count % 5);
            const std::uint8_t* const at_row = row_room.copy(row, count % 3);
            for_each_isa([&](const Kernels& k) {
                auto* const out = out_room.take<std::int32_t>(count);
                k.code_squares(at_rows, ids.data(), count, at_row, width, out);
                for (std::size_t i = 0; i < count; ++i) {
                    std::int32_t expected = 0;
                    for (std::size_t j = 0; j < width; ++j) {
                        const std::int32_t difference = codes[ids[i] * width + j] - row[j];
                        expected += difference * difference;
                    }
                    CHECK(out[i] == expected);
                }
                CHECK(out_room.whole());
            });
        }
    }
}

TEST_CASE("short_code_squares compares 4-bit codes with finer ones, a line of 128 dimensions at a time") {
    Room codes_room, query_room, out_room;
    Random random(22);
    for (const std::size_t width : {128u, 256u, 384u, 1024u}) {
        for (std::size_t count = 0; count <= 9; ++count) {
            constexpr std::uint32_t rows = 7;
            std::vector<std::uint8_t> codes(rows * width / 2);
            for (auto& code : codes) code = static_cast<std::uint8_t>(random.next());
            std::vector<std::int8_t> query(width);
            for (auto& value : query)
                value = static_cast<std::int8_t>(static_cast<int>(random.below(131)) - 7);
            const auto ids = random_ids(count, rows, random);
            const std::uint8_t* const at_codes = codes_room.copy(codes, count % 5);
            const std::int8_t* const at_query = query_room.copy(query, count % 3);
            for_each_isa([&](const Kernels& k) {
                auto* const out = out_room.take<std::int32_t>(count);
                k.short_code_squares(at_codes, ids.data(), count, at_query, width, out);
                for (std::size_t i = 0; i < count; ++i) {
                    std::int32_t expected = 0;
                    for (std::size_t j = 0; j < width; ++j) {
                        const std::uint8_t byte = codes[ids[i] * width / 2 + j / 128 * 64 + j % 64];
                        const std::int32_t nibble = j % 128 < 64 ? byte & 15 : byte >> 4;
                        expected += (8 * nibble - query[j]) * (8 * nibble - query[j]);
                    }
                    CHECK(out[i] == expected);
                }
                CHECK(out_room.whole());
            });
        }
    }
}

TEST_CASE("admit keeps the smallest keys up to a limit in order and tells the lowest place that changed") {
    Random random(23);
    for (int round = 0; round < 300; ++round) {
        const std::size_t capacity = 1 + random.below(round % 2 != 0 ? 12 : 70);
        // Distances from few values, so that many are equal.
        const std::uint32_t values = 1 + random.below(40);
        const std::uint32_t limit = round % 3 == 0 ? no_limit : random.below(values);
        std::vector<std::uint32_t> ids(200);
        for (std::uint32_t i = 0; i < ids.size(); ++i) ids[i] = i;
        for (std::size_t i = ids.size(); i-- > 1;)
            std::swap(ids[i], ids[random.below(static_cast<std::uint32_t>(i + 1))]);
        std::vector<std::int32_t> distances(ids.size());
        for (auto& distance : distances) distance = static_cast<std::int32_t>(random.below(values));
        std::vector<std::size_t> cuts;
        for (std::size_t at = 0; at < ids.size(); at += 1 + random.below(40)) cuts.push_back(at);
        for_each_isa([&](const Kernels& k) {
            std::vector<std::uint64_t> pool(capacity + pool_room, 0x5555'5555'5555'5555u);
            std::set<std::uint64_t> expected;
            std::size_t size = 0;
            for (std::size_t c = 0; c < cuts.size(); ++c) {
                const std::size_t end = c + 1 < cuts.size() ? cuts[c + 1] : ids.size();
                const std::vector<std::uint64_t> before(pool.begin(),
                                                        pool.begin() + static_cast<std::ptrdiff_t>(size));
                std::size_t lowest = 1000;
                size = k.admit(pool.data(), size, capacity, ids.data() + cuts[c], distances.data() + cuts[c],
                               end - cuts[c], limit, &lowest);
                for (std::size_t i = cuts[c]; i < end; ++i) {
                    const auto distance = static_cast<std::uint32_t>(distances[i]);
                    if (distance <= limit) expected.insert(vertex_key(distance, ids[i]));
                }
                while (expected.size() > capacity) expected.erase(std::prev(expected.end()));
                REQUIRE(size == expected.size());
                REQUIRE(std::equal(expected.begin(), expected.end(), pool.begin()));
                std::size_t changed = 0;
                while (changed < before.size() && before[changed] == pool[changed]) ++changed;
                if (changed < size) {
                    CHECK(lowest == changed);
                } else {
                    CHECK(lowest == 1000);
                }
            }
        });
    }
}

TEST_CASE("keys keep vertex and distance") {
    CHECK(vertex_key(1, 0) > vertex_key(0, 0x7fff'ffff));
    CHECK(vertex_of(vertex_key(77, 0x7fff'fffe)) == 0x7fff'fffe);
    CHECK(vertex_of(vertex_key(77, 5) | 1) == 5);
}

namespace {

/// Values of a type, at all its edges, in room that may be read to a multiple of 16 bytes.
template <class T, class Make>
void check_rows(RowType type, Make make) {
    Random random(24);
    Room query_room;
    for (std::size_t count = 0; count <= 200; ++count) {
        std::vector<T> row(round_up(count * sizeof(T), 16) / sizeof(T));
        for (std::size_t i = 0; i < count; ++i) row[i] = make(random);
        std::vector<float> values(count);
        const Vectors view = std::span<const T>(row).first(count);
        if (count > 0) read_floats(view, 0, static_cast<std::uint32_t>(count), values.data());
        const auto query = floats_of_kind(count, 0, random);
        const float* const at = query_room.copy(query, count % 19);
        const Kernels& plain = *available_kernels().front();
        CAPTURE(count);
        for_each_isa([&](const Kernels& k) {
            const RowKernels& rows = k.rows[static_cast<std::size_t>(type)];
            CHECK(same(rows.dot(at, row.data(), count), plain.dot_f32(at, values.data(), count)));
            CHECK(
                same(rows.squared_l2(at, row.data(), count), plain.squared_l2_f32(at, values.data(), count)));
            CHECK(same(rows.scaled_squared_l2(at, row.data(), 0.7f, count),
                       plain.scaled_squared_l2_f32(at, values.data(), 0.7f, count)));
            CHECK(same(rows.l1(at, row.data(), count), plain.l1_f32(at, values.data(), count)));
        });
    }
}

}  // namespace

TEST_CASE("sums over bytes are exact, at all their edges and for the most bytes that there can be") {
    Random random(7);
    Room room_a, room_b;
    const auto check = [&](std::size_t count, bool extreme) {
        std::vector<std::uint8_t> a(count), b(count);
        for (std::size_t i = 0; i < count; ++i) {
            a[i] = static_cast<std::uint8_t>(extreme ? 0x80 : random.below(256));
            b[i] = static_cast<std::uint8_t>(extreme ? 0x7f + random.below(2) : random.below(256));
        }
        const std::uint8_t* const at_a = room_a.copy(a, count % 3);
        const std::uint8_t* const at_b = room_b.copy(b, count % 5);
        std::int64_t dot[2] = {}, squares[2] = {};
        for (std::size_t i = 0; i < count; ++i) {
            const int x = a[i], y = b[i], sx = static_cast<std::int8_t>(a[i]),
                      sy = static_cast<std::int8_t>(b[i]);
            dot[0] += x * y;
            dot[1] += sx * sy;
            squares[0] += (x - y) * (x - y);
            squares[1] += (sx - sy) * (sx - sy);
        }
        CAPTURE(count);
        for_each_isa([&](const Kernels& k) {
            CHECK(k.unsigned_bytes.dot(at_a, at_b, count) == dot[0]);
            CHECK(k.unsigned_bytes.squared_l2(at_a, at_b, count) == squares[0]);
            CHECK(k.signed_bytes.dot(at_a, at_b, count) == dot[1]);
            CHECK(k.signed_bytes.squared_l2(at_a, at_b, count) == squares[1]);
        });
    };
    for (std::size_t count = 0; count <= 200; ++count) check(count, false);
    for (const bool extreme : {false, true}) check(65'535, extreme);
}

TEST_CASE("rows of every type are compared as the floats that they stand for, to the last bit") {
    check_rows<float>(RowType::f32, [](Random& random) {
        return static_cast<float>(static_cast<std::int32_t>(random.next())) * 0x1p-31f;
    });
    check_rows<Half>(RowType::f16, [](Random& random) {
        const auto bits = static_cast<std::uint16_t>(random.next());
        // Any but infinity and NaN; every third too small for a leading bit.
        const std::uint16_t mask = random.below(3) == 0 ? 0x83ff : 0xfbff;
        return Half{static_cast<std::uint16_t>(bits & mask)};
    });
    check_rows<std::int8_t>(RowType::i8,
                            [](Random& random) { return static_cast<std::int8_t>(random.next()); });
    check_rows<std::uint8_t>(RowType::u8,
                             [](Random& random) { return static_cast<std::uint8_t>(random.next()); });
}
