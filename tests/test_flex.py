"""``window: flex``: asked at once with a service tier, at the batch price where the host says that it was flex."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from chimera_batch import api
from chimera_batch.cost import estimate
from chimera_batch.endpoints import ENDPOINTS
from chimera_batch.errors import InputError, ProviderDown
from chimera_batch.opening import Options
from chimera_batch.providers import openai_shapes, profiles
from chimera_batch.records import batch_priced, synchronous
from chimera_batch.requests import wire
from chimera_batch.rules.admission import Wish, admit
from chimera_batch.steps import submitting
from chimera_batch.verbs import quoting
from tests.support import NOW, PRICE, Bench, answered, bench, write_project

FLEX = ", window: flex, assume: {input_tokens: 10, output_tokens: 3}"
STANDARD, HALF = Decimal("0.000044"), Decimal("0.000022")  # of one answer: 10 tokens at 2 or 1 and 3 at 8 or 4


def with_tier(tier: str | None, text: str = "four") -> Callable[[bytes], bytes]:
    """A host's synchronous answer that names a tier."""

    def say(line: bytes) -> bytes:
        answer = orjson.loads(answered(orjson.loads(line)["custom_id"], text))
        if tier is not None:
            answer["response"]["body"]["service_tier"] = tier
        return orjson.dumps(answer)

    return say


def flexed(
    folder: Path, say: Callable[[bytes], bytes], *, budget: str | None = None, **model: Any
) -> tuple[Bench, list]:  # type: ignore[type-arg]  # of wire lines
    """A stage with ``window: flex`` and a host that answers so; the lines that it was asked."""
    one = bench(write_project(folder, stage=FLEX, **model), budget=budget)
    asked: list[Any] = []

    def ask(line: bytes) -> bytes:
        asked.append(orjson.loads(line))
        return say(line)

    one.host.ask = ask  # type: ignore[method-assign]  # this host speaks for itself
    return one, asked


def test_the_words() -> None:
    assert [(w, synchronous(w), batch_priced(w)) for w in ("now", "flex", "24h", "1h")] == [
        ("now", True, False),
        ("flex", True, True),
        ("24h", False, True),
        ("1h", False, True),
    ]
    assert [name for name, known in profiles.builtin().items() if known.flex] == ["openai"]


# -- what is asked, and what it costs


def test_a_flex_stage_is_asked_at_once_with_the_tier(tmp_path: Path) -> None:
    one, asked = flexed(tmp_path, with_tier("flex"))
    assert one.go().done and len(one.table()) == 3
    assert [line["body"]["service_tier"] for line in asked] == ["flex"] * 3
    assert one.host.called("create") == []
    ((shard, attempt),) = one.pairs
    assert (shard.window, attempt.outcomes) == ("flex", {"ok": 3})
    assert attempt.billed == 3 * HALF


def test_neither_the_id_nor_the_packed_line_knows_the_tier(tmp_path: Path) -> None:
    one, asked = flexed(tmp_path / "a", with_tier("flex"))
    one.go()
    other = bench(write_project(tmp_path / "b"))
    other.pack(other.draw())
    packed = [
        [orjson.loads(line) for line in wire.read_lines(made.ctx.store.fetch(shard.key))]
        for made in (one, other)
        for shard in made.ctx.facts.shards.values()
    ]
    assert packed[0] == packed[1]
    assert all("service_tier" not in line["body"] for line in packed[0])
    assert {line["custom_id"].split("-")[1] for line in asked} == {line["custom_id"] for line in packed[1]}


@pytest.mark.parametrize(
    ("said", "each"), [("flex", HALF), (None, HALF), ("default", STANDARD), ("priority", STANDARD)]
)
def test_another_tier_than_flex_is_billed_at_the_standard_rates(
    tmp_path: Path, said: str | None, each: Decimal
) -> None:
    one, _ = flexed(tmp_path, with_tier(said))
    one.go()
    assert one.pairs[0][1].billed == 3 * each


def test_the_reservation_covers_a_host_that_falls_back(tmp_path: Path) -> None:
    now, flex, batch = (
        bench(write_project(tmp_path / name, stage=f", window: {name}")) for name in ("now", "flex", "24h")
    )
    reserved = []
    for one in (now, flex, batch):
        one.host.trouble["ask"] = [ProviderDown("no")]
        one.go()
        reserved.append(one.pairs[0][1].usd)
    assert reserved[0] == reserved[1] == 2 * reserved[2]


def test_a_budget_that_the_fall_back_would_pass_stops_it(tmp_path: Path) -> None:
    """Nothing is sent that could cost more, even where it most likely costs half."""
    full, _ = flexed(tmp_path / "a", with_tier("default"))
    full.go()
    most = full.pairs[0][1].usd
    short, asked = flexed(tmp_path / "b", with_tier("default"), budget=str(most - Decimal("0.000001")))
    short.go()
    assert len(asked) == 2, "the third waits until what the others really cost is known"
    assert short.pairs[0][1].usd < most
    assert short.go().done and len(asked) == 3
    assert short.ctx.facts.spent("tiny") == 3 * STANDARD


def test_no_capacity_passes_and_the_rest_is_asked_again(tmp_path: Path) -> None:
    one, asked = flexed(tmp_path, with_tier("flex"))
    answer = one.host.ask
    refusals = [ProviderDown("openai: HTTP 429: resource_unavailable")]

    def busy(line: bytes) -> bytes:
        if refusals:
            raise refusals.pop()
        return answer(line)

    one.host.ask = busy  # type: ignore[method-assign]  # see flexed
    progress = one.go()
    assert not progress.done and any("to be sent again" in wait for wait in progress.waits)
    assert one.go().done and len(asked) == 3
    assert sum(attempt.billed for _, attempt in one.pairs) == 3 * HALF


def test_flex_calls_are_no_batches_to_the_hosts_limits(tmp_path: Path) -> None:
    one, _ = flexed(tmp_path, with_tier("flex"))
    one.go()
    (shard,) = one.ctx.facts.shards.values()
    caps = replace(submitting.caps_of(one.ctx, one.stage), batches_per_hour=1)
    wish = Wish(shard.realm, shard.id, 2, "tiny", "one", Decimal(0), 0, NOW)
    assert admit(one.ctx.facts, wish, caps).verdict == "go", "an hour's batches are used up by none of them"
    shard.window = "24h"
    assert admit(one.ctx.facts, wish, caps).verdict == "wait"


# -- the bytes


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
def test_the_tier_is_added_and_nothing_else(path: str) -> None:
    line = {"custom_id": "x", "method": "POST", "url": path, "body": {"model": "gpt-6-luna", "input": "a"}}
    edit = wire.edit_of(ENDPOINTS[path], "flex", (False, False))
    assert edit is not None
    assert edit(line) == {**line, "body": {**line["body"], "service_tier": "flex"}}  # type: ignore[dict-item]  # a dict
    assert "service_tier" not in line["body"]
    assert wire.edit_of(ENDPOINTS[path], "24h", (False, False)) is None
    assert wire.edit_of(ENDPOINTS[path], "now", (False, False)) is None


BODIES: list[dict[str, Any]] = [
    {"object": "chat.completion", "choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]},
    {"object": "response", "status": "completed", "output": [{"type": "message", "content": [{"text": "a"}]}]},
]


@pytest.mark.parametrize("body", BODIES, ids=["chat", "responses"])
@pytest.mark.parametrize(("said", "read"), [("flex", "flex"), ("default", "default"), (None, None), (7, None)])
def test_the_tier_is_read_from_the_answer(body: dict[str, Any], said: object, read: str | None) -> None:
    line = {"custom_id": "x", "response": {"status_code": 200, "body": {**body, "service_tier": said}}, "error": None}
    reply = openai_shapes.decode(orjson.dumps(line))
    assert (reply.outcome, reply.tier) == ("ok", read)


# -- the manifest


def test_only_hosts_that_have_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="anthropic has no flex: only openai"):
        write_project(tmp_path, stage=FLEX, provider="anthropic")
    with pytest.raises(InputError, match="embeddings have no flex"):
        write_project(tmp_path, stage=FLEX, endpoint="/v1/embeddings")


def test_a_host_of_ones_own_may_have_it(tmp_path: Path) -> None:
    host = "providers: {mine: {dialect: openai, base_url: 'http://127.0.0.1:1/v1', api_key_env: K, flex: true}}"
    assert write_project(tmp_path, stage=FLEX, head=host, provider="mine").stages[0].window == "flex"
    with pytest.raises(InputError, match="flex of provider mine must be true or false"):
        write_project(tmp_path, stage=FLEX, head=host.replace("flex: true", "flex: 1"), provider="mine")


def test_it_is_said_stage_by_stage(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"flex is for single stages: write `window: flex` at a stage"):
        write_project(tmp_path, head="window: flex")


def test_the_tier_is_the_engines_to_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`extra` may not set `service_tier`: the engine writes it"):
        write_project(tmp_path, extra="{service_tier: flex}")


# -- the estimate


@pytest.mark.parametrize(
    ("window", "likely", "turnarounds"), [("now", STANDARD, 0), ("flex", HALF, 0), ("24h", HALF, 1)]
)
def test_the_estimate_is_at_the_batch_rates_and_waits_for_nothing(
    tmp_path: Path, window: str, likely: Decimal, turnarounds: int
) -> None:
    one = bench(write_project(tmp_path, stage=FLEX.replace("flex", window)))
    terms = quoting.terms_of(one.ctx, one.stage)
    assert (terms.batch, terms.synchronous) == (window != "now", window != "24h")
    tally = estimate.Tally(terms)
    tally.add(10, 10, 100)
    work = tally.work()
    assert work.usd.likely == likely
    once, longer = (one.ctx.price_of("openai", "tiny-1").most(10, n, batch=window == "24h") for n in (100, 200))
    again = 2 * longer  # truncated once, then without an answer that fits the schema
    assert work.usd.ceiling == once + again, "what is reserved, so that a budget of the ceiling suffices"
    quoted = quoting.quote(one.ctx)
    assert quoted["turnarounds"]["likely"] == turnarounds


@pytest.mark.slow
@pytest.mark.parametrize("refuse", [0.0, 0.6])
def test_a_rehearsal_bills_flex_as_we_do(tmp_path: Path, refuse: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the SDK, against a server with an account of its own; some calls find no capacity at first."""
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, stage=FLEX, head=f"rehearsal: {{speed: 100000, flex: {{refuse: {refuse}}}}}")
    options = Options(rehearse=True, prices=[f"openai/tiny-1={PRICE}"])
    document = api.run(tmp_path / "tiny.yaml", options)
    bill = [orjson.loads(line) for path in tmp_path.rglob("billing.jsonl") for line in path.read_bytes().splitlines()]
    assert sum(Decimal(line["usd"]) for line in bill) == Decimal(str(document["usd_spent"])) > 0
    assert len(bill) >= 3 and all(line["batch"] is None for line in bill)
    at_half = sum((Decimal(line["input_tokens"]) * 1 + Decimal(line["output_tokens"]) * 4) / 1_000_000 for line in bill)
    assert sum(Decimal(line["usd"]) for line in bill) == at_half
