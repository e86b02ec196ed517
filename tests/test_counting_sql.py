"""The engine's SQL that takes a short way gives what the long way gives, on requests made up at random."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.context import engine_sql
from chimera_batch.pipeline.stage import Source
from chimera_batch.warehouse import Warehouse

pytestmark = pytest.mark.slow

ASKED = {"round": "INTEGER", "position": "BIGINT", "request_id": "VARCHAR", "ceiling": "INTEGER"} | {
    "input_tokens": "INTEGER",
    "input_bound": "INTEGER",
}
PLACED = {"request_id": "VARCHAR", "shard": "VARCHAR", "ceiling": "INTEGER"}
LANDED = {"request_id": "VARCHAR", "shard": "VARCHAR", "attempt": "INTEGER", "outcome": "VARCHAR"}
BEST = """
SELECT * FROM landed
QUALIFY row_number() OVER (
    PARTITION BY request_id ORDER BY outcome = 'ok' DESC, if(outcome = 'ok', attempt, -attempt), shard
) = 1
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with Warehouse(tmp_path_factory.mktemp("sql")) as one:
        yield one


def rows(house: Warehouse, sql: str | Source, **told: Any) -> list[tuple[Any, ...]]:
    source = Source("t", Path("t"), sql) if isinstance(sql, str) else sql
    return list(house.rows(source, told))


def ask(house: Warehouse, ids: list[str], rounds: int = 2) -> None:
    """Ids in the order in which they are asked, in so many rounds."""
    size = -(-len(ids) // rounds)
    house.load("asked", ASKED, [(n // size + 1, n % size, one, 100, 7, 9) for n, one in enumerate(ids)])


@pytest.mark.parametrize("seed", range(4))
def test_what_is_packed_first_is_what_is_packed_in_any_order(house: Warehouse, seed: int) -> None:
    chance = random.Random(seed)
    ids = [f"{chance.getrandbits(32):08x}" for _ in range(5_000)]
    ask(house, ids)
    house.load("placed_ids", PLACED, [(one, None, 100) for one in chance.sample(ids, len(ids))])
    assert rows(house, engine_sql("nothing_packed")) == [(True,)]
    sample = sorted(ids)[chance.randrange(50)] if seed else ""
    found = rows(house, engine_sql("todo_whole"), sample=sample)
    assert found == rows(house, engine_sql("todo"), sample=sample, upto="~")
    assert [row[0] for row in found] == list(range(len(ids)))


def test_a_request_that_is_held_or_asked_twice_takes_the_long_way(house: Warehouse) -> None:
    ask(house, ["a", "b", "c"])
    house.load("placed_ids", PLACED, [("a", None, 1), ("b", "s", 1), ("c", None, 1)])
    assert rows(house, engine_sql("nothing_packed")) == [(False,)]
    assert [row[3] for row in rows(house, engine_sql("todo"), sample="", upto="~")] == ["a", "c"]
    ask(house, ["a", "b", "a"])
    house.load("placed_ids", PLACED, [("a", None, 1), ("b", None, 1)])
    assert rows(house, engine_sql("nothing_packed")) == [(False,)]
    assert [row[3] for row in rows(house, engine_sql("todo"), sample="", upto="~")] == ["a", "b"]


@pytest.mark.parametrize("seed", range(6))
def test_the_best_answer_of_whole_shards_is_that_of_all_rows(house: Warehouse, seed: int) -> None:
    """A whole shard has one row of its first attempt for each of its requests; others have any number of them."""
    chance, landed = random.Random(seed), list[tuple[str, str, int, str]]()
    shards = {f"s{n}": [f"{n}-{i}" for i in range(6)] for n in range(6)}
    whole = set(chance.sample(sorted(shards), 3))
    for shard, ids in shards.items():
        for attempt in (1, 2, 3):
            sent = ids if attempt == 1 and shard in whole else chance.choices(ids, k=chance.randrange(5))
            landed += [(one, shard, attempt, chance.choice(["ok", "error", "truncated"])) for one in sent]
    landed = sorted(set({row[:3]: row for row in landed}.values()))
    house.load("landed", LANDED, landed)
    house.load("whole_shards", {"shard": "VARCHAR"}, [(shard,) for shard in whole])
    assert sorted(rows(house, engine_sql("best"))) == sorted(rows(house, BEST))


@pytest.mark.parametrize(
    ("keys", "bad"), [(["a", "b"], 0), (["a", "a", "b", "b"], 2), (["", "a"], 1), (["a", None], 1), ([], 0)]
)
def test_keys_in_order_are_looked_through_once(house: Warehouse, keys: list[str | None], bad: int) -> None:
    house.load("fresh_rows", {"row_key": "VARCHAR"}, [(key,) for key in keys])
    assert rows(house, engine_sql("row_keys_bad")) == [(bad,)]
