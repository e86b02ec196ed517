"""The result files of a batch while they are written: drafts, in another order than the requests came in."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import orjson

from chimera_batch.rehearsal import shapes_anthropic, shapes_openai
from chimera_batch.rehearsal.asks import Refused

_GAP = re.compile(r"(?<=[a-z]) (?=[a-z])")
_EXPIRED = "This request could not be executed before the completion window expired."
_CANCELLED = "This request was not executed because the batch was cancelled."


class Sheet:
    """One result file. Lines leave in blocks, each shuffled: no reader may count on their order."""

    BLOCK = 64

    def __init__(self, path: Path, seed: int, *, final_newline: bool) -> None:
        self.path = path
        self.lines = 0
        self._file = path.open("wb")
        self._rng = random.Random(seed)  # noqa: S311 - an order, not a secret
        self._block: list[bytes] = []
        self._final_newline = final_newline
        self._first = True

    def add(self, line: bytes) -> None:
        """``line`` without a newline."""
        self.lines += 1
        self._block.append(line)
        if len(self._block) >= self.BLOCK:
            self._flush()

    def close(self) -> None:
        self._flush()
        if self._final_newline and not self._first:
            self._file.write(b"\n")
        self._file.close()

    def _flush(self) -> None:
        self._rng.shuffle(self._block)
        for line in self._block:
            # The newline goes in front, since a file may end without one.
            self._file.write(line if self._first else b"\n" + line)
            self._first = False
        self._block.clear()


class OpenAISheets:
    """An output and an error file."""

    def __init__(self, output: Path, error: Path, seed: int) -> None:
        self.output = Sheet(output, seed, final_newline=True)
        self.error = Sheet(error, seed, final_newline=True)

    def ok(self, ident: str, custom_id: str, body: dict[str, Any], *, raw: bool = False) -> bytes:
        """The line of an answer; the caller adds it."""
        row = shapes_openai.row(ident, custom_id, 200, body)
        return _odd(shapes_openai.dump(row, raw=True)) if raw else shapes_openai.dump(row)

    def refused(self, ident: str, custom_id: str, refused: Refused, fault: dict[str, Any]) -> None:
        """A row that failed; ``fault`` may put it into the output file or leave its response null."""
        row = shapes_openai.row(ident, custom_id, refused.status, shapes_openai.refusal(refused))
        if fault.get("null"):
            code = str(refused.code or "request_timeout")
            row = shapes_openai.unfinished(ident, custom_id, code, refused.message)
        (self.output if fault.get("in") == "output" else self.error).add(shapes_openai.dump(row))

    def unfinished(self, ident: str, custom_id: str, how: str) -> None:
        code, message = ("batch_expired", _EXPIRED) if how == "expired" else ("batch_cancelled", _CANCELLED)
        self.error.add(shapes_openai.dump(shapes_openai.unfinished(ident, custom_id, code, message)))

    def close(self) -> None:
        self.output.close()
        self.error.close()


class AnthropicSheets:
    """One results file; what went wrong is in it too."""

    def __init__(self, output: Path, seed: int) -> None:
        self.output = Sheet(output, seed, final_newline=False)

    def ok(self, ident: str, custom_id: str, body: dict[str, Any], *, raw: bool = False) -> bytes:
        """The line of an answer; the caller adds it."""
        line = shapes_anthropic.dump(shapes_anthropic.succeeded(custom_id, body))
        return _odd(line) if raw else line

    def refused(self, ident: str, custom_id: str, refused: Refused, fault: dict[str, Any]) -> None:
        self.output.add(shapes_anthropic.dump(shapes_anthropic.errored(custom_id, refused)))

    def unfinished(self, ident: str, custom_id: str, how: str) -> None:
        how = "expired" if how == "expired" else "canceled"
        self.output.add(shapes_anthropic.dump(shapes_anthropic.unfinished(custom_id, how)))

    def close(self) -> None:
        self.output.close()


def foreign(line: bytes, n: int) -> bytes:
    """A copy of a result line that carries an id nobody sent."""
    row = orjson.loads(line)
    row["custom_id"] = f"f0f0f0f0-{n:032x}"
    return orjson.dumps(row)


def _odd(line: bytes) -> bytes:
    """U+2028 and U+0085, raw, into the last stretch of prose of the line: the answer comes after the reasoning."""
    text = line.decode()
    gaps = list(_GAP.finditer(text))
    if not gaps:
        return line
    at = gaps[-1].start()
    return f"{text[:at]} \u2028\u0085{text[at + 1 :]}".encode()
