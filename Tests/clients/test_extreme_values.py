"""Random requests of every RPC that is built, with the extreme values of every kind of field: each gets a status, the
server continues, and nothing that it sends is an illegal value."""

import math
import random

import grpc
import pytest
from google.protobuf import descriptor, message_factory

from conftest import get, profiles_pb2, profiles_pb2_grpc, types_pb2

FIELD = descriptor.FieldDescriptor
NUMBERS = [0, 1, -1, 2, 99, 1_001, 2**31 - 1, -(2**31), 2**31, 2**32 - 1, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1]
SECONDS = [-(2**63), -62_135_596_801, -62_135_596_800, -1, 0, 31_536_000, 253_402_300_799, 253_402_300_800, 2**63 - 1]
NANOS = [-(2**31), -1, 0, 1, 999_999_999, 1_000_000_000, 2**31 - 1]
DOUBLES = [0.0, -0.0, math.nan, math.inf, -math.inf, 1.7e308, 5e-324, -1.5, 2.0**63, -(2.0**63)]
PEOPLE = [f"extreme-{n}" for n in range(4)]
TEXTS = ["", "default", "default", "visit", "null", "a b", "é" * 513, "a@b.example", "+33612345678", "x" * 101]
RANGES = {
    FIELD.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FIELD.CPPTYPE_UINT32: (0, 2**32 - 1),
    FIELD.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FIELD.CPPTYPE_UINT64: (0, 2**64 - 1),
}
# They would end the test, or take long.
LEFT_OUT = {"CreateSnapshot", "Backup"}


def number(rng, kind):
    low, high = RANGES[kind]
    return min(max(rng.choice(NUMBERS), low), high)


def value(rng, field):
    kind = field.cpp_type
    if kind in RANGES:
        return number(rng, kind)
    if kind == FIELD.CPPTYPE_ENUM:
        return rng.choice([item.number for item in field.enum_type.values] + [99, -1])
    if kind in (FIELD.CPPTYPE_DOUBLE, FIELD.CPPTYPE_FLOAT):
        return rng.choice(DOUBLES)
    if kind == FIELD.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if field.name == "project":
        return rng.choice(["default"] * 9 + [""])
    if field.name in ("custom_id", "installation_id"):
        return rng.choice(PEOPLE)
    text = rng.choice(TEXTS)
    return text.encode() if field.type == FIELD.TYPE_BYTES else text


def is_map(field):
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def fill(rng, message, depth=0):
    """Sets about half of the fields of a message to extreme values."""
    if message.DESCRIPTOR.full_name == "google.protobuf.Timestamp":
        message.seconds, message.nanos = rng.choice(SECONDS), rng.choice(NANOS)
        return message
    for field in message.DESCRIPTOR.fields:
        rare = field.name in ("min_lsn", "expected_revision", "page_token", "token", "request_id", "read_mask")
        if rng.random() < (0.9 if rare else 0.4) or depth > 10:
            continue
        if is_map(field):
            entry = field.message_type.fields_by_name["value"]
            for _ in range(rng.randrange(4)):
                key = f"k{rng.randrange(6)}"
                if entry.message_type:
                    fill(rng, getattr(message, field.name)[key], depth + 1)
                else:
                    getattr(message, field.name)[key] = value(rng, entry)
        elif field.is_repeated if hasattr(field, "is_repeated") else field.label == FIELD.LABEL_REPEATED:
            for _ in range(rng.randrange(4)):
                if field.message_type:
                    fill(rng, getattr(message, field.name).add(), depth + 1)
                else:
                    getattr(message, field.name).append(value(rng, field))
        elif field.message_type:
            getattr(message, field.name).SetInParent()
            fill(rng, getattr(message, field.name), depth + 1)
        else:
            setattr(message, field.name, value(rng, field))
    return message


def check(message, path=""):
    """Fails where a message holds a value that no server may send."""
    if message.DESCRIPTOR.full_name == "google.protobuf.Timestamp":
        assert -62_135_596_800 <= message.seconds <= 253_402_300_799 and 0 <= message.nanos <= 999_999_999, path
    for field, content in message.ListFields():
        below = f"{path}.{field.name}"
        if is_map(field):
            for item in content.values():
                if field.message_type.fields_by_name["value"].message_type:
                    check(item, below)
            continue
        items = content if isinstance(content, (list, tuple)) or hasattr(content, "append") else [content]
        for item in items:
            if field.message_type:
                check(item, below)
            elif field.cpp_type in (FIELD.CPPTYPE_DOUBLE, FIELD.CPPTYPE_FLOAT):
                assert math.isfinite(item), below


@pytest.mark.parametrize("seed", range(3))
def test_extreme_values_are_stored_or_rejected_and_never_sent_illegally(server, seed):
    server.start()
    rng = random.Random(seed)
    service = profiles_pb2.DESCRIPTOR.services_by_name["Profiles"]
    unbuilt, accepted = set(), 0
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        for turn in range(120):
            for method in service.methods:
                if method.client_streaming or method.server_streaming or method.name in LEFT_OUT | unbuilt:
                    continue
                request = fill(rng, message_factory.GetMessageClass(method.input_type)())
                try:
                    check(getattr(stub, method.name)(request, timeout=20), method.name)
                    accepted += 1
                except grpc.RpcError as error:
                    assert error.code() not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE), request
                    if error.code() == grpc.StatusCode.UNIMPLEMENTED and "not built" in error.details():
                        unbuilt.add(method.name)
        assert accepted > 50
        for person in PEOPLE:
            for identifier in (types_pb2.Identifier(custom_id=person), types_pb2.Identifier(installation_id=person)):
                try:
                    check(stub.GetProfile(get(identifier), timeout=20))
                    request = profiles_pb2.ListEventsRequest(project="default", identifier=identifier)
                    check(stub.ListEvents(request, timeout=20))
                except grpc.RpcError as error:
                    assert error.code() == grpc.StatusCode.NOT_FOUND
    assert server.stop() == 0
