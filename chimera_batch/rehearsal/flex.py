"""Flex processing: synchronous calls at the batch price, where there is capacity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from chimera_batch.rehearsal.asks import Refused
from chimera_batch.rehearsal.chance import uniforms
from chimera_batch.rehearsal.knobs import DEFAULTS, number, section

_MESSAGE = "Flex processing has no capacity for this request now. Try again later, or with another service tier."


class Flex:
    """``settings["flex"]``. Raises BadSetting. Not safe for several threads at once: the desk asks one by one."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        told = section(settings, "flex") or DEFAULTS["flex"]
        self._refuse = number(told["refuse"], "flex.refuse", most=1)
        self._seed = settings.get("seed", 0)
        self._asked: Counter[str] = Counter()  # a call that is sent again draws again

    def admit(self, key: str) -> None:
        """Raises Refused, with nothing executed, for the share that finds no capacity."""
        self._asked[key] += 1
        if uniforms(self._seed, "flex", key, self._asked[key])[0] < self._refuse:
            raise Refused(429, _MESSAGE, code="resource_unavailable")


def wanted(endpoint: str, body: Mapping[str, Any]) -> bool:
    """Whether a synchronous call asks for it; Anthropic has no such tier."""
    return not endpoint.startswith("/v1/messages") and body.get("service_tier") == "flex"
