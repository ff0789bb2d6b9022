"""Converts the operations of reference_operations.py to requests."""

from conftest import profiles_pb2 as rpc, types_pb2 as types
from google.protobuf import field_mask_pb2
from profiles.v1 import admin_pb2 as admin
from reference_operations import PROJECTS

UNKNOWN_ID = "01J00000000000000000000000"
REVISION_WRONG = 1_000_000
# So many of the newest merges are undone.
MERGES = 12


class Requests:
    """Converts operations to requests, under one prefix."""

    def __init__(self, prefix, number, base):
        self.prefix, self.base = prefix, base
        # The project of the requests.
        self.project = "default"
        self.projects = ["default", *(f"{prefix}m{index}" for index in range(1, PROJECTS))]
        # Phone numbers consist of digits; ten of them distinguish the runs.
        self.phone = f"+49{number % 10_000_000_000:010}"
        # The ids of the project's triggers and merges.
        self.triggers, self.merges = [], []

    def identifier(self, name, first_ids):
        if name.startswith("id of "):
            return types.Identifier(profile_id=first_ids.get(name[len("id of ") :], UNKNOWN_ID))
        if name.startswith("d"):
            return types.Identifier(installation_id=self.prefix + name)
        return types.Identifier(custom_id=self.prefix + name)

    def address(self, name):
        return f"{name}.{self.prefix}@Example.org" if name.startswith("e") else self.phone + name[1:]

    def stamp(self, target, offset):
        target.seconds = self.base + offset

    def make(self, operation, first_ids, revision_of, inside_batch=False):
        """The method's name and the request; `revision_of` resolves the value `right`."""
        method = operation["do"]
        request = getattr(self, method)(operation, first_ids, revision_of)
        if not inside_batch:
            request.project = self.project
            if "request" in operation and method != "ImportProfiles":
                request.request_id = self.prefix + operation["request"]
        if "revision" in operation:
            right = revision_of(request)
            request.expected_revision.value = {"right": right, "wrong": right + REVISION_WRONG, "new": 0}[
                operation["revision"]
            ]
        return method, request

    def times(self, request, operation):
        if "at" in operation:
            self.stamp(request.occurred_at, operation["at"])
        if "sent" in operation:
            self.stamp(request.sent_at, operation["sent"])

    def Identify(self, operation, first_ids, revision_of):
        request = rpc.IdentifyRequest()
        if "device" in operation:
            request.installation_id = self.prefix + operation["device"]
            if operation["platform"]:
                request.source.platform = operation["platform"]
        if operation.get("person") == "nobody":
            request.logged_out = True
        elif "person" in operation:
            request.custom_id = self.prefix + operation["person"]
        self.times(request, operation)
        patch = operation.get("patch", {})
        for name, value in patch.get("set", {}).items():
            request.attributes.set[name].CopyFrom(types.Value(**value))
        for name, texts in patch.get("list", {}).items():
            request.attributes.set[name].list.SetInParent()
            request.attributes.set[name].list.items.extend(texts)
        request.attributes.delete.extend(patch.get("delete", []))
        for action in ("add", "remove"):
            for name, texts in patch.get(action, {}).items():
                getattr(request.attributes, action)[name].items.extend(texts)
        for name, value in patch.get("native", {}).items():
            is_address = name in ("email_address", "phone_number")
            getattr(request.attributes.native, name).value = self.address(value) if is_address else value
        return request

    def Track(self, operation, first_ids, revision_of):
        request = rpc.TrackRequest(
            identifier=self.identifier(operation["who"], first_ids),
            allow_partial=operation.get("partial", False),
            historical=operation.get("historical", False),
            must_exist=operation.get("must_exist", False),
        )
        if operation["platform"]:
            request.source.platform = operation["platform"]
        if "sent" in operation:
            self.stamp(request.sent_at, operation["sent"])
        for its in operation["events"]:
            event = request.events.add(name=its["name"], event_id=its.get("id", ""), label=its.get("label", ""))
            if "at" in its:
                self.stamp(event.occurred_at, its["at"])
            if "value" in its:
                event.attributes["Amount"].integer = its["value"]
        return request

    def UpdateSubscription(self, operation, first_ids, revision_of):
        request = rpc.UpdateSubscriptionRequest(
            identifier=self.identifier(operation["who"], first_ids), source=operation["source"]
        )
        for channel, topic, state in operation["changes"]:
            request.changes.add(channel=channel, topic=topic, state=state)
        if "reference" in operation:
            request.evidence.reference = operation["reference"]
            request.evidence.method = "call"
        self.times(request, operation)
        return request

    def CreateProject(self, operation, first_ids, revision_of):
        return admin.CreateProjectRequest(options=admin.ProjectOptions(**operation["options"]))

    def UpdateProject(self, operation, first_ids, revision_of):
        return admin.UpdateProjectRequest(
            options=admin.ProjectOptions(**operation["options"]),
            update_mask=field_mask_pb2.FieldMask(paths=operation.get("mask", [])),
        )

    def DeleteProject(self, operation, first_ids, revision_of):
        return admin.DeleteProjectRequest(undo=operation.get("undo", False))

    def CreateTrigger(self, operation, first_ids, revision_of):
        trigger = rpc.Trigger(**operation["trigger"])
        trigger.filter = trigger.filter.replace("{prefix}", self.prefix)
        return rpc.CreateTriggerRequest(trigger=trigger)

    def DeleteTrigger(self, operation, first_ids, revision_of):
        known = self.triggers
        return rpc.DeleteTriggerRequest(trigger_id=known[operation["trigger"] % len(known)] if known else UNKNOWN_ID)

    def EraseProfile(self, operation, first_ids, revision_of):
        return rpc.EraseProfileRequest(identifier=self.identifier(operation["who"], first_ids))

    def MergeProfiles(self, operation, first_ids, revision_of):
        return rpc.MergeProfilesRequest(
            loser=self.identifier(operation["loser"], first_ids),
            survivor=self.identifier(operation["survivor"], first_ids),
            allow_identified=operation["allow"],
        )

    def UnmergeProfile(self, operation, first_ids, revision_of):
        """Of one of the last merges, counted from the end."""
        known = self.merges[-MERGES:]
        return rpc.UnmergeProfileRequest(
            merge_id=known[-1 - operation["merge"] % len(known)] if known and operation["merge"] >= 0 else UNKNOWN_ID
        )

    def DetachInstallation(self, operation, first_ids, revision_of):
        return rpc.DetachInstallationRequest(installation_id=self.prefix + operation["device"])

    def AddSuppression(self, operation, first_ids, revision_of):
        return rpc.AddSuppressionRequest(
            channel=operation["channel"], address=self.address(operation["address"]), reason=operation["reason"]
        )

    def RemoveSuppression(self, operation, first_ids, revision_of):
        return rpc.RemoveSuppressionRequest(
            channel=operation["channel"], address=self.address(operation["address"]), reason=operation["reason"]
        )

    def ImportProfiles(self, operation, first_ids, revision_of):
        request = rpc.ImportProfilesRequest(chunk_id=self.prefix + operation["chunk"])
        return self.with_operations(request, operation, first_ids, revision_of)

    def BatchWrite(self, operation, first_ids, revision_of):
        request = rpc.BatchWriteRequest(best_effort=operation["best_effort"])
        return self.with_operations(request, operation, first_ids, revision_of)

    def with_operations(self, request, operation, first_ids, revision_of):
        kinds = {"Identify": "identify", "Track": "track", "UpdateSubscription": "update_subscription"}
        for inner in operation["operations"]:
            inner = {name: value for name, value in inner.items() if name != "request"}
            method, its = self.make(inner, first_ids, revision_of, inside_batch=True)
            getattr(request.operations.add(), kinds[method]).CopyFrom(its)
        return request
