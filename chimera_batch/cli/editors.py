"""What helps while typing: ``schema`` for editors."""

# ruff: noqa: PLC0415 - imports where they are used: --help answers at once

from __future__ import annotations

from pathlib import Path

import click

from chimera_batch.cli import showing
from chimera_batch.cli.said import Said
from chimera_batch.cli.texts import json_text
from chimera_batch.errors import InputError


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write there, not to stdout.")
@click.pass_obj
def schema(said: Said, output: Path | None) -> None:
    """The JSON Schema of a manifest, for editors.

    `init` writes it beside the manifests, whose first line names it: VS Code (with the YAML extension), Neovim and
    others then complete keys, show what they mean and underline what is wrong. No network is needed.
    """
    from chimera_batch.schema import manifest_schema

    document = manifest_schema()
    if output is None:
        showing.document(document)
        return
    try:
        output.write_text(json_text(document) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=str(output), hint="-o FILE") from None
    if said.as_json:
        showing.document({"file": str(output)})
    else:
        showing.line(f"first line of a manifest beside it:  # yaml-language-server: $schema={output.name}")
