#!/usr/bin/env python3
"""Prints what a build consists of, as an SPDX 2.3 document in JSON.

The programs with their checksums; the Swift runtime, which is linked into them; the libraries that they load, as dpkg
knows them; and what they were built with. Nothing is asked of the network. The same build gives the same document.

Usage: scripts/sbom.py [BINARIES]   (default: .build/release; SOURCE_DATE_EPOCH: the time of the document)
"""

import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROGRAMS = ("profiled", "profilectl")
# Their headers are compiled into the programs.
HEADERS = ("libnghttp2-dev", "libprotobuf-c-dev")
NAMESPACE = "https://profiles.example/spdx"


def run(*arguments):
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.strip()


def identifier(name):
    """SPDX allows letters, digits, dots and hyphens."""
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)


def package(name, version, supplier, license_text="NOASSERTION", locator=None):
    entry = {
        "SPDXID": identifier(name),
        "name": name,
        "versionInfo": version,
        "supplier": supplier,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": license_text,
        "licenseDeclared": license_text,
        "copyrightText": "NOASSERTION",
    }
    if locator:
        entry["externalRefs"] = [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}
        ]
    return entry


def debian_package(name):
    """A package that dpkg has installed, by its name or NAME:ARCHITECTURE."""
    fields = run("dpkg-query", "-W", "-f=${Package}\t${Version}\t${Architecture}", name).split("\t")
    name, version, architecture = fields
    locator = f"pkg:deb/debian/{name}@{version.replace('+', '%2B')}?arch={architecture}"
    return package(name, version, "Organization: Debian", locator=locator)


def loaded_packages(binaries):
    """The packages of the libraries that the programs load."""
    text = run("ldd", *(str(binaries / program) for program in PROGRAMS))
    paths = sorted(set(re.findall(r"(/\S+) \(0x", text)))
    names = set()
    for path in paths:
        for spelling in (os.path.realpath(path), path):
            found = subprocess.run(["dpkg-query", "-S", spelling], capture_output=True, text=True)
            if found.returncode == 0:
                names.add(found.stdout.split(": ")[0])
                break
        else:
            sys.exit(f"{path} belongs to no package: build with -c release, on a machine whose libraries dpkg knows")
    return [debian_package(name) for name in sorted(names)]


def program_file(path):
    content = path.read_bytes()
    return {
        "SPDXID": identifier(f"file-{path.name}"),
        "fileName": f"./{path.name}",
        "fileTypes": ["BINARY"],
        "checksums": [
            {"algorithm": "SHA1", "checksumValue": hashlib.sha1(content).hexdigest()},
            {"algorithm": "SHA256", "checksumValue": hashlib.sha256(content).hexdigest()},
        ],
        "licenseConcluded": "NOASSERTION",
        "licenseInfoInFiles": ["NOASSERTION"],
        "copyrightText": "NOASSERTION",
    }


def program_package(version, files):
    sums = sorted(file["checksums"][0]["checksumValue"] for file in files)
    entry = package("profiles", version, "NOASSERTION")
    entry["filesAnalyzed"] = True
    entry["packageVerificationCode"] = {
        # SPDX 2.3, section 7.9: SHA-1 of the sorted SHA-1 sums of the files.
        "packageVerificationCodeValue": hashlib.sha1("".join(sums).encode()).hexdigest()
    }
    entry["hasFiles"] = [file["SPDXID"] for file in files]
    entry["licenseInfoFromFiles"] = ["NOASSERTION"]
    return entry


def swift_version():
    found = re.search(r"Swift version (\S+)", run("swift", "--version"))
    return found[1] if found else sys.exit("swift --version names no version")


def document(binaries):
    if re.search(r"\.package\(", (ROOT / "Package.swift").read_text()):
        sys.exit("Package.swift has dependencies, which this document would not name")
    version = run(str(binaries / "profiled"), "--version").split()[1]
    files = [program_file(binaries / program) for program in PROGRAMS]
    whole = program_package(version, files)
    swift = package(
        "swift-runtime", swift_version(), "Organization: Swift project", "Apache-2.0 WITH Swift-exception"
    )
    compiler = swift | {"SPDXID": identifier("swift-toolchain"), "name": "swift-toolchain"}
    loaded = loaded_packages(binaries)
    headers = [debian_package(name) for name in HEADERS]
    related = [("SPDXRef-DOCUMENT", "DESCRIBES", whole["SPDXID"])]
    related += [(whole["SPDXID"], "CONTAINS", file["SPDXID"]) for file in files]
    related += [(whole["SPDXID"], "STATIC_LINK", swift["SPDXID"])]
    related += [(whole["SPDXID"], "DYNAMIC_LINK", entry["SPDXID"]) for entry in loaded]
    related += [(entry["SPDXID"], "BUILD_DEPENDENCY_OF", whole["SPDXID"]) for entry in headers]
    related += [(compiler["SPDXID"], "BUILD_TOOL_OF", whole["SPDXID"])]
    code = whole["packageVerificationCode"]["packageVerificationCodeValue"]
    created = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.timezone.utc)
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"profiles-{version}",
        "documentNamespace": f"{NAMESPACE}/profiles-{version}-{code}",
        "creationInfo": {
            "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: scripts/sbom.py"],
        },
        "packages": [whole, swift, compiler, *loaded, *headers],
        "files": files,
        "relationships": [
            {"spdxElementId": left, "relationshipType": kind, "relatedSpdxElement": right}
            for left, kind, right in related
        ],
    }


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".build/release"
    json.dump(document(folder), sys.stdout, indent=1)
    print()
