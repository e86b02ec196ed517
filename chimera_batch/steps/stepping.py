"""One stage as far as it goes: its inputs, its rounds, its table. Shared by the runner and the estimate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from chimera_batch.context import Context
from chimera_batch.history.counts import NOTHING, Standing, last_asked
from chimera_batch.history.facts import Asked
from chimera_batch.pipeline.project import Stage
from chimera_batch.requests.blocks import Blocks
from chimera_batch.rules import fallback
from chimera_batch.steps import drawing, fingerprints, joining, standing
from chimera_batch.steps.joining import Made
from chimera_batch.stores.overlap import prefetch
from chimera_batch.warehouse import Warehouse

OWN_VIEWS = {"answers", "kept", "previous"}
"""What the engine itself offers to a stage's SQL."""


def reads_of(stage: Stage, warehouse: Warehouse) -> set[str]:
    """The tables of other stages that a stage's SQL reads."""
    sources = [stage.rows, stage.table, stage.rounds.until if stage.rounds else None]
    return {name for source in sources if source for name in warehouse.inputs(source)} - OWN_VIEWS


def inputs_of(stage: Stage, tables: Mapping[str, Made], warehouse: Warehouse) -> dict[str, Made] | None:
    """The tables that a stage reads; None while one of them is not made yet."""
    reads = reads_of(stage, warehouse)
    return {name: tables[name] for name in sorted(reads)} if reads <= tables.keys() else None


Round = tuple[Path, ...]
"""The files of what one round asks."""


def files_of(rounds: Iterable[Round]) -> list[Path]:
    """The files of several rounds."""
    return [path for one in rounds for path in one]


@dataclass(frozen=True, slots=True)
class Walked:
    """How far the rounds of a stage are settled."""

    paths: list[Round]  # of all rounds asked
    standing: Standing
    number: int  # of the last round
    finished: bool  # settled, and no further round is wanted, or none before later stages have gone on
    waves: list[str] = field(default_factory=list)  # fingerprints of the rounds, where they are waves


@dataclass(frozen=True, slots=True)
class Step:
    """One stage with its inputs at hand."""

    ctx: Context
    stage: Stage
    inputs: Mapping[str, Made]
    warehouse: Warehouse
    folder: Path
    lines: dict[int, Blocks] = field(default_factory=dict)  # of rounds that this process has just drawn

    @property
    def fingerprint(self) -> str:
        return self.fingerprint_of([wave.fingerprint for wave in self.waves()])

    def fingerprint_of(self, waves: Sequence[str]) -> str:
        """What shapes the table that is made from these waves (none where the stage has no waves)."""
        retries = self.ctx.facts.retries.get((self.ctx.run, self.stage.name), 0)
        return fingerprints.of_stage(self.stage, self.ctx.project.params, self._contents, retries, self._realm, waves)

    @property
    def making(self) -> str:
        """What makes the table of the answers to what was asked."""
        asked = [key for one in last_asked(self.ctx.facts, self.ctx.run, self.stage) for key in one.keys]
        return fingerprints.of_making(self.stage, self.ctx.project.params, self._contents, self._realm, asked)

    def waves(self) -> list[Asked]:
        """The waves asked so far that still stand. Later ones cannot be drawn again, as what they were sized from has
        moved on, so they stand as long as all but that is as it was."""
        rounds = self.stage.rounds
        if rounds is None or rounds.after is None:
            return []
        known = self.ctx.facts.asked.get((self.ctx.run, self.stage.name), {})
        base, found = self.mark(""), list[Asked]()
        for number in range(1, rounds.max + 1):
            if number not in known or known[number].base not in {base, self._before(known[number]).mark("")}:
                break
            found.append(known[number])
        return found

    def mark(self, previous: str) -> str:
        """The fingerprint of a round; ``previous`` is the digest of those before it."""
        return fingerprints.of_round(self.stage, self.ctx.project.params, self._contents, previous)

    def _before(self, asked: Asked) -> Step:
        """The stage as it was when a round was asked: it may have fallen back since."""
        if asked.switches >= self.stage.switches:
            return self
        switches = self.ctx.facts.switches[self.ctx.run, self.stage.name][: asked.switches]
        return replace(self, stage=fallback.fallen(self.ctx.told.by_name[self.stage.name], switches))

    @property
    def _realm(self) -> str | None:
        return self.ctx.realm(self.stage) if self.stage.kind == "ask" else None

    @property
    def _contents(self) -> dict[str, str]:
        left = {f"answers of {realm}": "" for realm in self.ctx.left_realms(self.stage)}
        return {name: table.sha256 for name, table in self.inputs.items()} | left

    def current(self) -> Made | None:
        """The stage's table, if nothing that shapes it has changed since it was made."""
        table = self.ctx.facts.tables.get((self.ctx.run, self.stage.name))
        return joining.made(self.ctx, table) if table and table.fingerprint == self.fingerprint else None

    def before(self, walked: Walked) -> Made | None:
        """The stage's table as it was last made, if it lacks nothing but rows that its one round gained since, and no
        other answer is known than then: as good as one made now, for an estimate."""
        table = self.ctx.facts.tables.get((self.ctx.run, self.stage.name))
        asked = last_asked(self.ctx.facts, self.ctx.run, self.stage)
        if table is None or not asked or self.stage.rounds or walked.finished or table.making != self.making:
            return None
        now = walked.standing.states
        same = all(table.standing.get(state) == now[state] for state in ("answered", "given_up"))
        gained = walked.paths[0][:-1] == self._fetched(asked[0])
        return joining.made(self.ctx, table) if same and gained else None

    def walk(self, settle: Callable[[list[Round]], Standing], *, keep: bool) -> Walked:
        """Go through the rounds until one is not settled or there are enough.

        ``settle`` does what it can for the rounds so far and says how they stand; ``keep`` makes new rounds facts.
        """
        joining.view_kept(None, self.warehouse, self.folder)
        if self.stage.rounds and self.stage.rounds.after:
            return self._walk_waves(settle, keep=keep)
        rounds = self.stage.rounds.max if self.stage.rounds else 1
        paths: list[Round] = []
        counts = NOTHING
        for number in range(1, rounds + 1):
            content = joining.view_previous(self.ctx, self.stage, files_of(paths), self.warehouse, self.folder)
            if paths and joining.enough(self.ctx, self.stage, number - 1, self.warehouse):
                return Walked(paths, counts, number - 1, finished=True)
            paths.append(self._ask(number, content, keep=keep))
            counts = settle(paths)
            if not counts.settled:
                return Walked(paths, counts, number, finished=False)
        return Walked(paths, counts, rounds, finished=True)

    def _walk_waves(self, settle: Callable[[list[Round]], Standing], *, keep: bool) -> Walked:
        """All waves so far at once: a further one is only drawn when later stages have gone on (``waves.again``)."""
        joining.view_previous(self.ctx, self.stage, [], self.warehouse, self.folder)
        first = self._ask(1, "", keep=keep)
        asked = self.waves()
        paths = [first, *(self._fetched(wave) for wave in asked[1:])]
        if len(asked) > 1 and asked[-1].switches < self.stage.switches:
            paths[-1] = self._ask_elsewhere(asked[-1], keep=keep)
            asked = self.waves()
        counts = settle(paths)
        return Walked(paths, counts, len(paths), counts.settled, [wave.fingerprint for wave in asked])

    def stand(self, paths: list[Round]) -> Standing:
        return standing.stand(self.ctx, self.stage, files_of(paths), self.warehouse, self.folder)

    def _fetched(self, asked: Asked) -> Round:
        return tuple(prefetch(self.ctx.store, asked.keys))

    def _ask(self, number: int, previous: str, *, keep: bool) -> Round:
        """The round's requests: as they were drawn before, or drawn now if anything that shapes them changed."""
        ctx, stage = self.ctx, self.stage
        mark = self.mark(previous)
        rounds = ctx.facts.asked.get((ctx.run, stage.name), {})
        known = rounds.get(number)
        if known is not None and known.fingerprint == mark:
            return self._fetched(known)
        if known is not None and number < max(rounds) and known.base == self._before(known).mark(previous):
            return self._fetched(known)  # it was closed before the stage fell back: later rounds rest on it
        if not keep:
            return self._looked_at(number, mark)
        drawn = ctx.drawings.take(stage.name, number, mark, self.folder) if ctx.drawings else None
        if drawn is None or drawn.before not in {None, known}:  # another runner's rows are not those that it adds to
            if ctx.drawings:
                ctx.drawings.forget(stage.name)
            drawn = drawing.draw(ctx, stage, number, self.warehouse, self.folder, keep_lines=True)
        asked, ours = drawing.keep_asked(ctx, stage, number, mark, drawn)
        files = self._fetched(asked)
        if drawn.lines is not None and ours:
            self.lines[number] = drawn.lines
            if ctx.drawings:
                ctx.drawings.asked(stage.name, files[-1])
        return files

    def _ask_elsewhere(self, wave: Asked, *, keep: bool) -> Round:
        """The last wave, which cannot be drawn again, with its very rows for the model that is asked now."""
        drawn = drawing.draw_again(self.ctx, self.stage, wave, self.warehouse, self.folder)
        if not keep:
            return (drawn.path,)
        mark = ":".join([self.mark(""), *wave.fingerprint.split(":")[1:]])
        return self._fetched(drawing.keep_asked(self.ctx, self.stage, wave.round, mark, drawn)[0])

    def _looked_at(self, number: int, mark: str) -> Round:
        """A round's requests without asking them. A command that may ask them later keeps what it has drawn."""
        ctx, name = self.ctx, self.stage.name
        drawn = ctx.drawings.look(name, number, mark) if ctx.drawings else None
        if drawn is None:
            drawn = drawing.draw(
                ctx, self.stage, number, self.warehouse, self.folder, keep_lines=ctx.drawings is not None
            )
            if ctx.drawings:
                drawn = ctx.drawings.keep(name, number, mark, drawn)
        return (*(self._fetched(drawn.before) if drawn.before else ()), drawn.path)
