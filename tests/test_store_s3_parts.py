"""Large objects in parts and in ranges, several on their way at once: order, bounds, and what a failure leaves."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore import exceptions as sdk
from botocore.awsrequest import AWSResponse
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.errors import MissingObject, NotFinished
from chimera_batch.stores import s3_gets, s3_puts
from chimera_batch.stores.cache import ObjectCache
from chimera_batch.stores.overlap import together
from chimera_batch.stores.s3 import S3Store
from chimera_batch.stores.s3_gets import Getter
from chimera_batch.stores.s3_puts import Putter, part_of
from tests.test_store_s3 import PREFIX, Script, answer, lost, no_waiting, on, session, store, uploads

if TYPE_CHECKING:
    from tests.s3 import Bucket

pytest_plugins = ["tests.s3"]
__all__ = ["no_waiting", "session", "store"]  # fixtures

MIB, STEP = 1 << 20, 1000
BEGUN = 2 * STEP  # bytes that came before the first look at the clock
PATIENCE = 60.0  # seconds; only ever ends a test that has failed


@pytest.fixture
def big(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six parts to go up, 26 ranges to come down: no connection is fast enough."""
    monkeypatch.setattr(s3_puts, "SINGLE_PUT", 6_000_000)
    monkeypatch.setattr(s3_puts, "PART", 5 * MIB)
    monkeypatch.setattr(s3_gets, "SINGLE_GET", 2_000_000)
    monkeypatch.setattr(s3_gets, "RANGE", MIB)
    monkeypatch.setattr(s3_gets, "STEP", STEP)
    monkeypatch.setattr(s3_gets, "FAST", inf)
    path = tmp_path / "big.jsonl"
    path.write_bytes(os.urandom(27_000_000))
    return path


class Traffic:
    """Requests of one operation under way at once.

    Those whose numbers (from 1, as they begin) are in ``meet`` wait for one another, and the first of them, if it is to
    be the ``last``, until the others have ended.
    """

    def __init__(self, store: S3Store, operation: str, meet: range, *, last: bool = False) -> None:
        self.now, self.most, self.sent, self.ended = 0, 0, 0, 0
        self._meet, self._last = meet, meet[0] if last else 0
        self._all = threading.Barrier(len(meet), timeout=PATIENCE)
        self._turn = threading.Condition()
        on(store, f"before-send.s3.{operation}", self._begin)
        on(store, f"after-call.s3.{operation}", self._end)

    def _begin(self, **about: Any) -> None:
        with self._turn:
            self.now, self.sent = self.now + 1, self.sent + 1
            self.most, number = max(self.most, self.now), self.sent
        if number in self._meet:
            self._all.wait()
        if number == self._last:
            with self._turn:
                assert self._turn.wait_for(lambda: self.ended >= len(self._meet) - 1, PATIENCE)

    def _end(self, **about: Any) -> None:
        with self._turn:
            self.now, self.ended = self.now - 1, self.ended + 1
            self._turn.notify_all()


class Seen(ThreadPoolExecutor):
    """A crew that knows its jobs; ``waits`` until one of them was called off."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.jobs: list[Future[Any]] = []

    def submit(self, *call: Any, **more: Any) -> Future[Any]:
        self.jobs.append(job := super().submit(*call, **more))
        return job

    def waits(self) -> None:
        until = time.monotonic() + PATIENCE
        while not any(job.cancelled() for job in self.jobs):
            assert time.monotonic() < until, "nothing is called off"
            time.sleep(0.001)


# -- parts of a file


@given(st.binary(max_size=60), st.data())
def test_a_part_is_a_file_of_its_own(machine: Path, whole: bytes, data: st.DataObject) -> None:
    """boto3 reads it in pieces, asks where it is, and goes back to its start to send it again."""
    path = machine / "whole"
    path.write_bytes(whole)
    start = data.draw(st.integers(0, len(whole)))
    size = data.draw(st.integers(0, len(whole) - start))
    same = io.BytesIO(whole[start : start + size])
    with part_of(path, start, size) as part:
        for _ in range(data.draw(st.integers(0, 8))):
            if data.draw(st.booleans()):
                length = data.draw(st.integers(-1, 70))
                assert part.read(length) == same.read(length)
            else:
                whence = data.draw(st.sampled_from([io.SEEK_SET, io.SEEK_END]))
                offset = data.draw(st.integers(0, size)) - (size if whence == io.SEEK_END else 0)
                assert part.seek(offset, whence) == same.seek(offset, whence)
            assert part.tell() == same.tell()
        part.seek(0)
        assert part.read() == same.getvalue()


# -- side by side


def test_results_keep_their_order() -> None:
    def late(n: int) -> int:
        time.sleep(0.02 * (3 - n))
        return n

    with ThreadPoolExecutor(4) as crew:
        assert together(crew, [lambda n=n: late(n) for n in range(4)]) == [0, 1, 2, 3]  # type: ignore[misc]
        assert together(crew, []) == []


def test_a_failure_waits_for_what_is_under_way_and_begins_nothing_more() -> None:
    ended: list[int] = []

    def act(n: int) -> None:
        if n == 1:
            raise NotFinished("broken")
        crew.waits()  # what is under way ends once the rest has been called off, and not before
        ended.append(n)

    with Seen(2) as crew:
        with pytest.raises(NotFinished, match="broken"):
            together(crew, [lambda n=n: act(n) for n in range(40)])  # type: ignore[misc]
        seen = list(ended)
    assert ended == seen, "nothing goes on behind the caller's back"
    assert 0 in ended
    assert len(ended) <= 2, "one in the place of that which failed, and no more"


# -- up


def test_parts_go_up_side_by_side_and_keep_their_order(store: S3Store, bucket: Bucket, big: Path) -> None:
    """The first part arrives last."""
    traffic = Traffic(store, "UploadPart", range(1, 7), last=True)
    assert store.create_file("raw/big.jsonl", big) is True
    assert traffic.sent == 6
    assert traffic.most == 6
    assert store.read("raw/big.jsonl") == big.read_bytes()
    assert uploads(bucket) == []


def test_no_more_parts_are_under_way_than_the_store_allows(
    store: S3Store, big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all its uploads together."""
    store._crew = ThreadPoolExecutor(3)
    traffic = Traffic(store, "UploadPart", range(1, 4))
    side = store.sub("side")
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(place.create_file, "raw/big", big) for place in (store, side)]
        assert [job.result() for job in jobs] == [True, True]
    assert traffic.sent == 12
    assert traffic.most == 3
    assert store.read("raw/big") == side.read("raw/big") == big.read_bytes()


def test_a_part_that_fails_ends_the_upload(store: S3Store, bucket: Bucket, big: Path) -> None:
    """The others are not sent for nothing, none arrives after the abort, and nothing is visible."""

    def late() -> AWSResponse:
        crew.waits()
        return answer(403, "AccessDenied")

    store._crew = crew = Seen(2)
    parts = Script(store, "UploadPart", None, answer(403, "AccessDenied"), *[late] * 99)
    aborted = Script(store, "AbortMultipartUpload")
    with pytest.raises(Exception, match="access is denied") as caught:
        store.create_file("raw/big", big)
    assert "raw/big" in str(caught.value)
    assert parts.sent < 6
    assert aborted.sent == 1
    assert uploads(bucket) == []
    assert not store.exists("raw/big")
    assert list(store.list("")) == []


def test_a_lost_reply_sends_that_part_again(store: S3Store, big: Path, no_waiting: list[float]) -> None:
    """From its own first byte, not from the file's."""
    parts = Script(store, "UploadPart", None, None, lost(), lost())
    assert store.create_file("raw/big", big) is True
    assert parts.sent == 8
    assert store.read("raw/big") == big.read_bytes()


def test_an_interrupted_upload_is_aborted(
    store: S3Store, bucket: Bucket, big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*about: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(s3_puts, "together", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.create_file("raw/big", big)
    assert uploads(bucket) == []


def test_a_small_file_is_not_asked_about_first(store: S3Store, tmp_path: Path) -> None:
    small, larger = tmp_path / "small", tmp_path / "larger"
    small.write_bytes(b"s" * 20_000)
    larger.write_bytes(b"l" * 2_000_000)
    put, head = Script(store, "PutObject"), Script(store, "HeadObject")
    assert store.create_file("a", small) is True
    assert (put.sent, head.sent) == (1, 0)
    assert store.create_file("a", small) is False
    assert (put.sent, head.sent) == (2, 1), "whose object it is must be known"
    assert store.create_file("b", larger) is True
    assert (put.sent, head.sent) == (3, 2)
    assert store.create_file("b", larger) is False
    assert (put.sent, head.sent) == (3, 3), "two megabytes are not sent to be refused"


class Sink:
    """A server that takes everything and keeps nothing, reading bodies as the SDK does."""

    def __init__(self) -> None:
        self.taken = 0
        self.parts: list[int] = []

    def create_multipart_upload(self, **about: Any) -> dict[str, str]:
        return {"UploadId": "u"}

    def upload_part(self, *, Body: Any, PartNumber: int, **about: Any) -> dict[str, str]:
        while data := Body.read(1 << 16):
            self.taken += len(data)
        self.parts.append(PartNumber)
        return {"ETag": f"e{PartNumber}", "ChecksumCRC32": f"c{PartNumber}"}

    def complete_multipart_upload(self, *, MultipartUpload: Any, **about: Any) -> None:
        self.completed = MultipartUpload["Parts"]


@contextmanager
def memory_below(limit: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit


def test_parts_do_not_lie_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(400_000_000)
    sink: Any = Sink()
    with ThreadPoolExecutor(s3_puts.AT_ONCE) as crew, memory_below(s3_puts.PART):
        Putter(sink, crew, "b", "k", "n").put_file(path)
    assert sink.taken == 400_000_000
    assert sorted(sink.parts) == list(range(1, 25))
    assert [part["PartNumber"] for part in sink.completed] == list(range(1, 25)), "in order, whoever came first"
    assert sink.completed[3] == {"PartNumber": 4, "ETag": "e4", "ChecksumCRC32": "c4"}


# -- down


def test_a_large_object_comes_down_in_ranges(store: S3Store, big: Path, tmp_path: Path) -> None:
    assert store.create_file("raw/big.jsonl", big)
    traffic = Traffic(store, "GetObject", range(2, 4))  # the first one tells the size, and is alone
    path = store.fetch("raw/big.jsonl")
    assert path.read_bytes() == big.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o400
    assert traffic.sent == 26, "27,000,000 bytes: 25 whole MiB and a rest; the first came with the first reply"
    assert 1 < traffic.most <= s3_puts.AT_ONCE + 1
    assert [found for found in (tmp_path / "cache").rglob("*") if found.is_file()] == [path]


def test_ranges_do_not_lie_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 400_000_000
    asked: list[str] = []

    class Zeros:
        def __init__(self, left: int) -> None:
            self.left = left

        def read(self, wanted: int) -> bytes:
            wanted = min(wanted, self.left)
            self.left -= wanted
            return bytes(wanted)

        def close(self) -> None:
            self.left = 0

    def get_object(*, Range: str = "", **about: Any) -> dict[str, Any]:
        asked.append(Range)
        start, end = map(int, Range[6:].split("-")) if Range else (0, size - 1)
        body = Zeros(end + 1 - start)
        return {"Body": body, "ContentLength": body.left, "ETag": "e", "ContentRange": f"bytes {start}-{end}/{size}"}

    monkeypatch.setattr(s3_gets, "FAST", inf)
    monkeypatch.setattr(s3_gets, "STEP", STEP)
    client: Any = SimpleNamespace(get_object=get_object)
    with ThreadPoolExecutor(s3_puts.AT_ONCE) as crew, memory_below(s3_gets.RANGE):
        path = Getter(client, crew, "b", "k").save(ObjectCache(tmp_path), "http://h/b/k")
    assert path.stat().st_size == size
    assert len(asked) == 12


class Cut:
    """A body that breaks off after ``at`` bytes; with no error it just ends."""

    def __init__(self, body: Any, at: int, error: Exception | None) -> None:
        self.body, self.left, self.error = body, at, error

    def read(self, wanted: int) -> bytes:
        if self.left <= 0:
            if self.error:
                raise self.error
            return b""
        data: bytes = self.body.read(min(wanted, self.left))
        self.left -= len(data)
        return data

    def close(self) -> None:
        self.body.close()


def spoil(store: S3Store, monkeypatch: pytest.MonkeyPatch, act: Callable[[str, int, Any], Any]) -> list[str]:
    """Have ``act(range, number of times it was asked for, reply)`` change what is read; returns what was asked."""
    real = store._client.get_object
    asked: list[str] = []
    lock = threading.Lock()

    def get(**wanted: Any) -> Any:
        span = wanted.get("Range", "")
        with lock:
            asked.append(span)
            times = asked.count(span)
        reply = real(**wanted)
        return act(span, times, reply) or reply

    monkeypatch.setattr(store._client, "get_object", get)
    return asked


FIRST, THIRD = (f"bytes={n * MIB + BEGUN}-{(n + 1) * MIB + BEGUN - 1}" for n in (0, 2))
BREAKS = [sdk.ReadTimeoutError(endpoint_url="http://127.0.0.1/"), sdk.ResponseStreamingError(error="reset"), None]


@pytest.mark.parametrize("error", BREAKS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    ("cut", "again"),
    [(("", 500), "bytes=0-1048575"), (("", 5000), FIRST), ((THIRD, 1000), THIRD)],
    ids=["at once", "the first", "the third"],
)
def test_a_range_that_breaks_off_is_read_again_alone(
    store: S3Store,
    big: Path,
    monkeypatch: pytest.MonkeyPatch,
    cut: tuple[str, int],
    again: str,
    error: Exception | None,
) -> None:
    span, at = cut
    assert store.create_file("raw/big", big)

    def act(asked: str, times: int, reply: Any) -> None:
        if asked == span and times == 1:
            reply["Body"] = Cut(reply["Body"], at, error)

    asked = spoil(store, monkeypatch, act)
    assert store.fetch("raw/big").read_bytes() == big.read_bytes()
    assert len(asked) == 27, "one more than ranges"
    assert asked.count(again) == (2 if span else 1)


def test_a_connection_that_is_fast_brings_the_whole_object(
    store: S3Store, big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them would share its processor: eight took up to four times as long from a server on the same machine."""
    monkeypatch.setattr(s3_gets, "FAST", 0)
    assert store.create_file("raw/big", big)
    asked = spoil(store, monkeypatch, lambda *about: None)
    assert store.fetch("raw/big").read_bytes() == big.read_bytes()
    assert asked == [""]


@pytest.mark.parametrize("error", BREAKS, ids=lambda error: type(error).__name__)
def test_a_fast_connection_that_breaks_off_leaves_the_rest_to_others(
    store: S3Store, big: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    monkeypatch.setattr(s3_gets, "FAST", 0)
    assert store.create_file("raw/big", big)

    def act(asked: str, times: int, reply: Any) -> None:
        if asked == "":
            reply["Body"] = Cut(reply["Body"], 25_000_500, error)

    asked = spoil(store, monkeypatch, act)
    assert store.fetch("raw/big").read_bytes() == big.read_bytes()
    assert sorted(asked) == ["", "bytes=25000000-26048575", "bytes=26048576-26999999"], "what is there stays"


def test_a_connection_that_becomes_slow_is_joined_by_others(
    store: S3Store, big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter([0.0, 9.0, 9.001, 9.001, 19.0])  # seconds: before each step, and after it but for the first
    monkeypatch.setattr(s3_gets, "FAST", MIB * 100)
    monkeypatch.setattr(s3_gets, "STEP", MIB)
    monkeypatch.setattr(s3_gets, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    assert store.create_file("raw/big", big)
    asked = spoil(store, monkeypatch, lambda *about: None)
    assert store.fetch("raw/big").read_bytes() == big.read_bytes()
    assert len(asked) == 23, "three MiB of 25.75 came first, and another with the same connection"
    assert f"bytes={3 * MIB}-{4 * MIB - 1}" not in asked


def test_a_range_that_always_breaks_off_is_unfinished_and_leaves_no_file(
    store: S3Store, big: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert store.create_file("raw/big", big)

    def act(asked: str, times: int, reply: Any) -> None:
        if asked == THIRD:
            reply["Body"] = Cut(reply["Body"], 1000, lost())

    asked = spoil(store, monkeypatch, act)
    with pytest.raises(NotFinished, match="unreachable"):
        store.fetch("raw/big")
    assert asked.count(THIRD) <= 9
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_an_object_that_changes_between_two_ranges_is_read_anew(
    store: S3Store, bucket: Bucket, big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that was wiped and filled again in that very moment: never half of each."""
    assert store.create_file("raw/big", big)
    other = os.urandom(26_500_000)

    def act(asked: str, times: int, reply: Any) -> None:
        if asked == "" and times == 1:
            bucket.put_raw(f"{PREFIX}/raw/big", other)

    spoil(store, monkeypatch, act)
    assert store.fetch("raw/big").read_bytes() == other


def test_a_server_that_ignores_ranges_gives_no_wrong_file(
    store: S3Store, big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.create_file("raw/big", big)
    real = store._client.get_object

    def whole(**wanted: Any) -> Any:
        wanted.pop("Range", None)
        return real(**wanted)

    monkeypatch.setattr(store._client, "get_object", whole)
    with pytest.raises(NotFinished, match="changed while it was read"):
        store.fetch("raw/big")


def test_an_object_that_is_deleted_meanwhile_is_missing(
    store: S3Store, big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.create_file("raw/big", big)

    def act(asked: str, times: int, reply: Any) -> None:
        if asked == "":
            store.delete(["raw/big"])

    spoil(store, monkeypatch, act)
    with pytest.raises(MissingObject):
        store.fetch("raw/big")


# -- copies that a power cut may have emptied


def test_a_copy_that_was_not_synced_is_its_makers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = ObjectCache(tmp_path), ObjectCache(tmp_path)
    going = threading.Event()
    monkeypatch.setattr(os, "fsync", lambda handle: going.wait(PATIENCE))
    path = mine.save("http://h/b/k", "v1", lambda out: out.write(b"abc"), 3)
    assert mine.find("http://h/b/k", "v1", 3) == path
    assert other.find("http://h/b/k", "v1", 3) is None
    going.set()
    mine.settle()
    assert mine.find("http://h/b/k", "v1", 3) == path
    assert other.find("http://h/b/k", "v1", 3) == path


def test_a_disk_that_cannot_sync_keeps_nothing_for_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    mine = ObjectCache(tmp_path)
    path = mine.save("http://h/b/k", "v1", lambda out: out.write(b"abc"), 3)
    mine.settle()
    assert mine.find("http://h/b/k", "v1", 3) == path, "this process wrote it"
    assert ObjectCache(tmp_path).find("http://h/b/k", "v1", 3) is None


def test_a_copy_that_is_forgotten_before_it_is_synced(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path)
    assert cache.save("http://h/b/k", "v1", lambda out: out.write(b"abc"), 3)
    cache.forget("http://h/b/k")
    cache.settle()
    assert cache.find("http://h/b/k", "v1", 3) is None


def test_the_end_of_a_process_syncs_what_it_fetched(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from chimera_batch.stores.cache import ObjectCache\n"
        "cache = ObjectCache(Path(sys.argv[1]))\n"
        "for n in range(50): cache.save(f'http://h/{n}', 'v', lambda out: out.write(b'abc'), 3)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    cache = ObjectCache(tmp_path)
    assert all(cache.find(f"http://h/{n}", "v", 3) for n in range(50))
