"""Wrappers that break the contract, each in one way, and some that keep a limit that they declare."""

import ctypes
import os
import subprocess
import threading
import time

import numpy as np

from ann_bench.worker.wrapper import Wrapper


class Sound(Wrapper):
    """Compares every row, and does all that a wrapper can do."""

    def build(self, train, distance, threads):
        self.rows = np.array(train, dtype=np.float64)

    def set_query(self, threads):
        pass

    def query(self, vector, k):
        return np.abs(self.rows - vector).sum(axis=1).argsort(kind="stable")[:k]

    def query_batch(self, vectors, k):
        return [self.query(vector, k) for vector in vectors]

    def save(self, path):
        np.save(path + ".npy", self.rows)
        os.rename(path + ".npy", path)

    def load(self, path):
        self.rows = np.load(path)


class GivesTheLastTwice(Sound):
    def query(self, vector, k):
        nearest = super().query(vector, k)
        if len(nearest) > 1:
            nearest[-1] = nearest[-2]
        return nearest


class Backwards(Sound):
    def query(self, vector, k):
        return super().query(vector, k)[::-1]


class Mingles(Sound):
    def query(self, vector, k):
        nearest = super().query(vector, k)
        nearest[1:3] = nearest[2:0:-1]
        return nearest


class SkipsTheNearest(Sound):
    def query(self, vector, k):
        return super().query(vector, 3 * k)[2 * k :]


class SkipsTheNearestOfOne(Sound):
    def query(self, vector, k):
        return super().query(vector, 40)[39:] if k == 1 else super().query(vector, k)


class Hesitates(Sound):
    calls = 0

    def query(self, vector, k):
        self.calls += 1
        return super().query(vector, 2 * k)[self.calls // 60 : k + self.calls // 60]


class ReturnsOneArray(Sound):
    def query(self, vector, k):
        self.answer = getattr(self, "answer", np.arange(k))
        self.answer[:] = super().query(vector, k)
        return self.answer


class MixesUpABatch(Sound):
    def query_batch(self, vectors, k):
        return super().query_batch(vectors, k)[::-1]


class LeavesOutOfABatch(Sound):
    def query_batch(self, vectors, k):
        return super().query_batch(vectors[1:], k)


class ScribblesOnABatch(Sound):
    def query_batch(self, vectors, k):
        answers = super().query_batch(vectors, k)
        ctypes.memset(vectors.ctypes.data, 1, 4)
        return answers


class ReadsABatchByColumns(Sound):
    def query_batch(self, vectors, k):
        return super().query_batch(vectors.ravel(order="K").reshape(vectors.shape), k)


class ReadsBytes(Sound):
    """Takes every query for float32 in a row, as some bindings do."""

    def query(self, vector, k):
        size = vector.shape[0]
        return super().query(
            np.ctypeslib.as_array((ctypes.c_float * size).from_address(vector.ctypes.data)), k
        )

    def query_batch(self, vectors, k):
        return [Sound.query(self, vector, k) for vector in vectors]


class MarksWhatIsReadOnly(Sound):
    def query(self, vector, k):
        answer = super().query(vector, k)
        if not vector.flags.writeable:
            ctypes.memset(vector.ctypes.data, 1, 4)
        return answer

    def query_batch(self, vectors, k):
        return [Sound.query(self, vector, k) for vector in vectors]


class ReadsRowsByBytes(Sound):
    def build(self, train, distance, threads):
        count = train.size
        flat = np.ctypeslib.as_array((ctypes.c_float * count).from_address(train.ctypes.data))
        super().build(flat.reshape(train.shape), distance, threads)


class SharesItsIndex(Sound):
    def query(self, vector, k):
        return np.abs(self.shared - vector).sum(axis=1).argsort(kind="stable")[:k]

    def build(self, train, distance, threads):
        super().build(train, distance, threads)
        type(self).shared = self.rows


class ClosesAll(Sound):
    closed = False

    def query(self, vector, k):
        return super().query(vector, k) + (1 if self.closed else 0)

    def close(self):
        type(self).closed = True


class ForgetsSome(Sound):
    def query(self, vector, k):
        return super().query(vector, min(k, 10))


class RefusesOne(Sound):
    def build(self, train, distance, threads):
        if len(train) < 2:
            raise ValueError("one row is too few")
        super().build(train, distance, threads)


class Crashes(Sound):
    def build(self, train, distance, threads):
        if len(train) < 20:
            os.abort()
        super().build(train, distance, threads)


class LosesZeros(Sound):
    def build(self, train, distance, threads):
        super().build(train, distance, threads)
        self.rows[~self.rows.any(axis=1)] = np.nan


class SavesNothing(Sound):
    def save(self, path):
        pass


class LoadsAnother(Sound):
    def load(self, path):
        super().load(path)
        self.rows = self.rows[::-1]


class Scribbles(Sound):
    def query(self, vector, k):
        answer = super().query(vector, k)
        vector[0] = 3
        return answer


class ScribblesOnRows(Sound):
    def build(self, train, distance, threads):
        super().build(train, distance, threads)
        ctypes.memset(train.ctypes.data, 0, 4)


class TwoThreads(Sound):
    def query(self, vector, k):
        other = threading.Thread(target=super().query, args=(vector, k))
        other.start()
        answer = super().query(vector, k)
        other.join()
        return answer


class Leaks(Sound):
    kept = []

    def query(self, vector, k):
        self.kept.append(np.ones(30000))
        return super().query(vector, k)


class Prints(Sound):
    def query(self, vector, k):
        os.write(1, b"hello")
        return super().query(vector, k)


class StartsProcesses(Sound):
    def query(self, vector, k):
        if not hasattr(self, "child"):
            self.child = subprocess.Popen(["sleep", "30"])
        return super().query(vector, k)


class Deletes(Sound):
    def __del__(self):
        if os.path.isdir(os.environ["TMPDIR"]):
            os.rmdir(os.environ["TMPDIR"])


class Hangs(Sound):
    def query(self, vector, k):
        time.sleep(1000)


class Quits(Sound):
    def query(self, vector, k):
        os._exit(0)
