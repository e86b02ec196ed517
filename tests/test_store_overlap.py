"""Objects that go up and come down while the work goes on: in order, bounded, and never lost without a word."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.errors import MissingObject, NotFinished
from chimera_batch.stores.base import Store
from chimera_batch.stores.local import FolderStore
from chimera_batch.stores.overlap import Uploads, prefetch
from tests.support import Bench, answered, bench, write_project

PATIENCE = 60.0  # seconds; a clock only ever ends a test that has failed: what is judged is the order of events


class Held:
    """A store whose puts and gets wait for what ``hold`` waits for, given their key; fails where it is told to.

    It notes what is under way and what is over, and says of each key when that is so.
    """

    def __init__(self, store: Store, *, broken: str = "", hold: Callable[[str], object] = lambda key: None) -> None:
        self.store, self.broken, self.hold = store, broken, hold
        self.under_way, self.most = 0, 0
        self.done: list[str] = []
        self.threads: set[int] = set()
        self.lock = threading.Lock()
        self.overs: dict[str, threading.Event] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def over(self, key: str) -> threading.Event:
        """Set once a key's put or get has ended."""
        with self.lock:
            return self.overs.setdefault(key, threading.Event())

    def _take(self, key: str, act: Callable[[], Any]) -> Any:
        with self.lock:
            self.threads.add(threading.get_ident())
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        try:
            self.hold(key)
            if key == self.broken:
                raise NotFinished("the store is unreachable", where=key)
            return act()
        finally:
            with self.lock:
                self.under_way -= 1
                self.done.append(key)
            self.over(key).set()

    def create(self, key: str, data: bytes) -> bool:
        return bool(self._take(key, lambda: self.store.create(key, data)))

    def create_file(self, key: str, path: Path, *, drop: bool = False) -> bool:
        return bool(self._take(key, lambda: self.store.create_file(key, path, drop=drop)))

    def fetch(self, key: str) -> Path:
        found: Path = self._take(key, lambda: self.store.fetch(key))
        return found


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"file-{n}" for n in range(8)]
    for n, path in enumerate(paths):
        path.write_bytes(b"%d" % n * 1000)
    return paths


def held(store: Store, **how: Any) -> Any:
    return Held(store, **how)


def comes(event: threading.Event) -> bool:
    """Wait for it."""
    assert event.wait(PATIENCE), "it does not come about"
    return True


def events(count: int) -> list[threading.Event]:
    return [threading.Event() for _ in range(count)]


# -- up


def test_uploads_overlap_with_the_work(folder: FolderStore, files: list[Path]) -> None:
    """No upload ends before the work on the next file has begun: one after the other would never come to an end."""
    begun = events(9)
    store = held(folder, hold=lambda key: comes(begun[int(key[-1]) + 1]))
    with Uploads(store) as uploads:
        handles = []
        for n, path in enumerate(files):
            begun[n].set()
            handles.append(uploads.create_file(f"raw/{n}", path))
        begun[8].set()
    assert [handle.result() for handle in handles] == [True] * 8
    assert {key: folder.read(key) for key in folder.list("")} == {
        f"raw/{n}": path.read_bytes() for n, path in enumerate(files)
    }


def test_several_go_up_at_once_and_no_more(folder: FolderStore, files: list[Path]) -> None:
    """The first three wait for one another."""
    all_three = threading.Barrier(3, timeout=PATIENCE)
    store = held(folder, hold=lambda key: int(key[-1]) < 3 and all_three.wait())
    with Uploads(store, at_once=3) as uploads:
        for n, path in enumerate(files):
            uploads.create_file(f"raw/{n}", path)
            assert store.under_way <= 3
            assert len(store.done) >= n - 2, "the fourth waits for room: what waits would lie on the disk"
    assert store.most == 3


def test_who_was_first_is_told_exactly(folder: FolderStore, files: list[Path]) -> None:
    assert folder.create("raw/1", b"another's")
    with Uploads(folder) as uploads:
        won = [uploads.create_file(f"raw/{n}", path) for n, path in enumerate(files[:3])]
        again = uploads.create("raw/1", b"late")
        small = uploads.create("schemas/1", b"{}")
    assert [handle.result() for handle in (*won, again, small)] == [True, False, True, False, True]
    assert folder.read("raw/1") == b"another's"


def test_a_fact_comes_after_its_objects_and_in_order(folder: FolderStore, files: list[Path]) -> None:
    """The others are there before the first one: their facts wait for it all the same."""
    late = threading.Event()
    store = held(folder, hold=lambda key: key == "raw/0" and comes(late))
    facts: list[tuple[int, list[str], bool]] = []
    mine = threading.get_ident()

    def fact(n: int) -> None:
        facts.append((n, [key for key in (f"raw/{i}" for i in range(n + 1)) if folder.exists(key)], True))
        assert threading.get_ident() == mine, "the ledger is not shared between threads"

    with Uploads(store) as uploads:
        for n, path in enumerate(files[:3]):
            uploads.create_file(f"raw/{n}", path)
            uploads.then(lambda n=n: fact(n))  # type: ignore[misc]  # a default binds the loop's number
        assert comes(store.over("raw/1")) and comes(store.over("raw/2"))
        uploads.then(lambda: None)
        assert facts == []
        late.set()
    assert store.done[-1] == "raw/0"
    assert facts == [(0, ["raw/0"], True), (1, ["raw/0", "raw/1"], True), (2, ["raw/0", "raw/1", "raw/2"], True)]


def test_a_fact_with_nothing_before_it_is_written_at_once(folder: FolderStore) -> None:
    facts: list[int] = []
    with Uploads(folder) as uploads:
        uploads.then(lambda: facts.append(1))
        assert facts == [1]


def test_facts_are_written_while_the_work_goes_on(folder: FolderStore, files: list[Path]) -> None:
    """Not only at the end: a run that is killed has kept what was done."""
    facts: list[int] = []
    with Uploads(folder, at_once=1) as uploads:
        for n, path in enumerate(files):
            uploads.create_file(f"raw/{n}", path)
            uploads.then(lambda n=n: facts.append(n))  # type: ignore[misc]
            assert len(facts) >= n - 1
    assert facts == list(range(8))


def test_waiting_is_for_all_that_was_handed_over(folder: FolderStore, files: list[Path]) -> None:
    facts: list[int] = []
    with Uploads(folder) as uploads:
        uploads.wait()
        for n, path in enumerate(files[:3]):
            uploads.create_file(f"raw/{n}", path)
        uploads.then(lambda: facts.append(1))
        uploads.wait()
        assert len(list(folder.list("raw/"))) == 3
        assert facts == [1]
        assert uploads.create("raw/late", b"").result() is True, "and on it goes"


def test_a_failure_is_raised_by_the_next_call(folder: FolderStore, files: list[Path]) -> None:
    store = held(folder, broken="raw/1")
    facts: list[int] = []
    handed = []
    with pytest.raises(NotFinished, match="raw/1"), Uploads(store, at_once=2) as uploads:
        for n, path in enumerate(files):
            handle = uploads.create_file(f"raw/{n}", path)
            handed.append(f"raw/{n}")
            uploads.then(lambda n=n: facts.append(n))  # type: ignore[misc]
            handle.exception(PATIENCE)  # only to wait for it
    assert handed == ["raw/0", "raw/1"], "the work does not go on for nothing"
    assert 1 not in facts
    assert facts in ([], [0]), "no fact of a later object either"
    there = list(folder.list(""))
    assert "raw/1" not in there
    assert set(store.done) == set(handed), "what was under way was brought to its end"
    assert set(there) == set(store.done) - {"raw/1"}


def test_a_failure_of_the_last_one_is_raised_on_leaving(folder: FolderStore, files: list[Path]) -> None:
    facts: list[int] = []
    with pytest.raises(NotFinished, match="raw/7"), Uploads(held(folder, broken="raw/7")) as uploads:
        handles = [uploads.create_file(f"raw/{n}", path) for n, path in enumerate(files)]
        uploads.then(lambda: facts.append(1))
    assert facts == []
    assert [handle.result() for handle in handles[:7]] == [True] * 7
    with pytest.raises(NotFinished):
        handles[7].result()
    assert len(list(folder.list(""))) == 7, "the others are not lost"


def test_a_caught_failure_is_raised_again(folder: FolderStore, files: list[Path]) -> None:
    facts: list[int] = []
    with pytest.raises(NotFinished), Uploads(held(folder, broken="raw/0")) as uploads:
        handle = uploads.create_file("raw/0", files[0])
        with pytest.raises(NotFinished):
            handle.result()
        with pytest.raises(NotFinished):
            uploads.create("raw/1", b"")
        with pytest.raises(NotFinished):
            uploads.then(lambda: facts.append(1))
    assert facts == []
    assert list(folder.list("")) == []


def test_a_failing_fact_stops_the_later_ones(folder: FolderStore) -> None:
    facts: list[int] = []

    def halted() -> None:
        raise MissingObject("halted")

    with pytest.raises(MissingObject), Uploads(folder) as uploads:
        uploads.create("a", b"")
        uploads.then(halted)
        uploads.create("b", b"")
        uploads.then(lambda: facts.append(2))
    assert facts == []


def test_an_error_of_the_work_is_the_one_that_is_raised(folder: FolderStore, files: list[Path]) -> None:
    facts: list[int] = []
    raised = threading.Event()
    store = held(folder, broken="raw/1", hold=lambda key: comes(raised))
    with pytest.raises(ZeroDivisionError), Uploads(store) as uploads:
        for n, path in enumerate(files[:3]):
            uploads.create_file(f"raw/{n}", path)
        uploads.then(lambda: facts.append(1))
        raised.set()
        raise ZeroDivisionError
    assert store.under_way == 0, "no thread goes on behind the caller's back"
    assert facts == []
    assert list(folder.list("")) == ["raw/0", "raw/2"]


def test_files_that_are_there_can_be_dropped(folder: FolderStore, files: list[Path]) -> None:
    """So that the disk holds a few shards and not the stage."""
    store = held(folder, broken="raw/2")
    assert folder.create("raw/1", b"another's")
    with pytest.raises(NotFinished), Uploads(store) as uploads:
        for n, path in enumerate(files[:3]):
            uploads.create_file(f"raw/{n}", path, drop=True)
        uploads.create_file("raw/3", files[3])
    assert [path.exists() for path in files[:4]] == [False, False, True, True], "what did not arrive stays"


def test_a_file_that_is_not_there_is_an_error(folder: FolderStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), Uploads(folder) as uploads:
        uploads.create_file("raw/0", tmp_path / "absent", drop=True)


# -- down


@pytest.fixture
def kept(folder: FolderStore) -> list[str]:
    keys = [f"answers/{n:02d}" for n in range(16)]
    for key in keys:
        assert folder.create(key, key.encode())
    return keys


def test_objects_come_down_together_and_in_order(folder: FolderStore, kept: list[str]) -> None:
    """The first eight wait for one another, and the first of them for the second."""
    all_eight = threading.Barrier(8, timeout=PATIENCE)

    def hold(key: str) -> None:
        if int(key[-2:]) < 8:
            all_eight.wait()
        if key == kept[0]:
            comes(store.over(kept[1]))

    store = held(folder, hold=hold)
    paths = list(prefetch(store, kept, at_once=8))
    assert [path.read_bytes().decode() for path in paths] == kept
    assert store.most == 8 and store.done.index(kept[1]) < store.done.index(kept[0])


def test_objects_come_down_while_the_caller_works(folder: FolderStore, kept: list[str]) -> None:
    """Each comes while the caller is at the one before it, and the caller waits there until it has come."""
    begun = events(8)
    store = held(folder, hold=lambda key: key != kept[0] and comes(begun[int(key[-2:]) - 1]))
    for n, _ in enumerate(prefetch(store, kept[:8], at_once=2)):
        begun[n].set()
        if n < 7:
            comes(store.over(kept[n + 1]))
    assert sorted(store.done) == kept[:8]


def test_not_everything_comes_down_at_once(folder: FolderStore, kept: list[str]) -> None:
    """A caller that stops early has not fetched a run's history; one that is slow is not overrun."""
    store = held(folder)
    asked: list[str] = []

    def keys() -> Iterator[str]:
        for key in kept:
            asked.append(key)
            yield key

    coming = prefetch(store, keys(), at_once=2)
    assert asked == [], "nothing is fetched before something is wanted"
    assert [path.name for path in islice(coming, 2)] == ["00", "01"]
    assert len(asked) == 6
    coming.close()  # type: ignore[attr-defined]  # a generator, which an Iterator need not be
    assert store.under_way == 0
    assert len(store.done) <= 6


def test_a_missing_object_is_raised_in_its_place(folder: FolderStore, kept: list[str]) -> None:
    keys = [*kept[:3], "answers/absent", *kept[3:]]
    got: list[str] = []
    store = held(folder)
    with pytest.raises(MissingObject, match="absent"):
        got.extend(path.name for path in prefetch(store, keys, at_once=2))
    assert store.under_way == 0
    assert len(store.done) < len(keys)
    paths = prefetch(folder, keys)
    assert [next(paths).name for _ in range(3)] == ["00", "01", "02"]
    with pytest.raises(MissingObject, match="absent"):
        next(paths)


@pytest.mark.parametrize("count", [0, 1])
def test_a_key_or_none_needs_no_threads(folder: FolderStore, kept: list[str], count: int) -> None:
    store = held(folder)
    assert [path.name for path in prefetch(store, kept[:count])] == ["00"][:count]
    assert store.threads <= {threading.get_ident()}


# -- in a run


def asking(folder: Path, rows: int, **profile: Any) -> Bench:
    sql = f"-- Rows.\nSELECT 'k' || i AS row_key, 'question ' || i AS q FROM range({rows}) AS t(i)"
    return bench(write_project(folder, {"sql/tiny/one_rows.sql": sql}, stage=", breaker: 0"), **profile)


def shards(one: Bench) -> list[tuple[str, str]]:
    """The objects of each shard, in the order of the facts."""
    return [(shard.key, shard.members) for shard in one.ctx.facts.in_realm(one.ctx.realm(one.stage))]


@pytest.mark.slow
def test_a_shard_goes_up_while_the_next_one_is_written(tmp_path: Path) -> None:
    plain = asking(tmp_path / "plain", 12, max_requests=3)
    assert plain.pack(plain.draw())
    one = asking(tmp_path / "one", 12, max_requests=3)
    (first, beside), (_, later), *_ = shards(plain)
    both = threading.Barrier(2, timeout=PATIENCE)

    def hold(key: str) -> None:
        if key in {first, beside}:
            both.wait()
        if key == first:
            comes(store.over(later))

    store = held(one.ctx.store, hold=hold)
    far = replace(one, ctx=replace(one.ctx, store=store))
    assert far.pack(far.draw())
    assert len(shards(one)) == 4
    assert shards(one) == shards(plain), "facts stand in the order of the shards, whatever arrived first"
    assert 1 < store.most <= 4 and store.done.index(later) < store.done.index(first)
    assert all(one.ctx.store.exists(key) for keys in shards(one) for key in keys)


@pytest.mark.slow
def test_no_fact_names_a_shard_that_did_not_arrive(tmp_path: Path) -> None:
    plain = asking(tmp_path / "plain", 12, max_requests=3)
    assert plain.pack(plain.draw())
    one = asking(tmp_path / "one", 12, max_requests=3)
    store = held(one.ctx.store, broken=shards(plain)[2][1])
    far = replace(one, ctx=replace(one.ctx, store=store))
    with pytest.raises(NotFinished, match="unreachable"):
        far.pack(far.draw())
    known = shards(one)
    assert known == shards(plain)[: len(known)]
    assert len(known) <= 2
    assert all(one.ctx.store.exists(key) for keys in known for key in keys)
    assert one.pack(one.draw()), "the next pass goes on where this one ended"
    assert sorted(shards(one)) == sorted(shards(plain))
    assert one.states() == {"packed": 12}


@pytest.mark.slow
def test_where_requests_stand_is_fetched_together(tmp_path: Path) -> None:
    """A new machine on S3 has a run's whole history to bring: not one object after the other."""
    one = asking(tmp_path, 3)
    one.go()
    one.host.answer("batch-1", lambda line: answered(line["custom_id"], "fo", finish="length"))
    one.go()
    one.host.answer("batch-2", lambda line: answered(line["custom_id"]))
    before = one.states()
    assert one.go().done
    asked = [one.ctx.store.fetch(kept.key) for kept in one.ctx.facts.asked[one.ctx.run, "one"].values()]
    both = threading.Barrier(2, timeout=PATIENCE)
    store = held(one.ctx.store, hold=lambda key: key.startswith("answers/") and both.wait())
    far = replace(one, ctx=replace(one.ctx, store=store))
    assert far.states(asked) == {"answered": 3} != before
    assert len(store.done) == 3, "the shard's members, then two landings"
    assert store.most == 2
