"""The tools of those who run the service, against the real binaries: what is checked, copied, shown and put back."""

import os
import socket
import subprocess

import pytest

from conftest import BINARY

TOOL = BINARY.parent / "profilectl"


def profiled(*flags, cwd, **variables):
    """Runs `profiled` to its end, which a check reaches by itself."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROFILES_")} | variables
    return subprocess.run(
        [str(BINARY), *map(str, flags)], cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)


# --check-config


def test_a_good_configuration_is_shown_with_its_sources_and_touches_nothing(tmp_path):
    file = tmp_path / "profiles.conf"
    file.write_text("# ours\nlog-level = debug\ndrain-seconds = 7\n")
    with socket.socket() as taken:
        # A port in use is no matter: nothing is bound.
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        checked = profiled(
            "--check-config", "--config", file, "--data-dir", tmp_path / "data", "--listen", f"127.0.0.1:{port}",
            cwd=tmp_path, PROFILES_DRAIN_SECONDS="9", PROFILES_LOOPS="2")
    assert checked.returncode == 0 and checked.stderr == ""
    assert checked.stdout.startswith("# the configuration is good\n")
    for line in (f"# command line\ndata-dir = {tmp_path}/data\n", f"# command line\nlisten = 127.0.0.1:{port}\n", "# environment\nloops = 2\n",
                 "# environment\ndrain-seconds = 9\n", f"# {file}:2\nlog-level = debug\n", "# default\nsegment-bytes = 64MiB\n"):
        assert line in checked.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["profiles.conf"]
    # What it shows is a configuration file that gives the same.
    again = tmp_path / "again.conf"
    again.write_text(checked.stdout)
    values = [line for line in checked.stdout.splitlines() if not line.startswith("#")]
    shown = profiled("--check-config", "--config", again, cwd=tmp_path).stdout.splitlines()
    assert [line for line in shown if not line.startswith("#")] == values


@pytest.mark.parametrize("flags,variables,lines,expected", [
    (["--nonsense", "1"], {}, None, "command line: --nonsense: unknown setting"),
    ([], {}, "log-levle = info", "p.conf:1: log-levle: unknown setting"),
    ([], {}, "loops = 1\nloops = 2", "p.conf:2: loops: given twice"),
    ([], {"PROFILES_LOOPS": "0"}, None, 'environment: PROFILES_LOOPS: found "0"; allowed: 1...64'),
    (["--loops", "2"], {"PROFILES_LOOPS": "many"}, None, 'environment: PROFILES_LOOPS: found "many"'),
    (["--listen", "0.0.0.0:1"], {}, None, "command line: --listen: not on loopback"),
    (["--config", "missing.conf"], {}, None, "missing.conf: config: cannot be read"),
])
def test_a_wrong_configuration_is_named_with_its_place(tmp_path, flags, variables, lines, expected):
    if lines is not None:
        (tmp_path / "p.conf").write_text(lines + "\n")
        flags = ["--config", "p.conf", *flags]
    before = sorted(tmp_path.iterdir())
    checked = profiled("--check-config", *flags, cwd=tmp_path, **variables)
    assert checked.returncode == 2 and checked.stdout == ""
    assert checked.stderr.startswith(f"profiled: {expected}") and checked.stderr.count("\n") == 1, checked.stderr
    assert sorted(tmp_path.iterdir()) == before
