"""Writers that know which changes their writes make, watchers that resume as the contract says, and consumers of
triggers; for the test that kills the server under all of them."""

import random
import threading
import time

import grpc

from conftest import profiles_pb2 as rpc, types_pb2 as types, unique
from reference_feed import position

NAMES = ("step0", "step1", "step2")
SUBSCRIBED, UNSUBSCRIBED = types.SUBSCRIPTION_STATE_SUBSCRIBED, types.SUBSCRIPTION_STATE_UNSUBSCRIBED
# A profile retains 1,000 events, and only those are known as duplicates.
CALLS_MAX = 250
DAYS_AGO_SECONDS = 3 * 86_400
# How a call or a stream ends when its server is killed.
KILLED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)
CALLS = {
    "track": 8,
    "again": 2,
    "history": 1,
    "identify": 4,
    "consent": 2,
    "device": 1,
    "login": 1,
    "batch": 1,
    "failing": 1,
}


def label(response):
    """A change as (lsn, kind, custom ID, what it says)."""
    change = response.change
    kind = rpc.ChangeKind.Name(change.kind).removeprefix("CHANGE_KIND_")
    said = {
        "EVENT_STORED": lambda: (change.event.event_id, change.event.name),
        "ATTRIBUTES_CHANGED": lambda: change.attributes.set["n"].integer,
        "SUBSCRIPTION_CHANGED": lambda: tuple(entry.after for entry in change.consent_entries),
        "INSTALLATION_MOVED": lambda: change.installation_id,
        "PROFILE_CREATED": lambda: change.installation_id,
    }.get(kind, lambda: "")()
    return response.lsn, kind, change.custom_id, said


class Person:
    """What one person's acknowledged calls must have left."""

    def __init__(self):
        self.custom_id = unique("watched")
        self.calls, self.is_known = 0, False
        self.counts, self.n, self.state = {}, None, None
        self.device, self.device_events, self.merged = "", [], 0


class Writer:
    """Calls of all kinds of one person after the other; each has a request id and is sent until it is acknowledged."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.expected, self.historical = [], set()  # labels; lsns
        self.calls = self.unacknowledged = self.found = 0
        self.waiting = None  # the call whose response has not come
        self.failure = None
        self.people = [Person()]

    @property
    def person(self):
        return self.people[-1]

    def run(self, stub, stop):
        """Until the server is gone, or `stop` is set."""
        try:
            while not stop.is_set() and self.complete(stub):
                pass
        except Exception as error:
            self.failure = error
            raise

    def complete(self, stub):
        """Makes the call that waits, or the next one; returns whether its outcome is known."""
        is_again = self.waiting is not None
        self.waiting = self.waiting or self.next_call()
        method, request, note = self.waiting
        request.project, request.request_id = "default", request.request_id or unique("request")
        try:
            response = getattr(stub, method)(request, timeout=60)
        except grpc.RpcError as error:
            if error.code() in KILLED:
                self.unacknowledged += 1
                return False
            assert error.code() == grpc.StatusCode.NOT_FOUND, error
            response = None
        self.found += is_again and response is not None and response.replayed
        self.calls += 1
        self.waiting = None
        note(response)
        return True

    # MARK: Calls

    def next_call(self):
        """A call, as (method, request, what to do with its response)."""
        if self.person.calls >= CALLS_MAX:
            self.people.append(Person())
        person = self.person
        person.calls += 1
        kind = self.chance.choices(list(CALLS), list(CALLS.values()))[0]
        if not person.is_known or (kind == "login" and not person.device):
            kind = "track"
        return getattr(self, kind)(person)

    def said(self, lsn, kind, custom_id, said=""):
        self.expected.append((lsn, kind, custom_id, said))

    def events(self, person, count):
        names = [self.chance.choice(NAMES) for _ in range(count)]
        return [
            types.Event(name=name, event_id=f"{person.calls}-{index}", attributes={"a": types.Value(integer=index)})
            for index, name in enumerate(names)
        ]

    def stored(self, person, events, last, custom_id=None, installation_id="", is_new=False):
        first, custom_id = last - len(events) + 1, person.custom_id if custom_id is None else custom_id
        if is_new:
            self.said(first, "PROFILE_CREATED", custom_id, installation_id)
        for index, event in enumerate(events):
            self.said(first + index, "EVENT_STORED", custom_id, (event.event_id, event.name))
            person.counts[event.name] = person.counts.get(event.name, 0) + 1

    def track(self, person, **fields):
        events = self.events(person, self.chance.choice([1, 1, 2, 3]))
        identifier = types.Identifier(custom_id=person.custom_id)
        request = rpc.TrackRequest(identifier=identifier, events=events, **fields)

        def note(response):
            self.stored(person, events, response.lsn, is_new=not person.is_known)
            person.is_known = True
            if request.historical:
                self.historical |= {response.lsn - index for index in range(len(events))}

        return "Track", request, note

    def history(self, person):
        method, request, note = self.track(person, historical=True)
        for event in request.events:
            event.occurred_at.seconds = int(time.time()) - DAYS_AGO_SECONDS
        return method, request, note

    def again(self, person):
        """A call whose events are known: no change."""
        event = types.Event(name="step1", event_id="1-0")
        identifier = types.Identifier(custom_id=person.custom_id)
        return "Track", rpc.TrackRequest(identifier=identifier, events=[event]), lambda response: None

    def identify(self, person):
        value = (person.n or 0) + self.chance.choice([0, 1, 1])
        patch = types.AttributePatch(set={"n": types.Value(integer=value)})

        def note(response):
            # An equal value is no change.
            if value != person.n:
                self.said(response.lsn, "ATTRIBUTES_CHANGED", person.custom_id, value)
            person.n = value

        return "Identify", rpc.IdentifyRequest(custom_id=person.custom_id, attributes=patch), note

    def consent(self, person):
        state = self.chance.choice([SUBSCRIBED, UNSUBSCRIBED])
        request = rpc.UpdateSubscriptionRequest(
            identifier=types.Identifier(custom_id=person.custom_id), source=types.CONSENT_SOURCE_USER
        )
        request.changes.add(channel=types.CHANNEL_EMAIL, state=state)

        def note(response):
            # A later time of the same state changes what a reader sees too.
            self.said(response.lsn, "SUBSCRIPTION_CHANGED", person.custom_id, (state,))
            person.state = state

        return "UpdateSubscription", request, note

    def device(self, person):
        """An anonymous profile, which a login merges into the person's."""
        device, events = unique("device"), self.events(person, 1)
        identifier = types.Identifier(installation_id=device)

        def note(response):
            self.stored(person, events, response.lsn, custom_id="", installation_id=device, is_new=True)
            # The next login merges the newest one; events of others stay with their anonymous profile.
            self.forget(person)
            person.device, person.device_events = device, events

        return "Track", rpc.TrackRequest(identifier=identifier, events=events), note

    @staticmethod
    def forget(person):
        """The events of a device that was not merged are not the person's."""
        for event in person.device_events:
            person.counts[event.name] -= 1
        person.device, person.device_events = "", []

    def login(self, person):
        device = person.device

        def note(response):
            self.said(response.lsn, "PROFILES_MERGED", person.custom_id)
            self.said(response.lsn, "INSTALLATION_MOVED", person.custom_id, device)
            person.merged += 1
            person.device, person.device_events = "", []

        return "Identify", rpc.IdentifyRequest(custom_id=person.custom_id, installation_id=device), note

    def batch(self, person):
        """An atomic batch of two Tracks."""
        identifier = types.Identifier(custom_id=person.custom_id)
        parts = [self.events(person, 1), self.events(person, 2)]
        parts[1][0].event_id, parts[1][1].event_id = f"{person.calls}-8", f"{person.calls}-9"
        request = rpc.BatchWriteRequest()
        for events in parts:
            request.operations.add().track.CopyFrom(rpc.TrackRequest(identifier=identifier, events=events))

        def note(response):
            for events, result in zip(parts, response.results):
                self.stored(person, events, result.track.lsn)

        return "BatchWrite", request, note

    def failing(self, person):
        """A batch that is rolled back as a whole: nothing of it may be seen."""
        method, request, _ = self.batch(person)
        nobody = types.Identifier(custom_id=unique("nobody"))
        request.operations.add().track.CopyFrom(
            rpc.TrackRequest(identifier=nobody, must_exist=True, events=self.events(person, 1))
        )

        def note(response):
            assert response is None, "a batch with a failing operation was acknowledged OK"

        return method, request, note


class Watcher:
    """A Watch that is opened again wherever it ended."""

    def __init__(self, **filters):
        self.filters = filters
        self.changes = []
        # The lsn of the last message, and whether that was a change.
        self.lsn, self.was_change = 0, False
        self.sessions = self.repeated = self.heartbeats = 0
        self.failure = None

    def run(self, stub, stop):
        try:
            self.watch(stub, stop)
        except grpc.RpcError as error:
            if error.code() not in KILLED:
                self.failure = self.failure or error
        except AssertionError as error:
            self.failure = self.failure or error

    def watch(self, stub, stop):
        start = self.lsn if self.was_change else self.lsn + 1
        call = stub.Watch(rpc.WatchRequest(project="default", from_lsn=start, **self.filters))
        # What may come again: the changes of the last lsn.
        again = [change for change in self.changes[-200:] if change.lsn == start] if self.was_change else []
        threading.Thread(target=lambda: (stop.wait(), call.cancel()), daemon=True).start()
        last = (start, -1)
        for response in call:
            if not response.HasField("change"):
                assert response.lsn >= last[0] - 1, f"heartbeat {response.lsn} behind {last}"
                self.heartbeats += 1
                if response.lsn >= start:
                    self.lsn, self.was_change = response.lsn, False
                continue
            at = position(response)
            assert at >= last, f"{at} after {last}"
            assert self.was_change or response.lsn > self.lsn, f"change {response.lsn} after heartbeat {self.lsn}"
            last = at
            self.lsn, self.was_change = response.lsn, True
            if again and response.lsn == start and response in again:
                again.remove(response)
                self.repeated += 1
            else:
                self.changes.append(response)
        self.sessions += 1


class Consumer:
    """A consumer of a trigger: acknowledges what it has, some time later, and sometimes breaks off before."""

    def __init__(self, trigger_id, breaks=False):
        self.trigger_id, self.breaks = trigger_id, breaks
        self.chance = random.Random(trigger_id)
        self.deliveries, self.attempts, self.broken = {}, 0, 0
        self.failure = None

    def run(self, stub, stop):
        while not stop.is_set():
            try:
                self.consume(stub, stop)
            except grpc.RpcError as error:
                if error.code() not in KILLED:
                    self.failure = self.failure or error
                    return

    def consume(self, stub, stop):
        """One stream."""
        ended, held, lock = threading.Event(), [], threading.Lock()
        deadline = time.monotonic() + self.chance.uniform(0.05, 0.4) if self.breaks else float("inf")

        def requests():
            yield rpc.WatchTriggersRequest(project="default", trigger_id=self.trigger_id, in_flight_max=50)
            while not ended.wait(0.02):
                with lock:
                    ids = [firing_id for firing_id in held if self.chance.random() < 0.7]
                    held[:] = [firing_id for firing_id in held if firing_id not in ids]
                if ids:
                    yield rpc.WatchTriggersRequest(acknowledged_firing_ids=ids)

        call = stub.WatchTriggers(requests())

        def end():
            while not stop.wait(0.02) and time.monotonic() < deadline and not ended.is_set():
                pass
            ended.set()
            call.cancel()

        threading.Thread(target=end, daemon=True).start()
        try:
            for response in call:
                if response.heartbeat:
                    continue
                self.attempts += 1
                self.deliveries.setdefault(response.firing_id, []).append(response)
                with lock:
                    held.append(response.firing_id)
        finally:
            ended.set()
            self.broken += time.monotonic() >= deadline
