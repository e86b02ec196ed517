"""A drawing that the chart library made, before it goes into a page: only shapes and words, nothing that acts. Pure.

Labels come from data that models wrote. The library escapes them; this is the second lock: the drawing is read as XML
and written anew from the elements and attributes on a list.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"
_ELEMENTS = {"svg", "g", "path", "line", "rect", "circle", "text", "tspan", "defs", "clipPath"}
_ATTRIBUTES = re.compile(
    "id|class|clip-path|transform|opacity|d|r|width|height|viewBox|x|x1|x2|dx|cx|rx|y|y1|y2|dy|cy|ry|text-anchor"
    "|fill|fill-opacity|stroke|stroke-(width|opacity|dasharray|linecap|miterlimit)|font-(size|weight|style)"
)
_AROUND = {"axis", "legend", "title", "header"}
"""What the library says of the parts of a drawing that are no data."""


def clean(drawing: str, name: str) -> str | None:
    """The drawing as it goes into the page; None if nothing is drawn in it.

    ``name`` makes its ids its own; a mark's description becomes a tooltip.

    Raises ValueError for a drawing that refers to anything outside of itself.
    """
    root = ET.fromstring(drawing)  # noqa: S314 - of our own library's making
    if not any(map(_is_mark, root.iter())):
        return None
    kept = _copy(root, name)
    kept.set("aria-hidden", "true")  # the table beside it says the same
    kept.set("focusable", "false")
    ET.register_namespace("", SVG.strip("{}"))
    return ET.tostring(kept, encoding="unicode")


def _copy(element: ET.Element, name: str) -> ET.Element:
    made = ET.Element(
        element.tag, {k: _value(k, v, name) for k, v in element.attrib.items() if _ATTRIBUTES.fullmatch(k)}
    )
    made.text = element.text
    if label := element.get("aria-label") if _is_mark(element) else None:
        ET.SubElement(made, f"{SVG}title").text = label
    for child in element:
        if child.tag.removeprefix(SVG) in _ELEMENTS:
            made.append(_copy(child, name))
    return made


def _is_mark(element: ET.Element) -> bool:
    """One bar, one point."""
    what = element.get("aria-roledescription", "container")
    return element.get("role") == "graphics-symbol" and not (what in _AROUND or what.endswith("container"))


def _value(attribute: str, value: str, name: str) -> str:
    if attribute == "id":
        return f"{name}-{value}"
    if "url(" in value:
        inside = re.fullmatch(r"url\(#([\w-]+)\)", value)
        if attribute != "clip-path" or not inside:
            raise ValueError(f"a chart refers to {value}")
        return f"url(#{name}-{inside[1]})"
    return value
