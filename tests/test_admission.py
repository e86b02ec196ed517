"""Admission: each limit at its exact edge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.history.facts import Facts, day_of
from chimera_batch.history.folding import apply
from chimera_batch.rules.admission import Caps, Room, Ruling, Wish, admit, fitting, largest, worth_sending
from tests.support import NOW, REALM, claimed, landing, packed

NONE = Caps(None, None, None, None)


@dataclass
class Other:
    """Another shard with one attempt, as the ledger knows it."""

    usd: str = "1"
    stand: str = "claimed"
    billed: str = "0.25"
    run: str = "tiny"
    stage: str = "one"
    realm: str = REALM
    model: str = "tiny-1"
    tokens: int = 500
    age: float = 0.0  # seconds before now


def facts_of(*others: Other) -> Facts:
    facts = Facts()

    def say(**event: Any) -> None:
        apply(facts, {"n": 1, "at": NOW, "by": "me", **event})

    say(type="packed", **packed("s"))
    for number, other in enumerate(others):
        name = f"o{number}"
        where = {"realm": other.realm, "shard": name, "attempt": 1}
        say(type="packed", **packed(name, realm=other.realm, model=other.model))
        say(
            **claimed(
                name, usd=other.usd, run=other.run, stage=other.stage, realm=other.realm, input_tokens=other.tokens
            ),
            at=NOW - other.age,
        )
        if other.stand in {"submitted", "landed"}:
            say(type="submitted", batch=f"batch-{number}", **where)
        if other.stand == "stuck":
            say(type="stuck", reason="why", **where)
        if other.stand == "landed":
            say(type="landed", **landing(other.billed), **where)
        if other.stand == "dropped":
            say(type="dropped", reason="why", **where)
    return facts


def wish(usd: str = "1", tokens: int = 500, **changes: Any) -> Wish:
    return replace(Wish(REALM, "s", 1, "tiny", "one", Decimal(usd), tokens, NOW), **changes)


def verdict(facts: Facts, caps: Caps, mine: Wish | None = None) -> str:
    return admit(facts, mine or wish(), caps).verdict


def test_without_limits_everything_goes() -> None:
    assert admit(facts_of(Other("1000000")), wish("1000000", 10**12), NONE) == Ruling("go")


BUDGETS: list[tuple[str, list[Other], str, str, str]] = [
    ("exactly the budget", [], "10", "10", "go"),
    ("a cent above", [], "10.01", "10", "budget"),
    ("the smallest part above", [], "10.000000000001", "10", "budget"),
    ("beside a reservation, to the cent", [Other("4")], "6", "10", "go"),
    ("beside a reservation, a cent above", [Other("4")], "6.01", "10", "budget"),
    ("what landed counts as billed", [Other("4", "landed", "0.25")], "9.75", "10", "go"),
    ("and not less", [Other("4", "landed", "0.25")], "9.76", "10", "budget"),
    ("submitted is reserved", [Other("4", "submitted")], "6.01", "10", "budget"),
    ("stuck is reserved", [Other("4", "stuck")], "6.01", "10", "budget"),
    ("dropped is free", [Other("4", "dropped")], "10", "10", "go"),
    ("another run has its own", [Other("4", run="other")], "10", "10", "go"),
    ("another realm does not", [Other("4", realm="anthropic@api")], "6.01", "10", "budget"),
    ("nothing may be spent", [], "0.01", "0", "budget"),
    ("nothing is to be spent", [], "0", "0", "go"),
    ("more was billed than allowed", [Other("4", "landed", "12")], "0.01", "10", "budget"),
    ("a bill above, a wish for nothing", [Other("4", "landed", "12")], "0", "10", "budget"),
]


@pytest.mark.parametrize(
    ("others", "usd", "cap", "said"), [row[1:] for row in BUDGETS], ids=[row[0] for row in BUDGETS]
)
def test_the_budget_of_the_run(others: list[Other], usd: str, cap: str, said: str) -> None:
    ruling = admit(facts_of(*others), wish(usd), Caps(Decimal(cap), None, None, None))
    assert ruling.verdict == said
    assert (f"the budget of ${Decimal(cap):.2f}" in ruling.reason) == (said == "budget")


@pytest.mark.parametrize(
    ("others", "usd", "said"),
    [
        ([], "5", "go"),
        ([], "5.01", "budget"),
        ([Other("3")], "2", "go"),
        ([Other("3")], "2.01", "budget"),
        ([Other("3", stage="two")], "5", "go"),
        ([Other("3", "landed", "1")], "4.01", "budget"),
    ],
)
def test_the_cap_of_the_stage(others: list[Other], usd: str, said: str) -> None:
    ruling = admit(facts_of(*others), wish(usd), Caps(Decimal(100), Decimal(5), None, None))
    assert ruling.verdict == said
    assert ("cap of stage one of $5.00" in ruling.reason) == (said == "budget")


def test_a_refusal_says_what_would_have_been_spent() -> None:
    ruling = admit(facts_of(Other("4"), Other("1", "landed", "2")), wish("5"), Caps(Decimal(10), None, None, None))
    said = "one: up to $5.00 more on top of $6.00 spent, reserved or suspected could pass the budget of $10.00"
    assert ruling.reason == said


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([Other()], "go"),
        ([Other(), Other(stand="landed")], "wait"),
        ([Other(), Other(stand="dropped")], "go"),  # never became a batch
        ([Other(), Other(age=3599.9)], "wait"),
        ([Other(), Other(age=3600)], "go"),
        ([Other(), Other(realm="anthropic@api")], "go"),
        ([Other(), Other(run="other", model="tiny-2")], "wait"),  # the host counts batches, not runs or models
    ],
    ids=["one", "two", "dropped", "59:59", "an hour", "other realm", "other run"],
)
def test_batches_in_the_hour(others: list[Other], said: str) -> None:
    ruling = admit(facts_of(*others), wish(), Caps(None, None, 2, None))
    assert ruling.verdict == said
    assert ("2 batches in the last hour" in ruling.reason) == (said == "wait")


@pytest.mark.parametrize(
    ("others", "tokens", "said"),
    [
        ([], 1000, "go"),
        ([], 1001, "go"),  # larger than the limit: alone it must be tried, or it never would be
        ([Other(tokens=400)], 600, "go"),
        ([Other(tokens=400)], 601, "wait"),
        ([Other(tokens=0)], 1001, "go"),
        ([Other(tokens=400, stand="submitted")], 601, "wait"),
        ([Other(tokens=400, stand="stuck")], 601, "wait"),
        ([Other(tokens=400, stand="landed")], 601, "go"),
        ([Other(tokens=400, stand="dropped")], 601, "go"),
        ([Other(tokens=400, model="tiny-2")], 601, "go"),
        ([Other(tokens=400, realm="anthropic@api")], 601, "go"),
        ([Other(tokens=400, run="other")], 601, "wait"),
    ],
)
def test_enqueued_tokens_of_the_model(others: list[Other], tokens: int, said: str) -> None:
    ruling = admit(facts_of(*others), wish(tokens=tokens), Caps(None, None, None, 1000))
    assert ruling.verdict == said
    assert ("400 of 1,000 prompt tokens of tiny-1" in ruling.reason) == (said == "wait")


def full(*seconds_ago: float, model: str = "tiny-1", sent: bool = False) -> Facts:
    """Another shard whose files the host refused so long ago because its queue was full."""
    facts = facts_of()
    where = {"realm": REALM, "shard": "o0", "n": 1, "by": "me"}
    apply(facts, {"type": "packed", "at": NOW, "n": 1, "by": "me", **packed("o0", model=model)})
    for number, ago in enumerate(seconds_ago, 1):
        apply(facts, {**claimed("o0", number), "at": NOW - ago, "n": 1, "by": "me"})
        drop = {"type": "dropped", "reason": "full", "queue_full": True, "attempt": number, "at": NOW - ago}
        apply(facts, {**where, **drop})
    if sent:
        number = len(seconds_ago) + 1
        apply(facts, {**claimed("o0", number, run="other"), "at": NOW, "n": 1, "by": "me"})
        apply(facts, {**where, "type": "submitted", "batch": "b", "attempt": number, "at": NOW})
    return facts


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (full(59.9), "wait"),
        (full(60), "go"),
        (full(500, 119.9), "wait"),  # twice in a row: twice as long
        (full(500, 120), "go"),
        (full(9000, 8000, 7000, 6000, 5000, 4000, 3599.9), "wait"),
        (full(9000, 8000, 7000, 6000, 5000, 4000, 3600), "go"),  # at most an hour
        (full(1, model="tiny-2"), "go"),
        (full(1, sent=True), "go"),  # it has taken a file since
    ],
    ids=["first", "first over", "second", "second over", "seventh", "an hour", "other model", "moved since"],
)
def test_a_full_queue_is_waited_for(facts: Facts, said: str) -> None:
    assert verdict(facts, replace(NONE, queue_wait=60)) == said


def down(*tries: tuple[float, float], model: str = "tiny-1", realm: str = REALM) -> Facts:
    """Another shard, turned away: (seconds ago, seconds that the host asked to be left alone) of each try."""
    facts = facts_of()
    where = {"realm": realm, "shard": "o0", "n": 1, "by": "me"}
    apply(facts, {"type": "packed", "at": NOW, "n": 1, "by": "me", **packed("o0", model=model, realm=realm)})
    for number, (ago, wait) in enumerate(tries, 1):
        apply(facts, {**claimed("o0", number, realm=realm), "at": NOW - ago, "n": 1, "by": "me"})
        drop = {"type": "dropped", "reason": "HTTP 503", "queue_full": False, "attempt": number, "wait": wait}
        apply(facts, {**where, **drop, "at": NOW - ago})
    return facts


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (down((59.9, 0)), "wait"),
        (down((60, 0)), "go"),
        (down((500, 0), (119.9, 0)), "wait"),
        (down((500, 0), (120, 0)), "go"),
        (down(*[(9000.0 - n, 0.0) for n in range(2000)], (3599.9, 0)), "wait"),  # for months: no number overflows
        (down(*[(9000.0 - n, 0.0) for n in range(2000)], (3600, 0)), "go"),
        (down((119.9, 120)), "wait"),  # the host asked for two minutes
        (down((120, 120)), "go"),
        (down((3600, 80_000)), "go"),  # nobody is left alone for a day
        (down((500, 400), (60, 0)), "wait"),  # what it asked for before its last refusal is over
        (down((59.9, 0), model="tiny-2"), "wait"),  # a host that is down is down for every model
        (down((59.9, 0), realm="anthropic@api"), "go"),
    ],
    ids=["first", "over", "second", "over²", "hours", "hour", "asked", "kept", "day", "row", "model", "other"],
)
def test_a_host_that_is_down_is_left_alone_for_a_while(facts: Facts, said: str) -> None:
    ruling = admit(facts, wish(), replace(NONE, queue_wait=60))
    assert ruling.verdict == said
    assert ("openai was down; trying again later" in ruling.reason) == (said == "wait")


def test_a_person_who_says_run_does_not_wait_for_what_was_before() -> None:
    facts = down((500, 0), (59, 0))
    assert verdict(facts, replace(NONE, since=NOW - 59)) == "go"
    assert verdict(facts, replace(NONE, since=NOW - 60)) == "wait"
    assert verdict(down((500, 0), (60, 0)), replace(NONE, since=NOW - 61)) == "go", "one in a row since then"


def test_a_drop_of_an_older_version_holds_nothing_back() -> None:
    facts = facts_of(Other(stand="dropped"))
    assert facts.shards[f"{REALM}/o0"].attempts[0].down is None
    assert verdict(facts, replace(NONE, queue_wait=60)) == "go"


def test_a_cancelled_run_claims_nothing() -> None:
    facts = facts_of()
    apply(facts, {"n": 2, "at": NOW, "by": "you", "type": "halted", "run": "tiny"})
    assert admit(facts, wish(), NONE) == Ruling("wait", "one: the run was cancelled")
    assert verdict(facts, NONE, wish(run="other")) == "go"


def test_money_is_asked_about_first() -> None:
    """Waiting would not help where the budget says no."""
    assert verdict(facts_of(Other()), Caps(Decimal(1), None, 1, 1)) == "budget"


@pytest.mark.parametrize("stand", ["claimed", "submitted", "stuck"])
def test_a_shard_that_is_under_way_is_taken(stand: str) -> None:
    facts = facts_of(Other(stand=stand))
    for number in (1, 2):
        assert verdict(facts, NONE, wish(shard="o0", attempt=number)) == "taken"


@pytest.mark.parametrize("stand", ["landed", "dropped"])
@pytest.mark.parametrize(("number", "said"), [(1, "taken"), (2, "go"), (3, "taken")])
def test_an_attempt_has_the_next_number(stand: str, number: int, said: str) -> None:
    assert verdict(facts_of(Other(stand=stand)), NONE, wish(shard="o0", attempt=number)) == said


CENTS = st.decimals("0", "20", places=2)
OTHERS = st.lists(st.builds(Other, CENTS.map(str), st.sampled_from(["claimed", "landed", "dropped"]), CENTS.map(str)))


@given(OTHERS, CENTS, CENTS, CENTS)
def test_what_goes_never_passes_a_cap(others: list[Other], usd: Decimal, run: Decimal, stage: Decimal) -> None:
    facts = facts_of(*others)
    said = verdict(facts, Caps(run, stage, None, None), wish(str(usd)))
    committed = facts.spent("tiny") + facts.reserved("tiny")
    assert (said == "go") == (committed + usd <= min(run, stage))


# -- the cap of the day

DAY = 86400.0
SO_FAR = NOW % DAY  # seconds of today


@pytest.mark.parametrize(
    ("others", "usd", "said"),
    [
        ([], "5", "go"),
        ([], "5.01", "budget"),
        ([Other("3")], "2.01", "budget"),
        ([Other("3", age=SO_FAR)], "2.01", "budget"),  # the first moment of today
        ([Other("3", age=SO_FAR + 0.01)], "5", "go"),  # the last of yesterday
        ([Other("3", "landed", "1")], "4", "go"),
        ([Other("3", "landed", "1")], "4.01", "budget"),
        ([Other("3", "landed", "1", age=DAY)], "5", "go"),
        ([Other("3", run="other")], "5", "go"),
        ([Other("3", stage="two")], "2.01", "budget"),
    ],
)
def test_the_cap_of_the_day(others: list[Other], usd: str, said: str) -> None:
    ruling = admit(facts_of(*others), wish(usd), replace(NONE, day_usd=Decimal(5)))
    assert ruling.verdict == said
    assert ("suspected today could pass the cap of the day of $5.00" in ruling.reason) == (said == "budget")


def test_what_a_stray_may_have_cost_today_counts_today() -> None:
    facts = facts_of(Other("3", "dropped"))
    stray = {"type": "stray", "realm": REALM, "shard": "o0", "attempt": 1, "batch": "b", "n": 9, "by": "me", "at": NOW}
    apply(facts, stray)
    assert verdict(facts, replace(NONE, day_usd=Decimal(5)), wish("2.01")) == "budget"
    assert verdict(facts, replace(NONE, day_usd=Decimal(5)), wish("2")) == "go"
    assert verdict(facts, replace(NONE, day_usd=Decimal(5)), wish("5", now=NOW + DAY)) == "go"


# -- what fits


def costs_of(*usd: float) -> list[Decimal]:
    return [Decimal(str(one)) for one in usd]


def room(cap: str, committed: str = "0", limit: str = "run") -> Room:
    return Room(limit, limit, Decimal(cap), Decimal(committed))  # type: ignore[arg-type]


FITS: list[tuple[str, list[Decimal], list[Room], int]] = [
    ("no cap", costs_of(1, 1, 1), [], 3),
    ("all", costs_of(1, 1, 1), [room("3")], 3),
    ("to the cent", costs_of(1, 1, 1), [room("2.99")], 2),
    ("beside what is committed", costs_of(1, 1, 1), [room("10", "8")], 2),
    ("the smallest room", costs_of(1, 1, 1), [room("3"), room("1.5"), room("2")], 1),
    ("not one", costs_of(1, 1, 1), [room("0.99")], 0),
    ("nothing is left", costs_of(1), [room("5", "6")], 0),
    ("in order: a cheaper one behind does not jump", costs_of(2, 1), [room("1")], 0),
    ("a tenth of ten", costs_of(*[1] * 10), [room("1")], 1),
    ("less than a tenth of eleven", costs_of(*[1] * 11), [room("1.9")], 0),
    ("a tenth of a hundred", costs_of(*[1] * 100), [room("10")], 10),
    ("not quite", costs_of(*[1] * 100), [room("9.99")], 0),
    ("a day never takes more", costs_of(*[1] * 100), [room("5", limit="day")], 5),
    ("a tenth of a day", costs_of(*[1] * 100), [room("20", "18", "day")], 2),
    ("less than a tenth of a day", costs_of(*[1] * 100), [room("20", "18.5", "day")], 0),
    ("a day that takes all of it", costs_of(*[1] * 100), [room("500", "495", "day")], 0),
    ("the budget under a cap of the day", costs_of(*[1] * 100), [room("5", limit="day"), room("100", "98")], 2),
    ("nothing to send", [], [room("0")], 0),
]


@pytest.mark.parametrize(("costs", "found", "count"), [row[1:] for row in FITS], ids=[row[0] for row in FITS])
def test_how_many_fit(costs: list[Decimal], found: list[Room], count: int) -> None:
    assert fitting(costs, found) == count


def wish_of(costs: list[Decimal]) -> Any:
    return lambda count: wish(usd=str(sum(costs[:count], Decimal(0))), tokens=100 * count)


@pytest.mark.parametrize(
    ("others", "caps", "said"),
    [
        ([], NONE, (4, "go")),
        ([], replace(NONE, run_usd=Decimal("2.5")), (2, "go")),
        ([Other("2")], replace(NONE, run_usd=Decimal("2.5")), (0, "budget")),
        ([], replace(NONE, run_usd=Decimal(9), day_usd=Decimal(1)), (1, "go")),
        ([Other(tokens=700)], replace(NONE, enqueued_tokens=1000), (4, "wait")),
        ([Other("1", tokens=700)], Caps(Decimal(4), None, None, 1000), (3, "go")),  # three of them fit in both
        ([Other("1", tokens=800)], Caps(Decimal(4), None, None, 1000), (3, "wait")),
        ([Other("1")], Caps(Decimal(3), None, 1, None), (2, "wait")),
    ],
)
def test_the_largest_wish(others: list[Other], caps: Caps, said: tuple[int, str]) -> None:
    costs = costs_of(1, 1, 1, 1)
    count, ruling = largest(facts_of(*others), wish_of(costs), costs, caps)
    assert (count, ruling.verdict) == said


def test_a_shard_that_was_taken_is_not_cut() -> None:
    costs = costs_of(1, 1)
    taken = facts_of(Other("1"))
    wish_for = lambda count: wish(str(count), shard="o0")  # noqa: E731 - two of them
    assert largest(taken, wish_for, costs, replace(NONE, run_usd=Decimal(1)))[1].verdict == "taken"


@pytest.mark.parametrize(
    ("budget", "least", "sent"),
    [("20", 1, 20), ("20", 4, 18), ("5", 4, 5), ("3", 4, 0), ("22", 4, 22), ("21", 12, 0), ("12", 10, 12)],
)
def test_a_host_that_takes_no_small_batch_is_left_enough_for_another(budget: str, least: int, sent: int) -> None:
    """Of 22 requests of a dollar each. None at all where either part would be too small."""
    costs = costs_of(*[1] * 22)
    caps = replace(NONE, run_usd=Decimal(budget), least=least)
    count, ruling = largest(facts_of(Other("0")), wish_of(costs), costs, caps)
    assert (count, ruling.verdict) == (sent, "go" if sent else "budget")


AMOUNTS = st.decimals("0", "5", places=4)
ROOMS = st.lists(
    st.builds(Room, st.sampled_from(["run", "stage", "day"]), st.just("cap"), AMOUNTS, AMOUNTS), max_size=3
)


@given(st.lists(AMOUNTS, max_size=25), ROOMS)
def test_what_fits_is_the_largest_part_that_does(costs: list[Decimal], found: list[Room]) -> None:
    count = fitting(costs, found)
    least = worth_sending(costs, found)

    def fits(some: int) -> bool:
        return all(sum(costs[:some], room.committed) <= room.cap for room in found)

    assert count == 0 or (fits(count) and count >= least)
    assert count == len(costs) or count == 0 or not fits(count + 1)
    if count == 0 and costs:
        assert not fits(min(least, len(costs)))


# -- two runners and the hours of three days


@dataclass
class Street:
    """A journal of claims and landings, written by two who see the same facts, as the journal makes them."""

    caps: Caps
    facts: Facts
    count: int = 0

    def say(self, at: float, **event: Any) -> None:
        apply(self.facts, {"n": 1, "by": "me", **event, "at": at})

    def wish(self, costs: list[Decimal], stage: str, at: float) -> None:
        """One of them wishes for a new shard, and takes what it gets."""
        self.count += 1
        name = f"s{self.count}"
        self.say(at, type="packed", **packed(name))

        def wanted(some: int) -> Wish:
            return Wish(REALM, name, 1, "tiny", stage, sum(costs[:some], Decimal(0)), 1, at)

        some, ruling = largest(self.facts, wanted, costs, self.caps)
        if ruling.verdict == "go":
            self.say(at, **claimed(name, usd=str(wanted(some).usd), stage=stage))

    def settle(self, number: int, share: Decimal, lost: Decimal, at: float) -> None:
        """One of the claims under way lands at a part of its reservation; another part is never seen again."""
        if not (flying := [shard for shard in self.facts.shards.values() if shard.current]):
            return
        shard = flying[number % len(flying)]
        assert shard.current is not None
        usd = shard.current.usd * share
        fact = landing(f"{usd:f}", suspected=f"{(shard.current.usd - usd) * lost:f}")
        self.say(at, type="landed", realm=REALM, shard=shard.id, attempt=1, **fact)

    def drop(self, number: int, at: float) -> None:
        if flying := [shard for shard in self.facts.shards.values() if shard.current]:
            where = {"realm": REALM, "shard": flying[number % len(flying)].id, "attempt": 1}
            self.say(at, type="dropped", reason="none", **where)


SHARES = st.decimals("0", "1", places=3)
HAPPENS = st.one_of(
    st.tuples(st.just("wish"), st.lists(AMOUNTS, min_size=1, max_size=12), st.sampled_from(["one", "two"])),
    st.tuples(st.just("settle"), st.integers(0, 9), SHARES, SHARES),
    st.tuples(st.just("drop"), st.integers(0, 9)),
)


@given(
    st.lists(st.tuples(HAPPENS, st.floats(0, 20_000)), max_size=40),
    st.builds(Caps, AMOUNTS | st.none(), AMOUNTS | st.none(), st.none(), st.none(), st.just(60.0), AMOUNTS | st.none()),
)
def test_no_interleaving_of_two_runners_passes_a_cap(events: list[tuple[Any, float]], caps: Caps) -> None:
    """Whatever is wished for, whenever it lands and at whatever part of its reservation: never above any cap."""
    street, now = Street(caps, Facts()), NOW
    for (what, *given_), passed in events:
        now += passed
        getattr(street, what)(*given_, now)
        facts = street.facts
        for cap, committed in (
            (caps.run_usd, [facts.committed("tiny")]),
            (caps.stage_usd, [facts.committed("tiny", stage) for stage in ("one", "two")]),
            (caps.day_usd, [facts.committed("tiny", day=day_of(NOW) + later) for later in range(-1, 12)]),
        ):
            assert cap is None or max(committed) <= cap, (cap, committed)
        parts = facts.spent("tiny") + facts.reserved("tiny") + facts.suspected("tiny")
        assert parts == facts.committed("tiny") == sum(facts.committed("tiny", stage) for stage in ("one", "two"))


def test_synchronous_calls_are_no_batches() -> None:
    """Neither do they wait for the batches' limits, nor do they use them up."""
    facts = Facts()
    for shard in ("a", "b"):
        apply(facts, {"type": "packed", **packed(shard), "window": "now" if shard == "b" else "24h"})
    apply(facts, {**claimed("a"), "at": NOW, "n": 1, "by": "me", "input_tokens": 900})
    caps = Caps(None, None, batches_per_hour=1, enqueued_tokens=1000)
    asked_now = Wish(packed("b")["realm"], "b", 1, "tiny", "one", Decimal(0), 500, NOW)
    assert admit(facts, asked_now, caps).verdict == "go"
    apply(facts, {**claimed("b"), "at": NOW, "n": 2, "by": "me", "input_tokens": 900})
    apply(facts, {"type": "packed", **packed("c"), "window": "24h"})
    two = Caps(None, None, batches_per_hour=2, enqueued_tokens=2000)
    assert admit(facts, Wish(packed("c")["realm"], "c", 1, "tiny", "one", Decimal(0), 1000, NOW), two).verdict == "go"
