"""The tools of those who run the service, against the real binaries: what is checked, copied, shown and put back."""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from conftest import BINARY, Server, custom, event, get, profiles_pb2, profiles_pb2_grpc, track, types_pb2, unique

TOOL = BINARY.parent / "profilectl"


def profiled(*flags, cwd, **variables):
    """Runs `profiled` to its end, which a check reaches by itself."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROFILES_")} | variables
    return subprocess.run(
        [str(BINARY), *map(str, flags)], cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)


# --check-config


def test_a_good_configuration_is_shown_with_its_sources_and_touches_nothing(tmp_path):
    file = tmp_path / "profiles.conf"
    file.write_text("# ours\nlog-level = debug\ndrain-seconds = 7\n")
    with socket.socket() as taken:
        # A port in use is no matter: nothing is bound.
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        checked = profiled(
            "--check-config", "--config", file, "--data-dir", tmp_path / "data", "--listen", f"127.0.0.1:{port}",
            cwd=tmp_path, PROFILES_DRAIN_SECONDS="9", PROFILES_LOOPS="2")
    assert checked.returncode == 0 and checked.stderr == ""
    assert checked.stdout.startswith("# the configuration is good\n")
    for line in (f"# command line\ndata-dir = {tmp_path}/data\n", f"# command line\nlisten = 127.0.0.1:{port}\n", "# environment\nloops = 2\n",
                 "# environment\ndrain-seconds = 9\n", f"# {file}:2\nlog-level = debug\n", "# default\nsegment-bytes = 64MiB\n"):
        assert line in checked.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["profiles.conf"]
    # What it shows is a configuration file that gives the same.
    again = tmp_path / "again.conf"
    again.write_text(checked.stdout)
    values = [line for line in checked.stdout.splitlines() if not line.startswith("#")]
    shown = profiled("--check-config", "--config", again, cwd=tmp_path).stdout.splitlines()
    assert [line for line in shown if not line.startswith("#")] == values


@pytest.mark.parametrize("flags,variables,lines,expected", [
    (["--nonsense", "1"], {}, None, "command line: --nonsense: unknown setting"),
    ([], {}, "log-levle = info", "p.conf:1: log-levle: unknown setting"),
    ([], {}, "loops = 1\nloops = 2", "p.conf:2: loops: given twice"),
    ([], {"PROFILES_LOOPS": "0"}, None, 'environment: PROFILES_LOOPS: found "0"; allowed: 1...64'),
    (["--loops", "2"], {"PROFILES_LOOPS": "many"}, None, 'environment: PROFILES_LOOPS: found "many"'),
    (["--listen", "0.0.0.0:1"], {}, None, "command line: --listen: not on loopback"),
    (["--config", "missing.conf"], {}, None, "missing.conf: config: cannot be read"),
])
def test_a_wrong_configuration_is_named_with_its_place(tmp_path, flags, variables, lines, expected):
    if lines is not None:
        (tmp_path / "p.conf").write_text(lines + "\n")
        flags = ["--config", "p.conf", *flags]
    before = sorted(tmp_path.iterdir())
    checked = profiled("--check-config", *flags, cwd=tmp_path, **variables)
    assert checked.returncode == 2 and checked.stdout == ""
    assert checked.stderr.startswith(f"profiled: {expected}") and checked.stderr.count("\n") == 1, checked.stderr
    assert sorted(tmp_path.iterdir()) == before


# verify, dump, restore: without a server


def ctl(*words, server=None):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROFILES_")}
    if server:
        environment["PROFILES_ADDRESS"] = server.listen
    return subprocess.run(
        [str(TOOL), *map(str, words)], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)


def verified(folder):
    """What verify says of a directory: exit code, its findings, its verdict. No byte, name or mode may change meanwhile."""
    before = fingerprint(folder)
    result = ctl("--json", "verify", folder)
    assert fingerprint(folder) == before
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return result.returncode, lines[:-1], lines[-1]


def fingerprint(folder):
    return {path.name: (path.stat().st_mode, path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) for path in folder.iterdir()}


def damages(found):
    return [line["damage"] for line in found if "damage" in line]


def fill(server, people=40):
    """People with everything that a profile can have: attributes, devices, consent, events, a merge."""
    names = [unique("person") for _ in range(people)]
    stub = profiles_pb2_grpc.ProfilesStub(server.channel())
    for number, name in enumerate(names):
        value = types_pb2.Value(string=f"plan {number}")
        device = f"{name}-phone"
        stub.Track(track(types_pb2.Identifier(installation_id=device), event("opened")))
        stub.Identify(profiles_pb2.IdentifyRequest(
            project="default", custom_id=name, installation_id=device,
            attributes=types_pb2.AttributePatch(
                set={"plan": value, "sizes": types_pb2.Value(list=types_pb2.StringList(items=["s", "m"]))},
                native=types_pb2.NativeAttributes(email_address=StringValue(value=f"{name}@example.org")))))
        for _ in range(number % 4):
            stub.Track(track(custom(name), event("bought", attributes={"amount": types_pb2.Value(number=number / 8)}, label="x", tags=["a", "b"])))
        if number % 3 == 0:
            stub.UpdateSubscription(profiles_pb2.UpdateSubscriptionRequest(
                project="default", identifier=custom(name), source=types_pb2.CONSENT_SOURCE_USER,
                changes=[profiles_pb2.SubscriptionChange(channel=types_pb2.CHANNEL_EMAIL, state=types_pb2.SUBSCRIPTION_STATE_SUBSCRIBED)]))
    return names


def newest_log(folder):
    return sorted(folder.glob("*.log"))[-1]


def flip(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def test_a_whole_directory_is_good_and_keeps_every_byte(server):
    server.start()
    names = fill(server)
    assert server.stop() == 0
    code, found, verdict = verified(server.data_dir)
    assert code == 0 and verdict["verdict"] == "good" and verdict["damages"] == 0
    segments = [line for line in found if line.get("kind") == "segment"]
    assert len(segments) == 1 and segments[0]["first_lsn"] == 1 and segments[0]["next_lsn"] == verdict["lsn"] + 1 and segments[0]["sealed"]
    states = [line for line in found if "digest" in line]
    assert states and all(state["profiles"] == len(names) for state in states)
    text = ctl("verify", server.data_dir)
    assert text.returncode == 0 and "good: " in text.stdout and f"{len(names)} profiles at lsn {verdict['lsn']}\n" in text.stdout


def test_verify_makes_no_lock_file_and_respects_one(server, tmp_path):
    server.start()
    fill(server, 2)
    for command in (["verify"], ["dump"]):
        refused = ctl(*command, server.data_dir)
        assert refused.returncode == 4 and "a server runs on this directory" in refused.stderr and refused.stdout == ""
    assert server.stop() == 0
    (server.data_dir / "LOCK").unlink()
    # `verified` compares names, too.
    assert verified(server.data_dir)[0] == 0
    assert ctl("dump", server.data_dir).returncode == 0 and not (server.data_dir / "LOCK").exists()
    empty = tmp_path / "empty"
    empty.mkdir()
    assert verified(empty)[0] == 3
    missing = ctl("verify", tmp_path / "missing")
    assert missing.returncode == 1 and "opendir" in missing.stderr and not (tmp_path / "missing").exists()


def test_a_torn_tail_is_no_damage_and_is_told(server):
    server.start()
    fill(server, 4)
    server.stop(signal.SIGKILL)
    log = newest_log(server.data_dir)
    code, found, before = verified(server.data_dir)
    used = [line for line in found if line.get("kind") == "segment"][-1]["used_bytes"]
    content = bytearray(log.read_bytes())
    # As if a power cut had let a part of the next frame through.
    content[used:used + 400] = b"PFRM" + os.urandom(396)
    log.write_bytes(content)
    code, found, verdict = verified(server.data_dir)
    assert code == 0 and verdict["verdict"] == "good" and verdict["lsn"] == before["lsn"] and verdict["digest"] == before["digest"]
    assert [line["torn_tail_bytes"] for line in found if "torn_tail_bytes" in line][0] >= 390
    assert "never answered, no damage" in ctl("verify", server.data_dir).stdout


def test_each_kind_of_damage_of_the_log_is_found(tmp_path):
    server = Server(tmp_path / "data", "--segment-bytes", "1MiB").start()
    stub = profiles_pb2_grpc.ProfilesStub(server.channel())
    for number in range(90):
        stub.BatchWrite(profiles_pb2.BatchWriteRequest(project="default", operations=[
            profiles_pb2.WriteOperation(track=track(custom(f"p-{number}"), event("big", attributes={"text": types_pb2.Value(string="x" * 200)})))
            for _ in range(200)]))
    assert server.stop() == 0
    good = server.data_dir
    segments = sorted(good.glob("*.log"))
    assert len(segments) >= 4 and verified(good)[0] == 0

    def copy(name):
        return pathlib.Path(shutil.copytree(good, tmp_path / name))

    flipped = copy("flipped")
    flip(flipped / segments[1].name, 500_000)
    code, found, verdict = verified(flipped)
    assert code == 3 and verdict["verdict"] == "damaged"
    assert any(segments[1].name in text and "damaged at byte" in text and "before lsn" in text for text in damages(found))

    removed = copy("removed")
    (removed / segments[1].name).unlink()
    code, found, _ = verified(removed)
    assert code == 3 and any("segment 2 is missing" in text for text in damages(found))

    other = Server(tmp_path / "other").start()
    fill(other, 1)
    assert other.stop() == 0
    foreign = copy("foreign")
    shutil.copy(other.data_dir / segments[0].name, foreign / segments[2].name)
    code, found, _ = verified(foreign)
    assert code == 3 and any("belongs to another data directory" in text for text in damages(found))

    newer = copy("newer")
    content = bytearray((newer / segments[-1].name).read_bytes())
    content[8:12] = struct.pack("<I", 99)
    content[60:64] = struct.pack("<I", crc32c(bytes(content[:60])))
    (newer / segments[-1].name).write_bytes(content)
    code, found, _ = verified(newer)
    assert code == 3 and any("has format 99" in text for text in damages(found))

    stray = copy("stray")
    (stray / "notes.txt").write_text("left alone")
    assert verified(stray)[0] == 0


def crc32c(content):
    """CRC-32C, bit by bit: another implementation than the server's."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_a_dump_says_what_the_server_answers(server):
    server.start()
    names = fill(server)
    stub = profiles_pb2_grpc.ProfilesStub(server.channel())
    # One that was merged away must not show up by itself.
    stub.Track(track(types_pb2.Identifier(installation_id="stray-phone"), event("opened")))
    stub.Identify(profiles_pb2.IdentifyRequest(project="default", custom_id=names[0], installation_id="stray-phone"))
    answers = {name: json.loads(ctl("--json", "get", name, server=server).stdout) for name in names}
    events = {name: [json.loads(line) for line in ctl("--json", "events", name, "--limit", "0", "--oldest-first", server=server).stdout.splitlines()]
              for name in names}
    ledgers = {name: [json.loads(line) for line in ctl("--json", "consent", name, server=server).stdout.splitlines()] for name in names}
    assert server.stop() == 0
    before = fingerprint(server.data_dir)
    dumped = ctl("dump", server.data_dir)
    assert dumped.returncode == 0 and dumped.stderr == "" and fingerprint(server.data_dir) == before
    lines = [json.loads(line) for line in dumped.stdout.splitlines()]
    assert sorted(line["profile"]["custom_id"] for line in lines) == sorted(names)
    for line in lines:
        assert line == answers[line["profile"]["custom_id"]]
    full = [json.loads(line) for line in ctl("dump", server.data_dir, "--events", "--ledger").stdout.splitlines()]
    for line in full:
        name = line["profile"]["custom_id"]
        assert line.pop("events") == events[name] and line.pop("consent") == ledgers[name] and line == answers[name]
    # The order depends on the log alone.
    assert ctl("dump", server.data_dir).stdout == dumped.stdout


def test_a_restored_directory_is_served_and_equal(server, tmp_path):
    server.start()
    names = fill(server)
    assert server.stop() == 0
    target = tmp_path / "restored"
    restored = ctl("--json", "restore", server.data_dir, target)
    assert restored.returncode == 0, restored.stderr
    said = json.loads(restored.stdout)
    _, _, verdict = verified(server.data_dir)
    assert said["digest"] == verdict["digest"] and said["lsn"] == verdict["lsn"] and said["profiles"] == len(names)
    assert target.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in target.iterdir()} == {0o600}
    assert ctl("dump", target, "--events", "--ledger").stdout == ctl("dump", server.data_dir, "--events", "--ledger").stdout
    second = Server(target).start()
    stub = profiles_pb2_grpc.ProfilesStub(second.channel())
    assert stub.GetProfile(get(custom(names[3]))).profile.custom_id == names[3]
    assert second.stop() == 0


def test_a_restore_refuses_what_would_lose_something(server, tmp_path):
    server.start()
    fill(server, 4)
    assert server.stop() == 0
    target = tmp_path / "restored"
    target.mkdir()
    (target / "mine").write_text("keep")
    refused = ctl("restore", server.data_dir, target)
    assert refused.returncode == 1 and "is not empty; restore into a new directory" in refused.stderr
    assert [path.name for path in target.iterdir()] == ["mine"]
    # Over itself, too.
    before = fingerprint(server.data_dir)
    assert ctl("restore", server.data_dir, server.data_dir).returncode == 1 and fingerprint(server.data_dir) == before
    flip(newest_log(server.data_dir), 200)
    damaged = ctl("restore", server.data_dir, tmp_path / "other")
    assert damaged.returncode == 3 and "is damaged and was not restored" in damaged.stderr and "DAMAGED: " in damaged.stdout
    assert not (tmp_path / "other").exists()
