"""Bad input: one clear error each, with the place and what to type, exit code 2, and nothing was sent.

Every case goes through ``api.run`` against a rehearsal server that must never see a batch.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from chimera_batch import api, rehearsal
from chimera_batch.context import Timing
from chimera_batch.errors import ChimeraError, InputError
from chimera_batch.opening import Options
from chimera_batch.steps.columns import ANSWERS_OWN

MANIFEST = """\
run: input
budget: {usd: 5}
params: {rows: 3}
models:
  asker: {provider: openai, model: gpt-6-luna, effort: none, max_output_tokens: 2000}
stages:
  - name: notes
    ask: asker
    prompt: in/notes.md
    rows: in/notes_rows.sql
    schema: in/notes.json
    table: in/notes.sql
"""
FILES = {
    "prompts/in/notes.md": "<!-- system -->\nYou take notes.\n<!-- user -->\nNote {{ n }} of {{ params.rows }}\n",
    "prompts/in/notes.json": '{"type": "object", "properties": {"note": {"type": "string"}},\n'
    ' "required": ["note"], "additionalProperties": false}\n',
    "sql/in/notes_rows.sql": "-- Notes.\n-- reads: nothing\n-- $rows: how many\n"
    "SELECT 'note-' || i AS row_key,\n    i AS n\nFROM range($rows) AS t (i)\n",
    "sql/in/notes.sql": "-- Notes with answers.\n-- reads: answers\n"
    "SELECT row_key, answer ->> 'note' AS note\nFROM answers\n",
}
ROWS = "-- Notes.\n-- reads: nothing\n-- $rows: how many\n"
TABLE = "-- Notes with answers.\n-- reads: answers\n"


@dataclass(frozen=True)
class Case:
    """What a person got wrong, and what must be said of it."""

    name: str
    where: str  # the end of the place
    says: tuple[str, ...]  # parts of the message or the hint
    manifest: tuple[str, str] = ("", "")  # text replaced
    files: Mapping[str, str | None] = field(default_factory=dict)  # replaced; None: left out
    price: tuple[str, ...] = ()


def rows_case(name: str, sql: str, where: str, *says: str) -> Case:
    return Case(name, where, says, files={"sql/in/notes_rows.sql": ROWS + sql})


def prompt_case(name: str, text: str, where: str, *says: str) -> Case:
    return Case(name, where, says, files={"prompts/in/notes.md": text})


CASES = [
    # the manifest
    Case("yaml", "input.yaml:7", ("not valid YAML",), manifest=("stages:", "stages: [")),
    Case("unknown-key", "input.yaml:2", ("unknown key `budgett`", "`budget`"), manifest=("budget:", "budgett:")),
    Case("unknown-stage-key", "input.yaml:11", ("unknown key `shema`", "`schema`"), manifest=("schema:", "shema:")),
    Case("wrong-type", "input.yaml:5", ("`max_output_tokens`",), manifest=("tokens: 2000", "tokens: many")),
    Case("unknown-model-name", "input.yaml:8", ("`asked`", "`asker`"), manifest=("ask: asker", "ask: asked")),
    Case(
        "unknown-provider", "input.yaml:5", ("`openay`", "`openai`"), manifest=("provider: openai", "provider: openay")
    ),
    Case("endpoint", "input.yaml:5", ("/v1/messages",), manifest=("effort: none", "endpoint: /v1/messages")),
    Case("window", "input.yaml:6", ("48h", "24h"), manifest=("budget:", "window: 48h\nbudget:")),
    Case("no-price", "input.yaml:7", ("gpt-99", "[[price]]"), manifest=("gpt-6-luna", "gpt-99")),
    Case("bad-price-option", "--price", ("gpt",), price=("gpt=1,2,3,4",)),
    # files
    Case("no-prompt", "input.yaml:9", ("there is no file", "notes.md"), files={"prompts/in/notes.md": None}),
    Case("no-rows", "input.yaml:10", ("there is no file", "notes_rows.sql"), files={"sql/in/notes_rows.sql": None}),
    Case("no-schema", "input.yaml:11", ("there is no file", "notes.json"), files={"prompts/in/notes.json": None}),
    Case("empty-prompt", "input.yaml:9", ("is empty",), files={"prompts/in/notes.md": "\n"}),
    Case("price-file", "input.yaml:2", ("there is no price file",), manifest=("budget:", "prices: p.toml\nbudget:")),
    # schemas
    Case("schema-json", "notes.json:2", ("JSON",), files={"prompts/in/notes.json": '{"type": "object",\n}'}),
    Case("schema-type", "notes.json:1", ("object",), files={"prompts/in/notes.json": '["note"]'}),
    Case("schema-word", "notes.json:1", ("type",), files={"prompts/in/notes.json": '{"type": "objekt"}'}),
    # templates
    prompt_case("template-syntax", "<!-- user -->\nok\n{% if n %}\nNote", "notes.md:4", "endif"),
    prompt_case("template-name", "<!-- user -->\n\nNote {{ m }}", "notes.md:3", "`m`", "n"),
    prompt_case("template-param", "<!-- user -->\nNote {{ params.row }}", "notes.md:2", "row"),
    prompt_case("template-escape", "<!-- user -->\n{{ n.__class__.__mro__ }}", "notes.md:2", "__class__"),
    prompt_case("template-role", "<!-- sistem -->\nNotes\n<!-- user -->\nNote {{ n }}", "notes.md:1", "sistem"),
    prompt_case("template-division", "<!-- user -->\nNote {{ 1 // n }}", "notes.md:2", "note-0", "zero"),
    # SQL
    rows_case("sql-syntax", "SELECT 'a' AS row_key,\n    FROM FROM range($rows)", "notes_rows.sql:5", "syntax"),
    rows_case("sql-column", "SELECT 'a' AS row_key,\n    nn\nFROM range($rows) AS t (n)", "notes_rows.sql:5", "nn"),
    rows_case("sql-value", "SELECT 'a' AS row_key,\n    'x'::INTEGER AS n\nFROM range($rows)", "notes_rows.sql", "'x'"),
    rows_case("sql-write", "CREATE TABLE t AS SELECT $rows AS row_key", "notes_rows.sql:4", "SELECT"),
    Case(
        "unknown-table",
        "input.yaml:7",
        ("drafts", "no stage above it"),
        files={"sql/in/notes_rows.sql": "-- Notes.\n-- reads: drafts\nSELECT row_key, n FROM drafts\n"},
    ),
    Case("no-parameter", "notes_rows.sql:6", ("$rows", "params"), manifest=("params: {rows: 3}\n", "")),
    Case(
        "table-column",
        "notes.sql:3",
        ("nope",),
        files={"sql/in/notes.sql": TABLE + "SELECT row_key, nope FROM answers"},
    ),
    # rows
    rows_case(
        "keys-twice", "SELECT 'same' AS row_key, i AS n FROM range($rows) AS t (i)", "notes_rows.sql", "'same'", "3"
    ),
    rows_case("keys-empty", "SELECT '' AS row_key, i AS n FROM range($rows) AS t (i)", "notes_rows.sql", "empty"),
    rows_case("keys-null", "SELECT NULL AS row_key, i AS n FROM range($rows) AS t (i)", "notes_rows.sql", "empty"),
    rows_case("keys-absent", "SELECT i AS n FROM range($rows) AS t (i)", "notes_rows.sql", "row_key"),
    rows_case("keys-numbers", "SELECT i AS row_key, i AS n FROM range($rows) AS t (i)", "notes_rows.sql", "text"),
    *(
        rows_case(f"column-{name}", f"SELECT 'a' AS row_key, $rows AS n, 1 AS {name}", "notes_rows.sql", name, " AS ")
        for name in sorted(ANSWERS_OWN)
    ),
    Case(
        "line-too-long",
        "stage notes, row note-1",
        ("bytes", "2,000"),
        manifest=("budget:", "providers: {openai: {max_line_bytes: 2000}}\nbudget:"),
        files={"prompts/in/notes.md": "<!-- user -->\nNote {{ n }} {{ 'x' * (n * 1800) }}"},
    ),
    Case(
        "refused-field",
        "stage notes, row note-0",
        ("temperature", "notes.md"),
        manifest=("effort: none", "effort: low, temperature: 0.5"),
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rehearsal.Running]:
    running = rehearsal.start(tmp_path_factory.mktemp("provider"), speed=1e6)
    yield running
    running.close()


@pytest.fixture
def project(tmp_path: Path, server: rehearsal.Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a good project. After the test the provider must have heard of nothing."""
    monkeypatch.setenv("CHIMERA_REHEARSAL_URL", server.url)
    write(tmp_path, MANIFEST, FILES)
    yield tmp_path
    assert heard(server) == ([], 0)


def write(folder: Path, manifest: str, files: Mapping[str, str | None]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text, encoding="utf-8")
    (folder / "input.yaml").write_text(manifest, encoding="utf-8")


def heard(server: rehearsal.Running) -> tuple[list[Any], int]:
    """The batches that a provider was given, and how many requests it executed."""
    place = urlsplit(server.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    try:
        connection.request("GET", "/_rehearsal/state")
        state = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return state["batches"] + state["files"], state["billed"]


def options(folder: Path, **more: Any) -> Options:
    timing = Timing(poll=0.02, lease=5.0, settle=0.3)
    return Options(**{"store": str(folder / "store"), "rehearse": True, "timing": timing} | more)


def refused(folder: Path, **more: Any) -> InputError:
    with pytest.raises(ChimeraError) as caught:
        api.run(folder / "input.yaml", options(folder, **more))
    error = caught.value
    assert isinstance(error, InputError), repr(error)
    assert error.exit_code == 2
    return error


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_clear_error(case: Case, project: Path) -> None:
    old, new = case.manifest
    assert old in MANIFEST
    write(project, MANIFEST.replace(old, new, 1) if old else MANIFEST, {**FILES, **case.files})
    error = refused(project, prices=case.price)
    said = f"{error}\n{error.hint or ''}"
    assert all(part in said for part in case.says), said
    assert case.where in (error.where or str(error)), said
    assert error.hint, said
    assert "Traceback" not in said


# what no edit of a file shows


def test_the_good_project_is_good(project: Path) -> None:
    """Else every case above could fail for a reason of its own. It stops short of sending: nobody said yes."""
    assert api.check(project / "input.yaml", options(project))["ok"]
    assert api.plan(project / "input.yaml", options(project))["stages"][0]["requests"] == 3


def test_check_warns_of_sql_that_does_not_say_what_it_reads_and_takes(project: Path) -> None:
    """As ``run`` does not mind: nothing goes wrong without it."""
    write(project, MANIFEST, {"sql/in/notes_rows.sql": "-- Notes.\nSELECT 'a' AS row_key, $rows AS n"})
    found = api.check(project / "input.yaml", options(project))
    (said,) = [one for one in found["warnings"] if "notes_rows.sql:2" in one]
    assert found["ok"] and "$rows is used but not declared: add to the head: -- $rows: what it means" in said


def test_no_such_manifest(project: Path) -> None:
    (project / "input.yaml").unlink()
    error = refused(project)
    assert error.where == str(project / "input.yaml")
    assert "no such manifest" in error.message
    assert "chimera-batch init" in (error.hint or "")


def test_no_key(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = refused(project, rehearse=False)
    assert "OPENAI_API_KEY is not set" in error.message
    assert error.hint == "export OPENAI_API_KEY=…"
    monkeypatch.setenv("OPENAI_API_KEY", "two words")
    assert "no key has" in refused(project, rehearse=False).message


@pytest.mark.parametrize(("name", "address"), [("OPENAI_BASE_URL", "api.example"), ("CHIMERA_REHEARSAL_URL", "8000")])
def test_an_address_that_is_none(project: Path, monkeypatch: pytest.MonkeyPatch, name: str, address: str) -> None:
    monkeypatch.setenv(name, address)
    error = refused(project)
    assert name in error.message
    assert f"export {name}=" in (error.hint or "")


def test_a_store_that_cannot_be_written(project: Path) -> None:
    (project / "file").write_text("not a folder")
    error = refused(project, store=str(project / "file" / "store"))
    assert str(project / "file") in str(error)
    assert error.hint


def test_a_store_of_no_known_kind(project: Path) -> None:
    error = refused(project, store="gs://bucket/prefix")
    assert "gs://" in str(error)
    assert error.hint


@pytest.mark.parametrize(
    ("record", "says", "hint"),
    [
        ({"format": "chimera-batch store", "version": 2}, "version 2", "pip install --upgrade chimera-batch"),
        ({"format": "something else", "version": 1}, "format.json", "--store"),
        (["no", "record"], "format.json", "--store"),
    ],
)
def test_a_store_of_another_format(project: Path, record: object, says: str, hint: str) -> None:
    side = project / "store" / "rehearsal"
    side.mkdir(parents=True)
    (side / "format.json").write_text(json.dumps(record))
    error = refused(project)
    assert error.where == str(side)
    assert says in error.message
    assert hint in (error.hint or "")
    assert [path.name for path in side.rglob("*")] == ["format.json"]  # not so much as an event was added


def test_no_such_stage(project: Path) -> None:
    with pytest.raises(InputError, match="no stage `note`; did you mean `notes`"):
        api.run(project / "input.yaml", options(project), until="note")
    for unset in ({"until": ""}, {"until": "", "detach": True}):  # --until "$STAGE"
        with pytest.raises(InputError, match="no stage ``"):
            api.run(project / "input.yaml", options(project), **unset)
    with pytest.raises(InputError, match="no stage `note`"):  # before anybody is asked whether to send
        api.run(project / "input.yaml", replace(options(project), rehearse=False), confirm=pytest.fail, until="note")


def test_decisions_about_what_is_not_there(project: Path) -> None:
    for decide in (api.adopt, api.resend):
        given = {"shard": "notes-0", **({"batch": "batch_1"} if decide is api.adopt else {})}
        with pytest.raises(InputError, match="no attempt of shard 'notes-0' is under way") as caught:
            decide(project / "input.yaml", options=options(project), **given)
        assert "chimera-batch status" in (caught.value.hint or "")


def test_a_mistake_in_the_last_stage_shows_before_the_first_is_sent(project: Path) -> None:
    later = "  - {name: chosen, sql: in/chosen.sql}\n"
    bad = {"sql/in/chosen.sql": "-- The best notes.\n-- reads: notes\nSELECT row_key FROM notes WHERE\n"}
    write(project, MANIFEST + later, {**FILES, **bad})
    error = refused(project)
    assert error.where
    assert error.where.endswith("chosen.sql:3")


def test_a_broken_results_line_is_kept_apart_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "provider"
    state.mkdir()
    (state / "faults.json").write_text(json.dumps([{"kind": "malformed_line", "n": 1}]))
    server = rehearsal.start(state, speed=1e6)
    monkeypatch.setenv("CHIMERA_REHEARSAL_URL", server.url)
    write(tmp_path, MANIFEST, FILES)
    try:
        status = api.run(tmp_path / "input.yaml", options(tmp_path))
    finally:
        server.close()
    first, second = status["stages"][0]["batches"]
    assert (first["quarantined"], first["outcomes"]) == (1, {"ok": 2, "missing": 1})
    assert (second["requests"], second["outcomes"]) == (1, {"ok": 1})
    (kept,) = (tmp_path / "store" / "rehearsal" / "quarantine").rglob("*.jsonl")
    (line,) = map(json.loads, kept.read_bytes().splitlines())
    assert line["bytes"].startswith('{"id": "batch_req_')
    assert line["reason"].startswith("not a result")
    assert isinstance(line["line"], int)
    assert line["file"].startswith("raw/")
