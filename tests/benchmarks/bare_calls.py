"""The worker's side of `wrapper_overhead.py`; runs in a library's environment (Python >= 3.7)."""

import ast
import inspect
import json
import statistics
import sys
import textwrap
import time
import types
from pathlib import Path

BLOCK_NS = 20000000
PAIRS = 40
# A guard of ours, which a user whose rows are as they should be does without.
GUARD = "ascontiguousarray"


class Bare(ast.NodeTransformer):
    """Makes of a wrapper's `query` the loop that a user would write who has many queries.

    Whatever does not depend on the query is computed before the loop, and guards are left out. What is done
    to the query itself, such as dividing it by its length, is done by every user, and stays.
    """

    def __init__(self):
        self.before, self.dependent = [], {"vector"}

    def of(self, method):
        """Return a function (self, rows, k) that asks for all rows in turn."""
        tree = ast.parse(textwrap.dedent(inspect.getsource(method)))
        for node in ast.walk(tree):
            if isinstance(node, ast.comprehension):
                self.dependent |= {name.id for name in ast.walk(node.target) if isinstance(name, ast.Name)}
            elif isinstance(node, ast.Lambda):
                self.dependent |= {argument.arg for argument in node.args.args}
        body = [done for statement in tree.body[0].body for done in self.statement(statement)]
        loop = ast.parse("def bare(self, rows, k):\n    for vector in rows:\n        pass")
        loop.body[0].body[0].body = body
        loop.body[0].body[:0] = self.before
        found = dict(method.__globals__)
        exec(compile(ast.fix_missing_locations(loop), "<bare>", "exec"), found)
        return found["bare"]

    def statement(self, node):
        """Return what is left of a statement inside the loop."""
        if isinstance(node, ast.If):  # a guard
            return []
        if isinstance(node, ast.Return):
            node = ast.Assign([ast.Name("answer", ast.Store())], node.value)
        if isinstance(node, ast.Assign):
            if not self.depends(node.value):
                self.before.append(node)
                return []
            names = [
                name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)
            ]
            self.dependent.update(names)
            node.value = self.visit(node.value)
        return [node]

    def depends(self, node):
        """Return whether an expression has something of the query in it."""
        return any(isinstance(name, ast.Name) and name.id in self.dependent for name in ast.walk(node))

    def visit(self, node):
        """Replace what does not depend on the query by a name that is bound before the loop."""
        if not isinstance(node, ast.expr) or isinstance(node, (ast.Name, ast.Constant)):
            return super().visit(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == GUARD:
            return self.visit(node.args[0])
        if isinstance(node, (ast.Slice, ast.Starred)) or self.depends(node):
            return super().visit(node)
        name = f"before{len(self.before)}"
        self.before.append(ast.Assign([ast.Name(name, ast.Store())], node))
        return ast.Name(name, ast.Load())


def wrapped(query, rows, k):
    """Ask the wrapper for all rows in turn."""
    for row in rows:
        query(row, k)


def main(package, tests, spec):
    """Print what a query takes both ways, in blocks that alternate."""
    for name, folder in (("ann_bench", package), ("tests", tests)):
        module = types.ModuleType(name)
        module.__path__ = [folder]
        sys.modules[name] = module
    from tests.wrappers.check_wrapper import Check, K

    check = Check(json.loads(spec))
    wrapper = check.build(check.train, scant=True)
    rows = list(check.queries)[3:]  # without the odd ones
    bare = Bare().of(wrapper.query.__func__)

    def nanoseconds(loop, *arguments):
        start = time.perf_counter_ns()
        loop(*arguments)
        return (time.perf_counter_ns() - start) / len(arguments[1])

    ways = [(bare, wrapper), (wrapped, wrapper.query)]
    slowest = max(nanoseconds(loop, first, rows * 3, K) for loop, first in ways)
    queries = int(BLOCK_NS / slowest) + 1
    block = (rows * (queries // len(rows) + 1))[:queries]
    took = [[], []]
    for pair in range(PAIRS):
        for way in (0, 1) if pair % 4 in (0, 3) else (1, 0):
            took[way].append(nanoseconds(ways[way][0], ways[way][1], block, K))
    bare_ns = statistics.median(took[0])
    added_ns = statistics.median(mine - its for its, mine in zip(*took))
    Path(check.spec["verdict"]).write_text(json.dumps({"bare_ns": bare_ns, "added_ns": added_ns}))


if __name__ == "__main__":
    main(*sys.argv[1:])
