#!/usr/bin/env python3
"""Writes Examples/shop.jsonl: what 500 people did in a shop's apps, website and back end, for `profilectl import`.

The same seed gives the same bytes on every Python 3 (it uses only `Random.random`, whose sequence is guaranteed).
Times are relative to the import ("ago"), so that the file never becomes outdated. Usage: generate_shop.py [FILE]
(default: standard output)
"""

import json
import random
import sys

SEED = 20_260_131
PEOPLE = 500
DAYS = 60
HOUR, DAY = 3_600, 86_400
PRODUCTS = [
    ("trail-shoe", "shoes", 119.0),
    ("road-shoe", "shoes", 99.9),
    ("sandal", "shoes", 49.5),
    ("wool-hat", "hats", 24.9),
    ("sun-hat", "hats", 19.0),
    ("rain-jacket", "jackets", 159.0),
    ("wind-jacket", "jackets", 89.0),
    ("backpack-20", "bags", 74.9),
    ("backpack-40", "bags", 129.0),
    ("bottle", "gear", 14.5),
    ("headlamp", "gear", 39.0),
    ("stove", "gear", 64.0),
]
NAMES = (
    "anna ben carla david emma finn greta hugo ida jonas klara leo mia noah olga paul rosa sam tina uwe vera yusuf zoe"
).split()
LANGUAGES = [
    ("de", "DE", "Europe/Berlin"),
    ("fr", "FR", "Europe/Paris"),
    ("en", "GB", "Europe/London"),
    ("es", "ES", "Europe/Madrid"),
]


class Chance:
    """Random choices based on `random()` alone; the other methods of `random.Random` may change between Python
    versions."""

    def __init__(self, seed):
        self._random = random.Random(seed)

    def below(self, count):
        return int(self._random.random() * count)

    def one(self, items):
        return items[self.below(len(items))]

    def happens(self, share):
        return self._random.random() < share


class Shop:
    """Collects operations as (seconds ago, number, operation); sorted by time at the end, oldest first."""

    def __init__(self):
        self.chance = Chance(SEED)
        self.operations = []
        self.events = 0

    def add(self, ago, operation):
        self.operations.append((-ago, len(self.operations), operation))

    def event(self, ago, name, attributes, **fields):
        self.events += 1
        return {"event_id": f"shop-{self.events}", "name": name, "ago": f"{ago}s", "attributes": attributes, **fields}

    def track(self, who, events, ago, source):
        self.add(ago, {"track": {"identifier": who, "events": events, "source": source, "historical": True}})

    def person(self, number):
        name = f"{self.chance.one(NAMES)}-{number:03}"
        phone, browser = f"phone-{number:03}", f"browser-{number:03}"
        app = {"platform": self.chance.one(["APP_IOS", "APP_ANDROID"]), "name": "shop app 4.2"}
        web = {"platform": "WEB", "name": "shop.example"}
        ago = 2 * DAY + self.chance.below(DAYS * DAY)
        device, source = (browser, web) if self.chance.happens(0.6) else (phone, app)
        self.browse({"installation_id": device}, ago, source)
        if self.chance.happens(0.15):
            return  # Browsed anonymously and never returned.
        ago -= self.chance.below(6 * HOUR)
        self.login(name, device, ago, source, number)
        ago -= self.chance.below(HOUR)
        self.consent(name, ago)
        for _ in range(1 + self.chance.below(3)):
            if ago < 4 * HOUR:
                break
            ago -= self.chance.below(ago // 2)
            if self.chance.happens(0.5):
                device, source = (phone, app) if device == browser else (browser, web)
                # A switch of devices: anonymous first, then the login that merges.
                self.browse({"installation_id": device}, ago, source)
                ago -= 60
                self.add(
                    ago,
                    {"identify": {"installation_id": device, "custom_id": name, "ago": f"{ago}s", "source": source}},
                )
                ago -= 60
            self.purchase(name, device, ago, source)
        if self.chance.happens(0.2):
            self.unsubscribe(name, max(1, ago - HOUR))
        if self.chance.happens(0.1):
            ago = max(1, ago - 2 * HOUR)
            self.add(
                ago, {"identify": {"installation_id": device, "logged_out": True, "ago": f"{ago}s", "source": source}}
            )

    def browse(self, who, ago, source):
        events = []
        for step in range(1 + self.chance.below(4)):
            sku, category, _ = self.chance.one(PRODUCTS)
            page = {"sku": sku, "category": category}
            if source["platform"] == "WEB":
                page["page"] = {"url": f"https://shop.example/{category}/{sku}"}
            events.append(self.event(ago - step, "product_viewed", page))
        self.track(who, events, ago, source)

    def login(self, name, device, ago, source, number):
        language, region, zone = self.chance.one(LANGUAGES)
        native = {"email_address": f"{name}@example.org", "language": language, "region": region, "timezone": zone}
        if self.chance.happens(0.5):
            native["phone_number"] = f"+4930{1_000_000 + number}"
        values = {
            "first_name": name.split("-")[0].capitalize(),
            "plan": self.chance.one(["basic", "basic", "silver", "gold"]),
            "newsletter_day": self.chance.one(["monday", "friday"]),
            "shoe_size": 36 + self.chance.below(11),
            "interests": sorted({self.chance.one(PRODUCTS)[1] for _ in range(3)}),
            "accepts_terms": True,
        }
        self.add(
            ago,
            {
                "identify": {
                    "installation_id": device,
                    "custom_id": name,
                    "attributes": {"set": values, "native": native},
                    "ago": f"{ago}s",
                    "source": source,
                }
            },
        )

    def consent(self, name, ago):
        changes = [{"channel": "EMAIL", "state": "SUBSCRIBED"}]
        changes += [
            {"channel": "EMAIL", "topic": topic, "state": "SUBSCRIBED"}
            for topic in ("offers", "news")
            if self.chance.happens(0.6)
        ]
        if self.chance.happens(0.3):
            changes.append({"channel": "PUSH", "state": "SUBSCRIBED"})
        self.add(
            ago,
            {
                "update_subscription": {
                    "identifier": {"custom_id": name},
                    "changes": changes,
                    "source": "USER",
                    "ago": f"{ago}s",
                    "evidence": {"method": "sign-up form", "text_version": "2026-01"},
                }
            },
        )

    def purchase(self, name, device, ago, source):
        who = {"installation_id": device}
        basket = [self.chance.one(PRODUCTS) for _ in range(1 + self.chance.below(3))]
        self.browse(who, ago, source)
        for sku, category, price in basket:
            ago = max(1, ago - 30)
            self.track(
                who,
                [self.event(ago, "added_to_basket", {"sku": sku, "category": category, "price": price})],
                ago,
                source,
            )
        if self.chance.happens(0.3):
            return  # An abandoned basket.
        ago = max(1, ago - 120)
        order = f"order-{len(self.operations)}"
        items = [{"sku": sku, "category": category, "price": price} for sku, category, price in basket]
        bought = self.event(
            ago,
            "purchase",
            {
                "order": order,
                "amount": round(sum(price for _, _, price in basket), 2),
                "currency": "EUR",
                "items": items,
            },
            tags=["shop"],
        )
        self.track({"custom_id": name}, [bought], ago, {"platform": "API", "name": "checkout"})
        spent = {"last_order": order, "basket_size": len(basket)}
        self.add(
            ago,
            {
                "identify": {
                    "custom_id": name,
                    "attributes": {"set": spent},
                    "ago": f"{ago}s",
                    "source": {"platform": "API", "name": "checkout"},
                }
            },
        )

    def unsubscribe(self, name, ago):
        source, topic = ("ONE_CLICK", "offers") if self.chance.happens(0.5) else ("PREFERENCE_CENTER", "")
        change = {"channel": "EMAIL", "state": "UNSUBSCRIBED"}
        if topic:
            change["topic"] = topic
        self.add(
            ago,
            {
                "update_subscription": {
                    "identifier": {"custom_id": name},
                    "changes": [change],
                    "source": source,
                    "ago": f"{ago}s",
                }
            },
        )

    def lines(self):
        for number in range(PEOPLE):
            self.person(number)
        for _, _, operation in sorted(self.operations, key=lambda entry: entry[:2]):
            yield json.dumps(operation, separators=(",", ":")) + "\n"


def main():
    text = "".join(Shop().lines())
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
