"""The provider behind the counter: keeps batches, and executes each when its time has come.

Order of an ending, so that a crash anywhere pays nothing twice: drafts, result files, the record with ``ended`` (the
point of no return), the bill, the record with ``billed``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from chimera_batch.rehearsal import batches, faults, validate
from chimera_batch.rehearsal.batches import Batch, Ended
from chimera_batch.rehearsal.bill import Bill
from chimera_batch.rehearsal.clerk import Clerk
from chimera_batch.rehearsal.execute import Drafts, Execution, Stopped, Sums
from chimera_batch.rehearsal.files import Files
from chimera_batch.rehearsal.pace import Pace
from chimera_batch.rehearsal.state import Roll, sweep, write_json
from chimera_batch.rehearsal.upstream_batch import answered

_log = logging.getLogger("chimera_batch.rehearsal")


@dataclass(frozen=True, slots=True)
class Tools:
    """What the works needs of its surroundings."""

    files: Files
    clerk: Clerk
    bill: Bill
    planted: Roll
    faults: faults.Faults
    settings: Mapping[str, Any]


class Works:
    """All batches of a state folder. Safe to use from several threads."""

    def __init__(self, folder: Path, tools: Tools, pace: Pace, workers: int = 2) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        self._folder, self._tools, self._pace = folder, tools, pace
        self._changed = threading.Condition()
        self._batches: dict[str, Batch] = {}
        self._busy: set[str] = set()
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="works")
        for path in folder.glob("*.json"):
            batch = batches.unpack(orjson.loads(path.read_bytes()))
            self._batches[batch.id] = batch
        self._clock = threading.Thread(target=self._watch, name="works-clock", daemon=True)

    def start(self) -> None:
        self._clock.start()

    def stop(self) -> None:
        """Give up what is being executed; it starts from scratch next time."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        if self._clock.is_alive():
            self._clock.join()  # it must not hand anything to a pool that is closed
        self._pool.shutdown(wait=True, cancel_futures=True)

    def create(self, batch: Batch, requests: Path | None = None) -> Batch:
        """Take in a new batch: its number, durations and faults are decided here. ``requests``: a draft to keep."""
        with self._changed:
            n = 1 + max((one.n for one in self._batches.values()), default=0)
            facts = {"batch": n, "profile": batch.profile, "model": self._model(batch), "path": batch.endpoint}
            kinds = faults.OF_BATCHES - (faults.ONLY_OPENAI if batch.dialect == "anthropic" else frozenset())
            taken = self._tools.faults.take(kinds, facts, once=False)
            wait, work, finish = self._pace.of(n)
            batch = replace(batch, n=n, validate=wait, work=work, finalize=finish, faults=tuple(taken))
            if requests is not None:
                requests.replace(self.requests(batch.id))
            self._keep(batch)
            self._changed.notify_all()
        return batch

    def _model(self, batch: Batch) -> str | None:
        """The model that a new batch asks, from the first line of its file where nothing else tells it."""
        path = self._tools.files.path(batch.input_file_id)
        if batch.model is not None or path is None:
            return batch.model
        try:
            with path.open("rb") as lines:
                return str(orjson.loads(lines.readline())["body"]["model"])
        except (ValueError, LookupError, TypeError, OSError):
            return None  # validation will say what is wrong with it

    def get(self, ident: str) -> Batch | None:
        with self._changed:
            batch = self._batches.get(ident)
        return None if batch is None or batch.deleted else batch

    def all(self) -> list[Batch]:
        """Newest first."""
        with self._changed:
            return sorted((b for b in self._batches.values() if not b.deleted), key=lambda b: -b.n)

    def change(self, ident: str, change: Callable[[Batch], Batch]) -> Batch:
        """Replace the record of a batch that exists."""
        with self._changed:
            batch = change(self._batches[ident])
            self._keep(batch)
            self._changed.notify_all()
        return batch

    def requests(self, ident: str) -> Path:
        """The batch's own copy of its requests, so that deleting the upload does not disturb it."""
        return self._folder / f"{ident}.requests.jsonl"

    def results(self, ident: str) -> Path:
        """The results file of an Anthropic batch."""
        return self._folder / f"{ident}.results.jsonl"

    def _keep(self, batch: Batch) -> None:
        write_json(self._folder / f"{batch.id}.json", batches.pack(batch))
        self._batches[batch.id] = batch

    def _watch(self) -> None:
        """The clock: hands to the pool what is due, sleeps until the next is."""
        while not self._stop.is_set():
            with self._changed:
                now, wake = time.time(), 60.0
                for batch in self._batches.values():
                    if batch.id in self._busy or batch.over:
                        continue
                    due = 0.0 if batch.total is None or batch.ended else batches.wants_execution(batch)
                    if due is not None and due <= now:
                        self._busy.add(batch.id)
                        self._pool.submit(self._work, batch.id)
                    elif due is not None:
                        wake = min(wake, due - now)
                self._changed.wait(wake)

    def _work(self, ident: str) -> None:
        try:
            batch = self._batches[ident]
            if batch.total is None:
                self._check(batch)
            elif batch.ended is not None:
                self._bill(batch, again=True)
            else:
                self._execute(batch)
        except Stopped:
            pass
        except Exception:  # noqa: BLE001 - a batch that cannot be executed must not take the others with it
            _log.exception("batch %s is stuck", ident)
            self._stop.wait(1.0)  # an unforeseen failure is tried again, but not in a hot loop
        finally:
            with self._changed:
                self._busy.discard(ident)
                self._changed.notify_all()

    def _check(self, batch: Batch) -> None:
        found = self._validated(batch)
        self.change(
            batch.id,
            lambda b: replace(
                b, total=found.total, input_tokens=found.input_tokens, model=found.model, problems=found.problems
            ),
        )

    def _validated(self, batch: Batch) -> validate.Checked:
        if order := faults.find(batch.faults, "fail_validation"):
            code, message = order.get("code", "invalid_request"), order.get("message", "The file is not valid.")
            named = order.get("lines") or [order.get("line")]
            return _failed(*(validate.problem(code, message, line) for line in named))
        path, requests = self._tools.files.path(batch.input_file_id), self.requests(batch.id)
        told = self._tools.files.told(batch.input_file_id)
        if path is None or told is None or told["purpose"] != "batch":
            return _failed(validate.missing_file(batch.input_file_id))
        requests.unlink(missing_ok=True)
        requests.hardlink_to(path)
        most = int(self._tools.settings.get("max_requests", validate.MOST_REQUESTS))
        with requests.open("rb") as lines:
            found = validate.check(lines, batch.endpoint, lambda m: self._tools.clerk.knows(batch.profile, m), most)
        if not found.problems and (limit := self._over_limit(batch, found)):
            message = f"Enqueued token limit reached for {found.model} in organization org-rehearsal. Limit: {limit:,}"
            message += " enqueued tokens. Please try again once some in_progress batches have been completed."
            return replace(found, problems=(validate.problem("token_limit_exceeded", message),))
        return found

    def _over_limit(self, batch: Batch, found: validate.Checked) -> int:
        """The enqueued-token limit that this batch would pass, or 0."""
        if order := faults.find(batch.faults, "token_limit"):
            return int(order.get("limit", 2_000_000))
        limits = self._tools.settings.get("enqueued_tokens")
        limit = limits.get(found.model) if isinstance(limits, Mapping) else limits
        if limit is None:
            return 0
        now = time.time()
        waiting = sum(b.input_tokens for b in self.all() if b.model == found.model and not _terminal(b, now))
        return int(limit) if waiting + found.input_tokens > int(limit) else 0

    def _execute(self, batch: Batch) -> None:
        verdict = batch.verdict or batches.judge(batch)
        batch = self.change(batch.id, lambda b: replace(b, verdict=verdict))
        drafts = self._drafts(batch)
        execution = Execution(
            batch=batch,
            verdict=verdict,
            do=self._tools.clerk.do,
            attempt_of=self._tools.bill.next_attempt,
            alive=lambda: not self._stop.is_set(),
            drafts=drafts,
            now=int(time.time()),
        )
        execution = answered(execution, self._tools.clerk, self)
        sums = execution.run(self.requests(batch.id))
        ended = self._file(batch, drafts, sums, execution.verdict.how)
        self._bill(self.change(batch.id, lambda b: replace(b, ended=ended)))

    def _file(self, batch: Batch, drafts: Drafts, sums: Sums, how: batches.How) -> Ended:
        """Turn drafts into the files that the batch offers."""
        usage = sums.usage if batch.dialect == "openai" else None
        output = error = None
        shown = (faults.find(batch.faults, "expire") or {}).get("files", True) is not False
        if batch.dialect == "anthropic":
            drafts.output.replace(self.results(batch.id))
            output = self.results(batch.id).name
        elif shown and sums.output_lines:
            output = self._product(batch, drafts.output, "output")
        if batch.dialect == "openai" and shown and sums.error_lines:
            error = self._product(batch, drafts.error, "error")
        if output and faults.find(batch.faults, "lose_output"):
            self._tools.files.delete(output)
        return Ended(time.time(), how, output, error, sums.ok, sums.failed, sums.unfinished, usage)

    def _product(self, batch: Batch, draft: Path, what: str) -> str:
        # The id follows from the batch's, so that an execution repeated after a crash leaves no second file.
        ident = f"file-{'o' if what == 'output' else 'e'}{batch.id[-21:]}"
        self._tools.files.keep(draft, name=f"{batch.id}_{what}.jsonl", purpose="batch_output", ident=ident)
        return ident

    def _drafts(self, batch: Batch) -> Drafts:
        output, error = (self._folder / f".{batch.id}.{what}" for what in ("output", "error"))
        kept = ("bill", "planted", "answers")
        return Drafts(output, error, *(self._folder / f"{batch.id}.{what}.jsonl" for what in kept))

    def _bill(self, batch: Batch, *, again: bool = False) -> None:
        """``again``: it was tried before, and a part of it may be there."""
        drafts, tools = self._drafts(batch), self._tools
        for path, add, complete in (
            (drafts.bill, tools.bill.add, tools.bill.complete),
            (drafts.planted, tools.planted.append, tools.planted.complete),
        ):
            lines = path.read_bytes() if path.exists() else b""
            if again:
                complete(batch.id, lines)
            else:
                add(lines)
        self.change(batch.id, lambda b: replace(b, billed=True))
        _remove((*drafts, self.requests(batch.id)))


def _terminal(batch: Batch, now: float) -> bool:
    return batches.status(batch, now) in {"failed", "completed", "expired", "cancelled"}


def _failed(*problems: dict[str, Any]) -> validate.Checked:
    return validate.Checked(0, 0, None, problems)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
