"""A stage that falls back from one batch host to another: what is answered stays, only the rest is asked there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fallback_kit import ALL, HERE, SAME, THERE, Two, project, some, two

EXPIRED = ", fallback: {on: [expired]}"


def fallen(folder: Path, stage: str = EXPIRED, **more: object) -> Two:
    """A run whose first batch expired after two of its six rows."""
    run = two(project(folder, stage, **more))  # type: ignore[arg-type]  # handed on
    run.one.go()
    run.end(some(0, 1), "expired")
    assert not run.one.go().done
    return run


@pytest.mark.parametrize("models", [(HERE, THERE), (HERE, SAME)], ids=["two models", "one model at two hosts"])
def test_what_expired_is_asked_at_the_next_model(tmp_path: Path, models: tuple[str, ...]) -> None:
    run = fallen(tmp_path, models=models)
    (switch,) = run.switches
    assert (switch.left, switch.provider) == (("openai", "tiny-1"), "deepinfra")
    assert switch.reason.startswith("expired: 4 requests of one-")
    assert [q.split()[-1] for q in run.asked_at("deepinfra")] == ["2", "3", "4", "5"]
    assert run.one.states() == {"answered": 2, "in_flight": 4}
    run.end(ALL, host="deepinfra")
    assert run.one.go().done
    assert [row["text"] for row in run.one.table()] == [f"answer {n}" for n in range(6)]
    assert len(run.asked_at("openai")) == 6 and len(run.asked_at("deepinfra")) == 4
    assert run.one.states() == {"answered": 6}
