"""Does an answer fit its stage's schema, and what is its JSON. Pure; floor 2.

Nearly every schema is of few kinds: objects of which every field is named, of texts, numbers, lists and chosen words;
and a host that holds a model to it answers without needless space. Such an answer is read into a type made of the
schema and written again: if it comes out letter for letter, it fits and is its own JSON. All others go the way that
knows every rule of JSON Schema and takes three times as long.

Either way equal answers become equal text, whatever order a model names its fields in, since people group by it: fields
stand as in the schema, and sorted where it is of no such kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, reduce
from operator import or_
from types import NoneType
from typing import Annotated, Any, Literal

import orjson
from msgspec import UNSET, Meta, UnsetType, defstruct
from msgspec.json import Decoder, Encoder

from chimera_batch.pipeline.schemas import validator

Judge = Callable[[str], str | None]
"""Text of an answer → its JSON without needless space if it fits the schema, else None."""

_SAID = {"title", "description", "examples", "default", "$schema", "$id", "$comment"}  # rules nothing out
_PLAIN: Mapping[str, Any] = {
    "string": str,
    "boolean": bool,
    "null": NoneType,
    "integer": Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)],  # readers differ in what they make of larger ones
}
_WORDS: Mapping[str | None, set[type]] = {"string": {str}, "integer": {int}, None: {str, int}}
_SHAPES = {"string": "VARCHAR", "integer": "BIGINT", "boolean": "BOOLEAN"}
_OBJECT = {"type", "properties", "required", "additionalProperties"}
_LENGTHS = {"minLength": "min_length", "maxLength": "max_length"}  # in characters, both
_SIZES = {"minItems": "min_length", "maxItems": "max_length"}


class _BeyondError(Exception):
    """The schema says more than a type can."""


@cache
def judge_of(schema: str | None) -> Judge | None:
    """A compiled judge for a response schema (JSON text)."""
    if schema is None:
        return None
    decode = _decoder(schema)
    if decode is None:
        return _thorough(schema, None)
    encode, thorough = Encoder().encode, _thorough(schema, orjson.loads(schema))

    def judge(text: str) -> str | None:
        try:
            if encode(decode(text)) == text.encode():
                return text
        except (ValueError, RecursionError):
            pass
        return thorough(text)

    return judge


@cache
def structure_of(schema: str | None) -> str | None:
    """The shape of a schema (JSON text) as DuckDB's ``from_json`` takes it; None where it says more than a shape does.

    A text without a null that comes out of that shape letter for letter as it went in fits, and is its own JSON.
    """
    try:
        if schema is None or _decoder(schema) is None:  # then its fields stand sorted, and not as in the schema
            return None
        return orjson.dumps(_shape(orjson.loads(schema))).decode()
    except _BeyondError:
        return None


@cache
def _decoder(schema: str) -> Callable[[str], Any] | None:
    """What reads an answer into a type made of the schema; None where a type cannot say all of it."""
    try:
        return Decoder(_type_of(orjson.loads(schema))).decode
    except (_BeyondError, TypeError, ValueError, NotImplementedError):  # msgspec's, for types that it does not do
        return None


def _shape(schema: Any) -> Any:
    said = {key: value for key, value in schema.items() if key not in _SAID} if isinstance(schema, dict) else {}
    match said:
        case {"type": "string" | "integer" | "boolean" as kind} if len(said) == 1:
            return _SHAPES[kind]
        case {"type": "array", "items": items} if len(said) == 2:
            return [_shape(items)]
        case {"type": "object", "properties": dict() as named} if named and said.keys() <= _OBJECT:
            apart = {name.casefold() for name in named} - {""}  # as DuckDB tells fields apart
            if len(apart) == len(named) and set(said.get("required", ())) <= named.keys():
                return {name: _shape(inner) for name, inner in named.items()}
    raise _BeyondError


def _thorough(schema: str, rules: Any) -> Judge:
    """``rules``: the same as data, for the order of fields; None: sorted."""
    validate = validator(schema)

    def judge(text: str) -> str | None:
        try:
            value = orjson.loads(_unfenced(text))
            validate(value)
            if rules is None:
                return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
            return orjson.dumps(_ordered(value, rules)).decode()
        except (ValueError, TypeError, RecursionError):  # orjson's and the validator's; nested too deep to be written
            return None

    return judge


def _ordered(value: Any, rules: Any) -> Any:
    """The same value, the fields of its objects in the order of the schema, then those that it does not name."""
    rules = rules if isinstance(rules, dict) else {}
    if isinstance(value, list):
        return [_ordered(one, rules.get("items")) for one in value]
    if not isinstance(value, dict):
        return value
    choices = [choice for choice in (rules, *rules.get("anyOf", ())) if isinstance(choice, dict)]
    named = {name: inner for choice in choices for name, inner in choice.get("properties", {}).items()}
    order = [*(name for name in named if name in value), *sorted(value.keys() - named.keys())]
    return {name: _ordered(value[name], named.get(name)) for name in order}


def _unfenced(text: str) -> str:
    """Compatible hosts wrap JSON in a Markdown fence at times; that is not worth paying for again."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```"):
        return stripped[3:-3].removeprefix("json").strip()
    return stripped


def _type_of(schema: Any) -> Any:
    """A type of which no value breaks the schema, and that leaves out few that fit. Raises _BeyondError."""
    if not isinstance(schema, dict):
        raise _BeyondError
    said = {key: value for key, value in schema.items() if key not in _SAID}
    made: Any = None
    match said.pop("type", None), said:
        case ["string", {**rest}] if rest and _bounded(rest, _LENGTHS):
            made = Annotated[str, Meta(**{_LENGTHS[name]: length for name, length in rest.items()})]
        case [str() as kind, {**rest}] if kind in _PLAIN and not rest:
            made = _PLAIN[kind]
        case ["string" | "integer" | None as kind, {"enum": [*words], **rest}] if words and not rest:
            if set(map(type, words)) <= _WORDS[kind]:
                made = Literal[tuple(words)]
        case ["array", {"items": items, **rest}] if _bounded(rest, _SIZES):
            sizes = Meta(**{_SIZES[name]: size for name, size in rest.items()})
            made = Annotated[list[_type_of(items)], sizes]  # type: ignore[misc]  # made while it runs
        case ["object", {"properties": dict() as named, **rest}] if rest.keys() <= {"required", "additionalProperties"}:
            made = _struct(named, rest.get("required", []))
        case [[*kinds], {**rest}] if kinds and not rest and all(kind in _PLAIN for kind in kinds):
            made = reduce(or_, map(_PLAIN.__getitem__, kinds))
        case [None, {"anyOf": [*choices], **rest}] if choices and not rest:
            made = reduce(or_, map(_type_of, choices))
    if made is None:
        raise _BeyondError
    return made


def _bounded(rest: Mapping[str, Any], known: Mapping[str, str]) -> bool:
    return rest.keys() <= known.keys() and all(type(bound) is int for bound in rest.values())


def _struct(named: Mapping[str, Any], required: Any) -> Any:
    """Fields that are not named are not in the type: an answer that has them does not come out the same."""
    if not isinstance(required, list) or not set(required) <= named.keys():
        raise _BeyondError
    fields: list[Any] = []
    for place, (name, schema) in enumerate(named.items()):
        kind = _type_of(schema)
        fields.append((f"f{place}", kind) if name in required else (f"f{place}", kind | UnsetType, UNSET))
    keys = {f"f{place}": name for place, name in enumerate(named)}
    return defstruct("Answer", fields, rename=keys, gc=False, kw_only=True)
