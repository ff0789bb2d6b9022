"""`profilectl project`, and the other commands with a project of their own."""

import json

from conftest import unique
from operator_tools import ctl as plain_ctl
from test_profilectl import ctl, one_line


def test_profilectl_makes_shows_and_changes_projects(shared):
    name = unique("ctl")
    made = ctl(shared, "project", "create", name, "event_retention_days=30", "double_opt_in=email,sms")
    assert made.code == 0 and made.out.startswith(f"{name}: created\n") and "email,sms" in made.out
    one_line(ctl(shared, "project", "create", name), 1, "PROJECT_EXISTS")
    again = ctl(shared, "project", "create", name, "event_retention_days=30", "double_opt_in=email,sms")
    assert again.code == 0 and again.out.startswith(f"{name}: exists\n")
    listed = ctl(shared, "project", "list").out.splitlines()
    assert listed[0].split()[:2] == ["PROJECT", "STATE"]
    [row] = [line for line in listed if line.startswith(f"{name} ")]
    assert "live" in row and "30 d, 1000" in row and "double_opt_in=email,sms" in row
    assert ctl(shared, "project", "set", name, "late_window_seconds=60", "double_opt_in=default").code == 0
    shown = ctl(shared, "--json", "project", "get", name).json
    assert shown["options"]["late_window_seconds"] == 60 and shown["options"]["event_retention_days"] == 30
    assert "double_opt_in" not in shown["options"] and shown["revision"] == 2
    text = ctl(shared, "--project", name, "project", "get").out
    assert text.startswith(f"{name} (live)\n") and "late_window_seconds" in text and "string_scalars_max" in text
    assert ctl(shared, "--project", name, "project", "set", "merge_policy=latest_wins").code == 0
    assert "latest_wins" in ctl(shared, "project", "get", name).out
    for line in ctl(shared, "--json", "project", "list").out.splitlines():
        assert json.loads(line)["project"]


def test_profilectl_deletes_and_undoes(shared):
    name = unique("ctl")
    ctl(shared, "project", "create", name)
    assert ctl(shared, "--project", name, "track", "anna", "visit").code == 0
    deleted = ctl(shared, "project", "delete", name)
    assert deleted.code == 0 and "--undo" in deleted.out and "removed in 1 d" in deleted.out
    one_line(ctl(shared, "--project", name, "get", "anna"), 1, "PROJECT_DELETED")
    assert "deleted, goes in" in ctl(shared, "project", "list").out
    for said in ("no longer deleted", "was not deleted"):
        undone = ctl(shared, "project", "delete", name, "--undo")
        assert undone.code == 0 and undone.out == f"{name}: {said}\n"
    assert ctl(shared, "--project", name, "get", "anna").code == 0
    statistics = ctl(shared, "--json", "project", "stats", name).json
    assert statistics["profiles"] == statistics["stored"] == 1
    assert "received" in ctl(shared, "--project", name, "project", "stats").out


def test_each_command_takes_a_project(shared, tmp_path):
    """A project whose name no other test has, so that a command of another project would find nothing."""
    name = unique("ctl")
    ctl(shared, "project", "create", name)

    def run(*words):
        result = ctl(shared, "--project", name, *words)
        assert result.code == 0, (words, result.errors)
        return result.out

    run("identify", "anna", "--device", "phone", "email_address=anna@example.org", "plan=gold")
    run("track", "anna", "purchase", "amount=1")
    run("subscribe", "anna", "email", "--source", "user")
    assert "gold" in run("get", "anna") and "purchase" in run("events", "anna")
    assert "email" in run("consent", "anna", "--verify") and run("sendable", "anna", "email")
    run("unsubscribe", "anna", "email", "--source", "user")
    lines = tmp_path / "people.jsonl"
    lines.write_text('{"track":{"identifier":{"custom_id":"berta"},"events":[{"name":"visit"}]}}\n')
    run("import", str(lines))
    assert "visit" in run("events", "berta")
    assert json.loads(run("--json", "project", "stats"))["profiles"] == 2
    run("erase", "anna", "--yes")
    for who in ("anna", "berta"):
        one_line(ctl(shared, "get", who), 1, "PROFILE_NOT_FOUND")


def test_a_dump_names_projects_and_can_be_of_one(server):
    server.start()
    projects = ["default", "shop-eu", "shop-us"]
    for name in projects[1:] + ["empty"]:
        assert plain_ctl("project", "create", name, server=server).returncode == 0
    for name in projects:
        # The same person in each.
        assert plain_ctl("--project", name, "identify", "anna", f"home={name}", server=server).returncode == 0
    assert server.stop() == 0

    def homes(*words):
        dumped = plain_ctl("dump", server.data_dir, *words)
        assert dumped.returncode == 0, dumped.stderr
        lines = [json.loads(line) for line in dumped.stdout.splitlines()]
        return [(line["project"], line["profile"]["attributes"]["home"]["string"]) for line in lines]

    assert sorted(homes()) == [(name, name) for name in projects]
    for name in projects:
        assert homes("--project", name) == [(name, name)]
    assert homes("--project", "empty") == []
    unknown = plain_ctl("dump", server.data_dir, "--project", "shop")
    assert unknown.returncode == 2 and unknown.stdout == ""
    assert unknown.stderr == f"profilectl: --project shop: there is none in {server.data_dir}\n"
