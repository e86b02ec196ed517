"""Putting one object into a bucket if it is not there yet: in one request, or in parts. Raises the SDK's own errors."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from chimera_batch.stores.s3_errors import SDK_ERRORS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

SINGLE_PUT = 64_000_000  # bytes; above, a file goes up in parts, so that a broken connection costs one part
PART = 16 << 20  # bytes; S3 wants at least 5 MiB and at most 10,000 parts
NONCE = "chimera-nonce"  # metadata by which a writer knows its own object again


class Putter:
    """Puts to one key on behalf of one writer, who is known by ``nonce``. May be asked again after a failure."""

    def __init__(self, client: S3Client, bucket: str, key: str, nonce: str) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._metadata = {NONCE: nonce}

    def put(self, body: bytes | IO[bytes]) -> None:
        """One conditional request."""
        self._client.put_object(Bucket=self._bucket, Key=self._key, Body=body, IfNoneMatch="*", Metadata=self._metadata)

    def put_file(self, path: Path) -> None:
        """A local file, streamed; a large one in parts, of which nothing is visible before the last step."""
        size = path.stat().st_size
        with path.open("rb") as source:
            if size > SINGLE_PUT:
                self._put_parts(source, max(PART, size // 9_000))
            else:
                self.put(source)

    def _put_parts(self, source: IO[bytes], size: int) -> None:
        begun = self._client.create_multipart_upload(Bucket=self._bucket, Key=self._key, Metadata=self._metadata)
        upload = begun["UploadId"]
        try:
            parts = self._send_parts(source, size, upload)
            self._client.complete_multipart_upload(
                Bucket=self._bucket, Key=self._key, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
            )
        except BaseException:  # parts of an upload that nobody completes are billed until they are aborted
            with suppress(*SDK_ERRORS):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=upload)
            raise

    def _send_parts(self, source: IO[bytes], size: int, upload: str) -> list[CompletedPartTypeDef]:
        parts: list[CompletedPartTypeDef] = []
        while data := source.read(size):
            number = len(parts) + 1
            sent = self._client.upload_part(
                Bucket=self._bucket, Key=self._key, UploadId=upload, PartNumber=number, Body=data
            )
            part: CompletedPartTypeDef = {"PartNumber": number, "ETag": sent["ETag"]}
            if checksum := sent.get("ChecksumCRC32"):  # AWS compares it again when the parts are joined
                part["ChecksumCRC32"] = checksum
            parts.append(part)
        return parts
