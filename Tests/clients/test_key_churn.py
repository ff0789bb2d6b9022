"""A revocation holds from its response on, and concerns no other key, under full load.

Environment: PROFILES_CHURN_SECONDS (3).
"""

import json
import os
import subprocess
import threading

import grpc
import pytest

from conftest import BINARY, profiles_pb2, types_pb2
from isolation_worlds import Base, World
from key_churn import Churn
from profiles.v1 import profiles_pb2_grpc

SECONDS = float(os.environ.get("PROFILES_CHURN_SECONDS", "3"))
# Of each kind of event: keys created and revoked, calls passed and rejected.
LEAST = 10
# The most that a project may have.
STABLE_KEYS = 100
# Streams end within a second of a revocation; the rest is for a busy machine.
STREAM_SECONDS_MAX = 10


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    assert world.stop() == 0


def load(world, folder, stopping, reports):
    """Runs the load generator again and again: over 100 connections, each with a key of its own that nobody touches."""
    stable = Base(world, "stable")
    keys = folder / "keys"
    keys.write_text("".join(stable.new_key(["WRITE"]).key + "\n" for _ in range(STABLE_KEYS)))
    shape = ["--connections", str(STABLE_KEYS), "--streams", "4", "--seconds", str(int(SECONDS)), "--json"]
    where = ["--address", world.server.listen, "--project", "stable", "--keys-file", str(keys)]
    command = [BINARY.with_name("profile-bench"), *where, *shape]
    while not stopping.is_set():
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=120 + 2 * SECONDS)
        reports.append((run.returncode, json.loads(run.stdout)))


def test_a_revoked_key_never_passes_and_no_other_one_fails(world, tmp_path, capsys):
    churn = Churn(Base(world, "churn"))
    reports = []
    generator = threading.Thread(target=load, args=(world, tmp_path, churn.stopping, reports))
    generator.start()
    churn.run(SECONDS, LEAST)
    generator.join()
    calls = sum(report["requests"] for _, report in reports)
    with capsys.disabled():
        counts = ", ".join(f"{number:,} {what}" for what, number in sorted(churn.counts.items()))
        print(f"key churn: {counts}; {calls:,} calls of {STABLE_KEYS} other keys")
    assert churn.faults == []
    assert reports and all(code == 0 and report["statuses"] == {"OK": report["requests"]} for code, report in reports)
    # It is a test of revocations only if calls met them on connections that had used the key.
    assert churn.has_met(LEAST)


def test_streams_end_when_their_key_is_revoked(world):
    base = Base(world, "stream")
    key, other = base.new_key(["WRITE"]), base.new_key(["WRITE"])
    request = profiles_pb2.TrackRequest(
        project="stream", identifier=types_pb2.Identifier(custom_id="anna"), events=[types_pb2.Event(name="visit")]
    )

    ending = threading.Event()

    def open_stream(text):
        def requests():
            yield request
            ending.wait(60)

        stub = profiles_pb2_grpc.ProfilesStub(world.server.channel())
        metadata = [("authorization", f"Bearer {text}")]
        stream = stub.TrackStream(requests(), metadata=metadata, timeout=STREAM_SECONDS_MAX)
        assert next(stream).lsn > 0
        return stream

    revoked, kept = open_stream(key.key), open_stream(other.key)
    base.revoke(key.key_id)
    with pytest.raises(grpc.RpcError) as caught:
        next(revoked)
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    ending.set()
    assert next(kept, None) is None and kept.code() == grpc.StatusCode.OK
