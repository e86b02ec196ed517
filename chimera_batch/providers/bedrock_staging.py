"""The bucket through which files are handed over to Bedrock and back: objects by their ``s3://`` addresses.

Raises botocore's own errors; a body is a stream, never one value in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
from boto3.s3.transfer import TransferConfig
from botocore import exceptions as sdk

from chimera_batch.providers import files

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

_PARTS = TransferConfig(multipart_threshold=64_000_000, multipart_chunksize=32 << 20, max_concurrency=4)
"""Bytes: a larger file goes up in parts, so that a broken connection costs one part."""

_PIECE = 1 << 18  # bytes of a body at a time


class Staging:
    """Objects of a bucket that Bedrock's role may read and write too. Safe to use from several threads."""

    def __init__(self, client: S3Client) -> None:
        self._client = client

    def put(self, uri: str, path: Path) -> None:
        """A file as an object; it shows when all of it is there, and a second time it is simply written again."""
        bucket, key = parts(uri)
        with path.open("rb") as file:  # upload_fileobj raises what the server said; upload_file wraps it
            self._client.upload_fileobj(file, bucket, key, Config=_PARTS)

    def size(self, uri: str) -> int | None:
        """Bytes of an object; None where there is none."""
        bucket, key = parts(uri)
        try:
            return self._client.head_object(Bucket=bucket, Key=key)["ContentLength"]
        except sdk.ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                return None
            raise

    def below(self, uri: str) -> list[str]:
        """The addresses of all objects whose own begin so, in order."""
        bucket, prefix = parts(uri)
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = (item["Key"] for page in pages for item in page.get("Contents", []))
        return sorted(f"s3://{bucket}/{key}" for key in keys if key.startswith(prefix))  # they are read, and deleted

    def read(self, uri: str) -> bytes:
        """A small object in memory."""
        bucket, key = parts(uri)
        with closing(self._client.get_object(Bucket=bucket, Key=key)["Body"]) as body:
            return body.read()

    def opening(self, uri: str) -> files.Open:
        """An object as a stream from an offset on, as the downloads of every other host come."""
        bucket, key = parts(uri)

        @contextmanager
        def opened(at: int) -> Iterator[httpx2.Response]:
            wanted: dict[str, Any] = {"Range": f"bytes={at}-"} if at else {}
            reply = self._client.get_object(Bucket=bucket, Key=key, **wanted)
            said = reply["ResponseMetadata"]
            with closing(reply["Body"]) as body:
                yield httpx2.Response(said["HTTPStatusCode"], headers=said["HTTPHeaders"], stream=_Pieces(body))

        return opened

    def delete(self, uri: str) -> None:
        """An object that is gone already is fine: S3 says nothing of it."""
        bucket, key = parts(uri)
        self._client.delete_object(Bucket=bucket, Key=key)


class _Pieces(httpx2.SyncByteStream):
    def __init__(self, body: StreamingBody) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        return self._body.iter_chunks(_PIECE)


def parts(uri: str) -> tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``. Raises ValueError for anything else."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket or not key:
        raise ValueError(f"not an address of an object: {uri!r}")
    return bucket, key
