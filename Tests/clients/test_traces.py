"""W3C trace contexts: read, handed on where asked, in the lines of a call; never an error."""

import json

import grpc
import pytest

from conftest import Server, custom, get, profiles_pb2_grpc, track, wait_until
from profiles.v1 import admin_pb2, admin_pb2_grpc

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
ASK = ("x-profiles-trace", "1")


def trailers(call):
    return {name: value for name, value in call.trailing_metadata() or ()}


def test_whoever_asks_gets_the_trace_in_the_trailers(stub):
    _, call = stub.Track.with_call(
        track(custom()), metadata=[("traceparent", PARENT), ("tracestate", "a=1,b=2"), ASK], timeout=20
    )
    found = trailers(call)
    version, trace, span, flags = found["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01") and span != "00f067aa0ba902b7" and len(span) == 16
    assert found["tracestate"] == "a=1,b=2"


def test_a_call_that_fails_has_it_too(stub):
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetProfile(get(custom()), metadata=[("traceparent", PARENT), ASK], timeout=20)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    found = trailers(caught.value)
    assert TRACE in found["traceparent"] and "grpc-status-details-bin" in found


def test_a_call_without_a_trace_gets_one_if_it_asks(stub):
    seen = set()
    for _ in range(5):
        _, call = stub.Track.with_call(track(custom()), metadata=[ASK], timeout=20)
        _, trace, _, flags = trailers(call)["traceparent"].split("-")
        assert len(trace) == 32 and int(trace, 16) and flags == "00"
        seen.add(trace)
    assert len(seen) == 5


def test_nobody_else_gets_anything(stub):
    for metadata in [], [("traceparent", PARENT)], [("traceparent", PARENT), ("x-profiles-trace", "yes")]:
        _, call = stub.Track.with_call(track(custom()), metadata=metadata, timeout=20)
        assert not {"traceparent", "tracestate"} & trailers(call).keys()


@pytest.mark.parametrize(
    "value",
    ["", "00", PARENT.upper(), PARENT + "-00", "ff" + PARENT[2:], f"00-{'0' * 32}-00f067aa0ba902b7-01", "x" * 4_000],
)
def test_an_invalid_parent_begins_a_new_trace_and_is_no_error(stub, value):
    _, call = stub.Track.with_call(
        track(custom()), metadata=[("traceparent", value), ("tracestate", "a=1"), ASK], timeout=20
    )
    found = trailers(call)
    assert TRACE not in found["traceparent"] and "tracestate" not in found


@pytest.mark.parametrize("state", ["x" * 600, "a=1=2", "A=1", ",".join(f"a{i}=1" for i in range(33))])
def test_an_invalid_state_is_dropped_and_the_parent_stays(stub, state):
    metadata = [("traceparent", PARENT), ("tracestate", state), ("grpc-trace-bin", b"\0\1\2"), ASK]
    _, call = stub.Track.with_call(track(custom()), metadata=metadata, timeout=20)
    found = trailers(call)
    assert TRACE in found["traceparent"] and "tracestate" not in found


def test_a_stream_has_its_trace_at_its_end(shared):
    with shared.channel() as channel:
        admin = admin_pb2_grpc.AdminStub(channel)
        call = admin.GetStats.with_call(
            admin_pb2.GetStatsRequest(project="default"), metadata=[("traceparent", PARENT), ASK], timeout=20
        )[1]
        assert TRACE in trailers(call)["traceparent"]
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        requests = iter([])
        stream = stub.TrackStream(requests, metadata=[("traceparent", PARENT), ASK], timeout=20)
        assert list(stream) == [] and TRACE in trailers(stream)["traceparent"]


def test_lines_of_the_audit_log_have_the_trace(tmp_path):
    audit = tmp_path / "audit.jsonl"
    server = Server(tmp_path / "data", "--audit-log", str(audit)).start()
    try:
        with server.channel() as channel:
            stub = profiles_pb2_grpc.ProfilesStub(channel)
            stub.Track(track(custom()), metadata=[("traceparent", PARENT)], timeout=20)
            stub.Track(track(custom()), timeout=20)
        assert wait_until(lambda: audit.exists() and len(audit.read_text().splitlines()) == 2)
        assert [json.loads(line)["trace"] for line in audit.read_text().splitlines()] == [TRACE, None]
    finally:
        assert server.stop() == 0
