"""Filters of docs/filters.md, parsed and evaluated by plain Python: what the service's evaluation is compared with."""

import datetime
import re
from dataclasses import dataclass, field
from fractions import Fraction

NATIVE = ("email_address", "phone_number", "language", "region", "timezone")
TIMES = ("created_at", "updated_at", "last_seen_at")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "'": "'", "*": "*"}

TOKEN = re.compile(
    r"""[ \t\r\n]*(?: (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*') | (?P<comparator><=|>=|!=|[=<>:])
    | (?P<parenthesis>[()]) | (?P<word>[0-9A-Za-z_.*+@/\u0080-\U0010ffff-]+) )""",
    re.VERBOSE | re.DOTALL,
)
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")


class Time(int):
    """Microseconds since 1970: no number, and compared with times only."""


@dataclass
class Subject:
    """A profile, and in triggers an event, as plain values."""

    custom_id: str = ""
    created_at: Time = Time(0)
    updated_at: Time = Time(0)
    last_seen_at: Time = Time(0)
    attributes: dict = field(default_factory=dict)
    counters: dict = field(default_factory=dict)  # name -> (count, first, last)
    subscriptions: dict = field(default_factory=dict)  # (CHANNEL, topic) -> state
    suppressed: set = field(default_factory=set)  # channels whose present address is suppressed
    installations: list = field(default_factory=list)
    event: dict = None  # label, tags, attributes


class Invalid(Exception):
    """Not a filter."""


# Constants: ("text", text, open at start, open at end), ("number", value), ("boolean", value), ("any",)


class Parser:
    def __init__(self, text):
        self.tokens, at = [], 0
        while text[at:].strip(" \t\r\n"):
            match = TOKEN.match(text, at)
            if not match:
                raise Invalid(f"column {at + 1}")
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()
        self.tokens.append(("end", ""))

    def take(self, *values):
        if self.tokens[0][0] != "text" and self.tokens[0][1] in values:
            return self.tokens.pop(0)[1]
        return None

    def filter(self):
        if self.tokens[0][0] == "end":
            return lambda subject, now: True
        found = self.expression()
        if self.tokens[0][0] != "end":
            raise Invalid("more than one expression")
        return found

    def expression(self):
        items = [self.factor()]
        while self.take("AND") or (self.tokens[0][0] != "end" and self.tokens[0] != ("parenthesis", ")")):
            items.append(self.factor())
        return lambda subject, now: all(item(subject, now) for item in items)

    def factor(self):
        items = [self.term()]
        while self.take("OR"):
            items.append(self.term())
        return lambda subject, now: any(item(subject, now) for item in items)

    def term(self):
        kind, value = self.tokens[0]
        if kind == "word" and value.startswith("-"):
            self.tokens[0:1] = [(kind, value[1:])] if len(value) > 1 else []
            inner = self.simple()
        elif self.take("NOT"):
            inner = self.simple()
        else:
            return self.simple()
        return lambda subject, now: not inner(subject, now)

    def simple(self):
        if self.take("("):
            inner = self.expression()
            if not self.take(")"):
                raise Invalid("no closing parenthesis")
            return inner
        left = self.tokens.pop(0)
        if left[0] not in ("text", "word") or left in (("word", "AND"), ("word", "OR"), ("word", "NOT")):
            raise Invalid("no comparison")
        comparator = self.take("=", "!=", "<", "<=", ">", ">=", ":")
        if comparator is None:
            literal = constant(left, "=")
            return lambda subject, now: any(is_found(value, literal, now) for value in everything(subject))
        right = constant(self.tokens.pop(0), comparator)
        path = left[1].lower().split(".")
        return lambda subject, now: compare_field(path, comparator, right, subject, now)


def constant(token, comparator):
    kind, value = token
    if kind == "word":
        if value == "*" and comparator == ":":
            return ("any",)
        if value in ("true", "false"):
            return ("boolean", value == "true")
        if NUMBER.fullmatch(value):
            return ("number", Fraction(int(value) if re.fullmatch(r"-?\d+", value) else float(value)))
        marks = [(scalar, scalar == "*") for scalar in value]
    elif kind == "text":
        marks = unescaped(value[1:-1])
    else:
        raise Invalid("no value")
    starts = ends = False
    if comparator in ("=", "!="):
        starts = bool(marks) and marks[0][1]
        marks = marks[1:] if starts else marks
        ends = bool(marks) and marks[-1][1]
        marks = marks[:-1] if ends else marks
    return ("text", "".join(scalar for scalar, _ in marks), starts, ends)


def unescaped(text):
    """Scalars, and whether each is a star that is not escaped."""
    marks = []
    for match in re.finditer(r"\\u([0-9a-fA-F]{4})|\\(.)|(.)", text, re.DOTALL):
        if match[1]:
            marks.append((chr(int(match[1], 16)), False))
        elif match[2]:
            marks.append((ESCAPES[match[2]], False))
        else:
            marks.append((match[3], match[3] == "*"))
    return marks


def microseconds(text, now):
    """What a text is as a time; None: it is no time."""
    if match := re.fullmatch(r"([+-])(\d+)([smhdw])", text):
        return now + int(match[1] + "1") * int(match[2]) * UNITS[match[3]] * 1_000_000
    match = re.fullmatch(
        r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))", text)
    if not match:
        return None
    try:
        time = datetime.datetime.fromisoformat(f"{match[1]}T{match[2]}+00:00")
    except ValueError:
        return None
    offset = int(match[4] + "1") * (int(match[5]) * 60 + int(match[6])) if match[4] else 0
    whole = (time - EPOCH) // datetime.timedelta(seconds=1) - offset * 60
    return whole * 1_000_000 + int((match[3] or "").ljust(6, "0")[:6])


def ordered(left, comparator, right):
    return {
        "=": left == right, "!=": left != right, "<": left < right,
        "<=": left <= right, ">": left > right, ">=": left >= right,
    }[comparator]


def compare(value, comparator, right, now):
    """Whether a comparison holds for one value that is there."""
    if right == ("any",):
        return True
    if isinstance(value, list) and not any(isinstance(item, dict) for item in value):
        return comparator == ":" and any(compare(item, ":", right, now) for item in value)
    equality = "=" if comparator == ":" else comparator
    if isinstance(value, bool):
        return right[0] == "boolean" and ordered(value, equality, right[1])
    if isinstance(value, Time):
        time = microseconds(right[1], now) if right[0] == "text" and not any(right[2:]) else None
        return time is not None and ordered(int(value), equality, time)
    if isinstance(value, (int, float)):
        return right[0] == "number" and ordered(Fraction(value), equality, right[1])
    if not isinstance(value, str) or right[0] != "text":
        return False
    _, text, starts, ends = right
    if equality not in ("=", "!="):
        return ordered(value, equality, text)
    pattern = (".*" if starts else "") + re.escape(text) + (".*" if ends else "")
    return (re.fullmatch(pattern, value, re.DOTALL) is not None) == (equality == "=")


def compare_path(value, path, comparator, right, now):
    if not path:
        return compare(value, comparator, right, now)
    if isinstance(value, dict):
        return path[0] in value and compare_path(value[path[0]], path[1:], comparator, right, now)
    if isinstance(value, list) and comparator == ":":
        return any(compare_path(item, path, comparator, right, now) for item in value if isinstance(item, dict))
    return False


def is_found(value, literal, now):
    if isinstance(value, dict):
        return any(is_found(item, literal, now) for item in value.values())
    if isinstance(value, list):
        return any(is_found(item, literal, now) for item in value)
    return compare(value, "=", literal, now)


def everything(subject):
    values = list(subject.attributes.values()) + ([subject.custom_id] if subject.custom_id else [])
    if subject.event:
        values += [subject.event["label"]] if subject.event["label"] else []
        values += subject.event["tags"] + list(subject.event["attributes"].values())
    return values


def compare_field(path, comparator, right, subject, now):
    path = path[1:] if path[0] == "profile" else path
    present, value = look_up(path, subject)
    if path[0] == "event" and len(path) > 1 and path[1] not in ("label", "tags"):
        names = path[2:] if path[1] == "attributes" else path[1:]
        event = subject.event or {"attributes": {}}
        return compare_path(event["attributes"], names, comparator, right, now)
    return present and compare(value, comparator, right, now)


def look_up(path, subject):
    """Whether a field is there, and what it is."""
    first, rest = path[0], path[1:]
    if first == "state":
        return True, "IDENTIFIED" if subject.custom_id else "ANONYMOUS"
    if first == "custom_id":
        return bool(subject.custom_id), subject.custom_id
    if first in TIMES:
        return True, getattr(subject, first)
    if first == "installations":
        return bool(subject.installations), subject.installations
    if first == "events":
        counter = subject.counters.get(rest[0])
        if rest[1] == "count":
            return True, counter[0] if counter else 0
        return counter is not None, counter and Time(counter[1 if rest[1] == "first" else 2])
    if first == "subscriptions":
        return True, subject.subscriptions.get((rest[0].upper(), ".".join(rest[1:])), "UNSET")
    if first == "suppressed":
        return True, rest[0].upper() in subject.suppressed
    if first == "event":
        part = (subject.event or {}).get(rest[0])
        return bool(part), part
    name = rest[0] if first == "attributes" else first
    return name in subject.attributes, subject.attributes.get(name)


def matches(text, subject, now):
    """Whether a filter holds; raises Invalid for what cannot be parsed."""
    return Parser(text).filter()(subject, now)
