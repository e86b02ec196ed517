"""Quotes and bills of whole runs, through ``api`` and the command line, against the server's own account."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chimera_batch import api
from chimera_batch.errors import NeedsDecision, NotFinished
from tests.cli_kit import call
from tests.conftest import ROOT
from tests.end_to_end import Provider, Rehearsed, provider, shipped, write_pipeline

ROWS = "-- Rows.\n-- reads: nothing\nSELECT 'k' || n AS row_key, n FROM (SELECT unnest(range(60)) AS n)\n"
MANIFEST: dict[str, Any] = {
    "run": "sixty",
    "budget": {"usd": 1},
    "models": {"luna": {"provider": "openai", "model": "gpt-6-luna", "max_output_tokens": 2000}},
    "stages": [
        {
            "name": "sixty",
            "ask": "luna",
            "prompt": "sixty/ask.md",
            "rows": "sixty/rows.sql",
            "assume": {"output_tokens": 100},
        }
    ],
}
FILES = {"sql/sixty/rows.sql": ROWS, "prompts/sixty/ask.md": "<!-- user -->\nNumber {{ n }}.\n"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with provider(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def sixty(served: Provider, tmp_path: Path) -> Rehearsed:
    return Rehearsed(write_pipeline(tmp_path, MANIFEST, FILES), str(tmp_path / "store"), served, tmp_path / "cache")


def journal(place: Rehearsed) -> list[dict[str, Any]]:
    """The events of a store, oldest first."""
    found = [json.loads(path.read_bytes()) for path in place.objects(".json") if path.parent.name == "journal"]
    return sorted(found, key=lambda event: int(event["n"]))


def types(place: Rehearsed) -> dict[int, str]:
    return {event["n"]: event["type"] for event in journal(place)}


def quotes(place: Rehearsed) -> list[dict[str, Any]]:
    return [event for event in journal(place) if event["type"] == "quoted"]


def bases(place: Rehearsed) -> list[str]:
    return [event["stages"][0]["basis"] for event in quotes(place)]


ASSUMED = "counted input, assumed output"


def test_a_run_is_quoted_before_it_sends_anything(sixty: Rehearsed) -> None:
    said = sixty.plan()["stages"][0]
    done = sixty.run()["stages"][0]
    (event,) = quotes(sixty)
    assert {name: float(usd) for name, usd in event["stages"][0]["usd"].items()} == said["usd"]
    assert (event["stages"][0]["spent"], event["stages"][0]["requests"]) == ("0", 60)
    claims = [n for n, kind in types(sixty).items() if kind == "claimed"]
    assert claims and event["n"] < min(claims)
    assert done["quoted"] == {**said["usd"], "basis": ASSUMED, "requests": 60}
    again = sixty.run()
    assert again["stages"][0]["quoted"] == done["quoted"]
    assert bases(sixty) == [ASSUMED]


def test_cron_quotes_once_for_each_manifest(sixty: Rehearsed) -> None:
    with sixty.place():
        for _ in range(3):
            with suppress(NotFinished):  # a provider works
                api.advance(sixty.manifest, sixty.options)
    assert bases(sixty) == [ASSUMED]
    rows = sixty.manifest.parent / "sql" / "sixty" / "rows.sql"
    rows.write_text(ROWS.replace("60", "70"), encoding="utf-8")
    sixty.run()
    first, second = quotes(sixty)
    assert first["fingerprint"] != second["fingerprint"]
    assert second["stages"][0]["requests"] == 10
    assert Decimal(second["stages"][0]["spent"]) > 0


def test_a_pilot_and_the_run_after_it(sixty: Rehearsed) -> None:
    with sixty.place():
        pilot = api.pilot(sixty.manifest, None, 30, sixty.options)
    assert bases(sixty) == [ASSUMED, "pilot of 30"]
    stage = sixty.run()["stages"][0]
    assert bases(sixty) == [ASSUMED, "pilot of 30"]  # the run that follows has it already
    rest = pilot["rest"]["usd"]
    assert stage["quoted"]["likely"] == pytest.approx(rest["likely"] + pilot["usd_spent"], abs=2e-6)
    assert stage["quoted"]["basis"] == "pilot of 30"


def test_a_run_with_a_sample_is_quoted_twice(sixty: Rehearsed) -> None:
    with sixty.place():
        done = api.run(sixty.manifest, replace(sixty.options, sample=30))
    assert bases(sixty) == [ASSUMED, "pilot of 30"]
    assert done["stages"][0]["quoted"]["basis"] == "pilot of 30"


def test_a_no_leaves_no_quote(sixty: Rehearsed) -> None:
    paid = replace(sixty.options, rehearse=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "sk-test")
        patch.setenv("CHIMERA_CACHE", str(sixty.cache))
        with pytest.raises(NeedsDecision, match="nothing was sent"):
            api.run(sixty.manifest, paid, confirm=lambda _: False)
    written = (Path(sixty.store) / "journal").glob("*.json")
    assert not [path for path in written if b'"quoted"' in path.read_bytes()]


# -- the bill of the quickstart


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rehearsed, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("quickstart")
    with provider(folder / "server", seed=6, refusal=0.03, truncation=0.05) as running:
        place = Rehearsed(shipped("quickstart"), str(folder / "store"), running, folder / "cache")
        yield place, place.run()


@pytest.mark.slow
def test_status_costs_and_the_servers_bill_are_one_sum(quickstart: tuple[Rehearsed, dict[str, Any]]) -> None:
    place, document = quickstart
    billed = place.served.usd()
    assert billed > 0
    with place.tables() as ask:
        costs = ask(named("costs"))
        assert costs[-1][0] == "all" and costs[-1][7] == billed
        assert ask("SELECT sum(usd), sum(requests) FROM costs") == [(billed, len(place.served.bill))]
        assert ask("SELECT sum(usd_spent) FROM stages") == [(billed,)]
        by_stage = dict(ask("SELECT stage, usd_spent FROM stages"))
        assert ask("SELECT count(*) FROM quotes") == [(asked(document),)]
    assert document["usd_spent"] == pytest.approx(float(billed), abs=1e-6)
    for stage in document["stages"]:
        assert stage["usd_spent"] == pytest.approx(float(by_stage[stage["stage"]]), abs=1e-6)
        assert (stage["quoted"] is not None) == (stage["kind"] == "ask")


@pytest.mark.slow
def test_every_dollar_has_a_place_and_a_reason(quickstart: tuple[Rehearsed, dict[str, Any]]) -> None:
    place, document = quickstart
    billed = place.served.usd()
    with place.tables() as ask:
        *fates, last = ask(named("rejected"))
        assert last[0] == "all" and last[5] == pytest.approx(float(billed), abs=1e-5)
        assert sum(fate[5] for fate in fates) == pytest.approx(float(billed), abs=1e-4)
        made = "SELECT row_key FROM problems UNION ALL SELECT row_key FROM conversions WHERE part > 0"
        problems = ask(f"SELECT count(*) FROM ({made})")[0][0]
        assert sum(fate[1] for fate in fates if fate[0] != "no usable draft") == problems
        kept = sum(fate[1] for fate in fates if fate[0].startswith("kept, "))
        assert [(kept,)] == ask("SELECT count(DISTINCT problem_key) FROM dataset")
        *wasted, total = ask(named("waste"))
        assert sum(row[5] for row in wasted) == total[5] < billed
        reasons = Counter({(row[0], row[1]): row[5] for row in wasted if row[1] not in {"rejected later"}})
        told = {
            (stage["stage"], outcome): lost["usd"]
            for stage in document["stages"]
            for outcome, lost in stage["wasted"].items()
        }
        assert told and told == {mark: pytest.approx(float(usd), abs=1e-6) for mark, usd in reasons.items() if usd}
        agreement = ask(named("agreement"))
        assert agreement[0][0] == "all" and agreement[0][3] == ask("SELECT count(*) FROM verdict_b")[0][0]


@pytest.mark.slow
def test_the_screen_of_the_quickstart(quickstart: tuple[Rehearsed, dict[str, Any]]) -> None:
    place, document = quickstart
    with place.place():
        shown = call("status", place.manifest, "--rehearse", "--store", place.store)
        spent = call("query", "@costs", "-m", place.manifest, "--rehearse", "--store", place.store, "--json")
    lines = shown.out.splitlines()
    assert len(lines) <= 50
    assert lines[1].split()[-2:] == ["spent", "quoted"]
    assert sum(" quoted $" in line for line in lines) == sum(stage["usd_spent"] > 0 for stage in document["stages"])
    by_stage = {row["stage"]: row for row in spent.document}
    for stage in document["stages"]:
        if stage["kind"] == "ask":
            assert by_stage[stage["stage"]]["quoted_likely"] == pytest.approx(stage["quoted"]["likely"], abs=1e-6)
            assert by_stage[stage["stage"]]["rows_kept"] == stage["rows_kept"]


def asked(document: dict[str, Any]) -> int:
    """How many stages ask a model."""
    return sum(stage["kind"] == "ask" for stage in document["stages"])


def named(name: str) -> str:
    return (ROOT / "sql" / "queries" / f"{name}.sql").read_text(encoding="utf-8")
