"""The examples of docs/clients work: the first run stores the event, the second reports a duplicate."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import conftest
from conftest import ROOT, Server

EXAMPLES = ROOT / "docs/clients"


@pytest.fixture
def fresh(tmp_path):
    """A server without the person anna."""
    server = Server(tmp_path / "data").start()
    yield server
    assert server.stop() == 0


def run_twice(server, command, **environment):
    outputs = []
    for _ in range(2):
        finished = subprocess.run(
            [*command, server.listen], env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
        )
        assert finished.returncode == 0, finished.stderr
        outputs.append(finished.stdout.splitlines())
    return outputs


def test_python_example(fresh):
    stubs = pathlib.Path(conftest.profiles_pb2.__file__).parents[2]
    first, second = run_twice(fresh, [sys.executable, str(EXAMPLES / "python/first.py")], PYTHONPATH=str(stubs))
    assert first[0].startswith("stored at lsn ") and second[0].startswith("already there at lsn ")
    assert first[1] == second[1] == "anna has 1 purchase"
    assert first[2].startswith("INVALID_ARGUMENT events[0].name: ")


@pytest.mark.skipif(
    not shutil.which("grpc_cpp_plugin") or not shutil.which("g++"), reason="libgrpc++-dev is not installed"
)
def test_cpp_example(fresh, tmp_path):
    protos = ["profiles/v1/profiles.proto", "profiles/v1/types.proto", "google/rpc/status.proto"]
    subprocess.run(
        [
            "protoc",
            "-I",
            str(ROOT / "Protos"),
            f"--cpp_out={tmp_path}",
            f"--grpc_out={tmp_path}",
            f"--plugin=protoc-gen-grpc={shutil.which('grpc_cpp_plugin')}",
            *protos,
        ],
        check=True,
    )
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "grpc++", "protobuf"], capture_output=True, text=True, check=True
    ).stdout.split()
    sources = [str(tmp_path / name.replace(".proto", ".pb.cc")) for name in protos] + [
        str(tmp_path / "profiles/v1/profiles.grpc.pb.cc")
    ]
    subprocess.run(
        [
            "g++",
            "-std=c++17",
            f"-I{tmp_path}",
            str(EXAMPLES / "cpp/first.cpp"),
            *sources,
            *flags,
            "-o",
            str(tmp_path / "first"),
        ],
        check=True,
        timeout=300,
    )
    first, second = run_twice(fresh, [str(tmp_path / "first")])
    assert first[0].startswith("EVENT_STATUS_STORED at lsn ") and second[0].startswith("EVENT_STATUS_DUPLICATE at lsn ")
    assert first[1] == second[1] == "anna has 1 purchase"


def has_node_packages():
    if not shutil.which("node"):
        return False
    probe = subprocess.run(
        ["node", "-e", "require('@grpc/grpc-js'); require('@grpc/proto-loader')"], capture_output=True
    )
    return probe.returncode == 0


@pytest.mark.skipif(not has_node_packages(), reason="@grpc/grpc-js is not on NODE_PATH")
def test_node_example(fresh):
    first, second = run_twice(fresh, ["node", str(EXAMPLES / "node/first.js")])
    assert first[0].startswith("EVENT_STATUS_STORED at lsn ") and second[0].startswith("EVENT_STATUS_DUPLICATE at lsn ")
    assert first[1] == second[1] == "anna has 1 purchase"
