"""profilectl import from anything that can be read, and past anything that is wrong in it."""

import json
import os
import signal
import subprocess
import threading

import pytest

from conftest import custom, get, profiles_pb2_grpc, types_pb2, unique, wait_until
from operator_tools import TOOL

LINE_BYTES_MAX = 4 << 20
# Address space of the tool: less than the endless line of a test has.
MEMORY_BYTES = 200 << 20
ENDLESS_BYTES = 220_000_000


def run(server, *words, **options):
    environment = {**os.environ, "PROFILES_ADDRESS": server.listen}
    if not ({"input", "stdin"} & set(options)):
        options["stdin"] = subprocess.DEVNULL
    return subprocess.run(
        [str(TOOL), *map(str, words)], env=environment, capture_output=True, timeout=120, **options
    )


def operation(who, name="step", **fields):
    return {"track": {"identifier": {"custom_id": who}, "events": [{"name": name, **fields}]}}


def line(who, name="step", **fields):
    return json.dumps(operation(who, name, **fields)).encode() + b"\n"


def counted(stub, who, name="step"):
    counters = stub.GetProfile(get(custom(who)), timeout=20).profile.event_counters
    return {counter.name: counter.count for counter in counters}.get(name, 0)


# Sources


@pytest.mark.parametrize("source", ["file", "pipe", "dev-stdin", "fifo", "substitution", "redirected", "non-blocking"])
def test_every_source_is_read_to_its_end(shared, stub, tmp_path, source):
    who = unique(source)
    content = line(who) * 450
    file = tmp_path / "steps.jsonl"
    file.write_bytes(content)
    if source == "file":
        result = run(shared, "import", file)
    elif source == "pipe":
        result = run(shared, "import", "-", input=content)
    elif source == "dev-stdin":
        result = run(shared, "import", "/dev/stdin", input=content)
    elif source == "fifo":
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        threading.Thread(target=fifo.write_bytes, args=[content], daemon=True).start()
        result = run(shared, "import", fifo)
    elif source == "substitution":
        environment = {**os.environ, "PROFILES_ADDRESS": shared.listen}
        script = f'"{TOOL}" import <(cat "{file}")'
        result = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, timeout=120)
    elif source == "redirected":
        with file.open("rb") as opened:
            result = run(shared, "import", "-", stdin=opened)
    else:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)

        def feed():
            for start in range(0, len(content), 1_000):
                os.write(writer, content[start : start + 1_000])
            os.close(writer)

        threading.Thread(target=feed, daemon=True).start()
        result = run(shared, "import", "-", stdin=reader)
        os.close(reader)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(b"450 operations done, 0 rejected")
    assert counted(stub, who) == 450
    # Only a file with a name has a position beside it.
    assert sorted(path.name for path in tmp_path.iterdir() if "position" in path.name) == (
        ["steps.jsonl.position"] if source == "file" else []
    )


def test_a_directory_is_an_error(shared, tmp_path):
    for words, stdin in (([tmp_path], None), (["-"], tmp_path), (["/dev/stdin"], tmp_path)):
        descriptor = os.open(stdin, os.O_RDONLY) if stdin else os.open(os.devnull, os.O_RDONLY)
        result = run(shared, "import", *words, stdin=descriptor)
        os.close(descriptor)
        assert result.returncode == 2 and result.stdout == b""
        assert result.stderr.endswith(b": Is a directory\n") and result.stderr.count(b"\n") == 1


def test_a_read_error_is_an_error(shared, tmp_path):
    # Reading the memory of a process at address 0 fails with EIO.
    result = run(shared, "import", "/proc/self/mem")
    assert result.returncode == 1 and result.stdout == b"" and b"/proc/self/mem: Input/output error" in result.stderr
    closed = subprocess.run(
        ["bash", "-c", f'"{TOOL}" import - <&-'],
        env={**os.environ, "PROFILES_ADDRESS": shared.listen},
        capture_output=True,
        timeout=60,
    )
    assert closed.returncode != 0 and closed.stdout == b"" and b"standard input: Bad file descriptor" in closed.stderr


def test_a_missing_file_is_an_error(shared):
    result = run(shared, "import", "/nowhere/x.jsonl")
    assert result.returncode == 2 and b"/nowhere/x.jsonl: No such file" in result.stderr


@pytest.mark.parametrize("source", ["-", "/dev/stdin"])
def test_a_stream_resumes_with_a_position_file(shared, stub, tmp_path, source):
    who, position = unique("stream"), tmp_path / "position"
    content = line(who) * 600
    # The stream ends early.
    words = ["import", source, "--resume", position]
    first = run(shared, *words, input=content[: len(content) * 2 // 3])
    assert first.returncode == 0 and counted(stub, who) == 400
    state = json.loads(position.read_text())
    assert state["lines"] == 400 and state["complete"]
    second = run(shared, *words, input=content)
    assert second.returncode == 0 and second.stdout.startswith(b"200 operations done"), second.stderr
    assert counted(stub, who) == 600
    # The same stream again adds nothing; another one is noticed.
    assert run(shared, *words, input=content).stdout.startswith(b"0 operations done")
    other = run(shared, *words, input=line(unique("other")) + content)
    assert other.returncode == 2 and b"belongs to another file" in other.stderr
    assert counted(stub, who) == 600


def test_the_same_stream_twice_is_applied_once(shared, stub):
    """Without a position the request ids, which follow from the lines, keep the events from being stored twice."""
    who = unique("twice")
    content = line(who) * 300
    for _ in range(2):
        assert run(shared, "import", "-", input=content).returncode == 0
    assert counted(stub, who) == 300


def test_a_position_is_never_a_device(shared, tmp_path):
    result = run(shared, "import", "-", "--resume", "/dev/null", input=b"")
    assert result.returncode == 2 and b"not a regular file" in result.stderr
    directory = run(shared, "import", "-", "--resume", tmp_path, input=b"")
    assert directory.returncode == 2


# What is wrong in lines

BAD = {
    "syntax": (b"{no json", b"invalid JSON at byte 1: expected a name in quotes"),
    "array": (b"[" + line("x").strip() + b",", b"a JSON array; expected one operation per line"),
    "comma": (line("x").strip() + b",", b"without commas between them"),
    "nul": (b'{"track":\0{}}', b"a NUL byte at byte 9"),
    "utf-8": (b'{"track":{"identifier":{"custom_id":"\xff"}}}', b"invalid UTF-8 at byte 37"),
    "duplicate": (b'{"track":{},"track":{}}', b"duplicate name track"),
    "two": (b'{"track":{},"identify":{}}', b"expected an object with one of identify, track"),
    "unknown": (b'{"tracks":{}}', b"tracks: unknown field; known are identify, track"),
    "mark": (b"\xef\xbb\xbf{}", b"a byte order mark"),
    "old-lines": (line("x").strip() + b"\r" + line("y").strip(), b"expected LF or CRLF"),
    "long": (b"x" * (LINE_BYTES_MAX + 1), b"a line of 4194305 bytes; at most 4194304 are read"),
    "many": (b'{"track":[' + b"1," * 300_000 + b"1]}", b"more than 262144 values"),
    "deep": (b'{"track":' + b"[" * 1_000_000, b"more than 64 levels"),
    "field": (line("x", nome="y").strip(), b"track.events[0].nome: unknown field"),
    "server": (line("x", "bad name!").strip(), b"events[0].name: "),
    "server-nul": (line("x\0").strip(), b"custom_id: "),
}


@pytest.mark.parametrize("kind", BAD)
def test_one_bad_line_is_reported_and_the_others_go_in(shared, stub, tmp_path, kind):
    who, (bad, reason) = unique(kind), BAD[kind]
    file, rejects = tmp_path / "some.jsonl", tmp_path / "rejects"
    file.write_bytes(line(who) * 3 + bad + b"\n" + line(who) * 2)
    result = run(shared, "import", file, "--rejects", rejects)
    assert result.returncode == 5 and result.stdout.startswith(b"5 operations done, 1 rejected"), result.stderr
    assert counted(stub, who) == 5
    assert result.stderr.startswith(f"profilectl: {file}:4: ".encode()) and reason in result.stderr
    assert result.stderr.count(b"\n") == 1
    written = rejects.read_bytes()
    assert written.startswith(f"# {file}:4: ".encode()) and reason in written.split(b"\n")[0]
    copied = b"" if kind == "long" else bad + b"\n"
    assert written[written.index(b"\n") + 1 :] == copied
    # The import is complete, and its exit code stays.
    again = run(shared, "import", file, "--rejects", rejects)
    assert again.returncode == 5 and b"is already imported: 6 lines, 1 rejected" in again.stdout
    assert counted(stub, who) == 5 and rejects.read_bytes() == written


def test_lines_of_every_form_are_read(shared, stub, tmp_path):
    """A byte order mark, CRLF, blank lines, comments, blanks around a line, a last line without its end."""
    who = unique("forms")
    one = line(who).strip()
    content = b"\xef\xbb\xbf" + one + b"\r\n\r\n  \t\n# comment\n  " + one + b"  \n#\n" + one
    result = run(shared, "import", "-", input=content)
    assert result.returncode == 0 and result.stdout.startswith(b"3 operations done, 0 rejected"), result.stderr
    assert b" 7 lines at " in result.stdout and counted(stub, who) == 3


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_encodings_are_named(shared, encoding):
    result = run(shared, "import", "-", input=line("x").decode().encode(encoding))
    assert result.returncode == 1 and result.stdout == b"" and result.stderr.count(b"\n") == 1
    assert encoding[:6].upper().encode() in result.stderr and b"iconv" in result.stderr


def test_the_longest_line_is_read(shared, stub):
    who = unique("longest")
    one = line(who).strip()
    result = run(shared, "import", "-", input=one + b" " * (LINE_BYTES_MAX - len(one)) + b"\n" + line(who))
    assert result.returncode == 0 and counted(stub, who) == 2


def test_mended_rejects_can_be_imported(shared, stub, tmp_path):
    who, rejects = unique("mended"), tmp_path / "rejects.jsonl"
    content = b"".join(line(who, "bad name!" if number % 7 == 0 else "step") for number in range(1_000))
    result = run(shared, "import", "-", "--rejects", rejects, input=content)
    assert result.returncode == 5 and result.stdout.startswith(b"857 operations done, 143 rejected")
    # 20 are shown, all are collected, in the order of the lines.
    assert result.stderr.count(b"events[0].name: ") == 20 and b"further rejections are only counted" in result.stderr
    numbers = [int(text.split(b":")[1]) for text in rejects.read_bytes().splitlines() if text.startswith(b"#")]
    assert numbers == list(range(1, 1_001, 7))
    rejects.write_bytes(rejects.read_bytes().replace(b'"bad name!"', b'"step"'))
    assert run(shared, "import", rejects).stdout.startswith(b"143 operations done, 0 rejected")
    assert counted(stub, who) == 1_000


def test_an_item_that_fails_does_not_fail_the_others(shared, stub):
    """One of 200, at every fifth offset: it is alone."""
    who = unique("isolated")
    bad = {"track": {"identifier": {"custom_id": who}, "events": [{"name": "step"}] * 16}}
    lines = [json.dumps(bad).encode() + b"\n" if number % 50 == 3 else line(who) for number in range(200)]
    result = run(shared, "import", "-", input=b"".join(lines))
    assert result.returncode == 5 and result.stdout.startswith(b"196 operations done, 4 rejected"), result.stderr
    assert counted(stub, who) == 196
    for number in (4, 54, 104, 154):
        assert f"standard input:{number}: ".encode() in result.stderr


def test_a_wrong_project_ends_the_import_at_once(shared, tmp_path):
    """What is wrong with the call is not blamed on each line."""
    file = tmp_path / "some.jsonl"
    file.write_bytes(line(unique("nobody")) * 300)
    for project in ("nosuchproject", "bad project!"):
        result = run(shared, "--project", project, "import", file, "--resume", tmp_path / project)
        assert result.returncode == 1 and result.stdout == b"" and result.stderr.count(b"\n") == 1
        assert json.loads((tmp_path / project).read_text())["lines"] == 0


def test_events_that_a_partial_track_rejects_are_reported(shared, stub):
    who = unique("partial")
    track = operation(who)
    track["track"]["allow_partial"] = True
    track["track"]["events"].append({"name": "late", "ago": "100d"})
    result = run(shared, "import", "-", input=json.dumps(track).encode() + b"\n" + line(who))
    assert result.returncode == 5 and result.stdout.startswith(b"1 operations done, 1 rejected; 2 changed something")
    assert b"standard input:1: track.events[1].occurred_at: " in result.stderr and counted(stub, who) == 2


def test_the_result_in_json_says_rejected(shared):
    result = run(shared, "--json", "import", "-", input=line(unique("json")) + b"{}\n")
    assert result.returncode == 5
    assert json.loads(result.stdout) == {
        "lines": 2, "done": 1, "rejected": 1, "applied": 1, "unchanged": 0
    }  # fmt: skip


# Rejects


def test_rejects_follow_an_interruption(shared, tmp_path):
    """The rejects file ends with what the position covers, whatever was written after it."""
    file, rejects, position = tmp_path / "some.jsonl", tmp_path / "rejects", tmp_path / "position"
    file.write_bytes(b"".join(line(unique("cut"), "bad name!") for _ in range(3_000)))
    words = ["import", file, "--rejects", rejects, "--resume", position, "--batch", "100"]
    assert run(shared, *words).returncode == 5
    whole, state = rejects.read_bytes(), json.loads(position.read_text())
    assert state["rejects_bytes"] == len(whole) and whole.count(b"\n# ") == 2_999
    # As if it had been killed in the middle: the position is older than the rejects.
    per_line = len(whole) // 3_000
    kept = whole.index(b"some.jsonl:1001: ") - len(f"# {tmp_path}/")
    assert per_line > 50
    position.write_text(
        json.dumps(state | {"lines": 1_000, "rejected": 1_000, "rejects_bytes": kept, "complete": False})
    )
    assert run(shared, *words).returncode == 5
    assert rejects.read_bytes() == whole


def test_rejects_that_cannot_be_written_end_the_import(shared, tmp_path):
    file, position = tmp_path / "some.jsonl", tmp_path / "position"
    file.write_bytes(line(unique("full")) + b"{}\n")
    words = ["import", file, "--resume", position]
    full = run(shared, *words, "--rejects", "/dev/full")
    assert full.returncode == 1 and full.stdout == b"" and b"/dev/full: No space left on device" in full.stderr
    assert not json.loads(position.read_text())["complete"]
    missing = run(shared, *words, "--rejects", tmp_path / "no" / "rejects")
    assert missing.returncode == 1 and b"No such file" in missing.stderr
    itself = run(shared, *words, "--rejects", file)
    assert itself.returncode == 1 and b"the file to be imported" in itself.stderr
    assert file.read_bytes().endswith(b"{}\n")
    assert run(shared, *words, "--rejects", tmp_path / "rejects").returncode == 5


def test_a_position_that_cannot_be_written_ends_the_import(shared, tmp_path):
    file = tmp_path / "some.jsonl"
    file.write_bytes(line(unique("nowhere")))
    result = run(shared, "import", file, "--resume", tmp_path / "no" / "position")
    assert result.returncode == 1 and result.stdout == b"" and b"No such file" in result.stderr


# Memory


def limited(server, *words, source):
    """A run below a limit of memory, whose input is what a shell command writes."""
    environment = {**os.environ, "PROFILES_ADDRESS": server.listen}
    script = f'ulimit -v {MEMORY_BYTES >> 10}; {source} | "{TOOL}" "$@"'
    return subprocess.run(
        ["bash", "-c", script, "bash", *map(str, words)], env=environment, capture_output=True, timeout=300
    )


def test_an_endless_line_needs_no_memory(shared):
    result = limited(shared, "import", "-", source=f"{{ head -c {ENDLESS_BYTES} /dev/zero; printf '\\n{{}}\\n'; }}")
    assert result.returncode == 5 and result.stdout.startswith(b"0 operations done, 2 rejected"), result.stderr
    assert b"standard input:1: a line of 220000000 bytes" in result.stderr
    assert b"standard input:2: " in result.stderr


def test_long_lines_do_not_share_a_batch(shared, tmp_path):
    """Six lines of nearly the largest size are more than one message holds, and each is rejected by itself."""
    one = b'{"identify":{"custom_id":"' + b"x" * 4_000_000 + b'"}}\n'
    file = tmp_path / "long.jsonl"
    file.write_bytes(one * 6)
    result = run(shared, "import", file)
    assert result.returncode == 5 and result.stdout.startswith(b"0 operations done, 6 rejected"), result.stderr
    assert result.stderr.count(b"custom_id: ") == 6


@pytest.mark.parametrize("source", ["/dev/zero", "directory"])
def test_a_position_file_is_read_with_bounds(shared, tmp_path, source):
    position = tmp_path / "position"
    if source == "directory":
        position.mkdir()
    else:
        position.symlink_to(source)
    result = limited(shared, "import", "-", "--resume", position, source="printf ''")
    assert result.returncode == 2 and b"not a regular file" in result.stderr


# CSV


def people(*rows, header="ID,Mail,Plan,Visits,Letters"):
    return ("\n".join([header, *rows]) + "\n").encode()


MAP = ["--map", "ID=custom_id", "--map", "Mail=email_address", "--map", "Plan=attributes.plan"]
MAP += ["--map", "Visits=attributes.visits:integer", "--map", "Letters=subscriptions.email.letters"]


def test_csv_becomes_people_with_consent(shared, stub, tmp_path):
    one, two = unique("one"), unique("two")
    file = tmp_path / "people.csv"
    file.write_bytes(people(f'{one},{one}@example.org,"gold, ""year""\nly",7,yes', f"{two},,,,no", ""))
    checked = run(shared, "import", file, "--dry-run", *MAP)
    assert checked.returncode == 0 and checked.stdout.startswith(b"2 operations would be done, 0 rejected"), checked
    assert not (tmp_path / "people.csv.position").exists()
    result = run(shared, "import", file, *MAP)
    assert result.returncode == 0 and result.stdout.startswith(b"2 operations done, 0 rejected; 4 changed"), result
    profile = stub.GetProfile(get(custom(one)), timeout=20).profile
    assert profile.attributes["plan"].string == 'gold, "year"\nly' and profile.attributes["visits"].integer == 7
    subscribed = types_pb2.SUBSCRIPTION_STATE_SUBSCRIBED
    assert [(change.topic, change.state) for change in profile.subscriptions.items] == [("letters", subscribed)]
    assert b"is already imported" in run(shared, "import", file, *MAP).stdout


def test_csv_without_a_map_takes_its_header(shared, stub, tmp_path):
    who = unique("events")
    rows = [f"{who},step,s{number},2026-11-0{number % 9 + 1}T10:00:00Z,{number}" for number in range(1_500)]
    content = people(*rows, header="custom_id,event,event_id,occurred_at,attributes.n:integer")
    file = tmp_path / "events.CSV"
    file.write_bytes(content)
    result = run(shared, "import", file)
    assert result.returncode == 0 and result.stdout.startswith(b"1500 operations done"), result
    assert counted(stub, who) == 1_500


BAD_ROWS = {
    "fields": (b"a,b", b"2 fields; the header has 5"),
    "number": (b"a,,,seven,", b"Visits: expected a value of kind integer"),
    "state": (b"a,,,,maybe", b"Letters: expected SUBSCRIBED, UNSUBSCRIBED or UNSET"),
    "nobody": (b",,gold,,", b"neither custom_id nor installation_id"),
    "quote": (b'a,"b"c,,,', b"not CSV"),
    "server": (b"a,no address,,,", b"email_address: "),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_one_bad_row_is_reported_and_can_be_mended(shared, stub, tmp_path, kind):
    who, other, (bad, reason) = unique(kind), unique(kind), BAD_ROWS[kind]
    file, rejects = tmp_path / "people.csv", tmp_path / "rejects.csv"
    file.write_bytes(people(f"{who},,gold,1,yes") + bad + f"\n{other},,basic,2,no\n".encode())
    result = run(shared, "import", file, "--rejects", rejects, *MAP)
    assert result.returncode == 5 and result.stdout.startswith(b"2 operations done, 1 rejected"), result
    assert result.stderr.startswith(f"profilectl: {file}:3: ".encode()) and reason in result.stderr
    written = rejects.read_bytes()
    assert written.startswith(b"ID,Mail,Plan,Visits,Letters\n# ") and written.endswith(b"\n" + bad + b"\n")
    mended = unique(kind)
    rejects.write_bytes(written.replace(bad, f"{mended},,gold,1,".encode()))
    again = run(shared, "import", rejects, *MAP)
    assert again.returncode == 0 and again.stdout.startswith(b"1 operations done, 0 rejected"), again
    for person in (who, other, mended):
        assert stub.GetProfile(get(custom(person)), timeout=20).profile.profile_id


def test_a_map_that_cannot_be_is_an_error(shared, tmp_path):
    file = tmp_path / "people.csv"
    file.write_bytes(people("a,,,,"))
    for words, reason in (
        (["--map", "Nome=custom_id"], b"no such column; there are ID, Mail"),
        (["--map", "Mail=email_address"], b"no column is mapped to custom_id"),
        (["--map", "ID=custom"], b"custom: expected custom_id"),
        (["--map", "ID=attributes.a:text"], b"expected one of string, integer"),
        (["--map", "ID"], b"expected COLUMN=TARGET"),
        ([], b"ID: expected custom_id"),
    ):
        result = run(shared, "import", file, *words)
        assert result.returncode == 2 and result.stdout == b"" and reason in result.stderr, result


def test_csv_resumes_behind_its_position(shared, stub, tmp_path):
    names = [unique("row") for _ in range(300)]
    file, position = tmp_path / "people.csv", tmp_path / "position"
    file.write_bytes(people(*[f"{name},,gold,1,yes" for name in names]))
    words = ["import", file, "--resume", position, "--batch", "100", *MAP]
    assert run(shared, *words).returncode == 0
    state = json.loads(position.read_text())
    assert state["lines"] == 301 and state["complete"]
    position.write_text(json.dumps(state | {"lines": 101, "complete": False}))
    again = run(shared, *words)
    assert again.returncode == 0 and again.stdout.startswith(b"200 operations done"), again
    assert b"resumed at line 102" in again.stdout


def test_an_import_waits_for_a_server_that_is_started_again(server, tmp_path):
    """Killed while an import runs: the same command goes on by itself, and every event is there once."""
    server.start()
    server.address = server.listen
    who, file = unique("kill"), tmp_path / "steps.jsonl"
    file.write_bytes(line(who) * 60_000)
    process = subprocess.Popen(
        [str(TOOL), "import", str(file), "--timeout", "60s"],
        env={**os.environ, "PROFILES_ADDRESS": server.listen},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    position = tmp_path / "steps.jsonl.position"
    for kill in range(3):
        assert wait_until(lambda: position.exists() and json.loads(position.read_text())["lines"] > kill * 10_000)
        server.stop(signal.SIGKILL)
        server.start()
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0 and output.startswith(b"60000 operations done, 0 rejected"), errors
    with server.channel() as channel:
        assert counted(profiles_pb2_grpc.ProfilesStub(channel), who) == 60_000
