"""--memory-limit: writes are rejected once the store is full, and everything else continues to work.

One server is filled until it rejects writes; the acknowledged writes are read back before and after a kill, with the
same limit and with a higher one.
"""

import signal

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from conftest import custom, event, fails, get, profiles_pb2, profiles_pb2_grpc, track, types_pb2, unique, wait_until
from profiles.v1 import admin_pb2, admin_pb2_grpc

EMAIL, USER, SUBSCRIBED, UNSUBSCRIBED = 1, 1, 3, 4
ATTRIBUTES = 50
PEOPLE_MAX = 5_000


def identify(person="", installation="", **fields):
    return profiles_pb2.IdentifyRequest(
        project="default", custom_id=person or None, installation_id=installation, **fields
    )


def log_out(installation):
    return profiles_pb2.IdentifyRequest(project="default", installation_id=installation, logged_out=True)


def much():
    """As many attributes as a profile accepts."""
    return types_pb2.AttributePatch(
        set={f"a{number}": types_pb2.Value(string=f"{number}".ljust(300, "x")) for number in range(ATTRIBUTES)}
    )


def update(who, *states):
    changes = [
        profiles_pb2.SubscriptionChange(channel=EMAIL, state=state, topic=f"t{index}")
        for index, state in enumerate(states)
    ]
    return profiles_pb2.UpdateSubscriptionRequest(project="default", identifier=who, changes=changes, source=USER)


def batch(*updates):
    operations = [profiles_pb2.WriteOperation(update_subscription=request) for request in updates]
    for operation in operations:
        operation.update_subscription.project = ""
    return profiles_pb2.BatchWriteRequest(project="default", operations=operations)


def suppress(address):
    return profiles_pb2.AddSuppressionRequest(
        project="default", channel=EMAIL, address=address, reason=types_pb2.SUPPRESSION_REASON_MANUAL
    )


def states(stub, who):
    return {item.topic: item.state for item in stub.GetProfile(get(who)).profile.subscriptions.items}


def fill(stub):
    """Writes people until one is rejected; returns the acknowledged ones and the rejected one."""
    people = []
    for number in range(PEOPLE_MAX):
        person = unique("full")
        try:
            stub.Identify(identify(person, attributes=much()), timeout=20)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            return people, person
        people.append(person)
    raise AssertionError(f"{PEOPLE_MAX} people and no limit")


def all_present(stub, people):
    return all(
        len(stub.GetProfile(get(custom(person)), timeout=20).profile.attributes) == ATTRIBUTES for person in people
    )


def test_over_the_memory_limit_writes_are_rejected_and_reads_and_opt_outs_continue(server):
    server.flags = ("--memory-limit", "16MiB")
    stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
    who, device = custom(), unique("device")
    stub.Identify(identify(who.custom_id, device))
    stub.UpdateSubscription(update(who, *[SUBSCRIBED] * 6))
    token = stub.CreateUnsubscribeToken(
        profiles_pb2.CreateUnsubscribeTokenRequest(project="default", identifier=who, channel=EMAIL, topic="t0")
    ).token
    assert server.metric("profiles_memory_exhausted") == 0
    people, rejected = fill(stub)
    assert server.metric("profiles_memory_exhausted") == 1
    assert server.metric("profiles_memory_limit_bytes") == 16 << 20

    for call, request in (
        (stub.Identify, identify(unique())),
        (stub.Track, track(who)),
        (stub.UpdateSubscription, update(who, SUBSCRIBED)),
        (stub.UpdateSubscription, update(who, UNSUBSCRIBED, SUBSCRIBED)),
        (stub.BatchWrite, batch(update(who, UNSUBSCRIBED), update(who, SUBSCRIBED))),
    ):
        failure = fails(call, request)
        assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "MEMORY_EXHAUSTED")
    response = next(stub.TrackStream(iter([track(who, sequence=7)]), timeout=20))
    assert response.error.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0] and response.sequence == 7
    assert all_present(stub, people)
    assert fails(stub.GetProfile, get(custom(rejected))).code == grpc.StatusCode.NOT_FOUND
    assert server.get("/readyz")[0] == 200
    health = health_pb2_grpc.HealthStub(server.channel())
    assert health.Check(health_pb2.HealthCheckRequest(service=""), timeout=10).status == 1

    # Opt-outs, log-outs and erasures are never rejected.
    stub.RedeemUnsubscribeToken(profiles_pb2.RedeemUnsubscribeTokenRequest(project="default", token=token), timeout=20)
    stub.UpdateSubscription(update(who, UNSUBSCRIBED, UNSUBSCRIBED), timeout=20)
    stub.BatchWrite(batch(update(who, *[UNSUBSCRIBED] * 3), update(who, *[UNSUBSCRIBED] * 4)), timeout=20)
    stub.AddSuppression(suppress("someone@example.org"), timeout=20)
    assert stub.Identify(log_out(device), timeout=20).outcome == types_pb2.OUTCOME_LOGGED_OUT
    admin = admin_pb2_grpc.AdminStub(server.channel())
    admin.UpdateProject(
        admin_pb2.UpdateProjectRequest(project="default", options=admin_pb2.ProjectOptions(event_retention_days=30)),
        timeout=20,
    )
    erased = profiles_pb2.EraseProfileRequest(project="default", identifier=custom(people.pop()))
    assert stub.EraseProfile(erased, timeout=20).existed
    assert fails(stub.GetProfile, get(erased.identifier)).code == grpc.StatusCode.NOT_FOUND
    expected = {f"t{index}": UNSUBSCRIBED if index < 4 else SUBSCRIBED for index in range(6)}
    assert states(stub, who) == expected

    # The limit never prevents a start: acknowledged writes are there, and the limit still applies.
    server.stop(signal.SIGKILL)
    stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
    assert all_present(stub, people) and states(stub, who) == expected
    assert wait_until(lambda: server.metric("profiles_memory_exhausted") == 1)
    assert fails(stub.Track, track(who)).reason == "MEMORY_EXHAUSTED"
    assert server.stop() == 0

    server.flags = ("--memory-limit", "64MiB")
    stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
    stub.Identify(identify(rejected, attributes=much()), timeout=20)
    stub.Track(track(who, event()), timeout=20)
    assert all_present(stub, people) and states(stub, who) == expected
    assert server.metric("profiles_memory_exhausted") == 0
    assert server.stop() == 0
