"""Private words of earlier releases, each with the field's word that replaces it."""

import re

from .source import line_of, split

# (what is searched, what to write instead). Searched in comments, prose and the words of identifiers, without case.
PRIVATE = [
    (r"answer(?:s|ed|ing|able)?", "response, respond"),
    (r"unanswered", "without a response"),
    (r"judge(?:s|d|ment)?|judging", "evaluate"),
    (r"fates?", "outcome"),
    (r"births?", "genesis"),
    (r"desks?", "coordinator"),
    (r"refusals?", "rejection"),
    (r"news", "event"),
    (r"rooms?", "headroom, free space, capacity"),
    (r"glances?", "fast path"),
    (r"look(?:s|ed|ing)? ahead|lookahead", "prefetch"),
    (r"(?:take|takes|took|taken|taking)(?: \w+)? back", "roll back, undo"),
    (r"(?:give|gives|gave|given|giving)(?: \w+)? up", "abandon"),
    (r"(?<!there )(?:is|are) none", "is invalid, is missing"),
    (r"(?:comes?|came) to nothing", "has no effect, fails"),
]
# Uses in which the word is the field's own.
ALLOWED = re.compile(
    # Examples of what a company sends and stores; plain English for "in short".
    r"newsletter|[\"'/]news\b|birth ?(?:day|date)|at a glance",
    re.IGNORECASE,
)

_SEARCH = re.compile(r"\b(?:" + "|".join(pattern for pattern, _ in PRIVATE) + r")\b", re.IGNORECASE)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_HUMPS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_CODE_SPAN = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def in_swift(path, text):
    """Comments as prose; identifiers word by word."""
    code, comments, _ = split(text)
    yield from in_prose(path, comments)
    yield from in_identifiers(path, code)


def in_identifiers(path, code):
    for match in _IDENTIFIER.finditer(code):
        words = " ".join(_HUMPS.findall(match.group()))
        for found in _found(words):
            yield f"{path}:{line_of(code, match.start())}: '{found}' in {match.group()}; say {instead_of(found)}"


def in_prose(path, text):
    # A line break inside a phrase, with the comment marks of the next line, is a space.
    flat = re.sub(r"\n[ \t]*(?:///?|#|\*)?[ \t]*", lambda match: " " * len(match.group()), text)
    flat = re.sub(r"  +", lambda match: " " + "\0" * (len(match.group()) - 1), flat)
    squeezed, offsets = [], []
    for offset, character in enumerate(flat):
        if character != "\0":
            squeezed.append(character)
            offsets.append(offset)
    squeezed = "".join(squeezed)
    for match in _SEARCH.finditer(squeezed):
        found = match.group()
        around = squeezed[max(0, match.start() - 12) : match.end() + 12]
        if not ALLOWED.search(around):
            yield f"{path}:{line_of(text, offsets[match.start()])}: '{found}'; say {instead_of(found)}"


def in_document(path, text):
    """Prose without the code in it, whose names are checked where they are declared."""
    yield from in_prose(path, _CODE_SPAN.sub(lambda match: re.sub(r"[^\n]", "`", match.group()), text))


def in_script(path, text):
    """Python and shell: comments, strings and names alike; nothing distinguishes them well enough."""
    yield from in_prose(path, re.sub(r"\bis None\b", "is ____", text.replace("_", " ")))


def _found(words):
    return [match.group() for match in _SEARCH.finditer(words)]


def instead_of(word):
    return next(advice for pattern, advice in PRIVATE if re.fullmatch(pattern, word, re.IGNORECASE))
