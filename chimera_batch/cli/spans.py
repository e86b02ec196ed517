"""How long something takes, in a person's words. Pure."""

from __future__ import annotations

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def span(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 10 min``, ``2 d 4 h``: two units at most, never more exact than it is known."""
    left = max(0, round(seconds))
    if left < 60:
        return f"{left} s"
    parts: list[str] = []
    for size, unit in _UNITS:
        whole, left = divmod(left, size)
        if whole or parts:
            parts.append(f"{whole} {unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0 "))


def expected(at: float | None, basis: str | None, now: float) -> str:
    """When a batch is expected back, and what that rests on; a dash where nobody waits for one."""
    if basis is None:
        return "-"
    return basis if at is None else f"in {span(at - now)} ({basis})"
