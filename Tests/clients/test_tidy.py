"""The tree is tidy (scripts/tidy), and each check of it finds what it is for."""

import pathlib
import re
import sys

import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
from tidy import checks, names, shape, source, unsafe, words  # noqa: E402


@pytest.mark.parametrize("name", checks.CHECKS)
def test_the_tree_is_tidy(name):
    found = checks.run(name)
    assert [finding for findings in found.values() for finding in findings] == []


@pytest.mark.skipif(not shape.has_formatter(), reason="the Swift toolchain has no swift-format")
def test_swift_is_formatted():
    assert shape.unformatted("Sources", "Tests", "Package.swift") == []


@pytest.mark.skipif(not shape.has_formatter(), reason="the Swift toolchain has no swift-format")
def test_the_formatter_finds_what_is_not_formatted(tmp_path):
    bad = tmp_path / "Bad.swift"
    bad.write_text("struct Bad {\n  var count : Int\n}\n")
    assert shape.unformatted(str(bad))


def test_every_listed_unsafe_file_is_unsafe():
    assert list(unsafe.superfluous(unsafe.listed())) == []
    assert list(unsafe.superfluous({"Sources/Nothing.swift"})) and unsafe.listed()


def test_the_repository_has_no_large_files():
    """1 MiB: what is larger is made where it is wanted."""
    large = [path for path in source.tracked() if (ROOT / path).stat().st_size > 1 << 20 and not is_ignored_data(path)]
    assert large == []


def is_ignored_data(path):
    return pathlib.PurePath(path).parts[0].startswith(".")


# What each check must find, and what it must not take for it.


def test_lengths_of_lines():
    assert list(shape.long_lines("a.swift", "let text = " + "x + " * 23 + "x"))
    assert not list(shape.long_lines("a.swift", "let text = 1"))
    assert not list(shape.long_lines("a.swift", "/// https://example.org/" + "x" * 100)), "one word cannot be broken"
    assert list(shape.long_lines("a.py", "# " + "word " * 30)) and not list(shape.long_lines("a.md", "word " * 30))


def test_lengths_of_files():
    assert list(shape.long_file("a.swift", "\n" * 501)) and not list(shape.long_file("a.swift", "\n" * 500))


BRACES = '''
protocol Source { func read(_ count: Int) -> Int
    func next() }
func tricky() -> String {
    // } in a comment
    let text = "} \\(call { "}" }) {"
    let more = """
        } {{ "quoted" \\(text)
        """
    let raw = #"a " } \\n"#
    return text + more + raw /* } /* } */ { */
}
struct Holder {
    var stored: Int = 0
    var computed: Int {
        1
    }
    init(_ body: () -> Int = { 1 }) where Int: Equatable {
        self.stored = body()
    }
    subscript(index: Int) -> Int { index }
}
'''


def test_functions_are_found_with_their_ends():
    assert list(shape.functions(BRACES)) == [
        ("tricky", 4, 12),
        ("computed", 15, 17),
        ("init", 18, 20),
        ("subscript", 21, 21),
    ]


def test_lengths_of_functions():
    def function(lines):
        return "func long() {\n" + '    print("{")\n' * (lines - 2) + "}\n"

    assert list(shape.long_functions("a.swift", function(71))) and not list(
        shape.long_functions("a.swift", function(70))
    )


def test_names_in_comments():
    known = {"Store", "read", "apply", "with"}

    def dead(comment):
        return [*names.dead_names("a.swift", names.comments(comment), known)]

    assert dead("/// See `Stores`.") and dead("// `Store.gone`") and dead("// `apply(_:gone:)` or `gone(with:)`")
    assert not dead("/// See `Store`, `Store.read`, `apply(_:with:)`, `length: UInt32 | crc`.")
    assert not dead('let text = "`gone`"'), "a string is no comment"


def test_names_of_files_decisions_and_links():
    files = {"Store.swift", "Store/Store.swift"}
    assert list(names.dead_files("a.swift", "// see Gone.swift", files))
    assert not list(names.dead_files("a.swift", "// see Store.swift, Store/Store.swift, *.swift", files))
    assert list(names.dead_decisions("a.md", "decision 0999", {"0001"}))
    assert not list(names.dead_decisions("a.md", "decisions/0001", {"0001"}))
    assert list(names.dead_links("docs/a.md", "[x](gone.md)"))
    assert not list(names.dead_links("docs/a.md", "[x](rules.md#1-every-rpc) [y](https://example.org)"))


def test_names_in_documents_are_those_of_code_only():
    known = {"Store", "read"}
    assert list(names.dead_names("a.md", "`StoreGone` and `gone()`", known, begins_upper=True))
    assert not list(names.dead_names("a.md", "`DISK_FULL`, `purchase`, `--loops`", known, begins_upper=True))


def test_decisions_have_numbers_of_their_own_and_are_in_the_index():
    folder = ROOT / "docs/decisions"
    files = sorted(path.name for path in folder.glob("0*.md"))
    assert len({name[:4] for name in files}) == len(files)
    assert re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text()) == files


def test_rows_have_a_home():
    assert list(names.dead_rows("a.swift", "/// Bounded (G99).", {"G31"}))
    assert list(names.dead_rows("a.py", "def test_G31_A99_x():", {"G31"}))
    assert not list(names.dead_rows("a.swift", "/// Bounded (G31). func G31_x()", {"G31"}))
    assert {"G31", "A13", "C12", "H9", "R3", "S11", "L9", "F10"} <= names.known_rows()


def test_unsafe_code():
    bad = "x.withUnsafeBytes { $0 }"
    assert list(unsafe.unlisted("Sources/A.swift", bad, set()))
    assert not list(unsafe.unlisted("Sources/A.swift", bad, {"Sources/A.swift"}))
    borrowed = "// withUnsafeBytes\nfunc f(_ b: UnsafeRawBufferPointer) {}"
    assert not list(unsafe.unlisted("Sources/A.swift", borrowed, set()))
    assert list(unsafe.unexplained("a", "let a = p.pointee"))
    assert not list(unsafe.unexplained("a", "// SAFETY: p lives as long as self.\nlet a = p.pointee"))
    far = "// SAFETY: one.\n" + "\n" * unsafe.REACH + "let a = unsafeBitCast(b, to: Int.self)"
    assert list(unsafe.unexplained("a", far))
    assert not list(unsafe.unexplained("a", far.replace("\n\n", "\n")))


@pytest.mark.parametrize(
    "text",
    [
        "// The answer is sent.",
        "// It is\n    // taken back.",
        "let answer = 1",
        "let roomBytes = 1",
        "func judgeAll() {}",
        "/// A field tag that is none.",
        "// The desk gives it up.",
    ],
)
def test_private_words_are_found(text):
    assert list(words.in_swift("a.swift", text))


@pytest.mark.parametrize(
    "text",
    [
        "// `nil` if there is none.",
        'let topic = "newsletter"',
        "let mushroom = 1",
        'let text = "the answer"',
        "// The response.",
    ],
)
def test_other_words_are_not(text):
    assert not list(words.in_swift("a.swift", text))


def test_private_words_of_documents_and_scripts():
    assert list(words.in_document("a.md", "The server answers."))
    assert not list(words.in_document("a.md", "`answer` is code"))
    assert list(words.in_script("a.py", "answer = call()"))
    assert not list(words.in_script("a.py", "response = call()"))
