"""ImportProfiles: chunks in order, each exactly once through kills, and what an import may do (spec section 6)."""

import os
import random
import signal
import threading
import time

import grpc
import pytest
from google.protobuf import timestamp_pb2

from conftest import Failure, custom, event, get, profiles_pb2, profiles_pb2_grpc, track, types_pb2, unique
from profiles.v1 import admin_pb2, admin_pb2_grpc
from test_batch import W, inner, state, subscribe
from test_identify import identify, patch

KILLS = int(os.environ.get("PROFILES_IMPORT_KILLS", "10"))
SUBSCRIBED = types_pb2.SUBSCRIPTION_STATE_SUBSCRIBED
UNSUBSCRIBED = types_pb2.SUBSCRIPTION_STATE_UNSUBSCRIBED


def chunk(operations, chunk_id=None, project="default", **fields):
    return profiles_pb2.ImportProfilesRequest(
        project=project, chunk_id=chunk_id or unique("chunk"), operations=operations, **fields
    )


def visit(person, name="visit", **fields):
    request = track(custom(person), event(name, **fields))
    request.ClearField("project")
    return W(track=request)


def imported(stub, *chunks):
    return list(stub.ImportProfiles(iter(chunks), timeout=60))


def ended(stub, *chunks):
    """The responses of an import that fails, and its failure."""
    responses, call = [], stub.ImportProfiles(iter(chunks), timeout=60)
    with pytest.raises(grpc.RpcError) as caught:
        for response in call:
            responses.append(response)
    return responses, Failure(caught.value)


def counts(*responses):
    return [(response.applied, response.unchanged, response.rejected) for response in responses]


def visits(stub, person):
    counters = stub.GetProfile(get(custom(person)), timeout=20).profile.event_counters
    return {counter.name: counter.count for counter in counters}.get("visit", 0)


def test_responses_come_in_the_order_of_chunks_with_their_counts(stub):
    person = unique("p")
    chunks = [chunk([visit(person) for _ in range(count)]) for count in (1, 2_500, 0, 10_000, 7)]
    responses = imported(stub, *chunks)
    assert [response.chunk_id for response in responses] == [one.chunk_id for one in chunks]
    assert counts(*responses) == [(1, 0, 0), (2_500, 0, 0), (0, 0, 0), (10_000, 0, 0), (7, 0, 0)]
    assert [response.lsn for response in responses] == sorted({response.lsn for response in responses})
    assert visits(stub, person) == 12_508
    again = imported(stub, *chunks)
    assert all(response.replayed for response in again)
    assert counts(*again) == counts(*responses) and [one.lsn for one in again] == [one.lsn for one in responses]
    assert visits(stub, person) == 12_508


def test_what_is_wrong_in_one_operation_rejects_that_one(stub):
    person = unique("p")
    request = inner(track(custom(person), event(), request_id="r1"))
    revision = track(custom(person), event())
    revision.expected_revision.value = 3
    other = visit(person)
    other.track.project = "another"
    same = visit(person)
    same.track.project = "default"
    operations = [
        visit(person),
        request,
        inner(revision),
        other,
        same,
        visit(person, "bad name"),
        W(),
        visit(person, occurred_at=timestamp_pb2.Timestamp(seconds=int(time.time()) - 100 * 86_400)),
        inner(identify(None, person)),
    ]
    (response,) = imported(stub, chunk(operations))
    assert counts(response) == [(2, 1, 6)]
    rejections = {rejection.index: rejection.error for rejection in response.rejections}
    assert list(rejections) == [1, 2, 3, 5, 6, 7]
    failures = {}
    for index, status in rejections.items():
        failures[index] = Failure.__new__(Failure)
        failures[index].violations, failures[index].reason, failures[index].metadata = {}, "", {}
        failures[index].read(status)
    assert [status.code for status in rejections.values()] == [3, 3, 3, 3, 3, 11]
    assert failures[7].reason == "TIME_WINDOW" and failures[1].reason == "INVALID_FIELDS"
    assert "operations[1].track.request_id" in failures[1].violations
    assert "operations[2].track.expected_revision" in failures[2].violations
    assert "operations[3].track.project" in failures[3].violations
    assert "operations[7].track.events[0].occurred_at" in failures[7].violations


def test_the_first_thousand_rejections_are_named(stub):
    (response,) = imported(stub, chunk([W() for _ in range(1_500)]))
    assert response.rejected == 1_500 and response.rejections_omitted == 500
    assert [rejection.index for rejection in response.rejections] == list(range(1_000))


@pytest.mark.parametrize("bad", ["reused", "project", "bad project", "too many", "no id", "long id"])
def test_what_ends_the_stream_keeps_what_came_before(stub, bad):
    person = unique("p")
    first = chunk([visit(person)])
    second, code, reason = {
        "reused": (chunk([visit(person)] * 2, first.chunk_id), grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"),
        "project": (chunk([visit(person)], project="nowhere"), grpc.StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND"),
        "bad project": (chunk([visit(person)], project="Default"), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS"),
        "too many": (chunk([W()] * 10_001), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS"),
        "no id": (
            profiles_pb2.ImportProfilesRequest(project="default", operations=[visit(person)]),
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELDS",
        ),
        "long id": (chunk([visit(person)], "c" * 101), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS"),
    }[bad]
    responses, failure = ended(stub, first, second, chunk([visit(person)]))
    assert counts(*responses) == [(1, 0, 0)]
    assert (failure.code, failure.reason) == (code, reason)
    assert visits(stub, person) == 1


def test_a_message_over_its_size_ends_the_stream(stub):
    person = unique("p")
    large = chunk([visit(person, label="x" * 200) for _ in range(9_900)] + [visit(person) for _ in range(100)])
    large.operations.extend(inner(identify(None, person, patch(a="x" * 300))) for _ in range(9_000))
    assert large.ByteSize() > 4 << 20
    responses, failure = ended(stub, chunk([visit(person)]), large)
    assert counts(*responses) == [(1, 0, 0)]
    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")


def test_a_validation_has_no_effect(stub):
    person = unique("p")
    operations = [visit(person), visit(person, "bad name"), inner(track(custom(person), event(), must_exist=True))]
    name = unique("chunk")
    (checked,) = imported(stub, chunk(operations, name, validate_only=True))
    assert counts(checked) == [(2, 0, 1)] and state(stub, person) == [grpc.StatusCode.NOT_FOUND]
    (done,) = imported(stub, chunk(operations, name))
    assert counts(done) == counts(checked) and not done.replayed
    (again,) = imported(stub, chunk(operations, name, validate_only=True))
    assert counts(again) == [(0, 2, 1)] and not again.replayed


def test_an_import_is_historical(stub):
    person = unique("p")
    stub.Track(track(custom(person), event()))
    (before,) = state(stub, person)
    month_ago = timestamp_pb2.Timestamp(seconds=int(time.time()) - 30 * 86_400)
    operations = [visit(person, occurred_at=month_ago), inner(identify(None, person, patch(plan="gold")))]
    (response,) = imported(stub, chunk(operations))
    assert counts(response) == [(2, 0, 0)]
    (after,) = state(stub, person)
    assert after.last_seen_at == before.last_seen_at and after.attributes["plan"].string == "gold"


def test_an_import_never_subscribes_again(stub):
    person, other = unique("p"), unique("q")
    stub.UpdateSubscription(subscribe(person, UNSUBSCRIBED))
    user = types_pb2.CONSENT_SOURCE_USER
    (response,) = imported(
        stub,
        chunk([inner(subscribe(person, SUBSCRIBED, user)), inner(subscribe(other, SUBSCRIBED, user))]),
    )
    assert counts(response) == [(1, 0, 1)]
    assert [rejection.index for rejection in response.rejections] == [0]
    one, two = state(stub, person, other)
    assert one.subscriptions.items[0].state == UNSUBSCRIBED and two.subscriptions.items[0].state == SUBSCRIBED
    assert two.subscriptions.items[0].source == types_pb2.CONSENT_SOURCE_IMPORT


def test_an_import_never_waits_for_a_confirmation(shared, stub):
    project = unique("doi").lower()
    with shared.channel() as channel:
        admin_pb2_grpc.AdminStub(channel).CreateProject(
            admin_pb2.CreateProjectRequest(
                project=project, options=admin_pb2.ProjectOptions(double_opt_in=[types_pb2.CHANNEL_EMAIL])
            )
        )
    with_reference = inner(subscribe(unique("p"), SUBSCRIBED))
    with_reference.update_subscription.evidence.reference = "form 7"
    operations = [inner(subscribe(unique("p"), SUBSCRIBED)), with_reference]
    (response,) = imported(stub, chunk(operations, project=project))
    assert counts(response) == [(1, 0, 1)] and response.rejections[0].error.code == 3


def test_imported_events_are_in_the_feed_only_if_asked_for(stub):
    person = unique("p")
    request = profiles_pb2.WatchRequest(project="default", identifiers=[custom(person)])
    historical = profiles_pb2.WatchRequest(
        project="default", identifiers=[custom(person)], include_historical=True
    )
    plain, all_changes = stub.Watch(request, timeout=60), stub.Watch(historical, timeout=60)
    for stream in (plain, all_changes):
        assert not next(stream).HasField("change")
    operations = [visit(person), inner(subscribe(person, SUBSCRIBED)), inner(identify(None, person, patch(a="b")))]
    imported(stub, chunk(operations))
    stub.Track(track(custom(person), event("live")))
    seen = []
    for message in all_changes:
        if message.HasField("change"):
            seen.append(message)
            if len(seen) == 5:
                break
    assert [message.change.historical for message in seen] == [True, True, True, True, False]
    first = next(message for message in plain if message.HasField("change"))
    assert first.lsn == seen[-1].lsn and not first.change.historical
    plain.cancel()
    all_changes.cancel()


# Kills


class Sender(threading.Thread):
    """Imports chunks until it has the response to each, over as many streams as that takes."""

    def __init__(self, server, chunks):
        super().__init__(daemon=True)
        self.server, self.chunks, self.responses = server, chunks, {}
        self.streams = 0

    def run(self):
        deadline = time.monotonic() + 300
        while len(self.responses) < len(self.chunks) and time.monotonic() < deadline:
            left = [one for one in self.chunks if one.chunk_id not in self.responses]
            self.streams += 1
            try:
                with grpc.insecure_channel(
                    self.server.address, options=[("grpc.use_local_subchannel_pool", 1)]
                ) as channel:
                    stub = profiles_pb2_grpc.ProfilesStub(channel)
                    for response in stub.ImportProfiles(iter(left), timeout=60):
                        self.responses[response.chunk_id] = response
            except grpc.RpcError as error:
                assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED), error
                time.sleep(0.05)


def test_each_event_is_there_once_through_kills(server):
    """Killed at random places: no event is missing, none is there twice, and the counts are those of one import."""
    server.start()
    server.address = server.listen
    chance = random.Random(7)
    people = [unique("p") for _ in range(500)]
    chunks = [
        chunk([visit(chance.choice(people)) for _ in range(5_000)] + [visit(people[0], "bad name")])
        for _ in range(80)
    ]
    expected = {person: 0 for person in people}
    for one in chunks:
        for operation in one.operations[:-1]:
            expected[operation.track.identifier.custom_id] += 1
    sender = Sender(server, chunks)
    sender.start()
    kills = 0
    while sender.is_alive() and kills < KILLS:
        time.sleep(chance.uniform(0.02, 0.25))
        server.stop(signal.SIGKILL)
        server.start()
        kills += 1
    sender.join(300)
    assert not sender.is_alive() and len(sender.responses) == len(chunks)
    assert kills == KILLS or sender.streams > 3
    assert set(counts(*sender.responses.values())) == {(5_000, 0, 1)}
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        found = {person: visits(stub, person) for person in people}
        assert found == expected
        again = imported(stub, *chunks[:3])
        assert all(response.replayed for response in again) and counts(*again) == [(5_000, 0, 1)] * 3
    assert server.stop() == 0
    server.start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        assert {person: visits(stub, person) for person in people} == expected
        assert imported(stub, chunks[0])[0].replayed
