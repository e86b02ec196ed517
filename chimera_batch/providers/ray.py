"""Ray jobs as batches: vLLM on many GPUs or nodes, driven by a process of its own, looked at through the job's folder.

Nothing is sent anywhere: to upload is to put the wire file into a folder, to create is to make that folder a job and
start its driver. So a create can be done twice without harm, a look-up is exact, and a job whose driver died goes on,
from whoever looks at it next, with what it has no answer to.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from chimera_batch import settings
from chimera_batch.engines import ray_driver, ray_state
from chimera_batch.engines.ray_job import put, read
from chimera_batch.errors import EngineFailed, ProviderRefused
from chimera_batch.providers import calling, openai_shapes
from chimera_batch.providers.base import Engine, Flag, Profile
from chimera_batch.records import BatchState, Intent, Phase, Problem, Reply

_WIRE = "requests.jsonl"
_STREAM = (
    128  # tokens: Ray takes every piece that an engine streams and uses the last. Some are needed as signs of life
)


class RayProvider:
    """Jobs in one folder. ``say`` takes lines for a person; ``clock`` is for tests.

    A job that is given up without an answer is a batch that the host refused. Why is kept until the next create, which
    raises it: there is decided whether the stage falls back.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        say: Callable[[str], None] = lambda _line: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if profile.engine is None:
            raise ValueError(f"{profile.name} has no engine")
        self.profile = profile
        self._engine: Engine = profile.engine
        self._say, self._clock = say, clock
        self._failed: dict[str, EngineFailed] = {}  # by model

    @property
    def folder(self) -> Path:
        """Where all jobs lie; on a cluster a file system that its nodes share."""
        said = self._engine.folder
        return Path(said).expanduser() if said else settings.state_dir() / "ray"

    def upload(self, intent: Intent, path: Path) -> str | None:
        folder = self.folder / _name(intent)
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{_WIRE}.part"
        with path.open("rb") as source, part.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
        part.replace(folder / _WIRE)
        return folder.name

    def create(self, intent: Intent, path: Path, file_id: str | None) -> str:
        """Also done again for a job that exists: it is the same one. Raises EngineFailed where no driver can start."""
        folder = self.folder / (file_id or _name(intent))
        if not (folder / _WIRE).is_file():
            raise ProviderRefused(f"{self.profile.name}: cannot find file {folder / _WIRE}", status=404)
        if failed := self._failed.pop(intent.model, None):
            raise failed
        if intent.endpoint != "/v1/chat/completions":
            raise ProviderRefused(f"{self.profile.name} takes chats, not {intent.endpoint}", status=400)
        if not (folder / "job.json").exists():
            ready(ray_driver.interpreter(self._engine))
            put(folder / "job.json", job_of(intent, self._engine, settings.ray_address()))
        self._bring_on(folder)
        return folder.name

    def find(self, intent: Intent) -> list[BatchState]:
        folder = self.folder / _name(intent)
        return [self.state(folder.name)] if (folder / "job.json").exists() else []

    def state(self, batch_id: str) -> BatchState:
        """Also carries the job on where its driver died or got stuck."""
        folder = self._job(batch_id)
        self._bring_on(folder)
        state = _state(folder)
        if state.phase == "rejected":
            end, model = read(folder / "end.json"), str(read(folder / "job.json").get("model"))
            self._failed[model] = EngineFailed(
                f"{self.profile.name}: {end.get('message')}", why=end.get("why", "crash")
            )
        return state

    def _bring_on(self, folder: Path) -> None:
        living = ray_driver.alive(folder)
        died = ray_driver.failure(folder) if living is False else None
        now = ray_state.standing(folder, alive=living, why=died[0] if died else None, now=self._clock())
        step = ray_state.next_step(now, self._engine)
        if step == "wait":
            return
        ray_driver.end(folder)  # one that is stuck; or the Ray and the engine that a killed one left, with its GPUs
        if step in {"start", "restart"}:
            if now.drivers:
                said = died[1] if died else f"no sign of life for {now.silent:.0f} s"
                self._say(f"{folder.name}: driver {now.drivers} ended: {said}; the next one asks what is missing")
            ray_driver.start(folder, self._engine, str(read(folder / "job.json").get("model")))
        if step == "give_up":
            why, said = died or ("stalled", f"no sign of life for {now.silent:.0f} s")
            put(folder / "end.json", {"status": "failed", "why": why, "message": said, "at": self._clock()})

    def fetch(self, batch: BatchState, folder: Path) -> Iterator[Path]:
        for file_id in batch.files:
            job, target = self._job(file_id), folder / f"{calling.safe_name(file_id)}.jsonl"
            part = target.with_name(f"{target.name}.part")
            with part.open("wb") as file:
                file.writelines(ray_state.results(job))
            part.replace(target)
            yield target

    def decode(self, line: bytes) -> Reply:
        return openai_shapes.decode(line)

    def cancel(self, batch_id: str) -> None:
        """What it has answered stays; a job that is over already is fine."""
        folder = self._job(batch_id)
        if not (folder / "end.json").exists():
            put(folder / "end.json", {"status": "cancelled", "at": self._clock()})
        ray_driver.end(folder)

    def discard(self, file_ids: Iterable[str]) -> None:
        """The requests, the results and the logs go. How the job ended stays, a few bytes for who still asks."""
        for file_id in set(file_ids):
            folder = self.folder / calling.safe_name(file_id)
            ray_driver.end(folder)
            if not (folder / "job.json").exists():
                shutil.rmtree(folder, ignore_errors=True)
                continue
            if not (folder / "end.json").exists():
                put(folder / "end.json", {"status": "cancelled", "at": self._clock()})
            for path in folder.iterdir():
                if path.name not in {"job.json", "end.json", "progress.json"}:
                    path.unlink(missing_ok=True)

    def find_uploads(self, intent: Intent) -> list[str]:
        name = _name(intent)
        return [name] if (self.folder / name / _WIRE).exists() else []

    def ask(self, line: bytes) -> bytes:
        raise ProviderRefused(
            f"{self.profile.name} runs jobs and answers no single calls",
            status=400,
            hint="window: 24h, or an engine of kind vllm",
        )

    def close(self) -> None:
        """Jobs go on."""

    def _job(self, batch_id: str) -> Path:
        folder = self.folder / calling.safe_name(batch_id)
        if not (folder / "job.json").exists():
            raise ProviderRefused(f"{self.profile.name}: there is no job {folder}", status=404)
        return folder


def _name(intent: Intent) -> str:
    return intent.file_name.removesuffix(".jsonl")


def job_of(intent: Intent, engine: Engine, address: str | None) -> dict[str, Any]:
    """What a driver is told. ``address``: of the cluster that the environment names."""
    return {
        "nonce": intent.nonce,
        "requests": intent.requests,
        "created": intent.at,
        "model": intent.model,
        "address": engine.address or address or "local",
        "replicas": engine.data_parallel,
        "block": engine.block,
        "max_model_len": engine.max_model_len,
        "engine_kwargs": engine_kwargs(engine),
    }


def engine_kwargs(engine: Engine) -> dict[str, Any]:
    """vLLM's own arguments, by the names of Python; the manifest's flags win."""
    said: dict[str, Any] = {
        "max_model_len": engine.max_model_len,
        "max_num_seqs": engine.max_num_seqs,
        "tensor_parallel_size": engine.tensor_parallel,
        "quantization": engine.quantization,
        "enable_prefix_caching": True,
        "stream_interval": _STREAM,
        # Without these a grammar lets a model fill its whole budget with blanks.
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
    }
    flags = {name.replace("-", "_"): _plain(value) for name, value in engine.flags}
    return {name: value for name, value in {**said, **flags}.items() if value is not None}


def _plain(value: Flag) -> Any:
    """A flag as Python takes it: what the command line is given as JSON is an object."""
    if isinstance(value, str) and value[:1] in {"{", "["}:
        return json.loads(value)
    return value


def ready(python: str) -> None:
    """Raises EngineFailed (not_installed) where the interpreter lacks Ray or vLLM."""
    missing = ray_driver.missing(python)
    if missing:
        said = f"{python} has no {' and no '.join(missing)}"
        raise EngineFailed(said, why="not_installed", hint=ray_driver.HINT)


def _state(folder: Path) -> BatchState:
    job, end, progress = (read(folder / f"{name}.json") for name in ("job", "end", "progress"))
    done, word = int(progress.get("done", 0)), str(end.get("status") or "in_progress")
    some = any(part.stat().st_size for part in ray_state.parts(folder))
    problems: tuple[Problem, ...] = ()
    if word == "failed" and some:
        word = "expired"  # what has no answer is asked again, in a job of its own
    elif word == "failed":
        problems = (Problem(str(end.get("why")), None, str(end.get("message"))),)
    phase: Phase = "working" if word == "in_progress" else "rejected" if problems else "ended"
    return BatchState(
        id=folder.name,
        status=word,
        phase=phase,
        done=done,
        total=int(job.get("requests", 0)),
        files=(folder.name,) if phase == "ended" and some else (),
        problems=problems,
        created_at=float(job.get("created", 0.0)),
        nonce=str(job.get("nonce")),
    )
