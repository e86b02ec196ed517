"""The runs behind ``bench.trust``: three projects in a folder, the truth beside their tables, and what the queries say.

What is run is data: ``bench/trust/trust.yaml``.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from bench._pipelines import laid_over
from chimera_batch import api
from chimera_batch.opening import Options
from chimera_batch.rehearsal.minds import fault_of, fingerprint, trace_fault, truth
from chimera_batch.rehearsal.minds.respelling import meaning
from chimera_batch.rehearsal.minds.topics import VAGUE

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "bench" / "trust"
TOPICS = 60  # of each subject, at full size
Rows = Iterable[tuple[Any, ...]]


def measure(folder: Path, *, topics: int = TOPICS, seed: int = 1) -> dict[str, Any]:
    """Run both pipelines and score them: the rows of ``@trust`` and ``@confusion``, and how many subjects there are."""
    ours, papers, scores = write(folder, topics, seed)
    for manifest in (ours, papers):
        api.run(manifest, options(folder))
    place = folder / "truth"
    place.mkdir(exist_ok=True)
    with api.query(ours, options(folder)) as mine, api.query(papers, options(folder)) as theirs:
        _write(place / "topics.jsonl", topics_told(mine.query(_NAMES)))
        _write(place / "problems.jsonl", problems_told(mine.query(_DRAFTS)))
        traces = {row[0]: row for tables in (mine, theirs) for row in tables.query(_TRACES)}
        _write(place / "traces.jsonl", traces_told(traces.values()))
    api.run(scores, options(folder))
    with api.query(scores, options(folder)) as tables:
        ((subjects,),) = tables.query("SELECT count(DISTINCT subject) FROM dataset")
        return {"bars": _rows(tables, "trust"), "confusion": _rows(tables, "confusion"), "subjects": subjects}


_NAMES = """
    SELECT
        n.row_key,
        n.subject,
        n.topic,
        t.row_key IS NOT NULL,
        row_number() OVER (PARTITION BY n.subject, n.topic ORDER BY n.row_key) = 1
    FROM topics AS n
    LEFT JOIN taxonomy AS t ON t.named_as = n.row_key
    ORDER BY n.row_key
"""
_DRAFTS = """
    SELECT row_key, question, reference_answer, false FROM problems
    UNION ALL
    SELECT row_key, question, reference_answer, true FROM candidates WHERE converted_from IS NOT NULL
    ORDER BY ALL
"""
_TRACES = """
    SELECT s.row_key, v.question, s.reasoning, s.text
    FROM solutions AS s
    JOIN verified AS v ON v.row_key = s.problem_key
"""


# -- the projects


def write(folder: Path, topics: int, seed: int) -> tuple[Path, Path, Path]:
    """The manifests of our run, the paper's, and of the scores, with the SQL that is not shipped."""
    told = yaml.safe_load((HERE / "trust.yaml").read_text("utf-8"))
    ours = laid_over(yaml.safe_load((ROOT / "manifests" / "quickstart.yaml").read_text("utf-8")), told["common"])
    wide = yaml.safe_load((ROOT / "manifests" / "chimera.yaml").read_text("utf-8"))["params"]["subjects"]
    ours["params"]["subjects"] = [{**one, "topics": topics, "ask": 20} for one in wide]
    ours["rehearsal"]["seed"] = seed
    ours["run"] = "trust"
    start = [stage["name"] for stage in ours["stages"]].index("problems") + 1
    papers = {**ours, "run": "trust-paper", "stages": [*ours["stages"][:start], *told["paper"]]}
    scores = {"run": "trust-scores", "stages": told["scores"]}
    shutil.copytree(HERE / "sql", folder / "sql", dirs_exist_ok=True)
    made = []
    for manifest in (ours, papers, scores):
        made.append(folder / f"{manifest['run']}.yaml")
        made[-1].write_text(yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True), "utf-8")
    return made[0], made[1], made[2]


def options(folder: Path) -> Options:
    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    return Options(store=str(folder / "store"), rehearse=True, say=say)


# -- the truth


def topics_told(names: Rows) -> Iterator[dict[str, Any]]:
    """Each naming of a topic: of which one it is a name, or that it names none, and who kept it.

    ``names``: key, subject, topic, kept by our pipeline, kept by a set of strings.
    """
    for key, subject, topic, kept, kept_by_set in names:
        made = {"row_key": key, "kept": bool(kept), "kept_by_set": bool(kept_by_set)}
        same_as = f"{subject}: {' '.join(sorted(meaning(subject, topic)))}"
        yield {**made, "fault": "vague_topic" if topic in VAGUE else "sound", "same_as": same_as}


def problems_told(drafts: Rows) -> Iterator[dict[str, Any]]:
    """What is wrong with each problem, and of which one it is a draft. ``drafts``: key, question, answer, converted."""
    for key, question, answer, converted in drafts:
        fault = fault_of(question, answer) or ("sound" if truth(question) else "strange")
        yield {"row_key": key, "fault": fault, "same_as": fingerprint(question) or key, "converted": bool(converted)}


def traces_told(traces: Rows) -> Iterator[dict[str, Any]]:
    """What is wrong with each trace. ``traces``: key, question, thinking, text."""
    for key, question, reasoning, text in traces:
        fault = trace_fault(question, reasoning or "", text or "") or "sound"
        yield {"row_key": key, "fault": fault if _answerable(question) else "of a faulty problem"}


def _answerable(question: str) -> bool:
    """Whether the problem has a right answer, so that a trace can be right."""
    return fault_of(question) in {None, "answer_leaked"} and truth(question) is not None


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")


def _rows(tables: Any, query: str) -> list[dict[str, Any]]:
    text = (ROOT / "sql" / "queries" / f"{query}.sql").read_text("utf-8")
    found = tables.query(text)
    return [dict(zip(found.columns, row, strict=True)) for row in found]
