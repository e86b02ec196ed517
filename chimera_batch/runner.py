"""plan · submit · poll · collect · join: one pass over all stages, and the loop that converges.

``advance`` is the whole engine: it may be killed anywhere and called again, by anyone, on any machine. ``converge``
calls it until nothing is left to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal

from chimera_batch.calls import asking
from chimera_batch.context import Context
from chimera_batch.doing import Doing
from chimera_batch.errors import NotFinished, ProviderDown, StoreDown
from chimera_batch.history.counts import Standing, last_asked
from chimera_batch.pipeline.project import Stage
from chimera_batch.rules.shortfall import Over
from chimera_batch.steps import joining, planning, polling, recalling, standing, switching, underway, waves
from chimera_batch.steps.joining import Made
from chimera_batch.steps.stepping import Round, Step, inputs_of
from chimera_batch.steps.submitting import Sender, check_breaker

_STORE_DOWN = 6 * 3600.0  # seconds for which a store that does not answer is waited for while providers work
_PACK_TRIES = 50  # how often another runner may pack first before we call it a bug


@dataclass(slots=True)
class Progress:
    """What a pass found: what is still under way or waited for, and what only a person or a budget can free."""

    position: tuple[int, ...]  # what was over when the pass began; what is over since then may have been missed by it
    tables: dict[str, Made] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)  # stages without a current table
    in_flight: int = 0  # requests of this run that a provider has, whichever run sent them
    waits: list[str] = field(default_factory=list)
    until: list[float] = field(default_factory=list)  # of those waits that a moment ends: when
    over: list[Over] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    piloted: list[str] = field(default_factory=list)  # stages whose sample is in: may the rest be sent?
    alarm: float | None = None  # when the time of a stage is over: it is looked at again, whatever is under way
    halted: bool = False  # a person cancelled the run: what is under way is collected, nothing is sent

    @property
    def done(self) -> bool:
        return not self.unfinished

    @property
    def out_of_money(self) -> bool:
        """Whether a budget is all that is in the way: nothing is waited for that would go on or make room."""
        return bool(self.over) and not self.in_flight and not self.waits

    def due(self, now: float) -> bool:
        """Whether planning could find something new although nothing has moved: a wait is over, or its end is not
        known and nobody works whose end would tell."""
        if any(now >= until for until in self.until):
            return True
        return not self.in_flight and len(self.until) < len(self.waits)


def converge(ctx: Context, *, until: str | None = None) -> Progress:
    """Advance until the run is done, or until only a person, a budget or nobody can move it on."""
    while True:
        progress = advance(ctx, until=until)
        if progress.done or progress.stuck:
            return progress
        if (progress.out_of_money or progress.halted or progress.piloted) and not progress.in_flight:
            return progress
        if not _anything_new(ctx, progress):
            return progress


def _anything_new(ctx: Context, progress: Progress) -> bool:
    """Wait for the providers, without planning anything again, until one of them has moved."""
    answered = ctx.clock()
    while progress.in_flight or progress.waits:
        underway.tell(ctx)
        ctx.sleep(ctx.timing.poll)
        try:
            if polling.poll(ctx) or _position(ctx) != progress.position or progress.due(ctx.clock()):
                return True
        except StoreDown as error:  # in a long night it comes back before a person does; what is polled again is safe
            if ctx.clock() - answered > _STORE_DOWN:
                raise
            ctx.say(f"{error}; trying again")
            continue
        answered = ctx.clock()
        if progress.alarm is not None and ctx.clock() >= progress.alarm:
            return True
    return False


def _position(ctx: Context) -> tuple[int, ...]:
    """What is over, in numbers: changes whenever planning could find something new, whoever brought it about."""
    facts = ctx.ledger.refresh()
    stands = [attempt.stand for _, attempt in facts.attempts()]
    switches = sum(map(len, facts.switches.values()))
    return (
        *(stands.count(stand) for stand in ("stuck", "landed", "dropped")),
        sum(facts.retries.values()),
        switches,
        ctx.run in facts.halted,
    )


def advance(ctx: Context, *, until: str | None = None) -> Progress:
    """One pass: collect what ended, then take every stage as far as it goes."""
    polling.poll(ctx)
    progress = Progress(_position(ctx))
    place = 0
    while place < len(stages := stages_until(ctx, until)):
        _advance_stage(ctx, stages[place].name, progress)
        stages = stages_until(ctx, until)  # it may have fallen back
        sized = waves.ending_at(stages, stages[place])
        place += 1
        if sized is None:
            continue
        first = stages.index(sized)
        if any(stage.name in progress.unfinished for stage in stages[first:place]):
            progress.unfinished += [stage.name for stage in stages[place:]]  # they wait for the last wave
            break
        if waves.again(ctx, sized, progress.tables):
            for stage in stages[first:place]:
                del progress.tables[stage.name]
            place = first
    if progress.over and not progress.in_flight:
        progress.waits += _releasing(ctx)
    blocked = ctx.blocked(in_flight=bool(progress.in_flight))
    progress.stuck = [f"{shard.id}: {attempt.reason}" for shard, attempt in blocked]
    return progress


def _releasing(ctx: Context) -> list[str]:
    """What still holds a reservation although none of the requests under way is wanted any more."""
    moving = ctx.moving(ctx.run)
    held = sum((attempt.usd for attempt in moving), Decimal(0))
    return [f"${held:.2f} is reserved for batches under way, whose end makes room"] if moving else []


def _advance_stage(ctx: Context, name: str, progress: Progress) -> None:
    """Take a stage as far as it goes, with as many of its models as it has to."""
    while True:
        with suppress(switching.Moved):
            return _advance(ctx, ctx.project.stage(name), progress)


def _advance(ctx: Context, stage: Stage, progress: Progress) -> None:
    with ctx.warehouse() as (warehouse, folder):
        inputs = inputs_of(stage, progress.tables, warehouse)
        table = None
        if inputs is not None:
            step = Step(ctx, stage, inputs, warehouse, folder)
            table = step.current() or _take(step, progress)
    if table is None:
        progress.unfinished.append(stage.name)
    else:
        progress.tables[stage.name] = table


def stages_until(ctx: Context, until: str | None) -> list[Stage]:
    stages = list(ctx.project.stages)
    if until is None:
        return stages
    return stages[: stages.index(ctx.project.stage(until)) + 1]


def _take(step: Step, progress: Progress) -> Made | None:
    """Take one stage as far as it goes: its table, or None while its answers are not all in."""
    joining.view_inputs(step.inputs, step.warehouse)
    if step.stage.kind == "sql":
        return _join(step, None, [])
    pilot = step.ctx.pilot
    if pilot is not None and pilot.stage not in {None, step.stage.name}:
        return None  # only that one stage is asked anything
    walked = step.walk(lambda paths: _send(step, paths, progress), keep=True)
    if not walked.finished:
        return None
    if len(walked.paths) == len(last_asked(step.ctx.facts, step.ctx.run, step.stage)):
        recalling.keep(step.ctx, step.stage, walked.standing, step.warehouse)
    return _join(step, walked.standing, walked.waves)


def _join(step: Step, counts: Standing | None, asked: Sequence[str]) -> Made:
    step.ctx.doing([Doing("joining", step.stage.name)])
    table = joining.build(step.ctx, step.stage, step.warehouse, step.folder)
    return joining.keep(step.ctx, step.stage, (step.fingerprint_of(asked), step.making), table, counts)


def _send(step: Step, paths: list[Round], progress: Progress) -> Standing:
    """Pack and send what is missing; how the requests stand afterwards."""
    ctx, stage = step.ctx, step.stage
    counts, upto = packed(step, paths)
    progress.halted = ctx.run in ctx.facts.halted
    left = counts.states["packed"] + counts.states["retryable"]
    leaves = switching.due(ctx, stage, counts)
    if leaves is not None:
        progress.waits.append(switching.go(ctx, stage, leaves, counts))
    elif upto != planning.ALL and standing.keep_sample(step.warehouse, step.folder, upto):
        progress.piloted.append(stage.name)
    elif left and not progress.halted:
        check_breaker(ctx, stage, counts)
        joining.check(ctx, stage, step.warehouse)
        counts = _sent(step, paths, counts, progress)
    progress.in_flight += counts.states["in_flight"]
    rings = [when for when in (progress.alarm, switching.alarm(ctx, stage)) if when is not None]
    progress.alarm = min(rings, default=None)
    return counts


def packed(step: Step, paths: list[Round]) -> tuple[Standing, str]:
    """Pack what may be sent: everything, or a sample while nobody has agreed to more; and where the sample ends."""
    ctx, stage = step.ctx, step.stage
    number = len(paths)
    lines = (number, step.lines[number]) if number in step.lines else None
    for _ in range(_PACK_TRIES):
        seen = ctx.facts.packs.get(ctx.realm(stage), 0)  # before the views are made that tell what is missing
        counts = step.stand(paths)
        upto = planning.ALL
        if ctx.pilot is not None and ctx.pilot.samples(stage, counts.wanted, ctx.profile(stage).min_requests):
            upto = planning.sample_end(step.warehouse, ctx.pilot.requests)
        if not counts.states["not_asked"] or not planning.unpacked(step.warehouse, upto):
            return counts, upto
        extent = planning.Extent(seen, upto, counts.states["answered"], lines)
        if not planning.pack(ctx, stage, step.warehouse, step.folder, extent):
            lines = None
    raise NotFinished(
        "other runners keep packing requests of the same host",
        where=f"stage {stage.name}",
        hint=ctx.again(),
    )


def _sent(step: Step, paths: list[Round], counts: Standing, progress: Progress) -> Standing:
    """Send what is open and in the view ``standing``."""
    ctx, stage = step.ctx, step.stage
    sender = Sender(ctx, stage, step.warehouse, step.folder)
    try:
        sender.send()
        if sender.synchronous:
            asking.ask(ctx, stage, switching.watch(ctx, stage, counts))
    except ProviderDown as error:
        switching.failed(ctx, stage, error)
    progress.waits += sender.waits
    progress.until += sender.until
    progress.over += sender.over
    counts = step.stand(paths) if sender.sent else counts
    left = counts.states["packed"] + counts.states["retryable"]
    if left and sender.sent:
        progress.waits.append(f"{stage.name}: {left:,} requests are to be sent again")
    return counts
