#pragma once
// One way to use threads: numbered tasks that do not depend on each other.

#include <cstddef>
#include <functional>

namespace ann_bench {

/// Calls task(0) .. task(count - 1), each once, on up to `threads` threads (the caller's is one of them).
///
/// Tasks are handed out in rising order from one counter. If some throw, no new ones start, and the exception
/// of the lowest-numbered one is rethrown here: as tasks start in order, it is the same one for any
/// `threads`.
void parallel_for(std::size_t count, unsigned threads, const std::function<void(std::size_t)>& task);

}  // namespace ann_bench
