"""How long a run waits: turnarounds of providers that must follow one another, and their hours. Pure. Floor 2."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Waited:
    """Turnarounds that follow one another, and their hours (likely: None where no batch was ever timed)."""

    likely: int = 0
    most: int = 0
    likely_hours: float | None = 0.0
    most_hours: float = 0.0

    def then(self, rounds: tuple[int, int], waves: int, hours: tuple[float | None, float]) -> Waited:
        """After (likely, most) rounds of so many waves more. ``hours`` of one wave: (typical, promised)."""
        typical, promised = hours
        likely, most = (number * waves for number in rounds)
        return self.plus(Waited(likely, most, None if typical is None else likely * typical, most * promised))

    def plus(self, more: Waited) -> Waited:
        hours: float | None = 0.0
        for one in (self, more):
            if one.likely:  # what is not waited for needs no hours
                hours = None if hours is None or one.likely_hours is None else hours + one.likely_hours
        most_hours = self.most_hours + more.most_hours
        return Waited(self.likely + more.likely, self.most + more.most, hours, most_hours)

    def since(self, before: Waited) -> Waited:
        """What came after ``before``."""
        return Waited(
            self.likely - before.likely,
            self.most - before.most,
            None if None in (self.likely_hours, before.likely_hours) else _less(self, before),
            self.most_hours - before.most_hours,
        )

    def times(self, likely: int, most: int) -> Waited:
        """The same over and over."""
        hours = None if self.likely_hours is None else self.likely_hours * likely
        return Waited(self.likely * likely, self.most * most, hours, self.most_hours * most)

    @staticmethod
    def longest(several: Iterable[Waited]) -> Waited:
        """Side by side: each figure by itself."""
        found = list(several)
        hours = [one.likely_hours for one in found if one.likely]
        return Waited(
            max((one.likely for one in found), default=0),
            max((one.most for one in found), default=0),
            None if None in hours else max((h for h in hours if h is not None), default=0.0),
            max((one.most_hours for one in found), default=0.0),
        )


def _less(one: Waited, before: Waited) -> float:
    return (one.likely_hours or 0.0) - (before.likely_hours or 0.0)


NOTHING = Waited()


@dataclass(slots=True)
class Waits:
    """The wait up to each stage, added in the manifest's order."""

    done: dict[str, Waited] = field(default_factory=dict)
    once: dict[str, Waited] = field(default_factory=dict)  # as if nothing were answered and every stage took one wave
    loops: dict[str, tuple[Waited, tuple[int, int]]] = field(default_factory=dict)  # by the stage that closes a round

    def before(self, reads: Iterable[str]) -> Waited:
        """The wait before a stage that reads these tables can start."""
        return Waited.longest(self.done[name] for name in reads if name in self.done)

    def repeat(self, until: str, reads: Iterable[str], times: tuple[int, int]) -> None:
        """Everything from a stage that reads these tables to ``until`` will be gone through (likely, most) times again,
        from the beginning: what of this round is answered already does not shorten the next one."""
        self.loops[until] = Waited.longest(self.once[name] for name in reads if name in self.once), times

    def add(self, stage: str, reads: Iterable[str], waited: Waited, one: Waited = NOTHING) -> None:
        """``waited``: the wait up to and with this stage. ``one``: a single wave of it."""
        self.once[stage] = Waited.longest(self.once[name] for name in reads if name in self.once).plus(one)
        if stage in self.loops:
            before, times = self.loops[stage]
            waited = waited.plus(self.once[stage].since(before).times(*times))
        self.done[stage] = waited

    def longest(self) -> Waited:
        return Waited.longest(self.done.values())
