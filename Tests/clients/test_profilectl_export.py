"""profilectl export: one person and everyone, as lines, into files and through restarts."""

import json
import signal
import subprocess
import time

import pytest

from conftest import custom, event, profiles_pb2 as rpc, profiles_pb2_grpc, track, unique
from operator_tools import TOOL, ctl

LOST = 6


def fill(server, count):
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        for start in range(0, count, 200):
            operations = [
                rpc.WriteOperation(track=rpc.TrackRequest(identifier=custom(f"p{number}"), events=[event("visit")]))
                for number in range(start, min(count, start + 200))
            ]
            stub.BatchWrite(rpc.BatchWriteRequest(project="default", operations=operations), timeout=30)


def people(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_person_is_a_line(shared):
    who = unique("exported")
    for words in (["track", who, "visit", "page=home"], ["subscribe", who, "email", "--source", "user"]):
        assert ctl(*words, server=shared).returncode == 0
    shown = ctl("export", who, server=shared)
    [person] = people(shown.stdout)
    assert shown.returncode == 0 and person["profile"]["custom_id"] == who and person["project"] == "default"
    assert [found["name"] for found in person["events"]] == ["visit"] and person["suppressions"] == []
    assert [entry["channel"] for entry in person["consent"]] == ["CHANNEL_EMAIL"]


def test_an_unknown_person_is_an_error(shared, tmp_path):
    shown = ctl("export", unique("nobody"), "--out", tmp_path / "out", server=shared)
    assert shown.returncode == 1 and "PROFILE_NOT_FOUND" in shown.stderr
    assert not (tmp_path / "out").exists()


def test_a_file_has_its_name_once_it_is_complete(server, tmp_path):
    server.start()
    fill(server, 1_000)
    target = tmp_path / "base.jsonl"
    shown = ctl("export", "--out", target, server=server)
    assert shown.returncode == 0 and "exported 1000 profiles" in shown.stderr
    found = people(target.read_text())
    assert sorted(person["profile"]["custom_id"] for person in found) == sorted(f"p{number}" for number in range(1_000))
    assert list(tmp_path.iterdir()) == [target, server.data_dir] or set(tmp_path.iterdir()) == {target, server.data_dir}
    assert ctl("export", server=server).stdout == target.read_text()


def test_an_export_goes_on_through_kills_and_interruptions(server, tmp_path):
    server.start()
    fill(server, 20_000)
    server.address = server.listen
    target = tmp_path / "base.jsonl"
    runs = 0
    while not target.exists() and runs < 40:
        runs += 1
        process = subprocess.Popen(
            [str(TOOL), "--address", server.listen, "export", "--out", str(target)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        time.sleep(0.15 * runs)
        if runs == 1:
            server.stop(signal.SIGKILL)
            server.start()
        elif runs < 4:
            process.send_signal(signal.SIGKILL if runs == 2 else signal.SIGINT)
        errors = process.communicate(timeout=120)[1].decode()
    assert target.exists(), errors
    found = [person["profile"]["custom_id"] for person in people(target.read_text())]
    assert len(found) == len(set(found)) == 20_000
    assert not (tmp_path / "base.jsonl.position").exists() and not (tmp_path / "base.jsonl.part").exists()


def test_a_position_of_another_export_is_rejected(server, tmp_path):
    server.start()
    fill(server, 10)
    target, position = tmp_path / "base.jsonl", tmp_path / "base.jsonl.position"
    position.write_text("{}")
    assert ctl("export", "--out", target, server=server).returncode == 2
    position.write_text(
        json.dumps(
            {"project": "other", "operations": False, "lsn": "1", "page_token": "x", "profiles": 1, "bytes": 0}
        )
    )
    shown = ctl("export", "--out", target, server=server)
    assert shown.returncode == 2 and "other" in shown.stderr
    position.write_text(
        json.dumps(
            {"project": "default", "operations": False, "lsn": "1", "page_token": "x", "profiles": 1, "bytes": 9}
        )
    )
    shown = ctl("export", "--out", target, server=server)
    assert shown.returncode == 1 and "delete both" in shown.stderr
    assert ctl("export", "p1", "--resume", position, server=server).returncode == 2


@pytest.mark.parametrize("words", [["export"], ["export", "p1"]])
def test_a_full_disk_is_an_error(server, words):
    server.start()
    fill(server, 10)
    with open("/dev/full", "w") as full:
        finished = subprocess.run(
            [str(TOOL), "--address", server.listen, *words], stdout=full, stderr=subprocess.PIPE, timeout=60
        )
    assert finished.returncode == LOST and b"No space left" in finished.stderr


def test_a_limit_of_the_file_size_is_an_error(server, tmp_path):
    server.start()
    fill(server, 100)
    finished = subprocess.run(
        ["bash", "-c", f'ulimit -f 4; exec "{TOOL}" --address {server.listen} export --out base'],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
    )
    assert finished.returncode == 1 and b"File too large" in finished.stderr
    assert not (tmp_path / "base").exists()
