"""Imports go downwards only: every module has a floor, and docs/architecture.md says the same."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from itertools import chain
from pathlib import Path

import pytest

from tests import source
from tests.conftest import ROOT

FLOORS = {
    6: "cli __main__",
    5: "api",
    4: "runner context opening hosts steps calls.asking calls.desks verbs exporting report rewards",
    3: "history rules cost.pacing requests.drawn",
    2: "warehouse functions stores providers engines requests results cost calls turns",
    1: "pipeline endpoints settings plugins cost.money cost.metering cost.pricerows cost.prices cost.tokens"
    " providers.base providers.profiles providers.engine_fields",
    0: "records errors doing digests commands pipeline.yamldoc",
}
"""Names below chimera_batch; a dotted one stands on a floor of its own, apart from its package."""

FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names.split()}
ALONE = {  # what only these may import or read; a path ending in / is a folder
    "duckdb": ("warehouse/",),
    "boto3": ("stores/s3", "providers/bedrock"),
    "botocore": ("stores/s3", "providers/bedrock"),
    "click": ("cli/", "__main__.py"),
    "openai": ("providers/openai.py", "providers/calling.py", "rewards/judge.py"),
    "anthropic": ("providers/anthropic.py", "providers/calling.py"),
}


def name_of(path: Path) -> str:
    """``providers.base`` of chimera_batch/providers/base.py; a package is its ``__init__``."""
    parts = path.relative_to(source.PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {name_of(path): path for path in source.MODULES}


@cache
def imports_of(path: Path) -> list[str]:
    """Dotted names that a file imports, at its top, inside functions or for types alone."""
    found: list[str] = []
    for node in source.nodes(path):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}:{node.lineno}: a relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def needs(path: Path) -> set[str]:
    """Our own modules that a file imports."""
    ours = (name.removeprefix("chimera_batch.") for name in imports_of(path) if name.startswith("chimera_batch."))
    return {name if name in MODULES else name.rpartition(".")[0] for name in ours} & MODULES.keys()


def floor_of(name: str) -> int | None:
    """The floor of a module: its own, or its package's."""
    return FLOOR_OF.get(name, FLOOR_OF.get(name.partition(".")[0]))


def functions() -> Iterator[tuple[str, int]]:
    for path in source.MODULES:
        for node in source.nodes(path):
            if isinstance(node, ast.FunctionDef) and node.end_lineno:
                yield f"{path}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1


def test_imports_go_downwards() -> None:
    for name, path in MODULES.items():
        if name and not name.startswith("rehearsal"):
            floor = floor_of(name)
            assert floor is not None, f"{name} has no floor: give it one here and in docs/architecture.md"
            for other in needs(path) - {""}:
                if not other.startswith("rehearsal"):
                    assert (floor_of(other) or 0) <= floor, f"{name} (floor {floor}) imports {other}, which is above it"


def test_no_module_needs_itself() -> None:
    """Not even by way of an import inside a function. Raises graphlib.CycleError naming the ring."""
    TopologicalSorter({name: needs(path) - {name} for name, path in MODULES.items()}).prepare()


def test_the_rehearsal_stands_apart() -> None:
    for name, path in MODULES.items():
        if name.startswith("rehearsal"):
            assert all(other == "records" or other.startswith("rehearsal") for other in needs(path)), name


@pytest.mark.parametrize("library", ALONE)
def test_a_library_has_one_room(library: str) -> None:
    users = [
        path.relative_to(source.PACKAGE).as_posix()
        for path in source.MODULES
        if any(name.partition(".")[0] == library for name in imports_of(path))
    ]
    assert [user for user in users if not user.startswith(ALONE[library])] == []
    assert users, f"nothing imports {library} any more"


def test_only_settings_reads_the_environment() -> None:
    readers = [
        path.name
        for path in source.MODULES
        for node in source.nodes(path)
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"})
        or (isinstance(node, ast.alias) and node.name in {"environ", "environb", "getenv"})
    ]
    assert set(readers) == {"settings.py"}


def test_modules_and_functions_stay_small() -> None:
    lengths = {path: len(source.text(path).splitlines()) for path in source.MODULES}
    assert {str(path): lines for path, lines in lengths.items() if lines > 300} == {}
    found = dict(functions())
    long = {name: lines for name, lines in found.items() if lines > 28}
    assert len(long) * 10 <= len(found), f"more than one function in ten is long: {long}"


def test_the_page_says_the_same() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| (\d) \| (.*) \|$", page, re.MULTILINE))
    said = {
        int(floor): {name.removesuffix(".py").strip("/") for name in re.findall(r"`(.*?)`", row)}
        for floor, row in rows.items()
    }
    assert {floor: {name.replace("/", ".") for name in names} for floor, names in said.items()} == {
        floor: set(names.split()) for floor, names in FLOORS.items()
    }
    gone = set(chain.from_iterable(names.split() for names in FLOORS.values())) - MODULES.keys()
    assert gone == set(), f"no such module: {gone}"
