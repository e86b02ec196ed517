"""docs/analyses.md, typed from the top: every command works in a rehearsal, and says what it claims to."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chimera_batch import api
from chimera_batch.cost.tokens import counter
from chimera_batch.report.catalogue import SECTIONS
from chimera_batch.warehouse import Warehouse
from chimera_batch.warehouse.connection import Inline
from tests.cli_kit import call
from tests.conftest import ROOT
from tests.report_kit import report

PAGE = (ROOT / "docs" / "analyses.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"^\| [^|]+ \| `(chimera-batch query [^`]+)` \|", PAGE, re.MULTILINE)
COLUMNS = {
    "row_key": "VARCHAR",
    "problem_key": "VARCHAR",
    "topic_id": "VARCHAR",
    "subject": "VARCHAR",
    "question": "VARCHAR",
    "answer": "VARCHAR",
    "original_solution": "VARCHAR",
    "solution": "VARCHAR",
    "correctness": "BOOLEAN",
}


# -- the page


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that ``init`` made, after the page's first block."""
    made = tmp_path_factory.mktemp("analyses")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        for what in ("CACHE", "STATE"):
            patch.setenv(f"CHIMERA_{what}", str(made / what.lower()))
        assert call("init", ".").code == 0
        for line in typed():
            done = call(*shlex.split(line)[1:])
            assert done.code == 0, f"{line}\n{done.err}"
        yield made


def typed() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def test_the_page_names_every_analysis() -> None:
    named = {name for line in QUERIES for name in re.findall(r"@(\w+)", line)}
    assert named >= {
        "difficulty",
        "contamination",
        "offenders",
        "quality",
        "positions",
        "lengths",
        "subjects",
        "funnel",
    }
    assert all((ROOT / "sql" / "queries" / f"{name}.sql").is_file() for name in named)
    assert len(typed()) == 5


def test_every_command_of_the_table_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for what in ("CACHE", "STATE"):
        monkeypatch.setenv(f"CHIMERA_{what}", str(folder / what.lower()))
    for line in QUERIES:
        done = call(*shlex.split(line)[1:], "--format", "json")
        assert done.code == 0, f"{line}\n{done.err}"
        assert json.loads(done.out) or "@offenders" in line, line
        assert call(*shlex.split(line)[1:]).code == 0, "also as a table"


# -- lengths and subjects


def asked(folder: Path, name: str, rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    path = ROOT / "sql" / "queries" / f"{name}.sql"
    with Warehouse(folder / "spill", threads=1) as house:
        house.load("dataset", COLUMNS, rows)
        found = house.rows(Inline(path.read_text("utf-8"), name, path), {})
        return [dict(zip(found.columns, row, strict=True)) for row in found]


ROWS: list[tuple[Any, ...]] = [
    ("p1", "p1", "t1", "Physics", " How fast\nis it?\t", "3 m/s", "It is fast.", "<think>\na b\n</think>\n\nc", True),
    ("p1-2", "p1", "t1", "Physics", " How fast\nis it?\t", "3 m/s", "It is fast.", "one two", False),
    ("p2", "p2", "t2", "Physics", "Why?", "4", "So.", None, None),
    ("p3", "p3", "t3", "History", "When was the  treaty signed?", "1648", "", "In 1648.", True),
]


def test_lengths_count_questions_once_and_traces_each_time(tmp_path: Path) -> None:
    rows = {(row["subject"], row["what"]): row for row in asked(tmp_path, "lengths", ROWS)}
    words = {key: (row["texts"], row["words"]) for key, row in rows.items()}
    assert words["Physics", "question"] == (2, 2.5)
    assert words["Physics", "trace"] == (2, 3.5)
    assert words["Physics", "correct trace"] == (1, 5.0)
    assert words["all", "question"] == (3, round((4 + 1 + 5) / 3, 1))
    assert words["History", "original solution"] == (1, 0.0)
    assert words["Physics", "answer"] == (2, 1.5)


def test_lengths_in_tokens_are_those_of_the_traces_model(tmp_path: Path) -> None:
    count = counter("Qwen/Qwen3-235B-A22B-Thinking-2507").count
    rows = {(row["subject"], row["what"]): row for row in asked(tmp_path, "lengths", ROWS)}
    assert rows["History", "trace"]["tokens"] == count("In 1648.")
    assert rows["all", "trace"]["tokens_95"] == max(count(row[7]) for row in ROWS if row[7])


def test_subjects_stand_beside_the_papers(tmp_path: Path) -> None:
    rows = {
        row["subject"]: row for row in asked(tmp_path, "subjects", [*ROWS, ("p4", "p4", "t4", "Law", *["x"] * 4, None)])
    }
    assert len(rows) == 9
    assert sum(row["paper_topics"] or 0 for row in rows.values()) == 1_179
    assert rows["Mathematics"]["paper_problem_share"] == pytest.approx(0.483) and rows["Mathematics"]["problems"] == 0
    physics = rows["Physics"]
    assert (physics["topics"], physics["problems"], physics["traces"]) == (2, 2, 2)
    assert (physics["problem_share"], physics["correct_part"], physics["problems_per_topic"]) == (0.5, 0.5, 1.0)
    assert rows["Law"]["paper_topics"] is None and rows["Law"]["problem_share"] == 0.25


# -- the report of all of them


def test_the_report_shows_every_analysis_as_its_query_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for what in ("CACHE", "STATE"):
        monkeypatch.setenv(f"CHIMERA_{what}", str(folder / what.lower()))
    beside = {name: Path("manifests") / f"{name}.yaml" for name in ("contamination", "difficulty", "quality")}
    words = [word for path in beside.values() for word in ("--with", path)]
    page, said = report(Path("manifests/quickstart.yaml"), Path("report.html"), "--rehearse", *words)
    assert said["left_out"] == {} and said["rows"] > 40
    assert {one.name for one in SECTIONS} == {*said["sections"]} - {"stages"}
    assert len(page.has("svg")) == len([1 for one in SECTIONS if one.chart]) + 1
    options = api.Options(rehearse=True)
    for path in (Path("manifests/quickstart.yaml"), *beside.values()):
        with api.query(path, options) as tables:
            for one in SECTIONS:
                if path.stem == next((name for name in beside if _is_of(one.query, name)), "quickstart"):
                    result = tables.query(api.named_query(path, one.query[1:], options))
                    _is_shown(page.rows(one.name), list(result.objects()))
    traced = {page.block("head")["steps"][step["step"]]["stage"] for row in page.block("data") for step in row["e"]}
    assert traced >= {"topics", "problems", "verdict_a", "verdict_b", "solutions"}


def _is_shown(shown: list[dict[str, str]], rows: list[dict[str, Any]]) -> None:
    """Every number, to its last digit."""
    assert len(shown) == min(len(rows), 200) > 0
    for cells, values in zip(shown, rows, strict=False):
        numbers = {name: v for name, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}
        assert {name: float(cells[name]) for name in numbers} == numbers


def _is_of(query: str, manifest: str) -> bool:
    """Whether a named query reads what that manifest makes."""
    reads = re.search(r"^-- reads: (.*)$", (ROOT / "sql/queries" / f"{query[1:]}.sql").read_text("utf-8"), re.MULTILINE)
    made = {"contamination": {"contamination", "matches"}, "difficulty": {"difficulty"}, "quality": {"points"}}
    return bool(reads and made[manifest] & set(reads[1].split(", ")))
