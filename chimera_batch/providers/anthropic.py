"""Anthropic Message Batches, through the anthropic SDK.

The wire file's lines are joined into the one request that creates a batch, byte for byte, without building objects.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import anthropic
import httpx2
import orjson

from chimera_batch.errors import ProviderRefused
from chimera_batch.providers import anthropic_shapes, calling, faults, files, host_http, listing
from chimera_batch.providers.base import Profile
from chimera_batch.providers.faults import Fault
from chimera_batch.records import BatchState, Intent, Reply

_SKEW = 300.0  # seconds that the host's clock may be behind ours beyond what its replies tell of it


class _Client(host_http.Bounded, anthropic.DefaultHttpxClient):
    """The SDK's own, with bounded replies."""


class AnthropicProvider:
    """Anthropic, or a gateway that speaks its protocol. ``http_client`` and ``sleep`` are for tests."""

    def __init__(
        self,
        profile: Profile,
        api_key: str,
        *,
        http_client: httpx2.Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.profile = profile
        self._calls = calling.Caller(profile.name, (anthropic.AnthropicError,), api_key, sleep)
        self._client = anthropic.Anthropic(
            api_key=api_key,
            base_url=profile.base_url.rstrip("/").removesuffix("/v1"),  # the SDK's paths begin with it
            max_retries=0,  # the SDK would send a create again; see calling.py
            timeout=calling.ORDINARY,
            default_headers=dict(profile.headers),
            # The key goes to this host alone: a redirect could lead elsewhere, and the API has none.
            http_client=http_client or _Client(follow_redirects=False),
        )

    def upload(self, intent: Intent, path: Path) -> str | None:
        """None: batches are created inline."""
        return None

    def create(self, intent: Intent, path: Path, file_id: str | None) -> str:
        lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
        content = b'{"requests":[' + b",".join(lines) + b"]}"

        def send() -> str:
            options: Any = {"timeout": calling.UPLOAD}
            response = self._client.post(
                "/v1/messages/batches", content=content, cast_to=httpx2.Response, options=options
            )
            return anthropic_shapes.batch_state(faults.json_object(response.content)).id

        return self._calls.create(f"creating the batch of {intent.file_name}", send)

    def find(self, intent: Intent) -> list[BatchState]:
        """Candidates only: created after the intent, with as many requests. Ids prove one once it has ended."""
        first, behind = self._page(None)
        listed = listing.since(
            lambda after: first if after is None else self._page(after)[0],
            intent.at - _SKEW - behind,
            self.profile.name,
        )
        mine = (batch for batch in listed if anthropic_shapes.requests(batch) == intent.requests)
        return [anthropic_shapes.batch_state(batch) for batch in listing.named(mine, self.profile.name)]

    def state(self, batch_id: str) -> BatchState:
        def ask() -> BatchState:
            raw = self._client.messages.batches.with_raw_response.retrieve(batch_id)
            return anthropic_shapes.batch_state(faults.json_object(raw.http_response.content))

        return self._calls.patiently(f"polling {batch_id}", ask, again=calling.if_passing_or_404)

    def fetch(self, batch: BatchState, folder: Path) -> Iterator[Path]:
        for handle in batch.files:
            target = folder / f"{calling.safe_name(handle)}_results.jsonl"
            doing = f"downloading the results of {handle}"
            try:
                yield files.download_rows(self._calls, doing, self._results(handle), target, batch.total)
            except ProviderRefused as refused:
                if refused.status != 404 or self._offers_results(handle):
                    raise

    def _offers_results(self, batch_id: str) -> bool:
        """False only where the batch itself says that it has none: a gateway may leave the address out."""
        raw = self._calls.patiently(
            f"polling {batch_id}", lambda: self._client.messages.batches.with_raw_response.retrieve(batch_id)
        )
        return faults.json_object(raw.http_response.content).get("results_url", "not said") is not None

    def decode(self, line: bytes) -> Reply:
        return anthropic_shapes.decode(line)

    def cancel(self, batch_id: str) -> None:
        def send() -> None:
            self._client.messages.batches.with_raw_response.cancel(batch_id)

        calling.cancel(self._calls, batch_id, send, self.state)

    def discard(self, file_ids: Iterable[str]) -> None:
        """Nothing was uploaded."""

    def find_uploads(self, intent: Intent) -> list[str]:
        return []

    def close(self) -> None:
        self._client.close()

    def ask(self, line: bytes) -> bytes:
        wire = faults.json_object(line)

        def send() -> dict[str, Any]:
            # a host that honours the key never executes a repeated call twice; the others ignore it
            options: Any = {"timeout": calling.ASK, "headers": {"Idempotency-Key": wire["custom_id"]}}
            response = self._client.post("/v1/messages", body=wire["params"], cast_to=httpx2.Response, options=options)
            return faults.json_object(response.content)

        got = self._calls.ask(f"asking {wire['custom_id']}", send)
        if isinstance(got, Fault):
            error = {"type": "error", "error": {"type": got.code, "message": got.message}}
            result: dict[str, Any] = {"type": "errored", "error": error}
        else:
            result = {"type": "succeeded", "message": got}
        return orjson.dumps({"custom_id": wire["custom_id"], "result": result})

    def _page(self, after: str | None) -> tuple[Mapping[str, Any], float]:
        """One page of the list, and how many seconds the host's clock is behind ours."""
        query: dict[str, object] = {"limit": 100} if after is None else {"limit": 100, "after_id": after}

        def ask() -> tuple[dict[str, Any], float]:
            raw = self._client.messages.batches.with_raw_response.list(extra_query=query).http_response
            return faults.json_object(raw.content), listing.behind(raw.headers, time.time())

        return self._calls.patiently("listing batches", ask)

    def _results(self, batch_id: str) -> files.Open:
        """Below base_url, as a stream of bytes: the SDK's own ``results`` follows results_url wherever it leads."""

        @contextmanager
        def opening(at: int) -> Iterator[httpx2.Response]:
            options: Any = {"timeout": calling.DOWNLOAD, "headers": {"Accept": "application/binary"}}
            path = f"/v1/messages/batches/{quote(batch_id, safe='')}/results"
            got = self._client.get(
                path, cast_to=httpx2.Response, stream=True, stream_cls=anthropic.Stream, options=options
            )
            with closing(cast("httpx2.Response", got)) as response:  # with this cast_to it is the response itself
                yield response

        return opening
