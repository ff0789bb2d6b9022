"""A log that nobody reads, or that cannot be written, holds nothing up."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import BINARY, custom, profiles_pb2_grpc, track, wait_until
from conftest import Server as ReadServer
from profiles.v1 import admin_pb2, admin_pb2_grpc
from raw import Raw

DROPPED = "profiles_log_lines_dropped_total"


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Unread(ReadServer):
    """A server whose standard error is given by the test, on ports that are chosen beforehand, since nobody reads
    which ones it has."""

    def __init__(self, data_dir, stderr, *flags):
        super().__init__(data_dir, *flags)
        self.stderr = stderr

    def start(self, wait=True):
        self.listen, self.admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self.process = subprocess.Popen(
            [
                str(BINARY),
                *("--data-dir", str(self.data_dir), "--listen", self.listen, "--admin-listen", self.admin),
                *("--loops", "1", *self.flags),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.stderr,
        )
        assert wait_until(self.is_ready), "not ready"
        return self

    def is_ready(self):
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False


@pytest.fixture
def pipe():
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    ends = [read, write]
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def unread(tmp_path, pipe):
    """A server that writes into a pipe which nobody reads."""
    server = Unread(tmp_path / "data", pipe[1]).start()
    yield server
    if server.process.poll() is None:
        server.stop(signal.SIGKILL)


class Reader:
    """Reads a pipe to its end; each line must be a whole object."""

    def __init__(self, end):
        self.lines, self.rest, self.end = [], b"", os.dup(end)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while text := os.read(self.end, 65_536):
            *whole, self.rest = (self.rest + text).split(b"\n")
            self.lines += [json.loads(line) for line in whole]
        os.close(self.end)

    def with_message(self, text):
        return [line for line in self.lines if text in line["message"]]


def make_noise(server, enough):
    """Makes the server log lines (one for each SIGHUP that it receives) until `enough`."""
    deadline = time.monotonic() + 120
    while not enough() and time.monotonic() < deadline:
        for _ in range(200):
            os.kill(server.pid, signal.SIGHUP)
            time.sleep(0.0002)
    assert enough()


def is_full(server):
    return server.metric(DROPPED) > 0


def admin_stub(server):
    return admin_pb2_grpc.AdminStub(server.channel())


def test_full_pipe_holds_nothing_up(unread):
    make_noise(unread, lambda: is_full(unread))
    stub = profiles_pb2_grpc.ProfilesStub(unread.channel())
    for _ in range(3):
        stub.Track(track(custom()), timeout=20)
        # A snapshot logs a line when it is done.
        assert admin_stub(unread).CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=30)
    assert unread.metric('profiles_snapshots_total{result="verified"}') >= 3
    assert unread.stop(signal.SIGTERM, timeout=30) == 0


def test_second_sigterm_ends_at_once_beside_a_full_pipe(unread):
    make_noise(unread, lambda: is_full(unread))
    profiles_pb2_grpc.ProfilesStub(unread.channel()).Track(track(custom()), timeout=20)
    # A call whose request does not come keeps the drain waiting for its grace of 10 s.
    with Raw(unread.listen) as client:
        client.headers()
        assert wait_until(lambda: unread.metric("profiles_streams") == 1)
        unread.process.send_signal(signal.SIGTERM)
        assert wait_until(lambda: unread.get("/readyz")[0] == 503)
        unread.process.send_signal(signal.SIGTERM)
        assert unread.process.wait(8) == 1


def test_reader_that_comes_back_gets_whole_lines_and_the_number_of_the_lost(unread, pipe):
    make_noise(unread, lambda: is_full(unread))
    reader = Reader(pipe[0])
    assert wait_until(lambda: reader.with_message("were lost"), 60)
    assert sum(line["lines"] for line in reader.with_message("were lost")) == unread.metric(DROPPED) > 0
    assert {line["level"] for line in reader.with_message("were lost")} == {"error"}
    # And the log continues.
    count = len(reader.lines)
    os.kill(unread.pid, signal.SIGHUP)
    assert wait_until(lambda: len(reader.lines) > count)
    assert unread.stop() == 0
    assert wait_until(lambda: reader.lines[-1]["message"] == "stopped") and reader.rest == b""


def test_reader_that_has_gone_is_survived(unread, pipe):
    os.close(pipe[0])
    pipe.pop(0)
    make_noise(unread, lambda: is_full(unread))
    profiles_pb2_grpc.ProfilesStub(unread.channel()).Track(track(custom()), timeout=20)
    assert unread.stop() == 0


def test_non_blocking_pipe_gets_every_line(tmp_path, pipe):
    os.set_blocking(pipe[1], False)
    server = Unread(tmp_path / "data", pipe[1]).start()
    try:
        # More than the pipe holds at once, less than the queue.
        for _ in range(200):
            os.kill(server.pid, signal.SIGHUP)
            time.sleep(0.002)
        reader = Reader(pipe[0])
        # The end waits for a reader for 1 s only, which may be short on a busy machine.
        assert wait_until(lambda: len(reader.with_message("nothing to reload")) > 30)
        assert server.stop() == 0
        assert wait_until(lambda: reader.with_message("stopped")) and reader.rest == b""
        assert len(reader.with_message("nothing to reload")) > 30 and not reader.with_message("were lost")
    finally:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_full_disk_below_the_log_is_survived(tmp_path):
    with open("/dev/full", "wb") as full:
        server = Unread(tmp_path / "data", full).start()
        profiles_pb2_grpc.ProfilesStub(server.channel()).Track(track(custom()), timeout=20)
        assert server.stop() == 0


@pytest.mark.parametrize("closed", ["2>&-", "0<&- 1>&- 2>&-"])
def test_closed_standard_descriptors_get_no_other_file(tmp_path, closed):
    """The first file that the server opens must not become its standard error."""
    server = Unread(tmp_path / "data", subprocess.DEVNULL)
    server.listen, server.admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    command = f'exec "{BINARY}" --data-dir "{server.data_dir}" --listen {server.listen} --admin-listen {server.admin}'
    server.process = subprocess.Popen(["bash", "-c", f"{command} {closed}"])
    try:
        assert wait_until(server.is_ready)
        assert [os.readlink(f"/proc/{server.process.pid}/fd/2")] == ["/dev/null"]
        make_noise(server, lambda: True)
        profiles_pb2_grpc.ProfilesStub(server.channel()).Track(track(custom()), timeout=20)
        assert server.stop() == 0
        files = [path for path in server.data_dir.rglob("*") if path.is_file()]
        assert len(files) > 2 and not [path for path in files if b'"level":' in path.read_bytes()]
    finally:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)


def test_rejected_start_ends_beside_a_full_pipe(tmp_path, pipe):
    os.set_blocking(pipe[1], False)
    try:
        while True:
            os.write(pipe[1], b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(pipe[1], True)
    run = subprocess.run([str(BINARY), "--nonsense"], stderr=pipe[1], timeout=20)
    assert run.returncode == 2
