"""A wrapper that answers exactly, and then does to the harness what libraries have been seen to do."""

import contextlib
import ctypes
import os
import shutil
import sys
import tempfile
import time

import numpy as np

from ann_bench.worker.wrapper import Wrapper


class Misbehaving(Wrapper):
    """Exact search with a misdeed in the build, in loading, or in every query."""

    def build(self, train, distance, threads, *, in_build):
        if in_build == "changes rows":
            train[0] += 1
        self.deed(in_build)
        self.rows = train
        self.misdeed = "none"

    def set_query(self, threads, *, in_query):
        self.misdeed = in_query
        self.passes = getattr(self, "passes", 0) + 1

    def query(self, vector, k):
        nearest = np.argsort(((self.rows - vector) ** 2).sum(axis=1), kind="stable")[:k]
        answers = {
            "duplicates": lambda: np.repeat(nearest[:1], k),
            "floats": lambda: nearest.astype(float),
            "strings": lambda: [str(i) for i in nearest],
            "nothing": lambda: None,
            "too few": lambda: nearest[: k - 1],
            "too many": lambda: np.concatenate([nearest, nearest]),
            "out of range": lambda: nearest + len(self.rows),
            "one buffer": lambda: self.buffered(nearest),
            "unsteady": lambda: nearest[::-1] if self.passes % 2 else nearest,
        }
        if self.misdeed in answers:
            return answers[self.misdeed]()
        if self.misdeed == "changes query":
            vector[0] += 1
        self.deed(self.misdeed)
        return nearest

    def buffered(self, nearest):
        if not hasattr(self, "buffer"):
            self.buffer = nearest.copy()
        self.buffer[:] = nearest
        return self.buffer

    def deed(self, name):
        if name == "raises":
            raise RuntimeError("the library says no")
        elif name == "exits":
            sys.stderr.write("cannot work on this processor\n")
            sys.stderr.flush()
            os._exit(3)
        elif name == "calls exit":
            sys.exit(4)
        elif name == "segfaults":
            ctypes.string_at(1)
        elif name == "memory":
            self.hoard = [np.ones(2**21) for _ in range(64)]
            time.sleep(30)
        elif name == "hangs":
            time.sleep(600)
        elif name == "forks":
            if os.fork() == 0:
                os.setsid()
                time.sleep(600)
                os._exit(0)
            self.misdeed = "none"
        elif name == "prints gigabytes":
            line = b"x" * 2**20
            for _ in range(2048):
                os.write(1, line)
            self.misdeed = "none"
        elif name == "writes to descriptor 1":
            os.write(1, b'{"ok": true}\n')
            self.misdeed = "none"
        elif name == "forks and returns":
            os.fork()
            self.misdeed = "none"
        elif name == "forks twice":
            if os.fork() == 0:
                if os.fork() == 0:
                    os.setsid()
                    time.sleep(600)
                os._exit(0)
            os.wait()
            self.misdeed = "none"
        elif name == "closes descriptors":
            os.closerange(3, 256)
            time.sleep(600)
        elif name == "raises in another code":
            raise RuntimeError("caf\udce9 \x1b[31m" + 10000 * "x")
        elif name == "deletes the exchange folder":
            shutil.rmtree("../out")
            self.misdeed = "none"
        elif name == "writes into the pipe":
            os.write(int(sys.argv[2]), b"surprise\n")
        elif name == "deletes folders":
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(tempfile.gettempdir())
                shutil.rmtree(os.getcwd())
            self.misdeed = "none"


class Empty(Misbehaving):
    """Says that it saves its index, and does not."""

    def save(self, path):
        pass

    def load(self, path):
        pass


class Stubborn(Misbehaving):
    """Saves its index, and will not load it again."""

    def save(self, path):
        np.save(path + ".npy", self.rows)
        shutil.move(path + ".npy", path)

    def load(self, path):
        raise OSError("the file is of another version")


class Steady(Misbehaving):
    """Saves its index and loads it."""

    def save(self, path):
        with open(path, "wb") as file:
            np.save(file, self.rows)

    def load(self, path):
        self.rows = np.load(path)
        self.misdeed = "none"
