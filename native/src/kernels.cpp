#include "ann_bench/kernels.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace ann_bench {
namespace {

std::vector<const Kernels*> find_available() {
    std::vector<const Kernels*> found = {&detail::portable_kernels};
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c"))
        found.push_back(&detail::avx2_kernels);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vnni")) {
        found.push_back(&detail::avx512_kernels);
    }
#endif
    return found;
}

const Kernels& choose() {
    const char* wanted = std::getenv("ANN_BENCH_ISA");
    if (wanted == nullptr || *wanted == '\0') return *available_kernels().back();
    std::string here;
    for (const Kernels* one : available_kernels()) {
        if (std::string(wanted) == name_of(one->isa)) return *one;
        here += std::string(here.empty() ? "" : ", ") + name_of(one->isa);
    }
    throw std::runtime_error("ANN_BENCH_ISA: got \"" + std::string(wanted) + "\"; this processor runs " +
                             here);
}

}  // namespace

const char* name_of(Isa isa) {
    switch (isa) {
        case Isa::avx2:
            return "avx2";
        case Isa::avx512:
            return "avx512";
        default:
            return "portable";
    }
}

std::span<const Kernels* const> available_kernels() {
    static const std::vector<const Kernels*> available = find_available();
    return available;
}

const Kernels& kernels() {
    static const Kernels& chosen = choose();
    return chosen;
}

}  // namespace ann_bench
