"""What the other tests of the core pass by: see bench/core.toml, and ``python -m bench.core_coverage``."""

from __future__ import annotations

import errno
import hashlib
import json
import time
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard

from chimera_batch.cost import prices
from chimera_batch.cost.tally import Span
from chimera_batch.endpoints import ENDPOINTS
from chimera_batch.endpoints.texts import text_of
from chimera_batch.errors import InputError
from chimera_batch.history.facts import Asked, Ended
from chimera_batch.history.ledger import Ledger
from chimera_batch.pipeline.stage import Source
from chimera_batch.providers import anthropic_shapes, bedrock_shapes, faults, openai_shapes
from chimera_batch.providers.base import Engine
from chimera_batch.requests import wire
from chimera_batch.requests.blocks import BlockWriter
from chimera_batch.requests.packing import Limits
from chimera_batch.requests.wire import Piece
from chimera_batch.results import decoding
from chimera_batch.results.decoding import File, Tally
from chimera_batch.rules import fallback
from chimera_batch.rules.admission import Caps, Ruling, Wish, admit
from chimera_batch.steps import standing
from chimera_batch.steps.cutting import LEAD, Elsewhere, cuts, cutter_of, portions
from chimera_batch.warehouse import Warehouse
from tests.support import NOW, PRICE, REALM, Clock, MemoryStore, answered, bench, packed, write_project
from tests.test_decoding import IDS, cid, sent
from tests.test_packing import STAGE
from tests.test_wire import CALLS, NONCE, shard_of


def ledger(store: Any) -> Ledger:
    return Ledger(store, owner="me", clock=Clock()).open()


# -- what a run is said to be


def test_a_halted_run_is_only_gone_on_with_by_a_person() -> None:
    """``advance`` in a cron line must not undo a ``cancel``."""
    store = MemoryStore()
    writer = ledger(store)
    writer.begin("tiny", "m.yaml")
    writer.halt("tiny")
    writer.begin("tiny", "m.yaml", resume=False)
    assert "tiny" in ledger(store).facts.halted
    writer.begin("tiny", "m.yaml")
    again = ledger(store).facts
    assert "tiny" not in again.halted
    assert (again.last_run, again.manifests) == ("tiny", {"tiny": "m.yaml"})


def test_what_is_known_already_is_not_written_again() -> None:
    """A run that is polled for nights must not fill the journal."""
    writer = ledger(MemoryStore())
    asked = Asked(1, "f", "asked/a", 3, 3)
    steps = (
        lambda: writer.begin("tiny", "m.yaml"),
        lambda: writer.asked("tiny", "one", asked),
        lambda: writer.ended("tiny", "one", Ended("f", 1, "enough")),
        lambda: writer.halt("tiny"),
        lambda: writer.told("tiny", "mark"),
    )
    for step in steps:
        before = writer.position
        step()
        assert writer.position == before + 1
        if step is steps[3]:
            continue  # a halted run is begun anew by the first step, and only by it
        step()
        assert writer.position == before + 1
    assert writer.facts.told == {"tiny": "mark"}
    writer.told("tiny", "another")
    assert writer.facts.told == {"tiny": "another"}


def test_a_later_drawing_of_a_round_replaces_it() -> None:
    writer = ledger(MemoryStore())
    writer.asked("tiny", "one", Asked(1, "f", "asked/a", 3, 3))
    before = writer.position
    writer.asked("tiny", "one", Asked(1, "g", "asked/b", 4, 4))
    assert writer.position == before + 1
    assert writer.facts.asked["tiny", "one"][1].key == "asked/b"


def test_a_quote_is_kept_once_for_the_same_manifest_unless_it_is_made_anew() -> None:
    writer = ledger(MemoryStore())
    usd = {"low": "1", "likely": "2", "high": "3", "ceiling": "4"}
    stage = {"stage": "one", "usd": usd, "basis": "assumed", "requests": 5, "spent": "0"}
    said = []
    for fingerprint, anew in (("a", False), ("a", False), ("a", True), ("b", False)):
        before = writer.position
        writer.quoted("tiny", [stage], fingerprint, anew=anew)
        said.append(writer.position - before)
    assert said == [1, 0, 1, 1]
    writer.quoted("other", [stage], "a", anew=False)
    assert writer.facts.quotes["other", "one"], "another run's quote of the same manifest is no quote of this one"


def test_a_claim_on_what_has_moved_on_waits() -> None:
    facts = ledger_of_one_shard().facts
    wish = Wish(REALM, "s", 1, "tiny", "one", Decimal(1), 500, NOW)
    nothing = Caps(None, None, None, None)
    assert admit(facts, wish, nothing) == Ruling("go")
    assert admit(facts, replace(wish, attempt=2), nothing).verdict == "taken"
    fell = admit(facts, replace(wish, switches=1), nothing)
    assert (fell.verdict, fell.reason) == ("wait", "one: it fell back to another model meanwhile")
    facts.halted.add("tiny")
    assert admit(facts, wish, nothing).verdict == "wait"
    assert admit(facts, replace(wish, run="other"), nothing) == Ruling("go")


def ledger_of_one_shard() -> Ledger:
    writer = ledger(MemoryStore())
    assert writer.pack(packed("s"), seen_packs=0)
    return writer


def test_a_model_without_batches_is_asked_at_once(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    name = project.stages[0].calls[0].provider
    here = fallback.present(project, {})
    assert [stage.window for stage in here.stages] == [stage.window for stage in project.stages]
    alone = replace(project, profiles={name: replace(project.profiles[name], engine=Engine("vllm"))})
    assert [stage.window for stage in fallback.present(alone, {}).stages if stage.kind == "ask"] == ["now"]


# -- bytes


@pytest.mark.parametrize("size", [0, 1, 3 << 16, 700_000])
def test_pieces_are_all_lines_with_their_places(tmp_path: Path, size: int) -> None:
    lines = [b"%d %s\n" % (number, b"x" * 70) for number in range(size // 70)] + [b"last"]
    data = b"".join(lines)
    (tmp_path / "a").write_bytes(data)
    found, pieces = [], list(wire.read_pieces(tmp_path / "a"))
    for piece in pieces:
        assert piece.lines == lines[piece.first - 1 : piece.first - 1 + len(piece.lines)]
        assert data[piece.offset :].startswith(piece.lines[0])
        found += piece.lines
    assert found == lines
    assert len(pieces) <= 1 + len(data) // (1 << 16)
    assert max(sum(map(len, piece.lines)) for piece in pieces) < 1 << 17, "memory stays at one piece"
    wire.pack(tmp_path / "a", tmp_path / "a.zst", level=1)
    assert b"".join(wire.read_chunks(tmp_path / "a.zst")) == data
    (tmp_path / "none").write_bytes(b"")
    assert wire.pack(tmp_path / "none", tmp_path / "none.zst", level=1) == hashlib.sha256().hexdigest()
    assert zstandard.ZstdDecompressor().decompress((tmp_path / "none.zst").read_bytes()) == b""


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_whole_shard_is_the_same_by_either_road(tmp_path: Path, call: Any) -> None:
    shard, ids = shard_of(tmp_path, [f"question {number} " + "y" * 5000 for number in range(200)], call)
    letter = wire.Letter.of(NONCE, dict.fromkeys(ids, 100), 100)
    assert letter.sends_all(200) and not letter.sends_all(201)
    assert not wire.Letter.of(NONCE, dict.fromkeys(ids, 100), 200).sends_all(200)
    assert not replace(letter, edit=lambda line: line).sends_all(200)
    slow = wire.build(shard, tmp_path / "slow", letter, ENDPOINTS[call.endpoint].with_ceiling)
    quick = wire.build_whole(shard, tmp_path / "quick", NONCE)
    data = (tmp_path / "quick").read_bytes()
    assert quick == slow == wire.Wire(hashlib.sha256(data).hexdigest(), 200, len(data))
    assert data == (tmp_path / "slow").read_bytes()
    assert [wire.sent_id(line) for line in wire.read_lines(tmp_path / "quick")] == ids


def test_a_line_longer_than_what_is_read_at_once_is_one_line(tmp_path: Path) -> None:
    noise = b"".join(hashlib.sha256(b"%d" % number).digest().hex().encode() for number in range(20_000))
    lines = [b'{"custom_id":"%032x","body":"%b"}\n' % (number, noise if number == 1 else b"") for number in range(3)]
    wire.compress(lines, tmp_path / "a.zst")
    made = wire.build_whole(tmp_path / "a.zst", tmp_path / "out", NONCE)
    sent_lines = (tmp_path / "out").read_bytes().splitlines(keepends=True)
    assert sent_lines == [wire.nonced(line, NONCE) for line in lines]
    assert made.requests == 3


class Digests:
    """SHA-256 whose second ``update`` takes its time, or one of which fails (``fails``); ``hashlib`` for a module."""

    def __init__(self, *, fails: int = 0) -> None:
        self._fails, self._updates, self._real = fails, 0, hashlib.sha256()

    def sha256(self) -> Digests:
        return self

    def update(self, data: bytes) -> None:
        self._updates += 1
        if self._updates == self._fails:
            raise OSError(errno.ENOSPC, "No space left on device")
        if self._updates == 2:
            time.sleep(0.02)
        self._real.update(data)

    def hexdigest(self) -> str:
        return self._real.hexdigest()


def in_many_pieces(monkeypatch: pytest.MonkeyPatch, digests: Digests) -> tuple[Path, list[bytes]]:
    lines = [b'{"custom_id":"%032x"}\n' % number for number in range(40)]
    monkeypatch.setattr(wire, "hashlib", digests)
    monkeypatch.setattr(wire, "read_chunks", lambda _: iter(lines))
    return Path("shard"), [wire.nonced(line, NONCE) for line in lines]


def test_pieces_of_a_file_that_are_written_beside_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard, lines = in_many_pieces(monkeypatch, Digests())
    made = wire.build_whole(shard, tmp_path / "out", NONCE)
    assert (tmp_path / "out").read_bytes() == b"".join(lines)
    assert made.sha256 == hashlib.sha256(b"".join(lines)).hexdigest()


@pytest.mark.parametrize("which", [1, 2, 39, 40], ids=["first", "second", "last but one", "last"])
def test_a_piece_that_cannot_be_written_is_not_passed_over(
    which: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the forty it is; those behind it may be written."""
    shard, _ = in_many_pieces(monkeypatch, Digests(fails=which))
    with pytest.raises(OSError, match="No space left"):
        wire.build_whole(shard, tmp_path / "out", NONCE)


def test_a_file_compressed_in_pieces_is_read_to_its_end(tmp_path: Path) -> None:
    """Compressed files that were put one behind the other are one, as every other tool reads them."""
    for name, line in (("a", b"one\n"), ("b", b"two\n")):
        wire.compress([line], tmp_path / name)
    (tmp_path / "both.zst").write_bytes((tmp_path / "a").read_bytes() + (tmp_path / "b").read_bytes())
    assert list(wire.read_lines(tmp_path / "both.zst")) == [b"one", b"two"]


def test_nothing_to_pack_is_no_shard() -> None:
    assert list(cuts([], cutter_of(STAGE, Limits(10, 10), []))) == []


@pytest.mark.slow
@pytest.mark.parametrize(("rounds", "elsewhere"), [((1, 1), False), ((1, 2), True), ((2, 2), True)])
def test_lines_of_this_round_serve_only_where_all_that_is_packed_is_of_it(
    tmp_path: Path, rounds: tuple[int, int], elsewhere: bool
) -> None:
    rows = ", ".join(f"({number}, '{number:032x}', 7, {round_})" for number, round_ in enumerate(rounds))
    sql = f"SELECT * FROM (VALUES {rows}) t(position, request_id, input_tokens, round)"
    with BlockWriter(tmp_path / "lines") as writer:
        writer.add([0, 1], [b"one\n", b"three\n"])
    with Warehouse(tmp_path) as warehouse:
        warehouse.write(Source("t.sql", Path("t.sql"), sql), {}, tmp_path / "todo.parquet")
        warehouse.view("fresh_todo", [tmp_path / "todo.parquet"])
        if elsewhere:
            with pytest.raises(Elsewhere):
                list(portions(warehouse, writer.blocks, 1))
        else:
            (some,) = portions(warehouse, writer.blocks, 1)
            assert (some.ids, some.lines) == ([f"{number:032x}" for number in (0, 1)], [0, 1])
            assert some.sizes == [len(b"one\n") + LEAD, len(b"three\n") + LEAD]


CACHED = {"custom_id": "a", "params": {"system": "Be brief.", "messages": []}}


@pytest.mark.parametrize(
    ("endpoint", "window", "marks", "changed"),
    [
        ("/v1/messages", "24h", (False, True), {"system": [{"type": "text", "text": "Be brief."}]}),
        ("/v1/messages", "24h", (True, True), None),
        ("/v1/messages", "24h", (False, False), None),
        ("/v1/chat/completions", "24h", (False, True), None),
    ],
)
def test_an_attempt_sets_cache_marks_only_where_they_differ(
    endpoint: str, window: str, marks: tuple[bool, bool], changed: dict[str, Any] | None
) -> None:
    edit = wire.edit_of(ENDPOINTS[endpoint], window, marks)
    assert (edit is None) == (changed is None)
    if edit is not None and changed is not None:
        system = edit(CACHED)["params"]["system"]
        assert [block["text"] for block in system] == ["Be brief."]
        assert "cache_control" in system[0]
        back = wire.edit_of(ENDPOINTS[endpoint], window, (True, False))
        assert back is not None
        assert back(edit(CACHED)) == CACHED
        assert back(CACHED) == CACHED, "nothing to take off"


def test_an_attempt_in_a_tier_asks_for_it_and_keeps_the_rest() -> None:
    edit = wire.edit_of(ENDPOINTS["/v1/chat/completions"], "flex", (False, False))
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m"}}
    assert edit is not None
    assert edit(line) == {**line, "body": {"model": "m", "service_tier": "flex"}}
    assert line["body"] == {"model": "m"}, "a copy"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/embeddings"])
def test_where_marks_are_the_hosts_own_business_a_line_stays_as_it_is(path: str) -> None:
    line = {"custom_id": "a", "body": {"model": "m"}}
    copied = ENDPOINTS[path].with_cache(line, on=True)
    assert copied == line and copied is not line


def test_an_embedding_has_no_ceiling() -> None:
    line = {"custom_id": "a", "body": {"model": "m"}}
    assert ENDPOINTS["/v1/embeddings"].with_ceiling(line, 5) == line


# -- result lines


def test_lines_of_many_bytes_become_rows_bit_by_bit() -> None:
    """Half a megabyte of lines at a time, so that memory does not grow with the file."""
    apart: list[Any] = []
    tally, to = Tally(keep_apart=apart.append), sent()
    lines = [answered(cid(number), "z" * 200_000) for number in range(6)]
    pieces = [Piece(number + 1, 0, [line]) for number, line in enumerate(lines)]
    batches = list(decoding.landed([File("raw/a", pieces)], openai_shapes.decode, to, None, tally))
    assert [len(batch[2]) if batch else 0 for batch in batches] == [3, 3, 0]
    assert [identity for batch in batches if batch for identity in batch[2]] == IDS


@pytest.mark.parametrize(
    ("asked", "told", "batch", "rate"),
    [("flex", "flex", True, 1), ("flex", None, True, 1), ("flex", "default", True, 2), (None, "default", True, 1),
     ("flex", "flex", False, 2)],
)  # fmt: skip
def test_a_row_that_the_host_served_in_another_tier_is_billed_at_the_standard_rate(
    asked: str | None, told: str | None, batch: bool, rate: int
) -> None:
    tally, to = Tally(keep_apart=lambda record: None), replace(sent(batch=batch), tier=asked)
    line = orjson.loads(answered(cid(0), tokens=(1_000_000, 0)))
    if told:
        line["response"]["body"]["service_tier"] = told
    piece = Piece(1, 0, [orjson.dumps(line)])
    list(decoding.landed([File("raw/a", [piece])], openai_shapes.decode, to, None, tally))
    assert tally.usd == rate  # USD a million, of PRICE


@pytest.mark.parametrize(
    ("finish", "usage", "executed"),
    [
        ("length", None, True),
        ("content_filter", None, True),
        ("stop", None, True),
        ("stop", (0, 0), True),
        ("stop", (0, 5), None),
        ("stop", (5, 0), None),
        ("length", (5, 5), None),
        ("length", (0, 5), None),
        ("length", (5, 0), None),
        ("length", (0, 0), True),
    ],
)
def test_an_answer_without_usage_is_suspected_and_one_with_it_is_billed(
    finish: str, usage: tuple[int, int] | None, executed: bool | None
) -> None:
    tally, to = Tally(keep_apart=lambda record: None), sent(IDS[:1])
    line = orjson.loads(answered(cid(0), finish=finish, tokens=usage or (1, 1)))
    if usage is None:
        del line["response"]["body"]["usage"]
    piece = Piece(1, 0, [orjson.dumps(line)])
    list(decoding.landed([File("raw/a", [piece])], openai_shapes.decode, to, None, tally))
    assert tally.unbilled == ({} if executed is None else {IDS[0]: executed})


@pytest.mark.parametrize(
    ("seconds", "nanoseconds"),
    [("1.5", 1_500_000_000), (0, 0), ("0.0000000019", 1), (-1, None), ("NaN", None), ("soon", None), (None, None)],
)
def test_the_time_of_ones_own_machine(seconds: object, nanoseconds: int | None) -> None:
    line = {**orjson.loads(answered(cid(0))), "engine": {"seconds": seconds} if seconds is not None else {}}
    assert openai_shapes.decode(orjson.dumps(line)).machine_ns == nanoseconds


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ({"custom_id": "a", "result": {"type": "canceled"}}, "cancelled"),
        ({"custom_id": "a", "result": {"type": "expired"}}, "expired"),
    ],
)
def test_what_anthropic_did_not_execute(line: dict[str, Any], outcome: str) -> None:
    assert anthropic_shapes.decode(orjson.dumps(line)).outcome == outcome


@pytest.mark.parametrize("record", [None, "", 7])
def test_a_bedrock_line_without_an_id_is_no_result(record: object) -> None:
    with pytest.raises(ValueError, match="without a recordId"):
        bedrock_shapes.decode(orjson.dumps({"recordId": record, "modelOutput": {}}))


@pytest.mark.parametrize("job", [{}, {"jobArn": None}, {"jobArn": "arn:aws:bedrock:model-invocation-job/short"}])
def test_a_bedrock_job_without_an_arn(job: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="without its ARN"):
        bedrock_shapes.job_id(job)


@pytest.mark.parametrize(
    ("status", "code", "passing"),
    [
        (429, None, True),
        (429, "insufficient_quota", False),
        (500, None, True),
        (599, None, True),
        (499, None, False),
        (400, None, False),
        (None, None, False),
        (None, "overloaded_error", True),
    ],
)
def test_what_may_pass_by_itself(status: int | None, code: str | None, passing: bool) -> None:
    assert faults.is_passing(status, code) is passing


@pytest.mark.parametrize("vector", [[10**400], [True], ["a"], [], {}, "!!", "AAA="])
def test_what_is_no_embedding(vector: object) -> None:
    body = json.dumps({"data": [{"embedding": vector}]})
    line = f'{{"custom_id":"a","response":{{"status_code":200,"body":{body[:-1]},"object":"list"}}}}}}'
    assert openai_shapes.decode(line.encode()).outcome != "ok"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, None),
        ("a", "a"),
        (7, None),
        ({"text": "a"}, '{"text":"a"}'),
        ({}, None),
        ([], None),
        ([{"text": "a"}, {"x": 1}, {"text": "b"}], "ab"),
    ],
)
def test_texts(content: object, text: str | None) -> None:
    assert text_of(content) == text


# -- money


@pytest.mark.parametrize(
    ("kept", "ceiling_at_least"), [(1, 1), (0.5, 1), (0.99, 1), (1.5, 1.5)], ids=["all", "half", "nearly", "more"]
)
def test_a_share_that_is_kept(kept: float, ceiling_at_least: float) -> None:
    """What a later stage asks can be as much as there is, and where rows become more, more."""
    span = Span.share(kept)
    assert span.low <= span.likely == Decimal(str(kept)) <= span.high <= span.ceiling
    assert span.ceiling >= Decimal(str(ceiling_at_least))
    if kept == 1:
        assert span.low == span.ceiling == 1
    if kept < 1:
        assert span.ceiling == 1, "no stage keeps more than all"


def test_a_machine_without_a_price_asks_for_its_hour() -> None:
    book = prices.load(None, [f"openai/tiny-1={PRICE}"], frozenset({"vllm"}))
    with pytest.raises(InputError) as caught:
        book.price("vllm", "no-such-model", on=date(2026, 11, 1))
    assert "what an hour of the machine costs" in caught.value.message
    assert "vllm" in (caught.value.hint or "")


# -- standing


@pytest.mark.slow
def test_a_stage_stands_as_it_was_last_asked(tmp_path: Path) -> None:
    known = bench(write_project(tmp_path))
    with known.step() as step:
        assert standing.as_asked(known.ctx, step.stage, step.warehouse, step.folder) is None
    known.draw()
    with known.step() as step:
        found = standing.as_asked(known.ctx, step.stage, step.warehouse, step.folder)
        assert found is not None
        assert found.states == known.stand().states


@pytest.mark.slow
@pytest.mark.parametrize(
    ("upto", "settled"), [("1", True), ("2", True), ("3", False), ("9", False)], ids=["one", "two", "three", "all"]
)
def test_a_sample_is_settled_when_each_of_its_requests_is(tmp_path: Path, upto: str, settled: bool) -> None:
    rows = "('1', 'answered'), ('2', 'given_up'), ('3', 'in_flight'), ('4', 'answered')"
    sql = f"SELECT id AS request_id, state, 's' AS shard, 'ok' AS last FROM (VALUES {rows}) t(id, state)"
    with Warehouse(tmp_path) as warehouse:
        warehouse.write(Source("t.sql", Path("t.sql"), sql), {}, tmp_path / "all.parquet")
        warehouse.view("standing", [tmp_path / "all.parquet"])
        assert standing.keep_sample(warehouse, tmp_path, upto) is settled
