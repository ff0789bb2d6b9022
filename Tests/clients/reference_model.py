"""The reference model: the rules of the contract for Identify, Track, UpdateSubscription, suppressions, batches,
erasures, triggers and the change feed, as simple as possible.

It predicts each response, each profile and each change completely. Only values that the server chooses are learned from
its responses (`Learned`): lsns, the time of receipt, generated ids. Times are microseconds since 1970. It uses
dictionaries and is not optimised.
"""

from dataclasses import dataclass, replace

import reference_attributes as attributes_of
import reference_consent as consent_of
import reference_erasure as erasure_of
from conftest import profiles_pb2 as rpc, types_pb2 as types
from reference_attributes import Rejected
from reference_consent import Consent, UNSET, UNSUBSCRIBED
from reference_erasure import Erasures
from reference_feed import Derivation, Made, base_of
from reference_imports import CODES, Imports, without_invalid
from reference_merges import Merges
from reference_profile import Device, Profile, platform_of, same_message, show, timestamp
from reference_repairs import Repairs
from reference_tracks import EVENTS_MAX, LATE_WINDOW, RETENTION, Tracks, effective_time
from reference_triggers import Triggers

DEVICES_MAX = 100


@dataclass
class Learned:
    """Values that only the server can choose, learned from its response."""

    lsn: int
    received: int
    profile_id: str = ""
    merge_id: str = ""
    shown: object = None  # the response to an un-merge, for what the rules leave to what is known
    event_ids: tuple = ()
    operations: tuple = ()  # of a batch
    created: int = 0  # of a project
    due: int = 0


class Model(Tracks, Triggers, Erasures, Imports, Merges, Repairs):
    def __init__(self):
        self.options()
        self.profiles, self.customs, self.devices = {}, {}, {}
        self.aliases = {}  # merged-away profile id -> survivor's
        self.events = {}  # (kind, identifier, event id) -> (holder, event)
        self.suppressed = {}  # (channel, address) -> reasons
        self.requests = {}  # (method, request id) -> (request, response; None: erased with a person)
        self.blocked = {}  # (kind, identifier) -> until
        self.merges = {}  # by id, in their order
        self.custom_parts = {}  # custom ID -> the profile that it belongs to, which may be merged away
        self.ways = {}  # lsn of an Identify -> the profile through whose identifiers it came
        self.tracked = []  # of each event that was stored: Credited
        self.dropped = []  # the same, of each that is no longer retained
        self.now = 0  # the lsn of the present operation
        self.gone = set()  # profile ids of erased people, and of profiles that were merged into them
        self.triggers = {}  # by id
        self.changes = []  # of the feed
        self.stored = []  # (holder, event) of the present operation
        self.detached = set()  # installations that left a full profile
        self.imports = False  # the present operation is one of an import

    def options(self):
        """What a project may change (reference_projects.py)."""
        self.late_window, self.retention, self.events_max = LATE_WINDOW, RETENTION, EVENTS_MAX
        self.latest_wins, self.topics_by_default = False, True

    # MARK: Names

    def survivor(self, profile_id):
        while profile_id in self.aliases:
            profile_id = self.aliases[profile_id]
        return self.profiles.get(profile_id)

    def find(self, identifier):
        kind, text = identifier.WhichOneof("id"), getattr(identifier, identifier.WhichOneof("id"))
        if kind == "profile_id":
            return self.survivor(text)
        return self.person(text) if kind == "custom_id" else self.profiles.get(self.devices.get(text))

    def person(self, custom_id):
        return self.survivor(self.customs.get(custom_id))

    def redirected(self, identifier):
        kind, text = identifier.WhichOneof("id"), getattr(identifier, identifier.WhichOneof("id"))
        leads_to = {"profile_id": text, "custom_id": self.customs.get(text)}.get(kind)
        return text if leads_to in self.aliases else ""

    def create(self, learned):
        profile = Profile(
            learned.profile_id, learned.received, learned.lsn, updated=learned.received, seen=learned.received
        )
        self.profiles[profile.id] = profile
        return profile

    def create_named(self, identifier, platform, learned):
        profile = self.create(learned)
        if identifier.WhichOneof("id") == "custom_id":
            self.name(profile, identifier.custom_id)
        else:
            self.put_device(profile, identifier.installation_id, self.new_device(platform, profile.id, learned))
        return profile

    def name(self, profile, custom_id):
        profile.custom_id = custom_id
        self.customs[custom_id] = self.custom_parts[custom_id] = profile.id

    @staticmethod
    def new_device(platform, part, learned):
        received = learned.received
        return Device(platform_of(platform), received, received, part, part=part, since=learned.lsn)

    def put_device(self, profile, installation, device):
        """Adds a device; over the limit the least recently seen ones are detached and returned."""
        profile.devices[installation] = device
        self.devices[installation] = profile.id
        left = {}
        while len(profile.devices) > DEVICES_MAX:
            oldest = min(
                (name for name in profile.devices if name != installation), key=lambda name: profile.devices[name].seen
            )
            left[oldest] = profile.devices.pop(oldest)
            del self.devices[oldest]
            self.detached.add(oldest)
        return left

    def way(self, identifier, holder, time):
        """The profile to whose identifiers one belongs that leads to `holder`."""
        kind, text = identifier.WhichOneof("id"), getattr(identifier, identifier.WhichOneof("id"))
        if kind == "profile_id":
            return text
        if kind == "custom_id":
            return self.custom_parts[text]
        present = self.profiles[self.devices[text]]
        device = present.devices[text]
        # Who had the device then may have been merged away since.
        then = device.holder_at(time)
        if then != holder.id and self.survivor(then) is holder:
            return then
        return device.part if present is holder else holder.id

    def part_of(self, identifier, profile):
        """The profile to whose identifiers one belongs now; empty: unknown, as a device that has left."""
        kind, text = identifier.WhichOneof("id"), getattr(identifier, identifier.WhichOneof("id"))
        if kind == "profile_id":
            return text
        if kind == "custom_id":
            return self.custom_parts[text]
        return profile.devices[text].part if text in profile.devices else ""

    # MARK: Calls

    def call(self, method, request, learned):
        """The response to a call, or Rejected; a rejected call changes nothing."""
        for name in erasure_of.names_of(request):
            self.check_blocked(*name)
        call_id = request.chunk_id if method == "ImportProfiles" else request.request_id
        known = self.requests.get((method, call_id)) if call_id else None
        if known:
            if known[1] is None:
                raise Rejected("FAILED_PRECONDITION", "IDENTIFIER_ERASED")
            if not same_message(known[0], request, without_invalid):
                raise Rejected("ALREADY_EXISTS", "REQUEST_ID_REUSED")
            return self.again(known[1])
        saved = self.save()
        try:
            response = self.carry_out(method, request, learned)
        except Rejected:
            self.restore(saved)
            raise
        if call_id:
            self.requests[method, call_id] = (request, response)
        return response

    def carry_out(self, method, request, learned):
        """One operation, with the changes that it makes."""
        self.now = learned.lsn
        if method in ("BatchWrite", "ImportProfiles", "CreateTrigger", "DeleteTrigger"):
            return getattr(self, method)(request, learned)
        before, self.stored = base_of(self), []
        response = getattr(self, method)(request, learned)
        after = base_of(self).paths
        derivation = Derivation(self, before, request, learned)
        for made in derivation.derive():
            is_identified = made.change.kind == rpc.CHANGE_KIND_PROFILE_IDENTIFIED
            other = derivation.others[made.change.profile_id] if is_identified else ""
            self.changes.append(Made(made, before.paths, after, method == "UnmergeProfile", other))
        return response

    def again(self, response):
        """A replayed response: the first response, but with the current profile."""
        response = type(response).FromString(response.SerializeToString())
        parts = [response]
        if isinstance(response, rpc.BatchWriteResponse):
            parts += [
                getattr(result, kind) for result in response.results if (kind := result.WhichOneof("result")) != "error"
            ]
        for part in parts:
            part.replayed = True
            if isinstance(part, (rpc.IdentifyResponse, rpc.MergeProfilesResponse, rpc.UnmergeProfileResponse)):
                part.profile.CopyFrom(show(self.survivor(part.profile.profile_id)))
            if isinstance(part, rpc.UnmergeProfileResponse):
                part.restored.CopyFrom(show(self.survivor(part.restored.profile_id)))
        return response

    def save(self):
        return (
            {key: profile.copy() for key, profile in self.profiles.items()},
            dict(self.customs),
            dict(self.devices),
            dict(self.aliases),
            dict(self.events),
            {key: trigger.copy() for key, trigger in self.triggers.items()},
            dict(self.merges),
            dict(self.custom_parts),
            (len(self.changes), len(self.tracked), len(self.dropped)),
        )

    def restore(self, saved):
        self.profiles, self.customs, self.devices, self.aliases, self.events, self.triggers, *more, lengths = saved
        self.merges, self.custom_parts = more
        for kept, length in zip((self.changes, self.tracked, self.dropped), lengths):
            del kept[length:]

    def check_revision(self, request, profile):
        if not request.HasField("expected_revision"):
            return
        revision = profile.revision if profile else 0
        if revision != request.expected_revision.value:
            raise Rejected("ABORTED", "REVISION_MISMATCH", current_revision=str(revision))

    # MARK: Identify

    def Identify(self, request, learned):
        time = min(effective_time(request, learned.received), learned.received)
        installation, custom = request.installation_id, request.custom_id
        holder = self.profiles.get(self.devices.get(installation))
        person = self.person(custom) if custom else None
        device = holder.devices[installation] if holder else None
        former = holder.copy() if holder else None
        response = rpc.IdentifyResponse(lsn=learned.lsn)
        if custom:
            response.redirected_from = self.redirected(types.Identifier(custom_id=custom))
        step = self.identify_step(request, holder, person, device, time)
        if step == "patch then":
            self.check_gone(device.holder_at(time))
            holder_then = self.survivor(device.holder_at(time)) or holder
        shown = {
            "create": None,
            "patch then": holder_then if step == "patch then" else None,
            "patch": holder or person,
            "log out": holder,
            "stale log-out": holder,
            "promote": holder,
        }.get(step, person)
        self.check_revision(request, shown)
        # A device that leaves is not activity of the person that it leaves.
        renamed = False
        if holder:
            renamed = platform_of(request.source.platform, device.platform) != device.platform
            device = replace(device, platform=platform_of(request.source.platform, device.platform))
            holder.devices[installation] = device
        if holder and step not in ("switch", "log out") and not self.imports:
            holder.seen = learned.received
            holder.devices[installation] = replace(device, seen=learned.received)

        if step == "stale log-out":
            response.ignored_stale.extend(name for name, _, _ in attributes_of.items_of(request.attributes))
            response.outcome = types.OUTCOME_IGNORED_STALE_LINK
            if renamed:
                holder.raise_revision(learned)
            response.profile.CopyFrom(show(holder))
            return response

        created = shown is None or step == "log out"
        target = self.create(learned) if created else shown
        if created and custom:
            self.name(target, custom)
        moved = self.link(step, request, holder, target, time, learned, response, former)
        self.ways[learned.lsn] = self.way(
            types.Identifier(custom_id=custom) if custom else types.Identifier(installation_id=installation),
            target,
            time,
        )
        target.attributes, stale, is_visible = attributes_of.apply_patch(
            target.attributes, request.attributes, (time, learned.lsn), request.source, bool(target.custom_id)
        )
        response.ignored_stale.extend(stale)
        if target is holder:
            is_visible |= renamed
        elif renamed and step in ("patch then", "stale link"):
            holder.raise_revision(learned)
        if not created and (moved or is_visible):
            target.raise_revision(learned)
        if (step != "patch then" or target is holder) and (created or not self.imports):
            target.seen = learned.received
        if step == "merge":
            # Nothing has come between yet.
            list(self.merges.values())[-1].after.seen = target.seen
        response.outcome = {
            "create": types.OUTCOME_CREATED,
            "attach": types.OUTCOME_ATTACHED,
            "promote": types.OUTCOME_PROMOTED,
            "merge": types.OUTCOME_MERGED,
            "switch": types.OUTCOME_SWITCHED,
            "log out": types.OUTCOME_LOGGED_OUT,
            "stale link": types.OUTCOME_IGNORED_STALE_LINK,
        }.get(step) or (
            types.OUTCOME_CREATED if created else types.OUTCOME_UPDATED if is_visible else types.OUTCOME_NOOP
        )
        response.profile.CopyFrom(show(target))
        return response

    def identify_step(self, request, holder, person, device, time):
        """The applicable row of the contract's table."""
        if not request.installation_id:
            return "patch" if person else "create"
        if not holder:
            return "attach" if person else "create"
        is_stale = time < device.last_move
        if request.WhichOneof("person") == "logged_out":
            if not holder.custom_id:
                return "patch"
            return "stale log-out" if is_stale else "log out"
        if not request.custom_id:
            return "patch then"
        if person is holder:
            return "patch"
        if is_stale:
            return "stale link"
        if holder.custom_id:
            return "switch"
        return "merge" if person else "promote"

    def link(self, step, request, holder, target, time, learned, response, former):
        """Moves devices; returns whether that alone changes the target."""
        installation, received = request.installation_id, learned.received
        left = {}
        if step == "create" and installation:
            device = self.new_device(request.source.platform, target.id, learned)
            self.put_device(
                target, installation, device.moved(time, target.id, target.id) if request.custom_id else device
            )
        elif step == "attach":
            part = self.custom_parts[request.custom_id]
            device = self.new_device(request.source.platform, part, learned).moved(time, part, part)
            left = self.put_device(target, installation, device)
        elif step == "promote":
            self.name(target, request.custom_id)
            for name, device in target.devices.items():
                # A merge by request may have brought a device since.
                target.devices[name] = device.moved(max(time, device.last_move), target.id, target.id)
        elif step == "merge":
            left = self.merge(holder, target, time, learned, response, former)
            response.merge_id = learned.merge_id
        elif step in ("switch", "log out"):
            device = holder.devices.pop(installation)
            device = device if self.imports else replace(device, seen=received)
            holder.raise_revision(learned)
            part = self.custom_parts.get(request.custom_id, target.id)
            device = replace(device, part=part, since=learned.lsn)
            left = self.put_device(target, installation, device.moved(time, part, holder.id, attached=received))
        for name in left:
            response.warnings.add(reason="INSTALLATION_DETACHED", identifier=types.Identifier(installation_id=name))
        return step in ("attach", "promote", "merge", "switch", "log out")

    # MARK: Consent

    def append_entry(self, profile, entry, learned):
        timestamp(learned.received, entry.received_at)
        entry.profile_id = profile.id
        profile.head = consent_of.chain(entry, profile.head)
        profile.ledger.append(entry)

    def UpdateSubscription(self, request, learned):
        profile = self.find(request.identifier)
        self.check_revision(request, profile)
        created = profile is None
        if created:
            if request.identifier.WhichOneof("id") == "profile_id":
                raise Rejected("NOT_FOUND", "PROFILE_NOT_FOUND")
            profile = self.create_named(request.identifier, 0, learned)
        time = min(effective_time(request, learned.received), learned.received)
        response = rpc.UpdateSubscriptionResponse(lsn=learned.lsn, redirected_from=self.redirected(request.identifier))
        first_lsn, is_visible = learned.lsn - len(request.changes) + 1, False
        for index, change in enumerate(request.changes):
            key = (change.channel, change.topic.lower())
            stored = profile.consents.get(key, Consent())
            try:
                # An import opts nobody in as a person would.
                as_import = self.imports and change.state != UNSUBSCRIBED
                source = consent_of.IMPORT if as_import else request.source
                new = consent_of.change_consent(
                    stored, change.channel, change.state, source, time, bool(request.evidence.reference)
                )
                if (
                    new
                    and key[1]
                    and stored.state == UNSET
                    and new.state not in (UNSET, UNSUBSCRIBED)
                    and consent_of.topic_count(profile.consents, change.channel) >= consent_of.TOPICS_MAX
                ):
                    raise Rejected("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")
            except Rejected as rejected:
                rejected.index = index
                raise
            applied, new = new is not None, new or stored
            if applied:
                profile.consents[key] = new
                consent_of.forget_oldest_unset(profile.consents, change.channel)
            is_visible |= new.shown != stored.shown
            response.results.add(channel=change.channel, topic=key[1], state=new.state, applied=applied)
            entry = types.ConsentEntry(
                channel=change.channel,
                topic=key[1],
                before=stored.state,
                after=new.state,
                applied=applied,
                source=source,
                lsn=first_lsn + index,
            )
            if request.HasField("evidence"):
                entry.evidence.CopyFrom(request.evidence)
            timestamp(time, entry.effective_time)
            self.append_entry(profile, entry, learned)
            response.entries.append(entry)
        if is_visible and not created:
            profile.raise_revision(learned)
        response.profile_id, response.revision = profile.id, profile.revision
        response.subscriptions.CopyFrom(show(profile).subscriptions)
        return response

    def AddSuppression(self, request, learned):
        self.suppressed.setdefault((request.channel, request.address.lower()), set()).add(request.reason)
        return rpc.AddSuppressionResponse(lsn=learned.lsn)

    def RemoveSuppression(self, request, learned):
        reasons = self.suppressed.get((request.channel, request.address.lower()), set())
        gone = reasons & {request.reason} if request.reason else set(reasons)
        reasons -= gone
        return rpc.RemoveSuppressionResponse(existed=bool(gone), lsn=learned.lsn)

    # MARK: Batches

    def BatchWrite(self, request, learned):
        response = rpc.BatchWriteResponse(lsn=learned.lsn)
        for index, (operation, its) in enumerate(zip(request.operations, learned.operations)):
            kind = operation.WhichOneof("operation")
            method = {"identify": "Identify", "track": "Track", "update_subscription": "UpdateSubscription"}[kind]
            result = response.results.add()
            saved = self.save()
            try:
                for name in erasure_of.names_of(getattr(operation, kind)):
                    self.check_blocked(*name)
                getattr(result, kind).CopyFrom(self.carry_out(method, getattr(operation, kind), its))
            except Rejected as rejected:
                self.restore(saved)
                if not request.best_effort:
                    rejected.index = index
                    raise
                result.error.code = CODES[rejected.code]
                result.error.message = rejected.reason
        # A batch becomes visible as a whole: its response has the profiles as they are after it.
        for result in response.results:
            if result.HasField("identify"):
                result.identify.profile.CopyFrom(show(self.survivor(result.identify.profile.profile_id)))
        return response
