"""How long a batch takes: from its number and the seed alone, so that a night can be repeated."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast time goes, and the virtual durations in seconds."""

    speed: float = 1200.0
    seed: int = 0
    validate: float = 60.0
    work: tuple[float, float] = (1200.0, 2400.0)
    finalize: float = 60.0

    def of(self, n: int) -> tuple[float, float, float]:
        """Real seconds of validation, work and finalizing of the nth batch."""
        work = random.Random(f"{self.seed}:{n}").uniform(*self.work)  # noqa: S311 - a duration, not a secret
        return self.validate / self.speed, work / self.speed, self.finalize / self.speed
