"""What is wrong inside of one item says nothing about the others (spec sections 3 and 6): Track with allow_partial,
BatchWrite with best_effort, TrackStream. Frames by hand, because no client library writes such messages."""

import grpc
import pytest
from google.protobuf import timestamp_pb2

from conftest import Failure, custom, event, fails, get, profiles_pb2, track, types_pb2, unique
from test_bad_input import field, varint
from test_batch import batch, inner
from test_identify import identify, patch

SERVICE = "/profiles.v1.Profiles/"
INVALID, RESOURCE = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED
INTEGER = varint(2 << 3) + b"\1"
ALLOW_PARTIAL, BEST_EFFORT = varint(7 << 3) + b"\1", varint(4 << 3) + b"\1"
STORED, REJECTED = 1, 3


def entry(name, value):
    return field(3, field(1, name) + field(2, value))


def nested(objects):
    value = INTEGER
    for _ in range(objects):
        value = field(8, field(1, field(1, b"a") + field(2, value)))
    return value


# What can be wrong inside of an event, and a part of the path that names it.
BAD_EVENTS = {
    "a NUL": (field(2, b"a\0b"), ".name"),
    "a NUL in a value": (field(2, b"a") + entry(b"s", field(1, b"x\0")), ".attributes[0].value.string"),
    "invalid UTF-8": (field(2, b"a") + field(5, b"\xc0\xaf"), ".label"),
    "101 map entries": (field(2, b"a") + b"".join(entry(b"k%d" % n, INTEGER) for n in range(101)), ".attributes"),
    "21 map entries": (field(2, b"a") + b"".join(entry(b"k%d" % n, INTEGER) for n in range(21)), ".attributes"),
    "four levels": (field(2, b"a") + entry(b"k", nested(3)), ".attributes.k"),
    "five levels": (field(2, b"a") + entry(b"k", nested(4)), ""),
    "1,000 levels": (field(2, b"a") + entry(b"k", nested(1000)), ""),
    "both members of a oneof": (field(2, b"a") + entry(b"k", INTEGER + field(1, b"x")), ".attributes[0].value"),
    "a field given twice": (field(2, b"a") + field(2, b"b"), ".name"),
    "a group": (field(2, b"a") + b"\x0b\x0c", ""),
    "a length past its end": (field(2, b"a") + b"\x2a\x7f", ""),
    "a list of 101": (field(2, b"a") + entry(b"l", field(7, field(1, b"x") * 101)), ".attributes"),
    "a list without an end": (field(2, b"a") + entry(b"l", field(7, b"\x0a\0" * 500_000)), ".attributes"),
}
GOOD = field(2, b"good")


def wire_track(who, *events, extra=b""):
    return field(1, b"default") + field(3, field(2, who.encode())) + b"".join(field(4, e) for e in events) + extra


def wire_operation(track_):
    return field(3, field(2, track_))


def wire_batch(*operations, extra=b""):
    return field(1, b"default") + b"".join(operations) + extra


@pytest.fixture(scope="module")
def call(shared):
    with shared.channel() as channel:

        def call(method, payload, response):
            rpc = channel.unary_unary(SERVICE + method, None, response.FromString)
            return rpc(payload, timeout=20)

        yield call


def track_(call, payload):
    return call("Track", payload, profiles_pb2.TrackResponse)


def batch_(call, payload):
    return call("BatchWrite", payload, profiles_pb2.BatchWriteResponse)


def rejection(method, call, payload):
    with pytest.raises(grpc.RpcError) as caught:
        method(call, payload)
    return Failure(caught.value)


def failure(status):
    found = object.__new__(Failure)
    found.code, found.violations, found.reason, found.metadata = status.code, {}, "", {}
    found.read(status)
    return found


def count(stub, who):
    counters = stub.GetProfile(get(custom(who))).profile.event_counters
    return {counter.name: counter.count for counter in counters}


def items(shared):
    return {
        result: shared.metric(f'profiles_items_total{{result="{result}"}}')
        for result in ("stored", "duplicate", "stale", "rejected")
    } | {"received": shared.metric("profiles_items_received_total")}


@pytest.mark.parametrize("name", BAD_EVENTS)
def test_a_track_that_allows_partial_success_stores_the_good_events(shared, stub, call, name):
    bad, path = BAD_EVENTS[name]
    who, before = unique("p"), items(shared)
    response = track_(call, wire_track(who, GOOD, field(1, b"e1") + bad, GOOD, extra=ALLOW_PARTIAL))
    assert [result.status for result in response.results] == [STORED, REJECTED, STORED]
    assert count(stub, who) == {"good": 2} and response.results[1].event_id == "e1"
    found = failure(response.results[1].error)
    assert (found.code, found.reason) == (3, "INVALID_FIELDS")
    assert list(found.violations)[0].startswith("events[1]" + path), found.violations
    after = items(shared)
    assert after["stored"] - before["stored"] == 2 and after["rejected"] - before["rejected"] == 1
    assert after["received"] == sum(after[result] for result in after if result != "received")


@pytest.mark.parametrize("name", BAD_EVENTS)
def test_all_or_nothing_names_the_bad_event(shared, stub, call, name):
    bad, path = BAD_EVENTS[name]
    who, before = unique("p"), items(shared)
    found = rejection(track_, call, wire_track(who, GOOD, bad, field(2, b"not a name")))
    assert (found.code, found.reason, found.metadata["index"]) == (INVALID, "INVALID_FIELDS", "1")
    paths = list(found.violations)
    assert paths[0].startswith("events[1]" + path) and paths[-1] == "events[2].name"
    after = items(shared)
    assert after["rejected"] - before["rejected"] == 3 and after["received"] - before["received"] == 3
    assert fails(stub.GetProfile, get(custom(who))).code == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("name", BAD_EVENTS)
def test_a_best_effort_batch_carries_out_the_good_writes(shared, stub, call, name):
    bad, path = BAD_EVENTS[name]
    a, b, before = unique("a"), unique("b"), items(shared)
    payload = wire_batch(
        wire_operation(wire_track(a, GOOD)[len(field(1, b"default")) :]),
        wire_operation(field(3, field(2, b.encode())) + field(4, GOOD) + field(4, bad)),
        wire_operation(field(3, field(2, b.encode())) + field(4, bad) + field(4, GOOD) + ALLOW_PARTIAL),
        wire_operation(field(3, field(2, a.encode())) + field(4, GOOD)),
        extra=BEST_EFFORT,
    )
    response = batch_(call, payload)
    assert [r.WhichOneof("result") for r in response.results] == ["track", "error", "track", "track"]
    found = failure(response.results[1].error)
    assert found.reason == "INVALID_FIELDS"
    assert list(found.violations)[0].startswith("operations[1].track.events[1]" + path)
    inner_results = response.results[2].track.results
    assert [result.status for result in inner_results] == [REJECTED, STORED]
    assert list(failure(inner_results[0].error).violations)[0].startswith("operations[2].track.events[0]" + path)
    assert count(stub, a) == {"good": 2} and count(stub, b) == {"good": 1}
    after = items(shared)
    assert after["stored"] - before["stored"] == 3 and after["rejected"] - before["rejected"] == 3


@pytest.mark.parametrize("name", BAD_EVENTS)
def test_an_atomic_batch_names_the_bad_write(stub, call, name):
    bad, path = BAD_EVENTS[name]
    who = unique("a")
    good = wire_operation(field(3, field(2, who.encode())) + field(4, GOOD))
    found = rejection(batch_, call, wire_batch(good, good, wire_operation(field(3, field(2, b"x")) + field(4, bad))))
    assert (found.code, found.reason, found.metadata["index"]) == (INVALID, "INVALID_FIELDS", "2")
    assert list(found.violations)[0].startswith("operations[2].track.events[0]" + path)
    assert fails(stub.GetProfile, get(custom(who))).code == grpc.StatusCode.NOT_FOUND


BAD_WRITES = {
    "16 events": wire_operation(field(3, field(2, b"x")) + field(4, GOOD) * 16),
    "a NUL in its identifier": wire_operation(field(3, field(2, b"x\0y")) + field(4, GOOD)),
    "both members of its identifier": wire_operation(field(3, field(2, b"x") + field(3, b"y")) + field(4, GOOD)),
    "two operations": field(3, field(1, field(4, b"x")) + field(2, field(3, field(2, b"x")) + field(4, GOOD))),
    "no operation": field(3, b""),
    "no protobuf": field(3, b"\xff\xff"),
    "101 names in a patch": field(
        3, field(1, field(4, b"x") + field(6, b"".join(field(1, field(1, b"k%d" % n)) for n in range(101))))
    ),
    "a NUL in a topic": field(3, field(3, field(3, field(2, b"x")) + field(4, b"\x08\1\x18\3" + field(2, b"t\0")))),
    "an object in a profile": field(
        3, field(1, field(4, b"x") + field(6, field(1, field(1, b"k") + field(2, nested(9)))))
    ),
}


@pytest.mark.parametrize("name", BAD_WRITES)
def test_a_best_effort_batch_survives_a_bad_write(shared, stub, call, name):
    who, before = unique("a"), items(shared)
    good = wire_operation(field(3, field(2, who.encode())) + field(4, GOOD))
    response = batch_(call, wire_batch(good, BAD_WRITES[name], good, extra=BEST_EFFORT))
    assert [r.WhichOneof("result") for r in response.results] == ["track", "error", "track"]
    found = failure(response.results[1].error)
    assert (found.code, found.reason) == (3, "INVALID_FIELDS")
    assert list(found.violations)[0].startswith("operations[1]")
    assert count(stub, who) == {"good": 2}
    after = items(shared)
    assert after["received"] == sum(after[result] for result in after if result != "received")
    found = rejection(batch_, call, wire_batch(good, BAD_WRITES[name], good))
    assert (found.code, found.metadata["index"]) == (INVALID, "1")


def test_depth_is_reported_in_the_senders_levels(call):
    for objects in range(3, 30):
        bad = field(2, b"a") + entry(b"k", nested(objects))
        found = rejection(track_, call, wire_track(unique("p"), bad))
        (text,) = found.violations.values()
        assert text == "objects on more than 3 levels, of which `attributes` is the first"


@pytest.mark.parametrize(
    "extra", [b"\x22\x7f", b"\x00\x01", b"\x0b", field(1, b"default"), field(2, b"r\0"), field(4, GOOD) * 16]
)
def test_a_broken_envelope_fails_the_call(call, extra):
    payload = wire_track(unique("p"), GOOD, extra=ALLOW_PARTIAL + extra)
    assert rejection(track_, call, payload).code in (INVALID, grpc.StatusCode.INTERNAL)


def test_a_best_effort_batch_with_a_malformed_and_a_late_event_is_replayed(stub):
    late = event(occurred_at=timestamp_pb2.Timestamp(seconds=1_600_000_000))
    request = batch(
        inner(track(custom(), event("bad name"), late)),
        inner(track(custom(), late)),
        inner(track(custom(), event("bad name"), late, allow_partial=True)),
        inner(track(custom())),
        best_effort=True,
        request_id=unique("r"),
    )
    first = stub.BatchWrite(request)
    for _ in range(3):
        again = stub.BatchWrite(request)
        assert again.replayed and again.lsn == first.lsn
        for one, other in zip(first.results, again.results):
            assert one.error == other.error
        assert [r.error for r in again.results[2].track.results] == [r.error for r in first.results[2].track.results]


def test_a_batch_within_every_limit_of_its_writes_is_accepted(stub):
    who = custom()
    events = [event(f"e{n}", attributes={f"a{m}": types_pb2.Value(integer=m) for m in range(20)}) for n in range(15)]
    request = batch(*[inner(track(who, *events)) for _ in range(200)])
    # 60,000 attributes.
    assert len(stub.BatchWrite(request).results) == 200
    names = {f"l{m}": [f"{n}" for n in range(25)] for m in range(50)}
    patches = [inner(identify(None, unique("p"), patch(**names))) for _ in range(200)]
    assert len(stub.BatchWrite(batch(*patches)).results) == 200


@pytest.mark.parametrize("method", ["Track", "BatchWrite", "GetProfile", "Identify"])
def test_a_message_over_4_MiB_is_told_which_limit_it_passes(shared, method):
    maximum = 4 << 20
    with shared.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(SERVICE + method)(b"\0" * (maximum + 1), timeout=20)
    found = Failure(caught.value)
    assert (found.code, found.reason) == (RESOURCE, "LIMIT_EXCEEDED")
    assert found.metadata == {"limit": "message_bytes_max", "maximum": str(maximum), "actual": str(maximum + 1)}


def test_a_stream_goes_on_behind_a_bad_request(shared):
    who = unique("p")
    bad = [
        wire_track("x\0", GOOD, extra=varint(11 << 3) + b"\2"),
        wire_track(who, GOOD, BAD_EVENTS["a NUL"][0], extra=varint(11 << 3) + b"\3"),
        b"\xff\xff",
        wire_track(who, *[GOOD] * 16, extra=varint(11 << 3) + b"\5"),
    ]
    requests = [wire_track(who, GOOD, extra=varint(11 << 3) + b"\1"), *bad, wire_track(who, GOOD)]
    with shared.channel() as channel:
        stream = channel.stream_stream(SERVICE + "TrackStream", None, profiles_pb2.TrackResponse.FromString)
        responses = list(stream(iter(requests), timeout=20))
    assert [r.sequence for r in responses] == [1, 2, 3, 0, 5, 0]
    assert [r.error.code for r in responses] == [0, 3, 3, 13, 3, 0]
    assert "cannot be decoded" in responses[3].error.message
    assert "events[1].name" in failure(responses[2].error).violations


def test_a_write_with_a_token_of_another_kind_is_invalid(stub):
    request = profiles_pb2.ConfirmSubscriptionRequest(project="default", token="x")
    found = fails(stub.ConfirmSubscription, request)
    assert (found.code, found.reason) == (INVALID, "TOKEN_INVALID")
