"""Starts that must be rejected (F12): a clear message, an exit code, and no change of the directory."""

import hashlib
import os
import shutil
import signal
import stat
import struct
import subprocess

import pytest

from conftest import BINARY, Server, custom, get, profiles_pb2_grpc, track, wait_until
from profiles.v1 import admin_pb2, admin_pb2_grpc
from test_lifecycle import crc32c

REJECTED, LOCKED, UNEXPECTED = 3, 4, 1
SEGMENT_BYTES = 1 << 20


def fingerprint(folder):
    """Names, sizes, modes, times and bytes of all files, and the directory's own time."""

    def of(path):
        status = path.stat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(status.st_mode) else ""
        return status.st_size, status.st_mode, status.st_mtime_ns, content

    return {path.name: of(path) for path in [folder, *sorted(folder.rglob("*"))]}


def stub_of(server):
    return profiles_pb2_grpc.ProfilesStub(server.channel())


def snapshot(server):
    admin_pb2_grpc.AdminStub(server.channel()).CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=60)


def write_and_kill(data, snapshots):
    """Several starts with writes, each ended by a kill, so that each leaves a segment."""
    for _ in range(4):
        server = Server(data, "--segment-bytes", "1MiB").start()
        stub = stub_of(server)
        for _ in range(20):
            stub.Track(track(custom()))
        for _ in range(snapshots):
            stub.Track(track(custom()))
            snapshot(server)
            stub.Track(track(custom()))
        server.stop(signal.SIGKILL)
    return data


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    """Directories to copy: two with only a log, two with snapshots."""
    folder = tmp_path_factory.mktemp("templates")
    return {
        name: write_and_kill(folder / name, snapshots=name.startswith("snapshots"))
        for name in ("log", "log-other", "snapshots", "snapshots-other")
    }


@pytest.fixture
def copy(templates, tmp_path):
    def of(name):
        return shutil.copytree(templates[name], tmp_path / "data")

    return of


def ends(server):
    """The exit code of a server that must exit on its own."""
    try:
        return server.process.wait(60)
    except subprocess.TimeoutExpired:
        server.stop(signal.SIGKILL)
        return None


def rejected(data, code, *texts, wrapper=()):
    """Starts on `data`; it must exit with `code`, log all `texts` in one line, and change nothing."""
    before = fingerprint(data)
    server = Server(data, "--segment-bytes", "1MiB", wrapper=wrapper).start(wait=False)
    assert ends(server) == code, server.lines[-3:]
    assert wait_until(lambda: any(all(text in line for text in texts) for line in server.lines)), server.lines[-3:]
    assert fingerprint(data) == before
    # And again, as a supervisor would.
    assert ends(Server(data, wrapper=wrapper).start(wait=False)) == code
    assert fingerprint(data) == before


def segments(data):
    return sorted(data.glob("*.log"))


def snapshots(data):
    return sorted(data.glob("*.snapshot"))


def rewrite_header(path, checksum_at, version=None, directory=None):
    """Writes another version or directory id to a header, with a correct checksum."""
    data = bytearray(path.read_bytes())
    if version:
        data[8:12] = struct.pack("<I", version)
    if directory:
        data[16:32] = directory
    data[checksum_at : checksum_at + 4] = struct.pack("<I", crc32c(bytes(data[:checksum_at])))
    path.write_bytes(data)


def test_F12_L14_second_process_is_rejected(copy):
    data = copy("snapshots")
    first = Server(data, "--segment-bytes", "1MiB").start()
    # The spare segment is filled in the background.
    spare = data / "next.tmp"
    assert wait_until(lambda: spare.exists() and spare.stat().st_size == SEGMENT_BYTES)
    rejected(data, LOCKED, "data directory locked", "is held by another process")
    stub_of(first).Track(track(custom()))
    assert first.stop() == 0


def test_L14_files_are_their_owners_alone(copy):
    data = copy("snapshots")
    assert Server(data).start().stop() == 0
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    files = [path for path in data.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((data / "feed").stat().st_mode) == 0o700


@pytest.mark.parametrize("index", [0, 1, -1])
def test_F12_L15_segment_of_a_newer_format_is_rejected(copy, index):
    data = copy("log")
    rewrite_header(segments(data)[index], 60, version=2)
    rejected(data, REJECTED, "data refused", segments(data)[index].name, "format 2, this release reads up to 1")


def test_F12_L15_snapshot_of_a_newer_format_is_rejected_and_the_older_one_not_taken(copy):
    data = copy("snapshots")
    newest = snapshots(data)[-1]
    rewrite_header(newest, 76, version=2)
    rejected(data, REJECTED, "data refused", newest.name, "format 2, this release reads up to 1")


@pytest.mark.parametrize("index", [1, -1])
def test_F12_L3_foreign_segment_is_rejected(copy, templates, index):
    data = copy("log")
    shutil.copy2(segments(templates["log-other"])[index], segments(data)[index])
    rejected(data, REJECTED, "data refused", segments(data)[index].name, "belongs to another data directory")


def test_F12_L3_foreign_snapshot_is_rejected(copy, templates):
    data = copy("snapshots")
    shutil.copy2(snapshots(templates["snapshots-other"])[-1], data / "00000000ffffffff.snapshot")
    rejected(data, REJECTED, "data refused", "snapshot", "belongs to another data directory")


@pytest.mark.parametrize("index", [1, -2])
def test_F12_L12_missing_middle_segment_is_rejected(copy, index):
    data = copy("log")
    assert len(segments(data)) >= 4
    segments(data)[index].unlink()
    rejected(data, REJECTED, "data refused", "missing")


def test_F12_L12_hole_between_snapshot_and_log_is_rejected(copy):
    data = copy("snapshots")
    for path in segments(data)[:-1]:
        path.unlink()
    rejected(data, REJECTED, "data refused")


def test_F12_L12_snapshots_without_any_log_are_rejected(copy):
    data = copy("snapshots")
    for path in segments(data):
        path.unlink()
    rejected(data, REJECTED, "data refused", "the log does not continue behind")


def test_F12_L12_log_without_its_beginning_and_no_snapshot_is_rejected(copy):
    data = copy("log")
    segments(data)[0].unlink()
    rejected(data, REJECTED, "data refused", "missing")


def test_F12_directory_with_only_a_lock_file_starts_afresh(tmp_path):
    """The remains of a crash before the first segment: there is no data to lose."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "LOCK").touch()
    server = Server(data).start()
    who = custom()
    stub_of(server).Track(track(who))
    assert stub_of(server).GetProfile(get(who)).profile.revision == 1
    assert server.stop() == 0


def test_F12_data_directory_that_is_a_file_is_rejected(tmp_path):
    file = tmp_path / "data"
    file.write_bytes(b"something of somebody")
    before = file.stat().st_mtime_ns
    server = Server(file).start(wait=False)
    assert ends(server) == UNEXPECTED
    assert wait_until(lambda: any("Not a directory" in line for line in server.lines)), server.lines
    assert file.read_bytes() == b"something of somebody" and file.stat().st_mtime_ns == before


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="another user is needed to be shut out")
@pytest.mark.parametrize("mode", [0o700, 0o500])
def test_F12_directory_of_another_user_is_rejected(templates, tmp_path, mode):
    # Below a path that the other user may traverse.
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    data = shutil.copytree(templates["snapshots"], tmp_path / "data")
    data.chmod(mode)
    binary = shutil.copy2(BINARY, tmp_path / "profiled")
    assert os.access(binary, os.X_OK)
    wrapper = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    rejected(data, UNEXPECTED, "data cannot be read or written", "Permission denied", wrapper=wrapper)
