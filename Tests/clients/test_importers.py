"""Examples/importers: dumps of other systems, each imported once however often it is tried."""

import json
import os
import subprocess
import sys

from conftest import ROOT, custom, get, profiles_pb2, types_pb2, unique

FOLDER = ROOT / "Examples/importers"


def run(server, program, file, *flags):
    return subprocess.run(
        [sys.executable, str(FOLDER / program), str(file), "--server", server.listen, *flags],
        # The stubs that this run has made.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if "profiles-stubs" in path)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def profile(stub, person):
    return stub.GetProfile(get(custom(person)), timeout=20).profile


def counters(stub, person):
    return {counter.name: counter.count for counter in profile(stub, person).event_counters}


def call(kind, number, **fields):
    return {"type": kind, "messageId": f"m{number}", "timestamp": "2026-11-01T10:00:00.5Z", **fields}


def test_a_segment_dump_becomes_people_and_events(shared, stub, tmp_path):
    person, device, base = unique("p"), unique("d"), unique("m")
    calls = [
        call("page", f"{base}-1", anonymousId=device, name="Home", properties={"path": "/"}),
        call("track", f"{base}-2", anonymousId=device, event="Product Viewed", properties={"sku": "a", "price": 9.5}),
        call(
            "identify",
            f"{base}-3",
            anonymousId=device,
            userId=person,
            traits={"email": f"{person}@example.org", "firstName": "Anna", "vip": True, "nothing": None},
        ),
        call(
            "track",
            f"{base}-4",
            userId=person,
            event="Order Completed",
            properties={"total": 59.9, "products": [{"sku": "a"}], "coupon": "", "shipping": {"method": "fast"}},
        ),
        call("group", f"{base}-5", userId=person),
        call("track", f"{base}-6", userId=person, event="!!!"),
    ]
    file = tmp_path / "dump.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in calls) + "no json\n")
    checked = run(shared, "segment.py", file, "--dry-run")
    assert checked.returncode == 5 and checked.stdout == "4 applied, 0 unchanged, 1 rejected\n", checked.stderr
    result = run(shared, "segment.py", file)
    assert result.returncode == 5 and result.stdout == checked.stdout
    assert "line 6: " in result.stderr and "line 7: not a call" in result.stderr
    known = profile(stub, person)
    found = stub.LookupProfiles(
        profiles_pb2.LookupProfilesRequest(project="default", email_address=f"{person}@example.org")
    )
    assert [one.profile_id for one in found.profiles] == [known.profile_id]
    assert known.attributes["first_name"].string == "Anna" and known.attributes["vip"].boolean
    assert counters(stub, person) == {"page_viewed": 1, "product_viewed": 1, "order_completed": 1}
    # Again, and with one line more, which makes another chunk of it.
    assert run(shared, "segment.py", file).stdout == checked.stdout
    file.write_text(file.read_text().replace("no json\n", json.dumps(calls[3]) + "\n"))
    assert run(shared, "segment.py", file).stdout.startswith("0 applied, 5 unchanged, 1 rejected")
    assert counters(stub, person)["order_completed"] == 1


def test_a_large_dump_has_each_event_once(shared, stub, tmp_path):
    person, base = unique("p"), unique("m")
    file = tmp_path / "dump.jsonl"
    lines = [json.dumps(call("track", f"{base}-{number}", userId=person, event="Step")) for number in range(3_500)]
    file.write_text("\n".join(lines[:2_000]))
    assert run(shared, "segment.py", file).returncode == 0
    file.write_text("\n".join(lines))
    assert run(shared, "segment.py", file).returncode == 0
    assert counters(stub, person) == {"step": 3_500}


CSV = (
    "custom_id,$email_address,$email_marketing,topics,plan,integer(visits),date(birthday),array(sizes)\n"
    '{one},{one}@example.org,subscribed,tips|offers,"gold, yearly",7,1980-05-01,s|m\n'
    "{two},,unsubscribed,,,,,\n"
    "{three},not an address,,,silver,,,\n"
    "{four},,,,basic,seven,,\n"
)


def test_a_csv_file_becomes_profiles_with_consent(shared, stub, tmp_path):
    names = {name: unique(name) for name in ("one", "two", "three", "four")}
    file = tmp_path / "people.csv"
    file.write_text(CSV.format(**names))
    result = run(shared, "profile_csv.py", file)
    assert result.returncode == 5 and result.stdout == "4 applied, 0 unchanged, 1 rejected\n", result.stderr
    assert "line 4: " in result.stderr and "line 5: " in result.stderr
    one = profile(stub, names["one"])
    assert one.attributes["plan"].string == "gold, yearly" and one.attributes["visits"].integer == 7
    assert list(one.attributes["sizes"].list.items) == ["s", "m"]
    states = {(change.channel, change.topic): change.state for change in one.subscriptions.items}
    email = types_pb2.CHANNEL_EMAIL
    assert states == {(email, topic): types_pb2.SUBSCRIPTION_STATE_SUBSCRIBED for topic in ("", "tips", "offers")}
    for change in one.subscriptions.items:
        assert change.source == types_pb2.CONSENT_SOURCE_IMPORT
    # Whoever has left since is not subscribed again by the same file in another form.
    stub.UpdateSubscription(
        profiles_pb2.UpdateSubscriptionRequest(
            project="default",
            identifier=custom(names["one"]),
            source=types_pb2.CONSENT_SOURCE_USER,
            changes=[
                profiles_pb2.SubscriptionChange(channel=email, state=types_pb2.SUBSCRIPTION_STATE_UNSUBSCRIBED)
            ],
        )
    )
    file.write_text(CSV.format(**names) + f"{unique('five')},,,,,,,\n")
    assert run(shared, "profile_csv.py", file).returncode == 5
    one = profile(stub, names["one"])
    states = {(change.channel, change.topic): change.state for change in one.subscriptions.items}
    assert states[(email, "")] == types_pb2.SUBSCRIPTION_STATE_UNSUBSCRIBED


def test_what_no_retry_mends_ends_an_importer(shared, tmp_path):
    file = tmp_path / "people.csv"
    file.write_text("custom_id,plan\na,b\n")
    result = run(shared, "profile_csv.py", file, "--project", "nowhere")
    assert result.returncode not in (0, 5) and "no such project" in result.stderr
