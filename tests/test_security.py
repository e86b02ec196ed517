"""What models, rows and hosts say reaches a terminal as text and nothing else, and what is written is its owner's."""

from __future__ import annotations

import ast
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.context import realm_of
from chimera_batch.errors import InputError
from chimera_batch.pipeline import manifest
from chimera_batch.providers import calling, profiles
from chimera_batch.stores.keys import is_segment
from tests import source
from tests.cli_kit import Called, call
from tests.conftest import ROOT
from tests.end_to_end import provider
from tests.test_cli_texts import obeyed

SHOWN = {"showing.py", "said.py", "faults.py", "query.py"}
"""Modules of cli/ that write to a stream; in the last, tables and CSV by way of showing, JSON by way of texts."""

WRITERS = {"echo", "secho", "print", "write", "writelines", "copyfileobj", "style", "pager", "echo_via_pager"}


def writers() -> Iterator[tuple[str, str, str]]:
    """(module, function, call) of everything in cli/ that writes to a stream."""
    for path in sorted((source.PACKAGE / "cli").glob("*.py")):
        for function in source.nodes(path):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Call):
                    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                    if name in WRITERS:
                        yield path.name, function.name, ast.unparse(node)


def test_commands_print_through_one_place() -> None:
    """A command that wrote to the terminal by itself could pass on what a model said."""
    beside = {(module, function) for module, function, _ in writers() if module not in SHOWN}
    ours = {("group.py", "cli"), ("editors.py", "completion")}  # help and a shell's script: no text of others
    assert beside - ours == {("bars.py", "line")}
    above = [
        line
        for line in (ROOT / "chimera_batch" / "cli" / "said.py").read_text("utf-8").splitlines()
        if "bars.line(" in line
    ]
    assert above and all("bars.line(plain(" in line for line in above), "what stands above the bars is plain too"
    raw = [said for module, _, said in writers() if module in {"said.py", "faults.py"} and "plain(" not in said]
    assert raw == []


# -- a whole run in which every text is hostile

NASTY = "a\x1b[31mb\x1b]52;c;aGk=\x07c\x1b]8;;http://evil\x1b\\d\u202ee\x9b2Jf\u2066g\x00h\rI\U000e0041"
MANIFEST = """\
run: nasty
models:
  m: {provider: openai, model: gpt-6-luna, effort: none, max_output_tokens: 4000}
stages:
  - {name: one, ask: m, prompt: n/ask.md, rows: n/rows.sql, schema: n/one.json, table: n/one.sql,
     assume: {output_tokens: 10}}
"""
ROWS = "-- Rows with hostile keys.\n-- reads: nothing\nSELECT i || $nasty::VARCHAR AS row_key, i FROM range(40) t(i)\n"
SAID = "chr(27) || '[31mb' || chr(27) || ']52;c;aGk=' || chr(7) || chr(8238) || chr(155) || '2J'"
TABLE = "-- What was said.\n-- reads: answers\nSELECT row_key, answer->>'said' AS said, '=1+1' AS f FROM answers\n"


@pytest.fixture
def nasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A manifest whose keys, and whose model's answers, hold what a terminal obeys; nothing restrains our modes."""
    schema = {
        "type": "object",
        "properties": {"said": {"type": "string", "enum": [NASTY]}},
        "required": ["said"],
        "additionalProperties": False,
    }
    for name, text in (
        ("prompts/n/ask.md", "<!-- user -->\nSay {{ i }}.\n"),
        ("prompts/n/one.json", json.dumps(schema)),
        ("sql/n/rows.sql", ROWS.replace("$nasty::VARCHAR", SAID)),
        ("sql/n/one.sql", TABLE),
        ("nasty.yaml", MANIFEST),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for name in ("CACHE", "STATE"):
        monkeypatch.setenv(f"CHIMERA_{name}", str(tmp_path / name.lower()))
    monkeypatch.setenv("CHIMERA_POLL_SECONDS", "0.05")
    with provider(tmp_path.parent / f"{tmp_path.name}-server") as served:
        monkeypatch.setenv("CHIMERA_REHEARSAL_URL", served.url)
        before = os.umask(0)
        try:
            yield tmp_path
        finally:
            os.umask(before)


def reachable(root: Path) -> list[str]:
    """Files below a folder that another user of the machine could read or write."""
    if stat.S_IMODE(root.stat().st_mode) & 0o077 == 0:
        return []
    found = []
    for path in root.iterdir():
        if path.is_dir():
            found += reachable(path)
        elif stat.S_IMODE(path.stat().st_mode) & 0o077:
            found.append(str(path))
    return found


@pytest.mark.slow
def test_every_command_that_shows_rows_shows_them_as_text(nasty: Path) -> None:
    key = "0" + "\x1b[31mb\x1b]52;c;aGk=\x07\u202e\x9b2J"
    commands: list[tuple[object, ...]] = [
        ("pilot", "nasty.yaml", "--stage", "one", "-n", "30", "--rehearse", "--yes"),
        ("run", "nasty.yaml", "--rehearse", "--yes"),
        ("status", "nasty.yaml", "--rehearse"),
        ("status", "nasty.yaml", "--rehearse", "--json"),
        ("query", "-m", "nasty.yaml", "--rehearse", "SELECT * FROM one"),
        ("query", "-m", "nasty.yaml", "--rehearse", "--json", "SELECT * FROM one"),
        ("query", "-m", "nasty.yaml", "--rehearse", "SELECT error(said) FROM one"),
        ("trace", "nasty.yaml", key, "--rehearse"),
        ("trace", "nasty.yaml", key, "--rehearse", "--raw"),
        ("trace", "nasty.yaml", key, "--rehearse", "--json"),
        ("trace", "nasty.yaml", key + "x", "--rehearse"),
        ("estimate", "nasty.yaml", "--rehearse", "--explain"),
        ("prune", "nasty.yaml", "--rehearse"),
        ("export", "nasty.yaml", "--rehearse", "--format", "parquet", nasty / "out"),
    ]
    done = {words: call(*words) for words in commands}
    assert {words: one.code for words, one in done.items() if one.code} == {commands[6]: 2, commands[10]: 2}, done
    for words, one in done.items():
        assert obeyed(one.out + one.err) == [], words
    told = done[commands[7]].out
    assert "batch" in told and "said" in told, "the row itself was shown"
    assert json.loads(done[commands[5]].out)[0]["said"] == NASTY, "and as JSON it is all there"
    _nothing_is_open_to_others(nasty)
    _a_spreadsheet_runs_nothing(call("query", "-m", "nasty.yaml", "--rehearse", "SELECT f FROM one", "--format", "csv"))


def _nothing_is_open_to_others(folder: Path) -> None:
    """Whatever the umask of whoever called: store, cache and state are their owner's."""
    kept = [folder / name for name in ("runs", "cache", "state") if (folder / name).exists()]
    assert folder / "runs" in kept
    assert [name for one in kept for name in reachable(one)] == []


def _a_spreadsheet_runs_nothing(printed: Called) -> None:
    assert printed.out.splitlines() == ["f", *["'=1+1"] * 40]


# -- names that others give

CLIMBING = [
    "..",
    ".",
    "",
    "../../etc/passwd",
    "/etc/passwd",
    "a/../../b",
    "..\\..\\b",
    "C:\\b",
    "a\x00b",
    "~",
    "%2e%2e",
    "x" * 999,
]


@pytest.mark.parametrize("handle", CLIMBING)
def test_a_provider_s_id_is_one_name_in_its_folder(handle: str, tmp_path: Path) -> None:
    name = calling.safe_name(handle)
    for path in (tmp_path / name, tmp_path / f"{name}.jsonl", tmp_path / f"{name}_results.jsonl"):
        path.write_bytes(b"x")
        assert path.resolve().parent == tmp_path.resolve()


@given(st.sets(st.text(max_size=8) | st.sampled_from(CLIMBING), min_size=2))
def test_different_ids_have_different_names(handles: set[str]) -> None:
    """A second file of a batch must not replace the first."""
    assert len({calling.safe_name(handle) for handle in handles}) == len(handles)


def test_an_ordinary_id_is_its_own_name() -> None:
    for handle in ("file-B0nmmGWWcsfNhMcoFGS7Fr", "msgbatch_01HkcTjaV5uDC8jWR4ZsDV8d", "job.1", "a" * 120):
        assert calling.safe_name(handle) == handle


PLACES: dict[str, Callable[[str], str]] = {
    "run": lambda name: MANIFEST.replace("run: nasty", f"run: {name}"),
    "stage": lambda name: MANIFEST.replace("name: one", f"name: {name}"),
    "profile": lambda name: f"{MANIFEST}providers: {{{name}: {{dialect: openai, base_url: 'https://h.example'}}}}\n",
    "prompt": lambda name: MANIFEST.replace("n/ask.md", name),
    "schema": lambda name: MANIFEST.replace("n/one.json", name),
    "table": lambda name: MANIFEST.replace("n/one.sql", name),
}


@pytest.mark.parametrize("place", PLACES)
def test_no_name_of_a_manifest_climbs(place: str, tmp_path: Path) -> None:
    """Runs, stages and profiles are folders of the store; prompts, schemas and SQL are files of the project."""
    path = tmp_path / "nasty.yaml"
    inside = {"~", "%2e%2e", "x" * 999} if place in {"prompt", "schema", "table"} else set()  # names like any other
    for name in set(CLIMBING) - inside:
        path.write_text(PLACES[place](json.dumps(name)), encoding="utf-8")
        with pytest.raises(InputError) as caught:
            manifest.load(path)
        assert caught.value.exit_code == 2, name


def test_a_host_s_name_is_one_folder_of_the_store() -> None:
    """However long it is, and whatever stands in it; two of them are two realms."""
    openai = profiles.builtin()["openai"]
    hosts = ["..", "h" * 400, "h" * 401, "a%2f..%2fb", "[::1]", "ä.example"]
    realms = [realm_of(replace(openai, base_url=f"https://{host}/v1"), rehearse=False) for host in hosts]
    assert all(is_segment(realm) for realm in realms), realms
    assert len(set(realms)) == len(hosts)
