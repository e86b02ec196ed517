"""Results landed, timed beside DuckDB alone: ``python -m bench.collect`` from the root of a checkout.

Makes up result files of an OpenAI-style host (``bench._results``): 1,000,000 results of 2 KB as plain text, the same as
objects that a response schema is held against, and 20,000 of 60 KB; one line in a thousand is an error, one is missing,
some are cut in half. Then, each in a process of its own and the two in turn:

- **DuckDB**: ``read_json`` with typed columns into zstd Parquet files with row groups like ours, and nothing else.
- **ours**: ``polling.poll`` of batches that have all ended, as a run does it, into a folder store: the raw bytes
  kept, every line decoded, held against its schema, classified and priced, whatever is no result kept with its place,
  the landed rows as Parquet, the fact in the journal.

Exits 1 where ours takes more than twice DuckDB's wall time or 700 MB, or where a row, a cent or a malformed line is not
what was made up. Both have 2 threads and 512 MB for DuckDB. No network.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from bench import _results
from bench._landing import Landing
from bench._results import Made, Set
from bench.paper_scale import peak

LEAST = 0.5  # of DuckDB's speed
MOST_BYTES = 700_000_000
MEMORY, THREADS = "512MB", 2

_COLUMNS = """{
    custom_id: 'VARCHAR',
    response: 'STRUCT(status_code INTEGER, body STRUCT(
        model VARCHAR,
        service_tier VARCHAR,
        choices STRUCT(message STRUCT(content VARCHAR, refusal VARCHAR), finish_reason VARCHAR)[],
        usage STRUCT(
            prompt_tokens BIGINT,
            completion_tokens BIGINT,
            prompt_tokens_details STRUCT(cached_tokens BIGINT),
            completion_tokens_details STRUCT(reasoning_tokens BIGINT)),
        error STRUCT(code VARCHAR, message VARCHAR)))',
    error: 'STRUCT(code VARCHAR, message VARCHAR)'}"""
_SELECT = """
    SELECT
        custom_id,
        response.status_code AS status,
        response.body.model AS model,
        response.body.service_tier AS tier,
        response.body.choices[1].message.content AS text,
        response.body.choices[1].message.refusal AS refusal,
        response.body.choices[1].finish_reason AS finish,
        response.body.usage.prompt_tokens AS input_tokens,
        response.body.usage.prompt_tokens_details.cached_tokens AS cached_tokens,
        response.body.usage.completion_tokens AS output_tokens,
        response.body.usage.completion_tokens_details.reasoning_tokens AS reasoning_tokens,
        coalesce(error.code, response.body.error.code) AS code,
        coalesce(error.message, response.body.error.message) AS message
    FROM read_json('{file}', format = 'newline_delimited', columns = {columns}, ignore_errors = true)
"""


def sets(requests: int) -> list[Set]:
    """``requests``: of 2 KB; of 60 KB one in fifty. Files as batches are cut: 50,000 lines or 190 MB."""
    long = max(20, requests // 50)
    short_files, long_files = -(-requests // 50_000), -(-long * 60_000 // 190_000_000)
    return [
        Set("plain", requests, 2_048, short_files),
        Set("object", requests, 2_048, short_files, schema=True),
        Set("long", long, 60_000, long_files),
    ]


# -- the measured processes


def timed(work: Iterator[Any]) -> dict[str, Any]:
    """Exhaust it; seconds of the clock and of the processors, and the most memory that this process ever had."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in work:
        pass
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall, "cpu": cpu, "peak": peak()}


def duckdb_alone(made: Sequence[Made], folder: Path) -> dict[str, Any]:
    import duckdb  # noqa: PLC0415 - in this process only

    from chimera_batch.warehouse.ordering import KEPT  # noqa: PLC0415 - likewise

    config = {"memory_limit": MEMORY, "threads": str(THREADS), "temp_directory": str(folder / "spill")}
    connection = duckdb.connect(config=dict(config))

    def work() -> Iterator[None]:
        for one in made:
            select = _SELECT.format(file=one.path, columns=_COLUMNS)
            connection.execute(f"COPY ({select}) TO '{folder / one.path.stem}.parquet' ({KEPT.options})")
            yield

    found = timed(work())
    query = f"SELECT count(*), count(text), count(code) FROM read_parquet('{folder}/*.parquet')"
    rows, ok, errors = connection.execute(query).fetchone() or (0, 0, 0)
    return {**found, "rows": rows, "ok": ok, "errors": errors}


def ours(what: Set, made: Sequence[Made], folder: Path) -> dict[str, Any]:
    landing = Landing(folder, schema=_results.SCHEMA if what.schema else None)
    for one in made:
        landing.sent(one)
    return {**timed(landing.land()), **landing.found()}


# -- the measuring one


def run(who: str, what: Set, made: Sequence[Made], folder: Path) -> dict[str, Any]:
    """What a new process measured."""
    told = {"who": who, "what": asdict(what), "made": [{**asdict(one), "path": str(one.path)} for one in made]}
    with tempfile.TemporaryDirectory(dir=folder, prefix=f"{who}-") as own:
        line = [sys.executable, "-m", "bench.collect", "--child", own]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("CHIMERA_")}
        root = Path(__file__).resolve().parent.parent
        ended = subprocess.run(
            line, input=json.dumps(told).encode(), env=environment, cwd=root, stdout=subprocess.PIPE, check=False
        )
    if ended.returncode:
        raise SystemExit(f"{who} of {what.name} ended with {ended.returncode}")
    return dict(json.loads(ended.stdout.splitlines()[-1]))


def child(folder: Path) -> None:
    told = orjson.loads(sys.stdin.buffer.read())
    what, made = Set(**told["what"]), [Made(**{**one, "path": Path(one["path"])}) for one in told["made"]]
    print(json.dumps(ours(what, made, folder) if told["who"] == "ours" else duckdb_alone(made, folder)))


def flaws(what: Set, made: Sequence[Made], base: dict[str, Any], our: dict[str, Any]) -> list[str]:
    """What falls short; [] is what we want."""
    ok, errors = sum(one.ok for one in made), sum(one.errors for one in made)
    outcomes = {"ok": ok, "error": errors, "missing": what.requests - ok - errors}
    ratio = base["wall"] / our["wall"]
    checks = [
        (ratio >= LEAST, f"at {ratio:.2f} of DuckDB's speed; must be at least {LEAST}"),
        (our["peak"] <= MOST_BYTES, f"needed {our['peak'] / 1e6:.0f} MB; must be at most {MOST_BYTES / 1e6:.0f}"),
        (our["outcomes"] == {name: n for name, n in outcomes.items() if n}, f"{our['outcomes']}, not {outcomes}"),
        (our["joined"] == what.requests, f"{our['joined']} of {what.requests} requests join their answer"),
        (our["billed"] == our["usd"], f"rows come to {our['usd']}, the journal says {our['billed']}"),
        (our["malformed"] == sum(one.malformed for one in made), f"{our['malformed']} malformed lines are kept"),
        (our["misplaced"] == 0, f"{our['misplaced']} malformed lines do not stand where their offset says"),
        ((base["ok"], base["errors"]) == (ok, errors), f"DuckDB found {base['ok']} answers, {base['errors']} errors"),
    ]
    return [f"{what.name}: {said}" for good, said in checks if not good]


def best(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The fastest run (other work only ever slows one down), with the most memory of any."""
    return {**min(runs, key=lambda one: one["wall"]), "peak": max(one["peak"] for one in runs)}


def measure(what: Set, data: Path, rounds: int) -> list[str]:
    """Prints the rows of one set; what falls short."""
    made = _results.make(what, data)
    size = sum(one.path.stat().st_size for one in made)
    pairs = [(run("duckdb", what, made, data), run("ours", what, made, data)) for _ in range(rounds)]
    base, our = best([pair[0] for pair in pairs]), best([pair[1] for pair in pairs])
    for name, one in (("DuckDB alone", base), ("ours", our)):
        each, ratio = 1e6 / what.requests, (base["wall"] / one["wall"], base["cpu"] / one["cpu"])
        cells = [what.name, f"{what.requests:,} of {size / what.requests / 1000:.1f} kB", name]
        cells += [f"{one['wall']:.1f}", f"{one['wall'] * each:.1f}", f"{one['cpu'] * each:.1f}"]
        print("| " + " | ".join([*cells, f"{one['peak'] / 1e6:.0f}", *(f"{r:.2f}" for r in ratio)]) + " |", flush=True)
    return flaws(what, made, base, our)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000_000, help="of 2 KB; of 60 KB one in fifty")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each, in turn; the fastest counts")
    parser.add_argument("--only", help="one set: plain, object or long")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return 0
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| set | results | who | wall s | wall µs each | CPU µs each | peak MB | speed | by CPU |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    short: list[str] = []
    for what in sets(options.requests):
        if options.only in {None, what.name}:
            with tempfile.TemporaryDirectory(prefix="collect-") as data:
                short += measure(what, Path(data), options.rounds)
    print("\n" + ("\n".join(short) or "all of it holds"))
    print(f"load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
