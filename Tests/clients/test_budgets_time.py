"""Time (C11, A13): what has begun must end, however slowly it comes. In real seconds, so only the short limits; the
others are tested on a simulated clock (ConnectionLifetimeTests)."""

import socket
import threading
import time

import pytest

from greedy import fields, goaway, is_closed, is_served
from raw import END_HEADERS, HEADERS, PREFACE, TRACK, Raw, frame

LIMIT_SECONDS = 10
ENDED = 'profiles_connections_ended_total{{reason="{}"}}'


def header_frame(raw):
    """A HEADERS frame that comes byte by byte."""
    whole = frame(HEADERS, END_HEADERS, 1, raw.encoder.encode(fields(TRACK)) + bytes(100))
    return [whole[:12], *[whole[n : n + 1] for n in range(12, 12 + 2 * LIMIT_SECONDS)]]


def header_block(raw):
    """A block whose CONTINUATION never comes."""
    return [frame(HEADERS, 0, 1, raw.encoder.encode(fields(TRACK)))]


def send_slowly(connection, pieces):
    try:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(1)
    except OSError:
        pass


# The second begins when the time of the preface has passed, which is as long.
@pytest.mark.parametrize(("pieces", "seconds_before"), [(header_frame, 0), (header_block, LIMIT_SECONDS + 2)])
def test_C11_a_header_block_that_does_not_end_closes_its_connection(shared, pieces, seconds_before):
    with Raw(shared.listen) as raw:
        time.sleep(seconds_before)
        sender = threading.Thread(target=send_slowly, args=(raw.socket, pieces(raw)))
        sender.start()
        assert is_closed(raw, 3 * LIMIT_SECONDS) and goaway(raw) == "header_timeout"
        sender.join()
    assert is_served(shared)


def test_C11_a_dripped_preface_is_cut_off(shared):
    ended = ENDED.format("preface_timeout")
    before = shared.metric(ended)
    host, port = shared.listen.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        sender = threading.Thread(target=send_slowly, args=(connection, [bytes([byte]) for byte in PREFACE[:-1]]))
        sender.start()
        while True:
            try:
                if not connection.recv(1_000):
                    break
            except ConnectionError:
                break
        sender.join()
    assert shared.metric(ended) == before + 1
