#pragma once
// Where a fuzz target puts its bytes: the engine opens paths.

#include <cstddef>
#include <span>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

#include "ann_bench/os.hpp"

namespace ann_bench {

/// A file without a folder, with a path all the same.
class MemoryFile {
  public:
    MemoryFile() : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)) {
        if (descriptor_ < 0) os::fail("memfd_create");
    }
    ~MemoryFile() { ::close(descriptor_); }
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;

    std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

    void assign(std::span<const std::byte> bytes) const {
        if (::ftruncate(descriptor_, 0) != 0 ||
            ::pwrite(descriptor_, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
            os::fail(path());
        }
    }

  private:
    int descriptor_;
};

}  // namespace ann_bench
