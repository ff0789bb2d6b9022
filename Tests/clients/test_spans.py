"""Spans by OTLP over HTTP, against a small collector: which calls have one, and what becomes of them when it fails."""

import http.server
import json
import threading

import pytest

from conftest import Server, custom, fails, get, profiles_pb2_grpc, track, wait_until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector:
    """Takes requests and responds as a test says; keeps the spans of those that it accepted."""

    def __init__(self):
        self.requests, self.spans, self.status, self.body = 0, [], 200, b"{}"
        self.failures = 0
        self.gate = threading.Event()
        self.gate.set()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.take(self, body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, handler, body):
        self.requests += 1
        assert handler.headers["Content-Type"] == "application/json" and handler.path == "/v1/traces"
        self.gate.wait(60)
        status = self.status
        if self.failures > 0:
            self.failures -= 1
            status = 503
        if status == 200:
            (resource,) = json.loads(body)["resourceSpans"]
            names = {one["key"]: one["value"]["stringValue"] for one in resource["resource"]["attributes"]}
            assert names["service.name"] == "profiled" and names["service.version"]
            self.spans += resource["scopeSpans"][0]["spans"]
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(self.body)))
        handler.end_headers()
        handler.wfile.write(self.body)

    def calls(self):
        """The spans of calls, without those below them."""
        return [span for span in list(self.spans) if span["kind"] == 2]


@pytest.fixture
def collector():
    collector = Collector()
    yield collector
    collector.gate.set()
    collector.server.shutdown()


@pytest.fixture
def traced(tmp_path, collector):
    """Starts a server whose spans go to the collector, and stops it."""
    servers = []

    def start(*flags, port=None):
        url = f"http://127.0.0.1:{port or collector.port}"
        server = Server(tmp_path / "data", "--otlp-endpoint", url, *flags).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        if server.process.poll() is None:
            assert server.stop() == 0


def parent(flags):
    return [("traceparent", f"00-{TRACE}-00f067aa0ba902b7-{flags}")]


def attributes(span):
    return {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}


def test_a_sampled_call_is_a_span_below_its_callers(traced, collector):
    server = traced("--otlp-sample", "0")
    person = custom()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        stub.Track(track(person), metadata=parent("01") + [("tracestate", "a=1")], timeout=20)
        stub.Track(track(custom()), metadata=parent("00"), timeout=20)
        stub.Track(track(custom()), timeout=20)
        fails(stub.GetProfile, get(custom()), metadata=parent("01"))
    assert wait_until(lambda: len(collector.calls()) == 2)
    written, missing = sorted(collector.calls(), key=lambda span: span["startTimeUnixNano"])
    for span in written, missing:
        assert (span["traceId"], span["parentSpanId"]) == (TRACE, "00f067aa0ba902b7")
        assert int(span["endTimeUnixNano"]) >= int(span["startTimeUnixNano"]) > 10**18
    assert written["traceState"] == "a=1" and "traceState" not in missing
    assert written["name"] == "profiles.v1.Profiles/Track"
    found = attributes(written)
    assert (found["rpc.system"], found["rpc.method"], found["profiles.project"]) == ("grpc", "Track", "default")
    assert found["rpc.grpc.status_code"] == "0" and attributes(missing)["rpc.grpc.status_code"] == "5"
    # NOT_FOUND is the client's affair.
    assert written["status"] == missing["status"] == {}
    below = [span for span in collector.spans if span.get("parentSpanId") == written["spanId"]]
    assert [span["name"] for span in below] == ["log.queue", "log.sync", "log.apply"]
    assert all(span["traceId"] == TRACE for span in below) and len(collector.spans) == 5
    assert person.custom_id not in json.dumps(collector.spans)
    assert wait_until(lambda: server.metric("profiles_spans_exported_total") == 2)


def test_a_share_of_the_other_calls_begins_a_trace(traced, collector):
    server = traced("--otlp-sample", "1")
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        for _ in range(20):
            stub.Track(track(custom()), timeout=20)
        stub.Track(track(custom()), metadata=parent("00"), timeout=20)
    assert server.stop() == 0
    calls = collector.calls()
    assert len(calls) == len({span["traceId"] for span in calls}) == 20
    assert not any("parentSpanId" in span for span in calls) and TRACE not in {span["traceId"] for span in calls}


def test_a_collector_that_is_away_for_a_moment_gets_the_spans_later(traced, collector):
    collector.failures = 2
    server = traced()
    with server.channel() as channel:
        profiles_pb2_grpc.ProfilesStub(channel).Track(track(custom()), metadata=parent("01"), timeout=20)
    assert wait_until(lambda: len(collector.calls()) == 1)
    assert wait_until(lambda: server.metric("profiles_span_requests_repeated_total") == 2)
    assert collector.requests == 3
    assert server.metric('profiles_spans_dropped_total{reason="undelivered"}') == 0


def test_spans_that_are_rejected_are_counted_and_not_sent_again(traced, collector):
    collector.status = 400
    server = traced()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        stub.Track(track(custom()), metadata=parent("01"), timeout=20)
        assert wait_until(lambda: server.metric('profiles_spans_dropped_total{reason="rejected"}') == 1)
        assert collector.requests == 1
        collector.status, collector.body = 200, b'{"partialSuccess":{"rejectedSpans":"1"}}'
        stub.GetProfile.future(get(custom()), metadata=parent("01"), timeout=20).exception()
        assert wait_until(lambda: server.metric('profiles_spans_dropped_total{reason="rejected"}') == 2)
    assert wait_until(lambda: any("spans are taken again" in line for line in server.lines))
    assert any("the collector rejects spans" in line for line in server.lines)


def test_a_collector_that_is_not_there_costs_spans_and_nothing_else(traced):
    # A port that was free a moment ago.
    unused = Collector()
    unused.server.shutdown()
    unused.server.server_close()
    server = traced("--otlp-sample", "1", port=unused.port)
    with server.channel() as channel:
        profiles_pb2_grpc.ProfilesStub(channel).Track(track(custom()), timeout=20)
    assert wait_until(lambda: server.metric('profiles_spans_dropped_total{reason="undelivered"}') == 1)
    assert wait_until(lambda: any("spans cannot be delivered" in line for line in server.lines))
    (line,) = [line for line in server.lines if "spans cannot be delivered" in line]
    assert "Connection refused" in json.loads(line)["reason"]
    assert server.get("/readyz") == (200, "ready\n") and server.stop() == 0


def test_a_collector_that_hangs_fills_the_queue_and_holds_nobody_up(traced, collector):
    collector.gate.clear()
    server = traced("--otlp-sample", "1")
    calls = 6_000
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        for _ in range(calls // 200):
            for future in [stub.GetProfile.future(get(custom()), timeout=60) for _ in range(200)]:
                assert future.exception() is not None
    dropped = server.metric('profiles_spans_dropped_total{reason="queue_full"}')
    assert 0 < dropped <= calls - 4_096
    # The end does not wait for it either.
    assert server.stop(timeout=30) == 0
