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
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

import orjson

from chimera_batch.cost import tokens
from chimera_batch.endpoints import ENDPOINTS
from chimera_batch.errors import ChimeraError, InputError
from chimera_batch.pipeline.stage import Source
from chimera_batch.records import Call, Message
from chimera_batch.requests import weaving

if TYPE_CHECKING:
    from chimera_batch.requests.template import MessageTemplate

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


def _encode_texts(texts: Sequence[str]) -> list[bytes]:
    """JSON strings. Asking a text first is 20 times cheaper than replacing in its bytes."""
    encoded = list(map(orjson.dumps, texts))
    if all(map(str.isascii, texts)):
        return encoded
    rare = [any(separator in text for separator in _SEPARATORS) for text in texts]
    return [_escaped(data) if found else data for data, found in zip(encoded, rare, strict=True)]


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests of one model in the order of their rows, each row's samples side by side.

    ``texts``: of every message that differs from row to row, its text for each *row*; they are counted apart, by
    ``Renderer.count``, since another thread can do that.
    """

    ids: list[str]
    block: bytes  # all lines; each ends with a newline, and its custom_id is the request's id
    sizes: list[int]  # of the lines, newlines included
    texts: list[list[str]]

    @property
    def lines(self) -> list[bytes]:
        """The block's lines one by one, which takes as long again as making it."""
        return [self.block[end - size : end] for end, size in zip(accumulate(self.sizes), self.sizes, strict=True)]


class Renderer:
    """Renders one stage's requests for one call, many at once. ``count`` alone may be called from another thread.

    Raises InputError (file:line) for a prompt that cannot be used.
    """

    def __init__(self, call: Call, prompt: Source, params: Mapping[str, Any]) -> None:
        from chimera_batch.requests.template import parse  # noqa: PLC0415 - jinja2 is slow to import

        self._call = call
        self._prompt = prompt
        self._endpoint = ENDPOINTS[call.endpoint]
        self._messages = parse(prompt, params)
        self._varying = [message for message in self._messages if not message.constant]
        self._line, (first, *self._body) = self._compile()
        self._before = _PREFIX + call.endpoint.encode() + b"\0", b"\0" + cast(bytes, first)
        self._starts: dict[int, Any] = {}  # by sample: the digest of everything before the first hole
        self._count = self._counter()
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

    def render(self, row: Mapping[str, object], sample: int = 1) -> Rendered:
        """One request for one row."""
        batch = self.batch(tuple(row), [tuple(row.values())], [sample])
        ((expected, most),) = self.count(batch)
        return Rendered(batch.ids[0], batch.block, expected, most)

    def batch(self, columns: Sequence[str], rows: Sequence[tuple[object, ...]], samples: Sequence[int] = (1,)) -> Batch:
        """Every sample of every row. ``columns`` should hold ``row_key``: errors (InputError) name the row by it."""
        texts, filled = self._texts(columns, rows)
        if len(samples) > 1:
            filled = [[text for text in column for _ in samples] for column in filled]
        ids = self._identities(filled, list(samples) * len(rows))
        named = [(f'"{identity}"' if self._whole else identity).encode() for identity in ids]
        block, sizes = weaving.block(self._line, [*filled, named], len(ids))
        if not self._checked and ids:
            self._check(ids[0], [column[0] for column in texts], block[: sizes[0]])
        return Batch(ids, block, sizes, texts)

    def count(self, batch: Batch) -> list[tuple[int, int]]:
        """(tokens to expect, tokens at most) of each row's requests."""
        return self._count.count(batch.texts, len(batch.texts[0]) if batch.texts else len(batch.ids))

    def _counter(self) -> tokens.PromptCounter:
        fixed = [_text(message) for message in self._messages if message.constant]
        format_only = 0 if self._call.endpoint == _EMBEDDINGS else tokens.overhead(len(self._messages))
        return tokens.PromptCounter(tokens.counter(self._call.model), fixed, self._call.schema or "", format_only)

    def _texts(
        self, columns: Sequence[str], rows: Sequence[tuple[object, ...]]
    ) -> tuple[list[list[str]], list[list[bytes]]]:
        """The texts of all messages that vary, also as the insides of JSON strings.

        Where one of many rows is at fault, each is looked at by itself.
        """
        try:
            texts = [message.texts(columns, rows) for message in self._varying]
            self._refuse_blank(texts)
            filled = [_encode_texts(column) for column in texts]
            return texts, filled if self._whole else [[data[1:-1] for data in column] for column in filled]
        except (InputError, TypeError) as error:
            if len(rows) > 1:
                for row in rows:
                    self._texts(columns, [row])
            raise self._at_fault(dict(zip(columns, rows[0], strict=True)), error) from None

    def _compile(self) -> tuple[list[bytes | int], list[bytes | int]]:
        """The line and the digested body, in pieces: constant bytes, and numbers of what is filled in between."""
        names = itertools.count()
        fixed = repr(self._messages) + repr(self._call)
        mark = next(mark for n in itertools.count() if (mark := f"hole{n}x") not in fixed)
        texts = ["" if message.constant else f"{mark}{next(names):06}" for message in self._messages]
        messages = self._filled([text for text in texts if text])
        line = encode(self._endpoint.line(f"{mark}{next(names):06}", self._endpoint.body(self._call, messages))) + b"\n"
        body = encode(self._endpoint.body(replace(self._call, max_output_tokens=0, cache=False), messages))
        if not line.startswith(_LEAD):
            raise ChimeraError(f"{self._call.endpoint} does not put custom_id first")
        # Whole JSON strings are filled in, or their insides where an endpoint joins all messages into one text.
        strings = re.compile(rb'"%b\d{6}"' % mark.encode())
        self._whole = all(len(strings.findall(data)) == data.count(mark.encode()) for data in (line, body))
        return weaving.split(line, mark, whole=self._whole), weaving.split(body, mark, whole=self._whole)

    def _filled(self, texts: Sequence[str]) -> list[Message]:
        """All messages, given the texts of those that vary."""
        varying = iter(texts)
        return [
            Message(message.role, _text(message) if message.constant else next(varying)) for message in self._messages
        ]

    def _identities(self, filled: list[list[bytes]], samples: Sequence[int]) -> list[str]:
        ids = []
        rests = map(b"".join, weaving.woven(self._body, filled, len(samples)))  # one at a time, so in one place
        for sample, rest in zip(samples, rests, strict=True):
            start = self._starts.get(sample)
            if start is None:
                before, first = self._before
                start = self._starts[sample] = hashlib.sha256(before + str(sample).encode() + first)
            digest = start.copy()
            digest.update(rest)
            ids.append(digest.hexdigest()[:32])
        return ids

    def _check(self, identity: str, texts: Sequence[str], line: bytes) -> None:
        """Once, on the first row: the spliced line is the line that the endpoint would have built from the texts."""
        body = self._endpoint.body(self._call, self._filled(texts))
        if encode(self._endpoint.line(identity, body)) + b"\n" != line:
            raise ChimeraError(f"splicing {self._call.endpoint} does not give the endpoint's own bytes")
        self._checked = True

    def _refuse_blank(self, texts: list[list[str]]) -> None:
        """Providers refuse empty messages, one line at a time and after the wait."""
        for message, column in zip(self._varying, texts, strict=True):
            if message.may_be_blank and not all(map(str.strip, column)):
                raise InputError(f"the {message.role} message is empty", where=message.where)

    def _at_fault(self, row: Mapping[str, object], error: InputError | TypeError) -> InputError:
        """What is wrong with one row, with its key."""
        if isinstance(error, InputError):
            return InputError(f"row {_key(row)}: {error.message}", where=error.where, hint=error.hint)
        guilty = sorted(
            name for name in self.columns_used if isinstance(text := row.get(name), str) and not _encodable(text)
        )
        what = f"column `{guilty[0]}`" if guilty else "the text"
        return InputError(
            f"row {_key(row)}: {what} holds half a character (a lone surrogate), which no JSON can carry",
            where=self._prompt.where(),
            hint="repair the text in the rows query or where it was read",
        )


def _text(message: MessageTemplate) -> str:
    """The text of a message without holes."""
    return "".join(part for part in message.parts if isinstance(part, str))


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _key(row: Mapping[str, object]) -> str:
    """The row's key for an error message; escaped, since it may be the very thing that cannot be printed."""
    return str(row.get("row_key", "?")).encode("ascii", "backslashreplace").decode()
