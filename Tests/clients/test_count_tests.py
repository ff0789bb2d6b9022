"""scripts/count_tests.sh: the sums that `make test` ends with."""

import subprocess
import sys

from conftest import ROOT

TESTS = """
import pytest

def test_passes(): pass

def test_fails(): assert False

@pytest.mark.skip
def test_is_skipped(): pass

@pytest.mark.xfail
def test_is_expected_to_fail(): assert False

@pytest.fixture
def broken(): raise ValueError

def test_has_an_error(broken): pass
"""


def counts(*logs):
    script = ROOT / "scripts" / "count_tests.sh"
    return {
        kind: int(subprocess.run([script, kind, *logs], check=True, capture_output=True, text=True).stdout)
        for kind in ("passed", "failed", "skipped", "xfailed", "errors?")
    }


def run_pytest(folder, text):
    folder.mkdir()
    (folder / "test_some.py").write_text(text)
    log = folder / "log"
    with log.open("w") as output:
        subprocess.run([sys.executable, "-m", "pytest", "-q", folder], stdout=output, cwd=folder)
    return log


def test_runs_without_failures_have_none(tmp_path):
    log = run_pytest(tmp_path / "all-pass", "def test_passes(): pass")
    assert counts(log, log) == {"passed": 2, "failed": 0, "skipped": 0, "xfailed": 0, "errors?": 0}


def test_all_runs_are_added_up(tmp_path):
    passing = run_pytest(tmp_path / "all-pass", "def test_passes(): pass")
    log = run_pytest(tmp_path / "all-kinds", TESTS)
    assert counts(passing, log) == {"passed": 2, "failed": 1, "skipped": 1, "xfailed": 1, "errors?": 1}


def test_a_run_without_a_sum_counts_for_nothing(tmp_path):
    log = tmp_path / "log"
    log.write_text("Segmentation fault\n")
    assert counts(log) == {"passed": 0, "failed": 0, "skipped": 0, "xfailed": 0, "errors?": 0}
