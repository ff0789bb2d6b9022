"""Nobody learns anything of a project that is not his: S6 of the conformance list, for every RPC of the contract.

Three servers receive the same calls of the project `mine`. On the first one the project `them` is full of people, on
the second one it exists and is empty, on the third one it does not exist. Everything that a request can name is tried
as of a person of `them` and as of nobody: what comes back must be equal in all six cases, up to the length of every
field (`Outcome` says what may differ between any two calls). Probes are generated from the descriptors of the requests
(isolation_catalogue.py). The same probes do tell with a key of `them`, which shows that they look at what exists.
"""

import collections
import time

import grpc
import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from isolation_catalogue import (
    FILTERS,
    METHODS,
    NAMING,
    NOBODY,
    OPEN,
    OPERATOR,
    ROWS,
    TOKENS,
    is_classified,
    leaves,
    places,
    probes,
    replace,
)
from conftest import types_pb2
from isolation_worlds import SCOPES, Base, Caller, Person, World, altered, new_key, split
from profiles.v1 import admin_pb2, profiles_pb2
from raw import Raw, message

OK, INVALID, NOT_FOUND, DENIED, FAILED, UNIMPLEMENTED, UNAUTHENTICATED = 0, 3, 5, 7, 9, 12, 16
BUILT = [name for name, row in ROWS.items() if row.is_built]
GUARDED = [name for name, row in ROWS.items() if row.scope != NOBODY]
# Projects that a key of `mine` asks for: full, empty or missing, deleted with its name still taken, never made.
OTHERS = ["them", "gone", "nope"]
NAMES_PER_RPC = 1_000
EXPIRY_SECONDS = 1


class Side:
    """A world, the caller's project in it, and the keys of both."""

    def __init__(self, folder, other, keeps_people):
        self.world = World(folder)
        self.mine = Base(self.world, "mine")
        self.other = Base(self.world, other)
        # Where the people of `them` live on the servers on which they are not in `them`.
        self.people = self.other if keeps_people else Base(self.world, "fill")
        self.spare = Base(self.world, "gone")
        self.world.admin.DeleteProject(admin_pb2.DeleteProjectRequest(project="gone"))
        self.keys = {"all": self.mine.new_key()}
        for scope in SCOPES:
            self.keys[scope] = self.mine.new_key([scope])
            self.keys[f"not {scope}"] = self.mine.new_key([other for other in SCOPES if other != scope])
        self.numbers = collections.defaultdict(int)

    def authorization(self, name):
        return f"Bearer {self.keys[name].key}"

    def person(self, method, base=None):
        """Somebody whom no call has named yet; the same names on each server."""
        self.numbers[method] += 1
        return Person(first_number(method) + self.numbers[method], "own", base or self.mine)

    def fill(self):
        """One person for each RPC, about whom everything is known that can be, and one call of the RPC."""
        people = {}
        for name, row in ROWS.items():
            person = people[name] = Person(first_number(name), "bet", self.people)
            person.exist_completely()
            if row.is_built and row.scope != OPERATOR:
                authorization = f"Bearer {self.world.operator_key}"
                outcome = self.world.call(METHODS[name], [row.request(person)], authorization)
                assert outcome.code == OK, (name, outcome)
            if name.endswith("RemoveSuppression"):
                person.made.pop("suppression")
                person.suppress()
        return people

    def twin(self, known):
        """A person of the caller's own project with the custom ID of another's."""
        self.world.profiles.Identify(profiles_pb2.IdentifyRequest(project="mine", custom_id=known.custom_id))

    def call(self, method, request, key="all"):
        return self.world.call(METHODS[method], [request], self.authorization(key))


def first_number(method):
    return list(ROWS).index(method) * NAMES_PER_RPC


class Sides:
    def __init__(self, folder):
        self.full = Side(folder / "full", "them", True)
        self.empty = Side(folder / "empty", "them", False)
        self.missing = Side(folder / "missing", "they", False)
        self.all = [self.full, self.empty, self.missing]
        self.known = self.full.fill()
        self.empty.fill()
        self.missing.fill()
        page = self.full.world.admin.GetStats(admin_pb2.GetStatsRequest(project="them"))
        # Of the other's last write, and one that no server has reached.
        self.positions = (page.lsn, page.lsn + (1 << 40))
        self.bad_keys = self._bad_keys()

    def _bad_keys(self):
        """Values of `authorization` that no call passes with."""
        mine, server = self.full.mine, self.full.world
        good, revoked, expired = mine.new_key(), mine.new_key(), mine.new_key(seconds=EXPIRY_SECONDS)
        mine.revoke(revoked.key_id)
        time.sleep(EXPIRY_SECONDS + 0.1)
        return {
            "none": None,
            "empty": "",
            "no key": "Bearer",
            "another scheme": f"Basic {good.key}",
            "no scheme": good.key,
            "malformed": "Bearer pk_short_x",
            "unknown": f"Bearer {new_key()}",
            "another secret": f"Bearer {altered(good.key)}",
            "another secret of the operator": f"Bearer {altered(server.operator_key)}",
            "cut": f"Bearer {good.key[:-1]}",
            "longer": f"Bearer {good.key}A",
            "upper case": f"Bearer {good.key.upper()}",
            "revoked": f"Bearer {revoked.key}",
            "expired": f"Bearer {expired.key}",
        }

    def probes(self, name):
        """Every probe of an RPC, once with what is known and once with what is not."""
        request = ROWS[name].request(self.full.person(name))
        nobody = Person(first_number(name), "non")
        for probe in probes(METHODS[name], request, self.known[name], nobody, self.positions):
            yield probe, True
            yield probe, False


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    sides = Sides(tmp_path_factory.mktemp("isolation"))
    yield sides
    assert [side.world.stop() for side in sides.all] == [0, 0, 0]


def groups_of_outcomes(sides, name):
    """Outcomes that must be equal, by what was tried."""
    groups = collections.defaultdict(list)
    for probe, is_known in sides.probes(name):
        for side in sides.all:
            # A filter that finds nobody is as good, and the twin would be found by others.
            if probe.path == "page_token" and not name.endswith("ListProfiles"):
                side.twin(sides.known[name])
            request = probe.apply(ROWS[name].request(side.person(name)), is_known)
            # What a position leads to depends on how far a server is.
            group = (probe.path, is_known) if probe.is_position else (probe.path,)
            groups[group].append(side.call(name, request))
    return groups


def differing(outcomes):
    return sorted({outcome.shown for outcome in outcomes})[1:]


# The catalogue.


def test_every_rpc_that_is_served_has_a_row(sides):
    """Reflection is the server's own list of what it serves."""
    database = ProtoReflectionDescriptorDatabase(sides.full.world.server.channel())
    served = set()
    for service in database.get_services():
        file = database.FindFileContainingSymbol(service)
        for found in file.service:
            full_name = f"{file.package}.{found.name}"
            served |= {f"{full_name}.{method.name}" for method in found.method if full_name == service}
    without_key = {f"{service}.{method}" for service, methods in OPEN.items() for method in methods}
    assert served == set(ROWS) | without_key and set(ROWS) == set(METHODS)


@pytest.mark.parametrize("name", ROWS)
def test_every_field_of_a_request_is_classified(name):
    fields = leaves(METHODS[name].input_type)
    assert [field.full_name for field in fields if not is_classified(METHODS[name], field)] == []


def test_a_field_that_nobody_has_classified_is_found():
    method = METHODS["profiles.v1.Profiles.Track"]
    field = METHODS["profiles.v1.Profiles.ConfirmSubscription"].input_type.fields_by_name["token"]
    assert not is_classified(method, field)


# What exists elsewhere.


@pytest.mark.parametrize("name", ROWS)
def test_nothing_of_another_project_can_be_told(sides, name):
    found = groups_of_outcomes(sides, name)
    assert found or not [path for _, path, field in places(ROWS[name].request(sides.known[name])) if field in NAMING]
    for group, outcomes in found.items():
        assert len(outcomes) in (3, 6) and differing(outcomes) == [], group
        assert all(outcome.is_whole for outcome in outcomes), group


@pytest.mark.parametrize("name", ROWS)
def test_another_project_is_denied_whether_it_exists_or_not(sides, name):
    row, outcomes = ROWS[name], []
    for project in OTHERS:
        for side in sides.all:
            request = row.request(side.person(name))
            if "project" not in request.DESCRIPTOR.fields_by_name:
                pytest.skip("names no project")
            request.project = project
            outcomes.append(side.call(name, request))
    assert differing(outcomes) == []
    if not row.is_built and row.scope != OPERATOR:
        # Nothing is looked at but the key and its scopes.
        assert outcomes[0].code == UNIMPLEMENTED
    elif name.endswith("TrackStream"):
        assert DENIED in (outcomes[0].code, *outcomes[0].errors)
    else:
        assert outcomes[0] == denied(sides)


def test_another_project_inside_of_a_batch_tells_nothing(sides):
    name = "profiles.v1.Profiles.BatchWrite"
    paths = [path for _, path, field in places(ROWS[name].request(sides.known[name])) if field == "project"]
    inner = [path for path in paths if "." in path]
    assert len(inner) == 3
    for path in inner:
        outcomes = []
        for project in OTHERS:
            for side in sides.all:
                request = ROWS[name].request(side.person(name))
                outcomes.append(side.call(name, replace(request, path, project)))
        assert differing(outcomes) == [] and outcomes[0].code in (INVALID, DENIED), path


def watch_until(side, marker, key, **filters):
    """Everything that a Watch of the project of a key shows, up to the event of a marker."""
    request = profiles_pb2.WatchRequest(project=marker.project, from_lsn=1, **filters)
    caller = Caller(side.world.server.listen, f"Bearer {key}")
    wanted = marker.event_id.encode()
    track = profiles_pb2.TrackRequest(
        project=marker.project, identifier=marker.who, events=[types_pb2.Event(name="end", event_id=marker.event_id)]
    )
    side.world.profiles.Track(track)
    caller.raw = Raw(side.world.server.listen)
    caller.raw.open_window()
    stream = caller.raw.headers(("authorization", f"Bearer {key}"), path="/profiles.v1.Profiles/Watch")
    caller.raw.open_window(stream)
    caller.raw.data(stream, message(request.SerializeToString()))
    response = caller.raw.response(stream, is_enough=lambda data: wanted in b"".join(split(data)))
    caller.close()
    assert response.canceled, response.grpc
    found = [profiles_pb2.WatchResponse.FromString(payload) for payload in split(response.data)]
    return [response.change for response in found if response.HasField("change")]


def test_watch_shows_nothing_of_another_project(sides):
    """All of it, and with filters that name people of the other project by each of their names."""
    name, side = "profiles.v1.Profiles.Watch", sides.full
    theirs = {person.profile_id for person in sides.known.values()}
    known = sides.known[name]
    mine, others = side.mine.new_key(["READ"]).key, side.other.new_key(["READ"]).key
    filters = [
        {},
        {"identifiers": [known.who]},
        {"identifiers": [types_pb2.Identifier(installation_id=known.installation_id)]},
        {"identifiers": [types_pb2.Identifier(profile_id=known.profile_id)]},
    ]
    for fields in filters:
        marker = side.person(name)
        seen = {change.profile_id for change in watch_until(side, marker, mine, **with_marker(fields, marker))}
        assert seen and not seen & theirs, fields
        # The control: the same filter shows them to their own project.
        marker = side.person(name, side.other)
        seen = {change.profile_id for change in watch_until(side, marker, others, **with_marker(fields, marker))}
        assert known.profile_id in seen, fields


def with_marker(fields, marker):
    """A filter that lets the marker pass as well."""
    return {name: [*values, marker.who] for name, values in fields.items()}


def test_the_same_probes_tell_with_a_key_of_the_other_project(sides):
    """The control: a probe that tells nobody anything would prove nothing."""
    told = set()
    theirs = f"Bearer {sides.full.other.new_key().key}"
    for name in BUILT:
        if ROWS[name].scope == OPERATOR:
            continue
        seen = collections.defaultdict(list)
        for probe, is_known in sides.probes(name):
            request = probe.apply(ROWS[name].request(sides.full.person(name, sides.full.other)), is_known)
            seen[probe.path].append(sides.full.world.call(METHODS[name], [request], theirs))
        for path, (known, unknown) in seen.items():
            field = path.rsplit(".", 1)[-1]
            if known != unknown:
                told |= {field, f"{name.rsplit('.', 1)[-1]}.{field}"}
    assert told >= {*NAMING, "min_lsn"}
    assert told >= {token for token, of in TOKENS.items() if of} | FILTERS


# Access.


def denied(sides):
    """The one response to a key that may not: here, to one without the scope READ."""
    name = "profiles.v1.Profiles.GetProfile"
    outcome = sides.full.call(name, ROWS[name].request(sides.full.person(name)), "not READ")
    assert outcome.code == DENIED and "SCOPE_MISSING" in outcome.shown
    return outcome


def unauthenticated(sides):
    """The one response to no key and to an invalid one."""
    name = "profiles.v1.Profiles.GetProfile"
    request = ROWS[name].request(sides.full.person(name))
    outcome = sides.full.world.call(METHODS[name], [request], None)
    assert outcome.code == UNAUTHENTICATED and "KEY_INVALID" in outcome.shown
    return outcome


def bodies(row, side, name):
    """Valid requests for several projects, and bytes that are no request."""
    for project in ["mine", *OTHERS]:
        request = row.request(side.person(name))
        if "project" in request.DESCRIPTOR.fields_by_name:
            request.project = project
        yield request
    yield b""
    yield b"\xff" * 40


@pytest.mark.parametrize("name", GUARDED)
def test_a_missing_scope_is_denied_before_anything_is_read(sides, name):
    row, expected = ROWS[name], denied(sides)
    key = "all" if row.scope == OPERATOR else f"not {row.scope}"
    for side in sides.all:
        for body in bodies(row, side, name):
            assert side.call(name, body, key) == expected, body


@pytest.mark.parametrize("name", [name for name in GUARDED if ROWS[name].scope != OPERATOR])
def test_the_scope_alone_suffices(sides, name):
    row = ROWS[name]
    outcome = sides.full.call(name, row.request(sides.full.person(name)), row.scope)
    if name.endswith("CreateKey"):
        # Gives no scope that its maker lacks, and the request asks for ADMIN.
        assert row.scope == "ADMIN"
    assert outcome.code == (OK if row.is_built else UNIMPLEMENTED), outcome


@pytest.mark.parametrize("name", GUARDED)
def test_every_invalid_key_is_rejected_alike(sides, name):
    row, expected = ROWS[name], unauthenticated(sides)
    for kind, authorization in sides.bad_keys.items():
        for project in ("mine", "them", "nope"):
            request = row.request(sides.full.person(name))
            if "project" in request.DESCRIPTOR.fields_by_name:
                request.project = project
            assert sides.full.world.call(METHODS[name], [request], authorization) == expected, kind


@pytest.mark.parametrize("name", GUARDED)
def test_an_operator_is_told_that_a_project_is_unknown(sides, name):
    row, authorization = ROWS[name], f"Bearer {sides.full.world.operator_key}"
    request = row.request(sides.full.person(name))
    if "project" in request.DESCRIPTOR.fields_by_name and name != "profiles.v1.Admin.CreateProject":
        for path in [path for _, path, field in places(request) if field == "project"]:
            replace(request, path, "nope")
        outcome = sides.full.world.call(METHODS[name], [request], authorization)
        if name.endswith("TrackStream"):
            assert NOT_FOUND in (outcome.code, *outcome.errors)
        else:
            assert outcome.code == (NOT_FOUND if row.is_built else UNIMPLEMENTED)
            assert not row.is_built or "PROJECT_NOT_FOUND" in outcome.shown
    else:
        outcome = sides.full.world.call(METHODS[name], [row.request(sides.full.person(name))], authorization)
        assert outcome.code not in (DENIED, UNAUTHENTICATED)


def test_a_key_of_another_server_is_invalid(sides):
    name = "profiles.v1.Profiles.GetProfile"
    foreign = sides.empty.authorization("all")
    request = ROWS[name].request(sides.full.person(name))
    assert sides.full.world.call(METHODS[name], [request], foreign) == unauthenticated(sides)


def test_health_needs_no_key(sides):
    response = Caller(sides.full.world.server.listen).call("/grpc.health.v1.Health/Check", [b""])
    assert response.grpc == grpc.StatusCode.OK.value[0]
