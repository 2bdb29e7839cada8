"""The table in the terminal."""

import io

from rich.console import Console

from ann_bench.report.charts import make_charts
from ann_bench.report.table import rows, show
from tests.records import make_curve, make_failure, make_record


def printed(records, series="algorithm", width=80):
    """Return the table of the one chart that the records make."""
    (chart,) = make_charts(records, series)
    out = io.StringIO()
    show(chart, Console(file=out, width=width))
    return out.getvalue()


def test_rows_are_sorted_by_qps_at_095():
    """The fastest at recall 0.95 stands first, whoever is fastest elsewhere, and what stays below it last."""
    records = [
        *(make_record("early", recall=r, qps=q) for r, q in ((0.8, 9e4), (0.96, 1e3))),
        *(make_record("late", recall=r, qps=q) for r, q in ((0.8, 5e4), (0.96, 2e3))),
        make_record("never", recall=0.9, qps=1e6),
    ]
    (chart,) = make_charts(records)
    assert [row.series.algorithm for row in rows(chart)] == ["late", "early", "never"]


def test_qps_is_interpolated_between_measured_settings_and_missing_beyond_them():
    """Between two settings qps lies between theirs, at one it is its own, beyond the best there is none."""
    (chart,) = make_charts([make_record(recall=0.9, qps=8e3), make_record(recall=0.97, qps=2e3)])
    at = dict(zip((0.8, 0.9, 0.95, 0.99), rows(chart)[0].qps, strict=True))
    assert at[0.8] == at[0.9]
    assert round(at[0.9]) == 8_000
    assert 2_000 < at[0.95] < 8_000
    assert at[0.99] is None


def test_the_nearest_setting_and_its_build_time_and_size_are_shown():
    """Each recall names the measured setting nearest to it; build and index are those of the one at 0.95."""
    records = [
        make_record(recall=0.8, qps=9e3, build={"M": 8}, query={"ef": 10}, metrics={"build_s": 1.0}),
        make_record(
            recall=0.95,
            qps=3e3,
            build={"M": 16},
            query={"ef": 40},
            metrics={"build_s": 75.0, "index_bytes": 41e6},
        ),
    ]
    text = printed(records)
    assert "M 8 | 16 | 16 | –, ef 10 | 40 | 40 | –" in text  # noqa: RUF001
    assert "1.2 min" in text
    assert "41 MB" in text


def test_the_table_fits_in_80_columns():
    """With long names, many parameters and failures no line is wider than 80, and no figure is cut."""
    long = "a-library-with-a-very-long-name-hnsw"
    records = [
        make_record(
            long, recall=r, qps=123_456 * (1.1 - r), build={"M": m, "ef_construction": 200}, query={"ef": r}
        )
        for m in (8, 16)
        for r in (0.81, 0.92, 0.96, 0.995)
    ]
    text = printed([*records, make_failure(long, text="x" * 300)], "build")
    table = text[: text.index("✗")]
    assert max(len(line) for line in table.splitlines()) <= 80
    assert "41 MB" in table
    assert "…" not in table


def test_a_setting_without_recall_or_speed_breaks_nothing():
    """Records whose recall or qps is null or 0 are passed over, and a chart of nothing else has no rows."""
    empty = [make_record(recall=None), make_record(recall=0.5, qps=0.0), make_record(recall=0.6, qps=None)]
    (chart,) = make_charts(empty)
    assert rows(chart) == []
    assert "hnswlib" in printed([*empty, *make_curve("hnswlib")])


def test_markup_in_names_is_printed_as_it_is():
    """Square brackets in a label are text, not rich's markup."""
    assert "hnswlib · [red]x[/red]" in printed(make_curve("hnswlib", label="[red]x[/red]"), "label")


def test_no_control_characters_reach_the_terminal():
    """Escapes in names, parameters, versions and notes are not printed."""
    evil = "\x1b[2J"
    odd = {"label": evil, "query": {evil: evil}, "notes": [evil], "dataset": {"name": evil}}
    records = [*make_curve(evil, **odd), *make_curve(evil, **odd, version=evil, minutes=9)]
    assert "\x1b" not in printed(records)
