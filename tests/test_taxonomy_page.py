"""What docs/taxonomy.md says to type for vectors from a provider, done in a bare DuckDB."""

from __future__ import annotations

import re

from chimera_batch.pipeline.project import load
from tests.conftest import ROOT
from tests.taxonomy_kit import PAIRS, Taxonomy
from tests.test_chimera_sql import TOPICS, named

PAGE = (ROOT / "docs" / "taxonomy.md").read_text(encoding="utf-8")
ROWS, TABLE = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_vectors_of_a_stage_take_the_place_of_the_function() -> None:
    topics = ["Roman Egypt", "Egypt under Roman rule", "Sparta", "Emerging directions"]
    one = Taxonomy([{"subject": "History", "topics": 9, "areas": ["Antiquity"], "kind": "humanities"}])
    one.desk.table("topics", TOPICS, named(topics, name="History", area="Antiquity"))
    one.desk.make("chimera/topic_names.sql", subjects=one.subjects, extra_topics=[])
    asked = one.desk.db.execute(ROWS).fetchall()
    assert sorted(topic for _, topic in asked) == ["Egypt under Roman rule", "Roman Egypt", "Sparta"]
    vectors = [(key, [0.0, 1.0] if topic == "Sparta" else [0.6, 0.8]) for key, topic in asked]
    answers = [{"row_key": key, "outcome": "ok", "embedding": vector} for key, vector in vectors]
    one.desk.table("answers", "row_key VARCHAR, outcome VARCHAR, embedding FLOAT[]", answers)
    one.desk.db.execute(f"CREATE TABLE topic_vectors AS ({TABLE})")
    text = (ROOT / "sql/chimera/topic_pairs.sql").read_text(encoding="utf-8")
    [instead] = re.findall(r"`(\(SELECT v\.meaning .*? AS meaning)`", PAGE)
    [line] = [line for line in text.splitlines() if line.endswith("AS meaning")]
    params = {name: value for name, value in PAIRS.items() if name != "topic_embeddings"} | {
        "grey_topic": 2,
        "grey_fuzzy": 2,
    }
    found = one.desk.db.execute(text.replace(line, instead), params).fetchall()
    assert [(row[4], row[5], row[9], row[10]) for row in found] == [
        ("Roman Egypt", "Egypt under Roman rule", 1.0, "embedding")
    ]


def test_the_page_speaks_of_the_params_as_they_are() -> None:
    params = load(ROOT / "manifests" / "chimera.yaml").params
    for name in ("near_topic", "grey_topic", "grey_fuzzy", "near_cosine", "grey_cosine"):
        assert params[name] == PAIRS[name]
        assert f"`{name}: {params[name]}`" in PAGE
    assert params["topic_embeddings"] is PAIRS["topic_embeddings"] is False
