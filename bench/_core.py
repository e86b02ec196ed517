"""The core modules, and their tests run in forked children of a process that has everything heavy in memory.

The parent never imports the package itself: each child imports it anew, with one module changed where that is asked
for, so that constants, defaults and names that others took by ``from … import`` are the changed ones everywhere.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.abc
import importlib.machinery
import os
import resource
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "chimera_batch"
_HEAVY = (
    "pytest hypothesis hypothesis.strategies numpy duckdb orjson zstandard pydantic jinja2 jinja2.sandbox yaml click"
    " fastjsonschema msgspec jsonschema openai anthropic botocore.session boto3 httpx rapidfuzz toktok quicktok"
    " rich.table"
)
_MEMORY = 8 << 30  # bytes of address space of a child: a change may well make a list without an end


@dataclass(frozen=True)
class Room:
    """Modules (dotted, below the package) and the files of ``tests/`` that are about them."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]


def rooms() -> dict[str, Room]:
    found = tomllib.loads((ROOT / "bench" / "core.toml").read_text("utf-8"))
    return {name: Room(name, tuple(room["modules"]), tuple(room["tests"])) for name, room in found.items()}


def path_of(module: str) -> Path:
    """The file of a module below the package."""
    return ROOT / PACKAGE / Path(*module.split(".")).with_suffix(".py")


def warm() -> None:
    """Import what every child needs and no change touches. What is not installed here costs nothing."""
    for name in _HEAVY.split():
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    from hypothesis import HealthCheck, Phase, settings  # noqa: PLC0415 - a user of `rooms` alone needs none of it

    seldom: dict[str, Any] = {"suppress_health_check": list(HealthCheck), "database": None, "deadline": None}
    # The same examples every time; and whoever asks whether a change is noticed needs no smallest example.
    settings.register_profile(
        "core", max_examples=30, derandomize=True, phases=[Phase.explicit, Phase.generate], **seldom
    )


class Changed(importlib.abc.MetaPathFinder):
    """Puts a changed syntax tree in place of one module's source."""

    def __init__(self, module: str, tree: ast.Module) -> None:
        self._name, self._path, self._tree = f"{PACKAGE}.{module}", path_of(module), tree

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._name:
            return None
        return spec_from_file_location(name, self._path, loader=_FromTree(name, str(self._path), self._tree))


class _FromTree(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self._tree = tree

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._tree, self.path, "exec", dont_inherit=True)


@dataclass(frozen=True)
class Ended:
    """How a child ended. ``code``: pytest's, or minus the signal. ``cpu`` in seconds."""

    code: int
    cpu: float

    @property
    def stopped(self) -> bool:
        """It took too long, which an unchanged module never does."""
        return self.code in {-signal.SIGXCPU, -signal.SIGKILL}


@dataclass(frozen=True)
class Work:
    """What a child does. ``cpu_s``: processor time that it may use; ``wall_s``: when one that sleeps is ended."""

    call: Callable[[], int]
    log: Path
    cpu_s: float
    wall_s: float


def run(works: Iterable[Work], jobs: int = 1) -> Iterator[Ended]:
    """Run each in a child of its own, so many at a time; how they ended, in their order."""
    under_way: list[tuple[int, float]] = []
    for work in works:
        if len(under_way) == jobs:
            yield _wait(*under_way.pop(0))
        under_way.append((_forked(work), time.monotonic() + work.wall_s))
    for child, until in under_way:
        yield _wait(child, until)


def _forked(work: Work) -> int:
    """The process id of a child that does the work and writes to its log."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.setsid()  # so that what a test started can be ended with it
        out = os.open(work.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (int(work.cpu_s) + 1, int(work.cpu_s) + 5))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        code = work.call()
    except BaseException:  # noqa: BLE001 - into the log: a child has nobody to hand it to
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(child: int, until: float) -> Ended:
    """How a child ended; after ``until`` it is made to. Its own children end with it."""
    while True:
        found, status, used = os.wait4(child, os.WNOHANG)
        if found:
            break
        if time.monotonic() > until:
            _end(child)
        time.sleep(0.01)
    _end(child)
    return Ended(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime)


def _end(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def run_tests(tests: Sequence[str], plugins: Sequence[object] = (), *, first: bool = False) -> int:
    """In a child: pytest over these files or tests, slow ones too. ``first``: stop at the first that fails."""
    import pytest  # noqa: PLC0415 - in the child, where `warm` has it already

    with tempfile.TemporaryDirectory(prefix="core-") as folder:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
        words = ["-q", "--no-header", "-p", "no:cacheprovider", "-m", "slow or not slow", f"--basetemp={folder}/base"]
        words += ["--hypothesis-profile=core", "-o", "addopts=", "--strict-markers", "-W", "error", "--assert=plain"]
        return int(pytest.main([*words, *(["-x"] if first else []), *tests], plugins=list(plugins)))


class Timer:
    """A pytest plugin: which test runs now, told to ``switch``, and what each took (seconds of processor time)."""

    def __init__(self, switch: Callable[[str], None]) -> None:
        self._switch = switch
        self.took: dict[str, float] = {}
        self.failed: list[str] = []

    def pytest_runtest_logstart(self, nodeid: str, location: object) -> None:
        self._switch(nodeid)
        self.took[nodeid] = -time.process_time()

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str, location: object) -> None:
        self.took[nodeid] += time.process_time()
        self._switch("")


def chosen(names: Sequence[str]) -> Mapping[str, Room]:
    """The rooms of these names; all of them where none is named. Raises SystemExit for an unknown one."""
    known = rooms()
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"there is no room {', '.join(unknown)}; there are {', '.join(known)}")
    return {name: known[name] for name in names} if names else known
