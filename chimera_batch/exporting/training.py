"""``sft`` and ``rl``: what trainers read as it is, with the configuration and the reward function beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

from chimera_batch.errors import InputError
from chimera_batch.exporting.card import training_card
from chimera_batch.exporting.desk import Desk

_BESIDE = Path(__file__).with_name("training")
_SFT = "row_key problem_key subject topic question solution correctness reference split use"
_RL = "index row_key problem_key subject topic question answer answer_kind correctness reference split use"


def sft(desk: Desk) -> None:
    """Conversations: correct traces of the training split, and those of the held-out topics."""
    desk.need("conversations", _SFT)
    source = desk.sql("_".join(("sft", desk.wish.shape.replace("-", "_"), desk.wish.thinking)))
    for split in ("train", "held_out"):
        raw = desk.scratch / f"{split}.parquet"
        desk.warehouse.write(desk.sql("conversations"), {"split": split, "instruction": desk.wish.suffix}, raw)
        desk.warehouse.view("conversations", [raw])
        _kept(desk, split, desk.write(f"{split}.parquet", source, {}, order_by="row_key"))
        raw.unlink()
    _beside(desk)


def rl(desk: Desk) -> None:
    """Problems with what their answer is checked against: one row each, in the columns that verl and TRL read."""
    desk.need("rl", _RL)
    side = "rehearsal of " if desk.ctx.rehearse else ""
    for split in ("train", "held_out"):
        params = {
            "split": split,
            "instruction": desk.wish.suffix,
            "with_sft": desk.wish.with_sft,
            "source": side + desk.ctx.run,
        }
        rows = desk.write(f"{split}.parquet", desk.sql("rl"), params, order_by="extra_info['row_key']")
        _kept(desk, split, rows)
    _beside(desk)


def _kept(desk: Desk, split: str, rows: int) -> None:
    if split == "train" and not rows:
        wish, path = desk.wish, desk.ctx.project.path
        counts = desk.ctx.command("query", f"SELECT use, split, count(*) FROM {wish.table} GROUP BY ALL")  # noqa: S608 - a line to type
        more = "--with-sft takes solved problems too, or see what there is:\n" if wish.form == "rl" else ""
        raise InputError(f"table {wish.table} has no row to train on", where=str(path), hint=more + counts)
    if not rows:
        desk.left_out[split] = "no rows"


def _beside(desk: Desk) -> None:
    """The configuration files, and the card that says how to use them."""
    shutil.copytree(_BESIDE / desk.wish.form, desk.folder, dirs_exist_ok=True)
    usage = (_BESIDE / f"{desk.wish.form}.md").read_text("utf-8")
    splits = {name.removesuffix(".parquet"): rows for name, rows in desk.files.items()}
    (desk.folder / "README.md").write_text(training_card(desk, splits, usage), encoding="utf-8")
