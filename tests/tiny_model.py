"""A tiny Qwen3 with random weights, made in about two seconds. Run by the engine's interpreter, not by the tests'.

    python tests/tiny_model.py FOLDER [HIDDEN [LAYERS]]

Needs torch, transformers and tokenizers. 64 hidden units in 2 layers are 230 thousand parameters. It speaks nonsense,
in a tokenizer that it learnt from Python's own library, with Qwen3's chat template in short: a thought may be switched
off.
"""

from __future__ import annotations

import sys
from pathlib import Path

VOCABULARY = 2048
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
TEMPLATE = (
    "{%- for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n"
    "{%- if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


def make(folder: Path, hidden: int = 64, layers: int = 2) -> None:
    """Write config, weights and tokenizer; the same bytes every time."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    texts = [
        path.read_text("utf-8", "replace") for path in sorted(Path(sys.modules["os"].__file__).parent.glob("[a-d]*.py"))
    ]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=TEMPLATE
    )
    wrapped.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=max(32, hidden // 4),
        tie_word_embeddings=True,
        max_position_embeddings=32_768,
        eos_token_id=SPECIAL.index("<|im_end|>"),
        pad_token_id=0,
    )
    Qwen3ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)


if __name__ == "__main__":
    make(Path(sys.argv[1]), *map(int, sys.argv[2:]))
