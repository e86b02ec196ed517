"""Tables that no stage makes: a person's own files, and tables of other runs. Each becomes a query. Floor 1.

A query made here says the digest of what it reads, so that a changed file makes the table, and what is below it, anew.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from chimera_batch import digests
from chimera_batch.errors import InputError
from chimera_batch.pipeline.shipped import shipped_root
from chimera_batch.pipeline.stage import Source

FORMS = {".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}
"""What a file may be, by its ending; ``.gz`` may follow those of text."""

_NUMBERED = "parse_filename(_file, true) || '/' || row_number() OVER ()"


def form_of(path: Path) -> str | None:
    """json, csv or parquet; None for another ending."""
    name = path.name.lower()
    found = FORMS.get(Path(name.removesuffix(".gz")).suffix)
    return None if found == "parquet" and name.endswith(".gz") else found


def is_file(path: Path) -> bool:
    """Whether there is a file; where the system does not even look (a name of 300 letters), there is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def found(pattern: str, folders: Sequence[Path]) -> tuple[Path, ...]:
    """The files of one form that a path or pattern names, in the first of these folders that has any; sorted.

    Raises InputError where there is none, or one that cannot be read as the others are.
    """
    for folder in folders:
        names = glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207 - Path's takes no absolute pattern
        matches = sorted(folder / name for name in names)
        exact = [folder / pattern] if is_file(folder / pattern) else matches
        if files := tuple(path for path in exact if is_file(path)):
            break
    else:
        raise InputError(f"there is no file {folders[0] / pattern}: put it there, or name yours")
    form = form_of(files[0])
    if odd := next((path for path in files if form_of(path) != form or form is None), None):
        raise InputError(f"{odd} cannot be read: all files of a table are of one form, {', '.join(FORMS)}")
    return files


def of_files(name: str, files: Sequence[Path], key: str | None) -> Source:
    """The query of a table from files of one form. ``key``: the column that is its row key; without it rows are
    numbered: ``file/1``. Raises InputError where a file cannot be read."""
    form = form_of(files[0])
    row_key = f'"{_doubled(key, chr(34))}"::VARCHAR' if key else _NUMBERED
    try:
        contents = ", ".join(digests.of_file(path) for path in files)
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read: {error.strerror}") from None
    return _filled(f"outside_{form}", name, [path.resolve() for path in files], row_key, contents)


def of_run(name: str, path: Path, sha256: str) -> Source:
    """The query of a table that another run made, from the local copy of its Parquet file."""
    return _filled("outside_table", name, [path], "row_key", sha256)


def _filled(engine: str, name: str, files: Sequence[Path], key: str, contents: str) -> Source:
    path, head, body = _template(engine)
    listed = ", ".join("'" + _doubled(glob.escape(str(file)), "'") + "'" for file in files)  # DuckDB follows patterns
    told = "\n".join(line for line in head.split("\n") if not line.startswith("-- $"))
    text = f"{told}\n-- sha256: {contents}\n{body.replace('$files', f'[{listed}]').replace('$key', key, 1)}"
    return Source(name, path, text)


@cache
def _template(engine: str) -> tuple[Path, str, str]:
    path = shipped_root() / "sql" / "engine" / f"{engine}.sql"
    head, select, body = path.read_text(encoding="utf-8").partition("\nSELECT")
    return path, head, (select + body).lstrip("\n")


def _doubled(text: str, mark: str) -> str:
    return text.replace(mark, mark * 2)
