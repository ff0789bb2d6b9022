"""Metrics in both formats, and that every name in alerts and board is one of a real server."""

import json
import re
import shutil
import subprocess
import urllib.request

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from conftest import ROOT, Server, custom, profiles_pb2_grpc, track, unique
from profiles.v1 import admin_pb2, admin_pb2_grpc

PROMTOOL = str(ROOT / ".venv/bin/promtool") if (ROOT / ".venv/bin/promtool").exists() else shutil.which("promtool")
ALERTS = ROOT / "packaging/prometheus/alerts.yml"
BOARD = ROOT / "packaging/grafana/profiles.json"
OPEN_METRICS = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"


def page(server, accept):
    request = urllib.request.Request(f"http://{server.admin}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.headers["Content-Type"], response.read().decode()


def samples(families):
    return {
        (sample.name, tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le")))
        for family in families
        for sample in family.samples
    }


def names(shared):
    """The names of all samples of a server, as Prometheus stores them."""
    return {name for name, _ in samples(text_string_to_metric_families(page(shared, "text/plain")[1]))}


def promtool(*arguments, text=None):
    ended = subprocess.run([PROMTOOL, *map(str, arguments)], input=text, capture_output=True, text=True, timeout=120)
    return ended.returncode, ended.stdout + ended.stderr


def test_promtool_is_there():
    assert PROMTOOL, "make test-deps takes it out of Debian's package prometheus"


def test_both_formats_have_the_same_series(shared):
    with shared.channel() as channel:
        profiles_pb2_grpc.ProfilesStub(channel).Track(track(custom()))
    kind, plain = page(shared, "*/*")
    assert kind == "text/plain; version=0.0.4; charset=utf-8" and "# EOF" not in plain
    kind, other = page(shared, OPEN_METRICS)
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert other.endswith("\n# EOF\n") and other.count("# EOF") == 1
    families = list(openmetrics.text_string_to_metric_families(other))
    assert samples(families) == samples(text_string_to_metric_families(plain))
    assert not any(sample.exemplar for family in families for sample in family.samples)
    counters = [family for family in families if family.type == "counter"]
    assert len(counters) > 30 and not any(family.name.endswith("_total") for family in counters)


def test_promtool_finds_nothing_to_complain_of(shared):
    code, said = promtool("check", "metrics", text=page(shared, "text/plain")[1])
    assert (code, said) == (0, "")


def test_rules_are_valid_and_each_alert_has_a_test_that_holds():
    code, said = promtool("check", "rules", ALERTS)
    assert code == 0, said
    files = sorted(ALERTS.parent.glob("*_test.yml"))
    code, said = promtool("test", "rules", *files)
    assert code == 0, said
    alerts = re.findall(r"^ +- alert: (\w+)$", ALERTS.read_text(), re.MULTILINE)
    tested = [name for file in files for name in re.findall(r"^ +alertname: (\w+)$", file.read_text(), re.MULTILINE)]
    assert len(alerts) > 20 and sorted(alerts) == sorted(tested)


def test_a_rule_that_is_wrong_is_found(tmp_path):
    """The test of the tests: an alert that never fires fails them."""
    text = ALERTS.read_text()
    assert "profiles_log_failed == 1" in text
    (tmp_path / "alerts.yml").write_text(text.replace("profiles_log_failed == 1", "profiles_log_failed == 2"))
    shutil.copy(ALERTS.with_name("alerts_test.yml"), tmp_path)
    code, said = promtool("test", "rules", tmp_path / "alerts_test.yml")
    assert code != 0 and "ProfilesLogFailed" in said


# Names in expressions; labels, functions and units do not look like them. `up` is Prometheus' own.
NAME = re.compile(r"\b(?:profiles|grpc_server)_[a-z_]+\b")


def test_every_metric_of_the_alerts_is_one_of_a_real_server(shared):
    # Of those of TLS, which this server does not have, test_tls.py looks for the one that is used.
    used = set(NAME.findall(ALERTS.read_text())) - {"profiles_tls_certificate_not_after_seconds"}
    assert len(used) > 25
    # This server has done nothing that takes long, so a histogram by method has the calls of the other tests.
    with shared.channel() as channel:
        profiles_pb2_grpc.ProfilesStub(channel).Track(track(custom()))
    assert sorted(used - names(shared)) == []


def test_every_metric_of_the_board_is_one_of_a_real_server(shared):
    with shared.channel() as channel:
        profiles_pb2_grpc.ProfilesStub(channel).Track(track(custom()))
    board = json.loads(BOARD.read_text())
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(panels) > 20 and all(NAME.search(expression) for expression in expressions)
    used = {name for expression in expressions for name in NAME.findall(expression)}
    assert sorted(used - names(shared)) == []
    # Every panel reads from the source and the servers that are chosen above the board.
    assert all(panel["datasource"]["uid"] == "${source}" for panel in panels)
    assert all('instance=~"$instance"' in expression for expression in expressions)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))


def test_expressions_of_the_board_are_valid(tmp_path):
    board = json.loads(BOARD.read_text())
    lines = ["groups:", "  - name: board", "    rules:"]
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")
            lines.append(f"      - record: panel:{panel['id']}:{target['refId']}")
            lines.append(f"        expr: {json.dumps(expression)}")
    (tmp_path / "board.yml").write_text("\n".join(lines) + "\n")
    code, said = promtool("check", "rules", tmp_path / "board.yml")
    assert code == 0, said


@pytest.mark.parametrize("labelled", [0, 2])
def test_projects_beyond_the_first_share_a_label(tmp_path, labelled):
    server = Server(tmp_path / "data", "--metrics-projects", str(labelled)).start()
    try:
        with server.channel() as channel:
            admin, stub = admin_pb2_grpc.AdminStub(channel), profiles_pb2_grpc.ProfilesStub(channel)
            projects = ["default"] + [unique("p") for _ in range(3)]
            for name in projects[1:]:
                admin.CreateProject(admin_pb2.CreateProjectRequest(project=name))
            for name in projects:
                request = track(custom())
                request.project = name
                stub.Track(request)
                server.get("/metrics")
            text = server.get("/metrics")[1]
            sample = r'^profiles_project_items_received_total{project="([^"]+)"} (\d+)$'
            found = dict(re.findall(sample, text, re.MULTILINE))
            expected = {name: "1" for name in projects[:labelled]} | {"_other": str(4 - labelled)}
            assert found == expected
            assert server.metric("profiles_items_received_total") == 4
    finally:
        assert server.stop() == 0
