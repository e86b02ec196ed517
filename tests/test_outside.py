"""Tables from elsewhere: a person's files and other runs' tables, through the command line as a user meets them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from chimera_batch.errors import InputError
from chimera_batch.pipeline import outside
from tests.cli_kit import call

HEAD = "-- What the tests read.\n-- reads: given\n"


def project(folder: Path, entry: str, sql: str = "SELECT * FROM given ORDER BY row_key", run: str = "one") -> Path:
    """A manifest of one outside table and one query over it."""
    (folder / "sql" / "p").mkdir(parents=True, exist_ok=True)
    (folder / "sql" / "p" / "seen.sql").write_text(HEAD + sql + "\n", encoding="utf-8")
    path = folder / f"{run}.yaml"
    stages = f"  - {{name: given, {entry}}}\n  - {{name: seen, sql: p/seen.sql}}\n"
    path.write_text(f"run: {run}\nstore: {folder / 'runs'}\nstages:\n{stages}", encoding="utf-8")
    return path


def ran(manifest: Path, query: str = "SELECT * FROM seen ORDER BY row_key") -> list[dict[str, Any]]:
    done = call("run", str(manifest), "--yes")
    assert done.code == 0, done.err
    found = call("query", "-m", str(manifest), query, "--format", "json")
    assert found.code == 0, found.err
    rows: list[dict[str, Any]] = json.loads(found.out)
    return rows


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_json_lines_with_a_key(tmp_path: Path) -> None:
    lines(tmp_path / "data" / "b.jsonl", {"id": 7, "answer": "033", "day": "2024-01-01"}, {"id": 8, "more": [1, 2]})
    rows = ran(project(tmp_path, "file: data/b.jsonl, key: id"))
    assert [row["row_key"] for row in rows] == ["7", "8"]
    assert rows[0]["answer"] == "033" and rows[0]["day"] == "2024-01-01", "text stays text"
    assert rows[1]["more"] == [1, 2] and rows[1]["answer"] is None


def test_rows_without_a_key_are_numbered(tmp_path: Path) -> None:
    lines(tmp_path / "b.jsonl", *({"row_key": "theirs", "n": n} for n in range(3)))
    rows = ran(project(tmp_path, "file: b.jsonl"))
    assert [(row["row_key"], row["n"]) for row in rows] == [("b/1", 0), ("b/2", 1), ("b/3", 2)]


@pytest.mark.parametrize("name", ["b.csv", "b.csv.gz"])
def test_csv_is_all_text(tmp_path: Path, name: str) -> None:
    data = 'id,answer,q\n1,033,"a, ""b"""\n2,1e3,ü\n'.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    rows = ran(project(tmp_path, f"file: {name}, key: id"))
    assert [row["answer"] for row in rows] == ["033", "1e3"]
    assert [row["q"] for row in rows] == ['a, "b"', "ü"]


def test_parquet_and_patterns(tmp_path: Path) -> None:
    for part in ("x", "y"):
        duckdb.sql(f"COPY (SELECT '{part}' AS id, 5 AS n) TO '{tmp_path / part}.parquet'")
    rows = ran(project(tmp_path, "file: '*.parquet', key: id"))
    assert [(row["row_key"], row["n"]) for row in rows] == [("x", 5), ("y", 5)]


def test_a_changed_file_makes_what_is_below_anew(tmp_path: Path) -> None:
    manifest = project(tmp_path, "file: b.jsonl, key: id")
    lines(tmp_path / "b.jsonl", {"id": 1})
    assert len(ran(manifest)) == 1
    before = sorted((tmp_path / "runs").rglob("table-*"))
    assert len(ran(manifest)) == 1
    assert sorted((tmp_path / "runs").rglob("table-*")) == before, "an unchanged file changes nothing"
    lines(tmp_path / "b.jsonl", {"id": 1}, {"id": 2})
    assert [row["row_key"] for row in ran(manifest)] == ["1", "2"]


def test_a_table_of_another_run(tmp_path: Path) -> None:
    lines(tmp_path / "b.jsonl", {"id": 1, "q": "what"})
    first = project(tmp_path, "file: b.jsonl, key: id")
    second = project(tmp_path, "from: one/seen", run="two")
    early = call("run", str(second), "--yes")
    assert early.code == 2
    assert "there is no table seen of a run one" in early.err and "two.yaml:4" in early.err
    ran(first)
    assert ran(second) == [{"row_key": "1", "id": 1, "q": "what"}]
    lines(tmp_path / "b.jsonl", {"id": 1, "q": "why"})
    ran(first)
    assert ran(second)[0]["q"] == "why", "the last table of that name"


def test_the_other_run_is_named_by_its_manifest(tmp_path: Path) -> None:
    lines(tmp_path / "b.jsonl", {"id": 1})
    ran(project(tmp_path, "file: b.jsonl, key: id"))
    missing = call("check", str(project(tmp_path, "from: one/nothing", run="two")))
    assert missing.code == 2 and "one.yaml" in missing.err


BAD = [
    ("file: no.jsonl", "there is no file"),
    ("file: data.txt", "cannot be read: all files of a table are of one form"),
    ("file: '*.csv*'", "there is no file"),
    ("file: b.jsonl, key: nothing", "nothing"),
    ("file: b.jsonl, key: twice", "row_key 'same' stands on 2 rows"),
    ("file: b.jsonl, sql: p/seen.sql", "a stage has one of"),
    ("from: one", "from"),
    ("from: ../x/y", "from"),
    ("file: broken.jsonl", "broken.jsonl"),
]


@pytest.mark.parametrize("entry, said", BAD)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, entry: str, said: str) -> None:
    lines(tmp_path / "b.jsonl", {"id": 1, "twice": "same"}, {"id": 2, "twice": "same"})
    (tmp_path / "data.txt").write_text("x")
    (tmp_path / "broken.jsonl").write_text('{"a": 1}\n{"a": \n')
    found = call("check", str(project(tmp_path, entry)))
    assert found.code == 2
    assert said in found.err
    assert "Traceback" not in found.err


@pytest.mark.parametrize(
    "name, form",
    [("a.jsonl", "json"), ("A.JSON", "json"), ("a.csv.gz", "csv"), ("a.parquet", "parquet"), ("a.parquet.gz", None)],
)
def test_forms(name: str, form: str | None) -> None:
    assert outside.form_of(Path(name)) == form


@pytest.mark.parametrize("name", ["it's.jsonl", 'say "x".jsonl', "$key.jsonl", "ü.jsonl"])
def test_names_are_quoted(tmp_path: Path, name: str) -> None:
    lines(tmp_path / name, {'od"d': 1})
    source = outside.of_files("t", outside.found(name, [tmp_path]), 'od"d')
    assert duckdb.sql(source.text).fetchall() == [("1", 1)]


@pytest.mark.parametrize(
    ("name", "other"), [("a[x].jsonl", "ax.jsonl"), ("b*.jsonl", "bb.jsonl"), ("c?.jsonl", "cc.jsonl")]
)
def test_a_name_that_looks_like_a_pattern_is_that_file(tmp_path: Path, name: str, other: str) -> None:
    lines(tmp_path / other, {"id": "another's"})
    lines(tmp_path / name, {"id": "mine"})
    source = outside.of_files("t", outside.found(name, [tmp_path]), "id")
    assert [row[0] for row in duckdb.sql(source.text).fetchall()] == ["mine"]


def test_a_pattern_below_a_folder_whose_name_looks_like_one(tmp_path: Path) -> None:
    folder = tmp_path / "data [2026]"
    lines(folder / "in" / "one.jsonl", {"id": 1})
    assert outside.found("in/*.jsonl", [folder]) == (folder / "in" / "one.jsonl",)
    assert outside.found(f"{tmp_path}/data*/in/*.jsonl", [folder]) == (folder / "in" / "one.jsonl",)


def test_the_digest_is_in_the_query(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"a": 1})
    one = outside.of_files("t", [path], None)
    assert outside.of_files("t", [path], None) == one
    lines(path, {"a": 2})
    assert outside.of_files("t", [path], None).text != one.text


def test_an_unreadable_file_is_no_crash(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        outside.of_files("t", [tmp_path / "gone.csv"], None)
