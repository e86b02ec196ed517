"""A store with as many answered requests as are wanted, made by the engine itself against a host in this process.

The pipeline is ``bench/million/``; rows come from a Parquet file. Everything is what a run does (draw, pack, claim,
upload, create, fetch, decode, land, join) but for the network: the host keeps uploads as files and splices each custom
id into a result of the wanted size. One request in a thousand fails for good and another one is asked twice, so that
no shard is as simple as it could be. The store is a rehearsal's, so that real commands can go on with it afterwards
(``--rehearse``). ``python -m bench._million --requests N --keep DIR`` makes one, or says that it is there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import duckdb
import yaml

from bench._splicing import POOL, SpliceHost, pool
from chimera_batch.context import Context, Timing
from chimera_batch.opening import Options, open_run
from chimera_batch.providers.base import Provider
from chimera_batch.verbs import checking, piloting

HERE = Path(__file__).resolve().parent / "million"
SPARE = 20_000  # rows of the file beyond those asked about, so that a store can be asked 100 more many times


@dataclass(frozen=True, slots=True)
class Shape:
    """How much: requests of the first stage, and bytes of text that vary in each request and each answer."""

    requests: int
    passage_bytes: int = 1_200  # with the prompt and the body around it, a line of about 1.9 kB
    answer_bytes: int = 300


# -- the project and its store


@dataclass(frozen=True, slots=True)
class Made:
    """A finished store: its manifest, and how long it took to make (0: it was there)."""

    manifest: Path
    seconds: float

    @property
    def store(self) -> Path:
        return self.manifest.parent / "runs"

    def more(self, rows: int) -> int:
        """Ask about so many more rows from the next run on; returns how many there are then."""
        told = yaml.safe_load(self.manifest.read_text("utf-8"))
        told["params"]["rows"] += rows
        self.manifest.write_text(yaml.safe_dump(told, sort_keys=False), "utf-8")
        return int(told["params"]["rows"])

    def environment(self) -> dict[str, str]:
        """For commands about it: a cache and a state of its own, and bytecode kept as an installation has it."""
        given = {name: value for name, value in os.environ.items() if not name.startswith("CHIMERA_")}
        given.pop("PYTHONDONTWRITEBYTECODE", None)
        here = self.manifest.parent
        return given | {
            "CHIMERA_CACHE": str(here / "cache"),
            "CHIMERA_STATE": str(here / "state"),
            "PYTHONPYCACHEPREFIX": str(here / "bytecode"),
        }


def make(folder: Path, shape: Shape) -> Made:
    """The store of a shape in a folder of its own: as it is there already, else made now."""
    done, told = folder / "done.json", json.dumps([asdict(shape), _texts()])
    made = Made(folder / "manifests" / "million.yaml", 0.0)
    if done.exists() and done.read_text() == told:
        return made
    shutil.rmtree(folder, ignore_errors=True)
    _project(folder, shape)
    began = time.monotonic()
    converge(made.manifest, shape)
    done.write_text(told)
    return replace(made, seconds=time.monotonic() - began)


def _texts() -> str:
    """A digest of the project's files: a store made from others is made anew."""
    files = sorted(path for path in HERE.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _project(folder: Path, shape: Shape) -> None:
    shutil.copytree(HERE, folder)
    passages(folder / "passages.parquet", shape.requests + SPARE, shape.passage_bytes)
    told = yaml.safe_load((HERE / "manifest.yaml").read_text("utf-8"))
    told |= {"store": str(folder / "manifests" / "runs")}
    told["params"] = {"passages": str(folder / "passages.parquet"), "rows": shape.requests}
    (folder / "manifests").mkdir()
    (folder / "manifests" / "million.yaml").write_text(yaml.safe_dump(told, sort_keys=False), "utf-8")


def passages(path: Path, rows: int, size: int) -> None:
    """The Parquet file that the rows query reads: texts cut from a pool of words, each at a place of its own, with a
    line break and a quotation mark that JSON must escape."""
    with duckdb.connect(config={"memory_limit": "512MB", "threads": "2", "temp_directory": str(path.parent)}) as db:
        db.execute("SET preserve_insertion_order = false")
        db.execute(
            "CREATE TABLE words AS SELECT repeat($pool, $times) AS pool", {"pool": pool(), "times": 2 + size // POOL}
        )
        text = f"substr(pool, 1 + (hash(n) % {POOL})::BIGINT, {size})"
        db.execute(
            "COPY (SELECT n AS number, 'p' || lpad(n::VARCHAR, 9, '0') AS row_key, 'subject ' || n % 8 AS subject,"
            f" 'topic ' || n % 1009 AS topic, n || ': \"' || {text} || '\"' || chr(10) || md5(n::VARCHAR) AS passage"
            f" FROM range(1, {rows + 1}) AS t(n), words) TO '{path}' (COMPRESSION zstd, ROW_GROUP_SIZE 20480)"
        )


def converge(manifest: Path, shape: Shape) -> None:
    """Run the project to its end against a ``SpliceHost``, as ``run --rehearse`` does otherwise."""
    with _environment(manifest.parent), open_run(manifest, options(), write=True) as opened:
        ctx = replace(opened, hosts=_host(opened, manifest.parent / "host", shape))
        checking.check_files(ctx)
        ctx.ledger.begin(ctx.run, str(manifest))
        progress = piloting.converge(ctx, detach=False, confirm=None)
    if not progress.done:
        raise SystemExit(f"the store is not finished: {progress}")


@contextmanager
def _environment(here: Path) -> Iterator[None]:
    """Caches beside the store; and no rehearsal server is started, since none is asked."""
    before = dict(os.environ)
    os.environ |= {name: str(here / name[8:].lower()) for name in ("CHIMERA_CACHE", "CHIMERA_STATE")}
    os.environ["CHIMERA_REHEARSAL_URL"] = "http://127.0.0.1:9"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def options() -> Options:
    timing = Timing(poll=0.01, lease=3600.0, settle=1.0, queue=1.0, overdue=1e9)
    return Options(rehearse=True, timing=timing, say=lambda line: print(line, file=sys.stderr, flush=True))


def _host(ctx: Context, folder: Path, shape: Shape) -> Callable[[str], Provider]:
    host = SpliceHost(ctx.project.profiles["openai"], folder, shape.answer_bytes)
    return lambda _name: host


def shape_of(given: argparse.Namespace) -> Shape:
    return Shape(given.requests, given.passage_bytes, given.answer_bytes)


def arguments(parser: argparse.ArgumentParser, requests: int) -> None:
    """The options of every benchmark that works on such a store."""
    parser.add_argument("--requests", type=int, default=requests)
    parser.add_argument("--passage-bytes", type=int, default=Shape(0).passage_bytes)
    parser.add_argument("--answer-bytes", type=int, default=Shape(0).answer_bytes)
    parser.add_argument("--keep", type=Path, help="keep the store in this folder, and use it again")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench._million", description=__doc__)
    arguments(parser, 100_000)
    given = parser.parse_args()
    if given.keep is None:
        parser.error("--keep DIR")
    made = make(given.keep.absolute(), shape_of(given))
    print(f"{made.manifest}: made in {made.seconds:.0f} s" if made.seconds else f"{made.manifest}: is there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
