"""Every check by name: which files it reads, and what it finds in one of them."""

from . import names, shape, unsafe, words
from .source import read, tracked

SWIFT = ("*.swift",)
SCRIPTS = ("*.py", "*.sh")
C = ("*.c", "*.h")
DOCUMENTS = ("README.md", "docs/*.md", "Benchmarks/*.md")
# Made by protoc-c; the contracts of others; the rules of tidiness itself, which name what they forbid.
EXCEPT = ("Generated/", "Protos/google/", "Protos/grpc/", "scripts/tidy/", "Tests/clients/test_tidy.py")


def _sources_only(check):
    return lambda path, text: check(path, text) if path.startswith("Sources/") else ()


def _comment_names(path, text):
    comments = names.comments(text)
    yield from names.dead_names(path, comments, names.known_names())
    yield from names.dead_files(path, comments, names.known_files())
    yield from names.dead_decisions(path, comments, names.known_decisions())


def _document_names(path, text):
    yield from names.dead_names(path, text, names.known_names(), begins_upper=True)
    yield from names.dead_files(path, text, names.known_files())
    yield from names.dead_decisions(path, text, names.known_decisions())
    yield from names.dead_links(path, text)


CHECKS = {
    "columns": (SWIFT + SCRIPTS + C + ("*.proto",), shape.long_lines),
    "file-length": (SWIFT + SCRIPTS + C, shape.long_file),
    "function-length": (SWIFT, shape.long_functions),
    "names-in-comments": (SWIFT, _comment_names),
    "names-in-documents": (DOCUMENTS, _document_names),
    "rows": (SWIFT + SCRIPTS + DOCUMENTS, lambda path, text: names.dead_rows(path, text, names.known_rows())),
    "unsafe-list": (SWIFT, _sources_only(lambda path, text: unsafe.unlisted(path, text, unsafe.listed()))),
    "safety-comments": (SWIFT, _sources_only(unsafe.unexplained)),
    "words-in-swift": (SWIFT, words.in_swift),
    "words-in-documents": (DOCUMENTS, words.in_document),
    "words-in-scripts": (SCRIPTS + C + ("*.proto", "Makefile"), words.in_script),
}


def run(name):
    """{path: findings} of one check, over the whole repository."""
    patterns, check = CHECKS[name]
    found = {}
    for path in tracked(*patterns):
        if not path.startswith(EXCEPT):
            findings = list(check(path, read(path)))
            if findings:
                found[path] = findings
    return found
