"""Invalid bytes get a status, the server continues, and its memory does not grow."""

import grpc
import pytest

from conftest import custom, get, track, unique

INVALID, INTERNAL = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL
# Which limit is hit first, message size or memory, is up to the service.
RESOURCE = grpc.StatusCode.RESOURCE_EXHAUSTED


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def with_event(payload):
    return field(1, b"default") + field(3, field(2, unique().encode())) + field(4, payload)


def nested(levels):
    """Value.object.fields.value.object... written from the inside out."""
    value = varint(2 << 3) + b"\1"
    for _ in range(levels):
        value = field(8, field(1, field(1, b"a") + field(2, value)))
        if len(value) > 3_900_000:
            break
    return with_event(field(2, b"deep") + field(3, field(1, b"a") + field(2, value)))


def deep_unknown(levels):
    """Nested length-delimited fields of a message that contains itself."""
    payload = b""
    for _ in range(levels):
        payload = field(8, field(1, field(2, payload)))
        if len(payload) > 2_000_000:
            break
    return with_event(field(3, field(2, payload)))


CASES = {
    "a truncated message": (track(custom()).SerializeToString()[:-3], {INTERNAL, INVALID}),
    "no protobuf": (b"\xff" * 40, {INTERNAL, INVALID}),
    "a group": (b"\x0b\x0c", {INTERNAL, INVALID}),
    "an oversize message": (b"\0" * (4 * 1024 * 1024 + 1), {RESOURCE}),
    "invalid UTF-8": (field(1, b"def\xc3ault"), {INVALID}),
    "an overlong encoding": (field(1, b"\xc0\xaf"), {INVALID}),
    "a NUL in an id": (field(1, b"default") + field(3, field(2, b"ann\0a")) + field(4, field(2, b"x")), {INVALID}),
    "100,000 levels": (nested(100_000), {INVALID, RESOURCE}),
    "100,000 levels of empty messages": (deep_unknown(100_000), {INVALID, RESOURCE}),
    "4 MiB of empty values": (with_event(field(2, b"x") + b"\x1a\0" * (2 * 1024 * 1024 - 64)), {INVALID, RESOURCE}),
    "4 MiB of empty list items": (
        with_event(field(3, field(1, b"l") + field(2, field(7, b"\x0a\0" * 2_000_000)))),
        {INVALID, RESOURCE},
    ),
    "100,000 map entries": (
        with_event(b"".join(field(3, field(1, b"k%d" % i)) for i in range(100_000))),
        {INVALID, RESOURCE},
    ),
    "100,000 unknown fields": (with_event(b"") + b"\xf8\x07\x01" * 100_000, {INVALID, RESOURCE}),
    "a choice given twice": (field(1, b"default") + field(3, field(2, b"a") + field(3, b"b")), {INVALID}),
    "a key given twice": (with_event(field(3, field(1, b"k")) * 2), {INVALID}),
}


@pytest.fixture(scope="module")
def raw(shared):
    with shared.channel() as channel:
        yield channel.unary_unary("/profiles.v1.Profiles/Track", request_serializer=None, response_deserializer=None)


@pytest.mark.parametrize("name", CASES)
def test_invalid_bytes_get_a_status_and_the_server_continues(raw, stub, name):
    payload, codes = CASES[name]
    with pytest.raises(grpc.RpcError) as caught:
        raw(payload, timeout=30)
    assert caught.value.code() in codes
    who = custom()
    stub.Track(track(who))
    assert stub.GetProfile(get(who)).profile.custom_id == who.custom_id


def test_memory_does_not_grow(shared, raw):
    def round_():
        for payload, _ in CASES.values():
            with pytest.raises(grpc.RpcError):
                raw(payload, timeout=30)

    for _ in range(5):
        round_()
    before = shared.resident_bytes()
    for _ in range(50):
        round_()
    assert shared.resident_bytes() - before < 16 * 1024 * 1024


@pytest.mark.parametrize("path", ["/", "//", "/a", "/a/b/c", "/profiles.v1.Profiles/track", "/" + "x" * 3000])
def test_unknown_paths_are_unimplemented(shared, path):
    with shared.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(path)(b"", timeout=10)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
