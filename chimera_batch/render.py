"""Rows into requests: the exact bytes of a wire line, the id of the question, and how many tokens it is. Floor 2, pure.

Everything of a line that no row changes is encoded once; per row only the values are encoded and joined in between.
A message with logic in it is one value, rendered by Jinja.

A request id is the first 32 hex digits of SHA-256 over ``chimera-request-1``, the endpoint's path and the sample
number, each ended by a NUL, and the body's bytes with the output ceiling set to 0 and without cache marks. Neither the
row, the ceiling, the marks nor the host is part of it. Changing any of this makes every answer ever bought unknown:
the tests pin it.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from chimera_batch import tokens
from chimera_batch.endpoints import ENDPOINTS
from chimera_batch.errors import ChimeraError, InputError
from chimera_batch.records import Call, Message
from chimera_batch.stage import Source

if TYPE_CHECKING:
    from chimera_batch.template import MessageTemplate

_PREFIX = b"chimera-request-1\0"
_LEAD = b'{"custom_id":"'
_SEPARATORS = ("\u2028", "\u2029", "\x85")
_EMBEDDINGS = "/v1/embeddings"


@dataclass(frozen=True, slots=True)
class Rendered:
    """One request. ``line`` ends with a newline and its ``custom_id`` is ``request_id``.

    ``input_tokens`` is what to expect, ``input_bound`` what it can be at most (see ``tokens.Counter``).
    """

    request_id: str
    line: bytes
    input_tokens: int
    input_bound: int


def encode(value: Any) -> bytes:
    """JSON as it goes on the wire: UTF-8, no line separator but what is escaped. Raises TypeError for lone surrogates.

    Some readers split lines at U+2028, U+2029 and U+0085, which JSON allows raw.
    """
    return _escaped(orjson.dumps(value))


def _escaped(data: bytes) -> bytes:
    # Safe on bytes: UTF-8 sequences never overlap, and outside of strings JSON is ASCII.
    for separator in _SEPARATORS:
        data = data.replace(separator.encode(), b"\\u%04x" % ord(separator))
    return data


def _encode_text(text: str) -> bytes:
    """The inside of a JSON string. Asking the text first is 20 times cheaper than replacing in the bytes."""
    data = orjson.dumps(text)[1:-1]
    if text.isascii() or not any(separator in text for separator in _SEPARATORS):
        return data
    return _escaped(data)


class Renderer:
    """Renders one stage's requests for one call. Not to be shared by threads.

    Raises InputError (file:line) for a prompt that cannot be used.
    """

    def __init__(self, call: Call, prompt: Source, params: Mapping[str, Any]) -> None:
        from chimera_batch.template import Hole, parse  # noqa: PLC0415 - jinja2 is slow to import

        self._call = call
        self._prompt = prompt
        self._endpoint = ENDPOINTS[call.endpoint]
        self._messages = parse(prompt, params)
        self._holes = [part for message in self._messages for part in message.parts if isinstance(part, Hole)]
        number = itertools.count()
        self._layout: list[list[str | int]] = [
            [part if isinstance(part, str) else next(number) for part in message.parts] for message in self._messages
        ]
        self._line, self._line_slots, (first, *self._body), self._body_slots = self._compile()
        self._body_slots = [(place - 1, hole) for place, hole in self._body_slots]
        self._starts: dict[int, Any] = {}  # by sample: the digest of everything before the first hole
        self._before = _PREFIX + call.endpoint.encode() + b"\0", b"\0" + first
        self._count = _TokenCount(call, self._messages, self._layout)
        self._may_be_blank = [number for number, parts in enumerate(self._layout) if not _has_text(parts)]
        self._checked = False

    @property
    def columns_used(self) -> frozenset[str]:
        """The columns that the prompt takes from the row, ``is defined`` tests included."""
        return frozenset().union(*(message.columns for message in self._messages))

    @property
    def shared_tokens(self) -> int:
        """Tokens of the beginning that every request has in common: the system message up to its first hole."""
        first, start = self._messages[0], self._messages[0].parts[:1]
        if first.role != "system" or not start or not isinstance(start[0], str):
            return 0
        return self._count.counter.count(start[0])

    @property
    def tokens_basis(self) -> str:
        """What the token counts rest on, for people: "o200k, exact"."""
        return self._count.counter.basis

    def render(self, row: Mapping[str, object], sample: int = 1) -> Rendered:
        """One request for one row. ``row`` should hold ``row_key``: errors (InputError) name it."""
        try:
            values = [hole.fill(row) for hole in self._holes]
        except InputError as error:
            raise InputError(f"row {_key(row)}: {error.message}", where=error.where, hint=error.hint) from None
        try:
            filled = [_encode_text(value) for value in values]
        except TypeError:
            raise self._surrogate(row, values) from None
        self._refuse_blank(row, values)
        identity = self._identity(filled, sample)
        filled.append(identity.encode())
        line = _fill(self._line, self._line_slots, filled)
        if not self._checked:
            self._check(identity, values, line)
        expected, most = self._count(values)
        return Rendered(identity, line, expected, most)

    def _compile(self) -> tuple[list[bytes], list[tuple[int, int]], list[bytes], list[tuple[int, int]]]:
        """The constant pieces of the line and of the digested body, and where the holes are in each."""
        fixed = "".join(part for parts in self._layout for part in parts if isinstance(part, str)) + repr(self._call)
        mark = next(mark for n in itertools.count() if (mark := f"hole{n}x") not in fixed)
        names = [f"{mark}{number:06}" for number in range(len(self._holes) + 1)]
        messages = self._texts(names)
        line = encode(self._endpoint.line(names[-1], self._endpoint.body(self._call, messages))) + b"\n"
        body = encode(self._endpoint.body(replace(self._call, max_output_tokens=0, cache=False), messages))
        if not line.startswith(_LEAD):
            raise ChimeraError(f"{self._call.endpoint} does not put custom_id first")
        return *_split(line, mark), *_split(body, mark)

    def _texts(self, values: Sequence[str]) -> list[Message]:
        return [
            Message(message.role, _join(parts, values))
            for message, parts in zip(self._messages, self._layout, strict=True)
        ]

    def _identity(self, filled: list[bytes], sample: int) -> str:
        start = self._starts.get(sample)
        if start is None:
            before, first = self._before
            start = self._starts[sample] = hashlib.sha256(before + str(sample).encode() + first)
        digest = start.copy()
        digest.update(_fill(self._body, self._body_slots, filled))
        return str(digest.hexdigest()[:32])

    def _check(self, identity: str, values: Sequence[str], line: bytes) -> None:
        """Once, on the first row: the spliced line is the line that the endpoint would have built from the texts."""
        body = self._endpoint.body(self._call, self._texts(values))
        if encode(self._endpoint.line(identity, body)) + b"\n" != line:
            raise ChimeraError(f"splicing {self._call.endpoint} does not give the endpoint's own bytes")
        self._checked = True

    def _refuse_blank(self, row: Mapping[str, object], values: Sequence[str]) -> None:
        """Providers refuse empty messages, one line at a time and after the wait."""
        for number in self._may_be_blank:
            if not _join(self._layout[number], values).strip():
                where = self._messages[number].where
                raise InputError(f"row {_key(row)}: the {self._messages[number].role} message is empty", where=where)

    def _surrogate(self, row: Mapping[str, object], values: Sequence[str]) -> InputError:
        guilty = sorted(
            name for name in self.columns_used if isinstance(text := row.get(name), str) and not _encodable(text)
        )
        what = f"column `{guilty[0]}`" if guilty else "the text"
        return InputError(
            f"row {_key(row)}: {what} holds half a character (a lone surrogate), which no JSON can carry",
            where=self._prompt.where(),
            hint="repair the text in the rows query or where it was read",
        )


class _TokenCount:
    """Tokens of a request: constant messages and the schema once, the others per row."""

    def __init__(self, call: Call, messages: Sequence[MessageTemplate], layout: list[list[str | int]]) -> None:
        self.counter = tokens.counter(call.model)
        fixed = [_join(parts, ()) for message, parts in zip(messages, layout, strict=True) if message.constant]
        schema = call.schema or ""  # hosts put it into the prompt in a form of their own: approximate
        format_only = 0 if call.endpoint == _EMBEDDINGS else tokens.overhead(len(messages))
        self.expected = format_only + sum(map(self.counter.count, [*fixed, schema]))
        self.most = format_only + sum(map(self.counter.bound, fixed)) + tokens.schema_bound(schema)
        self.varying = [parts for message, parts in zip(messages, layout, strict=True) if not message.constant]
        self.last: tuple[list[str], tuple[int, int]] | None = None

    def __call__(self, values: list[str]) -> tuple[int, int]:
        if self.last is not None and self.last[0] == values:  # the next sample of the same row
            return self.last[1]
        texts = [_join(parts, values) for parts in self.varying]
        expected = sum(map(self.counter.count, texts))
        most = expected if self.counter.exact else sum(map(self.counter.bound, texts))
        self.last = values, (self.expected + expected, self.most + most)
        return self.last[1]


def _split(data: bytes, mark: str) -> tuple[list[bytes], list[tuple[int, int]]]:
    """Pieces with the holes left empty, and (place among the pieces, number of the hole)."""
    pieces = re.split(mark.encode() + rb"(\d{6})", data)
    slots = [(place, int(pieces[place])) for place in range(1, len(pieces), 2)]
    return pieces, slots


def _fill(pieces: list[bytes], slots: list[tuple[int, int]], filled: list[bytes]) -> bytes:
    whole = pieces.copy()
    for place, hole in slots:
        whole[place] = filled[hole]
    return b"".join(whole)


def _join(parts: Sequence[str | int], values: Sequence[str]) -> str:
    return "".join([part if isinstance(part, str) else values[part] for part in parts])


def _has_text(parts: Sequence[str | int]) -> bool:
    return any(isinstance(part, str) and part.strip() for part in parts)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _key(row: Mapping[str, object]) -> str:
    """The row's key for an error message; escaped, since it may be the very thing that cannot be printed."""
    return str(row.get("row_key", "?")).encode("ascii", "backslashreplace").decode()
