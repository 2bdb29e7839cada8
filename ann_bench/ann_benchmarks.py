"""The results layout of ann-benchmarks: written, so that its plot.py and website take our results, and read.

Its files lie at results/DATASET/K/ALGO[-batch]/*.hdf5, with `times`, `neighbors` and `distances` at the root
and everything else in attributes. It writes metrics back into the files that it draws: it gets copies, never
our originals.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt

from ann_bench import metrics, results
from ann_bench.distances import distances_to
from ann_bench.errors import AnnBenchError, ResultsError

if TYPE_CHECKING:
    from ann_bench.datasets import Dataset

_READING_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError)
_MOST = 1e9  # seconds (30 years), and whatever else a file gives as a number of a moderate size
_COSTS = (
    *("build_wall_ns", "build_cpu_ns", "load_wall_ns"),
    *("index_bytes_saved", "index_bytes_resident", "index_bytes_reported"),
    *("build_peak_bytes", "search_peak_bytes", "distance_computations"),
)


def write_layout(
    records: Iterable[results.Record], folder: Path, *, on_skip: Callable[[str], None]
) -> list[Path]:
    """Return the files written below `folder`/results, one for each setting in `records` (from `scan`).

    Of a setting that was measured several times, with several versions maybe, the newest counts: all files
    of an algorithm make one frontier there. Settings that failed have no file in that layout.

    ann-benchmarks holds the answers against its dataset row by row: what was measured on a part of the
    dataset's rows or queries is passed over, and named in one line to `on_skip`; so is a file that cannot be
    read.

    `times` and `best_search_time` come from one and the same pass, the best. A repeated or impossible id gets
    distance +inf, because ann-benchmarks would count it. A label is added to the algorithm's name, and an
    underscore in a dataset's name becomes "-": the website splits names there. `algo` is the name of the
    folder, because the website makes a file of that name.

    Distances are in this project's definition. Where the dataset's file has them in another one (say
    hamming as a count of bits), ann-benchmarks compares unlike numbers, and its recall means nothing.

    Raises
    ------
    ResultsError
        If a file cannot be written.
    """
    written = []
    for record in results.newest(records, key=results.setting_of):
        if record["status"] != "ok":
            continue
        reason = _part_of(record["dataset"])
        if reason:
            on_skip(f"passed over {record['path']}: {reason}")
            continue
        dataset = results.path_part(record["dataset"]["name"]).replace("_", "-")
        algorithm = results.path_part("-".join(filter(None, (record["algorithm"]["name"], record["label"]))))
        part = algorithm + ("-batch" if record["mode"] == "batch" else "")
        name = results.identity_hash({"setting": results.setting_of(record)})
        path = folder / "results" / dataset / str(record["k"]) / part / f"{name}.hdf5"
        try:
            attributes, arrays = _exported(results.read(Path(record["path"])), dataset, algorithm)
        except ResultsError as error:
            on_skip(f"passed over {error}")
            continue
        except _READING_ERRORS as error:
            on_skip(f"passed over {record['path']}: damaged ({_reason(error)}); delete it and measure again")
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(path, "w") as file:
                file.attrs.update(attributes)
                for key, array in arrays.items():
                    file.create_dataset(key, data=array)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ResultsError(f"{path}: cannot write the export: {reason}; name another --output") from error
        written.append(path)
    return written


def _part_of(dataset: Mapping[str, Any]) -> str | None:
    """Return of what a measurement's dataset is only a part, None if it is whole."""
    whole = {"rows": ("n", "rows_available"), "queries": ("queries", "queries_available")}
    for what, (used, available) in whole.items():
        most = dataset.get(available) or dataset[used]
        if dataset[used] < most:
            return f"it has {dataset[used]:,} of {most:,} {what}, that layout all"
    return None


def read_layout(
    folder: Path, load: Callable[[str, int], "Dataset"], *, on_skip: Callable[[str], None]
) -> list[results.Measurement]:
    """Return a measurement, labelled "imported", for every result of ann-benchmarks below `folder`.

    Distances are recomputed from the vectors, and recall from them. The layout keeps the latencies of one
    pass: the measurement has one round. Parameters have no names in it: `query` holds the name of the point.
    A file that cannot be read, or whose dataset cannot be had, is passed over and named in one line to
    `on_skip`.

    Parameters
    ----------
    folder
        The folder `results` of ann-benchmarks, or one above or below it.
    load
        Returns the dataset of that name with exact answers for at least so many neighbours.
    on_skip
        Gets the lines about files passed over.
    """
    measurements = []
    datasets: dict[tuple[str, int], Dataset] = {}
    for path in sorted(folder.rglob("*.hdf5")):
        try:
            run = _read(path)
            key = str(run.attributes["dataset"]), run.neighbors.shape[1]
            if key not in datasets:
                datasets[key] = load(*key)
            measurements.append(_imported(path, run, datasets[key]))
        except AnnBenchError as error:
            on_skip(f"passed over {path}: {error}")
        except _READING_ERRORS as error:
            on_skip(f"passed over {path}: not a result in ann-benchmarks' layout ({_reason(error)})")
    return measurements


def _exported(
    measurement: results.Measurement, dataset: str, algorithm: str
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return the attributes and datasets of a file in ann-benchmarks' layout."""
    record, arrays = measurement.record, measurement.arrays
    ids, n_queries = arrays["neighbors"], record["dataset"]["queries"]
    countable = metrics.countable_answers(ids, record["dataset"]["n"])
    if "latencies_ns" in arrays:
        best_ns = min(arrays["latencies_ns"], key=np.sum)
    else:
        best_ns = np.full(n_queries, arrays["round_wall_ns"].min() / n_queries)
    costs = {name: value or 0 for name, value in record["costs"].items()}
    index_bytes = costs.get("index_bytes_resident") or costs.get("index_bytes_saved", 0)
    parts = (record["build"], record["query"])
    parameters = "; ".join(
        ", ".join(f"{name}={value}" for name, value in part.items()) for part in parts if part
    )
    attributes = {
        "batch_mode": record["mode"] == "batch",
        "algo": algorithm,
        "name": f"{algorithm}({parameters})",
        "count": int(record["k"]),
        "best_search_time": float(best_ns.sum() / n_queries / 1e9),
        "dataset": dataset,
        "distance": record["dataset"]["distance"],
        "run_count": int(record["rounds"]),
        "build_time": float(costs.get("build_wall_ns", 0) / 1e9),
        "candidates": float((ids >= 0).sum(axis=1).mean()),
        "index_size": float(index_bytes / 1024),
        "expect_extra": False,
    }
    if costs.get("distance_computations"):  # theirs is the total over all passes
        attributes["dist_comps"] = int(costs["distance_computations"]) * attributes["run_count"]
    return attributes, {
        "times": (best_ns / 1e9).astype(np.float32),
        "neighbors": ids.astype(np.int32),
        "distances": np.where(countable, arrays["distances"], np.inf).astype(np.float32),
    }


@dataclass(frozen=True)
class _Run:
    """A file of ann-benchmarks. `digest` stands for its content, but for what their plot.py adds to it."""

    attributes: Mapping[str, Any]
    times: npt.NDArray[np.float64]
    neighbors: npt.NDArray[np.int32]
    digest: str

    def number(self, name: str, low: float, most: float = _MOST, *, default: float | None = None) -> float:
        """Return an attribute from `low` to `most`; raise ValueError or TypeError if it is no such number."""
        value = float(self.attributes.get(name, default))
        if not low <= value <= most:  # NaN is neither
            raise ValueError(f"{name} is {value:g}")
        return value


def _read(path: Path) -> _Run:
    """Return what the file holds; raise ValueError, or what HDF5 raises, if that is not one run."""
    with h5py.File(path, "r") as file:
        attributes = {
            name: value.decode() if isinstance(value, bytes) else value for name, value in file.attrs.items()
        }
        times, neighbors = file["times"][()], file["neighbors"][()]
    if neighbors.dtype.kind not in "iu" or neighbors.ndim != 2 or not neighbors.size:
        raise ValueError(f"neighbors are {neighbors.dtype} of shape {neighbors.shape}")
    int32 = np.iinfo(np.int32)
    if neighbors.min() < int32.min or neighbors.max() > int32.max:
        raise ValueError("neighbors has ids beyond 32 bits")
    if times.dtype.kind != "f" or times.shape != neighbors.shape[:1]:
        raise ValueError(f"times are {times.dtype} of shape {times.shape}, neighbors {neighbors.shape}")
    if not ((times >= 0) & (times <= _MOST)).all() or times.sum() * 1e9 < 1:
        raise ValueError("times are no times")
    digest = hashlib.sha256("".join(f"{name}={attributes[name]}\n" for name in sorted(attributes)).encode())
    digest.update(times.astype("<f8").tobytes())
    digest.update(neighbors.astype("<i4").tobytes())
    run = _Run(attributes, times.astype(np.float64), neighbors.astype(np.int32), digest.hexdigest())
    if run.number("count", 1) != neighbors.shape[1]:
        raise ValueError(f"count is {attributes['count']}, neighbors are {neighbors.shape}")
    return run


def _imported(path: Path, run: _Run, dataset: "Dataset") -> results.Measurement:
    n_queries, k = run.neighbors.shape
    batch = bool(run.attributes["batch_mode"])
    if n_queries > len(dataset.test):
        raise ValueError(f"it answers {n_queries} queries, {dataset.name} has {len(dataset.test)}")
    best_ns = run.number("best_search_time", 1e-9 / n_queries) * n_queries * 1e9
    runs = int(run.number("run_count", 1, default=1))
    arrays: dict[str, npt.NDArray[Any]] = {
        "neighbors": run.neighbors,
        "distances": distances_to(dataset.distance, dataset.test[:n_queries], dataset.train, run.neighbors),
    }
    if batch:
        arrays["round_wall_ns"] = np.array([best_ns])
    else:
        arrays["latencies_ns"] = np.rint(run.times[None, :] * 1e9)
    identity = {"imported": run.digest}
    threads = None if batch else 1  # of a batch as many as its machine had: not told
    record: dict[str, Any] = {
        "schema_version": results.SCHEMA_VERSION,
        "status": "ok",
        "failure": None,
        "problems": [],
        "dataset": {
            "name": dataset.name,
            "sha256": dataset.sha256,
            "distance": dataset.distance,
            "n": dataset.n,
            "rows_available": dataset.n,
            "dimension": dataset.dimension,
            "queries": n_queries,
            "queries_available": dataset.queries_available,
        },
        "k": k,
        "mode": "batch" if batch else "single",
        "threads": threads,
        "build_threads": threads,
        "rounds": 1,
        "algorithm": {
            "name": str(run.attributes["algo"]),
            "family": "",
            "library": "",
            "environment": results.IMPORTED,
            "wrapper_sha256": "",
        },
        "library_version": "",
        "library_digest": "",
        "environment_versions": {},
        "build": {},
        "query": {"name": str(run.attributes["name"])},
        "seed": 0,
        "label": results.IMPORTED,
        "preset": "",
        "time_limits": None,
        "identity": identity,
        "identity_hash": results.identity_hash(identity),
        "costs": dict.fromkeys(_COSTS)
        | {
            "build_wall_ns": round(run.number("build_time", 0, default=0) * 1e9) or None,
            # The growth of a process may be negative, which says nothing about the index.
            "index_bytes_resident": round(max(0, run.number("index_size", -1e15, 1e15, default=0)) * 1024)
            or None,
            "distance_computations": round(run.number("dist_comps", 0, 1e18, default=0) / runs) or None,
        },
        "launch_of_round": [0],
        "notes": [
            f"imported from ann-benchmarks' layout: {path}; its latencies are of the last of"
            f" {runs} passes, qps_best of the best"
        ],
        "machine": {},
        "harness": {"version": "ann-benchmarks", "commit": None, "overhead_ns_per_query": None},
        "started": datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(),
    }
    truth = metrics.Truth.of(dataset)
    record["metrics"] = metrics.compute(record, arrays, truth) | {"qps_best": n_queries / best_ns * 1e9}
    return results.Measurement(record, arrays)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
