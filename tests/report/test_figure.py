"""What a figure holds: curves, points, intervals, scales, names and footnotes."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_hex

from ann_bench.errors import UsageError
from ann_bench.report.captions import versions
from ann_bench.report.charts import make_charts
from ann_bench.report.figure import draw, save
from ann_bench.report.style import KNOWN, drawing, style
from tests.records import make_curve, make_failure, make_record


def figure(records, series="algorithm", **options):
    """Return the figure of the one chart that the records make."""
    (chart,) = make_charts(records, series)
    return draw(chart, **options)


def curves(drawn):
    """Return the labelled lines of a figure's axes by label."""
    return {
        line.get_label(): line for line in drawn.axes[0].get_lines() if not line.get_label().startswith("_")
    }


def curves_on(axes):
    """Return the names of the labelled lines of one panel, in the order they were drawn."""
    return [line.get_label() for line in axes.get_lines() if not line.get_label().startswith("_")]


def texts(drawn):
    """Return the lines around the axes."""
    return [text.get_text().replace("\N{NO-BREAK SPACE}", " ") for text in drawn.texts]


def overlaps(drawn):
    """Return pairs of texts on the figure that touch, and texts that leave it."""
    ticks = [t for axes in drawn.axes for t in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    names = [label for axes in drawn.axes for label in (axes.xaxis.label, axes.yaxis.label)]
    labels = [*drawn.texts, *names, *ticks]
    with drawing():
        drawn.canvas.draw()
        renderer = drawn.canvas.get_renderer()
        boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in labels if t.get_text()]
    outside = [
        t
        for t, box in boxes
        if box.x0 < -1 or box.y0 < -1 or not drawn.bbox.padded(1).contains(box.x1, box.y1)
    ]
    touching = [
        (a, b)
        for (a, at), (b, bt) in itertools.combinations(boxes, 2)
        if at.padded(-1.5).overlaps(bt.padded(-1.5))
    ]
    return outside + touching


def test_a_curve_is_the_frontier_of_its_algorithm():
    """A line passes through the settings that no other of the algorithm beats, in order of recall."""
    beaten = make_record("hnswlib", recall=0.85, qps=1_000.0)
    lines = curves(figure([*make_curve("hnswlib", (0.9, 0.99, 0.7)), beaten, *make_curve("annoy")]))
    assert set(lines) == {"hnswlib", "annoy"}
    assert list(lines["hnswlib"].get_xdata()) == [0.7, 0.9, 0.99]
    assert np.allclose(lines["hnswlib"].get_ydata(), [32_000, 12_000, 3_000])


def test_raw_adds_the_points_off_the_frontier():
    """With raw the settings that are beaten are there too, without a line; otherwise they are not."""
    records = [*make_curve("hnswlib"), make_record("hnswlib", recall=0.85, qps=1_000.0)]
    (label,) = curves(figure(records, raw=True)).keys() - curves(figure(records)).keys()
    extra = curves(figure(records, raw=True))[label]
    assert list(extra.get_xdata()) == [0.85]
    assert extra.get_linestyle() == "None"


def test_an_axis_where_less_is_better_has_the_frontier_of_the_other_side():
    """Of two settings of equal recall the one with the smaller p99 is on the frontier."""
    records = [
        make_record(recall=0.9, query={"ef": p99}, metrics={"latency_p99_us": p99}) for p99 in (50.0, 90.0)
    ]
    assert list(curves(figure(records, y="latency_p99_us"))["hnswlib"].get_ydata()) == [50.0]


def test_intervals_are_drawn_as_bars_from_low_to_high():
    """A setting with qps_low and qps_high has a bar that spans them."""
    drawn = figure([make_record(recall=0.9, qps=100.0, metrics={"qps_low": 80.0, "qps_high": 130.0})])
    (bar,) = drawn.axes[0].collections[0].get_segments()
    assert np.allclose(bar[:, 1], [80, 130])
    assert any("bars: 95 % intervals, within launch" in text for text in texts(drawn))


def test_colours_do_not_depend_on_what_else_is_drawn():
    """An algorithm keeps colour and marker when others come to the chart."""
    alone = curves(figure(make_curve("annoy")))["annoy"]
    names = ("aaa", "annoy", "hnswlib", "faiss-ivf", "my-own")
    among = curves(figure([r for name in names for r in make_curve(name)]))["annoy"]
    assert (alone.get_color(), alone.get_marker()) == (among.get_color(), among.get_marker())


def test_the_known_algorithms_all_look_different_and_the_first_ones_as_ever():
    """No two names of the table share colour and marker; published charts fix the look of the first three."""
    looks = [(style(name).colour, style(name).marker) for name in KNOWN]
    assert len(set(looks)) == len(KNOWN) >= 40
    assert looks[:3] == [("#D55E00", "o"), ("#0072B2", "s"), ("#E69F00", "^")]


def test_an_unknown_algorithm_never_looks_like_a_known_one():
    """A name outside the table gets a broken line, all known ones have a solid line."""
    assert {style(name).line for name in KNOWN} == {"-"}
    assert all(style(f"own-{i}").line != "-" for i in range(50))


def test_names_are_dark_enough_to_read():
    """The ink of every label has a contrast of at least 4.5 with white."""
    for name, variant in itertools.product(KNOWN, range(3)):
        r, g, b = (int(style(name, variant).ink[i : i + 2], 16) / 255 for i in (1, 3, 5))
        assert 1.05 / (0.2126 * r**2.2 + 0.7152 * g**2.2 + 0.0722 * b**2.2 + 0.05) > 4.3, name


def test_versions_of_one_algorithm_keep_its_colours_family_and_differ_in_line():
    """With series=version both versions are drawn and named; the older looks as it did alone."""
    old, new = make_curve("hnswlib", version="1.0"), make_curve("hnswlib", version="1.1", minutes=9)
    lines = curves(figure([*new, *old], "version"))
    assert set(lines) == {"hnswlib 1.0", "hnswlib 1.1"}
    assert lines["hnswlib 1.0"].get_color() == to_hex(style("hnswlib").colour).upper()
    assert lines["hnswlib 1.0"].get_linestyle() != lines["hnswlib 1.1"].get_linestyle()


def test_the_newest_version_of_a_setting_is_drawn_and_the_older_named():
    """By default a setting measured twice counts once, with its newest version, and a note says which."""
    old = make_curve("hnswlib", version="1.0")
    new = [
        record | {"metrics": record["metrics"] | {"qps": 5.0}}
        for record in make_curve("hnswlib", version="1.1", minutes=9)
    ]
    drawn = figure([*new, *old])
    assert set(curves(drawn)["hnswlib"].get_ydata()) == {5.0}
    assert "hnswlib: 1.1; older and not drawn: 1.0" in texts(drawn)


def test_a_mixture_of_versions_is_told():
    """Where the newest version covers some settings only, the note counts those of each version."""
    old, new = make_curve("hnswlib", version="1.0"), make_curve("hnswlib", (0.9,), version="1.1", minutes=9)
    assert "hnswlib: the newest of each setting, 1.0 (2 settings) and 1.1 (1 setting)" in texts(
        figure([*old, *new])
    )


def test_builds_are_named_by_the_parameters_that_differ():
    """With series=build a curve is named by the parameters that tell it from others, in their order."""
    records = [r for m in (16, 8) for r in make_curve("hnswlib", build={"M": m, "ef_construction": 200})]
    assert list(curves(figure(records, "build"))) == ["hnswlib M=8", "hnswlib M=16"]


def test_failed_settings_are_named_with_their_reason():
    """Beneath the chart stands who failed, how, where and why; what exceeds three reasons is counted."""
    failed = [make_failure("faiss-hnsw", build={"M": 96}, query={"efSearch": 10})]
    drawn = figure([*make_curve("annoy"), *failed])
    assert "✗ faiss-hnsw M=96 efSearch=10: out of memory in build, “grew past 4.0 GB”" in texts(drawn)
    many = [make_failure(f"own-{i}", "signal", "SIGSEGV", query={"n": n}) for i in range(5) for n in range(2)]
    lines = texts(figure([*make_curve("annoy"), *many]))
    assert sum(line.startswith("✗") for line in lines) == 3
    assert "✗ own-0 (2 settings): crashed in build, “SIGSEGV”" in lines
    assert "… and 4 more failed" in lines


def test_title_and_footer_tell_what_was_measured_where():
    """Dataset, shape, k, queries, mode, threads stand above; processor, date, versions, overhead beneath."""
    lines = texts(figure(make_curve("annoy", dataset={"queries": 500, "queries_available": 1_000})))
    assert "glove-4-angular" in lines
    shape = "25,000 × 4 · angular · k = 10"  # noqa: RUF001
    assert f"{shape} · 500 of 1,000 queries · one query at a time · 1 thread" in lines
    footer = " ".join(lines)
    for part in (
        "Testcore 9000 @ 3.00GHz",
        "2026-11-01",
        "ann_bench 0.1.0 (0123456)",
        "180 ns per query",
        "annoy 1.0.0",
    ):
        assert part in footer


def test_notes_of_settings_are_told():
    """A note of a record stands beneath the chart with the number of settings."""
    records = make_curve("annoy", notes=["answers differ from round to round"])
    assert "3 settings: answers differ from round to round" in texts(figure(records))


def test_settings_with_fewer_queries_are_told():
    """What was too slow for all queries is named with the fewest it had; the chart is that of all queries."""
    slow = make_record("sklearn-brute", recall=1.0, dataset={"queries": 250, "sha256": "1"})
    fast = make_curve("annoy", dataset={"sha256": "1"})
    for record in (slow, *fast):
        record["identity"]["queries"] = 1_000
    (chart,) = make_charts([slow, *fast])
    assert chart.name == "glove-4-angular-k10"
    drawn = texts(draw(chart))
    assert "asked fewer queries, as all would take too long (the fewest): sklearn-brute 250" in drawn
    assert any("1,000 queries" in text for text in drawn)


def test_recall_axis_stretches_towards_1_and_has_a_place_for_1():
    """0.9, 0.99 and 0.999 are equally far apart, 1.0 lies beyond at a finite place, and the ticks say so."""
    drawn = figure([*make_curve("hnswlib", (0.5, 0.9, 0.99, 0.9995)), make_record("bruteforce", recall=1.0)])
    axes = drawn.axes[0]
    places = [axes.transData.transform((share, 1e4))[0] for share in (0.9, 0.99, 0.999, 1.0)]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1])
    assert places[2] < places[3] < axes.bbox.x1
    assert {"0.5", "0.8", "0.9", "0.95", "0.99", "0.999", "1"} <= {
        t.get_text() for t in axes.get_xticklabels()
    }


@pytest.mark.parametrize("scale", ["auto", "logit", "linear", "symlog", "a3"])
def test_recall_0_and_1_are_kept_where_the_scale_has_a_place_for_them(scale):
    """Perfect and useless settings stay on the chart, inside the axes, and the place of 1 is that of 1."""
    drawn = figure([make_record(recall=r, qps=100.0 / (0.1 + r)) for r in (0.0, 0.6, 1.0)], x_scale=scale)
    axes = drawn.axes[0]
    line = curves(drawn)["hnswlib"]
    assert list(line.get_xdata()) == [0.0, 0.6, 1.0]
    assert all(axes.bbox.contains(*point) for point in axes.transData.transform(line.get_xydata()))
    assert axes.transData.inverted().transform(axes.transData.transform((1.0, 50)))[0] == pytest.approx(1.0)


def test_values_without_a_place_on_a_log_axis_are_counted_beneath():
    """On a log axis qps 0 or null and recall 0 are left out, and their number is told."""
    odd = [make_record(recall=0.8, qps=0.0), make_record(recall=0.75, qps=None), make_record(recall=0.0)]
    drawn = figure([*make_curve("hnswlib"), *odd], x_scale="log")
    assert min(curves(drawn)["hnswlib"].get_xdata()) == 0.7
    assert "3 settings not drawn, recall or queries per second unknown or off the scale" in texts(drawn)


def test_a_chart_of_failures_alone_is_drawn():
    """Where every setting failed there is a picture that says so."""
    assert any("out of memory" in line for line in texts(figure([make_failure("annoy")])))


@pytest.mark.parametrize("scale", ["cubic", "a", "a-1", "a0", ""])
def test_an_unknown_scale_is_refused(scale):
    """The message names the flag and the scales there are."""
    with pytest.raises(
        UsageError, match=r"^--y-scale: got '.*'; it is auto, linear, log, symlog, logit, or aN"
    ):
        figure(make_curve("annoy"), y_scale=scale)


def test_a_crowd_gets_the_leaders_first_and_then_a_panel_for_each_family():
    """Beyond 14 curves the fastest share axes; each is named in its family's panel, at most 10 in one."""
    families = {"graph": 12, "tree": 3, "": 1}
    records = [
        make_record(f"{family or 'own'}-{i}", recall=0.9, qps=1e3 * (i + 1) / (1 + len(family)))
        for family, count in families.items()
        for i in range(count)
    ]
    for record in records:
        record["algorithm"]["family"] = record["algorithm"]["name"].split("-")[0].replace("own", "")
    drawn = figure(records)
    titles = [text for text in texts(drawn) if " of " in f" {text}" or text == "trees"]
    assert titles == [
        "the first 12 of 16 at recall 0.9",
        "graphs, 1 to 6 of 12",
        "graphs, 7 to 12 of 12",
        "of no known family",
        "trees",
    ]
    named = [curves_on(axes) for axes in drawn.axes]
    assert [len(panel) for panel in named] == [12, 6, 6, 1, 3]
    assert named[1][0] == "graph-11"
    assert sorted(itertools.chain(*named[1:])) == sorted(record["algorithm"]["name"] for record in records)


def test_few_curves_share_one_pair_of_axes():
    """Up to 14 curves there is one panel, without a title."""
    assert len(figure([make_record(f"own-{i}") for i in range(14)]).axes) == 1


def test_a_crowd_is_drawn_along_any_metric():
    """Without recall along x the leaders are those with the best y, here the shortest build."""
    records = [make_record(f"own-{i}", metrics={"build_s": 20.0 - i}) for i in range(16)]
    drawn = figure(records, x="index_bytes", y="build_s")
    assert curves_on(drawn.axes[0])[0] == "own-15"
    assert "the first 12 of 16" in texts(drawn)


@pytest.mark.parametrize("width", ["page", "column"])
@pytest.mark.parametrize("many", [1, 10, 40])
def test_no_text_touches_another_or_leaves_the_picture(width, many):
    """With few and with many curves that end close together, titles, ticks, names and notes keep apart."""
    records = [
        r
        for i, name in enumerate(KNOWN[:many])
        for r in make_curve(name, (0.4, 0.9, 0.97 + i / 2000, 0.9999))
    ]
    records += [
        make_failure(f"own-{i}", text="a long reason " * 9, query={"search": "x" * 99}) for i in range(9)
    ]
    assert overlaps(figure([*records, make_record("bruteforce", recall=1.0)], width=width)) == []


def test_text_from_records_is_drawn_as_it_is(tmp_path):
    """Dollars, backslashes, percent signs, control characters and other scripts break no format."""
    odd = r"$x^{ \frac %s _a & <b>" + "\n\t\x00 日本 🙂"
    records = make_curve("annoy", label=odd, dataset={"name": odd}, notes=[odd], machine={"cpu": odd})
    drawn = figure(
        [*records, make_failure(odd, text=odd, query={"$": odd}, dataset={"name": odd})], "label", title=odd
    )
    assert any(r"$x^{ \frac %s _a & <b> 日本 🙂" in text for text in texts(drawn))
    for name in ("a.png", "a.svg", "a.pdf"):
        save(drawn, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1_000


def test_the_same_records_give_the_same_svg(tmp_path):
    """An SVG can be kept in version control: drawn again it does not change."""
    for name in ("a.svg", "b.svg"):
        save(figure(make_curve("annoy")), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_charts_are_kept_apart_by_content_k_mode_and_threads():
    """Other queries, k, modes and thread counts are other charts, whose names tell them apart."""
    records = [
        make_record(),
        make_record(k=100),
        make_record(mode="batch"),
        make_record(threads=4),
        make_record(dataset={"n": 5_000, "rows_available": 25_000}),
        make_record(dataset={"queries": 50}),
        make_record(dataset={"sha256": "abcdef0123"}),
        make_record(dataset={"sha256": "fedcba0123"}),
    ]
    names = [chart.name for chart in make_charts(records)]
    assert len(set(names)) == len(records)
    stem = "glove-4-angular"
    assert {
        f"{stem}-k10-n5000",
        f"{stem}-k10-q50",
        f"{stem}-k10-t4",
        f"{stem}-k100",
        f"{stem}-k10-batch",
    } < set(names)


def test_what_was_imported_is_a_series_of_its_own_and_leaves_ours_as_it_was():
    """Imported runs, even older ones, never join our curve, whatever makes a series; ours keeps its look."""
    ours = make_curve("annoy", minutes=5)
    theirs = make_curve("annoy", label="imported", version="")
    for series, name in (("algorithm", "annoy"), ("version", "annoy 1.0.0"), ("build", "annoy")):
        lines = curves(figure([*theirs, *ours], series))
        assert set(lines) == {name, "annoy · imported"}
        assert lines[name].get_linestyle() == curves(figure(ours))["annoy"].get_linestyle()


def test_a_library_whose_version_is_unknown_is_not_among_the_versions():
    """Of imported runs no version is known: beneath the figure stand the others' alone."""
    records = [*make_curve("annoy", label="imported", version=""), *make_curve("hnswlib")]
    (chart,) = make_charts(records)
    assert [text.replace("\N{NO-BREAK SPACE}", " ") for text in versions(chart)] == ["hnswlib 1.0.0"]


def test_settings_of_several_processors_are_told_apart_in_a_note():
    """Two processors in one folder are named with what each measured; one, or an imported one, is not."""
    first, other = make_curve("annoy"), make_curve("hnswlib", machine={"cpu": "Other 1"})
    note = (
        "measured on different processors, whose speeds do not compare:"
        " Testcore 9000 @ 3.00GHz (3 settings), Other 1 (3 settings)"
    )
    assert note in make_charts([*first, *other])[0].notes
    assert make_charts(first)[0].notes == ()
    assert make_charts([*first, *make_curve("annoy", label="imported", machine={})])[0].notes == ()


def test_an_unknown_number_of_threads_makes_a_chart_of_its_own():
    """Batches of another benchmark do not tell their threads: they have a chart that says so."""
    charts = make_charts(
        [*make_curve("annoy", mode="batch"), *make_curve("annoy", mode="batch", threads=None)]
    )
    assert [chart.name for chart in charts] == [
        "glove-4-angular-k10-batch",
        "glove-4-angular-k10-batch-t-unknown",
    ]
    assert any("threads unknown" in text for text in texts(draw(charts[1])))
