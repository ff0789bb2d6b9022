"""Identify: each row of the table of spec section 2, merges, stale links, and the rules of attributes."""

import time

import grpc
import pytest
from google.protobuf import timestamp_pb2, wrappers_pb2

from conftest import custom, event, fails, get, profiles_pb2, track, types_pb2, unique

V = types_pb2.Value
CREATED, ATTACHED, PROMOTED, MERGED, UPDATED, NOOP, SWITCHED, LOGGED_OUT, STALE = range(1, 10)


def at(seconds):
    return timestamp_pb2.Timestamp(seconds=int(seconds))


def patch(**values):
    """A patch that sets values: text, int or list of texts."""

    def value(of):
        return (
            V(list=types_pb2.StringList(items=of))
            if isinstance(of, list)
            else (V(integer=of) if isinstance(of, int) else V(string=of))
        )

    return types_pb2.AttributePatch(set={name: value(of) for name, of in values.items()})


def identify(device=None, person=None, attributes=None, **fields):
    request = profiles_pb2.IdentifyRequest(project="default", installation_id=device or "", **fields)
    if person:
        request.custom_id = person
    if attributes is not None:
        request.attributes.CopyFrom(attributes)
    return request


def device(name):
    return types_pb2.Identifier(installation_id=name)


def shown(profile):
    return {name: value.string or value.integer or list(value.list.items) for name, value in profile.attributes.items()}


def test_row_1_a_new_device_makes_an_anonymous_profile(stub):
    response = stub.Identify(identify(unique("d"), attributes=patch(plan="free")))
    assert response.outcome == CREATED and response.profile.state == types_pb2.STATE_ANONYMOUS
    assert response.profile.revision == 1 and shown(response.profile) == {"plan": "free"}


def test_row_2_a_new_device_and_a_new_person_make_an_identified_profile(stub):
    d, p = unique("d"), unique("p")
    response = stub.Identify(identify(d, p))
    assert response.outcome == CREATED and response.profile.custom_id == p
    assert [i.installation_id for i in response.profile.installations] == [d]


def test_row_3_a_new_device_is_attached_to_a_known_person(stub):
    d, p = unique("d"), unique("p")
    first = stub.Identify(identify(None, p))
    response = stub.Identify(identify(d, p))
    assert response.outcome == ATTACHED and response.profile.profile_id == first.profile.profile_id
    assert response.profile.revision == 2 and [i.installation_id for i in response.profile.installations] == [d]
    assert stub.GetProfile(get(device(d))).profile.custom_id == p


def test_row_4_an_anonymous_profile_becomes_the_new_person(stub):
    d, p = unique("d"), unique("p")
    first = stub.Track(track(device(d)))
    response = stub.Identify(identify(d, p))
    assert response.outcome == PROMOTED and response.profile.profile_id == first.profile_id
    assert stub.GetProfile(get(custom(p))).profile.profile_id == first.profile_id


def test_row_5_an_anonymous_profile_is_merged_into_the_known_person(stub):
    d, p = unique("d"), unique("p")
    person = stub.Identify(identify(None, p, patch(plan="gold", tags=["a"])))
    stub.Identify(identify(d, attributes=patch(plan="free", color="red", tags=["a", "b"])))
    loser = stub.Track(track(device(d), event("visit", event_id="1"), event("purchase", event_id="2")))
    stub.Track(track(custom(p), event("visit", event_id="1")))
    response = stub.Identify(identify(d, p, patch(size=3)))
    profile = response.profile
    assert response.outcome == MERGED and len(response.merge_id) == 26
    assert profile.profile_id == person.profile.profile_id and profile.revision == 3
    assert shown(profile) == {"plan": "gold", "color": "red", "size": 3, "tags": ["a", "b"]}
    assert {c.name: c.count for c in profile.event_counters} == {"visit": 2, "purchase": 1}
    assert [a.profile_id for a in profile.aliases] == [loser.profile_id]
    through = stub.GetProfile(get(types_pb2.Identifier(profile_id=loser.profile_id)))
    assert through.profile.profile_id == profile.profile_id and through.redirected_from == loser.profile_id
    # The device's events are still duplicates under the device's id.
    again = stub.Track(track(device(d), event("visit", event_id="1")))
    assert again.results[0].status == 2 and again.profile_id == profile.profile_id


def test_row_6_the_same_person_again_is_an_update_or_nothing(stub):
    d, p = unique("d"), unique("p")
    stub.Identify(identify(d, p, patch(plan="a")))
    assert stub.Identify(identify(d, p)).outcome == NOOP
    assert stub.Identify(identify(d, p, patch(plan="a"))).outcome == NOOP
    response = stub.Identify(identify(d, None, patch(plan="b")))
    assert response.outcome == UPDATED and response.profile.revision == 2 and response.profile.custom_id == p


@pytest.mark.parametrize("is_known", [True, False])
def test_row_7_the_device_moves_and_the_people_stay_separate(stub, is_known):
    d, p, q = unique("d"), unique("p"), unique("q")
    stub.Identify(identify(d, p, patch(plan="p")))
    if is_known:
        stub.Identify(identify(None, q))
    response = stub.Identify(identify(d, q))
    assert response.outcome == SWITCHED and response.profile.custom_id == q and shown(response.profile) == {}
    left = stub.GetProfile(get(custom(p))).profile
    assert not left.installations and shown(left) == {"plan": "p"} and left.revision == 2
    assert response.profile.revision == (2 if is_known else 1)


def test_row_8_a_log_out_moves_the_device_to_a_new_anonymous_profile(stub):
    d, p = unique("d"), unique("p")
    stub.Identify(identify(d, p))
    response = stub.Identify(identify(d, attributes=patch(seen=1), logged_out=True))
    assert response.outcome == LOGGED_OUT and response.profile.state == types_pb2.STATE_ANONYMOUS
    assert shown(response.profile) == {"seen": 1}
    assert not stub.GetProfile(get(custom(p))).profile.installations


def test_row_9_a_log_out_of_nobody_is_only_the_patch(stub):
    d = unique("d")
    stub.Identify(identify(d))
    assert stub.Identify(identify(d, logged_out=True)).outcome == NOOP
    assert stub.Identify(identify(d, attributes=patch(seen=1), logged_out=True)).outcome == UPDATED


def test_row_10_a_person_without_device(stub):
    p = unique("p")
    assert stub.Identify(identify(None, p)).outcome == CREATED
    assert stub.Identify(identify(None, p)).outcome == NOOP
    assert stub.Identify(identify(None, p, patch(plan="a"))).outcome == UPDATED


@pytest.mark.parametrize("fields", [{}, {"logged_out": True}])
def test_row_11_nothing_to_identify_is_invalid(stub, fields):
    failure = fails(stub.Identify, identify(**fields))
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT and "installation_id" in failure.violations


def test_an_older_login_does_not_move_the_device(stub):
    d, p, q, r = unique("d"), unique("p"), unique("q"), unique("r")
    now = time.time()
    stub.Identify(identify(d, p, occurred_at=at(now - 100)))
    response = stub.Identify(identify(d, q, patch(plan="q"), occurred_at=at(now - 200)))
    assert response.outcome == STALE and response.profile.custom_id == q and not response.profile.installations
    assert shown(response.profile) == {"plan": "q"}
    assert stub.GetProfile(get(device(d))).profile.custom_id == p
    late = stub.Identify(identify(d, attributes=patch(x=1), logged_out=True, occurred_at=at(now - 200)))
    assert late.outcome == STALE and list(late.ignored_stale) == ["x"] and late.profile.custom_id == p
    assert stub.Identify(identify(d, r, occurred_at=at(now - 100))).outcome == SWITCHED


def test_a_late_event_goes_to_the_holder_at_its_time(stub):
    d, p, q = unique("d"), unique("p"), unique("q")
    now = time.time()
    stub.Identify(identify(d, p, occurred_at=at(now - 1000)))
    stub.Identify(identify(d, q, occurred_at=at(now - 500)))
    response = stub.Track(
        track(
            device(d),
            event("early", occurred_at=at(now - 700)),
            event("late", occurred_at=at(now - 300)),
            event("first", occurred_at=at(now - 5000)),
        )
    )
    held = stub.GetProfile(get(custom(p))).profile
    holds = stub.GetProfile(get(custom(q))).profile
    assert {c.name for c in held.event_counters} == {"early", "first"} and {c.name for c in holds.event_counters} == {
        "late"
    }
    assert [r.profile_id for r in response.results] == [held.profile_id, holds.profile_id, held.profile_id]
    assert response.profile_id == holds.profile_id and held.revision == 3
    patched = stub.Identify(identify(d, attributes=patch(then=1), occurred_at=at(now - 700)))
    assert patched.profile.custom_id == p


def test_the_101st_installation_evicts_the_least_recently_seen(stub):
    p = unique("p")
    devices = [unique("d") for _ in range(101)]
    for d in devices[:100]:
        assert not stub.Identify(identify(d, p)).warnings
    stub.Track(track(device(devices[0])))
    response = stub.Identify(identify(devices[100], p))
    assert response.outcome == ATTACHED and len(response.profile.installations) == 100
    (warning,) = response.warnings
    assert warning.reason == "INSTALLATION_DETACHED" and warning.identifier.installation_id == devices[1]
    assert fails(stub.GetProfile, get(device(devices[1]))).code == grpc.StatusCode.NOT_FOUND


def test_the_later_time_wins_and_stale_names_are_reported(stub):
    p, now = unique("p"), time.time()
    stub.Identify(identify(None, p, patch(plan="new", size=1), occurred_at=at(now - 10)))
    response = stub.Identify(identify(None, p, patch(plan="old", color="red"), occurred_at=at(now - 20)))
    assert list(response.ignored_stale) == ["plan"] and shown(response.profile) == {
        "plan": "new",
        "size": 1,
        "color": "red",
    }
    gone = types_pb2.AttributePatch(delete=["plan"])
    assert shown(stub.Identify(identify(None, p, gone, occurred_at=at(now - 5))).profile) == {"size": 1, "color": "red"}
    late = stub.Identify(identify(None, p, patch(plan="late"), occurred_at=at(now - 6)))
    assert list(late.ignored_stale) == ["plan"] and late.outcome == NOOP


def test_list_elements_are_added_and_removed_individually(stub):
    p = unique("p")

    def change(**parts):
        lists = {name: types_pb2.StringList(items=items) for name, items in parts.items()}
        return lists

    add = lambda *items: types_pb2.AttributePatch(add=change(tags=items))
    remove = lambda *items: types_pb2.AttributePatch(remove=change(tags=items))
    assert shown(stub.Identify(identify(None, p, add("b", "a", "b"))).profile) == {"tags": ["b", "a"]}
    assert shown(stub.Identify(identify(None, p, add("a", "c"))).profile) == {"tags": ["b", "a", "c"]}
    assert shown(stub.Identify(identify(None, p, remove("b", "x"))).profile) == {"tags": ["a", "c"]}
    assert shown(stub.Identify(identify(None, p, remove("a", "c"))).profile) == {"tags": []}
    stub.Identify(identify(None, p, patch(plan="a")))
    wrong = types_pb2.AttributePatch(add=change(plan=["x"]))
    assert fails(stub.Identify, identify(None, p, wrong)).reason == "ATTRIBUTE_TYPE_MISMATCH"
    full = types_pb2.AttributePatch(add=change(tags=[f"t{n}" for n in range(25)]))
    assert len(stub.Identify(identify(None, p, full)).profile.attributes["tags"].list.items) == 25
    over = fails(stub.Identify, identify(None, p, add("one more")))
    assert (
        over.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        and over.reason == "LIMIT_EXCEEDED"
        and over.metadata["maximum"] == "25"
    )


def test_the_51st_attribute_rejects_the_whole_call(stub):
    p = unique("p")
    stub.Identify(identify(None, p, patch(**{f"a{n}": n + 1 for n in range(50)})))
    failure = fails(stub.Identify, identify(None, p, patch(a0=7, b=1)))
    assert failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED and failure.reason == "LIMIT_EXCEEDED"
    assert failure.metadata["maximum"] == "50"
    assert shown(stub.GetProfile(get(custom(p))).profile)["a0"] == 1
    swapped = patch(b=1)
    swapped.delete.append("a0")
    assert stub.Identify(identify(None, p, swapped)).outcome == UPDATED


def test_native_attributes(stub):
    p, d = unique("p"), unique("d")
    native = types_pb2.NativeAttributes(
        email_address=wrappers_pb2.StringValue(value="ann@example.com"), language=wrappers_pb2.StringValue(value="de")
    )
    response = stub.Identify(identify(None, p, types_pb2.AttributePatch(native=native)))
    assert response.profile.native == native
    failure = fails(stub.Identify, identify(d, attributes=types_pb2.AttributePatch(native=native)))
    assert failure.code == grpc.StatusCode.FAILED_PRECONDITION and failure.reason == "PROFILE_ANONYMOUS"
    assert fails(stub.GetProfile, get(device(d))).code == grpc.StatusCode.NOT_FOUND
    gone = stub.Identify(identify(None, p, types_pb2.AttributePatch(delete=["Email_Address"])))
    assert not gone.profile.native.HasField("email_address") and gone.outcome == UPDATED


@pytest.mark.parametrize(
    "attributes, path",
    [
        (patch(**{"bad name": 1}), "attributes.set[0]"),
        (patch(email_address="x@y"), "attributes.set.email_address"),
        (types_pb2.AttributePatch(set={"a": V(integer=1)}, delete=["A"]), "attributes.delete[0]"),
        (types_pb2.AttributePatch(delete=["a", "a"]), "attributes.delete[1]"),
        (types_pb2.AttributePatch(set={"a": V(string=" ")}), "attributes.set.a"),
        (types_pb2.AttributePatch(set={"a": V(string="x" * 301)}), "attributes.set.a"),
        (types_pb2.AttributePatch(set={"a": V()}), "attributes.set.a"),
        (types_pb2.AttributePatch(set={"a": V(number=float("nan"))}), "attributes.set.a"),
        (types_pb2.AttributePatch(set={"a": V(object=types_pb2.Object())}), "attributes.set.a"),
        (types_pb2.AttributePatch(add={"a": types_pb2.StringList(items=["x"] * 26)}), "attributes.add.a.items"),
        *[
            (
                types_pb2.AttributePatch(
                    native=types_pb2.NativeAttributes(**{name: wrappers_pb2.StringValue(value=value)})
                ),
                f"attributes.native.{name}",
            )
            for name, value in [
                ("email_address", ""),
                ("email_address", "a@b@c"),
                ("email_address", "a b@c"),
                ("email_address", "a" * 253 + "@b"),
                ("phone_number", "0123"),
                ("phone_number", "+0123"),
                ("phone_number", "+1234567890123456"),
                ("language", "english"),
                ("language", "de-aaaaaaaa-bbbbb"),
                ("region", "XX"),
                ("region", "de"),
                ("timezone", "a" * 65),
                ("timezone", "/x"),
            ]
        ],
    ],
    ids=str,
)
def test_a_bad_patch_is_rejected_with_its_path(stub, attributes, path):
    failure = fails(stub.Identify, identify(None, unique("p"), attributes))
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT and path in failure.violations


def test_expected_revision_applies_to_the_profile_in_the_response(stub):
    d, p, q = unique("d"), unique("p"), unique("q")
    revision = lambda number: wrappers_pb2.UInt64Value(value=number)
    stub.Identify(identify(d, p, expected_revision=revision(0)))
    failure = fails(stub.Identify, identify(d, p, expected_revision=revision(0)))
    assert failure.code == grpc.StatusCode.ABORTED and failure.metadata["current_revision"] == "1"
    assert stub.Identify(identify(d, q, expected_revision=revision(0))).outcome == SWITCHED
    # For a log-out it is the profile that the device leaves.
    assert stub.Identify(identify(d, logged_out=True, expected_revision=revision(1))).outcome == LOGGED_OUT


def test_a_replay_returns_the_first_response_with_the_current_profile(stub):
    p, request_id = unique("p"), unique("r")
    request = identify(None, p, patch(plan="a"), request_id=request_id)
    first = stub.Identify(request)
    stub.Identify(identify(None, p, patch(plan="b")))
    again = stub.Identify(request)
    assert (
        again.replayed and (again.outcome, again.lsn) == (CREATED, first.lsn) and shown(again.profile) == {"plan": "b"}
    )
    other = fails(stub.Identify, identify(None, p, patch(plan="c"), request_id=request_id))
    assert other.code == grpc.StatusCode.ALREADY_EXISTS and other.reason == "REQUEST_ID_REUSED"


def test_everything_survives_a_kill(server):
    import signal
    from conftest import profiles_pb2_grpc

    stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
    people = [unique("p") for _ in range(20)]
    for number in range(400):
        stub.Identify(
            identify(
                f"d{number % 13}",
                people[number * 7 % 20] if number % 3 else None,
                patch(n=number),
                logged_out=None if number % 3 else number % 2 == 0 or None,
            )
        )
    before = [stub.GetProfile(get(custom(p))).profile for p in people]
    server.stop(signal.SIGKILL)
    stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
    assert before == [stub.GetProfile(get(custom(p))).profile for p in people]
