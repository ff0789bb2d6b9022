"""Track and GetProfile (spec sections 1, 3 and 4)."""

import time

import grpc
import pytest
from google.protobuf import field_mask_pb2, timestamp_pb2, wrappers_pb2

from conftest import Failure, custom, event, fails, get, profiles_pb2, track, types_pb2, unique

STORED, DUPLICATE, REJECTED = 1, 2, 3
V = types_pb2.Value


def at(seconds):
    return timestamp_pb2.Timestamp(seconds=int(seconds))


def test_unknown_custom_id_creates_an_identified_profile(stub):
    who = custom()
    response = stub.Track(track(who, event("Purchase", event_id="one")))
    assert response.revision == 1 and response.results[0].status == STORED
    profile = stub.GetProfile(get(who)).profile
    assert profile.custom_id == who.custom_id and profile.state == types_pb2.STATE_IDENTIFIED
    assert profile.profile_id == response.profile_id and len(response.profile_id) == 26
    assert [(c.name, c.count) for c in profile.event_counters] == [("purchase", 1)]


def test_unknown_installation_creates_an_anonymous_profile(stub):
    device = types_pb2.Identifier(installation_id=unique("device"))
    response = stub.Track(track(device, source=types_pb2.Source(platform=types_pb2.PLATFORM_WEB, name="shop")))
    profile = stub.GetProfile(get(types_pb2.Identifier(profile_id=response.profile_id))).profile
    assert profile.state == types_pb2.STATE_ANONYMOUS and not profile.custom_id
    assert [(i.installation_id, i.platform) for i in profile.installations] == [
        (device.installation_id, types_pb2.PLATFORM_WEB)
    ]


def test_a_read_sees_an_acknowledged_write_on_another_connection(shared, stub):
    from conftest import profiles_pb2_grpc

    who = custom()
    for count in range(1, 50):
        lsn = stub.Track(track(who)).lsn
        with shared.channel() as channel:
            response = profiles_pb2_grpc.ProfilesStub(channel).GetProfile(get(who, min_lsn=lsn))
        assert response.profile.event_counters[0].count == count and response.lsn >= lsn


def test_all_kinds_of_values_are_stored_and_compared(stub):
    who = custom()
    values = {
        "s": V(string="é" * 300),
        "i": V(integer=-(2**63)),
        "n": V(number=1.5),
        "b": V(boolean=True),
        "t": V(time=at(1_700_000_000)),
        "u": V(url="https://example.org/a?b#c"),
        "l": V(list=types_pb2.StringList(items=["a", "b"])),
        "o": V(object=types_pb2.Object(fields={"x": V(object=types_pb2.Object(fields={"y": V(integer=1)}))})),
        "os": V(objects=types_pb2.ObjectList(items=[types_pb2.Object(fields={"z": V(string="z")})])),
    }
    first = event("all", event_id="all", attributes=values)
    assert stub.Track(track(who, first)).results[0].status == STORED
    again = stub.Track(track(who, first)).results[0]
    assert (again.status, again.content_differs) == (DUPLICATE, False)
    values["i"] = V(integer=7)
    other = stub.Track(track(who, event("all", event_id="all", attributes=values))).results[0]
    assert (other.status, other.content_differs) == (DUPLICATE, True)


def test_an_event_twice_in_one_request_is_a_duplicate(stub):
    response = stub.Track(track(custom(), event(event_id="x"), event(event_id="x"), event(event_id="y")))
    assert [r.status for r in response.results] == [STORED, DUPLICATE, STORED]
    assert [r.lsn for r in response.results] == [response.lsn - 2, response.lsn - 1, response.lsn]


def test_two_people_may_use_the_same_event_id(stub):
    assert all(stub.Track(track(custom(), event(event_id="same"))).results[0].status == STORED for _ in range(2))


def test_server_made_event_ids_differ(stub):
    response = stub.Track(track(custom(), event(), event()))
    assert len({r.event_id for r in response.results}) == 2 and all(r.status == STORED for r in response.results)


def test_request_id_replays_the_response_and_rejects_a_different_message(stub):
    who, request_id = custom(), unique("request")
    first = stub.Track(track(who, event(event_id="a"), request_id=request_id))
    again = stub.Track(track(who, event(event_id="a"), request_id=request_id))
    assert again.replayed and not first.replayed
    again.replayed = False
    assert again == first
    failure = fails(stub.Track, track(who, event(event_id="b"), request_id=request_id))
    assert (failure.code, failure.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


def test_a_failed_call_does_not_consume_its_request_id(stub):
    who, request_id = custom(), unique("request")
    assert fails(stub.Track, track(who, must_exist=True, request_id=request_id)).code == grpc.StatusCode.NOT_FOUND
    stub.Track(track(who))
    assert not stub.Track(track(who, must_exist=True, request_id=request_id)).replayed


def test_expected_revision_is_compared(stub):
    who = custom()
    revision = lambda value: wrappers_pb2.UInt64Value(value=value)
    assert stub.Track(track(who, expected_revision=revision(0))).revision == 1
    failure = fails(stub.Track, track(who, expected_revision=revision(0)))
    assert (failure.code, failure.reason) == (grpc.StatusCode.ABORTED, "REVISION_MISMATCH")
    assert failure.metadata["current_revision"] == "1"
    assert stub.Track(track(who, event(), event(), expected_revision=revision(1))).revision == 2


def test_must_exist_and_unknown_profile_id_are_not_found(stub):
    for request in (
        track(custom(), must_exist=True),
        track(types_pb2.Identifier(profile_id="01J00000000000000000000000")),
    ):
        failure = fails(stub.Track, request)
        assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "PROFILE_NOT_FOUND")


@pytest.mark.parametrize("offset, ok", [(-86_000, True), (-87_000, False), (280, True), (330, False)])
def test_time_window(stub, offset, ok):
    request = track(custom(), event(), event(occurred_at=at(time.time() + offset)))
    if ok:
        assert stub.Track(request).results[1].status == STORED
        return
    failure = fails(stub.Track, request)
    assert (failure.code, failure.reason) == (grpc.StatusCode.OUT_OF_RANGE, "TIME_WINDOW")
    assert list(failure.violations) == ["events[1].occurred_at"]


def test_an_event_in_the_future_gets_the_received_time(stub):
    result = stub.Track(track(custom(), event(occurred_at=at(time.time() + 200)))).results[0]
    assert result.effective_time.seconds <= time.time() + 1


def test_historical_reaches_back_to_the_retention(stub):
    old = event(occurred_at=at(time.time() - 80 * 86_400))
    assert fails(stub.Track, track(custom(), old)).code == grpc.StatusCode.OUT_OF_RANGE
    assert stub.Track(track(custom(), old, historical=True)).results[0].status == STORED


def test_sent_at_corrects_a_wrong_clock(stub):
    wrong = time.time() + 5_000_000
    request = track(custom(), event(occurred_at=at(wrong - 60)), sent_at=at(wrong))
    effective = stub.Track(request).results[0].effective_time.seconds
    assert abs(effective - (time.time() - 60)) < 30


def test_one_invalid_event_rejects_all_and_every_violation_is_listed(stub):
    who = custom()
    request = track(
        who, event(), event("bad name"), event(attributes={"x": V()}), event(occurred_at=at(time.time() - 200_000))
    )
    failure = fails(stub.Track, request)
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    assert set(failure.violations) == {"events[1].name", "events[2].attributes.x", "events[3].occurred_at"}
    assert fails(stub.GetProfile, get(who)).code == grpc.StatusCode.NOT_FOUND


def test_allow_partial_stores_the_valid_events(stub):
    request = track(custom(), event("bad name", event_id="b"), event(event_id="g"), allow_partial=True)
    response = stub.Track(request)
    assert [r.status for r in response.results] == [REJECTED, STORED]
    assert response.results[0].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    failure = Failure.__new__(Failure)
    failure.violations, failure.reason, failure.metadata = {}, "", {}
    failure.read(response.results[0].error)
    assert failure.reason == "INVALID_FIELDS" and list(failure.violations) == ["events[0].name"]


def test_allow_partial_without_a_valid_event_creates_no_profile(stub):
    who = custom()
    response = stub.Track(track(who, event("bad name"), allow_partial=True))
    assert not response.profile_id and response.results[0].status == REJECTED
    assert fails(stub.GetProfile, get(who)).code == grpc.StatusCode.NOT_FOUND


def violations(stub, request):
    failure = fails(stub.Track, request)
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    return set(failure.violations)


def test_every_violation_is_listed_with_its_path(stub):
    request = profiles_pb2.TrackRequest(
        project="Default",
        request_id="r" * 101,
        identifier=types_pb2.Identifier(custom_id="null"),
        events=[
            event(
                "n" * 31,
                event_id="e" * 101,
                label="l" * 201,
                tags=["ok", " "],
                attributes={
                    "deep": V(
                        object=types_pb2.Object(
                            fields={"a": V(object=types_pb2.Object(fields={"b": V(object=types_pb2.Object())}))}
                        )
                    ),
                    "list": V(list=types_pb2.StringList(items=["fine", ""])),
                    "nan": V(number=float("nan")),
                    "url": V(url="no-scheme"),
                    "line": V(string="a\nb"),
                    "time": V(time=timestamp_pb2.Timestamp(seconds=-62_135_596_801)),
                },
            )
        ],
    )
    assert violations(stub, request) == {
        "project",
        "request_id",
        "identifier.custom_id",
        "events[0].name",
        "events[0].event_id",
        "events[0].label",
        "events[0].tags[1]",
        "events[0].attributes.deep.a.b",
        "events[0].attributes.list.items[1]",
        "events[0].attributes.nan",
        "events[0].attributes.url",
        "events[0].attributes.line",
        "events[0].attributes.time",
    }


LIMITS = [
    ("events[0].name", lambda n: event("n" * n), 30),
    ("events[0].event_id", lambda n: event(event_id="e" * n), 100),
    ("events[0].label", lambda n: event(label="l" * n), 200),
    ("events[0].tags", lambda n: event(tags=["t"] * n), 10),
    ("events[0].tags[0]", lambda n: event(tags=["t" * n]), 64),
    ("events[0].attributes", lambda n: event(attributes={f"a{i}": V(integer=i) for i in range(n)}), 20),
    ("events[0].attributes.s", lambda n: event(attributes={"s": V(string="é" * n)}), 300),
    ("events[0].attributes.u", lambda n: event(attributes={"u": V(url="http://e.org/" + "x" * (n - 13))}), 2048),
    (
        "events[0].attributes.l.items",
        lambda n: event(attributes={"l": V(list=types_pb2.StringList(items=["x"] * n))}),
        25,
    ),
]


@pytest.mark.parametrize("path, make, limit", LIMITS, ids=[row[0] for row in LIMITS])
def test_value_at_the_limit_and_one_past(stub, path, make, limit):
    assert stub.Track(track(custom(), make(limit))).results[0].status == STORED
    assert violations(stub, track(custom(), make(limit + 1))) == {path}


def test_fifteen_events_fit_and_sixteen_do_not(stub):
    assert len(stub.Track(track(custom(), *[event() for _ in range(15)])).results) == 15
    assert violations(stub, track(custom(), *[event() for _ in range(16)])) == {"events"}
    empty = profiles_pb2.TrackRequest(project="default", identifier=custom())
    assert violations(stub, empty) == {"events"}


@pytest.mark.parametrize(
    "text",
    ["", " ", "\u2003", "a\nb", "undefined", "NULL", "[Object object]", "NaN", "-Infinity", "x" * 513, "€" * 400],
)
def test_invalid_identifiers_are_rejected(stub, text):
    for field in ("custom_id", "installation_id"):
        assert violations(stub, track(types_pb2.Identifier(**{field: text}))) == {f"identifier.{field}"}


def test_names_are_compared_in_lower_case(stub):
    who = custom()
    stub.Track(track(who, event("View"), event("VIEW"), event("view")))
    assert [(c.name, c.count) for c in stub.GetProfile(get(who)).profile.event_counters] == [("view", 3)]
    twice = event(attributes={"Size": V(integer=1), "size": V(integer=2)})
    assert {path.lower() for path in violations(stub, track(custom(), twice))} == {"events[0].attributes.size"}


def test_read_mask_selects_fields(stub):
    who = custom()
    stub.Track(track(who))
    mask = lambda *paths: field_mask_pb2.FieldMask(paths=paths)
    profile = stub.GetProfile(get(who, read_mask=mask("custom_id", "revision"))).profile
    assert [field.name for field, _ in profile.ListFields()] == ["custom_id", "revision"]
    failure = fails(stub.GetProfile, get(who, read_mask=mask("custom_id", "nonsense")))
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT and list(failure.violations) == ["read_mask.paths[1]"]
    assert (
        fails(stub.GetProfile, get(who, read_mask=mask("attribute_metadata"))).code == grpc.StatusCode.INVALID_ARGUMENT
    )


def test_min_lsn_above_the_server_is_rejected(stub):
    who = custom()
    lsn = stub.Track(track(who)).lsn
    failure = fails(stub.GetProfile, get(who, min_lsn=lsn + 1_000_000))
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LSN_NOT_REACHED")


def test_unknown_project_is_not_found(stub):
    who = custom()
    for call, request in ((stub.Track, track(who)), (stub.GetProfile, get(who))):
        request.project = "other"
        failure = fails(call, request)
        assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND")


def test_retained_events_are_bounded_and_counters_continue(stub):
    who = custom()
    for _ in range(70):
        stub.Track(track(who, *[event() for _ in range(15)]))
    profile = stub.GetProfile(get(who)).profile
    assert profile.event_counters[0].count == 1_050
    assert profile.HasField("events_truncated_before")


def test_items_add_up(shared, stub):
    stub.Track(track(custom(), event("bad name"), event(), allow_partial=True))
    outcomes = [
        shared.metric(f'profiles_items_total{{result="{outcome}"}}')
        for outcome in ("stored", "duplicate", "stale", "rejected")
    ]
    assert shared.metric("profiles_items_received_total") == sum(outcomes) and outcomes[0] > 0 and outcomes[3] > 0
