"""Probes get their responses whatever else connects to the operators' listener."""

import itertools
import socket
import subprocess
import threading
import time

import pytest

from conftest import BINARY, wait_until

CONNECTIONS = 1_000
PROBES = 30
# Of one address, and of all; see AdminListener.
PER_ADDRESS, ALL = 32, 64
# The bound of a probe is 100 ms; the tests share two cores with others, so they assert liveness only.
PROBE_SECONDS = 5


def connect(server, source="127.0.0.1"):
    host, port = server.admin.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=20, source_address=(source, 0))


def get(path, *fields):
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: a", *fields, "", ""]).encode()


def read_all(connection):
    text = b""
    while part := connection.recv(65_536):
        text += part
    return text


def probe(server, path="/livez"):
    """One probe on a connection of its own; its status line, and how long it took."""
    begin = time.monotonic()
    with connect(server) as connection:
        connection.settimeout(PROBE_SECONDS)
        connection.sendall(get(path, "Connection: close"))
        return read_all(connection).split(b"\r\n")[0].decode(), time.monotonic() - begin


def probes_pass(server, capsys, what):
    durations = []
    for path in itertools.islice(itertools.cycle(["/livez", "/readyz", "/startupz"]), PROBES):
        status, seconds = probe(server, path)
        assert status == "HTTP/1.1 200 OK"
        durations.append(seconds)
    with capsys.disabled():
        print(f"{what}: {PROBES} probes, slowest {max(durations) * 1000:.1f} ms")


def is_open(connection):
    """Whether the server still has the connection; discards what it has sent."""
    connection.setblocking(False)
    try:
        while connection.recv(1 << 20):
            pass
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False


HELD = {
    "half-sent heads": b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow: ",
    "silent connections": b"",
    "huge heads": b"GET /livez HTTP/1.1\r\nX-Huge: " + b"x" * 8_000,
    "idle keep-alive": get("/livez"),
    "slow readers of /metrics": get("/metrics") * 40,
}


@pytest.mark.parametrize("what", HELD)
def test_probes_pass_beside_a_thousand_connections(shared, capsys, what):
    held = []
    try:
        for _ in range(CONNECTIONS):
            connection = connect(shared)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            try:
                connection.sendall(HELD[what])
            except OSError:
                # It was cut already.
                pass
            held.append(connection)
        probes_pass(shared, capsys, what)
        # An address keeps its share, and the oldest were cut first. (A reader is as old as its last response.)
        assert wait_until(lambda: sum(map(is_open, held)) <= PER_ADDRESS)
        if what != "slow readers of /metrics":
            assert not any(map(is_open, held[: -2 * ALL]))
    finally:
        for connection in held:
            connection.close()


def test_probes_pass_beside_a_thousand_connections_of_many_addresses(shared, capsys):
    held = []
    try:
        for number in range(CONNECTIONS):
            connection = connect(shared, f"127.0.{number % 200}.2")
            held.append(connection)
            try:
                connection.sendall(HELD["half-sent heads"])
            except OSError:
                pass
        probes_pass(shared, capsys, "half-sent heads of 200 addresses")
        assert wait_until(lambda: sum(map(is_open, held)) <= ALL)
    finally:
        for connection in held:
            connection.close()


def test_one_address_does_not_displace_another(shared):
    with connect(shared, "127.0.0.2") as scraper:
        scraper.sendall(get("/livez"))
        assert scraper.recv(4_096).startswith(b"HTTP/1.1 200 OK")
        held = []
        try:
            for _ in range(4 * ALL):
                held.append(connect(shared))
                held[-1].sendall(HELD["half-sent heads"])
            assert probe(shared)[0] == "HTTP/1.1 200 OK"
            scraper.sendall(get("/livez"))
            assert scraper.recv(4_096).startswith(b"HTTP/1.1 200 OK")
        finally:
            for connection in held:
                connection.close()


def test_probes_pass_beside_connections_that_come_again_and_again(shared, capsys):
    stop = threading.Event()
    made = itertools.count()

    def attack(what):
        while not stop.is_set():
            try:
                with connect(shared, "127.0.0.3") as connection:
                    connection.sendall(HELD[what])
                    next(made)
            except OSError:
                continue

    threads = [threading.Thread(target=attack, args=(what,)) for what in HELD]
    for thread in threads:
        thread.start()
    try:
        probes_pass(shared, capsys, "reconnecting clients")
        assert wait_until(lambda: next(made) > 200)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def test_head_has_ten_seconds_from_the_accept_however_steadily_it_drips(shared):
    with connect(shared) as dripping, connect(shared) as silent:
        begin = time.monotonic()
        dripping.sendall(b"GET /livez HTTP/1.1\r\n")
        dripping.settimeout(0.2)
        text = b""
        while time.monotonic() < begin + 60:
            try:
                dripping.sendall(b"X")
                part = dripping.recv(4_096)
                text += part
                if not part:
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert time.monotonic() - begin >= 9.5
        assert text.startswith(b"HTTP/1.1 408 ") or text == b""
        # A silent client gets nothing and is closed too.
        silent.settimeout(20)
        assert silent.recv(1) == b""


@pytest.mark.parametrize("request_line", [b"GET /readyz\r\n", b"GET /readyz\n", b"GET /readyz?a=b\r\n"])
def test_request_without_a_version_gets_a_response(shared, request_line):
    with connect(shared) as connection:
        connection.sendall(request_line)
        text = read_all(connection)
    assert text.startswith(b"HTTP/1.1 200 OK\r\n") and text.endswith(b"\r\n\r\nready\n")
    assert b"\r\nConnection: close\r\n" in text


def test_request_without_a_version_is_the_last(shared):
    with connect(shared) as connection:
        connection.sendall(b"GET /livez\r\n" + get("/metrics") * 3)
        connection.shutdown(socket.SHUT_WR)
        text = read_all(connection)
    assert text.count(b"HTTP/1.1 ") == 1 and text.endswith(b"\r\n\r\nalive\n")


@pytest.mark.parametrize(
    "line,status",
    [
        (b"GET /readyz HTTP/0.9\r\n", b"505"),
        (b"GET /readyz HTTP/2\r\n", b"400"),
        (b"GET\r\n", b"400"),
        (b"POST /readyz\r\n", b"400"),
        (b"GET readyz\r\n", b"400"),
        (b"GET /readyz HTTP/1.1\n", b"400"),
        (b"PRI * HTTP/2.0\r\n", b"505"),
        (b"\x16\x03\x01\x02\x00\x01", b"400"),
    ],
)
def test_invalid_first_line_gets_a_response_without_waiting_for_more(shared, line, status):
    with connect(shared) as connection:
        connection.sendall(line)
        connection.settimeout(5)
        assert connection.recv(4_096).split(b" ")[1] == status


def test_admin_listener_at_the_wildcard_of_ipv6_serves_ipv4_too(server):
    # Free on every address: clients of other tests may have it on one of theirs.
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as found:
        port = found.getsockname()[1]
    process = subprocess.Popen(
        [
            str(BINARY),
            *("--data-dir", str(server.data_dir), "--listen", "[::ffff:127.0.0.1]:0", "--admin-listen", f"[::]:{port}"),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        text = ""
        while '"message":"serving"' not in text:
            text = process.stderr.readline()
            assert text, "not serving"
        assert f'"admin":"[::]:{port}"' in text and '"listen":"127.0.0.1:' in text
        for host in ("127.0.0.1", "::1") if socket.has_ipv6 else ("127.0.0.1",):
            with socket.create_connection((host, port), timeout=20) as connection:
                connection.sendall(get("/readyz", "Connection: close"))
                assert read_all(connection).startswith(b"HTTP/1.1 200 OK\r\n")
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_metrics_are_valid_for_openmetrics_readers(shared):
    """There a counter's family has no "_total", so it must not have the name of another family."""
    types, names = {}, {}
    for line in shared.get("/metrics")[1].splitlines():
        if not line.startswith("# TYPE "):
            continue
        _, _, family, kind = line.split(" ")
        assert family not in types
        types[family] = kind
        assert family.endswith("_total") == (kind == "counter"), family
        stem = family.removesuffix("_total")
        taken = {
            "counter": [stem, stem + "_total", stem + "_created"],
            "histogram": [stem + suffix for suffix in ("", "_bucket", "_sum", "_count", "_created")],
        }.get(kind, [family])
        for name in taken:
            assert name not in names, f"{family} and {names[name]} share {name}"
            names[name] = family
    assert len(types) >= 40 and {"counter", "gauge", "histogram"} <= set(types.values())
    codes = [line for line in shared.get("/metrics")[1].splitlines() if line.startswith("grpc_server_handled_total{")]
    assert all(',grpc_code="' in line for line in codes)
