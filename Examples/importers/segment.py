#!/usr/bin/env python3
"""Imports a dump of Segment's calls, one JSON object per line: identify, track, page, screen and alias.

A user id becomes the custom ID, an anonymous id the installation, so that what was done before the login is merged as
it would have been live. A message id becomes the event id: a dump that is imported twice has every event once.
`segment.py --help` lists the options; README.md says what becomes of what.
"""

import argparse
import datetime
import json
import re
import sys

from profiles.v1 import profiles_pb2 as p, types_pb2 as t

import importing

NATIVE = {"email": "email_address", "phone": "phone_number", "locale": "language", "timezone": "timezone"}
NAME_MAX, TEXT_MAX, LIST_MAX, FIELDS_MAX = 30, 300, 25, 20


def name_of(text):
    """A name as the service takes it: `Order Completed` is `order_completed`."""
    return re.sub(r"[^a-z0-9_]+", "_", re.sub(r"([a-z])([A-Z])", r"\1_\2", text).lower()).strip("_")[:NAME_MAX]


def value_of(content, level=1):
    """A Value; None for what has none, such as null, a blank text or a nesting that is too deep."""
    if isinstance(content, bool):
        return t.Value(boolean=content)
    if isinstance(content, int) and abs(content) < 1 << 63:
        return t.Value(integer=content)
    if isinstance(content, (int, float)):
        return t.Value(number=float(content))
    if isinstance(content, str) and content.strip():
        line = " ".join(content.split())
        return t.Value(string=line[:TEXT_MAX])
    if isinstance(content, list) and content and all(isinstance(item, str) and item.strip() for item in content):
        return t.Value(list=t.StringList(items=[item[:TEXT_MAX] for item in content[:LIST_MAX]]))
    if isinstance(content, list) and content and level < 3 and all(isinstance(item, dict) for item in content):
        objects = [t.Object(fields=fields_of(item, level + 1)) for item in content[:LIST_MAX]]
        return t.Value(objects=t.ObjectList(items=objects))
    if isinstance(content, dict) and level < 3:
        fields = fields_of(content, level + 1)
        return t.Value(object=t.Object(fields=fields)) if fields else None
    return None


def fields_of(members, level=1):
    fields = {}
    for name, content in members.items():
        value = value_of(content, level)
        if value is not None and name_of(name) and len(fields) < FIELDS_MAX:
            fields.setdefault(name_of(name), value)
    return fields


def stamp(message, target):
    """The time at which it happened; Segment corrects `timestamp` for the clock of the device."""
    text = message.get("timestamp") or message.get("originalTimestamp")
    if text:
        target.occurred_at.FromDatetime(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")))


def identify(message, anonymous_id):
    request = p.IdentifyRequest(installation_id=anonymous_id or "", custom_id=message.get("userId") or None)
    stamp(message, request)
    for name, content in (message.get("traits") or message.get("context", {}).get("traits") or {}).items():
        if name in NATIVE and isinstance(content, str):
            getattr(request.attributes.native, NATIVE[name]).value = content
        elif name_of(name) and (value := value_of(content)) and not value.WhichOneof("kind").startswith("object"):
            request.attributes.set[name_of(name)].CopyFrom(value)
    # An address belongs to someone who is known.
    if not request.custom_id:
        request.attributes.ClearField("native")
    return p.WriteOperation(identify=request)


def event(message):
    kind = message["type"]
    name = message.get("event") if kind == "track" else f"{kind}_viewed"
    if message.get("userId"):
        who = t.Identifier(custom_id=message["userId"])
    else:
        who = t.Identifier(installation_id=message.get("anonymousId") or "")
    happened = t.Event(event_id=message.get("messageId") or "", name=name_of(name or ""))
    stamp(message, happened)
    for key, value in fields_of(message.get("properties") or {}).items():
        happened.attributes[key].CopyFrom(value)
    if kind != "track" and message.get("name"):
        happened.label = message["name"][:200]
    return p.WriteOperation(track=p.TrackRequest(identifier=who, events=[happened]))


def operations(message):
    kind = message.get("type")
    if kind == "identify":
        return [identify(message, message.get("anonymousId"))]
    if kind == "alias":
        return [identify(message, message.get("previousId"))]
    return [event(message)] if kind in ("track", "page", "screen") else []


def read(options):
    with open(options.file, "rb") as file:
        for number, line in enumerate(file, 1):
            line = line.strip()
            try:
                message = json.loads(line) if line else {}
                made = operations(message)
            except (ValueError, TypeError, AttributeError) as error:
                print(f"line {number}: not a call: {error}", file=sys.stderr)
                continue
            yield number, line, made


if __name__ == "__main__":
    sys.exit(importing.main(argparse.ArgumentParser(description=__doc__.split("\n")[0]), read))
