"""How a batch may go on and end: words, counts and files that do not fit, results that are hostile. In memory.

In every one of them nothing is sent again but what is missing, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
import pytest

from chimera_batch.errors import ProviderRefused
from chimera_batch.providers import openai_shapes
from chimera_batch.records import BatchState, Problem
from tests.support import Batch, Bench, Clock, FakeHost, answered, bench, succeeded, write_project

HOUR = 3600.0
OPENAI = {"provider": "openai"}
ANTHROPIC = {"provider": "anthropic"}


class Odd(FakeHost):
    """What its state says beside the truth, and what stands in its results file instead."""

    says: Mapping[str, Any] = MappingProxyType({})
    data: bytes | None = None

    def _state(self, batch: Batch) -> BatchState:
        return replace(super()._state(batch), **self.says)

    def fetch(self, batch: BatchState, folder: Path) -> Iterator[Path]:
        for path in super().fetch(batch, folder):
            if self.data is not None:
                path.write_bytes(self.data)
            yield path


def sent(folder: Path, **model: str) -> Bench:
    """Three questions, submitted as one batch."""
    project = write_project(folder, **model)
    one = bench(project, host=Odd(project.profiles[model.get("provider", "openai")], Clock()))
    one.go()
    assert list(one.host.batches) == ["batch-1"]
    return one


def end(one: Bench, status: str = "completed", *, lacks: int = 0) -> None:
    """The batch ends, and ``lacks`` of its rows are in no file; it is believed after a while."""
    lines = one.host.batches["batch-1"].lines[lacks:]
    known = {line["custom_id"] for line in lines}
    make = succeeded if one.host.profile.dialect == "anthropic" else answered
    one.host.answer("batch-1", lambda line: make(line["custom_id"]) if line["custom_id"] in known else None, status)
    for _ in range(2):
        one.go()
        one.clock.sleep(one.ctx.timing.settle)


# -- while it goes on


@pytest.mark.parametrize(
    ("status", "done", "hours"),
    [("validating", 0, 0.25), ("finalizing", 3, 2.0), ("in_progress", 1, 25.0), ("queued_for_tomorrow", 0, 25.0)],
)
def test_whatever_word_lasts_however_long_is_waited_for(tmp_path: Path, status: str, done: int, hours: float) -> None:
    one = sent(tmp_path)
    one.host.says = {"status": status, "phase": "working", "done": done}  # type: ignore[attr-defined]
    for _ in range(4):
        one.clock.sleep(hours * HOUR / 4)
        one.go()
    assert list(one.host.batches) == ["batch-1"], "nothing is sent again"
    assert not [line for line in one.said if "after" in line and "hours" in line], "no alarm before 26 hours"


def test_a_batch_that_never_ends_is_said_and_not_sent_again(tmp_path: Path) -> None:
    one = sent(tmp_path)
    for _ in range(3):
        one.clock.sleep(13.1 * HOUR)
        one.go()
    said = [line for line in one.said if "'in_progress' after" in line]
    assert said and "26 hours" in said[0]
    assert list(one.host.batches) == ["batch-1"]


def test_counters_may_jump_back(tmp_path: Path) -> None:
    one = sent(tmp_path)
    for done in (3, 1, 0, 10**12, -5):
        one.host.says = {"done": done}  # type: ignore[attr-defined]
        one.clock.sleep(HOUR / 2)
        one.go()
    one.host.says = {}  # type: ignore[attr-defined]
    end(one)
    assert one.pairs[0][1].outcomes == {"ok": 3} and len(one.host.batches) == 1


# -- how it ends


@pytest.mark.parametrize(
    ("status", "outcome"), [("completed", "missing"), ("expired", "expired"), ("cancelled", "cancelled")]
)
def test_a_row_in_no_file_is_asked_again_alone_whatever_the_end_is_called(
    tmp_path: Path, status: str, outcome: str
) -> None:
    one = sent(tmp_path)
    end(one, status, lacks=1)
    assert one.pairs[0][1].outcomes == {"ok": 2, outcome: 1}
    one.go()
    assert [len(batch.lines) for batch in one.host.batches.values()] == [3, 1]


def test_counts_that_say_all_is_done_do_not_make_a_row(tmp_path: Path) -> None:
    one = sent(tmp_path)
    one.host.says = {"done": 3, "total": 3}  # type: ignore[attr-defined]
    end(one, lacks=2)
    assert one.pairs[0][1].outcomes == {"ok": 1, "missing": 2}


CODES = (
    "invalid_json_line", "missing_required_parameter", "mismatched_model", "invalid_url", "model_not_found",
    "streaming_unsupported", "duplicate_custom_id", "url_mismatch", "model_mismatch", "empty_file", "too_many_tasks",
    "invalid_request",
)  # fmt: skip


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("line", [None, 2])
def test_every_code_of_whole_file_validation_is_read(code: str, line: int | None) -> None:
    error = {"code": code, "line": line, "message": "it says so", "param": None}
    state = openai_shapes.batch_state(
        {"id": "b", "status": "failed", "errors": {"object": "list", "data": [error]}, "output_file_id": None}
    )
    assert (state.phase, state.problems) == ("rejected", (Problem(code, line, "it says so"),))


@pytest.mark.parametrize("line", [None, 1])
def test_a_file_that_is_refused_as_a_whole_is_told_and_costs_nothing(tmp_path: Path, line: int | None) -> None:
    """With a line: that row is refused for good and the others go again. Without one: a person is told, exit 2."""
    one = sent(tmp_path)
    batch = one.host.batches["batch-1"]
    batch.status, batch.problems = "failed", (Problem("mismatched_model", line, "it says so"),)
    if line is None:
        with pytest.raises(ProviderRefused, match="mismatched_model") as caught:
            one.go()
        assert caught.value.exit_code == 2
    else:
        one.go()
        assert [len(batch.lines) for batch in one.host.batches.values()] == [3, 2]
        assert one.pairs[0][1].outcomes == {"error": 1}
    assert all(not attempt.billed and not attempt.suspected for _, attempt in one.pairs)
    assert "mismatched_model" in "".join(one.said)


# -- what its results hold


def hostile(lines: list[bytes], spare: bytes, *, huge: int) -> bytes:
    """The right rows in another order, among everything that a file of results may hold besides."""
    foreign = lines[0].replace(b'"custom_id":"', b'"custom_id":"0000000', 1)
    other = lines[1].replace(b"four", b"five", 1)
    junk = [b"\xff\xfe\x80", b"\x00", b"[]", b"null", b"{", b'{"custom_id":null}', b"9" * 5000, b"[" * 3000]
    odd = lines[2].replace(b"four", "fo\u2028u\u2029r\u0085\\u0000".encode(), 1)
    whole = [*junk, foreign, lines[1], lines[1], other, odd, b"x" * huge, spare, lines[0]]
    return b"\xef\xbb\xbf\n\r\n" + b"\r\n\n".join(whole)  # no newline at the end


@pytest.mark.parametrize("kind", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
def test_a_hostile_file_of_results_loses_no_answer_and_adds_none(tmp_path: Path, kind: dict[str, str]) -> None:
    one = sent(tmp_path, **kind)
    make = succeeded if kind is ANTHROPIC else answered
    lines = [make(line["custom_id"]) for line in one.host.batches["batch-1"].lines]
    spare = orjson.dumps({"custom_id": "../../etc/passwd", "result": {"type": "succeeded"}, "response": None})
    one.host.data = hostile(lines, spare, huge=5_000_000)  # type: ignore[attr-defined]
    end(one, "ended" if kind is ANTHROPIC else "completed")
    attempt = one.pairs[0][1]
    assert attempt.outcomes == {"ok": 3}
    assert attempt.quarantined == 8 + 2 + 1 + 1 + 2, "junk, two copies, a foreign id, a huge line, a path and a mark"
    assert len(one.host.batches) == 1
    texts = {row["text"] for row in one.table()}
    assert len(one.table()) == 3 and texts == {"four", "fo\u2028u\u2029r\u0085\x00"}
