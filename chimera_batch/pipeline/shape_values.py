"""What single values of a manifest may look like, and the base of all its mappings. Floor 1."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError


def says(text: str) -> dict[str, Any]:
    """What an editor says in place of a pattern. The keyword is that of the JSON and YAML services of VS Code."""
    return {"patternErrorMessage": text}


_NAME = says("small letters, digits, dots, dashes and underscores, beginning with a letter or digit")
_WORD = says("small letters, digits and underscores, beginning with a letter")
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64, json_schema_extra=_NAME)]
Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=48, json_schema_extra=_WORD)]


def _not_flex(value: Any) -> Any:
    if value == "flex":
        raise PydanticCustomError("window", "flex is for single stages: write `window: flex` at a stage")
    return value


_SPAN = "a number of minutes, hours or days such as 30m, 24h or 3d"
_RUN = says(f"now, or {_SPAN} (flex is for single stages)")
_STAGE = says(f"now, flex, or {_SPAN}")
Window = Annotated[str, Field(pattern=r"^(now|[1-9][0-9]*[mhd])$", json_schema_extra=_RUN), BeforeValidator(_not_flex)]
StageWindow = Annotated[str, Field(pattern=r"^(now|flex|[1-9][0-9]*[mhd])$", json_schema_extra=_STAGE)]
Span = Annotated[str, Field(pattern=r"^[1-9][0-9]*[mhd]$", json_schema_extra=says(_SPAN))]


def _amount(**bound: int) -> WithJsonSchema:
    """For an editor, an amount in USD: a number, or text that is one."""
    pattern = {"pattern": r"^[0-9_.eE+ ]*$", **says("an amount in USD")}
    return WithJsonSchema({"type": ["number", "string"], **bound, **pattern})


_Usd = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=6)]
Usd = Annotated[_Usd, _amount(minimum=0)]
Price = Annotated[_Usd, Field(gt=0), _amount(exclusiveMinimum=0)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


def _inside(name: Any) -> Any:
    """A path below prompts/ or sql/: relative, with ``/``, never climbing out."""
    if not isinstance(name, str):
        return name
    parts = name.split("/")
    if not name or set(name) & {"\\", ":", "\0"} or any(part in {"", ".", ".."} for part in parts):
        raise PydanticCustomError("path", "must be a path below prompts/ or sql/, such as chimera/topics.md")
    return name


_STEP = r"(?!\.{1,2}(/|$))[^/\\:]+"
_BELOW = says("a path below prompts/ or sql/, such as chimera/topics.md")
_Path = Annotated[str, Field(pattern=rf"^{_STEP}(/{_STEP})*$", json_schema_extra=_BELOW)]
"""The same for an editor, which knows patterns only."""

FileName = Annotated[str, BeforeValidator(_inside, json_schema_input_type=_Path)]


class Strict(BaseModel):
    """No unknown keys and no silent conversions; remembers which model judged which mapping, for suggestions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _remember(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(info.context, dict):
            info.context[id(value)] = cls
        return value


_FACTOR = says("a factor from 1x to 16x, such as 2x")
_Times = Annotated[str, Field(pattern=r"^(([1-9]|1[0-5])(\.\d+)?|16(\.0+)?)x$", json_schema_extra=_FACTOR)]


def _factor(value: Any) -> Any:
    """``2x`` as 2.0."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)x", value) if isinstance(value, str) else None
    if not match:
        raise PydanticCustomError("ceiling", "must be a factor such as 2x")
    return float(match[1])


Factor = Annotated[float, Field(ge=1, le=16), BeforeValidator(_factor, json_schema_input_type=_Times)]


def caching(value: Any) -> Any:
    """``true``, ``false`` or ``auto``, and nothing that merely looks like one of them."""
    if isinstance(value, bool) or value == "auto":
        return value
    raise PydanticCustomError("caching", "must be true, false or auto")
