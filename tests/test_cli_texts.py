"""Nothing that a model says can move a cursor, hide text or become something else on the way to JSON."""

from __future__ import annotations

import json
import unicodedata
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.cli import showing
from chimera_batch.cli.texts import columns_of, harmless_json, json_text, one_line, plain
from chimera_batch.cost import money

HOSTILE = {
    "colour": ("\x1b[31mred\x1b[0m", "red"),
    "colour with parameters": ("\x1b[38;2;1;2;3mx\x1b[m", "x"),
    "erase line and go up": ("seen\x1b[2K\x1b[1Ahidden", "seenhidden"),
    "one-byte CSI": ("a\x9b31mb", "ab"),
    "title by OSC ended by BEL": ("a\x1b]0;owned\x07b", "ab"),
    "link by OSC ended by ST": ("\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\", "click"),
    "clipboard by OSC": ("x\x1b]52;c;aGk=\x07y", "xy"),
    "one-byte OSC": ("a\x9d0;owned\x9cb", "ab"),
    "device control": ("a\x1bPq#0;2;0;0;0#0~~\x1b\\b", "ab"),
    "application programme command": ("a\x1b_Gf=100;AAAA\x1b\\b", "ab"),
    "reset": ("a\x1bcb", "ab"),
    "charset": ("a\x1b(0b", "ab"),
    "lone escape at the end": ("a\x1b", "a"),
    "unended CSI": ("a\x1b[31", "a"),
    "unended OSC keeps the next line": ("a\x1b]0;x\nnext", "a\nnext"),
    "escape inside an escape": ("\x1b\x1b[31m[31mx", "[31mx"),
    "bell, backspace, shift": ("a\x07b\x08c\x0ed", "abcd"),
    "carriage return overwrites": ("honest\rlying ", "honestlying "),
    "windows line ends": ("a\r\nb", "a\nb"),
    "delete and C1": ("a\x7fb\x85c", "abc"),
    "bidi override": ("a\u202egnp.exe\u202cb", "agnp.exeb"),
    "bidi isolate": ("\u2066x\u2069", "x"),
    "bidi marks": ("a\u200eb\u200fc\u061cd", "abcd"),
    "hidden tags": ("x\U000e0041\U000e0042\U000e007fy", "xy"),
    "byte order mark": ("\ufeffx", "x"),
    "line separators": ("a\u2028b\u2029c", "a\nb\nc"),
    "lone surrogate": ("a\ud800b", "a\ufffdb"),
    "null": ("a\x00b", "ab"),
    "rich markup is text": ("[bold]x[/bold] :smile:", "[bold]x[/bold] :smile:"),
    "harmless": ("naïve ∑ 数学 \t ‘q’ 👩‍🔬\n", "naïve ∑ 数学 \t ‘q’ 👩‍🔬\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_plain(name: str) -> None:
    said, shown = HOSTILE[name]
    assert plain(said) == shown


def obeyed(text: str) -> list[str]:
    """Characters that a terminal acts on."""
    bidi = {"RLE", "LRE", "PDF", "RLO", "LRO", "RLI", "LRI", "FSI", "PDI"}
    return [
        char
        for char in text
        if (unicodedata.category(char) == "Cc" and char not in "\n\t") or unicodedata.bidirectional(char) in bidi
    ]


NASTY = st.text(st.one_of(st.characters(), st.sampled_from("\x1b\x9b\x9d[]0;m\x07\\\r\n\u202e\ud800P_")))


@given(NASTY)
def test_plain_leaves_nothing_to_obey_and_is_done_in_one_go(text: str) -> None:
    shown = plain(text)
    assert not obeyed(shown)
    assert plain(shown) == shown
    shown.encode("utf-8")


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs"))))
def test_plain_leaves_ordinary_text_alone(text: str) -> None:
    assert plain(text) == text


def test_one_line_is_one_line_and_cut() -> None:
    assert one_line(" a\n\tb\x1b[31m  c ") == "a b c"
    assert one_line("abcdef", 4) == "abc…"
    assert one_line("abcd", 4) == "abcd"
    assert one_line(None) == "None"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NASTY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NASTY, inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_json_reads_back_as_the_same_and_holds_nothing_to_obey(document: Any) -> None:
    text = json_text(document)
    assert json.loads(text) == document
    assert not obeyed(text)
    text.encode("utf-8")


def test_json_keeps_ordinary_letters_readable() -> None:
    assert json_text({"a": "Größe 数"}) == '{\n  "a": "Größe 数"\n}'
    assert harmless_json('["\u202e"]') == '["\\u202e"]'


def test_json_refuses_what_is_no_json() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        json_text({"a": float("nan")})


@pytest.mark.parametrize(("text", "columns"), [("", 0), ("abc", 3), ("数学", 4), ("e\u0301", 1), ("é", 1)])
def test_columns(text: str, columns: int) -> None:
    assert columns_of(text) == columns


ROWS = [("stage", "n", "usd"), ("drafts", "1,200", "$3.10"), ("数学", "7", "-"), ("x", "", "<$0.0001")]


def test_aligned_columns_line_up_and_numbers_stand_right() -> None:
    lines = showing.aligned(ROWS)
    assert lines[0] == "stage       n       usd"
    assert lines[1] == "------  -----  --------"
    assert lines[2] == "drafts  1,200     $3.10"
    assert lines[3] == "数学        7         -"
    assert lines[4] == "x              <$0.0001"


def test_the_total_stands_apart() -> None:
    lines = showing.aligned(ROWS, total=True)
    assert lines[-2] == lines[1]
    assert lines[-1].startswith("x")


@pytest.mark.parametrize(
    ("cells", "number"),
    [
        (["1", "-2.5"], True),
        (["$1.00", "1e-9"], True),
        (["50%"], True),
        (["1", "a"], False),
        (["", "-"], False),
        (["2026-11-09"], False),
    ],
)
def test_numeric_columns(cells: list[str], number: bool) -> None:
    assert showing.numeric([("head",), *((cell,) for cell in cells)]) == [number]


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "$0.00"), (0.5, "$0.5000"), (1, "$1.00"), (1234.567, "$1,234.57"), (0.0001, "$0.0001"), (0.00001, "<$0.0001")],
)
def test_dollars(amount: float, text: str) -> None:
    assert money.dollars(amount) == text


@given(st.decimals(0, 10_000, places=6))
def test_an_amount_has_one_rounding_in_the_ledger_and_in_a_document(amount: Decimal) -> None:
    assert money.dollars(amount) == money.dollars(float(amount))


@pytest.mark.parametrize("terminal", [True, False])
def test_a_table_shows_data_as_data(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(showing, "to_terminal", lambda: terminal)
    monkeypatch.setenv("COLUMNS", "100")
    showing.table([("a [b]", "n"), ("[red]x[/red] :boom: \x1b]0;t\x07\n[/nope]", "1"), ("total", "1")], total=True)
    out = capsys.readouterr().out
    assert "[red]x[/red] :boom: [/nope]" in out
    assert "a [b]" in out
    assert "\x1b" not in out


def test_a_plain_stream_lets_no_escape_through(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    showing.PlainStream(sys.stdout).write("a,\x1b[31mb\n")
    assert capsys.readouterr().out == "a,b\n"
