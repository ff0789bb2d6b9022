"""EraseProfile with a real client: removed data, blocked identifiers, stored responses, and the remains on disk."""

import datetime
import signal
import time

import grpc
import pytest
from google.protobuf import timestamp_pb2, wrappers_pb2

from conftest import Failure, custom, event, fails, get, profiles_pb2, profiles_pb2_grpc, track, types_pb2, unique
from profiles.v1 import admin_pb2, admin_pb2_grpc
from test_batch import batch, inner
from test_consent import EMAIL, SUBSCRIBED, UNSUBSCRIBED, change, sendable, update
from test_identify import identify, patch

DAY = 86_400


def device(name):
    return types_pb2.Identifier(installation_id=name)


def erase(identifier, **fields):
    return profiles_pb2.EraseProfileRequest(project="default", identifier=identifier, **fields)


def is_blocked(failure, days=30):
    """Whether a call was rejected because its identifier is blocked for `days`."""
    assert failure.code == grpc.StatusCode.FAILED_PRECONDITION and failure.reason == "IDENTIFIER_ERASED"
    until = datetime.datetime.fromisoformat(failure.metadata["blocked_until"]).timestamp()
    return abs(until - time.time() - days * DAY) < 60


def person(stub, with_alias=False):
    """A person with a device, an address, events and consent; with_alias: the device had an anonymous profile of its
    own before."""
    who, phone = unique("ann"), unique("phone")
    native = types_pb2.NativeAttributes(email_address=wrappers_pb2.StringValue(value=f"{who}@example.org"))
    if with_alias:
        stub.Track(track(device(phone), event("view", event_id="before")))
        stub.Identify(
            profiles_pb2.IdentifyRequest(
                project="default", custom_id=who, attributes=types_pb2.AttributePatch(native=native)
            )
        )
        stub.Identify(identify(phone, who))
    else:
        stub.Identify(
            profiles_pb2.IdentifyRequest(
                project="default",
                custom_id=who,
                installation_id=phone,
                attributes=types_pb2.AttributePatch(native=native),
            )
        )
    stub.Track(track(device(phone), event("purchase", event_id="one")))
    stub.UpdateSubscription(update(custom(who), change(EMAIL, SUBSCRIBED)))
    profile = stub.GetProfile(get(custom(who))).profile
    return who, phone, profile


@pytest.mark.parametrize("by", ["custom", "device", "profile", "alias"])
def test_erased_person_cannot_be_found_by_any_identifier(stub, by):
    who, phone, profile = person(stub, with_alias=True)
    [alias] = [alias.profile_id for alias in profile.aliases]
    names = {
        "custom": custom(who),
        "device": device(phone),
        "profile": types_pb2.Identifier(profile_id=profile.profile_id),
        "alias": types_pb2.Identifier(profile_id=alias),
    }
    before = time.time()
    response = stub.EraseProfile(erase(names[by]))
    assert response.existed and not response.replayed and response.lsn > profile.lsn
    assert before + DAY - 5 < response.log_purge_due.seconds < time.time() + DAY + 5
    for name in names.values():
        assert fails(stub.GetProfile, get(name)).code == grpc.StatusCode.NOT_FOUND
        events = profiles_pb2.ListEventsRequest(project="default", identifier=name)
        assert fails(stub.ListEvents, events).code == grpc.StatusCode.NOT_FOUND
        history = profiles_pb2.ListConsentHistoryRequest(project="default", identifier=name)
        assert fails(stub.ListConsentHistory, history).code == grpc.StatusCode.NOT_FOUND
        assert not stub.EraseProfile(erase(name)).existed
    found = stub.LookupProfiles(
        profiles_pb2.LookupProfilesRequest(project="default", email_address=f"{who}@example.org")
    )
    assert not found.profiles
    many = stub.BatchGetProfiles(
        profiles_pb2.BatchGetProfilesRequest(project="default", identifiers=list(names.values()))
    )
    assert not many.profiles


def test_erasing_an_unknown_person_returns_an_lsn_of_its_own(stub):
    first = stub.EraseProfile(erase(custom()))
    second = stub.EraseProfile(erase(types_pb2.Identifier(profile_id="01J00000000000000000000000")))
    assert not first.existed and not second.existed and second.lsn > first.lsn > 0


def test_expected_revision_is_compared_first(stub):
    who, _, profile = person(stub)
    wrong = fails(
        stub.EraseProfile, erase(custom(who), expected_revision=wrappers_pb2.UInt64Value(value=profile.revision + 1))
    )
    assert wrong.code == grpc.StatusCode.ABORTED and wrong.metadata["current_revision"] == str(profile.revision)
    none = fails(stub.EraseProfile, erase(custom(who), expected_revision=wrappers_pb2.UInt64Value(value=0)))
    assert none.reason == "REVISION_MISMATCH"
    assert stub.EraseProfile(
        erase(custom(who), expected_revision=wrappers_pb2.UInt64Value(value=profile.revision))
    ).existed
    assert not stub.EraseProfile(erase(custom(who), expected_revision=wrappers_pb2.UInt64Value(value=0))).existed


def test_invalid_erasures_are_rejected_with_their_fields(stub):
    failure = fails(stub.EraseProfile, profiles_pb2.EraseProfileRequest(project="Default", request_id="r" * 101))
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert set(failure.violations) == {"project", "identifier", "request_id"}
    assert fails(stub.EraseProfile, erase(custom(" "))).violations.keys() == {"identifier.custom_id"}
    unknown = erase(custom())
    unknown.project = "other"
    assert fails(stub.EraseProfile, unknown).reason == "PROJECT_NOT_FOUND"


def test_every_write_with_a_blocked_identifier_is_rejected(shared, stub):
    who, phone, profile = person(stub)
    rejected = 'profiles_items_total{result="rejected"}'
    stub.EraseProfile(erase(custom(who)))
    before, blocked = shared.metric(rejected), shared.metric("profiles_blocked_identifiers")
    assert blocked >= 2
    for request in (
        track(custom(who)),
        track(device(phone)),
        track(custom(who), request_id=unique("r")),
        track(custom(who), must_exist=True),
    ):
        assert is_blocked(fails(stub.Track, request))
    assert shared.metric(rejected) == before + 4
    for request in (
        identify(None, who),
        identify(phone),
        identify(phone, unique("bob")),
        identify(unique("tablet"), who),
        profiles_pb2.IdentifyRequest(project="default", installation_id=phone, logged_out=True),
    ):
        assert is_blocked(fails(stub.Identify, request))
    assert is_blocked(fails(stub.UpdateSubscription, update(custom(who), change(EMAIL, UNSUBSCRIBED))))
    assert is_blocked(fails(stub.BatchWrite, batch(inner(track(custom())), inner(track(custom(who))))))
    bob = unique("bob")
    results = stub.BatchWrite(batch(inner(track(custom(bob))), inner(track(device(phone))), best_effort=True)).results
    assert results[0].HasField("track") and results[1].error.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    rejected = Failure.__new__(Failure)
    rejected.violations, rejected.reason, rejected.metadata = {}, "", {}
    rejected.read(results[1].error)
    assert rejected.reason == "IDENTIFIER_ERASED" and "blocked_until" in rejected.metadata
    # An unknown profile_id identifies nobody, and validation comes first.
    assert fails(stub.Track, track(types_pb2.Identifier(profile_id=profile.profile_id))).reason == "PROFILE_NOT_FOUND"
    assert fails(stub.Track, track(custom(who), event("bad name"))).code == grpc.StatusCode.INVALID_ARGUMENT
    assert fails(stub.GetProfile, get(custom(who))).code == grpc.StatusCode.NOT_FOUND


def test_stream_continues_after_a_blocked_identifier(stub):
    who, _, _ = person(stub)
    stub.EraseProfile(erase(custom(who)))
    bob = custom()
    responses = list(stub.TrackStream(iter([track(custom(who), sequence=1), track(bob, sequence=2)]), timeout=20))
    assert [response.sequence for response in responses] == [1, 2]
    assert responses[0].error.code == grpc.StatusCode.FAILED_PRECONDITION.value[0] and not responses[1].HasField(
        "error"
    )


def test_stored_responses_of_erased_people_are_removed_and_their_request_ids_remembered(stub):
    who, phone, profile = person(stub)
    bob, late = unique("bob"), unique("tablet")
    by_id = track(types_pb2.Identifier(profile_id=profile.profile_id), request_id=unique("r"))
    mixed = batch(inner(track(custom(bob))), inner(track(custom(who))), request_id=unique("r"))
    of_bob = track(custom(bob), request_id=unique("r"))
    stub.Track(by_id), stub.BatchWrite(mixed)
    original = stub.Track(of_bob)
    gone = erase(custom(who), request_id=unique("erase"))
    response = stub.EraseProfile(gone)
    failure = fails(stub.Track, by_id)
    assert failure.reason == "IDENTIFIER_ERASED" and failure.code == grpc.StatusCode.FAILED_PRECONDITION
    assert "blocked_until" not in failure.metadata
    assert fails(stub.BatchWrite, mixed).reason == "IDENTIFIER_ERASED"
    assert fails(stub.Track, track(device(late), request_id=by_id.request_id)).reason == "IDENTIFIER_ERASED"
    again = stub.Track(of_bob)
    assert again.replayed and again.lsn == original.lsn
    repeated = stub.EraseProfile(gone)
    assert (
        repeated.replayed
        and repeated.existed
        and repeated.lsn == response.lsn
        and repeated.log_purge_due == response.log_purge_due
    )
    other = erase(custom(bob), request_id=gone.request_id)
    assert fails(stub.EraseProfile, other).reason == "REQUEST_ID_REUSED"


def test_late_event_of_an_erased_holder_is_rejected(stub):
    who, phone, bob = unique("ann"), unique("phone"), unique("bob")
    now = int(time.time())

    def at(seconds):
        return timestamp_pb2.Timestamp(seconds=now - seconds)

    stub.Identify(identify(phone, who, occurred_at=at(3_000)))
    stub.Identify(identify(phone, bob, occurred_at=at(1_000)))
    stub.EraseProfile(erase(custom(who)))
    late = track(device(phone), event("view", occurred_at=at(2_000)), event("view"))
    failure = fails(stub.Track, late)
    assert failure.reason == "IDENTIFIER_ERASED" and failure.metadata["index"] == "0"
    late.allow_partial = True
    response = stub.Track(late)
    assert [result.status for result in response.results] == [3, 1]
    assert response.results[0].error.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    assert (
        fails(stub.Identify, identify(phone, attributes=patch(color="red"), occurred_at=at(2_000))).reason
        == "IDENTIFIER_ERASED"
    )
    assert stub.GetProfile(get(device(phone))).profile.custom_id == bob


def test_suppression_and_unsubscribe_link_outlive_the_person(stub):
    who, _, _ = person(stub)
    address = f"{who}@example.org"
    stub.AddSuppression(profiles_pb2.AddSuppressionRequest(project="default", channel=EMAIL, address=address, reason=1))
    link = profiles_pb2.CreateUnsubscribeTokenRequest(project="default", identifier=custom(who), channel=EMAIL)
    redeem = profiles_pb2.RedeemUnsubscribeTokenRequest(
        project="default", token=stub.CreateUnsubscribeToken(link).token, request_id=unique("r")
    )
    stub.RedeemUnsubscribeToken(redeem)
    stub.EraseProfile(erase(custom(who)))
    # Its stored response was erased with the person, but a link always succeeds.
    assert not stub.RedeemUnsubscribeToken(redeem).replayed
    redeem.ClearField("request_id")
    assert stub.RedeemUnsubscribeToken(redeem).lsn
    assert fails(stub.CreateUnsubscribeToken, link).code == grpc.StatusCode.NOT_FOUND
    somebody = unique("eve")
    native = types_pb2.NativeAttributes(email_address=wrappers_pb2.StringValue(value=address))
    stub.Identify(
        profiles_pb2.IdentifyRequest(
            project="default", custom_id=somebody, attributes=types_pb2.AttributePatch(native=native)
        )
    )
    assert sendable(stub, custom(somebody))[0] is False


def test_erasure_survives_a_kill(server):
    server.start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        who, phone, _ = person(stub, with_alias=True)
        gone = erase(device(phone), request_id="gone")
        response = stub.EraseProfile(gone)
    server.stop(signal.SIGKILL)
    server.start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        assert fails(stub.GetProfile, get(custom(who))).code == grpc.StatusCode.NOT_FOUND
        assert is_blocked(fails(stub.Track, track(device(phone))))
        again = stub.EraseProfile(gone)
        assert again.replayed and again.lsn == response.lsn


def traces(folder, marks):
    """The marks that occur in any file of log and snapshots; the change feed keeps changes for 23 hours."""
    found = set()
    for path in sorted(folder.glob("*")):
        if path.is_file():
            content = path.read_bytes()
            found |= {mark for mark in marks if mark in content}
    return found


def ulid_bytes(text):
    """The 16 bytes of a profile id, in both orders of its halves' bytes."""
    number = 0
    for character in text:
        number = number * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(character)
    high, low = number >> 64, number & (1 << 64) - 1
    return number.to_bytes(16, "big"), high.to_bytes(8, "little") + low.to_bytes(8, "little")


def test_two_snapshots_later_no_byte_of_the_person_is_on_disk(server):
    server.start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        admin = admin_pb2_grpc.AdminStub(channel)
        who, phone, profile = person(stub, with_alias=True)
        stub.Track(
            track(custom(who), event("buy", event_id="event-" + who, label="label-" + who), request_id="request-" + who)
        )
        stub.Identify(identify(None, who, patch(color="colour-" + who)))
        ids = [profile.profile_id, *(alias.profile_id for alias in profile.aliases)]
        marks = {who.encode(), phone.encode()} | {form for text in ids for form in (text.encode(), *ulid_bytes(text))}
        assert {who.encode(), phone.encode()} <= traces(server.data_dir, marks)
        admin.CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=60)
        assert {ulid_bytes(ids[0])[1], ulid_bytes(ids[1])[1]} <= traces(server.data_dir, marks), (
            "a snapshot holds the ids"
        )
        bystander = custom()
        stub.Track(track(bystander))
        stub.EraseProfile(erase(custom(who), request_id="erase-" + who))
        for _ in range(2):
            admin.CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=60)
        # A call that is rejected before the log writes nothing, with a request id or without.
        assert is_blocked(fails(stub.Track, track(custom(who), request_id="again-" + who)))
        assert is_blocked(fails(stub.Identify, identify(phone)))
        assert traces(server.data_dir, marks) == set()
    server.stop(signal.SIGKILL)
    server.start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        assert is_blocked(fails(stub.Track, track(custom(who)))), "the block is in the snapshot"
        assert stub.GetProfile(get(bystander)).profile.revision == 1
        repeated = stub.EraseProfile(erase(custom(who), request_id="erase-" + who))
        assert repeated.replayed and repeated.existed
