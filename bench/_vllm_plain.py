"""The same engine in process, without its server: run by the interpreter that has vLLM, driven by ``bench.local``.

    python -P bench/_vllm_plain.py LINES FLAG...

LINES are wire lines, FLAGs those of the server. For every line on standard input it answers all of them once and prints
``RESULT`` with the seconds and the output tokens, so that its turns can stand between those of others.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any


def engine(flags: list[str]) -> Any:
    """An ``LLM`` of exactly the arguments that the server was given."""
    import vllm  # noqa: PLC0415 - of this interpreter alone
    from vllm.engine.arg_utils import EngineArgs  # noqa: PLC0415
    from vllm.utils.argparse_utils import FlexibleArgumentParser  # noqa: PLC0415

    said, _ = EngineArgs.add_cli_args(FlexibleArgumentParser()).parse_known_args(flags)  # a server's own are left
    known = EngineArgs.from_cli_args(said)
    given = {one.name: getattr(known, one.name) for one in fields(known) if getattr(known, one.name) is not None}
    return vllm.LLM(**{**given, "disable_log_stats": True})


def main(lines: Path, flags: list[str]) -> None:
    from vllm import SamplingParams  # noqa: PLC0415

    llm = engine(flags)
    asked = [json.loads(line)["body"] for line in lines.read_bytes().splitlines()]
    chats = [body["messages"] for body in asked]
    params = [SamplingParams(max_tokens=one["max_tokens"], ignore_eos=True, seed=one["seed"]) for one in asked]
    llm.chat(chats[:32], params[:32], use_tqdm=False)  # warm, like the others
    print("READY", flush=True)
    for _ in sys.stdin:
        began = time.monotonic()
        done = llm.chat(chats, params, use_tqdm=False)
        took = time.monotonic() - began
        print("RESULT", took, sum(len(one.outputs[0].token_ids) for one in done), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
