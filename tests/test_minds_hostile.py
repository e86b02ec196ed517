"""Whatever stands in a prompt, a mind answers: what it cannot read it says nothing about, and it never hangs."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chimera_batch.rehearsal.generic import follow
from chimera_batch.rehearsal.minds import DEFAULT_RATES, answer, families, fault_of, fingerprint, truth
from chimera_batch.rehearsal.minds.catalogue import recognise
from chimera_batch.rehearsal.minds.params import Dec, Int, Ints, Letters, Pick
from chimera_batch.rehearsal.minds.tags import read_count, read_lines, read_tag
from chimera_batch.rehearsal.minds.values import extract, near, other_form, read, same
from chimera_batch.rehearsal.talk import Ask

SCHEMAS = ("chimera_topics", "chimera_problems", "chimera_verdict", "chimera_judgement", None, "another")
TAGS = (
    *("subject", "area", "topic", "count", "existing_topics", "problem", "proposed_answer"),
    *("reference_answer", "candidate_answer"),
)  # fmt: skip
BY_NAME = {family.name: family for family in families()}
HOSTILE = (
    *("", " ", "\n", "\x00", "{}", "{0} {own} {x!r}", "%s", "\\boxed{", "\\boxed{}", "</topic>", "<topic>", "]]>"),
    *("Prove that ", "Prove that .", "(A) (B) ", "Choose one: (A) ", "9" * 5000, "-" * 300, "1/0", "\\frac{1}{0}"),
    *("é\u2028\u0085", "😀", "\ud83d".encode("utf-16", "surrogatepass").decode("utf-16", "replace")),
    *("It is known that the result is ", "(A colleague has already found ", "none", "NaN", "1e999", "٣", "²"),
)  # fmt: skip


def ask(user: str, name: str | None, schema: dict[str, Any] | None = None, key: str = "0" * 32, **more: Any) -> Ask:
    attempt = more.pop("attempt", 1)
    return Ask("openai", "m", "system", user, name, schema, key, attempt, 9000, more)


def tagged(**content: str) -> str:
    return "\n".join(f"<{name}>{text}</{name}>" for name, text in content.items())


def sound(one: Ask) -> dict[str, Any] | None:
    """What is said, after the checks that hold for everything that any mind says."""
    said = answer(one)
    assert answer(one) == said
    assert 0 <= said.reasoning_tokens <= said.output_tokens
    said.text.encode("utf-8", "surrogatepass")
    if said.refused or said.planted == "invalid_json" or one.schema_name not in SCHEMAS[:4]:
        return None
    return dict(json.loads(said.text))


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_hostile_text_in_every_tag(name: str | None, text: str) -> None:
    for tag in TAGS:
        sound(ask(tagged(**{tag: text}), name))
    sound(ask(tagged(**dict.fromkeys(TAGS, text)), name))
    sound(ask(text, name))


@pytest.mark.parametrize("name", SCHEMAS)
@settings(max_examples=20, deadline=None)
@given(
    content=st.dictionaries(
        st.sampled_from(TAGS), st.one_of(st.text(max_size=30), st.sampled_from(HOSTILE)), max_size=5
    ),
    number=st.integers(0, 50),
)
@example(content={"proposed_answer": "", "problem": ""}, number=0)
def test_any_text_in_any_tags(name: str | None, content: dict[str, str], number: int) -> None:
    sound(ask(tagged(**content), name, key=f"{number:032x}"))


@pytest.mark.parametrize("fault", [name for name, rate in DEFAULT_RATES.items() if rate < 1])
def test_every_fault_at_its_highest_rate_on_nothing(fault: str) -> None:
    for name in SCHEMAS[:5]:
        for user in ("", "<problem></problem>", "<problem>Who wrote the Iliad?</problem>"):
            sound(ask(user, name, **{fault: 1.0}))


# Numbers that no family draws


def stretched(question: str, numbers: str) -> list[str]:
    """The question with each of its numbers replaced in turn."""
    places = [at for at in range(len(question)) if question[at].isdigit() and not question[at - 1].isdigit()]
    found = []
    for at in places:
        end = next((place for place in range(at, len(question)) if not question[place].isdigit()), len(question))
        found.append(question[:at] + numbers + question[end:])
    return found


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_a_question_with_numbers_from_elsewhere_is_not_ours(family: Any) -> None:
    """Solving it might divide by zero, or count to a trillion."""
    question, _ = family.make(random.Random(5), "Topic")
    began = time.process_time()
    for changed in [one for numbers in ("0", "999999999999", "9" * 4400) for one in stretched(question, numbers)]:
        right = truth(changed)
        assert right is None or right
        fingerprint(changed)
        fault_of(changed, "5")
        for name in ("chimera_verdict", None):
            sound(ask(tagged(problem=changed, proposed_answer="5"), name))
    assert time.process_time() - began < 5


def test_numbers_out_of_range_are_no_ambiguity() -> None:
    question = BY_NAME["lens"].question({"f": 100, "u": 250}, "Optics", random.Random(1))
    assert truth(question) is not None
    beyond = question.replace("250", "100000000")
    assert beyond != question
    assert (recognise(beyond), truth(beyond), fault_of(beyond, "1"), fingerprint(beyond)) == (None, None, None, None)


def test_what_is_drawn_holds() -> None:
    for family in families():
        for seed in range(20):
            assert family.holds(family.draw(random.Random(seed))), family.name


@pytest.mark.parametrize(
    "param, inside, outside",
    [
        (Int(2, 10), [2, 10], [1, 11, -2, 10**30]),
        (Int(2, 10, 4), [2, 6, 10], [3, 4, 14]),
        (Dec("0.5", "1.5", 2), ["0.50", "1.50", "0.77"], ["0.49", "1.51", "-1.00"]),
        (Dec("-1.0", "1.0", 1), ["-1.0", "0.0"], ["-1.1", "9999.9"]),
        (Pick(("June", "July")), ["June"], ["june", ""]),
        (Ints(3, 1, 9), [(1, 9, 5)], [(1, 2), (1, 2, 3, 4), (0, 1, 2), (1, 2, 10)]),
        (Letters("AC", 2, 3), ["AC", "AAA"], ["A", "AAAA"]),
    ],
)
def test_where_a_parameter_ends(param: Any, inside: list[Any], outside: list[Any]) -> None:
    for value, fits in [*((one, True) for one in inside), *((one, False) for one in outside)]:
        assert param.holds(param.read(value) if isinstance(param, Dec) else value) is fits, value


# Tags


@given(st.text(max_size=40), st.sampled_from(["topic", "a"]))
def test_a_tag_is_read_back(text: str, name: str) -> None:
    if f"<{name}>" not in text and f"</{name}>" not in text:
        assert read_tag(f"x <{name}>{text}</{name}> y", name) == text.strip()
        assert read_tag(f"<{name}>old</{name}> <{name}>{text}</{name}>", name) == text.strip()


@pytest.mark.parametrize(
    "text, found",
    [
        ("", None),
        ("<a>", None),
        ("</a>", None),
        ("</a><a>", None),
        ("<a></a>", ""),
        ("<a>x", None),
        ("<A>x</A>", None),
        ("<a >x</a>", None),
        ("<a>x</a></a>", "x</a>"),
        ("<a><a>x</a>", "x"),
        ("<a>x</a><a>", "x"),
        ("<a>\n  x\n</a>", "x"),
        ("<ab>x</ab>", None),
    ],
)
def test_tags_that_are_odd(text: str, found: str | None) -> None:
    assert read_tag(text, "a") == found


@pytest.mark.parametrize(
    "text, count",
    [
        ("12", 12), (" 12 ", 12), ("0", 1), ("1000", 1000), ("1001", 1000), ("999999999", 1000),
        ("", 7), ("-3", 7), ("1.5", 7), ("ten", 7), ("²", 7), ("9" * 10, 7), ("9" * 5000, 7), ("1 000", 7),
    ],
)  # fmt: skip
def test_counts_are_clamped_or_ignored(text: str, count: int) -> None:
    assert read_count(f"<count>{text}</count>", "count", 7) == count


@pytest.mark.parametrize(
    "text, lines",
    [
        ("", []),
        ("\n\n", []),
        ("a", ["a"]),
        ("- a\n* b\n• c\n-- d", ["a", "b", "c", "d"]),
        ("-\n*\n", []),
        ("  - a - b  ", ["a - b"]),
        ("a\r\nb", ["a", "b"]),
    ],
)
def test_lines_lose_their_marks(text: str, lines: list[str]) -> None:
    assert read_lines(f"<l>{text}</l>", "l") == lines


# Values


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_hostile_answers_are_read_compared_and_spoilt(text: str) -> None:
    read(text)
    extract(text)
    assert same(text, text)
    for seed in range(5):
        assert not same(near(text, random.Random(seed)), text)
        other_form(text, random.Random(seed))


@pytest.mark.parametrize(
    "reference, candidate, equal",
    [
        ("1/3", "0.333", True),
        ("1/3", "0.33", False),
        ("1/3", "0.3334", False),
        ("2/3", "0.667", True),
        ("1000000", r"1 \times 10^{6}", True),
        ("1000000", "1,000,000", True),
        ("1000000", "1,000,00", False),
        ("1234", "1,234.0", True),
        ("-5", "−5", True),
        ("5 km", "5 m", False),
        ("5 km", "5", True),
        ("5 km", r"5\,\mathrm{km}", True),
        ("50 %", "0.5", False),
        ("Tuesday", "Tuesday.", True),
        ("Tuesday", "Wednesday", False),
        ("ACGT", "acgt", True),
        ("7", "", False),
        ("", "", True),
        ("0.000", "-0.000", True),
        ("1.2345", "1.23454", True),
        ("1.2345", "1.2346", False),
    ],
)
def test_a_table_of_equal_and_unequal_answers(reference: str, candidate: str, equal: bool) -> None:
    assert same(reference, candidate) is equal
    user = tagged(reference_answer=reference, candidate_answer=f"\\boxed{{{candidate}}}" if candidate else "")
    made = sound(ask(user, "chimera_judgement", judge_fooled=0, judge_error=0, invalid_json=0))
    assert made is not None
    assert made["same"] is (equal and bool(candidate))


@pytest.mark.parametrize("error", [0.0, 1.0])
def test_a_judge_that_errs_turns_its_decision_round(error: float) -> None:
    for candidate in ("5", "6"):
        user = tagged(reference_answer="5", candidate_answer=candidate)
        said = answer(ask(user, "chimera_judgement", judge_fooled=0, judge_error=error, invalid_json=0))
        assert json.loads(said.text)["same"] is ((candidate == "5") != bool(error))
        assert said.planted == ("judge_error" if error else None)


def test_an_empty_candidate_is_never_right_even_for_a_judge_that_errs() -> None:
    user = tagged(reference_answer="5", candidate_answer="")
    said = answer(ask(user, "chimera_judgement", judge_fooled=0, judge_error=1, invalid_json=0))
    made = json.loads(said.text)
    assert (made["same"], made["extracted"], said.planted) == (False, "none", None)


# Schemas beside the usual ones


@pytest.mark.parametrize("mind", SCHEMAS[:4])
@pytest.mark.parametrize(
    "extra",
    [
        {"type": "boolean"},
        {"type": "string", "enum": ["x"]},
        {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
        {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"$ref": "#/$defs/x"},
        True,
    ],
)
def test_a_field_that_no_mind_knows_is_filled_to_its_schema(mind: str, extra: Any) -> None:
    bare = sound(ask("", mind, invalid_json=0, refusal=0))
    assert bare is not None
    properties = {"first": extra, **{name: {} for name in reversed(bare)}}
    schema = {"type": "object", "properties": properties, "$defs": {"x": {"const": 5}}}
    made = sound(ask("", mind, schema, invalid_json=0, refusal=0))
    assert made is not None
    assert list(made) == ["first", *reversed(bare)], "the order of the schema"
    assert {name: made[name] for name in bare} == bare, "what the mind knows stays as it is"
    if extra == {"$ref": "#/$defs/x"}:
        assert made["first"] == 5


@pytest.mark.parametrize("mind", SCHEMAS[:4])
def test_a_field_that_the_schema_lacks_is_left_out(mind: str) -> None:
    bare = sound(ask("", mind, invalid_json=0, refusal=0))
    assert bare is not None
    name = next(iter(bare))
    made = sound(ask("", mind, {"properties": {name: {}}}, invalid_json=0, refusal=0))
    assert made == {name: bare[name]}


@pytest.mark.parametrize(
    "properties, mind",
    [
        (["topics"], "topics"),
        (["question", "answer_kind", "answer"], "question"),
        (["own_answer", "verdict"], "verdict"),
        (["extracted", "same"], "same"),
        (["verdict"], None),
        (["question"], None),
        ([], None),
    ],
)
def test_a_schema_without_a_name_is_known_by_its_fields(properties: list[str], mind: str | None) -> None:
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in properties}}
    said = answer(ask("<count>2</count>", None, schema, invalid_json=0, refusal=0))
    made = json.loads(said.text)
    assert set(made) == set(properties)
    if mind == "topics":
        assert isinstance(made["topics"], list)
    if mind == "same":
        assert isinstance(made["same"], bool)
    if mind is None:
        assert all(isinstance(value, str) for value in made.values())


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "maximum": -5},
        {"type": "integer", "exclusiveMaximum": 0},
        {"type": "number", "maximum": -0.5},
        {"type": "integer", "minimum": 1000},
        {"type": "integer", "minimum": 7, "maximum": 7},
        {"type": "number", "minimum": -3, "maximum": -2},
        {"type": "integer", "maximum": 3},
    ],
)
def test_numbers_stay_within_bounds_of_any_sign(schema: dict[str, Any]) -> None:
    for seed in range(30):
        value = follow(schema, random.Random(seed))
        assert value >= schema.get("minimum", value)
        assert value <= schema.get("maximum", value)
        assert value < schema.get("exclusiveMaximum", value + 1)


@pytest.mark.parametrize(
    "schema", [True, {}, {"items": True}, {"properties": {"a": True}}, {"type": "array", "items": [1]}]
)
def test_schemas_that_say_little_are_followed(schema: Any) -> None:
    json.dumps(follow(schema, random.Random(1)))
