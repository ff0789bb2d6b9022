"""The default build: it needs no OpenSSL, and says plainly that it cannot encrypt."""

import pathlib
import subprocess

import pytest
from conftest import BINARY
from tls_files import TLS_BUILT

pytestmark = pytest.mark.skipif(TLS_BUILT, reason="this program was built with TLS")
FOLDER = pathlib.Path(BINARY).parent


def run(program, *words):
    return subprocess.run([str(FOLDER / program), *words], capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("program", ["profiled", "profilectl", "profile-bench"])
def test_default_build_has_no_openssl(program):
    linked = subprocess.run(["ldd", str(FOLDER / program)], capture_output=True, text=True, timeout=30).stdout
    assert "libnghttp2" in linked and "libssl" not in linked and "libcrypto" not in linked
    content = (FOLDER / program).read_bytes()
    assert b"OpenSSL" not in content and b"SSL_CTX_new" not in content


@pytest.mark.parametrize(
    "flag, value",
    [("tls-certificate", "c.pem"), ("tls-key", "k.pem"), ("tls-client-ca", "ca.pem"), ("admin-tls", "on")],
)
def test_default_build_rejects_settings_of_tls(flag, value):
    found = run("profiled", "--check-config", f"--{flag}", value)
    assert found.returncode == 2
    assert f'--{flag}: found "{value}"' in found.stderr and "built without TLS" in found.stderr


@pytest.mark.parametrize("words", [["--tls"], ["--ca", "ca.pem"], ["--address", "https://127.0.0.1:1"]])
def test_default_clients_reject_flags_of_tls(words):
    assert "built without TLS" in run("profilectl", "health", *words).stderr
    found = run("profile-bench", *words)
    assert found.returncode == 2 and "built without TLS" in found.stderr
