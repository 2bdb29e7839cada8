"""What a wrapper must do, checked in its library's environment (Python >= 3.7).

`check_main.py` starts it, a process for each part: `contract`; `load`, which goes on with what the contract
saved; `needs`, with vectors that the entry says it cannot take; and each limit that the entry declares, to
see that the library still has it. That a part came to its end, and what it showed, stands in `verdict.json`.
"""

import gc
import importlib.util
import json
from pathlib import Path

import numpy as np

from ann_bench.worker.answers import WrongAnswerError, as_id_array
from ann_bench.worker.sets import Sets, values
from ann_bench.worker.timed import Counters
from ann_bench.worker.wrapper import Wrapper
from tests.wrappers.check_data import OPPOSITE, ZERO, ZEROS, all_distances, make_vectors
from tests.wrappers.check_watch import Printed, watch_memory, watch_threads

K = 10
MOST_K = 20
FEW = (12, 1)
PART = 1000
MEMORY_CALLS = 100000
LEAK_S = 60  # a library may have room for the first thousands of what it does not give back
TOLERANCE = 1e-6
# What this file says of a library, where other exceptions are the library's own.
FINDINGS = (AssertionError, WrongAnswerError)


def read_only(rows):
    """Return a copy that cannot be written to."""
    rows = rows.copy()
    values(rows).flags.writeable = False
    return rows


def of_64_bits(rows):
    """Return rows, or a vector, in the wider type of its kind."""
    if isinstance(rows, Sets):
        return Sets(of_64_bits(rows.indices), rows.offsets, rows.dimension)
    return rows.astype(np.int64 if rows.dtype == np.int32 else np.float64)


def column_wise(rows):
    """Return rows column by column; sets have no columns."""
    return rows if isinstance(rows, Sets) else np.asfortranarray(rows)


# Vectors that are not as the harness hands them over: the answers are right, or there is an exception.
ODD_VECTORS = {
    "read-only": read_only,
    "strided": lambda vector: np.repeat(vector, 2)[::2],
    "backward": lambda vector: vector[::-1].copy()[::-1],
    "of 64 bits": of_64_bits,
}
ODD_TABLES = {
    "read-only": read_only,
    "column-wise": column_wise,
    "of 64 bits": of_64_bits,
}


class Check:
    """One wrapper at one distance.

    `spec` has `wrapper_path`, `wrapper_class`; `distance`, `dimension`, `rows`; `build`, `query`, its most
    thorough setting, `scant_build`, `scant_query`, its least; `recall`, of the former; `limits`, reasons by
    name; `memory_s`, how long its memory is watched; `folder`, where it saves.
    """

    def __init__(self, spec):
        self.spec, self.distance, self.limits = spec, spec["distance"], spec["limits"]
        self.folder = Path(spec["folder"])
        self.wrapper_class = load_class(spec["wrapper_path"], spec["wrapper_class"])
        zeros = "zero_rows" not in self.limits or spec["part"] == "zero_rows"
        self.train, self.queries = make_vectors(self.distance, spec["dimension"], spec["rows"], zeros)
        self.distances = all_distances(self.distance, self.queries, self.train)
        self.scale = max(1.0, np.abs(self.distances).max())
        self.varies = "varying_answers" in self.limits

    # -- what a wrapper is asked to do ---------------------------------------------------------------------

    def make(self, train, scant=False):
        """Return a wrapper as the worker prepares it."""
        wrapper = self.wrapper_class()
        wrapper.distance, wrapper.dimension = self.distance, train.shape[1]
        wrapper.train = train
        wrapper.build_parameters = dict(self.spec["scant_build" if scant else "build"])
        wrapper.threads = wrapper.seed = 1
        return wrapper

    def build(self, train, scant=False):
        """Return a wrapper with the rows of `train` in its index, most or least thorough."""
        wrapper = self.make(train, scant)
        wrapper.build(train, self.distance, 1, **wrapper.build_parameters)
        wrapper.set_query(1, **self.spec["scant_query" if scant else "query"])
        return wrapper

    def has(self, method):
        """Return whether the wrapper can do that."""
        return getattr(self.wrapper_class, method) is not getattr(Wrapper, method)

    def ask(self, wrapper, k=K):
        """Return the ids of all queries' answers, shape (q, k), -1 where there are fewer."""
        queries = self.queries.copy()
        rows = list(queries)
        with Printed(str(self.folder)) as printed:
            wrapper.query(queries[-1], k)  # some look around once, when they are first asked
            with Counters() as counters:
                answers = [wrapper.query(row, k) for row in rows]
        assert "prints" in self.limits or not printed.text, f"printed while searching: {printed.text[:300]}"
        busy = counters.figures["children"] or counters.figures["children_cpu_s"]
        assert "children" in self.limits or not busy, "started processes while searching"
        assert np.array_equal(values(queries), values(self.queries)), "changed the queries"
        return as_id_array(answers, len(rows), k)

    def ask_batch(self, wrapper, queries, k=K):
        """Return the same for a batch."""
        asked = queries.copy(order="K")
        answers = as_id_array(wrapper.query_batch(queries, k), len(queries), k)
        assert np.array_equal(values(asked), values(queries)), "a batch changed the queries"
        return answers

    # -- what answers must be ------------------------------------------------------------------------------

    def judge(self, ids, distances, recall):
        """Answers are different rows, nearest first, as many as there are, and enough of the nearest.

        The limits allow fewer, some disorder, and repeated ones, which are wrong all the same.
        """
        n, k = distances.shape[1], ids.shape[1]
        wanted = min(k, n)
        assert ids.min() >= -1 and ids.max() < n, f"ids that no row has: {ids.min()} to {ids.max()}"
        repeated = self.repeated(ids)
        for query, answer in enumerate(ids):
            whole = "fewer_than_k" in self.limits or (answer >= 0).sum() >= wanted
            single = "duplicates" in self.limits or not repeated[query].any()
            assert whole and single, f"query {query}: no {wanted} different rows: {answer}"
        found = self.found(ids, distances)
        assert "order" in self.limits or self.in_order(found), "answers are not in order"
        assert nearest_come_first(found), "the far half of the answers comes first"
        nearest = np.sort(distances, axis=1)[:, wanted - 1 : wanted]
        right = (found <= nearest + TOLERANCE * self.scale) & ~repeated
        share = right.sum() / float(len(ids) * wanted)
        assert share >= recall, f"recall {share:.3f} is below {recall:g}"

    def found(self, ids, distances):
        """Return the distances of the rows `ids`, infinite where there is none."""
        known = np.take_along_axis(distances, np.maximum(ids, 0).astype(np.int64), axis=1)
        return np.where(ids < 0, np.inf, known)

    def repeated(self, ids):
        """Return which ids of an answer stand in it before."""
        order = np.argsort(
            ids, axis=1, kind="mergesort"
        )  # a stable one: the first of equal ids stays the first
        ordered = np.take_along_axis(ids, order, axis=1)
        again = np.zeros(ids.shape, dtype=bool)
        again[:, 1:] = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
        repeated = np.empty_like(again)
        np.put_along_axis(repeated, order, again, axis=1)
        return repeated

    def in_order(self, found):
        """Return whether all answers are nearest first, what is missing last."""
        return bool((found[:, 1:] >= found[:, :-1] - TOLERANCE * self.scale).all())

    def check_same(self, ids, answers, what):
        """Raise unless the ids are those answers, up to ties; where answers vary, unless they are as good."""
        if self.varies:
            self.judge(ids, self.distances[: len(ids)], self.spec["recall"])
            return
        distances = self.distances[: len(ids)]
        got, expected = (np.sort(self.found(rows, distances), axis=1) for rows in (ids, answers[: len(ids)]))
        assert np.allclose(got, expected, rtol=0, atol=10 * TOLERANCE * self.scale), what

    # -- the contract --------------------------------------------------------------------------------------

    def contract(self):
        """Raise `AssertionError` where the wrapper does not keep it."""
        train = self.train.copy()
        if "threads" in self.limits:
            wrapper = self.build(train)
        else:
            wrapper = watch_threads(lambda: self.build(train), "building")
        answers = self.ask(wrapper)
        self.judge(answers, self.distances, self.spec["recall"])
        again = self.ask(wrapper)
        assert self.varies or np.array_equal(again, answers), "the same queries get other answers"
        if "threads" not in self.limits:
            self.check_threads(wrapper)
        self.check_one(wrapper)
        if self.has("query_batch"):
            self.check_batch(wrapper, answers)
        self.check_odd_queries(wrapper, answers)
        self.check_two_at_once(wrapper, answers)
        if "min_rows" not in self.limits:
            for count in FEW:
                self.check_few(count)
        self.check_odd_rows()
        if self.has("save"):
            path = self.folder / "index"
            wrapper.save(str(path))
            assert path.exists(), "save() left nothing at the path it was given"
            np.save(str(self.folder / "answers.npy"), answers)
        if self.spec["memory_s"] and "memory" not in self.limits:
            self.watch_memory(wrapper, self.spec["memory_s"])
        assert np.array_equal(values(train), values(self.train)), "changed the rows"
        wrapper.close()

    def watch_memory(self, wrapper, seconds, **options):
        """Searching takes no more and more memory."""
        rows = list(self.queries)
        watch_memory(lambda i: wrapper.query(rows[i % len(rows)], K), seconds, MEMORY_CALLS, **options)

    def check_threads(self, wrapper, **options):
        """One thread is all that searching uses, singly and in a batch."""
        watch_threads(lambda: self.ask(wrapper), "searching", **options)
        if self.has("query_batch"):
            watch_threads(lambda: wrapper.query_batch(self.queries, K), "searching a batch", **options)

    def check_one(self, wrapper):
        """For k = 1 there is one answer, the nearest row as far as it can tell."""
        ids = self.ask(wrapper, 1)
        self.judge(ids, self.distances, 0)
        k = 1 if self.spec["recall"] == 1 else K
        nearest = np.sort(self.distances, axis=1)[:, k - 1 : k]
        share = (self.found(ids, self.distances) <= nearest + TOLERANCE * self.scale).mean()
        assert share >= self.spec["recall"], f"k = 1 gets a near row for {share:.3f} of the queries"

    def check_batch(self, wrapper, answers):
        """A batch gets what single queries get; one of odd form too, or an exception."""
        ids = self.ask_batch(wrapper, self.queries.copy())
        self.check_same(ids, answers, "a batch gets other answers")
        ids = self.ask_batch(wrapper, self.queries.copy(), 1)
        self.judge(ids, self.distances, 0)
        for name, change in ODD_TABLES.items():
            odd = change(self.queries)
            try:
                ids = self.ask_batch(wrapper, odd)
            except FINDINGS:
                raise
            except Exception:
                continue
            else:
                self.check_same(ids, answers, f"a batch gets other answers if it is {name}")

    def check_odd_queries(self, wrapper, answers):
        """A query of odd form gets what it gets in the usual form, or an exception."""
        for name, change in ODD_VECTORS.items():
            for query, vector in enumerate(self.queries[:K]):
                odd = change(vector)
                try:
                    answer = wrapper.query(odd, K)
                except Exception:
                    break
                ids = as_id_array([answer], 1, K)
                whole = np.array(answers)
                whole[query] = ids[0]
                self.check_same(whole, answers, f"a query gets other answers if it is {name}")
                assert np.array_equal(odd, vector), f"changed a {name} query"

    def part(self):
        """Return some of the rows, or all where it needs many, and their distances."""
        rows = slice(None, None, -1) if "min_rows" in self.limits else slice(-1, -1 - PART, -1)
        return self.train[rows].copy(), self.distances[:, rows]

    def check_two_at_once(self, wrapper, answers):
        """An index of other rows at another setting changes nothing for this one, nor this one for it."""
        other = self.build(self.part()[0], scant=True)
        alone = self.ask(other)
        this, that = [], []
        for vector in self.queries.copy():
            this.append(wrapper.query(vector, K))
            that.append(other.query(vector, K))
        for what, got, expected in (("first", this, answers), ("second", that, alone)):
            same = np.array_equal(as_id_array(got, len(answers), K), expected)
            assert same or self.varies, f"with two indexes the {what} one gives other answers"
        other.close()
        del other
        gc.collect()
        same = np.array_equal(self.ask(wrapper), answers)
        assert same or self.varies, "when another index is closed this one gives other answers"

    def check_few(self, count):
        """An index of few rows gives them all, for any larger k too."""
        few = self.build(self.train[:count].copy())
        for k in (count, MOST_K):
            try:
                ids = self.ask(few, k)
            except FINDINGS:
                raise
            except Exception:
                if "fewer_than_k" not in self.limits:
                    raise
            else:
                self.judge(ids, self.distances[:, :count], 0)
        few.close()

    def check_odd_rows(self):
        """Rows of odd form are indexed like any other, or there is an exception."""
        rows, distances = self.part()
        for name, change in ODD_TABLES.items():
            try:
                wrapper = self.build(change(rows))
            except Exception:
                continue
            try:
                self.judge(self.ask(wrapper), distances, self.spec["recall"])
            except AssertionError as error:
                raise AssertionError(f"with rows that are {name}: {error}") from None
            wrapper.close()

    def load(self):
        """What was saved answers in this new process as it did in the other, with as few threads."""
        answers = np.load(str(self.folder / "answers.npy"))
        wrapper = self.make(self.train)
        wrapper.load(str(self.folder / "index"))
        wrapper.set_query(1, **self.spec["query"])
        ids = self.ask(wrapper)
        assert self.varies or np.array_equal(ids, answers), "the loaded index gives other answers"
        self.judge(ids, self.distances, self.spec["recall"])
        if "threads" not in self.limits:
            self.check_threads(wrapper)
        wrapper.close()

    # -- what it says that it cannot do: each returns how that shows, nothing where it does not ------------

    def needs(self):
        """Return how vectors of a dimension that it does not take fail."""

        def work():
            self.judge(self.ask(self.build(self.train)), self.distances, self.spec["recall"])

        return failure_of(work)

    def min_rows(self):
        """Return how an index of 12 rows fails, or one of a single row."""
        return failure_of(lambda: [self.check_few(count) for count in FEW])

    def zero_rows(self):
        """With rows of zeros there are errors or wrong answers, or a query misses those nearest to it."""

        def work():
            ids = self.ask(self.build(self.train))
            self.judge(ids, self.distances, self.spec["recall"])
            query = OPPOSITE if self.distance in ("angular", "dot") else ZERO
            assert np.isin(ZEROS, ids[query]).all(), "the rows of zeros are not found"

        return failure_of(work)

    def fewer_than_k(self):
        """Where k is more than it has or looks at, there are fewer answers than could be, or an error."""
        n = len(self.train)
        trials = [(n, True, (n // 5, n + 5, K)), (n, False, (n + 5,))]
        if "min_rows" not in self.limits:
            trials.insert(0, (FEW[0], False, (MOST_K,)))
        for count, scant, several_k in trials:
            wrapper = self.build(self.train[:count].copy(), scant)
            for k in several_k:
                try:
                    ids = self.ask(wrapper, k)
                except FINDINGS:
                    raise
                except Exception as error:
                    return f"k = {k} of {count} rows: {error}"
                self.judge(ids, self.distances[:, :count], 0)
                short = ((ids >= 0).sum(axis=1) < min(k, count)).sum()
                if short:
                    return f"k = {k} of {count} rows: {short} queries got fewer"
        return ""

    def duplicates(self):
        """Some answer has a row twice."""
        for scant in (True, False):
            wrapper = self.build(self.train, scant)
            for k in (K, 10 * K):
                ids = self.ask(wrapper, k)
                self.judge(ids, self.distances, 0)
                if self.repeated(ids).any():
                    return f"k = {k}: rows come twice"
        return ""

    def order(self):
        """Some answer is not nearest first."""
        for scant in (True, False):
            ids = self.ask(self.build(self.train, scant))
            self.judge(ids, self.distances, 0)
            if not self.in_order(self.found(ids, self.distances)):
                return "answers are not in order"
        return ""

    def prints(self):
        """Whatever it prints is seen from outside."""
        self.ask(self.build(self.train))
        self.ask(self.build(self.part()[0], scant=True))
        return ""

    def children(self):
        """There are processes below this one, or there were."""
        with Counters() as counters:
            wrapper = self.build(self.train)
            self.ask(wrapper)
        figures = counters.figures
        wrapper.close()
        return "children" if figures["children"] or figures["children_cpu_s"] else ""

    def threads(self):
        """It keeps more than one thread busy, be it a little less than what is too much."""
        return failure_of(
            lambda: self.check_threads(watch_threads(lambda: self.build(self.train), "building"), share=0.05)
        )

    def memory(self):
        """Memory grows while it searches, given time."""
        return failure_of(lambda: self.watch_memory(self.build(self.train), LEAK_S, windows=1))

    def deleted_folders(self):
        """Whatever it deletes is missed from outside."""
        self.ask(self.build(self.train))
        gc.collect()
        return ""


def failure_of(work):
    """Return what `work` raised, nothing if it did not."""
    try:
        work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def nearest_come_first(found):
    """Return whether on the whole the first half of the answers is nearer than the second."""
    half = (found.shape[1] + 1) // 2
    whole = found[np.isfinite(found).all(axis=1)]
    return len(whole) == 0 or whole[:, :half].mean() <= whole[:, -half:].mean() + 1e-6 * abs(whole).max()


def load_class(path, name):
    """Return the wrapper's class, loaded by path as the worker does."""
    spec = importlib.util.spec_from_file_location("wrapper_under_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def main(spec):
    """Do one part of the check; an exception is a failure."""
    check = Check(spec)
    shown = getattr(check, spec["part"])()
    del check
    gc.collect()
    Path(spec["verdict"]).write_text(json.dumps({"shown": shown}))
