"""Ray's vLLM processor with an engine that says the prompt backwards.

Flags: ``pause`` seconds before each block; ``die_after`` / ``hang_after`` / ``raise_after`` so many blocks, in
the first ``bad_drivers`` drivers (default 1); ``says`` what is raised. A prompt that holds FAIL is refused.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from ray.data import Dataset


class vLLMEngineProcessorConfig(SimpleNamespace):
    """Keeps what it is told."""


class Engine:
    """Stands where AsyncLLM would; the driver wraps ``generate``."""

    async def generate(self) -> Any:
        yield None


class Stage:
    def __init__(self) -> None:
        self.llm = SimpleNamespace(engine=Engine())


class Plan(SimpleNamespace):
    def model_copy(self, *, update: dict[str, Any]) -> "Plan":
        return Plan(**{**self.__dict__, **update})


class Processor:
    def __init__(self, config: vLLMEngineProcessorConfig, preprocess: Callable[..., Any], postprocess: Any) -> None:
        self.config, self.before, self.after = config, preprocess, postprocess
        self.stages = {"vLLMEngineStage": Plan(fn=Stage)}

    def get_stage_by_name(self, name: str) -> Plan:
        return self.stages[name]

    def __call__(self, data: Dataset) -> Dataset:
        data.work = self.work
        return data

    def work(self, blocks: list[list[dict[str, Any]]]) -> Iterator[list[dict[str, Any]]]:
        self.stages["vLLMEngineStage"].fn()
        told = self.config.engine_kwargs
        bad = int(sys.argv[2]) <= told.get("bad_drivers", 1)
        for number, block in enumerate(reversed(blocks)):  # out of order
            if bad and number == told.get("raise_after"):
                raise RuntimeError(told["says"])
            if bad and number == told.get("die_after"):
                os.kill(os.getpid(), signal.SIGKILL)
            while bad and number == told.get("hang_after"):
                time.sleep(0.05)
            time.sleep(told.get("pause", 0))
            yield [self._one(dict(row)) for row in block]

    def _one(self, row: dict[str, Any]) -> dict[str, Any]:
        row |= self.before(row)
        if row["__inference_error__"]:
            return row
        words = "".join(map(chr, row["tokenized_prompt"]))
        if "FAIL" in words:
            return row | {"__inference_error__": "VLLMValidationError: The decoder prompt is longer than the context"}
        text = words[::-1][: row["sampling_params"]["max_tokens"]]
        now = time.time()
        row["metrics"] = {"finish": None, "began": now - 0.01, "ended": now}
        row |= {"generated_text": text, "generated_tokens": list(map(ord, text)), "num_input_tokens": len(words)}
        return self.after(row) | {"__inference_error__": ""}


def build_processor(config: vLLMEngineProcessorConfig, **more: Any) -> Processor:
    assert config.should_continue_on_error and not config.log_engine_metrics
    assert more["preprocess_map_kwargs"] == more["postprocess_map_kwargs"] == {"num_cpus": 0.25, "concurrency": 1}
    return Processor(config, more["preprocess"], more["postprocess"])
