"""Shared by the tests that run real clients against the real binary.

PROFILED names the binary (default: the release build). Every server here is a process of its own on free ports of
127.0.0.1 with a data directory of its own, and is ended by its pid.
"""

import atexit
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import grpc
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("PROFILED", ROOT / ".build/release/profiled"))


def _generate_stubs() -> str:
    """Compiles Protos/ with grpcio-tools into a folder that exists for the duration of the run."""
    folder = tempfile.mkdtemp(prefix="profiles-stubs-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    protos = [str(path.relative_to(ROOT / "Protos")) for path in sorted((ROOT / "Protos/profiles").rglob("*.proto"))]
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{ROOT / 'Protos'}",
            f"--python_out={folder}",
            f"--grpc_python_out={folder}",
            *protos,
        ],
        check=True,
        cwd=ROOT / "Protos",
    )
    return folder


sys.path.insert(0, _generate_stubs())

from google.rpc import error_details_pb2, status_pb2  # noqa: E402
from profiles.v1 import profiles_pb2, profiles_pb2_grpc, types_pb2  # noqa: E402


def can_trace():
    """Whether strace is installed and may trace a process, which containers may forbid."""
    return (
        shutil.which("strace") is not None
        and subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, timeout=30).returncode == 0
    )


needs_strace = pytest.mark.skipif(not can_trace(), reason="strace is not installed, or may not follow a process here")


class Server:
    """One `profiled` process."""

    def __init__(self, data_dir, *flags, wrapper=()):
        self.data_dir = pathlib.Path(data_dir)
        self.flags = flags
        self.wrapper = wrapper
        self.lines = []
        self.process = None
        self.listen = self.admin = None
        # A test that restarts it on the same address sets this to `listen`.
        self.address = "127.0.0.1:0"

    def start(self, wait=True):
        self.process = subprocess.Popen(
            [
                *self.wrapper,
                str(BINARY),
                "--data-dir",
                str(self.data_dir),
                "--listen",
                self.address,
                "--admin-listen",
                "127.0.0.1:0",
                "--loops",
                "2",
                *self.flags,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._serving = threading.Event()
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        if wait:
            deadline = time.monotonic() + 60
            while not self._serving.wait(0.1) and self.process.poll() is None and time.monotonic() < deadline:
                pass
            assert self._serving.is_set(), f"not serving: {self.lines[-5:]}"
        return self

    def _read(self, process):
        for line in process.stderr:
            self.lines.append(line)
            if '"message":"serving"' in line:
                fields = json.loads(line)
                self.listen, self.admin = fields["listen"], fields["admin"]
                self._serving.set()

    @property
    def pid(self):
        """The pid of the server itself, even if it runs below a wrapper."""
        if not self.wrapper:
            return self.process.pid
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        # A wrapper such as nsenter replaces itself with the server; one such as strace has it as a child.
        return int(children[0]) if children else self.process.pid

    def stop(self, sig=signal.SIGTERM, timeout=30):
        """Ends it and returns its exit code."""
        if self.process.poll() is None:
            os.kill(self.pid, sig)
        return self.process.wait(timeout)

    def get(self, path):
        """Status and body of a page of the admin listener."""
        try:
            with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name):
        """The value of one sample, by its full name with labels."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no metric {name}")

    def resident_bytes(self, field="VmRSS:"):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split(field)[1].split()[0]) * 1024

    def peak_resident_bytes(self):
        """The most that it ever had."""
        return self.resident_bytes("VmHWM:")

    def channel(self):
        return grpc.insecure_channel(self.listen, options=[("grpc.use_local_subchannel_pool", 1)])


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A server for tests that need no state of their own."""
    server = Server(tmp_path_factory.mktemp("shared")).start()
    yield server
    assert server.stop() == 0


@pytest.fixture
def server(tmp_path):
    """A server for a single test, not started yet."""
    server = Server(tmp_path / "data")
    yield server
    if server.process and server.process.poll() is None:
        server.stop(signal.SIGKILL)


@pytest.fixture
def stub(shared):
    with shared.channel() as channel:
        yield profiles_pb2_grpc.ProfilesStub(channel)


class Failure:
    """The content of a failed call: code, reason, metadata, violations by path."""

    def __init__(self, error):
        self.code = error.code()
        self.violations = {}
        self.reason, self.metadata = "", {}
        details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
        status = status_pb2.Status.FromString(details) if details else status_pb2.Status()
        self.read(status)

    def read(self, status):
        for detail in status.details:
            info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info):
                assert info.domain == "profiles.v1"
                self.reason, self.metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(bad):
                self.violations |= {violation.field: violation.description for violation in bad.field_violations}


def fails(call, request, **options):
    """The failure of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=20, **options)
    return Failure(caught.value)


_counter = iter(range(1, 1 << 62))


def unique(prefix="id"):
    return f"{prefix}-{os.getpid()}-{next(_counter)}"


def custom(name=None):
    return types_pb2.Identifier(custom_id=name or unique("person"))


def event(name="purchase", **fields):
    return types_pb2.Event(name=name, **fields)


def track(identifier, *events, **fields):
    return profiles_pb2.TrackRequest(project="default", identifier=identifier, events=events or [event()], **fields)


def get(identifier, **fields):
    return profiles_pb2.GetProfileRequest(project="default", identifier=identifier, **fields)


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
