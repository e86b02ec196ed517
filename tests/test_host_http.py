"""Over real sockets: what goes along when a reply leads to another origin, and how much of a reply is read."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from chimera_batch.engines import probing
from chimera_batch.errors import MaybeCreated, ProviderDown, ProviderRefused
from chimera_batch.providers import host_http, make
from chimera_batch.providers.base import Engine, Provider
from tests.provider_hosts import NOW, OpenAIHost, intent_for, known_profile

SECRETS = {"api-key": "PLANTED-1", "X-Gateway": "PLANTED-2", "Cookie": "session=PLANTED-3"}
DATA = b'{"custom_id": "a"}\n' * 1000
Reply = tuple[int, bytes, dict[str, str]]


@dataclass
class Place:
    """A server of this machine; a path without a reply of its own is not there."""

    server: ThreadingHTTPServer
    replies: dict[str, Reply] = field(default_factory=dict)
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # path, headers
    given: list[str] = field(default_factory=list)  # paths whose replies were taken to their ends

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def gives(self, path: str, body: bytes, status: int = 200, **headers: str) -> None:
        self.replies[path] = status, body, headers


@contextmanager
def place() -> Iterator[Place]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            here.seen.append((path, dict(self.headers)))
            status, body, headers = here.replies.get(path, (404, b"{}", {}))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(body)
                here.given.append(path)

        do_GET = do_POST = _answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = Place(server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def host() -> Iterator[Place]:
    with place() as found:
        yield found


@pytest.fixture
def elsewhere() -> Iterator[Place]:
    with place() as found:
        yield found


def provider(at: Place, dialect: str = "openai", monkeypatch: pytest.MonkeyPatch | None = None) -> Provider:
    if monkeypatch is not None:
        monkeypatch.setattr("chimera_batch.providers.calling.delay", lambda *_: 0.0)
    profile = replace(known_profile(dialect), base_url=f"{at.url}/v1", headers=tuple(sorted(SECRETS.items())))
    return make(profile, "PLANTED-0")


def completed(host: Place) -> None:
    batch = {"id": "b", "status": "completed", "output_file_id": "f", "created_at": NOW}
    host.gives("/v1/batches/b", json.dumps(batch).encode())
    host.gives("/v1/files/f", json.dumps({"id": "f", "bytes": len(DATA)}).encode())


def test_a_file_that_lies_elsewhere_is_fetched_without_the_secrets(
    host: Place, elsewhere: Place, tmp_path: Path
) -> None:
    """Another port is another origin."""
    completed(host)
    host.gives("/v1/files/f/content", b"", 302, Location=f"{elsewhere.url}/blob", Set_Cookie="mark=PLANTED-4")
    elsewhere.gives("/blob", DATA)
    asked = provider(host)
    (path,) = asked.fetch(asked.state("b"), tmp_path)
    assert path.read_bytes() == DATA
    assert "PLANTED-1" in str(host.seen) and "PLANTED-0" in str(host.seen)
    ((_, headers),) = elsewhere.seen
    assert "PLANTED" not in str(headers)
    assert {name.lower() for name in headers} == {"host", "accept", "accept-encoding", "connection", "user-agent"}


def test_a_file_that_lies_elsewhere_at_the_same_host_is_fetched_with_them(host: Place, tmp_path: Path) -> None:
    completed(host)
    host.gives("/v1/files/f/content", b"", 307, Location="/v2/blob")
    host.gives("/v2/blob", DATA)
    asked = provider(host)
    (path,) = asked.fetch(asked.state("b"), tmp_path)
    assert path.read_bytes() == DATA and host.seen[-1][0] == "/v2/blob"
    assert all(secret in str(host.seen[-1]) for secret in ("PLANTED-0", "PLANTED-1", "PLANTED-2"))


@pytest.mark.parametrize(
    ("url", "goes"),
    [
        ("http://host.example/v2/blob", True),
        ("https://host.example/v2/blob", True),  # what a host that was named without TLS answers first of all
        ("https://host.example:8443/v2/blob", False),
        ("http://host.example:8080/v2/blob", False),
        ("https://other.example/v2/blob", False),
        ("https://host.example.other.example/v2/blob", False),
    ],
)
def test_the_same_host_over_tls_is_no_other_place(url: str, goes: bool) -> None:
    (hook,) = host_http.hooks("http://host.example/v1")["request"]
    request = httpx2.Request("GET", url, headers={"Authorization": "PLANTED-0", "api-key": "PLANTED-1"})
    hook(request)
    assert ("PLANTED" in str(request.headers.raw)) is goes


def test_no_key_goes_from_tls_to_none() -> None:
    (hook,) = host_http.hooks("https://host.example/v1")["request"]
    request = httpx2.Request("GET", "http://host.example/v1", headers={"Authorization": "PLANTED-0"})
    hook(request)
    assert "PLANTED" not in str(request.headers.raw)


def test_anthropics_adapter_goes_nowhere_else(host: Place, elsewhere: Place) -> None:
    host.gives("/v1/messages/batches/b", b"", 307, Location=f"{elsewhere.url}/v1/messages/batches/b")
    with pytest.raises(ProviderRefused, match="307"):
        provider(host, "anthropic").state("b")
    assert elsewhere.seen == []


@pytest.mark.parametrize(("dialect", "path"), [("openai", "/v1/batches"), ("anthropic", "/v1/messages/batches")])
@pytest.mark.parametrize("packed", [False, True])
def test_a_reply_without_end_is_not_read_to_its_end(
    host: Place, monkeypatch: pytest.MonkeyPatch, dialect: str, path: str, packed: bool
) -> None:
    """Also where it is small on the wire."""
    monkeypatch.setattr(host_http, "LARGEST", 50_000)
    body = json.dumps({"id": "b", "data": [], "has_more": False, "more": "x" * 60_000}).encode()
    for one in (path, f"{path}/b"):
        host.gives(one, gzip.compress(body) if packed else body, **({"Content_Encoding": "gzip"} if packed else {}))
    asked, intent = provider(host, dialect, monkeypatch), intent_for(OpenAIHost())
    with pytest.raises(ProviderDown, match="longer than 50,000 bytes"):
        asked.state("b")
    with pytest.raises(ProviderDown, match="longer than 50,000 bytes"):
        asked.find(intent)


def test_a_create_that_is_answered_without_end_may_have_been_done(host: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_http, "LARGEST", 50_000)
    host.gives("/v1/batches", b'{"id": "b", "more": "' + b"x" * 60_000 + b'"}')
    asked = provider(host, "openai", monkeypatch)
    with pytest.raises(MaybeCreated, match="longer than 50,000 bytes"):
        asked.create(intent_for(OpenAIHost()), Path("unused"), "file-1")


def test_a_refusal_without_end_is_a_refusal_and_results_have_no_limit(
    host: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(host_http, "LARGEST", 10_000)
    completed(host)
    host.gives("/v1/files/f/content", DATA)
    host.gives("/v1/batches/huge", b"x" * 60_000, 400)
    asked = provider(host)
    (path,) = asked.fetch(asked.state("b"), tmp_path)
    assert len(path.read_bytes()) == len(DATA) > 10_000
    with pytest.raises(ProviderRefused, match="longer than 10,000 bytes") as refused:
        asked.state("huge")
    assert refused.value.status == 400


def test_results_that_lie_elsewhere_are_a_refusal_like_any_other(
    host: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They are asked for as a stream, and what the SDK refuses of a stream it reads to its end."""
    monkeypatch.setattr(host_http, "LARGEST", 10_000)
    batch = {"id": "b", "processing_status": "ended", "request_counts": {"succeeded": 1}, "results_url": "x"}
    host.gives("/v1/messages/batches/b", json.dumps(batch).encode())
    host.gives("/v1/messages/batches/b/results", b"x" * 60_000, 307, Location="/elsewhere")
    asked = provider(host, "anthropic")
    with pytest.raises(ProviderRefused, match="longer than 10,000 bytes") as refused:
        list(asked.fetch(asked.state("b"), tmp_path))
    assert refused.value.status == 307


def test_what_stands_beside_the_way_to_a_file_is_not_read(host: Place, tmp_path: Path) -> None:
    completed(host)
    host.gives("/v1/files/f/content", b"x" * (64 << 20), 302, Location="/v2/blob")
    host.gives("/v2/blob", DATA)
    asked = provider(host)
    (path,) = asked.fetch(asked.state("b"), tmp_path)
    asked.close()
    assert path.read_bytes() == DATA
    assert "/v1/files/f/content" not in host.given


def test_a_reply_in_gzip_is_read_as_ever(host: Place) -> None:
    batch = json.dumps({"id": "b", "status": "in_progress"}).encode()
    host.gives("/v1/batches/b", gzip.compress(batch), Content_Encoding="gzip")
    assert provider(host).state("b").status == "in_progress"


def test_an_engine_that_answers_without_end_does_not_take_our_memory(
    host: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_http, "LARGEST", 50_000)
    monkeypatch.setattr("chimera_batch.providers.calling.delay", lambda *_: 0.0)
    host.gives("/v1/chat/completions", b'{"choices": ["' + b"x" * 60_000 + b'"]}')
    profile = replace(known_profile("openai"), base_url=f"{host.url}/v1", engine=Engine("attached"))
    asked = make(profile, "")
    line = {"custom_id": "a", "url": "/v1/chat/completions", "body": {"model": "m"}}
    with pytest.raises(ProviderDown, match="longer than 50,000 bytes"):
        asked.ask(json.dumps(line).encode())
    asked.close()


def test_gauges_without_end_are_none(host: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    host.gives("/metrics", b"vllm:num_requests_running 1.0\n")
    assert probing.metrics(host.server.server_port) == "vllm:num_requests_running 1.0\n"
    monkeypatch.setattr(probing, "_LARGEST", 20)
    assert probing.metrics(host.server.server_port) is None
