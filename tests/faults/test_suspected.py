"""The server's own bill against the ledger, through the SDKs: what was charged and never came is suspected, exactly
where the batch tells its totals, and never too little where it does not. Faults of the provider, lost replies, kills.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chimera_batch import api
from tests.faults import pipeline
from tests.faults.invariants import Scene
from tests.faults.pipeline import Pipeline
from tests.faults.proxies import When, Wire

pytestmark = pytest.mark.slow

ASK = {"method": "POST", "path": "/v1/chat/completions"}
GARBLED = {"kind": "http", "status": 200, "html": "<html>", "after": True, "match": ASK}
"""A call is executed and charged, and what comes back is no answer."""


@contextmanager
def scene(
    folder: Path, *faults: dict[str, Any], settings: dict[str, Any] | None = None, **made: Any
) -> Iterator[Scene]:
    manifest = Pipeline(per_file=4, **made).write(folder / "project")
    with pipeline.hall(folder / "server", **(settings or {})) as served:
        served.order(*faults)
        yield Scene(pipeline.place(folder, manifest, served.url), served)


def good(at: Scene) -> None:
    """The run ended well, and both accounts agree."""
    assert not list(at.faults(None)), list(at.faults(None))


def wasted(at: Scene) -> Decimal:
    return sum((account.wasted for account in at.accounts()), Decimal(0))


def suspected(at: Scene) -> Decimal:
    return at.facts.suspected("small")


ON_OPENAI, ON_ANTHROPIC = {"match": {"profile": "openai"}}, {"match": {"profile": "anthropic"}}


@pytest.mark.parametrize(
    ("fault", "lost", "exact"),
    [
        ({"kind": "drop_rows", "n": 2, **ON_OPENAI}, 2, True),
        ({"kind": "drop_rows", "n": 4, **ON_OPENAI}, 4, False),  # no row shows whether input was written to a cache
        ({"kind": "malformed_line", "n": 1, **ON_OPENAI}, 1, True),
        ({"kind": "error_rows", "n": 2, **ON_OPENAI}, 0, True),
        ({"kind": "duplicate_rows", "n": 2, **ON_OPENAI}, 0, True),
        ({"kind": "foreign_rows", "n": 2, **ON_OPENAI}, 0, True),
        ({"kind": "expire", "finished": 2, **ON_OPENAI}, 0, True),
        ({"kind": "expire", "finished": 2, "files": False, **ON_OPENAI}, 2, False),  # executed, and nothing to show
        ({"kind": "cancel", "finished": 2, **ON_OPENAI}, 0, True),
        ({"kind": "drop_rows", "n": 2, **ON_ANTHROPIC}, 2, False),
        ({"kind": "malformed_line", "n": 1, **ON_ANTHROPIC}, 1, False),
        ({"kind": "expire", "finished": 2, **ON_ANTHROPIC}, 0, True),
        ({"kind": "error_rows", "n": 2, **ON_ANTHROPIC}, 0, True),
    ],
    ids=lambda value: f"{value['kind']} {value['match']['profile']}" if isinstance(value, dict) else "",
)
def test_what_a_batch_loses(fault: dict[str, Any], lost: int, exact: bool, tmp_path: Path) -> None:
    with scene(tmp_path, fault) as at:
        ended = pipeline.run(at.at)
        assert ended.code == 0, ended.said
        good(at)
        assert sum(len(account.lost) for account in at.accounts()) == lost
        if exact:
            assert suspected(at) == wasted(at)
        else:
            assert suspected(at) > wasted(at) > 0


def test_without_totals_the_reservation_of_what_is_missing_stays(tmp_path: Path) -> None:
    drop, untold = {"kind": "drop_rows", "n": 2, **ON_OPENAI}, {"kind": "no_usage", **ON_OPENAI}
    with scene(tmp_path, drop, untold) as at:
        ended = pipeline.run(at.at)
        assert ended.code == 0, ended.said
        good(at)
        first = next(attempt for _, attempt in at.facts.attempts() if attempt.outcomes.get("missing"))
        assert first.reported is None
        assert suspected(at) == first.usd / 2 > wasted(at) > 0  # two of four requests of one length


def test_a_lost_output_file_is_suspected_by_the_totals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the batch object is left: it tells what was executed, and all of that was for nothing."""
    with scene(tmp_path, {"kind": "lose_output", **ON_OPENAI}) as at:
        ended = pipeline.run(at.at)
        assert ended.code == 4, ended.said
        assert suspected(at) == 0 and at.facts.reserved("small") > wasted(at)
        monkeypatch.setenv("CHIMERA_REHEARSAL_URL", at.served.url)
        (shard,) = [shard for shard, attempt in at.facts.attempts() if attempt.stand == "stuck"]
        api.resend(at.at.manifest, shard.id, options=at.at.options())
        assert Decimal(0) < wasted(at) <= suspected(at) <= wasted(at) * Decimal("1.25")
        ended = pipeline.run(at.at)
        assert ended.code == 0, ended.said
        good(at)
        assert sum(len(account.lost) for account in at.accounts()) == 4


def test_shared_prefixes_that_are_cached_are_told_apart(tmp_path: Path) -> None:
    """Rows and totals both count cached input; what is lost is priced at what it was."""
    settings = {"cached_share": 0.5}
    with scene(tmp_path, {"kind": "drop_rows", "n": 2, **ON_OPENAI}, settings=settings) as at:
        ended = pipeline.run(at.at)
        assert ended.code == 0, ended.said
        good(at)
        assert suspected(at) == wasted(at) > 0


# -- synchronous calls


def test_a_synchronous_reply_that_is_lost(tmp_path: Path) -> None:
    """It was charged; it is asked again; what the first one cost is known to nobody but suspected by us."""
    with scene(tmp_path, GARBLED, window="now") as at:
        ended = pipeline.run(at.at)
        assert ended.code == 0, ended.said
        good(at)
        assert sum(len(account.lost) for account in at.accounts()) == 1
        assert suspected(at) > wasted(at) > 0
        first = next(attempt for _, attempt in at.facts.attempts() if attempt.suspected)
        assert suspected(at) == first.usd / first.requests  # one of several of the same length
        assert at.status()["usd_suspected"] > 0


@pytest.mark.parametrize("status", [429, 503])
def test_a_synchronous_call_that_was_refused_costs_nothing(status: int, tmp_path: Path) -> None:
    refusal = {"kind": "http", "status": status, "times": 7, "retry_after_ms": 1, "match": ASK}
    with scene(tmp_path, refusal, window="now") as at:
        ended = pipeline.run(at.at)
        assert ended.code == 0, ended.said
        good(at)
        assert suspected(at) == wasted(at) == 0


@pytest.mark.parametrize("at_call", [1, 2, 3, 4])
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_synchronous_calls_are_under_way(when: When, at_call: int, tmp_path: Path) -> None:
    """What the server executed and this machine never wrote down is suspected; what was never begun is not."""
    with scene(tmp_path, window="now") as at:
        first = pipeline.run(at.at, Wire("host.ask", when, at_call, "kill"), name="first")
        assert first.killed, first.said
        again = pipeline.run(at.at, name="again")
        assert again.code == 0, again.said
        good(at)
        killed = next(attempt for _, attempt in at.facts.attempts())
        assert killed.suspected > 0
        unanswered = killed.requests - killed.outcomes.get("ok", 0)
        begun = killed.suspected / (killed.usd / killed.requests)  # all are of one length
        assert begun == int(begun) and at_call - killed.outcomes.get("ok", 0) <= begun <= unanswered


def test_killed_on_another_machine(tmp_path: Path) -> None:
    """Its spool is out of sight: every call of the claim may have been charged."""
    with scene(tmp_path, window="now") as at:
        far = replace(at.at, machine="far-away", timing=replace(at.at.timing, lease=1.0))
        elsewhere = replace(far, environment=(("CHIMERA_STATE", str(tmp_path / "far")),))
        first = pipeline.run(elsewhere, Wire("host.ask", "after", 2, "kill"), name="first")
        assert first.killed, first.said
        again = pipeline.run(replace(at.at, timing=far.timing), name="again")
        assert again.code in {0, 5}, again.said
        if again.code == 5:
            again = pipeline.run(at.at, name="once more")
        assert again.code == 0, again.said
        good(at)
        killed = next(attempt for _, attempt in at.facts.attempts())
        assert killed.suspected == killed.usd
