"""A slow disk (F13): strace delays each fdatasync by PROFILES_SYNC_DELAYS milliseconds.

Writes are acknowledged late, or end with DEADLINE_EXCEEDED if their clients do not wait that long; health and reads do
not wait for the disk; queued writes are bounded. Times are printed, and asserted only for a delay of 5 s, during which
health must take under 100 ms.
"""

import os
import signal
import time

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from conftest import Failure, Server, custom, event, get, needs_strace, profiles_pb2_grpc, track, types_pb2
from journal import Load, Register

DELAYS = [int(delay) for delay in os.environ.get("PROFILES_SYNC_DELAYS", "300").split(",")]
DELAY_OF_THE_ROW = 5_000
WRITES = 8
# Records of about 90 KB: 800 of them reach the limit of 64 MiB of queued records.
FLOOD = 1_000
# A sync during the flood lasts at least this long, so that a client of any speed sends faster than the log stores.
FLOOD_DELAY_MIN = 1_000
BYTES_WAITING_MAX = 64 << 20
# The queued records, the part of them stored in the meantime, and the buffers of sixteen connections.
RSS_GROWTH_MAX = 512 << 20

pytestmark = needs_strace


def slowed(server, tmp_path, milliseconds):
    server.wrapper = (
        "strace",
        "-f",
        "-qq",
        "-o",
        str(tmp_path / "trace"),
        "-e",
        "trace=fdatasync",
        "-e",
        f"inject=fdatasync:delay_enter={milliseconds}ms",
    )
    return server.start()


def large():
    """A Track of 15 events of 20 strings of 300."""
    text = types_pb2.Value(string="x" * 300)
    attributes = {f"a{index}": text for index in range(20)}
    return track(custom(), *[event("large", attributes=attributes) for _ in range(15)])


def overtaken(server, register, milliseconds):
    """Calls health and reads while a write waits for the disk; returns how often both returned first, and their longest
    time."""
    stub, health = profiles_pb2_grpc.ProfilesStub(server.channel()), health_pb2_grpc.HealthStub(server.channel())
    first, longest = 0, 0.0
    for _ in range(WRITES):
        register.sent += 1
        register.possible.add(register.sent)
        sent = time.monotonic()
        pending = stub.Identify.future(register.request(register.sent), timeout=60 + milliseconds / 100)
        start = time.monotonic()
        assert health.Check(health_pb2.HealthCheckRequest(service=""), timeout=20).status == 1
        longest = max(longest, time.monotonic() - start)
        stub.GetProfile(get(register.who), timeout=20)
        first += not pending.done()
        pending.result()
        # There must be no response before the sync, so on any machine this takes at least the delay.
        assert time.monotonic() - sent >= milliseconds / 1000
        register.acknowledged += 1
        register.possible = {register.sent}
    return first, longest


def flood(server):
    """Sends more than may be queued; returns the numbers of acknowledged and rejected calls, and the most that was
    queued."""
    channels = [server.channel() for _ in range(16)]
    stubs = [profiles_pb2_grpc.ProfilesStub(channel) for channel in channels]
    request = large()
    futures = [stubs[index % len(stubs)].Track.future(request, timeout=600) for index in range(FLOOD)]
    most, codes = 0, {}
    while not all(future.done() for future in futures):
        most = max(most, server.metric("profiles_command_bytes_waiting"))
        time.sleep(0.02)
    for future in futures:
        error = future.exception()
        name = Failure(error).reason if error else "OK"
        codes[name] = codes.get(name, 0) + 1
    return codes, most


@pytest.mark.parametrize("milliseconds", DELAYS)
def test_F13_slow_disk_delays_writes_and_nothing_else(server, tmp_path, capsys, milliseconds):
    plain = profiles_pb2_grpc.ProfilesStub(server.start().channel())
    registers = [Register() for _ in range(4)]
    impatient = [Register() for _ in range(2)]
    for register in registers + impatient:
        assert register.write(plain)
    assert server.stop() == 0
    slowed(server, tmp_path, milliseconds)
    stub = profiles_pb2_grpc.ProfilesStub(server.channel())
    first, longest = overtaken(server, registers[0], milliseconds)
    assert first > WRITES // 2, "health and reads waited for the disk"

    # Patient clients get their acknowledgements, those with short deadlines DEADLINE_EXCEEDED.
    with Load(stub, registers, timeout=60 + milliseconds / 100) as patient:
        with Load(stub, impatient, timeout=milliseconds / 4_000) as hasty:
            acknowledged = patient.acknowledged
            while patient.acknowledged < acknowledged + 2 * len(registers) or hasty.unknown < 2:
                assert server.process.poll() is None
                time.sleep(0.02)
    assert set().union(*[register.reasons for register in registers]) == set()
    assert set().union(*[register.reasons for register in impatient]) == {"DEADLINE_EXCEEDED"}
    assert patient.reader.failures == hasty.reader.failures == []
    assert server.stop() == 0
    slowed(server, tmp_path, max(milliseconds, FLOOD_DELAY_MIN))
    before = server.resident_bytes()
    codes, most = flood(server)
    grown = server.resident_bytes() - before
    assert most <= BYTES_WAITING_MAX + 2 * (1 << 20)
    assert grown < RSS_GROWTH_MAX
    assert set(codes) == {"OK", "RATE_EXCEEDED"}
    stub = profiles_pb2_grpc.ProfilesStub(server.channel())
    for register in registers + impatient:
        register.check(stub)
    server.stop(signal.SIGKILL)
    server.process.wait(30)
    fast = Server(server.data_dir).start()
    stub = profiles_pb2_grpc.ProfilesStub(fast.channel())
    for register in registers + impatient:
        register.check(stub)
    assert fast.stop() == 0
    with capsys.disabled():
        print(
            f"F13: fdatasync {milliseconds} ms late: {patient.acknowledged} acknowledged late, "
            f"{hasty.unknown} past their deadline, "
            f"health and reads returned first {first} of {WRITES} times, health at most {longest * 1000:.1f} ms; "
            f"flood of {FLOOD}: {codes}, at most {most / (1 << 20):.1f} MiB queued, "
            f"RSS +{grown / (1 << 20):.0f} MiB; 0 lost"
        )
    if milliseconds >= DELAY_OF_THE_ROW:
        assert longest < 0.1
