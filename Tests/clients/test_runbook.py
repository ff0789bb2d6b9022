"""docs/runbook.md has a section for each alert, and what it tells to type exists."""

import re
import shlex
import subprocess

import pytest

from conftest import BINARY, ROOT
from package_files import unit_lines
from test_metrics_pages import ALERTS, NAME, names

TEXT = (ROOT / "docs/runbook.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
RULES = re.findall(r"^ +- alert: (\w+)$.*?^ +runbook: (\S+)$", ALERTS.read_text(), re.MULTILINE | re.DOTALL)
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines()]
# What a machine with systemd has anyway, and what makes certificates.
OF_THE_MACHINE = {"curl", "journalctl", "systemctl", "df", "du", "grep", "tail", "timedatectl", "openssl"}


def commands(line):
    """The words of each command of a pipeline, with the variables of the runbook in place."""
    values = {"$ADMIN": "127.0.0.1:9464", "$DATA": "/var/lib/profiles", "$UNIT": "profiled"}
    for name, value in values.items():
        line = line.replace(name, value)
    words, found = shlex.split(line), [[]]
    for word in words:
        if word == "|":
            found.append([])
        else:
            found[-1].append(word)
    return found


ALL = [command for line in LINES if not re.match(r"[A-Z]+=", line) for command in commands(line)]


def test_each_alert_has_its_section_and_each_section_its_alert():
    alerts = [alert for alert, _ in RULES]
    assert list(SECTIONS) == alerts and len(alerts) > 20
    assert [link for _, link in RULES] == [f"docs/runbook.md#{alert.lower()}" for alert in alerts]


@pytest.mark.parametrize("alert", [alert for alert, _ in RULES])
def test_each_section_says_what_it_means_and_what_to_type(alert):
    meaning, block = re.fullmatch(r"\n(.*?)```sh\n(.*?)```.*", SECTIONS[alert], re.DOTALL).groups()
    assert len(meaning.split()) >= 10 and block.strip()


def test_every_line_is_one_that_a_shell_parses():
    ended = subprocess.run(["bash", "-n"], input="\n".join(LINES), capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stderr) == (0, "")
    used = set(re.findall(r"\$(\w+)", "\n".join(LINES)))
    assert used == {"ADMIN", "DATA", "UNIT"} == set(re.findall(r"^([A-Z]+)=", BLOCKS[0], re.MULTILINE))


def test_every_command_exists():
    assert {command[0] for command in ALL} <= OF_THE_MACHINE | {"profilectl"}


@pytest.mark.parametrize("command", [shlex.join(one) for one in ALL if one[0] == "profilectl"])
def test_profilectl_knows_its_commands_and_flags(command):
    words = shlex.split(command)[1:]
    ended = subprocess.run(
        [BINARY.parent / "profilectl", "help", words[0]], capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 0, ended.stderr
    flags = [word for word in words if word.startswith("--")]
    assert all(re.search(rf"^  {flag}\b", ended.stdout, re.MULTILINE) for flag in flags)
    usage = ended.stdout.splitlines()[0]
    if "|" in usage:
        # The second word chooses one of several.
        assert words[1] in re.search(r" ([\w|]+\|[\w|]+)", usage).group(1).split("|")


def test_profiled_knows_its_flags():
    known = subprocess.run([BINARY, "--help"], capture_output=True, text=True, timeout=30).stdout
    prose = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    flags = set(re.findall(r"`(--[a-z-]+)", prose))
    assert len(flags) > 4 and all(re.search(rf"^ +{flag}\b", known, re.MULTILINE) for flag in flags)


def test_the_server_writes_where_its_unit_lets_it():
    (state,) = unit_lines("StateDirectory")
    operations = (ROOT / "docs/operations.md").read_text()
    folders = re.findall(r"^profilectl backup (\S+)", "\n".join(LINES) + operations, re.MULTILINE)
    assert len(folders) > 1
    for folder in folders:
        assert folder.replace("$DATA", "/var/lib/profiles").startswith(f"/var/lib/{state}/"), folder


def test_every_page_that_is_asked_for_is_there(shared):
    urls = {word for command in ALL if command[0] == "curl" for word in command if word.startswith("http")}
    paths = {url.removeprefix("http://127.0.0.1:9464") for url in urls}
    assert len(paths) > 5
    for path in paths:
        assert shared.get(path)[0] == 200, path


def test_every_metric_that_is_looked_for_is_there(shared):
    found = names(shared)
    for command in ALL:
        if command[0] == "grep" and any("profiles_" in word for word in command):
            pattern = command[-1].replace("(", "(?:")
            assert any(re.match(pattern.removesuffix(" "), f"{name} ") for name in found), command
    for name in NAME.findall(re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)):
        assert name in found
