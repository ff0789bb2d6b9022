"""Runs the same operations on the reference model and on the service; reference_compare.py compares the two."""

import collections
import time

import grpc

import reference_erasure as erasure_of
from conftest import Failure, profiles_pb2 as rpc, types_pb2 as types
from profiles.v1 import admin_pb2 as admin
from reference_attributes import Rejected
from reference_compare import CLOCK_SLACK, TIMEOUT_SECONDS, Comparisons, expect
from reference_export import ExportComparisons
from reference_identity import IdentityComparisons
from reference_imports import inner_of, lsns_of
from reference_lists import ListComparisons
from reference_watch import FeedComparisons
from reference_model import Learned
from reference_operations import affected
from reference_profile import SECOND, micros
from reference_projects import METHODS, Projects
from reference_requests import Requests


def now():
    return time.time_ns() // 1_000


# The merges of an import have an id that nobody is told.
MERGE_ID_CHARACTERS = 26


def seen_in(response):
    """The outcomes, reasons and warnings in a response, for the statistics."""
    if isinstance(response, (admin.Project, admin.DeleteProjectResponse)):
        yield "project"
    elif response.DESCRIPTOR.fields_by_name.get("replayed") and response.replayed:
        yield "replayed"
    elif isinstance(response, rpc.IdentifyResponse):
        yield types.Outcome.Name(response.outcome)
        yield from (warning.reason for warning in response.warnings)
        yield from ["ignored_stale"] * bool(response.ignored_stale)
    elif isinstance(response, rpc.MergeProfilesResponse):
        yield "merged" if response.merge_id else "merged with itself"
    elif isinstance(response, rpc.UnmergeProfileResponse):
        yield "unmerged"
    elif isinstance(response, rpc.DetachInstallationResponse):
        yield "detached" if response.profile_id != response.former_profile_id else "detached already"
    elif isinstance(response, rpc.TrackResponse):
        for result in response.results:
            yield types.EventStatus.Name(result.status)
            yield from ["late for a former holder"] * (result.profile_id not in ("", response.profile_id))
    elif isinstance(response, rpc.EraseProfileResponse):
        yield "erased" if response.existed else "nobody to erase"
    elif isinstance(response, rpc.UpdateSubscriptionResponse):
        yield from ("change applied" if result.applied else "change not applied" for result in response.results)
    elif isinstance(response, rpc.ImportProfilesResponse):
        yield from (f"in an import: {rejection.error.message}" for rejection in response.rejections)
        yield from ["applied by an import"] * response.applied + ["unchanged by an import"] * response.unchanged
    elif isinstance(response, rpc.BatchWriteResponse):
        for result in response.results:
            kind = result.WhichOneof("result")
            yield from [f"in a batch: {result.error.message}"] if kind == "error" else seen_in(getattr(result, kind))


class Run(Comparisons, FeedComparisons, ListComparisons, ExportComparisons, IdentityComparisons):
    """One seed under one prefix."""

    def __init__(self, service, prefix, number, base=None):
        self.service = service
        self.requests = Requests(prefix, number, base or int(time.time()) - 10)
        self.prefix = prefix
        self.projects = Projects(self.requests.projects[1:], service.delete_seconds)
        # By project: the profile_id of the first holder of each device and person, and all that were named.
        self.known = {name: ({}, []) for name in self.requests.projects}
        self.enter("default")
        # Counts of outcomes, reasons and warnings: the coverage of the seeds.
        self.seen = collections.Counter()
        self.last_lsn = self.last_received = 0
        # When the present call was sent first.
        self.called = 0
        self.markers = 0
        self.first_lsn = self.head_lsn() + 1

    def enter(self, project):
        """Makes a project that of everything that follows."""
        self.project = self.requests.project = project
        self.model = self.projects.all[project].model
        self.first_ids, self.names = self.known[project]
        self.requests.triggers = list(self.model.triggers)
        self.requests.merges = [name for name in self.model.merges if len(name) == MERGE_ID_CHARACTERS]

    def find(self, name):
        return self.model.find(self.requests.identifier(name, self.first_ids))

    def get(self, name, **fields):
        return rpc.GetProfileRequest(
            project=self.project, identifier=self.requests.identifier(name, self.first_ids), **fields
        )

    # MARK: One operation

    def step(self, operation, kill_after=None):
        """Applies an operation to both; the server may be killed during it, after `kill_after` seconds."""
        self.enter(self.requests.projects[operation.get("project", 0)])
        if operation.get("undo_merge"):
            self.merge_and_undo(operation, lambda: self.apply(operation, kill_after))
        else:
            self.apply(operation, kill_after)

    def apply(self, operation, kill_after):
        method, request = self.requests.make(operation, self.first_ids, self.revision_of)
        killed, self.called = kill_after is not None and not getattr(request, "request_id", ""), now()
        if killed:
            if method != "ImportProfiles":
                request.request_id = f"{self.prefix}kill-{len(self.seen)}-{self.last_lsn}"
            self.send_and_kill(method, request, kill_after)
        is_known = method == "ImportProfiles" and (method, request.chunk_id) in self.model.requests
        names = list(dict.fromkeys(affected(operation)))
        before = {profile.id for name in names if (profile := self.find(name))}
        response, failure = self.send(method, request)
        if response and killed and not is_known:
            self.forget_replayed(response)
        learned = self.learn(method, request, response, names)
        try:
            predicted, rejected = self.projects.call(method, request, learned), None
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
        if isinstance(predicted, rpc.UnmergeProfileResponse):
            after |= {predicted.profile.profile_id, predicted.restored.profile_id}
        for name in names:
            self.compare_profile(self.requests.identifier(name, self.first_ids))
        for profile_id in sorted(before | after):
            self.compare_profile(types.Identifier(profile_id=profile_id))

    def send(self, method, request):
        stub = self.service.stub_of(method)
        try:
            if method == "ImportProfiles":
                (response,) = stub.ImportProfiles(iter([request]), timeout=TIMEOUT_SECONDS)
                return response, None
            return getattr(stub, method)(request, timeout=TIMEOUT_SECONDS), None
        except grpc.RpcError as error:
            return None, Failure(error)

    def send_and_kill(self, method, request, kill_after):
        """Sends a request whose outcome stays unknown; when it is repeated with the same id, it must be applied exactly
        once."""
        stub = self.service.stub_of(method)
        if method == "ImportProfiles":
            call = stub.ImportProfiles(iter([request]), timeout=TIMEOUT_SECONDS)
        else:
            call = getattr(stub, method).future(request, timeout=TIMEOUT_SECONDS)
        time.sleep(kill_after)
        self.service.kill_and_restart()
        call.cancel()

    @staticmethod
    def forget_replayed(response):
        """Clears `replayed`, because it is unknown whether the first attempt was stored."""
        if "replayed" in response.DESCRIPTOR.fields_by_name:
            response.replayed = False
        if isinstance(response, rpc.BatchWriteResponse):
            for result in response.results:
                if (kind := result.WhichOneof("result")) != "error":
                    getattr(result, kind).replayed = False

    def revision_of(self, request):
        """The model's revision of the profile that the response will contain."""
        if isinstance(request, rpc.MergeProfilesRequest):
            profile = self.model.find(request.survivor)
        elif not isinstance(request, rpc.IdentifyRequest):
            profile = self.model.find(request.identifier)
        elif request.custom_id:
            known = self.model.person(request.custom_id)
            holder = self.model.profiles.get(self.model.devices.get(request.installation_id))
            profile = known or (holder if holder and not holder.custom_id else None)
        else:
            profile = self.model.profiles.get(self.model.devices.get(request.installation_id))
        return profile.revision if profile else 0

    # MARK: What only the server knows

    def learn(self, method, request, response, names):
        if response is None:
            # Rejected: any lsn that is greater than all previous ones.
            return self.learned(self.last_lsn + 1_000, now(), request)
        if method in METHODS:
            return self.learn_of_project(method, request, response)
        if getattr(response, "replayed", False):
            return self.learned(response.lsn, now(), request)
        expect(response.lsn > self.last_lsn, "lsn does not rise", f"> {self.last_lsn}", response.lsn)
        self.last_lsn = response.lsn
        responded = now()
        received = max(self.times_seen(response, names), default=0)
        if received <= self.last_received:
            received = responded
        self.expect_time("received_at", received, responded)
        self.last_received = received
        return self.learned(response.lsn, received, request, response)

    def learn_of_project(self, method, request, response):
        responded = now()
        project, its = self.projects.all[self.project], Learned(self.last_lsn, responded)
        if isinstance(response, admin.Project):
            its.created = micros(response.created_at)
            if not project.exists:
                self.expect_time("created_at", its.created, responded)
        elif response.HasField("delete_due"):
            its.due = micros(response.delete_due)
            # A replayed deletion has the time of then, also if it was undone since.
            if not project.due and (method, request.request_id) not in project.model.requests:
                self.expect_time("delete_due", its.due - self.projects.delay * SECOND, responded)
        return its

    def expect_time(self, what, time, responded):
        """A time at which the server received the present call."""
        earliest, latest = self.called - CLOCK_SLACK, responded + CLOCK_SLACK
        expect(earliest < time < latest, what, f"{earliest} ... {latest}", time)

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
        elif isinstance(request, rpc.ImportProfilesRequest):
            its.operations, end = [], lsn
            for index, (_, inner) in reversed(list(enumerate(map(inner_of, request.operations)))):
                its.operations.insert(0, self.learned(end, received, inner))
                its.operations[0].profile_id = f"?{index}"
                end -= lsns_of(inner)
            if response:
                self.learn_ids_of_import(request, its)
        elif isinstance(request, rpc.IdentifyRequest):
            its.profile_id = response.profile.profile_id if response else "?"
            its.merge_id = response.merge_id if response else ""
        elif isinstance(request, rpc.UnmergeProfileRequest):
            its.shown = response
        elif isinstance(request, rpc.MergeProfilesRequest):
            its.merge_id = response.merge_id if response else ""
        elif isinstance(request, rpc.DetachInstallationRequest):
            its.profile_id = response.profile_id if response else "?"
        elif isinstance(request, rpc.TrackRequest):
            its.profile_id = response.profile_id if response else "?"
            its.event_ids = (
                [result.event_id for result in response.results]
                if response
                else [f"made {index}" for index in range(len(request.events))]
            )
        elif isinstance(request, rpc.UpdateSubscriptionRequest):
            its.profile_id = response.profile_id if response else "?"
        elif isinstance(request, rpc.CreateTriggerRequest):
            its.profile_id = response.trigger.trigger_id if response else "?"
        if response and its.profile_id and its.profile_id not in self.model.profiles:
            expect(len(its.profile_id) == 26, "profile_id of a new profile", "26 characters", its.profile_id)
        if its.merge_id:
            expect(len(its.merge_id) == 26, "merge_id", "26 characters", its.merge_id)
        return its

    def learn_ids_of_import(self, request, its):
        """The response of an import names no profile; the model applies it once with ids of our own, which shows by
        which identifier each profile that it makes is found."""
        saved = self.model.save()
        self.model.ImportProfiles(request, its)
        learned = {}
        for operation in its.operations:
            survivor = self.model.survivor(operation.profile_id)
            if not survivor:
                continue
            name = types.Identifier(custom_id=survivor.custom_id)
            if not survivor.custom_id:
                name = types.Identifier(installation_id=min(survivor.devices))
            get = rpc.GetProfileRequest(project=self.project, identifier=name)
            try:
                found = self.service.stub.GetProfile(get, timeout=TIMEOUT_SECONDS).profile
            except grpc.RpcError as error:
                expect(False, f"GetProfile {name} behind an import", "OK", error.code())
            shown = [alias.profile_id for alias in found.aliases if alias.profile_id]
            expect(len(shown) == len(survivor.aliases), "aliases behind an import", survivor.aliases, shown)
            mine = [survivor.id, *survivor.aliases].index(operation.profile_id)
            learned[operation.profile_id] = [found.profile_id, *shown][mine]
        for operation in its.operations:
            operation.profile_id = learned.get(operation.profile_id, operation.profile_id)
        self.model.restore(saved)

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
            shown = [alias for alias in found.profile.aliases if alias.profile_id]
            expect(len(shown) == len(survivor.aliases), "aliases after a batch", survivor.aliases, shown)
            operation.profile_id = named[0] if named else shown[survivor.aliases.index(mine)].profile_id
        self.model.restore(saved)

    def ledger(self, name):
        """The consent ledger of somebody; nothing of somebody unknown."""
        request = rpc.ListConsentHistoryRequest(
            project=self.project, identifier=self.requests.identifier(name, self.first_ids), page_size=1_000
        )
        try:
            while True:
                response = self.service.stub.ListConsentHistory(request, timeout=TIMEOUT_SECONDS)
                yield from response.entries
                if not response.next_page_token:
                    return
                request.page_token = response.next_page_token
        except grpc.RpcError:
            return

    def times_seen(self, response, names):
        """Times of receipt that can be observed after a call."""
        parts = [response]
        if isinstance(response, rpc.BatchWriteResponse):
            parts = [
                getattr(result, kind) for result in response.results if (kind := result.WhichOneof("result")) != "error"
            ]
        if isinstance(response, rpc.EraseProfileResponse):
            yield micros(response.log_purge_due) - erasure_of.PURGE_WITHIN
        if isinstance(response, rpc.CreateTriggerResponse):
            yield micros(response.trigger.created_at)
        for part in parts:
            for entry in getattr(part, "entries", ()):
                yield micros(entry.received_at)
        if isinstance(response, rpc.ImportProfilesResponse):
            # Its response shows nothing, and a patch for a device may go to whoever held it then.
            names = list(dict.fromkeys([*names, *self.names]))
            yield from (micros(entry.received_at) for name in names for entry in self.ledger(name))
        profiles = [
            part.profile for part in parts if isinstance(part, (rpc.IdentifyResponse, rpc.UnmergeProfileResponse))
        ]
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
