"""What a service manager is told (sd_notify(3)), as a datagram socket of the tests receives it: ready, reload, stop,
and the watchdog, which is fed only while the threads that serve calls make progress."""

import ctypes
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

from conftest import BINARY, custom, get, needs_strace, profiles_pb2_grpc, track, wait_until
from greedy import WINDOW_0, whole
from raw import HEADERS, Raw

PTRACE_ATTACH, PTRACE_DETACH, WALL = 16, 17, 0x40000000
# Short, so that tests are; a machine that is busy feeds late, which no test takes for a fault.
WATCHDOG_MICROSECONDS = 400_000


class Manager:
    """The receiving side of a service manager."""

    def __init__(self, path=None, reads=True):
        # Not below pytest's folders: the path of a socket has at most 107 bytes.
        self.folder = tempfile.mkdtemp(prefix="notify-", dir="/tmp")
        self.path = path or f"{self.folder}/socket"
        self.messages = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + self.path[1:] if self.path.startswith("@") else self.path)
        if reads:
            threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            try:
                text = self.socket.recv(8192).decode()
            except OSError:
                return
            self.messages.append(dict(line.split("=", 1) for line in text.split("\n")))

    def wrapper(self, **variables):
        return ("env", f"NOTIFY_SOCKET={self.path}", *(f"{name}={value}" for name, value in variables.items()))

    def named(self, name):
        """Every value of one kind of message."""
        return [message[name] for message in list(self.messages) if name in message]

    def close(self):
        self.socket.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def manager():
    manager = Manager()
    yield manager
    manager.close()


def started(server, manager, **variables):
    server.wrapper = manager.wrapper(**variables)
    server.start()
    assert wait_until(lambda: manager.named("READY"))
    return profiles_pb2_grpc.ProfilesStub(server.channel())


def test_ready_is_said_once_and_only_when_calls_are_served(server, manager):
    server.wrapper = manager.wrapper()
    server.start(wait=False)
    assert wait_until(lambda: manager.named("READY"), 60)
    # The line with the port may come after the message, but the port serves already.
    assert wait_until(lambda: server.listen is not None)
    profiles_pb2_grpc.ProfilesStub(server.channel()).Track(track(custom()), timeout=20)
    assert server.stop() == 0
    # The socket has it, and its reader may not have had its turn.
    assert wait_until(lambda: manager.named("STOPPING"))
    order = [next(iter(message)) for message in manager.messages]
    assert order.index("EXTEND_TIMEOUT_USEC") < order.index("READY") < order.index("STOPPING")
    assert manager.named("READY") == ["1"]
    stopping = next(message for message in manager.messages if "STOPPING" in message)
    # The grace of the drain, and the time of a last sync.
    assert stopping == {"STOPPING": "1", "EXTEND_TIMEOUT_USEC": str((10 + 60) * 1_000_000)}
    assert not manager.named("WATCHDOG")
    assert {"not ready: starting", "ready"} <= set(manager.named("STATUS"))


def test_a_rejected_start_is_never_ready(server, manager, tmp_path):
    server.start()
    second = subprocess.run(
        [*manager.wrapper(), BINARY, "--data-dir", server.data_dir, "--listen", "127.0.0.1:0",
         "--admin-listen", "127.0.0.1:0"],
        capture_output=True,
        timeout=60,
    )  # fmt: skip
    assert second.returncode == 4
    assert not manager.named("READY")


def test_a_reload_is_announced_with_its_time_and_ends_with_ready(server, manager):
    started(server, manager)
    before = time.monotonic_ns() // 1000
    for number in (1, 2):
        os.kill(server.pid, signal.SIGHUP)
        assert wait_until(lambda: len(manager.named("READY")) == 1 + number)
    times = [int(text) for text in manager.named("MONOTONIC_USEC")]
    assert len(times) == 2 and before <= times[0] <= times[1] <= time.monotonic_ns() // 1000
    kinds = [kind for message in manager.messages for kind in message if kind in ("READY", "RELOADING")]
    assert kinds == ["READY", "RELOADING", "READY", "RELOADING", "READY"]


def test_a_name_of_the_abstract_namespace_is_reached(server):
    manager = Manager(f"@profiles-test-{os.getpid()}")
    try:
        started(server, manager)
        assert server.stop() == 0
        assert wait_until(lambda: manager.named("STOPPING"))
    finally:
        manager.close()


def test_an_idle_server_feeds_its_watchdog_also_while_it_drains(server, manager):
    started(server, manager, WATCHDOG_USEC=WATCHDOG_MICROSECONDS)
    assert wait_until(lambda: len(manager.named("WATCHDOG")) >= 4)
    with Raw(server.listen, settings=WINDOW_0) as raw:
        # A response that its client does not take holds the drain up, until the grace of 10 s is over.
        raw.send(whole(raw, track(custom()).SerializeToString())[0])
        assert raw.wait_for(HEADERS) is not None
        os.kill(server.pid, signal.SIGTERM)
        assert wait_until(lambda: manager.named("STOPPING"))
        # A drain that nothing holds up may be over before its status is looked at.
        assert wait_until(lambda: "not ready: draining" in manager.named("STATUS"))
        fed = len(manager.named("WATCHDOG"))
        assert wait_until(lambda: len(manager.named("WATCHDOG")) >= fed + 3, 8)
        assert server.process.poll() is None
    assert server.process.wait(30) == 0


def test_the_watchdog_of_another_process_is_not_fed(server, manager):
    started(server, manager, WATCHDOG_USEC=WATCHDOG_MICROSECONDS, WATCHDOG_PID=1)
    time.sleep(3 * WATCHDOG_MICROSECONDS / 1e6)
    assert server.stop() == 0
    assert not manager.named("WATCHDOG")


def thread_named(pid, name):
    return next(
        int(task.name)
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
        if (task / "comm").read_text().strip() == name
    )


@needs_strace
@pytest.mark.parametrize("name", ["loop-1", "log"])
def test_a_thread_that_is_stuck_leaves_the_watchdog_unfed(server, manager, name):
    started(server, manager, WATCHDOG_USEC=WATCHDOG_MICROSECONDS)
    assert wait_until(lambda: len(manager.named("WATCHDOG")) >= 2)
    thread, libc = thread_named(server.pid, name), ctypes.CDLL(None, use_errno=True)
    # Stops this one thread; the others go on.
    assert libc.ptrace(PTRACE_ATTACH, thread, None, None) == 0
    os.waitpid(thread, WALL)
    try:
        unfed = '"the watchdog is not fed: threads make no progress"'
        assert wait_until(lambda: any(unfed in line for line in server.lines))
        assert f'"threads":"{name}"' in next(line for line in server.lines if unfed in line)
        fed = len(manager.named("WATCHDOG"))
        time.sleep(2 * WATCHDOG_MICROSECONDS / 1e6)
        assert len(manager.named("WATCHDOG")) == fed
    finally:
        libc.ptrace(PTRACE_DETACH, thread, None, None)
    assert wait_until(lambda: len(manager.named("WATCHDOG")) >= fed + 2)
    assert server.stop() == 0


@needs_strace
def test_a_slow_disk_does_not_count_against_the_watchdog(server, manager, tmp_path):
    delay = 4 * WATCHDOG_MICROSECONDS
    server.wrapper = (
        *manager.wrapper(WATCHDOG_USEC=WATCHDOG_MICROSECONDS),
        *("strace", "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", "trace=fdatasync"),
        *("-e", f"inject=fdatasync:delay_enter={delay}"),
    )
    server.start()
    stub = profiles_pb2_grpc.ProfilesStub(server.channel())
    assert wait_until(lambda: manager.named("WATCHDOG"))
    who = custom()
    call = stub.Track.future(track(who), timeout=60)
    fed = len(manager.named("WATCHDOG"))
    assert call.result().profile_id
    # The write took a sync of four periods: a watchdog that it counts against is fed in the first of them only.
    assert len(manager.named("WATCHDOG")) >= fed + 4
    assert stub.GetProfile(get(who)).profile.profile_id


def test_a_manager_that_does_not_read_holds_nothing_up(server):
    manager = Manager(reads=False)
    try:
        server.wrapper = manager.wrapper(WATCHDOG_USEC=100_000)
        stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
        # Long enough for the queue of the socket (10 datagrams) to be full.
        time.sleep(1)
        stub.Track(track(custom()), timeout=20)
        assert server.stop() == 0
    finally:
        manager.close()


def test_a_manager_that_is_gone_is_reported_once(server, manager):
    manager.close()
    server.wrapper = manager.wrapper(WATCHDOG_USEC=100_000)
    server.start()
    assert wait_until(lambda: any('"the service manager cannot be told"' in line for line in server.lines))
    assert server.stop() == 0
    assert sum('"the service manager cannot be told"' in line for line in server.lines) == 1


@pytest.mark.parametrize(
    "variables",
    [
        {"NOTIFY_SOCKET": "run/notify"},
        {"NOTIFY_SOCKET": "vsock:2:1234"},
        {"NOTIFY_SOCKET": "/" + "x" * 107},
        {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "me"},
    ],
)
def test_a_variable_that_cannot_be_understood_is_rejected(variables, tmp_path):
    result = subprocess.run(
        [BINARY, "--data-dir", tmp_path / "data"],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )
    wrong = list(variables)[-1]
    assert result.returncode == 2
    assert result.stderr.startswith(f"profiled: environment: {wrong}: found ") and "; allowed: " in result.stderr
    assert not (tmp_path / "data").exists()
