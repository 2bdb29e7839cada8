#pragma once
// Files and mappings of the operating system that let go of themselves; its errors as std::system_error.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace ann_bench::os {

/// Throws std::system_error of errno, which tells `what` (a path) and the system's reason.
[[noreturn]] void fail(const std::string& what);

/// An open file. Throws std::system_error that names the path.
class File {
  public:
    File() = default;
    /// `flags` as open(2) takes them; closed on exec, and a FIFO does not keep the caller waiting.
    File(std::string path, int flags);
    ~File();
    File(File&& other) noexcept
        : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}
    File& operator=(File&& other) noexcept;

    int descriptor() const { return descriptor_; }
    const std::string& path() const { return path_; }

    bool is_regular() const;
    std::uint64_t size() const;
    /// Fills `to` from `offset` on, and returns how much of it: less only at the end of the file.
    std::size_t read(std::span<std::byte> to, std::uint64_t offset) const;
    void write(std::span<const std::byte> from, std::uint64_t offset) const;
    void resize(std::uint64_t bytes) const;
    /// Returns when all that was written is on the disk.
    void sync() const;

  private:
    std::string path_;
    int descriptor_ = -1;
};

/// Pages of memory, unmapped at the end.
class Mapping {
  public:
    Mapping() = default;
    /// `bytes` of a file from `offset` on, read-only, its pages shared with all who map it;
    /// with `prefault` they are read before it returns.
    static Mapping of(const File& file, std::uint64_t offset, std::uint64_t bytes, bool prefault = false);
    /// `bytes` of zeros that begin on a huge page and ask for huge pages. `what` is told if there is no room.
    static Mapping in_memory(std::uint64_t bytes, const std::string& what);
    ~Mapping();
    Mapping(Mapping&& other) noexcept
        : pages_(std::exchange(other.pages_, {})), skipped_(other.skipped_), size_(other.size_) {}
    Mapping& operator=(Mapping&& other) noexcept;

    std::byte* data() const { return pages_.data() + skipped_; }
    std::size_t size() const { return size_; }

  private:
    Mapping(std::span<std::byte> pages, std::size_t skipped, std::size_t size)
        : pages_(pages), skipped_(skipped), size_(size) {}

    std::span<std::byte> pages_;
    std::size_t skipped_ = 0;  ///< bytes of the first page that were not asked for
    std::size_t size_ = 0;
};

/// Tells the system that these mapped bytes are read here and there, so that it reads nothing ahead.
void expect_random_reads(std::span<const std::byte> bytes);

}  // namespace ann_bench::os
