"""BatchWrite, atomic and best effort (spec section 6)."""

import signal

import grpc
import pytest
from google.protobuf import timestamp_pb2

from conftest import Failure, custom, event, fails, get, profiles_pb2, profiles_pb2_grpc, track, types_pb2, unique
from test_identify import MERGED, identify, patch, shown

W = profiles_pb2.WriteOperation


def batch(*operations, **fields):
    return profiles_pb2.BatchWriteRequest(project="default", operations=operations, **fields)


def inner(request):
    request.ClearField("project")
    if isinstance(request, profiles_pb2.UpdateSubscriptionRequest):
        return W(update_subscription=request)
    return W(track=request) if isinstance(request, profiles_pb2.TrackRequest) else W(identify=request)


def subscribe(person, state, source=types_pb2.CONSENT_SOURCE_API, **fields):
    return profiles_pb2.UpdateSubscriptionRequest(
        project="default",
        identifier=custom(person),
        source=source,
        changes=[profiles_pb2.SubscriptionChange(channel=types_pb2.CHANNEL_EMAIL, state=state)],
        **fields,
    )


def state(stub, *people):
    profiles = []
    for person in people:
        try:
            profiles.append(stub.GetProfile(get(custom(person))).profile)
        except grpc.RpcError as error:
            profiles.append(error.code())
    return profiles


@pytest.mark.parametrize("best_effort", [False, True])
def test_later_writes_see_earlier_ones(stub, best_effort):
    d, p = unique("d"), unique("p")
    response = stub.BatchWrite(
        batch(
            inner(track(types_pb2.Identifier(installation_id=d), event("visit", event_id="1"))),
            inner(identify(None, p, patch(plan="gold"))),
            inner(identify(d, p)),
            inner(track(custom(p), event("purchase"), event("purchase"))),
            best_effort=best_effort,
        )
    )
    results = response.results
    assert [r.WhichOneof("result") for r in results] == ["track", "identify", "identify", "track"]
    assert (
        results[2].identify.outcome == MERGED and results[3].track.profile_id == results[1].identify.profile.profile_id
    )
    assert response.lsn == results[3].track.lsn == results[0].track.lsn + 4
    (profile,) = state(stub, p)
    assert {c.name: c.count for c in profile.event_counters} == {"visit": 1, "purchase": 2}


def test_one_rejected_write_rolls_back_the_whole_atomic_batch(stub):
    d, p, q, r = unique("d"), unique("p"), unique("q"), unique("r")
    stub.Identify(identify(None, p, patch(plan="gold")))
    stub.Track(track(custom(p), event("visit", event_id="1")))
    stub.Identify(identify(d, attributes=patch(color="red")))
    before = state(stub, p, q, r)
    failure = fails(
        stub.BatchWrite,
        batch(
            inner(track(custom(p), event("visit", event_id="2"), event(unique("n").replace("-", "_")[:30]))),
            inner(identify(d, p)),
            inner(identify(d, q)),
            inner(identify(unique("d"), r)),
            inner(track(custom(r), event("visit"))),
            inner(track(custom(unique("u")), must_exist=True)),
        ),
    )
    assert failure.code == grpc.StatusCode.NOT_FOUND and failure.metadata["index"] == "5"
    assert state(stub, p, q, r) == before
    holder = stub.GetProfile(get(types_pb2.Identifier(installation_id=d))).profile
    assert shown(holder) == {"color": "red"} and holder.state == types_pb2.STATE_ANONYMOUS
    # The event of the rolled-back batch is not a duplicate.
    assert stub.Track(track(custom(p), event("visit", event_id="2"))).results[0].status == 1


def test_best_effort_reports_each_write(stub):
    p, q = unique("p"), unique("q")
    response = stub.BatchWrite(
        batch(
            inner(track(custom(p), event("bad name"))),
            inner(track(custom(p))),
            inner(track(custom(q), must_exist=True)),
            W(),
            best_effort=True,
        )
    )
    kinds = [r.WhichOneof("result") for r in response.results]
    assert kinds == ["error", "track", "error", "error"]
    assert [r.error.code for r in response.results] == [3, 0, 5, 3]
    failure = Failure.__new__(Failure)
    failure.violations, failure.reason = {}, ""
    failure.read(response.results[0].error)
    assert failure.reason == "INVALID_FIELDS" and "operations[0].track.events[0].name" in failure.violations


def test_every_violation_of_an_atomic_batch_is_listed(stub):
    other = track(custom())
    other.project = "other"
    failure = fails(
        stub.BatchWrite,
        batch(
            inner(track(custom(), event("bad name"))),
            W(track=other),
            inner(identify(None, unique("p"), patch(**{"bad name": 1}))),
            inner(track(custom(), request_id="x")),
        ),
    )
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert set(failure.violations) == {
        "operations[0].track.events[0].name",
        "operations[1].track.project",
        "operations[2].identify.attributes.set[0]",
        "operations[3].track.request_id",
    }


def test_a_late_event_in_an_atomic_batch_is_named_with_its_path(stub):
    late = event(occurred_at=timestamp_pb2.Timestamp(seconds=1_600_000_000))
    failure = fails(stub.BatchWrite, batch(inner(track(custom())), inner(track(custom(), event(), late))))
    assert failure.code == grpc.StatusCode.OUT_OF_RANGE and failure.metadata["index"] == "1"
    assert list(failure.violations) == ["operations[1].track.events[1].occurred_at"]


@pytest.mark.parametrize("count, is_allowed", [(0, False), (1, True), (200, True), (201, False)])
def test_a_batch_has_1_to_200_writes(stub, count, is_allowed):
    request = batch(*[inner(track(custom())) for _ in range(count)])
    if is_allowed:
        assert len(stub.BatchWrite(request).results) == count
    else:
        assert fails(stub.BatchWrite, request).code == grpc.StatusCode.INVALID_ARGUMENT


def test_a_replayed_batch_returns_the_same_response(stub):
    p, request_id = unique("p"), unique("r")
    request = batch(
        inner(track(custom(p), event(event_id="1"))), inner(identify(None, p, patch(a=1))), request_id=request_id
    )
    first = stub.BatchWrite(request)
    again = stub.BatchWrite(request)
    assert again.replayed and again.lsn == first.lsn and again.results[0].track.lsn == first.results[0].track.lsn
    assert state(stub, p)[0].event_counters[0].count == 1
    request.operations[0].track.events[0].event_id = "2"
    assert fails(stub.BatchWrite, request).code == grpc.StatusCode.ALREADY_EXISTS


def test_rejected_batches_leave_a_log_that_replays(server):
    stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
    people = [f"p{n}" for n in range(7)]
    for round in range(60):
        d, p = f"d{round % 5}", people[round % 7]
        writes = [
            inner(track(types_pb2.Identifier(installation_id=d), event("visit", event_id=str(round)))),
            inner(identify(d, p)),
            inner(identify(d, people[(round + 1) % 7], patch(n=round))),
            inner(identify(d, logged_out=True)),
        ]
        if round % 3:
            writes.append(inner(track(custom("nobody"), must_exist=True)))
            fails(stub.BatchWrite, batch(*writes))
        else:
            stub.BatchWrite(batch(*writes))
    before = state(stub, *people)
    server.stop(signal.SIGKILL)
    stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
    assert state(stub, *people) == before


def test_subscriptions_are_part_of_a_batch_and_of_its_outcome(stub):
    p, q = unique("p"), unique("q")
    on, off = types_pb2.SUBSCRIPTION_STATE_SUBSCRIBED, types_pb2.SUBSCRIPTION_STATE_UNSUBSCRIBED
    response = stub.BatchWrite(batch(inner(subscribe(p, on)), inner(subscribe(p, off))))
    assert [r.update_subscription.results[0].applied for r in response.results] == [True, True]
    history = lambda who: (
        stub.ListConsentHistory(
            profiles_pb2.ListConsentHistoryRequest(project="default", identifier=custom(who))
        ).entries
    )
    assert len(history(p)) == 2
    before = state(stub, p)
    failure = fails(stub.BatchWrite, batch(inner(subscribe(q, on)), inner(track(custom(p))), inner(subscribe(p, on))))
    assert failure.reason == "USER_UNSUBSCRIBED" and failure.metadata["index"] == "2"
    assert state(stub, p) == before and len(history(p)) == 2 and state(stub, q) == [grpc.StatusCode.NOT_FOUND]
    response = stub.BatchWrite(batch(inner(subscribe(q, on)), inner(subscribe(p, on)), best_effort=True))
    assert [r.WhichOneof("result") for r in response.results] == ["update_subscription", "error"]
    verified = stub.VerifyConsentLedger(
        profiles_pb2.VerifyConsentLedgerRequest(project="default", identifier=custom(p))
    )
    assert verified.valid and verified.entries == 2


def test_the_response_to_a_batch_of_much_evidence_fits_the_limits_of_clients(stub):
    evidence = types_pb2.Evidence(
        **{name: "𝄞" * 512 for name in ("method", "ip", "user_agent", "text_version", "actor", "reference")}
    )

    def changes(person):
        request = subscribe(
            person, types_pb2.SUBSCRIPTION_STATE_SUBSCRIBED, types_pb2.CONSENT_SOURCE_USER, evidence=evidence
        )
        for number in range(99):
            request.changes.add(
                channel=types_pb2.CHANNEL_EMAIL, topic=f"t{number % 25}", state=types_pb2.SUBSCRIPTION_STATE_SUBSCRIBED
            )
        return inner(request)

    response = stub.BatchWrite(batch(*[changes(unique("p")) for _ in range(10)]))
    results = [result.update_subscription for result in response.results]
    assert all(len(result.results) == 100 for result in results)
    assert len(results[0].entries) == 100 and not results[-1].entries
    failure = fails(stub.BatchWrite, batch(*[changes(unique("p")) for _ in range(11)]))
    assert list(failure.violations) == ["operations[10].update_subscription.changes"]
    assert failure.metadata["index"] == "10"
