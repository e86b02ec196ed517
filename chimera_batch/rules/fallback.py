"""When a stage goes on with another of its models, and what it then is. Pure.

A run only ever moves down the list of a stage, and what was answered before it did stands. Where a stage is follows
from the switches in the journal alone, so every runner sees the same. Floor 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from chimera_batch.cost.sampling import LEAST
from chimera_batch.errors import EngineWhy
from chimera_batch.history.facts import Attempt, Facts, Shard, Switched
from chimera_batch.pipeline.project import Project
from chimera_batch.pipeline.stage import Cause, Stage
from chimera_batch.providers.base import Profile
from chimera_batch.records import Call
from chimera_batch.rules.routing import in_front

SILENCES = 5  # attempts in a row that a host did not take: it is down
_EARLY = 0.5  # of the time that a stage has: from then on few answers say something too

_CAUSES: Mapping[EngineWhy, Cause] = {
    "no_gpu": "no_gpu",
    "not_installed": "no_gpu",
    "out_of_memory": "out_of_memory",
    "crash": "crash",
    "stalled": "crash",
}


# -- where a stage is


def present(project: Project, switches: Mapping[str, Sequence[Switched]]) -> Project:
    """The project with every stage as its switches left it, asked the way that its model can be asked."""
    stages = [fallen(stage, switches.get(stage.name, ())) for stage in project.stages]
    return replace(project, stages=tuple(_able(stage, project.profiles) for stage in stages))


def _able(stage: Stage, profiles: Mapping[str, Profile]) -> Stage:
    """A model whose host takes no batches is asked synchronously, whatever the window of the others."""
    if stage.kind != "ask" or not profiles[stage.calls[0].provider].only_now:
        return stage
    return replace(stage, window="now")


def fallen(stage: Stage, switches: Sequence[Switched]) -> Stage:
    """A stage of the manifest as its switches left it.

    A switch counts if it leads from where the stage is to a model that is still in its list. Answers of models that it
    has been at stand as long as they are in the list.
    """
    if not switches:
        return stage
    known = _models(stage)
    at = _walk(stage, switches)
    been = {name for switch in switches for name in (switch.left, switch.to)} & known.keys()
    left = tuple(call for name, call in known.items() if name in been and name != at)
    return replace(in_front(stage, known[at]), left=left, switches=len(switches))


def later(stage: Stage, switches: Sequence[Switched]) -> list[Call]:
    """Where a stage of the manifest may still go: further down its list, never to a model that it left."""
    known = _models(stage)
    names, left = list(known), {switch.left for switch in switches}
    return [known[name] for name in names[names.index(_walk(stage, switches)) + 1 :] if name not in left]


def name_of(call: Call) -> tuple[str, str]:
    """A model by its host and its name there."""
    return call.provider, call.model


def _models(stage: Stage) -> dict[tuple[str, str], Call]:
    known: dict[tuple[str, str], Call] = {}
    for call in stage.calls:
        known.setdefault(name_of(call), call)
    return known


def _walk(stage: Stage, switches: Sequence[Switched]) -> tuple[str, str]:
    known, at = _models(stage), name_of(stage.calls[0])
    for switch in switches:
        if switch.left == at and switch.to in known:
            at = switch.to
    return at


# -- whether it goes on elsewhere


Sent = Sequence[tuple[Shard, Attempt]]
"""What a stage has sent to the model that it asks now, since it does."""


def sent(facts: Facts, run: str, stage: Stage) -> list[tuple[Shard, Attempt]]:
    """The attempts of a run's stage at the model that it asks now, the oldest first."""
    switches = facts.switches.get((run, stage.name), ())
    since = switches[-1].at if switches else 0.0
    mine = [
        (shard, attempt)
        for shard, attempt in facts.attempts(run)
        if attempt.stage == stage.name
        and (shard.provider, shard.model) == name_of(stage.calls[0])
        and attempt.at >= since
    ]
    return sorted(mine, key=lambda pair: (pair[1].at, pair[0].id, pair[1].number))


def cause_of(why: EngineWhy) -> Cause:
    """The rule's word for what became of an engine."""
    return _CAUSES[why]


def expired(found: Sent) -> str | None:
    """What says that a batch has expired, if one has."""
    for shard, attempt in found:
        if count := attempt.outcomes.get("expired", 0):
            return f"{count:,} requests of {shard.id} attempt {attempt.number}"
    return None


def down(found: Sent) -> str | None:
    """What says that the host takes nothing: the last sendings of one shard were all in vain, and none of another
    shard fared better meanwhile."""
    for shard in {id(shard): shard for shard, _ in found}.values():
        last = [attempt for one, attempt in found if one is shard][-SILENCES:]
        vain = len(last) == SILENCES and all(_in_vain(attempt) for attempt in last)
        if vain and not any(attempt.batch for _, attempt in found if attempt.at >= last[0].at):
            return f"{SILENCES} attempts in a row: {last[-1].reason}"
    return None


def _in_vain(attempt: Attempt) -> bool:
    """Given back without a batch, and not because the queue was full, which a host that works says."""
    return attempt.stand == "dropped" and attempt.batch is None and attempt.queue_full_at is None


def dear(found: Sent, expected: Decimal | None, most: Decimal) -> str | None:
    """What says that a request costs more than ``most`` USD: its answers so far, else what one is expected to cost."""
    answers = sum(attempt.outcomes.get("ok", 0) for _, attempt in found)
    if answers >= LEAST:
        mean = sum((attempt.billed for _, attempt in found), Decimal(0)) / answers
        return f"${mean:.6f} a request, measured on {answers:,} answers" if mean > most else None
    if found or expected is None or expected <= most:
        return None
    return f"${expected:.6f} a request is expected"


@dataclass(frozen=True, slots=True)
class Pace:
    """How a stage gets on at one model. Times in seconds since the epoch.

    ``began``: its first claim anywhere; ``since``: its first claim at this model; ``left``: requests without an answer;
    ``promised``: (submitted, hours that it takes by promise or by experience) of each batch under way.
    """

    began: float
    since: float
    answered: int
    left: int
    promised: tuple[tuple[float, float], ...] = ()


def late(pace: Pace, within_hours: float, now: float) -> str | None:
    """Why a stage will not be done so many hours after it began, as far as can be told; None while it may.

    A batch that was promised for later than all the time there is says nothing: then the clock alone decides. A rate
    counts once it rests on enough answers, or on half of the time.
    """
    if not pace.left:
        return None
    end = pace.began + within_hours * 3600
    if now >= end:
        return f"the {within_hours:g} hours are over, {pace.left:,} requests are not answered"
    for submitted, hours in pace.promised:
        if hours <= within_hours and submitted + hours * 3600 > end:
            return f"a batch that takes {hours:g} hours ends after the {within_hours:g} hours"
    spent = now - pace.since
    known = pace.answered >= LEAST or spent >= _EARLY * within_hours * 3600
    if pace.promised or not known or now + pace.left * spent / max(pace.answered, 1) <= end:
        return None
    rate = pace.answered / max(spent, 1.0) * 3600
    return f"{rate:,.1f} answers an hour leave some of {pace.left:,} requests for after the {within_hours:g} hours"
