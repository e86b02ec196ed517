"""The judge of the fault tests: an attempt's account beside the server's bill, and that it can say no."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from chimera_batch.history.facts import Attempt
from tests.faults.invariants import Account
from tests.support import NOW, claimed

D = Decimal


def attempt(**changes: Any) -> Attempt:
    fields = {name: value for name, value in claimed().items() if name in Attempt.__slots__}
    made = Attempt(**{**fields, "number": 1, "usd": D("0.5"), "owner": "me", "at": NOW})
    for name, value in {"batch": "batch-1", "billed": D("0.02"), **changes}.items():
        setattr(made, name, value)
    return made


def line(identity: str, usd: str = "0.01", **changes: Any) -> dict[str, Any]:
    return {"custom_id": f"00000001-{identity}", "batch": "batch-1", "usd": usd, "delivered": True, **changes}


def rows(folder: Path, **usd: str) -> list[str]:
    path = folder / "answers.parquet"
    values = ", ".join(f"('{identity}', {dollars}::DECIMAL(24,12))" for identity, dollars in usd.items())
    with duckdb.connect() as made:
        made.execute(f"COPY (SELECT * FROM (VALUES {values}) AS t(request_id, usd)) TO '{path}'")
    return [str(path)]


LOST = line("c", delivered=False)
TOLD: dict[str, Any] = {"reported": {"input_tokens": 3}}

CASES: list[tuple[str, dict[str, Any], list[dict[str, Any]], list[str]]] = [
    ("both agree", {}, [line("a"), line("b")], []),
    ("a row at another price", {}, [line("a"), line("b", "0.011")], ["billed", "delivered and not booked", "charged"]),
    ("a row on no bill", {}, [line("a")], ["billed"]),
    ("a bill without a row", {"suspected": D("0.01")}, [line("a"), line("b"), line("c")], ["delivered and not booked"]),
    ("a sum that is wrong", {"billed": D("0.03")}, [line("a"), line("b")], ["billed"]),
    ("lost and suspected", {"suspected": D("0.2")}, [line("a"), line("b"), LOST], []),
    ("lost and suspected exactly", {"suspected": D("0.01"), **TOLD}, [line("a"), line("b"), LOST], []),
    ("lost and not suspected", {}, [line("a"), line("b"), LOST], ["charged for nothing"]),
    ("lost and suspected too little", {"suspected": D("0.009")}, [line("a"), line("b"), LOST], ["charged for nothing"]),
    (
        "told, and a cent too much",
        {"suspected": D("0.02"), **TOLD},
        [line("a"), line("b"), LOST],
        ["by the provider's"],
    ),
    ("told, and nothing lost", {"suspected": D("0.001"), **TOLD}, [line("a"), line("b")], ["by the provider's totals"]),
    ("more than was reserved", {"suspected": D("0.6")}, [line("a"), line("b"), LOST], ["were reserved"]),
    (
        "a stray of the same attempt",
        {"suspected": D("0.6"), "strays": ["batch-2"]},
        [line("a"), line("b"), line("a", batch="batch-2")],
        [],
    ),
]


@pytest.mark.parametrize(("changes", "bill", "said"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_an_account_beside_the_bill(
    changes: dict[str, Any], bill: list[dict[str, Any]], said: list[str], tmp_path: Path
) -> None:
    account = Account.of(attempt(**changes), bill, rows(tmp_path, a="0.01", b="0.01"))
    faults = list(account.faults())
    assert len(faults) == len(said), faults
    assert all(word in fault for word, fault in zip(said, faults, strict=True)), faults


def test_synchronous_calls_have_no_batch_and_may_be_delivered_to_nobody(tmp_path: Path) -> None:
    """The server sent a reply that this machine never wrote down."""
    now = attempt(batch=None, suspected=D("0.1"))
    bill = [line(identity, batch=None) for identity in "abc"]
    account = Account.of(now, bill, rows(tmp_path, a="0.01", b="0.01"))
    assert [one["custom_id"] for one in account.lost] == ["00000001-c"]
    assert account.wasted == D("0.01")
    assert list(account.faults()) == []


def test_an_attempt_without_answers_has_lost_all_of_its_bill() -> None:
    account = Account.of(attempt(billed=D(0), suspected=D("0.02")), [line("a"), line("b", delivered=False)], [])
    assert len(account.lost) == 2 and account.wasted == D("0.02")
    assert [fault.split(": ")[1] for fault in account.faults()] == ["delivered and not booked"]
