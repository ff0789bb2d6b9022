"""The rules of erasures in the reference model: which identifiers a request names, which profiles a response concerns,
and what is left."""

import datetime
from dataclasses import replace

from conftest import profiles_pb2 as rpc
from reference_attributes import Rejected
from reference_profile import SECOND, timestamp

PURGE_WITHIN = 24 * 3_600 * SECOND
BLOCKED_FOR = 30 * 24 * 3_600 * SECOND


def names_of(request):
    """The identifiers of a write that may be blocked, as (kind, text), in the order in which they are checked."""
    if isinstance(request, rpc.IdentifyRequest):
        return [(kind, text) for kind in ("installation_id", "custom_id") if (text := getattr(request, kind))]
    if isinstance(request, (rpc.TrackRequest, rpc.UpdateSubscriptionRequest)):
        kind = request.identifier.WhichOneof("id")
        return [(kind, getattr(request.identifier, kind))] if kind != "profile_id" else []
    if isinstance(request, rpc.MergeProfilesRequest):
        kinds = [(identifier, identifier.WhichOneof("id")) for identifier in (request.loser, request.survivor)]
        return [(kind, getattr(identifier, kind)) for identifier, kind in kinds if kind != "profile_id"]
    if isinstance(request, rpc.DetachInstallationRequest):
        return [("installation_id", request.installation_id)]
    return []


def profiles_in(response):
    """The profile ids in a response, which link it to people."""
    if isinstance(response, (rpc.IdentifyResponse, rpc.MergeProfilesResponse)):
        return {response.profile.profile_id}
    if isinstance(response, rpc.UnmergeProfileResponse):
        return {response.profile.profile_id, response.restored.profile_id}
    if isinstance(response, rpc.DetachInstallationResponse):
        return {response.profile_id, response.former_profile_id}
    if isinstance(response, rpc.TrackResponse):
        return {response.profile_id, *(result.profile_id for result in response.results)} - {""}
    if isinstance(response, rpc.UpdateSubscriptionResponse):
        return {response.profile_id}
    if isinstance(response, rpc.BatchWriteResponse):
        parts = [
            getattr(result, kind) for result in response.results if (kind := result.WhichOneof("result")) != "error"
        ]
        return {profile_id for part in parts for profile_id in profiles_in(part)}
    return set()


def until_text(time):
    """The end of a block in the format of the metadata, rounded up to the second."""
    return datetime.datetime.fromtimestamp(-(-time // SECOND), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Erasures:
    """The part of the model that erases people."""

    def check_blocked(self, kind, text):
        if (kind, text) in self.blocked:
            raise Rejected(
                "FAILED_PRECONDITION",
                "IDENTIFIER_ERASED",
                blocked_until=until_text(self.blocked[kind, text]),
            )

    def check_gone(self, profile_id):
        if profile_id in self.gone:
            raise Rejected("FAILED_PRECONDITION", "IDENTIFIER_ERASED")

    def EraseProfile(self, request, learned):
        profile = self.find(request.identifier)
        self.check_revision(request, profile)
        response = rpc.EraseProfileResponse(existed=profile is not None, lsn=learned.lsn)
        timestamp(learned.received + PURGE_WITHIN, response.log_purge_due)
        if profile:
            self.erase(profile, learned.received + BLOCKED_FOR)
        return response

    def erase(self, profile, until):
        ids = {profile.id, *profile.aliases}
        self.gone |= ids
        self.erase_firings(profile.id)
        for name, merge in self.merges.items():
            if {merge.loser.id, merge.survivor.id} & ids:
                self.merges[name] = replace(merge, is_final=True)
        if profile.custom_id:
            del self.customs[profile.custom_id]
            self.blocked["custom_id", profile.custom_id] = until
        for name in profile.custom_aliases:
            del self.customs[name]
            self.blocked["custom_id", name] = until
        for name in profile.devices:
            del self.devices[name]
            self.blocked["installation_id", name] = until
        for name in profile.merged_devices:
            # A former device that belongs to somebody else now stays theirs.
            if name not in self.devices:
                self.blocked["installation_id", name] = until
        for _, event in profile.events:
            del self.events[self.event_key(event.identifier, event.event_id)]
        for alias in profile.aliases:
            del self.aliases[alias]
        del self.profiles[profile.id]
        for key, (request, response) in self.requests.items():
            if response is not None and ids & profiles_in(response):
                self.requests[key] = (request, None)
