"""The JSON Schema (2020-12) of a manifest, for editors: the models of ``shape`` as an editor understands them best.

It finds what a single value or mapping shows; names that refer to each other, and files, only ``check`` can. Floor 1.
"""

from __future__ import annotations

from typing import Any

from chimera_batch.pipeline.schema_hosts import PROVIDER
from chimera_batch.pipeline.shape import Manifest
from chimera_batch.pipeline.shape_stage import KINDS

Schema = dict[str, Any]

FILE = "manifest.schema.json"
"""The file's name beside the manifests; their first line names it for editors."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TITLES = {
    "AskStage": "stage that asks",
    "SqlStage": "stage of SQL",
    "FileStage": "table from files",
    "FromStage": "table of another run",
    "Budget": "mapping with usd",
}
"""What a kind is called where an editor says what it expected."""

_MODELS = dict(zip(KINDS, ("AskStage", "SqlStage", "FileStage", "FromStage"), strict=True))


def manifest_schema() -> Schema:
    """The whole document."""
    found = Manifest.model_json_schema(by_alias=True, mode="validation")
    defs: Schema = found["$defs"]
    defs["Provider"] = {"type": "object", "additionalProperties": False, "properties": PROVIDER}
    defs["Stage"] = _stage()
    defs["Budget"]["minProperties"] = 1
    defs["Notify"]["anyOf"] = [{"required": ["url_env"]}, {"required": ["command"]}]
    for model, name in _TITLES.items():
        defs[model]["title"] = name
    properties = found["properties"]
    properties["stages"]["items"] = {"$ref": "#/$defs/Stage"}
    _name_providers(properties["providers"])
    properties["rehearsal"]["properties"] = {
        "seed": {"type": "integer"},
        "speed": {"type": "number", "exclusiveMinimum": 0},
    }
    found["description"] = found["description"].partition("\n")[0]
    return {"$schema": DIALECT, **_plain(_untitled(found)), "title": "A manifest of chimera-batch"}


def _name_providers(providers: Schema) -> None:
    """A provider's fields, and no other spelling of its name: patternProperties alone would let any other pass."""
    (pattern,) = providers["patternProperties"]
    providers["patternProperties"] = {pattern: {"$ref": "#/$defs/Provider"}}
    providers["additionalProperties"] = False


_NO_KIND: Schema = {"const": None, "doNotSuggest": True, "errorMessage": "a stage has one of ask, sql, file and from"}
"""What no mapping is. ``errorMessage`` is read by editors; others say that null was expected."""


def _stage() -> Schema:
    """A stage is judged as the kind that its key says, so that an editor names the one thing that is wrong.

    A union would report against all four kinds. The kinds' keys stand here too, for the editor to offer them.
    """
    first = {name: {"$ref": f"#/$defs/{model}/properties/{name}"} for name, model in _MODELS.items()}
    return {
        "type": "object",
        "description": "One step. A stage has one of `ask`, `sql`, `file` and `from`.",
        "required": ["name"],
        "properties": {"name": {"$ref": "#/$defs/AskStage/properties/name"}, **first},
        "allOf": [
            *({"if": _only(kind), "then": {"$ref": f"#/$defs/{model}"}} for kind, model in _MODELS.items()),
            {"if": {"type": "object", "not": {"anyOf": [_only(kind) for kind in KINDS]}}, "then": _NO_KIND},
        ],
    }


def _only(kind: str) -> Schema:
    """A mapping of this kind and no other: of one with two kinds that alone is said, not what each of them lacks."""
    others = [{"required": [other]} for other in KINDS if other != kind]
    return {"type": "object", "required": [kind], "not": {"anyOf": others}}


def _untitled(value: Any) -> Any:
    """The same without the titles that are key names in capitals, and without defaults that are null.

    An editor would show the first above what the key means, and write the second behind a key that it completes.
    """
    if isinstance(value, list):
        return [_untitled(item) for item in value]
    if not isinstance(value, dict):
        return value
    made_up = {"title"} if isinstance(value.get("title"), str) and value["title"] not in _TITLES.values() else set()
    empty = {"default"} if value.get("default", 0) is None else set()
    return {key: _untitled(item) for key, item in value.items() if key not in made_up | empty}


def _plain(value: Any) -> Any:
    """The same with one type list in place of ``anyOf`` a simple value or null: editors then say what was expected."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _plain(item) for key, item in value.items()}
    choices: list[Schema] = found.get("anyOf", [])
    if len(choices) != 2 or choices[1] != {"type": "null"} or "type" not in choices[0]:
        return found
    del found["anyOf"]
    simple = choices[0]["type"]
    merged = {**choices[0], "type": [*([simple] if isinstance(simple, str) else simple), "null"]}
    if "enum" in merged:
        merged["enum"] = [*merged["enum"], None]
    return found | merged
