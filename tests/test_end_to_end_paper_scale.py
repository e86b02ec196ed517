"""Paper scale, rehearsed: the benchmark's figures and promises, and what is in the store that it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from chimera_batch import api
from chimera_batch.opening import Options
from tests import test_specs
from tests.conftest import ROOT

if TYPE_CHECKING:
    from tests.paper_scale import Paper

pytest_plugins = ["tests.paper_scale"]
pytestmark = pytest.mark.slow

MANIFEST = ROOT / "manifests" / "chimera.yaml"
QUOTAS = {
    "Mathematics": 574, "Computer Science": 165, "Chemistry": 139, "Physics": 96,
    "Literature": 64, "History": 53, "Biology": 48, "Linguistics": 40,
}  # fmt: skip

Ask = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def tables(paper: Paper, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHIMERA_CACHE", str(tmp_path_factory.mktemp("cache")))
        with api.query(MANIFEST, Options(store=str(paper.store), rehearse=True)) as query:
            yield lambda sql: list(query.query(sql))


def test_it_keeps_its_promises(paper: Paper) -> None:
    found = paper.document
    assert found["flaws"] == []
    assert paper.code == 0
    assert found["seconds"] < 600
    assert 50 << 20 < found["peak_bytes"] < 1 << 30
    assert (found["state"], found["balances"]) == ("done", True)


def test_the_topics_are_the_quotas_exactly(paper: Paper, tables: Ask) -> None:
    assert paper.document["topics"] == QUOTAS
    assert sum(QUOTAS.values()) == 1_179
    assert dict(tables("SELECT subject, count(DISTINCT row_key) FROM taxonomy GROUP BY 1")) == QUOTAS


def test_drafts_stop_at_the_papers_number_of_problems(paper: Paper, tables: Ask) -> None:
    """In at most three waves, at most 3% above what the manifest wants, and no subject short of its share; of that,
    references that nobody arrives at who did not see them are disputed, and the paper's number is left."""
    assert 9_500 <= paper.document["rows"]["verified"] < 9_500 * 1.03
    kept = dict(tables("SELECT subject, count(*) FROM verified GROUP BY 1"))
    assert all(kept[subject] >= 9_500 * topics // 1_179 for subject, topics in QUOTAS.items())
    assert tables("SELECT count(*) FROM dataset WHERE reference = 'verified'") == [(paper.document["trusted"],)]
    assert paper.document["trusted"] >= 9_225
    waves = [drafts for _, drafts in tables("SELECT wave, count(*) FROM problems GROUP BY 1 ORDER BY 1")]
    assert 2 <= len(waves) <= 3 and waves[0] > 5 * sum(waves[1:])
    assert tables("SELECT count(*) FROM verified AS v LEFT JOIN dataset AS d ON d.problem_key = v.row_key"
                  " WHERE d.row_key IS NULL") == [(0,)]  # fmt: skip


def test_the_dataset_holds_every_problem_once(paper: Paper, tables: Ask) -> None:
    ((rows, keys, questions),) = tables(
        "SELECT count(*), count(DISTINCT row_key), count(DISTINCT question) FROM dataset"
    )
    assert rows == keys == questions == paper.document["rows"]["dataset"] >= 9_225
    assert dict(tables("SELECT subject, count(DISTINCT topic) > 30 FROM dataset GROUP BY 1")) == dict.fromkeys(
        QUOTAS, True
    )


def test_the_bill_is_the_ledger_to_the_last_digit(paper: Paper, tables: Ask) -> None:
    found = paper.document
    assert Decimal(found["usd_bill"]) == Decimal(found["usd_ledger"]) > 50
    assert tables("SELECT sum(usd) FROM costs") == [(Decimal(found["usd_bill"]),)]
    assert found["paid_twice"] == 0


def test_every_request_is_accounted_for(paper: Paper, tables: Ask) -> None:
    found = paper.document
    assert tables("SELECT sum(wanted), sum(in_flight + packed + retryable + not_asked) FROM stages") == [
        (found["wanted"], 0)
    ]
    assert sum(found["given_up"].values()) < found["wanted"] // 500  # refusals, and traces that stayed empty
    assert tables("SELECT sum(requests) FROM costs") == [(found["executed"],)]
    assert found["wanted"] < found["executed"] < found["wanted"] * 1.01


def test_a_problem_is_traced_to_its_raw_lines(paper: Paper, tables: Ask) -> None:
    (key, answer), *_ = tables("SELECT row_key, answer FROM dataset ORDER BY row_key LIMIT 1 OFFSET 5000")
    found = api.trace(MANIFEST, key, Options(store=str(paper.store), rehearse=True))
    stages = {step["stage"] for step in found["steps"]}
    assert {"topics", "problems", "verdict_a", "verdict_b", "solutions"} <= stages
    (draft,) = [step for step in found["steps"] if step["stage"] == "problems"]
    raw = json.loads(draft["results"][-1]["raw_line"])
    assert json.loads(raw["response"]["body"]["choices"][0]["message"]["content"])["answer"] == answer


def test_every_line_of_paper_scale_fits_what_anthropic_publishes(paper: Paper) -> None:
    test_specs.check_published(paper.packed)


def test_every_line_of_paper_scale_fits_the_sdks(paper: Paper) -> None:
    counts = test_specs.check_bodies(paper.packed)
    # two stages may want the same question (what a trace and the arbiter say may be equal): it is packed once
    assert 0 <= paper.document["wanted"] - sum(counts.values()) < 100
    assert sum(counts.values()) > 40_000
