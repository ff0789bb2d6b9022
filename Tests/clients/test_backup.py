"""Snapshots and backups of a running server, against the real binaries."""

import json
import os
import shutil
import signal
import subprocess
import threading

import grpc
import pytest

from conftest import Failure, Server, custom, event, fails, get, profiles_pb2, profiles_pb2_grpc, track, wait_until
from operator_tools import TOOL, Journal, admin_stub, backups, ctl, fill, fill_much, verified
from profiles.v1 import admin_pb2


def test_a_backup_contains_everything_acknowledged_before_it(server, tmp_path):
    """A backup under load, kill -9, a restore elsewhere, and a server on it."""
    server.start()
    names = fill(server)
    writers = [Journal(server) for _ in range(6)]
    assert wait_until(lambda: all(writer.acknowledged > 20 for writer in writers))
    # Two backups, so that the snapshot of the second removes the files that the first was made from.
    acknowledged = {}
    for number in (1, 2):
        acknowledged[number] = [writer.acknowledged for writer in writers]
        result = ctl("backup", tmp_path / f"backup-{number}", server=server)
        assert result.returncode == 0 and "verified" in result.stdout, result.stderr
    assert any(writer.acknowledged > before for writer, before in zip(writers, acknowledged[2])), (
        "there were no concurrent writes"
    )
    for writer in writers:
        writer.stop.set()
    for writer in writers:
        writer.thread.join(30)
    still = ctl("backup", tmp_path / "still", server=server)
    assert still.returncode == 0
    server.stop(signal.SIGKILL)
    for number in (1, 2):
        folder = tmp_path / f"backup-{number}"
        assert folder.stat().st_mode & 0o777 == 0o700 and {
            path.stat().st_mode & 0o777 for path in folder.iterdir()
        } == {0o600}
        code, found, verdict = verified(folder)
        assert code == 0, found
        restored = ctl("--json", "restore", folder, tmp_path / f"restored-{number}")
        assert restored.returncode == 0 and json.loads(restored.stdout)["digest"] == verdict["digest"]
        second = Server(tmp_path / f"restored-{number}").start()
        stub = profiles_pb2_grpc.ProfilesStub(second.channel())
        for writer, least in zip(writers, acknowledged[number]):
            writer.check(stub, least)
        assert all(stub.GetProfile(get(custom(name))).profile.custom_id == name for name in names)
        # The log continues where the backup ended, and later writes survive a restart.
        stub.Track(track(custom("after"), event()))
        second.stop(signal.SIGKILL)
        assert (
            profiles_pb2_grpc.ProfilesStub(second.start().channel()).GetProfile(get(custom("after"))).profile.custom_id
            == "after"
        )
        assert second.stop() == 0
    # Nothing was written after the last backup, so it has the same state as its source.
    _, _, source = verified(server.data_dir)
    _, _, copy = verified(tmp_path / "still")
    assert (source["lsn"], source["digest"]) == (copy["lsn"], copy["digest"])
    assert (
        ctl("dump", server.data_dir, "--events", "--ledger").stdout
        == ctl("dump", tmp_path / "still", "--events", "--ledger").stdout
    )


def test_a_server_starts_directly_on_a_backup(server, tmp_path):
    server.start()
    names = fill(server, 5)
    progress = backups(server, tmp_path / "deep" / "backup")
    assert server.stop() == 0
    assert (
        progress[-1].bytes_done
        == progress[-1].bytes_total
        == sum(path.stat().st_size for path in (tmp_path / "deep/backup").iterdir())
    )
    assert len({one.lsn for one in progress}) == 1 and all(
        a.bytes_done <= b.bytes_done for a, b in zip(progress, progress[1:])
    )
    second = Server(tmp_path / "deep" / "backup").start()
    stub = profiles_pb2_grpc.ProfilesStub(second.channel())
    assert all(stub.GetProfile(get(custom(name))).profile.custom_id == name for name in names)
    assert second.stop() == 0


def backup_fails(server, destination):
    request = admin_pb2.BackupRequest(destination=str(destination))
    return fails(lambda request, **options: list(admin_stub(server).Backup(request, **options)), request)


def test_a_backup_needs_a_missing_or_empty_destination(server, tmp_path):
    server.start()
    fill(server, 2)
    full, file, elsewhere, link = tmp_path / "full", tmp_path / "file", tmp_path / "elsewhere", tmp_path / "link"
    way = tmp_path / "way"
    way.symlink_to(server.data_dir)
    full.mkdir()
    (full / "mine").write_text("keep")
    file.write_text("keep")
    elsewhere.mkdir()
    link.symlink_to(elsewhere)
    for destination, said in (
        (full, "not an empty directory"),
        (server.data_dir, "not an empty directory"),
        (file, "failed: Not a directory (errno 20)"),
        (link, "failed: "),
        (server.data_dir / "b.tmp", "in the data directory"),
        (way / "new" / "b", "in the data directory"),
        ("data/relative", "not an absolute path"),
        ("", "not an absolute path"),
        ("/tmp/a\nb", "control character"),
    ):
        failure = backup_fails(server, destination)
        assert failure.code == grpc.StatusCode.INVALID_ARGUMENT and said in failure.violations["destination"], (
            destination
        )
    assert not {"b.tmp", "new"} & {path.name for path in server.data_dir.iterdir()}
    assert (
        [path.name for path in full.iterdir()] == ["mine"]
        and file.read_text() == "keep"
        and not list(elsewhere.iterdir())
    )
    rejected = ctl("backup", full, server=server)
    assert rejected.returncode == 1 and "destination: not an empty directory" in rejected.stderr
    # An empty directory is accepted; the tool makes a relative path absolute.
    result = subprocess.run(
        [str(TOOL), "backup", "elsewhere"],
        cwd=tmp_path,
        env={**os.environ, "PROFILES_ADDRESS": server.listen},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0 and str(elsewhere) in result.stdout and verified(elsewhere)[0] == 0


def test_one_backup_at_a_time(server, tmp_path):
    server.start()
    fill_much(server)
    outcomes = [None] * 6
    ready = threading.Barrier(len(outcomes))

    def one(number):
        stub = admin_stub(server)
        ready.wait()
        try:
            outcomes[number] = list(
                stub.Backup(admin_pb2.BackupRequest(destination=str(tmp_path / f"b{number}")), timeout=60)
            )
        except grpc.RpcError as error:
            outcomes[number] = Failure(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(outcomes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    rejected = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    expected = (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_EXCEEDED", "backups")
    assert rejected and all(
        (failure.code, failure.reason, failure.metadata["limit"]) == expected for failure in rejected
    )
    assert len(rejected) < len(outcomes)
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome, Failure):
            assert not (tmp_path / f"b{number}").exists()
        else:
            assert verified(tmp_path / f"b{number}")[0] == 0


def test_a_cancelled_backup_leaves_nothing(server, tmp_path):
    server.start()
    fill_much(server, 60)
    destination = tmp_path / "backup"
    for _ in range(20):
        call = admin_stub(server).Backup(admin_pb2.BackupRequest(destination=str(destination)), timeout=60)
        next(call)
        call.cancel()
        # The coordinator accepts the next backup when the abandoned one is removed.
        assert wait_until(lambda: snapshotless(server, tmp_path / "next"))
        shutil.rmtree(tmp_path / "next")
        if not list(destination.iterdir()):
            break
        # The backup was faster than the cancellation, so it must be complete.
        assert verified(destination)[0] == 0
        shutil.rmtree(destination)
    else:
        raise AssertionError("no cancellation came in time")
    assert backups(server, destination)[-1].bytes_done > 0 and verified(destination)[0] == 0


def snapshotless(server, destination):
    """Whether a backup can be started now: false while another one runs."""
    try:
        return bool(backups(server, destination))
    except grpc.RpcError as error:
        assert Failure(error).reason == "RATE_EXCEEDED"
        return False


def test_a_backup_ends_with_the_server_and_leaves_no_partial_copy(server, tmp_path):
    server.start()
    fill_much(server, 60)
    call = admin_stub(server).Backup(admin_pb2.BackupRequest(destination=str(tmp_path / "backup")), timeout=60)
    next(call)
    assert server.stop() == 0
    try:
        list(call)
        assert verified(tmp_path / "backup")[0] == 0
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        assert not list((tmp_path / "backup").iterdir())


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("needs to mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_of_the_backup_is_reported_and_harmless(server, small_disk):
    server.start()
    fill_much(server)
    failure = backup_fails(server, small_disk / "backup")
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "DISK_FULL")
    assert not list((small_disk / "backup").iterdir())
    # The server's own disk is not full.
    fill(server, 1)
    assert server.get("/readyz")[0] == 200


def test_a_snapshot_call_returns_when_the_snapshot_exists(server):
    server.start()
    fill(server, 3)
    stub = admin_stub(server)
    lsns = []
    for _ in range(3):
        response = stub.CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=30)
        file = server.data_dir / f"{response.lsn:016x}.snapshot"
        assert file.stat().st_size == response.bytes
        lsns.append(response.lsn)
    assert lsns == sorted(set(lsns))
    said = ctl("snapshot", server=server)
    assert (
        said.returncode == 0
        and said.stdout.startswith("snapshot of lsn ")
        and said.stdout.endswith(" bytes, verified\n")
    )
    # Concurrent calls share one snapshot.
    calls = [stub.CreateSnapshot.future(admin_pb2.CreateSnapshotRequest(), timeout=60) for _ in range(30)]
    assert len({call.result().lsn for call in calls}) < 30
    # Two are kept, and files that they supersede are removed.
    assert len(list(server.data_dir.glob("*.snapshot"))) == 2
    assert server.stop() == 0
    assert verified(server.data_dir)[0] == 0


def test_a_backup_after_an_erasure_contains_nothing_of_the_person(server, tmp_path):
    server.start()
    names = fill(server, 6)
    stub = profiles_pb2_grpc.ProfilesStub(server.channel())
    for name in names[:3]:
        stub.EraseProfile(profiles_pb2.EraseProfileRequest(project="default", identifier=custom(name)))
    backups(server, tmp_path / "backup")
    assert server.stop() == 0
    for folder in (server.data_dir, tmp_path / "backup"):
        dumped = [
            json.loads(line)["profile"]["custom_id"]
            for line in ctl("dump", folder, "--events", "--ledger").stdout.splitlines()
        ]
        assert sorted(dumped) == sorted(names[3:])
    everything = b"".join(path.read_bytes() for path in (tmp_path / "backup").iterdir())
    assert all(name.encode() not in everything for name in names[:3]) and all(
        name.encode() in everything for name in names[3:]
    )
