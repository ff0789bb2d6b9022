"""Merges that are asked for, and detachments, in the reference model."""

from conftest import profiles_pb2 as rpc, types_pb2 as types
from reference_attributes import Rejected
from reference_profile import show


class Repairs:
    """The part of the model that repairs who is whom."""

    def MergeProfiles(self, request, learned):
        loser, survivor = self.find(request.loser), self.find(request.survivor)
        self.check_revision(request, survivor)
        if not loser or not survivor:
            raise Rejected("NOT_FOUND", "PROFILE_NOT_FOUND")
        response = rpc.MergeProfilesResponse(lsn=learned.lsn, outcome=types.OUTCOME_NOOP)
        if loser is not survivor:
            if loser.custom_id and survivor.custom_id and not request.allow_identified:
                raise Rejected("FAILED_PRECONDITION", "BOTH_IDENTIFIED")
            left = self.merge(loser, survivor, learned.received, learned, response)
            for name in left:
                response.warnings.add(reason="INSTALLATION_DETACHED", identifier=types.Identifier(installation_id=name))
            survivor.seen = max(survivor.seen, loser.seen)
            survivor.raise_revision(learned)
            response.outcome, response.merge_id = types.OUTCOME_MERGED, learned.merge_id
        response.profile.CopyFrom(show(survivor))
        return response

    def DetachInstallation(self, request, learned):
        name = request.installation_id
        holder = self.profiles.get(self.devices.get(name))
        if not holder:
            raise Rejected("NOT_FOUND", "PROFILE_NOT_FOUND")
        target = holder
        if holder.custom_id or len(holder.devices) > 1:
            target, device = self.create(learned), holder.devices.pop(name)
            holder.raise_revision(learned)
            self.put_device(target, name, device.moved(learned.received, target.id, holder.id, learned.received))
        return rpc.DetachInstallationResponse(
            profile_id=target.id, revision=target.revision, lsn=learned.lsn, former_profile_id=holder.id
        )
