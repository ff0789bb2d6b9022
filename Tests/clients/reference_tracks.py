"""Track in the reference model: events, their deduplication, and the counters and retention of a profile."""

from dataclasses import dataclass, replace

from conftest import profiles_pb2 as rpc, types_pb2 as types
from reference_attributes import Rejected
from reference_profile import SECOND, micros, platform_of, timestamp

LATE_WINDOW = 86_400 * SECOND
RETENTION = 90 * LATE_WINDOW
AHEAD_WINDOW = 300 * SECOND
EVENTS_MAX = 1_000


@dataclass
class Credited:
    """An event that was credited to a profile, or was retained by it and is not any more."""

    holder: str
    event: types.StoredEvent
    at: int  # the lsn of the operation
    part: str = ""  # of an event that is no longer retained: whose identifier it named then


def effective_time(request, received):
    """The effective time of an Identify or a subscription change, or of an event whose `occurred_at` the caller fills
    in."""
    if not request.HasField("occurred_at"):
        return received
    occurred = micros(request.occurred_at)
    if request.HasField("sent_at") and micros(request.sent_at) >= occurred:
        return received - (micros(request.sent_at) - occurred)
    return occurred


def same_content(one, other):
    return all(getattr(one, name) == getattr(other, name) for name in ("name", "attributes", "label", "tags"))


class Tracks:
    """The part of the model that stores events; the rest of it finds and creates profiles."""

    @staticmethod
    def event_key(identifier, event_id):
        return identifier.WhichOneof("id"), getattr(identifier, identifier.WhichOneof("id")), event_id

    def Track(self, request, learned):
        profile = self.find(request.identifier)
        self.check_revision(request, profile)
        kind = request.identifier.WhichOneof("id")
        if not profile and (request.must_exist or kind == "profile_id"):
            raise Rejected("NOT_FOUND", "PROFILE_NOT_FOUND")
        device = (
            profile.devices.get(request.identifier.installation_id) if profile and kind == "installation_id" else None
        )
        first_lsn = learned.lsn - len(request.events) + 1
        response = rpc.TrackResponse(lsn=learned.lsn, sequence=request.sequence)
        changed, storing, bad = {}, {}, []
        for index, event in enumerate(request.events):
            result = response.results.add(event_id=event.event_id or learned.event_ids[index], lsn=first_lsn + index)
            stored = self.stored_event(request, event, result, learned)
            key = self.event_key(request.identifier, result.event_id)
            known = self.events.get(key)
            if known:
                result.status = types.EVENT_STATUS_DUPLICATE
                result.profile_id = self.survivor(known[0]).id
                result.effective_time.CopyFrom(known[1].effective_time)
                result.content_differs = not same_content(known[1], stored)
                continue
            time = micros(stored.effective_time)
            window = self.retention if request.historical else self.late_window
            if not learned.received - window <= time <= learned.received + AHEAD_WINDOW:
                result.status = types.EVENT_STATUS_REJECTED
                result.error.code = 11
                bad.append((index, "OUT_OF_RANGE", "TIME_WINDOW"))
                continue
            time = min(time, learned.received)
            timestamp(time, stored.effective_time)
            if device and device.holder_at(time) in self.gone:
                result.status = types.EVENT_STATUS_REJECTED
                result.error.code = 9
                bad.append((index, "FAILED_PRECONDITION", "IDENTIFIER_ERASED"))
                continue
            if not profile:
                profile = self.create_named(request.identifier, request.source.platform, learned)
                changed[profile.id] = None
            holder = self.survivor(device.holder_at(time)) if device else profile
            if holder.id not in changed:
                changed[holder.id] = holder
            self.store_event(holder, key, stored)
            is_seen = holder is profile and not request.historical
            self.event_stored(holder, stored, learned, learned.received if is_seen else holder.seen)
            storing[holder.id] = holder
            result.status, result.profile_id = types.EVENT_STATUS_STORED, holder.id
            result.effective_time.CopyFrom(stored.effective_time)
        if bad and not request.allow_partial:
            index, code, reason = bad[0]
            raise Rejected(code, reason, index=index)
        # Once for the call: an event that is too old to be kept is still known to those behind it.
        for holder in storing.values():
            self.drop_events(holder)
        if profile and device and self.rename(profile, request):
            changed[profile.id] = changed.get(profile.id, profile)
        for holder in changed.values():
            if holder:
                holder.raise_revision(learned)
        if profile:
            if not request.historical:
                profile.seen = learned.received
                if kind == "installation_id":
                    name = request.identifier.installation_id
                    profile.devices[name] = replace(profile.devices[name], seen=learned.received)
            response.profile_id, response.revision = profile.id, profile.revision
        response.redirected_from = self.redirected(request.identifier)
        return response

    @staticmethod
    def rename(profile, request):
        """Gives a device the app or web platform that its call names; returns whether that is another one."""
        name = request.identifier.installation_id
        device = profile.devices[name]
        platform = platform_of(request.source.platform, device.platform)
        profile.devices[name] = replace(device, platform=platform)
        return platform != device.platform

    def stored_event(self, request, event, result, learned):
        stored = types.StoredEvent(
            event_id=result.event_id,
            name=event.name.lower(),
            label=event.label,
            tags=event.tags,
            lsn=result.lsn,
            identifier=request.identifier,
            historical=request.historical,
        )
        if request.HasField("source"):
            stored.source.CopyFrom(request.source)
        for name, value in event.attributes.items():
            stored.attributes[name.lower()].CopyFrom(value)
        clock = rpc.IdentifyRequest()  # a message that has both times
        if event.HasField("occurred_at"):
            clock.occurred_at.CopyFrom(event.occurred_at)
        if request.HasField("sent_at"):
            clock.sent_at.CopyFrom(request.sent_at)
        timestamp(effective_time(clock, learned.received), stored.effective_time)
        timestamp(learned.received, stored.received_at)
        return stored

    def store_event(self, profile, key, event):
        time = micros(event.effective_time)
        profile.events.append(((time, event.lsn), event))
        profile.events.sort(key=lambda item: item[0])
        count, first, last = profile.counters.get(event.name, (0, time, time))
        profile.counters[event.name] = (count + 1, min(first, time), max(last, time))
        self.events[key] = (profile.id, event)
        self.stored.append((profile.id, event))
        self.tracked.append(Credited(profile.id, event, event.lsn))

    def drop_events(self, profile):
        while len(profile.events) > self.events_max:
            (time, _), event = profile.events.pop(0)
            profile.truncated = max(profile.truncated, time + 1)
            self.dropped.append(Credited(profile.id, event, self.now, self.part_of(event.identifier, profile)))
            del self.events[self.event_key(event.identifier, event.event_id)]
