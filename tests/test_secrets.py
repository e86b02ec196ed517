"""Keys are planted, hosts and gateways echo them in every error, and afterwards nothing that a run left holds one."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
import pytest
import zstandard

from chimera_batch import opening
from chimera_batch.context import Timing
from chimera_batch.verbs import notifying
from tests.cli_kit import Called, call
from tests.end_to_end import provider

KEYS = {
    "OPENAI_API_KEY": "sk-proj-PLANTED-openai-0123456789abcdef",
    "ANTHROPIC_API_KEY": "sk-ant-PLANTED-anthropic-0123456789abcdef",
    "CHIMERA_WEBHOOK": "http://127.0.0.1:1/hooks/PLANTED-webhook-token",
}
MANIFEST = """\
run: keys
store: ./runs
notify: {url_env: CHIMERA_WEBHOOK}
models:
  o: {provider: openai, model: gpt-6-luna, effort: none, max_output_tokens: 4000}
  a: {provider: anthropic, model: claude-haiku-5.5, max_output_tokens: 4000}
stages:
  - {name: one, ask: o, prompt: keys/ask.md, rows: keys/rows.sql, assume: {output_tokens: 10}}
  - {name: two, ask: a, prompt: keys/ask.md, rows: keys/rows.sql, assume: {output_tokens: 10}}
  - {name: three, ask: o, prompt: keys/ask.md, rows: keys/rows.sql, window: now, assume: {output_tokens: 10}}
"""
ROWS = "-- Three words.\n-- reads: nothing\nSELECT word AS row_key, word FROM (VALUES ('a'), ('b'), ('c')) t(word)\n"


class Echo(BaseHTTPRequestHandler):
    """A gateway in front of a host: it answers the first calls of every path with an error that repeats all headers."""

    upstream: str
    statuses: tuple[int, ...]  # of the first calls of each path; 0: hand it on
    seen: dict[str, int]

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        number = self.seen[path] = self.seen.get(path, 0) + 1
        status = self.statuses[number - 1] if number <= len(self.statuses) else 0
        if status:
            said = json.dumps({"error": {"message": f"you sent {dict(self.headers)}", "type": "x", "code": "x"}})
            self._send(status, said.encode(), {"retry-after-ms": "5", "x-echo": str(dict(self.headers))[:900]})
            return
        server = http.client.HTTPConnection(urlsplit(self.upstream).netloc, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            server.request(self.command, self.path, body, headers)
            reply = server.getresponse()
            kept = {name: value for name, value in reply.getheaders() if name.lower().startswith("content-type")}
            self._send(reply.status, reply.read(), kept)
        finally:
            server.close()

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = _answer

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def gateway(upstream: str, *statuses: int) -> Iterator[str]:
    handler = type("Gateway", (Echo,), {"upstream": upstream, "statuses": statuses, "seen": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def write(folder: Path) -> Path:
    for name, text in (("prompts/keys/ask.md", "<!-- user -->\nSay {{ word }}.\n"), ("sql/keys/rows.sql", ROWS)):
        path = folder / name
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    manifest = folder / "keys.yaml"
    manifest.write_text(MANIFEST, encoding="utf-8")
    return manifest


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a manifest, to work in: keys are in the environment, and all that is kept lies below it."""
    write(tmp_path)
    own = {"CHIMERA_CACHE": "cache", "CHIMERA_STATE": "state", "HOME": ".", "CHIMERA_POLL_SECONDS": "0.05"}
    for name, value in {**KEYS, **own}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(notifying, "_TRIES", 1)
    monkeypatch.setattr(opening, "Timing", partial(Timing, queue=0.3))  # after a 429; it is a minute where it is meant
    return tmp_path


def typed(monkeypatch: pytest.MonkeyPatch, url: str, *words: str) -> Called:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/openai/v1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f"{url}/anthropic")
    return call(*words)


def texts(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Everything in a folder, unpacked: a compressed or columnar file hides nothing."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        yield path, data
        if path.suffix == ".zst":
            yield path, zstandard.ZstdDecompressor().stream_reader(data).read()
        if path.suffix == ".parquet":
            with duckdb.connect() as db:
                yield path, repr(db.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall()).encode()


def leaks(folder: Path, *said: Called) -> list[str]:
    """Where a key, or a good part of one, stands."""
    parts = {value[-16:].encode() for value in KEYS.values()}
    found = [str(path) for path, data in texts(folder) if any(part in data for part in parts)]
    printed = [(one.out + one.err).encode() for one in said]
    return found + [f"output {number}" for number, data in enumerate(printed) if any(part in data for part in parts)]


def test_the_search_finds_what_is_hidden(tmp_path: Path) -> None:
    secret = KEYS["OPENAI_API_KEY"]
    (tmp_path / "a.zst").write_bytes(zstandard.ZstdCompressor().compress(secret.encode() * 3))
    with duckdb.connect() as db:
        db.execute(f"COPY (SELECT '{secret}' AS a) TO '{tmp_path / 'b.parquet'}' (COMPRESSION zstd)")
    assert {Path(name).name for name in leaks(tmp_path)} == {"a.zst", "b.parquet"}
    assert leaks(tmp_path / "none", Called(0, secret, ""), Called(0, "", "fine")) == ["output 0"]


@pytest.mark.slow
@pytest.mark.parametrize("statuses", [(), (429,)])
def test_a_run_through_a_gateway_that_echoes_headers(
    planted: Path, monkeypatch: pytest.MonkeyPatch, statuses: tuple[int, ...]
) -> None:
    commands = (
        ("check", "keys.yaml"),
        ("run", "keys.yaml", "--yes", "--debug"),
        ("run", "keys.yaml", "--yes"),
        ("status", "keys.yaml", "--json"),
        ("trace", "keys.yaml", "a", "--raw"),
        ("query", "-m", "keys.yaml", "@outcomes"),
        ("doctor", "keys.yaml"),
    )
    with provider(planted.parent / f"{planted.name}-server") as served, gateway(served.url, *statuses) as url:
        done = [typed(monkeypatch, url, *words) for words in commands]
    assert [one.code for one in done[2:6]] == [0] * 4, done
    assert len(served.bill) == 6, "it was asked"
    assert leaks(planted, *done) == []


@pytest.mark.slow
@pytest.mark.parametrize("status", [400, 401, 403, 418])
def test_a_refusal_that_echoes_the_key(planted: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    with gateway("http://127.0.0.1:1", *[status] * 99) as url:
        done = [typed(monkeypatch, url, "run", "keys.yaml", "--yes", *more) for more in ((), ("--debug",), ("--json",))]
    assert all(one.code in {2, 4} for one in done), done
    assert any("you sent" in one.out + one.err for one in done), "the host's words are shown, but for the key"
    assert leaks(planted, *done) == []
