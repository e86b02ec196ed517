"""Plain lines are read by DuckDB in one sweep: wherever others stand among them, the rows, what is kept apart and the
books are those that come of reading every line by itself."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count, product
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import _results, collect
from bench._landing import Landing
from chimera_batch.cost import prices
from chimera_batch.errors import InputError
from chimera_batch.functions import Function
from chimera_batch.providers import openai_shapes
from chimera_batch.requests import wire
from chimera_batch.results import decoding
from chimera_batch.results import sweeping as rules
from chimera_batch.results.decoding import File, Sent, Tally, judge_of
from chimera_batch.results.sweeping import Others
from chimera_batch.steps.standing import LANDED_COLUMNS
from chimera_batch.steps.sweeping import Sweep
from chimera_batch.warehouse import QUICK, Lines, Warehouse, streaming
from chimera_batch.warehouse.connection import Inline
from tests.support import SCHEMA, answered, failed
from tests.test_decoding import BOOK, NONCE

IDS = [f"{number:032x}" for number in range(40)]
MACHINE = prices.load(None, ["vllm/tiny=3.6/h@1000,100"]).rows[-1]
Row = dict[str, Any]
Told = tuple[list[Row], list[Row], dict[str, Any]]
"""Rows, what was kept apart, and the books."""


def engine(line: bytes) -> bytes:
    return orjson.dumps({**orjson.loads(line), "engine": {"seconds": "1"}})


ODD: dict[str, Callable[[str], bytes]] = {
    "an error": lambda cid: failed(cid, 429),
    "cut off": lambda cid: answered(cid, '{"n":1}', finish="length"),
    "does not fit": lambda cid: answered(cid, '{"n":"x"}'),
    "spaces": lambda cid: answered(cid, '{"n": 1}'),
    "fenced": lambda cid: answered(cid, '```json\n{"n":1}\n```'),
    "no usage": lambda cid: answered(cid, '{"n":1}', tokens=(0, 0)),
    "an engine's": lambda cid: engine(answered(cid)),
    "not ours": lambda cid: answered(f"ffffffff-{cid[9:]}"),
    "no id": lambda cid: answered(""),
    "blank": lambda cid: b"",
    "spaces alone": lambda cid: b"  \r",
    "half a line": lambda cid: answered(cid)[:60],
    "two in one": lambda cid: answered(cid) + b" " + answered(cid),
    "no object": lambda cid: b"[1]",
    "no UTF-8": lambda cid: answered(cid).replace(b'"assistant"', b'"\xff"'),
    "half an emoji": lambda cid: answered(cid, "@@").replace(b"@@", rb"\ud800"),
    "a zero byte": lambda cid: answered(cid, "@@").replace(b"@@", b"\x00"),
    "a write": lambda cid: answered(cid, '{"n":1}', prompt_tokens_details={"cache_write_tokens": 4}),
}
"""What cannot be plain."""

EVEN: dict[str, Callable[[str], bytes]] = {
    "a cache": lambda cid: answered(cid, '{"n":1}', prompt_tokens_details={"cached_tokens": 4}),
    "all read from a cache": lambda cid: answered(cid, '{"n":1}', prompt_tokens_details={"cached_tokens": 40}),
    "thoughts": lambda cid: answered(cid, '{"n":1}', completion_tokens_details={"reasoning_tokens": 2}),
    "a line end of Windows": lambda cid: answered(cid, '{"n":1}') + b"\r",
}


def to(**changes: Any) -> Sent:
    fields = {"shard": "s", "attempt": 1, "nonce": NONCE, "ceilings": dict.fromkeys(IDS, 100), "absent": "missing"}
    return Sent(**{**fields, "price": BOOK.rows[-1], "batch_price": True, **changes})


def books(tally: Tally) -> dict[str, Any]:
    told = {name: getattr(tally, name) for name in Tally.__slots__ if name != "keep_apart"}
    return {**told, "outcomes": {name: count for name, count in tally.outcomes.items() if count}}


def one_by_one(files: Sequence[Path], sent: Sent, schema: str | None) -> Told:
    apart: list[Row] = []
    tally, decode = Tally(keep_apart=apart.append), openai_shapes.decode
    named = [File(f"raw/{file.name}", wire.read_pieces(file)) for file in files]
    batches = [*decoding.landed(named, decode, sent, judge_of(schema), tally), decoding.absent(sent, tally)]
    rows = [dict(zip(LANDED_COLUMNS, values, strict=True)) for batch in batches for values in zip(*batch, strict=True)]
    return [{**row, "usd": sent.meter.usd(row["usd"])} for row in rows], apart, books(tally)


@dataclass
class Swept:
    told: Told | None  # None: all of it has to be read one by one
    asked: list[tuple[int, int]]  # file and line of those that Python decided about


def sweep(folder: Path, files: Sequence[Path], sent: Sent, schema: str | None) -> Swept:
    asked: list[tuple[int, int]] = []
    apart: list[Row] = []
    tally, path = Tally(keep_apart=apart.append), folder / "swept.parquet"

    class Noting(Others):
        def decide(self, file: int, line: int, place: int, size: int) -> str | None:
            asked.append((file, line))
            return super().decide(file, line, place, size)

    with pytest.MonkeyPatch.context() as patch, Warehouse(folder / "spill", threads=2) as warehouse:
        patch.setattr("chimera_batch.steps.sweeping.Others", Noting)
        warehouse.load("sent", {"request_id": "VARCHAR", "ceiling": "INTEGER"}, sent.ceilings.items())
        named = [(f"raw/{file.name}", file) for file in files]
        one = Sweep(warehouse, openai_shapes.PLAIN["/v1/chat/completions"], 7, QUICK.target(path, {}))
        try:
            one.run(named, rules.Reading(openai_shapes.decode, sent, schema), tally, path)
        except rules.UnsweptError:
            return Swept(None, asked)
        found = warehouse.rows(Inline("SELECT * FROM swept"), {})
        rows = [dict(zip(found.columns, values, strict=True)) for values in found]
    return Swept((rows, apart, books(tally)), asked)


def written(folder: Path, lines: Sequence[bytes], name: str = "a") -> Path:
    path = folder / name
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def alike(one: Told, other: Told) -> None:
    for mine, theirs in zip(one, other, strict=True):
        if isinstance(mine, list) and mine and "request_id" in mine[0]:
            mine, theirs = (sorted(rows, key=lambda row: row["request_id"]) for rows in (mine, theirs))  # noqa: PLW2901
        assert mine == theirs


def both(folder: Path, lines: Sequence[bytes], sent: Sent, schema: str | None = None) -> list[tuple[int, int]]:
    """Read both ways; the lines that Python decided about."""
    files = [written(folder, lines)]
    found = sweep(folder, files, sent, schema)
    assert found.told is not None
    alike(found.told, one_by_one(files, sent, schema))
    return found.asked


# --- the same rows, one way and the other


@pytest.mark.parametrize("schema", [None, SCHEMA], ids=["text", "schema"])
def test_lines_of_every_kind_among_plain_ones(tmp_path: Path, schema: str | None) -> None:
    kinds = {**ODD, **EVEN}
    cids = [f"{NONCE}-{identity}" for identity in IDS]
    lines = [answered(cid, f'{{"n":{n}}}') for n, cid in enumerate(cids)]
    for n, make in enumerate(kinds.values()):
        lines[n + 3] = make(cids[n + 3])
    asked = both(tmp_path, lines, to(), schema)
    odd = {(1, n + 4) for n, kind in enumerate(kinds) if kind in ODD}
    assert set(asked) == odd - (set() if schema else {(1, n + 4) for n, kind in enumerate(kinds) if kind in FITTING})


FITTING = {"does not fit", "spaces", "fenced"}
"""They are odd only where a schema is held against them."""


@pytest.mark.slow
@given(
    odd=st.dictionaries(st.integers(0, 39), st.sampled_from([*ODD, *EVEN]), max_size=12),
    schema=st.sampled_from([None, SCHEMA]),
    tier=st.sampled_from([None, "flex"]),
    absent=st.sampled_from([None, "missing", "expired"]),
    cut=st.integers(0, 40),
)
def test_where_others_stand_among_them_makes_no_difference(
    odd: dict[int, str], schema: str | None, tier: str | None, absent: str | None, cut: int
) -> None:
    cids = [f"{NONCE}-{identity}" for identity in IDS]
    kinds = {**ODD, **EVEN}
    lines = [kinds[odd[n]](cid) if n in odd else answered(cid, f'{{"n":{n}}}') for n, cid in enumerate(cids)]
    with TemporaryDirectory() as folder:
        files = [written(Path(folder), lines[:cut]), written(Path(folder), lines[cut:], "b")]
        sent = to(tier=tier, absent=absent)
        found = sweep(Path(folder), files, sent, schema)
        assert found.told is not None
        alike(found.told, one_by_one(files, sent, schema))


@pytest.mark.slow
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60), min_size=1, max_size=40))
def test_any_text_comes_through_bit_by_bit(texts: list[str]) -> None:
    lines = [answered(f"{NONCE}-{identity}", text) for identity, text in zip(IDS, texts, strict=False)]
    with TemporaryDirectory() as folder:
        assert both(Path(folder), lines, to()) == []


@pytest.mark.slow
@given(st.data())
def test_every_price_is_reckoned_as_it_is_line_by_line(data: st.DataObject) -> None:
    price = data.draw(st.sampled_from([row for row in BOOK.rows if rules.sweepable(to(price=row))]))
    counts = st.integers(0, 400_000)
    lines = [
        answered(
            f"{NONCE}-{identity}",
            tokens=(data.draw(counts), data.draw(counts)),
            prompt_tokens_details={"cached_tokens": data.draw(counts)},
        )
        for identity in IDS[:6]
    ]
    with TemporaryDirectory() as folder:
        both(Path(folder), lines, to(price=price, batch_price=data.draw(st.booleans())))


RICH = orjson.dumps(
    {
        "type": "object",
        "properties": {
            "a": {"type": "string", "description": "a word"},
            "n": {"type": "integer"},
            "yes": {"type": "boolean"},
            "steps": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "string"}}}},
        },
        "required": ["a", "n", "steps"],
        "additionalProperties": False,
    }
).decode()
LOOSE = orjson.dumps(
    {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}
).decode()
ANYTHING = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=9)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9) | st.sampled_from(["null", "/", "\u007f", "\x1f"])
STEPS = st.lists(st.fixed_dictionaries({"x": TEXTS | ANYTHING}), max_size=3)
VALUES = (
    st.fixed_dictionaries(
        {"a": TEXTS | ANYTHING, "n": st.integers(-9, 9) | ANYTHING},
        optional={"yes": st.booleans() | ANYTHING, "steps": STEPS | ANYTHING, "A": TEXTS},
    )
    | st.fixed_dictionaries({}, optional={"n": st.integers(-9, 9)})
    | st.fixed_dictionaries({"a": TEXTS, "n": st.integers(-9, 9), "yes": st.booleans(), "steps": STEPS})
)
WRITERS: list[Callable[[Any], str]] = [
    lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")),
    lambda value: json.dumps(value, separators=(",", ":")),
    lambda value: re.sub(r"\\\\u00\w\w", lambda found: found[0].upper().replace("U", "u"), json.dumps(value)),
    json.dumps,
]


ANSWERS = st.lists(st.tuples(VALUES, st.sampled_from(WRITERS)), min_size=1, max_size=40)


@pytest.mark.slow
@given(ANSWERS)
def test_an_answer_fits_its_schema_or_it_does_not(answers: list[tuple[Any, Callable[[Any], str]]]) -> None:
    lines = [
        answered(f"{NONCE}-{identity}", write(value)) for identity, (value, write) in zip(IDS, answers, strict=False)
    ]
    with TemporaryDirectory() as folder:
        both(Path(folder), lines, to(), RICH)


@pytest.mark.slow
@given(ANSWERS, st.sampled_from([RICH, SCHEMA, LOOSE, None]))
def test_an_object_counts_as_its_json(answers: list[tuple[Any, Callable[[Any], str]]], schema: str | None) -> None:
    """Where the host has read the answer and put an object in the place of its text."""
    lines = [
        answered(f"{NONCE}-{identity}", "@@").replace(b'"@@"', write(value).encode())
        for identity, (value, write) in zip(IDS, answers, strict=False)
    ]
    with TemporaryDirectory() as folder:
        both(Path(folder), lines, to(), schema)


@pytest.mark.parametrize("written", [b"{}", b"{ }", b"{\t}"], ids=repr)
@pytest.mark.parametrize("schema", [LOOSE, RICH, None], ids=["nothing required", "required", "text"])
def test_an_object_without_anything_is_no_answer(tmp_path: Path, written: bytes, schema: str | None) -> None:
    whole = answered(f"{NONCE}-{IDS[0]}", "@@")
    both(tmp_path, [whole.replace(b'"@@"', written)], to(), schema)
    assert both(tmp_path, [answered(f"{NONCE}-{IDS[0]}", "{}")], to(), LOOSE) == [], "as a text it fits"


def test_an_object_that_fits_is_swept(tmp_path: Path) -> None:
    line = answered(f"{NONCE}-{IDS[0]}", "@@").replace(b'"@@"', b'{"n": 1}')
    assert both(tmp_path, [line], to(), SCHEMA) == []
    assert both(tmp_path, [line], to()) == [(1, 1)]
    found = sweep(tmp_path, [written(tmp_path, [line])], to(), SCHEMA)
    assert found.told is not None
    assert [row["answer"] for row in found.told[0] if row["outcome"] == "ok"] == ['{"n":1}']


@pytest.mark.parametrize(
    "names",
    [
        ["b", "a"],
        ["b c", "a"],
        ["b.c", "$a", "{x}", "[x]"],
        ['b"', "a"],
        ["b\\", "a"],
        ["\n", "a"],
        ["null", "a"],
        ["ß", "ss"],
    ],
    ids=repr,
)
def test_fields_may_have_any_name(tmp_path: Path, names: list[str]) -> None:
    """Their order in the answers that are kept is one and the same, whoever judged them."""
    fields = {name: {"type": "string"} for name in names}
    schema = json.dumps({"type": "object", "properties": fields, "required": names, "additionalProperties": False})
    values = [dict.fromkeys(names, "v"), dict.fromkeys(reversed(names), "w"), dict.fromkeys(names[:1], "x")]
    texts = [write(value) for value in values for write in WRITERS]
    both(tmp_path, [answered(f"{NONCE}-{IDS[n]}", text) for n, text in enumerate(texts)], to(), schema)


def test_more_input_than_the_first_tier_has_is_for_python(tmp_path: Path) -> None:
    price = next(row for row in BOOK.rows if row.tiers)
    edge = price.tiers[0].above_input_tokens
    lines = [answered(f"{NONCE}-{IDS[n]}", tokens=(edge + n, 5)) for n in range(2)]
    assert both(tmp_path, lines, to(price=price)) == [(1, 2)]


def test_a_row_of_another_tier_is_for_python_where_one_was_asked_for(tmp_path: Path) -> None:
    lines = [answered(f"{NONCE}-{IDS[n]}") for n in range(3)]
    for n, tier in enumerate(("flex", "default", None)):
        row = orjson.loads(lines[n])
        row["response"]["body"]["service_tier"] = tier
        lines[n] = orjson.dumps(row)
    assert both(tmp_path, lines, to(tier="flex")) == [(1, 2)]
    assert both(tmp_path, lines, to()) == []


def test_several_files_and_none(tmp_path: Path) -> None:
    lines = [answered(f"{NONCE}-{identity}") for identity in IDS[:9]]
    files = [written(tmp_path, lines[:4]), written(tmp_path, [], "b"), written(tmp_path, [*lines[4:], b"?"], "c")]
    found = sweep(tmp_path, files, to(), None)
    assert found.told is not None
    assert found.asked == [(3, 6)]
    alike(found.told, one_by_one(files, to(), None))
    (kept,) = found.told[1]
    assert (kept["file"], kept["line"], kept["bytes"]) == ("raw/c", 6, "?")
    none = sweep(tmp_path, [], to(), None)
    assert none.told is not None
    assert none.told[2]["outcomes"] == {"missing": 40}


def test_ids_without_a_ceiling_of_their_own_have_the_shards(tmp_path: Path) -> None:
    with Warehouse(tmp_path / "spill") as warehouse:
        warehouse.load("sent", {"request_id": "VARCHAR"}, ((identity,) for identity in IDS))
        file, path = written(tmp_path, [answered(f"{NONCE}-{IDS[0]}")]), tmp_path / "swept.parquet"
        one = Sweep(warehouse, "swept_chat", 77, QUICK.target(path, {}))
        one.run([("raw/a", file)], rules.Reading(openai_shapes.decode, to(), None), Tally(keep_apart=print), path)
        assert warehouse.scalar(Inline("SELECT list(DISTINCT ceiling) FROM swept"), {}) == [77]


# --- what is plain

THOUGHT: list[dict[str, Any]] = [
    {"choices": []},
    {"choices": {"0": {}}},
    {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]},
    {"choices": [{"message": {"content": "a", "refusal": "no"}, "finish_reason": "stop"}]},
    {"choices": [{"message": {"content": ["a"]}, "finish_reason": "stop"}]},
    {"choices": [{"message": {"content": 12}, "finish_reason": "stop"}]},
    {"choices": [{"message": {"content": {"a": 1}}, "finish_reason": "stop"}]},
    {"choices": [{"message": {"content": "a", "reasoning": 7}, "finish_reason": "stop"}]},
    {"choices": [{"message": {"content": "a", "reasoning_content": ["x"]}, "finish_reason": "stop"}]},
    {"choices": [{"message": {"content": c}, "finish_reason": "stop"} for c in "ab"]},
    {"object": "response"},
    {"object": ["chat.completion"]},
    {"model": 5},
    {"service_tier": {"a": 1}},
    {"error": {"message": "no"}},
    {"usage": None},
    {"usage": []},
    {"usage": {"prompt_tokens": 7.0, "completion_tokens": 2}},
    {"usage": {"prompt_tokens": 7, "completion_tokens": 2.5}},
    {"usage": {"prompt_tokens": -7, "completion_tokens": 2}},
    {"usage": {"prompt_tokens": 10**18, "completion_tokens": 2}},
    {"usage": {"prompt_tokens": 7, "completion_tokens": 10**30}},
    {"usage": {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": -(2**63)}}},
    {"usage": {"prompt_tokens": 0, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": -(2**63)}}},
    {"usage": {"prompt_tokens": -(2**63), "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 5}}},
    {"usage": {"prompt_tokens": -10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 2**63 - 1}}},
    {"usage": {"prompt_tokens": True, "completion_tokens": 2}},
    {"usage": {"prompt_tokens": " 7", "completion_tokens": 2}},
    {"usage": {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": "03"}}},
    {"usage": {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": -3}}},
    {"usage": {"prompt_tokens": 7, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": [1]}}},
]
"""Bodies of answers that need one."""
STATUSES: list[object] = ["0200", 201, 200.0, True, None, [200]]


def changed(number: int, body: dict[str, Any], **response: object) -> bytes:
    line = orjson.loads(answered(f"{NONCE}-{IDS[number]}"))
    line["response"] |= response
    line["response"]["body"].update(body)
    return json.dumps(line).encode()  # as numbers of any size come


def test_whatever_needs_a_thought_is_not_plain(tmp_path: Path) -> None:
    lines = [changed(n, body) for n, body in enumerate([{}, *THOUGHT])]
    lines += [changed(len(lines) + n, {}, status_code=status) for n, status in enumerate(STATUSES)]
    asked = both(tmp_path, lines, to())
    assert sorted(asked) == [(1, n) for n in range(2, len(lines) + 1)]


DETAILS: list[dict[str, Any]] = [
    {},
    {"prompt_tokens_details": {}},
    {"prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}},
    {"prompt_tokens_details": {"cached_tokens": None}, "completion_tokens_details": {"reasoning_tokens": None}},
    {"prompt_tokens_details": None, "completion_tokens_details": {}},
    {"prompt_tokens_details": [4], "completion_tokens_details": "none"},
    {"prompt_tokens_details": {"cached_tokens": "4"}},
    {"prompt_tokens_details": {"cache_write_tokens": None, "cache_write_tokens_details": None}},
]
THOUGHTS = [{}, {"reasoning": "so"}, {"reasoning_content": "hm"}, {"reasoning": "", "reasoning_content": "later"}]


def test_a_plain_line_says_what_it_says_when_read_by_itself(tmp_path: Path) -> None:
    lines = []
    for n, (details, said) in enumerate(product(DETAILS, THOUGHTS)):
        line = orjson.loads(answered(f"{NONCE}-{IDS[n]}", **details))
        line["response"]["body"]["choices"][0]["message"] |= said
        line["response"]["body"] |= {"service_tier": "flex", "error": None} if said else {}
        lines.append(orjson.dumps({**line, "error": None, "engine": None}))
    assert both(tmp_path, lines, to()) == []


BARE = ["nan", "NaN", "nAn", "-nan", "inf", "Inf", "-inf", "infinity", "Infinity", "-INFINITY", "true", "7", "[]", "{}"]
"""Values that are no texts: of some of them DuckDB says otherwise, as its JSON has them."""


@pytest.mark.parametrize("value", BARE)
def test_what_is_no_text_is_not_taken_for_one(tmp_path: Path, value: str) -> None:
    holes = {"content": "@@", "reasoning": "@@", "reasoning_content": "@@"}
    whole = {"model": "@@", "service_tier": "@@"}
    lines = []
    for n, (name, hole) in enumerate({**holes, **whole}.items()):
        line = orjson.loads(answered(f"{NONCE}-{IDS[n]}"))
        body = line["response"]["body"]
        (body if name in whole else body["choices"][0]["message"])[name] = hole
        lines.append(orjson.dumps(line).replace(b'"@@"', value.encode()))
    assert len(both(tmp_path, lines, to())) == 5


@pytest.mark.parametrize("text", ["nan", "Infinity", "true", "7", "-", "[]", "{}", "nano", "It", "I", "|{", "Informed"])
def test_a_text_that_looks_like_something_else_is_one(tmp_path: Path, text: str) -> None:
    assert both(tmp_path, [answered(f"{NONCE}-{IDS[0]}", text)], to()) == []


def test_the_content_of_something_else_does_not_vouch_for_an_answer(tmp_path: Path) -> None:
    whole = answered(f"{NONCE}-{IDS[0]}", "@@")
    lines = [
        whole.replace(b'"@@"', b'{"n":1},"x":{"content":"{\\"n\\":1}"}'),
        whole.replace(IDS[0].encode(), IDS[1].encode()).replace(b'"@@"', b'"{\\"n\\":1}","x":{"content":[]}'),
    ]
    assert [orjson.loads(line)["response"]["status_code"] for line in lines] == [200, 200]
    assert both(tmp_path, lines, to()) == [(1, 1)]
    assert both(tmp_path, lines, to(), SCHEMA) == [], "text or object, it is the same answer"


def test_a_comma_too_many_costs_no_answer(tmp_path: Path) -> None:
    """DuckDB reads it; line by line it would be kept apart, and the request paid for once more."""
    line = answered(f"{NONCE}-{IDS[0]}")[:-1] + b",}"
    found = sweep(tmp_path, [written(tmp_path, [line])], to(), None)
    assert found.told is not None
    assert [row["text"] for row in found.told[0] if row["outcome"] == "ok"] == ["four"]


# --- where a sweep does not do


@pytest.mark.parametrize(
    "more",
    [
        [answered(f"{NONCE}-{IDS[0]}", "again")],
        [failed(f"{NONCE}-{IDS[0]}")],
        [failed(f"{NONCE}-{IDS[5]}"), failed(f"{NONCE}-{IDS[5]}")],
        [answered(f"{NONCE}-{99:032x}")],
    ],
    ids=["twice", "an error too", "two errors", "not sent"],
)
def test_ids_that_come_twice_or_were_not_sent_are_a_matter_for_python(tmp_path: Path, more: list[bytes]) -> None:
    files = [written(tmp_path, [*(answered(f"{NONCE}-{identity}") for identity in IDS[:4]), *more])]
    assert sweep(tmp_path, files, to(), None).told is None
    rows, apart, _ = one_by_one(files, to(), None)
    assert len(apart) == 1
    assert len(rows) == len(IDS)


def test_where_few_lines_are_plain_it_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "_FEW", 5)
    lines = [failed(f"{NONCE}-{identity}") for identity in IDS]
    files = [written(tmp_path, lines)]
    found = sweep(tmp_path, files, to(), None)
    assert found.told is None
    assert len(found.asked) == len(lines) // 4 + 1
    mostly = [answered(f"{NONCE}-{identity}") for identity in IDS[:31]] + lines[31:]
    assert len(both(tmp_path, mostly, to())) == 9


def test_finer_rates_and_machines_by_the_hour_are_not_swept() -> None:
    for rate, places in (("0.000001", 12), ("0.0000001", 13)):
        price = prices.load(None, [f"openai/tiny-1={rate},8,{rate},4"]).rows[-1]
        sent = to(price=price)
        assert sent.meter.places == places
        assert rules.sweepable(sent) is (places == 12)
    assert not rules.sweepable(to(price=MACHINE))


def test_a_price_beyond_what_a_row_holds_is_not_swept() -> None:
    for usd, fits in (("300000", True), ("400000", False)):
        price = prices.load(None, [f"openai/tiny-1={usd},{usd},{usd},{usd}"]).rows[-1]
        assert rules.sweepable(to(price=price)) is fits


@pytest.mark.slow
@pytest.mark.parametrize("what", collect.sets(3_000), ids=lambda what: what.name)
def test_a_whole_landing_comes_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: _results.Set) -> None:
    made = _results.make(what, tmp_path / "data")
    found = {}
    for least in (1, 1 << 40):
        monkeypatch.setattr("chimera_batch.steps.sweeping.LEAST", least)
        found[least] = collect.ours(what, made, tmp_path / str(least))
    one, other = ({key: told for key, told in ran.items() if key not in TIMED} for ran in found.values())
    assert one == other
    assert one["joined"] == what.requests
    assert one["misplaced"] == 0


TIMED = {"wall", "cpu", "peak"}


# --- the edge


def pieces(lines: list[bytes]) -> Iterator[Lines]:
    yield Lines(1, 1, 0, lines)


def test_what_cannot_be_read_says_so_and_leaves_nothing_behind(tmp_path: Path) -> None:
    def broken() -> Iterator[Lines]:
        yield from pieces([b"a\n"])
        raise OSError("the disk is gone")

    into = QUICK.target(tmp_path / "out.parquet", {})
    with Warehouse(tmp_path / "spill") as warehouse:
        for _ in range(2):
            with pytest.raises(OSError, match="the disk is gone"):
                warehouse.sweep(Inline("SELECT line FROM swept_lines"), {}, broken(), [], into)
            assert warehouse.scalar(Inline("SELECT current_setting('disabled_optimizers')"), {}) == ""
        with pytest.raises(InputError, match="no_such_column"):
            warehouse.sweep(Inline("SELECT no_such_column FROM swept_lines"), {}, pieces([b"a\n"]), [], into)
        with pytest.raises(InputError, match="swept_lines"):
            warehouse.rows(Inline("SELECT * FROM swept_lines"), {})


@pytest.mark.parametrize("error", [KeyboardInterrupt, LookupError])
def test_what_a_function_raises_is_raised(tmp_path: Path, error: type[BaseException]) -> None:
    def broken(line: int) -> int:
        raise error(line)

    function = Function("broken", broken, ("BIGINT",), "BIGINT")
    into = QUICK.target(tmp_path / "out.parquet", {})
    with Warehouse(tmp_path / "spill") as warehouse:
        for _ in range(2):
            with pytest.raises(error):
                warehouse.sweep(Inline("SELECT broken(line) FROM swept_lines"), {}, pieces([b"a\n"]), [function], into)
        with pytest.raises(InputError, match="broken"):
            warehouse.scalar(Inline("SELECT broken(1)"), {})


def test_ctrl_c_stops_a_sweep_wherever_it_strikes(tmp_path: Path) -> None:
    """It is for the thread that waits, and never lost in a call from C; afterwards all is as before."""
    into, begun = QUICK.target(tmp_path / "out.parquet", {}), threading.Event()

    def endless() -> Iterator[Lines]:
        for number in count():
            yield Lines(1, number * 100, 0, [b"a\n"] * 100)
            begun.set()

    def strike(delay: float) -> None:
        begun.wait()
        sleep(delay)
        os.kill(os.getpid(), signal.SIGINT)

    with Warehouse(tmp_path / "spill") as warehouse:
        for delay in (0, 0.003, 0.01, 0.03):
            begun.clear()
            other = threading.Thread(target=strike, args=[delay])
            other.start()
            with pytest.raises(KeyboardInterrupt):
                warehouse.sweep(Inline("SELECT line FROM swept_lines"), {}, endless(), [], into)
            other.join()
        warehouse.sweep(Inline("SELECT line FROM swept_lines"), {}, pieces([b"a\n"]), [], into)
        warehouse.view("out", [tmp_path / "out.parquet"])
        assert warehouse.scalar(Inline("SELECT count(*) FROM out"), {}) == 1


class Struck(ThreadPoolExecutor):
    """Ctrl-C strikes when its thread has begun, and before anybody was told of it."""

    def submit(self, *given: Any, **named: Any) -> Any:
        super().submit(*given, **named)
        raise KeyboardInterrupt


def test_ctrl_c_while_a_sweeps_thread_starts_ends_it_before_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was told as an error of the database, which was busy, and the process went on until all lines were read."""
    taken: list[Lines] = []

    def lines() -> Iterator[Lines]:
        for one in pieces([b"a\n"]):
            taken.append(one)
            yield one

    into = QUICK.target(tmp_path / "out.parquet", {})
    with Warehouse(tmp_path / "spill") as warehouse:
        with monkeypatch.context() as patch:
            patch.setattr(streaming, "ThreadPoolExecutor", Struck)
            with pytest.raises(KeyboardInterrupt):
                warehouse.sweep(Inline("SELECT line FROM swept_lines"), {}, lines(), [], into)
            with pytest.raises(KeyboardInterrupt):
                warehouse.stream({"n": ("integer", "BIGINT")}, iter([[[1]]]), into)
        assert not taken
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(("sweep", "copy"))]
        warehouse.sweep(Inline("SELECT line FROM swept_lines"), {}, lines(), [], into)
        assert taken


def test_lines_that_nobody_took_are_not_forgotten(tmp_path: Path) -> None:
    """Were the reading to end early, what was not read would count as missing, and be paid for again."""
    files = [written(tmp_path, [answered(f"{NONCE}-{identity}") for identity in IDS])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Warehouse, "sweep", first_alone)
        assert sweep(tmp_path, files, to(), None).told is None


def first_alone(
    warehouse: Warehouse, source: Inline, params: dict[str, Any], lines: Iterator[Lines], *more: Any
) -> None:
    """A sweep that takes the first lines of each file and no more."""
    first = next(lines)
    SWEEP(warehouse, source, params, iter([first]), *more)


SWEEP = Warehouse.sweep


# --- a landing


@pytest.mark.parametrize("why", ["Out of Memory Error", "IO Error: No space left"])
def test_where_duckdb_cannot_python_reads_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    (tmp_path / "run").mkdir()
    landing, said = Landing(tmp_path / "run", schema=None), list[str]()
    landing.ctx = replace(landing.ctx, say=said.append)
    for name, first in (("a", 0), ("b", 9)):
        ids = map(_results.request_id, range(first, first + 9))
        path = written(tmp_path, [answered(f"{_results.NONCE}-{identity}") for identity in ids], name)
        landing.sent(_results.Made(path, first, 9, 9, 0, 0))
    monkeypatch.setattr("chimera_batch.steps.sweeping.LEAST", 1)
    monkeypatch.setattr(Warehouse, "sweep", lambda *given: refuse(why))
    assert list(landing.land()) == [True]
    assert sum("read line by line" in text and why in text for text in said) == 2
    assert landing.found()["outcomes"] == {"ok": 18}


def refuse(why: str) -> None:
    raise InputError(why)


@pytest.mark.slow
def test_a_line_that_fills_duckdbs_memory_lands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """70 MB of thoughts in one line, which is more than 512 MB for DuckDB."""
    monkeypatch.setattr("chimera_batch.steps.sweeping.LEAST", 1)
    data = tmp_path / "one.jsonl"
    line = orjson.loads(answered(f"{_results.NONCE}-{_results.request_id(0)}"))
    line["response"]["body"]["choices"][0]["message"]["reasoning"] = "so " * ((70 << 20) // 3)
    data.write_bytes(orjson.dumps(line) + b"\n")
    (tmp_path / "run").mkdir()
    landing, said = Landing(tmp_path / "run", schema=None), list[str]()
    landing.ctx = replace(landing.ctx, say=said.append)
    landing.sent(_results.Made(data, 0, 1, 1, 0, 0))
    assert list(landing.land()) == [True]
    assert "line by line" in said[0] and "Out of Memory" in said[0]
    assert landing.found()["outcomes"] == {"ok": 1}


def test_lines_have_their_number_and_their_place(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    with Warehouse(tmp_path / "spill") as warehouse:
        two = [Lines(1, 1, 0, [b"a\n", b"\xc3\xa9\n"]), Lines(2, 8, 50, [b"bcd"])]
        warehouse.sweep(Inline("SELECT * FROM swept_lines"), {}, two, [], QUICK.target(path, {}))
        warehouse.view("found", [path])
        rows = list(warehouse.rows(Inline("FROM found"), {}))
    assert rows == [(1, 1, 0, "a\n"), (1, 2, 2, "é\n"), (2, 8, 50, "bcd")]
