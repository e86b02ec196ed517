"""Recovery: a lost reply or a silent owner is looked up, and never paid for twice."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.errors import (
    AccountRefused,
    MaybeCreated,
    NotFinished,
    ProviderDown,
    ProviderError,
    ProviderRefused,
)
from chimera_batch.history.facts import Attempt, Shard
from chimera_batch.records import Intent
from chimera_batch.steps import recovery, submitting
from tests.support import (
    FAR_OWNER,
    NOW,
    REALM,
    Bench,
    Flaky,
    MemoryStore,
    bench,
    claimed,
    dead_owner,
    packed,
    write_project,
)

HOSTS: dict[str, dict[str, Any]] = {
    "metadata": {"keeps_metadata": True},
    "file names": {"keeps_metadata": False},
    "counts": {"keeps_metadata": False, "deletes_files": False},
}
"""How a host lets a lost batch be found: by our nonce, by the name of our file, or by count and time alone."""

SENT = b'{"custom_id":"x"}\n' * 10
LOST = MaybeCreated("the connection broke")


@dataclass
class Case:
    """A claim of ten requests at a fake host."""

    one: Bench
    path: Path

    @property
    def shard(self) -> Shard:
        return next(iter(self.one.ctx.facts.shards.values()))

    @property
    def attempt(self) -> Attempt:
        return self.shard.attempts[-1]

    @property
    def intent(self) -> Intent:
        return recovery.intent_of(self.shard, self.attempt)

    def late(self, seconds: float) -> None:
        self.one.clock.sleep(seconds)

    def submit(self) -> bool:
        return submitting.submit(self.one.ctx, self.shard, self.attempt, self.path)

    def look_up(self, *, silent: bool = False) -> bool:
        return recovery.look_up(self.one.ctx, self.shard, self.attempt, self.intent, silent=silent)

    def resolve(self) -> bool:
        return recovery.resolve(self.one.ctx, self.shard, self.attempt, self.intent)

    def runner(self, owner: str = "another:boot:2:2") -> Case:
        """Another runner at the same store and host."""
        store, host = self.one.ctx.store, self.one.host
        return Case(bench(self.one.ctx.project, host=host, store=store, owner=owner), self.path)


def case(folder: Path, host: str = "metadata", *, owner: str | None = None, store: Any = None) -> Case:
    store = store or MemoryStore()
    project = write_project(folder)
    path = folder / "wire.jsonl"
    path.write_bytes(SENT)
    if owner is not None:
        first = bench(project, store=store, owner=owner, **HOSTS[host])
        first.ctx.ledger.pack(packed(), seen_packs=0)
        first.ctx.ledger.write(lambda _facts: claimed())
        return Case(bench(first.ctx.project, host=first.host, store=store), path)
    one = bench(project, store=store, **HOSTS[host])
    one.ctx.ledger.pack(packed(), seen_packs=0)
    one.ctx.ledger.write(lambda _facts: claimed())
    return Case(one, path)


@pytest.fixture(params=list(HOSTS))
def any_case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return case(tmp_path, request.param)


# -- sending


def test_a_receipt_is_written_at_once(any_case: Case) -> None:
    assert any_case.submit()
    assert (any_case.attempt.stand, any_case.attempt.batch) == ("submitted", "batch-1")
    uploaded = [] if any_case.one.host.profile.deletes_files is False else ["upload"]
    assert [verb for verb, _ in any_case.one.host.log] == [*uploaded, "create"]


def test_a_lost_reply_is_found_and_adopted(any_case: Case) -> None:
    any_case.one.host.trouble["created"] = [LOST]
    assert any_case.submit()
    assert (any_case.attempt.stand, any_case.attempt.batch) == ("submitted", "batch-1")
    assert len(any_case.one.host.called("create")) == 1
    assert any("adopted batch-1" in line for line in any_case.one.said)


def test_a_create_that_never_arrived_is_let_go_when_it_is_certain(any_case: Case) -> None:
    host = any_case.one.host
    host.trouble["create"] = [LOST]
    assert not any_case.submit()
    assert any_case.attempt.stand == "claimed"
    assert len(host.files) == host.profile.deletes_files
    any_case.late(119)
    assert not any_case.resolve()
    assert any_case.attempt.stand == "claimed", "a batch could still show"
    any_case.late(1)
    assert not any_case.resolve()
    assert any_case.attempt.stand == "dropped"
    assert host.files == {}
    assert any_case.one.ctx.facts.reserved("tiny") == 0


def test_a_list_that_was_read_long_after_it_was_made_is_none(any_case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine sleeps between the provider's reply and its reading; the late batch shows meanwhile."""
    host = any_case.one.host
    host.trouble["create"] = [LOST]
    assert not any_case.submit()
    find = host.find

    def dozes(intent: Intent) -> Any:
        found = find(intent)
        any_case.late(3600)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(host, "find", dozes)
        assert not any_case.resolve()
    assert any_case.attempt.stand == "claimed", "nothing was seen of the two minutes that count"
    assert not any_case.resolve()
    assert any_case.attempt.stand == "dropped"


def test_the_upload_goes_before_the_claim_is_given_up(tmp_path: Path) -> None:
    """Otherwise a create that is still under way could succeed beside the next attempt."""
    found = case(tmp_path)
    host = found.one.host
    host.trouble["create"] = [LOST]
    found.submit()
    found.late(200)
    host.trouble["discard"] = [ProviderDown("away")]
    found.resolve()
    assert found.attempt.stand == "claimed"
    host.trouble["find_uploads"] = [ProviderDown("away")]
    found.resolve()
    assert found.attempt.stand == "claimed"
    found.resolve()
    assert found.attempt.stand == "dropped"
    with pytest.raises(ProviderRefused):
        host.create(found.intent, found.path, found.attempt.file)  # the late create


def test_an_upload_without_a_receipt_is_found_by_its_name(tmp_path: Path) -> None:
    """The process died between upload and receipt; the file would lie there for ever."""
    found = case(tmp_path, owner=dead_owner())
    found.one.host.put(found.intent.file_name, SENT)
    other = found.one.host.put("chimera-other.jsonl", SENT + b"\n")
    found.resolve()
    found.late(120)
    found.resolve()
    assert found.attempt.stand == "dropped"
    assert list(found.one.host.files) == [other]


@pytest.mark.parametrize("error", [ProviderDown("away"), ProviderRefused("no", status=400), AccountRefused("no money")])
@pytest.mark.parametrize("verb", ["upload", "create"])
def test_a_definite_failure_frees_the_claim(tmp_path: Path, verb: str, error: ProviderError) -> None:
    found = case(tmp_path)
    found.one.host.trouble[verb] = [error]
    if isinstance(error, ProviderDown):
        assert not found.submit()
    else:
        with pytest.raises(type(error)):
            found.submit()
    assert found.attempt.stand == "dropped"
    assert found.attempt.reason == str(error)
    assert found.one.host.batches == {}


@pytest.mark.parametrize(
    ("host", "late", "created"), [("metadata", 2000, True), ("counts", 810, True), ("counts", 811, False)]
)
def test_a_lease_must_last_until_the_create(tmp_path: Path, host: str, late: float, created: bool) -> None:
    """An upload begins it anew, if nobody has taken the claim over; else nine tenths of it are the most."""
    found = case(tmp_path, host)
    upload = found.one.host.upload

    def slow(intent: Intent, path: Path) -> str | None:
        found.late(late)
        return upload(intent, path)

    found.one.host.upload = slow  # type: ignore[method-assign]
    assert found.submit() is created
    assert found.attempt.stand == ("submitted" if created else "dropped")
    assert len(found.one.host.called("create")) == created
    assert created or found.one.host.files == {}


def test_a_claim_that_was_taken_over_during_the_upload_is_not_created(tmp_path: Path) -> None:
    found = case(tmp_path)
    other = found.runner()
    upload = found.one.host.upload

    def slow(intent: Intent, path: Path) -> str | None:
        file = upload(intent, path)
        assert other.one.ctx.ledger.take_over(other.shard, other.attempt, lease_until=NOW + 900)
        return file

    found.one.host.upload = slow  # type: ignore[method-assign]
    assert not found.submit()
    assert found.one.host.called("create") == []
    assert found.one.host.files == {}
    assert found.attempt.stand == "claimed"


# -- looking up


@pytest.mark.parametrize("host", ["metadata", "file names"])
def test_of_several_the_oldest_is_ours_and_the_others_are_cancelled(tmp_path: Path, host: str) -> None:
    found = case(tmp_path, host)
    fake = found.one.host
    for age in (5, 30, 10):
        fake.begin(found.intent, SENT).created_at = NOW - age
    assert found.look_up()
    assert found.attempt.batch == "batch-2"
    assert sorted(fake.called("cancel")) == ["batch-1", "batch-3"]
    assert fake.batches["batch-2"].status == "in_progress"


def test_of_several_that_only_look_alike_a_person_chooses(tmp_path: Path) -> None:
    found = case(tmp_path, "counts")
    for _ in range(2):
        found.one.host.begin(found.intent, SENT)
    assert not found.look_up()
    assert found.attempt.stand == "stuck"
    assert "batch-1, batch-2" in str(found.attempt.reason)
    assert found.one.host.called("cancel") == []
    assert found.one.ctx.facts.reserved("tiny") > 0


def test_one_that_looks_alike_is_adopted(tmp_path: Path) -> None:
    """Its results will tell by the nonce whether it is ours."""
    found = case(tmp_path, "counts")
    found.one.host.begin(found.intent, SENT)
    found.one.host.begin(found.intent, SENT + b"{}\n")  # eleven requests
    assert found.look_up()
    assert found.attempt.batch == "batch-1"


def test_batches_that_are_known_are_no_candidates(tmp_path: Path) -> None:
    found = case(tmp_path, "counts")
    ledger = found.one.ctx.ledger
    ledger.pack(packed("other"), seen_packs=1)
    ledger.write(lambda _facts: claimed("other"))
    other = found.one.ctx.facts.shards[f"{found.shard.realm}/other"]
    for _ in range(2):
        found.one.host.begin(found.intent, SENT)
    ledger.submitted(other, other.attempts[0], "batch-1")
    assert found.look_up()
    assert found.attempt.batch == "batch-2"


def test_a_host_that_cannot_be_asked_is_asked_later(any_case: Case) -> None:
    any_case.late(5000)
    any_case.one.host.trouble["find"] = [ProviderDown("away")]
    assert not any_case.look_up()
    assert any_case.attempt.stand == "claimed"
    assert any("cannot look up the batch" in line for line in any_case.one.said)


def test_why_it_waits_is_said_once(tmp_path: Path) -> None:
    found = case(tmp_path)
    for _ in range(3):
        found.look_up()
    assert len([line for line in found.one.said if "waiting until a late batch would show" in line]) == 1


# -- owners


@pytest.mark.parametrize(
    ("owner", "late", "expected"),
    [
        (None, 0, "mine"),
        (None, 5000, "mine"),
        ("dead", 0, "dead"),
        (FAR_OWNER, 899, "alive"),
        (FAR_OWNER, 900, "silent"),
    ],
)
def test_who_holds_a_claim(tmp_path: Path, owner: str | None, late: float, expected: str) -> None:
    found = case(tmp_path, owner=dead_owner() if owner == "dead" else owner)
    found.late(late)
    assert recovery.owner_of(found.one.ctx, found.attempt) == expected


def test_a_living_owner_is_left_alone(any_case: Case) -> None:
    other = any_case.runner(FAR_OWNER)
    other.late(200)
    events = len(list(other.one.ctx.store.list("journal/")))
    mine = case_of(any_case)
    assert not other.resolve()
    assert len(list(other.one.ctx.store.list("journal/"))) == events
    assert other.one.host.log == []
    assert mine.attempt.stand == "claimed"


def case_of(found: Case) -> Case:
    """The same claim, seen from its owner's side."""
    assert recovery.owner_of(found.one.ctx, found.attempt) == "mine"
    return found


def test_a_dead_owners_batch_is_adopted(tmp_path: Path) -> None:
    found = case(tmp_path, owner=dead_owner())
    found.one.host.begin(found.intent, SENT)
    assert found.resolve()
    assert (found.attempt.batch, found.attempt.owner) == ("batch-1", found.one.ctx.ledger.owner)
    assert found.attempt.taken_from == [dead_owner()]


@pytest.mark.parametrize("host", list(HOSTS))
def test_a_dead_owner_that_created_nothing_is_let_go(tmp_path: Path, host: str) -> None:
    """It cannot wake up, so even a host without files is safe once a late batch would have shown."""
    found = case(tmp_path, host, owner=dead_owner())
    assert not found.resolve()
    assert found.attempt.stand == "claimed"
    found.late(200)
    found.resolve()
    assert found.attempt.stand == "dropped"


@pytest.mark.parametrize(("host", "stand"), [("metadata", "dropped"), ("file names", "dropped"), ("counts", "stuck")])
def test_a_silent_owner_may_wake_up(tmp_path: Path, host: str, stand: str) -> None:
    """Where its file can be deleted its create will fail; where there is none only a person may send again."""
    found = case(tmp_path, host, owner=FAR_OWNER)
    found.late(1000)
    found.resolve()
    assert found.attempt.stand == "claimed", "it may have asked a moment ago: a batch could still show"
    found.late(120)
    found.resolve()
    assert found.attempt.stand == stand
    assert found.attempt.taken_from == [FAR_OWNER]
    if stand == "stuck":
        assert "none shows yet" in str(found.attempt.reason)


def test_a_silent_owner_stays_silent_for_the_next_one_too(tmp_path: Path) -> None:
    """The second runner dies after its take-over; for the third the first may still wake up."""
    found = case(tmp_path, "counts", owner=FAR_OWNER)
    found.late(1000)
    second = found.runner(dead_owner())
    assert second.one.ctx.ledger.take_over(second.shard, second.attempt, lease_until=NOW + 2000)
    third = found.runner("third:boot:3:3")
    third.one.ctx.ledger.refresh()
    third.resolve()
    third.late(120)
    third.resolve()
    assert third.attempt.stand == "stuck"


def test_of_two_runners_one_takes_over(tmp_path: Path) -> None:
    found = case(tmp_path, owner=dead_owner())
    other = found.runner()
    assert other.attempt.stand == "claimed"
    found.one.host.begin(found.intent, SENT)
    assert found.resolve()
    assert not other.resolve()
    assert other.one.ctx.ledger.refresh() == found.one.ctx.facts
    assert other.attempt.batch == "batch-1"


# -- receipts that come late


def test_a_batch_of_an_attempt_that_was_settled_meanwhile_is_cancelled(tmp_path: Path) -> None:
    """Paused between create and receipt; another runner let the claim go and sent the shard again."""
    found = case(tmp_path, owner=FAR_OWNER)
    slow = found.runner(FAR_OWNER)
    batch = slow.one.host.begin(slow.intent, SENT)
    batch.nonce = "not shown"  # not yet, so that the look-up finds nothing
    found.late(1000)
    found.resolve()
    found.late(120)
    found.resolve()
    assert found.attempt.stand == "dropped"
    found.one.ctx.ledger.write(lambda _facts: claimed(attempt=2, nonce="00000002", lease_until=NOW + 3000))
    assert found.submit()
    assert not recovery.receipt(slow.one.ctx, slow.shard, slow.shard.attempts[0], batch.id)
    assert slow.one.host.called("cancel") == [batch.id]
    assert slow.one.ctx.facts.batch_ids(REALM) == {"batch-2", batch.id}
    assert [attempt.batch for attempt in slow.shard.attempts] == [None, "batch-2"]
    assert slow.shard.attempts[0].strays == [batch.id]
    assert slow.one.ctx.facts.suspected("tiny") == slow.shard.attempts[0].usd
    assert any("was settled by another runner" in line for line in slow.one.said)


def test_a_receipt_that_another_runner_wrote_is_not_cancelled(tmp_path: Path) -> None:
    found = case(tmp_path, owner=dead_owner())
    late = found.runner("slow:boot:4:4")
    found.one.host.begin(found.intent, SENT)
    assert found.resolve()
    assert not recovery.receipt(late.one.ctx, late.shard, late.attempt, "batch-1")
    assert found.one.host.called("cancel") == []


@pytest.mark.parametrize("after", [False, True], ids=["not written", "written, reply lost"])
@pytest.mark.parametrize("at", range(4, 6))
def test_a_store_that_fails_between_create_and_receipt_loses_no_batch(tmp_path: Path, at: int, after: bool) -> None:
    """Upload and receipt are events 3 and 4; the process dies, the next one finds what was made."""
    memory = MemoryStore()
    found = case(tmp_path, store=Flaky(memory, NotFinished("the store is away"), at=at, after=after))
    with suppress(NotFinished):
        found.submit()
    again = case_again(found, memory)
    again.late(200)
    again.one.ctx.ledger.refresh()
    if again.attempt.stand == "claimed":
        again.resolve()
    created = again.one.host.batches
    assert len(created) <= 1
    assert again.one.ctx.facts.batch_ids(REALM) == set(created)
    assert again.attempt.stand == ("submitted" if created else "dropped")
    assert created or again.one.host.files == {}


def case_again(found: Case, store: Any) -> Case:
    """A new process of the same machine, where the one before has ended."""
    old = found.one.ctx.ledger.owner
    return Case(bench(found.one.ctx.project, host=found.one.host, store=store, owner=old), found.path)


# -- what a person says


@pytest.mark.parametrize(("lines", "fits"), [(10, True), (11, False)])
def test_adopting_checks_the_count(tmp_path: Path, lines: int, fits: bool) -> None:
    found = case(tmp_path, "counts")
    found.one.ctx.ledger.stuck(found.shard, found.attempt, "two candidates")
    found.one.host.begin(found.intent, b"{}\n" * lines)
    if fits:
        assert recovery.adopt(found.one.ctx, found.shard, found.attempt, "batch-1")
        assert (found.attempt.stand, found.attempt.batch) == ("submitted", "batch-1")
    else:
        with pytest.raises(ProviderRefused, match="holds 11 requests, the attempt sent 10"):
            recovery.adopt(found.one.ctx, found.shard, found.attempt, "batch-1")
        assert found.attempt.stand == "stuck"


def test_adopting_an_unknown_batch_is_refused_by_the_provider(tmp_path: Path) -> None:
    found = case(tmp_path)
    with pytest.raises(ProviderRefused, match="no batch"):
        recovery.adopt(found.one.ctx, found.shard, found.attempt, "batch-9")
    assert found.attempt.stand == "claimed"


def test_an_intent_says_what_the_attempt_was(tmp_path: Path) -> None:
    found = case(tmp_path)
    intent = found.intent
    assert (intent.shard, intent.attempt, intent.nonce, intent.requests) == ("s", 1, "00000001", 10)
    assert (intent.endpoint, intent.model, intent.window, intent.run) == (
        "/v1/chat/completions",
        "tiny-1",
        "24h",
        "tiny",
    )
    assert intent.file_name == "chimera-s-1-00000001.jsonl"
