"""OpenAI's batch API and the hosts that copy it, through the openai SDK.

Replies are read from their bytes, not through the SDK's models, because hosts leave out, rename and re-type fields.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx2
import openai
import orjson

from chimera_batch.endpoints.usage import count, part
from chimera_batch.errors import ProviderError, ProviderRefused
from chimera_batch.providers import calling, faults, files, host_http, listing, openai_shapes
from chimera_batch.providers.base import Profile
from chimera_batch.providers.faults import Fault
from chimera_batch.records import BatchState, Intent, Reply

_SKEW = 600.0  # seconds that the host's clock may be behind ours


class _Client(host_http.Bounded, openai.DefaultHttpxClient):
    """The SDK's own, with bounded replies."""


class OpenAIProvider:
    """One OpenAI-style host. ``http_client`` and ``sleep`` are for tests."""

    plain = openai_shapes.PLAIN

    def __init__(
        self,
        profile: Profile,
        api_key: str,
        *,
        http_client: httpx2.Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.profile = profile
        self._calls = calling.Caller(profile.name, (openai.OpenAIError,), api_key, sleep)
        self._client = openai.OpenAI(
            api_key=api_key,
            base_url=profile.base_url,
            max_retries=0,  # the SDK would send a create again; see calling.py
            timeout=calling.ORDINARY,
            default_headers=dict(profile.headers),
            # Files may lie elsewhere, and are fetched from there: without the key and the profile's headers.
            http_client=http_client or _Client(event_hooks=host_http.hooks(profile.base_url)),
        )

    def upload(self, intent: Intent, path: Path) -> str | None:
        def send() -> str:
            with path.open("rb") as file:  # opened anew for each try: a body that was half sent cannot be rewound
                raw = self._client.files.with_raw_response.create(
                    file=(intent.file_name, file, "application/jsonl"),
                    purpose=cast("Any", self.profile.purpose),  # the SDK lists OpenAI's own purposes only
                    timeout=calling.UPLOAD,
                )
            return _id(raw.http_response)

        perhaps: list[Fault] = []  # tries that may have left a file all the same

        def again(fault: Fault) -> bool:
            if fault.lost or (fault.status or 0) >= 500:
                perhaps.append(fault)
            return fault.passing

        made = None
        try:
            made = self._calls.patiently(f"uploading {intent.file_name}", send, again)
        finally:
            if perhaps:
                self._forget_others(intent, made)
        return made

    def _forget_others(self, intent: Intent, mine: str | None) -> None:
        """Delete the files of tries whose reply was lost: nobody would ever know of them, and storage fills up."""
        with suppress(ProviderError):
            self.discard(file for file in self.find_uploads(intent) if file != mine)

    def create(self, intent: Intent, path: Path, file_id: str | None) -> str:
        def send() -> str:
            raw = self._client.batches.with_raw_response.create(
                completion_window=cast("Any", intent.window),  # the SDK lists OpenAI's own windows and endpoints only
                endpoint=cast("Any", intent.endpoint),
                input_file_id=file_id or "",
                metadata=intent.metadata if self.profile.keeps_metadata else openai.omit,
            )
            return _id(raw.http_response)

        return self._calls.create(f"creating the batch of {intent.file_name}", send, again=_file_not_yet_there)

    def find(self, intent: Intent) -> list[BatchState]:
        """By nonce where the host keeps metadata, else by the name of the uploaded file: exact either way."""
        listed = listing.since(self._page("batches"), intent.at - _SKEW, self.profile.name, exact=True)
        if self.profile.keeps_metadata:
            mine = [b for b in listed if part(b, "metadata").get("chimera_nonce") == intent.nonce]
        else:
            mine = [b for b in listed if self._file(b.get("input_file_id")).get("filename") == intent.file_name]
        return [openai_shapes.batch_state(batch) for batch in listing.named(mine, self.profile.name)]

    def state(self, batch_id: str) -> BatchState:
        def ask() -> BatchState:
            raw = self._client.batches.with_raw_response.retrieve(batch_id)
            return openai_shapes.batch_state(_object(raw.http_response))

        return self._calls.patiently(f"polling {batch_id}", ask, again=calling.if_passing_or_404)

    def fetch(self, batch: BatchState, folder: Path) -> Iterator[Path]:
        for file_id in batch.files:
            target = folder / f"{calling.safe_name(file_id)}.jsonl"
            size = count(self._file(file_id).get("bytes")) or None
            opening = self._content(file_id)
            yield files.download(self._calls, f"downloading {file_id} of {batch.id}", opening, target, size)

    def decode(self, line: bytes) -> Reply:
        return openai_shapes.decode(line)

    def cancel(self, batch_id: str) -> None:
        def send() -> None:
            self._client.batches.with_raw_response.cancel(batch_id)

        calling.cancel(self._calls, batch_id, send, self.state)

    def discard(self, file_ids: Iterable[str]) -> None:
        if not self.profile.deletes_files:
            return
        for file_id in file_ids:
            try:
                self._calls.patiently(f"deleting {file_id}", partial(self._delete, file_id))
            except ProviderRefused as refused:
                if refused.status not in {404, 405}:  # gone already, or a host that deletes nothing
                    raise

    def find_uploads(self, intent: Intent) -> list[str]:
        """Empty where the host cannot list files."""
        try:
            listed = listing.since(self._page("files"), intent.at - _SKEW, self.profile.name, exact=True)
            mine = (file for file in listed if file.get("filename") == intent.file_name)
            return [str(file["id"]) for file in listing.named(mine, self.profile.name)]
        except ProviderRefused as refused:
            if refused.status in {404, 405}:
                return []
            raise

    def close(self) -> None:
        self._client.close()

    def ask(self, line: bytes) -> bytes:
        wire = faults.json_object(line)
        path = str(wire["url"]).removeprefix("/v1")  # base_url ends with it

        def send() -> tuple[int, str | None, dict[str, Any]]:
            # a host that honours the key never executes a repeated call twice; the others ignore it
            options: Any = {"timeout": calling.ASK, "headers": {"Idempotency-Key": wire["custom_id"]}}
            response = self._client.post(path, body=wire["body"], cast_to=httpx2.Response, options=options)
            return response.status_code, response.headers.get("x-request-id"), _object(response)

        got = self._calls.ask(f"asking {wire['custom_id']}", send)
        if isinstance(got, Fault):
            error = {"error": {"code": got.code, "message": got.message}}
            got = got.status or 400, None, error
        response = {"status_code": got[0], "request_id": got[1], "body": got[2]}
        return orjson.dumps({"custom_id": wire["custom_id"], "response": response, "error": None})

    def _page(self, what: str) -> listing.Page:
        def page(after: str | None) -> Mapping[str, Any]:
            query: dict[str, object] = {"limit": 100} if after is None else {"limit": 100, "after": after}
            if what == "files":
                query |= {"purpose": self.profile.purpose, "order": "desc"}
                return _object(self._client.files.with_raw_response.list(extra_query=query).http_response)
            return _object(self._client.batches.with_raw_response.list(extra_query=query).http_response)

        return lambda after: self._calls.patiently(f"listing {what}", lambda: page(after))

    def _file(self, file_id: object) -> Mapping[str, Any]:
        """The file's own record; empty where the host does not have one."""
        if not isinstance(file_id, str) or not file_id:
            return {}
        try:
            return self._calls.patiently(
                f"looking up {file_id}",
                lambda: _object(self._client.files.with_raw_response.retrieve(file_id).http_response),
            )
        except ProviderRefused:
            return {}

    def _content(self, file_id: str) -> files.Open:
        @contextmanager
        def opening(at: int) -> Iterator[httpx2.Response]:
            headers = {"Accept-Encoding": "identity"}  # else an offset into what is on disk means nothing
            if at:
                headers["Range"] = f"bytes={at}-"
            streaming = self._client.files.with_streaming_response
            with streaming.content(file_id, extra_headers=headers, timeout=calling.DOWNLOAD) as streamed:
                yield streamed.http_response

        return opening

    def _delete(self, file_id: str) -> None:
        self._client.files.with_raw_response.delete(file_id)


def _file_not_yet_there(fault: Fault) -> bool:
    """A file may not be visible everywhere right after its upload; this refusal is certain to have created nothing."""
    return fault.status == 400 and "cannot find file" in fault.message.lower()


def _object(response: httpx2.Response) -> dict[str, Any]:
    """The reply as an object. Some hosts answer 200 with an error in it: for an old batch, or from a gateway."""
    body = faults.json_object(response.content)
    if body.get("error") and not body.get("id"):
        code, message = faults.told(body)
        missing = "not_found" in (code or "") or "not found" in (message or "").lower()
        raise calling.SaidError(Fault(message or "an error without a message", 404 if missing else 200, code))
    return body


def _id(response: httpx2.Response) -> str:
    found = _object(response).get("id")
    if not isinstance(found, str) or not found:
        raise ValueError("an object without an id")
    return found
