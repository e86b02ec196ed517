"""How an adapter calls its SDK: one place where the SDKs' and the transport's exceptions become faults.

Both SDKs are made by the same generator on httpx2, so one reading of their exceptions serves both. The SDKs' own
retries are off (they would send a create twice, and sleep where a test cannot look); the patience here replaces them.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import httpx2

from chimera_batch.providers import faults
from chimera_batch.providers.faults import Fault
from chimera_batch.records import BatchState

T = TypeVar("T")

_CONNECT = 10.0
ORDINARY = httpx2.Timeout(120.0, connect=_CONNECT)
UPLOAD = httpx2.Timeout(300.0, connect=_CONNECT)  # per read or write, not for the whole of 190 MB
DOWNLOAD = httpx2.Timeout(60.0, connect=_CONNECT)
ASK = httpx2.Timeout(1200.0, connect=_CONNECT)  # a long answer arrives as one reply, all at the end

_LONGEST_ID = 120  # characters of an id as a file's name; file systems take 255 bytes, endings included
_ID = re.compile(rf"[A-Za-z0-9_-][A-Za-z0-9._-]{{0,{_LONGEST_ID - 1}}}")

TRIES = 5
LONGEST_WAIT = 60.0  # a longer retry-after is the caller's to sleep through
_TRANSPORT = (httpx2.HTTPError, httpx2.StreamError, ValueError)  # ValueError: a reply that does not parse
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


class SaidError(ValueError):
    """A reply whose body says that something is wrong, or is no reply to be read."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def if_passing(fault: Fault) -> bool:
    return fault.passing


def if_passing_or_404(fault: Fault) -> bool:
    """For reading a batch that is known to exist: real hosts answer 404 now and then, above all right after create."""
    return fault.passing or fault.status == 404


def _if_surely_not_answered(fault: Fault) -> bool:
    """For synchronous calls: a lost reply may have been paid for, so only what was surely not answered is repeated."""
    return fault.passing and not fault.lost


def never(fault: Fault) -> bool:
    return False


def fault_of(error: Exception) -> Fault:
    """An exception of either SDK or of the transport beneath as a fault."""
    said = error if isinstance(error, SaidError) else error.__cause__  # the SDKs wrap what their client raises
    if isinstance(said, SaidError):
        return said.fault
    if isinstance(error, ValueError) and not hasattr(error, "request"):
        return Fault(f"the reply is not what the API gives ({error})", status=200)
    response = getattr(error, "response", None)
    if isinstance(response, httpx2.Response) and response.status_code >= 300:
        return refusal(response, getattr(error, "body", None))
    cause = error.__cause__ or error
    text = str(cause) or type(cause).__name__
    return Fault(f"no reply ({type(cause).__name__}: {text})", sent=not isinstance(cause, _NOT_SENT))


def refusal(response: httpx2.Response, body: object) -> Fault:
    """A reply of status 300 and above as a fault; ``body``: what it says, parsed where it could be."""
    code, message = faults.told(body)
    status = response.status_code
    said = f"HTTP {status}" + (f": {message}" if message else "")
    return Fault(said, status=status, code=code, retry_after=retry_after(response.headers))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from either header that the providers send; a date in ``retry-after`` is left to the back-off."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < 86_400:
            return seconds
    return None


def delay(attempt: int, retry_after: float | None = None) -> float:
    """Seconds before try ``attempt`` + 1 (counted from 0): what the host asked for, else 0.5, 1, 2, 4, 8, 8, …"""
    return min(retry_after, LONGEST_WAIT) if retry_after is not None else min(0.5 * 2**attempt, 8.0)


@dataclass(frozen=True, slots=True)
class Caller:
    """Calls of one host. ``caught`` is what the SDK may raise; ``secret`` is kept out of every message."""

    host: str
    caught: tuple[type[Exception], ...]
    secret: str
    sleep: Callable[[float], None] = time.sleep
    read: Callable[[Exception], Fault] = fault_of  # what a failure says

    def attempt(self, call: Callable[[], T]) -> T | Fault:
        """Once; the failure as a value."""
        caught: tuple[type[Exception], ...] = (*self.caught, *_TRANSPORT)
        try:
            return call()
        except caught as error:
            return faults.without(self.secret, self.read(error))

    def settle(self, call: Callable[[], T], again: Callable[[Fault], bool]) -> T | Fault:
        """Until it works, fails in a way that ``again`` does not name, or TRIES are used up."""
        got = self.attempt(call)
        for tried in range(TRIES - 1):
            if not isinstance(got, Fault) or not again(got) or (got.retry_after or 0) > LONGEST_WAIT:
                break
            self.sleep(delay(tried, got.retry_after))
            got = self.attempt(call)
        return got

    def patiently(self, doing: str, call: Callable[[], T], again: Callable[[Fault], bool] = if_passing) -> T:
        """For calls that may be repeated without harm. Raises ProviderDown, ProviderRefused or AccountRefused."""
        got = self.settle(call, again)
        if isinstance(got, Fault):
            raise faults.as_error(got, f"{self.host}: {doing}")
        return got

    def create(self, doing: str, call: Callable[[], T], again: Callable[[Fault], bool] = never) -> T:
        """Once. ``again`` names the refusals that are certain to have created nothing and to pass by themselves.

        Raises MaybeCreated, ProviderRefused, AccountRefused, or ProviderDown where nothing was created.
        """
        got = self.settle(call, again)
        if isinstance(got, Fault):
            raise faults.as_create_error(got, f"{self.host}: {doing}")
        return got

    def ask(self, doing: str, call: Callable[[], T]) -> T | Fault:
        """A synchronous, paid call: the answer, or the fault that refused this one request for good.

        Raises ProviderDown and AccountRefused.
        """
        got = self.settle(call, _if_surely_not_answered)
        if isinstance(got, Fault) and (got.account or got.passing):
            raise faults.as_error(got, f"{self.host}: {doing}")
        return got


def cancel(caller: Caller, batch_id: str, send: Callable[[], None], state: Callable[[str], BatchState]) -> None:
    """Cancel; a batch that is over already is fine, though hosts refuse that with 400 or 409."""
    got = caller.settle(send, lambda fault: fault.passing and fault.status != 409)
    if isinstance(got, Fault):
        if got.status in {400, 409} and state(batch_id).phase != "working":
            return
        raise faults.as_error(got, f"{caller.host}: cancelling {batch_id}")


def safe_name(handle: str) -> str:
    """A provider's id as a path segment; ids are opaque, and a path is not. Different ids have different names."""
    if _ID.fullmatch(handle):
        return handle
    digest = hashlib.sha256(handle.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', handle)[: _LONGEST_ID - 17]}-{digest}"
