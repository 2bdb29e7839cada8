#include "ann_bench/os.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

// The address sanitizer watches the ends of what malloc gives; those of a mapping it has to be told.
#if defined(__SANITIZE_ADDRESS__)
#define ANN_BENCH_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ANN_BENCH_ADDRESS_SANITIZER
#endif
#endif
#ifdef ANN_BENCH_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(begin, bytes) ((void)(begin), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(begin, bytes) ((void)(begin), (void)(bytes))
#endif

namespace ann_bench::os {
namespace {

constexpr std::size_t largest_transfer = std::size_t{1} << 26;
constexpr std::size_t huge_page = std::size_t{1} << 21;

std::uint64_t page_bytes() {
    static const auto bytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    return bytes;
}

struct stat status_of(const File& file) {
    struct stat status{};
    if (::fstat(file.descriptor(), &status) != 0) fail(file.path());
    return status;
}

}  // namespace

void fail(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

File::File(std::string path, int flags)
    : path_(std::move(path)), descriptor_(::open(path_.c_str(), flags | O_CLOEXEC | O_NONBLOCK, 0666)) {
    if (descriptor_ < 0) fail(path_);
}

File::~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

File& File::operator=(File&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(descriptor_, other.descriptor_);
    return *this;
}

bool File::is_regular() const {
    return S_ISREG(status_of(*this).st_mode);
}

std::uint64_t File::size() const {
    return static_cast<std::uint64_t>(status_of(*this).st_size);
}

std::size_t File::read(std::span<std::byte> to, std::uint64_t offset) const {
    std::size_t done = 0;
    while (done < to.size()) {
        const ssize_t got =
            ::pread(descriptor_, to.data() + done, std::min(to.size() - done, largest_transfer),
                    static_cast<off_t>(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) fail(path_);
        if (got == 0) break;
        done += static_cast<std::size_t>(got);
    }
    return done;
}

void File::write(std::span<const std::byte> from, std::uint64_t offset) const {
    while (!from.empty()) {
        const ssize_t done = ::pwrite(descriptor_, from.data(), std::min(from.size(), largest_transfer),
                                      static_cast<off_t>(offset));
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) fail(path_);
        from = from.subspan(static_cast<std::size_t>(done));
        offset += static_cast<std::uint64_t>(done);
    }
}

void File::resize(std::uint64_t bytes) const {
    if (::ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) fail(path_);
}

void File::sync() const {
    if (::fsync(descriptor_) != 0) fail(path_);
}

Mapping Mapping::of(const File& file, std::uint64_t offset, std::uint64_t bytes, bool prefault) {
    if (bytes == 0) return {};
    const std::uint64_t skipped = offset % page_bytes();
    void* const pages =
        ::mmap(nullptr, bytes + skipped, PROT_READ, MAP_SHARED | (prefault ? MAP_POPULATE : 0),
               file.descriptor(), static_cast<off_t>(offset - skipped));
    if (pages == MAP_FAILED) fail(file.path());
    return {{static_cast<std::byte*>(pages), bytes + skipped}, skipped, bytes};
}

Mapping Mapping::in_memory(std::uint64_t bytes, const std::string& what) {
    const std::uint64_t pages_bytes = bytes + huge_page;
    void* const pages =
        ::mmap(nullptr, pages_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) fail(what);
    const std::size_t skipped = -reinterpret_cast<std::uintptr_t>(pages) % huge_page;
    Mapping mapping({static_cast<std::byte*>(pages), pages_bytes}, skipped, bytes);
    ::madvise(mapping.data(), bytes, MADV_HUGEPAGE);  // a wish: systems without huge pages refuse it
    ASAN_POISON_MEMORY_REGION(pages, skipped);
    ASAN_POISON_MEMORY_REGION(mapping.data() + bytes, huge_page - skipped);
    return mapping;
}

Mapping::~Mapping() {
    if (pages_.empty()) return;
    ASAN_UNPOISON_MEMORY_REGION(pages_.data(), pages_.size());
    ::munmap(pages_.data(), pages_.size());
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
    std::swap(pages_, other.pages_);
    std::swap(skipped_, other.skipped_);
    std::swap(size_, other.size_);
    return *this;
}

void expect_random_reads(std::span<const std::byte> bytes) {
    const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
    const std::uintptr_t page = begin / page_bytes() * page_bytes();
    ::madvise(reinterpret_cast<void*>(page), begin + bytes.size() - page, MADV_RANDOM);  // a wish as well
}

}  // namespace ann_bench::os
