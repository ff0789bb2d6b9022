"""The shell lines about keys in README.md and docs/operations.md, run as they are written."""

import os
import re
import socket
import subprocess

from conftest import BINARY, ROOT

KEY = re.compile(r"pk_[a-z0-9]{16}_[A-Za-z0-9_-]{43}\n")


def block(document, heading):
    """The first block of shell lines behind a text."""
    text = (ROOT / document).read_text()
    assert text.count(heading) == 1
    return re.search(r"^```sh\n(.*?)^```$", text.split(heading)[1], re.MULTILINE | re.DOTALL).group(1)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def run(folder, lines, **variables):
    """Runs the lines in one shell that stops at the first failure, and ends the server if that is still there."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROFILES_")} | variables
    environment["PATH"] = f"{BINARY.parent}:{environment['PATH']}"
    script = f"set -e\ntrap '[ -z \"$!\" ] || kill $! 2> /dev/null || :' EXIT\n{lines}"
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_readmes_way_to_projects_and_keys(tmp_path):
    lines = block("README.md", "**Projects and keys.**")
    for documented, port in zip(("127.0.0.1:50052", "127.0.0.1:9466"), free_ports(2)):
        assert documented in lines
        lines = lines.replace(documented, f"127.0.0.1:{port}")
    for state in "created", "exists":
        # A second time beside what the first one left.
        ended = run(tmp_path, lines + "echo end of the lines\n")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert ended.stderr == ""
        said = ended.stdout
        assert f"shop: {state}\n" in said and re.search(r"event_retention_days +30\n", said)
        assert re.search(r"^stored: purchase ", said, re.MULTILINE)
        assert re.search(r"^[a-z0-9]{16} +live +read,write .*this minute.* web$", said, re.MULTILINE)
        assert said.endswith("end of the lines\n")
        assert '"message":"serving"' in (tmp_path / "keyed.log").read_text()
    for name in "operator.key", "shop.key":
        assert KEY.fullmatch((tmp_path / name).read_text())
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert "Admin/CreateProject" in (tmp_path / "audit.jsonl").read_text()


def test_the_operators_way_to_the_first_key(tmp_path):
    lines = block("docs/operations.md", "## Keys of operators")
    for documented in "/etc/profiles", "/var/log/profiles":
        assert documented in lines
        lines = lines.replace(documented, str(tmp_path))
    grpc, admin = free_ports(2)
    ended = run(
        tmp_path,
        lines,
        PROFILES_DATA_DIR=str(tmp_path / "data"),
        PROFILES_ADDRESS=f"127.0.0.1:{grpc}",
        PROFILES_LISTEN=f"127.0.0.1:{grpc}",
        PROFILES_ADMIN_LISTEN=f"127.0.0.1:{admin}",
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "stored: purchase " in ended.stdout
    assert KEY.fullmatch((tmp_path / "shop.key").read_text())
    assert "Admin/CreateKey" in (tmp_path / "audit.jsonl").read_text()


# What differs from one run of the tour to the next.
OF_A_RUN = (
    (r"\b[0-9A-HJKMNP-TV-Z]{26}\b", "ID"),
    (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME"),
    (r"\b[a-z0-9]{16}\b( +live|$| --project)", r"KEY\1"),
    (r"\bjust now\b|\b\d+ (s|min|h) ago\b", "AGO"),
    (r"\d+ per second", "RATE"),
    (r"\b\d+( of \d+)? bytes\b|digest [0-9a-f]+", "SIZE"),
    (r"  +|-{2,}", "  "),
)


def test_the_tour_is_what_the_commands_print():
    """docs/tour.md is that of this release: the same commands, with the same output but for times and generated ids."""
    environment = {**os.environ, "PROFILED": str(BINARY), "PROFILECTL": str(BINARY.parent / "profilectl")}
    ended = subprocess.run(
        [str(ROOT / "scripts/tour.sh")],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    found, documented = ended.stdout, (ROOT / "docs/tour.md").read_text()
    for pattern, name in OF_A_RUN:
        found, documented = (re.sub(pattern, name, text, flags=re.MULTILINE) for text in (found, documented))
    assert found.splitlines() == documented.splitlines()
