"""profilectl: names, values, addresses and completion, as people type them and as terminals show them."""

import json
import os
import subprocess

import pytest

from conftest import BINARY, unique
from operator_tools import TOOL

BENCH = TOOL.parent / "profile-bench"


def ctl(server, *words, code=0, **variables):
    address = {"PROFILES_ADDRESS": server.listen} if server else {}
    finished = subprocess.run(
        [str(TOOL), *words],
        env={**os.environ, **address, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.returncode == code, finished.stderr
    return finished.stdout if code == 0 else finished.stderr


def attributes(server, who):
    return json.loads(ctl(server, "--json", "get", who))["profile"].get("attributes", {})


def test_a_custom_id_may_have_an_equals_sign(shared):
    who = unique("a=b")
    assert f": {who}, profile " in ctl(shared, "identify", "--device", unique("phone"), "--", who, "plan=gold")
    assert attributes(shared, f"custom:{who}") == {"plan": {"string": "gold"}}
    ctl(shared, "identify", f"custom:{who}", "plan=silver")
    assert attributes(shared, who) == {"plan": {"string": "silver"}}
    dashes = unique("--json")
    ctl(shared, "identify", "--", dashes, "plan=gold")
    assert json.loads(ctl(shared, "--json", "get", "--", dashes))["profile"]["custom_id"] == dashes
    # Without a mark the first word is an attribute, and a person is missing.
    assert "needs a custom ID" in ctl(shared, "identify", who, code=2)


@pytest.mark.parametrize("text", ['["s","m"]', '["s", "m"]', "[s,m]", "[s, m ]", '["s", m]'])
def test_lists_lose_the_quotes_of_their_elements(shared, text):
    who = unique("lists")
    ctl(shared, "identify", who, f"sizes={text}")
    assert attributes(shared, who) == {"sizes": {"list": {"items": ["s", "m"]}}}
    ctl(shared, "identify", who, 'sizes+=["l, wide"]')
    ctl(shared, "identify", who, 'sizes-=["s"]')
    assert attributes(shared, who) == {"sizes": {"list": {"items": ["m", "l, wide"]}}}


def test_versions_are_the_same_and_help_has_a_short_form():
    version = subprocess.run([str(BINARY), "--version"], capture_output=True, text=True, timeout=30).stdout.split()[1]
    for program in (TOOL, BENCH):
        shown = subprocess.run([str(program), "--version"], capture_output=True, text=True, timeout=30)
        assert shown.returncode == 0 and shown.stdout == f"{program.name} {version.rstrip(',')}\n"
        for flag in ("-h", "--help"):
            helped = subprocess.run([str(program), flag], capture_output=True, text=True, timeout=30)
            assert helped.returncode == 0 and program.name in helped.stdout and helped.stderr == ""
    assert ctl(None, "get", "-h") == ctl(None, "help", "get")


def test_an_address_may_be_a_url(shared):
    for address in (f"http://{shared.listen}", f"http://{shared.listen}/"):
        assert ctl(shared, "health", "--address", address) == "SERVING\n"
        assert ctl(None, "health", PROFILES_ADDRESS=address) == "SERVING\n"
    assert "https is not supported" in ctl(None, "health", "--address", f"https://{shared.listen}", code=2)
    bench = subprocess.run(
        [str(BENCH), "--address", f"http://{shared.listen}", "--requests", "10"], capture_output=True, timeout=60
    )
    assert bench.returncode == 0, bench.stderr


def test_columns_align_behind_wide_and_combining_characters(shared):
    who = unique("wide")
    for device in ("日本-phone", "e\u0301-phone", "👍🏽-phone", "anna-phone"):
        ctl(shared, "identify", who, "--device", f"{who}-{device}")
    lines = [line for line in ctl(shared, "get", who).splitlines() if "-phone" in line]
    # The columns that terminals use for the names, counted by hand.
    columns = {"日本": 4, "e\u0301": 1, "👍🏽": 2, "anna": 4}
    starts = set()
    for line in lines:
        name, rest = line.split("-phone", 1)
        wide = next(key for key in columns if name.endswith(key))
        starts.add(len(f"  {who}-") + columns[wide] + len("-phone") + len(rest) - len(rest.lstrip()))
    assert len(lines) == 4 and len(starts) == 1


def test_json_escapes_what_terminals_and_readers_of_lines_obey(shared):
    who, hostile = unique("escapes"), "a\u2028\u202e\u2066\u200fb"
    ctl(shared, "identify", who, f"plan={hostile}", "other=é日👍")
    shown = ctl(shared, "--json", "get", who)
    assert json.loads(shown)["profile"]["attributes"]["plan"] == {"string": hostile} and shown.count("\n") == 1
    assert "a\\u2028\\u202e\\u2066\\u200fb" in shown and "é日👍" in shown
    text = ctl(shared, "get", who)
    assert not set(hostile[1:5]) & set(text) and "a\\u{2028}\\u{202e}" in text


def complete(tmp_path, *words):
    """What bash offers for the last word."""
    script = subprocess.run([str(TOOL), "completion", "bash"], capture_output=True, text=True, check=True).stdout
    quoted = " ".join(f"'{word}'" for word in ("profilectl", *words))
    ask = f"{script}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _profilectl; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    offered = subprocess.run(["bash", "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=True)
    return offered.stdout.splitlines()


def test_completion_keeps_the_blanks_of_file_names(tmp_path):
    for name in ("my shop.jsonl", "my rejects", "other"):
        (tmp_path / name).write_text("")
    (tmp_path / "my data").mkdir()
    offered = ["my data", "my rejects", "my shop.jsonl"]
    assert sorted(complete(tmp_path, "import", "my")) == offered
    assert sorted(complete(tmp_path, "verify", "my")) == offered
    assert sorted(complete(tmp_path, "import", "x", "--rejects", "my")) == offered
    assert complete(tmp_path, "import", "--rej") == ["--rejects"]
    assert complete(tmp_path, "key", "create", "--scopes", "wr") == ["write"]


def test_completion_offers_the_options_of_projects(tmp_path):
    for word in ("create", "set"):
        assert complete(tmp_path, "project", word, "shop", "late") == ["late_window_seconds="]
        assert len(complete(tmp_path, "--json", "project", word, "shop", "--request-id", "r", "")) > 7
    assert complete(tmp_path, "project", "delete", "shop", "late") == [""]
    assert complete(tmp_path, "project", "cr") == ["create"]
    # Values are not completed, and no other word in their place.
    assert complete(tmp_path, "project", "set", "shop", "merge_policy", "=", "l") == [""]


def test_completion_offers_nothing_unknown(tmp_path):
    assert complete(tmp_path, "get", "o") == [""]
