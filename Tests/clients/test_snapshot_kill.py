"""Killed while a snapshot is made (F11): by strace, at the n-th system call of each kind, on whichever thread makes it
first.

Each point: some writes, a snapshot with concurrent writes, SIGKILL at one system call, a start, and a check of all
acknowledged writes. PROFILES_SNAPSHOT_POINTS sets the number of points; the calls are those of the log, snapshot and
segment threads.
"""

import collections
import os
import signal
import subprocess
import threading

import grpc

from conftest import needs_strace, profiles_pb2_grpc, unique
from journal import Register, Writer
from profiles.v1 import admin_pb2, admin_pb2_grpc
from test_memory_limit import all_present, identify, much

POINTS = int(os.environ.get("PROFILES_SNAPSHOT_POINTS", "16"))
# The system calls of making, verifying and pruning a snapshot; each kind is counted separately.
CALLS = (
    "pwrite64",
    "fdatasync",
    "fsync",
    "renameat",
    "openat",
    "unlinkat",
    "pread64",
    "statfs",
    "getdents64",
    "close",
    "ftruncate",
)
# About 15 KB each, so that a snapshot has several blocks.
PEOPLE = 300

pytestmark = needs_strace


def ask(server, acknowledged):
    admin = admin_pb2_grpc.AdminStub(server.channel())
    try:
        admin.CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=120)
        acknowledged.append(True)
    except grpc.RpcError as error:
        acknowledged.append(error.code())


def attach(server, call, number):
    """Starts a strace that kills the server at a call; returns when it traces all threads."""
    strace = subprocess.Popen(
        [
            "strace",
            "-f",
            "-o",
            "/dev/null",
            "-p",
            str(server.pid),
            "-e",
            f"trace={call}",
            "-e",
            f"inject={call}:signal=KILL:when={number}",
        ],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in strace.stderr:
        if "attached" in line:
            return strace
    raise AssertionError("strace cannot attach")


def killed_at(server, call, number, registers, writers):
    """Tests one kill point; returns whether the server was killed before the snapshot call returned."""
    stub = profiles_pb2_grpc.ProfilesStub(server.channel())
    for register in registers:
        for _ in range(5):
            assert register.write(stub)
    strace = attach(server, call, number)
    acknowledged, stop = [], threading.Event()
    asking = threading.Thread(target=ask, args=(server, acknowledged))
    writing = [threading.Thread(target=writer.run, args=(stub, stop)) for writer in writers]
    for thread in [asking, *writing]:
        thread.start()
    asking.join(180)
    stop.set()
    for thread in writing:
        thread.join(60)
    if acknowledged == [True] and server.process.poll() is None:
        server.stop(signal.SIGKILL)
    server.process.wait(30)
    strace.wait(30)
    return acknowledged != [True]


def test_F11_kill_at_each_call_of_a_snapshot_loses_nothing(server, capsys):
    server.flags = ("--segment-bytes", "1MiB")
    stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
    people = [unique("person") for _ in range(PEOPLE)]
    for person in people:
        stub.Identify(identify(person, attributes=much()), timeout=20)
    registers = [Register() for _ in range(3)]
    done, kept, by_call, everyone = 0, 0, dict.fromkeys(CALLS, 0), []
    # All kinds of calls in turn: the first, the second, ... until a snapshot ends before that call occurs; then from
    # the first again.
    points = collections.deque()
    while done < POINTS:
        points = points or collections.deque((call, 1) for call in CALLS)
        call, number = points.popleft()
        # A concurrent writer at every other point; without one all calls belong to the snapshot.
        writers = [Writer()] if done % 2 else []
        was_killed = killed_at(server, call, number, registers, writers)
        stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
        for register in registers:
            register.check(stub)
        writers = [writer for writer in writers if writer.sent]
        kept += sum(writer.send_again(stub) for writer in writers)
        everyone += writers
        assert not list(server.data_dir.glob("*.snapshot.tmp"))
        if was_killed:
            done += 1
            by_call[call] += 1
            points.append((call, number + 1))
    # The first of the kinds that each snapshot makes, under the names that strace gives to them.
    assert all(by_call[call] for call in ("pwrite64", "fdatasync", "fsync", "renameat", "openat", "pread64", "close"))
    assert all_present(stub, people)
    for writer in everyone:
        writer.check(stub)
    snapshots = len(list(server.data_dir.glob("*.snapshot")))
    assert server.stop() == 0
    with capsys.disabled():
        print(
            f"F11: {done} points ({', '.join(f'{call} {count}' for call, count in by_call.items())}), {PEOPLE} people, "
            f"{sum(register.acknowledged for register in registers)} + "
            f"{sum(len(writer.acknowledged) for writer in everyone)} acknowledged, "
            f"{kept} unacknowledged stored, {snapshots} snapshots left; 0 lost, 0 partial, 0 applied twice"
        )
