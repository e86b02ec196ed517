"""The sections of a report: each query asked, its chart drawn. Nothing is computed here.

A section whose tables a run does not have is left out, with one line that says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chimera_batch.commands import command
from chimera_batch.context import Context
from chimera_batch.errors import InputError
from chimera_batch.pipeline.project import Source, shipped_root
from chimera_batch.report import drawing
from chimera_batch.report.catalogue import SECTIONS, STAGES, Section
from chimera_batch.report.figures import Figure
from chimera_batch.verbs import shelves, spending

if TYPE_CHECKING:
    from chimera_batch.warehouse import Query


LACKS = "no run here has the table"
"""Why most sections are left out, at the beginning of their reasons."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A section that is in the page. ``run``: where its tables are; ``command``: the line that shows all its rows."""

    section: Section
    figure: Figure
    drawing: str | None
    run: str
    command: str


@dataclass(frozen=True, slots=True)
class _Open:
    """A run whose tables can be asked."""

    ctx: Context
    query: Query
    tables: frozenset[str]


def gathered(runs: Sequence[Context]) -> tuple[list[Shown], dict[str, str]]:
    """Every section of the first of ``runs`` that has its tables; and what is left out, with the reason, by title."""
    shown: list[Shown] = []
    left: dict[str, str] = {}
    with _opened(runs) as opened:
        for section in SECTIONS:
            found = _shown(section, opened)
            if isinstance(found, str):
                left[section.title] = found
            else:
                shown.append(found)
    return shown, left


@contextmanager
def _opened(runs: Sequence[Context]) -> Iterator[list[_Open]]:
    with ExitStack() as stack:
        yield [_Open(ctx, stack.enter_context(shelves.shelves(ctx)), frozenset(spending.tables(ctx))) for ctx in runs]


def _shown(section: Section, runs: Sequence[_Open]) -> Shown | str:
    """The section, or why there is none."""
    from chimera_batch.warehouse import header  # noqa: PLC0415 - it takes duckdb with it

    lacking: list[str] = []
    for run in runs:
        source = shelves.named_queries(run.ctx)[section.query[1:]]
        lacking = [t for t in header.parse(source.text).reads if t not in run.tables | {*shelves.ENGINE_TABLES}]
        if not lacking:
            return _drawn(section, run, source)
    return f"{LACKS}{'s' * (len(lacking) > 1)} {', '.join(lacking)}"


def _drawn(section: Section, run: _Open, source: Source) -> Shown | str:
    try:
        result = run.query.query(source)
        rows = list(islice(result, drawing.MOST))
        figure = Figure(result.columns, rows, sum(1 for _ in result))
    except InputError as error:  # a person's own table of that name, with columns of its own
        return f"its query does not fit the tables of {run.ctx.run}: {error.message}"
    if not rows:
        return f"{run.ctx.run} has no rows of it"
    drawn = drawing.draw(section.chart, figure) if section.chart else None
    return Shown(section, figure, drawn, run.ctx.run, line(run.ctx, "query", section.query))


def line(ctx: Context, verb: str, *words: str) -> str:
    """A line to type about a run, as a page may show it: it does not say how this machine is laid out."""
    path, here = ctx.project.path.absolute(), Path.cwd()
    shown = path.relative_to(here) if path.is_relative_to(here) else Path(path.name)
    return command(verb, shown, *words, rehearse=ctx.rehearse, also=ctx.also)


def report_sql(name: str) -> Source:
    """One of the report's own SQL files."""
    path = shipped_root() / "sql" / "report" / f"{name}.sql"
    return Source(f"report/{name}.sql", path, path.read_text(encoding="utf-8"))


_STAGE_COLUMNS = (
    "stage", "kind", "wanted", "answered", "in_flight", "packed", "retryable", "given_up", "not_asked", "rows",
    "rows_kept", "usd_spent", "usd_per_kept_row",
)  # fmt: skip


def stages(ctx: Context, status: Mapping[str, Any]) -> Shown:
    """The funnel of any pipeline: how each stage stands, from the document of ``status``."""
    rows = [[stage[name] for name in _STAGE_COLUMNS] for stage in status["stages"]]
    figure = Figure(_STAGE_COLUMNS, rows)
    return Shown(STAGES, figure, drawing.draw("stages", figure), ctx.run, line(ctx, "status"))
