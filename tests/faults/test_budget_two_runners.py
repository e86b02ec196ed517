"""A budget under faults, with two runners on one store: the host's own account never passes it, not by a cent.

Two runners share a journal, a host and a clock inside one process. One of them works; the other comes in between its
calls to the host and between its looks at the journal, where a claim can be lost. What is compared with the budget is
what the host executed, delivered or not, and everything that our own books ever held against it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from chimera_batch import runner
from chimera_batch.history.facts import Facts, day_of
from chimera_batch.history.folding import apply
from chimera_batch.history.journal import Journal
from chimera_batch.runner import Progress
from chimera_batch.stores import open_store
from tests.metered import QUIET, Luck, Meter
from tests.support import FAR_OWNER, ROWS, Bench, Clock, bench, write_project

FAST = (1, 2, 4, 6, 8)  # between them they meet everything
EVERY = 1 if settings.default.max_examples >= 500 else 3  # all 100 games with --hypothesis-profile=thorough
SEEDS = [
    seed if seed in FAST else pytest.param(seed, marks=pytest.mark.slow)
    for seed in sorted({*FAST, *range(0, 100, EVERY)})
]
POLL = 600.0  # seconds of the clock between two looks
DAY = 86400.0


class Racing:
    """A store where somebody may come in just before an event is written."""

    def __init__(self, store: Any, before: Callable[[], None]) -> None:
        self._store, self._before = store, before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def create(self, key: str, data: bytes) -> bool:
        if key.startswith("journal/"):
            self._before()
        return bool(self._store.create(key, data))


@dataclass
class Duel:
    """Two runners of one run."""

    one: Bench
    two: Bench
    host: Meter
    dice: random.Random
    nested: bool = False

    @property
    def facts(self) -> Facts:
        return self.one.ctx.ledger.refresh()

    def come_in(self, share: float) -> None:
        """The second runner makes a pass while the first one is in the middle of something."""
        if not self.nested and self.dice.random() < share:
            with self._nested():
                self.two.go()

    @contextmanager
    def _nested(self) -> Iterator[None]:
        self.nested = True
        try:
            yield
        finally:
            self.nested = False

    def converge(self) -> list[Progress]:
        first = runner.converge(self.one.ctx)
        with self._nested():
            return [first, runner.converge(self.two.ctx)]

    def history(self) -> Iterator[Facts]:
        """The facts after each event of the journal."""
        facts = Facts()
        for event in Journal(self.one.ctx.store, owner="a reader", clock=self.one.clock).refresh():
            apply(facts, event)
            yield facts


@dataclass(frozen=True)
class Game:
    """One draw: how much there is to do, and what may be spent on it. The same seed draws the same."""

    rows: int
    per_file: int
    ceiling: int
    budget: Decimal
    per_day: Decimal | None = None
    stage: Decimal | None = None

    @classmethod
    def of(cls, seed: int) -> Game:
        dice = random.Random(seed)
        rows, per_file, ceiling = dice.randint(6, 20), dice.randint(3, 9), dice.choice([60, 100, 300])
        need = Decimal(rows * (30 + 4 * ceiling)) / 1_000_000  # about what all of it could cost
        share = Decimal(str(round(dice.uniform(0.2, 1.2), 3)))
        stage = need * Decimal("0.6") if seed % 5 == 0 else None
        return cls(rows, per_file, ceiling, round(need * share, 6), stage=stage)


def duel(folder: Path, game: Game, seed: int, luck: Luck) -> Duel:
    files = {"sql/tiny/one_rows.sql": ROWS.replace("range(3)", f"range({game.rows})")}
    cap = f", budget_usd: {game.stage:f}" if game.stage is not None else ""
    project = write_project(folder, files, stage=cap, max_output_tokens=game.ceiling)
    host = Meter(project.profiles["openai"], Clock(), seed, luck)
    store = open_store(project.store_url, cache=folder / "cache")
    dice = random.Random(seed + 1000)
    made: list[Duel] = []
    racing: Any = Racing(store, lambda: made[0].come_in(0.02) if made else None)
    budget = str(game.budget)
    one = bench(project, host=host, store=racing, budget=budget, max_requests=game.per_file)
    two = bench(project, host=host, store=store, owner=FAR_OWNER, budget=budget, max_requests=game.per_file)
    both = Duel(one, two, host, dice)

    def sleep(seconds: float) -> None:
        host.clock.now += seconds
        both.come_in(0.1)

    timing = replace(one.ctx.timing, poll=POLL)
    one.ctx = replace(one.ctx, sleep=sleep, timing=timing, budget_day_usd=game.per_day)
    two.ctx = replace(two.ctx, timing=timing, budget_day_usd=game.per_day)
    host.meanwhile = lambda: both.come_in(0.03)
    made.append(both)
    return both


def most_committed(both: Duel, **part: Any) -> Decimal:
    return max(facts.committed("tiny", **part) for facts in both.history())


Play = Callable[[int], tuple[Game, Duel, list[Progress]]]


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Play:
    """A game played to its end; once per seed."""
    known: dict[int, tuple[Game, Duel, list[Progress]]] = {}

    def played(seed: int) -> tuple[Game, Duel, list[Progress]]:
        if seed not in known:
            game = Game.of(seed)
            both = duel(tmp_path_factory.mktemp("game"), game, seed, Luck())
            known[seed] = game, both, both.converge()
        return known[seed]

    return played


@pytest.mark.parametrize("seed", SEEDS)
def test_a_budget_is_never_passed(seed: int, play: Play) -> None:
    game, both, ends = play(seed)
    assert all(end.done or end.out_of_money for end in ends), ends
    facts, host = both.facts, both.host
    assert host.charged <= game.budget
    assert host.charged <= facts.spent("tiny") + facts.suspected("tiny"), "something was charged unseen"
    assert sum(charge.usd for charge in host.bill if charge.delivered) == facts.spent("tiny")
    assert facts.reserved("tiny") == 0
    assert most_committed(both) <= game.budget
    if game.stage is not None:
        assert most_committed(both, stage="one") <= game.stage


def test_the_seeds_meet_what_they_are_for(play: Play) -> None:
    """Replies that are lost, rows that are lost, budgets that are too small, two that claim, and parts of shards."""
    seen: set[str] = set()
    for seed in FAST:
        _, both, ends = play(seed)
        seen |= {"over" if end.out_of_money else "done" for end in ends}
        attempts = list(both.facts.attempts())
        seen |= {"both claim"} if len({attempt.owner for _, attempt in attempts}) > 1 else set()
        seen |= {"adopted"} if any(a.adopted for _, a in attempts) else set()
        seen |= {"a part"} if any(a.number == 1 and a.requests < s.requests for s, a in attempts) else set()
        seen |= {"suspected"} if any(a.suspected for _, a in attempts) else set()
        seen |= {"lost"} if any(not charge.delivered for charge in both.host.bill) else set()
    assert seen >= {"over", "done", "both claim", "adopted", "a part", "suspected", "lost"}


def per_day(both: Duel) -> dict[int, Decimal]:
    """What the host executed, by the day on which its batches were made."""
    days: dict[int, Decimal] = {}
    for charge in both.host.bill:
        days[day_of(charge.at)] = days.get(day_of(charge.at), Decimal(0)) + charge.usd
    return days


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 8))])
def test_a_cap_of_the_day_holds_on_each_of_three_days(seed: int, tmp_path: Path) -> None:
    """A fifth of what all of it could cost on each day, and on none of them more, whoever claims."""
    game = Game.of(seed)
    need = Decimal(game.rows * (30 + 4 * game.ceiling)) / 1_000_000
    game = replace(game, budget=need * 10, stage=None, per_day=round(need / 5, 6))
    both = duel(tmp_path, game, seed, Luck())
    clock, claimed = both.host.clock, 0
    for _ in range(3):
        ends = both.converge()
        assert all(end.done or end.out_of_money for end in ends), ends
        attempts = sum(1 for _ in both.facts.attempts())
        assert attempts > claimed or ends[0].done, "a new day has room"
        claimed = attempts
        clock.now = (day_of(clock.now) + 1) * DAY  # midnight
    assert len(per_day(both)) == 3 or ends[0].done
    assert game.per_day is not None
    assert max(per_day(both).values()) <= game.per_day
    for day in per_day(both):
        assert most_committed(both, day=day) <= game.per_day


def test_a_claim_counts_on_the_day_that_ruled_on_it(tmp_path: Path) -> None:
    """Midnight passes between the ruling and the event: a claim of the old day leaves the new day's cap alone."""
    game = replace(Game.of(1), rows=4, per_file=2, ceiling=100)
    two_requests = Decimal(2 * (30 + 4 * 100)) / 1_000_000  # a little more than they can cost
    both = duel(tmp_path, replace(game, budget=Decimal(1), per_day=two_requests), 1, QUIET)
    both.nested = True  # nobody comes in
    clock, ledger = both.host.clock, both.one.ctx.ledger
    midnight = (day_of(clock.now) + 1) * DAY
    clock.now = midnight - 1
    ledger._journal.clock = lambda: clock.now + 2
    assert len(both.one.go().over) == 1
    assert [attempt.at for _, attempt in both.facts.attempts()] == [midnight - 1]
    clock.now = midnight + 1
    assert both.one.go().over == [], "the new day is free"
    assert len(list(both.facts.attempts())) == 2
