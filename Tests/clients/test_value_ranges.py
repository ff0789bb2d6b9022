"""Values of kind time from the year 1 on, lists of nothing, and the horizon of request ids."""

import urllib.request

import pytest

from conftest import Failure, profiles_pb2 as rpc, profiles_pb2_grpc, types_pb2 as types

import grpc

FIRST, BORN, LAST = -62_135_596_800, -1_000_000_001, 253_402_300_799


@pytest.fixture
def stub(shared):
    with shared.channel() as channel:
        yield profiles_pb2_grpc.ProfilesStub(channel)


def time(seconds, nanos=0):
    value = types.Value()
    value.time.seconds, value.time.nanos = seconds, nanos
    return value


def identify(custom_id, **patch):
    return rpc.IdentifyRequest(project="default", custom_id=custom_id, attributes=types.AttributePatch(**patch))


@pytest.mark.parametrize("seconds", [FIRST, BORN, -1, 0, LAST])
def test_times_of_the_years_1_to_9999_are_read_as_they_were_written(stub, seconds):
    value = time(seconds, 999_999_000)
    shown = stub.Identify(identify(f"born-{seconds}", set={"birthday": value})).profile
    assert shown.attributes["birthday"] == value
    who = types.Identifier(custom_id=f"born-{seconds}")
    # Fields of an event are read by another reader when they are plain, and by this one inside of an object.
    event = types.Event(name="visit", attributes={"at": value})
    event.attributes["inner"].object.fields["at"].CopyFrom(value)
    for attributes in ({"at": value}, dict(event.attributes)):
        events = [types.Event(name="visit", attributes=attributes)]
        stub.Track(rpc.TrackRequest(project="default", identifier=who, events=events))
    events = stub.ListEvents(rpc.ListEventsRequest(project="default", identifier=who)).events
    assert [event.attributes["at"] for event in events] == [value, value]


@pytest.mark.parametrize("seconds, nanos", [(FIRST - 1, 999_999_999), (LAST + 1, 0), (-1, -1), (-1, 1_000_000_000)])
def test_other_times_are_rejected(stub, seconds, nanos):
    with pytest.raises(grpc.RpcError) as raised:
        stub.Identify(identify("nobody", set={"birthday": time(seconds, nanos)}))
    assert Failure(raised.value).violations == {"attributes.set.birthday": "not a time between the years 1 and 9999"}


@pytest.mark.parametrize("action", ["add", "remove"])
def test_list_of_nothing_is_rejected(stub, action):
    with pytest.raises(grpc.RpcError) as raised:
        stub.Identify(identify("nobody", **{action: {"colours": types.StringList()}}))
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert list(Failure(raised.value).violations.values()) == ["an empty list"]


def test_horizon_of_request_ids_is_a_metric(shared):
    with urllib.request.urlopen(f"http://{shared.admin}/metrics", timeout=20) as response:
        lines = response.read().decode().splitlines()
    values = [line.split()[1] for line in lines if line.startswith("profiles_request_id_horizon_seconds ")]
    assert [float(value) for value in values] == [86_400]
