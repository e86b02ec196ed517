"""What every store promises, asked of each kind in the registry and of a real S3 server."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from chimera_batch.errors import InputError, MissingObject
from chimera_batch.stores import STORES, open_store, probing
from chimera_batch.stores.base import Store

pytest_plugins = ["tests.s3"]

BACKENDS = {
    "": [pytest.param("folder")],
    "s3": [pytest.param("moto", marks=pytest.mark.slow), pytest.param("seaweed", marks=pytest.mark.slow)],
}
"""Scheme of the registry to the backends that this suite asks."""

ODD_KEYS = ["a", "0", "A.b_c@d=e-f", "...", "..a", "a..", "-", "=", "@", "a/b/c/d/e/f/g", "x" * 200, "journal/00000001"]
BAD_KEYS = [
    "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a/..", ".part", "a/.part/b", "a b", "a\n", "\n",
    "a\\b", "a:b", "ä", "a\x00", "~", "a*", "a?", "%2e%2e", "x" * 201, "a/" * 350 + "a",
]  # fmt: skip
BAD_PREFIXES = ["/", "//", "a//", "../", "a/../b", ".part/", "a b", "*", "ä", "a\n"]


@pytest.fixture(params=[backend for backends in BACKENDS.values() for backend in backends])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "store")
    bucket = request.getfixturevalue("bucket" if request.param == "moto" else "seaweed_bucket")
    return bucket.url


@pytest.fixture
def another(url: str, tmp_path: Path) -> Callable[[], Store]:
    """The same store as another machine opens it: own client, own cache."""
    count = iter(range(1000))
    return lambda: open_store(url, cache=tmp_path / f"cache-{next(count)}")


@pytest.fixture
def store(another: Callable[[], Store]) -> Store:
    return another()


def fill(store: Store, *keys: str) -> None:
    for key in keys:
        assert store.create(key, key.encode())


def test_the_suite_covers_the_registry() -> None:
    assert BACKENDS.keys() == STORES.keys(), "a new store needs a backend here"


def test_an_object_is_written_once(store: Store, another: Callable[[], Store]) -> None:
    assert not store.exists("a/b")
    assert store.create("a/b", b"first") is True
    assert store.create("a/b", b"second") is False
    assert store.create("a/b", b"first") is False, "the same bytes again are no new object either"
    assert another().create("a/b", b"third") is False
    for reader in (store, another()):
        assert reader.exists("a/b")
        assert reader.read("a/b") == b"first"
        assert reader.fetch("a/b").read_bytes() == b"first"


def test_bytes_come_back_as_they_were(store: Store, another: Callable[[], Store]) -> None:
    reader = another()
    unicode = "raw \u2028 line, ümläut, \U0001f409".encode()
    for number, data in enumerate([b"", b"\x00", bytes(range(256)), unicode, b"\r\n\r\n", b"x" * 300_000]):
        key = f"k{number}.bin"
        assert store.create(key, data)
        assert store.read(key) == data
        assert reader.fetch(key).read_bytes() == data


def test_a_file_is_copied_and_left_alone(store: Store, another: Callable[[], Store], tmp_path: Path) -> None:
    source = tmp_path / "big.jsonl.zst"
    content = os.urandom(1 << 20) * 12
    source.write_bytes(content)
    assert store.create_file("raw/big.jsonl.zst", source) is True
    source.write_bytes(b"changed later")
    assert store.create_file("raw/big.jsonl.zst", source) is False
    assert source.read_bytes() == b"changed later"
    got = another().fetch("raw/big.jsonl.zst")
    assert got.read_bytes() == content
    assert got.name.endswith("big.jsonl.zst"), "readers go by the suffix"


def test_a_file_that_is_dropped_is_gone_and_whole(store: Store, another: Callable[[], Store], tmp_path: Path) -> None:
    source = tmp_path / "answers.parquet"
    content = os.urandom(1 << 20) * 3
    source.write_bytes(content)
    assert store.create_file("answers/one.parquet", source, drop=True) is True
    assert not source.exists()
    source.write_bytes(b"another file of that name")
    assert another().create_file("answers/one.parquet", source, drop=True) is False
    assert not source.exists(), "whoever was first, nobody needs it any more"
    for reader in (store, another()):
        assert reader.fetch("answers/one.parquet").read_bytes() == content
        assert reader.size("answers/one.parquet") == len(content)
    assert list(store.list("")) == ["answers/one.parquet"]


def test_a_dropped_file_stays_where_it_became_no_object(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    with pytest.raises(ValueError, match="not a store key"):
        store.create_file("a//b", source, drop=True)
    assert source.read_bytes() == b"x"


@pytest.mark.parametrize("drop", [False, True])
def test_a_file_that_is_not_there_makes_no_object(store: Store, tmp_path: Path, drop: bool) -> None:
    with pytest.raises(FileNotFoundError):
        store.create_file("k", tmp_path / "absent", drop=drop)
    assert not store.exists("k")
    assert list(store.list("")) == []


def test_what_is_not_there_is_missing(store: Store) -> None:
    fill(store, "a/b")
    for key in ("b", "a", "a/c", "a/b/c", "a/bb"):
        assert not store.exists(key), key
        for look in (store.read, store.fetch):
            with pytest.raises(MissingObject) as caught:
                look(key)
            assert key in str(caught.value)
            assert store.url in str(caught.value)


def test_keys_are_listed_in_order(store: Store) -> None:
    keys = ["a-b", "a.b", "a/b", "a/b-c", "a0", "a=b", "a@b", "A", "a_b", "aa", "b/a/a", "b/a0", "b/B", "b-/a", "b.c/x"]
    fill(store, *keys)
    assert list(store.list("")) == sorted(keys)


PREFIXES = [
    ("journal/", ["journal/0001", "journal/0002", "journal/0010"]),
    ("journal/00", ["journal/0001", "journal/0002", "journal/0010"]),
    ("journal/000", ["journal/0001", "journal/0002"]),
    ("journal/0002", ["journal/0002"]),
    ("journal/0003", []),
    ("journal", ["journal-old/0001", "journal/0001", "journal/0002", "journal/0010"]),
    ("j", ["journal-old/0001", "journal/0001", "journal/0002", "journal/0010"]),
    ("shards/ab", ["shards/ab12/lines", "shards/ab34/intents/1"]),
    ("shards/ab12/", ["shards/ab12/lines"]),
    ("shards/ab12/lines/", []),
    ("absent/deep/er", []),
    ("..", []),
]


def test_a_prefix_may_end_anywhere(store: Store) -> None:
    fill(store, "journal/0001", "journal/0002", "journal/0010", "journal-old/0001", "shards/ab12/lines")
    fill(store, "shards/ab34/intents/1", "shards/b/1")
    assert {prefix: list(store.list(prefix)) for prefix, _ in PREFIXES} == dict(PREFIXES)


AFTER = [
    ("", "", ["a-", "a/1", "a/2/x", "a/2/y", "a/3", "a0", "b"]),
    ("", "a", ["a-", "a/1", "a/2/x", "a/2/y", "a/3", "a0", "b"]),
    ("", "a-", ["a/1", "a/2/x", "a/2/y", "a/3", "a0", "b"]),
    ("", "a/1", ["a/2/x", "a/2/y", "a/3", "a0", "b"]),
    ("", "a/2", ["a/2/x", "a/2/y", "a/3", "a0", "b"]),
    ("", "a/2/x", ["a/2/y", "a/3", "a0", "b"]),
    ("", "a/2/zz", ["a/3", "a0", "b"]),
    ("", "a/~", ["a0", "b"]),
    ("", "b", []),
    ("", "a/", ["a/1", "a/2/x", "a/2/y", "a/3", "a0", "b"]),
    ("", "a/2-", ["a/2/x", "a/2/y", "a/3", "a0", "b"]),
    ("", "a/2/", ["a/2/x", "a/2/y", "a/3", "a0", "b"]),
    ("a/", "a/2/x", ["a/2/y", "a/3"]),
    ("a/", "A", ["a/1", "a/2/x", "a/2/y", "a/3"]),
    ("a/", "a0", []),
    ("a/2", "a/2/x", ["a/2/y"]),
    ("a/2/", "a/1", ["a/2/x", "a/2/y"]),
]


def test_listing_goes_on_after_a_key(store: Store) -> None:
    fill(store, "a-", "a/1", "a/2/x", "a/2/y", "a/3", "a0", "b")
    assert [(prefix, after, list(store.list(prefix, after))) for prefix, after, _ in AFTER] == AFTER


def test_a_journal_is_read_on_from_any_event(store: Store) -> None:
    events = [f"journal/{n:08d}.json" for n in range(1, 33)]
    fill(store, *events, "journal/00000002.json.d/x", "journal-2/1")
    for n in range(33):
        listed = list(store.list("journal/", f"journal/{n:08d}.json"))
        assert [key for key in listed if key.endswith("json")] == events[n:]


def test_an_empty_store_lists_nothing(store: Store) -> None:
    assert list(store.list("")) == []
    assert list(store.list("a/b", "a/c")) == []


def test_what_another_wrote_is_seen(store: Store, another: Callable[[], Store]) -> None:
    other = another()
    assert not store.exists("a")
    assert list(store.list("")) == []
    fill(other, "a")
    assert store.exists("a")
    assert list(store.list("")) == ["a"]
    assert store.read("a") == b"a"


def test_an_object_s_size_is_known_without_reading_it(store: Store, another: Callable[[], Store]) -> None:
    store.create("a", b"")
    store.create("b/c", b"12345")
    assert [another().size(key) for key in ("a", "b/c")] == [0, 5]
    with pytest.raises(MissingObject, match="absent"):
        store.size("absent")


def test_deleted_keys_are_gone_for_everybody(store: Store, another: Callable[[], Store]) -> None:
    other = another()
    fill(store, "a/1", "a/2", "a/b/c", "d")
    assert store.fetch("a/1").exists()
    assert other.read("a/1") == b"a/1"
    store.delete(iter(["a/1", "a/b/c", "absent", "a/2/absent", "a"]))
    assert list(store.list("")) == ["a/2", "d"]
    for reader in (store, other):
        assert not reader.exists("a/1")
        with pytest.raises(MissingObject):
            reader.fetch("a/1")
    assert store.create("a/1", b"new") is True, "a pruned key may be written again"
    assert store.fetch("a/1").read_bytes() == b"new"
    store.delete([])


def test_a_store_that_was_wiped_serves_nothing_old(another: Callable[[], Store], url: str, tmp_path: Path) -> None:
    mine, other = open_store(url, cache=tmp_path / "mine"), another()
    fill(mine, "journal/1")
    assert mine.fetch("journal/1").read_bytes() == b"journal/1"
    other.delete(["journal/1"])
    assert other.create("journal/1", b"a new life")
    again = open_store(url, cache=tmp_path / "mine")
    assert again.fetch("journal/1").read_bytes() == b"a new life"


def test_the_store_below_a_prefix(store: Store) -> None:
    side = store.sub("rehearsal/one")
    fill(side, "journal/1")
    fill(store, "journal/2", "rehearsal/onestep")
    assert list(side.list("")) == ["journal/1"]
    assert list(store.list("")) == ["journal/2", "rehearsal/one/journal/1", "rehearsal/onestep"]
    assert store.read("rehearsal/one/journal/1") == side.read("journal/1") == b"journal/1"
    assert side.fetch("journal/1").read_bytes() == b"journal/1"
    assert side.url == f"{store.url}/rehearsal/one"
    assert not side.exists("journal/2")
    assert list(side.sub("journal").list("")) == ["1"]
    side.probe()
    assert list(side.list("")) == ["journal/1"]


def test_odd_but_good_keys(store: Store) -> None:
    for key in ODD_KEYS:
        assert store.create(key, b"x")
        assert list(store.list("")) == [key]
        assert store.fetch(key).read_bytes() == b"x"
        store.delete([key])
        assert not store.exists(key)


def test_bad_keys_are_refused_everywhere(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    verbs: list[Callable[[str], object]] = [
        lambda key: store.create(key, b"x"),
        lambda key: store.create_file(key, source),
        store.read,
        store.fetch,
        store.exists,
        lambda key: store.delete([key]),
        store.sub,
    ]
    for key in BAD_KEYS:
        for verb in verbs:
            with pytest.raises(ValueError, match="not a store key"):
                verb(key)
    assert list(store.list("")) == []


def test_bad_prefixes_are_refused_at_once(store: Store) -> None:
    for prefix in BAD_PREFIXES:
        with pytest.raises(ValueError, match="not the start of a store key"):
            store.list(prefix)


@pytest.mark.parametrize("shared", [True, False], ids=["one store object", "one each"])
def test_of_eight_racers_one_wins(store: Store, another: Callable[[], Store], shared: bool) -> None:
    stores = [store if shared else another() for _ in range(8)]
    start = Barrier(8)

    def race(number: int) -> list[bool]:
        won = []
        for lap in range(3):
            start.wait()
            won.append(stores[number].create(f"journal/{lap}", str(number).encode()))
        return won

    with ThreadPoolExecutor(8) as pool:
        laps = list(zip(*pool.map(race, range(8)), strict=True))
    for lap, won in enumerate(laps):
        assert won.count(True) == 1
        assert store.read(f"journal/{lap}") == str(won.index(True)).encode()


def test_a_reader_never_sees_a_part_of_an_object(store: Store, another: Callable[[], Store], tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3_000_000))
    reader = another()
    seen = set()
    with ThreadPoolExecutor(1) as pool:
        writing = [pool.submit(store.create_file, f"big/{n}", source) for n in range(5)]
        while not all(job.done() for job in writing):
            for key in reader.list("big/"):
                seen.add(key)
                assert len(reader.read(key)) == 3_000_000
    assert all(job.result() for job in writing)
    assert len(list(reader.list("big/"))) == 5


def test_concurrent_fetches_of_one_key_agree(store: Store, another: Callable[[], Store]) -> None:
    assert store.create("k.parquet", b"p" * 500_000)
    reader = another()
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(reader.fetch, ["k.parquet"] * 16))
    assert len(set(paths)) == 1
    assert paths[0].read_bytes() == b"p" * 500_000
    assert [path for path in paths[0].parent.iterdir() if path.is_file()] == paths[:1], "no half copies stay"


def test_what_lies_on_disk_is_private(store: Store, tmp_path: Path) -> None:
    fill(store, "a/b/c")
    path = store.fetch("a/b/c")
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_probe_leaves_no_object_behind(store: Store, another: Callable[[], Store]) -> None:
    fill(store, "a")
    store.probe()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda prober: prober.probe(), [another() for _ in range(4)]))
    assert list(store.list("")) == ["a"]


class Careless:
    """A store over which every second write wins, or which is wrong in another way."""

    def __init__(self, store: Store, fault: str) -> None:
        self.store, self.fault = store, fault

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    def create(self, key: str, data: bytes) -> bool:
        if self.fault == "overwrites":
            self.store.delete([key])
        if self.fault == "exists already":
            self.store.create(key, b"somebody's")
        created = self.store.create(key, data)
        return True if self.fault == "says yes" else created

    def read(self, key: str) -> bytes:
        return b"other" if self.fault == "other bytes" else self.store.read(key)

    def list(self, prefix: str, after: str = "") -> object:
        return iter([]) if self.fault == "lists late" else self.store.list(prefix, after)


FAULTS = [
    ("overwrites", "accepts a second write"),
    ("says yes", "accepts a second write"),
    ("other bytes", "accepts a second write"),
    ("exists already", "that nobody wrote"),
    ("lists late", "does not list"),
]


def test_the_probe_finds_a_careless_store(store: Store) -> None:
    for fault, message in FAULTS:
        with pytest.raises(InputError, match=message) as caught:
            probing.probe(Careless(store, fault))  # type: ignore[arg-type]  # a stand-in by duck typing
        assert caught.value.where == store.url
        assert caught.value.hint
        assert list(store.list("")) == [], "also a failed probe cleans up"
