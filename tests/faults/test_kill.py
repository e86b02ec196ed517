"""SIGKILL before and after every store write and every provider call of a small run, in turn; then run again.

Two asking stages, three shards. The server goes on through every kill, keeps its own bill, and is asked afterwards:
no request paid for twice, none lost, bill equal to ledger, and every table the same bytes as after an undisturbed run.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from tests.faults import pipeline
from tests.faults.invariants import Reference, Scene
from tests.faults.pipeline import Pipeline
from tests.faults.proxies import Act, When, Wire

pytestmark = pytest.mark.slow

LANES = 2  # points that are tried at the same time


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Pipeline().write(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def reference(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return undisturbed(manifest, tmp_path_factory.mktemp("undisturbed"))


def undisturbed(manifest: Path, folder: Path) -> Reference:
    with pipeline.hall(folder / "server") as served:
        scene = Scene(pipeline.place(folder, manifest, served.url), served)
        ended = pipeline.run(scene.at)
        assert ended.code == 0, ended.said
        assert len(scene.bill) == 8
        return scene.reference()


def tripped(folder: Path, manifest: Path, reference: Reference, wire: Wire) -> tuple[str | None, list[str]]:
    """One point: (what was hit, or None when the run passed fewer points; what was wrong afterwards)."""
    folder.mkdir(parents=True)
    with pipeline.hall(folder / "server") as served:
        scene = Scene(pipeline.place(folder, manifest, served.url), served)
        first = pipeline.run(scene.at, wire, name="first")
        if first.hit is None:
            return None, [] if first.code == 0 else [f"undisturbed, it ended with {first.code}: {first.said}"]
        faults = [] if wire.act != "kill" or first.killed else [f"it was not killed: {first.said}"]
        again = pipeline.run(scene.at, name="again")
        if again.code != 0:
            faults.append(f"the second run ended with {again.code}: {again.said}")
        return first.hit, faults + list(scene.faults(reference))


def every_point(
    folder: Path, manifest: Path, reference: Reference, kind: str, when: When, act: Act
) -> Iterator[tuple[int, str, list[str]]]:
    """Trip at the first, second, … point until a run passes fewer."""

    def one(at: int) -> tuple[int, str | None, list[str]]:
        return at, *tripped(folder / f"{at:03d}", manifest, reference, Wire(kind, when, at, act))

    with ThreadPoolExecutor(LANES) as pool:
        for first in count(1, LANES):
            for at, hit, faults in pool.map(one, range(first, first + LANES)):
                if hit is None:
                    assert not faults, faults
                    return
                yield at, hit, faults


def judge(points: list[tuple[int, str, list[str]]], at_least: int) -> None:
    table = [f"{at:3d} {hit:70s} {'; '.join(faults)}" for at, hit, faults in points if faults]
    assert not table, "\n".join([f"{len(table)} of {len(points)} points:", *table])
    assert len(points) >= at_least, "the wire is not where the writes and calls are"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("kind", "at_least"), [("host", 12), ("store", 40)])
def test_kill_everywhere(
    kind: str, at_least: int, when: When, manifest: Path, reference: Reference, tmp_path: Path
) -> None:
    judge(list(every_point(tmp_path, manifest, reference, kind, when, "kill")), at_least)


def test_kill_at_every_write_of_a_stage_asked_synchronously(tmp_path: Path) -> None:
    """Its replies lie in a spool of this machine until they have landed: a kill after the calls loses none of them."""
    manifest = Pipeline(window="now").write(tmp_path / "now")
    judge(list(every_point(tmp_path, manifest, undisturbed(manifest, tmp_path / "calm"), "store", "after", "kill")), 38)
