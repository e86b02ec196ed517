"""The state folder: what is on disk after every kind of interruption, and who may look at it meanwhile."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.rehearsal import state as state_module
from chimera_batch.rehearsal.__main__ import main
from chimera_batch.rehearsal.bill import Bill, double_payments
from chimera_batch.rehearsal.desk import Desk, Options, Taken
from chimera_batch.rehearsal.guests import Guests
from chimera_batch.rehearsal.state import Roll, base62, read, sweep, write_json


def line(key: str, batch: str | None = "b", **more: Any) -> dict[str, Any]:
    return {"request_id": key, "batch": batch, "delivered": True, "usable": True, "usd": "0.25"} | more


def block(*lines: dict[str, Any]) -> bytes:
    return b"".join(orjson.dumps(one) + b"\n" for one in lines)


@given(st.lists(st.text("ab", min_size=1, max_size=3), max_size=6), st.integers(0, 400))
def test_a_reader_sees_whole_lines_only(tmp_path_factory: pytest.TempPathFactory, keys: list[str], cut: int) -> None:
    path = tmp_path_factory.mktemp("roll") / "r.jsonl"
    whole = block(*(line(key) for key in keys))
    path.write_bytes(whole[:cut])
    seen = [one["request_id"] for one in read(path)]
    assert seen == keys[: whole[:cut].count(b"\n")]
    assert path.read_bytes() == whole[:cut], "reading changes nothing"
    assert [one["request_id"] for one in Roll(path)] == seen
    assert path.read_bytes() == whole[:cut][: whole[:cut].rfind(b"\n") + 1], "opening cuts the torn line"


def test_a_line_that_is_being_written_is_not_read_yet(tmp_path: Path) -> None:
    bill = Bill(tmp_path / "billing.jsonl")
    bill.add(block(line("a")))
    with (tmp_path / "billing.jsonl").open("ab") as other:
        other.write(b'{"request_id": "b", "us')
    assert bill.total() == (1, Decimal("0.25"))
    assert [one["request_id"] for one in bill.roll] == ["a"]


@pytest.mark.parametrize("written", [0, 1, 30, 70])
def test_an_append_that_fails_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """A full disk: what did not fit is taken back, so that the next block starts on a line of its own."""
    roll = Roll(tmp_path / "r.jsonl")
    roll.append(block(line("a")))
    sync, syncs = os.fsync, []

    def full(descriptor: int) -> None:
        syncs.append(descriptor)
        if len(syncs) == 1:
            os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
            raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(state_module.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        roll.append(block(line("b"), line("c")))
    assert [one["request_id"] for one in roll] == ["a"]
    assert roll.complete("b2", block(line("d", "b2"))) == block(line("d", "b2"))
    assert [one["request_id"] for one in roll] == ["a", "d"]


def test_appends_of_many_threads_do_not_mix(tmp_path: Path) -> None:
    bill = Bill(tmp_path / "billing.jsonl")

    def work(name: str) -> None:
        for n in range(10):
            bill.add(block(*(line(f"{name}{n}-{m}", batch=f"{name}{n}") for m in range(5))))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    batches = [one["batch"] for one in bill.roll]
    assert len(batches) == 200
    assert all(len(set(batches[at : at + 5])) == 1 for at in range(0, 200, 5)), "each block is in one piece"
    assert bill.next_attempt("a0-0") == 2


def test_nothing_to_append_makes_no_line(tmp_path: Path) -> None:
    roll = Roll(tmp_path / "r.jsonl")
    roll.append(b"")
    assert roll.complete("b", b"") == b""
    assert (tmp_path / "r.jsonl").read_bytes() == b""


def test_a_block_is_completed_behind_others_that_came_between(tmp_path: Path) -> None:
    roll = Roll(tmp_path / "r.jsonl")
    whole = block(line("a", "x"), line("b", "x"), line("c", "x"))
    roll.append(block(line("a", "x")))
    roll.append(block(line("sync", None)))
    assert roll.complete("x", whole) == block(line("b", "x"), line("c", "x"))
    assert [one["request_id"] for one in roll] == ["a", "sync", "b", "c"]
    assert roll.complete("x", whole) == b""


def test_attempts_count_synchronous_and_batched_executions_alike(tmp_path: Path) -> None:
    bill = Bill(tmp_path / "billing.jsonl")
    bill.add(block(line("a", None)))
    bill.complete("b", block(line("a", "b"), line("z", "b")))
    bill.complete("b", block(line("a", "b"), line("z", "b")))
    assert [bill.next_attempt(key) for key in "azq"] == [3, 2, 1]


def test_dollars_are_added_exactly(tmp_path: Path) -> None:
    bill = Bill(tmp_path / "billing.jsonl")
    bill.add(block(*(line(str(n), usd="0.0000001") for n in range(30)), line("x", usd="12345678901234567890.5")))
    assert bill.total() == (31, Decimal("12345678901234567890.500003"))


# Who was paid twice

ok, lost, bad = {"delivered": True}, {"delivered": False}, {"usable": False}


@pytest.mark.parametrize(
    "history, twice",
    [
        ([ok], []),
        ([ok, ok], [1]),
        ([lost, ok], []),
        ([bad, bad, ok], []),
        ([bad, ok, bad], [2]),
        ([ok, lost], [1]),
        ([ok, bad, lost, ok], [1, 2, 3]),
        ([lost | bad, lost, bad, ok], []),
    ],
)
@pytest.mark.parametrize("around", [[], [line("other")], [line("other"), line("third", None)]])
def test_double_payments_are_the_lines_after_the_first_good_answer(
    history: list[dict[str, Any]], twice: list[int], around: list[dict[str, Any]]
) -> None:
    lines = [line("k", n=n, **one) for n, one in enumerate(history)]
    mixed = [one for mine in lines for one in (mine, *around[:1])] if not around else [*around, *lines]
    assert [one["n"] for one in double_payments(mixed) if one["request_id"] == "k"] == twice


def test_the_doubles_are_copies(tmp_path: Path) -> None:
    lines = [line("a"), line("a")]
    double_payments(lines)[0]["request_id"] = "changed"
    assert lines[1]["request_id"] == "a"


# The check from the command line


def test_checking_reads_and_never_repairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A server may be in the middle of an append: cutting its line would spoil the bill."""
    torn = block(line("a"), line("a", batch="c")) + b'{"request_id": "b"'
    (tmp_path / "billing.jsonl").write_bytes(torn)
    assert main(["check", str(tmp_path)]) == 1
    assert json.loads(capsys.readouterr().out)["batch"] == "c"
    assert (tmp_path / "billing.jsonl").read_bytes() == torn
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["billing.jsonl"]


@pytest.mark.parametrize("folder", ["", "not there"])
def test_checking_a_folder_without_a_bill_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    assert main(["check", str(tmp_path / folder)]) == 2
    assert "there is no bill in" in capsys.readouterr().err
    assert not list(tmp_path.glob("**/billing.jsonl"))


def test_an_upstream_that_is_not_there_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--state", str(tmp_path), "--upstream", "http://127.0.0.1:1"]) == 2
    assert "--upstream: nobody answers at http://127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--state"], ["--state", "x", "--port", "many"], ["check"]])
def test_arguments_that_make_no_sense(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


# Small parts


def test_a_written_document_is_whole_or_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"v": 1})

    def cut(descriptor: int) -> None:
        raise OSError("power cut")

    monkeypatch.setattr(state_module.os, "fsync", cut)
    with pytest.raises(OSError, match="power cut"):
        write_json(path, {"v": 2})
    assert orjson.loads(path.read_bytes()) == {"v": 1}
    sweep(tmp_path)
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["a.json"]


def test_ids_are_long_and_new_each_time() -> None:
    made = {base62(22) for _ in range(200)}
    assert len(made) == 200
    assert all(len(one) == 22 and one.isascii() and one.isalnum() for one in made)


# One desk, one folder


def opened(path: Path) -> Desk:
    return Desk(Options(path, settings={"prices": []}))


def test_the_lock_is_free_again_after_closing(tmp_path: Path) -> None:
    for _ in range(3):
        desk = opened(tmp_path / "s")
        with pytest.raises(Taken):
            opened(tmp_path / "s")
        desk.close()


def test_a_folder_that_two_open_at_once_belongs_to_one(tmp_path: Path) -> None:
    held: list[Desk] = []
    refused: list[Taken] = []

    def work() -> None:
        try:
            held.append(opened(tmp_path / "s"))
        except Taken as taken:
            refused.append(taken)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 3)
    held[0].close()


def test_what_a_new_folder_holds(tmp_path: Path) -> None:
    desk = opened(tmp_path / "deep" / "s")
    told = desk.told()
    desk.close()
    assert told == {"batches": [], "files": [], "faults": [], "billed": 0, "usd": "0"}
    names = {path.name for path in (tmp_path / "deep" / "s").iterdir()}
    assert names == {"lock", "files", "batches", "billing.jsonl", "planted.jsonl"}


def test_drafts_of_a_crash_are_swept_and_nothing_else(tmp_path: Path) -> None:
    desk = opened(tmp_path / "s")
    draft = desk.files.write([b"kept"], 10)
    ident = desk.files.keep(draft, name="a.jsonl", purpose="batch")["id"]
    torn = desk.files.write([b"never kept"], 10)
    desk.close()
    assert torn.exists()
    again = opened(tmp_path / "s")
    kept = again.files.path(ident)
    again.close()
    assert not torn.exists()
    assert kept is not None and kept.read_bytes() == b"kept"


@pytest.mark.parametrize(
    "work, closing",
    [
        (lambda g: g.leave(1), False),
        (lambda g: g.join(2) and g.leave(2), False),
        (lambda g: g.leave(os.getpid()), True),
        (lambda g: g.join(1) and g.leave(os.getpid()), False),
        (lambda g: (g.join(1) and g.leave(os.getpid())) or g.leave(1), True),
        (lambda g: g.sweep(), False),
    ],
)
def test_a_hosted_server_closes_with_its_last_guest(work: Callable[[Guests], Any], closing: bool) -> None:
    guests = Guests(os.getpid())
    work(guests)
    assert guests.closing is closing
    assert guests.join(os.getpid()) is not closing


def test_a_guest_whom_we_may_not_signal_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(pid: int, number: int) -> None:
        raise PermissionError

    guests = Guests(os.getpid())
    monkeypatch.setattr(os, "kill", forbidden)
    assert not guests.sweep()
