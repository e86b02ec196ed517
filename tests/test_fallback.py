"""When a stage goes on with another of its models, and what it then is: the rules alone."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.errors import EngineWhy, InputError
from chimera_batch.history.facts import Attempt, Facts, Shard, Switched
from chimera_batch.history.folding import apply
from chimera_batch.pipeline.stage import Cause, Fallback, Stage
from chimera_batch.records import Call
from chimera_batch.rules import fallback
from chimera_batch.rules.fallback import Pace, fallen, late, later, name_of
from tests import fallback_kit
from tests.support import NOW, claimed, landing, packed, write_project

A, B, C, D = (Call(host, "/v1/chat/completions", f"model-{host}", 100) for host in "abcd")
HOUR = 3600.0


def stage(*calls: Call) -> Stage:
    return Stage("one", "ask", "m.yaml:1", calls=calls, fallback=Fallback())


def switched(*path: Call) -> list[Switched]:
    """From the first to the second, from there to the third."""
    pairs = pairwise(path)
    return [Switched(*name_of(to), "down: x", NOW + n, name_of(left)) for n, (left, to) in enumerate(pairs)]


# -- where a stage is


@pytest.mark.parametrize(
    ("listed", "path", "calls", "left", "further"),
    [
        ((A, B, C), (), (A, B, C), (), (B, C)),
        ((A, B, C), (A, B), (B, A, C), (A,), (C,)),
        ((A, B, C), (A, B, C), (C, A, B), (A, B), ()),
        ((A, B, C), (A, C), (C, A, B), (A,), ()),  # the price rule passed over B
        # the manifest changes afterwards
        ((B, A), (A, B), (B, A), (A,), ()),  # it asks B, where it is anyway; answers of A stand
        ((D, A, B), (A, B), (D, A, B), (A, B), (B,)),  # a new one in front is asked; A was left for good
        ((A, C), (A, B), (A, C), (), (C,)),  # B is gone: A again
        ((A, C), (A, B, C), (A, C), (C,), (C,)),  # nothing leads from A to C any more: it moves again
        ((B, C), (A, B), (B, C), (), (C,)),
    ],
)
def test_where_switches_lead(
    listed: tuple[Call, ...],
    path: tuple[Call, ...],
    calls: tuple[Call, ...],
    left: tuple[Call, ...],
    further: tuple[Call, ...],
) -> None:
    found = fallen(stage(*listed), switched(*path))
    assert found.calls == calls and found.left == left
    assert found.switches == max(0, len(path) - 1)
    assert tuple(later(stage(*listed), switched(*path))) == further


@given(st.permutations([A, B, C, D]), st.lists(st.sampled_from([A, B, C, D]), max_size=5))
def test_a_stage_never_goes_back_and_never_asks_what_it_may_not(listed: list[Call], path: list[Call]) -> None:
    switches = switched(*path)
    found, further = fallen(stage(*listed), switches), later(stage(*listed), switches)
    assert sorted(map(name_of, found.calls)) == sorted(map(name_of, listed))
    assert found.calls[0] not in {*found.left, *further}
    assert not {name_of(call) for call in further} & {switch.left for switch in switches}
    for call in further:  # each further switch leads exactly there
        switch = Switched(*name_of(call), "down: x", NOW + 9, name_of(found.calls[0]))
        moved = fallen(stage(*listed), [*switches, switch])
        assert moved.calls[0] == call and found.calls[0] in moved.left


def test_hints_go_with_their_models() -> None:
    listed = replace(stage(A, B), hints=("of a", "of b"))  # type: ignore[arg-type]  # only their order matters here
    assert fallen(listed, switched(A, B)).hints == ("of b", "of a")


def test_one_model_named_twice_is_one() -> None:
    warm = replace(A, temperature=1.0)
    assert later(stage(A, warm, B), []) == [B]
    assert fallen(stage(A, warm, B), switched(A, B)).left == (A,)


# -- what a manifest may say


def read(folder: Path, said: str, *, models: tuple[str, ...] = (fallback_kit.HERE, fallback_kit.THERE)) -> Any:
    return fallback_kit.project(folder, said, models=models).stages[0].fallback


def test_a_list_falls_back_when_an_engine_of_ones_own_fails(tmp_path: Path) -> None:
    assert read(tmp_path, "") == Fallback(("no_gpu", "out_of_memory", "crash"), None, None)


def test_rules_are_read(tmp_path: Path) -> None:
    said = ", fallback: {on: [expired, down], within: 90m, usd_per_request: 0.05}"
    assert read(tmp_path, said) == Fallback(("expired", "down"), 1.5, Decimal("0.05"))


def test_one_model_has_nowhere_to_go(tmp_path: Path) -> None:
    assert read(tmp_path, "", models=(fallback_kit.HERE,)) is None
    assert write_project(tmp_path / "single").stages[0].fallback is None


def test_routing_by_price_is_another_thing(tmp_path: Path) -> None:
    assert read(tmp_path, ", route: cheapest") is None


@pytest.mark.parametrize(
    ("said", "models", "message"),
    [
        ("fallback: {within: 10h}", (fallback_kit.HERE,), "models.m names one model"),
        ("fallback: {on: [down]}, route: cheapest", (fallback_kit.HERE, fallback_kit.THERE), "drop one of"),
        ("fallback: {on: [fire]}", (fallback_kit.HERE, fallback_kit.THERE), "no_gpu"),
        ("fallback: {within: soon}", (fallback_kit.HERE, fallback_kit.THERE), "within"),
        ("fallback: {usd_per_request: 0}", (fallback_kit.HERE, fallback_kit.THERE), "usd_per_request"),
        ("fallback: {after: 1h}", (fallback_kit.HERE, fallback_kit.THERE), "after"),
    ],
)
def test_what_means_nothing_is_refused(tmp_path: Path, said: str, models: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, f", {said}", models=models)
    assert "tiny.yaml:6" in str(caught.value)


# -- what an engine or a host did


def test_every_end_of_an_engine_has_its_rule() -> None:
    assert {fallback.cause_of(why) for why in get_args(EngineWhy)} == {"no_gpu", "out_of_memory", "crash"}
    assert set(fallback._CAUSES) == set(get_args(EngineWhy))
    assert set(get_args(Cause)) == {"no_gpu", "out_of_memory", "crash", "expired", "down"}


def facts(*events: dict[str, Any]) -> Facts:
    found = Facts()
    for number, event in enumerate(events, 1):
        apply(found, {"n": number, "at": NOW + number, "by": "me", "token": "t", **event})
    return found


def at(shard: str, number: int) -> dict[str, Any]:
    return {"realm": packed()["realm"], "shard": shard, "attempt": number}


def vain(shard: str, number: int, *, full: bool = False) -> list[dict[str, Any]]:
    end = {"type": "dropped", "reason": "HTTP 503", "queue_full": full, "suspected": "0"}
    return [claimed(shard, number), {**end, **at(shard, number)}]


def sent_of(*events: dict[str, Any]) -> list[tuple[Shard, Attempt]]:
    made = stage(Call("openai", "/v1/chat/completions", "tiny-1", 100), B)
    return fallback.sent(facts(*events), "tiny", made)


def shard(name: str) -> dict[str, Any]:
    return {"type": "packed", **packed(name)}


def test_a_host_is_down_after_five_attempts_in_vain() -> None:
    tries = [event for number in range(1, 6) for event in vain("s", number)]
    assert fallback.down(sent_of(shard("s"), *tries)) == "5 attempts in a row: HTTP 503"
    assert fallback.down(sent_of(shard("s"), *tries[:-2])) is None
    assert fallback.down(sent_of(shard("s"), *tries[:-2], *vain("s", 5, full=True))) is None, "a full queue is at work"


def test_five_shards_in_vain_once_are_one_bad_moment() -> None:
    events = [event for name in "abcde" for event in (shard(name), *vain(name, 1))]
    assert fallback.down(sent_of(*events)) is None


def test_a_host_that_takes_another_shard_is_not_down() -> None:
    tries = [event for number in range(1, 6) for event in vain("s", number)]
    taken = [claimed("t"), {"type": "submitted", "batch": "b", "adopted": False, **at("t", 1)}]
    assert fallback.down(sent_of(shard("s"), shard("t"), *tries[:4], *taken, *tries[4:])) is None
    assert fallback.down(sent_of(shard("s"), shard("t"), *taken, *tries)) is not None, "that was before"


def landed(name: str, number: int, usd: str, **outcomes: int) -> list[dict[str, Any]]:
    fact = {**landing(usd, f"answers/{name}-{number}"), "outcomes": outcomes}
    return [claimed(name, number), {"type": "landed", **fact, **at(name, number)}]


def test_a_batch_that_expired_is_told_by_its_outcomes() -> None:
    assert fallback.expired(sent_of(shard("s"), *landed("s", 1, "1", ok=10))) is None
    found = sent_of(shard("s"), *landed("s", 1, "1", ok=7, expired=3))
    assert fallback.expired(found) == "3 requests of s attempt 1"


def test_what_other_runs_stages_and_models_sent_says_nothing() -> None:
    other = [
        {**event, "run": "other"} if event["type"] == "claimed" else event for event in landed("s", 1, "1", expired=3)
    ]
    assert sent_of(shard("s"), *other) == []
    elsewhere = {"type": "packed", **packed("s", model="tiny-2")}
    assert sent_of(elsewhere, *landed("s", 1, "1", expired=3)) == []


def test_what_was_sent_before_the_stage_came_here_says_nothing() -> None:
    events = [shard("s"), *landed("s", 1, "1", expired=3)]
    switch = {"type": "switched", "run": "tiny", "stage": "one", "provider": "openai", "model": "tiny-1"}
    switch |= {"left": {"provider": "b", "model": "model-b"}, "reason": "down: x"}
    assert sent_of(*events, switch) == []


@pytest.mark.parametrize(
    ("answers", "usd", "expected", "word"),
    [
        (0, "0", "0.06", "$0.060000 a request is expected"),
        (0, "0", "0.05", None),  # not above
        (0, "0", None, None),  # no price is known for it
        (29, "290", "0.01", None),  # too few to say
        (30, "3", "0.01", "$0.100000 a request, measured on 30 answers"),
        (30, "1.5", "0.06", None),  # measured outweighs expected
    ],
)
def test_what_is_dear(answers: int, usd: str, expected: str | None, word: str | None) -> None:
    found = sent_of(shard("s"), *landed("s", 1, usd, ok=answers)) if answers else []
    assert fallback.dear(found, Decimal(expected) if expected else None, Decimal("0.05")) == word


# -- the deadline


def pace(hours: float, answered: int, left: int, *promised: tuple[float, float], since: float = 0.0) -> Pace:
    """As seen after so many hours; ``promised``: (hour of submission, hours that it takes)."""
    return Pace(NOW, NOW + since * HOUR, answered, left, tuple((NOW + at * HOUR, takes) for at, takes in promised))


@pytest.mark.parametrize(
    ("hours", "seen", "word"),
    [
        (0.0, pace(0, 0, 100), None),
        (4.9, pace(4.9, 0, 100), None),  # nothing yet says nothing before half of the time
        (5.0, pace(5, 0, 100), "0.0 answers an hour"),
        (5.0, pace(5, 0, 1), None),  # one may still come
        (1.0, pace(1, 29, 10_000), None),  # too few to say
        (1.0, pace(1, 30, 10_000), "30.0 answers an hour leave some of 10,000"),
        (1.0, pace(1, 100, 900), None),  # exactly in time
        (1.0, pace(1, 100, 901), "100.0 answers an hour"),
        (9.0, pace(9, 100, 900, since=8.5), "200.0 answers an hour"),  # the rate is that of this model alone
        (9.0, pace(9, 800, 200, since=8.0), None),
        (10.0, pace(10, 99, 1), "the 10 hours are over, 1 requests"),
        (11.0, pace(11, 99, 0), None),  # it is done
        # batches: a promise, or what others took
        (0.1, pace(0.1, 0, 100, (0.0, 24.0)), None),  # longer than all the time there is: it says nothing
        (9.9, pace(9.9, 0, 100, (0.0, 24.0)), None),
        (10.0, pace(10, 0, 100, (0.0, 24.0)), "are over"),
        (1.0, pace(1, 0, 100, (1.0, 9.0)), None),
        (1.5, pace(1.5, 0, 100, (1.5, 9.0)), "a batch that takes 9 hours ends after"),
        (6.0, pace(6, 0, 100, (1.0, 9.0)), None),  # a batch brings all at its end: its rate says nothing
        (6.0, pace(6, 40, 10_000, (1.0, 9.0)), None),
    ],
)
def test_whether_a_stage_will_be_late(hours: float, seen: Pace, word: str | None) -> None:
    found = late(seen, 10.0, NOW + hours * HOUR)
    assert (found is None) if word is None else (found is not None and word in found)


@given(st.floats(0, 20), st.integers(0, 10_000), st.integers(0, 10_000), st.floats(0.01, 20))
def test_late_stays_late_while_nothing_comes(hours: float, answered: int, left: int, within: float) -> None:
    seen = Pace(NOW, NOW, answered, left)
    moments = [late(seen, within, NOW + (hours + more) * HOUR) is not None for more in (0.0, 0.5, 3.0, 30.0)]
    assert moments == sorted(moments)
    assert moments[-1] == (left > 0)
