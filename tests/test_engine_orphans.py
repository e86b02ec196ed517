"""Real processes with and without our mark: which are found, which are ended, which left alone; and who holds what."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from chimera_batch.engines import kernel, orphans, process, record
from chimera_batch.engines.holding import Hold
from chimera_batch.engines.process import Process
from chimera_batch.engines.record import Record
from chimera_batch.errors import NeedsDecision
from chimera_batch.settings import boot
from tests.conftest import ROOT
from tests.engine_kit import eventually, runs

SLEEP = "import time; time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); {SLEEP}"
OURS = f"ours {os.getpid()}"  # not that of the tests that run beside these
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts Python code in a group of its own, with a mark or none; all of it is ended with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(code: str = SLEEP, mark: str | None = None, **options: object) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if name != kernel.MARK}
        environment |= {kernel.MARK: mark} if mark else {}
        where: dict[str, object] = {"process_group": 0, "stdout": subprocess.PIPE, **options}
        child = subprocess.Popen([sys.executable, "-c", code], env=environment, **where)  # type: ignore[call-overload]
        started.append(child)
        eventually(lambda: kernel.mark_of(child.pid) == mark and b"-c" in command(child.pid))
        return child

    yield begin
    for child in started:
        child.kill()
        child.communicate()


def command(pid: int) -> bytes:
    """Its command line: until it is there, the process is still a copy of this one."""
    path = Path(f"/proc/{pid}/cmdline")
    return path.read_bytes() if path.exists() else b""


def record_of(pid: int = 0, mark: str = OURS) -> Record:
    seen = kernel.look(pid) if pid else None
    return Record(mark, boot(), 1, "m", "d", "somebody", pid=pid, start=seen.start if seen else "", ready=True)


def quiet(_line: str) -> None:
    """Says nothing."""


def test_one_whose_threads_are_still_dying_has_not_ended(start: Start) -> None:
    """Its leader is a zombie at once; its memory, its ports and its GPU are free when the last thread has gone."""
    threads = "[threading.Thread(target=time.sleep, args=(600,), daemon=True).start() for _ in range(20)]"
    for _ in range(8):
        dying = start(f"import threading, time; {threads}; held = bytearray(100_000_000); time.sleep(600)")
        eventually(lambda pid=dying.pid: len(list(Path(f"/proc/{pid}/task").iterdir())) == 21)  # type: ignore[misc]
        dying.kill()
        while kernel.look(dying.pid):
            pass
        assert dying.poll() is not None


def test_the_mark_finds_them_wherever_they_went(start: Start) -> None:
    leader, elsewhere = start(mark=OURS), start(mark=OURS, process_group=None, start_new_session=True)
    strangers = [start(), start(mark="another"), start(process_group=leader.pid)]
    left = record_of(leader.pid)
    found = {one.pid for one in orphans.left_of(left, boot())}
    unmarked_in_our_group = strangers[2]  # while our leader leads it, the group is ours
    assert found == {leader.pid, elsewhere.pid, unmarked_in_our_group.pid}
    assert orphans.end(left, boot(), quiet)
    assert not runs(leader.pid) and not runs(elsewhere.pid) and not runs(unmarked_in_our_group.pid)
    assert runs(strangers[0].pid) and runs(strangers[1].pid)


def test_a_group_whose_leader_is_gone_is_ours_only_by_the_mark(start: Start) -> None:
    leader = start(mark=OURS)
    left = record_of(leader.pid)
    marked, unmarked = start(mark=OURS, process_group=leader.pid), start(process_group=leader.pid)
    leader.kill()
    leader.wait()
    assert {one.pid for one in orphans.left_of(left, boot())} == {marked.pid}
    assert orphans.end(left, boot(), quiet) and not runs(marked.pid) and runs(unmarked.pid)


def test_what_was_started_before_its_id_was_written_down_is_found(start: Start) -> None:
    child, said = start(mark=OURS), list[str]()
    assert orphans.end(record_of(), boot(), said.append)
    assert not runs(child.pid) and said == ["ending 1 processes of the engine that served m (group ?)"]
    assert orphans.end(record_of(), boot(), said.append) and len(said) == 1, "nothing is left: nothing is said"


def test_who_does_not_go_is_killed(start: Start) -> None:
    child = start(STUBBORN, mark=OURS)
    assert child.stdout is not None and child.stdout.readline() == b"ready\n"
    assert orphans.end(record_of(), boot(), quiet, grace=0.2)
    assert child.wait() == -signal.SIGKILL


def test_one_that_a_runner_before_us_started_is_killed_with_all_of_its(start: Start, tmp_path: Path) -> None:
    """The watch kills what is stuck; of an engine that was left by a killed runner nobody here is the parent."""
    leader, worker = start(mark=OURS), start(mark=OURS, process_group=None, start_new_session=True)
    stranger = start()
    Process(record_of(leader.pid), tmp_path).kill()
    eventually(lambda: not runs(leader.pid) and not runs(worker.pid))
    assert runs(stranger.pid)


def test_a_later_process_with_the_same_id_is_a_stranger(start: Start) -> None:
    child = start()
    seen = kernel.look(child.pid)
    assert seen is not None
    earlier = Record(OURS, boot(), 1, "m", "d", "somebody", pid=child.pid, start=str(int(seen.start) - 1), ready=True)
    assert orphans.left_of(earlier, boot()) == ()
    assert orphans.end(earlier, boot(), quiet) and runs(child.pid)


def test_a_process_is_started_with_its_record_and_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "hush")
    code = "import os, sys; print(sorted(n for n in os.environ if 'KEY' in n), os.environ['MORE'], sys.argv[1:])"
    for turn in ("first", "second"):
        argv = [sys.executable, "-c", f"{code}; print('{turn}', file=sys.stderr)"]
        started = process.start(tmp_path, argv, {"MORE": "told"}, ("m", "d"))
        eventually(lambda started=started: not started.alive())
        assert started.code() == 0
        assert started.tail().splitlines() == [f"[] told ['--port', '{started.record.port}']", turn]
        assert record.load(tmp_path) == started.record and started.record.pid > 0
    assert "first" in (tmp_path / "server.log.1").read_text()
    started.ready()
    assert (kept := record.load(tmp_path)) is not None and kept.ready
    assert started.stop() and record.load(tmp_path) is None


class Stuck:
    """A child in the kernel that no signal ends."""

    returncode = None

    def __init__(self) -> None:
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> int:
        self.waits.append(timeout)
        if timeout is None:
            raise AssertionError("waited for without a limit")
        raise subprocess.TimeoutExpired("stuck", timeout)


def test_a_process_that_no_signal_ends_is_waited_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda _group, number: sent.append(number))
    monkeypatch.setattr(orphans, "end", lambda *_: False)
    left, child = Record(OURS, boot(), 1, "m", "d", "somebody", pid=1 << 22, start="1"), Stuck()
    record.save(tmp_path, left)
    assert not Process(left, tmp_path, cast("subprocess.Popen[bytes]", child)).stop()
    assert sent == [signal.SIGTERM, signal.SIGKILL] and len(child.waits) == 2 and sum(filter(None, child.waits)) < 60
    assert record.load(tmp_path) == left, "the next run tries again"


def test_a_program_that_is_not_there_leaves_a_record_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        process.start(tmp_path, ["/no/such/program"], {}, ("m", "d"))
    left = record.load(tmp_path)
    assert left is not None and left.pid == 0
    assert orphans.left_of(left, boot()) == ()


HOLDER = """
import sys
from pathlib import Path
from chimera_batch.engines.holding import Hold
Hold(Path(sys.argv[1]), "vllm").take()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_hold_goes_with_its_process_however_that_ends(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    ours = Hold(tmp_path, "vllm")
    with holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(NeedsDecision, match=f":{holder.pid}:"):
            ours.take()
        holder.kill()
    ours.take()
    ours.take()  # held already
    with pytest.raises(NeedsDecision, match=f":{os.getpid()}:"):
        Hold(tmp_path, "vllm").take()
    ours.release()
    ours.release()
    second = Hold(tmp_path, "vllm")
    second.take()
    second.release()
