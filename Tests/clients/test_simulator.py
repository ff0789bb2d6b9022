"""The simulator as a person uses it: the same plan gives the same run in any process, and the seeds that have failed
once stay mended."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from conftest import BINARY, ROOT

SIMULATOR = BINARY.with_name("profile-simulator")
KEPT = sorted((ROOT / "Tests/seeds").glob("*.txt"))


def simulate(*arguments, timeout=300):
    return subprocess.run([SIMULATOR, *arguments], capture_output=True, text=True, timeout=timeout)


def faults():
    """The text form of one fault of each kind."""
    return [line.removeprefix("0:") for line in simulate("--list-faults").stdout.splitlines()]


@pytest.mark.parametrize("scenario", ["local", "replicated"])
def test_a_plan_gives_the_same_trace_in_two_processes(scenario):
    for seed in ("3", "4", "5"):
        first, second = (simulate("replay", "--seed", seed, "--scenario", scenario) for _ in range(2))
        assert re.search(r"^trace [0-9a-f]+$", first.stdout, re.MULTILINE), first.stderr
        assert first.stdout == second.stdout
        assert len(first.stdout.splitlines()) > 100


def test_other_faults_give_another_trace():
    traces = {
        simulate("replay", "--seed", "3", "--steps", "1500", "--faults", faults).stdout.splitlines()[-2]
        for faults in ("", "700:kill", "700:powerCut(1)")
    }
    assert len(traces) == 3


@pytest.mark.parametrize("fault", faults())
def test_every_fault_alone_breaks_nothing(fault):
    run = simulate("replay", "--seed", "11", "--steps", "2000", "--faults", f"600:{fault},1200:{fault}")
    assert run.returncode == 0, run.stdout[-2000:]


def test_sum_of_a_run_counts_what_happened():
    run = simulate("run", "--seeds", "6", "--scenario", "local", "--json")
    total = json.loads(run.stdout)
    assert run.returncode == 0
    assert total["seeds"] == 6
    assert total["findings"] == 0
    assert total["steps"] > 6 * 2000
    assert sum(total["calls"].values()) > 100
    assert total["faults"]


def test_a_run_is_limited_in_computing_time():
    """Real time says nothing of a run on a machine that has other work."""
    endless = [SIMULATOR, "replay", "--seed", "3", "--steps", "1000000000", "--faults", ""]
    process = subprocess.Popen(endless, stdout=subprocess.DEVNULL)
    try:
        seconds = "unlimited"
        while seconds == "unlimited":
            assert process.poll() is None
            limits = Path(f"/proc/{process.pid}/limits").read_text()
            seconds = re.search(r"^Max cpu time +(\S+)", limits, re.MULTILINE)[1]
        assert 120 <= int(seconds) < 240
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["replay"],
        ["replay", "--seed", "x"],
        ["replay", "--seed", "1", "--faults", "1:fly"],
        ["run", "--seeds", "1", "--scenario", "none"],
        ["run", "--sedes", "1"],
        ["run", "--seeds"],
        ["run", "--seeds", "1", "--seeds", "2"],
        ["run", "--hours", "-1"],
    ],
)
def test_wrong_arguments_are_rejected(arguments):
    run = simulate(*arguments)
    assert run.returncode == 2
    assert "usage:" in run.stderr


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_seed_that_has_failed_stays_mended(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# "), "a kept seed says what it has found"
    program, *arguments = shlex.split(lines[-1])
    assert program == "profile-simulator"
    run = simulate(*arguments)
    assert run.returncode == 0, run.stdout[-2000:]
