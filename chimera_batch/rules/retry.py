"""Whether a request is asked again, and with which output ceiling. Pure.

Expiry, cancellation and passing errors cost no attempt (they have a generous cap of their own, so that nothing loops
for ever); a truncated answer is asked again with a larger ceiling; a refusal never.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from chimera_batch.pipeline.project import Rule
from chimera_batch.records import Outcome

State = Literal["answered", "retryable", "given_up"]


Pays = Callable[[int, int], bool]
"""(output tokens that were not enough, output tokens of a longer try) -> whether the longer try is worth its price."""


@dataclass(frozen=True, slots=True)
class History:
    """What became of one request so far. ``counts`` by outcome, passing errors under "transient"."""

    ok: bool
    last: Outcome
    last_transient: bool
    last_ceiling: int  # output tokens
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Choice:
    state: State
    ceiling: int  # output tokens of the next asking; meaningful when retryable


def always(tried: int, most: int) -> bool:
    """Every longer try that the rule allows is made."""
    return True


def choose(history: History, rules: Mapping[str, Rule], ceiling: int, *, pays: Pays = always) -> Choice:
    """Decide for one request whose stage now asks with ``ceiling`` output tokens."""
    if history.ok:
        return Choice("answered", ceiling)
    if history.last == "truncated":
        return _truncated(history, rules["truncated"], ceiling, pays)
    cause = "transient" if history.last == "error" and history.last_transient else history.last
    tried = history.counts.get(cause, 0)
    if tried > rules[cause].times:
        return Choice("given_up", ceiling)
    # room that an earlier, truncated answer made necessary stays when the larger asking expired or failed
    room = max(ceiling, history.last_ceiling) if history.counts.get("truncated") else ceiling
    return Choice("retryable", room)


def _truncated(history: History, rule: Rule, ceiling: int, pays: Pays) -> Choice:
    if history.last_ceiling < ceiling:  # the manifest allows more now: that is a new question of length
        return Choice("retryable", ceiling)
    tried, room = history.counts.get("truncated", 0), max(ceiling, history.last_ceiling)
    if tried <= rule.times and pays(room, int(room * rule.factor)):
        return Choice("retryable", int(room * rule.factor))
    return Choice("given_up", ceiling)
