"""Faults of the network (F15): killed connections, resets in the middle of a message, peers that are gone without a
word, and a reader of 64 kbit/s. Afterwards the server has as many descriptors and as much memory as before.

`ss -K` kills the connections of the load, once a second. What the clients know of their writes must hold all the time.
PROFILES_NETWORK_SECONDS is how long the faults last.
"""

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import time

import pytest

from conftest import custom, get, profiles_pb2, profiles_pb2_grpc, track, types_pb2, wait_until
from journal import Background, Load, Register
from raw import ACK, END_STREAM, GOAWAY, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE, Raw, frame, message

SECONDS = float(os.environ.get("PROFILES_NETWORK_SECONDS", "3"))
SECONDS_OF_THE_ROW = 60
# Before the base is measured: what the first faults allocate is no leak.
WARM_UP_SECONDS = max(2, SECONDS / 4)
WRITERS = 3
# The longest time in which the server finds out that a peer has gone: 60 s for a message, with a margin.
SILENT_SECONDS_MAX = 90
GROWTH_MAX = 1.05
# In bytes, beside it, where the run is shorter than that of the row.
SHORT_GROWTH_MAX_BYTES = 4 << 20
# Addresses, as `ss` shall find the load alone, and each has connections of its own budget.
LOAD, RESETTER, GONE, SLOW = "127.0.0.1", "127.0.0.6", "127.0.0.7", "127.0.0.8"
SLOW_BYTES_PER_SECOND = 64_000 // 8
LARGE_ATTRIBUTES, LARGE_ATTRIBUTE_BYTES = 10, 1_900
# <linux/tcp.h>: a socket that is closed in repair mode sends nothing.
TCP_REPAIR = 19
PAUSE_SECONDS = 0.02


def can_kill():
    """Whether `ss -K` closes a connection: the kernel and the user's rights decide."""
    if not shutil.which("ss"):
        return False
    with socket.create_server((LOAD, 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((LOAD, port)) as client, listener.accept()[0]:
            kill_connections(port)
            client.settimeout(1)
            try:
                return client.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True


def kill_connections(port):
    subprocess.run(
        ["ss", "-K", "-H", "-t", "sport", "=", f":{port}", "and", "dst", LOAD], capture_output=True, timeout=30
    )


def can_vanish():
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        return True
    return False


def half_message(connection):
    stream = connection.headers()
    connection.data(stream, message(track(custom()).SerializeToString())[:-3], end=False)


def half_headers(connection):
    connection.send(frame(HEADERS, 0, 1, connection.encoder.encode([(":method", "POST")])))


def vanish(connection):
    connection.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    connection.socket.close()


def reset(connection):
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.socket.close()


class Faults(Background):
    """All faults at once."""

    def __init__(self, server, large):
        self.server, self.large = server, large
        self.port = int(server.listen.rsplit(":", 1)[1])
        self.kills = self.resets = self.gone = 0
        self.slow_bytes = self.slow_responses = 0
        self.problems = []

    def runs(self):
        loops = [self.kill, self.reset_in_messages, self.read_slowly] + [self.vanish_silently] * can_vanish()
        return [(self.guard, loop) for loop in loops]

    def guard(self, loop):
        try:
            loop()
        except Exception as error:
            self.problems.append(f"{loop.__name__}: {error!r}")

    def kill(self):
        while not self.stop.wait(1):
            kill_connections(self.port)
            self.kills += 1

    def reset_in_messages(self):
        while not self.stop.wait(PAUSE_SECONDS):
            connection = Raw(self.server.listen, source=RESETTER)
            half_message(connection)
            reset(connection)
            self.resets += 1

    def vanish_silently(self):
        # A message is awaited for 60 s: only where the test lasts as long.
        halves = [half_headers, half_message] if SECONDS >= SECONDS_OF_THE_ROW else [half_headers]
        while not self.stop.wait(0.5):
            connection = Raw(self.server.listen, source=GONE)
            halves[self.gone % len(halves)](connection)
            # What is not acknowledged yet would be lost with the socket.
            time.sleep(0.1)
            vanish(connection)
            self.gone += 1

    def read_slowly(self):
        with Raw(self.server.listen, source=SLOW) as raw:
            raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            raw.open_window()
            rest = b""
            while not self.stop.is_set():
                stream = raw.headers(path="/profiles.v1.Profiles/GetProfile")
                raw.send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 1 << 20)))
                raw.data(stream, message(get(self.large).SerializeToString()))
                rest = self.read_response(raw, stream, rest)

    def read_response(self, raw, stream, rest):
        """Reads to the trailers of a stream, at 64 kbit/s; returns what came behind them."""
        while not self.stop.wait(0.1):
            part = raw.socket.recv(SLOW_BYTES_PER_SECOND // 10)
            assert part, "a slow reader was disconnected"
            self.slow_bytes += len(part)
            rest += part
            while len(rest) >= 9 and len(rest) >= 9 + int.from_bytes(rest[:3], "big"):
                kind, flags, of = rest[3], rest[4], int.from_bytes(rest[5:9], "big")
                assert kind not in (RST_STREAM, GOAWAY), f"a slow reader was cut off: {rest[9:100]}"
                if kind == SETTINGS and not flags & ACK:
                    raw.send(frame(SETTINGS, ACK))
                rest = rest[9 + int.from_bytes(rest[:3], "big") :]
                if kind == HEADERS and flags & END_STREAM and of == stream:
                    self.slow_responses += 1
                    return rest
        return rest


def store_large(server):
    who = custom()
    values = {
        f"a{number}": types_pb2.Value(url="https://a/".ljust(LARGE_ATTRIBUTE_BYTES, "x"))
        for number in range(LARGE_ATTRIBUTES)
    }
    with server.channel() as channel:
        profiles_pb2_grpc.ProfilesStub(channel).Identify(
            profiles_pb2.IdentifyRequest(
                project="default", custom_id=who.custom_id, attributes=types_pb2.AttributePatch(set=values)
            )
        )
    return who


def descriptors(server):
    return len(os.listdir(f"/proc/{server.pid}/fd"))


def run_faults(server, registers, large, seconds):
    """Runs the load with all faults for so long, checks what the clients know, and waits until all connections are
    gone; returns the faults and the load."""
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        load = Load(stub, registers, timeout=20)
        with Faults(server, large) as faults, load:
            time.sleep(seconds)
    assert faults.problems == []
    wrong = [failure for failure in load.reader.failures if failure != "StatusCode.UNAVAILABLE"]
    assert wrong == [] and set().union(*[register.reasons for register in registers]) <= {"UNAVAILABLE"}
    with server.channel() as channel:
        load.check(profiles_pb2_grpc.ProfilesStub(channel))
    assert wait_until(lambda: server.metric("profiles_connections") == 0, SILENT_SECONDS_MAX)
    return faults, load


def test_F15_faults_of_the_network_leave_no_descriptor_and_no_memory_behind(server, capsys):
    if not can_kill():
        pytest.skip("ss -K closes no connections here")
    server.start()
    large = store_large(server)
    registers = [Register() for _ in range(WRITERS)]
    run_faults(server, registers, large, WARM_UP_SECONDS)
    descriptors_before, memory_before = descriptors(server), server.resident_bytes()
    faults, load = run_faults(server, registers, large, SECONDS)
    assert wait_until(lambda: descriptors(server) <= descriptors_before * GROWTH_MAX)
    memory = server.resident_bytes()
    with capsys.disabled():
        print(
            f"F15: {SECONDS:.0f} s, all connections of the load killed {faults.kills} times, {faults.resets} resets in "
            f"a message, {faults.gone} peers gone silently, {faults.slow_responses} responses "
            f"({faults.slow_bytes} bytes) read at 64 kbit/s; {load.acknowledged} acknowledged, {load.unknown} unknown, "
            f"0 lost; descriptors {descriptors_before} before, {descriptors(server)} after, "
            f"RSS {memory_before / 2**20:.1f} and {memory / 2**20:.1f} MiB"
        )
    assert faults.kills and faults.resets and load.unknown
    # A few seconds are no base that the allocator has settled on.
    slack = 0 if SECONDS >= SECONDS_OF_THE_ROW else SHORT_GROWTH_MAX_BYTES
    assert memory <= memory_before * GROWTH_MAX + slack
    assert server.stop() == 0
