"""How far a mean over problems may be off, by drawing the problems again."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

RESAMPLES = 1_000
_SEED = 20_260_301
_AT_ONCE = 1 << 20  # draws held at a time


def bootstrap_interval(values: Sequence[float | None]) -> dict[str, float] | None:
    """The middle 95 % of the means of 1,000 resamples, as ``low`` and ``high`` (percentile bootstrap).

    One value a problem: its mean over samples, or the difference of two models on it. The draws are seeded and the
    values sorted, so neither another run nor another order gives other bounds. NULLs do not count; None where nothing
    is left or a value is infinite or no number.
    """
    found = sorted(float(value) for value in values if value is not None and not isnan(value))
    if not found or not (isfinite(found[0]) and isfinite(found[-1])):
        return None
    import numpy as np  # noqa: PLC0415 - heavy

    with np.errstate(over="ignore", invalid="ignore"):
        low, high = np.percentile(_means(np.array(found), np.random.default_rng(_SEED)), (2.5, 97.5))
    return {"low": float(low), "high": float(high)} if isfinite(low) and isfinite(high) else None


def _means(values: np.ndarray[Any, np.dtype[np.float64]], rng: np.random.Generator) -> list[float]:
    turn, means = max(_AT_ONCE // len(values), 1), list[float]()
    for begin in range(0, RESAMPLES, turn):
        drawn = rng.integers(0, len(values), (min(turn, RESAMPLES - begin), len(values)))
        means.extend(values[drawn].mean(axis=1).tolist())
    return means
