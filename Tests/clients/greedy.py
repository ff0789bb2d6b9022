"""Clients that take more than their share: requests that do not end, responses that are not read."""

import struct

from conftest import custom, track
from raw import DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS, TRACK, WINDOW_UPDATE, Raw, frame, message

# SETTINGS_INITIAL_WINDOW_SIZE of 0: no response may be sent.
WINDOW_0 = struct.pack(">HI", 4, 0)
FRAME_MAX = 16_000


def fields(path):
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "t"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]


def opened(raw, path=TRACK):
    """The HEADERS of a new call, and its stream."""
    stream = raw.next_stream
    raw.next_stream += 2
    return frame(HEADERS, END_HEADERS, stream, raw.encoder.encode(fields(path))), stream


def whole(raw, payload, path=TRACK):
    """The bytes of a whole call, and its stream."""
    headers, stream = opened(raw, path)
    return headers + frame(DATA, END_STREAM, stream, message(payload)), stream


def half_sent(raw, length, sent):
    """A call whose message has `length` bytes, of which `sent` come; its request does not end."""
    headers, stream = opened(raw)
    body = b"\0" + struct.pack(">I", length) + bytes(sent)
    parts = [body[offset : offset + FRAME_MAX] for offset in range(0, len(body), FRAME_MAX)]
    return headers + b"".join(frame(DATA, 0, stream, part) for part in parts)


def window(stream, count):
    return frame(WINDOW_UPDATE, 0, stream, count.to_bytes(4, "big"))


def unread(address):
    """A connection that lets no response come."""
    raw = Raw(address, settings=WINDOW_0)
    raw.send(frame(SETTINGS, 1))
    return raw


def is_served(server):
    """Whether a new client of the same address has its call carried out."""
    with Raw(server.listen) as other:
        return other.call(track(custom()).SerializeToString()).grpc == 0


def is_closed(raw, seconds):
    """Whether the server ends the connection in this time; what it sends until then is kept in `raw.frames`."""
    while not raw.closed:
        found = raw.read(seconds)
        if found is None:
            break
        raw.frames.append(found)
    return raw.closed


def goaway(raw):
    """The text of the last GOAWAY that has come."""
    texts = [payload[8:].decode() for kind, _, _, payload in raw.frames if kind == 7]
    return texts[-1] if texts else None
