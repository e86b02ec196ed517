"""Keys, prefixes, and where a listing is taken up again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.stores.keys import MAX_KEY, MAX_SEGMENT, check_key, check_prefix, is_key, is_segment, resume_point
from chimera_batch.stores.local import _may_hold

segments = st.text(alphabet="ab-./0=@_Z", min_size=1, max_size=4).filter(is_segment)
keys = st.lists(segments, min_size=1, max_size=4).map("/".join)
texts = st.text(alphabet="ab-./0=@_Z", max_size=8)


@given(keys)
def test_every_start_of_a_key_is_a_prefix(key: str) -> None:
    assert check_key(key) == key
    for end in range(len(key) + 1):
        assert check_prefix(key[:end]) == key[:end]


@given(st.text(max_size=12))
def test_no_key_leaves_the_store(text: str) -> None:
    if is_key(text):
        assert not text.startswith("/")
        assert not {"", ".", "..", ".part"} & set(text.split("/"))
        assert text.isascii()
        assert text.isprintable()
        assert " " not in text
    else:
        with pytest.raises(ValueError, match="not a store key"):
            check_key(text)


def test_lengths_are_bounded() -> None:
    assert is_key("x" * MAX_SEGMENT)
    assert not is_key("x" * (MAX_SEGMENT + 1))
    longest = "/".join(["x" * 100] * 6) + "/" + "y" * (MAX_KEY - 606)
    assert len(longest) == MAX_KEY
    assert is_key(longest)
    assert not is_key(longest + "y")


def as_s3(key: str) -> object:
    return key


def as_folders(key: str) -> object:
    return key.split("/")


def listing(held: list[str], start: str, by_folder: bool) -> list[str]:
    """What a server gives after ``start``: by character as AWS does it, or as SeaweedFS walks its folders."""
    if not by_folder:
        return sorted(key for key in held if key > start)
    if not start:
        return sorted(held, key=as_folders)
    at = start.split("/")
    # A folder whose name is asked for is passed over with all that is in it.
    return sorted((key for key in held if key.split("/")[: len(at)] > at), key=as_folders)


@given(st.sets(keys, max_size=12), texts, texts | keys, st.booleans())
def test_no_key_is_lost_when_a_listing_goes_on(held: set[str], prefix: str, after: str, by_folder: bool) -> None:
    wanted = {key for key in held if key.startswith(prefix) and key > after}
    start = resume_point(prefix, after)
    if start is None:
        assert not wanted
    else:
        assert wanted <= set(listing([key for key in held if key.startswith(prefix)], start, by_folder))


@given(st.sets(keys, min_size=1, max_size=8), st.data())
def test_no_key_is_lost_when_it_goes_on_after_one_of_them(held: set[str], data: st.DataObject) -> None:
    after = data.draw(st.sampled_from(sorted(held)))
    prefix = after[: data.draw(st.integers(0, len(after)))]
    start = resume_point(prefix, after)
    assert start is not None
    for by_folder in (True, False):
        given_back = listing([key for key in held if key.startswith(prefix)], start, by_folder)
        assert {key for key in held if key.startswith(prefix) and key > after} <= set(given_back)


@pytest.mark.parametrize(
    ("prefix", "after", "point"),
    [
        ("journal/", "journal/00012345.json", "journal/0001234"),  # at most ten events too much
        ("journal/", "journal/1", ""),
        ("journal/", "", ""),
        ("journal/", "a", ""),
        ("journal/", "k", None),
        ("journal/", "journal/", ""),
        ("", "ab/cd", "ab/c"),
        ("", "ab/c", "a"),
        ("", "ab-c", "a"),
        ("", "ab/-", "a"),
        ("", "a/b/c", ""),
        ("a-b/", "a-b/cd.e", "a-b/c"),
    ],
)
def test_the_point_is_close_to_the_key(prefix: str, after: str, point: str | None) -> None:
    assert resume_point(prefix, after) == point


@given(keys, texts, texts | keys)
def test_a_folder_walk_skips_nothing_that_is_wanted(key: str, prefix: str, after: str) -> None:
    if key.startswith(prefix) and key > after:
        parts = key.split("/")
        for depth in range(1, len(parts) + 1):
            assert _may_hold("/".join(parts[:depth]), prefix, after)
