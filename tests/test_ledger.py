"""The ledger: one decision, one event, taken at the position where it is written, whoever else is writing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from chimera_batch.errors import InputError, NotFinished
from chimera_batch.history.facts import Asked, Attempt, Facts, Shard, Table
from chimera_batch.history.ledger import Ledger, money
from chimera_batch.history.sightings import Look
from chimera_batch.history.undone import OutOfMoney, Undone
from chimera_batch.records import Usage
from chimera_batch.rules.admission import Caps, Wish, admit
from chimera_batch.stores import open_store
from tests.support import NOW, REALM, Clock, Flaky, MemoryStore, claimed, landing, packed

TABLE = Table("f", "k", "d", 3, {"answered": 3}, {"ok": 3})


def ledger(store: Any, owner: str = "me") -> Ledger:
    return Ledger(store, owner=owner, clock=Clock()).open()


def claim(ledger: Ledger, shard: str, usd: str = "1", caps: Caps | None = None) -> bool:
    """Claim the next attempt of a shard, if it is admitted."""
    number = len(ledger.shard(REALM, shard).attempts) + 1
    wish = Wish(REALM, shard, number, "tiny", "one", Decimal(usd), 500, NOW)

    def decide(facts: Facts) -> dict[str, Any] | None:
        ruling = admit(facts, wish, caps or Caps(None, None, None, None))
        return claimed(shard, number, usd) if ruling.verdict == "go" else None

    return ledger.write(decide) is not None


def one_claim(store: Any) -> tuple[Ledger, Shard, Attempt]:
    writer = ledger(store)
    assert writer.pack(packed("s"), seen_packs=0)
    assert claim(writer, "s")
    shard = writer.shard(REALM, "s")
    return writer, shard, shard.attempts[0]


def fresh(store: Any) -> Facts:
    reader = Ledger(store, owner="reader", clock=Clock())
    assert reader.read()
    return reader.facts


# -- one writer


def test_reading_writes_nothing() -> None:
    store = MemoryStore()
    assert Ledger(store, owner="me").read() is False
    assert store.objects == {}
    ledger(store)
    assert Ledger(store, owner="me").read() is True


def test_a_store_of_a_newer_format_is_not_opened() -> None:
    store = MemoryStore()
    store.create("format.json", b'{"format":"chimera-batch store","version":7}')
    for look in (Ledger(store, owner="me").open, Ledger(store, owner="me").read):
        with pytest.raises(InputError, match="version 7"):
            look()


def test_what_is_known_already_is_not_written_again() -> None:
    store = MemoryStore()
    writer = ledger(store)
    asked = Asked(1, "f", "k", 3, 6)
    for _ in range(2):
        writer.begin("tiny", "tiny.yaml")
        writer.asked("tiny", "one", asked)
        writer.table("tiny", "one", TABLE)
    assert len(list(store.list("journal/"))) == 3
    writer.asked("tiny", "one", replace(asked, fingerprint="g"))
    writer.table("tiny", "one", replace(TABLE, fingerprint="g"))
    writer.begin("tiny", "moved.yaml")
    assert len(list(store.list("journal/"))) == 6
    assert fresh(store) == writer.facts


def test_a_halted_run_is_started_by_saying_so_again() -> None:
    store = MemoryStore()
    writer = ledger(store)
    writer.begin("tiny", "tiny.yaml")
    for _ in range(2):
        writer.halt("tiny")
    assert len(list(store.list("journal/"))) == 2
    assert writer.facts.halted == {"tiny"}
    for _ in range(2):
        writer.begin("tiny", "tiny.yaml")
    assert len(list(store.list("journal/"))) == 3
    assert fresh(store).halted == set()


SHORT = OutOfMoney((Undone("one", 9, Decimal(2), Decimal(1)),), ("dataset",), {"run": Decimal("0.5")}, ("run",))


def test_what_a_budget_stopped_stands_there_once_until_a_person_goes_on() -> None:
    store = MemoryStore()
    writer = ledger(store)
    for _ in range(2):  # as cron finds it, every few minutes
        writer.begin("tiny", "tiny.yaml", resume=False)
        writer.out_of_money("tiny", SHORT)
        writer.begin("other", "other.yaml", resume=False)
    assert fresh(store).out_of_money == {"tiny": SHORT}
    assert writer.position == 3
    writer.begin("tiny", "tiny.yaml")
    assert fresh(store).out_of_money == {}


def test_what_is_undone_is_told_to_the_millionth_of_a_dollar() -> None:
    row = Undone("one", 9, Decimal("2.00000049"), Decimal(1)).row
    assert row == {"stage": "one", "requests": 9, "usd_ceiling": 2.0}


def test_what_another_runner_sends_meanwhile_is_not_stopped() -> None:
    writer, shard, attempt = one_claim(MemoryStore())
    writer.out_of_money("tiny", SHORT)
    assert writer.facts.out_of_money == {}
    writer.dropped(shard, attempt, "why")
    writer.out_of_money("tiny", SHORT)
    assert writer.facts.out_of_money == {"tiny": SHORT}


def test_a_pack_on_a_stale_subtraction_is_refused() -> None:
    """Two runners subtract, both find the same requests missing; only one may pack them."""
    store = MemoryStore()
    one, two = ledger(store, "one"), ledger(store, "two")
    assert one.pack(packed("a"), seen_packs=0)
    assert not two.pack(packed("b"), seen_packs=0)
    assert two.pack(packed("c"), seen_packs=1)
    assert two.pack(packed("d", realm="other@host"), seen_packs=0)  # each realm has its own count
    assert {shard.id for shard in fresh(store).shards.values()} == {"a", "c", "d"}


Verb = Callable[[Ledger, Shard, Attempt], Any]
SUBMIT: Verb = lambda ledger, shard, attempt: ledger.submitted(shard, attempt, "batch-1")  # noqa: E731 - a table of verbs
LAND: Verb = lambda ledger, shard, attempt: ledger.landed(shard, attempt, landing())  # noqa: E731 - likewise
DROP: Verb = lambda ledger, shard, attempt: ledger.dropped(shard, attempt, "why")  # noqa: E731 - likewise
STICK: Verb = lambda ledger, shard, attempt: ledger.stuck(shard, attempt, "why")  # noqa: E731 - likewise

MOVES: list[tuple[str, list[Verb], Verb, bool]] = [
    ("a receipt for a claim", [], SUBMIT, True),
    ("a receipt for a stuck claim", [STICK], SUBMIT, True),
    ("a second receipt", [SUBMIT], lambda b, s, a: b.submitted(s, a, "batch-2"), False),
    ("its own batch again, after it was stuck", [SUBMIT, STICK], SUBMIT, True),
    ("another batch, after it was stuck", [SUBMIT, STICK], lambda b, s, a: b.submitted(s, a, "batch-2"), True),
    (
        "a batch that was a stray",
        [lambda b, s, a: b.stray(s, a, "batch-1")],
        lambda b, s, a: b.submitted(s, a, "batch-1", adopted=True),
        False,
    ),
    ("a receipt after a drop", [DROP], SUBMIT, False),
    ("a receipt after a landing", [SUBMIT, LAND], SUBMIT, False),
    ("a landing", [SUBMIT], LAND, True),
    ("a landing twice", [SUBMIT, LAND], lambda b, s, a: b.landed(s, a, landing(key="answers/b")), False),
    (
        "a part twice",
        [SUBMIT, lambda b, s, a: b.landed(s, a, landing(final=False))],
        lambda b, s, a: b.landed(s, a, landing(final=False)),
        False,
    ),
    ("a landing after a drop", [DROP], LAND, False),
    ("a drop", [], DROP, True),
    ("a drop twice", [DROP], DROP, False),
    ("a drop of a claim only", [SUBMIT], lambda b, s, a: b.dropped(s, a, "why", when="claimed"), False),
    ("a drop of a stuck one", [STICK], DROP, True),
    ("a drop after a landing", [SUBMIT, LAND], DROP, False),
    ("an upload", [], lambda b, s, a: b.uploaded(s, a, "file-1", NOW), True),
    ("an upload after a drop", [DROP], lambda b, s, a: b.uploaded(s, a, "file-1", NOW), False),
    ("a take-over", [], lambda b, s, a: b.take_over(s, a, lease_until=NOW), True),
    ("a take-over of a settled one", [DROP], lambda b, s, a: b.take_over(s, a, lease_until=NOW), False),
]


@pytest.mark.parametrize(("before", "verb", "written"), [row[1:] for row in MOVES], ids=[row[0] for row in MOVES])
def test_what_may_still_be_said_of_an_attempt(before: list[Verb], verb: Verb, written: bool) -> None:
    store = MemoryStore()
    writer, shard, attempt = one_claim(store)
    for earlier in before:
        earlier(writer, shard, attempt)
    events = len(list(store.list("journal/")))
    assert verb(writer, shard, attempt) is written
    assert len(list(store.list("journal/"))) == events + written
    assert fresh(store) == writer.facts


def test_a_batch_belongs_to_one_attempt() -> None:
    store = MemoryStore()
    writer, shard, attempt = one_claim(store)
    writer.pack(packed("t"), seen_packs=1)
    assert claim(writer, "t")
    other = writer.shard(REALM, "t")
    assert writer.submitted(shard, attempt, "batch-1")
    assert not writer.submitted(other, other.attempts[0], "batch-1", adopted=True)
    assert writer.submitted(other, other.attempts[0], "batch-2", adopted=True)
    assert (attempt.adopted, other.attempts[0].adopted) == (False, True)


def test_what_the_host_has_just_created_is_believed() -> None:
    """A local server that starts anew may count its batches from one again; refusing its word would send for ever."""
    store = MemoryStore()
    writer, shard, attempt = one_claim(store)
    assert writer.submitted(shard, attempt, "batch-1")
    LAND(writer, shard, attempt)
    assert claim(writer, "s")
    assert not writer.submitted(shard, shard.attempts[1], "batch-1", adopted=True)
    assert writer.submitted(shard, shard.attempts[1], "batch-1")


def test_two_hosts_may_use_the_same_ids() -> None:
    store = MemoryStore()
    writer, shard, attempt = one_claim(store)
    assert writer.submitted(shard, attempt, "batch-1")
    writer.pack(packed("s", realm="other@host"), seen_packs=0)
    other = writer.shard("other@host", "s")
    payload = claimed("s", realm="other@host")
    writer.write(lambda _facts: payload)
    assert writer.submitted(other, other.attempts[0], "batch-1", adopted=True)


def test_a_disowned_batch_makes_a_claim_again() -> None:
    store = MemoryStore()
    writer, shard, attempt = one_claim(store)
    SUBMIT(writer, shard, attempt)
    writer.disowned(shard, attempt, "batch-2")  # not what it is taken for
    assert attempt.stand == "submitted"
    writer.disowned(shard, attempt, "batch-1")
    assert (attempt.stand, attempt.disowned) == ("claimed", {"batch-1"})
    writer.doubted(shard, attempt)
    assert attempt.doubted_at == NOW
    assert writer.renewed(shard, attempt, NOW + 5)
    assert attempt.lease_until == NOW + 5
    DROP(writer, shard, attempt)
    assert not writer.renewed(shard, attempt, NOW + 9)
    for _ in range(2):
        writer.stray(shard, attempt, "batch-3")  # also after it was settled: that is when it happens
    assert attempt.strays == ["batch-3"]
    assert fresh(store) == writer.facts


def test_a_long_night_writes_a_count_in_steps_and_its_end() -> None:
    store = MemoryStore()
    writer = ledger(store)
    assert writer.pack(packed("s"), seen_packs=0)
    assert writer.write(lambda _: claimed("s", 1, "1", requests=5000))
    shard = writer.shard(REALM, "s")
    attempt = shard.attempts[0]
    SUBMIT(writer, shard, attempt)
    clock = writer.clock
    assert isinstance(clock, Clock)
    for done in range(5001):
        clock.sleep(600)
        writer.seen(shard, attempt, Look("in_progress", done))
    seen = [event["done"] for event in map(orjson.loads, store.objects.values()) if event.get("type") == "seen"]
    assert seen == [0, *range(50, 5001, 50)]


def test_what_is_seen_is_written_when_it_is_news() -> None:
    store = MemoryStore()
    writer, shard, attempt = one_claim(store)
    writer.seen(shard, attempt, Look("in_progress", 1))  # not submitted: nothing to see
    SUBMIT(writer, shard, attempt)
    events = len(list(store.list("journal/")))
    clock = writer.clock
    assert isinstance(clock, Clock)
    for done, late in ((1, 0), (1, 400), (2, 0), (2, 299), (3, 2), (4, 299), (4, 2)):
        clock.sleep(late)
        writer.seen(shard, attempt, Look("in_progress", done))
    assert [event["done"] for event in map(orjson.loads, store.objects.values()) if event.get("type") == "seen"] == [
        1,
        2,
        3,
        4,
    ]
    events += 2
    for verb in (writer.cancel, writer.cancel):
        verb(shard, attempt)
    assert len(list(store.list("journal/"))) == events + 3
    LAND(writer, shard, attempt)
    for verb in (writer.cleaned, writer.cleaned, writer.cancel):
        verb(shard, attempt)
    assert len(list(store.list("journal/"))) == events + 5
    assert attempt.cleaned


# -- several writers


def test_a_claim_is_decided_where_it_is_written() -> None:
    """The second ledger has not heard of the first one's claim until it tries to write."""
    store = MemoryStore()
    one, two = ledger(store, "one"), ledger(store, "two")
    one.pack(packed("s"), seen_packs=0)
    two.refresh()
    assert claim(one, "s")
    assert not claim(two, "s")
    assert [attempt.owner for _, attempt in fresh(store).attempts()] == ["one"]


def test_a_dollar_is_reserved_once() -> None:
    store = MemoryStore()
    one, two = ledger(store, "one"), ledger(store, "two")
    one.pack(packed("a"), seen_packs=0)
    one.pack(packed("b"), seen_packs=1)
    two.refresh()
    caps = Caps(Decimal("1.5"), None, None, None)
    assert claim(one, "a", "1", caps)
    assert not claim(two, "b", "1", caps)
    assert claim(two, "b", "0.5", caps)
    assert fresh(store).reserved("tiny") == Decimal("1.5")


def test_a_taken_over_claim_is_no_longer_its_first_owners() -> None:
    store = MemoryStore()
    one, shard, attempt = one_claim(store)
    two = ledger(store, "two")
    theirs = two.shard(REALM, "s")
    assert two.take_over(theirs, theirs.attempts[0], lease_until=NOW + 900)
    assert not one.uploaded(shard, attempt, "file-1", NOW)
    assert attempt.owner == "two"  # it has read on
    assert one.submitted(shard, attempt, "batch-1")  # a receipt is a fact, whoever brings it
    assert not two.take_over(theirs, theirs.attempts[0], lease_until=NOW) or theirs.attempts[0].stand == "submitted"


def test_of_two_take_overs_one_wins() -> None:
    store = MemoryStore()
    one_claim(store)
    second, third = ledger(store, "second"), ledger(store, "third")
    mine, theirs = second.shard(REALM, "s"), third.shard(REALM, "s")
    stale = replace(theirs.attempts[0])  # what the third saw before the second moved
    assert second.take_over(mine, mine.attempts[0], lease_until=NOW + 900)
    assert not third.take_over(theirs, stale, lease_until=NOW + 900)
    assert fresh(store).shards[f"{REALM}/s"].attempts[0].owner == "second"


def _race(*work: Callable[[], None]) -> None:
    gate, errors = threading.Barrier(len(work)), []

    def start(task: Callable[[], None]) -> None:
        gate.wait()
        try:
            task()
        except BaseException as error:  # noqa: BLE001 - reported by the test
            errors.append(error)

    threads = [threading.Thread(target=start, args=(task,)) for task in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_two_ledgers_racing_on_one_folder_never_claim_twice(tmp_path: Path) -> None:
    names = [f"s{number}" for number in range(8)]
    store = open_store(str(tmp_path / "store"), cache=tmp_path / "cache")
    first = ledger(store, "first")
    for number, name in enumerate(names):
        first.pack(packed(name), seen_packs=number)
    won: dict[str, list[str]] = {"one": [], "two": []}
    caps = Caps(Decimal(6), None, None, None)

    def grab(owner: str, order: list[str]) -> Callable[[], None]:
        mine = ledger(open_store(str(tmp_path / "store"), cache=tmp_path / "cache"), owner)
        return lambda: won[owner].extend(name for name in order if claim(mine, name, "1", caps))

    _race(grab("one", names), grab("two", names))
    facts = fresh(store)
    owners = {shard.id: [attempt.owner for attempt in shard.attempts] for shard in facts.shards.values()}
    assert sorted(won["one"] + won["two"]) == sorted(name for name in names if owners[name])
    assert len(won["one"]) + len(won["two"]) == 6  # two shards more would pass the budget
    assert all(len(found) <= 1 for found in owners.values())
    assert all([owner] == owners[name] for owner, mine in won.items() for name in mine)
    assert facts.reserved("tiny") == 6


def test_one_ledger_is_shared_by_threads(tmp_path: Path) -> None:
    store = MemoryStore()
    shared = ledger(store)

    def pack(realm: str) -> Callable[[], None]:
        def work() -> None:
            for number in range(20):
                assert shared.pack(packed(f"s{number}", realm=realm), seen_packs=number)

        return work

    _race(*(pack(f"r{number}@host") for number in range(4)))
    assert shared.facts.packs == {f"r{number}@host": 20 for number in range(4)}
    assert fresh(store) == shared.facts


# -- a store that fails


def _script(writer: Ledger) -> list[Callable[[], Any]]:
    """A shard's whole life; each line may be said again."""

    def attempt() -> tuple[Shard, Attempt]:
        shard = writer.shard(REALM, "s")
        return shard, shard.attempts[0]

    return [
        lambda: writer.begin("tiny", "tiny.yaml"),
        lambda: writer.asked("tiny", "one", Asked(1, "f", "k", 3, 6)),
        lambda: writer.pack(packed("s"), seen_packs=0),
        lambda: claim(writer, "s") if not writer.shard(REALM, "s").attempts else None,
        lambda: writer.uploaded(*attempt(), "file-1", NOW),
        lambda: writer.submitted(*attempt(), "batch-1"),
        lambda: writer.seen(*attempt(), Look("in_progress", 5)),
        lambda: writer.landed(*attempt(), landing()),
        lambda: writer.cleaned(*attempt()),
        lambda: writer.table("tiny", "one", TABLE),
    ]


@pytest.mark.parametrize("after", [False, True], ids=["not written", "written, reply lost"])
@pytest.mark.parametrize("at", range(1, 11))
def test_a_create_that_fails_once_changes_nothing_in_the_end(at: int, after: bool) -> None:
    """The failing process dies; another one starts and says the same again."""
    calm, store = MemoryStore(), MemoryStore()
    for step in _script(ledger(calm)):
        step()
    flaky = Flaky(store, NotFinished("away"), at=at + 1, after=after)  # the first create is the format's
    died = False
    writer = ledger(flaky)
    for number in range(len(_script(writer))):
        try:
            _script(writer)[number]()
        except NotFinished:
            died = True
            writer = ledger(flaky)
            _script(writer)[number]()
    assert died
    expected, found = fresh(calm), fresh(store)
    assert found == expected == writer.facts
    uploads = [data for key, data in store.objects.items() if b'"uploaded"' in data]
    assert len(list(store.list("journal/"))) == 10 + (len(uploads) - 1)  # an upload's receipt alone may be said twice


@pytest.mark.parametrize("after", [False, True], ids=["not written", "written, reply lost"])
def test_a_process_that_outlives_the_failure_agrees_with_the_journal(after: bool) -> None:
    store = MemoryStore()
    flaky = Flaky(store, NotFinished("away"), at=3, after=after)
    writer = ledger(flaky)
    writer.pack(packed("s"), seen_packs=0)
    with pytest.raises(NotFinished):
        claim(writer, "s")
    assert claim(writer, "s") is not after  # written already: it is taken, by ourselves
    assert [attempt.owner for _, attempt in fresh(store).attempts()] == ["me"]
    assert writer.facts == fresh(store)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0.000000000001", "0.000000000001"),
        ("1E-10", "0.0000000001"),
        ("1E+3", "1000"),
        ("0", "0"),
        ("12.50", "12.50"),
    ],
)
def test_money_is_written_exactly_and_plainly(amount: str, text: str) -> None:
    assert money(Decimal(amount)) == text
    assert Decimal(money(Decimal(amount))) == Decimal(amount)


# -- what may have been charged for nothing


def test_what_is_given_up_keeps_what_it_may_have_cost() -> None:
    store = MemoryStore()
    writer, shard, attempt = one_claim(store)
    writer.submitted(shard, attempt, "batch-1")
    told = Usage(input_tokens=40, cached_tokens=8, output_tokens=2)
    assert not writer.written_off(shard, attempt, "under way", (Decimal("0.3"), told))  # it may still come
    writer.stuck(shard, attempt, "its file is gone")
    assert writer.written_off(shard, attempt, "a person said: resend", (Decimal("0.3"), told))
    assert not writer.written_off(shard, attempt, "twice", (Decimal("0.3"), told))
    facts = fresh(store)
    assert (facts.suspected("tiny"), facts.reserved("tiny"), facts.spent("tiny")) == (Decimal("0.3"), 0, 0)
    (kept,) = facts.shards[f"{REALM}/s"].attempts
    assert kept.reported is not None and Usage(**kept.reported) == told


def test_what_is_given_back_suspects_nothing() -> None:
    store = MemoryStore()
    writer, shard, attempt = one_claim(store)
    assert writer.dropped(shard, attempt, "nothing was sent", when="claimed")
    assert fresh(store).suspected("tiny") == 0


def test_a_strays_cost_is_told_once() -> None:
    """Two runners may look at it at the same time, also long after its attempt is over."""
    store = MemoryStore()
    writer, shard, attempt = one_claim(store)
    writer.dropped(shard, attempt, "no batch was created")
    writer.stray(shard, attempt, "batch-9")
    other = ledger(store, "other")
    theirs = other.shard(REALM, "s")
    writer.stray_over(shard, attempt, "batch-9", Decimal("0.25"))
    other.stray_over(theirs, theirs.attempts[0], "batch-9", Decimal("0.75"))
    events = [orjson.loads(store.read(key)) for key in store.list("journal/")]
    assert [event["suspected"] for event in events if event["type"] == "stray_over"] == ["0.25"]
    assert fresh(store).suspected("tiny") == other.facts.suspected("tiny") == Decimal("0.25")
