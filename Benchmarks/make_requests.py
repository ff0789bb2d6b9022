"""Writes the fixed messages of the benchmarks, each as one gRPC frame (a prefix of 5 bytes and the message).

track.bin     a Track of one event with 3 attributes for the custom id "user-000042", without an event id, so that each
              call stores one
identify.bin  an Identify of the same person with a device and 3 attributes of the same values: an existing profile,
              unchanged values, a newer time
update.bin    an UpdateSubscription of one channel, SUBSCRIBED by the person: an existing profile, one transition,
              one ledger entry
get.bin       a GetProfile of the same person
response.bin  the response of the floor: a TrackResponse of the usual size

Usage: python Benchmarks/make_requests.py STUBS TARGET (STUBS: the folder of the Python modules that grpcio-tools
generates from Protos/).
"""

import pathlib
import struct
import sys


def frame(message) -> bytes:
    payload = message.SerializeToString(deterministic=True)
    return b"\0" + struct.pack(">I", len(payload)) + payload


def main(stubs: str, target: str) -> None:
    sys.path.insert(0, stubs)
    from profiles.v1 import profiles_pb2 as rpc, types_pb2 as types

    event = types.Event(name="purchase")
    event.attributes["amount"].number = 59.9
    event.attributes["currency"].string = "EUR"
    event.attributes["items"].integer = 3
    track = rpc.TrackRequest(project="default", identifier=types.Identifier(custom_id="user-000042"), events=[event])
    response = rpc.TrackResponse(profile_id="01J0000000000000000000000A", revision=42, lsn=4_200_000)
    result = response.results.add(
        event_id="01J0000000000000000000000B",
        status=types.EVENT_STATUS_STORED,
        profile_id="01J0000000000000000000000A",
        lsn=4_200_000,
    )
    result.effective_time.FromMicroseconds(1_700_000_000_123_456)
    anna = types.Identifier(custom_id="user-000042")
    identify = rpc.IdentifyRequest(project="default", installation_id="phone-000042", custom_id="user-000042")
    identify.attributes.set["plan"].string = "gold"
    identify.attributes.set["visits"].integer = 17
    identify.attributes.set["score"].number = 0.75
    update = rpc.UpdateSubscriptionRequest(
        project="default",
        identifier=anna,
        source=types.CONSENT_SOURCE_USER,
        changes=[rpc.SubscriptionChange(channel=types.CHANNEL_EMAIL, state=types.SUBSCRIPTION_STATE_SUBSCRIBED)],
    )
    get = rpc.GetProfileRequest(project="default", identifier=anna)
    folder = pathlib.Path(target)
    for name, message in (("identify", identify), ("update", update), ("get", get)):
        folder.joinpath(f"{name}.bin").write_bytes(frame(message))
    folder.joinpath("track.bin").write_bytes(frame(track))
    folder.joinpath("response.bin").write_bytes(frame(response))


if __name__ == "__main__":
    main(*sys.argv[1:])
