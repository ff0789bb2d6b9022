"""Rows A of the conformance list: 4,000 repetitions each. The attacker is disconnected or harmless, memory stays
constant, others are served."""

import socket

import pytest

from conftest import Server, custom, track
from raw import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    TRACK,
    WINDOW_UPDATE,
    Raw,
    frame,
    message,
)

DOSE = 4_000
GROWTH_MAX = 16 * 1024 * 1024


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("attacked")).start()
    yield server
    assert server.stop() == 0


def request_block(raw):
    return raw.encoder.encode(
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", TRACK),
            (":authority", "t"),
            ("content-type", "application/grpc"),
        ]
    )


def open_stream(raw):
    stream = raw.next_stream
    raw.next_stream += 2
    return frame(HEADERS, END_HEADERS, stream, request_block(raw)), stream


def rapid_reset(raw):
    headers, stream = open_stream(raw)
    return headers + frame(RST_STREAM, 0, stream, (8).to_bytes(4, "big"))


def made_to_reset(raw):
    """The server itself resets the stream: a window beyond 2^31 - 1."""
    headers, stream = open_stream(raw)
    return headers + frame(WINDOW_UPDATE, 0, stream, (2**31 - 1).to_bytes(4, "big"))


def data_after_end(raw):
    headers, stream = open_stream(raw)
    return headers + frame(DATA, END_STREAM, stream, b"") + frame(DATA, 0, stream, b"x")


def continuation(raw):
    if not hasattr(raw, "begun"):
        raw.begun = True
        return frame(HEADERS, 0, 1, request_block(raw))
    return frame(CONTINUATION, 0, 1, b"")


ATTACKS = {
    "A1_rapid_reset": (rapid_reset, True),
    "A2_made_to_reset": (made_to_reset, True),
    "A11_data_after_end": (data_after_end, True),
    "A3_continuation_flood": (continuation, True),
    "A4_C7_ping_flood": (lambda raw: frame(PING, 0, 0, b"12345678"), True),
    "A5_settings_flood": (lambda raw: frame(SETTINGS, 0, 0, b"\0\x04\0\0\xff\xff"), True),
    "A9_priority_flood": (lambda raw: frame(PRIORITY, 0, 2001, b"\0\0\0\0\x10"), False),  # ignored at no cost
    "A8_window_dribble": (lambda raw: frame(WINDOW_UPDATE, 0, 0, (1).to_bytes(4, "big")), True),
}


def dose(raw, make):
    """Sends the repetitions; returns whether the server closes the connection, immediately or soon."""
    try:
        for _ in range(DOSE // 50):
            raw.send(b"".join(make(raw) for _ in range(50)))
        while raw.read(3) is not None:
            pass
    except OSError:
        return True
    return raw.closed


@pytest.mark.parametrize("name", ATTACKS)
def test_a_flood_is_disconnected_and_others_are_served(target, name):
    make, is_cut = ATTACKS[name]
    before = target.resident_bytes()
    with Raw(target.listen) as raw:
        cut = dose(raw, make)
        with Raw(target.listen) as other:
            assert other.call(track(custom()).SerializeToString()).grpc == 0
    assert cut == is_cut
    assert target.resident_bytes() - before < GROWTH_MAX
    assert target.process.poll() is None


def test_A6_empty_data_frames_are_bounded_per_stream(target):
    with Raw(target.listen) as raw:
        stream = raw.headers()
        raw.send(frame(DATA, 0, stream, b"") * 200)
        response = raw.response(stream)
        assert response.reset is not None or response.grpc is not None


def test_A7_a_header_bomb_is_rejected(target):
    before = target.resident_bytes()
    for _ in range(20):
        with Raw(target.listen) as raw:
            # One entry of 4,000 bytes in the table, then references of one byte each.
            block = request_block(raw) + raw.encoder.encode([("x", "v" * 3_900)])
            reference = raw.encoder.encode([("x", "v" * 3_900)])
            raw.send(frame(HEADERS, END_HEADERS, 1, block + reference * 4_000))
            response = raw.response(1, 5)
            assert response.grpc != 0
    assert target.resident_bytes() - before < GROWTH_MAX


def test_A10_a_reader_that_never_reads_costs_bounded_memory(target):
    before = target.resident_bytes()
    with Raw(target.listen) as raw:
        raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        raw.socket.settimeout(1)
        body = message(track(custom()).SerializeToString())
        try:
            for _ in range(DOSE):
                headers, stream = open_stream(raw)
                raw.send(headers + frame(DATA, END_STREAM, stream, body))
        except OSError:
            pass
        assert target.resident_bytes() - before < GROWTH_MAX
    with Raw(target.listen) as other:
        assert other.call(track(custom()).SerializeToString()).grpc == 0


def test_A13_half_a_preface_does_not_delay_others(target):
    held = [socket.create_connection(target.listen.split(":"), timeout=20) for _ in range(50)]
    for connection in held:
        connection.sendall(b"PRI * HT")
    with Raw(target.listen) as other:
        assert other.call(track(custom()).SerializeToString()).grpc == 0
    for connection in held:
        connection.close()


def test_A15_smuggled_characters_are_rejected(target):
    for value in ("a\r\nb: c", "a\0b"):
        with Raw(target.listen) as raw:
            stream = raw.headers(("x-smuggled", value))
            raw.data(stream, message(track(custom()).SerializeToString()))
            response = raw.response(stream, 5)
            assert response.grpc != 0
