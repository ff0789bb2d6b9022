"""The profile page's listener, asked with bytes and JSON: its policy, who is served, and what bounds it."""

import json
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import BINARY, ROOT, Server, get, track, types_pb2, wait_until
from console_tools import Console, keyed, page, person  # noqa: F401  (fixtures)
from test_keys import new_key

ASSETS = ROOT / "Sources/ProfileServer/Console/Assets"
QUERIES = [
    "activity",
    "changes",
    "count",
    "events",
    "find",
    "ledger",
    "list",
    "merges",
    "overview",
    "profile",
    "projects",
]
# See ConsoleServer and ConsoleLoginLimit.
WATCHES_MAX, FAILURES_MAX = 8, 10


# Files and their policy.


def test_page_is_off_unless_it_is_asked_for(shared):
    line = next(line for line in shared.lines if '"message":"serving"' in line)
    assert json.loads(line)["console"] == "none"


@pytest.mark.parametrize(
    "path", ["/", "/assets/console.css", "/assets/app.js", "/assets/icon.svg", "/api/session", "/nothing"]
)
def test_every_response_forbids_what_the_page_does_not_need(page, path):
    _, fields, _ = page.ask(path)
    policy = fields["content-security-policy"]
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
    ]:
        assert rule in policy
    for rule in ["form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]:
        assert rule in policy
    assert "unsafe" not in policy and "*" not in policy and "http" not in policy
    assert fields["x-content-type-options"] == "nosniff" and fields["cache-control"] == "no-store"
    assert fields["referrer-policy"] == "no-referrer" and fields["cross-origin-resource-policy"] == "same-origin"
    assert not [name for name in fields if name.startswith("access-control")]


def test_every_asset_is_served_as_it_is_in_the_sources(page):
    for file in ASSETS.iterdir():
        status, fields, body = page.ask("/" if file.name == "index.html" else f"/assets/{file.name}")
        assert status == 200 and body == file.read_bytes(), file.name
        kind = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}[
            file.suffix
        ]
        assert fields["content-type"].startswith(kind)


def test_assets_have_nothing_inline_and_nothing_from_outside():
    page_text = (ASSETS / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\ssrc=)", page_text) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", page_text) == []
    for file in ASSETS.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert re.findall(r"https?:|//[a-z]+\.[a-z]|@import|url\(", text) == [], file.name
    for file in ASSETS.glob("*.js"):
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|\.style\b", file.read_text()
        )
        assert found == [], file.name


# Who is served.


@pytest.mark.parametrize(
    "host, status",
    [("localhost", 200), ("LOCALHOST:9", 200), ("127.0.0.1:65535", 200), ("[::1]:80", 200)]
    + [
        (host, 421)
        for host in [
            "rebound.example",
            "127.0.0.1.example",
            "localhost.example:80",
            "10.0.0.1",
            "localhost:",
            "[::1",
            "user@localhost",
        ]
    ],
)
def test_host_names_this_machine_or_the_request_is_rejected(page, host, status):
    for path in ["/", "/api/session"]:
        assert page.ask(path, Host=host)[0] == status


def test_a_request_without_host_is_rejected(page):
    for text, status in [
        (b"GET / HTTP/1.0\r\n\r\n", b"421"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /\r\n", b"400"),
    ]:
        with socket.create_connection(page.console.rsplit(":", 1), timeout=20) as connection:
            connection.sendall(text)
            assert connection.recv(4_096).split()[1] == status


@pytest.mark.parametrize(
    "fields",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "http://other.example"},
        {"Origin": "null"},
    ],
)
def test_requests_of_other_pages_are_rejected(page, fields):
    assert page.ask("/api/overview", **fields)[0] == 403
    assert page.ask("/api/session/end", "POST", **fields)[0] == 403


def test_requests_of_the_page_itself_are_served(page):
    assert page.ask("/api/overview", Sec_Fetch_Site="same-origin", Origin=f"http://{page.console}")[0] == 200


def test_the_page_is_read_only(page):
    profile_id = person(page)
    lsn = page.api("overview")["applied_lsn"]
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]:
        for query in QUERIES:
            assert page.ask(f"/api/{query}?profile_id={profile_id}", method)[0] == 405
        assert page.ask("/", method)[0] == 405
    allowed = {"/": "GET, HEAD", "/api/session": "GET, POST", "/api/session/end": "POST", "/api/overview": "GET"}
    for path, methods in allowed.items():
        status, fields, _ = page.ask(path, "PUT")
        assert (status, fields["allow"]) == (405, methods)
    for query in set(QUERIES) - {"changes", "find"}:
        page.api(query, profile_id=profile_id)
    page.api("find", kind="profile_id", value=profile_id)
    assert page.api("overview")["applied_lsn"] == lsn


def test_head_has_the_fields_without_the_body(page):
    status, fields, body = page.ask("/", "HEAD")
    assert status == 200 and int(fields["content-length"]) > 0 and body == b""


@pytest.mark.parametrize(
    "path, status",
    [
        ("/api/find?kind=custom_id&value=%ff", 400),
        ("/api/find?kind=custom_id&value=%2", 400),
        ("/api/find?kind=name&value=a", 400),
    ]
    + [
        ("/api/find?kind=custom_id", 400),
        ("/api/erase", 404),
        ("/api/changes?from=-1&profile_id=x", 400),
        ("/%2e%2e/etc/passwd", 404),
    ]
    + [
        ("/api/count?filter=" + "x" * 9_000, 431),
        ("/api/overview?project=absent", 404),
        ("/api/profile?profile_id=" + "0" * 26, 404),
    ],
)
def test_what_is_wrong_with_a_request_is_said(page, path, status):
    found, _, body = page.ask(path)
    assert found == status
    if status != 431 and path.startswith("/api"):
        error = json.loads(body)["error"]
        assert error["code"] and error["message"]


# Keys and sessions.


def test_without_a_session_nothing_is_shown(keyed):
    for query in QUERIES:
        assert keyed.console.refused(query, project="shop")[0] == 401
    status, _, body = keyed.console.ask("/api/session")
    assert json.loads(body)["signed_in"] is False


def test_a_key_with_the_scope_read_signs_in_and_is_never_sent_back(keyed):
    key = keyed.key("read")
    status, fields, body = keyed.console.sign_in("shop", key)
    assert status == 200
    cookie = fields["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert re.match(r"profiles-console=[0-9a-f]{64};", cookie) and "Domain" not in cookie
    assert key.encode() not in body and key not in str(fields) and key.split("_")[2] not in cookie
    found = keyed.console.api("find", project="shop", kind="custom_id", value="anna")["profiles"]
    assert [one["custom_id"] for one in found] == ["anna"]
    session = keyed.console.api("session")
    assert session["signed_in"] is True and session["key_name"] == "_".join(key.split("_")[:2])
    assert keyed.console.api("projects")["projects"] == ["shop"]
    assert key not in "".join(keyed.console.lines)


def test_a_key_of_the_wrong_kind_does_not_sign_in(keyed):
    keyed.ctl("project", "create", "other")
    for key, status in [
        (new_key("a" * 16), 401),
        ("nonsense", 401),
        (keyed.key("write"), 403),
        (keyed.key("read", "other"), 403),
    ]:
        found, fields, _ = keyed.console.sign_in("shop", key)
        assert found == status and "set-cookie" not in fields
    for fields in [
        {},
        {"Authorization": "Basic abc"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer " + "x" * 300},
    ]:
        assert keyed.console.ask("/api/session?project=shop", "POST", **fields)[0] == 400


def test_a_session_sees_only_the_project_of_its_key(keyed):
    keyed.ctl("project", "create", "other")
    keyed.ctl("track", "berta", "purchase", "--project", "other")
    keyed.console.sign_in("shop", keyed.key("read"))
    for query in set(QUERIES) - {"projects", "changes"}:
        status, error = keyed.console.refused(
            query, project="other", kind="custom_id", value="berta", profile_id="0" * 26
        )
        assert status == 403, (query, error)


def test_an_operator_sees_every_project(keyed):
    assert keyed.console.sign_in("shop", keyed.operator)[0] == 200
    assert keyed.console.api("projects")["projects"] == ["default", "shop"]
    assert keyed.console.api("overview", project="default")["statistics"] is not None


def test_a_reader_sees_counts_in_place_of_statistics(keyed):
    keyed.console.sign_in("shop", keyed.key("read"))
    read = keyed.console.api("overview", counts="1")
    assert "statistics" not in read and read["counts"] == {"profiles": 1, "identified": 1}
    assert "counts" not in keyed.console.api("overview")


def test_a_revoked_key_ends_its_session(keyed):
    key = keyed.key("read")
    keyed.console.sign_in("shop", key)
    keyed.ctl("key", "revoke", key.split("_")[1], "--project", "shop")
    assert keyed.console.refused("overview")[0] == 401
    assert keyed.console.api("session")["signed_in"] is False


def test_signing_out_ends_the_session_for_whoever_has_the_cookie(keyed):
    keyed.console.sign_in("shop", keyed.key("read"))
    status, fields, _ = keyed.console.ask("/api/session/end", "POST")
    assert status == 200 and "Max-Age=0" in fields["set-cookie"]
    assert keyed.console.refused("overview")[0] == 401


def test_failed_sign_ins_are_limited_and_sessions_go_on(keyed):
    good = keyed.key("read")
    keyed.console.sign_in("shop", good)
    for _ in range(FAILURES_MAX):
        assert keyed.console.sign_in("shop", new_key("b" * 16))[0] == 401
    for key in [new_key("b" * 16), good]:
        status, fields, _ = keyed.console.sign_in("shop", key)
        assert status == 429 and 1 <= int(fields["retry-after"]) <= 60
    assert keyed.console.api("overview")["ready"] is True


def test_signing_in_is_not_offered_where_no_key_is_needed(page):
    assert page.ask("/api/session?project=default", "POST", Authorization=f"Bearer {new_key()}")[0] == 400


# Bounds.


def test_pages_that_follow_are_bounded_and_hold_nobody_else_back(page):
    profile_id = person(page)
    start = page.api("profile", profile_id=profile_id)["lsn"] + 1
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(page.ask(f"/api/changes?profile_id={profile_id}&from={start}")))
        for _ in range(WATCHES_MAX + 4)
    ]
    for thread in threads:
        thread.start()
    assert wait_until(lambda: len(results) == 4)
    assert {status for status, _, _ in results} == {503} and all("retry-after" in fields for _, fields, _ in results)
    for _ in range(20):
        page.api("profile", profile_id=profile_id)
        page.stub.GetProfile(get(types_pb2.Identifier(profile_id=profile_id)), timeout=20)
    page.stub.Track(track(types_pb2.Identifier(profile_id=profile_id)))
    # Less than the 20 s after which a page that follows ends by itself.
    for thread in threads:
        thread.join(10)
    assert sorted(status for status, _, _ in results) == [200] * WATCHES_MAX + [503] * 4


def test_a_page_that_is_closed_frees_its_place(page):
    profile_id = person(page)
    start = page.api("profile", profile_id=profile_id)["lsn"] + 1
    for _ in range(3):
        closed = []
        for _ in range(WATCHES_MAX):
            connection = socket.create_connection(page.console.rsplit(":", 1), timeout=20)
            connection.sendall(
                f"GET /api/changes?profile_id={profile_id}&from={start} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            )
            closed.append(connection)
        for connection in closed:
            connection.close()
        busy = f"/api/changes?profile_id={profile_id}&from={start - 1}"
        # Less than the 20 s after which the places become free by themselves.
        assert wait_until(lambda: page.ask(busy)[0] == 200, 10)


def test_bytes_behind_a_request_that_waits_end_its_connection(page):
    profile_id = person(page)
    start = page.api("profile", profile_id=profile_id)["lsn"] + 1
    with socket.create_connection(page.console.rsplit(":", 1), timeout=20) as connection:
        connection.sendall(
            f"GET /api/changes?profile_id={profile_id}&from={start} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
        # Less than the 20 s after which a page that follows ends by itself.
        connection.settimeout(10)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(10_000):
                connection.sendall(b"GET /" + b"x" * 60_000)
    page.api("overview")


def test_the_page_is_a_peer_of_its_own(tmp_path):
    console = Console(tmp_path / "data", "--connections-per-address", "1").start()
    with console.channel() as channel:
        channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20)
        for _ in range(5):
            assert console.api("overview")["ready"] is True
    assert console.stop() == 0


def test_a_drain_does_not_wait_for_pages_that_follow(tmp_path):
    console = Console(tmp_path / "data", "--drain-seconds", "3600").start()
    profile_id = person(console)
    start = console.api("profile", profile_id=profile_id)["lsn"] + 1
    with socket.create_connection(console.console.rsplit(":", 1), timeout=20) as connection:
        connection.sendall(
            f"GET /api/changes?profile_id={profile_id}&from={start} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
        assert wait_until(lambda: "profiles.v1.Profiles/Watch" in console.get("/debug/streams")[1])
        # Less than the 20 s after which a page that follows ends by itself.
        assert console.stop(signal.SIGTERM, timeout=15) == 0


@pytest.mark.parametrize(
    "flags, text",
    [
        (["--console-listen", "0.0.0.0:9465"], "loopback"),
        (["--console-listen", "example.com:80"], "loopback"),
        (["--console-listen", "127.0.0.1:50051"], "overlaps"),
        (["--console-listen", "127.0.0.1:9464"], "overlaps"),
    ],
)
def test_the_page_listens_on_loopback_and_alone(flags, text):
    run = subprocess.run([str(BINARY), "--check-config", *flags], capture_output=True, text=True, timeout=20)
    assert run.returncode == 2 and "console-listen" in run.stderr and text in run.stderr


def test_a_port_in_use_ends_the_start(page, tmp_path):
    server = Server(tmp_path / "data", "--console-listen", page.console).start(wait=False)
    assert server.process.wait(30) == 1
    assert wait_until(lambda: any("cannot listen" in line and page.console in line for line in server.lines))
