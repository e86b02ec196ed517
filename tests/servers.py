"""S3 servers on this machine, for tests and for benchmarks: moto in threads, SeaweedFS as a process."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

START_SECONDS = 60


@dataclass(frozen=True)
class Server:
    url: str
    key: str = "test"
    secret: str = "test-secret"

    def client(self) -> Any:
        """A plain client, for looking at the bucket behind the store's back."""
        return _client(self)

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,  # a developer's own profiles must not leak in
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }


@cache  # one for a server: making one costs 0.1 s
def _client(server: Server) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.session.Session(server.key, server.secret, region_name="us-east-1").client(
        "s3", endpoint_url=server.url, config=Config(retries={"total_max_attempts": 1})
    )


@contextmanager
def moto_server() -> Iterator[Server]:
    """A server in threads of this process."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield Server(f"http://{host}:{port}")
    server.stop()


def weed_program() -> str | None:
    """Where SeaweedFS is installed, beside this Python or on the path."""
    return shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


@contextmanager
def seaweed_server(weed: str) -> Iterator[Server]:
    """A SeaweedFS of its own, whose data go with it.

    Its ports are free when they are chosen, and a neighbour may be quicker: so it is started up to three times.
    """
    with ExitStack() as stack:
        for more in (2, 1, 0):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weed-")))
            try:
                server = stack.enter_context(_weed(weed, folder))
                break
            except RuntimeError:
                if not more:
                    raise
        yield server


@contextmanager
def _weed(weed: str, folder: Path) -> Iterator[Server]:
    ports = _free_ports(5)
    server = Server(f"http://127.0.0.1:{ports[0]}", key="weed-key", secret="weed-secret")
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": server.key, "secretKey": server.secret}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    line = [
        weed, "-logtostderr=true", "mini", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        f"-s3.port={ports[0]}", f"-s3.config={folder / 's3.json'}", f"-master.port={ports[1]}",
        f"-volume.port={ports[2]}", f"-filer.port={ports[3]}", f"-admin.port={ports[4]}", "-admin.ui=false",
        "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
        "-master.telemetry=false",  # on by default: without this line it would report to its makers
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(line, stdout=log, stderr=log, cwd=folder, env={**os.environ, "TMPDIR": str(folder)})
    try:
        _wait_for(server, process, folder / "log")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    client = server.client()
    while True:
        try:
            client.create_bucket(Bucket="is-it-up")
            return
        except Exception as error:  # whatever boto3 says while the server comes up
            if process.poll() is not None or time.monotonic() > end:
                tail = log.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"SeaweedFS did not start: {error}\n{tail}") from error
            time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    """Below 55536, as each port has a gRPC twin 10,000 above it."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port < 55_536 and port not in found:
            found.append(port)
    return found
