"""A host that answers no synchronous call: asked again a few times, then a person is told; nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from chimera_batch.errors import ProviderDown
from chimera_batch.rules import fallback
from tests.support import Bench, answered, bench, write_project


def silent(folder: Path, window: str = "now", *, troubles: int) -> Bench:
    """Three questions at a host whose first calls end in HTTP 500."""
    one = bench(write_project(folder, stage=f", window: {window}"))
    left = [ProviderDown("openai: HTTP 500") for _ in range(troubles)]

    def ask(line: bytes) -> bytes:
        if left:
            raise left.pop()
        return answered(line.split(b'"', 4)[3].decode(), "four")

    one.host.ask = ask  # type: ignore[method-assign]  # a host that fails as told
    return one


def go_until_told(one: Bench) -> int:
    for number in range(1, 100):
        try:
            one.go()
        except ProviderDown as error:
            assert error.exit_code == 5 and "chimera-batch run" in str(error.hint)
            return number
    raise AssertionError("it is asked for ever")


def test_a_host_that_is_down_is_not_asked_for_ever(tmp_path: Path) -> None:
    one = silent(tmp_path, troubles=10_000)
    assert go_until_told(one) == fallback.SILENCES
    assert all(attempt.stand == "landed" and not attempt.outcomes for _, attempt in one.pairs)
    assert sum(attempt.billed for _, attempt in one.pairs) == 0


def test_the_next_run_goes_on_where_it_was(tmp_path: Path) -> None:
    one = silent(tmp_path, troubles=3 * fallback.SILENCES)
    go_until_told(one)
    one.ctx.silences.clear()  # another process
    while not one.go().done:
        pass
    assert len(one.table()) == 3


@pytest.mark.parametrize("troubles", [1, 3, 5])
def test_a_hiccup_is_nothing(tmp_path: Path, troubles: int) -> None:
    one = silent(tmp_path, troubles=troubles)
    for _ in range(20):
        if one.go().done:
            break
    assert len(one.table()) == 3


def test_a_reply_begins_the_count_anew(tmp_path: Path) -> None:
    one = silent(tmp_path, troubles=3 * (fallback.SILENCES - 1))
    for _ in range(fallback.SILENCES - 1):
        one.go()
    assert one.ctx.silences == {"one": fallback.SILENCES - 1}
    assert one.go().done
    assert one.ctx.silences == {"one": 0}


def test_flex_waits_for_room_as_long_as_it_takes(tmp_path: Path) -> None:
    one = silent(tmp_path, "flex", troubles=3 * 4 * fallback.SILENCES)
    for _ in range(4 * fallback.SILENCES + 1):
        if one.go().done:
            break
    assert len(one.table()) == 3
