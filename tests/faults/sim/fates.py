"""Lines that were sent → the rows of a batch, with what the faults of the schedule make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from tests.faults.sim import answers
from tests.faults.sim.answers import dice, identity
from tests.faults.sim.batches import NEVER, Plan, Row, SimBatch
from tests.faults.sim.schedule import Fault

OPENAI_ONLY = frozenset({"batch_refused_lines", "batch_refused", "batch_queue_full", "batch_empty_ids"}) | {
    "batch_one_file_late",
    "batch_files_late",
    "batch_no_files",
    "batch_expired_without_files",
}
"""What Anthropic's protocol has no place for."""


def row_of(dialect: str, asked: Mapping[str, Any], at: float, *, single: bool = False) -> Row:
    """What an undisturbed host makes of one wire line."""
    custom_id = str(asked["custom_id"])
    request = identity(custom_id)
    if answers.hopeless(request):
        line = answers.error_of(dialect, custom_id, 400, "invalid_prompt", "This prompt is not answered.")
        return Row(custom_id, at, None, None, [line], error=True)
    tokens = answers.tokens_of(request)
    line = answers.line_of(dialect, custom_id, answers.text_of(request), tokens)
    return Row(custom_id, at, tokens, answers.cost(tokens, single=single), [line], usable=True)


def not_executed(dialect: str, row: Row, status: int, code: str, message: str) -> Row:
    line = answers.error_of(dialect, row.custom_id, status, code, message)
    return replace(row, tokens=None, usd=None, lines=[line], usable=False, error=True)


def unusable(dialect: str, row: Row, said: str, *, most: int | None = None, single: bool = False) -> Row:
    """Executed and charged, and no use. ``most``: it was cut off at so many output tokens."""
    assert row.tokens is not None
    tokens = (row.tokens[0], most) if most else row.tokens
    line = answers.line_of(dialect, row.custom_id, said, tokens, cut=most is not None)
    return replace(row, tokens=tokens, usd=answers.cost(tokens, single=single), lines=[line], usable=False)


Spoil = Callable[[str, Row, Mapping[str, Any]], Row]


def _lines(change: Callable[[bytes], list[bytes]], **more: Any) -> Spoil:
    return lambda _, row, __: replace(row, lines=[new for line in row.lines for new in change(line)], **more)


def _other(line: bytes) -> bytes:
    """The same request, answered otherwise."""
    return line.replace(b'{\\"n\\":', b'{\\"n\\":9')


def _foreign(line: bytes, row_id: str, other: str) -> bytes:
    return line.replace(row_id.encode(), other.encode())


_GONE = {"delivered": False, "usable": False}
SPOIL: Mapping[str, Spoil] = {
    "rows_dropped": _lines(lambda line: [], **_GONE),
    "rows_twice": _lines(lambda line: [line, line]),
    "rows_twice_and_other": _lines(lambda line: [line, _other(line)]),
    "rows_foreign": lambda _, row, __: replace(
        row, lines=[*row.lines, *(_foreign(line, row.custom_id[:8], "feedbeef") for line in row.lines)]
    ),
    "rows_of_nobody": lambda _, row, __: replace(
        row, lines=[*row.lines, *(_foreign(line, identity(row.custom_id), "never-sent") for line in row.lines)]
    ),
    "rows_half": _lines(lambda line: [line[: len(line) // 2]], **_GONE),
    "rows_utf8": _lines(lambda line: [line.replace(b"tiny-1", b"tiny\xff\xfe")], **_GONE),
    "rows_nul": _lines(lambda line: [line.replace(b"tiny-1", b"tiny\\u0000")]),
    "rows_line_separator": _lines(lambda line: [line.replace(b"tiny-1", "tiny\u2028\u0085".encode())]),
    "rows_huge": _lines(lambda line: [line.replace(b"tiny-1", b"tiny" * 30_000)]),
    "rows_error_500": lambda dialect, row, _: not_executed(dialect, row, 500, "server_error", "Internal server error"),
    "rows_error_429": lambda dialect, row, _: not_executed(dialect, row, 429, "rate_limit_exceeded", "Slow down"),
    "rows_status_0": lambda dialect, row, _: not_executed(dialect, row, 0, "request_timeout", "no reply"),
    "rows_quota": lambda dialect, row, _: not_executed(
        dialect,
        row,
        429,
        "billing_error" if dialect == "anthropic" else "insufficient_quota",
        "You exceeded your quota.",
    ),
    "rows_no_response": lambda dialect, row, _: replace(
        not_executed(dialect, row, 500, "server_error", ""),
        lines=[answers.ended_of(dialect, row.custom_id, "cancelled").replace(b"batch_cancelled", b"server_error")],
    ),
    "rows_truncated": lambda dialect, row, body: unusable(dialect, row, '{"n": 1', most=answers.ceiling_of(dict(body))),
    "rows_invalid": lambda dialect, row, _: unusable(dialect, row, '{"m": "no"}'),
    "rows_empty": lambda dialect, row, _: unusable(dialect, row, ""),
    "rows_no_usage": lambda dialect, row, _: replace(
        row,
        lines=[answers.line_of(dialect, row.custom_id, answers.text_of(identity(row.custom_id)), None)],
        priced=False,
    ),
}


def spoiled(dialect: str, row: Row, body: Mapping[str, Any], faults: Iterable[Fault]) -> Row:
    """What the first fault that strikes this row makes of it. One that was never executed is left alone."""
    for fault in faults:
        if fault.kind in SPOIL and row.usd is not None and dice(fault.salt, identity(row.custom_id)) < fault.share:
            return SPOIL[fault.kind](dialect, row, body)
    return row


def plan_of(created: float, took: float, faults: Mapping[str, Fault]) -> Plan:
    """When what happens to a batch that takes so many seconds undisturbed."""
    ends = created + took
    plan = Plan(created + min(60.0, took / 10), ends, ends, ends)
    for word in ("expired", "cancelled"):
        if fault := faults.get(f"batch_{word}") or faults.get(f"batch_{word}_without_files"):
            plan.word, plan.stops = word, created + took * (1 - fault.share)
            plan.final = plan.files = created + (86_400.0 if word == "expired" else took)
    plan.no_files = "batch_expired_without_files" in faults
    if "batch_finalizing" in faults:
        plan.final = plan.files = plan.final + 7200.0
    if "batch_never_ends" in faults:
        plan.stops = min(plan.stops, ends)
        plan.final = plan.files = NEVER
    if "batch_files_late" in faults:
        plan.files = plan.final + 100.0
    if "batch_one_file_late" in faults:
        plan.output = 100.0
    if {"batch_refused", "batch_refused_lines", "batch_queue_full"} & faults.keys():
        plan.word, plan.stops, plan.final = "failed", created, plan.validated
    late = 60.0 if "batch_listed_late" in faults else 3000.0 if "batch_listed_very_late" in faults else 0.0
    plan.shown = created + late
    return plan


def problems_of(faults: Mapping[str, Fault], rows: int) -> list[dict[str, Any]]:
    """What the validation of a whole file finds wrong."""
    if "batch_queue_full" in faults:
        said = "Enqueued token limit reached for tiny-1 in organization org-sim."
        return [{"code": "token_limit_exceeded", "line": None, "message": said, "param": None}]
    if "batch_refused" in faults:
        return [{"code": "invalid_request", "line": None, "message": "Cannot find file.", "param": None}]
    if fault := faults.get("batch_refused_lines"):
        bad = [n for n in range(1, rows + 1) if dice(fault.salt, n) < fault.share] or [1]
        return [{"code": "invalid_value", "line": n, "message": "This line is not valid.", "param": None} for n in bad]
    return []


def batch_of(batch_id: str, dialect: str, sent: bytes, created: float, faults: Mapping[str, Fault]) -> SimBatch:
    """A batch that comes to be now."""
    asked = [orjson.loads(line) for line in sent.splitlines() if line.strip()]
    took = 300.0 + 30_000.0 * dice("took", batch_id) ** 3
    plan, rows = plan_of(created, took, faults), []
    for number, line in enumerate(asked, 1):
        row = row_of(dialect, line, created + took * number / len(asked))
        if "batch_all_fail" in faults and row.usd is not None:
            row = not_executed(dialect, row, 500, "server_error", "Internal server error")
        if "batch_one_file_late" in faults and number == 1 and row.usd is not None:
            row = not_executed(dialect, row, 500, "server_error", "Internal server error")
        rows.append(spoiled(dialect, row, line.get("body") or line.get("params") or {}, faults.values()))
    made = SimBatch(batch_id, dialect, created, rows, plan, problems=problems_of(faults, len(asked)), kinds=set(faults))
    made.skew = 240.0 if "batch_clock_ahead" in faults else -240.0 if "batch_clock_behind" in faults else 0.0
    return made
