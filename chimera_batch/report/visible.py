"""Text that models and hosts wrote, as a page may show it: every character that could hide something is made visible.

Escaping for HTML and JSON is another matter (``page``, ``samples``); here the text itself changes.
"""

from __future__ import annotations

import re
from typing import Any

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_INVISIBLE = "\u00ad\u200b\u2028\u2029\u2060-\u2064\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
_SHOWN = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{_BIDI}{_INVISIBLE}\ud800-\udfff\ufffe\uffff]")
_PICTURES = 0x2400  # of the 32 control characters, in their order
_LONGEST = 64  # nested answers deeper than that are no answers


def visible(text: str) -> str:
    """The text with control characters as their pictures (␛), and bidi marks, hidden tags and halves of characters by
    number (⟦U+202E⟧). Newlines and tabs stay; CR LF is a newline.
    """
    return _SHOWN.sub(_mark, text.replace("\r\n", "\n"))


def _mark(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(_PICTURES + code)
    return "\u2421" if code == 0x7F else f"⟦U+{code:04X}⟧"


def clipped(text: str, longest: int) -> str:
    """The beginning and the end of a text that is longer than ``longest`` characters, and how much is left out."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}\n⟦… {len(text) - 2 * half:,} characters are not in this page …⟧\n{text[-half:]}"


def plain(value: Any, longest: int, depth: int = 0) -> Any:
    """A JSON value whose every text is visible and clipped."""
    if isinstance(value, str):
        return visible(clipped(value, longest))
    if depth > _LONGEST:
        return "⟦…⟧"
    if isinstance(value, dict):
        return {visible(str(name)): plain(item, longest, depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item, longest, depth + 1) for item in value]
    return value
