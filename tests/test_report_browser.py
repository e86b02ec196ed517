"""The report as a browser shows it: quiet, searchable, quick, with mathematics, and deaf to what models wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser_kit import Tab, browser, opened
from tests.export_kit import HOSTILE, mixed, row
from tests.report_kit import Page, project, report

FORMULAS = r"""Inline $\frac{a}{b}$ and \(x^2\), display $$\sum_{i=1}^n i = \frac{n(n+1)}{2}$$ and \[\int_0^1 f\].
\begin{align*}a &= b \\ c &= d\end{align*} The end. It costs $5 and $6, or \$7."""
ATTACKS = (
    "</script><script>alert('script')</script><img src=x onerror=alert('img')><svg onload=alert('svg')>"
    " $\\href{javascript:alert('href')}{click}$ $\\url{javascript:alert(1)}$ $\\includegraphics{http://127.0.0.1:1/x.png}$"
    " $\\htmlData{a=b}{x}$ $\\style{background:url(http://127.0.0.1:1/y)}{x}$ $\\class{banner}{x}$ $\\id{main}{x}$"
    " $\\text{<img src=x onerror=alert('text')>}$ $\\label{theme}\\ref{theme}$ $\\def\\a{\\a\\a}\\a$"
    " $\\textcolor{red;background:url(http://127.0.0.1:1/z)}{x}$ $\\rule{9999em}{9999em}$ $"
    + "{" * 900
    + "}" * 900
    + "$"
    " {{constructor.constructor('alert(1)')()}} ${alert(1)} <!-- --> javascript:alert(1) \u202egnp.exe\x1b[2J"
)
CONTRASTS = """() => {
  const linear = (v) => (v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  const light = (colour) => {
    const [r, g, b] = colour.match(/\\d+/g).map((n) => linear(n / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const of = (element, what) => {
    const ink = light(getComputedStyle(element)[what]);
    return (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
  };
  const words = ["body", ".soft", "nav a", "summary"].map((name) => of(document.querySelector(name), "color"));
  return [...words, ...[...document.querySelectorAll(".chart text")].map((one) => of(one, "fill"))];
}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with mathematics and attacks in its rows."""
    folder = tmp_path_factory.mktemp("page")
    hostile = {"question": ATTACKS, "topic": ATTACKS, "subject": HOSTILE, "solution": ATTACKS, "answer": ATTACKS}
    rows = [row(0, question=FORMULAS), *mixed()[1:], row(300, **hostile), row(301, row_key="it's $(rm) `x`/1")]
    with pytest.MonkeyPatch.context() as patch:
        for what in ("CACHE", "STATE"):
            patch.setenv(f"CHIMERA_{what}", str(folder / what.lower()))
        report(project(folder, rows), folder / "report.html")
    return folder / "report.html"


@pytest.fixture
def tab(chromium: Any, path: Path) -> Iterator[Tab]:
    with opened(chromium, path) as found:
        yield found
        assert found.heard == [], "a console line, a request, a dialog or an error"


def open_row(tab: Tab, words: str) -> None:
    tab.type(words)
    tab.page.click("#rows li:first-child summary")
    tab.page.wait_for_selector("#rows .body")


def test_a_row_opens_to_all_its_columns(tab: Tab) -> None:
    assert tab.text("#count") == "25 of 25 rows"
    open_row(tab, "p0003/1")
    for words in ("What is 3 + 3?", "It is \\boxed{6}.", "decided by\nrule", "p0003/1"):
        assert words in tab.text("#rows .body")
    assert tab.text("#rows .body code:last-of-type").endswith("p0003/1")


def test_mathematics_is_drawn_and_dollars_are_not(tab: Tab) -> None:
    open_row(tab, "Inline costs")
    where = "#rows .body dd:nth-of-type(5)"
    assert tab.ask(f"document.querySelectorAll('{where} math').length") == 5
    assert tab.ask(f"document.querySelectorAll('{where} math.block').length") == 3
    assert tab.ask(f"document.querySelectorAll('{where} math mfrac').length") == 2
    assert "It costs $5 and $6, or \\$7." in tab.text(where)
    width = tab.ask(f"document.querySelector('{where} mfrac').getBoundingClientRect().width")
    assert 3 < width < 100, "the browser draws it"


def test_nothing_that_a_model_wrote_acts(tab: Tab) -> None:
    open_row(tab, "onerror=alert")
    body = tab.text("#rows .body")
    for words in ("<script>alert('script')</script>", "\\href{javascript:alert('href')}{click}", "⟦U+202E⟧gnp.exe␛[2J"):
        assert words in body, "it is there to be read"
    inside = "document.querySelectorAll('#rows .body {}').length"
    for selector in ("script", "img", "a", "svg", "iframe", "[onerror]", "[onload]", "[href]", "[src]", "math [id]"):
        assert tab.ask(inside.replace("{}", selector)) == 0, selector
    assert tab.ask("document.querySelectorAll('#main').length") == 1
    assert tab.ask("document.querySelectorAll('#rows .body math .banner').length") == 0
    tallest = tab.ask(
        "Math.max(...[...document.querySelectorAll('#rows .body math *')].map(e => e.getBoundingClientRect().height))"
    )
    assert tallest < 500, "no formula covers the page"


def test_a_label_in_a_formula_points_nowhere(tab: Tab) -> None:
    open_row(tab, "onerror=alert")
    assert tab.ask("document.getElementById('theme').tagName") == "BUTTON"


def test_the_policy_stops_a_script_that_got_in(chromium: Any, path: Path) -> None:
    """If all else failed: what is put into the document as HTML or as an element does nothing."""
    with opened(chromium, path) as tab:
        tab.ask("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hit = 1\">')")
        tab.ask(
            "{const s = document.createElement('script'); s.textContent = 'window.hit = 1'; document.body.append(s)}"
        )
        tab.page.wait_for_timeout(50)
        assert tab.ask("window.hit") is None
        assert any("Content Security Policy" in line for line in tab.heard)


def test_search_takes_every_word_and_clears(tab: Tab, path: Path) -> None:
    data = Page(path.read_text("utf-8")).block("data")
    hits = [one for one in data if all(word in json.dumps(one).lower() for word in ("history", "topic", "4"))]
    assert 0 < len(hits) < 25 and tab.type("history TOPIC 4") == f"{len(hits)} of 25 rows"
    assert tab.type("nothing of the kind") == "0 of 25 rows"
    assert tab.ask("document.querySelectorAll('#rows li').length") == 0
    tab.page.click("#controls button[type=reset]")
    tab.until("document.querySelector('#count').textContent === '25 of 25 rows'")


def test_a_list_of_few_values_filters(tab: Tab) -> None:
    labels = tab.ask("[...document.querySelectorAll('#facets label')].map(l => l.firstChild.textContent.trim())")
    assert {"correctness", "reference", "split", "use"} <= set(labels)
    assert not {"question", "row key", "index"} & set(labels)
    tab.page.select_option("#facets label:has-text('split') select", "=held_out")
    tab.until("document.querySelector('#count').textContent === '8 of 25 rows'")


def test_everything_is_reached_by_keys(tab: Tab) -> None:
    tab.page.keyboard.press("Tab")
    assert tab.ask("document.activeElement.className") == "skip"
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Enter")
    assert tab.ask("document.documentElement.dataset.theme") == "light"
    tab.page.focus("#rows li:first-child summary")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector("#rows .body")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_the_page(chromium: Any, path: Path, scheme: str) -> None:
    """WCAG's 4.5 to 1 for text, in the page and in its charts."""
    with opened(chromium, path, color_scheme=scheme) as tab:
        assert min(tab.ask(CONTRASTS)) >= 4.5
        assert tab.heard == []


@pytest.mark.parametrize("width", [360, 1100])
def test_no_page_is_wider_than_its_screen(chromium: Any, path: Path, width: int) -> None:
    with opened(chromium, path, viewport={"width": width, "height": 800}) as tab:
        open_row(tab, "onerror=alert")
        assert tab.ask("document.documentElement.scrollWidth") <= width
        cut = """[...document.querySelectorAll('.chart svg')].flatMap(s => [...s.querySelectorAll('text')].filter(t => {
          const [a, b] = [t.getBoundingClientRect(), s.getBoundingClientRect()];
          return a.width && (a.left < b.left - 1 || a.right > b.right + 1); }).map(t => t.textContent))"""
        assert tab.ask(cut) == [], "words that a chart cuts off"
        assert tab.heard == []


def test_it_prints(chromium: Any, path: Path) -> None:
    with opened(chromium, path, color_scheme="dark") as tab:
        tab.page.emulate_media(media="print", color_scheme="dark")
        assert tab.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert tab.ask("getComputedStyle(document.querySelector('nav')).display") == "none"
        assert tab.page.pdf()[:5] == b"%PDF-"


def test_without_scripts_the_figures_are_there(chromium: Any, path: Path) -> None:
    with opened(chromium, path, java_script_enabled=False) as tab:
        assert tab.page.locator(".chart svg").count() == 2
        assert tab.page.locator("noscript").count() == 1
        assert not tab.page.locator("#controls").is_visible()


def test_ten_thousand_rows_are_a_page_of_them(chromium: Any, tmp_path: Path) -> None:
    lines = [{"row_key": f"k{n:05}", "kind": f"kind {n % 7}", "question": f"What is {n} + {n}?"} for n in range(12_000)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    (tmp_path / "m.yaml").write_text(
        f"run: many\nstore: {tmp_path}/runs\nstages:\n  - {{name: many, file: rows.jsonl, key: row_key}}\n",
        encoding="utf-8",
    )
    from tests.cli_kit import call

    assert call("run", tmp_path / "m.yaml", "--yes").code == 0
    _, said = report(tmp_path / "m.yaml", tmp_path / "r.html", "--rows", 10_000)
    assert said["rows"] == 10_000
    with opened(chromium, tmp_path / "r.html") as tab:
        assert tab.text("#count") == "10,000 of 10,000 rows" and tab.text("#page") == "Page 1 of 400"
        assert tab.ask("document.querySelectorAll('#rows li').length") == 25, "only what is shown is drawn"
        tab.page.click("#next")
        assert tab.text("#page") == "Page 2 of 400"
        kept = tab.ask("JSON.parse(document.querySelector('#head').textContent).columns.length")
        assert kept == 3
        assert tab.type("nothing like it") == "0 of 10,000 rows"
        assert tab.type("kind") == "10,000 of 10,000 rows"
        assert tab.heard == []
