"""Bedrock and its bucket behind botocore's own clients, with faults on command: the Host of the contract suite.

botocore's HTTP session is replaced by one that hands each signed request to the Host, as httpx2.MockTransport does for
the other adapters; everything above it, serializing, signing and parsing, is the real client's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape

import httpx2
from botocore import exceptions as sdk
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from chimera_batch.providers.base import Provider
from chimera_batch.providers.profiles import builtin
from tests.provider_hosts import MESSAGE, NOW, Host, stream

ROLE = "arn:aws:iam::123456789012:role/batches"
STAGING = "s3://bucket/staging"
MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"


class _Raw:
    """The body of a reply as botocore reads it, raw: what is compressed stays so."""

    def __init__(self, response: httpx2.Response) -> None:
        pieces = response.stream
        assert isinstance(pieces, httpx2.SyncByteStream)
        self._pieces = iter(pieces)

    def read(self, amount: int | None = None) -> bytes:
        return next((piece for piece in self._pieces if piece), b"") if amount else b"".join(self._pieces)

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield from self._pieces

    def close(self) -> None:
        """Nothing is open."""


class _Session:
    """In the place of botocore's URLLib3Session."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        body = request.body
        content = body if isinstance(body, bytes | bytearray) else body.read() if body is not None else b""
        headers = {
            name: value.decode() if isinstance(value, bytes) else str(value) for name, value in request.headers.items()
        }
        try:
            reply = self._host.handle(
                httpx2.Request(request.method, request.url, content=bytes(content), headers=headers)
            )
        except httpx2.ConnectTimeout as error:
            raise sdk.ConnectTimeoutError(endpoint_url=request.url, error=error) from error
        except httpx2.ConnectError as error:
            raise sdk.EndpointConnectionError(endpoint_url=request.url, error=error) from error
        except httpx2.ReadTimeout as error:
            raise sdk.ReadTimeoutError(endpoint_url=request.url, error=error) from error
        except httpx2.HTTPError as error:
            raise sdk.ConnectionClosedError(endpoint_url=request.url, request=request, error=error) from error
        return AWSResponse(request.url, reply.status_code, dict(reply.headers), _Raw(reply))

    def close(self) -> None:
        """Nothing is open."""


@cache  # making them costs a second, and they keep nothing but their session
def _clients() -> tuple[Any, Any]:
    import boto3.session
    from botocore.config import Config

    session = boto3.session.Session("key-id", "secret", region_name="us-east-1")
    once = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    jobs, objects = (session.client(name, endpoint_url="http://host.test", config=once) for name in ("bedrock", "s3"))
    return jobs, objects


class BedrockHost(Host):
    dialect = "bedrock"
    create_path = "/model-invocation-job"
    list_path = "/model-invocation-jobs"
    cancel_word = "stop"
    status_key = "status"
    content_path = r"/bucket/staging/out/[a-z0-9]{12}/made\.jsonl\.out"
    endpoint = "/v1/messages"
    model = MODEL
    asks = marks_unrun = False

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}  # by key, of the one bucket
        self.tokens: dict[str, str] = {}  # idempotency key -> id of its job

    def provider(self, **over: Any) -> Provider:
        from chimera_batch.providers.bedrock import BedrockProvider
        from chimera_batch.providers.bedrock_aws import Clients

        known = replace(builtin()["bedrock"], base_url="http://host.test", staging=STAGING, role=ROLE, **over)
        for client in _clients():
            client._endpoint.http_session = _Session(self)
        return BedrockProvider(known, clients=Clients(*_clients()), sleep=self.waits.append)

    def batch(self, number: int = 1, requests: int = 2, **over: Any) -> dict[str, Any]:
        """A job; ``created_at``: seconds since the epoch."""
        at = datetime.fromtimestamp(over.pop("created_at", NOW + number), UTC).isoformat().replace("+00:00", "Z")
        arn = f"arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/{number:012d}"
        made = {"id": f"{number:012d}", "jobArn": arn, "jobName": f"job-{number}", "status": "Submitted"}
        made |= {"modelId": MODEL, "roleArn": ROLE, "submitTime": at, "totalRecordCount": requests}
        made |= {"inputDataConfig": {"s3InputDataConfig": {"s3Uri": f"{STAGING}/in/x.jsonl"}}}
        made |= {"outputDataConfig": {"s3OutputDataConfig": {"s3Uri": f"{STAGING}/out/"}}, **over}
        self.batches[made["id"]] = made
        return made

    def finished(self, *rows: bytes) -> str:
        """A completed job with these rows in its results; its id."""
        made = self.batch(status="Completed", requests=len(rows), successRecordCount=len(rows))
        self.objects[f"staging/out/{made['id']}/made.jsonl.out"] = b"".join(row + b"\n" for row in rows)
        return str(made["id"])

    @property
    def whole(self) -> bytes:
        return next(data for key, data in self.objects.items() if key.endswith(".out"))

    def _row(self, record: str, **result: Any) -> bytes:
        return json.dumps({"recordId": record, "modelInput": {"max_tokens": 9}, **result}, ensure_ascii=False).encode()

    def ok(self, custom_id: str, text: str = "four") -> bytes:
        return self._row(custom_id, modelOutput={**MESSAGE, "content": [{"type": "text", "text": text}]})

    def errored(self, custom_id: str, code: str, status: int = 400, message: str = "no") -> bytes:
        return self._row(custom_id, error={"errorCode": code, "errorMessage": message})

    def refusal(self, status: int, code: str = "bad", message: str = "no", **headers: str) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx2.Response(status, json={"message": message}, headers={"x-amzn-errortype": code, **named})

    def circle(self) -> dict[str, Any]:
        """A page of the list whose successor is itself."""
        return {"invocationJobSummaries": [self.batch(1), self.batch(2)], "nextToken": "again"}

    def line(self, custom_id: str = "r1") -> bytes:
        params = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "2+2?"}]}
        return json.dumps({"custom_id": custom_id, "params": params}).encode()

    def route(self, method: str, path: str, request: httpx2.Request) -> httpx2.Response:
        if path.startswith("/bucket"):
            return self._object(method, unquote(path.removeprefix("/bucket").lstrip("/")), request)
        if (method, path) == ("POST", self.create_path):
            return self._create(json.loads(request.content))
        if (method, path) == ("GET", self.list_path):
            return self._list(request)
        match = re.fullmatch(r"/model-invocation-job/([^/]+)(/stop)?", path)
        assert match, f"{method} {path} is not a path of this host"
        job = self.batches.get(match[1])
        if job is None:
            return self.refusal(404, "ResourceNotFoundException", "no such job")
        return httpx2.Response(200, json={} if match[2] else job)

    def _create(self, said: dict[str, Any]) -> httpx2.Response:
        known = self.tokens.get(said["clientRequestToken"])
        made = self.batches[known] if known else self.batch(len(self.batches) + 1)
        self.tokens[said["clientRequestToken"]] = made["id"]
        made |= {"jobName": said["jobName"], "clientRequestToken": said["clientRequestToken"]}
        return httpx2.Response(200, json={"jobArn": made["jobArn"]})

    def _list(self, request: httpx2.Request) -> httpx2.Response:
        """Newest first, two at a time; filters are left to the client, as a proxy might leave them."""
        newest = sorted(self.batches.values(), key=lambda job: str(job["submitTime"]), reverse=True)
        at = int(request.url.params.get("nextToken", "0"))
        more = {"nextToken": str(at + 2)} if at + 2 < len(newest) else {}
        return httpx2.Response(200, json={"invocationJobSummaries": newest[at : at + 2], **more})

    def _object(self, method: str, key: str, request: httpx2.Request) -> httpx2.Response:
        if method == "PUT":
            self.objects[key] = request.content
            return httpx2.Response(200, headers={"ETag": '"x"'})
        if method == "DELETE":
            self.objects.pop(key, None)
            return httpx2.Response(204)
        return self._read(method, key, request) if key else self._listed(request.url.params["prefix"])

    def _read(self, method: str, key: str, request: httpx2.Request) -> httpx2.Response:
        data, wanted = self.objects.get(key), request.headers.get("range")
        if data is None:
            return httpx2.Response(404, text="" if method == "HEAD" else "<Error><Code>NoSuchKey</Code></Error>")
        if method == "HEAD":
            return httpx2.Response(200, headers={"content-length": str(len(data))})
        if not wanted:
            return stream(data)
        at = int(wanted.removeprefix("bytes=").rstrip("-"))
        return stream(data[at:], status=206, content_range=f"bytes {at}-{len(data) - 1}/{len(data)}")

    def _listed(self, prefix: str) -> httpx2.Response:
        keys = sorted(key for key in self.objects if key.startswith(prefix))
        items = "".join(f"<Contents><Key>{escape(key)}</Key></Contents>" for key in keys)
        return httpx2.Response(
            200, text=f"<ListBucketResult><IsTruncated>false</IsTruncated>{items}</ListBucketResult>"
        )
