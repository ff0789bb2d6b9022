"""TLS (S1, C11): who is refused a handshake, what half of one costs, and certificates that change under load."""

import os
import pathlib
import signal
import socket
import ssl
import subprocess
import threading
import time

import grpc
import pytest
from conftest import BINARY, custom, get, profiles_pb2_grpc, track, wait_until
from tls_files import Authority, TLSServer, connected, handshake, handshakes, is_made, needs_tls, openssl

pytestmark = needs_tls
BENCH = pathlib.Path(BINARY).parent / "profile-bench"
TOOL = pathlib.Path(BINARY).parent / "profilectl"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    server = TLSServer(tmp_path_factory.mktemp("tls")).start()
    yield server
    assert server.stop() == 0


def raw(server):
    host, port = server.listen.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=25)


def client_hello():
    """The first bytes of an honest client."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    sent = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost").do_handshake()
    return sent.read()


def count(server, result):
    return handshakes(server.get("/metrics")[1], result)


def test_S1_clients_call_over_tls(served):
    stub = served.stub()
    stub.Track(track(custom("anna")), timeout=20)
    assert stub.GetProfile(get(custom("anna")), timeout=20).profile.custom_id == "anna"
    assert served.metric("profiles_tls_connections") >= 1
    # A client without TLS gets no call through.
    with grpc.insecure_channel(served.listen) as channel, pytest.raises(grpc.RpcError) as caught:
        profiles_pb2_grpc.ProfilesStub(channel).Track(track(custom("anna")), timeout=20)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert count(served, "not_tls") >= 1


@pytest.mark.parametrize("version, is_served", [("tls1", False), ("tls1_1", False), ("tls1_2", True), ("tls1_3", True)])
def test_S1_versions(served, version, is_served):
    before = count(served, "version")
    # The client's own library refuses old versions unless it is told otherwise.
    code, output = handshake(served.listen, f"-{version}", "-cipher", "ALL:@SECLEVEL=0")
    assert is_made(output) == is_served, output
    # The client may learn of it before the server has counted it.
    assert wait_until(lambda: count(served, "version") - before == (0 if is_served else 1))


@pytest.mark.parametrize(
    "suite",
    [
        *("AES128-GCM-SHA256", "AES256-SHA", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "NULL-SHA256"),
        *("DHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-NULL-SHA", "ADH-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-CCM"),
    ],
)
def test_S1_suites_of_appendix_a_are_refused(served, suite):
    code, output = handshake(served.listen, "-tls1_2", "-cipher", f"{suite}:@SECLEVEL=0")
    assert not is_made(output), output


@pytest.mark.parametrize("suite", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_S1_suites_that_are_served(served, suite):
    assert is_made(handshake(served.listen, "-tls1_2", "-cipher", suite)[1])


@pytest.mark.parametrize("alpn", [None, "http/1.1", "h2c"])
def test_S1_a_client_that_does_not_ask_for_h2_is_refused(served, alpn):
    before = count(served, "alpn")
    code, output = handshake(served.listen, alpn=alpn)
    assert code != 0 and "no application protocol" in output, output
    assert wait_until(lambda: count(served, "alpn") == before + 1)
    assert "ALPN protocol: h2" in handshake(served.listen, alpn="http/1.1,h2")[1]


def test_S1_nothing_is_resumed_compressed_or_renegotiated(served):
    code, output = handshake(served.listen, "-tls1_3", text="")
    assert is_made(output) and "New Session Ticket" not in output
    code, output = handshake(served.listen, "-tls1_2", text="")
    assert "Compression: NONE" in output and "TLS session ticket" not in output, output
    process = connected(served.listen, "-tls1_2")
    # A line with an R makes s_client try.
    process.stdin.write(b"R\n")
    process.stdin.flush()
    rest = process.communicate(timeout=30)[0]
    assert b"RENEGOTIATING" in rest and b"no renegotiation" in rest, rest


def test_S1_handshake_records_behind_the_handshake_are_bounded(served):
    process = connected(served.listen, "-tls1_3")
    number = 0
    try:
        while number < 60 and process.poll() is None:
            # A line with a k makes s_client send a KeyUpdate, one for each that it reads at a time.
            process.stdin.write(b"k\n")
            process.stdin.flush()
            number += 1
            time.sleep(0.05)
    except BrokenPipeError:
        pass
    finally:
        process.kill()
        process.communicate()
    assert 16 <= number < 50


def test_S1_the_name_is_checked_by_clients_and_a_wrong_one_gets_no_other_certificate(served):
    code, output = handshake(served.listen, "-servername", "other.example")
    assert is_made(output) and "subject=CN = server" in output
    with served.channel(name="other.example") as channel, pytest.raises(grpc.RpcError) as caught:
        profiles_pb2_grpc.ProfilesStub(channel).Track(track(custom("anna")), timeout=20)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    environment = os.environ | {"PROFILES_ADDRESS": f"https://{served.listen}"}

    def ctl(*flags):
        run = subprocess.run(
            [str(TOOL), "health", *map(str, flags)], env=environment, capture_output=True, text=True, timeout=30
        )
        return run.returncode, run.stdout + run.stderr

    authority = served.authority.certificate
    assert ctl("--ca", authority)[0] == 0
    assert ctl("--ca", authority, "--server-name", "localhost")[0] == 0
    code, text = ctl("--ca", authority, "--server-name", "other.example")
    assert code != 0 and "hostname mismatch" in text
    # An authority that the system does not know.
    code, text = ctl()
    assert code != 0 and "certificate" in text
    code, text = ctl("--address", f"http://{served.admin}", "--ca", authority)
    assert code != 0 and "TLS" in text


def test_C11_half_handshakes_are_cut_off_and_cost_little(served):
    stub = served.stub()
    stub.Track(track(custom("anna")), timeout=20)
    before = served.resident_bytes()
    hello = client_hello()
    # A whole hello, to which the server has responded; half of one; none; one that drips.
    halves = [raw(served) for _ in range(200)]
    for half in halves[:180]:
        half.sendall(hello)
    for half in halves[180:190]:
        half.sendall(hello[: len(hello) // 2])
    dripping = raw(served)
    assert wait_until(lambda: served.metric("profiles_tls_handshakes_open") >= 190)
    # A handshake with all of its buffers; measured: 30 KiB.
    assert (served.resident_bytes() - before) / 190 < 64 << 10
    end = time.monotonic() + 25
    closed = False
    for byte in hello:
        stub.Track(track(custom("anna")), timeout=20)
        dripping.settimeout(0.25)
        try:
            dripping.sendall(bytes([byte]))
            closed = dripping.recv(4096) == b""
        except TimeoutError:
            pass
        except OSError:
            closed = True
        if closed or time.monotonic() > end:
            break
    assert closed
    for half in halves:
        try:
            while half.recv(65536):
                pass
        except ConnectionResetError:
            pass
        half.close()
    assert wait_until(lambda: served.metric("profiles_tls_handshakes_open") == 0)
    assert count(served, "abandoned") >= 191
    assert served.metric('profiles_connections_ended_total{reason="preface_timeout"}') >= 200


@pytest.mark.parametrize(
    "first, result",
    [(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not_tls"), (b"\x16\x03\x01\x40\x00\x01\x02\x00\x00", "too_large")],
)
def test_what_is_no_hello_is_cut_off_at_once(served, first, result):
    before = count(served, result)
    with raw(served) as connection:
        connection.sendall(first)
        try:
            assert connection.recv(100) == b""
        except ConnectionResetError:
            pass
    assert wait_until(lambda: count(served, result) == before + 1)


def test_messages_of_many_records_come_whole(served):
    run = subprocess.run(
        [
            *(str(BENCH), "import", "--address", f"https://{served.listen}", "--ca", str(served.authority.certificate)),
            *("--people", "20000", "--events", "40000", "--json"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    run = subprocess.run(
        [
            *(str(BENCH), "export", "--address", served.listen, "--tls", "--ca", str(served.authority.certificate)),
            "--json",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr + run.stdout


def test_S2_certificates_change_under_load_without_a_lost_call(tmp_path):
    server = TLSServer(tmp_path).start()
    second = Authority(tmp_path, "second")
    both = tmp_path / "both.pem"
    both.write_text(server.authority.certificate.read_text() + second.certificate.read_text())
    stub = server.stub()
    stub.Track(track(custom("anna")), timeout=20)
    load = subprocess.Popen(
        [
            *(str(BENCH), "--address", server.listen, "--tls", "--ca", str(both), "--connections", "4"),
            *("--streams", "10", "--seconds", "4", "--rate", "2000", "--json"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    ended = threading.Event()
    failures = []

    def call():
        while not ended.is_set():
            try:
                stub.Track(track(custom("anna")), timeout=20)
            except grpc.RpcError as error:
                failures.append(error)

    caller = threading.Thread(target=call)
    caller.start()

    def hang_up(text):
        before = sum(text in line for line in server.lines)
        os.kill(server.pid, signal.SIGHUP)
        assert wait_until(lambda: sum(text in line for line in server.lines) > before), server.lines[-3:]

    def issuer():
        return handshake(server.listen)[1].split("issuer=")[1].split("\n")[0]

    assert issuer() == "CN = authority"
    certificate, key = server.identity.certificate.read_text(), server.identity.key.read_text()
    other = second.issue("other")
    for _ in range(3):
        server.identity.certificate.write_text(other.certificate.read_text())
        # Between the two files: the one before stays in force, and the log says so.
        hang_up("TLS certificate not read again")
        assert issuer() == "CN = authority"
        server.identity.key.write_text(other.key.read_text())
        hang_up("TLS certificate read again")
        assert issuer() == "CN = second"
        server.identity.certificate.write_text(certificate)
        server.identity.key.write_text(key)
        hang_up("TLS certificate read again")
    server.identity.certificate.write_text("not PEM")
    hang_up("TLS certificate not read again")
    assert issuer() == "CN = authority"
    ended.set()
    caller.join()
    output = load.communicate(timeout=30)[0]
    assert load.returncode == 0 and failures == [], output
    assert server.stop() == 0


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (lambda own, other: own.key.write_text(other.key.read_text()), "does not belong to the certificate"),
        (lambda own, other: own.key.chmod(0o644), "others than its owner have access"),
        (lambda own, other: own.certificate.chmod(0o666), "everybody can write it"),
        (lambda own, other: own.certificate.write_text(""), "no PEM certificate"),
        (lambda own, other: own.key.write_text(""), "no PEM private key"),
        (
            lambda own, other: openssl("ec", "-in", other.key, "-aes256", "-passout", "pass:word", "-out", own.key),
            "has a passphrase",
        ),
        (
            lambda own, other: own.certificate.open("a").write("-----BEGIN CERTIFICATE-----\n"),
            "the certificate is not usable",
        ),
        (lambda own, other: own.certificate.unlink(), "No such file"),
    ],
)
def test_files_that_make_no_server_are_rejected(tmp_path, spoil, reason):
    server = TLSServer(tmp_path)
    spoil(server.identity, server.authority.issue("other"))
    for words in (["--check-config", *server.flags], ["--data-dir", str(tmp_path / "data"), *server.flags]):
        run = subprocess.run([str(BINARY), *words], capture_output=True, text=True, timeout=20)
        assert run.returncode == 2 and reason in run.stderr, run.stderr


def test_the_admin_listener_over_tls(tmp_path):
    server = TLSServer(tmp_path, "--admin-tls", "on").start()
    address = f"https://{server.admin}/metrics"

    def curl(*words):
        return subprocess.run(["curl", "-s", *map(str, words)], capture_output=True, text=True, timeout=30)

    page = curl("--cacert", server.authority.certificate, address)
    assert page.returncode == 0 and "profiles_tls_certificate_not_after_seconds" in page.stdout
    # Without ALPN as well, but not for another protocol; not without TLS, nor by TLS 1.1.
    assert curl("--cacert", server.authority.certificate, "--no-alpn", address).returncode == 0
    assert not is_made(handshake(server.admin, alpn="h2")[1])
    assert curl(f"http://{server.admin}/metrics").returncode != 0
    assert not is_made(handshake(server.admin, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", alpn=None)[1])
    assert server.stop() == 0
