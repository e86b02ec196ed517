"""Whatever ended a command, as one clear line with its hint, one JSON document, and an exit code."""

from __future__ import annotations

import shlex
import sys
import traceback
from dataclasses import dataclass
from typing import Any

import click

from chimera_batch.cli import showing
from chimera_batch.cli.said import Said
from chimera_batch.cli.summary import summary
from chimera_batch.cli.texts import one_line, plain
from chimera_batch.errors import ChimeraError

INTERRUPTED = 130
CLOSED_PIPE = 141  # as a shell says of a command that SIGPIPE ended

_HEADS = {3: "over budget", 4: "your decision", 5: "not finished yet", INTERRUPTED: "interrupted"}


@dataclass(frozen=True, slots=True)
class Fault:
    """An ended command, ready to be told."""

    type: str
    message: str
    where: str | None
    hint: str | None
    exit_code: int
    status: dict[str, Any] | None = None


def fault_of(error: BaseException, said: Said) -> Fault:
    """Sort what was raised: ours, click's, the person's own interrupt, or a bug."""
    if isinstance(error, ChimeraError):
        return Fault(type(error).__name__, error.message, error.where, error.hint, error.exit_code, error.document)
    if isinstance(error, click.Abort | KeyboardInterrupt | EOFError):
        again = "chimera-batch " + shlex.join(said.words)
        return Fault("Interrupted", "nothing that was sent or answered is lost", None, again, INTERRUPTED)
    if isinstance(error, click.ClickException):
        return Fault(type(error).__name__, error.format_message(), None, _help_line(error), 2)
    name = type(error).__name__
    message = f"unexpected {name}: {error}" if str(error) else f"unexpected {name}"
    hint = "this is a bug: please report it, with what the same command says with --debug"
    return Fault(name, one_line(message, 500), None, hint, 1)


def _help_line(error: click.ClickException) -> str:
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    return f"{ctx.command_path if ctx else 'chimera-batch'} --help"


def tell(error: BaseException, said: Said) -> int:
    """Print the fault and return the exit code."""
    said.settle()
    fault = fault_of(error, said)
    if said.debug and fault.exit_code == 1:
        traceback.print_exception(error, file=sys.stderr)
    if said.as_json or "--json" in said.words:  # a usage error comes before the option is seen
        showing.document(document(fault, said))
        return fault.exit_code
    if fault.status is not None:
        summary(fault.status)
    place = f"{fault.where}: " if fault.where else ""
    head = _HEADS.get(fault.exit_code, "error")
    click.echo(plain(f"{head}: {place}{fault.message}"), err=True)
    for line in (fault.hint or "").splitlines():
        click.echo(plain(f"  {line}"), err=True)
    return fault.exit_code


def document(fault: Fault, said: Said) -> dict[str, Any]:
    """What ``--json`` prints of a fault."""
    keys = ("type", "message", "where", "hint", "exit_code")
    error = {key: getattr(fault, key) for key in keys}
    status = {"status": fault.status} if fault.status is not None else {}
    return {"error": error, **status, **said.extra}
