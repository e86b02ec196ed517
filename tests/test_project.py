"""The project around a manifest: files found in the right place, read once, tied into stages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.errors import InputError
from chimera_batch.pipeline import project, schemas, shipped
from chimera_batch.pipeline.project import Project, Rule, Source
from tests.conftest import ROOT

MANIFEST = """\
run: small
models:
  author: {provider: openai, model: gpt-6-luna, effort: low, extra: {seed: 7, a: 1}}
  pair:
    - {provider: anthropic, model: claude-haiku-5.5, max_output_tokens: 900, cache: true}
    - {provider: openai, model: gpt-6-luna, endpoint: /v1/responses}
params: {n: 3}
stages:
  - name: topics
    ask: author
    prompt: p/topics.md
    rows: p/topics_rows.sql
    schema: p/topics.json
    table: p/topics.sql
    rounds: {max: 4, until: p/enough.sql}
    assume: {rows: 4, kept: 0.5}
  - {name: checks, ask: pair, prompt: p/checks.md, rows: p/checks_rows.sql, samples: 2, window: now,
     budget_usd: 1.5, assume: {rows_per: {topics: 2}}, retry: {invalid: 4, truncated: {ceiling: 3x}}}
  - {name: final, sql: p/final.sql}
"""
SCHEMA = {
    "type": "object",
    "properties": {"z": {"type": "string"}, "a": {"type": "string"}},
    "required": ["z", "a"],
    "additionalProperties": False,
}
FILES: Mapping[str, str] = {
    "m.yaml": MANIFEST,
    "prompts/p/topics.md": "Name {{ n }} topics.",
    "prompts/p/topics.json": json.dumps(SCHEMA, indent=2),
    "prompts/p/checks.md": "Check.",
    "sql/p/topics_rows.sql": "SELECT 1",
    "sql/p/topics.sql": "SELECT 2",
    "sql/p/enough.sql": "SELECT true",
    "sql/p/checks_rows.sql": "SELECT 3",
    "sql/p/final.sql": "SELECT 4",
}


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    return folder / "m.yaml"


def loaded(folder: Path, changes: Mapping[str, str | None] | None = None, **options: Any) -> Project:
    files = {name: text for name, text in {**FILES, **(changes or {})}.items() if text is not None}
    empty = folder / "shipped"
    empty.mkdir(exist_ok=True)
    return project.load(write(folder, files), **{"shipped": empty, **options})


def said(folder: Path, changes: Mapping[str, str | None]) -> str:
    with pytest.raises(InputError) as caught:
        loaded(folder, changes)
    assert caught.value.exit_code == 2
    return str(caught.value)


def manifest_with(old: str, new: str) -> dict[str, str | None]:
    assert old in MANIFEST
    return {"m.yaml": MANIFEST.replace(old, new, 1)}


def test_everything_is_tied_together(tmp_path: Path) -> None:
    run = loaded(tmp_path)
    topics, checks, final = run.stages
    assert (run.run, run.root, run.store_url, run.window, run.params) == ("small", tmp_path, "./runs", "24h", {"n": 3})
    assert (run.budget_usd, run.prices_path, run.rehearsal) == (None, None, {})
    assert sorted(run.profiles) == ["anthropic", "openai"]
    assert topics.prompt == Source("p/topics.md", tmp_path / "prompts/p/topics.md", "Name {{ n }} topics.")
    assert topics.rounds is not None
    assert topics.rounds.until is not None
    assert (topics.rounds.max, topics.rounds.until.text) == (4, "SELECT true")
    assert [source.text for source in (topics.rows, topics.table) if source] == ["SELECT 1", "SELECT 2"]
    assert topics.where == f"{tmp_path / 'm.yaml'}:9"
    assert (topics.assume.rows, topics.assume.kept, checks.assume.rows_per) == (4, 0.5, ("topics", 2.0))
    assert (checks.samples, checks.window, checks.budget_usd, checks.schema) == (2, "now", Decimal("1.5"), None)
    assert checks.table is None
    assert (final.kind, final.calls, final.prompt) == ("sql", (), None)
    assert final.table is not None
    assert final.table.text == "SELECT 4"


def test_calls(tmp_path: Path) -> None:
    run = loaded(tmp_path)
    (author,) = run.stage("topics").calls
    claude, gpt = run.stage("checks").calls
    assert author.provider == "openai"
    assert author.endpoint == run.profiles["openai"].endpoints[0]
    assert (author.model, author.effort, author.max_output_tokens) == ("gpt-6-luna", "low", 16_000)
    assert author.extra == '{"a":1,"seed":7}'  # the order in the manifest does not shape an id
    assert author.schema_name == "p_topics"
    assert author.schema == json.dumps(SCHEMA, separators=(",", ":"))  # "z" stays before "a"
    assert (claude.endpoint, claude.max_output_tokens, claude.cache) == ("/v1/messages", 900, True)
    assert (gpt.endpoint, gpt.schema, gpt.schema_name, gpt.extra) == ("/v1/responses", None, None, "{}")


def test_retry_rules(tmp_path: Path) -> None:
    run = loaded(tmp_path)
    assert run.stage("topics").retry == {
        "truncated": Rule(1, 2.0),
        "invalid": Rule(1),
        "error": Rule(0),
        "refused": Rule(0),
        "missing": Rule(2),
        "transient": Rule(5),
        "expired": Rule(5),
        "cancelled": Rule(5),
    }
    assert run.stage("checks").retry["invalid"] == Rule(4)
    assert run.stage("checks").retry["truncated"] == Rule(1, 3.0)


def test_store_is_overridden(tmp_path: Path) -> None:
    assert loaded(tmp_path, store="s3://b/p").store_url == "s3://b/p"


def test_a_stage_by_name(tmp_path: Path) -> None:
    run = loaded(tmp_path)
    assert run.stage("final").kind == "sql"
    with pytest.raises(InputError, match="no stage `topic`; did you mean `topics`"):
        run.stage("topic")


def test_the_root_is_where_the_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {**FILES, "manifests/m.yaml": MANIFEST, "shipped/x": ""})
    run = project.load(tmp_path / "manifests" / "m.yaml", shipped=tmp_path / "shipped")
    assert run.root == tmp_path
    monkeypatch.chdir(tmp_path / "manifests")
    here = project.load("m.yaml", shipped=tmp_path / "shipped")
    assert here.stage("final").table is not None
    assert here.root.resolve() == tmp_path.resolve()


def test_what_the_project_lacks_comes_from_what_shipped(tmp_path: Path) -> None:
    box = tmp_path / "box"
    write(box, {name: f"shipped {name}" for name in ("sql/p/final.sql", "sql/p/topics.sql")})
    run = loaded(tmp_path, {"sql/p/final.sql": None}, shipped=box)
    final, topics = run.stage("final").table, run.stage("topics").table
    assert final is not None
    assert topics is not None
    assert (final.text, final.name, final.path) == ("shipped sql/p/final.sql", "p/final.sql", box / "sql/p/final.sql")
    assert topics.text == "SELECT 2"  # the project's own comes first


def test_line_ends_do_not_shape_the_text(tmp_path: Path) -> None:
    run = loaded(tmp_path, {"prompts/p/checks.md": "\ufeffa\r\nb\u2028c\r\n"})
    prompt = run.stage("checks").prompt
    assert prompt is not None
    assert prompt.text == "a\nb\u2028c\n"


@pytest.mark.parametrize(
    ("changes", "line", "words"),
    [
        ({"prompts/p/checks.md": None}, 17, "there is no file "),
        ({"sql/p/enough.sql": None}, 15, "enough.sql"),
        ({"sql/p/final.sql": None}, 19, "sql/p/final.sql nor "),
        ({"prompts/p/checks.md": " \n"}, 17, "is empty"),
        (
            manifest_with("provider: openai, model: gpt-6-luna, effort", "provider: opnai, model: x, effort"),
            3,
            "`opnai`",
        ),
        (manifest_with("endpoint: /v1/responses", "endpoint: /v1/audio"), 6, "openai takes /v1/"),
        (manifest_with("run: small", "run: small\nwindow: 3h"), 4, "openai has no window 3h, only 24h (or now)"),
        (manifest_with("run: small", "run: small\nprices: p.toml"), 2, "there is no price file"),
        (manifest_with("run: small", "run: small\nproviders: {openai: {max_byte: 3}}"), 2, "max_byte"),
        (manifest_with("run: small", "run: small\nproviders:\n  openai:\n    max_bytes: x"), 4, "max_bytes"),
        (
            manifest_with("provider: openai, model: gpt-6-luna, effort: low", "provider: q, model: x"),
            3,
            "neither built in",
        ),
        (
            manifest_with("effort: low", "endpoint: /v1/embeddings"),
            13,
            "an embedding has no schema",
        ),
    ],
)
def test_one_problem(tmp_path: Path, changes: dict[str, str | None], line: int, words: str) -> None:
    text = said(tmp_path, changes)
    assert f"m.yaml:{line}: " in text
    assert words in text


def test_a_near_name_is_suggested(tmp_path: Path) -> None:
    text = said(
        tmp_path, manifest_with("provider: openai, model: gpt-6-luna, effort", "provider: opnai, model: x, effort")
    )
    assert "did you mean `openai`?" in text


def test_all_problems_at_once(tmp_path: Path) -> None:
    text = said(tmp_path, {"sql/p/final.sql": None, "prompts/p/topics.json": "{", "prompts/p/topics.md": None})
    assert "3 problems" in text
    assert "topics.json:1: not valid JSON" in text


def test_an_unused_model_needs_no_provider(tmp_path: Path) -> None:
    run = loaded(tmp_path, manifest_with("models:\n", "models:\n  later: {provider: somewhere, model: x}\n"))
    assert "somewhere" not in run.profiles


def test_a_new_host(tmp_path: Path) -> None:
    new = 'run: small\nproviders: {mine: {dialect: openai, base_url: "http://127.0.0.1:1/v1", api_key_env: MINE}}'
    text = MANIFEST.replace("run: small", new, 1).replace(
        "provider: openai, model: gpt-6-luna, eff", "provider: mine, model: x, eff"
    )
    run = loaded(tmp_path, {"m.yaml": text})
    assert run.profiles["mine"].api_key_env == "MINE"
    assert run.stage("topics").calls[0].endpoint == run.profiles["mine"].endpoints[0]


def test_prices_lie_beside_the_manifest(tmp_path: Path) -> None:
    changes = manifest_with("run: small", "run: small\nprices: local.toml")
    assert loaded(tmp_path, {**changes, "local.toml": ""}).prices_path == tmp_path / "local.toml"


@pytest.mark.parametrize("name", ["prompts/p/checks.md", "sql/p/final.sql", "prompts/p/topics.json"])
def test_a_link_that_leads_out_of_the_project_is_not_followed(tmp_path: Path, name: str) -> None:
    """A prompt that is a link to somebody's keys would have them sent to a provider."""
    secret = tmp_path / "secret"
    secret.write_text(FILES[name], encoding="utf-8")
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / "shipped").mkdir()
    write(folder, {other: text for other, text in FILES.items() if other != name})
    (folder / name).symlink_to(secret)
    with pytest.raises(InputError, match=r"is a link to .*, outside of the project") as caught:
        project.load(folder / "m.yaml", shipped=tmp_path / "shipped")
    assert str(caught.value.where).startswith(str(folder / "m.yaml"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("p/final.sql", f"p/{'x' * 300}.sql"),
        ("params: {n: 3}", f"prices: {'x' * 300}.toml"),
        ("{name: final, sql: p/final.sql}", f"{{name: final, file: {'x' * 300}.csv}}"),
    ],
)
def test_a_name_longer_than_any_file_has_is_no_file(tmp_path: Path, old: str, new: str) -> None:
    """Found by fuzzing: the system's own refusal ended in a traceback."""
    assert "there is no " in said(tmp_path, manifest_with(old, new))


def test_a_link_inside_the_project_is_a_file_like_any_other(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    (tmp_path / "sql/p/final.sql").rename(tmp_path / "sql/p/real.sql")
    (tmp_path / "sql/p/final.sql").symlink_to("real.sql")
    (tmp_path / "linked").symlink_to(tmp_path)
    empty = tmp_path / "shipped"
    empty.mkdir()
    assert project.load(tmp_path / "linked" / "m.yaml", shipped=empty).stages[-1].table is not None


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    loaded(tmp_path)
    (tmp_path / "sql/p/final.sql").write_bytes(b"SELECT '\xff'")
    with pytest.raises(InputError, match="cannot be read"):
        project.load(tmp_path / "m.yaml", shipped=tmp_path / "shipped")


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ('{"type": "object",\n "a": }', 2, "not valid JSON"),
        ('{"type": "array"}', 1, '"type": "object"'),
        ("[]", 1, '"type": "object"'),
        ('{"type": "object", "required": 3}', 1, "not a usable JSON Schema"),
        ('{"type": "object", "properties": {"a": {"type": "strin"}}}', 1, "not a usable JSON Schema"),
        ('{"type": "object", "properties": {"a": {"pattern": "("}}}', 1, "not a usable JSON Schema"),
        ('{"type": "object", "properties": {"a": {"$ref": "https://x.example/y"}}}', 1, "only references inside"),
        ('{"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}}', 1, "only references inside"),
        ('{"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}}', 1, "not a usable JSON Schema"),
        ('{"type": "object", "type": "object"}', 1, '"type" is written twice'),
        ('{"type": "object", "default": NaN}', 1, "NaN is not JSON"),
        ('{"type":"object","a":' + "[" * 100_000, 1, "nested too deeply"),
        ('{"type":"object","a":' + '{"a":' * 3_000 + "1" + "}" * 3_001, 1, "nested too deeply"),
    ],
)
def test_unusable_schemas(text: str, where: int, words: str) -> None:
    with pytest.raises(InputError) as caught:
        schemas.read_schema(text, Path("s.json"))
    assert caught.value.where == f"s.json:{where}"
    assert words in caught.value.message


def test_a_schema_judges_and_leaves_answers_alone() -> None:
    text = schemas.read_schema(
        '{"type": "object", "properties": {"a": {"type": "integer", "default": 1}, "b": {"$ref": "#/$defs/b"}},'
        ' "required": ["b"], "$defs": {"b": {"type": "string"}}}',
        Path("s.json"),
    )
    fits = schemas.validator(text)
    assert fits({"b": "x"}) == {"b": "x"}
    with pytest.raises(Exception, match="must be string"):
        fits({"b": 1})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chimera/topics.json", "chimera_topics"),
        ("a.b/c d.json", "a_b_c_d"),
        ("plain", "plain"),
        ("x/" + "a" * 62 + ".json", "x_" + "a" * 62),
    ],
)
def test_schema_names(name: str, expected: str) -> None:
    assert schemas.schema_name(name) == expected


def test_a_schema_name_that_providers_refuse() -> None:
    with pytest.raises(InputError, match="longer than 64"):
        schemas.schema_name("x/" + "a" * 63 + ".json")


@given(st.text(max_size=50), st.integers(0, 60))
def test_line_of_counts_newlines_alone(text: str, offset: int) -> None:
    assert Source("a", Path("a"), text).line_of(offset) == text[:offset].count("\n") + 1


def test_where_of_a_source() -> None:
    source = Source("p/a.sql", Path("sql/p/a.sql"), "a\nb\u2028c\nd")
    assert source.where() == "sql/p/a.sql:1"
    assert source.where(source.line_of(source.text.index("d"))) == "sql/p/a.sql:3"


def test_the_checkout_ships_itself() -> None:
    assert project.shipped_root() == ROOT


def test_an_installed_package_ships_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "chimera_batch"
    package.mkdir(parents=True)
    monkeypatch.setattr(shipped, "__file__", str(package / "pipeline" / "shipped.py"))
    with pytest.raises(InputError, match="are missing"):
        shipped.shipped_root()
    write(package / "shipped", {"sql/a.sql": "", "prompts/a.md": ""})
    assert shipped.shipped_root() == package / "shipped"


def test_init_copies_and_never_overwrites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = tmp_path / "box"
    write(
        box, {"manifests/q.yaml": "run: q", "prompts/p/a.md": "A", "sql/p/a.sql": "B", "sql/.hidden": "", "docs/x": ""}
    )
    monkeypatch.setattr(shipped, "shipped_root", lambda: box)
    target = tmp_path / "new" / "place"
    written = project.init(target)
    assert written == [target / "manifests/q.yaml", target / "prompts/p/a.md", target / "sql/p/a.sql"]
    assert (target / "sql/p/a.sql").read_text(encoding="utf-8") == "B"
    assert not (target / "docs").exists()
    (target / "manifests/q.yaml").unlink()
    (target / "sql/p/a.sql").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="exists already and 1 more"):
        project.init(target)
    assert (target / "sql/p/a.sql").read_text(encoding="utf-8") == "mine"
    assert not (target / "manifests/q.yaml").exists()  # nothing is written when anything would be overwritten
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be written"):
        project.init(tmp_path / "file" / "below")


def test_what_ships_loads(tmp_path: Path) -> None:
    """Every manifest that init writes loads from where init wrote it."""
    written = project.init(tmp_path / "mine")
    for path in (path for path in written if path.parent.name == "manifests" and path.suffix == ".yaml"):
        assert project.load(path).root == tmp_path / "mine"


def test_init_leaves_the_engines_own_sql_where_it_is(tmp_path: Path) -> None:
    """A copy of it would never be read, and would make people think that it is."""
    written = project.init(tmp_path / "mine")
    assert written and not any("engine" in path.parts for path in written)
    assert (project.shipped_root() / "sql" / "engine").is_dir()
