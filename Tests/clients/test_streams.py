"""TrackStream (section 3 of the contract) and the flow control of streams, with grpcio and with frames by hand."""

import collections
import os
import signal
import threading
import time

import grpc
import pytest
from google.protobuf import timestamp_pb2, wrappers_pb2

from conftest import (
    Failure,
    Server,
    custom,
    event,
    get,
    profiles_pb2,
    profiles_pb2_grpc,
    status_pb2,
    track,
    types_pb2,
    wait_until,
)
from raw import ACK, DATA, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE, Raw, frame, message

TRACK_STREAM = "/profiles.v1.Profiles/TrackStream"
STORED, DUPLICATE = 1, 2
INVALID, NOT_FOUND, OUT_OF_RANGE, ABORTED = 3, 5, 11, 10


def item(sequence, who=None, *events, **fields):
    return track(who or custom(), *events, sequence=sequence, **fields)


def failure(response):
    """Code, reason, metadata and violations of the error in a response."""
    found = object.__new__(Failure)
    found.code, found.violations, found.reason, found.metadata = response.error.code, {}, "", {}
    found.read(response.error)
    return found


def messages(data):
    """The gRPC messages in the bytes of a response."""
    found = []
    while len(data) >= 5:
        length = int.from_bytes(data[1:5], "big")
        if len(data) < 5 + length:
            break
        found.append(data[5 : 5 + length])
        data = data[5 + length :]
    return found


def test_responses_are_ordered_with_their_sequences_and_their_writes_readable(stub):
    people = [custom() for _ in range(20)]
    requests = [item(1_000 + number, people[number % 20]) for number in range(2_000)]
    responses = list(stub.TrackStream(iter(requests), timeout=60))
    assert [response.sequence for response in responses] == [request.sequence for request in requests]
    assert all(response.results[0].status == STORED and not response.HasField("error") for response in responses)
    lsns = [response.lsn for response in responses]
    assert lsns == sorted(set(lsns))
    assert all(stub.GetProfile(get(who)).profile.event_counters[0].count == 100 for who in people)


def test_an_empty_stream_ends_with_ok(stub):
    assert list(stub.TrackStream(iter([]), timeout=20)) == []


def test_each_response_arrives_before_the_next_request_is_sent(stub):
    """A response does not wait for the next request, so a client may proceed step by step."""
    acknowledged, who = threading.Semaphore(1), custom()

    def requests():
        for number in range(1, 30):
            assert acknowledged.acquire(timeout=20)
            yield item(number, who)

    for number, response in enumerate(stub.TrackStream(requests(), timeout=60), 1):
        assert response.sequence == number
        assert stub.GetProfile(get(who, min_lsn=response.lsn)).profile.event_counters[0].count == number
        acknowledged.release()


def test_failures_are_in_order_and_the_stream_continues(stub):
    known = custom()
    stub.Track(track(known))
    old = timestamp_pb2.Timestamp(seconds=int(time.time()) - 40 * 3600)
    other = item(4)
    other.project = "other"
    requests = [
        item(1, known),
        item(2, known, event("bad name")),
        item(3, custom(), must_exist=True),
        other,
        item(5, known, event(occurred_at=old)),
        item(6, known, expected_revision=wrappers_pb2.UInt64Value(value=99)),
        profiles_pb2.TrackRequest(sequence=7),
        item(8, known, *[event() for _ in range(16)]),
        item(9, known),
    ]
    responses = list(stub.TrackStream(iter(requests), timeout=60))
    assert [response.sequence for response in responses] == list(range(1, 10))
    assert [response.error.code for response in responses] == [
        0,
        INVALID,
        NOT_FOUND,
        NOT_FOUND,
        OUT_OF_RANGE,
        ABORTED,
        INVALID,
        INVALID,
        0,
    ]
    for response in (responses[0], responses[8]):
        assert not response.HasField("error") and response.results[0].status == STORED


def test_an_error_in_a_stream_equals_that_of_the_unary_call(stub):
    known = custom()
    stub.Track(track(known))
    for request in (
        track(known, event("bad name"), event("x", attributes={"a": types_pb2.Value()})),
        track(custom(), must_exist=True),
        track(known, expected_revision=wrappers_pb2.UInt64Value(value=99)),
        track(known, *[event() for _ in range(16)]),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            stub.Track(request, timeout=20)
        details = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
        [response] = stub.TrackStream(iter([request]), timeout=20)
        assert response.error == status_pb2.Status.FromString(details)
        assert response.error.code == caught.value.code().value[0] and failure(response).reason


def test_failures_before_the_log_do_not_overtake_what_is_in_the_log(stub):
    requests = [item(number, None, event("bad name") if number % 3 == 0 else event()) for number in range(1, 601)]
    responses = list(stub.TrackStream(iter(requests), timeout=60))
    assert [response.sequence for response in responses] == list(range(1, 601))
    assert [response.sequence for response in responses if response.HasField("error")] == list(range(3, 601, 3))


def test_undecodable_bytes_fail_their_request_and_the_stream_continues(shared):
    with Raw(shared.listen) as raw:
        stream = raw.headers(path=TRACK_STREAM)
        good = item(1).SerializeToString()
        raw.data(stream, message(good) + message(b"\xff\xff\xff") + message(good), end=True)
        response = raw.response(stream)
    assert response.grpc == 0
    first, bad, last = map(profiles_pb2.TrackResponse.FromString, messages(response.data))
    assert bad.error.code == 13 and not bad.results
    assert first.results[0].status == last.results[0].status == STORED


@pytest.mark.parametrize(
    "tail, code",
    [(message(b"", flag=2), 13), (message(b"", flag=1), 13), (b"\0\xff\xff\xff\xff", 8), (b"\0\0\0", 13)],
    ids=["flag", "compressed", "too-long", "cut"],
)
def test_broken_framing_in_a_stream_ends_it_with_the_transports_code(shared, tail, code):
    with Raw(shared.listen) as raw:
        stream = raw.headers(path=TRACK_STREAM)
        raw.data(stream, tail, end=code == 13 and tail == b"\0\0\0")
        assert raw.response(stream).grpc == code
        assert raw.call(track(custom()).SerializeToString()).grpc == 0


def test_invalid_utf8_is_an_item_error_with_its_sequence(shared):
    bad = item(7).SerializeToString() + b"\x12\x01\xff"
    with Raw(shared.listen) as raw:
        stream = raw.headers(path=TRACK_STREAM)
        raw.data(stream, message(bad))
        response = raw.response(stream)
    [found] = [profiles_pb2.TrackResponse.FromString(payload) for payload in messages(response.data)]
    assert response.grpc == 0 and found.sequence == 7 and found.error.code == INVALID


def test_one_byte_frames_and_many_messages_in_a_frame_are_the_same_stream(shared):
    whole = b"".join(message(item(number).SerializeToString()) for number in range(1, 6))
    for cut in (1, 7, len(whole)):
        with Raw(shared.listen) as raw:
            stream = raw.headers(path=TRACK_STREAM)
            for start in range(0, len(whole), cut):
                raw.data(stream, whole[start : start + cut], end=False)
            raw.data(stream, b"")
            response = raw.response(stream)
        found = [profiles_pb2.TrackResponse.FromString(payload).sequence for payload in messages(response.data)]
        assert response.grpc == 0 and found == [1, 2, 3, 4, 5]


def test_a_deadline_ends_an_open_stream(stub):
    """G16."""
    stop, started = threading.Event(), time.monotonic()

    def requests():
        yield item(1)
        stop.wait(20)

    responses = stub.TrackStream(requests(), timeout=1)
    assert next(responses).sequence == 1
    with pytest.raises(grpc.RpcError) as caught:
        next(responses)
    stop.set()
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED and time.monotonic() - started < 3


def test_the_server_reports_a_passed_deadline_itself(shared):
    with Raw(shared.listen) as raw:
        stream = raw.headers(("grpc-timeout", "300m"), path=TRACK_STREAM)
        raw.data(stream, message(item(1).SerializeToString()), end=False)
        response = raw.response(stream, 5)
    assert response.grpc == 4 and len(messages(response.data)) == 1


def test_a_cancelled_stream_keeps_the_connection_and_its_stored_events(shared, stub):
    who = custom()
    with Raw(shared.listen) as raw:
        for _ in range(5):
            stream = raw.headers(path=TRACK_STREAM)
            raw.data(stream, message(item(1, who).SerializeToString()), end=False)
            while (found := raw.read())[0] != DATA:
                if found[0] == HEADERS:
                    raw.decoder.decode(found[3])
            raw.send(frame(RST_STREAM, stream=stream, payload=(8).to_bytes(4, "big")))
        assert raw.call(track(who).SerializeToString()).grpc == 0
    assert stub.GetProfile(get(who)).profile.event_counters[0].count == 6


def test_a_stream_may_be_idle_longer_than_the_body_timeout(stub):
    """Nothing is sent for a while, and the stream stays open."""

    def requests():
        yield item(1)
        time.sleep(3)
        yield item(2)

    assert [response.sequence for response in stub.TrackStream(requests(), timeout=30)] == [1, 2]


def test_a_client_that_never_reads_costs_bounded_memory_and_stalls_only_itself(server):
    """The client grants no window for responses and sends as fast as it can: its own window closes, and others are not
    affected."""
    server.start()
    people = [item(number) for number in range(1, 200)]
    block = b"".join(message(request.SerializeToString()) for request in people)
    with Raw(server.listen, settings=b"\0\4\0\0\0\0") as raw:
        credit, sent, windows = 65535, 0, collections.defaultdict(lambda: 65535)
        before = server.resident_bytes()
        stream = raw.headers(path=TRACK_STREAM)
        started, last = time.monotonic(), time.monotonic()
        while time.monotonic() - started < 20 and time.monotonic() - last < 3:
            if (found := raw.read(0.05)) is not None:
                kind, flags, of, payload = found
                if kind == SETTINGS and not flags & ACK:
                    settings = {
                        payload[i + 1]: int.from_bytes(payload[i + 2 : i + 6], "big") for i in range(0, len(payload), 6)
                    }
                    windows[stream] += settings.get(4, 65535) - 65535
                    raw.send(frame(SETTINGS, ACK))
                elif kind == WINDOW_UPDATE and of == 0:
                    credit += int.from_bytes(payload, "big")
                elif kind == WINDOW_UPDATE:
                    windows[of] += int.from_bytes(payload, "big")
                continue
            count = min(credit, windows[stream], 16_000, len(block) - sent % len(block))
            if count > 0:
                offset = sent % len(block)
                raw.data(stream, block[offset : offset + count], end=False)
                credit, windows[stream], sent, last = (
                    credit - count,
                    windows[stream] - count,
                    sent + count,
                    time.monotonic(),
                )
        assert time.monotonic() - started < 20, f"never held back: {sent} bytes taken"
        # Responses in the transport (64 KiB), those of 128 requests, and requests of one window (256 KiB).
        assert sent < 4 << 20
        assert server.resident_bytes() - before < 16 << 20
        begun = time.monotonic()
        profiles_pb2_grpc.ProfilesStub(server.channel()).Track(track(custom()), timeout=5)
        assert time.monotonic() - begun < 1
        # The window opens: all accepted requests get their responses, in order.
        raw.send(frame(WINDOW_UPDATE, stream=stream, payload=(1 << 30).to_bytes(4, "big")))
        raw.send(frame(WINDOW_UPDATE, payload=(1 << 30).to_bytes(4, "big")))
        data, expected = b"", sent * len(people) // len(block) - 1
        while len(messages(data)) < expected and (found := raw.read(10)) is not None:
            if found[0] == DATA:
                data += found[3]
    numbers = [profiles_pb2.TrackResponse.FromString(payload).sequence for payload in messages(data)]
    assert len(numbers) >= expected and numbers == [index % len(people) + 1 for index in range(len(numbers))]


def test_a_stream_gets_backpressure_and_no_rejection_while_the_log_is_slow(tmp_path):
    """Each fdatasync takes 20 ms longer: the streams wait, and nothing fails with RESOURCE_EXHAUSTED."""
    server = Server(tmp_path / "data")
    server.wrapper = (
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fdatasync",
        "-e",
        "inject=fdatasync:delay_enter=20ms",
    )
    try:
        server.start()
        stub, results = profiles_pb2_grpc.ProfilesStub(server.channel()), []

        def run():
            requests = (item(number) for number in range(1, 2_001))
            results.append(
                [(response.sequence, response.error.code) for response in stub.TrackStream(requests, timeout=120)]
            )

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(150)
        assert results == [[(number, 0) for number in range(1, 2_001)]] * 4
    finally:
        server.stop(signal.SIGKILL)


def test_large_stream_requests_wait_for_headroom_and_unary_calls_do_not(tmp_path):
    """Requests of 1 MB exceed in total the bytes that streams may have queued (32 MiB); unary calls are still
    accepted."""
    server = Server(tmp_path / "data")
    server.wrapper = (
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fdatasync",
        "-e",
        "inject=fdatasync:delay_enter=300ms",
    )
    values = {
        f"list{number}": types_pb2.Value(list=types_pb2.StringList(items=["x" * 290 + str(item) for item in range(25)]))
        for number in range(9)
    }
    large = [event(attributes=values) for _ in range(15)]
    try:
        server.start()
        stub, results, waiting = profiles_pb2_grpc.ProfilesStub(server.channel()), [], []

        def run():
            with server.channel() as channel:
                requests = (item(number, None, *large) for number in range(1, 26))
                responses = profiles_pb2_grpc.ProfilesStub(channel).TrackStream(requests, timeout=120)
                results.append([(response.sequence, response.error.code) for response in responses])

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            waiting.append(server.metric("profiles_command_bytes_waiting"))
            assert stub.Track(track(custom()), timeout=20).lsn
        assert results == [[(number, 0) for number in range(1, 26)]] * 4
        assert 1 << 20 < max(waiting) <= 33 << 20
    finally:
        server.stop(signal.SIGKILL)


def test_a_drain_ends_streams_with_unavailable_after_their_responses(server):
    """C12: accepted requests get their responses, then UNAVAILABLE and DRAINING, well within the grace time."""
    server.start()
    channel, stop, seen, ends = server.channel(), threading.Event(), [], []
    stub = profiles_pb2_grpc.ProfilesStub(channel)

    def requests():
        number = 0
        while not stop.is_set():
            number += 1
            yield item(number)
            time.sleep(0.001)

    def run():
        try:
            for response in stub.TrackStream(requests(), timeout=60):
                seen.append(response.sequence)
        except grpc.RpcError as error:
            ends.append(Failure(error))

    thread = threading.Thread(target=run)
    thread.start()
    assert wait_until(lambda: len(seen) > 50)
    begun = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begun < 8
    thread.join(30)
    stop.set()
    assert [(end.code, end.reason) for end in ends] == [(grpc.StatusCode.UNAVAILABLE, "DRAINING")]
    assert seen == list(range(1, len(seen) + 1))
    server.start()
    # Every received response is on disk, and at most the unreceived ones in addition.
    assert server.metric("profiles_profiles") >= len(seen)


def test_a_drain_ends_an_idle_stream(server):
    server.start()
    with Raw(server.listen) as raw:
        stream = raw.headers(path=TRACK_STREAM)
        raw.send(frame(0x6, payload=b"12345678"))
        assert raw.wait_for(0x6) is not None
        thread = threading.Thread(target=lambda: server.process.wait(20))
        os.kill(server.pid, signal.SIGTERM)
        thread.start()
        response = raw.response(stream)
        assert response.grpc == 14
        thread.join(20)
        assert server.process.returncode == 0


class Resumer:
    """Sends numbered events over TrackStream and resumes after the last response when the connection breaks."""

    def __init__(self, server, people, count, window):
        self.server, self.people, self.count, self.window = server, people, count, window
        self.acknowledged = self.stored = self.duplicates = self.cuts = 0
        self.cut = threading.Event()

    def requests(self, after):
        free = self.free = threading.Semaphore(self.window)
        for number in range(after + 1, self.count + 1):
            while not free.acquire(timeout=1):
                if self.cut.is_set():
                    return
            yield item(number, self.people[number % len(self.people)], event(event_id=f"event-{number}"))

    def run(self, cuts):
        at = [self.count * (index + 1) // (cuts + 1) for index in range(cuts)]
        while self.acknowledged < self.count:
            self.cut.clear()
            channel = self.server.channel()
            try:
                for response in profiles_pb2_grpc.ProfilesStub(channel).TrackStream(
                    self.requests(self.acknowledged), timeout=300
                ):
                    assert response.sequence == self.acknowledged + 1 and not response.HasField("error")
                    self.acknowledged = response.sequence
                    self.stored += response.results[0].status == STORED
                    self.duplicates += response.results[0].status == DUPLICATE
                    self.free.release()
                    if at and self.acknowledged >= at[0]:
                        at.pop(0)
                        self.cuts += 1
                        self.cut.set()
                        channel.close()
            except (grpc.RpcError, ValueError):
                assert self.cut.is_set()
            channel.close()


def test_a_stream_interrupted_ten_times_stores_each_event_once(server):
    """PROFILES_STREAM_EVENTS=100000 for the full test."""
    count = int(os.environ.get("PROFILES_STREAM_EVENTS", "10000"))
    server.start()
    people = [custom() for _ in range(max(100, count // 500))]
    resumer = Resumer(server, people, count, window=1_000)
    resumer.run(cuts=10)
    assert resumer.cuts == 10 and resumer.stored + resumer.duplicates == count
    stub = profiles_pb2_grpc.ProfilesStub(server.channel())
    counts = [stub.GetProfile(get(who)).profile.event_counters[0].count for who in people]
    assert sum(counts) == count
    assert server.metric('profiles_items_total{result="stored"}') == count
    print(f"{count} events, {resumer.cuts} cuts, {resumer.duplicates} acknowledged as duplicates")
