"""MergeProfiles, UnmergeProfile and DetachInstallation with a real client, and their commands of profilectl."""

import re
import signal
import time

import grpc
import pytest
from google.protobuf import timestamp_pb2, wrappers_pb2

from conftest import custom, event, fails, get, profiles_pb2_grpc, track, unique
from conftest import profiles_pb2 as rpc
from conftest import types_pb2 as types
from operator_tools import ctl
from profiles.v1 import admin_pb2, admin_pb2_grpc
from test_consent import EMAIL, SUBSCRIBED, UNSUBSCRIBED, change, update
from test_erase import device, erase


def merge(loser, survivor, allow=True, **fields):
    return rpc.MergeProfilesRequest(
        project="default", loser=loser, survivor=survivor, allow_identified=allow, **fields
    )


def unmerge(merge_id, **fields):
    return rpc.UnmergeProfileRequest(project="default", merge_id=merge_id, **fields)


def detach(name, **fields):
    return rpc.DetachInstallationRequest(project="default", installation_id=name, **fields)


def identify(person="", phone="", **values):
    patch = types.AttributePatch(set={name: types.Value(integer=value) for name, value in values.items()})
    request = rpc.IdentifyRequest(project="default", installation_id=phone, attributes=patch)
    if person:
        request.custom_id = person
    return request


def couple(stub):
    """Two identified people, each with a device, attributes, events and consent."""
    old, ann = unique("old"), unique("ann")
    stub.Identify(identify(old, f"{old}-phone", a=1, b=1))
    stub.Identify(identify(ann, f"{ann}-phone", b=2, c=2))
    stub.Track(track(device(f"{old}-phone"), event("visit", event_id="one")))
    stub.Track(track(custom(ann), event("visit", event_id="one"), event("buy")))
    stub.UpdateSubscription(update(custom(old), change(EMAIL, SUBSCRIBED)))
    return old, ann


def shown(stub, person):
    """A profile without what every change moves."""
    profile = stub.GetProfile(get(custom(person))).profile
    for name in ("revision", "lsn", "updated_at"):
        profile.ClearField(name)
    return profile


def values(stub, person):
    profile = stub.GetProfile(get(custom(person))).profile
    return {name: value.integer for name, value in profile.attributes.items()}


def counts(stub, person):
    return {counter.name: counter.count for counter in stub.GetProfile(get(custom(person))).profile.event_counters}


def test_merge_and_unmerge_with_nothing_between_gives_both_back(stub):
    old, ann = couple(stub)
    before = shown(stub, old), shown(stub, ann)
    response = stub.MergeProfiles(merge(custom(old), custom(ann)))
    assert response.outcome == types.OUTCOME_MERGED and len(response.merge_id) == 26 and not response.replayed
    assert {alias.custom_id for alias in response.profile.aliases if alias.custom_id} == {old}
    read = stub.GetProfile(get(custom(old)))
    assert read.redirected_from == old and read.profile.custom_id == ann
    undone = stub.UnmergeProfile(unmerge(response.merge_id))
    assert undone.profile.custom_id == ann and undone.restored.custom_id == old and not undone.warnings
    assert (shown(stub, old), shown(stub, ann)) == before
    assert stub.GetProfile(get(custom(old))).redirected_from == ""


def test_writes_since_go_to_the_side_through_which_they_came(stub):
    old, ann = couple(stub)
    merge_id = stub.MergeProfiles(merge(custom(old), custom(ann))).merge_id
    stub.Identify(identify(old, b=7, n=7))
    stub.Identify(identify("", f"{ann}-phone", a=8))
    stub.Track(track(device(f"{old}-phone"), event("visit")))
    stub.Track(track(custom(ann), event("buy")))
    stub.UpdateSubscription(update(custom(ann), change(EMAIL, UNSUBSCRIBED)))
    response = stub.UnmergeProfile(unmerge(merge_id, request_id=unique("r")))
    assert values(stub, old) == {"a": 1, "b": 7, "n": 7}
    assert values(stub, ann) == {"a": 8, "b": 2, "c": 2}
    assert counts(stub, old) == {"visit": 2} and counts(stub, ann) == {"visit": 1, "buy": 2}
    # An opt-out holds on both.
    for profile in (response.profile, response.restored):
        assert [item.state for item in profile.subscriptions.items] == [UNSUBSCRIBED]
    history = stub.ListConsentHistory(rpc.ListConsentHistoryRequest(project="default", identifier=custom(old)))
    assert history.entries[-1].source == types.CONSENT_SOURCE_SYSTEM
    verified = stub.VerifyConsentLedger(rpc.VerifyConsentLedgerRequest(project="default", identifier=custom(old)))
    assert verified.valid


def test_errors_of_merges(stub):
    old, ann = couple(stub)
    failure = fails(stub.MergeProfiles, merge(custom(old), custom(ann), allow=False))
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BOTH_IDENTIFIED")
    failure = fails(stub.MergeProfiles, merge(custom(unique("nobody")), custom(ann)))
    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "PROFILE_NOT_FOUND")
    wrong = wrappers_pb2.UInt64Value(value=77)
    failure = fails(stub.MergeProfiles, merge(custom(old), custom(ann), expected_revision=wrong))
    assert (failure.code, failure.reason) == (grpc.StatusCode.ABORTED, "REVISION_MISMATCH")
    failure = fails(stub.MergeProfiles, merge(types.Identifier(custom_id=""), types.Identifier()))
    assert set(failure.violations) == {"loser.custom_id", "survivor"}
    same = stub.MergeProfiles(merge(device(f"{ann}-phone"), custom(ann)))
    assert same.outcome == types.OUTCOME_NOOP and same.merge_id == ""


def test_errors_of_unmerges(stub):
    old, ann = couple(stub)
    for unknown in ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "nonsense"):
        failure = fails(stub.UnmergeProfile, unmerge(unknown))
        assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "MERGE_NOT_FOUND")
    assert "merge_id" in fails(stub.UnmergeProfile, unmerge("")).violations
    request_id = unique("r")
    merge_id = stub.MergeProfiles(merge(custom(old), custom(ann))).merge_id
    first = stub.UnmergeProfile(unmerge(merge_id, request_id=request_id))
    again = stub.UnmergeProfile(unmerge(merge_id, request_id=request_id))
    assert again.replayed and again.lsn == first.lsn and again.restored.custom_id == old
    failure = fails(stub.UnmergeProfile, unmerge(merge_id))
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MERGE_EXPIRED")
    merge_id = stub.MergeProfiles(merge(custom(old), custom(ann))).merge_id
    stub.EraseProfile(erase(custom(old)))
    assert fails(stub.UnmergeProfile, unmerge(merge_id)).reason == "MERGE_EXPIRED"


def test_detached_device_is_on_a_new_anonymous_profile(stub):
    old, _ = couple(stub)
    former = stub.GetProfile(get(custom(old))).profile
    request_id = unique("r")
    response = stub.DetachInstallation(detach(f"{old}-phone", request_id=request_id))
    assert response.former_profile_id == former.profile_id and response.revision == 1
    now = stub.GetProfile(get(device(f"{old}-phone"))).profile
    assert now.profile_id == response.profile_id and now.state == types.STATE_ANONYMOUS
    left = stub.GetProfile(get(custom(old))).profile
    assert not left.installations and left.revision == former.revision + 1
    assert counts(stub, old) == {"visit": 1}
    again = stub.DetachInstallation(detach(f"{old}-phone", request_id=request_id))
    assert again.replayed and again.lsn == response.lsn
    alone = stub.DetachInstallation(detach(f"{old}-phone"))
    assert alone.profile_id == alone.former_profile_id == response.profile_id and alone.revision == 1
    failure = fails(stub.DetachInstallation, detach(unique("unknown")))
    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "PROFILE_NOT_FOUND")
    assert "installation_id" in fails(stub.DetachInstallation, detach("")).violations


@pytest.mark.parametrize("with_snapshot", [False, True])
def test_merges_are_undone_after_a_kill(server, with_snapshot):
    server.start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        old, ann = couple(stub)
        before = shown(stub, old), shown(stub, ann)
        login = unique("phone")
        stub.Track(track(device(login), event("visit")))
        merge_id = stub.MergeProfiles(merge(custom(old), custom(ann))).merge_id
        by_login = stub.Identify(identify(ann, login)).merge_id
        assert len(by_login) == 26
        if with_snapshot:
            admin_pb2_grpc.AdminStub(channel).CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=30)
    server.stop(signal.SIGKILL)
    server.start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        stub.UnmergeProfile(unmerge(merge_id))
        stub.UnmergeProfile(unmerge(by_login))
        assert (shown(stub, old), shown(stub, ann)) == before
        assert stub.GetProfile(get(device(login))).profile.state == types.STATE_ANONYMOUS


def test_commands(shared, stub):
    old, ann = couple(stub)
    refused = ctl("merge", old, ann, server=shared)
    assert refused.returncode == 1 and "--allow-identified" in refused.stderr
    merged = ctl("merge", old, ann, "--allow-identified", server=shared)
    found = re.fullmatch(rf"merged: {ann}, profile \w{{26}}, revision \d+, merge (\w{{26}})\n", merged.stdout)
    assert found, merged
    undone = ctl("unmerge", found[1], server=shared)
    assert undone.stdout.startswith(f"restored: {old}, profile ") and f"\nleft: {ann}, profile " in undone.stdout
    again = ctl("unmerge", found[1], server=shared)
    assert again.returncode == 1 and "merge" in again.stderr
    left = ctl("detach", f"device:{old}-phone", server=shared)
    assert re.fullmatch(r"detached: profile \w{26}, before on \w{26}, revision 1\n", left.stdout), left
    alone = ctl("detach", f"{old}-phone", server=shared)
    assert alone.stdout.startswith("alone already: profile ")


def test_survivor_of_someone_with_addresses_is_erased(server):
    """The addresses of who was merged away are the survivor's or nobody's: an erasure removes them once."""
    server.start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        old, ann = couple(stub)
        for person in (old, ann):
            request = identify(person)
            request.attributes.native.email_address.value = f"{person}@example.org"
            stub.Identify(request)
        stub.MergeProfiles(merge(custom(old), custom(ann)))
        assert stub.EraseProfile(erase(custom(ann))).existed
        assert fails(stub.GetProfile, get(custom(ann))).code == grpc.StatusCode.NOT_FOUND
    server.stop(signal.SIGKILL)
    server.start()


def test_a_custom_id_that_two_survivors_had_is_no_alias_of_theirs_behind_an_unmerge(stub):
    """An anonymous survivor takes the loser's custom ID, and is merged into somebody who lists it as an alias then."""
    old, ann = couple(stub)
    phone = unique("phone")
    stub.Track(track(device(phone), event("visit")))
    merge_id = stub.MergeProfiles(merge(custom(old), device(phone))).merge_id
    stub.MergeProfiles(merge(device(phone), custom(ann)))
    response = stub.UnmergeProfile(unmerge(merge_id))
    assert response.restored.custom_id == old
    assert not [alias.custom_id for alias in response.profile.aliases if alias.custom_id]
    stub.EraseProfile(erase(custom(ann)))
    assert stub.GetProfile(get(custom(old))).profile.custom_id == old
    stub.Identify(identify(old, n=1))


def test_a_lost_event_is_told_of_behind_an_unmerge(shared, stub):
    """Also if it is older than what the loser had lost: the counter has it, and no list of events."""
    project, old, ann = unique("few").lower(), custom(unique("old")), custom(unique("ann"))
    with shared.channel() as channel:
        admin_pb2_grpc.AdminStub(channel).CreateProject(
            admin_pb2.CreateProjectRequest(project=project, options=admin_pb2.ProjectOptions(events_per_profile_max=2))
        )
    now = int(time.time())

    def visit(person, seconds_ago):
        at = timestamp_pb2.Timestamp(seconds=now - seconds_ago)
        request = track(person, event("visit", occurred_at=at))
        request.project = project
        return stub.Track(request)

    for seconds_ago in (400, 300, 200):
        visit(old, seconds_ago)
    request = identify(ann.custom_id, n=1)
    request.project = project
    stub.Identify(request)
    request = merge(old, ann)
    request.project = project
    merge_id = stub.MergeProfiles(request).merge_id
    visit(ann, 500)
    response = stub.UnmergeProfile(rpc.UnmergeProfileRequest(project=project, merge_id=merge_id))
    assert [counter.count for counter in response.profile.event_counters] == [1]
    assert response.profile.events_truncated_before.seconds >= now - 500
    assert [counter.count for counter in response.restored.event_counters] == [3]


def test_opt_outs_before_and_behind_a_later_merge_join(stub):
    """The later time stands, and the person's source, whichever came first."""
    old, ann = couple(stub)
    merge_id = stub.MergeProfiles(merge(custom(old), custom(ann))).merge_id
    late = timestamp_pb2.Timestamp(seconds=int(time.time()) - 100)
    early = timestamp_pb2.Timestamp(seconds=int(time.time()) - 5_000)
    stub.UpdateSubscription(
        update(custom(ann), change(2, UNSUBSCRIBED), source=types.CONSENT_SOURCE_USER, occurred_at=late)
    )
    other, _ = couple(stub)
    stub.MergeProfiles(merge(custom(other), custom(ann)))
    stub.UpdateSubscription(
        update(custom(ann), change(2, UNSUBSCRIBED), source=types.CONSENT_SOURCE_API, occurred_at=early)
    )
    for profile in (stub.UnmergeProfile(unmerge(merge_id)).restored, stub.GetProfile(get(custom(ann))).profile):
        (item,) = [item for item in profile.subscriptions.items if item.channel == 2]
        assert (item.state, item.source, item.effective_time) == (UNSUBSCRIBED, types.CONSENT_SOURCE_USER, late)
