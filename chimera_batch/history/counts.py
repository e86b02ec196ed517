"""How the requests of a stage stand, as numbers; ``standing`` counts them. Pure, and quick to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from chimera_batch.history.facts import Asked, Facts
from chimera_batch.pipeline.stage import Stage

STATES = ("answered", "in_flight", "packed", "retryable", "given_up", "not_asked")


@dataclass(frozen=True, slots=True)
class Standing:
    """Counts of distinct wanted requests by state, and of their last outcome."""

    states: dict[str, int]
    outcomes: dict[str, int]
    reasons: tuple[str, ...] = ()  # why requests are given up that the manifest would ask again, for people
    placed: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)  # of them by shard
    position: int = field(default=0, compare=False, repr=False)  # of the journal, when they were counted

    @property
    def wanted(self) -> int:
        return sum(self.states.values())

    @property
    def settled(self) -> bool:
        """Nothing is left to send or to wait for."""
        return self.states["answered"] + self.states["given_up"] == self.wanted


NOTHING = Standing(dict.fromkeys(STATES, 0), {})
"""Of a stage that has asked nothing."""


def last_asked(facts: Facts, run: str, stage: Stage) -> list[Asked]:
    """The rounds of a stage as they were last asked, as many as the manifest allows now; none before it asked any."""
    asked = facts.asked.get((run, stage.name), {})
    most = stage.rounds.max if stage.rounds else 1
    return [asked[number] for number in sorted(asked) if number <= most]
