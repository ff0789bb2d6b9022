"""One directory and one port have one server, whatever is done to the files (L14); a rejected start leaves nothing."""

import fcntl
import os
import shutil
import signal
import socket
import threading
import time

import grpc
import pytest

from conftest import Server, custom, fails, get, profiles_pb2_grpc, track, wait_until
from operator_tools import ctl, profiled
from test_rejected_starts import LOCKED, REJECTED, UNEXPECTED, ends, fingerprint, segments

from grpc_health.v1 import health_pb2, health_pb2_grpc


def stub_of(server):
    return profiles_pb2_grpc.ProfilesStub(server.channel())


def health(server):
    with server.channel() as channel:
        return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10).status


NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def stops_writing(server, person):
    """Writes end and say so, reads go on."""
    # The log looks once per millisecond at most.
    time.sleep(0.05)
    stub = stub_of(server)
    failure = fails(stub.Track, track(person))
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "LOG_UNAVAILABLE")
    assert wait_until(lambda: health(server) == NOT_SERVING)
    assert stub.GetProfile(get(person), timeout=10).profile.revision == 1
    assert server.get("/readyz")[0] == 503


@pytest.fixture
def used(tmp_path):
    """A serving server, and a person with one write."""
    server = Server(tmp_path / "data").start()
    person = custom()
    stub_of(server).Track(track(person), timeout=20)
    yield server, person
    if server.process.poll() is None:
        server.stop(signal.SIGKILL)


def remove(directory):
    """Removes a directory in which a server still makes its next segment."""

    def is_gone():
        shutil.rmtree(directory, ignore_errors=True)
        return not directory.exists()

    assert wait_until(is_gone)


def rejected_beside(server, data_dir=None, code=LOCKED):
    second = Server(data_dir or server.data_dir).start(wait=False)
    assert ends(second) == code, second.lines[-3:]
    return second


def test_refused_starts_never_listen_and_disturb_no_call(used):
    server, person = used
    failures, done = [], threading.Event()

    def call():
        stub = stub_of(server)
        while not done.is_set():
            try:
                stub.Track(track(person), timeout=20)
            except grpc.RpcError as error:
                failures.append(error)

    # On the same port, where a listener of the second server would get some of the connections.
    caller = threading.Thread(target=call)
    caller.start()
    try:
        for _ in range(5):
            second = Server(server.data_dir)
            second.address = server.listen
            assert ends(second.start(wait=False)) == LOCKED
    finally:
        done.set()
        caller.join()
    assert failures == []
    assert server.stop() == 0


def test_L14_second_server_is_refused_without_the_lock_file(used):
    server, person = used
    (server.data_dir / "LOCK").unlink()
    rejected_beside(server)
    stub_of(server).Track(track(person), timeout=20)
    # It comes back, for releases that know nothing else.
    assert wait_until(lambda: (server.data_dir / "LOCK").exists())
    rejected_beside(server)
    assert ctl("verify", server.data_dir).returncode == LOCKED
    assert server.stop() == 0


def test_L14_second_server_is_refused_under_another_path(used, tmp_path):
    server, _ = used
    (tmp_path / "link").symlink_to(server.data_dir)
    rejected_beside(server, tmp_path / "link")
    os.rename(server.data_dir, tmp_path / "renamed")
    rejected_beside(server, tmp_path / "renamed")


def test_L14_renamed_directory_ends_writes(used, tmp_path):
    server, person = used
    os.rename(server.data_dir, tmp_path / "renamed")
    stops_writing(server, person)
    # Nothing of it was made anew at the old path, and nothing acknowledged is lost.
    assert not server.data_dir.exists()
    server.stop()
    again = Server(tmp_path / "renamed").start()
    assert stub_of(again).GetProfile(get(person), timeout=10).profile.revision == 1
    assert again.stop() == 0


def test_L14_removed_directory_is_noticed_without_a_write(used):
    server, _ = used
    remove(server.data_dir)
    assert wait_until(lambda: health(server) == NOT_SERVING)


def test_L14_replaced_directory_ends_writes_and_is_not_touched(used, tmp_path):
    server, person = used
    os.rename(server.data_dir, tmp_path / "old")
    second = Server(server.data_dir).start()
    other = custom()
    stub_of(second).Track(track(other), timeout=20)
    stops_writing(server, person)
    before = segments(server.data_dir)
    server.stop()
    assert segments(server.data_dir) == before
    stub_of(second).Track(track(other), timeout=20)
    assert second.stop() == 0
    assert ctl("verify", server.data_dir).returncode == 0
    assert ctl("verify", tmp_path / "old").returncode == 0


def test_L14_directory_through_a_link_is_served_until_the_link_leads_elsewhere(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir(mode=0o700)
    (tmp_path / "data").symlink_to("a")
    server = Server(tmp_path / "data").start()
    person = custom()
    stub_of(server).Track(track(person), timeout=20)
    assert segments(tmp_path / "a")
    (tmp_path / "data").unlink()
    (tmp_path / "data").symlink_to("b")
    stops_writing(server, person)
    server.stop()
    assert list((tmp_path / "b").iterdir()) == []


def test_L14_older_release_that_locks_only_the_file_is_excluded_both_ways(used, tmp_path):
    server, person = used
    with open(server.data_dir / "LOCK") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    # It came in over a lock file that somebody removed.
    (server.data_dir / "LOCK").unlink()
    with open(server.data_dir / "LOCK", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        stops_writing(server, person)
        server.stop()
        rejected_beside(server)


@pytest.mark.parametrize("which", ["--listen", "--admin-listen"])
def test_start_whose_port_is_taken_leaves_nothing_behind(tmp_path, which):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        flags = {"--listen": "127.0.0.1:0", "--admin-listen": "127.0.0.1:0"}
        flags[which] = f"127.0.0.1:{taken.getsockname()[1]}"

        def start(data):
            words = [word for pair in flags.items() for word in pair]
            return profiled("--data-dir", data, *words, cwd=tmp_path).returncode

        assert start(tmp_path / "above" / "data") == UNEXPECTED
        assert not (tmp_path / "above").exists()
        # And in a directory that was there, not even its time has changed.
        (tmp_path / "data").mkdir(mode=0o700)
        before = fingerprint(tmp_path / "data")
        assert start(tmp_path / "data") == UNEXPECTED
        assert fingerprint(tmp_path / "data") == before


def test_start_on_bad_data_without_a_lock_file_leaves_nothing_behind(used):
    server, _ = used
    assert server.stop() == 0
    (server.data_dir / "LOCK").unlink()
    segment = segments(server.data_dir)[0]
    segment.write_bytes(b"x" * 64 + segment.read_bytes()[64:])
    before = fingerprint(server.data_dir)
    rejected_beside(server, code=REJECTED)
    assert fingerprint(server.data_dir) == before


def test_restore_into_a_directory_in_use_is_refused(used, tmp_path):
    server, _ = used
    assert ctl("backup", tmp_path / "backup", server=server).returncode == 0
    result = ctl("restore", tmp_path / "backup", server.data_dir)
    assert result.returncode != 0 and "held by another process" in result.stderr
    # A backup and what is restored from it have no noted end, and start.
    assert ctl("restore", tmp_path / "backup", tmp_path / "restored").returncode == 0
    for name in ("backup", "restored"):
        again = Server(tmp_path / name).start()
        assert again.stop() == 0
    assert server.stop() == 0


def written(data, clean):
    """A directory with several segments."""
    server = Server(data, "--segment-bytes", "1MiB").start()
    stub = stub_of(server)
    for _ in range(20):
        stub.Track(track(custom()), timeout=20)
    server.stop(signal.SIGKILL)
    server = Server(data, "--segment-bytes", "1MiB").start()
    for _ in range(20):
        stub_of(server).Track(track(custom()), timeout=20)
    if not clean:
        time.sleep(0.5)
    server.stop(signal.SIGTERM if clean else signal.SIGKILL)
    return segments(data)


@pytest.mark.parametrize("clean", [True, False])
def test_missing_last_segment_is_refused_until_the_loss_is_accepted(tmp_path, clean):
    data = tmp_path / "data"
    last = written(data, clean)[-1]
    last.unlink()
    before = fingerprint(data)
    server = Server(data).start(wait=False)
    assert ends(server) == REJECTED
    line = next(line for line in server.lines if "data refused" in line)
    assert "log-end notes that it had reached lsn" in line
    assert fingerprint(data) == before
    result = ctl("verify", data)
    assert result.returncode == REJECTED and "had reached lsn" in result.stdout + result.stderr
    lsn = line.split("--accept-log-loss ")[1].split('"')[0]
    assert ends(Server(data, "--accept-log-loss", str(int(lsn) + 1)).start(wait=False)) == REJECTED
    assert fingerprint(data) == before
    server = Server(data, "--accept-log-loss", lsn).start()
    assert any("the end of the log is missing, which was accepted" in line for line in server.lines)
    stub_of(server).Track(track(custom()), timeout=20)
    assert server.stop() == 0
    assert Server(data).start().stop() == 0
    assert ctl("verify", data).returncode == 0


def test_directory_that_lost_its_whole_log_is_refused(tmp_path):
    data = tmp_path / "data"
    for path in written(data, True):
        path.unlink()
    before = fingerprint(data)
    assert ends(Server(data).start(wait=False)) == REJECTED
    assert fingerprint(data) == before


def test_older_copy_that_is_laid_over_a_directory_is_refused(tmp_path):
    data = tmp_path / "data"
    server = Server(data).start()
    stub_of(server).Track(track(custom()), timeout=20)
    assert ctl("backup", tmp_path / "backup", server=server).returncode == 0
    for _ in range(20):
        stub_of(server).Track(track(custom()), timeout=20)
    assert server.stop() == 0
    for path in [*data.glob("*.log"), *data.glob("*.snapshot")]:
        path.unlink()
    shutil.copytree(tmp_path / "backup", data, dirs_exist_ok=True)
    assert ends(Server(data).start(wait=False)) == REJECTED
