"""The pipeline that comes with the package: where it lies, and copying it to start from. Floor 1."""

from __future__ import annotations

import shutil
from pathlib import Path

from chimera_batch.errors import InputError

FOLDERS = ("manifests", "prompts", "sql")
_OURS = Path("sql", "engine")  # the engine's own SQL: read from here alone, so a copy would change nothing


def shipped_root() -> Path:
    """The folder of the built-in manifests/, prompts/ and sql/: in the installed package, or the checkout."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "shipped", package.parent):
        if (folder / "sql").is_dir() and (folder / "prompts").is_dir():
            return folder
    raise InputError("the files that ship with chimera-batch are missing", where=str(package), hint="install it again")


def init(directory: Path | str) -> list[Path]:
    """Copy the built-in pipeline into a folder, which is made if need be; returns the files written.

    Raises InputError, before anything is written, if one of them exists already or the folder cannot be written.
    """
    root, target = shipped_root(), Path(directory)
    files = [path.relative_to(root) for folder in FOLDERS for path in sorted((root / folder).rglob("*"))]
    files = [path for path in files if (root / path).is_file() and not _hidden(path) and _OURS not in path.parents]
    taken = [path for path in files if (target / path).exists()]
    if taken:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise InputError(
            f"exists already{more}", where=str(target / taken[0]), hint="chimera-batch init ANOTHER_FOLDER"
        )
    try:
        for path in files:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / path, target / path)
    except OSError as error:
        raise InputError(f"cannot be written: {error}", where=str(target)) from None
    return [target / path for path in files]


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "__")) for part in path.parts)
