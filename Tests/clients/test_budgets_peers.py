"""Connections (A13): a cap for each address, and at the limit the most idle one yields."""

import shutil

import pytest

from conftest import wait_until
from greedy import goaway, is_closed, is_served
from raw import Raw

PER_ADDRESS = 20
DESCRIPTORS = 160
# The two loops share what 160 descriptors leave: 8 each at least, 16 at most.
HELD = 200


def hold(server, count):
    return [Raw(server.listen) for _ in range(count)]


def close(connections):
    for connection in connections:
        connection.socket.close()


def test_A13_one_address_has_its_share_of_the_connections(server):
    server.flags = ("--connections-per-address", str(PER_ADDRESS))
    server.start()
    held = hold(server, PER_ADDRESS)
    assert wait_until(lambda: server.metric("profiles_connections") == PER_ADDRESS)
    with Raw(server.listen) as beyond:
        assert is_closed(beyond, 20) and goaway(beyond) == "too_many_connections_of_address"
    close(held[:1])
    assert wait_until(lambda: server.metric("profiles_connections") < PER_ADDRESS)
    assert is_served(server)
    close(held)
    assert server.stop() == 0


@pytest.mark.skipif(not shutil.which("prlimit"), reason="prlimit is not installed")
def test_A13_at_the_limit_the_most_idle_connection_yields(server):
    server.wrapper = ("prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}")
    server.start()
    held = hold(server, HELD)
    assert is_served(server)
    yielded = 'profiles_connections_ended_total{reason="yielded"}'
    assert wait_until(lambda: server.metric(yielded) >= HELD - DESCRIPTORS)
    assert is_closed(held[0], 20) and goaway(held[0]) == "idle_and_too_many_connections"
    close(held)
    assert server.stop() == 0
