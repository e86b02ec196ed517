"""The Python interface, for notebooks and for the command line, which does nothing with a run but through it.

Every function takes the path of a manifest and returns a plain document (the one that ``--json`` prints) or streams
rows; everything that can go wrong is a ``ChimeraError`` with a message, a hint and an exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chimera_batch import settings, turns
from chimera_batch.errors import ChimeraError, InputError, NeedsDecision
from chimera_batch.opening import Options as Options  # noqa: PLC0414 - so that type checkers know it is meant for users
from chimera_batch.opening import missing_keys, open_run, open_side

if TYPE_CHECKING:
    import pyarrow

    from chimera_batch.context import Context
    from chimera_batch.exporting.wish import Wish
    from chimera_batch.report.wish import Wish as ReportWish
    from chimera_batch.verbs.quoted import Entries
    from chimera_batch.warehouse import Query

Manifest = Path | str
Confirm = Callable[[dict[str, Any]], bool]
"""Shown the estimate's document; True sends."""
DEFAULTS = Options()


def check(manifest: Manifest, options: Options = DEFAULTS) -> dict[str, Any]:
    """Everything that can be known without spending. Raises InputError at the first flaw."""
    from chimera_batch.verbs import checking  # noqa: PLC0415 - duckdb only where it is used

    with open_run(manifest, options) as ctx:
        return checking.check(ctx)


def plan(manifest: Manifest, options: Options = DEFAULTS) -> dict[str, Any]:
    """What the run would still cost: the document of ``estimate --json``. Sends and writes nothing."""
    from chimera_batch.verbs import quoting  # noqa: PLC0415 - see check

    with open_run(manifest, options) as ctx:
        return quoting.quote(ctx)


def run(
    manifest: Manifest,
    options: Options = DEFAULTS,
    *,
    confirm: Confirm | None = None,
    until: str | None = None,
    detach: bool = False,
    resume: bool = True,
) -> dict[str, Any]:
    """Converge, and return the status document.

    ``confirm`` is asked before anything is sent (None: go ahead). ``detach``: send what can be sent, do not wait.
    ``resume``: a run that was cancelled goes on. With ``options.sample`` a random sample of each stage
    of batches goes first, and ``confirm`` is asked again, with what the sample said, before the rest.
    Raises NotFinished, OverBudget or NeedsDecision, each carrying the status as ``document``, when the run stops short;
    with ``detach``, NotFinished at once where another command is at work on the manifest on this machine.
    """
    from chimera_batch.verbs import checking, notifying, piloting, quoted, statusing, stopping  # noqa: PLC0415 - see check

    turn = turns.at_work(manifest, options.store, rehearse=options.rehearse, gives_way=detach, prices=options.prices)
    with turn, open_run(manifest, options, write=True) as made:
        opened = replace(made, until=made.project.stage(until).name if until is not None else None)
        checking.check_files(opened)
        shown = _agree(opened, confirm)
        ctx = replace(opened, begun=opened.clock()) if resume else opened
        ctx.ledger.begin(ctx.run, str(Path(manifest).absolute()), resume=resume)
        quoted.at_start(ctx, shown)
        with notifying.telling(ctx):
            progress = piloting.converge(ctx, detach=detach, confirm=confirm)
            document = statusing.status(ctx)
            if not statusing.balances(document):
                raise ChimeraError("the ledger does not balance", hint="report this as a bug, with status --json")
            if not progress.done:
                raise stopping.short(ctx, progress, document)
        return document


def _agree(ctx: Context, confirm: Confirm | None = None) -> Entries | None:
    """Ask before anything is sent; returns what was quoted, if the whole run was.

    Raises NeedsDecision for a no, InputError for a missing key.
    """
    from chimera_batch.verbs import piloting, quoted, quoting  # noqa: PLC0415 - see check

    missing, found = missing_keys(ctx), None
    if confirm is not None and not ctx.rehearse:
        shown = piloting.first_offer(ctx) or quoting.quote(ctx)
        found = quoted.entries(ctx, shown) if "stages" in shown else None
        shown["warnings"] += [error.message for error in missing]
        if not ctx.to_the_end:
            shown["warnings"].append(f"this is the price of the whole run; it stops when {ctx.until} is made")
        usd = shown.get("total") or shown["usd"]
        if usd["ceiling"] > 0 and not confirm(shown):
            raise NeedsDecision("nothing was sent", hint=f"{ctx.again()} --yes")
    if missing:
        raise missing[0]
    return found


def pilot(
    manifest: Manifest,
    stage: str | None = None,
    requests: int = 100,
    options: Options = DEFAULTS,
    *,
    confirm: Confirm | None = None,
) -> dict[str, Any]:
    """Send a random sample of one stage (default: the first that has something to send), wait for it, measure it.

    Its answers count. Returns the document of ``pilot --json``; raises like ``run``, and InputError below 30 requests.
    """
    from chimera_batch.verbs import checking, piloting, quoted, statusing, stopping  # noqa: PLC0415 - see check

    with open_run(manifest, options, write=True) as opened:
        checking.check_files(opened)
        chosen, offer = piloting.prepare(opened, stage, requests)
        ctx = piloting.only(opened, chosen, requests)
        if confirm is not None and not ctx.rehearse and offer["pilot"] and not confirm(offer):
            raise NeedsDecision("nothing was sent", hint=f"{ctx.again()} --yes")
        _agree(ctx)
        ctx.ledger.begin(ctx.run, str(Path(manifest).absolute()))
        quoted.at_start(ctx, None)
        progress = piloting.sample(ctx, chosen, requests)
        if chosen.name not in {*progress.piloted, *progress.tables}:
            raise stopping.short(ctx, progress, statusing.status(ctx))
        found = piloting.document(ctx, chosen)
        quoted.after_sample(ctx, found["estimate"])
        return found


def advance(manifest: Manifest, options: Options = DEFAULTS) -> dict[str, Any]:
    """One step without waiting, for cron: ``run(detach=True)`` without a question. It does not undo a cancel."""
    return run(manifest, options, detach=True, resume=False)


def status(manifest: Manifest, options: Options = DEFAULTS) -> dict[str, Any]:
    """Where every request stands and what it cost. Reads the store alone."""
    from chimera_batch.verbs import statusing  # noqa: PLC0415 - see check

    with open_run(manifest, options) as ctx:
        return statusing.status(ctx)


@contextmanager
def query(manifest: Manifest, options: Options = DEFAULTS, *, unsafe: bool = False) -> Iterator[Query]:
    """Read-only SQL over the run's tables: ``with query("m.yaml") as tables: tables.query("SELECT …").pandas()``.

    ``tables.query`` streams rows, writes files and makes Arrow tables, pandas and Polars frames; ``tables.relation`` is
    DuckDB's own relation, to be built upon inside the ``with``.
    """
    from chimera_batch.verbs import shelves  # noqa: PLC0415 - see check

    with open_run(manifest, options) as ctx, shelves.shelves(ctx, unsafe=unsafe) as open_query:
        yield open_query


def fetch(manifest: Manifest, sql: str, options: Options = DEFAULTS) -> pyarrow.Table:
    """The rows of one read-only statement, or of a named query (``@NAME``), as an Arrow table that stays.

    ``.to_pandas()`` and ``polars.from_arrow(…)`` make frames of it. Raises InputError where pyarrow is not installed.
    """
    asked = named_query(manifest, sql[1:], options) if sql.startswith("@") else sql
    with query(manifest, options) as tables:
        return tables.query(asked).arrow()


def named_query(manifest: Manifest, name: str, options: Options = DEFAULTS) -> Any:
    """The SQL file behind ``@name``."""
    from chimera_batch.verbs import shelves  # noqa: PLC0415 - see check

    with open_run(manifest, options) as ctx:
        return shelves.named_query(ctx, name)


def export(manifest: Manifest, wish: Wish, options: Options = DEFAULTS) -> dict[str, Any]:
    """Write the run's tables for their next user (``exporting.wish.Wish``); the document of ``export --json``."""
    from chimera_batch import exporting  # noqa: PLC0415 - see check

    with open_run(manifest, options) as ctx:
        return exporting.export(ctx, wish)


def report(manifest: Manifest, wish: ReportWish, options: Options = DEFAULTS) -> dict[str, Any]:
    """Write the HTML report (``report.wish.Wish``); the document of ``report --json``."""
    from chimera_batch import report as reports  # noqa: PLC0415 - see check

    with open_run(manifest, options) as ctx:
        return reports.report(ctx, wish, options)


def trace(manifest: Manifest, key: str, options: Options = DEFAULTS) -> dict[str, Any]:
    """A row back to every request, batch, raw line and cent behind it."""
    from chimera_batch.verbs import tracing  # noqa: PLC0415 - see check

    with open_run(manifest, options) as ctx:
        return tracing.trace(ctx, key)


def cancel(manifest: Manifest, shard: str | None = None, options: Options = DEFAULTS) -> list[str]:
    """Ask the providers to stop; what was finished is still collected and billed."""
    from chimera_batch.verbs import deciding  # noqa: PLC0415 - see check

    with open_run(manifest, options, write=True) as ctx:
        return deciding.cancel(ctx, shard)


def retry(manifest: Manifest, stage: str | None = None, options: Options = DEFAULTS) -> list[str]:
    """Let the next run ask again what was given up."""
    from chimera_batch.verbs import deciding  # noqa: PLC0415 - see check

    with open_run(manifest, options, write=True) as ctx:
        return deciding.retry(ctx, stage)


def adopt(manifest: Manifest, shard: str, batch: str, options: Options = DEFAULTS) -> None:
    """Say that a batch at the provider is this shard's attempt."""
    from chimera_batch.verbs import deciding  # noqa: PLC0415 - see check

    with open_run(manifest, options, write=True) as ctx:
        deciding.adopt(ctx, shard, batch)


def resend(manifest: Manifest, shard: str, options: Options = DEFAULTS) -> None:
    """Say that no batch was made for this shard's attempt: the next run sends it again."""
    from chimera_batch.verbs import deciding  # noqa: PLC0415 - see check

    with open_run(manifest, options, write=True) as ctx:
        deciding.resend(ctx, shard)


def prune(
    manifest: Manifest, also: frozenset[str] = frozenset(), options: Options = DEFAULTS, *, delete: bool = False
) -> dict[str, Any]:
    """What of the run's store may go, by kind, and with ``delete`` gone it is: the document of ``prune --json``.

    ``also``: of ``pruning.ON_REQUEST``. Raises NotFinished where something is under way and ``delete`` was said.
    """
    from chimera_batch.verbs import pruning  # noqa: PLC0415 - see check

    with open_run(manifest, options) as ctx:
        found = pruning.find(ctx, also)
        if delete:
            pruning.delete(ctx, found)
        kinds = [
            {"kind": one.kind, "what": pruning.WHAT[one.kind], "objects": len(one.keys), "bytes": one.bytes}
            for one in found
        ]
        return {"store": ctx.store.url, "deleted": delete, "kinds": kinds}


def last_run(options: Options = DEFAULTS) -> tuple[str, bool]:
    """(manifest path, was it a rehearsal) of the run that this folder's store saw last. Raises InputError if none."""
    from chimera_batch.history.ledger import Ledger  # noqa: PLC0415 - see check

    found = []
    for rehearse in (False, True):
        ledger = Ledger(open_side(options.store or "./runs", rehearse=rehearse), owner=settings.owner())
        if ledger.read() and ledger.facts.last_run:
            moment = max((a.at for _, a in ledger.facts.attempts(ledger.facts.last_run)), default=0.0)
            found.append((moment, ledger.facts.manifests[ledger.facts.last_run], rehearse))
    if not found:
        raise InputError(
            f"no run yet in {options.store or './runs'}; one that has another store is found by its manifest",
            hint=_first_run(options),
        )
    _, manifest, rehearse = max(found)
    return manifest, rehearse


def _first_run(options: Options) -> str:
    """The line for a folder in which nothing ran yet, about a manifest that lies in it."""
    here = sorted(Path("manifests").glob("*.yaml"), key=lambda path: (path.name != "quickstart.yaml", path))
    return replace(options, rehearse=True).command("run", here[0]) if here else "chimera-batch init my-pipeline"
