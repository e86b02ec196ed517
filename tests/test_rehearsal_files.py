"""The provider's file storage, without HTTP: what is kept, listed, lost and left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chimera_batch.rehearsal import files as files_module
from chimera_batch.rehearsal.files import Files, TooLarge
from tests.rehearsal_kit import Hall

KEYS = {
    *("object", "id", "purpose", "filename", "bytes", "created_at"),
    *("expires_at", "status", "status_details"),
}  # fmt: skip
DAY = 86_400


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "files")


def keep(files: Files, name: str = "a.jsonl", data: bytes = b"x", **more: Any) -> str:
    kept = files.keep(files.write([data], 1000), name=name, **({"purpose": "batch"} | more))
    return str(kept["id"])


def on_disk(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "files").iterdir()}


def test_a_kept_file_is_told_and_read(files: Files) -> None:
    kept = files.keep(files.write([b"ab", b"", b"cd"], 4), name="ü.jsonl", purpose="batch", expires=60)
    assert set(kept) == KEYS
    assert (kept["object"], kept["bytes"], kept["filename"], kept["status"]) == ("file", 4, "ü.jsonl", "processed")
    assert kept["expires_at"] == kept["created_at"] + 60
    assert files.told(kept["id"]) == kept
    path = files.path(kept["id"])
    assert path is not None and path.read_bytes() == b"abcd"


def test_what_never_expires_says_null(files: Files) -> None:
    assert files.told(keep(files)) is not None
    assert (files.told(keep(files)) or {})["expires_at"] is None


@given(st.lists(st.binary(max_size=20), max_size=6), st.integers(0, 60))
def test_bytes_are_counted_over_all_chunks(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes], most: int
) -> None:
    folder = tmp_path_factory.mktemp("f")
    files, whole = Files(folder), b"".join(chunks)
    if len(whole) > most:
        with pytest.raises(TooLarge, match=r"^File is too large\.$"):
            files.write(chunks, most)
        assert list(folder.iterdir()) == []
    else:
        assert files.write(chunks, most).read_bytes() == whole


@pytest.mark.parametrize("error", [ConnectionError("gone"), KeyboardInterrupt(), ValueError("bad form")])
def test_an_upload_that_breaks_off_leaves_nothing(files: Files, tmp_path: Path, error: BaseException) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise error

    with pytest.raises(type(error)):
        files.write(chunks(), 100)
    assert on_disk(tmp_path) == set()


def test_a_draft_is_no_file_until_it_is_kept(files: Files, tmp_path: Path) -> None:
    draft = files.write([b"x"], 1)
    assert files.all(purpose=None) == []
    assert draft.name.startswith("."), "swept at the next start"
    ident = files.keep(draft, name="n", purpose="p")["id"]
    assert on_disk(tmp_path) == {ident, f"{ident}.json"}


def test_lists_are_ordered_by_creation_within_one_second(files: Files) -> None:
    ids = [keep(files, name=str(n)) for n in range(12)]
    assert [one["id"] for one in files.all(purpose=None)] == ids[::-1]
    assert [one["id"] for one in files.all(purpose=None, newest_first=False)] == ids
    assert all(set(one) == KEYS for one in files.all(purpose=None)), "the order itself is not shown"


def test_order_survives_deletions_and_restarts(files: Files, tmp_path: Path) -> None:
    ids = [keep(files) for _ in range(4)]
    files.delete(ids.pop(1))
    files.delete(ids.pop())
    ids.append(keep(files))
    again = Files(tmp_path / "files")
    ids.append(keep(again))
    assert [one["id"] for one in again.all(purpose=None, newest_first=False)] == ids


@pytest.mark.parametrize("purpose, count", [(None, 3), ("batch", 2), ("batch_output", 1), ("other", 0)])
def test_lists_by_purpose(files: Files, purpose: str | None, count: int) -> None:
    for told in ("batch", "batch_output", "batch"):
        keep(files, purpose=told)
    assert len(files.all(purpose=purpose)) == count


def test_a_deleted_file_is_gone_for_everybody(files: Files, tmp_path: Path) -> None:
    ident = keep(files)
    assert files.delete(ident)
    assert not files.delete(ident)
    assert (files.path(ident), files.told(ident), files.all(purpose=None)) == (None, None, [])
    assert on_disk(tmp_path) == set()
    assert Files(tmp_path / "files").told(ident) is None


@pytest.mark.parametrize("ident", ["file-none", "", "../lock", "file-x.json"])
def test_an_unknown_file_is_not_there(files: Files, ident: str) -> None:
    keep(files)
    assert (files.path(ident), files.told(ident), files.delete(ident)) == (None, None, False)


def test_a_file_made_again_under_its_id_replaces_the_first(files: Files, tmp_path: Path) -> None:
    """An execution that is repeated after a crash leaves no second file."""
    first = keep(files, data=b"half", ident="file-o1", purpose="batch_output")
    second = keep(files, data=b"whole", ident="file-o1", purpose="batch_output")
    assert first == second == "file-o1"
    assert on_disk(tmp_path) == {"file-o1", "file-o1.json"}
    path = files.path("file-o1")
    assert path is not None and path.read_bytes() == b"whole"
    assert (files.told("file-o1") or {})["bytes"] == 5


def test_everything_told_survives_a_restart(files: Files, tmp_path: Path) -> None:
    ids = [keep(files, name=f"{n}.jsonl", data=b"x" * n, expires=n or None) for n in range(3)]
    again = Files(tmp_path / "files")
    for ident in ids:
        assert again.told(ident) == files.told(ident)


def test_what_is_told_cannot_be_changed_from_outside(files: Files) -> None:
    ident = keep(files)
    (files.told(ident) or {})["bytes"] = 99
    files.all(purpose=None)[0]["filename"] = "changed"
    assert (files.told(ident) or {})["bytes"] == 1
    assert (files.told(ident) or {})["filename"] == "a.jsonl"


def test_files_of_many_threads_all_arrive_in_an_order(files: Files) -> None:
    def work() -> None:
        for _ in range(5):
            keep(files)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = files.all(purpose=None)
    assert len({one["id"] for one in told}) == 20
    assert files.all(purpose=None, newest_first=False) == told[::-1]


def test_a_crash_between_bytes_and_record_leaves_no_listed_file(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(path: Path, value: Any) -> None:
        raise OSError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(files_module, "write_json", crash)
        with pytest.raises(OSError, match="power cut"):
            keep(files)
    assert files.all(purpose=None) == []
    assert Files(tmp_path / "files").all(purpose=None) == []


# Through the routes


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    with Hall(tmp_path_factory.mktemp("hall"), max_bytes=1000) as opened:
        yield opened


Parts = list[tuple[str, str | None, bytes]]


def post(hall: Hall, parts: Parts) -> tuple[int, dict[str, Any]]:
    body = b""
    for name, file, data in parts:
        shown = f'; filename="{file}"' if file is not None else ""
        body += f'--B\r\nContent-Disposition: form-data; name="{name}"{shown}\r\n\r\n'.encode() + data + b"\r\n"
    kind = "multipart/form-data; boundary=B"
    told = hall.raw("POST", "/v1/files", body + b"--B--\r\n", authorization="Bearer x", content_type=kind)
    return told[0], orjson.loads(told[2])


FILE: Parts = [("file", "a.jsonl", b"{}\n")]
BATCH: Parts = [("purpose", None, b"batch")]


@pytest.mark.parametrize("parts", [FILE + BATCH, BATCH + FILE, [*BATCH, ("more", None, b"x"), *FILE]])
def test_fields_come_in_any_order(hall: Hall, parts: Parts) -> None:
    status, told = post(hall, parts)
    assert (status, told["purpose"], told["bytes"], told["filename"]) == (200, "batch", 3, "a.jsonl")
    assert told["expires_at"] == told["created_at"] + 30 * DAY


@pytest.mark.parametrize("seconds, status", [(b"3600", 200), (b"2592000", 200), (b"3599", 400), (b"2592001", 400)])
def test_an_expiry_is_between_an_hour_and_thirty_days(hall: Hall, seconds: bytes, status: int) -> None:
    found, told = post(hall, [*FILE, *BATCH, ("expires_after[seconds]", None, seconds)])
    assert found == status
    if status == 200:
        assert told["expires_at"] == told["created_at"] + int(seconds)
    else:
        assert told["error"]["param"] == "expires_after[seconds]"


@pytest.mark.parametrize(
    "parts, message",
    [
        (FILE, "Missing required parameter: 'purpose'"),
        (BATCH, "Missing required parameter: 'file'"),
        ([("file", None, b"{}"), *BATCH], "Missing required parameter: 'file'"),
        ([("file", "a.json", b"{}"), *BATCH], "Invalid file format for Batch API"),
        ([("file", "a.jsonl", b"x" * 1001), *BATCH], "File is too large."),
        ([*FILE, ("purpose", None, b"\xff\xfe")], "can't decode"),
        ([*FILE, ("purpose", None, b"")], "Missing required parameter: 'purpose'"),
        ([*FILE, *BATCH, ("expires_after[seconds]", None, b"soon")], "Invalid 'expires_after[seconds]'"),
        ([*FILE, *BATCH, ("expires_after[seconds]", None, "²".encode())], "Invalid 'expires_after[seconds]'"),
        ([*FILE, *BATCH, ("expires_after[seconds]", None, b"9" * 5000)], "Invalid 'expires_after[seconds]'"),
    ],
)
def test_a_refused_upload_says_why_and_leaves_no_bytes(hall: Hall, parts: Parts, message: str) -> None:
    before = sorted((hall.state / "files").iterdir())
    status, told = post(hall, parts)
    assert (status, told["error"]["type"]) == (400, "invalid_request_error")
    assert message in told["error"]["message"]
    assert sorted((hall.state / "files").iterdir()) == before


def test_of_two_files_in_one_form_one_is_kept(hall: Hall) -> None:
    before = len(list((hall.state / "files").iterdir()))
    status, told = post(hall, [("file", "a.jsonl", b"1"), ("file", "b.jsonl", b"22"), *BATCH])
    assert (status, told["filename"], told["bytes"]) == (200, "b.jsonl", 2)
    assert len(list((hall.state / "files").iterdir())) == before + 2


@settings(max_examples=15, deadline=None)
@given(data=st.binary(max_size=300), name=st.text("ab é.", min_size=1, max_size=8))
def test_any_bytes_come_back_as_they_were_sent(hall: Hall, data: bytes, name: str) -> None:
    if b"\r\n--B" in b"\r\n" + data:
        return
    status, told = post(hall, [("file", f"{name}.jsonl", data), *BATCH])
    assert (status, told["bytes"]) == (200, len(data))
    path = hall.desk.files.path(told["id"])
    assert path is not None and path.read_bytes() == data
