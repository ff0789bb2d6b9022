"""The result does not depend on the order of arrival where the contract says so, and no machine re-subscribes a person.

Writes with distinct times, to one profile between two identity changes, are sent in several orders under different
names; the profiles must be equal except for ids, revision, lsn and the server's own times. Rules about limits, and
about the order of arrival at equal times, are not part of this test. Subscription changes here are SUBSCRIBED and
UNSUBSCRIBED by the person: in the contract a machine's SUBSCRIBED that arrives first is kept over an older one of the
person, so those depend on the order by design.
"""

import os
import random
import time

import grpc
import pytest

from conftest import Failure, get, profiles_pb2 as rpc, types_pb2 as types, unique
from reference_compare import normal_profile

ORDERS = int(os.environ.get("PROFILES_CONVERGENCE_ORDERS", "4"))
SEEDS = int(os.environ.get("PROFILES_CONVERGENCE_SEEDS", "5"))
WRITES = int(os.environ.get("PROFILES_CONVERGENCE_WRITES", "60"))
# 100,000 in the full run.
CHANGES = int(os.environ.get("PROFILES_CONSENT_CHANGES", "4000"))
CHANGES_PER_CALL = 100
USER, ONE_CLICK, SMS_KEYWORD, PREFERENCE_CENTER, API, IMPORT, SUPPORT = range(1, 8)
UNSET, SUBSCRIBED, UNSUBSCRIBED = 1, 3, 4


def needs(stub, *names):
    """Skips the test if an RPC is not built."""
    for name in names:
        try:
            getattr(stub, name)(getattr(rpc, f"{name}Request")(), timeout=20)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                pytest.skip(f"{name} is not built")


def attribute_write(chance, number):
    """A scalar, a delete, or a change of a unique list element."""
    patch = types.AttributePatch()
    kind = chance.choice(["set", "set", "delete", "add", "remove", "native"])
    if kind == "set":
        patch.set[f"s{chance.randrange(4)}"].integer = chance.randrange(100)
    elif kind == "delete":
        patch.delete.append(f"s{chance.randrange(4)}")
    elif kind == "native":
        patch.native.language.value = chance.choice(["de", "en", "fr"])
    else:
        getattr(patch, kind)["list"].items.append(f"x{number % 20}")
    return patch


def writes_of(seed, base):
    """Functions that make requests, each with a distinct time, to be sent to one person in any order."""
    chance = random.Random(seed)
    makers, elements = [], set()
    for number, offset in enumerate(chance.sample(range(20 * 3_600), WRITES)):
        at = {"seconds": base - offset}
        kind = chance.choice(["attributes", "attributes", "event", "consent"])
        if kind == "attributes":
            patch = attribute_write(chance, number)
            # Each element is added or removed once: this test is not about limits and positions in the list.
            names = {text for part in (patch.add, patch.remove) for texts in part.values() for text in texts.items}
            if names & elements:
                continue
            elements |= names
            makers.append(
                lambda who, patch=patch, at=at: (
                    "Identify",
                    rpc.IdentifyRequest(project="default", custom_id=who, attributes=patch, occurred_at=at),
                )
            )
        elif kind == "event":
            event = types.Event(name=chance.choice(["view", "buy"]), event_id=f"e{number}", occurred_at=at)
            makers.append(
                lambda who, event=event: (
                    "Track",
                    rpc.TrackRequest(project="default", identifier=types.Identifier(custom_id=who), events=[event]),
                )
            )
        else:
            change = types_change(
                chance.choice([1, 3]), chance.choice(["", "news"]), chance.choice([SUBSCRIBED, UNSUBSCRIBED])
            )
            makers.append(
                lambda who, change=change, source=chance.choice([USER, PREFERENCE_CENTER]), at=at: (
                    "UpdateSubscription",
                    rpc.UpdateSubscriptionRequest(
                        project="default",
                        identifier=types.Identifier(custom_id=who),
                        changes=[change],
                        source=source,
                        occurred_at=at,
                    ),
                )
            )
    return makers


def types_change(channel, topic, state):
    return rpc.SubscriptionChange(channel=channel, topic=topic, state=state)


def state_of(stub, who):
    """The state that must be the same in every order."""
    response = normal_profile(stub.GetProfile(get(types.Identifier(custom_id=who), metadata=True)).profile)
    for name in ("profile_id", "custom_id", "revision", "lsn", "created_at", "updated_at", "last_seen_at"):
        response.ClearField(name)
    for name, value in response.attributes.items():
        if value.WhichOneof("kind") == "list":
            items = sorted(value.list.items)
            del value.list.items[:]
            value.list.items.extend(items)
    for metadata in response.attribute_metadata.values():
        metadata.ClearField("lsn")
    # The stamp of a list itself is that of the element that arrived last.
    response.attribute_metadata.pop("list", None)
    events = stub.ListEvents(
        rpc.ListEventsRequest(project="default", identifier=types.Identifier(custom_id=who), page_size=1_000)
    ).events
    return response, [(event.event_id, event.name, event.effective_time.seconds) for event in events]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_any_order_of_the_same_writes_gives_the_same_state(stub, seed):
    needs(stub, "Identify", "UpdateSubscription", "ListEvents")
    makers = writes_of(seed, int(time.time()) - 10)
    chance, first = random.Random(seed), None
    for order in range(ORDERS):
        who = unique("order")
        for maker in makers:
            method, request = maker(who)
            getattr(stub, method)(request, timeout=20)
        found = state_of(stub, who)
        first = first or found
        assert found == first, f"seed {seed}, order {order}"
        chance.shuffle(makers)


class Person:
    """A person and their current opt-outs: (channel, topic) -> time."""

    def __init__(self):
        self.id = unique("person")
        self.opted_out = {}


def consent_call(chance, person, base):
    """A call of up to 100 changes, by the person or by a machine."""
    by_person = chance.random() < 0.25
    source = chance.choice([USER, PREFERENCE_CENTER]) if by_person else chance.choice([API, IMPORT])
    request = rpc.UpdateSubscriptionRequest(
        project="default", identifier=types.Identifier(custom_id=person.id), source=source
    )
    if chance.random() < 0.8:
        request.occurred_at.seconds = base - chance.randrange(40 * 3_600)
    for _ in range(chance.choice([1, 1, 2, 5, 20, CHANGES_PER_CALL])):
        # A machine's call that re-subscribes is rejected as a whole, so most of its calls must be small to succeed.
        topic = "" if chance.random() < 0.3 else f"t{chance.randrange(20)}"
        state = chance.choices([SUBSCRIBED, UNSET, UNSUBSCRIBED], [1, 1, 8] if by_person else [8, 1, 1])[0]
        request.changes.append(types_change(chance.randint(1, 3), topic, state))
    return request


def note(person, request, response):
    """Records opt-outs, and removes them when the person subscribes again; a machine must never cause the latter."""
    is_person = request.source in (USER, PREFERENCE_CENTER)
    for change, result in zip(request.changes, response.results):
        key = (change.channel, change.topic)
        if not result.applied:
            continue
        if is_person and change.state == UNSUBSCRIBED:
            person.opted_out[key] = True
        elif is_person:
            person.opted_out.pop(key, None)
        elif key in person.opted_out:
            assert result.state == UNSUBSCRIBED, f"{person.id}: a machine took {key} to {result.state}"


def test_no_machine_write_resubscribes_a_person(stub):
    needs(stub, "UpdateSubscription", "BatchWrite")
    seed = random.randrange(1 << 32)
    chance, base, sent, rejected = random.Random(seed), int(time.time()) - 10, 0, 0
    print(f"seed {seed}")
    people = [Person() for _ in range(20)]
    while sent < CHANGES:
        calls = [
            (person, consent_call(chance, person, base))
            for person in chance.choices(people, k=chance.choice([1, 5, 20]))
        ]
        sent += sum(len(request.changes) for _, request in calls)
        if len(calls) == 1:
            person, request = calls[0]
            try:
                note(person, request, stub.UpdateSubscription(request, timeout=20))
            except grpc.RpcError as error:
                assert Failure(error).reason == "USER_UNSUBSCRIBED"
                rejected += 1
            continue
        batch = rpc.BatchWriteRequest(project="default", best_effort=True)
        batch.operations.extend(rpc.WriteOperation(update_subscription=request) for _, request in calls)
        for (person, request), result in zip(calls, stub.BatchWrite(batch, timeout=60).results):
            if result.HasField("update_subscription"):
                note(person, request, result.update_subscription)
            else:
                rejected += 1
    opted_out = 0
    for person in people:
        items = stub.GetProfile(get(types.Identifier(custom_id=person.id))).profile.subscriptions.items
        states = {(item.channel, item.topic): item.state for item in items}
        for key in person.opted_out:
            assert states[key] == UNSUBSCRIBED, f"{person.id} opted out of {key} and is {states[key]}"
            opted_out += 1
    print(f"{sent} changes, {rejected} calls rejected, {opted_out} opt-outs, 0 undone")
    assert rejected and opted_out
