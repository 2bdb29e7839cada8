"""Measurements as flat tables: one row each, for CSV, JSON and Parquet."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ann_bench.errors import ResultsError
from ann_bench.metrics import METRICS
from ann_bench.results import Record

Row = dict[str, Any]

# Columns that stand before the parameters, and behind the metrics.
_FIRST = (
    "dataset",
    "k",
    "mode",
    "threads",
    "algorithm",
    "library_version",
    "label",
    "status",
    "build",
    "query",
)


def rows(records: Sequence[Record]) -> list[Row]:
    """Return one flat row per record; all rows have the same keys in the same order.

    Parameters stand twice: `build` and `query` hold all as JSON, `build.NAME` and `query.NAME` one each.
    Metrics go by their names in `metrics.METRICS`. What a record does not have is None.
    """
    parameters = sorted(
        {f"{part}.{name}" for record in records for part in ("build", "query") for name in record[part]}
    )
    return [_row(record, parameters) for record in records]


def write_csv(records: Sequence[Record], path: Path) -> None:
    """Write `rows` as CSV with a header; None is an empty field."""
    table = rows(records)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=table[0].keys() if table else _FIRST)
        writer.writeheader()
        writer.writerows(table)


def write_json(records: Sequence[Record], path: Path) -> None:
    """Write `rows` as a JSON array of objects, one per line."""
    lines = (json.dumps(row, ensure_ascii=False) for row in rows(records))
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def write_parquet(records: Sequence[Record], path: Path) -> None:
    """Write `rows` as Parquet; metrics are doubles, a parameter of mixed types is text."""
    import pyarrow as pa
    import pyarrow.parquet

    table = rows(records)
    columns = {
        name: pa.array([row[name] for row in table], pa.float64())
        if name in METRICS
        else pa.array(_of_one_type([row[name] for row in table]))
        for name in (table[0] if table else _FIRST)
    }
    pyarrow.parquet.write_table(pa.table(columns), path)


FORMATS: dict[str, Callable[[Sequence[Record], Path], None]] = {
    "csv": write_csv,
    "json": write_json,
    "parquet": write_parquet,
}


def export(records: Sequence[Record], name: str, path: Path) -> None:
    """Write one row per record to `path` in the format `name`, one of `FORMATS`.

    Raises
    ------
    ResultsError
        If the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        FORMATS[name](records, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ResultsError(
            f"{path}: cannot write the export: {reason}; name another with --output"
        ) from error


def _row(record: Record, parameters: Sequence[str]) -> Row:
    dataset, algorithm, failure = record["dataset"], record["algorithm"], record["failure"]
    row = {
        "dataset": dataset["name"],
        **{name: record[name] for name in ("k", "mode", "threads")},
        "algorithm": algorithm["name"],
        **{name: record[name] for name in ("library_version", "label", "status")},
        **{part: json.dumps(record[part]) for part in ("build", "query")},
    }
    for column in parameters:
        part, name = column.split(".", 1)
        value = record[part].get(name)
        row[column] = json.dumps(value) if isinstance(value, list | dict) else value
    row |= {name: record["metrics"].get(name) for name in (*METRICS, "qps_interval")}
    return row | {
        "failure": failure and f"{failure['kind']} at {failure['stage']}: {failure['text']}",
        "problems": "; ".join(problem["text"] for problem in record["problems"]),
        "notes": "; ".join(record["notes"]),
        **{name: dataset.get(name) for name in ("distance", "n", "dimension", "queries")},
        "dataset_sha256": dataset["sha256"],
        **{name: algorithm.get(name) for name in ("family", "library", "environment")},
        **{name: record[name] for name in ("library_digest", "preset", "seed", "rounds", "build_threads")},
        "launches": len(set(record["launch_of_round"])),
        "cpu": record["machine"].get("cpu"),
        **{f"harness_{name}": record["harness"].get(name) for name in ("version", "commit")},
        "overhead_ns_per_query": record["harness"].get("overhead_ns_per_query"),
        **{name: record[name] for name in ("started", "identity_hash")},
        "path": record.get("path"),
    }


def _of_one_type(values: list[Any]) -> list[Any]:
    """Return the values as they are if they are of one type, or numbers; else as text."""
    types = {type(value) for value in values if value is not None}
    if types <= {int, float}:
        return [value if value is None or types == {int} else float(value) for value in values]
    return values if len(types) <= 1 else [None if value is None else str(value) for value in values]
