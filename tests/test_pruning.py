"""What `prune` may delete: never an answer, never what a run or status needs, never while somebody is at work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chimera_batch.cli import prune
from chimera_batch.errors import NotFinished
from chimera_batch.verbs import pruning
from chimera_batch.verbs.pruning import Kind
from tests.cli_kit import call
from tests.cli_kit import project as cli_project
from tests.support import ROWS, Bench, Lagging, answered, bench, write_project

BACK = frozenset(pruning.ON_REQUEST)


@pytest.fixture
def one(tmp_path: Path) -> Bench:
    """A run that is done."""
    made = bench(write_project(tmp_path, stage=", window: now"))
    made.host.ask = lambda line: answered(line.split(b'"', 4)[3].decode(), "four")  # type: ignore[method-assign]
    while not made.go().done:
        pass
    return made


def kinds(one: Bench, also: frozenset[str] = frozenset()) -> dict[Kind, list[str]]:
    return {found.kind: list(found.keys) for found in pruning.find(one.ctx, also)}


def test_of_a_run_that_is_done_nothing_has_to_go(one: Bench) -> None:
    assert kinds(one) == {"unnamed": [], "superseded": []}


def test_what_a_crash_or_a_lost_race_left_is_named_by_no_event(one: Bench) -> None:
    realm = next(iter(one.ctx.facts.shards.values())).realm
    left = [
        f"answers/{realm}/one-0123456789ab.1-00000000.aaaaaaaaaaaa.parquet",
        f"requests/{realm}/one-0123456789ab.ids.parquet",
        f"requests/{realm}/one-0123456789ab.jsonl.zst",
        "schemas/0123456789abcdef.json",
    ]
    for key in left:
        one.ctx.store.create(key, b"12345")
    (unnamed, superseded) = pruning.find(one.ctx)
    assert (list(unnamed.keys), unnamed.bytes) == (left, 20)
    assert not superseded.keys


def test_what_is_gone_and_still_listed_is_not_offered_again(one: Bench) -> None:
    key = "schemas/0123456789abcdef.json"
    one.ctx.store.create(key, b"12345")
    again = bench(one.ctx.project, host=one.host, store=Lagging(one.ctx.store))
    pruning.delete(again.ctx, pruning.find(again.ctx))
    assert key in list(again.ctx.store.list("schemas/")), "the listing lags"
    assert [(found.keys, found.bytes) for found in pruning.find(again.ctx)] == [((), 0), ((), 0)]


def test_newer_questions_and_tables_replace_older_ones(one: Bench, tmp_path: Path) -> None:
    before = set(one.ctx.store.list("runs/"))
    fewer = ROWS.replace("range(3)", "range(2)")
    project = write_project(tmp_path, {"sql/tiny/one_rows.sql": fewer}, stage=", window: now")
    again = bench(project, host=one.host, store=one.ctx.store)
    while not again.go().done:
        pass
    assert set(kinds(again)["superseded"]) == before
    pruning.delete(again.ctx, pruning.find(again.ctx))
    assert len(list(again.ctx.store.list("runs/"))) == 2
    assert len(again.table()) == 2


def test_on_request_what_is_only_for_looking_back(one: Bench) -> None:
    found = kinds(one, BACK)
    ((shard, attempt),) = one.pairs
    assert found["requests"] == [shard.key]
    assert found["raw"] == attempt.raw != []
    assert found["quarantine"] == []
    stray = f"quarantine/{shard.realm}/{shard.id}.1-{attempt.nonce}.0123456789ab.jsonl"
    one.ctx.store.create(stray, b"{}")
    assert kinds(one, BACK)["quarantine"] == [stray]
    assert kinds(one) == {"unnamed": [], "superseded": []}


def test_a_store_that_lost_all_of_it_is_as_good_as_before(one: Bench, tmp_path: Path) -> None:
    table, journal = one.table(), list(one.ctx.store.list("journal/"))
    pruning.delete(one.ctx, pruning.find(one.ctx, BACK))
    assert not list(one.ctx.store.list("raw/"))
    again = bench(one.ctx.project, host=one.host, store=one.ctx.store)
    assert again.go().done
    assert again.table() == table
    assert list(one.ctx.store.list("journal/")) == journal


def test_lines_of_what_is_not_answered_stay(tmp_path: Path) -> None:
    one = bench(write_project(tmp_path, stage=", window: now"))
    one.host.ask = lambda line: answered(  # type: ignore[method-assign]
        line.split(b'"', 4)[3].decode(), "four", finish="length"
    )
    for _ in range(4):
        one.go()
    assert one.pairs
    assert kinds(one, frozenset({"requests"}))["requests"] == []


def test_the_command_offers_every_kind_on_request() -> None:
    """It has a list of its own, as --help reads no facts."""
    assert prune.KINDS == pruning.ON_REQUEST


def test_a_person_s_own_files_stay(one: Bench) -> None:
    for key in ("runs/notes.txt", "raw/readme.md", "mine/data.parquet", "rehearsal/journal/1.json"):
        one.ctx.store.create(key, b"mine")
    assert not any(kinds(one, BACK)[kind] for kind in pruning.ALWAYS)


def test_while_a_batch_is_under_way_nothing_is_deleted(tmp_path: Path) -> None:
    one = bench(write_project(tmp_path))
    one.go()
    one.ctx.store.create("schemas/0123456789abcdef.json", b"{}")
    with pytest.raises(NotFinished, match=r"1 attempts are under way \(one-\w+ of run tiny\)"):
        pruning.delete(one.ctx, pruning.find(one.ctx))
    assert one.ctx.store.exists("schemas/0123456789abcdef.json")


def test_somebody_who_wrote_a_moment_ago_may_be_at_work(one: Bench) -> None:
    other = bench(one.ctx.project, host=one.host, store=one.ctx.store, owner="another:boot:1:2:abc")
    assert pruning.under_way(other.ctx) is not None, "this very process, which lives, wrote last"
    other.ctx.ledger.retry("tiny", "one")
    one.ctx.ledger.refresh()
    assert "15 minutes" in str(pruning.under_way(one.ctx))
    one.clock.sleep(one.ctx.timing.lease + 1)
    assert pruning.under_way(one.ctx) is None


def test_an_empty_store_has_nothing_to_delete(tmp_path: Path) -> None:
    one = bench(write_project(tmp_path))
    assert kinds(one, BACK) == {kind: [] for kind in (*pruning.ALWAYS, *pruning.ON_REQUEST)}
    pruning.delete(one.ctx, pruning.find(one.ctx))


@pytest.mark.slow
def test_the_command_says_first_and_deletes_on_a_word(tmp_path: Path) -> None:
    path = cli_project(tmp_path)
    assert call("run", path, "--rehearse").code == 0
    left = tmp_path / "runs" / "rehearsal" / "schemas" / "0123456789abcdef.json"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"x" * 1500)
    said = call("prune", path, "--rehearse", "--also", "raw")
    assert said.code == 0 and "1.5 kB" in said.out and "nothing was deleted yet" in said.out
    assert said.out.splitlines()[-1] == (f"next:  chimera-batch prune --rehearse {path} --also raw --yes")
    assert left.exists()
    document = call("prune", path, "--rehearse", "--also", "raw", "--json").document
    counts = {one["kind"]: (one["objects"], one["bytes"]) for one in document["kinds"]}
    assert counts["unnamed"] == (1, 1500) and counts["raw"][0] == 1 and not document["deleted"]
    gone = call("prune", path, "--rehearse", "--also", "raw", "--yes", "--json")
    assert gone.code == 0 and gone.document["deleted"]
    assert not left.exists()
    assert call("run", path, "--rehearse").code == 0
    assert json.loads(call("status", path, "--rehearse", "--json").out)["state"] == "done"
    assert call("prune", path, "--rehearse").out.splitlines()[-1] == "nothing to delete"
