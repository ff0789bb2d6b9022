"""Triggers through a real client: made, listed, replayed, deleted, and kept through kill and restart."""

import signal
import time

import grpc
import pytest

from conftest import Server, fails, profiles_pb2, profiles_pb2_grpc, types_pb2, unique


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("triggers") / "data").start()
    yield server
    assert server.stop() == 0


@pytest.fixture
def stub(server):
    with server.channel() as channel:
        yield profiles_pb2_grpc.ProfilesStub(channel)


def event(name):
    """A name of an event that no other test has."""
    return unique(name).replace("-", "_")


def create(stub, name, request_id="", **fields):
    trigger = profiles_pb2.Trigger(event_name=name, **fields)
    request = profiles_pb2.CreateTriggerRequest(project="default", request_id=request_id, trigger=trigger)
    return stub.CreateTrigger(request, timeout=20)


def listed(stub):
    request = profiles_pb2.ListTriggersRequest(project="default")
    return {trigger.trigger_id: trigger for trigger in stub.ListTriggers(request, timeout=20).triggers}


def delete(stub, trigger_id, request_id=""):
    return stub.DeleteTrigger(
        profiles_pb2.DeleteTriggerRequest(project="default", request_id=request_id, trigger_id=trigger_id), timeout=20
    )


def track(stub, who, *names, **attributes):
    values = {name: types_pb2.Value(integer=value) for name, value in attributes.items()}
    request = profiles_pb2.TrackRequest(
        project="default",
        identifier=types_pb2.Identifier(custom_id=who),
        events=[types_pb2.Event(name=name, attributes=values) for name in names],
    )
    return stub.Track(request, timeout=20)


def test_a_trigger_is_listed_as_it_was_made(stub):
    name = event("Cart")
    made = create(
        stub,
        name,
        guard_channel=1,
        guard_topic="News",
        cap=3,
        cap_period_seconds=86_400,
        filter="event.amount > 50",
        display_name="Cart",
        delay_seconds=3_600,
        unless_event_name="Purchase",
    )
    trigger = made.trigger
    assert made.lsn > 0 and not made.replayed
    assert trigger.event_name == name.lower() and trigger.unless_event_name == "purchase"
    assert trigger.guard_topic == "news" and trigger.ack_deadline_seconds == 60
    assert abs(trigger.created_at.seconds - time.time()) < 60
    assert listed(stub)[trigger.trigger_id] == trigger
    delete(stub, trigger.trigger_id)
    assert trigger.trigger_id not in listed(stub)


def test_equal_definition_under_the_same_request_id_is_replayed(stub):
    name, request_id = event("event"), unique("request")
    made = create(stub, name, request_id)
    again = create(stub, name, request_id)
    assert again.replayed and (again.trigger, again.lsn) == (made.trigger, made.lsn)
    with pytest.raises(grpc.RpcError) as caught:
        create(stub, event("other"), request_id)
    assert caught.value.code() == grpc.StatusCode.ALREADY_EXISTS
    gone = delete(stub, made.trigger.trigger_id, request_id)
    assert not gone.replayed
    again = delete(stub, made.trigger.trigger_id, request_id)
    assert again.replayed and again.lsn == gone.lsn


def test_pending_firings_are_counted(stub):
    name = event("event")
    plain, large = create(stub, name).trigger, create(stub, name, filter="event.amount > 50").trigger
    later = create(stub, name, delay_seconds=3_600).trigger
    track(stub, unique("anna"), name, name, "other", amount=10)
    track(stub, unique("ben"), name, amount=60)
    found = listed(stub)
    assert [found[trigger.trigger_id].pending for trigger in (plain, large, later)] == [3, 1, 0]
    for trigger in (plain, large, later):
        delete(stub, trigger.trigger_id)


def test_delay_ends_by_itself_and_the_awaited_event_cancels(stub):
    name, purchase = event("cart"), event("purchase")
    trigger = create(stub, name, delay_seconds=1, unless_event_name=purchase).trigger
    track(stub, unique("anna"), name)
    track(stub, unique("ben"), name, purchase)
    started = time.monotonic()
    while not listed(stub)[trigger.trigger_id].pending:
        # A second, and at most one more; the rest is for a busy machine.
        assert time.monotonic() - started < 15
        time.sleep(0.05)
    assert time.monotonic() - started > 0.5
    time.sleep(0.5)
    assert listed(stub)[trigger.trigger_id].pending == 1
    delete(stub, trigger.trigger_id)


def test_wrong_definitions_are_rejected_with_their_fields(stub):
    def rejected(**fields):
        request = profiles_pb2.CreateTriggerRequest(project="default", trigger=profiles_pb2.Trigger(**fields))
        return fails(stub.CreateTrigger, request)

    assert rejected().violations.keys() == {"trigger.event_name"}
    assert sorted(rejected(event_name="a b", cap=1, ack_deadline_seconds=5).violations) == [
        "trigger.ack_deadline_seconds",
        "trigger.cap_period_seconds",
        "trigger.event_name",
    ]
    failure = rejected(event_name="cart", filter="event.amount >")
    assert failure.reason == "FILTER_INVALID" and failure.code == grpc.StatusCode.INVALID_ARGUMENT
    failure = fails(stub.DeleteTrigger, profiles_pb2.DeleteTriggerRequest(project="default", trigger_id="one"))
    assert failure.reason == "TRIGGER_NOT_FOUND" and failure.code == grpc.StatusCode.NOT_FOUND


def test_the_hundred_and_first_trigger_is_rejected(stub):
    made = []
    while len(listed(stub)) < 100:
        made.append(create(stub, "visit").trigger.trigger_id)
    trigger = profiles_pb2.Trigger(event_name="visit")
    failure = fails(stub.CreateTrigger, profiles_pb2.CreateTriggerRequest(project="default", trigger=trigger))
    assert failure.reason == "LIMIT_EXCEEDED"
    assert failure.metadata == {"limit": "triggers_per_project_max", "maximum": "100"}
    for trigger_id in made:
        delete(stub, trigger_id)


def test_triggers_and_firings_survive_kill_and_restart(tmp_path):
    server = Server(tmp_path / "data").start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        trigger = create(stub, "visit", cap=2, cap_period_seconds=3_600).trigger
        later = create(stub, "visit", delay_seconds=1).trigger
        for _ in range(5):
            track(stub, "anna", "visit")
        track(stub, "ben", "visit")
    server.stop(signal.SIGKILL)
    server.start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        assert listed(stub)[trigger.trigger_id].pending == 3
        deadline = time.monotonic() + 15
        while listed(stub)[later.trigger_id].pending < 6 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert listed(stub)[later.trigger_id].pending == 6
        track(stub, "anna", "visit")
        assert listed(stub)[trigger.trigger_id].pending == 3
        assert server.metric("profiles_triggers") == 2
        assert server.metric("profiles_trigger_firings_pending") == 9
    assert server.stop() == 0
