"""The pipeline of a simulated week, in its versions, and the ways in which the hosts differ."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from chimera_batch.pipeline import project as projects
from chimera_batch.pipeline.project import Project

_SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
_KEPT = "SELECT row_key || '/' || sample AS row_key, answer ->> 'n' AS n FROM answers WHERE outcome = 'ok'"
FILES = {
    "sql/week/drafts_rows.sql": """
-- One row per topic.
-- reads: nothing
-- $topics: how many
SELECT 'topic-' || lpad(i::VARCHAR, 3, '0') AS row_key, i AS topic FROM range($topics::INTEGER) AS t(i)
""",
    "sql/week/drafts.sql": f"-- One row per draft.\n-- reads: answers\n{_KEPT}\n",
    "sql/week/topics.sql": """
-- Three of four drafts.
-- reads: drafts
SELECT row_key, n FROM drafts WHERE n::INTEGER % 4 > 0 ORDER BY row_key
""",
    "sql/week/reviews_rows.sql": "-- One row per draft.\n-- reads: topics\nSELECT row_key, n FROM topics\n",
    "sql/week/reviews.sql": f"-- One row per review.\n-- reads: answers\n{_KEPT}\n",
    "sql/week/verdicts_rows.sql": "-- One row per good review.\n-- reads: reviews\nSELECT row_key, n FROM reviews"
    " WHERE n::INTEGER % 3 = 0\n",
    "sql/week/verdicts.sql": f"-- One row per verdict.\n-- reads: answers\n{_KEPT}\n",
    "sql/week/dataset.sql": """
-- Reviews with their verdicts, if they have one.
-- reads: reviews, verdicts
SELECT r.row_key, r.n, v.n AS verdict FROM reviews AS r LEFT JOIN verdicts AS v ON starts_with(v.row_key, r.row_key)
ORDER BY ALL
""",
    "prompts/week/answer.json": json.dumps(_SCHEMA),
}
TOKENS = {"input_tokens": 30, "output_tokens": 20}
KEYS = {"NORTH_KEY": "of-the-north", "SOUTH_KEY": "of-the-south"}
_NORTH = {"dialect": "openai", "base_url": "https://north.example/v1", "api_key_env": "NORTH_KEY"}
_SOUTH = {"base_url": "https://south.example", "api_key_env": "SOUTH_KEY"}
_DIALECTS: tuple[dict[str, Any], ...] = (
    {**_SOUTH, "dialect": "anthropic", "deletes_files": False},
    {**_SOUTH, "dialect": "anthropic", "deletes_files": False},
    {**_SOUTH, "dialect": "openai", "keeps_metadata": False},
    {**_SOUTH, "dialect": "openai", "keeps_metadata": True},
)


@dataclass(frozen=True)
class Scene:
    """What is asked, and of whom. The same for the same seed; ``rows`` and ``version`` change between nights."""

    rows: int
    samples: int
    per_file: tuple[int, int]
    south: dict[str, Any] = field(hash=False)
    north_keeps: bool
    now_at: str
    totals: tuple[bool, bool]
    ceiling: int
    version: int = 1

    @classmethod
    def draw(cls, seed: int) -> Scene:
        dice = random.Random(f"scene {seed}")
        return cls(
            rows=dice.choice((3, 5, 8, 12, 20)),
            samples=dice.choice((1, 1, 2)),
            per_file=(dice.choice((3, 5, 9, 50)), dice.choice((4, 6, 50))),
            south=dice.choice(_DIALECTS),
            north_keeps=dice.random() < 0.7,
            now_at=dice.choice(("north", "south")),
            totals=(dice.random() < 0.5, dice.random() < 0.3),
            ceiling=dice.choice((40, 100)),
        )

    def more(self, rows: int) -> Scene:
        return replace(self, rows=self.rows + rows)

    def edited(self) -> Scene:
        """Another wording of one prompt: other requests."""
        return replace(self, version=self.version + 1)

    @property
    def files(self) -> dict[str, str]:
        """What is asked and made, by the path of its file."""
        return FILES

    def load(self, folder: Path) -> Project:
        """Write the manifest of this version with its files, and read it."""
        prompts = {f"prompts/week/{s}.md": f"{s}, version 1: {{{{ n }}}}\n" for s in ("reviews", "verdicts")}
        prompts["prompts/week/drafts.md"] = f"A number for topic {{{{ topic }}}}, version {self.version}\n"
        for name, text in {**self.files, **prompts}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.lstrip("\n"), encoding="utf-8")
        manifest = folder / "week.yaml"
        manifest.write_text(yaml.safe_dump(self._document(), sort_keys=False), encoding="utf-8")
        return projects.load(manifest)

    def _document(self) -> dict[str, Any]:
        return {**self._head(), "stages": self._stages()}

    def _head(self) -> dict[str, Any]:
        north = {**_NORTH, "keeps_metadata": self.north_keeps, "max_requests": self.per_file[0]}
        south = {**self.south, "max_requests": self.per_file[1]}
        models = {
            host: {"provider": host, "model": "tiny-1", "max_output_tokens": self.ceiling}
            for host in ("north", "south")
        }
        return {
            "run": "week",
            "store": "./store",
            "params": {"topics": self.rows},
            "providers": {"north": north, "south": south},
            "models": models,
        }

    def _stages(self) -> list[dict[str, Any]]:
        reviews, verdicts = ({**TOKENS, "rows_per": {table: 1}} for table in ("topics", "reviews"))
        return [
            {"name": "drafts", "ask": "north", "samples": self.samples, "assume": TOKENS, **files_of("drafts")},
            {"name": "topics", "sql": "week/topics.sql"},
            {"name": "reviews", "ask": "south", "assume": reviews, **files_of("reviews")},
            {"name": "verdicts", "ask": self.now_at, "window": "now", "assume": verdicts, **files_of("verdicts")},
            {"name": "dataset", "sql": "week/dataset.sql"},
        ]


def files_of(stage: str) -> dict[str, str]:
    return {
        "prompt": f"week/{stage}.md",
        "rows": f"week/{stage}_rows.sql",
        "schema": "week/answer.json",
        "table": f"week/{stage}.sql",
    }
