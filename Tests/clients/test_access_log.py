"""The access log: which calls get a line, what is in it, and that nobody waits for its reader."""

import json
import os
import signal
import socket
import subprocess
import time

import grpc
import h2.connection
import h2.events
import pytest

from conftest import BINARY, Server, custom, fails, get, profiles_pb2, profiles_pb2_grpc, track, unique, wait_until

MEMBERS = [
    "time",
    "message",
    "method",
    "code",
    "milliseconds",
    "queue_milliseconds",
    "sync_milliseconds",
    "apply_milliseconds",
    "request_bytes",
    "response_bytes",
    "project",
    "key",
    "peer",
    "trace",
]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def logged(tmp_path):
    """Starts servers with an access log, and stops them."""
    servers = []

    def start(*flags, path=None, **options):
        path = path or tmp_path / "access.jsonl"
        server = Server(tmp_path / f"data{len(servers)}", "--access-log", str(path), *flags, **options).start()
        servers.append(server)
        return server, lambda: [json.loads(line) for line in path.read_text().splitlines()]

    yield start
    for server in servers:
        if server.process.poll() is None:
            assert server.stop() == 0


def test_each_call_has_a_line_with_what_it_was(logged):
    server, lines = logged()
    person = custom()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        stub.Track(track(person), metadata=[("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01")], timeout=20)
        stub.GetProfile(get(person), timeout=20)
        fails(stub.GetProfile, get(custom()))
        unknown = channel.unary_unary("/profiles.v1.Profiles/Nothing")
        with pytest.raises(grpc.RpcError):
            unknown(b"", timeout=20)
        assert wait_until(lambda: len(lines()) == 4)
    written, read, missing, nothing = lines()
    for line in written, read, missing, nothing:
        assert list(line) == MEMBERS and line["message"] == "call" and line["peer"].startswith("127.0.0.1:")
        assert line["key"] is None and line["milliseconds"] >= 0
    assert written["method"] == "profiles.v1.Profiles/Track" and written["code"] == "OK"
    assert written["trace"] == TRACE and written["project"] == "default"
    assert written["request_bytes"] > 5 and written["response_bytes"] > 5
    phases = [written[f"{name}_milliseconds"] for name in ("queue", "sync", "apply")]
    assert phases[1] > 0 and sum(phases) <= written["milliseconds"] + 1
    for line in read, missing, nothing:
        assert [line[f"{name}_milliseconds"] for name in ("queue", "sync", "apply")] == [None] * 3
    assert (read["code"], missing["code"], nothing["code"]) == ("OK", "NOT_FOUND", "UNIMPLEMENTED")
    assert (nothing["method"], nothing["project"]) == ("unknown", "")
    # Nothing of the person.
    text = json.dumps([written, read, missing])
    assert person.custom_id not in text and "purchase" not in text


def test_a_call_that_was_rejected_on_its_headers_has_a_line_and_no_project(logged, tmp_path):
    key = tmp_path / "operator.key"
    key.touch(mode=0o600)
    key.write_text(subprocess.run([BINARY.parent / "profilectl", "key", "new"], capture_output=True, text=True).stdout)
    server, lines = logged("--operator-key-file", str(key))
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        fails(stub.Track, track(custom()))
        metadata = [("authorization", f"Bearer {key.read_text().split()[0]}")]
        stub.Track(track(custom()), metadata=metadata, timeout=20)
        assert wait_until(lambda: len(lines()) == 2)
    refused, accepted = lines()
    assert (refused["code"], refused["project"], refused["key"]) == ("UNAUTHENTICATED", "", None)
    assert (accepted["code"], accepted["project"]) == ("OK", "default")
    # The id of the key, never its secret.
    assert len(accepted["key"]) == 16 and f"pk_{accepted['key']}_" in key.read_text()


def test_without_a_share_only_slow_calls_have_lines(logged):
    server, lines = logged("--access-log-sample", "0", "--access-log-slow-milliseconds", "60000")
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        for _ in range(50):
            stub.Track(track(custom()), timeout=20)
    assert server.stop() == 0
    assert lines() == []


def track_slowly(server):
    """A Track whose body comes a while after its headers, by hand: its time counts from the headers."""
    host, port = server.listen.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        session = h2.connection.H2Connection()
        session.initiate_connection()
        fields = {":method": "POST", ":scheme": "http", ":path": "/profiles.v1.Profiles/Track", ":authority": "a"}
        session.send_headers(1, [*fields.items(), ("content-type", "application/grpc"), ("te", "trailers")])
        connection.sendall(session.data_to_send())
        time.sleep(0.1)
        message = track(custom()).SerializeToString()
        session.send_data(1, b"\0" + len(message).to_bytes(4, "big") + message, end_stream=True)
        connection.sendall(session.data_to_send())
        while data := connection.recv(65_536):
            if any(isinstance(found, h2.events.StreamEnded) for found in session.receive_data(data)):
                return


def test_slow_calls_have_lines_whatever_the_share_is_and_streams_are_not_slow(logged):
    server, lines = logged("--access-log-sample", "0", "--access-log-slow-milliseconds", "50")
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        stream = stub.TrackStream(iter([]), timeout=20)
        assert list(stream) == []
        watch = stub.Watch(profiles_pb2.WatchRequest(project="default"), timeout=0.2)
        with pytest.raises(grpc.RpcError):
            list(watch)
        track_slowly(server)
    assert server.stop() == 0
    found = [line for line in lines() if line["milliseconds"] >= 50]
    assert [line["method"] for line in found].count("profiles.v1.Profiles/Track") == 1
    assert found == lines() and not {"Watch", "TrackStream"} & {line["method"].split("/")[1] for line in found}


def test_a_share_of_the_calls_has_lines(logged):
    server, lines = logged("--access-log-sample", "0.2", "--access-log-slow-milliseconds", "60000")
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        for future in [stub.GetProfile.future(get(custom()), timeout=60) for _ in range(400)]:
            assert future.exception().code() == grpc.StatusCode.NOT_FOUND
    assert server.stop() == 0
    # 80 are expected; beyond these bounds once in 10^10 runs.
    assert 30 < len(lines()) < 140


def test_a_rotated_file_is_left_at_sighup(logged, tmp_path):
    server, lines = logged()
    path, older = tmp_path / "access.jsonl", tmp_path / "older.jsonl"
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        stub.Track(track(custom()), timeout=20)
        assert wait_until(lambda: len(lines()) == 1)
        path.rename(older)
        os.kill(server.pid, signal.SIGHUP)
        assert wait_until(path.exists)
        stub.Track(track(custom()), timeout=20)
        assert wait_until(lambda: len(lines()) == 1)
    assert len(older.read_text().splitlines()) == 1
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_reader_that_does_not_read_holds_nobody_up(logged, tmp_path):
    """A FIFO that nobody reads: calls go on, lines are lost and counted, and the loss is a line once somebody reads."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    server, _ = logged(path=fifo)
    calls = 8_000
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        for _ in range(calls // 200):
            for future in [stub.GetProfile.future(get(custom()), timeout=60) for _ in range(200)]:
                assert future.exception() is not None
    assert server.metric("profiles_access_lines_dropped_total") > 1_000
    reader = os.open(fifo, os.O_RDONLY)
    text = b""
    while b"lines_lost" not in text:
        text += os.read(reader, 65_536)
    lost = next(json.loads(line) for line in text.splitlines() if b"lines_lost" in line)
    assert lost["lines_lost"] + text.split(b"lines_lost")[0].count(b"\n") == calls
    assert server.stop() == 0
    os.close(reader)


def test_lines_between_those_of_the_servers_own_log(server):
    server.flags = ("--access-log", "stderr")
    server.start()
    with server.channel() as channel:
        profiles_pb2_grpc.ProfilesStub(channel).Track(track(custom()), timeout=20)
    assert wait_until(lambda: any('"message":"call"' in line for line in server.lines))
    assert server.stop() == 0
    for line in server.lines:
        json.loads(line)


def test_a_file_that_cannot_be_opened_rejects_start_and_check(tmp_path):
    folder = tmp_path / unique("folder")
    folder.mkdir()
    for flags in ["--check-config"], []:
        ended = subprocess.run(
            [BINARY, "--data-dir", tmp_path / "data", "--access-log", folder, *flags],
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert ended.returncode == 2 and f"access log open of {folder} failed" in ended.stderr
    same = ["--access-log", tmp_path / "a", "--audit-log", tmp_path / "a", "--check-config"]
    ended = subprocess.run([BINARY, *same], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 2 and "another file than that of audit-log" in ended.stderr
