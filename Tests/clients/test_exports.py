"""Exports: the parts of a person and of a project, copies of a base that is written meanwhile, and tokens."""

import random
import signal
import threading
import time

import grpc
import pytest

import export_replica as replica_of
from conftest import (
    Server,
    custom,
    event,
    fails,
    get,
    profiles_pb2 as rpc,
    profiles_pb2_grpc,
    track,
    types_pb2 as types,
    unique,
    wait_until,
)
from export_replica import Replica, export, groups

EMAIL, SMS, PUSH = 1, 2, 3
USER, MANUAL = 1, 4
SUBSCRIBED, UNSUBSCRIBED = 3, 4
WRITERS = 4
SECONDS = 4
CROWD = 3_000
CUTS = 10
# Of an export that is cut, in parts: what a client has received already is more than what it has read.
CROWD_CUT, PARTS_BETWEEN_CUTS_MAX = 12_000, 1_500


def subscribe(stub, who, channel, state=SUBSCRIBED, topic=""):
    change = rpc.SubscriptionChange(channel=channel, topic=topic, state=state)
    stub.UpdateSubscription(
        rpc.UpdateSubscriptionRequest(project="default", identifier=who, source=USER, changes=[change]), timeout=20
    )


def identify(stub, name="", device="", email="", **attributes):
    patch = types.AttributePatch(set={key: types.Value(integer=value) for key, value in attributes.items()})
    if email:
        patch.native.email_address.value = email
    request = rpc.IdentifyRequest(project="default", custom_id=name, installation_id=device, attributes=patch)
    return stub.Identify(request, timeout=20)


def export_person(stub, who):
    return list(stub.ExportProfile(rpc.ExportProfileRequest(project="default", identifier=who), timeout=20))


# One person.


def test_a_person_comes_whole_and_in_order(stub):
    name, device = unique("whole"), unique("device")
    who, email = custom(name), f"{name}@Example.org"
    stub.Track(track(types.Identifier(installation_id=device), event("visit", event_id="first")), timeout=20)
    subscribe(stub, types.Identifier(installation_id=device), PUSH)
    loser = stub.GetProfile(get(types.Identifier(installation_id=device)), timeout=20).profile.profile_id
    identify(stub, name, email=email, plan=3)
    now = int(time.time())
    for number in (3, 1, 2):
        stub.Track(
            track(who, event("buy", event_id=f"e{number}", occurred_at={"seconds": now - 100 + number})), timeout=20
        )
    subscribe(stub, who, EMAIL)
    subscribe(stub, who, PUSH, UNSUBSCRIBED)
    identify(stub, name, device=device)
    stub.AddSuppression(
        rpc.AddSuppressionRequest(project="default", channel=EMAIL, address=email.lower(), reason=MANUAL), timeout=20
    )
    parts = export_person(stub, who)
    shown = stub.GetProfile(get(who, metadata=True), timeout=20)
    assert parts[0].profile == shown.profile and {part.lsn for part in parts} == {shown.lsn}
    kinds = [part.WhichOneof("part") for part in parts]
    assert kinds == ["profile"] + ["event"] * 4 + ["consent_entry"] * len(kinds[6:]) + ["suppression"]
    listed = stub.ListEvents(
        rpc.ListEventsRequest(project="default", identifier=who, order=types.EVENT_ORDER_OLDEST_FIRST), timeout=20
    )
    assert [part.event for part in parts[1:5]] == list(listed.events)
    assert [part.event.event_id for part in parts[1:4]] == ["e1", "e2", "e3"]
    history = stub.ListConsentHistory(
        rpc.ListConsentHistoryRequest(project="default", identifier=who), timeout=20
    ).entries
    entries = [part.consent_entry for part in parts if part.HasField("consent_entry")]
    assert entries == list(history) and len({entry.profile_id for entry in entries}) == 2
    assert parts[-1].suppression == rpc.SuppressionRecord(channel=EMAIL, address=email, reasons=[MANUAL])
    assert not any(part.page_token or part.redirected_from for part in parts)
    redirected = export_person(stub, types.Identifier(profile_id=loser))
    assert [part.redirected_from for part in redirected] == [loser] + [""] * (len(parts) - 1)
    redirected[0].redirected_from = ""
    assert redirected == parts


def test_an_unknown_and_an_erased_person_are_not_found(stub):
    name = unique("gone")
    request = rpc.ExportProfileRequest(project="default", identifier=custom(name))
    assert fails(lambda *args, **more: list(stub.ExportProfile(*args, **more)), request).reason == "PROFILE_NOT_FOUND"
    stub.Track(track(custom(name)), timeout=20)
    assert export_person(stub, custom(name))
    stub.EraseProfile(rpc.EraseProfileRequest(project="default", identifier=custom(name)), timeout=20)
    failure = fails(lambda *args, **more: list(stub.ExportProfile(*args, **more)), request)
    assert failure.code == grpc.StatusCode.NOT_FOUND and failure.reason == "PROFILE_NOT_FOUND"


@pytest.mark.parametrize("token", ["x", "AAAA", "A" * 38, "é"])
def test_a_token_that_nobody_made_is_invalid(stub, token):
    request = rpc.ExportProjectRequest(project="default", page_token=token)
    failure = fails(lambda *args, **more: list(stub.ExportProject(*args, **more)), request)
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT and "page_token" in failure.violations


# Everyone.


def crowd(server, count=CROWD):
    """Writes people with an event each; returns their custom IDs."""
    names = [f"crowd-{number}" for number in range(count)]
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        for start in range(0, count, 200):
            operations = [
                rpc.WriteOperation(
                    track=rpc.TrackRequest(identifier=custom(name), events=[event("visit", label="x" * 100)])
                )
                for name in names[start : start + 200]
            ]
            stub.BatchWrite(rpc.BatchWriteRequest(project="default", operations=operations), timeout=30)
    return names


def test_an_export_of_nobody_is_its_position(server):
    server.start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        [part] = export(stub)
        assert part.WhichOneof("part") is None and part.lsn > 0 and not part.page_token
        stub.Track(track(custom("ann")), timeout=20)
        replica = Replica([part])
        stub.Track(track(custom("bob"), event("end", event_id="end")), timeout=20)
        replica.follow(stub, "end")
        assert len(replica.people) == 2 and replica.skipped == 0


def killing(server):
    """What kills a server, and what makes a stub whose window is small: a client that has everything already is not
    cut by a kill."""
    channels = []

    def kill():
        server.stop(signal.SIGKILL)
        server.start()

    def stub_of():
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]
        channels.append(grpc.insecure_channel(server.listen, options=options))
        return profiles_pb2_grpc.ProfilesStub(channels[-1])

    return kill, stub_of, channels


def test_everyone_comes_once_also_through_kills(server):
    server.start()
    names = crowd(server)
    kill, stub_of, _ = killing(server)
    _, people, killed = replica_of.export_through_kills(kill, stub_of, cuts=[600] * 4)
    assert killed == 4 and sorted(group[0].profile.custom_id for group in people) == sorted(names)
    assert all(len(group) == 2 and group[1].event.label == "x" * 100 for group in people)


def test_the_order_is_that_of_a_restarted_server(server):
    server.start()
    crowd(server, 500)
    with server.channel() as channel:
        before = export(profiles_pb2_grpc.ProfilesStub(channel))
    assert server.stop() == 0
    server.start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        after = export(stub)
        assert [part.profile for part in after] == [part.profile for part in before]
        assert [part.page_token for part in after] == [part.page_token for part in before]
        token = list(groups(before))[249][-1].page_token
        rest = list(stub.ExportProject(rpc.ExportProjectRequest(project="default", page_token=token), timeout=20))
        assert len(list(groups(rest))) == 250


# A base that is written meanwhile.


class Writer(threading.Thread):
    """Writes of all kinds about people of its own."""

    def __init__(self, server, number, stop):
        super().__init__()
        self.chance, self.number, self.stopping = random.Random(number), number, stop
        self.channel = server.channel()
        self.stub = profiles_pb2_grpc.ProfilesStub(self.channel)
        self.names, self.devices, self.writes, self.failed = [], 0, 0, 0
        # Who has a device is not erased: of a device that moved to an erased person the feed tells nothing any more.
        # Nor is who was merged, and may have one so.
        self.holders = set()
        self.merges = []

    def run(self):
        while not self.stopping.is_set():
            try:
                self.step()
            except grpc.RpcError as error:
                # While the server is killed: nobody knows whether it was written.
                assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED), error
                self.failed += 1
                time.sleep(0.02)
            self.writes += 1

    def name(self):
        return self.chance.choice(self.names)

    def step(self):
        kind = self.chance.choice(
            "new new track track track attribute consent suppress login erase device merge unmerge".split()
        )
        if kind == "new" or len(self.names) < 20:
            name = f"w{self.number}-{len(self.names)}-{self.writes}"
            identify(self.stub, name, email=f"{name}@example.org", n=self.writes)
            self.names.append(name)
        elif kind == "track":
            events = [event("step", event_id=unique("e")) for _ in range(self.chance.randrange(1, 4))]
            self.stub.Track(track(custom(self.name()), *events), timeout=20)
        elif kind == "attribute":
            identify(self.stub, self.name(), **{f"a{self.chance.randrange(5)}": self.writes})
        elif kind == "consent":
            state = self.chance.choice([SUBSCRIBED, UNSUBSCRIBED])
            subscribe(self.stub, custom(self.name()), self.chance.choice([EMAIL, SMS]), state)
        elif kind == "suppress":
            request = rpc.AddSuppressionRequest(
                project="default", channel=EMAIL, address=f"{self.name()}@example.org", reason=MANUAL
            )
            self.stub.AddSuppression(request, timeout=20)
        elif kind == "device":
            self.devices += 1
            device = types.Identifier(installation_id=f"d{self.number}-{self.devices}")
            self.stub.Track(track(device, event("open", event_id=unique("e"))), timeout=20)
        elif kind == "login" and self.devices:
            device = f"d{self.number}-{self.chance.randrange(1, self.devices + 1)}"
            name = self.name()
            self.holders.add(name)
            identify(self.stub, name, device=device)
        elif kind == "merge":
            self.merge(*self.chance.sample(self.names, 2))
        elif kind == "unmerge" and self.merges:
            self.unmerge(self.merges.pop(self.chance.randrange(len(self.merges))))
        elif kind == "erase" and self.chance.random() < 0.3 and set(self.names) - self.holders:
            name = self.chance.choice(sorted(set(self.names) - self.holders))
            self.names.remove(name)
            self.stub.EraseProfile(rpc.EraseProfileRequest(project="default", identifier=custom(name)), timeout=20)

    def merge(self, loser, survivor):
        self.holders |= {loser, survivor}
        request = rpc.MergeProfilesRequest(
            project="default", loser=custom(loser), survivor=custom(survivor), allow_identified=True
        )
        merge_id = self.stub.MergeProfiles(request, timeout=20).merge_id
        self.merges += [merge_id] if merge_id else []

    def unmerge(self, merge_id):
        self.stub.UnmergeProfile(rpc.UnmergeProfileRequest(project="default", merge_id=merge_id), timeout=20)


def start_writers(server):
    stop = threading.Event()
    writers = [Writer(server, number, stop) for number in range(WRITERS)]
    for writer in writers:
        writer.start()

    def end(stub):
        """Ends them, and returns everyone as an export without writes shows them."""
        stop.set()
        for writer in writers:
            writer.join()
            writer.channel.close()
        stub.Track(track(custom("end"), event("end", event_id="end")), timeout=20)
        return {group[0].profile.profile_id: replica_of.Person.of(group) for group in groups(export(stub))}

    return writers, end


def expect_base(replica, stub, truth):
    """The replica is, behind the feed, what the base is."""
    replica.follow(stub, "end")
    assert set(replica.people) == set(truth)
    for profile_id, person in replica.people.items():
        assert person.shown == truth[profile_id].shown, profile_id


def test_an_export_and_the_feed_behind_it_are_the_base(server):
    server.start()
    crowd(server)
    writers, end = start_writers(server)
    replicas = []
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline or len(replicas) < 3:
            time.sleep(0.3)
            replicas.append(Replica(export(stub)))
        truth = end(stub)
        assert sum(writer.writes for writer in writers) > 500 and not any(writer.failed for writer in writers)
        for replica in replicas:
            expect_base(replica, stub, truth)
        # The later part of an export covers changes that the feed brings once more.
        assert sum(replica.applied for replica in replicas) > 500
        assert sum(replica.skipped for replica in replicas) > 0
        assert sum(replica.reads for replica in replicas) > 0


@pytest.mark.parametrize("seed", [1, 2])
def test_an_export_cut_at_random_places_and_the_feed_are_the_base(server, seed):
    """Ten kills while people are exported, written, merged and restored: each comes once, and nothing is missing."""
    server.start()
    server.address = server.listen
    names = crowd(server, CROWD_CUT)
    chance = random.Random(seed)
    writers, end = start_writers(server)
    kill, stub_of, channels = killing(server)
    cuts = [chance.randrange(1, PARTS_BETWEEN_CUTS_MAX) for _ in range(CUTS)]
    first_lsn, people, killed = replica_of.export_through_kills(kill, stub_of, cuts)
    truth = end(stub_of())
    assert killed == CUTS and sum(writer.writes for writer in writers) > 100
    ids = [group[0].profile.profile_id for group in people]
    assert len(ids) == len(set(ids))
    # Merges and erasures may take others away meanwhile, and un-merges bring them back.
    assert set(names) <= {group[0].profile.custom_id for group in people}
    expect_base(Replica([part for group in people for part in group], first_lsn), stub_of(), truth)
    for channel in channels:
        channel.close()


# Ends.


def test_a_deadline_ends_an_export(server):
    server.start()
    crowd(server)
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        call = stub.ExportProject(rpc.ExportProjectRequest(project="default"), timeout=0.5)
        next(call)
        time.sleep(0.7)
        with pytest.raises(grpc.RpcError) as caught:
            while True:
                next(call)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert wait_until(lambda: server.metric("profiles_exports_open") == 0)


def test_a_cancelled_export_is_forgotten(server):
    server.start()
    crowd(server, 20_000)
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        call = stub.ExportProject(rpc.ExportProjectRequest(project="default"), timeout=60)
        next(call)
        assert server.metric("profiles_exports_open") == 1
        call.cancel()
        assert wait_until(lambda: server.metric("profiles_exports_open") == 0)


def test_a_reader_that_does_not_read_is_held_back(server):
    server.start()
    crowd(server, 20_000)
    with grpc.insecure_channel(
        server.listen, options=[("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]
    ) as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        before = server.resident_bytes()
        calls = [stub.ExportProject(rpc.ExportProjectRequest(project="default"), timeout=60) for _ in range(8)]
        for call in calls:
            next(call)
        time.sleep(1)
        parts = server.metric("profiles_exported_parts_total")
        time.sleep(1)
        assert server.metric("profiles_exported_parts_total") == parts < 8 * 40_000
        assert server.resident_bytes() - before < 32 << 20
        stub.Track(track(custom("fast")), timeout=20)
        assert len(list(groups(calls[0]))) >= 20_000
        for call in calls:
            call.cancel()


def test_a_drain_ends_an_export_that_goes_on_with_its_token(tmp_path):
    server = Server(tmp_path / "data").start()
    names = crowd(server)
    parts = []
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        call = stub.ExportProject(rpc.ExportProjectRequest(project="default"), timeout=60)
        parts.append(next(call))
        stopping = threading.Thread(target=server.stop)
        time.sleep(0.3)
        stopping.start()
        try:
            for part in call:
                parts.append(part)
                time.sleep(0.0002)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
        stopping.join()
    people = list(groups(parts))
    server.start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        request = rpc.ExportProjectRequest(project="default", page_token=people[-1][-1].page_token)
        people += groups(stub.ExportProject(request, timeout=60))
    assert sorted(group[0].profile.custom_id for group in people) == sorted(names)
    assert server.stop() == 0
