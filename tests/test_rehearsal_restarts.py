"""What is left of a server that stopped, crashed or was killed at a bad moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest

from chimera_batch.rehearsal import Running, start
from chimera_batch.rehearsal.__main__ import TAKEN, main
from chimera_batch.rehearsal.desk import Desk, Options, Taken
from chimera_batch.rehearsal.guests import Guests
from chimera_batch.rehearsal.works import Works
from tests.rehearsal_kit import PRICES, Hall, ask_claude, chat_lines, ended, finished, hurry, jsonl, rows, submit, until


@pytest.mark.slow
def test_batches_and_files_survive_and_go_on(tmp_path: Path) -> None:
    with Hall(tmp_path / "s", speed=1.0) as hall, hall.openai() as client:
        batch = submit(client, jsonl(chat_lines(20)))
        assert client.batches.retrieve(batch.id).status == "validating"
    with Hall(tmp_path / "s", speed=1.0) as hall, hall.openai() as client:
        hurry(hall.desk, batch.id)
        done = finished(client, batch.id)
        assert len(rows(client, done.output_file_id)) == len(hall.bill) == 20
        assert (done.metadata, done.created_at) == ({"a": "b"}, batch.created_at)
    with Hall(tmp_path / "s") as hall, hall.openai() as client, hall.anthropic() as claude:
        assert client.batches.retrieve(batch.id).to_dict() == done.to_dict()
        made = claude.messages.batches.create(requests=[ask_claude(1)])  # type: ignore[list-item]
        url = ended(claude, made.id).results_url
    with Hall(tmp_path / "s") as hall, hall.anthropic() as claude:
        again = claude.messages.batches.retrieve(made.id)
        assert again.results_url != url and again.results_url.startswith(hall.url)


@pytest.mark.parametrize("keep", [0, 1, 7, 20])
def test_a_crash_while_billing_bills_the_rest_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: int) -> None:
    def torn(self: Works, batch: Any, *, again: bool = False) -> None:
        lines = self._drafts(batch).bill.read_bytes().splitlines(keepends=True)
        self._tools.bill.roll.append(b"".join(lines[:keep]) + b"".join(lines[keep : keep + 1])[:30])
        self._stop.set()

    with monkeypatch.context() as patch, Hall(tmp_path / "s") as hall, hall.openai() as client:
        patch.setattr(Works, "_bill", torn)
        batch = submit(client, jsonl(chat_lines(20)))
        until(hall.desk.works._stop.is_set, bool)
        assert client.batches.retrieve(batch.id).status == "in_progress"
    with Hall(tmp_path / "s") as hall, hall.openai() as client:
        done = finished(client, batch.id)
        answers = rows(client, done.output_file_id)
        assert len(answers) == len(hall.bill) == 20
        assert len({line["custom_id"] for line in hall.bill}) == 20
        assert hall.desk.bill.next_attempt(hall.bill[0]["request_id"]) == 2
    assert not [path for path in (tmp_path / "s" / "batches").iterdir() if path.suffix != ".json"]


def test_a_crash_before_the_point_of_no_return_executes_again_unbilled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(self: Works, *rest: Any) -> None:
        self._stop.set()
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch, Hall(tmp_path / "s") as hall, hall.openai() as client:
        patch.setattr(Works, "_file", crash)
        batch = submit(client, jsonl(chat_lines(20)))
        until(hall.desk.works._stop.is_set, bool)
        assert hall.bill == []
    with Hall(tmp_path / "s") as hall, hall.openai() as client:
        finished(client, batch.id)
        assert {line["attempt"] for line in hall.bill} == {1} and len(hall.bill) == 20
        assert len(list(client.files.list())) == 2, "an input and one output"


@pytest.mark.slow
def test_an_unforeseen_failure_of_one_batch_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, failed = Works._execute, []

    def once(self: Works, batch: Any) -> None:
        if not failed:
            failed.append(batch.id)
            raise OSError("disk full")
        whole(self, batch)

    monkeypatch.setattr(Works, "_execute", once)
    with Hall(tmp_path / "s") as hall, hall.openai() as client:
        assert finished(client, submit(client, jsonl(chat_lines(2))).id).status == "completed"
    assert failed


def test_deleting_the_upload_disturbs_nothing_under_way(tmp_path: Path) -> None:
    with Hall(tmp_path / "s", speed=200.0) as hall, hall.openai() as client:
        batch = submit(client, jsonl(chat_lines(5)))
        until(lambda: client.batches.retrieve(batch.id), lambda b: b.status == "in_progress")
        client.files.delete(batch.input_file_id)
        hurry(hall.desk, batch.id)
        assert finished(client, batch.id).request_counts.completed == 5


def test_one_desk_per_state_folder(tmp_path: Path) -> None:
    with Hall(tmp_path / "s"), pytest.raises(Taken):
        Desk(Options(tmp_path / "s"))
    with Hall(tmp_path / "s"):
        assert main(["--state", str(tmp_path / "s")]) == TAKEN


def test_guests_come_and_go() -> None:
    me, nobody = os.getpid(), 2**22 + 1  # above any process id
    guests = Guests(me)
    assert guests.join(nobody) and not guests.leave(me)
    assert guests.sweep() and not guests.join(me)
    alone = Guests()
    assert alone.join(me) and not alone.leave(me) and not alone.sweep()
    child = Guests(os.getppid())
    assert not child.sweep() and child.leave(os.getppid())


def test_check_shows_double_payments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = {"request_id": "a", "delivered": True, "usable": True, "batch": "b"}
    (tmp_path / "billing.jsonl").write_bytes(orjson.dumps(line) + b"\n")
    assert (main(["check", str(tmp_path)]), capsys.readouterr().out) == (0, "")
    (tmp_path / "billing.jsonl").write_bytes((orjson.dumps(line) + b"\n") * 2)
    assert (main(["check", str(tmp_path)]), json.loads(capsys.readouterr().out)) == (1, line)


def test_a_start_that_fails_shows_its_log(tmp_path: Path) -> None:
    (tmp_path / "faults.json").write_text("not json")
    with pytest.raises(RuntimeError, match="JSONDecodeError"):
        start(tmp_path)


def client_of(running: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{running.url}/openai/v1", api_key="x", max_retries=0, timeout=300)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z"


@pytest.mark.slow
def test_a_server_is_shared_and_ends_with_its_last_user(tmp_path: Path) -> None:
    first = start(tmp_path / "s", speed=5000, settings={"prices": PRICES})
    code = "import sys, pathlib; from chimera_batch.rehearsal import start; r = start(pathlib.Path(sys.argv[1])); "
    code += "print(r.pid, r.process, flush=True); sys.stdin.readline(); r.close()"
    command = [sys.executable, "-c", code, str(tmp_path / "s")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline().split() == [str(first.pid), "None"]
        first.close()
        with client_of(first) as client:
            assert list(client.files.list()) == [], "the other one still uses it"
        other.stdin.write("\n")
    until(lambda: gone(first.pid), bool)
    third = start(tmp_path / "s")
    assert third.pid != first.pid
    third.close()
    assert third.process is not None and third.process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("wait", [0.0, 0.05, 0.3, 0.8])
def test_killed_in_the_middle_and_restarted_pays_once(tmp_path: Path, wait: float) -> None:
    # All 4,000 rows are worked on from about 0.4 s on, for about as long.
    settings = {"prices": PRICES, "work_seconds": [10, 10]}
    running = start(tmp_path / "s", speed=50, settings=settings)
    with client_of(running) as client:
        batch = submit(client, jsonl(chat_lines(4000)))
        until(lambda: client.batches.retrieve(batch.id), lambda b: b.status != "validating")
        time.sleep(wait)
    os.kill(running.pid, signal.SIGKILL)
    running.close()
    again = start(tmp_path / "s", speed=50, settings=settings)
    with client_of(again) as client:
        done = finished(client, batch.id)
        answers = rows(client, done.output_file_id)
    again.close()
    bill = [orjson.loads(line) for line in (tmp_path / "s" / "billing.jsonl").read_bytes().splitlines()]
    assert Counter(line["custom_id"] for line in bill) == Counter(row["custom_id"] for row in answers)
    assert len(answers) == 4000 and {line["attempt"] for line in bill} == {1}


@pytest.mark.slow
def test_it_prints_its_address_and_leaves_when_its_parent_is_gone(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, os; from chimera_batch.rehearsal import start; "
        "print(start(pathlib.Path(sys.argv[1])).pid, flush=True); os._exit(0)"
    )
    told = subprocess.run([sys.executable, "-c", code, str(tmp_path / "s")], capture_output=True, check=True, text=True)
    pid = int(told.stdout)
    assert not gone(pid), "it waits for a while, somebody else may be using it"
    until(lambda: gone(pid), bool)
    alone = [sys.executable, "-m", "chimera_batch.rehearsal", "--state", str(tmp_path / "t"), "--port", "0"]
    with subprocess.Popen(alone, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()
        assert json.loads((tmp_path / "t" / "server.json").read_text()) == {"url": url, "pid": process.pid}
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.slow
def test_fifty_thousand_lines_in_flat_memory_at_speed(tmp_path: Path) -> None:
    wide = "word " * 400
    data = jsonl([line | {"body": line["body"] | {"user": wide}} for line in chat_lines(50_000)])
    path = tmp_path / "in.jsonl"
    path.write_bytes(data)
    running = start(tmp_path / "s", speed=100_000, settings={"prices": PRICES})

    def peak() -> int:
        status = Path(f"/proc/{running.pid}/status")
        if not status.exists():
            pytest.skip("no /proc on this machine")
        return int(status.read_text().split("VmHWM:")[1].split()[0]) // 1024

    def worked() -> float:
        """Seconds of processor time, so that a busy machine is no slow server."""
        fields = Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    with client_of(running) as client:
        client.files.list()
        before = peak()
        with path.open("rb") as file:
            sent = client.files.create(file=file, purpose="batch")
        began = worked()
        made = client.batches.create(input_file_id=sent.id, endpoint="/v1/chat/completions", completion_window="24h")
        done = until(lambda: client.batches.retrieve(made.id), lambda b: b.status == "completed", seconds=240)
        took = worked() - began
    after = peak()
    running.close()
    assert done.request_counts.completed == 50_000
    assert len(data) > 120_000_000 and after - before < 100, f"{before} to {after} MiB for {len(data) >> 20} MiB"
    assert took < 30, "5,000 lines a second of processor time are 10 s"
