"""``query`` over real tables: every form, into the terminal and into files, and what it says when it cannot."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from chimera_batch import api
from chimera_batch.cli import query, showing
from chimera_batch.errors import InputError
from chimera_batch.opening import Options
from chimera_batch.pipeline.project import Source
from chimera_batch.warehouse import Query, open_query
from tests.cli_kit import call

HOSTILE = "a\x1b[31mb\u202e \x9d0;t\x9c [red]m[/red]"


@pytest.fixture(autouse=True)
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, Options, bool]]:
    """``dataset`` of three rows behind ``api.query``; what it was called with is in the list."""
    file = tmp_path / "dataset.parquet"
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t (k VARCHAR, n BIGINT, said VARCHAR)")
    connection.executemany(
        "INSERT INTO t VALUES (?, ?, ?)", [("x", 1, HOSTILE), ("y", 20, "long " * 50), ("z", None, None)]
    )
    connection.execute(f"COPY t TO '{file}' (FORMAT parquet)")
    connection.close()
    seen: list[tuple[Path, Options, bool]] = []

    @contextmanager
    def opened(manifest: Path, options: Options, *, unsafe: bool = False) -> Iterator[Query]:
        seen.append((manifest, options, unsafe))
        with open_query({"dataset": [file]}, tmp_path / "temp", unsafe=unsafe) as found:
            yield found

    monkeypatch.setattr(api, "query", opened)
    return seen


ALL = "SELECT * FROM dataset ORDER BY k"


def test_a_table_for_people() -> None:
    lines = call("query", "-m", "m.yaml", ALL).out.splitlines()
    assert lines[0].split() == ["k", "n", "said"]
    assert lines[2] == "x   1  ab [red]m[/red]"
    assert lines[3].startswith("y  20  long long")
    assert lines[3].endswith("…")
    assert lines[4] == "z"
    assert lines[5] == "3 rows · m.yaml"


def test_dollars_in_a_table_end_without_zeros(tmp_path: Path) -> None:
    sql = "SELECT 0::DECIMAL(24, 12) AS a, 1.250000::DECIMAL(24, 12) AS b, 100::DECIMAL(24, 0) AS c"
    assert call("query", "-m", "m.yaml", sql).out.splitlines()[2].split() == ["0", "1.25", "100"]
    call("query", "-m", "m.yaml", sql, "-o", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text().splitlines()[2].split() == ["0", "1.25", "100"]
    exact = call("query", "-m", "m.yaml", sql, "--format", "csv").out.splitlines()[1]
    assert exact == "0.000000000000,1.250000000000,100"


def test_a_long_table_says_that_there_is_more() -> None:
    out = call("query", "-m", "m.yaml", "SELECT range AS i FROM range(1001)").out.splitlines()
    assert out[-2].strip() == "999"
    assert out[-1].startswith("the first 1,000 rows; --format csv has all")


def test_an_empty_table() -> None:
    out = call("query", "-m", "m.yaml", ALL.replace("ORDER", "WHERE false ORDER")).out.splitlines()
    assert out[0].split() == ["k", "n", "said"]
    assert out[-1] == "0 rows · m.yaml"


@pytest.mark.parametrize("words", [["--format", "json"], ["--json"], ["--json", "--format", "json"]])
def test_json_is_a_list_of_objects(words: list[str]) -> None:
    done = call("query", "-m", "m.yaml", ALL, *words)
    assert done.document[0] == {"k": "x", "n": 1, "said": HOSTILE}
    assert done.document[2] == {"k": "z", "n": None, "said": None}
    assert "\x1b" not in done.out
    assert "\u202e" not in done.out
    assert done.err == ""


def test_csv_in_a_pipe_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    done = call("query", "-m", "m.yaml", ALL, "--format", "csv")
    assert list(csv.reader(io.StringIO(done.out)))[1] == ["x", "1", HOSTILE]
    monkeypatch.setattr(showing, "to_terminal", lambda: True)
    done = call("query", "-m", "m.yaml", ALL, "--format", "csv")
    assert list(csv.reader(io.StringIO(done.out)))[1] == ["x", "1", "ab  [red]m[/red]"]


def test_a_failure_in_mid_stream_leaves_no_half_list() -> None:
    sql = "SELECT CASE WHEN range < 5000 THEN 1 ELSE error('late') END AS x FROM range(6000)"
    done = call("query", "-m", "m.yaml", sql, "--json")
    assert done.code == 2
    assert "late" in done.error["message"]


@pytest.mark.parametrize(
    ("name", "flags", "form"),
    [
        ("a.json", [], "json"),
        ("a.csv", [], "csv"),
        ("a.parquet", [], "parquet"),
        ("a.txt", [], "table"),
        ("a", ["--format", "csv"], "csv"),
        ("a.json", ["--format", "csv"], "csv"),
    ],
)
def test_into_a_file(name: str, flags: list[str], form: str, tmp_path: Path) -> None:
    target = tmp_path / "out" / name
    target.parent.mkdir()
    done = call("query", "-m", "m.yaml", ALL, "-o", target, *flags)
    assert done.out == f"3 rows in {target}\n"
    content = target.read_bytes()
    if form == "json":
        assert json.loads(content)[0]["said"] == HOSTILE
    elif form == "csv":
        assert list(csv.reader(io.StringIO(content.decode())))[1] == ["x", "1", HOSTILE]
    elif form == "parquet":
        assert duckdb.sql(f"SELECT said FROM '{target}' ORDER BY k").fetchall()[0] == (HOSTILE,)
    else:
        assert content.decode().splitlines()[2] == "x   1  ab [red]m[/red]"
    assert [path.name for path in target.parent.iterdir()] == [name]
    told = call(
        "query", "-m", "m.yaml", ALL, "-o", target, *flags, *(["--format", form] if form == "table" else []), "--json"
    )
    if form != "table":
        assert told.document == {"file": str(target), "format": form, "rows": 3, "rehearsal": False}


def test_json_into_a_file_without_a_known_ending_is_json(tmp_path: Path) -> None:
    call("query", "-m", "m.yaml", ALL, "-o", tmp_path / "a.txt", "--json")
    assert json.loads((tmp_path / "a.txt").read_bytes())[1]["n"] == 20


def test_a_failed_query_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_text("old", encoding="utf-8")
    done = call("query", "-m", "m.yaml", "SELECT error('late') FROM dataset", "-o", target)
    assert (done.code, target.read_text(encoding="utf-8")) == (2, "old")
    assert not (tmp_path / "a.csv.part").exists()


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.parquet"])
def test_a_file_that_cannot_be_written(name: str, tmp_path: Path) -> None:
    done = call("query", "-m", "m.yaml", ALL, "-o", tmp_path / "none" / name, "--json")
    assert done.code == 2
    assert done.error["where"] == str(tmp_path / "none" / name)
    assert done.error["message"].startswith("cannot be written: ")
    assert done.error["hint"] == "-o FILE"  # what its query could ask for is not the matter


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "table"])
@pytest.mark.parametrize("path", ["", "/"])
def test_a_path_that_names_no_file(path: str, form: str) -> None:
    done = call("query", "-m", "m.yaml", ALL, "-o", path, "--format", form, "--json")
    assert done.code == 2 and done.error["message"] == "names no file"


def test_json_and_csv_on_stdout_exclude_each_other() -> None:
    assert (
        "--json prints JSON, not csv"
        in call("query", "-m", "m.yaml", ALL, "--json", "--format", "csv").error["message"]
    )


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT nothing FROM dataset", "nothing"),
        ("DROP TABLE dataset", "refused"),
        ("SELECT 1; SELECT 2", "one statement at a time"),
        ("SELEC", "SELEC"),
        ("", "no SQL statement"),
        ("SELECT * FROM read_text('/etc/passwd')", "passwd"),
    ],
)
def test_bad_sql_is_one_line(sql: str, said: str) -> None:
    done = call("query", "-m", "m.yaml", sql)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: query:1: ")
    assert said in done.err


def test_unsafe_is_handed_on(tables: list[tuple[Path, Options, bool]], tmp_path: Path) -> None:
    out = tmp_path / "copied.csv"
    done = call("query", "-m", "m.yaml", f"COPY dataset TO '{out}'; SELECT 1 AS one", "--unsafe", "--json")
    assert done.document == [{"one": 1}]
    assert out.exists()
    assert tables[0][2] is True


# -- which run


def test_the_last_run_and_that_it_was_a_rehearsal(
    tables: list[tuple[Path, Options, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "last_run", lambda options: ("/p/last.yaml", True))
    out = call("query", ALL).out
    assert out.splitlines()[-1] == f"3 rows · /p/last.yaml · {showing.REHEARSAL}"
    assert (tables[0][0], tables[0][1].rehearse, tables[0][1].store) == (Path("/p/last.yaml"), True, "./runs")


def test_other_forms_say_rehearsal_on_stderr(tmp_path: Path) -> None:
    done = call("query", "-m", "m.yaml", ALL, "--format", "csv", "--rehearse")
    assert done.err == f"{showing.REHEARSAL}\n"
    assert "REHEARSAL" not in done.out
    assert call("query", "-m", "m.yaml", ALL, "--format", "csv", "--rehearse", "--quiet").err == ""
    assert showing.REHEARSAL in call("query", "-m", "m.yaml", ALL, "-o", tmp_path / "a.csv", "--rehearse").out
    told = call("query", "-m", "m.yaml", ALL, "-o", tmp_path / "a.csv", "--rehearse", "--json").document
    assert told["rehearsal"] is True


def test_no_run_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("query", ALL, "--json")
    assert done.code == 2
    assert "no run yet in ./runs" in done.error["message"]
    assert done.error["hint"] == "chimera-batch init my-pipeline"
    (tmp_path / "manifests").mkdir()
    for name in ("mine.yaml", "quickstart.yaml"):
        (tmp_path / "manifests" / name).touch()
        hint = call("query", ALL, "--json").error["hint"]
        assert hint == f"chimera-batch run --rehearse manifests/{name}", "of what is there"


# -- named queries


def test_a_named_query(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []

    def named(manifest: Path, name: str, options: Options) -> Source:
        asked.append((manifest, name))
        return Source("queries/mine.sql", tmp_path / "mine.sql", "SELECT count(*) AS rows FROM dataset")

    monkeypatch.setattr(api, "named_query", named)
    assert call("query", "-m", "m.yaml", "@mine", "--json").document == [{"rows": 3}]
    assert asked == [(Path("m.yaml"), "mine")]


def test_an_unknown_named_query(monkeypatch: pytest.MonkeyPatch) -> None:
    def named(*_: Any) -> Source:
        raise InputError("there is no named query @x", hint="one of: @funnel")

    monkeypatch.setattr(api, "named_query", named)
    assert call("query", "-m", "m.yaml", "@x", "--json").error["hint"] == "one of: @funnel"


def test_the_forms_are_the_contract_s() -> None:
    assert query.FORMATS == ("table", "json", "csv", "parquet")
