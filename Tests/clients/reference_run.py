"""Runs the same operations on the reference model and on the service, and compares everything that a client can see."""

import collections
import time

import grpc

import reference_attributes as attributes_of
import reference_consent as consent_of
import reference_erasure as erasure_of
from conftest import Failure, profiles_pb2 as rpc, types_pb2 as types
from google.protobuf import timestamp_pb2
from reference_attributes import Rejected
from reference_model import Learned, Model
from reference_operations import Requests, affected
from reference_profile import SECOND, micros, show, timestamp

TIMEOUT_SECONDS = 60
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
    if isinstance(response, rpc.IdentifyResponse):
        normal_profile(response.profile)
        sort_field(response.warnings, lambda item: (item.reason, item.name, item.identifier.installation_id))
    elif isinstance(response, rpc.TrackResponse):
        for result in response.results:
            if result.status == types.EVENT_STATUS_REJECTED:
                code = result.error.code
                for name in ("error", "effective_time", "profile_id", "event_id"):
                    result.ClearField(name)
                result.error.code = code
    elif isinstance(response, rpc.UpdateSubscriptionResponse):
        sort_field(response.subscriptions.items, lambda item: (item.channel, item.topic))
        if not response.subscriptions.items:
            response.ClearField("subscriptions")
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


def seen_in(response):
    """The outcomes, reasons and warnings in a response, for the statistics."""
    if response.DESCRIPTOR.fields_by_name.get("replayed") and response.replayed:
        yield "replayed"
    elif isinstance(response, rpc.IdentifyResponse):
        yield types.Outcome.Name(response.outcome)
        yield from (warning.reason for warning in response.warnings)
        yield from ["ignored_stale"] * bool(response.ignored_stale)
    elif isinstance(response, rpc.TrackResponse):
        for result in response.results:
            yield types.EventStatus.Name(result.status)
            yield from ["late for a former holder"] * (result.profile_id not in ("", response.profile_id))
    elif isinstance(response, rpc.EraseProfileResponse):
        yield "erased" if response.existed else "nobody to erase"
    elif isinstance(response, rpc.UpdateSubscriptionResponse):
        yield from ("change applied" if result.applied else "change not applied" for result in response.results)
    elif isinstance(response, rpc.BatchWriteResponse):
        for result in response.results:
            kind = result.WhichOneof("result")
            yield from [f"in a batch: {result.error.message}"] if kind == "error" else seen_in(getattr(result, kind))


class Run:
    """One seed under one prefix."""

    def __init__(self, service, prefix, number, base=None):
        self.service = service
        self.model = Model()
        self.requests = Requests(prefix, number, base or int(time.time()) - 10)
        self.prefix = prefix
        # The profile_id of the first holder of each device and person.
        self.first_ids = {}
        self.names = []
        # Counts of outcomes, reasons and warnings: the coverage of the seeds.
        self.seen = collections.Counter()
        self.last_lsn = self.last_received = 0

    def find(self, name):
        return self.model.find(self.requests.identifier(name, self.first_ids))

    def get(self, name, **fields):
        return rpc.GetProfileRequest(
            project="default", identifier=self.requests.identifier(name, self.first_ids), **fields
        )

    # MARK: One operation

    def step(self, operation, kill_after=None):
        """Applies an operation to both; the server may be killed during it, after `kill_after` seconds."""
        method, request = self.requests.make(operation, self.first_ids, self.revision_of)
        killed = kill_after is not None and not request.request_id
        if killed:
            request.request_id = f"{self.prefix}kill-{len(self.model.requests)}"
            self.send_and_kill(method, request, kill_after)
        names = affected(operation)
        before = {profile.id for name in names if (profile := self.find(name))}
        response, failure = self.send(method, request)
        if response and killed:
            self.forget_replayed(response)
        learned = self.learn(method, request, response, names)
        try:
            predicted, rejected = self.model.call(method, request, learned), None
        except Rejected as error:
            predicted, rejected = None, error
        self.compare_responses(response, failure, predicted, rejected)
        self.seen.update([rejected.reason] if rejected else seen_in(predicted))
        for name in names:
            profile = self.find(name)
            if profile and not name.startswith("id of "):
                self.first_ids.setdefault(name, profile.id)
                if name not in self.names:
                    self.names.append(name)
        after = {profile.id for name in names if (profile := self.find(name))}
        if isinstance(predicted, rpc.TrackResponse):
            after |= {result.profile_id for result in predicted.results if result.profile_id}
        for name in names:
            self.compare_profile(self.requests.identifier(name, self.first_ids))
        for profile_id in sorted(before | after):
            self.compare_profile(types.Identifier(profile_id=profile_id))

    def send(self, method, request):
        try:
            return getattr(self.service.stub, method)(request, timeout=TIMEOUT_SECONDS), None
        except grpc.RpcError as error:
            return None, Failure(error)

    def send_and_kill(self, method, request, kill_after):
        """Sends a request whose outcome stays unknown; when it is repeated with the same id, it must be applied exactly
        once."""
        call = getattr(self.service.stub, method).future(request, timeout=TIMEOUT_SECONDS)
        time.sleep(kill_after)
        self.service.kill_and_restart()
        call.cancel()

    @staticmethod
    def forget_replayed(response):
        """Clears `replayed`, because it is unknown whether the first attempt was stored."""
        response.replayed = False
        if isinstance(response, rpc.BatchWriteResponse):
            for result in response.results:
                if (kind := result.WhichOneof("result")) != "error":
                    getattr(result, kind).replayed = False

    def revision_of(self, request):
        """The model's revision of the profile that the response will contain."""
        if not isinstance(request, rpc.IdentifyRequest):
            profile = self.model.find(request.identifier)
        elif request.custom_id:
            known = self.model.profiles.get(self.model.customs.get(request.custom_id))
            holder = self.model.profiles.get(self.model.devices.get(request.installation_id))
            profile = known or (holder if holder and not holder.custom_id else None)
        else:
            profile = self.model.profiles.get(self.model.devices.get(request.installation_id))
        return profile.revision if profile else 0

    # MARK: What only the server knows

    def learn(self, method, request, response, names):
        now = time.time_ns() // 1_000
        if response is None:
            # Rejected: any lsn that is greater than all previous ones.
            return self.learned(self.last_lsn + 1_000, now, request)
        if getattr(response, "replayed", False):
            return self.learned(response.lsn, now, request)
        expect(response.lsn > self.last_lsn, "lsn does not rise", f"> {self.last_lsn}", response.lsn)
        self.last_lsn = response.lsn
        received = max(self.times_seen(response, names), default=0)
        if received <= self.last_received:
            received = now
        expect(abs(received - now) < CLOCK_SLACK, "received_at", now, received)
        self.last_received = received
        return self.learned(response.lsn, received, request, response)

    def learned(self, lsn, received, request, response=None):
        its = Learned(lsn, received)
        if isinstance(request, rpc.BatchWriteRequest):
            results = response.results if response else [rpc.WriteResult()] * len(request.operations)
            kinds = [operation.WhichOneof("operation") for operation in request.operations]
            inner = [getattr(result, kind) if result.HasField(kind) else None for result, kind in zip(results, kinds)]
            its.operations = [
                self.learned(one.lsn if one else lsn, received, getattr(operation, kind), one)
                for operation, kind, one in zip(request.operations, kinds, inner)
            ]
            for index, operation in enumerate(its.operations):
                operation.profile_id = f"?{index}"
            if response:
                self.learn_ids_of_batch(request, inner, its)
        elif isinstance(request, rpc.IdentifyRequest):
            its.profile_id = response.profile.profile_id if response else "?"
            its.merge_id = response.merge_id if response else ""
        elif isinstance(request, rpc.TrackRequest):
            its.profile_id = response.profile_id if response else "?"
            its.event_ids = (
                [result.event_id for result in response.results]
                if response
                else [f"made {index}" for index in range(len(request.events))]
            )
        elif isinstance(request, rpc.UpdateSubscriptionRequest):
            its.profile_id = response.profile_id if response else "?"
        if response and its.profile_id and its.profile_id not in self.model.profiles:
            expect(len(its.profile_id) == 26, "profile_id of a new profile", "26 characters", its.profile_id)
        if its.merge_id:
            expect(len(its.merge_id) == 26, "merge_id", "26 characters", its.merge_id)
        return its

    def learn_ids_of_batch(self, request, inner, its):
        """The id of a profile that a batch creates and then merges into another is not in the response of the creating
        operation.

        So the model applies the batch once with ids of our own, which shows to which profile each received id belongs.
        """
        saved = self.model.save()
        try:
            trial = self.model.BatchWrite(request, its)
        except Rejected:
            # The status was OK; the comparison will report the difference.
            return self.model.restore(saved)
        then = [getattr(result, result.WhichOneof("result")) for result in trial.results]
        for operation, found in zip(its.operations, inner):
            mine = operation.profile_id
            if found is None:
                continue
            operation.profile_id = (
                found.profile.profile_id if isinstance(found, rpc.IdentifyResponse) else found.profile_id
            )
            survivor = self.model.survivor(mine)
            if not survivor or survivor.id == mine or not isinstance(found, rpc.IdentifyResponse):
                continue
            named = [
                other.profile_id
                for one, other in zip(then, inner)
                if other and not isinstance(other, rpc.IdentifyResponse) and getattr(one, "profile_id", "") == mine
            ]
            shown = found.profile.aliases
            expect(len(shown) == len(survivor.aliases), "aliases after a batch", survivor.aliases, shown)
            operation.profile_id = named[0] if named else shown[survivor.aliases.index(mine)].profile_id
        self.model.restore(saved)

    def times_seen(self, response, names):
        """Times of receipt that can be observed after a call."""
        parts = [response]
        if isinstance(response, rpc.BatchWriteResponse):
            parts = [
                getattr(result, kind) for result in response.results if (kind := result.WhichOneof("result")) != "error"
            ]
        if isinstance(response, rpc.EraseProfileResponse):
            yield micros(response.log_purge_due) - erasure_of.PURGE_WITHIN
        for part in parts:
            for entry in getattr(part, "entries", ()):
                yield micros(entry.received_at)
        profiles = [part.profile for part in parts if isinstance(part, rpc.IdentifyResponse)]
        if not isinstance(response, (rpc.AddSuppressionResponse, rpc.RemoveSuppressionResponse)):
            for name in names:
                try:
                    profiles.append(self.service.stub.GetProfile(self.get(name), timeout=TIMEOUT_SECONDS).profile)
                except grpc.RpcError as error:
                    expect(
                        error.code() == grpc.StatusCode.NOT_FOUND, f"GetProfile {name}", "OK or NOT_FOUND", error.code()
                    )
        for profile in profiles:
            yield micros(profile.last_seen_at)
            yield micros(profile.updated_at)

    # MARK: Comparing

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
        profile = self.model.find(identifier)
        request = rpc.GetProfileRequest(project="default", identifier=identifier, metadata=metadata)
        try:
            response = self.service.stub.GetProfile(request, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            return expect(
                error.code() == grpc.StatusCode.NOT_FOUND and not profile,
                f"GetProfile {identifier}",
                "OK" if profile else "NOT_FOUND",
                error.code(),
            )
        expect(profile is not None, f"GetProfile {identifier}", "NOT_FOUND", "OK")
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
        """Everything that can be read of every identifier."""
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

    def compare_events(self, identifier, profile):
        expected = [event for _, event in profile.events]
        for order in (types.EVENT_ORDER_NEWEST_FIRST, types.EVENT_ORDER_OLDEST_FIRST):
            found, token = [], ""
            while True:
                page = self.service.stub.ListEvents(
                    rpc.ListEventsRequest(
                        project="default", identifier=identifier, order=order, page_size=37, page_token=token
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
                rpc.ListConsentHistoryRequest(project="default", identifier=identifier, page_size=23, page_token=token),
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
                    project="default", identifier=identifier, channel=channel, topic=topic, message_class=message_class
                ),
                timeout=TIMEOUT_SECONDS,
            )
            mine = consent_of.check_sendable(profile, self.model.suppressed, channel, topic, message_class)
            expect(
                (response.sendable, response.reason) == mine,
                f"CheckSendable {identifier} {channel} {topic} {message_class}",
                mine,
                (response.sendable, response.reason),
            )
