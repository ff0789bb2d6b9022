"""Triggers of the reference model: what fires, for whom, and what waits; and random filters for them.

Delays are an hour, so that what waits never becomes due within a run; periods of caps are a day, so that every firing
counts.
"""

from dataclasses import dataclass, field, replace

from conftest import profiles_pb2 as rpc, types_pb2 as types
from reference_attributes import Rejected
from reference_filter import Subject, Time, matches
from reference_profile import micros, timestamp

TRIGGERS_MAX = 100
DELAY_SECONDS, PERIOD_SECONDS = 3_600, 86_400
CHANNELS = {1: "EMAIL", 2: "SMS", 3: "PUSH"}
STATES = {1: "UNSET", 2: "PENDING", 3: "SUBSCRIBED", 4: "UNSUBSCRIBED"}


@dataclass
class Firing:
    owner: str  # who has it now
    event: types.StoredEvent
    is_pending: bool
    credited: str  # to whom the event was credited, who may be merged away


@dataclass
class Made:
    shown: rpc.Trigger
    firings: list = field(default_factory=list)
    fired: dict = field(default_factory=dict)  # profile id -> what the cap counts, as (lsn, credited)

    def copy(self):
        return Made(self.shown, list(self.firings), dict(self.fired))


def plain(value):
    """A value as the filter compares it."""
    kind = value.WhichOneof("kind")
    if kind == "time":
        return Time(micros(value.time))
    if kind == "list":
        return list(value.list.items)
    return getattr(value, kind)


def subject_of(model, profile, event, updated, seen):
    """A profile as filters see it, and an event if there is one."""
    attributes = {}
    for name, attribute in profile.attributes.items():
        if not attribute.is_deleted:
            shown = attribute.shown
            attributes[name] = shown if isinstance(shown, (str, list)) else plain(shown)
    suppressed = set()
    for channel, name in ((1, "email_address"), (2, "phone_number")):
        address = attributes.get(name)
        if address and model.suppressed.get((channel, address.lower())):
            suppressed.add(CHANNELS[channel])
    return Subject(
        custom_id=profile.custom_id,
        created_at=Time(profile.created),
        updated_at=Time(updated),
        last_seen_at=Time(seen),
        attributes=attributes,
        counters=profile.counters,
        subscriptions={
            (CHANNELS[channel], topic): STATES[consent.state] for (channel, topic), consent in profile.consents.items()
        },
        suppressed=suppressed,
        installations=list(profile.devices),
        event=event
        and {
            "label": event.label,
            "tags": list(event.tags),
            "attributes": {name: plain(value) for name, value in event.attributes.items()},
        },
    )


class Triggers:
    """The part of the model that fires."""

    def CreateTrigger(self, request, learned):
        if len(self.triggers) >= TRIGGERS_MAX:
            raise Rejected("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")
        shown = rpc.Trigger.FromString(request.trigger.SerializeToString())
        shown.trigger_id = learned.profile_id
        shown.event_name, shown.unless_event_name = shown.event_name.lower(), shown.unless_event_name.lower()
        shown.ack_deadline_seconds = shown.ack_deadline_seconds or 60
        timestamp(learned.received, shown.created_at)
        self.triggers[shown.trigger_id] = Made(shown)
        return rpc.CreateTriggerResponse(trigger=shown, lsn=learned.lsn)

    def DeleteTrigger(self, request, learned):
        if request.trigger_id not in self.triggers:
            raise Rejected("NOT_FOUND", "TRIGGER_NOT_FOUND")
        del self.triggers[request.trigger_id]
        return rpc.DeleteTriggerResponse(lsn=learned.lsn)

    def event_stored(self, profile, event, learned, seen):
        """An event was stored: `profile` is as it is right after it."""
        for trigger in self.triggers.values():
            if trigger.shown.unless_event_name == event.name:
                self.cancel(trigger, profile.id)
        if event.historical:
            return
        for trigger in self.triggers.values():
            if trigger.shown.event_name != event.name:
                continue
            subject = subject_of(self, profile, event, learned.received, seen)
            if matches(trigger.shown.filter, subject, learned.received):
                self.fire(trigger, profile.id, event)

    @staticmethod
    def fire(trigger, owner, event):
        if not trigger.shown.delay_seconds:
            fired = trigger.fired.get(owner, [])
            if trigger.shown.cap and len(fired) >= trigger.shown.cap:
                return
            trigger.fired[owner] = [*fired, (event.lsn, owner)]
        trigger.firings.append(Firing(owner, event, not trigger.shown.delay_seconds, owner))

    @staticmethod
    def cancel(trigger, owner, before=float("inf")):
        trigger.firings = [
            firing
            for firing in trigger.firings
            if firing.is_pending or firing.owner != owner or firing.event.lsn >= before
        ]

    def merge_firings(self, loser, survivor):
        """Before the two are merged."""
        for trigger in self.triggers.values():
            newest = {
                profile.id: max(
                    (event.lsn for _, event in profile.events if event.name == trigger.shown.unless_event_name),
                    default=0,
                )
                for profile in (loser, survivor)
            }
            self.cancel(trigger, loser.id, newest[survivor.id])
            self.cancel(trigger, survivor.id, newest[loser.id])
            trigger.firings = [
                replace(firing, owner=survivor.id) if firing.owner == loser.id else firing
                for firing in trigger.firings
            ]
            fired = sorted([*trigger.fired.pop(loser.id, []), *trigger.fired.get(survivor.id, [])])
            trigger.fired[survivor.id] = fired[-trigger.shown.cap :]

    def restore_firings(self, survivor, restored):
        """Gives a restored profile what fired for it before; what fired since stays with the survivor."""
        for trigger in self.triggers.values():
            trigger.firings = [
                replace(firing, owner=restored)
                if firing.owner == survivor and self.is_part(firing.credited, restored)
                else firing
                for firing in trigger.firings
            ]
            fired = trigger.fired.pop(survivor, [])
            for owner, is_its in ((survivor, False), (restored, True)):
                trigger.fired[owner] = [one for one in fired if self.is_part(one[1], restored) == is_its]

    def erase_firings(self, profile_id):
        for trigger in self.triggers.values():
            trigger.firings = [firing for firing in trigger.firings if firing.owner != profile_id]
            trigger.fired.pop(profile_id, None)


# MARK: Random filters

COMPARATORS = ["=", "!=", "<", "<=", ">", ">="]
COMPARISONS = [
    ("state", ["=", "!="], ["ANONYMOUS", "IDENTIFIED"]),
    ("custom_id", ["=", "!=", ":"], ['"{prefix}c1"', '"{prefix}c*"', '"*2"', '"nobody"']),
    ("custom_id", [":"], ["*"]),
    ("email_address", ["=", "!="], ['"e1.*"', '"e2.*"', '"*.org"', '"*@Example*"']),
    ("phone_number", [":"], ["*"]),
    ("language", ["=", "!=", "<", ">="], ['"de"', '"pt*"', "en"]),
    ("created_at", COMPARATORS[2:], ['"-1s"', '"-3s"', '"+1h"', '"2020-01-31T12:00:00Z"']),
    ("updated_at", COMPARATORS[2:], ['"+0s"', '"-1s"']),
    ("last_seen_at", COMPARATORS[2:], ['"-0s"', '"-2s"', '"-30d"']),
    ("events.view.count", COMPARATORS, ["0", "1", "2", "3.0"]),
    ("events.buy.count", COMPARATORS, ["0", "1", "2"]),
    ("events.view.first", COMPARATORS[2:], ['"-1h"', '"-10h"']),
    ("events.buy.last", COMPARATORS[2:], ['"-5h"', '"-15m"']),
    ("subscriptions.EMAIL", ["=", "!="], ["SUBSCRIBED", "UNSUBSCRIBED", "UNSET"]),
    ("subscriptions.SMS.t1", ["=", "!="], ["SUBSCRIBED", "UNSUBSCRIBED", "UNSET"]),
    ("suppressed.EMAIL", ["=", "!="], ["true", "false"]),
    ("installations", [":"], ['"{prefix}d1"', '"{prefix}d2"', "*"]),
    ("event.amount", COMPARATORS, ["0", "1", "0.5"]),
    ("event.attributes.amount", [":"], ["*", "1"]),
    ("event.label", ["=", "!=", ":"], ['"a"', '"b"']),
    ("event.tags", [":"], ["*", '"x"']),
    ("s1", COMPARATORS, ["0", "1", "2.0", '"1"']),
    ("attributes.s2", COMPARATORS, ['"x"', '"y"', '"*z"']),
    ("s3", ["=", "!=", ":"], ["true", "false"]),
    ("profile.s4", COMPARATORS, ["0.5", "-1.25", "0", "1e300"]),
    ("s5", ["=", "!="], ['"https://*"', '"*/1"']),
    ("s6", COMPARATORS, ['"1970-01-01T00:00:00Z"', '"-30d"']),
    ("l1", [":"], ["*", '"a"', '"b"']),
]
LITERALS = ['"a"', '"x"', "1", '"{prefix}c1"', "true"]


def random_filter(chance, depth=0):
    """A filter; `{prefix}` stands for that of the run."""
    kind = chance.random()
    if kind < (0.5 if depth else 0.35) or depth > 3:
        if chance.random() < 0.06:
            return chance.choice(LITERALS)
        name, comparators, values = chance.choice(COMPARISONS)
        comparator, blank = chance.choice(comparators), chance.choice(["", " "])
        return f"{name}{blank}{comparator}{blank}{chance.choice(values)}"
    if kind < 0.65:
        return chance.choice(["NOT ", "-"]) + f"({random_filter(chance, depth + 1)})"
    parts = [f"({random_filter(chance, depth + 1)})" for _ in range(chance.choice([2, 2, 3]))]
    return chance.choice([" AND ", " OR ", " "]).join(parts)
