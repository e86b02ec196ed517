"""What helps while typing: ``schema`` for editors, ``completion`` for shells."""

# ruff: noqa: PLC0415 - imports where they are used: --help answers at once

from __future__ import annotations

from pathlib import Path

import click

from chimera_batch.cli import showing
from chimera_batch.cli.said import Said
from chimera_batch.cli.texts import json_text
from chimera_batch.errors import InputError

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_CHIMERA_BATCH_COMPLETE"  # click's own name for it
_LOAD = {
    "bash": "echo 'eval \"$(chimera-batch completion bash)\"' >> ~/.bashrc",
    "zsh": "echo 'eval \"$(chimera-batch completion zsh)\"' >> ~/.zshrc",
    "fish": "chimera-batch completion fish > ~/.config/fish/completions/chimera-batch.fish",
}
_BASH = "COMP_WORDBREAKS=${COMP_WORDBREAKS//@/}  # else bash takes @NAME for two words\n"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """The script that makes a shell complete our commands.

    Commands, options, manifests, stages and named queries. For this shell: eval "$(chimera-batch completion bash)".
    """
    from click.shell_completion import get_completion_class

    said: Said = ctx.obj
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has these three
    made = kind(ctx.find_root().command, {}, "chimera-batch", VARIABLE)
    script = (_BASH if shell == "bash" else "") + made.source_template % made.source_vars()
    if said.as_json:
        showing.document({"shell": shell, "script": script, "next": _LOAD[shell]})
    else:
        click.echo(f"# to keep it:  {_LOAD[shell]}\n{script}")


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write there, not to stdout.")
@click.pass_obj
def schema(said: Said, output: Path | None) -> None:
    """The JSON Schema of a manifest, for editors.

    `init` writes it beside the manifests, whose first line names it: VS Code (with the YAML extension), Neovim and
    others then complete keys, show what they mean and underline what is wrong. No network is needed.
    """
    from chimera_batch.pipeline.schema import manifest_schema

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
