"""What the tests of packages share: the package itself, built once, and its unit."""

import os
import pathlib
import subprocess

from conftest import BINARY, ROOT

UNIT = ROOT / "packaging/debian/profiled.service"


def build(folder, version=None):
    """Makes the package of the binaries under test in a folder, and returns its path."""
    # The lowest level of compression: of no interest here, and ten times as fast.
    environment = os.environ | {"BINARIES": str(BINARY.parent), "TARGET": str(folder), "DEB_LEVEL": "0"}
    if version:
        environment["DEB_VERSION"] = version
    result = subprocess.run(
        [ROOT / "packaging/debian/build.sh"], env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return pathlib.Path(result.stdout.strip())


def field(package, name):
    """One field of a package's control file."""
    result = subprocess.run(["dpkg-deb", "-f", package, name], check=True, capture_output=True, text=True)
    return result.stdout.strip()


def unit_lines(key):
    """Every value of one key of the unit."""
    pairs = (line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line and line[0] != "#")
    return [value for name, value in pairs if name == key]
