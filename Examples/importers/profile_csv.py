#!/usr/bin/env python3
"""Imports a CSV file of profiles as Batch takes them: a row for each person, with consent.

`custom_id` says who; a column with `$` is what the service knows by itself (`$email_address`, `$email_marketing`,
`$phone_number`, `$sms_marketing`, `$language`, `$region`, `$timezone`); `topics` are subscribed of e-mail, between `|`;
any other column is an attribute. The kind of an attribute is in front of its name: `date(birthday)`, `integer(visits)`,
`float(score)`, `boolean(vip)`, `url(page)`, `array(sizes)`. `profile_csv.py --help` lists the options.
"""

import argparse
import csv
import datetime
import io
import re
import sys

from profiles.v1 import profiles_pb2 as p, types_pb2 as t

import importing

NATIVE = ("email_address", "phone_number", "language", "region", "timezone")
CHANNELS = {"$email_marketing": t.CHANNEL_EMAIL, "$sms_marketing": t.CHANNEL_SMS}
STATES = {"subscribed": t.SUBSCRIPTION_STATE_SUBSCRIBED, "unsubscribed": t.SUBSCRIPTION_STATE_UNSUBSCRIBED}


def value_of(kind, text):
    if kind == "integer":
        return t.Value(integer=int(text))
    if kind == "float":
        return t.Value(number=float(text))
    if kind == "boolean":
        return t.Value(boolean={"true": True, "false": False}[text.lower()])
    if kind == "url":
        return t.Value(url=text)
    if kind == "array":
        return t.Value(list=t.StringList(items=text.split("|")))
    if kind == "date":
        value = t.Value()
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
        value.time.FromDatetime(moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc))
        return value
    return t.Value(string=text)


def set_attribute(attributes, column, text):
    kind, name = re.fullmatch(r"(?:(\w+)\()?(\w+)\)?", column).groups()
    attributes.set[name].CopyFrom(value_of(kind, text))


def operations(row):
    request = p.IdentifyRequest(custom_id=row["custom_id"])
    changes = []
    for column, text in row.items():
        if not text or column == "custom_id":
            continue
        if column in CHANNELS:
            changes.append(p.SubscriptionChange(channel=CHANNELS[column], state=STATES[text]))
        elif column == "topics":
            for topic in text.split("|"):
                changes.append(
                    p.SubscriptionChange(channel=t.CHANNEL_EMAIL, topic=topic, state=STATES["subscribed"])
                )
        elif column.removeprefix("$") in NATIVE:
            getattr(request.attributes.native, column[1:]).value = text
        else:
            set_attribute(request.attributes, column, text)
    made = [p.WriteOperation(identify=request)]
    if changes:
        # An import never subscribes again whoever has left since; the service sees to that.
        update = p.UpdateSubscriptionRequest(
            identifier=t.Identifier(custom_id=row["custom_id"]), source=t.CONSENT_SOURCE_IMPORT, changes=changes
        )
        made.append(p.WriteOperation(update_subscription=update))
    return made


def read(options):
    with open(options.file, newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        for row in rows:
            if None in row or None in row.values() or not row.get("custom_id"):
                print(f"line {rows.line_num}: not as many fields as the header, or no custom_id", file=sys.stderr)
                continue
            text = io.StringIO()
            csv.writer(text).writerow(row.values())
            try:
                yield rows.line_num, text.getvalue().encode(), operations(row)
            except (ValueError, KeyError, AttributeError) as error:
                print(f"line {rows.line_num}: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(importing.main(argparse.ArgumentParser(description=__doc__.split("\n")[0]), read))
