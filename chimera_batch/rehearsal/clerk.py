"""One request through an endpoint: read, answered by a mind, put into shape and priced. Batch and synchronous alike."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import orjson

from chimera_batch.rehearsal import asks, flex, names, shapes_anthropic, shapes_openai, upstream, upstream_usage
from chimera_batch.rehearsal.asks import Heard, Refused
from chimera_batch.rehearsal.caches import Caches, Shelf
from chimera_batch.rehearsal.lengths import Lengths
from chimera_batch.rehearsal.talk import Ask, Said
from chimera_batch.rehearsal.tariff import Tariff
from chimera_batch.rehearsal.terms import Terms, Touched
from chimera_batch.rehearsal.upstream import Given, Upstream

Mind = Callable[[Ask], Said]
MESSAGES = "/v1/messages"
EMBEDDINGS = "/v1/embeddings"

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
    shelf: Shelf = field(default_factory=Shelf)  # what is in the prompt cache that this request meets

    @property
    def flex(self) -> bool:
        """A synchronous call at the batch price. In a batch the field says nothing new."""
        return self.batch is None and flex.wanted(self.endpoint, self.body)


@dataclass(frozen=True, slots=True)
class Done:
    """An executed request: the response body, the bill's line and the fault that its mind planted, if any."""

    body: dict[str, Any]
    line: dict[str, Any]  # a line of billing.jsonl with delivered = True
    planted: str | None
    thought: int  # reasoning tokens


class Clerk:
    """Answers errands. Holds nothing that changes. Raises BadSetting."""

    def __init__(self, mind: Mind, tariff: Tariff, settings: Mapping[str, Any], above: Upstream | None = None) -> None:
        self._mind = mind
        self.above = above  # who answers in place of the mind
        self._tariff = tariff
        self._settings = settings
        self._cached_share = float(settings.get("cached_share", 0.0))
        self._lengths = Lengths(settings)
        self._caches = Caches(settings)

    def knows(self, profile: str, model: str) -> bool:
        """Whether there is such a model here; which ones an upstream has, it says itself."""
        return self.above is not None or self._tariff.knows(profile, model)

    def passed(self, errand: Errand, given: Given) -> Done:
        """What the upstream answered, with its own usage. Raises Refused, in its words, where it did not."""
        if given.status != 200:
            raise upstream.refusal(given)
        used = upstream_usage.used(given.body)
        line = self._line(errand, str(errand.body.get("model")), used.sent, Touched(read=used.cached), used.spent)
        usable = upstream_usage.usable(given.body, errand.body)
        return Done(given.body, line | {"usable": usable}, None, used.thought)

    def do(self, errand: Errand) -> Done:
        """Raises Refused, with nothing executed and nothing billed."""
        heard = self._hear(errand)
        ident = hashlib.blake2b(
            f"{errand.key}{errand.attempt}{errand.batch}{errand.custom_id}".encode(), digest_size=16
        ).hexdigest()
        if errand.endpoint == EMBEDDINGS:
            said, terms = Said("", None, 0, 0), Terms("default")  # its usage has no place for cached tokens
            body, usable = shapes_openai.embeddings(heard), True
        else:
            said = _under(heard, self._long(heard, self._say(heard, errand), errand))
            terms = Terms(_tier(errand), self._touched(heard, errand))
            body = _shape(ident, heard, said, errand, terms)
            usable = _usable(heard, said)
        spent, thought = shapes_openai.spent_of(heard, said)
        line = self._line(errand, heard.model, heard.input_tokens, terms.touched, spent) | {"usable": usable}
        return Done(body, line, said.planted, thought)

    def _hear(self, errand: Errand) -> Heard:
        if errand.endpoint == MESSAGES:
            heard = asks.messages(errand.body, errand.version, self._settings.get("max_tokens"))
            missing = f"model: {heard.model}"
        else:
            heard = asks.READERS[errand.endpoint](errand.body)
            missing = f"The model '{heard.model}' does not exist or you do not have access to it."
        if not self.knows(errand.profile, heard.model):
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

    def _long(self, heard: Heard, said: Said, errand: Errand) -> Said:
        """``said`` at the length that the settings give it. A refusal is as short as ever."""
        name = names.TEXT if heard.schema is None else names.schema_name(heard.schema_name, heard.schema) or ""
        drawn = self._lengths.tokens(name, heard.model, errand.key, errand.attempt)
        if not heard.think:
            said = replace(said, output_tokens=said.output_tokens - said.reasoning_tokens, reasoning_tokens=0)
        if drawn is None or said.refused:
            return said
        hidden = max(0, drawn - (said.output_tokens - said.reasoning_tokens)) if heard.think else 0
        return replace(said, output_tokens=drawn, reasoning_tokens=hidden)

    def _touched(self, heard: Heard, errand: Errand) -> Touched:
        """What the prompt cache did for this request."""
        if not self._caches.on:
            return Touched(read=int(heard.input_tokens * self._cached_share))
        anthropic = errand.endpoint == MESSAGES
        marks = self._caches.marks(errand.body, anthropic=anthropic)
        held = errand.shelf.longest(errand.profile, heard.model, marks)
        touched = self._caches.touch(held, marks, errand.key, errand.attempt)
        reports = anthropic or self._tariff.writes(errand.profile, heard.model)
        return touched if reports else Touched(touched.read)

    def _line(self, errand: Errand, model: str, sent: int, touched: Touched, spent: int) -> dict[str, Any]:
        sync, usd = errand.batch is None, Decimal(0)  # an upstream's model without a price: nobody charges for it here
        if self._tariff.knows(errand.profile, model):
            rate = self._tariff.charge(errand.profile, model, sent, sync=sync and not errand.flex)
            usd = rate.usd(touched.fresh(sent), touched.read, spent, touched.write, touched.write_long)
        return {
            "custom_id": errand.custom_id,
            "request_id": errand.key,
            "batch": errand.batch,
            "attempt": errand.attempt,
            "delivered": True,
            "input_tokens": sent,
            "output_tokens": spent,
            "cached_tokens": touched.read,
            "cache_write_tokens": touched.write,
            "cache_write_long_tokens": touched.write_long,
            "usd": format(usd, "f"),
            "model": model,
            "profile": errand.profile,
            "sync": sync,
            "flex": errand.flex,
        }


def find_mind() -> Mind:
    """The CHIMERA minds; they follow any other schema too."""
    from chimera_batch.rehearsal import minds  # noqa: PLC0415 - their vocabulary is read on import; tests do without

    return minds.answer


def _shape(ident: str, heard: Heard, said: Said, errand: Errand, terms: Terms) -> dict[str, Any]:
    if errand.endpoint == MESSAGES:
        return shapes_anthropic.message(ident, heard, said, terms=terms)
    if errand.endpoint == "/v1/responses":
        return shapes_openai.responses(ident, heard, said, errand.now, terms=terms)
    return shapes_openai.chat(ident, heard, said, errand.now, terms=terms, open_host=errand.profile != "openai")


def _tier(errand: Errand) -> str:
    if errand.endpoint == MESSAGES:
        return "batch" if errand.batch else "standard"
    return "flex" if errand.flex else "default"


def _under(heard: Heard, said: Said) -> Said:
    """``said`` as far as the ceiling lets it come: reasoning is spent first, the text is what is left."""
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
