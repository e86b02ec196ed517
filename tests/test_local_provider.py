"""The provider of one's own engines, over HTTP: what is asked again, what fails one request, what stops everything."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from chimera_batch.cost.machine_time import MachineTime
from chimera_batch.errors import AccountRefused, EngineFailed, ProviderDown, ProviderRefused
from chimera_batch.providers import make
from chimera_batch.providers.local import LocalProvider
from chimera_batch.providers.profiles import builtin, with_overrides
from chimera_batch.records import Intent
from tests.local_kit import FakeEngine, fake_engine, vllm_body, wire_line

VLLM = builtin()["vllm"]
MADE: list[LocalProvider] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Every provider of a test is closed."""
    yield
    while MADE:
        MADE.pop().close()


def kept(provider: LocalProvider) -> LocalProvider:
    MADE.append(provider)
    return provider


class FakeServer:
    """Somebody who starts engines: a list of addresses, one for each time that it is asked, the last one for ever."""

    def __init__(self, *addresses: str | Exception) -> None:
        self.addresses, self.asked, self.heard, self.closed = list(addresses), 0, 0, 0

    def address(self, model: str) -> str:
        self.asked += 1
        found = self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0]
        if isinstance(found, Exception):
            raise found
        return found

    def about(self) -> Mapping[str, str]:
        return {"engine": "vllm", "version": "0.32.0", "flags": "--enforce-eager"}

    def finished(self) -> None:
        self.heard += 1

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with fake_engine() as fake:
        yield fake


def ours(server: FakeServer) -> tuple[LocalProvider, list[float]]:
    """A provider of an engine that we manage, and what it slept."""
    naps: list[float] = []
    return kept(LocalProvider(VLLM, "", server=server, sleep=naps.append)), naps


def theirs(url: str, key: str = "", **more: Any) -> LocalProvider:
    profile = with_overrides(None, "mine", {"engine": {"kind": "attached"}, "base_url": url, **more})
    return kept(LocalProvider(profile, key, sleep=lambda _seconds: None))


def told(line: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(line)
    return found


def test_the_body_is_sent_byte_for_byte_and_the_answer_comes_as_a_line(engine: FakeEngine) -> None:
    server = FakeServer(engine.url)
    provider, _ = ours(server)
    sent = wire_line("two + two", seed=7, chat_template_kwargs={"enable_thinking": False})
    line = provider.ask(sent)
    assert b"\n" not in line and engine.asked[0]["body"] == json.loads(sent)["body"]
    assert engine.asked[0]["headers"]["X-Request-Id"] == "00000001-" + "a" * 32
    reply = provider.decode(line)
    assert (reply.outcome, reply.text, reply.reasoning) == ("ok", "echo two + two", "I think")
    assert reply.machine_ns is not None and reply.machine_ns > 0 and reply.usage and reply.usage.reasoning_tokens == 2
    engine_said = told(line)["engine"]
    assert engine_said.pop("seconds") and engine_said == {**server.about()}
    assert server.heard == 1
    provider.close()
    assert server.closed == 1


def test_a_lost_answer_is_asked_again_of_the_engine_that_came_back(engine: FakeEngine) -> None:
    provider, naps = ours(FakeServer("http://127.0.0.1:9/v1", engine.url))
    assert provider.decode(provider.ask(wire_line("LOSE it"))).outcome == "ok"
    assert engine.prompts == ["LOSE it", "LOSE it"] and naps == [0.5, 1.0]


def test_an_engine_that_fails_at_one_request_fails_at_that_one(engine: FakeEngine) -> None:
    provider, _ = ours(FakeServer(engine.url))
    reply = provider.decode(provider.ask(wire_line("STATUS 500")))
    assert (reply.outcome, reply.transient) == ("error", True) and len(engine.prompts) == 6
    assert provider.decode(provider.ask(wire_line("fine"))).outcome == "ok"


def test_an_engine_that_does_not_come_back_is_the_persons_and_the_rules(engine: FakeEngine) -> None:
    provider, _ = ours(FakeServer(EngineFailed("CUDA out of memory", why="out_of_memory")))
    with pytest.raises(EngineFailed, match="CUDA out of memory") as failed:
        provider.ask(wire_line("a"))
    assert failed.value.why == "out_of_memory"


def test_an_engine_that_loses_everything_is_not_asked_for_ever() -> None:
    server = FakeServer("http://127.0.0.1:9/v1")
    provider, naps = ours(server)
    with pytest.raises(ProviderDown):
        provider.ask(wire_line("a"))
    assert server.asked == 6 and naps == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


def test_the_time_of_a_call_that_failed_is_carried_by_others(engine: FakeEngine) -> None:
    now = [0]
    machine = MachineTime(lambda: now[0])

    class Slow(FakeServer):
        def address(self, model: str) -> str:
            now[0] += 5_000_000_000
            return super().address(model)

    server = Slow(EngineFailed("no", why="crash"), engine.url)
    provider = kept(LocalProvider(VLLM, "", server=server, machine=machine))
    with pytest.raises(EngineFailed):
        provider.ask(wire_line("a"))
    assert told(provider.ask(wire_line("b")))["engine"]["seconds"] == "10.000000000"


def test_an_answer_that_belongs_to_another_request_is_no_answer() -> None:
    mixed = ["00000001-" + "b" * 32]

    def shape(identity: str, prompt: str) -> dict[str, Any]:
        return vllm_body(mixed.pop() if mixed else identity, prompt)

    with fake_engine(shape) as engine:
        provider, _ = ours(FakeServer(engine.url))
        assert provider.decode(provider.ask(wire_line("a"))).outcome == "ok" and len(engine.prompts) == 2
        mixed.append("00000001-" + "b" * 32)
        with pytest.raises(ProviderDown, match="the answer is that of 00000001-bbb") as lost:
            theirs(engine.url).ask(wire_line("a"))
        assert lost.value.lost


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_bad_request_is_an_error_of_its_own(engine: FakeEngine, status: int) -> None:
    for provider in (ours(FakeServer(engine.url))[0], theirs(engine.url)):
        line = provider.ask(wire_line(f"STATUS {status}"))
        reply = provider.decode(line)
        assert (reply.outcome, reply.transient, reply.code) == ("error", False, "400")
        assert told(line)["response"]["status_code"] == status and "told to" in str(reply.message)
    assert len(engine.prompts) == 2


def test_a_model_that_is_not_there_stops_everything(engine: FakeEngine) -> None:
    with pytest.raises(ProviderRefused, match="refused unknown: HTTP 404") as refused:
        theirs(engine.url).ask(wire_line("a", model="unknown"))
    assert refused.value.hint == f"which models it has: curl {engine.url}/models"


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_stops_everything(engine: FakeEngine, status: int) -> None:
    with pytest.raises(AccountRefused) as refused:
        theirs(engine.url, "sk-secret").ask(wire_line(f"STATUS {status} sk-secret"))
    assert "sk-secret" not in str(refused.value)
    assert engine.asked[0]["headers"]["Authorization"] == "Bearer sk-secret"


def test_without_a_key_nothing_is_said_of_one(engine: FakeEngine) -> None:
    theirs(engine.url).ask(wire_line("a"))
    assert "Authorization" not in engine.asked[0]["headers"]


def test_somebodys_server_that_loses_an_answer_is_not_asked_again_blindly(engine: FakeEngine) -> None:
    with pytest.raises(ProviderDown) as lost:
        theirs(engine.url).ask(wire_line("LOSE it"))
    assert lost.value.lost and len(engine.prompts) == 1


def test_somebodys_server_that_is_busy_is_waited_for(engine: FakeEngine) -> None:
    with pytest.raises(ProviderDown) as down:
        theirs(engine.url).ask(wire_line("STATUS 503"))
    assert not down.value.lost and len(engine.prompts) == 5


# -- servers that differ


def ollama(identity: str, prompt: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 26, "completion_tokens": 8, "total_tokens": 34}
    return {"id": "chatcmpl-871", "object": "chat.completion", "model": "qwen3:8b", "choices": [choice], "usage": usage}


def llama_cpp(identity: str, prompt: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": "yes", "reasoning_content": "hm"}
    timings = {"prompt_n": 1, "predicted_per_second": 50.6}
    choice = {"finish_reason": "length", "index": 0, "message": message}
    usage = {"completion_tokens": 8, "prompt_tokens": 26, "total_tokens": 34}
    return {"choices": [choice], "model": "g", "usage": usage, "id": "chatcmpl-Xq3", "timings": timings}


def sglang(identity: str, prompt: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": "yes", "reasoning_content": None, "tool_calls": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop", "matched_stop": 151645}
    usage = {"prompt_tokens": 26, "total_tokens": 34, "completion_tokens": 8, "prompt_tokens_details": None}
    return {"id": "a3f1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}


@pytest.mark.parametrize(
    ("shape", "outcome", "thought"),
    [(ollama, "ok", None), (llama_cpp, "truncated", "hm"), (sglang, "ok", None)],
)
def test_servers_answer_each_in_their_own_way(shape: Any, outcome: str, thought: str | None) -> None:
    with fake_engine(shape) as engine:
        provider = theirs(engine.url)
        reply = provider.decode(provider.ask(wire_line("a")))
        assert (reply.outcome, reply.text, reply.reasoning) == (outcome, "yes", thought)
        assert reply.usage and (reply.usage.input_tokens, reply.usage.output_tokens) == (26, 8)


ERRORS = [
    {"error": {"message": "too long", "type": "BadRequestError", "param": None, "code": 400}},  # vLLM
    {"object": "error", "message": "too long", "type": "BadRequestError", "param": None, "code": 400},  # SGLang
    {"error": {"message": "too long", "type": "invalid_request_error", "param": None, "code": None}},  # Ollama
    {"error": {"code": 400, "message": "too long", "type": "invalid_request_error"}},  # llama.cpp
    {"error": {"error": {"message": "too long", "type": "BadRequestError", "code": 400}}},
    b"too long",
]


@pytest.mark.parametrize("answer", ERRORS)
def test_their_errors_are_read_in_every_shape(engine: FakeEngine, answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "answer", lambda identity, body: (400, answer))
    provider = theirs(engine.url)
    reply = provider.decode(provider.ask(wire_line("a")))
    assert reply.outcome == "error" and reply.message == "HTTP 400: too long"


@pytest.mark.parametrize(("path", "version"), [("/version", "0.32.0"), ("/api/version", "0.32.0"), ("/none", None)])
def test_its_version_is_asked_once(path: str, version: str | None) -> None:
    with fake_engine(version_path=path) as engine:
        provider = theirs(engine.url)
        said = [told(provider.ask(wire_line(text)))["engine"].get("version") for text in "ab"]
        assert said == [version] * 2


def test_a_reply_that_is_none(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    for answer in (b"<html>", b"[]", {"error": "overloaded"}):
        monkeypatch.setattr(engine, "answer", lambda identity, body, answer=answer: (200, answer))
        with pytest.raises(ProviderDown) as lost:
            theirs(engine.url).ask(wire_line("a"))
        assert lost.value.lost


# -- giving up


@pytest.mark.parametrize("managed", [True, False])
def test_closing_wakes_everybody_who_waits(engine: FakeEngine, managed: bool) -> None:
    """A hundred calls without an answer, and a person who breaks off: all of them end at once."""
    server = FakeServer(engine.url) if managed else None
    provider = kept(LocalProvider(replace(VLLM, base_url=engine.url), "", server=server))
    ended: list[str] = []

    def call(number: int) -> None:
        try:
            provider.ask(wire_line(f"HOLD {number}"))
        except ProviderDown as down:
            ended.append(str(down))

    threads = [threading.Thread(target=call, args=(number,), daemon=True) for number in range(100)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 30
    while engine.under_way < 100:
        assert time.monotonic() < end
        time.sleep(0.01)
    provider.close()
    for thread in threads:
        thread.join(60)
    assert len(ended) == 100 and engine.under_way == 100, "the server did not answer: we cut the line"


def test_what_was_closed_stays_closed(engine: FakeEngine) -> None:
    provider = theirs(engine.url)
    provider.close()
    with pytest.raises(ProviderDown):
        provider.ask(wire_line("a"))
    provider.close()
    assert not engine.prompts


# -- no batches


def test_it_takes_no_batches(engine: FakeEngine) -> None:
    provider = theirs(engine.url)
    one = Intent("s", 1, "00000001", "", 1, 1, "/v1/chat/completions", "tiny", "24h", "r", 0.0)
    assert provider.find(one) == [] and provider.find_uploads(one) == []
    provider.discard(["file-1"])
    refusals: list[Any] = [
        lambda: provider.upload(one, None),  # type: ignore[arg-type]  # it does not look
        lambda: provider.create(one, None, None),  # type: ignore[arg-type]  # nor here
        lambda: provider.state("b"),
        lambda: provider.fetch(None, None),  # type: ignore[arg-type]  # nor here
        lambda: provider.cancel("b"),
    ]
    for refused in refusals:
        with pytest.raises(ProviderRefused, match="mine takes no batches"):
            refused()


def test_make_gives_it_to_every_engine_that_takes_no_batches(tmp_path: Any) -> None:
    for name in ("vllm", "ollama"):
        assert type(make(builtin()[name], "", state=tmp_path)) is LocalProvider
