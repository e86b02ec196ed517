"""The store under an S3 prefix: conditional puts, and a local cache of what was fetched. Imported only when used.

boto3 finds credentials, region and AWS_ENDPOINT_URL in its own ordinary way; with an endpoint it addresses by path.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import boto3.session
import botocore.session
from botocore import exceptions as sdk
from botocore.config import Config
from botocore.loaders import Loader, create_loader

from chimera_batch.errors import InputError, MissingObject
from chimera_batch.stores import probing, s3_puts
from chimera_batch.stores.cache import ObjectCache
from chimera_batch.stores.keys import check_key, check_prefix, is_key, resume_point
from chimera_batch.stores.s3_errors import SDK_ERRORS, explain, fate_unknown, met_another, refused, unreachable
from chimera_batch.stores.s3_gets import Getter
from chimera_batch.stores.s3_puts import NONCE, Putter

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PAUSES = (0.1, 0.5, 1.0, 2.0, 4.0)  # seconds before a put is sent again that met a concurrent one (409)

CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 5},
    connect_timeout=10,
    read_timeout=60,
    max_pool_connections=32,
)


def connect(url: str, *, cache: Path) -> S3Store:
    """The store at ``s3://bucket[/prefix]``, with a client of its own. No request is sent yet.

    Raises InputError for an address, profile or endpoint that boto3 cannot use.
    """
    bucket, _, prefix = url.partition("://")[2].rstrip("/").partition("/")
    if not bucket or (prefix and not is_key(prefix)):
        raise InputError(
            "an S3 store is a bucket and a prefix of letters, digits and ._@=-",
            where=url,
            hint="store: s3://bucket/prefix",
        )
    try:
        client: S3Client = _session().client("s3", config=CONFIG)
    except sdk.BotoCoreError as error:
        raise explain(error, url) from error
    except ValueError as error:  # botocore's word for a malformed endpoint
        raise InputError(str(error), where=url, hint="export AWS_ENDPOINT_URL=https://host[:port]") from error
    return S3Store(client, bucket, prefix, ObjectCache(cache))


def _session() -> boto3.session.Session:
    """A session like any other, but for the description of the S3 API: reading it takes 0.1 s, so it is read once."""
    core = botocore.session.get_session()
    core.register_component("data_loader", _descriptions(core.get_config_variable("data_path")))
    return boto3.session.Session(botocore_session=core)


@cache
def _descriptions(search_path: str | None) -> Loader:
    return create_loader(search_path)


class S3Store:
    """A Store under a bucket's prefix. Safe to use from several threads.

    Every object carries a nonce of its writer in its metadata: when a reply was lost, or a repeat inside boto3 was
    refused because the first sending had succeeded, the nonce tells whose object is there.
    """

    def __init__(
        self, client: S3Client, bucket: str, prefix: str, cache: ObjectCache, crew: Executor | None = None
    ) -> None:
        self._client = client
        self._crew = crew or ThreadPoolExecutor(s3_puts.AT_ONCE, thread_name_prefix="part")  # starts no thread yet
        self._bucket = bucket
        self._prefix = prefix
        self._cache = cache
        self._current: dict[str, Path] = {}  # cached files that this process has compared with the bucket

    def __repr__(self) -> str:
        return f"S3Store({self.url!r})"

    @property
    def url(self) -> str:
        """``s3://bucket/prefix``, without a slash at the end."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def create(self, key: str, data: bytes) -> bool:
        """See Store. Raises NotFinished when the server is unreachable, InputError for credentials or the bucket."""
        return self._claim(key, lambda putter: putter.put(data))

    def create_file(self, key: str, path: Path, *, drop: bool = False) -> bool:
        """See Store. Above 64 MB the file goes up in parts and becomes visible with the last step only."""
        there = path.stat().st_size > s3_puts.SMALL and self.exists(key)  # spares an upload that would be refused
        won = not there and self._claim(key, lambda putter: putter.put_file(path))
        if drop:
            path.unlink(missing_ok=True)
        return won

    def read(self, key: str) -> bytes:
        """See Store."""
        with self._explained(check_key(key)):
            return self._getter(key).read()

    def fetch(self, key: str) -> Path:
        """See Store. A cached file is compared with the bucket's ETag once per process: a wiped store is noticed."""
        known = self._current.get(check_key(key))
        if known is None or not known.is_file():
            known = self._cached(key) or self._copy(key)
            self._current[key] = known
        return known

    def exists(self, key: str) -> bool:
        """See Store. A bucket that is missing altogether looks like an absent key here, and only here."""
        return self._head(key) is not None

    def size(self, key: str) -> int:
        """See Store."""
        with self._explained(key):
            return int(self._client.head_object(Bucket=self._bucket, Key=self._full(check_key(key)))["ContentLength"])

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """See Store. Objects whose names are no keys (a console's folder markers) are passed over.

        All pages are read before the first key is given, as not every server lists in the order that Store promises.
        """
        start = resume_point(check_prefix(prefix), after)
        if start is None:
            return iter(())
        return iter(sorted(key for key in self._listed(prefix, start) if key > after))

    def delete(self, keys: Iterable[str]) -> None:
        """See Store. Copies in this machine's cache go too."""
        rest = iter(keys)
        while batch := [check_key(key) for key in islice(rest, 1000)]:  # S3's limit for one request
            with self._explained(batch[0]):
                reply = self._client.delete_objects(
                    Bucket=self._bucket,
                    Delete={"Objects": [{"Key": self._full(key)} for key in batch], "Quiet": True},
                )
            for key in batch:
                self._current.pop(key, None)
                self._cache.forget(self._address(key))
            for failed in reply.get("Errors", []):
                where = f"s3://{self._bucket}/{failed.get('Key', '')}"
                raise refused(failed.get("Code", ""), 0, failed.get("Message", ""), where)

    def probe(self) -> None:
        """See Store. Also refuses a server that drops metadata, as lost replies could not be told from lost races."""
        probing.probe(self, also=self._keeps_metadata)

    def sub(self, prefix: str) -> S3Store:
        """See Store. Shares the client, its threads and the cache."""
        return S3Store(self._client, self._bucket, self._full(check_key(prefix)), self._cache, self._crew)

    # --- names and errors

    def _full(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    def _where(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._full(key)}"

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        try:
            yield
        except SDK_ERRORS as error:
            raise explain(error, self._where(key)) from error

    # --- writing

    def _claim(self, key: str, send: Callable[[Putter], None]) -> bool:
        """Send until the key's fate is known: ours (True) or somebody else's (False)."""
        nonce = uuid4().hex
        putter = Putter(self._client, self._crew, self._bucket, self._full(check_key(key)), nonce)
        for pause in _PAUSES:
            try:
                send(putter)
            except SDK_ERRORS as error:
                met = met_another(error)
                if not (met or fate_unknown(error)):
                    raise explain(error, self._where(key)) from error
                owner = self._head(key)
                if owner is not None:
                    return owner == nonce
                if not met:  # it may still land; the caller re-reads, as after a crash
                    raise explain(error, self._where(key)) from error
            else:
                return True
            time.sleep(pause)
        raise unreachable("other writers keep the key busy (409)", self._where(key))

    # --- reading

    def _head(self, key: str) -> str | None:
        """The nonce of the object's writer ("" where it has none), or None when there is no object."""
        try:
            with self._explained(key):
                found = self._client.head_object(Bucket=self._bucket, Key=self._full(check_key(key)))
        except MissingObject:
            return None
        return {name.lower(): value for name, value in found["Metadata"].items()}.get(NONCE, "")

    def _listed(self, prefix: str, start: str) -> Iterator[str]:
        cut, wanted = len(self._full("")), self._full(prefix)
        with self._explained(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=wanted, StartAfter=self._full(start) if start else ""
            )
            for page in pages:
                for item in page.get("Contents", []):
                    key = item["Key"][cut:]
                    if item["Key"].startswith(wanted) and is_key(key):  # a listing is a server's word
                        yield key

    def _getter(self, key: str) -> Getter:
        return Getter(self._client, self._crew, self._bucket, self._full(key))

    def _address(self, key: str) -> str:
        return f"{self._client.meta.endpoint_url}/{self._bucket}/{self._full(key)}"

    def _cached(self, key: str) -> Path | None:
        """The cached copy, if there is one and the bucket still holds the same object."""
        address = self._address(key)
        if not self._cache.knows(address):
            return None
        with self._explained(key):
            head = self._client.head_object(Bucket=self._bucket, Key=self._full(key))
        return self._cache.find(address, head["ETag"], head["ContentLength"])

    def _copy(self, key: str) -> Path:
        with self._explained(key):
            return self._getter(key).save(self._cache, self._address(key))

    def _keeps_metadata(self, key: str) -> tuple[str, str] | None:
        if self._head(key):
            return None
        return (
            "the bucket's server drops object metadata, so a lost reply could not be told from a lost race",
            "use a server that keeps x-amz-meta headers (AWS S3, MinIO, Ceph, R2, SeaweedFS), or --store ./runs",
        )
