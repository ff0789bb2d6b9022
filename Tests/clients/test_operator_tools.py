"""Operators' tools that need no server, with the real binaries: check a configuration; verify, dump and restore a
directory."""

import json
import os
import pathlib
import random
import shutil
import signal
import socket
import struct

import pytest

from conftest import Server, custom, event, get, profiles_pb2, profiles_pb2_grpc, track, types_pb2, wait_until
from operator_tools import (
    Journal,
    admin_stub,
    crc32c,
    ctl,
    damages,
    fill,
    fingerprint,
    flip,
    newest_log,
    profiled,
    sealed_again,
    verified,
)
from profiles.v1 import admin_pb2

# --check-config


def test_a_valid_configuration_is_shown_with_its_sources_and_nothing_is_opened(tmp_path):
    file = tmp_path / "profiles.conf"
    file.write_text("# ours\nlog-level = debug\ndrain-seconds = 7\n")
    with socket.socket() as taken:
        # A port in use does not matter, because nothing is bound.
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        checked = profiled(
            "--check-config",
            "--config",
            file,
            "--data-dir",
            tmp_path / "data",
            "--listen",
            f"127.0.0.1:{port}",
            cwd=tmp_path,
            PROFILES_DRAIN_SECONDS="9",
            PROFILES_LOOPS="2",
        )
    assert checked.returncode == 0 and checked.stderr == ""
    assert checked.stdout.startswith("# the configuration is valid\n")
    for line in (
        f"# command line\ndata-dir = {tmp_path}/data\n",
        f"# command line\nlisten = 127.0.0.1:{port}\n",
        "# environment\nloops = 2\n",
        "# environment\ndrain-seconds = 9\n",
        f"# {file}:2\nlog-level = debug\n",
        "# default\nsegment-bytes = 64MiB\n",
    ):
        assert line in checked.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["profiles.conf"]
    # The output is a configuration file that produces the same configuration.
    again = tmp_path / "again.conf"
    again.write_text(checked.stdout)
    values = [line for line in checked.stdout.splitlines() if not line.startswith("#")]
    shown = profiled("--check-config", "--config", again, cwd=tmp_path).stdout.splitlines()
    assert [line for line in shown if not line.startswith("#")] == values


@pytest.mark.parametrize(
    "flags,variables,lines,expected",
    [
        (["--nonsense", "1"], {}, None, "command line: --nonsense: unknown setting"),
        ([], {}, "log-levle = info", "p.conf:1: log-levle: unknown setting"),
        ([], {}, "loops = 1\nloops = 2", "p.conf:2: loops: given twice"),
        ([], {"PROFILES_LOOPS": "0"}, None, 'environment: PROFILES_LOOPS: found "0"; allowed: 1...64'),
        (["--loops", "2"], {"PROFILES_LOOPS": "many"}, None, 'environment: PROFILES_LOOPS: found "many"'),
        (["--listen", "0.0.0.0:1"], {}, None, "command line: --listen: not on loopback"),
        (["--config", "missing.conf"], {}, None, "missing.conf: config: cannot be read"),
    ],
)
def test_an_invalid_configuration_is_reported_with_its_source(tmp_path, flags, variables, lines, expected):
    if lines is not None:
        (tmp_path / "p.conf").write_text(lines + "\n")
        flags = ["--config", "p.conf", *flags]
    before = sorted(tmp_path.iterdir())
    checked = profiled("--check-config", *flags, cwd=tmp_path, **variables)
    assert checked.returncode == 2 and checked.stdout == ""
    assert checked.stderr.startswith(f"profiled: {expected}") and checked.stderr.count("\n") == 1, checked.stderr
    assert sorted(tmp_path.iterdir()) == before


# verify, dump, restore: without a server


def test_an_intact_directory_is_good_and_unchanged(server):
    server.start()
    names = fill(server)
    assert server.stop() == 0
    code, found, verdict = verified(server.data_dir)
    assert code == 0 and verdict["verdict"] == "good" and verdict["damages"] == 0
    segments = [line for line in found if line.get("kind") == "segment"]
    assert (
        len(segments) == 1
        and segments[0]["first_lsn"] == 1
        and segments[0]["next_lsn"] == verdict["lsn"] + 1
        and segments[0]["sealed"]
    )
    states = [line for line in found if "digest" in line]
    assert states and all(state["profiles"] == len(names) for state in states)
    text = ctl("verify", server.data_dir)
    assert (
        text.returncode == 0
        and "good: " in text.stdout
        and f"{len(names)} profiles at lsn {verdict['lsn']}\n" in text.stdout
    )


def test_verify_creates_no_lock_file_and_respects_one(server, tmp_path):
    server.start()
    fill(server, 2)
    for command in (["verify"], ["dump"]):
        rejected = ctl(*command, server.data_dir)
        assert (
            rejected.returncode == 4 and "a server runs on this directory" in rejected.stderr and rejected.stdout == ""
        )
    assert server.stop() == 0
    (server.data_dir / "LOCK").unlink()
    # `verified` also compares names.
    assert verified(server.data_dir)[0] == 0
    assert ctl("dump", server.data_dir).returncode == 0 and not (server.data_dir / "LOCK").exists()
    empty = tmp_path / "empty"
    empty.mkdir()
    assert verified(empty)[0] == 3
    missing = ctl("verify", tmp_path / "missing")
    assert missing.returncode == 1 and not (tmp_path / "missing").exists()
    assert "failed: No such file or directory (errno 2)" in missing.stderr


def test_a_torn_tail_is_reported_and_is_not_damage(server):
    server.start()
    fill(server, 4)
    server.stop(signal.SIGKILL)
    log = newest_log(server.data_dir)
    code, found, before = verified(server.data_dir)
    used = [line for line in found if line.get("kind") == "segment"][-1]["used_bytes"]
    content = bytearray(log.read_bytes())
    # As if a power failure had persisted a part of the next frame.
    content[used : used + 400] = b"PFRM" + os.urandom(396)
    log.write_bytes(content)
    code, found, verdict = verified(server.data_dir)
    assert (
        code == 0
        and verdict["verdict"] == "good"
        and verdict["lsn"] == before["lsn"]
        and verdict["digest"] == before["digest"]
    )
    assert [line["torn_tail_bytes"] for line in found if "torn_tail_bytes" in line][0] >= 390
    assert "never acknowledged, not damage" in ctl("verify", server.data_dir).stdout


def test_each_kind_of_damage_of_the_log_is_found(tmp_path):
    server = Server(tmp_path / "data", "--segment-bytes", "1MiB").start()
    stub = profiles_pb2_grpc.ProfilesStub(server.channel())
    text = {"text": types_pb2.Value(string="x" * 200)}
    for number in range(90):
        stub.BatchWrite(
            profiles_pb2.BatchWriteRequest(
                project="default",
                operations=[
                    profiles_pb2.WriteOperation(track=track(custom(f"p-{number}"), event("big", attributes=text)))
                    for _ in range(200)
                ],
            )
        )
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
    assert any(
        segments[1].name in text and "damaged at byte" in text and "before lsn" in text for text in damages(found)
    )

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


def test_a_dump_equals_the_responses_of_the_server(server):
    server.start()
    names = fill(server)
    stub = profiles_pb2_grpc.ProfilesStub(server.channel())
    # A profile that was merged into another must not be listed.
    stub.Track(track(types_pb2.Identifier(installation_id="stray-phone"), event("opened")))
    stub.Identify(profiles_pb2.IdentifyRequest(project="default", custom_id=names[0], installation_id="stray-phone"))
    responses = {name: json.loads(ctl("--json", "get", name, server=server).stdout) for name in names}

    def lists(*words):
        return [json.loads(line) for line in ctl("--json", *words, server=server).stdout.splitlines()]

    events = {name: lists("events", name, "--limit", "0", "--oldest-first") for name in names}
    ledgers = {name: lists("consent", name) for name in names}
    assert server.stop() == 0
    before = fingerprint(server.data_dir)
    dumped = ctl("dump", server.data_dir)
    assert dumped.returncode == 0 and dumped.stderr == "" and fingerprint(server.data_dir) == before
    lines = [json.loads(line) for line in dumped.stdout.splitlines()]
    assert sorted(line["profile"]["custom_id"] for line in lines) == sorted(names)
    for line in lines:
        assert line.pop("project") == "default" and line == responses[line["profile"]["custom_id"]]
    full = [json.loads(line) for line in ctl("dump", server.data_dir, "--events", "--ledger").stdout.splitlines()]
    for line in full:
        name = line["profile"]["custom_id"]
        assert line.pop("events") == events[name] and line.pop("consent") == ledgers[name]
        assert line.pop("project") == "default" and line == responses[name]
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
    assert (
        ctl("dump", target, "--events", "--ledger").stdout
        == ctl("dump", server.data_dir, "--events", "--ledger").stdout
    )
    second = Server(target).start()
    stub = profiles_pb2_grpc.ProfilesStub(second.channel())
    assert stub.GetProfile(get(custom(names[3]))).profile.custom_id == names[3]
    assert second.stop() == 0


def test_a_restore_rejects_what_would_lose_data(server, tmp_path):
    server.start()
    fill(server, 4)
    assert server.stop() == 0
    target = tmp_path / "restored"
    target.mkdir()
    (target / "mine").write_text("keep")
    rejected = ctl("restore", server.data_dir, target)
    assert rejected.returncode == 1 and "is not empty; restore to a new directory" in rejected.stderr
    assert [path.name for path in target.iterdir()] == ["mine"]
    # Also if the target is the source.
    before = fingerprint(server.data_dir)
    assert ctl("restore", server.data_dir, server.data_dir).returncode == 4 and fingerprint(server.data_dir) == before
    flip(newest_log(server.data_dir), 200)
    damaged = ctl("restore", server.data_dir, tmp_path / "other")
    assert (
        damaged.returncode == 3
        and "is damaged and was not restored" in damaged.stderr
        and "DAMAGED: " in damaged.stdout
    )
    assert not (tmp_path / "other").exists()


# with snapshots


@pytest.fixture
def with_snapshots(server):
    """The directory of a stopped server with two snapshots, and log after each."""
    server.start()
    for _ in range(2):
        fill(server, 10)
        admin_stub(server).CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=30)
    fill(server, 10)
    assert server.stop() == 0
    return server.data_dir


def test_all_recovery_paths_are_verified(with_snapshots):
    code, found, verdict = verified(with_snapshots)
    assert code == 0 and verdict["verdict"] == "good"
    states = [line for line in found if "from" in line]
    assert len(states) >= 2 and len({state["from"] for state in states}) == len(states)
    assert {(state["lsn"], state["digest"], state["profiles"]) for state in states} == {
        (verdict["lsn"], verdict["digest"], 30)
    }
    older, newer = sorted(path.name for path in with_snapshots.glob("*.snapshot"))
    by_name = {state["from"]: state["frames"] for state in states}
    assert by_name[older] > by_name[newer] > 0


@pytest.mark.parametrize("which", [0, 1])
def test_a_flipped_bit_in_a_snapshot_is_found(with_snapshots, which):
    snapshot = sorted(with_snapshots.glob("*.snapshot"))[which]
    flip(snapshot, snapshot.stat().st_size // 2)
    code, found, verdict = verified(with_snapshots)
    assert code == 3 and verdict["verdict"] == "damaged"
    assert any(snapshot.name in text and "byte" in text for text in damages(found))


@pytest.mark.parametrize("which", [0, 1])
def test_a_damaged_snapshot_is_replaced_by_the_next(with_snapshots, which):
    """The procedure of operations.md."""
    _, _, before = verified(with_snapshots)
    snapshot = sorted(with_snapshots.glob("*.snapshot"))[which]
    flip(snapshot, snapshot.stat().st_size // 2)
    assert verified(with_snapshots)[0] == 3
    server = Server(with_snapshots).start()
    admin_stub(server).CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=30)
    assert server.stop() == 0
    code, found, after = verified(with_snapshots)
    assert code == 0 and after["lsn"] >= before["lsn"], found
    assert not snapshot.exists() and len(list(with_snapshots.glob("*.snapshot"))) == 2


def test_damage_around_snapshots_is_found(with_snapshots, tmp_path):
    def copy(name):
        return pathlib.Path(shutil.copytree(with_snapshots, tmp_path / name))

    other = Server(tmp_path / "other").start()
    fill(other, 1)
    admin_stub(other).CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=30)
    assert other.stop() == 0
    newest = sorted(with_snapshots.glob("*.snapshot"))[-1].name
    foreign = copy("foreign")
    shutil.copy(next(other.data_dir.glob("*.snapshot")), foreign / newest)
    code, found, _ = verified(foreign)
    assert code == 3 and any("belongs to another data directory" in text for text in damages(found))

    newer = copy("newer")
    content = bytearray((newer / newest).read_bytes())
    content[8:12] = struct.pack("<I", 99)
    content[76:80] = struct.pack("<I", crc32c(bytes(content[:76])))
    (newer / newest).write_bytes(content)
    code, found, _ = verified(newer)
    assert code == 3 and any("99" in text for text in damages(found))

    # The log continues after the newest snapshot: without that part acknowledged writes are missing.
    hole = copy("hole")
    for segment in sorted(hole.glob("*.log"))[:-1]:
        segment.unlink()
    code, found, _ = verified(hole)
    assert code == 3 and damages(found)


def test_a_snapshot_with_wrong_contents_is_detected(with_snapshots):
    """Every checksum is correct, but the content differs from the log: only the comparison of the states detects it."""
    snapshot = sorted(with_snapshots.glob("*.snapshot"))[-1]
    content = bytearray(snapshot.read_bytes())
    place = content.index(b"plan 7")
    content[place : place + 6] = b"plan 8"
    snapshot.write_bytes(sealed_again(content))
    code, found, verdict = verified(with_snapshots)
    assert code == 3 and verdict["verdict"] == "damaged"
    assert (
        len(damages(found)) == 1
        and "lead to different states" in damages(found)[0]
        and snapshot.name in damages(found)[0]
    )


def test_recomputed_checksums_equal_those_of_the_server(with_snapshots):
    """The helper of the test above computes the same checksums as the server."""
    content = sorted(with_snapshots.glob("*.snapshot"))[-1].read_bytes()
    assert bytes(sealed_again(bytearray(content))) == content


def test_verify_ends_with_a_verdict_for_any_damage(with_snapshots, tmp_path):
    """Flips, zeros, truncations, additions, swaps and unusual names: good or damaged, never a crash; a flip is always
    detected."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    files = [path for path in with_snapshots.iterdir() if path.suffix in (".log", ".snapshot")]
    odd_names = [
        "0000000000000000.log",
        "ffffffffffffffff.log",
        "ffffffffffffffff.snapshot",
        "0000000000000000.snapshot",
    ]
    for number in range(60):
        folder = pathlib.Path(
            shutil.copytree(with_snapshots, tmp_path / f"round-{number}", ignore=shutil.ignore_patterns("*.tmp"))
        )
        path = folder / chance.choice(files).name
        content = bytearray(path.read_bytes())
        used = len(content.rstrip(b"\0"))
        place = chance.randrange(used)
        kind = number % 6
        if kind == 0:
            content[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            content[place : place + 512] = bytes(len(content[place : place + 512]))
        elif kind == 2:
            del content[place:]
        elif kind == 3:
            content += chance.randbytes(chance.randrange(1, 900))
        elif kind == 4:
            content = chance.choice(files).read_bytes()
        else:
            path.unlink()
            path = folder / chance.choice(odd_names)
        path.write_bytes(content)
        code, _, verdict = verified(folder)
        assert (code, verdict["verdict"]) in ((0, "good"), (3, "damaged")), f"seed {seed}, round {number}"
        assert kind != 0 or code == 3, f"seed {seed}, round {number}"
        shutil.rmtree(folder)


def test_remains_of_an_interrupted_removal_are_not_damage(server, tmp_path):
    server.start()
    fill(server, 3)
    admin_stub(server).CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=30)
    first = server.data_dir / "0000000000000001.log"
    shutil.copy(first, tmp_path / "kept")
    for _ in range(2):
        admin_stub(server).CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=30)
    assert server.stop() == 0 and not first.exists() and not (server.data_dir / "0000000000000002.log").exists()
    # Removals become durable in any order: segment 1 may exist when segment 2 does not.
    shutil.copy(tmp_path / "kept", first)
    first.chmod(0o600)
    code, found, verdict = verified(server.data_dir)
    assert code == 0 and verdict["verdict"] == "good", found
    assert server.start().stop() == 0


def test_verify_agrees_with_every_start_after_a_kill(tmp_path):
    """Kills under load, with concurrent snapshots and removals: never damage, and the state is the one that the next
    start serves."""
    server = Server(tmp_path / "data", "--segment-bytes", "1MiB")
    for _ in range(8):
        server.start()
        writers = [Journal(server) for _ in range(4)]
        assert wait_until(lambda: all(writer.acknowledged > 5 for writer in writers))
        admin_stub(server).CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=30)
        assert wait_until(lambda: all(writer.acknowledged > 30 for writer in writers))
        server.stop(signal.SIGKILL)
        for writer in writers:
            writer.stop.set()
            writer.thread.join(30)
        code, found, verdict = verified(server.data_dir)
        assert code == 0 and verdict["verdict"] == "good", found
        stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
        served = json.loads([line for line in server.lines if '"message":"serving"' in line][-1])
        assert served["lsn"] == verdict["lsn"]
        for writer in writers:
            writer.check(stub, writer.acknowledged)
        assert server.stop() == 0
        assert verified(server.data_dir)[0] == 0
