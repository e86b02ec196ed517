"""Whole runs through ``api`` against one rehearsal server, and small pipelines written on the spot."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from chimera_batch import api, rehearsal
from chimera_batch.context import Timing
from chimera_batch.opening import Options
from tests.conftest import ROOT

SPEED = 1e6  # a day of the provider's in a tenth of a second
TIMING = Timing(poll=0.02, lease=5.0, settle=0.3, queue=0.3)


@dataclass(frozen=True)
class Provider:
    """A rehearsal server in a process of its own."""

    url: str
    state: Path

    @property
    def bill(self) -> list[dict[str, Any]]:
        """One object for each request that it executed, whoever asked."""
        path = self.state / "billing.jsonl"
        return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    def usd(self) -> Decimal:
        return sum((Decimal(line["usd"]) for line in self.bill), Decimal(0))

    def tell(self, what: str) -> Any:
        """``/_rehearsal/WHAT``: state, requests, double-payments."""
        place = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        try:
            place.request("GET", f"/_rehearsal/{what}")
            return json.loads(place.getresponse().read())
        finally:
            place.close()


@contextmanager
def provider(state: Path, *, speed: float = SPEED, **settings: Any) -> Iterator[Provider]:
    server = rehearsal.start(state, speed=speed, settings=settings)
    try:
        yield Provider(server.url, state)
    finally:
        server.close()


@dataclass
class Rehearsed:
    """One manifest on one store, played by one server."""

    manifest: Path
    store: str
    served: Provider
    cache: Path
    said: list[str] = field(default_factory=list)

    @property
    def options(self) -> Options:
        return Options(store=self.store, rehearse=True, timing=TIMING, say=self.said.append)

    @contextmanager
    def place(self) -> Iterator[None]:
        """The environment of this run, also outside of a test function."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CHIMERA_CACHE", str(self.cache))
            patch.setenv("CHIMERA_STATE", str(self.cache.with_name(f"{self.cache.name}-state")))
            patch.setenv("CHIMERA_REHEARSAL_URL", self.served.url)
            yield

    def run(self, **more: Any) -> dict[str, Any]:
        with self.place():
            return api.run(self.manifest, self.options, **more)

    def plan(self) -> dict[str, Any]:
        with self.place():
            return api.plan(self.manifest, self.options)

    def status(self) -> dict[str, Any]:
        with self.place():
            return api.status(self.manifest, self.options)

    def trace(self, key: str) -> dict[str, Any]:
        with self.place():
            return api.trace(self.manifest, key, self.options)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self.tables() as ask:
            return ask(sql)

    @contextmanager
    def tables(self) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
        """Opened once for many questions: what is behind them is gathered at the beginning."""
        with self.place(), api.query(self.manifest, self.options) as tables:
            yield lambda sql: list(tables.query(sql))

    def objects(self, name: str) -> list[Path]:
        """The files of a folder store, of the rehearsal's side, whose path ends like this."""
        return sorted((Path(self.store) / "rehearsal").glob(f"**/*{name}"))

    def elsewhere(self, cache: Path, **changes: Any) -> Rehearsed:
        """The same run from another machine: nothing in common but the store and the providers."""
        return replace(self, cache=cache, said=[], **changes)


def stage_of(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """One stage of a status or an estimate."""
    return next(dict(stage) for stage in document["stages"] if stage["stage"] == name)


def write_pipeline(folder: Path, manifest: Mapping[str, Any], files: Mapping[str, str]) -> Path:
    """The manifest's path; ``files`` by their path in the project."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    path = folder / f"{manifest['run']}.yaml"
    path.write_text(yaml.safe_dump(dict(manifest), sort_keys=False), encoding="utf-8")
    return path


def shipped(name: str) -> Path:
    return ROOT / "manifests" / f"{name}.yaml"
