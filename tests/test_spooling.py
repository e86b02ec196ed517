"""The spool: every call that was begun is known, whatever was cut off; replies stand alone, as older versions wrote."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.calls.spooling import Spool

IDS = st.lists(st.text("0123456789abcdef", min_size=32, max_size=32), max_size=12, unique=True)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "now" / "one-1.1-00000001.jsonl")


def test_replies_are_lines_of_their_own_file(spool: Spool) -> None:
    with spool:
        spool.begin(["a", "b"])
        spool.reply(b'{"n":1}\n')
        spool.reply(b'{"n":2}')
    assert spool.mend().read_bytes() == b'{"n":1}\n{"n":2}\n'


def test_what_was_begun_is_known_until_it_is_certain_to_be_uncharged(spool: Spool) -> None:
    with spool:
        spool.begin(["a", "b", "c"])
        spool.uncharged("b")
        spool.begin(["d"])
    assert spool.begun() == {"a", "c", "d"}


def test_a_record_goes_on_where_it_ended(spool: Spool) -> None:
    for identity in "ab":
        with spool:
            spool.begin([identity])
    assert Spool(spool.path).begun() == {"a", "b"}


def test_nothing_is_known_where_no_record_was_kept(spool: Spool) -> None:
    assert spool.begun() is None
    spool.path.parent.mkdir()
    spool.path.write_bytes(b'{"n":1}\n')  # a version that kept none
    assert spool.begun() is None
    with spool:
        pass
    assert spool.begun() == set()


def test_there_is_no_reply_without_a_record(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash while the spool is opened must not look like a spool of a version that kept no record."""
    opened: list[str] = []
    real = Path.open

    def watched(path: Path, *given: object, **more: object) -> object:
        opened.append(path.suffix)
        return real(path, *given, **more)  # type: ignore[call-overload]  # as it was called

    monkeypatch.setattr(Path, "open", watched)
    with spool:
        pass
    assert opened == [".begun", ".jsonl"]


@pytest.mark.parametrize(
    ("record", "known"),
    [(b"", set()), (b"+a\n+b", {"a"}), (b"+a\n-a", {"a"}), (b"+a\n-a\n", set()), (b"+a\n+\xff\xff", {"a"})],
)
def test_a_line_that_was_cut_off_says_nothing(spool: Spool, record: bytes, known: set[str]) -> None:
    """A beginning that is not on disk whole was not waited for; an end that is not may not be believed."""
    with spool:
        pass
    spool.path.with_suffix(".begun").write_bytes(record)
    assert spool.begun() == known


@pytest.mark.parametrize(
    ("left", "whole"), [(b'{"n":1}\n{"n', b'{"n":1}\n'), (b'{"n":1}\n', b'{"n":1}\n'), (b"{", b"")]
)
def test_a_reply_that_was_cut_off_is_none(spool: Spool, left: bytes, whole: bytes) -> None:
    with spool:
        pass
    spool.path.write_bytes(left)
    assert spool.mend().read_bytes() == whole


def test_a_spool_that_was_never_written_mends_to_nothing(spool: Spool) -> None:
    assert spool.mend().read_bytes() == b""
    spool.remove()
    spool.remove()
    assert list(spool.path.parent.iterdir()) == []


def test_every_line_is_waited_for(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    with spool:
        assert len(synced) == 1  # the folder: the names are there
        spool.begin(["a", "b", "c"])
        assert len(synced) == 2  # once for all that begin together
        spool.reply(b"{}")
        spool.uncharged("b")
        assert len(synced) == 4


def test_only_the_owner_reads_it(spool: Spool) -> None:
    with spool:
        assert spool.path.parent.stat().st_mode & 0o777 == 0o700


def test_several_threads_write_whole_lines(spool: Spool) -> None:
    def one(number: int) -> None:
        for n in range(20):
            spool.begin([f"{number}.{n}"])
            spool.reply(b"%d" % number * 50)

    with spool:
        threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert spool.begun() == {f"{number}.{n}" for number in range(4) for n in range(20)}
    assert set(spool.mend().read_bytes().splitlines()) == {b"%d" % n * 50 for n in range(4)}


@given(begun=IDS, over=st.sets(st.integers(0, 11)), cut=st.integers(0, 500))
def test_a_crash_anywhere_forgets_no_call_that_was_waited_for(
    begun: list[str], over: set[int], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool") / "s.jsonl")
    with spool:
        spool.begin(begun)
        for n in over & set(range(len(begun))):
            spool.uncharged(begun[n])
    path = spool.path.with_suffix(".begun")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - cut])
    kept = whole[: len(whole) - cut].decode().rpartition("\n")[0].splitlines()
    known = {line[1:] for line in kept if line[0] == "+"} - {line[1:] for line in kept if line[0] == "-"}
    assert spool.begun() == known
