"""Lengths of lines, files and functions, and the formatter's own opinion."""

import re
import shutil
import subprocess

from .source import ROOT, line_of, split

SWIFT_COLUMNS = 100
# C is formatted as Swift is; the others have room for a table row of a test or one command of a shell script.
COLUMNS = {
    ".swift": SWIFT_COLUMNS,
    ".c": SWIFT_COLUMNS,
    ".h": SWIFT_COLUMNS,
    ".proto": SWIFT_COLUMNS,
    ".py": 120,
    ".sh": 120,
}
FILE_LINES = 500
FUNCTION_LINES = 70

_DECLARATION = re.compile(
    r"\b(?:func\s+(\S+?)\s*[(<]|(init)[?!]?\s*[(<]|(deinit)\b|(subscript)\s*[(<]|var\s+(\w+)\s*:)"
)
_BRACE = re.compile(r"[{}]")
_ENDS = re.compile(
    r"(?:func|var|let|init|deinit|subscript|case|static|mutating|nonmutating|associatedtype|typealias|enum|struct|class|package"
    r"|private|fileprivate|internal|public|extension|protocol|import|@\w+)\b"
)


def long_lines(path, text):
    limit = COLUMNS.get("." + path.rsplit(".", 1)[-1])
    for number, line in enumerate(text.split("\n"), 1):
        # Of Swift the bytes count: many tools show them as columns.
        columns = len(line.encode()) if path.endswith(".swift") else len(line)
        # A line that cannot be broken: one word, such as a link or a name that protoc-c made.
        if limit and columns > limit and not _is_one_word(line):
            yield f"{path}:{number}: {columns} columns, {limit} are allowed"


def _is_one_word(line):
    return re.sub(r"^(?:///?|#|case) ", "", line.strip()).count(" ") == 0


def long_file(path, text):
    lines = text.count("\n")
    if lines > FILE_LINES:
        yield f"{path}: {lines} lines, {FILE_LINES} are allowed"


def long_functions(path, text):
    for name, first, last in functions(text):
        if last - first + 1 > FUNCTION_LINES:
            yield f"{path}:{first}: {name} has {last - first + 1} lines, {FUNCTION_LINES} are allowed"


def functions(text):
    """(name, first line, last line) of every function, initializer, subscript and computed property with a body."""
    code = split(text)[0]
    for match in _DECLARATION.finditer(code):
        name = next(group for group in match.groups() if group)
        is_variable = match.group(5) is not None
        body = _body(code, match.end() if match.group(3) or is_variable else match.end() - 1, is_variable)
        if body is not None:
            end = _closing(code, body)
            yield name, line_of(code, match.start()), line_of(code, end)


def _body(code, index, is_variable):
    """Where the body begins; `None` for a requirement of a protocol and for a stored property."""
    depth = 0
    while index < len(code):
        character = code[index]
        if character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
            if depth < 0:
                return None
        elif depth == 0:
            if character == "{":
                return index
            if character == "}" or (is_variable and character in "=\n"):
                return None
            word_begins = character == "@" or (
                character.isalpha() and not (code[index - 1].isalnum() or code[index - 1] in "_.@`")
            )
            if word_begins and _ENDS.match(code, index):
                return None
        index += 1
    return None


def _closing(code, index):
    depth = 0
    for brace in _BRACE.finditer(code, index):
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            return brace.start()
    return len(code) - 1


def has_formatter():
    return (
        shutil.which("swift") is not None
        and subprocess.run(["swift", "format", "--version"], capture_output=True).returncode == 0
    )


def unformatted(*paths):
    """What `swift format lint --strict` says of files or folders."""
    command = [
        "swift",
        "format",
        "lint",
        "--strict",
        "--recursive",
        "--parallel",
        "--configuration",
        str(ROOT / ".swift-format"),
        *paths,
    ]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    found = [line.replace(f"{ROOT}/", "") for line in (run.stdout + run.stderr).splitlines() if line.strip()]
    if run.returncode != 0 and not found:
        found = [f"swift format lint ended with {run.returncode}"]
    return found
