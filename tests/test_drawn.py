"""What a quote drew is what the run asks: nothing is rendered twice, nothing stale is used, nothing is left behind."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from chimera_batch import runner
from chimera_batch.cost import tokens
from chimera_batch.pipeline.stage import Source
from chimera_batch.requests.blocks import BlockWriter
from chimera_batch.requests.drawn import Drawings, Drawn, sweep
from chimera_batch.steps import drawing
from chimera_batch.steps.stepping import Step
from tests.support import Bench, bench, write_project


def drawn(folder: Path, rows: int) -> Drawn:
    folder.mkdir(exist_ok=True)
    (folder / "asked.parquet").write_text(str(rows))
    with BlockWriter(folder / "lines.blocks") as writer:
        writer.add([0], [b"line\n"])
    return Drawn(folder / "asked.parquet", rows, rows, "r", writer.blocks)


def test_only_what_was_drawn_of_the_same_is_given_out(tmp_path: Path) -> None:
    kept = Drawings(tmp_path / "kept")
    kept.keep("one", 1, "mark", drawn(tmp_path / "a", 7))
    assert kept.look("one", 1, "other") is None
    assert kept.look("one", 2, "mark") is None
    assert kept.look("two", 1, "mark") is None
    assert kept.take("one", 1, "other", tmp_path) is None
    seen = kept.look("one", 1, "mark")
    assert seen is not None and seen.rows == 7 and seen.path.read_text() == "7"
    (tmp_path / "step").mkdir()
    taken = kept.take("one", 1, "mark", tmp_path / "step")
    assert taken is not None and taken.path == tmp_path / "step" / "asked.parquet"
    assert taken.lines is not None and taken.lines.sizes([0]) == [5]
    assert kept.look("one", 1, "mark") is None, "it is given once"


def test_a_later_drawing_takes_the_place_of_the_earlier_one(tmp_path: Path) -> None:
    kept = Drawings(tmp_path / "kept")
    kept.keep("one", 1, "old", drawn(tmp_path / "a", 7))
    kept.keep("one", 1, "new", drawn(tmp_path / "a", 8))
    assert kept.look("one", 1, "old") is None
    found = kept.look("one", 1, "new")
    assert found is not None and found.path.read_text() == "8"
    assert len(list((tmp_path / "kept").iterdir())) == 2
    kept.close()
    assert not (tmp_path / "kept").exists()
    kept.close()


@pytest.fixture
def one(tmp_path: Path) -> Bench:
    made = bench(write_project(tmp_path))
    return replace(made, ctx=replace(made.ctx, drawings=Drawings(tmp_path / "drawn")))


def walk(one: Bench, *, keep: bool) -> None:
    with one.step() as step:
        settle = (lambda paths: runner.packed(step, paths)[0]) if keep else step.stand
        step.walk(settle, keep=keep)


def test_a_run_sends_what_its_quote_drew(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    walk(one, keep=False)
    walk(one, keep=False)
    with monkeypatch.context() as patched:
        patched.delattr(drawing, "draw")
        patched.delattr(drawing, "render_again")
        walk(one, keep=True)
    assert [shard.requests for shard in one.ctx.facts.shards.values()] == [3]
    assert one.ctx.drawings is not None and not list((one.ctx.work).glob("drawn/*"))


def test_what_changed_since_is_drawn_again(one: Bench) -> None:
    walk(one, keep=False)
    assert one.stage.prompt is not None
    stage = replace(one.stage, prompt=replace(one.stage.prompt, text="Other: {{ q }}\n"))
    changed = replace(one, ctx=replace(one.ctx, told=replace(one.ctx.project, stages=(stage,))))
    with changed.ctx.warehouse() as (warehouse, folder):
        step = Step(changed.ctx, stage, {}, warehouse, folder)
        step.walk(lambda paths: runner.packed(step, paths)[0], keep=True)
    (shard,) = one.ctx.facts.shards.values()
    fresh = bench(write_project(one.ctx.work / "fresh", {"prompts/tiny/one.md": "Other: {{ q }}\n"}))
    walk(fresh, keep=True)
    assert shard.id in {other.id for other in fresh.ctx.facts.shards.values()}


def test_a_command_that_asks_nothing_keeps_no_lines(tmp_path: Path) -> None:
    made = bench(write_project(tmp_path))
    with made.step() as step:
        step.walk(step.stand, keep=False)
        assert not list(step.folder.glob("*.blocks"))


def test_what_a_killed_command_left_is_swept_up(tmp_path: Path) -> None:
    work = tmp_path / "work"
    sweep(work, 100.0)
    for name, touched in (("step-old", 99.0), ("step-new", 101.0)):
        (work / name).mkdir(parents=True)
        (work / name / "lines.blocks").write_bytes(b"x")
        os.utime(work / name, (touched, touched))
    sweep(work, 100.0)
    assert [path.name for path in work.iterdir()] == ["step-new"]


@pytest.mark.slow
def test_a_large_round_lets_go_of_its_vocabulary_and_the_next_one_counts_alike(
    one: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    forget = tokens.forget

    def forgotten() -> None:
        told.append(1)
        forget()

    monkeypatch.setattr(tokens, "forget", forgotten)
    query = Source("t", Path("t"), "SELECT input_tokens FROM t ORDER BY position")
    counts = []
    for many in (1, 10**6):
        monkeypatch.setattr(drawing, "_MANY", many)
        with one.step() as step:
            found = drawing.draw(one.ctx, step.stage, 1, step.warehouse, step.folder)
            step.warehouse.view("t", [found.path])
            counts.append(list(step.warehouse.rows(query, {})))
    assert told == [1], "the second was not large"
    assert counts[0] == counts[1] and counts[0][0][0] > 0
