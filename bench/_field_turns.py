"""The turns of ``bench.field``: each tool, our own command line and the plain loop do the same job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench._field import SCRIPTS, Cost, Failed, Host, Watched, environment, host, make_job, measure

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 900.0  # seconds for one half of one tool
OURS, PLAIN = "chimera-batch", "plain loop"
UNFINISHED = 5  # how ``run --detach`` ends while a provider works


@dataclass(frozen=True)
class Row:
    """One line of the table. None: that half was not done; ``note`` says why."""

    name: str
    package: Cost | None
    collect: Cost | None
    requests: int
    note: str = ""

    @property
    def peak(self) -> int:
        return max(half.peak for half in (self.package, self.collect) if half)


class Field:
    """The job, and a folder in which tools take their turns."""

    def __init__(self, work: Path, turns: Path, requests: int) -> None:
        self.work, self.turns, self.requests = work, turns, requests

    def turn(self, name: str, requests: int) -> tuple[Path, Path]:
        """A new folder with the job in it."""
        folder = self.turns / name.replace(" ", "-")
        folder.mkdir()
        path = folder / "job.json"
        path.write_text(json.dumps(make_job(folder, requests)))
        return folder, path

    def plain(self) -> Row:
        """The host makes the answers of what the loop wrote, sent by us."""
        folder, job = self.turn(PLAIN, self.requests)
        env, script = _environment(folder, None), [sys.executable, SCRIPTS / "use_plain.py"]
        package = measure([*script, "package", folder], folder, env)
        with host(folder / "host", job) as at:
            for path in sorted(folder.glob("batch-*.jsonl")):
                _send(at, path)
            outputs = _released(at, self.requests)["outputs"]
        job.write_text(json.dumps({**json.loads(job.read_bytes()), "outputs": outputs}))
        collect = measure([*script, "collect", folder], folder, env)
        _joined(folder, self.requests)
        return Row(PLAIN, package, collect, self.requests, "sends, checks and keeps nothing")

    def ours(self) -> Row:
        folder, job = self.turn(OURS, self.requests)
        manifest = write_project(folder, json.loads(job.read_bytes()))
        command = [sys.executable, "-m", "chimera_batch"]
        with host(folder / "host", job) as at:
            env = _environment(folder, at)
            package = measure([*command, "run", "--yes", "--detach", manifest], folder, env, accept=[UNFINISHED])
            _released(at, self.requests)
            collect = measure([*command, "advance", manifest], folder, env)
        query = [
            *command,
            "--json",
            "query",
            "-m",
            manifest,
            "SELECT count(*) AS n FROM answered WHERE text LIKE '{%}'",
        ]
        told = subprocess.run([str(word) for word in query], env=env, cwd=folder, check=True, stdout=subprocess.PIPE)
        if f'"n":{self.requests}' not in told.stdout.decode().replace(" ", ""):
            raise Failed(f"not {self.requests} answers joined: {told.stdout.decode()[:200]}")
        return Row(OURS, package, collect, self.requests, "tokens, prices, lint and journal included; kept as Parquet")

    def other(self, name: str, tool: Mapping[str, Any]) -> Row:
        """Raises Failed, LookupError or CalledProcessError where it cannot be installed or does not do it."""
        pins = tool.get("pins", name)
        python = environment(pins, tool.get("python"), self.work)
        requests = min(self.requests, tool.get("most", self.requests))
        folder, job = self.turn(name, requests)
        script = [python, SCRIPTS / f"use_{name.replace('-', '_')}.py"]
        halves = tool.get("halves", "both")
        with host(folder / "host", job) as at:
            env = _environment(folder, at)
            if halves == "once":
                package, collect = _parted([*script, "once", folder], folder, env, at, requests)
            else:
                package = measure([*script, "package", folder], folder, env, limit=LIMIT)
                if halves == "files":
                    for path in sorted(folder.glob("batch-*.jsonl")):
                        _send(at, path)
                _released(at, requests)
                collect = None if halves != "both" else measure([*script, "collect", folder], folder, env, limit=LIMIT)
        if collect:
            _joined(folder, requests)
        return Row(f"{tool['title']} {_version(pins, tool)}", package, collect, requests, tool.get("because", ""))


def _parted(line: list[str | Path], folder: Path, env: Mapping[str, str], at: Host, requests: int) -> tuple[Cost, Cost]:
    with ExitStack() as stack:
        process = Watched(line, folder, env)
        stack.callback(process.kill)
        package = process.until(lambda: at.state()["requests"] >= requests, LIMIT)
        _released(at, requests)
        process.resume()
        return package, process.end((0,), LIMIT)


def _released(at: Host, requests: int) -> dict[str, Any]:
    """Let the host answer. Raises Failed if it was not asked what the job says."""
    state = at.release()
    if state["wrong"] or not state["requests"] == state["rows"] == requests:
        raise Failed(f"asked {state['requests']} requests for {state['rows']} rows; {state['wrong']}")
    return state


def _joined(folder: Path, requests: int) -> None:
    done = json.loads((folder / "done.json").read_bytes())
    if done["joined"] != requests or done["characters"] < requests:
        raise Failed(f"joined {done['joined']} of {requests}")


def _send(at: Host, path: Path) -> None:
    import openai  # noqa: PLC0415 - only where a tool sends nothing by itself

    with openai.OpenAI(base_url=f"{at.url}/v1", api_key="none") as client, path.open("rb") as file:
        sent = client.files.create(file=file, purpose="batch")
        client.batches.create(input_file_id=sent.id, endpoint="/v1/chat/completions", completion_window="24h")


def _environment(folder: Path, at: Host | None) -> dict[str, str]:
    """Nothing of ours, nobody's telemetry, and no way past this machine: a tool that looks something up fails fast."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    dead = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    quiet = {
        "TELEMETRY_ENABLED": "false", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    own = {
        "CHIMERA_CACHE": str(folder / "cache"),
        "CHIMERA_STATE": str(folder / "state"),
        "HF_HOME": str(folder / "hf"),
    }
    url = {"OPENAI_BASE_URL": f"{at.url}/v1", "OPENAI_API_KEY": "none"} if at else {}
    return {**kept, **dead, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **quiet, **own, **url}


def _version(pins: str, tool: Mapping[str, Any]) -> str:
    lines = (SCRIPTS / "pins" / f"{pins}.txt").read_text().splitlines()
    return next(line.split("==")[1] for line in lines if line.startswith(f"{tool['package']}=="))


# -- our own project, as a person would write it


def write_project(folder: Path, job: Mapping[str, Any]) -> Path:
    """One stage: rows from the file, a prompt of three columns, every answer as it is."""
    prompt = job["user"].replace("{", "{{ ").replace("}", " }}")
    columns = ", ".join(f"{name}: 'VARCHAR'" for name in ("row_key", "audience", "source", "passage"))
    reader = f"read_json('{job['rows']}', format = 'newline_delimited', columns = {{{columns}}})"
    model = f"{{provider: openai, model: {job['model']}, max_output_tokens: {job['max_tokens']}}}"
    files = {
        "prompts/answered.md": f"<!-- system -->\n{job['system']}\n<!-- user -->\n{prompt}\n",
        "sql/answered_rows.sql": f"-- The passages.\n-- reads: nothing\nSELECT * FROM {reader} ORDER BY row_key\n",
        "field.yaml": f"run: field\nstore: ./runs\nbudget: {{usd: 1000}}\nmodels:\n  reader: {model}\nstages:\n"
        "  - {name: answered, ask: reader, prompt: answered.md, rows: answered_rows.sql, canary: 0,\n"
        "     assume: {output_tokens: 300}}\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder / "field.yaml"
