"""A machine's time among its requests: no share is below nothing, and all of them are the time that it was busy."""

from __future__ import annotations

import threading
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.cost import prices
from chimera_batch.cost.machine_time import MachineTime
from chimera_batch.cost.metering import Meter
from chimera_batch.providers import openai_shapes
from chimera_batch.requests.wire import Piece
from chimera_batch.results import decoding
from chimera_batch.results.decoding import File, Sent, Tally
from tests.support import answered, failed


class Watch:
    def __init__(self) -> None:
        self.now = 10**12

    def __call__(self) -> int:
        return self.now


STEPS = st.lists(st.tuples(st.sampled_from(["begin", "end", "waste"]), st.integers(0, 10**7), st.integers(0, 9)))


@given(STEPS)
def test_shares_are_the_busy_time_to_the_nanosecond(steps: list[tuple[str, int, int]]) -> None:
    watch = Watch()
    machine = MachineTime(watch)
    tickets: list[int] = []
    shares: list[int] = []
    busy = 0
    for verb, passes, which in [*steps, *[("end", 5, 0)] * (len(steps) + 1)]:
        watch.now += passes
        busy += passes if tickets else 0
        if verb == "begin":
            tickets.append(machine.begin())
        elif tickets and verb == "end":
            shares.append(machine.end(tickets.pop(which % len(tickets))))
        elif tickets:
            machine.waste(tickets.pop(which % len(tickets)))
    carried = machine.begin()  # what was wasted last, with nobody there to take it
    shares.append(machine.end(carried))
    assert all(share >= 0 for share in shares)
    assert sum(shares) == busy


def test_a_slice_is_divided_equally() -> None:
    watch = Watch()
    machine = MachineTime(watch)
    first = machine.begin()
    watch.now += 100  # the first one alone
    second = machine.begin()
    watch.now += 60  # 30 each
    assert machine.end(first) == 130
    watch.now += 7
    assert machine.end(second) == 37
    watch.now += 1_000  # idle
    third = machine.begin()
    watch.now += 5
    assert machine.end(third) == 5


def test_a_request_that_came_to_nothing_is_carried_by_the_others() -> None:
    watch = Watch()
    machine = MachineTime(watch)
    lost, other = machine.begin(), machine.begin()
    watch.now += 100
    machine.waste(lost)
    watch.now += 10
    assert machine.end(other) == 110


def test_the_start_belongs_to_those_that_waited_for_it() -> None:
    watch = Watch()
    machine = MachineTime(watch)
    tickets = [machine.begin() for _ in range(4)]
    watch.now += 40
    late = machine.begin()
    assert [machine.end(ticket) for ticket in tickets] == [10] * 4
    assert machine.end(late) == 0


def test_many_threads_share_one_machine() -> None:
    watch, lock, shares = Watch(), threading.Lock(), list[int]()
    machine = MachineTime(watch)
    ends = machine.begin()

    def work() -> None:
        for _ in range(200):
            ticket = machine.begin()
            with lock:
                watch.now += 3
            shares.append(machine.end(ticket))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(shares) + machine.end(ends) == 8 * 200 * 3


# -- from the line to the bill

HOURLY = prices.load(None, ["vllm/tiny=3.6/h@1000,100"]).rows[-1]  # a tenth of a cent a second
BY_TOKEN = prices.load(None, ["mine/tiny=2,8"]).rows[-1]
NONCE, IDS = "00000001", [f"{n:032x}" for n in range(4)]


def timed(line: bytes, **engine: object) -> bytes:
    return orjson.dumps({**orjson.loads(line), "engine": {"engine": "vllm", "version": "0.32.0", **engine}})


def tallied(price: prices.Price, lines: list[bytes]) -> Tally:
    sent = Sent("s", 1, NONCE, dict.fromkeys(IDS, 100), None, price, batch_price=False)
    tally = Tally(keep_apart=lambda record: None)
    files = [File("f", [Piece(1, 0, [line + b"\n" for line in lines])])]
    list(decoding.landed(files, openai_shapes.decode, sent, None, tally))
    return tally


@pytest.mark.parametrize(
    ("said", "read"),
    [({"seconds": "1.000000001"}, 10**9 + 1), ({"seconds": "0"}, 0), ({}, None), ({"seconds": "soon"}, None)]
    + [({"seconds": said}, None) for said in ("-1", "NaN", "Infinity", None, [1], {})],
)
def test_a_lines_share_is_read_from_it(said: dict[str, object], read: int | None) -> None:
    assert openai_shapes.decode(timed(answered("a"), **said)).machine_ns == read
    assert openai_shapes.decode(timed(failed("a"), **said)).machine_ns == read


def test_an_ordinary_line_has_none() -> None:
    assert openai_shapes.decode(answered("a")).machine_ns is None


def test_the_bill_of_a_machine_is_its_time() -> None:
    """Whatever the tokens, and for a request that was refused too: the machine was paid meanwhile."""
    lines = [
        timed(answered(f"{NONCE}-{IDS[0]}", tokens=(10, 3)), seconds="1.5"),
        timed(answered(f"{NONCE}-{IDS[1]}", tokens=(10**6, 10**6)), seconds="0.25"),
        timed(failed(f"{NONCE}-{IDS[2]}"), seconds="0.25"),
        timed(answered(f"{NONCE}-{IDS[3]}", tokens=(0, 0)), seconds="1"),
    ]
    tally = tallied(HOURLY, lines)
    assert tally.usd == Decimal("0.003")
    assert tally.unbilled == {}, "nothing is feared of what was billed by its time"


def test_by_the_token_time_is_only_noted() -> None:
    tally = tallied(BY_TOKEN, [timed(answered(f"{NONCE}-{IDS[0]}", tokens=(10, 3)), seconds="1.5")])
    assert tally.usd == Decimal("0.000044")


def test_a_machine_without_times_is_billed_by_the_rates_that_follow() -> None:
    tally = tallied(HOURLY, [answered(f"{NONCE}-{IDS[0]}", tokens=(1000, 100))])
    assert tally.usd == Decimal("0.002")


@given(st.lists(st.integers(0, 10**14), max_size=20), st.decimals(0, 1000, places=6))
def test_costs_of_shares_are_the_cost_of_their_sum(shares: list[int], hourly: Decimal) -> None:
    meter = Meter(prices.load(None, [f"vllm/tiny={hourly:f}/h@7,3"]).rows[-1])
    billed = meter.usd(sum(map(meter.machine, shares)))
    exact = sum(shares) * hourly / (3600 * 10**9)
    assert abs(billed - exact) <= len(shares) * Decimal(10) ** -meter.places + Decimal("1e-20")


def test_a_price_by_the_token_has_no_time() -> None:
    with pytest.raises(ValueError, match="not priced by the hour"):
        Meter(BY_TOKEN).machine(1)
