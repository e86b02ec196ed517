"""How files go up to a bucket and come down from it, under ``bench.s3``: ours, and what the plain client offers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3.session
from botocore.config import Config

from chimera_batch.stores.cache import ObjectCache
from chimera_batch.stores.overlap import Uploads, prefetch
from chimera_batch.stores.s3 import CONFIG, S3Store
from tests.servers import Server

NETWORK = 50_000_000  # bytes a second of one connection, where the server is to be far away
BUCKET = "bench-s3"

Act = Callable[[], object]


class Bench:
    """A server with a bucket, both clients, and the files."""

    def __init__(self, server: Server, folder: Path) -> None:
        session = boto3.session.Session(server.key, server.secret, region_name="us-east-1")
        self.folder = folder
        self.client = session.client("s3", endpoint_url=server.url, config=Config(max_pool_connections=32))
        self.client.create_bucket(Bucket=BUCKET)
        self._own, self._far = (session.client("s3", endpoint_url=server.url, config=CONFIG) for _ in range(2))
        self._far.meta.events.register("before-send.s3", travel)
        self.cache = ObjectCache(folder / "cache")

    def store(self, prefix: str, *, far: bool = False) -> S3Store:
        """The store as a new process on a new machine finds it."""
        return S3Store(self._far if far else self._own, BUCKET, prefix, self.cache)

    def uploads(self, files: Sequence[Path], at_once: int) -> dict[str, Callable[[str], Act]]:
        """Way to what uploads all files below a prefix."""

        def plain(send: Callable[[Path, str], object]) -> Callable[[str], Act]:
            return lambda prefix: lambda: each(at_once, lambda path: send(path, f"{prefix}/{path.name}"), files)

        def put(path: Path, key: str) -> None:
            with path.open("rb") as body:
                self.client.put_object(Bucket=BUCKET, Key=key, Body=body)

        def upload(path: Path, key: str) -> None:
            self.client.upload_file(str(path), BUCKET, key)

        def own(prefix: str) -> Act:
            store = self.store(prefix)
            if at_once == 1:
                return lambda: [store.create_file(path.name, path) for path in files]
            return lambda: upload_all(store, files, at_once)

        name = "create_file" if at_once == 1 else "Uploads"
        return {"upload_file": plain(upload), "put_object": plain(put), f"ours: {name}": own}

    def downloads(self, files: Sequence[Path], prefix: str, at_once: int) -> dict[str, Callable[[Path], Act]]:
        """Way to what downloads all files into a folder, or into the cache."""
        names = [path.name for path in files]

        def plain(get: Callable[[str, Path], object]) -> Callable[[Path], Act]:
            return lambda target: lambda: each(at_once, lambda name: get(f"{prefix}/{name}", target / name), names)

        def own(target: Path) -> Act:
            store = self.store(prefix)
            if at_once == 1:
                return lambda: [store.fetch(name) for name in names]
            return lambda: list(prefetch(store, names, at_once))

        name = "fetch" if at_once == 1 else "prefetch"
        return {"download_file": plain(self._download), "get_object": plain(self._stream), f"ours: {name}": own}

    def _download(self, key: str, path: Path) -> None:
        self.client.download_file(BUCKET, key, str(path))

    def _stream(self, key: str, path: Path) -> None:
        body = self.client.get_object(Bucket=BUCKET, Key=key)["Body"]
        with path.open("wb") as out:
            out.writelines(body.iter_chunks(1 << 20))


def travel(request: Any, **about: Any) -> None:
    """The time that a request's body would be on its way."""
    time.sleep(int(request.headers.get("Content-Length", 0)) / NETWORK)


def each(at_once: int, act: Callable[[Any], object], over: Sequence[Any]) -> None:
    """Do it to each, so many at a time."""
    if at_once == 1:
        for one in over:
            act(one)
        return
    with ThreadPoolExecutor(at_once) as pool:
        for _ in pool.map(act, over):
            pass


def upload_all(store: S3Store, files: Iterable[Path], at_once: int) -> None:
    with Uploads(store, at_once) as uploads:
        for path in files:
            uploads.create_file(path.name, path)
