"""What was asked about a row, word for word: rendered again, and believed only where it gives the same request id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chimera_batch.context import Context
from chimera_batch.errors import InputError
from chimera_batch.pipeline.project import Stage
from chimera_batch.report.visible import clipped, visible
from chimera_batch.requests.render import Renderer

LONGEST = 4_000
"""Characters of a message in the page: a long one shows its beginning and its end."""


class Prompts:
    """One stage's prompts. A message that is the same for every row is kept once, in ``shared``."""

    def __init__(self, ctx: Context, stage: Stage) -> None:
        from chimera_batch.requests.template import parse  # noqa: PLC0415 - jinja2 is slow to import

        self.shared: list[str] = []
        self._messages = self._renderers = ()  # type: tuple[Any, ...]
        if stage.prompt is None:
            return
        try:
            params = ctx.project.params
            self._messages = parse(stage.prompt, params)
            self._renderers = tuple(Renderer(call, stage.prompt, params) for call in (*stage.calls, *stage.left))
        except InputError:  # the file was broken after the run: nothing can be said of what was sent
            return
        self.shared = [_text("".join(map(str, m.parts))) for m in self._messages if m.constant]

    def of(self, row: Mapping[str, Any], sample: int, request_id: str) -> list[list[Any]] | None:
        """Pairs of a role and a text, or the number of a shared one. None: the prompt is not what it was then."""
        columns, values = tuple(row), [tuple(row.values())]
        try:
            if not any(one.batch(columns, values, [sample]).ids == [request_id] for one in self._renderers):
                return None
            texts = [None if m.constant else _text(m.texts(columns, values)[0]) for m in self._messages]
        except InputError:
            return None
        numbers = iter(range(len(self.shared)))
        said = zip(self._messages, texts, strict=True)
        return [[message.role, next(numbers) if text is None else text] for message, text in said]


def _text(text: str) -> str:
    return visible(clipped(text, LONGEST))
