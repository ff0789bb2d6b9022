"""Keys as people and services use them: made and revoked by `profilectl key` and the API of a real server, whose first
key comes from its operators' file."""

import base64
import json
import os
import re
import signal
import subprocess
import threading
import time

import grpc
import pytest

from conftest import BINARY, Failure, Server, custom, fails, get, profiles_pb2_grpc, track, unique
from profiles.v1 import admin_pb2, admin_pb2_grpc

TOOL = BINARY.parent / "profilectl"
BENCH = BINARY.parent / "profile-bench"
KEY = re.compile(r"pk_([a-z0-9]{16})_[A-Za-z0-9_-]{43}\n")


def new_key(name="operator00000000"):
    secret = base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
    return f"pk_{name}_{secret}"


def key_file(folder, key, name="key"):
    path = folder / name
    path.write_text(f"{key}\n")
    path.chmod(0o600)
    return path


class Guarded:
    """A server with an operators' key file, and its operator's key."""

    def __init__(self, folder):
        self.folder = folder
        self.operator = new_key()
        self.operator_file = key_file(folder, self.operator, "operators")
        self.server = Server(folder / "data", "--operator-key-file", str(self.operator_file))

    def run(self, program, *words, key=None, **variables):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PROFILES_")}
        environment |= {"PROFILES_ADDRESS": self.server.listen} | variables
        if key:
            environment["PROFILES_KEY_FILE"] = str(key)
        return subprocess.run(
            [str(program), *map(str, words)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def ctl(self, *words, key=None, **variables):
        return self.run(TOOL, *words, key=key or self.operator_file, **variables)

    def create(self, *words):
        """A key made by the tool: its id, its text and the file that it is in."""
        made = self.ctl("key", "create", *words)
        assert made.returncode == 0, made.stderr
        match = KEY.fullmatch(made.stdout)
        assert match, made.stdout
        return match.group(1), made.stdout.strip(), key_file(self.folder, made.stdout.strip(), unique("key"))


def bearer(key):
    return {"metadata": [("authorization", f"Bearer {key}")]}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    guarded = Guarded(tmp_path_factory.mktemp("guarded"))
    guarded.server.start()
    yield guarded
    assert guarded.server.stop() == 0


@pytest.fixture
def admin(guarded):
    with guarded.server.channel() as channel:
        yield admin_pb2_grpc.AdminStub(channel)


@pytest.fixture
def profiles(guarded):
    with guarded.server.channel() as channel:
        yield profiles_pb2_grpc.ProfilesStub(channel)


def test_a_new_key_is_printed_alone_and_works_from_its_file(guarded, profiles):
    _, text, path = guarded.create("--scopes", "read,write", "--name", "shop")
    who = unique("anna")
    assert guarded.ctl("track", who, "visit", key=path).returncode == 0
    assert guarded.ctl("get", who, key=path).stdout.startswith(f"{who} ")
    # Each way of giving it; the flag comes first.
    assert guarded.run(TOOL, "get", who, "--key-file", path, PROFILES_KEY="pk_wrong").returncode == 0
    assert guarded.run(TOOL, "get", who, PROFILES_KEY=text).returncode == 0
    assert profiles.GetProfile(get(custom(who)), timeout=20, **bearer(text)).profile.custom_id == who


def test_without_a_key_the_tool_says_what_is_missing(guarded):
    for variables in {}, {"PROFILES_KEY": new_key()}:
        result = guarded.run(TOOL, "get", "anna", **variables)
        assert result.returncode == 1 and result.stderr.count("\n") == 1
        assert "--key-file" in result.stderr and "KEY_INVALID" in result.stderr
    assert guarded.run(TOOL, "health").stdout == "SERVING\n"


def test_a_key_on_the_command_line_is_no_flag(guarded):
    key = new_key()
    result = guarded.run(TOOL, "get", "anna", "--key", key)
    assert result.returncode == 2 and "did you mean --key-file?" in result.stderr
    assert key not in result.stderr


def test_a_file_that_everybody_may_read_is_rejected(guarded):
    path = key_file(guarded.folder, guarded.operator, unique("open"))
    path.chmod(0o644)
    result = guarded.ctl("get", "anna", key=path)
    assert result.returncode == 2 and "chmod 600" in result.stderr
    assert guarded.operator not in result.stderr


def test_the_load_generator_takes_a_key(guarded):
    _, _, path = guarded.create("--scopes", "write")
    # Few without a key: more failed logins of one address would wait, also those of the other tests.
    flags = ["--address", guarded.server.listen, "--connections", 1, "--streams", 1, "--requests", 5, "--json"]
    for key, code, status in (path, 0, "OK"), (None, 1, "UNAUTHENTICATED"):
        result = guarded.run(BENCH, *flags, key=key)
        assert result.returncode == code, result.stdout + result.stderr
        assert json.loads(result.stdout)["statuses"] == {status: 5}


def test_a_listing_shows_state_scopes_limits_and_use(guarded):
    key, _, path = guarded.create("--scopes", "admin", "--expires", "90d", "--rate", "50", "--concurrency", "4")
    row = next(line for line in guarded.ctl("key", "list").stdout.splitlines() if line.startswith(key))
    assert re.search(r"live +admin +just now +in (89|90) d +- +50/s, 4 calls", row), row
    # The key lists itself, which is its first use; a use is known to the minute.
    lines = guarded.ctl("--json", "key", "list", key=path).stdout.splitlines()
    listed = {entry["key_id"]: entry for entry in map(json.loads, lines)}
    assert listed[key]["scopes"] == ["SCOPE_ADMIN"] and listed[key]["last_used_at"].endswith(":00Z")
    assert not any("secret" in name or name == "key" for entry in listed.values() for name in entry)


def test_a_revoked_key_opens_nothing_from_the_response_on(guarded, profiles):
    key, text, path = guarded.create("--scopes", "read,write")
    request = track(custom(unique("person")))
    profiles.Track(request, timeout=20, **bearer(text))
    for _ in range(2):
        assert guarded.ctl("key", "revoke", key).returncode == 0
    failure = fails(profiles.Track, request, **bearer(text))
    assert failure.code == grpc.StatusCode.UNAUTHENTICATED and failure.reason == "KEY_INVALID"
    assert guarded.ctl("get", "anna", key=path).returncode == 1
    assert re.search(rf"{key} +revoked", guarded.ctl("key", "list").stdout)


def test_an_unknown_key_is_not_found(guarded):
    result = guarded.ctl("key", "revoke", "0000000000000000")
    assert result.returncode == 1 and "KEY_NOT_FOUND" in result.stderr


def test_a_stream_under_a_revoked_key_ends_within_a_second(guarded, profiles):
    key, text, _ = guarded.create("--scopes", "write")
    first, ended = track(custom(unique("person"))), threading.Event()

    def requests():
        yield first
        ended.wait(30)

    stream = profiles.TrackStream(requests(), timeout=60, **bearer(text))
    next(stream)
    assert guarded.ctl("key", "revoke", key).returncode == 0
    revoked = time.monotonic()
    with pytest.raises(grpc.RpcError) as caught:
        next(stream)
    assert time.monotonic() - revoked < 1.5
    ended.set()
    assert Failure(caught.value).code == grpc.StatusCode.UNAUTHENTICATED


def test_a_key_lacks_what_it_was_not_given(guarded, admin, profiles):
    _, reader, _ = guarded.create("--scopes", "read")
    _, manager, _ = guarded.create("--scopes", "admin,read")
    failure = fails(profiles.Track, track(custom()), **bearer(reader))
    assert failure.code == grpc.StatusCode.PERMISSION_DENIED and failure.reason == "SCOPE_MISSING"
    # A key gives no scope that it lacks.
    for scopes in [admin_pb2.SCOPE_WRITE], [admin_pb2.SCOPE_READ, admin_pb2.SCOPE_ERASE]:
        request = admin_pb2.CreateKeyRequest(project="default", scopes=scopes)
        assert fails(admin.CreateKey, request, **bearer(manager)).reason == "SCOPE_MISSING"
    request = admin_pb2.CreateKeyRequest(project="default", scopes=[admin_pb2.SCOPE_READ])
    made = admin.CreateKey(request, timeout=20, **bearer(manager))
    assert made.key.startswith(f"pk_{made.key_id}_")


def test_a_repeated_request_gives_the_id_without_the_secret(guarded, admin):
    request = admin_pb2.CreateKeyRequest(
        project="default", scopes=[admin_pb2.SCOPE_READ], request_id=unique("request")
    )
    first = admin.CreateKey(request, timeout=20, **bearer(guarded.operator))
    second = admin.CreateKey(request, timeout=20, **bearer(guarded.operator))
    assert first.key and second == admin_pb2.CreateKeyResponse(key_id=first.key_id)
    name = unique("request")
    assert guarded.ctl("key", "create", "--scopes", "read", "--request-id", name).returncode == 0
    again = guarded.ctl("key", "create", "--scopes", "read", "--request-id", name)
    assert again.returncode == 1 and again.stdout == "" and "revoke" in again.stderr
    # A time is the same in both calls.
    expiring = ("key", "create", "--scopes", "read", "--expires", "2099-01-31T12:00:00Z", "--request-id", unique())
    assert guarded.ctl(*expiring).returncode == 0
    repeated = guarded.ctl(*expiring)
    assert repeated.returncode == 1 and "was made by an earlier call" in repeated.stderr


def test_the_operators_file_works_for_the_tool(guarded):
    path = guarded.folder / unique("commented")
    path.write_text(f"# on call\n\n{guarded.operator}\n{new_key('another000000000')}\n")
    path.chmod(0o600)
    assert guarded.ctl("project", "list", key=path).returncode == 0


def test_operators_keys_belong_to_no_project(guarded, admin):
    key, text, path = guarded.create("--operator", "--name", "deputy")
    assert admin.ListProjects(admin_pb2.ListProjectsRequest(), timeout=20, **bearer(text)).projects
    assert re.search(rf"{key} +live +operator .* deputy", guarded.ctl("key", "list", "--operator").stdout)
    assert key not in guarded.ctl("key", "list").stdout
    assert guarded.ctl("key", "revoke", key).returncode == 1
    assert guarded.ctl("key", "revoke", key, "--operator").returncode == 0
    assert guarded.ctl("get", "anna", key=path).returncode == 1


def test_keys_survive_a_kill_and_no_secret_is_in_a_file(tmp_path):
    guarded = Guarded(tmp_path)
    server = guarded.server.start()
    try:
        kept = [guarded.create("--scopes", "read,write") for _ in range(5)]
        revoked, _, revoked_file = guarded.create("--scopes", "read,write")
        assert guarded.ctl("snapshot").returncode == 0
        assert guarded.ctl("key", "revoke", revoked).returncode == 0
        server.stop(signal.SIGKILL)
        content = b"".join(path.read_bytes() for path in server.data_dir.rglob("*") if path.is_file())
        for _, text, _ in kept:
            assert text[20:].encode() not in content
            assert base64.urlsafe_b64decode(text[20:] + "=") not in content
        server.start()
        for _, _, path in kept:
            assert guarded.ctl("track", unique("anna"), "visit", key=path).returncode == 0
        assert guarded.ctl("get", "anna", key=revoked_file).returncode == 1
    finally:
        server.stop(signal.SIGKILL)


def test_an_open_server_makes_no_keys(server):
    server.start()
    with server.channel() as channel:
        stub = admin_pb2_grpc.AdminStub(channel)
        request = admin_pb2.CreateKeyRequest(project="default", scopes=[admin_pb2.SCOPE_READ])
        failure = fails(stub.CreateKey, request)
        assert failure.code == grpc.StatusCode.FAILED_PRECONDITION and failure.reason == "KEYS_DISABLED"
        assert not stub.ListKeys(admin_pb2.ListKeysRequest(project="default"), timeout=20).keys
