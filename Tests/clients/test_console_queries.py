"""What the profile page's queries show of people, as JSON."""

import json

import pytest

from conftest import custom, event, fails, profiles_pb2, track, types_pb2, unique
from console_tools import page, person  # noqa: F401  (a fixture)


def test_a_person_is_found_by_every_identifier(page):
    name, device, address = unique("person"), unique("device"), f"{unique('mail')}@example.com"
    native = types_pb2.NativeAttributes()
    native.email_address.value, native.phone_number.value = address, "+4930123456"
    made = page.stub.Identify(
        profiles_pb2.IdentifyRequest(
            project="default",
            installation_id=device,
            custom_id=name,
            attributes=types_pb2.AttributePatch(native=native),
        )
    )
    profile_id = made.profile.profile_id
    for kind, value in [("custom_id", name), ("installation_id", device), ("profile_id", profile_id)]:
        assert [one["profile_id"] for one in page.api("find", kind=kind, value=value)["profiles"]] == [profile_id]
    for kind, value in [("email_address", address.upper()), ("phone_number", "+4930123456")]:
        assert profile_id in [one["profile_id"] for one in page.api("find", kind=kind, value=value)["profiles"]]
    assert page.api("find", kind="custom_id", value=unique("nobody"))["profiles"] == []


def test_a_profile_has_its_sources_verdicts_and_ledger(page):
    name = unique("person")
    native = types_pb2.NativeAttributes()
    native.email_address.value = f"{name}@example.com"
    patch = types_pb2.AttributePatch(native=native)
    patch.set["plan"].string = "gold"
    source = types_pb2.Source(platform=types_pb2.PLATFORM_WEB, name="checkout")
    page.stub.Identify(profiles_pb2.IdentifyRequest(project="default", custom_id=name, attributes=patch, source=source))
    change = profiles_pb2.SubscriptionChange(
        channel=types_pb2.CHANNEL_EMAIL, state=types_pb2.SUBSCRIPTION_STATE_SUBSCRIBED
    )
    made = page.stub.UpdateSubscription(
        profiles_pb2.UpdateSubscriptionRequest(
            project="default", identifier=custom(name), changes=[change], source=types_pb2.CONSENT_SOURCE_USER
        )
    )
    whole = page.api("profile", profile_id=made.profile_id)
    assert whole["profile"]["attributes"]["plan"] == {"string": "gold"}
    assert whole["profile"]["attribute_metadata"]["plan"]["source"] == {"platform": "PLATFORM_WEB", "name": "checkout"}
    verdicts = {(one["channel"], one["message_class"]): one for one in whole["verdicts"]}
    assert verdicts["CHANNEL_EMAIL", "MESSAGE_CLASS_MARKETING"]["sendable"] is True
    assert verdicts["CHANNEL_SMS", "MESSAGE_CLASS_MARKETING"]["sendable"] is False
    assert verdicts["CHANNEL_SMS", "MESSAGE_CLASS_MARKETING"]["reason"] == "SENDABLE_REASON_NO_ADDRESS"
    assert whole["ledger"]["valid"] is True and whole["ledger"]["entries"] == 1
    assert [one["after"] for one in page.api("ledger", profile_id=made.profile_id)["entries"]] == [
        "SUBSCRIPTION_STATE_SUBSCRIBED"
    ]


def test_events_are_listed_newest_first_in_pages_with_their_times_by_name(page):
    who = custom()
    for batch in range(3):
        made = page.stub.Track(
            track(who, *[event(f"visit_{batch}", event_id=f"{batch}-{number}") for number in range(12)])
        )
    listed, token = [], ""
    while True:
        read = page.api("events", profile_id=made.profile_id, page_token=token)
        listed += [one["event_id"] for one in read["events"]]
        token = read.get("next_page_token", "")
        if not token:
            break
    assert sorted(listed) == sorted(f"{batch}-{number}" for batch in range(3) for number in range(12))
    assert listed[0].startswith("2-") and listed[-1].startswith("0-")
    only = page.api("events", profile_id=made.profile_id, name="visit_1")["events"]
    assert {one["name"] for one in only} == {"visit_1"}
    times = page.api("activity", profile_id=made.profile_id)["times"]
    assert {name: len(found) for name, found in times.items()} == {f"visit_{batch}": 12 for batch in range(3)}


def test_changes_continue_where_the_last_response_ended(page):
    who = custom()
    profile_id = page.stub.Track(track(who)).profile_id
    position = {"from": page.api("profile", profile_id=profile_id)["lsn"] + 1, "skip": 0}
    seen = []
    for number in range(3):
        page.stub.Track(track(who, event("visit", event_id=f"a{number}"), event("visit", event_id=f"b{number}")))
        while len(seen) < 2 * (number + 1):
            read = page.api("changes", profile_id=profile_id, **position)
            position = {name: read[name] for name in ["from", "skip"]}
            seen += [one["change"]["event"]["event_id"] for one in read["changes"]]
    assert seen == ["a0", "b0", "a1", "b1", "a2", "b2"]


def large_event(texts, **value):
    """An event with so many texts, which are equal."""
    one = event(event_id=unique("large"))
    for number in range(texts):
        items = one.attributes[f"list_{number % 20}"].objects.items
        if len(items) < 25:
            items.add()
        item = items[number // 20 % 25]
        item.fields[f"text_{number // 500}"].CopyFrom(types_pb2.Value(**value))
    return one


# 0.5 MB of a character that JSON escapes with six, and the largest event, with as many quotes as it can have.
ESCAPED = {"texts": 1_600, "string": "a" + "\x01" * 299}
LARGEST = {"texts": 1_950, "url": "http://a/" + '"' * 2_000}


@pytest.mark.parametrize("kinds", [[ESCAPED, LARGEST], [ESCAPED, ESCAPED, LARGEST]], ids=len)
def test_changes_with_large_events_come_in_as_many_responses_as_they_need(page, kinds):
    who, events = custom(), [large_event(**kind) for kind in kinds]
    made = page.stub.Track(track(who))
    for one in events:
        page.stub.Track(track(who, one))
    position, seen = {"from": made.lsn + 1, "skip": 0}, []
    while len(seen) < len(events):
        read = page.api("changes", profile_id=made.profile_id, **position)
        position = {name: read[name] for name in ["from", "skip"]}
        seen += [one["change"]["event"]["event_id"] for one in read["changes"]]
    assert seen == [one.event_id for one in events]


def test_changes_skip_what_is_known_of_an_lsn(page):
    made = page.stub.Track(track(custom(), event(event_id="a")))
    page.stub.Track(track(types_pb2.Identifier(profile_id=made.profile_id), event(event_id="b")))
    first = page.api("changes", profile_id=made.profile_id, **{"from": made.lsn, "skip": 0})["changes"]
    kinds = [one["change"]["kind"] for one in first]
    assert kinds == ["CHANGE_KIND_PROFILE_CREATED", "CHANGE_KIND_EVENT_STORED", "CHANGE_KIND_EVENT_STORED"]
    again = page.api("changes", profile_id=made.profile_id, **{"from": made.lsn, "skip": 1})["changes"]
    assert again == first[1:]


def test_merges_that_can_be_undone_are_shown_with_the_id_that_undoes_them(page):
    old, new, device = unique("old"), unique("new"), unique("device")
    patch = types_pb2.AttributePatch()
    patch.set["color"].string = "red"
    page.stub.Identify(
        profiles_pb2.IdentifyRequest(project="default", custom_id=old, installation_id=device, attributes=patch)
    )
    loser = page.stub.Track(track(custom(old), event(), event())).profile_id
    survivor = page.stub.Track(track(custom(new))).profile_id
    assert page.api("merges", profile_id=survivor)["merges"] == []
    merged = page.stub.MergeProfiles(
        profiles_pb2.MergeProfilesRequest(
            project="default", loser=custom(old), survivor=custom(new), allow_identified=True
        )
    )
    for asked in [survivor, loser]:
        (shown,) = page.api("merges", profile_id=asked)["merges"]
        assert shown["merge_id"] == merged.merge_id and shown["profile_id"] == loser and shown["custom_id"] == old
        assert shown["events"] == 2 and shown["installations"] == [device] and shown["attributes"] == ["color"]
        assert shown["merged_at"] < shown["undoable_until"]
    page.stub.UnmergeProfile(profiles_pb2.UnmergeProfileRequest(project="default", merge_id=shown["merge_id"]))
    assert page.api("merges", profile_id=survivor)["merges"] == []


def test_a_batch_that_is_rolled_back_leaves_no_merge(page):
    name, device = unique("person"), unique("device")
    survivor = person(page, name)
    page.stub.Identify(profiles_pb2.IdentifyRequest(project="default", installation_id=device))
    merge = profiles_pb2.WriteOperation(identify=profiles_pb2.IdentifyRequest(installation_id=device, custom_id=name))
    wrong = profiles_pb2.WriteOperation(
        track=profiles_pb2.TrackRequest(identifier=custom(unique()), events=[event()], must_exist=True)
    )
    fails(page.stub.BatchWrite, profiles_pb2.BatchWriteRequest(project="default", operations=[merge, wrong]))
    assert page.api("merges", profile_id=survivor)["merges"] == []


def test_an_erased_person_is_gone_from_every_query(page):
    profile_id = person(page)
    page.stub.EraseProfile(
        profiles_pb2.EraseProfileRequest(project="default", identifier=types_pb2.Identifier(profile_id=profile_id))
    )
    for query in ["profile", "events", "activity", "ledger", "merges"]:
        assert page.refused(query, profile_id=profile_id)[0] == 404


def test_filters_are_counted_and_listed_with_the_column_of_an_error(page):
    label = unique("visit").replace("-", "_").lower()
    people = {page.stub.Track(track(custom(), event(label))).profile_id for _ in range(5)}
    chosen = f"events.{label}.count = 1"
    assert page.api("count", filter=chosen)["count"] == 5
    assert {one["profile_id"] for one in page.api("list", filter=chosen)["profiles"]} == people
    status, error = page.refused("list", filter="state < IDENTIFIED")
    assert status == 400 and error["reason"] == "FILTER_INVALID"
    assert error["violations"][0]["description"].startswith("column 7: ")


def test_texts_are_escaped_in_json(page):
    name = '<script>alert(1)</script>"\\\u202e\u0007</script>' + unique()
    profile_id = person(page, name)
    _, fields, body = page.ask(f"/api/profile?profile_id={profile_id}")
    assert fields["content-type"] == "application/json"
    assert json.loads(body)["profile"]["custom_id"] == name
    assert b"\x07" not in body and "\u202e".encode() not in body
