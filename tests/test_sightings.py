"""What a provider says of a batch at every look: few events, however long it goes on, and none that matters is lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import orjson
import pytest

from chimera_batch.history.facts import Attempt, Shard
from chimera_batch.history.ledger import Ledger
from chimera_batch.history.sightings import EVERY, LONGEST, STEPS, WORDS, Look
from tests.support import REALM, Clock, MemoryStore, claimed, packed

POLL, NIGHTS = 60.0, 72 * 3600.0
LOOKS = int(NIGHTS / POLL)
REQUESTS = 1000
BOUND = WORDS + STEPS + 1 + 2 * (NIGHTS / LONGEST + 4)
"""Events of a batch in three days: words, steps of the count, and twice an hour something that was said before."""


class Watched:
    """One batch that was submitted, and the events of the looks at it."""

    def __init__(self, requests: int = REQUESTS) -> None:
        self.store, self.clock = MemoryStore(), Clock()
        self.ledger = self.at_work("me")
        assert self.ledger.pack(packed("s", requests=requests), seen_packs=0)
        assert self.ledger.write(lambda _: claimed("s", 1, "1", requests=requests))
        self.submit("batch-1")

    def at_work(self, owner: str) -> Ledger:
        return Ledger(self.store, owner=owner, clock=self.clock).open()

    def submit(self, batch: str) -> None:
        assert self.ledger.submitted(self.shard, self.attempt, batch, adopted=True)

    @property
    def shard(self) -> Shard:
        return self.ledger.shard(REALM, "s")

    @property
    def attempt(self) -> Attempt:
        return self.shard.attempts[0]

    def look(self, status: str, done: int = 0, *, over: bool = False, later: float = POLL) -> int:
        """Look at it once more; how many events there are by now."""
        self.clock.sleep(later)
        self.ledger.seen(self.shard, self.attempt, Look(status, done, over))
        return len(self.events)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for event in map(orjson.loads, self.store.objects.values()) if event.get("type") == "seen"]


def words(*said: str) -> Callable[[int, random.Random], tuple[str, int, bool]]:
    return lambda number, _: (said[number % len(said)], 0, False)


NIGHT: dict[str, Callable[[int, random.Random], tuple[str, int, bool]]] = {
    "two words in turn": words("in_progress", "finalizing"),
    "four words in turn": words("validating", "in_progress", "finalizing", "paused"),
    "another word each time": lambda number, _: (f"word-{number}", 0, False),
    "a count up and down": lambda number, _: ("in_progress", REQUESTS * (number % 2), False),
    "any count": lambda _, chance: ("in_progress", chance.randrange(3 * REQUESTS), False),
    "a count without an end": lambda number, _: ("in_progress", 50 * number, False),
    "words in turn while it counts": lambda number, _: (("a", "b")[number % 2], REQUESTS * number // LOOKS, False),
    "over and not over": lambda number, _: (("completed", 0, True), ("in_progress", 0, False))[number % 2],
    "one word for both": lambda number, _: ("completed", 0, bool(number % 2)),
    "over in two ways": lambda number, _: (("completed", "expired")[number % 2], 0, True),
    "anything": lambda _, chance: (chance.choice("abcdef"), chance.randrange(REQUESTS), chance.random() < 0.5),
}


def test_the_rules_in_the_numbers_that_the_manual_gives() -> None:
    """docs/reliability.md: the first 20 words, an hour for what was told before; steps of a hundredth, 5 minutes."""
    watched = Watched()
    for number in range(21):  # the 21st is the first that is no news: no pause yet
        assert watched.look(f"word-{number}") == number + 1
    assert watched.look("word-21", later=299) == 21
    assert watched.look("word-22", later=1) == 22
    for count, minutes in enumerate((15, 35, 60, 60), 22):
        assert watched.look(f"word-{count + 1}", later=60 * minutes - 1) == count
        assert watched.look(f"word-{count + 1}", later=1) == count + 1
    counting = Watched(10_050)
    assert counting.look("in_progress") == 1
    assert counting.look("in_progress", 101, later=299) == 1
    assert counting.look("in_progress", 101, later=1) == 2
    assert counting.look("in_progress", 201, later=300) == 2
    assert counting.look("in_progress", 202, later=0) == 3


def test_a_look_that_says_nothing_of_the_end_is_one_at_a_batch_that_works() -> None:
    watched = Watched()
    watched.ledger.seen(watched.shard, watched.attempt, Look("in_progress", 3))
    assert [event["over"] for event in watched.events] == [False]


@pytest.mark.slow
@pytest.mark.parametrize("night", NIGHT)
def test_three_days_of_changing_words_write_few_events(night: str) -> None:
    watched, chance = Watched(), random.Random(night)
    for number in range(LOOKS):
        status, done, over = NIGHT[night](number, chance)
        watched.look(status, done, over=over)
    assert 0 < len(watched.events) <= BOUND
    assert len(watched.at_work("another").facts.shards) == 1


def test_a_word_is_written_when_it_is_first_heard() -> None:
    watched = Watched()
    said = ["validating", "in_progress", "paused", "finalizing"]
    assert [watched.look(word) for word in said] == [1, 2, 3, 4]
    assert [event["status"] for event in watched.events] == said
    assert not any(event["over"] for event in watched.events)


def test_what_was_said_before_waits_longer_each_time() -> None:
    """No pause at first: one word that was wrong costs nobody anything."""
    watched, at = Watched(), []
    for number in range(int(5 * 3600 / POLL)):
        before = len(watched.events)
        if watched.look(("a", "b")[number % 2]) > before:
            at.append(number * POLL)
    waits = [round((late - early) / POLL) * POLL for early, late in pairwise(at)]
    assert waits[:2] == [POLL, POLL], "a, b, and a again"
    for wait, least in zip(waits[2:], [EVERY, 3 * EVERY, 7 * EVERY, LONGEST, LONGEST], strict=False):
        assert least <= wait <= least + 2 * POLL, "as soon as the pause is over and the other word comes"


def test_a_batch_that_goes_on_after_all_is_written_at_once() -> None:
    """Whoever waits for it to stay over, on whatever machine, must begin again."""
    watched = Watched()
    for number in range(1, 4):
        while not watched.attempt.over:
            watched.look("completed", over=True, later=EVERY)
        begun = watched.attempt.seen_at
        watched.look("in_progress")
        assert not watched.attempt.over, number
        assert watched.look("completed", over=True, later=1) == len(watched.events)
        assert watched.attempt.seen_at != begun


def test_two_words_for_being_over_are_over_all_the_while() -> None:
    watched = Watched()
    for number in range(40):
        watched.look(("completed", "expired")[number % 2], over=True)
    assert watched.attempt.over
    assert watched.clock() - (watched.attempt.seen_at or 0) > 120


def test_an_older_version_s_word_is_no_word_for_being_over() -> None:
    """It wrote the status alone: the wait for missing results begins anew, once."""
    watched = Watched()
    watched.look("completed", 5)
    assert not watched.attempt.over
    assert watched.look("completed", 5, over=True) == 2
    assert watched.attempt.over
    assert watched.look("completed", 5, over=True) == 2


def test_a_count_that_goes_back_is_told_after_the_pause_and_its_rise_is_no_step_again() -> None:
    watched = Watched()
    assert watched.look("in_progress", 0) == 1
    assert watched.look("in_progress", 500, later=EVERY - 1) == 1
    assert watched.look("in_progress", 500, later=1) == 2
    assert watched.look("in_progress", 100, later=EVERY - 1) == 2
    assert watched.look("in_progress", 100, later=1) == 3
    assert watched.look("in_progress", 499, later=EVERY) == 4, "the first pause is no longer than that of any count"
    assert watched.look("in_progress", 100, later=2 * EVERY) == 4
    assert watched.look("in_progress", 100, later=EVERY) == 5
    assert watched.look("in_progress", 501, later=EVERY) == 5, "higher than ever, and less than a step"
    assert watched.look("in_progress", 510, later=0) == 6


def test_a_count_that_is_back_where_it_was_is_told_after_the_pause() -> None:
    """What the journal says last must not stay below what the provider says."""
    watched = Watched()
    watched.look("in_progress", 500)
    watched.look("in_progress", 100, later=EVERY)
    assert watched.look("in_progress", 500, later=EVERY) == 3
    assert watched.attempt.done == 500


def test_the_last_request_is_news_however_often_the_count_went_up_and_down() -> None:
    watched = Watched()
    for done in (500, 100, 500, 100, 500):
        watched.look("in_progress", done, later=LONGEST)
    count = len(watched.events)
    assert watched.look("in_progress", REQUESTS, later=EVERY) == count + 1


def test_a_count_above_all_that_was_sent_is_no_step() -> None:
    watched = Watched()
    watched.look("in_progress", REQUESTS)
    for number in range(1, 145):  # twelve hours
        watched.look("in_progress", REQUESTS + 50 * number, later=EVERY)
    assert len(watched.events) <= 12 * 3600 / LONGEST + 4
    assert watched.attempt.most == REQUESTS


def test_the_last_request_is_a_step() -> None:
    watched = Watched()
    watched.look("in_progress", REQUESTS - 1)
    assert watched.look("in_progress", REQUESTS, later=EVERY) == 2


def test_another_batch_of_the_attempt_begins_anew() -> None:
    watched = Watched()
    for _ in range(3):
        watched.look("completed", 7, over=True, later=LONGEST)
        watched.look("in_progress", 7)
    watched.ledger.stuck(watched.shard, watched.attempt, "why")
    watched.submit("batch-2")
    attempt = watched.attempt
    assert (attempt.over, attempt.words, attempt.most, attempt.repeats) == (False, set(), 0, 0)
    count = len(watched.events)
    assert [watched.look("completed", 7, over=True, later=0), watched.look("in_progress", 7)] == [count + 1, count + 2]
