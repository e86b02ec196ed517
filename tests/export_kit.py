"""What the tests of exports share: a run whose data set was made by hand, in the columns of the CHIMERA pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from tests.cli_kit import call

COLUMNS = {
    "index": "INTEGER",
    **dict.fromkeys(("subject", "topic", "question", "answer", "original_solution", "solution"), "VARCHAR"),
    "correctness": "BOOLEAN",
    **dict.fromkeys(("row_key", "problem_key", "topic_id", "area", "focus", "answer_kind", "final_answer"), "VARCHAR"),
    **dict.fromkeys(("decided_by", "decision_method", "decision_evidence", "decision_reason"), "VARCHAR"),
    **dict.fromkeys(("reference", "split", "use", "author_model", "solver_model"), "VARCHAR"),
}
HOSTILE = (
    "a|b\n# <script>alert(1)</script> [x](http://evil.example) `$(rm -rf /)` \x1b[31m\u202e{{ params }} \"'\\ ../../etc"
)
UNICODE = "∮ 数学 naïve 👩‍🔬 \u0000 zero".replace("\u0000", "")
MANIFEST = """\
run: made-by-hand
store: {folder}/runs
params: {{}}
stages:
  - {{name: given, file: data/given.parquet, key: row_key}}
  - {{name: dataset, sql: made/dataset.sql}}
  - {{name: topics, sql: made/topics.sql}}
"""
DATASET = f"""\
-- The data set.
-- reads: given
SELECT {", ".join(f'"{name}"' for name in COLUMNS)} FROM given ORDER BY row_key
"""
TOPICS = """\
-- The topics.
-- reads: dataset
SELECT topic AS row_key, any_value(subject) AS subject FROM dataset GROUP BY topic ORDER BY row_key
"""


def row(number: int, **changes: Any) -> dict[str, Any]:
    """A correct trace of a problem in the training split, unless changed."""
    subject = ("Mathematics", "Physics", "History")[number % 3]
    return {
        "index": number,
        "subject": subject,
        "topic": f"{subject} topic {number // 3}",
        "question": f"What is {number} + {number}?",
        "answer": str(2 * number),
        "original_solution": f"Add: {2 * number}.",
        "solution": f"<think>\n{number} twice\n</think>\n\nIt is \\boxed{{{2 * number}}}.",
        "correctness": True,
        "row_key": f"p{number:04}/1",
        "problem_key": f"p{number:04}",
        "topic_id": f"t{number // 3}",
        "area": "Area",
        "focus": "focus",
        "answer_kind": "number",
        "final_answer": str(2 * number),
        "decided_by": "rule",
        "decision_method": "exact",
        "decision_evidence": "same",
        "decision_reason": "same",
        "reference": "verified",
        "split": "train",
        "use": "sft",
        "author_model": "author-1.0",
        "solver_model": "solver-1.0",
        **changes,
    }


def unsolved(number: int, **changes: Any) -> dict[str, Any]:
    """A problem in the training split with a wrong trace."""
    wrong = {"solution": "\\boxed{no}", "correctness": False, "final_answer": "no", "use": "rl"}
    return row(number, **{**wrong, **changes})


def held_out(number: int, **changes: Any) -> dict[str, Any]:
    return row(number, **{"split": "held_out", "use": None, **changes})


def mixed() -> list[dict[str, Any]]:
    """Six of each kind, and rows that are for nobody: disputed, undecided, without a trace."""
    nobody = [
        row(90, use=None, reference="disputed"),
        row(91, use=None, correctness=None, decided_by="undecided"),
        row(92, use=None, correctness=None, decided_by="no trace", solution=None, solver_model=None),
        held_out(93, reference="disputed"),
    ]
    kinds = [row(n) for n in range(6)], [unsolved(n) for n in range(10, 16)], [held_out(n) for n in range(20, 26)]
    return [*kinds[0], *kinds[1], *kinds[2], held_out(26, correctness=False), *nobody]


def write_table(path: Path, rows: Sequence[dict[str, Any]], columns: dict[str, str] | None = None) -> None:
    columns = columns or COLUMNS
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        typed = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        connection.execute(f"CREATE TABLE t ({typed})")
        if rows:
            marks = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO t VALUES ({marks})", [[r[name] for name in columns] for r in rows])
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")


def project(folder: Path, rows: Sequence[dict[str, Any]], *, rehearse: bool = False, run: bool = True) -> Path:
    """A project whose data set has these rows, run to its end; returns the manifest."""
    write_table(folder / "data" / "given.parquet", rows)
    (folder / "sql" / "made").mkdir(parents=True)
    (folder / "sql" / "made" / "topics.sql").write_text(TOPICS, encoding="utf-8")
    (folder / "sql" / "made" / "dataset.sql").write_text(DATASET, encoding="utf-8")
    manifest = folder / "m.yaml"
    manifest.write_text(MANIFEST.format(folder=folder), encoding="utf-8")
    if run:
        done = call("run", manifest, "--yes", *(["--rehearse"] if rehearse else []))
        assert done.code == 0, done.err
    return manifest


def read(path: Path | str, columns: str = "*") -> list[dict[str, Any]]:
    """The rows of Parquet files as objects."""
    with duckdb.connect() as connection:
        cursor = connection.execute(f"SELECT {columns} FROM read_parquet('{path}')")
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, found, strict=True)) for found in cursor.fetchall()]


def marks(path: Path) -> dict[str, str]:
    """The key-value metadata of a Parquet file."""
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT key, value FROM parquet_kv_metadata('{path}')").fetchall()
    return {key.decode(): value.decode() for key, value in found}


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
