"""One request through an endpoint: read, answered by a mind, put into shape and priced. Batch and synchronous alike."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from chimera_batch.rehearsal import asks, shapes_anthropic, shapes_openai
from chimera_batch.rehearsal.asks import Heard, Refused
from chimera_batch.rehearsal.talk import Ask, Said
from chimera_batch.rehearsal.tariff import Tariff

Mind = Callable[[Ask], Said]
MESSAGES = "/v1/messages"

_log = logging.getLogger("chimera_batch.rehearsal")


@dataclass(frozen=True, slots=True)
class Errand:
    """One request, wherever it came from."""

    profile: str
    endpoint: str
    custom_id: str
    body: Mapping[str, Any]
    attempt: int
    key: str
    now: int  # seconds since the epoch
    batch: str | None = None  # None for a synchronous call, billed at the full price
    version: str = asks.NO_SAMPLING_SINCE  # anthropic-version


@dataclass(frozen=True, slots=True)
class Done:
    """An executed request: the response body, the bill's line and the fault that its mind planted, if any."""

    body: dict[str, Any]
    line: dict[str, Any]  # a line of billing.jsonl with delivered = True
    planted: str | None
    thought: int  # reasoning tokens


class Clerk:
    """Answers errands. Holds nothing that changes."""

    def __init__(self, mind: Mind, tariff: Tariff, settings: Mapping[str, Any]) -> None:
        self._mind = mind
        self._tariff = tariff
        self._settings = settings
        self._cached_share = float(settings.get("cached_share", 0.0))

    def knows(self, profile: str, model: str) -> bool:
        return self._tariff.knows(profile, model)

    def do(self, errand: Errand) -> Done:
        """Raises Refused, with nothing executed and nothing billed."""
        heard = self._hear(errand)
        ident = hashlib.blake2b(
            f"{errand.key}{errand.attempt}{errand.batch}{errand.custom_id}".encode(), digest_size=16
        ).hexdigest()
        cached = int(heard.input_tokens * self._cached_share)
        if errand.endpoint == "/v1/embeddings":
            said = Said("", None, 0, 0)
            body, usable = shapes_openai.embeddings(heard), True
        else:
            said = _under(heard, self._say(heard, errand))
            body = self._shape(ident, heard, said, errand, cached)
            usable = _usable(heard, said)
        spent, thought = shapes_openai.spent_of(heard, said)
        line = self._line(errand, heard, cached, spent) | {"usable": usable}
        return Done(body, line, said.planted, thought)

    def _hear(self, errand: Errand) -> Heard:
        if errand.endpoint == MESSAGES:
            heard = asks.messages(errand.body, errand.version, self._settings.get("max_tokens"))
            missing = f"model: {heard.model}"
        else:
            heard = asks.READERS[errand.endpoint](errand.body)
            missing = f"The model '{heard.model}' does not exist or you do not have access to it."
        if not self._tariff.knows(errand.profile, heard.model):
            raise Refused(404, missing, code="model_not_found", param=None)
        return heard

    def _say(self, heard: Heard, errand: Errand) -> Said:
        ask = Ask(
            profile=errand.profile,
            model=heard.model,
            system=heard.system,
            user=heard.user,
            schema_name=heard.schema_name,
            schema=heard.schema,
            key=errand.key,
            attempt=errand.attempt,
            max_output_tokens=heard.ceiling,
            settings=self._settings,
        )
        try:
            return self._mind(ask)
        except Exception as error:
            _log.exception("the mind failed on %s", errand.custom_id)
            raise Refused(500, "The server had an error while processing your request.") from error

    def _shape(self, ident: str, heard: Heard, said: Said, errand: Errand, cached: int) -> dict[str, Any]:
        if errand.endpoint == MESSAGES:
            tier = "batch" if errand.batch else "standard"
            return shapes_anthropic.message(ident, heard, said, cached=cached, tier=tier)
        if errand.endpoint == "/v1/responses":
            return shapes_openai.responses(ident, heard, said, errand.now, cached=cached)
        open_host = errand.profile != "openai"
        return shapes_openai.chat(ident, heard, said, errand.now, cached=cached, open_host=open_host)

    def _line(self, errand: Errand, heard: Heard, cached: int, spent: int) -> dict[str, Any]:
        sent, sync = heard.input_tokens, errand.batch is None
        rate = self._tariff.charge(errand.profile, heard.model, sent, sync=sync)
        return {
            "custom_id": errand.custom_id,
            "request_id": errand.key,
            "batch": errand.batch,
            "attempt": errand.attempt,
            "delivered": True,
            "input_tokens": sent,
            "output_tokens": spent,
            "cached_tokens": cached,
            "usd": format(rate.usd(sent - cached, cached, spent), "f"),
            "model": heard.model,
            "profile": errand.profile,
            "sync": sync,
        }


def find_mind() -> Mind:
    """The CHIMERA minds; they follow any other schema too."""
    from chimera_batch.rehearsal import minds  # noqa: PLC0415 - their vocabulary is read on import; tests do without

    return minds.answer


def _under(heard: Heard, said: Said) -> Said:
    """``said`` as far as the ceiling lets it come: reasoning is spent first, the text is what is left."""
    if not heard.think:
        said = replace(said, output_tokens=said.output_tokens - said.reasoning_tokens, reasoning_tokens=0)
    if not shapes_openai.cut(heard, said):
        return said
    left = max(0, heard.ceiling - said.reasoning_tokens)
    visible = max(1, said.output_tokens - said.reasoning_tokens)
    return replace(said, text=said.text[: len(said.text) * left // visible])


def _usable(heard: Heard, said: Said) -> bool:
    """Whether nobody needs to ask again: finished, not refused, not empty, and JSON where JSON was asked for.

    A mind that breaks the schema on purpose says so with a fault whose name starts with "invalid".
    """
    if said.refused or shapes_openai.cut(heard, said) or (said.planted or "").startswith("invalid"):
        return False
    if heard.schema is None:
        return bool(said.text.strip())
    try:
        orjson.loads(said.text)
    except orjson.JSONDecodeError:
        return False
    return True
