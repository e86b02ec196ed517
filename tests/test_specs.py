"""Every line that a run sends, held against what the providers publish about their requests.

Anthropic's schema of a Message Batches request and OpenAI's of files and batches lie beside a developer's checkout
(tests skip without them); the bodies in OpenAI's form are held against the parameter types of the installed SDKs.
Neither has anything to do with our own linting. The lines of paper scale are held against them where that is run.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import TypeAdapter

from chimera_batch.endpoints import ENDPOINTS
from chimera_batch.pipeline import project
from chimera_batch.providers import profiles
from chimera_batch.records import Call, Intent, Message
from chimera_batch.requests.wire import nonced, read_lines
from tests.conftest import ROOT, SHARED
from tests.end_to_end import Rehearsed, provider, shipped

Line = dict[str, Any]
ANTHROPIC = SHARED / "specs" / "anthropic-batch-requests-only.json"
OPENAI = SHARED / "specs" / "openai-batch-requests-only.json"
FURTHER = {"deepinfra": {"top_k"}}  # what compatible hosts document beyond OpenAI's own fields


# -- validators


def published(path: Path, name: str) -> jsonschema.Draft202012Validator:
    """A component of an OpenAPI document."""
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    document = json.loads(path.read_text())
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return jsonschema.Draft202012Validator(schema)


@cache
def of_sdk(name: str, further: frozenset[str] = frozenset()) -> jsonschema.Draft202012Validator:
    """A parameter type of an SDK as a JSON schema that knows no fields but those of the type, at any depth."""
    from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
    from openai.types import EmbeddingCreateParams
    from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
    from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming

    types = {
        "/v1/chat/completions": CompletionCreateParamsNonStreaming,
        "/v1/responses": ResponseCreateParamsNonStreaming,
        "/v1/embeddings": EmbeddingCreateParams,
        "/v1/messages": MessageCreateParamsNonStreaming,
    }
    schema = TypeAdapter(types[name]).json_schema()
    _close(schema)
    for field in further:
        schema["properties"][field] = {}
    return jsonschema.Draft202012Validator(schema)


def _close(schema: Any) -> None:
    if isinstance(schema, dict):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for part in schema.values():
            _close(part)
    elif isinstance(schema, list):
        for part in schema:
            _close(part)


def flaws(validator: jsonschema.Draft202012Validator, lines: Iterable[Any]) -> list[str]:
    """What the first bad line lacks; [] is what we want."""
    for line in lines:
        error = jsonschema.exceptions.best_match(validator.iter_errors(line))
        if error is not None:
            return [f"{error.json_path}: {error.message[:300]}"]
    return []


def whole_line(line: Line) -> list[str]:
    """One line of an OpenAI batch file around its body; the specification has it in prose only."""
    found = []
    if list(line) != ["custom_id", "method", "url", "body"]:
        found.append(f"fields {list(line)}")
    if line.get("method") != "POST":
        found.append(f"method {line.get('method')}")
    return found


# -- what a run sends


def sent_lines(objects: Iterable[Path]) -> Iterator[tuple[str, str, Line]]:
    """(profile, endpoint, line) of everything that was packed, as it goes out: with a nonce before its id."""
    for path in objects:
        host = path.parent.name.partition("@")[0]
        for raw in read_lines(path):
            line = json.loads(nonced(raw, "0123abcd"))
            yield host, line.get("url", "/v1/messages"), line


def check_bodies(objects: list[Path]) -> dict[tuple[str, str], int]:
    """Hold every line against the SDK's types; how many there were of each kind."""
    kinds: dict[tuple[str, str], list[Line]] = {}
    for host, endpoint, line in sent_lines(objects):
        kinds.setdefault((host, endpoint), []).append(line)
    for (host, endpoint), lines in kinds.items():
        assert flaws(of_sdk(endpoint, frozenset(FURTHER.get(host, ()))), map(body, lines)) == [], (host, endpoint)
        if endpoint != "/v1/messages":
            assert [flaw for line in lines for flaw in whole_line(line)] == []
        ids = [line["custom_id"] for line in lines]
        assert len(ids) == len(set(ids))
    return {kind: len(lines) for kind, lines in kinds.items()}


def check_published(objects: list[Path]) -> None:
    validator = published(ANTHROPIC, "MessageBatchIndividualRequestParams")
    lines = [line for host, _, line in sent_lines(objects) if host == "anthropic"]
    assert lines
    assert flaws(validator, lines) == []


def body(line: Line) -> Line:
    return dict(line["params"] if "params" in line else line["body"])


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    folder = tmp_path_factory.mktemp("quickstart")
    with provider(folder / "server") as served:
        place = Rehearsed(shipped("quickstart"), str(folder / "store"), served, folder / "cache")
        place.run()
        return place


def packed(place: Rehearsed) -> list[Path]:
    return [path for path in place.objects(".jsonl.zst") if "requests" in path.parts]


@pytest.mark.slow
def test_every_line_of_the_quickstart_fits_what_anthropic_publishes(quickstart: Rehearsed) -> None:
    check_published(packed(quickstart))


@pytest.mark.slow
def test_every_line_of_the_quickstart_fits_the_sdks(quickstart: Rehearsed) -> None:
    counts = check_bodies(packed(quickstart))
    assert counts.keys() == {
        ("openai", "/v1/chat/completions"),
        ("anthropic", "/v1/messages"),
        ("deepinfra", "/v1/chat/completions"),
    }
    assert min(counts.values()) >= 5
    assert sum(counts.values()) > 200


# -- what a run does not happen to use

SCHEMA = '{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}'
MESSAGES = [Message("system", "Count."), Message("user", "How many?"), Message("assistant", "1"), Message("user", "?")]


def every_call() -> Iterator[tuple[str, Call]]:
    """Each endpoint with everything that a manifest can say about a call."""
    plain = Call("p", "/v1/chat/completions", "gpt-6.1-terra", 900, schema=SCHEMA, schema_name="count")
    for effort in ("none", "minimal", "low", "medium", "high", "xhigh"):
        yield "openai", _with(plain, effort=effort)
        yield "openai", _with(plain, effort=effort, endpoint="/v1/responses")
    open_model = _with(plain, model="Qwen/Qwen3-235B-A22B-Thinking-2507", temperature=0.6, top_p=0.95)
    yield "openai", open_model
    yield "deepinfra", _with(open_model, top_k=20)
    yield "openai", _with(open_model, endpoint="/v1/responses", schema=None)
    yield "openai", Call("p", "/v1/embeddings", "text-embedding-3-small", 1, extra='{"dimensions":256}')
    for effort in (None, "low", "medium", "high", "max"):
        claude = _with(plain, endpoint="/v1/messages", model="claude-haiku-5-5", effort=effort)
        yield "anthropic", claude
        yield "anthropic", _with(claude, cache=True, schema=None)


def _with(call: Call, **changes: Any) -> Call:
    return Call(**{**{name: getattr(call, name) for name in Call.__slots__}, **changes})


def test_every_kind_of_call_fits() -> None:
    for host, call in every_call():
        endpoint = ENDPOINTS[call.endpoint]
        line = endpoint.line("0123abcd-" + "0" * 32, endpoint.body(call, MESSAGES))
        assert endpoint.problems(line) == []
        assert flaws(of_sdk(call.endpoint, frozenset(FURTHER.get(host, ()))), [body(line)]) == [], call
        if call.endpoint == "/v1/messages":
            assert flaws(published(ANTHROPIC, "MessageBatchIndividualRequestParams"), [line]) == [], call


def test_what_creates_files_and_batches_fits() -> None:
    intent = Intent(
        "problems-0123456789ab", 1, "0123abcd", "0" * 64, 9, 99, "/v1/responses", "m", "24h", "r" * 600, 1.0
    )
    batches, files = published(OPENAI, "CreateBatchRequest"), published(OPENAI, "CreateFileRequest")
    openai = profiles.builtin()["openai"]
    for endpoint in openai.endpoints:
        for window in openai.windows:
            request = {"input_file_id": "file-1", "endpoint": endpoint, "completion_window": window}
            assert flaws(batches, [{**request, "metadata": intent.metadata}]) == []
    assert flaws(files, [{"file": intent.file_name, "purpose": openai.purpose}]) == []


def test_every_shipped_manifest_names_endpoints_that_batches_take() -> None:
    batches = published(OPENAI, "CreateBatchRequest")
    taken = batches.schema["components"]["schemas"]["CreateBatchRequest"]["properties"]["endpoint"]["enum"]
    for path in sorted((ROOT / "manifests").glob("*.yaml")):
        for stage in project.load(path).stages:
            for call in stage.calls:
                assert call.endpoint in {*taken, "/v1/messages"}, (path.name, stage.name)


# -- the validators can fail

Spoil = Callable[[Line], Any]
SPOILT: list[tuple[str, str, Spoil]] = [
    ("openai", "a field of nobody's", lambda line: line["body"].update(reasoning={"effort": "low"})),
    ("openai", "a role of nobody's", lambda line: line["body"]["messages"][0].update(role="robot")),
    ("openai", "no messages", lambda line: line["body"].pop("messages")),
    ("openai", "an effort that there is not", lambda line: line["body"].update(reasoning_effort="huge")),
    ("openai", "a schema without a name", lambda line: line["body"]["response_format"]["json_schema"].pop("name")),
    ("anthropic", "no ceiling", lambda line: line["params"].pop("max_tokens")),
    ("anthropic", "a field of OpenAI's", lambda line: line["params"].update(max_completion_tokens=5)),
    ("anthropic", "text where a number belongs", lambda line: line["params"].update(max_tokens="many")),
    ("anthropic", "an effort that there is not", lambda line: line["params"].update(output_config={"effort": "huge"})),
]


@pytest.mark.parametrize(("host", "what", "spoil"), SPOILT, ids=[f"{host}: {what}" for host, what, _ in SPOILT])
def test_a_spoilt_line_does_not_fit(host: str, what: str, spoil: Spoil) -> None:
    call = next(call for name, call in every_call() if name == host and call.schema)
    endpoint = ENDPOINTS[call.endpoint]
    line = copy.deepcopy(endpoint.line("0123abcd-" + "0" * 32, endpoint.body(call, MESSAGES)))
    assert flaws(of_sdk(call.endpoint), [body(line)]) == []
    spoil(line)
    assert flaws(of_sdk(call.endpoint), [body(line)]) != []


@pytest.mark.parametrize("identity", ["", "a" * 65, "with a blank", "ümlaut"])
def test_an_id_that_anthropic_refuses_does_not_fit(identity: str) -> None:
    params = {"model": "claude-haiku-5-5", "max_tokens": 5, "messages": [{"role": "user", "content": "?"}]}
    validator = published(ANTHROPIC, "MessageBatchIndividualRequestParams")
    assert flaws(validator, [{"custom_id": "0123abcd-" + "0" * 32, "params": params}]) == []
    assert flaws(validator, [{"custom_id": identity, "params": params}]) != []
