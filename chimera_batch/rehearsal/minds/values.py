"""Answers as values: read one in any common notation, compare two, write one another way, spoil one.

The rehearsal's own reading of answers, apart from the pipeline's: a judge that shared code with what it checks would
share its errors.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from fractions import Fraction

_NUMBER = re.compile(
    r"([-+]?\d{1,400}(?:\.(?P<places>\d{1,400}))?)(?:e(?P<exponent>[-+]?\d{1,3}))?(?:\s*/\s*(?P<below>\d{1,400}))?"
    r"\s*(?P<rest>.*)",
    re.S,
)  # bounded, because a candidate's "number" may have any length
_FRACTION = re.compile(r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}")
_TEXT = re.compile(r"\\(?:text|mathrm|textbf)\{([^{}]*)\}")
_POWER = re.compile(r"\s*(?:\\times|\\cdot|×|·)\s*10\^\{?([-+]?\d+)\}?")
_THOUSANDS = re.compile(r"(?<=\d)(?:,|\{,\})(?=\d{3}(?!\d))")
_SPACE = re.compile(r"\\[,;: !]|~|\s+")
_IN_WORDS = re.compile(r"(?:answer|result|value)(?:[^.\n]{0,60}? (?:is|equals|comes to):?|:) +(.+?)\.?\s*$", re.M)
_ODD_ZERO = re.compile(r"(?:^|[-/])0\d")  # "01": nobody writes that, so it would give the plant away
_PLAIN = re.compile(r"-?\d{1,400}(?:\.\d{1,400}|/\d{1,400})?")  # as our own answers are written
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class Value:
    """``number`` is None for an answer in words, which ``text`` holds in lower case; else ``text`` is the unit."""

    number: Fraction | None
    places: int | None  # decimal places as written; None for exact notations
    text: str


def extract(solution: str) -> str:
    """The final answer of a solution: its last box, or the last "the answer is …"; empty if there is neither."""
    start = solution.rfind(r"\boxed{")
    if start >= 0:
        depth = 0
        for at in range(start + 6, len(solution)):
            depth += {"{": 1, "}": -1}.get(solution[at], 0)
            if depth == 0:
                return solution[start + 7 : at].strip()
    stated = _IN_WORDS.findall(solution)
    return str(stated[-1]).strip() if stated else ""


def read(answer: str) -> Value:
    """An answer's value, whatever the notation: LaTeX, fractions, powers of ten, separators, units."""
    text = answer.replace("−", "-").replace("$", "").strip()
    if "\\boxed" in text:
        text = extract(text)
    text = _THOUSANDS.sub("", _POWER.sub(r"e\1", _TEXT.sub(r" \1", _FRACTION.sub(r"\1/\2", text))))
    text = _SPACE.sub(" ", text).strip().rstrip(".")
    found = _NUMBER.fullmatch(text)
    if not found:
        return Value(None, None, text.casefold())
    number = Fraction(found[1]) * Fraction(10) ** int(found["exponent"] or 0)
    places = len(found["places"]) - int(found["exponent"] or 0) if found["places"] else None
    if found["below"]:
        if int(found["below"]) == 0:
            return Value(None, None, text.casefold())
        number, places = number / int(found["below"]), None
    return Value(number, places, found["rest"].strip().replace(" ", "").casefold())


def same(a: str, b: str) -> bool:
    """Whether two answers name one value. A unit may be left out, but not contradicted.

    A decimal of three or more places stands for every number that rounds to it.
    """
    left, right = read(a), read(b)
    if left.number is None or right.number is None:
        return left.number is None and right.number is None and left.text == right.text
    if left.text and right.text and left.text != right.text:
        return False
    if left.number == right.number:
        return True
    written = [value.places for value in (left, right) if value.places is not None]
    return (
        bool(written) and min(written) >= 3 and abs(left.number - right.number) <= Fraction(1, 2 * 10 ** min(written))
    )


def near(answer: str, rng: random.Random) -> str:
    """A wrong answer that looks like the right one: a digit, a neighbour, or the sign is off.

    A decimal moves by at least one part in 2,000 and three units of its last place, so that no sensible tolerance can
    call it right.
    """
    value = read(answer)
    for _ in range(200):
        wrong = _spoil_text(answer, rng) if value.number is None else _spoil_number(answer, rng)
        if not _ODD_ZERO.search(wrong) and _wrong(wrong, answer, value):
            return wrong
    return next(text for text in ("17", "18") if not same(text, answer))  # an answer that no real problem has


def _wrong(wrong: str, answer: str, value: Value) -> bool:
    other = read(wrong).number
    if same(wrong, answer) or (other is None) != (value.number is None):
        return False
    if other is None or value.number is None or value.places is None:
        return True
    off = abs(other - value.number)
    return off * 2000 >= abs(value.number) and off >= 3 * Fraction(10) ** -value.places


def _spoil_text(answer: str, rng: random.Random) -> str:
    if answer in WEEKDAYS:
        return rng.choice(WEEKDAYS)
    if not answer:
        return "17"
    at = rng.randrange(len(answer))
    return answer[:at] + rng.choice(answer + "xyz") + answer[at + 1 :]


def _spoil_number(answer: str, rng: random.Random) -> str:
    body, _, unit = answer.partition(" ")
    if not any(char.isdecimal() for char in body):
        body, unit = answer, ""
    digits = [at for at, char in enumerate(body) if char.isdecimal()]
    at = rng.choice(digits)
    how = rng.random()
    if how < 0.12:
        body = body[1:] if body.startswith("-") else f"-{body}"
    elif how < 0.3 and body.lstrip("-").isdecimal():
        body = str(int(body) + rng.choice((-2, -1, 1, 2, 10)))
    elif how < 0.5 and len(digits) > 1 and at != digits[-1] and body[at + 1].isdecimal():
        body = body[:at] + body[at + 1] + body[at] + body[at + 2 :]
    else:
        body = body[:at] + rng.choice("123456789") + body[at + 1 :]
    return f"{body} {unit}".rstrip()


def other_form(answer: str, rng: random.Random) -> str:
    """The same value in another notation; the answer itself where it has only one."""
    value = read(answer)
    body, _, unit = answer.partition(" ")
    if value.number is None:
        return f"\\text{{{answer}}}"
    if not _PLAIN.fullmatch(body):
        return answer
    forms = _forms(value.number, body, exact=value.places is None)
    tail = rng.choice((f"\\ \\text{{{unit}}}", f"\\,\\mathrm{{{unit}}}", f" {unit}", "")) if unit else ""
    tail = f" {unit}" if unit == "%" else tail  # without it the value would be another one
    return rng.choice([form for form in forms if form != answer] or [answer]) + tail


def _forms(number: Fraction, body: str, *, exact: bool) -> list[str]:
    sign, above, below = "-" if number < 0 else "", abs(number.numerator), number.denominator
    if exact and below > 1:
        forms = [
            f"{sign}\\frac{{{above}}}{{{below}}}",
            f"{sign}\\dfrac{{{above}}}{{{below}}}",
            f"{sign}{2 * above}/{2 * below}",
        ]
        if 10**6 % below == 0:
            forms.append(f"{float(number):.6f}".rstrip("0"))
        return forms
    forms = [f"{body}0" if "." in body else f"{body}.0"]
    whole, dot, part = body.lstrip("-").partition(".")
    if len(whole) > 3:
        forms += [f"{sign}{int(whole):,}{dot}{part}", f"{sign}{int(whole):,}{dot}{part}".replace(",", "{,}")]
    if len(whole) < 15 and number:
        power = len(whole) - 1
        mantissa = f"{whole[0]}.{whole[1:]}{part}".rstrip(".")
        forms.append(f"{sign}{mantissa} \\times 10^{{{power}}}")
    return forms
