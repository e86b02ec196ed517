"""A download that ends early, without an error: what is not in it was paid for, so it is fetched once more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.records import BatchState
from tests.support import Batch, Bench, Clock, FakeHost, answered, bench, write_project


class Cutting(FakeHost):
    """Its n-th download holds ``cuts[n]`` bytes, or all of them."""

    cuts: tuple[int | None, ...] = ()

    def fetch(self, batch: BatchState, folder: Path) -> Iterator[Path]:
        number = len(self.called("fetch"))
        for path in super().fetch(batch, folder):
            if number < len(self.cuts) and (size := self.cuts[number]) is not None:
                path.write_bytes(path.read_bytes()[:size])
            yield path


def answer(line: dict[str, Any]) -> bytes:
    return answered(str(line["custom_id"]))


def landed(folder: Path, *cuts: int | None, status: str = "completed") -> Bench:
    """One batch of three answers, and how its downloads were cut."""
    project = write_project(folder)
    host = Cutting(project.profiles["openai"], Clock())
    host.cuts = cuts
    one = bench(project, host=host)
    one.go()
    host.answer("batch-1", answer, status)
    one.go()
    return one


LINE = len(answered("00000000-" + "0" * 32)) + 1


@pytest.mark.parametrize(("size", "status"), [(LINE, "expired"), (2 * LINE + 9, "completed")])  # also within a line
def test_a_download_cut_short_is_fetched_again(tmp_path: Path, size: int, status: str) -> None:
    one = landed(tmp_path, size, status=status)
    assert one.pairs[0][1].outcomes == {"ok": 3}
    assert list(one.host.batches) == ["batch-1"], "nothing is asked, and paid, again"


def test_the_longer_one_of_two_downloads_counts(tmp_path: Path) -> None:
    one = landed(tmp_path, 2 * LINE + 9, LINE + 9)
    assert one.pairs[0][1].outcomes == {"ok": 2, "missing": 1}


class Spoiling(FakeHost):
    """Its first download was changed on the way, and is as long as the true one, or longer."""

    spoil: Callable[[bytes], bytes]

    def fetch(self, batch: BatchState, folder: Path) -> Iterator[Path]:
        first = not self.called("fetch")
        for path in super().fetch(batch, folder):
            if first:
                path.write_bytes(self.spoil(path.read_bytes()))
            yield path


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:40] + b"\xff" + data[41:],
        lambda data: data[:40] + b"\xff\xfe\x80" + data[40:],
        lambda data: b"[" + data + b"]",
        lambda data: b"<html>" + b"x" * len(data),
    ],
    ids=["a byte", "three more", "a list", "a page"],
)
def test_a_download_that_was_spoilt_is_not_taken_for_the_last_word(
    tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    """The longer one of two is not the better one: what counts is how many of our ids it holds."""
    project = write_project(tmp_path)
    host = Spoiling(project.profiles["openai"], Clock())
    host.spoil = staticmethod(spoil)  # type: ignore[assignment]  # a function on an instance is no method
    one = bench(project, host=host)
    one.go()
    host.answer("batch-1", answer)
    one.go()
    assert one.pairs[0][1].outcomes == {"ok": 3}
    assert one.pairs[0][1].quarantined == 0 and list(one.host.batches) == ["batch-1"]


class Slow(FakeHost):
    """It says that all are done before all of their lines can be had."""

    whole_at = 0.0

    def _state(self, batch: Batch) -> BatchState:
        return replace(super()._state(batch), done=3)

    def fetch(self, batch: BatchState, folder: Path) -> Iterator[Path]:
        for path in super().fetch(batch, folder):
            if self.clock() < self.whole_at:
                path.write_bytes(path.read_bytes()[:LINE])
            yield path


@pytest.mark.parametrize(("late", "outcomes"), [(100.0, {"ok": 3}), (1e9, {"ok": 1, "missing": 2})])
def test_a_file_that_shows_late_is_waited_for(tmp_path: Path, late: float, outcomes: dict[str, int]) -> None:
    """The error file may come first. What it does not hold is not asked, and paid, again before that is believed."""
    project = write_project(tmp_path)
    host = Slow(project.profiles["openai"], Clock())
    one = bench(project, host=host)
    one.go()
    host.answer("batch-1", answer)
    host.whole_at = host.clock() + late
    one.go()
    assert one.pairs[0][1].stand == "submitted"
    assert "lacks some results" in "".join(one.said)
    host.clock.now += one.ctx.timing.settle
    one.go()
    assert one.pairs[0][1].outcomes == outcomes
