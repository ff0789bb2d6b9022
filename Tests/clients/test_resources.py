"""Scarce resources and interference by the machine (F14): descriptors, memory, interrupted calls, a stop of seconds.

Registers write and a reader reads all the time. PROFILES_STOP_SECONDS sets how long the process is stopped; from 10 on
the time until it is back to normal is asserted too.
"""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from conftest import needs_strace, profiles_pb2_grpc, unique, wait_until
from journal import Load, Register
from test_memory_limit import all_present, fill, identify, much

STOP_SECONDS = int(os.environ.get("PROFILES_STOP_SECONDS", "2"))
STOP_OF_THE_ROW = 10
WRITERS = 4
DESCRIPTORS = 160
HELD_CONNECTIONS = 400
# At least 8 connections; the two loops share the rest of 160 descriptors.
CONNECTIONS_MAX = 32


def stub_of(server):
    return profiles_pb2_grpc.ProfilesStub(server.channel())


def progresses(load, calls=20):
    """Whether further writes are acknowledged."""
    acknowledged, reads = load.acknowledged, load.reader.count
    return wait_until(lambda: load.acknowledged > acknowledged + calls and load.reader.count > reads, 60)


def check_after_kill(server, load):
    """Acknowledged writes are there, now and after a kill."""
    load.check(stub_of(server))
    server.stop(signal.SIGKILL)
    server.wrapper = ()
    load.check(stub_of(server.start()))
    assert server.stop() == 0


def hold(server):
    host, port = server.listen.rsplit(":", 1)
    held = []
    for _ in range(HELD_CONNECTIONS):
        held.append(socket.create_connection((host, int(port)), timeout=10))
    return held


@pytest.mark.skipif(not shutil.which("prlimit"), reason="prlimit is not installed")
def test_F14_without_descriptors_connections_are_rejected_and_the_log_rolls_on(server, capsys):
    server.wrapper = ("prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}")
    server.flags = ("--segment-bytes", "1MiB")
    load = Load(stub_of(server.start()), [Register(45) for _ in range(WRITERS)])
    with load:
        assert progresses(load)
        held = hold(server)
        segments = server.metric("profiles_log_segments_total")
        assert wait_until(lambda: server.metric("profiles_log_segments_total") > segments + 3, 60)
        used = len(os.listdir(f"/proc/{server.pid}/fd"))
        assert used < DESCRIPTORS and server.metric("profiles_connections") <= CONNECTIONS_MAX
        for connection in held:
            connection.close()
        # A new client can connect again.
        assert wait_until(lambda: server.metric("profiles_connections") <= 2)
        assert stub_of(server).Identify(identify(unique()), timeout=20).lsn > 0
        assert progresses(load)
    assert load.reader.failures == [] and load.rejected == load.unknown == 0
    check_after_kill(server, load)
    with capsys.disabled():
        print(
            f"F14: {HELD_CONNECTIONS} connections with {DESCRIPTORS} descriptors: {used} used, "
            f"{load.acknowledged} acknowledged, 0 failed, 0 lost"
        )


@pytest.mark.skipif(not shutil.which("prlimit"), reason="prlimit is not installed")
def test_F14_without_memory_the_limit_rejects_first_and_a_crash_loses_nothing(server, capsys):
    # Of address space: the program, and for each thread a stack and the allocator's 64 MiB, take about 580 MiB.
    server.wrapper = ("prlimit", f"--as={1152 << 20}")
    server.flags = ("--memory-limit", "32MiB")
    stub = stub_of(server.start())
    people, _ = fill(stub)
    assert all_present(stub, people) and server.process.poll() is None
    server.stop(signal.SIGKILL)

    # Without the limit an allocation will fail, which ends a Swift process; acknowledged writes must survive.
    server.wrapper = ("prlimit", f"--as={688 << 20}")
    server.flags = ("--memory-limit", "0")
    stub = stub_of(server.start())
    more = []
    while len(more) < 20_000:
        person = unique("more")
        try:
            stub.Identify(identify(person, attributes=much()), timeout=60)
        except Exception:
            break
        more.append(person)
    code = server.process.wait(60)
    assert code < 0 and len(more) < 20_000
    server.wrapper = server.flags = ()
    stub = stub_of(server.start())
    assert all_present(stub, people) and all_present(stub, more)
    assert server.stop() == 0
    with capsys.disabled():
        print(
            f"F14: memory limit below the address space: {len(people)} people, then rejected, alive; "
            f"no limit: {len(more)} more, then signal {-code}; 0 lost"
        )


@needs_strace
def test_F14_interrupted_calls_are_made_again(server, tmp_path, capsys):
    # Every third call, except fdatasync, which is never repeated (L8), and which no file system interrupts.
    calls = "pwrite64,pread64,openat,accept4,recvfrom,sendto,read,epoll_wait,epoll_pwait,ftruncate,statfs"
    trace = tmp_path / "trace"
    server.flags = ("--segment-bytes", "1MiB")
    load = Load(stub_of(server.start()), [Register(45) for _ in range(WRITERS)])
    # Attached after the start, because the dynamic loader fails when it is interrupted, and until the kill, because a
    # call that strace had replaced when it detached returns ENOSYS.
    strace = subprocess.Popen(
        [
            "strace",
            "-f",
            "-qq",
            "-o",
            str(trace),
            "-p",
            str(server.pid),
            "-e",
            f"trace={calls}",
            "-e",
            f"inject={calls}:error=EINTR:when=3+3",
        ]
    )
    with load:
        stop = threading.Event()

        def storm():
            while not stop.is_set():
                os.kill(server.pid, signal.SIGHUP)
                os.kill(server.pid, signal.SIGWINCH)
                time.sleep(0.001)

        thread = threading.Thread(target=storm)
        thread.start()
        assert progresses(load, 300)
        stop.set()
        thread.join()
        assert progresses(load)
    assert load.reader.failures == [] and load.rejected == load.unknown == 0
    check_after_kill(server, load)
    strace.wait(30)
    interrupted = trace.read_text().count("EINTR")
    with capsys.disabled():
        print(
            f"F14: {interrupted} calls interrupted and a storm of signals: "
            f"{load.acknowledged} acknowledged, 0 failed, 0 lost"
        )
    assert interrupted > 100


def test_F14_stopped_process_continues_where_it_was(server, capsys):
    load = Load(stub_of(server.start()), [Register() for _ in range(WRITERS)], timeout=STOP_SECONDS / 2)
    with load:
        assert progresses(load)
        os.kill(server.pid, signal.SIGSTOP)
        acknowledged = load.acknowledged
        # Calls exceed their deadlines; the clients continue.
        assert wait_until(lambda: load.unknown >= WRITERS, 60)
        time.sleep(STOP_SECONDS / 2)
        assert load.acknowledged <= acknowledged + WRITERS
        os.kill(server.pid, signal.SIGCONT)
        start = time.monotonic()
        assert progresses(load)
        back = time.monotonic() - start
        health = health_pb2_grpc.HealthStub(server.channel())
        assert health.Check(health_pb2.HealthCheckRequest(service=""), timeout=10).status == 1
        assert server.get("/readyz")[0] == 200
    assert load.reader.failures == []
    assert set().union(*[register.reasons for register in load.registers]) == {"DEADLINE_EXCEEDED"}
    check_after_kill(server, load)
    with capsys.disabled():
        print(
            f"F14: stopped for {STOP_SECONDS} s: {load.unknown} past their deadline, "
            f"{load.acknowledged} acknowledged, 0 lost, "
            f"back to normal after {back:.2f} s"
        )
    if STOP_SECONDS >= STOP_OF_THE_ROW:
        assert back < 5
