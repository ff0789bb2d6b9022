"""Rows G and C of the conformance list, as far as a client can observe them."""

import base64
import os
import signal
import struct

import pytest
from google.rpc import error_details_pb2, status_pb2

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
    RST_STREAM,
    SETTINGS,
    TRACK,
    WINDOW_UPDATE,
    Raw,
    frame,
    message,
)

OK, CANCELLED, DEADLINE, NOT_FOUND, RESOURCE, UNIMPLEMENTED, INTERNAL = 0, 1, 4, 5, 8, 12, 13


@pytest.fixture
def raw(shared):
    with Raw(shared.listen) as connection:
        yield connection


def good():
    return track(custom()).SerializeToString()


def test_G1_G2_good_unary_is_headers_data_trailers(raw):
    response = raw.call(good())
    assert response.http == "200" and response.blocks[0]["content-type"].startswith("application/grpc")
    assert "grpc-status" not in response.blocks[0] and response.blocks[1]["grpc-status"] == "0"
    assert response.data[0] == 0 and int.from_bytes(response.data[1:5], "big") == len(response.data) - 5


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto", "application/grpc;x=y"])
def test_G3_content_types_of_grpc_are_accepted(raw, content_type):
    assert raw.call(good(), content_type=content_type).grpc == OK


@pytest.mark.parametrize("content_type", ["text/plain", "application/grpcfoo", "application/grpc+json", ""])
def test_G4_G5_G6_other_content_types_are_415(raw, content_type):
    response = raw.call(good(), content_type=content_type)
    assert (response.http, response.grpc) == ("415", None)


def test_G4_absent_content_type_is_415(raw):
    assert raw.call(good(), drop=("content-type",)).http == "415"


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_G7_other_methods_are_405(raw, method):
    assert raw.call(good(), method=method).http == "405"


def test_G8_absent_te_is_accepted_and_a_wrong_one_is_malformed(raw):
    assert raw.call(good(), drop=("te",)).grpc == OK
    assert raw.call(good(), ("te", "gzip"), drop=("te",)).grpc in (OK, None)
    stream = raw.headers(("te", "gzip"))
    assert raw.response(stream, 5).grpc != OK


@pytest.mark.parametrize(
    "path",
    ["/", "//", "/a", "/a/b/c", "/profiles.v1.Profiles/Nothing", "/profiles.v1.profiles/Track", "/" + "p" * 3000],
)
def test_G9_G10_G11_G12_unknown_paths_are_trailers_only_unimplemented(raw, path):
    response = raw.call(b"", path=path)
    assert (response.http, response.grpc, len(response.blocks), response.data) == ("200", UNIMPLEMENTED, 1, b"")


@pytest.mark.parametrize("value", ["1H", "99999999H", "60S", "99999999S", "5000m", "5000000u"])
def test_G13_timeouts_are_parsed(raw, value):
    assert raw.call(good(), ("grpc-timeout", value)).grpc == OK


@pytest.mark.parametrize("value", ["", "1", "S", "999999999S", "-1S", "1.5S", " 1S", "1 S", "1x"])
def test_G14_invalid_timeouts_are_errors(raw, value):
    response = raw.call(good(), ("grpc-timeout", value))
    assert response.grpc == INTERNAL or response.reset is not None


@pytest.mark.parametrize("value", ["1n", "0S", "1u"])
def test_G15_passed_deadlines_are_reported(raw, value):
    stream = raw.headers(("grpc-timeout", value))
    response = raw.response(stream)
    assert response.grpc == DEADLINE or response.reset is not None


def test_G16_a_deadline_passes_while_the_body_is_awaited(raw):
    stream = raw.headers(("grpc-timeout", "300m"))
    assert raw.response(stream).grpc == DEADLINE


def test_G18_G19_G20_unusual_metadata_is_not_an_error(raw):
    extra = [
        ("x-bin", "!!!"),
        ("grpc-unknown", "1"),
        ("grpc-previous-rpc-attempts", "2"),
        ("k", "1"),
        ("k", "2"),
        ("h", "\xc3\xa9"),
    ]
    assert raw.call(good(), *extra).grpc == OK


def test_G21_upper_case_header_names_are_malformed(raw):
    assert raw.call(good(), ("X-Upper", "1")).grpc != OK


@pytest.mark.parametrize("size", [4_000, 7_000])
def test_G22_large_metadata_is_accepted(raw, size):
    assert raw.call(good(), ("x-large", "v" * size)).grpc == OK


def test_G23_headers_over_the_limit_are_rejected_and_the_server_survives(shared, raw):
    stream = raw.next_stream
    raw.next_stream += 2
    block = raw.encoder.encode(
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", TRACK),
            (":authority", "t"),
            ("content-type", "application/grpc"),
            *[(f"x-{i}", "v" * 1000) for i in range(24)],
        ]
    )
    parts = [block[i : i + 16_000] for i in range(0, len(block), 16_000)]
    raw.send(frame(HEADERS, 0, stream, parts[0]))
    for index, part in enumerate(parts[1:], 2):
        raw.send(frame(CONTINUATION, END_HEADERS if index == len(parts) else 0, stream, part))
    response = raw.response(stream)
    assert response.grpc == RESOURCE
    details = response.blocks[-1]["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(base64.b64decode(details + "=" * (-len(details) % 4)))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info) and (info.reason, info.domain) == ("LIMIT_EXCEEDED", "profiles.v1")
    assert info.metadata["limit"] == "header_bytes" and int(info.metadata["maximum"]) == 16 << 10
    assert int(info.metadata["actual"]) > 24_000
    with Raw(shared.listen) as other:
        assert other.call(good()).grpc == OK


def test_G24_C3_settings_advertise_their_limits(raw):
    payload = raw.wait_for(SETTINGS)
    settings = {
        int.from_bytes(payload[i : i + 2], "big"): int.from_bytes(payload[i + 2 : i + 6], "big")
        for i in range(0, len(payload), 6)
    }
    assert settings[6] >= 8_192 and 90 <= settings[3] <= 1_000


def test_G25_headers_split_in_continuations(raw):
    block = raw.encoder.encode(
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", TRACK),
            (":authority", "t"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ]
    )
    raw.send(
        frame(HEADERS, 0, 1, block[:5])
        + frame(CONTINUATION, 0, 1, block[5:9])
        + frame(CONTINUATION, END_HEADERS, 1, block[9:])
    )
    raw.data(1, message(good()))
    assert raw.response(1).grpc == OK


def test_G26_G47_one_byte_frames_padding_and_an_empty_end(raw):
    stream = raw.headers()
    body = message(good())
    for index in range(len(body) // 2):
        raw.data(stream, body[index : index + 1], end=False)
    raw.data(stream, b"\x05" + body[len(body) // 2 :] + b"\0" * 5, end=False, flags=PADDED)
    raw.data(stream, b"")
    assert raw.response(stream).grpc == OK


def test_G27_request_trailers_end_the_stream(raw):
    stream = raw.headers()
    raw.data(stream, message(good()), end=False)
    raw.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, raw.encoder.encode([("x-trailer", "1")])))
    assert raw.response(stream).grpc == OK


def test_G28_two_messages_are_unimplemented(raw):
    stream = raw.headers()
    raw.data(stream, message(good()) * 2)
    assert raw.response(stream).grpc == UNIMPLEMENTED


def test_G29_no_message_is_unimplemented(raw):
    stream = raw.headers()
    raw.data(stream, b"")
    assert raw.response(stream).grpc == UNIMPLEMENTED
    assert raw.response(raw.headers(end=True)).grpc == UNIMPLEMENTED


@pytest.mark.parametrize("cut", [1, 3, 7, -1])
def test_G30_an_end_inside_a_message_is_internal(raw, cut):
    stream = raw.headers()
    raw.data(stream, message(good())[:cut])
    assert raw.response(stream).grpc == INTERNAL


@pytest.mark.parametrize("length", [4 * 1024 * 1024 + 1, 2**32 - 1])
def test_G31_too_long_message_is_rejected_from_its_prefix_alone(raw, length):
    stream = raw.headers()
    raw.data(stream, b"\0" + length.to_bytes(4, "big"), end=False)
    assert raw.response(stream).grpc == RESOURCE


@pytest.mark.parametrize("extra", [[], [("grpc-encoding", "identity")]])
def test_G32_a_compressed_flag_without_encoding_is_internal(raw, extra):
    stream = raw.headers(*extra)
    raw.data(stream, message(b"x", flag=1))
    assert raw.response(stream).grpc == INTERNAL


def test_G33_unknown_encodings_are_unimplemented_and_supported_ones_listed(raw):
    stream = raw.headers(("grpc-encoding", "snappy"))
    raw.data(stream, message(b"x", flag=1))
    response = raw.response(stream)
    assert response.grpc == UNIMPLEMENTED and response.blocks[-1]["grpc-accept-encoding"] == "identity"


def test_G34_G35_gzip_is_unimplemented_only_where_it_is_used(raw):
    assert raw.call(good(), ("grpc-encoding", "gzip")).grpc == OK
    stream = raw.headers(("grpc-encoding", "gzip"))
    raw.data(stream, message(b"x", flag=1))
    assert raw.response(stream).grpc == UNIMPLEMENTED


@pytest.mark.parametrize("flag", [2, 128, 255])
def test_G37_other_flags_are_internal(raw, flag):
    stream = raw.headers()
    raw.data(stream, message(good(), flag=flag))
    assert raw.response(stream).grpc == INTERNAL


def test_G39_G42_undecodable_protobuf_is_internal_with_an_ascii_message(raw):
    response = raw.call(b"\xff\xff\xff")
    assert response.grpc == INTERNAL and all(" " <= c <= "~" for c in response.blocks[-1]["grpc-message"])


def test_G40_unknown_fields_are_ignored(raw):
    assert raw.call(good() + b"\xfa\x07\x03abc").grpc == OK


def test_G43_an_early_error_is_trailers_then_reset_no_error(raw):
    stream = raw.headers(path="/a/b")
    assert raw.response(stream).grpc == UNIMPLEMENTED
    payload = raw.wait_for(RST_STREAM)
    assert payload is not None and int.from_bytes(payload, "big") == 0


def test_G44_a_reset_call_leaves_the_connection_usable(raw):
    stream = raw.headers()
    raw.send(frame(RST_STREAM, 0, stream, (8).to_bytes(4, "big")))
    assert raw.call(good()).grpc == OK


def test_C1_C2_ping_is_echoed_and_settings_acknowledged(raw):
    raw.send(frame(PING, 0, 0, b"12345678"))
    assert raw.wait_for(PING) == b"12345678"
    raw.send(frame(SETTINGS, 0, 0, b""))
    while True:
        found = raw.read()
        assert found is not None
        if found[0] == SETTINGS and found[1] & ACK:
            break


def test_C4_ninety_calls_at_once_all_end(raw):
    streams = [raw.headers() for _ in range(90)]
    for stream in streams:
        raw.data(stream, message(good()))
    ended = {}
    while len(ended) < 90:
        found = raw.read()
        assert found is not None
        kind, flags, stream, payload = found
        if kind == HEADERS:
            fields = dict(raw.decoder.decode(payload))
            if flags & END_STREAM:
                ended[stream] = fields["grpc-status"]
    assert set(ended.values()) == {"0"}


def test_C5_C6_a_window_of_three_bytes_gives_exactly_three(shared):
    with Raw(shared.listen, settings=b"\0\x04\0\0\0\0") as raw:
        stream = raw.headers()
        raw.data(stream, message(good()))
        raw.wait_for(HEADERS)
        raw.send(frame(WINDOW_UPDATE, 0, stream, (3).to_bytes(4, "big")))
        assert len(raw.wait_for(DATA)) == 3
        raw.send(frame(SETTINGS, 0, 0, b"\0\x04\0\0\xff\xff"))
        assert len(raw.wait_for(DATA)) > 10


def test_C8_a_bad_preface_is_closed(shared):
    with Raw(shared.listen, preface=b"GET / HTTP/2.0\r\n\r\nXX\r\n\r\n") as raw:
        while raw.read(20) is not None:
            pass
        assert raw.closed


def test_C9_unknown_frames_and_settings_are_ignored(raw):
    raw.send(frame(0x77, 0x55, 0, b"anything") + frame(SETTINGS, 0, 0, b"\xab\xcd\0\0\0\x01"))
    assert raw.call(good()).grpc == OK


def test_C10_a_goaway_of_the_client_lets_open_calls_end(raw):
    stream = raw.headers()
    raw.send(frame(GOAWAY, 0, 0, b"\0" * 8))
    raw.data(stream, message(good()))
    assert raw.response(stream).grpc == OK


def test_C12_drain_announces_then_ends(server):
    server.start()
    with Raw(server.listen) as raw:
        assert raw.call(good()).grpc == OK
        os.kill(server.pid, signal.SIGTERM)
        # Pings overtake other frames in nghttp2's queue, so the two may come in either order.
        found = dict((kind, payload) for kind, _, _, payload in (raw.read(), raw.read()))
        assert int.from_bytes(found[GOAWAY][:4], "big") == 2**31 - 1
        raw.send(frame(PING, ACK, 0, found[PING]))
        second = raw.wait_for(GOAWAY)
        assert int.from_bytes(second[:4], "big") == 1
    assert server.process.wait(30) == 0


def test_C3_G51_one_stream_more_than_allowed_is_not_processed(raw):
    """The settings are acknowledged, so that it is an error of the connection."""
    assert raw.call(good()).grpc == OK
    for _ in range(100):
        raw.headers()
    raw.send(frame(PING, 0, 0, b"in order"))
    assert raw.wait_for(PING) == b"in order"
    raw.headers()
    last_stream, code = struct.unpack(">II", raw.wait_for(GOAWAY)[:8])
    assert (last_stream, code) == (201, 1)
    assert raw.wait_for(DATA) is None and raw.closed


def test_H9_watches_of_a_connection_are_capped(raw):
    path = "/grpc.health.v1.Health/Watch"
    streams = []
    for _ in range(9):
        stream = raw.headers(path=path)
        raw.data(stream, message(b""))
        streams.append(stream)
    assert raw.response(streams[-1]).grpc == RESOURCE


def test_call_reset_in_the_same_read_is_not_applied(raw, stub):
    """A request and its reset in one segment cost no write (A1)."""
    from conftest import fails, get

    who = custom()
    body = message(track(who).SerializeToString())
    block = raw.encoder.encode(
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", TRACK),
            (":authority", "t"),
            ("content-type", "application/grpc"),
        ]
    )
    raw.send(
        frame(HEADERS, END_HEADERS, 1, block)
        + frame(DATA, END_STREAM, 1, body)
        + frame(RST_STREAM, 0, 1, (8).to_bytes(4, "big"))
    )
    raw.next_stream = 3
    assert raw.call(good()).grpc == OK
    assert fails(stub.GetProfile, get(who)).code.value[0] == NOT_FOUND


def test_H7_a_watch_that_reads_late_gets_the_state_of_the_drain(server):
    """The client grants no window until the drain has begun: it still receives NOT_SERVING, then a status. The state
    before waits with the call until there is a window, and is replaced unless the window comes first."""
    server.start()
    with Raw(server.listen, settings=b"\0\4\0\0\0\0") as raw:
        stream = raw.headers(path="/grpc.health.v1.Health/Watch")
        raw.data(stream, message(b""))
        assert raw.call(b"", path="/nothing").grpc == UNIMPLEMENTED
        os.kill(server.pid, signal.SIGTERM)
        raw.send(frame(WINDOW_UPDATE, 0, stream, (1 << 20).to_bytes(4, "big")))
        response = raw.response(stream)
    serving, not_serving = message(b"\x08\x01"), message(b"\x08\x02")
    assert response.data in (not_serving, serving + not_serving) and response.grpc == 14
    assert server.process.wait(30) == 0


def test_H9_watches_do_not_delay_a_drain(server):
    """Streams of health do not count as open calls."""
    server.start()
    with Raw(server.listen) as raw:
        stream = raw.headers(path="/grpc.health.v1.Health/Check")
        raw.data(stream, message(b""))
        assert raw.response(stream).data == message(b"\x08\x01")
        for _ in range(8):
            raw.data(raw.headers(path="/grpc.health.v1.Health/Watch"), message(b""))
        assert server.stop() == 0
