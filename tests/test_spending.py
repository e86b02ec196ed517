"""Where the money went: in ``status``, and in the tables that ``query`` offers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chimera_batch import runner
from chimera_batch.records import Usage
from chimera_batch.verbs import quoted, shelves, spending, statusing
from tests.pilot_kit import Answering, lognormal, piloted
from tests.support import Bench, answered, bench, failed, write_project

SAME = lognormal(3, 300, 0.8)
Ask = Callable[[str], list[tuple[Any, ...]]]


@contextmanager
def tables(one: Bench) -> Iterator[Ask]:
    with shelves.shelves(one.ctx) as query:
        yield lambda sql: list(query.query(sql))


@contextmanager
def named(one: Bench, name: str) -> Iterator[list[dict[str, Any]]]:
    with shelves.shelves(one.ctx) as query:
        found = query.query(shelves.named_query(one.ctx, name))
        yield [dict(zip(found.columns, row, strict=True)) for row in found]


def money(one: Bench, stage: int = 0) -> dict[str, Any]:
    return dict(statusing.status(one.ctx)["stages"][stage])


def usd(*tokens: tuple[int, int]) -> Decimal:
    """What the kit's model charges for batch answers of so many (input, output) tokens."""
    return sum((Decimal(a + 4 * b) / 1_000_000 for a, b in tokens), Decimal(0))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Eight requests: one truncated and asked again, one refused with usage, one failed for nothing, five answered."""
    rows = "-- Rows.\nSELECT 'k' || i AS row_key, 'q' || i AS q FROM range(8) AS t(i)"
    stage = ", breaker: 0, retry: {truncated: {times: 1, ceiling: 2x}, error: 0}"
    folder = tmp_path_factory.mktemp("mixed")
    one = bench(write_project(folder, {"sql/tiny/one_rows.sql": rows}, stage=stage))
    runner.advance(one.ctx)
    numbers = iter(range(8))

    def first(line: dict[str, Any]) -> bytes:
        number = next(numbers)
        if number == 0:
            return answered(line["custom_id"], finish="length", tokens=(10, 100))
        if number == 1:
            return answered(line["custom_id"], finish="content_filter", tokens=(10, 7))
        return failed(line["custom_id"]) if number == 2 else answered(line["custom_id"], tokens=(10, 20))

    one.host.answer("batch-1", first)
    runner.advance(one.ctx)
    one.host.answer("batch-2", lambda line: answered(line["custom_id"], tokens=(10, 150)))
    assert runner.advance(one.ctx).done
    return one


BILL = usd((10, 100), (10, 7), *[(10, 20)] * 5, (10, 150))
WASTED = usd((10, 100), (10, 7))


def test_what_bought_nothing_is_told_by_outcome(mixed: Bench) -> None:
    stage = money(mixed)
    assert stage["usd_spent"] == pytest.approx(float(BILL))
    assert stage["usd_wasted"] == pytest.approx(float(WASTED))
    assert stage["tokens_wasted"] == 127
    assert stage["wasted"] == {
        "refused": {"requests": 1, "tokens": 17, "usd": pytest.approx(0.000038)},
        "truncated": {"requests": 1, "tokens": 110, "usd": pytest.approx(0.00041)},
    }  # the one that failed cost nothing
    assert stage["outcomes"] == {"error": 1, "ok": 6, "refused": 1}


def test_costs_tell_first_askings_from_further_ones(mixed: Bench) -> None:
    with tables(mixed) as ask:
        found = ask("SELECT outcome, again, within, requests, output_tokens, usd FROM costs ORDER BY ALL")
        assert found == [
            ("error", False, "24h", 1, 0, Decimal(0)),
            ("ok", False, "24h", 5, 100, usd(*[(10, 20)] * 5)),
            ("ok", True, "24h", 1, 150, usd((10, 150))),
            ("refused", False, "24h", 1, 7, usd((10, 7))),
            ("truncated", False, "24h", 1, 100, usd((10, 100))),
        ]
        assert ask("SELECT sum(usd) FROM costs") == ask("SELECT sum(usd) FROM batches") == [(BILL,)]
        assert ask("SELECT usd_spent, rows_kept FROM stages") == [(BILL, 6)]


def test_waste_and_costs_add_up(mixed: Bench) -> None:
    with named(mixed, "waste") as found:
        assert [(row["stage"], row["reason"], row["usd"]) for row in found] == [
            ("one", "truncated", usd((10, 100))),
            ("one", "refused", usd((10, 7))),
            ("one", "error", Decimal(0)),
            ("all", None, WASTED),
        ]
    with named(mixed, "costs") as found:
        assert [(row["stage"], row["usd"], row["usd_for_nothing"], row["rows_kept"]) for row in found] == [
            ("one", BILL, WASTED, 6),
            ("all", BILL, WASTED, 6),
        ]
        assert found[0]["usd_per_kept_row"] == pytest.approx(float(BILL / 6), abs=1e-9)


def test_a_run_that_has_not_begun_has_tables_and_a_status(tmp_path: Path) -> None:
    one = bench(write_project(tmp_path))
    stage = money(one)
    assert (stage["quoted"], stage["rows_kept"], stage["usd_per_kept_row"]) == (None, None, None)
    assert (stage["usd_wasted"], stage["tokens_wasted"], stage["wasted"]) == (0, 0, {})
    with tables(one) as ask:
        assert ask("SELECT count(*) FROM costs") == ask("SELECT count(*) FROM quotes") == [(0,)]
        assert ask("SELECT place, stage, usd_spent, quoted_likely FROM stages") == [(1, "one", 0, None)]
    for name in ("costs", "waste"):
        with named(one, name) as found:
            assert [row["stage"] for row in found] == ["all"]


# -- rows that were worth it

LATER = {
    "sql/tiny/one.sql": "-- All.\n-- reads: answers\nSELECT row_key FROM answers WHERE outcome = 'ok'",
    "sql/tiny/less.sql": "-- Some.\n-- reads: one\nSELECT row_key FROM one WHERE row_key < 'k000020'",
    "sql/tiny/two_rows.sql": "-- Rows.\n-- reads: less\nSELECT row_key, 'again ' || row_key AS q FROM less",
    "sql/tiny/final.sql": "-- The end.\n-- reads: two\nSELECT row_key FROM two WHERE row_key < 'k000005'",
}
STAGES = (
    ", table: tiny/one.sql}\n  - {name: less, sql: tiny/less.sql}\n"
    "  - {name: two, ask: m, prompt: tiny/one.md, rows: tiny/two_rows.sql}\n  - {name: final, sql: tiny/final.sql"
)


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Fifty rows, of which a free check leaves 20, and what is asked about those 5."""
    one = piloted(tmp_path_factory.mktemp("staged"), 50, SAME, stage=STAGES, files=LATER)
    assert runner.converge(one.ctx).done
    return one


def test_a_kept_row_has_its_price_in_status(staged: Bench) -> None:
    first, less, second, _ = statusing.status(staged.ctx)["stages"]
    assert (first["rows_kept"], second["rows_kept"]) == (20, 5)  # as far as nobody is asked again
    assert first["usd_per_kept_row"] == pytest.approx(first["usd_spent"] / 20, abs=1e-6)
    assert (less["rows_kept"], less["usd_per_kept_row"]) == (None, None)
    with tables(staged) as ask:
        assert ask("SELECT stage, rows_kept FROM stages WHERE rows_kept IS NOT NULL ORDER BY place") == [
            ("one", 20),
            ("two", 5),
        ]


def test_what_was_rejected_later_is_waste_of_every_stage_that_saw_it(staged: Bench) -> None:
    with tables(staged) as ask:
        fates = ask("SELECT stage, kept, looked_in, count(*) FROM outcomes GROUP BY ALL ORDER BY ALL")
        assert fates == [
            ("one", False, "final", 45),
            ("one", True, "final", 5),
            ("two", False, "final", 15),
            ("two", True, "final", 5),
        ]
        lost = dict(ask("SELECT stage, sum(usd) FROM outcomes WHERE NOT kept GROUP BY stage"))
    with named(staged, "waste") as found:
        assert {row["stage"]: (row["reason"], row["requests"], row["usd"]) for row in found} == {
            "one": ("rejected later", 45, lost["one"]),
            "two": ("rejected later", 15, lost["two"]),
            "all": (None, 60, lost["one"] + lost["two"]),
        }


def test_while_it_goes_on_rows_are_looked_for_as_far_as_it_is(tmp_path: Path) -> None:
    one = piloted(tmp_path, 50, SAME, stage=STAGES, files=LATER)
    runner.converge(one.ctx, until="less")
    with tables(one) as ask:
        assert ask("SELECT kept, looked_in, count(*) FROM outcomes GROUP BY ALL ORDER BY ALL") == [
            (False, "less", 30),
            (True, "less", 20),
        ]


SAMPLED = {
    "sql/tiny/one_rows.sql": "-- Rows.\nSELECT 'k' || i AS row_key, 'q' || i AS q FROM range(4) AS t(i)",
    "sql/tiny/one.sql": "-- All.\n-- reads: answers\nSELECT row_key || if(sample = 1, '', '-' || sample) AS row_key"
    " FROM answers WHERE outcome = 'ok'",
    "sql/tiny/ends.sql": "-- Some.\n-- reads: one\nSELECT row_key FROM one WHERE row_key IN ('k0', 'k0-2', 'k1-2')",
    "sql/tiny/votes.sql": "-- Votes.\n-- reads: one\nSELECT DISTINCT left(row_key, 2) AS row_key FROM one"
    " WHERE left(row_key, 2) = 'k0'",
}


@pytest.mark.parametrize(
    ("last", "kept"),
    [("ends", {("k0", 1), ("k0", 2), ("k1", 2)}), ("votes", {("k0", 1), ("k0", 2)})],
)
def test_further_samples_are_looked_for_as_the_table_names_them(
    tmp_path: Path, last: str, kept: set[tuple[str, int]]
) -> None:
    stage = f", samples: 2, table: tiny/one.sql}}\n  - {{name: {last}, sql: tiny/{last}.sql"
    one = piloted(tmp_path, 4, SAME, stage=stage, files=SAMPLED)
    assert runner.converge(one.ctx).done
    with tables(one) as ask:
        assert set(ask("SELECT row_key, sample FROM outcomes WHERE kept")) == kept
        assert ask("SELECT count(*) FROM outcomes WHERE kept IS NULL") == [(0,)]


def test_rows_under_other_keys_cannot_be_followed(tmp_path: Path) -> None:
    files = {"sql/tiny/one.sql": "-- Other keys.\n-- reads: answers\nSELECT 'x' || row_key AS row_key FROM answers"}
    one = piloted(tmp_path, 5, SAME, stage=", table: tiny/one.sql", files=files)
    assert runner.converge(one.ctx).done
    with tables(one) as ask:
        assert ask("SELECT DISTINCT kept, looked_in FROM outcomes") == [(None, None)]
    with named(one, "waste") as found:
        assert [row["stage"] for row in found] == ["all"]


# -- two hosts


def test_the_same_lines_at_two_hosts_are_told_apart(tmp_path: Path) -> None:
    """A shard is named after its lines, so both hosts have one of the same name."""
    one = piloted(tmp_path, 5, SAME)
    assert runner.converge(one.ctx).done
    assert isinstance(one.host, Answering)
    moved = {"openai": replace(one.ctx.project.profiles["openai"], base_url="https://elsewhere.example/v1")}
    two = replace(one, ctx=replace(one.ctx, told=replace(one.ctx.project, profiles=moved)))
    assert runner.converge(two.ctx).done
    assert len({shard.id for shard, _ in two.pairs}) == 1 and len(two.pairs) == 2
    with tables(two) as ask:
        assert ask("SELECT sum(usd), sum(requests) FROM costs") == [(one.host.charged, 10)]
        assert ask("SELECT count(*), count(DISTINCT realm), sum(usd) FROM outcomes") == [(10, 2, one.host.charged)]


def test_waste_at_two_hosts_is_added_up(tmp_path: Path) -> None:
    one = piloted(
        tmp_path, 5, lambda _request, _asking: 10**6, max_output_tokens=100, stage=", breaker: 0, retry: {truncated: 0}"
    )
    runner.converge(one.ctx)
    before = spending.wasted(one.ctx)["one"]["truncated"]
    moved = {"openai": replace(one.ctx.project.profiles["openai"], base_url="https://elsewhere.example/v1")}
    two = replace(one, ctx=replace(one.ctx, told=replace(one.ctx.project, profiles=moved)))
    runner.converge(two.ctx)
    after = spending.wasted(two.ctx)["one"]["truncated"]
    assert (after.requests, after.tokens, after.usd) == (10, 2 * before.tokens, 2 * before.usd)
    assert isinstance(one.host, Answering)
    assert after.usd == one.host.charged == 10 * one.host.price.cost(Usage(10, output_tokens=100), batch=True)


# -- quotes as tables


def test_quotes_are_a_table_and_stand_beside_the_bill(tmp_path: Path) -> None:
    one = piloted(tmp_path, 50, SAME, stage=", assume: {output_tokens: 300}")
    quoted.at_start(one.ctx, None)
    assert runner.converge(one.ctx).done
    quote = one.ctx.facts.quotes["tiny", "one"][0]
    usd_said = (quote.low, quote.likely, quote.high, quote.ceiling, Decimal(0))
    with tables(one) as ask:
        (row,) = ask("SELECT * FROM quotes")
        assert (row[0], row[2:]) == ("one", (quote.basis, 50, *usd_said))
        assert ask("SELECT quoted_low, quoted_likely, quoted_high FROM stages") == [usd_said[:3]]
        assert ask("SELECT epoch(quoted_at) FROM quotes") == [(pytest.approx(quote.at, abs=1e-3),)]
    with named(one, "costs") as found:
        assert [row["quoted_likely"] for row in found] == [quote.likely, quote.likely]
    stage = money(one)
    assert stage["quoted"] == {
        "low": float(quote.low),
        "likely": float(quote.likely),
        "high": float(quote.high),
        "ceiling": float(quote.ceiling),
        "basis": "counted input, assumed output",
        "requests": 50,
    }


def test_what_is_suspected_stands_apart(tmp_path: Path) -> None:
    """Half of a batch never came: what it may have cost is in no sum of what was billed."""
    one = bench(write_project(tmp_path, stage=", retry: {missing: 0}, breaker: 0"))
    runner.advance(one.ctx)
    numbers = iter(range(3))
    one.host.answer("batch-1", lambda line: answered(line["custom_id"]) if next(numbers) else None)
    runner.advance(one.ctx)
    suspected = one.ctx.facts.suspected("tiny")
    assert suspected > 0
    with tables(one) as ask:
        assert (
            ask("SELECT usd_suspected FROM stages") == ask("SELECT sum(usd_suspected) FROM batches") == [(suspected,)]
        )
    with named(one, "costs") as found:
        assert [(row["usd"], row["usd_suspected"]) for row in found] == [(usd((10, 3), (10, 3)), suspected)] * 2
