"""The bench of savings: its runs differ in what they say and in nothing else, and it judges what it measures."""

from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bench import _figures, _pipelines, savings
from bench._figures import Figures
from chimera_batch import api
from chimera_batch.opening import Options
from chimera_batch.pipeline import project
from chimera_batch.rehearsal.lengths import Lengths
from tests.conftest import ROOT
from tests.test_chimera_sql import Desk

TECHNIQUES = ["screening", "cascade", "waves", "retries", "caching", "checks", "routing"]
QUOTAS = {  # of the target that chimera.yaml asks for: the 9,225 of the paper and a margin
    "Mathematics": 4625, "Computer Science": 1329, "Chemistry": 1120, "Physics": 774,
    "Literature": 516, "History": 427, "Biology": 387, "Linguistics": 322,
}  # fmt: skip


# -- the runs


def test_there_is_a_run_for_everything_that_saves() -> None:
    assert _pipelines.names() == ["naive", "all", *TECHNIQUES]
    with pytest.raises(KeyError):
        _pipelines.patches("nothing")


@pytest.mark.parametrize("name", _pipelines.names())
def test_every_run_is_a_project_that_can_be_run(name: str, tmp_path: Path) -> None:
    made = _pipelines.write(name, tmp_path, scale=0.25, seed=7)
    loaded = project.load(made)
    assert loaded.budget_usd is None
    assert loaded.rehearsal["seed"] == 7
    found = api.check(made, Options(store=str(tmp_path / "runs"), rehearse=True))
    assert found["ok"]
    assert found["stages"][0]["requests"] > 8
    for stage in loaded.stages:
        if stage.prompt is not None:
            assert ROOT / "prompts" in stage.prompt.path.parents, "the prompts are everybody's"


def _different(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Where two manifests differ, as paths; entries of lists by their name."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            yield from _different(one.get(key), other.get(key), f"{path}.{key}" if path else key)
    elif path == "stages":
        for left, right in zip(one, other, strict=True):
            yield from _different(left, right, left["name"])
    elif one != other:
        yield path


ASKED = ["topics", "problems", "conversions", "verdict_a", "verdict_b", "solutions", "judgements"]
ASKED += ["arbitration", "arbitration_judgements", "same_topics"]
DIFFERENCES = {
    "screening": (set(), {"candidates", "verified"}),
    "cascade": (set(), {"verdict_b_rows"}),
    "waves": ({"params.problems", "params.problems_per_topic"}, set()),
    "retries": (
        {
            f"{stage}.retry.{rule}"
            for stage in ASKED
            for rule in ("truncated.times", "truncated.ceiling", "truncated.pays", "invalid", "refused", "error")
        },
        set(),
    ),
    "caching": (
        {"models.verifier_a.cache", "models.verifier_b.cache", "models.judge.cache", "rehearsal.caches"},
        set(),
    ),
    "checks": (set(), {"checks"}),
    "routing": ({"solutions.route"}, set()),
    "naive": (None, {"candidates", "verdict_b_rows", "checks"}),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_run_differs_from_all_in_its_technique_alone(name: str) -> None:
    settings, files = DIFFERENCES[name]
    if settings is None:  # naive: all of them
        settings = set().union(*(DIFFERENCES[one][0] or () for one in TECHNIQUES))
    assert set(_different(_pipelines.manifest("all"), _pipelines.manifest(name))) == settings
    assert _pipelines.files(name).keys() == {f"sql/chimera/{file}.sql" for file in files}
    assert _pipelines.files("all") == {}


def test_all_is_the_shipped_pipeline_with_nothing_but_savings_on_top() -> None:
    shipped = yaml.safe_load((ROOT / "manifests" / "chimera.yaml").read_text("utf-8"))
    found = set(_different(shipped, _pipelines.manifest("all")))
    rehearsed = {path for path in found if path.startswith(("rehearsal", "providers"))} | {"run", "budget", "prices"}
    assert found - rehearsed <= {
        "models.solver", "models.verifier_a.cache", "models.verifier_b.cache", "models.judge.cache", "solutions.route",
        "params.problems_per_topic", *(f"{stage}.retry" for stage in ASKED),
        *(f"{stage}.retry.truncated.pays" for stage in ASKED),
    }  # fmt: skip
    assert _pipelines.manifest("all")["models"]["solver"][0] == shipped["models"]["solver"][0]


@pytest.mark.parametrize("name", _pipelines.names())
def test_every_model_has_half_the_price_in_a_batch(name: str, tmp_path: Path) -> None:
    from chimera_batch.cost import prices

    loaded = project.load(_pipelines.write(name, tmp_path))
    book = prices.load(loaded.prices_path)
    calls = {call for stage in loaded.stages for call in stage.calls}
    assert {call.provider for call in calls} == {"openai", "anthropic", "deepinfra", "nebius"}
    for call in calls:
        price = book.price(call.provider, call.model, datetime(2026, 11, 22).date())  # noqa: DTZ001 - a day, no moment
        batch, sync = (price.rates(tier=0, batch=batch) for batch in (True, False))
        assert batch.output * _figures.STANDARD == sync.output
        assert batch.input * _figures.STANDARD == sync.input


def test_routing_has_the_choice_of_two_hosts_of_one_model(tmp_path: Path) -> None:
    (loaded,) = [one for one in project.load(_pipelines.write("all", tmp_path)).stages if one.name == "solutions"]
    first, second = loaded.calls
    assert first.model == second.model
    assert replace(first, provider=second.provider) == second


def test_lengths_are_heavy_tailed_and_cut_by_the_ceilings_now_and_then() -> None:
    made = _pipelines.manifest("all")
    lengths = Lengths(made["rehearsal"])
    cut = {}
    for name, model in (("chimera_problems", "author"), ("chimera_verdict", "verifier_a"), ("text", "solver")):
        told = made["models"][model]
        ceiling = (told[0] if isinstance(told, list) else told)["max_output_tokens"]
        drawn = [lengths.tokens(name, "", f"{n:032x}", 1) or 0 for n in range(4000)]
        mean = sum(drawn) / len(drawn)
        cv = math.sqrt(sum((one - mean) ** 2 for one in drawn) / len(drawn)) / mean
        assert mean == pytest.approx(made["rehearsal"]["lengths"][name]["mean"], rel=0.1)
        assert 0.85 < cv < 1.4
        cut[name] = sum(one > ceiling for one in drawn) / len(drawn)
    assert all(0.02 < share < 0.12 for share in cut.values()), cut


# -- targets and patches


def test_the_target_is_shared_out_by_quotas() -> None:
    assert _pipelines.targets() == QUOTAS
    assert sum(QUOTAS.values()) == 9500


@given(st.floats(0.02, 1))
@pytest.mark.slow
def test_targets_sum_up_at_every_scale(scale: float) -> None:
    targets = _pipelines.targets(scale)
    assert sum(targets.values()) == _pipelines.target(scale)
    assert targets.keys() == QUOTAS.keys()


@pytest.mark.parametrize("scale", [1.0, 0.25, 0.1, 0.03])
def test_targets_are_those_of_the_query_that_ends_the_waves(scale: float) -> None:
    params = _pipelines.manifest("all", scale)["params"]
    targets = _pipelines.targets(scale)
    enough = (ROOT / "sql" / "chimera" / "problems_enough.sql").read_text("utf-8")

    def ask(kept: dict[str, int]) -> bool:
        with duckdb.connect() as db:
            for table in ("taxonomy (subject VARCHAR)", 'previous (row_key VARCHAR, "row" JSON)'):
                db.execute(f"CREATE TABLE {table}")
            db.execute('CREATE TABLE kept (row_key VARCHAR, "row" JSON)')
            for one in params["subjects"]:
                db.execute("INSERT INTO taxonomy SELECT ? FROM range(?)", [one["subject"], one["topics"]])
            for subject, count in kept.items():
                row = json.dumps({"subject": subject})
                db.execute("INSERT INTO kept SELECT ? || range, ? FROM range(?)", [subject, row, count])
            names = ("subjects", "problems", "problems_per_topic")
            ((said,),) = db.execute(enough, {name: params[name] for name in names}).fetchall()
            return bool(said)

    assert ask(targets)
    for subject in targets:
        assert not ask({**targets, subject: targets[subject] - 1}), subject


def test_the_scale_shrinks_topics_and_target_alike() -> None:
    whole, quarter = _pipelines.manifest("all"), _pipelines.manifest("all", 0.25)
    topics = [sum(one["topics"] for one in made["params"]["subjects"]) for made in (whole, quarter)]
    assert topics[1] / topics[0] == pytest.approx(0.25, rel=0.02)
    assert quarter["params"]["problems"] == 2375
    assert _pipelines.manifest("waves", 0.25)["params"]["problems"] is None
    for name, most in (("all", 16), ("waves", 12), ("naive", 12)):
        assert _pipelines.manifest(name)["params"]["problems_per_topic"] == most
    assert min(one["topics"] for one in _pipelines.manifest("all", 0.001)["params"]["subjects"]) == 1


def test_a_patch_is_laid_over_key_by_key() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "stages": [{"name": "x", "keep": 1, "retry": {"n": 1}}, {"name": "y"}]}
    before = copy.deepcopy(base)
    patch = {"a": {"c": [3]}, "stages": {"x": {"retry": {"m": None}}}, "new": {"d": 4}}
    assert _pipelines.laid_over(base, patch) == {
        "a": {"b": 1, "c": [3]},
        "stages": [{"name": "x", "keep": 1, "retry": {"n": 1, "m": None}}, {"name": "y"}],
        "new": {"d": 4},
    }
    assert base == before
    with pytest.raises(KeyError, match="z"):
        _pipelines.laid_over(base, {"stages": {"z": {}}})


@given(st.recursive(st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner)))
def test_an_empty_patch_changes_nothing(base: Any) -> None:
    if isinstance(base, dict):
        assert _pipelines.laid_over(base, {}) == base
    assert _pipelines.laid_over(base, base) == base


# -- the SQL of the naive pipeline


@pytest.fixture
def desk() -> Desk:
    return Desk()


def ours(desk: Desk, name: str) -> list[dict[str, Any]]:
    cursor = desk.db.execute((_pipelines.HERE / "sql" / name).read_text("utf-8"))
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def test_without_checks_every_trace_goes_to_the_judge(desk: Desk) -> None:
    texts = {"p1": r"So it is \boxed{42}.", "p2": "I do not know", "p3": " ", "p4": None}
    rows = [{"row_key": key, "problem_key": key, "text": text} for key, text in texts.items()]
    desk.table("solutions", "row_key VARCHAR, problem_key VARCHAR, text VARCHAR", rows)
    found = ours(desk, "checks.sql")
    assert {row["row_key"]: row["final_answer"] for row in found} == {
        "p1": "42", "p2": "I do not know", "p3": "none", "p4": "none",
    }  # fmt: skip
    assert {(row["match"], row["doubt"]) for row in found} == {("unsure", True)}


CANDIDATES = """row_key VARCHAR, subject VARCHAR, topic VARCHAR, question VARCHAR, reference_answer VARCHAR,
    answer_kind VARCHAR"""


def test_without_the_cascade_the_second_verifier_is_asked_what_the_first_one_is(desk: Desk) -> None:
    usual = {"subject": "s", "topic": "t", "question": "q", "reference_answer": "1", "answer_kind": "number"}
    desk.table("candidates", CANDIDATES, [{"row_key": f"k{number}", **usual} for number in range(5)])
    assert len(ours(desk, "verdict_b_rows.sql")) == 5
    assert ours(desk, "verdict_b_rows.sql") == desk.run("chimera/verdict_a_rows.sql")


def test_without_screening_what_is_kept_is_screened_late(desk: Desk) -> None:
    drafts = {"ok": ("q", "ok"), "again": ("q", "same problem"), "empty": (" ", "empty")}
    rows = [
        {"row_key": key, "question": question, "reference_answer": "a", "reason": reason}
        for key, (question, reason) in drafts.items()
    ]
    columns = "row_key VARCHAR, question VARCHAR, reference_answer VARCHAR, reason VARCHAR, duplicate_of VARCHAR"
    desk.table("screened", columns, rows)
    candidates = ours(desk, "candidates.sql")
    assert [row["row_key"] for row in candidates] == ["again", "ok"]
    desk.table("candidates", "row_key VARCHAR, question VARCHAR, reference_answer VARCHAR", candidates)
    verdicts = [{"row_key": key, "kept": True, "own_answer": "x"} for key in drafts]
    for verdict in ("verdict_a", "verdict_b"):
        desk.table(verdict, "row_key VARCHAR, kept BOOLEAN, objection VARCHAR, own_answer VARCHAR", verdicts)
    assert [row["row_key"] for row in ours(desk, "verified_screened_late.sql")] == ["ok"]
    assert [row["row_key"] for row in desk.run("chimera/verified.sql")] == ["again", "ok"], "the naive run keeps both"


# -- figures


def test_synchronous_prices_are_twice_those_of_a_batch_and_of_nothing_else() -> None:
    bill = [
        {"usd": "0.10", "sync": False, "flex": False},
        {"usd": "0.03", "sync": True, "flex": False},
    ]
    assert _figures.standard(bill) == Decimal("0.23")
    assert _figures.standard([]) == 0


def test_faults_are_those_of_drafts() -> None:
    lines = [
        {"request_id": "a", "planted": "wrong_answer"},
        {"request_id": "b", "planted": "verifier_miss"},
        {"request_id": "c", "planted": "invalid_json"},
        {"request_id": "d", "planted": "duplicate_problem"},
    ]
    assert _figures.faults_of(lines) == {"a": "wrong_answer", "d": "duplicate_problem"}


def test_the_first_of_a_well_worn_problem_is_no_fault_and_its_repeats_are() -> None:
    planted = {"1": "duplicate_problem", "2": "duplicate_problem", "3": "duplicate_problem", "4": "ambiguous"}
    rows = [
        ("k1", "s", "a", "1"),
        ("k2", "s", "a", "2"),
        ("k3", "s", "b", "3"),
        ("k4", "s", "a", "4"),
        ("k5", "s", "a", "5"),
    ]
    assert _figures.faults_among(rows, planted) == {"ambiguous": 1, "duplicate_problem": 1}
    assert _figures.faults_among(rows[::-1], planted) == {"ambiguous": 1, "duplicate_problem": 1}
    assert _figures.faults_among([], planted) == {}


START = datetime(2026, 11, 22)  # noqa: DTZ001 - as DuckDB hands moments over


def batch(stage: str, shard: str, attempt: int, sent: float, landed: float) -> _figures.Batch:
    return stage, shard, attempt, START + timedelta(seconds=sent), START + timedelta(seconds=landed)


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        ([], 0),
        ([("a", "a1", 1, 0, 1)], 1),
        ([("a", "a1", 1, 0, 1), ("a", "a2", 1, 0.1, 1.2)], 1),  # side by side
        ([("a", "a1", 1, 0, 1), ("a", "a2", 1, 1.1, 2)], 2),  # a canary, then the rest
        ([("a", "a1", 1, 0, 1), ("a", "a1", 2, 1.1, 2), ("b", "b1", 1, 2.1, 3)], 3),  # asked again, then the next stage
        # two shards asked again, one after the other by the clock: both would be asked again in one night
        ([("a", "a1", 1, 0, 1), ("a", "a2", 1, 0, 3), ("a", "a1", 2, 1.1, 2), ("a", "a2", 2, 3.1, 4)], 2),
        # two stages side by side, asked again in turn by the clock: they do not wait for one another
        ([("a", "a1", 1, 0, 1), ("b", "b1", 1, 0.1, 2), ("a", "a1", 2, 1.1, 1.9), ("b", "b1", 2, 2.1, 3)], 2),
        # two waves
        ([("a", "a1", 1, 0, 1), ("b", "b1", 1, 1.1, 2), ("a", "a2", 1, 2.1, 3), ("b", "b2", 1, 3.1, 4)], 4),
    ],
)
def test_nights_are_batches_that_wait_for_one_another(batches: list[Any], expected: int) -> None:
    sent = sorted((batch(*one) for one in batches), key=lambda one: one[3])
    assert _figures.nights(sent) == expected


def figures(name: str, usd: str = "100", **more: Any) -> Figures:
    usual = {
        "ledger": Decimal(usd), "standard": Decimal(usd) * 2, "stages": {"solutions": Decimal(usd) / 2},
        "kept": {"Physics": 60, "History": 40}, "rows": "same", "drafts": 130, "correct": 90, "faulty": 2,
    }  # fmt: skip
    return Figures(name=name, usd=Decimal(usd), **{**usual, **more})


def test_figures_survive_the_way_out_of_their_process() -> None:
    one = figures("all", "12.345678901234", faults={"ambiguous": 2}, requests=5, nights=3, seconds=1.5)
    assert _figures.figures(json.loads(json.dumps(asdict(one), default=str))) == one


def test_traces_of_the_surplus_can_be_left_out() -> None:
    one = figures("naive")
    assert one.all_kept == 100
    assert one.rate == 0.02
    assert one.sound == 98
    assert one.on_target(100) == one.on_target(200) == 100
    assert one.on_target(80) == 90  # a fifth of the 50 dollars for traces
    assert figures("none", kept={}).rate == 0.0


# -- judging

TARGETS = {"Physics": 60, "History": 40}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"all": {"usd": "66"}}, "34.0% of the naive run"),
        ({"all": {"usd": "65"}}, None),  # exactly 35 %
        ({"naive": {"standard": Decimal(171)}}, "at once"),
        ({"all": {"kept": {"Physics": 59, "History": 41}}}, "all: 59 of 60 problems in Physics"),
        ({"naive": {"kept": {"Physics": 60}}}, "naive: 0 of 40 problems in History"),
        ({"all": {"ledger": Decimal("59.98")}}, "the bill says 60.00, the ledger 59.98"),
        ({"all": {"ledger": Decimal("60.001")}}, None),
        ({"all": {"faulty": 3}}, None),  # within the noise
        ({"all": {"faulty": 12}}, "is faulty"),
        ({"cascade": {"rows": "others"}}, "cascade keeps other rows"),
    ],
)
def test_what_falls_short_is_said(changed: dict[str, dict[str, Any]], said: str | None) -> None:
    usual = {"naive": {"usd": "100"}, "all": {"usd": "60"}, "cascade": {"usd": "63"}}
    found = {name: figures(name, **{**given, **changed.get(name, {})}) for name, given in usual.items()}
    short = savings.flaws(found, TARGETS)
    assert len(short) == (said is not None), short
    assert said is None or said in short[0]


def test_other_rows_are_no_flaw_where_other_rows_are_drafted() -> None:
    found = {"all": figures("all"), "waves": figures("waves", rows="others"), "retries": figures("retries", rows="o")}
    assert savings.flaws(found, TARGETS) == []


def test_the_error_of_a_difference_shrinks_with_what_was_kept() -> None:
    few, many = figures("all"), figures("all", kept={"Physics": 10_000}, faulty=200)
    assert few.rate == many.rate
    assert savings.error(few, few) == pytest.approx(math.sqrt(2 * 0.02 * 0.98 / 100))
    assert savings.error(few, few) == pytest.approx(10 * savings.error(many, many))


def test_the_table_names_every_saving_and_its_dollars() -> None:
    found = {name: figures(name, "60" if name == "all" else "75.50") for name in _pipelines.names()}
    text = "\n".join(savings.show(found, TARGETS))
    for name in TECHNIQUES:
        assert f"`all` without {name} | 75.50" in text
        assert f"| {name} | {_pipelines.bench()['techniques'][name]['does']} | 15.50 | 20.5% |" in text
    assert "| batch | half price, and an answer by tomorrow | 60.00 | 50.0% |" in text
    assert "20.5% cheaper than the naive batch run: 60.00 and 75.50 dollars" in text
    assert "0.0% cheaper than the naive batch run, with everything but routing: 75.50 and 75.50 dollars" in text
    assert "20.5% cheaper than the naive batch run, for each kept problem: 0.6000 and 0.7550 dollars" in text
    assert "-0" not in "\n".join(
        savings.show({"all": figures("all"), "caching": figures("caching", "99.9999")}, TARGETS)
    )
    assert "60.3% cheaper than the naive run at synchronous prices" in text


def test_a_part_of_the_table_can_be_shown() -> None:
    assert "cheaper" not in "\n".join(savings.show({"naive": figures("naive")}, TARGETS))
    text = "\n".join(savings.show({"all": figures("all"), "cascade": figures("cascade", "110")}, TARGETS))
    assert "| cascade |" in text
    assert "cheaper" not in text


def test_the_document_has_everything() -> None:
    found = {"naive": figures("naive"), "all": figures("all", "60")}
    told = json.loads(json.dumps(savings.document(found, TARGETS, ["short"]), default=str))
    assert [run["name"] for run in told["runs"]] == ["naive", "all"]
    assert told["flaws"] == ["short"]
    assert "40.0% cheaper" in told["said"][0]


def test_an_unknown_run_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["savings", "--only", "all", "magic"])
    with pytest.raises(SystemExit) as ended:
        savings.main()
    assert ended.value.code == 2
    assert "there is no run magic" in capsys.readouterr().err


@pytest.mark.parametrize("short", [False, True])
def test_it_exits_with_1_if_it_falls_short(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], short: bool
) -> None:
    def measure(names: list[str], *, scale: float, seed: int) -> dict[str, Figures]:
        assert (names, scale, seed) == (["naive", "all"], 0.5, 3)
        kept = {subject: count - short for subject, count in _pipelines.targets(scale).items()}
        return {name: figures(name, "60" if name == "all" else "100", kept=kept) for name in names}

    monkeypatch.setattr(savings, "measure", measure)
    monkeypatch.setattr(sys, "argv", ["savings", "--scale", "0.5", "--seed", "3", "--only", "all", "naive", "--json"])
    assert savings.main() == short
    assert len(json.loads(capsys.readouterr().out)["flaws"]) == (2 * len(QUOTAS) if short else 0)


# -- the bench itself, small


@pytest.fixture(scope="module")
def small() -> tuple[int, dict[str, Any]]:
    line = [sys.executable, "-m", "bench.savings", "--json", "--scale", "0.05"]
    line += ["--only", "naive", "all", "cascade", "screening"]
    ended = subprocess.run(line, cwd=ROOT, check=False, capture_output=True, text=True, timeout=900)
    assert ended.stdout, ended.stderr[-3000:]
    return ended.returncode, json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_twentieth_of_the_paper_keeps_the_promises(small: tuple[int, dict[str, Any]]) -> None:
    code, told = small
    assert told["flaws"] == []
    assert code == 0
    naive, every = (_figures.figures(run) for run in told["runs"][:2])
    assert every.usd < naive.usd * Decimal("0.65")
    assert every.usd < naive.standard * Decimal("0.35")
    assert every.usd == every.ledger
    for subject, target in _pipelines.targets(0.05).items():
        assert min(every.kept[subject], naive.kept[subject]) >= target
    assert every.faulty / every.all_kept < naive.faulty / naive.all_kept
    assert naive.faults["duplicate_problem"] > 0 == every.faults.get("duplicate_problem", 0)


@pytest.mark.slow
def test_screening_and_cascade_keep_the_same_rows_for_less(small: tuple[int, dict[str, Any]]) -> None:
    _, every, screening, cascade = (_figures.figures(run) for run in small[1]["runs"])
    assert every.rows == screening.rows == cascade.rows
    assert every.faults == screening.faults == cascade.faults
    for one, stages in ((screening, ("verdict_a", "verdict_b")), (cascade, ("verdict_b",))):
        changed = {stage for stage in one.stages if one.stages[stage] != every.stages[stage]}
        assert changed == set(stages)
        assert all(one.stages[stage] > every.stages[stage] for stage in stages)


@pytest.mark.slow
def test_dollars_are_spent_where_the_naive_run_wastes_them(small: tuple[int, dict[str, Any]]) -> None:
    naive, every, *_ = (_figures.figures(run) for run in small[1]["runs"])
    assert naive.drafts > every.drafts
    assert naive.requests > every.requests
    for stage in ("problems", "verdict_a", "verdict_b", "solutions", "judgements"):
        assert naive.stages[stage] > every.stages[stage], stage
    assert naive.standard == pytest.approx(naive.usd * 2, rel=Decimal("0.02"))  # all but the topics is batches
