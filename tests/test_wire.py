"""Shard bytes and wire bytes: nothing is split, lost or changed but what an attempt has to change."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chimera_batch.endpoints import ENDPOINTS
from chimera_batch.pipeline.stage import Source
from chimera_batch.records import Call
from chimera_batch.requests import wire
from chimera_batch.requests.render import Renderer

CHAT = Call("openai", "/v1/chat/completions", "tiny-1", 100)
CALLS = {
    "chat": CHAT,
    "responses": replace(CHAT, endpoint="/v1/responses"),
    "messages": Call("anthropic", "/v1/messages", "tiny-1", 100),
    "embeddings": replace(CHAT, endpoint="/v1/embeddings"),
}
NASTY = 'a\u2028b\u2029c\x85d\ne\r\nf\tg "h" \\ \U0001f600 ü \x00'
NONCE = "0123abcd"


def shard_of(folder: Path, texts: list[str], call: Call = CHAT) -> tuple[Path, list[str]]:
    """A compressed shard of one request per text; its path and request ids."""
    renderer = Renderer(call, Source("p.md", Path("p.md"), "{{ q }}"), {})
    requests = [renderer.render({"row_key": str(n), "q": text}) for n, text in enumerate(texts)]
    path = folder / "shard.jsonl.zst"
    wire.compress((request.line for request in requests), path)
    return path, [request.request_id for request in requests]


def build(
    folder: Path, shard: Path, ceilings: Mapping[str, int], raised: set[str] | None = None, call: Call = CHAT
) -> tuple[wire.Wire, bytes]:
    out = folder / "wire.jsonl"
    letter = wire.Letter(NONCE, ceilings, frozenset(raised or ()))
    made = wire.build(shard, out, letter, ENDPOINTS[call.endpoint].with_ceiling)
    return made, out.read_bytes()


# -- lines


@given(st.lists(st.binary(max_size=12) | st.just(b"\n") | st.just(b"a\nb\n"), max_size=12))
@example([b"", b"\n", b"", b"\n\n"])
@example([b"a", b"b", b"\nc"])
@example(["\u2028\x85\x0b\x0c\x1c\r".encode(), b"\n", b"\r\n"])
def test_lines_are_what_split_at_newline_gives_however_it_is_cut(chunks: list[bytes]) -> None:
    expected = b"".join(chunks).split(b"\n")
    if expected[-1] == b"":  # what follows the last newline is no line
        expected.pop()
    assert list(wire.split_lines(chunks)) == expected


def test_a_long_line_in_many_pieces() -> None:
    assert list(wire.split_lines([b"ab"] * 1000 + [b"\nc"])) == [b"ab" * 1000, b"c"]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.zst"])
@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, (1 << 20) + 1])
def test_reading_back_what_was_written(tmp_path: Path, suffix: str, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    path = tmp_path / f"file{suffix}"
    if suffix.endswith(".zst"):
        assert wire.compress([data[:100], b"", data[100:]], path) == size
    else:
        path.write_bytes(data)
    assert b"".join(wire.read_chunks(path)) == data
    assert list(wire.read_lines(path)) == list(wire.split_lines([data]))


def test_compression_is_the_same_every_time(tmp_path: Path) -> None:
    pieces = [b"line %d\n" % number for number in range(5000)]
    for name in ("a.zst", "b.zst"):
        wire.compress(pieces, tmp_path / name)
    assert (tmp_path / "a.zst").read_bytes() == (tmp_path / "b.zst").read_bytes()
    assert (tmp_path / "a.zst").stat().st_size < sum(map(len, pieces)) / 5


# -- ids

ID = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("custom_id", "parts"),
    [
        (f"{NONCE}-{ID}", (NONCE, ID)),
        (ID, None),
        (f"{NONCE}-{ID}\n", None),
        (f" {NONCE}-{ID}", None),
        (f"{NONCE}-{ID}0", None),
        (f"{NONCE}_{ID}", None),
        (f"{NONCE.upper()}-{ID}", None),
        ("", None),
        ("request-1", None),
    ],
)
def test_custom_ids(custom_id: str, parts: tuple[str, str] | None) -> None:
    assert wire.split_custom_id(custom_id) == parts


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_line_says_its_id_and_takes_a_nonce(tmp_path: Path, call: Call) -> None:
    shard, (identity,) = shard_of(tmp_path, [NASTY], call)
    (line,) = wire.read_lines(shard)
    assert wire.request_id(line) == identity == json.loads(line)["custom_id"]
    sent = wire.nonced(line, NONCE)
    assert orjson.loads(sent) == {**orjson.loads(line), "custom_id": f"{NONCE}-{identity}"}
    assert len(sent) == len(line) + len(NONCE) + 1
    assert wire.split_custom_id(orjson.loads(sent)["custom_id"]) == (NONCE, identity)


# -- wire files


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_the_whole_shard_is_sent_as_it_is_kept(tmp_path: Path, call: Call) -> None:
    shard, ids = shard_of(tmp_path, ["one", NASTY, "three"], call)
    made, data = build(tmp_path, shard, dict.fromkeys(ids, 100), call=call)
    lines = data.split(b"\n")
    assert lines.pop() == b""
    assert len(data.decode().splitlines()) == 3  # no reader, however it splits, sees more lines
    assert [orjson.loads(line)["custom_id"] for line in lines] == [f"{NONCE}-{identity}" for identity in ids]
    kept = [orjson.loads(line) for line in wire.read_lines(shard)]
    assert [{**orjson.loads(line), "custom_id": ""} for line in lines] == [{**line, "custom_id": ""} for line in kept]
    assert made == wire.Wire(hashlib.sha256(data).hexdigest(), 3, len(data))
    for line in lines:
        assert ENDPOINTS[call.endpoint].problems(orjson.loads(line)) == []


def test_only_open_ids_are_sent_in_the_shards_order(tmp_path: Path) -> None:
    shard, ids = shard_of(tmp_path, list("abcdef"))
    wanted = dict.fromkeys([ids[4], ids[1], "f" * 32], 100)
    made, data = build(tmp_path, shard, wanted)
    assert [orjson.loads(line)["custom_id"][9:] for line in data.splitlines()] == [ids[1], ids[4]]
    assert (made.requests, made.bytes) == (2, len(data))


@pytest.mark.parametrize(
    "call", [CALLS["chat"], CALLS["responses"], CALLS["messages"]], ids=["chat", "responses", "messages"]
)
def test_a_raised_ceiling_changes_nothing_else(tmp_path: Path, call: Call) -> None:
    shard, ids = shard_of(tmp_path, [NASTY, "two"], call)
    made, data = build(tmp_path, shard, {ids[0]: 800, ids[1]: 100}, {ids[0]}, call)
    raised, same = data.splitlines()
    endpoint = ENDPOINTS[call.endpoint]
    assert endpoint.ceiling(orjson.loads(raised)) == 800
    assert endpoint.ceiling(orjson.loads(same)) == 100
    kept = [orjson.loads(line) for line in wire.read_lines(shard)]
    back = {**endpoint.with_ceiling(orjson.loads(raised), 100), "custom_id": ids[0]}
    assert back == kept[0]
    assert raised.startswith(b'{"custom_id":"')
    assert len(data.decode().splitlines()) == 2
    assert made.sha256 == hashlib.sha256(data).hexdigest()


@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=6, unique=True),
    pick=st.data(),
)
def test_an_attempts_bytes_can_always_be_made_again(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], pick: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("wire")
    texts = [f"x {text}" for text in texts]
    shard, ids = shard_of(folder, texts)
    known = sorted(set(ids))
    wanted = pick.draw(st.sets(st.sampled_from(known)))
    raised = pick.draw(st.sets(st.sampled_from(sorted(wanted)))) if wanted else set()
    ceilings = {identity: 800 if identity in raised else 100 for identity in wanted}
    first = build(folder, shard, ceilings, raised)
    again = build(folder, shard, dict(reversed(ceilings.items())), raised)
    assert first == again
    made, data = first
    assert made == wire.Wire(hashlib.sha256(data).hexdigest(), len(wanted), len(data))
    said = {}
    for line in io.BytesIO(data):
        body = orjson.loads(line)
        said[body["custom_id"].partition("-")[2]] = ENDPOINTS[CHAT.endpoint].ceiling(body)
    assert said == ceilings


def test_another_nonce_is_another_file(tmp_path: Path) -> None:
    shard, ids = shard_of(tmp_path, ["one"])
    change = ENDPOINTS[CHAT.endpoint].with_ceiling
    made = [
        wire.build(shard, tmp_path / nonce, wire.Letter(nonce, {ids[0]: 100}), change) for nonce in ("0" * 8, "1" * 8)
    ]
    assert made[0].sha256 != made[1].sha256
    assert made[0].bytes == made[1].bytes


# -- what else an attempt changes


@pytest.mark.parametrize("kind", ["chat", "responses", "messages"])
def test_a_larger_ceiling_and_an_edit_are_both_made(tmp_path: Path, kind: str) -> None:
    call = CALLS[kind]
    shard, ids = shard_of(tmp_path, ["a", NASTY, "c"], call)
    seen: list[object] = []

    def edit(line: dict[str, Any]) -> dict[str, Any]:
        seen.append(line["custom_id"])
        return {**line, "edited": True}

    letter = wire.Letter.of(NONCE, {ids[0]: 800, ids[1]: 100}, 100, edit)
    made = wire.build(shard, tmp_path / "out", letter, ENDPOINTS[call.endpoint].with_ceiling)
    data = (tmp_path / "out").read_bytes()
    lines = [orjson.loads(line) for line in data.splitlines()]
    assert seen == ids[:2] and [line["edited"] for line in lines] == [True, True]
    assert [ENDPOINTS[call.endpoint].ceiling(line) for line in lines] == [800, 100]
    assert [line["custom_id"] for line in lines] == [f"{NONCE}-{identity}" for identity in ids[:2]]
    assert made == wire.Wire(hashlib.sha256(data).hexdigest(), 2, len(data))


def test_an_edit_leaves_every_other_byte_alone(tmp_path: Path) -> None:
    """Also of what JSON may spell in two ways."""
    shard, ids = shard_of(tmp_path, [NASTY, "b"])
    plain, edited = (
        wire.build(
            shard, tmp_path / name, wire.Letter.of(NONCE, dict.fromkeys(ids, 100), 100, edit), lambda line, _: line
        )
        for name, edit in (("plain", None), ("edited", lambda line: line))
    )
    assert plain == edited
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "edited").read_bytes()


@pytest.mark.parametrize(("window", "tier"), [("flex", "flex"), ("now", None), ("24h", None), ("1h", None)])
def test_the_tier_of_a_window(window: str, tier: str | None) -> None:
    assert wire.tier_of(window) == tier
