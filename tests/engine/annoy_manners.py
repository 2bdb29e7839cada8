"""Tries what users do with an AnnoyIndex, right and wrong, and tells what came of it: annoy_manners.py FILE.

Runs with `annoy` in its environment, and with any class that takes its place. tests/golden/annoy/manners.json
is what Annoy did.
"""

import copy
import json
import pickle
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

METRICS = ("angular", "euclidean", "manhattan", "hamming", "dot")


class Lengthless:
    """Has items and no length."""

    def __getitem__(self, i: int) -> float:
        return 1.0


class Unreadable:
    """Has a length and no items."""

    def __len__(self) -> int:
        return 3


class Short:
    """Has fewer items than it says."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, i: int) -> float:
        raise IndexError("no more")


def described(value: Any) -> Any:
    """Return the value as JSON can tell it, with tuples told from lists."""
    if isinstance(value, tuple):
        return ["tuple", *map(described, value)]
    if isinstance(value, list):
        return ["list", *map(described, value)]
    return value if isinstance(value, int | float | str | None) else type(value).__name__


def attempt(action: Callable[[], Any]) -> list[Any]:
    """Return what an action returns, warns of or raises."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            outcome = ["returns", described(action())]
        except Exception as error:
            kind = "OSError" if isinstance(error, OSError) else type(error).__name__
            outcome = ["raises", kind, str(error)]
    return outcome + [f"{warning.category.__name__}: {warning.message}" for warning in caught]


def try_everything(index_class: Any, folder: Path) -> dict[str, list[Any]]:
    """Return what came of each attempt."""
    outcomes: dict[str, list[Any]] = {}

    def make(metric: str = "euclidean", n: int = 20, build: int = 0) -> Any:
        index = index_class(3, metric)
        for i in range(n):
            index.add_item(i, [float((i * 7 + j * 3) % 11) for j in range(3)])
        if build:
            index.build(build)
        return index

    def record(**actions: Callable[[], Any]) -> None:
        outcomes.update({name: attempt(action) for name, action in actions.items()})

    saved = str(folder / "saved.ann")
    for name, content in (("empty", b""), ("junk", b"x" * 241)):
        (folder / name).write_bytes(content)

    record(
        without_metric=lambda: index_class(3).f,
        unknown_metric=lambda: index_class(3, "cosine"),
        f_by_name=lambda: index_class(f=3, metric="dot").f,
        f_float=lambda: index_class(3.0, "angular"),
        f_text=lambda: index_class("3", "angular"),
        f_large=lambda: index_class(2**31, "angular"),
        without_f=lambda: index_class(),
        metric_number=lambda: index_class(3, 7),
        new_attribute=lambda: setattr(make(), "colour", "red"),
    )

    index = make()
    record(
        pickled=lambda: pickle.dumps(index),
        copied=lambda: copy.copy(index),
        deep_copied=lambda: copy.deepcopy(index),
        unbuilt_search=lambda: index.get_nns_by_item(0, 3),
        unbuilt_search_distances=lambda: index.get_nns_by_vector([1, 2, 3], 3, 100, True),
        unbuilt_vector=lambda: index.get_item_vector(3),
        unbuilt_distance=lambda: index.get_distance(0, 1),
        unbuilt_trees=lambda: index.get_n_trees(),
        unbuilt_items=lambda: index.get_n_items(),
        unbuilt_save=lambda: index.save(saved),
        unbuilt_unbuild=lambda: index.unbuild(),
        vector_by_name=lambda: index.get_item_vector(i=3),
        vector_negative=lambda: index.get_item_vector(-1),
        vector_large=lambda: index.get_item_vector(20),
        distance_negative=lambda: index.get_distance(0, -1),
        distance_large=lambda: index.get_distance(20, 0),
        search_item_large=lambda: index.get_nns_by_item(20, 1),
        search_item_negative=lambda: index.get_nns_by_item(-1, 1),
        search_short=lambda: index.get_nns_by_vector([1], 5),
        add_negative=lambda: index.add_item(-1, [1, 2, 3]),
        add_float_number=lambda: index.add_item(0.0, [1, 2, 3]),
        add_large_number=lambda: index.add_item(2**31, [1, 2, 3]),
        add_short=lambda: index.add_item(0, [1, 2]),
        add_long=lambda: index.add_item(0, [1, 2, 3, 4]),
        add_text=lambda: index.add_item(0, ["1", "2", "3"]),
        add_complex=lambda: index.add_item(0, [1j, 2, 3]),
        add_none=lambda: index.add_item(0, None),
        add_generator=lambda: index.add_item(0, (x for x in range(3))),
        add_lengthless=lambda: index.add_item(0, Lengthless()),
        add_unreadable=lambda: index.add_item(0, Unreadable()),
        add_lying=lambda: index.add_item(0, Short()),
        add_set=lambda: index.add_item(0, {1, 2, 3}),
        add_wrong_keys=lambda: index.add_item(0, {1: 1, 2: 2, 3: 3}),
        add_nothing=lambda: index.add_item(0),
        add_dictionary=lambda: (index.add_item(0, {0: 1, 1: 2, 2: 3}), index.get_item_vector(0)),
        add_tuple=lambda: (index.add_item(0, (True, 2.5, 3)), index.get_item_vector(0)),
        add_bytes=lambda: (index.add_item(0, b"abc"), index.get_item_vector(0)),
        add_by_name=lambda: (index.add_item(vector=[10, 2, 5], i=0), index.get_item_vector(0)),
        build_text=lambda: index.build("5"),
        build_nothing=lambda: index.build(),
        build=lambda: index.build(5),
        trees=lambda: index.get_n_trees(),
        build_again=lambda: index.build(5),
        search_none=lambda: index.get_nns_by_item(0, 0),
        search_unlimited=lambda: index.get_nns_by_item(0, -1),
        search_k_none=lambda: index.get_nns_by_item(0, 5, 0),
        search_k_unlimited=lambda: index.get_nns_by_item(0, 5, -2),
        search_k_missing=lambda: index.get_nns_by_item(0, 5, None),
        search_most=lambda: len(index.get_nns_by_item(0, 2**31 - 1)),
        search_too_many=lambda: index.get_nns_by_item(0, 2**31),
        search_float=lambda: index.get_nns_by_item(0, 5.0),
        search_all=lambda: index.get_nns_by_item(3, 20, include_distances=True),
        search_vector=lambda: index.get_nns_by_vector([1, 2, 3], 20, -1, True),
        search_by_name=lambda: index.get_nns_by_vector(n=3, vector=[1, 2, 3], search_k=50),
        search_truth=lambda: index.get_nns_by_item(i=0, n=3, include_distances=2),
        search_text=lambda: index.get_nns_by_item(0, 3, -1, "yes"),
        save_bytes=lambda: index.save(b"x"),
        save_null=lambda: index.save("a\0b"),
        save_unnamed=lambda: index.save(""),
        save_nowhere=lambda: index.save(str(folder / "no" / "x")),
        save=lambda: index.save(saved),
        saved_trees=lambda: index.get_n_trees(),
        saved_add=lambda: index.add_item(0, [1, 2, 3]),
        saved_build=lambda: index.build(3),
        saved_unbuild=lambda: index.unbuild(),
        save_again=lambda: index.save(fn=saved, prefault=True),
        save_elsewhere=lambda: (index.save(saved + "2", True), make().load(saved + "2", True)),
        unload=lambda: index.unload(),
        unload_argument=lambda: index.unload(1),
        unloaded=lambda: (index.get_n_items(), index.get_n_trees(), index.get_nns_by_vector([1, 2, 3], 3)),
        unloaded_item=lambda: index.get_item_vector(0),
        unloaded_add=lambda: (index.add_item(1, [1, 2, 3]), index.get_n_items()),
    )

    index = make(n=30)
    record(
        load_missing=lambda: index.load(str(folder / "none")),
        load_empty=lambda: index.load(str(folder / "empty")),
        load_junk=lambda: index.load(str(folder / "junk")),
        load_folder=lambda: index.load(str(folder)),
        load_number=lambda: index.load(7),
        load=lambda: (index.load(fn=saved, prefault=False), index.get_n_items()),
        load_again=lambda: (index.load(saved), index.get_n_items(), index.get_nns_by_item(0, 3)),
        loaded_build=lambda: index.build(3),
        loaded_add=lambda: index.add_item(1, [1, 2, 3]),
        set_seed=lambda: index.set_seed(5),
        set_seed_negative=lambda: index.set_seed(-1),
        set_seed_large=lambda: index.set_seed(2**40),
        set_seed_by_name=lambda: index.set_seed(s=5),
        verbose=lambda: (index.verbose(True), index.verbose(0)),
        verbose_text=lambda: index.verbose("yes"),
        jobs=lambda: (make().build(n_trees=4, n_jobs=2), make().build(4, -1)),
        rebuilt=lambda: (
            (other := make(build=2)).unbuild(),
            other.add_item(25, [1, 1, 1]),
            other.get_n_trees(),
            other.build(3),
            other.get_n_trees(),
            other.get_n_items(),
            other.get_nns_by_item(25, 1),
        ),
    )

    on_disk, path = index_class(3, "euclidean"), str(folder / "disk.ann")
    record(
        disk=lambda: on_disk.on_disk_build(fn=path),
        disk_nowhere=lambda: make(n=0).on_disk_build(str(folder / "no" / "x")),
        disk_add=lambda: [on_disk.add_item(i, [i, 1, 2]) for i in (0, 3, 5)],
        disk_build=lambda: (on_disk.build(4), on_disk.get_n_trees()),
        disk_search=lambda: on_disk.get_nns_by_item(1, 10, include_distances=True),
        disk_save=lambda: on_disk.save(path),
        disk_rebuilt=lambda: (on_disk.unbuild(), on_disk.add_item(6, [1, 1, 1]), on_disk.build(2)),
        disk_found=lambda: on_disk.get_nns_by_item(6, 9),
        disk_loaded=lambda: ((other := make()).load(path), other.get_n_items(), other.get_nns_by_item(0, 9)),
        disk_files=lambda: sorted(found.name for found in folder.glob("disk*")),
    )

    for metric in METRICS:
        few = index_class(3, metric)
        for i, vector in ((0, [1, 0, 0]), (2, [0, 1, 1]), (3, [0, 0, 0]), (6, [1, 1, 0])):
            few.add_item(i, vector)
        distances = outcomes[f"{metric}_distances"] = attempt(
            lambda few=few: [few.get_distance(i, j) for i in range(7) for j in range(7)]
        )
        assert distances[0] == "returns"
        outcomes[f"{metric}_vectors"] = attempt(lambda few=few: [few.get_item_vector(i) for i in range(7)])
        few.build(10)
        for item in (0, 1, 6):
            outcomes[f"{metric}_nearest_{item}"] = attempt(
                lambda few=few, item=item: few.get_nns_by_item(item, 9, include_distances=True)
            )
        few.save(str(folder / metric))
        outcomes[f"{metric}_saved"] = attempt(lambda few=few: few.get_nns_by_vector([1, 0, 1], 9, -1, True))

    nothing = index_class(3, "angular")
    record(
        nothing=lambda: (nothing.build(3), nothing.get_n_trees(), nothing.get_nns_by_vector([1, 2, 3], 5)),
        nothing_saved=lambda: nothing.save(str(folder / "nothing")),
        nothing_loaded=lambda: (nothing.load(str(folder / "nothing")), nothing.get_n_items()),
        nothing_found=lambda: nothing.get_nns_by_vector([1, 2, 3], 5, -1, True),
    )
    return outcomes


if __name__ == "__main__":
    from annoy import AnnoyIndex

    with tempfile.TemporaryDirectory() as temporary:
        told = try_everything(AnnoyIndex, Path(temporary))
        lines = [f"{json.dumps(name)}: {json.dumps(outcome)}" for name, outcome in told.items()]
        Path(sys.argv[1]).write_text(
            ("{" + ",\n".join(lines) + "}\n").replace(temporary, "FOLDER"), encoding="utf-8"
        )
