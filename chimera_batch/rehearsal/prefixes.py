"""Which prefixes of a request a provider would keep in its prompt cache: the marks in a body, and where none is needed,
the prefix that the host takes by itself. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

_LONG = frozenset({"1h", "12h"})
_LEADING = frozenset({"system", "developer"})
_COUNTED = _LEADING | {"user"}  # whose text the server counts as input


@dataclass(frozen=True, slots=True)
class Mark:
    """The end of a prefix that is cached."""

    digest: bytes
    tokens: int
    long: bool  # it asks for the longer time to live


@dataclass(frozen=True, slots=True)
class _Piece:
    role: str
    text: str
    ttl: str | None = None  # a mark stands at its end


def of_messages(body: Mapping[str, Any], least: int) -> list[Mark]:
    """What ``cache_control`` marks in a body of ``/v1/messages``, shortest first; at its top it marks the end."""
    tools = body.get("tools")
    pieces = [_Piece("tool", orjson.dumps(tool).decode(), _ttl(tool, "5m")) for tool in _objects(tools)]
    pieces += _pieces("system", body.get("system"))
    for turn in body["messages"]:
        pieces += _pieces(str(turn.get("role", "user")), turn.get("content"))
    if pieces and (ttl := _ttl(body, "5m")):
        pieces[-1] = replace(pieces[-1], ttl=ttl)
    return list(_marks(pieces, least))


def of_openai(body: Mapping[str, Any], least: int) -> list[Mark]:
    """The prefixes of an OpenAI-style body, shortest first: the one that the host takes by itself, and marked ones.

    By itself it takes the leading system text where that is long enough, else the first ``least`` tokens of all text.
    """
    given = body.get("messages") or body.get("input")
    turns = given if isinstance(given, list) else [{"content": given}]
    options = body.get("prompt_cache_options")
    options = options if isinstance(options, Mapping) else {}
    usual = str(options.get("ttl") or "30m")
    pieces = _pieces("system", body.get("instructions"))
    for turn in turns:
        pieces += _pieces(str(turn.get("role", "user")), turn.get("content"), usual)
    key = f"{body.get('prompt_cache_key') or ''}"  # requests with different keys do not meet
    if options.get("mode") == "explicit":
        return list(_marks(pieces, least, key))
    lead = next((at for at, piece in enumerate(pieces) if piece.role not in _LEADING), len(pieces))
    if _tokens(_size(pieces[:lead])) >= least:
        pieces[lead - 1] = replace(pieces[lead - 1], ttl=pieces[lead - 1].ttl or usual)
        return list(_marks(pieces, least, key))
    own = _first(pieces, least, key, usual in _LONG)
    return own + [mark for mark in _marks(pieces, least, key) if mark.tokens > least]


def _pieces(role: str, content: Any, usual: str = "5m") -> list[_Piece]:
    if content is None or isinstance(content, str):
        return [_Piece(role, content)] if content else []
    return [_Piece(role, str(block.get("text") or ""), _ttl(block, usual)) for block in _objects(content)]


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _ttl(block: Mapping[str, Any], usual: str) -> str | None:
    """The time to live that a block's mark asks for; None where it has no mark."""
    mark = block.get("cache_control") or block.get("prompt_cache_breakpoint")
    return str(mark.get("ttl") or usual) if isinstance(mark, Mapping) else None


def _marks(pieces: Iterable[_Piece], least: int, key: str = "") -> Iterator[Mark]:
    digest, size = hashlib.blake2b(key.encode(), digest_size=16), 0
    for piece in pieces:
        digest.update(f"\x1e{piece.role}\x1f{piece.text}".encode())
        size += _size([piece])
        if piece.ttl is not None and _tokens(size) >= least:
            yield Mark(digest.digest(), _tokens(size), piece.ttl in _LONG)


def _first(pieces: Sequence[_Piece], least: int, key: str, long: bool) -> list[Mark]:
    """The first ``least`` tokens of a request that has as many."""
    text = b"".join(piece.text.encode() for piece in pieces if piece.role in _COUNTED)
    if _tokens(len(text)) < least:
        return []
    return [Mark(hashlib.blake2b(key.encode() + b"\x1d" + text[: least * 4], digest_size=16).digest(), least, long)]


def _size(pieces: Iterable[_Piece]) -> int:
    return sum(len(piece.text.encode()) for piece in pieces if piece.role in _COUNTED)


def _tokens(size: int) -> int:
    """As ``generic.tokens`` counts a text of so many bytes."""
    return -(-size // 4)
