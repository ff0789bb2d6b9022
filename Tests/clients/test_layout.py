"""Import lines obey the picture of docs/ARCHITECTURE.md: nothing points upwards."""

import re

import pytest

from conftest import ROOT

SYSTEM = {"Foundation", "Glibc", "Dispatch", "Synchronization", "Testing", "FoundationEssentials"}
# Target -> modules it may import, system modules included.
ALLOWED = {
    "Bytes": {"Synchronization"},
    "Profiles": {"Bytes", "Synchronization"},
    "IOCore": {"Bytes", "Synchronization"},
    "IOLinux": {"IOCore", "Bytes", "CLinux", "Glibc", "Synchronization"},
    "IOSimulation": {"Storage", "IOCore", "Bytes", "Synchronization"},
    "GRPCTransport": {"IOCore", "Bytes", "CNGHTTP2", "Synchronization"},
    "Storage": {"IOCore", "Bytes", "CCRC32C", "Synchronization"},
    "Messages": {"Profiles", "Bytes", "CMessages", "CProtobufC", "Synchronization"},
    "ProfileService": {"GRPCTransport", "Storage", "Messages", "Profiles", "IOCore", "Bytes", "Synchronization"},
    "ProfileServer": {
        "ProfileService",
        "GRPCTransport",
        "Storage",
        "Profiles",
        "IOLinux",
        "IOCore",
        "Bytes",
        "CNGHTTP2",
        "CProtobufC",
        "Glibc",
        "Foundation",
        "Synchronization",
    },
    "profiled": {"ProfileServer", "Foundation"},
    "ProfileClient": {"CNGHTTP2", "CMessages", "CProtobufC", "Glibc"},
    "ProfileOffline": {"ProfileService", "Storage", "Messages", "Profiles", "IOLinux", "IOCore", "Bytes"},
    "ProfileTool": {"ProfileClient", "ProfileOffline", "Glibc", "Foundation"},
    "profilectl": {"ProfileTool", "Foundation"},
    "profile-bench": {"ProfileClient", "Glibc", "Foundation", "Dispatch", "Synchronization"},
}
SHIMS = {"CNGHTTP2", "CProtobufC", "CLinux", "CCRC32C"}
IMPORT = re.compile(
    r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:package|public|internal|private|fileprivate)\s+)?import\s+"
    r"(?:(?:struct|class|enum|func|protocol|typealias|let|var)\s+)?(\w+)",
    re.MULTILINE,
)


def imports(target):
    for path in sorted((ROOT / "Sources" / target).rglob("*.swift")):
        for module in IMPORT.findall(path.read_text()):
            yield str(path.relative_to(ROOT)), module


def test_every_target_has_a_rule():
    folders = {path.name for path in (ROOT / "Sources").iterdir() if path.is_dir()}
    assert folders == set(ALLOWED) | SHIMS


@pytest.mark.parametrize("target", ALLOWED)
def test_imports_point_downwards(target):
    assert [(path, name) for path, name in imports(target) if name not in ALLOWED[target]] == []


@pytest.mark.parametrize("target", ["Bytes", "Profiles"])
def test_pure_targets_import_no_system(target):
    assert {name for _, name in imports(target)} & (SYSTEM - {"Synchronization"}) == set()


def test_package_manifest_agrees_with_the_rules():
    text = (ROOT / "Package.swift").read_text()
    pattern = re.compile(r'\.(?:target|executableTarget)\(\s*name: "([^"]+)"(?:,\s*dependencies: \[([^\]]*)\])?')
    for name, dependencies in pattern.findall(text):
        found = set(re.findall(r'"([^"]+)"', dependencies))
        if name in ALLOWED:
            assert found <= ALLOWED[name], name


def test_every_rule_of_durability_is_held_by_tests_of_its_name():
    """docs/durability.md names tests that exist, and some for each of L1 to L21; `F5_...` stands for all that begin
    so."""
    tests = set()
    for path in [*(ROOT / "Tests").rglob("*.swift"), *(ROOT / "Tests").rglob("*.py")]:
        tests |= set(re.findall(r"(?:func|def) ((?:test_)?[LF]\d+_\w+)", path.read_text()))
    rows = dict(re.findall(r"^\| (L\d+) \|(.*)$", (ROOT / "docs/durability.md").read_text(), re.MULTILINE))
    assert list(rows) == [f"L{number}" for number in range(1, 22)]
    for rule, row in rows.items():
        named = re.findall(r"`((?:test_)?[LF]\d+_[\w.]+)`", row)
        for name in named:
            assert name in tests or name.endswith("...") and any(test.startswith(name[:-3]) for test in tests), name
        assert any(re.search(rf"(^|_){rule}_", name) for name in named), rule
