"""The shape of a manifest's stages and models: which keys there are, what each may hold, what it is when left out.

``description`` and ``examples`` are what ``schema`` gives editors and what the manual is built from. Floor 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from chimera_batch.pipeline.shape_values import (
    Effort,
    Factor,
    FileName,
    Fraction,
    Identifier,
    Price,
    Span,
    StageWindow,
    Strict,
    Usd,
    caching,
    says,
)
from chimera_batch.pipeline.stage import Cause
from chimera_batch.records import Caching

BUILT_IN = (
    "openai",
    "anthropic",
    "deepinfra",
    "groq",
    "novita",
    "doubleword",
    "dashscope",
    "bedrock",
    "vllm",
    "ollama",
)
"""Providers that need no entry among `providers`; a test holds them against ``providers/profiles.toml``."""

_Count = Annotated[int, Field(ge=0, le=100)]


def _times(value: Any) -> Any:
    """``invalid: 2`` is short for ``invalid: {times: 2}``."""
    return {"times": value} if isinstance(value, int) and not isinstance(value, bool) else value


class Rule(Strict):
    """How often a request is asked again after one outcome. A number alone means `times`."""

    times: int = Field(ge=0, le=100, description="How often at most; 0: never.")


class TruncatedRule(Rule):
    """What is done about an answer that was cut at its output ceiling. A number alone means `times`."""

    times: int = Field(default=1, ge=0, le=100, description="How often at most; 0: never.")
    ceiling: Factor = Field(
        default=2.0,
        description="The next try's output ceiling, as a multiple of the last one's, up to 16x. 1x: the same again.",
        examples=["2x", "1.5x"],
        json_schema_extra={"default": "2x"},
    )
    pays: bool = Field(default=False, description="Only where a longer try costs less than another usable row.")


Times = Annotated[Rule, BeforeValidator(_times, json_schema_input_type=_Count | Rule)]
_Truncated = Annotated[TruncatedRule, BeforeValidator(_times, json_schema_input_type=_Count | TruncatedRule)]


class Retry(Strict):
    """How often a request is asked again after each outcome.

    `transient`, `expired` and `cancelled` cost no attempt; their number is a cap against looping for ever.
    """

    truncated: _Truncated = Field(default=TruncatedRule(), description="Cut at the output ceiling: once, with 2x.")
    invalid: Times = Field(default=Rule(times=1), description="The answer does not fit the schema: once.")
    error: Times = Field(default=Rule(times=0), description="The endpoint refused the request itself: it would again.")
    refused: Times = Field(default=Rule(times=0), description="The model declined: never, unless you say so.")
    missing: Times = Field(default=Rule(times=2), description="The provider's files hold no line of it: twice.")
    transient: Times = Field(default=Rule(times=5), description="408, 429, 5xx, overload, time-outs: a cap.")
    expired: Times = Field(default=Rule(times=5), description="The batch ran out of its window: a cap.")
    cancelled: Times = Field(default=Rule(times=5), description="The batch was cancelled before its turn: a cap.")


class Rounds(Strict):
    """The rows query is repeated over closed rounds until the `until` query says enough, at most `max` times."""

    max: int = Field(ge=1, le=1000, description="Most rounds.", examples=[6])
    until: FileName | None = Field(
        default=None,
        description="A query below sql/ with one boolean: is it enough?",
        examples=["chimera/topics_enough.sql"],
    )
    after: Identifier | None = Field(
        default=None,
        description="A later stage whose table a further round waits for; both queries read it as `kept` (waves).",
        examples=["dataset"],
    )
    sized_by: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="Params that only say how many rows a round asks for; changing one leaves closed rounds alone.",
    )


class Assume(Strict):
    """What the estimate may assume while nothing is measured yet."""

    rows: int | None = Field(default=None, ge=0, description="Rows of the stage.", examples=[100])
    rows_per: dict[str, Annotated[float, Field(gt=0, le=1e9, strict=False)]] = Field(
        default_factory=dict,
        max_length=1,
        description="Rows for each row of one stage above.",
        examples=[{"problems": 1}],
    )
    input_tokens: int | None = Field(default=None, ge=0, description="Of one request.", examples=[900])
    output_tokens: int | None = Field(default=None, ge=0, description="Of one answer, reasoning included.")
    kept: Annotated[Fraction, Field(strict=False)] = Field(
        default=1.0, description="Share of the answers that end as rows of the table.", examples=[0.9]
    )


class Fallback(Strict):
    """When a stage goes on with the next of its models: only what is not answered by then is asked there."""

    on: tuple[Cause, ...] = Field(
        default=("no_gpu", "out_of_memory", "crash"), strict=False, description="What makes it go on."
    )
    within: Span | None = Field(default=None, description="Time that a model has for the stage.", examples=["12h"])
    usd_per_request: Annotated[Price, Field(strict=False)] | None = Field(
        default=None, description="Most USD that one request may cost at a model of an hourly price."
    )


class ModelChoice(Strict):
    """How a model is asked. Of several choices a stage asks the first, or with `route: cheapest` the cheapest."""

    provider: Identifier = Field(description="A built-in provider, or a name among `providers`.", examples=[*BUILT_IN])
    model: str = Field(min_length=1, max_length=200, description="The model's name there.", examples=["gpt-6-luna"])
    endpoint: str | None = Field(
        default=None, pattern=r"^/v1/[a-z/_]+$", description="The API path; the provider's first unless said.",
        examples=["/v1/responses", "/v1/chat/completions", "/v1/embeddings", "/v1/messages"],
        json_schema_extra=says("a path such as /v1/chat/completions"),
    )  # fmt: skip
    effort: Effort | None = Field(
        default=None, description="How long it reasons, where it can be told; none: not at all."
    )
    temperature: float | None = Field(default=None, ge=0, le=2, strict=False, description="Sampling temperature.")
    top_p: float | None = Field(default=None, gt=0, le=1, strict=False, description="Nucleus sampling.")
    top_k: int | None = Field(default=None, ge=1, description="Sampling from the k likeliest tokens.")
    max_output_tokens: int = Field(default=16_000, ge=1, description="Ceiling of one answer, reasoning included.")
    cache: Annotated[Caching, BeforeValidator(caching)] = Field(
        default=False, description="Mark the shared beginning for the prompt cache; auto: while what is measured pays."
    )
    assume_output_tokens: int | None = Field(
        default=None, ge=0, description="Of one answer, for the estimate, where the models of a stage differ."
    )
    context_tokens: int | None = Field(default=None, ge=1, description="Most tokens of prompt and answer together.")
    extra: dict[str, Any] = Field(
        default_factory=dict, description="Further fields of the request's body, as the host's documentation has them."
    )


class AskStage(Strict):
    """A stage that asks a model: rows → prompt → answers → table."""

    name: Identifier = Field(description="The stage's name, and its table's.", examples=["drafts"])
    ask: str = Field(description="Which of `models` is asked.", examples=["author"])
    prompt: FileName = Field(description="The template, below prompts/.", examples=["chimera/topics.md"])
    rows: FileName = Field(description="The query, below sql/, that says what to ask about: one row, one request.",
                           examples=["chimera/topics_rows.sql"])  # fmt: skip
    schema_: FileName | None = Field(
        default=None, alias="schema", description="The form of the answer, below prompts/. Without it: free text.",
        examples=["chimera/topics.json"],
    )  # fmt: skip
    table: FileName | None = Field(
        default=None, description="The query, below sql/, that makes the table. Without it: each ok answer is a row.",
        examples=["chimera/topics.sql"],
    )  # fmt: skip
    samples: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="How often each row is asked. Without a table query the second answer is a row of its own, key-2.",
    )
    rounds: Rounds | None = Field(default=None, description="Ask again, over what came back, until it is enough.")
    window: StageWindow | None = Field(
        default=None,
        description="How long a batch may take; now: asked at once, dearer; flex: at once at the batch price.",
        examples=["24h", "now", "flex"],
    )
    route: Literal["first", "cheapest"] = Field(
        default="first", description="Which of several models is asked: the first that can be had, or the cheapest."
    )
    fallback: Fallback | None = Field(default=None, description="When the stage goes on with the next of its models.")
    assume: Assume = Field(default=Assume(), description="For the estimate, until something is measured.")
    retry: Retry = Field(default=Retry(), description="How often a request is asked again, by outcome.")
    budget_usd: Annotated[Usd, Field(strict=False)] | None = Field(
        default=None, description="Most USD that this stage may cost, within the run's budget.", examples=[25]
    )
    canary: int | None = Field(
        default=None, ge=0, description="Requests that go ahead of the rest, to see whether it works; 0: none."
    )
    breaker: float = Field(
        default=0.5,
        ge=0,
        le=1,
        strict=False,
        description="The stage stops while fewer of its answers than this are ok; 0: never.",
    )


class SqlStage(Strict):
    """A stage that asks nobody: tables → table."""

    name: Identifier = Field(description="The stage's name, and its table's.", examples=["dataset"])
    sql: FileName = Field(description="The query, below sql/.", examples=["chimera/dataset.sql"])


class FileStage(Strict):
    """A table from files of your own: JSON lines, JSON, CSV or Parquet."""

    name: Identifier = Field(description="The stage's name, and its table's.", examples=["reviews"])
    file: str = Field(
        min_length=1, max_length=1000, description="The file, or a pattern for several.", examples=["data/*.jsonl"]
    )
    key: str | None = Field(
        default=None, min_length=1, max_length=200, description="The column that is the row key. Without it: a number."
    )


class FromStage(Strict):
    """A table that another run of the same store has made."""

    name: Identifier = Field(description="The stage's name, and its table's.", examples=["problems"])
    from_: str = Field(
        alias="from",
        pattern=r"^[a-z0-9][a-z0-9._-]*/[a-z][a-z0-9_]*$",
        json_schema_extra=says("a run, a slash, a table of it, such as chimera-9k/dataset"),
        max_length=120,
        description="`run/table`.",
        examples=["chimera-9k/dataset"],
    )


KINDS = ("ask", "sql", "file", "from")


def _kind(value: Any) -> str | None:
    said = [kind for kind in KINDS if isinstance(value, Mapping) and kind in value]
    return f"<{said[0]}>" if len(said) == 1 else None  # the tag becomes a step of error locations: no key is spelt so


StageEntry = Annotated[
    Annotated[AskStage, Tag("<ask>")]
    | Annotated[SqlStage, Tag("<sql>")]
    | Annotated[FileStage, Tag("<file>")]
    | Annotated[FromStage, Tag("<from>")],
    Discriminator(
        _kind, custom_error_type="kind", custom_error_message="a stage has one of `ask`, `sql`, `file` and `from`"
    ),
]
