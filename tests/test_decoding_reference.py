"""Landing is fast in a way that is not obvious; here is the obvious way, and on hostile lines they agree.

The reference reads a line with the standard library, one field after the other, and prices it in Decimal.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import orjson
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.cost import prices
from chimera_batch.providers import openai_shapes
from chimera_batch.records import Outcome, Usage
from chimera_batch.requests import wire
from chimera_batch.results import decoding
from chimera_batch.results.decoding import File, Sent, Tally
from chimera_batch.steps.standing import LANDED_COLUMNS
from tests.support import PRICE, SCHEMA, answered, failed

NONCE = "0123abcd"
IDS = [f"{number:032x}" for number in range(9)]
PRICES = prices.load(None, [f"openai/tiny-1={PRICE}"])
TIERED = next(row for row in PRICES.rows if row.tiers)
Row = dict[str, Any]


# -- the reference


@dataclass
class Plain:
    """What a landing comes to, added up one row after the other."""

    rows: list[Row] = field(default_factory=list)
    apart: list[Row] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)
    unbilled: dict[str, bool] = field(default_factory=dict)
    usd: Decimal = Decimal(0)


def plainly(data: bytes, sent: Sent, schema: str | None) -> Plain:
    found, offset = Plain(), 0
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            _take(found, sent, schema, {"file": "raw/a", "line": number, "offset": offset}, line)
        offset += len(line) + 1
    return found


def _take(found: Plain, sent: Sent, schema: str | None, at: Row, line: bytes) -> None:
    def apart() -> None:
        found.apart.append({**at, "bytes": line.decode("latin-1")})

    row = _parsed(line)
    custom_id = row.get("custom_id") if isinstance(row, dict) else None
    if not isinstance(custom_id, str) or not custom_id:
        return apart()
    nonce, dash, identity = custom_id.partition("-")
    if nonce != sent.nonce or not dash or identity not in sent.ceilings:
        return apart()
    told = _told(row)
    executed = told["outcome"] in {"ok", "truncated", "refused", "invalid"}
    if told["outcome"] == "ok" and schema is not None:
        told["answer"] = _answer(told["text"], schema)
        if told["answer"] is None:
            told.update(outcome="invalid", message="the answer does not fit the schema")
        elif told["answer"] == told["text"]:
            told["text"] = None
    before = found.seen.get(identity)
    if before == "ok" or (before is not None and told["outcome"] != "ok"):
        return apart()
    found.seen[identity] = told["outcome"]
    usage: Usage | None = told.pop("usage")
    if usage is not None and (usage.input_tokens or usage.output_tokens):
        found.unbilled.pop(identity, None)
    else:
        found.unbilled[identity] = executed
    cheap = sent.batch_price and (sent.tier is None or told["tier"] in {None, sent.tier})
    usd = sent.price.cost(usage, batch=cheap) if usage else Decimal(0)
    found.usd += usd
    del told["tier"]
    counted = (usage or Usage())._asdict()
    whose = {"shard": sent.shard, "attempt": sent.attempt, "request_id": identity, "ceiling": sent.ceilings[identity]}
    found.rows.append({**whose, **told, **counted, "usd": usd, "embedding": None, "raw": "raw/a", "line": at["line"]})
    return None


def _parsed(line: bytes) -> Any:
    """Like the standard library, but halves of surrogate pairs are mended, and a BOM is no JSON.

    Whole numbers beyond 64 bits are floats, as they are in most languages.
    """
    try:
        text = line.decode("utf-8")
        value = json.loads(text, parse_int=_whole)
    except (ValueError, RecursionError):
        return None
    return _mended(value)


def _whole(digits: str) -> int | float:
    whole = int(digits)
    return whole if -(2**63) <= whole < 2**64 else float(whole)


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_mended(one) for one in value]
    return {_mended(key): _mended(one) for key, one in value.items()} if isinstance(value, dict) else value


def _told(row: Row) -> Row:
    """What is said of one request: the fields of an answer, or of an error as the adapter reads it."""
    response, error = _object(row, "response"), row.get("error")
    body, status = response.get("body"), response.get("status_code")
    status = _count(status) if status is not None else None
    fine = not error and isinstance(body, dict) and (status is None or 200 <= status < 300)
    names = ("transient", "text", "reasoning", "answer", "finish", "model", "code", "message", "usage", "tier")
    told: Row = dict.fromkeys(names)
    is_chat = fine and (str(body.get("object") or body.get("type")) == "chat.completion" or "choices" in body)
    if not is_chat or (body.get("error") and "status" not in body):
        # errors, and bodies of other endpoints, are no part of what was made fast: the adapter itself is asked
        reply = openai_shapes.decode(json.dumps(row).encode())
        found = {name: getattr(reply, name) for name in names if name not in {"answer", "transient"}}
        return {**told, **found, "outcome": reply.outcome, "transient": reply.transient or reply.account}
    return {**told, "transient": False, **_chat(body)}


def _chat(body: Row) -> Row:
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = _object(first, "message")
    finish = first.get("finish_reason") if isinstance(first, dict) else None
    finish = finish if isinstance(finish, str) or finish is None else str(finish)
    text, refusal = _text(message.get("content")), message.get("refusal") or None
    code = None
    if refusal or finish == "content_filter":
        outcome = "refused"
    elif finish in {"length", "max_tokens"}:
        outcome = "truncated"
    elif not message:
        outcome, code = "invalid", "no_choice"
    elif finish not in {"stop", "eos", "eos_token", "end_turn", "stop_sequence", None, ""}:
        outcome, code = "invalid", "unfinished"
    else:
        outcome, code = ("ok", None) if text else ("invalid", "no_text")
    whys = {
        "no_choice": "the answer holds no choice",
        "no_text": "the answer finished without any text",
        "unfinished": f"the answer ended with {finish}, which is not a finished answer",
    }
    return {
        "outcome": outcome,
        "text": text,
        "reasoning": _text(message.get("reasoning")) or _text(message.get("reasoning_content")),
        "finish": finish,
        "model": _string(body.get("model")),
        "tier": _string(body.get("service_tier")),
        "code": code,
        "message": str(refusal) if refusal else whys.get(str(code)),
        "usage": _usage(body.get("usage")),
    }


def _usage(usage: Any) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    given, made = _object(usage, "prompt_tokens_details"), _object(usage, "completion_tokens_details")
    written = _count(given.get("cache_write_tokens"))
    long = _count(_object(given, "cache_write_tokens_details").get("ttl_12h_tokens"))
    return Usage(
        input_tokens=_count(usage.get("prompt_tokens")),
        cached_tokens=_count(given.get("cached_tokens")),
        cache_write_tokens=max(written - long, 0),
        cache_write_long_tokens=long,
        output_tokens=_count(usage.get("completion_tokens")),
        reasoning_tokens=_count(made.get("reasoning_tokens")),
    )


def _object(value: Any, key: str) -> Row:
    inner = value.get(key) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _text(content: Any) -> str | None:
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        strings = [text for text in texts if isinstance(text, str)]
        return "".join(strings) if strings else None
    if isinstance(content, dict) and content:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return _string(content)


def _count(value: Any) -> int:
    if isinstance(value, str):
        return int(value) if value.strip().isascii() and value.strip().isdigit() else 0
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if 0 <= value < 10**12 else 0


def _answer(text: str, schema: str) -> str | None:
    """The answer's JSON without needless space, if it fits."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```"):
        stripped = stripped[3:-3].removeprefix("json").strip()
    try:
        value = orjson.loads(stripped)
        jsonschema.validate(value, json.loads(schema))
    except (ValueError, jsonschema.ValidationError):
        return None
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


# -- hostile lines

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, [], {}, "", " ", "0", " 12 ", "x", 0, 1, -1, 7.5, 1e30, 2**70, True, False, [[]], [None], [{"text": "a"}],
     {"content": "a"}, "stop", "length", "content_filter", "tool_calls", "flex", "\u2028", "\x00", "\U0001f600", "no",
     {"message": {"content": "b"}}, [{"message": {"content": [{"text": "a"}, {"text": "b"}, 7]}}], 200, 429, 503,
     {"code": "batch_expired"}, {"message": "m"}, {"cached_tokens": 3, "cache_write_tokens": 2}, '{"n":1}']
)  # fmt: skip
PATHS = [
    ("custom_id",), ("response",), ("error",), ("response", "body"), ("response", "status_code"),
    *(("response", "body", name) for name in ("object", "model", "choices", "usage", "service_tier", "error")),
    *(("response", "body", "usage", name) for name in ("prompt_tokens", "completion_tokens", "prompt_tokens_details")),
    ("response", "body", "usage", "completion_tokens_details"),
    *(("response", "body", "choices", 0, name) for name in ("message", "finish_reason")),
    *(("response", "body", "choices", 0, "message", name) for name in ("content", "refusal", "reasoning")),
    ("response", "body", "choices", 0, "message", "reasoning_content"),
]  # fmt: skip
CUSTOM_IDS = st.sampled_from(
    [*(f"{NONCE}-{identity}" for identity in IDS), f"{NONCE}-{'f' * 32}", f"ffffffff-{IDS[0]}", IDS[0]]
)
ANSWERS = st.sampled_from(["four", "", '{"n": 1}', '{"n":1}', '{"n":"x"}', '```json\n{"n":2}\n```', "é\u2028", "\x00"])

COUNT = st.integers(0, 400)
DETAILS: st.SearchStrategy[Row] = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {
            "prompt_tokens_details": st.fixed_dictionaries(
                {
                    "cached_tokens": COUNT,
                    "cache_write_tokens": COUNT,
                    "cache_write_tokens_details": st.fixed_dictionaries({"ttl_12h_tokens": COUNT}),
                }
            ),
            "completion_tokens_details": st.fixed_dictionaries({"reasoning_tokens": COUNT}),
        }
    ),
)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    custom_id = draw(CUSTOM_IDS)
    if draw(st.integers(0, 9)) == 0:
        line = failed(custom_id, draw(st.sampled_from([400, 401, 429, 500])))
    else:
        tokens = draw(st.one_of(st.just((0, 0)), st.tuples(st.integers(0, 300_000), st.integers(0, 9_000))))
        line = answered(custom_id, draw(ANSWERS), tokens=tokens, **draw(DETAILS))
    row = json.loads(line)
    for path in draw(st.lists(st.sampled_from(PATHS), max_size=3)) if draw(st.booleans()) else ():
        _put(row, path, copy.deepcopy(draw(ODD)))  # later paths may lead into it
    line = json.dumps(row, ensure_ascii=draw(st.booleans())).encode()
    kind = draw(st.integers(0, 19))
    if kind == 0:
        return line[: draw(st.integers(0, len(line)))]
    if kind == 1:
        return draw(st.binary(max_size=30)).replace(b"\n", b"")
    if kind == 2:
        return draw(
            st.sampled_from(
                [b"", b" \t", b"\r", b"[]", b"{}", b"NaN", b"\xef\xbb\xbf{}", b"[" * 3000, b'{"custom_id":7}']
            )
        )
    if kind == 4:  # in what nobody reads
        return line.replace(b'"assistant"', draw(st.sampled_from([b'"\xff"', b'"\\ud83d"', b"1e999", b"NaN", b"01"])))
    if kind == 3:
        return line.replace(b'"four"', draw(st.sampled_from([b'"\\ud83d"', b"NaN", b"Infinity", b'"\xff"'])))
    return line + draw(st.sampled_from([b"", b"\r", b" "]))


def _put(row: Any, path: tuple[Any, ...], value: Any) -> None:
    for step in path[:-1]:
        inside = isinstance(row, dict) or (isinstance(row, list) and isinstance(step, int) and len(row) > step)
        row = (row.get(step) if isinstance(row, dict) else row[step]) if inside else None
    if isinstance(row, dict):
        row[path[-1]] = value


def fast(data: bytes, sent: Sent, schema: str | None, path: Path) -> tuple[list[Row], list[Row], Tally]:
    path.write_bytes(data)
    apart: list[Row] = []
    tally, names = Tally(keep_apart=apart.append), list(LANDED_COLUMNS)
    file = File("raw/a", wire.read_pieces(path))
    batches = list(decoding.landed([file], openai_shapes.decode, sent, decoding.judge_of(schema), tally))
    rows = [dict(zip(names, values, strict=True)) for batch in batches for values in zip(*batch, strict=True)]
    return [{**row, "usd": sent.meter.usd(row["usd"])} for row in rows], apart, tally


@given(
    found=st.lists(lines(), max_size=12),
    ending=st.booleans(),
    schema=st.sampled_from([None, SCHEMA]),
    tier=st.sampled_from([None, "flex"]),
    price=st.sampled_from([PRICES.rows[-1], TIERED]),
)
def test_the_fast_way_is_the_obvious_way(
    tmp_path_factory: Any, found: list[bytes], ending: bool, schema: str | None, tier: str | None, price: Any
) -> None:
    data = b"\n".join(found) + (b"\n" if ending else b"")
    absent: Outcome | None = None
    sent = Sent("s", 2, NONCE, {identity: 9 + n for n, identity in enumerate(IDS)}, absent, price, True, tier)
    rows, apart, tally = fast(data, sent, schema, tmp_path_factory.getbasetemp() / "lines.jsonl")
    wanted = plainly(data, sent, schema)
    assert rows == wanted.rows
    assert [{key: value for key, value in record.items() if key != "reason"} for record in apart] == wanted.apart
    assert tally.seen == wanted.seen
    assert tally.unbilled == wanted.unbilled
    assert tally.usd == wanted.usd
    assert tally.quarantined == len(wanted.apart)
    billed = [row for row in wanted.rows if row["input_tokens"] or row["output_tokens"]]
    assert tally.usage == Usage(*(sum(row[name] for row in billed) for name in Usage._fields))


@given(st.lists(st.binary(max_size=300_000 // 3), max_size=4), st.booleans())
def test_pieces_say_where_every_line_begins(tmp_path_factory: Any, parts: list[bytes], ending: bool) -> None:
    data = b"\n".join(parts) + (b"\n" if ending else b"")
    path = tmp_path_factory.getbasetemp() / "pieces"
    path.write_bytes(data)
    numbers, number = [], 0
    for piece in wire.read_pieces(path):
        offset, number = piece.offset, piece.first
        for line in piece.lines:
            assert data[offset : offset + len(line)] == line
            assert line.count(b"\n") == (1 if line.endswith(b"\n") else 0)
            numbers.append(number)
            offset, number = offset + len(line), number + 1
    ends = data.count(b"\n")
    assert numbers == list(range(1, ends + 1 + bool(data and not data.endswith(b"\n"))))
    assert b"".join(line for piece in wire.read_pieces(path) for line in piece.lines) == data
