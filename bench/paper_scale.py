"""Paper scale, rehearsed and measured: ``python -m bench.paper_scale`` from the root of a checkout.

Runs ``manifests/chimera.yaml`` in a process of its own, as ``run --rehearse`` does, into a new store, and prints wall
time, our own peak memory (not the rehearsal server's, which is another process), requests, rows, and dollars by the
server's bill beside those of the ledger. Exits 1 if it takes more than 10 minutes or 1 GiB, if bill and ledger differ,
or if a request is lost. No network, no keys, about a minute and a half.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from chimera_batch import api
from chimera_batch.opening import Options
from chimera_batch.rehearsal.bill import double_payments
from chimera_batch.verbs import statusing

MANIFEST = Path(__file__).resolve().parent.parent / "manifests" / "chimera.yaml"
MOST_SECONDS = 600
MOST_BYTES = 1 << 30
KEPT = 9_225  # problems, in the paper


def options(store: Path) -> Options:
    return Options(store=str(store), rehearse=True, say=lambda line: print(line, file=sys.stderr, flush=True))


# -- the measured process


def child(store: Path) -> None:
    """Converge, and print what this process took."""
    began = time.monotonic()
    api.run(MANIFEST, options(store))
    took = {"seconds": round(time.monotonic() - began, 1), "cpu_seconds": round(time.process_time(), 1)}
    print(json.dumps({**took, "peak_bytes": peak()}))


def peak() -> int:
    """The most memory that this process ever had resident, in bytes.

    Linux's ru_maxrss starts at what the parent had when it started us, hence its other source.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


# -- the measuring one


def measure(store: Path) -> dict[str, Any]:
    """Run it, then ask the store and the server's bill what it came to."""
    line = [sys.executable, "-m", "bench.paper_scale", "--child", "--store", str(store)]
    environment = {name: value for name, value in os.environ.items() if name != "CHIMERA_REHEARSAL_URL"}
    for folder in ("CACHE", "STATE"):
        environment[f"CHIMERA_{folder}"] = str(store.with_name(f"{store.name}-{folder.lower()}"))
    ended = subprocess.run(line, env=environment, cwd=MANIFEST.parent.parent, stdout=subprocess.PIPE, check=False)
    if ended.returncode:
        raise SystemExit(f"the run ended with {ended.returncode}")
    return {**json.loads(ended.stdout.splitlines()[-1]), **told(store), "machine": machine()}


def told(store: Path) -> dict[str, Any]:
    """What a finished store and the bill beside it say."""
    status = api.status(MANIFEST, options(store))
    with api.query(MANIFEST, options(store)) as tables:
        ((ledger,),) = tables.query("SELECT sum(usd) FROM costs")
        ((trusted,),) = tables.query("SELECT count(*) FROM reference_checks WHERE reference = 'verified'")
        topics = dict(tables.query("SELECT subject, count(*) FROM taxonomy GROUP BY 1 ORDER BY 2 DESC"))
    bill = list(billed(store))
    return {
        "state": status["state"],
        "balances": statusing.balances(status),
        "rows": {stage["stage"]: stage["rows"] for stage in status["stages"]},
        "wanted": sum(stage["wanted"] for stage in status["stages"]),
        "given_up": {stage["stage"]: stage["given_up"] for stage in status["stages"] if stage["given_up"]},
        "topics": topics,
        "trusted": trusted,
        "executed": len(bill),
        "batches": len({line["batch"] for line in bill if line["batch"]}),
        "paid_twice": len(double_payments(bill)),
        "tokens": _tokens(bill),
        "usd_bill": str(sum((Decimal(line["usd"]) for line in bill), Decimal(0))),
        "usd_ledger": str(ledger),
    }


def billed(store: Path) -> Iterator[dict[str, Any]]:
    with (store / "rehearsal-server" / "billing.jsonl").open("rb") as lines:
        yield from map(json.loads, lines)


def _tokens(bill: list[dict[str, Any]]) -> dict[str, int]:
    return {name: sum(line[name] for line in bill) for name in ("input_tokens", "output_tokens")}


def machine() -> str:
    return f"{os.cpu_count()} CPU cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def flaws(found: dict[str, Any]) -> list[str]:
    """What falls short; [] is what we want."""
    kept = found["trusted"]  # past both verifiers, and somebody who never saw the answer arrived at it
    checks = [
        (found["seconds"] < MOST_SECONDS, f"took {found['seconds']} s"),
        (found["peak_bytes"] < MOST_BYTES, f"needed {_mib(found)} MiB"),
        (found["state"] == "done" and found["balances"], f"is {found['state']}, or does not balance"),
        (cents(found["usd_bill"]) == cents(found["usd_ledger"]), "the bill is not what the ledger says"),
        (found["paid_twice"] == 0, f"{found['paid_twice']} requests were paid for twice"),
        (kept >= KEPT, f"only {kept:,} problems were kept"),
    ]
    return [said for good, said in checks if not good]


def cents(usd: str) -> Decimal:
    return Decimal(usd).quantize(Decimal("0.01"))


def _mib(found: dict[str, Any]) -> int:
    return int(found["peak_bytes"]) >> 20


def show(found: dict[str, Any]) -> Iterator[str]:
    yield f"wall time        {found['seconds']:,.0f} s ({found['cpu_seconds']:,.0f} s of CPU in our process)"
    yield f"our peak memory  {_mib(found):,} MiB"
    yield f"requests         {found['wanted']:,} wanted, {found['executed']:,} executed, in {found['batches']} batches"
    yield f"tokens           {found['tokens']['input_tokens']:,} in, {found['tokens']['output_tokens']:,} out"
    yield f"dollars          {cents(found['usd_bill']):,} by the server's bill, {cents(found['usd_ledger']):,} by ours"
    yield f"references       {found['trusted']:,} that somebody arrived at who did not see them"
    yield f"rows             {', '.join(f'{name} {rows:,}' for name, rows in found['rows'].items())}"
    topics = ", ".join(f"{subject} {count}" for subject, count in found["topics"].items())
    yield f"topics           {sum(found['topics'].values()):,}: {topics}"
    yield f"machine          {found['machine']}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.paper_scale", description=__doc__)
    parser.add_argument("--store", type=Path, help="a folder that is not there yet; default: one that goes afterwards")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.store)
        return 0
    with tempfile.TemporaryDirectory(prefix="paper-scale-") as folder:
        found = measure(given.store.absolute() if given.store else Path(folder) / "store")
    short = flaws(found)
    print(json.dumps({**found, "flaws": short}) if given.json else "\n".join([*show(found), *short]))
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
