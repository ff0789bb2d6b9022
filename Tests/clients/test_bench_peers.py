"""Benchmarks/peers: the table, the pictures and the script that measures."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / "Benchmarks/peers"))

import chart  # noqa: E402
import report  # noqa: E402

LINES = [
    "floor 1 1x1 32600 13.1",
    "track 1 1x1 8700 55",
    "floor 1 8x100 317000 2.1",
    "track 1 8x100 213000 4.5",
    "track 1 8x100 300000 4.4",
    "track 1 8x100 100000 4.9",
    "track 1000000 8x100 150000 5",
]


def rows(people=1):
    return report.rows_of(report.medians(report.read(LINES)), people)


def test_each_figure_is_the_median_of_its_rounds():
    assert rows()["8x100"]["track"] == (213000, 4.5)


def test_a_server_without_a_result_leaves_its_cell_empty():
    table = report.markdown_table(rows() | {"32x100": {"floor": (1000, 2)}})
    assert table.splitlines()[0] == "| load | C floor | Track |"
    assert table.splitlines()[-2:] == ["| 8x100 | 317,000 (2.10) | 213,000 (4.50) |", "| 32x100 | 1,000 (2.00) | - |"]


@pytest.mark.parametrize("line", ["track 1 1x1 8700", "track one 1x1 8700 55", "track 1 1x1 fast 55"])
def test_a_line_that_is_no_result_is_rejected_with_its_number(line):
    with pytest.raises(ValueError, match="line 2 .*peers.sh"):
        report.read([LINES[0], line])


def test_the_document_has_a_table_and_a_picture_for_each_number_of_people(tmp_path):
    (tmp_path / "rounds").write_text("\n".join(LINES))
    (tmp_path / "machine").write_text("Date: 2026-11-30\nNote: a: b\n")
    report.write(tmp_path / "rounds", tmp_path / "machine", tmp_path / "out")
    text = (tmp_path / "out/peers.md").read_text()
    assert "## One person" in text and "## 1,000,000 people" in text
    # The note stands before all figures.
    assert text.index("a: b") < text.index("## One person")
    for people in (1, 1000000):
        assert f"(peers-{people}.svg)" in text
        ElementTree.parse(tmp_path / f"out/peers-{people}.svg")


def bars_of(picture):
    """The bars have titles, the squares of the legend have none."""
    return [bar for bar in picture.findall("{*}rect") if bar.find("{*}title") is not None]


def test_a_bar_is_as_high_as_its_value():
    names = [("floor", "C floor"), ("track", "Track")]
    picture = ElementTree.fromstring(chart.svg("One person", names, rows()))
    bars = {bar.find("{*}title").text: float(bar.get("height")) for bar in bars_of(picture)}
    assert len(bars) == 8  # Two servers, two loads, two figures.
    floor, track = bars["C floor, 8x100: 317,000.00"], bars["Track, 8x100: 213,000.00"]
    assert floor / track == pytest.approx(317 / 213, rel=0.01)
    # Below, each factor has the same height.
    heights = [bars[f"C floor, {text}"] for text in ("1x1: 13.10", "8x100: 2.10")]
    assert heights[0] > heights[1] > 0


@pytest.mark.parametrize("maximum", [0.3, 1, 7, 99.9, 100, 355000])
def test_axes_reach_their_values_with_few_ticks(maximum):
    linear, logarithmic = chart.linear_ticks(maximum), chart.logarithmic_ticks(maximum / 40, maximum)
    assert linear[0] == 0 and linear[-1] >= maximum and 2 <= len(linear) <= 7
    assert logarithmic[0] < maximum / 40 and logarithmic[-1] >= maximum and len(logarithmic) <= 9


def test_a_figure_of_zero_has_no_bar_and_no_error():
    picture = ElementTree.fromstring(chart.svg("x", [("floor", "C floor")], {"1x1": {"floor": (0, 0)}}))
    assert bars_of(picture) == []


def test_the_script_measures_floor_and_service_and_writes_the_results(tmp_path):
    """Without the peers that need an installation of their own; every load for a moment."""
    environment = os.environ | {
        "BENCH_SERVERS": "floor track get stream batch",
        "BENCH_SHAPES": "2x10",
        "BENCH_STREAM_SHAPES": "2x10",
        "BENCH_ROUNDS": "1",
        "BENCH_SECONDS": "0.2",
        "BENCH_IDS": "1000",
        "BENCH_SERVER_CORE": str(min(os.sched_getaffinity(0))),
        "BENCH_LOAD_CORE": str(max(os.sched_getaffinity(0))),
    }
    finished = subprocess.run(
        [ROOT / "Benchmarks/peers.sh", tmp_path], env=environment, capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 0, finished.stderr
    text = (tmp_path / "peers.md").read_text()
    assert "| load | C floor | Track | GetProfile | TrackStream | TrackStream x15 |" in text
    measured = [line for line in text.splitlines() if line.startswith("| 2x10")]
    assert len(measured) == 2 and not any(" 0 (" in line or " - " in line for line in measured), measured
