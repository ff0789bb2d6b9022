"""The Debian package as a file: what is in it, what it needs, and what Debian's own tools say of it."""

import gzip
import os
import pty
import re
import select
import subprocess
import time

import pytest

from conftest import BINARY, ROOT, needs_strace, profiles_pb2_grpc, custom, get, track
from package_files import UNIT, build, field, unit_lines

# Both programs, stripped and compressed; with Foundation they would be over 100 MB.
PACKAGE_BYTES_MAX = 16 << 20
# What a Debian 12 has without any toolchain.
DEPENDENCIES = {"libc6", "libgcc-s1", "libstdc++6", "libnghttp2-14", "libprotobuf-c1", "adduser", "debconf"}
PAGES = ["man8/profiled.8", "man5/profiled.conf.5", "man1/profilectl.1"]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return build(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def content(package, tmp_path_factory):
    """The package, unpacked."""
    folder = tmp_path_factory.mktemp("content")
    subprocess.run(["dpkg-deb", "-R", package, folder], check=True)
    return folder


def test_it_needs_no_toolchain_and_is_small(package, content):
    names = {re.split(r"[ :|(]", entry.strip())[0] for entry in field(package, "Depends").split(",")}
    assert names == DEPENDENCIES
    assert package.stat().st_size < PACKAGE_BYTES_MAX
    for program in ("usr/sbin/profiled", "usr/bin/profilectl"):
        header = subprocess.run(["readelf", "-d", content / program], check=True, capture_output=True, text=True).stdout
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", header)
        assert needed and not any("swift" in name or "Foundation" in name for name in needed), needed
        # A path of the machine that built it would be searched first.
        assert not re.search(r"R(UN)?PATH.*/opt|R(UN)?PATH.*/home", header)


def test_the_same_build_gives_the_same_bytes(package, tmp_path):
    assert build(tmp_path).read_bytes() == package.read_bytes()


def test_a_changelog_of_another_version_is_rejected(tmp_path):
    with pytest.raises(AssertionError, match="is about 9.9.9-1, but profiled says 0"):
        build(tmp_path, "9.9.9-1")


def test_lintian_finds_nothing(package):
    result = subprocess.run(
        ["lintian", "--fail-on", "error,warning", "--suppress-tags", "bad-distribution-in-changes-file", package],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_unit_is_confined_and_valid(content):
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", f"--root={content}", "profiled.service"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    # What a system has, and a package alone has not.
    missing = {
        "profiled.service: Failed to create profiled.service/start: Unit sysinit.target not found.",
        "profiled.service: Command /bin/kill is not executable: No such file or directory",
    }
    assert set(verified.stderr.splitlines()) <= missing
    security = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", UNIT],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert security.returncode == 0, security.stdout[-500:]
    level = float(re.search(r"Overall exposure level for profiled.service: ([\d.]+)", security.stdout)[1])
    assert level <= 2.0


def allowed_calls():
    """The system calls of the unit's filter, as systemd-analyze resolves its groups."""

    def resolve(group):
        text = subprocess.run(
            ["systemd-analyze", "--no-pager", "syscall-filter", group], check=True, capture_output=True, text=True
        ).stdout
        names = [line.strip() for line in text.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
        found = set()
        for name in names:
            found |= resolve(name) if name.startswith("@") else {name}
        return found

    allowed = set()
    for line in unit_lines("SystemCallFilter"):
        calls = set().union(*(resolve(name) for name in line.lstrip("~").split()))
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    return allowed


@needs_strace
def test_every_system_call_of_a_run_is_in_the_filter(server, tmp_path):
    trace = tmp_path / "trace"
    server.wrapper = ("strace", "-f", "-qq", "-o", str(trace))
    stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
    who = custom()
    stub.Track(track(who))
    assert stub.GetProfile(get(who)).profile.profile_id
    assert server.get("/metrics")[0] == 200
    assert server.stop() == 0
    calls = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))
    assert {"fdatasync", "epoll_wait", "pwrite64"} <= calls
    # One that is denied fails with EPERM: the limits of files, which the unit has set already.
    assert calls - allowed_calls() <= {"setrlimit"}


@pytest.mark.parametrize("page", PAGES)
def test_the_manual_pages_are_formatted_without_a_warning(content, page):
    text = gzip.decompress((content / f"usr/share/man/{page}.gz").read_bytes()).decode()
    result = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-P-cbou"], input=text, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0 and result.stderr == "", result.stderr
    words = " ".join(result.stdout.split())
    assert page.split("/")[1].split(".")[0].upper() in words
    # What is typed must be found as it is typed: a hyphen is no dash, a quote no typographic one.
    examples = {
        "man8/profiled.8": "--operator-key-file FILE",
        "man5/profiled.conf.5": "profiled --config /etc/profiles/profiled.conf --check-config",
        "man1/profilectl.1": "profilectl list 'plan = \"gold\" AND last_seen_at > \"-30d\"'",
    }
    assert examples[page] in words


def test_the_sources_of_the_pages_are_the_tables_of_the_help(content):
    tool = BINARY.with_name("profilectl")
    for page, command in zip(
        PAGES, ([BINARY, "--help-man"], [BINARY, "--help-man-config"], [tool, "help", "--man"]), strict=True
    ):
        printed = subprocess.run(command, check=True, capture_output=True).stdout
        assert gzip.decompress((content / f"usr/share/man/{page}.gz").read_bytes()) == printed


def test_completion_is_loaded_by_bash(content):
    script = content / "usr/share/bash-completion/completions/profilectl"
    line = f"source {script}; COMP_WORDS=(profilectl he); COMP_CWORD=1; _profilectl; echo ${{COMPREPLY[@]}}"
    result = subprocess.run(["bash", "-c", line], check=True, capture_output=True, text=True)
    assert result.stdout.split() == ["health", "help"]


def test_completion_is_loaded_by_zsh(content):
    """By a terminal, as zsh completes nowhere else; the first press of the key must complete already."""
    ours, theirs = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "TERM": "dumb"}
    process = subprocess.Popen(["zsh", "-f", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    try:
        folder = content / "usr/share/zsh/vendor-completions"
        os.write(ours, f"fpath=({folder} $fpath)\nautoload -U compinit; compinit -u -D\n".encode())
        os.write(ours, b"echo loaded-$((1 + 1))\n")
        read_until(ours, "loaded-2")
        os.write(ours, b"profilectl he\t\t")
        read_until(ours, "health  help")
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def read_until(descriptor, text, seconds=30):
    """What a terminal shows until it shows a text."""
    shown, deadline = "", time.monotonic() + seconds
    while text not in shown and time.monotonic() < deadline:
        if select.select([descriptor], [], [], 0.2)[0]:
            shown += os.read(descriptor, 4096).decode(errors="replace")
    assert text in shown, shown


def test_the_configuration_is_one_that_the_server_accepts(content, tmp_path):
    keys = tmp_path / "operators"
    keys.touch(0o600)
    tool = BINARY.with_name("profilectl")
    keys.write_text(subprocess.run([tool, "key", "new"], check=True, capture_output=True, text=True).stdout)
    configuration = tmp_path / "profiled.conf"
    text = (content / "etc/profiles/profiled.conf").read_text()
    configuration.write_text(
        text.replace("/etc/profiles/operators", str(keys)).replace("/var/log/profiles", str(tmp_path))
    )
    result = subprocess.run([BINARY, "--config", configuration, "--check-config"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "data-dir = /var/lib/profiles/data" in result.stdout
    assert unit_lines("ExecStart") == ["/usr/sbin/profiled --config /etc/profiles/profiled.conf"]
    assert (ROOT / "packaging/debian/profiled.conf").read_text() == text
