"""No two servers, and no other program, ever listen on one port."""

import collections
import os
import signal
import socket
import subprocess

import pytest

from conftest import BINARY, Server, custom, get, profiles_pb2_grpc, track, wait_until

UNEXPECTED, CONFIGURATION = 1, 2


def port_of(address):
    return int(address.rsplit(":", 1)[1])


def start(folder, *flags):
    """A start that must fail; its exit code and what it logged."""
    try:
        run = subprocess.run(
            [str(BINARY), "--data-dir", str(folder), "--loops", "2", *flags],
            capture_output=True,
            text=True,
            timeout=20,
        )
    except subprocess.TimeoutExpired as expired:
        raise AssertionError("it serves") from expired
    return run.returncode, run.stderr


def serves(server):
    stub = profiles_pb2_grpc.ProfilesStub(server.channel())
    who = custom()
    stub.Track(track(who), timeout=20)
    return stub.GetProfile(get(who), timeout=20).profile.revision == 1 and server.get("/readyz")[0] == 200


def test_second_server_on_the_port_of_a_first_is_rejected(shared, tmp_path):
    code, text = start(tmp_path / "other", "--listen", shared.listen, "--admin-listen", "127.0.0.1:0")
    assert code == UNEXPECTED and "cannot listen" in text and shared.listen in text
    assert serves(shared)


@pytest.mark.parametrize(
    "flag,other",
    [
        ("--listen", "admin"),
        ("--admin-listen", "listen"),
        ("--admin-listen", "admin"),
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"])
def test_ports_of_both_listeners_are_exclusive(shared, tmp_path, flag, other, host):
    if flag == "--listen" and host in ("0.0.0.0", "[::]"):
        pytest.skip("gRPC is served on loopback only")
    address = f"{host}:{port_of(getattr(shared, other))}"
    rest = "--listen" if flag == "--admin-listen" else "--admin-listen"
    code, text = start(tmp_path / "other", flag, address, rest, "127.0.0.1:0")
    assert code == UNEXPECTED and "cannot listen" in text
    assert serves(shared)


def test_other_address_with_the_same_port_is_another_endpoint(shared, tmp_path):
    other = Server(tmp_path / "other")
    other.address = f"127.0.0.2:{port_of(shared.listen)}"
    try:
        assert serves(other.start()) and serves(shared)
    finally:
        other.stop(signal.SIGKILL)


@pytest.mark.parametrize("which", ["listen", "admin"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_socket_of_another_program_cannot_join(shared, which, host):
    """SO_REUSEPORT lets a process of the same user share a port whose sockets all have it set."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError):
            other.bind((host, port_of(getattr(shared, which))))
            other.listen()


@pytest.mark.parametrize(
    "listen,admin,code",
    [
        ("127.0.0.1", "127.0.0.1", CONFIGURATION),
        ("127.0.0.1", "0.0.0.0", CONFIGURATION),
        ("127.0.0.1", "[::]", CONFIGURATION),
        ("127.0.0.1", "[::ffff:127.0.0.1]", CONFIGURATION),
        ("[::1]", "[0:0:0:0:0:0:0:1]", CONFIGURATION),
        ("[::1]", "[::]", CONFIGURATION),
        ("[::1]", "0.0.0.0", 0),
        ("127.0.0.1", "127.0.0.2", 0),
        ("127.0.0.1", "[::1]", 0),
    ],
)
def test_overlap_of_a_servers_own_endpoints_is_a_configuration_error(tmp_path, listen, admin, code):
    found, text = start(
        tmp_path / "d", "--check-config", "--listen", f"{listen}:50999", "--admin-listen", f"{admin}:50999"
    )
    assert found == code, text
    assert code == 0 or "admin-listen" in text and "overlap" in text


def test_rejected_start_leaves_nothing_behind(shared, tmp_path):
    for flags in (
        ("--listen", shared.listen, "--admin-listen", "127.0.0.1:0"),
        ("--listen", "127.0.0.1:0", "--admin-listen", shared.admin),
    ):
        folder = tmp_path / "a" / "b"
        assert start(folder, *flags)[0] == UNEXPECTED
        assert list(tmp_path.iterdir()) == []


def test_restart_binds_while_old_connections_linger(server):
    """The server closes first, so its sockets are in TIME_WAIT."""
    server.start()
    server.address = server.listen
    host, port = server.listen.rsplit(":", 1)
    clients = [socket.create_connection((host, int(port))) for _ in range(20)]
    assert server.stop() == 0
    assert serves(server.start())
    for client in clients:
        client.close()
    assert server.stop() == 0


def test_connections_reach_every_loop(server):
    """Each loop has the same number of connections, so as many calls run on each thread."""
    server.start()
    host, port = server.listen.rsplit(":", 1)
    clients = [socket.create_connection((host, int(port))) for _ in range(40)]
    assert wait_until(lambda: server.metric("profiles_connections") == 40)
    # The epoll of a loop lists what it watches, which are its connections, its listener and its wake-up.
    watched = collections.Counter()
    for name in os.listdir(f"/proc/{server.pid}/fd"):
        try:
            if "eventpoll" in os.readlink(f"/proc/{server.pid}/fd/{name}"):
                with open(f"/proc/{server.pid}/fdinfo/{name}") as info:
                    watched[name] = info.read().count("tfd:")
        except FileNotFoundError:
            continue
    assert sorted(watched.values())[-2:] == [22, 22]
    for client in clients:
        client.close()
