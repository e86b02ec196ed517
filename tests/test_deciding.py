"""What a person decides reaches every batch that it is about, whatever becomes of the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chimera_batch.errors import InputError, ProviderDown, ProviderRefused
from chimera_batch.hosts import Hosts
from chimera_batch.verbs import deciding
from tests.support import Bench, bench, write_project
from tests.test_cli_hints import takes


@pytest.fixture
def one(tmp_path: Path) -> Bench:
    """A run with three batches under way."""
    found = bench(write_project(tmp_path), max_requests=1)
    found.go()
    assert len(found.pairs) == 3
    return found


def stopped(one: Bench) -> list[bool]:
    return [attempt.cancel_asked for _, attempt in one.pairs]


def test_a_host_that_is_down_keeps_no_other_batch_running(one: Bench) -> None:
    one.host.trouble["cancel"] = [ProviderDown("HTTP 503")]
    with pytest.raises(ProviderDown) as caught:
        deciding.cancel(one.ctx, None)
    assert one.host.called("cancel") == ["batch-1", "batch-2", "batch-3"]
    assert stopped(one) == [True] * 3
    assert takes(caught.value.hint or "").info_name == "cancel"
    assert [line for line in one.said if "was not asked to stop: HTTP 503" in line]


def test_a_batch_that_is_over_is_no_reason_to_leave_the_others(one: Bench) -> None:
    one.host.trouble["cancel"] = [ProviderRefused("it is completed", status=409)]
    assert len(deciding.cancel(one.ctx, None)) == 3
    assert stopped(one) == [True] * 3


def test_what_a_host_refuses_is_told(one: Bench) -> None:
    one.host.trouble["cancel"] = [ProviderRefused("HTTP 404: no such batch", status=404)]
    deciding.cancel(one.ctx, None)
    assert [line for line in one.said if line == f"{one.pairs[0][0].id}: HTTP 404: no such batch"]


def test_a_batch_at_a_host_that_the_manifest_no_longer_names_keeps_no_other_running(one: Bench) -> None:
    """Nor is its id said to another host of that name."""
    there = replace(one.ctx.told.profiles["openai"], base_url="https://elsewhere.example/v1")
    moved = replace(one.ctx, told=replace(one.ctx.told, profiles={**one.ctx.told.profiles, "openai": there}))
    gone = replace(one.ctx, told=replace(one.ctx.told, profiles={}))
    for ctx in (moved, gone):
        with pytest.raises(InputError, match="which the manifest no longer names: put it back"):
            deciding.cancel(ctx, None)
        assert one.host.called("cancel") == [] and stopped(one) == [True] * 3


def test_one_shard_alone(one: Bench) -> None:
    assert deciding.cancel(one.ctx, one.pairs[1][0].id) == [f"{one.pairs[1][0].id}: batch-2"]
    assert stopped(one) == [False, True, False]


def test_what_asks_nobody_cannot_be_retried(tmp_path: Path) -> None:
    files = {"sql/tiny/whole.sql": "-- All.\n-- reads: one\nSELECT * FROM one\n"}
    found = bench(write_project(tmp_path, files, stage="}\n  - {name: whole, sql: tiny/whole.sql"))
    assert deciding.retry(found.ctx, "one") == deciding.retry(found.ctx, None) == ["one"]
    with pytest.raises(InputError, match="asks nobody"):
        deciding.retry(found.ctx, "whole")


def test_an_empty_name_is_not_all_of_them(one: Bench) -> None:
    """``--shard "$SHARD"`` of a variable that is not set."""
    for decide in (deciding.cancel, deciding.retry):
        with pytest.raises(InputError, match=r"no attempt of shard ''|there is no stage ``"):
            decide(one.ctx, "")
    with pytest.raises(InputError, match="a batch has an id"):
        deciding.adopt(one.ctx, one.pairs[0][0].id, " ")
    assert stopped(one) == [False] * 3 and [attempt.batch for _, attempt in one.pairs] == [
        "batch-1",
        "batch-2",
        "batch-3",
    ]


def test_a_provider_that_the_manifest_no_longer_names_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no longer names the provider openai: put it back"):
        Hosts({}, tmp_path, print, None)("openai")
