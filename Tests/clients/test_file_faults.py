"""A file call of the real binary that fails (F8, F9): the n-th sync or write, by whatever thread, on whatever file.

`file_faults.c`, preloaded into the server, makes the call fail and writes all calls down. Four writers know the outcome
of each of their calls. Whatever fails: what was in the frame that failed is not acknowledged, no descriptor is synced
again after a failed sync of it, reads continue, and a start afterwards has every acknowledged call once.

PROFILES_FILE_FAULTS is the number of calls of each kind that fail, from the first on; without it a few are chosen.
"""

import collections
import concurrent.futures
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from conftest import Failure, Server, get, profiles_pb2_grpc, wait_until
from journal import CALLS_MAX, EVENTS, NOT_APPLIED, Writer

POINTS = int(os.environ.get("PROFILES_FILE_FAULTS", "0"))
NUMBERS = range(1, POINTS + 1) if POINTS else (1, 5, 9, 30, 75)
SERVERS = 2
WRITERS = 4
FLAGS = ("--segment-bytes", "1MiB", "--snapshot-seconds", "1", "--snapshot-log-bytes", "1MiB")
# Acknowledged calls behind a fault that did not end the log.
CALLS_AFTER = 20
# Syncs of directories, of which a load of this length makes no more.
DIRECTORY_SYNCS_MAX = 12
FAULTS = [
    ("fdatasync", "EIO"),
    ("fsync", "EIO"),
    ("pwrite", "EIO"),
    ("pwrite", "ENOSPC"),
    ("pwrite", "short"),
    ("pwrite", "torn"),
]
SEGMENT = re.compile(r"/[0-9a-f]{16}\.log$")
IDS = re.compile(rb"([a-z]{1,8})=(\d+)-\d")
NOT_SERVING = 2

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("library") / "file_faults.so"
    source = pathlib.Path(__file__).with_name("file_faults.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", path, source], check=True)
    return path


class FaultWriter(Writer):
    """A writer that goes on past failures; `letters` begin its event ids, by which they are found in a frame."""

    def __init__(self, letters):
        super().__init__()
        self.letters = letters
        # By number: (sent, received, reason or "" for OK), times in microseconds since 1970.
        self.outcomes = {}

    def call(self, number):
        call = super().call(number)
        for part, event in enumerate(call.events):
            event.event_id = f"{self.letters}={number}-{part}"
        return call

    def run(self, stub, stop):
        while not stop.is_set() and self.sent < CALLS_MAX:
            number = self.sent
            self.sent += 1
            sent, reason = time.time() * 1e6, ""
            try:
                stub.Track(self.call(number), timeout=20)
                self.acknowledged.add(number)
            except grpc.RpcError as error:
                reason = Failure(error).reason or error.code().name
            self.outcomes[number] = (sent, time.time() * 1e6, reason)
            if reason in NOT_APPLIED:
                self.rejected.add(number)
            if reason:
                time.sleep(0.01)

    def count(self, is_wanted):
        return sum(is_wanted(*outcome) for outcome in self.outcomes.copy().values())


class Log:
    """What the library wrote down."""

    def __init__(self, path):
        self.path = path
        self.entries = []

    def read(self):
        """Reads it again; returns whether the call has failed."""
        self.entries = []
        if self.path.exists():
            # The last line may be in the middle of its write.
            for line in self.path.read_text().split("\n")[:-1]:
                name, descriptor, offset, length, result, moment, path = line.split(" ", 6)
                self.entries.append((name, int(descriptor), int(offset), int(length), int(moment), path))
        return self.fault is not None

    @property
    def fault(self):
        return next((entry for entry in self.entries if entry[0].startswith("*")), None)

    def synced_again(self):
        """Whether a descriptor was synced again after a failed sync of it."""
        index = self.entries.index(self.fault)
        _, descriptor, *_, path = self.fault
        for name, other, *_, other_path in self.entries[index + 1 :]:
            if other == descriptor and name == "close":
                return False
            if other == descriptor and name in ("fdatasync", "fsync") and other_path == path:
                return True
        return False

    def frame_of_fault(self):
        """The bytes that the failed call was to write or to sync, if they are those of a segment."""
        name, _, _, _, _, path = self.fault
        if not SEGMENT.search(path):
            return b""
        if name == "*pwrite":
            return self.path.with_name(self.path.name + ".bytes").read_bytes()
        written = [entry for entry in self.entries[: self.entries.index(self.fault)] if entry[0] == "pwrite"]
        last = next((entry for entry in reversed(written) if entry[5] == path), None)
        if last is None:
            return b""
        with open(path, "rb") as file:
            return os.pread(file.fileno(), last[3], last[2])


class Case:
    """One fault in one server."""

    def __init__(self, folder, library, fault, number):
        self.folder, self.fault, self.number = pathlib.Path(folder), fault, number
        self.folder.mkdir()
        self.data_dir = self.folder.resolve() / "data"
        self.log = Log(self.folder / "calls")
        call, kind = fault
        self.wrapper = (
            "env",
            f"LD_PRELOAD={library}",
            f"FAULT_DIRECTORY={self.data_dir}",
            f"FAULT_CALL={call}",
            f"FAULT_KIND={kind}",
            f"FAULT_NUMBER={number}",
            f"FAULT_LOG={self.log.path}",
        )
        self.writers = [FaultWriter("abcd"[index]) for index in range(WRITERS)]
        # Whether the server said so once the calls were over.
        self.has_failed = False

    def run(self):
        """Returns what became of it: where the call failed and what that did to the server."""
        server = Server(self.data_dir, *FLAGS, wrapper=self.wrapper).start(wait=False)
        try:
            assert wait_until(lambda: server.listen or server.process.poll() is not None, 60)
            effect = self.load(server) if server.listen else self.rejected_start(server)
            where = self.check_calls() if self.log.read() else "not reached"
        finally:
            server.stop(signal.SIGKILL)
        self.check_start(where)
        shutil.rmtree(self.folder)
        return where, effect

    def rejected_start(self, server):
        assert server.process.wait(30) == 1, server.lines[-5:]
        assert self.log.read(), "a start failed without a fault"
        return "start rejected"

    def load(self, server):
        """Writes until the fault has shown its effect; returns that."""
        stub = profiles_pb2_grpc.ProfilesStub(server.channel())
        stop = threading.Event()
        threads = [threading.Thread(target=writer.run, args=(stub, stop)) for writer in self.writers]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: self.log.read() or all(writer.sent == CALLS_MAX for writer in self.writers), 60)
            # The last calls of a few kinds come with a snapshot, once a second.
            if not self.log.read() and not wait_until(self.log.read, 2):
                return "not reached"
            assert wait_until(self.has_shown, 60), [writer.sent for writer in self.writers]
        finally:
            stop.set()
            for thread in threads:
                thread.join(60)
        return self.check_live(server, stub)

    def count(self, is_wanted):
        return sum(writer.count(is_wanted) for writer in self.writers)

    @property
    def is_ended(self):
        """Whether the log has ended."""
        return self.count(lambda sent, received, reason: reason == "LOG_UNAVAILABLE") > 0

    def has_shown(self):
        moment = self.log.fault[4]
        if self.count(lambda sent, received, reason: sent > moment and reason == "LOG_UNAVAILABLE") >= WRITERS:
            return True
        good = self.count(lambda sent, received, reason: sent > moment and not reason)
        return good >= CALLS_AFTER or all(writer.sent == CALLS_MAX for writer in self.writers)

    def check_live(self, server, stub):
        assert server.process.poll() is None, server.lines[-5:]
        for writer in self.writers:
            if writer.acknowledged:
                counters = stub.GetProfile(get(writer.who), timeout=20).profile.event_counters
                assert counters[0].count == EVENTS * len(writer.acknowledged), "a read is not what was acknowledged"
        health = health_pb2_grpc.HealthStub(server.channel()).Check(health_pb2.HealthCheckRequest(), timeout=10)
        # The log may have ended behind the last call, at rest.
        self.has_failed = server.metric("profiles_log_failed") == 1
        assert (health.status == NOT_SERVING) == self.has_failed
        assert self.has_failed or not self.is_ended
        if self.has_failed and not self.is_ended:
            return "log ended behind the last call"
        if not self.is_ended:
            waited = self.count(lambda sent, received, reason: reason == "DISK_FULL")
            return "writes waited for space" if waited else "no effect on calls"
        # Final: no call that was sent behind the first of these responses was acknowledged.
        first = min(
            received
            for writer in self.writers
            for _, received, reason in writer.outcomes.values()
            if reason == "LOG_UNAVAILABLE"
        )
        assert not self.count(lambda sent, received, reason: sent > first and not reason)
        return "log ended"

    def check_calls(self):
        """Checks the calls that the library wrote down; returns which file failed."""
        name, _, _, _, _, path = self.log.fault
        if self.fault[1] != "short":
            lost = {(letters.decode(), int(number)) for letters, number in IDS.findall(self.log.frame_of_fault())}
            for writer in self.writers:
                wrong = [number for number in writer.acknowledged if (writer.letters, number) in lost]
                assert not wrong, f"call {wrong[0]} was acknowledged, and its frame failed"
        if "sync" in name:
            assert not self.log.synced_again(), "a failed sync was repeated"
            if SEGMENT.search(path) and self.count(lambda *_: True):
                assert self.has_failed, "a sync of the log failed, and the log goes on"
        relative = os.path.relpath(path, self.data_dir)
        return re.sub(r"[0-9a-f]{16}", "N", relative)

    def check_start(self, where):
        server = Server(self.data_dir, *FLAGS).start()
        try:
            with server.channel() as channel:
                stub = profiles_pb2_grpc.ProfilesStub(channel)
                for writer in self.writers:
                    if writer.sent:
                        writer.send_again(stub)
            assert server.stop() == 0
        except AssertionError as error:
            raise AssertionError(f"after a fault of {where}: {error}") from error
        finally:
            server.stop(signal.SIGKILL)


@pytest.mark.parametrize("fault", FAULTS, ids=["-".join(fault) for fault in FAULTS])
def test_F8_F9_a_failed_file_call_acknowledges_nothing_and_loses_nothing(fault, library, tmp_path, capsys):
    def run(number):
        try:
            return Case(tmp_path / str(number), library, fault, number).run()
        except AssertionError as error:
            raise AssertionError(f"{' '.join(fault)}, call {number}: {error}") from error

    numbers = [number for number in NUMBERS if fault[0] != "fsync" or number <= DIRECTORY_SYNCS_MAX]
    with concurrent.futures.ThreadPoolExecutor(SERVERS) as pool:
        found = collections.Counter(pool.map(run, numbers))
    hits = sum(count for (where, _), count in found.items() if where != "not reached")
    with capsys.disabled():
        row = "F8" if "sync" in fault[0] else "F9"
        by_effect = ", ".join(f"{where}: {effect} {count}" for (where, effect), count in sorted(found.items()))
        print(f"{row}: {' '.join(fault)}, {hits} of {len(numbers)} calls ({by_effect}); 0 lost, 0 acknowledged of it")
    assert hits >= (len(numbers) if fault[0] != "fsync" else 2)
