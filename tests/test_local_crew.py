"""A crew of callers, a spool that many write to, its copy elsewhere: at scale, and when things go wrong."""

from __future__ import annotations

import os
import threading
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.calls import mirroring
from chimera_batch.calls.crew import Crew
from chimera_batch.calls.mirroring import Mirror
from chimera_batch.calls.spooling import Spool
from chimera_batch.stores import open_store
from chimera_batch.stores.base import Store

# -- the crew


def all_done(crew: Crew[int], jobs: int, timeout: float = 30) -> None:
    for job in range(jobs):
        while not crew.give(job, 0.05) and not crew.broken:
            pass
        if crew.broken:
            break
    assert crew.rests(timeout)
    crew.dismiss()


def test_a_new_call_begins_the_moment_one_ends() -> None:
    """With one slow call under way all others go through the remaining hands; never more than there are hands."""
    slow, lock = threading.Event(), threading.Lock()
    done: list[int] = []
    now = most = 0

    def work(job: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        if job == 0:
            assert slow.wait(30)
        with lock:
            now -= 1
            done.append(job)
        if len(done) == 499:
            slow.set()

    crew: Crew[int] = Crew(32, work)
    all_done(crew, 500)
    assert not crew.failures
    assert sorted(done) == list(range(500)) and done[-1] == 0 and most <= 32


def test_few_jobs_take_few_threads() -> None:
    before = threading.active_count()
    seen: list[int] = []
    release = threading.Event()

    def work(job: int) -> None:
        release.wait(60)
        seen.append(threading.active_count())

    crew: Crew[int] = Crew(256, work)
    for job in range(3):
        assert crew.give(job, 1)
    release.set()
    assert crew.rests(60)
    crew.dismiss()
    assert max(seen) <= before + 3
    deadline = time.monotonic() + 60
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before, "they end when they are dismissed"


@pytest.mark.parametrize(("jobs", "begun"), [(3, 3), (8, 8), (100, 8)])
def test_after_a_failure_no_further_call_begins(jobs: int, begun: int) -> None:
    """Those of the first hands begin whatever happens: a host that is down is asked once by each of them, not more."""
    started: list[int] = []

    def work(job: int) -> None:
        started.append(job)
        time.sleep(0.05)
        raise OSError(f"{job}")

    crew: Crew[int] = Crew(8, work)
    all_done(crew, jobs)
    assert len(started) == begun and len(crew.failures) == begun


def test_stopped_means_nothing_more() -> None:
    hold, started = threading.Event(), list[int]()

    def work(job: int) -> None:
        started.append(job)
        hold.wait(60)

    crew: Crew[int] = Crew(2, work)
    for job in range(4):
        assert crew.give(job, 1)
    while len(started) < 2:
        time.sleep(0.01)
    assert not crew.give(5, 0.01), "no room"
    crew.stop()
    hold.set()
    assert crew.rests(60) and sorted(started) == [0, 1]
    crew.dismiss()


def test_a_quarter_of_a_thousand_hands_are_no_burden() -> None:
    """What handing out costs grows with the jobs alone: by CPU, since a clock on the wall says what else goes on."""

    def cost(jobs: int) -> float:
        crew: Crew[int] = Crew(256, lambda job: None)
        began = time.process_time()
        all_done(crew, jobs)
        return time.process_time() - began

    cost(500)
    assert cost(20_000) < 20, "a millisecond each at the very most"


# -- the spool, written by many


def test_replies_that_come_together_wait_for_the_disk_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = 0
    real = os.fsync

    def slow(number: int) -> None:
        nonlocal syncs
        syncs += 1
        time.sleep(0.02)
        real(number)

    monkeypatch.setattr("os.fsync", slow)
    longest = list[float]()
    with Spool(tmp_path / "s.jsonl") as spool:
        syncs = 0

        def one(number: int) -> None:
            for _ in range(5):
                began = time.monotonic()
                spool.reply(b"%d" % number)
                longest.append(time.monotonic() - began)

        threads = [threading.Thread(target=one, args=(number,)) for number in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(spool.mend().read_bytes().splitlines()) == 320
    assert syncs < 100, "a wait for each of them would be 320"
    assert sorted(longest)[len(longest) // 2] < 5


def test_a_full_disk_is_everybodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a piece that may be torn nothing is written behind it, by nobody."""

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    with Spool(tmp_path / "s.jsonl") as spool:
        spool.reply(b"kept")
        monkeypatch.setattr("os.fsync", full)
        for _ in range(2):
            with pytest.raises(OSError, match="No space left"):
                spool.reply(b"lost")
        monkeypatch.undo()
        with pytest.raises(OSError, match="No space left"):
            spool.reply(b"after")
    assert spool.mend().read_bytes().startswith(b"kept\n")


def test_a_large_spool_is_mended_in_little_memory(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.jsonl")
    with spool.path.open("wb") as file:
        for _ in range(40):
            file.write(b"x" * (1 << 20) + b"\n")
        file.write(b"torn" * (1 << 20))  # longer than a piece
    whole = 40 * ((1 << 20) + 1)
    tracemalloc.start()
    spool.mend()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert spool.path.stat().st_size == whole and peak < 8 << 20


# -- the copy in the store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"), cache=tmp_path / "cache")


def test_a_copy_is_read_back_whole(tmp_path: Path, store: Store) -> None:
    with Spool(tmp_path / "now" / "s.jsonl") as spool:
        mirror = Mirror(store, "spools/r/s.1-00000001", spool.path)
        mirror.copy()
        for part in range(3):
            for number in range(4):
                spool.reply(b'{"part":%d,"n":%d}' % (part, number))
            mirror.copy()
            mirror.copy()
    assert len(list(store.list("spools/"))) == 3, "what has not changed is not copied again"
    there = tmp_path / "elsewhere" / "now" / "s.jsonl"
    assert mirroring.restore(store, "spools/r/s.1-00000001", there)
    assert there.read_bytes() == spool.path.read_bytes()
    assert not mirroring.restore(store, "spools/r/s.2-00000002", tmp_path / "none")


@given(cuts=st.lists(st.integers(0, 40), max_size=6), lines=st.lists(st.binary(max_size=20), max_size=12))
def test_a_copy_never_holds_half_a_line(
    cuts: list[int], lines: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever had reached the disk when a copy was taken."""
    folder = tmp_path_factory.mktemp("mirror")
    store = open_store(str(folder / "store"), cache=folder / "cache")
    spool, data = folder / "s.jsonl", b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)
    mirror = Mirror(store, "spools/r/s", spool)
    written = 0
    for cut in [*cuts, len(data)]:
        with spool.open("ab") as file:
            file.write(data[written : written + cut])
        written = min(len(data), written + cut)
        mirror.copy()
        back = folder / "back"
        got = back.read_bytes() if mirroring.restore(store, "spools/r/s", back) else b""
        assert got == data[: data.rfind(b"\n", 0, written) + 1]


def test_a_long_spool_is_copied_in_parts(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chimera_batch.calls.mirroring._PART", 1000)
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"".join(b"%04d\n" % number for number in range(1000)))
    Mirror(store, "spools/r/s", path).copy()
    assert len(list(store.list("spools/"))) == 5
    assert mirroring.restore(store, "spools/r/s", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


def test_a_part_that_is_not_listed_yet_is_read_all_the_same(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the lines beside the gap would run into one another."""
    monkeypatch.setattr("chimera_batch.calls.mirroring._PART", 1003)  # parts end in the middle of a line
    path, prefix = tmp_path / "s.jsonl", "spools/r/s"
    path.write_bytes(b"".join(b"%04d\n" % number for number in range(1000)))
    Mirror(store, prefix, path).copy()
    monkeypatch.setattr(store, "list", lambda *_: iter([f"{prefix}/{n:06d}.jsonl.zst" for n in (0, 2, 4)]))
    assert mirroring.restore(store, prefix, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    store.delete([f"{prefix}/000002.jsonl.zst"])
    assert mirroring.restore(store, prefix, tmp_path / "less")
    assert (tmp_path / "less").read_bytes() == path.read_bytes()[:2006], "what lies behind a gap is no beginning"


def test_only_a_store_that_outlives_the_machine(store: Store) -> None:
    assert not mirroring.elsewhere(store)
    assert mirroring.elsewhere(type("There", (), {"url": "s3://bucket/prefix"})())
