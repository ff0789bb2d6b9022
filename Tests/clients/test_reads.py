"""Reads other than GetProfile (spec section 4)."""

import time

import grpc
import pytest
from google.protobuf import timestamp_pb2

from conftest import custom, event, fails, profiles_pb2, track, types_pb2, unique

NEWEST, OLDEST = 1, 2
NOW = int(time.time())


def ago(seconds):
    return timestamp_pb2.Timestamp(seconds=NOW - seconds)


def events_of(identifier, **fields):
    return profiles_pb2.ListEventsRequest(project="default", identifier=identifier, **fields)


def filled(stub, count, **fields):
    """A person with events e0 (oldest) to e<count - 1>, a minute apart."""
    who = custom()
    for first in range(0, count, 15):
        stub.Track(
            track(
                who,
                *(
                    event(
                        "odd" if number % 2 else "even",
                        event_id=f"e{number}",
                        occurred_at=ago((count - number) * 60),
                        **fields,
                    )
                    for number in range(first, min(count, first + 15))
                ),
            )
        )
    return who


def ids(response):
    return [item.event_id for item in response.events]


def pages(stub, request):
    """All pages of a listing."""
    while True:
        response = stub.ListEvents(request)
        yield response
        if not response.next_page_token:
            return
        request.page_token = response.next_page_token


def test_an_event_is_listed_as_it_was_sent(stub):
    device = types_pb2.Identifier(installation_id=unique("device"))
    values = {
        "s": types_pb2.Value(string="é"),
        "n": types_pb2.Value(number=1.5),
        "i": types_pb2.Value(integer=-7),
        "l": types_pb2.Value(list=types_pb2.StringList(items=["a", "b"])),
        "o": types_pb2.Value(object=types_pb2.Object(fields={"x": types_pb2.Value(boolean=True)})),
    }
    sent = event("Purchase", event_id="one", attributes=values, label="L", tags=["t", "u"], occurred_at=ago(60))
    source = types_pb2.Source(platform=types_pb2.PLATFORM_WEB, name="shop")
    lsn = stub.Track(track(device, sent, source=source)).lsn
    response = stub.ListEvents(events_of(device, min_lsn=lsn))
    assert (
        response.lsn >= lsn and not response.truncated and not response.next_page_token and not response.redirected_from
    )
    listed = response.events[0]
    assert (listed.event_id, listed.name, listed.label, list(listed.tags)) == ("one", "purchase", "L", ["t", "u"])
    assert dict(listed.attributes) == values and listed.effective_time == ago(60)
    assert (listed.lsn, listed.identifier, listed.source, listed.historical) == (lsn, device, source, False)
    assert listed.received_at.seconds >= NOW


def test_an_event_without_an_id_is_listed_with_its_generated_id(stub):
    who = custom()
    made = stub.Track(track(who)).results[0].event_id
    assert ids(stub.ListEvents(events_of(who))) == [made]


def test_both_orders_and_bounds(stub):
    who = filled(stub, 6)
    assert ids(stub.ListEvents(events_of(who))) == ["e5", "e4", "e3", "e2", "e1", "e0"]
    assert ids(stub.ListEvents(events_of(who, order=NEWEST))) == ["e5", "e4", "e3", "e2", "e1", "e0"]
    assert ids(stub.ListEvents(events_of(who, order=OLDEST))) == ["e0", "e1", "e2", "e3", "e4", "e5"]
    # e2 is 240 s old: `from` is inclusive, `to` is exclusive.
    between = {"from": ago(240), "to": ago(120)}
    assert ids(stub.ListEvents(events_of(who, order=OLDEST, **between))) == ["e2", "e3"]
    assert ids(stub.ListEvents(events_of(who, names=["ODD"]))) == ["e5", "e3", "e1"]
    assert ids(stub.ListEvents(events_of(who, names=["odd", "even"], page_size=2))) == ["e5", "e4"]
    assert ids(stub.ListEvents(events_of(who, names=["never"]))) == []


@pytest.mark.parametrize("order", [NEWEST, OLDEST])
def test_events_that_arrive_while_paging_neither_repeat_nor_skip_others(stub, order):
    who = filled(stub, 40)
    seen, request = [], events_of(who, order=order, page_size=7)
    for number, response in enumerate(pages(stub, request)):
        assert len(response.events) <= 7
        seen += [item for item in ids(response) if item.startswith("e")]
        # Before the reader's position, after it, and in between.
        stub.Track(
            track(who, *(event(event_id=f"late{number}-{age}", occurred_at=ago(age)) for age in (1, 1230, 3000)))
        )
    expected = [f"e{number}" for number in range(40)]
    assert seen == (expected if order == OLDEST else expected[::-1])


def test_a_page_has_100_events_by_default_and_at_most_1000(stub):
    who = filled(stub, 120)
    assert len(stub.ListEvents(events_of(who)).events) == 100
    assert len(stub.ListEvents(events_of(who, page_size=1_000)).events) == 120
    # A last page that is full has no page token.
    assert not stub.ListEvents(events_of(who, page_size=120)).next_page_token
    failure = fails(stub.ListEvents, events_of(who, page_size=1_001))
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT and "page_size" in failure.violations


def test_a_page_of_large_events_ends_early(stub):
    wide = {f"a{number}": types_pb2.Value(list=types_pb2.StringList(items=["é" * 300] * 25)) for number in range(20)}
    who = custom()
    for number in range(12):
        stub.Track(track(who, event(event_id=f"e{number}", attributes=wide, occurred_at=ago(60 * (20 - number)))))
    sizes, seen = [], []
    for response in pages(stub, events_of(who)):
        sizes.append(response.ByteSize())
        seen += ids(response)
    assert seen == [f"e{number}" for number in reversed(range(12))]
    assert len(sizes) > 1 and max(sizes) < 2 << 20


def test_a_page_token_is_valid_for_its_own_listing_only(stub):
    who = filled(stub, 6)
    token = stub.ListEvents(events_of(who, page_size=2)).next_page_token
    assert ids(stub.ListEvents(events_of(who, page_size=3, page_token=token))) == ["e3", "e2", "e1"]
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    others = [
        events_of(custom(), page_token=token),
        events_of(who, order=OLDEST, page_token=token),
        events_of(who, names=["odd"], page_token=token),
        events_of(who, to=ago(1), page_token=token),
        events_of(who, page_token=forged),
        events_of(who, page_token="x"),
    ]
    for request in others:
        failure = fails(stub.ListEvents, request)
        assert failure.code == grpc.StatusCode.INVALID_ARGUMENT and list(failure.violations) == ["page_token"]


def test_a_listing_that_begins_before_the_retained_events_reports_it(stub):
    who = filled(stub, 1_005)
    response = stub.ListEvents(events_of(who, order=OLDEST, page_size=1))
    assert response.truncated and ids(response) == ["e5"]
    dropped = {"from": ago((1_005 - 4) * 60)}
    assert stub.ListEvents(events_of(who, **dropped)).truncated
    retained = {"from": ago((1_005 - 5) * 60)}
    assert not stub.ListEvents(events_of(who, **retained)).truncated
    long_ago = {"from": ago(100 * 86_400)}
    assert stub.ListEvents(events_of(custom_with_event(stub), **long_ago)).truncated


def custom_with_event(stub):
    who = custom()
    stub.Track(track(who))
    return who


def test_a_listing_by_the_id_of_a_merged_profile_shows_the_survivors(stub):
    device = unique("device")
    gone = stub.Track(track(types_pb2.Identifier(installation_id=device), event(event_id="before"))).profile_id
    who = custom_with_event(stub)
    stub.Identify(profiles_pb2.IdentifyRequest(project="default", custom_id=who.custom_id, installation_id=device))
    response = stub.ListEvents(events_of(types_pb2.Identifier(profile_id=gone)))
    assert response.redirected_from == gone and len(response.events) == 2 and "before" in ids(response)


def test_bad_requests_and_unknown_people(stub):
    failure = fails(
        stub.ListEvents,
        profiles_pb2.ListEventsRequest(project="Default", names=["good", "not a name"], order=9, page_size=2_000),
    )
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert set(failure.violations) == {"project", "identifier", "names[1]", "order", "page_size"}
    assert "names" in fails(stub.ListEvents, events_of(custom(), names=["n"] * 101)).violations
    assert fails(stub.ListEvents, events_of(custom())).code == grpc.StatusCode.NOT_FOUND
    who = custom_with_event(stub)
    failure = fails(stub.ListEvents, events_of(who, min_lsn=1 << 60))
    assert failure.code == grpc.StatusCode.FAILED_PRECONDITION and failure.reason == "LSN_NOT_REACHED"


def batch(identifiers, **fields):
    return profiles_pb2.BatchGetProfilesRequest(project="default", identifiers=identifiers, **fields)


def test_a_batch_returns_the_found_and_lists_the_missing(stub):
    known = [custom_with_event(stub) for _ in range(3)]
    unknown = [custom(), types_pb2.Identifier(installation_id=unique("device"))]
    response = stub.BatchGetProfiles(batch([known[0], unknown[0], known[1], known[0], unknown[1], known[2]]))
    shown = [item.profile.custom_id for item in response.profiles]
    assert shown == [who.custom_id for who in (known[0], known[1], known[0], known[2])]
    assert list(response.missing) == unknown
    assert {item.lsn for item in response.profiles} == {response.lsn}
    masked = stub.BatchGetProfiles(batch(known, read_mask={"paths": ["custom_id"]}))
    assert [item.profile for item in masked.profiles] == [types_pb2.Profile(custom_id=who.custom_id) for who in known]
    assert not stub.BatchGetProfiles(batch([])).profiles


def test_a_batch_follows_merges(stub):
    device = unique("device")
    gone = stub.Track(track(types_pb2.Identifier(installation_id=device))).profile_id
    who = custom_with_event(stub)
    stub.Identify(profiles_pb2.IdentifyRequest(project="default", custom_id=who.custom_id, installation_id=device))
    response = stub.BatchGetProfiles(batch([types_pb2.Identifier(profile_id=gone), who]))
    assert [item.redirected_from for item in response.profiles] == [gone, ""]
    assert response.profiles[0].profile == response.profiles[1].profile


def test_a_batch_accepts_200_identifiers_and_reports_violations(stub):
    who = custom_with_event(stub)
    assert len(stub.BatchGetProfiles(batch([who] * 200)).profiles) == 200
    failure = fails(stub.BatchGetProfiles, batch([who] * 201))
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT and list(failure.violations) == ["identifiers"]
    bad = [who, types_pb2.Identifier(), types_pb2.Identifier(profile_id="x"), types_pb2.Identifier(custom_id="null")]
    failure = fails(stub.BatchGetProfiles, batch(bad, read_mask={"paths": ["nothing"]}))
    assert set(failure.violations) == {
        "identifiers[1]",
        "identifiers[2].profile_id",
        "identifiers[3].custom_id",
        "read_mask.paths[0]",
    }
    assert fails(stub.BatchGetProfiles, batch([who], min_lsn=1 << 60)).reason == "LSN_NOT_REACHED"


def test_a_batch_is_read_at_one_lsn_while_others_write(shared, stub):
    """Two people alternately get one event each: no batch may see the second ahead of the first."""
    import threading

    first, second = custom(), custom()
    done = threading.Event()

    def write():
        for _ in range(300):
            stub.Track(track(first))
            stub.Track(track(second))
        done.set()

    stub.Track(track(first))
    stub.Track(track(second))
    threading.Thread(target=write).start()
    while not done.is_set():
        response = stub.BatchGetProfiles(batch([second, first]))
        counts = [item.profile.event_counters[0].count for item in response.profiles]
        assert counts[1] - counts[0] in (0, 1)


def identify(stub, who, email=None, phone=None, device="", **fields):
    native = {}
    if email:
        native["email_address"] = {"value": email}
    if phone:
        native["phone_number"] = {"value": phone}
    return stub.Identify(
        profiles_pb2.IdentifyRequest(
            project="default",
            custom_id=who.custom_id,
            installation_id=device,
            attributes=types_pb2.AttributePatch(native=types_pb2.NativeAttributes(**native), **fields),
        )
    )


def lookup(stub, **fields):
    return [
        item.custom_id
        for item in stub.LookupProfiles(profiles_pb2.LookupProfilesRequest(project="default", **fields)).profiles
    ]


def test_a_lookup_finds_everyone_with_an_address(stub):
    address, phone = f"{unique('Ann')}@Example.org", f"+49{time.time_ns() % 10**11}"
    one, two = custom(), custom()
    identify(stub, one, email=address, phone=phone)
    lsn = identify(stub, two, email=address.lower()).lsn
    assert set(lookup(stub, email_address=address.upper(), min_lsn=lsn)) == {one.custom_id, two.custom_id}
    assert lookup(stub, phone_number=phone) == [one.custom_id]
    assert lookup(stub, email_address=f"{unique('nobody')}@example.org") == []


def test_a_lookup_follows_what_happens_to_an_address(stub):
    old, new = f"{unique('old')}@example.org", f"{unique('new')}@example.org"
    who = custom()
    identify(stub, who, email=old)
    identify(stub, who, email=new)
    assert lookup(stub, email_address=old) == [] and lookup(stub, email_address=new) == [who.custom_id]
    identify(stub, who, delete=["email_address"])
    assert lookup(stub, email_address=new) == []
    identify(stub, who, email=old)
    # It is kept when a profile is merged into the person.
    device = unique("device")
    stub.Track(track(types_pb2.Identifier(installation_id=device)))
    assert identify(stub, who, device=device).outcome == types_pb2.OUTCOME_MERGED
    assert lookup(stub, email_address=old) == [who.custom_id]


def test_a_lookup_survives_a_restart(server):
    from conftest import profiles_pb2_grpc

    server.start()
    who = custom()
    with server.channel() as channel:
        identify(profiles_pb2_grpc.ProfilesStub(channel), who, email="someone@example.org")
    assert server.stop() == 0
    server.start()
    with server.channel() as channel:
        assert lookup(profiles_pb2_grpc.ProfilesStub(channel), email_address="someone@example.org") == [who.custom_id]


def test_a_lookup_of_too_many_is_rejected_and_never_truncated(stub):
    address = f"{unique('info')}@example.org"
    for _ in range(100):
        identify(stub, custom(), email=address)
    assert len(lookup(stub, email_address=address)) == 100
    identify(stub, custom(), email=address)
    failure = fails(stub.LookupProfiles, profiles_pb2.LookupProfilesRequest(project="default", email_address=address))
    assert failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED and failure.reason == "LIMIT_EXCEEDED"
    assert failure.metadata == {"limit": "lookup_profiles_max", "maximum": "100"}


@pytest.mark.parametrize(
    "fields,path",
    [({}, "address"), ({"email_address": "no"}, "email_address"), ({"phone_number": "0049"}, "phone_number")],
)
def test_a_lookup_reports_violations_of_an_address(stub, fields, path):
    failure = fails(stub.LookupProfiles, profiles_pb2.LookupProfilesRequest(project="default", **fields))
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT and list(failure.violations) == [path]
