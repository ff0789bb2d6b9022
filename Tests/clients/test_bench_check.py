"""Benchmarks/check.py: what hot paths cost, and that more of it is found."""

import json
import sys

import pytest

from conftest import BINARY, ROOT

sys.path.insert(0, str(ROOT / "Benchmarks"))

import check  # noqa: E402

PATHS = BINARY.parent / "profile-paths"
KNOWN = json.loads(check.THRESHOLDS.read_text())
# The paths that a call of Track takes on the loop and in the state.
SHORT = ["http2-call", "track-decode", "track-apply"]


@pytest.fixture(scope="module")
def meter(tmp_path_factory):
    return check.Meter(PATHS, tmp_path_factory.mktemp("paths"))


@pytest.mark.parametrize("path", SHORT)
def test_a_path_costs_what_its_threshold_allows_and_a_twentieth_more_is_found(meter, path):
    measured, threshold = meter.measure(path), KNOWN["paths"][path]
    assert check.excess(measured, threshold, KNOWN["tolerance"]) == []
    # What the same path would have been allowed before it took 5 % more.
    before = {"instructions": measured["instructions"] / 1.05, "allocations": measured["allocations"]}
    assert len(check.excess(measured, before, KNOWN["tolerance"])) == 1


def test_every_path_has_a_threshold_and_every_threshold_a_path(meter):
    assert meter.paths() == list(KNOWN["paths"]) and len(KNOWN["paths"]) >= 10


def test_an_allocation_more_is_found():
    threshold = {"instructions": 1000, "allocations": 0}
    assert check.excess({"instructions": 1000, "allocations": 0.009}, threshold, 0.03) == []
    assert check.excess({"instructions": 1000, "allocations": 1}, threshold, 0.03) == [
        "1 allocations, at most 0.01 are allowed"
    ]


def test_a_path_without_a_threshold_fails():
    assert check.excess({"instructions": 1, "allocations": 0}, None, 0.03) == ["no threshold; record one"]


def test_an_unknown_path_is_rejected(capsys):
    with pytest.raises(SystemExit, match="2"):
        check.main(["--paths", "no-such-path", "--binary", str(PATHS)])
    assert "no-such-path" in capsys.readouterr().err
