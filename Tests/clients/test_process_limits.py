"""What the process may use, how it is told to end, and how it starts where little is mounted."""

import os
import pathlib
import shutil
import signal
import subprocess

import grpc
import pytest

from conftest import BINARY, Failure, custom, event, get, profiles_pb2_grpc, track, types_pb2, wait_until

CONTROL = BINARY.parent / "profilectl"
BENCH = BINARY.parent / "profile-bench"
MIB = 1 << 20
needs_prlimit = pytest.mark.skipif(not shutil.which("prlimit"), reason="prlimit is not installed")


def stub_of(server):
    return profiles_pb2_grpc.ProfilesStub(server.channel())


def line_with(server, text):
    return [line for line in server.lines if text in line]


# Limits.


def much(who):
    """About 4 KiB of log."""
    items = [event(attributes={"text": types_pb2.Value(string="x" * 250)}) for _ in range(15)]
    return track(who, *items)


@needs_prlimit
def test_file_size_below_a_segment_makes_segments_smaller_and_is_named_at_the_start(server):
    server.wrapper = ("prlimit", f"--fsize={2 * MIB}:{2 * MIB}")
    server.flags = ("--segment-bytes", "64MiB")
    stub = stub_of(server.start())
    (line,) = line_with(server, "file size is limited")
    assert '"level":"warning"' in line
    assert f'"file_bytes_max":{2 * MIB},"segment_bytes":{2 * MIB}' in line
    who = custom()
    for _ in range(1_500):
        stub.Track(much(who), timeout=20)
    assert server.metric("profiles_log_segments_total") >= 3 and server.metric("profiles_log_failed") == 0
    assert max(path.stat().st_size for path in server.data_dir.iterdir()) <= 2 * MIB
    assert server.stop() == 0
    # Without the limit, segments of both sizes are read and continued.
    server.wrapper = ()
    assert stub_of(server.start()).GetProfile(get(who)).profile.event_counters[0].count == 22_500
    assert not line_with(server, "file size is limited")[1:]
    assert server.stop() == 0


@needs_prlimit
def test_file_size_without_space_for_a_segment_is_rejected(server):
    server.wrapper = ("prlimit", f"--fsize={MIB - 1}:{MIB - 1}")
    server.start(wait=False)
    assert server.process.wait(30) == 2
    assert wait_until(lambda: line_with(server, f'"file_bytes_max":{MIB - 1}'))
    assert not server.data_dir.exists()


@needs_prlimit
def test_file_size_that_is_reached_while_serving_rejects_writes_and_loses_nothing(server):
    """A write beyond RLIMIT_FSIZE ends a process by SIGXFSZ, unless it ignores that."""
    server.flags = ("--segment-bytes", "1MiB")
    stub = stub_of(server.start())
    who = custom()
    stub.Track(track(who))
    limit = 64 << 10
    subprocess.run(["prlimit", f"--pid={server.pid}", f"--fsize={limit}:{limit}"], check=True)
    written = 0
    # The disk has space, so writes are tried again, and may succeed: without a tick in its frame one
    # fits the rest of the segment, or a snapshot has begun another segment, of 64 KiB too.
    for _ in range(3):
        failure = None
        most = written + 2_000
        while not failure and written < most:
            try:
                stub.Track(track(custom()), timeout=20)
                written += 1
            except grpc.RpcError as error:
                failure = Failure(error)
        assert failure.code == grpc.StatusCode.UNAVAILABLE
        assert failure.reason in ("DISK_FULL", "LOG_UNAVAILABLE")
    assert server.process.poll() is None
    assert stub.GetProfile(get(who)).profile.revision == 1
    server.stop(signal.SIGKILL)
    assert stub_of(server.start()).GetProfile(get(who)).profile.revision == 1
    assert server.metric("profiles_profiles") >= written
    assert server.stop() == 0


@needs_prlimit
@pytest.mark.parametrize(
    "soft,hard,flags,warned",
    [
        (256, 256, (), True),
        (256, 4_096, (), False),
        # Enough for a thousand connections, but not beside the descriptors of the profile page.
        (256, 1_200, (), False),
        (256, 1_200, ("--console-listen", "127.0.0.1:0"), True),
    ],
)
def test_few_descriptors_are_named_at_the_start_and_the_soft_limit_is_raised(server, soft, hard, flags, warned):
    server.flags = flags
    server.wrapper = ("prlimit", f"--nofile={soft}:{hard}")
    server.start()
    limits = pathlib.Path(f"/proc/{server.pid}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max open files")]
    assert line.split()[3:5] == [str(hard), str(hard)]
    assert bool(line_with(server, "few descriptors")) == warned
    assert server.stop() == 0


# Cores.


@pytest.mark.skipif(not shutil.which("taskset"), reason="taskset is not installed")
def test_loops_default_to_the_cores_of_the_affinity(tmp_path):
    cores = sorted(os.sched_getaffinity(0))

    def loops(*wrapper):
        text = subprocess.run(
            [*wrapper, str(BINARY), "--print-config"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
        (line,) = [line for line in text.splitlines() if line.startswith("loops = ")]
        return int(line.split(" = ")[1])

    assert loops() <= len(cores)
    assert loops("taskset", "-c", str(cores[0])) == 1


# Signals.


@pytest.mark.parametrize("sig", [signal.SIGQUIT, signal.SIGABRT])
def test_signals_that_abort_end_the_process_with_a_code(server, sig):
    stub = stub_of(server.start())
    who = custom()
    stub.Track(track(who))
    assert server.stop(sig, timeout=20) == 1
    assert wait_until(lambda: line_with(server, "ended by a signal"))
    assert f'"signal":{int(sig)}' in line_with(server, "ended by a signal")[0]
    assert stub_of(server.start()).GetProfile(get(who)).profile.revision == 1
    assert server.stop() == 0


def test_sigterm_during_recovery_ends_the_process(server):
    server.start()
    stub = stub_of(server)
    for _ in range(200):
        stub.Track(track(custom()))
    server.stop(signal.SIGKILL)
    # Stopped before its first instruction: the signal is there before recovery begins.
    server.wrapper = ("bash", "-c", 'kill -STOP $$; exec "$@"', "bash")
    server.start(wait=False)
    pid = server.process.pid
    assert wait_until(lambda: pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2] == "T")
    os.kill(pid, signal.SIGCONT)
    assert wait_until(lambda: pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "profiled")
    # Repeated, since a process that has not blocked the signal yet ends by it.
    os.kill(pid, signal.SIGTERM)
    assert server.process.wait(30) in (0, -signal.SIGTERM)
    server.wrapper = ()
    assert server.start().metric("profiles_profiles") == 200
    assert server.stop() == 0


# Where little is mounted.


def can_unmount():
    return (
        os.geteuid() == 0
        and shutil.which("unshare") is not None
        and subprocess.run(
            ["unshare", "-m", "sh", "-c", "umount -l /proc"], capture_output=True, timeout=30
        ).returncode
        == 0
    )


needs_unmount = pytest.mark.skipif(not can_unmount(), reason="/proc cannot be unmounted here")
WITHOUT_PROC = ("unshare", "-m", "sh", "-c", 'umount -l /proc && exec "$@"', "sh")


def without_proc(*command):
    return subprocess.run([*WITHOUT_PROC, *command], capture_output=True, text=True, timeout=30)


@needs_unmount
def test_flags_are_honoured_without_proc(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = without_proc(str(BINARY), "--print-config", "--loops", "7", "--data-dir", "elsewhere")
    assert run.returncode == 0 and "loops = 7\n" in run.stdout and "data-dir = elsewhere\n" in run.stdout
    assert without_proc(str(BINARY), "--nonsense").returncode == 2
    server.wrapper = WITHOUT_PROC
    server.start()
    stub_of(server).Track(track(custom()))
    assert server.data_dir.exists() and not (tmp_path / "elsewhere").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    os.kill(server.process.pid, signal.SIGTERM)
    assert server.process.wait(30) == 0


@needs_unmount
def test_flags_of_the_tools_are_honoured_without_proc(shared, tmp_path):
    run = without_proc(str(CONTROL), "verify", str(tmp_path))
    assert run.returncode != 0 and str(tmp_path) in run.stderr + run.stdout
    run = without_proc(str(BENCH), "--mix", "nonsense=1")
    assert run.returncode == 2 and "--mix nonsense=1" in run.stderr


# Texts.


@pytest.mark.parametrize("flag", ["-h", "--help", "--version"])
def test_texts_are_printed(flag):
    run = subprocess.run([str(BINARY), flag], capture_output=True, text=True, timeout=20)
    assert run.returncode == 0 and run.stderr == "" and run.stdout.startswith(("Usage: profiled", "profiled "))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("flag", ["--help", "--version", "--print-config", "--check-config"])
def test_text_that_cannot_be_written_is_a_failure(flag):
    with open("/dev/full", "wb") as full:
        run = subprocess.run([str(BINARY), flag], stdout=full, stderr=subprocess.PIPE, text=True, timeout=20)
    assert run.returncode == 1 and "standard output cannot be written" in run.stderr


def test_text_is_written_whole_to_a_slow_non_blocking_pipe():
    read, write = os.pipe()
    os.set_blocking(write, False)
    process = subprocess.Popen([str(BINARY), "--help"], stdout=write)
    os.close(write)
    text = b""
    while part := os.read(read, 100):
        text += part
    os.close(read)
    assert process.wait(20) == 0 and text.endswith(b"\n") and b"Exit codes:" in text
