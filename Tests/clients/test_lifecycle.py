"""Start, restart, drain, exit codes and probes, as seen by operators."""

import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from conftest import (
    BINARY,
    Server,
    custom,
    event,
    fails,
    get,
    needs_strace,
    profiles_pb2_grpc,
    track,
    unique,
    wait_until,
)

SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3


def stub_of(server):
    return profiles_pb2_grpc.ProfilesStub(server.channel())


def digest(folder):
    """The digest of every file but the spare segment and the feed, which a running server writes in the background."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name not in ("next.tmp", "feed")
    }


def newest_segment(folder):
    return sorted(folder.glob("*.log"))[-1]


def test_a_restart_keeps_data_and_lsns_continue(server):
    stub = stub_of(server.start())
    who, request_id = custom(), unique("request")
    before = stub.Track(track(who, event(event_id="one"), request_id=request_id))
    assert server.stop() == 0
    stub = stub_of(server.start())
    assert stub.GetProfile(get(who)).profile.event_counters[0].count == 1
    assert stub.Track(track(who, event(event_id="one"), request_id=request_id)).replayed
    again = stub.Track(track(who, event(event_id="one")))
    assert again.results[0].status == 2 and again.lsn > before.lsn


def test_a_kill_keeps_acknowledged_writes(server):
    stub = stub_of(server.start())
    people = [custom() for _ in range(200)]
    for who in people:
        stub.Track(track(who))
    server.stop(signal.SIGKILL)
    stub = stub_of(server.start())
    assert all(stub.GetProfile(get(who)).profile.event_counters[0].count == 1 for who in people)


def test_health_follows_start_and_drain(server):
    server.start()
    channel = server.channel()
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", "profiles.v1.Profiles", "profiles.v1.Admin"):
        assert stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=10).status == SERVING
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=10)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    unknown = stub.Watch(health_pb2.HealthCheckRequest(service="nobody"), timeout=30)
    assert next(unknown).status == SERVICE_UNKNOWN
    seen = []

    def watch():
        try:
            for response in stub.Watch(health_pb2.HealthCheckRequest(service=""), timeout=60):
                seen.append(response.status)
        except grpc.RpcError as error:
            seen.append(error.code())

    thread = threading.Thread(target=watch)
    thread.start()
    assert wait_until(lambda: seen == [SERVING])
    assert server.stop() == 0
    thread.join(30)
    assert seen == [SERVING, NOT_SERVING, grpc.StatusCode.UNAVAILABLE]


def test_sigterm_completes_open_calls(server):
    """Every call is either acknowledged or fails with UNAVAILABLE, which a client can retry."""
    stub = stub_of(server.start())
    codes, stop = [], threading.Event()

    def write():
        while not stop.is_set():
            try:
                stub.Track(track(custom()), timeout=20)
                codes.append(grpc.StatusCode.OK)
            except grpc.RpcError as error:
                codes.append(error.code())
                if error.code() == grpc.StatusCode.UNAVAILABLE:
                    return

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert wait_until(lambda: len(codes) > 200)
    assert server.stop() == 0
    stop.set()
    for thread in threads:
        thread.join(30)
    assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}


def test_a_second_process_is_rejected_with_4(server):
    server.start()
    before = digest(server.data_dir)
    other = Server(server.data_dir).start(wait=False)
    assert other.process.wait(30) == 4
    assert digest(server.data_dir) == before


@pytest.mark.parametrize(
    "flags", [["--nonsense"], ["--loops", "0"], ["--listen", "0.0.0.0:1"], ["--listen", "nowhere"]]
)
def test_bad_flags_exit_with_2(tmp_path, flags):
    run = subprocess.run(
        [str(BINARY), "--data-dir", str(tmp_path / "d"), *flags], capture_output=True, text=True, timeout=30
    )
    assert run.returncode == 2 and flags[0].lstrip("-") in run.stderr
    assert not (tmp_path / "d").exists()


def test_help_explains_each_flag():
    text = subprocess.run([str(BINARY), "--help"], capture_output=True, text=True, timeout=30).stdout
    for flag in (
        "--data-dir",
        "--listen",
        "--admin-listen",
        "--loops",
        "--segment-bytes",
        "127.0.0.1:50051",
        "PROFILES_DATA_DIR",
    ):
        assert flag in text


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="no tmpfs here")
def test_L16_a_file_system_that_forgets_is_warned_of():
    """L16: tmpfs acknowledges syncs without persisting anything."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        server = Server(pathlib.Path(folder) / "data").start()
        assert any('"file_system":"tmpfs"' in line and '"warning"' in line.lower() for line in server.lines)
        assert server.stop() == 0


def test_L4_corruption_before_a_seal_is_rejected_with_3_and_changes_nothing(server):
    stub = stub_of(server.start())
    stub.Track(track(custom()))
    assert server.stop() == 0
    segment = newest_segment(server.data_dir)
    data = bytearray(segment.read_bytes())
    data[200] ^= 1
    segment.write_bytes(data)
    before = digest(server.data_dir)
    server.start(wait=False)
    assert server.process.wait(30) == 3
    assert wait_until(lambda: any("data refused" in line and segment.name in line for line in server.lines))
    assert digest(server.data_dir) == before


def test_a_newer_format_is_rejected_with_3(server):
    server.start()
    assert server.stop() == 0
    import struct

    segment = newest_segment(server.data_dir)
    data = bytearray(segment.read_bytes())
    data[8:12] = struct.pack("<I", 2)
    data[60:64] = struct.pack("<I", crc32c(bytes(data[:60])))
    segment.write_bytes(data)
    server.start(wait=False)
    assert server.process.wait(30) == 3
    assert wait_until(lambda: any("format 2" in line for line in server.lines))


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_L4_L20_a_torn_tail_is_set_aside_and_counted(server):
    stub = stub_of(server.start())
    who = custom()
    stub.Track(track(who))
    server.stop(signal.SIGKILL)
    segment = newest_segment(server.data_dir)
    data = bytearray(segment.read_bytes())
    # Far after the last frame, which may itself end in zeros.
    end = len(data.rstrip(b"\0")) + 64
    end += -end % 8
    data[end : end + 40] = b"PFRM" + b"\x01" * 36
    segment.write_bytes(data)
    stub = stub_of(server.start())
    assert stub.GetProfile(get(who)).profile.event_counters[0].count == 1
    assert any("torn tail" in line for line in server.lines)
    assert list(server.data_dir.glob("torn-*"))
    assert server.metric("profiles_log_torn_tails_total") == 1


def test_a_missing_middle_segment_is_rejected_with_3(server):
    for _ in range(3):
        stub = stub_of(server.start())
        stub.Track(track(custom()))
        server.stop(signal.SIGKILL)
    segments = sorted(server.data_dir.glob("*.log"))
    assert len(segments) >= 3
    segments[1].unlink()
    before = digest(server.data_dir)
    server.start(wait=False)
    assert server.process.wait(30) == 3
    assert digest(server.data_dir) == before


def test_pages_of_the_operators_listener(shared, stub):
    stub.Track(track(custom()))
    for path in ("/livez", "/readyz", "/startupz"):
        assert shared.get(path)[0] == 200
    assert '"program":"profiled"' in shared.get("/version")[1]
    assert shared.get("/nothing")[0] == 404
    text = subprocess.run(
        ["curl", "-sS", f"http://{shared.admin}/metrics"], capture_output=True, text=True, timeout=20
    ).stdout
    for name in (
        'grpc_server_handled_total{method="profiles.v1.Profiles/Track",grpc_code="OK"}',
        "grpc_server_handling_seconds_bucket",
        "profiles_log_frame_operations_bucket",
        "profiles_log_frame_bytes_sum",
        "profiles_log_fdatasync_seconds_count",
        "profiles_profiles ",
        "profiles_log_bytes_total ",
        "profiles_store_bytes ",
        "profiles_applied_lsn ",
    ):
        assert name in text


def test_tiny_deadlines_end_in_time_and_are_never_applied_twice(shared, stub):
    """OK may win the race; after DEADLINE_EXCEEDED the outcome is unknown, and a retry with the same event id resolves
    it."""
    who = custom()
    codes = []
    for number in range(50):
        try:
            stub.Track(track(who, event(event_id=str(number))), timeout=0.0000001)
            codes.append(grpc.StatusCode.OK)
        except grpc.RpcError as error:
            codes.append(error.code())
    assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED}
    for number in range(50):
        stub.Track(track(who, event(event_id=str(number))))
    assert stub.GetProfile(get(who)).profile.event_counters[0].count == 50


@pytest.mark.skipif(not shutil.which("nghttp"), reason="nghttp is not installed")
def test_nghttp_gets_a_grpc_response(shared, tmp_path):
    body = tmp_path / "body"
    message = track(custom()).SerializeToString()
    body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    run = subprocess.run(
        [
            "nghttp",
            "-v",
            "-d",
            str(body),
            "-H",
            ":method: POST",
            "-H",
            "content-type: application/grpc",
            "-H",
            "te: trailers",
            f"http://{shared.listen}/profiles.v1.Profiles/Track",
        ],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=30,
    )
    assert "grpc-status: 0" in run.stdout and "content-type: application/grpc" in run.stdout


@pytest.mark.skipif(not shutil.which("h2load"), reason="h2load is not installed")
def test_h2load_20000_tracks(shared, tmp_path):
    body = tmp_path / "body"
    message = track(custom("h2load")).SerializeToString()
    body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    before = shared.metric('profiles_items_total{result="stored"}')
    run = subprocess.run(
        [
            "h2load",
            "-n",
            "20000",
            "-c",
            "8",
            "-m",
            "100",
            "-d",
            str(body),
            "-H",
            "content-type: application/grpc",
            "-H",
            "te: trailers",
            f"http://{shared.listen}/profiles.v1.Profiles/Track",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "20000 succeeded, 0 failed" in run.stdout
    assert shared.metric('profiles_items_total{result="stored"}') - before == 20_000


def test_http1_on_the_grpc_port_is_harmless(shared, stub):
    response = subprocess.run(["curl", "-s", "-m", "15", f"http://{shared.listen}/"], capture_output=True, timeout=20)
    # Not HTTP/1.1 (1) or reset (56), long before curl ends by itself (28).
    assert response.returncode in (1, 56)
    stub.Track(track(custom()))


@needs_strace
def test_L8_failed_fdatasync_poisons_the_log_and_reads_go_on(tmp_path):
    """F8: the status is UNAVAILABLE, no sync is retried, and a restart recovers."""
    trace = tmp_path / "trace"
    server = Server(tmp_path / "data")
    stub = stub_of(server.start())
    known = custom()
    stub.Track(track(known))
    assert server.stop() == 0
    # The segment thread calls fdatasync too, so all calls from the n-th on fail, to be sure to hit the log thread.
    server.wrapper = (
        "strace",
        "-f",
        "-qq",
        "-o",
        str(trace),
        "-e",
        "trace=fdatasync",
        "-e",
        "inject=fdatasync:error=EIO:when=40+",
    )
    server.flags = ("--segment-bytes", "1MiB")
    server.start()
    stub = stub_of(server)
    failure = None
    for _ in range(200):
        try:
            stub.Track(track(known), timeout=30)
        except grpc.RpcError as error:
            failure = error
            break
    assert failure is not None and failure.code() == grpc.StatusCode.UNAVAILABLE
    rejected = fails(stub.Track, track(known))
    assert (rejected.code, rejected.reason) == (grpc.StatusCode.UNAVAILABLE, "LOG_UNAVAILABLE")
    assert stub.GetProfile(get(known), timeout=20).profile.event_counters[0].count >= 1
    assert server.get("/readyz")[0] == 503 and server.get("/livez")[0] == 200
    health = health_pb2_grpc.HealthStub(server.channel())
    assert health.Check(health_pb2.HealthCheckRequest(service=""), timeout=10).status == NOT_SERVING
    count = stub.GetProfile(get(known), timeout=20).profile.event_counters[0].count
    server.stop(signal.SIGKILL)
    plain = Server(server.data_dir)
    stub = stub_of(plain.start())
    assert stub.GetProfile(get(known)).profile.event_counters[0].count >= count
    assert plain.stop() == 0
