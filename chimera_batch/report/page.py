"""The page itself: one HTML file that asks nothing of any network and lets nothing in it act but its own script."""

from __future__ import annotations

import errno
import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from chimera_batch.report.visible import visible

_HERE = Path(__file__).parent
MATHEMATICS = "temml-0.13.5.min.js"
"""Temml, pinned and vendored: TeX to MathML, which browsers draw themselves. Its licence lies beside it."""


def write(path: Path, content: Mapping[str, Any]) -> int:
    """Write the page, streaming ``samples.lines`` into it, and return its bytes; ``path`` appears whole or not at all.

    Raises OSError where it cannot be written.
    """
    if not path.name:  # of ``/``, and of an empty word
        raise IsADirectoryError(errno.EISDIR, "it names no file")
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(_pieces(content))
        size = part.stat().st_size
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return size


def _pieces(content: Mapping[str, Any]) -> Iterator[str]:
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - slow to import, and only a page needs it
    from markupsafe import Markup  # noqa: PLC0415 - see above

    def shown(value: Any) -> Any:
        return visible(value) if type(value) is str else value

    environment = Environment(
        autoescape=True, finalize=shown, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    scripts = [_text(f"vendor/{MATHEMATICS}"), _text("page.js")]
    own = {
        "policy": policy(scripts, _text("page.css")),
        "licence": _text("vendor/temml-LICENSE.txt"),
        "style": Markup(_text("page.css")),  # noqa: S704 - a file of this package
        "scripts": [Markup(script) for script in scripts],  # noqa: S704 - files of this package
        "trusted": Markup,  # for drawings that ``svg`` has made anew, and for JSON that ``embedded`` has made harmless
    }
    yield from environment.from_string(_text("page.html")).generate(**content, **own)


def policy(scripts: list[str], style: str) -> str:
    """The Content-Security-Policy: these very scripts and this style, and nothing from anywhere else."""
    words = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    nothing = "default-src 'none'; base-uri 'none'; form-action 'none'"
    return f"{nothing}; script-src {words}; style-src 'sha256-{_digest(style)}'"


def _digest(text: str) -> str:
    return b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
