"""The end in good order (C12): slow readers get all of their responses, and what is cut is said."""

import json
import signal
import time

from conftest import custom, event, profiles_pb2_grpc, track, unique
from greedy import WINDOW_0, opened, whole, window
from raw import DATA, GOAWAY, HEADERS, PING, Raw, frame
from test_budgets_responses import READ_MANY, large_read

PIECE = 100_000


def request_of(server):
    with server.channel() as channel:
        return large_read(profiles_pb2_grpc.ProfilesStub(channel))


def test_C12_a_slow_reader_gets_all_of_its_response(server):
    server.start()
    request = request_of(server)
    with Raw(server.listen, settings=WINDOW_0) as raw:
        call, stream = whole(raw, request, READ_MANY)
        raw.send(call + window(0, 1 << 30))
        # The response has begun: its headers are here, its data waits for the window.
        assert raw.wait_for(HEADERS) is not None
        server.process.send_signal(signal.SIGTERM)
        assert raw.wait_for(GOAWAY) is not None
        time.sleep(1)
        received, ended = 0, False
        while not ended:
            raw.send(window(stream, PIECE))
            found = raw.read()
            assert found is not None, f"cut after {received} bytes"
            kind, flags, of, payload = found
            if of == stream and kind == DATA:
                received += len(payload)
                time.sleep(0.02)
            elif kind == PING and not flags & 1:
                raw.send(frame(PING, 1, 0, payload))
            ended = of == stream and kind == HEADERS and bool(flags & 1)
        assert received > 500_000
        # Window updates of a reader that is behind do not reset what it has not read.
        raw.send(window(0, 1))
        while raw.read() is not None:
            pass
    assert server.process.wait(30) == 0
    assert not any("cut off" in line for line in server.lines)


def test_C12_the_log_says_what_the_end_of_the_grace_has_cut(server):
    server.flags = ("--drain-seconds", "2")
    server.start()
    request = request_of(server)
    with Raw(server.listen, settings=WINDOW_0) as raw:
        raw.send(b"".join(whole(raw, request, READ_MANY)[0] for _ in range(2)))
        assert raw.wait_for(HEADERS) is not None
        assert server.stop() == 0
    cut = [json.loads(line) for line in server.lines if "cut off" in line]
    assert [(line["connections"], line["calls"]) for line in cut] == [(1, 2)]


def test_C12_the_end_of_the_grace_sends_no_error(server):
    """A call whose response cannot be sent when the grace ends is not ended with an error."""
    server.flags = ("--drain-seconds", "1")
    server.start()
    with Raw(server.listen, settings=WINDOW_0) as raw:
        person = custom(unique("drained"))
        call, stream = whole(raw, track(person, event()).SerializeToString())
        raw.send(call)
        assert raw.wait_for(HEADERS) is not None
        headers, _ = opened(raw)
        raw.send(headers)
        assert server.stop() == 0
        while (found := raw.read(1)) is not None:
            assert not (found[2] == stream and found[0] == HEADERS)
