"""verify and dump know the change feed and triggers."""

import json

from conftest import custom, event, profiles_pb2, profiles_pb2_grpc, track, types_pb2, wait_until
from operator_tools import ctl, verified


def create(stub, name, **fields):
    request = profiles_pb2.CreateTriggerRequest(project="default")
    request.trigger.MergeFrom(profiles_pb2.Trigger(event_name=name, **fields))
    return stub.CreateTrigger(request, timeout=20).trigger


def feed_segments(found):
    return [line for line in found if line.get("kind") == "feed_segment"]


def test_verify_reads_the_feed_and_only_notes_what_is_wrong(server):
    stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
    for number in range(50):
        lsn = stub.Track(track(custom(f"person-{number}"), event("visit"))).lsn
    folder = server.data_dir / "feed"
    # It is written a second later.
    assert wait_until(lambda: any(path.stat().st_size > 5_000 for path in folder.glob("*.feed")))
    assert server.stop() == 0
    code, found, verdict = verified(server.data_dir)
    [segment] = feed_segments(found)
    assert code == 0 and verdict["notes"] == 0 and "note" not in segment
    assert segment["blocks"] >= 1 and segment["frames"] >= 1 and segment["first_lsn"] == 1
    assert segment["next_lsn"] == lsn + 1 and segment["bytes"] > 5_000

    path = server.data_dir / segment["file"]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (folder / "00000000000000000099.feed.tmp").write_bytes(b"")
    (folder / "stray").write_bytes(b"")
    code, found, verdict = verified(server.data_dir)
    [segment] = feed_segments(found)
    assert code == 0 and (verdict["verdict"], verdict["damages"], verdict["notes"]) == ("good", 0, 3)
    assert "is not whole" in segment["note"] and segment["next_lsn"] <= lsn
    notes = [line["note"] for line in found if list(line) == ["note"]]
    assert any("the next start removes it" in note for note in notes) and any("stray" in note for note in notes)
    text = ctl("verify", server.data_dir).stdout
    assert "\n  note: the block at byte " in text and "note: feed/stray" in text and "\ngood: " in text
    # Nothing of that rejects a start.
    server.start()


def test_dump_has_triggers_with_their_firings_behind_the_profiles(server):
    stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
    at_once, later = create(stub, "visit", display_name="Visits"), create(stub, "visit", delay_seconds=3_600)
    gone = create(stub, "visit")
    profile = stub.Track(track(custom("anna"), event("visit", event_id="v1", label="web"))).profile_id
    stub.DeleteTrigger(profiles_pb2.DeleteTriggerRequest(project="default", trigger_id=gone.trigger_id), timeout=20)
    listing = profiles_pb2.ListTriggersRequest(project="default")
    assert wait_until(lambda: [one.pending for one in stub.ListTriggers(listing).triggers] == [1, 0])
    shown = [json.loads(line) for line in ctl("--json", "trigger", "list", server=server).stdout.splitlines()]
    assert server.stop() == 0
    plain = ctl("dump", server.data_dir).stdout.splitlines()
    lines = ctl("dump", server.data_dir, "--triggers").stdout.splitlines()
    assert len(plain) == 1 and lines[:1] == plain
    first, firing, second, waiting = map(json.loads, lines[1:])
    assert [first["trigger"], second["trigger"]] == shown and first["project"] == "default"
    assert (first["trigger"]["trigger_id"], second["trigger"]["trigger_id"]) == (at_once.trigger_id, later.trigger_id)
    assert (firing["state"], waiting["state"]) == ("pending", "waiting") and firing["due_at"] < waiting["due_at"]
    for line, trigger in (firing, at_once), (waiting, later):
        assert line["firing"]["trigger_id"] == trigger.trigger_id and line["firing"]["profile_id"] == profile
        assert (line["firing"]["event"]["event_id"], line["firing"]["event"]["label"]) == ("v1", "web")
    assert len({line["firing"]["firing_id"] for line in (firing, waiting)}) == 2
    assert ctl("dump", server.data_dir, "--triggers").stdout.splitlines() == lines
    assert ctl("dump", server.data_dir, "--triggers", "--project", "default").stdout.splitlines() == lines


def test_a_project_without_triggers_adds_no_line(server):
    stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
    stub.Track(track(types_pb2.Identifier(custom_id="anna"), event("visit")))
    assert server.stop() == 0
    assert ctl("dump", server.data_dir, "--triggers").stdout == ctl("dump", server.data_dir).stdout
