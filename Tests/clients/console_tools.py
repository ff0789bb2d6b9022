"""A server with its profile page, for tests that ask it with bytes, with JSON or with a browser."""

import http.client
import json
import os
import subprocess
from urllib.parse import urlencode

import pytest

from conftest import BINARY, Server, custom, event, profiles_pb2_grpc, track
from test_keys import key_file, new_key

PAGE = ("--console-listen", "127.0.0.1:0")
TOOL = BINARY.parent / "profilectl"


class Console(Server):
    """A server whose page is served, and the client of one browser: it keeps the cookie."""

    def __init__(self, data_dir, *flags):
        super().__init__(data_dir, *PAGE, *flags)
        self.cookie = None

    def start(self, wait=True):
        super().start(wait)
        line = next(line for line in self.lines if '"message":"serving"' in line)
        self.console = json.loads(line)["console"]
        self.stub = profiles_pb2_grpc.ProfilesStub(self.channel())
        return self

    def ask(self, path, method="GET", timeout=30, **fields):
        """Status, header fields in lower case and body."""
        connection = http.client.HTTPConnection(*self.console.rsplit(":", 1), timeout=timeout)
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        if self.cookie:
            headers["Cookie"] = self.cookie
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            names = {}
            for name, value in response.getheaders():
                names[name.lower()] = value
            return response.status, names, response.read()
        finally:
            connection.close()

    def api(self, query, **parameters):
        """The JSON of a query that succeeds."""
        status, _, body = self.ask(f"/api/{query}?{urlencode(parameters)}")
        assert status == 200, (query, status, body)
        return json.loads(body)

    def refused(self, query, **parameters):
        """Status and error of a query that fails."""
        status, _, body = self.ask(f"/api/{query}?{urlencode(parameters)}")
        return status, json.loads(body)["error"]

    def sign_in(self, project, key):
        status, fields, body = self.ask(
            f"/api/session?{urlencode({'project': project})}", "POST", Authorization=f"Bearer {key}"
        )
        if status == 200:
            self.cookie = fields["set-cookie"].split(";")[0]
        return status, fields, body

    def ctl(self, *words, key_file=None):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PROFILES_")}
        environment["PROFILES_ADDRESS"] = self.listen
        if key_file:
            environment["PROFILES_KEY_FILE"] = str(key_file)
        run = subprocess.run([str(TOOL), *map(str, words)], env=environment, capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stderr
        return run.stdout


class Keyed:
    """A page behind keys: an operator's, and keys of project shop."""

    def __init__(self, folder):
        self.folder = folder
        self.operator = new_key()
        self.operator_file = key_file(folder, self.operator, "operators")
        self.console = Console(folder / "data", "--operator-key-file", str(self.operator_file)).start()
        self.ctl("project", "create", "shop")
        self.ctl("track", "anna", "purchase", "--project", "shop")

    def ctl(self, *words):
        return self.console.ctl(*words, key_file=self.operator_file)

    def key(self, scopes, project="shop"):
        return self.ctl("key", "create", "--project", project, "--name", "page", "--scopes", scopes).strip()


def person(console, name=None, **fields):
    """A new person with one event; the profile id."""
    return console.stub.Track(track(custom(name), event(**fields) if fields else event())).profile_id


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    console = Console(tmp_path_factory.mktemp("page") / "data").start()
    yield console
    assert console.stop() == 0


@pytest.fixture
def keyed(tmp_path):
    made = Keyed(tmp_path)
    yield made
    if made.console.process.poll() is None:
        assert made.console.stop() == 0
