"""Questions that nobody could check: they lean on something that is not there, or their answer settles nothing."""

from __future__ import annotations

import re

from chimera_batch.functions.screening.question_form import asks

_NUMBERED = r"(?:theorem|lemma|proposition|corollary|exercise|example|definition|equation|eq\.|remark)"
_PLACE = r"(?:section|chapter|table|page|appendix|problem|part|question)"
_WORK = r"(?:book|text|textbook|paper|article|monograph|chapter|lectures?|lecture\s+notes|course|manual|appendix)"
_OUTSIDE = re.compile(
    rf"\b(?:{_NUMBERED}|{_PLACE})\s+\(?\d[\w.]*\)?\s+(?:of|in|from)\s+(?:the|this|our|your|that)\s+{_WORK}\b"
    rf"|\b(?:previous|preceding|foregoing)\s+(?:problem|exercise|question|part|section|chapter|lecture|example|draft)s?\b"
    rf"|\bas\s+(?:shown|proved|proven|seen|defined|discussed|derived|given)\s+in\s+(?:{_PLACE}\s+\d|class\b|the\s+{_WORK}\b)"
    rf"|\b(?:by|see|from|using|in|apply|recall)\s+{_NUMBERED}\s+\(?\d+\.\d+(?:\.\d+)?\)?"
    rf"|\b(?:in|from|see|of)\s+(?:section|chapter|page)\s+\d+(?:\.\d+)*\b(?!\s+of\b)",
    re.I,
)
_ELSEWHERE = re.compile(r"\W*(?:see|as|same\s+as)\s+(?:the\s+)?(?:above|below|solution|previous|part)\b", re.I)

_DRAWN = r"(?:figure|diagram|image|picture|photograph|photo|illustration|drawing|screenshot|plot|chart|sketch)"
_FIGURE = re.compile(
    rf"\b(?:the|this|following|accompanying|attached)\s+{_DRAWN}\s+(?:above|below|at\s+(?:the\s+)?(?:left|right)|shown|attached)\b(?!\s*:)"
    rf"|\b(?:accompanying|attached|adjoining)\s+{_DRAWN}\b"
    rf"|\b(?:shown|depicted|drawn|illustrated|pictured|sketched|seen|given|see)\s+(?:in|on)?\s*the\s+(?:{_DRAWN}|graph)\b(?!\s*(?::|of\b))"
    rf"|\b(?:in|see|from)\s+(?:the\s+)?(?:figure|fig\.)\s*\d"
    rf"|\b(?:refer|referring)\s+to\s+the\s+{_DRAWN}\b|\bsee\s+{_DRAWN}\b|!\[[^\]]*\]\(|\\includegraphics",
    re.I,
)

_UNSOLVED = re.compile(
    r"\b(?:is|remains)\s+(?:still\s+|currently\s+)?(?:an?\s+)?(?:open|unsolved)\s+(?:problem|question|conjecture)\b"
    r"|\bremains?\s+(?:open|unsolved|unresolved)\b"
    r"|\b(?:solve|prove|disprove|resolve|settle)\s+(?:\w+\s+){0,3}?(?:conjecture|hypothesis|open\s+problem)\b"
    r"|\bp\s+(?:vs\.?|versus|=)\s+np\b\s*\?",
    re.I,
)
_UNKNOWN = re.compile(
    r"\W*(?:(?:this|it)\s+(?:is|remains)\s+)?(?:(?:an?\s+)?(?:open|unsolved)\s+(?:problem|question)|unknown|not\s+known"
    r"|currently\s+(?:open|unknown)|open|unsolved|nobody\s+knows)\W*$"
    r"|.*\b(?:remains\s+(?:open|unsolved|unknown)|no\s+(?:proof|answer|solution)\s+is\s+known)\b",
    re.I | re.S,
)

_DISCUSS = re.compile(
    r"(?:^|[.?!;:\n]\s*|\b(?:and|then)\s+)(?:briefly\s+|critically\s+)?(?:discuss|explain|comment\s+on|elaborate|reflect\s+on"
    r"|compare\s+and\s+contrast|argue|write\s+an?\s+(?:essay|paragraph)|assess\s+the|describe\s+(?:how|why|the\s+role))\b",
    re.I,
)
_DEPENDS = re.compile(
    r"\W*(?:it|that|this)\s+depends\b(?!\s+only)|.*\bno\s+(?:single|one|definitive|unique)\s+(?:right\s+|correct\s+)?answer\b"
    r"|.*\banswers?\s+(?:may|will|can|could)\s+vary\b|.*\bopen\s+to\s+(?:interpretation|debate)\b"
    r"|.*\ba\s+matter\s+of\s+(?:opinion|interpretation|taste|debate)\b|\W*varies\b",
    re.I | re.S,
)
_SENTENCE = re.compile(r"[a-z)\]][.!?](?:\s|$)")
_ESSAY = 60  # words: an answer in its shortest form is never so long, but for a list, which has no sentences

_ROUGHLY = re.compile(r"\b(?:estimat\w+|approximat\w+|roughly|about\s+how|ball-?park)\b", re.I)
_ABOUT = re.compile(
    r"\W*(?:≈|~|∼|\\approx|\\sim|approximately\b|approx\b|about\b|around\b|roughly\b|on\s+the\s+order\b|between\b)"
    r"|\W*\d[\d.,]*\s*(?:–|—|-|to)\s*\d[\d.,]*\s*\w*\W*$",
    re.I,
)
_LONGEST_ROUGH = 80  # characters of a number with its unit
_TOLERANCE = re.compile(
    r"\b(?:significant|digits?|decimals?|nearest|order\s+of\s+magnitude|power\s+of\s+(?:10|ten)|within|tolerance|percent"
    r"|precision|accura\w+|correct\s+to|factor\s+of|integer|exact\w*|round\w*|sig\.?\s?figs?|to\s+\d|places?)\b|±|%|\\pm",
    re.I,
)


def refers_outside(question: str, answer: str) -> bool:
    """A numbered theorem of some book, the previous problem, or an answer that says where to look."""
    return bool(_OUTSIDE.search(question) or _ELSEWHERE.match(answer))


def needs_figure(question: str) -> bool:
    return bool(_FIGURE.search(question))


def is_open(question: str, answer: str) -> bool:
    """Nobody knows the answer."""
    return bool(_UNSOLVED.search(question) or _UNKNOWN.match(answer))


def is_discussion(question: str, answer: str) -> bool:
    """It asks for talk, or the answer is talk: it depends, answers may vary, an essay."""
    if _DEPENDS.match(answer) or (_DISCUSS.search(question) and not asks(question)):
        return True
    return len(answer.split()) > _ESSAY and len(_SENTENCE.findall(answer)) >= 3


def lacks_tolerance(question: str, answer: str) -> bool:
    """A rough value is asked for and given, and nothing says how rough: no two solvers could be told apart."""
    rough = len(answer) <= _LONGEST_ROUGH and _ABOUT.match(answer)
    return bool(rough and _ROUGHLY.search(question) and not _TOLERANCE.search(question))
