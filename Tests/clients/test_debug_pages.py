"""What the loops have open: complete, in pages, without anything of people, and while loops are busy."""

import json
import threading

import pytest

from conftest import custom, profiles_pb2, profiles_pb2_grpc, track, unique, wait_until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def page(server, path, **parameters):
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    status, body = server.get(f"{path}?{query}" if query else path)
    assert status == 200, body
    return json.loads(body)


def whole(server, path, **parameters):
    """A page of all loops: one that has no turn in 0.1 s is left out, and asked again."""
    pages = []
    assert wait_until(lambda: pages.append(page(server, path, **parameters)) or not pages[-1]["loops_missing"])
    return pages[-1]


def everything(server, subject, **parameters):
    """All entries, page by page."""
    entries, start = [], None
    while True:
        found = whole(server, f"/debug/{subject}", **parameters, **({"from": start} if start else {}))
        assert len(found[subject]) <= parameters.get("limit", 100)
        entries += found[subject]
        start = found["next"]
        if start is None:
            return entries


@pytest.fixture
def busy(server):
    """A server with five connections, of which each has a Watch."""
    server.start()
    channels = [server.channel() for _ in range(5)]
    person = unique("secret-person")
    profiles_pb2_grpc.ProfilesStub(channels[0]).Track(track(custom(person)), timeout=20)
    watches = []
    for channel in channels:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        metadata = [("traceparent", f"00-{TRACE}-00f067aa0ba902b7-00")]
        watches.append(stub.Watch(profiles_pb2.WatchRequest(project="default"), metadata=metadata, timeout=100))
        threading.Thread(target=drain, args=(watches[-1],), daemon=True).start()
    assert wait_until(lambda: server.metric("profiles_watch_watchers") == 5)
    yield server, person
    for watch in watches:
        watch.cancel()
    for channel in channels:
        channel.close()
    assert server.stop() == 0


def drain(watch):
    try:
        for _ in watch:
            pass
    except Exception:
        # The test has cancelled it.
        return


def test_open_connections_and_streams_are_listed(busy):
    server, person = busy
    connections, streams = everything(server, "connections"), everything(server, "streams")
    assert len(connections) == 5 and all(one["streams"] == 1 for one in connections)
    assert len({one["peer"] for one in connections}) == 5
    assert all(one["peer"].startswith("127.0.0.1:") and not one["ending"] for one in connections)
    assert [one["method"] for one in streams] == ["profiles.v1.Profiles/Watch"] * 5
    for one in streams:
        assert one["trace"] == TRACE and 0 < one["deadline_seconds"] < 110 and not one["ended"]
        assert one["request_bytes"] > 5 and one["age_seconds"] >= 0
    places = {(one["loop"], one["slot"]) for one in connections}
    assert places == {(one["loop"], one["connection"]) for one in streams}
    assert person not in json.dumps([connections, streams])


@pytest.mark.parametrize("limit", [1, 2, 5, 500])
def test_pages_go_on_where_the_last_one_ended(busy, limit):
    server, _ = busy
    for subject in "connections", "streams":
        entries = everything(server, subject, limit=limit)
        places = [(one["loop"], one["slot"]) for one in entries]
        assert len(places) == 5 and places == sorted(set(places))


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "from=1", "from=a.b", "x=2", "limit=1&limit=2"])
def test_a_query_that_is_not_allowed_is_rejected_with_what_is(shared, query):
    status, body = shared.get(f"/debug/streams?{query}")
    assert status == 400 and "limit=1...500" in body


def test_a_page_behind_the_end_is_empty(shared):
    assert page(shared, "/debug/streams", **{"from": "64.0"}) == {"streams": [], "next": None, "loops_missing": []}


def test_pages_come_while_the_loops_are_busy_and_calls_go_on(shared):
    """Every page is whole while calls come as fast as they can."""
    ended = threading.Event()

    def call():
        with shared.channel() as channel:
            stub = profiles_pb2_grpc.ProfilesStub(channel)
            while not ended.is_set():
                stub.Track(track(custom()), timeout=20)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        before = shared.metric('grpc_server_started_total{method="profiles.v1.Profiles/Track"}')
        complete = 0
        for _ in range(100):
            found = page(shared, "/debug/connections", limit=500)
            # A loop that has no time in 0.1 s on a machine with other work is named, not waited for.
            complete += found["loops_missing"] == []
        assert complete > 0
        name = 'grpc_server_started_total{method="profiles.v1.Profiles/Track"}'
        assert wait_until(lambda: shared.metric(name) > before)
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_the_pages_are_named_where_one_looks_for_them(shared):
    status, body = shared.get("/debug")
    assert status == 404 and "/debug/connections /debug/streams" in body
