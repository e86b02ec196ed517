"""A bounded part of the fuzzing (hours of it: ``python -m bench.fuzz``), and that it would find what it looks for."""

from __future__ import annotations

import mmap
import random
from pathlib import Path
from typing import Any

import pytest

from bench import _fuzz_targets, fuzz
from bench._fuzzing import Flaw, Found, bounded, changed, judged, smaller
from chimera_batch.providers import openai_shapes
from chimera_batch.records import Reply

CASES = {"decoders": 400, "manifest": 50, "template": 250, "packer": 250, "parameters": 300, "query": 15, "store": 1}
"""Inputs of each target: half a second or so of each."""


@pytest.mark.parametrize("name", CASES)
def test_a_bounded_part(name: str, tmp_path: Path) -> None:
    played, found = fuzz.play(name, tmp_path, seed=7, cases=CASES[name])
    assert [(one.case, one.said, one.data) for one in found] == []
    assert played == CASES[name]


def test_the_same_seed_takes_the_same_course() -> None:
    course = [changed(b'{"a": [1, 2]}\n' * 3, random.Random(f"1:{n}"), [b"null"], [b"x"]) for n in range(50)]
    again = [changed(b'{"a": [1, 2]}\n' * 3, random.Random(f"1:{n}"), [b"null"], [b"x"]) for n in range(50)]
    assert course == again and len(set(course)) > 40


def _careless(line: bytes) -> Reply:
    """A decoder that lets another error through than the two that are expected of one."""
    if b"null" in line:
        raise KeyError("choices")
    return openai_shapes.decode(line)


def _forgetful(line: bytes) -> Reply:
    """A decoder that gives an answer a text that cannot be stored."""
    return openai_shapes.decode(line)._replace(text="\ud800")


@pytest.mark.parametrize(("decode", "said"), [(_careless, "KeyError"), (_forgetful, "cannot be stored")])
def test_a_decoder_that_breaks_its_promise_is_found(
    decode: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = _fuzz_targets.LINES["openai"][1]
    monkeypatch.setattr(_fuzz_targets, "LINES", {"openai": (decode, lines)})
    _, found = fuzz.play("decoders", tmp_path, seed=1, cases=50)
    assert said in found[0].said


def test_a_line_that_is_lost_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = _fuzz_targets.Decoders(tmp_path)
    data = target.seeds()[0]
    assert judged(target, data, "")[1] is None
    reading = _fuzz_targets.wire.read_pieces

    def losing(path: Path) -> Any:
        for piece in reading(path):
            yield piece._replace(lines=piece.lines[:2])

    monkeypatch.setattr(_fuzz_targets.wire, "read_pieces", losing)
    said = judged(target, data, "")[1]
    assert said is not None and "line 3 is neither a row nor in quarantine" in said


def test_what_breaks_a_promise_is_made_small() -> None:
    class Picky:
        name = "picky"

        def seeds(self) -> list[bytes]:
            return [b"an honest input of some length"]

        def words(self) -> list[bytes]:
            return [b"!!"]

        def run(self, data: bytes, chance: random.Random) -> object:
            if b"!!" in data:
                raise Flaw("two marks")
            return len(data) // 100

    target = Picky()
    found = next(one for one in fuzz.fuzz(target, 1, lambda n: n < 500) if isinstance(one, Found))
    assert found.data == b"!!"
    assert "two marks" in found.said
    assert smaller(target, b"aaaa!!bbbb", "", found.said) == b"!!"
    assert judged(target, found.data, "")[1] == found.said


def test_what_does_not_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import _fuzzing

    class Slow:
        name = "slow"

        def seeds(self) -> list[bytes]:
            return [b""]

        def words(self) -> list[bytes]:
            return []

        def run(self, data: bytes, chance: random.Random) -> object:
            while True:
                pass

    monkeypatch.setattr(_fuzzing, "SECONDS", 0.05)
    with _fuzzing.bounded(64 << 30):
        assert "TimeoutError" in str(judged(Slow(), b"", "")[1])


def test_the_bound_is_on_what_an_input_takes_not_on_what_is_there() -> None:
    """A process that other tests have made large keeps room, for its stack too."""
    there = mmap.mmap(-1, 4 << 30)
    with bounded(1 << 30):
        mmap.mmap(-1, 512 << 20).close()
        with pytest.raises(OSError, match="memory"):
            mmap.mmap(-1, 2 << 30)
    there.close()
