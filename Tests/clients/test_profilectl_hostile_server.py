"""profilectl against a server that sends what ours could never send: no trap, no hang, a clear message."""

import os
import random
import socket
import struct
import subprocess
import threading
from concurrent import futures

import grpc
import hpack
import pytest

from conftest import profiles_pb2, types_pb2
from operator_tools import TOOL
from raw import ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, SETTINGS, frame, message

EXTREMES = [0, 1, -1, 253402300800, -62135596801, (1 << 63) - 1, -(1 << 63)]
COMMANDS = [
    ["get", "anna"], ["--json", "get", "anna"], ["events", "anna"], ["--json", "events", "anna"], ["consent", "anna"],
    ["consent", "anna", "--verify"], ["sendable", "anna", "email"], ["track", "anna", "view"],
    ["identify", "anna", "plan=gold"], ["subscribe", "anna", "email"], ["erase", "anna", "--yes"], ["health"],
    ["snapshot"], ["backup", "/nowhere"], ["import", "-"], ["export"], ["export", "anna"], ["export", "--operations"],
    ["list"], ["count"], ["merge", "anna", "ben"], ["unmerge", "01ARZ3NDEKTSV4RRFFQ69G5FAV"], ["detach", "d"],
    ["project", "list"], ["project", "get", "shop"], ["key", "list"], ["trigger", "list"], ["watch"],
]  # fmt: skip
LINES = b'{"track":{"identifier":{"custom_id":"anna"},"events":[{"name":"view"}]}}\n' * 2


def ctl(address, *words, seconds=60):
    """A run that must end without a signal."""
    finished = subprocess.run(
        [str(TOOL), "--timeout", "3s", *words],
        env={**os.environ, "PROFILES_ADDRESS": address},
        input=LINES,
        capture_output=True,
        timeout=seconds,
    )
    assert 0 <= finished.returncode < 128, (words, finished.returncode, finished.stderr[-500:])
    if finished.returncode not in (0, 5):
        # Warnings of single lines of an import come first.
        assert finished.stderr.startswith(b"profilectl: ") or finished.stdout, words
    for output in (finished.stdout, finished.stderr):
        assert not any(byte < 0x20 and byte != 0x0A for byte in output), (words, output[:300])
    return finished


class AnyResponse(grpc.GenericRpcHandler):
    """Responds to every method with the same bytes, trailers and status."""

    def __init__(self):
        self.bytes = b""

    def service(self, details):
        def respond(request, context):
            yield self.bytes

        return grpc.unary_stream_rpc_method_handler(respond)


@pytest.fixture(scope="module")
def hostile():
    handler = AnyResponse()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([handler])
    handler.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield handler
    server.stop(None)


def illegal_profile(seconds, nanos):
    response = profiles_pb2.GetProfileResponse(lsn=(1 << 64) - 1)
    profile = response.profile
    profile.custom_id = "an\x1b[2Jna\u202e\u009b"
    profile.revision = (1 << 64) - 1
    for time in (profile.created_at, profile.updated_at, profile.last_seen_at, profile.events_truncated_before):
        time.seconds, time.nanos = seconds, nanos
    profile.attributes["born"].time.seconds = seconds
    profile.attributes["born"].time.nanos = nanos
    profile.attributes["ratio"].number = float("inf")
    profile.attributes["x\n\x1b"].string = "\x9b2J\r\n"
    profile.attribute_metadata["born"].effective_time.seconds = seconds
    counter = profile.event_counters.add(name="a\x1bb", count=(1 << 64) - 1)
    counter.first.seconds = counter.last.seconds = seconds
    return response


@pytest.mark.parametrize("nanos", [0, -1, 1_000_000_000, (1 << 31) - 1])
@pytest.mark.parametrize("seconds", EXTREMES)
def test_illegal_times_are_shown_as_text(hostile, seconds, nanos):
    hostile.bytes = illegal_profile(seconds, nanos).SerializeToString()
    shown = ctl(hostile.address, "get", "anna", "--events", "0")
    assert shown.returncode == 0
    if not (0 <= nanos < 1_000_000_000 and -62135596800 <= seconds <= 253402300799):
        assert f"invalid timestamp (seconds={seconds}, nanos={nanos})".encode() in shown.stdout
    ctl(hostile.address, "--json", "get", "anna")


def test_random_bytes_never_end_a_command_by_a_signal(hostile):
    numbers = random.Random(20260131)
    for number in range(3):
        for words in COMMANDS:
            hostile.bytes = numbers.randbytes(numbers.randrange(64))
            ctl(hostile.address, *words)
    for number in range(40):
        good = bytearray(illegal_profile(numbers.choice(EXTREMES), 5).SerializeToString())
        for _ in range(3):
            good[numbers.randrange(len(good))] = numbers.randrange(256)
        hostile.bytes = bytes(good)
        ctl(hostile.address, "get", "anna")


def nested(levels):
    value = b""
    for _ in range(levels):
        for tag in (0x42, 0x12, 0x0A):  # Value.object, the value of an entry, Object.fields
            value = bytes([tag]) + varint(len(value)) + value
    entry = b"\x42" + varint(len(value)) + value
    entry = b"\x12" + varint(len(entry)) + entry
    profile = b"\x32" + varint(len(entry)) + entry  # Profile.attributes
    return b"\x0a" + varint(len(profile)) + profile


def varint(number):
    encoded = b""
    while number >= 0x80:
        encoded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return encoded + bytes([number])


def test_deep_nesting_is_an_unexpected_format(hostile):
    hostile.bytes = nested(5_000)
    assert profiles_pb2.GetProfileResponse.FromString(nested(5)).profile.attributes
    result = ctl(hostile.address, "get", "anna")
    assert result.returncode == 3 and b"unexpected format" in result.stderr


def test_another_count_than_that_of_the_operations_ends_an_import(hostile):
    """Otherwise a line without a result would count as done."""
    largest = (1 << 63) - 1
    for counts in [(0, 0, 0), (1, 0, 0), (3, 0, 0), (largest, 1, 0), (largest + 1, 0, 2), (2 * largest + 1, 2, 1)]:
        applied, unchanged, rejected = counts
        hostile.bytes = profiles_pb2.ImportProfilesResponse(
            applied=applied, unchanged=unchanged, rejected=rejected
        ).SerializeToString()
        result = ctl(hostile.address, "import", "-")
        said = f"counted {applied} applied, {unchanged} unchanged and {rejected} rejected operations of 2"
        assert result.returncode == 3 and said.encode() in result.stderr


def test_an_export_of_the_last_lsn_is_an_unexpected_format(hostile):
    """Nothing could follow it."""
    for lsn, code in [((1 << 64) - 2, 0), ((1 << 64) - 1, 3)]:
        hostile.bytes = profiles_pb2.ExportProfileResponse(lsn=lsn, page_token="a").SerializeToString()
        result = ctl(hostile.address, "export")
        assert result.returncode == code, result.stderr
        assert (b"unexpected format" if code else f"--from {lsn + 1} ".encode()) in result.stderr


def test_an_endless_list_of_pages_ends(hostile):
    """An empty page with a token for the next one."""
    hostile.bytes = profiles_pb2.ListEventsResponse(next_page_token="again").SerializeToString()
    assert ctl(hostile.address, "events", "anna", "--limit", "0").returncode == 0
    hostile.bytes = profiles_pb2.ListConsentHistoryResponse(next_page_token="again").SerializeToString()
    assert ctl(hostile.address, "consent", "anna").returncode == 0


def test_progress_of_any_size_is_shown(hostile):
    from profiles.v1 import admin_pb2

    for done, total in ((1 << 63, 1), ((1 << 64) - 1, (1 << 63) - 1), (5, 0)):
        progress = admin_pb2.BackupResponse(file="\x1b[2J", bytes_done=done, bytes_total=total)
        hostile.bytes = progress.SerializeToString()
        assert ctl(hostile.address, "backup", "/nowhere").returncode == 0


# HTTP/2


class Script:
    """A server that sends prepared frames after the request has arrived on stream 1."""

    def __init__(self, respond):
        self.respond = respond
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def serve(self, connection):
        with connection:
            connection.settimeout(10)
            buffer = b""
            try:
                connection.sendall(frame(SETTINGS) + frame(SETTINGS, ACK))
                while True:
                    buffer += connection.recv(65536)
                    rest, ended = self.requests(buffer)
                    if ended:
                        buffer = rest
                        self.respond(connection, ended)
            except OSError:
                pass

    @staticmethod
    def requests(buffer):
        """What is left, and the stream whose request has ended."""
        if buffer.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            buffer = buffer[24:]
        while len(buffer) >= 9:
            length = int.from_bytes(buffer[:3], "big")
            kind, flags, stream = buffer[3], buffer[4], int.from_bytes(buffer[5:9], "big")
            if len(buffer) < 9 + length:
                break
            buffer = buffer[9 + length :]
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                return buffer, stream
        return buffer, None

    def close(self):
        self.listener.close()


def script(respond):
    server = Script(respond)
    try:
        return server, ctl(server.address, "health")
    finally:
        server.close()


HEAD = [(":status", "200"), ("content-type", "application/grpc")]


def trailers(*fields, data=b""):
    """A response with these trailers."""

    def respond(connection, stream):
        encoder = hpack.Encoder()
        connection.sendall(
            frame(HEADERS, END_HEADERS, stream, encoder.encode(HEAD))
            + (frame(DATA, 0, stream, data) if data else b"")
            + header_block(END_STREAM, stream, encoder.encode(list(fields), huffman=False))
        )

    return respond


def header_block(flags, stream, block):
    """HEADERS, with as many CONTINUATION frames as a block needs."""
    pieces = [block[start : start + 16_384] for start in range(0, len(block), 16_384)]
    frames = b""
    for index, piece in enumerate(pieces):
        last = END_HEADERS if index == len(pieces) - 1 else 0
        frames += frame(CONTINUATION if index else HEADERS, last | (0 if index else flags), stream, piece)
    return frames


SERVING = message(b"\x08\x01")


@pytest.mark.parametrize(
    ("respond", "code", "text"),
    [
        (trailers(("grpc-status", "0"), data=SERVING), 0, b"SERVING"),
        (trailers(("grpc-status", "+0"), data=SERVING), 1, b"UNKNOWN"),
        (trailers(("grpc-status", ""), data=SERVING), 1, b"UNKNOWN"),
        (trailers(("grpc-status", "99999999999999")), 1, b"UNKNOWN"),
        (trailers(("grpc-status", "77")), 1, b"status 77"),
        (trailers(("grpc-status", "-5")), 1, b"UNKNOWN"),
        (trailers(("grpc-status", "13"), ("grpc-message", "%zz%4%%41%")), 1, b"%zz%4%A%"),
        (trailers(("grpc-status", "13"), ("grpc-message", "%1B[2J%0Ax%E2%80%AE")), 1, b"\\u{1b}[2J\\u{a}x\\u{202e}"),
        (trailers(("grpc-status", "13"), ("grpc-message", "%FF%C3")), 1, "\ufffd\ufffd".encode()),
        (trailers(("grpc-status", "13"), ("grpc-message", "x" * 60_000)), 1, b"xxx"),
        (trailers(("grpc-status", "13"), ("grpc-status-details-bin", "!!!")), 1, b"INTERNAL"),
        (trailers(("grpc-status", "13"), ("grpc-status-details-bin", "CAA")), 1, b"INTERNAL"),
        (trailers(("grpc-status", "13"), ("grpc-status-details-bin", "////" * 9_000)), 1, b"INTERNAL"),
        (trailers(("x", "y")), 3, b"without a status"),
        (trailers(("grpc-status", "0"), data=b""), 3, b"not exactly one message"),
        (trailers(("grpc-status", "0"), data=SERVING * 2), 3, b"not exactly one message"),
        (trailers(("grpc-status", "0"), data=message(b"\x08\x01", flag=1)), 3, b"not exactly one message"),
        (trailers(("grpc-status", "0"), data=b"\0\xff\xff\xff\xff"), 3, b"not exactly one message"),
        (trailers(("grpc-status", "0"), data=message(b"\xff" * 9)), 3, b"unexpected format"),
        (trailers(*[(f"x-{number}", "y" * 50) for number in range(100)], ("grpc-status", "5")), 1, b"NOT_FOUND"),
    ],
)
def test_trailers_of_any_form_are_one_line(respond, code, text):
    _, result = script(respond)
    assert result.returncode == code, result.stderr
    assert text in result.stdout + result.stderr and (result.stdout + result.stderr).count(b"\n") == 1


def raw_frames(make):
    def respond(connection, stream):
        connection.sendall(make(stream))

    return respond


@pytest.mark.parametrize(
    "make",
    [
        lambda stream: b"HTTP/1.1 400 Bad Request\r\n\r\n",
        lambda stream: frame(RST_STREAM, 0, stream, struct.pack(">I", 7)),
        lambda stream: frame(HEADERS, END_HEADERS, stream, b"\xff" * 40),
        lambda stream: frame(HEADERS, 0, stream, b"") + frame(CONTINUATION, 0, stream, b"") * 50,
        lambda stream: frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0)),
        lambda stream: frame(DATA, END_STREAM, stream, b"x"),
        lambda stream: frame(99, 255, stream, b"x" * 100) + frame(RST_STREAM, 0, stream, b"x"),
        lambda stream: os.urandom(4_096),
        lambda stream: b"",
    ],
)
def test_broken_frames_end_with_code_three(make):
    _, result = script(raw_frames(make))
    assert result.returncode == 3 and result.stderr.count(b"\n") == 1, result.stderr


def test_a_response_without_end_is_cut():
    """The client reads at most 64 MiB; the server would send for ever."""

    def respond(connection, stream):
        connection.sendall(frame(HEADERS, END_HEADERS, stream, hpack.Encoder().encode(HEAD)))
        connection.sendall(frame(DATA, 0, stream, b"\0\xff\xff\xff\xff"))
        window = 65_535 - 5
        chunk = frame(DATA, 0, stream, b"x" * 16_384)
        while True:
            if window >= 16_384:
                connection.sendall(chunk)
                window -= 16_384
            else:
                # WINDOW_UPDATEs of the client; the largest one is enough.
                if not connection.recv(65_536):
                    return
                window += 500_000

    server = Script(respond)
    result = ctl(server.address, "--timeout", "60s", "health", seconds=120)
    server.close()
    assert result.returncode == 3 and (b"too large" in result.stderr or b"closed" in result.stderr), result.stderr


def test_a_connection_that_goes_away_is_replaced():
    """GOAWAY between two calls: the next call uses a new connection instead of waiting for nothing."""

    def respond(connection, stream):
        encoder = hpack.Encoder()
        if stream > 1:
            return
        response = profiles_pb2.GetProfileResponse(profile=types_pb2.Profile(custom_id="anna"))
        connection.sendall(
            frame(HEADERS, END_HEADERS, stream, encoder.encode(HEAD))
            + frame(DATA, 0, stream, message(response.SerializeToString()))
            + frame(HEADERS, END_HEADERS | END_STREAM, stream, encoder.encode([("grpc-status", "0")]))
            + frame(GOAWAY, 0, 0, struct.pack(">II", stream, 0))
        )

    server = Script(respond)
    # GetProfile, then ListEvents.
    result = ctl(server.address, "get", "anna")
    server.close()
    assert server.connections == 2 and result.stdout.startswith(b"anna"), result.stderr
