"""Tables: one row per measurement, the same in CSV, JSON and Parquet."""

import csv
import json

import pyarrow.parquet as pq
import pytest

from ann_bench import export
from ann_bench.errors import ResultsError
from ann_bench.metrics import METRICS
from tests.records import make_failure, make_record

RECORDS = [
    make_record("hnswlib", build={"M": 16}, query={"ef": 40}, metrics={"latency_p99_us": None}),
    make_record("faiss-ivf", build={"nlist": 256, "M": "auto"}, query={"nprobe": [1, 2]}, label='a "b", é'),
    make_failure("annoy", text="grew past 4.0 GB", build={}, query={}),
]


def test_rows_are_flat_and_alike():
    """Every row has the same keys in the same order, and no value is a list or a mapping."""
    rows = export.rows(RECORDS)
    assert len({tuple(row) for row in rows}) == 1
    assert {type(value) for row in rows for value in row.values()} <= {str, int, float, type(None)}
    assert {*METRICS, "qps_interval"} <= rows[0].keys()


def test_parameters_stand_as_json_and_one_by_one():
    """`build` and `query` hold all parameters; each also has a column, empty where a setting lacks it."""
    first, second, third = export.rows(RECORDS)
    assert (first["build"], first["query"]) == ('{"M": 16}', '{"ef": 40}')
    assert [row["build.M"] for row in (first, second, third)] == [16, "auto", None]
    assert [row["query.nprobe"] for row in (first, second, third)] == [None, "[1, 2]", None]


def test_a_failure_has_its_reason_and_no_metrics():
    """A failed setting is a row too, with why it failed."""
    row = export.rows(RECORDS)[2]
    assert (row["status"], row["failure"]) == ("failed", "memory at build: grew past 4.0 GB")
    assert {row[name] for name in METRICS} == {None}


def test_json_holds_the_rows(tmp_path):
    """The JSON file is an array of the rows, one object a line."""
    export.export(RECORDS, "json", tmp_path / "new" / "m.json")
    text = (tmp_path / "new" / "m.json").read_text(encoding="utf-8")
    assert json.loads(text) == export.rows(RECORDS)
    assert len(text.splitlines()) == len(RECORDS) + 2


def test_csv_holds_the_rows(tmp_path):
    """Read back, every field of the CSV file is the row's value as text; None is empty."""
    export.export(RECORDS, "csv", tmp_path / "m.csv")
    with (tmp_path / "m.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    expected = [
        {name: "" if value is None else str(value) for name, value in row.items()}
        for row in export.rows(RECORDS)
    ]
    assert table == expected


def test_parquet_holds_the_rows_typed(tmp_path):
    """Metrics are doubles even where none is known; a parameter of one type keeps it, of several is text."""
    export.export(RECORDS, "parquet", tmp_path / "m.parquet")
    table = pq.read_table(tmp_path / "m.parquet")
    rows = export.rows(RECORDS)
    assert table.column_names == list(rows[0])
    types = {name: str(table.schema.field(name).type) for name in table.column_names}
    assert {types[name] for name in METRICS} == {"double"}
    assert (types["k"], types["build.nlist"], types["build.M"]) == ("int64", "int64", "string")
    assert table.column("recall").to_pylist() == [row["recall"] for row in rows]
    assert table.column("build.M").to_pylist() == ["16", "auto", None]


@pytest.mark.parametrize("name", list(export.FORMATS))
def test_nothing_measured_is_an_empty_table(tmp_path, name):
    """No records make a file without rows, not an error."""
    export.export([], name, tmp_path / "empty")
    assert (tmp_path / "empty").stat().st_size > 0


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    """A folder where the file should go is an error that names it and the flag."""
    with pytest.raises(
        ResultsError, match=r"cannot write the export: Is a directory; name another with --output"
    ):
        export.export(RECORDS, "csv", tmp_path)
