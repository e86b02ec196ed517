"""What a run on a server of one's own holds in memory does not depend on how many requests a shard has."""

from __future__ import annotations

import os
import random
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.local_kit import FakeEngine, attached, fake_engine, local_run, vllm_body

MB = 1 << 20
ANSWERS, LETTERS = 400, 150_000  # 60 MB of answers


def long_body(identity: str, prompt: str) -> dict[str, Any]:
    """An answer that hardly packs, another for each prompt."""
    body = vllm_body(identity, prompt)
    body["choices"][0]["message"]["content"] = random.Random(prompt).randbytes(LETTERS // 2).hex()
    return body


def peak(folder: Path, engine: FakeEngine, per_shard: int) -> int:
    """The most bytes that a whole run had in memory."""
    host = attached(engine.url, at_once=4, max_requests=per_shard)
    one = local_run(folder, host, [f"{per_shard} {number}" for number in range(ANSWERS)])
    child = subprocess.Popen(
        one.command("run", str(one.manifest), "--yes"), stdout=subprocess.DEVNULL, env=one.environment()
    )
    try:
        while (ended := os.wait4(child.pid, os.WNOHANG))[0] == 0:
            time.sleep(0.02)
    except BaseException:
        child.kill()
        raise
    child.returncode = os.waitstatus_to_exitcode(ended[1])
    assert child.returncode == 0
    [found] = one.query(f"SELECT count(*) AS n, min(length(text)) AS least FROM one WHERE length(text) = {LETTERS}")
    assert found == {"n": ANSWERS, "least": LETTERS}
    [shards] = one.query("SELECT count(*) AS n FROM batches")
    assert shards["n"] == ANSWERS // per_shard
    return ended[2].ru_maxrss * 1024


@pytest.mark.slow
def test_memory_does_not_grow_with_the_shard(tmp_path: Path) -> None:
    with fake_engine(long_body) as engine:
        large, small = (peak(tmp_path / str(size), engine, size) for size in (ANSWERS, ANSWERS // 10))
    assert large < small + 15 * MB, f"{large / MB:.0f} MB in one shard, {small / MB:.0f} MB in ten"
