"""A stage that falls back from an engine of one's own, or from a host that is asked synchronously."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chimera_batch.calls import asking
from chimera_batch.errors import EngineFailed, EngineWhy, MaybeCreated, ProviderDown
from chimera_batch.rules import fallback
from chimera_batch.steps import switching
from chimera_batch.verbs import statusing
from tests.fallback_kit import ALL, HERE, THERE, Two, project, two
from tests.support import answered

LOCAL = "{provider: vllm, model: tiny-1, max_output_tokens: 100}"


def engine(folder: Path, stage: str = "", *, models: tuple[str, ...] = (LOCAL, THERE), rows: int = 6) -> Two:
    return two(project(folder, stage, models=models, rows=rows), first="vllm")


def breaks(run: Two, why: EngineWhy, after: int = 0) -> None:
    """The engine answers so many requests, one at a time, and fails from then on."""
    left = [after]

    def ask(line: bytes) -> bytes:
        if not left[0]:
            raise EngineFailed(f"vllm does not run:  {why}\nlog: engine.log", why=why, hint="doctor")
        left[0] -= 1
        return answered(line.split(b'"', 4)[3].decode(), "here")

    run.host("vllm").ask = ask  # type: ignore[method-assign]  # an engine that fails as told


@pytest.mark.parametrize(
    ("why", "word"),
    [
        ("not_installed", "no_gpu"),
        ("no_gpu", "no_gpu"),
        ("out_of_memory", "out_of_memory"),
        ("crash", "crash"),
        ("stalled", "crash"),
    ],
)
def test_without_an_engine_a_list_goes_on_at_the_next_host(tmp_path: Path, why: EngineWhy, word: str) -> None:
    run = engine(tmp_path)
    assert run.one.stage.window == "now", "an engine of one's own takes no batches"
    breaks(run, why)
    run.one.go()
    assert run.switches[0].reason == f"{word}: vllm does not run: {why} log: engine.log"
    assert run.one.stage.window == "24h" and len(run.asked_at("deepinfra")) == 6
    run.end(ALL, host="deepinfra")
    assert run.one.go().done
    assert statusing.status(run.one.ctx)["stages"][0]["switches"][0]["to"] == "deepinfra/tiny-2"


def test_a_rule_that_says_nothing_of_it_leaves_it_to_a_person(tmp_path: Path) -> None:
    run = engine(tmp_path, ", fallback: {on: [crash]}")
    breaks(run, "out_of_memory")
    with pytest.raises(EngineFailed):
        run.one.go()
    assert run.switches == [] and all(attempt.stand != "claimed" for _, attempt in run.one.pairs)


def test_one_model_alone_leaves_it_to_a_person(tmp_path: Path) -> None:
    run = engine(tmp_path, models=(LOCAL,))
    breaks(run, "crash")
    with pytest.raises(EngineFailed, match="does not run"):
        run.one.go()


def test_what_the_engine_answered_before_it_broke_stays(tmp_path: Path) -> None:
    run = engine(tmp_path)
    breaks(run, "crash", after=2)
    run.one.go()
    assert len(run.switches) == 1 and len(run.asked_at("deepinfra")) == 4
    run.end(ALL, host="deepinfra")
    assert run.one.go().done
    texts = [row["text"] for row in run.one.table()]
    assert texts.count("here") == 2 and len(texts) == 6


def test_down_the_whole_list_and_then_to_a_person(tmp_path: Path) -> None:
    more = "{provider: ollama, model: tiny-1, max_output_tokens: 100}"
    run = engine(tmp_path, models=(LOCAL, more))
    breaks(run, "crash")

    def ask(_line: bytes) -> bytes:
        raise EngineFailed("ollama is gone", why="crash")

    run.host("ollama").ask = ask  # type: ignore[method-assign]  # as above
    with pytest.raises(EngineFailed, match="ollama is gone"):
        run.one.go()
    assert [switch.provider for switch in run.switches] == ["ollama"]
    assert run.one.states() == {"packed": 6}


def test_a_synchronous_host_that_is_silent_is_left(tmp_path: Path) -> None:
    run = two(project(tmp_path, ", window: now, fallback: {on: [down]}", models=(HERE, THERE)))

    def ask(_line: bytes) -> bytes:
        raise ProviderDown("openai: HTTP 503")

    run.here.ask = ask  # type: ignore[method-assign]  # as above
    for _ in range(fallback.SILENCES + 1):
        done = run.one.go().done
    assert done and run.switches[0].reason == "down: openai: HTTP 503"
    assert len(run.there.called("ask")) == 6 and run.one.ctx.silences["one"] == 0


def test_a_create_in_doubt_is_not_let_go_because_the_host_is_down(tmp_path: Path) -> None:
    """Its batch may exist: asked elsewhere, its rows would be paid twice. It is looked up as ever, and waited for."""
    run = two(project(tmp_path, ", fallback: {on: [down]}", models=(HERE, THERE)))
    run.here.trouble = {"created": [MaybeCreated("the reply was lost")], "find": [ProviderDown("HTTP 503")]}
    run.one.go()
    (attempt,) = [attempt for _, attempt in run.one.pairs]
    assert attempt.stand == "claimed" and attempt.doubted_at is not None
    with pytest.raises(switching.Moved):
        switching.failed(run.one.ctx, run.one.stage, ProviderDown("openai: HTTP 503"))
    assert attempt.stand == "claimed" and run.switches == []
    run.one.go()
    assert attempt.batch is not None and run.switches == []


def test_an_engine_that_is_too_slow_finishes_what_it_has_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten minutes an answer leave most of sixty for later than the five hours."""
    monkeypatch.setattr(asking, "_TURN", 0.0)
    run = engine(tmp_path, ", fallback: {on: [], within: 5h}", rows=60)
    run.host("vllm").profile = replace(run.host("vllm").profile, at_once=1)

    def ask(line: bytes) -> bytes:
        run.one.clock.sleep(600.0)
        return answered(line.split(b'"', 4)[3].decode(), "here")

    run.host("vllm").ask = ask  # type: ignore[method-assign]  # as above
    run.one.go()
    assert run.one.states() == {"answered": 15, "packed": 45}, "half of the time is enough to see it"
    run.one.go()
    (switch,) = run.switches
    assert switch.reason.startswith("deadline: 6.0 answers an hour leave some of")
    assert run.one.states() == {"answered": 15, "in_flight": 45}
