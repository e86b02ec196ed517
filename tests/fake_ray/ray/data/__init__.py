"""A dataset that is worked on when it is read, block by block, in whatever order the fake engine finishes them."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any


class DataContext:
    @staticmethod
    def get_current() -> SimpleNamespace:
        return SimpleNamespace()


class Table:
    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    def to_pylist(self) -> list[dict[str, Any]]:
        return self._rows


class Dataset:
    def __init__(self, rows: list[dict[str, Any]], blocks: int) -> None:
        size = -(-len(rows) // blocks)
        self.blocks = [rows[at : at + size] for at in range(0, len(rows), size)]
        self.work: Callable[[list[list[dict[str, Any]]]], Iterator[list[dict[str, Any]]]] = iter

    def iter_batches(self, *, batch_size: None, batch_format: str, prefetch_batches: int) -> Iterator[Table]:
        assert (batch_size, batch_format, prefetch_batches) == (None, "pyarrow", 0)
        return map(Table, self.work(self.blocks))


def from_items(rows: list[dict[str, Any]], *, override_num_blocks: int) -> Dataset:
    return Dataset(rows, override_num_blocks)
