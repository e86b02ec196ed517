"""One fault at every place where a run touches its store, or the process's death there; then the same line again.

``bench.every_write`` plays them in a process of one thread, as copies of it die. What it sees is tried here too.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from bench import every_write
from chimera_batch.errors import ChimeraError, InputError
from chimera_batch.steps import recovery
from tests.conftest import ROOT
from tests.faults.sim import buckets, disks
from tests.faults.sim.playing import Ended
from tests.faults.sim.schedule import Fault
from tests.faults.sim.small import Calm, Small, said_well, struck

AT_LEAST = {"kills": 55, "interrupts": 20, "errors": 90, "disks": 12, "puts": 14, "gets": 6}


@pytest.mark.slow
@pytest.mark.parametrize("part", every_write.PARTS)
def test_whatever_fails_wherever_the_next_run_ends_as_an_undisturbed_one(part: str) -> None:
    words = [sys.executable, "-W", "error", "-m", "bench.every_write", part]
    played = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert played.returncode == 0, f"{played.stdout}\n{played.stderr}"
    places = int(played.stdout.partition(": ")[2].partition(" places")[0])
    assert places >= AT_LEAST[part], "the faults are not where the writes and calls are"


@pytest.mark.slow
def test_a_client_that_sends_again_what_it_lost_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge sees the bug that all this is about: a claim without a receipt is dropped without a look."""
    calm = Calm.of(Small())

    def drop(ctx: Any, shard: Any, attempt: Any, *_: Any, **__: Any) -> bool:
        ctx.ledger.dropped(shard, attempt, "it was probably lost")
        return False

    fault = Fault("north.create", 0, "lost_after")
    well = struck(Small(), fault, calm)
    assert well is not None and well.flaws == []
    monkeypatch.setattr(recovery, "look_up", drop)
    ill = struck(Small(), fault, calm)
    assert ill is not None and "executed" in "".join(ill.flaws)


def ended(error: BaseException | None, *, killed: bool = False) -> Ended:
    process: Any = None
    return Ended("run", process, error, killed)


def test_an_error_must_be_ours_with_its_exit_code_and_a_line_to_type() -> None:
    assert not said_well(ended(InputError("full", hint="free some space")), (2,))
    assert not said_well(ended(None), (0, 5))
    assert not said_well(ended(None, killed=True), (5,))
    for error, expected in [
        (None, (5,)),
        (OSError(5, "nowhere"), (2,)),
        (InputError("full", hint="free some space"), (5,)),
        (ChimeraError("full"), (1,)),
    ]:
        assert said_well(ended(error), expected)


def test_every_kind_of_fault_is_met_even_in_the_short_play() -> None:
    for kinds, places, step in [(disks.KINDS, 40, 3), (buckets.PUTS, 42, 3), (buckets.GETS, 22, 3)]:
        met = {kind for _, kind in every_write._paired(list(kinds), places, False, step)}
        assert met == set(kinds)
        assert len(list(every_write._paired(list(kinds), places, True, step))) == places * len(kinds)
