"""What the person said about every command: the global options, accepted before and after the command's name."""

# ruff: noqa: PLC0415 - imports where they are used: --help and usage errors answer at once

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, TypeVar

import click

from chimera_batch.cli.completing import MANIFEST
from chimera_batch.cli.texts import plain

if TYPE_CHECKING:
    from pathlib import Path

    from chimera_batch.cli.bars import Bars
    from chimera_batch.doing import Watcher
    from chimera_batch.opening import Options

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(slots=True)
class Said:
    """Filled in while the command line is parsed; one per call."""

    words: list[str] = field(default_factory=list)  # the command line itself
    store: str | None = None
    as_json: bool = False
    price: tuple[str, ...] = ()
    quiet: bool = False
    plain: bool = False
    debug: bool = False
    rehearse: bool = False
    max_usd: Decimal | None = None
    max_usd_per_day: Decimal | None = None
    bars: Bars | None = None  # on the screen, or ready to be
    extra: dict[str, Any] = field(default_factory=dict)  # goes beside "error" into the JSON of a failure

    def options(self) -> Options:
        """The same for ``api``."""
        from chimera_batch.opening import Options

        return Options(
            store=self.store,
            rehearse=self.rehearse,
            prices=self.price,
            max_usd=self.max_usd,
            max_usd_per_day=self.max_usd_per_day,
            say=self.note,
            doing=self._watcher(),
        )

    def command(self, verb: str, manifest: Path, *words: str, why: str = "") -> str:
        """A line about the same run, to paste into a shell."""
        from chimera_batch.commands import command, said_again

        also = said_again(self.store, self.price)
        return command(verb, manifest, *words, rehearse=self.rehearse, also=also, why=why)

    def go_on(self, verb: str, manifest: Path, *words: str) -> str:
        """The same for one that sends, with the caps that were typed: a line without them may spend more."""
        from chimera_batch.commands import Cap, capped

        said: dict[Cap, Decimal | None] = {"run": self.max_usd, "day": self.max_usd_per_day}
        return self.command(verb, manifest, *words, *capped({cap: usd for cap, usd in said.items() if usd is not None}))

    def _watcher(self) -> Watcher:
        """Who is told how far it is: bars where somebody looks, else a line now and then; nobody with ``--quiet``."""
        from chimera_batch.cli import bars
        from chimera_batch.doing import nobody
        from chimera_batch.settings import dumb_terminal

        if self.quiet:
            return nobody
        if self.plain or dumb_terminal() or not sys.stderr.isatty():
            return bars.Lines(self.note)
        self.bars = bars.Bars()
        return self.bars

    def note(self, line: str) -> None:
        """One line of progress, on stderr; nothing with ``--quiet``."""
        if not self.quiet and not (self.bars and self.bars.line(plain(line))):
            click.echo(plain(line), err=True)

    def settle(self) -> None:
        """Before anything else is printed: no bar is left on the screen."""
        if self.bars:
            self.bars.close()


def _take(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value == "":  # of a variable that is not set: what was meant is another store, not the manifest's
        raise click.BadParameter("it is empty", ctx, param)
    said = ctx.find_object(Said)
    if said is None or not value or param.name is None:  # no Said: a shell asks for completions
        return
    setattr(said, param.name, said.price + value if param.name == "price" else value)


def _flag(*names: str, text: str, hidden: bool = False) -> click.Option:
    return click.Option(names, is_flag=True, expose_value=False, callback=_take, help=text, hidden=hidden)


def global_options() -> list[click.Parameter]:
    """New ones for each command, because click ties an option to its command."""
    as_json = "Print one JSON document on stdout and nothing else there."
    return [
        click.Option(
            ["--store"],
            metavar="URL",
            expose_value=False,
            callback=_take,
            help="A folder or s3://bucket/prefix, instead of the manifest's store.",
        ),
        click.Option(
            ["--price"],
            multiple=True,
            metavar="PRICE",
            expose_value=False,
            callback=_take,
            help="provider/model=INPUT,OUTPUT in USD per million tokens, instead of the price table's. Repeatable.",
        ),
        click.Option(["--json", "as_json"], is_flag=True, expose_value=False, callback=_take, help=as_json),
        _flag("-q", "--quiet", text="No progress on stderr."),
        _flag("--plain", text="Lines of text only: no colours, no bars, nothing is redrawn."),
        _flag("--debug", text="Show the traceback of an unexpected error.", hidden=True),
    ]


def rehearsable(function: Function) -> Function:
    """The option ``--rehearse`` of a command that reads or runs."""
    text = "The rehearsal's side: the loopback providers and a store of their own; nothing is paid."
    return click.option("--rehearse", is_flag=True, expose_value=False, callback=_take, help=text)(function)


def spending(function: Function) -> Function:
    """The options ``--max-usd`` and ``--max-usd-per-day`` of a command that sends."""
    for name, text in (
        ("--max-usd-per-day", "A cap for what it claims on one UTC day, if below the manifest's."),
        ("--max-usd", "A budget for this run, if below the manifest's."),
    ):
        function = click.option(name, expose_value=False, callback=_take_dollars, metavar="X", help=text)(function)
    return function


def _take_dollars(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    said = ctx.find_object(Said)
    if said is not None and value is not None and param.name is not None:
        setattr(said, param.name, as_dollars(ctx, param, value))


manifest_argument = click.argument("manifest", type=MANIFEST)


def as_dollars(ctx: click.Context, param: click.Parameter, value: str | None) -> Decimal | None:
    """An option's text as an exact amount of US dollars."""
    if value is None:
        return None
    try:
        amount = Decimal(value.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise click.BadParameter(f"{value!r} is not an amount of dollars, like 12.50", ctx, param)
    return amount
