"""pytest.ini: directories of tests that passed are not kept, as all of them together fill a disk."""

import os
import subprocess
import sys

from conftest import ROOT

TESTS = """
def test_passes(tmp_path):
    (tmp_path / "content").touch()

def test_fails(tmp_path):
    (tmp_path / "content").touch()
    assert False
"""


def test_directories_of_passed_tests_go_and_those_of_failed_ones_stay(tmp_path):
    tests = tmp_path / "test_some.py"
    tests.write_text(TESTS)
    configuration = ROOT / "Tests" / "clients" / "pytest.ini"
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", configuration, tests],
        env=os.environ | {"PYTEST_DEBUG_TEMPROOT": str(tmp_path)},
        stdout=subprocess.DEVNULL,
    )
    # Names that pytest links to its newest directories count once.
    assert {path.resolve().parent.name for path in tmp_path.rglob("content")} == {"test_fails0"}
