"""Mutual TLS (S2): whose certificates count, which keys they stand for, and what ends when they do not any more."""

import os
import pathlib
import signal
import subprocess

import grpc
import pytest
from conftest import BINARY, custom, event, fails, profiles_pb2, profiles_pb2_grpc, track, wait_until
from tls_files import Authority, TLSServer, handshake, handshakes, is_made, needs_tls

pytestmark = needs_tls
TOOL = pathlib.Path(BINARY).parent / "profilectl"
SHOP = "URI:spiffe://example/shop"


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """Authorities of clients, and certificates that they have issued."""
    folder = tmp_path_factory.mktemp("clients")

    class Clients:
        root = Authority(folder, "root")
        middle = Authority(folder, "middle", root)
        stranger = Authority(folder, "stranger")
        shop = root.issue("shop", SHOP)
        named = root.issue("named", "DNS:CRM.internal.example", subject="/O=Example/CN=Nightly export")
        nobody = root.issue("nobody", "")
        ended = root.issue("ended", SHOP, days=-1)
        below = middle.issue("below", SHOP)
        foreign = stranger.issue("foreign", SHOP)

    return Clients


def mutual(folder, clients, *flags):
    return TLSServer(folder, "--tls-client-ca", str(clients.root.certificate), *flags)


def shown(identity):
    return ["-cert", identity.certificate, "-key", identity.key, "-cert_chain", identity.certificate]


def test_S2_only_certificates_of_the_authority_are_let_in(tmp_path, clients):
    server = mutual(tmp_path, clients, "--tls-verify-depth", "0").start()
    server.stub(client=clients.shop).Track(track(custom("anna")), timeout=20)
    refused = [None, clients.foreign, clients.ended, clients.below]
    for identity in refused:
        with server.channel(client=identity) as channel, pytest.raises(grpc.RpcError) as caught:
            profiles_pb2_grpc.ProfilesStub(channel).Track(track(custom("anna")), timeout=5)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    # By TLS 1.2 the client learns of it within the handshake.
    for identity in refused:
        assert not is_made(handshake(server.listen, "-tls1_2", *(shown(identity) if identity else []))[1])
    assert wait_until(lambda: handshakes(server.get("/metrics")[1], "certificate") >= 2 * len(refused))
    assert server.stop() == 0


def test_S2_the_depth_allows_certificates_in_between(tmp_path, clients):
    server = mutual(tmp_path, clients, "--tls-verify-depth", "1").start()
    server.stub(client=clients.below).Track(track(custom("anna")), timeout=20)
    assert server.stop() == 0


def test_S2_an_authority_that_is_removed_lets_nobody_new_in(tmp_path, clients):
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(clients.root.certificate.read_text() + clients.stranger.certificate.read_text())
    server = TLSServer(tmp_path, "--tls-client-ca", str(trusted)).start()
    before = server.stub(client=clients.foreign)
    before.Track(track(custom("anna")), timeout=20)
    trusted.write_text(clients.root.certificate.read_text())
    os.kill(server.pid, signal.SIGHUP)
    assert wait_until(lambda: any("TLS certificate read again" in line for line in server.lines))
    # What is open stays open: nobody loses a call by a rotation.
    before.Track(track(custom("anna")), timeout=20)
    with server.channel(client=clients.foreign) as channel, pytest.raises(grpc.RpcError):
        profiles_pb2_grpc.ProfilesStub(channel).Track(track(custom("anna")), timeout=5)
    assert server.stop() == 0


class Keyed:
    """A server with keys, of which certificates stand for some."""

    def __init__(self, folder, clients):
        self.clients = clients
        self.operator = folder / "operator.key"
        run = subprocess.run([str(TOOL), "key", "new"], capture_output=True, text=True, timeout=20, check=True)
        self.operator.write_text(run.stdout)
        self.operator.chmod(0o600)
        self.table = folder / "certificates"
        self.table.write_text("")
        self.server = mutual(
            *(folder, clients, "--operator-key-file", str(self.operator), "--tls-client-keys", str(self.table))
        ).start()

    def ctl(self, *words, key=None):
        run = subprocess.run(
            [
                *(str(TOOL), *words, "--address", f"https://{self.server.listen}"),
                *("--ca", str(self.server.authority.certificate)),
                *("--cert", str(self.clients.nobody.certificate), "--cert-key", str(self.clients.nobody.key)),
            ],
            env=os.environ | {"PROFILES_KEY_FILE": str(key or self.operator)},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert run.returncode == 0, run.stderr
        return run.stdout.strip()

    def new_key(self, project, *scopes):
        return self.ctl("key", "create", "--project", project, "--scopes", ",".join(scopes))

    def write_table(self, *lines, count=None):
        before = sum("table of certificates" in line for line in self.server.lines)
        self.table.write_text("".join(f"{line}\n" for line in lines))
        os.kill(self.server.pid, signal.SIGHUP)
        assert wait_until(lambda: sum("table of certificates" in line for line in self.server.lines) > before)


@pytest.fixture
def keyed(tmp_path, clients):
    keyed = Keyed(tmp_path, clients)
    yield keyed
    assert keyed.server.stop() == 0


def in_project(name, request):
    request.project = name
    return request


def test_S2_a_certificate_stands_for_a_key(keyed, clients):
    keyed.ctl("project", "create", "shop")
    key = keyed.new_key("shop", "write")
    stub = keyed.server.stub(client=clients.shop)
    request = in_project("shop", track(custom("anna")))
    assert fails(stub.Track, request).reason == "KEY_INVALID"
    keyed.write_table("# The shop's back end", "", f"{SHOP}   {key[:19]}")
    for _ in range(3):
        stub.Track(request, timeout=20)
    # It has the scopes and the project of the key, and no more.
    assert fails(stub.Track, track(custom("anna"))).reason == "SCOPE_MISSING"
    get = profiles_pb2.GetProfileRequest(project="shop", identifier=custom("anna"))
    assert fails(stub.GetProfile, get).reason == "SCOPE_MISSING"
    # Another certificate of the authority stands for nothing, but may send a key.
    other = keyed.server.stub(client=clients.nobody)
    assert fails(other.Track, request).reason == "KEY_INVALID"
    other.Track(request, metadata=[("authorization", f"Bearer {key}")], timeout=20)
    # A key that is sent counts, also in place of the certificate's.
    assert fails(stub.Track, request, metadata=[("authorization", f"Bearer {key[:-1]}")]).reason == "KEY_INVALID"
    reader = keyed.new_key("shop", "read")
    stub.GetProfile(get, metadata=[("authorization", f"Bearer {reader}")], timeout=20)
    assert fails(stub.GetProfile, get).reason == "SCOPE_MISSING"
    # It ends with its key.
    keyed.ctl("key", "revoke", key[3:19], "--project", "shop")
    assert fails(stub.Track, request).reason == "KEY_INVALID"


def test_S2_host_names_and_subjects_stand_for_keys(keyed, clients):
    key = keyed.new_key("default", "write")
    stub = keyed.server.stub(client=clients.named)
    for name in ("DNS:crm.Internal.example", "SUBJECT:CN=Nightly export,O=Example"):
        keyed.write_table(f"{name} {key[:19]}")
        stub.Track(track(custom("anna")), timeout=20)
        keyed.write_table()
        assert fails(stub.Track, track(custom("anna"))).reason == "KEY_INVALID"
    # An operator's key too.
    keyed.write_table(f"DNS:crm.internal.example {keyed.operator.read_text()[3:19]}")
    keyed.ctl("project", "create", "shop")
    stub.Track(in_project("shop", track(custom("anna"))), timeout=20)


def test_S2_streams_end_when_their_certificate_stands_for_nothing_any_more(keyed, clients):
    key = keyed.new_key("default", "read", "write")
    keyed.write_table(f"{SHOP} {key[:19]}")
    stub = keyed.server.stub(client=clients.shop)
    stream = stub.Watch(profiles_pb2.WatchRequest(project="default"), timeout=30)
    stub.Track(track(custom("anna"), event("seen")), timeout=20)
    next(stream)
    # A table that is wrong leaves the one before in force.
    keyed.write_table("nonsense")
    assert "line 1" in keyed.server.lines[-1] and "not read again" in keyed.server.lines[-1]
    stub.Track(track(custom("anna")), timeout=20)
    keyed.write_table(f"DNS:elsewhere.example {key[:19]}")
    with pytest.raises(grpc.RpcError) as caught:
        for _ in stream:
            pass
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    "line, reason",
    [
        ("nonsense", "line 2: expected NAME and the id of a key"),
        ("CN=shop pk_0123456789abcdef", "line 2: expected a name that begins with URI:, DNS:, EMAIL:, SUBJECT:"),
        (f"{SHOP} pk_0123456789abcdef_secret", "line 2: expected NAME and the id of a key"),
        (f"{SHOP} 0123456789abcdef\n{SHOP} 0123456789abcdef", "line 3 has the name of an earlier line"),
    ],
)
def test_a_table_that_is_wrong_rejects_the_start_and_is_not_quoted(tmp_path, clients, line, reason):
    table = tmp_path / "table"
    table.write_text(f"# names\n{line}\n")
    (tmp_path / "operator.key").write_text(
        subprocess.run([str(TOOL), "key", "new"], capture_output=True, text=True, timeout=20, check=True).stdout
    )
    (tmp_path / "operator.key").chmod(0o600)
    server = mutual(
        *(tmp_path, clients, "--operator-key-file", str(tmp_path / "operator.key"), "--tls-client-keys", str(table))
    )
    run = subprocess.run([str(BINARY), "--check-config", *server.flags], capture_output=True, text=True, timeout=20)
    assert run.returncode == 2 and reason in run.stderr and "secret" not in run.stderr.replace("its secret", "")


def test_the_admin_listener_for_certificates_only(tmp_path, clients):
    server = mutual(tmp_path, clients, "--admin-tls", "mutual").start()

    def curl(*words):
        authority = ("--cacert", server.authority.certificate)
        command = ["curl", "-s", *authority, *words, f"https://{server.admin}/livez"]
        return subprocess.run(list(map(str, command)), capture_output=True, timeout=30).returncode

    assert curl() != 0
    assert curl("--cert", clients.nobody.certificate, "--key", clients.nobody.key) == 0
    assert curl("--cert", clients.foreign.certificate, "--key", clients.foreign.key) != 0
    assert server.stop() == 0
