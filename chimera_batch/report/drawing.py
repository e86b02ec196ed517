"""Charts: a Vega or Vega-Lite specification (``charts/NAME.json``) and a table's rows, drawn by ``vl-convert-python``.

The page needs no script for them, and they print. Colours are names of the style sheet's (``var(--c1)``), so that one
drawing is right in light and in dark.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from chimera_batch.errors import InputError
from chimera_batch.report import svg
from chimera_batch.report.figures import Figure

_HERE = Path(__file__).with_name("charts")
MOST = 4_000
"""Rows that a chart is drawn of: more marks are no picture any more."""


def need_library() -> None:
    """Raises InputError with the line to type where the library is not installed."""
    try:
        import vl_convert  # noqa: F401, PLC0415 - 30 MB, of an extra
    except ImportError:
        raise InputError(
            "a report's charts need the package vl-convert-python", hint="pip install 'chimera-batch[report]'"
        ) from None


def draw(name: str, figure: Figure) -> str | None:
    """The chart ``name`` of a table, as an SVG element of shapes and words; None where there is nothing to draw."""
    import vl_convert  # noqa: PLC0415 - see need_library

    spec = specification(name)
    data = figure.objects()[:MOST]
    if "vega-lite" in spec["$schema"]:
        spec["data"] = {"values": data}
        drawn = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    else:
        spec["data"][0]["values"] = data
        drawn = vl_convert.vega_to_svg(spec, allowed_base_urls=[])
    return svg.clean(drawn, f"chart-{name}")


def specification(name: str) -> dict[str, Any]:
    """One chart's specification in the page's own colours and letters."""
    spec: dict[str, Any] = json.loads(_text(name))
    spec["config"] = {**json.loads(_text("theme")), **spec.get("config", {})}
    return spec


@cache
def _text(name: str) -> str:
    return (_HERE / f"{name}.json").read_text(encoding="utf-8")
