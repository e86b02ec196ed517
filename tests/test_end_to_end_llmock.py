"""A run against a server that is not ours: llmock (PyPI), through both protocols, as if it were for money.

It answers from another reading of the providers' documentation than the rehearsal's server does, so that a mistake of
ours in both places shows. Not a rehearsal: real addresses from the SDKs' own variables, and keys.
"""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chimera_batch import api
from chimera_batch.context import Timing
from chimera_batch.opening import Options
from chimera_batch.verbs import statusing
from tests.end_to_end import stage_of, write_pipeline

pytestmark = pytest.mark.slow

LINES = 12
FILES = {
    "sql/lm/notes_rows.sql": f"""
-- {LINES} rows, one with what JSON and line readers stumble over.
-- reads: nothing
SELECT
    printf('note-%02d', n) AS row_key,
    if(n = 3, 'a "quoted"' || chr(10) || 'line' || chr(8232) || '…', 'plain') AS hard
FROM (SELECT unnest(range({LINES})) AS n)
""",
    "sql/lm/gists_rows.sql": """
-- One row per note.
-- reads: notes
SELECT row_key, text AS note FROM notes
""",
    "sql/lm/vectors.sql": """
-- One vector per note.
-- reads: answers
SELECT row_key, embedding FROM answers WHERE outcome = 'ok'
""",
    "sql/lm/named_rows.sql": """
-- Three rows.
-- reads: nothing
SELECT 'name-' || n AS row_key, n FROM (SELECT unnest(range(3)) AS n)
""",
    "sql/lm/dataset.sql": """
-- Notes with their gists.
-- reads: notes, gists
SELECT n.row_key, n.text AS note, g.text AS gist FROM notes AS n JOIN gists AS g ON g.row_key = n.row_key
""",
    "prompts/lm/notes.md": "<!-- system -->\nYou take notes.\n<!-- user -->\n{{ row_key }}: {{ hard }}\n",
    "prompts/lm/gists.md": "<!-- system -->\nYou sum up.\n<!-- user -->\n{{ row_key }}: {{ note }}\n",
    "prompts/lm/vectors.md": "<!-- user -->\n{{ row_key }} {{ note }}\n",
    "prompts/lm/named.md": "<!-- user -->\nName number {{ n }}.\n",
    "prompts/lm/named.json": json.dumps(
        {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
            "additionalProperties": False,
        }
    ),
}
ASSUME = {"rows": LINES, "input_tokens": 50, "output_tokens": 50}
MANIFEST: dict[str, Any] = {
    "run": "llmock",
    "budget": {"usd": 1},
    "providers": {"openai": {"max_requests": 7}},  # two files
    "models": {
        "luna": {"provider": "openai", "model": "gpt-6-luna", "max_output_tokens": 500},
        "claude": {"provider": "anthropic", "model": "claude-haiku-5-5", "max_output_tokens": 500},
        "embedder": {"provider": "openai", "model": "text-embedding-3-small", "endpoint": "/v1/embeddings"},
    },
    "stages": [
        {"name": "notes", "ask": "luna", "prompt": "lm/notes.md", "rows": "lm/notes_rows.sql", "assume": ASSUME},
        {"name": "gists", "ask": "claude", "prompt": "lm/gists.md", "rows": "lm/gists_rows.sql", "assume": ASSUME},
        {
            "name": "vectors",
            "ask": "embedder",
            "prompt": "lm/vectors.md",
            "rows": "lm/gists_rows.sql",
            "table": "lm/vectors.sql",
            "assume": ASSUME,
        },
        {
            "name": "named",  # llmock follows a schema in synchronous calls of this dialect only
            "ask": "luna",
            "prompt": "lm/named.md",
            "rows": "lm/named_rows.sql",
            "schema": "lm/named.json",
            "window": "now",
            "assume": ASSUME,
        },
        {
            "name": "spoken",
            "ask": "claude",
            "prompt": "lm/named.md",
            "rows": "lm/named_rows.sql",
            "window": "now",
            "assume": ASSUME,
        },
        {"name": "dataset", "sql": "lm/dataset.sql"},
    ],
}


@dataclass(frozen=True)
class Mock:
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def tell(self, method: str, what: str, body: Any = None) -> Any:
        """The server's own paths, which count as nobody's requests."""
        place = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            place.request(method, f"/_llmock/{what}", json.dumps(body), {"content-type": "application/json"})
            return json.loads(place.getresponse().read())
        finally:
            place.close()

    def heard(self) -> list[tuple[str, str, int]]:
        """(method, path, status) of every request served."""
        told = self.tell("GET", "requests")
        rows = told["requests"] if isinstance(told, dict) else told
        return [(row["method"], row["path"], row["status"]) for row in rows]


@pytest.fixture(scope="module")
def mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    program = shutil.which("llmock", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("llmock is not installed: pip install llmock (the `slow` extra)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("llmock") / "log"
    line = [program, "serve", "--host", "127.0.0.1", "--port", str(port), "--response-style", "varied"]
    with log.open("wb") as out:
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=log.parent)
    try:
        _wait(Mock(port), process, log)
        yield Mock(port)
    finally:
        process.terminate()
        process.wait(60)


def _wait(mock: Mock, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            mock.tell("GET", "verdict")
            return
        except (OSError, ValueError) as error:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"llmock did not start: {error}\n{log.read_text()[-2000:]}") from error
            time.sleep(0.1)


@dataclass
class Paid:
    """A run that is not a rehearsal."""

    manifest: Path
    store: str
    said: list[str] = field(default_factory=list)

    @property
    def options(self) -> Options:
        return Options(store=self.store, timing=Timing(poll=0.2, lease=30, settle=1, queue=0.5), say=self.said.append)

    def run(self) -> dict[str, Any]:
        return api.run(self.manifest, self.options, confirm=lambda quote: True)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with api.query(self.manifest, self.options) as tables:
            return list(tables.query(sql))


@pytest.fixture
def paid(mock: Mock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paid:
    mock.tell("POST", "reset")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{mock.url}/v1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f"{mock.url}/anthropic")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-nobody")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-of-nobody")
    return Paid(write_pipeline(tmp_path, MANIFEST, FILES), str(tmp_path / "store"))


def test_a_whole_run_through_both_protocols(mock: Mock, paid: Paid) -> None:
    document = paid.run()
    assert document["state"] == "done"
    assert not document["rehearsal"]
    assert statusing.balances(document)
    outcomes = {stage["stage"]: stage["outcomes"] for stage in document["stages"] if stage["kind"] == "ask"}
    batches = {name: {"ok": 12} for name in ("notes", "gists", "vectors")}
    assert outcomes == {**batches, "named": {"ok": 3}, "spoken": {"ok": 3}}
    assert [batch["requests"] for batch in stage_of(document, "notes")["batches"]] == [7, 5]
    assert paid.query("SELECT count(*), count(DISTINCT row_key) FROM dataset WHERE note <> '' AND gist <> ''") == [
        (12, 12)
    ]
    assert paid.query("SELECT DISTINCT typeof(embedding), len(embedding) FROM vectors") == [("FLOAT[]", 1536)]
    assert paid.query("SELECT count(*) FROM named WHERE answer ->> 'name' <> ''") == [(3,)]
    ((usd, tokens),) = paid.query("SELECT sum(usd), sum(input_tokens) FROM costs")
    assert 0 < usd < Decimal("0.01")
    assert tokens > 0
    _as_the_protocols_want(mock.heard())


def _as_the_protocols_want(heard: list[tuple[str, str, int]]) -> None:
    assert {status for *_, status in heard} == {200}
    posts = [path for method, path, _ in heard if method == "POST"]
    assert sorted(set(posts)) == [
        "/anthropic/v1/messages",
        "/anthropic/v1/messages/batches",
        "/v1/batches",
        "/v1/chat/completions",
        "/v1/files",
    ]
    assert posts.count("/v1/files") == posts.count("/v1/batches") == 4  # two of notes, two of vectors
    assert posts.count("/anthropic/v1/messages/batches") == 1
    assert posts.count("/anthropic/v1/messages") == posts.count("/v1/chat/completions") == 3
    deleted = [path for method, path, _ in heard if method == "DELETE"]
    assert len(deleted) == len(set(deleted)) == 8  # an input and an output file of each
    # Its results answer, emptily, from the beginning: they are asked for once, when the batch says that it has ended.
    (results,) = [n for n, (_, path, _) in enumerate(heard) if path.endswith("/results")]
    polls = [n for n, (method, path, _) in enumerate(heard) if method == "GET" and path.startswith("/anthropic")]
    assert polls and polls[0] < results  # how often it was looked at says how busy this machine is


def test_a_second_run_asks_it_nothing(mock: Mock, paid: Paid) -> None:
    first = paid.run()
    mock.tell("POST", "reset")
    assert paid.run()["usd_spent"] == first["usd_spent"]
    assert mock.heard() == []


def test_its_faults_are_borne_as_it_thinks_right(mock: Mock, paid: Paid) -> None:
    """A full house at every step, and llmock's own verdict on how we behaved."""
    faults: list[tuple[str, int, dict[str, float]]] = [
        ("/v1/files", 429, {"retry_after": 0.3}),
        ("/v1/batches", 429, {"retry_after": 0.3}),
        ("/v1/batches/*", 503, {}),
        ("/v1/files/*/content", 500, {}),
        ("/anthropic/v1/messages/batches/*", 529, {}),
        ("/anthropic/v1/messages", 429, {"retry_after": 0.3}),
    ]
    behaviors = [{"type": "fail", "status": status, "match": {"path": path}, **more} for path, status, more in faults]
    assert mock.tell("POST", "scenario", {"behaviors": behaviors}) == {"queued": 6, "pending": 6}
    document = paid.run()
    assert document["state"] == "done"
    assert stage_of(document, "notes")["outcomes"] == {"ok": 12}
    failed = sorted(status for *_, status in mock.heard() if status != 200)
    assert failed == [429, 429, 429, 500, 503, 529]
    verdict = mock.tell("GET", "verdict")
    assert verdict["passed"], verdict
    posts = [path for method, path, status in mock.heard() if method == "POST" and status == 200]
    assert posts.count("/v1/batches") == 4  # none was made twice
