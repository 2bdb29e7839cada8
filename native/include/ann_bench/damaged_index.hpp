#pragma once
// The error of everything that reads an index.

#include <stdexcept>

namespace ann_bench {

/// A file that is not a whole index of this version, or an index whose contents contradict each other.
class DamagedIndex : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

}  // namespace ann_bench
