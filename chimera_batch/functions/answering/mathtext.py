r"""Answers as LaTeX that a parser can read, and the pairs that are worth giving to it.

A parser of LaTeX reads anything as a product of letters, drops units, and takes 204 in base 5 for 204. What it would
read wrongly is held back here, so that its yes can be trusted.
"""

from __future__ import annotations

import re
from collections import Counter

_LONGEST = 400  # characters of a side
_FUNCTIONS = (
    r"arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc"
    r"|log|ln|exp|sqrt|gcd|lcm|max|min|mod|det|lim|sup|inf|arg"
)
_SIGNS = {
    "π": r"\pi ", "∞": r"\infty ", "×": r"\times ", "·": r"\cdot ", "∙": r"\cdot ", "÷": r"\div ", "±": r"\pm ",
    "≤": r"\leq ", "≥": r"\geq ", "≠": r"\neq ", "≈": r"\approx ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ",
    "−": "-", "–": "-", "**": "^", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "λ": r"\lambda ", "µ": r"\mu ",
    "μ": r"\mu ", "ω": r"\omega ", "σ": r"\sigma ", "φ": r"\phi ", "ħ": r"\hbar ", "Δ": r"\Delta ", "½": r"\frac{1}{2}",
    "°": r"^{\circ}",
}  # fmt: skip
_SIGN = re.compile("|".join(map(re.escape, _SIGNS)))
_RAISED = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
_PLAIN_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_SPELT = (
    (re.compile(r"√\s*(\d+|[A-Za-z])"), r"\\sqrt{\1}"),
    (re.compile(r"(?<![\\A-Za-z])sqrt\s*\(([^()]*)\)|√\s*\(([^()]*)\)"), r"\\sqrt{\1\2}"),
    (re.compile(rf"(?<![\\A-Za-z])({_FUNCTIONS})(?![A-Za-z])"), r"\\\1 "),
    (re.compile(r"(?<![\\A-Za-z])pi(?![A-Za-z])"), r"\\pi "),
    (re.compile(r"\^\(([^()]*)\)"), r"^{\1}"),
    (re.compile(r"\\(?:mathrm|text|textrm|operatorname|rm)\s*\{\s*([A-Za-z])\s*\}"), r"\1"),
    (re.compile(r"\\(?:mathrm|mathit|mathbf)\{([A-Za-z]{1,3})\}"), r"\1"),
    (re.compile(r"\\(?:dfrac|tfrac|cfrac)"), r"\\frac"),
    (re.compile(r"\\(?:quad|qquad|,|;|!|:| )"), " "),
    (re.compile(r"(?<=\d)\{,\}(?=\d{3}(?!\d))"), ""),
    (re.compile(r";"), ","),
)
_COMMAND = re.compile(r"\\(?:begin|end)\{[a-z*]+\}|\\[A-Za-z]+")
_WORD = re.compile(r"[^\W\d_]{2,}")
_LETTER = re.compile(r"[^\W\d_]")
_FREE = frozenset("eid")  # that come and go with the notation: exp(x) for e^x
_BASE = re.compile(r"\d\s*_\s*\{?\s*\w+")
_HUGE = re.compile(r"\d{61}|\^\s*\{?\s*[+-]?\d{5}|\d{5}\s*!|!\s*!")
_TELLING = re.compile(r"[\d=<>≤≥^+*/|(\[{\\-]|^[^\W\d_]$")


def latex(text: str) -> str:
    """An answer in its plain form, in LaTeX again."""
    text = _RAISED.sub(lambda found: "^{" + found[0].translate(_PLAIN_DIGITS) + "}", text)
    text = _SIGN.sub(lambda found: _SIGNS[found[0]], text)
    for pattern, replacement in _SPELT:
        text = pattern.sub(replacement, text)
    return text.strip()


def comparable(one: str, other: str) -> bool:
    """Whether a parser's yes on these two pieces of LaTeX could be trusted."""
    sides = (one, other)
    if not all(0 < len(side) <= _LONGEST and "$" not in side and _TELLING.search(side) for side in sides):
        return False
    if any(_HUGE.search(side) or side.count("^") > 12 for side in sides):
        return False
    if ("\\times" in one) != ("\\times" in other):
        return False  # what is left of them are products of vectors
    (words, letters, bases), theirs = _marks(one), _marks(other)
    return words == theirs[0] and not _renamed(letters, theirs[1]) and bases == theirs[2] and _brackets_fit(one, other)


def _marks(text: str) -> tuple[Counter[str], frozenset[str], frozenset[str]]:
    """Its words, its letters, and the numbers that state their base."""
    bare = _COMMAND.sub(" ", text)
    words = Counter(word.casefold() for word in _WORD.findall(bare) if len(word) > 2)
    return words, frozenset(_LETTER.findall(bare)), frozenset(_BASE.findall(bare.replace(" ", "")))


def _renamed(one: frozenset[str], other: frozenset[str]) -> bool:
    """P is not p, and a sum over q is none over k, both of which the parser takes for one."""
    left, right = one - _FREE, other - _FREE
    return bool(left and right and left != right)


def _brackets_fit(one: str, other: str) -> bool:
    """A set is no sequence."""
    return one.startswith("\\{") == other.startswith("\\{") or not any(
        side.startswith(("(", "[")) for side in (one, other)
    )
