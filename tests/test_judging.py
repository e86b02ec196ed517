"""A schema as a type is a short cut: what it takes, the thorough way takes too, and both spell the answer alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.json import Decoder, Encoder

from chimera_batch.results import judging

ROOT = Path(__file__).resolve().parent.parent
NAMES = st.sampled_from(["a", "b", "naïve", "with space", "f0", 'quo"te', "", "a\\b"])
TEXTS = st.one_of(
    st.text(max_size=6), st.sampled_from(["yes", "no", "\x7f", "\u2028", "</script>", "\x1f", "\U0001f600"])
)


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    named = draw(st.dictionaries(NAMES, inner, max_size=3))
    required = [name for name in named if draw(st.integers(0, 3))]
    others = draw(st.sampled_from([{}, {"additionalProperties": False}, {"additionalProperties": True}]))
    return {"type": "object", "properties": named, "required": required, **others}


LEAVES = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "minLength": 1, "maxLength": 3},
        {"type": "string", "enum": ["yes", "no", "é"]},
        {"enum": ["yes"]},
        {"enum": [1, "yes"]},
        {"enum": [1.5, None, True]},
        {"type": "integer", "enum": [1, 2]},
        {"type": "string", "enum": [1, "yes"]},
        {"type": "integer"},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "null"},
        {"type": ["string", "null"], "description": "perhaps"},
        {"type": ["integer", "string"]},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"anyOf": [{"type": "string"}, {"type": "string", "enum": ["yes"]}]},
        {"type": "integer", "minimum": 3},
    ]
)
SIZES = st.sampled_from([{}, {"maxItems": 1}, {"minItems": 1, "maxItems": 2}])


@st.composite
def lists(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    return {"type": "array", "items": draw(inner), **draw(SIZES)}


SCHEMAS = objects(st.recursive(LEAVES, lambda inner: st.one_of(objects(inner), lists(inner))))
VALUES = st.recursive(
    st.one_of(TEXTS, st.integers(), st.booleans(), st.none(), st.sampled_from([1.0, 2**64, 1e400, -0.0, 0, 3])),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(NAMES, inner, max_size=3)),
)


@st.composite
def fitting(draw: st.DrawFn, schema: dict[str, Any]) -> Any:
    """A value that mostly fits."""
    if not draw(st.integers(0, 19)):
        return draw(VALUES)
    if "anyOf" in schema:
        return draw(fitting(draw(st.sampled_from(schema["anyOf"]))))
    if "enum" in schema:
        return draw(st.sampled_from(schema["enum"]))
    kind = schema["type"] if isinstance(schema["type"], str) else draw(st.sampled_from(schema["type"]))
    if kind == "object":
        named = schema["properties"].items()
        return {name: draw(fitting(inner)) for name, inner in named if draw(st.integers(0, 9))}
    if kind == "array":
        return draw(st.lists(fitting(schema["items"]), max_size=3))
    kinds = {"string": TEXTS, "integer": st.integers(), "number": st.floats(allow_nan=False, allow_infinity=False)}
    return draw({**kinds, "boolean": st.booleans(), "null": st.none()}[kind])


@st.composite
def judged(draw: st.DrawFn) -> tuple[str, str]:
    schema = draw(SCHEMAS)
    value = draw(fitting(schema))
    text = json.dumps(
        value, ensure_ascii=draw(st.booleans()), separators=draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    )
    if not draw(st.integers(0, 9)):  # a field twice, a fence, half of it
        text = draw(st.sampled_from([text.replace('"a"', '"b"'), f"```json\n{text}\n```", text[:-1], f"{text} "]))
    return json.dumps(schema), text


@pytest.mark.slow
@given(judged())
def test_the_short_cut_says_what_the_thorough_way_says(one: tuple[str, str]) -> None:
    schema, text = one
    judge = judging.judge_of(schema)
    assert judge is not None
    spelled = {judging._thorough(schema, order)(text) for order in (None, json.loads(schema))}
    assert judge(text) in spelled, "sorted, or as the schema has them"


@pytest.mark.parametrize("text", ['{"m":1,"n":"x"}', '{"m":null,"n":"y"}', '{"n":"x"}'])
def test_an_answer_without_needless_space_is_its_own_json(text: str) -> None:
    """The very same text: then it is not kept a second time."""
    schema = {
        "type": "object",
        "properties": {"m": {"type": ["integer", "null"]}, "n": {"type": "string", "enum": ["x", "y"]}},
        "required": ["n"],
        "additionalProperties": False,
    }
    judge = judging.judge_of(json.dumps(schema))
    assert judge is not None
    assert judge(text) == text
    for other in ('{"n":"z"}', '{"n":"x","o":1}', '{"m":1}', '{"m":1.5,"n":"x"}', "[]", "{"):
        assert judge(other) is None
    assert judge('{"n":"x","n":"y"}') == '{"n":"y"}', "of a field that stands twice, the last one is judged and kept"


NONE = {"type": "null"}
LIST = {"type": "array", "items": {"type": "object", "properties": {"z": NONE, "y": NONE}}}
MAYBE = {"anyOf": [{"type": "object", "properties": {"q": NONE, "p": NONE}}, NONE]}
PAIR = {"type": "object", "properties": {"b": {"type": "integer"}, "a": LIST, "c": MAYBE}}


@pytest.mark.parametrize(("more", "first"), [({}, "b"), ({"maxProperties": 9}, "a")], ids=["plain", "beyond"])
def test_equal_answers_are_equal_text_in_whatever_order_they_came(more: dict[str, Any], first: str) -> None:
    """People write DISTINCT and GROUP BY over answers, and a stage below asks for each."""
    judge = judging.judge_of(json.dumps(PAIR | more))
    assert judge is not None
    values = [
        {"b": 1, "a": [{"z": None, "y": None}], "c": {"q": None, "p": None}},
        {"c": {"p": None, "q": None}, "a": [{"y": None, "z": None}], "b": 1},
    ]
    judged = {judge(json.dumps(value, separators=(",", gap))) for value in values for gap in (":", ": ")}
    assert len(judged) == 1
    (text,) = judged
    assert json.loads(text or "") == values[0]
    assert (text or "").startswith(f'{{"{first}":')


@pytest.mark.parametrize(
    ("schema", "fits", "breaks"),
    [
        ('{"type":"array","items":true}', "[1]", "1"),  # a rule that is no object
        ('{"type":"object","properties":{},"required":["a"]}', '{"a":1}', "{}"),  # a field that is not named
    ],
)
def test_schemas_beyond_types_are_held_to_all_their_rules(schema: str, fits: str, breaks: str) -> None:
    judge = judging.judge_of(schema)
    assert judge is not None
    assert judge(fits) == fits
    assert judge(breaks) is None


def test_a_schema_that_no_type_can_be_made_of_is_judged_all_the_same() -> None:
    """It was found out when the results of a paid batch were to be landed, and none could be."""
    judge = judging.judge_of('{"type":"object","properties":{"a":{"enum":[9223372036854775808]}}}')
    assert judge is not None
    assert judge('{"a":9223372036854775808}') == '{"a":9223372036854775808}'
    assert judge('{"a":1}') is None


def object_of(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": [name for name in fields if name != "perhaps"]}


WORD = {"type": "string"}
SAID = ["title", "description", "examples", "default", "$schema", "$id", "$comment"]


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        *((object_of(a={**WORD, said: "x"}), '{"a":"y"}') for said in SAID),
        *((object_of(a={"type": "integer"}), f'{{"a":{number}}}') for number in (-(1 << 63), (1 << 63) - 1)),
        (object_of(perhaps=WORD, a=WORD), '{"a":"y"}'),  # what may be missing stands in front
        (object_of(perhaps=WORD, a=WORD), '{"perhaps":"x","a":"y"}'),
        (object_of(a={"type": ["string", "null"]}), '{"a":null}'),
        (object_of(a={"anyOf": [WORD, {"type": "null"}]}), '{"a":null}'),
    ],
)
def test_the_short_cut_is_taken(schema: dict[str, Any], text: str) -> None:
    """A million answers are judged at a third of the time: what rules nothing out must not cost that."""
    assert Encoder().encode(Decoder(judging._type_of(schema)).decode(text)) == text.encode()


@pytest.mark.parametrize(
    ("rules", "fits", "breaks"),
    [
        ({"type": "string", "enum": ["a", "bcd"], "minLength": 2}, "bcd", "a"),
        ({"enum": ["a", "bcd"], "maxLength": 2}, "a", "bcd"),
        ({"type": ["string", "null"], "minLength": 2}, "ab", "a"),
        ({"type": ["string", "array"], "maxItems": 1}, [1], [1, 2]),
        ({"type": ["null", "array"]}, [1], "a"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}], "minLength": 2}, "ab", "a"),
        ({"type": "string", "minLength": 2, "pattern": "^a"}, "ab", "bb"),
        ({"type": "string", "minProperties": 9}, "a", 1),  # a rule for objects alone
        ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, [1, 2], [1, 1]),
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 2.0}, [1, 2], [1, 2, 3]),
    ],
)
def test_every_rule_of_a_schema_counts(rules: dict[str, Any], fits: Any, breaks: Any) -> None:
    judge = judging.judge_of(json.dumps(object_of(a=rules)))
    assert judge is not None
    for value, ok in ((fits, True), (breaks, False)):
        text = json.dumps({"a": value}, separators=(",", ":"))
        assert judge(text) == (text if ok else None)


def test_fields_that_the_schema_does_not_name_stand_sorted_behind_those_that_it_does() -> None:
    judge = judging.judge_of(json.dumps({**object_of(n=WORD), "additionalProperties": True}))
    assert judge is not None
    others = ["f", "b", "z", "d", "a", "e", "c"]
    text = json.dumps({**dict.fromkeys(others, 1), "n": "x"})
    assert judge(text) == '{"n":"x","a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"z":1}'


def test_the_schemas_of_the_shipped_pipelines_take_the_short_cut() -> None:
    for path in (ROOT / "prompts").glob("*/*.json"):
        judging._type_of(orjson.loads(path.read_bytes()))


@pytest.mark.parametrize(
    ("schema", "shape"),
    [
        ({"type": "string", "title": "T"}, "VARCHAR"),
        ({"type": "array", "items": {"type": "integer"}}, ["BIGINT"]),
        ({"type": "object", "properties": {"b": {"type": "boolean"}, "a": {"type": "string"}}, "required": ["b"]}, ...),
        ({"type": "object", "properties": {"a": {"type": "string"}, "A": {"type": "string"}}}, None),
        ({"type": "object", "properties": {"": {"type": "string"}}}, None),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "b"]}, None),
        ({"type": "object", "properties": {}}, None),
        ({"type": "object"}, None),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "minProperties": 2}, None),
        ({"type": "string", "minLength": 2}, None),
        ({"type": "string", "enum": ["x"]}, None),
        ({"type": ["string", "null"]}, None),
        ({"type": "number"}, None),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1}, None),
        ({"anyOf": [{"type": "string"}]}, None),
        (True, None),
    ],
    ids=str,
)
def test_the_shape_of_a_schema(schema: Any, shape: Any) -> None:
    found = judging.structure_of(json.dumps(schema))
    if shape is ...:
        assert found == '{"b":"BOOLEAN","a":"VARCHAR"}', "in the order of the schema"
    else:
        assert (found and json.loads(found)) == shape
    assert judging.structure_of(None) is None
