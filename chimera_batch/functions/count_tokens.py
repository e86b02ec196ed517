"""How many tokens a text is for a model: what shares of a mix of training data are measured in."""

from __future__ import annotations

from chimera_batch.cost.tokens import counter


def count_tokens(text: str, model: str) -> int:
    """Exact for models with a public vocabulary, else the usual estimate (``tokens.py``); the chat format is left out.

    A lone surrogate, which no file can hold, counts as a question mark.
    """
    return counter(model).count(text.encode("utf-8", "replace").decode("utf-8"))
