"""Several runners on one store: the same start, a budget that is too small for all, and a runner that was asleep.

What remains: a runner that is paused *inside* the call that creates a batch, for longer than its lease and the settling
time. On an OpenAI-style host its successor deletes the uploaded file first, so a create that arrives late fails
validation; only a create that the host had accepted and not yet listed within ``settle`` seconds would be paid twice
(its batch is cancelled as soon as the runner wakes up and finds the attempt settled). On Anthropic nothing can make a
late create fail, so nothing is ever resent after a takeover from an owner that may wake up: a person decides, or the
owner itself wakes up and writes its receipt.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from chimera_batch.context import Timing
from tests.faults import pipeline
from tests.faults.invariants import Scene
from tests.faults.pipeline import Ended, Pipeline, Started
from tests.faults.proxies import Wire

if TYPE_CHECKING:  # pytest imports it as a plugin, and wants to be the first to do so
    from tests.s3 import Bucket

pytest_plugins = ["tests.s3"]
pytestmark = pytest.mark.slow

TOPICS = tuple(f"thing {number}" for number in range(9))
BUSY = Pipeline(topics=TOPICS, per_file=2, per_anthropic=4)  # five shards of drafts, three of reviews (4, 3, 2)


@contextmanager
def scene(folder: Path, made: Pipeline, *, seed: int = 0, **more: object) -> Iterator[Scene]:
    manifest = made.write(folder / "project")
    with pipeline.hall(folder / "server", work_seconds=(1000 + 400 * seed, 4000)) as served:
        yield Scene(pipeline.place(folder, manifest, served.url, **more), served)


def together(at: Scene, runners: int) -> list[Ended]:
    started = [pipeline.start(at.at, name=f"runner-{number}") for number in range(runners)]
    return [one.wait() for one in started]


def said(ended: list[Ended]) -> str:
    return "\n--\n".join(f"exit {one.code}: {one.said}" for one in ended)


@pytest.mark.parametrize("runners", [2, 3])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_several_runners_started_together(seed: int, runners: int, tmp_path: Path) -> None:
    with scene(tmp_path, BUSY, seed=seed) as at:
        ended = together(at, runners)
        assert {one.code for one in ended} <= {0, 5}, said(ended)
        assert 0 in {one.code for one in ended}, said(ended)
        assert not list(at.faults(None)), f"{list(at.faults(None))}\n{said(ended)}"
        assert len(at.bill) == 2 * len(TOPICS)


def test_a_runner_that_seldom_looks_sees_what_others_finished(tmp_path: Path) -> None:
    """Everything that it waits for lands between its counting and its next look."""
    with scene(tmp_path, Pipeline()) as at:
        sleepy = pipeline.start(replace(at.at, timing=replace(pipeline.TIMING, poll=3.0)), name="sleepy")
        until(lambda: sum(attempt.stand == "submitted" for _, attempt in at.facts.attempts()) == 2)
        other = pipeline.run(at.at, name="other")
        ended = [other, sleepy.wait()]
        assert [one.code for one in ended] == [0, 0], said(ended)
        assert not list(at.faults(None)), f"{list(at.faults(None))}\n{said(ended)}"


@pytest.mark.parametrize("seed", [0, 1])
def test_several_runners_on_s3(seed: int, bucket: Bucket, tmp_path: Path) -> None:
    environment = tuple(bucket.server.environment().items())
    small = Pipeline(topics=TOPICS[:6])
    with scene(tmp_path, small, seed=seed, store=bucket.url, environment=environment) as at:
        ended = together(at, 2)
        assert {one.code for one in ended} <= {0, 5}, said(ended)
        assert not list(at.faults(None)), f"{list(at.faults(None))}\n{said(ended)}"
        assert len(at.bill) == 12


@pytest.mark.parametrize("seed", [0, 1])
def test_a_budget_for_a_part_is_never_passed_by_two(seed: int, tmp_path: Path) -> None:
    frugal = replace(BUSY, ceiling=400)  # it reserves about three times of what it costs
    budget = Decimal("0.0003")  # all of it would cost about 0.00045
    with scene(tmp_path, frugal, seed=seed, max_usd=str(budget)) as at:
        ended = together(at, 2)
        assert {one.code for one in ended} == {3}, said(ended)
        assert not list(at.paid_faults())
        assert 0 < sum(Decimal(line["usd"]) for line in at.bill) <= budget
        assert at.facts.reserved("small") == 0
        assert at.most_committed() <= budget


def bad_luck(dice: random.Random) -> list[dict[str, object]]:
    """Faults for the first batches of a run. Where a reply can be lost without a person having to decide: OpenAI's."""
    kinds: list[dict[str, object]] = [
        {"kind": "lose_create_reply", "match": {"profile": "openai", "path": "/v1/batches", "method": "POST"}},
        {"kind": "http", "status": 429, "retry_after_ms": 1, "match": {"path": "/v1/batches", "method": "POST"}},
        {"kind": "drop_rows", "n": 1},
        {"kind": "error_rows", "n": 1},
        {"kind": "duplicate_rows", "n": 1},
        {"kind": "malformed_line", "n": 1},
        {"kind": "expire", "finished": 1},
    ]
    return dice.choices(kinds, k=4)


@pytest.mark.parametrize("seed", range(6) if settings.default.max_examples >= 500 else (2, 3, 4))
def test_a_budget_holds_against_the_servers_account_on_a_bad_night(seed: int, tmp_path: Path) -> None:
    """Through the real SDKs, in two processes. What the server executed counts, delivered or not."""
    dice = random.Random(seed)
    budget = Decimal("0.0019") * Decimal(str(round(dice.uniform(0.2, 1.2), 3)))  # about what all of it could cost
    with scene(tmp_path, replace(BUSY, ceiling=400), seed=seed, max_usd=f"{budget:f}") as at:
        at.served.order(*bad_luck(dice))
        ended = together(at, 2)
        assert {one.code for one in ended} <= {0, 3}, said(ended)
        charged = sum((Decimal(line["usd"]) for line in at.bill), Decimal(0))
        delivered = sum((Decimal(line["usd"]) for line in at.bill if line["delivered"]), Decimal(0))
        facts = at.facts
        assert 0 < charged <= budget
        assert facts.spent("small") == delivered
        assert charged <= facts.spent("small") + facts.suspected("small")
        assert facts.reserved("small") == 0
        assert at.most_committed() <= budget


# -- asleep


def until(look: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


def stopped(one: Started) -> bool:
    return Path(f"/proc/{one.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@contextmanager
def asleep(at: Scene, wire: Wire) -> Iterator[Started]:
    """A runner that stops itself at the wire; woken up and ended when the test is over."""
    one = pipeline.start(at.at, wire, name="sleeper")
    try:
        until(lambda: stopped(one))
        yield one
    finally:
        if one.process.exitcode is None:
            os.kill(one.pid, signal.SIGCONT)


def test_what_another_runner_finished_meanwhile_is_not_sent_again(tmp_path: Path) -> None:
    """A runner counts, begins with its first shard, and is slow there; another one does the second shard meanwhile."""
    with scene(tmp_path, Pipeline()) as at, asleep(at, Wire("host.upload", "before", 1, "stop")) as sleeper:
        other = pipeline.start(at.at, name="other")
        until(lambda: any(attempt.stand == "landed" for _, attempt in at.facts.attempts()))
        os.kill(sleeper.pid, signal.SIGCONT)
        ended = [sleeper.wait(), other.wait()]
        assert [one.code for one in ended] == [0, 0], said(ended)
        assert not list(at.faults(None)), f"{list(at.faults(None))}\n{said(ended)}"
        assert len(at.bill) == 8


@pytest.mark.parametrize("refusal", [False, True])
def test_asleep_past_the_lease_between_claim_and_create_openai(refusal: bool, tmp_path: Path) -> None:
    """The late create names a file that is gone: hosts make a batch that fails, or refuse at once."""
    missing = {"kind": "http", "status": 400, "match": {"path": "/v1/batches", "method": "POST"}}
    with scene(tmp_path, Pipeline(), timing=Timing(poll=0.02, lease=5.0, settle=0.3)) as at:
        with asleep(at, Wire("host.create", "before", 1, "stop")) as sleeper:
            other = pipeline.run(at.at, name="other")
            at.served.order(*([missing] if refusal else []))
            os.kill(sleeper.pid, signal.SIGCONT)
            late = sleeper.wait()
        assert other.code == 0, other.said
        assert late.code in {0, 5}, late.said
        assert not at.served.desk.faults.waiting()
        assert not list(at.faults(None)), f"{list(at.faults(None))}\n{said([other, late])}"
        assert len(at.bill) == 8
        attempts = sorted(len(shard.attempts) for shard in at.facts.shards.values())
        assert attempts == [1, 1, 2]  # it was sent again by the other, and the late create came to nothing


def test_asleep_past_the_lease_before_the_upload(tmp_path: Path) -> None:
    """It wakes up in time to see that its lease is over, and does not create at all."""
    with scene(tmp_path, Pipeline(), timing=Timing(poll=0.02, lease=5.0, settle=0.3)) as at:
        with asleep(at, Wire("host.upload", "before", 1, "stop")) as sleeper:
            other = pipeline.run(at.at, name="other")
            os.kill(sleeper.pid, signal.SIGCONT)
            late = sleeper.wait()
        assert other.code == 0, other.said
        assert late.code in {0, 5}, late.said
        assert not list(at.faults(None)), f"{list(at.faults(None))}\n{said([other, late])}"
        assert len(at.served.desk.works.all()) == 3


def test_asleep_past_the_lease_on_anthropic_is_never_resent(tmp_path: Path) -> None:
    """The third create of the run is the reviews'. The other runner stops with exit 4; the sleeper ends the matter."""
    with scene(tmp_path, Pipeline(), timing=Timing(poll=0.02, lease=5.0, settle=0.3)) as at:
        with asleep(at, Wire("host.create", "before", 3, "stop")) as sleeper:
            other = pipeline.run(at.at, name="other")
            assert other.code == 4, other.said
            assert len(at.bill) == 4
            os.kill(sleeper.pid, signal.SIGCONT)
            late = sleeper.wait()
        assert late.code == 0, late.said
        assert not list(at.faults(None)), f"{list(at.faults(None))}\n{said([other, late])}"
        assert len(at.bill) == 8


def test_what_another_run_is_stuck_with_stops_this_one_too(tmp_path: Path) -> None:
    """Another manifest wants the same reviews: it must not wait for ever for what only a person can settle."""
    with scene(tmp_path, Pipeline(), timing=Timing(poll=0.02, lease=5.0, settle=0.3)) as at:
        second = Pipeline(run="another").write(tmp_path / "project")
        at_second = Scene(replace(at.at, manifest=str(second)), at.served)
        with asleep(at, Wire("host.create", "before", 3, "stop")) as sleeper:
            other = pipeline.run(at_second.at, name="other", seconds=60)
            assert other.code == 4 and "reviews-" in other.said, other.said
            os.kill(sleeper.pid, signal.SIGCONT)
            late = sleeper.wait()
        assert late.code == 0, late.said
        assert pipeline.run(at_second.at, name="again").code == 0
        assert not list(at.faults(None)) and not list(at_second.faults(None))
        assert len(at.bill) == 8


@pytest.mark.parametrize("at_create", [1, 3])
def test_asleep_after_create_is_adopted_by_the_other(at_create: int, tmp_path: Path) -> None:
    with scene(tmp_path, Pipeline(), timing=Timing(poll=0.02, lease=5.0, settle=0.3)) as at:
        with asleep(at, Wire("host.create", "after", at_create, "stop")) as sleeper:
            other = pipeline.run(at.at, name="other")
            os.kill(sleeper.pid, signal.SIGCONT)
            late = sleeper.wait()
        assert [other.code, late.code] == [0, 0], said([other, late])
        assert not list(at.faults(None)), f"{list(at.faults(None))}\n{said([other, late])}"
        assert len(at.bill) == 8
