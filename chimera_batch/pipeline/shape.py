"""The shape of a manifest: which keys there are, what each may hold, and what it is when left out. Floor 1."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from chimera_batch.pipeline.shape_stage import ModelChoice, StageEntry
from chimera_batch.pipeline.shape_values import Identifier, Name, Strict, Usd, Window, says


class Budget(Strict):
    """USD for the whole run, USD for what it claims on one UTC day, or both."""

    usd: Annotated[Usd, Field(strict=False)] | None = Field(default=None, description="For the run.", examples=[400])
    usd_per_day: Annotated[Usd, Field(strict=False)] | None = Field(
        default=None, description="For what is claimed on one UTC day.", examples=[50]
    )

    @model_validator(mode="after")
    def _says_something(self) -> Budget:
        if self.usd is None and self.usd_per_day is None:
            raise PydanticCustomError("budget", "needs `usd`, `usd_per_day` or both")
        return self


class Notify(Strict):
    """Who is told how a run ends: a webhook, whose address stands in the environment, a command, or both."""

    url_env: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        json_schema_extra=says("a variable's name, not the address itself"),
        description="The variable that holds the address of a webhook.",
        examples=["CHIMERA_WEBHOOK"],
    )
    command: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="Run without a shell; reads the message as JSON on its standard input.",
        examples=[["./tell-me.sh"]],
    )
    on: tuple[Literal["done", "stuck", "budget"], ...] = Field(
        default=("done", "stuck", "budget"), strict=False, description="Of which ends."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Notify:
        if self.url_env is None and not self.command:
            raise PydanticCustomError("notify", "needs `url_env`, `command` or both")
        return self


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, Mapping) else value


def _playable(said: dict[str, Any]) -> dict[str, Any]:
    """What starts the server; it looks at the rest itself."""
    speed, seed = said.get("speed", 1), said.get("seed", 0)
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0 < speed < math.inf:
        raise PydanticCustomError("speed", "speed must be a number above 0")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise PydanticCustomError("seed", "seed must be a whole number")
    return said


_Choices = Annotated[list[ModelChoice], Field(min_length=1)]
Models = Annotated[_Choices, BeforeValidator(_listed, json_schema_input_type=ModelChoice | _Choices)]


class Manifest(Strict):
    """The YAML file that describes a run: its models, stages, parameters and budget.

    As ``manifest.check`` returns it, defaults are filled in; names of other files are not resolved yet (``project``).
    """

    run: Name = Field(description="The run's name: its tables and its bill are kept under it.", examples=["quickstart"])
    store: str = Field(
        default="./runs",
        min_length=1,
        description="Where everything is kept: a folder, or s3://bucket/prefix.",
        examples=["./runs", "s3://acme-datasets/chimera"],
    )
    budget: Budget | None = Field(default=None, description="Hard: nothing is sent that could pass it.")
    providers: dict[Identifier, dict[str, Any]] = Field(
        default_factory=dict, description="Hosts of your own, and what differs from the built-in ones."
    )
    prices: str | None = Field(
        default=None,
        description="A price file of your own over the shipped table, row by row.",
        examples=["prices.local.toml"],
    )
    window: Window = Field(
        default="24h",
        description="How long a batch may take, for stages that do not say; now: all is asked at once, dearer.",
        examples=["24h", "now"],
    )
    params: dict[str, Any] = Field(
        default_factory=dict, description="What SQL files read as $name and prompts as params.name."
    )
    models: dict[str, Models] = Field(
        default_factory=dict,
        description="Models under the names that stages ask: one, or a list to fall back on or to route among.",
    )
    notify: Notify | None = Field(default=None, description="Who is told how a run ends.")
    rehearsal: Annotated[dict[str, Any], AfterValidator(_playable)] = Field(
        default_factory=dict,
        description="What the rehearsal's loopback server is told: seed, speed, lengths, rates of planted faults.",
        examples=[{"seed": 6}],
    )
    stages: list[StageEntry] = Field(
        min_length=1, description="In their order: each reads the tables of those above it."
    )
