"""What the proxy can do to one exchange, by name.

``BEFORE``: nothing of it arrives at the host; ``AFTER``: the host does what it was asked, and the reply is spoilt;
``HARMLESS``: the reply is written otherwise, and says the same or lies in what decides nothing.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from tests.faults.wire import Exchange, Seen

STALL = 1.5  # seconds without a byte; a test makes the client's patience shorter than this
DAYS = 3 * 86_400
Damage = Callable[[Exchange], Seen]
_HTML = b"<!doctype html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
_WORDS = {429: "rate_limit_error", 529: "overloaded_error", 408: "timeout_error", 409: "conflict_error"}


def refusal(exchange: Exchange, status: int, **headers: str) -> Seen:
    """A status with an error body of the protocol."""
    code = _WORDS.get(status, "api_error")
    error: dict[str, Any] = {"type": code, "message": f"fault {status}"}
    body = {"type": "error", "error": error} if exchange.endpoint.startswith("anthropic") else {"error": error}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Seen(status, {"content-type": "application/json", **named}, json.dumps(body).encode())


def instead(status: int, **headers: str) -> Damage:
    """The host hears of nothing."""
    return lambda exchange: refusal(exchange, status, **headers)


def after(status: int) -> Damage:
    """The host has done it, and something between says that it has failed."""

    def play(exchange: Exchange) -> Seen:
        exchange.forward()
        return refusal(exchange, status)

    return play


def page(status: int, *, arrives: bool) -> Damage:
    """A gateway's page of HTML in place of the reply."""

    def play(exchange: Exchange) -> Seen:
        if arrives:
            exchange.forward()
        return Seen(status, {"content-type": "text/html"}, _HTML)

    return play


def gone(end: Any, *, arrives: bool) -> Damage:
    """The connection ends without a byte."""

    def play(exchange: Exchange) -> Seen:
        if arrives:
            exchange.forward()
        return Seen(silent=True, end=end)

    return play


def spoilt(spoil: Callable[[Seen], Seen]) -> Damage:
    return lambda exchange: spoil(exchange.forward())


def _half(seen: Seen) -> int:
    """In the middle of the body, never at the end of a line."""
    middle = len(seen.body) // 2
    return middle - 1 if seen.body[middle - 1 : middle] == b"\n" else middle


def _line(seen: Seen) -> int:
    """Behind the first line of several; where there is only one, before it."""
    return 0 if seen.body.count(b"\n") < 2 else seen.body.index(b"\n") + 1


def rewritten(edit: Callable[[bytes], bytes]) -> Damage:
    return spoilt(lambda seen: replace(seen, body=edit(seen.body)))


def retold(edit: Callable[[dict[str, Any]], object]) -> Damage:
    """The reply's JSON object, changed in place; what is none stays."""

    def change(body: bytes) -> bytes:
        try:
            said = json.loads(body)
        except ValueError:
            return body
        if isinstance(said, dict):
            edit(said)
        return json.dumps(said, ensure_ascii=False).encode()

    return rewritten(change)


def _objects(said: dict[str, Any]) -> list[dict[str, Any]]:
    """The object itself, or those of the page that it is."""
    listed = said.get("data")
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else [said]


def _moved(seconds: int, said: dict[str, Any]) -> None:
    from datetime import datetime, timedelta

    for item in _objects(said):
        at = item.get("created_at")
        if isinstance(at, str):
            item["created_at"] = (datetime.fromisoformat(at) + timedelta(seconds=seconds)).isoformat()
        elif at is not None:
            item["created_at"] = at + seconds


def skewed(seconds: int) -> Damage:
    """A host whose clock is off: its ``Date``, and every time that it tells."""
    from email.utils import formatdate, parsedate_to_datetime

    def late(seen: Seen) -> Seen:
        at = parsedate_to_datetime(seen.headers["date"]).timestamp() + seconds if "date" in seen.headers else None
        return replace(seen, headers={**seen.headers, **({"date": formatdate(at, usegmt=True)} if at else {})})

    told = retold(partial(_moved, seconds))
    return lambda exchange: late(told(exchange))


def _strange(said: dict[str, Any]) -> None:
    """Fields of tomorrow, and null where a field of today is not needed."""
    for item in _objects(said):
        item |= {"x_tomorrow": {"deep": [None, 1e400, "\u2028"]}, "expires_at": None, "in_progress_at": "", "cost": -1}


def _lies(said: dict[str, Any]) -> None:
    for item in _objects(said):
        if isinstance(item.get("request_counts"), dict):
            item["request_counts"] = dict.fromkeys(item["request_counts"], 0) | {"processing": 7, "total": 10**12}


def _elsewhere(said: dict[str, Any]) -> None:
    for item in _objects(said):
        item |= {"results_url": "http://127.0.0.1:9/steal", "output_url": "http://127.0.0.1:9/steal"}


def _circle(said: dict[str, Any]) -> None:
    said |= {"has_more": True, "last_id": (said.get("data") or [{"id": "x"}])[-1].get("id")}


def _zipped(seen: Seen) -> Seen:
    return replace(seen, body=gzip.compress(seen.body), headers={**seen.headers, "content-encoding": "gzip"})


def _named(name: str | None) -> Damage:
    return retold(lambda said: [item.update(id=name) for item in _objects(said)])


BEFORE: Mapping[str, Damage] = {
    "408": instead(408),
    "409": instead(409),
    "429": instead(429),
    "429 retry-after": instead(429, retry_after="1"),
    "429 retry-after-ms": instead(429, retry_after_ms="20"),
    "500": instead(500),
    "500 retry-after": instead(500, retry_after="1"),
    "503": instead(503),
    "529": instead(529, x_should_retry="true"),
    "html 502": page(502, arrives=False),
    "reset before": gone("reset", arrives=False),
    "closed before": gone("close", arrives=False),
}
AFTER: Mapping[str, Damage] = {
    "500 after": after(500),
    "529 after": after(529),
    "html 200": page(200, arrives=True),
    "empty 200": spoilt(lambda seen: replace(seen, body=b"")),
    "reset after": gone("reset", arrives=True),
    "closed after": gone("close", arrives=True),
    "reset in the body": spoilt(lambda seen: replace(seen, cut=_half(seen), end="reset")),
    "short, told": spoilt(lambda seen: replace(seen, cut=_half(seen), end="close")),
    "short, inside a line": spoilt(lambda seen: replace(seen, cut=_half(seen), end="close", length="untold")),
    "short, between lines": spoilt(lambda seen: replace(seen, cut=_line(seen), end="close", length="untold")),
    "short, in chunks": spoilt(lambda seen: replace(seen, cut=_half(seen), end="close", length="chunked")),
    "hang": spoilt(lambda seen: replace(seen, silent=True, pause=STALL, end="close")),
    "hang in the body": spoilt(lambda seen: replace(seen, pieces=2, pause=STALL)),
    "null id": _named(None),
    "empty id": _named(""),
    "list": rewritten(lambda body: b"[" + body + b"]"),
    "invalid utf-8": rewritten(lambda body: body[: len(body) // 2] + b"\xff\xfe\x80" + body[len(body) // 2 :]),
    "nul": rewritten(lambda body: body[: len(body) // 2] + b"\x00" + body[len(body) // 2 :]),
}
HARMLESS: Mapping[str, Damage] = {
    "drip": spoilt(lambda seen: replace(seen, pieces=6, pause=0.02)),
    "drip in chunks": spoilt(lambda seen: replace(seen, pieces=6, pause=0.02, length="chunked")),
    "no length": spoilt(lambda seen: replace(seen, length="untold")),
    "gzip": spoilt(_zipped),
    "crlf": rewritten(lambda body: body.replace(b"\n", b"\r\n") + b"\r\n"),
    "blank lines": rewritten(lambda body: b"\n \r\n" + body.replace(b"\n", b"\n\n\t\n") + b"\n\n"),
    "no final newline": rewritten(lambda body: body.rstrip()),
    "clock ahead": skewed(DAYS),
    "clock behind": skewed(-DAYS),
    "unknown fields": retold(_strange),
    "counts lie": retold(_lies),
    "other addresses": retold(_elsewhere),
    "a list in a circle": retold(_circle),
}
ALL: Mapping[str, Damage] = {**BEFORE, **AFTER, **HARMLESS}
LOSES = frozenset(AFTER) - {"null id", "empty id"}
"""Kinds after which it is not known whether a synchronous call was answered, and charged."""
HIDES = frozenset({"500 after", "529 after"})
"""Kinds that say, in the host's own words, that nothing was done: a call that was executed all the same is charged
unseen. No host is known to do so; ``docs/reliability.md`` names it."""
