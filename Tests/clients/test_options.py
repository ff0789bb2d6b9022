"""A project's options and limits, and their effect on writes and reads."""

import time

import grpc
import pytest
from google.protobuf import timestamp_pb2

from conftest import custom, event, fails, get, profiles_pb2, profiles_pb2_grpc, track, types_pb2, unique
from profiles.v1 import admin_pb2, admin_pb2_grpc

EMAIL = 1
SURVIVOR, LATEST = 1, 2


@pytest.fixture
def own(server):
    """A server for one test, with stubs of Profiles and Admin."""
    server.start()
    with server.channel() as channel:
        yield profiles_pb2_grpc.ProfilesStub(channel), admin_pb2_grpc.AdminStub(channel)


def update(admin, **options):
    return admin.UpdateProject(
        admin_pb2.UpdateProjectRequest(project="default", options=admin_pb2.ProjectOptions(**options))
    )


def project(admin):
    return admin.GetProject(admin_pb2.GetProjectRequest(project="default"))


def ago(seconds):
    return timestamp_pb2.Timestamp(seconds=int(time.time()) - seconds)


def test_one_response_has_the_defaults_and_every_limit(shared):
    with shared.channel() as channel:
        admin = admin_pb2_grpc.AdminStub(channel)
        response = project(admin)
        assert response in admin.ListProjects(admin_pb2.ListProjectsRequest(page_size=1_000)).projects
    assert response.project == "default"
    assert response.options == admin_pb2.ProjectOptions(
        merge_policy=SURVIVOR, late_window_seconds=86_400, event_retention_days=90, events_per_profile_max=1_000
    )
    expected = {
        "events_per_profile_max": 1_000,
        "attributes_per_profile_max": 50,
        "installations_per_profile_max": 100,
        "events_per_track_max": 15,
        "event_retention_days": 90,
        "topics_per_channel_max": 25,
        "batch_get_profiles_max": 200,
        "elements_per_list_max": 25,
        "string_scalars_max": 300,
        "keys_per_project_max": 100,
        "operations_per_batch_max": 200,
        "subscription_changes_per_call_max": 100,
        "suppressed_addresses_per_project_max": 4_000_000,
        "erased_identifier_seconds": 30 * 86_400,
        "erased_identifiers_per_project_max": 4_000_000,
        "language_characters_max": 15,
        "timezone_characters_max": 64,
        "display_name_scalars_max": 100,
        "triggers_per_project_max": 100,
        "trigger_pending_firings_max": 100_000,
        "trigger_pending_bytes_max": 64 << 20,
    }
    assert expected.items() <= dict(response.limits).items()
    assert len(response.limits) == 65 and all(response.limits.values())


def test_options_survive_a_restart(server):
    server.start()
    options = {
        "merge_policy": LATEST,
        "double_opt_in": [EMAIL],
        "topic_default_unsubscribed": True,
        "late_window_seconds": 60,
        "event_retention_days": 7,
        "events_per_profile_max": 10,
    }
    with server.channel() as channel:
        response = update(admin_pb2_grpc.AdminStub(channel), **options)
    assert response.options == admin_pb2.ProjectOptions(**options)
    assert server.stop() == 0
    server.start()
    with server.channel() as channel:
        assert project(admin_pb2_grpc.AdminStub(channel)) == response


def test_the_late_window_is_applied(own):
    stub, admin = own
    update(admin, late_window_seconds=60)
    assert stub.Track(track(custom(), event(occurred_at=ago(30))))
    failure = fails(stub.Track, track(custom(), event(occurred_at=ago(90))))
    assert failure.code == grpc.StatusCode.OUT_OF_RANGE
    update(admin)
    assert stub.Track(track(custom(), event(occurred_at=ago(90))))


def test_the_retention_is_applied(own):
    stub, admin = own
    who = custom()
    stub.Track(track(who, event(event_id="old", occurred_at=ago(3 * 86_400)), event(event_id="new"), historical=True))
    update(admin, event_retention_days=2)
    listed = stub.ListEvents(profiles_pb2.ListEventsRequest(project="default", identifier=who))
    assert [item.event_id for item in listed.events] == ["new"] and listed.truncated
    assert stub.GetProfile(get(who)).profile.HasField("events_truncated_before")
    failure = fails(stub.Track, track(who, event(occurred_at=ago(3 * 86_400)), historical=True))
    assert failure.code == grpc.StatusCode.OUT_OF_RANGE
    # A late window of a day or more is limited to the retention.
    update(admin, event_retention_days=1)
    assert project(admin).options.late_window_seconds == 86_400


def test_the_number_of_retained_events_is_applied(own):
    stub, admin = own
    update(admin, events_per_profile_max=3)
    who = custom()
    stub.Track(track(who, *(event(event_id=f"e{number}", occurred_at=ago(60 - number)) for number in range(5))))
    listed = stub.ListEvents(profiles_pb2.ListEventsRequest(project="default", identifier=who))
    assert [item.event_id for item in listed.events] == ["e4", "e3", "e2"]


def test_the_merge_policy_is_applied(own):
    stub, admin = own

    def merged_value():
        who, device = custom(), unique("device")

        def identify(value, seconds, **identity):
            stub.Identify(
                profiles_pb2.IdentifyRequest(
                    project="default",
                    occurred_at=ago(seconds),
                    attributes=types_pb2.AttributePatch(set={"plan": types_pb2.Value(string=value)} if value else {}),
                    **identity,
                )
            )

        identify("older, on the survivor", 60, custom_id=who.custom_id)
        identify("newer, on the device", 30, installation_id=device)
        identify(None, 0, custom_id=who.custom_id, installation_id=device)
        return stub.GetProfile(get(who)).profile.attributes["plan"].string

    assert merged_value() == "older, on the survivor"
    update(admin, merge_policy=LATEST)
    assert merged_value() == "newer, on the device"


def test_double_opt_in_is_applied(own):
    stub, admin = own
    update(admin, double_opt_in=[EMAIL])
    response = stub.UpdateSubscription(
        profiles_pb2.UpdateSubscriptionRequest(
            project="default",
            identifier=custom(),
            source=1,
            changes=[profiles_pb2.SubscriptionChange(channel=EMAIL, state=types_pb2.SUBSCRIPTION_STATE_SUBSCRIBED)],
        )
    )
    assert response.results[0].state == types_pb2.SUBSCRIPTION_STATE_PENDING and response.results[0].confirmation_token


@pytest.mark.parametrize(
    "options,path",
    [
        ({"late_window_seconds": 90 * 86_400 + 1}, "late_window_seconds"),
        ({"event_retention_days": 2, "late_window_seconds": 2 * 86_400 + 1}, "late_window_seconds"),
        ({"event_retention_days": 91}, "event_retention_days"),
        ({"events_per_profile_max": 1_001}, "events_per_profile_max"),
        ({"merge_policy": 9}, "merge_policy"),
        ({"double_opt_in": [9]}, "double_opt_in[0]"),
    ],
)
def test_an_option_outside_of_its_range_is_rejected(shared, options, path):
    with shared.channel() as channel:
        admin = admin_pb2_grpc.AdminStub(channel)
        failure = fails(
            admin.UpdateProject,
            admin_pb2.UpdateProjectRequest(project="default", options=admin_pb2.ProjectOptions(**options)),
        )
        assert failure.code == grpc.StatusCode.INVALID_ARGUMENT and list(failure.violations) == [f"options.{path}"]
        assert project(admin).options.events_per_profile_max == 1_000


def test_request_ids_and_unknown_projects(own):
    _, admin = own
    request = admin_pb2.UpdateProjectRequest(
        project="default", request_id="once", options=admin_pb2.ProjectOptions(late_window_seconds=60)
    )
    first = admin.UpdateProject(request)
    update(admin, late_window_seconds=90)
    assert admin.UpdateProject(request) == first and project(admin).options.late_window_seconds == 90
    request.options.late_window_seconds = 61
    assert fails(admin.UpdateProject, request).code == grpc.StatusCode.ALREADY_EXISTS
    request.project = "other"
    assert fails(admin.UpdateProject, request).code == grpc.StatusCode.NOT_FOUND
    assert fails(admin.GetProject, admin_pb2.GetProjectRequest(project="other")).reason == "PROJECT_NOT_FOUND"
    assert "options" in fails(admin.UpdateProject, admin_pb2.UpdateProjectRequest(project="default")).violations


def test_a_changed_address_resets_consent_if_the_project_requires_it(own):
    from google.protobuf import wrappers_pb2
    from test_identify import identify

    stub, admin = own

    def address(text):
        return types_pb2.AttributePatch(
            native=types_pb2.NativeAttributes(email_address=wrappers_pb2.StringValue(value=text))
        )

    def state(person):
        items = stub.GetProfile(get(custom(person))).profile.subscriptions.items
        return [(item.state, item.source) for item in items]

    def change(person, to):
        stub.UpdateSubscription(
            profiles_pb2.UpdateSubscriptionRequest(
                project="default",
                identifier=custom(person),
                source=types_pb2.CONSENT_SOURCE_USER,
                changes=[profiles_pb2.SubscriptionChange(channel=types_pb2.CHANNEL_EMAIL, state=to)],
            )
        )

    on, off = types_pb2.SUBSCRIPTION_STATE_SUBSCRIBED, types_pb2.SUBSCRIPTION_STATE_UNSUBSCRIBED
    for person in ("ann", "bob"):
        stub.Identify(identify(None, person, address(f"{person}@one.example")))
        change(person, on)
    stub.Identify(identify(None, "ann", address("ann@two.example")))
    assert state("ann") == [(on, types_pb2.CONSENT_SOURCE_USER)]
    update(admin, reset_consent_on_address_change=True)
    stub.Identify(identify(None, "bob", address("BOB@one.example")))
    assert state("bob") == [(on, types_pb2.CONSENT_SOURCE_USER)]
    stub.Identify(identify(None, "ann", address("ann@three.example")))
    assert state("ann") == [(types_pb2.SUBSCRIPTION_STATE_UNSET, types_pb2.CONSENT_SOURCE_SYSTEM)]
    change("bob", off)
    stub.Identify(identify(None, "bob", address("bob@two.example")))
    assert state("bob") == [(off, types_pb2.CONSENT_SOURCE_USER)]


def test_a_double_opt_in_is_confirmed_by_its_token_alone(own):
    stub, admin = own
    update(admin, double_opt_in=[EMAIL])
    on, off = types_pb2.SUBSCRIPTION_STATE_SUBSCRIBED, types_pb2.SUBSCRIPTION_STATE_UNSUBSCRIBED

    def change(to):
        return stub.UpdateSubscription(
            profiles_pb2.UpdateSubscriptionRequest(
                project="default",
                identifier=custom("ann"),
                source=types_pb2.CONSENT_SOURCE_USER,
                changes=[profiles_pb2.SubscriptionChange(channel=types_pb2.CHANNEL_EMAIL, state=to)],
            )
        ).results[0]

    def confirm(token):
        return profiles_pb2.ConfirmSubscriptionRequest(project="default", token=token)

    first, second = change(on), change(on)
    assert first.state == second.state == types_pb2.SUBSCRIPTION_STATE_PENDING
    assert first.confirmation_token and first.confirmation_token != second.confirmation_token
    forged = first.confirmation_token[:-1] + ("A" if first.confirmation_token[-1] != "A" else "B")
    for token in (forged, "x", first.confirmation_token[4:]):
        assert fails(stub.ConfirmSubscription, confirm(token)).reason == "TOKEN_INVALID"
    confirmed = stub.ConfirmSubscription(confirm(second.confirmation_token))
    (item,) = confirmed.subscriptions.items
    assert (item.state, item.source) == (on, types_pb2.CONSENT_SOURCE_USER)
    again = stub.ConfirmSubscription(confirm(second.confirmation_token))
    assert again.revision == confirmed.revision and again.subscriptions == confirmed.subscriptions
    change(off)
    failure = fails(stub.ConfirmSubscription, confirm(first.confirmation_token))
    assert failure.code == grpc.StatusCode.FAILED_PRECONDITION and failure.reason == "USER_UNSUBSCRIBED"
    third = change(on)
    assert third.state == types_pb2.SUBSCRIPTION_STATE_PENDING
    # A link issued before the opt-out confirms nothing.
    assert (
        fails(stub.ConfirmSubscription, confirm(first.confirmation_token)).code == grpc.StatusCode.FAILED_PRECONDITION
    )
    assert stub.ConfirmSubscription(confirm(third.confirmation_token)).subscriptions.items[0].state == on
