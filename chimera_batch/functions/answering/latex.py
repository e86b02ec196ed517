r"""LaTeX answers brought to one plain form: environments, spacing, fonts and synonyms taken away."""

from __future__ import annotations

import re

from chimera_batch.functions.final_answer import braced

_SPACES = re.compile(r"(?<!\\)\\(?:[,;:!> ]|quad\b|qquad\b)|~|[\u00a0\u2009\u202f]")
_CLOSER = re.compile(r"\\!\s*")  # a negative space, as in 1,\!234
_DOLLAR = re.compile(r"\\?\$")  # what is left of environments, or a currency, which the question names
_SIZES = re.compile(r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|textstyle|limits)(?![A-Za-z])")
_FONTS = re.compile(
    r"\\(?:text|textnormal|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|operatorname|mbox|unit|si)\*?\s*\{([^{}]*)\}"
)
_SYNONYMS = [
    (re.compile(pattern), plain)
    for pattern, plain in (
        (r"\\[dt]frac(?![A-Za-z])", r"\\frac"),
        (r"(?:\\times(?![A-Za-z])|×)(?=\s*\d)", "*"),  # elsewhere it may be a cross product
        (r"\\times(?![A-Za-z])", "×"),
        (r"\\(?:cdot|ast)(?![A-Za-z])|[·∙]", "*"),
        (r"\\(?:leq?|leqslant)(?![A-Za-z])|<=", "≤"),
        (r"\\(?:geq?|geqslant)(?![A-Za-z])|>=", "≥"),
        (r"\\(?:neq?)(?![A-Za-z])|!=", "≠"),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"\\in(?![A-Za-z])", "∈"),
        (r"\\(?:approx|simeq|sim)(?![A-Za-z])", "≈"),
        (r"\\pi(?![A-Za-z])", "π"),
        (r"\\(?:infty)(?![A-Za-z])", "∞"),
        (r"\\mu(?![A-Za-z])|μ", "µ"),
        (r"\^\s*(?:\\circ(?![A-Za-z])|\{\s*\\circ\s*\})", "°"),
        (r"\\%|(?<=\d)\s*(?:percent(?:age)?|pct)\b", "%"),
        (r"[−–]", "-"),
        (r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}"),
        (r"\\sqrt\s*([A-Za-z0-9])(?![A-Za-z0-9])", r"\\sqrt{\1}"),
        (r"(?<=\d)\s*,\s+(?=\d)", ";"),  # a list: 1, 234 is not 1,234
        (r"\\lbrace(?![A-Za-z])", r"\\{"),
        (r"\\rbrace(?![A-Za-z])", r"\\}"),
        (r"([\^_])\{([A-Za-z0-9])\}", r"\1\2"),
    )
]
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_RAISED = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
_ENVIRONMENTS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`"))
_DEPTH = 6  # boxes within dollars within boxes: nobody goes further


def plain(text: str) -> str:
    """One plain form of an answer. Spaces are kept only between two words or two numbers."""
    text = _DOLLAR.sub("", unwrapped(text))
    text = _SIZES.sub("", _SPACES.sub(" ", _CLOSER.sub("", text)))
    for _ in range(_DEPTH):
        text, changed = _FONTS.subn(r" \1 ", text)
        if not changed:
            break
    text = _RAISED.sub(lambda found: "^{" + found[0].translate(_SUPERSCRIPTS) + "}", text)
    for pattern, replacement in _SYNONYMS:
        text = pattern.sub(replacement, text)
    return _tight(unwrapped(text))


def unwrapped(text: str) -> str:
    for _ in range(_DEPTH):
        before = text
        text = text.strip()
        if text.endswith(".") and not text.endswith(".."):
            text = text[:-1].rstrip()
        for opening, closing in _ENVIRONMENTS:
            inside = text[len(opening) : -len(closing)]
            whole = len(text) >= len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing)
            if whole and opening not in inside and closing not in inside:
                text = inside
        if (
            text.startswith("\\boxed{")
            and (inside_box := braced(text, 6)) is not None
            and len(inside_box) + 8 == len(text)
        ):
            text = inside_box
        if text == before:
            break
    return text


_GAP = re.compile(r"\s+")
_LOOSE = re.compile(r"(?<![A-Za-z0-9]) | (?![A-Za-z0-9])")


def _tight(text: str) -> str:
    return _LOOSE.sub("", _GAP.sub(" ", text)).strip()
