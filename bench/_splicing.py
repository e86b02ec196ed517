"""A provider in this process that answers at once: each custom id is spliced into a result of the wanted size.

For benchmarks. Uploads and results are files, read and written as streams, so its memory does not grow with them.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from chimera_batch.errors import ProviderRefused
from chimera_batch.providers import openai_shapes
from chimera_batch.providers.base import Profile
from chimera_batch.records import BatchState, Intent, Reply

RARE = 1_000  # one request in so many fails for good; another one fails once
POOL = 1 << 16  # characters that texts are cut from
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


def pool(seed: int = 1) -> str:
    """Words to cut texts from."""
    rng, text = random.Random(seed), ""
    while len(text) < POOL:
        text += " ".join(rng.choices(_WORDS, k=12)).capitalize() + ". "
    return text[:POOL]


class SpliceHost:
    """A provider in this process that answers at once. Uploads and results are files under ``folder``."""

    def __init__(self, profile: Profile, folder: Path, answer_bytes: int) -> None:
        self.profile = profile
        self.realm = f"{profile.name}@rehearsal"
        self._folder = folder
        self._answer = answer_bytes
        self._pool = (pool(2) * (2 + answer_bytes // POOL)).encode()
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
        place = number % POOL
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
