"""Engines of one's own: a server that we start and watch, or somebody's that runs already. Asked one by one.

The line and the body are those of OpenAI's dialect, byte for byte. What a server answers comes back as a line of a
batch's output would, with ``engine`` beside it: what answered, and the seconds of the machine that were this request's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import httpx2
import orjson

from chimera_batch.cost.machine_time import MachineTime
from chimera_batch.engines.base import Server
from chimera_batch.errors import ProviderRefused
from chimera_batch.providers import calling, faults, openai_shapes
from chimera_batch.providers.base import Profile
from chimera_batch.providers.faults import Fault
from chimera_batch.providers.local_http import Connections
from chimera_batch.records import BatchState, Intent, Reply
from chimera_batch.requests.wire import split_custom_id

_OURS_IDLE = 600.0  # seconds; an engine that we start keeps its connections for an hour
_THEIRS_IDLE = 2.0  # below the 5 s of an ordinary server
_AGAIN = 6  # times that one request is asked of an engine that loses it, restarts included
_ECHOED = "chatcmpl-"  # vLLM puts the X-Request-Id behind it
_VERSIONS = ("/version", "/api/version")  # of vLLM and SGLang, of Ollama


class Attached:
    """Somebody's server, at the address that the profile names: it is neither started nor ended by us."""

    def __init__(self, profile: Profile, connections: Connections, headers: Mapping[str, str]) -> None:
        self._base, self._connections, self._headers = profile.base_url.rstrip("/"), connections, headers

    def address(self, model: str) -> str:
        return self._base

    def about(self) -> Mapping[str, str]:
        """Its address, and its version where it tells one."""
        return self._about

    @cached_property
    def _about(self) -> Mapping[str, str]:
        known = {"engine": "attached", "address": self._base}
        for path in _VERSIONS:
            with suppress(httpx2.HTTPError, ValueError):
                told = self._connections.probe(self._base.removesuffix("/v1") + path, self._headers)
                version = faults.json_object(told.content).get("version") if told.status_code == 200 else None
                if isinstance(version, str):
                    return {**known, "version": version}
        return known

    def finished(self) -> None:
        """Nobody watches it."""

    def close(self) -> None:
        """It goes on."""


class LocalProvider:
    """One engine. ``server``: the one that we manage, None where it is somebody's. ``sleep`` is for tests."""

    def __init__(
        self,
        profile: Profile,
        api_key: str,
        *,
        server: Server | None = None,
        sleep: Callable[[float], None] | None = None,
        machine: MachineTime | None = None,
    ) -> None:
        self.profile = profile
        self._managed = server is not None
        idle = _OURS_IDLE if self._managed else _THEIRS_IDLE
        self._connections = Connections(idle=idle)
        self._headers = {**dict(profile.headers), **({"Authorization": f"Bearer {api_key}"} if api_key else {})}
        self._server: Server = server or Attached(profile, self._connections, self._headers)
        self._calls = calling.Caller(profile.name, (), api_key, sleep or self._connections.sleep)
        self._machine = machine or MachineTime()

    def ask(self, line: bytes) -> bytes:
        """Raises EngineFailed where our own engine does not come up again, ProviderDown, AccountRefused, and
        ProviderRefused where the server does not have the model."""
        wire = faults.json_object(line)
        ticket = self._machine.begin()
        try:
            status, body = self._answer(wire)
        except BaseException:
            self._machine.waste(ticket)
            raise
        seconds = Decimal(self._machine.end(ticket)).scaleb(-9)
        self._server.finished()
        response = {"status_code": status, "request_id": body.get("id"), "body": body}
        told = {**self._server.about(), "seconds": f"{seconds:f}"}
        whole = {"custom_id": wire["custom_id"], "response": response, "error": None, "engine": told}
        return orjson.dumps(whole)

    def _answer(self, wire: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body: an answer, or what was wrong with this one request."""
        doing, model = f"asking {wire['custom_id']}", str(wire["body"]["model"])
        body, path = orjson.dumps(wire["body"]), str(wire["url"]).removeprefix("/v1")

        def send() -> dict[str, Any]:
            headers = {**self._headers, "X-Request-Id": wire["custom_id"]}
            response = self._connections.post(self._server.address(model) + path, body, headers)
            return _read(response, wire["custom_id"])

        got = self._until_answered(send) if self._managed else self._calls.ask(doing, send)
        if not isinstance(got, Fault):
            return 200, got
        if got.account or (got.passing and not self._of_this_request(got)):
            raise faults.as_error(got, f"{self.profile.name}: {doing}")
        if got.status == 404:  # every other request would be refused too
            self._no_model(model, got)
        return got.status or 400, {"error": {"code": got.code, "message": got.message}}

    def _of_this_request(self, fault: Fault) -> bool:
        """Whether an engine that lives failed at this very request, again and again: the others go on."""
        return fault.status == 500 or (self._managed and fault.status is not None and fault.status > 500)

    def _until_answered(self, send: Callable[[], dict[str, Any]]) -> dict[str, Any] | Fault:
        """Of our own engine: a lost answer is asked for again, by then of an engine that was restarted."""
        got: dict[str, Any] | Fault = Fault("it was given up", sent=False)
        for tried in range(_AGAIN):
            if self._connections.closed:
                break
            got = self._calls.attempt(send)
            if not isinstance(got, Fault) or not got.passing:
                break
            self._calls.sleep(calling.delay(tried, got.retry_after))
        return got

    def _no_model(self, model: str, fault: Fault) -> NoReturn:
        raise ProviderRefused(
            f"{self.profile.name} refused {model}: {fault.message}",
            status=404,
            code=fault.code,
            hint=f"which models it has: curl {self._server.address(model)}/models",
        )

    def decode(self, line: bytes) -> Reply:
        return openai_shapes.decode(line)

    def close(self) -> None:
        """Give up what is under way (it costs nothing), and end an engine that we started."""
        self._connections.close()
        self._server.close()

    # It takes no batches; no stage is sent here as one.

    def upload(self, intent: Intent, path: Path) -> str | None:
        raise self._no_batches()

    def create(self, intent: Intent, path: Path, file_id: str | None) -> str:
        raise self._no_batches()

    def find(self, intent: Intent) -> list[BatchState]:
        return []

    def state(self, batch_id: str) -> BatchState:
        raise self._no_batches()

    def fetch(self, batch: BatchState, folder: Path) -> Iterator[Path]:
        raise self._no_batches()

    def cancel(self, batch_id: str) -> None:
        raise self._no_batches()

    def discard(self, file_ids: Iterable[str]) -> None:
        """There are none."""

    def find_uploads(self, intent: Intent) -> list[str]:
        return []

    def _no_batches(self) -> ProviderRefused:
        return ProviderRefused(f"{self.profile.name} takes no batches, only single requests", status=405)


def _read(response: httpx2.Response, custom_id: str) -> dict[str, Any]:
    """The answer's body, if it is one and this request's; raises what ``calling`` makes a Fault of otherwise."""
    if response.status_code >= 300:
        raise calling.SaidError(calling.refusal(response, _maybe_json(response.content)))
    body = faults.json_object(response.content)
    if body.get("error") and not body.get("choices"):
        code, message = faults.told(body)
        raise calling.SaidError(Fault(message or "an error without a message", 200, code))
    echoed = str(body.get("id") or "").removeprefix(_ECHOED)
    if echoed != custom_id and split_custom_id(echoed) is not None:
        raise calling.SaidError(Fault(f"the answer is that of {echoed}"))
    return body


def _maybe_json(data: bytes) -> object:
    try:
        return faults.json_object(data)
    except ValueError:
        return data.decode("utf-8", "replace")
