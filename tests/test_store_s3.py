"""The S3 store: lost replies, conflicts, servers that cannot be trusted, the local cache, and errors for people."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore import exceptions as sdk
from botocore.awsrequest import AWSResponse

from chimera_batch.errors import ChimeraError, InputError, MissingObject, NotFinished, StoreDown
from chimera_batch.stores import open_store, s3_puts
from chimera_batch.stores.cache import ObjectCache
from chimera_batch.stores.s3 import CONFIG, S3Store
from chimera_batch.stores.s3_errors import explain, fate_unknown, met_another

if TYPE_CHECKING:
    from tests.s3 import Bucket
    from tests.servers import Server

pytest_plugins = ["tests.s3"]

ROOT = Path(__file__).resolve().parent.parent
KEY = "journal/00000001.json"
PREFIX = "team/chimera"


@pytest.fixture(scope="module")
def session(moto: Server) -> boto3.session.Session:
    """One for the module: a client of a new session takes 0.2 s, a further one 0.08."""
    return boto3.session.Session(moto.key, moto.secret, region_name="us-east-1")


@pytest.fixture
def store(bucket: Bucket, session: boto3.session.Session, tmp_path: Path) -> S3Store:
    client = session.client("s3", endpoint_url=bucket.server.url, config=CONFIG)
    return S3Store(client, bucket.name, PREFIX, ObjectCache(tmp_path / "cache"))


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses are noted and skipped, boto3's own among them."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    return pauses


def on(store: S3Store, event: str, act: Callable[..., Any]) -> None:
    """Have boto3 call ``act`` at an event of the store's client."""
    store._client.meta.events.register(event, act)


def answer(status: int, code: str = "", message: str = "said the test") -> AWSResponse:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode() if code else b""
    raw = SimpleNamespace(stream=lambda *a, **k: iter([body]), read=lambda *a, **k: body)
    return AWSResponse("http://127.0.0.1/", status, {"content-length": str(len(body))}, raw)


class Script:
    """What the network does to the requests of one operation, in turn; ``None`` lets one through."""

    def __init__(
        self, store: S3Store, operation: str, *acts: Callable[[], Any] | AWSResponse | Exception | None
    ) -> None:
        self.acts = list(acts)
        self.sent = 0
        self._turn = threading.Lock()  # parts are sent by several threads
        on(store, f"before-send.s3.{operation}", self._act)

    def _act(self, **about: Any) -> Any:
        with self._turn:
            self.sent += 1
            act = self.acts.pop(0) if self.acts else None
        if isinstance(act, Exception):
            raise act
        return act() if callable(act) and not isinstance(act, AWSResponse) else act


def lost() -> Exception:
    return sdk.ConnectionClosedError(endpoint_url="http://127.0.0.1/")


def nonce_thief(store: S3Store, bucket: Bucket, data: bytes, reply: Any) -> Callable[[], Any]:
    """The request reaches the server, which writes; but what comes back is ``reply``."""
    nonces: list[str] = []
    on(
        store,
        "before-parameter-build.s3.PutObject",
        lambda params, **_: nonces.append(params["Metadata"]["chimera-nonce"]),
    )

    def act() -> Any:
        bucket.server.client().put_object(
            Bucket=bucket.name, Key=f"{PREFIX}/{KEY}", Body=data, Metadata={"chimera-nonce": nonces[-1]}
        )
        if isinstance(reply, Exception):
            raise reply
        return reply

    return act


# --- the fate of a put


@pytest.mark.parametrize(
    "reply", [lost(), answer(500, "InternalError"), answer(503, "SlowDown")], ids=["no reply", "500", "503"]
)
def test_our_own_put_is_known_again_when_its_repeat_is_refused(
    store: S3Store, bucket: Bucket, no_waiting: list[float], reply: Any
) -> None:
    """boto3 repeats a put whose reply was lost; the repeat meets our own object and gets 412."""
    script = Script(store, "PutObject", nonce_thief(store, bucket, b"mine", reply))
    assert store.create(KEY, b"mine") is True
    assert script.sent == 2
    assert store.read(KEY) == b"mine"
    assert store.create(KEY, b"mine") is False, "another call with the same bytes is another writer"


def test_somebody_elses_object_is_not_taken_for_ours(store: S3Store, bucket: Bucket, no_waiting: list[float]) -> None:
    def theirs() -> None:
        bucket.put_raw(f"{PREFIX}/{KEY}", b"mine")  # even the same bytes
        raise lost()

    Script(store, "PutObject", theirs)
    assert store.create(KEY, b"mine") is False


def test_a_put_that_landed_though_every_reply_was_lost(store: S3Store, bucket: Bucket, no_waiting: list[float]) -> None:
    Script(store, "PutObject", nonce_thief(store, bucket, b"mine", lost()), *[lost()] * 9)
    assert store.create(KEY, b"mine") is True


def test_a_put_that_never_arrived_is_unfinished(store: S3Store, no_waiting: list[float]) -> None:
    script = Script(store, "PutObject", *[lost()] * 99)
    with pytest.raises(NotFinished, match="unreachable") as caught:
        store.create(KEY, b"mine")
    assert KEY in str(caught.value)
    assert script.sent == 5, "boto3's attempts, and no blind repeats of ours"
    assert caught.value.exit_code == 5
    assert not store.exists(KEY)


def test_a_put_that_never_arrived_and_nobody_to_ask(store: S3Store, no_waiting: list[float]) -> None:
    Script(store, "PutObject", *[answer(503, "ServiceUnavailable")] * 9)
    Script(store, "HeadObject", *[lost()] * 9)
    with pytest.raises(NotFinished, match="unreachable"):
        store.create(KEY, b"mine")


@pytest.mark.parametrize("code", ["ConditionalRequestConflict", "OperationAborted"])
def test_a_conflict_under_way_is_tried_again(store: S3Store, no_waiting: list[float], code: str) -> None:
    script = Script(store, "PutObject", answer(409, code), answer(409, code))
    assert store.create(KEY, b"mine") is True
    assert script.sent == 3
    assert store.read(KEY) == b"mine"
    assert no_waiting == sorted(no_waiting)
    assert len(no_waiting) == 2


def test_a_conflict_that_another_won(store: S3Store, bucket: Bucket, no_waiting: list[float]) -> None:
    def theirs() -> AWSResponse:
        bucket.put_raw(f"{PREFIX}/{KEY}", b"theirs")
        return answer(409, "ConditionalRequestConflict")

    script = Script(store, "PutObject", theirs)
    assert store.create(KEY, b"mine") is False
    assert script.sent == 1
    assert store.read(KEY) == b"theirs"


def test_conflicts_without_end_are_unfinished(store: S3Store, no_waiting: list[float]) -> None:
    Script(store, "PutObject", *[answer(409, "ConditionalRequestConflict")] * 99)
    with pytest.raises(NotFinished, match="busy"):
        store.create(KEY, b"mine")
    assert sum(no_waiting) < 30


def test_a_definite_refusal_is_not_repeated(store: S3Store) -> None:
    put = Script(store, "PutObject", answer(403, "AccessDenied"))
    head = Script(store, "HeadObject")
    with pytest.raises(InputError, match="access is denied"):
        store.create(KEY, b"mine")
    assert (put.sent, head.sent) == (1, 0)


# --- large files


@pytest.fixture
def big(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(s3_puts, "SINGLE_PUT", 6_000_000)
    monkeypatch.setattr(s3_puts, "PART", 5 << 20)
    path = tmp_path / "big.jsonl"
    path.write_bytes(os.urandom(12_000_000))
    return path


def uploads(bucket: Bucket) -> list[Any]:
    found = bucket.server.client().list_multipart_uploads(Bucket=bucket.name)
    return list(found.get("Uploads", []))


def test_a_large_file_goes_up_in_parts(store: S3Store, bucket: Bucket, big: Path) -> None:
    parts = Script(store, "UploadPart")
    whole = Script(store, "PutObject")
    assert store.create_file("raw/big.jsonl", big) is True
    assert (parts.sent, whole.sent) == (3, 0)
    assert store.fetch("raw/big.jsonl").read_bytes() == big.read_bytes()
    assert store.create_file("raw/big.jsonl", big) is False
    assert parts.sent == 3, "an upload that must be refused is not begun"
    assert uploads(bucket) == []


def test_a_large_file_loses_at_its_last_step(store: S3Store, bucket: Bucket, big: Path) -> None:
    Script(store, "CompleteMultipartUpload", lambda: bucket.put_raw(f"{PREFIX}/raw/big", b"theirs"))
    assert store.create_file("raw/big", big) is False
    assert store.read("raw/big") == b"theirs"
    assert uploads(bucket) == [], "parts that nobody completes would be billed"


def test_a_large_file_whose_last_reply_was_lost(
    store: S3Store, bucket: Bucket, big: Path, no_waiting: list[float]
) -> None:
    """The upload is complete; the repeat finds none any more (404 NoSuchUpload) or the object (412)."""
    asked: dict[str, Any] = {}
    on(store, "before-parameter-build.s3.CompleteMultipartUpload", lambda params, **_: asked.update(params))

    def complete() -> None:
        wanted = ("Bucket", "Key", "UploadId", "MultipartUpload")
        bucket.server.client().complete_multipart_upload(**{name: asked[name] for name in wanted})
        raise lost()

    for reply in (None, answer(404, "NoSuchUpload")):
        Script(store, "CompleteMultipartUpload", complete, reply)
        key = f"raw/{'given' if reply else 'moto'}"
        assert store.create_file(key, big) is True
        assert store.fetch(key).read_bytes() == big.read_bytes()


def test_an_upload_that_breaks_off_is_aborted(
    store: S3Store, bucket: Bucket, big: Path, no_waiting: list[float]
) -> None:
    Script(store, "UploadPart", None, *[answer(500, "InternalError")] * 9)
    with pytest.raises(NotFinished):
        store.create_file("raw/big", big)
    assert uploads(bucket) == []
    assert not store.exists("raw/big")


# --- servers that cannot be trusted


def without(header: str) -> Callable[..., None]:
    def strip(params: dict[str, Any], **_: Any) -> None:
        for name in [name for name in params["headers"] if name.lower().startswith(header)]:
            del params["headers"][name]

    return strip


def test_a_server_that_ignores_conditional_writes_is_refused(store: S3Store, bucket: Bucket) -> None:
    on(store, "before-call.s3.PutObject", without("if-none-match"))
    with pytest.raises(InputError, match="conditional writes are ignored") as caught:
        store.probe()
    assert "several runners could send the same batch twice" in str(caught.value)
    assert bucket.url in str(caught.value)
    assert "If-None-Match" in str(caught.value.hint)
    assert list(store.list("")) == []


def test_a_server_that_does_not_know_conditional_writes_is_refused(store: S3Store) -> None:
    Script(store, "PutObject", *[answer(501, "NotImplemented", "A header implies functionality")] * 9)
    with pytest.raises(InputError, match="If-None-Match") as caught:
        store.probe()
    assert "--store ./runs" in str(caught.value.hint)


def test_a_server_that_drops_metadata_is_refused(store: S3Store) -> None:
    on(store, "before-call.s3.PutObject", without("x-amz-meta-"))
    with pytest.raises(InputError, match="drops object metadata"):
        store.probe()


def test_the_first_error_of_a_probe_is_shown_not_that_of_cleaning_up(store: S3Store, no_waiting: list[float]) -> None:
    Script(store, "GetObject", answer(403, "AccessDenied"))
    Script(store, "DeleteObjects", *[answer(500, "InternalError")] * 9)
    with pytest.raises(InputError, match="access is denied"):
        store.probe()


# --- reading and the cache


def count_reads(store: S3Store) -> Callable[[], tuple[int, int]]:
    get, head = Script(store, "GetObject"), Script(store, "HeadObject")

    def taken() -> tuple[int, int]:
        seen = get.sent, head.sent
        get.sent = head.sent = 0
        return seen

    return taken


def test_a_cached_object_costs_one_small_request_and_then_none(bucket: Bucket, tmp_path: Path) -> None:
    first, second = (open_store(bucket.url, cache=tmp_path / "cache") for _ in range(2))  # as two processes
    assert isinstance(first, S3Store)
    assert isinstance(second, S3Store)
    assert first.create("t/a.parquet", b"p" * 1000)
    one, two = count_reads(first), count_reads(second)
    path = first.fetch("t/a.parquet")
    first._cache.settle()  # as the process's end does
    assert one() == (1, 0), "cold: one GET"
    assert first.fetch("t/a.parquet") == path
    assert one() == (0, 0), "the same process: none"
    assert second.fetch("t/a.parquet") == path
    assert two() == (0, 1), "the next process: one HEAD"
    path.unlink()
    assert first.fetch("t/a.parquet").read_bytes() == b"p" * 1000
    path.chmod(0o600)
    path.write_bytes(b"cut off")
    third = open_store(bucket.url, cache=tmp_path / "cache")
    assert third.fetch("t/a.parquet").read_bytes() == b"p" * 1000


def test_cached_files_are_complete_private_and_read_only(store: S3Store, tmp_path: Path) -> None:
    assert store.create("t/a.jsonl.zst", b"z")
    path = store.fetch("t/a.jsonl.zst")
    assert path.is_relative_to(tmp_path / "cache" / "objects")
    assert path.name.endswith("-a.jsonl.zst")
    assert path.stat().st_mode & 0o777 == 0o400
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_two_stores_share_a_cache_and_not_its_files(bucket: Bucket, tmp_path: Path) -> None:
    one = open_store(bucket.url, cache=tmp_path / "cache")
    two = one.sub("rehearsal")
    for store, data in ((one, b"paid"), (two, b"made up")):
        assert store.create("answers/1", data)
    assert [store.fetch("answers/1").read_bytes() for store in (one, two)] == [b"paid", b"made up"]


class Breaking:
    """A body that gives ``whole`` up to ``at``, then breaks off or, with no error, just ends."""

    def __init__(self, whole: bytes, at: int, error: Exception | None) -> None:
        self.whole, self.at, self.error = whole, at, error

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        yield self.whole[: self.at]
        if self.error:
            raise self.error

    def read(self) -> bytes:
        return b"".join(self.iter_chunks(1))

    def close(self) -> None:
        pass


BREAKS = [
    sdk.ReadTimeoutError(endpoint_url="http://127.0.0.1/"),
    sdk.ResponseStreamingError(error="reset"),
    sdk.IncompleteReadError(actual_bytes=1, expected_bytes=2),
    sdk.FlexibleChecksumError(error_msg="crc"),
]


def breaking(store: S3Store, monkeypatch: pytest.MonkeyPatch, times: int, error: Exception | None) -> list[int]:
    """Have the first ``times`` downloads break off after three bytes."""
    real = store._client.get_object
    asked: list[int] = []

    def get(**wanted: Any) -> Any:
        asked.append(1)
        reply = real(**wanted)
        if len(asked) <= times:
            reply["Body"] = Breaking(reply["Body"].read(), 3, error)
        return reply

    monkeypatch.setattr(store._client, "get_object", get)
    return asked


@pytest.mark.parametrize("error", BREAKS, ids=lambda error: type(error).__name__)
def test_a_body_that_breaks_off_is_read_again(
    store: S3Store, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    assert store.create("k", b"0123456789")
    asked = breaking(store, monkeypatch, 2, error)
    assert store.fetch("k").read_bytes() == b"0123456789"
    assert len(asked) == 3
    asked.clear()
    assert store.read("k") == b"0123456789"
    assert len(asked) == 3


def test_a_body_that_just_ends_is_not_taken_for_whole(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.create("k", b"0123456789")
    breaking(store, monkeypatch, 1, None)
    assert store.fetch("k").read_bytes() == b"0123456789"


@pytest.mark.parametrize("error", [*BREAKS, None], ids=lambda error: type(error).__name__)
def test_a_body_that_always_breaks_off_is_unfinished_and_leaves_no_file(
    store: S3Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception | None
) -> None:
    assert store.create("k", b"0123456789")
    breaking(store, monkeypatch, 99, error)
    with pytest.raises(NotFinished, match="unreachable"):
        store.fetch("k")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_cache_that_cannot_be_written_says_so(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = open_store(bucket.url, cache=tmp_path / "file")
    assert store.create("k", b"x")
    with pytest.raises(InputError, match="the cache folder has a file") as caught:
        store.fetch("k")
    assert str(tmp_path / "file") in str(caught.value)


def test_the_cache_by_itself(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path)
    assert not cache.knows("http://h/b/k")
    assert cache.save("http://h/b/k", "v1", lambda out: out.write(b"abc"), 4) is None
    path = cache.save("http://h/b/k", "v1", lambda out: out.write(b"abc"), 3)
    assert path is not None
    assert path.read_bytes() == b"abc"
    assert cache.knows("http://h/b/k")
    assert cache.find("http://h/b/k", "v1", 3) == path
    assert cache.find("http://h/b/k", "v1", 4) is None
    assert cache.find("http://h/b/k", "v2", 3) is None
    assert cache.find("http://h/b/other", "v1", 3) is None
    assert cache.save("http://h/b/k", "v2", lambda out: out.write(b"xyz"), 3) != path
    assert path.read_bytes() == b"abc", "a reader of the old version is not disturbed"
    cache.forget("http://h/b/k")
    assert not cache.knows("http://h/b/k")
    cache.forget("http://h/b/k")


# --- listing and deleting


def test_many_pages_are_one_listing(store: S3Store) -> None:
    on(store, "provide-client-params.s3.ListObjectsV2", lambda params, **_: {**params, "MaxKeys": 3})
    pages = Script(store, "ListObjectsV2")
    keys = [f"journal/{n:08d}" for n in range(20)]
    for key in keys:
        assert store.create(key, b"")
    assert list(store.list("journal/")) == keys
    assert pages.sent == 7
    pages.sent = 0
    assert list(store.list("journal/", keys[17])) == keys[18:]
    assert pages.sent <= 4, "what lies before is not listed"


def test_a_listing_that_can_hold_nothing_asks_nobody(store: S3Store) -> None:
    pages = Script(store, "ListObjectsV2")
    assert list(store.list("journal/", "k")) == []
    assert pages.sent == 0


def test_names_that_are_no_keys_are_passed_over(store: S3Store, bucket: Bucket) -> None:
    assert store.create("a/b", b"x")
    for name in ("a/", "", "with space", "ü/b", "a//c", "a/../d", ".part/e"):
        bucket.put_raw(f"{PREFIX}/{name}", b"")
    assert list(store.list("")) == ["a/b"]
    assert list(store.list("a")) == ["a/b"]


HOSTILE = (
    f"{PREFIX}/schemas/../journal/1", f"{PREFIX}/../../x", "../../x", "/etc/passwd", f"{PREFIX}//etc/passwd",
    f"{PREFIX}/schemas/a\x00.json", f"{PREFIX}/schemas/C:\\x", f"{PREFIX}/schemas/%2e%2e/x",
    f"{PREFIX}/journal/000000000001.json", f"{'x' * len(PREFIX)}/schemas/other.json",
)  # fmt: skip


def test_a_listing_names_nothing_that_was_not_asked_for(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the server says is there: what a listing names is read, and by ``prune`` deleted."""
    told = [{"Key": key} for key in (*HOSTILE, f"{PREFIX}/schemas/ours.json")]
    pages = SimpleNamespace(paginate=lambda **_: [{"Contents": told}])
    monkeypatch.setattr(store._client, "get_paginator", lambda _: pages)
    assert list(store.list("schemas/")) == ["schemas/ours.json"]


def test_no_object_is_written_for_others_to_read(store: S3Store, big: Path) -> None:
    """No ACL is sent, neither with a put nor with parts: who may read is the bucket's own policy."""
    sent: list[dict[str, Any]] = []
    for operation in ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"):
        on(store, f"before-parameter-build.s3.{operation}", lambda params, **_: sent.append(dict(params)))
    assert store.create("a", b"x") and store.create_file("b", big)
    assert len(sent) > 4
    assert not [name for params in sent for name in params if name == "ACL" or name.startswith("Grant")]


def test_keys_are_deleted_by_the_thousand(store: S3Store) -> None:
    calls = Script(store, "DeleteObjects")
    store.delete(f"k/{n}" for n in range(2001))
    assert calls.sent == 3
    store.delete([])
    assert calls.sent == 3


def test_a_key_that_may_not_be_deleted(store: S3Store) -> None:
    failed = "<Key>team/chimera/k</Key><Code>AccessDenied</Code><Message>no</Message>"
    body = f"<DeleteResult><Error>{failed}</Error></DeleteResult>".encode()
    raw = SimpleNamespace(stream=lambda *a, **k: iter([body]), read=lambda *a, **k: body)
    Script(store, "DeleteObjects", AWSResponse("http://127.0.0.1/", 200, {}, raw))
    with pytest.raises(InputError, match="access is denied") as caught:
        store.delete(["k"])
    assert caught.value.where == f"{store.url}/k"


def test_a_bucket_without_a_prefix(bucket: Bucket, tmp_path: Path) -> None:
    for url in (f"s3://{bucket.name}", f"s3://{bucket.name}/"):
        store = open_store(url, cache=tmp_path / "cache")
        assert store.url == f"s3://{bucket.name}"
        assert store.create("x/1", b"") or url.endswith("/")
        assert list(store.list("x/")) == ["x/1"]
        assert store.sub("x").url == f"s3://{bucket.name}/x"
        assert list(store.sub("x").list("")) == ["1"]


# --- addresses, credentials, errors for people


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "s3://b//x", "s3://b/with space", "s3://b/../x", "s3://b/ü"])
def test_addresses_that_are_none(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a bucket and a prefix") as caught:
        open_store(url, cache=tmp_path)
    assert caught.value.where == url


def test_a_bucket_name_that_no_bucket_has(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="bucket"):
        open_store("s3://No Bucket/x", cache=tmp_path).create("k", b"")


def test_opening_asks_nobody_and_loads_boto3_only_for_s3(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from chimera_batch.stores import open_store\n"
        "open_store('runs', cache=Path('c')); assert not {'boto3', 'botocore'} & set(sys.modules)\n"
        "open_store('s3://b/p', cache=Path('c')); assert 'boto3' in sys.modules\n"
    )
    environment = {**os.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path, env=environment, timeout=60)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("endpoint", [None, "http://s3.example.test:9000"])
def test_an_endpoint_is_addressed_by_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str | None
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    store = open_store("s3://acme/p", cache=tmp_path)
    assert isinstance(store, S3Store)
    url = store._client.generate_presigned_url("get_object", Params={"Bucket": "acme", "Key": "p/k"})
    assert url.startswith(f"{endpoint}/acme/p/k" if endpoint else "https://acme.s3.")


def test_an_endpoint_that_is_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not an address")
    with pytest.raises(InputError, match="not an address") as caught:
        open_store("s3://acme/p", cache=tmp_path)
    assert "AWS_ENDPOINT_URL" in str(caught.value.hint)


def test_a_profile_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_PROFILE", "absent")
    with pytest.raises(InputError, match="absent") as caught:
        open_store("s3://acme/p", cache=tmp_path)
    assert "AWS_PROFILE" in str(caught.value.hint)


def test_no_credentials_at_all(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    store = open_store(bucket.url, cache=tmp_path)
    for verb in (store.probe, lambda: store.exists("k"), lambda: store.read("k"), lambda: list(store.list(""))):
        with pytest.raises(InputError, match="credentials") as caught:
            verb()
        assert "AWS_ACCESS_KEY_ID" in str(caught.value.hint)


def test_nobody_at_the_endpoint(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_waiting: list[float]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # the discard port
    store = open_store(bucket.url, cache=tmp_path)
    for verb in (store.probe, lambda: store.exists("k"), lambda: store.fetch("k"), lambda: list(store.list(""))):
        with pytest.raises(NotFinished, match="unreachable") as caught:
            verb()
        assert "AWS_ENDPOINT_URL" in str(caught.value.hint)


def test_a_bucket_that_does_not_exist(bucket: Bucket, tmp_path: Path) -> None:
    store = open_store("s3://no-such-bucket-here/p", cache=tmp_path)
    verbs: list[Callable[[], object]] = [
        store.probe, lambda: store.create("k", b""), lambda: store.read("k"), lambda: store.fetch("k"),
        lambda: list(store.list("")), lambda: store.delete(["k"]),
    ]  # fmt: skip
    for verb in verbs:
        with pytest.raises(InputError, match="bucket does not exist") as caught:
            verb()
        assert "aws s3 mb" in str(caught.value.hint)


ANSWERS = [
    ("AccessDenied", 403, InputError, "denied"),
    ("403", 403, InputError, "denied"),
    ("SomethingNew", 403, InputError, "denied"),
    ("InvalidAccessKeyId", 403, InputError, "access key"),
    ("SignatureDoesNotMatch", 403, InputError, "secret key"),
    ("ExpiredToken", 400, InputError, "expired"),
    ("RequestTimeTooSkewed", 403, InputError, "clock"),
    ("NoSuchBucket", 404, InputError, "does not exist"),
    ("PermanentRedirect", 301, InputError, "region"),
    ("AuthorizationHeaderMalformed", 400, InputError, "region"),
    ("NotImplemented", 501, InputError, "If-None-Match"),
    ("XMinioStorageFull", 507, InputError, "full"),
    ("NoSuchKey", 404, MissingObject, "not in the store"),
    ("404", 404, MissingObject, "not in the store"),
    ("SlowDown", 503, StoreDown, "unreachable"),
    ("InternalError", 500, StoreDown, "unreachable"),
    ("502", 502, StoreDown, "unreachable"),
    ("RequestTimeout", 400, StoreDown, "unreachable"),
    ("TooManyRequests", 429, StoreDown, "unreachable"),
    ("EntityTooLarge", 400, ChimeraError, "EntityTooLarge"),
    ("", 400, ChimeraError, "refused"),
]


@pytest.mark.parametrize(("code", "status", "kind", "says"), ANSWERS)
def test_what_a_server_says(code: str, status: int, kind: type[ChimeraError], says: str) -> None:
    reply: Any = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = explain(sdk.ClientError(reply, "PutObject"), "s3://b/k")
    assert type(error) is kind
    assert says in error.message
    assert error.where == "s3://b/k"
    assert error.hint or kind in {MissingObject, ChimeraError}


SAYS = [
    (sdk.NoCredentialsError(), InputError),
    (sdk.PartialCredentialsError(provider="env", cred_var="x"), InputError),
    (sdk.UnauthorizedSSOTokenError(), InputError),
    (sdk.TokenRetrievalError(provider="sso", error_msg="expired"), InputError),
    (sdk.SSLError(endpoint_url="https://h", error="self-signed"), InputError),
    (sdk.ParamValidationError(report="bad bucket"), InputError),
    (sdk.EndpointConnectionError(endpoint_url="https://h"), StoreDown),
    (sdk.ConnectTimeoutError(endpoint_url="https://h"), StoreDown),
    (sdk.ReadTimeoutError(endpoint_url="https://h"), StoreDown),
    (sdk.ConnectionClosedError(endpoint_url="https://h"), StoreDown),
    (sdk.ProxyConnectionError(proxy_url="http://p"), StoreDown),
    (sdk.FlexibleChecksumError(error_msg="crc"), StoreDown),
    (sdk.UnknownServiceError(service_name="s4", known_service_names=[]), ChimeraError),
]


@pytest.mark.parametrize(("error", "kind"), SAYS, ids=lambda value: getattr(value, "__name__", type(value).__name__))
def test_what_the_sdk_says(error: Exception, kind: type[ChimeraError]) -> None:
    told = explain(error, "s3://b/k")
    assert type(told) is kind
    assert told.where == "s3://b/k"
    assert told.hint or kind is ChimeraError


FATES = [
    (412, "PreconditionFailed", True, False),
    (409, "ConditionalRequestConflict", True, False),
    (404, "NoSuchUpload", True, False),
    (500, "InternalError", False, True),
    (503, "SlowDown", False, True),
    (403, "AccessDenied", False, False),
    (404, "NoSuchBucket", False, False),
    (400, "EntityTooLarge", False, False),
]


@pytest.mark.parametrize(("status", "code", "met", "unknown"), FATES)
def test_the_fate_of_a_put(status: int, code: str, met: bool, unknown: bool) -> None:
    reply: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = sdk.ClientError(reply, "PutObject")
    assert (met_another(error), fate_unknown(error)) == (met, unknown)


def test_the_fate_of_a_put_without_an_answer() -> None:
    assert fate_unknown(lost())
    assert fate_unknown(sdk.ReadTimeoutError(endpoint_url="https://h"))
    assert not fate_unknown(sdk.NoCredentialsError())
    assert not fate_unknown(sdk.SSLError(endpoint_url="https://h", error="x"))
    assert not met_another(lost())


def test_another_kind_of_client_can_be_given(bucket: Bucket, tmp_path: Path) -> None:
    client = boto3.session.Session().client("s3")
    store = S3Store(client, bucket.name, "p", ObjectCache(tmp_path))
    assert store.create("k", b"x")
    assert repr(store) == f"S3Store('s3://{bucket.name}/p')"
