"""A file system of a few MiB in a mount namespace of its own, which ends with the process that holds it."""

import contextlib
import os
import pathlib
import signal
import subprocess
import threading

from conftest import Server


class SmallDisk:
    """An ext4 on a loop device, or a tmpfs of the same size where loop devices are not available.

    Processes started with `wrapper` see the mount at `path`, all others through the holder's root.
    """

    def __init__(self, folder, size_bytes):
        self.folder, self.size_bytes = pathlib.Path(folder), size_bytes
        self.path = self.folder / "disk"
        self.kind = None
        self.servers = []

    def server(self, *flags):
        """A server on this disk, not started; it is ended with the disk at the latest."""
        self.servers.append(Server(self.path / "data", *flags, wrapper=self.wrapper))
        return self.servers[-1]

    def __enter__(self):
        self.path.mkdir()
        image = self.folder / "image"
        with open(image, "wb") as file:
            file.truncate(self.size_bytes)
        candidates = (
            ("ext4", ["unshare", "-m"], f"mkfs.ext4 -q -F -m 0 {image} && mount -o loop {image} {self.path}"),
            ("tmpfs", ["unshare", "-m"], f"mount -t tmpfs -o size={self.size_bytes} none {self.path}"),
            ("tmpfs", ["unshare", "-rm"], f"mount -t tmpfs -o size={self.size_bytes} none {self.path}"),
        )
        self.why_not = []
        for kind, unshare, mount in candidates:
            holder = subprocess.Popen(
                [*unshare, "sh", "-c", f"{mount} && echo ready && exec sleep infinity"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            if holder.stdout.readline() == "ready\n":
                self.holder, self.kind = holder, kind
                user = ["-U", "--preserve-credentials"] if "-rm" in unshare else []
                self.wrapper = ("nsenter", "-t", str(holder.pid), *user, "-m")
                self.outside = pathlib.Path(f"/proc/{holder.pid}/root{self.path}")
                return self
            self.why_not.append(f"{kind}: {holder.stderr.read().strip()}")
            holder.wait(10)
        return self

    def __exit__(self, *_):
        # A mount exists as long as any of its processes.
        for server in self.servers:
            if server.process and server.process.poll() is None:
                server.stop(signal.SIGKILL)
        if self.kind:
            self.holder.kill()
            self.holder.wait(10)

    @property
    def free_bytes(self):
        status = os.statvfs(self.outside)
        return status.f_bavail * status.f_frsize

    def fill(self, leave=0):
        """Fills the free space with a ballast file; returns its size in bytes."""
        path = self.outside / "ballast"
        with open(path, "ab") as file:
            for step in (256 << 10, 16 << 10, 1 << 10):
                while self.free_bytes > leave + step:
                    try:
                        os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, step)
                    except OSError:
                        break
            return os.fstat(file.fileno()).st_size

    @contextlib.contextmanager
    def held_full(self):
        """Keeps the disk full for the duration of the block; otherwise the log space that a snapshot frees would
        suffice for the next segment."""
        stop = threading.Event()

        def hold():
            while not stop.wait(0.001):
                self.fill()

        thread = threading.Thread(target=hold)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def free(self):
        (self.outside / "ballast").unlink(missing_ok=True)
