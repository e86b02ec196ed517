"""Result lines of one attempt → landed rows. Reconciles against the ids sent; loses no line, trusts no count.

Every id sent ends in exactly one row. A line that is no result is kept apart with its bytes, file, line number and
offset; so are lines of other batches and second lines of an id already answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from chimera_batch.records import Outcome, Problem, Reply
from chimera_batch.requests.wire import NONCE_LENGTH, Piece
from chimera_batch.results.judging import Judge, judge_of
from chimera_batch.results.tabling import Columns, Found, Sent, Tally, columns

__all__ = ["Columns", "Decode", "File", "Judge", "Sent", "Tally", "absent", "judge_of", "landed", "refused"]

_EXECUTED = frozenset({"ok", "truncated", "refused", "invalid"})
_LEAD = NONCE_LENGTH + 1  # of a custom id: the nonce and a dash
_UNFIT = "the answer does not fit the schema"
_BATCH = 1 << 19  # bytes of lines that are turned into columns together, while the cache still holds them


class File(NamedTuple):
    """A file of results: the name that rows know it by, and its lines."""

    name: str
    pieces: Iterable[Piece]


Decode = Callable[[bytes], Reply]
"""How a host's result lines are read. Raises ValueError for what is no result."""


def landed(files: Iterable[File], decode: Decode, sent: Sent, judge: Judge | None, tally: Tally) -> Iterator[Columns]:
    """Landed rows, those of about 0.5 MB of lines at once; ``tally`` counts what has been taken."""
    decoder, meter = Decoder(decode, sent, judge, tally), sent.meter
    for name, pieces in files:
        found, size = Found(name), 0
        for piece in pieces:
            decoder.read(piece, found)
            size += sum(map(len, piece.lines))
            if size >= _BATCH:
                yield columns(found, sent, tally, meter)
                found, size = Found(name), 0
        yield columns(found, sent, tally, meter)


class Decoder:
    """Lines of one attempt into replies that become rows."""

    def __init__(self, decode: Decode, sent: Sent, judge: Judge | None, tally: Tally) -> None:
        self._decode, self._judge, self._tally = decode, judge, tally
        self._lead, self._ceilings = sent.lead, sent.ceilings
        self._by_the_hour = sent.price.gpu is not None

    def read(self, piece: Piece, found: Found) -> None:
        """What every line goes through: a call more in here is a second for a few million of them."""
        decode, judge, lead, ceilings, seen = self._decode, self._judge, self._lead, self._ceilings, self._tally.seen
        keep = found.identities.append, found.replies.append, found.answers.append, found.lines.append
        keep_identity, keep_reply, keep_answer, keep_line = keep
        number, end = piece.first - 1, piece.offset
        for line in piece.lines:
            number, offset, end = number + 1, end, end + len(line)
            try:
                reply = decode(line)
            except (ValueError, RecursionError) as error:
                self._malformed(_At(found.file, number, offset, line), error)
                continue
            custom_id, outcome, answer = reply[0], reply[1], None
            identity = custom_id[_LEAD:]
            if identity not in ceilings or not custom_id.startswith(lead):
                self._tally.foreign += 1
                self._apart(_At(found.file, number, offset, line), "an id that this attempt did not send")
                continue
            if outcome != "ok":
                pass
            elif judge is not None and (answer := judge(reply[2] or "")) is None:
                outcome, reply = "invalid", reply._replace(outcome="invalid", message=_UNFIT)
            if identity in seen and not self._outdone(identity, outcome):
                self._apart(_At(found.file, number, offset, line), "a second line for the same request")
                continue
            seen[identity] = outcome
            usage = reply[7]
            if outcome != "ok" or usage is None or not (usage[0] or usage[4]):
                self._note(identity, reply)
            keep_identity(identity)
            keep_reply(reply)
            keep_answer(answer)
            keep_line(number)

    def _note(self, identity: str, reply: Reply) -> None:
        """An answer was executed even where the host leaves its usage out; an error without usage is not charged."""
        usage, tally = reply.usage, self._tally
        if self._by_the_hour and reply.machine_ns is not None:
            pass  # its time is on the bill, whatever it says of its tokens
        elif usage is None or not (usage.input_tokens or usage.output_tokens):
            tally.unbilled[identity] = reply.outcome in _EXECUTED
        _note_trouble(tally, reply)

    def _outdone(self, identity: str, outcome: Outcome) -> bool:
        """Whether a first line gives way: a usable answer follows an unusable line. Both are kept, this one counts."""
        tally = self._tally
        first = tally.seen[identity]
        if first == "ok" or outcome != "ok":
            return False
        tally.count(first, -1)
        tally.unbilled.pop(identity, None)
        return True

    def _malformed(self, at: _At, error: Exception) -> None:
        if at.bytes.strip():  # a blank line is nothing
            self._tally.malformed += 1
            self._apart(at, f"not a result: {error}")

    def _apart(self, at: _At, reason: str) -> None:
        """Keep a line that is no row of ours: where it stood, and its bytes as Latin-1, which every byte survives."""
        tally = self._tally
        tally.quarantined += 1
        tally.apart = tally.apart or reason
        said = {"file": at.file, "line": at.line, "offset": at.offset, "reason": reason}
        tally.keep_apart({**said, "bytes": at.bytes.removesuffix(b"\n").decode("latin-1")})


class _At(NamedTuple):
    """A line and where it stands."""

    file: str | None
    line: int
    offset: int
    bytes: bytes


def _note_trouble(tally: Tally, reply: Reply) -> None:
    if reply.message and reply.outcome != "ok":
        tally.whys.setdefault(reply.outcome, reply.message)
    if reply.account:
        tally.account = reply.message or reply.code


def absent(sent: Sent, tally: Tally) -> Columns:
    """Rows for the ids that no file held."""
    found = Found(None)
    if sent.absent is not None:
        gone = Reply("", sent.absent)
        for identity in sent.ceilings:
            if identity not in tally.seen:
                found.add(identity, gone, None)
    return columns(found, sent, tally, sent.meter)


def refused(sent: Sent, problems: Mapping[str, Problem], tally: Tally) -> Columns:
    """Rows of requests that the provider's whole-file validation named: definite errors, nothing billed."""
    found = Found(None)
    for identity, problem in problems.items():
        reply = Reply("", "error", code=problem.code, message=problem.message)
        _note_trouble(tally, reply)
        found.add(identity, reply, problem.line)
    return columns(found, sent, tally, sent.meter)
