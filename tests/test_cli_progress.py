"""How far a run is: what the engine tells, and what a person sees of it on a terminal and off one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chimera_batch import runner
from chimera_batch.cli import bars
from chimera_batch.cli.said import Said
from chimera_batch.doing import Doing, nobody
from chimera_batch.steps import underway
from tests.support import Bench, answered, bench, write_project
from tests.test_cli_terminal import on_terminal

# -- what the engine tells


class Looking:
    """Keeps what was told; each part as (step, about, done, total)."""

    def __init__(self) -> None:
        self.told: list[list[Doing]] = []

    def __call__(self, parts: Sequence[Doing]) -> None:
        self.told.append(list(parts))

    def of(self, step: str) -> list[tuple[str, int, int | None]]:
        return [(part.about, part.done, part.total) for parts in self.told for part in parts if part.step == step]


@pytest.fixture
def watched(tmp_path: Path) -> tuple[Bench, Looking]:
    made, looking = bench(write_project(tmp_path)), Looking()
    return replace(made, ctx=replace(made.ctx, doing=looking)), looking


@pytest.mark.slow  # a run of the engine
def test_a_run_tells_each_step_with_its_counts(watched: tuple[Bench, Looking]) -> None:
    made, looking = watched
    made.go()
    ((_, attempt),) = made.pairs
    wanted = attempt.requests
    assert looking.of("rendering")[-1] == ("one", wanted, wanted)
    assert looking.of("sending") == [("one", 0, 1)]
    underway.tell(made.ctx)
    shard, _ = made.pairs[0]
    assert looking.of("waiting") == [(shard.id, 0, wanted)]
    assert looking.told[-1][0].expected_basis == "no history"
    assert attempt.batch is not None
    made.host.answer(attempt.batch, lambda line: answered(line["custom_id"]))
    made.go()
    assert looking.of("reading") == [(shard.id, 0, wanted)]
    assert ("one", 0, None) in looking.of("joining")
    underway.tell(made.ctx)
    assert looking.told[-1] == [], "what is over is told no more"


@pytest.mark.slow  # a run of the engine
def test_nothing_is_made_ready_for_nobody(watched: tuple[Bench, Looking], monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = watched
    made.go()
    monkeypatch.setattr(underway, "Forecasts", None)
    underway.tell(replace(made.ctx, doing=nobody))


@pytest.mark.slow  # a run of the engine
def test_a_run_that_waits_tells_at_each_look(watched: tuple[Bench, Looking]) -> None:
    made, looking = watched
    progress = made.go()
    looks = 0

    def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner._anything_new(replace(made.ctx, sleep=sleep), progress)
    assert len(looking.of("waiting")) == 3


# -- off a terminal


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def waiting(about: str, done: int, total: int, **more: Any) -> Doing:
    return Doing("waiting", about, done, total, "in_progress", **more)


def test_lines_come_now_and_then_and_only_where_something_moved() -> None:
    said: list[str] = []
    clock = Clock()
    lines = bars.Lines(said.append, clock)
    lines([waiting("b-1", 0, 50)])
    assert said == [], "a short run says nothing more than before"
    clock.now = 31
    lines([waiting("b-1", 10, 50, expected_basis="no history")])
    assert said == ["waiting: b-1 10 of 50 · in_progress · no history"]
    clock.now = 50
    lines([waiting("b-1", 20, 50)])
    assert len(said) == 1, "not twice in half a minute"
    clock.now = 90
    lines([waiting("b-1", 10, 50)])
    assert len(said) == 1, "nothing has moved"
    lines([waiting("b-1", 30, 50), waiting("b-2", 1, 70)])
    assert said[1] == "waiting: 2 batches 31 of 120"
    clock.now = 130
    lines([Doing("joining", "dataset")])
    lines([])
    assert said[2] == "joining: dataset"


def test_too_many_batches_are_one_from_some_number_on() -> None:
    many = [waiting(f"b-{n}", n, 10, expected_at=100.0 + n, expected_basis="median") for n in range(12)]
    shown = bars.together(many)
    assert len(shown) == bars.MOST
    last = shown[-1]
    assert (last.about, last.done, last.total) == ("5 more", 7 + 8 + 9 + 10 + 11, 50)
    assert (last.expected_at, last.expected_basis) == (111.0, "the last of them")
    assert bars.together(many[: bars.MOST]) == many[: bars.MOST]


def test_of_many_where_one_is_unknown_nothing_is_promised() -> None:
    many = [
        waiting("a", 0, 1, expected_at=5.0, expected_basis="median"),
        waiting("b", 0, 1, expected_basis="no history"),
    ]
    (one,) = bars.together(many, most=1)
    assert (one.expected_at, one.expected_basis) == (None, "no history")


@pytest.mark.parametrize(
    ("said", "kind"), [(Said(quiet=True), None), (Said(plain=True), bars.Lines), (Said(), bars.Lines)]
)
def test_who_is_told(said: Said, kind: type | None) -> None:
    """In a test stderr is no terminal."""
    watcher = said.options().doing
    assert watcher is nobody if kind is None else isinstance(watcher, kind)


# -- on a terminal


@pytest.mark.slow  # rich
def test_two_threads_may_tell_at_once() -> None:
    """Two large batches are read side by side; a bar that fails would end a run."""
    shown = bars.Bars()

    def tell(about: str) -> None:
        for done in range(100):
            shown([Doing("reading", f"{about}-{done % 3}", done, 100)])

    with ThreadPoolExecutor(4) as crew:
        for done in [crew.submit(tell, about) for about in "abcd"]:
            done.result()
    assert shown.line("still there")
    shown.close()
    assert not shown.line("gone")


RUN = """
import sys, time
from chimera_batch import api
from chimera_batch.doing import Doing
from tests.cli_kit import status_document
def run(manifest, options, **_):
    options.doing([Doing("rendering", "[red]drafts[/red]", 500, 2000)])
    options.say("drafts: sending \\x1b]0;owned\\x07[bold]10[/bold]")
    options.doing([Doing("waiting", "drafts-1", 7, 10, "in_progress", time.time() + 4000, "median of 3 past batches")])
    time.sleep(0.6)
    return status_document(state="done")
api.run = run
from chimera_batch.__main__ import main
sys.argv = ["chimera-batch", *sys.argv[1:]]
main()
"""


@pytest.mark.slow  # two processes with rich
@pytest.mark.parametrize("plain", [False, True])
def test_bars_on_a_terminal_and_none_where_lines_are_wanted(plain: bool) -> None:
    code, screen = on_terminal("-c", RUN, "run", "m.yaml", "--yes", *(["--plain"] if plain else []))
    assert code == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen)
    assert "drafts: sending [bold]10[/bold]" in text
    assert "\x1b]" not in screen
    assert ("waiting drafts-1" in text) is not plain
    assert ("7 of 10 · in_progress · back in 1 h 6 min (median of 3 past batches)" in text) is not plain
    assert ("\x1b[" in screen) is not plain
    after = screen[screen.index("run tiny") :]
    assert "waiting drafts-1" not in after, "no bar is left below what was printed"
