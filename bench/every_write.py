"""One fault at every place where a run touches its store: ``python -m bench.every_write [PART …] [--all]``.

A small run is played on a virtual clock, in this process; at one place something fails, or the process dies. Then the
same line is typed again, which must end with the bytes of an undisturbed run, each request executed once, the bill in
the ledger. Parts: ``kills`` (a copy of the process dies before every write and call), ``interrupts`` (SIGTERM or Ctrl-C
there, so that it tidies up), ``errors`` (the store fails, before or after it wrote), ``disks`` (the folder store on a
disk that is full, read-only, torn out …), ``gets`` and ``puts`` (the S3 store, and what a bucket's server does wrong).
Without ``--all`` a part of the places meets the last four, each another kind of fault, so that every kind is met.
Prints what was wrong, and one line for each part; exits 1 if anything was. No network, no keys.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported: a process that forks has one thread

from tests.faults.sim import buckets, disks, forks
from tests.faults.sim.schedule import Fault
from tests.faults.sim.small import Calm, Small, Struck, in_a_bucket, on_a_disk, struck

SMALL = Small()
LATE = Small(batched_at="south", now_at="north", south={**SMALL.south, "dialect": "anthropic", "deletes_files": False})
"""The same with its batches at a host of Anthropic's properties: no files, no metadata."""


def _kills(_: bool) -> Iterator[Struck | None]:
    calm = Calm.of(SMALL)
    yield from forks.kills(SMALL, calm)
    for at in range(calm.passed["south.ask"]):  # its reply is an effect of its own, on this machine alone
        yield struck(SMALL, Fault("south.ask", at, "kill_after"), calm)
    yield from forks.kills(LATE, Calm.of(LATE), only="south.")


def _errors(everything: bool) -> Iterator[Struck | None]:
    calm = Calm.of(SMALL)
    for at in range(calm.passed["store.create"]):
        for kind in ("down", "down_after", *(("oserror",) if everything or at % 4 == 0 else ())):
            yield struck(SMALL, Fault("store.create", at, kind), calm)


def _interrupts(everything: bool) -> Iterator[Struck | None]:
    calm = Calm.of(SMALL)
    kinds = ("interrupt", "interrupt_after")
    for spot in sorted(calm.passed):
        step = 1 if everything or not spot.startswith("store.") else 4
        for at in range(0, calm.passed[spot] if spot in _WRITES else 0, step):
            for kind in kinds if everything else kinds[at // step % 2 :][:1]:
                yield struck(SMALL, Fault(spot, at, kind), calm)


_WRITES = ("store.create", "north.upload", "north.create", "north.state", "north.fetch", "north.discard", "south.ask")


def _disks(everything: bool) -> Iterator[Struck | None]:
    calm = Calm.of(SMALL)
    for at, kind in _paired(list(disks.KINDS), calm.passed["store.create"], everything, step=3):
        yield on_a_disk(SMALL, at, kind, calm)


def _puts(everything: bool) -> Iterator[Struck | None]:
    calm = Calm.of(SMALL)
    for at, kind in _paired(list(buckets.PUTS), calm.passed["store.create"], everything, step=3):
        yield in_a_bucket(SMALL, "put", at, kind, calm)


def _gets(everything: bool) -> Iterator[Struck | None]:
    calm = Calm.of(SMALL)
    most = calm.passed["store.read"] + calm.passed["store.fetch"]  # what is fetched again is cached
    for at, kind in _paired(list(buckets.GETS), most, everything, step=3):
        one = in_a_bucket(SMALL, "get", at, kind, calm)
        if one is None:
            return
        yield one


def _paired(kinds: list[str], places: int, everything: bool, step: int) -> Iterator[tuple[int, str]]:
    for at in range(0, places, 1 if everything else step):
        yield from ((at, kind) for kind in (kinds if everything else [kinds[at // step % len(kinds)]]))


PARTS: dict[str, Callable[[bool], Iterator[Struck | None]]] = {
    "kills": _kills,
    "interrupts": _interrupts,
    "errors": _errors,
    "disks": _disks,
    "puts": _puts,
    "gets": _gets,
}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.every_write", description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--all", action="store_true", help="every kind of fault at every place")
    parser.add_argument("--show", action="store_true", help="every place, not only what was wrong")
    said = parser.parse_args(words)
    if unknown := set(said.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return max(_play(name, said) for name in said.parts or PARTS)


def _play(name: str, said: argparse.Namespace) -> int:
    began = sum(os.times()[:4])
    found = [one for one in PARTS[name](said.all) if one is not None]
    wrong = [one for one in found if one.flaws]
    for one in found if said.show else wrong:
        print(one)
    seconds = sum(os.times()[:4]) - began
    print(f"{name}: {len(found)} places, {len(wrong)} wrong; {seconds:.0f} s of processor time", flush=True)
    return 1 if wrong or not found else 0


if __name__ == "__main__":
    sys.exit(main())
