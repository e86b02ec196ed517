"""How fast a run that is done goes on: the command line on a store with a million answered requests.

``python -m bench.converge [--requests N] [--keep DIR]`` makes the store (``bench._million``; minutes at a million) and
times real commands in fresh processes, best of ``--times``: a run with nothing to do, ``status``, ``query @funnel`` and
a run with 100 new rows, which the rehearsal's server answers. Beside each stands what DuckDB alone needs, in the same
form of process, to read, join and count the same files. Exits 1 where a bar is missed; below a million requests it
judges nothing. Peak memory is the process's own, as the kernel counts it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench import _million
from bench._million import Made
from chimera_batch import rehearsal
from chimera_batch.opening import open_run, price_rows

FULL = 1_000_000
NEW_ROWS = 100
BARS = {"run, nothing to do": 5.0, "status": 1.0, "query @funnel": 2.0, "run, 100 new rows": 15.0}  # seconds
_PRELUDE = """
import atexit, sys
def told(path):
    lines = open("/proc/self/status").read().splitlines() if sys.platform == "linux" else []
    open(path, "w").write(next((line.split()[1] for line in lines if line.startswith("VmHWM:")), "0"))
atexit.register(told, sys.argv.pop(1))
"""
COMMAND = _PRELUDE + "from chimera_batch.__main__ import main\nmain()"
ALONE = _PRELUDE + (
    "import duckdb\n"
    "db = duckdb.connect(config={'memory_limit': '512MB', 'threads': '2', 'temp_directory': sys.argv[2]})\n"
    "db.execute(open(sys.argv[1]).read()).fetchall()"
)


@dataclass(frozen=True, slots=True)
class Took:
    """One process: seconds by the clock, seconds of CPU (children included), and KiB at its peak (0: not known)."""

    wall: float
    cpu: float
    peak: int


def process(code: str, words: Sequence[str], environment: Mapping[str, str]) -> Took:
    """Run one process to its end. Raises SystemExit where it fails."""
    with tempfile.TemporaryDirectory(prefix="converge-") as folder:
        peak = Path(folder) / "peak"
        began, before = time.perf_counter(), os.times()
        ended = subprocess.run(
            [sys.executable, "-c", code, str(peak), *words],
            env=dict(environment),
            stdout=subprocess.DEVNULL,
            check=False,
        )
        wall, after = time.perf_counter() - began, os.times()
        if ended.returncode:
            raise SystemExit(f"{' '.join(words)} ended with {ended.returncode}")
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return Took(wall, cpu, int(peak.read_text()))


def best(tries: Sequence[Took]) -> Took:
    return min(tries, key=lambda took: took.wall)


def measure(made: Made, times: int) -> dict[str, Took]:
    """Every command of the table, with the server that a rehearsal talks to up already, as a real host would be."""
    environment = made.environment()
    words = [str(made.manifest), "--rehearse"]
    found: dict[str, Took] = {}
    with closing(_server(made)) as server:
        environment["CHIMERA_REHEARSAL_URL"] = server.url
        process(COMMAND, ["run", *words], environment)  # bytecode and caches are there, as after any earlier command
        calm = {
            "run, nothing to do": ["run", *words],
            "status": ["status", *words],
            "query @funnel": ["query", "@funnel", "-m", *words],
        }
        for name, line in calm.items():
            found[name] = best([process(COMMAND, line, environment) for _ in range(times)])
        new = []
        for _ in range(times):
            made.more(NEW_ROWS)
            new.append(process(COMMAND, ["run", *words], environment))
        found["run, 100 new rows"] = best(new)
    return found


def _server(made: Made) -> rehearsal.Running:
    with open_run(made.manifest, _million.options()) as ctx:
        prices = price_rows(ctx.project, ctx.prices)
    return rehearsal.start(made.manifest.parent / "server", speed=1e6, settings={"prices": prices})


# -- DuckDB alone, on the same files


def alone(made: Made, times: int) -> dict[str, Took]:
    """What DuckDB needs to do the same reading, joining and counting, without knowing anything else."""
    with tempfile.TemporaryDirectory(prefix="converge-") as folder:
        found = {}
        for name, sql in statements(made, Path(folder)).items():
            path = Path(folder) / "statement.sql"
            path.write_text(sql, "utf-8")
            words = [str(path), str(Path(folder) / "spill")]
            found[name] = best([process(ALONE, words, made.environment()) for _ in range(times)])
        return found


def statements(made: Made, folder: Path) -> dict[str, str]:
    """By what they are held against: SQL over the files that the ledger names."""
    with open_run(made.manifest, _million.options()) as ctx:
        asked = [ctx.store.fetch(key) for one in ctx.facts.asked[ctx.run, "drafts"].values() for key in one.keys]
        answers = [
            ctx.store.fetch(key)
            for _, one in ctx.facts.attempts(ctx.run)
            if one.stage == "drafts"
            for key in one.answers
        ]
        tables = {name: ctx.store.fetch(table.key) for (_, name), table in ctx.facts.tables.items()}
    joined = (
        f"FROM (SELECT * FROM {_files(asked)}) AS a LEFT JOIN (SELECT request_id, arg_max(outcome, attempt) AS outcome,"
        f" %s FROM {_files(answers)} GROUP BY request_id) AS l USING (request_id)"
    )
    count = "SELECT outcome, count(*) " + joined % "max(attempt) AS last" + " GROUP BY outcome"
    views = "".join(f"CREATE VIEW {name} AS FROM {_files([path])};" for name, path in tables.items())
    funnel = views + (_million.HERE / "sql" / "queries" / "funnel.sql").read_text("utf-8")
    table = "SELECT row_key, sample, l.answer " + joined % "arg_max(answer, attempt) AS answer" + " ORDER BY row_key"
    made_table = f"COPY ({table}) TO '{folder / 'table.parquet'}' (COMPRESSION zstd)"
    return {
        "run, nothing to do": count,
        "status": count,
        "query @funnel": funnel,
        "run, 100 new rows": f"{count}; {made_table}",
    }


def _files(paths: Sequence[Path]) -> str:
    return f"read_parquet([{', '.join(repr(str(path)) for path in paths)}], union_by_name = true)"


# -- the table


def missed(found: Mapping[str, Took]) -> list[str]:
    return [
        f"{name}: {found[name].wall:.1f} s, must be under {bar:g} s"
        for name, bar in BARS.items()
        if found[name].wall >= bar
    ]


def show(found: Mapping[str, Took], beside: Mapping[str, Took]) -> Iterator[str]:
    yield f"{'command':<20}{'wall':>9}{'CPU':>9}{'peak':>9}{'bar':>7}   {'DuckDB alone':>14}{'ratio':>7}"
    for name, took in found.items():
        other = beside[name]
        yield (
            f"{name:<20}{took.wall:>7.2f} s{took.cpu:>7.2f} s{took.peak >> 10:>6} MB{BARS[name]:>5.0f} s"
            f"   {other.wall:>12.2f} s{took.wall / other.wall:>7.1f}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.converge", description=__doc__)
    _million.arguments(parser, FULL)
    parser.add_argument("--times", type=int, default=3, help="how often each command is timed")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="converge-") as folder:
        made = _million.make(
            given.keep.absolute() if given.keep else Path(folder) / "million", _million.shape_of(given)
        )
        found, beside = measure(made, given.times), alone(made, given.times)
    if given.json:
        print(json.dumps({name: [took.wall, took.cpu, took.peak, beside[name].wall] for name, took in found.items()}))
    else:
        print(f"{given.requests:,} answered requests")
        print("\n".join(show(found, beside)))
    short = missed(found) if given.requests >= FULL else []
    print("\n".join(short), file=sys.stderr)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
