"""One run on S3 from two machines: the first leaves or is killed, the second knows nothing but the bucket. The tables
are the same bytes as on a folder, and nothing is paid twice."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chimera_batch import api
from chimera_batch.context import Timing
from chimera_batch.errors import NotFinished
from tests.faults import pipeline
from tests.faults.invariants import Reference, Scene
from tests.faults.pipeline import Ended, Pipeline, Place
from tests.faults.proxies import When, Wire

if TYPE_CHECKING:
    from tests.s3 import Bucket
    from tests.servers import Server

pytest_plugins = ["tests.s3"]

TIMING = Timing(poll=0.02, lease=4.0, settle=0.3, overdue=600.0)  # the second machine has to wait for the lease


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Pipeline().write(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def reference(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """On a folder, undisturbed."""
    folder = tmp_path_factory.mktemp("folder")
    with pipeline.hall(folder / "server") as served:
        scene = Scene(pipeline.place(folder, manifest, served.url), served)
        ended = pipeline.run(scene.at)
        assert ended.code == 0, ended.said
        return scene.reference()


def machine(folder: Path, name: str, at: Place, wire: Wire | None = None) -> Ended:
    """A run on a machine with that name: its own cache and scratch, and owners that the others cannot look at."""
    here = folder / name
    here.mkdir()
    environment = (*at.environment, ("CHIMERA_STATE", str(here / "state")))
    return pipeline.run(replace(at, folder=str(here), machine=name, environment=environment), wire)


def killed_and_carried_on(folder: Path, manifest: Path, bucket: Bucket, wire: Wire, reference: Reference) -> set[str]:
    """The names of the machines that were the last to hold a shard."""
    with pipeline.hall(folder / "server") as served:
        environment = tuple(bucket.server.environment().items())
        at = pipeline.place(folder, manifest, served.url, store=bucket.url, environment=environment, timing=TIMING)
        first = machine(folder, "ant", at, wire)
        assert first.killed, first.said
        second = machine(folder, "bee", at)
        assert second.code == 0, second.said
        scene = Scene(at, served)
        assert list(scene.faults(reference)) == []
        third = machine(folder, "cat", at)
        assert (third.code, len(served.bill)) == (0, 8), third.said
        return {attempt.owner.partition(":")[0] for _, attempt in scene.facts.attempts()}


@contextmanager
def on(at: Place, name: str) -> Iterator[Path]:
    """In this process as on a machine of that name; its folder, which is not there yet."""
    here = Path(at.folder) / name
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("socket.gethostname", lambda: name)
        patch.setenv("CHIMERA_CACHE", str(here / "cache"))
        patch.setenv("CHIMERA_STATE", str(here / "state"))
        patch.setenv("CHIMERA_REHEARSAL_URL", at.url)
        yield here


@pytest.mark.slow
def test_another_machine_carries_on_and_makes_the_bytes_of_a_folder(
    tmp_path: Path, manifest: Path, bucket: Bucket
) -> None:
    with pipeline.hall(tmp_path / "server") as served:
        at = pipeline.place(tmp_path, manifest, served.url, store=bucket.url, timing=TIMING)
        with on(at, "ant") as here, pytest.raises(NotFinished):  # sends the first two shards and is not heard of again
            api.run(manifest, at.options(), detach=True)
        shutil.rmtree(here)
        with on(at, "bee"):
            assert api.run(manifest, at.options())["state"] == "done"
        scene = Scene(at, served)
        assert list(scene.faults(None)) == []
        assert {attempt.owner.partition(":")[0] for _, attempt in scene.facts.attempts()} == {"ant", "bee"}
        with on(at, "cat"):
            assert api.run(manifest, at.options())["state"] == "done"
        assert len(served.bill) == 8
        on_s3 = scene.tables()
    with pipeline.hall(tmp_path / "another server") as served:
        at = pipeline.place(tmp_path, manifest, served.url, timing=TIMING)
        with on(at, "dog"):
            api.run(manifest, at.options())
        assert Scene(at, served).tables() == on_s3


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_another_machine_carries_on_after_a_kill_at_the_create(
    when: When, tmp_path: Path, manifest: Path, bucket: Bucket, reference: Reference
) -> None:
    """The worst moment: the first machine has claimed the shard, and the batch may or may not have been made."""
    wire = Wire("host.create", when, 2, "kill")
    assert killed_and_carried_on(tmp_path, manifest, bucket, wire, reference) == {"ant", "bee"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "wire",
    [
        Wire("store", "after", 3, "kill"),  # before the first claim
        Wire("store", "after", 14, "kill"),
        Wire("host.create", "after", 1, "kill"),
        Wire("host.create", "after", 3, "kill"),  # Anthropic: the batch is known by its size and proved by its ids
        Wire("host.fetch", "after", 1, "kill"),
        Wire("store", "before", 40, "kill"),
    ],
    ids=lambda wire: f"{wire.kind}-{wire.when}-{wire.at}",
)
def test_another_machine_carries_on_over_a_real_s3_server(
    wire: Wire, tmp_path: Path, manifest: Path, seaweed_bucket: Bucket, reference: Reference
) -> None:
    killed_and_carried_on(tmp_path, manifest, seaweed_bucket, wire, reference)


@pytest.mark.slow
def test_two_machines_at_once_on_a_real_s3_server(
    tmp_path: Path, manifest: Path, seaweed_bucket: Bucket, reference: Reference
) -> None:
    with pipeline.hall(tmp_path / "server") as served:
        environment = tuple(seaweed_bucket.server.environment().items())
        at = pipeline.place(tmp_path, manifest, served.url, store=seaweed_bucket.url, environment=environment)
        folders = [tmp_path / name for name in ("ant", "bee")]
        for folder in folders:
            folder.mkdir()
        both = [pipeline.start(replace(at, folder=str(folder), machine=folder.name)) for folder in folders]
        ended = [process.wait() for process in both]
        assert [process.code for process in ended] == [0, 0], [process.said for process in ended]
        assert list(Scene(at, served).faults(reference)) == []


# -- a bucket whose server does not know conditional writes


@contextmanager
def careless(server: Server) -> Iterator[Server]:
    """The same buckets behind a server that takes no notice of If-None-Match."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    app = DomainDispatcherApplication(create_backend_app)

    def ignoring(environ: dict[str, object], start_response: object) -> object:
        environ.pop("HTTP_IF_NONE_MATCH", None)
        return app(environ, start_response)

    serving = make_server("127.0.0.1", 0, ignoring, threaded=True)
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    try:
        yield replace(server, url=f"http://127.0.0.1:{serving.server_port}")
    finally:
        serving.shutdown()
        thread.join()
        serving.server_close()


def test_a_careless_bucket_is_refused_before_anything_is_sent(tmp_path: Path, manifest: Path, bucket: Bucket) -> None:
    with pipeline.hall(tmp_path / "server") as served, careless(bucket.server) as server:
        environment = {**server.environment(), "CHIMERA_CACHE": str(tmp_path / "cache"), "PATH": "", "COLUMNS": "300"}
        environment |= {"CHIMERA_STATE": str(tmp_path / "state"), "CHIMERA_REHEARSAL_URL": served.url}
        line = [sys.executable, "-m", "chimera_batch", "run", str(manifest), "--rehearse", "--store", bucket.url]
        ended = subprocess.run(line, env=environment, check=False, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 2, ended.stderr
        assert "conditional writes are ignored" in ended.stderr
        assert bucket.url in ended.stderr
        assert served.bill == []
        assert list(served.server.seen) == []
    left = bucket.server.client().list_objects_v2(Bucket=bucket.name, Prefix="team/chimera/")
    assert left.get("Contents", []) == []
