"""On a real terminal: tables by rich, a question before money, nothing that data could do to the screen."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli_kit import project
from tests.conftest import ROOT

pty = pytest.importorskip("pty")

FAKE = """
import sys
from chimera_batch import api, errors
from tests.cli_kit import estimate_document, status_document
def run(manifest, options, *, confirm, **_):
    if not confirm(estimate_document()):
        raise errors.NeedsDecision("nothing was sent")
    options.say("sent [bold]10[/bold]")
    return status_document(state="done", run="[red]tiny[/red]\\x1b]0;owned\\x07")
api.run = run
from chimera_batch.__main__ import main
sys.argv = ["chimera-batch", *sys.argv[1:]]
main()
"""


def on_terminal(*words: object, typed: bytes = b"", folder: Path = ROOT) -> tuple[int, str]:
    """Exit code and screen of a command whose three streams are one terminal of 140 columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "140", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, *map(str, words)], stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment
    ) as process:
        os.close(theirs)
        screen, until = b"", time.monotonic() + 60
        while time.monotonic() < until and select.select([ours], [], [], 30)[0]:
            try:
                screen += os.read(ours, 65536)
            except OSError:  # how Linux says that the other end is closed
                break
            if typed and b"[y/N]" in screen:
                os.write(ours, typed)
                typed = b""
        os.close(ours)
        return process.wait(60), screen.decode()


@pytest.mark.parametrize(("typed", "code"), [(b"y\n", 0), (b"n\n", 4), (b"\x04", 130)])
def test_a_question_before_money(typed: bytes, code: int) -> None:
    ended, screen = on_terminal("-c", FAKE, "run", "m.yaml", typed=typed)
    assert ended == code
    assert "verdicts" in screen
    assert "Send this, for about $2.00, at most $4.50?" in screen
    assert ("sent [bold]10[/bold]" in screen) == (code == 0)
    assert ("[red]tiny[/red]" in screen) == (code == 0)
    assert "\x1b]" not in screen
    assert "Traceback" not in screen


def test_tables_fit_and_estimates_stay_on_one_line() -> None:
    _, screen = on_terminal("-c", FAKE, "run", "m.yaml", typed=b"n\n")
    row = next(line for line in screen.splitlines() if line.lstrip().startswith("drafts"))
    assert row.split()[:5] == ["drafts", "openai/gpt", "10", "1,000", "2,000"]
    assert row.split()[-1] == "assumed"


def test_status_of_a_fresh_project(tmp_path: Path) -> None:
    code, screen = on_terminal("-m", "chimera_batch", "status", project(tmp_path))
    assert code == 0
    assert "answers_of" in screen
    assert "next:" in screen
