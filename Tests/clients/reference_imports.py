"""Imports in the reference model: each operation of a chunk is as it would be by a call of its own but for the rules of
imports."""

import re

import reference_erasure as erasure_of
from conftest import profiles_pb2 as rpc, types_pb2 as types
from reference_attributes import Rejected

CODES = {
    "INVALID_ARGUMENT": 3,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "OUT_OF_RANGE": 11,
}
METHODS = {"identify": "Identify", "track": "Track", "update_subscription": "UpdateSubscription"}


def inner_of(operation):
    """The method of an operation, and its request."""
    kind = operation.WhichOneof("operation")
    return METHODS[kind], getattr(operation, kind)


def is_valid(request):
    """Of what the generator makes."""
    names = [event.name for event in getattr(request, "events", ())]
    return not request.HasField("expected_revision") and all(re.fullmatch(r"\w{1,30}", name) for name in names)


def without_invalid(chunk):
    """Reduces the operations of a chunk that are not valid to what is wrong with them: only that is remembered."""
    if not isinstance(chunk, rpc.ImportProfilesRequest):
        return
    for operation in chunk.operations:
        _, request = inner_of(operation)
        if is_valid(request):
            continue
        wrong = type(request)()
        if request.HasField("expected_revision"):
            wrong.expected_revision.SetInParent()
        for event in getattr(request, "events", ()):
            wrong.events.add(name="" if re.fullmatch(r"\w{1,30}", event.name) else "not a name")
        request.CopyFrom(wrong)


def lsns_of(request):
    """How many lsns an operation takes, also if the state forbids it."""
    if not is_valid(request):
        return 1
    return max(1, len(getattr(request, "events", ())) + len(getattr(request, "changes", ())))


class Imports:
    """The part of the model that imports."""

    def ImportProfiles(self, request, learned):
        """A chunk: whatever is wrong with an operation rejects that one."""
        response = rpc.ImportProfilesResponse(chunk_id=request.chunk_id, lsn=learned.lsn)
        for index, (operation, its) in enumerate(zip(request.operations, learned.operations)):
            saved, self.imports = self.save(), True
            try:
                if self.import_one(*inner_of(operation), its):
                    response.applied += 1
                else:
                    response.unchanged += 1
            except Rejected as rejected:
                self.restore(saved)
                response.rejected += 1
                rejection = response.rejections.add(index=index)
                rejection.error.code, rejection.error.message = CODES[rejected.code], rejected.reason
            finally:
                self.imports = False
        return response

    def import_one(self, method, given, its):
        """Whether the operation changed something."""
        inner = type(given).FromString(given.SerializeToString())
        if not is_valid(inner):
            raise Rejected("INVALID_ARGUMENT", "INVALID_FIELDS")
        if method == "Track":
            inner.historical = True
        for name in erasure_of.names_of(inner):
            self.check_blocked(*name)
        before = {profile.id: profile.revision for profile in self.profiles.values()}
        made = self.carry_out(method, inner, its)
        if method == "Track":
            return any(result.status == types.EVENT_STATUS_STORED for result in made.results)
        if method == "Identify" and made.outcome != types.OUTCOME_IGNORED_STALE_LINK:
            return made.outcome != types.OUTCOME_NOOP
        shown = made.profile if method == "Identify" else made
        return before.get(shown.profile_id) != shown.revision
