"""Bytes of unfinished requests (A13): hostile peers hold no more than the budget, and others are served beside them."""

import pytest

from conftest import profiles_pb2, profiles_pb2_grpc, unique, wait_until
from greedy import half_sent, is_served
from raw import Raw
from test_identify import identify
from test_memory_limit import much

MESSAGE_MAX = 4 << 20
# A status of gRPC.
RESOURCE = 8
STREAMS = 100
# Without a budget they hold 260 MB.
CONNECTIONS = 40
# The budget of the process is 64 MiB; as much again for the allocator, the sockets and a debug build.
GROWTH_MAX = 128 << 20


@pytest.mark.parametrize(
    "length, sent", [(MESSAGE_MAX, 65_000), (64_000, 64_000)], ids=["half a message", "no end of the request"]
)
def test_unfinished_requests_cost_no_more_than_their_budget(server, length, sent):
    server.start()
    assert is_served(server)
    before = server.resident_bytes()
    held = [Raw(server.listen) for _ in range(CONNECTIONS)]
    for raw in held:
        raw.send(b"".join(half_sent(raw, length, sent) for _ in range(STREAMS)))
        assert is_served(server)
    assert server.resident_bytes() - before < GROWTH_MAX
    for raw in held:
        raw.socket.close()
    # What was held goes back to the system.
    assert wait_until(lambda: server.resident_bytes() - before < GROWTH_MAX // 2)
    assert is_served(server) and server.stop() == 0


def large_batch():
    """A request that needs more than one window."""
    write = identify(None, unique(), much())
    write.ClearField("project")
    request = profiles_pb2.BatchWriteRequest(
        project="default", operations=[profiles_pb2.WriteOperation(identify=write)] * 50
    )
    assert request.ByteSize() > 700_000
    return request


def test_requests_beyond_the_budget_all_succeed_for_a_client_that_heeds_its_windows(shared):
    """40 requests of 0.8 MB at once on one connection, whose share holds 8 MiB."""
    request = large_batch()
    with shared.channel() as channel:
        batch_write = profiles_pb2_grpc.ProfilesStub(channel).BatchWrite
        calls = [batch_write.future(request, timeout=120) for _ in range(40)]
        assert all(len(call.result().results) == 50 for call in calls)


def test_a_client_is_served_beside_hundreds_of_slow_requests_of_its_address(server):
    """What those that are abandoned free goes to whoever holds least, not to the 760 others that wait."""
    server.start()
    slow = [Raw(server.listen) for _ in range(8)]
    for raw in slow:
        raw.send(b"".join(half_sent(raw, 300_000, 10) for _ in range(STREAMS)))
    with server.channel() as channel:
        response = profiles_pb2_grpc.ProfilesStub(channel).BatchWrite(large_batch(), timeout=30)
        assert len(response.results) == 50
    for raw in slow:
        raw.socket.close()
    assert server.stop() == 0


def test_a_client_is_served_beside_two_addresses_that_use_the_budget_up(server):
    server.start()
    # Connections go to the loops in turn: each has some of both.
    slow = [Raw(server.listen, source=f"127.0.0.{8 + number // 2 % 2}") for number in range(8)]
    for raw in slow:
        raw.send(b"".join(half_sent(raw, 1_030_000, 10) for _ in range(STREAMS)))
    with server.channel() as channel:
        response = profiles_pb2_grpc.ProfilesStub(channel).BatchWrite(large_batch(), timeout=30)
        assert len(response.results) == 50
    for raw in slow:
        raw.socket.close()
    assert server.stop() == 0


def test_a_client_waits_for_slow_ones_of_its_address_and_is_served(server):
    """Messages that do not go on use the shares of the address up, but for 0.2 MB of each loop; one yields."""
    server.start()
    slow = [Raw(server.listen) for _ in range(8)]
    for raw in slow:
        raw.send(b"".join(half_sent(raw, 1_030_000, 10) for _ in range(3)))
    with server.channel() as channel:
        response = profiles_pb2_grpc.ProfilesStub(channel).BatchWrite(large_batch(), timeout=60)
        assert len(response.results) == 50
    # The first one of the loop that the request came to.
    assert RESOURCE in [raw.response(1, seconds=1).grpc for raw in slow[:2]]
    for raw in slow:
        raw.socket.close()
    assert server.stop() == 0
