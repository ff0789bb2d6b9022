"""The file of --config as containers and shells give it, and data directories behind links."""

import os
import subprocess
import threading

import pytest

from conftest import BINARY, Server, custom, get, profiles_pb2_grpc, track

CONFIGURATION = 2
TEXT = b"loops = 3\nlog-level = warning\n"


def check(path, stdin=subprocess.DEVNULL, **options):
    return subprocess.run(
        [str(BINARY), "--check-config", "--config", str(path)],
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=20,
        **options,
    )


def is_read(run):
    return run.returncode == 0 and "loops = 3\n" in run.stdout and "log-level = warning\n" in run.stdout


def rejected(run, *texts):
    assert run.returncode == CONFIGURATION and run.stdout == ""
    assert all(text in run.stderr for text in texts), run.stderr


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "profiled.conf"
    path.write_bytes(TEXT)
    return path


def test_file_of_a_config_map_is_read(tmp_path):
    """Kubernetes mounts a ConfigMap as a link to a link to a folder of the version."""
    (tmp_path / "..2026_01_31").mkdir()
    (tmp_path / "..2026_01_31/profiled.conf").write_bytes(TEXT)
    (tmp_path / "..data").symlink_to("..2026_01_31")
    (tmp_path / "profiled.conf").symlink_to("..data/profiled.conf")
    assert is_read(check(tmp_path / "profiled.conf"))


def test_standard_input_is_read_from_a_file_and_from_a_pipe(file):
    with open(file, "rb") as stdin:
        assert is_read(check("/dev/stdin", stdin=stdin))
    read, write = os.pipe()
    os.write(write, TEXT)
    os.close(write)
    assert is_read(check("/dev/stdin", stdin=read))
    assert is_read(check("/proc/self/fd/0", stdin=open(file, "rb")))


def test_process_substitution_is_read(file):
    run = subprocess.run(
        ["bash", "-c", f'"{BINARY}" --check-config --config <(cat "{file}")'],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert is_read(run)


def test_fifo_is_read_to_its_end_in_pieces(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    def write():
        with open(fifo, "wb", buffering=0) as target:
            for byte in TEXT:
                target.write(bytes([byte]))

    thread = threading.Thread(target=write)
    thread.start()
    assert is_read(check(fifo))
    thread.join(20)


def test_pipe_that_is_non_blocking_is_waited_for(file):
    read, write = os.pipe()
    os.set_blocking(read, False)
    timer = threading.Timer(0.3, lambda: (os.write(write, TEXT), os.close(write)))
    timer.start()
    assert is_read(check("/dev/stdin", stdin=read))


@pytest.mark.parametrize(
    "path,texts",
    [
        (".", ["Is a directory"]),
        ("missing", ["No such file"]),
        ("loop", ["symbolic links"]),
        ("/proc/self/mem", ["read of", "failed"]),
        ("/dev/zero", ["a larger file"]),
    ],
)
def test_what_cannot_be_read_is_an_error(tmp_path, path, texts):
    (tmp_path / "loop").symlink_to("loop")
    rejected(check(path if path.startswith("/") else tmp_path / path), "cannot be read", *texts)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_an_error(file):
    file.chmod(0)
    rejected(check(file), "Permission denied")


def test_byte_order_mark_is_skipped(file):
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.replace(b"\n", b"\r\n"))
    assert is_read(check(file))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named(file, encoding):
    file.write_bytes(TEXT.decode().encode(encoding))
    rejected(check(file), "UTF-16", "UTF-8")


def test_data_directory_behind_a_link_is_served(tmp_path):
    (tmp_path / "volume").mkdir()
    (tmp_path / "data").symlink_to("volume")
    who = custom()
    server = Server(tmp_path / "data").start()
    profiles_pb2_grpc.ProfilesStub(server.channel()).Track(track(who))
    assert server.stop() == 0
    assert list((tmp_path / "volume").glob("*.log")) and (tmp_path / "data").is_symlink()
    server = Server(tmp_path / "volume").start()
    assert profiles_pb2_grpc.ProfilesStub(server.channel()).GetProfile(get(who)).profile.revision == 1
    assert server.stop() == 0


def test_data_directory_behind_a_dangling_link_is_rejected(tmp_path):
    (tmp_path / "data").symlink_to("volume")
    server = Server(tmp_path / "data").start(wait=False)
    assert server.process.wait(30) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
