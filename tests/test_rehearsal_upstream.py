"""``rehearsal serve --upstream``: the batch protocols with the answers of an OpenAI-compatible server."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest

from chimera_batch.rehearsal import __main__ as process
from chimera_batch.rehearsal.asks import Refused
from chimera_batch.rehearsal.clerk import Clerk, Errand
from chimera_batch.rehearsal.desk import Options
from chimera_batch.rehearsal.tariff import Tariff
from chimera_batch.rehearsal.upstream import Given, Gone, Link, Unreachable, Upstream, reach, refusal
from chimera_batch.rehearsal.upstream_batch import Ahead, Kept
from chimera_batch.rehearsal.upstream_messages import chat_of, message_of
from chimera_batch.rehearsal.upstream_usage import Used, usable, used
from tests.rehearsal_kit import FAST, PRICES, Hall

KEY = "0123456789abcdef0123456789abcd"


class Engine:
    """An OpenAI-compatible server of this process: ``act`` sees a body and says (status, body); None: hangs up."""

    def __init__(self, act: Callable[[dict[str, Any]], tuple[int, Any] | None]) -> None:
        self.act = act
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.now = self.most = 0  # requests under way
        self._lock = threading.Lock()
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with engine._lock:
                    engine.bodies.append(body)
                    engine.paths.append(self.path)
                    engine.headers.append({name.lower(): value for name, value in self.headers.items()})
                    engine.now += 1
                    engine.most = max(engine.most, engine.now)
                try:
                    said = engine.act(body)
                finally:
                    with engine._lock:
                        engine.now -= 1
                if said is None:
                    self.close_connection = True
                    return
                raw = said[1] if isinstance(said[1], bytes) else json.dumps(said[1]).encode()
                self.send_response(said[0])
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def do_GET(self) -> None:
                self.send_response(401 if "sk-wanted" not in self.headers.get("authorization", "sk-wanted") else 200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def engine(act: Callable[[dict[str, Any]], tuple[int, Any] | None] | None = None) -> Iterator[Engine]:
    made = Engine(act or (lambda body: (200, completion(body))))
    try:
        yield made
    finally:
        made.close()


def completion(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What an engine says to a chat: the last turn, turned around."""
    text = body["messages"][-1]["content"][::-1]
    message = {"role": "assistant", "content": text, "reasoning": "hm"}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 3}}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "chatcmpl-9", "model": body["model"], "choices": [choice], "usage": usage} | changes


class Behind(Hall):
    """A served desk whose answers come from an engine."""

    def __init__(self, state: Path, link: Link, **settings: Any) -> None:
        self.state = state
        self.options = Options(state, FAST, 7, {"prices": PRICES, **settings}, None, link)
        self.open()


@contextmanager
def behind(state: Path, url: str, *, model: str = "", at_once: int = 4) -> Iterator[Behind]:
    hall = Behind(state, Link(url, model, at_once=at_once))
    try:
        yield hall
    finally:
        hall.close()


def custom_id(n: int) -> str:
    return f"{1:08x}-{n:032x}"


def batch_of(host: openai.OpenAI, texts: list[str], model: str = "plain", **fields: Any) -> str:
    lines = [
        {
            "custom_id": custom_id(n),
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": model, "messages": [{"role": "user", "content": text}], **fields},
        }
        for n, text in enumerate(texts)
    ]
    raw = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    uploaded = host.files.create(file=("b.jsonl", raw), purpose="batch")
    told = host.batches.create(input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h")
    return told.id


def ended(host: openai.OpenAI, ident: str, within: float = 120) -> Any:
    until = time.monotonic() + within
    while time.monotonic() < until:
        batch = host.batches.retrieve(ident)
        if batch.status in {"completed", "cancelled", "failed", "expired"}:
            return batch
        time.sleep(0.02)
    raise AssertionError(f"{ident} does not end: {batch}")


def rows_of(host: openai.OpenAI, file_id: str | None) -> dict[int, dict[str, Any]]:
    if not file_id:
        return {}
    lines = [json.loads(line) for line in host.files.content(file_id).text.splitlines()]
    assert len({line["custom_id"] for line in lines}) == len(lines)
    return {int(line["custom_id"][9:], 16): line for line in lines}


def bill_of(state: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (state / "billing.jsonl").read_text("utf-8").splitlines()]


# --- batches in OpenAI's dialect


def test_a_batch_is_answered_by_the_engine(tmp_path: Path) -> None:
    with engine() as below, behind(tmp_path, below.url) as hall, hall.openai() as host:
        batch = ended(host, batch_of(host, ["abc", "def", "ghi"], temperature=0.5, seed=7))
        rows = rows_of(host, batch.output_file_id)
        bill = bill_of(tmp_path)
    said = {n: row["response"]["body"]["choices"][0]["message"]["content"] for n, row in rows.items()}
    assert said == {0: "cba", 1: "fed", 2: "ihg"}
    assert {row["response"]["body"]["id"] for row in rows.values()} == {"chatcmpl-9"}  # passed through as it came
    assert (batch.request_counts.completed, batch.request_counts.failed) == (3, 0)
    assert (batch.usage.input_tokens, batch.usage.output_tokens) == (33, 21)
    assert sorted(body["seed"] for body in below.bodies) == [7, 7, 7]
    assert set(below.paths) == {"/v1/chat/completions"}
    assert len(bill) == 3
    one = bill[0]
    assert (one["input_tokens"], one["cached_tokens"], one["output_tokens"], one["usable"]) == (11, 3, 7, True)
    assert one["usd"] == "0.0000445"  # half of (8 * 2 + 3 * 1 + 7 * 10) / 1,000,000
    assert not list(tmp_path.glob("batches/*.answers.jsonl"))  # the results hold them now


def test_no_more_than_asked_for_are_under_way_and_never_one_alone(tmp_path: Path) -> None:
    gate = threading.Barrier(3)  # breaks unless three are under way at once, three times

    def act(body: dict[str, Any]) -> tuple[int, Any]:
        gate.wait(60)
        return 200, completion(body)

    with engine(act) as below, behind(tmp_path, below.url, at_once=3) as hall, hall.openai() as host:
        batch = ended(host, batch_of(host, [f"q{n}" for n in range(9)]))
        assert batch.request_counts.completed == 9
    assert below.most == 3


def test_what_the_engine_refuses_is_an_error_row_and_costs_nothing(tmp_path: Path) -> None:
    def act(body: dict[str, Any]) -> tuple[int, Any]:
        if "long" in body["messages"][0]["content"]:
            return 400, {"error": {"message": "maximum context length is 2048", "type": "x", "code": 400}}
        return 200, completion(body)

    with engine(act) as below, behind(tmp_path, below.url) as hall, hall.openai() as host:
        batch = ended(host, batch_of(host, ["short", "long"]))
        wrong = rows_of(host, batch.error_file_id)
        assert rows_of(host, batch.output_file_id).keys() == {0}
        assert len(bill_of(tmp_path)) == 1
    assert wrong[1]["response"]["status_code"] == 400
    assert wrong[1]["response"]["body"]["error"]["message"] == "maximum context length is 2048"
    assert len(below.bodies) == 2  # a definite refusal is not asked again


def test_a_dropped_reply_is_asked_again_on_the_spot(tmp_path: Path) -> None:
    tries: Counter[str] = Counter()

    def act(body: dict[str, Any]) -> tuple[int, Any] | None:
        text = body["messages"][0]["content"]
        tries[text] += 1
        return None if text == "b" and tries[text] == 1 else (200, completion(body))

    with engine(act) as below, behind(tmp_path, below.url) as hall, hall.openai() as host:
        batch = ended(host, batch_of(host, ["ab", "b"]))
        assert batch.request_counts.completed == 2
        assert len(bill_of(tmp_path)) == 2
    assert tries == {"ab": 1, "b": 2}


def test_a_restart_asks_nothing_that_was_answered(tmp_path: Path) -> None:
    hold = threading.Event()
    asked: Counter[str] = Counter()

    def act(body: dict[str, Any]) -> tuple[int, Any]:
        text = body["messages"][0]["content"]
        asked[text] += 1
        if text >= "q5" and not hold.is_set():
            hold.wait(120)
        return 200, completion(body)

    with engine(act) as below:
        with behind(tmp_path, below.url, at_once=2) as hall, hall.openai() as host:
            ident = batch_of(host, [f"q{n}" for n in range(8)])
            kept = Kept(tmp_path / "batches" / f"{ident}.answers.jsonl")
            until = time.monotonic() + 60
            while len(kept) < 5 and time.monotonic() < until:
                time.sleep(0.02)
            counts = host.batches.retrieve(ident).request_counts
            assert counts.completed <= 5  # what is answered, not what the clock would say
        hold.set()
        assert len(kept) == 5
        assert bill_of(tmp_path) == []
        with (tmp_path / "batches" / f"{ident}.answers.jsonl").open("ab") as file:
            file.write(b'{"custom_id": "torn')  # as a power cut leaves it
        with behind(tmp_path, below.url, at_once=2) as hall, hall.openai() as host:
            batch = ended(host, ident)
            rows = rows_of(host, batch.output_file_id)
            bill = bill_of(tmp_path)
    assert rows.keys() == set(range(8))
    assert Counter(line["custom_id"] for line in bill) == {custom_id(n): 1 for n in range(8)}
    assert {text: times for text, times in asked.items() if times > 1}.keys() <= {"q5", "q6"}  # those under way


def test_a_cancelled_batch_ends_with_what_was_begun(tmp_path: Path) -> None:
    go = threading.Event()

    def act(body: dict[str, Any]) -> tuple[int, Any]:
        go.wait(120)  # longer than the loop below: the cancel comes first
        return 200, completion(body)

    with engine(act) as below, behind(tmp_path, below.url, at_once=2) as hall, hall.openai() as host:
        ident = batch_of(host, [f"q{n}" for n in range(6)])
        until = time.monotonic() + 60
        while below.now < 2 and time.monotonic() < until:
            time.sleep(0.02)
        host.batches.cancel(ident)
        go.set()
        batch = ended(host, ident)
        done, rest = rows_of(host, batch.output_file_id), rows_of(host, batch.error_file_id)
        assert len(bill_of(tmp_path)) == len(done)
    assert batch.status == "cancelled"
    assert 2 <= len(done) <= 3 and done.keys() | rest.keys() == set(range(6))
    assert {row["error"]["code"] for row in rest.values()} == {"batch_cancelled"}


def test_a_model_that_nobody_prices_is_answered_for_nothing(tmp_path: Path) -> None:
    with engine() as below, behind(tmp_path, below.url, model="tiny") as hall, hall.openai() as host:
        batch = ended(host, batch_of(host, ["abc"], model="Unheard/of"))
        row = rows_of(host, batch.output_file_id)[0]
    assert [body["model"] for body in below.bodies] == ["tiny"]  # --upstream-model
    assert row["response"]["body"]["model"] == "tiny"  # what answered, as it says itself
    assert [(line["model"], line["usd"]) for line in bill_of(tmp_path)] == [("Unheard/of", "0")]


# --- synchronous calls, and Anthropic's dialect


def test_synchronous_calls_go_through_many_at_once(tmp_path: Path) -> None:
    gate = threading.Barrier(4)

    def act(body: dict[str, Any]) -> tuple[int, Any]:
        gate.wait(60)
        return 200, completion(body)

    said = []
    with engine(act) as below, behind(tmp_path, below.url) as hall, hall.openai() as host:

        def ask(n: int) -> None:
            turn: Any = [{"role": "user", "content": f"q{n}"}]
            said.append(host.chat.completions.create(model="plain", messages=turn).choices[0].message.content)

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(bill_of(tmp_path)) == 4
    assert sorted(filter(None, said)) == ["0q", "1q", "2q", "3q"]


def test_a_synchronous_refusal_keeps_its_status(tmp_path: Path) -> None:
    with (
        engine(lambda body: (404, {"detail": "no such model"})) as below,
        behind(tmp_path, below.url) as hall,
        hall.openai() as host,
    ):
        turn: Any = [{"role": "user", "content": "q"}]
        with pytest.raises(openai.NotFoundError, match="no such model"):
            host.chat.completions.create(model="plain", messages=turn)
        assert bill_of(tmp_path) == []


def test_a_message_batch_is_translated_there_and_back(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}

    def act(body: dict[str, Any]) -> tuple[int, Any]:
        said = completion(body)
        if "response_format" in body:
            said["choices"][0]["message"]["content"] = '{"a": "x"}'
        return 200, said

    with engine(act) as below, behind(tmp_path, below.url, model="tiny") as hall, hall.anthropic() as host:
        turn: Any = [{"role": "user", "content": "abc"}]
        shaped: Any = {"format": {"type": "json_schema", "schema": schema}}
        one: Any = {"model": "claude", "max_tokens": 50, "system": "be brief", "messages": turn}
        requests: Any = [
            {"custom_id": custom_id(0), "params": one},
            {"custom_id": custom_id(1), "params": one | {"output_config": shaped}},
        ]
        ident = host.messages.batches.create(requests=requests).id
        until = time.monotonic() + 60
        while host.messages.batches.retrieve(ident).processing_status != "ended" and time.monotonic() < until:
            time.sleep(0.02)
        told = {row.custom_id: row.result for row in host.messages.batches.results(ident)}
    assert below.bodies[0]["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "abc"},
    ]
    asked = next(body for body in below.bodies if "response_format" in body)
    assert asked["response_format"]["json_schema"]["schema"] == schema
    plain, shaped = told[custom_id(0)].message, told[custom_id(1)].message
    assert [block.type for block in plain.content] == ["thinking", "text"]
    assert plain.content[1].text == "cba"
    assert shaped.content[1].text == '{"a": "x"}'
    assert (plain.stop_reason, plain.usage.input_tokens, plain.usage.cache_read_input_tokens) == ("end_turn", 8, 3)
    assert {line["input_tokens"] for line in bill_of(tmp_path)} == {11}


# --- its parts


def test_stops_are_told_in_the_other_s_words() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    for finish, stop in (("stop", "end_turn"), ("length", "max_tokens"), (None, "end_turn"), ("odd", "end_turn")):
        said = completion(body)
        said["choices"][0]["finish_reason"] = finish
        assert message_of(said)["stop_reason"] == stop
    assert message_of({})["content"] == []
    assert message_of({"choices": [{"message": {"reasoning_content": "old name"}}]})["content"][0]["type"] == "thinking"


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"messages": []},
        {"messages": ["x"]},
        {"messages": [{"role": "user", "content": 3}]},
        {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
        {"messages": [{"role": "user", "content": "x"}], "tools": [{"name": "t"}]},
    ],
)
def test_what_has_no_translation_is_refused(params: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        chat_of({"model": "m", **params})
    assert refused.value.status == 400


def test_blocks_of_text_are_one_text() -> None:
    params = {
        "model": "m",
        "max_tokens": 9,
        "system": [
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "b"},
        ],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "c"}]}],
        "stop_sequences": ["END"],
        "thinking": {"type": "adaptive"},
    }
    assert chat_of(params) == {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "system", "content": "a\n\nb"}, {"role": "user", "content": "c"}],
        "stop": ["END"],
    }


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({}, Used(0, 0, 0, 0)),
        ({"usage": None}, Used(0, 0, 0, 0)),
        ({"usage": {"prompt_tokens": 5, "completion_tokens": -1}}, Used(5, 0, 0, 0)),
        (
            {
                "usage": {
                    "prompt_tokens": 5,
                    "completion_tokens": 9,
                    "completion_tokens_details": {"reasoning_tokens": 4},
                }
            },
            Used(5, 0, 9, 4),
        ),
        (
            {"usage": {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 9}, "output_tokens": 2}},
            Used(5, 5, 2, 0),
        ),
        (
            {"type": "message", "usage": {"input_tokens": 5, "cache_read_input_tokens": 6, "output_tokens": 2}},
            Used(11, 6, 2, 0),
        ),
    ],
)
def test_usage_in_three_dialects(body: dict[str, Any], wanted: Used) -> None:
    assert used(body) == wanted


def test_what_nobody_has_to_ask_for_again() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "}{"}]}
    asked = {"response_format": {"type": "json_schema"}}
    fine, cut, empty = completion(body), completion(body), completion(body)
    cut["choices"][0]["finish_reason"] = "length"
    empty["choices"][0]["message"]["content"] = None
    assert usable(fine, {}) and usable(fine, asked)  # turned around it is {}
    assert not usable(cut, {}) and not usable(empty, {}) and not usable({}, {})
    fine["choices"][0]["message"]["content"] = "not JSON"
    assert usable(fine, {}) and not usable(fine, asked)
    assert usable(message_of(completion(body)), {"output_config": {"format": {"type": "json_schema"}}})
    item = {"type": "message", "content": [{"type": "output_text", "text": "x"}]}
    assert usable({"status": "completed", "output": [{"type": "reasoning"}, item]}, {})
    assert not usable({"status": "incomplete", "output": [item]}, {})
    assert usable({"object": "list", "data": [{"embedding": [0.1]}]}, {})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "m", "code": 7}}, "m"),
        ({"detail": "d"}, "d"),
        ({"error": "bare"}, "bare"),
        ({}, "The upstream refused this request."),
    ],
)
def test_a_refusal_in_any_shape(body: dict[str, Any], message: str) -> None:
    refused = refusal(Given(418, body))
    assert (refused.status, refused.message, refused.code) == (418, message, None)


@pytest.mark.parametrize("said", [b"<html>oops</html>", b'"text"', b'{"error": {"message": "x"}}'])
def test_a_200_that_is_no_answer_is_none(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chimera_batch.rehearsal.upstream._PAUSE", 0.001)
    with engine(lambda body: (200, said)) as below:
        given = Upstream(Link(below.url)).ask("/v1/chat/completions", {"model": "m", "messages": []})
    assert given.status == 502
    assert len(below.bodies) == 5  # it may pass, so it was tried


def test_an_engine_that_is_gone_is_a_503_of_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chimera_batch.rehearsal.upstream._PAUSE", 0.001)
    with engine() as below:
        pass
    given = Upstream(Link(below.url)).ask("/v1/chat/completions", {"model": "m"})
    assert given.status == 503
    assert "does not answer" in refusal(given).message


def test_closing_lets_go_of_who_waits() -> None:
    go = threading.Event()

    def act(body: dict[str, Any]) -> tuple[int, Any]:
        go.wait(120)  # longer than the loop below: the cancel comes first
        return 200, completion(body)

    caught: list[Gone] = []
    with engine(act) as below:
        upstream = Upstream(Link(below.url))

        def ask() -> None:
            try:
                upstream.ask("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "x"}]})
            except Gone as error:
                caught.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        until = time.monotonic() + 60
        while below.now < 1 and time.monotonic() < until:
            time.sleep(0.01)
        upstream.close()
        thread.join(60)
        go.set()
    assert not thread.is_alive()
    assert len(caught) == 1


def test_an_upstream_is_looked_for_at_the_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with engine() as below:
        reach(Link(below.url))
        reach(Link(below.url.removesuffix("/v1"), key="sk-wanted"))
        with pytest.raises(Unreachable, match="wants a key"):
            reach(Link(below.url, key="sk-other"))
        url = below.url
    for wrong in (url, "localhost:8000", "ftp://x"):
        assert process.main(["--state", str(tmp_path), "--upstream", wrong]) == 2
        assert "--upstream: " in capfd.readouterr().err


def test_the_key_travels_and_is_not_shown() -> None:
    link = Link("http://127.0.0.1:1", key="sk-secret")
    assert "sk-secret" not in repr(link)
    assert link.path("/v1/chat/completions") == "/v1/chat/completions"
    assert Link("http://h/openai/v1/").path("/v1/embeddings") == "/openai/v1/embeddings"
    with engine() as below:
        turn = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        Upstream(Link(below.url, key="sk-secret")).ask("/v1/chat/completions", turn)
    assert below.headers[0]["authorization"] == "Bearer sk-secret"


def test_answers_are_found_by_their_place_in_the_file(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "a.jsonl")
    for n in range(20):
        kept.add(custom_id(n), Given(200, {"n": n, "text": "ü" * n}))
    again = Kept(tmp_path / "a.jsonl")
    assert len(again) == 20
    assert [again.get(custom_id(n)) for n in (19, 0, 7)] == [Given(200, {"n": n, "text": "ü" * n}) for n in (19, 0, 7)]
    assert again.get("unknown") is None and "unknown" not in again


def test_a_request_that_was_not_asked_is_no_answer(tmp_path: Path) -> None:
    clerk = Clerk(lambda ask: pytest.fail("no mind is asked"), Tariff(()), {}, Upstream(Link("http://127.0.0.1:1")))
    ahead = Ahead(clerk.above, Kept(tmp_path / "a.jsonl"), clerk)  # type: ignore[arg-type]
    errand = Errand("openai", "/v1/chat/completions", custom_id(1), {"model": "m"}, 1, KEY, 0, "b")
    with pytest.raises(Refused, match="not asked"):
        ahead.do(errand)
    assert ahead.run(iter([errand]), lambda: False, lambda n: None) == 0
