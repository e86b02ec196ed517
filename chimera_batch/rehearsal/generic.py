"""An answer to any JSON schema, for stages that no mind knows: plausible in shape, empty of meaning."""

from __future__ import annotations

import random
from typing import Any

import orjson

from chimera_batch.rehearsal.talk import Ask, Said

_WORDS = """
amber basin cedar delta ember fjord grove harbor inlet jasper kelp lagoon meadow north orchard prairie quartz
ridge summit tundra upland valley willow yonder zephyr
""".split()  # noqa: SIM905 - a list literal of words is a column of quotes


_DEEP = 6  # below it a recursive schema is brought to an end


def answer(ask: Ask) -> Said:
    """Follows the schema (or says two sentences where there is none); the same for the same key and attempt."""
    rng = random.Random(f"{ask.key}:{ask.attempt}:{ask.settings.get('seed', 0)}")  # noqa: S311 - reproducible, not secret
    text = _prose(rng, 24) if ask.schema is None else orjson.dumps(follow(ask.schema, rng)).decode()
    visible = tokens(text)
    thought = rng.randrange(20, 200)
    return Said(text, _prose(rng, 12), visible + thought, thought)


def tokens(text: str) -> int:
    """The rehearsal's idea of a token count: a quarter of the UTF-8 bytes, rounded up."""
    return -(-len(text.encode()) // 4)


def follow(schema: Any, rng: random.Random, root: dict[str, Any] | None = None, depth: int = 0) -> Any:
    """A value that fits ``schema``. Patterns and formats are not honoured; ``$ref`` only inside the document."""
    if not isinstance(schema, dict):
        schema = {}  # true: anything fits
    root = schema if root is None else root
    if "$ref" in schema:
        return follow(_resolve(schema["$ref"], root), rng, root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return rng.choice(schema["enum"])
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            # Deep in a recursive schema the last alternative is taken: by custom that is null, and ends the descent.
            return follow(schema[key][-1] if depth > _DEEP else rng.choice(schema[key]), rng, root, depth + 1)
    if schema.get("allOf"):
        merged = {k: v for part in schema["allOf"] for k, v in part.items()}
        return follow({k: v for k, v in schema.items() if k != "allOf"} | merged, rng, root, depth + 1)
    return _typed(schema, _type(schema, rng), rng, (root, depth))


def _type(schema: dict[str, Any], rng: random.Random) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "array" if "items" in schema else "string")
    return str(rng.choice(kind) if isinstance(kind, list) else kind)


def _typed(schema: dict[str, Any], kind: str, rng: random.Random, place: tuple[dict[str, Any], int]) -> Any:
    root, depth = place
    if kind == "object":
        properties: dict[str, Any] = schema.get("properties", {})
        required = schema.get("required", list(properties))
        wanted = [name for name in properties if depth <= _DEEP or name in required]
        made = {name: follow(properties[name], rng, root, depth + 1) for name in wanted}
        return made | {name: _prose(rng, 2) for name in required if name not in properties}
    if kind == "array":
        low = int(schema.get("minItems", 1 if depth <= _DEEP else 0))
        high = min(int(schema.get("maxItems", low + 2)), low + 2 if depth <= _DEEP else low)
        return [follow(schema.get("items", {}), rng, root, depth + 1) for _ in range(rng.randint(low, max(low, high)))]
    if kind in {"integer", "number"}:
        return _number(schema, kind, rng)
    if kind == "boolean":
        return rng.random() < 0.5
    return None if kind == "null" else _string(schema, rng)


def _number(schema: dict[str, Any], kind: str, rng: random.Random) -> int | float:
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    low = schema.get("minimum", schema.get("exclusiveMinimum", 0 if most is None else min(0, most - 100)))
    high = max(low + 100 if most is None else most, low)
    if kind == "number":
        value = rng.uniform(low, high)
        return value if low < value < high else (low + high) / 2
    first = int(-(-low // 1)) + (schema.get("exclusiveMinimum") == low)
    last = int(high // 1) - (schema.get("exclusiveMaximum") == high)
    return rng.randint(first, max(first, last))


def _string(schema: dict[str, Any], rng: random.Random) -> str:
    text = _prose(rng, 4)
    while len(text) < int(schema.get("minLength", 0)):
        text += " " + _prose(rng, 4)
    return text[: int(schema["maxLength"])] if "maxLength" in schema else text


def _prose(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(_WORDS, k=words)).capitalize() + "."


def _resolve(ref: str, root: dict[str, Any]) -> dict[str, Any]:
    node: Any = root
    for step in ref.removeprefix("#").strip("/").split("/"):
        if step:
            node = node[step.replace("~1", "/").replace("~0", "~")]
    return dict(node)
