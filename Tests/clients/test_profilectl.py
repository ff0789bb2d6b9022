"""profilectl and profile-bench, as people and scripts use them, against the real server."""

import hashlib
import json
import os
import pty
import re
import signal
import subprocess
import sys

import pytest

from conftest import BINARY, ROOT, unique, wait_until

TOOL = BINARY.parent / "profilectl"
BENCH = BINARY.parent / "profile-bench"


class Result:
    def __init__(self, finished):
        self.code, self.out, self.errors = finished.returncode, finished.stdout, finished.stderr

    @property
    def json(self):
        return json.loads(self.out)


def ctl(server, *words, **options):
    environment = {**os.environ, "PROFILES_ADDRESS": server.listen}
    return Result(
        subprocess.run(
            [str(TOOL), *map(str, words)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            **options,
        )
    )


def one_line(result, code, *parts):
    """Checks a failure: its exit code, and one line with the error."""
    assert result.code == code, result.errors
    assert result.errors.startswith("profilectl: ") and result.errors.count("\n") == 1
    for part in parts:
        assert part in result.errors
    return True


def test_a_first_event_is_stored_and_shown(shared):
    who = unique("anna")
    stored = ctl(shared, "track", who, "purchase", "amount=59.9", "currency=EUR", "--event-id", "order-1")
    assert stored.code == 0 and stored.out.startswith("stored: purchase order-1, profile ")
    assert ctl(shared, "track", who, "purchase", "amount=59.9", "currency=EUR", "--event-id", "order-1").out.startswith(
        "duplicate: "
    )
    shown = ctl(shared, "get", who)
    assert shown.code == 0
    assert shown.out.startswith(f"{who} (identified)\n")
    assert re.search(r"Counters\n  purchase  1  last just now", shown.out)
    assert re.search(r"Last events\n  just now  purchase  amount=59.9 currency=EUR \(api profilectl\)", shown.out)


def test_values_reach_the_server_with_the_detected_type(shared):
    who = unique("values")
    ctl(
        shared,
        "identify",
        who,
        "plan=gold",
        "count=3",
        "share=0.5",
        "vip=true",
        "since=2026-01-31T12:00:00+02:00",
        "site=https://shop.example/a",
        "sizes=[s, m]",
        'code:="007"',
        "email_address=a@example.org",
        "--device",
        who + "-phone",
    )
    profile = ctl(shared, "--json", "get", who).json["profile"]
    assert profile["attributes"] == {
        "code": {"string": "007"},
        "count": {"integer": 3},
        "plan": {"string": "gold"},
        "share": {"number": 0.5},
        "since": {"time": "2026-01-31T10:00:00Z"},
        "site": {"url": "https://shop.example/a"},
        "sizes": {"list": {"items": ["s", "m"]}},
        "vip": {"boolean": True},
    }
    assert profile["native"] == {"email_address": "a@example.org"}
    assert [device["installation_id"] for device in profile["installations"]] == [who + "-phone"]
    assert ctl(shared, "identify", who, "sizes+=[l]", "--delete", "plan").out.startswith("updated: ")
    attributes = ctl(shared, "--json", "get", f"device:{who}-phone").json["profile"]["attributes"]
    assert attributes["sizes"] == {"list": {"items": ["s", "m", "l"]}} and "plan" not in attributes


def test_login_switch_and_logout_print_their_outcome(shared):
    who, device = unique("ida"), unique("phone")
    assert ctl(shared, "identify", "--device", device).out.startswith("created: anonymous, profile ")
    assert ctl(shared, "identify", who, "--device", device).out.startswith(f"promoted: {who}, ")
    assert ctl(shared, "identify", "--device", device, "--logged-out").out.startswith("logged out: anonymous, ")
    said = ctl(shared, "identify", who, "--device", device).out
    merged = re.search(r"^merged: .*, revision \d+, merge (\w{26})$", said)
    assert ctl(shared, "unmerge", merged[1]).out.startswith("restored: anonymous, ")


def test_erasure_needs_a_confirmation(shared):
    who = unique("greta")
    ctl(shared, "identify", who, "plan=gold", "--device", who + "-phone")
    assert one_line(ctl(shared, "erase", who), 2, "--yes") and ctl(shared, "get", who).code == 0
    erased = ctl(shared, "erase", f"device:{who}-phone", "--yes")
    assert erased.code == 0 and erased.out.startswith(f"erased: device:{who}-phone; gone from log and snapshots by 20")
    assert one_line(ctl(shared, "get", who), 1, "PROFILE_NOT_FOUND")
    assert one_line(ctl(shared, "track", who, "purchase"), 1, "IDENTIFIER_ERASED", "blocked_until 20")
    assert ctl(shared, "erase", who, "--yes").out == "no such person, nothing was erased\n"
    assert ctl(shared, "--json", "erase", who, "--yes").json["log_purge_due"].startswith("20")


def test_consent_is_changed_listed_and_checked(shared):
    who = unique("carla")
    ctl(shared, "identify", who, f"email_address={who}@example.org")
    assert "subscribed" in ctl(shared, "subscribe", who, "email", "email/offers", "--source", "user").out
    assert ctl(shared, "sendable", who, "email/offers").out == "yes\n"
    ctl(shared, "unsubscribe", who, "email/offers", "--source", "one_click")
    assert ctl(shared, "sendable", who, "email/offers").out == "no: topic unsubscribed\n"
    assert one_line(ctl(shared, "subscribe", who, "email/offers"), 1, "USER_UNSUBSCRIBED", "--source user")
    ledger = ctl(shared, "consent", who, "--verify")
    assert ledger.code == 0 and ledger.out.count("\n") == 4 and "subscribed -> unsubscribed  by one click" in ledger.out
    assert ledger.out.endswith("the chain of 3 entries is valid\n")
    assert "email/offers  unsubscribed  by one click" in ctl(shared, "get", who).out


def test_events_are_listed_over_pages_and_filtered(shared):
    who = unique("emma")
    for number in range(3):
        ctl(shared, "track", who, "view" if number else "start", f"n={number}", "--ago", f"{3 - number}h")
    lines = [json.loads(line) for line in ctl(shared, "--json", "events", who).out.splitlines()]
    assert [line["attributes"]["n"]["integer"] for line in lines] == [2, 1, 0]
    assert ctl(shared, "events", who, "--name", "start").out.startswith("3 h ago  start  n=0")
    assert len(ctl(shared, "events", who, "--limit", "2").out.splitlines()) == 2


def test_rejections_name_the_field_and_give_advice(shared):
    who = unique("fail")
    assert one_line(ctl(shared, "track", who, "bad name"), 1, "events[0].name: ")
    assert one_line(ctl(shared, "track", who, "late", "--ago", "3d"), 1, "events[0].occurred_at: ", "--historical")
    assert one_line(ctl(shared, "get", who), 1, "PROFILE_NOT_FOUND", "device:ID")
    assert one_line(
        ctl(shared, "identify", "--device", who, "email_address=a@example.org"), 1, "PROFILE_ANONYMOUS", "custom ID"
    )
    ctl(shared, "track", who, "a", "--request-id", who)
    assert one_line(ctl(shared, "track", who, "b", "--request-id", who), 1, "REQUEST_ID_REUSED", "--request-id")
    assert one_line(
        ctl(shared, "track", who, "b", "--expected-revision", "9"), 1, "REVISION_MISMATCH", "current_revision 1"
    )
    assert one_line(ctl(shared, "track", who), 2, "WHO EVENT")


def test_health_follows_the_server(server):
    server.start()
    assert ctl(server, "health").out == "SERVING\n"
    assert ctl(server, "health", "profiles.v1.Profiles").code == 0
    server.stop()
    assert one_line(ctl(server, "health"), 3, server.listen)


def test_missing_response_ends_with_code_three(shared):
    # The admin listener does not speak gRPC.
    environment = {**os.environ, "PROFILES_ADDRESS": shared.admin}
    finished = subprocess.run(
        [str(TOOL), "health", "--timeout", "2s"], env=environment, capture_output=True, text=True, timeout=30
    )
    assert one_line(Result(finished), 3)


def operations(count, prefix):
    for number in range(count):
        yield {
            "track": {
                "identifier": {"custom_id": f"{prefix}-{number % 10}"},
                "events": [{"name": "step", "ago": "30h", "attributes": {"n": number}}],
                "historical": True,
            }
        }


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def counts(server, prefix):
    profiles = [ctl(server, "--json", "get", f"{prefix}-{number}").json["profile"] for number in range(10)]
    return sum(counter["count"] for profile in profiles for counter in profile["event_counters"])


def test_import_stores_valid_lines_and_reports_invalid_ones(shared, tmp_path):
    prefix = unique("import")
    file = tmp_path / "some.jsonl"
    lines = list(operations(20, prefix))
    lines[3]["track"]["events"][0]["name"] = "bad name"
    lines[5]["track"]["events"][0]["nome"] = "x"
    write_lines(file, lines)
    file.write_text("# a comment\n\n" + file.read_text() + "{no json\n")
    result = ctl(shared, "import", file)
    assert result.code == 5 and result.out.startswith("18 operations done, 3 rejected; 18 changed something")
    errors = result.errors.splitlines()
    assert len(errors) == 3
    assert any(f"{file}:6: " in line and "events[0].name: " in line for line in errors)
    assert any(f"{file}:8: track.events[0].nome: unknown field; known are event_id, name, " in line for line in errors)
    assert any(f"{file}:23: invalid JSON at byte 1: " in line for line in errors)
    assert counts(shared, prefix) == 18


@pytest.mark.parametrize("kept", [0, 200, 600])
def test_an_interrupted_import_resumes_and_applies_nothing_twice(shared, tmp_path, kept):
    """Events here have no event id: only the chunk ids of the import keep them from being stored twice."""
    prefix = unique("resume")
    file, position = tmp_path / "steps.jsonl", tmp_path / "position"
    write_lines(file, operations(1_000, prefix))
    words = ["import", file, "--resume", position, "--batch", "200"]
    assert ctl(shared, *words).code == 0
    # As if it had been killed after `kept` lines: later lines are sent again.
    state = json.loads(position.read_text()) | {"lines": kept, "complete": False}
    position.write_text(json.dumps(state))
    again = ctl(shared, *words)
    assert again.code == 0 and again.out.startswith(f"{1_000 - kept} operations done, 0 rejected")
    assert counts(shared, prefix) == 1_000
    assert "is already imported: 1000 lines" in ctl(shared, "import", file, "--resume", position).out


def test_an_import_survives_a_kill_of_the_server(server, tmp_path):
    prefix = unique("killed")
    file = tmp_path / "steps.jsonl"
    write_lines(file, operations(4_000, prefix))
    server.start()
    environment = {**os.environ, "PROFILES_ADDRESS": server.listen}
    running = subprocess.Popen(
        [str(TOOL), "import", str(file), "--batch", "20"], env=environment, stdout=subprocess.PIPE, text=True
    )
    position = tmp_path / "steps.jsonl.position"
    assert wait_until(lambda: position.exists() and json.loads(position.read_text())["lines"] > 100)
    server.stop(signal.SIGKILL)
    server.address = server.listen
    server.start()
    assert running.wait(90) == 0
    assert running.stdout.read().startswith("4000 operations done, 0 rejected")
    assert counts(server, prefix) == 4_000


def test_progress_is_shown_on_a_terminal_only(shared, tmp_path):
    file = tmp_path / "steps.jsonl"
    write_lines(file, operations(400, unique("progress")))
    assert ctl(shared, "import", file).errors == ""
    controller, terminal = pty.openpty()
    environment = {**os.environ, "PROFILES_ADDRESS": shared.listen}
    finished = subprocess.run(
        [str(TOOL), "import", str(file), "--resume", str(tmp_path / "other"), "--batch", "200"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=terminal,
        timeout=60,
    )
    os.close(terminal)
    shown = os.read(controller, 10_000).decode()
    os.close(controller)
    assert finished.returncode == 0
    assert re.search(r"200 of 400 lines, 50 %, \d+ per second, \d+ s left", shown)


def test_position_of_another_file_is_rejected(shared, tmp_path):
    file = tmp_path / "a.jsonl"
    write_lines(file, operations(1, unique("other")))
    assert ctl(shared, "import", file).code == 0
    write_lines(file, operations(2, unique("other")))
    assert one_line(ctl(shared, "import", file), 2, "a.jsonl.position belongs to another file")


def test_shop_is_reproducible():
    made = subprocess.run(
        [sys.executable, str(ROOT / "Examples/generate_shop.py")], capture_output=True, check=True
    ).stdout
    assert hashlib.sha256(made).hexdigest() == "e2f20ec0f21812615e008d92a5a6beff93faf797411aa51a77a403914228cc52"
    lines = [json.loads(line) for line in made.splitlines()]
    people = {
        number for line in made.decode().splitlines() for number in re.findall(r'"(?:phone|browser)-(\d{3})"', line)
    }
    assert len(lines) >= 5_000 and len(people) == 500
    assert {next(iter(line)) for line in lines} == {"identify", "track", "update_subscription"}


def test_demo_shows_that_nothing_is_missing():
    environment = {**os.environ, "PROFILED": str(BINARY), "PROFILECTL": str(TOOL)}
    finished = subprocess.run(
        [str(ROOT / "scripts/demo.sh")],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    assert "operations done, 0 rejected" in finished.stdout and finished.stdout.endswith("nothing is missing\n")
    digests = re.findall(r"^(?:before|after): (.*)$", finished.stdout, re.MULTILINE)
    assert len(digests) == 2 and digests[0] == digests[1] and digests[0].startswith("441 profiles, 6783 events")


@pytest.mark.parametrize("shell", ["bash"])
def test_completion_script_offers_commands_and_flags(shell):
    script = subprocess.run([str(TOOL), "completion", shell], capture_output=True, text=True, check=True).stdout
    ask = (
        script
        + '\nCOMP_WORDS=(profilectl track --la); COMP_CWORD=2; _profilectl; echo "${COMPREPLY[@]}"'
        + '\nCOMPREPLY=(); COMP_WORDS=(profilectl uns); COMP_CWORD=1; _profilectl; echo "${COMPREPLY[@]}"'
        + "\nCOMPREPLY=(); COMP_WORDS=(profilectl subscribe a email --source pref); COMP_CWORD=5; "
        + '_profilectl; echo "${COMPREPLY[@]}"'
    )
    finished = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert finished.stdout.splitlines() == ["--label", "unsubscribe", "preference_center"]


def test_bench_prints_a_histogram_or_json(shared):
    flags = ["--connections", "2", "--streams", "10", "--ids", "50"]
    text = subprocess.run(
        [str(BENCH), "--port", shared.listen.rsplit(":", 1)[1], "--requests", "2000", *flags],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert text.returncode == 0, text.stderr
    assert re.search(r"^2000 requests in [0-9.]+ s, [0-9]+ a second; status 0: 2000$", text.stdout, re.MULTILINE)
    assert re.search(r"^  up to +[0-9.]+ ms \|#+ \d+$", text.stdout, re.MULTILINE)
    mixed = subprocess.run(
        [
            str(BENCH),
            "--address",
            shared.listen,
            "--seconds",
            "2",
            "--rate",
            "500",
            "--mix",
            "track=80,get=10,identify=10",
            "--json",
            *flags,
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert mixed.returncode == 0, mixed.stderr
    report = json.loads(mixed.stdout)
    assert 900 <= report["requests"] <= 1_001 and set(report["methods"]) == {"track", "get", "identify"}
    assert report["latency_ms"]["p50"] <= report["latency_ms"]["p99"] <= report["latency_ms"]["max"]


def test_bench_without_a_server_reports_it():
    finished = subprocess.run([str(BENCH), "--port", "1"], capture_output=True, text=True, timeout=30)
    assert finished.returncode == 3 and "cannot reach 127.0.0.1:1" in finished.stderr


def test_profiles_are_counted_and_listed_by_a_filter(server):
    server.start()
    for number in range(25):
        assert ctl(server, "identify", f"p{number}", f"n={number}", "plan=gold").code == 0
    assert ctl(server, "count").out == "25\n"
    assert ctl(server, "count", "n", "<", "10").out == "10\n"
    assert ctl(server, "count", "n < 10 AND custom_id = p3", "--json").json == {"count": 1, "lsn": 26}
    shown = ctl(server, "list", 'plan = "gold"')
    lines = shown.out.splitlines()
    assert lines[0].split() == ["CUSTOM", "ID", "PROFILE", "DEVICES", "EVENTS", "SEEN"] and len(lines) == 21
    assert len(ctl(server, "list", "--limit", "0").out.splitlines()) == 26
    assert ctl(server, "list", "n > 100").out == "no profiles\n"
    found = ctl(server, "list", "n < 3", "--json", "--fields", "custom_id").out.splitlines()
    assert sorted(json.loads(line)["custom_id"] for line in found) == ["p0", "p1", "p2"]
    one_line(ctl(server, "count", "n <"), 1, "column 4")
    one_line(ctl(server, "list", "--fields", "custom_id"), 2, "--json")
    assert server.stop() == 0
