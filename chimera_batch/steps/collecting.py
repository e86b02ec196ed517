"""Batches that ended → raw objects → landed answers → one fact. Safe to do twice, and from any machine.

Whatever files exist are read, whatever the status says. The raw bytes are kept while they are decoded, both they and
the answers before they are counted; only then is anything removed at the provider. Keys hold a digest of the content,
so that a landing that was cut short can never be taken for a later, complete one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from chimera_batch import digests
from chimera_batch.context import Context, engine_sql
from chimera_batch.doing import Doing
from chimera_batch.errors import AccountRefused, ProviderError
from chimera_batch.history.facts import Attempt, Shard
from chimera_batch.history.ledger import doubt, money
from chimera_batch.records import BatchState, Outcome, Problem, Usage
from chimera_batch.requests import wire
from chimera_batch.results import decoding, reconciling
from chimera_batch.results.decoding import Sent, Tally
from chimera_batch.results.reconciling import Fear, Terms, Unbilled
from chimera_batch.steps.landing import Decoded, Results
from chimera_batch.warehouse import Warehouse

_ABSENT: Mapping[str, Outcome] = {
    "expired": "expired",
    "cancelled": "cancelled",
    "canceled": "cancelled",
    "stopped": "cancelled",
    "partiallycompleted": "expired",  # Bedrock: "not all of your records could be processed in time"
}
"""What became of requests without a row, by the status of their batch; any other status leaves them missing."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of requests without a result. Costs of what may have been executed are *suspected*."""

    reported: Usage | None = None  # the provider's own totals
    begun: AbstractSet[str] | None = None  # ids that may have been executed; None: all
    some: int = 0  # how many of the others may have been, it is not known which


def land(
    ctx: Context,
    shard: Shard,
    attempt: Attempt,
    state: BatchState,
    believed: Callable[[], bool] = lambda: True,
    *,
    threads: int = 2,
) -> bool:
    """Download, keep, decode, reconcile, and write the fact. True when this call wrote it.

    ``believed``: asked where fewer lines came than the batch says are done; no lets it be looked at again later.
    ``threads``: DuckDB's; one where another batch is landed meanwhile.

    A batch that is not ours after all is disowned. Raises AccountRefused when the account refused every row.
    """
    ctx.doing([Doing("reading", shard.id, 0, attempt.requests)])
    with _landing(ctx, shard, attempt, threads) as landing:
        absent = _ABSENT.get(state.status, "missing")
        sent = landing.sent(absent)
        files = landing.download(state)
        decoded = landing.decode(files, sent)
        if decoded.found < attempt.requests:  # perhaps a file was not all there yet, or its download was cut short
            decoded = landing.better(decoded, (files, landing.download(state)), sent)
        if decoded.lines < min(state.done, attempt.requests) and not believed():  # one of two files may show later
            return False
        known = Known(state.usage, None if absent == "missing" else frozenset())
        landed = landing.land(decoded, sent, state.status, known)
    clean(ctx, shard, attempt)
    return landed


def land_spool(ctx: Context, shard: Shard, attempt: Attempt, spool: Path, known: Known) -> bool:
    """Land the replies of synchronous calls. Requests without a reply get no row: they are simply still to be asked."""
    with _landing(ctx, shard, attempt) as landing:
        sent = landing.sent(None)
        return landing.land(landing.decode([spool], sent), sent, "answered", known)


def land_refused_lines(ctx: Context, shard: Shard, attempt: Attempt, status: str, bad: Mapping[int, Problem]) -> None:
    """Book the lines that the provider named as definite errors; the others were not executed and go again."""
    with _landing(ctx, shard, attempt) as landing:
        sent, tally = landing.sent(None), Tally(keep_apart=lambda record: None)
        order = (wire.request_id(line) for line in wire.read_lines(ctx.store.fetch(shard.key)))
        numbered = enumerate((identity for identity in order if identity in sent.ceilings), 1)
        refused = decoding.refused(sent, {identity: bad[n] for n, identity in numbered if n in bad}, tally)
        landing.record(landing.keep_answers(landing.write([refused], sent)), (), tally, status)


@contextmanager
def _landing(ctx: Context, shard: Shard, attempt: Attempt, threads: int = 1) -> Iterator[_Landing]:
    with ctx.warehouse(threads=threads) as (warehouse, folder):
        yield _Landing(ctx, shard, attempt, warehouse, folder)


@dataclass(frozen=True, slots=True)
class _Landing(Results):
    """One attempt that is being landed."""

    def sent(self, absent: Outcome | None) -> Sent:
        shard, price = self.shard, self.ctx.claimed_price(self.shard, self.attempt)
        ceilings = sent_ceilings(self.ctx, shard, self.attempt, self.warehouse)
        batch, tier = shard.batch_priced, wire.tier_of(shard.window)
        number, nonce = self.attempt.number, self.attempt.nonce
        return Sent(shard.id, number, nonce, ceilings, absent, price, batch_price=batch, tier=tier)

    def download(self, state: BatchState) -> list[Path]:
        """The batch's files, each time into a new folder."""
        target = Path(mkdtemp(dir=self.folder, prefix="download-"))
        return list(self.ctx.host(self.shard).fetch(state, target))

    def better(self, first: Decoded, downloads: tuple[list[Path], list[Path]], sent: Sent) -> Decoded:
        """The one of two downloads that holds more of the ids sent, else the longer one.

        ``first``: the first of them, decoded. A body may be cut short, and it may be spoilt on the way.
        """
        files, again = downloads
        if len(again) == len(files) and all(map(digests.alike, files, again)):
            return first
        second = self.decode(again, sent)
        if (second.found, _size(again)) > (first.found, _size(files)):
            return second
        return self.decode(files, sent)  # the rows of the second lie where those of the first did

    def land(self, decoded: Decoded, sent: Sent, status: str, known: Known) -> bool:
        tally = decoded.tally
        answers = self.keep_answers(decoded.answers)
        if tally.quarantined:
            self._keep(self._key("quarantine", digests.of_file(decoded.apart), "jsonl"), decoded.apart)
            self.ctx.say(f"{self.shard.id}: {tally.quarantined:,} lines are kept in quarantine/ (first: {tally.apart})")
            if self.attempt.adopted and self.attempt.batch and tally.foreign and not tally.seen:
                return self._disown(self.attempt.batch)
        self._reconcile(sent, tally, known)
        landed = self.record(answers, decoded.raw, tally, status)
        if tally.account:
            raise AccountRefused(f"{self.shard.provider}: {tally.account}", hint="mend the account, then run again")
        return landed

    def _reconcile(self, sent: Sent, tally: Tally, known: Known) -> None:
        """Hold the rows that came against the provider's totals, and say what does not fit."""
        terms = terms_of(self.ctx, self.shard, self.attempt)
        found = reconciling.suspect(self._unbilled(sent, tally, known, terms), tally.usage, known.reported, terms)
        tally.suspected, tally.reported = found.usd, known.reported
        if found.note:
            self.ctx.say(f"{self.shard.id}: {found.note}; the bill rests on the rows")

    def _unbilled(self, sent: Sent, tally: Tally, known: Known, terms: Terms) -> Unbilled:
        def fear(identity: str) -> Fear:
            if identity in tally.seen:
                return "executed" if tally.unbilled[identity] else "no"
            return "executed" if known.begun is None or identity in known.begun else "perhaps"

        ids = [identity for identity in sent.ceilings if identity not in tally.seen] + list(tally.unbilled)
        if not ids:
            return reconciling.unbilled((), terms)
        self.warehouse.view("fresh_members", [self.ctx.store.fetch(self.shard.members)])
        bounds = self.warehouse.rows(engine_sql("bounds"), {"ids": ids})
        without = ((bound, sent.ceilings[identity], fear(identity)) for identity, bound in bounds)
        return reconciling.unbilled(without, terms, some=known.some + tally.malformed)

    def record(self, key: str, raw: Sequence[str], tally: Tally, status: str) -> bool:
        """Write the fact; False when another runner had landed this attempt already."""
        outcomes = {name: count for name, count in tally.outcomes.items() if count}
        fact = {
            "key": key,
            "raw": list(raw),
            "outcomes": outcomes,
            "usd": money(tally.usd),
            "quarantined": tally.quarantined,
            "status": status,
            "final": True,
            **doubt(tally.suspected, tally.reported),
        }
        if not self.ctx.ledger.landed(self.shard, self.attempt, fact):
            return False
        said = ", ".join(f"{n:,} {name}" for name, n in sorted(outcomes.items(), key=lambda item: -item[1]))
        whys = "".join(f"; {name}: {why}" for name, why in sorted(tally.whys.items()) if name in {"error", "refused"})
        self.ctx.say(f"{self.shard.id}: {status}: {said or 'nothing'}, ${tally.usd:.4f}{whys}")
        if tally.suspected:
            self.ctx.say(f"{self.shard.id}: up to ${tally.suspected:.4f} suspected: possibly charged, never delivered")
        return True

    def _disown(self, batch: str) -> bool:
        """Results without a single line of ours: the wrong batch was adopted. Leave it, look again."""
        self.ctx.ledger.disowned(self.shard, self.attempt, batch)
        self.ctx.say(f"{self.shard.id}: {batch} holds no line of this attempt: it is another's; looking again")
        return True


def _size(files: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in files)


def terms_of(ctx: Context, shard: Shard, attempt: Attempt) -> Terms:
    """What an attempt's requests may have been charged at: a flex call may have been served at the standard rates."""
    batch = shard.batch_priced and not shard.synchronous
    return Terms(ctx.claimed_price(shard, attempt), batch=batch, cache=shard.marked(attempt))


def sent_ceilings(ctx: Context, shard: Shard, attempt: Attempt, warehouse: Warehouse) -> dict[str, int]:
    """The ids of an attempt with their output ceilings."""
    if attempt.ids is None:
        warehouse.view("sent", [ctx.store.fetch(shard.members)])
        return dict.fromkeys((warehouse.scalar(engine_sql("sent_ids"), {}) or "").split(), shard.ceiling)
    warehouse.view("sent", [ctx.store.fetch(attempt.ids)])
    return dict(warehouse.rows(engine_sql("sent"), {}))


def clean(ctx: Context, shard: Shard, attempt: Attempt) -> None:
    """Remove what was left at the provider; what fails is tried again on a later pass."""
    if attempt.stand != "landed":
        return
    host = ctx.host(shard)
    try:
        if attempt.batch is not None and host.profile.deletes_files:
            discard(ctx, shard, attempt, host.state(attempt.batch))
    except ProviderError as error:
        ctx.say(f"{shard.id}: files left at {shard.provider} could not be removed yet: {error}")
        return
    ctx.ledger.cleaned(shard, attempt)


def discard(ctx: Context, shard: Shard, attempt: Attempt, state: BatchState) -> None:
    """Delete an attempt's files at the provider. Raises ProviderError."""
    ctx.host(shard).discard([file for file in (attempt.file, *state.files) if file])
