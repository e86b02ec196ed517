"""The shape of a manifest: which keys there are, what each may hold, and what it is when left out. Floor 1."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from chimera_batch.records import Caching
from chimera_batch.stage import Cause

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)]
Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=48)]


def _not_flex(value: Any) -> Any:
    if value == "flex":
        raise PydanticCustomError("window", "flex is for single stages: write `window: flex` at a stage")
    return value


Window = Annotated[str, BeforeValidator(_not_flex), Field(pattern=r"^(now|[1-9][0-9]*[mhd])$")]
StageWindow = Annotated[str, Field(pattern=r"^(now|flex|[1-9][0-9]*[mhd])$")]
Usd = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=6)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


def _inside(name: str) -> str:
    """A path below prompts/ or sql/: relative, with ``/``, never climbing out."""
    parts = name.split("/")
    if not name or "\\" in name or ":" in name or any(part in {"", ".", ".."} for part in parts):
        raise PydanticCustomError("path", "must be a path below prompts/ or sql/, such as chimera/topics.md")
    return name


FileName = Annotated[str, BeforeValidator(lambda value: _inside(value) if isinstance(value, str) else value)]


class Strict(BaseModel):
    """No unknown keys and no silent conversions; remembers which model judged which mapping, for suggestions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _remember(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(info.context, dict):
            info.context[id(value)] = cls
        return value


def _factor(value: Any) -> Any:
    """``2x`` as 2.0."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)x", value) if isinstance(value, str) else None
    if not match:
        raise PydanticCustomError("ceiling", "must be a factor such as 2x")
    return float(match[1])


def _times(value: Any) -> Any:
    """``invalid: 2`` is short for ``invalid: {times: 2}``."""
    return {"times": value} if isinstance(value, int) and not isinstance(value, bool) else value


def _caching(value: Any) -> Any:
    if isinstance(value, bool) or value == "auto":
        return value
    raise PydanticCustomError("caching", "must be true, false or auto")


class Rule(Strict):
    times: int = Field(ge=0, le=100)


class TruncatedRule(Rule):
    times: int = Field(default=1, ge=0, le=100)
    ceiling: Annotated[float, BeforeValidator(_factor), Field(ge=1, le=16)] = 2.0  # 1x: the same again, blindly
    pays: bool = False  # only where a longer try costs less than another usable row


Times = Annotated[Rule, BeforeValidator(_times)]


class Retry(Strict):
    """How often a request is asked again after each outcome.

    ``transient``, ``expired`` and ``cancelled`` cost no attempt; their number is a cap against looping for ever.
    """

    truncated: Annotated[TruncatedRule, BeforeValidator(_times)] = TruncatedRule()
    invalid: Times = Rule(times=1)
    error: Times = Rule(times=0)  # a definite refusal by the endpoint: the same question fails the same way
    refused: Times = Rule(times=0)
    missing: Times = Rule(times=2)
    transient: Times = Rule(times=5)  # 408, 429, 5xx, overload, time-outs
    expired: Times = Rule(times=5)
    cancelled: Times = Rule(times=5)


class Rounds(Strict):
    """The rows query is repeated over closed rounds until the ``until`` query says enough, at most ``max`` times.

    ``after``: a later stage whose table a further round waits for; both queries then read it as ``kept`` (waves).
    ``sized_by``: params that only say how many rows a round asks for; changing one leaves closed rounds as they are.
    """

    max: int = Field(ge=1, le=1000)
    until: FileName | None = None
    after: Identifier | None = None
    sized_by: tuple[str, ...] = Field(default=(), strict=False)


class Assume(Strict):
    """What the estimate may assume while nothing is measured yet."""

    rows: int | None = Field(default=None, ge=0)
    rows_per: dict[str, Annotated[float, Field(gt=0, strict=False)]] = Field(default_factory=dict, max_length=1)
    input_tokens: int | None = Field(default=None, ge=0)
    output_tokens: int | None = Field(default=None, ge=0)
    kept: Annotated[Fraction, Field(strict=False)] = 1.0


class Fallback(Strict):
    """When a stage goes on with the next of its models: only what is not answered by then is asked there."""

    on: tuple[Cause, ...] = Field(default=("no_gpu", "out_of_memory", "crash"), strict=False)
    within: str | None = Field(default=None, pattern=r"^[1-9][0-9]*[mhd]$")
    usd_per_request: Annotated[Usd, Field(strict=False, gt=0)] | None = None


class ModelChoice(Strict):
    """How a model is asked. Of several choices a stage asks the first, or with ``route: cheapest`` the cheapest."""

    provider: Identifier
    model: str = Field(min_length=1, max_length=200)
    endpoint: str | None = Field(default=None, pattern=r"^/v1/[a-z/_]+$")
    effort: Effort | None = None
    temperature: float | None = Field(default=None, ge=0, le=2, strict=False)
    top_p: float | None = Field(default=None, gt=0, le=1, strict=False)
    top_k: int | None = Field(default=None, ge=1)
    max_output_tokens: int = Field(default=16_000, ge=1)
    cache: Annotated[Caching, BeforeValidator(_caching)] = False
    assume_output_tokens: int | None = Field(default=None, ge=0)
    context_tokens: int | None = Field(default=None, ge=1)
    extra: dict[str, Any] = Field(default_factory=dict)


class AskStage(Strict):
    name: Identifier
    ask: str
    prompt: FileName
    rows: FileName
    schema_: FileName | None = Field(default=None, alias="schema")
    table: FileName | None = None
    samples: int = Field(default=1, ge=1, le=1000)
    rounds: Rounds | None = None
    window: StageWindow | None = None
    route: Literal["first", "cheapest"] = "first"
    fallback: Fallback | None = None
    assume: Assume = Assume()
    retry: Retry = Retry()
    budget_usd: Annotated[Usd, Field(strict=False)] | None = None
    canary: int | None = Field(default=None, ge=0)
    breaker: float = Field(default=0.5, ge=0, le=1, strict=False)


class SqlStage(Strict):
    name: Identifier
    sql: FileName


class FileStage(Strict):
    """A table from files of a person's: JSON lines, JSON, CSV or Parquet. ``key``: the column that is its row key."""

    name: Identifier
    file: str = Field(min_length=1, max_length=1000)
    key: str | None = Field(default=None, min_length=1, max_length=200)


class FromStage(Strict):
    """A table that another run of the same store has made: ``run/table``."""

    name: Identifier
    from_: str = Field(alias="from", pattern=r"^[a-z0-9][a-z0-9._-]*/[a-z][a-z0-9_]*$", max_length=120)


class Budget(Strict):
    """USD for the whole run, USD for what it claims on one UTC day, or both."""

    usd: Annotated[Usd, Field(strict=False)] | None = None
    usd_per_day: Annotated[Usd, Field(strict=False)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Budget:
        if self.usd is None and self.usd_per_day is None:
            raise PydanticCustomError("budget", "needs `usd`, `usd_per_day` or both")
        return self


class Notify(Strict):
    """Who is told how a run ends: a webhook, whose address stands in the environment, a command, or both."""

    url_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    command: tuple[str, ...] = Field(default=(), strict=False)
    on: tuple[Literal["done", "stuck", "budget"], ...] = Field(default=("done", "stuck", "budget"), strict=False)

    @model_validator(mode="after")
    def _says_something(self) -> Notify:
        if self.url_env is None and not self.command:
            raise PydanticCustomError("notify", "needs `url_env`, `command` or both")
        return self


def _kind(value: Any) -> str | None:
    said = [kind for kind in ("ask", "sql", "file", "from") if isinstance(value, Mapping) and kind in value]
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


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, Mapping) else value


class Manifest(Strict):
    """What the file says, defaults filled in. Names of other files are not resolved yet (see ``project``)."""

    run: Name
    store: str = Field(default="./runs", min_length=1)
    budget: Budget | None = None
    providers: dict[Identifier, dict[str, Any]] = Field(default_factory=dict)
    prices: str | None = None
    window: Window = "24h"
    params: dict[str, Any] = Field(default_factory=dict)
    models: dict[str, Annotated[list[ModelChoice], BeforeValidator(_listed), Field(min_length=1)]] = Field(
        default_factory=dict
    )
    notify: Notify | None = None
    rehearsal: dict[str, Any] = Field(default_factory=dict)
    stages: list[StageEntry] = Field(min_length=1)
