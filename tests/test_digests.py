"""Files told apart."""

from __future__ import annotations

from pathlib import Path

from chimera_batch import digests


def test_two_files_are_alike_to_the_last_byte(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    whole = bytes(range(256)) * 1_200  # more than is read at once
    one.write_bytes(whole)
    for data, same in (
        (whole, True),
        (whole[:-1] + b"\x00", False),
        (b"\x01" + whole[1:], False),
        (whole + b"x", False),
    ):
        other.write_bytes(data)
        assert digests.alike(one, other) is same
