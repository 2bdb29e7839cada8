"""The results layout of ann-benchmarks: written, so that its plot.py and website take our results, and read.

Its files lie at results/DATASET/K/ALGO[-batch]/*.hdf5, with `times`, `neighbors` and `distances` at the root
and everything else in attributes. It writes metrics back into the files that it draws: it gets copies, never
our originals.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt

from ann_bench import metrics, results
from ann_bench.distances import distances_to, rounding_scale
from ann_bench.errors import AnnBenchError, ResultsError

if TYPE_CHECKING:
    from ann_bench.datasets import Dataset

IMPORTED = "imported"

_READING_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError)


def write_layout(
    records: Sequence[results.Record], folder: Path, *, on_skip: Callable[[str], None]
) -> list[Path]:
    """Return the files written below `folder`/results, one for each of `records` (from `scan`) that is ok.

    ann-benchmarks holds the answers against its dataset row by row: what was measured on fewer queries than
    the dataset has is passed over, and named in one line to `on_skip`.

    `times` and `best_search_time` come from one and the same pass, the best. A repeated or impossible id gets
    distance +inf, because ann-benchmarks would count it. A label is added to the algorithm's name, and an
    underscore in a dataset's name becomes "-": the website splits names there.

    Raises
    ------
    ResultsError
        If a file cannot be read or written.
    """
    written = []
    for record in records:
        if record["status"] != "ok":
            continue
        asked, available = record["dataset"]["queries"], record["dataset"]["queries_available"]
        if asked < available:
            on_skip(
                f"passed over {record['path']}: it has {asked:,} of {available:,} queries, that layout all"
            )
            continue
        measurement = results.read(Path(record["path"]))
        dataset = results.path_part(record["dataset"]["name"]).replace("_", "-")
        algorithm = "-".join(filter(None, (record["algorithm"]["name"], record["label"])))
        part = results.path_part(algorithm) + ("-batch" if record["mode"] == "batch" else "")
        path = folder / "results" / dataset / str(record["k"]) / part / f"{record['identity_hash']}.hdf5"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, measurement, dataset, algorithm)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ResultsError(f"{path}: cannot write the export: {reason}; name another --output") from error
        written.append(path)
    return written


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
            attributes, times, neighbors = _read(path)
            key = attributes["dataset"], int(attributes["count"])
            if key not in datasets:
                datasets[key] = load(*key)
            measurements.append(_imported(path, attributes, times, neighbors, datasets[key]))
        except AnnBenchError as error:
            on_skip(f"passed over {path}: {error}")
        except _READING_ERRORS as error:
            reason = " ".join(str(error).split())[:120]
            on_skip(f"passed over {path}: not a result in ann-benchmarks' layout ({reason})")
    return measurements


def _write(path: Path, measurement: results.Measurement, dataset: str, algorithm: str) -> None:
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
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)
        file.create_dataset("times", data=best_ns / 1e9, dtype="f4")
        file.create_dataset("neighbors", data=ids, dtype="i4")
        file.create_dataset("distances", data=np.where(countable, arrays["distances"], np.inf), dtype="f4")


def _read(path: Path) -> tuple[dict[str, Any], npt.NDArray[np.float64], npt.NDArray[np.int32]]:
    with h5py.File(path, "r") as file:
        attributes = {
            name: value.decode() if isinstance(value, bytes) else value for name, value in file.attrs.items()
        }
        return attributes, file["times"][()].astype(np.float64), file["neighbors"][()].astype(np.int32)


def _imported(
    path: Path,
    attributes: dict[str, Any],
    times: npt.NDArray[np.float64],
    neighbors: npt.NDArray[np.int32],
    dataset: "Dataset",
) -> results.Measurement:
    k, batch, n_queries = int(attributes["count"]), bool(attributes["batch_mode"]), len(neighbors)
    if n_queries > len(dataset.test):
        raise ValueError(f"it answers {n_queries} queries, {dataset.name} has {len(dataset.test)}")
    truth = metrics.Truth(
        dataset.neighbors,
        dataset.distances,
        rounding_scale(dataset.distance, dataset.test, dataset.train),
        dataset.n,
    )
    best_ns = float(attributes["best_search_time"]) * n_queries * 1e9
    arrays: dict[str, npt.NDArray[Any]] = {
        "neighbors": neighbors,
        "distances": distances_to(dataset.distance, dataset.test[:n_queries], dataset.train, neighbors),
    }
    if batch:
        arrays["round_wall_ns"] = np.array([best_ns])
    else:
        arrays["latencies_ns"] = np.rint(times[None, :] * 1e9)
    content = hashlib.sha256(path.read_bytes()).hexdigest()
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
            "dimension": dataset.dimension,
            "queries": n_queries,
            "queries_available": dataset.queries_available,
        },
        "k": k,
        "mode": "batch" if batch else "single",
        "threads": 1,
        "build_threads": 1,
        "rounds": 1,
        "algorithm": {
            "name": str(attributes["algo"]),
            "family": "",
            "library": "",
            "environment": IMPORTED,
            "wrapper_sha256": "",
        },
        "library_version": "",
        "library_digest": "",
        "build": {},
        "query": {"name": str(attributes["name"])},
        "seed": 0,
        "label": IMPORTED,
        "preset": "",
        "identity": {"imported": content},
        "costs": {
            "build_wall_ns": round(float(attributes.get("build_time", 0)) * 1e9) or None,
            "index_bytes_resident": round(float(attributes.get("index_size", 0)) * 1024) or None,
            "distance_computations": _computations(attributes),
        },
        "launch_of_round": [0],
        "notes": [
            f"imported from ann-benchmarks' layout: {path}; its latencies are of the last of"
            f" {attributes.get('run_count', '?')} passes, qps_best of the best"
        ],
        "machine": {},
        "harness": {"version": "ann-benchmarks", "commit": None, "overhead_ns_per_query": None},
        "started": datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(),
    }
    record["metrics"] = metrics.compute(record, arrays, truth) | {"qps_best": n_queries / best_ns * 1e9}
    return results.Measurement(record, arrays)


def _computations(attributes: dict[str, Any]) -> int | None:
    """Return the distance computations of one pass; the attribute counts all of them."""
    total = attributes.get("dist_comps")
    return None if not total else round(float(total) / int(attributes.get("run_count", 1)))
