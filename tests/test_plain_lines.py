"""Lines about which there is nothing to say are read in stretches: wherever others stand among them, the rows are those
that come of reading every line by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch import digests
from chimera_batch.providers import openai_plain, openai_shapes
from chimera_batch.requests.wire import Piece
from chimera_batch.results import decoding
from chimera_batch.results.decoding import File, Reader, Sent, Tally, judge_of
from chimera_batch.steps.standing import LANDED_COLUMNS
from tests.support import READER, SCHEMA, answered, failed
from tests.test_decoding import BOOK, NONCE

IDS = [f"{number:032x}" for number in range(40)]
ODD = {
    "an error": lambda cid: failed(cid, 429),
    "cut off": lambda cid: answered(cid, '{"n":1}', finish="length"),
    "does not fit": lambda cid: answered(cid, '{"n":"x"}'),
    "spaces": lambda cid: answered(cid, '{"n": 1}'),
    "no usage": lambda cid: answered(cid, '{"n":1}', tokens=(0, 0)),
    "an engine's": lambda cid: orjson.dumps({**orjson.loads(answered(cid)), "engine": {"seconds": "1"}}),
    "not ours": lambda cid: answered(f"ffffffff-{cid[9:]}"),
    "once more": lambda cid: answered(f"{NONCE}-{IDS[0]}", '{"n":9}'),
    "blank": lambda cid: b"",
    "half a line": lambda cid: answered(cid)[:60],
    "no UTF-8": lambda cid: answered(cid).replace(b'"assistant"', b'"\xff"'),
    "a cache": lambda cid: answered(cid, '{"n":1}', prompt_tokens_details={"cached_tokens": 4}),
    "a write": lambda cid: answered(cid, '{"n":1}', prompt_tokens_details={"cache_write_tokens": 4}),
}


def landed(lines: list[bytes], reader: Reader, schema: str | None, tier: str | None) -> tuple[Any, ...]:
    apart: list[dict[str, Any]] = []
    tally = Tally(keep_apart=apart.append)
    sent = Sent("s", 1, NONCE, dict.fromkeys(IDS, 100), "missing", BOOK.rows[-1], batch_price=True, tier=tier)
    pieces = [Piece(1, 0, lines[:25]), Piece(26, sum(map(len, lines[:25])), lines[25:])]
    found = [*decoding.landed([File("raw/a", pieces)], reader, sent, judge_of(schema), tally)]
    rows = [values for batch in found for values in zip(*batch, strict=True)]
    said = {name: getattr(tally, name) for name in Tally.__slots__ if name != "keep_apart"}
    assert all(len(values) == len(LANDED_COLUMNS) for values in rows)
    return rows, apart, said


@pytest.mark.slow
@given(
    odd=st.dictionaries(st.integers(0, 39), st.sampled_from(sorted(ODD)), max_size=8),
    schema=st.sampled_from([None, SCHEMA]),
    tier=st.sampled_from([None, "flex"]),
)
def test_where_others_stand_among_them_makes_no_difference(
    odd: dict[int, str], schema: str | None, tier: str | None
) -> None:
    cids = [f"{NONCE}-{identity}" for identity in IDS]
    lines = [ODD[odd[n]](cid) if n in odd else answered(cid, f'{{"n":{n}}}') for n, cid in enumerate(cids)]
    lines = [line + b"\n" for line in lines]
    assert landed(lines, READER, schema, tier) == landed(lines, Reader(openai_shapes.decode), schema, tier)


def test_a_stretch_ends_before_the_first_line_that_is_not_plain() -> None:
    lines = [answered(f"{NONCE}-{identity}", "é\u2028", tokens=(7, 2)) for identity in IDS[:6]]
    assert openai_plain.plain(lines).texts == ["é\u2028"] * 6
    for name in ("an error", "cut off", "no usage", "an engine's", "blank", "half a line", "no UTF-8", "a write"):
        found = openai_plain.plain([*lines[:3], ODD[name](f"{NONCE}-{IDS[3]}"), *lines[4:]])
        assert [custom_id[9:] for custom_id in found.custom_ids] == IDS[:3], name
        assert found.tokens == ([7] * 3, [0] * 3, [0] * 3, [0] * 3, [2] * 3, [0] * 3)


@pytest.mark.parametrize(
    "said",
    [
        {"choices": []},
        {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": "a", "refusal": "no"}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": ["a"]}, "finish_reason": "stop"}]},
        {"object": "response"},
        {"error": {"message": "no"}},
        {"usage": None},
        {"usage": {"prompt_tokens": 7.0, "completion_tokens": 2}},
        {"usage": {"prompt_tokens": -7, "completion_tokens": 2}},
        {"usage": {"prompt_tokens": 10**18, "completion_tokens": 2}},
        {"usage": {"prompt_tokens": True, "completion_tokens": 2}},
    ],
    ids=json.dumps,
)
def test_whatever_needs_a_thought_is_not_plain(said: dict[str, Any]) -> None:
    line = orjson.loads(answered(f"{NONCE}-{IDS[0]}"))
    assert openai_plain.plain([orjson.dumps(line)]).texts == ["four"]
    line["response"]["body"].update(said)
    assert openai_plain.plain([orjson.dumps(line)]).texts == []


DETAILS: list[dict[str, Any]] = [
    {},
    {"prompt_tokens_details": {}},
    {"prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}},
    {"prompt_tokens_details": {"cached_tokens": None}, "completion_tokens_details": {"reasoning_tokens": None}},
    {"prompt_tokens_details": None, "completion_tokens_details": {}},
]


@pytest.mark.parametrize("said", [{}, {"reasoning": "so"}, {"reasoning_content": "hm"}, {"reasoning": ""}])
@pytest.mark.parametrize("details", DETAILS, ids=json.dumps)
def test_a_plain_line_says_what_it_says_when_read_by_itself(said: dict[str, Any], details: dict[str, Any]) -> None:
    line = orjson.loads(answered(f"{NONCE}-{IDS[0]}", **details))
    line["response"]["body"]["choices"][0]["message"] |= said
    line["response"]["body"] |= {"service_tier": "flex"} if said else {}
    found, reply = openai_plain.plain([orjson.dumps(line)]), openai_shapes.decode(orjson.dumps(line))
    assert reply.outcome == "ok" and reply.usage is not None
    shown = (found.custom_ids, found.texts, found.reasonings, [found.finish], found.models, found.tiers)
    told = (reply.custom_id, reply.text, reply.reasoning, reply.finish, reply.model, reply.tier)
    assert [one for (one,) in shown] == [*told]
    assert [one for (one,) in found.tokens] == [*reply.usage]


def test_two_files_are_alike_to_the_last_byte(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    whole = bytes(range(256)) * 1_200  # more than is read at once
    one.write_bytes(whole)
    for data, same in (
        (whole, True),
        (whole[:-1] + b"\x00", False),
        (b"\x01" + whole[1:], False),
        (whole + b"x", False),
    ):
        other.write_bytes(data)
        assert digests.alike(one, other) is same
