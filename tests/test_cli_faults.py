"""However a command ends: one line and its hint, one JSON document, the right exit code, never a traceback."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from chimera_batch import api, errors
from chimera_batch.cli.hints import next_lines
from chimera_batch.cli.said import Said
from tests.cli_kit import call, status_document
from tests.conftest import ROOT


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


def subclasses(kind: type[Exception]) -> list[type[Exception]]:
    return [kind, *(deeper for found in kind.__subclasses__() for deeper in subclasses(found))]


OURS = {
    errors.ChimeraError: 1, errors.InputError: 2, errors.OverBudget: 3, errors.NeedsDecision: 4, errors.NotFinished: 5,
    errors.StoreConflict: 1, errors.MissingObject: 1, errors.ProviderError: 1, errors.ProviderDown: 5,
    errors.ProviderRefused: 2, errors.AccountRefused: 4, errors.MaybeCreated: 1,
    errors.EngineFailed: 5, errors.StoreDown: 5,
}  # fmt: skip


def test_the_table_of_errors_is_complete() -> None:
    assert {kind for kind in subclasses(errors.ChimeraError) if kind.__module__ == errors.__name__} == set(OURS)


@pytest.mark.parametrize("kind", OURS)
def test_our_errors_end_with_their_code(kind: type[errors.ChimeraError], monkeypatch: pytest.MonkeyPatch) -> None:
    needed: dict[type[Exception], dict[str, Any]] = {
        errors.ProviderRefused: {"status": 400},
        errors.EngineFailed: {"why": "crash"},
    }
    told = needed.get(kind, {})
    error = kind("what happened", hint="do this", **told)
    error.where = "m.yaml:7"
    monkeypatch.setattr(api, "status", failing(error))
    done = call("status", "m.yaml")
    assert done.code == OURS[kind]
    assert done.out == ""
    head, hint = done.err.splitlines()
    assert head.endswith(": m.yaml:7: what happened")
    assert hint == "  do this"

    done = call("status", "m.yaml", "--json")
    assert done.code == OURS[kind]
    assert done.err == ""
    assert done.document == {
        "error": {
            "type": kind.__name__,
            "message": "what happened",
            "where": "m.yaml:7",
            "hint": "do this",
            "exit_code": OURS[kind],
        }
    }


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        (errors.InputError, "error: "),
        (errors.OverBudget, "over budget: "),
        (errors.NeedsDecision, "your decision: "),
        (errors.NotFinished, "not finished yet: "),
    ],
)
def test_the_line_says_what_kind_of_end_it_is(
    kind: type[errors.ChimeraError], head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "status", failing(kind("x")))
    assert call("status", "m.yaml").err == f"{head}x\n"


def test_a_run_that_stops_short_shows_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    error = errors.NotFinished("unfinished: drafts", hint="chimera-batch run m.yaml")
    error.document = status_document()
    monkeypatch.setattr(api, "run", failing(error))
    done = call("run", "m.yaml", "--yes")
    assert done.code == 5
    assert "drafts" in done.out
    assert done.err.splitlines() == ["not finished yet: unfinished: drafts", "  chimera-batch run m.yaml"]
    told = call("run", "m.yaml", "--yes", "--json").document
    assert told["status"] == status_document()
    assert told["error"]["exit_code"] == 5


USAGE = [
    (["nonsense"], "No such command 'nonsense'", "chimera-batch --help"),
    (["stats"], "status", "chimera-batch --help"),
    (["run"], "Missing argument 'MANIFEST'", "chimera-batch run --help"),
    (["run", "m.yaml", "--nope"], "--nope", "chimera-batch run --help"),
    (["run", "m.yaml", "more"], "unexpected extra argument", "chimera-batch run --help"),
    (["run", "m.yaml", "--max-usd", "lots"], "'lots' is not an amount of dollars", "chimera-batch run --help"),
    (["run", "m.yaml", "--max-usd", "-1"], "'-1' is not an amount", "chimera-batch run --help"),
    (["run", "m.yaml", "--max-usd", "inf"], "'inf' is not an amount", "chimera-batch run --help"),
    (["run", "m.yaml", "--pilots"], "--pilots", "chimera-batch run --help"),
    (["adopt", "m.yaml", "--shard", "s"], "--batch", "chimera-batch adopt --help"),
    (["resend", "m.yaml"], "--shard", "chimera-batch resend --help"),
    (["query", "SELECT 1", "--format", "xml"], "'xml'", "chimera-batch query --help"),
    (["query", "SELECT 1", "--format", "parquet"], "-o FILE", "chimera-batch query --help"),
    (["query"], "SQL", "chimera-batch query --help"),
    (["trace", "m.yaml"], "ROW", "chimera-batch trace --help"),
    (["--store"], "requires an argument", "chimera-batch --help"),
    (["rehearsal", "serve"], "--state", "chimera-batch rehearsal serve --help"),
    (["rehearsal", "nonsense"], "nonsense", "chimera-batch rehearsal --help"),
    (["rehearsal", "serve", "--state", "x", "--port", "70000"], "70000", "chimera-batch rehearsal serve --help"),
    (["rehearsal", "serve", "--state", "x", "--speed", "0"], "--speed", "chimera-batch rehearsal serve --help"),
    (["rehearsal", "serve", "--state", "x", "--settings", "[1]"], "JSON", "chimera-batch rehearsal serve --help"),
    (["rehearsal", "serve", "--state", "x", "--settings", "{"], "JSON object", "chimera-batch rehearsal serve --help"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message", "hint"), USAGE)
def test_bad_usage(words: list[str], message: str, hint: str) -> None:
    done = call(*words)
    assert (done.code, done.out) == (2, "")
    head, *rest = done.err.splitlines()
    assert head.startswith("error: ")
    assert message in done.err
    assert rest[-1] == f"  {hint}"


@pytest.mark.parametrize(("words", "message", "hint"), USAGE)
@pytest.mark.parametrize("before", [True, False])
def test_bad_usage_as_json(words: list[str], message: str, hint: str, before: bool) -> None:
    before = before or words == ["--store"]  # which would take --json as its value
    done = call(*(["--json", *words] if before else [*words, "--json"]))
    assert (done.code, done.err) == (2, "")
    assert message in done.error["message"]
    assert done.error["hint"] == hint
    assert done.error["exit_code"] == 2


def test_json_without_a_command() -> None:
    assert call("--json").error["message"] == "which command?"


def test_no_such_manifest() -> None:
    for words in (["check"], ["estimate"], ["status"], ["advance"], ["run", "--rehearse"], ["cancel"], ["retry"]):
        done = call(*words, "nope.yaml", "--json")
        assert (done.code, done.error["where"]) == (2, "nope.yaml"), words


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("odd\x1b[31m\nthing"), "error: unexpected ValueError: odd thing"),
        (KeyError(), "error: unexpected KeyError"),
        (OSError(5, "Input/output error"), "error: unexpected OSError: [Errno 5] Input/output error"),
    ],
)
def test_a_bug_is_one_line_and_how_to_report_it(error: Exception, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "check", failing(error))
    done = call("check", "m.yaml")
    assert done.code == 1
    head, hint = done.err.splitlines()
    assert head == line
    assert "--debug" in hint
    assert "please report" in hint
    told = call("--json", "check", "m.yaml")
    assert (told.code, told.error["type"], told.err) == (1, type(error).__name__, "")


def test_debug_shows_the_traceback_on_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "check", failing(ValueError("odd")))
    done = call("check", "m.yaml", "--debug", "--json")
    assert "Traceback" in done.err
    assert done.error["message"] == "unexpected ValueError: odd"


def test_debug_shows_none_for_an_expected_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "check", failing(errors.InputError("x")))
    assert "Traceback" not in call("check", "m.yaml", "--debug").err


def test_an_error_s_text_cannot_move_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    error = errors.ProviderDown("said \x1b[2Jso\u202e", hint="type \x1b]0;x\x07this\nand that")
    monkeypatch.setattr(api, "status", failing(error))
    assert call("status", "m.yaml").err == "not finished yet: said so\n  type this\n  and that\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort(), EOFError()])
def test_interrupted(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "run", failing(error))
    done = call("run", "my manifest.yaml", "--rehearse")
    assert done.code == 130
    assert done.err.split("\n")[-3:] == [
        "interrupted: nothing that was sent or answered is lost",
        "  chimera-batch run 'my manifest.yaml' --rehearse",
        "",
    ]
    told = call("run", "m.yaml", "--json")
    assert (told.code, told.error["type"], told.error["exit_code"]) == (130, "Interrupted", 130)


# -- what comes next


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({}, ["chimera-batch run 'a b.yaml'"]),
        ({"state": "new"}, ["chimera-batch run 'a b.yaml'"]),
        (
            {"state": "done"},
            [
                "chimera-batch query -m 'a b.yaml' 'SELECT * FROM dataset LIMIT 10'",
                "chimera-batch retry 'a b.yaml'   # asks again what was given up",
            ],
        ),
        ({"state": "stuck", "choices": ["chimera-batch adopt …", "…"]}, ["chimera-batch adopt …", "…"]),
    ],
)
def test_what_comes_next(changes: dict[str, Any], lines: list[str]) -> None:
    assert next_lines(status_document(**changes), Path("a b.yaml"), Said()) == lines


# -- real processes


WAITING = """
import sys, time
from chimera_batch import api
def run(*_, **__):
    print("started", file=sys.stderr, flush=True)
    time.sleep(300)
api.run = run
from chimera_batch.__main__ import main
sys.argv = ["chimera-batch", "run", "m.yaml", "--rehearse", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize(
    ("number", "flags"),
    [(signal.SIGINT, []), (signal.SIGTERM, []), (signal.SIGTERM, ["--json"]), (signal.SIGHUP, [])],
)
def test_signals_end_a_command_cleanly(number: signal.Signals, flags: list[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert first == "started\n"
    assert process.returncode == 130
    assert "Traceback" not in err
    if flags:
        assert json.loads(out)["error"]["exit_code"] == 130
    else:
        assert out == ""
        assert "chimera-batch run m.yaml --rehearse" in err


def test_signals_are_what_they_were_afterwards() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    call("--version")
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before


def test_a_terminal_that_is_closed_ends_a_command_as_ctrl_c_does() -> None:
    """The system sends SIGHUP, and nothing can be written any more."""
    ours, theirs = os.openpty()

    def own_the_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    with subprocess.Popen(
        [sys.executable, "-c", WAITING],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        start_new_session=True,
        preexec_fn=own_the_terminal,  # noqa: PLW1509 - one system call, which takes no lock
    ) as process:
        os.close(theirs)
        assert b"started" in os.read(ours, 100)
        os.close(ours)
        assert process.wait(timeout=60) == 130


def test_nohup_keeps_its_promise() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITING],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),  # noqa: PLW1509 - as nohup does
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        err = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert err.count("interrupted") == 1


def test_a_command_runs_outside_the_main_thread() -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(call("--version").code))
    thread.start()
    thread.join()
    assert codes == [0]


def test_a_closed_pipe_is_no_error() -> None:
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "chimera_batch", "prices"], stdout=writer, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        os.close(writer)
        os.close(reader)
        err = process.communicate(timeout=60)[1]
    assert (process.returncode, err) == (141, "")


def test_a_terminal_without_utf_8_is_no_error() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "chimera_batch", "status", "数.yaml"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 2
    assert b"\\u6570.yaml" in done.stderr
