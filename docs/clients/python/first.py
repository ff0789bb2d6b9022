"""Stores a purchase and reads the person back. Usage: first.py [HOST:PORT]"""

import sys

import grpc
from google.rpc import error_details_pb2, status_pb2
from profiles.v1 import profiles_pb2 as p, profiles_pb2_grpc, types_pb2 as t

stub = profiles_pb2_grpc.ProfilesStub(grpc.insecure_channel(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051"))
anna = t.Identifier(custom_id="anna")
purchase = t.Event(
    event_id="order-1001",
    name="purchase",
    attributes={"amount": t.Value(number=59.9), "currency": t.Value(string="EUR")},
)

# The event id makes a repeated call a DUPLICATE; `timeout` becomes the deadline that is also sent to the server.
response = stub.Track(p.TrackRequest(project="default", identifier=anna, events=[purchase]), timeout=5)
print("stored" if response.results[0].status == t.EVENT_STATUS_STORED else "already there", "at lsn", response.lsn)

# `min_lsn` is not needed with a single server: a read sees every acknowledged write.
profile = stub.GetProfile(p.GetProfileRequest(project="default", identifier=anna), timeout=5).profile
print(profile.custom_id, "has", profile.event_counters[0].count, "purchase")

# An error has a reason to branch on, and lists every invalid field with its path.
try:
    stub.Track(p.TrackRequest(project="default", identifier=anna, events=[t.Event(name="no such name")]), timeout=5)
except grpc.RpcError as error:
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    for detail in status_pb2.Status.FromString(details).details:
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            print(
                error.code().name,
                *(f"{violation.field}: {violation.description}" for violation in bad.field_violations),
            )
