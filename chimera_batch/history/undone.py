"""What a budget left undone when a run stopped, as it stands in the journal. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Undone:
    """What is left of one stage. ``usd``: an upper bound; ``least``: that of the smallest part that would be sent."""

    stage: str
    requests: int
    usd: Decimal
    least: Decimal

    @property
    def row(self) -> dict[str, Any]:
        """As the status document has it."""
        return {"stage": self.stage, "requests": self.requests, "usd_ceiling": float(round(self.usd, 6))}


@dataclass(frozen=True, slots=True)
class OutOfMoney:
    """A run stopped, and a budget was all that was in the way.

    ``caps``: USD by ``run`` and ``day``, of those that were typed and not the manifest's. ``again``: the verb that was
    typed and its options, without those about money.
    """

    left: tuple[Undone, ...]
    not_begun: tuple[str, ...]
    caps: Mapping[str, Decimal]
    again: tuple[str, ...]

    def fields(self) -> dict[str, Any]:
        """As they stand in the event; ``read`` makes the same of them again."""
        return {
            "left": [
                {"stage": part.stage, "requests": part.requests, "usd": f"{part.usd:f}", "least": f"{part.least:f}"}
                for part in self.left
            ],
            "not_begun": list(self.not_begun),
            "caps": {limit: f"{cap:f}" for limit, cap in self.caps.items()},
            "again": list(self.again),
        }


def read(event: Mapping[str, Any]) -> OutOfMoney:
    """Raises KeyError or InvalidOperation for an event that is none."""
    return OutOfMoney(
        left=tuple(
            Undone(part["stage"], part["requests"], Decimal(part["usd"]), Decimal(part["least"]))
            for part in event["left"]
        ),
        not_begun=tuple(event["not_begun"]),
        caps={limit: Decimal(cap) for limit, cap in event["caps"].items()},
        again=tuple(event["again"]),
    )
