"""Behaves like the server of vLLM as far as a runner can see, and badly when it is told to. Copied into a package.

What it does is in the JSON file that FAKE_VLLM names, read again at every question, so that a test can change its mind:

    start     seconds until it is healthy
    dies      {"words": …, "code": …}: says that and ends instead of getting healthy; "times": how often
    answer    seconds that an answer takes; "hang": requests wait for ever and no token is made
    silent    /metrics and /health answer no more
    stubborn  SIGTERM is ignored

It has a worker that outlives it, as vLLM's engine core does. Each start adds a line to starts.jsonl beside the file,
each question and each answer one to asked.jsonl and answered.jsonl.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TOLD = Path(os.environ["FAKE_VLLM"])
STARTS = TOLD.with_name("starts.jsonl")
BEGUN = time.monotonic()
STATE: dict[str, Any] = {"tokens": 0, "running": 0}
COUNT = threading.Lock()
OPTIONS = dict(itertools.pairwise(sys.argv[1:]))


def told(name: str, default: Any = None) -> Any:
    return json.loads(TOLD.read_text("utf-8")).get(name, default)


def note(name: str, what: Any) -> None:
    with TOLD.with_name(name).open("a", encoding="utf-8") as file:
        file.write(json.dumps(what) + "\n")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Not a line for each request."""

    def reply(self, status: int, body: str) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        if told("silent"):
            time.sleep(3600)
        if self.path == "/health":
            self.reply(200 if time.monotonic() - BEGUN >= told("start", 0) else 503, "")
        elif self.path == "/metrics":
            counts = {"num_requests_running": STATE["running"], "generation_tokens_total": STATE["tokens"]}
            lines = (f'vllm:{name}{{engine="0",model_name="m"}} {value}' for name, value in counts.items())
            self.reply(200, "\n".join([*lines, "# HELP vllm:x y", 'vllm:num_preemptions_total{engine="0"} 12.0']))
        else:
            self.reply(404, "{}")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["model"] != OPTIONS["--served-model-name"]:
            self.reply(404, json.dumps({"error": {"message": f"The model {body['model']} does not exist."}}))
            return
        with COUNT:
            STATE["running"] += 1
            note("asked.jsonl", {"prompt": body["messages"][-1]["content"].strip(), "pid": os.getpid()})
        while told("hang"):
            time.sleep(0.05)
        time.sleep(told("answer", 0))
        said = f"{body['messages'][-1]['content']} is {sum(map(ord, body['messages'][-1]['content']))}"
        with COUNT:
            STATE["tokens"] += 7
            STATE["running"] -= 1
        usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        name = self.headers.get("X-Request-Id", "none")
        with COUNT:
            note("answered.jsonl", {"prompt": body["messages"][-1]["content"].strip(), "pid": os.getpid()})
        answer = {"id": f"chatcmpl-{name}", "object": "chat.completion", "model": body["model"], "choices": [choice]}
        self.reply(200, json.dumps({**answer, "usage": usage}))


def main() -> None:
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])  # in our group; outlives us
    secrets = sorted(name for name in os.environ if "KEY" in name or "TOKEN" in name)
    line = {
        "pid": os.getpid(),
        "worker": worker.pid,
        "argv": sys.argv[1:],
        "secrets": secrets,
        "port": OPTIONS["--port"],
    }
    note(STARTS.name, line)
    dies = told("dies")
    if dies and len(STARTS.read_text("utf-8").splitlines()) <= dies.get("times", 1_000):
        time.sleep(told("start", 0))
        worker.kill()
        worker.wait()
        sys.stderr.write(f"{dies['words']}\n")
        os._exit(dies["code"])
    if told("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stderr.write("INFO 11-22 03:41:48 [fake.py:1] Loading weights\n")
    server = ThreadingHTTPServer(("127.0.0.1", int(OPTIONS["--port"])), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
