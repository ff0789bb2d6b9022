"""Names that comments and documents cite exist: types, functions, files, decisions, rows."""

import re
from functools import lru_cache
from pathlib import Path

from .source import ROOT, line_of, read, split, tracked

# Names of other people's work that no file here defines: the standard library's, POSIX's, HTTP/2's, protobuf's.
FOREIGN = ROOT / "scripts/tidy/foreign_names.txt"
HEADERS = ("/usr/include/nghttp2/nghttp2.h", "/usr/include/protobuf-c/protobuf-c.h")

_WORD = re.compile(r"[A-Za-z_]\w*")
_CITED = re.compile(r"`([^`\n]+)`")
# `Foo`, `foo(_:)`, `Foo.bar`, `Foo/bar(baz:)`, `.case`, `path/field.name`.
_NAME = re.compile(r"\.?[A-Za-z_]\w*(?:[./][A-Za-z_]\w*)*(?:\([\w:]*\))?$")
_FILE = re.compile(r"(?<![\w/.*<{$-])((?:[\w+-]+/)*[\w+.-]*\w\.(?:swift|md|py|sh|proto))(?![\w*/])")
_DECISION = re.compile(r"\bdecisions?[ /](0\d{3})\b")
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_ROW = re.compile(r"\b([GCAHRSLF]\d{1,2})\b")
# Text in which a row is cited: in brackets, or as the name of a test.
_ROWS_IN_BRACKETS = re.compile(r"\(((?:[GCAHRSLF]\d{1,2}(?:-[GCAHRSLF]?\d{1,2})?(?:, )?)+)\)")
_ROWS_OF_A_TEST = re.compile(r"(?:func|def) (?:test_)?((?:[GCAHRSLF]\d{1,2}_)+)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@lru_cache(maxsize=None)
def known_names():
    """Every word of code, strings and identifiers of the repository and of the C headers it uses; comments do not
    count."""
    words = set(FOREIGN.read_text().split())
    for path in tracked("*.swift"):
        code, _, strings = split(read(path))
        words.update(_WORD.findall(code), _WORD.findall(strings), re.split(r"[/.+]", path))
    for path in tracked("*.proto"):
        words.update(_WORD.findall(re.sub(r"//.*", "", read(path))))
    for path in tracked("*.py", "*.sh", "*.c", "*.h", "Makefile", "Generated/*"):
        words.update(_WORD.findall(read(path)), re.split(r"[/.]", path))
    for header in HEADERS:
        if Path(header).exists():
            words.update(_WORD.findall(Path(header).read_text(errors="replace")))
    return frozenset(words)


@lru_cache(maxsize=None)
def known_files():
    """Every tracked path and each of its ends: `Store/Store.swift` and `Store.swift` stand for one file."""
    ends = set()
    for path in tracked():
        parts = path.split("/")
        ends.update("/".join(parts[index:]) for index in range(len(parts)))
    return frozenset(ends)


@lru_cache(maxsize=None)
def known_decisions():
    return frozenset(path.rsplit("/", 1)[-1][:4] for path in tracked("docs/decisions/*.md"))


@lru_cache(maxsize=None)
def known_rows():
    """Rows that begin a line of a table in docs/conformance.md or docs/durability.md."""
    rows = set()
    for path in tracked("docs/conformance.md", "docs/durability.md"):
        for cell in re.findall(r"^\| ([^|]+)\|", read(path), re.MULTILINE):
            rows.update(_ROW.findall(cell))
    return frozenset(rows)


def comments(text):
    return split(text)[1]


def dead_names(path, text, known, begins_upper=False):
    """Cited names of which a part is no word of any code. `text` is comments or prose.

    - Parameter begins_upper: only names that look like a type's or a function's, as prose also cites flags and values.
    """
    for match in _CITED.finditer(text):
        name = match.group(1)
        if not _NAME.match(name) or _FILE.match(name):
            continue
        if begins_upper and not re.match(r"[A-Z][a-z]\w*[A-Z./(]|[a-z]\w*[A-Z]\w*|\w+\(", name):
            continue
        for word in _WORD.findall(name):
            if word != "_" and word not in known:
                yield f"{path}:{line_of(text, match.start())}: `{name}` does not exist ({word})"
                break


def dead_files(path, text, files):
    for match in _FILE.finditer(text):
        name = match.group(1).removeprefix("./")
        while name.startswith("../"):
            name = name[3:]
        # protoc-gen-go's options begin with an M; google/protobuf comes with protoc.
        if not {name, name.removeprefix("M")} & files and not name.startswith("google/protobuf/"):
            yield f"{path}:{line_of(text, match.start())}: {name} does not exist"


def dead_decisions(path, text, decisions):
    for match in _DECISION.finditer(text):
        if match.group(1) not in decisions:
            yield f"{path}:{line_of(text, match.start())}: decision {match.group(1)} does not exist"


def dead_links(path, text):
    folder = (ROOT / path).parent
    for match in _LINK.finditer(_FENCE.sub("", text)):
        target = match.group(1).split("#")[0]
        if target and "://" not in target and not target.startswith("mailto:") and not (folder / target).exists():
            yield f"{path}: the link to {target} leads nowhere"


def dead_rows(path, text, rows):
    """Rows that are cited in brackets or by the name of a test, and have no place in the documents."""
    for match in _ROWS_IN_BRACKETS.finditer(text):
        for row in _ROW.findall(match.group(1)):
            if row not in rows:
                yield f"{path}:{line_of(text, match.start())}: row {row} is in no document"
    for match in _ROWS_OF_A_TEST.finditer(text):
        for row in match.group(1).rstrip("_").split("_"):
            if row not in rows:
                yield f"{path}:{line_of(text, match.start())}: row {row} of a test is in no document"
