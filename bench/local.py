"""Throughput through the provider beside the same engine driven directly: ``python -m bench.local [MODEL]``.

One vLLM is started for all of it (``--python`` or CHIMERA_VLLM_PYTHON: its interpreter; where there is none, it says so
and measures nothing). Without MODEL one of random weights is made: 512 hidden units in 8 layers. The same prompts
go to it in turns:

- **directly**: threads with a bare ``http.client`` connection each, as many as the provider has; nothing is kept.
- **provider**: a ``Crew`` of as many hands, ``LocalProvider.ask`` and a durable ``Spool.reply``, as a run does it.

Prints tokens a second of each turn and the ratio of the medians; below 0.97 the exit code is 1. Take a model so large
that the engine is the bottleneck, and a machine that does nothing else. Not in
it: what a run does before its first and after its last call, and the engine without its HTTP server.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from chimera_batch import settings
from chimera_batch.crew import Crew
from chimera_batch.engines import serve
from chimera_batch.engines.base import Server
from chimera_batch.engines.vllm import installed
from chimera_batch.errors import EngineFailed
from chimera_batch.providers.local import LocalProvider
from chimera_batch.providers.profiles import builtin
from chimera_batch.spooling import Spool

LEAST = 0.97
Ask = Callable[[bytes], int]
"""One wire line to the tokens of its answer."""


def lines(model: str, requests: int, tokens: int) -> list[bytes]:
    """Wire lines that share their beginning, every answer of exactly so many tokens."""
    found = []
    for number in range(requests):
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


def compare(server: Server, provider: LocalProvider, spool: Spool, said: argparse.Namespace) -> float:
    """The ratio of the medians."""
    work, hands = lines(said.model, said.requests, said.tokens), 2 * said.seqs
    ways = {"directly": directly(server.address(said.model)), "provider": through(provider, spool)}
    for ask in ways.values():
        turn(work[:hands], hands, ask)  # warm: the engine's caches, connections
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(said.turns):
        for name in list(ways)[:: 1 if number % 2 == 0 else -1]:
            speeds[name].append(turn(work, hands, ways[name]))
            print(f"{number + 1} {name:10s} {speeds[name][-1]:10,.1f} tokens/s", flush=True)
    ratio = median(speeds["provider"]) / median(speeds["directly"])
    print(f"median: {median(speeds['directly']):,.1f} directly, {median(speeds['provider']):,.1f} through the provider")
    print(f"ratio {ratio:.3f}, at least {LEAST} is wanted")
    return ratio


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
        try:
            return 0 if compare(server, provider, spool, said) >= LEAST else 1
        finally:
            provider.close()


if __name__ == "__main__":
    sys.exit(main())
