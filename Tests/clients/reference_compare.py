"""Compares everything that a client can see of the service with the reference model."""

import grpc

import reference_attributes as attributes_of
import reference_consent as consent_of
from conftest import Failure, profiles_pb2 as rpc, types_pb2 as types
from google.protobuf import timestamp_pb2
from profiles.v1 import admin_pb2 as admin
from reference_profile import SECOND, micros, show, timestamp

# Only a server that hangs takes so long, also on a busy machine.
TIMEOUT_SECONDS = 300
# The server uses the same clock; a tick of a loop may have read it slightly earlier.
CLOCK_SLACK = 5 * SECOND


class Difference(Exception):
    """The service and the model differ."""


def lines(message, path=""):
    """Every set field as `path = value`; times in seconds."""
    if isinstance(message, timestamp_pb2.Timestamp):
        return [f"{path} = {micros(message) / SECOND:.6f}"]
    found = []
    for field, value in message.ListFields():
        name = f"{path}.{field.name}" if path else field.name
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        parts = (
            [(f"{name}[{key}]", value[key]) for key in sorted(value)]
            if is_map
            else [(f"{name}[{index}]", item) for index, item in enumerate(value)]
            if field.is_repeated
            else [(name, value)]
        )
        for where, part in parts:
            found += (
                lines(part, where) or [f"{where} = (empty)"] if hasattr(part, "ListFields") else [f"{where} = {part!r}"]
            )
    return found


def expect(same, what, expected, found):
    if same:
        return
    if hasattr(expected, "DESCRIPTOR") and hasattr(found, "DESCRIPTOR"):
        mine, theirs = lines(expected), lines(found)
        expected = [line for line in mine if mine.count(line) > theirs.count(line)]
        found = [line for line in theirs if theirs.count(line) > mine.count(line)]
    raise Difference(f"{what}\n    expected {expected}\n    found    {found}")


def sort_field(items, key):
    ordered = sorted(items, key=key)
    copies = [type(item).FromString(item.SerializeToString()) for item in ordered]
    del items[:]
    items.extend(copies)


def normal_profile(profile):
    """Lists whose order the contract leaves open are sorted; element order of attributes is kept."""
    sort_field(profile.installations, lambda item: item.installation_id)
    sort_field(profile.subscriptions.items, lambda item: (item.channel, item.topic))
    if not profile.subscriptions.items:
        profile.ClearField("subscriptions")
    if not profile.native.ListFields():
        profile.ClearField("native")
    sort_field(profile.event_counters, lambda item: item.name)
    sort_field(profile.aliases, lambda item: item.SerializeToString())
    return profile


def normal(response):
    """A copy of a response without anything that the contract leaves open."""
    response = type(response).FromString(response.SerializeToString())
    if isinstance(response, (rpc.IdentifyResponse, rpc.MergeProfilesResponse)):
        normal_profile(response.profile)
        sort_field(response.warnings, lambda item: (item.reason, item.name, item.identifier.installation_id))
    elif isinstance(response, rpc.UnmergeProfileResponse):
        normal_profile(response.profile)
        normal_profile(response.restored)
        sort_field(response.warnings, lambda item: (item.reason, item.name, item.identifier.installation_id))
    elif isinstance(response, rpc.TrackResponse):
        for result in response.results:
            if result.status == types.EVENT_STATUS_REJECTED:
                code = result.error.code
                for name in ("error", "effective_time", "profile_id", "event_id"):
                    result.ClearField(name)
                result.error.code = code
    elif isinstance(response, admin.Project):
        response.ClearField("limits")
    elif isinstance(response, rpc.UpdateSubscriptionResponse):
        sort_field(response.subscriptions.items, lambda item: (item.channel, item.topic))
        if not response.subscriptions.items:
            response.ClearField("subscriptions")
    elif isinstance(response, rpc.ImportProfilesResponse):
        for rejection in response.rejections:
            failure = Failure.__new__(Failure)
            failure.violations, failure.reason, failure.metadata = {}, rejection.error.message, {}
            failure.read(rejection.error)
            code = rejection.error.code
            rejection.ClearField("error")
            rejection.error.code, rejection.error.message = code, failure.reason
    elif isinstance(response, rpc.BatchWriteResponse):
        for result in response.results:
            kind = result.WhichOneof("result")
            if kind == "error":
                failure = Failure.__new__(Failure)
                failure.violations, failure.reason, failure.metadata = {}, result.error.message, {}
                failure.read(result.error)
                code = result.error.code
                result.ClearField("error")
                result.error.code, result.error.message = code, failure.reason
            else:
                getattr(result, kind).CopyFrom(normal(getattr(result, kind)))
    return response


class Comparisons:
    """The part of a run that reads and compares; `Run` has the model, the service and what was named."""

    def compare_responses(self, response, failure, predicted, rejected):
        found = f"{failure.code.name} {failure.reason}" if failure else "OK"
        expected = f"{rejected.code} {rejected.reason}" if rejected else "OK"
        expect(found == expected, "code and reason", expected, found + (f" {failure.violations}" if failure else ""))
        if not rejected:
            mine, theirs = normal(predicted), normal(response)
            return expect(mine == theirs, type(response).__name__, mine, theirs)
        for name, value in rejected.metadata.items():
            expect(failure.metadata.get(name) == value, f"metadata {name}", value, failure.metadata.get(name))
        if rejected.index is not None and rejected.reason != "TIME_WINDOW":
            expect(
                failure.metadata.get("index") == str(rejected.index), "metadata index", rejected.index, failure.metadata
            )

    def compare_profile(self, identifier, metadata=False):
        profile, project = self.model.find(identifier), self.projects.all[self.project]
        request = rpc.GetProfileRequest(project=self.project, identifier=identifier, metadata=metadata)
        try:
            response = self.service.stub.GetProfile(request, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            if project.due or not project.exists:
                reason, wanted = Failure(error).reason, "PROJECT_DELETED" if project.due else "PROJECT_NOT_FOUND"
                return expect(reason == wanted, f"GetProfile {identifier}", wanted, reason)
            return expect(
                error.code() == grpc.StatusCode.NOT_FOUND and not profile,
                f"GetProfile {identifier}",
                "OK" if profile else "NOT_FOUND",
                error.code(),
            )
        expect(
            profile is not None and project.exists and not project.due, f"GetProfile {identifier}", "NOT_FOUND", "OK"
        )
        redirected = self.model.redirected(identifier)
        expect(response.redirected_from == redirected, "redirected_from", redirected, response.redirected_from)
        if metadata:
            self.compare_metadata(profile, response.profile.attribute_metadata)
            response.profile.ClearField("attribute_metadata")
        mine, theirs = normal_profile(show(profile)), normal_profile(response.profile)
        expect(mine == theirs, f"GetProfile {str(identifier).strip()}", mine, theirs)

    def compare_metadata(self, profile, found):
        for name, attribute in profile.attributes.items():
            # The contract leaves open whether a list's metadata describes its last `set` or its newest element.
            if attribute.is_deleted or attribute.elements is not None or name in attributes_of.NATIVE:
                continue
            mine = types.AttributeMetadata(lsn=attribute.base[1])
            if attribute.source.ListFields():
                mine.source.CopyFrom(attribute.source)
            timestamp(attribute.base[0], mine.effective_time)
            theirs = (
                types.AttributeMetadata.FromString(found[name].SerializeToString())
                if name in found
                else types.AttributeMetadata()
            )
            if not theirs.source.ListFields():
                theirs.ClearField("source")
            expect(mine == theirs, f"attribute_metadata {name}", mine, theirs)

    def compare_all(self, built):
        """Everything that can be read of every project and identifier."""
        for project in self.requests.projects:
            self.enter(project)
            if "GetStats" in built:
                self.compare_project()
            if self.projects.all[project].exists and not self.projects.all[project].due:
                self.compare_base(built)
                # Other seeds put people into `default`.
                if {"CountProfiles", "ListProfiles"} <= built and project != "default":
                    self.compare_lists()
                if "ListTriggers" in built:
                    self.compare_triggers()
                if "Watch" in built:
                    self.compare_feed()

    def compare_project(self):
        name, project = self.project, self.projects.all[self.project]
        found, failure = self.send("GetProject", admin.GetProjectRequest(project=name))
        if not project.exists:
            return expect(failure and failure.reason == "PROJECT_NOT_FOUND", f"GetProject {name}", "NOT_FOUND", found)
        # Of `default` this run knows neither the time nor what other seeds put into it.
        if name == "default":
            return expect(found is not None, "GetProject default", "OK", failure)
        mine = self.projects.show(name)
        limit = found.limits["late_window_seconds"]
        expect(limit == mine.options.late_window_seconds, "limits", mine.options.late_window_seconds, limit)
        expect(mine == normal(found), f"GetProject {name}", mine, normal(found))
        if project.due:
            return None
        people = self.model.profiles.values()
        counts = (
            len(people),
            sum(1 for profile in people if profile.custom_id),
            sum(len(profile.events) for profile in people),
        )
        stats, _ = self.send("GetStats", admin.GetStatsRequest(project=name))
        found = (stats.profiles, stats.identified, stats.events)
        expect(counts == found, "profiles, identified ones and events of GetStats", counts, found)
        received = stats.stored + stats.duplicate + stats.stale + stats.rejected
        return expect(stats.received == received, "received of GetStats", received, stats.received)

    def compare_base(self, built):
        for name in self.names:
            identifier = self.requests.identifier(name, self.first_ids)
            self.compare_profile(identifier, metadata=True)
            profile = self.model.find(identifier)
            if not profile:
                continue
            if "ListEvents" in built:
                self.compare_events(identifier, profile)
            if "ListConsentHistory" in built:
                self.compare_ledger(identifier, profile)
            if "CheckSendable" in built:
                self.compare_sendable(identifier, profile)
            if "ExportProfile" in built:
                self.compare_export(identifier, profile)
        if "ExportProject" in built:
            self.compare_project_export()

    def compare_events(self, identifier, profile):
        expected = [event for _, event in profile.events]
        for order in (types.EVENT_ORDER_NEWEST_FIRST, types.EVENT_ORDER_OLDEST_FIRST):
            found, token = [], ""
            while True:
                page = self.service.stub.ListEvents(
                    rpc.ListEventsRequest(
                        project=self.project, identifier=identifier, order=order, page_size=37, page_token=token
                    ),
                    timeout=TIMEOUT_SECONDS,
                )
                found += page.events
                token = page.next_page_token
                if not token:
                    break
            mine = expected if order == types.EVENT_ORDER_OLDEST_FIRST else expected[::-1]
            expect(
                [event.event_id for event in mine] == [event.event_id for event in found],
                f"ListEvents {identifier}",
                [event.event_id for event in mine],
                [event.event_id for event in found],
            )
            for one, other in zip(mine, found):
                expect(one == other, f"ListEvents {identifier}", one, other)

    def compare_ledger(self, identifier, profile):
        found, token = {}, ""
        while True:
            page = self.service.stub.ListConsentHistory(
                rpc.ListConsentHistoryRequest(
                    project=self.project, identifier=identifier, page_size=23, page_token=token
                ),
                timeout=TIMEOUT_SECONDS,
            )
            for entry in page.entries:
                found.setdefault(entry.profile_id, []).append(entry)
            token = page.next_page_token
            if not token:
                break
        expected = {ledger[0].profile_id: ledger for ledger in [profile.ledger, *profile.merged_ledgers] if ledger}
        expect(set(expected) == set(found), f"ledgers of {identifier}", sorted(expected), sorted(found))
        for profile_id, ledger in expected.items():
            expect(len(ledger) == len(found[profile_id]), "entries of a ledger", len(ledger), len(found[profile_id]))
            head = bytes(32)
            for mine, theirs in zip(ledger, found[profile_id]):
                expect(mine == theirs, f"ledger of {identifier}", mine, theirs)
                again = types.ConsentEntry.FromString(theirs.SerializeToString())
                head = consent_of.chain(again, head)
                expect(again == theirs, "chain of a ledger", again, theirs)

    def compare_sendable(self, identifier, profile):
        for channel, topic, message_class in (
            (1, "", 1),
            (2, "", 1),
            (3, "", 1),
            (1, "", 2),
            (2, "t0", 1),
            (1, "t1", 1),
            (3, "t2", 1),
        ):
            response = self.service.stub.CheckSendable(
                rpc.CheckSendableRequest(
                    project=self.project,
                    identifier=identifier,
                    channel=channel,
                    topic=topic,
                    message_class=message_class,
                ),
                timeout=TIMEOUT_SECONDS,
            )
            mine = consent_of.check_sendable(
                profile, self.model.suppressed, channel, topic, message_class, self.model.topics_by_default
            )
            expect(
                (response.sendable, response.reason) == mine,
                f"CheckSendable {identifier} {channel} {topic} {message_class}",
                mine,
                (response.sendable, response.reason),
            )
