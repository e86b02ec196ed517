"""In a rehearsal every line to type next is about the rehearsal: what errors and progress say, pasted as it stands."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from chimera_batch import api
from chimera_batch.cli.said import Said
from chimera_batch.errors import ChimeraError, InputError, NeedsDecision, ProviderRefused
from chimera_batch.history.counts import Standing
from chimera_batch.opening import Options
from chimera_batch.steps.submitting import check_breaker
from chimera_batch.verbs import deciding, shelves, stopping, tracing
from tests.cli_kit import project
from tests.support import Bench, answered, bench, write_project
from tests.test_cli_hints import SIDE, takes

pytestmark = pytest.mark.slow


@pytest.fixture
def one(tmp_path: Path) -> Bench:
    """A run with one batch under way, as ``--rehearse --store … --price …`` would have opened it."""
    found = bench(write_project(tmp_path))
    found.ctx = replace(found.ctx, rehearse=True, also=SIDE)
    found.go()
    return found


def typed(told: ChimeraError | str) -> list[str]:
    """The commands of an error's hint, or of a line of progress; each is one that our parser takes, of this side."""
    said = told if isinstance(told, str) else told.hint or ""
    lines = re.findall(r"chimera-batch .*", said)
    for line in lines:
        words = takes(line).find_object(Said)
        assert words is not None
        assert (words.rehearse, words.store, words.price) == (True, SIDE[1], (SIDE[3],)), line
    return [line.split()[1] for line in lines]


def refusal(one: Bench, shard: str | None = None) -> list[str]:
    with pytest.raises(InputError) as caught:
        deciding.resend(one.ctx, shard or one.pairs[0][0].id)
    return typed(caught.value)


def test_what_progress_says_of_a_batch_that_takes_too_long(one: Bench) -> None:
    one.clock.now += 27 * 3600
    one.go()
    assert typed(one.said[-1]) == ["cancel"]
    one.host.cancel = lambda batch: None  # type: ignore[method-assign]  # the provider takes note, and that is all
    deciding.cancel(one.ctx, one.pairs[0][0].id)
    one.clock.now += 3600
    one.go()
    assert typed(one.said[-1]) == ["resend"]


def test_what_a_person_is_told_who_decides_too_early(one: Bench) -> None:
    assert refusal(one, "nobody's") == ["status"]
    assert refusal(one) == ["cancel"]
    one.host.cancel = lambda batch: None  # type: ignore[method-assign]
    deciding.cancel(one.ctx, one.pairs[0][0].id)
    assert refusal(one) == ["status"]
    one.clock.now += 27 * 3600
    one.host.answer("batch-1", lambda line: answered(line["custom_id"]))
    assert refusal(one) == ["advance"]


def test_what_a_run_says_that_stopped(one: Bench) -> None:
    assert typed(stopping.short(one.ctx, one.go(), {})) == ["run"]
    one.host.trouble["state"] = [ProviderRefused("not found", status=404)]
    stopped = stopping.short(one.ctx, one.go(), {})
    assert isinstance(stopped, NeedsDecision)
    assert typed(stopped) == ["adopt", "resend"]


def test_what_a_query_could_have_asked_for(one: Bench) -> None:
    """``check``, which other errors name, looks at no query that a person typed."""

    def hint(sql: str) -> str:
        with pytest.raises(InputError) as caught, shelves.shelves(one.ctx) as tables:
            list(tables.query(sql))
        (verb,) = typed(caught.value)
        return f"{verb}: {caught.value.hint}"

    assert hint("SELEC 1").startswith("status: ")
    one.host.answer("batch-1", lambda line: answered(line["custom_id"]))
    assert one.go().done
    assert hint("SELECT nonsense FROM one").endswith(" 'DESCRIBE one'")


def test_rows_that_there_are(one: Bench) -> None:
    with pytest.raises(InputError) as caught:
        tracing.trace(one.ctx, "nowhere")
    assert typed(caught.value) == ["status"]
    one.host.answer("batch-1", lambda line: answered(line["custom_id"]))
    assert one.go().done
    with pytest.raises(InputError) as caught:
        tracing.trace(one.ctx, "nowhere")
    assert typed(caught.value) == ["query"]
    assert "SELECT row_key FROM one " in (caught.value.hint or "")


def test_a_stage_whose_answers_are_unusable_stops_unless_its_breaker_is_0(one: Bench) -> None:
    counts = Standing({}, {"ok": 9, "invalid": 11})
    with pytest.raises(NeedsDecision, match="only 9 of 20 answers are usable") as caught:
        check_breaker(one.ctx, one.stage, counts)
    assert typed(caught.value) == ["query", "retry"]
    check_breaker(one.ctx, replace(one.stage, breaker=0.45), counts)
    none = Standing({}, {"invalid": 20})
    check_breaker(one.ctx, replace(one.stage, breaker=0.0), none)


def test_before_a_run_is_open(tmp_path: Path) -> None:
    manifest = project(tmp_path)
    manifest.write_text(manifest.read_text("utf-8").replace("run:", "rnu:"), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        api.status(manifest, Options(store=SIDE[1], prices=[SIDE[3]], rehearse=True))
    assert typed(caught.value) == ["check"]
