"""profile-bench against a server that ends connections while a load runs, as servers with a limit of age do."""

import contextlib
import json
import socket
import struct
import subprocess
import threading

import hpack
import pytest

from conftest import custom, get, profiles_pb2_grpc
from raw import ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, SETTINGS, frame, message
from test_profilectl import BENCH

CALLS_PER_CONNECTION = 50


class EndingServer:
    """Serves so many calls of each connection, then sends GOAWAY, or just closes it."""

    def __init__(self, says_so, calls=CALLS_PER_CONNECTION):
        self.says_so, self.calls_per_connection = says_so, calls
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.connections = self.calls = self.sent_back = 0
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, contextlib.suppress(ConnectionError):
            self.respond(connection)

    def respond(self, connection):
        encoder, served, last = hpack.Encoder(), 0, 0
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        file = connection.makefile("rb")
        file.read(len(PREFACE))
        connection.sendall(frame(SETTINGS))
        if self.calls_per_connection == 0:
            connection.sendall(frame(GOAWAY, payload=struct.pack(">II", 0, 0)))
        while head := file.read(9):
            size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            (stream,) = struct.unpack(">I", head[5:])
            file.read(size)
            if kind == SETTINGS and not flags & ACK:
                connection.sendall(frame(SETTINGS, ACK))
            if kind not in (DATA, HEADERS) or not flags & END_STREAM:
                continue
            if served == self.calls_per_connection:
                with self.lock:
                    self.sent_back += 1
                continue
            served, last = served + 1, stream
            with self.lock:
                self.calls += 1
            first = encoder.encode([(":status", "200"), ("content-type", "application/grpc")])
            connection.sendall(
                frame(HEADERS, END_HEADERS, stream, first)
                + frame(DATA, 0, stream, message(b""))
                + frame(HEADERS, END_HEADERS | END_STREAM, stream, encoder.encode([("grpc-status", "0")]))
            )
            if served == self.calls_per_connection:
                if not self.says_so:
                    break
                connection.sendall(frame(GOAWAY, payload=struct.pack(">II", last, 0)))
        file.close()


def bench(server, *flags):
    return subprocess.run(
        [str(BENCH), "--address", server.address, "--connections", "2", "--streams", "10", "--json", *flags],
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("flags", [("--requests", "1000"), ("--seconds", "2", "--rate", "250")])
def test_a_load_goes_on_with_new_connections_when_the_server_ends_old_ones(flags):
    server = EndingServer(says_so=True)
    finished = bench(server, *flags)
    assert finished.returncode == 0, finished.stderr
    report = json.loads(finished.stdout)
    assert report["statuses"] == {"OK": report["requests"]} and report["requests"] == server.calls >= 400
    assert server.connections >= report["requests"] / CALLS_PER_CONNECTION
    # What was on its way is started again.
    assert server.sent_back > 0 or "--rate" in flags
    server.listener.close()


def test_a_connection_that_is_lost_with_calls_ends_the_load():
    server = EndingServer(says_so=False)
    finished = bench(server, "--requests", "1000")
    assert finished.returncode == 3 and server.address in finished.stderr, finished.stderr
    server.listener.close()


def test_a_server_that_takes_no_call_ends_the_load():
    """Its GOAWAYs would be followed by new connections for ever."""
    server = EndingServer(says_so=True, calls=0)
    finished = bench(server, "--requests", "1000")
    assert finished.returncode == 3 and server.address in finished.stderr, finished.stderr
    assert server.connections < 100
    server.listener.close()


def stream(server, *flags):
    finished = subprocess.run(
        [str(BENCH), "stream", "--address", server.listen, "--pid", str(server.pid), "--json", *flags],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.stdout, finished.stderr
    return finished.returncode, json.loads(finished.stdout)


@pytest.mark.parametrize("batch", [1, 15])
def test_a_load_of_streams_counts_the_events_that_are_durable(server, batch):
    server.start()
    flags = ["--connections", "2", "--streams", "3", "--in-flight", "7", "--ids", "40", "--batch", str(batch)]
    code, report = stream(server, "--events", "1000", *flags)
    # Rounded up to whole messages.
    messages = -(-1000 // batch)
    assert code == 0 and report["events"] == messages * batch and report["messages"] == messages
    assert report["not_stored"] == report["failures"] == 0 and report["statuses"] == {"OK": 6}
    assert report["server_cpu_us"] >= 0 and report["latency_ms"]["p50"] <= report["latency_ms"]["max"]
    stored = server.metric('profiles_items_total{result="stored"}')
    assert stored == report["events"]


def test_a_load_of_streams_does_not_wait_while_it_may_send(shared, tmp_path):
    """Each response lets a message follow, which nothing would wake it for."""
    trace, flags = tmp_path / "trace", ["--events", "30", "--streams", "1", "--in-flight", "1", "--ids", "10"]
    finished = subprocess.run(
        ["strace", "-f", "-e", "trace=poll,ppoll", "-o", str(trace), str(BENCH), "stream", *flags]
        + ["--address", shared.listen],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.returncode == 0 and trace.read_text(), finished.stderr
    # Of 30 waits for a response; a slow disk may make one or another longer than a wait lasts.
    assert trace.read_text().count("(Timeout)") < 15


def test_a_load_of_streams_ends_after_its_seconds(shared):
    code, report = stream(shared, "--seconds", "0.3", "--streams", "2", "--ids", "10")
    assert code == 0 and report["events"] > 0 and report["statuses"] == {"OK": 2}


def test_messages_of_a_stream_that_fail_make_the_load_fail(shared):
    code, report = stream(shared, "--events", "20", "--streams", "1", "--project", "no-such-project")
    assert code == 1 and report["events"] == 0 and report["failures"] == 20


def test_a_value_seed_gives_each_person_values_of_their_own_lengths(server):
    stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())

    def values(seed):
        flags = ["--mix", "profile", "--ids", "40", "--requests", "40", "--value-seed", str(seed)]
        subprocess.run([BENCH, "--address", server.listen, *flags], check=True, stdout=subprocess.DEVNULL, timeout=60)
        people = [stub.GetProfile(get(custom(f"user-{number:06}"))).profile for number in range(40)]
        return [tuple(person.attributes[f"attribute_{index}"].integer for index in range(10)) for person in people]

    first = values(1)
    assert {len(str(value)) for person in first for value in person} == set(range(1, 10))
    assert len(set(first)) > 20
    second = values(2)
    assert all(one != other for one, other in zip(first, second))
    assert values(1) == first


def test_the_cpu_of_a_process_that_does_not_exist_is_rejected(shared):
    for mode in ([], ["stream"]):
        command = [str(BENCH), *mode, "--address", shared.listen, "--pid", "4194304"]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert finished.returncode == 2 and "--pid 4194304: there is no such process" in finished.stderr


def test_the_cpu_of_the_server_is_reported_for_calls(shared):
    flags = ["--requests", "200", "--connections", "1", "--streams", "4", "--ids", "10"]
    finished = subprocess.run(
        [str(BENCH), "--address", shared.listen, "--pid", str(shared.pid), *flags, "--json"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert finished.returncode == 0 and json.loads(finished.stdout)["server_cpu_us"] >= 0, finished.stderr


@pytest.mark.parametrize("flags", [["--batch", "16"], ["--batch", "0"], ["--in-flight", "0"], ["--seconds", "0"]])
def test_a_flag_of_the_stream_mode_outside_of_its_range_is_rejected(flags):
    finished = subprocess.run([str(BENCH), "stream", *flags], capture_output=True, text=True, timeout=30)
    assert finished.returncode == 2 and " ".join(flags) in finished.stderr
