"""The record of quotes: when one is written, what it says, and what it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chimera_batch import runner
from chimera_batch.context import Context, Pilot
from chimera_batch.cost import prices
from chimera_batch.errors import InputError, MissingObject
from chimera_batch.history.facts import Quoted
from chimera_batch.pipeline import project as projects
from chimera_batch.stores.base import Store
from chimera_batch.verbs import piloting, quoted, quoting, statusing
from tests.pilot_kit import lognormal, piloted
from tests.support import Bench

SAME = lognormal(1, 300, 0.8)


def quotes(one: Bench, stage: str = "one") -> list[Quoted]:
    return one.ctx.facts.quotes.get(("tiny", stage), [])


def events(store: Store) -> int:
    return len(list(store.list("journal/")))


def edited(one: Bench, old: str, new: str, file: str = "tiny.yaml") -> Bench:
    """The same store and host after an edit of one of the project's files."""
    path = one.ctx.project.root / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return replace(one, ctx=replace(one.ctx, told=projects.load(one.ctx.project.root / "tiny.yaml")))


def sampled(one: Bench, requests: int) -> dict[str, Any]:
    """What ``pilot`` does."""
    stage, _ = piloting.prepare(one.ctx, None, requests)
    piloting.sample(one.ctx, stage, requests)
    found = piloting.document(one.ctx, stage)
    quoted.after_sample(one.ctx, found["estimate"])
    return found


# -- at the start of a run


def test_a_quote_says_what_the_estimate_says(tmp_path: Path) -> None:
    one = piloted(tmp_path, 50, SAME, stage=", assume: {output_tokens: 300}")
    (said,) = quoting.quote(one.ctx)["stages"]
    quoted.at_start(one.ctx, None)
    (quote,) = quotes(one)
    assert (quote.requests, quote.basis, quote.spent) == (50, said["basis"], Decimal(0))
    amounts = [float(part) for part in (quote.low, quote.likely, quote.high, quote.ceiling)]
    assert amounts == list(said["usd"].values())
    assert 0 < quote.low < quote.likely < quote.high < quote.ceiling
    assert quote.fingerprint == quoted.fingerprint(one.ctx)


def test_a_second_run_says_nothing_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = piloted(tmp_path, 50, SAME)
    quoted.at_start(one.ctx, None)
    before = events(one.ctx.store)
    monkeypatch.setattr(quoting, "quote", None)  # nor is anything counted: it takes seconds
    quoted.at_start(one.ctx, None)
    runner.advance(one.ctx)
    quoted.at_start(one.ctx, None)
    assert len(quotes(one)) == 1
    assert events(one.ctx.store) > before  # the runner's own


def test_what_was_shown_is_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = piloted(tmp_path, 50, SAME)
    shown = quoted.entries(one.ctx, quoting.quote(one.ctx))
    monkeypatch.setattr(quoting, "quote", None)  # it is not quoted once more
    quoted.at_start(one.ctx, shown)
    assert [format(quote.likely, "f") for quote in quotes(one)] == [shown[0]["usd"]["likely"]]


@pytest.mark.parametrize(
    ("old", "new", "file"),
    [
        ("max_output_tokens: 20000", "max_output_tokens: 100", "tiny.yaml"),
        ("tiny-1", "tiny-2", "tiny.yaml"),
        ("one_rows.sql", "one_rows.sql, assume: {output_tokens: 7}", "tiny.yaml"),
        ("one_rows.sql", "one_rows.sql, window: now", "tiny.yaml"),
        ("one_rows.sql", "one_rows.sql, samples: 2", "tiny.yaml"),
        ("\nmodels:", "\nparams: {a: 1}\nmodels:", "tiny.yaml"),
        ("range(50)", "range(60)", "sql/tiny/one_rows.sql"),
        ("Answer:", "Answer well:", "prompts/tiny/one.md"),
    ],
)
def test_another_manifest_is_quoted_anew(tmp_path: Path, old: str, new: str, file: str) -> None:
    one = piloted(tmp_path, 50, SAME)
    quoted.at_start(one.ctx, None)
    two = edited(one, old, new, file)
    assert quoted.is_due(two.ctx)
    again = edited(two, new, old, file)
    assert not quoted.is_due(again.ctx)  # back to what was quoted


@pytest.mark.parametrize(
    ("old", "new"), [("run: tiny\n", "# a word\nrun: tiny\n"), ("\nmodels:", "\nbudget: {usd: 9}\nmodels:")]
)
def test_comments_and_budgets_are_no_other_manifest(tmp_path: Path, old: str, new: str) -> None:
    one = piloted(tmp_path, 50, SAME)
    quoted.at_start(one.ctx, None)
    assert not quoted.is_due(edited(one, old, new).ctx)


def test_which_model_comes_first_is_no_other_manifest(tmp_path: Path) -> None:
    one = piloted(tmp_path, 50, SAME)
    (stage,) = one.ctx.project.stages
    calls = (stage.calls[0], replace(stage.calls[0], model="tiny-2"))
    marks = set()
    for order in (calls, calls[::-1]):
        changed = replace(one.ctx.project, stages=(replace(stage, calls=order),))
        marks.add(quoted.fingerprint(replace(one.ctx, told=changed)))
    assert len(marks) == 1 and marks != {quoted.fingerprint(one.ctx)}


def test_runs_of_one_store_are_quoted_apart(tmp_path: Path) -> None:
    one = piloted(tmp_path, 50, SAME)
    quoted.at_start(one.ctx, None)
    other = edited(one, "run: tiny\n", "run: other\n")
    assert quoted.is_due(other.ctx)
    quoted.at_start(other.ctx, None)
    assert {run for run, _ in one.ctx.ledger.refresh().quotes} == {"tiny", "other"}


def test_two_runners_quote_once(tmp_path: Path) -> None:
    one = piloted(tmp_path, 50, SAME)
    said = quoted.take(one.ctx)
    assert said is not None
    for _ in range(2):  # both found that it was due
        one.ctx.ledger.quoted("tiny", said, quoted.fingerprint(one.ctx), anew=False)
    assert len(quotes(one)) == 1


@pytest.mark.parametrize("error", [InputError("rows unknown"), MissingObject("runs/x"), ZeroDivisionError()])
def test_what_cannot_be_quoted_goes_on_without(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Context) -> Mapping[str, Any]:
        raise error

    one = piloted(tmp_path, 50, SAME)
    with monkeypatch.context() as patch:
        patch.setattr(quoting, "quote", fail)
        quoted.at_start(one.ctx, None)
        quoted.after_samples(one.ctx, ["one"])
    assert not one.ctx.facts.quotes
    told = [line for line in one.said if line == f"no quote was kept, so the bill will stand alone: {error}"]
    assert bool(told) is not isinstance(error, InputError), "the run ends with that one"
    quoted.at_start(one.ctx, None)  # as soon as it can be
    assert len(quotes(one)) == 1


def test_a_model_without_a_price_is_no_quote(tmp_path: Path) -> None:
    """The run will say so itself, in its own words."""
    one = piloted(tmp_path, 50, SAME)
    unpriced = replace(one.ctx, prices=prices.load(None, []))
    quoted.at_start(unpriced, None)
    assert not one.ctx.facts.quotes
    with pytest.raises(InputError, match="tiny-1"):
        runner.converge(unpriced)


def test_a_run_of_nothing_has_no_price(tmp_path: Path) -> None:
    one = piloted(tmp_path, 50, SAME)
    assert runner.converge(one.ctx).done  # by an older version
    before = events(one.ctx.store)
    quoted.at_start(one.ctx, None)
    assert events(one.ctx.store) == before


def test_what_is_under_way_is_part_of_the_quote(tmp_path: Path) -> None:
    one = piloted(tmp_path, 50, SAME)
    one.host.trouble["state"] = [None] * 9
    runner.advance(one.ctx)
    reserved = one.ctx.facts.reserved("tiny")
    assert reserved > 0
    quoted.at_start(one.ctx, None)
    (quote,) = quotes(one)
    assert (quote.requests, quote.ceiling, quote.spent) == (0, Decimal(0), reserved)
    assert not quoted.is_due(one.ctx)  # so it is not counted again on every pass


# -- after a sample


def test_a_sample_is_quoted_and_counts_from_then_on(tmp_path: Path) -> None:
    one = piloted(tmp_path, 700, SAME, stage=", assume: {output_tokens: 3000}")
    quoted.at_start(one.ctx, None)
    found = sampled(one, 100)
    first, second = quotes(one)
    assert (first.basis, second.basis) == ("counted input, assumed output", "pilot of 100")
    assert (second.requests, second.spent) == (600, one.ctx.facts.spent("tiny"))
    assert float(second.likely) == found["rest"]["usd"]["likely"]
    assert runner.converge(one.ctx).done
    (stage,) = statusing.status(one.ctx)["stages"]
    assert stage["quoted"]["basis"] == "pilot of 100" and stage["quoted"]["requests"] == 600
    assert stage["quoted"]["likely"] == pytest.approx(float(second.spent + second.likely))
    assert stage["quoted"]["low"] <= stage["usd_spent"] <= stage["quoted"]["high"] < float(first.likely)


def test_the_same_sample_is_not_quoted_twice(tmp_path: Path) -> None:
    one = piloted(tmp_path, 250, SAME)
    sampled(one, 50)
    sampled(one, 50)
    assert [quote.basis for quote in quotes(one)] == ["pilot of 50"]
    sampled(one, 100)
    assert [quote.basis for quote in quotes(one)] == ["pilot of 50", "pilot of 100"]


def test_a_run_after_a_pilot_needs_no_quote(tmp_path: Path) -> None:
    one = piloted(tmp_path, 110, SAME)
    sampled(one, 50)
    quoted.at_start(one.ctx, None)
    assert [quote.basis for quote in quotes(one)] == ["pilot of 50"]


@pytest.mark.parametrize("asked", [True, False])
def test_a_run_with_a_sample_quotes_the_rest(tmp_path: Path, asked: bool) -> None:
    one = piloted(tmp_path, 110, SAME)
    ctx = replace(one.ctx, pilot=Pilot(50))
    quoted.at_start(ctx, None)
    confirm = (lambda _: True) if asked else None
    assert piloting.converge(ctx, detach=False, confirm=confirm).done
    assert [(quote.basis, quote.requests) for quote in quotes(one)] == [("ceiling", 110), ("pilot of 50", 60)]


def test_cron_with_a_sample_quotes_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = piloted(tmp_path, 110, SAME)
    for _ in range(2):  # send the sample; collect it and send the rest
        ctx = replace(one.ctx, pilot=Pilot(50))
        quoted.at_start(ctx, None)
        piloting.converge(ctx, detach=True, confirm=None)
    assert [quote.basis for quote in quotes(one)] == ["ceiling", "pilot of 50"]
    monkeypatch.setattr(quoting, "quote", None)
    ctx = replace(one.ctx, pilot=Pilot(50))
    quoted.at_start(ctx, None)
    assert piloting.converge(ctx, detach=True, confirm=None).done


def test_a_no_after_the_sample_keeps_what_it_said(tmp_path: Path) -> None:
    one = piloted(tmp_path, 110, SAME)
    with pytest.raises(Exception, match="the sample of one is in"):
        piloting.converge(replace(one.ctx, pilot=Pilot(50)), detach=False, confirm=lambda _: False)
    assert [quote.basis for quote in quotes(one)] == ["pilot of 50"]


def test_most_of_a_stage_sampled_leaves_the_first_quote_standing(tmp_path: Path) -> None:
    """What is said when four fifths are paid is no forecast."""
    one = piloted(tmp_path, 100, SAME, stage=", assume: {output_tokens: 300}")
    quoted.at_start(one.ctx, None)
    sampled(one, 80)
    assert runner.converge(one.ctx).done
    found = one.ctx.facts.quoted("tiny", "one")
    assert found is not None and found.basis == "counted input, assumed output" and found.spent == Decimal(0)
