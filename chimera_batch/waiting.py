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

    def again(self, before: Waited, times: tuple[int, int]) -> Waited:
        """With everything since ``before`` repeated (likely, most) times."""
        one = Waited(
            self.likely - before.likely,
            self.most - before.most,
            None if None in (self.likely_hours, before.likely_hours) else _less(self, before),
            self.most_hours - before.most_hours,
        )
        likely, most = times
        hours = None if one.likely_hours is None else one.likely_hours * likely
        return self.plus(Waited(one.likely * likely, one.most * most, hours, one.most_hours * most))

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


@dataclass(slots=True)
class Waits:
    """The wait up to each stage, added in the manifest's order."""

    done: dict[str, Waited] = field(default_factory=dict)
    loops: dict[str, tuple[Waited, tuple[int, int]]] = field(default_factory=dict)  # by the stage that closes a round

    def before(self, reads: Iterable[str]) -> Waited:
        """The wait before a stage that reads these tables can start."""
        return Waited.longest(self.done[name] for name in reads if name in self.done)

    def repeat(self, until: str, before: Waited, times: tuple[int, int]) -> None:
        """Everything after ``before`` up to the stage ``until`` will be gone through (likely, most) times again."""
        self.loops[until] = before, times

    def add(self, stage: str, waited: Waited) -> None:
        if stage in self.loops:
            waited = waited.again(*self.loops[stage])
        self.done[stage] = waited

    def longest(self) -> Waited:
        return Waited.longest(self.done.values())
