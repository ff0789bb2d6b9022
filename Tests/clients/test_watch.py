"""Watch: every committed change of a project, in order, without a gap, from any position that is kept."""

import signal
import threading

import grpc
import pytest

from conftest import custom, event, fails, profiles_pb2, profiles_pb2_grpc, track, types_pb2, unique, wait_until

KIND = profiles_pb2.ChangeKind


def stub_of(server):
    return profiles_pb2_grpc.ProfilesStub(server.channel())


class Follower:
    """A Watch whose responses are gathered by a thread."""

    def __init__(self, stub, **request):
        self.responses, self.end = [], None
        self.call = stub.Watch(profiles_pb2.WatchRequest(project="default", **request))
        # The first message is a heartbeat: from here on nothing is missed.
        self.first = next(self.call)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            for response in self.call:
                self.responses.append(response)
        except grpc.RpcError as error:
            self.end = error

    @property
    def changes(self):
        return [response for response in self.responses if response.HasField("change")]

    def wait(self, count):
        assert wait_until(lambda: len(self.changes) >= count, 20), self.responses
        return self.changes

    def stop(self):
        self.call.cancel()
        self.thread.join(10)


def test_first_message_is_a_heartbeat_with_the_position(server):
    stub = stub_of(server.start())
    lsn = stub.Track(track(custom())).lsn
    follower = Follower(stub)
    assert not follower.first.HasField("change") and follower.first.lsn >= lsn
    follower.stop()
    follower = Follower(stub, from_lsn=lsn)
    assert follower.first.lsn == lsn - 1
    follower.wait(1)
    follower.stop()


def test_changes_come_in_order_with_the_values_of_their_operation(server):
    stub = stub_of(server.start())
    follower = Follower(stub)
    who = custom()
    response = stub.Track(track(who, event("purchase", attributes={"Total": types_pb2.Value(number=4.5)})))
    stub.Track(track(who, event("visit")))
    changes = follower.wait(3)
    assert [change.change.kind for change in changes] == [
        KIND.CHANGE_KIND_PROFILE_CREATED,
        KIND.CHANGE_KIND_EVENT_STORED,
        KIND.CHANGE_KIND_EVENT_STORED,
    ]
    assert [change.lsn for change in changes] == sorted(change.lsn for change in changes)
    created, first, second = (change.change for change in changes)
    assert created.profile_id == first.profile_id == second.profile_id and created.custom_id == who.custom_id
    assert first.event.name == "purchase" and first.event.attributes["total"].number == 4.5
    assert second.event.name == "visit" and second.revision > first.revision
    assert changes[1].lsn == response.lsn
    follower.stop()


def test_position_that_is_not_kept_or_has_not_come_is_gone(server):
    stub = stub_of(server.start())
    lsn = stub.Track(track(custom())).lsn
    call = stub.Watch(profiles_pb2.WatchRequest(project="default", from_lsn=lsn + 1_000))
    failure = fails(lambda _, **__: list(call), None)
    assert (failure.code, failure.reason) == (grpc.StatusCode.OUT_OF_RANGE, "POSITION_GONE")
    assert int(failure.metadata["earliest_lsn"]) >= 1


@pytest.mark.parametrize(
    "request_of, kept",
    [
        (dict(kinds=[KIND.CHANGE_KIND_PROFILE_CREATED]), {"created"}),
        (dict(event_names=["Purchase"]), {"purchase"}),
        (dict(attributes=["plan"]), {"plan"}),
        (dict(event_names=["purchase"], attributes=["plan"]), {"purchase", "plan"}),
    ],
)
def test_filters_let_pass_what_they_name(server, request_of, kept):
    stub = stub_of(server.start())
    follower = Follower(stub, **request_of)
    who = custom()
    stub.Track(track(who, event("purchase"), event("visit")))
    patch = types_pb2.AttributePatch(set={"plan": types_pb2.Value(string="gold")})
    stub.Identify(profiles_pb2.IdentifyRequest(project="default", custom_id=who.custom_id, attributes=patch))

    def label(change):
        if change.kind == KIND.CHANGE_KIND_PROFILE_CREATED:
            return "created"
        if change.kind == KIND.CHANGE_KIND_EVENT_STORED:
            return change.event.name
        return ",".join(change.attributes.set)

    assert {label(change.change) for change in follower.wait(len(kept))} == kept
    follower.stop()


def test_identifier_leads_at_the_lsn_of_the_change(server):
    stub = stub_of(server.start())
    device = types_pb2.Identifier(installation_id=unique())
    before = stub.Track(track(device, event("anonymous"))).lsn
    person = unique()
    identify = profiles_pb2.IdentifyRequest(project="default", custom_id=person, installation_id=device.installation_id)
    stub.Identify(identify)
    stub.Track(track(types_pb2.Identifier(custom_id=person), event("known")))
    stub.Track(track(custom(), event("other")))
    # From the present and from the past alike.
    for lsn in (before, 0):
        follower = Follower(
            stub,
            from_lsn=lsn,
            kinds=[KIND.CHANGE_KIND_EVENT_STORED],
            identifiers=[types_pb2.Identifier(custom_id=person)],
        )
        stub.Track(track(types_pb2.Identifier(custom_id=person), event("later")))
        names = [change.change.event.name for change in follower.wait(2 if lsn else 1)]
        assert "other" not in names and names[-1] == "later"
        follower.stop()
    follower = Follower(
        stub, from_lsn=before, kinds=[KIND.CHANGE_KIND_EVENT_STORED], identifiers=[device]
    )
    names = [change.change.event.name for change in follower.wait(4)]
    assert names == ["anonymous", "known", "later", "later"]
    follower.stop()


def test_identifier_leads_through_a_merge_that_an_unmerge_took_out_of_a_chain(server):
    stub = stub_of(server.start())
    names = [unique() for _ in range(3)]
    ann, bob, eve = (types_pb2.Identifier(custom_id=name) for name in names)
    for name in names:
        stub.Identify(profiles_pb2.IdentifyRequest(project="default", custom_id=name))

    def merge(loser, survivor):
        return stub.MergeProfiles(
            profiles_pb2.MergeProfilesRequest(
                project="default", loser=loser, survivor=survivor, allow_identified=True
            )
        ).merge_id

    # The first merge is older than the watcher's first position.
    first = merge(ann, bob)
    lsn = stub.Track(track(bob, event("of_bob"))).lsn
    stub.Track(track(eve, event("of_eve_alone")))
    merge(bob, eve)
    stub.Track(track(eve, event("of_eve")))
    stub.UnmergeProfile(profiles_pb2.UnmergeProfileRequest(project="default", merge_id=first))
    stub.Track(track(bob, event("of_eve_without_ann")))
    stub.Track(track(ann, event("of_ann")))
    follower = Follower(stub, from_lsn=lsn, kinds=[KIND.CHANGE_KIND_EVENT_STORED], identifiers=[ann])
    assert [change.change.event.name for change in follower.wait(3)] == ["of_bob", "of_eve", "of_ann"]
    follower.stop()


def test_watcher_resumes_over_a_kill_without_a_gap(server):
    stub = stub_of(server.start())
    who = custom()
    first = stub.Track(track(who, event("e0"))).lsn
    lsns = [first] + [stub.Track(track(who, event(f"e{number}"))).lsn for number in range(1, 50)]
    server.stop(signal.SIGKILL)
    stub = stub_of(server.start())
    lsns += [stub.Track(track(who, event(f"e{number}"))).lsn for number in range(50, 60)]
    follower = Follower(stub, from_lsn=first, kinds=[KIND.CHANGE_KIND_EVENT_STORED])
    changes = follower.wait(60)
    assert [change.lsn for change in changes] == lsns
    assert [change.change.event.name for change in changes] == [f"e{number}" for number in range(60)]
    follower.stop()


def test_erased_people_are_not_shown(server):
    stub = stub_of(server.start())
    gone, stays = custom(), custom()
    first = stub.Track(track(gone, event("secret"))).lsn
    stub.Track(track(stays, event("public")))
    stub.EraseProfile(profiles_pb2.EraseProfileRequest(project="default", identifier=gone))
    follower = Follower(stub, from_lsn=first)
    changes = [change.change for change in follower.wait(3)]
    assert [change.kind for change in changes] == [
        KIND.CHANGE_KIND_PROFILE_CREATED,
        KIND.CHANGE_KIND_EVENT_STORED,
        KIND.CHANGE_KIND_PROFILE_ERASED,
    ]
    assert changes[1].event.name == "public" and changes[2].custom_id == ""
    follower.stop()


def test_drain_ends_a_watch_after_a_last_heartbeat(server):
    stub = stub_of(server.start())
    follower = Follower(stub)
    lsn = stub.Track(track(custom())).lsn
    follower.wait(1)
    assert server.stop() == 0
    follower.thread.join(10)
    assert follower.end.code() == grpc.StatusCode.UNAVAILABLE
    assert not follower.responses[-1].HasField("change") and follower.responses[-1].lsn >= lsn
