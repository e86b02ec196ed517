"""The S3 store over a real server (SeaweedFS): what moto cannot show. The contract is in contract/test_stores.py."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from chimera_batch.errors import InputError
from chimera_batch.stores import open_store, s3_gets, s3_puts
from chimera_batch.stores.s3 import S3Store

if TYPE_CHECKING:
    from tests.s3 import Bucket

pytest_plugins = ["tests.s3"]
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent


def test_keys_are_checked(seaweed_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not the secret")
    with pytest.raises(InputError, match=r"secret key|denied") as caught:
        open_store(seaweed_bucket.url, cache=tmp_path).probe()
    assert caught.value.hint
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    with pytest.raises(InputError, match=r"access key|denied"):
        open_store(seaweed_bucket.url, cache=tmp_path).create("k", b"x")


def test_parts_make_one_object_once(seaweed_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CompleteMultipartUpload with If-None-Match, on a server that keeps its data on disk."""
    monkeypatch.setattr(s3_puts, "SINGLE_PUT", 20_000_000)
    store = open_store(seaweed_bucket.url, cache=tmp_path / "cache")
    big = tmp_path / "big"
    big.write_bytes(os.urandom(40_000_000))
    assert store.create_file("raw/big", big) is True
    assert store.fetch("raw/big").read_bytes() == big.read_bytes()
    assert store.create_file("raw/big", big) is False

    complete = s3_puts.Putter.put_file

    def late(self: s3_puts.Putter, path: Path) -> None:
        seaweed_bucket.put_raw("team/chimera/raw/other", b"theirs")
        complete(self, path)

    monkeypatch.setattr(s3_puts.Putter, "put_file", late)
    assert store.create_file("raw/other", big) is False
    assert store.read("raw/other") == b"theirs"
    left = seaweed_bucket.server.client().list_multipart_uploads(Bucket=seaweed_bucket.name)
    assert left.get("Uploads", []) == []


def test_of_writers_of_one_large_file_the_object_is_one_of_theirs(
    seaweed_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are past the first look before one has sent its parts; the parts of several never mingle in the object.

    Some servers let two completions that meet both succeed. Nothing rests on there being one: what goes up in parts is
    named by its content, and what decides between writers (the journal) is one small put.
    """
    monkeypatch.setattr(s3_puts, "SINGLE_PUT", 6_000_000)
    monkeypatch.setattr(s3_puts, "PART", 5 << 20)
    monkeypatch.setattr(s3_gets, "SINGLE_GET", 4_000_000)
    monkeypatch.setattr(s3_gets, "RANGE", 3 << 20)
    monkeypatch.setattr(s3_gets, "FAST", inf)
    stores = [open_store(seaweed_bucket.url, cache=tmp_path / f"cache-{n}") for n in range(4)]
    start = Barrier(4)
    look = S3Store.exists

    def together(self: S3Store, key: str) -> bool:
        found = look(self, key)
        start.wait(60)
        return found

    monkeypatch.setattr(S3Store, "exists", together)
    files = [tmp_path / f"big-{n}" for n in range(4)]
    for path in files:
        path.write_bytes(os.urandom(17_000_000))
    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(lambda n: stores[n].create_file("raw/big", files[n]), range(4)))
    winners = [path.read_bytes() for path, first in zip(files, won, strict=True) if first]
    assert winners
    found = {store.fetch("raw/big").read_bytes() for store in stores}
    assert len(found) == 1 and found <= set(winners)
    left = seaweed_bucket.server.client().list_multipart_uploads(Bucket=seaweed_bucket.name)
    assert left.get("Uploads", []) == []


def test_a_long_journal_lists_page_by_page(seaweed_bucket: Bucket, tmp_path: Path) -> None:
    client = seaweed_bucket.server.client()
    for n in range(1_100):  # more than a page of 1,000
        client.put_object(Bucket=seaweed_bucket.name, Key=f"team/chimera/journal/{n:08d}.json", Body=b"{}")
    store = open_store(seaweed_bucket.url, cache=tmp_path)
    keys = [f"journal/{n:08d}.json" for n in range(1_100)]
    assert list(store.list("journal/")) == keys
    assert list(store.list("")) == keys
    for n in (0, 9, 10, 99, 999, 1_000, 1_098, 1_099):
        assert list(store.list("journal/", keys[n])) == keys[n + 1 :]


def test_processes_race_for_events(seaweed_bucket: Bucket, tmp_path: Path) -> None:
    """Three processes number events in one journal, as three runners do: no number is given twice, none is lost."""
    script = (
        "import sys; from pathlib import Path; from chimera_batch.stores import open_store\n"
        "store = open_store(sys.argv[1], cache=Path(sys.argv[2])); n = 0\n"
        "for mine in range(8):\n"
        "    while not store.create(f'journal/{n:04d}', f'{sys.argv[3]} {mine}'.encode()): n += 1\n"
    )
    line = [sys.executable, "-c", script, seaweed_bucket.url, str(tmp_path)]
    racers = [subprocess.Popen([*line, name], cwd=ROOT) for name in "abc"]
    assert [racer.wait(120) for racer in racers] == [0, 0, 0]
    store = open_store(seaweed_bucket.url, cache=tmp_path)
    events = [store.read(key).decode() for key in store.list("journal/")]
    assert sorted(events) == sorted(f"{name} {mine}" for name in "abc" for mine in range(8))
    for name in "abc":
        own = [event for event in events if event.startswith(name)]
        assert own == sorted(own), "a runner's events stand in its order"
    assert list(store.list("journal/"))[-1] == "journal/0023"
