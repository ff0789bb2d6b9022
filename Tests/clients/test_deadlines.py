"""A call whose deadline has passed is not carried out (spec section 1), also where its body comes in the same segment
as its headers: frames by hand, because a client library would not send such a call at all."""

import pytest

from conftest import Server, custom, event, get, profiles_pb2, track, unique
from raw import DATA, END_HEADERS, END_STREAM, HEADERS, Raw, frame, message
from test_batch import batch, inner, subscribe
from test_identify import identify, patch

DEADLINE = 4
SERVICE = "/profiles.v1.Profiles/"
PAST = ["0n", "0u", "0m", "0S", "0H", "1n", "1u"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("deadlines")).start()
    yield server
    assert server.stop() == 0


def one_segment(raw, path, *payloads, timeout):
    """Opens a call and sends its messages in one segment; returns its response."""
    stream = raw.next_stream
    raw.next_stream += 2
    block = raw.encoder.encode(
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "test"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("grpc-timeout", timeout),
        ]
    )
    body = b"".join(message(payload) for payload in payloads)
    raw.send(frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, body))
    return raw.response(stream)


def writes(person):
    """A message of each RPC that writes, all about one person."""
    who = custom(person)
    return {
        "Track": track(who),
        "Identify": identify(None, person, patch(plan="gold")),
        "UpdateSubscription": subscribe(person, 3),
        "BatchWrite": batch(inner(track(who)), best_effort=True),
        "AddSuppression": profiles_pb2.AddSuppressionRequest(
            project="default", channel=1, address=f"{person}@example.com", reason=1
        ),
        "EraseProfile": profiles_pb2.EraseProfileRequest(project="default", identifier=who),
        "RedeemUnsubscribeToken": profiles_pb2.RedeemUnsubscribeTokenRequest(project="default", token="x"),
        "ConfirmSubscription": profiles_pb2.ConfirmSubscriptionRequest(project="default", token="x"),
    }


def reads(person):
    who = custom(person)
    return {
        "GetProfile": get(who),
        "BatchGetProfiles": profiles_pb2.BatchGetProfilesRequest(project="default", identifiers=[who]),
        "ListEvents": profiles_pb2.ListEventsRequest(project="default", identifier=who),
        "LookupProfiles": profiles_pb2.LookupProfilesRequest(project="default", email_address="a@example.com"),
        "CheckSendable": profiles_pb2.CheckSendableRequest(project="default", identifier=who, channel=1),
        "ListConsentHistory": profiles_pb2.ListConsentHistoryRequest(project="default", identifier=who),
        "VerifyConsentLedger": profiles_pb2.VerifyConsentLedgerRequest(project="default", identifier=who),
    }


def lsn(server):
    return server.metric("profiles_applied_lsn")


@pytest.mark.parametrize("timeout", PAST)
def test_a_write_past_its_deadline_is_not_carried_out(server, timeout):
    before, rejected = lsn(server), server.metric('profiles_items_total{result="rejected"}')
    with Raw(server.listen) as raw:
        for name, request in writes(unique("late")).items():
            response = one_segment(raw, SERVICE + name, request.SerializeToString(), timeout=timeout)
            assert (response.grpc, response.data) == (DEADLINE, b""), name
    assert lsn(server) == before
    # Not decoded, so nothing of it was received.
    assert server.metric('profiles_items_total{result="rejected"}') == rejected


@pytest.mark.parametrize("timeout", PAST)
def test_a_read_past_its_deadline_has_no_response(server, timeout):
    with Raw(server.listen) as raw:
        for name, request in reads(unique("late")).items():
            response = one_segment(raw, SERVICE + name, request.SerializeToString(), timeout=timeout)
            assert (response.grpc, response.data) == (DEADLINE, b""), name
        for path in ("/grpc.health.v1.Health/Check", "/profiles.v1.Admin/GetProject"):
            assert one_segment(raw, path, b"", timeout=timeout).grpc == DEADLINE, path


@pytest.mark.parametrize("timeout", PAST)
def test_the_requests_of_a_stream_past_its_deadline_are_not_carried_out(server, timeout):
    before = lsn(server)
    with Raw(server.listen) as raw:
        requests = [track(custom(), sequence=n).SerializeToString() for n in range(1, 4)]
        response = one_segment(raw, SERVICE + "TrackStream", *requests, timeout=timeout)
        assert (response.grpc, response.data) == (DEADLINE, b"")
        path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        assert one_segment(raw, path, b"", timeout=timeout).grpc == DEADLINE
    assert lsn(server) == before


def test_each_late_call_is_counted_once(server):

    def counted():
        pages = server.get("/metrics")[1].splitlines()
        lines = [line for line in pages if 'Profiles/Track"' in line and '"DEADLINE_EXCEEDED"' in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    before = counted()
    with Raw(server.listen) as raw:
        for _ in range(5):
            one_segment(raw, SERVICE + "Track", track(custom()).SerializeToString(), timeout="0n")
    assert counted() == before + 5


def test_a_call_with_time_left_is_carried_out(server):
    with Raw(server.listen) as raw:
        request = track(custom(), event()).SerializeToString()
        assert one_segment(raw, SERVICE + "Track", request, timeout="20S").grpc == 0
        assert one_segment(raw, SERVICE + "TrackStream", request, request, timeout="20S").grpc == 0
