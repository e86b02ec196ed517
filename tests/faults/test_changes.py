"""A person edits something and runs again: exactly the difference is sent, its cost was shown before, nothing twice.

What was sent is counted on the server's own bill. One finished run is made for the whole file; each test gets a copy
of its store and of its server.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chimera_batch import api
from chimera_batch.errors import NotFinished
from chimera_batch.opening import Options
from chimera_batch.verbs import statusing
from tests.faults import pipeline
from tests.faults.invariants import Scene, dataset
from tests.faults.pipeline import FILES, TOPICS, Pipeline
from tests.rehearsal_kit import Hall

pytestmark = pytest.mark.slow

BASE = Pipeline()
OTHER_WORDS = {"prompts/small/reviews.md": FILES["prompts/small/reviews.md"].replace("judge", "weigh")}


@dataclass
class Site:
    """A project with its store and its server; ``made`` is what the manifest says at the moment."""

    folder: Path
    served: Hall
    made: Pipeline
    options: Options

    def scene(self, made: Pipeline) -> Scene:
        manifest = made.write(self.folder / "project")
        return Scene(pipeline.place(self.folder, manifest, self.served.url), self.served)

    def plan(self, made: Pipeline, **more: Any) -> dict[str, Any]:
        return api.plan(made.write(self.folder / "project"), replace(self.options, **more))

    def run(self, made: Pipeline, **more: Any) -> Change:
        """Plan, run, and tell what the server was asked in between."""
        known, before = Counter(keys(self.served)), len(self.served.bill)
        quote = self.plan(made, **more)
        assert len(self.served.bill) == before, "a plan sends nothing"
        status = api.run(made.write(self.folder / "project"), replace(self.options, **more))
        fresh = self.served.bill[before:]
        assert not [line for line in fresh if known[line["request_id"]]], "known requests were sent again"
        scene = self.scene(made)
        assert not list(scene.faults(None)), list(scene.faults(None))
        return Change(quote, status, fresh, scene)


@dataclass(frozen=True)
class Change:
    """What a run after an edit was quoted, what it did, and what that cost."""

    quote: dict[str, Any]
    status: dict[str, Any]
    fresh: list[dict[str, Any]]
    scene: Scene

    @property
    def sent(self) -> tuple[int, int]:
        """(drafts, reviews) sent."""
        hosts = Counter(line["profile"] for line in self.fresh)
        return hosts["openai"], hosts["anthropic"]

    @property
    def quoted(self) -> tuple[int, int]:
        drafts, reviews = (s for s in self.quote["stages"] if s["stage"] in {"drafts", "reviews"})
        return drafts["requests"], reviews["requests"]

    @property
    def usd(self) -> Decimal:
        return sum((Decimal(line["usd"]) for line in self.fresh), Decimal(0))

    def cost_was_shown(self) -> bool:
        total = self.quote["total"]
        return 0 < self.usd <= Decimal(str(total["ceiling"])) and 0 < total["likely"] <= total["ceiling"]

    def stage(self, name: str) -> dict[str, Any]:
        return next(stage for stage in self.status["stages"] if stage["stage"] == name)


def keys(served: Hall) -> list[str]:
    return [str(line["request_id"]) for line in served.bill]


@contextmanager
def opened(folder: Path, made: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with pipeline.hall(folder / "server") as served:
        monkeypatch.setenv("CHIMERA_REHEARSAL_URL", served.url)
        monkeypatch.setenv("CHIMERA_CACHE", str(folder / "cache"))
        options = Options(store=str(folder / "store"), rehearse=True, timing=pipeline.TIMING)
        yield Site(folder, served, made, options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run of BASE."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch, opened(folder, BASE, patch) as site:
        api.run(BASE.write(folder / "project"), site.options)
        assert len(site.served.bill) == 8
    return folder


@pytest.fixture
def site(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    shutil.copytree(finished, folder)
    with opened(folder, BASE, monkeypatch) as copied:
        yield copied


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with opened(tmp_path / "site", BASE, monkeypatch) as empty:
        yield empty


def test_nothing_changed(site: Site) -> None:
    change = site.run(BASE)
    assert change.sent == change.quoted == (0, 0)
    assert change.quote["total"]["ceiling"] == 0


def test_a_topic_more(site: Site) -> None:
    change = site.run(replace(BASE, topics=(*TOPICS, "eels")))
    assert change.sent == (1, 1)
    assert change.quoted == (1, 1)
    assert change.cost_was_shown()
    assert [row[1] for row in dataset(change.scene)] == [*TOPICS, "eels"]


def test_more_samples(site: Site) -> None:
    change = site.run(replace(BASE, samples=3))
    assert change.sent == (8, 8)
    assert change.quoted[0] == 8
    assert change.cost_was_shown()
    assert len(dataset(change.scene)) == 12


def test_fewer_samples_again(site: Site) -> None:
    """Asked, unasked and asked again: what is known stays known."""
    assert site.run(replace(BASE, samples=2)).sent == (4, 4)
    assert site.run(BASE).sent == (0, 0)
    assert site.run(replace(BASE, samples=2)).sent == (0, 0)


def test_one_prompt_edited(site: Site) -> None:
    change = site.run(replace(BASE, files=OTHER_WORDS))
    assert change.sent == change.quoted == (0, 4)
    assert change.cost_was_shown()
    assert change.stage("reviews")["orphaned"] == 4
    back = site.run(BASE)
    assert back.sent == (0, 0) and back.quote["total"]["ceiling"] == 0


def test_the_first_prompt_edited(site: Site) -> None:
    """New drafts have new titles, so all reviews are new questions."""
    files = {"prompts/small/drafts.md": FILES["prompts/small/drafts.md"].replace("An essay", "A poem")}
    change = site.run(replace(BASE, files=files))
    assert change.sent == (4, 4)
    assert change.quoted[0] == 4
    assert change.cost_was_shown()


def test_a_price_edited(site: Site) -> None:
    change = site.run(BASE, prices=["openai/gpt-6-luna=7,9"])
    assert change.sent == change.quoted == (0, 0)
    assert change.quote["total"]["ceiling"] == 0
    billed = sum(Decimal(line["usd"]) for line in site.served.bill)
    assert change.status["usd_spent"] == pytest.approx(float(billed), abs=1e-6)  # of the price at which it was bought


def test_a_larger_ceiling_sends_nothing_that_is_answered(site: Site) -> None:
    change = site.run(replace(BASE, ceiling=4000))
    assert change.sent == change.quoted == (0, 0)
    assert change.quote["total"]["ceiling"] == 0


def test_a_larger_ceiling_sends_what_was_cut_off(fresh: Site) -> None:
    """Some answers are cut off at 60 tokens and at twice that; they alone are asked again with room for more."""
    low = replace(BASE, topics=tuple(f"thing {n}" for n in range(12)), per_file=50, ceiling=60)
    first = api.run(low.write(fresh.folder / "project"), fresh.options)
    given_up = [stage["given_up"] for stage in first["stages"] if stage["kind"] == "ask"]
    assert 0 < given_up[0] < 12, first["stages"]
    before = Counter(line["request_id"] for line in fresh.served.bill if line["usable"])
    change = Change(fresh.plan(replace(low, ceiling=2000)), {}, [], fresh.scene(low))
    assert change.quoted[0] == given_up[0]
    second = api.run(replace(low, ceiling=2000).write(fresh.folder / "project"), fresh.options)
    assert [stage["given_up"] for stage in second["stages"] if stage["kind"] == "ask"] == [0, 0]
    usable = Counter(line["request_id"] for line in fresh.served.bill if line["usable"])
    assert set(usable.values()) == {1} and before.keys() < usable.keys()
    assert not list(change.scene.faults(None))


def test_a_row_removed_while_it_is_in_flight(fresh: Site) -> None:
    """Its answer is orphaned: collected, billed and kept, so asking for it again is free."""
    with pytest.raises(NotFinished):
        api.run(BASE.write(fresh.folder / "project"), fresh.options, detach=True)
    change = fresh.run(replace(BASE, topics=TOPICS[1:]))
    assert change.sent[1] == 3
    assert change.stage("drafts")["orphaned"] == 1 and change.stage("drafts")["wanted"] == 3
    assert sum(change.stage("drafts")["outcomes"].values()) == 3
    assert Counter(line["profile"] for line in fresh.served.bill)["openai"] == 4
    assert [row[1] for row in dataset(change.scene)] == list(TOPICS[1:])
    again = fresh.run(BASE)
    assert again.sent == (0, 1)
    assert again.quoted[0] == 0


def test_a_row_removed_afterwards(site: Site) -> None:
    change = site.run(replace(BASE, topics=TOPICS[:3]))
    assert change.sent == change.quoted == (0, 0)
    assert [row[1] for row in dataset(change.scene)] == list(TOPICS[:3])


def test_rows_in_another_order_are_the_same_rows(site: Site) -> None:
    change = site.run(replace(BASE, topics=TOPICS[::-1]))
    assert change.sent == (0, 0)


def test_another_manifest_with_the_same_questions(site: Site) -> None:
    first = site.scene(BASE)
    known = dataset(first)
    change = site.run(replace(BASE, run="another", per_file=3))
    assert change.sent == change.quoted == (0, 0)
    assert change.quote["total"]["ceiling"] == 0
    assert change.status["usd_spent"] == 0 and statusing.balances(change.status)
    assert dataset(change.scene) == known


def test_another_manifest_asks_only_what_it_adds(site: Site) -> None:
    change = site.run(replace(BASE, run="another", topics=(*TOPICS[:2], "eels")))
    assert change.sent == (1, 1)
    assert change.status["usd_spent"] == pytest.approx(float(change.usd), abs=1e-6)


def test_two_edits_while_in_flight(fresh: Site) -> None:
    """A topic is added and another one removed before anything has landed."""
    with pytest.raises(NotFinished):
        api.run(BASE.write(fresh.folder / "project"), fresh.options, detach=True)
    change = fresh.run(replace(BASE, topics=(*TOPICS[1:], "eels")))
    assert Counter(keys(fresh.served)).most_common(1)[0][1] == 1
    assert Counter(line["profile"] for line in fresh.served.bill) == {"openai": 5, "anthropic": 4}
    assert [row[1] for row in dataset(change.scene)] == [*TOPICS[1:], "eels"]
