"""Many projects of one server: made, listed, changed, deleted, counted; nothing of one is another's."""

import concurrent.futures
import signal
import time

import grpc
import pytest
from google.protobuf import field_mask_pb2, timestamp_pb2

from conftest import custom, event, fails, get, profiles_pb2, profiles_pb2_grpc, types_pb2, unique, wait_until
from profiles.v1 import admin_pb2, admin_pb2_grpc

EMAIL = types_pb2.CHANNEL_EMAIL
LATEST = types_pb2.MERGE_POLICY_LATEST_WINS
DAY = 86_400
ALREADY_EXISTS, FAILED = grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.FAILED_PRECONDITION
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


class Stubs:
    """Calls of one server, most of them in one line."""

    def __init__(self, channel):
        self.profiles = profiles_pb2_grpc.ProfilesStub(channel)
        self.admin = admin_pb2_grpc.AdminStub(channel)

    def create(self, name, request_id="", **options):
        return self.admin.CreateProject(create(name, request_id, **options), timeout=20)

    def get(self, name):
        return self.admin.GetProject(admin_pb2.GetProjectRequest(project=name), timeout=20)

    def update(self, name, *paths, **options):
        return self.admin.UpdateProject(update(name, *paths, **options), timeout=20)

    def delete(self, name, **fields):
        return self.admin.DeleteProject(admin_pb2.DeleteProjectRequest(project=name, **fields), timeout=20)

    def stats(self, name):
        return self.admin.GetStats(admin_pb2.GetStatsRequest(project=name), timeout=20)

    def track(self, name, who, *events, **fields):
        return self.profiles.Track(track(name, who, *events, **fields), timeout=20)

    def names(self, size):
        """Every name, page by page."""
        names, token = [], ""
        while True:
            page = self.admin.ListProjects(admin_pb2.ListProjectsRequest(page_size=size, page_token=token), timeout=20)
            assert len(page.projects) <= (size or 100)
            names += [project.project for project in page.projects]
            token = page.next_page_token
            if not token:
                return names


def create(name, request_id="", **options):
    return admin_pb2.CreateProjectRequest(
        project=name, request_id=request_id, options=admin_pb2.ProjectOptions(**options)
    )


def update(name, *paths, **options):
    return admin_pb2.UpdateProjectRequest(
        project=name,
        options=admin_pb2.ProjectOptions(**options) if options else None,
        update_mask=field_mask_pb2.FieldMask(paths=paths),
    )


def track(name, who, *events, **fields):
    return profiles_pb2.TrackRequest(project=name, identifier=who, events=events or [event()], **fields)


def ago(seconds):
    return timestamp_pb2.Timestamp(seconds=int(time.time()) - seconds)


@pytest.fixture
def stubs(shared):
    with shared.channel() as channel:
        yield Stubs(channel)


def start(server, *flags):
    server.flags = flags
    server.start()


# MARK: Made and shown


def test_a_new_project_has_its_options_and_every_limit(stubs):
    name = unique("shop")
    made = stubs.create(name, merge_policy=LATEST, event_retention_days=7, double_opt_in=[EMAIL])
    assert made == stubs.get(name)
    assert made.project == name and made.revision == 1 and not made.HasField("delete_due")
    assert abs(made.created_at.seconds - time.time()) < 30
    # Defaults are shown as the numbers that they stand for; the late window is at most the retention.
    assert made.options == admin_pb2.ProjectOptions(
        merge_policy=LATEST,
        double_opt_in=[EMAIL],
        late_window_seconds=DAY,
        event_retention_days=7,
        events_per_profile_max=1_000,
    )
    assert made.limits["event_retention_days"] == 7 and made.limits["string_scalars_max"] == 300
    assert made.limits["projects_max"] == 10_000


def test_making_it_again_is_ok_with_equal_options_only(stubs):
    name = unique("shop")
    made = stubs.create(name, event_retention_days=7)
    assert stubs.create(name, event_retention_days=7) == made
    # What was shown is equal to what was given: defaults have their numbers.
    assert stubs.admin.CreateProject(admin_pb2.CreateProjectRequest(project=name, options=made.options)) == made
    assert stubs.update(name, "events_per_profile_max", events_per_profile_max=1_000) == made
    for options in {}, {"event_retention_days": 8}, {"event_retention_days": 7, "merge_policy": LATEST}:
        failure = fails(stubs.admin.CreateProject, create(name, **options))
        assert failure.code == ALREADY_EXISTS and failure.reason == "PROJECT_EXISTS"
    assert stubs.get(name) == made


def test_a_repeated_request_gives_the_first_response(stubs):
    name, request_id = unique("shop"), unique("request")
    made = stubs.create(name, request_id)
    stubs.update(name, "event_retention_days", event_retention_days=3)
    assert stubs.create(name, request_id) == made
    failure = fails(stubs.admin.CreateProject, create(unique("shop"), request_id))
    assert failure.code == ALREADY_EXISTS and failure.reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize("name", ["", "Shop", "-shop", "_shop", "sh op", "a" * 64, "shöp", "shop/eu"])
def test_a_name_is_checked(stubs, name):
    failure = fails(stubs.admin.CreateProject, create(name))
    assert failure.code == INVALID and list(failure.violations) == ["project"]


def test_names_of_one_to_63_characters_are_found(stubs):
    for name in ("7", unique("a-_9"), f"{unique('long')}-".ljust(63, "x")):
        assert stubs.create(name).project == name
        assert stubs.track(name, custom()).revision == 1
        if len(name) < 63:
            assert fails(stubs.profiles.Track, track(name + "x", custom())).reason == "PROJECT_NOT_FOUND"


@pytest.mark.parametrize(
    "options,path",
    [
        ({"late_window_seconds": 90 * DAY + 1}, "late_window_seconds"),
        ({"event_retention_days": 91}, "event_retention_days"),
        ({"events_per_profile_max": 1_001}, "events_per_profile_max"),
        ({"event_retention_days": 1, "late_window_seconds": DAY + 1}, "late_window_seconds"),
        ({"merge_policy": 7}, "merge_policy"),
        ({"double_opt_in": [EMAIL, 9]}, "double_opt_in[1]"),
    ],
)
def test_an_option_outside_of_its_range_makes_no_project(stubs, options, path):
    name = unique("shop")
    failure = fails(stubs.admin.CreateProject, create(name, **options))
    assert failure.code == INVALID and list(failure.violations) == [f"options.{path}"]
    assert fails(stubs.admin.GetProject, admin_pb2.GetProjectRequest(project=name)).code == NOT_FOUND


# MARK: Listed


def test_pages_go_by_name_and_miss_nothing(stubs):
    made = [unique(f"page-{number % 7}") for number in range(23)]
    for name in made:
        stubs.create(name)
    everything = stubs.names(0)
    assert set(made) < set(everything) and everything == sorted(everything)
    for size in (1, 7, 1_000):
        assert stubs.names(size) == everything


def test_a_page_size_and_a_token_are_checked(stubs):
    def violations(**fields):
        failure = fails(stubs.admin.ListProjects, admin_pb2.ListProjectsRequest(**fields))
        return failure.code == INVALID and list(failure.violations)

    assert violations(page_size=1_001) == ["page_size"]
    stubs.create(unique("page"))
    token = stubs.admin.ListProjects(admin_pb2.ListProjectsRequest(page_size=1)).next_page_token
    who = custom()
    stubs.track("default", who, event(), event())
    request = profiles_pb2.ListEventsRequest(project="default", identifier=who, page_size=1)
    foreign = stubs.profiles.ListEvents(request).next_page_token
    for bad in ("x", token[:-1], ("B" if token[0] == "A" else "A") + token[1:], foreign):
        assert violations(page_token=bad) == ["page_token"]
    request.page_token = token
    assert list(fails(stubs.profiles.ListEvents, request).violations) == ["page_token"]


# MARK: Changed


def test_a_mask_sets_what_it_names(stubs):
    name = unique("shop")
    stubs.create(name, event_retention_days=7, double_opt_in=[EMAIL])
    changed = stubs.update(name, "merge_policy", merge_policy=LATEST, event_retention_days=1)
    assert changed.options.merge_policy == LATEST and changed.options.event_retention_days == 7
    assert changed.options.double_opt_in == [EMAIL] and changed.revision == 2
    # Named and absent: the default.
    changed = stubs.update(name, "options.double_opt_in", "event_retention_days")
    assert not changed.options.double_opt_in and changed.options.event_retention_days == 90
    assert changed.options.merge_policy == LATEST and changed.revision == 3
    # What changes nothing is no revision.
    assert stubs.update(name, "merge_policy", merge_policy=LATEST) == changed
    # Without a mask all options are set.
    changed = stubs.update(name, late_window_seconds=60)
    assert changed.options.merge_policy != LATEST and changed.options.late_window_seconds == 60


@pytest.mark.parametrize("path", ["limits", "options", "", "merge_policy.x", "MERGE_POLICY", "options.", "*"])
def test_an_unknown_path_is_named(stubs, path):
    request = update("default", "merge_policy", path, merge_policy=LATEST)
    failure = fails(stubs.admin.UpdateProject, request)
    assert failure.code == INVALID and list(failure.violations) == ["update_mask.paths[1]"]
    assert stubs.get("default").options.merge_policy != LATEST


def test_options_are_checked_beside_those_that_stay(stubs):
    name = unique("shop")
    stubs.create(name, event_retention_days=2)
    request = update(name, "late_window_seconds", late_window_seconds=2 * DAY + 1)
    failure = fails(stubs.admin.UpdateProject, request)
    assert failure.code == INVALID and list(failure.violations) == ["options.late_window_seconds"]
    stubs.update(name, "late_window_seconds", late_window_seconds=2 * DAY)
    # A call that failed does not use its request id up.
    request.request_id = unique("request")
    fails(stubs.admin.UpdateProject, request)
    stubs.update(name, "event_retention_days", event_retention_days=3)
    assert stubs.admin.UpdateProject(request).options.late_window_seconds == 2 * DAY + 1


def test_concurrent_masks_lose_nothing_of_one_another(stubs):
    name = unique("shop")
    stubs.create(name)
    masks = [
        ("merge_policy", {"merge_policy": LATEST}),
        ("double_opt_in", {"double_opt_in": [EMAIL]}),
        ("topic_default_unsubscribed", {"topic_default_unsubscribed": True}),
        ("late_window_seconds", {"late_window_seconds": 60}),
        ("event_retention_days", {"event_retention_days": 5}),
        ("events_per_profile_max", {"events_per_profile_max": 9}),
        ("reset_consent_on_address_change", {"reset_consent_on_address_change": True}),
    ]
    with concurrent.futures.ThreadPoolExecutor(7) as threads:
        list(threads.map(lambda mask: stubs.update(name, mask[0], **mask[1]), masks))
    expected = {option: value for _, options in masks for option, value in options.items()}
    changed = stubs.get(name)
    assert changed.options == admin_pb2.ProjectOptions(**expected) and changed.revision == 8


def test_options_hold_for_their_project_alone(stubs):
    strict, loose = unique("strict"), unique("loose")
    stubs.create(strict, late_window_seconds=60, events_per_profile_max=2)
    stubs.create(loose)
    who = custom()
    events = [event(event_id=f"e{number}", occurred_at=ago(30 - number)) for number in range(4)]
    for name, kept in ((strict, ["e3", "e2"]), (loose, ["e3", "e2", "e1", "e0"])):
        stubs.track(name, who, *events)
        request = profiles_pb2.ListEventsRequest(project=name, identifier=who)
        assert [item.event_id for item in stubs.profiles.ListEvents(request).events] == kept
    late = track(strict, who, event(occurred_at=ago(90)))
    assert fails(stubs.profiles.Track, late).code == grpc.StatusCode.OUT_OF_RANGE
    late.project = loose
    assert stubs.profiles.Track(late).results[0].status == types_pb2.EVENT_STATUS_STORED


# MARK: Isolation of names, in short; test_isolation.py has it for every RPC


def test_equal_names_in_two_projects_are_two_people(stubs):
    one, two = unique("one"), unique("two")
    for name in (one, two):
        stubs.create(name)
    who, request_id = custom(), unique("request")
    first = stubs.track(one, who, event(event_id="e"), request_id=request_id)
    unknown = profiles_pb2.GetProfileRequest(project=two, identifier=who)
    assert fails(stubs.profiles.GetProfile, unknown).code == NOT_FOUND
    second = stubs.track(two, who, event(event_id="e"), event(event_id="f"), request_id=request_id)
    assert first.profile_id != second.profile_id and not second.replayed
    assert {result.status for result in second.results} == {types_pb2.EVENT_STATUS_STORED}
    foreign = types_pb2.Identifier(profile_id=first.profile_id)
    assert fails(stubs.profiles.GetProfile, get(foreign)).reason == "PROFILE_NOT_FOUND"


# MARK: Deleted


def test_a_deleted_project_is_out_of_reach_and_comes_back(stubs):
    name, who = unique("shop"), custom()
    stubs.create(name)
    stubs.track(name, who, event(event_id="kept"))
    assert name in stubs.names(0)
    deleted = stubs.delete(name)
    assert DAY - 60 < deleted.delete_due.seconds - time.time() <= DAY + 1
    assert stubs.delete(name) == deleted
    read = profiles_pb2.GetProfileRequest(project=name, identifier=who)
    for call, request in (
        (stubs.profiles.Track, track(name, who)),
        (stubs.profiles.GetProfile, read),
        (stubs.admin.GetStats, admin_pb2.GetStatsRequest(project=name)),
        (stubs.admin.UpdateProject, update(name, merge_policy=LATEST)),
        (stubs.admin.ListKeys, admin_pb2.ListKeysRequest(project=name)),
        (stubs.admin.CreateProject, create(name)),
    ):
        failure = fails(call, request)
        assert failure.code == FAILED and failure.reason == "PROJECT_DELETED"
    shown = stubs.get(name)
    assert shown.delete_due == deleted.delete_due and name in stubs.names(0)
    restored = stubs.delete(name, undo=True)
    assert not restored.HasField("delete_due")
    assert stubs.delete(name, undo=True) == restored
    assert stubs.profiles.GetProfile(read).profile.event_counters[0].count == 1
    assert stubs.track(name, who, event(event_id="kept")).results[0].status == types_pb2.EVENT_STATUS_DUPLICATE
    # Deleted and undone.
    assert stubs.get(name).revision == 3


def test_a_stream_learns_of_the_deletion_at_its_next_request(stubs):
    name = unique("shop")
    stubs.create(name)

    def requests():
        yield track(name, custom(), sequence=1)
        stubs.delete(name)
        yield track(name, custom(), sequence=2)
        stubs.delete(name, undo=True)
        yield track(name, custom(), sequence=3)

    codes = [response.error.code for response in stubs.profiles.TrackStream(requests(), timeout=30)]
    assert codes == [0, FAILED.value[0], 0]


def test_an_unknown_project_is_not_found(stubs):
    for call, request in (
        (stubs.admin.DeleteProject, admin_pb2.DeleteProjectRequest(project="nope")),
        (stubs.admin.DeleteProject, admin_pb2.DeleteProjectRequest(project="nope", undo=True)),
        (stubs.admin.GetStats, admin_pb2.GetStatsRequest(project="nope")),
        (stubs.admin.GetProject, admin_pb2.GetProjectRequest(project="nope")),
        (stubs.admin.UpdateProject, update("nope", merge_policy=LATEST)),
    ):
        failure = fails(call, request)
        assert failure.code == NOT_FOUND and failure.reason == "PROJECT_NOT_FOUND"


def test_without_a_delay_everything_goes_at_once(server):
    start(server, "--project-delete-seconds", "0")
    with server.channel() as channel:
        stubs = Stubs(channel)
        stubs.create("shop")
        for number in range(50):
            stubs.track("shop", custom(f"anna-{number}"))
        stubs.track("default", custom("anna"))
        assert stubs.stats("shop").profiles == 50
        deleted = stubs.delete("shop", request_id="r")
        assert stubs.delete("shop", request_id="r") == deleted
        assert wait_until(lambda: server.metric("profiles_profiles") == 1)
        # A retry is told the same, also when nothing is left of the project.
        assert stubs.delete("shop", request_id="r") == stubs.delete("shop") == deleted
        # Too late, and the name is taken until the disk is clean, too.
        undo = admin_pb2.DeleteProjectRequest(project="shop", undo=True)
        for call, request in ((stubs.admin.DeleteProject, undo), (stubs.admin.CreateProject, create("shop"))):
            assert fails(call, request).reason == "PROJECT_DELETED"
        assert stubs.get("shop").HasField("delete_due") and server.metric("profiles_projects") == 2
    assert server.stop(signal.SIGKILL) != 0
    # The delay is in the record: another setting changes nothing that was promised.
    start(server, "--project-delete-seconds", "1000")
    with server.channel() as channel:
        stubs = Stubs(channel)
        assert fails(stubs.profiles.Track, track("shop", custom())).reason == "PROJECT_DELETED"
        assert stubs.stats("default").profiles == 1


def test_the_default_project_can_be_deleted(server):
    start(server, "--project-delete-seconds", "0")
    with server.channel() as channel:
        stubs = Stubs(channel)
        stubs.create("shop")
        stubs.delete("default")
        assert fails(stubs.profiles.Track, track("default", custom())).reason == "PROJECT_DELETED"
        assert stubs.track("shop", custom()).revision == 1
    assert server.stop() == 0
    server.start()
    with server.channel() as channel:
        stubs = Stubs(channel)
        assert fails(stubs.profiles.Track, track("default", custom())).reason == "PROJECT_DELETED"
        assert stubs.stats("shop").profiles == 1


def test_a_new_directory_has_its_number_of_projects(server):
    start(server, "--projects-max", "3")
    with server.channel() as channel:
        stubs = Stubs(channel)
        stubs.create("one")
        stubs.create("two")
        failure = fails(stubs.admin.CreateProject, create("three"))
        assert failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED and failure.reason == "LIMIT_EXCEEDED"
        assert failure.metadata == {"limit": "projects_max", "maximum": "3"}
        assert stubs.get("one").limits["projects_max"] == 3
        # Those that are being deleted count.
        stubs.delete("two")
        assert fails(stubs.admin.CreateProject, create("three")).reason == "LIMIT_EXCEEDED"
    assert server.stop() == 0
    start(server, "--projects-max", "100")
    with server.channel() as channel:
        assert Stubs(channel).get("one").limits["projects_max"] == 3


def test_projects_survive_a_kill_and_a_snapshot(server):
    server.start()
    with server.channel() as channel:
        stubs = Stubs(channel)
        for number in range(20):
            stubs.create(f"p{number}", event_retention_days=number + 1)
            stubs.track(f"p{number}", custom("anna"))
        stubs.admin.CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=30)
        stubs.update("p3", "merge_policy", merge_policy=LATEST)
        stubs.delete("p4")
        before = [stubs.get(name) for name in stubs.names(7)]
    server.stop(signal.SIGKILL)
    server.start()
    with server.channel() as channel:
        stubs = Stubs(channel)
        assert [stubs.get(name) for name in stubs.names(1)] == before
        assert stubs.stats("p7").profiles == 1 and stubs.stats("default").profiles == 0


# MARK: Counted


def test_statistics_are_those_of_the_project(stubs, shared):
    one, two = unique("one"), unique("two")
    for name in (one, two):
        stubs.create(name)
        assert stubs.stats(name) == admin_pb2.GetStatsResponse(lsn=stubs.stats(name).lsn)
    who = custom()
    last = stubs.track(one, who, event(event_id="a"), event(event_id="b")).lsn
    stubs.track(one, types_pb2.Identifier(installation_id=unique("device")), event(event_id="a"))
    stubs.track(one, who, event(event_id="a"))
    fails(stubs.profiles.Track, track(one, who, event(name="not a name"), event()))
    fails(stubs.profiles.Track, track(one, who, event(occurred_at=ago(3 * DAY))))
    patch = types_pb2.AttributePatch(set={"plan": types_pb2.Value(string="gold")})
    for seconds in (60, 120):
        stubs.profiles.Identify(
            profiles_pb2.IdentifyRequest(
                project=one, custom_id=who.custom_id, attributes=patch, occurred_at=ago(seconds)
            )
        )
    counted = stubs.stats(one)
    assert (counted.profiles, counted.identified, counted.events) == (2, 1, 3)
    assert (counted.stored, counted.duplicate, counted.stale, counted.rejected) == (4, 1, 1, 3)
    assert counted.received == 9 and counted.lsn >= last and counted.bytes > 500
    assert stubs.stats(two).received == stubs.stats(two).bytes == 0
    for result in ("stored", "duplicate", "stale", "rejected"):
        sample = f'profiles_project_items_total{{project="{one}",result="{result}"}}'
        assert shared.metric(sample) == getattr(counted, result)
    assert shared.metric(f'profiles_project_items_received_total{{project="{one}"}}') == 9


def test_labels_of_metrics_are_bounded(server):
    server.start()
    with server.channel() as channel:
        stubs = Stubs(channel)
        for number in range(120):
            stubs.create(f"p{number:03}")
            stubs.track(f"p{number:03}", custom("anna"))
        fails(stubs.profiles.Track, track("nope", custom()))
        text = server.get("/metrics")[1]
        labels = {line.split('project="')[1].split('"')[0] for line in text.splitlines() if 'project="' in line}
        assert labels == {f"p{number:03}" for number in range(100)} | {"_other"}
        assert server.metric('profiles_project_items_received_total{project="_other"}') == 21
        assert server.metric("profiles_items_received_total") == 121
