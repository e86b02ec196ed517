"""The CHIMERA pipeline's own data set, rehearsed and exported: every row that is for training arrives, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.cli_kit import call
from tests.conftest import ROOT
from tests.export_kit import read

MANIFEST = ROOT / "manifests" / "quickstart.yaml"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quickstart")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHIMERA_CACHE", str(folder / "cache"))
        patch.setenv("CHIMERA_STATE", str(folder / "state"))
        done = call("--store", folder / "runs", "run", MANIFEST, "--rehearse", "--quiet")
        assert done.code == 0, done.err
    return folder / "runs"


def exported(store: Path, into: Path, form: str, *words: str) -> dict[str, Any]:
    done = call("--store", store, "export", MANIFEST, into, "--format", form, "--rehearse", "--json", *words)
    assert done.code == 0, done.err
    return dict(done.document)


def counted(store: Path, sql: str) -> Any:
    return call("--store", store, "query", "-m", MANIFEST, "--rehearse", "--json", sql).document


def test_conversations(store: Path, tmp_path: Path) -> None:
    exported(store, tmp_path / "out", "sft")
    wanted = counted(store, "SELECT row_key, final_answer FROM dataset WHERE use = 'sft' ORDER BY row_key")
    found = read(tmp_path / "out" / "train.parquet")
    assert len(found) > 20
    assert [one["row_key"] for one in found] == [one["row_key"] for one in wanted]
    for one, row in zip(found, wanted, strict=True):
        reply = one["messages"][1]["content"]
        assert reply.startswith("<think>\n") and reply.count("</think>") == 1
        assert row["final_answer"] in reply.partition("</think>")[2]


def test_problems(store: Path, tmp_path: Path) -> None:
    """The reward of the label's own trace is the label, as far as rules decide it."""
    from chimera_batch.rewards import compute_score

    exported(store, tmp_path / "out", "rl", "--with-sft")
    sql = "SELECT count(DISTINCT problem_key) AS n FROM dataset WHERE use IS NOT NULL"
    found = read(tmp_path / "out" / "train.parquet")
    assert [{"n": len(found)}] == counted(store, sql)
    traces = "SELECT problem_key, solution, correctness FROM dataset WHERE decided_by = 'rule' AND use IS NOT NULL"
    labelled = {one["problem_key"]: one for one in counted(store, traces)}
    assert len(labelled) > 20
    for one in found:
        if row := labelled.get(one["extra_info"]["problem_key"]):
            truth = one["reward_model"]["ground_truth"]
            reward = compute_score(one["data_source"], row["solution"], truth, one["extra_info"])
            assert reward == float(row["correctness"]), row["problem_key"]


def test_the_card_has_every_table_of_this_run(store: Path, tmp_path: Path) -> None:
    found = exported(store, tmp_path / "out", "hf")
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert set(found["left_out"]) <= {"Difficulty", "Contamination", "Quality"}  # manifests of their own
    for title in ("Subjects", "Labels", "Lengths", "Survival", "Agreement of the verifiers", "Models", "Provenance"):
        assert f"## {title}\n" in card
    for stage in found["provenance"]["stages"]:
        if stage["prompt_sha256"]:
            assert stage["prompt_sha256"][:16] in card
    assert found["rows"] == counted(store, "SELECT count(*) AS n FROM dataset")[0]["n"]


def test_the_database_answers_the_named_queries(store: Path, tmp_path: Path) -> None:
    exported(store, tmp_path / "out", "duckdb")
    with duckdb.connect(str(tmp_path / "out" / "tables.duckdb"), read_only=True) as found:
        shown = found.execute("SELECT rows FROM funnel WHERE subject = 'all' ORDER BY step").fetchall()
    assert shown == [(row["rows"],) for row in counted(store, "@funnel") if row["subject"] == "all"]
