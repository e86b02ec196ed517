"""Which of the models that a stage allows is asked: the first, or the one whose request should cost least. Pure.

Prices move, and answers are shared inside one realm only: so a run that has begun with a model stays with it. Floor 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from math import ceil

from chimera_batch.cost import tokens
from chimera_batch.cost.prices import Price
from chimera_batch.cost.stagefacts import INPUT_TOKENS
from chimera_batch.history.facts import Facts
from chimera_batch.pipeline.stage import Hint, Stage
from chimera_batch.records import Call, Usage

_EMBEDDINGS = "/v1/embeddings"


@dataclass(frozen=True, slots=True)
class Ranked:
    """One model of a stage. ``usd``: what one request is expected to cost; None where no price is known.

    ``passed_over``: why it is not asked, although it may be cheaper; None if it could be. Where no model has its key,
    the choice is made as if all had, so that an estimate needs none.
    """

    call: Call
    usd: Decimal | None
    passed_over: str | None = None
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the models from elsewhere: prices, and what stands against asking one of them now."""

    price: Callable[[Call], Price | None]
    obstacle: Callable[[Call], str | None]
    no_key: Callable[[Call], str | None]
    begun: Call | None = None  # the run has asked this one already


def rank(stage: Stage, known: Known) -> tuple[Ranked, ...]:
    """The models of a stage: the chosen one, then the others from cheap to dear, then those that are passed over.

    None is chosen where none can be asked.
    """
    hints = stage.hints or (Hint(),) * len(stage.calls)
    fits = sorted((_ranked(*pair, stage, known) for pair in zip(stage.calls, hints, strict=True)), key=_order)
    keyed = [replace(one, passed_over=one.passed_over or known.no_key(one.call)) for one in fits]
    best = known.begun or _best(keyed) or _best(fits)
    return tuple(sorted((replace(one, chosen=one.call == best) for one in sorted(keyed, key=_order)), key=_later))


def _order(one: Ranked) -> tuple[bool, Decimal]:
    return one.passed_over is not None, Decimal("Infinity") if one.usd is None else one.usd


def _later(one: Ranked) -> bool:
    return not one.chosen


def _best(found: list[Ranked]) -> Call | None:
    return next((one.call for one in found if one.passed_over is None), None)


def _ranked(call: Call, hint: Hint, stage: Stage, known: Known) -> Ranked:
    given, made = expected(stage, call, hint)
    price = known.price(call)
    usd = price.cost(Usage(given, output_tokens=made), batch=stage.batch_priced) if price else None
    why = known.obstacle(call) or (None if price else "no price is known for it") or _too_long(call, hint, given, made)
    return Ranked(call, usd, why)


def expected(stage: Stage, call: Call, hint: Hint) -> tuple[int, int]:
    """Input and output tokens of one request, as this model counts them.

    The stage's ``assume`` counts tokens of the first model; one with another tokenizer makes more or fewer of a text.
    """
    if call.endpoint == _EMBEDDINGS:
        return _scaled(stage, call, _input(stage)), 0
    made = hint.output_tokens
    if made is None and stage.assume.output_tokens is not None:
        made = _scaled(stage, call, stage.assume.output_tokens)
    return _scaled(stage, call, _input(stage)), call.max_output_tokens if made is None else made


def _input(stage: Stage) -> int:
    return INPUT_TOKENS if stage.assume.input_tokens is None else stage.assume.input_tokens


def _scaled(stage: Stage, call: Call, count: int) -> int:
    return ceil(count * _factor(call) / _factor(stage.calls[0]))


def _factor(call: Call) -> Fraction:
    return tokens.counter(call.model).factor or Fraction(1)


def _too_long(call: Call, hint: Hint, given: int, made: int) -> str | None:
    """Why a request and its answer do not fit: half of the answers would be cut and asked again."""
    if made > call.max_output_tokens and call.endpoint != _EMBEDDINGS:
        return f"{made:,} output tokens are expected, its max_output_tokens is {call.max_output_tokens:,}"
    if hint.context_tokens is not None and given + call.max_output_tokens > hint.context_tokens:
        both = f"{given:,} of input and up to {call.max_output_tokens:,} of output"
        return f"{both} are more than its context of {hint.context_tokens:,} tokens"
    return None


def begun(facts: Facts, run: str, stage: Stage) -> Call | None:
    """The model that a run has asked for this stage already, the last one if several.

    A run whose table was made without asking anybody took the answers of another run: then that run's model.
    """
    for whose in (run, None) if (run, stage.name) in facts.tables else (run,):
        asked = [
            (attempt.at, shard.id, shard)
            for shard, attempt in facts.attempts(whose)
            if attempt.stage == stage.name and attempt.stand != "dropped"
        ]
        for _, _, shard in sorted(asked, key=lambda one: one[:2], reverse=True):
            same = [call for call in stage.calls if (call.provider, call.model) == (shard.provider, shard.model)]
            if same:  # of two ways to ask one model, the one whose shard it looks like
                return max(
                    same, key=lambda call: (call.endpoint, call.max_output_tokens) == (shard.endpoint, shard.ceiling)
                )
    return None


def first(stage: Stage, ranked: tuple[Ranked, ...]) -> Stage:
    """The stage with the chosen model in front; the others keep their order, so that prices change nothing else."""
    chosen = next((one.call for one in ranked if one.chosen), None)
    return stage if chosen is None else in_front(stage, chosen)


def in_front(stage: Stage, chosen: Call) -> Stage:
    """The stage with one of its models in front."""
    order = sorted(range(len(stage.calls)), key=lambda place: stage.calls[place] != chosen)
    hints = tuple(stage.hints[place] for place in order) if stage.hints else ()
    return replace(stage, calls=tuple(stage.calls[place] for place in order), hints=hints)
