"""What each command hands to the api and prints of what comes back."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chimera_batch import api, errors
from chimera_batch.cli import showing, spans, watching
from chimera_batch.opening import Options
from tests.cli_kit import batch, call, estimate_document, project, status_document


class Recorder:
    """Stands in for a function of the api."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def __call__(self, *args: Any, **named: Any) -> Any:
        self.calls.append((args, named))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @property
    def options(self) -> Options:
        args, named = self.calls[-1]
        return next(value for value in [*args, *named.values()] if isinstance(value, Options))


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recorder]:
    def make(name: str, *answers: Any) -> Recorder:
        recorder = Recorder(*answers)
        monkeypatch.setattr(api, name, recorder)
        return recorder

    return make


# -- the global options


@pytest.mark.parametrize("split", range(0, 7, 2))
def test_global_options_before_and_after(split: int, stand_in: Callable[..., Recorder]) -> None:
    words = ["--store", "s3://b/p", "--price", "a/b=1,2", "--json", "--quiet"]
    recorder = stand_in("status", status_document())
    done = call(*words[:split], "status", "m.yaml", *words[split:])
    assert done.document == status_document()
    assert (recorder.options.store, recorder.options.prices) == ("s3://b/p", ("a/b=1,2",))
    assert recorder.calls[0][0][0] == Path("m.yaml")


def test_prices_add_up_and_the_later_store_wins(stand_in: Callable[..., Recorder]) -> None:
    recorder = stand_in("status", status_document())
    call("--price", "a/b=1,2", "--store", "x", "status", "m.yaml", "--price", "c/d=3,4", "--store", "y")
    assert (recorder.options.store, recorder.options.prices) == ("y", ("a/b=1,2", "c/d=3,4"))


def test_a_variable_that_is_not_set_is_no_store(stand_in: Callable[..., Recorder]) -> None:
    stand_in("status", status_document())
    done = call("status", "m.yaml", "--store", "")  # not the manifest's
    assert done.code == 2 and "it is empty" in done.err


@pytest.mark.parametrize("flags", [[], ["--quiet"]])
def test_progress_goes_to_stderr_unless_quiet(flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_manifest: Path, options: Options, **_: Any) -> dict[str, Any]:
        options.say("sent \x1b[31m5")
        return status_document(state="done")

    monkeypatch.setattr(api, "run", run)
    done = call("run", "m.yaml", "--yes", "--json", *flags)
    assert done.document["state"] == "done"
    assert done.err == ("" if flags else "sent 5\n")


# -- run and advance


def test_run_hands_everything_on(stand_in: Callable[..., Recorder]) -> None:
    recorder = stand_in("run", status_document())
    call("run", "m.yaml", "--yes", "--max-usd", "$12.50", "--until", "drafts", "--detach", "--rehearse")
    assert recorder.options.max_usd == Decimal("12.50")
    assert recorder.options.rehearse
    assert recorder.calls[0][1] == {"confirm": None, "until": "drafts", "detach": True}


def test_advance_asks_nothing(stand_in: Callable[..., Recorder]) -> None:
    recorder = stand_in("advance", status_document())
    assert call("advance", "m.yaml", "--rehearse").code == 0
    assert recorder.options.rehearse


def asked(answers: list[bool]) -> Callable[..., dict[str, Any]]:
    """An ``api.run`` that asks before it sends, as the real one does."""

    def run(manifest: Path, options: Options, *, confirm: Any, **_: Any) -> dict[str, Any]:
        if confirm is not None:
            answers.append(confirm(estimate_document()))
            if not answers[-1]:
                raise errors.NeedsDecision("nothing was sent", hint=f"chimera-batch run {manifest} --yes")
        return status_document(state="done")

    return run


def test_run_without_a_terminal_shows_the_price_and_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[bool] = []
    monkeypatch.setattr(api, "run", asked(answers))
    done = call("run", "m.yaml", "--store", "here", typed="y\n")
    assert (done.code, answers) == (4, [False])
    assert "likely $2.00 ($1.00 to $4.00), at most $4.50" in done.out
    assert done.err == "your decision: nothing was sent\n  chimera-batch run m.yaml --yes\n"


def test_run_as_json_never_asks_and_tells_the_price(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[bool] = []
    monkeypatch.setattr(api, "run", asked(answers))
    monkeypatch.setattr(showing, "answerable", lambda: True)
    done = call("run", "m.yaml", "--json", typed="y\n")
    assert (done.code, answers) == (4, [False])
    assert done.document["estimate"] == estimate_document()
    assert done.error["hint"] == "chimera-batch run m.yaml --yes"


@pytest.mark.parametrize(("typed", "code", "sent"), [("y\n", 0, True), ("n\n", 4, False), ("\n", 4, False)])
def test_run_on_a_terminal_asks(typed: str, code: int, sent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[bool] = []
    monkeypatch.setattr(api, "run", asked(answers))
    monkeypatch.setattr(showing, "answerable", lambda: True)
    done = call("run", "m.yaml", typed=typed)
    assert (done.code, answers) == (code, [sent])
    assert "for about $2.00, at most $4.50?" in done.err
    assert "verdicts" in done.out


def test_the_end_of_the_input_is_no_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "run", asked([]))
    monkeypatch.setattr(showing, "answerable", lambda: True)
    assert call("run", "m.yaml", typed="").code == 130


@pytest.mark.parametrize("flag", ["--yes", "--rehearse"])
def test_with_yes_or_a_rehearsal_nothing_is_asked(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[bool] = []
    monkeypatch.setattr(api, "run", asked(answers))
    assert (call("run", "m.yaml", flag).code, answers) == (0, [])


# -- the one screen


def test_the_screen_has_every_figure(stand_in: Callable[..., Recorder]) -> None:
    stand_in("run", status_document(state="done"))
    done = call("run", "m.yaml", "--yes")
    lines = done.out.splitlines()
    assert lines[0] == "run tiny · done · store ./runs"
    by_stage = {line.split()[0]: line.split()[1:] for line in lines[1:] if line.strip()}
    counts = ["wanted", "answered", "in", "flight", "to", "send", "given", "up"]
    assert by_stage["stage"] == [*counts, "rows", "spent", "quoted"]
    assert by_stage["drafts"] == ["10", "4", "3", "2", "1", "-", "$1.25", "$2.50"]
    assert by_stage["dataset"] == ["-", "-", "-", "-", "-", "4", "-", "-"]
    assert by_stage["total"] == ["10", "4", "3", "2", "1", "$1.25", "$2.50"]
    assert "drafts: $1.25 of a quoted $2.00 to $3.00 (pilot of 200); wasted: $0.0100 on 1 refused" in lines
    assert "spent $1.25, $0.5000 reserved, budget $5.00" in lines
    assert "drafts: 1 refused" in lines
    assert "drafts: given up: cut at 100 output tokens" in lines
    assert "drafts: 2 answers to rows that are no longer asked for" in lines
    assert lines[-2] == "next:  chimera-batch query -m m.yaml 'SELECT * FROM dataset LIMIT 10'"
    assert lines[-1].strip() == "chimera-batch retry m.yaml   # asks again what was given up"
    assert "REHEARSAL" not in done.out


def bill(**changes: Any) -> list[str]:
    """The lines about the stage that asks, of a screen with these changes to it."""
    asking, joining = status_document()["stages"]
    document = status_document(stages=[asking | changes, joining])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "run", lambda *_, **__: document)
        return [line for line in call("run", "m.yaml", "--yes").out.splitlines() if "drafts: $" in line]


QUOTED = {"low": 2.0, "likely": 2.4, "high": 3.0, "ceiling": 9.0, "requests": 10}
DONE = {"rows": 8, "answered": 9, "given_up": 1, "in_flight": 0, "packed": 0, "retryable": 0, "rows_kept": 8}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"usd_spent": 0.0}, []),
        ({"usd_spent": 1.99, "wasted": {}}, ["drafts: $1.99 of a quoted $2.00 to $3.00 (pilot of 200)"]),
        (
            {
                **DONE,
                "usd_spent": 1.99,
                "wasted": {},
                "usd_per_kept_row": None,
                "quoted": {**QUOTED, "basis": "assumed"},
            },
            ["drafts: $1.99, below the quoted $2.00 to $3.00 (assumed)"],
        ),
        ({"usd_spent": 3.01, "wasted": {}}, ["! drafts: $3.01, above the quoted $2.00 to $3.00 (pilot of 200)"]),
        (
            {**DONE, "usd_spent": 1.99, "wasted": {}, "usd_per_kept_row": 0.24875},
            ["! drafts: $1.99, below the quoted $2.00 to $3.00 (pilot of 200); $0.2488 a kept row"],
        ),
        (
            {**DONE, "usd_spent": 2.5, "wasted": {}, "usd_per_kept_row": 0.00001},
            ["drafts: $2.50 of a quoted $2.00 to $3.00 (pilot of 200); <$0.0001 a kept row"],
        ),
        ({"quoted": None, "wasted": {}}, ["drafts: $1.25"]),
        (
            {
                "quoted": None,
                "wasted": {
                    "invalid": {"requests": 31, "tokens": 9, "usd": 0.4},
                    "truncated": {"requests": 1210, "tokens": 9, "usd": 3.2},
                },
            },
            ["drafts: $1.25; wasted: $3.20 on 1,210 truncated, $0.4000 on 31 invalid"],
        ),
    ],
)
def test_a_bill_beside_its_quote(changes: dict[str, Any], said: list[str]) -> None:
    assert bill(**changes) == said


def test_a_total_is_quoted_only_if_every_stage_was(stand_in: Callable[..., Recorder]) -> None:
    asking, joining = status_document()["stages"]
    stand_in("run", status_document(stages=[asking, asking | {"stage": "more", "quoted": None}, joining]))
    rows = {line.split()[0]: line.split()[-1] for line in call("run", "m.yaml", "--yes").out.splitlines() if line}
    assert (rows["drafts"], rows["more"], rows["total"]) == ("$2.50", "-", "-")


def test_a_rehearsal_says_so(stand_in: Callable[..., Recorder]) -> None:
    stand_in("run", status_document(state="done", rehearsal=True))
    out = call("run", "m.yaml", "--rehearse").out
    assert "REHEARSAL: nothing was paid; answers are invented" in out.splitlines()
    assert "query --rehearse -m m.yaml" in out


def test_no_budget_is_said(stand_in: Callable[..., Recorder]) -> None:
    stand_in("run", status_document(budget=None, usd_reserved=0.0))
    assert "spent $1.25, no budget set" in call("run", "m.yaml", "--yes").out


# -- status


def test_status_lists_the_batches_under_way_and_what_to_type(stand_in: Callable[..., Recorder]) -> None:
    document = status_document()
    document["stages"][0]["batches"].append(batch("drafts-3", 2, "lost", reason="the reply was lost"))
    stand_in("status", document)
    out = call("status", "m.yaml").out
    assert "batch_drafts-2" in out
    assert "1 of 5" in out
    assert "batch_drafts-1" not in out  # landed
    assert "drafts-3" not in out  # nobody works on it
    assert out.splitlines()[-1] == "next:  chimera-batch run m.yaml"


def test_status_shows_what_needs_a_person(stand_in: Callable[..., Recorder]) -> None:
    needs, choices = ["drafts-1: \x1b[31mtwo could be it"], ["chimera-batch adopt …", "chimera-batch resend …"]
    stand_in("status", status_document(state="stuck", needs=needs, choices=choices))
    out = call("status", "m.yaml").out
    assert "needs you: drafts-1: two could be it" in out
    assert out.splitlines()[-2:] == ["next:  chimera-batch adopt …", "       chimera-batch resend …"]


def landed(in_flight: int) -> dict[str, Any]:
    document = status_document()
    document["stages"][0]["in_flight"] = in_flight
    return document


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch that does not wait between two looks, nor for somebody to go on."""
    monkeypatch.setattr(watching, "SECONDS", 0)
    monkeypatch.setattr(watching, "QUIET", 0)


SHORT = {"message": "drafts: 6 requests not sent", "hint": "chimera-batch run m.yaml --max-usd 9"}


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("end", "code"),
    [
        ({"state": "done"}, 0),
        ({"state": "unfinished", "over_budget": SHORT}, 3),
        ({"state": "stuck"}, 4),
        ({"state": "unfinished", "halted": True}, 4),
        ({"state": "unfinished"}, 5),
        ({"state": "new"}, 5),
    ],
)
def test_watch_looks_until_the_run_is_at_its_end_and_exits_as_it_does(
    end: dict[str, Any], code: int, stand_in: Callable[..., Recorder]
) -> None:
    over = landed(0) | end
    recorder = stand_in("status", landed(2), landed(2), landed(1), over)
    done = call("status", "m.yaml", "--watch")
    assert (done.code, len(recorder.calls)) == (code, 4)
    lines = [line for line in done.out.splitlines() if " UTC  tiny " in line]
    assert len(lines) == 3  # the second look had nothing new
    assert lines[0].endswith("tiny waiting: drafts 4 of 10 (2 in flight); spent $1.25")
    assert done.out.count("run tiny") == 1  # the screen, at the end


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(("state", "code"), [("done", 0), ("stuck", 4)])
def test_watch_as_json_is_one_document(state: str, code: int, stand_in: Callable[..., Recorder]) -> None:
    over = landed(0) | {"state": state}
    stand_in("status", landed(1), over)
    done = call("status", "m.yaml", "--watch", "--json")
    assert (done.document, done.code) == (over, code)


def test_watch_waits_for_a_run_between_two_batches(
    stand_in: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SECONDS", 0)
    moving = landed(0) | {"state": "unfinished"}  # a runner renders the next stage: nothing is in flight
    recorder = stand_in("status", moving, moving, landed(3), landed(0) | {"state": "done"})
    assert call("status", "m.yaml", "--watch").code == 0
    assert len(recorder.calls) == 4


def test_a_watch_does_not_wait_where_a_person_can_go_on(
    stand_in: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for a minute of silence: only what is under way is waited for."""
    monkeypatch.setattr(watching, "SECONDS", 0)
    for end in ({"over_budget": SHORT}, {"halted": True}):
        recorder = stand_in("status", landed(3) | end, landed(0) | {"state": "unfinished"} | end)
        assert call("status", "m.yaml", "--watch").code in {3, 4}
        assert len(recorder.calls) == 2


@pytest.mark.parametrize("stopped", [{"over_budget": SHORT}, {"halted": True}])
def test_a_watch_beside_a_run_that_goes_on_is_not_ended_by_how_the_one_before_ended(
    stopped: dict[str, Any], stand_in: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SECONDS", 0)
    before = landed(0) | {"state": "unfinished"} | stopped
    recorder = stand_in("status", before, before, landed(3), landed(0) | {"state": "done"})
    assert call("status", "m.yaml", "--watch").code == 0
    assert len(recorder.calls) == 4


def test_the_minutes_to_midnight_are_no_move(
    stand_in: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SECONDS", 0)
    hints = [SHORT | {"hint": f"chimera-batch run m.yaml   # from 00:00 UTC on, in {left} min"} for left in (9, 8)]
    before = [landed(0) | {"state": "unfinished", "over_budget": hint} for hint in hints]
    recorder = stand_in("status", *before, landed(3), landed(0) | {"state": "done"})
    assert call("status", "m.yaml", "--watch").code == 0
    assert len(recorder.calls) == 4


def test_a_watch_ends_where_nobody_goes_on(stand_in: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "QUIET", 0)
    stand_in("status", landed(0) | {"state": "unfinished", "over_budget": SHORT})
    assert call("status", "m.yaml", "--watch").code == 3


def test_what_a_budget_stopped_is_told_with_the_lines_that_go_on(stand_in: Callable[..., Recorder]) -> None:
    stand_in("status", landed(0) | {"state": "unfinished", "over_budget": SHORT})
    out = call("status", "m.yaml").out
    assert "over budget: drafts: 6 requests not sent" in out
    assert "next:  chimera-batch run m.yaml --max-usd 9" in out


def test_a_cancelled_run_says_so(stand_in: Callable[..., Recorder]) -> None:
    stand_in("status", landed(0) | {"state": "unfinished", "halted": True})
    assert "cancelled: nothing more is sent until" in call("status", "m.yaml").out
    stand_in("status", landed(0) | {"state": "done", "halted": True})
    assert "cancelled" not in call("status", "m.yaml").out, "it had nothing left to send"


def test_watch_is_ended_by_ctrl_c(stand_in: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watching.time, "sleep", interrupt)
    stand_in("status", landed(1))
    assert call("status", "m.yaml", "--watch").code == 130


def test_a_batch_under_way_says_when_it_is_expected_back(stand_in: Callable[..., Recorder]) -> None:
    document = status_document()
    under_way = document["stages"][0]["batches"][1]
    stand_in("status", document)
    assert "no history" in call("status", "m.yaml").out
    under_way |= {"expected_at": time.time() + 4000, "expected_basis": "median of 3 past batches"}
    assert "in 1 h 6 min (median of 3 past batches)" in call("status", "m.yaml").out
    under_way |= {"expected_at": None, "expected_basis": "later than all of 3 past batches"}
    assert "later than all of 3 past batches" in call("status", "m.yaml").out


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "0 s"), (59.4, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (11_400, "3 h 10 min"),
     (86_400, "1 d"), (190_000, "2 d 4 h")],
)  # fmt: skip
def test_spans(seconds: float, said: str) -> None:
    assert spans.span(seconds) == said


def test_without_watch_there_is_one_look(stand_in: Callable[..., Recorder]) -> None:
    recorder = stand_in("status", landed(1))
    call("status", "m.yaml")
    assert len(recorder.calls) == 1


@pytest.mark.parametrize("rehearsed", [True, False])
def test_status_of_the_last_run(rehearsed: bool, stand_in: Callable[..., Recorder]) -> None:
    stand_in("last_run", ("/p/last.yaml", rehearsed))
    recorder = stand_in("status", status_document(rehearsal=rehearsed))
    done = call("status")
    assert recorder.calls[0][0][0] == Path("/p/last.yaml")
    assert (recorder.options.rehearse, recorder.options.store) == (rehearsed, "./runs")
    assert ("--rehearse" in done.out) == rehearsed


def test_status_of_no_run(tmp_path: Path) -> None:
    done = call("status", "--store", tmp_path / "none", "--json")
    assert done.code == 2
    assert "no run yet" in done.error["message"]


# -- estimate


def test_estimate_prints_the_table(stand_in: Callable[..., Recorder]) -> None:
    stand_in("plan", estimate_document())
    lines = call("estimate", "m.yaml").out.splitlines()
    assert lines[0].split() == [
        "stage", "model", "requests", "input", "output", "low", "likely", "high", "ceiling", "synchronous", "basis",
    ]  # fmt: skip
    assert lines[-5:] == [
        "likely $2.00 ($1.00 to $4.00), at most $4.50; asked one by one: $4.00",
        "turnarounds (nights), one after the other: 2 to 3; at most 72 h",
        "budget $5.00, of which $4.50 is left",
        "prices as of 2026-11-09",
        "warning: a model will be shut down",
    ]


def test_estimate_names_the_stages_that_are_cheap_to_hurry(stand_in: Callable[..., Recorder]) -> None:
    now = [
        {"stage": "drafts", "turnarounds_saved": 2, "usd_extra": 0.2},
        {"stage": "verdicts", "turnarounds_saved": 1, "usd_extra": 0.21},  # above a tenth of the likely total
    ]
    stand_in("plan", estimate_document(now=now, hours={"likely": 5.25, "max": 72.0}))
    out = call("estimate", "m.yaml").out
    assert "window: now for drafts would save 2 turnarounds and cost $0.2000 more" in out
    assert "for verdicts" not in out
    assert "2 to 3; about 5.2 h as batches took so far, at most 72 h" in out


def test_estimate_says_how_long_machines_of_ones_own_work(stand_in: Callable[..., Recorder]) -> None:
    found = estimate_document()
    for stage, hours in zip(found["stages"], (2.5, 0.75), strict=True):
        stage["machine_hours"] = hours
    stand_in("plan", found)
    assert "beside that, machines of your own work about 3 h 15 min, at" in call("estimate", "m.yaml").out


def test_without_a_budget_the_ceiling_is_the_most(stand_in: Callable[..., Recorder]) -> None:
    stand_in("plan", estimate_document(budget=None, budget_left=None))
    out = call("estimate", "m.yaml").out
    assert "at most $8.00" in out
    assert "no budget is set" in out


def test_estimate_as_csv(stand_in: Callable[..., Recorder]) -> None:
    stand_in("plan", estimate_document())
    rows = list(csv.DictReader(io.StringIO(call("estimate", "m.yaml", "--csv").out)))
    assert [row["stage"] for row in rows] == ["drafts", "verdicts"]
    assert (rows[0]["requests"], rows[0]["usd_low"], rows[0]["usd_ceiling"]) == ("10", "1.0", "8.0")
    assert (rows[0]["sync_usd"], rows[0]["basis"]) == ("4.0", "assumed")


def test_estimate_as_csv_runs_no_name_as_a_formula(stand_in: Callable[..., Recorder]) -> None:
    """A manifest may be somebody else's, and the model's name is any text in it."""
    document = estimate_document()
    document["stages"][0] |= {"model": "=cmd|' /C calc'!A0", "basis": "@SUM(1)"}
    stand_in("plan", document)
    (row, _) = csv.DictReader(io.StringIO(call("estimate", "m.yaml", "--csv").out))
    assert (row["model"], row["basis"]) == ("'=cmd|' /C calc'!A0", "'@SUM(1)")
    assert (row["requests"], row["usd_low"]) == ("10", "1.0")


# -- pilot


def pilot_document(**changes: Any) -> dict[str, Any]:
    """A pilot's document as ``piloting.document`` writes it."""
    rest = estimate_document()["stages"][0]
    return {
        "run": "tiny",
        "rehearsal": False,
        "stage": "drafts",
        "provider": "openai",
        "model": "gpt",
        "wanted": 500,
        "left": 400,
        "n": 100,
        "basis": "pilot of 100",
        "ok": 97,
        "input_tokens": {"mean": 120.0, "counted": 118.0},
        "output_tokens": {"low": 900.0, "mean": 1000.0, "high": 1150.0, "p50": 800, "p95": 2500, "max": 4000},
        "truncated": {"requests": 4, "low": 0.016, "mean": 0.04, "high": 0.098},
        "usd_per_request": {"low": 0.0045, "mean": 0.005, "high": 0.0058},
        "kept": {"rows": 90, "low": 0.826, "mean": 0.9, "high": 0.945},
        "usd_per_kept_row": 0.00556,
        "usd_spent": 0.5,
        "rest": rest,
        "estimate": estimate_document(),
        **changes,
    }


def test_pilot_says_what_a_request_and_a_kept_row_cost(stand_in: Callable[..., Recorder]) -> None:
    recorder = stand_in("pilot", pilot_document())
    out = call("pilot", "m.yaml", "--stage", "drafts", "-n", "100", "--yes").out
    (path, stage, requests, _), how = recorder.calls[0]
    assert (path, stage, requests, how) == (Path("m.yaml"), "drafts", 100, {"confirm": None})
    assert "drafts · openai/gpt · pilot of 100 of 500 requests" in out
    lines = {line.split("  ")[0]: line for line in out.splitlines()}
    assert "900 to 1,150" in lines["output tokens"]
    assert "4.0%" in lines["truncated"]
    assert "$0.0045 to $0.0058" in lines["a request"]
    assert "$0.0056" in lines["a kept row"]
    assert "the rest: 10 requests, likely $2.00 ($1.00 to $4.00), at most $8.00 (assumed)" in out
    assert "next:  chimera-batch run m.yaml" in out


def test_the_rest_of_a_pilot_goes_to_the_same_store_under_the_same_cap(stand_in: Callable[..., Recorder]) -> None:
    stand_in("pilot", pilot_document())
    out = call("pilot", "m.yaml", "--yes", "--store", "s 1", "--max-usd", "12.50").out
    assert out.splitlines()[-1] == "next:  chimera-batch run --store 's 1' m.yaml --max-usd 12.50"


def test_a_pilot_of_lists_says_rows_a_request(stand_in: Callable[..., Recorder]) -> None:
    stand_in("pilot", pilot_document(kept={"rows": 700, "low": None, "mean": 7.0, "high": None}))
    assert re.search(r"rows a request\s+7\.00\s+700 rows", call("pilot", "m.yaml", "--yes").out)


def test_a_pilot_with_too_few_answers_has_no_figures(stand_in: Callable[..., Recorder]) -> None:
    stand_in("pilot", pilot_document(n=0, basis="fewer than 30 answers: no point estimate"))
    out = call("pilot", "m.yaml", "--yes").out
    assert "no point estimate" in out
    assert "output tokens" not in out


def test_pilot_asks_first(monkeypatch: pytest.MonkeyPatch) -> None:
    offer = {"run": "tiny", "stage": "drafts", "model": "gpt", "pilot": 100, "usd": {"likely": 0.5, "ceiling": 2.0}}
    answers = []

    def pilot(*_: Any, confirm: Any) -> dict[str, Any]:
        answers.append(confirm(offer))
        raise errors.NeedsDecision("nothing was sent", hint="chimera-batch pilot m.yaml --stage drafts --yes")

    monkeypatch.setattr(api, "pilot", pilot)
    done = call("pilot", "m.yaml", typed="y\n")
    assert (done.code, answers) == (4, [False])
    assert "Send a sample of 100 requests of drafts to gpt, for about $0.5000, at most $2.00?" in done.out
    told = json.loads(call("pilot", "m.yaml", "--json").out)
    assert told["pilot"] == offer


def test_a_size_without_a_pilot_is_refused() -> None:
    done = call("run", "m.yaml", "-n", "5")
    assert (done.code, "-n goes with --pilot" in done.err) == (2, True)


@pytest.mark.parametrize(("until", "warned"), [(None, False), ("answers_of", True), ("whole", False)])
def test_the_price_of_more_than_will_be_asked_says_so(tmp_path: Path, until: str | None, warned: bool) -> None:
    manifest = project(tmp_path)
    manifest.write_text(manifest.read_text("utf-8") + "  - {name: whole, sql: tiny/whole.sql}\n", encoding="utf-8")
    table = "-- All.\n-- reads: answers_of\nSELECT row_key FROM answers_of\n"
    (tmp_path / "sql" / "tiny" / "whole.sql").write_text(table, encoding="utf-8")
    done = call("run", manifest, *(("--until", until) if until else ()))
    assert done.code == 4, done.err
    assert ("this is the price of the whole run; it stops when answers_of is made" in done.out) == warned


def test_a_sample_of_none_is_no_sample(tmp_path: Path) -> None:
    done = call("run", project(tmp_path), "--pilot", "-n", "0")
    assert done.code == 2 and "a sample of 0 says nothing" in done.err


def test_estimate_names_the_caps(stand_in: Callable[..., Recorder]) -> None:
    stand_in("plan", estimate_document(budget_day=2.0))
    assert "budget $5.00, of which $4.50 is left, $2.00 a day" in call("estimate", "m.yaml").out
    stand_in("plan", estimate_document(budget=None, budget_left=None, budget_day=2.0))
    assert "no budget is set but a cap of the day: $2.00 a day" in call("estimate", "m.yaml").out


def test_run_with_a_pilot_shows_what_the_sample_said(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def run(manifest: Path, options: Options, *, confirm: Any, **_: Any) -> dict[str, Any]:
        seen.append(options.sample)
        assert not confirm({**estimate_document(), "pilots": [pilot_document()]})
        raise errors.NeedsDecision("the sample of drafts is in; the rest was not sent")

    monkeypatch.setattr(api, "run", run)
    done = call("run", "m.yaml", "--pilot", "-n", "200")
    assert (done.code, seen) == (4, [200])
    assert "pilot of 100 of 500 requests" in done.out
    assert "Send the rest, for about $2.00, at most $4.50?" in done.out


def test_estimate_by_its_ceiling(stand_in: Callable[..., Recorder]) -> None:
    stand_in("plan", estimate_document())
    head = call("estimate", "m.yaml", "--ceiling").out.splitlines()[0].split()
    assert head == ["stage", "model", "requests", "input", "output", "ceiling", "basis"]


def test_estimate_explained(stand_in: Callable[..., Recorder]) -> None:
    stand_in("plan", estimate_document())
    out = call("estimate", "m.yaml", "--explain").out
    assert "saved in drafts: batch price: $2.00   (off with: window: now)" in out
    assert "only what failed is asked again" in out
    assert call("estimate", "m.yaml", "--explain", "--json").document == estimate_document()


def test_estimate_as_json_is_the_api_s_document(stand_in: Callable[..., Recorder]) -> None:
    stand_in("plan", estimate_document())
    assert call("estimate", "m.yaml", "--json").document == estimate_document()


# -- what a person decides


DECISIONS: list[tuple[list[str], tuple[str, Any, tuple[Any, ...]], dict[str, Any], str]] = [
    (["cancel", "m.yaml"], ("cancel", ["s: b"], (None,)), {"cancelled": ["s: b"]}, "asked to stop: s: b"),
    (["cancel", "m.yaml", "--shard", "s"], ("cancel", [], ("s",)), {"cancelled": []}, "nothing was with a provider"),
    (["retry", "m.yaml", "--stage", "x"], ("retry", ["x"], ("x",)), {"retried": ["x"]}, "given up in: x"),
    (
        ["adopt", "m.yaml", "--shard", "s", "--batch", "b"],
        ("adopt", None, ("s", "b")),
        {"adopted": {"shard": "s", "batch": "b"}},
        "b is shard s",
    ),
    (["resend", "m.yaml", "--shard", "s"], ("resend", None, ("s",)), {"resent": {"shard": "s"}}, "shard s again"),
]
"""The words, the api's function with its answer and what it is handed, the JSON, a part of the text."""


@pytest.mark.parametrize(("words", "told", "document", "text"), DECISIONS)
def test_decisions(
    words: list[str],
    told: tuple[str, Any, tuple[Any, ...]],
    document: dict[str, Any],
    text: str,
    stand_in: Callable[..., Recorder],
) -> None:
    function, answer, handed = told
    recorder = stand_in(function, answer)
    done = call(*words, "--rehearse")
    assert recorder.calls[0][0][:-1] == (Path("m.yaml"), *handed)
    assert recorder.options.rehearse
    assert text in done.out
    assert done.out.splitlines()[-1] == "next:  chimera-batch run --rehearse m.yaml"
    assert call(*words, "--json").document == {**document, "next": "chimera-batch run m.yaml"}


# -- trace


def traced() -> dict[str, Any]:
    result = {
        "shard": "drafts-1", "attempt": 2, "outcome": "ok", "code": None, "message": None, "finish": "stop",
        "model": "gpt", "input_tokens": 1200, "cached_tokens": 0, "output_tokens": 30, "reasoning_tokens": 0,
        "usd": 0.25, "raw": "raw/x.jsonl.zst", "line": 7, "provider": "openai", "batch": "batch_1", "sent": 1.0,
        "request": "requests/x", "raw_line": '{"text": "' + "long \u202e" * 100 + 'end"}',
    }  # fmt: skip
    failed = {**result, "outcome": "error", "code": "500", "message": "over\x1b[31mloaded", "raw": None}
    failed |= {"raw_line": None, "input_tokens": None, "output_tokens": None, "usd": 0.0, "attempt": 1}
    step = {"stage": "drafts", "row_key": "k", "sample": 1, "request_id": "r1", "results": [failed, result]}
    row = {"stage": "dataset", "row_key": "k", "price": Decimal("1.5"), "score": float("nan"), "text": "a\x1b[2Jb"}
    return {"run": "tiny", "row": row, "usd": 0.25, "steps": [step, {**step, "request_id": "r2", "results": []}]}


def test_trace(stand_in: Callable[..., Recorder]) -> None:
    recorder = stand_in("trace", traced())
    out = call("trace", "m.yaml", "k").out
    assert recorder.calls[0][0][:2] == (Path("m.yaml"), "k")
    assert "run tiny · $0.2500" in out
    assert "  text: ab\n" in out
    assert "drafts k sample 1 · request r1" in out
    assert "ok · openai/gpt · $0.2500 · 1,200 in, 30 out · batch batch_1 attempt 2" in out
    assert "raw: raw/x.jsonl.zst line 7" in out
    assert "500 overloaded" in out
    assert "not answered yet" in out
    assert 'end"}' not in out


def test_trace_raw(stand_in: Callable[..., Recorder]) -> None:
    stand_in("trace", traced())
    out = call("trace", "m.yaml", "k", "--raw", "--rehearse").out
    assert 'end"}' in out
    assert "\u202e" not in out
    assert out.splitlines()[-1] == showing.REHEARSAL


def test_trace_as_json_keeps_every_byte_of_the_raw_line(stand_in: Callable[..., Recorder]) -> None:
    stand_in("trace", traced())
    told = call("trace", "m.yaml", "k", "--json").document
    assert told["steps"][0]["results"][1]["raw_line"] == traced()["steps"][0]["results"][1]["raw_line"]
    assert told["row"]["price"] == 1.5
    assert told["row"]["score"] is None


# -- with nothing stood in


def test_check_and_estimate_a_project(tmp_path: Path) -> None:
    manifest = project(tmp_path)
    assert call("check", manifest, "--json").document["stages"] == [
        {"stage": "answers_of", "provider": "openai", "window": "24h", "requests": 3, "distinct": 3}
    ]
    assert "nothing wrong was found" in call("check", manifest).out
    assert call("estimate", manifest, "--json").document["stages"][0]["requests"] == 3
    dearer = call("estimate", manifest, "--json", "--price", "openai/gpt-6-luna=1000,1000").document
    assert dearer["total"]["likely"] > call("--json", "estimate", manifest).document["total"]["likely"]
    slip = call("estimate", manifest, "--json", "--price", "openai/gpt-6-lunar=1000,1000")
    assert (slip.code, slip.error["where"]) == (2, "--price")
    assert slip.error["hint"] == "--price openai/gpt-6-luna=…"


def test_a_broken_manifest_has_its_line(tmp_path: Path) -> None:
    manifest = project(tmp_path)
    manifest.write_text(manifest.read_text(encoding="utf-8") + "colour: red\n", encoding="utf-8")
    done = call("check", manifest)
    assert done.code == 2
    assert "tiny.yaml:13" in done.err
    assert "colour" in done.err


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    done = call("run", project(tmp_path), "--yes", "--json")
    assert (done.code, done.error["hint"]) == (2, "export OPENAI_API_KEY=…")


def test_a_paid_run_needs_a_yes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    manifest = project(tmp_path)
    done = call("run", manifest, "--json")
    assert (done.code, done.error["type"]) == (4, "NeedsDecision")
    assert done.document["estimate"]["stages"][0]["requests"] == 3


def test_a_fresh_status_is_all_zero(tmp_path: Path) -> None:
    document = call("status", project(tmp_path), "--json").document
    assert (document["state"], document["stages"][0]["wanted"]) == ("new", 0)
    assert call("status", project(tmp_path / "b")).code == 0


def test_init_writes_and_refuses_to_write_again(tmp_path: Path) -> None:
    folder = tmp_path / "my pipeline"
    done = call("init", folder)
    assert done.code == 0
    assert f"chimera-batch run --rehearse '{folder}/manifests/quickstart.yaml'" in done.out
    assert (folder / "prompts" / "chimera" / "topics.md").is_file()
    assert call("init", folder, "--json").error["exit_code"] == 2
    told = call("init", tmp_path / "b", "--json").document
    assert len(told["files"]) > 20
    assert all(Path(path).is_file() for path in told["files"])


def test_init_writes_here_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "next:  chimera-batch run --rehearse manifests/quickstart.yaml" in call("init").out
    assert (tmp_path / "manifests" / "quickstart.yaml").is_file()


# -- prices


def test_prices_of_one_model() -> None:
    told = call("prices", "claude-haiku", "--json").document
    assert told["currency"] == "USD"
    assert told["prices"]
    for row in told["prices"]:
        assert any("claude-haiku" in name for name in [row["model"], *row["aliases"]])
        assert set(row["standard"]) == {"input", "cached_input", "cache_write", "cache_write_long", "output"}
        assert row["batch"] is None or row["batch"]["input"] <= row["standard"]["input"]


def test_prices_as_a_table_with_a_row_from_the_command_line() -> None:
    out = call("prices", "--price", "me/mine=1,2").out
    line = next(line for line in out.splitlines() if line.startswith("me/mine"))
    assert line.split() == ["me/mine", "1", "1", "2", "-", "-", "-", "-"]
    assert len(out.splitlines()) > 20


def test_prices_of_an_unknown_model() -> None:
    done = call("prices", "no-such-model")
    assert (done.code, done.err.splitlines()[1]) == (2, "  chimera-batch prices")


def test_a_bad_price_is_a_usage_error() -> None:
    assert call("prices", "--price", "nonsense", "--json").error["where"] == "--price"


def test_every_price_row_can_be_shown() -> None:
    told = call("prices", "--json")
    assert json.loads(told.out)["prices"]
    assert told.err == ""
