"""kill -9 under load with watchers and triggers: the feed is exactly what was acknowledged, each event fires once.

Writers know the changes of each of their calls; a call whose response was lost with the server is sent again under its
request id. Three watchers resume as the contract says: at the lsn of the last change, or behind that of the last
heartbeat. Two triggers have consumers that acknowledge what they have, one of which also breaks off by itself.
PROFILES_WATCH_KILL_ROUNDS is the number of kills.
"""

import collections
import os
import random
import signal
import threading
import time

import pytest

from conftest import event, get, profiles_pb2 as rpc, profiles_pb2_grpc, types_pb2 as types, track, wait_until
from watch_journal import Consumer, Person, Watcher, Writer, label

ROUNDS = int(os.environ.get("PROFILES_WATCH_KILL_ROUNDS", "5"))
WRITERS = 6
MARKER = "step1"
TRIGGERS = {
    "step1": {},
    "step2": dict(filter="event.a = 0 AND NOT events.step2.count > 1000", delay_seconds=1, unless_event_name="never"),
}


class Everybody:
    """The writers, watchers and consumers, on threads of their own as long as a server lives."""

    def __init__(self, seed, triggers):
        self.writers = [Writer(f"{seed}-{index}") for index in range(WRITERS)]
        self.marker = Person()
        followed = [self.writers[0].person.custom_id, self.writers[1].person.custom_id, self.marker.custom_id]
        self.everything = Watcher(include_historical=True)
        self.filtered = Watcher(
            kinds=[rpc.CHANGE_KIND_EVENT_STORED, rpc.CHANGE_KIND_ATTRIBUTES_CHANGED],
            event_names=[MARKER.upper()],
            attributes=["n"],
        )
        self.followed = followed
        self.following = Watcher(
            include_historical=True, identifiers=[types.Identifier(custom_id=name) for name in followed]
        )
        self.watchers = [self.everything, self.filtered, self.following]
        self.consumers = [Consumer(trigger, breaks=name == "step1") for name, trigger in triggers.items()]

    def start(self, stub, with_writers=True):
        self.stop = threading.Event()
        runs = self.watchers + self.consumers + (self.writers if with_writers else [])
        self.threads = [threading.Thread(target=run.run, args=(stub, self.stop)) for run in runs]
        for thread in self.threads:
            thread.start()

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()
        for part in self.watchers + self.consumers + self.writers:
            assert part.failure is None, part.failure

    @property
    def expected(self):
        return sorted(change for writer in self.writers for change in writer.expected)

    @property
    def historical(self):
        return {lsn for writer in self.writers for lsn in writer.historical}


def create_triggers(stub):
    return {
        name: stub.CreateTrigger(
            rpc.CreateTriggerRequest(project="default", trigger=rpc.Trigger(event_name=name, **fields)), timeout=60
        ).trigger.trigger_id
        for name, fields in TRIGGERS.items()
    }


def has_marker(watcher):
    return bool(watcher.changes) and watcher.changes[-1].change.event.event_id == "marker"


def pending(stub):
    listed = stub.ListTriggers(rpc.ListTriggersRequest(project="default"), timeout=60).triggers
    assert all(trigger.lost == 0 for trigger in listed)
    return {trigger.trigger_id: trigger.pending for trigger in listed}


def complete_all(stub, everybody):
    """Repeats the calls whose responses were lost, so that all are acknowledged."""
    for writer in everybody.writers:
        if writer.waiting:
            writer.complete(stub)


@pytest.mark.parametrize(
    "flags", [(), ("--snapshot-seconds", "1", "--segment-bytes", "1MiB")], ids=["log", "snapshots"]
)
def test_kill_under_load_leaves_no_gap_in_the_feed_and_no_event_unfired(server, capsys, flags):
    server.flags = flags
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    server.start()
    triggers = create_triggers(profiles_pb2_grpc.ProfilesStub(server.channel()))
    everybody = Everybody(seed, triggers)
    for _ in range(ROUNDS):
        channel = server.channel()
        everybody.start(profiles_pb2_grpc.ProfilesStub(channel))
        time.sleep(chance.uniform(0.1, 0.6))
        server.stop(signal.SIGKILL)
        everybody.end()
        channel.close()
        server.start()
    stub = profiles_pb2_grpc.ProfilesStub(server.channel())
    complete_all(stub, everybody)
    person = types.Identifier(custom_id=everybody.marker.custom_id)
    lsn = stub.Track(track(person, event(MARKER, event_id="marker")), timeout=60).lsn
    everybody.writers[0].said(lsn, "PROFILE_CREATED", person.custom_id)
    everybody.writers[0].said(lsn, "EVENT_STORED", person.custom_id, ("marker", MARKER))
    everybody.start(stub, with_writers=False)
    reached = wait_until(lambda: all(has_marker(watcher) for watcher in everybody.watchers), 60)
    assert reached, [watcher.lsn for watcher in everybody.watchers]
    expected = expected_firings(everybody)
    settled = wait_until(lambda: has_all(everybody, expected) and not any(pending(stub).values()), 60)
    # What is acknowledged must not come again.
    attempts = [consumer.attempts for consumer in everybody.consumers]
    time.sleep(1)
    everybody.end()
    check_feed(everybody)
    check_state(stub, everybody)
    check_firings(everybody, triggers, expected)
    assert settled, pending(stub)
    assert attempts == [consumer.attempts for consumer in everybody.consumers]
    with capsys.disabled():
        print(summary(seed, everybody))
    assert server.stop() == 0


def compare(found, expected, what):
    if found == expected:
        return
    missing = collections.Counter(expected) - collections.Counter(found)
    more = collections.Counter(found) - collections.Counter(expected)
    raise AssertionError(f"{what}: {sorted(missing)[:10]} are missing, {sorted(more)[:10]} are too many")


def in_order(watcher):
    """The labels of what a watcher has; those of one lsn, whose order it has checked, are sorted."""
    labels = [label(change) for change in watcher.changes]
    lsns = [lsn for lsn, *_ in labels]
    assert lsns == sorted(lsns)
    return sorted(labels)


def check_feed(everybody):
    expected, historical = everybody.expected, everybody.historical
    compare(in_order(everybody.everything), expected, "everything")
    names = {"EVENT_STORED": lambda said: said[1] == MARKER, "ATTRIBUTES_CHANGED": lambda said: True}
    filtered = [
        change
        for change in expected
        if change[0] not in historical and names.get(change[1], lambda said: False)(change[3])
    ]
    compare(in_order(everybody.filtered), filtered, "with filters")
    following = [change for change in expected if change[2] in everybody.followed]
    compare(in_order(everybody.following), following, "following identifiers")


def check_state(stub, everybody):
    """What GetProfile shows is the fold of the feed, and what the responses said."""
    folded = {}
    custom_of = {}
    for response in everybody.everything.changes:
        change = response.change
        profile = folded.setdefault(change.profile_id, {"events": collections.Counter(), "n": None, "state": None})
        custom_of[change.custom_id] = change.profile_id
        if change.kind == rpc.CHANGE_KIND_EVENT_STORED:
            profile["events"][change.event.name] += 1
        elif change.kind == rpc.CHANGE_KIND_ATTRIBUTES_CHANGED:
            profile["n"] = change.attributes.set["n"].integer
        elif change.kind == rpc.CHANGE_KIND_SUBSCRIPTION_CHANGED:
            profile["state"] = change.consent_entries[-1].after
        elif change.kind == rpc.CHANGE_KIND_PROFILES_MERGED:
            profile["events"] += folded[change.other_profile_id]["events"]
        profile["revision"] = change.revision
    for writer in everybody.writers:
        for person in writer.people:
            if not person.is_known:
                continue
            writer.forget(person)
            shown = stub.GetProfile(get(types.Identifier(custom_id=person.custom_id)), timeout=60).profile
            found = {
                "events": collections.Counter({item.name: item.count for item in shown.event_counters}),
                "n": shown.attributes["n"].integer if "n" in shown.attributes else None,
                "state": shown.subscriptions.items[0].state if shown.subscriptions.items else None,
                "revision": shown.revision,
            }
            assert found == folded[custom_of[person.custom_id]], person.custom_id
            assert found["events"] == +collections.Counter(person.counts)
            assert (found["n"], found["state"]) == (person.n, person.state)
            assert len(shown.aliases) == person.merged


def expected_firings(everybody):
    """The events that fire, by trigger and lsn."""
    fires = {"step1": lambda value: True, "step2": lambda value: value == 0}
    firings = {name: {} for name in TRIGGERS}
    for response in everybody.everything.changes:
        stored = response.change.event
        if stored.name not in fires or stored.historical:
            continue
        # Reading a field of a map that is not there would add it.
        if fires[stored.name](stored.attributes["a"].integer if "a" in stored.attributes else None):
            firings[stored.name][response.lsn] = stored
    return firings


def has_all(everybody, expected):
    return all(
        len(consumer.deliveries) >= len(firings) for consumer, firings in zip(everybody.consumers, expected.values())
    )


def check_firings(everybody, triggers, expected):
    for name, consumer in zip(triggers, everybody.consumers):
        found = []
        for deliveries in consumer.deliveries.values():
            first = deliveries[0]
            found.append(first.lsn)
            assert all((other.lsn, other.event) == (first.lsn, first.event) for other in deliveries)
            assert all(other.trigger_id == triggers[name] and other.delivery_attempt >= 1 for other in deliveries)
            assert first.event == expected[name].get(first.lsn)
        compare(sorted(found), sorted(expected[name]), f"firings of {name}")


def summary(seed, everybody):
    writers, watchers = everybody.writers, everybody.watchers
    return (
        f"seed {seed}, {ROUNDS} kills, {sum(writer.calls for writer in writers)} calls, "
        f"{sum(writer.unacknowledged for writer in writers)} unacknowledged of which "
        f"{sum(writer.found for writer in writers)} were stored; "
        f"{'/'.join(str(len(watcher.changes)) for watcher in watchers)} changes, "
        f"{sum(watcher.repeated for watcher in watchers)} of them came again, "
        f"{sum(watcher.heartbeats for watcher in watchers)} heartbeats; "
        f"{sum(len(consumer.deliveries) for consumer in everybody.consumers)} firings in "
        f"{sum(consumer.attempts for consumer in everybody.consumers)} deliveries, "
        f"{sum(consumer.broken for consumer in everybody.consumers)} streams broken off"
    )
