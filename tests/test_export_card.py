"""No text can become markup on its way into a card."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.exporting.markdown import MOST, cell, safe, table
from tests.export_kit import HOSTILE, UNICODE


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, 12 % (no)", "plain words, 12 % \\(no\\)"),
        ("gpt-6.1-sol", "gpt-6.1-sol"),
        ("a|b", "a\\|b"),
        ("two\nlines\r\n# head", "two lines \\# head"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("![x](javascript:alert(1))", "\\!\\[x\\]\\(javascript\\:alert\\(1\\)\\)"),
        ("www.evil.example", "www\\.evil\\.example"),
        ("\\|", "\\\\\\|"),
        ("a\u202eb\x1b[31m\u200bc", "ab\\[31mc"),
        ("数学 naïve", "数学 naïve"),
        ("", ""),
    ],
)
def test_safe(text: str, shown: str) -> None:
    assert safe(text) == shown


def obeyed(line: str) -> list[str]:
    """Marks that a reader of Markdown would act on: those without a backslash in front."""
    return re.findall(r"(?<!\\)(?:\\\\)*([|`*_\[\]<>~$@])", line)


@given(st.text())
def test_nothing_is_markup(text: str) -> None:
    shown = safe(text)
    assert obeyed(shown) == []
    assert "\n" not in shown
    assert safe(text) == safe(text + "\n")


@given(st.text(min_size=MOST * 2, max_size=MOST * 3))
def test_it_is_short(text: str) -> None:
    assert len(safe(text)) <= MOST * 5  # an escape has at most five letters


@given(st.lists(st.tuples(st.text(), st.text()), max_size=4))
def test_a_table_keeps_its_columns(rows: list[tuple[str, str]]) -> None:
    lines = table(("a", "b|c"), rows)
    assert len(lines) == len(rows) + 2
    assert all(obeyed(line).count("|") == 3 for line in (lines[0], *lines[2:]))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (True, "yes"),
        (False, "no"),
        (1234567, "1,234,567"),
        (0.12345, "0.1235"),
        (12345.6, "12,346"),
        (Decimal("0.500"), "0.500"),
        (float("nan"), "nan"),
        (dt.date(2026, 11, 22), "2026-11-22"),
        (["a", "<b>"], "\\['a', '&lt;b&gt;'\\]"),
    ],
)
def test_cells(value: Any, shown: str) -> None:
    assert cell(value) == shown


@pytest.mark.parametrize("text", [HOSTILE, UNICODE])
def test_the_kit_s_texts(text: str) -> None:
    assert obeyed(safe(text)) == []
