"""The page of docs/reference/ about the manifest, from its JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from chimera_batch.pipeline.schema import manifest_schema
from scripts.markdown import code, page, table

_STAGES = ("AskStage", "SqlStage", "FileStage", "FromStage")
_BELOW = {
    "ModelChoice": "A model", "AskStage": "A stage that asks", "SqlStage": "A stage of SQL",
    "FileStage": "A table from files", "FromStage": "A table of another run", "Assume": "`assume`",
    "Rounds": "`rounds`", "Fallback": "`fallback`", "Retry": "`retry`", "TruncatedRule": "`retry: {truncated: …}`",
    "Rule": "`retry: {…}`, the others", "Budget": "`budget`", "Notify": "`notify`", "Provider": "A provider",
}  # fmt: skip
"""Parts of the schema in the order of the page, and what they are called there."""


def manifest() -> str:
    """Every key of a manifest: its kind, its default, what it means."""
    schema = manifest_schema()
    parts = schema["$defs"]
    unknown = parts.keys() - _BELOW.keys() - {"Stage"}
    if unknown:
        raise ValueError(f"name these parts of the schema in scripts/manifest_page.py: {unknown}")
    found = [
        "The same for editors: `chimera-batch schema`. How a pipeline is written: "
        "[your-own-pipeline.md](../your-own-pipeline.md).",
        _keys(schema),
    ]
    for name, title in _BELOW.items():
        found += [f"## {title}", parts[name].get("description", ""), _keys(parts[name])]
    engine = parts["Provider"]["properties"]["engine"]
    found += ["## `engine` of a provider", engine["description"], _keys(engine)]
    return page("Manifest", *(part for part in found if part))


def _keys(model: Mapping[str, Any]) -> str:
    needed = set(model.get("required", ()))
    rows = (
        (code(name), kind_of(said), "needed" if name in needed else _default(said), said.get("description", ""))
        for name, said in model["properties"].items()
    )
    return table(("key", "is", "unless said", "means"), rows)


def _default(said: Mapping[str, Any]) -> str:
    """What a key is when it is left out; a mapping's own keys say it in a table of their own."""
    default = said.get("default")
    if default is None or default == [] or isinstance(default, dict):
        return ""
    return code(default if isinstance(default, str) else json.dumps(default).replace('"', ""))


def kind_of(said: Mapping[str, Any]) -> str:
    """The values that a piece of a schema takes, in a few words."""
    if choices := said.get("anyOf", said.get("oneOf")):
        return " or ".join(dict.fromkeys(kind for choice in choices if (kind := kind_of(choice))))
    if "$ref" in said:
        name = said["$ref"].rpartition("/")[2]
        return _BELOW.get(name, "one of the stages below").replace("A ", "a ", 1)
    if "const" in said:
        return code(said["const"])
    if "enum" in said:
        return " · ".join(code(value) for value in said["enum"] if value is not None)
    types = said.get("type", "any value")
    return " or ".join(_NOUNS[kind](said) for kind in ([types] if isinstance(types, str) else types) if kind != "null")


def _number(said: Mapping[str, Any], noun: str) -> str:
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    told = [f"{words} {said[key]:g}" for key, words in bounds.items() if key in said]
    return " ".join([noun, *([", ".join(told)] if told else [])])


def _mapping(said: Mapping[str, Any]) -> str:
    inner = next(iter(said.get("patternProperties", {}).values()), said.get("additionalProperties"))
    return f"names with {kind_of(inner)}" if isinstance(inner, Mapping) and inner else "a mapping"


_NOUNS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "string": lambda said: f"text like {code(said['examples'][0])}" if said.get("examples") else "text",
    "integer": lambda said: _number(said, "a whole number"),
    "number": lambda said: _number(said, "a number"),
    "boolean": lambda said: "`true` · `false`",
    "array": lambda said: f"a list of {kind_of(said.get('items', {}))}",
    "object": _mapping,
    "any value": lambda said: "any value",
}
