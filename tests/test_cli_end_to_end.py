"""The command line over the real engine and the real rehearsal server, in processes of their own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cli_kit import project
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "chimera_batch"]


def environment(folder: Path) -> dict[str, str]:
    leaky = ("OPENAI_", "ANTHROPIC_", "CHIMERA_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(leaky)}
    return {
        **clean,
        "CHIMERA_CACHE": str(folder / "cache"),
        "CHIMERA_STATE": str(folder / "state"),
        "PYTHONPATH": str(ROOT),
    }


def typed(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )


def told(folder: Path, *words: object, code: int = 0) -> Any:
    done = typed(folder, *words, "--json")
    assert done.returncode == code, done.stderr + done.stdout
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the tiny project was rehearsed to its end."""
    folder = tmp_path_factory.mktemp("rehearsed")
    project(folder)
    done = typed(folder, "run", "tiny.yaml", "--rehearse")
    assert done.returncode == 0, done.stderr
    assert "REHEARSAL: nothing was paid; answers are invented" in done.stdout
    assert "answers_of" in done.stderr  # progress
    assert "Traceback" not in done.stderr
    return folder


def test_a_second_run_asks_nothing(rehearsed: Path) -> None:
    batches = told(rehearsed, "status")["stages"][0]["batches"]
    document = told(rehearsed, "run", "tiny.yaml", "--rehearse")
    assert (document["state"], document["rehearsal"]) == ("done", True)
    assert document["stages"][0]["wanted"] == document["stages"][0]["answered"] == 3
    assert document["stages"][0]["batches"] == batches


def test_status_and_query_find_the_last_run(rehearsed: Path) -> None:
    assert told(rehearsed, "status", "--watch")["rehearsal"] is True
    rows = told(rehearsed, "query", "SELECT row_key, text FROM answers_of ORDER BY 1")
    assert [row["row_key"] for row in rows] == ["a", "b", "c"]
    assert "REHEARSAL" in typed(rehearsed, "query", "@costs").stdout


def test_the_other_side_knows_nothing_and_says_where_the_rehearsal_is(rehearsed: Path) -> None:
    document = told(rehearsed, "status", "tiny.yaml")
    assert document["state"] == "new"
    (note,) = document["notes"]
    line = note.removeprefix("what was rehearsed here: chimera-batch ")
    assert told(rehearsed, *line.split())["state"] == "done"
    assert told(rehearsed, "query", "-m", "tiny.yaml", "SELECT * FROM answers_of", code=2)["error"]["exit_code"] == 2
    text = (rehearsed / "tiny.yaml").read_text(encoding="utf-8")
    (rehearsed / "other.yaml").write_text(text.replace("run: tiny", "run: other"), encoding="utf-8")
    assert told(rehearsed, "status", "other.yaml")["notes"] == []  # of the same store, and not rehearsed


def test_trace_leads_back_to_the_raw_line(rehearsed: Path) -> None:
    document = told(rehearsed, "trace", "tiny.yaml", "b", "--rehearse")
    *_, result = document["steps"][0]["results"]
    assert result["outcome"] == "ok"
    assert document["steps"][0]["request_id"] in result["raw_line"]
    text = typed(rehearsed, "trace", "tiny.yaml", "b", "--rehearse", "--raw").stdout
    assert result["batch"] in text
    assert told(rehearsed, "trace", "tiny.yaml", "zz", "--rehearse", code=2)["error"]["type"] == "InputError"


def test_decisions_with_nothing_to_decide(rehearsed: Path) -> None:
    assert told(rehearsed, "cancel", "tiny.yaml", "--rehearse")["cancelled"] == []
    assert told(rehearsed, "retry", "tiny.yaml", "--rehearse")["retried"] == ["answers_of"]
    for words in (["adopt", "--batch", "b"], ["resend"]):
        error = told(rehearsed, *words, "tiny.yaml", "--shard", "s", "--rehearse", code=2)["error"]
        assert "status --rehearse" in error["hint"]


def test_advance_until_it_is_done(tmp_path: Path) -> None:
    project(tmp_path)
    first = told(tmp_path, "run", "tiny.yaml", "--rehearse", "--detach", code=5)
    assert first["error"]["type"] == "NotFinished"
    assert first["status"]["stages"][0]["in_flight"] == 3
    for _ in range(60):
        done = typed(tmp_path, "advance", "tiny.yaml", "--rehearse", "--json")
        assert done.returncode in {0, 5}, done.stderr
        if done.returncode == 0:
            break
        time.sleep(0.5)
    assert json.loads(done.stdout)["state"] == "done"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_and_typed_again(number: signal.Signals, tmp_path: Path) -> None:
    project(tmp_path)
    words = [*COMMAND, "run", "tiny.yaml", "--rehearse"]
    with subprocess.Popen(
        words,
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.send_signal(number)
        err = process.communicate(timeout=60)[1]
    assert "sending 3 requests" in first
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "chimera-batch run tiny.yaml --rehearse" in err
    document = told(tmp_path, "run", "tiny.yaml", "--rehearse")
    assert document["stages"][0]["answered"] == 3
    [bill] = tmp_path.rglob("billing.jsonl")
    twice = [sys.executable, "-m", "chimera_batch.rehearsal", "check", str(bill.parent)]
    assert subprocess.run(twice, cwd=ROOT, check=False).returncode == 0


def test_doctor_starts_the_real_server(tmp_path: Path) -> None:
    document = told(tmp_path, "doctor", "--store", "runs")
    state = {check["name"]: check["state"] for check in document["checks"]}
    assert state["rehearsal server"] == state["store"] == "ok"


# -- rehearsal serve


@pytest.fixture(params=[[], ["--json"]], ids=["text", "json"])
def serving(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    words = [*COMMAND, "rehearsal", "serve", "--state", "state", "--port", "0", "--seed", "3", *request.param]
    process = subprocess.Popen(
        words, cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    if request.param:
        while not said.rstrip().endswith("}"):
            said += process.stdout.readline()
    yield (json.loads(said)["url"] if request.param else said.strip()), process
    process.kill()
    process.communicate()


def test_serve_prints_its_url_and_ends_on_sigterm(serving: tuple[str, subprocess.Popen[str]]) -> None:
    url, process = serving
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request("GET", "/_rehearsal/health")
    assert json.loads(connection.getresponse().read())["pid"] == process.pid
    connection.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_one_server_per_folder_and_port(serving: tuple[str, subprocess.Popen[str]], tmp_path: Path) -> None:
    url, _ = serving
    error = told(tmp_path, "rehearsal", "serve", "--state", "state", code=2)["error"]
    assert error["message"] == "another server has this folder"
    port = urlsplit(url).port
    error = told(tmp_path, "rehearsal", "serve", "--state", "other", "--port", port, code=2)["error"]
    assert error["message"].startswith("cannot serve: ")
    assert error["hint"] == "--port 0"
