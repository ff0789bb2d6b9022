"""profilectl and profile-bench write all of their output, or say that they could not."""

import os
import pty
import select
import signal
import subprocess
import time

import pytest

from conftest import unique
from operator_tools import TOOL

BENCH = TOOL.parent / "profile-bench"
LOST, CLOSED_PIPE = 6, 141


def start(server, *words, program=TOOL, **options):
    environment = {**os.environ, "PROFILES_ADDRESS": server.listen if server else "127.0.0.1:1"}
    options.setdefault("stderr", subprocess.PIPE)
    return subprocess.Popen([str(program), *map(str, words)], env=environment, stdin=subprocess.DEVNULL, **options)


def finish(process):
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors.decode() if errors else ""


@pytest.fixture(scope="module")
def person(shared):
    """Somebody with enough events that a listing is longer than a pipe holds."""
    who = unique("listed")
    for _ in range(12):
        finish(start(shared, "track", who, "view", f"page={'x' * 250}", "--label", "y" * 80, stdout=subprocess.DEVNULL))
    return who


def commands(who):
    return [
        ["help"], ["help", "import"], ["--version"], ["get", "-h"], ["completion", "bash"], ["health"], ["get", who],
        ["--json", "get", who], ["events", who], ["--json", "events", who], ["consent", who, "--verify"],
        ["sendable", who, "email"], ["track", who, "seen"], ["identify", who, "plan=gold"],
        ["subscribe", who, "email"], ["unsubscribe", who, "email"], ["erase", unique("nobody"), "--yes"],
        ["snapshot"],
    ]  # fmt: skip


def test_a_full_disk_is_an_error_for_every_command(shared, person):
    for words in commands(person):
        with open("/dev/full", "w") as full:
            code, errors = finish(start(shared, *words, stdout=full))
        assert code == LOST, words
        assert errors.startswith("profilectl: the output is incomplete: ") and "No space left" in errors, words
        assert errors.count("\n") == 1


def test_a_closed_output_is_an_error(shared, person):
    """Not a socket or file that happened to get its number."""
    for words in (["get", person], ["track", person, "seen"]):
        finished = subprocess.run(
            ["bash", "-c", f'"{TOOL}" "$@" >&-', "bash", *words],
            env={**os.environ, "PROFILES_ADDRESS": shared.listen},
            capture_output=True,
            timeout=60,
        )
        assert finished.returncode == LOST and b"Bad file descriptor" in finished.stderr


@pytest.mark.parametrize("restore_signals", [True, False])
def test_a_reader_that_left_ends_it_in_silence(shared, person, restore_signals):
    """Whether the parent ignores SIGPIPE, as Python does, or not."""
    for words in (["help"], ["--json", "events", person, "--limit", "0"]):
        reader, writer = os.pipe()
        os.close(reader)
        code, errors = finish(start(shared, *words, stdout=writer, restore_signals=restore_signals))
        os.close(writer)
        assert code == CLOSED_PIPE and errors == "", words


def test_a_slow_reader_of_a_non_blocking_pipe_gets_everything(shared, person):
    for words in (["completion", "fish"], ["--json", "events", person], ["get", person, "--events", "12"]):
        whole = start(shared, *words, stdout=subprocess.PIPE).communicate(timeout=60)[0]
        assert len(whole) > 4_096
        reader, writer = os.pipe()
        import fcntl

        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4_096)
        os.set_blocking(writer, False)
        process = start(shared, *words, stdout=writer)
        os.close(writer)
        time.sleep(0.3)
        received = b""
        while piece := os.read(reader, 500):
            received += piece
        os.close(reader)
        assert finish(process) == (0, "")
        # Ages may have changed between the two runs.
        assert abs(len(received) - len(whole)) < 100 and received[-20:] == whole[-20:]


def test_a_limit_of_the_file_size_is_an_error(shared, tmp_path):
    """Without a handler SIGXFSZ would end the process without a word."""
    target = tmp_path / "out"
    finished = subprocess.run(
        ["bash", "-c", f'ulimit -f 1; exec "{TOOL}" completion bash > "{target}"'], capture_output=True, timeout=60
    )
    assert finished.returncode == LOST and b"File too large" in finished.stderr and target.stat().st_size == 1_024


def test_code_of_a_failed_command_is_kept(shared):
    with open("/dev/full", "w") as full:
        code, errors = finish(start(shared, "get", unique("nobody"), stdout=full))
        assert code == 1 and "PROFILE_NOT_FOUND" in errors
        code, errors = finish(start(None, "health", stdout=full))
        assert code == 3


def test_offline_commands_notice_a_full_disk(server, tmp_path):
    server.start()
    for number in range(3):
        finish(start(server, "track", f"anna-{number}", "view", stdout=subprocess.DEVNULL))
    with open("/dev/full", "w") as full:
        assert finish(start(server, "backup", tmp_path / "copy", stdout=full))[0] == LOST
        assert finish(start(server, "--json", "backup", tmp_path / "second", stdout=full))[0] == LOST
        server.stop()
        restore = ["restore", tmp_path / "copy", tmp_path / "r"]
        offline = [["verify", server.data_dir], ["dump", server.data_dir], restore]
        for words in offline:
            code, errors = finish(start(None, *words, stdout=full))
            assert code == LOST and "No space left" in errors, words
    # The restore itself is complete.
    assert finish(start(None, "verify", tmp_path / "r", stdout=subprocess.DEVNULL)) == (0, "")


def test_restore_to_a_limited_file_size_is_an_error(server, tmp_path):
    server.start()
    finish(start(server, "track", "anna", "view", stdout=subprocess.DEVNULL))
    assert finish(start(server, "backup", tmp_path / "copy", stdout=subprocess.DEVNULL))[0] == 0
    finished = subprocess.run(
        ["bash", "-c", f'ulimit -f 1; exec "{TOOL}" restore "$@"', "bash", tmp_path / "copy", tmp_path / "new"],
        capture_output=True,
        timeout=60,
    )
    assert finished.returncode == 1 and finished.stderr.count(b"\n") == 1, finished.stderr
    assert b"failed: File too large (errno 27)" in finished.stderr, finished.stderr
    assert not (tmp_path / "new").exists()


def test_bench_notices_a_full_disk(shared):
    for words in (["--help"], ["--version"], ["--requests", "10", "--json"], ["--requests", "10"]):
        with open("/dev/full", "w") as full:
            code, errors = finish(start(shared, "--address", shared.listen, *words, program=BENCH, stdout=full))
        assert code == LOST and "profile-bench: the output is incomplete: " in errors, words


@pytest.mark.parametrize(
    ("variables", "has_codes"),
    [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({"TERM": "xterm", "NO_COLOR": "1"}, False)],
)
def test_escape_codes_are_for_terminals_that_want_them(shared, tmp_path, variables, has_codes):
    file = tmp_path / "steps.jsonl"
    file.write_text(
        '{"track":{"identifier":{"custom_id":"%s"},"events":[{"name":"step"}]}}\n' % unique("codes") * 600
    )
    controller, terminal = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("TERM", "NO_COLOR")}
    finished = subprocess.run(
        [str(TOOL), "import", str(file)],
        env={**environment, "PROFILES_ADDRESS": shared.listen, **variables},
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        timeout=120,
    )
    os.close(terminal)
    shown = b""
    while select.select([controller], [], [], 0.2)[0]:
        try:
            piece = os.read(controller, 10_000)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(controller)
    assert finished.returncode == 0
    assert (b"\x1b" in shown) == has_codes


def test_an_import_survives_the_end_of_its_terminal(shared, tmp_path):
    """Progress and errors that nobody reads any more do not end an import."""
    file = tmp_path / "steps.jsonl"
    file.write_text('{"identify":{"custom_id":"%s"}}\n{}\n' % unique("left") * 300)
    reader, writer = os.pipe()
    os.close(reader)
    code, _ = finish(start(shared, "import", file, stdout=subprocess.DEVNULL, stderr=writer))
    os.close(writer)
    assert code == 5


def test_interrupted_writes_go_on(shared):
    """A stopped and continued process writes the rest of its output."""
    reader, writer = os.pipe()
    process = start(shared, "completion", "fish", stdout=writer)
    os.close(writer)
    time.sleep(0.2)
    process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGCONT)
    received = b""
    while piece := os.read(reader, 4_096):
        received += piece
    os.close(reader)
    assert finish(process) == (0, "") and received.endswith(b"\n")
