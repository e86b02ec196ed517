"""The harness behind the benchmarks of size: its host answers in the form of the real ones, its store is finished."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench import _million
from bench._million import Made, Shape
from bench._splicing import RARE, SpliceHost
from chimera_batch import api
from chimera_batch.providers import profiles
from chimera_batch.records import BatchState, Intent
from chimera_batch.verbs import statusing

ANSWER = 120  # bytes


def intent(requests: int, nonce: str = "0123abcd") -> Intent:
    return Intent("s-1", 1, nonce, "0" * 64, requests, 1, "/v1/chat/completions", "m", "24h", "million", 0.0)


def wire(numbers: list[int]) -> bytes:
    ids = [f"0123abcd-{number:08x}{'0' * 24}" for number in numbers]
    return b"".join(
        json.dumps({"custom_id": name, "body": "x" * 400}, separators=(",", ":")).encode() + b"\n" for name in ids
    )


@pytest.fixture
def host(tmp_path: Path) -> SpliceHost:
    return SpliceHost(profiles.builtin()["openai"], tmp_path / "host", ANSWER)


def sent(host: SpliceHost, folder: Path, numbers: list[int]) -> BatchState:
    path = folder / "wire.jsonl"
    path.write_bytes(wire(numbers))
    mine = intent(len(numbers))
    return host.state(host.create(mine, path, host.upload(mine, path)))


def lines(host: SpliceHost, batch: BatchState, folder: Path) -> list[bytes]:
    (path,) = host.fetch(batch, folder)
    return path.read_bytes().splitlines()


def test_every_line_is_answered_in_the_form_of_the_hosts(host: SpliceHost, tmp_path: Path) -> None:
    numbers = [2, 3, 13, RARE, RARE + 1, 60_000]
    replies = [host.decode(line) for line in lines(host, sent(host, tmp_path, numbers), tmp_path)]
    assert [reply.outcome for reply in replies] == ["ok", "ok", "ok", "error", "error", "error"]
    assert [reply.transient for reply in replies[3:]] == [False, True, False]
    said = [json.loads(reply.text or "") for reply in replies[:3]]
    assert [one["keep"] for one in said] == [True, False, False]
    assert {len(one["note"]) for one in said} == {ANSWER}
    assert len({one["note"] for one in said}) == 3, "texts differ, or Parquet would store one of them"
    assert all(reply.usage and reply.usage.output_tokens == ANSWER // 4 for reply in replies[:3])


def test_a_passing_failure_passes(host: SpliceHost, tmp_path: Path) -> None:
    batch = sent(host, tmp_path, [RARE + 1])
    first, second = (host.decode(lines(host, batch, tmp_path)[0]) for _ in range(2))
    assert (first.outcome, second.outcome) == ("error", "ok")


def test_files_are_there_until_they_are_discarded(host: SpliceHost, tmp_path: Path) -> None:
    batch, mine = sent(host, tmp_path, [2]), intent(1)
    assert host.find(mine) == [batch]
    assert host.find(replace(mine, nonce="ffffffff")) == []
    assert host.find_uploads(mine) == [mine.file_name]
    host.discard([mine.file_name, mine.file_name])
    assert host.find_uploads(mine) == []


@pytest.mark.slow
def test_a_store_is_made_once_and_is_finished(tmp_path: Path) -> None:
    shape = Shape(1_200, passage_bytes=90, answer_bytes=40)
    made = _million.make(tmp_path / "kept", shape)
    assert made.seconds > 0
    document = api.status(made.manifest, _million.options())
    assert document["state"] == "done"
    assert statusing.balances(document)
    drafts = document["stages"][0]
    assert drafts["wanted"] == 1_200 == drafts["answered"] + drafts["given_up"]
    assert _million.make(tmp_path / "kept", shape) == Made(made.manifest, 0.0)
    assert _million.make(tmp_path / "kept", replace(shape, requests=1_000)).seconds > 0
    assert made.more(100) == 1_100
