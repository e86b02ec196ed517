"""The tags that the pipeline's prompts put around what they send: ``<topic>…</topic>`` and the like."""

from __future__ import annotations


def read_tag(text: str, name: str) -> str | None:
    """The content of the last ``<name>`` element, stripped; None if there is none.

    The last one, because a prompt may speak of the tag before it uses it.
    """
    end = text.rfind(f"</{name}>")
    if end < 0:
        return None
    opening = f"<{name}>"
    start = text.rfind(opening, 0, end)
    return None if start < 0 else text[start + len(opening) : end].strip()


def read_lines(text: str, name: str) -> list[str]:
    """The element's lines without list marks and blanks; empty if it is absent."""
    lines = (line.strip().lstrip("-*•").strip() for line in (read_tag(text, name) or "").split("\n"))
    return [line for line in lines if line]


def read_count(text: str, name: str, default: int) -> int:
    """The element's whole number, between 1 and 1,000; ``default`` if it is absent or no number."""
    found = read_tag(text, name)
    return min(max(int(found), 1), 1000) if found and found.isdecimal() and len(found) < 10 else default
