"""Hosts that answer at once with lengths of a given distribution, and what they charged."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from chimera_batch.cost import prices
from chimera_batch.records import Intent, Usage
from tests.support import PRICE, PROMPT, SCHEMA, Bench, Clock, FakeHost, answered, bench, write_project

HEAD = "-- Rows.\n"
PRICED = prices.load(None, [f"openai/tiny-1={PRICE}"])
Length = Callable[[str, int], int]
"""(request id, which asking) to the tokens that the answer would have."""


def many(count: int) -> str:
    """A rows query of so many different questions."""
    return f"SELECT 'k' || lpad(i::VARCHAR, 6, '0') AS row_key, 'q' || i AS q FROM range({count}) AS t(i)"


def lognormal(seed: int, mean: float, cv: float) -> Length:
    """Lengths of heavy-tailed answers: a question keeps its length, whenever it is asked."""
    sigma = math.sqrt(math.log(1 + cv * cv))

    def draw(request: str, _asking: int) -> int:
        rng = random.Random(hashlib.sha256(f"{seed}{request}".encode()).digest())
        return max(1, round(rng.lognormvariate(math.log(mean) - sigma * sigma / 2, sigma)))

    return draw


class Answering(FakeHost):
    """Ends every batch at once. Longer answers than the ceiling are truncated there; everything executed is charged."""

    def __init__(self, profile: Any, clock: Clock, length: Length, text: str = "four") -> None:
        super().__init__(profile, clock)
        self.length, self.text = length, text
        self.asked: dict[str, int] = {}
        self.charged = Decimal(0)
        self.price = PRICED.price("openai", "tiny-1", date(2026, 11, 21))

    def create(self, intent: Intent, path: Path, file_id: str | None) -> str:
        batch = super().create(intent, path, file_id)
        self.answer(batch, self._one)
        return batch

    def _one(self, line: Mapping[str, Any]) -> bytes:
        request, ceiling = line["custom_id"].partition("-")[2], line["body"]["max_completion_tokens"]
        self.asked[request] = self.asked.get(request, 0) + 1
        wanted = self.length(request, self.asked[request])
        written = min(wanted, ceiling)
        self.charged += self.price.cost(Usage(10, output_tokens=written), batch=True)
        finish = "stop" if wanted <= ceiling else "length"
        return answered(line["custom_id"], self.text, finish=finish, tokens=(10, written))


def piloted(folder: Path, rows: int, length: Length, *, text: str = "four", **said: Any) -> Bench:
    """A project of one stage over so many rows, at a host that answers at once."""
    files = {"prompts/tiny/one.md": PROMPT, "prompts/tiny/n.json": SCHEMA, "sql/tiny/one_rows.sql": HEAD + many(rows)}
    files |= said.pop("files", {})
    budget = said.pop("budget", None)
    project = write_project(folder, files, **{"max_output_tokens": 20_000, **said})
    profile = project.profiles["openai"]
    return bench(project, host=Answering(profile, Clock(), length, text), budget=budget)
