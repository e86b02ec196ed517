"""Throughput through the provider beside the same engine driven directly: ``python -m bench.local [MODEL]``.

One vLLM is started for all of it (``--python`` or CHIMERA_VLLM_PYTHON: its interpreter; where there is none, it says so
and measures nothing). Without MODEL one of random weights is made: 512 hidden units in 8 layers. The same prompts
go to it in turns:

- **directly**: threads with a bare ``http.client`` connection each, as many as the provider has; nothing is kept.
- **provider**: a ``Crew`` of as many hands, ``LocalProvider.ask`` and a durable ``Spool.reply``, as a run does it.
- **in process**: no server at all, vLLM's own ``LLM.chat`` with the same arguments in a process of its own.

Prints tokens a second of each turn and the ratios of the medians; below 0.97 of *directly* the exit code is 1. With
``--uneven`` the answers' lengths are log-normal, as those of real traces are, and two further ways through the provider
tell what an order of the requests is worth: the **longest first** and the shortest first, by lengths that nobody knows
beforehand. Take a model so large that the engine is the bottleneck, and a machine that does nothing else. Not in it:
what a run does before its first and after its last call.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from chimera_batch import settings
from chimera_batch.calls.crew import Crew
from chimera_batch.calls.spooling import Spool
from chimera_batch.engines import serve
from chimera_batch.engines.base import Server
from chimera_batch.engines.vllm import installed
from chimera_batch.errors import EngineFailed
from chimera_batch.providers.local import LocalProvider
from chimera_batch.providers.profiles import builtin

LEAST = 0.97
Ask = Callable[[bytes], int]
"""One wire line to the tokens of its answer."""
Turn = Callable[[], float]
"""All requests once: tokens a second."""


def lengths(requests: int, tokens: int, *, uneven: bool) -> list[int]:
    """Tokens of each answer: all the same, or log-normal about them, up to six times as many."""
    draw = random.Random(7)
    return [
        min(round(tokens * draw.lognormvariate(0, 0.9)) + 1, 6 * tokens) if uneven else tokens for _ in range(requests)
    ]


def lines(model: str, wanted: list[int]) -> list[bytes]:
    """Wire lines that share their beginning, each answer of exactly as many tokens as wanted."""
    found = []
    for number, tokens in enumerate(wanted):
        messages = [{"role": "system", "content": "def f(x): " * 20}, {"role": "user", "content": f"def g{number}(y):"}]
        body = {"model": model, "messages": messages, "max_tokens": tokens, "ignore_eos": True, "seed": number}
        line = {"custom_id": f"00000001-{number:032x}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        found.append(json.dumps(line, separators=(",", ":")).encode())
    return found


def turn(work: list[bytes], hands: int, ask: Ask) -> float:
    """Tokens a second of all answers together. Raises what a call raised."""
    made: list[int] = []
    crew: Crew[bytes] = Crew(hands, lambda line: made.append(ask(line)))
    began = time.monotonic()
    for line in work:
        while not crew.give(line, 1.0):
            pass
    while not crew.rests(1.0):
        pass
    took = time.monotonic() - began
    crew.dismiss()
    if crew.failures:
        raise crew.failures[0]
    return sum(made) / took


def directly(url: str) -> Ask:
    place = urlsplit(url)
    free: list[http.client.HTTPConnection] = []

    def ask(line: bytes) -> int:
        connection = free.pop() if free else http.client.HTTPConnection(str(place.hostname), place.port)
        body = json.dumps(json.loads(line)["body"])
        connection.request("POST", f"{place.path}/chat/completions", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        free.append(connection)
        return int(answer["usage"]["completion_tokens"])

    return ask


def through(provider: LocalProvider, spool: Spool) -> Ask:
    def ask(line: bytes) -> int:
        reply = provider.ask(line)
        spool.reply(reply)
        usage = provider.decode(reply).usage
        return usage.output_tokens if usage else 0

    return ask


@contextmanager
def in_process(work: list[bytes], server: Server, said: argparse.Namespace, folder: Path) -> Iterator[Turn]:
    """The engine without its server, loaded and warm. While it answers the server stands still: idle it spins."""
    path = folder / "lines.jsonl"
    path.write_bytes(b"\n".join(work))
    flags = ["--model", said.model, *shlex.split(server.about()["flags"])]
    command = [said.python, "-P", str(Path(__file__).with_name("_vllm_plain.py")), str(path), *flags]
    quiet = {**os.environ, "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    child = subprocess.Popen(command, env=quiet, text=True, start_new_session=True, **pipes)
    other = int(json.loads((folder / "engines" / "vllm" / "server.json").read_bytes())["pid"])

    def again() -> float:
        with still(other):
            os.killpg(child.pid, signal.SIGCONT)
            print("go", file=child.stdin, flush=True)
            _, seconds, tokens = until(child, "RESULT")
            os.killpg(child.pid, signal.SIGSTOP)
        return int(tokens) / float(seconds)

    try:
        until(child, "READY")
        os.killpg(child.pid, signal.SIGSTOP)
        yield again
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@contextmanager
def still(group: int) -> Iterator[None]:
    """The processes of a group are stopped, for as long as something else is measured."""
    os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(group, signal.SIGCONT)


def until(child: subprocess.Popen[str], word: str) -> list[str]:
    """The words of the next line that starts with ``word``."""
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith(word):
            return line.split()
    raise SystemExit("the engine in process ended")


def ways(work: list[bytes], server: Server, ask: Ask, said: argparse.Namespace) -> dict[str, Turn]:
    """What is compared, by name; each has been warmed."""
    hands = 2 * said.seqs
    plain = directly(server.address(said.model))
    for one in (plain, ask):
        turn(work[:hands], hands, one)  # the engine's caches, connections
    found: dict[str, Turn] = {"directly": lambda: turn(work, hands, plain), "provider": lambda: turn(work, hands, ask)}
    if said.uneven:
        longest = sorted(work, key=lambda line: -int(json.loads(line)["body"]["max_tokens"]))
        found["longest first"] = lambda: turn(longest, hands, ask)
        found["shortest first"] = lambda: turn(longest[::-1], hands, ask)
    return found


def compare(turns: Mapping[str, Turn], rounds: int) -> float:
    """The provider over *directly*, by the medians."""
    speeds: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds):
        for name in list(turns)[:: 1 if number % 2 == 0 else -1]:
            speeds[name].append(turns[name]())
            print(f"{number + 1} {name:14s} {speeds[name][-1]:10,.1f} tokens/s", flush=True)
    middle = {name: median(each) for name, each in speeds.items()}
    for name, speed in middle.items():
        print(f"median {name:14s} {speed:10,.1f} tokens/s, {speed / middle['directly']:.3f} of directly")
    print(f"at least {LEAST} is wanted through the provider")
    return middle["provider"] / middle["directly"]


def made(folder: Path, python: str) -> str:
    """A model of random weights, large enough to keep an engine on a processor busy."""
    script = Path(__file__).resolve().parent.parent / "tests" / "tiny_model.py"
    subprocess.run([python, str(script), str(folder), "512", "8"], check=True, capture_output=True)
    return str(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="a folder, or a name at the Hub")
    parser.add_argument("--python", default=settings.engine_python() or sys.executable)
    for name, default in (("requests", 64), ("tokens", 256), ("seqs", 16), ("turns", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument(
        "--uneven", action="store_true", help="answers of differing lengths, and what an order is worth"
    )
    said = parser.parse_args()
    try:
        installed(said.python)
    except EngineFailed as failed:
        print(f"nothing was measured: {failed}")
        return 0
    engine = builtin()["vllm"].engine
    assert engine is not None
    engine = replace(engine, python=said.python, max_num_seqs=said.seqs, max_model_len=2048)
    with tempfile.TemporaryDirectory(prefix="bench-local-") as folder, Spool(Path(folder) / "spool.jsonl") as spool:
        said.model = said.model or made(Path(folder) / "model", said.python)
        server = serve(engine, "vllm", Path(folder), print)
        provider = LocalProvider(replace(builtin()["vllm"], engine=engine), "", server=server)
        work = lines(said.model, lengths(said.requests, said.tokens, uneven=said.uneven))
        try:
            turns = ways(work, server, through(provider, spool), said)
            with in_process(work, server, said, Path(folder)) as alone:
                return 0 if compare({**turns, "in process": alone}, said.turns) >= LEAST else 1
        finally:
            provider.close()


if __name__ == "__main__":
    sys.exit(main())
