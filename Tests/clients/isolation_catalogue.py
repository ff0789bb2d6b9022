"""Every RPC of the contract with a valid request, and every field of a request that can name something of a project.

The probes of test_isolation.py are generated from both: an RPC without a row, or a field that is in neither list,
fails the tests.
"""

import dataclasses
from collections.abc import Callable

from google.protobuf import descriptor

from conftest import profiles_pb2 as rpc
from conftest import types_pb2 as types
from isolation_worlds import EMAIL, SMS, altered, listing
from profiles.v1 import admin_pb2 as admin

OPERATOR, NOBODY = "OPERATOR", "NONE"


@dataclasses.dataclass
class Row:
    """What an RPC needs, and a request of its kind that is valid for a person of a project."""

    scope: str
    request: Callable | None
    is_built: bool = True


def event(person):
    return types.Event(name="visit", event_id=person.event_id)


def attributes(person):
    native = types.NativeAttributes()
    native.email_address.value, native.phone_number.value = person.email_address, person.phone_number
    return types.AttributePatch(native=native)


def identify(person):
    return rpc.IdentifyRequest(
        project=person.project,
        request_id=person.request_id,
        installation_id=person.installation_id,
        custom_id=person.custom_id,
        attributes=attributes(person),
    )


def track(person):
    return rpc.TrackRequest(
        project=person.project, request_id=person.request_id, identifier=person.who, events=[event(person)]
    )


def update(person):
    change = rpc.SubscriptionChange(channel=EMAIL, state=3)
    return rpc.UpdateSubscriptionRequest(
        project=person.project, request_id=person.request_id, identifier=person.who, source=1, changes=[change]
    )


def batch(person, kind=rpc.BatchWriteRequest, **fields):
    """Inner request ids are rejected."""
    inner = [identify(person), track(person), update(person)]
    for operation in inner:
        operation.ClearField("request_id")
    names = ("identify", "track", "update_subscription")
    operations = [rpc.WriteOperation(**{name: operation}) for name, operation in zip(names, inner)]
    return kind(project=person.project, operations=operations, **fields)


def read(kind, **fields):
    """A request that names one person; `min_lsn` 1 has been reached by any server that knows somebody."""
    if "min_lsn" in kind.DESCRIPTOR.fields_by_name:
        fields["min_lsn"] = 1
    return lambda person: person.exist() and kind(project=person.project, identifier=person.who, **fields)


def with_id(kind, **fields):
    """A request of which the fields are functions of the person."""

    def make(person):
        values = {name: value(person) if callable(value) else value for name, value in fields.items()}
        if "request_id" in kind.DESCRIPTOR.fields_by_name:
            values["request_id"] = person.request_id
        return kind(project=person.project, **values)

    return make


def filter_of(person):
    return person.exist() and listing(person.custom_id)


def suppression(kind):
    return with_id(kind, channel=EMAIL, address=lambda person: person.suppressed, reason=4)


PROFILES = {
    "Identify": Row("WRITE", identify),
    "Track": Row("WRITE", track),
    "TrackStream": Row("WRITE", track),
    "GetProfile": Row("READ", read(rpc.GetProfileRequest)),
    "BatchGetProfiles": Row(
        "READ", with_id(rpc.BatchGetProfilesRequest, identifiers=lambda person: [person.who], min_lsn=1)
    ),
    "ListEvents": Row("READ", read(rpc.ListEventsRequest, page_size=1)),
    "LookupProfiles": Row(
        "READ", with_id(rpc.LookupProfilesRequest, email_address=lambda person: person.email_address, min_lsn=1)
    ),
    "CountProfiles": Row("READ", with_id(rpc.CountProfilesRequest, filter=filter_of, min_lsn=1)),
    "ListProfiles": Row("READ", with_id(rpc.ListProfilesRequest, filter=filter_of, min_lsn=1)),
    "UpdateSubscription": Row("WRITE", update),
    "ConfirmSubscription": Row(
        "WRITE", with_id(rpc.ConfirmSubscriptionRequest, token=lambda person: person.confirmation)
    ),
    "AddSuppression": Row("WRITE", suppression(rpc.AddSuppressionRequest)),
    "RemoveSuppression": Row("WRITE", suppression(rpc.RemoveSuppressionRequest)),
    "CheckSendable": Row("READ", read(rpc.CheckSendableRequest, channel=EMAIL, message_class=1)),
    "CreateUnsubscribeToken": Row("READ", read(rpc.CreateUnsubscribeTokenRequest, channel=EMAIL)),
    "RedeemUnsubscribeToken": Row(
        "WRITE", with_id(rpc.RedeemUnsubscribeTokenRequest, token=lambda person: person.unsubscription)
    ),
    "ListConsentHistory": Row("READ", read(rpc.ListConsentHistoryRequest, page_size=1)),
    "VerifyConsentLedger": Row("READ", read(rpc.VerifyConsentLedgerRequest)),
    "BatchWrite": Row("WRITE", lambda person: batch(person, request_id=person.request_id)),
    "ImportProfiles": Row(
        "WRITE", lambda person: batch(person, rpc.ImportProfilesRequest, chunk_id=person.request_id)
    ),
    "EraseProfile": Row(
        "ERASE", with_id(rpc.EraseProfileRequest, identifier=lambda person: person.exist() and person.who)
    ),
    "ExportProfile": Row("READ", read(rpc.ExportProfileRequest)),
    "ExportProject": Row("EXPORT", with_id(rpc.ExportProjectRequest)),
    "DetachInstallation": Row(
        "WRITE",
        with_id(
            rpc.DetachInstallationRequest, installation_id=lambda person: person.exist() and person.installation_id
        ),
    ),
    # The first message is the response; what follows it is in test_watch_shows_nothing_of_another_project.
    "Watch": Row("READ", with_id(rpc.WatchRequest, from_lsn=1, identifiers=lambda person: [person.who])),
    "CreateTrigger": Row("ADMIN", with_id(rpc.CreateTriggerRequest, trigger=rpc.Trigger(event_name="visit"))),
    "ListTriggers": Row("READ", with_id(rpc.ListTriggersRequest)),
    # Without a request id, which would be reused by the probe of another trigger.
    "DeleteTrigger": Row(
        "ADMIN", lambda person: rpc.DeleteTriggerRequest(project=person.project, trigger_id=person.trigger_id)
    ),
    "WatchTriggers": Row(
        "ADMIN",
        with_id(
            rpc.WatchTriggersRequest,
            trigger_id=lambda person: person.watched_trigger_id,
            acknowledged_firing_ids=["01ARZ3NDEKTSV4RRFFQ69G5FAV"],
        ),
    ),
    "MergeProfiles": Row(
        "WRITE",
        with_id(
            rpc.MergeProfilesRequest,
            loser=lambda person: person.exist() and types.Identifier(installation_id=person.installation_id),
            survivor=lambda person: person.who,
        ),
    ),
    # Without a request id, which would be reused by the probe of another merge.
    "UnmergeProfile": Row(
        "WRITE", lambda person: rpc.UnmergeProfileRequest(project=person.project, merge_id=person.merge_id)
    ),
}

ADMIN = {
    "CreateProject": Row(OPERATOR, with_id(admin.CreateProjectRequest)),
    "GetProject": Row("ADMIN", with_id(admin.GetProjectRequest)),
    "ListProjects": Row(OPERATOR, lambda person: admin.ListProjectsRequest()),
    "UpdateProject": Row(
        "ADMIN", with_id(admin.UpdateProjectRequest, options=admin.ProjectOptions(double_opt_in=[SMS]))
    ),
    "DeleteProject": Row(OPERATOR, with_id(admin.DeleteProjectRequest)),
    "CreateKey": Row("ADMIN", with_id(admin.CreateKeyRequest, scopes=[4])),
    "RevokeKey": Row("ADMIN", with_id(admin.RevokeKeyRequest, key_id=lambda person: person.key_id)),
    "ListKeys": Row("ADMIN", with_id(admin.ListKeysRequest)),
    "GetStats": Row("ADMIN", with_id(admin.GetStatsRequest)),
    "CreateSnapshot": Row(OPERATOR, lambda person: admin.CreateSnapshotRequest()),
    "Backup": Row(OPERATOR, lambda person: admin.BackupRequest(destination="/nonexistent/folder")),
}

# Not part of the contract, and served without a key.
OPEN = {
    "grpc.health.v1.Health": ["Check", "Watch"],
    "grpc.reflection.v1.ServerReflection": ["ServerReflectionInfo"],
    "grpc.reflection.v1alpha.ServerReflection": ["ServerReflectionInfo"],
}

ROWS = {f"profiles.v1.Profiles.{name}": row for name, row in PROFILES.items()}
ROWS |= {f"profiles.v1.Admin.{name}": row for name, row in ADMIN.items()}
METHODS = {
    method.full_name: method
    for module in (rpc, admin)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}

# Fields that name something that belongs to a project: of a person that exists in one.
NAMING = {
    "custom_id": lambda person: person.custom_id,
    "installation_id": lambda person: person.installation_id,
    "profile_id": lambda person: person.profile_id,
    "email_address": lambda person: person.email_address,
    "phone_number": lambda person: person.phone_number,
    "address": lambda person: person.suppressed,
    "event_id": lambda person: person.event_id,
    "request_id": lambda person: person.request_id,
    "chunk_id": lambda person: person.request_id,
    "key_id": lambda person: person.key_id,
}
# The same, by RPC: what the server has made for one.
TOKENS = {
    "ListEvents.page_token": lambda person: person.events_page,
    "ListConsentHistory.page_token": lambda person: person.consent_page,
    "ExportProject.page_token": lambda person: person.export_page,
    "ConfirmSubscription.token": lambda person: person.confirmation,
    "RedeemUnsubscribeToken.token": lambda person: person.unsubscription,
    "ListProfiles.page_token": lambda person: person.profiles_page,
    "DeleteTrigger.trigger_id": lambda person: person.trigger_id,
    "WatchTriggers.trigger_id": lambda person: person.watched_trigger_id,
    "UnmergeProfile.merge_id": lambda person: person.merge_id,
    # Repeated: test_watch_triggers.py acknowledges what is another's.
    "WatchTriggers.acknowledged_firing_ids": None,
    # An operator's, who may see every project.
    "ListProjects.page_token": None,
}
# Filters that find a person by name.
FILTERS = {"CountProfiles.filter", "ListProfiles.filter"}
POSITIONS = {"min_lsn", "from_lsn"}
# Fields that name nothing that is kept: values, and choices of how to respond.
PLAIN = set(
    """actor acknowledged_at add allow_identified allow_partial attributes best_effort boolean cap cap_period_seconds
    channel channels concurrent_calls_max created_at delay_seconds delete destination display_name double_opt_in
    event_name event_names event_retention_days events_per_profile_max evidence expected_revision expires_at fields
    filter from guard_channel guard_topic historical in_flight_max include_historical integer ip items kinds label
    language late_window_seconds list logged_out lost merge_policy message_class metadata method must_exist name names
    number object objects occurred_at operator options order page_size pending platform read_mask reason reference
    region remove reset_consent_on_address_change scopes sent_at sequence set source state string tags text_version
    time timezone to topic topic_default_unsubscribed undo unless_event_name update_mask updates_per_second_max url
    user_agent validate_only ack_deadline_seconds best_effort""".split()
)


def leaves(kind: descriptor.Descriptor, seen=()):
    """The names of all fields of a message and of its parts."""
    for field in kind.fields:
        inner = field.message_type
        yield field
        if inner and inner.full_name not in seen and inner.file.package == "profiles.v1":
            if inner.GetOptions().map_entry:
                inner = inner.fields_by_name["value"].message_type
            if inner and inner.file.package == "profiles.v1" and inner.full_name not in seen:
                yield from leaves(inner, (*seen, kind.full_name, inner.full_name))


def is_classified(method, field):
    name, inner = field.name, field.message_type
    is_part = inner is not None and inner.file.package == "profiles.v1"
    return (
        is_part
        or name in PLAIN
        or name == "project"
        or name in NAMING
        or name in POSITIONS
        or f"{method.name}.{name}" in TOKENS
        # The output part of a definition, as of `Trigger`.
        or (name == "trigger_id" and field.containing_type.name == "Trigger")
    )


@dataclasses.dataclass
class Probe:
    """A request of the caller with one field of it replaced by what is another's."""

    path: str
    known: object
    unknown: object
    # What a position means depends on how far the server is, not on whose it is.
    is_position: bool = False
    # Custom IDs that the request names with the known and with the unknown value: a token or an event is that of a
    # person, and finds nothing if the request is about somebody else.
    people: tuple = ()

    def apply(self, request, is_known):
        """Replaces the field, which is one of those that `places` found."""
        if self.people and "filter" in request.DESCRIPTOR.fields_by_name:
            request.filter = listing(self.people[not is_known])
        elif self.people:
            above = self.path[: max(self.path.rfind(".events["), 0)]
            replace(request, f"{above}.identifier.custom_id".lstrip("."), self.people[not is_known])
        return replace(request, self.path, self.known if is_known else self.unknown)


def replace(request, path, value):
    for target, found, name in places(request):
        if found == path:
            setattr(target, "value" if target.DESCRIPTOR.full_name == "google.protobuf.StringValue" else name, value)
            return request
    raise AssertionError(f"no {path} in {request}")


def places(request, path=""):
    """Every field that names something, as (message, path, name): those that are set, and every kind of identifier."""
    for field in request.DESCRIPTOR.fields:
        name, inner, here = field.name, field.message_type, f"{path}.{field.name}".lstrip(".")
        if inner is None:
            # In a oneof only what is set, but for an identifier and a person, which are tried in each form.
            if not field.containing_oneof or field.containing_oneof.name in ("id", "person", "address"):
                yield request, here, name
        elif inner.full_name == "google.protobuf.StringValue" and name in NAMING:
            if request.HasField(name):
                yield getattr(request, name), here, name
        elif inner.file.package == "profiles.v1" and not inner.GetOptions().map_entry:
            values = getattr(request, name)
            found = list(values) if field.is_repeated else [values] if request.HasField(name) else []
            for index, value in enumerate(found):
                yield from places(value, f"{here}[{index}]" if field.is_repeated else here)


def probes(method, request, known, unknown, positions):
    """What to try with a request: everything in it that names something, as of `known` and as of `unknown`."""
    for _, path, name in list(places(request)):
        token = TOKENS.get(f"{method.name}.{name}")
        if token:
            # A page is asked for with the person of the same name in the caller's own project.
            fields = set(request.DESCRIPTOR.fields_by_name)
            is_of_person = name == "page_token" and bool({"identifier", "filter"} & fields)
            people = (known.custom_id, known.custom_id) if is_of_person else ()
            yield Probe(path, token(known), altered(token(known)), people=people)
        elif name == "event_id":
            people = (known.custom_id, unknown.custom_id)
            yield Probe(path, known.event_id, unknown.event_id, people=people)
        elif f"{method.name}.{name}" in FILTERS:
            yield Probe(path, listing(known.custom_id), listing(unknown.custom_id))
        elif name in POSITIONS:
            yield Probe(path, positions[0], positions[1], is_position=True)
        elif name in NAMING and not (name == "request_id" and "." in path):
            of = NAMING[name]
            if name in ("profile_id", "key_id"):
                yield Probe(path, of(known), altered(of(known)) if name == "profile_id" else "z" * len(of(known)))
            else:
                yield Probe(path, of(known), of(unknown))
