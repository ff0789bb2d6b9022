"""Each limit of requests in spec section 1: a value at the limit is accepted, one past it is rejected with its path."""

import grpc
import pytest
from google.protobuf import timestamp_pb2, wrappers_pb2

from conftest import custom, event, fails, profiles_pb2, track, types_pb2, unique
from test_identify import identify

V = types_pb2.Value


def native(**values):
    return types_pb2.AttributePatch(
        native=types_pb2.NativeAttributes(
            **{name: wrappers_pb2.StringValue(value=value) for name, value in values.items()}
        )
    )


def setting(**values):
    return identify(None, unique("p"), types_pb2.AttributePatch(set=values))


def padded(count, filler="x"):
    text = unique("p")
    return text + filler * (count - len(text))


def subscription(*changes, **fields):
    return profiles_pb2.UpdateSubscriptionRequest(
        project="default", identifier=custom(), source=types_pb2.CONSENT_SOURCE_USER, changes=changes, **fields
    )


def change(topic=""):
    return profiles_pb2.SubscriptionChange(
        channel=types_pb2.CHANNEL_EMAIL, topic=topic, state=types_pb2.SUBSCRIPTION_STATE_SUBSCRIBED
    )


def nested(levels):
    """Nested objects; the `attributes` map is the first level."""
    value = V(integer=1)
    for _ in range(levels - 1):
        value = V(object=types_pb2.Object(fields={"a": value}))
    return value


# Method, a request with n items, the limit, and the path of the violation one past it.
LIMITS = {
    "attribute name": ("Identify", lambda n: setting(**{"a" * n: V(integer=1)}), 30, "attributes.set[0]"),
    "string": ("Identify", lambda n: setting(a=V(string="é" * n)), 300, "attributes.set.a"),
    "URL": ("Identify", lambda n: setting(a=V(url="https://a/".ljust(n, "x"))), 2_048, "attributes.set.a"),
    "list": (
        "Identify",
        lambda n: setting(a=V(list=types_pb2.StringList(items=[f"x{i}" for i in range(n)]))),
        25,
        "attributes.set.a.items",
    ),
    "custom id characters": ("Identify", lambda n: identify(None, padded(n)), 512, "custom_id"),
    "custom id bytes": (
        "Identify",
        lambda n: identify(None, padded(100) + "é" * 200 + "𝄞" * 131 + "x" * (n - 1_024)),
        1_024,
        "custom_id",
    ),
    "installation id characters": ("Identify", lambda n: identify(padded(n)), 512, "installation_id"),
    "request id": ("Identify", lambda n: identify(None, unique("p"), request_id=padded(n)), 100, "request_id"),
    "source name": (
        "Identify",
        lambda n: identify(None, unique("p"), source=types_pb2.Source(name="x" * n)),
        100,
        "source.name",
    ),
    "e-mail": (
        "Identify",
        lambda n: identify(None, unique("p"), native(email_address="a" * (n - 2) + "@b")),
        254,
        "attributes.native.email_address",
    ),
    "phone": (
        "Identify",
        lambda n: identify(None, unique("p"), native(phone_number="+" + "1" * n)),
        15,
        "attributes.native.phone_number",
    ),
    "language": (
        "Identify",
        lambda n: identify(None, unique("p"), native(language="de-aaaaaaaa-" + "b" * (n - 12))),
        15,
        "attributes.native.language",
    ),
    "events": ("Track", lambda n: track(custom(), *[event() for _ in range(n)]), 15, "events"),
    "event name": ("Track", lambda n: track(custom(), event("a" * n)), 30, "events[0].name"),
    "event id": ("Track", lambda n: track(custom(), event(event_id=padded(n))), 100, "events[0].event_id"),
    "label": ("Track", lambda n: track(custom(), event(label="x" * n)), 200, "events[0].label"),
    "tags": ("Track", lambda n: track(custom(), event(tags=["x"] * n)), 10, "events[0].tags"),
    "tag": ("Track", lambda n: track(custom(), event(tags=["x" * n])), 64, "events[0].tags[0]"),
    "fields": (
        "Track",
        lambda n: track(custom(), event(attributes={f"a{i}": V(integer=i) for i in range(n)})),
        20,
        "events[0].attributes",
    ),
    "levels": ("Track", lambda n: track(custom(), event(attributes={"a": nested(n)})), 3, "events[0].attributes.a.a.a"),
    "array": (
        "Track",
        lambda n: track(
            custom(),
            event(attributes={"a": V(objects=types_pb2.ObjectList(items=[types_pb2.Object() for _ in range(n)]))}),
        ),
        25,
        "events[0].attributes.a.items",
    ),
    "topic": ("UpdateSubscription", lambda n: subscription(change("t" * n)), 300, "changes[0].topic"),
    "changes": ("UpdateSubscription", lambda n: subscription(*[change() for _ in range(n)]), 100, "changes"),
    "years": (
        "Identify",
        lambda n: identify(
            None,
            unique("p"),
            types_pb2.AttributePatch(set={"a": V(time=timestamp_pb2.Timestamp(seconds=253_402_300_799 + n - 9_999))}),
        ),
        9_999,
        "attributes.set.a",
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_value_at_the_limit_is_accepted(stub, name):
    method, request, limit, _ = LIMITS[name]
    getattr(stub, method)(request(limit))


@pytest.mark.parametrize("name", LIMITS)
def test_one_past_the_limit_is_rejected_with_its_path(stub, name):
    method, request, limit, path = LIMITS[name]
    failure = fails(getattr(stub, method), request(limit + 1))
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT and failure.reason == "INVALID_FIELDS"
    assert path in failure.violations


def test_the_26th_topic_of_a_channel_is_rejected_but_never_an_opt_out(stub):
    who = custom()
    subscribe = lambda topic, state=types_pb2.SUBSCRIPTION_STATE_SUBSCRIBED: stub.UpdateSubscription(
        profiles_pb2.UpdateSubscriptionRequest(
            project="default",
            identifier=who,
            source=types_pb2.CONSENT_SOURCE_USER,
            changes=[profiles_pb2.SubscriptionChange(channel=types_pb2.CHANNEL_EMAIL, topic=topic, state=state)],
        )
    )
    for number in range(25):
        subscribe(f"t{number}")
    with pytest.raises(grpc.RpcError) as caught:
        subscribe("one_more")
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert subscribe("one_more", types_pb2.SUBSCRIPTION_STATE_UNSUBSCRIBED).results[0].applied


def counts(server):
    outcomes = [
        server.metric(f'profiles_items_total{{result="{result}"}}')
        for result in ("stored", "duplicate", "stale", "rejected")
    ]
    return server.metric("profiles_items_received_total"), *outcomes


def test_received_items_equal_the_sum_of_their_outcomes(server):
    """Attribute writes, events and subscription changes, for every way in which a call can end."""
    from conftest import profiles_pb2_grpc

    stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
    patch = lambda **values: types_pb2.AttributePatch(set={name: V(integer=value) for name, value in values.items()})
    old = timestamp_pb2.Timestamp(seconds=1_700_000_000)
    steps = [
        (lambda: stub.Identify(identify(None, "ann", patch(a=1, b=2), request_id="r")), (2, 0, 0, 0)),
        (lambda: stub.Identify(identify(None, "ann", patch(a=1, b=2), request_id="r")), (0, 2, 0, 0)),
        (lambda: stub.Identify(identify(None, "ann", patch(a=7, c=2), occurred_at=old)), (1, 0, 1, 0)),
        (lambda: fails(stub.Identify, identify(None, "ann", patch(**{"bad name": 1, "b": 2}))), (0, 0, 0, 2)),
        (lambda: stub.Track(track(custom("ann"), event(event_id="1"), event(event_id="1"))), (1, 1, 0, 0)),
        (lambda: fails(stub.Track, track(custom("bob"), event(), event(), must_exist=True)), (0, 0, 0, 2)),
        (
            lambda: stub.BatchWrite(
                profiles_pb2.BatchWriteRequest(
                    project="default",
                    best_effort=True,
                    operations=[
                        profiles_pb2.WriteOperation(identify=identify(None, "ann", patch(a=9))),
                        profiles_pb2.WriteOperation(track=track(custom("ann"), event("bad name"), event())),
                        profiles_pb2.WriteOperation(
                            update_subscription=profiles_pb2.UpdateSubscriptionRequest(
                                identifier=custom("ann"), source=types_pb2.CONSENT_SOURCE_USER, changes=[change()]
                            )
                        ),
                    ],
                )
            ),
            (2, 0, 0, 2),
        ),
        (
            lambda: stub.UpdateSubscription(
                profiles_pb2.UpdateSubscriptionRequest(
                    project="default",
                    identifier=custom("ann"),
                    source=types_pb2.CONSENT_SOURCE_API,
                    occurred_at=old,
                    changes=[change(), change("news")],
                )
            ),
            (1, 0, 1, 0),
        ),
    ]
    for step, expected in steps:
        before = counts(server)
        step()
        received, *outcomes = [after - was for after, was in zip(counts(server), before)]
        assert tuple(outcomes) == expected and received == sum(outcomes)


def test_pages_of_a_history_of_much_evidence_fit_the_limits_of_clients(stub):
    who = custom()
    evidence = types_pb2.Evidence(
        **{name: "𝄞" * 512 for name in ("method", "ip", "user_agent", "text_version", "actor", "reference")}
    )
    # 1,000 entries of 12 KiB: a single page of all would be three times the limit of a client.
    for _ in range(10):
        stub.UpdateSubscription(
            profiles_pb2.UpdateSubscriptionRequest(
                project="default",
                identifier=who,
                source=types_pb2.CONSENT_SOURCE_USER,
                evidence=evidence,
                changes=[change(f"t{number % 25}") for number in range(100)],
            )
        )
    entries, token, pages = [], "", 0
    while True:
        page = stub.ListConsentHistory(
            profiles_pb2.ListConsentHistoryRequest(project="default", identifier=who, page_size=1_000, page_token=token)
        )
        entries += page.entries
        pages, token = pages + 1, page.next_page_token
        if not token:
            break
    assert len(entries) == 1_000 and pages > 1
    assert all(before.hash == after.previous_hash for before, after in zip(entries, entries[1:]))


def test_clocks_thousands_of_years_apart_give_a_valid_time(stub):
    person = unique("p")
    stub.Identify(
        identify(
            None,
            person,
            types_pb2.AttributePatch(set={"a": V(integer=1)}),
            occurred_at=timestamp_pb2.Timestamp(seconds=31_536_000),
            sent_at=timestamp_pb2.Timestamp(seconds=253_402_300_799),
        )
    )
    profile = stub.GetProfile(
        profiles_pb2.GetProfileRequest(project="default", identifier=custom(person), metadata=True)
    ).profile
    assert profile.attribute_metadata["a"].effective_time.seconds == 31_536_000
