"""What a wrapper must do, checked in its library's environment (Python >= 3.7) by `test_wrappers.py`."""

import importlib.util
import json
import sys
import tempfile
import time
import types

import numpy as np

K = 10
TWINS = slice(100, 130)
ZEROS = [5, 600]
# Long enough to see a second thread in the processor's time, also where others use the processor.
WATCHED_S = 0.05


def make_vectors(distance):
    """Return 2,000 rows of unequal length in 24 dimensions, 30 of them equal, two zero; and 43 queries.

    One of the queries is zero, one is equal to the equal rows. No array can be written to.
    """
    rng = np.random.RandomState(5)
    if distance == "hamming":
        train = rng.uniform(size=(2000, 24)) < 0.5
        queries = train[:43] ^ (rng.uniform(size=(43, 24)) < 0.1)
    else:
        train = (rng.normal(size=(2000, 24)) * rng.uniform(0.5, 2, size=(2000, 1))).astype(np.float32)
        queries = rng.normal(size=(43, 24)).astype(np.float32)
    train[TWINS] = train[TWINS.start]
    train[ZEROS] = 0
    queries[0], queries[1] = 0, train[TWINS.start]
    train.flags.writeable = queries.flags.writeable = False
    return train, queries


def all_distances(distance, queries, train):
    """Return the distances of all pairs, shape (len(queries), len(train)), in float64."""
    queries, train = queries.astype(np.float64), train.astype(np.float64)
    if distance in ("hamming", "manhattan"):
        return np.abs(queries[:, None] - train).sum(axis=2)
    if distance == "euclidean":
        return np.sqrt(((queries[:, None] - train) ** 2).sum(axis=2))
    inner = np.einsum("qd,nd->qn", queries, train)  # BLAS would keep threads of its own busy for a while
    if distance == "dot":
        return -inner
    lengths = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(train, axis=1)
    return 1 - np.divide(inner, lengths, out=np.zeros_like(inner), where=lengths > 0)


class Check:
    """One wrapper at one distance.

    `spec` has `distance`; `build` and `query`, the parameters; `limits`, the names in the entry; `floor`, the
    recall that is asked for.
    """

    def __init__(self, wrapper_class, spec):
        self.wrapper_class, self.spec, self.distance = wrapper_class, spec, spec["distance"]
        self.train, self.queries = make_vectors(self.distance)
        if "zero_rows" in spec["limits"]:
            keep = np.setdiff1d(np.arange(len(self.train)), ZEROS)
            self.train, self.queries = np.ascontiguousarray(self.train[keep]), self.queries[1:]
        self.distances = all_distances(self.distance, self.queries, self.train)
        self.varies = "varying_answers" in spec["limits"]
        self.wrapper = None

    def run(self):
        """Raise `AssertionError` where the wrapper does not keep the contract."""
        limits, pristine = self.spec["limits"], (self.train.copy(), self.queries.copy())
        self.wrapper = self.build(self.train)
        answers = self.ask(self.wrapper)
        self.check_recall(answers)
        assert self.ask(self.wrapper) == answers or self.varies, "the same queries get other answers"
        if "threads" not in limits:  # before `load`, which may limit the threads of all that follows
            watch(lambda: self.ask(self.wrapper), "searching")
            if self.has("query_batch"):
                watch(lambda: self.wrapper.query_batch(self.queries, K), "searching a batch")
            watch(lambda: self.build(self.train), "building")
        if self.has("query_batch"):
            self.check_batch(answers)
        if self.has("save"):
            self.check_reloaded(answers)
        if "min_rows" not in limits:
            few = self.build(self.train[: K + 2])
            found = few.query(self.queries[2], K + 2)
            assert sorted(found) == list(range(K + 2)), "12 rows are not 12 answers"
        assert np.array_equal(self.train, pristine[0]), "changed the rows"
        assert np.array_equal(self.queries, pristine[1]), "changed the queries"

    def make(self, train):
        """Return a wrapper as the worker prepares it."""
        wrapper = self.wrapper_class()
        wrapper.distance, wrapper.dimension = self.distance, train.shape[1]
        wrapper.train, wrapper.build_parameters = train, self.spec["build"]
        wrapper.threads = wrapper.seed = 1
        return wrapper

    def build(self, train):
        """Return a wrapper with the rows of `train` in its index."""
        wrapper = self.make(train)
        wrapper.build(train, self.distance, 1, **self.spec["build"])
        wrapper.set_query(1, **self.spec["query"])
        return wrapper

    def has(self, method):
        """Return whether the wrapper can do that."""
        from ann_bench.worker.wrapper import Wrapper

        return getattr(self.wrapper_class, method) is not getattr(Wrapper, method)

    def ask(self, wrapper):
        """Return the answers to all queries, as lists."""
        return [[int(i) for i in wrapper.query(query, K)] for query in self.queries]

    def check_recall(self, answers):
        """Each answer has k different rows, by distance, and enough of them are among the nearest."""
        n = len(self.train)
        for query, answer in enumerate(answers):
            right = len(answer) == len(set(answer)) == K and all(0 <= i < n for i in answer)
            assert right, f"query {query}: no {K} different rows: {answer}"
        found = np.take_along_axis(self.distances, np.array(answers), axis=1)
        scale = max(1.0, np.abs(self.distances).max())
        assert (np.diff(found, axis=1) >= -1e-6 * scale).all(), "answers are not in order"
        nearest = np.sort(self.distances, axis=1)[:, K - 1 : K]
        recall = (found <= nearest + 1e-6 * scale).mean()
        assert recall >= self.spec["floor"], f"recall {recall:.3f} is below {self.spec['floor']}"

    def check_batch(self, answers):
        """A batch gets what single queries get, up to ties."""
        batch = np.array(self.wrapper.query_batch(self.queries, K))
        assert batch.shape == (len(self.queries), K), f"a batch's answers have shape {batch.shape}"
        single = np.take_along_axis(self.distances, np.array(answers), axis=1)
        together = np.take_along_axis(self.distances, batch.astype(np.int64), axis=1)
        scale = max(1.0, np.abs(self.distances).max())
        assert np.allclose(single, together, rtol=0, atol=1e-5 * scale), "a batch gets other answers"

    def check_reloaded(self, answers):
        """An index that was saved and loaded answers as the one that was built."""
        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/index"
            self.wrapper.save(path)
            again = self.make(self.train)
            again.load(path)
            again.set_query(1, **self.spec["query"])
            found = self.ask(again)
            assert found == answers or self.varies, "the loaded index gives other answers"
            self.check_recall(found)
            again.close()


def watch(work, what):
    """Raise `AssertionError` where `work`, repeated for a while, keeps more than one thread busy.

    It is watched again before that is said: an idle pool of BLAS, started by whatever, spins for a while.
    """
    for _ in range(4):
        wall, cpu, own = time.perf_counter(), time.process_time(), time.thread_time()
        while time.perf_counter() < wall + WATCHED_S:
            work()
        own, cpu = time.thread_time() - own, time.process_time() - cpu
        wall, others = time.perf_counter() - wall, cpu - own
        at_once = cpu > 1.2 * wall + 0.01
        # Where others use the processor, that tells nothing; but one thread is either this one or another. A
        # build may leave one part to a thread of its own.
        shared = what != "building" and min(own, others) > 0.2 * max(own, others) + 0.005
        if not (at_once or shared):
            return
    text = f"{what} with one thread took {own:.3f} s of it, {others:.3f} s of others, in {wall:.3f} s"
    raise AssertionError(text)


def load_class(path, name):
    """Return the wrapper's class, loaded by path as the worker does."""
    spec = importlib.util.spec_from_file_location("wrapper_under_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def main(spec):
    """Check the wrapper that `spec` names; an exception is its failure."""
    package = types.ModuleType("ann_bench")  # the harness's own dependencies are not here
    package.__path__ = [spec["package"]]
    sys.modules["ann_bench"] = package
    Check(load_class(spec["wrapper_path"], spec["wrapper_class"]), spec).run()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
