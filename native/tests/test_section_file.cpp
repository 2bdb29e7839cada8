// The container: what is written is read back, every kind of damage is refused or found, and a write that
// fails leaves the old file alone.

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <numeric>
#include <optional>
#include <sys/resource.h>
#include <sys/stat.h>
#include <system_error>
#include <vector>

#include <doctest/doctest.h>

#include "ann_bench/section_file.hpp"
#include "support.hpp"

using namespace ann_bench;
using namespace ann_bench::testing;

namespace {

constexpr std::uint32_t numbers = section_type("nums");
constexpr std::uint32_t letters = section_type("text");
constexpr std::uint32_t nothing = section_type("none");
constexpr auto some_kind = static_cast<IndexKind>(77);

struct SomeFacts {
    std::uint64_t rows;
    float scale;
    std::uint32_t reserved;
};

std::vector<std::uint32_t> counted(std::size_t count) {
    std::vector<std::uint32_t> values(count);
    std::iota(values.begin(), values.end(), 1u);
    return values;
}

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text));
}

/// Three sections: 100 numbers, 5 letters at a page of their own, and one that is empty.
void write_sample(const std::string& path) {
    SectionWriter writer(path);
    writer.add<std::uint32_t>(numbers, counted(100));
    writer.add(letters, 1, bytes_of("abcde"), 12);
    writer.add(nothing, 24, {});
    writer.commit(some_kind, SomeFacts{3, 0.5f, 0});
}

/// The first page of a file that tests change, with a checksum that is right again.
std::string with_header(const std::string& file, const std::function<void(FileHeader&)>& change,
                        bool seal = true) {
    FileHeader header;
    std::memcpy(&header, file.data(), sizeof header);
    change(header);
    if (seal) header.digest = header.expected_digest();
    std::string changed = file;
    std::memcpy(changed.data(), &header, sizeof header);
    return changed;
}

/// What an attempt to open or verify says; "" if it succeeds.
std::string complaint(const TemporaryFile& file, bool verify = false) {
    try {
        const SectionFile opened = SectionFile::open(file.path());
        if (verify) opened.verify();
    } catch (const DamagedIndex& error) {
        const std::string text = error.what();
        REQUIRE(text.starts_with(file.path() + ": "));
        return text.substr(file.path().size() + 2);
    }
    return "";
}

std::size_t files_beside(const TemporaryFile& file) {
    const std::filesystem::path path = file.path();
    const std::string prefix = path.filename().string() + ".tmp";
    const std::filesystem::directory_iterator entries(path.parent_path());
    return static_cast<std::size_t>(std::count_if(begin(entries), end(entries), [&](const auto& entry) {
        return entry.path().filename().string().starts_with(prefix);
    }));
}

/// While it lives, files of this process end at `bytes`: writing beyond fails as it does on a full disk.
class FileSizeLimit {
  public:
    explicit FileSizeLimit(std::uint64_t bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        ::getrlimit(RLIMIT_FSIZE, &old_limit_);
        const rlimit limit{bytes, old_limit_.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FileSizeLimit() {
        ::setrlimit(RLIMIT_FSIZE, &old_limit_);
        std::signal(SIGXFSZ, old_handler_);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;

  private:
    void (*old_handler_)(int);
    rlimit old_limit_{};
};

}  // namespace

TEST_CASE("what is written is read back, mapped or in memory") {
    const TemporaryFile file;
    write_sample(file.path());
    for (const OpenMode mode : {OpenMode::mmap, OpenMode::ram}) {
        const SectionFile opened = SectionFile::open(file.path(), mode);
        CHECK(opened.kind() == some_kind);
        CHECK(opened.facts<SomeFacts>().rows == 3);
        CHECK(opened.facts<SomeFacts>().scale == 0.5f);
        CHECK(opened.size() == std::filesystem::file_size(file.path()));
        CHECK(opened.sections().size() == 3);
        CHECK(std::ranges::equal(opened.section<std::uint32_t>(numbers), counted(100)));
        CHECK(std::ranges::equal(opened.section<char>(letters, 5), std::string("abcde")));
        CHECK(opened.section(nothing, 24, 0).empty());
        const auto begin = reinterpret_cast<std::uintptr_t>(opened.section(letters, 1).data());
        if (mode == OpenMode::ram) CHECK(begin % (2u << 20) == 8192);
        CHECK(opened.has(nothing));
        CHECK_FALSE(opened.has(section_type("more")));
        opened.expect_random_reads(numbers);
        opened.expect_random_reads(nothing);
        CHECK(opened.section<std::uint32_t>(numbers)[99] == 100);
        opened.verify();
    }
}

TEST_CASE("a section asked for in another form than it has is refused") {
    const TemporaryFile file;
    write_sample(file.path());
    const SectionFile opened = SectionFile::open(file.path());
    const auto message = [&](auto ask) {
        try {
            ask();
        } catch (const DamagedIndex& error) {
            return std::string(error.what()).substr(file.path().size());
        }
        return std::string();
    };
    CHECK(message([&] { opened.section<char>(section_type("more")); }) == ": has no section \"more\"");
    CHECK(message([&] { opened.section<std::uint64_t>(numbers); }) ==
          ": section \"nums\" has elements of 4 bytes, not 8");
    CHECK(message([&] { opened.section<std::uint32_t>(numbers, 99); }) ==
          ": section \"nums\" has 100 elements, not 99");
    CHECK(message([&] { opened.expect_random_reads(section_type("more")); }) == ": has no section \"more\"");
}

TEST_CASE("a file is the same bytes however its sections were handed over") {
    const std::vector<std::uint32_t> values = counted(1'000'000);
    const std::span all = std::as_bytes(std::span(values));
    const TemporaryFile file;
    std::string first;
    for (const std::size_t piece :
         {all.size(), std::size_t{1} << 20, std::size_t{4096}, std::size_t{777'777}}) {
        SectionWriter writer(file.path());
        writer.begin(numbers, 4);
        for (std::size_t at = 0; at < all.size(); at += piece) {
            writer.append(all.subspan(at, std::min(piece, all.size() - at)));
        }
        writer.end();
        writer.add(letters, 1, bytes_of("xyz"), largest_alignment_log2);
        writer.commit(some_kind, SomeFacts{});
        if (first.empty()) first = file.read();
        CHECK(file.read() == first);
    }
    const SectionFile opened = SectionFile::open(file.path());
    opened.verify();
    CHECK(std::ranges::equal(opened.section<std::uint32_t>(numbers), values));
    CHECK(opened.sections()[1].offset % largest_alignment == 0);
    CHECK(first.size() == opened.sections()[1].offset + section_alignment);
}

TEST_CASE("the format is what the README says, down to the checksums") {
    const TemporaryFile file;
    write_sample(file.path());
    const std::string bytes = file.read();
    CHECK(bytes.size() == 8192 + 64);
    CHECK(
        bytes.starts_with("\x89"
                          "ANB\r\n\x1a\n\x04\x03\x02\x01"));
    FileHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    CHECK(header.major == 3);
    CHECK(header.minor == 0);
    CHECK(header.header_bytes == 4096);
    CHECK(header.file_bytes == bytes.size());
    CHECK(header.section_count == 3);
    CHECK(header.sections[0].type == 0x736d756e);
    CHECK(header.sections[0].offset == 4096);
    CHECK(header.sections[0].bytes == 400);
    CHECK(header.sections[1].offset == 8192);
    CHECK(header.sections[1].digest == 0x55c65158ee9e652du);  // XXH3-64 of "abcde" with seed 0, from xxhsum
    CHECK(header.sections[2].digest == 0x2d06800538d394c2u);  // and of nothing
    CHECK(section_name(header.sections[0].type) == "nums");
    CHECK(section_name(0x01020304) == "0x01020304");
    CHECK(name_of(IndexKind::forest) == "forest");
    CHECK(name_of(some_kind) == "kind 77");
}

TEST_CASE("every changed byte of the file is noticed: of the header when opened, of the rest when verified") {
    const TemporaryFile file;
    write_sample(file.path());
    const std::string bytes = file.read();
    const os::File writable(file.path(), O_WRONLY);
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        const std::string changed(1, static_cast<char>(bytes[at] ^ (1 << (at % 8))));
        writable.write(bytes_of(changed), at);
        const std::string found = complaint(file, at >= sizeof(FileHeader));
        writable.write(bytes_of(bytes).subspan(at, 1), at);
        CAPTURE(at);
        if (at < 4096) {
            CHECK(found != "");
        } else if (at < 4496) {
            CHECK(found == "section \"nums\" is damaged (bytes 4096 to 4496): its checksum is wrong");
        } else if (at >= 8192 && at < 8197) {
            CHECK(found == "section \"text\" is damaged (bytes 8192 to 8197): its checksum is wrong");
        } else {
            CHECK(found.starts_with("not all is zero between the sections"));
        }
    }
    CHECK(complaint(file, true) == "");
}

TEST_CASE("a header that contradicts itself is refused even if its checksum is right") {
    const TemporaryFile file;
    write_sample(file.path());
    const std::string bytes = file.read();
    const auto says = [&](const std::string& text, const std::function<void(FileHeader&)>& change) {
        file.write(with_header(bytes, change));
        const std::string found = complaint(file);
        INFO(found);
        CHECK(found.find(text) != std::string::npos);
    };
    constexpr std::uint64_t huge = ~std::uint64_t{0};
    says("not an index of ann_bench", [](FileHeader& h) { h.magic[1] = 'a'; });
    says("big-endian", [](FileHeader& h) { h.endian_mark = 0x04030201; });
    says("before version 3", [](FileHeader& h) { h.endian_mark = 1; });
    says("file version 4; this build reads version 3: build the index again",
         [](FileHeader& h) { h.major = 4; });
    says("checksum", [](FileHeader& h) { h.header_bytes = 8192; });
    says("8256 bytes, but the header tells of 8255: the file was cut off or added to",
         [](FileHeader& h) { h.file_bytes -= 1; });
    says("but the header tells of", [&](FileHeader& h) { h.file_bytes = huge; });
    says("needs feature 5, which this build does not know", [](FileHeader& h) { h.features.required = 32; });
    says("more sections", [](FileHeader& h) { h.section_count = most_sections + 1; });
    says("more sections", [](FileHeader& h) { h.section_count = 0xffff'ffffu; });
    says("goes on after the last section", [](FileHeader& h) { h.section_count = 1; });
    says("section \"nums\" is not aligned", [](FileHeader& h) { h.sections[0].offset += 4; });
    says("section \"nums\" overlaps", [](FileHeader& h) { h.sections[0].offset = 0; });
    says("section \"text\" overlaps", [](FileHeader& h) { h.sections[1].offset = 4096 + 384; });
    says("section \"text\" overlaps",
         [](FileHeader& h) { std::swap(h.sections[0], h.sections[1]), h.sections[1].type = letters; });
    says("section \"text\" is far from", [](FileHeader& h) { h.sections[1].offset = huge / 64 * 64; });
    says("section \"none\" reaches beyond", [](FileHeader& h) { h.sections[2].offset += 64; });
    says("section \"text\" reaches beyond", [](FileHeader& h) { h.sections[1].bytes = 65; });
    for (const std::uint64_t bytes_told : {huge, huge - 8191, huge / 2}) {
        says("section \"text\" reaches beyond", [&](FileHeader& h) { h.sections[1].bytes = bytes_told; });
    }
    says("section \"nums\" is not a whole number", [](FileHeader& h) { h.sections[0].bytes -= 1; });
    says("section \"nums\" is not a whole number", [](FileHeader& h) { h.sections[0].element_bytes = 0; });
    says("section \"nums\" is there twice", [](FileHeader& h) { h.sections[2].type = numbers; });

    // What a newer minor version may use is no reason to refuse.
    file.write(with_header(bytes, [](FileHeader& h) {
        h.minor = 9;
        h.features.optional = 6;
        h.sections[0].reserved[1] = 5;
    }));
    CHECK(complaint(file, true) == "");
}

TEST_CASE("a file of any other length is refused, and so is what is no file") {
    const TemporaryFile file;
    write_sample(file.path());
    const std::string bytes = file.read();
    for (const std::size_t length : {0, 1, 7, 8, 100, 4095, 4096, 4097, 4496, 8191, 8192, 8197, 8255}) {
        file.write(bytes.substr(0, length));
        CAPTURE(length);
        const std::string found = complaint(file);
        CHECK(found.find(length < 4096 ? "too short to be an index" : "was cut off") != std::string::npos);
    }
    file.write(bytes + '\0');
    CHECK(complaint(file).find("added to") != std::string::npos);
    file.write("some text");
    CHECK(complaint(file) == "not an index of ann_bench");
    CHECK_THROWS_AS(SectionFile::open("/nonexistent/index"), std::system_error);
    CHECK_THROWS_WITH_AS(SectionFile::open("/"), "/: not a regular file", DamagedIndex);
    std::filesystem::remove(file.path());
    REQUIRE(::mkfifo(file.path().c_str(), 0600) == 0);
    CHECK(complaint(file) == "not a regular file");
}

TEST_CASE("a reader keeps the old file when a new one takes its place") {
    const TemporaryFile file;
    write_sample(file.path());
    const SectionFile old = SectionFile::open(file.path());
    {
        SectionWriter writer(file.path());
        writer.add<std::uint32_t>(numbers, counted(7));
        CHECK(SectionFile::open(file.path()).sections().size() == 3);
        writer.commit(some_kind, SomeFacts{});
    }
    old.verify();
    CHECK(std::ranges::equal(old.section<std::uint32_t>(numbers), counted(100)));
    CHECK(SectionFile::open(file.path()).section<std::uint32_t>(numbers).size() == 7);
    CHECK(files_beside(file) == 0);
}

TEST_CASE("a file that is changed in place after it was opened fails its verification") {
    const TemporaryFile file;
    write_sample(file.path());
    const SectionFile opened = SectionFile::open(file.path(), OpenMode::ram);
    const std::string bytes = file.read();
    const auto fault = [&] {
        try {
            opened.verify();
        } catch (const DamagedIndex& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    file.write(with_header(bytes, [](FileHeader& h) { h.minor = 1; }));
    CHECK(fault().ends_with("the header was changed after the file was opened"));
    file.write(bytes.substr(0, 5000));
    CHECK(fault().ends_with("was cut off while it was read"));
}

TEST_CASE("what a writer gave up leaves nothing behind, and the old file as it was") {
    const TemporaryFile file;
    write_sample(file.path());
    const std::string bytes = file.read();
    {
        SectionWriter writer(file.path());
        writer.begin(numbers, 4);
        writer.append(bytes_of("a number"));
        CHECK(files_beside(file) == 1);
    }
    CHECK(files_beside(file) == 0);
    CHECK(file.read() == bytes);
    CHECK_THROWS_AS(SectionWriter("/nonexistent/index"), std::system_error);
    std::filesystem::remove(file.path());
    std::filesystem::create_directory(file.path());
    CHECK_THROWS_AS(write_sample(file.path()), std::system_error);
    CHECK(files_beside(file) == 0);
}

TEST_CASE("a full disk is told as the system tells it, and the old file stays as it was") {
    const TemporaryFile file;
    write_sample(file.path());
    const std::string bytes = file.read();
    const std::vector<std::uint32_t> values = counted(100'000);
    // The limits are hit by a section, by the padding at the end, and by the header page.
    for (const std::uint64_t limit : {std::uint64_t{100'000}, std::uint64_t{404'096}, std::uint64_t{0}}) {
        std::optional<std::error_code> code;
        {
            const FileSizeLimit full(limit);
            try {
                SectionWriter writer(file.path());
                writer.add<std::uint32_t>(numbers,
                                          limit == 0 ? std::span(values).first(0) : std::span(values));
                writer.add(letters, 1, bytes_of(limit == 0 ? "" : "abc"));
                writer.commit(some_kind, SomeFacts{});
            } catch (const std::system_error& error) {
                code = error.code();
            }
        }
        CAPTURE(limit);
        REQUIRE(code.has_value());
        CHECK(*code == std::errc::file_too_large);
        CHECK(files_beside(file) == 0);
        CHECK(file.read() == bytes);
    }
}

TEST_CASE("sections that have ended can be read while the writer goes on") {
    const TemporaryFile file;
    SectionWriter writer(file.path());
    const std::vector<std::uint32_t> values = counted(5000);
    writer.add(letters, 1, bytes_of("abc"));
    writer.add<std::uint32_t>(numbers, values);
    const std::span<const std::byte> rows = writer.mapped(numbers);
    writer.begin(section_type("copy"), 4);
    writer.append(rows.subspan(400));
    CHECK_THROWS_AS(writer.mapped(section_type("copy")), std::logic_error);
    CHECK_THROWS_AS(writer.mapped(nothing), std::logic_error);
    writer.end();
    writer.add(nothing, 1, {});
    CHECK(writer.mapped(nothing).empty());
    CHECK(writer.mapped(numbers).data() == rows.data());
    writer.commit(some_kind, SomeFacts{});
    CHECK(std::ranges::equal(rows, std::as_bytes(std::span(values))));
    const SectionFile opened = SectionFile::open(file.path());
    opened.verify();
    CHECK(std::ranges::equal(opened.section<std::uint32_t>(section_type("copy")),
                             std::span(values).subspan(100)));
}

TEST_CASE("calls of a writer that make no sense are refused") {
    const TemporaryFile file;
    SectionWriter writer(file.path());
    CHECK_THROWS_AS(writer.append({}), std::logic_error);
    CHECK_THROWS_AS(writer.end(), std::logic_error);
    CHECK_THROWS_AS(writer.begin(numbers, 0), std::logic_error);
    CHECK_THROWS_AS(writer.begin(numbers, 4, 5), std::logic_error);
    CHECK_THROWS_AS(writer.begin(numbers, 4, 22), std::logic_error);
    for (std::uint32_t i = 0; i < most_sections; ++i) {
        writer.begin(i, 4);
        CHECK_THROWS_AS(writer.begin(numbers, 4), std::logic_error);
        CHECK_THROWS_AS(writer.commit(some_kind, SomeFacts{}), std::logic_error);
        writer.end();
    }
    CHECK_THROWS_AS(writer.begin(0, 4), std::logic_error);
    CHECK_THROWS_AS(writer.begin(numbers, 4), std::logic_error);
    writer.commit(some_kind, SomeFacts{});
    CHECK_THROWS_AS(writer.begin(numbers, 4), std::logic_error);
    CHECK_THROWS_AS(writer.commit(some_kind, SomeFacts{}), std::logic_error);
    CHECK(SectionFile::open(file.path()).sections().size() == most_sections);

    SectionWriter other(file.path());
    other.begin(numbers, 4);
    other.append(bytes_of("abc"));
    CHECK_THROWS_AS(other.end(), std::logic_error);
}
