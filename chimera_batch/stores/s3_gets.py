"""Getting one object out of a bucket: in one stream, or, where that is slow, in ranges side by side. Raises the SDK's
own errors."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from botocore import exceptions as sdk

from chimera_batch.stores import disk
from chimera_batch.stores.cache import ObjectCache
from chimera_batch.stores.overlap import together
from chimera_batch.stores.s3_errors import NETWORK

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

SINGLE_GET = 64_000_000  # bytes; above, an object may come in ranges, as one connection may be slower than the network
FAST = 100_000_000  # bytes a second: a connection as fast would share its processor with others, not the network
STEP = 8 << 20  # bytes between two looks at the clock
RANGE = 32 << 20  # bytes
_TRIES = 3  # boto3 repeats requests, but not a body that breaks off

_T = TypeVar("_T")


class Getter:
    """Gets of one key. A body that breaks off, or ends too early, is asked for again."""

    def __init__(self, client: S3Client, crew: Executor, bucket: str, key: str) -> None:
        self._client = client
        self._crew = crew  # its threads get the ranges
        self._bucket = bucket
        self._key = key

    def read(self) -> bytes:
        """The whole object, in memory."""
        return _repeated(lambda: self._get(lambda reply: reply["Body"].read()))

    def save(self, cache: ObjectCache, address: str) -> Path:
        """The object as a file of the cache. Raises InputError for what is wrong with the cache's folder."""
        return _repeated(lambda: self._get(lambda reply: self._keep(reply, cache, address)))

    def _get(self, take: Callable[[GetObjectOutputTypeDef], _T]) -> _T:
        reply = self._client.get_object(Bucket=self._bucket, Key=self._key)
        with closing(reply["Body"]):
            return take(reply)

    def _keep(self, reply: GetObjectOutputTypeDef, cache: ObjectCache, address: str) -> Path:
        size, version = reply["ContentLength"], reply["ETag"]

        def write(out: BinaryIO) -> None:
            if size > SINGLE_GET:
                self._write_ranges(out.fileno(), reply)
            else:
                out.writelines(reply["Body"].iter_chunks(disk.CHUNK))

        path = cache.save(address, version, write, size)
        if path is None:
            raise sdk.ResponseStreamingError(error=f"the body ended before its {size} bytes")
        return path

    def _write_ranges(self, handle: int, reply: GetObjectOutputTypeDef) -> None:
        """The reply's own connection as long as it is fast; then it brings one range more and others, each on a
        connection of its own, the rest meanwhile."""
        size, version = reply["ContentLength"], reply["ETag"]

        def ranged(start: int) -> None:
            _repeated(lambda: self._write_range(handle, start, min(start + RANGE, size), version))

        def first() -> None:
            try:
                _pour(reply, handle, begin, min(RANGE, size - begin))
            except NETWORK:
                ranged(begin)
            finally:
                reply["Body"].close()  # what the server has sent ahead is dropped

        begin, whole = _pour_while_fast(reply, handle, size)
        acts: list[Callable[[], None]] = [partial(ranged, start) for start in range(begin, size, RANGE)]
        if acts and whole:
            acts[0] = first
        together(self._crew, acts)

    def _write_range(self, handle: int, start: int, end: int, version: str) -> None:
        reply = self._client.get_object(Bucket=self._bucket, Key=self._key, Range=f"bytes={start}-{end - 1}")
        with closing(reply["Body"]):
            if (
                reply["ETag"] != version
                or reply.get("ContentRange", "").partition("/")[0] != f"bytes {start}-{end - 1}"
            ):
                raise sdk.ResponseStreamingError(error="the object changed while it was read")
            _pour(reply, handle, start, end - start)


def _pour_while_fast(reply: GetObjectOutputTypeDef, handle: int, size: int) -> tuple[int, bool]:
    """How many bytes are in the file, and whether the body can be read on. The first step, in which a server and its
    network only get going, says nothing of either."""
    done, fast = 0, True
    while fast and done < size:
        step, began = min(STEP, size - done), time.perf_counter()
        try:
            _pour(reply, handle, done, step)
        except NETWORK:
            return done, False
        fast = not done or step >= FAST * (time.perf_counter() - began)
        done += step
    return done, True


def _pour(reply: GetObjectOutputTypeDef, handle: int, start: int, size: int) -> None:
    """Exactly ``size`` bytes of a body into a file, from ``start`` on."""
    at, end = start, start + size
    while at < end:
        data = reply["Body"].read(min(disk.CHUNK, end - at))
        if not data:
            raise sdk.ResponseStreamingError(error=f"the body ended {end - at} bytes too early")
        os.pwrite(handle, data, at)
        at += len(data)


def _repeated(get: Callable[[], _T]) -> _T:
    for _ in range(_TRIES - 1):
        try:
            return get()
        except NETWORK:
            continue
    return get()
