"""The pieces of a page of docs/reference/."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

COMMAND = "python -m scripts.build_docs"


def page(title: str, *parts: str) -> str:
    """A page with its title, and the word on where it comes from."""
    told = f"<!-- Built from the code by `{COMMAND}`: do not edit. -->"
    return "\n\n".join([f"# {title}", told, *(part.strip() for part in parts)]) + "\n"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; bars and line breaks in cells do no harm."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(heading), ["---"] * len(heading), *cells])


def code(text: object) -> str:
    return f"`{text}`"
