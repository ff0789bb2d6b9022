"""Merges that are asked for, un-merges and detachments in the reference model."""

from dataclasses import replace

from conftest import profiles_pb2 as rpc, types_pb2 as types
from reference_attributes import Rejected
from reference_profile import show
from reference_unmerge import Unmerges


class Repairs(Unmerges):
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

    def UnmergeProfile(self, request, learned):
        merge = self.merges.get(request.merge_id)
        if not merge:
            raise Rejected("NOT_FOUND", "MERGE_NOT_FOUND")
        if merge.is_final:
            raise Rejected("FAILED_PRECONDITION", "MERGE_EXPIRED")
        self.merges[request.merge_id] = replace(merge, is_final=True)
        undoing = self.separate(merge, learned.shown)
        self.settle(undoing, learned)
        response = rpc.UnmergeProfileResponse(lsn=learned.lsn)
        response.profile.CopyFrom(show(undoing.rest))
        response.restored.CopyFrom(show(undoing.restored))
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
            device = replace(device, part=target.id, since=learned.lsn)
            self.put_device(target, name, device.moved(learned.received, target.id, holder.id, learned.received))
        return rpc.DetachInstallationResponse(
            profile_id=target.id, revision=target.revision, lsn=learned.lsn, former_profile_id=holder.id
        )
