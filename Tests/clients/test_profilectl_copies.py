"""profilectl export --operations and profilectl import: equal profiles in an empty project, and the differences that
docs/exports.md names."""

import collections
import os
import time

import pytest

from conftest import ROOT, custom, event, profiles_pb2 as rpc, profiles_pb2_grpc, track, types_pb2 as types, unique
from operator_tools import ctl
from profiles.v1 import admin_pb2, admin_pb2_grpc
from reference_operations import Generator, Shape
from reference_run import Run
from test_reference_model import Service, built

PROJECT, COPY = "original", "copy"
PENDING, SUBSCRIBED, UNSUBSCRIBED = 2, 3, 4
API, USER, IMPORT = 5, 1, 6
# Of the service, not of the person: docs/exports.md has each of them.
OF_THE_PROJECT = ("profile_id", "revision", "lsn")
OF_THE_TIME = ("created_at", "updated_at", "last_seen_at")


def copy(server, folder, project=PROJECT, **options):
    """Exports a project and imports it into a new one; the output of the import."""
    with server.channel() as channel:
        admin_pb2_grpc.AdminStub(channel).CreateProject(
            admin_pb2.CreateProjectRequest(project=COPY, options=admin_pb2.ProjectOptions(**options)), timeout=20
        )
    target = folder / "base.ops"
    exported = ctl("--project", project, "export", "--operations", "--out", target, server=server)
    assert exported.returncode == 0, exported.stderr
    imported = ctl("--project", COPY, "import", target, server=server)
    assert imported.returncode == 0, imported.stderr
    return imported.stdout


def everyone(stub, project):
    """Each person as (profile, events), by the custom ID or the only device; others cannot be copied."""
    found, person = {}, None
    for part in stub.ExportProject(rpc.ExportProjectRequest(project=project), timeout=60):
        if part.HasField("profile"):
            profile = part.profile
            names = [profile.custom_id] if profile.custom_id else [it.installation_id for it in profile.installations]
            person = profile, []
            if len(names) == 1:
                found[names[0]] = person
        elif part.HasField("event"):
            person[1].append(part.event)
    return found


def comparable(profile, events):
    """What docs/exports.md calls equal."""
    counters = collections.defaultdict(list)
    for found in events:
        counters[found.name].append(found.effective_time.ToMicroseconds())
    return {
        "custom_id": profile.custom_id,
        "state": profile.state,
        "installations": sorted((device.installation_id, device.platform) for device in profile.installations),
        "attributes": {name: value.SerializeToString() for name, value in profile.attributes.items()},
        "native": profile.native.SerializeToString(),
        "metadata": {
            name: (found.effective_time.ToMicroseconds(), found.source.SerializeToString())
            for name, found in profile.attribute_metadata.items()
        },
        "subscriptions": sorted(
            (item.channel, item.topic, item.state, item.effective_time.ToMicroseconds())
            for item in profile.subscriptions.items
        ),
        "retained": {name: (len(times), min(times), max(times)) for name, times in counters.items()},
        "events": sorted(content(found) for found in events),
    }


def content(found):
    """An event without whose it is, and without what the copy of a name adds to its id."""
    found = types.StoredEvent.FromString(found.SerializeToString())
    for name in ("lsn", "received_at", "identifier", "historical"):
        found.ClearField(name)
    return found.SerializeToString(deterministic=True)


def expect_copies(originals, copies):
    assert set(copies) == set(originals)
    for name, (profile, events) in originals.items():
        mine, theirs = comparable(profile, events), comparable(*copies[name])
        for part, value in mine.items():
            assert theirs[part] == value, f"{part} of {name}"
        # Only what is retained makes counters.
        counters = {
            counter.name: (counter.count, counter.first.ToMicroseconds(), counter.last.ToMicroseconds())
            for counter in copies[name][0].event_counters
        }
        assert counters == mine["retained"], f"counters of {name}"


def test_operations_of_an_export_make_equal_profiles(server, tmp_path):
    server.start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        device = types.Identifier(installation_id="phone")
        stub.Track(track(device, event("open", event_id="o1"), source=types.Source(platform=1)), timeout=20)
        patch = types.AttributePatch(set={"plan": types.Value(string="gold"), "n": types.Value(integer=1 << 60)})
        patch.set["tags"].list.items.extend(["a", "b"])
        patch.native.email_address.value = "Ann@example.org"
        stub.Identify(
            rpc.IdentifyRequest(
                project="default", custom_id="ann", installation_id="phone", attributes=patch,
                source=types.Source(platform=2, name="app"),
            ),
            timeout=20,
        )  # fmt: skip
        for number in range(40):
            stub.Track(track(custom("ann"), event("buy", event_id=f"e{number}", label=f"l{number}")), timeout=20)
        changes = [
            rpc.SubscriptionChange(channel=1, state=3), rpc.SubscriptionChange(channel=1, topic="offers", state=4),
        ]  # fmt: skip
        stub.UpdateSubscription(
            rpc.UpdateSubscriptionRequest(project="default", identifier=custom("ann"), source=1, changes=changes),
            timeout=20,
        )
        stub.Track(track(types.Identifier(installation_id="lonely"), event("open", event_id="o2")), timeout=20)
        copy(server, tmp_path, "default")
        expect_copies(everyone(stub, "default"), everyone(stub, COPY))


@pytest.mark.parametrize("seed", range(int(os.environ.get("PROFILES_COPY_SEEDS", "3"))))
def test_a_random_base_is_copied(server, tmp_path, seed):
    """The base that the reference model's operations make, but for event ids that two names of a person share."""
    server.start()
    service = Service(server.listen)
    run = Run(service, f"copied{seed}-", seed)
    for operation in Generator(seed, Shape(people=12, devices=12), built(service)).operations(250):
        if operation["do"] not in ("DeleteProject", "UpdateProject", "EraseProfile"):
            run.step(operation)
    project = run.requests.projects[1]
    run.enter(project)
    options = run.projects.all[project].options
    kept = {name: getattr(options, name) for name in ("event_retention_days", "events_per_profile_max")}
    copy(server, tmp_path, project, **kept)
    originals, copies = everyone(service.stub, project), everyone(service.stub, COPY)
    assert len(originals) > 10 and sum(len(events) for _, events in originals.values()) > 10
    for name, (_, events) in copies.items():
        for found in events:
            found.event_id = found.event_id.split("@")[0]
    expect_copies(originals, copies)
    service.channel.close()


def person(stub, project):
    """A person with everything that a copy cannot have."""
    name, other = unique("ann"), unique("device")
    device = types.Identifier(installation_id=other)
    stub.Track(track_in(project, device, event("visit", event_id="same", label="by the device")), timeout=20)
    loser = stub.GetProfile(rpc.GetProfileRequest(project=project, identifier=device), timeout=20).profile.profile_id
    by_id = types.Identifier(profile_id=loser)
    stub.Track(track_in(project, by_id, event("visit", event_id="same", label="by the profile")), timeout=20)
    for operation in (
        rpc.IdentifyRequest(
            project=project, custom_id=name, attributes={"set": {"plan": {"string": "gold"}, "gone": {"integer": 1}}}
        ),
        rpc.IdentifyRequest(project=project, custom_id=name, attributes={"delete": ["gone"]}),
        rpc.IdentifyRequest(project=project, custom_id=name, installation_id=other),
    ):
        shown = stub.Identify(operation, timeout=20)
    assert shown.outcome == types.OUTCOME_MERGED
    stub.Track(track_in(project, custom(name), event("visit", event_id="same", label="by the id")), timeout=20)
    for channel, state, source in ((1, UNSUBSCRIBED, USER), (1, SUBSCRIBED, USER), (2, SUBSCRIBED, USER)):
        change = rpc.SubscriptionChange(channel=channel, state=state)
        request = rpc.UpdateSubscriptionRequest(
            project=project, identifier=custom(name), source=source, changes=[change]
        )
        stub.UpdateSubscription(request, timeout=20)
        time.sleep(0.001)
    return name


def track_in(project, identifier, *events):
    request = track(identifier, *events)
    request.project = project
    return request


def test_what_a_copy_cannot_have_is_what_the_document_says(server, tmp_path):
    server.start()
    rows = (ROOT / "docs/exports.md").read_text().split("## Into another project")[1]
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        # An opt-in on e-mail waits for its confirmation; behind an opt-out it stands for that one.
        admin_pb2_grpc.AdminStub(channel).CreateProject(
            admin_pb2.CreateProjectRequest(
                project=PROJECT, options=admin_pb2.ProjectOptions(double_opt_in=[types.CHANNEL_EMAIL])
            ),
            timeout=20,
        )
        name = person(stub, PROJECT)
        for lonely in ("one", "two"):
            anonymous = types.Identifier(installation_id=f"{name}-{lonely}")
            stub.Track(track_in(PROJECT, anonymous, event("visit")), timeout=20)
        copy(server, tmp_path, double_opt_in=[types.CHANNEL_EMAIL])
        original, mine = everyone(stub, PROJECT)[name]
        copied, theirs = everyone(stub, COPY)[name]
    for field in (*OF_THE_PROJECT, *OF_THE_TIME):
        assert getattr(original, field) != getattr(copied, field) and f"`{field}`" in rows, field
    assert original.aliases and not copied.aliases and "| aliases, " in rows
    # The id of an event is one of a name.
    assert [found.event_id for found in mine] == ["same"] * 3
    assert sorted(found.label for found in theirs) == sorted(found.label for found in mine)
    assert len({found.event_id for found in theirs}) == 2 and "gets `@` and its lsn" in rows
    assert all(found.historical for found in theirs) and not any(found.historical for found in mine)
    states = {item.channel: (item.state, item.source) for item in original.subscriptions.items}
    assert states == {1: (PENDING, USER), 2: (SUBSCRIBED, USER)}
    states = {item.channel: (item.state, item.source) for item in copied.subscriptions.items}
    assert states == {1: (UNSUBSCRIBED, USER), 2: (SUBSCRIBED, IMPORT)} and "| PENDING | " in rows
