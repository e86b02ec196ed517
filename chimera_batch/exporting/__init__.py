"""A run's tables for their next user: a trainer, the hub, somebody with Parquet or DuckDB and questions of their own.

Everything streams: memory does not grow with the rows. Text that models wrote goes into data and nowhere else; names of
files are ours. The same run gives the same bytes, but for DuckDB's own file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from chimera_batch.context import Context
from chimera_batch.exporting.desk import Desk, desk
from chimera_batch.exporting.folder import MARK, whole_folder
from chimera_batch.exporting.hub import hub
from chimera_batch.exporting.provenance import provenance
from chimera_batch.exporting.training import rl, sft
from chimera_batch.exporting.whole import database, parquet
from chimera_batch.exporting.wish import Form, Wish

_MAKE: Mapping[Form, Callable[[Desk], None]] = {
    "sft": sft,
    "rl": rl,
    "hf": hub,
    "parquet": parquet,
    "duckdb": database,
}


def export(ctx: Context, wish: Wish) -> dict[str, Any]:
    """Fill ``wish.directory``; returns what ``export.json`` says. Raises InputError or NotFinished before that."""
    with whole_folder(wish.directory, force=wish.force) as folder, desk(ctx, wish, folder) as opened:
        _MAKE[wish.form](opened)
        document = {
            "format": wish.form,
            "rehearsal": ctx.rehearse,
            "table": wish.table if wish.form not in {"parquet", "duckdb"} else None,
            "rows": sum(opened.files.values()),
            "files": opened.files,
            "sha256": opened.sha256,
            "left_out": opened.left_out,
            "provenance": provenance(ctx),
        }
        text = json.dumps(document, indent=2, ensure_ascii=True)
        (folder / MARK).write_text(text + "\n", encoding="utf-8")
    return document
