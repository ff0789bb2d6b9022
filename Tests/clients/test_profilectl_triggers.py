"""profilectl trigger: make, list, delete and follow triggers."""

import json

from operator_tools import ctl


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
