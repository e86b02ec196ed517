"""Every ordinary bad night of ``bench/bad_nights.py`` ends as it must; and the judge of a night can say no."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bench.bad_nights import NIGHTS, main, night_of, provider
from chimera_batch import rehearsal
from tests.conftest import ROOT
from tests.faults import nights
from tests.faults.nights import House, Hung, Night, Report, deadline, flaws, play

OPENED = ("rows-missing", "expired-part", "rows-500", "rows-null", "expired-bare", "raw-u2028", "create-lost", "killed")
"""The nights that were promised first; the others came while looking for more."""


def _cases() -> Iterator[Any]:
    for night in NIGHTS:
        for dialect in night.dialects:
            slow = [] if dialect in night.quick else [pytest.mark.slow]
            yield pytest.param(night, dialect, id=f"{night.name}-{dialect}", marks=slow)


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[rehearsal.Running, Path]]:
    state = tmp_path_factory.mktemp("provider")
    with provider(state) as server:
        yield server, state


@pytest.mark.parametrize(("night", "dialect"), list(_cases()))
def test_a_bad_night_ends_well(
    night: Night, dialect: str, hall: tuple[rehearsal.Running, Path], tmp_path: Path
) -> None:
    if night.alone:
        with provider(tmp_path / "provider", night.speed) as own:
            report = play(night, House(tmp_path, dialect, own, tmp_path / "provider"))
    else:
        server, state = hall
        report = play(night, House(tmp_path, dialect, server, state))
    assert flaws(night, report) == [], "\n".join(report.said)


def test_every_promised_night_is_among_them() -> None:
    names = {night.name for night in NIGHTS}
    assert len(names) == len(NIGHTS)
    assert names >= {*OPENED, "one-row-added"}
    assert all(night.told for night in NIGHTS)


# The judge


def _report(**changed: Any) -> Report:
    """A night without any fault."""
    keys = [(f"note-{n:03d}", "Amber.") for n in range(100)]
    batch = {"id": "batch_1", "requests": 100, "reason": None, "quarantined": 0}
    stage = {"wanted": 100, "answered": 100, "given_up": 0, "batches": [batch]}
    status = {"state": "done", "stages": [stage], "usd_spent": 0.1, "usd_reserved": 0.0, "usd_suspected": 0.0}
    bill = [{"request_id": str(n), "usd": "0.001", "delivered": True, "usable": True} for n in range(100)]
    return replace(Report(status, keys, bill, ["notes-1: completed: 100 ok, $0.1000"], 1.0), **changed)


CALM = Night("calm", "nothing goes wrong")


def test_a_calm_night_has_no_flaws() -> None:
    assert flaws(CALM, _report()) == []
    assert _report().charged == Decimal("0.100")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"status": _report().status | {"state": "waiting"}}, ["state"]),
        ({"status": _report().status | {"usd_spent": 0.1001}}, ["dollars"]),
        ({"status": _report().status | {"usd_reserved": 0.2}}, ["still reserved"]),
        ({"status": _report().status | {"usd_suspected": 0.2}}, ["dollars in doubt", "suspected"]),
        ({"answers": _report().answers[1:]}, ["rows in the table"]),
        ({"answers": [*_report().answers[1:], _report().answers[1]]}, ["rows in the table"]),
        ({"bill": _report().bill[1:]}, ["executed", "dollars"]),
        ({"bill": [*_report().bill, _report().bill[0]]}, ["executed", "paid twice", "dollars"]),
        (
            {"bill": [*_report().bill[1:], _report().bill[0] | {"delivered": False}]},
            ["executed and lost", "dollars", "suspected"],
        ),
        ({"said": []}, ["told"]),
    ],
)
def test_a_flaw_is_named(changed: dict[str, Any], said: list[str]) -> None:
    assert [flaw.partition(":")[0] for flaw in flaws(CALM, _report(**changed))] == said


LOST = [*_report().bill[10:], *[line | {"delivered": False} for line in _report().bill[:10]]]
UNTOLD = replace(CALM, faults=({"kind": "drop_rows"}, {"kind": "no_usage"}))


@pytest.mark.parametrize(
    ("night", "dialect", "bill", "suspected", "fits"),
    [
        (CALM, "openai", LOST, 0.01, True),  # ten at $0.001
        (CALM, "openai", LOST, 0.009, False),
        (CALM, "openai", LOST, 0.0101, False),  # the totals tell
        (CALM, "anthropic", LOST, 0.0101, True),
        (UNTOLD, "openai", LOST, 0.05, True),
        (UNTOLD, "openai", LOST, 0.009, False),
        (CALM, "openai", [line | {"delivered": False} for line in LOST], 0.125, True),  # no row shows what was written
        (CALM, "openai", [line | {"delivered": False} for line in LOST], 0.126, False),
        (CALM, "openai", [line | {"delivered": False} for line in LOST], 0.099, False),
    ],
)
def test_what_is_suspected_is_held_against_the_bill(
    night: Night, dialect: str, bill: list[dict[str, Any]], suspected: float, fits: bool
) -> None:
    report = _report(bill=bill, dialect=dialect, status=_report().status | {"usd_suspected": suspected})
    assert any(flaw.startswith("suspected") for flaw in flaws(night, report)) is not fits


def test_what_a_night_expects_is_held_against_the_run() -> None:
    night = replace(CALM, sent=(100, 10), refused=2, apart=10, odd="\u2028", told="adopted")
    said = [flaw.partition(":")[0] for flaw in flaws(night, _report())]
    expected = ["answered", "given up", "rows in the table", "batches", "executed", "kept apart"]
    assert said == [*expected, "answers with odd characters", "told"]


def test_the_line_that_told_may_stand_in_the_status() -> None:
    report = _report()
    report.stage["batches"][0]["reason"] = "the queue was full"
    assert report.line("queue") == "status: the queue was full"
    assert report.line("moon") == ""


def test_a_run_that_hangs_is_found_out() -> None:
    with pytest.raises(Hung), deadline(0.05):
        while True:
            pass
    with deadline(5.0):
        pass
    assert issubclass(Hung, BaseException)
    assert not issubclass(Hung, Exception)


def test_time_between_tries_is_short_here_but_a_long_wait_still_hurts() -> None:
    assert nights._delay(4) < 0.1
    assert nights._delay(0, 0.02) < 0.1
    assert nights._delay(0, 30.0) > 1.0  # a fault that asks for a long wait belongs into no night


# The page


def test_the_page_shows_the_table_of_these_nights() -> None:
    """``docs/reliability.md`` holds the output of the command; a new night must be played into it."""
    rows = (line for line in (ROOT / "docs" / "reliability.md").read_text("utf-8").splitlines() if line[:2] == "| ")
    shown = [tuple(cell.strip() for cell in line.split("|")[1:5]) for line in rows]
    wanted = {(night.what, dialect): night for night in NIGHTS for dialect in night.dialects}
    found = {row[:2]: row[2:] for row in shown if row[1] in nights.MODELS}
    assert found.keys() == wanted.keys()
    for place, night in wanted.items():
        assert found[place][1] == " + ".join(map(str, night.sent)), place


# The command


@pytest.mark.slow
def test_the_command_prints_a_row_for_each_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rows-missing"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert "| openai | 100 | 100 + 10 | 110, 10 of them into no file | 0 |" in lines[2]
    assert "90 ok, 10 missing" in lines[3]


@pytest.mark.slow
def test_the_command_fails_when_a_night_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = replace(NIGHTS[0], sent=(100,), dialects=("openai",))
    monkeypatch.setattr("bench.bad_nights.NIGHTS", (wrong,))
    assert main([]) == 1
    assert "WRONG in rows-missing: batches: (100, 10), not (100,)" in capsys.readouterr().err


def test_the_command_knows_its_nights(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rows-mising"]) == 2
    assert "rows-mising" in capsys.readouterr().err


def test_an_entry_of_the_file_may_not_be_misspelt() -> None:
    assert night_of({"name": "n", "what": "w", "sent": [100, 2]}).sent == (100, 2)
    assert [fault["status"] for fault in night_of({"name": "n", "what": "w", "everywhere": 429}).faults] == [429] * 11
    with pytest.raises(TypeError):
        night_of({"name": "n", "what": "w", "sents": [100]})
    with pytest.raises(KeyError):
        night_of({"name": "n", "what": "w", "act": "sleep"})
