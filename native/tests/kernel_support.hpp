#pragma once
// What tests of kernels share: guarded memory, values at their edges, every instruction set in turn.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <sys/mman.h>
#include <vector>

#include <doctest/doctest.h>

#include "ann_bench/kernels.hpp"
#include "support.hpp"

namespace ann_bench::testing {

inline constexpr std::size_t widths[] = {64, 128, 192, 256, 320, 448, 1024};

/// Those of residuals.
inline constexpr std::size_t residual_widths[] = {16, 48, 64, 112, 128, 256, 448};
inline constexpr float infinity = std::numeric_limits<float>::infinity();
inline constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

/// Room for an array right before a page that nobody may touch, with bytes around it that must not change.
class Room {
  public:
    Room() {
        void* const pages = ::mmap(nullptr, capacity + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages == MAP_FAILED || ::mprotect(pages, capacity, PROT_READ | PROT_WRITE) != 0) {
            throw std::bad_alloc();
        }
        pages_ = static_cast<unsigned char*>(pages);
    }
    ~Room() { ::munmap(pages_, capacity + page); }
    Room(const Room&) = delete;
    Room& operator=(const Room&) = delete;

    /// Room for `count` values that ends `gap` values before the page.
    template <class T>
    T* take(std::size_t count, std::size_t gap = 0) {
        last_ = capacity - gap * sizeof(T);
        first_ = last_ - count * sizeof(T);
        REQUIRE(last_ - first_ <= capacity - margin);
        std::memset(pages_ + first_ - margin, mark, margin);
        std::memset(pages_ + first_, 0, last_ - first_);
        std::memset(pages_ + last_, mark, capacity - last_);
        return reinterpret_cast<T*>(pages_ + first_);
    }

    template <class T>
    T* copy(const std::vector<T>& values, std::size_t gap = 0) {
        T* const to = take<T>(values.size(), gap);
        std::copy(values.begin(), values.end(), to);
        return to;
    }

    /// Whether the bytes around the array are as they were.
    bool whole() const {
        const auto marked = [](unsigned char byte) { return byte == mark; };
        return std::all_of(pages_ + first_ - margin, pages_ + first_, marked) &&
               std::all_of(pages_ + last_, pages_ + capacity, marked);
    }

  private:
    static constexpr std::size_t page = 4096, capacity = 160 * page, margin = 256;
    static constexpr unsigned char mark = 0xa5;
    unsigned char* pages_;
    std::size_t first_ = 0, last_ = 0;
};

/// Codes of any value, every other one at an edge.
inline std::vector<std::uint8_t> random_codes(std::size_t count, Random& random) {
    constexpr std::uint8_t edges[] = {0, 1, 63, 64, 65, 126, 127};
    std::vector<std::uint8_t> codes(count);
    for (auto& code : codes) {
        code = random.coin() ? edges[random.below(std::size(edges))]
                             : static_cast<std::uint8_t>(random.below(128));
    }
    return codes;
}

/// The same with a sign; -128, which no index holds, can come from a damaged file.
inline std::vector<std::int8_t> random_weights(std::size_t count, Random& random) {
    constexpr std::int8_t edges[] = {-128, -127, -65, -64, -63, -1, 0, 1, 63, 64, 127};
    std::vector<std::int8_t> weights(count);
    for (auto& weight : weights) {
        weight = random.coin() ? edges[random.below(std::size(edges))]
                               : static_cast<std::int8_t>(static_cast<int>(random.below(255)) - 127);
    }
    return weights;
}

inline std::vector<std::uint32_t> random_ids(std::size_t count, std::uint32_t rows, Random& random) {
    std::vector<std::uint32_t> ids(count);
    for (auto& id : ids) id = random.below(rows);
    return ids;
}

inline std::int32_t plain_dot(const std::uint8_t* a, const std::int8_t* b, std::size_t width) {
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < width; ++i) sum += std::int32_t{a[i]} * b[i];
    return sum;
}

/// The same bits, or a NaN each.
inline bool same(float a, float b) {
    return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) ||
           (std::isnan(a) && std::isnan(b));
}

/// Calls body(kernels) for each instruction set, which failures tell.
template <class Body>
void for_each_isa(Body body) {
    for (const Kernels* one : available_kernels()) {
        CAPTURE(name_of(one->isa));
        body(*one);
    }
}

/// Floats of several kinds: ordinary, from denormal to huge, and any bits at all.
inline std::vector<float> floats_of_kind(std::size_t count, int kind, Random& random) {
    std::vector<float> values(count);
    for (float& value : values) {
        const auto bits = static_cast<std::uint32_t>(random.next());
        value = static_cast<float>(static_cast<std::int32_t>(bits)) * 0x1p-31f;
        if (kind == 1) value = std::ldexp(value, static_cast<int>(random.below(270)) - 148);
        if (kind == 2) value = std::bit_cast<float>(bits & 0x807f'ffffu);
        if (kind == 3) value = std::bit_cast<float>(bits);
    }
    return values;
}

}  // namespace ann_bench::testing
