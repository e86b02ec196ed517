"""Our own source, taken apart for tests that hold all of it to a rule: a module once, and only when it is asked for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.conftest import ROOT

PACKAGE = ROOT / "chimera_batch"
MODULES = sorted(PACKAGE.rglob("*.py"))


@cache
def text(path: Path) -> str:
    return path.read_text("utf-8")


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Everything in a module, as ast.walk has it."""
    return tuple(ast.walk(ast.parse(text(path))))


def that_say(*words: str) -> Iterator[Path]:
    """The modules in whose text one of the words stands: most of them need not be taken apart."""
    return (path for path in MODULES if any(word in text(path) for word in words))
