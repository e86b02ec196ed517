"""A tokenizer whose tokens are characters."""

from typing import Any


class AutoTokenizer:
    @classmethod
    def from_pretrained(cls, model: str, *, trust_remote_code: bool) -> "AutoTokenizer":
        assert model and not trust_remote_code
        return cls()

    def apply_chat_template(self, chat: list[dict[str, str]], *, tokenize: bool, **more: Any) -> str:
        assert not tokenize and more.pop("add_generation_prompt")
        return "".join(message["content"] for message in chat) + "".join(f"{k}={v}" for k, v in more.items())

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return list(map(ord, text))

    def decode(self, tokens: list[int], *, skip_special_tokens: bool = False) -> str:
        return "".join(map(chr, tokens)).replace("<", "") if skip_special_tokens else "".join(map(chr, tokens))

    def convert_tokens_to_ids(self, token: str) -> int:
        return 0x10FFFF  # "</think>", a character that no prompt holds


class GenerationConfig:
    @classmethod
    def from_pretrained(cls, model: str) -> "GenerationConfig":
        if model == "plain":
            raise OSError("it has none")
        return cls()

    def to_diff_dict(self) -> dict[str, Any]:
        return {"temperature": 0.6, "eos_token_id": 2}
