"""A taxonomy made by the pipeline's own SQL and the rehearsal's minds, in a bare DuckDB, and what is known of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any

from chimera_batch.rehearsal.minds import answer
from chimera_batch.rehearsal.minds.respelling import meaning
from chimera_batch.rehearsal.minds.topics import VAGUE
from chimera_batch.rehearsal.minds.vocabulary import token_set
from chimera_batch.rehearsal.talk import Ask
from tests.test_chimera_sql import ANSWERS, PREVIOUS, Desk, Row

PAIRS = {
    "near_topic": 0.9, "grey_topic": 0.6, "grey_fuzzy": 0.85,
    "topic_embeddings": False, "near_cosine": 0.995, "grey_cosine": 0.85,
}  # fmt: skip
ROUNDS = {"topics_margin": 1.05, "topics_overask": 1.3, "topics_min_new": 0.1}
ASKED = f"row_key VARCHAR, pair VARCHAR, {ANSWERS}"
TOPICS = f"row_key VARCHAR, subject VARCHAR, area VARCHAR, {ANSWERS}"


def said(schema: str, key: str, tags: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    user = "\n".join(f"<{name}>{value}</{name}>" for name, value in tags.items())
    digest = md5(f"{key} {user}".encode(), usedforsecurity=False).hexdigest()
    ask = Ask("openai", "m", "", user, schema, None, digest, 1, 9000, {"invalid_json": 0, **settings})
    made: dict[str, Any] = json.loads(answer(ask).text)
    return made


@dataclass
class Taxonomy:
    """``settings``: the rates of planted faults. ``params`` replace those of the manifests."""

    subjects: Sequence[Row]
    settings: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    desk: Desk = field(default_factory=Desk)
    named: list[Row] = field(default_factory=list)

    def ask_rounds(self, most: int = 4) -> None:
        """Rounds of topics until there are enough; ``named`` is what came of them."""
        previous: list[Row] = []
        for number in range(1, most + 1):
            self.desk.table("previous", PREVIOUS, previous)
            for row in self.desk.run("chimera/topics_rows.sql", subjects=self.subjects, round=number, **ROUNDS):
                made = said("chimera_topics", row["row_key"], row, self.settings)
                one = {"round": number, "row_key": row["row_key"], "sample": 1, "outcome": "ok", "answer": made}
                self.named.append(one | {"subject": row["subject"], "area": row["area"]})
                previous.append(one | {"row": {name: row[name] for name in ("subject", "area")}})
        self.desk.table("answers", TOPICS, self.named)
        self.desk.make("chimera/topics.sql")

    def decide(self, extra: Sequence[Row] = (), *, ask: bool = True) -> list[Row]:
        """From the table ``topics`` to ``taxonomy``; returns the decisions. Without ``ask`` nobody is asked."""
        self.desk.make("chimera/topic_names.sql", subjects=self.subjects, extra_topics=list(extra))
        self.desk.make("chimera/topic_pairs.sql", **(PAIRS | dict(self.params)))
        self.desk.table("answers", ASKED, [self._told(row, sample) for row in self.asked() for sample in (1, 2) if ask])
        self.desk.make("chimera/same_topics.sql")
        decisions = self.desk.make("chimera/topic_decisions.sql", subjects=self.subjects)
        self.desk.make("chimera/taxonomy.sql", subjects=self.subjects)
        return decisions

    def asked(self) -> list[Row]:
        """What the model is asked about pairs of topics."""
        return self.desk.run("chimera/same_topics_rows.sql")

    def _told(self, row: Row, sample: int) -> Row:
        tags = {name: row[name] for name in ("subject", "first_topic", "second_topic")}
        made = said("chimera_same_topics", f"{row['row_key']} {sample}", tags, self.settings)
        return {"row_key": row["row_key"], "pair": row["pair"], "outcome": "ok", "sample": sample, "answer": made}


def vague(name: str) -> bool:
    """Planted as naming nothing, in any spelling."""
    return any(token_set(one) <= token_set(name) for one in VAGUE)


@dataclass(frozen=True)
class Score:
    """Names held against what the minds know of them."""

    named: int  # that say something
    repeated: int  # of these: another name of one that came before
    left: int  # names that were taken for a topic and repeat another one that was
    lost: int  # topics of which no name is left, though one was named


def score(names: Sequence[tuple[str, str]], taken: Sequence[tuple[str, str]]) -> Score:
    """``names`` and ``taken``: subject and name, of all that were named and of those that were not merged away."""
    telling = [(subject, meaning(subject, name)) for subject, name in names if not vague(name)]
    kept = [(subject, meaning(subject, name)) for subject, name in taken if not vague(name)]
    return Score(
        named=len(telling),
        repeated=len(telling) - len(set(telling)),
        left=len(kept) - len(set(kept)),
        lost=len(set(telling) - set(kept)),
    )
