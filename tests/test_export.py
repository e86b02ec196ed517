"""``export``: what each format holds, what never gets in, and a folder that appears whole or not at all."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from chimera_batch import api, exporting
from chimera_batch.cli import export as command
from chimera_batch.errors import InputError, NotFinished
from chimera_batch.exporting import folder as folders
from chimera_batch.exporting import wish as wishes
from chimera_batch.exporting.desk import Desk
from chimera_batch.exporting.wish import INSTRUCTION, Wish
from chimera_batch.opening import open_run
from tests.cli_kit import Called, call
from tests.export_kit import HOSTILE, UNICODE, bytes_of, held_out, marks, mixed, project, read, row, unsolved

BOX = "\n\n" + INSTRUCTION.read_text("utf-8").strip()


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the mixed rows; nobody writes into its folder."""
    folder = tmp_path_factory.mktemp("mixed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHIMERA_CACHE", str(folder / "cache"))
        patch.setenv("CHIMERA_STATE", str(folder / "state"))
        return project(folder, mixed())


def export(manifest: Path, into: Path, form: str, *words: object) -> Called:
    return call("export", manifest, into, "--format", form, *words)


def exported(folder: Path, rows: list[dict[str, Any]], form: str, *words: object) -> Path:
    done = export(project(folder, rows), folder / "out", form, *words)
    assert done.code == 0, done.err
    return folder / "out"


def test_a_stage_that_the_manifest_no_longer_has_is_not_exported(tmp_path: Path) -> None:
    manifest = project(tmp_path, mixed())
    manifest.write_text(manifest.read_text("utf-8").replace("{name: topics,", "{name: renamed,"), encoding="utf-8")
    assert call("run", manifest, "--yes").code == 0
    found = export(manifest, tmp_path / "out", "parquet", "--json").document
    assert set(found["files"]) == {"given.parquet", "dataset.parquet", "renamed.parquet"}


def refused(done: Called, code: int = 2) -> str:
    assert done.code == code, done.err
    return done.err


# -- sft


def test_conversations(manifest: Path, tmp_path: Path) -> None:
    done = export(manifest, tmp_path / "out", "sft")
    assert done.code == 0
    train, other = read(tmp_path / "out" / "train.parquet"), read(tmp_path / "out" / "held_out.parquet")
    assert [one["row_key"] for one in train] == [f"p{n:04}/1" for n in range(6)]
    assert [one["row_key"] for one in other] == [f"p{n:04}/1" for n in range(20, 26)]
    assert train[1]["messages"] == [
        {"role": "user", "content": "What is 1 + 1?" + BOX},
        {"role": "assistant", "content": "<think>\n1 twice\n</think>\n\nIt is \\boxed{2}."},
    ]
    assert set(train[1]) == {"messages", "row_key", "problem_key", "subject", "topic"}


TRACES = {
    "both tags": ("<think>\na\nb\n</think>\n\nsaid", "a\nb", "said"),
    "only the closing tag": ("a\n</think>\nsaid", "a", "said"),
    "a tag within the thinking": ("<think>a </think> b</think>said", "a </think> b", "said"),
    "no thinking": ("said \\boxed{1}", None, "said \\boxed{1}"),
    "empty thinking": ("<think>\n\n</think>\n\nsaid", None, "said"),
    "white space around": ("\n <think>\n a\n</think>\n said\n\n", "a", "said"),
    "hostile": (f"<think>{HOSTILE}</think>{UNICODE}", HOSTILE, UNICODE),
}


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("traces")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHIMERA_CACHE", str(folder / "cache"))
        patch.setenv("CHIMERA_STATE", str(folder / "state"))
        return project(folder, [row(n, solution=trace) for n, (trace, _, _) in enumerate(TRACES.values())])


def test_thinking_inline(traces: Path, tmp_path: Path) -> None:
    assert export(traces, tmp_path / "out", "sft", "--shape", "prompt-completion").code == 0
    for found, (_, thinking, said) in zip(read(tmp_path / "out" / "train.parquet"), TRACES.values(), strict=True):
        text = f"<think>\n{thinking}\n</think>\n\n{said}" if thinking else said
        assert found["completion"] == [{"role": "assistant", "content": text}]
        assert found["prompt"][0]["role"] == "user"


def test_thinking_in_a_field(traces: Path, tmp_path: Path) -> None:
    assert export(traces, tmp_path / "out", "sft", "--thinking", "field").code == 0
    for found, (_, thinking, said) in zip(read(tmp_path / "out" / "train.parquet"), TRACES.values(), strict=True):
        user, reply = found["messages"]
        assert reply == {"role": "assistant", "content": said, "reasoning_content": thinking}
        assert user["reasoning_content"] is None


@pytest.mark.parametrize(("said", "behind"), [("", ""), ("Box it.", "\n\nBox it."), ("  \n", "")])
def test_the_instruction(said: str, behind: str, manifest: Path, tmp_path: Path) -> None:
    assert export(manifest, tmp_path / "out", "rl", "--instruction", said).code == 0
    assert read(tmp_path / "out" / "train.parquet")[0]["prompt"][0]["content"] == "What is 10 + 10?" + behind


# -- rl


def test_problems_in_verl_s_columns(manifest: Path, tmp_path: Path) -> None:
    assert export(manifest, tmp_path / "out", "rl").code == 0
    found = read(tmp_path / "out" / "train.parquet")
    assert [one["extra_info"]["problem_key"] for one in found] == [f"p{n:04}" for n in range(10, 16)]
    assert found[0] == {
        "data_source": "made-by-hand",
        "prompt": [{"role": "user", "content": "What is 10 + 10?" + BOX}],
        "ability": "physics",
        "reward_model": {"style": "rule", "ground_truth": "20"},
        "extra_info": {
            "split": "train",
            "index": 10,
            "row_key": "p0010/1",
            "problem_key": "p0010",
            "subject": "Physics",
            "topic": "Physics topic 3",
            "answer_kind": "number",
            "has_correct_trace": False,
            "question": "What is 10 + 10?",
        },
    }
    assert len(read(tmp_path / "out" / "held_out.parquet")) == 7  # also the one without a correct trace


def test_solved_problems_once_each_where_they_are_asked_for(tmp_path: Path) -> None:
    again = row(0, row_key="p0000/2", index=99)  # a second correct trace of the same problem
    out = exported(tmp_path, [row(0), again, unsolved(1)], "rl", "--with-sft")
    found = [one["extra_info"] for one in read(out / "train.parquet")]
    assert [(one["row_key"], one["has_correct_trace"]) for one in found] == [("p0000/1", True), ("p0001/1", False)]


# -- hf


def head_of(card: str) -> dict[str, Any]:
    return dict(yaml.safe_load(card.split("---\n")[1]))


def test_every_row_in_the_order_of_the_index(tmp_path: Path) -> None:
    rows = [row(n, row_key=f"k{9 - n}") for n in range(5)]
    out = exported(tmp_path, [*rows, held_out(7)], "hf")
    train = read(out / "data" / "train-00000-of-00001.parquet")
    assert [one["index"] for one in train] == list(range(5))
    assert list(train[0])[:2] == ["index", "subject"]
    (config,) = head_of((out / "README.md").read_text("utf-8"))["configs"]
    assert [part["split"] for part in config["data_files"]] == ["train", "held_out"]


def test_shards(tmp_path: Path) -> None:
    """Three rows of 600 kB with a limit of a megabyte: two go into the first file, for a file ends where it is full."""
    rows = [row(n, solution=f"{n}" * 600_000) for n in range(3)]
    out = exported(tmp_path, rows, "hf", "--shard-mb", 1)
    names = [path.name for path in sorted((out / "data").iterdir())]
    assert names == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    assert [one["index"] for one in read(out / "data" / "*.parquet")] == [0, 1, 2]


def test_the_card(manifest: Path, tmp_path: Path) -> None:
    done = export(manifest, tmp_path / "out", "hf", "--license", "cc-by-4.0", "--json")
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    head = head_of(card)
    assert head["license"] == "cc-by-4.0"
    assert "rehearsal" not in head["tags"] and "REHEARSAL" not in card
    assert "| Mathematics | 8 |" in card
    assert "| yes | rule | 14 |" in card
    assert "| train | sft | verified | 6 | 6 |" in card
    assert "| traces | solver-1.0 | 22 |" in card
    assert done.document["provenance"]["manifest"]["sha256"] in card
    assert done.document["left_out"]["Survival"].startswith("needs ")  # this run has no such stages


def test_a_row_outside_the_splits_is_not_lost_silently(tmp_path: Path) -> None:
    done = export(project(tmp_path, [row(0), row(1, split="../../etc")]), tmp_path / "out", "hf")
    assert "2 rows, and 1 of them are in the splits train and held_out" in refused(done)
    assert not (tmp_path / "out").exists()


def test_a_table_without_splits(manifest: Path, tmp_path: Path) -> None:
    done = export(manifest, tmp_path / "out", "hf", "--table", "topics", "--json")
    assert done.document["files"] == {"data/train-00000-of-00001.parquet": 23}
    assert "Labels" in done.document["left_out"]


# -- parquet and duckdb


def test_every_table_as_parquet(manifest: Path, tmp_path: Path) -> None:
    done = export(manifest, tmp_path / "out", "parquet", "--json")
    assert done.document["files"] == {"dataset.parquet": 23, "given.parquet": 23, "topics.parquet": 23}
    assert sorted(bytes_of(tmp_path / "out")) == ["dataset.parquet", "export.json", "given.parquet", "topics.parquet"]
    assert marks(tmp_path / "out" / "dataset.parquet")["chimera_side"] == "paid"


def test_one_database(manifest: Path, tmp_path: Path) -> None:
    queries = manifest.parent / "sql" / "queries"
    queries.mkdir()
    (queries / "easy.sql").write_text("-- How many.\n-- reads: dataset\nSELECT count(*) AS n FROM dataset\n")
    (queries / "topics.sql").write_text("-- Of a name that a table has.\n-- reads: topics\nSELECT 7 AS n FROM topics\n")
    (queries / "ours.sql").write_text("-- Ours.\n-- reads: dataset\nSELECT text_key(topic) AS k FROM dataset\n")
    (queries / "either.sql").write_text("-- Or.\n-- reads: dataset\nSELECT if(count(*) > 9, 1, 0) AS n FROM dataset\n")
    (queries / "asks.sql").write_text("-- Asks.\n-- reads: dataset\n-- $n: x\nSELECT $n AS n FROM dataset\n")
    try:
        done = export(manifest, tmp_path / "out", "duckdb", "--json")
    finally:
        for path in queries.iterdir():
            path.unlink()
        queries.rmdir()
    left = done.document["left_out"]
    assert left["@asks"] == "takes parameters"
    assert left["@ours"] == "needs chimera-batch's own function text_key: `query @ours` has it"
    assert "needs " in left["@funnel"]
    with duckdb.connect(str(tmp_path / "out" / "tables.duckdb"), read_only=True) as found:
        assert found.execute("SELECT n FROM easy").fetchone() == (23,)
        assert found.execute("SELECT n FROM either").fetchone() == (1,)
        macros = "SELECT function_name FROM duckdb_functions() WHERE NOT internal"
        assert found.execute(macros).fetchall() == [("if",)], "1.x has no function by that name, and views ask for it"
        assert found.execute("SELECT DISTINCT n FROM topics_view").fetchall() == [(7,)]
        assert found.execute("SELECT count(*) FROM stages").fetchone() == (3,)
        assert found.execute("SELECT count(*) FROM costs_view").fetchone() is not None  # @costs; costs is a table


def test_the_database_is_one_that_older_duckdbs_read(manifest: Path, tmp_path: Path) -> None:
    """Behind a checksum and the word DUCK stands the version of the storage: 1.0 reads 64, and later ones still do."""
    export(manifest, tmp_path / "out", "duckdb")
    head = (tmp_path / "out" / "tables.duckdb").read_bytes()[:20]
    assert head[8:12] == b"DUCK" and int.from_bytes(head[12:], "little") == 64


# -- what holds for all of them

FORMS = ("sft", "rl", "hf", "parquet", "duckdb")


@pytest.mark.parametrize("form", FORMS[:4])
def test_the_same_bytes_twice(form: str, manifest: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert export(manifest, tmp_path / name, form).code == 0
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")


@pytest.mark.parametrize("form", FORMS)
def test_hostile_text_is_data_and_nothing_else(form: str, tmp_path: Path) -> None:
    names = ("subject", "topic", "question", "answer", "solution", "author_model", "solver_model", "decided_by")
    everywhere = dict.fromkeys(names, HOSTILE)
    rows = [row(0, **everywhere), row(1, **everywhere, use="rl", correctness=False), held_out(2, **everywhere)]
    out = exported(tmp_path, rows, form)
    for path, content in bytes_of(out).items():
        assert re.fullmatch(r"[A-Za-z0-9_./-]+", path)
        if not path.endswith((".parquet", ".duckdb")):
            text = content.decode()
            for trap in ("<script>", "](http", "\x1b", "\u202e", "`$("):
                assert trap not in text, (path, trap)
    if form == "hf":
        assert read(out / "data" / "train-*.parquet")[0]["question"] == HOSTILE
        card = (out / "README.md").read_text("utf-8")
        tables = [part.splitlines() for part in card.split("\n\n") if part.startswith("|")]
        assert sum("script" in line for lines in tables for line in lines) >= 4
        for lines in tables:
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1  # as many cells as the heading


@pytest.mark.parametrize("form", FORMS)
def test_a_rehearsal_says_so_loudly(form: str, tmp_path: Path) -> None:
    manifest = project(tmp_path, mixed(), rehearse=True)
    done = export(manifest, tmp_path / "out", form, "--rehearse", "--json")
    assert done.document["rehearsal"] is True
    assert json.loads((tmp_path / "out" / "export.json").read_text("utf-8"))["rehearsal"] is True
    for path in (tmp_path / "out").rglob("*.parquet"):
        assert marks(path)["chimera_side"] == "rehearsal"
    if form in {"sft", "rl", "hf"}:
        card = (tmp_path / "out" / "README.md").read_text("utf-8")
        assert {"rehearsal", "not-real-data"} <= set(head_of(card)["tags"])
        assert card.split("---\n")[2].startswith("> **REHEARSAL.")
    if form == "rl":
        assert read(tmp_path / "out" / "train.parquet")[0]["data_source"] == "rehearsal of made-by-hand"
    people = export(manifest, tmp_path / "again", form, "--rehearse")
    assert "REHEARSAL: nothing was paid" in people.out


def test_what_is_printed(manifest: Path, tmp_path: Path) -> None:
    lines = export(manifest, tmp_path / "out", "sft").out.splitlines()
    assert [line.split() for line in lines[2:4]] == [["train.parquet", "6"], ["held_out.parquet", "6"]]
    assert lines[-1].startswith("12 rows in ")
    found = export(manifest, tmp_path / "json", "sft", "--json").document
    assert (found["format"], found["table"], found["rows"]) == ("sft", "dataset", 12)
    assert found["directory"] == str(tmp_path / "json")
    assert found["sha256"].keys() == found["files"].keys()


def test_where_it_comes_from(manifest: Path, tmp_path: Path) -> None:
    found = export(manifest, tmp_path / "out", "sft", "--json").document["provenance"]
    assert found["run"] == "made-by-hand"
    assert found["manifest"]["name"] == "m.yaml"
    assert [stage["stage"] for stage in found["stages"]] == ["given", "dataset", "topics"]
    assert all(len(stage["table_sha256"]) == 64 for stage in found["stages"])


# -- what is refused


def test_nothing_to_train_on(tmp_path: Path) -> None:
    manifest = project(tmp_path, [row(0)])
    assert "no row to train on" in refused(export(manifest, tmp_path / "out", "rl"))
    assert not (tmp_path / "out").exists()
    assert export(manifest, tmp_path / "out", "rl", "--with-sft").code == 0


def test_an_empty_table(tmp_path: Path) -> None:
    manifest = project(tmp_path, [])
    assert "no row to train on" in refused(export(manifest, tmp_path / "out", "sft"))
    assert "has no rows" in refused(export(manifest, tmp_path / "out", "hf"))
    assert export(manifest, tmp_path / "out", "parquet").code == 0
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".out")) == []


def test_a_table_of_another_shape(manifest: Path, tmp_path: Path) -> None:
    said = refused(export(manifest, tmp_path / "out", "sft", "--table", "topics"))
    assert "table topics has no column problem_key, topic, question" in said
    assert "--format parquet" in said


def test_sql_of_the_project_goes_first(tmp_path: Path) -> None:
    """A pipeline with other columns says itself what a conversation is."""
    manifest = project(tmp_path, mixed())
    (tmp_path / "sql" / "exports").mkdir()
    own = """-- A conversation about each topic.
-- reads: dataset
SELECT row_key, row_key AS problem_key, subject, row_key AS topic, concat('Name it', $instruction) AS prompt,
    NULL::VARCHAR AS thinking, row_key AS reply
FROM dataset WHERE $split = 'train'
"""
    (tmp_path / "sql" / "exports" / "conversations.sql").write_text(own, encoding="utf-8")
    done = export(manifest, tmp_path / "out", "sft", "--table", "topics", "--instruction", "", "--json")
    assert (done.document["files"], done.document["left_out"]) == ({"train.parquet": 23}, {"held_out": "no rows"})
    talk = read(tmp_path / "out" / "train.parquet")[0]["messages"]
    assert talk == [{"role": "user", "content": "Name it"}, {"role": "assistant", "content": "History topic 0"}]


def test_a_copy_of_our_sql_is_ours(tmp_path: Path) -> None:
    """``init`` copies it into every project; what a table lacks is still said in words."""
    from chimera_batch.pipeline.shipped import shipped_root

    manifest = project(tmp_path, [row(0)])
    shutil.copytree(shipped_root() / "sql" / "exports", tmp_path / "sql" / "exports")
    said = refused(export(manifest, tmp_path / "out", "sft", "--table", "topics"))
    assert "has no column problem_key" in said


def test_no_such_table(manifest: Path, tmp_path: Path) -> None:
    assert "there is no stage `datasets`" in refused(export(manifest, tmp_path / "out", "hf", "--table", "datasets"))


@pytest.mark.parametrize("form", FORMS)
def test_a_run_that_has_not_begun(form: str, tmp_path: Path) -> None:
    manifest = project(tmp_path, [row(0)], run=False)
    said = refused(export(manifest, tmp_path / "out", form))
    assert "made yet" in said
    assert f"chimera-batch run {manifest}" in said


def test_a_run_that_waits_for_a_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from chimera_batch.history.facts import Facts

    class Open:
        is_open = True

    monkeypatch.setattr(Facts, "attempts", lambda self, run=None: iter([(None, Open())]))
    with open_run(project(tmp_path, [row(0)], run=False), api.DEFAULTS) as ctx, pytest.raises(NotFinished) as found:
        exporting.export(ctx, Wish("sft", tmp_path / "out"))
    assert found.value.exit_code == 5


@pytest.mark.parametrize("words", [["--license", "my own!"], ["--license", ""], ["--shard-mb", "0"], ["--shape", "x"]])
def test_options_that_mean_nothing(words: list[str], manifest: Path, tmp_path: Path) -> None:
    refused(export(manifest, tmp_path / "out", "hf", *words))
    assert not (tmp_path / "out").exists()


# -- the folder


def test_a_folder_with_files_is_left_alone(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("dear")
    assert "holds files already" in refused(export(manifest, tmp_path, "sft"))
    assert "no earlier export" in refused(export(manifest, tmp_path, "sft", "--force"))
    assert bytes_of(tmp_path) == {"mine.txt": b"dear"}


def test_an_earlier_export_is_replaced_when_that_is_said(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert export(manifest, out, "rl").code == 0
    assert "holds an export already" in refused(export(manifest, out, "sft"))
    assert (out / "grpo.yaml").is_file()
    assert export(manifest, out, "sft", "--force").code == 0
    assert not (out / "grpo.yaml").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_is_filled(manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    assert export(manifest, Path("out"), "sft").code == 0
    assert (tmp_path / "out" / "train.parquet").is_file()


def test_a_file_is_no_folder(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    assert "is a file" in refused(export(manifest, tmp_path / "out", "sft"))


def test_a_failure_on_the_way_leaves_nothing(manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Desk, name: str, *words: Any, **how: Any) -> int:
        (self.folder / name).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Desk, "write", broken)
    assert "No space left on device" in refused(export(manifest, tmp_path / "out", "sft"))
    assert list(tmp_path.iterdir()) == []


def test_the_old_export_stays_where_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "out"
    old.mkdir()
    (old / folders.MARK).write_text("{}")
    rename = Path.rename

    def stubborn(self: Path, target: Path) -> Path:
        if ".part-" in self.name:
            raise OSError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", stubborn)
    with pytest.raises(InputError, match="Permission denied"), folders.whole_folder(old, force=True) as part:
        (part / "new").write_text("x")
    assert bytes_of(tmp_path) == {"out/export.json": b"{}"}


def test_the_command_offers_what_a_wish_takes() -> None:
    """It has words of its own, because --help may not load what a wish needs."""
    assert (command.FORMATS, command.SHAPES, command.THINKING) == (wishes.FORMS, wishes.SHAPES, wishes.THINKING)
