"""Merges in the reference model: what the survivor has then, and what is kept so that they can be undone."""

from dataclasses import dataclass, field

import reference_attributes as attributes_of
import reference_consent as consent_of
from conftest import types_pb2 as types
from reference_consent import Consent
from reference_profile import Profile, timestamp

COUNTERS_MAX = 300


@dataclass(frozen=True)
class Merge:
    """A merge, with copies of both profiles as they were before it and of the survivor right behind it."""

    loser: Profile
    survivor: Profile
    after: Profile
    lsn: int
    received: int
    latest_wins: bool
    left: dict = field(default_factory=dict)  # devices that it pushed out of a full survivor
    is_changed: bool = False  # an un-merge has taken somebody out of it
    is_final: bool = False  # undone, or one of the two was erased


def join(loser, survivor, latest_wins):
    """What the survivor takes over by rule, without events and devices; returns the warnings as (reason, name)."""
    survivor.attributes, warnings = attributes_of.merge(survivor.attributes, loser.attributes, latest_wins)
    for name in sorted(loser.counters):
        count, first, last = loser.counters[name]
        if name not in survivor.counters and len(survivor.counters) >= COUNTERS_MAX:
            warnings.append(("COUNTER_LIMIT", name))
            continue
        mine = survivor.counters.get(name, (0, first, last))
        survivor.counters[name] = (mine[0] + count, min(mine[1], first), max(mine[2], last))
    survivor.truncated = max(survivor.truncated, loser.truncated)
    survivor.created, survivor.seen = min(survivor.created, loser.created), max(survivor.seen, loser.seen)
    survivor.custom_aliases += loser.custom_aliases
    if loser.custom_id and survivor.custom_id:
        survivor.custom_aliases.append(loser.custom_id)
    elif loser.custom_id:
        survivor.custom_id = loser.custom_id
    for key in sorted(loser.consents):
        mine = survivor.consents.get(key, Consent())
        survivor.consents[key] = consent_of.merge_consent(mine, loser.consents[key])
    for channel in (consent_of.EMAIL, consent_of.SMS, consent_of.PUSH):
        consent_of.forget_oldest_unset(survivor.consents, channel)
    return warnings


class Merges:
    """The part of the model that merges."""

    def merge(self, loser, survivor, time, learned, response, former=None):
        """`former` is the loser as it was before the call."""
        kept = former or loser.copy(), survivor.copy()
        self.merge_firings(loser, survivor)
        self.add_merge_entries(loser, survivor, learned)
        warnings = join(loser, survivor, self.latest_wins)
        for reason, name in warnings:
            response.warnings.add(reason=reason, name=name)
        if loser.custom_id and survivor.custom_id == loser.custom_id:
            self.customs[loser.custom_id] = survivor.id
        survivor.events = sorted(survivor.events + loser.events, key=lambda item: item[0])
        for _, event in loser.events:
            self.events[self.event_key(event.identifier, event.event_id)] = (survivor.id, event)
        survivor.aliases += [loser.id, *loser.aliases]
        survivor.merged_devices += [*loser.devices, *loser.merged_devices]
        survivor.merged_ledgers += [ledger for ledger in [loser.ledger, *loser.merged_ledgers] if ledger]
        self.aliases[loser.id] = survivor.id
        del self.profiles[loser.id]
        left = {}
        for name, device in loser.devices.items():
            moved = device.moved(max(time, device.last_move), survivor.id, loser.id)
            left |= self.put_device(survivor, name, moved)
        if loser.events:
            self.drop_events(survivor)
        merge_id = learned.merge_id or f"not told {learned.lsn}"
        self.merges[merge_id] = Merge(
            *kept, survivor.copy(), learned.lsn, learned.received, self.latest_wins, left
        )
        return left

    def add_merge_entries(self, loser, survivor, learned):
        """The ledger entries of the keys that the merge will change."""
        for key in sorted(loser.consents):
            mine = survivor.consents.get(key, Consent())
            winner = consent_of.merge_consent(mine, loser.consents[key])
            # The SMS keyword mark is a change too, although it is not visible on the profile.
            if winner != mine:
                self.append_entry(survivor, self.system_entry(key, mine, winner, learned), learned)

    @staticmethod
    def system_entry(key, before, after, learned):
        entry = types.ConsentEntry(
            channel=key[0],
            topic=key[1],
            before=before.state,
            after=after.state,
            applied=True,
            source=consent_of.SYSTEM,
            lsn=learned.lsn,
        )
        timestamp(after.time, entry.effective_time)
        return entry
