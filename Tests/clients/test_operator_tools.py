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
import threading

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from conftest import (
    BINARY, Failure, Server, custom, event, fails, get, profiles_pb2, profiles_pb2_grpc, track, types_pb2, unique, wait_until)
from profiles.v1 import admin_pb2, admin_pb2_grpc

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


def crc32c(content, before=0):
    """CRC-32C behind `before`, bit by bit: another implementation than the server's."""
    crc = before ^ 0xFFFFFFFF
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


# snapshot, backup: of a running server


def admin_stub(server):
    return admin_pb2_grpc.AdminStub(server.channel())


def backups(server, destination, **options):
    """Every message of a backup."""
    return list(admin_stub(server).Backup(admin_pb2.BackupRequest(destination=str(destination)), timeout=60, **options))


def fill_much(server, batches=30):
    """So much that a backup takes a moment: about 6 MB."""
    stub = profiles_pb2_grpc.ProfilesStub(server.channel())
    text = types_pb2.Value(string="x" * 200)
    for number in range(batches):
        stub.BatchWrite(profiles_pb2.BatchWriteRequest(project="default", operations=[
            profiles_pb2.WriteOperation(track=track(custom(f"m-{number}-{one}"), event("big", attributes={f"text{part}": text for part in range(5)})))
            for one in range(200)]))


class Journal:
    """A writer of one person, and how many of its calls were answered; each call stores three events, all or none."""

    def __init__(self, server):
        self.name = unique("writer")
        self.stub = profiles_pb2_grpc.ProfilesStub(server.channel())
        self.sent = self.answered = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stop.is_set() and self.sent < 330:
            self.sent += 1
            try:
                self.stub.Track(track(custom(self.name), *[event("step", event_id=f"{self.sent}-{part}") for part in range(3)]), timeout=20)
            except grpc.RpcError:
                return
            self.answered += 1

    def check(self, stub, least):
        try:
            counters = stub.GetProfile(get(custom(self.name)), timeout=20).profile.event_counters
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND and least == 0
            return
        assert counters[0].count % 3 == 0, "a call is there in part"
        assert 3 * least <= counters[0].count <= 3 * self.sent, "an answered call is missing, or one that was never sent is there"


def test_everything_answered_before_a_backup_is_in_it(server, tmp_path):
    """A backup under load, kill -9, a restore elsewhere, and a server on it."""
    server.start()
    names = fill(server)
    writers = [Journal(server) for _ in range(6)]
    assert wait_until(lambda: all(writer.answered > 20 for writer in writers))
    # Two, so that the second one's snapshot prunes what the first was made of.
    answered = {}
    for number in (1, 2):
        answered[number] = [writer.answered for writer in writers]
        result = ctl("backup", tmp_path / f"backup-{number}", server=server)
        assert result.returncode == 0 and "verified" in result.stdout, result.stderr
    assert any(writer.answered > before for writer, before in zip(writers, answered[2])), "writes went on meanwhile"
    for writer in writers:
        writer.stop.set()
    for writer in writers:
        writer.thread.join(30)
    still = ctl("backup", tmp_path / "still", server=server)
    assert still.returncode == 0
    server.stop(signal.SIGKILL)
    for number in (1, 2):
        folder = tmp_path / f"backup-{number}"
        assert folder.stat().st_mode & 0o777 == 0o700 and {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
        code, found, verdict = verified(folder)
        assert code == 0, found
        restored = ctl("--json", "restore", folder, tmp_path / f"restored-{number}")
        assert restored.returncode == 0 and json.loads(restored.stdout)["digest"] == verdict["digest"]
        second = Server(tmp_path / f"restored-{number}").start()
        stub = profiles_pb2_grpc.ProfilesStub(second.channel())
        for writer, least in zip(writers, answered[number]):
            writer.check(stub, least)
        assert all(stub.GetProfile(get(custom(name))).profile.custom_id == name for name in names)
        # The log goes on where the backup ended, and is found again.
        stub.Track(track(custom("after"), event()))
        second.stop(signal.SIGKILL)
        assert profiles_pb2_grpc.ProfilesStub(second.start().channel()).GetProfile(get(custom("after"))).profile.custom_id == "after"
        assert second.stop() == 0
    # Nothing was written after the last backup: it and its source are the same state.
    _, _, source = verified(server.data_dir)
    _, _, copy = verified(tmp_path / "still")
    assert (source["lsn"], source["digest"]) == (copy["lsn"], copy["digest"])
    assert ctl("dump", server.data_dir, "--events", "--ledger").stdout == ctl("dump", tmp_path / "still", "--events", "--ledger").stdout


def test_a_server_starts_on_a_backup_as_it_is(server, tmp_path):
    server.start()
    names = fill(server, 5)
    progress = backups(server, tmp_path / "deep" / "backup")
    assert server.stop() == 0
    assert progress[-1].bytes_done == progress[-1].bytes_total == sum(path.stat().st_size for path in (tmp_path / "deep/backup").iterdir())
    assert len({one.lsn for one in progress}) == 1 and all(a.bytes_done <= b.bytes_done for a, b in zip(progress, progress[1:]))
    second = Server(tmp_path / "deep" / "backup").start()
    stub = profiles_pb2_grpc.ProfilesStub(second.channel())
    assert all(stub.GetProfile(get(custom(name))).profile.custom_id == name for name in names)
    assert second.stop() == 0


def test_a_backup_goes_only_where_nothing_is(server, tmp_path):
    server.start()
    fill(server, 2)
    full, file, elsewhere, link = tmp_path / "full", tmp_path / "file", tmp_path / "elsewhere", tmp_path / "link"
    full.mkdir()
    (full / "mine").write_text("keep")
    file.write_text("keep")
    elsewhere.mkdir()
    link.symlink_to(elsewhere)
    for destination, said in ((full, "not an empty directory"), (server.data_dir, "not an empty directory"), (file, "failed with errno"), (link, "failed with errno"),
                              ("data/relative", "not an absolute path"), ("", "not an absolute path"), ("/tmp/a\nb", "control character")):
        failure = fails(lambda request, **options: list(admin_stub(server).Backup(request, **options)), admin_pb2.BackupRequest(destination=str(destination)))
        assert failure.code == grpc.StatusCode.INVALID_ARGUMENT and said in failure.violations["destination"], destination
    assert [path.name for path in full.iterdir()] == ["mine"] and file.read_text() == "keep" and not list(elsewhere.iterdir())
    refused = ctl("backup", full, server=server)
    assert refused.returncode == 1 and "destination: not an empty directory" in refused.stderr
    # An empty directory is a place; a relative one is made absolute by the tool.
    result = subprocess.run(
        [str(TOOL), "backup", "elsewhere"], cwd=tmp_path, env={**os.environ, "PROFILES_ADDRESS": server.listen}, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and str(elsewhere) in result.stdout and verified(elsewhere)[0] == 0


def test_one_backup_at_a_time(server, tmp_path):
    server.start()
    fill_much(server)
    outcomes = [None] * 6
    ready = threading.Barrier(len(outcomes))

    def one(number):
        stub = admin_stub(server)
        ready.wait()
        try:
            outcomes[number] = list(stub.Backup(admin_pb2.BackupRequest(destination=str(tmp_path / f"b{number}")), timeout=60))
        except grpc.RpcError as error:
            outcomes[number] = Failure(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(outcomes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    assert refused and all(
        (failure.code, failure.reason, failure.metadata["limit"]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_EXCEEDED", "backups") for failure in refused)
    assert len(refused) < len(outcomes)
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome, Failure):
            assert not (tmp_path / f"b{number}").exists()
        else:
            assert verified(tmp_path / f"b{number}")[0] == 0


def test_a_cancelled_backup_leaves_nothing(server, tmp_path):
    server.start()
    fill_much(server, 60)
    destination = tmp_path / "backup"
    for _ in range(20):
        call = admin_stub(server).Backup(admin_pb2.BackupRequest(destination=str(destination)), timeout=60)
        next(call)
        call.cancel()
        # The desk takes the next one when the given-up one is cleaned away.
        assert wait_until(lambda: snapshotless(server, tmp_path / "next"))
        shutil.rmtree(tmp_path / "next")
        if not list(destination.iterdir()):
            break
        # It was faster than the cancellation: then it is whole.
        assert verified(destination)[0] == 0
        shutil.rmtree(destination)
    else:
        raise AssertionError("no cancellation came in time")
    assert backups(server, destination)[-1].bytes_done > 0 and verified(destination)[0] == 0


def snapshotless(server, destination):
    """Whether a backup can be made now: false while another one runs."""
    try:
        return bool(backups(server, destination))
    except grpc.RpcError as error:
        assert Failure(error).reason == "RATE_EXCEEDED"
        return False


def test_a_backup_ends_with_the_server_and_leaves_nothing_half(server, tmp_path):
    server.start()
    fill_much(server, 60)
    call = admin_stub(server).Backup(admin_pb2.BackupRequest(destination=str(tmp_path / "backup")), timeout=60)
    next(call)
    assert server.stop() == 0
    try:
        list(call)
        assert verified(tmp_path / "backup")[0] == 0
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        assert not list((tmp_path / "backup").iterdir())


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("needs to mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_of_the_backup_is_told_and_harms_nothing(server, small_disk):
    server.start()
    fill_much(server)
    failure = fails(lambda request, **options: list(admin_stub(server).Backup(request, **options)), admin_pb2.BackupRequest(destination=str(small_disk / "backup")))
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "DISK_FULL")
    assert not list((small_disk / "backup").iterdir())
    # The server's own disk is not full.
    fill(server, 1)
    assert server.get("/readyz")[0] == 200


def test_a_snapshot_is_answered_when_it_is_there(server):
    server.start()
    fill(server, 3)
    stub = admin_stub(server)
    lsns = []
    for _ in range(3):
        answer = stub.CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=30)
        file = server.data_dir / f"{answer.lsn:016x}.snapshot"
        assert file.stat().st_size == answer.bytes
        lsns.append(answer.lsn)
    assert lsns == sorted(set(lsns))
    said = ctl("snapshot", server=server)
    assert said.returncode == 0 and said.stdout.startswith("snapshot of lsn ") and said.stdout.endswith(" bytes, verified\n")
    # Those that wait share one.
    calls = [stub.CreateSnapshot.future(admin_pb2.CreateSnapshotRequest(), timeout=60) for _ in range(30)]
    assert len({call.result().lsn for call in calls}) < 30
    # Two are kept, and what they make superfluous is gone.
    assert len(list(server.data_dir.glob("*.snapshot"))) == 2
    assert server.stop() == 0
    assert verified(server.data_dir)[0] == 0


@pytest.fixture
def with_snapshots(server):
    """A stopped server's directory with two snapshots, and log behind each."""
    server.start()
    for _ in range(2):
        fill(server, 10)
        admin_stub(server).CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=30)
    fill(server, 10)
    assert server.stop() == 0
    return server.data_dir


def test_all_ways_to_the_state_are_tried(with_snapshots):
    code, found, verdict = verified(with_snapshots)
    assert code == 0 and verdict["verdict"] == "good"
    states = [line for line in found if "from" in line]
    assert len(states) >= 2 and len({state["from"] for state in states}) == len(states)
    assert {(state["lsn"], state["digest"], state["profiles"]) for state in states} == {(verdict["lsn"], verdict["digest"], 30)}
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

    # Behind the newest snapshot the log goes on: without that part something answered is missing.
    hole = copy("hole")
    for segment in sorted(hole.glob("*.log"))[:-1]:
        segment.unlink()
    code, found, _ = verified(hole)
    assert code == 3 and damages(found)


def test_a_snapshot_that_was_written_wrong_is_found(with_snapshots):
    """Every checksum is right, and the content is not what the log says: only the comparison of the states tells."""
    snapshot = sorted(with_snapshots.glob("*.snapshot"))[-1]
    content = bytearray(snapshot.read_bytes())
    place = content.index(b"plan 7")
    content[place:place + 6] = b"plan 8"
    snapshot.write_bytes(sealed_again(content))
    code, found, verdict = verified(with_snapshots)
    assert code == 3 and verdict["verdict"] == "damaged"
    assert len(damages(found)) == 1 and "lead to different states" in damages(found)[0] and snapshot.name in damages(found)[0]


def sealed_again(content):
    """A snapshot with all its checksums made anew (docs/formats/snapshot.md)."""
    lsn = struct.unpack_from("<Q", content, 40)[0] - 1
    seed = crc32c(struct.pack("<Q", lsn), crc32c(bytes(content[16:32])))
    content[76:80] = struct.pack("<I", crc32c(bytes(content[:76])))
    previous, offset = content[76:80], 80
    while offset < len(content):
        number, size = struct.unpack_from("<QI", content, offset + 8)
        block = crc32c(struct.pack("<Q", number), seed)
        content[offset + 20:offset + 24] = previous
        content[offset + 24:offset + 28] = struct.pack("<I", crc32c(bytes(content[offset + 32:offset + 32 + size]), block))
        content[offset + 28:offset + 32] = struct.pack("<I", crc32c(bytes(content[offset:offset + 28]), block))
        previous = content[offset + 28:offset + 32]
        offset += 32 + (size + 7) // 8 * 8
    return content


def test_a_snapshot_with_its_checksums_made_anew_is_the_same(with_snapshots):
    """The tool of the test above makes what the server makes."""
    content = sorted(with_snapshots.glob("*.snapshot"))[-1].read_bytes()
    assert bytes(sealed_again(bytearray(content))) == content


def test_a_backup_after_an_erasure_knows_nothing_of_the_person(server, tmp_path):
    server.start()
    names = fill(server, 6)
    stub = profiles_pb2_grpc.ProfilesStub(server.channel())
    for name in names[:3]:
        stub.EraseProfile(profiles_pb2.EraseProfileRequest(project="default", identifier=custom(name)))
    backups(server, tmp_path / "backup")
    assert server.stop() == 0
    for folder in (server.data_dir, tmp_path / "backup"):
        dumped = [json.loads(line)["profile"]["custom_id"] for line in ctl("dump", folder, "--events", "--ledger").stdout.splitlines()]
        assert sorted(dumped) == sorted(names[3:])
    everything = b"".join(path.read_bytes() for path in (tmp_path / "backup").iterdir())
    assert all(name.encode() not in everything for name in names[:3]) and all(name.encode() in everything for name in names[3:])


def test_what_a_crash_left_of_a_removal_is_no_damage(server, tmp_path):
    server.start()
    fill(server, 3)
    admin_stub(server).CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=30)
    first = server.data_dir / "0000000000000001.log"
    shutil.copy(first, tmp_path / "kept")
    for _ in range(2):
        admin_stub(server).CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=30)
    assert server.stop() == 0 and not first.exists() and not (server.data_dir / "0000000000000002.log").exists()
    # Removals are durable in no certain order: segment 1 may be there when segment 2 is gone.
    shutil.copy(tmp_path / "kept", first)
    first.chmod(0o600)
    code, found, verdict = verified(server.data_dir)
    assert code == 0 and verdict["verdict"] == "good", found
    assert server.start().stop() == 0


def test_verify_agrees_with_every_start_after_a_kill(tmp_path):
    """Kills under load, with snapshots and removals going on: never damage, and the state is what the next start serves."""
    server = Server(tmp_path / "data", "--segment-bytes", "1MiB")
    for _ in range(8):
        server.start()
        writers = [Journal(server) for _ in range(4)]
        assert wait_until(lambda: all(writer.answered > 5 for writer in writers))
        admin_stub(server).CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=30)
        assert wait_until(lambda: all(writer.answered > 30 for writer in writers))
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
            writer.check(stub, writer.answered)
        assert server.stop() == 0
        assert verified(server.data_dir)[0] == 0
