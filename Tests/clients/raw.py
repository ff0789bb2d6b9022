"""An HTTP/2 client that can misbehave: it sends hand-made frames over a socket, for input that no library would
send."""

import socket
import struct
import time

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
# The payload of RST_STREAM.
CANCEL = struct.pack(">I", 8)
TRACK = "/profiles.v1.Profiles/Track"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def message(payload, flag=0):
    return bytes([flag]) + struct.pack(">I", len(payload)) + payload


class Raw:
    """One connection. `response(stream)` collects what arrives for a stream until it ends.

    `source` is the address that it comes from, since some budgets of the server are by address.
    """

    def __init__(self, address, settings=b"", preface=PREFACE, source=None):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection(
            (host, int(port)), timeout=20, source_address=(source, 0) if source else None
        )
        # Headers and body are two writes, the second of which would wait for an acknowledgement of the first.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 20
        self.buffer, self.frames, self.closed = b"", [], False
        self.next_stream = 1
        self.send(preface + frame(SETTINGS, payload=settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def open_window(self, stream=0):
        """Lets the server send as many responses as there will be: 2 GiB on the connection, or on a stream."""
        self.send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 0x7FFF_FFFF - 0xFFFF)))

    def headers(
        self, *extra, path=TRACK, method="POST", end=False, drop=(), stream=None, content_type="application/grpc"
    ):
        """Opens a stream; `extra` are additional fields, `drop` the names of omitted ones."""
        stream = stream or self.next_stream
        self.next_stream = stream + 2
        fields = [
            (":method", method),
            (":scheme", "http"),
            (":path", path),
            (":authority", "test"),
            ("content-type", content_type),
            ("te", "trailers"),
            *extra,
        ]
        block = self.encoder.encode([field for field in fields if field[0] not in drop])
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block))
        return stream

    def data(self, stream, payload, end=True, flags=0):
        self.send(frame(DATA, flags | (END_STREAM if end else 0), stream, payload))

    def call(self, payload, *extra, **options):
        """Makes a complete unary call; returns its response."""
        stream = self.headers(*extra, **options)
        self.data(stream, message(payload))
        return self.response(stream)

    def read(self, seconds=20):
        """The next frame as (kind, flags, stream, payload); None if the connection is closed or nothing arrives in
        time."""
        deadline = time.monotonic() + seconds
        while True:
            if len(self.buffer) >= 9:
                length = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) >= 9 + length:
                    kind, flags = self.buffer[3], self.buffer[4]
                    stream = int.from_bytes(self.buffer[5:9], "big") & 0x7FFFFFFF
                    payload = self.buffer[9 : 9 + length]
                    self.buffer = self.buffer[9 + length :]
                    return kind, flags, stream, payload
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.socket.settimeout(left)
            try:
                chunk = self.socket.recv(65536)
            except (TimeoutError, socket.timeout):
                return None
            except OSError:
                chunk = b""
            if not chunk:
                self.closed = True
                return None
            self.buffer += chunk

    def response(self, stream, seconds=20, is_enough=lambda data: False):
        """The response on a stream; one that has no end is canceled once `is_enough` says so of its data."""
        response = Response()
        while not response.ended:
            if is_enough(response.data):
                self.send(frame(RST_STREAM, stream=stream, payload=CANCEL))
                response.canceled = response.ended = True
                break
            found = self.read(seconds)
            if found is None:
                break
            kind, flags, of, payload = found
            if kind == HEADERS:
                fields = self.decoder.decode(payload, raw=False)
                if of == stream:
                    response.blocks.append(dict(fields))
            elif kind == DATA and of == stream:
                response.data += payload
            elif kind == RST_STREAM and of == stream:
                response.reset = int.from_bytes(payload, "big")
                response.ended = True
            elif kind == SETTINGS and not flags & ACK:
                self.send(frame(SETTINGS, ACK))
            elif kind == GOAWAY:
                response.goaway = int.from_bytes(payload[4:8], "big")
            self.frames.append(found)
            if of == stream and kind in (HEADERS, DATA) and flags & END_STREAM:
                response.ended = True
        return response

    def wait_for(self, kind, seconds=20):
        """The payload of the next frame of a kind; None if the connection ends first."""
        while True:
            found = self.read(seconds)
            if found is None or found[0] == kind:
                return found and found[3]


class Response:
    def __init__(self):
        self.blocks, self.data, self.reset, self.goaway, self.ended = [], b"", None, None, False
        # By this client, after messages: a stream that was served.
        self.canceled = False

    @property
    def http(self):
        return self.blocks[0].get(":status") if self.blocks else None

    @property
    def grpc(self):
        """The gRPC status as a number; None if there is none. A stream that was served until it was canceled: 0."""
        if self.canceled:
            return 0
        value = self.blocks[-1].get("grpc-status") if self.blocks else None
        return None if value is None else int(value)
