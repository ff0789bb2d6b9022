"""Certificates of a test, made by the openssl program, and probes with it."""

import os
import re
import subprocess

import grpc
import pytest
from conftest import BINARY, Server
from profiles.v1 import profiles_pb2_grpc

# Whether PROFILED can encrypt.
TLS_BUILT = "OpenSSL" in subprocess.run([str(BINARY), "--version"], capture_output=True, text=True, timeout=20).stdout
needs_tls = pytest.mark.skipif(not TLS_BUILT, reason="this program was built without TLS")

SERVER_NAMES = "DNS:localhost,IP:127.0.0.1"


def openssl(*words, text=None):
    run = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, input=text, timeout=30)
    assert run.returncode == 0, run.stderr
    return run.stdout


def new_key(path):
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
    os.chmod(path, 0o600)
    return path


class Identity:
    """A certificate with what leads to its root, and its key, as files."""

    def __init__(self, certificate, key):
        self.certificate, self.key = certificate, key


class Authority:
    """Issues certificates; an intermediate one has its issuer's certificate behind its own."""

    def __init__(self, folder, name, issuer=None):
        self.folder, self.name = folder, name
        self.key = new_key(folder / f"{name}.key")
        self.certificate = folder / f"{name}.pem"
        rules = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n"
        if issuer:
            issuer.sign(self.key, f"/CN={name}", rules, self.certificate)
        else:
            subject = ("-subj", f"/CN={name}", "-days", 30)
            openssl("req", "-x509", "-new", "-key", self.key, *subject, "-out", self.certificate)
        self.chain = (self.certificate.read_text() + issuer.chain) if issuer else ""

    def sign(self, key, subject, extensions, certificate, days=30):
        request, rules = certificate.with_suffix(".csr"), certificate.with_suffix(".ext")
        rules.write_text(extensions)
        openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
        openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-days", days),
            *("-extfile", rules, "-out", certificate),
        )

    def issue(self, name, names=SERVER_NAMES, subject=None, days=30):
        key, certificate = new_key(self.folder / f"{name}.key"), self.folder / f"{name}.pem"
        self.sign(key, subject or f"/CN={name}", f"subjectAltName={names}\n" if names else "", certificate, days)
        certificate.write_text(certificate.read_text() + self.chain)
        return Identity(certificate, key)

    def credentials(self, client=None):
        """Of grpcio, for a client that believes this authority."""
        return grpc.ssl_channel_credentials(
            self.certificate.read_bytes(),
            client.key.read_bytes() if client else None,
            client.certificate.read_bytes() if client else None,
        )


class TLSServer(Server):
    """A server with a certificate of an authority of its own."""

    def __init__(self, folder, *flags):
        self.authority = Authority(folder, "authority")
        self.identity = self.authority.issue("server")
        own = ("--tls-certificate", str(self.identity.certificate), "--tls-key", str(self.identity.key))
        super().__init__(folder / "data", *own, *flags)

    def channel(self, client=None, authority=None, name=None):
        options = [("grpc.use_local_subchannel_pool", 1)]
        if name:
            options.append(("grpc.ssl_target_name_override", name))
        return grpc.secure_channel(self.listen, (authority or self.authority).credentials(client), options)

    def stub(self, **options):
        return profiles_pb2_grpc.ProfilesStub(self.channel(**options))


def connected(address, *words):
    """An `openssl s_client` whose handshake is done; it reads its standard input."""
    process = subprocess.Popen(
        ["openssl", "s_client", "-connect", address, "-alpn", "h2", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    for line in process.stdout:
        if b"Verify return code" in line:
            break
    return process


def handshake(address, *words, text="", alpn="h2"):
    """What `openssl s_client` says of a connection to the address; its exit code is 0 if it was made."""
    protocol = ["-alpn", alpn] if alpn else []
    run = subprocess.run(
        ["openssl", "s_client", "-connect", address, *protocol, *map(str, words)],
        input=text.encode(),
        capture_output=True,
        timeout=30,
    )
    # HTTP/2 frames are among the output.
    output = (run.stdout + run.stderr).decode(errors="replace")
    return run.returncode, output


def is_made(output):
    """Whether a handshake was finished, by what s_client says of its suite."""
    found = re.search(r"Cipher is (\S+)", output)
    return bool(found) and found.group(1) != "(NONE)" and "alert" not in output


def handshakes(metrics, result):
    """How many handshakes have ended in this way, by the text of a metrics page."""
    return int(float(re.search(rf'profiles_tls_handshakes_total{{result="{result}"}} (\S+)', metrics).group(1)))
