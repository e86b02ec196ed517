"""Landing: what may have been charged and never came is booked apart, at the provider's totals or at its bound."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from chimera_batch.calls import asking, desks
from chimera_batch.calls.spooling import Spool
from chimera_batch.cli import summary
from chimera_batch.cost import money
from chimera_batch.errors import AccountRefused, MaybeCreated, ProviderDown, ProviderError
from chimera_batch.history.facts import Attempt
from chimera_batch.providers import calling
from chimera_batch.providers.faults import Fault
from chimera_batch.records import Usage
from chimera_batch.steps import collecting, recovery
from chimera_batch.verbs import deciding, statusing
from tests.support import FAR_OWNER, Bench, answered, bench, claimed, dead_owner, failed, succeeded, write_project

D = Decimal
ANSWERED = (10, 3)  # tokens of each answer of the fake host
Line = dict[str, Any]


Answer = Callable[[Line], bytes | None]


def ok(line: Line) -> bytes:
    return answered(line["custom_id"])


def without(*numbers: int, instead: Callable[[str], bytes | None] = lambda _: None) -> Callable[[Line], bytes | None]:
    """Answers, but for some of the lines."""
    asked: list[str] = []

    def make(line: Line) -> bytes | None:
        asked.append(line["custom_id"])
        return instead(line["custom_id"]) if len(asked) - 1 in numbers else ok(line)

    return make


def unmetered(custom_id: str) -> bytes:
    """An answer of a host that leaves the usage out."""
    line = orjson.loads(answered(custom_id))
    del line["response"]["body"]["usage"]
    return orjson.dumps(line)


def sent(folder: Path, **profile: Any) -> Bench:
    """Three requests at the host."""
    one = bench(write_project(folder), **profile)
    one.go()
    assert len(one.host.batches) == 1
    return one


def landed(one: Bench, make: Any, status: str = "completed", usage: Usage | None = None) -> Attempt:
    batch = next(iter(one.host.batches.values()))
    batch.usage = usage
    one.host.answer(batch.id, make, status)
    one.go()
    if one.pairs[0][1].is_open:  # a batch without files is believed only when it has stayed so
        one.clock.sleep(one.ctx.timing.settle)
        one.go()
    attempt = one.pairs[0][1]
    assert attempt.stand == "landed"
    return attempt


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A packed shard of three requests, which any number of attempts can send one after the other."""
    one = bench(write_project(tmp_path_factory.mktemp("shelf")))
    assert one.pack(one.draw())
    return one


def landed_next(one: Bench, make: Any, status: str = "completed", usage: Usage | None = None) -> Attempt:
    """The shard's next attempt, from its claim to its landing."""
    (shard,) = one.ctx.facts.shards.values()
    members = one.parquet(one.ctx.store.fetch(shard.members))
    price, number = one.ctx.price(shard), len(shard.attempts) + 1
    most = sum((price.most(row["input_bound"], shard.ceiling, batch=True) for row in members), D(0))
    claim = claimed(shard.id, number, str(most), realm=shard.realm, requests=3, price=price.as_row())
    one.ctx.ledger.write(lambda _: claim)
    attempt = shard.attempts[-1]
    lines = [orjson.dumps({"custom_id": f"{attempt.nonce}-{row['request_id']}"}) for row in members]
    batch = one.host.begin(recovery.intent_of(shard, attempt), b"\n".join(lines))
    batch.usage = usage
    one.host.answer(batch.id, make, status)
    one.ctx.ledger.submitted(shard, attempt, batch.id)
    assert collecting.land(one.ctx, shard, attempt, one.host.state(batch.id))
    return attempt


def mosts(one: Bench) -> list[Decimal]:
    """What each of the three can cost at most, in the order of their lines."""
    shard, attempt = one.pairs[0]
    members = one.parquet(one.ctx.store.fetch(shard.members))
    price = one.ctx.price(shard)
    batch = shard.window != "now"
    found = {row["request_id"]: price.most(row["input_bound"], shard.ceiling, batch=batch) for row in members}
    assert sum(found.values()) == attempt.usd
    return list(found.values())


def tokens(given: int, made: int) -> Usage:
    return Usage(input_tokens=given, output_tokens=made)


# -- batches

ROWS: list[tuple[str, Any, str, Usage | None, Any]] = [
    # name, what comes, status, totals, the suspected dollars (a number: of so many requests at their most)
    ("all came", lambda: ok, "completed", tokens(30, 9), D(0)),
    ("all came, no totals", lambda: ok, "completed", None, D(0)),
    ("one missing, no totals", lambda: without(1), "completed", None, 1),
    ("one missing, executed", lambda: without(1), "completed", tokens(35, 11), D("0.000035")),
    ("one missing, not executed", lambda: without(1), "completed", tokens(20, 6), D(0)),
    ("one missing, totals beyond reason", lambda: without(1), "completed", tokens(9_999, 9_999), 1),
    ("one missing, totals below the rows", lambda: without(1), "completed", tokens(19, 6), 1),
    ("all missing, no totals", lambda: without(0, 1, 2), "completed", None, 3),
    ("all missing, executed", lambda: without(0, 1, 2), "completed", tokens(31, 10), D("0.000071")),
    ("expired, no totals", lambda: without(0, 2), "expired", None, D(0)),
    ("cancelled, no totals", lambda: without(0, 2), "cancelled", None, D(0)),
    ("expired, but executed", lambda: without(0, 2), "expired", tokens(20, 9), D("0.000034")),
    ("a line cut in half", lambda: without(0, instead=lambda i: answered(i)[:40]), "completed", None, 1),
    (
        "a line cut in half of an expired batch",
        lambda: without(0, instead=lambda i: answered(i)[:40]),
        "expired",
        None,
        1,
    ),
    ("an error, no totals", lambda: without(0, instead=failed), "completed", None, D(0)),
    ("an error that was charged", lambda: without(0, instead=failed), "completed", tokens(25, 6), D("0.000005")),
    ("an answer without usage", lambda: without(0, instead=unmetered), "completed", None, 1),
    (
        "an answer without usage, in the totals",
        lambda: without(0, instead=unmetered),
        "completed",
        tokens(29, 8),
        D("0.000017"),
    ),
    ("somebody else's line", lambda: without(0, instead=lambda i: answered("f" * 8 + i[8:])), "completed", None, 1),
]


@pytest.mark.parametrize(("make", "status", "usage", "suspected"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS])
def test_what_a_batch_may_have_charged_for_nothing(
    make: Callable[[], Answer], status: str, usage: Usage | None, suspected: Any, shelf: Bench
) -> None:
    one = shelf
    before, said = one.ctx.facts.suspected("tiny"), len(one.said)
    attempt = landed_next(one, make(), status, usage)
    expected = suspected if isinstance(suspected, Decimal) else sum(_dearest(one, suspected, attempt), D(0))
    assert attempt.suspected == expected
    assert one.ctx.facts.suspected("tiny") - before == expected
    assert attempt.reported == (None if usage is None else {name: getattr(usage, name) for name in Usage._fields})
    rows = one.parquet(one.ctx.store.fetch(attempt.answers[0]))
    assert attempt.billed == sum(row["usd"] for row in rows)
    told = any("suspected: possibly charged, never delivered" in line for line in one.said[said:])
    assert told == (expected > 0)


def _dearest(one: Bench, count: int, attempt: Attempt) -> list[Decimal]:
    """The three rows are equally long, so that it does not matter which of them is missing."""
    shard = one.pairs[0][0]
    price, members = one.ctx.price(shard), one.parquet(one.ctx.store.fetch(shard.members))
    (most,) = {price.most(row["input_bound"], shard.ceiling, batch=True) for row in members}
    assert most * 3 == attempt.usd
    return [most] * count


def test_totals_below_the_rows_are_said(shelf: Bench) -> None:
    before = len(shelf.said)
    assert landed_next(shelf, ok, usage=tokens(29, 9)).suspected == 0
    (said,) = [line for line in shelf.said[before:] if "totals" in line]
    assert said.endswith(
        "the provider's totals are below the sum of its rows: they come to 29 input and 9 output tokens, "
        "its rows to 30 input and 9 output tokens; the bill rests on the rows"
    )


def test_totals_above_rows_that_all_came_are_said_and_not_suspected(shelf: Bench) -> None:
    before = len(shelf.said)
    assert landed_next(shelf, ok, usage=tokens(31, 9)).suspected == 0
    assert any("above all that its requests can account for" in line for line in shelf.said[before:])


def test_a_host_without_totals_keeps_the_reservation_of_what_is_missing(tmp_path: Path) -> None:
    """Anthropic: as many results as it likes to give, and no totals."""
    project = write_project(tmp_path, provider="anthropic")
    one = bench(project)
    one.go()
    asked: list[str] = []

    def make(line: Line) -> bytes | None:
        asked.append(line["custom_id"])
        return succeeded(line["custom_id"]) if len(asked) > 1 else None

    attempt = landed(one, make, "ended")
    assert attempt.outcomes == {"ok": 2, "missing": 1}
    assert attempt.suspected == mosts(one)[0] > 0


def test_suspected_dollars_keep_their_place_in_the_budget(tmp_path: Path) -> None:
    """Three requests are lost; for three more there is not quite the room, so two go."""
    one = sent(tmp_path)
    reserved = one.pairs[0][1].usd
    short = bench(one.ctx.project, host=one.host, store=one.ctx.store, budget=str(reserved * 2 - D("0.000001")))
    batch = next(iter(one.host.batches.values()))
    one.host.answer(batch.id, without(0, 1, 2))
    short.go()
    ((_, first), *others) = short.pairs
    assert first.suspected == reserved
    assert short.ctx.facts.committed("tiny") <= reserved * 2 - D("0.000001")
    assert sum(attempt.requests for _, attempt in others) == 2


def test_a_file_that_is_refused_as_a_whole_costs_nothing(tmp_path: Path) -> None:
    one = sent(tmp_path)
    batch = next(iter(one.host.batches.values()))
    batch.usage = tokens(500, 500)  # nonsense: nothing was executed
    one.host.answer(batch.id, lambda _: None, "failed")
    with suppress(ProviderError):
        one.go()
    assert one.pairs[0][1].suspected == 0


# -- written off


def stuck(folder: Path, usage: Usage | None = None, status: str = "completed") -> Bench:
    """A batch whose results cannot be read."""
    one = sent(folder)
    shard, attempt = one.pairs[0]
    batch = next(iter(one.host.batches.values()))
    batch.usage, batch.status = usage, status
    one.ctx.ledger.stuck(shard, attempt, "its file is gone")
    return one


@pytest.mark.parametrize(
    ("usage", "status", "suspected"),
    [
        (None, "completed", None),
        (tokens(40, 20), "completed", D("0.00012")),
        (tokens(40, 20), "in_progress", None),  # not over: more may come
        (tokens(9_999, 9_999), "completed", None),
        (None, "failed", D(0)),  # the provider refused the file
    ],
)
def test_what_is_written_off_is_suspected_at_what_the_provider_tells(
    usage: Usage | None, status: str, suspected: Decimal | None, tmp_path: Path
) -> None:
    one = stuck(tmp_path, usage, status)
    shard, attempt = one.pairs[0]
    deciding.resend(one.ctx, shard.id)
    assert (attempt.stand, attempt.written_off) == ("dropped", True)
    assert attempt.suspected == (attempt.usd if suspected is None else suspected)
    assert one.ctx.facts.reserved("tiny") == 0


def test_what_is_written_off_while_the_provider_is_away_keeps_its_reservation(tmp_path: Path) -> None:
    one = stuck(tmp_path, tokens(40, 20))
    one.host.trouble["state"] = [ProviderDown("away")]
    deciding.resend(one.ctx, one.pairs[0][0].id)
    assert one.pairs[0][1].suspected == one.pairs[0][1].usd


def test_a_lost_create_that_a_person_sends_again_may_have_been_charged(tmp_path: Path) -> None:
    """Nobody knows whether there is a batch. If it shows as a stray later, that is the same one."""
    one = bench(write_project(tmp_path), keeps_metadata=False, deletes_files=False)
    one.host.trouble["create"] = [MaybeCreated("the connection broke")]
    one.go()
    shard, attempt = one.pairs[0]
    assert attempt.stand == "claimed" and attempt.doubted_at is not None
    deciding.resend(one.ctx, shard.id)
    assert attempt.suspected == attempt.usd
    one.ctx.ledger.stray(shard, attempt, "batch-late")
    assert attempt.suspected == attempt.usd


def test_a_claim_of_which_nothing_was_sent_is_given_up_for_nothing(tmp_path: Path) -> None:
    one = sent(tmp_path)
    shard = one.pairs[0][0]
    one.ctx.ledger.dropped(shard, one.pairs[0][1], "for this test")
    one.ctx.ledger.write(
        lambda _: claimed(shard.id, 2, usd="1", realm=shard.realm, stage="one", lease_until=one.clock() + 900)
    )
    deciding.resend(one.ctx, shard.id)
    assert one.pairs[1][1].stand == "dropped"
    assert one.ctx.facts.suspected("tiny") == 0


# -- strays


@pytest.mark.parametrize(
    ("status", "usage", "suspected"),
    [
        ("cancelled", tokens(20, 5), D("0.00004")),
        ("completed", tokens(20, 5), D("0.00004")),
        ("failed", None, D(0)),
        ("cancelled", None, None),  # it tells nothing: the reservation stays
    ],
)
def test_a_stray_that_has_stopped_costs_what_the_provider_tells(
    status: str, usage: Usage | None, suspected: Decimal | None, tmp_path: Path
) -> None:
    one = sent(tmp_path)
    shard, attempt = one.pairs[0]
    one.ctx.ledger.dropped(shard, attempt, "for this test")
    one.ctx.ledger.stray(shard, attempt, attempt.batch or "")
    recovery.cancel_strays(one.ctx, shard, attempt)  # it works: it is cancelled, and all is suspected
    assert attempt.suspected == attempt.usd
    batch = next(iter(one.host.batches.values()))
    batch.status, batch.usage = status, usage
    recovery.cancel_strays(one.ctx, shard, attempt)
    assert attempt.suspected == (attempt.usd if suspected is None else suspected)
    looks = len(one.host.called("state"))
    recovery.cancel_strays(one.ctx, shard, attempt)
    assert len(one.host.called("state")) == looks + (suspected is None)  # what is known is not asked for again


# -- synchronous calls


def asked_now(folder: Path, *trouble: Exception | None, rows: int = 3) -> Bench:
    """A stage that is asked at once, by a host that fails as told."""
    named = "SELECT printf('k%03d', i) AS row_key, 'question ' || (100 + i) AS q"
    sql = f"-- The rows.\n{named} FROM range({rows}) AS t(i)\n"
    one = bench(write_project(folder, {"sql/tiny/one_rows.sql": sql}, stage=", window: now"))
    one.host.trouble["ask"] = list(trouble)
    return one


LOST, AWAY = ProviderDown("no reply", lost=True), ProviderDown("HTTP 429")


@pytest.mark.parametrize(
    ("trouble", "lost"),
    [
        ((None,), 0),
        ((LOST,), 1),
        ((AWAY,), 0),
        ((None, LOST), 1),
        ((AWAY, LOST), 1),
        ((LOST, LOST, LOST), 3),
        ((AWAY, AWAY, AWAY), 0),
        ((RuntimeError("a bug after the reply came"),), 1),
    ],
)
def test_a_call_whose_reply_was_lost_may_have_been_charged(
    trouble: tuple[Exception | None, ...], lost: int, tmp_path: Path
) -> None:
    one = asked_now(tmp_path, *trouble)
    with suppress(RuntimeError):
        one.go()
    attempt = one.pairs[0][1]
    assert attempt.stand == "landed"
    assert attempt.suspected == lost * mosts(one)[0]
    assert attempt.reported is None
    assert attempt.outcomes.get("ok", 0) == 3 - sum(error is not None for error in trouble)


def test_an_account_that_refuses_is_not_charged(tmp_path: Path) -> None:
    one = asked_now(tmp_path, AccountRefused("no money"))
    with pytest.raises(AccountRefused):
        one.go()
    assert one.pairs[0][1].stand == "landed"
    assert one.pairs[0][1].suspected == 0


def test_calls_that_were_never_begun_count_for_nothing(tmp_path: Path) -> None:
    """After the first failure no call begins: at most eight were under way."""
    one = asked_now(tmp_path, LOST, rows=60)
    one.go()
    shard, attempt = one.pairs[0]
    assert attempt.outcomes["ok"] < 60
    price = one.ctx.price(shard)
    most = {price.most(row["input_bound"], 100, batch=False) for row in one.parquet(one.ctx.store.fetch(shard.members))}
    assert most == {attempt.suspected}


def test_an_error_that_the_host_answers_with_is_a_row_and_costs_nothing(tmp_path: Path) -> None:
    one = asked_now(tmp_path)
    one.host.ask = lambda line: failed(orjson.loads(line)["custom_id"])  # type: ignore[method-assign]
    one.go()
    attempt = one.pairs[0][1]
    assert attempt.outcomes == {"error": 3}
    assert attempt.suspected == 0


# -- synchronous calls of a process that died


def died(folder: Path, owner: str, record: bytes | None, replies: bytes | None) -> Bench:
    """A claim of three calls, and what its owner left in the spool. ``{0}``: the first id, and so on."""
    one = asked_now(folder)
    first = bench(one.ctx.project, host=one.host, store=one.ctx.store, owner=owner)
    paths = first.draw()
    assert first.pack(paths)
    one.ctx.ledger.refresh()
    (shard,) = one.ctx.facts.shards.values()
    claim = claimed(
        shard.id,
        realm=shard.realm,
        requests=3,
        usd="0.003",
        price=one.ctx.price(shard).as_row(),
        lease_until=one.clock() - 1,
    )
    first.ctx.ledger.write(lambda _: claim)
    one.ctx.ledger.refresh()
    ids = [row["request_id"] for row in one.parquet(one.ctx.store.fetch(shard.members))]
    attempt = shard.attempts[0]
    spool = desks.spool_of(one.ctx, shard, attempt)
    spool.path.parent.mkdir(parents=True)
    for path, data in ((spool.path.with_suffix(".begun"), record), (spool.path, replies)):
        if data is not None:
            full = {f"cid{n}": f"{attempt.nonce}-{identity}" for n, identity in enumerate(ids)}
            text = data.decode()
            for n, identity in enumerate(ids):
                text = text.replace(f"<{n}>", identity)
            for name, value in full.items():
                text = text.replace(f"<{name}>", value)
            path.write_text(text)
    return one


def reply(number: int) -> bytes:
    return answered(f"<cid{number}>") + b"\n"


@pytest.mark.parametrize(
    ("owner", "record", "replies", "answers", "lost"),
    [
        ("dead", b"+<0>\n+<1>\n", reply(0), 1, 1),
        ("dead", b"+<0>\n+<1>\n-<1>\n", reply(0), 1, 0),
        ("dead", b"+<0>\n+<1>\n+<2>\n", b"", 0, 3),
        ("dead", b"+<0>\n+<1>\n+<2>\n", reply(0) + reply(1)[:50], 1, 2),  # cut off while it was written
        ("dead", b"+<0>\n+<1", reply(0), 1, 0),  # the second call waits for the disk, and never began
        ("dead", b"", b"", 0, 0),
        ("dead", None, None, 0, 0),  # it died before its first call
        ("dead", None, reply(0), 1, 2),  # an older version: up to eight were under way
        ("far", None, None, 0, 3),  # its spool is on the other machine
    ],
)
def test_what_a_dead_process_may_have_been_charged(
    owner: str, record: bytes | None, replies: bytes | None, answers: int, lost: int, tmp_path: Path
) -> None:
    one = died(tmp_path, dead_owner() if owner == "dead" else FAR_OWNER, record, replies)
    shard, attempt = one.pairs[0]
    assert asking.recover(one.ctx, shard, attempt)
    assert attempt.outcomes.get("ok", 0) == answers
    price = one.ctx.price(shard)
    mosts = [price.most(r["input_bound"], 100, batch=False) for r in one.parquet(one.ctx.store.fetch(shard.members))]
    assert attempt.suspected == sum(sorted(mosts, reverse=True)[:lost], D(0))
    assert list(desks.spool_of(one.ctx, shard, attempt).path.parent.iterdir()) == []


def test_of_an_older_version_at_most_eight_calls_were_under_way(tmp_path: Path) -> None:
    one = asked_now(tmp_path)
    spool = Spool(tmp_path / "old.jsonl")
    spool.path.touch()
    known = desks.calls_made(_attempt(one, dead_owner()), spool)
    assert (known.begun, known.some) == (frozenset(), 8)


def test_the_claimer_made_the_calls_whoever_took_over_since(tmp_path: Path) -> None:
    one, nothing = asked_now(tmp_path), Spool(tmp_path / "none.jsonl")
    attempt = _attempt(one, dead_owner())
    attempt.taken_from = [FAR_OWNER]
    assert desks.calls_made(attempt, nothing).begun is None
    attempt.owner, attempt.taken_from = FAR_OWNER, [dead_owner()]
    assert desks.calls_made(attempt, nothing).begun == frozenset()


def _attempt(one: Bench, owner: str) -> Attempt:
    fields = {name: value for name, value in claimed().items() if name in Attempt.__slots__}
    return Attempt(**{**fields, "number": 1, "usd": D(1), "owner": owner, "at": one.clock()})


@pytest.mark.parametrize(
    ("fault", "lost"),
    [
        (Fault("no reply (ReadTimeout)"), True),
        (Fault("the reply is not what the API gives", status=200), True),
        (Fault("no reply (ConnectError)", sent=False), False),
        (Fault("HTTP 429", status=429), False),
        (Fault("HTTP 500", status=500), False),
        (Fault("HTTP 504", status=504), True),  # a gateway gave up; the host may be at work
        (Fault("HTTP 529", status=529, code="overloaded_error"), False),
    ],
)
def test_which_failures_may_have_been_charged(fault: Fault, lost: bool) -> None:
    caller = calling.Caller("host", (), "key", sleep=lambda _: None)
    tried: list[int] = []

    def fail() -> None:
        tried.append(1)
        raise calling.SaidError(fault)

    with pytest.raises(ProviderDown) as raised:
        caller.ask("asking", fail)
    assert raised.value.lost is lost
    assert (len(tried) == 1) == lost  # what may have been paid for is not repeated


# -- what a person sees


def test_the_status_says_which_attempts_are_suspected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = sent(tmp_path)
    attempt = landed(one, without(0))
    document = statusing.status(one.ctx)
    (stage,) = document["stages"]
    expected = float(round(attempt.suspected, 6))
    assert document["usd_suspected"] == stage["usd_suspected"] == stage["batches"][0]["usd_suspected"] == expected > 0
    assert stage["batches"][1]["usd_suspected"] == 0
    summary.summary(document)
    shown = capsys.readouterr().out
    said = f"suspected {money.dollars(expected)}: possibly charged, never delivered ({one.pairs[0][0].id} batch-1)"
    assert said in shown


def test_a_status_without_suspicion_says_nothing_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = sent(tmp_path)
    landed(one, ok)
    summary.summary(statusing.status(one.ctx))
    assert "suspected" not in capsys.readouterr().out


def test_the_dearest_attempts_are_named_and_the_others_counted() -> None:
    batches = [{"shard": f"s{n}", "id": None, "attempt": n, "usd_suspected": n / 100} for n in range(6)]
    said = summary._suspects({"stages": [{"batches": batches}]})
    assert said == " (s5 attempt 5, s4 attempt 4, s3 attempt 3, 2 more)"
    assert summary._suspects({"stages": []}) == ""
