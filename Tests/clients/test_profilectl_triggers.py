"""profilectl trigger: make, list, delete and follow triggers."""

import json
import os
import signal
import subprocess
import time

import pytest

from conftest import wait_until
from operator_tools import TOOL, ctl
from test_profilectl_watch import Watch

OUTPUT_LOST, CLOSED_PIPE = 6, 141


def rows(server):
    """The lines of `trigger list` without their heading, each as its words."""
    listed = ctl("trigger", "list", server=server)
    assert listed.returncode == 0, listed.stderr
    return [line.split() for line in listed.stdout.splitlines()[1:]]


def create(server, *flags):
    made = ctl("trigger", "create", *flags, server=server)
    assert made.returncode == 0, made.stderr
    return made.stdout.rstrip("\n")


def test_a_trigger_is_made_listed_and_deleted(server):
    server.start()
    assert ctl("trigger", "list", server=server).stdout == "no triggers\n"
    flags = ["--event", "cart_updated", "--delay", "30m", "--unless", "purchase", "--guard", "email/offers"]
    flags += ["--cap", "1/7d", "--ack-deadline", "90", "--name", "Cart", "--filter", "event.total > 50"]
    cart = create(server, *flags)
    # Only the id, so that a script can keep it.
    assert cart.isalnum() and len(cart) > 10
    plain = create(server, "--event", "visit", "--delay", "2")
    by_id = {row[0]: row for row in rows(server)}
    assert by_id[cart][1:9] == ["cart_updated", "30m", "purchase", "email/offers", "1/7d", "90s", "0", "0"]
    assert by_id[cart][-4:] == ["Cart", "event.total", ">", "50"]
    assert by_id[plain][1:9] == ["visit", "2s", "-", "-", "-", "1m", "0", "0"]
    ctl("track", "anna", "visit", server=server)
    deleted = ctl("trigger", "delete", plain, server=server)
    assert deleted.returncode == 0 and deleted.stdout == f"deleted: {plain}\n"
    again = ctl("trigger", "delete", plain, server=server)
    assert again.returncode == 1 and "TRIGGER_NOT_FOUND" in again.stderr and "trigger list" in again.stderr
    assert [row[0] for row in rows(server)] == [cart]


def test_json_has_the_names_of_the_contract(server):
    server.start()
    made = json.loads(ctl("--json", "trigger", "create", "--event", "Visit", "--cap", "2/60", server=server).stdout)
    trigger = made["trigger"]
    assert made["lsn"] > 0 and trigger["event_name"] == "visit" and trigger["ack_deadline_seconds"] == 60
    assert (trigger["cap"], trigger["cap_period_seconds"]) == (2, 60)
    listed = ctl("--json", "trigger", "list", server=server).stdout.splitlines()
    assert [json.loads(line) for line in listed] == [trigger]
    gone = json.loads(ctl("--json", "trigger", "delete", trigger["trigger_id"], server=server).stdout)
    assert gone["lsn"] > made["lsn"]


def test_a_request_id_makes_a_trigger_once(server):
    server.start()
    first = create(server, "--event", "visit", "--request-id", "one")
    assert create(server, "--event", "visit", "--request-id", "one") == first and len(rows(server)) == 1


def test_an_error_of_a_filter_names_its_column(server):
    server.start()
    wrong = ctl("trigger", "create", "--event", "visit", "--filter", "plan = gold and vip = true", server=server)
    assert wrong.returncode == 1 and "column 13" in wrong.stderr, wrong.stderr


def pending(server):
    return [int(row[7]) for row in rows(server)]


@pytest.fixture
def visits(server):
    """The id of a trigger of visits, on a server that comes back on the same address."""
    server.start()
    server.address = server.listen
    return create(server, "--event", "visit", "--ack-deadline", "10")


@pytest.fixture
def follow(server, visits):
    """Starts `trigger follow` of it, and ends those that are left."""
    started = []

    def start(*words):
        started.append(Watch(server, "trigger", "follow", visits, *words))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait(10)


def visit(server, *people):
    for who in people:
        assert ctl("track", who, "visit", "page=shoes", server=server).returncode == 0


def test_follow_acknowledges_nothing_and_says_so(server, follow):
    shown = follow()
    shown.says("nothing is acknowledged")
    visit(server, "anna")
    [line] = shown.wait(1)
    firing, time, who, *what = line.split()
    assert len(firing) == 26 and time.endswith("Z") and [who, *what] == ["anna", "visit", "page=shoes"]
    assert shown.end() == 0 and pending(server) == [1]
    # It comes again, to whoever is there.
    [again] = follow().wait(1)
    assert again.split()[0] == firing and again.endswith("(attempt 2)")


def test_follow_with_ack_settles_what_it_has_printed(server, follow):
    shown = follow("--ack", "--json")
    visit(server, "anna", "bob")
    firings = [json.loads(line) for line in shown.wait(2)]
    assert [firing["custom_id"] for firing in firings] == ["anna", "bob"]
    assert all(firing["delivery_attempt"] == 1 and firing["event"]["name"] == "visit" for firing in firings)
    assert shown.end() == 0 and shown.errors == [] and pending(server) == [0]


def test_follow_with_ack_prints_each_firing_once_over_kills(server, follow):
    shown = follow("--ack", "--json")
    people = [f"person-{number}" for number in range(30)]
    for begin in (0, 10, 20):
        visit(server, *people[begin : begin + 10])
        shown.wait(begin + 10)
        if begin < 20:
            server.stop(signal.SIGKILL)
            time.sleep(0.3)
            server.start()
    assert wait_until(lambda: pending(server) == [0])
    time.sleep(0.5)
    assert [json.loads(line)["custom_id"] for line in shown.lines] == people
    assert shown.end() == 0 and sum("trying to resume" in line for line in shown.errors) == 2


def test_what_could_not_be_printed_is_not_acknowledged(server, visits):
    visit(server, "anna")
    environment = {**os.environ, "PROFILES_ADDRESS": server.listen}
    words = [str(TOOL), "trigger", "follow", visits, "--ack"]
    with open("/dev/full", "w") as full:
        finished = subprocess.run(words, env=environment, stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert finished.returncode == OUTPUT_LOST and b"No space left" in finished.stderr
    assert pending(server) == [1]
    # A reader that has taken one line and left leaves the next one for others.
    visit(server, "bob")
    piped = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$@" | head -1', "bash", *words],
        env=environment,
        capture_output=True,
        timeout=60,
    )
    assert piped.returncode == CLOSED_PIPE and piped.stderr == b"" and piped.stdout.count(b"\n") == 1
    assert pending(server) in ([0], [1])


def test_a_trigger_that_is_deleted_ends_its_followers(server, visits, follow):
    unknown = ctl("trigger", "follow", "01ARZ3NDEKTSV4RRFFQ69G5FAV", server=server)
    assert unknown.returncode == 1 and "TRIGGER_NOT_FOUND" in unknown.stderr
    shown = follow("--json", "--heartbeats")
    assert json.loads(shown.wait(1)[0])["heartbeat"] is True
    ctl("trigger", "delete", visits, server=server)
    assert shown.finished() == 1 and "TRIGGER_NOT_FOUND" in shown.errors[-1]
