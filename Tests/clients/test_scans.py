"""CountProfiles and ListProfiles by real clients: filters, pages beside writes, restarts, deadlines."""

import random
import re
import signal
import threading

import grpc
import pytest
from google.protobuf import field_mask_pb2, wrappers_pb2

from conftest import Failure, Server, custom, fails, get, profiles_pb2, profiles_pb2_grpc, track, types_pb2, wait_until
from profiles.v1 import admin_pb2, admin_pb2_grpc
from reference_filter import Subject, matches

OK, INVALID, EXHAUSTED = grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED
PEOPLE = 2_000
PLANS = ["gold", "silver", "blue", None]
LISTS = [["a"], ["a", "b"], ["c"], None]


def attributes_of(number):
    chance = random.Random(number)
    found = {
        "n": number,
        "plan": chance.choice(PLANS),
        "score": chance.choice([None, 0.5, 2.0, -1.5]),
        "vip": chance.choice([None, True, False]),
        "tags": chance.choice(LISTS),
        "language": chance.choice([None, "de", "fr"]),
    }
    return {name: value for name, value in found.items() if value is not None}


def value_of(value):
    if isinstance(value, bool):
        return types_pb2.Value(boolean=value)
    if isinstance(value, int):
        return types_pb2.Value(integer=value)
    if isinstance(value, float):
        return types_pb2.Value(number=value)
    if isinstance(value, list):
        return types_pb2.Value(list=types_pb2.StringList(items=value))
    return types_pb2.Value(string=value)


def identify(number, prefix="p"):
    values = attributes_of(number)
    native = types_pb2.NativeAttributes()
    if "language" in values:
        native.language.CopyFrom(wrappers_pb2.StringValue(value=values.pop("language")))
    patch = types_pb2.AttributePatch(native=native, set={name: value_of(value) for name, value in values.items()})
    request = profiles_pb2.IdentifyRequest(attributes=patch)
    if number % 3:
        request.custom_id = f"{prefix}{number}"
    if number % 3 == 0 or number % 2:
        request.installation_id = f"{prefix}d{number}"
    return request


def enter(stub, numbers, project="default", prefix="p"):
    numbers = list(numbers)
    for start in range(0, len(numbers), 200):
        operations = [
            profiles_pb2.WriteOperation(identify=identify(number, prefix)) for number in numbers[start : start + 200]
        ]
        stub.BatchWrite(profiles_pb2.BatchWriteRequest(project=project, operations=operations))


def subject(number):
    return Subject(
        custom_id=f"p{number}" if number % 3 else "",
        attributes=attributes_of(number),
        installations=[f"pd{number}"] if number % 3 == 0 or number % 2 else [],
    )


COMPARISONS = [
    ("n", ["<", ">=", "=", "!="], ["100", "1000", "1999.0", "3"]),
    ("plan", ["=", "!=", ":", "<"], ['"gold"', '"silver"', "blue", '"g*"']),
    ("score", ["<", ">", "="], ["0", "2", "0.5"]),
    ("vip", ["=", "!="], ["true", "false"]),
    ("tags", [":"], ["a", '"b"', "*"]),
    ("language", ["=", ":"], ["de", '"fr"']),
    ("state", ["=", "!="], ["IDENTIFIED", "ANONYMOUS"]),
    ("custom_id", ["=", "!="], ['"p7"', '"p7*"', '"*1"']),
    ("custom_id", [":"], ['"p7"', '"p9"', "*"]),
    ("installations", [":"], ['"pd9"', '"pd7"', "*"]),
    ("events.visit.count", ["=", ">"], ["0", "1"]),
]


def random_filter(chance, depth=0):
    if chance.random() < 0.3 or depth > 2:
        name, comparators, values = chance.choice(COMPARISONS)
        return f"{name} {chance.choice(comparators)} {chance.choice(values)}"
    parts = [random_filter(chance, depth + 1) for _ in range(chance.choice([2, 2, 3]))]
    if chance.random() < 0.2:
        return f"NOT ({parts[0]})"
    return chance.choice([" AND ", " OR ", " "]).join(f"({part})" for part in parts)


def pages(stub, text="", size=100, project="default", **fields):
    token = ""
    while True:
        page = stub.ListProfiles(
            profiles_pb2.ListProfilesRequest(
                project=project, filter=text, page_size=size, page_token=token, **fields
            ),
            timeout=60,
        )
        yield page
        token = page.next_page_token
        if not token:
            return


def listed(stub, text="", size=100, **fields):
    return [profile for page in pages(stub, text, size, **fields) for profile in page.profiles]


def count(stub, text="", **options):
    return stub.CountProfiles(
        profiles_pb2.CountProfilesRequest(project="default", filter=text), timeout=60, **options
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A server with `PEOPLE`, that nobody changes."""
    server = Server(tmp_path_factory.mktemp("scans")).start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        enter(stub, range(PEOPLE))
        yield stub
    assert server.stop() == 0


def name_of(profile):
    return profile.custom_id or profile.installations[0].installation_id


@pytest.mark.parametrize("seed", range(4))
def test_random_filters_take_whom_the_reference_takes(base, seed):
    chance = random.Random(seed)
    taken = 0
    for _ in range(40):
        text = random_filter(chance)
        expected = {number for number in range(PEOPLE) if matches(text, subject(number), 0)}
        assert count(base, text).count == len(expected), text
        found = listed(base, text, size=chance.choice([3, 100, 1000]) if len(expected) < 300 else 1000)
        assert len(found) == len(expected), text
        assert {profile.attributes["n"].integer for profile in found} == expected, text
        taken += len(expected)
    assert 0 < taken < 40 * PEOPLE


def test_a_listed_profile_is_shown_as_GetProfile_shows_it(base):
    for profile in listed(base, "n < 20"):
        assert profile == base.GetProfile(get(types_pb2.Identifier(profile_id=profile.profile_id))).profile


def test_the_page_size_is_100_by_default_and_at_most_1000(base):
    assert len(next(pages(base, size=0)).profiles) == 100
    assert len(next(pages(base, size=1000)).profiles) == 1000
    failure = fails(base.ListProfiles, profiles_pb2.ListProfilesRequest(project="default", page_size=1001))
    assert failure.code == INVALID and list(failure.violations) == ["page_size"]


def test_a_read_mask_shortens_what_is_listed(base):
    mask = field_mask_pb2.FieldMask(paths=["custom_id"])
    [profile] = listed(base, 'custom_id = "p7"', read_mask=mask)
    assert profile == types_pb2.Profile(custom_id="p7")
    request = profiles_pb2.ListProfilesRequest(project="default", read_mask=field_mask_pb2.FieldMask(paths=["nothing"]))
    assert list(fails(base.ListProfiles, request).violations) == ["read_mask.paths[0]"]


@pytest.mark.parametrize("text", ["n <", "event.amount > 1", "state < IDENTIFIED", "a & b"])
def test_a_wrong_filter_is_rejected_with_its_column(base, text):
    for call, kind in (
        (base.CountProfiles, profiles_pb2.CountProfilesRequest),
        (base.ListProfiles, profiles_pb2.ListProfilesRequest),
    ):
        failure = fails(call, kind(project="default", filter=text))
        assert failure.code == INVALID and failure.reason == "FILTER_INVALID"
        assert re.match(r"column \d+: ", failure.violations["filter"])


def test_a_page_token_serves_its_own_filter_and_project_only(base):
    token = next(pages(base, "n >= 0", size=10)).next_page_token
    for text, project_token in (("n > 0", token), ("", token), ("n >= 0", token[:-4] + "AAAA"), ("n >= 0", "x")):
        request = profiles_pb2.ListProfilesRequest(project="default", filter=text, page_token=project_token)
        failure = fails(base.ListProfiles, request)
        assert failure.code == INVALID and list(failure.violations) == ["page_token"]
    again = profiles_pb2.ListProfilesRequest(project="default", filter="(n >= 0)", page_token=token)
    assert len(base.ListProfiles(again).profiles) == 100


def test_min_lsn_is_waited_for_by_nobody(base):
    lsn = count(base).lsn
    request = profiles_pb2.CountProfilesRequest(project="default", min_lsn=lsn)
    assert base.CountProfiles(request).count == PEOPLE
    request.min_lsn = lsn + 1_000_000
    assert fails(base.CountProfiles, request).reason == "LSN_NOT_REACHED"


def test_a_write_is_counted_and_listed_from_its_response_on(stub):
    who = custom()
    text = f'custom_id = "{who.custom_id}" events.visit.count >= 1'
    for _ in range(20):
        assert count(stub, text).count == 0
        stub.Track(track(who, types_pb2.Event(name="visit")))
        assert count(stub, text).count == 1
        [profile] = listed(stub, text)
        assert profile.custom_id == who.custom_id
        stub.EraseProfile(profiles_pb2.EraseProfileRequest(project="default", identifier=who))
        assert count(stub, text).count == 0 and listed(stub, text) == []
        who = custom()
        text = f'custom_id = "{who.custom_id}" events.visit.count >= 1'


class Writer(threading.Thread):
    """Creates, changes, merges and erases other people than those that are listed."""

    def __init__(self, server):
        super().__init__()
        self.server, self.is_stopping, self.failure = server, False, None

    def run(self):
        with self.server.channel() as channel:
            stub = profiles_pb2_grpc.ProfilesStub(channel)
            number = 0
            try:
                while not self.is_stopping:
                    number += 1
                    first = number * 30
                    enter(stub, range(first, first + 30), prefix="other")
                    stub.Identify(
                        profiles_pb2.IdentifyRequest(
                            project="default", custom_id=f"merged{number}", installation_id=f"otherd{first}"
                        )
                    )
                    who = custom(f"merged{number}")
                    if number % 2:
                        stub.EraseProfile(profiles_pb2.EraseProfileRequest(project="default", identifier=who))
            except grpc.RpcError as error:
                self.failure = Failure(error)


def test_pages_beside_writes_neither_miss_nor_repeat_who_stays(tmp_path):
    server = Server(tmp_path / "data").start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        enter(stub, range(1000))
        writer = Writer(server)
        writer.start()
        for size in (17, 100, 1000):
            found = [name_of(profile) for profile in listed(stub, "", size)]
            mine = [name for name in found if not name.startswith(("other", "merged"))]
            assert len(found) == len(set(found)) and len(set(mine)) == 1000
            assert count(stub, 'NOT (custom_id = "other*" OR custom_id = "merged*")').count >= 1000
        writer.is_stopping = True
        writer.join()
        assert writer.failure is None
    assert server.stop() == 0


def test_a_page_token_goes_on_behind_a_kill(tmp_path):
    server = Server(tmp_path / "data").start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        enter(stub, range(500))
        page = next(pages(stub, "n >= 0", size=100))
        found = [name_of(profile) for profile in page.profiles]
        # One of the starts loads a snapshot.
        admin_pb2_grpc.AdminStub(channel).CreateSnapshot(admin_pb2.CreateSnapshotRequest())
    for _ in range(2):
        server.stop(signal.SIGKILL)
        server.start()
        with server.channel() as channel:
            stub = profiles_pb2_grpc.ProfilesStub(channel)
            stub.Track(track(custom("new")))
            request = profiles_pb2.ListProfilesRequest(
                project="default", filter="n >= 0", page_size=150, page_token=page.next_page_token
            )
            page = stub.ListProfiles(request)
            found += [name_of(profile) for profile in page.profiles]
            rest = []
            if page.next_page_token:
                request.page_token, request.page_size = page.next_page_token, 1000
                rest = [name_of(profile) for profile in stub.ListProfiles(request).profiles]
            assert len(found + rest) == len(set(found + rest)) == 500
    assert server.stop() == 0


def test_a_drain_ends_what_is_open(tmp_path):
    server = Server(tmp_path / "data").start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        enter(stub, range(400))
        calls = [stub.CountProfiles.future(profiles_pb2.CountProfilesRequest(project="default")) for _ in range(20)]
        assert server.stop() == 0
        codes = {call.code() for call in calls}
    assert codes <= {OK, grpc.StatusCode.UNAVAILABLE}


def test_more_scans_than_may_wait_are_rejected(tmp_path):
    server = Server(tmp_path / "data").start()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        enter(stub, range(4_000))
        text = " ".join(["(n >= 0 OR n < 0)"] * 20)
        request = profiles_pb2.CountProfilesRequest(project="default", filter=text)
        calls = [stub.CountProfiles.future(request, timeout=60) for _ in range(300)]
        codes = [call.code() for call in calls]
        # One address has half of the 64 places.
        assert set(codes) <= {OK, EXHAUSTED} and codes.count(OK) >= 32
        for call, code in zip(calls, codes):
            if code == OK:
                assert call.result().count == 4_000
            else:
                assert Failure(call.exception()).metadata == {"limit": "scans_per_peer_max", "maximum": "32"}
        # Those whose deadline passes leave nothing behind.
        calls = [stub.CountProfiles.future(request, timeout=0.05) for _ in range(60)]
        assert {call.code() for call in calls} <= {OK, EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED}
        assert wait_until(lambda: server.metric("profiles_scans_open") == 0)
        assert count(stub).count == 4_000
    assert server.stop() == 0
