"""Waves: a stage asks further rounds until a later stage has kept enough, sized from what was kept so far."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from chimera_batch import runner
from chimera_batch.errors import InputError
from chimera_batch.pipeline.project import Project
from chimera_batch.runner import Progress
from chimera_batch.steps import waves
from chimera_batch.stores import open_store
from chimera_batch.verbs import checking, quoting, statusing
from tests.conftest import ROOT
from tests.support import Bench, FakeHost, answered, bench, failed, write_project

Line = dict[str, Any]
Judge = Callable[[int], bool]

ROWS = """\
-- All drafts wanted so far: eight, then twice as many as are missing.
-- reads: previous, kept
-- $target: how many to keep
-- $most: how many drafts there can be
-- $round: this round
SELECT 'k' || lpad(i::VARCHAR, 3, '0') AS row_key, 'draft ' || i AS q
FROM range($most) AS t (i)
WHERE i < (SELECT count(*) FROM previous)
    + if($round = 1, 8, 2 * greatest(0, $target - (SELECT count(*) FROM kept)))
"""
ENOUGH = """\
-- Whether there are enough.
-- reads: kept
-- $target: how many to keep
SELECT count(*) >= $target FROM kept
"""
JUDGED = """\
-- What the drafts say of themselves.
-- reads: drafts
SELECT row_key, text FROM drafts ORDER BY row_key
"""
JUDGED_ROWS = """\
-- Every draft.
-- reads: drafts
SELECT row_key, 'judge ' || row_key || ': ' || text AS q FROM drafts ORDER BY row_key
"""
GOOD = """\
-- The good ones.
-- reads: judged
SELECT row_key, text FROM judged WHERE text = 'good' ORDER BY row_key
"""
FINAL_ROWS = """\
-- What is kept.
-- reads: good
SELECT row_key, 'final ' || row_key AS q FROM good ORDER BY row_key
"""
FILES = {
    "sql/tiny/drafts_rows.sql": ROWS,
    "sql/tiny/enough.sql": ENOUGH,
    "sql/tiny/judged.sql": JUDGED,
    "sql/tiny/judged_rows.sql": JUDGED_ROWS,
    "sql/tiny/good.sql": GOOD,
    "sql/tiny/final_rows.sql": FINAL_ROWS,
}
STAGES = """\
  - {{name: drafts, ask: m, prompt: tiny/one.md, rows: tiny/drafts_rows.sql, rounds: {rounds},
     assume: {{rows: 20}}}}
  - {{name: judged, {judged}}}
  - {{name: good, sql: tiny/good.sql}}
  - {{name: final, ask: m, prompt: tiny/one.md, rows: tiny/final_rows.sql}}
"""
BY_ITSELF = "sql: tiny/judged.sql"
BY_A_MODEL = "ask: m, prompt: tiny/one.md, rows: tiny/judged_rows.sql"
WAVES = "{max: 5, after: good, until: tiny/enough.sql, sized_by: [target]}"


def pipeline(
    folder: Path,
    *,
    target: int = 6,
    most: int = 60,
    rounds: str = WAVES,
    judged: str = BY_ITSELF,
    files: dict[str, str] | None = None,
) -> Project:
    """drafts → judged → good → final; ``good`` is what the waves of ``drafts`` wait for."""
    head = f"run: tiny\nstore: {folder / 'store'}\nparams: {{target: {target}, most: {most}, other: 1}}\n"
    head += "models: {m: {provider: openai, model: tiny-1, max_output_tokens: 100}}\nstages:\n"
    return write_project(
        folder, {**FILES, "tiny.yaml": head + STAGES.format(rounds=rounds, judged=judged), **(files or {})}
    )


def number_in(line: Line) -> int:
    found = re.search(r"\d+", question(line))
    assert found
    return int(found[0])


def question(line: Line) -> str:
    return str(line["body"]["messages"][0]["content"])


def minds(keep: Judge, *, fails: Judge = lambda _number: False) -> Callable[[Line], bytes]:
    """A model that says of each draft whether it is good, or fails; a judge repeats what it is shown."""

    def make(line: Line) -> bytes:
        if "judge" in question(line):
            return answered(line["custom_id"], question(line).split()[-1])
        if fails(number_in(line)):
            return failed(line["custom_id"])
        return answered(line["custom_id"], "good" if keep(number_in(line)) else "bad")

    return make


def every_third(number: int) -> bool:
    return number % 3 == 0


def serve(one: Bench, make: Callable[[Line], bytes]) -> int:
    """End every batch that is under way; how many were."""
    open_ = [batch for batch in one.host.batches.values() if batch.status == "in_progress"]
    for batch in open_:
        one.host.answer(batch.id, make)
    return len(open_)


def finish(one: Bench, make: Callable[[Line], bytes]) -> Progress:
    for _ in range(40):
        progress = one.go()
        if progress.done:
            return progress
        serve(one, make)
    raise AssertionError(f"it does not end: {progress}")


def asked(one: Bench) -> list[int]:
    """How many rows each wave asked."""
    rounds = one.ctx.facts.asked[one.ctx.run, "drafts"]
    return [rounds[number].rows for number in sorted(rounds)]


def keys(one: Bench, stage: str = "good") -> list[str]:
    return [row["row_key"] for row in one.table(stage)]


def questions(one: Bench) -> list[str]:
    return [question(line) for batch in one.host.batches.values() for line in batch.lines]


def tables(one: Bench) -> dict[str, str]:
    return {stage: table.sha256 for (_, stage), table in one.ctx.facts.tables.items()}


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A finished run: 8, 6 and 2 drafts, 6 of them good. Not to be changed: ``copied`` is."""
    one = bench(pipeline(tmp_path_factory.mktemp("calm")))
    finish(one, minds(every_third))
    return one


def copied(calm: Bench, folder: Path, **changes: Any) -> Bench:
    """The finished run elsewhere, with a manifest that may have been edited."""
    project = pipeline(folder, **changes)
    shutil.copytree(calm.ctx.store.url, project.store_url)
    return bench(project, host=deepcopy(calm.host))


# -- the target


def test_waves_go_on_until_enough_is_kept_and_later_stages_wait_for_the_last(tmp_path: Path) -> None:
    one = bench(pipeline(tmp_path, judged=BY_A_MODEL))
    finish(one, minds(every_third))
    # 8 drafts keep 3 (0, 3, 6); 2 x 3 more keep 2 (9, 12); 2 x 1 more keep 1 (15)
    assert asked(one) == [8, 6, 2]
    assert keys(one) == ["k000", "k003", "k006", "k009", "k012", "k015"]
    assert len(one.table("drafts")) == len(one.table("judged")) == 16
    assert [row["round"] for row in one.table("drafts")] == [1] * 8 + [2] * 6 + [3] * 2
    assert len(questions(one)) == len(set(questions(one))) == 16 + 16 + 6
    finals = [batch for batch in one.host.batches.values() if "final" in question(batch.lines[0])]
    assert [len(batch.lines) for batch in finals] == [6]
    assert one.ctx.facts.ended["tiny", "drafts"].reason == "enough"
    assert [line for line in one.said if "wave" in line] == [
        "drafts: wave 2 asks 6 further rows",
        "drafts: wave 3 asks 2 further rows",
    ]


@pytest.mark.slow
def test_one_pass_closes_a_wave_and_asks_the_next(tmp_path: Path) -> None:
    one = bench(pipeline(tmp_path, judged=BY_A_MODEL))
    sent = []
    for _ in range(5):
        sent.append(one.go().in_flight)
        serve(one, minds(every_third))
    assert sent == [8, 8, 6, 6, 2]


@pytest.mark.slow
def test_what_waits_for_the_last_wave_is_unfinished(tmp_path: Path) -> None:
    one = bench(pipeline(tmp_path, judged=BY_A_MODEL))
    progress = one.go()
    assert progress.unfinished == ["drafts", "judged", "good", "final"]
    serve(one, minds(every_third))
    assert one.go().unfinished == ["judged", "good", "final"]
    serve(one, minds(every_third))
    assert one.go().unfinished == ["drafts", "judged", "good", "final"]


@pytest.mark.slow
def test_a_later_stage_that_reads_none_of_what_is_sized_waits_too(tmp_path: Path) -> None:
    """`final` reads the drafts themselves, so it must not see those of the first wave alone."""
    rows = FINAL_ROWS.replace("reads: good", "reads: drafts").replace("FROM good", "FROM drafts")
    one = bench(pipeline(tmp_path, files={"sql/tiny/final_rows.sql": rows}))
    finish(one, minds(every_third))
    finals = [batch for batch in one.host.batches.values() if "final" in question(batch.lines[0])]
    assert [len(batch.lines) for batch in finals] == [16]


def test_the_first_wave_may_be_enough(tmp_path: Path) -> None:
    one = bench(pipeline(tmp_path))
    finish(one, minds(lambda _number: True))
    assert asked(one) == [8] and len(keys(one)) == 8


@pytest.mark.slow
def test_nothing_is_done_again_once_there_are_enough(
    calm: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = copied(calm, tmp_path)
    before, events = tables(one), one.ctx.facts.ended.copy()
    monkeypatch.setattr("chimera_batch.steps.joining.enough", lambda *_: pytest.fail("it is a fact already"))
    assert one.go().done and tables(one) == before and one.ctx.facts.ended == events


@pytest.mark.slow
def test_until_a_stage_inside_the_wave_is_one_wave(tmp_path: Path) -> None:
    one = bench(pipeline(tmp_path, judged=BY_A_MODEL))
    for _ in range(3):
        progress = runner.advance(one.ctx, until="judged")
        serve(one, minds(every_third))
    assert progress.done and asked(one) == [8]


@pytest.mark.slow
def test_without_until_waves_go_on_as_long_as_there_is_something_new(tmp_path: Path) -> None:
    one = bench(pipeline(tmp_path, rounds="{max: 5, after: good}"))
    finish(one, minds(every_third))
    assert asked(one) == [8, 6, 2]
    assert one.ctx.facts.ended["tiny", "drafts"].reason == "nothing new"
    assert not any("missed" in line for line in one.said)


# -- the target is missed


@pytest.mark.slow
def test_nothing_new_to_ask_ends_the_waves_and_says_so(tmp_path: Path) -> None:
    one = bench(pipeline(tmp_path, most=12))
    finish(one, minds(every_third))
    assert asked(one) == [8, 4] and len(keys(one)) == 4
    assert len(one.table("final")) == 4
    (said,) = [line for line in one.said if "missed" in line]
    assert said == (
        "drafts: the target was missed: after 2 waves its rows query has nothing new to ask,"
        " and tiny/enough.sql still says that this is not enough"
    )
    assert statusing.status(one.ctx)["notes"] == [said]


@pytest.mark.slow
def test_the_most_waves_end_the_waves_and_say_so(tmp_path: Path) -> None:
    one = bench(pipeline(tmp_path, rounds=WAVES.replace("max: 5", "max: 2")))
    finish(one, minds(every_third))
    assert asked(one) == [8, 6] and len(one.table("final")) == len(keys(one)) == 5
    assert [line for line in one.said if "missed" in line] == [
        "drafts: the target was missed: all 2 waves that `rounds: {max: …}` allows are asked,"
        " and tiny/enough.sql still says that this is not enough"
    ]
    one.said.clear()
    assert one.go().done and one.said == []  # it is said once


@pytest.mark.slow
def test_a_target_that_was_met_is_no_note(calm: Bench) -> None:
    assert statusing.status(calm.ctx)["notes"] == []


@pytest.mark.slow
def test_drafts_that_came_to_nothing_are_not_asked_again(tmp_path: Path) -> None:
    one = bench(pipeline(tmp_path))
    finish(one, minds(every_third, fails=lambda number: number in {3, 9}))
    assert len(keys(one)) >= 6
    assert not {"k003", "k009"} & set(keys(one))
    assert len(questions(one)) == len(set(questions(one)))


# -- changes afterwards


def test_a_higher_target_asks_one_more_wave_and_leaves_the_others(calm: Bench, tmp_path: Path) -> None:
    before = dict(calm.ctx.facts.asked["tiny", "drafts"])
    sent = len(questions(calm))
    two = copied(calm, tmp_path, target=7)
    finish(two, minds(every_third))
    assert asked(two) == [8, 6, 2, 2, 2]  # 16, 17 keep none; 18, 19 keep one
    assert {number: two.ctx.facts.asked["tiny", "drafts"][number] for number in before} == before
    assert len(keys(two)) == 7
    assert len(questions(two)) - sent == 4 + 1


@pytest.mark.slow
def test_a_lower_target_changes_nothing(calm: Bench, tmp_path: Path) -> None:
    before, sent = tables(calm), len(calm.host.batches)
    two = copied(calm, tmp_path, target=2)
    assert two.go().done and tables(two) == before and len(two.host.batches) == sent


@pytest.mark.slow
def test_more_waves_allowed_afterwards(tmp_path: Path) -> None:
    one = bench(pipeline(tmp_path / "one", rounds=WAVES.replace("max: 5", "max: 2")))
    finish(one, minds(every_third))
    two = copied(one, tmp_path / "two")
    finish(two, minds(every_third))
    assert asked(two) == [8, 6, 2] and len(keys(two)) == 6
    assert statusing.status(two.ctx)["notes"] == []


@pytest.mark.slow
def test_an_edited_rows_query_begins_anew_and_pays_nothing_twice(calm: Bench, tmp_path: Path) -> None:
    sent = len(calm.host.batches)
    edited = ROWS.replace("$round = 1, 8", "$round = 1, 16")
    two = copied(calm, tmp_path, files={"sql/tiny/drafts_rows.sql": edited})
    finish(two, minds(every_third))
    assert asked(two) == [16] and len(keys(two)) == 6
    assert len(two.host.batches) == sent


@pytest.mark.slow
def test_an_edited_later_stage_keeps_the_waves(calm: Bench, tmp_path: Path) -> None:
    """What is kept changes; closed waves are facts, and what is missing now is asked on top."""
    stricter = GOOD.replace("text = 'good'", "text = 'good' AND row_key <> 'k000'")
    two = copied(calm, tmp_path, files={"sql/tiny/good.sql": stricter})
    finish(two, minds(every_third))
    assert asked(two)[:3] == [8, 6, 2] and len(asked(two)) > 3
    assert len(keys(two)) == 6 and "k000" not in keys(two)
    assert len(questions(two)) == len(set(questions(two)))


@pytest.mark.slow
def test_a_retry_keeps_the_waves(tmp_path: Path) -> None:
    one = bench(pipeline(tmp_path))
    finish(one, minds(every_third, fails=lambda number: number == 3))
    waves_before = asked(one)
    one.ctx.ledger.retry("tiny", "drafts")
    finish(one, minds(every_third))
    assert asked(one) == waves_before and "k003" in keys(one)


@pytest.mark.slow
def test_a_param_that_shapes_rows_begins_anew(calm: Bench, tmp_path: Path) -> None:
    fingerprint = calm.ctx.facts.asked["tiny", "drafts"][1].fingerprint
    two = copied(calm, tmp_path, most=61)
    finish(two, minds(every_third))
    assert two.ctx.facts.asked["tiny", "drafts"][1].fingerprint != fingerprint
    assert asked(two) == [8, 6, 2] and tables(two) == tables(calm)


# -- several runners, and runs that end in the middle


@pytest.mark.slow
def test_two_runners_come_to_the_same_waves(calm: Bench, tmp_path: Path) -> None:
    project = pipeline(tmp_path)
    first = bench(project)
    second = bench(replace(project, root=tmp_path / "second"), host=first.host, store=first.ctx.store, owner="b:b:1:1")
    for _ in range(30):
        done = [first.go().done, second.go().done]
        if all(done):
            break
        serve(first, minds(every_third))
    assert all(done)
    assert tables(first) == tables(second) == tables(calm)
    assert asked(second) == [8, 6, 2]
    assert len(questions(first)) == len(set(questions(first)))


@pytest.mark.slow
def test_a_runner_that_is_behind_goes_on_from_the_wave_that_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its tables and its question, another runner closes the wave, asks the next one, and closes that."""
    project = pipeline(tmp_path)
    first = bench(project)
    second = bench(replace(project, root=tmp_path / "second"), host=first.host, store=first.ctx.store, owner="b:b:1:1")
    real, met = waves.again, list[bool]()

    def later(ctx: Any, stage: Any, made: Any) -> bool:
        if ctx is second.ctx and not met:
            met.append(True)
            for _ in range(2):
                first.go()
                serve(first, minds(every_third))
            assert asked(first) == [8, 6, 2]
            ctx.ledger.refresh()
        return real(ctx, stage, made)

    monkeypatch.setattr("chimera_batch.runner.waves.again", later)
    second.go()
    serve(second, minds(every_third))
    second.go()
    assert met and asked(second) == [8, 6, 2]
    finish(second, minds(every_third))
    assert len(keys(second)) == 6 and len(questions(second)) == len(set(questions(second)))


@pytest.mark.slow
def test_of_two_drawings_of_one_wave_the_first_stands(calm: Bench, tmp_path: Path) -> None:
    one = copied(calm, tmp_path)
    known = one.ctx.facts.asked["tiny", "drafts"][2]
    other = replace(known, fingerprint=f"{known.base}:0000000000000000", key="elsewhere")
    one.ctx.ledger.asked("tiny", "drafts", other)
    assert one.ctx.facts.asked["tiny", "drafts"][2] == known and len(asked(one)) == 3
    one.ctx.ledger.asked("tiny", "drafts", replace(other, fingerprint="another"))
    assert len(asked(one)) == 2  # drawn from something else: it replaces, and later ones go


class Filmed:
    """A store that calls ``see`` before or after each write that matters."""

    def __init__(
        self, store: Any, see: Callable[[], None], *, after: bool, matters: Callable[[str, bytes], bool]
    ) -> None:
        self._store, self._see, self._after, self._matters = store, see, after, matters

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def create(self, key: str, data: bytes) -> bool:
        return self._write(key, data, lambda: bool(self._store.create(key, data)))

    def create_file(self, key: str, path: Path, *, drop: bool = False) -> bool:
        return self._write(key, b"", lambda: bool(self._store.create_file(key, path, drop=drop)))

    def _write(self, key: str, data: bytes, do: Callable[[], bool]) -> bool:
        matters = self._matters(key, data)
        if matters and not self._after:
            self._see()
        done = do()
        if matters and self._after:
            self._see()
        return done


def of_the_second_wave(_key: str, data: bytes) -> bool:
    """The event that makes it a fact."""
    return b'"type":"asked"' in data and b'"stage":"drafts","round":2' in data


@dataclass(frozen=True)
class Corpse:
    """What a kill at one place leaves: the folders of the project, and the host."""

    project: Project
    host: FakeHost


OWN = shutil.ignore_patterns("*.yaml", "step-*")
"""What the copy has already, and the scratch of a step, which nobody reads again."""


def as_it_is(old: str, new: str) -> None:
    """A file that another thread of the run takes away meanwhile was not there."""
    with suppress(FileNotFoundError):
        shutil.copy2(old, new)


def killed_everywhere(folder: Path, matters: Callable[[str, bytes], bool], *, after: bool) -> list[Corpse]:
    """One run, and what it would have left if it had been killed before every odd write, or after every even one."""
    project, corpses, writes = pipeline(folder / "whole"), list[Corpse](), itertools.count(1)

    def see() -> None:
        if next(writes) % 2 == after:
            return
        left = pipeline(folder / f"{len(corpses)}")
        shutil.copytree(project.root, left.root, dirs_exist_ok=True, ignore=OWN, copy_function=as_it_is)
        corpses.append(Corpse(left, deepcopy(one.host)))

    store: Any = Filmed(open_store(project.store_url, cache=project.root / "cache"), see, after=after, matters=matters)
    one = bench(project, store=store)
    finish(one, minds(every_third))
    return corpses


def goes_on(left: Corpse, calm: Bench) -> None:
    """Another run on what is left ends like the calm one."""
    again = bench(left.project, host=left.host)
    again.clock.now += 2000  # the lease of the dead one is over, and so is the time in which a batch can show
    finish(again, minds(every_third))
    assert tables(again) == tables(calm)
    assert asked(again) == [8, 6, 2]
    assert len(questions(again)) == len(set(questions(again)))


@pytest.mark.slow
def test_killed_before_the_second_wave_is_a_fact(calm: Bench, tmp_path: Path) -> None:
    [left] = killed_everywhere(tmp_path, of_the_second_wave, after=False)
    goes_on(left, calm)


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_every_write_the_bytes_are_the_same(calm: Bench, tmp_path: Path, after: bool) -> None:
    corpses = killed_everywhere(tmp_path, lambda key, _data: key != "format.json", after=after)
    assert len(corpses) > 30
    for left in corpses:
        goes_on(left, calm)


# -- what a manifest may say


@pytest.mark.slow
def test_kept_is_empty_in_the_first_wave_and_holds_rows_later(tmp_path: Path) -> None:
    rows = """\
-- A row per wave, with what was kept before it.
-- reads: kept
-- $round: this round
-- $target: how many to keep
SELECT 'w' || $round AS row_key, 'draft ' || $round AS q, (SELECT count(*) FROM kept)::INTEGER AS count,
    coalesce((SELECT string_agg(row_key || ' ' || (row ->> 'text'), ', ' ORDER BY row_key) FROM kept), '') AS names
WHERE $target > 0
"""
    one = bench(pipeline(tmp_path, target=3, files={"sql/tiny/drafts_rows.sql": rows}))
    finish(one, minds(lambda _number: True))
    assert [(row["count"], row["names"]) for row in one.table("drafts")] == [
        (0, ""),
        (1, "w1 good"),
        (2, "w1 good, w2 good"),
    ]


@pytest.mark.slow
def test_the_estimate_and_check_write_nothing_and_see_the_waves(tmp_path: Path) -> None:
    one = bench(pipeline(tmp_path, files={"prompts/tiny/one.md": "{{ q }}\n"}))
    counted = checking.check(one.ctx)["stages"][0]
    assert (counted["stage"], counted["requests"], counted["distinct"]) == ("drafts", 8, 8)
    before = quoting.quote(one.ctx)["stages"][0]
    assert before["requests"] == 20  # what is assumed of all waves
    assert ("tiny", "drafts") not in one.ctx.facts.asked
    one.go()
    serve(one, minds(every_third))
    one.go()
    assert asked(one) == [8, 6]
    again = quoting.quote(one.ctx)["stages"][0]
    assert again["requests"] == 6 and one.ctx.facts.ended == {}  # 14 of 20 are drawn, and 8 of them answered
    assert asked(one) == [8, 6]
    finish(one, minds(every_third))
    assert quoting.quote(one.ctx)["stages"][0]["requests"] == 0


@pytest.mark.parametrize(
    ("rounds", "said"),
    [
        ("{max: 2, after: nowhere}", "`nowhere` is not a stage below this one"),
        ("{max: 2, after: goodd}", "did you mean `good`?"),
        ("{max: 2, after: drafts}", "`drafts` is not a stage below this one"),
        ("{max: 2, after: good, sized_by: [targe]}", "`targe` is not among the params; did you mean `target`?"),
    ],
)
def test_a_manifest_that_cannot_be(tmp_path: Path, rounds: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        pipeline(tmp_path, rounds=rounds)


def test_waves_may_not_overlap(tmp_path: Path) -> None:
    text = STAGES.replace("{judged}", BY_A_MODEL + ", rounds: {{max: 2, after: final}}")
    head = f"run: tiny\nstore: {tmp_path / 'store'}\nparams: {{target: 6, most: 60}}\n"
    head += "models: {m: {provider: openai, model: tiny-1, max_output_tokens: 100}}\nstages:\n"
    with pytest.raises(InputError, match="waves may not overlap"):
        write_project(tmp_path, {**FILES, "tiny.yaml": head + text.format(rounds=WAVES)})


def test_what_waves_wait_for_must_be_made_from_them(tmp_path: Path) -> None:
    good = "-- Nothing of the drafts.\n-- reads: nothing\nSELECT 'a' AS row_key\n"
    one = bench(pipeline(tmp_path, files={"sql/tiny/good.sql": good}))
    with pytest.raises(InputError, match="wait for good, which is not made from it"):
        checking.check_files(one.ctx)


def test_a_table_query_cannot_read_what_is_kept(tmp_path: Path) -> None:
    table = "-- No.\n-- reads: answers, kept\nSELECT row_key FROM answers WHERE row_key IN (SELECT row_key FROM kept)\n"
    rounds = WAVES + ", table: tiny/drafts.sql"
    one = bench(pipeline(tmp_path, rounds=rounds, files={"sql/tiny/drafts.sql": table}))
    with pytest.raises(InputError, match="cannot read `kept`"):
        checking.check(one.ctx)


@pytest.mark.slow
def test_the_page_about_stopping_at_a_target_is_true(tmp_path: Path) -> None:
    """Its two blocks, with the files that it does not show, keep what they were told to in two waves."""
    page = (ROOT / "docs" / "your-own-pipeline.md").read_text(encoding="utf-8").split("## Stop at a target")[1]
    [stages] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    [rows] = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    model = "{provider: openai, model: tiny-1, max_output_tokens: 100}"
    head = f"run: tiny\nstore: {tmp_path / 'store'}\nparams: {{target: 1000}}\n"
    files = {
        "tiny.yaml": f"{head}models: {{writer: {model}, judge: {model}}}\nstages:\n{stages}",
        "sql/my/drafts_rows.sql": rows,
        "sql/my/drafts_enough.sql": ENOUGH,
        "sql/my/judged_rows.sql": JUDGED_ROWS,
        "sql/my/kept_drafts.sql": GOOD,
        "prompts/my/drafts.md": "write {{ number }}\n",
        "prompts/my/judged.md": "{{ q }}\n",
    }
    one = bench(write_project(tmp_path, files))
    assert checking.check(one.ctx)["stages"][0]["requests"] == 800
    finish(one, minds(lambda number: number % 4 != 0))
    assert asked(one) == [800, 534]
    assert 1000 <= len(one.table("kept_drafts")) <= 1001
