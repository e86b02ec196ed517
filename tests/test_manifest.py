"""The manifest: what loads, and that everything else is told with its line, all at once."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.errors import InputError
from chimera_batch.pipeline import manifest
from chimera_batch.pipeline.shape import Manifest
from chimera_batch.pipeline.shape_stage import AskStage, SqlStage
from chimera_batch.pipeline.yamldoc import parse
from tests.conftest import SHARED

SMALL = """\
run: small
models:
  author: {provider: openai, model: gpt-6-luna}
stages:
  - {name: topics, ask: author, prompt: p/topics.md, rows: p/topics_rows.sql}
  - {name: final, sql: p/final.sql}
"""


def check(text: str) -> Manifest:
    return manifest.check(parse(text, Path("m.yaml")))[0]


def problems(text: str) -> list[str]:
    """Every problem as "line: message"."""
    with pytest.raises(InputError) as caught:
        check(text)
    lines = str(caught.value).splitlines()
    found = lines[1:] if len(lines) > 1 else lines
    return [line.strip().removeprefix("m.yaml:") for line in found]


def test_the_small_one_and_its_defaults() -> None:
    said = check(SMALL)
    topics, final = said.stages
    assert isinstance(topics, AskStage)
    assert isinstance(final, SqlStage)
    assert (said.run, said.store, said.window, said.budget, said.prices) == ("small", "./runs", "24h", None, None)
    assert (topics.samples, topics.rounds, topics.window, topics.canary, topics.breaker) == (1, None, None, None, 0.5)
    author = said.models["author"][0]
    assert (author.max_output_tokens, author.cache, author.extra) == (16_000, False, {})


def test_retry_defaults_are_those_of_the_house() -> None:
    stage = check(SMALL).stages[0]
    assert isinstance(stage, AskStage)
    times = {name: getattr(stage.retry, name).times for name in type(stage.retry).model_fields}
    assert times == {
        "truncated": 1,
        "invalid": 1,
        "error": 0,
        "refused": 0,
        "missing": 2,
        "transient": 5,
        "expired": 5,
        "cancelled": 5,
    }
    assert stage.retry.truncated.ceiling == 2.0


def test_every_key_is_read() -> None:
    said = check(
        """
run: chimera-9k
store: s3://acme/chimera
budget: {usd: 400.10}
providers: {deepinfra: {dialect: openai, base_url: "https://x"}}
prices: prices.local.toml
window: 1h
params: {subjects: [Mathematics, "No", on, 2026-01-01], deep: {n: 3}}
models:
  author: {provider: openai, model: gpt-6.1-sol, effort: high, temperature: 1, top_p: 0.95, top_k: 20,
           max_output_tokens: 9000, cache: true, endpoint: /v1/responses, extra: {seed: 7}}
  solver: [{provider: a, model: x}, {provider: b, model: y}]
notify: {url_env: CHIMERA_WEBHOOK, on: [done, stuck, budget]}
rehearsal: {speed: 1000, rates: {wrong: 0.1}}
stages:
  - {name: seeds, sql: s.sql}
  - {name: topics, ask: author, prompt: t.md, rows: t_rows.sql, schema: t.json, table: t.sql, samples: 3,
     rounds: {max: 6, until: enough.sql}, window: now, budget_usd: 12, canary: 40, breaker: 0.25,
     assume: {rows: 5, rows_per: {seeds: 2}, input_tokens: 10, output_tokens: 2500, kept: 0.9},
     retry: {truncated: {times: 2, ceiling: 1.5x}, invalid: 3, error: {times: 1}}}
"""
    )
    topics = said.stages[1]
    assert isinstance(topics, AskStage)
    assert said.budget is not None
    assert said.budget.usd == Decimal("400.10")
    assert said.params == {"subjects": ["Mathematics", "No", "on", "2026-01-01"], "deep": {"n": 3}}
    assert [choice.provider for choice in said.models["solver"]] == ["a", "b"]
    assert said.models["author"][0].temperature == 1.0
    assert said.models["author"][0].extra == {"seed": 7}
    assert said.notify is not None
    assert said.notify.on == ("done", "stuck", "budget")
    assert topics.schema_ == "t.json"
    assert (topics.budget_usd, topics.canary, topics.breaker, topics.window) == (Decimal(12), 40, 0.25, "now")
    assert (topics.retry.truncated.times, topics.retry.truncated.ceiling) == (2, 1.5)
    assert (topics.retry.invalid.times, topics.retry.error.times) == (3, 1)
    assert (topics.assume.rows_per, topics.assume.kept) == ({"seeds": 2.0}, 0.9)


def replaced(old: str, new: str) -> str:
    assert old in SMALL
    return SMALL.replace(old, new, 1)


ROWS = ", rows: p/topics_rows.sql"


PROBLEMS = [
    (replaced("run: small", "run: Small"), "1: `run`: string should match pattern"),
    (replaced("run: small", "run: .hidden"), "1: `run`: string should match pattern"),
    (replaced("run: small", "run: 12"), "1: `run`: input should be a valid string (it is 12)"),
    (replaced("run: small\n", ""), "1: `run` is missing"),
    (replaced("run: small", "run: small\nstor: x"), "2: unknown key `stor`; did you mean `store`?"),
    (replaced("run: small", "run: small\nzzz: x"), "2: unknown key `zzz`"),
    (replaced("run: small", "run: small\nbudget: 400"), "2: `budget`: input should be a valid dictionary"),
    (replaced("run: small", "run: small\nbudget: {usd: -1}"), "2: `usd`: input should be greater than or equal"),
    (replaced("run: small", "run: small\nbudget: {eur: 1}"), "2: unknown key `eur`"),
    (replaced("run: small", "run: small\nbudget: {}"), "2: `budget`: needs `usd`, `usd_per_day` or both"),
    (replaced("run: small", "run: small\nwindow: 24"), "2: `window`: input should be a valid string (it is 24)"),
    (replaced("run: small", "run: small\nwindow: soon"), "2: `window`: string should match pattern"),
    (replaced("run: small", "run: small\nnotify: {url_env: A, on: [dune]}"), "2: `on`: input should be 'done'"),
    (replaced("ask: author", "ask: autor"), "5: `autor` is not among the models; did you mean `author`?"),
    (replaced("ask: author, ", ""), "5: `topics`: a stage has one of `ask`, `sql`, `file` and `from`"),
    (
        replaced("ask: author", "ask: author, sql: x.sql"),
        "5: `topics`: a stage has one of `ask`, `sql`, `file` and `from`",
    ),
    (replaced("prompt: p/topics.md", "promt: x.md"), "5: `prompt` is missing in `topics`"),
    (replaced("prompt: p/topics.md", "promt: x.md"), "5: unknown key `promt`; did you mean `prompt`?"),
    (replaced(ROWS, ""), "5: `rows` is missing"),
    (replaced(ROWS, ROWS + ", schem: x"), "5: unknown key `schem`; did you mean `schema`?"),
    (replaced(ROWS, ROWS + ", samples: 0"), "5: `samples`: input should be greater than or equal to 1 (it is 0)"),
    (replaced(ROWS, ROWS + ", samples: '3'"), "5: `samples`: input should be a valid integer (it is '3')"),
    (replaced(ROWS, ROWS + ", samples: true"), "5: `samples`: input should be a valid integer (it is True)"),
    (replaced(ROWS, ROWS + ", rounds: {until: x.sql}"), "5: `max` is missing in `rounds`"),
    (replaced(ROWS, ROWS + ", retry: {truncated: {ceiling: 2}}"), "5: `ceiling`: must be a factor such as 2x"),
    (replaced(ROWS, ROWS + ", retry: {truncated: {ceiling: 0.5x}}"), "5: `ceiling`: input should be greater"),
    (replaced(ROWS, ROWS + ", retry: {truncatd: 1}"), "5: unknown key `truncatd`; did you mean `truncated`?"),
    (replaced(ROWS, ROWS + ", retry: {invalid: {ceiling: 2x}}"), "5: unknown key `ceiling`"),
    (replaced(ROWS, ROWS + ", retry: {invalid: -1}"), "5: `invalid`: input should be greater than or equal to 0"),
    (replaced(ROWS, ROWS + ", assume: {kept: 1.5}"), "5: `kept`: input should be less than or equal to 1"),
    (replaced(ROWS, ROWS + ", assume: {rows_per: {final: 2}}"), "5: `final` is not a stage above this one"),
    (replaced(ROWS, ROWS + ", breaker: 2"), "5: `breaker`: input should be less than or equal to 1 (it is 2)"),
    (replaced(ROWS, ROWS + ", breaker: -0.1"), "5: `breaker`: input should be greater than or equal to 0 (it is -0.1)"),
    (replaced(ROWS, ROWS + ", canary: -1"), "5: `canary`: input should be greater than or equal to 0"),
    (replaced(ROWS, ROWS + ", budget_usd: -1"), "5: `budget_usd`: input should be greater than or equal to 0"),
    (replaced(ROWS, ROWS + ", rounds: {max: 0}"), "5: `max`: input should be greater than or equal to 1"),
    (replaced(ROWS, ROWS + ", window: 0h"), "5: `window`: string should match pattern"),
    (replaced(ROWS, ROWS + ", fallback: {within: 0h}"), "5: `within`: string should match pattern"),
    (replaced(ROWS, ROWS + ", fallback: {usd_per_request: 0}"), "5: `usd_per_request`: input should be greater than 0"),
    (replaced(ROWS, ROWS + ", assume: {rows: -1}"), "5: `rows`: input should be greater than or equal to 0"),
    (replaced(ROWS, ROWS + ", assume: {kept: 0}"), "5: `kept`: input should be greater than 0"),
    (replaced(ROWS, ROWS + ", assume: {output_tokens: -1}"), "5: `output_tokens`: input should be greater than or"),
    (
        replaced("sql: p/final.sql", "ask: author, prompt: a.md, rows: b.sql, assume: {rows_per: {topics: 0}}"),
        "6: `topics`: input should be greater than 0",
    ),
    (
        replaced("sql: p/final.sql", "ask: author, prompt: a.md, rows: b.sql, assume: {rows_per: {topics: 1e10}}"),
        "6: `topics`: input should be less than or equal to",
    ),
    (
        replaced("model: gpt-6-luna", "model: x, max_output_tokens: 0"),
        "3: `max_output_tokens`: input should be greater",
    ),
    (replaced("model: gpt-6-luna", "model: x, context_tokens: 0"), "3: `context_tokens`: input should be greater"),
    (replaced("model: gpt-6-luna", "model: x, top_k: 0"), "3: `top_k`: input should be greater than or equal to 1"),
    (replaced("run: small", "run: small\nbudget: {usd_per_day: -1}"), "2: `usd_per_day`: input should be greater than"),
    (replaced("run: small", "run: small\nrehearsal: {speed: 0}"), "2: `rehearsal`: speed must be a number above 0"),
    (replaced("run: small", "run: small\nrehearsal: {speed: fast}"), "2: `rehearsal`: speed must be a number above 0"),
    (replaced("run: small", "run: small\nrehearsal: {seed: x}"), "2: `rehearsal`: seed must be a whole number"),
    (replaced("name: topics", "name: Topics"), "5: `name`: string should match pattern"),
    (replaced("name: topics", "name: answers"), "5: `answers` is a table of the engine's own"),
    (replaced("name: topics", "name: params"), "5: `params` is a table of the engine's own"),
    (replaced("name: topics", "name: select"), "5: `select` is a word of SQL"),
    (replaced("name: final", "name: topics"), "6: a stage named `topics` stands above already"),
    (replaced("p/topics.md", "../secret.md"), "5: `prompt`: must be a path below prompts/ or sql/"),
    (replaced("p/topics.md", "/etc/passwd"), "5: `prompt`: must be a path below prompts/ or sql/"),
    (replaced("p/topics.md", "p/./x.md"), "5: `prompt`: must be a path below prompts/ or sql/"),
    (replaced("p/final.sql", "a/../../b.sql"), "6: `sql`: must be a path below prompts/ or sql/"),
    (replaced("p/final.sql", "'a\\b.sql'"), "6: `sql`: must be a path below prompts/ or sql/"),
    (replaced("p/final.sql", "'c:/b.sql'"), "6: `sql`: must be a path below prompts/ or sql/"),
    (replaced("model: gpt-6-luna", "modell: x"), "3: unknown key `modell`; did you mean `model`?"),
    (replaced("model: gpt-6-luna", "model: x, effort: hihg"), "3: `effort`: input should be 'none'"),
    (replaced("model: gpt-6-luna", "model: x, temperature: 3"), "3: `temperature`: input should be less than"),
    (replaced("model: gpt-6-luna", "model: x, extra: {stream: true}"), "3: `extra` may not set `stream`"),
    (replaced("model: gpt-6-luna", "model: x, extra: {max_tokens: 1}"), "3: `extra` may not set `max_tokens`"),
    ("run: small\nstages: []\n", "2: `stages`: list should have at least 1 item"),
    ("run: small\nstages: [oops]\n", "2: `stages`: a stage has one of `ask`, `sql`, `file` and `from`"),
    ("", "1: a manifest is a mapping"),
    ("- a\n- b\n", "1: a manifest is a mapping"),
]


@pytest.mark.parametrize(("text", "expected"), PROBLEMS)
def test_one_problem(text: str, expected: str) -> None:
    assert any(line.startswith(expected) for line in problems(text)), problems(text)


def test_all_problems_are_told_in_the_order_of_the_file() -> None:
    text = """\
run: X
budgt: {usd: 1}
models:
  author: {provider: openai}
stages:
  - name: one
    ask: author
    prompt: ../a.md
    rows: r.sql
    samples: 0
  - {name: two}
"""
    with pytest.raises(InputError) as caught:
        check(text)
    lines = [int(line.split(":")[1]) for line in str(caught.value).splitlines()[1:]]
    assert lines == [1, 2, 4, 8, 10, 11]
    assert caught.value.where == "m.yaml"
    assert "6 problems" in caught.value.message
    assert caught.value.exit_code == 2


def test_an_entry_of_a_list_of_models_is_found() -> None:
    text = SMALL.replace(
        "{provider: openai, model: gpt-6-luna}", "\n    - {provider: a, model: b}\n    - {provider: c}"
    )
    assert problems(text) == ["5: `model` is missing in `author`"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("run: a\nrun: b\n", 2, "`run` is written twice (first on line 1)"),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", 4, "`b` is written twice (first on line 2)"),
        ("a: [1, 2\nb: 3\n", 2, "not valid YAML"),
        ("a: 1\n\tb: 2\n", 2, "not valid YAML"),
        ("a: 1\n--- \nb: 2\n", 2, "expected a single document"),
        ("a: .nan\n", 1, "not a usable number"),
        ("a: 1e999\n", 1, "not a usable number"),
        ("a: !!python/object/apply:os.system [x]\n", 1, "tag"),
        ("a: !secret x\n", 1, "tag !secret"),
        ("? [a, b]\n: 1\n", 1, "a key must be a word"),
        ('a: "\\ud800"\n', 1, "not a usable text"),
        ("a: &x [*x]\n", 1, "nested too deeply"),
        ("a: " + "[" * 61 + "]" * 61, 1, "nested too deeply"),
        ("<<: 3\n", 1, "`<<` takes a mapping"),
    ],
)
def test_unusable_yaml(text: str, line: int, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text, Path("m.yaml"))
    assert str(caught.value).startswith(f"m.yaml:{line}: ")
    assert words in str(caught.value)


def test_a_file_that_unfolds_for_ever_is_stopped() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
    )
    with pytest.raises(InputError, match="too large"):
        parse(bomb, Path("m.yaml"))


def test_control_characters() -> None:
    with pytest.raises(InputError, match="not valid YAML"):
        parse("a: \x01", Path("m.yaml"))


def test_words_stay_words() -> None:
    text = "a: {on: yes, off: No, n: ~, t: true, d: 2026-01-01, c: 12:30, i: -7, f: 1e3, o: 0o17, v: 1.2.3, 1: x}"
    assert parse(text, Path("m.yaml")).data == {
        "a": {
            "on": "yes",
            "off": "No",
            "n": None,
            "t": True,
            "d": "2026-01-01",
            "c": "12:30",
            "i": -7,
            "f": 1000.0,
            "o": "0o17",
            "v": "1.2.3",
            "1": "x",
        }
    }


def test_merged_mappings() -> None:
    document = parse("base: &b {q: 1, w: 2}\nz:\n  <<: *b\n  w: 3\n", Path("m.yaml"))
    assert document.data["z"] == {"q": 1, "w": 3}
    assert document.where("z", "w") == "m.yaml:4"
    assert document.where("z", "q") == "m.yaml:1"
    both = parse("a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b]}\n", Path("m.yaml"))
    assert both.data["c"] == {"x": 1, "y": 2}


def test_where_falls_back_to_what_is_around() -> None:
    document = parse("a:\n  b:\n    - x\n    - y: 1\n", Path("m.yaml"))
    assert document.where("a", "b", 1, "y") == "m.yaml:4"
    assert document.where("a", "b", 1, "absent") == "m.yaml:4"
    assert document.where("a", "b", 0) == "m.yaml:3"
    assert document.where("nothing") == "m.yaml:1"


TEXT = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"], exclude_characters="\x7f"), max_size=30)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(PLAIN)
def test_any_json_is_read_as_json_means_it(value: Any) -> None:
    """JSON is YAML; our reader's own scalars must not change that."""
    assert parse(json.dumps({"v": value}), Path("m.yaml")).data == {"v": value}


def test_load_reads_a_file_and_tells_when_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    with pytest.raises(InputError) as caught:
        manifest.load(path)
    assert caught.value.where == str(path)
    assert caught.value.hint is not None
    assert "init" in caught.value.hint
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.encode())  # a byte order mark is no reason to stop
    assert manifest.load(path)[0].run == "small"
    path.write_bytes(b"run: \xff")
    with pytest.raises(InputError, match="cannot be read"):
        manifest.load(path)
    with pytest.raises(InputError, match="cannot be read"):
        manifest.load(tmp_path)


@pytest.mark.skipif(not (SHARED / "design" / "house.md").exists(), reason="the design is not beside this checkout")
def test_the_manifest_of_the_house_loads() -> None:
    text = (SHARED / "design" / "house.md").read_text(encoding="utf-8")
    block = re.search(r"```yaml\n(run: .*?)```", text, re.DOTALL)
    assert block is not None
    whole = block[1].replace(", ...}", ", prompt: p.md, rows: r.sql}")
    said = check(whole)
    assert said.run == "chimera-9k"
    assert [stage.name for stage in said.stages][:3] == ["topics", "taxonomy", "problems"]
    assert said.notify is not None
    assert len(said.models["solver"]) == 2


def test_reserved_words_are_those_of_duckdb() -> None:
    import duckdb

    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'"
        ).fetchall()
    assert {word for (word,) in rows} == manifest.SQL_WORDS


@pytest.mark.parametrize("text", ["[" * 1500, '{"a":' * 1500, "- " * 1500, "? " * 1500])
def test_nesting_that_python_cannot_follow_is_an_error_with_its_file(text: str) -> None:
    """Found by fuzzing: the parser's recursion ended in a traceback."""
    with pytest.raises(InputError, match="nested too deeply") as caught:
        parse(text, Path("deep.yaml"))
    assert (caught.value.where or "").startswith("deep.yaml")
