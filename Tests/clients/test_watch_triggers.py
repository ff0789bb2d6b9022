"""WatchTriggers through a real client: shared by consumers, acknowledged through the log, and kept through kills."""

import queue
import signal
import threading

import grpc
import pytest

from conftest import Server, fails, profiles_pb2, profiles_pb2_grpc, types_pb2, unique, wait_until
from profiles.v1 import admin_pb2, admin_pb2_grpc


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("watch-triggers") / "data").start()
    yield server
    assert server.stop() == 0


@pytest.fixture
def stub(server):
    with server.channel() as channel:
        yield profiles_pb2_grpc.ProfilesStub(channel)


class Consumer:
    """A WatchTriggers call; with `acknowledges` it acknowledges each delivery as it comes."""

    def __init__(self, stub, trigger_id, in_flight=0, acknowledges=False, project="default"):
        self.requests, self.deliveries, self.heartbeats, self.end = queue.Queue(), [], [], None
        # Acknowledged before the half-close.
        self.acknowledges, self.acknowledged, self.lock = acknowledges, set(), threading.Lock()
        self.send(project=project, trigger_id=trigger_id, in_flight_max=in_flight)
        self.call = stub.WatchTriggers(iter(self.requests.get, None))
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            for response in self.call:
                if response.heartbeat:
                    self.heartbeats.append(response)
                    continue
                self.deliveries.append(response)
                with self.lock:
                    if self.acknowledges:
                        self.acknowledge(response.firing_id)
        except grpc.RpcError as error:
            self.end = error

    def send(self, **fields):
        self.requests.put(profiles_pb2.WatchTriggersRequest(**fields))

    def acknowledge(self, *firings):
        self.acknowledged.update(firings)
        self.send(acknowledged_firing_ids=firings)

    def wait(self, count):
        assert wait_until(lambda: len(self.deliveries) >= count, 20), (len(self.deliveries), self.end)
        return self.deliveries

    @property
    def firings(self):
        return [delivery.firing_id for delivery in self.deliveries]

    def finish(self):
        """Half-closes, and waits for OK: what was acknowledged is durable."""
        with self.lock:
            self.acknowledges = False
            self.requests.put(None)
        self.thread.join(20)
        assert not self.thread.is_alive() and self.end is None, self.end

    def cancel(self):
        self.call.cancel()
        self.requests.put(None)
        self.thread.join(20)


def event_name():
    return unique("event").replace("-", "_")[:30].rstrip("_")


def create(stub, name, project="default", **fields):
    trigger = profiles_pb2.Trigger(event_name=name, **fields)
    return stub.CreateTrigger(profiles_pb2.CreateTriggerRequest(project=project, trigger=trigger), timeout=20).trigger


def track(stub, name, *event_ids, who=None, timeout=20, project="default"):
    return stub.Track(
        profiles_pb2.TrackRequest(
            project=project,
            identifier=types_pb2.Identifier(custom_id=who or unique("person")),
            events=[types_pb2.Event(name=name, event_id=event_id) for event_id in event_ids],
        ),
        timeout=timeout,
    )


def pending(stub, trigger, project="default"):
    triggers = stub.ListTriggers(profiles_pb2.ListTriggersRequest(project=project), timeout=20).triggers
    return next(found.pending for found in triggers if found.trigger_id == trigger.trigger_id)


def test_delivery_has_the_event_and_its_profile(stub):
    name, who = event_name(), unique("anna")
    trigger = create(stub, name)
    consumer = Consumer(stub, trigger.trigger_id)
    assert wait_until(lambda: consumer.heartbeats)
    assert consumer.heartbeats[0].trigger_id == trigger.trigger_id and consumer.heartbeats[0].lost == 0
    response = track(stub, name, "e1", who=who)
    [delivery] = consumer.wait(1)
    assert (delivery.lsn, delivery.trigger_id, delivery.custom_id) == (response.lsn, trigger.trigger_id, who)
    assert delivery.event.event_id == "e1" and delivery.event.name == name and delivery.event.lsn == response.lsn
    assert (delivery.profile_id, delivery.delivery_attempt, delivery.lost) == (response.profile_id, 1, 0)
    assert len(delivery.firing_id) == 26 and not delivery.heartbeat
    consumer.acknowledge(delivery.firing_id)
    consumer.finish()
    assert pending(stub, trigger) == 0


def test_unknown_trigger_is_not_found_and_so_is_one_that_is_deleted(stub):
    unknown = profiles_pb2.WatchTriggersRequest(project="default", trigger_id="01ARZ3NDEKTSV4RRFFQ69G5FAV")
    failure = fails(lambda request, **options: list(stub.WatchTriggers(iter([request]), **options)), unknown)
    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "TRIGGER_NOT_FOUND")
    trigger = create(stub, event_name())
    consumer = Consumer(stub, trigger.trigger_id)
    assert wait_until(lambda: consumer.heartbeats)
    stub.DeleteTrigger(profiles_pb2.DeleteTriggerRequest(project="default", trigger_id=trigger.trigger_id), timeout=20)
    assert wait_until(lambda: consumer.end)
    assert consumer.end.code() == grpc.StatusCode.NOT_FOUND


def test_firings_are_shared_and_return_when_a_consumer_goes(stub):
    name = event_name()
    trigger = create(stub, name)
    first, second = (Consumer(stub, trigger.trigger_id) for _ in range(2))
    assert wait_until(lambda: first.heartbeats and second.heartbeats)
    for number in range(20):
        track(stub, name, f"e{number}")
    assert wait_until(lambda: len(first.deliveries) + len(second.deliveries) == 20)
    assert first.deliveries and second.deliveries
    held = first.firings
    first.cancel()
    second.wait(20)
    again = [delivery for delivery in second.deliveries if delivery.firing_id in held]
    assert len(again) == len(held) and {delivery.delivery_attempt for delivery in again} == {2}
    second.acknowledge(*second.firings)
    second.finish()
    assert pending(stub, trigger) == 0


def test_at_most_so_many_are_in_flight(stub):
    name = event_name()
    trigger = create(stub, name)
    consumer = Consumer(stub, trigger.trigger_id, in_flight=3)
    track(stub, name, *[f"e{number}" for number in range(10)])
    consumer.wait(3)
    assert not wait_until(lambda: len(consumer.deliveries) > 3, 0.5)
    consumer.acknowledge(*consumer.firings[:2])
    consumer.wait(5)
    assert not wait_until(lambda: len(consumer.deliveries) > 5, 0.5)
    consumer.acknowledges = True
    consumer.acknowledge(*consumer.firings)
    consumer.wait(10)
    consumer.finish()
    assert [delivery.event.event_id for delivery in consumer.deliveries] == [f"e{number}" for number in range(10)]


def test_what_another_project_was_sent_cannot_be_acknowledged(server, stub):
    with server.channel() as channel:
        admin = admin_pb2_grpc.AdminStub(channel)
        admin.CreateProject(admin_pb2.CreateProjectRequest(project="elsewhere"), timeout=20)
    mine, name = create(stub, event_name()), event_name()
    theirs = create(stub, name, project="elsewhere")
    track(stub, name, "e1", project="elsewhere")
    owner = Consumer(stub, theirs.trigger_id, project="elsewhere")
    owner.wait(1)
    other = Consumer(stub, mine.trigger_id)
    other.acknowledge(*owner.firings)
    other.finish()
    assert pending(stub, theirs, project="elsewhere") == 1
    # By its id it is as unknown here as one that never was.
    failures = []
    for trigger_id in (theirs.trigger_id, theirs.trigger_id[:-1] + ("0" if theirs.trigger_id[-1] != "0" else "1")):
        request = profiles_pb2.WatchTriggersRequest(project="default", trigger_id=trigger_id)
        failures.append(fails(lambda request, **options: list(stub.WatchTriggers(iter([request]), **options)), request))
    assert failures[0].reason == "TRIGGER_NOT_FOUND" and vars(failures[0]) == vars(failures[1])
    owner.cancel()


def test_metrics_tell_of_deliveries(server, stub):
    name = event_name()
    trigger = create(stub, name)
    before = server.metric("profiles_trigger_deliveries_total")
    consumer = Consumer(stub, trigger.trigger_id)
    track(stub, name, "e1", "e2")
    consumer.wait(2)
    assert server.metric("profiles_trigger_deliveries_total") == before + 2
    assert server.metric("profiles_trigger_streams") >= 1
    released = server.metric('profiles_trigger_redeliveries_total{reason="stream_end"}')
    consumer.cancel()
    assert wait_until(
        lambda: server.metric('profiles_trigger_redeliveries_total{reason="stream_end"}') == released + 2
    )
    assert server.metric('profiles_trigger_redeliveries_total{reason="deadline"}') is not None


def test_drain_ends_a_stream_after_a_heartbeat(tmp_path):
    server = Server(tmp_path / "data").start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        consumer = Consumer(stub, create(stub, event_name()).trigger_id)
        assert wait_until(lambda: consumer.heartbeats)
        assert server.stop() == 0
        assert wait_until(lambda: consumer.end)
        assert consumer.end.code() == grpc.StatusCode.UNAVAILABLE and len(consumer.heartbeats) >= 2


class Shop:
    """Tracks events until it is stopped, through restarts, and knows which ones were stored."""

    def __init__(self, server, name):
        self.server, self.name, self.stored, self.stopped = server, name, set(), threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(number,), daemon=True) for number in range(2)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        count = 0
        while not self.stopped.is_set():
            event_id, count = f"{number}-{count}", count + 1
            # Repeated until it is stored: the server may be killed at any moment.
            while True:
                try:
                    with grpc.insecure_channel(self.server.listen) as channel:
                        stub = profiles_pb2_grpc.ProfilesStub(channel)
                        track(stub, self.name, event_id, who=f"person-{event_id}", timeout=5)
                    break
                except grpc.RpcError:
                    if self.stopped.wait(0.02):
                        return
            self.stored.add(event_id)

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(20)


def test_kills_lose_no_firing_and_repeat_none_that_is_settled(tmp_path):
    server = Server(tmp_path / "data").start()
    server.address = server.listen
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        name = event_name()
        trigger = create(stub, name)
    shop = Shop(server, name)
    seen, settled = {}, set()
    for life in range(4):
        with server.channel() as channel:
            stub = profiles_pb2_grpc.ProfilesStub(channel)
            consumers = [Consumer(stub, trigger.trigger_id, in_flight=10, acknowledges=True) for _ in range(2)]
            assert wait_until(lambda: sum(len(consumer.deliveries) for consumer in consumers) > 60)
            # What a stream that ends with OK acknowledged is durable.
            consumers[0].finish()
            durable = consumers[0].acknowledged
            if life == 3:
                shop.stop()
                assert wait_until(lambda: pending(stub, trigger) == 0), pending(stub, trigger)
                consumers[1].finish()
            else:
                assert server.stop(signal.SIGKILL) == -signal.SIGKILL
                consumers[1].cancel()
        for consumer in consumers:
            for delivery in consumer.deliveries:
                assert delivery.firing_id not in settled, "it was settled before the kill"
                known = seen.setdefault(delivery.event.event_id, delivery.firing_id)
                assert known == delivery.firing_id, "another id for the same firing"
        settled |= durable
        if life < 3:
            server.start()
    assert shop.stored <= set(seen), "a firing was lost"
    assert server.stop() == 0
