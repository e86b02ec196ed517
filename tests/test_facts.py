"""The fold: what each event does to the facts, and what no sequence of events can break."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chimera_batch.errors import StoreConflict
from chimera_batch.history.facts import Asked, Attempt, Ended, Facts, Stand, Table
from chimera_batch.history.folding import EVENT_TYPES, apply
from chimera_batch.history.ledger import Ledger
from chimera_batch.history.sightings import Look
from chimera_batch.history.undone import OutOfMoney, Undone
from tests.support import NOW, REALM, Clock, MemoryStore, claimed, landing, packed

AT = {"realm": REALM, "shard": "s", "attempt": 1}
TABLE = {"fingerprint": "f", "key": "k", "sha256": "d", "rows": 3, "standing": {"answered": 3}, "outcomes": {"ok": 3}}
ASKED = {"type": "asked", "run": "tiny", "stage": "one", "fingerprint": "f", "key": "k", "rows": 3, "requests": 6}


def pack(shard: str = "s", **changes: Any) -> dict[str, Any]:
    return {"type": "packed", **packed(shard, **changes)}


def fold(*events: dict[str, Any], by: str = "me") -> Facts:
    facts = Facts()
    for number, event in enumerate(events, 1):
        apply(facts, {"n": number, "at": NOW + number, "by": by, "nonce": "00", **event})
    return facts


def sent(*more: dict[str, Any]) -> Attempt:
    """The attempt of one packed and claimed shard, after further events about it."""
    facts = fold(pack(), claimed(usd="1.50"), *({**AT, **event} for event in more))
    return facts.shards[f"{REALM}/s"].attempts[0]


def land(**changes: Any) -> dict[str, Any]:
    return {"type": "landed", **landing(**changes)}


SUBMITTED = {"type": "submitted", "batch": "batch-1"}
STUCK = {"type": "stuck", "reason": "two candidates"}
STRAY = {"type": "stray", "batch": "batch-9"}
REPORTED = {"input_tokens": 70, "output_tokens": 8}
DROPPED = {"type": "dropped", "reason": "no batch was created"}

ATTEMPTS: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
    ("claimed", [], {"stand": "claimed", "status": "claimed", "usd": Decimal("1.50"), "owner": "me", "batch": None}),
    (
        "uploaded",
        [{"type": "uploaded", "file": "f-1", "lease_until": NOW + 99}],
        {"file": "f-1", "lease_until": NOW + 99},
    ),
    (
        "submitted",
        [SUBMITTED],
        {"stand": "submitted", "batch": "batch-1", "submitted_at": NOW + 3, "status": "submitted"},
    ),
    (
        "seen",
        [SUBMITTED, {"type": "seen", "status": "in_progress", "done": 4}],
        {"status": "in_progress", "done": 4, "seen_at": NOW + 4},
    ),
    ("stuck", [STUCK], {"stand": "stuck", "status": "stuck", "reason": "two candidates"}),
    ("stuck, then adopted", [STUCK, SUBMITTED], {"stand": "submitted", "batch": "batch-1", "reason": None}),
    (
        "landed",
        [SUBMITTED, land(quarantined=2)],
        {
            "stand": "landed",
            "status": "completed",
            "done": 10,
            "answers": ["answers/a"],
            "outcomes": {"ok": 10},
            "billed": Decimal("0.25"),
            "quarantined": 2,
            "landed_at": NOW + 4,
        },
    ),
    (
        "landed in parts",
        [SUBMITTED, land(final=False, outcomes={"ok": 4}), land(key="answers/b", outcomes={"ok": 5, "error": 1})],
        {
            "stand": "landed",
            "answers": ["answers/a", "answers/b"],
            "outcomes": {"ok": 9, "error": 1},
            "billed": Decimal("0.50"),
        },
    ),
    (
        "landed with doubts",
        [SUBMITTED, land(usd="0.2", suspected="0.03", reported=REPORTED)],
        {"billed": Decimal("0.2"), "suspected": Decimal("0.03"), "reported": REPORTED},
    ),
    (
        "landed in parts with doubts",
        [SUBMITTED, land(final=False, suspected="0.5"), land(key="answers/b", suspected="0.25", reported=None)],
        {"suspected": Decimal("0.75"), "reported": None},
    ),
    ("landed by an older version", [SUBMITTED, land()], {"suspected": 0, "reported": None}),
    ("landed in part", [SUBMITTED, land(final=False)], {"stand": "submitted", "landed_at": None}),
    ("renewed", [{"type": "renewed", "lease_until": NOW + 99}], {"stand": "claimed", "lease_until": NOW + 99}),
    ("doubted", [{"type": "doubted"}], {"stand": "claimed", "doubted_at": NOW + 3}),
    (
        "disowned",
        [SUBMITTED, {"type": "disowned", "batch": "batch-1"}],
        {
            "stand": "claimed",
            "status": "claimed",
            "batch": None,
            "submitted_at": None,
            "disowned": {"batch-1"},
            "doubted_at": NOW + 4,
        },
    ),
    ("a stray", [DROPPED, {"type": "stray", "batch": "batch-9"}], {"stand": "dropped", "strays": ["batch-9"]}),
    (
        "a stray whose cost is known",
        [DROPPED, STRAY, {"type": "stray_over", "batch": "batch-9", "suspected": "0.01"}],
        {"strays": ["batch-9"], "strays_over": {"batch-9"}, "suspected": Decimal("0.01")},
    ),
    (
        "a stray whose cost is told twice",
        [DROPPED, STRAY, *[{"type": "stray_over", "batch": "batch-9", "suspected": "0.01"}] * 2],
        {"suspected": Decimal("0.01")},
    ),
    (
        "one stray of two whose cost is known",
        [DROPPED, STRAY, {**STRAY, "batch": "batch-8"}, {"type": "stray_over", "batch": "batch-9", "suspected": "0"}],
        {"suspected": Decimal("1.50")},
    ),
    (
        "given up with a batch, by an older version",
        [SUBMITTED, STUCK, DROPPED],
        {"written_off": True, "suspected": Decimal("1.50")},
    ),
    ("given up without one, by an older version", [STUCK, DROPPED], {"written_off": False, "suspected": 0}),
    (
        "given up, and the provider told what it cost",
        [SUBMITTED, STUCK, {**DROPPED, "suspected": "0.4", "reported": REPORTED}],
        {"written_off": True, "suspected": Decimal("0.4"), "reported": REPORTED},
    ),
    (
        "given up, and the batch that nobody knew shows late",
        [STUCK, {**DROPPED, "suspected": "1.50", "reported": None}, STRAY],
        {"strays": ["batch-9"], "suspected": Decimal("1.50")},
    ),
    (
        "given up, and two batches show late",
        [STUCK, {**DROPPED, "suspected": "1.50", "reported": None}, STRAY, {**STRAY, "batch": "batch-8"}],
        {"suspected": Decimal("3.00")},
    ),
    ("dropped", [DROPPED], {"stand": "dropped", "status": "dropped", "reason": "no batch was created"}),
    ("dropped by a full queue", [{**DROPPED, "queue_full": True}], {"stand": "dropped", "queue_full_at": NOW + 3}),
    ("dropped otherwise", [{**DROPPED, "queue_full": False}], {"stand": "dropped", "queue_full_at": None}),
    ("cleaned", [SUBMITTED, land(), {"type": "cleaned"}], {"stand": "landed", "cleaned": True}),
    ("cancel", [SUBMITTED, {"type": "cancel"}], {"stand": "submitted", "cancel_asked": True}),
]


@pytest.mark.parametrize(("events", "after"), [row[1:] for row in ATTEMPTS], ids=[row[0] for row in ATTEMPTS])
def test_what_an_event_does_to_its_attempt(events: list[dict[str, Any]], after: dict[str, Any]) -> None:
    attempt = sent(*events)
    assert {name: getattr(attempt, name) for name in after} == after


@pytest.mark.parametrize(
    ("events", "is_open"),
    [([], True), ([SUBMITTED], True), ([STUCK], True), ([SUBMITTED, land()], False), ([DROPPED], False)],
    ids=["claimed", "submitted", "stuck", "landed", "dropped"],
)
def test_only_what_may_still_cost_is_open(events: list[dict[str, Any]], is_open: bool) -> None:
    facts = fold(pack(), claimed(usd="1.50"), *({**AT, **event} for event in events))
    shard = facts.shards[f"{REALM}/s"]
    assert (shard.current is not None) == is_open
    assert facts.reserved("tiny") == (Decimal("1.50") if is_open else 0)


def test_a_taken_claim_has_a_new_owner_and_remembers_the_old_one() -> None:
    facts = fold(pack(), claimed())
    apply(facts, {"type": "taken", "by": "other", "at": NOW, "lease_until": NOW + 99, **AT})
    attempt = facts.shards[f"{REALM}/s"].attempts[0]
    assert (attempt.owner, attempt.taken_from, attempt.lease_until) == ("other", ["me"], NOW + 99)


def test_the_current_attempt_is_the_last_one_if_it_is_open() -> None:
    facts = fold(pack(), claimed(), {**AT, **DROPPED}, claimed(attempt=2))
    shard = facts.shards[f"{REALM}/s"]
    assert shard.current is shard.attempts[1]
    assert fold(pack()).shards[f"{REALM}/s"].current is None


def test_run_and_table() -> None:
    facts = fold(
        {"type": "run", "run": "a", "manifest": "a.yaml"},
        {"type": "run", "run": "b", "manifest": "b.yaml"},
        {"type": "run", "run": "a", "manifest": "a2.yaml"},
        {"type": "table", "run": "a", "stage": "one", **TABLE},
    )
    assert facts.last_run == "a"
    assert facts.manifests == {"a": "a2.yaml", "b": "b.yaml"}
    assert facts.tables == {("a", "one"): Table("f", "k", "d", 3, {"answered": 3}, {"ok": 3})}


def test_a_run_is_halted_until_it_is_started_again() -> None:
    halts = [{"type": "halted", "run": name} for name in ("a", "b")]
    assert fold(*halts).halted == {"a", "b"}
    assert fold(*halts, {"type": "run", "run": "a", "manifest": "a.yaml"}).halted == {"b"}


def test_asking_a_round_again_forgets_the_later_ones() -> None:
    rounds = [{**ASKED, "round": number} for number in (1, 2, 3)]
    facts = fold(*rounds, {**ASKED, "round": 2, "fingerprint": "new"}, {**ASKED, "stage": "two", "round": 9})
    assert facts.asked["tiny", "one"] == {1: Asked(1, "f", "k", 3, 6), 2: Asked(2, "new", "k", 3, 6)}
    assert list(facts.asked["tiny", "two"]) == [9]


def test_waves_are_over_until_another_round_is_asked() -> None:
    ended = {"type": "ended", "run": "tiny", "stage": "one", "fingerprint": "e", "rounds": 2, "reason": "max"}
    facts = fold({**ASKED, "round": 1}, {**ASKED, "round": 2}, ended)
    assert facts.ended == {("tiny", "one"): Ended("e", 2, "max")}
    apply(facts, {**ASKED, "stage": "two", "round": 1})
    assert facts.ended == {("tiny", "one"): Ended("e", 2, "max")}
    apply(facts, {**ASKED, "round": 3})
    assert facts.ended == {}


@pytest.mark.parametrize(
    ("known", "other", "stands"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a:1", "a:2", True),
        ("a:1", "b:1", False),
        ("a", "a:1", False),
        ("a:1", "a", False),
    ],
)
def test_the_first_drawing_of_a_wave_stands_for_later_ones(known: str, other: str, stands: bool) -> None:
    assert Asked(2, known, "k", 3, 6).stands_for(Asked(2, other, "l", 4, 8)) is stands


def quote(spent: str, likely: str = "10", stage: str = "one", **event: Any) -> dict[str, Any]:
    """A ``quoted`` event about one stage, by what was spent and what the rest was said to cost."""
    usd = {"low": "8", "likely": likely, "high": "13", "ceiling": "50"}
    entry = {"stage": stage, "requests": 7, "usd": usd, "basis": "assumed", "spent": spent}
    return {"type": "quoted", "run": "tiny", "stages": [entry], "fingerprint": "f", **event}


def test_a_quote_is_of_the_whole_stage() -> None:
    facts = fold(quote("2.5"), {**quote("0", stage="two"), "run": "other"})
    found = facts.quoted("tiny", "one")
    assert found is not None
    assert found.total() == (Decimal("10.5"), Decimal("12.5"), Decimal("15.5"), Decimal("52.5"))
    assert (found.fingerprint, found.requests, found.basis) == ("f", 7, "assumed") and found.at >= NOW
    assert set(facts.quotes) == {("tiny", "one"), ("other", "two")}
    assert facts.quoted("tiny", "two") is None


@pytest.mark.parametrize(
    ("spents", "billed", "counts"),
    [
        (["0"], None, 0),  # nothing is spent yet
        (["0", "0"], None, 1),  # the manifest changed: the last word
        (["0", "3"], "20", 1),  # after a sample
        (["0", "3", "15"], "20", 1),  # and one when nearly all was spent
        (["0", "10"], "15", 1),  # two thirds of it count still
        (["0", "10.01"], "15", 0),
        (["12", "15"], "20", 0),  # quoted late only: the first
    ],
)
def test_a_bill_is_held_against_what_was_said_before_most_of_it(
    spents: list[str], billed: str | None, counts: int
) -> None:
    paid = [pack(), claimed(usd="30"), {**AT, **SUBMITTED}, {**AT, **land(usd=billed)}] if billed else []
    facts = fold(*(quote(spent, likely=str(n)) for n, spent in enumerate(spents)), *paid)
    found = facts.quoted("tiny", "one")
    assert found is not None and found.likely == counts


def test_reservations_and_suspicions_count_as_committed_against_quotes() -> None:
    paid = [pack(), claimed(usd="30")]
    assert getattr(fold(quote("0"), quote("12", likely="1"), *paid).quoted("tiny", "one"), "likely", None) == 1
    lost = [*paid, {**AT, **SUBMITTED}, {**AT, **land(usd="10", suspected="15")}]
    assert getattr(fold(quote("0"), quote("12", likely="1"), *lost).quoted("tiny", "one"), "likely", None) == 1


def test_packs_are_counted_by_realm() -> None:
    facts = fold(pack("a"), pack("b"), pack("a", realm="other@host"))
    assert facts.packs == {REALM: 2, "other@host": 1}
    assert {shard.id for shard in facts.in_realm(REALM)} == {"a", "b"}
    assert len(facts.shards) == 3  # the same name in two realms is two shards


def test_retry_forgives_what_is_settled_by_then() -> None:
    facts = fold(
        pack("done"),
        pack("open"),
        claimed("done"),
        {**AT, "shard": "done", **SUBMITTED},
        {**AT, "shard": "done", **land()},
        claimed("open"),
        {"type": "retry", "run": "tiny", "stage": "one"},
        claimed("done", attempt=2),
    )
    forgiven = {(shard.id, attempt.number): attempt.forgiven for shard, attempt in facts.attempts()}
    assert forgiven == {("done", 1): {("tiny", "one")}, ("open", 1): set(), ("done", 2): set()}
    assert facts.retries == {("tiny", "one"): 1}


def test_spent_and_reserved_by_run_and_stage() -> None:
    facts = fold(
        *(pack(name) for name in "abcd"),
        claimed("a", usd="1"),
        claimed("b", usd="10", stage="two"),
        claimed("c", usd="100", run="other"),
        {**AT, "shard": "c", **SUBMITTED},
        {**AT, "shard": "c", **land(usd="0.5")},
        claimed("d", usd="1000"),
        {**AT, "shard": "d", **SUBMITTED},
        {**AT, "shard": "d", **land(usd="0.000000000001")},
    )
    assert facts.reserved("tiny") == 11
    assert (facts.reserved("tiny", "one"), facts.reserved("tiny", "two")) == (1, 10)
    assert facts.spent("tiny") == facts.spent("tiny", "one") == Decimal("0.000000000001")
    assert (facts.spent("other"), facts.reserved("other")) == (Decimal("0.5"), 0)
    assert facts.batch_ids(REALM) == {"batch-1"}
    assert facts.batch_ids("other@host") == set()


def test_a_stray_batch_may_have_cost_what_its_attempt_reserved() -> None:
    strays = [{**AT, "type": "stray", "batch": name} for name in ("batch-8", "batch-9")]
    facts = fold(pack(), claimed(usd="1.50"), {**AT, **DROPPED}, *strays)
    assert facts.suspected("tiny") == facts.suspected("tiny", "one") == 3
    assert (
        facts.suspected("other") == facts.suspected("tiny", "two") == facts.reserved("tiny") == facts.spent("tiny") == 0
    )
    assert facts.batch_ids(REALM) == {"batch-8", "batch-9"}


def test_suspected_dollars_are_counted_by_run_and_stage_and_beside_the_bill() -> None:
    facts = fold(
        *(pack(name) for name in "abc"),
        claimed("a", usd="1"),
        claimed("b", usd="1", stage="two"),
        claimed("c", usd="1", run="other"),
        *({**AT, "shard": name, **land(usd="0.5", suspected=f"0.0{n}")} for n, name in enumerate("abc", 1)),
    )
    assert (facts.suspected("tiny"), facts.suspected("tiny", "two")) == (Decimal("0.03"), Decimal("0.02"))
    assert facts.suspected("other") == Decimal("0.03")
    assert facts.spent("tiny") == 1
    assert facts.committed("tiny") == Decimal("1.03")


STOPPED = OutOfMoney(
    left=(
        Undone("one", 9, Decimal("0.000000000012"), Decimal("0.000000000004")),
        Undone("two", 1, Decimal(2), Decimal(2)),
    ),
    not_begun=("dataset",),
    caps={"run": Decimal("0.5")},
    again=("run", "--until", "one"),
)


def test_a_run_that_a_budget_stopped_is_known_as_it_was_until_somebody_goes_on() -> None:
    stopped = {"type": "out_of_money", "run": "tiny", **json.loads(json.dumps(STOPPED.fields()))}
    assert fold(stopped).out_of_money == {"tiny": STOPPED}
    other = {"type": "run", "run": "other", "manifest": "o.yaml"}
    assert fold(pack(), stopped, claimed(run="other"), other).out_of_money == {"tiny": STOPPED}
    for on in (
        claimed(),
        {"type": "run", "run": "tiny", "manifest": "t.yaml"},
        {"type": "retry", "run": "tiny", "stage": "one"},
    ):
        assert fold(pack(), stopped, on).out_of_money == {}, on


def test_an_unknown_type_is_left_alone() -> None:
    facts = fold(pack(), claimed(), {"type": "blessed", "shard": 7})
    assert facts == fold(pack(), claimed())


def test_every_type_is_tried_here() -> None:
    tried = {event["type"] for row in ATTEMPTS for event in row[1]}
    assert (
        tried
        | {"claimed", "packed", "run", "halted", "asked", "taken", "table", "retry", "ended", "quoted", "told"}
        | {"switched", "out_of_money"}
        == EVENT_TYPES
    )


@pytest.mark.parametrize(
    "event",
    [
        {"type": "claimed"},
        {**AT, **SUBMITTED, "shard": "unknown"},
        {**AT, **SUBMITTED, "attempt": 2},
        {**AT, "type": "landed", **landing(usd="much")},
        {"type": "packed", "realm": REALM, "shard": "t"},
    ],
    ids=["fields", "shard", "attempt", "money", "half a shard"],
)
def test_an_event_that_makes_no_sense_is_an_error_that_names_it(event: dict[str, Any]) -> None:
    facts = fold(pack(), claimed())
    with pytest.raises(StoreConflict, match="event 3") as caught:
        apply(facts, {"n": 3, "at": NOW, "by": "me", **event})
    assert "restore" in str(caught.value.hint)


# -- any sequence of what the ledger can be told

VERBS = ["claim", "submit"] * 2 + ["land", "upload", "see", "stick", "part", "drop", "clean", "cancel", "retry", "take"]
VERBS += ["pack", "renew", "doubt", "disown", "stray"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(VERBS), st.sampled_from("ab"), st.integers(1, 2), st.decimals("0", "9", places=4), st.booleans()
    ),
    max_size=25,
)


def tell(ledger: Ledger, verb: str, name: str, number: int, usd: Decimal) -> None:  # noqa: PLR0912 - one branch a verb
    """Say something to the ledger, sensible or not, about an attempt that exists."""
    facts = ledger.facts
    shard = facts.shards.get(f"{REALM}/{name}")
    if verb == "pack":
        if shard is None:
            ledger.pack(packed(name), seen_packs=facts.packs.get(REALM, 0))
        return
    if verb == "retry":
        ledger.retry("tiny", "one")
        return
    if shard is None:
        return
    if verb == "claim":
        if shard.current is None:
            payload = claimed(name, len(shard.attempts) + 1, str(usd), run=("tiny", "other")[number % 2])
            ledger.write(lambda _facts: payload)
        return
    if number > len(shard.attempts):
        return
    attempt = shard.attempts[number - 1]
    if verb == "upload":
        ledger.uploaded(shard, attempt, f"file-{usd}", NOW + number)
    elif verb == "renew":
        ledger.renewed(shard, attempt, NOW + number)
    elif verb == "doubt":
        ledger.doubted(shard, attempt)
    elif verb == "disown":
        ledger.disowned(shard, attempt, attempt.batch or "none")
    elif verb == "stray":
        ledger.stray(shard, attempt, f"stray-{usd}")
    elif verb == "submit":
        ledger.submitted(shard, attempt, f"batch-{name}-{number}-{usd}")
    elif verb == "see":
        ledger.seen(shard, attempt, Look("in_progress", 3))
    elif verb == "stick":
        ledger.stuck(shard, attempt, "why")
    elif verb in {"land", "part"}:
        ledger.landed(shard, attempt, landing(str(usd), key=f"answers/{usd}", final=verb == "land"))
    elif verb == "drop":
        ledger.dropped(shard, attempt, "why")
    elif verb == "clean":
        ledger.cleaned(shard, attempt)
    elif verb == "cancel":
        ledger.cancel(shard, attempt)
    elif verb == "take":
        ledger.take_over(shard, attempt, lease_until=NOW + 1)


def stands(facts: Facts) -> dict[tuple[str, int], str]:
    return {(shard.id, attempt.number): attempt.stand for shard, attempt in facts.attempts()}


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_whatever_is_said_the_sums_hold(steps: list[tuple[str, str, int, Decimal, bool]]) -> None:
    store, clock = MemoryStore(), Clock()
    ledgers = [Ledger(store, owner=owner, clock=clock).open() for owner in ("me", "you")]
    ledgers[0].pack(packed("a"), seen_packs=0)
    spent, before = Decimal(0), stands(ledgers[0].facts)
    for verb, name, number, usd, other in steps:
        ledger = ledgers[other]
        ledger.refresh()
        tell(ledger, verb, name, number, usd)
        facts = ledger.facts
        now = stands(facts)
        assert set(now.values()) <= set(get_args(Stand))
        assert all(now[key] == stand for key, stand in before.items() if stand in {"landed", "dropped"})
        open_ones = [attempt for _, attempt in facts.attempts() if attempt.is_open]
        reserved = facts.reserved("tiny") + facts.reserved("other")
        assert reserved == sum((attempt.usd for attempt in open_ones), Decimal(0)) >= 0
        assert facts.spent("tiny") + facts.spent("other") >= spent
        spent, before = facts.spent("tiny") + facts.spent("other"), now
        for shard in facts.shards.values():
            assert sum(attempt.is_open for attempt in shard.attempts) <= 1
            assert [attempt.number for attempt in shard.attempts] == list(range(1, len(shard.attempts) + 1))
    late = Ledger(store, owner="late", clock=clock)
    late.read()
    for ledger in ledgers:
        assert ledger.refresh() == late.facts


@pytest.mark.parametrize("key", ["../../etc/passwd", "/etc/passwd", "a/../b", "a%b", "a\0b", "", 7, {"a": 1}])
@pytest.mark.parametrize(
    ("named", "events"),
    [
        ("key", [ASKED | {"round": 1}]),
        ("more", [ASKED | {"round": 1}]),
        ("key", [pack()]),
        ("members", [pack()]),
        ("schema", [pack()]),
        ("ids", [pack(), claimed()]),
        ("key", [pack(), claimed(), AT | SUBMITTED, AT | land()]),
        ("raw", [pack(), claimed(), AT | SUBMITTED, AT | land()]),
        ("key", [{"type": "table", "run": "r", "stage": "one", **TABLE}]),
    ],
)
def test_an_event_that_names_what_is_no_key_is_damaged(named: str, events: list[dict[str, Any]], key: object) -> None:
    fold(*events)
    *before, last = events
    with pytest.raises(StoreConflict, match=rf"event {len(events)} \({last['type']}\) does not fit"):
        fold(*before, last | {named: [key] if named in {"more", "raw"} else key})


@pytest.mark.parametrize("number", [float("inf"), float("nan"), "one", None, [], 0, -1, 2])
def test_an_event_about_no_attempt_is_damaged(number: object) -> None:
    with pytest.raises(StoreConflict, match=r"event 3 \(submitted\) does not fit"):
        fold(pack(), claimed(), AT | SUBMITTED | {"attempt": number})


@pytest.mark.parametrize("told", [7, ["ok"], "ok", None])
def test_counts_that_are_none_are_damaged(told: object) -> None:
    with pytest.raises(StoreConflict, match=r"event 4 \(landed\) does not fit"):
        fold(pack(), claimed(), AT | SUBMITTED, AT | land(outcomes=told))
    stopped = {"type": "out_of_money", "run": "tiny", **STOPPED.fields()}
    with pytest.raises(StoreConflict, match=r"event 1 \(out_of_money\) does not fit"):
        fold(stopped | {"caps": told})
