"""Text on its way to a terminal or into JSON. What a model, a provider or a file said is never trusted to be harmless.

The one place where such text is made safe; everything that is printed for people passes through ``plain``.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

_STRING_END = r"(?:\x07|\x1b\\|\x9c|\Z)"
_SEQUENCE = re.compile(
    rf"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*{_STRING_END}?"  # OSC, DCS, SOS, PM, APC with their text
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor, erase
    r"|\x1b[ -/]*[0-~]?"  # any other escape
)
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_INVISIBLE = "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # marks and tags that no terminal shows
_DROPPED = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{_BIDI}{_INVISIBLE}]")
_LONE = re.compile("[\ud800-\udfff]")

_RAW_IN_JSON = re.compile(rf"[\x7f-\x9f\u2028\u2029\ud800-\udfff{_BIDI}{_INVISIBLE}]")
"""JSON itself escapes what is below a space; these it lets through, and they can only stand inside its strings."""


def plain(value: object) -> str:
    """Text that a terminal shows and does not obey: no escape sequences, controls, bidi marks or hidden tags.

    Newlines and tabs stay; U+2028, U+2029 and CR LF become newlines.
    """
    text = str(value).replace("\r\n", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    text = _DROPPED.sub("", _SEQUENCE.sub("", text))
    return _LONE.sub("\ufffd", text)


def one_line(value: object, width: int | None = None) -> str:
    """``plain`` text on one line, cut to ``width`` characters with an ellipsis."""
    line = " ".join(plain(value).split())
    return line if width is None or len(line) <= width else line[: width - 1] + "…"


def columns_of(text: str) -> int:
    """How many columns of a terminal a line takes."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(bool(unicodedata.combining(char)) for char in text)


def json_text(document: Any) -> str:
    """A document as indented JSON that a terminal may be shown: reads back as the very same values."""
    return harmless_json(json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False))


def harmless_json(text: str) -> str:
    """JSON text with every character that a terminal could obey written as an escape."""
    return _RAW_IN_JSON.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]
