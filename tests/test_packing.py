"""The cutter: limits kept, order kept, and the same cut for the same requests."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.errors import InputError
from chimera_batch.requests.packing import Cutter, Limits, Planned, plan
from chimera_batch.steps.cutting import Some, cuts, cutter_of

Request = tuple[int, int]  # bytes, tokens


def cut(limits: Limits, requests: list[Request], portion: int = 7) -> list[list[Request]]:
    """The requests of each shard, given to the cutter in portions."""
    cutter = Cutter(limits)
    shards: list[list[Request]] = []
    for begin in range(0, len(requests), portion):
        some = requests[begin : begin + portion]
        at = 0
        for number, count in cutter.split([size for size, _ in some], [tokens for _, tokens in some]):
            assert number in {len(shards) - 1, len(shards)}, "shards are numbered without gaps, in order"
            if number == len(shards):
                shards.append([])
            shards[number] += some[at : at + count]
            at += count
        assert at == len(some)
    return shards


def counts(limits: Limits, requests: int) -> list[int]:
    return [len(shard) for shard in cut(limits, [(1, 1)] * requests)]


@pytest.mark.parametrize(
    ("requests", "expected"), [(0, []), (1, [1]), (3, [3]), (4, [3, 1]), (6, [3, 3]), (7, [3, 3, 1])]
)
def test_by_count(requests: int, expected: list[int]) -> None:
    assert counts(Limits(3, 10**9), requests) == expected


def test_by_bytes_to_the_byte() -> None:
    assert cut(Limits(99, 10), [(4, 0), (6, 0), (1, 0), (9, 0), (1, 0)]) == [
        [(4, 0), (6, 0)],
        [(1, 0), (9, 0)],
        [(1, 0)],
    ]


def test_by_tokens_to_the_token() -> None:
    assert cut(Limits(99, 99, max_tokens=5), [(1, 2), (1, 3), (1, 1)]) == [[(1, 2), (1, 3)], [(1, 1)]]


@pytest.mark.parametrize("big", [(11, 1), (1, 6)], ids=["bytes", "tokens"])
def test_a_request_above_a_limit_stands_alone(big: Request) -> None:
    small = (1, 1)
    limits = Limits(99, 10, max_tokens=5)
    assert cut(limits, [small, big, small, small]) == [[small], [big], [small, small]]
    assert cut(limits, [big, big]) == [[big], [big]]


def test_the_canary_is_first_and_small() -> None:
    assert counts(Limits(10, 10**9, first=2), 25) == [2, 10, 10, 3]
    assert counts(Limits(10, 10**9, first=50), 25) == [10, 10, 5]  # never above the host's limit


def test_full_shards_differ_where_only_counts_tell_them_apart() -> None:
    assert counts(Limits(5, 10**9, distinct_counts=True), 14) == [5, 4, 3, 2]
    assert counts(Limits(5, 10**9, distinct_counts=True, first=1), 11) == [1, 4, 3, 2, 1]


def test_counting_down_stops_at_one() -> None:
    assert counts(Limits(3, 10**9, distinct_counts=True), 9) == [3, 2, 1, 1, 1, 1]


LIMITS = st.builds(
    Limits,
    st.integers(1, 8),
    st.integers(1, 40),
    st.none() | st.integers(1, 30),
    st.booleans(),
    st.none() | st.integers(1, 12),
)
REQUESTS = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 40)), max_size=40)


def _too_much(limits: Limits, shard: list[Request]) -> bool:
    size, tokens = (sum(request[i] for request in shard) for i in (0, 1))
    return (
        len(shard) > limits.max_requests
        or size > limits.max_bytes
        or (limits.max_tokens is not None and tokens > limits.max_tokens)
    )


@given(LIMITS, REQUESTS)
def test_no_shard_passes_a_limit_but_one_of_a_single_request(limits: Limits, requests: list[Request]) -> None:
    assert all(len(shard) == 1 or not _too_much(limits, shard) for shard in cut(limits, requests))


@given(LIMITS, REQUESTS)
def test_every_request_is_in_one_shard_in_order(limits: Limits, requests: list[Request]) -> None:
    shards = cut(limits, requests)
    assert [request for shard in shards for request in shard] == requests
    assert all(shards)
    assert cut(limits, requests) == shards


@given(LIMITS, REQUESTS)
def test_no_shard_is_closed_early(limits: Limits, requests: list[Request]) -> None:
    shards = cut(limits, requests)
    for number, (shard, following) in enumerate(pairwise(shards)):
        one_more = [*shard, following[0]]
        first = limits.first if number == 0 and (limits.first or 99) <= limits.max_requests else None
        most = first if first is not None else max(1, limits.max_requests - number * limits.distinct_counts)
        assert _too_much(limits, one_more) or len(one_more) > most


@given(st.integers(2, 60), st.integers(0, 300))
def test_full_shards_are_all_of_different_lengths(most: int, requests: int) -> None:
    found = counts(Limits(most, 10**9, distinct_counts=True), requests)
    full = [number for number in found[:-1] if number > 1]
    assert len(full) == len(set(full))


@given(st.integers(1, 5), st.integers(6, 60), st.integers(0, 100), st.booleans())
def test_a_canary_changes_only_where_the_rest_begins(first: int, most: int, requests: int, distinct: bool) -> None:
    found = counts(Limits(most, 10**9, None, distinct, first), requests)
    assert found[:1] == ([min(first, requests)] if requests else [])
    assert sum(found) == requests


# -- a host that takes no small file


def planned(limits: Limits, requests: list[Request]) -> list[int] | None:
    return plan([size for size, _ in requests], [tokens for _, tokens in requests], limits)


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        (99, None),
        (100, [100]),
        (1_000, [1_000]),
        (1_050, [525, 525]),
        (2_000, [1_000, 1_000]),
        (2_010, [670, 670, 670]),
    ],
)
def test_what_is_left_over_is_shared_out(requests: int, expected: list[int] | None) -> None:
    assert planned(Limits(1_000, 10**9, min_requests=100), [(1, 1)] * requests) == expected


def test_large_requests_take_more_shards_than_two_to_share_out() -> None:
    limits = Limits(99, 150, min_requests=100 // 10)  # 15 of 10 bytes each, at least 10
    assert planned(limits, [(10, 0)] * 32) == [10, 11, 11]
    assert planned(limits, [(10, 0)] * 19) is None  # 15 and 4, or 10 and 9


def test_the_canary_is_kept_where_that_leaves_enough() -> None:
    assert planned(Limits(1_000, 10**9, first=100, min_requests=100), [(1, 1)] * 600) == [100, 500]
    assert planned(Limits(1_000, 10**9, first=100, min_requests=100), [(1, 1)] * 1_150) == [100, 525, 525]
    assert planned(Limits(1_000, 10**9, first=100, min_requests=100), [(1, 1)] * 150) == [150]
    assert planned(Limits(1_000, 10**9, first=40, min_requests=100), [(1, 1)] * 600) == [600]


def _possible(limits: Limits, requests: list[Request]) -> bool:
    """Whether any cut of this order keeps all limits and the minimum, found by trying them all."""
    good = [True] + [False] * len(requests)
    for end in range(1, len(requests) + 1):
        good[end] = any(
            good[begin] and not _too_much(limits, requests[begin:end])
            for begin in range(max(0, end - limits.min_requests + 1))
        )
    return good[-1]


SMALLEST = st.builds(
    Limits, st.integers(4, 12), st.integers(20, 80), st.none() | st.integers(10, 60), min_requests=st.integers(2, 4)
)


@given(SMALLEST, st.lists(st.tuples(st.integers(1, 12), st.integers(0, 9)), max_size=30))
def test_a_cut_without_small_shards_is_found_whenever_there_is_one(limits: Limits, requests: list[Request]) -> None:
    found = planned(limits, requests)
    assert (found is not None) == _possible(limits, requests)
    if found is None:
        return
    ends = [sum(found[: number + 1]) for number in range(len(found))]
    shards = [requests[end - count : end] for end, count in zip(ends, found, strict=True)]
    assert sum(found) == len(requests) and all(count >= limits.min_requests for count in found)
    assert not any(_too_much(limits, shard) for shard in shards)


@given(SMALLEST, st.integers(0, 200))
def test_requests_that_are_alike_are_shared_out_evenly(limits: Limits, requests: int) -> None:
    even = Limits(limits.max_requests, 10**9, min_requests=limits.min_requests)
    found = planned(even, [(1, 1)] * requests)
    greedy = counts(Limits(limits.max_requests, 10**9), requests)
    if found is not None and found != greedy:
        assert max(found) - min(found) <= 1 and len(found) == len(greedy)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 7))
def test_planned_cuts_are_the_same_in_any_portions(sizes: list[int], portion: int) -> None:
    cutter, found = Planned(sizes), [0] * len(sizes)
    total = sum(sizes)
    for begin in range(0, total, portion):
        some = [1] * min(portion, total - begin)
        for number, count in cutter.split(some, some):
            found[number] += count
    assert found == sizes


# -- from what is to be packed to the requests of each shard

STAGE: Any = SimpleNamespace(name="one", calls=[SimpleNamespace(provider="bedrock")])


def todo(requests: int, portion: int = 7, size: int = 1) -> list[Some]:
    """Requests "0", "1", …, whose lines lie in the opposite order."""
    places = [range(begin, min(begin + portion, requests)) for begin in range(0, requests, portion)]
    return [
        Some([str(n) for n in some], [requests - n for n in some], [size] * len(some), [1] * len(some))
        for some in places
    ]


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 4))
def test_every_request_is_in_one_cut_with_its_own_line(requests: int, portion: int, least: int) -> None:
    limits = Limits(10, 10**9, min_requests=least)
    if requests < least:
        return
    found = list(cuts(todo(requests, portion), cutter_of(STAGE, limits, todo(requests, portion))))
    assert [int(name) for cut in found for name in cut.ids] == list(range(requests))
    assert [place for cut in found for place in cut.lines] == [requests - n for n in range(requests)]
    assert [cut.first for cut in found] == [int(cut.ids[0]) for cut in found]
    assert all(least <= len(cut.ids) <= 10 for cut in found)


@pytest.mark.parametrize(
    ("requests", "size", "message"),
    [
        (99, 1, "99 requests are to be asked, and bedrock takes no batch of fewer than 100; none of them was sent"),
        (200, 20, "the 200 requests are too large for batches of 100 each, the fewest that bedrock takes"),
    ],
)
def test_why_no_cut_serves_a_host(requests: int, size: int, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        cutter_of(STAGE, Limits(1_000, 1_000, min_requests=100), todo(requests, size=size))
    assert caught.value.where == "stage one" and "min_requests: N" in str(caught.value.hint)
