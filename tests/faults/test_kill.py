"""A real SIGKILL of a real process at a handful of the places where a run touches its store or a host; then run again.

``test_every_write`` kills everywhere, inside of one process; here the threads, the folder store and the SDKs take part
too. Two asking stages, three shards. The server goes on through every kill, keeps its own bill, is asked afterwards:
no request paid for twice, none lost, bill equal to ledger, and every table the same bytes as after an undisturbed run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import pipeline
from tests.faults.invariants import Reference, Scene
from tests.faults.pipeline import Pipeline
from tests.faults.proxies import When, Wire

pytestmark = pytest.mark.slow


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


POINTS: list[tuple[str, When, int]] = [
    ("store", "before", 5),
    ("store", "after", 12),
    ("store", "after", 20),
    ("store", "before", 28),
    ("store", "after", 36),
    ("host.create", "before", 1),
    ("host.create", "after", 1),
    ("host.create", "after", 3),
    ("host.fetch", "after", 2),
    ("host.discard", "before", 1),
]


@pytest.mark.parametrize(("kind", "when", "at"), POINTS)
def test_a_killed_run_goes_on(
    kind: str, when: When, at: int, manifest: Path, reference: Reference, tmp_path: Path
) -> None:
    hit, faults = tripped(tmp_path / "point", manifest, reference, Wire(kind, when, at, "kill"))
    assert hit is not None, "the wire is not where the writes and calls are"
    assert not faults, f"{hit}: {faults}"


def test_a_killed_run_of_a_stage_asked_synchronously_loses_no_reply(tmp_path: Path) -> None:
    """Its replies lie in a spool of this machine until they have landed."""
    manifest = Pipeline(window="now").write(tmp_path / "now")
    reference = undisturbed(manifest, tmp_path / "calm")
    hit, faults = tripped(tmp_path / "point", manifest, reference, Wire("store", "after", 12, "kill"))
    assert hit is not None
    assert not faults, f"{hit}: {faults}"
