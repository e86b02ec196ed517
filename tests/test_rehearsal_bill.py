from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.rehearsal.bill import Bill, double_payments
from chimera_batch.rehearsal.state import Roll, sweep, write_json


def line(key: str, *, delivered: bool = True, usable: bool = True, batch: str = "b") -> dict[str, Any]:
    return {"request_id": key, "delivered": delivered, "usable": usable, "batch": batch, "usd": "0.1"}


def block(*lines: dict[str, Any]) -> bytes:
    return b"".join(orjson.dumps(one) + b"\n" for one in lines)


@pytest.mark.parametrize(
    "lines, twice",
    [
        ([], 0),
        ([line("a"), line("b")], 0),
        ([line("a"), line("a")], 1),
        ([line("a"), line("a"), line("a")], 2),
        ([line("a", delivered=False), line("a")], 0),
        ([line("a", usable=False), line("a"), line("b")], 0),
        ([line("a", usable=False), line("a"), line("a", delivered=False)], 1),
    ],
)
def test_paid_twice_is_executed_again_after_a_usable_answer(lines: list[dict[str, Any]], twice: int) -> None:
    assert len(double_payments(lines)) == twice


@given(st.lists(st.builds(line, st.sampled_from("abc"), delivered=st.booleans(), usable=st.booleans()), max_size=12))
def test_each_key_is_paid_usefully_once_at_most_outside_the_doubles(lines: list[dict[str, Any]]) -> None:
    twice = double_payments(lines)
    useful = [one["request_id"] for one in lines if one["delivered"] and one["usable"]]
    assert len(twice) >= len(useful) - len(set(useful))
    assert len(twice) <= len(lines) - len(set(useful)) if useful else not twice


@given(st.integers(0, 200), st.integers(0, 3))
def test_a_block_is_complete_after_a_crash_anywhere_in_it(
    tmp_path_factory: pytest.TempPathFactory, cut: int, before: int
) -> None:
    path = tmp_path_factory.mktemp("roll") / "billing.jsonl"
    other = block(*(line(f"o{n}", batch="other") for n in range(before)))
    whole = block(line("a"), line("b"), line("c"))
    path.write_bytes(other + whole[:cut])
    bill = Bill(path)
    bill.complete("b", whole)
    assert path.read_bytes() == other + whole
    assert [bill.next_attempt(key) for key in ("a", "b", "c", "d")] == [2, 2, 2, 1]


def test_a_torn_line_longer_than_a_block_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "roll.jsonl"
    path.write_bytes(block(line("a")) + b'{"request_id": "' + b"x" * 200_000)
    assert [one["request_id"] for one in Roll(path)] == ["a"]
    path.write_bytes(b"x" * 10)
    assert list(Roll(path)) == [] and path.read_bytes() == b""


def test_attempts_survive_a_restart(tmp_path: Path) -> None:
    bill = Bill(tmp_path / "billing.jsonl")
    bill.add(block(line("a"), line("a"), line("b")))
    assert bill.next_attempt("a") == 3
    again = Bill(tmp_path / "billing.jsonl")
    assert (again.next_attempt("a"), again.next_attempt("b"), again.next_attempt("c")) == (3, 2, 1)
    assert [str(value) for value in again.total()] == ["3", "0.3"]


def test_json_appears_whole_and_drafts_are_swept(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    write_json(tmp_path / "a.json", {"a": 2})
    (tmp_path / ".a.json.dead").write_bytes(b"{")
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert orjson.loads((tmp_path / "a.json").read_bytes()) == {"a": 2}
