"""The worker's side of `harness_overhead.py`; runs in a library's environment (Python >= 3.7)."""

import json
import sys
import time
import types

BLOCK_NS = 50000000


def plain_loop(query, rows, k):
    """Return the nanoseconds a query of the loop that anybody would write."""
    start = time.perf_counter_ns()
    for row in rows:
        query(row, k)
    return (time.perf_counter_ns() - start) / len(rows)


def main(spec):
    """Build one index and let both loops alternate on it."""
    package = types.ModuleType("ann_bench")
    package.__path__ = [spec["package"]]
    sys.modules["ann_bench"] = package
    from ann_bench.worker.session import Session

    session = Session()
    session.hello(spec["hello"])
    session.build({})
    session.set_query({"threads": 1, "parameters": spec["query_parameters"]})
    session.warm_up({})
    everything = len(session.rows)
    query_ns = plain_loop(session.wrapper.query, session.rows[: min(everything, 2000)], session.k)
    size = min(everything, int(2 * BLOCK_NS / query_ns) + 1)
    repeats = int(2 * BLOCK_NS / (query_ns * size)) + 1
    found = {"harness_ns": [], "plain_ns": [], "block_ms": []}

    def harness_block(first):
        total = sum(session.run({"first": first, "last": first + size})["timed_ns"] for _ in range(repeats))
        found["harness_ns"].append(total / (repeats * size))
        found["block_ms"].append(total / 1e6)

    def plain_block(first):
        rows = session.rows[first : first + size]
        per_query = [plain_loop(session.wrapper.query, rows, session.k) for _ in range(repeats)]
        found["plain_ns"].append(sum(per_query) / repeats)
        found["block_ms"].append(sum(per_query) * size / 1e6)

    for pair in range(spec["pairs"]):
        first = (pair // 2 * size) % (everything - size + 1)
        for block in (harness_block, plain_block) if pair % 4 in (0, 3) else (plain_block, harness_block):
            block(first)
    found["ids"] = session.run({"first": 0, "last": everything})["ids"]
    print(json.dumps(found))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
