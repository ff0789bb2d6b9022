"""What RFC 9113 asks of a server, case by case, in gRPC-shaped requests: the numbers in brackets are those of the cases
of h2spec that check the same.

A case sends frames on a connection whose first stream is 1 and names the errors that it may end with: codes of a GOAWAY
or RST_STREAM, none of them for what must be accepted, or NO_ERROR where the connection ends in order. H2_PEER names
another server (`nghttpd --no-tls`, say) to compare with.
"""

import os
import struct
import time

import pytest

from attacks import block, literal
from conftest import custom, track
from raw import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Raw,
    frame,
    message,
)

NO_ERROR, PROTOCOL, INTERNAL, FLOW, TIMEOUT, CLOSED, SIZE, REFUSED, CANCEL, COMPRESSION, CONNECT, CALM = range(12)
PUSH_PROMISE, HAS_PRIORITY = 5, 32
BODY = message(b"")
LARGE = 1 << 14


def head(stream, *extra, flags=END_HEADERS, payload=None):
    return frame(HEADERS, flags, stream, block(*extra) if payload is None else payload)


def whole(stream):
    """A call from its headers to its end."""
    return head(stream) + frame(DATA, END_STREAM, stream, BODY)


def reset(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def window(stream, count):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", count))


def priority(stream, on):
    return frame(PRIORITY, 0, stream, struct.pack(">IB", on, 16))


def setting(number, value):
    return frame(SETTINGS, 0, 0, struct.pack(">HI", number, value))


def goaway(last):
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, 0))


SERVED = whole(1)
FIELDS = block()
# (frames, errors that may follow, wait for the response to stream 1 before the last part)
CASES = {
    "4.1 unknown flags of PING (4.1/2)": (frame(PING, 0xFE, 0, b"12345678"), ()),
    "4.1 reserved bit of a PING (4.1/3)": (frame(PING, 0, 0x80000000, b"12345678"), ()),
    "4.2 DATA too large (4.2/2)": (head(1) + frame(DATA, 0, 1, b"x" * (LARGE + 1)), (SIZE,)),
    "4.2 HEADERS too large (4.2/3)": (head(1, payload=FIELDS.ljust(LARGE + 1, b"\0")), (SIZE,)),
    "4.3 a block that cannot be decoded (4.3/1)": (head(1, payload=b"\xff" * 9), (COMPRESSION,)),
    "4.3 PRIORITY inside of a block (4.3/2)": (head(1, flags=0) + priority(1, 0), (PROTOCOL,)),
    "4.3 HEADERS of another stream inside of a block (4.3/3)": (head(1, flags=0) + head(3), (PROTOCOL,)),
    "5.1 idle: DATA (5.1/1)": (frame(DATA, END_STREAM, 1, b"x"), (PROTOCOL,)),
    "5.1 idle: RST_STREAM (5.1/2)": (reset(1), (PROTOCOL,)),
    "5.1 idle: WINDOW_UPDATE (5.1/3)": (window(1, 100), (PROTOCOL,)),
    "5.1 idle: CONTINUATION (5.1/4)": (frame(CONTINUATION, END_HEADERS, 1, FIELDS), (PROTOCOL,)),
    "5.1 half-closed: DATA (5.1/5)": (whole(1) + frame(DATA, END_STREAM, 1, b"x"), (CLOSED,)),
    "5.1 half-closed: HEADERS (5.1/6)": (whole(1) + head(1), (CLOSED,)),
    "5.1 half-closed: CONTINUATION (5.1/7)": (
        whole(1) + frame(CONTINUATION, END_HEADERS, 1, FIELDS),
        (CLOSED, PROTOCOL),
    ),
    "5.1 reset: DATA (5.1/8)": (head(1) + reset(1) + frame(DATA, END_STREAM, 1, b"x"), (CLOSED,)),
    "5.1 reset: HEADERS (5.1/9)": (head(1) + reset(1) + head(1), (CLOSED,)),
    "5.1 reset: CONTINUATION (5.1/10)": (
        head(1) + reset(1) + frame(CONTINUATION, END_HEADERS, 1, FIELDS),
        (CLOSED, PROTOCOL),
    ),
    "5.1 closed: DATA (5.1/11)": ([SERVED, frame(DATA, END_STREAM, 1, b"x")], (CLOSED,)),
    "5.1 closed: HEADERS (5.1/12)": ([SERVED, head(1)], (CLOSED,)),
    "5.1 closed: CONTINUATION (5.1/13)": ([SERVED, frame(CONTINUATION, END_HEADERS, 1, FIELDS)], (CLOSED, PROTOCOL)),
    "5.1 closed long ago, others since: HEADERS": ([SERVED, whole(3) + whole(5) + head(1)], (CLOSED,)),
    "5.1 closed: WINDOW_UPDATE, RST_STREAM and PRIORITY are accepted": (
        [SERVED, window(1, 1) + reset(1) + priority(1, 0)],
        (),
    ),
    "5.1.1 an even stream (5.1.1/1)": (head(2), (PROTOCOL,)),
    "5.1.1 a lower stream than the last (5.1.1/2)": (whole(5) + whole(3), (PROTOCOL,)),
    "5.1.1 streams with gaps": (whole(7) + whole(13), ()),
    "5.3.1 HEADERS depend on themselves (5.3.1/1)": (
        head(1, flags=END_HEADERS | HAS_PRIORITY, payload=struct.pack(">IB", 1, 16) + FIELDS),
        (PROTOCOL,),
    ),
    "5.3.1 PRIORITY depends on itself (5.3.1/2)": (priority(1, 1), (PROTOCOL,)),
    "5.3.1 PRIORITY depends on itself, exclusively": (priority(1, 0x80000001), (PROTOCOL,)),
    "5.3 PRIORITY of idle streams": (priority(3, 1) + priority(5, 3) + whole(1), ()),
    "5.5 an unknown frame (5.5/1)": (frame(0xFA, 0xFF, 0, b"12345678"), ()),
    "5.5 an unknown frame inside of a block (5.5/2)": (head(1, flags=0) + frame(0xFA, 0, 0, b""), (PROTOCOL,)),
    "6.1 DATA of stream 0 (6.1/1)": (frame(DATA, 0, 0, b"x"), (PROTOCOL,)),
    "6.1 padding longer than the frame (6.1/3)": (head(1) + frame(DATA, PADDED, 1, b"\x09test"), (PROTOCOL,)),
    "6.1 padding as long as the frame": (head(1) + frame(DATA, PADDED, 1, b"\x05\0\0\0\0"), (PROTOCOL,)),
    "6.1 DATA without bytes": (head(1) + frame(DATA, 0, 1, b"") + frame(DATA, END_STREAM, 1, BODY), ()),
    "6.2 HEADERS of stream 0 (6.2/3)": (head(0), (PROTOCOL,)),
    "6.2 padding of HEADERS (6.2/4)": (head(1, flags=END_HEADERS | PADDED, payload=b"\xff" + FIELDS), (PROTOCOL,)),
    "6.2 HEADERS without a block": (head(1, payload=b""), (PROTOCOL,)),
    "6.3 PRIORITY of stream 0 (6.3/1)": (priority(0, 1), (PROTOCOL,)),
    "6.3 PRIORITY of another length (6.3/2)": (frame(PRIORITY, 0, 1, b"\0\0\0\1"), (SIZE,)),
    "6.4 RST_STREAM of stream 0 (6.4/1)": (reset(0), (PROTOCOL,)),
    "6.4 RST_STREAM of an idle stream (6.4/2)": (reset(9), (PROTOCOL,)),
    "6.4 RST_STREAM of another length (6.4/3)": (head(1) + frame(RST_STREAM, 0, 1, b"\0\0\0"), (SIZE,)),
    "6.5 an acknowledgement with a payload (6.5/1)": (frame(SETTINGS, ACK, 0, b"\0"), (SIZE,)),
    "6.5 SETTINGS of a stream (6.5/2)": (frame(SETTINGS, 0, 1, struct.pack(">HI", 3, 100)), (PROTOCOL,)),
    "6.5 SETTINGS of another length (6.5/3)": (frame(SETTINGS, 0, 0, b"\0\3\0"), (SIZE,)),
    "6.5.2 ENABLE_PUSH of 2 (6.5.2/1)": (setting(2, 2), (PROTOCOL,)),
    "6.5.2 INITIAL_WINDOW_SIZE too large (6.5.2/2)": (setting(4, 2**31), (FLOW,)),
    "6.5.2 MAX_FRAME_SIZE too small (6.5.2/3)": (setting(5, LARGE - 1), (PROTOCOL,)),
    "6.5.2 MAX_FRAME_SIZE too large (6.5.2/4)": (setting(5, 2**24), (PROTOCOL,)),
    "6.5.2 an unknown setting (6.5.2/5)": (setting(0xFF, 1), ()),
    "6.6 PUSH_PROMISE of a client": (
        head(1) + frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2) + FIELDS),
        (PROTOCOL,),
    ),
    "6.7 PING of a stream (6.7/3)": (frame(PING, 0, 1, b"12345678"), (PROTOCOL,)),
    "6.7 PING of another length (6.7/4)": (frame(PING, 0, 0, b"123456"), (SIZE,)),
    "6.8 GOAWAY of a stream (6.8/1)": (frame(GOAWAY, 0, 1, b"\0" * 8), (PROTOCOL,)),
    "6.8 a second GOAWAY that raises the last stream": (goaway(0) + goaway(2), (PROTOCOL,)),
    "6.8 GOAWAY naming a stream of the client": (goaway(1), (PROTOCOL,)),
    "6.8 a second GOAWAY with the same last stream": (goaway(0) + goaway(0) + whole(1), (NO_ERROR,)),
    "6.9 WINDOW_UPDATE of 0 (6.9/1)": (window(0, 0), (PROTOCOL,)),
    "6.9 WINDOW_UPDATE of 0 of a stream (6.9/2)": (head(1) + window(1, 0), (PROTOCOL,)),
    "6.9 WINDOW_UPDATE of another length (6.9/3)": (frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"), (SIZE,)),
    "6.9.1 a window beyond 2^31 - 1 (6.9.1/2)": (window(0, 2**31 - 1) * 2, (FLOW,)),
    "6.9.1 a stream's window beyond 2^31 - 1 (6.9.1/3)": (head(1) + window(1, 2**31 - 1) * 2, (FLOW,)),
    "6.10 CONTINUATION after the end of a block (6.10/2)": (
        head(1) + frame(CONTINUATION, END_HEADERS, 1, FIELDS),
        (PROTOCOL,),
    ),
    "6.10 CONTINUATION of stream 0 (6.10/3)": (
        head(1, flags=0) + frame(CONTINUATION, END_HEADERS, 0, b""),
        (PROTOCOL,),
    ),
    "6.10 CONTINUATION after DATA (6.10/6)": (
        head(1) + frame(DATA, 0, 1, b"") + frame(CONTINUATION, END_HEADERS, 1, b""),
        (PROTOCOL,),
    ),
    "6.10 DATA inside of a block": (head(1, flags=END_STREAM) + frame(DATA, 0, 1, b""), (PROTOCOL,)),
    "8.1 a second HEADERS without END_STREAM (8.1/1)": (
        head(1) + frame(DATA, 0, 1, BODY) + head(1, payload=literal("x-t", "1")),
        (PROTOCOL,),
    ),
    "8.1 trailers, then DATA": (
        head(1) + head(1, flags=END_HEADERS | END_STREAM, payload=literal("x-t", "1")) + frame(DATA, 0, 1, b"x"),
        (CLOSED,),
    ),
    "8.2 an upper-case name (8.1.2/1)": (head(1, ("X-A", "1"), flags=END_HEADERS | END_STREAM), (PROTOCOL,)),
    "8.2.2 a connection-specific field (8.1.2.2/1)": (head(1, ("connection", "keep-alive")), (PROTOCOL,)),
    "8.2.2 te other than trailers (8.1.2.2/2)": (head(1, ("te", "trailers, deflate")), (PROTOCOL,)),
    "8.3 an unknown pseudo-header (8.1.2.1/1)": (head(1, payload=literal(":test", "1") + FIELDS), (PROTOCOL,)),
    "8.3 a pseudo-header of responses (8.1.2.1/2)": (head(1, payload=literal(":status", "200") + FIELDS), (PROTOCOL,)),
    "8.3 a pseudo-header in trailers (8.1.2.1/3)": (
        head(1) + head(1, flags=END_HEADERS | END_STREAM, payload=literal(":method", "POST")),
        (PROTOCOL,),
    ),
    "8.3 a pseudo-header after a field (8.1.2.1/4)": (
        head(1, payload=literal("x-a", "1") + FIELDS),
        (PROTOCOL,),
    ),
    "8.3.1 an empty path (8.1.2.3/1)": (
        head(1, payload=FIELDS.replace(literal(":path", "/profiles.v1.Profiles/Track"), literal(":path", ""))),
        (PROTOCOL,),
    ),
    "8.3.1 no method (8.1.2.3/2)": (head(1, payload=FIELDS.replace(literal(":method", "POST"), b"")), (PROTOCOL,)),
    "8.3.1 no scheme (8.1.2.3/3)": (head(1, payload=FIELDS.replace(literal(":scheme", "http"), b"")), (PROTOCOL,)),
    "8.3.1 two methods (8.1.2.3/5)": (head(1, payload=literal(":method", "POST") + FIELDS), (PROTOCOL,)),
    "8.3.1 two authorities": (head(1, payload=literal(":authority", "a") + FIELDS), (PROTOCOL,)),
    "8.3.1 host and :authority differ": (head(1, ("host", "other")), (PROTOCOL,)),
    "8.3.1 host and :authority agree": (head(1, ("host", "TEST:80")) + frame(DATA, END_STREAM, 1, BODY), ()),
    "8.1.1 content-length and DATA differ (8.1.2.6/1)": (
        head(1, ("content-length", "1")) + frame(DATA, END_STREAM, 1, b"test"),
        (PROTOCOL,),
    ),
    "10.5 33 settings in a frame": (frame(SETTINGS, 0, 0, struct.pack(">HI", 0xFF, 1) * 33), (CALM,)),
    "ALTSVC, ORIGIN and PRIORITY_UPDATE are accepted": (
        frame(10, 0, 0, b"\0\1ah2") + frame(12, 0, 0, b"") + frame(16, 0, 0, b"\0\0\0\1u=1") + whole(1),
        (),
    ),
}
# nghttpd takes no gRPC, prefers to serve a request whose host differs, and checks these two less strictly.
PEER = os.environ.get("H2_PEER")


@pytest.fixture
def address(request):
    return PEER or request.getfixturevalue("shared").listen


def errors_after(raw, seconds=10):
    """Codes of GOAWAY and RST_STREAM until two PINGs are acknowledged, one after the other, or the connection ends: an
    acknowledgement overtakes what was queued before it."""
    codes, pings = [], [b"the last", b"the next"]
    raw.send(frame(PING, 0, 0, pings[-1]))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = raw.read(deadline - time.monotonic())
        if found is None:
            break
        if found[0] == PING and found[1] & ACK and found[3] == pings[-1]:
            pings.pop()
            if not pings:
                break
            raw.send(frame(PING, 0, 0, pings[-1]))
        kind, _, _, payload = found
        if kind == GOAWAY:
            codes.append(int.from_bytes(payload[4:8], "big"))
        elif kind == RST_STREAM:
            codes.append(int.from_bytes(payload, "big"))
    return codes


@pytest.mark.parametrize("name", CASES)
def test_frames_are_accepted_or_rejected_as_RFC_9113_says(address, name):
    parts, allowed = CASES[name]
    *before, last = parts if isinstance(parts, list) else [parts]
    with Raw(address) as raw:
        for part in before:
            raw.send(part)
            assert raw.response(1).ended
        try:
            raw.send(last)
            codes = errors_after(raw)
        except OSError:
            codes = []
            while (found := raw.read(5)) is not None:
                if found[0] == GOAWAY:
                    codes.append(int.from_bytes(found[3][4:8], "big"))
        found = [code for code in codes if code != NO_ERROR]
        if not allowed:
            assert found == [] and not raw.closed
        elif allowed == (NO_ERROR,):
            assert found == []
        else:
            assert found and found[0] in allowed, f"{codes}, closed: {raw.closed}"


def test_what_crosses_a_reset_of_the_server_is_ignored(shared):
    """The client may not have seen it yet (RFC 9113, 5.1): the connection goes on."""
    with Raw(shared.listen) as raw:
        raw.send(head(1, payload=block(content_type="text/html")))
        assert raw.response(1).http == "415"
        raw.send(frame(DATA, 0, 1, b"x" * 100) + frame(DATA, END_STREAM, 1, b""))
        stream = raw.headers(stream=3)
        raw.data(stream, message(track(custom()).SerializeToString()))
        assert raw.response(stream).grpc == 0


@pytest.mark.parametrize("values", [("5S", "x"), ("x", "5S"), ("5S", "")])
def test_G14_a_second_timeout_cannot_hide_an_invalid_one(shared, values):
    with Raw(shared.listen) as raw:
        response = raw.call(
            track(custom()).SerializeToString(), *(("grpc-timeout", value) for value in values)
        )
        assert response.grpc == 13


def test_a_connection_error_names_the_last_stream_that_was_processed(shared):
    with Raw(shared.listen) as raw:
        raw.send(whole(1) + whole(3))
        assert raw.response(3).ended
        raw.send(priority(0, 1))
        payload = raw.wait_for(GOAWAY, 10)
        assert payload is not None and int.from_bytes(payload[:4], "big") == 3
