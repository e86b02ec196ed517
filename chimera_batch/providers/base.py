"""What a provider promises: few calls, each either done, definitely refused, or of unknown fate.

A provider never sees the store and never decides anything about money or retries. Errors that leave it are those of
``errors.py`` alone. Floor 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from chimera_batch.records import BatchState, Intent, Reply

Kind = Literal["vllm", "llama", "attached", "ray"]
Flag = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Engine:
    """What runs a model on our own machines, as data: ``providers.NAME.engine`` of the manifest."""

    kind: Kind  # "vllm" and "llama" are started and stopped by us; "attached" is somebody's server; "ray" runs jobs
    python: str | None = None  # the interpreter that has the engine installed; None: settings.engine_python()
    max_model_len: int | None = None  # tokens of prompt and answer; None: what the model's config says
    max_num_seqs: int = 48  # requests computed at a time; the others wait inside the engine
    tensor_parallel: int = 1  # GPUs that share one copy of the weights
    data_parallel: int = 1  # copies of the weights
    quantization: str | None = None
    flags: tuple[tuple[str, Flag], ...] = ()  # further options of its command line, without --
    start_s: int = 1800  # seconds until it must be healthy: weights are read, perhaps downloaded
    stall_s: int = 900  # seconds without a finished request or a generated token after which it is restarted
    restarts: int = 3  # in a row, with no answer in between
    folder: str | None = None  # ray: where jobs lie; on a cluster a file system that all of it sees
    address: str | None = None  # ray: the cluster's address
    block: int = 64  # ray: requests that are made durable together

    @property
    def managed(self) -> bool:
        """A server that we start, watch and end."""
        return self.kind in {"vllm", "llama"}


@dataclass(frozen=True, slots=True)
class Profile:
    """A host as data: where it is and what it allows. One adapter serves many profiles."""

    name: str
    dialect: str  # which adapter: "openai", "anthropic", "bedrock", or a package's
    base_url: str
    api_key_env: str
    endpoints: tuple[str, ...]  # paths that its batches accept; the first is the default
    windows: tuple[str, ...]
    max_requests: int  # per file
    max_bytes: int  # per file, as we cut it (about 95 % of the documented limit)
    max_line_bytes: int
    batches_per_hour: int | None
    enqueued_tokens: int | None  # prompt tokens in flight per model; None = unlimited
    keeps_metadata: bool  # False: a lost create is looked up by time, count and id prefix
    distinct_counts: bool  # cut shards to differing row counts, so that such a look-up can tell them apart
    purpose: str = "batch"
    deletes_files: bool = True
    headers: tuple[tuple[str, str], ...] = ()
    flex: bool = False  # takes synchronous calls at the batch price (`window: flex`)
    cache_from_tokens: int = 1024  # a shorter shared beginning is never cached
    at_once: int = 8  # synchronous calls under way
    asks: bool = True  # takes synchronous calls at all (`window: now`)
    min_requests: int = 1  # a batch of fewer is refused
    region: str = ""  # Bedrock: of the service
    staging: str = ""  # Bedrock: s3://bucket/prefix through which files are handed over
    role: str = ""  # Bedrock: the ARN of the role with which the service reads and writes there
    engine: Engine | None = None

    @property
    def local(self) -> bool:
        """An engine of the user's own: it needs no key, and a request that is lost there costs time, not money."""
        return self.engine is not None

    @property
    def only_now(self) -> bool:
        """Takes no batches: whatever a stage's window, it is asked synchronously here."""
        return self.engine is not None and self.engine.kind != "ray"

    def lacks(self, window: str) -> str | None:
        """Why a stage with this window cannot be asked here; None if it can."""
        if self.only_now:
            return None
        if window == "flex":
            return None if self.flex else f"{self.name} has no flex"
        offered = (*self.windows, "now") if self.asks else self.windows
        if window in offered:
            return None
        return f"{self.name} has no window {window}, only {', '.join(self.windows)}{' (or now)' if self.asks else ''}"


class Provider(Protocol):
    """One configured host. Cheap to make; opens connections when used; safe to use from several threads."""

    profile: Profile

    def upload(self, intent: Intent, path: Path) -> str | None:
        """Put the wire file at the host; its file id, or None where batches are created inline."""
        ...

    def create(self, intent: Intent, path: Path, file_id: str | None) -> str:
        """Create the batch and return its id. Sent once, never retried, unless with an idempotency key of the host's.

        Raises ProviderRefused / AccountRefused (nothing created), MaybeCreated (look it up), ProviderDown (only when
        it is certain that nothing was created, e.g. 429 or a refused connection).
        """
        ...

    def find(self, intent: Intent) -> list[BatchState]:
        """Batches at the host that may be this intent's: exact where metadata is kept, else candidates."""
        ...

    def state(self, batch_id: str) -> BatchState: ...

    def fetch(self, batch: BatchState, folder: Path) -> Iterator[Path]:
        """Download the batch's files into ``folder``, each complete (size checked where the host tells one)."""
        ...

    def decode(self, line: bytes) -> Reply:
        """One result line. Raises ValueError for a line that is not a result (the caller quarantines it).

        An adapter may also have ``plain``: by endpoint, the name of the engine's SQL file that reads those lines that
        need no decision, and says of them what this would say.
        """
        ...

    def cancel(self, batch_id: str) -> None: ...

    def discard(self, file_ids: Iterable[str]) -> None:
        """Delete files left at the host; files already gone are fine."""
        ...

    def find_uploads(self, intent: Intent) -> list[str]:
        """File ids of uploads with this intent's file name (for cleaning up after a crash)."""
        ...

    def close(self) -> None:
        """Let go of its connections; it may not be used afterwards."""
        ...

    def ask(self, line: bytes) -> bytes:
        """``window: now``: send one wire line synchronously; the result as a line in the form that decode() reads.

        A definite refusal of this one request comes back as an error line; raises ProviderDown / AccountRefused.
        """
        ...
