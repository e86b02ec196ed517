"""What a failure means: which of ``errors.py`` it becomes, and whether a row may simply be asked again. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from chimera_batch.endpoints.usage import part
from chimera_batch.errors import AccountRefused, MaybeCreated, ProviderDown, ProviderError, ProviderRefused

_PASSING_STATUS = {0, 408, 409, 425, 429}
_GIVEN_UP = {None, 200, 408, 502, 504, 524}  # no reply, or one of something on the way that stopped waiting for it
_PASSING_CODES = {
    "request_timeout",
    "server_error",
    "internal_error",
    "rate_limit_exceeded",
    "overloaded_error",
    "api_error",
    "rate_limit_error",
    "timeout_error",
    "ThrottlingException",  # from here on AWS's own words
    "ServiceQuotaExceededException",
    "InternalServerException",
    "ServiceUnavailableException",
    "ModelTimeoutException",
    "ModelNotReadyException",
    "RequestTimeout",
    "SlowDown",
}
_FULL_CODES = {"ServiceQuotaExceededException"}  # as many jobs as the account may have are waiting
_ACCOUNT_STATUS = {401, 402, 403}
_ACCOUNT_CODES = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "account_deactivated",
    "invalid_api_key",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_available_for_plan",
    "AccessDeniedException",
    "ExpiredTokenException",
    "ExpiredToken",
    "UnrecognizedClientException",
}
_LONGEST_MESSAGE = 500  # a gateway's page of HTML is not for a person's terminal


@dataclass(frozen=True, slots=True)
class Fault:
    """One failed exchange without any SDK's types. ``status`` None: no usable reply came back."""

    message: str
    status: int | None = None
    code: str | None = None  # the provider's code, else its error type
    retry_after: float | None = None  # seconds
    sent: bool = True  # False: certain that the request never left this machine

    @property
    def account(self) -> bool:
        """Hits every request of this account: key, permission, billing, quota."""
        return is_account(self.status, self.code, self.message)

    @property
    def passing(self) -> bool:
        """May pass by itself."""
        if self.account:
            return False
        return self.status is None or self.status == 200 or is_passing(self.status, self.code)

    @property
    def full(self) -> bool:
        """The host's queue is full: it takes more when something of ours has left it."""
        return self.code in _FULL_CODES

    @property
    def lost(self) -> bool:
        """It was sent and no usable reply of the host's own came back: it may have been done."""
        return self.sent and self.status in _GIVEN_UP


def is_account(status: int | None, code: str | None, message: str) -> bool:
    """Whether a failure of this kind would hit every request that the account sends."""
    return status in _ACCOUNT_STATUS or code in _ACCOUNT_CODES or "credit balance is too low" in message.lower()


def is_passing(status: int | None, code: str | None) -> bool:
    """Whether the same request may succeed later. Quota and billing are not passing: see is_account."""
    if code in _ACCOUNT_CODES:
        return False
    return code in _PASSING_CODES or (status is not None and (status in _PASSING_STATUS or status >= 500))


def told(body: object) -> tuple[str | None, str | None]:
    """(code, message) out of an error body in any of the shapes seen: OpenAI, Anthropic, vLLM, a bare string."""
    if isinstance(body, str):
        return None, _short(body) or None
    if not isinstance(body, Mapping):
        return None, None
    inner = part(body, "error") or body
    if part(inner, "error"):  # vLLM wraps the error once more
        inner = part(inner, "error")
    if isinstance(body.get("error"), str):
        return None, _short(body["error"])
    code, message = inner.get("code") or inner.get("type"), inner.get("message")
    text = message if isinstance(message, str) else json.dumps(message) if message else None
    return (str(code) if code else None), (_short(text) if text else None)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_MESSAGE else line[:_LONGEST_MESSAGE] + " …"


def without(secret: str, fault: Fault) -> Fault:
    """The fault with the key taken out, should a host or a gateway have echoed it."""
    return replace(fault, message=fault.message.replace(secret, "***")) if secret else fault


def as_error(fault: Fault, doing: str) -> ProviderError:
    """The error of a call that may be repeated without harm. ``doing``: "openai: polling batch_1"."""
    said = f"{doing}: {fault.message}"
    if fault.account:
        return AccountRefused(said, hint="check the key, its permissions, and the account's billing and quota")
    if fault.passing:
        down = ProviderDown(said, retry_after=fault.retry_after, hint="wait and run again", lost=fault.lost)
        down.full = fault.full
        return down
    hint = "check base_url" if fault.status is not None and fault.status < 400 else None
    return ProviderRefused(said, status=fault.status or 0, code=fault.code, hint=hint)


def as_create_error(fault: Fault, doing: str) -> ProviderError:
    """The error of a create, which must never be sent twice unless it is certain that nothing was created."""
    if fault.account or not fault.sent or fault.status == 429:
        return as_error(fault, doing)
    if fault.status is None or fault.status in {200, 408, 409} or fault.status >= 500:
        return MaybeCreated(
            f"{doing}: {fault.message}", hint="run again: the batch is looked up before anything is sent"
        )
    return as_error(fault, doing)


def json_object(data: bytes) -> dict[str, Any]:
    """Bytes as one JSON object. Raises ValueError for anything else.

    orjson refuses half a surrogate pair (an answer cut inside an emoji); such an answer was paid for, so it is read
    the slow way and the half becomes U+FFFD.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        value = _mended(json.loads(data.decode("utf-8"), parse_int=_whole))
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, found {type(value).__name__}")
    return value


def _whole(digits: str) -> int | float:
    """As orjson has it, which gives up on what no float holds: what 64 bits do not hold is a float."""
    whole = int(digits)
    try:
        return whole if -(1 << 63) <= whole < 1 << 64 else float(whole)
    except OverflowError:
        return whole


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_mended(inner) for inner in value]
    if isinstance(value, dict):
        return {_mended(key): _mended(inner) for key, inner in value.items()}
    return value
