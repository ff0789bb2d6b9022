"""A copy of a base: an export, and behind it the change feed from the position of the export's first message."""

import time

import grpc

from conftest import profiles_pb2 as rpc
from conftest import types_pb2 as types

NATIVE = ("email_address", "phone_number", "language", "region", "timezone")


def groups(parts):
    """The parts of an export by person; a part with a page token is the last of its person."""
    person = []
    for part in parts:
        if part.HasField("profile"):
            # Of one who was erased meanwhile the rest does not come.
            person = []
        person.append(part)
        if part.page_token:
            yield person
            person = []


class Person:
    """What can be compared of a person."""

    def __init__(self, lsn=0):
        self.lsn = lsn  # what it covers
        self.custom_id, self.attributes, self.devices = "", {}, set()
        self.events, self.subscriptions, self.suppressed = set(), {}, {}

    @classmethod
    def of(cls, parts):
        profile = parts[0].profile
        person = cls(parts[0].lsn)
        person.custom_id = profile.custom_id
        person.attributes = values(profile.attributes, profile.native)
        person.devices = {device.installation_id for device in profile.installations}
        person.subscriptions = {
            (item.channel, item.topic): item.state for item in profile.subscriptions.items if item.state != 1
        }
        for part in parts:
            assert part.lsn == person.lsn
            if part.HasField("event"):
                assert part.event.lsn not in {lsn for lsn, _ in person.events}
                person.events.add((part.event.lsn, part.event.event_id))
            elif part.HasField("suppression"):
                person.suppressed[part.suppression.channel] = set(part.suppression.reasons)
        return person

    @property
    def shown(self):
        return (
            self.custom_id,
            sorted(self.attributes.items()),
            sorted(self.devices),
            sorted(self.events),
            sorted(self.subscriptions.items()),
            sorted((channel, sorted(reasons)) for channel, reasons in self.suppressed.items() if reasons),
        )


def values(attributes, native):
    found = {name: value.SerializeToString(deterministic=True) for name, value in attributes.items()}
    return found | {name: getattr(native, name).value for name in NATIVE if native.HasField(name)}


class Replica:
    def __init__(self, parts):
        self.first_lsn = parts[0].lsn
        self.people = {group[0].profile.profile_id: Person.of(group) for group in groups(parts)}
        self.exported = len(self.people)
        self.applied = self.skipped = 0

    def follow(self, stub, until, project="default"):
        """Applies the changes up to the event with the id `until`."""
        request = rpc.WatchRequest(project=project, from_lsn=self.first_lsn + 1, include_historical=True)
        call = stub.Watch(request, timeout=60)
        for response in call:
            if not response.HasField("change"):
                continue
            self.read_whom_the_export_missed(stub, project, response)
            self.apply(response.lsn, response.change)
            if response.change.event.event_id == until:
                break
        call.cancel()

    def read_whom_the_export_missed(self, stub, project, response):
        """The survivor of a merge with someone whom neither the export nor the feed has shown."""
        change = response.change
        person = self.people.get(change.profile_id)
        if change.kind != rpc.CHANGE_KIND_PROFILES_MERGED or change.other_profile_id in self.people:
            return
        if person and response.lsn <= person.lsn:
            return
        identifier = types.Identifier(profile_id=change.profile_id)
        try:
            request = rpc.ExportProfileRequest(project=project, identifier=identifier)
            self.people[change.profile_id] = Person.of(list(stub.ExportProfile(request, timeout=20)))
        except grpc.RpcError as error:
            # Erased since: the feed says so later.
            assert error.code() == grpc.StatusCode.NOT_FOUND, error

    def apply(self, lsn, change):
        kind = rpc.ChangeKind.Name(change.kind).removeprefix("CHANGE_KIND_")
        if kind == "PROFILE_ERASED":
            self.people.pop(change.profile_id, None)
            return
        loser = self.people.pop(change.other_profile_id, None) if kind == "PROFILES_MERGED" else None
        if kind == "INSTALLATION_MOVED" and change.other_profile_id in self.people:
            former = self.people[change.other_profile_id]
            if lsn > former.lsn:
                former.devices.discard(change.installation_id)
        person = self.people.setdefault(change.profile_id, Person())
        if lsn <= person.lsn:
            self.skipped += 1
            return
        self.applied += 1
        getattr(self, kind.lower())(person, lsn, change, loser)

    def profile_created(self, person, lsn, change, loser):
        person.custom_id = change.custom_id
        if change.installation_id:
            person.devices.add(change.installation_id)
        self.attributes_changed(person, lsn, change, loser)

    def profile_identified(self, person, lsn, change, loser):
        person.custom_id = change.custom_id

    def profiles_merged(self, person, lsn, change, loser):
        if loser:
            person.events |= loser.events

    def installation_moved(self, person, lsn, change, loser):
        person.devices.add(change.installation_id)

    def attributes_changed(self, person, lsn, change, loser):
        person.attributes |= values(change.attributes.set, change.attributes.native)
        for name in change.attributes.deleted:
            person.attributes.pop(name, None)

    def event_stored(self, person, lsn, change, loser):
        person.events.add((change.event.lsn, change.event.event_id))

    def subscription_changed(self, person, lsn, change, loser):
        for entry in change.consent_entries:
            if entry.after == 1:
                person.subscriptions.pop((entry.channel, entry.topic), None)
            else:
                person.subscriptions[entry.channel, entry.topic] = entry.after

    def suppression_changed(self, person, lsn, change, loser):
        person.suppressed[change.channel] = set(change.suppression_reasons)


def export(stub, project="default", **options):
    return list(stub.ExportProject(rpc.ExportProjectRequest(project=project), timeout=60, **options))


def export_through_kills(server, stub_of, kills, parts_before_kill):
    """An export that is resumed behind its last token after each kill; parts of people whose token came."""
    token, people, killed = "", [], 0
    while True:
        parts, is_over = [], False
        try:
            call = stub_of().ExportProject(rpc.ExportProjectRequest(project="default", page_token=token), timeout=60)
            for part in call:
                parts.append(part)
                if killed < kills and len(parts) > parts_before_kill:
                    killed += 1
                    server()
            is_over = True
        except grpc.RpcError as error:
            assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED), (
                error
            )
        people += groups(parts)
        if people:
            token = people[-1][-1].page_token
        if is_over:
            return people, killed
        time.sleep(0.05)
