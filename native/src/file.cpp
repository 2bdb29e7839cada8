#include "ann_bench/file.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <limits>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace ann_bench {
namespace {

static_assert(std::endian::native == std::endian::little, "the file is mapped as it is, little-endian");

/// As in PNG: the high bit, the line ends and the end-of-file byte show what a text-mode copy did.
constexpr char magic[8] = {'\x89', 'A', 'N', 'B', '\r', '\n', '\x1a', '\n'};

struct Header {
    char magic[8];
    std::uint32_t version;
    std::uint32_t header_bytes;
    std::uint64_t file_bytes;
    std::uint32_t distance;
    std::uint32_t dimension;
    std::uint64_t rows;
    std::uint64_t nodes;
    std::uint64_t leaves;
    std::uint64_t seed;
    std::uint32_t trees;
    std::uint32_t leaf_size;
    std::uint32_t split;
    std::uint32_t reserved[9];
    std::uint64_t present;
    std::uint64_t checksum;  ///< of all bytes before it
};
static_assert(sizeof(Header) == 128);

/// FNV-1a. Each step is a bijection, so no change of a single byte goes unnoticed.
std::uint64_t checksum(const Header& header) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(&header);
    std::uint64_t hash = 0xcbf29ce484222325u;
    for (std::size_t i = 0; i < offsetof(Header, checksum); ++i) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

/// Where each part lies; the order in the file is the order here.
struct Places {
    std::uint64_t rows, nodes, leaf_begins, entries, roots, end;
};

std::uint64_t checked_multiply(std::uint64_t a, std::uint64_t b) {
    std::uint64_t product = 0;
    if (__builtin_mul_overflow(a, b, &product)) throw DamagedIndex("sizes in the header overflow");
    return product;
}

/// The end of a part of `bytes` at `place`, moved up to the next cache line.
std::uint64_t after(std::uint64_t place, std::uint64_t bytes) {
    std::uint64_t end = 0;
    if (__builtin_add_overflow(place, bytes, &end) || __builtin_add_overflow(end, cache_line - 1, &end)) {
        throw DamagedIndex("sizes in the header overflow");
    }
    return end / cache_line * cache_line;
}

Places places_of(const Summary& summary) {
    const auto require = [](bool holds, const char* what) {
        if (!holds) throw DamagedIndex(std::string("header: ") + what + " out of range");
    };
    require(static_cast<std::size_t>(summary.distance) < distance_names.size(), "distance");
    require(static_cast<std::size_t>(summary.split) < split_names.size(), "split");
    require(summary.dimension >= 1 && summary.dimension <= max_dimension, "dimension");
    require(summary.rows >= 1 && summary.rows < leaf_bit, "rows");
    require(summary.present <= summary.rows, "present rows");
    require(summary.trees >= 1, "trees");
    require(summary.nodes < leaf_bit, "nodes");
    // A tree has one leaf more than it has nodes.
    require(summary.leaves == summary.nodes + summary.trees && summary.leaves < leaf_bit, "leaves");
    const Layout layout = layout_of(summary.distance, summary.dimension);
    Places places{};
    places.rows = sizeof(Header);
    places.nodes = after(places.rows, checked_multiply(summary.rows, layout.row_bytes));
    places.leaf_begins = after(places.nodes, checked_multiply(summary.nodes, layout.node_bytes));
    places.entries = after(places.leaf_begins, checked_multiply(summary.leaves + 1, sizeof(std::uint64_t)));
    places.roots = after(places.entries, checked_multiply(summary.entries(), sizeof(std::uint32_t)));
    places.end = after(places.roots, checked_multiply(summary.trees, sizeof(Link)));
    return places;
}

[[noreturn]] void fail(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

/// A file descriptor that closes itself.
class File {
  public:
    File(const std::string& path, int flags) : descriptor_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {
        if (descriptor_ < 0) fail(path);
    }
    ~File() { ::close(descriptor_); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    int operator*() const { return descriptor_; }

  private:
    int descriptor_;
};

void write_all(int descriptor, const void* from, std::uint64_t bytes, const std::string& path) {
    const auto* at = static_cast<const std::byte*>(from);
    constexpr std::uint64_t largest_write = 1u << 30;  // the kernel takes 2 GiB at most
    while (bytes > 0) {
        const ssize_t written = ::write(descriptor, at, std::min(bytes, largest_write));
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) fail(path);
        at += written;
        bytes -= static_cast<std::uint64_t>(written);
    }
}

/// Writes one part and the zeros up to the next.
void write_part(int descriptor, const void* from, std::uint64_t bytes, std::uint64_t begin, std::uint64_t end,
                const std::string& path) {
    constexpr std::byte zeros[cache_line] = {};
    write_all(descriptor, from, bytes, path);
    write_all(descriptor, zeros, end - begin - bytes, path);
}

void write_index(const IndexView& index, const std::string& path) {
    const Summary& summary = index.summary;
    const Places places = places_of(summary);
    Header header{};
    std::memcpy(header.magic, magic, sizeof magic);
    header.version = file_version;
    header.header_bytes = sizeof(Header);
    header.file_bytes = places.end;
    header.distance = static_cast<std::uint32_t>(summary.distance);
    header.dimension = summary.dimension;
    header.rows = summary.rows;
    header.nodes = summary.nodes;
    header.leaves = summary.leaves;
    header.seed = summary.seed;
    header.trees = summary.trees;
    header.leaf_size = summary.leaf_size;
    header.present = summary.present;
    header.split = static_cast<std::uint32_t>(summary.split);
    header.checksum = checksum(header);

    const File file(path, O_WRONLY | O_CREAT | O_EXCL);
    const auto part = [&](const void* from, std::uint64_t bytes, std::uint64_t begin, std::uint64_t end) {
        write_part(*file, from, bytes, begin, end, path);
    };
    part(&header, sizeof header, 0, places.rows);
    part(index.rows, summary.rows * index.layout.row_bytes, places.rows, places.nodes);
    part(index.nodes, summary.nodes * index.layout.node_bytes, places.nodes, places.leaf_begins);
    part(index.leaf_begins, (summary.leaves + 1) * sizeof(std::uint64_t), places.leaf_begins, places.entries);
    part(index.entries, summary.entries() * sizeof(std::uint32_t), places.entries, places.roots);
    part(index.roots, summary.trees * sizeof(Link), places.roots, places.end);
    if (::fsync(*file) != 0) fail(path);
}

}  // namespace

std::uint64_t file_bytes(const Summary& summary) {
    return places_of(summary).end;
}

void save_index(const IndexView& index, const std::string& path) {
    static std::atomic<unsigned> saves{0};  // two threads may save to one path
    const std::string temporary = path + ".tmp." + std::to_string(::getpid()) + "." + std::to_string(saves++);
    try {
        write_index(index, temporary);
        if (::rename(temporary.c_str(), path.c_str()) != 0) fail(path);
    } catch (...) {
        ::unlink(temporary.c_str());
        throw;
    }
    const std::size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    if (::fsync(*File(folder, O_RDONLY | O_DIRECTORY)) != 0) fail(folder);
}

MappedIndex open_index(const std::string& path) {
    const File file(path, O_RDONLY);
    struct stat status{};
    if (::fstat(*file, &status) != 0) fail(path);
    const auto damaged = [&path](const std::string& what) { throw DamagedIndex(path + ": " + what); };
    if (!S_ISREG(status.st_mode)) damaged("not a regular file");
    const auto bytes = static_cast<std::uint64_t>(status.st_size);
    if (bytes < sizeof(Header)) damaged("too short to be an index: " + std::to_string(bytes) + " bytes");
    void* const address = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, *file, 0);
    if (address == MAP_FAILED) fail(path);
    MappedIndex index{};
    index.mapping = std::shared_ptr<const void>(
        address, [bytes](const void* at) { ::munmap(const_cast<void*>(at), bytes); });

    Header header{};
    std::memcpy(&header, address, sizeof header);
    if (std::memcmp(header.magic, magic, sizeof magic) != 0) damaged("not an index of ann_bench");
    if (header.version != file_version) {
        damaged("file version " + std::to_string(header.version) + "; this build reads version " +
                std::to_string(file_version) + ": build the index again");
    }
    if (header.header_bytes != sizeof(Header) || header.checksum != checksum(header)) {
        damaged("the header's checksum is wrong");
    }
    Summary& summary = index.view.summary;
    summary.distance = static_cast<Distance>(header.distance);
    summary.dimension = header.dimension;
    summary.trees = header.trees;
    summary.leaf_size = header.leaf_size;
    summary.split = static_cast<SplitScheme>(header.split);
    summary.seed = header.seed;
    summary.rows = header.rows;
    summary.present = header.present;
    summary.nodes = header.nodes;
    summary.leaves = header.leaves;
    Places places{};
    try {
        places = places_of(summary);
    } catch (const DamagedIndex& error) {
        damaged(error.what());
    }
    if (places.end != header.file_bytes || places.end != bytes) {
        damaged(std::to_string(bytes) + " bytes, but the header tells of " + std::to_string(places.end) +
                ": the file was cut off or added to");
    }
    const auto* base = static_cast<const std::byte*>(address);
    index.view.layout = layout_of(summary.distance, summary.dimension);
    index.view.rows = base + places.rows;
    index.view.nodes = base + places.nodes;
    index.view.leaf_begins = reinterpret_cast<const std::uint64_t*>(base + places.leaf_begins);
    index.view.entries = reinterpret_cast<const std::uint32_t*>(base + places.entries);
    index.view.roots = reinterpret_cast<const Link*>(base + places.roots);
    return index;
}

}  // namespace ann_bench
