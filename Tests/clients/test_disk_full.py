"""A full disk (F10, L9): fill, free, refill.

The service runs on a small file system of its own, with ballast that takes all free space. Writers and a reader run
continuously. PROFILES_DISK_ROUNDS sets the rounds; from 50 on the time within which writes must resume is asserted too.
"""

import os
import signal
import time

import pytest

from conftest import profiles_pb2_grpc, wait_until
from grpc_health.v1 import health_pb2, health_pb2_grpc
from journal import Load, Register
from profiles.v1 import admin_pb2, admin_pb2_grpc
from small_disk import SmallDisk

ROUNDS = int(os.environ.get("PROFILES_DISK_ROUNDS", "5"))
ROUNDS_OF_THE_ROW = 50
DISK_BYTES = 8 << 20
WRITERS = 4
# Attributes of 300 bytes in each write: a segment of 1 MiB takes about seventy.
PADDING = 45


def state(disk, server):
    """For failure messages: the server's last log lines, and the files on the disk."""
    files = {path.name: path.stat().st_size for path in sorted((disk.outside / "data").iterdir())}
    return f"{disk.free_bytes} bytes free, {files}, {server.lines[-4:]}"


def test_F10_full_disk_rejects_writes_serves_reads_and_heals(tmp_path, capsys):
    with SmallDisk(tmp_path, DISK_BYTES) as disk:
        if disk.kind is None:
            pytest.skip("no small file system can be mounted here: " + "; ".join(disk.why_not))
        server = disk.server("--segment-bytes", "1MiB", "--snapshot-log-bytes", "1MiB").start()
        stub = profiles_pb2_grpc.ProfilesStub(server.channel())
        health = health_pb2_grpc.HealthStub(server.channel())
        load = Load(stub, [Register(PADDING) for _ in range(WRITERS)])
        back, reads_while_full = [], 0
        with load:
            # Two snapshots, so that the server knows how much space one needs, however slow this client writes.
            admin = admin_pb2_grpc.AdminStub(server.channel())
            for _ in range(2):
                acknowledged = load.acknowledged
                assert wait_until(lambda: load.acknowledged > acknowledged, 60)
                admin.CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=60)
            assert server.metric('profiles_snapshots_total{result="verified"}') >= 2
            for _ in range(ROUNDS):
                with disk.held_full():
                    assert wait_until(lambda: server.metric("profiles_disk_full") == 1, 60), state(disk, server)
                    rejected, reads = load.rejected, load.reader.count
                    # The change feed yields its oldest segments to the log, which can go on for a while with them.
                    assert wait_until(
                        lambda: load.rejected > rejected + WRITERS and load.reader.count > reads + 20, 60
                    ), state(disk, server)
                    assert wait_until(
                        lambda: server.get("/readyz") == (503, "not ready: disk full, writes are rejected\n"), 60
                    ), state(disk, server)
                    assert health.Check(health_pb2.HealthCheckRequest(service=""), timeout=10).status == 1
                    reads_while_full += load.reader.count - reads
                acknowledged, start = load.acknowledged, time.monotonic()
                disk.free()
                assert wait_until(lambda: load.acknowledged > acknowledged, 60), state(disk, server)
                back.append(time.monotonic() - start)
                acknowledged = load.acknowledged
                assert wait_until(lambda: load.acknowledged > acknowledged + WRITERS)
        assert load.reader.failures == []
        assert set().union(*[register.reasons for register in load.registers]) == {"DISK_FULL"}
        assert load.unknown == 0
        load.check(stub)
        server.stop(signal.SIGKILL)
        stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
        load.check(stub)
        assert server.stop() == 0
    with capsys.disabled():
        print(
            f"F10: {disk.kind} of {DISK_BYTES >> 20} MiB, {ROUNDS} rounds, "
            f"{load.acknowledged} acknowledged, {load.rejected} rejected, "
            f"{load.reader.count} reads ({reads_while_full} while full, 0 failed); 0 crashes, 0 lost; "
            f"writes resume after {sorted(back)[len(back) // 2]:.2f} s (longest {max(back):.2f} s)"
        )
    if ROUNDS >= ROUNDS_OF_THE_ROW:
        assert max(back) < 5
