"""The rules of erasures apart from the model's state: which identifiers a request names, and which profiles a response
concerns."""

import datetime

from conftest import profiles_pb2 as rpc
from reference_profile import SECOND

PURGE_WITHIN = 24 * 3_600 * SECOND
BLOCKED_FOR = 30 * 24 * 3_600 * SECOND


def names_of(request):
    """The identifiers of a write that may be blocked, as (kind, text), in the order in which they are checked."""
    if isinstance(request, rpc.IdentifyRequest):
        return [(kind, text) for kind in ("installation_id", "custom_id") if (text := getattr(request, kind))]
    if isinstance(request, (rpc.TrackRequest, rpc.UpdateSubscriptionRequest)):
        kind = request.identifier.WhichOneof("id")
        return [(kind, getattr(request.identifier, kind))] if kind != "profile_id" else []
    return []


def profiles_in(response):
    """The profile ids in a response, which link it to people."""
    if isinstance(response, rpc.IdentifyResponse):
        return {response.profile.profile_id}
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
