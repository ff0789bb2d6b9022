"""The image without a container engine: the root that its files are made of, run as the image is, and the manifests and
the bill of materials as far as their schemas and the server itself can tell whether they are right."""

import json
import os
import pathlib
import re
import subprocess

import kubernetes_validate
import pytest
import yaml
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from conftest import BINARY, ROOT, Server, custom, get, profiles_pb2_grpc, track, wait_until

IMAGE_BYTES_MAX = 48 << 20
USER = 65532
KUBERNETES = "1.31"
MANIFESTS = ["configmap", "service", "statefulset", "poddisruptionbudget", "networkpolicy"]
# As the image runs: its own user, a root that cannot be written to, no variable but its own, no /proc and no /dev.
RUN = f"""
root=$0
mount --bind "$root" "$root"
mount --bind "$DATA" "$root/data"
mount -o remount,bind,ro "$root"
shift
exec /usr/bin/env -i PROFILES_DATA_DIR=/data/profiles \
    /usr/sbin/chroot --userspec={USER}:{USER} "$root" /usr/bin/profiled "$@"
"""

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="mounts and chroot need root")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image") / "root"
    script = ROOT / "packaging/container/make-root.sh"
    result = subprocess.run([script, folder, BINARY.parent], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return folder


def test_the_image_has_the_programs_and_what_they_load_and_nothing_else(root):
    files = [path for path in root.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < IMAGE_BYTES_MAX
    programs = {path.name for path in files if path.parent.name in ("bin", "sbin")}
    assert programs == {"profiled", "profilectl"}
    others = {path.name for path in files if os.access(path, os.X_OK)} - programs
    assert all(re.search(r"\.so(\.\d+)*$", name) for name in others), others
    assert (root / "etc/passwd").read_text().splitlines()[1].startswith(f"profiles:x:{USER}:{USER}:")


@needs_root
def test_the_image_serves_with_a_root_that_cannot_be_written_to(root, tmp_path):
    data = tmp_path / "volume"
    data.mkdir()
    os.chown(data, USER, USER)
    server = Server("/data/profiles", wrapper=("unshare", "-m", "env", f"DATA={data}", "sh", "-euc", RUN, str(root)))
    # pytest's folders are closed to others.
    for folder in [root, *root.parents][:3]:
        folder.chmod(folder.stat().st_mode | 0o011)
    try:
        stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
        who = custom()
        stub.Track(track(who))
        assert stub.GetProfile(get(who)).profile.event_counters[0].count == 1
        status = pathlib.Path(f"/proc/{server.pid}/status").read_text()
        assert re.search(rf"^Uid:\s+{USER}\s+{USER}\s", status, re.MULTILINE)
        tool = ["chroot", f"--userspec={USER}:{USER}", root, "/usr/bin/profilectl"]
        health = [*tool, "--address", server.listen, "health"]
        assert subprocess.run(health, timeout=60, capture_output=True).returncode == 0
        assert (data / "profiles/LOCK").exists()
        assert server.stop() == 0
        # What HEALTHCHECK tells of a server that is gone.
        assert subprocess.run([*health, "--timeout", "1s"], timeout=60, capture_output=True).returncode == 3
    finally:
        if server.process and server.process.poll() is None:
            server.process.kill()


def instructions():
    text = re.sub(r"\\\n", " ", (ROOT / "packaging/Containerfile").read_text())
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, " ".join(rest.split())) for name, rest in lines]


def test_the_containerfile_agrees_with_the_repository():
    found = instructions()
    last = found[max(index for index, (name, _) in enumerate(found) if name == "FROM") :]
    assert last[0] == ("FROM", "scratch")
    assert ("USER", f"{USER}:{USER}") in last and ("VOLUME", "/data") in last
    health = json.loads(next(rest for name, rest in last if name == "HEALTHCHECK").split(" CMD ", 1)[1])
    assert health[:2] == ["/usr/bin/profilectl", "health"]
    assert ("ENTRYPOINT", '["/usr/bin/profiled"]') in last
    sources = [rest.split()[0] for name, rest in found if name == "COPY" and "--from" not in rest]
    assert sources and all((ROOT / source).exists() for source in sources)
    # Every folder that the manifest names, or SwiftPM rejects it.
    paths = set(re.findall(r'path: "([^"/]+)', (ROOT / "Package.swift").read_text())) | {"Sources", "Tests"}
    assert paths <= set(sources)


def manifest(name):
    return yaml.safe_load((ROOT / f"packaging/kubernetes/{name}.yaml").read_text())


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_manifests_are_valid(name):
    kubernetes_validate.validate(manifest(name), KUBERNETES, strict=True)


def test_a_wrong_manifest_would_be_found():
    wrong = manifest("statefulset")
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_the_manifests_agree_with_each_other_and_with_the_server(tmp_path):
    assert manifest("kustomization")["resources"] == [f"{name}.yaml" for name in MANIFESTS]
    pod = manifest("statefulset")["spec"]["template"]
    container = pod["spec"]["containers"][0]
    labels = pod["metadata"]["labels"]
    selectors = [
        manifest("service")["spec"]["selector"],
        manifest("poddisruptionbudget")["spec"]["selector"]["matchLabels"],
        manifest("networkpolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector == labels for selector in selectors)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    # As kubelet mounts a ConfigMap: a link to a link to the file.
    (tmp_path / "..2026").mkdir()
    text = manifest("configmap")["data"]["profiled.conf"]
    (tmp_path / "..2026/profiled.conf").write_text(text)
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "profiled.conf").symlink_to("..data/profiled.conf")
    key = subprocess.run([BINARY.with_name("profilectl"), "key", "new"], capture_output=True, text=True).stdout
    result = subprocess.run(
        [BINARY, "--config", tmp_path / "profiled.conf", "--check-config"],
        env={"PROFILES_OPERATOR_KEY": key},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    values = dict(re.findall(r"^([a-z-]+) = (.*)$", result.stdout, re.MULTILINE))
    assert values["listen"] == f"0.0.0.0:{ports['grpc']}" and values["admin-listen"] == f"0.0.0.0:{ports['admin']}"
    # The drain, the time of a last sync that the service manager is told of, less than kubelet waits.
    assert int(values["drain-seconds"]) + 60 <= pod["spec"]["terminationGracePeriodSeconds"]
    assert values["data-dir"].startswith(container["volumeMounts"][0]["mountPath"] + "/")
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["spec"]["securityContext"]["runAsUser"] == USER


def test_the_probes_are_pages_of_the_server(shared):
    container = manifest("statefulset")["spec"]["template"]["spec"]["containers"][0]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        path = container[probe]["httpGet"]["path"]
        assert wait_until(lambda path=path: shared.get(path)[0] == 200)


@pytest.fixture(scope="module")
def bill(tmp_path_factory):
    path = tmp_path_factory.mktemp("bill") / "profiles.spdx.json"
    script = ROOT / "scripts/sbom.py"
    with path.open("w") as file:
        subprocess.run([script, BINARY.parent], stdout=file, check=True, timeout=120)
    return path


def test_the_bill_of_materials_is_valid_spdx(bill):
    assert validate_full_spdx_document(parse_file(str(bill))) == []


def test_the_bill_of_materials_names_what_the_programs_consist_of(bill):
    document = json.loads(bill.read_text())
    versions = {package["name"]: package["versionInfo"] for package in document["packages"]}
    related = {
        (relation["relationshipType"], relation["relatedSpdxElement"].removeprefix("SPDXRef-"))
        for relation in document["relationships"]
    }
    for name in ("libnghttp2-14", "libprotobuf-c1", "libc6", "libstdc++6"):
        installed = subprocess.run(["dpkg-query", "-W", "-f=${Version}", name], capture_output=True, text=True).stdout
        assert versions[name] == installed
        assert ("DYNAMIC_LINK", re.sub(r"[^A-Za-z0-9.-]", "-", name)) in related
    assert ("STATIC_LINK", "swift-runtime") in related and re.fullmatch(r"6\.\d+(\.\d+)?", versions["swift-runtime"])
    sums = {file["fileName"]: file["checksums"][1]["checksumValue"] for file in document["files"]}
    for name in ("profiled", "profilectl"):
        counted = subprocess.run(["sha256sum", BINARY.with_name(name)], capture_output=True, text=True).stdout
        assert sums[f"./{name}"] == counted.split()[0]
