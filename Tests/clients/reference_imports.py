"""Imports in the reference model: one operation of a chunk, as it would be by a call of its own but for the rules of
imports."""

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


class Imports:
    """The part of the model that imports."""

    def ImportProfiles(self, request, learned):
        """A chunk of one operation, which is rejected alone."""
        (operation,), (its,) = request.operations, learned.operations
        kind = operation.WhichOneof("operation")
        method = {"identify": "Identify", "track": "Track", "update_subscription": "UpdateSubscription"}[kind]
        inner = type(getattr(operation, kind)).FromString(getattr(operation, kind).SerializeToString())
        if kind == "track":
            inner.historical = True
        response, saved, self.imports = rpc.ImportProfilesResponse(chunk_id=request.chunk_id), self.save(), True
        try:
            for name in erasure_of.names_of(inner):
                self.check_blocked(*name)
            before = {profile.id: profile.revision for profile in self.profiles.values()}
            made = self.carry_out(method, inner, its)
            if kind == "track":
                changed = any(result.status == types.EVENT_STATUS_STORED for result in made.results)
            else:
                shown = made.profile if kind == "identify" else made
                changed = before.get(shown.profile_id) != shown.revision
                if kind == "identify" and made.outcome != types.OUTCOME_IGNORED_STALE_LINK:
                    changed = made.outcome != types.OUTCOME_NOOP
            response.applied, response.unchanged = int(changed), int(not changed)
        except Rejected as rejected:
            self.restore(saved)
            response.rejected = 1
            response.rejections.add().error.code = CODES[rejected.code]
            response.rejections[0].error.message = rejected.reason
        finally:
            self.imports = False
        response.lsn = learned.lsn
        return response
