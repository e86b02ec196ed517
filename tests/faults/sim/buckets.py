"""A bucket in memory behind the real S3 store, by the calls of boto3's client that the store makes, and what it does
wrong. boto3's own repeats are over by then: each fault is what its caller sees in the end (tests/test_store_s3.py has
those before).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from botocore import exceptions as sdk

from chimera_batch.stores.cache import ObjectCache
from chimera_batch.stores.s3 import S3Store

PREFIX = "team"
_URL = "http://bucket.example"


def answered(code: str, status: int) -> sdk.ClientError:
    response: Any = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return sdk.ClientError(response, "Call")


def _silent() -> Exception:
    return sdk.ReadTimeoutError(endpoint_url=_URL)


@dataclass(frozen=True, slots=True)
class BucketFault:
    """What a call meets. ``done``: it took effect all the same. ``times``: that many calls of the same verb in a row.

    ``looks``: what the look at the object meets that follows. ``exits``: with what a command may end.
    """

    error: Callable[[], Exception]
    exits: tuple[int, ...] = (5,)
    done: bool = False
    times: int = 1
    looks: Callable[[], Exception] | None = None


PUTS: Mapping[str, BucketFault] = {
    "500": BucketFault(lambda: answered("InternalError", 500)),
    "503 SlowDown": BucketFault(lambda: answered("SlowDown", 503)),
    "no connection": BucketFault(lambda: sdk.ConnectTimeoutError(endpoint_url=_URL)),
    "no reply, not done": BucketFault(_silent),
    "no reply, done": BucketFault(_silent, (0,), done=True),
    "no reply, done, and then nobody to ask": BucketFault(_silent, done=True, looks=_silent),
    "412 from its own repeat": BucketFault(lambda: answered("PreconditionFailed", 412), (0,), done=True),
    "409 twice": BucketFault(lambda: answered("ConditionalRequestConflict", 409), (0,), times=2),
    "409 without end": BucketFault(lambda: answered("ConditionalRequestConflict", 409), times=9),
    "credentials expired": BucketFault(lambda: answered("ExpiredToken", 400), (2,)),
    "access denied": BucketFault(lambda: answered("AccessDenied", 403), (2,)),
    "clock off": BucketFault(lambda: answered("RequestTimeTooSkewed", 403), (2,)),
    "bucket full": BucketFault(lambda: answered("QuotaExceeded", 400), (2,)),
    "bucket gone": BucketFault(lambda: answered("NoSuchBucket", 404), (2,)),
}
GETS: Mapping[str, BucketFault] = {
    "500": BucketFault(lambda: answered("InternalError", 500)),
    "503 SlowDown": BucketFault(lambda: answered("SlowDown", 503)),
    "the body breaks off": BucketFault(lambda: sdk.IncompleteReadError(actual_bytes=1, expected_bytes=2), (0,)),
    "every body breaks off": BucketFault(lambda: sdk.IncompleteReadError(actual_bytes=1, expected_bytes=2), times=9),
    "credentials expired": BucketFault(lambda: answered("ExpiredToken", 400), (2,)),
    "wrong checksum": BucketFault(lambda: sdk.FlexibleChecksumError(error_msg="expected abc"), (0,)),
}
KINDS = {"put": PUTS, "get": GETS}


@dataclass
class Bucket:
    """The bucket's side. The ``at``-th call of ``verb``, of all commands together, meets ``fault``."""

    verb: str = ""
    at: int = -1
    fault: BucketFault | None = None
    objects: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    struck: bool = False
    there: bool = False  # the object was there already when its put failed: then nothing is lost by that
    _looks: Callable[[], Exception] | None = None

    @property
    def meta(self) -> Any:
        return SimpleNamespace(endpoint_url=_URL)

    def put_object(self, Key: str, Body: Any, Metadata: dict[str, str], **_: Any) -> None:
        data = Body if isinstance(Body, bytes) else Body.read()
        fault = self._met("put")
        if fault is None or fault.done:
            if Key in self.objects:
                raise answered("PreconditionFailed", 412)
            self.objects[Key] = (data, Metadata)
        if fault is not None:
            self.there = Key in self.objects and not fault.done
            self._looks = fault.looks
            raise fault.error()

    def head_object(self, Key: str, **_: Any) -> dict[str, Any]:
        if self._looks is not None:
            error, self._looks = self._looks(), None
            raise error
        return self._about(Key, "404")

    def get_object(self, Key: str, **_: Any) -> dict[str, Any]:
        found = self._about(Key, "NoSuchKey")
        fault = self._met("get")
        if fault is not None:
            raise fault.error()
        return {**found, "Body": _Body(self.objects[Key][0])}

    def get_paginator(self, _: str) -> Any:
        def paginate(Prefix: str, StartAfter: str, **_: Any) -> Iterator[dict[str, Any]]:
            keys = sorted(key for key in self.objects if key.startswith(Prefix) and key > StartAfter)
            yield {"Contents": [{"Key": key} for key in keys]}

        return SimpleNamespace(paginate=paginate)

    def _about(self, key: str, missing: str) -> dict[str, Any]:
        if key not in self.objects:
            raise answered(missing, 404)
        data, metadata = self.objects[key]
        return {"ETag": hashlib.sha256(data).hexdigest(), "ContentLength": len(data), "Metadata": metadata}

    def _met(self, verb: str) -> BucketFault | None:
        number = self.calls.get(verb, 0)
        self.calls[verb] = number + 1
        if self.fault is None or verb != self.verb or not self.at <= number < self.at + self.fault.times:
            return None
        self.struck = True
        return self.fault

    def store(self, cache: Path) -> S3Store:
        """The real store over it, as one command opens it."""
        client: Any = self
        return S3Store(client, "bucket", PREFIX, ObjectCache(cache))

    def data(self) -> dict[str, bytes]:
        """What lies in the store, by its own keys."""
        return {key.removeprefix(f"{PREFIX}/"): data for key, (data, _) in self.objects.items()}


class _Body(io.BytesIO):
    def iter_chunks(self, size: int) -> Iterator[bytes]:
        while chunk := self.read(size):
            yield chunk
