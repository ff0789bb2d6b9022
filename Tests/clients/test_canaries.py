"""The deliberate faults of the simulator's own build are in no other build, and are few and short."""

import os
import re

import pytest

from conftest import BINARY, ROOT

BEGIN = re.compile(r"^\s*#if CANARIES\s*$")
END = re.compile(r"^\s*#endif\s*$")
# Lines between `#if CANARIES` and `#endif`, `#else` and what it repeats included: a condition and what follows from it.
LINES_MAX = 4
# Not the product; whole files here are about the faults alone.
SIMULATOR = ("Sources/Simulator/", "Sources/profile-simulator/")
SWITCH = "Sources/Bytes/Canary.swift"


def blocks(text):
    """The lines of each block of a file, without the directives around them."""
    found, block = [], None
    for line in text.splitlines():
        if BEGIN.match(line):
            assert block is None, "blocks are not nested"
            block = []
        elif END.match(line) and block is not None:
            found.append(block)
            block = None
        elif block is not None:
            block.append(line)
    assert block is None, "a block has its end"
    return found


def sources(folder="Sources"):
    for path in sorted((ROOT / folder).rglob("*.swift")):
        yield str(path.relative_to(ROOT)), path.read_text()


def test_a_block_is_a_few_lines():
    product = {path: blocks(text) for path, text in sources() if path != SWITCH and not path.startswith(SIMULATOR)}
    long = [(path, block) for path, found in product.items() for block in found if len(block) > LINES_MAX]
    assert long == []
    assert sum(map(len, product.values())) >= 12


def test_what_counts_blocks_finds_them():
    assert blocks("a\n#if CANARIES\n    b\n    c\n#endif\nd\n") == [["    b", "    c"]]
    assert blocks("#if OTHER\n    b\n#endif\n") == []


def test_nothing_names_the_switch_outside_of_a_block():
    """So that a build without the flag cannot depend on it."""
    for path, text in sources():
        rest = re.sub(r"(?ms)^\s*#if CANARIES\s*$.*?^\s*#endif\s*$", "", text)
        code = "\n".join(line.split("//")[0] for line in rest.splitlines())
        assert not re.search(r"\bCanary(\.|Choice|Search)", code), path


def test_every_fault_is_used_and_there_are_at_least_twelve():
    cases = re.findall(r"^\s*case (\w+)", (ROOT / SWITCH).read_text(), re.MULTILINE)
    used = "\n".join(text for path, text in sources() if path != SWITCH)
    assert len(cases) >= 12
    assert [name for name in cases if not re.search(rf"\.{name}(\.isActive|\b)", used)] == []


@pytest.mark.parametrize("name", ["profiled", "profilectl", "profile-bench", "profile-simulator"])
def test_no_build_without_the_flag_has_a_fault(name):
    binary = BINARY.parent / name
    if not binary.exists():
        pytest.skip(f"{name} is not built")
    content = binary.read_bytes()
    assert b"PROFILES_CANARIES" not in content
    cases = re.findall(r"^\s*case (\w+)", (ROOT / SWITCH).read_text(), re.MULTILINE)
    # Mangled names of the type, and the names of its cases, which reflection would need.
    assert b"5Bytes6Canary" not in content
    assert [case for case in cases if case.encode() in content] == []


def test_the_flag_is_given_to_builds_that_ask_for_it_alone():
    manifest = (ROOT / "Package.swift").read_text()
    assert manifest.count('.define("CANARIES")') == 1
    asked = manifest.index('environment["PROFILES_CANARIES"] != nil {')
    assert asked < manifest.index('.define("CANARIES")')
    assert os.environ.get("PROFILES_CANARIES") is None, "the binaries of this run are those of a plain build"
