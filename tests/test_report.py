"""``report``: one page for any run, whose numbers are those of ``status``, the named queries and the bill."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chimera_batch import __version__, api
from chimera_batch.report import figures, prompts, samples
from chimera_batch.report.catalogue import SECTIONS
from chimera_batch.report.wish import ROWS, Wish
from tests.cli_kit import call
from tests.cli_kit import project as tiny
from tests.conftest import ROOT
from tests.end_to_end import Rehearsed, provider, shipped
from tests.export_kit import HOSTILE, mixed, row
from tests.report_kit import Page, asked, project, report

GENERAL = ["stages", "costs", "waste", "outcomes", "batches"]


# -- a run that asked: the two stages of reviews.yaml


class Reviews:
    """The run, its page, and what the command said of it."""

    def __init__(self, place: Rehearsed, folder: Path) -> None:
        place.run()
        self.place, self.path = place, folder / "report.html"
        self.said = self.made(self.path)
        self.page = Page(self.path.read_text(encoding="utf-8"))

    def made(self, path: Path, **wish: Any) -> dict[str, Any]:
        with self.place.place():
            return api.report(self.place.manifest, Wish(path, **wish), self.place.options)

    def objects(self, name: str) -> list[dict[str, Any]]:
        """The rows of a named query."""
        with self.place.place(), api.query(self.place.manifest, self.place.options) as tables:
            source = api.named_query(self.place.manifest, name, self.place.options)
            result = tables.query(source)
            return [dict(zip(result.columns, values, strict=True)) for values in result]


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reviews]:
    folder = tmp_path_factory.mktemp("reviews")
    with provider(folder / "server") as served:
        yield Reviews(Rehearsed(shipped("reviews"), str(folder / "store"), served, folder / "cache"), folder)


def test_any_pipeline_gets_its_sections_and_a_line_for_each_other(reviews: Reviews) -> None:
    assert reviews.said["sections"] == GENERAL
    assert {one.title for one in SECTIONS} == {
        *reviews.said["left_out"],
        *(one.title for one in SECTIONS if one.name in GENERAL),
    }
    for name in GENERAL:
        assert reviews.page.has("section", id_=name)
        assert f"table-{name}" in reviews.page.tables
    for title, reason in reviews.said["left_out"].items():
        assert f"{title}: {reason}." in reviews.page.text and "has the table" in reason
    assert len(reviews.page.has("svg")) == len(reviews.page.has("figure")) == 4  # nothing was wasted: no chart of it


def test_the_stages_are_those_of_status(reviews: Reviews) -> None:
    status = reviews.place.status()
    rows = reviews.page.rows("stages")
    assert [one["stage"] for one in rows] == ["classified", "summaries"]
    for shown, stage in zip(rows, status["stages"], strict=True):
        for name in ("wanted", "answered", "given_up", "not_asked", "rows", "rows_kept", "usd_spent"):
            assert shown[name] == ("–" if stage[name] is None else str(stage[name])), name
    values = [one["value"] for name, one in reviews.page.tags if name == "data"]
    assert str(status["usd_spent"]) in values and str(status["budget"]) in values


@pytest.mark.parametrize(("section", "query"), [(one.name, one.query) for one in SECTIONS if one.name in GENERAL])
def test_a_section_is_its_named_query(reviews: Reviews, section: str, query: str) -> None:
    shown, said = reviews.page.rows(section), reviews.objects(query[1:])
    assert len(shown) == len(said) > 0
    for cells, values in zip(shown, said, strict=True):
        for name, value in values.items():
            if isinstance(value, Decimal):
                assert Decimal(cells[name]) == value, name
            elif isinstance(value, int | float) and not isinstance(value, bool):
                assert float(cells[name]) == value, name
            elif isinstance(value, str):
                assert cells[name] == value, name


def test_the_page_s_dollars_are_the_server_s_bill(reviews: Reviews) -> None:
    everything = reviews.page.rows("costs")[-1]
    assert everything["stage"] == "all"
    assert Decimal(everything["usd"]) == reviews.place.served.usd() > 0
    assert int(everything["requests"]) == len(reviews.place.served.bill)
    behind = [Decimal(str(one["usd"])) for sample in reviews.page.block("data") for one in sample["e"]]
    billed = {line["request_id"]: Decimal(line["usd"]) for line in reviews.place.served.bill}
    ids = [one["request_id"] for sample in reviews.page.block("data") for one in sample["e"]]
    assert behind == [billed[one] for one in ids] and behind


def test_a_row_shows_what_was_asked_and_answered(reviews: Reviews) -> None:
    head, rows = reviews.page.block("head"), reviews.page.block("data")
    assert [one["stage"] for one in head["steps"]] == ["summaries"]  # a summary names no review's key
    with reviews.place.tables() as ask:
        table = ask("SELECT row_key, headline FROM summaries ORDER BY row_key")
    key, headline = (head["columns"].index(name) for name in ("row_key", "headline"))
    assert [(one["v"][key], one["v"][headline]) for one in rows] == table
    for one in rows:
        (step,) = one["e"]
        assert (step["row_key"], step["outcome"], step["attempts"]) == (one["v"][key], "ok", 1)
        assert step["answer"]["headline"] == one["v"][headline] and "text" not in step
        (system, shared), (user, text) = step["prompt"]
        assert (system, shared, user) == ("system", 0, "user")
        assert one["v"][head["columns"].index("product")] in text
    assert head["steps"][0]["shared"][0] in (ROOT / "prompts/reviews/summaries.md").read_text("utf-8")


def test_what_is_behind_a_row_is_what_trace_says(reviews: Reviews) -> None:
    key = reviews.page.block("head")["columns"].index("row_key")
    for one in reviews.page.block("data"):
        steps = reviews.place.trace(one["v"][key])["steps"]
        assert [(s["stage"], s["request_id"]) for s in steps] == [("summaries", s["request_id"]) for s in one["e"]]


def test_another_table_follows_its_own_rows(reviews: Reviews, tmp_path: Path) -> None:
    said = reviews.made(tmp_path / "r.html", table="classified", rows=3)
    page = Page((tmp_path / "r.html").read_text("utf-8"))
    assert (said["table"], said["rows"]) == ("classified", 3)
    rows = page.block("data")
    assert [[page.block("head")["steps"][one["step"]]["stage"] for one in r["e"]] for r in rows] == [["classified"]] * 3
    assert "3 of the 8 rows" in page.text and "drawn by the digest" in page.text
    again = reviews.made(tmp_path / "again.html", table="classified", rows=5)
    more = Page((tmp_path / "again.html").read_text("utf-8")).block("data")
    assert again["rows"] == 5 and all(one in more for one in rows), "a larger sample holds the smaller one"


def test_a_prompt_that_changed_since_is_not_shown(
    reviews: Reviews, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent is a fact; what the file says now is not."""
    parse = prompts.Prompts.__init__

    def edited(self: prompts.Prompts, ctx: Any, stage: Any) -> None:
        from dataclasses import replace

        parse(self, ctx, replace(stage, prompt=replace(stage.prompt, text=stage.prompt.text + "\nShorter!\n")))

    monkeypatch.setattr(prompts.Prompts, "__init__", edited)
    reviews.made(tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text("utf-8"))
    assert [step["prompt"] for one in page.block("data") for step in one["e"]] == [None] * 3


def test_only_the_first_rows_show_prompts(reviews: Reviews, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "PROMPTED", 2)
    monkeypatch.setattr(samples, "_CHUNK", 2)  # and more than one chunk gives the same rows
    reviews.made(tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text("utf-8"))
    assert ["prompt" in step for one in page.block("data") for step in one["e"]] == [True, True, False]
    assert "Prompts are shown for the first 2 rows" in page.text
    assert [one["v"] for one in page.block("data")] == [one["v"] for one in reviews.page.block("data")]


def test_the_same_state_gives_the_same_page_but_for_the_time(reviews: Reviews, tmp_path: Path) -> None:
    reviews.made(tmp_path / "r.html")
    first, second = (
        re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "T", p.read_text("utf-8"))
        for p in (reviews.path, tmp_path / "r.html")
    )
    assert first == second


def test_the_page_says_where_it_is_from(reviews: Reviews) -> None:
    text = reviews.page.text
    assert "Rehearsal. Nothing was paid" in " ".join(text.split())
    assert "reviews.yaml" in text and reviews.place.status()["store"] in text
    (made,) = reviews.page.has("time")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", str(made["datetime"]))
    assert reviews.page.has("meta", name="generator")[0]["content"] == f"chimera-batch {__version__}"


def test_nothing_is_written_into_the_store(reviews: Reviews, tmp_path: Path) -> None:
    store = Path(reviews.place.store)
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    reviews.made(tmp_path / "r.html")
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"], "nothing is left beside the page"


def test_the_page_is_whole_and_can_be_walked_through(reviews: Reviews) -> None:
    """Landmarks, a heading for each section, a head for each column, a table behind each chart; ids are unique."""
    page = reviews.page
    for landmark in ("header", "nav", "main", "footer"):
        assert len([1 for name, _ in page.tags if name == landmark]) == 1
    ids = [str(one["id"]) for _, one in page.tags if "id" in one]
    assert len(set(ids)) == len(ids)
    for one in page.has("section"):
        assert one["aria-labelledby"] in ids
    for one in page.has("a"):
        assert str(one["href"]).startswith("#") and str(one["href"])[1:] in ids
    assert all(one.get("scope") == "col" for one in page.has("th"))
    assert len([1 for name, _ in page.tags if name == "caption"]) == len(page.tables)
    for one in page.has("div", role="img"):
        assert str(one["aria-label"]).startswith("Chart: ")
    assert page.has("html", lang="en") and page.has("a", class_="skip")


def test_the_page_carries_the_licence_of_what_it_copies(reviews: Reviews) -> None:
    assert re.search(
        r"<!-- The first script is Temml.*Copyright.*WITHOUT WARRANTY OF ANY KIND.*-->", reviews.page.source, re.S
    )


def test_the_page_asks_nothing_of_a_network(reviews: Reviews) -> None:
    for name, one in reviews.page.tags:
        assert not {"src", "srcset", "style", "action", "ping"} & one.keys(), name
        assert not [key for key in one if key.startswith("on")], name
        assert name not in {"iframe", "object", "embed", "img", "link", "base", "audio", "video"}
    (said,) = reviews.page.has("meta", **{"http-equiv": "Content-Security-Policy"})
    assert "default-src 'none'" in str(said["content"]) and "unsafe" not in str(said["content"])


# -- a data set made by hand


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run without a model: the rows of the export's tests, two of them hostile."""
    folder = tmp_path_factory.mktemp("made")
    hostile = {"question": HOSTILE + "</script><!-- \u2028", "topic": "</title><script>alert(1)</script>\x07"}
    long = {"solution": "start " + "x" * 100_000 + " end"}
    with pytest.MonkeyPatch.context() as patch:
        for what in ("CACHE", "STATE"):
            patch.setenv(f"CHIMERA_{what}", str(folder / what.lower()))
        for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "sk-planted-0123456789")
        yield project(folder, [*mixed(), row(200, **hostile), row(201, **long)])


@pytest.fixture(scope="module")
def shown(made: Path) -> tuple[Page, dict[str, Any]]:
    """Its page, and what the command printed."""
    return report(made, made.with_name("report.html"))


def test_a_run_without_a_request_has_no_empty_chart(shown: tuple[Page, dict[str, Any]]) -> None:
    page, said = shown
    assert said["sections"] == ["stages", "costs", "waste", "lengths", "length_figures"]
    assert "has no rows of it" in said["left_out"]["Outcomes"] and "has no rows of it" in said["left_out"]["Batches"]
    assert len(page.has("svg")) == 2  # stages and lengths; nothing was billed, so that has a table alone
    assert sum(int(one["texts"]) for one in page.rows("lengths") if one["what"] == "trace") == 24
    assert said["rows"] == 25 and said["bytes"] == Path(said["path"]).stat().st_size


def test_what_models_wrote_is_only_ever_text(shown: tuple[Page, dict[str, Any]]) -> None:
    page, _ = shown
    assert len(page.has("script")) == 4  # two blocks of data, two scripts of ours
    found = next(one for one in page.block("data") if "p0200/1" in one["v"])
    question = found["v"][page.block("head")["columns"].index("question")]
    assert "<script>alert(1)</script>" in question and "␛[31m⟦U+202E⟧" in question and question.endswith("⟦U+2028⟧")
    assert "\u202e" not in page.source and "\x1b" not in page.source and "\u2028" not in page.source


def test_a_long_text_is_cut_in_the_middle(shown: tuple[Page, dict[str, Any]]) -> None:
    page, _ = shown
    found = next(one for one in page.block("data") if "p0201/1" in one["v"])
    text = found["v"][page.block("head")["columns"].index("solution")]
    assert text.startswith("start xxx") and text.endswith("xxx end") and len(text) < samples.LONGEST + 100
    assert "⟦… 92,010 characters are not in this page …⟧" in text


def test_rows_can_be_left_out(made: Path, tmp_path: Path) -> None:
    page, said = report(made, tmp_path / "r.html", "--rows", 0)
    assert said["rows"] == 0 and page.block("data") == []
    assert (
        "made without the data (--rows 0), so there is no sample" in page.text
        and "alert(1)" not in page.source.partition("<script>")[0]
    )


def test_for_people(made: Path, tmp_path: Path) -> None:
    done = asked(made, tmp_path / "r.html")
    assert done.code == 0
    assert done.out == f"{tmp_path / 'r.html'}: 5 sections, 25 rows\n"
    (line,) = [line for line in done.err.splitlines() if line.startswith("left out, as no run here has their tables")]
    assert line.endswith("Quality by judges") and "Coverage by topic, " in line
    assert report(made, tmp_path / "r.html")[1]["left_out"]["Coverage by topic"] == "no run here has the table taxonomy"
    assert asked(made, tmp_path / "r.html", "--quiet").err == ""


def test_an_earlier_page_is_replaced_and_a_failure_leaves_it(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    path.write_text("mine", encoding="utf-8")
    failed = asked(made, path, "--table", "nonsense", "--json")
    assert failed.code == 2 and path.read_text("utf-8") == "mine"
    assert asked(made, path).code == 0 and path.read_text("utf-8").startswith("<!doctype html>")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(made: Path, tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert asked(made, tmp_path / "r.html").code == 2


@pytest.mark.parametrize("where", ["no/such/folder/r.html", ".", "/"])
def test_a_path_that_is_none(made: Path, tmp_path: Path, where: str) -> None:
    done = asked(made, tmp_path / where, "--json")
    assert done.code == 2 and done.error["message"].startswith("cannot be written")


def test_a_name_of_the_shell_s_is_quoted_in_the_lines_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = project(tmp_path, [row(1)]).rename(tmp_path / "my run.yaml")
    monkeypatch.chdir(tmp_path)
    page, _ = report(Path("my run.yaml"), tmp_path / "r.html")
    trace = page.block("head")["trace"]
    assert trace == f"chimera-batch trace '{manifest.name}'"
    assert call("trace", manifest.name, "p0001/1").code == 0


def test_the_lines_to_type_are_about_the_store_and_the_run_that_a_section_is_of(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "MOST", 1)
    manifest, side = tiny(tmp_path), ("--price", "openai/gpt-6-luna=1,2")  # of a model that the other run does not ask
    page, said = report(manifest, tmp_path / "r.html", "--with", made, *side)
    assert "lengths" in said["sections"]
    assert f"chimera-batch query -m {made.name} @lengths" in page.text  # not of the run that has no such table
    assert page.block("head")["trace"] == f"chimera-batch trace {' '.join(side)} {manifest.name}"
    page, _ = report(made, tmp_path / "r.html", "--store", made.parent / "runs")
    store = f"--store {made.parent / 'runs'}"
    assert page.block("head")["trace"] == f"chimera-batch trace {store} {made.name}"
    assert f"chimera-batch query {store} -m {made.name} @lengths" in page.text


def test_a_table_with_columns_of_its_own_is_shown_and_fits_no_section(tmp_path: Path) -> None:
    """Of any type, though it is called as CHIMERA's is."""
    kinds = {"row_key": "VARCHAR", "big": "BIGINT", "some": "INTEGER[]", "deep": "STRUCT(a VARCHAR, b DOUBLE)"}
    kinds |= {"day": "DATE", "raw": "BLOB", "nan": "DOUBLE"}
    one = {"row_key": "a", "big": 2**60, "some": [1, 2], "deep": {"a": "\u202e", "b": 0.5}, "day": "2026-11-22"}
    one |= {"raw": b"\x00\xff", "nan": float("nan")}
    page, said = report(project(tmp_path, [one], columns=kinds), tmp_path / "r.html")
    (found,) = page.block("data")
    assert found["v"] == ["a", str(2**60), [1, 2], {"a": "⟦U+202E⟧", "b": 0.5}, "2026-11-22", "00ff", None]
    assert said["sections"] == ["stages", "costs", "waste"]
    assert said["left_out"]["Lengths"].startswith("its query does not fit the tables of made-by-hand: ")


# -- runs that are not at their end, and what is missing


def test_a_run_before_its_first_step(tmp_path: Path) -> None:
    page, said = report(tiny(tmp_path), tmp_path / "r.html")
    assert said["table"] is None and said["rows"] == 0
    assert "No table of this run has rows yet" in page.text
    assert page.rows("stages")[0]["rows"] == "–"


def test_a_table_that_is_not_made_yet_says_what_to_type(tmp_path: Path) -> None:
    done = asked(tiny(tmp_path), tmp_path / "r.html", "--table", "answers_of", "--json")
    assert done.code == 2
    assert done.error["message"] == "table answers_of is not made yet" and "chimera-batch run" in done.error["hint"]


def test_without_the_charts_library_one_line(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    done = asked(made, tmp_path / "r.html", "--json")
    assert done.code == 2 and done.error["hint"] == "pip install 'chimera-batch[report]'"
    assert not (tmp_path / "r.html").exists()


def test_no_key_is_in_a_page(shown: tuple[Page, dict[str, Any]]) -> None:
    assert "planted" not in shown[0].source


def test_the_option_and_the_wish_have_one_default() -> None:
    from chimera_batch.cli import report as command

    assert command.ROWS == ROWS
