"""The group of all commands, and the one place where a command ends: exit codes, signals, a closed pipe."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO

import click

from chimera_batch import __version__
from chimera_batch.cli import (
    decide,
    editors,
    estimate,
    export,
    faults,
    pilot,
    prune,
    query,
    rehearsal,
    report,
    run,
    start,
    status,
    trace,
)
from chimera_batch.cli.said import Said, global_options


class _ReaderGone(Exception):
    """Whoever read our output has closed the pipe."""


class Door(click.Group):
    """The group of all commands. Its ``main`` always leaves with an exit code and never shows a traceback unasked."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of the work, not of the alphabet

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:  # here, because click would turn it into exit code 1
            raise _ReaderGone from None
        return result

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run one command line and leave with its exit code."""
        words = _without_comment(sys.argv[1:] if args is None else args)
        said = Said(words)
        for stream in (sys.stdout, sys.stderr):
            if reconfigure := getattr(stream, "reconfigure", None):
                reconfigure(errors="backslashreplace")  # a terminal without UTF-8 is no reason to fail
        with _signals():
            try:
                code = super().main(words, prog_name or "chimera-batch", complete_var, False, obj=said, **extra)
            except _ReaderGone:
                _forget(sys.stdout)
                code = faults.CLOSED_PIPE
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the edge: nobody is above to catch it
                code = _told(error, said)
        sys.exit(code if isinstance(code, int) else 0)


def _without_comment(words: Sequence[str]) -> list[str]:
    """What stands before the comment of a pasted line: zsh hands it on, unless ``INTERACTIVE_COMMENTS`` is set."""
    return list(words[: words.index("#")] if "#" in words[:-1] else words)  # the last word may be a row's key


def _told(error: BaseException, said: Said) -> int:
    """The exit code of what ended the command; told, if anybody is left to hear it: a terminal may have been closed."""
    if isinstance(error, OSError) and isinstance(error.__context__, KeyboardInterrupt):
        error = error.__context__  # click begins a new line for it, which that terminal does not take
    try:
        return faults.tell(error, said)
    except OSError:
        for stream in (sys.stdout, sys.stderr):
            _forget(stream)
        return faults.fault_of(error, said).exit_code


def _forget(stream: TextIO) -> None:
    """What is still buffered goes nowhere; else Python complains about the pipe when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end a command the way Ctrl-C does: what is being written is whole or not there, locks are
    released, one line says what to type. A SIGHUP that is ignored (``nohup``) stays so.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
        yield
        return
    numbers = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        if before[number] not in {None, signal.SIG_IGN}:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: it was not set from Python, and was left as it was
                signal.signal(number, handler)


@click.group(cls=Door, invoke_without_command=True, context_settings={"max_content_width": 110})
@click.version_option(__version__, prog_name="chimera-batch", help="Show the version and exit.")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Run LLM data pipelines at batch prices.

    A stage is a query, a run converges: every command may be stopped and typed again, and nothing is paid for twice.
    """
    if ctx.invoked_subcommand is None:
        if ctx.obj.as_json:
            raise click.UsageError("which command?", ctx)
        click.echo(ctx.get_help())


_COMMANDS: tuple[click.Command, ...] = (
    start.init,
    start.check,
    estimate.estimate,
    pilot.pilot,
    run.run,
    run.advance,
    status.status,
    query.query,
    report.report,
    export.export,
    trace.trace,
    decide.cancel,
    decide.retry,
    decide.adopt,
    decide.resend,
    prune.prune,
    start.prices,
    start.doctor,
    editors.schema,
    editors.completion,
    rehearsal.rehearsal,
)
for _command in _COMMANDS:
    cli.add_command(_command)
for _command in (cli, *_COMMANDS, *rehearsal.rehearsal.commands.values()):
    _command.params += global_options()
