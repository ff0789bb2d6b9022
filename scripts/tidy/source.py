"""Splits Swift text into code and comments, so that checks neither count braces in strings nor find names in them."""

import re
import subprocess
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_SPECIAL = re.compile(r'[/"#()]')


@lru_cache(maxsize=None)
def tracked(*patterns):
    """Paths of the repository's files that exist, relative to its root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return tuple(path for path in sorted(set(listed.split("\0"))) if path and (ROOT / path).is_file())


@lru_cache(maxsize=None)
def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


@lru_cache(maxsize=None)
def split(text):
    """Returns (code, comments, strings), each as long as `text` and with its line breaks; what belongs to another is
    blank.

    Interpolations are code. Comments may be nested, strings may have several lines or be raw.
    """
    code, comments, strings = (list(_blank(text)) for _ in range(3))
    index, end = 0, len(text)
    # Of each open string: (its end, its escape); of each open interpolation: how many parentheses are open in it.
    stack = []
    while index < end:
        literal = stack[-1] if stack and isinstance(stack[-1], tuple) else None
        if literal:
            quote, escape = literal
            if text.startswith(escape + "(", index):
                stack.append(1)
                index += len(escape) + 1
            elif text.startswith(escape, index):
                index += len(escape) + 1
            elif text.startswith(quote, index):
                stack.pop()
                index += len(quote)
            else:
                strings[index] = text[index]
                index += 1
            continue
        if text.startswith("//", index):
            stop = text.find("\n", index)
            stop = end if stop < 0 else stop
            comments[index:stop] = text[index:stop]
            index = stop
        elif text.startswith("/*", index):
            index = _block_comment(text, index, comments)
        elif text[index] in '"#' and (opened := _opens(text, index)):
            stack.append(opened[:2])
            index += opened[2]
        elif stack and text[index] in "()":
            stack[-1] += 1 if text[index] == "(" else -1
            if stack[-1] == 0:
                stack.pop()
            else:
                code[index] = text[index]
            index += 1
        else:
            # Up to the next character that may change what the text is: most of a file, so not one by one.
            found = _SPECIAL.search(text, index + 1)
            stop = found.start() if found else end
            code[index:stop] = text[index:stop]
            index = stop
    return "".join(code), "".join(comments), "".join(strings)


def _blank(text):
    return ("\n" if character == "\n" else " " for character in text)


def _opens(text, index):
    """(end, escape, length of the beginning) of the string that begins here, or `None`."""
    hashes = 0
    while text.startswith("#", index + hashes):
        hashes += 1
    for quote in ('"""', '"'):
        if text.startswith(quote, index + hashes):
            return quote + "#" * hashes, "\\" + "#" * hashes, hashes + len(quote)
    return None


def _block_comment(text, index, comments):
    depth = 0
    while index < len(text):
        pair = text[index : index + 2]
        step = 2 if pair in ("/*", "*/") else 1
        comments[index : index + step] = text[index : index + step]
        depth += {"/*": 1, "*/": -1}.get(pair, 0)
        index += step
        if depth == 0:
            break
    return index


def line_of(text, offset):
    """1-based."""
    return text.count("\n", 0, offset) + 1
