"""Un-merges in the reference model.

The time since a merge of A into B is cut into stages, at each later merge of whoever has A. In each of them it is
computed what the profile would have been without A, and A gets what came through its identifiers; then the later merge
is done again.
"""

from dataclasses import dataclass, replace

import reference_attributes as attributes_of
import reference_consent as consent_of
from reference_attributes import NEVER, Attribute
from reference_consent import Consent, SYSTEM, UNSET, UNSUBSCRIBED
from reference_merges import join
from reference_profile import Profile, micros

ADDRESSES = ("email_address", "phone_number")
# The evidence of an opt-out that an un-merge copies, so that the next one copies it further.
WHILE_MERGED = "unsubscribed while merged"


@dataclass
class Undoing:
    """A merge that is being undone."""

    parts: set  # the profiles whose identifiers are the loser's
    events: set  # lsns of the events that moved
    restored: Profile
    rest: Profile  # the survivor, as it would be without the loser
    opt_outs: set  # what came since and goes to the loser too


def stamps_of(attribute):
    """Elements and removed elements of a list with their stamps."""
    return {**(attribute.elements or {}), **attribute.removed}


def take(mine, before, after, is_mine):
    """The attribute of one side: as it was, with what was written since through that side's identifiers."""
    is_new = after.base != before.base
    if after.scalar is not None or (before.scalar is not None and after.elements is None):
        return after if is_new and is_mine(after.base) else mine
    result, old = mine or Attribute(), stamps_of(before)
    if is_new and is_mine(after.base):
        elements = {text: at for text, at in (result.elements or {}).items() if at > after.base}
        removed = {text: at for text, at in result.removed.items() if at > after.base}
        result = Attribute(after.base, None, elements if after.elements is not None else None, removed, after.source)
    for text, at in stamps_of(after).items():
        if old.get(text) == at and not (is_new and at == after.base) or not is_mine(at):
            continue
        elements, removed = dict(result.elements or {}), dict(result.removed)
        if text in (after.elements or {}):
            removed.pop(text, None)
            elements[text] = at
        else:
            elements.pop(text, None)
            removed[text] = at
        base = NEVER if result.scalar is not None else result.base
        is_list = result.elements is not None or text in (after.elements or {})
        result = Attribute(base, None, elements if is_list else None, removed, after.source)
    return result if result != Attribute() else mine


class Unmerges:
    """The part of the model that takes a merged profile out again."""

    def separate(self, merge, learned):
        """The restored profile and the survivor without it; both replace what there is."""
        undoing = Undoing(
            {name for name in [merge.loser.id, *self.aliases] if self.is_part(name, merge.loser.id)},
            {event.lsn for _, event in merge.loser.events},
            merge.loser.copy(),
            merge.survivor.copy(),
            set(),
        )
        carriers, before, start = [merge.survivor.id], merge.after, merge.lsn
        for name, later in self.merges.items():
            if later.lsn <= merge.lsn or later.is_final:
                continue
            if later.survivor.id == carriers[-1]:
                self.stage(undoing, before, later.survivor, start, later.lsn)
                survivor, loser = undoing.rest, later.loser
                later = replace(later, survivor=survivor.copy())
            elif later.loser.id == carriers[-1]:
                self.stage(undoing, before, later.loser, start, later.lsn)
                survivor, loser = later.survivor.copy(), undoing.rest
                later = replace(later, loser=loser.copy())
                carriers.append(survivor.id)
            else:
                continue
            join(loser, survivor, later.latest_wins)
            before, start = later.after, later.lsn
            self.merges[name] = replace(later, after=self.without(undoing, before, survivor))
            undoing.rest = self.merges[name].after.copy()
        living = self.profiles[carriers[-1]]
        self.stage(undoing, before, living, start, float("inf"))
        return undoing, carriers, living

    def is_part(self, name, whole):
        while name != whole and name in self.aliases:
            name = self.aliases[name]
        return name == whole

    def is_of(self, undoing, lsn):
        return lsn in undoing.events or self.ways.get(lsn) in undoing.parts

    # MARK: Stages

    def stage(self, undoing, before, after, start, end):
        """Goes from one merge to the next one, or to the present."""
        restored, rest = undoing.restored, undoing.rest
        if after.custom_id != before.custom_id:
            rest.custom_id = after.custom_id
        self.stage_attributes(undoing, before, after)
        for event in self.tracked:
            if start <= event.at < end and event.holder == after.id:
                side = restored if self.ways[event.lsn] in undoing.parts else rest
                count, first, last = side.counters.get(event.name, (0, event.time, event.time))
                side.counters[event.name] = (count + 1, min(first, event.time), max(last, event.time))
        for event in self.dropped:
            if start <= event.at < end and event.holder == after.id:
                side = restored if self.is_of(undoing, event.lsn) else rest
                side.truncated = max(side.truncated, event.time + 1)
        self.stage_consents(undoing, before, after)
        self.stage_times(undoing, before, after, start)
        undoing.rest = self.without(undoing, after, rest)

    def stage_attributes(self, undoing, before, after):
        restored, rest = undoing.restored, undoing.rest
        for name in sorted({*before.attributes, *after.attributes}):
            old, new = before.attributes.get(name, Attribute()), after.attributes.get(name)
            if new is None or new == old:
                continue
            for side, other in ((restored, rest), (rest, restored)):
                is_address = name in ADDRESSES and new.scalar is not None

                def is_mine(stamp):
                    if is_address and not (side.custom_id and other.custom_id):
                        return bool(side.custom_id)
                    return (self.ways.get(stamp[1]) in undoing.parts) == (side is restored)

                made = take(side.attributes.get(name), old, new, is_mine)
                if made is not None:
                    side.attributes[name] = made
        for side in (restored, rest):
            attributes_of.forget_oldest_deleted(side.attributes)

    @staticmethod
    def is_change(entry):
        return entry.applied and (entry.source != SYSTEM or entry.evidence.method == WHILE_MERGED)

    def stage_consents(self, undoing, before, after):
        """What was changed since stays with the survivor; an opt-out of it that holds goes to the loser too."""
        restored, rest = undoing.restored, undoing.rest
        entries = after.ledger[len(before.ledger) :]
        for key in {(entry.channel, entry.topic) for entry in entries if self.is_change(entry)}:
            rest.consents.pop(key, None)
            if key not in after.consents:
                continue
            rest.consents[key] = after.consents[key]
            if after.consents[key].state == UNSUBSCRIBED:
                undoing.opt_outs.add(key)
                mine = restored.consents.get(key, Consent())
                is_joined = mine.state == UNSUBSCRIBED
                opt_out = after.consents[key]
                restored.consents[key] = consent_of.joined_opt_out(mine, opt_out) if is_joined else opt_out

    def stage_times(self, undoing, before, after, start):
        restored, rest = undoing.restored, undoing.rest
        for device in after.devices.values():
            side = restored if device.part in undoing.parts else rest
            side.seen = max(side.seen, device.seen)
        for _, event in after.events:
            if event.lsn > start and not event.historical:
                side = restored if self.is_of(undoing, event.lsn) else rest
                side.seen = max(side.seen, micros(event.received_at))
        if after.seen > before.seen and after.seen != restored.seen:
            rest.seen = after.seen

    def without(self, undoing, whole, rest):
        """A profile with the lists of `whole` but for what is the loser's, and the rest of `rest`."""
        its = undoing.restored
        ledgers = {ledger[0].profile_id for ledger in [its.ledger, *its.merged_ledgers] if ledger}
        devices = list(whole.merged_devices)
        for name in [*its.devices, *its.merged_devices]:
            if name in devices:
                devices.remove(name)
        return replace(
            whole.copy(),
            custom_id=rest.custom_id,
            custom_aliases=list(rest.custom_aliases),
            attributes=dict(rest.attributes),
            counters=dict(rest.counters),
            consents=dict(rest.consents),
            created=rest.created,
            seen=rest.seen,
            truncated=rest.truncated,
            devices={name: device for name, device in whole.devices.items() if device.part not in undoing.parts},
            events=[item for item in whole.events if not self.is_of(undoing, item[1].lsn)],
            aliases=[name for name in whole.aliases if name not in undoing.parts],
            merged_devices=devices,
            merged_ledgers=[ledger for ledger in whole.merged_ledgers if ledger[0].profile_id not in ledgers],
        )

    # MARK: The result

    def settle(self, undoing, carriers, living, merge, learned):
        """Puts both profiles where the one was."""
        restored, rest = undoing.restored, undoing.rest
        kept = merge.loser
        restored.events = [item for item in living.events if self.is_of(undoing, item[1].lsn)]
        devices = {name: device for name, device in living.devices.items() if device.part in undoing.parts}
        restored.devices = {
            name: self.returned(kept.devices.get(name), device, carriers, restored.id)
            for name, device in devices.items()
        }
        for name, device in merge.left.items():
            if name not in self.devices:
                side = restored if device.part in undoing.parts else rest
                side.devices[name] = (kept if side is restored else merge.survivor).devices.get(name, device)
        del self.aliases[restored.id]
        self.profiles[restored.id], self.profiles[living.id] = restored, rest
        for side in (restored, rest):
            self.devices |= {name: side.id for name in side.devices}
            self.customs |= {name: self.custom_parts[name] for name in side.custom_aliases}
            if side.custom_id:
                self.customs[side.custom_id] = side.id
        for _, event in restored.events:
            self.events[self.event_key(event.identifier, event.event_id)] = (restored.id, event)
        for event in [*self.tracked, *self.dropped]:
            if event.holder in carriers and event.at >= merge.lsn and self.is_of(undoing, event.lsn):
                event.holder = restored.id
        self.settle_consents(restored, kept, undoing.opt_outs, learned)
        self.settle_consents(rest, living, (), learned)
        self.restore_firings(living.id, restored.id, merge.firings, merge.fired)
        restored.raise_revision(learned)
        rest.raise_revision(learned)

    @staticmethod
    def returned(former, device, carriers, owner):
        """A device of the loser, with the history of before; one that came since came to the loser."""
        if former and former.since == device.since:
            return replace(device, first=former.first, moves=former.moves)
        moves, index = list(device.moves), len(device.moves)
        while index and moves[index - 1][1] in carriers:
            index -= 1
            moves[index] = (moves[index][0], owner)
        first = owner if not index and device.first in carriers else device.first
        return replace(device, first=first, moves=tuple(moves))

    def settle_consents(self, profile, before, opt_outs, learned):
        for key in sorted({*profile.consents, *before.consents}):
            old, new = before.consents.get(key, Consent()), profile.consents.get(key, Consent())
            if new == old or (new.state == old.state == UNSET):
                continue
            if new.time == float("-inf"):
                new = replace(new, time=learned.received)
            entry = self.system_entry(key, old, new, learned)
            if key in opt_outs:
                entry.evidence.method = WHILE_MERGED
            self.append_entry(profile, entry, learned)
