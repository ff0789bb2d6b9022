"""Un-merges in the reference model.

The time since a merge of A into B is cut into stages, at each later merge of whoever has A. In each of them it is
computed what the profile would have been without A, and A gets what came through its identifiers; then the later merge
is done again.
"""

from dataclasses import dataclass, field, replace

import reference_attributes as attributes_of
import reference_consent as consent_of
from reference_attributes import NEVER, Attribute
from reference_consent import Consent, SMS, SMS_KEYWORD, SYSTEM, UNSUBSCRIBED
from reference_merges import Merge, join
from reference_profile import Profile, micros

ADDRESSES = {"email_address", "phone_number"}
# The evidence of an opt-out that an un-merge copies, so that the next one copies it further.
WHILE_MERGED = "unsubscribed while merged"


@dataclass
class Undoing:
    """A merge that is being undone."""

    merge: Merge
    parts: set  # the profiles whose identifiers are the loser's
    living: Profile  # who has the loser now
    carriers: list  # who had it since the merge, one after the other
    restored: Profile
    rest: Profile  # who has it, as it would be without
    events: set = field(default_factory=set)  # lsns of the events that are the loser's
    opt_outs: dict = field(default_factory=dict)  # what came since and goes to the loser too


def stamps_of(attribute):
    """Elements and removed elements of a list with their stamps."""
    return {**(attribute.elements or {}), **attribute.removed}


def take(mine, merged, is_mine):
    """The attribute of one side: what it had, with what was written since through that side's identifiers."""
    is_set = is_mine(merged.base)
    if merged.scalar is not None:
        return merged if is_set else mine
    own = {text: at for text, at in stamps_of(merged).items() if is_mine(at)}
    had = mine or Attribute()
    added = [text for text in own if text in (merged.elements or {})]
    if not is_set and (not own or (had.scalar is not None and not added)):
        return mine
    elements, removed = dict(had.elements or {}), dict(had.removed)
    if is_set:
        # A list that is set as a whole has the order of what was set.
        first = {text: own[text] for text in added}
        elements = first | {text: at for text, at in elements.items() if at > merged.base and text not in own}
        removed = {text: at for text, at in removed.items() if at > merged.base}
    for text, at in own.items():
        if text in added:
            removed.pop(text, None)
            elements[text] = at
        else:
            elements.pop(text, None)
            removed[text] = at
    is_list = bool(elements) or (merged if is_set else had).elements is not None
    base = merged.base if is_set else had.base if had.scalar is None else NEVER
    return Attribute(base, None, elements if is_list else None, removed, merged.source)


class Unmerges:
    """The part of the model that takes a merged profile out again."""

    def separate(self, merge, shown):
        """The restored profile and the survivor without it, and later merges as if they had been without it."""
        undoing = self.undoing(merge)
        before, start, is_exact = merge.after, merge.lsn, not merge.is_changed
        for name, later in self.merges.items():
            if later.lsn <= merge.lsn or later.is_final:
                continue
            if later.survivor.id == before.id:
                self.stage(undoing, before, later.survivor, start, later.lsn)
                survivor, loser = undoing.rest, later.loser
                later = replace(later, survivor=survivor.copy())
            elif later.loser.id == before.id:
                self.stage(undoing, before, later.loser, start, later.lsn)
                survivor, loser = later.survivor.copy(), undoing.rest
                later = replace(later, loser=loser.copy())
            else:
                continue
            join(loser, survivor, later.latest_wins)
            before, start, is_exact = later.after, later.lsn, False
            after = self.without(undoing, before, survivor)
            self.merges[name] = replace(later, after=after, is_changed=True)
            undoing.rest = after.copy()
        self.stage(undoing, before, undoing.living, start, float("inf"))
        self.take_over(undoing)
        if shown:
            self.learn_bounds(undoing, is_exact, shown)
        return undoing

    def undoing(self, merge):
        carriers = [merge.survivor.id]
        while carriers[-1] in self.aliases:
            carriers.append(self.aliases[carriers[-1]])
        parts = {name for name in self.aliases if self.is_part(name, merge.loser.id)}
        living = self.profiles[carriers[-1]]
        undoing = Undoing(merge, parts, living, carriers, merge.loser.copy(), merge.survivor.copy())
        moved = {event.lsn for _, event in merge.loser.events}
        came = self.came_since(merge, carriers)
        for event in [event for _, event in living.events]:
            if event.lsn in moved or (event.lsn in came and self.is_through(undoing, event)):
                undoing.events.add(event.lsn)
        for dropped in self.dropped:
            lsn = dropped.event.lsn
            if lsn in moved or (lsn in came and dropped.part in parts):
                undoing.events.add(lsn)
        return undoing

    def came_since(self, merge, carriers):
        """The events since a merge that were credited to whoever had the loser at that time."""
        lsns, start = set(), merge.lsn
        for carrier in carriers:
            # The last one: those before it were undone.
            end = float("inf")
            if carrier in self.aliases:
                end = max(its.lsn for its in self.merges.values() if its.loser.id == carrier)
            lsns |= {its.event.lsn for its in self.tracked if its.holder == carrier and start < its.event.lsn < end}
            start = end
        return lsns

    def is_through(self, undoing, event):
        part = self.part_of(event.identifier, undoing.living)
        return part in undoing.parts or (not part and event.identifier.installation_id in undoing.merge.loser.devices)

    def is_part(self, name, whole):
        while name != whole and name in self.aliases:
            name = self.aliases[name]
        return name == whole

    # MARK: Stages

    def stage(self, undoing, before, after, start, end):
        """Goes from one merge to the next one, or to the present."""
        rest = undoing.rest
        if after.custom_id != before.custom_id:
            rest.custom_id = after.custom_id
        for name in sorted(after.attributes):
            self.take_attribute(rest, name, after, lambda lsn: lsn >= start and self.ways.get(lsn) not in undoing.parts)
        attributes_of.forget_oldest_deleted(rest.attributes)
        for credited in self.tracked:
            if start <= credited.at < end and credited.holder == after.id:
                if credited.event.lsn not in undoing.events:
                    count(rest, credited.event)
        for dropped in self.dropped:
            if start <= dropped.at < end and dropped.holder == after.id and dropped.event.lsn not in undoing.events:
                rest.truncated = max(rest.truncated, micros(dropped.event.effective_time) + 1)
        self.stage_consents(undoing, before, after)
        if after.seen > before.seen:
            is_theirs = after is undoing.living and after.seen == self.sight_since(undoing, True)
            rest.seen = max(rest.seen, self.sight_since(undoing, False) if is_theirs else after.seen)
        undoing.rest = self.without(undoing, after, rest)

    @staticmethod
    def take_attribute(side, name, merged, is_mine):
        made = take(side.attributes.get(name), merged.attributes[name], lambda stamp: is_mine(stamp[1]))
        if made is not None:
            side.attributes[name] = made

    def sight_since(self, undoing, of_restored):
        """When the devices and the senders of events of one side were seen last since the merge."""
        merge, living = undoing.merge, undoing.living
        times = [
            micros(event.received_at)
            for _, event in living.events
            if event.lsn > merge.lsn and not event.historical and (event.lsn in undoing.events) == of_restored
        ]
        times += [
            device.seen
            for device in living.devices.values()
            if device.seen > merge.received and (device.part in undoing.parts) == of_restored
        ]
        return max(times, default=0)

    def stage_consents(self, undoing, before, after):
        """What was changed since stays with the survivor; an opt-out of it that holds goes to the loser too."""
        rest, keys = undoing.rest, set()
        for entry in after.ledger[len(before.ledger) :]:
            key = (entry.channel, entry.topic)
            if not entry.applied or (entry.source == SYSTEM and entry.evidence.method != WHILE_MERGED):
                continue
            keys.add(key)
            if entry.after == UNSUBSCRIBED:
                is_by_keyword = entry.channel == SMS and entry.source == SMS_KEYWORD
                opt_out = Consent(UNSUBSCRIBED, entry.source, micros(entry.effective_time), is_by_keyword)
                known = undoing.opt_outs.get(key)
                undoing.opt_outs[key] = consent_of.merge_consent(known, opt_out) if known else opt_out
            else:
                undoing.opt_outs.pop(key, None)
        for key in keys & set(after.consents):
            rest.consents[key] = after.consents[key]

    def without(self, undoing, whole, rest):
        """A profile with the lists of `whole` but for what is the loser's, and the rest of `rest`."""
        kept = undoing.merge.loser
        ledgers = {ledger[0].profile_id for ledger in [kept.ledger, *kept.merged_ledgers] if ledger}
        devices = list(whole.merged_devices)
        for name in [*kept.devices, *kept.merged_devices]:
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
            events=[item for item in whole.events if item[1].lsn not in undoing.events],
            aliases=[name for name in whole.aliases if name not in undoing.parts],
            merged_devices=devices,
            merged_ledgers=[ledger for ledger in whole.merged_ledgers if ledger[0].profile_id not in ledgers],
        )

    # MARK: The loser

    def take_over(self, undoing):
        """What the loser has, and what came since through its identifiers."""
        merge, living, restored, rest = undoing.merge, undoing.living, undoing.restored, undoing.rest
        for name in sorted(living.attributes):
            self.take_attribute(
                restored, name, living, lambda lsn: lsn >= merge.lsn and self.ways.get(lsn) in undoing.parts
            )
        # Only identified people have addresses: the one of the two that is identified keeps them.
        if bool(restored.custom_id) != bool(rest.custom_id):
            for name in sorted(ADDRESSES & set(living.attributes)):
                self.keep_address(undoing, name)
        attributes_of.forget_oldest_deleted(restored.attributes)
        restored.events = [item for item in living.events if item[1].lsn in undoing.events]
        for credited in self.tracked:
            if credited.at > merge.lsn and credited.event.lsn in undoing.events:
                count(restored, credited.event)
        for dropped in self.dropped:
            if dropped.at >= merge.lsn and dropped.event.lsn in undoing.events:
                restored.truncated = max(restored.truncated, micros(dropped.event.effective_time) + 1)
        for key, opt_out in undoing.opt_outs.items():
            mine = restored.consents.get(key, Consent())
            is_joined = mine.state == UNSUBSCRIBED
            restored.consents[key] = consent_of.merge_consent(mine, opt_out) if is_joined else opt_out
        restored.seen = max(restored.seen, self.sight_since(undoing, True))
        restored.devices = {
            name: self.returned(undoing, name, device)
            for name, device in living.devices.items()
            if device.part in undoing.parts
        }

    def keep_address(self, undoing, name):
        merge, living, restored, rest = undoing.merge, undoing.living, undoing.restored, undoing.rest
        side, other = (restored, rest) if restored.custom_id else (rest, restored)
        had = {restored.id: merge.loser, rest.id: merge.survivor}
        if living.attributes[name].base[1] < merge.lsn:
            return
        side.attributes[name] = living.attributes[name]
        other.attributes.pop(name, None)
        if name in had[other.id].attributes:
            other.attributes[name] = had[other.id].attributes[name]

    @staticmethod
    def returned(undoing, name, device):
        """A device of the loser as it was, with what was seen of it since. One that came since has its own history, but
        for the moves with whoever has absorbed the loser since it came."""
        merge = undoing.merge
        former = merge.loser.devices.get(name)
        if not former or former.since != device.since:
            ends = [number for number, (_, holder) in enumerate(device.moves, 1) if holder in undoing.parts]
            return replace(device, moves=device.moves[: max(ends, default=0)])
        if device.seen > merge.received:
            return replace(former, seen=device.seen, platform=device.platform)
        # A historical call names a platform, and sees nobody.
        is_named = device.platform != merge.after.devices[name].platform
        return replace(former, platform=device.platform) if is_named else former

    def learn_bounds(self, undoing, is_exact, shown):
        """What the rules leave to what is known: bounds of counters and events whose events are no longer retained, and
        of whom the last sight was, once several merges lie between."""
        merge, living = undoing.merge, undoing.living
        lost = {its.event.name for its in self.dropped if its.at >= merge.lsn and its.holder in undoing.carriers}
        for side, found in ((undoing.rest, shown.profile), (undoing.restored, shown.restored)):
            if lost or not is_exact:
                time = micros(found.events_truncated_before)
                is_known = time >= side.truncated or (not is_exact and bool(time) == bool(side.truncated))
                if is_known and time <= living.truncated:
                    side.truncated = time
            for counter in found.event_counters:
                if counter.name not in side.counters or not (counter.name in lost or not is_exact):
                    continue
                whole = living.counters[counter.name]
                first, last = micros(counter.first), micros(counter.last)
                if whole[1] <= first <= last <= whole[2]:
                    side.counters[counter.name] = (side.counters[counter.name][0], first, last)
        seen = micros(shown.profile.last_seen_at)
        if not is_exact and merge.survivor.created <= seen <= living.seen:
            undoing.rest.seen = seen

    # MARK: The result

    def settle(self, undoing, learned):
        """Puts both profiles where the one was."""
        merge, living, restored, rest = undoing.merge, undoing.living, undoing.restored, undoing.rest
        for name, device in merge.left.items():
            if name not in self.devices:
                side = restored if device.part in undoing.parts else rest
                side.devices[name] = (merge.loser if side is restored else merge.survivor).devices.get(name, device)
        del self.aliases[restored.id]
        self.profiles[restored.id], self.profiles[living.id] = restored, rest
        for side in (restored, rest):
            self.devices |= {name: side.id for name in side.devices}
            self.customs |= {name: self.alias_holder(name) for name in side.custom_aliases}
            if side.custom_id:
                self.customs[side.custom_id] = side.id
        for _, event in restored.events:
            self.events[self.event_key(event.identifier, event.event_id)] = (restored.id, event)
        for credited in [*self.tracked, *self.dropped]:
            if credited.at >= merge.lsn and credited.event.lsn in undoing.events:
                credited.holder = restored.id
        self.settle_consents(restored, merge.loser, WHILE_MERGED, learned)
        self.settle_consents(rest, living, "", learned)
        self.restore_firings(living.id, restored.id)
        restored.raise_revision(learned)
        rest.raise_revision(learned)

    def alias_holder(self, custom_id):
        """Who had a custom ID when it became an alias."""
        losers = [merge.loser for merge in self.merges.values() if not merge.is_final]
        return [loser.id for loser in losers if loser.custom_id == custom_id][-1]

    def settle_consents(self, profile, before, method, learned):
        """An entry for each key that changes, and then for each that is unknown now."""
        for key in [*sorted(profile.consents), *sorted(set(before.consents) - set(profile.consents))]:
            old = before.consents.get(key, Consent())
            new = profile.consents.get(key, replace(Consent(), time=old.time))
            if key in profile.consents and new == old:
                continue
            entry = self.system_entry(key, old, new, learned)
            if method:
                entry.evidence.method = method
            self.append_entry(profile, entry, learned)


def count(profile, event):
    time = micros(event.effective_time)
    number, first, last = profile.counters.get(event.name, (0, time, time))
    profile.counters[event.name] = (number + 1, min(first, time), max(last, time))
