"""Every line and every branch of the core, by the tests that are about it: ``python -m bench.core_coverage``.

The modules and their tests are in ``core.toml``, by room. Prints what is not reached, and exits 1 if there is any, or
if a test fails. Lines for type checkers alone, bodies of protocols, and lines with a reasoned ``pragma: no cover``
do not count. About a minute of processor time.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coverage import Coverage

from bench import _core

_LEFT_OUT = (r"if TYPE_CHECKING:", r"^\s*\.\.\.$", r"def .*: \.\.\.$", r"#.*pragma: no cover")


@dataclass(frozen=True)
class Traced:
    """What a run of a room's tests left: coverage's own data, and the seconds of each test."""

    data: Path
    took: Mapping[str, float]
    failed: Sequence[str]


def coverage_of(room: _core.Room, data: Path) -> Coverage:
    found = Coverage(
        data_file=str(data),
        branch=True,
        include=[str(_core.path_of(module)) for module in room.modules],
        config_file=False,
        messages=False,
    )
    for pattern in _LEFT_OUT:
        found.exclude(pattern)
    return found


def traced(room: _core.Room, folder: Path) -> Traced:
    """Run a room's tests in a child that notes which test reaches which line."""
    data, told = folder / f"{room.name}.coverage", folder / f"{room.name}.json"

    def work() -> int:
        tracer = coverage_of(room, data)
        timer = _core.Timer(tracer.switch_context)
        tracer.start()
        code = _core.run_tests([f"tests/{name}" for name in room.tests], [timer])
        tracer.stop()
        tracer.save()
        told.write_text(json.dumps([timer.took, timer.failed]), "utf-8")
        return code

    log = folder / f"{room.name}.log"
    (ended,) = _core.run([_core.Work(work, log, cpu_s=600, wall_s=3600)])
    if not told.exists():
        raise SystemExit(f"the tests of {room.name} did not end (code {ended.code}):\n{log.read_text('utf-8')[-4000:]}")
    took, failed = json.loads(told.read_text("utf-8"))
    return Traced(data, took, failed)


def missing(room: _core.Room, ran: Traced) -> dict[str, list[str]]:
    """What no test reaches, by module: lines as ``12``, branches as ``12->15``."""
    tracer = coverage_of(room, ran.data)
    tracer.load()
    told = ran.data.with_suffix(".report")
    tracer.json_report(outfile=str(told))
    files = {Path(name).resolve(): said for name, said in json.loads(told.read_text("utf-8"))["files"].items()}
    found = {}
    for module in room.modules:
        said = files.get(_core.path_of(module), {"missing_lines": ["all"], "missing_branches": []})
        lines = said["missing_lines"]
        branches = [f"{line}->{'end' if to < 0 else to}" for line, to in said["missing_branches"] if line not in lines]
        found[module] = [*map(str, lines), *branches]
    return found


def main(words: Sequence[str]) -> int:
    chosen = _core.chosen(words)
    _core.warm()
    bad = False
    with tempfile.TemporaryDirectory(prefix="coverage-") as folder:
        for room in chosen.values():
            ran = traced(room, Path(folder))
            for test in ran.failed:
                print(f"{room.name}: {test} failed")
            lacking = missing(room, ran)
            for module, places in lacking.items():
                print(f"{room.name:10}{module:30}{'100 %' if not places else ' '.join(places)}")
            print(f"{room.name:10}{len(ran.took)} tests, {sum(ran.took.values()):.1f} s of processor time")
            bad |= bool(ran.failed) or any(lacking.values())
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
