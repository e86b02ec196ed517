"""``rehearsal serve``: what it hands to the server, and what becomes of the server's own end."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.rehearsal import __main__ as server
from tests.cli_kit import call

URL = "http://127.0.0.1:4321"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """Stands in for the server: says its URL and ends as told."""

    def make(end: int | BaseException = 0) -> list[list[str]]:
        seen: list[list[str]] = []

        def main(words: list[str], upstream_key: str) -> int:
            seen.append([*words, *([f"key {upstream_key}"] if upstream_key else [])])
            if isinstance(end, BaseException):
                raise end
            if end == 0:
                sys.stdout.write(f"{URL}\n")
                sys.stdout.flush()
            return end

        monkeypatch.setattr(server, "main", main)
        return seen

    return make


def test_everything_is_handed_on(serve: Callable[..., list[list[str]]], tmp_path: Path) -> None:
    seen = serve()
    settings = '{"work_seconds": [1, 2]}'
    words = ["--state", tmp_path, "--port", "8000", "--speed", "60", "--seed", "7", "--settings", settings]
    assert call("rehearsal", "serve", *words).out == f"{URL}\n"
    assert seen == [[f"--state={tmp_path}", "--port=8000", "--speed=60.0", "--seed=7", f"--settings={settings}"]]


def test_what_is_not_said(serve: Callable[..., list[list[str]]]) -> None:
    seen = serve()
    call("rehearsal", "serve", "--state", "s")
    assert seen == [["--state=s", "--port=0", "--speed=1200.0", "--seed=0", "--settings={}"]]


def test_an_upstream_is_handed_on_and_its_key_is_not_an_argument(
    serve: Callable[..., list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = serve()
    monkeypatch.setenv("CHIMERA_TEST_KEY", "sk-1")
    words = ["--upstream", "http://127.0.0.1:8000/v1", "--upstream-model", "tiny", "--upstream-key-env"]
    call("rehearsal", "serve", "--state", "s", *words, "CHIMERA_TEST_KEY")
    upstream = ["--upstream=http://127.0.0.1:8000/v1", "--upstream-model=tiny", "--upstream-at-once=8"]
    assert {*upstream, "key sk-1"} <= set(seen[0])
    told = server._parser().parse_args(seen[0][:-1])
    assert (told.upstream, told.upstream_model, told.upstream_at_once) == ("http://127.0.0.1:8000/v1", "tiny", 8)
    done = call("rehearsal", "serve", "--state", "s", *words, "CHIMERA_NO_KEY")
    assert (done.code, len(seen)) == (2, 1)
    assert "CHIMERA_NO_KEY is not set" in done.err


def test_what_the_server_refuses_is_no_success(serve: Callable[..., list[list[str]]]) -> None:
    serve(2)  # it has said why on stderr
    assert call("rehearsal", "serve", "--state", "s").code == 2


def test_the_server_s_own_parser_takes_what_it_is_handed() -> None:
    words = ["--state=-odd", "--port=0", "--speed=1200.0", "--seed=-1", '--settings={"a": 1}']
    told = server._parser().parse_args(words)
    assert (told.state, told.seed, told.speed, json.loads(told.settings)) == (Path("-odd"), -1, 1200.0, {"a": 1})


def test_the_url_as_one_document(serve: Callable[..., list[list[str]]]) -> None:
    serve()
    for words in (["--json", "rehearsal", "serve"], ["rehearsal", "--json", "serve"], ["rehearsal", "serve", "--json"]):
        assert call(*words, "--state", "s").document == {"url": URL}


@pytest.mark.parametrize(
    ("end", "message", "hint"),
    [
        (server.TAKEN, "another server has this folder", "--state ANOTHER_FOLDER"),
        (OSError(errno.EADDRINUSE, "Address already in use"), "cannot serve: Address already in use", "--port 0"),
        (PermissionError(errno.EACCES, "Permission denied"), "cannot serve: Permission denied", "--port 0"),
        (OSError("odd"), "cannot serve: odd", "--port 0"),
    ],
)
def test_a_server_that_cannot_start(end: Any, message: str, hint: str, serve: Callable[..., list[list[str]]]) -> None:
    serve(end)
    done = call("rehearsal", "serve", "--state", "s", "--json")
    assert (done.code, done.error["message"], done.error["hint"]) == (2, message, hint)


def test_ctrl_c_before_the_server_listens(serve: Callable[..., list[list[str]]]) -> None:
    serve(KeyboardInterrupt())
    done = call("rehearsal", "serve", "--state", "s")
    assert done.code == 130
    assert done.err.splitlines()[-1] == "  chimera-batch rehearsal serve --state s"


@pytest.mark.parametrize("state", ["", "file"])
def test_a_state_that_is_no_folder(state: str, tmp_path: Path, serve: Callable[..., list[list[str]]]) -> None:
    serve()
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = call("rehearsal", "serve", "--state", tmp_path / state)
    assert done.code == (2 if state else 0)
