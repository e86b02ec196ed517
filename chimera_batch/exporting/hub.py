"""``hf``: the table as shards of Parquet, and the card that says what it is."""

from __future__ import annotations

from chimera_batch.errors import InputError
from chimera_batch.exporting.card import card
from chimera_batch.exporting.desk import TABLE, Desk
from chimera_batch.warehouse.connection import Inline

SPLITS = ("train", "held_out")


def hub(desk: Desk) -> None:
    """Every row, in the order of ``index`` if there is one. A table without ``split`` is all ``train``."""
    total, columns = desk.tables[desk.wish.table].rows, desk.columns()
    if not total:
        raise InputError(f"table {desk.wish.table} has no rows", where=str(desk.ctx.project.path))
    place = "index" if "index" in columns else "row_key"
    split = "split" if "split" in columns else "'train'"
    desk.warehouse.define("placed", Inline(f"SELECT *, {place} AS __place, {split} AS __split FROM {TABLE}"))  # noqa: S608 - ours
    counts = {name: _shards(desk, name) for name in SPLITS}
    if sum(counts.values()) != total:
        raise InputError(
            f"table {desk.wish.table} has {total:,} rows, and {sum(counts.values()):,} of them are in the splits"
            f" {' and '.join(SPLITS)}",
            where=str(desk.ctx.project.path),
            hint="mend the column split, or take --format parquet",
        )
    text = card(desk, {name: rows for name, rows in counts.items() if rows})
    (desk.folder / "README.md").write_text(text, encoding="utf-8")


def _shards(desk: Desk, split: str) -> int:
    """Write one split: put in order once, then cut where so much text is together. Returns its rows."""
    raw = desk.scratch / f"{split}.parquet"
    rows = desk.warehouse.write(desk.sql("split"), {"split": split}, raw, order_by="__place")
    if rows:
        desk.warehouse.view("placed_in_order", [raw])
        cuts = list(desk.warehouse.rows(desk.sql("shards"), {"bytes": desk.wish.shard_bytes}))
        for number, (first, last) in enumerate(cuts):
            name = f"data/{split}-{number:05}-of-{len(cuts):05}.parquet"
            desk.write(name, desk.sql("shard"), {"first": first, "last": last})
    raw.unlink()
    return rows
