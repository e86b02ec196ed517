"""Rounds and waves of a stage that falls back: closed ones stay what they were, the last one moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chimera_batch.verbs import statusing
from tests.fallback_kit import HERE, SAME, THERE, Two, two
from tests.support import answered, failed, write_project
from tests.test_waves import FILES, WAVES

ROWS = """\
-- Three rows a round, named after what came of the rounds before.
-- reads: previous
-- $round: this round
SELECT 'k' || $round || i AS row_key, 'round ' || $round || ' row ' || i || ' of ' || (
    SELECT coalesce(string_agg(outcome || coalesce(text, ''), ',' ORDER BY row_key), 'nothing') FROM previous
) AS q
FROM range(3) AS t (i)
"""
HEAD = "run: tiny\nstore: {store}\nparams: {{target: 6, most: 60, other: 1}}\nmodels:\n  m: [{models}]\nstages:\n"
ASK = "ask: m, prompt: tiny/one.md, fallback: {on: [expired]}"
ROUNDS = f"  - {{name: one, {ASK}, rows: tiny/one_rows.sql, rounds: {{max: 3}}}}\n"
WAVING = f"""\
  - {{name: drafts, {ASK}, rows: tiny/drafts_rows.sql, rounds: {WAVES}}}
  - {{name: judged, sql: tiny/judged.sql}}
  - {{name: good, sql: tiny/good.sql}}
"""
LISTS = {
    "two models": (HERE, THERE),
    "one model at two hosts": (HERE, SAME),
    "two models of one host": (HERE, "{provider: openai, model: tiny-2, max_output_tokens: 100}"),
}


def run_of(folder: Path, stages: str, models: tuple[str, ...], before: Two | None = None) -> Two:
    text = HEAD.format(store=folder / "store", models=", ".join(models)) + stages
    return two(write_project(folder, {**FILES, "sql/tiny/one_rows.sql": ROWS, "tiny.yaml": text}), before)


def question(line: dict[str, Any]) -> str:
    return str(line["body"]["messages"][-1]["content"])


def says(text: str, *, fails: str = "never") -> Any:
    """Answers everything; a question with ``fails`` in it is refused for good."""

    def make(line: dict[str, Any]) -> bytes:
        return failed(line["custom_id"]) if fails in question(line) else answered(line["custom_id"], text)

    return make


def rounds_of(run: Two, stage: str = "one") -> list[tuple[int, int]]:
    """(round, switches by then) as facts."""
    asked = run.one.ctx.facts.asked["tiny", stage]
    return [(number, asked[number].switches) for number in sorted(asked)]


@pytest.mark.parametrize("models", LISTS.values(), ids=LISTS)
def test_closed_rounds_keep_what_they_asked_given_up_or_not(tmp_path: Path, models: tuple[str, ...]) -> None:
    run = run_of(tmp_path, ROUNDS, models)
    run.one.go()
    run.end(says("here", fails="row 2"))  # a row of the first round is given up
    run.one.go()
    first = run.one.ctx.facts.asked["tiny", "one"][1]
    run.end(lambda line: answered(line["custom_id"], "here") if "row 0" in question(line) else None, "expired")
    run.one.go()
    assert len(run.switches) == 1 and rounds_of(run) == [(1, 0), (2, 1)]
    assert run.one.ctx.facts.asked["tiny", "one"][1] == first
    moved = run.asked_at("deepinfra") or run.asked_at("openai")[6:]
    assert moved == [f"Answer: round 2 row {n} of okhere,okhere,error" for n in (1, 2)]
    document = statusing.status(run.one.ctx)
    (stage,) = document["stages"]
    assert statusing.balances(document)
    assert (stage["answered"], stage["in_flight"], stage["given_up"]) == (3, 2, 1)
    for _ in range(4):
        for host in ("openai", "deepinfra"):
            run.end(says("there"), host=host)
        done = run.one.go().done
    assert done and rounds_of(run) == [(1, 0), (2, 1), (3, 1)]
    rows = {row["row_key"]: row["text"] for row in run.one.table()}
    assert rows == {
        **dict.fromkeys(("k10", "k11", "k20"), "here"),
        **dict.fromkeys(("k21", "k22", "k30", "k31", "k32"), "there"),
    }
    again = run_of(tmp_path, ROUNDS, models, run)
    before = len(again.one.pairs)
    assert again.one.go().done and len(again.one.pairs) == before, "another process finds nothing to do"


@pytest.mark.parametrize("models", LISTS.values(), ids=LISTS)
def test_the_last_wave_moves_with_its_very_rows(tmp_path: Path, models: tuple[str, ...]) -> None:
    """Eight drafts, three good; of the six further ones two are answered when their batch expires."""
    run = run_of(tmp_path, WAVING, models)

    def judge(line: dict[str, Any]) -> bytes:
        good = int(question(line).split()[-1]) % 3 == 0
        return answered(line["custom_id"], "good" if good else "bad")

    def some(line: dict[str, Any]) -> bytes | None:
        return judge(line) if int(question(line).split()[-1]) < 10 else None

    run.one.go()
    run.end(judge)
    run.one.go()
    assert rounds_of(run, "drafts") == [(1, 0), (2, 0)]
    run.end(some, "expired")
    run.one.go()
    switches = run.one.ctx.facts.switches["tiny", "drafts"]
    assert len(switches) == 1 and rounds_of(run, "drafts") == [(1, 0), (2, 1)]
    moved = run.asked_at("deepinfra") or run.asked_at("openai")[14:]
    assert sorted(moved) == [f"Answer: draft {n}" for n in (10, 11, 12, 13)]
    for _ in range(6):
        for host in ("openai", "deepinfra"):
            run.end(judge, host=host)
        done = run.one.go().done
    assert done and [row["row_key"] for row in run.one.table("good")] == [f"k{n:03}" for n in (0, 3, 6, 9, 12, 15)]
    asked = run.asked_at("openai") + run.asked_at("deepinfra")
    assert len(asked) == 8 + 6 + 4 + 2 and rounds_of(run, "drafts") == [(1, 0), (2, 1), (3, 1)]


def test_a_first_wave_that_is_the_last_moves_too(tmp_path: Path) -> None:
    run = run_of(tmp_path, WAVING, (HERE, THERE))
    run.one.go()
    run.end(lambda line: None, "expired")
    run.one.go()
    assert rounds_of(run, "drafts") == [(1, 1)] and len(run.asked_at("deepinfra")) == 8
