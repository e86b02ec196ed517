"""The manifest's JSON Schema says what ``check`` says, as far as a schema can, and explains every key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from chimera_batch.errors import InputError
from chimera_batch.pipeline import manifest, shape, shape_stage
from chimera_batch.pipeline.schema import FILE, manifest_schema
from chimera_batch.pipeline.schema_hosts import ENGINE, PROVIDER
from chimera_batch.pipeline.shape_values import Strict
from chimera_batch.pipeline.yamldoc import parse
from chimera_batch.providers.base import Engine, Profile
from chimera_batch.providers.profiles import builtin, with_overrides
from tests.cli_kit import call
from tests.conftest import ROOT
from tests.test_manifest import PROBLEMS, SMALL, replaced

SCHEMA = manifest_schema()
JUDGE = Draft202012Validator(SCHEMA)
SHIPPED = sorted((ROOT / "manifests").rglob("*.yaml"))
ACROSS = (  # what only the whole of a manifest shows
    "is not among the models", "is not a stage above", "is a table of the engine's own", "is a word of SQL",
    "stands above already", "`extra` may not set",
)  # fmt: skip


def flaws(text: str) -> list[str]:
    """What an editor would underline: the path and the message of each error, the deepest of a union."""
    data = parse(text, Path("m.yaml")).data
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in JUDGE.iter_errors(data)]


def test_it_is_a_schema_of_2020_12() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.slow  # reading YAML takes its time
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_manifest_fits_and_names_its_schema(path: Path) -> None:
    text = path.read_text("utf-8")
    assert flaws(text) == []
    first = text.partition("\n")[0]
    assert (path.parent / first.removeprefix("# yaml-language-server: $schema=")).name == FILE
    assert (path.parent / first.partition("$schema=")[2]).is_file()


def test_the_file_beside_the_manifests_is_this_version_s() -> None:
    mend = f"python -m chimera_batch schema -o manifests/{FILE}"
    assert json.loads((ROOT / "manifests" / FILE).read_text("utf-8")) == SCHEMA, mend


@pytest.mark.parametrize(("text", "said"), PROBLEMS)
def test_what_check_finds_by_structure_the_schema_finds_too(text: str, said: str) -> None:
    across = any(words in said for words in ACROSS)
    assert bool(flaws(text)) != across, flaws(text)


@pytest.mark.parametrize(
    ("line", "flaw"),
    [
        ("promt: x.md", "stages/0: Additional properties are not allowed ('promt' was unexpected)"),
        ("samples: many", "stages/0/samples: 'many' is not of type 'integer'"),
        ("route: best", "stages/0/route: 'best' is not one of ['first', 'cheapest']"),
        ("window: soon", "stages/0/window: 'soon' does not match '^(now|flex|[1-9][0-9]*[mhd])$'"),
    ],
)
def test_a_flaw_of_a_stage_is_one_flaw_in_its_own_words(line: str, flaw: str) -> None:
    """A plain union would say that the stage is none of four things."""
    assert flaws(replaced("rows: p/topics_rows.sql", f"rows: p/r.sql, {line}")) == [flaw]


def test_a_stage_of_no_kind_or_of_two() -> None:
    assert flaws(replaced("sql: p/final.sql", "route: first"))
    assert flaws(replaced("sql: p/final.sql", "sql: p/final.sql, file: x.csv"))


@pytest.mark.parametrize("wrong", ["route: first", "sql: p/final.sql, file: x.csv", "sql: p/f.sql, ask: luna"])
def test_of_a_stage_s_kind_one_thing_is_said_and_in_words(wrong: str) -> None:
    """Not what each of the kinds lacks. ``errorMessage`` is what the editors' YAML service shows."""
    data = parse(replaced("sql: p/final.sql", wrong), Path("m.yaml")).data
    (flaw,) = JUDGE.iter_errors(data)
    assert flaw.schema["errorMessage"] == "a stage has one of ask, sql, file and from"


def test_what_is_no_mapping_is_one_flaw() -> None:
    data = parse(SMALL, Path("m.yaml")).data
    assert [flaw.message for flaw in JUDGE.iter_errors({**data, "stages": ["topics"]})] == [
        "'topics' is not of type 'object'"
    ]


def test_every_pattern_has_words_for_people() -> None:
    def patterns(part: Any) -> Iterator[dict[str, Any]]:
        if isinstance(part, dict):
            if isinstance(part.get("pattern"), str):
                yield part
            for inner in part.values():
                yield from patterns(inner)
        elif isinstance(part, list):
            for inner in part:
                yield from patterns(inner)

    bare = [part for part in patterns(SCHEMA) if "patternErrorMessage" not in part]
    assert bare == [] and len(list(patterns(SCHEMA))) > 10


def test_an_editor_neither_writes_null_nor_shows_a_key_s_name_twice() -> None:
    text = json.dumps(SCHEMA)
    assert '"default": null' not in text
    assert not [key for key in SCHEMA["$defs"]["ModelChoice"]["properties"].values() if "title" in key]


def test_an_amount_is_a_number_or_one_in_quotes() -> None:
    assert flaws(SMALL + "budget: {usd: '5.50'}\n") == flaws(SMALL + "budget: {usd: 5.5}\n") == []
    assert len(flaws(SMALL + "budget: {usd: five}\n")) == 1


def test_every_built_in_provider_is_offered() -> None:
    assert set(shape_stage.BUILT_IN) == set(builtin())


def test_an_empty_stage_is_offered_the_kinds() -> None:
    assert set(SCHEMA["$defs"]["Stage"]["properties"]) == {"name", *shape_stage.KINDS}


def mappings(kind: type[BaseModel] = Strict) -> Iterator[type[BaseModel]]:
    for found in kind.__subclasses__():
        yield found
        yield from mappings(found)


def test_every_key_of_the_manifest_says_what_it_means() -> None:
    found = {model for model in mappings() if model.__module__ in {shape.__name__, shape_stage.__name__}}
    assert len(found) > 10
    for model in found:
        assert model.__doc__, model
        for name, info in model.model_fields.items():
            assert info.description and info.description.endswith((".", "?")), f"{model.__name__}.{name}"
            assert len(info.description) <= 120, f"{model.__name__}.{name}: a hover is one line"


def test_every_example_is_one() -> None:
    for name, part in [("Manifest", SCHEMA), *SCHEMA["$defs"].items()]:
        for key, said in part.get("properties", {}).items():
            judge = Draft202012Validator({**said, "$defs": SCHEMA["$defs"]})
            for example in said.get("examples", ()):
                assert not list(judge.iter_errors(example)), f"{name}.{key}: {example}"


def numbers(part: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every number that a manifest may hold, and where."""
    if isinstance(part, dict):
        kinds = part.get("type")
        if {"number", "integer"} & set(kinds if isinstance(kinds, list) else [kinds]):
            yield path, part
        for key, inner in part.items():
            yield from numbers(inner, f"{path}/{key}")
    for place, inner in enumerate(part if isinstance(part, list) else ()):
        yield from numbers(inner, f"{path}/{place}")


def test_every_number_says_how_small_it_may_be() -> None:
    """But a seed, of which any is as good as another, and what an engine's own command line is told."""
    found = dict(numbers(SCHEMA, ""))
    free = [path for path, said in found.items() if said.get("minimum", said.get("exclusiveMinimum", -1)) < 0]
    assert [path.split("/")[-2:] for path in free] == [["flags", "additionalProperties"], ["properties", "seed"]]
    assert len(found) > 30


def test_defaults_are_those_that_the_models_fill_in() -> None:
    stage = SCHEMA["$defs"]["AskStage"]["properties"]
    read = manifest.check(parse(SMALL, Path("m.yaml")))[0].stages[0]
    for key in ("samples", "route", "breaker"):
        assert stage[key]["default"] == getattr(read, key)
    assert SCHEMA["$defs"]["TruncatedRule"]["properties"]["ceiling"]["default"] == "2x"


# -- hosts: described by hand, so held against what reads them


def test_the_fields_of_hosts_are_all_there() -> None:
    assert set(PROVIDER) == {field.name for field in fields(Profile)} - {"name"}
    assert set(ENGINE) == {field.name for field in fields(Engine)}


HOST = Draft202012Validator({"$ref": "#/$defs/Provider", "$defs": SCHEMA["$defs"]})
ROLE = "arn:aws:iam::123456789012:role/batches"
VALUES: list[Any] = [None, True, 0, 1, -1, 1.5, "", "x", "http://h", "s3://bucket/prefix", "openai", ROLE,
                     [], ["x"], [1], {}, {"a": "b"}, {"a": 1}, {"kind": "vllm"}, {"kind": "nonsense"}]  # fmt: skip


@pytest.mark.parametrize("field", PROVIDER)
def test_the_schema_never_refuses_what_a_host_may_say(field: str) -> None:
    base = builtin()["bedrock" if field in {"region", "staging", "role"} else "openai"]
    agreed = 0
    for value in VALUES:
        try:
            with_overrides(base, "openai", {field: value})
        except InputError:
            continue
        assert not list(HOST.iter_errors({field: value})), value
        agreed += 1
    assert agreed, "not one value was tried that is right"


@pytest.mark.parametrize(
    "said",
    [
        {"max_requests": "many"},
        {"max_request": 5},
        {"flex": 1},
        {"engine": {"kind": "vlm"}},
        {"engine": {"knd": "vllm"}},
    ],
)
def test_a_host_s_flaws_are_found(said: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        with_overrides(builtin()["openai"], "openai", said)
    assert flaws(json.dumps({**parse(SMALL, Path("m.yaml")).data, "providers": {"openai": said}}))


# -- the command


def test_the_command_prints_it() -> None:
    assert call("schema").document == call("schema", "--json").document == SCHEMA


def test_the_command_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    done = call("schema", "-o", path)
    assert (done.code, json.loads(path.read_text("utf-8"))) == (0, SCHEMA)
    assert "# yaml-language-server: $schema=m.json" in done.out
    assert call("schema", "-o", path, "--json").document == {"file": str(path)}
    assert call("schema", "-o", tmp_path / "none" / "m.json", "--json").error["exit_code"] == 2


# -- what `init` leaves


def teaching() -> str:
    """The manifest of every other key that stands in the quickstart's comments."""
    text = (ROOT / "manifests" / "quickstart.yaml").read_text("utf-8")
    return "\n".join(line[3:] for line in text.splitlines() if line.startswith("#: "))


def keys_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys_of(inner)


def test_the_manifest_in_the_comments_is_one() -> None:
    assert flaws(teaching()) == []
    manifest.check(parse(teaching(), Path("m.yaml")))


@pytest.mark.slow  # reading YAML takes its time
def test_the_quickstart_teaches_every_key() -> None:
    quickstart = (ROOT / "manifests" / "quickstart.yaml").read_text("utf-8")
    shown = {key for text in (quickstart, teaching()) for key in keys_of(parse(text, Path("m.yaml")).data)}
    for model in mappings():
        if model.__module__ in {shape.__name__, shape_stage.__name__}:
            keys = {info.alias or name for name, info in model.model_fields.items()}
            assert keys <= shown, model.__name__


def test_defaults_in_the_comments_are_the_defaults() -> None:
    stage = manifest.check(parse(teaching(), Path("m.yaml")))[0].stages[2]
    assert isinstance(stage, shape_stage.AskStage)
    assert stage.retry == shape_stage.Retry()
    assert (stage.route, stage.breaker) == ("first", shape_stage.AskStage.model_fields["breaker"].default)
    assert stage.fallback is not None and stage.fallback.on == shape_stage.Fallback().on


def test_init_leaves_manifests_that_an_editor_understands_offline(tmp_path: Path) -> None:
    done = call("init", tmp_path / "mine", "--json").document
    assert str(tmp_path / "mine" / "manifests" / FILE) in done["files"]
    for path in (tmp_path / "mine" / "manifests").glob("*.yaml"):
        first = path.read_text("utf-8").partition("\n")[0]
        assert (path.parent / first.removeprefix("# yaml-language-server: $schema=")).is_file(), path
