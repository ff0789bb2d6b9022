"""What a connection without calls costs: counted in bytes of the process, over thousands of them."""

import os
import resource
import socket
import time

from raw import ACK, PREFACE, SETTINGS, frame

CONNECTIONS = int(os.environ.get("PROFILES_IDLE_CONNECTIONS", "4000"))
PER_ADDRESS = 200
BYTES_EACH_MAX = 16 << 10
OPENING = PREFACE + frame(SETTINGS) + frame(SETTINGS, ACK)


def connect(server, number):
    host, port = server.listen.rsplit(":", 1)
    return socket.create_connection((host, int(port)), source_address=(f"127.0.1.{1 + number // PER_ADDRESS}", 0))


def opened(server, numbers):
    """Connections whose SETTINGS the server has acknowledged."""
    connections = [connect(server, number) for number in numbers]
    for connection in connections:
        connection.sendall(OPENING)
    for connection in connections:
        connection.settimeout(30)
        assert connection.recv(1)
    return connections


def test_an_idle_connection_takes_at_most_16_KiB(server):
    wanted = CONNECTIONS + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, wanted), hard), hard))
    count = min(CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200)
    assert count >= 500, "too few descriptors to tell"
    server.start()
    # What the first connections allocate once is no part of what each one costs.
    for connection in opened(server, range(50)):
        connection.close()
    time.sleep(0.5)
    before = server.resident_bytes()
    connections = opened(server, range(count))
    grown = server.resident_bytes() - before
    print(f"\n{count} idle connections: {grown / count:.0f} bytes each")
    assert grown <= count * BYTES_EACH_MAX, f"{grown / count:.0f} bytes each"
    for connection in connections:
        connection.close()
    assert server.stop() == 0
