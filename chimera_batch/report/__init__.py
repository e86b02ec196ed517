"""The HTML report: one page that tells everything about a run, without a network.

Nothing is counted here: figures come from ``status`` and from the named queries, and a section that a run has no tables
for is left out with one line. The store is only read.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from chimera_batch import __version__
from chimera_batch.context import Context
from chimera_batch.cost.money import dollars
from chimera_batch.errors import InputError
from chimera_batch.opening import Options, open_run
from chimera_batch.report import drawing, page, samples, sections
from chimera_batch.report.embedded import embedded
from chimera_batch.report.figures import MOST
from chimera_batch.report.wish import Wish
from chimera_batch.verbs import statusing


def report(ctx: Context, wish: Wish, options: Options) -> dict[str, Any]:
    """Write the page; returns the document of ``report --json``. ``options``: how runs beside this one are opened.

    Raises InputError where the charts' library is missing, a table is not made, or the file cannot be written.
    """
    drawing.need_library()
    status = statusing.status(ctx)
    with ExitStack() as stack:
        others = replace(options, prices=())  # those are of this run's models, and nothing of the others is priced here
        beside = [stack.enter_context(open_run(manifest, others)) for manifest in wish.beside]
        shown, left = sections.gathered([ctx, *beside])
    with samples.drawn(ctx, wish) as sample:
        content = {
            "facts": _facts(ctx, status),
            "status": status,
            "version": __version__,
            "made": datetime.fromtimestamp(ctx.clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "manifest": ctx.project.path.name,
            "sections": [sections.stages(ctx, status), *shown],
            "left": left,
            "sample": sample,
            "head": embedded({**(sample.head if sample else {}), "trace": sections.line(ctx, "trace")}),
            "most": MOST,
            "longest": samples.LONGEST,
            "prompted": samples.PROMPTED,
        }
        try:
            size = page.write(wish.path, content)
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror or error}", where=str(wish.path)) from error
    return {
        "run": ctx.run,
        "rehearsal": ctx.rehearse,
        "path": str(wish.path),
        "bytes": size,
        "table": sample.table if sample else None,
        "rows": sample.rows if sample else 0,
        "sections": ["stages", *(one.section.name for one in shown)],
        "left_out": left,
    }


def _facts(ctx: Context, status: Mapping[str, Any]) -> list[tuple[str, str, float | int | None]]:
    """What stands at the top: a name, a text, and the number behind it."""
    last = next((stage["rows"] for stage in reversed(status["stages"]) if stage["rows"] is not None), None)
    wanted, answered = (sum(stage[name] for stage in status["stages"]) for name in ("wanted", "answered"))
    found: list[tuple[str, str, float | int | None]] = [
        ("state", status["state"], None),
        ("rows in the last table", "–" if last is None else f"{last:,}", last),
        ("requests answered", f"{answered:,} of {wanted:,}", answered),
        ("spent", dollars(status["usd_spent"]), status["usd_spent"]),
    ]
    for name, text in (("usd_reserved", "reserved"), ("usd_suspected", "possibly charged, never delivered")):
        if status[name]:
            found.append((text, dollars(status[name]), status[name]))
    if status["budget"] is not None:
        found.append(("budget", dollars(status["budget"]), status["budget"]))
    return found
