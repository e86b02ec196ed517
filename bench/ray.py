"""vLLM under Ray beside the same vLLM alone: the same prompts, the same arguments, in one run.

    python -m bench.ray --python ENV/bin/python [--requests 64] [--tokens 128] [--hidden 512] [--layers 8] [--pairs 2]

The interpreter has vLLM, transformers and ray[data]. The model has random weights and is made on the spot. Tokens per
second are counted from when the engine takes the first request to when it is done with the last one, so loading is in
neither; what Ray costs around that is told apart. Plain and Ray take turns, so that a machine that gets slower does not
count for one of them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

from chimera_batch.engines import ray_driver, ray_state
from chimera_batch.providers import profiles
from chimera_batch.providers.ray import RayProvider
from chimera_batch.records import Intent

ROOT = Path(__file__).resolve().parents[1]
WORDS = ["integral", "lattice", "photon", "enzyme", "tensor", "graph", "orbit", "plasma", "matrix", "isotope"]


def wire(path: Path, model: Path, requests: int, tokens: int) -> None:
    """As many different prompts with one system prompt; every answer is exactly as long as asked."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(requests):
            about = " ".join(WORDS[(number * 7 + at) % len(WORDS)] for at in range(8 + number % 5))
            chat = [
                {"role": "system", "content": "You answer in full, step by step, and check what you say."},
                {"role": "user", "content": f"Question {number}: what do you know about {about}?"},
            ]
            body = {"model": str(model), "messages": chat, "max_tokens": tokens, "ignore_eos": True, "seed": number}
            line = {"custom_id": f"00000000-{number:032x}", "method": "POST", "url": "/v1/chat/completions"}
            file.write(json.dumps({**line, "body": body}) + "\n")


def provider(folder: Path, said: argparse.Namespace) -> RayProvider:
    engine = {"kind": "ray", "python": said.python, "folder": str(folder), "block": said.block, "restarts": 0}
    engine |= {"max_model_len": 2048, "max_num_seqs": said.at_once, "flags": {"enforce-eager": True}}
    return RayProvider(profiles.with_overrides(None, "ray", {"engine": engine}))


def under_ray(said: argparse.Namespace, folder: Path, path: Path, model: Path) -> tuple[dict[str, Any], Path]:
    """One job to its end. ``seconds``: of the engine, from the first request to the last; ``whole``: of the driver."""
    host, began = provider(folder, said), time.time()
    intent = Intent(
        "bench", 1, "00000000", "0" * 64, said.requests, 1, "/v1/chat/completions", str(model), "24h", "b", began
    )
    job = host.create(intent, path, host.upload(intent, path))
    while (state := host.state(job)).phase == "working":
        time.sleep(0.2)
    if state.phase != "ended":
        raise SystemExit(f"the job failed: {state.problems}")
    found = [json.loads(line) for line in ray_state.results(folder / job)]
    times = [(float(one["engine"]["began"]), float(one["engine"]["ended"])) for one in found]
    first, last = min(a for a, _ in times), max(b for _, b in times)
    end = json.loads((folder / job / "end.json").read_text())["at"]
    tokens = sum(one["response"]["body"]["usage"]["completion_tokens"] for one in found)
    ray_driver.end(folder / job)
    return {"seconds": last - first, "tokens": tokens, "whole": end - began, "after": end - last}, folder / job


def alone(said: argparse.Namespace, job: Path) -> dict[str, Any]:
    """The same folder, by vLLM's own ``LLM.generate``."""
    command = [said.python, "-P", str(ROOT / "bench" / "_ray_plain.py"), str(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not told:
        raise SystemExit(f"plain vLLM failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(told[0].removeprefix("RESULT "))
    return found


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.ray", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--python", required=True, help="the interpreter that has vllm and ray[data]")
    for name, number in (("requests", 64), ("tokens", 128), ("hidden", 512), ("layers", 8), ("pairs", 2)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--block", type=int, default=16, help="requests that are made durable together")
    parser.add_argument("--at-once", type=int, default=16, help="max_num_seqs")
    return parser.parse_args(words)


def main(words: list[str]) -> None:
    said = arguments(words)
    with tempfile.TemporaryDirectory() as scratch:
        folder, model, path = Path(scratch), Path(scratch) / "model", Path(scratch) / "wire.jsonl"
        tiny = [said.python, str(ROOT / "tests" / "tiny_model.py"), str(model), str(said.hidden), str(said.layers)]
        subprocess.run(tiny, check=True, capture_output=True)
        wire(path, model, said.requests, said.tokens)
        found: dict[str, list[dict[str, Any]]] = {"ray": [], "plain": []}
        for number in range(said.pairs):
            got, job = under_ray(said, folder / f"jobs-{number}", path, model)
            found["ray"].append(got)
            found["plain"].append(alone(said, job))
    show(found)


def show(found: dict[str, list[dict[str, Any]]]) -> None:
    """The table, and the ratio that counts."""
    print("| | tokens/s while generating | whole process, s |\n|---|---|---|")
    rates = {}
    for name, runs in found.items():
        each = [run["tokens"] / run["seconds"] for run in runs]
        rates[name] = sum(run["tokens"] for run in runs) / sum(run["seconds"] for run in runs)
        print(f"| {name} | {rates[name]:,.0f} ({', '.join(f'{one:,.0f}' for one in each)}) | {_s(runs, 'whole')} |")
    print(
        f"\nratio {rates['ray'] / rates['plain']:.3f}; from the last answer to the end of the job"
        f" {_s(found['ray'], 'after')} s"
    )


def _s(runs: list[dict[str, Any]], name: str) -> str:
    return f"{mean(run[name] for run in runs):.1f}"


if __name__ == "__main__":
    main(sys.argv[1:])
