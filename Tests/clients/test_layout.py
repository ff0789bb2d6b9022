"""Import lines obey the picture of docs/ARCHITECTURE.md: nothing points upwards."""

import re

import pytest

from conftest import ROOT

SYSTEM = {"Foundation", "Glibc", "Dispatch", "Synchronization", "Testing", "FoundationEssentials"}
# Target -> modules it may import, system modules included.
ALLOWED = {
    "Bytes": {"Synchronization"},
    "Profiles": {"Bytes", "Synchronization"},
    "ManualPages": set(),
    "IOCore": {"Bytes", "Synchronization"},
    "IOLinux": {"IOCore", "Bytes", "CLinux", "Glibc", "Synchronization"},
    "IOTLS": {"IOCore", "COpenSSL", "Synchronization"},
    "IOSimulation": {"Storage", "IOCore", "Bytes", "Synchronization"},
    "GRPCTransport": {"IOCore", "Bytes", "CNGHTTP2", "Synchronization"},
    "Storage": {"IOCore", "Bytes", "CCRC32C", "Synchronization"},
    "Messages": {"Profiles", "Bytes", "CMessages", "CProtobufC", "Synchronization"},
    "ProfileService": {"GRPCTransport", "Storage", "Messages", "Profiles", "IOCore", "Bytes", "Synchronization"},
    "ProfileServer": {
        "ProfileService",
        "ProfileClient",
        "GRPCTransport",
        "Storage",
        "Profiles",
        "IOLinux",
        "IOTLS",
        "IOCore",
        "Bytes",
        "ManualPages",
        "CNGHTTP2",
        "CProtobufC",
        "Glibc",
        "Foundation",
        "Synchronization",
    },
    "profiled": {"ProfileServer", "IOLinux", "Glibc"},
    "ProfileClient": {"CNGHTTP2", "CMessages", "CProtobufC", "COpenSSL", "CLinux", "Glibc"},
    "ProfileOffline": {"ProfileService", "Storage", "Messages", "Profiles", "IOLinux", "IOCore", "Bytes"},
    "ProfileTool": {"ProfileClient", "ProfileOffline", "ManualPages", "Glibc"},
    "profilectl": {"ProfileTool", "IOLinux", "Glibc"},
    "profile-bench": {"ProfileClient", "IOLinux", "Glibc", "Foundation", "Dispatch", "Synchronization"},
    "TestSupport": {
        "ProfileService",
        "ProfileClient",
        "GRPCTransport",
        "Profiles",
        "Storage",
        "IOSimulation",
        "IOCore",
        "CNGHTTP2",
        "Synchronization",
    },
    "Simulator": {
        "TestSupport",
        "ProfileService",
        "ProfileClient",
        "GRPCTransport",
        "Storage",
        "Messages",
        "Profiles",
        "IOSimulation",
        "IOCore",
        "Bytes",
        "Synchronization",
    },
    "profile-simulator": {"Simulator", "Foundation"},
    "profile-paths": {
        "TestSupport",
        "ProfileClient",
        "GRPCTransport",
        "Storage",
        "Messages",
        "Profiles",
        "IOSimulation",
        "IOLinux",
        "IOCore",
        "Bytes",
        "Glibc",
    },
}
# Where a target is that is not in Sources/NAME.
FOLDERS = {"TestSupport": "Tests/Support", "CMessages": "Generated"}
SHIMS = {"CNGHTTP2", "CProtobufC", "COpenSSL", "CLinux", "CCRC32C"}
# What only tests, the simulator and measurements may depend on.
TEST_ONLY = {"TestSupport", "IOSimulation", "Simulator", "profile-simulator", "profile-paths"}
# The files of FuzzTests, built by scripts/fuzz.sh as an executable and by nothing else.
FUZZER = "profiles-fuzz"
IMPORT = re.compile(
    r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:package|public|internal|private|fileprivate)\s+)?import\s+"
    r"(?:(?:struct|class|enum|func|protocol|typealias|let|var)\s+)?(\w+)",
    re.MULTILINE,
)


def imports(target):
    for path in sorted((ROOT / FOLDERS.get(target, f"Sources/{target}")).rglob("*.swift")):
        for module in IMPORT.findall(path.read_text()):
            yield str(path.relative_to(ROOT)), module


def test_every_target_has_a_rule():
    folders = {path.name for path in (ROOT / "Sources").iterdir() if path.is_dir()}
    assert folders == (set(ALLOWED) | SHIMS) - set(FOLDERS)


@pytest.mark.parametrize("target", ALLOWED)
def test_imports_point_downwards(target):
    assert [(path, name) for path, name in imports(target) if name not in ALLOWED[target]] == []


@pytest.mark.parametrize("target", ["Bytes", "Profiles"])
def test_pure_targets_import_no_system(target):
    assert {name for _, name in imports(target)} & (SYSTEM - {"Synchronization"}) == set()


def manifest():
    """{target: its dependencies} of Package.swift, test targets included."""
    text = (ROOT / "Package.swift").read_text()
    text = re.sub(r',\s*condition: \.when\(traits: \["\w+"\]\)', "", text)
    pattern = re.compile(
        r'\.(?:target|executableTarget|systemLibrary|testTarget)\(\s*name: "([^"]+)"(?:,\s*dependencies: \[([^\]]*)\])?'
    )
    return {name: set(re.findall(r'"([^"]+)"', dependencies)) for name, dependencies in pattern.findall(text)}


def test_package_manifest_agrees_with_the_rules():
    targets = manifest()
    tests = {path.name for path in (ROOT / "Tests").glob("*Tests")}
    assert set(targets) == set(ALLOWED) | SHIMS | {"CMessages", FUZZER} | tests
    for name in ALLOWED:
        assert targets[name] <= ALLOWED[name], name
        # What a file imports must be a dependency too, or the target builds by luck.
        assert {module for _, module in imports(name)} & set(targets) <= targets[name], name


def test_only_tests_depend_on_simulations():
    for name, dependencies in manifest().items():
        if not name.endswith("Tests") and name not in TEST_ONLY | {FUZZER}:
            assert not dependencies & TEST_ONLY, name


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


def held_by():
    """{row: its cell "Held by"} of docs/conformance.md."""
    text = (ROOT / "docs/conformance.md").read_text()
    return dict(re.findall(r"^\| ([A-Z]\d+) \|.*\| ([^|]+) \|$", text, re.MULTILINE))


def names_of_tests():
    """Functions and suites of both languages, files of Python tests, targets of the Makefile."""
    names = {f"make {target}" for target in re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)}
    for path in [*(ROOT / "Tests").rglob("*.swift"), *(ROOT / "Tests").rglob("*.py")]:
        text = path.read_text()
        names |= {path.name, *re.findall(r"\b(?:func|def|struct) (\w+)", text)}
    return names


def test_every_row_of_conformance_is_held_by_tests_that_exist():
    rows, tests = held_by(), names_of_tests()
    assert len(rows) >= 100 and {"G1", "C13", "H5", "R3", "A15", "S34", "F14"} <= set(rows)
    for row, cell in rows.items():
        named = re.findall(r"`([^`]+)`", cell)
        assert named or re.fullmatch(r"no test of its own|not built|rows [HR]", cell), row
        assert set(named) <= tests, row
