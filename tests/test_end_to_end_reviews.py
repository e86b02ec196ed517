"""The second pipeline and every kind of stage, from the manifest to the table, through a rehearsal server.

Two runs are shared by the tests of this file: the shipped ``reviews.yaml``, and ``kinds``, which has one stage of each
kind. Everything is checked against the server's own bill.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chimera_batch import api
from chimera_batch.errors import InputError, NeedsDecision
from chimera_batch.opening import Options
from chimera_batch.verbs import statusing
from tests.end_to_end import Provider, Rehearsed, provider, shipped, stage_of, write_pipeline

LOW, HIGH = 125, 250  # output ceilings of the stage `short`


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    # refusal: the model that drafts problems refuses every draft; no other stage here asks it
    with provider(tmp_path_factory.mktemp("server"), refusal=1.0) as running:
        yield running


@dataclass(frozen=True)
class Played:
    """A finished run: what it said, what was estimated before it, what the server billed for it."""

    place: Rehearsed
    document: dict[str, Any]
    before: dict[str, Any]
    billed: Decimal
    ask: Callable[[str], list[tuple[Any, ...]]]  # SQL over its tables

    def executed(self, stage: str) -> list[dict[str, Any]]:
        """The server's bill of one stage's requests."""
        mine = {key for (key,) in self.ask(f"SELECT request_id FROM outcomes WHERE stage = '{stage}'")}
        return [line for line in self.place.served.bill if line["request_id"] in mine]


def play(manifest: Path, served: Provider, folder: Path) -> Iterator[Played]:
    place = rehearse(manifest, served, folder)
    before, known = place.plan(), served.usd()
    document = place.run()
    with place.tables() as ask:
        yield Played(place, document, before, served.usd() - known, ask)


def rehearse(manifest: Path, served: Provider, folder: Path) -> Rehearsed:
    return Rehearsed(manifest, str(folder / "store"), served, folder / "cache")


# -- reviews.yaml


@pytest.fixture(scope="module")
def reviews(served: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    yield from play(shipped("reviews"), served, tmp_path_factory.mktemp("reviews"))


def test_reviews_end_in_their_table(reviews: Played) -> None:
    products = reviews.ask("SELECT row_key, product, review_count FROM summaries ORDER BY row_key")
    assert products == [
        ("harrier-lamp", "Harrier lamp", 3),
        ("kestrel-kettle", "Kestrel kettle", 3),
        ("merlin-backpack", "Merlin backpack", 2),
    ]
    kinds = reviews.ask("SELECT DISTINCT typeof(praised), length(headline) > 0 FROM summaries")
    assert kinds == [("VARCHAR[]", True)]
    assert reviews.ask("SELECT count(*), count(DISTINCT row_key) FROM classified") == [(8, 8)]


def test_reviews_cost_what_the_server_billed(reviews: Played) -> None:
    assert reviews.billed > 0
    assert reviews.ask("SELECT sum(usd) FROM costs") == [(reviews.billed,)]
    status = reviews.place.status()
    assert status["usd_spent"] == pytest.approx(float(reviews.billed), abs=1e-6)
    assert status["usd_reserved"] == 0
    assert status["state"] == "done"
    assert statusing.balances(status)


def test_the_estimate_is_paid_down_to_nothing(reviews: Played) -> None:
    assert [stage["requests"] for stage in reviews.before["stages"]] == [8, 3]
    low, likely, high, ceiling = reviews.before["total"].values()
    assert 0 < low <= likely <= high <= ceiling
    assert 0 < reviews.billed <= ceiling
    after = reviews.place.plan()
    assert [stage["requests"] for stage in after["stages"]] == [0, 0]
    assert set(after["total"].values()) == {0.0}


def test_a_second_run_sends_nothing(reviews: Played) -> None:
    place = reviews.place
    objects, heard = place.objects(""), len(place.served.tell("requests"))
    assert place.run() == reviews.document
    assert len(place.served.tell("requests")) == heard  # not even a look
    assert place.objects("") == objects  # nor a new object in the store


def test_a_summary_is_traced_to_raw_lines(reviews: Played) -> None:
    found = reviews.place.trace("harrier-lamp")
    assert found["row"]["product"] == "Harrier lamp"
    (step,) = [step for step in found["steps"] if step["stage"] == "summaries"]
    (result,) = step["results"]
    raw = json.loads(result["raw_line"])
    assert raw["custom_id"].endswith(step["request_id"])
    headline = json.loads(raw["result"]["message"]["content"][-1]["text"])["headline"]
    assert [(headline,)] == reviews.ask("SELECT headline FROM summaries WHERE row_key = 'harrier-lamp'")
    (line,) = [line for line in reviews.executed("summaries") if line["request_id"] == step["request_id"]]
    assert line["batch"] == result["batch"]
    assert result["usd"] == pytest.approx(float(line["usd"]))


def test_one_review_is_traced_to_its_own_request(reviews: Played) -> None:
    found = reviews.place.trace("review-7")
    assert [(step["stage"], step["row_key"]) for step in found["steps"]] == [("classified", "review-7")]
    with pytest.raises(InputError, match="review-99"):
        reviews.place.trace("review-99")


def test_an_unconfirmed_price_sends_nothing(served: Provider, tmp_path: Path) -> None:
    """A rehearsal is never asked about; a run for money is, before anything else happens."""
    place = rehearse(shipped("reviews"), served, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OPENAI", "ANTHROPIC"):
            patch.setenv(f"{name}_API_KEY", "sk-test")
            patch.setenv(f"{name}_BASE_URL", f"{served.url}/{name.lower()}{'/v1' if name == 'OPENAI' else ''}")
        seen: list[dict[str, Any]] = []
        heard = len(served.tell("requests"))

        def no(quote: dict[str, Any]) -> bool:
            seen.append(quote)
            return False

        with pytest.raises(NeedsDecision, match="nothing was sent"):
            api.run(place.manifest, Options(store=place.store), confirm=no)
    assert seen[0]["total"]["ceiling"] > 0
    assert len(served.tell("requests")) == heard


# -- every kind of stage

_ROWS = """
-- {count} rows.
-- reads: nothing
SELECT '{stem}-' || n AS row_key, n FROM (SELECT unnest(range({count})) AS n)
"""
_ROUND_ROWS = """
-- Two rows a round, which know how many came before them.
-- reads: previous
-- $round: this round, from 1
SELECT
    'round-' || $round || '-' || n AS row_key,
    n,
    (SELECT count(*) FROM previous WHERE answer ->> 'word' <> '') AS known
FROM (SELECT unnest(range(2)) AS n)
"""
_ENOUGH = """
-- Four words are enough.
-- reads: previous
SELECT count(*) >= 4 FROM previous WHERE outcome = 'ok'
"""
_ROUND_TABLE = """
-- One row per word.
-- reads: answers
SELECT row_key, round, known, answer ->> 'word' AS word FROM answers WHERE outcome = 'ok'
"""
_VECTORS = """
-- One vector per row.
-- reads: answers
SELECT row_key, embedding FROM answers WHERE outcome = 'ok'
"""
_WORD = {
    "type": "object",
    "properties": {"word": {"type": "string"}},
    "required": ["word"],
    "additionalProperties": False,
}
_FILES = {
    **{
        f"sql/kinds/{stem}_rows.sql": _ROWS.format(stem=stem, count=count)
        for stem, count in {"twice": 3, "quick": 3, "vectors": 4, "newer": 3, "short": 12, "refusing": 2}.items()
    },
    "sql/kinds/rounds_rows.sql": _ROUND_ROWS,
    "sql/kinds/enough.sql": _ENOUGH,
    "sql/kinds/rounds.sql": _ROUND_TABLE,
    "sql/kinds/vectors.sql": _VECTORS,
    "prompts/kinds/word.json": json.dumps(_WORD),
    **{
        f"prompts/kinds/{stem}.md": f"<!-- system -->\nThis is {stem}.\n<!-- user -->\nNumber {{{{ n }}}}.\n"
        for stem in ("twice", "quick", "newer", "short", "refusing")
    },
    "prompts/kinds/rounds.md": "<!-- user -->\nAfter {{ known }} words, number {{ n }}.\n",
    "prompts/kinds/vectors.md": "<!-- user -->\nText number {{ n }} in the nest of the bird.\n",
}


def _stage(name: str, model: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "ask": model,
        "prompt": f"kinds/{name}.md",
        "rows": f"kinds/{name}_rows.sql",
        "assume": {"output_tokens": 100},
        **more,
    }


KINDS = {
    "run": "kinds",
    "budget": {"usd": 1},
    "models": {
        "claude": {"provider": "anthropic", "model": "claude-haiku-5-5", "max_output_tokens": 2000},
        "luna": {"provider": "openai", "model": "gpt-6-luna", "max_output_tokens": 2000},
        "newer": {
            "provider": "openai",
            "model": "gpt-6-luna",
            "endpoint": "/v1/responses",
            "max_output_tokens": 2000,
        },
        "brief": {"provider": "openai", "model": "gpt-6-luna", "max_output_tokens": LOW},
        "embedder": {"provider": "openai", "model": "text-embedding-3-small", "endpoint": "/v1/embeddings"},
    },
    "stages": [
        _stage("twice", "claude", samples=2),
        _stage("quick", "luna", window="now", schema="kinds/word.json"),
        _stage("vectors", "embedder", table="kinds/vectors.sql"),
        _stage(
            "rounds",
            "luna",
            schema="kinds/word.json",
            table="kinds/rounds.sql",
            rounds={"max": 5, "until": "kinds/enough.sql"},
        ),
        _stage("newer", "newer", schema="kinds/word.json"),
        _stage("short", "brief", retry={"truncated": {"times": 1, "ceiling": "2x"}}),
        _stage("refusing", "luna", schema="chimera/problems.json"),
    ],
}


@pytest.fixture(scope="module")
def kinds(served: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    folder = tmp_path_factory.mktemp("kinds")
    yield from play(write_pipeline(folder, KINDS, _FILES), served, folder)


def test_every_kind_is_done_and_balances(kinds: Played) -> None:
    assert kinds.document["state"] == "done"
    assert statusing.balances(kinds.document)
    wanted = {stage["stage"]: (stage["wanted"], stage["answered"]) for stage in kinds.document["stages"]}
    assert wanted == {
        "twice": (6, 6),
        "quick": (3, 3),
        "vectors": (4, 4),
        "rounds": (4, 4),
        "newer": (3, 3),
        "short": (12, 12),
        "refusing": (2, 0),
    }
    billed = {stage: sum(Decimal(line["usd"]) for line in kinds.executed(stage)) for stage in wanted}
    assert all(billed.values())
    booked = dict(kinds.ask("SELECT stage, sum(usd) FROM costs GROUP BY 1"))
    assert booked == billed


def test_samples_are_questions_of_their_own(kinds: Played) -> None:
    rows = kinds.ask("SELECT row_key, n, sample, text FROM twice ORDER BY row_key")
    assert [row[:3] for row in rows] == [
        *(("twice-0", 0, 1), ("twice-0-2", 0, 2)),
        *(("twice-1", 1, 1), ("twice-1-2", 1, 2)),
        *(("twice-2", 2, 1), ("twice-2-2", 2, 2)),
    ]
    assert len({row[3] for row in rows}) == 6
    assert {line["profile"] for line in kinds.executed("twice")} == {"anthropic"}


def test_a_window_of_now_is_asked_at_once_at_the_full_price(kinds: Played) -> None:
    lines = kinds.executed("quick")
    assert [(line["sync"], line["batch"]) for line in lines] == [(True, None)] * 3
    for line in lines:  # 0.10 and 0.50 dollars per million tokens in, out; a batch is half of it
        full = (line["input_tokens"] * Decimal("0.10") + line["output_tokens"] * Decimal("0.50")) / 1_000_000
        assert Decimal(line["usd"]) == full
    assert all(line["custom_id"].endswith(line["request_id"]) for line in lines)  # known by name there, too
    assert stage_of(kinds.document, "quick")["outcomes"] == {"ok": 3}
    assert kinds.ask("SELECT count(*) FROM quick WHERE answer ->> 'word' <> ''") == [(3,)]


def test_embeddings_are_a_column_of_floats(kinds: Played) -> None:
    rows = kinds.ask("SELECT typeof(embedding), len(embedding), list_dot_product(embedding, embedding) FROM vectors")
    assert [row[:2] for row in rows] == [("FLOAT[]", 64)] * 4
    assert [row[2] for row in rows] == pytest.approx([1.0] * 4)
    pairs = "SELECT min(list_cosine_similarity(a.embedding, b.embedding)) FROM vectors AS a, vectors AS b"
    ((near,),) = kinds.ask(pairs)
    assert near > 0.5  # the texts differ by one word
    assert kinds.ask("SELECT count(DISTINCT embedding) FROM vectors") == [(4,)]
    assert {line["output_tokens"] for line in kinds.executed("vectors")} == {0}


def test_rounds_close_one_after_the_other_until_there_is_enough(kinds: Played) -> None:
    rows = kinds.ask("SELECT row_key, round, known FROM rounds ORDER BY row_key")
    assert rows == [("round-1-0", 1, 0), ("round-1-1", 1, 0), ("round-2-0", 2, 2), ("round-2-1", 2, 2)]
    assert len(stage_of(kinds.document, "rounds")["batches"]) == 2


def test_the_responses_endpoint_is_a_stage_like_any_other(kinds: Played) -> None:
    assert kinds.ask("SELECT count(*) FROM newer WHERE answer ->> 'word' <> ''") == [(3,)]
    batches = {batch["id"]: batch["endpoint"] for batch in kinds.place.served.tell("state")["batches"]}
    assert {batches[line["batch"]] for line in kinds.executed("newer")} == {"/v1/responses"}


def test_a_truncated_answer_is_asked_again_with_twice_the_room(kinds: Played) -> None:
    tried = Counter(line["request_id"] for line in kinds.executed("short"))
    again = {key for key, times in tried.items() if times == 2}
    assert 0 < len(again) < len(tried) == 12
    outcomes = kinds.ask(
        "SELECT request_id, attempt, outcome, finish, output_tokens FROM outcomes WHERE stage = 'short'"
    )
    for key, attempt, outcome, finish, tokens in outcomes:
        cut = key in again and attempt == 1
        assert (outcome, finish) == (("truncated", "length") if cut else ("ok", "stop"))
        assert tokens == LOW if cut else tokens <= HIGH
    assert any(tokens > LOW for *_, tokens in outcomes)
    first, second = stage_of(kinds.document, "short")["batches"]
    assert (first["requests"], second["requests"]) == (12, len(again))
    assert kinds.ask("SELECT count(*), count(DISTINCT text) FROM short") == [(12, 12)]


def test_a_refusal_is_kept_paid_for_and_never_asked_again(kinds: Played) -> None:
    stage = stage_of(kinds.document, "refusing")
    assert (stage["outcomes"], stage["given_up"], stage["rows"]) == ({"refused": 2}, 2, 0)
    assert stage["usd_spent"] > 0
    assert [line["usable"] for line in kinds.executed("refusing")] == [False, False]
    (step,) = kinds.place.trace("refusing-1")["steps"]
    assert "refusal" in step["results"][0]["raw_line"]


def test_a_second_run_of_every_kind_sends_nothing(kinds: Played) -> None:
    heard = len(kinds.place.served.tell("requests"))
    assert kinds.place.run()["usd_spent"] == kinds.document["usd_spent"]
    assert len(kinds.place.served.tell("requests")) == heard
    assert set(kinds.place.plan()["total"].values()) == {0.0}


def test_nothing_is_left_at_the_provider_and_nothing_was_paid_twice(kinds: Played) -> None:
    assert kinds.place.served.tell("double-payments") == []
    assert kinds.place.served.tell("state")["files"] == []
