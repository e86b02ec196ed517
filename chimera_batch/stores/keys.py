"""Which keys a store takes: the same in a folder and in a bucket, so that one can be copied to the other.

Pure. A bad key is a bug of ours, hence ValueError and not an error for people.
"""

from __future__ import annotations

import re

SPOOL = ".part"
"""Where a folder store keeps half-written files; no key may have a segment of this name."""

MAX_SEGMENT = 200  # file systems take 255 bytes a name; the cache puts a digest in front
MAX_KEY = 700  # S3 takes 1,024 bytes, the store's prefix included

_SEGMENT = re.compile(r"[A-Za-z0-9._@=-]+")


def is_segment(text: str) -> bool:
    """Whether ``text`` may stand between two slashes of a key."""
    return _SEGMENT.fullmatch(text) is not None and text not in {".", "..", SPOOL} and len(text) <= MAX_SEGMENT


def is_key(text: str) -> bool:
    """Whether ``text`` is a key: segments of ``[A-Za-z0-9._@=-]`` joined by ``/``, none of them ``.`` or ``..``."""
    return len(text) <= MAX_KEY and all(is_segment(segment) for segment in text.split("/"))


def check_key(key: str) -> str:
    """The key itself. Raises ValueError for anything that could leave the store or that another store would refuse."""
    if not is_key(key):
        raise ValueError(f"not a store key: {key!r}")
    return key


def check_prefix(prefix: str) -> str:
    """The start of a key: it may end in mid-segment or be empty. Raises ValueError where no key can start so."""
    folder, _, rest = prefix.rpartition("/")
    fits = (not rest or _SEGMENT.fullmatch(rest)) and (is_key(folder) if "/" in prefix else True)
    if not fits:
        raise ValueError(f"not the start of a store key: {prefix!r}")
    return prefix


def resume_point(prefix: str, after: str) -> str | None:
    """From where a server has to list ``prefix`` so that no key after ``after`` is lost; None: there can be none.

    S3 lists by character, but a server that keeps folders (SeaweedFS) lists folder by folder: "a/1" before "a-",
    although "-" sorts before "/"; and asked to go on after "a" it passes over the folder "a". So the point is cut
    before the first character that sorts before the slash, and one character earlier, where no wanted folder's name
    can end. What comes back too much is filtered by the caller.
    """
    if not after.startswith(prefix):
        return "" if after < prefix else None
    rest = re.split(r"[^/-~]", after[len(prefix) :], maxsplit=1)[0].rstrip("/")[:-1]
    while rest.endswith("/"):
        rest = rest[:-2]
    return prefix + rest if rest else ""
