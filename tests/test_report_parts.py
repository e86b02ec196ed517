"""The report's pure parts: text that hides nothing, JSON that nothing breaks, numbers, drawings, the policy."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import unicodedata
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.cost.money import dollars
from chimera_batch.report import catalogue, drawing, page, svg
from chimera_batch.report.embedded import embedded
from chimera_batch.report.figures import MOST, Cell, Figure, cell
from chimera_batch.report.visible import clipped, plain, visible
from tests.conftest import ROOT

HERE = ROOT / "chimera_batch" / "report"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("a\r\nb\rc", "a\nb␍c"),
        ("\x00\x07\x1b[31m\x7f", "␀␇␛[31m␡"),
        ("\x85\x9b", "⟦U+0085⟧⟦U+009B⟧"),
        ("good\u202egnp.exe", "good⟦U+202E⟧gnp.exe"),
        ("\u2066x\u2069\u200f\u061c", "⟦U+2066⟧x⟦U+2069⟧⟦U+200F⟧⟦U+061C⟧"),
        ("\U000e0041\ufeff\u200b\u2028", "⟦U+E0041⟧⟦U+FEFF⟧⟦U+200B⟧⟦U+2028⟧"),
        ("\ud800", "⟦U+D800⟧"),
        ("数学 ∮ naïve 👩‍🔬", "数学 ∮ naïve 👩‍🔬"),
    ],
)
def test_what_hides_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_no_character_that_is_shown_acts(text: str) -> None:
    shown = visible(text)
    assert not [c for c in shown if unicodedata.category(c) in {"Cc", "Cs"} and c not in "\n\t"]
    assert not [
        c for c in shown if unicodedata.bidirectional(c) in {"RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI"}
    ]
    assert visible(shown) == shown
    shown.encode()  # half characters are none any more


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    assert clipped("x" * 10, 10) == "x" * 10
    found = clipped("a" * 5000 + "b" * 5000, 100)
    assert found.startswith("a" * 50 + "\n⟦… 9,900 characters") and found.endswith("\n" + "b" * 50)


def test_plain_goes_into_everything() -> None:
    deep: Any = "\x1b"
    for _ in range(200):
        deep = [deep]
    assert plain({"\u202e": ["\x00" * 3, {"n": 1, "none": None, "yes": True}]}, 10) == {
        "⟦U+202E⟧": ["␀␀␀", {"n": 1, "none": None, "yes": True}]
    }
    json.dumps(plain(deep, 10))  # no recursion without an end


@given(
    st.recursive(
        st.none() | st.text() | st.integers(-(2**53), 2**53), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_json_in_a_script_cannot_end_it(value: Any) -> None:
    found = embedded(value)
    assert not set("<>&\u2028\u2029\n") & set(found)
    assert json.loads(found) == value


@pytest.mark.parametrize("text", ["</script>", "<!--<script>", "</SCRIPT ", "]]>", "&lt;", "\u2028alert(1)\u2029"])
def test_json_of_what_ends_a_script(text: str) -> None:
    found = embedded([text])
    assert json.loads(found) == [text]
    assert "<" not in found and ">" not in found and "\u2028" not in found


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("requests", 12345, Cell("12,345", "12345")),
        ("usd", Decimal("0.053200000000"), Cell("$0.0532", "0.053200000000")),
        ("usd", 0.00001, Cell("<$0.0001", "1e-05")),
        ("quoted_low", Decimal(12), Cell("$12.00", "12")),
        ("part", 0.1234, Cell("12.3%", "0.1234")),
        ("kappa", 0.75, Cell("0.75", "0.75")),
        ("tokens", 1234.56, Cell("1,235", "1234.56")),
        ("kept", True, Cell("yes")),
        ("why", None, Cell("–")),
        ("sent_at", datetime.fromisoformat("2026-11-22T07:30:05.000123"), Cell("2026-11-22 07:30:05")),
        ("names", ["a", "b\u202e"], Cell("a, b⟦U+202E⟧")),
        ("answer", "<b>\x00", Cell("<b>␀")),
        ("part", float("nan"), Cell("–", "nan")),
    ],
)
def test_a_cell_says_the_number_and_has_it_exactly(name: str, value: Any, shown: Cell) -> None:
    assert cell(name, value) == shown


def test_dollars_are_never_rounded_to_nothing() -> None:
    assert [dollars(x) for x in (0, 0.00002, 0.0123, 1, 1234.5)] == [
        "$0.00",
        "<$0.0001",
        "$0.0123",
        "$1.00",
        "$1,234.50",
    ]


def test_a_table_shows_its_first_rows_and_knows_which_columns_are_numbers() -> None:
    figure = Figure(("stage", "usd", "none"), [("s", Decimal(n), None) for n in range(MOST + 5)], more=7)
    assert len(figure.cells) == MOST
    assert figure.heads == [("stage", False), ("usd", True), ("none", False)]
    assert len(figure.objects()) == MOST + 5, "a chart is drawn of all"


# -- drawings


def test_a_drawing_keeps_shapes_and_words_alone() -> None:
    bad = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" onload="alert(1)">'
        '<script>alert(1)</script><style>*{}</style><image href="http://x"/><a xlink:href="javascript:alert(1)"/>'
        '<foreignObject><p/></foreignObject><clipPath id="c"><rect/></clipPath>'
        '<g clip-path="url(#c)"><path role="graphics-symbol" aria-roledescription="bar" aria-label="&lt;b&gt;: 3"'
        ' d="M0,0" style="fill:red" onclick="x()" fill="var(--c1)"/></g></svg>'
    )
    found = svg.clean(bad, "chart-x")
    assert found is not None
    assert set(re.findall(r"<(\w+)", found)) == {"svg", "clipPath", "rect", "g", "path", "title"}
    assert 'clip-path="url(#chart-x-c)"' in found and 'id="chart-x-c"' in found
    assert "<title>&lt;b&gt;: 3</title>" in found
    for word in ("alert", "onload", "onclick", "style", "href", "http://x"):
        assert word not in found


@pytest.mark.parametrize("attribute", ['fill="url(http://x)"', 'clip-path="url(//x)"', 'stroke="url(#a)"'])
def test_a_drawing_refers_to_nothing(attribute: str) -> None:
    mark = f'<path role="graphics-symbol" aria-roledescription="bar" {attribute}/>'
    with pytest.raises(ValueError, match="refers to"):
        svg.clean(f'<svg xmlns="http://www.w3.org/2000/svg">{mark}</svg>', "x")


def test_axes_without_a_bar_are_no_chart() -> None:
    parts = ("axis", "legend", "rect mark container", "group mark container")
    marks = "".join(f'<g role="graphics-symbol" aria-roledescription="{one}" aria-label="X"/>' for one in parts)
    assert svg.clean(f'<svg xmlns="http://www.w3.org/2000/svg">{marks}</svg>', "x") is None


CHARTS = sorted({one.chart for one in (*catalogue.SECTIONS, catalogue.STAGES) if one.chart})


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_in_the_page_s_colours_and_loads_nothing(name: str) -> None:
    text = json.dumps(drawing.specification(name))
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b", text), "a colour that is wrong in the dark"
    assert set(re.findall(r"https?://[\w./-]+", text)) == {drawing.specification(name)["$schema"]}
    assert '"url"' not in text and '"href"' not in text
    known = set(re.findall(r"(--\w+):", (HERE / "page.css").read_text("utf-8")))
    assert set(re.findall(r"var\((--\w+)\)", text)) <= known


def test_every_chart_is_used_and_every_section_is_one_of_its_own() -> None:
    assert {path.stem for path in (HERE / "charts").glob("*.json")} == {*CHARTS, "theme"}
    names = [one.name for one in (catalogue.STAGES, *catalogue.SECTIONS)]
    assert len(set(names)) == len(names)
    for one in catalogue.SECTIONS:
        assert one.query[0] == "@" and (ROOT / "sql" / "queries" / f"{one.query[1:]}.sql").is_file()


# -- the page's own files


def test_mathematics_is_the_very_file_that_was_looked_at() -> None:
    data = (HERE / "vendor" / page.MATHEMATICS).read_bytes()
    assert hashlib.sha256(data).hexdigest() == "1ab19148afe0dbc836b7a74f344071b3f3a70a7a8259ae4049e76894fcdf8d95"
    assert "MIT License" in (HERE / "vendor" / "temml-LICENSE.txt").read_text("utf-8")
    assert b"</script" not in data.lower() and b"<!--" not in data


def test_our_script_never_parses_text_as_html() -> None:
    text = (HERE / "page.js").read_text("utf-8")
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "DOMParser"):
        assert word not in text
    assert "</script" not in text.lower() and "<!--" not in text
    assert "trust: false" in text and "maxExpand: 100" in text


def test_the_policy_lets_two_scripts_and_one_style_in() -> None:
    said = page.policy(["a", "b"], "c")
    hashed = [base64.b64encode(hashlib.sha256(x).digest()).decode() for x in (b"a", b"b", b"c")]
    assert said.split("; ") == [
        "default-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        f"script-src 'sha256-{hashed[0]}' 'sha256-{hashed[1]}'",
        f"style-src 'sha256-{hashed[2]}'",
    ]
