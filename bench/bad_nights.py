"""Ordinary bad nights, as a table: ``python -m bench.bad_nights [NAME …]`` from the root of a checkout.

Every night of ``bad_nights.toml`` asks 100 questions while something goes wrong at the provider; the last column is the
line that tells a person. Exits 1 if any night ends otherwise than it must. No network, no keys, about a minute.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chimera_batch import api, rehearsal
from tests.faults.nights import ROWS, SPEED, Fault, House, Night, Report, flaws, play

_PATHS = (
    ("POST", "/v1/files"),
    ("POST", "/v1/batches"),
    ("GET", "/v1/batches"),
    ("GET", "/v1/batches/*"),
    ("GET", "/v1/files/*/content"),
    ("GET", "/v1/files/*"),
    ("DELETE", "/v1/files/*"),
    ("POST", "/v1/messages/batches"),
    ("GET", "/v1/messages/batches"),
    ("GET", "/v1/messages/batches/*/results"),
    ("GET", "/v1/messages/batches/msgbatch_*"),
)
"""What a run calls, in either protocol."""


def everywhere(status: int) -> tuple[Fault, ...]:
    """That status once from every path."""
    answer = {"kind": "http", "status": status, "retry_after_ms": 20}
    return tuple({**answer, "match": {"method": method, "path": path}} for method, path in _PATHS)


def killed_before_the_receipt(house: House) -> None:
    house.run_killed(at="submitted")
    house.run()


def killed_before_the_landing(house: House) -> None:
    house.run_killed(at="landed")
    house.run()


def one_row_more(house: House) -> None:
    house.run()
    house.write(ROWS + 1)
    house.run()


def run_again(house: House) -> None:
    house.run()
    house.run()


def cancel_the_stuck(house: House) -> None:
    house.run(detach=True)
    house.call(api.cancel)
    house.run()


def resend_what_is_gone(house: House) -> None:
    house.run()
    shard = house.call(api.status)["stages"][0]["batches"][0]["shard"]
    house.call(api.resend, shard=shard)
    house.run()


def another_store_first(house: House) -> None:
    """A batch of as many requests is made by somebody else; then a create does not arrive, and cannot be told apart."""
    other = House(house.folder / "other", house.dialect, house.server, house.state)
    other.run()
    house.before = other.billed()
    house.order({"kind": "close", "match": {"method": "POST", "path": "/v1/messages/batches"}})
    house.run()


ACTS: dict[str, Callable[[House], None]] = {
    act.__name__: act
    for act in (
        killed_before_the_receipt,
        killed_before_the_landing,
        one_row_more,
        run_again,
        cancel_the_stuck,
        resend_what_is_gone,
        another_store_first,
    )
}


def night_of(told: Mapping[str, Any]) -> Night:
    """One entry of the file. Raises TypeError for an unknown key, KeyError for an unknown act."""
    entry = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    if status := entry.pop("everywhere", None):
        entry["faults"] = everywhere(status)
    if act := entry.pop("act", None):
        entry["act"] = ACTS[act]
    return Night(**entry)


NIGHTS = tuple(map(night_of, tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["nights"]))


@contextmanager
def provider(folder: Path, speed: float = SPEED) -> Iterator[rehearsal.Running]:
    """A rehearsal server with its state in ``folder``."""
    server = rehearsal.start(folder, speed=speed)
    try:
        yield server
    finally:
        server.close()


def _play_all(names: Sequence[str], root: Path) -> Iterator[tuple[Night, str, Report, list[str]]]:
    with provider(root / "provider") as shared:
        for night in NIGHTS:
            if names and night.name not in names:
                continue
            for dialect in night.dialects:
                folder = root / f"{night.name}-{dialect}"
                folder.mkdir()
                if night.alone:
                    with provider(folder / "provider", night.speed) as own:
                        report = play(night, House(folder, dialect, own, folder / "provider"))
                else:
                    report = play(night, House(folder, dialect, shared, root / "provider"))
                yield night, dialect, report, flaws(night, report)


def row(night: Night, dialect: str, report: Report) -> str:
    """A night's line of the table."""
    lost = f", {report.lost} of them into no file" if report.lost else ""
    told = " ".join(report.line(night.told).split()).replace("|", "\\|")
    told = re.sub(r"(batch_|msgbatch_|file-|notes-)\w+(-\d-\w+)?", r"\1…", told)  # ids differ from run to run
    told = re.sub(r", \$[\d.]+|\S+/(?=night.yaml)", "", told)
    cells = (night.what, dialect, str(report.stage["answered"]), " + ".join(map(str, report.sent)))
    return f"| {' | '.join(cells)} | {len(report.bill)}{lost} | {report.twice} | {told} |"


def main(names: Sequence[str]) -> int:
    if unknown := set(names) - {night.name for night in NIGHTS}:
        print(f"no night is called {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    root = Path(tempfile.mkdtemp(prefix="bad-nights-"))
    bad = 0
    print("| what goes wrong | protocol | answered | sent | executed | paid twice | what a person is told |")
    print("|---|---|---|---|---|---|---|")
    try:
        for night, dialect, report, wrong in _play_all(names, root):
            bad += bool(wrong)
            print(row(night, dialect, report), flush=True)
            for flaw in wrong:
                print(f"  WRONG in {night.name}: {flaw}", file=sys.stderr)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
