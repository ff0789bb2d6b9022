"""Unsafe code is in the files that docs/unsafe-code.md lists, and says why it is sound."""

import re

from .source import line_of, read, split, tracked

LIST = "docs/unsafe-code.md"
# What makes a file unsafe: it makes or follows pointers, or promises what the compiler cannot prove. A file that only
# hands borrowed bytes on (`UnsafeRawBufferPointer`, read through the checked `ByteReader`) is not.
UNSAFE = re.compile(
    r"\bUnsafe(?:Mutable(?:Raw)?(?:Buffer)?|Raw|Buffer)?Pointer\b|\bwithUnsafe\w*|\bUnmanaged\b|\bOpaquePointer\b"
    r"|\.(?:loadUnaligned|storeBytes|pointee|baseAddress)\b|\.load\((?:as|fromByteOffset):|\bunsafe[A-Z]\w+"
    r"|\b(?:unowned|nonisolated)\(unsafe\)|\bassumingMemoryBound\b|\bbindMemory\b"
)
# Each of these needs its own `// SAFETY:`: the compiler believes whatever it is told there.
PROMISES = re.compile(
    r"\bunsafeBitCast\b|\bunsafeDowncast\b|\bassumingMemoryBound\b|\bbindMemory\b|\bunsafelyUnwrapped\b|@unchecked\s+Sendable"
    r"|\b(?:unowned|nonisolated)\(unsafe\)|\.take(?:Un)?[rR]etainedValue\b|\bUnmanaged\s*[.<]"
)
# How far above a promise its reason may stand, in lines: one comment may cover a few that follow each other.
REACH = 12


def listed():
    """The files of the list."""
    return set(re.findall(r"^- `([^`]+)`", read(LIST), re.MULTILINE))


def is_unsafe(text):
    return UNSAFE.search(split(text)[0]) is not None


def unlisted(path, text, files):
    if is_unsafe(text) and path not in files:
        yield f"{path}: unsafe code, and the file is not in {LIST}"


def unexplained(path, text):
    code, comments, _ = split(text)
    if is_unsafe(text) and "SAFETY:" not in comments:
        yield f"{path}: unsafe code without a `// SAFETY:` comment"
        return
    reasons = {line_of(text, match.start()) for match in re.finditer(r"\bSAFETY:", comments)}
    promises = {line_of(text, match.start()): match.group().strip() for match in PROMISES.finditer(code)}
    for line, promise in promises.items():
        if not any(reason in reasons for reason in range(line - REACH, line + 1)):
            yield f"{path}:{line}: {promise} without a `// SAFETY:` comment above it"


def superfluous(files):
    """Lines of the list that name no unsafe file."""
    for path in sorted(files):
        if path not in tracked("Sources/*.swift") or not is_unsafe(read(path)):
            yield f"{LIST}: {path} is listed and has no unsafe code"
