"""Being told how a run ends: by webhook and by command, once until it changes, and never at the cost of the run."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.errors import (
    AccountRefused,
    ChimeraError,
    EngineFailed,
    InputError,
    NeedsDecision,
    NotFinished,
    OverBudget,
    ProviderDown,
)
from chimera_batch.verbs import notifying
from tests.cli_kit import call
from tests.cli_kit import project as cli_project
from tests.support import Bench, bench, write_project

SECRET = "T0KEN-in-the-path"


@dataclass
class Receiver:
    """A webhook on loopback: what it was sent, and what it answers, one status after the other, then 200."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(found.statuses.pop(0) if found.statuses else 200)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/hooks/{SECRET}"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def told(folder: Path, notify: str = "{url_env: CHIMERA_WEBHOOK}") -> Bench:
    return bench(write_project(folder, head=f"notify: {notify}"), budget="5")


def end(one: Bench, error: Exception | None = None) -> None:
    """Let a run end so."""
    if error is None:
        with notifying.telling(one.ctx):
            pass
        return
    with pytest.raises(type(error)), notifying.telling(one.ctx):
        raise error


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (OverBudget("no"), "budget"),
        (NeedsDecision("adopt or resend?"), "stuck"),
        (AccountRefused("no credit"), "stuck"),
        (InputError("a row without a key"), "stuck"),
        (ChimeraError("does not balance"), "stuck"),
        (ValueError("a bug"), "stuck"),
        (NotFinished("a provider works"), None),
        (ProviderDown("HTTP 503"), None),
        (EngineFailed("it died", why="crash"), None),
        (EngineFailed("there is no GPU", why="no_gpu"), "stuck"),
    ],
)
def test_what_waiting_mends_is_not_told(error: Exception, event: str | None) -> None:
    assert notifying.event_of(error) == event


def test_a_webhook_is_told_the_line_and_the_command(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHIMERA_WEBHOOK", receiver.url)
    one = told(tmp_path)
    end(one, NeedsDecision("is it that batch?", where="stage one", hint="chimera-batch adopt …"))
    (said,) = receiver.bodies
    assert said["text"] == "tiny needs you ($0.00 of $5.00 spent): stage one: is it that batch?"
    assert said["hint"] == "chimera-batch adopt …"
    assert (said["event"], said["run"], said["usd_spent"], said["budget"]) == ("stuck", "tiny", "0", "5")
    assert said["manifest"] == str(tmp_path / "tiny.yaml") and said["rehearsal"] is False


def test_the_same_is_told_once_even_by_another_process(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHIMERA_WEBHOOK", receiver.url)
    for _ in range(3):  # cron
        end(told(tmp_path), OverBudget("$5 more are needed"))
    assert [said["event"] for said in receiver.bodies] == ["budget"]
    end(told(tmp_path), OverBudget("$4 more are needed"))
    end(told(tmp_path))
    end(told(tmp_path))
    assert [said["event"] for said in receiver.bodies] == ["budget", "budget", "done"]


def test_a_run_that_was_to_stop_at_a_stage_is_not_done_there(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHIMERA_WEBHOOK", receiver.url)
    later = "}\n  - {name: whole, sql: tiny/whole.sql"
    files = {"sql/tiny/whole.sql": "-- All.\n-- reads: one\nSELECT * FROM one\n"}
    one = bench(write_project(tmp_path, files, stage=later, head="notify: {url_env: CHIMERA_WEBHOOK}"))
    for until in ("one", "whole"):
        end(replace(one, ctx=replace(one.ctx, until=until)))
        assert len(receiver.bodies) == (until == "whole")


def test_only_what_was_wished_is_told(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIMERA_WEBHOOK", receiver.url)
    one = told(tmp_path, "{url_env: CHIMERA_WEBHOOK, on: [done]}")
    end(one, NeedsDecision("which?"))
    end(one)
    assert [said["event"] for said in receiver.bodies] == ["done"]


def test_who_wished_nothing_is_told_nothing(tmp_path: Path) -> None:
    one = bench(write_project(tmp_path))
    end(one)
    end(one, NeedsDecision("which?"))
    assert not one.said and not one.ctx.facts.told


def test_a_receiver_that_stumbles_is_asked_again(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHIMERA_WEBHOOK", receiver.url)
    receiver.statuses = [503, 429]
    one = told(tmp_path)
    end(one)
    assert len(receiver.bodies) == 3 and not one.said


@pytest.mark.parametrize("status", [302, 404])
def test_a_definite_no_is_one_line_and_no_redirection_is_followed(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("CHIMERA_WEBHOOK", receiver.url)
    receiver.statuses = [status]
    one = told(tmp_path)
    end(one)
    assert one.said == [f"the webhook in CHIMERA_WEBHOOK was not told (done): HTTP {status}"]
    end(one)  # it reached nobody: told again next time
    assert len(receiver.bodies) == 2


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (None, "is not set"),
        ("file:///etc/passwd", "holds no web address"),
        (f"http://127.0.0.1:1/{SECRET}", "ConnectError"),
        (f"http://[::/{SECRET}", "InvalidURL"),
    ],
)
def test_an_address_that_does_not_work_costs_a_line_and_stays_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str | None, why: str
) -> None:
    if url is not None:
        monkeypatch.setenv("CHIMERA_WEBHOOK", url)
    one = told(tmp_path)
    end(one)
    assert len(one.said) == 1 and why in one.said[0]
    assert SECRET not in one.said[0] and "passwd" not in one.said[0]


@contextmanager
def receiver_that(answers: Callable[[socket.socket], None]) -> Iterator[str]:
    """A webhook's address on loopback. ``answers``: what is done with each connection, in a thread of its own, until it
    meets an OSError: the connections are closed at the end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []
        threads: list[threading.Thread] = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    held.append(connection)
                    threads.append(threading.Thread(target=one, args=(connection,)))
                    threads[-1].start()

        def one(connection: socket.socket) -> None:
            with suppress(OSError):
                answers(connection)

        accepting = threading.Thread(target=serve)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/hooks/{SECRET}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for connection in held:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()
            for thread in threads:
                thread.join()


def says_nothing(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def drips_its_answer(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


def hangs_up(connection: socket.socket) -> None:
    connection.recv(1)
    connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("answers", [says_nothing, drips_its_answer, hangs_up])
def test_a_receiver_that_never_answers_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: Callable[[socket.socket], None]
) -> None:
    monkeypatch.setattr(notifying, "_SECONDS", 0.2)
    with receiver_that(answers) as url:
        monkeypatch.setenv("CHIMERA_WEBHOOK", url)
        one = told(tmp_path)
        before = one.clock.now
        end(one, OverBudget("$5 more are needed"))  # which is what the command then ends with
    assert len(one.said) == 1 and "was not told (budget)" in one.said[0]
    assert SECRET not in one.said[0]
    assert one.clock.now - before < 10, "and the pauses between the tries are short"


def test_an_answer_without_an_end_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def goes_on(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    with receiver_that(goes_on) as url:
        monkeypatch.setenv("CHIMERA_WEBHOOK", url)
        one = told(tmp_path)
        end(one)
    assert not one.said and one.ctx.facts.told


def test_a_receiver_that_always_fails_is_asked_three_times(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHIMERA_WEBHOOK", receiver.url)
    receiver.statuses = [500] * 9
    one = told(tmp_path)
    end(one)
    assert len(receiver.bodies) == 3
    assert one.said == ["the webhook in CHIMERA_WEBHOOK was not told (done): HTTP 500"]


def test_a_store_that_does_not_take_that_it_was_told_changes_no_end(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHIMERA_WEBHOOK", receiver.url)
    one = told(tmp_path)

    def fails(*_: Any) -> None:
        raise InputError("the disk under the store's folder is full")

    monkeypatch.setattr(one.ctx.ledger, "told", fails)
    end(one)
    end(one, NeedsDecision("adopt or resend?"))
    assert [said["event"] for said in receiver.bodies] == ["done", "stuck"]
    assert len(one.said) == 2 and "is full" in one.said[0]


def test_a_command_that_leaves_a_process_behind_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the command's output, which would be read to its end."""
    pid = tmp_path / "pid"
    sleeper = "import subprocess, sys; left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    one = told(tmp_path, script(tmp_path, f"{sleeper}; open({str(pid)!r}, 'w').write(str(left.pid))"))
    try:
        end(one)
        assert not one.said
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)


def test_an_unexpected_error_is_told_by_its_kind_alone(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHIMERA_WEBHOOK", receiver.url)
    end(told(tmp_path), KeyError("what a model said"))
    assert receiver.bodies[0]["reason"] == "unexpected KeyError"
    assert "model" not in json.dumps(receiver.bodies)


def script(folder: Path, text: str) -> str:
    path = folder / "tell.py"
    path.write_text(text, encoding="utf-8")
    return json.dumps({"command": [sys.executable, str(path), "a word; $(id)"]})


def test_a_command_gets_the_document_on_its_input_and_no_shell(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    one = told(tmp_path, script(tmp_path, f"import sys; open({str(out)!r}, 'w').write(sys.argv[1] + sys.stdin.read())"))
    end(one)
    said = out.read_text("utf-8")
    assert said.startswith("a word; $(id){") and json.loads(said[13:])["event"] == "done"


def test_a_command_that_fails_or_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = told(tmp_path, script(tmp_path, "raise SystemExit(3)"))
    end(one)
    assert one.said[-1].endswith("it ended with 3")
    end(told(tmp_path, "{command: [/no/such/program]}"))
    monkeypatch.setattr(notifying, "_SECONDS", 0.05)
    slow = told(tmp_path, script(tmp_path, "import time; time.sleep(60)"))
    end(slow)
    assert "timed out" in slow.said[-1]


def test_one_way_that_works_is_enough_to_have_told(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHIMERA_WEBHOOK", receiver.url)
    notify = "{url_env: CHIMERA_WEBHOOK, command: [/no/such/program]}"
    one = told(tmp_path, notify)
    end(one)
    end(one)
    assert len(receiver.bodies) == 1 and len(one.said) == 1


def test_a_rehearsal_says_that_it_is_one(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIMERA_WEBHOOK", receiver.url)
    one = told(tmp_path)
    one.ctx = replace(one.ctx, rehearse=True)
    end(one)
    assert receiver.bodies[0]["text"].startswith("REHEARSAL: tiny is done")
    assert receiver.bodies[0]["rehearsal"] is True


@pytest.mark.parametrize("notify", ["{}", "{on: [done]}", "{url_env: 'no name'}", "{command: tell}"])
def test_a_wish_that_tells_nobody_is_refused(tmp_path: Path, notify: str) -> None:
    with pytest.raises(InputError, match=r"tiny\.yaml:3"):
        told(tmp_path, notify)


@pytest.mark.slow
def test_a_whole_run_tells_that_it_is_done_and_that_its_money_is_gone(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHIMERA_WEBHOOK", receiver.url)
    path = cli_project(tmp_path)
    text = path.read_text("utf-8") + "notify: {url_env: CHIMERA_WEBHOOK}\n"
    path.write_text(text.replace("usd: 1", "usd: 0.000001"), encoding="utf-8")
    assert call("run", path, "--rehearse").code == 3
    assert call("run", path, "--rehearse").code == 3
    path.write_text(text, encoding="utf-8")
    assert call("run", path, "--rehearse").code == 0
    assert [said["event"] for said in receiver.bodies] == ["budget", "done"]
    assert SECRET not in "".join(p.read_text("utf-8", "replace") for p in tmp_path.rglob("*") if p.is_file())
