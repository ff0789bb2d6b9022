"""Rows A of the conformance list that are not floods of one frame (those: test_attack_table.py). The attacker is
disconnected or harmless, memory stays constant, others are served."""

import socket

import pytest

from conftest import Server, custom, track
from raw import DATA, END_HEADERS, END_STREAM, HEADERS, TRACK, Raw, frame, message

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
