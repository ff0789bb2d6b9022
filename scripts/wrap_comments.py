#!/usr/bin/env python3
"""Breaks comments that are longer than the limit of their file; what does not fit moves to the next line of the
comment.

Tables, diagrams, fenced code and links stay as they are. Usage: wrap_comments.py FILE... (default: every file that the
limits hold for)
"""

import ast
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from tidy.shape import COLUMNS  # noqa: E402
from tidy.source import ROOT, tracked  # noqa: E402

SLASHES = re.compile(r"(\s*)(///?|//)( ?)(.*)$")
HASHES = re.compile(r"(\s*)(#)( )(.*)$")
# Lines inside a docstring: no mark, the indentation is the comment's.
PLAIN = re.compile(r"(\s*)()()(\S.*)$")


def is_fixed(text):
    """A line whose shape carries meaning."""
    words = text.strip()
    return (
        not words
        or "──" in words
        or "│" in words
        or "▶" in words
        or "  " in words
        or words.startswith(("#!", "```", "|", "swift-", "noqa"))
    )


def begins_item(text):
    return re.match(r"(?:[-*] |\d+[.)] |MARK:|```|\|)", text.strip()) is not None


def cut(body, limit):
    """Where to break: the last blank that is not inside of `code`, or the last one at all; 0 if there is none."""
    for keeps_code in (True, False):
        place = body.rfind(" ", 0, limit + 1)
        while keeps_code and place > 0 and body[:place].count("`") % 2:
            place = body.rfind(" ", 0, place)
        if place > 0:
            return place
    return 0


def wrapped(lines, limit, pattern, is_comment):
    """`lines` with long comments broken; `is_comment(index)` says which lines are comments."""
    lines, index, is_fenced = list(lines), 0, False
    while index < len(lines):
        match = pattern.match(lines[index]) if is_comment(lines, index) else None
        if match and match.group(4).strip().startswith("```"):
            is_fenced = not is_fenced
        if not match or len(lines[index]) <= limit or is_fenced or is_fixed(match.group(4)):
            index += 1
            continue
        indent, mark, blank, text = match.groups()
        body = text.strip()
        lead = len(text) - len(text.lstrip())
        hang = lead + (2 if re.match(r"[-*] ", body) else 0)
        prefix = indent + mark + (blank or (" " if mark else ""))
        place = cut(body, limit - len(prefix) - lead)
        if not place:
            index += 1
            continue
        head, rest = body[:place].rstrip(), body[place:].strip()
        lines[index] = prefix + " " * lead + head
        has_following = index + 1 < len(lines) and is_comment(lines, index + 1)
        following = pattern.match(lines[index + 1]) if has_following else None
        text = following.group(4) if following else ""
        if (
            following
            and '"""' not in rest
            and following.groups()[:2] == (indent, mark)
            and not is_fixed(text)
            and not begins_item(text)
            and len(text) - len(text.lstrip()) == hang
            and text.strip() != '"""'
        ):
            lines[index + 1] = prefix + " " * hang + rest + " " + text.strip()
        else:
            lines.insert(index + 1, prefix + " " * hang + rest)
        index += 1
    return lines


def docstrings(text):
    """(first, last) line of each docstring of Python, 0-based, the last one first."""
    found = []
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            found.append((first.lineno - 1, first.end_lineno - 1))
    return sorted(found, reverse=True)


def wrap(path):
    limit = COLUMNS.get(path.suffix)
    if limit is None:
        return
    before = path.read_text()
    lines = before.split("\n")
    if all(len(line) <= limit for line in lines):
        return
    if path.suffix in (".py", ".sh"):
        lines = wrapped(lines, limit, HASHES, lambda lines, index: lines[index].lstrip().startswith("# "))
    if path.suffix == ".py":
        for first, last in docstrings("\n".join(lines)):
            lines[first : last + 1] = wrapped(lines[first : last + 1], limit, PLAIN, lambda lines, index: True)
    if path.suffix in (".swift", ".c", ".h", ".proto"):
        lines = wrapped(lines, limit, SLASHES, lambda lines, index: True)
    after = "\n".join(lines)
    if after != before:
        path.write_text(after)


if __name__ == "__main__":
    every = [path for path in tracked() if not path.startswith("Generated/")]
    for argument in sys.argv[1:] or [str(ROOT / path) for path in every]:
        wrap(Path(argument))
