from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.rehearsal.multipart import BadForm, Part, boundary_of, events

BOUNDARY = b"xYz"


def form(parts: list[tuple[str, str | None, bytes]]) -> bytes:
    out = b""
    for name, file, content in parts:
        shown = f'; filename="{file}"' if file is not None else ""
        out += (
            b"--"
            + BOUNDARY
            + f'\r\nContent-Disposition: form-data; name="{name}"{shown}\r\n\r\n'.encode()
            + content
            + b"\r\n"
        )
    return out + b"--" + BOUNDARY + b"--\r\n"


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return (data[a:b] for a, b in pairwise(places) if a < b)


def gather(data: bytes, cuts: list[int]) -> list[tuple[str, str | None, bytes]]:
    found: list[tuple[str, str | None, bytes]] = []
    for event in events(pieces(data, cuts), BOUNDARY):
        if isinstance(event, Part):
            found.append((event.name, event.file_name, b""))
        else:
            name, file, content = found[-1]
            found[-1] = (name, file, content + event)
    return found


# Alphabet of the delimiter's own bytes, so that near-misses of the boundary are common.
contents = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from([b"\r", b"\n", b"-", b"x", b"Y", b"--x"]), max_size=40).map(b"".join),
)


@given(
    st.lists(
        st.tuples(st.sampled_from(["file", "purpose"]), st.sampled_from([None, "a.jsonl", "b c.jsonl"]), contents),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.integers(0, 900), max_size=30),
)
def test_any_form_in_any_pieces_comes_out_as_it_went_in(
    parts: list[tuple[str, str | None, bytes]], cuts: list[int]
) -> None:
    parts = [(n, f, c) for n, f, c in parts if b"\r\n--" + BOUNDARY not in b"\r\n" + c]
    if parts:
        assert gather(form(parts), cuts) == parts


@given(st.integers(0, 80))
def test_a_form_that_ends_early_is_refused(length: int) -> None:
    whole = form([("file", "a.jsonl", b"0123456789")])
    with pytest.raises(BadForm):
        gather(whole[:length], [])


def test_nothing_is_held_back_but_a_possible_boundary() -> None:
    def endless() -> Iterator[bytes]:
        yield form([("file", "a.jsonl", b"")]).split(b"\r\n--xYz--")[0]
        while True:
            yield b"z" * 1000

    stream = events(endless(), BOUNDARY)
    assert isinstance(next(stream), Part)
    assert all(len(piece) <= 1100 for piece, _ in zip(stream, range(50), strict=False) if isinstance(piece, bytes))


@pytest.mark.parametrize("quoted, plain", [('a\\"b.jsonl', 'a"b.jsonl'), ("a%22b.jsonl", 'a"b.jsonl')])
def test_quotes_in_file_names(quoted: str, plain: str) -> None:
    assert gather(form([("file", quoted, b"x")]), []) == [("file", plain, b"x")]


@pytest.mark.parametrize("header", ["application/json", "multipart/form-data", ""])
def test_a_content_type_without_a_boundary_is_refused(header: str) -> None:
    with pytest.raises(BadForm):
        boundary_of(header)


def test_the_boundary_may_be_quoted() -> None:
    assert boundary_of('multipart/form-data; boundary="abc def"') == b"abc def"
    assert boundary_of("multipart/form-data; boundary=abc; charset=utf-8") == b"abc"
