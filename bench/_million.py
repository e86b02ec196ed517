"""A store with as many answered requests as are wanted, made by the engine itself against a host in this process.

The pipeline is ``bench/million/``; rows come from a Parquet file. Everything is what a run does (draw, pack, claim,
upload, create, fetch, decode, land, join) but for the network: the host keeps uploads as files and splices each custom
id into a result of the wanted size. One request in a thousand fails for good and another one is asked twice, so that
no shard is as simple as it could be. The store is a rehearsal's, so that real commands can go on with it afterwards
(``--rehearse``). ``python -m bench._million --requests N --keep DIR`` makes one, or says that it is there.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import duckdb
import yaml

from chimera_batch import checking, piloting
from chimera_batch.context import Context, Timing
from chimera_batch.errors import ProviderRefused
from chimera_batch.opening import Options, open_run
from chimera_batch.providers import openai_shapes
from chimera_batch.providers.base import Profile, Provider
from chimera_batch.records import BatchState, Intent, Reply

HERE = Path(__file__).resolve().parent / "million"
SPARE = 20_000  # rows of the file beyond those asked about, so that a store can be asked 100 more many times
RARE = 1_000  # one request in so many fails for good; another one fails once
_POOL = 1 << 16  # characters that texts are cut from
_WORDS = ("amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "harbor", "inlet", "jasper", "kelp", "lagoon")
_TEMPLATE = (
    b'{"id":"batch_req_1","custom_id":"%b","response":{"status_code":200,"request_id":"req_1","body":{"id":"chatcmpl-1",'
    b'"object":"chat.completion","created":1795000000,"model":"gpt-6-luna-2026-10-01","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"{\\"keep\\":%b,\\"note\\":\\"%b\\"}","refusal":null},"logprobs":null,'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}},"error":null}\n'
)
_FAILED = (
    b'{"id":"batch_req_1","custom_id":"%b","response":{"status_code":%d,"request_id":"req_1","body":{"error":'
    b'{"message":"the host could not do it","type":"error","code":"%b"}}},"error":null}\n'
)


@dataclass(frozen=True, slots=True)
class Shape:
    """How much: requests of the first stage, and bytes of text that vary in each request and each answer."""

    requests: int
    passage_bytes: int = 1_200  # with the prompt and the body around it, a line of about 1.9 kB
    answer_bytes: int = 300


def pool(seed: int = 1) -> str:
    """Words to cut texts from."""
    rng, text = random.Random(seed), ""
    while len(text) < _POOL:
        text += " ".join(rng.choices(_WORDS, k=12)).capitalize() + ". "
    return text[:_POOL]


# -- the host


class SpliceHost:
    """A provider in this process that answers at once. Uploads and results are files under ``folder``."""

    def __init__(self, profile: Profile, folder: Path, answer_bytes: int) -> None:
        self.profile = profile
        self.realm = f"{profile.name}@rehearsal"
        self._folder = folder
        self._answer = answer_bytes
        self._pool = (pool(2) * (2 + answer_bytes // _POOL)).encode()
        self._batches: dict[str, BatchState] = {}
        self._failed_once: set[bytes] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def upload(self, intent: Intent, path: Path) -> str | None:
        shutil.copyfile(path, self._folder / intent.file_name)
        return intent.file_name

    def create(self, intent: Intent, path: Path, file_id: str | None) -> str:
        batch = f"batch-{len(self._batches) + 1}"
        self._batches[batch] = BatchState(
            batch, "completed", "ended", intent.requests, intent.requests, (str(file_id),), nonce=intent.nonce
        )
        return batch

    def find(self, intent: Intent) -> list[BatchState]:
        return [batch for batch in self._batches.values() if batch.nonce == intent.nonce]

    def state(self, batch_id: str) -> BatchState:
        if batch_id not in self._batches:
            raise ProviderRefused(f"there is no batch {batch_id}", status=404)
        return self._batches[batch_id]

    def fetch(self, batch: BatchState, folder: Path) -> Iterator[Path]:
        target = folder / f"{batch.id}.jsonl"
        with (self._folder / batch.files[0]).open("rb") as sent, target.open("wb", buffering=1 << 20) as out:
            out.writelines(map(self._result, sent))
        yield target

    def _result(self, line: bytes) -> bytes:
        begin = line.index(b'"custom_id":"') + 13
        custom = line[begin : line.index(b'"', begin)]
        identity = custom[-32:]
        number = int(identity[:8], 16)
        if number % RARE == 0:
            return _FAILED % (custom, 400, b"invalid_request")
        if number % RARE == 1 and identity not in self._failed_once:
            self._failed_once.add(identity)
            return _FAILED % (custom, 500, b"server_error")
        place = number % _POOL
        keep = b"false" if number % 10 == 3 else b"true"
        given, written = len(line) // 4, self._answer // 4
        note = self._pool[place : place + self._answer]
        return _TEMPLATE % (custom, keep, note, given, written, given + written)

    def decode(self, line: bytes) -> Reply:
        return openai_shapes.decode(line)

    def cancel(self, batch_id: str) -> None:
        """There is nothing to stop: every batch is over at once."""

    def discard(self, file_ids: Iterable[str]) -> None:
        for file in file_ids:
            (self._folder / file).unlink(missing_ok=True)

    def find_uploads(self, intent: Intent) -> list[str]:
        return [intent.file_name] if (self._folder / intent.file_name).exists() else []

    def close(self) -> None:
        """It holds nothing open."""

    def ask(self, line: bytes) -> bytes:
        return self._result(line)


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
    done = folder / "done.json"
    made = Made(folder / "manifests" / "million.yaml", 0.0)
    if done.exists() and json.loads(done.read_text()) == asdict(shape):
        return made
    shutil.rmtree(folder, ignore_errors=True)
    _project(folder, shape)
    began = time.monotonic()
    converge(made.manifest, shape)
    done.write_text(json.dumps(asdict(shape)))
    return replace(made, seconds=time.monotonic() - began)


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
            "CREATE TABLE words AS SELECT repeat($pool, $times) AS pool", {"pool": pool(), "times": 2 + size // _POOL}
        )
        text = f"substr(pool, 1 + (hash(n) % {_POOL})::BIGINT, {size})"
        db.execute(
            "COPY (SELECT n AS number, 'p' || lpad(n::VARCHAR, 9, '0') AS row_key, 'subject ' || n % 8 AS subject,"
            f" 'topic ' || n % 1009 AS topic, n || ': \"' || {text} || '\"' || chr(10) || md5(n::VARCHAR) AS passage"
            f" FROM range(1, {rows + 1}) AS t(n), words) TO '{path}' (COMPRESSION zstd)"
        )


def converge(manifest: Path, shape: Shape) -> None:
    """Run the project to its end against a ``SpliceHost``, as ``run --rehearse`` does otherwise."""
    with _environment(manifest.parent), open_run(manifest, options(), write=True) as opened:
        ctx = replace(opened, hosts=_host(opened, manifest.parent / "host", shape))
        checking.check_files(ctx)
        ctx.ledger.begin(ctx.run, str(manifest))
        progress = piloting.converge(ctx, until=None, detach=False, confirm=None)
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
