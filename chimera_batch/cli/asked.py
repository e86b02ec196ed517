"""The question before money is spent: what is shown, and what counts as a yes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from chimera_batch.cli import estimate, sample, showing
from chimera_batch.cli.said import Said
from chimera_batch.cli.showing import dollars


def confirm(said: Said) -> Callable[[dict[str, Any]], bool]:
    """Show what would be sent, then ask; False where there is nobody to ask."""

    def ask(found: dict[str, Any]) -> bool:
        if said.as_json:
            said.extra["pilot" if "pilot" in found else "estimate"] = found
            return False
        for said_of in found.get("pilots", ()):
            sample.show(said_of)
        if "pilot" not in found:
            estimate.show(found)
        question = _question(found)
        if not showing.answerable():
            showing.line(question)
            return False
        sys.stdout.flush()
        return click.confirm(question, err=True)

    return ask


def _question(found: Mapping[str, Any]) -> str:
    if "pilot" in found:
        usd = found["usd"]
        what = f"a sample of {found['pilot']:,} requests of {found['stage']} to {found['model']}"
        return f"Send {what}, for about {dollars(usd['likely'])}, at most {dollars(usd['ceiling'])}?"
    what = "the rest" if found.get("pilots") else "this"
    return f"Send {what}, for about {dollars(found['total']['likely'])}, at most {dollars(estimate.most(found))}?"
