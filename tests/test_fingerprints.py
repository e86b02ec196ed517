"""Fingerprints: what shapes requests or tables changes them, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.pipeline.stage import Assume, Rounds, Rule, Source, Stage
from chimera_batch.records import Call
from chimera_batch.steps.fingerprints import digest, of_end, of_rendering, of_round, of_stage, of_wave

CALL = Call("openai", "/v1/chat/completions", "tiny-1", 100)


def source(text: str) -> Source:
    return Source("x", Path("x"), text)


STAGE = Stage(
    name="one",
    kind="ask",
    where="tiny.yaml:1",
    calls=(CALL,),
    prompt=source("{{ q }} {{ params.style }}"),
    rows=source("SELECT $topics, $round"),
    table=source("SELECT $kept FROM answers"),
    rounds=Rounds(3, source("SELECT count(*) > $target FROM previous")),
    retry={"truncated": Rule(1, 2.0), "invalid": Rule(1)},
)
PARAMS = {"style": "short", "topics": [1, 2], "kept": 3, "target": 4, "other": 5}
INPUTS = {"taxonomy": "abc"}


def call(**changes: Any) -> Callable[[Stage], Stage]:
    return lambda stage: replace(stage, calls=(replace(CALL, **changes),))


def stage(**changes: Any) -> Callable[[Stage], Stage]:
    return lambda old: replace(old, **changes)


REQUESTS: dict[str, Callable[[Stage], Stage]] = {
    "prompt": stage(prompt=source("{{ q }} please {{ params.style }}")),
    "rows": stage(rows=source("SELECT $topics, $round LIMIT 1")),
    "samples": stage(samples=2),
    "model": call(model="tiny-2"),
    "provider": call(provider="groq"),
    "effort": call(effort="high"),
    "temperature": call(temperature=0.5),
    "schema": call(schema="{}"),
    "ceiling": call(max_output_tokens=200),
    "extra": call(extra='{"seed":1}'),
}
TABLES: dict[str, Callable[[Stage], Stage]] = {
    "table query": stage(table=source("SELECT 1")),
    "no table query": stage(table=None),
    "until": stage(rounds=Rounds(3, source("SELECT true"))),
    "most rounds": stage(rounds=Rounds(4, STAGE.rounds.until if STAGE.rounds else None)),
    "rule": stage(retry={"truncated": Rule(2, 2.0), "invalid": Rule(1)}),
    "factor": stage(retry={"truncated": Rule(1, 4.0), "invalid": Rule(1)}),
}
NOTHING: dict[str, Callable[[Stage], Stage]] = {
    "place in the manifest": stage(where="tiny.yaml:99"),
    "path of a file": stage(prompt=Source("y", Path("y"), "{{ q }} {{ params.style }}")),
    "budget": stage(budget_usd=Decimal(1)),
    "assumptions": stage(assume=Assume(rows=9)),
    "canary": stage(canary=3),
    "breaker": stage(breaker=0.1),
    "window": stage(window="now"),
}


def marks(changed: Stage, params: dict[str, Any] | None = None, **said: Any) -> tuple[str, str]:
    params, inputs = PARAMS if params is None else params, said.get("inputs", INPUTS)
    return of_round(changed, params, inputs, said.get("previous", "")), of_stage(
        changed, params, inputs, said.get("retries", 0)
    )


@pytest.mark.parametrize("change", REQUESTS.values(), ids=REQUESTS)
def test_what_shapes_requests_changes_both(change: Callable[[Stage], Stage]) -> None:
    old, new = marks(STAGE), marks(change(STAGE))
    assert new[0] != old[0]
    assert new[1] != old[1]


@pytest.mark.parametrize("change", TABLES.values(), ids=TABLES)
def test_what_shapes_the_table_leaves_the_requests(change: Callable[[Stage], Stage]) -> None:
    old, new = marks(STAGE), marks(change(STAGE))
    assert new[0] == old[0]
    assert new[1] != old[1]


@pytest.mark.parametrize("change", NOTHING.values(), ids=NOTHING)
def test_nothing_else_counts(change: Callable[[Stage], Stage]) -> None:
    assert marks(change(STAGE)) == marks(STAGE)


@pytest.mark.parametrize(
    ("name", "requests", "table"),
    [
        ("topics", True, True),
        ("style", True, True),
        ("kept", False, True),
        ("target", False, True),
        ("other", False, False),
    ],
)
def test_a_parameter_counts_where_it_is_mentioned(name: str, requests: bool, table: bool) -> None:
    old, new = marks(STAGE), marks(STAGE, {**PARAMS, name: "changed"})
    assert (new[0] != old[0], new[1] != old[1]) == (requests, table)


def test_a_parameter_named_inside_another_word_is_not_mentioned() -> None:
    assert marks(STAGE, {**PARAMS, "topic": 1, "sty": 2}) == marks(STAGE)


def test_inputs_closed_rounds_and_retries() -> None:
    old = marks(STAGE)
    assert all(new != was for new, was in zip(marks(STAGE, inputs={"taxonomy": "def"}), old, strict=True))
    assert marks(STAGE, previous="abc")[0] != old[0]
    assert marks(STAGE, previous="abc")[1] == old[1]
    assert marks(STAGE, retries=1)[0] == old[0]
    assert marks(STAGE, retries=1)[1] != old[1]


def test_a_table_belongs_to_the_realm_of_its_answers() -> None:
    paid, mock = (
        of_stage(STAGE, PARAMS, INPUTS, 0, realm) for realm in ("openai@api.openai.com", "openai@127.0.0.1=8000")
    )
    assert paid != mock


def test_the_order_of_names_does_not_count() -> None:
    shuffled = replace(STAGE, retry=dict(reversed(STAGE.retry.items())))
    assert marks(shuffled, dict(reversed(PARAMS.items()))) == marks(STAGE)


def test_a_sql_stage_is_its_query_and_inputs() -> None:
    sql = Stage("two", "sql", "tiny.yaml:2", table=source("SELECT $kept FROM one"))
    old = of_stage(sql, PARAMS, INPUTS, 0)
    assert of_stage(replace(sql, table=source("SELECT 1")), PARAMS, INPUTS, 0) != old
    assert of_stage(sql, {**PARAMS, "kept": 9}, INPUTS, 0) != old
    assert of_stage(sql, {**PARAMS, "topics": 9}, INPUTS, 0) == old
    assert of_stage(sql, PARAMS, {"one": "x"}, 0) != old


def test_digests_are_pinned() -> None:
    """A change here makes every store's rounds be drawn and every table be made again."""
    assert digest([1, "ü", {"b": None, "a": 1.5}]) == "21184a304e3be443"
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert len(digest("")) == 16


# -- waves

WAVES = replace(STAGE, rounds=Rounds(3, source("SELECT count(*) > $target FROM kept"), "kept_rows", ("topics",)))


def test_a_param_that_sizes_rounds_leaves_closed_ones_alone() -> None:
    assert marks(WAVES, {**PARAMS, "topics": [9]}) == marks(WAVES)
    assert marks(WAVES, {**PARAMS, "style": "long"})[0] != marks(WAVES)[0]


@pytest.mark.parametrize(
    ("prompt", "counts"),
    [
        ("{{ q }} about {{ params.topics }}", True),
        ("{{ q }} {{ params['topics'] }}", True),
        ("{% for name in params %}{{ name }}{% endfor %}", True),
        ("{{ params | tojson }}", True),
        ("{{ q }} {{ params.style }} on these topics", False),
        ("{{ q }} {{ params.topics_of_old }}", False),
    ],
)
def test_a_param_that_the_prompt_shows_counts_all_the_same(prompt: str, counts: bool) -> None:
    shown = replace(WAVES, prompt=source(prompt))
    assert (marks(shown, {**PARAMS, "topics": [9]})[0] != marks(shown)[0]) is counts


def test_what_decides_about_further_waves_does_not_shape_the_table() -> None:
    assert WAVES.rounds is not None
    other = replace(WAVES, rounds=replace(WAVES.rounds, max=9, until=source("SELECT true")))
    assert marks(other, {**PARAMS, "target": 99}) == marks(WAVES)


def test_a_table_is_of_the_waves_that_were_asked() -> None:
    one, two, other = (of_stage(WAVES, PARAMS, INPUTS, 0, None, waves) for waves in (["a"], ["a", "a:b"], ["a", "a:c"]))
    assert len({one, two, other, of_stage(WAVES, PARAMS, INPUTS, 0)}) == 4


def test_all_waves_begin_alike() -> None:
    first = of_round(WAVES, PARAMS, INPUTS, "")
    later = {of_wave(first, previous, kept) for previous in ("p", "q") for kept in ("k", "l")}
    assert len(later) == 4 and {mark.partition(":")[0] for mark in later} == {first}


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"params": {**PARAMS, "target": 9}}, True),
        ({"params": {**PARAMS, "topics": [9]}}, True),  # of the rows query: there may be something new to ask
        ({"params": {**PARAMS, "other": 9}}, False),
        ({"table": "another"}, True),
        ({"kept": "another"}, True),
        ({"stage": replace(WAVES, rounds=Rounds(4, source("SELECT count(*) > $target FROM kept"), "kept_rows"))}, True),
    ],
)
def test_what_decides_about_another_wave(change: dict[str, Any], counts: bool) -> None:
    said = {"stage": WAVES, "params": PARAMS, "table": "table", "kept": "kept"}
    assert (of_end(**{**said, **change}) != of_end(**said)) is counts  # type: ignore[arg-type]  # by name, from a table


@pytest.mark.parametrize(
    ("prompt", "counts"),
    [
        ("{{ q }}", False),
        ("{{ params.style }} {{ q }}", True),
        ("{{ params | tojson }} {{ q }}", True),
        ("{% for name in params %}{{ name }}{% endfor %}", True),
        ("{{ params.other }} {{ q }}", False),
    ],
)
def test_what_a_prompt_shows_makes_its_requests_others(prompt: str, counts: bool) -> None:
    """Else the ids of rows that were asked with another parameter would be remembered."""
    one = replace(STAGE, prompt=source(prompt))
    columns = [("row_key", "VARCHAR"), ("q", "VARCHAR")]
    before, after = (of_rendering(one, {"style": style, "other": 1}, columns) for style in ("plain", "grand"))
    assert (before != after) == counts
    assert of_rendering(one, {}, columns) != of_rendering(one, {}, [*columns[:1], ("q", "INTEGER")])
