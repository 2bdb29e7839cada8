#pragma once
// The file of every kind of index: one header page, then sections. README.md describes the format.

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "ann_bench/damaged_index.hpp"
#include "ann_bench/os.hpp"

namespace ann_bench {

/// The first number changes when old readers cannot read new files, the second when they need not care.
inline constexpr std::uint16_t file_major = 3;
inline constexpr std::uint16_t file_minor = 0;

/// What the sections make up together. The numbers are part of the file format.
enum class IndexKind : std::uint32_t { forest = 1, flat = 2, graph = 3, cluster = 4 };

/// "forest", or "kind 7" for a number that this build does not know.
std::string name_of(IndexKind kind);

/// The number of a section type: four letters, so that a dump of the file can be read.
consteval std::uint32_t section_type(const char (&name)[5]) {
    std::uint32_t type = 0;
    for (int i = 0; i < 4; ++i)
        type |= static_cast<std::uint32_t>(static_cast<unsigned char>(name[i])) << 8 * i;
    return type;
}

/// The letters of a section type, or its number in hexadecimal if they are none.
std::string section_name(std::uint32_t type);

/// An entry of the section table, as it stands in the file.
struct Section {
    std::uint32_t type;
    std::uint32_t element_bytes;  ///< what `bytes` is a multiple of, >= 1
    std::uint64_t offset;         ///< from the file's beginning, a multiple of section_alignment
    std::uint64_t bytes;
    std::uint64_t digest;  ///< XXH3-64 of the bytes
    std::array<std::uint64_t, 4> reserved;

    std::uint64_t elements() const { return bytes / element_bytes; }
};
static_assert(sizeof(Section) == 64);

inline constexpr unsigned section_alignment_log2 = 6;
inline constexpr std::uint64_t section_alignment = std::uint64_t{1} << section_alignment_log2;
inline constexpr unsigned largest_alignment_log2 = 21;
inline constexpr std::uint64_t largest_alignment = std::uint64_t{1} << largest_alignment_log2;
inline constexpr std::size_t facts_bytes = 512;
inline constexpr std::size_t most_sections = 54;

/// Bits that tell what a reader must know to read a file, and what it may use if it knows it.
struct Features {
    std::uint64_t required = 0;
    std::uint64_t optional = 0;
};

/// The required features that this build knows.
inline constexpr std::uint64_t known_features = 0;

/// The first page of the file, as it stands there. What is reserved is written as zeros and not read.
struct FileHeader {
    std::array<unsigned char, 8> magic;
    std::uint32_t endian_mark;
    std::uint16_t major;
    std::uint16_t minor;
    std::uint32_t header_bytes;
    IndexKind kind;
    std::uint64_t file_bytes;
    Features features;
    std::uint32_t section_count;
    std::array<std::uint32_t, 3> reserved;
    std::array<std::byte, facts_bytes> facts;  ///< defined by the kind
    std::array<Section, most_sections> sections;
    std::array<std::uint64_t, 7> reserved_end;
    std::uint64_t digest;  ///< XXH3-64 of all bytes before it

    /// What `digest` should be.
    std::uint64_t expected_digest() const;
};
static_assert(sizeof(FileHeader) == 4096 && std::is_trivially_copyable_v<FileHeader>);
static_assert(offsetof(FileHeader, sections) == 576 && offsetof(FileHeader, digest) == 4088);

class Digest;

/// Something whose bytes can stand in a file.
template <class T>
concept Plain = std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>;

/// Writes a file of sections, whole or not at all.
///
/// The sections go to `path`.tmp.PID.N as they come; `commit` syncs, writes the header, syncs again and
/// renames that to `path`: which is the old file or the new one, never half of it, and whoever has the old
/// one open keeps it. Without `commit` nothing is left behind. The file depends on what is told here and on
/// nothing else. Throws std::system_error if the system refuses something, std::logic_error if the calls make
/// no sense. One thread at a time.
class SectionWriter {
  public:
    explicit SectionWriter(std::string path);
    ~SectionWriter();
    SectionWriter(const SectionWriter&) = delete;
    SectionWriter& operator=(const SectionWriter&) = delete;

    /// Begins a section, of a type that the file does not have yet, at a multiple of 2^`alignment_log2` bytes
    /// (6 to 21). It ends with `end`, as long as what `append` was given, a multiple of `element_bytes`.
    void begin(std::uint32_t type, std::uint32_t element_bytes,
               unsigned alignment_log2 = section_alignment_log2);
    void append(std::span<const std::byte> bytes);
    void end();

    /// A whole section at once.
    void add(std::uint32_t type, std::uint32_t element_bytes, std::span<const std::byte> bytes,
             unsigned alignment_log2 = section_alignment_log2);
    template <Plain T>
    void add(std::uint32_t type, std::span<const T> elements,
             unsigned alignment_log2 = section_alignment_log2) {
        add(type, sizeof(T), std::as_bytes(elements), alignment_log2);
    }

    /// The bytes of a section that has ended, mapped read-only for the lifetime of the writer.
    std::span<const std::byte> mapped(std::uint32_t type);

    /// Finishes the file. After this only `mapped` may be called. Facts have no padding, whose bytes would be
    /// those of chance, and are at most facts_bytes long.
    template <Plain Facts>
    void commit(IndexKind kind, const Facts& facts, Features features = {}) {
        static_assert(sizeof(Facts) <= facts_bytes);
        commit(kind, std::as_bytes(std::span(&facts, 1)), features);
    }
    void commit(IndexKind kind, std::span<const std::byte> facts, Features features = {});

  private:
    Section* find(std::uint32_t type);
    void flush();

    std::string path_;
    os::File file_;
    FileHeader header_{};
    std::unique_ptr<Digest> digest_;  ///< of the section that has begun and not ended
    std::vector<std::byte> pending_;  ///< what was appended and not yet written
    std::uint64_t written_ = sizeof(FileHeader);
    bool committed_ = false;
    std::map<std::uint32_t, os::Mapping> mappings_;
};

/// How an opened file's bytes come into memory.
enum class OpenMode {
    mmap,  ///< mapped: at once, and processes share the pages
    ram    ///< read as a whole into huge pages of this process: slower to open, fewer misses afterwards
};

/// A file of sections, open for reading.
///
/// All members may be called from several threads at once. Nobody may truncate the file while it is mapped:
/// the system kills whoever then reads beyond its end. SectionWriter never does that.
class SectionFile {
  public:
    static constexpr std::uint64_t any_number = std::numeric_limits<std::uint64_t>::max();

    /// Opens the file after a look at its size and its header page, which are checked in full: when this
    /// returns, every section lies inside the file and overlaps no other. What the sections hold is not read.
    ///
    /// Throws DamagedIndex that names the path if something is wrong, std::system_error if the file cannot be
    /// read.
    static SectionFile open(const std::string& path, OpenMode mode = OpenMode::mmap);

    const std::string& path() const { return file_.path(); }
    const FileHeader& header() const { return header_; }
    IndexKind kind() const { return header_.kind; }
    std::uint64_t size() const { return header_.file_bytes; }
    std::span<const Section> sections() const {
        return std::span(header_.sections).first(header_.section_count);
    }

    template <Plain T>
    T facts() const {
        static_assert(sizeof(T) <= facts_bytes);
        T facts;
        std::memcpy(&facts, header_.facts.data(), sizeof facts);
        return facts;
    }

    bool has(std::uint32_t type) const;

    /// The elements of a section. Throws DamagedIndex if there is no such section, if its elements are not
    /// `element_bytes` long each, or if their number is not the one expected.
    std::span<const std::byte> section(std::uint32_t type, std::uint64_t element_bytes,
                                       std::uint64_t elements = any_number) const;
    template <Plain T>
    std::span<const T> section(std::uint32_t type, std::uint64_t elements = any_number) const {
        static_assert(alignof(T) <= section_alignment);
        const std::span<const std::byte> bytes = section(type, sizeof(T), elements);
        return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
    }

    /// Tells the system not to read ahead in a section that is mapped.
    void expect_random_reads(std::uint32_t type) const;

    /// Reads the whole file anew, piece by piece, and throws DamagedIndex that names the first section whose
    /// checksum is wrong and its place, or a place between sections where not all is zero; std::system_error
    /// if the disk cannot read it.
    void verify() const;

  private:
    SectionFile() = default;

    const Section& find(std::uint32_t type) const;

    os::File file_;
    FileHeader header_{};
    OpenMode mode_ = OpenMode::mmap;
    os::Mapping bytes_;
};

}  // namespace ann_bench
