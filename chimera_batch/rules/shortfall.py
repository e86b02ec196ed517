"""What a budget left undone, and the lines that go on. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from types import MappingProxyType

from chimera_batch.commands import CAPS, Cap, capped
from chimera_batch.cost.money import dollars
from chimera_batch.history.undone import Undone
from chimera_batch.rules.admission import Limit, Room

_CENT = Decimal("0.01")
_KEYS: dict[Limit, str] = {"run": "usd", "stage": "budget_usd", "day": "usd_per_day"}
_GOES_ON = "lets some of it go on"
_ENOUGH = "is enough for all that was counted here"


@dataclass(frozen=True, slots=True)
class Over:
    """Requests of one shard that no room was left for. ``usd`` is an upper bound of what they cost."""

    stage: str
    requests: int
    usd: Decimal
    least: Decimal | None  # of the smallest part that would be sent; None: it waits for another shard of its stage


def undone(left: Iterable[Over]) -> list[Undone]:
    """By stage, in the order of the run."""
    stages: dict[str, list[Over]] = {}
    for over in left:
        stages.setdefault(over.stage, []).append(over)
    return [_summed(stage, parts) for stage, parts in stages.items()]


def _summed(stage: str, parts: Sequence[Over]) -> Undone:
    usd = sum((part.usd for part in parts), Decimal(0))
    least = min((part.least for part in parts if part.least is not None), default=usd)
    return Undone(stage, sum(part.requests for part in parts), usd, least)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the person has said of money, and where."""

    manifest: str
    again: str  # the command that goes on, without options about money
    in_manifest: Mapping[Limit, Decimal | None]  # by "run" and "day"
    in_force: Mapping[Limit, Decimal | None]  # the same, or what the command line said, where that is less

    def command(self, raised: Mapping[Limit, Decimal] = MappingProxyType({})) -> str:
        """The line that goes on, with the caps that were typed: a cap is not to be forgotten by pasting a line.

        ``raised``: caps to have instead. Where the manifest's own is to be raised to that, no option is left.
        """
        caps: dict[Cap, Decimal] = {}
        for cap in CAPS:
            amount, known = self.in_force[cap], self.in_manifest[cap]
            if amount is None or amount == known:
                continue
            amount = raised.get(cap, amount)
            if known is None or amount < known:
                caps[cap] = amount
        return " ".join([self.again, *capped(caps)])

    def edit(self, limit: Limit, stage: str, amounts: Mapping[Decimal, str]) -> str | None:
        """What is to be changed in the manifest before such amounts can be in force; None: nothing."""
        known = self.in_manifest.get(limit)
        above = {amount: what for amount, what in amounts.items() if known is not None and amount > known}
        if limit == "stage":
            above, where = dict(amounts), f"of stage `{stage}`"
        else:
            where = "under `budget:`"
        if not above:
            return None
        (first, what), *more = above.items()
        others = "".join(f"; {amount} {said}" for amount, said in more)
        return f"in {self.manifest}, `{_KEYS[limit]}: {first}` {where} {what}{others}"


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why a run stops. ``rooms``: the caps of a stage, as they are now; ``not_begun``: stages that wait for others."""

    left: Sequence[Undone]
    rooms: Callable[[str], Sequence[Room]]
    not_begun: Sequence[str] = ()

    @property
    def next(self) -> Undone:
        """The stage that needs least to go on."""
        return min(self.left, key=lambda part: part.least)

    @property
    def binding(self) -> list[Room]:
        """The caps that keep it from going on; each of them must give way."""
        return [room for room in self.rooms(self.next.stage) if room.committed + self.next.least > room.cap]

    def enough(self, room: Room) -> Decimal:
        """A cap under which everything that is left fits at its ceiling."""
        here = [self.next] if room.limit == "stage" else self.left
        return _cents(room.committed + sum((part.usd for part in here), Decimal(0)))

    def least(self, room: Room) -> Decimal:
        """A cap under which at least something goes on."""
        return _cents(room.committed + self.next.least)

    def comes_back(self, room: Room) -> bool:
        """Whether waiting for tomorrow is enough."""
        return room.limit == "day" and self.next.least <= room.cap

    def message(self) -> str:
        """Without a clock: a person is told again where it changes."""
        parts = [f"{p.stage}: {p.requests:,} requests not sent, up to {dollars(p.usd)}" for p in self.left]
        if self.not_begun:
            parts.append(f"not begun: {', '.join(self.not_begun)}")
        for room in self.binding:
            left, used = dollars(max(room.left, Decimal(0))), dollars(room.committed)
            parts.append(
                f"{left} is left of the {room.name} of {dollars(room.cap)} ({used} spent, reserved or suspected), and"
                f" the smallest part that is worth a turnaround could take {dollars(self.next.least)}"
            )
            if self.comes_back(room):
                parts.append("the cap of the day is free again at 00:00 UTC")
        return "; ".join(parts)

    def hint(self, terms: Terms, now: float) -> str:
        """The lines to type: what is to be changed in the manifest, if anything, and the command."""
        binding, lines = self.binding, []
        waits = bool(binding) and all(self.comes_back(room) for room in binding)
        if waits:
            lines.append(f"{terms.command()}   # from 00:00 UTC on, {_until_midnight(now)}")
        for room in binding:
            amounts = {self.least(room): _GOES_ON, self.enough(room): _ENOUGH}
            if change := terms.edit(room.limit, self.next.stage, amounts):
                lines.append(change)
        least = terms.command({room.limit: self.least(room) for room in binding})
        enough = terms.command({room.limit: self.enough(room) for room in binding})
        if least != enough:
            lines += [f"{least}   # {_GOES_ON}", f"{enough}   # {_ENOUGH}"]
        elif not waits:
            lines.append(least)
        return "\n".join(lines)


def _cents(usd: Decimal) -> Decimal:
    return usd.quantize(_CENT, rounding=ROUND_CEILING)


def _until_midnight(now: float) -> str:
    minutes = math.ceil((86400 - now % 86400) / 60)
    return f"in {minutes // 60} h" if minutes >= 120 else f"in {minutes} min"
