"""Rules of the log that need the real binary on a real file system; each test is named after its rule."""

import signal
import subprocess

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from conftest import custom, event, fails, get, needs_strace, profiles_pb2_grpc, track, wait_until
from small_disk import SmallDisk
from test_rejected_starts import fingerprint

NOT_SERVING = 2
SEGMENT_BYTES = 1 << 20


@pytest.fixture
def disk(tmp_path):
    with SmallDisk(tmp_path, 8 << 20) as disk:
        if disk.kind is None:
            pytest.skip("no small file system can be mounted here: " + "; ".join(disk.why_not))
        yield disk


def stub_of(server):
    return profiles_pb2_grpc.ProfilesStub(server.channel())


def small(disk):
    return disk.server("--segment-bytes", "1MiB")


def said(server, *texts):
    return wait_until(lambda: any(all(text in line for text in texts) for line in server.lines))


@needs_strace
@pytest.mark.parametrize("error", ["EIO", "EDQUOT"])
def test_L8_failed_write_ends_the_log_or_waits_for_space_and_loses_nothing(server, tmp_path, error):
    """EIO is final. An exhausted quota is treated as a full disk: the frame is rolled back, and writes resume when
    there is space."""
    stub = stub_of(server.start())
    known = custom()
    stub.Track(track(known))
    tracer = subprocess.Popen(
        [
            "strace",
            "-f",
            "-o",
            str(tmp_path / "trace"),
            "-p",
            str(server.pid),
            "-e",
            "trace=pwrite64",
            "-e",
            f"inject=pwrite64:error={error}:when=1+",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "attached" in tracer.stderr.readline()
    reason = {"EIO": "LOG_UNAVAILABLE", "EDQUOT": "DISK_FULL"}[error]
    # The first call hits the error, the second is rejected because of it.
    for _ in range(2):
        failure = fails(stub.Track, track(known, event("lost")))
        assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, reason)
    counters = stub.GetProfile(get(known), timeout=20).profile.event_counters
    assert [counter.name for counter in counters] == ["purchase"]
    health = health_pb2_grpc.HealthStub(server.channel()).Check(health_pb2.HealthCheckRequest(service=""), timeout=10)
    assert (health.status == NOT_SERVING) == (error == "EIO")
    tracer.terminate()
    tracer.wait(30)
    if error == "EDQUOT":
        assert wait_until(lambda: server.metric("profiles_disk_full") == 0, 30)
        stub.Track(track(known), timeout=20)
    else:
        assert fails(stub.Track, track(known)).reason == reason
        server.stop(signal.SIGKILL)
        stub = stub_of(server.start())
        stub.Track(track(known), timeout=20)
    counters = stub.GetProfile(get(known), timeout=20).profile.event_counters
    assert [(counter.name, counter.count) for counter in counters] == [("purchase", 2)]
    assert server.stop() == 0


def test_L16_little_space_is_warned_of_and_served_with(disk):
    server = small(disk).start()
    stub_of(server).Track(track(custom()))
    assert server.stop() == 0
    assert not any("less than two segments" in line for line in server.lines)
    disk.fill(leave=SEGMENT_BYTES)
    server = small(disk).start()
    assert said(server, '"level":"warning"', "less than two segments", '"free_bytes"')
    stub_of(server).Track(track(custom()))
    assert server.stop() == 0


def test_L16_start_on_a_full_disk_says_so_and_serves_what_it_can(disk):
    disk.fill()
    server = small(disk).start(wait=False)
    assert server.process.wait(30) == 1
    assert said(server, "data cannot be read or written", "No space left on device")
    disk.free()
    disk.fill(leave=16 << 10)
    # Space for the first frame only.
    server = small(disk).start()
    stub, who = stub_of(server), custom()
    assert wait_until(lambda: server.metric("profiles_disk_full") == 1)
    failure = fails(stub.Track, track(who))
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "DISK_FULL")
    assert fails(stub.GetProfile, get(who)).code == grpc.StatusCode.NOT_FOUND
    disk.free()
    assert wait_until(lambda: server.metric("profiles_disk_full") == 0, 30)
    stub.Track(track(who), timeout=20)
    assert server.stop() == 0


def test_L16_directory_that_cannot_be_written_is_rejected(disk):
    server = small(disk).start()
    stub_of(server).Track(track(custom()))
    server.stop(signal.SIGKILL)
    subprocess.run([*disk.wrapper, "mount", "-o", "remount,ro", str(disk.path)], check=True)
    before = fingerprint(disk.outside / "data")
    server = small(disk).start(wait=False)
    assert server.process.wait(30) == 1
    assert said(server, "data cannot be read or written", "Read-only file system")
    assert fingerprint(disk.outside / "data") == before
    subprocess.run([*disk.wrapper, "mount", "-o", "remount,rw", str(disk.path)], check=True)
    assert small(disk).start().stop() == 0


@needs_strace
def test_L17_failed_read_rejects_the_start_and_is_no_end_of_file(server, tmp_path):
    who = custom()
    # A small log, so that it is read in few pieces.
    server.flags = ("--segment-bytes", "1MiB")
    stub_of(server.start()).Track(track(who))
    server.stop(signal.SIGKILL)
    before = [fingerprint(server.data_dir)[path.name] for path in sorted(server.data_dir.glob("*.log"))]
    server.listen = None
    for number in range(1, 20):
        server.lines.clear()
        server.wrapper = (
            "strace",
            "-f",
            "-qq",
            "-o",
            str(tmp_path / "trace"),
            "-e",
            "trace=pread64",
            "-e",
            f"inject=pread64:error=EIO:when={number}",
            "-P",
            str(sorted(server.data_dir.glob("*.log"))[-1]),
        )
        server.start(wait=False)
        assert wait_until(lambda: server.listen or server.process.poll() is not None, 60)
        if server.listen:
            break
        assert server.process.wait(30) == 1
        assert said(server, "data cannot be read or written", "Input/output error")
        # A start that fails while it copies the tail may leave a temporary file, which the next start removes.
        assert [fingerprint(server.data_dir)[path.name] for path in sorted(server.data_dir.glob("*.log"))] == before
    assert number > 2
    assert stub_of(server).GetProfile(get(who), timeout=20).profile.event_counters[0].count == 1
    assert server.stop() == 0


def test_L20_figures_of_the_log_are_metrics(server):
    server.start()
    names = (
        "profiles_log_fdatasync_seconds_count",
        "profiles_log_frame_operations_sum",
        "profiles_log_frame_operations_count",
        "profiles_log_frame_bytes_sum",
        "profiles_log_bytes_total",
    )
    before = {name: server.metric(name) for name in names}
    stub = stub_of(server)
    for _ in range(10):
        stub.Track(track(custom(), event("one"), event("two")))
    after = {name: server.metric(name) for name in names}
    grown = {name: after[name] - before[name] for name in names}
    assert grown["profiles_log_frame_operations_sum"] == 20
    assert grown["profiles_log_fdatasync_seconds_count"] >= grown["profiles_log_frame_operations_count"] >= 10
    assert grown["profiles_log_bytes_total"] >= grown["profiles_log_frame_bytes_sum"] > 0
    assert server.metric("profiles_recovery_seconds") > 0
    assert server.metric("profiles_disk_free_bytes") > 0
    assert server.metric("profiles_log_torn_tails_total") == 0
    for name in (
        "profiles_log_failed",
        "profiles_disk_full",
        "profiles_disk_full_events_total",
        "profiles_memory_exhausted",
    ):
        assert server.metric(name) == 0
    assert server.stop() == 0
