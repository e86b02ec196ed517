"""From a manifest's path to a Context: files read, store opened, hosts ready, and for a rehearsal the loopback server.

Floor 4: what ``api`` needs before it can do anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from chimera_batch import settings
from chimera_batch.commands import command, said_again
from chimera_batch.context import REHEARSAL, Context, Pilot, Timing, prices_of
from chimera_batch.cost import prices as price_tables
from chimera_batch.cost.prices import Price, PriceBook
from chimera_batch.doing import Watcher, nobody
from chimera_batch.errors import InputError
from chimera_batch.history.facts import Facts
from chimera_batch.history.ledger import Ledger
from chimera_batch.hosts import Hosts, Playing
from chimera_batch.pipeline import outside
from chimera_batch.pipeline import project as projects
from chimera_batch.pipeline.project import Project, Stage
from chimera_batch.providers import missing_access
from chimera_batch.providers.base import Profile
from chimera_batch.providers.profiles import rehearsed
from chimera_batch.records import Call
from chimera_batch.requests.drawn import Drawings, sweep
from chimera_batch.rules import routing
from chimera_batch.rules.routing import Ranked
from chimera_batch.stores import open_store
from chimera_batch.stores.base import Store

REHEARSAL_TIMING = Timing(poll=0.2, lease=60.0, settle=2.0, queue=1.0, overdue=600.0)
_FORGOTTEN = 30 * 24 * 3600.0  # seconds; a run may wait for its batches for days


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line can say about any run."""

    store: str | None = None
    rehearse: bool = False
    prices: Sequence[str] = ()  # "provider/model=in,out", USD per million tokens
    max_usd: Decimal | None = None
    max_usd_per_day: Decimal | None = None
    say: Callable[[str], None] = lambda _line: None
    doing: Watcher = nobody
    timing: Timing | None = None
    sample: int | None = None  # requests of each stage to send first, before more is agreed to

    def command(self, verb: str, manifest: Path | str, why: str = "") -> str:
        """A line to paste into a shell, where there is no Context yet."""
        also = said_again(self.store, self.prices)
        return command(verb, manifest, rehearse=self.rehearse, also=also, why=why)


@contextmanager
def open_run(manifest: Path | str, options: Options, *, write: bool = False) -> Iterator[Context]:
    """A Context for one command. ``write``: the store is probed and opened for writing, and a rehearsal's server is up.

    Raises InputError for whatever is wrong with the manifest, its files, the prices or the store; where it has no
    better hint it names the command that shows whether that is mended.
    """
    try:
        with _opened(manifest, options, write=write) as ctx:
            yield ctx
    except InputError as error:
        error.hint = error.hint or options.command("check", manifest, why="once that is mended")
        raise


@contextmanager
def _opened(manifest: Path | str, options: Options, *, write: bool) -> Iterator[Context]:
    project = projects.load(manifest, store=options.store)
    project = addressed(project, rehearse=options.rehearse)
    book = priced(project, options)
    book.expect((call.provider, call.model) for stage in project.stages for call in stage.calls)
    store = open_side(project.store_url, rehearse=options.rehearse)
    work = settings.work_dir()
    rehearsing = write and options.rehearse
    with ExitStack() as stack:
        ledger = Ledger(store, owner=stack.enter_context(settings.identity()))
        ledger.read()  # a store of a newer format is left alone, not so much as probed
        if write:
            store.probe()
            ledger.open()
            sweep(work, time.time() - _FORGOTTEN)
        project = lent(project, ledger.facts, store, options)
        project, routes = routed(project, book, ledger.facts, rehearse=options.rehearse)
        url = stack.enter_context(_server(project, store, work, price_rows(project, book))) if rehearsing else None
        playing = Playing(url, options.command("run", project.path)) if options.rehearse else None
        hosts = stack.enter_context(closing(Hosts(project.profiles, settings.state_dir(), options.say, playing)))
        drawings = stack.enter_context(closing(Drawings(work / f"drawn-{uuid4().hex}"))) if write else None
        yield Context(
            told=project,
            store=store,
            ledger=ledger,
            prices=book,
            work=work,
            state=settings.state_dir(),
            hosts=hosts,
            timing=options.timing or _timing(rehearse=options.rehearse),
            rehearse=options.rehearse,
            also=said_again(options.store, options.prices),
            routes=routes,
            budget_usd=_less(project.budget_usd, options.max_usd),
            budget_day_usd=_less(project.budget_day_usd, options.max_usd_per_day),
            say=options.say,
            doing=options.doing,
            drawings=drawings,
            pilot=Pilot(options.sample) if options.sample is not None else None,
        )


def addressed(project: Project, *, rehearse: bool) -> Project:
    """The project with what the environment says of its hosts, or what a rehearsal makes of them."""
    found = {name: settings.located(known) for name, known in project.profiles.items()}
    return replace(project, profiles={name: rehearsed(known) for name, known in found.items()} if rehearse else found)


def lent(project: Project, facts: Facts, store: Store, options: Options) -> Project:
    """The project with the tables that other runs of the store have made. Raises InputError where one is missing."""
    return replace(project, stages=tuple(_lent(stage, facts, store, options) for stage in project.stages))


def _lent(stage: Stage, facts: Facts, store: Store, options: Options) -> Stage:
    if stage.borrowed is None:
        return stage
    run, name = stage.borrowed
    table = facts.tables.get((run, name))
    if table is None:
        known = sorted(other for other, of in facts.tables if of == name)
        also = f"; of {', '.join(known)} there is one" if known else ""
        manifest = facts.manifests.get(run, f"MANIFEST-OF-{run}")
        raise InputError(
            f"there is no table {name} of a run {run} in {store.url} yet{also}",
            where=stage.where,
            hint=replace(options, prices=()).command("run", manifest),  # they are of this run's models
        )
    return replace(stage, table=outside.of_run(stage.name, store.fetch(table.key), table.sha256))


def priced(project: Project, options: Options) -> PriceBook:
    """The prices that a run goes by. Raises InputError for a row that cannot be used."""
    machines = frozenset(name for name, known in project.profiles.items() if known.local)
    return price_tables.load(project.prices_path, options.prices, machines)


def _less(manifest: Decimal | None, option: Decimal | None) -> Decimal | None:
    """An option can lower what the manifest allows, never raise it."""
    return min((amount for amount in (manifest, option) if amount is not None), default=None)


def routed(
    project: Project, book: PriceBook, facts: Facts, *, rehearse: bool
) -> tuple[Project, dict[str, tuple[Ranked, ...]]]:
    """The project with the model that each stage asks in front of its list, and how the models of a stage compare.

    A run that has begun a stage with one of its models stays with it, whatever prices do. A rehearsal needs no key.
    """
    today = datetime.now(UTC).date()

    def price(call: Call) -> Price | None:
        try:
            return book.price(call.provider, call.model, today)
        except InputError:  # `check` says more of it
            return None

    def no_key(call: Call) -> str | None:
        missing = None if rehearse else _missing_key(project.profiles[call.provider])
        return missing.message if missing else None

    routes: dict[str, tuple[Ranked, ...]] = {}
    for stage in project.stages:
        if stage.route == "cheapest":
            begun = routing.begun(facts, project.run, stage)
            known = routing.Known(price, partial(_lacks, project, stage), no_key, begun)
            routes[stage.name] = routing.rank(stage, known)
    stages = tuple(routing.first(stage, routes.get(stage.name, ())) for stage in project.stages)
    return replace(project, stages=stages), routes  # windows follow the model that a stage asks (``fallback.present``)


def _lacks(project: Project, stage: Stage, call: Call) -> str | None:
    return project.profiles[call.provider].lacks(stage.window)


def _missing_key(profile: Profile) -> InputError | None:
    """The error that names the variable to set, if it is not."""
    try:
        settings.api_key(profile)
    except InputError as error:
        return error
    return missing_access(profile)


def _timing(*, rehearse: bool) -> Timing:
    return REHEARSAL_TIMING if rehearse else Timing(poll=settings.poll_seconds(), lease=settings.lease_seconds())


def open_side(url: str, *, rehearse: bool) -> Store:
    """The store, or the rehearsal's side of it, which is a whole store of its own under a prefix."""
    store = open_store(url, cache=settings.cache_dir())
    return store.sub(REHEARSAL) if rehearse else store


@contextmanager
def _server(project: Project, store: Store, work: Path, prices: list[dict[str, Any]]) -> Iterator[str]:
    running = settings.rehearsal_url()
    if running is not None:
        yield running
        return
    from chimera_batch import rehearsal  # noqa: PLC0415 - only a rehearsal needs it

    said = {**project.rehearsal, "prices": prices}
    state = Path(store.url).parent / "rehearsal-server" if "://" not in store.url else work / "rehearsal-server"
    server = rehearsal.start(state, speed=float(said.pop("speed", 1200)), seed=int(said.pop("seed", 0)), settings=said)
    try:
        yield server.url
    finally:
        server.close()


def price_rows(project: Project, book: PriceBook) -> list[dict[str, Any]]:
    """Every model that the run may ask, with its rates as text, for the rehearsal's own arithmetic.

    Raises InputError for a model without a price.
    """
    today = datetime.now(UTC).date()
    found = {call: price for stage in project.stages for call, price in prices_of(book, stage, today).items()}
    return [{**found[call].as_row(), "model": call[1]} for call in sorted(found)]


def missing_keys(ctx: Context) -> list[InputError]:
    """One error, naming the variable to set, for every provider of the run that has no key.

    A rehearsal needs none; nor does a provider that routing passes over.
    """
    if ctx.rehearse:
        return []
    return [missing for profile in needed(ctx.project) if (missing := _missing_key(profile))]


def needed(project: Project) -> list[Profile]:
    """The providers that a run of a routed project asks, or falls back to."""
    calls = [
        call for stage in project.stages for call in (stage.calls[:1] if stage.route == "cheapest" else stage.calls)
    ]
    names = {call.provider for call in calls}
    return [profile for name, profile in project.profiles.items() if name in names]
