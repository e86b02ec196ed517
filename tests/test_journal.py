"""The journal: numbers that nobody can take twice, segments that change nothing, and damage that is noticed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chimera_batch.errors import InputError, NotFinished, StoreConflict
from chimera_batch.history.journal import FORMAT, FORMAT_KEY, SEGMENT, Journal, event_key, segment_key
from tests.support import Clock, Flaky, Lagging, MemoryStore


def journal(store: Any, owner: str = "me") -> Journal:
    return Journal(store, owner=owner, clock=Clock())


def filled(store: MemoryStore, events: int) -> Journal:
    writer = journal(store)
    for number in range(events):
        assert writer.append({"type": "x", "i": number}) is not None
    return writer


def read(store: Any) -> list[dict[str, Any]]:
    return list(journal(store).refresh())


# -- numbers


def test_events_are_numbered_from_one() -> None:
    store = MemoryStore()
    filled(store, 3)
    assert list(store.list("journal/")) == [event_key(n) for n in (1, 2, 3)]
    assert event_key(1) == "journal/000000000001.json"
    assert [event["n"] for event in read(store)] == [1, 2, 3]


def test_an_event_says_when_who_and_what() -> None:
    store = MemoryStore()
    written = journal(store, "host:boot:1:2").append({"type": "x", "text": "\u2028ü"})
    assert written is not None
    assert written == read(store)[0]
    token = written.pop("token")
    assert len(token) == 16
    assert written == {"n": 1, "at": Clock().now, "by": "host:boot:1:2", "type": "x", "text": "\u2028ü"}
    assert b"\n" not in store.objects[event_key(1)]


def test_equal_payloads_are_different_events() -> None:
    store = MemoryStore()
    writer = journal(store)
    one, two = writer.append({"type": "x"}), writer.append({"type": "x"})
    assert one is not None and two is not None
    assert one["token"] != two["token"]


def test_the_loser_of_a_number_reads_on_and_writes_the_next() -> None:
    store = MemoryStore()
    winner, loser = journal(store, "winner"), journal(store, "loser")
    assert winner.append({"type": "x"}) is not None
    assert loser.append({"type": "y"}) is None
    assert loser.append({"type": "y"}) is None  # as long as it has not read on
    assert [event["by"] for event in loser.refresh()] == ["winner"]
    event = loser.append({"type": "y"})
    assert event is not None and event["n"] == 2
    assert [event["type"] for event in read(store)] == ["x", "y"]


def test_refresh_gives_each_event_once() -> None:
    store = MemoryStore()
    writer, reader = journal(store), journal(store)
    assert list(reader.refresh()) == []
    writer.append({"type": "x"})
    assert len(list(reader.refresh())) == 1
    assert list(reader.refresh()) == []
    assert list(writer.refresh()) == []  # what it wrote itself it knows


# -- segments


@pytest.mark.parametrize("events", [SEGMENT - 1, SEGMENT, SEGMENT + 3, 2 * SEGMENT + 1])
def test_segments_give_the_same_events_as_reading_all(events: int) -> None:
    store, bare = MemoryStore(), MemoryStore()
    filled(store, events)
    bare.objects = {key: data for key, data in store.objects.items() if not key.startswith("segments/")}
    assert len(list(store.list("segments/"))) == events // SEGMENT
    assert read(store) == read(bare)
    assert len(read(store)) == events


def test_segments_keep_reading_short() -> None:
    assert SEGMENT == 256
    store = MemoryStore()
    filled(store, 2 * SEGMENT + 5)
    before = store.reads
    read(store)
    assert store.reads - before <= 2 + 5 + 1  # the segments, the tail, and the number that is not there


def test_a_reader_of_a_segment_can_write_the_next_one() -> None:
    store = MemoryStore()
    filled(store, SEGMENT + 1)
    second = journal(store, "second")
    assert len(list(second.refresh())) == SEGMENT + 1
    for _ in range(SEGMENT - 1):
        assert second.append({"type": "y"}) is not None
    lines = store.objects[segment_key(2 * SEGMENT)].splitlines()
    assert [json.loads(line)["n"] for line in lines] == list(range(SEGMENT + 1, 2 * SEGMENT + 1))


def test_a_missing_segment_is_read_event_by_event() -> None:
    store = MemoryStore()
    filled(store, 3 * SEGMENT + 1)
    whole = read(store)
    for number in (1, 2):
        store.delete([segment_key(number * SEGMENT)])
        assert read(store) == whole
    before = store.reads
    read(store)
    assert store.reads - before <= 2 * SEGMENT + 1 + 1 + 1  # the third segment is still one read


@pytest.mark.parametrize("deleted", [(1,), (2,), (1, 2, 3)])
def test_a_deleted_segment_that_is_still_listed_is_read_event_by_event(deleted: tuple[int, ...]) -> None:
    store = MemoryStore()
    filled(store, 3 * SEGMENT + 1)
    whole, lagging = read(store), Lagging(store)
    lagging.delete([segment_key(number * SEGMENT) for number in deleted])
    assert len(list(lagging.list("segments/"))) == 3
    assert read(lagging) == whole


def test_a_long_reader_takes_segments_too() -> None:
    store = MemoryStore()
    reader = journal(store)
    assert list(reader.refresh()) == []
    filled(store, 2 * SEGMENT + 3)
    before = store.reads
    assert len(list(reader.refresh())) == 2 * SEGMENT + 3
    assert store.reads - before <= 2 + 3 + 1


def test_a_segment_that_cannot_be_written_takes_no_event_back() -> None:
    store = MemoryStore()
    flaky = Flaky(store, NotFinished("away"), at=SEGMENT + 1, after=False)
    writer = filled(flaky, SEGMENT)
    assert flaky.creates == SEGMENT + 1
    assert list(store.list("segments/")) == []
    assert writer.position == SEGMENT == len(read(store))
    assert writer.append({"type": "x"}) is not None


# -- failures


@pytest.mark.parametrize("after", [False, True], ids=["not written", "written, reply lost"])
@pytest.mark.parametrize("at", range(1, 6))
def test_a_create_that_fails_once_never_breaks_the_count(at: int, after: bool) -> None:
    store = MemoryStore()
    flaky = Flaky(store, NotFinished("away"), at=at, after=after)
    writer, written = journal(flaky), 0
    for number in range(5):
        while True:
            try:
                list(writer.refresh())
                written += writer.append({"type": "x", "i": number}) is not None
                break
            except NotFinished:
                pass
    events = read(store)
    assert written == 5
    assert [event["n"] for event in events] == list(range(1, len(events) + 1))
    assert len(events) == 5 + after  # a lost reply is read back, never overwritten


def damaged(store: MemoryStore, number: int, data: bytes | None) -> StoreConflict:
    if data is None:
        del store.objects[event_key(number)]
    else:
        store.objects[event_key(number)] = data
    with pytest.raises(StoreConflict) as caught:
        read(store)
    return caught.value


@pytest.mark.parametrize(
    "data",
    [b'{"n":3,"type":"x"}', b'{"type":"x"}', b'{"n":2,"ty', b"", b"[]", b"null", b"\xff", b'{"n":2}', b'{"n":"2"}'],
    ids=["other number", "no number", "cut", "empty", "list", "null", "no text", "no type", "number as text"],
)
def test_an_edited_event_is_an_error_that_names_it(data: bytes) -> None:
    store = MemoryStore()
    filled(store, 3)
    error = damaged(store, 2, data)
    assert event_key(2) in str(error)
    assert "backup" in str(error.hint)


@pytest.mark.parametrize("missing", [1, 2, 4])
def test_a_gap_is_an_error_that_names_it(missing: int) -> None:
    store = MemoryStore()
    filled(store, 5)
    error = damaged(store, missing, None)
    assert event_key(missing) in str(error)
    assert "restore" in str(error.hint)


def test_a_segment_in_place_of_its_events_is_no_gap() -> None:
    store = MemoryStore()
    filled(store, SEGMENT + 2)
    whole = read(store)
    store.delete([event_key(n) for n in range(1, SEGMENT + 1)])
    assert read(store) == whole


def test_a_damaged_segment_is_an_error() -> None:
    store = MemoryStore()
    filled(store, SEGMENT)
    key = segment_key(SEGMENT)
    lines = store.objects[key].splitlines(keepends=True)
    store.objects[key] = b"".join(lines[:5] + lines[6:])
    with pytest.raises(StoreConflict):
        read(store)


def test_an_event_that_comes_while_reading_is_no_gap() -> None:
    """The reader found nothing at n + 1; before it looks further, n + 1 and n + 2 are written."""
    store = MemoryStore()
    writer = filled(store, 1)
    real = store.list

    def late(prefix: str, after: str = "") -> Any:
        if prefix == "journal/" and writer.position < 3:
            writer.append({"type": "x"})
            writer.append({"type": "x"})
        return real(prefix, after)

    store.list = late  # type: ignore[method-assign]
    assert [event["n"] for event in read(store)] == [1, 2, 3]


# -- the format


def test_open_writes_the_format_once() -> None:
    store = MemoryStore()
    assert journal(store).check() is False
    assert store.objects == {}
    journal(store).open()
    journal(store).open()
    assert json.loads(store.objects[FORMAT_KEY]) == FORMAT == {"format": "chimera-batch store", "version": 1}
    assert journal(store).check() is True


def test_a_newer_format_is_refused_with_what_to_type() -> None:
    store = MemoryStore()
    store.create(FORMAT_KEY, json.dumps({**FORMAT, "version": 2}).encode())
    for look in (journal(store).open, journal(store).check):
        with pytest.raises(InputError, match="version 2") as caught:
            look()
        assert caught.value.exit_code == 2
        assert "upgrade" in str(caught.value.hint)


@pytest.mark.parametrize(
    "data",
    [b"{}", b"not json", b'{"format":"parquet","version":1}', b"[]", b'{"format":"chimera-batch store"}', b"\xff"],
)
def test_a_foreign_folder_is_refused_and_left_as_it_is(data: bytes) -> None:
    store = MemoryStore()
    store.create(FORMAT_KEY, data)
    with pytest.raises(InputError, match="not that of a chimera-batch store") as caught:
        journal(store).open()
    assert caught.value.exit_code == 2
    assert store.objects == {FORMAT_KEY: data}


@pytest.mark.parametrize("line", ['{"n":1,"type":"x","a":' + '{"a":' * 100_000, "[" * 100_000, "", "null", "\ud800"])
def test_an_event_that_cannot_be_read_names_its_object(line: str) -> None:
    """The first found by fuzzing: so deep that the reader's recursion ended in a traceback."""
    store = MemoryStore()
    journal(store).append({"type": "x"})
    store.objects["journal/000000000001.json"] = line.encode("utf-8", "surrogatepass")
    with pytest.raises(StoreConflict, match=r"journal/000000000001\.json"):
        read(store)


@pytest.mark.parametrize(
    "changes",
    [
        {"at": "e"},
        {"at": None},
        {"at": -1},
        {"at": 1e300},
        {"at": float("nan")},
        {"by": 7},
        {"token": None},
        {"type": 1},
    ],
)
def test_an_event_without_what_every_event_has_is_damaged(changes: dict[str, object]) -> None:
    event = {"n": 1, "at": 1.5, "by": "me", "token": "00", "type": "later"}
    damaged, whole = MemoryStore(), MemoryStore()
    damaged.create(event_key(1), json.dumps(event | changes).encode())
    with pytest.raises(StoreConflict, match="this is no event") as refused:
        read(damaged)
    assert str(refused.value.where).endswith(event_key(1))
    whole.create(event_key(1), json.dumps(event).encode())
    assert read(whole) == [event]
