"""The Debian package in a Debian of its own: installed, started as its unit starts it, upgraded over the running data
directory, removed, installed again, and purged with both choices. `make deb-test` runs it: it needs root, Debian's
archive and a minute.

systemd cannot be the first process of a test, so the test does what it would: runs ExecStart= as the unit's user with a
socket for NOTIFY_SOCKET, and ends it with SIGTERM.
"""

import json
import os
import shutil
import signal
import stat
import subprocess
import threading

import pytest

from conftest import BINARY, wait_until
from package_files import UNIT, build, unit_lines
from test_supervisor import Manager

# `make`, or a folder in which mmdebstrap has made a Debian before.
ROOT_FOLDER = os.environ.get("PROFILES_DEBIAN_ROOT")
OPERATORS = "etc/profiles/operators"
CONFIGURATION = "etc/profiles/profiled.conf"

pytestmark = pytest.mark.skipif(
    not ROOT_FOLDER or os.getuid() != 0, reason="make deb-test: needs root, and a Debian from Debian's archive"
)


class Debian:
    """A minimal Debian 12 in a folder."""

    def __init__(self, folder):
        self.root = folder
        if ROOT_FOLDER == "make":
            make = ["mmdebstrap", "--variant=minbase", "bookworm", folder, "http://deb.debian.org/debian"]
        else:
            make = ["cp", "-a", f"{ROOT_FOLDER}/.", folder]
        subprocess.run(make, check=True, capture_output=True, timeout=600)
        shutil.copy("/etc/resolv.conf", folder / "etc/resolv.conf")
        self.run("apt-get", "update", "-q")

    def run(self, *command, check=True):
        result = subprocess.run(
            ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C",
             "chroot", self.root, *command],
            capture_output=True,
            text=True,
            timeout=300,
        )  # fmt: skip
        assert not check or result.returncode == 0, result.stdout + result.stderr
        return result

    def install(self, package):
        shutil.copy(package, self.root / "tmp")
        return self.run("apt-get", "install", "-y", "--no-install-recommends", f"/tmp/{package.name}")

    def choose(self, value):
        self.run("sh", "-c", f"echo 'profiles profiles/purge-data boolean {value}' | debconf-set-selections")

    def mode_and_owner(self, path):
        status = (self.root / path).stat()
        users = dict(line.split(":")[0:3:2] for line in (self.root / "etc/passwd").read_text().splitlines())
        owner = next(name for name, number in users.items() if int(number) == status.st_uid)
        return stat.S_IMODE(status.st_mode), owner


class Service:
    """The service as its unit starts it, on ports of its own."""

    def __init__(self, debian):
        self.debian = debian
        (debian.root / "run").mkdir(exist_ok=True)
        path = debian.root / "run/notify"
        path.unlink(missing_ok=True)
        self.manager = Manager(str(path))
        path.chmod(0o666)
        user = unit_lines("User")[0]
        (command,) = unit_lines("ExecStart")
        self.process = subprocess.Popen(
            ["env", "-i", "NOTIFY_SOCKET=/run/notify", "WATCHDOG_USEC=2000000", "PROFILES_LISTEN=127.0.0.1:0",
             "PROFILES_ADMIN_LISTEN=127.0.0.1:0", "/usr/sbin/chroot", f"--userspec={user}:{user}", debian.root,
             *command.split()],
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        self.address = None
        threading.Thread(target=self._read, daemon=True).start()
        assert wait_until(lambda: self.address and self.manager.named("READY"), 60)
        assert wait_until(lambda: self.manager.named("WATCHDOG"), 60)

    def _read(self):
        for line in self.process.stderr:
            if '"message":"serving"' in line:
                self.address = json.loads(line)["listen"]

    def tool(self, *arguments):
        return self.debian.run("profilectl", "--address", self.address, *arguments)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0
        assert wait_until(lambda: self.manager.named("STOPPING"))
        self.manager.close()


@pytest.fixture(scope="module")
def debian(tmp_path_factory):
    folder = tmp_path_factory.mktemp("debian") / "root"
    folder.mkdir()
    # The user of the service must get through pytest's folders.
    for parent in folder.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    yield Debian(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Two packages of the same programs, the second newer."""
    version = subprocess.run([BINARY, "--version"], capture_output=True, text=True).stdout.split()[1]
    return [build(tmp_path_factory.mktemp("packages"), f"{version}-{revision}") for revision in (1, 2)]


def test_installed_upgraded_removed_and_purged(debian, packages):
    root = debian.root
    debian.install(packages[0])
    assert debian.mode_and_owner(OPERATORS) == (0o600, "profiles")
    assert debian.mode_and_owner("var/lib/profiles") == (0o700, "profiles")
    assert (root / "etc/systemd/system/multi-user.target.wants/profiled.service").is_symlink()
    assert (root / "lib/systemd/system/profiled.service").read_text() == UNIT.read_text()
    key = (root / OPERATORS).read_text()
    # As the comment in the configuration says: the key file is of the service's user, and of nobody else.
    check = ("profiled", "--config", f"/{CONFIGURATION}", "--check-config")
    assert debian.run("runuser", "-u", "profiles", "--", *check).returncode == 0
    assert debian.run(*check, check=False).returncode == 2

    service = Service(debian)
    with_key = ("--key-file", f"/{OPERATORS}")
    service.tool("track", "anna", "purchase", "--event-id", "order-1", *with_key)
    # Closed from the first moment: without the key nothing is told.
    assert debian.run("profilectl", "--address", service.address, "get", "anna", check=False).returncode == 1
    assert service.tool("health").returncode == 0
    audited = [json.loads(line) for line in (root / "var/log/profiles/audit.jsonl").read_text().splitlines()]
    assert any(line["reason"] == "missing" for line in audited)

    # An upgrade over the running server and a configuration that was edited: it goes on until it is restarted.
    with (root / CONFIGURATION).open("a") as file:
        file.write("drain-seconds = 5\n")
    debian.install(packages[1])
    assert debian.run("dpkg-query", "-W", "-f=${Version}", "profiles").stdout.endswith("-2")
    assert service.process.poll() is None
    service.tool("track", "anna", "purchase", "--event-id", "order-2", *with_key)
    service.stop()
    service = Service(debian)
    person = json.loads(service.tool("--json", "get", "anna", *with_key).stdout)["profile"]
    assert "drain-seconds = 5" in (root / CONFIGURATION).read_text() and (root / OPERATORS).read_text() == key
    assert "order-1" in service.tool("--json", "events", "anna", *with_key).stdout
    service.stop()
    assert debian.run("profilectl", "verify", "/var/lib/profiles/data").returncode == 0

    # Removed: nothing but the programs has gone; installed again, it goes on with the same key.
    debian.run("apt-get", "remove", "-y", "profiles")
    assert not (root / "usr/sbin/profiled").exists()
    assert (root / OPERATORS).read_text() == key and (root / CONFIGURATION).exists()
    debian.install(packages[1])
    service = Service(debian)
    again = json.loads(service.tool("--json", "get", "anna", *with_key).stdout)["profile"]
    assert again == person
    service.stop()

    # Purged without a choice: data and audit log stay, configuration and key go.
    purged = debian.run("apt-get", "purge", "-y", "profiles")
    assert "/var/lib/profiles and /var/log/profiles are kept" in purged.stdout + purged.stderr
    assert not (root / "etc/profiles").exists() and not (root / "etc/logrotate.d/profiles").exists()
    assert (root / "var/lib/profiles/data").is_dir() and (root / "var/log/profiles/audit.jsonl").exists()
    assert not (root / "etc/systemd/system/multi-user.target.wants/profiled.service").exists()

    # Installed over that data with a new key, and purged with the choice to delete it: data that root has moved behind
    # a link, and what is on file systems of their own, too.
    debian.install(packages[1])
    assert (root / OPERATORS).read_text() != key
    service = Service(debian)
    assert json.loads(service.tool("--json", "get", "anna", *with_key).stdout)["profile"] == person
    service.stop()
    debian.choose("true")
    (root / "srv/people").mkdir()
    (root / "var/lib/profiles/data").rename(root / "srv/people/data")
    debian.run("ln", "-s", "/srv/people/data", "/var/lib/profiles/data")
    volumes = [root / "var/log/profiles", root / "var/lib/profiles/volume"]
    volumes[1].mkdir()
    mounted = []
    try:
        for volume in volumes:
            subprocess.run(["mount", "-t", "tmpfs", "none", volume], check=True)
            mounted.append(volume)
            (volume / "content").touch()
        purged = debian.run("apt-get", "purge", "-y", "profiles")
        assert "profiles: /var" not in purged.stdout + purged.stderr
        assert [list(volume.iterdir()) for volume in volumes] == [[], []]
    finally:
        for volume in mounted:
            subprocess.run(["umount", volume], check=True)
    assert list((root / "var/lib/profiles").iterdir()) == [volumes[1]]
    assert list((root / "srv/people/data").iterdir()) == []

    # A link that the service may have made, to what is not its own.
    debian.install(packages[1])
    (root / "srv/people/other").touch()
    debian.run("ln", "-s", "/srv/people", "/var/lib/profiles/data")
    debian.run("chown", "-h", "profiles:", "/var/lib/profiles/data")
    debian.choose("true")
    purged = debian.run("apt-get", "purge", "-y", "profiles")
    assert "a link that root has not made" in purged.stdout + purged.stderr
    assert (root / "srv/people/other").exists()
    # Nothing of ours is left.
    assert not os.path.lexists(root / "var/lib/profiles") and not os.path.lexists(root / "var/log/profiles")
    users = (root / "etc/passwd").read_text().splitlines()
    assert sum(line.startswith("profiles:") for line in users) == 1
