"""Nights with real processes and sockets: two are played here; ``python -m bench.process_nights`` plays hundreds."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench import process_nights
from tests.faults import damages, wild
from tests.faults.wild import Command, Night
from tests.faults.wire import ENDPOINTS

KILLED = Night(
    seed=0,
    pipeline="openai",
    orders=(("reset after", "openai.create", 1), ("short, between lines", "openai.download", 1)),
    commands=(Command(("run",), wire=("host", "after", 3)), Command(("run", "--detach"))),
    own=False,
)
"""The reply to create is lost, and the process dies when it has looked the batch up; then a detached run does."""
ASKED = replace(
    KILLED,
    pipeline="anthropic now",
    orders=(("closed after", "anthropic.ask", 2), ("529", "anthropic.ask", 4)),
    commands=(Command(("run",), wire=("store", "after", 12)),),
)


@pytest.mark.parametrize("night", [KILLED, ASKED], ids=lambda night: night.pipeline)
def test_a_night_of_killed_processes_ends_well(night: Night, tmp_path: Path) -> None:
    references = {night.pipeline: wild.reference(night.pipeline, tmp_path / "calm")}
    report = wild.play(0, tmp_path / "night", references, night)
    assert report.flaws == [], "\n".join(report.log)
    assert report.ends["killed"] == 1
    assert report.executed >= 4


def test_a_seed_draws_the_same_night_every_time() -> None:
    drawn = [Night.draw(seed) for seed in range(200)]
    assert drawn == [Night.draw(seed) for seed in range(200)]
    assert {night.pipeline for night in drawn} == set(wild.PIPELINES)
    assert {kind for night in drawn for kind, _, _ in night.orders} == set(damages.ALL)
    assert {endpoint for night in drawn for _, endpoint, _ in night.orders} == set(ENDPOINTS)
    assert sum(any(command.wire or command.after for command in night.commands) for night in drawn) > 150


def test_a_host_that_was_paid_twice_is_found_out(tmp_path: Path) -> None:
    """The judge says no: a reference that wants other requests, and other bytes."""
    calm = replace(KILLED, orders=(), commands=())
    other = wild.reference("anthropic", tmp_path / "other")
    report = wild.play(0, tmp_path / "night", {"openai": other}, calm)
    assert [flaw.partition(":")[0] for flaw in report.flaws] == ["other bytes", "4 requests that nobody wanted"]


def test_what_nights_come_to() -> None:
    report = wild.Report(KILLED, executed=9, again=1)
    report.ends, report.struck = Counter(killed=2), Counter({("503", "openai.poll"): 2, ("503", "openai.list"): 1})
    bad = wild.Report(replace(KILLED, seed=7), flaws=["paid twice"])
    said = "\n".join(process_nights.lines([report, bad], 6.0))
    assert "2 nights, 2 commands under faults, 9 requests executed, 3 damages of 1 kinds; 3.0 s" in said
    assert "503 3" in said and "failed: 1 [7]" in said


def test_the_command_shows_what_it_would_play(capsys: pytest.CaptureFixture[str]) -> None:
    assert process_nights.main(["--seed", "3", "--nights", "2", "--show"]) == 0
    assert capsys.readouterr().out.splitlines() == [repr(Night.draw(3)), repr(Night.draw(4))]
