"""As much of vLLM as the bench calls by itself; the driver reaches it through Ray only."""

from types import SimpleNamespace
from typing import Any


class SamplingParams(SimpleNamespace):
    """Keeps what it is told."""


class LLM:
    def __init__(self, *, model: str, max_num_seqs: int, **more: Any) -> None:
        assert model and max_num_seqs and more["enforce_eager"]

    def generate(
        self, prompts: list[dict[str, list[int]]], params: list[SamplingParams], *, use_tqdm: bool
    ) -> list[Any]:
        assert not use_tqdm
        found = zip(prompts, params, strict=True)
        made = [prompt["prompt_token_ids"][: asked.max_tokens] for prompt, asked in found]
        return [SimpleNamespace(outputs=[SimpleNamespace(token_ids=tokens)]) for tokens in made]
