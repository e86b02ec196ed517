"""What a shell completes: manifests, stages of a manifest, named queries. Files are looked at, nothing is imported."""

# ruff: noqa: PLC0415 - imports where they are used: a key stroke waits for this

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem

_HEAD = 65536  # bytes of a manifest that are looked at for `run:`
_STAGE = re.compile(r"^ *- *(?:\{ *)?name: *['\"]?([a-z][a-z0-9_]*)", re.MULTILINE)
_STAGES = re.compile(r"^stages:", re.MULTILINE)
_QUERIES = Path("sql", "queries")


class ManifestPath(click.Path):
    """A path that completes to the manifests of this folder, of `manifests/`, and of what was typed so far."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found = sorted(path for path in _near(incomplete) if path.startswith(incomplete))
        return [CompletionItem(path) for path in found] or [CompletionItem(incomplete, type="file")]


MANIFEST = ManifestPath(path_type=Path)


def _near(incomplete: str) -> Iterator[str]:
    """YAML files that begin a run."""
    typed = incomplete.rpartition("/")[0]
    here = ("/",) if incomplete.startswith("/") else (".", "manifests")
    for folder in (typed,) if typed else here:
        for path in [*Path(folder).glob("*.yaml"), *Path(folder).glob("*.yml")]:
            if re.search(r"^run:", _read(path), re.MULTILINE):
                yield str(path)


def _read(path: Path) -> str:
    """The beginning of a file; nothing of one that cannot be read: a shell cannot be told why."""
    try:
        with path.open("rb") as file:
            return file.read(_HEAD).decode("utf-8", "replace")
    except OSError:
        return ""


def stages(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The stages of the manifest that stands before, in its order."""
    # the option's value is missing while it is typed: click then leaves the arguments where they stood
    before = [ctx.params.get("manifest"), *ctx.args]
    text = next((text for word in before if word and (text := _read(Path(word)))), "")
    begin = _STAGES.search(text)
    names = _STAGE.findall(text, begin.end()) if begin else []
    return [CompletionItem(name) for name in dict.fromkeys(names) if name.startswith(incomplete)]


def queries(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """`@NAME` of this folder's named queries and of those that come with chimera-batch; each with its first line."""
    if not incomplete.startswith("@"):
        return [CompletionItem("@")] if not incomplete else []
    from chimera_batch.pipeline.shipped import shipped_root

    found: dict[str, Path] = {}
    for folder in (shipped_root() / _QUERIES, _QUERIES):
        found |= {f"@{path.stem}": path for path in folder.glob("*.sql")}
    names = sorted(name for name in found if name.startswith(incomplete))
    return [CompletionItem(name, help=_read(found[name]).partition("\n")[0].lstrip("- ")) for name in names]
