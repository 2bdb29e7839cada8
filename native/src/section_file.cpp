#include "ann_bench/section_file.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <stdexcept>
#include <system_error>
#include <unistd.h>

// Compiled into this file for the instruction set that everything is compiled for; the digest does not depend
// on it.
#define XXH_INLINE_ALL
#include <xxhash/xxhash.h>

namespace ann_bench {

/// XXH3-64 of bytes that come in pieces.
class Digest {
  public:
    Digest() { XXH3_64bits_reset(&state_); }
    void add(std::span<const std::byte> bytes) { XXH3_64bits_update(&state_, bytes.data(), bytes.size()); }
    std::uint64_t value() const { return XXH3_64bits_digest(&state_); }

  private:
    XXH3_state_t state_;
};

namespace {

static_assert(std::endian::native == std::endian::little, "the file is mapped as it is, little-endian");

/// As in PNG: the high bit, the line ends and the end-of-file byte show what a text-mode copy did.
constexpr std::array<unsigned char, 8> magic = {0x89, 'A', 'N', 'B', '\r', '\n', 0x1a, '\n'};
constexpr std::uint32_t endian_mark = 0x01020304;

/// What is written, read or digested at once.
constexpr std::size_t piece_bytes = std::size_t{1} << 20;

std::uint64_t round_up(std::uint64_t value, unsigned alignment_log2) {
    const std::uint64_t low = (std::uint64_t{1} << alignment_log2) - 1;
    return (value + low) & ~low;
}

/// The file that becomes `path`, beside it. Two threads may write to one path, and a process that had our
/// number may have died and left its file behind.
os::File make_temporary(const std::string& path) {
    static std::atomic<unsigned> files{0};
    const std::string prefix = path + ".tmp." + std::to_string(::getpid()) + ".";
    for (;;) {
        try {
            return os::File(prefix + std::to_string(files++), O_RDWR | O_CREAT | O_EXCL);
        } catch (const std::system_error& error) {
            if (error.code() != std::errc::file_exists) throw;
        }
    }
}

void require(bool holds, const std::string& what) {
    if (!holds) throw std::logic_error("SectionWriter: " + what);
}

/// Returns what is wrong with the header of a file of `file_bytes`, "" if nothing is.
std::string fault_of(const FileHeader& header, std::uint64_t file_bytes) {
    if (header.endian_mark != endian_mark) {
        return "of the time before version " + std::to_string(file_major) +
               ", or written by a big-endian machine: build the index again";
    }
    if (header.major != file_major) {
        return "file version " + std::to_string(header.major) + "; this build reads version " +
               std::to_string(file_major) + ": build the index again";
    }
    if (header.header_bytes != sizeof header || header.digest != header.expected_digest()) {
        return "the header's checksum is wrong";
    }
    if (const std::uint64_t unknown = header.features.required & ~known_features; unknown != 0) {
        return "needs feature " + std::to_string(std::countr_zero(unknown)) +
               ", which this build does not know: use a newer one";
    }
    if (header.file_bytes != file_bytes) {
        return std::to_string(file_bytes) + " bytes, but the header tells of " +
               std::to_string(header.file_bytes) + ": the file was cut off or added to";
    }
    if (header.section_count > most_sections) return "header: more sections than there is room for";
    std::uint64_t end = sizeof header;
    for (std::uint32_t i = 0; i < header.section_count; ++i) {
        const Section& section = header.sections[i];
        const auto fault = [&](const char* what) {
            return "header: section \"" + section_name(section.type) + "\" " + what;
        };
        if (section.offset % section_alignment != 0) return fault("is not aligned");
        if (section.offset < end) return fault("overlaps what is before it");
        if (section.offset - end >= largest_alignment) return fault("is far from what is before it");
        if (section.offset > file_bytes || section.bytes > file_bytes - section.offset) {
            return fault("reaches beyond the end of the file");
        }
        if (section.element_bytes == 0 || section.bytes % section.element_bytes != 0) {
            return fault("is not a whole number of elements");
        }
        const auto same = [&](const Section& other) { return other.type == section.type; };
        if (std::any_of(header.sections.begin(), header.sections.begin() + i, same)) {
            return fault("is there twice");
        }
        end = section.offset + section.bytes;
    }
    if (file_bytes - end >= section_alignment) return "header: the file goes on after the last section";
    return "";
}

/// Passes `bytes` of a file from `offset` on to `take`, piece by piece. Throws DamagedIndex if it ends
/// before.
template <class Take>
void read_pieces(const os::File& file, std::uint64_t offset, std::uint64_t bytes, Take take) {
    std::vector<std::byte> buffer(std::min<std::uint64_t>(bytes, piece_bytes));
    for (std::uint64_t done = 0; done < bytes;) {
        const std::span piece = std::span(buffer).first(std::min<std::uint64_t>(bytes - done, piece_bytes));
        if (file.read(piece, offset + done) != piece.size()) {
            throw DamagedIndex(file.path() + ": was cut off while it was read");
        }
        take(std::span<const std::byte>(piece));
        done += piece.size();
    }
}

}  // namespace

std::string name_of(IndexKind kind) {
    switch (kind) {
        case IndexKind::forest:
            return "forest";
        case IndexKind::flat:
            return "flat";
        case IndexKind::graph:
            return "graph";
        case IndexKind::cluster:
            return "cluster";
    }
    return "kind " + std::to_string(static_cast<std::uint32_t>(kind));
}

std::string section_name(std::uint32_t type) {
    std::string name(4, ' ');
    for (int i = 0; i < 4; ++i) name[static_cast<std::size_t>(i)] = static_cast<char>(type >> 8 * i & 0xff);
    if (std::all_of(name.begin(), name.end(), [](char c) { return c >= 'a' && c <= 'z'; })) return name;
    char number[11];
    std::snprintf(number, sizeof number, "0x%08x", type);
    return number;
}

std::uint64_t FileHeader::expected_digest() const {
    return XXH3_64bits(this, offsetof(FileHeader, digest));
}

SectionWriter::SectionWriter(std::string path) : path_(std::move(path)), file_(make_temporary(path_)) {
    pending_.reserve(piece_bytes);
}

SectionWriter::~SectionWriter() {
    if (!committed_) ::unlink(file_.path().c_str());
}

void SectionWriter::begin(std::uint32_t type, std::uint32_t element_bytes, unsigned alignment_log2) {
    require(!committed_ && digest_ == nullptr, "a section begins before the last one ended");
    require(find(type) == nullptr, "section \"" + section_name(type) + "\" is there already");
    require(header_.section_count < most_sections, "more sections than the header has room for");
    require(element_bytes >= 1, "elements are at least one byte long");
    require(alignment_log2 >= section_alignment_log2 && alignment_log2 <= largest_alignment_log2,
            "sections are aligned to 2^6 to 2^21 bytes");
    // What is skipped is a hole, and reads as zeros.
    written_ = round_up(written_, alignment_log2);
    header_.sections[header_.section_count++] = {type, element_bytes, written_, 0, 0, {}};
    digest_ = std::make_unique<Digest>();
}

void SectionWriter::append(std::span<const std::byte> bytes) {
    require(digest_ != nullptr, "bytes outside of a section");
    digest_->add(bytes);
    if (pending_.size() + bytes.size() > piece_bytes) flush();
    if (bytes.size() >= piece_bytes) {
        file_.write(bytes, written_);
        written_ += bytes.size();
    } else {
        pending_.insert(pending_.end(), bytes.begin(), bytes.end());
    }
}

void SectionWriter::end() {
    require(digest_ != nullptr, "no section has begun");
    flush();
    Section& section = header_.sections[header_.section_count - 1];
    section.bytes = written_ - section.offset;
    require(section.bytes % section.element_bytes == 0,
            "section \"" + section_name(section.type) + "\" is not a whole number of elements");
    section.digest = digest_->value();
    digest_.reset();
}

void SectionWriter::add(std::uint32_t type, std::uint32_t element_bytes, std::span<const std::byte> bytes,
                        unsigned alignment_log2) {
    begin(type, element_bytes, alignment_log2);
    append(bytes);
    end();
}

std::span<const std::byte> SectionWriter::mapped(std::uint32_t type) {
    const Section* section = find(type);
    require(section != nullptr, "there is no section \"" + section_name(type) + "\"");
    require(digest_ == nullptr || section != &header_.sections[header_.section_count - 1],
            "section \"" + section_name(type) + "\" has not ended");
    auto at = mappings_.find(type);
    if (at == mappings_.end()) {
        at = mappings_.emplace(type, os::Mapping::of(file_, section->offset, section->bytes)).first;
    }
    return {at->second.data(), at->second.size()};
}

void SectionWriter::commit(IndexKind kind, std::span<const std::byte> facts, Features features) {
    require(facts.size() <= facts_bytes, "more facts than the header has room for");
    require(!committed_ && digest_ == nullptr, "a section has not ended");
    header_.magic = magic;
    header_.endian_mark = endian_mark;
    header_.major = file_major;
    header_.minor = file_minor;
    header_.header_bytes = sizeof header_;
    header_.kind = kind;
    header_.file_bytes = round_up(written_, section_alignment_log2);
    header_.features = features;
    std::copy(facts.begin(), facts.end(), header_.facts.begin());
    header_.digest = header_.expected_digest();
    file_.resize(header_.file_bytes);
    file_.sync();
    file_.write(std::as_bytes(std::span(&header_, 1)), 0);
    file_.sync();
    if (::rename(file_.path().c_str(), path_.c_str()) != 0) os::fail(path_);
    committed_ = true;
    const std::size_t slash = path_.rfind('/');
    os::File(slash == std::string::npos ? "." : path_.substr(0, slash + 1), O_RDONLY | O_DIRECTORY).sync();
}

Section* SectionWriter::find(std::uint32_t type) {
    const std::span sections = std::span(header_.sections).first(header_.section_count);
    const auto at = std::find_if(sections.begin(), sections.end(),
                                 [type](const Section& section) { return section.type == type; });
    return at == sections.end() ? nullptr : &*at;
}

void SectionWriter::flush() {
    file_.write(pending_, written_);
    written_ += pending_.size();
    pending_.clear();
}

SectionFile SectionFile::open(const std::string& path, OpenMode mode) {
    SectionFile opened;
    opened.file_ = os::File(path, O_RDONLY);
    opened.mode_ = mode;
    const auto damaged = [&path](const std::string& what) { throw DamagedIndex(path + ": " + what); };
    if (!opened.file_.is_regular()) damaged("not a regular file");
    const std::uint64_t bytes = opened.file_.size();
    FileHeader& header = opened.header_;
    const std::size_t got = opened.file_.read(std::as_writable_bytes(std::span(&header, 1)), 0);
    if (got >= magic.size() && header.magic != magic) damaged("not an index of ann_bench");
    if (got < sizeof header) damaged("too short to be an index: " + std::to_string(bytes) + " bytes");
    if (const std::string fault = fault_of(header, bytes); !fault.empty()) damaged(fault);
    if (mode == OpenMode::mmap) {
        opened.bytes_ = os::Mapping::of(opened.file_, 0, bytes);
    } else {
        opened.bytes_ = os::Mapping::in_memory(bytes, path);
        const std::span memory(opened.bytes_.data(), bytes);
        if (opened.file_.read(memory, 0) != bytes) damaged("was cut off while it was read");
    }
    return opened;
}

bool SectionFile::has(std::uint32_t type) const {
    const auto sections = this->sections();
    return std::any_of(sections.begin(), sections.end(),
                       [type](const Section& section) { return section.type == type; });
}

const Section& SectionFile::find(std::uint32_t type) const {
    for (const Section& section : sections()) {
        if (section.type == type) return section;
    }
    throw DamagedIndex(path() + ": has no section \"" + section_name(type) + "\"");
}

std::span<const std::byte> SectionFile::section(std::uint32_t type, std::uint64_t element_bytes,
                                                std::uint64_t elements) const {
    const Section& section = find(type);
    const auto damaged = [&](const std::string& what) {
        throw DamagedIndex(path() + ": section \"" + section_name(type) + "\" has " + what);
    };
    if (section.element_bytes != element_bytes) {
        damaged("elements of " + std::to_string(section.element_bytes) + " bytes, not " +
                std::to_string(element_bytes));
    }
    if (elements != any_number && section.elements() != elements) {
        damaged(std::to_string(section.elements()) + " elements, not " + std::to_string(elements));
    }
    return {bytes_.data() + section.offset, section.bytes};
}

void SectionFile::expect_random_reads(std::uint32_t type) const {
    const Section& section = find(type);
    if (mode_ == OpenMode::mmap && section.bytes > 0) {
        os::expect_random_reads({bytes_.data() + section.offset, section.bytes});
    }
}

void SectionFile::verify() const {
    const auto check_zeros = [&](std::uint64_t from, std::uint64_t to) {
        read_pieces(file_, from, to - from, [&](std::span<const std::byte> piece) {
            if (std::any_of(piece.begin(), piece.end(), [](std::byte b) { return b != std::byte{0}; })) {
                throw DamagedIndex(path() + ": not all is zero between the sections, from byte " +
                                   std::to_string(from) + " to " + std::to_string(to));
            }
        });
    };
    std::uint64_t end = sizeof header_;
    read_pieces(file_, 0, end, [&](std::span<const std::byte> piece) {
        if (std::memcmp(piece.data(), &header_, end) != 0) {
            throw DamagedIndex(path() + ": the header was changed after the file was opened");
        }
    });
    for (const Section& section : sections()) {
        check_zeros(end, section.offset);
        Digest digest;
        read_pieces(file_, section.offset, section.bytes,
                    [&](std::span<const std::byte> piece) { digest.add(piece); });
        if (digest.value() != section.digest) {
            throw DamagedIndex(path() + ": section \"" + section_name(section.type) +
                               "\" is damaged (bytes " + std::to_string(section.offset) + " to " +
                               std::to_string(section.offset + section.bytes) + "): its checksum is wrong");
        }
        end = section.offset + section.bytes;
    }
    check_zeros(end, size());
}

}  // namespace ann_bench
