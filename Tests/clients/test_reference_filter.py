"""The examples of docs/filters.md by the reference evaluation: the page says the same to both."""

import pathlib
import re

import pytest

from reference_filter import Invalid, Subject, Time, matches

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOW = 1_700_000_000_000_000
MINUTE = 60_000_000

ANNA = Subject(
    custom_id="anna-7",
    created_at=Time(NOW),
    updated_at=Time(NOW),
    last_seen_at=Time(NOW),
    attributes={
        "email_address": "anna@example.com",
        "plan": "gold",
        "age": 41,
        "score": 2.5,
        "vip": True,
        "born": Time(478_483_200_000_000),
        "sports": ["judo", "ski*"],
    },
    counters={"purchase": (3, NOW - 50 * MINUTE, NOW - MINUTE)},
    subscriptions={("EMAIL", ""): "SUBSCRIBED", ("EMAIL", "news"): "UNSUBSCRIBED"},
    suppressed={"EMAIL"},
    installations=["phone-1"],
)
EVENT = {
    "label": "web",
    "tags": ["sale"],
    "attributes": {
        "amount": 59.9,
        "cart": {"total": 80, "shop": {"city": "Lyon"}},
        "items": [{"sku": "a1", "price": 30}, {"sku": "b2", "price": 50}],
    },
}


def rows(header):
    lines = (ROOT / "docs/filters.md").read_text().splitlines()
    start = lines.index(header) + 2
    for line in lines[start:]:
        row = re.fullmatch(r"\| `(.*)` \| (yes|no) \|", line)
        if not row:
            return
        yield row[1], row[2] == "yes"


@pytest.mark.parametrize("text, expected", list(rows("| Filter | Anna |")))
def test_example_of_a_profile_holds_as_the_page_says(text, expected):
    assert matches(text, ANNA, NOW) is expected


@pytest.mark.parametrize("text, expected", list(rows("| Trigger's filter | Anna |")))
def test_example_of_a_trigger_holds_as_the_page_says(text, expected):
    assert matches(text, Subject(**{**vars(ANNA), "event": EVENT}), NOW) is expected


@pytest.mark.parametrize("text", ["(a", "a =", "AND", "a = (b)", 'a = "b', "a & b"])
def test_text_that_is_no_filter_is_invalid(text):
    with pytest.raises(Invalid):
        matches(text, ANNA, NOW)
