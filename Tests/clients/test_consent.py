"""Consent, suppression, tokens and the ledger (spec section 5)."""

import hashlib
import time

import grpc
from google.protobuf import timestamp_pb2, wrappers_pb2

from conftest import custom, fails, get, profiles_pb2, profiles_pb2_grpc, types_pb2, unique

EMAIL, SMS, PUSH = 1, 2, 3
UNSET, PENDING, SUBSCRIBED, UNSUBSCRIBED = 1, 2, 3, 4
USER, ONE_CLICK, KEYWORD, CENTER, API, IMPORT, SUPPORT, SYSTEM = range(1, 9)
MARKETING, TRANSACTIONAL = 1, 2
OK, NO_ADDRESS, HARD_BOUNCE, INVALID, MANUAL, COMPLAINT, CHANNEL, TOPIC, TOPIC_DEFAULT = range(1, 10)


def change(channel=EMAIL, state=SUBSCRIBED, topic=""):
    return profiles_pb2.SubscriptionChange(channel=channel, state=state, topic=topic)


def update(identifier, *changes, source=USER, **fields):
    return profiles_pb2.UpdateSubscriptionRequest(
        project="default", identifier=identifier, changes=changes or [change()], source=source, **fields
    )


def ago(seconds):
    return timestamp_pb2.Timestamp(seconds=int(time.time()) - seconds)


def states(subscriptions):
    return {(item.channel, item.topic): item.state for item in subscriptions.items}


def history(stub, identifier, **fields):
    return stub.ListConsentHistory(
        profiles_pb2.ListConsentHistoryRequest(project="default", identifier=identifier, **fields)
    )


def entry_hash(entry, previous):
    """SHA-256(previous hash, the entry without both hashes), as any client can compute it."""
    bare = types_pb2.ConsentEntry()
    bare.CopyFrom(entry)
    bare.previous_hash = bare.hash = b""
    return hashlib.sha256(previous + bare.SerializeToString(deterministic=True)).digest()


def sendable(stub, identifier, channel=EMAIL, topic="", message_class=MARKETING):
    response = stub.CheckSendable(
        profiles_pb2.CheckSendableRequest(
            project="default", identifier=identifier, channel=channel, topic=topic, message_class=message_class
        )
    )
    return response.sendable, response.reason


def with_address(stub, email=None, phone=None):
    who = custom()
    native = types_pb2.NativeAttributes(
        email_address=email and wrappers_pb2.StringValue(value=email),
        phone_number=phone and wrappers_pb2.StringValue(value=phone),
    )
    stub.Identify(
        profiles_pb2.IdentifyRequest(
            project="default", custom_id=who.custom_id, attributes=types_pb2.AttributePatch(native=native)
        )
    )
    return who


def test_changes_are_applied_in_order_and_visible_to_the_next_read(stub):
    who = custom()
    response = stub.UpdateSubscription(update(who, change(), change(topic="News"), change(state=UNSUBSCRIBED)))
    assert response.revision == 1 and len(response.profile_id) == 26
    assert [(r.channel, r.topic, r.state, r.applied) for r in response.results] == [
        (EMAIL, "", SUBSCRIBED, True),
        (EMAIL, "news", SUBSCRIBED, True),
        (EMAIL, "", UNSUBSCRIBED, True),
    ]
    assert states(response.subscriptions) == {(EMAIL, ""): UNSUBSCRIBED, (EMAIL, "news"): SUBSCRIBED}
    assert [entry.lsn for entry in response.entries] == [response.lsn - 2, response.lsn - 1, response.lsn]
    profile = stub.GetProfile(get(who)).profile
    assert states(profile.subscriptions) == states(response.subscriptions)
    assert profile.revision == 1 and profile.lsn == response.lsn
    again = stub.UpdateSubscription(update(who, change(SMS)))
    assert again.revision == 2 and stub.GetProfile(get(who)).profile.revision == 2


def test_a_machine_cannot_resubscribe_a_person_who_opted_out(stub):
    who = custom()
    stub.UpdateSubscription(update(who, change(state=UNSUBSCRIBED)))
    before = len(history(stub, who).entries)
    for source in (API, IMPORT, SUPPORT):
        failure = fails(stub.UpdateSubscription, update(who, change(SMS), change(), source=source))
        assert failure.code == grpc.StatusCode.FAILED_PRECONDITION
        assert (failure.reason, failure.metadata) == ("USER_UNSUBSCRIBED", {"index": "1"})
    assert len(history(stub, who).entries) == before
    assert states(stub.GetProfile(get(who)).profile.subscriptions) == {(EMAIL, ""): UNSUBSCRIBED}
    allowed = stub.UpdateSubscription(
        update(who, change(), source=SUPPORT, evidence=types_pb2.Evidence(reference="ticket 7"))
    )
    assert states(allowed.subscriptions) == {(EMAIL, ""): SUBSCRIBED}


def test_an_older_change_is_recorded_and_not_applied(stub):
    who = custom()
    first = stub.UpdateSubscription(update(who, change()))
    response = stub.UpdateSubscription(update(who, change(state=UNSET), occurred_at=ago(3600)))
    assert not response.results[0].applied and response.results[0].state == SUBSCRIBED
    assert response.revision == first.revision and not response.entries[0].applied
    late = stub.UpdateSubscription(update(who, change(state=UNSUBSCRIBED), source=API, occurred_at=ago(3600)))
    assert not late.results[0].applied, "the person subscribed later"


def test_a_late_opt_out_beats_a_machine(stub):
    who = custom()
    stub.UpdateSubscription(update(who, change(), source=API))
    late = stub.UpdateSubscription(update(who, change(state=UNSUBSCRIBED), source=API, occurred_at=ago(3600)))
    assert late.results[0].applied
    assert late.subscriptions.items[0].effective_time.seconds <= int(time.time()) - 3590


def test_sms_keyword_is_undone_by_keyword_only(stub):
    who = custom()
    stub.UpdateSubscription(update(who, change(SMS, UNSUBSCRIBED), source=KEYWORD))
    stub.UpdateSubscription(update(who, change(SMS, UNSUBSCRIBED), source=USER))
    assert fails(stub.UpdateSubscription, update(who, change(SMS), source=USER)).reason == "USER_UNSUBSCRIBED"
    response = stub.UpdateSubscription(update(who, change(SMS), source=KEYWORD))
    assert states(response.subscriptions) == {(SMS, ""): SUBSCRIBED}


def test_all_violations_are_listed(stub):
    failure = fails(
        stub.UpdateSubscription,
        update(
            types_pb2.Identifier(),
            change(0),
            change(state=PENDING),
            change(topic="a b"),
            change(state=0),
            source=SYSTEM,
        ),
    )
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert set(failure.violations) == {
        "identifier",
        "source",
        "changes[0].channel",
        "changes[1].state",
        "changes[2].topic",
        "changes[3].state",
    }
    assert fails(stub.UpdateSubscription, update(custom(), source=ONE_CLICK)).violations.keys() == {"changes[0].state"}
    too_many = update(custom(), *[change(topic=f"t{number}") for number in range(101)])
    assert fails(stub.UpdateSubscription, too_many).violations.keys() == {"changes"}


def test_the_26th_topic_is_rejected_but_an_opt_out_never(stub):
    who = custom()
    stub.UpdateSubscription(update(who, *[change(topic=f"t{number}") for number in range(25)]))
    failure = fails(stub.UpdateSubscription, update(who, change(topic="one_more")))
    assert failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (failure.reason, failure.metadata) == ("LIMIT_EXCEEDED", {"index": "0", "maximum": "25"})
    response = stub.UpdateSubscription(
        update(who, change(topic="one_more", state=UNSUBSCRIBED), change(SMS, topic="other"))
    )
    assert len(response.subscriptions.items) == 27


def test_revision_request_id_and_unknown_profiles_are_as_in_track(stub):
    who, request_id = custom(), unique("request")
    zero, one = (wrappers_pb2.UInt64Value(value=value) for value in (0, 1))
    first = stub.UpdateSubscription(update(who, expected_revision=zero, request_id=request_id))
    again = stub.UpdateSubscription(update(who, expected_revision=zero, request_id=request_id))
    assert (
        again.replayed and again.lsn == first.lsn and again.results == first.results and again.entries == first.entries
    )
    assert fails(stub.UpdateSubscription, update(who, source=API, request_id=request_id)).reason == "REQUEST_ID_REUSED"
    failure = fails(stub.UpdateSubscription, update(who, expected_revision=zero))
    assert (failure.code, failure.metadata) == (grpc.StatusCode.ABORTED, {"current_revision": "1"})
    assert stub.UpdateSubscription(update(who, change(PUSH), expected_revision=one)).revision == 2
    unknown = types_pb2.Identifier(profile_id="0" * 26)
    assert fails(stub.UpdateSubscription, update(unknown)).code == grpc.StatusCode.NOT_FOUND


def test_a_client_can_recompute_the_ledger_chain(stub):
    who = custom()
    evidence = types_pb2.Evidence(
        method="form", ip="192.0.2.1", user_agent="é", text_version="3", actor="me", reference="r"
    )
    stub.UpdateSubscription(update(who, change(), change(SMS, topic="x"), evidence=evidence))
    stub.UpdateSubscription(update(who, change(state=UNSET), occurred_at=ago(7200), evidence=types_pb2.Evidence()))
    response = stub.UpdateSubscription(update(who, change(state=UNSUBSCRIBED), source=API))
    entries = history(stub, who).entries
    assert len(entries) == 4 and entries[-1] == response.entries[0]
    assert [entry.applied for entry in entries] == [True, True, False, True]
    assert entries[0].evidence == evidence and entries[0].profile_id == response.profile_id
    assert entries[2].HasField("evidence") and not entries[3].HasField("evidence")
    previous = bytes(32)
    for entry in entries:
        assert entry.previous_hash == previous
        previous = entry_hash(entry, previous)
        assert entry.hash == previous
    verified = stub.VerifyConsentLedger(profiles_pb2.VerifyConsentLedgerRequest(project="default", identifier=who))
    assert (verified.valid, verified.entries, verified.head) == (True, 4, previous)


def test_the_history_is_paged(stub):
    who = custom()
    for number in range(7):
        stub.UpdateSubscription(update(who, change(state=SUBSCRIBED if number % 2 else UNSUBSCRIBED)))
    whole, token, pages = history(stub, who).entries, "", []
    while True:
        page = history(stub, who, page_size=3, page_token=token)
        pages.append(len(page.entries))
        assert list(page.entries) == list(whole)[sum(pages[:-1]) : sum(pages)]
        token = page.next_page_token
        if not token:
            break
    assert pages == [3, 3, 1]
    ask = profiles_pb2.ListConsentHistoryRequest(project="default", identifier=who, page_size=1001)
    assert fails(stub.ListConsentHistory, ask).violations.keys() == {"page_size"}
    other = custom()
    stub.UpdateSubscription(update(other))
    first = history(stub, who, page_size=3).next_page_token
    ask = profiles_pb2.ListConsentHistoryRequest(project="default", identifier=other, page_token=first)
    assert fails(stub.ListConsentHistory, ask).violations.keys() == {"page_token"}


def test_a_ledger_keeps_its_newest_entries_and_counts_all(stub):
    who = custom()
    for _ in range(42):
        stub.UpdateSubscription(update(who, *[change(topic="t", state=UNSUBSCRIBED)] * 100, source=API))
    verified = stub.VerifyConsentLedger(profiles_pb2.VerifyConsentLedgerRequest(project="default", identifier=who))
    assert (verified.valid, verified.entries) == (True, 4200)
    token, entries = "", []
    while True:
        page = history(stub, who, page_size=1000, page_token=token)
        entries += page.entries
        token = page.next_page_token
        if not token:
            break
    assert len(entries) == 4096 and entries[-1].hash == verified.head
    assert all(entry_hash(entry, entry.previous_hash) == entry.hash for entry in entries[::512])


def test_one_click_unsubscribes_and_is_idempotent(stub):
    who = custom()
    stub.UpdateSubscription(update(who, change(), change(topic="news")))
    ask = profiles_pb2.CreateUnsubscribeTokenRequest(project="default", identifier=who, channel=EMAIL, topic="NEWS")
    token = stub.CreateUnsubscribeToken(ask).token
    redeem = profiles_pb2.RedeemUnsubscribeTokenRequest(project="default", token=token)
    assert stub.RedeemUnsubscribeToken(redeem).lsn < stub.RedeemUnsubscribeToken(redeem).lsn
    profile = stub.GetProfile(get(who)).profile
    assert states(profile.subscriptions) == {(EMAIL, ""): SUBSCRIBED, (EMAIL, "news"): UNSUBSCRIBED}
    assert {item.source for item in profile.subscriptions.items if item.topic} == {ONE_CLICK}
    for bad in (token[:-1] + ("A" if token[-1] != "A" else "B"), "x", token + "AAAA", token[1:]):
        failure = fails(
            stub.RedeemUnsubscribeToken, profiles_pb2.RedeemUnsubscribeTokenRequest(project="default", token=bad)
        )
        assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TOKEN_INVALID")
    failure = fails(stub.ConfirmSubscription, profiles_pb2.ConfirmSubscriptionRequest(project="default", token=token))
    assert failure.reason == "TOKEN_INVALID"
    missing = profiles_pb2.CreateUnsubscribeTokenRequest(project="default", identifier=custom(), channel=EMAIL)
    assert fails(stub.CreateUnsubscribeToken, missing).code == grpc.StatusCode.NOT_FOUND


def test_a_merge_joins_consent_and_keeps_both_chains(stub):
    device, who = types_pb2.Identifier(installation_id=unique("device")), custom()
    stub.UpdateSubscription(update(who, change(), change(topic="mine")))
    stub.UpdateSubscription(update(device, change(state=UNSUBSCRIBED), change(SMS)))
    token = stub.CreateUnsubscribeToken(
        profiles_pb2.CreateUnsubscribeTokenRequest(project="default", identifier=device, channel=SMS)
    ).token
    merged = stub.Identify(
        profiles_pb2.IdentifyRequest(project="default", installation_id=device.installation_id, custom_id=who.custom_id)
    )
    assert merged.outcome == types_pb2.OUTCOME_MERGED
    assert states(merged.profile.subscriptions) == {
        (EMAIL, ""): UNSUBSCRIBED,
        (EMAIL, "mine"): SUBSCRIBED,
        (SMS, ""): SUBSCRIBED,
    }
    entries = history(stub, who).entries
    assert [(e.channel, e.topic, e.source) for e in entries[4:]] == [(EMAIL, "", SYSTEM), (SMS, "", SYSTEM)]
    assert len(entries) == 6 and len({entry.profile_id for entry in entries}) == 2
    for profile_id in {entry.profile_id for entry in entries}:
        previous = bytes(32)
        for entry in (entry for entry in entries if entry.profile_id == profile_id):
            assert entry.previous_hash == previous
            previous = entry_hash(entry, previous)
            assert entry.hash == previous
    assert list(history(stub, who, page_size=5).entries) == list(entries[:5])
    rest = history(stub, who, page_size=5, page_token=history(stub, who, page_size=5).next_page_token)
    assert list(rest.entries) == list(entries[5:]), "two entries of a merge share an lsn, and a page ends between them"
    verified = stub.VerifyConsentLedger(profiles_pb2.VerifyConsentLedgerRequest(project="default", identifier=who))
    assert verified.valid and verified.entries == 6
    stub.RedeemUnsubscribeToken(profiles_pb2.RedeemUnsubscribeTokenRequest(project="default", token=token))
    assert states(stub.GetProfile(get(who)).profile.subscriptions)[(SMS, "")] == UNSUBSCRIBED


def suppress(stub, address, reason, channel=EMAIL, **fields):
    return stub.AddSuppression(
        profiles_pb2.AddSuppressionRequest(project="default", channel=channel, address=address, reason=reason, **fields)
    )


def test_reasons_are_checked_in_the_order_of_the_contract(stub):
    assert sendable(stub, with_address(stub)) == (False, NO_ADDRESS)
    address = unique("Some.Body") + "@Example.org"
    who = with_address(stub, email=address)
    assert sendable(stub, who) == (False, CHANNEL)
    stub.UpdateSubscription(update(who, change(), change(topic="no", state=UNSUBSCRIBED), change(topic="yes")))
    assert sendable(stub, who) == (True, OK)
    assert sendable(stub, who, topic="YES") == (True, OK)
    assert sendable(stub, who, topic="no") == (False, TOPIC)
    assert sendable(stub, who, topic="other") == (True, TOPIC_DEFAULT)
    assert sendable(stub, who, channel=SMS) == (False, NO_ADDRESS)
    for reason, verdict in ((2, COMPLAINT), (4, MANUAL), (3, INVALID), (1, HARD_BOUNCE)):
        suppress(stub, address.upper(), reason)
        assert sendable(stub, who) == (False, verdict)
        expected = (True, OK) if verdict == COMPLAINT else (False, verdict)
        assert sendable(stub, who, message_class=TRANSACTIONAL) == expected
    remove = profiles_pb2.RemoveSuppressionRequest(project="default", channel=EMAIL, address=address.lower())
    assert stub.RemoveSuppression(remove).existed and not stub.RemoveSuppression(remove).existed
    stub.UpdateSubscription(update(who, change(state=UNSUBSCRIBED)))
    assert sendable(stub, who, topic="yes") == (False, CHANNEL), "a global opt-out beats topics"
    assert sendable(stub, who, message_class=TRANSACTIONAL) == (True, OK)


def test_push_needs_an_app_or_web_installation(stub):
    device = types_pb2.Identifier(installation_id=unique("device"))
    stub.UpdateSubscription(update(device, change(PUSH)))
    assert sendable(stub, device, PUSH) == (False, NO_ADDRESS)
    browser = unique("browser")
    stub.Identify(
        profiles_pb2.IdentifyRequest(
            project="default", installation_id=browser, source=types_pb2.Source(platform=types_pb2.PLATFORM_WEB)
        )
    )
    stub.UpdateSubscription(update(types_pb2.Identifier(installation_id=browser), change(PUSH)))
    assert sendable(stub, types_pb2.Identifier(installation_id=browser), PUSH) == (True, OK)


def test_suppression_is_validated_and_replayed(stub):
    bad = profiles_pb2.AddSuppressionRequest(project="default", channel=EMAIL, address="nobody")
    assert fails(stub.AddSuppression, bad).violations.keys() == {"address", "reason"}
    push = profiles_pb2.AddSuppressionRequest(project="default", channel=PUSH, address="x", reason=1)
    assert fails(stub.AddSuppression, push).violations.keys() == {"channel"}
    request_id = unique("request")
    first = suppress(stub, "+4915112345678", 1, SMS, request_id=request_id)
    again = suppress(stub, "+4915112345678", 1, SMS, request_id=request_id)
    assert again.replayed and again.lsn == first.lsn


def test_consent_and_suppression_survive_a_restart_and_no_address_is_on_disk(server):
    server.start()
    address, request_id = unique("secret") + "@example.org", unique("request")
    who = custom()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        response = stub.UpdateSubscription(update(who, change(), change(SMS, UNSUBSCRIBED), request_id=request_id))
        suppress(stub, address, 4)
        entries = list(history(stub, who).entries)
    assert server.stop() == 0
    assert not any(address.encode() in path.read_bytes() for path in server.data_dir.rglob("*") if path.is_file())
    server.start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        assert list(history(stub, who).entries) == entries
        again = stub.UpdateSubscription(update(who, change(), change(SMS, UNSUBSCRIBED), request_id=request_id))
        assert again.replayed and again.lsn == response.lsn
        remove = profiles_pb2.RemoveSuppressionRequest(project="default", channel=EMAIL, address=address, reason=4)
        assert stub.RemoveSuppression(remove).existed


def test_every_item_is_counted(server):
    server.start()
    who = custom()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        stub.UpdateSubscription(update(who, change(), change(SMS, UNSUBSCRIBED)))
        stub.UpdateSubscription(update(who, change(state=UNSET), occurred_at=ago(60)))
        fails(stub.UpdateSubscription, update(who, change(SMS), source=API))
        fails(stub.UpdateSubscription, update(who, change(state=PENDING)))
    count = {
        result: server.metric(f'profiles_items_total{{result="{result}"}}')
        for result in ("stored", "duplicate", "stale", "rejected")
    }
    assert count == {"stored": 2, "duplicate": 0, "stale": 1, "rejected": 2}
    assert server.metric("profiles_items_received_total") == 5
