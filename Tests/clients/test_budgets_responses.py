"""Responses that are not read (A14, C15): bounded for each connection and address, and never an error for a write that
is stored."""

from conftest import custom, event, get, profiles_pb2, profiles_pb2_grpc, track, unique, wait_until
from greedy import is_served, unread, whole, window
from raw import DATA, HEADERS
from test_identify import identify
from test_memory_limit import much
from test_slow_disk import large

CONNECTIONS = 120
# The budget of the process is 64 MiB, half of it for one address; as much again for the allocator and a debug build.
GROWTH_MAX = 128 << 20
READS = 34
LIST_EVENTS = "/profiles.v1.Profiles/ListEvents"
READ_MANY = "/profiles.v1.Profiles/BatchGetProfiles"


def large_read(stub):
    """A BatchGetProfiles whose response has about 1 MB."""
    people = [unique("large") for _ in range(4)]
    for person in people:
        stub.Identify(identify(None, person, much()), timeout=20)
    return profiles_pb2.BatchGetProfilesRequest(
        project="default", identifiers=[custom(people[n % 4]) for n in range(READS)]
    ).SerializeToString()


def test_unread_responses_cost_no_more_than_their_budget_and_others_are_served(server):
    server.start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        request = large_read(stub)
        before = server.resident_bytes()
        greedy = [unread(server.listen) for _ in range(CONNECTIONS)]
        for raw in greedy:
            raw.send(b"".join(whole(raw, request, READ_MANY)[0] for _ in range(3)))
            # A write beside them is stored and says so.
            person = custom(unique("beside"))
            assert stub.Track(track(person, event()), timeout=20).lsn > 0
            assert stub.GetProfile(get(person), timeout=20).profile.revision > 0
        assert server.resident_bytes() - before < GROWTH_MAX
        ended = 'profiles_connections_ended_total{reason="output_budget"}'
        assert wait_until(lambda: server.metric(ended) > 0)
        assert 'grpc_server_handled_total{method="profiles.v1.Profiles/Track",code="RESOURCE_EXHAUSTED"}' not in (
            server.get("/metrics")[1]
        )
    for raw in greedy:
        raw.socket.close()
    assert wait_until(lambda: server.resident_bytes() - before < GROWTH_MAX // 2)
    assert server.stop() == 0


def test_reads_in_slices_cost_no_more_than_their_budget_and_all_end(server):
    """800 pages of 0.7 MB, which take several slices each."""
    server.start()
    person = unique("events")
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        for _ in range(7):
            request = large()
            request.identifier.custom_id = person
            stub.Track(request, timeout=20)
        request = profiles_pb2.ListEventsRequest(project="default", identifier=custom(person), page_size=100)
        assert len(stub.ListEvents(request, timeout=20).events) == 100
        before = server.resident_bytes()
        greedy = [unread(server.listen) for _ in range(8)]
        for raw in greedy:
            raw.send(b"".join(whole(raw, request.SerializeToString(), LIST_EVENTS)[0] for _ in range(100)))
        # One that reads has its page beside them.
        assert len(stub.ListEvents(request, timeout=20).events) == 100
        assert server.peak_resident_bytes() - before < GROWTH_MAX
    for raw in greedy:
        raw.socket.close()
    assert is_served(server) and server.stop() == 0


def test_calls_wait_for_a_client_that_reads_late_and_are_all_served(server):
    server.start()
    with server.channel() as channel:
        request = large_read(profiles_pb2_grpc.ProfilesStub(channel))
    with unread(server.listen) as raw:
        streams = []
        for _ in range(6):
            call, stream = whole(raw, request, READ_MANY)
            streams.append(stream)
            raw.send(call)
        person = custom(unique("late"))
        call, stream = whole(raw, track(person, event()).SerializeToString())
        raw.send(call)
        streams.append(stream)
        # Nothing of it can be sent yet.
        while (found := raw.read(0.5)) is not None:
            assert found[0] != DATA
            if found[0] == HEADERS:
                raw.decoder.decode(found[3])
        raw.send(window(0, 1 << 30) + b"".join(window(stream, 1 << 24) for stream in streams))
        ended = set()
        while len(ended) < len(streams):
            kind, flags, stream, payload = raw.read()
            if kind == HEADERS:
                block = dict(raw.decoder.decode(payload))
                if flags & 1:
                    assert block["grpc-status"] == "0"
                    ended.add(stream)
    assert is_served(server) and server.stop() == 0
