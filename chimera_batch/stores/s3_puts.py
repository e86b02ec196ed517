"""Putting one object into a bucket if it is not there yet: in one request, or in parts. Raises the SDK's own errors."""

from __future__ import annotations

import io
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

from chimera_batch.stores.overlap import together
from chimera_batch.stores.s3_errors import SDK_ERRORS

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

SINGLE_PUT = 64_000_000  # bytes; above, a file goes up in parts, so that a broken connection costs one part
PART = 16 << 20  # bytes; S3 wants at least 5 MiB and at most 10,000 parts
AT_ONCE = 8  # parts under way in a store, of all its uploads and downloads together
SMALL = 1 << 20  # bytes; a file up to here is cheaper sent in vain than asked about first
_BUFFER = 1 << 18  # bytes read at a time
NONCE = "chimera-nonce"  # metadata by which a writer knows its own object again


class _Slice(io.RawIOBase):
    """``size`` bytes of a file from ``start``, as a file of their own."""

    def __init__(self, path: Path, start: int, size: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._start, self._size = start, size
        self.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._file.readinto(memoryview(buffer)[: max(0, self._size - self.tell())])

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._size}[whence]
        return self._file.seek(self._start + base + offset) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start

    def close(self) -> None:
        self._file.close()
        super().close()


def part_of(path: Path, start: int, size: int) -> BinaryIO:
    """``size`` bytes of a file from ``start``, as a file: so that a part goes from the disk, not from memory."""
    return io.BufferedReader(_Slice(path, start, size), _BUFFER)


class Putter:
    """Puts to one key on behalf of one writer, who is known by ``nonce``. May be asked again after a failure."""

    def __init__(self, client: S3Client, crew: Executor, bucket: str, key: str, nonce: str) -> None:
        self._client = client
        self._crew = crew  # its threads send the parts
        self._bucket = bucket
        self._key = key
        self._metadata = {NONCE: nonce}

    def put(self, body: bytes | IO[bytes]) -> None:
        """One conditional request."""
        self._client.put_object(Bucket=self._bucket, Key=self._key, Body=body, IfNoneMatch="*", Metadata=self._metadata)

    def put_file(self, path: Path) -> None:
        """A local file, streamed; a large one in parts, of which nothing is visible before the last step."""
        size = path.stat().st_size
        if size > SINGLE_PUT:
            self._put_parts(path, size, max(PART, size // 9_000))
        elif size > SMALL:
            with path.open("rb") as source:
                self.put(source)
        else:  # bytes, as boto3 asks before it sends a file ("Expect: 100-continue"), which is a round trip
            self.put(path.read_bytes())

    def _put_parts(self, path: Path, size: int, part: int) -> None:
        begun = self._client.create_multipart_upload(Bucket=self._bucket, Key=self._key, Metadata=self._metadata)
        upload = begun["UploadId"]

        def send(number: int) -> CompletedPartTypeDef:
            start = (number - 1) * part
            with part_of(path, start, min(part, size - start)) as body:
                return self._send_part(body, number, upload)

        try:
            parts = together(self._crew, [partial(send, number) for number in range(1, -(-size // part) + 1)])
            self._client.complete_multipart_upload(
                Bucket=self._bucket, Key=self._key, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
            )
        except BaseException:  # parts of an upload that nobody completes are billed until they are aborted
            with suppress(*SDK_ERRORS):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=upload)
            raise

    def _send_part(self, body: BinaryIO, number: int, upload: str) -> CompletedPartTypeDef:
        sent = self._client.upload_part(
            Bucket=self._bucket, Key=self._key, UploadId=upload, PartNumber=number, Body=body
        )
        part: CompletedPartTypeDef = {"PartNumber": number, "ETag": sent["ETag"]}
        if checksum := sent.get("ChecksumCRC32"):  # AWS compares it again when the parts are joined
            part["ChecksumCRC32"] = checksum
        return part
