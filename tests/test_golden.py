"""Recordings of the real APIs decode to what their README tells. They lie beside the checkout, not in it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.providers import anthropic_shapes, openai_shapes
from chimera_batch.records import BatchState, Reply
from tests.conftest import SHARED

GOLDEN = SHARED / "golden"

pytestmark = pytest.mark.skipif(not GOLDEN.exists(), reason="the recordings are not beside this checkout")


def replies(name: str) -> list[Reply]:
    decode = openai_shapes.decode if "openai" in name else anthropic_shapes.decode
    (path,) = GOLDEN.glob(name)
    return [decode(line) for line in path.read_bytes().split(b"\n") if line.strip()]


def bodies(name: str) -> list[dict[str, Any]]:
    lines = (GOLDEN / f"{name}.exchanges.jsonl").read_bytes().split(b"\n")
    return [json.loads(line)["body"] for line in lines if line.strip()]


def batches(name: str) -> list[BatchState]:
    """Every batch object of a recording, those inside list pages included."""
    found: list[dict[str, Any]] = []
    for body in bodies(name):
        found += [item for item in body.get("data") or [body] if item.get("object") == "batch"]
        found += [item for item in body.get("data") or [body] if item.get("type") == "message_batch"]
    read = openai_shapes.batch_state if "openai" in name else anthropic_shapes.batch_state
    return [read(batch) for batch in found]


def test_openai_basic() -> None:
    states = batches("curator-openai/basic_batch_completion")
    assert states[0].status == "validating" and states[-1].status == "completed"
    assert [s.phase for s in states][:-1] == ["working"] * (len(states) - 1) and states[-1].phase == "ended"
    assert (states[-1].done, states[-1].total, len(states[-1].files)) == (3, 3, 1)
    got = replies("curator-openai/basic_batch_completion.file-*.jsonl")
    assert [r.outcome for r in got] == ["ok"] * 3 and {r.custom_id for r in got} == {"0", "1", "2"}
    assert got[0].usage is not None and (got[0].usage.input_tokens, got[0].usage.output_tokens) == (10, 72)
    assert got[0].model == "gpt-3.5-turbo-0125" and got[0].finish == "stop"


def test_openai_resubmission_with_a_row_in_no_file_and_a_truncated_one() -> None:
    ended = [s for s in batches("curator-openai/resubmission_batch_completion") if s.phase == "ended"]
    assert [(s.done, s.total, len(s.files)) for s in ended] == [(3, 3, 1), (1, 1, 1), (1, 1, 1)]
    got = [
        replies(f"curator-openai/resubmission_batch_completion.{s.files[0]}.jsonl")
        for s in ended
    ]  # fmt: skip
    assert [{r.custom_id for r in rows} for rows in got] == [{"0", "1"}, {"2"}, {"2"}]
    assert [rows[0].outcome for rows in got] == ["ok", "truncated", "ok"]
    cut = got[1][0]
    assert cut.finish == "length" and cut.usage is not None and cut.usage.output_tokens == 76


def test_openai_cancel_at_once() -> None:
    states = batches("curator-openai/batch_cancel")
    assert (states[-1].status, states[-1].phase, states[-1].total) == ("cancelling", "working", 0)


@pytest.mark.parametrize("name", ["batches_list", "batches_list.2024-06", "batches_list.2024-04"])
def test_openai_lists(name: str) -> None:
    states = batches(f"ruby-openai/{name}")
    assert states and all(s.id.startswith("batch_") and s.created_at and s.created_at > 1.7e9 for s in states)
    for s in states:
        assert s.phase == ("ended" if s.status in {"completed", "cancelled", "expired"} else "working")


def test_openai_cancelled_with_both_files() -> None:
    """Total 2, completed 1, failed 0: counts that do not add up, and two files that must both be read."""
    both = [s for s in batches("ruby-openai/batches_list.2024-06") if s.status == "cancelled" and len(s.files) == 2]
    assert (both[0].done, both[0].total) == (1, 2)
    lone = [s for s in batches("ruby-openai/batches_list.2024-06") if s.status == "cancelled" and not s.files]
    assert lone and lone[0].phase == "ended"


def test_anthropic_basic() -> None:
    states = batches("curator-anthropic/basic_batch_completion")
    assert [(s.status, s.phase, s.done, s.total) for s in states] == [
        ("in_progress", "working", 0, 3),
        ("in_progress", "working", 0, 3),
        ("ended", "ended", 3, 3),
    ]
    assert states[-1].files == (states[-1].id,)
    got = replies("curator-anthropic/basic_batch_completion.msgbatch_*.jsonl")
    assert [r.outcome for r in got] == ["ok"] * 3
    assert all(r.usage is not None and r.usage.output_tokens > 0 and r.text for r in got)


def test_anthropic_reasoning_comes_apart() -> None:
    got = replies("curator-anthropic/basic_batch_reasoning_completion.msgbatch_*.jsonl")
    assert sorted(r.usage.output_tokens for r in got if r.usage) == [10560, 15820]
    assert all(r.outcome == "ok" and r.text and r.reasoning and r.text != r.reasoning for r in got)


def test_anthropic_cancel_and_lists() -> None:
    assert [s.status for s in batches("curator-anthropic/batch_cancel")][-1] == "canceling"
    seen = Counter((s.status, s.phase, s.total) for s in batches("ruby-anthropic/batch_list"))
    assert ("in_progress", "working", 2) in seen and ("ended", "ended", 2) in seen


def test_anthropic_results_before_the_end_are_no_rows() -> None:
    for path in GOLDEN.glob("ruby-anthropic/batch_results.msgbatch_*.jsonl"):
        with pytest.raises(ValueError, match="custom_id"):
            anthropic_shapes.decode(path.read_bytes())


def files() -> list[Path]:
    return sorted(GOLDEN.glob("curator-*/*.*-*.jsonl")) + sorted(GOLDEN.glob("curator-*/*.msgbatch_*.jsonl"))


@pytest.mark.parametrize("path", files(), ids=lambda p: p.name)
def test_every_recorded_row_is_an_answer_with_usage(path: Path) -> None:
    decode = openai_shapes.decode if "openai" in path.parent.name else anthropic_shapes.decode
    for line in path.read_bytes().split(b"\n"):
        if line:
            reply = decode(line)
            assert reply.outcome in {"ok", "truncated"} and reply.usage and reply.usage.input_tokens > 0
