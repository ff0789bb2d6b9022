"""profilectl watch: every change once, in order, whatever happens to the connection, the server and the reader."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest

from conftest import custom, event, profiles_pb2, profiles_pb2_grpc, track, types_pb2, unique, wait_until
from operator_tools import TOOL, ctl

CLOSED_PIPE, POSITION_GONE = 141, 7


class Watch:
    """A `profilectl` that runs until it is told to end; its lines are gathered by threads."""

    def __init__(self, server, *words):
        self.lines, self.errors = [], []
        self.process = subprocess.Popen(
            [str(TOOL), *map(str, words)],
            env={**os.environ, "PROFILES_ADDRESS": server.listen},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.threads = [
            threading.Thread(target=self.gather, args=pair, daemon=True)
            for pair in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))
        ]
        for thread in self.threads:
            thread.start()

    def gather(self, stream, lines):
        for line in stream:
            lines.append(line.rstrip("\n"))

    def wait(self, count, seconds=30):
        assert wait_until(lambda: len(self.lines) >= count, seconds), (self.lines[-3:], self.errors)
        return self.lines

    def says(self, text, seconds=30):
        assert wait_until(lambda: any(text in line for line in self.errors), seconds), (text, self.errors)

    def end(self, sig=signal.SIGINT):
        """Tells it to end; returns its exit code."""
        self.process.send_signal(sig)
        return self.finished()

    def finished(self):
        code = self.process.wait(30)
        for thread in self.threads:
            thread.join(10)
        return code


@pytest.fixture
def watch():
    """Starts watches, and ends those that are left."""
    started = []

    def start(server, *words):
        started.append(Watch(server, *words))
        if "--json" not in words:
            started[-1].says("watching default from lsn ")
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait(10)


def stub_of(server):
    return profiles_pb2_grpc.ProfilesStub(server.channel())


def test_each_change_is_a_line_for_people(server, watch):
    stub = stub_of(server.start())
    shown = watch(server, "watch")
    who = custom("anna")
    lsn = stub.Track(track(who, event("purchase", attributes={"amount": types_pb2.Value(number=4.5)}))).lsn
    ctl("identify", "anna", "plan=gold", server=server)
    ctl("subscribe", "anna", "email/offers", "--source", "user", server=server)
    ctl("erase", "anna", "--yes", server=server)
    lines = [line.split() for line in shown.wait(5)]
    assert lines[0][0] == lines[1][0] == str(lsn) and all(line[1].endswith("Z") for line in lines)
    person = lines[4][3]
    assert person.startswith("profile:") and [line[2:] for line in lines] == [
        ["profile_created", "anna"],
        ["event_stored", "anna", "purchase", "amount=4.5"],
        ["attributes_changed", "anna", "plan=gold"],
        ["subscription_changed", "anna", "email/offers", "unset->subscribed", "by", "user"],
        ["profile_erased", person],
    ]
    assert shown.end() == 0 and "continues" in shown.errors[-1]


def test_json_lines_are_responses_of_the_contract_without_heartbeats(server, watch):
    stub = stub_of(server.start())
    first = stub.Track(track(custom("anna"))).lsn
    shown = watch(server, "--json", "watch", "--from", first)
    beats = watch(server, "--json", "watch", "--from", first, "--heartbeats")
    changes = [json.loads(line) for line in shown.wait(2)]
    assert [sorted(change) for change in changes] == [["change", "lsn"]] * 2
    assert changes[0]["lsn"] == first and changes[0]["change"]["kind"] == "CHANGE_KIND_PROFILE_CREATED"
    assert changes[1]["change"]["event"]["name"] == "purchase" and changes[1]["change"]["custom_id"] == "anna"
    assert json.loads(beats.wait(4)[0]) == {"lsn": first - 1} and json.loads(beats.lines[-1]) == {"lsn": first}
    assert shown.end() == 0 and len(shown.lines) == 2
    assert beats.end(signal.SIGTERM) == 0


FILTERS = [
    (["--kind", "profile_created,PROFILE_ERASED"], {"created"}),
    (["--event", "Purchase"], {"purchase"}),
    (["--event", "purchase", "--event", "visit"], {"purchase", "visit"}),
    (["--attribute", "plan", "--kind", "attributes_changed"], {"plan"}),
    (["--channel", "email"], {"email"}),
    (["--identifier", "bob"], {"created", "other"}),
    (["--identifier", "device:phone", "--kind", "CHANGE_KIND_EVENT_STORED"], {"purchase", "visit"}),
    (["--event", "old", "--include-historical"], {"old"}),
    (["--event", "old"], set()),
]


def label(change):
    """What a change is about, in one word."""
    if change["kind"] == "CHANGE_KIND_PROFILE_CREATED":
        return "created"
    if change["kind"] == "CHANGE_KIND_EVENT_STORED":
        return change["event"]["name"]
    if change["kind"] == "CHANGE_KIND_SUBSCRIPTION_CHANGED":
        return "email"
    return ",".join(change["attributes"]["set"])


def test_filters_are_those_of_the_contract(server, watch):
    stub = stub_of(server.start())
    first = stub.Identify(
        profiles_pb2.IdentifyRequest(project="default", custom_id="anna", installation_id="phone")
    ).lsn
    stub.Track(track(custom("anna"), event("purchase"), event("visit")))
    stub.Track(track(custom("bob"), event("other")))
    stub.Track(track(custom("carl"), event("old"), historical=True))
    ctl("identify", "anna", "plan=gold", server=server)
    ctl("subscribe", "anna", "email", "--source", "user", server=server)
    end = stub.Track(track(custom("bob"), event("other"))).lsn
    watches = [watch(server, "--json", "watch", "--from", first, "--heartbeats", *flags) for flags, _ in FILTERS]
    for shown, (flags, kept) in zip(watches, FILTERS):
        assert wait_until(lambda: any(json.loads(line)["lsn"] >= end for line in list(shown.lines))), flags
        responses = [json.loads(line) for line in list(shown.lines)]
        assert {label(response["change"]) for response in responses if "change" in response} == kept, flags
        assert shown.end() == 0


def writes(stub, person, numbers):
    """Writes one event after the other until it fails; returns the names of those acknowledged."""
    return [(stub.Track(track(person, event(f"e{number}")), timeout=10).lsn, f"e{number}") for number in numbers]


def test_no_line_is_missing_and_none_comes_twice_over_kills_and_drains(server, watch):
    ways = [signal.SIGKILL, signal.SIGTERM, signal.SIGKILL]
    stub = stub_of(server.start())
    person = custom()
    written = writes(stub, person, range(20))
    whole = watch(server, "--json", "watch", "--kind", "event_stored", "--from", written[0][0])
    whole.wait(20)
    for number, way in enumerate(ways, 1):
        server.stop(way)
        server.address = server.listen
        # A watch without a server tries again and again.
        time.sleep(0.5)
        stub = stub_of(server.start())
        written += writes(stub, person, range(20 * number, 20 * number + 20))
        whole.wait(len(written))
    time.sleep(0.3)
    seen = [(response["lsn"], response["change"]["event"]["name"]) for response in map(json.loads, whole.lines)]
    assert seen == written
    assert sum("trying to resume from lsn" in line for line in whole.errors) == len(ways)
    assert sum("resumed" in line for line in whole.errors) == len(ways)
    assert whole.end() == 0


def test_changes_of_one_operation_come_once_when_it_resumes_among_them(server, watch):
    """It resumes at the lsn of the last change, whose changes come again: those are not printed twice."""
    stub = stub_of(server.start())
    person = custom()
    shown = watch(server, "watch")
    stub.Track(track(person, *[event(f"e{number}") for number in range(15)]))
    shown.wait(16)
    # At once, so that no heartbeat has moved it on.
    server.stop(signal.SIGKILL)
    server.address = server.listen
    stub = stub_of(server.start())
    shown.says("resumed")
    stub.Track(track(person, event("last")))
    lines = shown.wait(17)
    assert len(lines) == len(set(lines)) == 17 and lines[-1].split()[4] == "last"
    assert shown.end() == 0


def test_a_position_that_is_gone_has_its_own_exit_code(server, watch):
    stub = stub_of(server.start())
    lsn = stub.Track(track(custom())).lsn
    gone = ctl("watch", "--from", lsn + 1_000, server=server)
    assert gone.returncode == POSITION_GONE and gone.stdout == ""
    assert "POSITION_GONE, earliest_lsn" in gone.stderr and "changes from there on are missing" in gone.stderr


def test_a_first_failure_is_final(server):
    closed = ctl("--address", "127.0.0.1:1", "watch")
    assert closed.returncode == 3 and closed.stderr.count("\n") == 1
    server.start()
    wrong = ctl("--project", "nowhere", "watch", server=server)
    assert wrong.returncode == 1 and "PROJECT_NOT_FOUND" in wrong.stderr


def test_timeout_bounds_the_wait_for_a_server(server, watch):
    server.start()
    shown = watch(server, "watch", "--timeout", "1s")
    server.stop(signal.SIGKILL)
    begin = time.monotonic()
    assert shown.finished() == 3 and 0.5 < time.monotonic() - begin < 15
    assert "cannot reach" in shown.errors[-1]


@pytest.mark.parametrize("wanted", [0, 2])
def test_a_reader_that_leaves_ends_it_in_silence(server, wanted):
    """Also before the next change: it waits for the reader's end as for a message."""
    stub = stub_of(server.start())
    lsn = stub.Track(track(custom())).lsn
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [str(TOOL), "--json", "watch", "--from", str(lsn)],
        env={**os.environ, "PROFILES_ADDRESS": server.listen},
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    received = b""
    while received.count(b"\n") < wanted:
        received += os.read(reader, 1 << 16)
    os.close(reader)
    assert process.communicate(timeout=30)[1] == b"" and process.returncode == CLOSED_PIPE


def test_ctrl_c_ends_it_also_without_a_server(server, watch):
    server.start()
    shown = watch(server, "watch")
    server.stop(signal.SIGKILL)
    shown.says("trying to resume from lsn")
    begin = time.monotonic()
    assert shown.end() == 0 and time.monotonic() - begin < 3


def test_a_reader_that_pauses_holds_the_server_back_in_bounded_memory(server):
    """The client takes no more than its window while nobody reads its output."""
    stub = stub_of(server.start())
    person, text = custom(), types_pb2.Value(string="x" * 300)
    first = stub.Track(track(person)).lsn
    for _ in range(200):
        events = [event("big", attributes={f"a{number}": text for number in range(20)}) for _ in range(15)]
        stub.Track(track(person, *events))
    process = subprocess.Popen(
        [str(TOOL), "--json", "watch", "--from", str(first), "--event", "big"],
        env={**os.environ, "PROFILES_ADDRESS": server.listen},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        time.sleep(2)
        status = open(f"/proc/{process.pid}/status").read()
        resident = int(status.split("VmHWM:")[1].split()[0])
        assert resident < 64 << 10, f"{resident} KiB"
        lines = [process.stdout.readline() for _ in range(3_000)]
        assert all(json.loads(line)["change"]["event"]["name"] == "big" for line in lines)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()


def test_person_of_the_past_is_found_by_a_new_name(server):
    """An identifier of --identifier is a WHO as in other commands."""
    server.start()
    who = unique("person")
    ctl("track", f"device:{who}", "seen", server=server)
    shown = Watch(server, "--json", "watch", "--identifier", f"device:{who}")
    time.sleep(0.5)
    ctl("track", f"device:{who}", "again", server=server)
    assert json.loads(shown.wait(1)[0])["change"]["event"]["name"] == "again"
    assert shown.end() == 0
