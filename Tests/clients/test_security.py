"""How the process protects what it holds, and the way of the first key: made, configured, used, replaced, revoked."""

import base64
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

import grpc
import pytest

from conftest import BINARY, Server, custom, fails, get, profiles_pb2_grpc, track, wait_until
from profiles.v1 import admin_pb2, admin_pb2_grpc

TOOL = BINARY.parent / "profilectl"
KEY = re.compile(r"pk_[a-z0-9]{16}_[A-Za-z0-9_-]{43}")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into another process")


def new_key():
    made = subprocess.run([str(TOOL), "key", "new"], capture_output=True, text=True, timeout=20)
    assert made.returncode == 0 and made.stderr == ""
    (line,) = made.stdout.splitlines()
    assert KEY.fullmatch(line)
    return line


def secret(key):
    return key[20:]


def bearer(key):
    return {"metadata": [("authorization", f"Bearer {key}")]}


def write_keys(path, *keys, mode=0o600):
    path.write_text("".join(f"{key}\n" for key in keys))
    path.chmod(mode)
    return path


@pytest.fixture
def keyed(tmp_path):
    """A server with an operator's key and an audit log, not started yet."""
    server = Server(tmp_path / "data")
    server.key = new_key()
    server.file = write_keys(tmp_path / "operators", server.key)
    server.audit = tmp_path / "audit.jsonl"
    server.flags = ("--operator-key-file", str(server.file), "--audit-log", str(server.audit))
    yield server
    if server.process and server.process.poll() is None:
        server.stop(signal.SIGKILL)


def stub(server):
    return profiles_pb2_grpc.ProfilesStub(server.channel())


def admin(server):
    return admin_pb2_grpc.AdminStub(server.channel())


def audit_lines(server):
    return [json.loads(line) for line in server.audit.read_text().splitlines()]


def said(server, text):
    return [line for line in server.lines if text in line]


def hang_up(server, text):
    """Sends SIGHUP and waits for what the log says then."""
    count = len(said(server, text))
    os.kill(server.pid, signal.SIGHUP)
    assert wait_until(lambda: len(said(server, text)) > count), server.lines[-3:]


def run(*words, environment=None):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PROFILES_")}
    return subprocess.run(
        [str(BINARY), *map(str, words)],
        env=clean | (environment or {}),
        capture_output=True,
        text=True,
        timeout=60,
    )


# The first key.


def test_from_nothing_to_a_key_that_is_revoked(keyed):
    keyed.start()

    def ctl(*words, key=None):
        return subprocess.run(
            [str(TOOL), *words],
            env=os.environ | {"PROFILES_ADDRESS": keyed.listen, "PROFILES_KEY_FILE": str(key or keyed.file)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    made = ctl("key", "create", "--scopes", "read,write")
    assert made.returncode == 0, made.stderr
    shop = write_keys(keyed.file.parent / "shop", made.stdout.strip())
    assert ctl("track", "anna", "purchase", key=shop).returncode == 0
    assert "purchase" in ctl("get", "anna", key=shop).stdout
    assert ctl("erase", "anna", "--yes", key=shop).returncode == 1
    assert ctl("key", "revoke", made.stdout[3:19]).returncode == 0
    assert "KEY_INVALID" in ctl("get", "anna", key=shop).stderr
    outcomes = [
        (line["key"], line["method"].split("/")[1], line["code"], line["reason"], line["lsn"] > 0)
        for line in audit_lines(keyed)
    ]
    mine, theirs = keyed.key[3:19], made.stdout[3:19]
    assert outcomes == [
        (mine, "CreateKey", "OK", "", True),
        (theirs, "EraseProfile", "PERMISSION_DENIED", "scope", False),
        (mine, "RevokeKey", "OK", "", True),
        (theirs, "GetProfile", "UNAUTHENTICATED", "revoked", False),
    ]
    assert keyed.stop() == 0


def test_keys_of_the_environment_leave_it(tmp_path):
    key = new_key()
    server = Server(tmp_path / "data")
    os.environ["PROFILES_OPERATOR_KEY"] = key
    try:
        server.start()
    finally:
        del os.environ["PROFILES_OPERATOR_KEY"]
    assert fails(stub(server).Track, track(custom())).code == grpc.StatusCode.UNAUTHENTICATED
    stub(server).Track(track(custom()), timeout=20, **bearer(key))
    process = pathlib.Path(f"/proc/{server.pid}")
    assert secret(key) not in (process / "environ").read_text() + (process / "cmdline").read_text()
    hang_up(server, "nothing to reload")
    assert server.stop() == 0


@pytest.mark.parametrize(
    "content,mode,text",
    [
        ("{key}\n", 0o640, "others than its owner have access to it (mode 640)"),
        ("{key}\n", 0o604, "others than its owner have access to it (mode 604)"),
        ("", 0o600, "no key in it"),
        ("# none\n", 0o600, "no key in it"),
        ("{key}\n{key}x\n", 0o600, "line 2 is neither a key"),
        ("{key}\n{key}\n", 0o600, "line 2 has the id of an earlier line"),
    ],
)
def test_bad_key_file_rejects_the_start(tmp_path, content, mode, text):
    key = new_key()
    path = tmp_path / "operators"
    path.write_text(content.format(key=key))
    path.chmod(mode)
    flags = ("--data-dir", tmp_path / "data", "--operator-key-file", path)
    ended = run(*flags)
    assert ended.returncode == 2 and text in ended.stderr and secret(key) not in ended.stderr
    assert not (tmp_path / "data").exists()
    # A check of the configuration finds the same.
    checked = run("--check-config", *flags)
    assert (checked.returncode, checked.stdout, checked.stderr) == (2, "", ended.stderr)


def test_what_is_no_file_rejects_the_start(tmp_path):
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "missing"):
        flags = ("--data-dir", tmp_path / "data", "--operator-key-file", path)
        ended, checked = run(*flags), run("--check-config", *flags)
        assert ended.returncode == checked.returncode == 2 and str(path) in ended.stderr
        assert checked.stderr == ended.stderr


def test_listening_beyond_loopback(tmp_path):
    path = write_keys(tmp_path / "operators", new_key())
    beyond = ("--check-config", "--listen", "0.0.0.0:0")
    assert run(*beyond).returncode == 2
    assert run(*beyond, "--insecure-listen").returncode == 2
    assert run(*beyond, "--operator-key-file", path).returncode == 2
    assert run(*beyond, "--operator-key-file", path, "--insecure-listen").returncode == 0


# SIGHUP.


def test_keys_are_read_again_and_a_bad_file_changes_nothing(keyed):
    keyed.start()
    second = new_key()
    calls = stub(keyed)
    write_keys(keyed.file, keyed.key, second)
    hang_up(keyed, "operators' keys read again")
    for key in (keyed.key, second):
        calls.Track(track(custom()), timeout=20, **bearer(key))
    # What an editor may leave for a moment: half a line, other rights.
    for content, mode in ((second[:40], 0o600), (f"{second}\n", 0o644)):
        keyed.file.write_text(content)
        keyed.file.chmod(mode)
        hang_up(keyed, "operators' keys not read again")
        calls.Track(track(custom()), timeout=20, **bearer(keyed.key))
    write_keys(keyed.file, second)
    hang_up(keyed, "operators' keys read again")
    assert fails(calls.Track, track(custom()), **bearer(keyed.key)).code == grpc.StatusCode.UNAUTHENTICATED
    calls.Track(track(custom()), timeout=20, **bearer(second))
    # The last line was removed, as after a leak.
    keyed.file.write_text("")
    hang_up(keyed, "there is none any more")
    for metadata in (bearer(second), {}):
        assert fails(calls.Track, track(custom()), **metadata).code == grpc.StatusCode.UNAUTHENTICATED
    assert not any(secret(key) in line for key in (keyed.key, second) for line in keyed.lines)
    assert keyed.stop() == 0


def test_rotated_audit_log_is_opened_again(keyed):
    keyed.start()
    admin(keyed).CreateKey(
        admin_pb2.CreateKeyRequest(project="default", scopes=[admin_pb2.SCOPE_READ]), **bearer(keyed.key)
    )
    assert wait_until(lambda: audit_lines(keyed))
    keyed.audit.rename(keyed.audit.with_suffix(".1"))
    hang_up(keyed, "audit log opened again")
    assert fails(stub(keyed).GetProfile, get(custom())).code == grpc.StatusCode.UNAUTHENTICATED
    assert wait_until(lambda: [line["reason"] for line in audit_lines(keyed)] == ["missing"])
    assert keyed.stop() == 0


# The audit log.


def test_audit_log_has_no_secret_address_or_value(keyed):
    keyed.start()
    calls = stub(keyed)
    hidden = "anna@example.org"
    calls.Track(track(custom(hidden)), timeout=20, **bearer(keyed.key))
    fails(calls.Track, track(custom(hidden)), metadata=[("authorization", f"Bearer {hidden}")])
    fails(calls.Track, track(custom(hidden)), **bearer(keyed.key[:-1] + ("A" if keyed.key[-1] != "A" else "B")))
    assert wait_until(lambda: len(audit_lines(keyed)) == 3)
    text = keyed.audit.read_text()
    assert hidden not in text and secret(keyed.key)[:20] not in text and not KEY.search(text)
    assert keyed.audit.stat().st_mode & 0o777 == 0o600
    assert keyed.stop() == 0


@pytest.mark.parametrize("kind", ["fifo", "full"])
def test_audit_log_that_nobody_reads_holds_nothing_up(keyed, kind):
    path = pathlib.Path("/dev/full")
    if kind == "fifo":
        path = keyed.audit
        os.mkfifo(path, 0o600)
    keyed.flags = ("--operator-key-file", str(keyed.file), "--audit-log", str(path))
    keyed.start()
    calls = stub(keyed)
    pending = [calls.Track.future(track(custom()), timeout=60, **bearer(keyed.key)) for _ in range(5_000)]
    assert all(call.result().lsn > 0 for call in pending)
    assert keyed.metric("profiles_audit_lines_dropped_total") > 0
    began = time.monotonic()
    assert keyed.stop() == 0 and time.monotonic() - began < 10


def test_audit_log_behind_a_link_rejects_the_start(keyed):
    keyed.audit.symlink_to(keyed.audit.with_suffix(".other"))
    for flags in (), ("--check-config",):
        ended = run("--data-dir", keyed.data_dir, *keyed.flags, *flags)
        assert ended.returncode == 2 and "audit" in ended.stderr and ended.stdout == ""
    assert not keyed.audit.with_suffix(".other").exists() and not keyed.data_dir.exists()


def test_a_checked_audit_log_is_not_created(keyed):
    checked = run("--check-config", "--data-dir", keyed.data_dir, *keyed.flags)
    assert checked.returncode == 0 and f"audit-log = {keyed.audit}" in checked.stdout
    assert not keyed.audit.exists() and not keyed.data_dir.exists()
    for path in keyed.audit.parent, keyed.audit.parent / "missing" / "audit.jsonl":
        ended = run("--data-dir", keyed.data_dir, "--audit-log", path)
        checked = run("--check-config", "--data-dir", keyed.data_dir, "--audit-log", path)
        assert (ended.returncode, checked.returncode) == (2, 2) and checked.stderr == ended.stderr


# The process.


def test_process_makes_files_for_its_owner_and_no_dumps(keyed, tmp_path):
    keyed.start()
    stub(keyed).Track(track(custom()), timeout=20, **bearer(keyed.key))
    admin(keyed).CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=60, **bearer(keyed.key))
    admin(keyed).Backup(admin_pb2.BackupRequest(destination=str(tmp_path / "backup")), **bearer(keyed.key)).next()
    process = pathlib.Path(f"/proc/{keyed.pid}")
    assert "Umask:\t0077" in (process / "status").read_text()
    (limit,) = [line for line in (process / "limits").read_text().splitlines() if "core file" in line]
    assert limit.split()[4:6] == ["0", "0"]
    assert keyed.stop() == 0
    for path in keyed.data_dir.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert keyed.data_dir.stat().st_mode & 0o777 == 0o700


@needs_root
@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is not installed")
def test_process_of_a_user_cannot_be_looked_into_by_that_user():
    """A process that may not be dumped belongs to root in /proc."""
    nobody = 65_534
    folder = pathlib.Path(tempfile.mkdtemp(prefix="profiles-"))
    os.chown(folder, nobody, nobody)
    server = Server(
        folder / "data", wrapper=("setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups")
    )
    try:
        server.start()
        process = pathlib.Path(f"/proc/{server.process.pid}")
        assert f"Uid:\t{nobody}" in (process / "status").read_text()
        assert (process / "mem").stat().st_uid == 0
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
    finally:
        if server.process and server.process.poll() is None:
            server.process.kill()
        shutil.rmtree(folder)


def memory(pid):
    """Every byte of a process that it may write."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as content:
        for line in maps:
            span, rights = line.split()[:2]
            start, end = (int(number, 16) for number in span.split("-"))
            # The address range of the store is reserved, and empty here.
            if "w" not in rights or end - start > 1 << 30:
                continue
            content.seek(start)
            try:
                yield content.read(end - start)
            except OSError:
                continue


@needs_root
@pytest.mark.parametrize("source", ["file", "environment"])
def test_secrets_of_operators_do_not_stay_in_memory(keyed, source):
    if source == "environment":
        keyed.flags = ()
        os.environ["PROFILES_OPERATOR_KEY"] = keyed.key
    try:
        keyed.start()
    finally:
        os.environ.pop("PROFILES_OPERATOR_KEY", None)
    raw = base64.urlsafe_b64decode(secret(keyed.key) + "=")
    pages = list(memory(keyed.pid))
    assert any(b"profiles.v1" in page for page in pages), "the memory can be read"
    # Half of it is enough to look for, and finds halves.
    for wanted in (secret(keyed.key)[:22].encode(), secret(keyed.key)[-22:].encode(), raw[:16], raw[16:]):
        assert not any(wanted in page for page in pages)
    assert keyed.stop() == 0


def test_secrets_are_in_no_text_of_the_process(keyed):
    keyed.start()
    stub(keyed).Track(track(custom()), timeout=20, **bearer(keyed.key))
    texts = [pathlib.Path(f"/proc/{keyed.pid}/cmdline").read_text(), keyed.get("/metrics")[1]]
    printed = run("--print-config", *keyed.flags)
    checked = run("--check-config", environment={"PROFILES_OPERATOR_KEY": keyed.key})
    mistaken = run("--operator-key-file", keyed.key)
    assert (printed.returncode, checked.returncode, mistaken.returncode) == (0, 0, 2)
    assert "PROFILES_OPERATOR_KEY is set; its keys are not shown" in checked.stdout
    assert keyed.stop() == 0
    texts += [ended.stdout + ended.stderr for ended in (printed, checked, mistaken)] + keyed.lines
    files = [path for path in keyed.data_dir.rglob("*") if path.is_file()]
    texts += [path.read_text(errors="replace") for path in files if path.stat().st_size < 1 << 20]
    assert not any(secret(keyed.key) in text for text in texts)
