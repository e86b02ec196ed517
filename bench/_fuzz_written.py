"""What reads what people write, under ``bench.fuzz``: manifests, prompts, parameters, queries.

What each promises stands at the head of ``_fuzz_targets.py``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench._fuzz_seeds import honest, words
from bench._fuzzing import Flaw
from chimera_batch.errors import ChimeraError, InputError
from chimera_batch.pipeline import project
from chimera_batch.pipeline.stage import Source
from chimera_batch.requests.template import parse
from chimera_batch.warehouse import Warehouse, open_query

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Manifests:
    """All manifests that ship; the files that they name are there."""

    folder: Path
    name: str = "manifest"

    def seeds(self) -> Sequence[bytes]:
        return [path.read_bytes() for path in sorted((ROOT / "manifests").glob("**/*.yaml"))]

    def words(self) -> Sequence[bytes]:
        return words(self.name)

    def run(self, data: bytes, chance: random.Random) -> object:
        path = self.folder / "m.yaml"
        path.write_bytes(data)
        try:
            found = project.load(path)
        except ChimeraError as error:
            if "m.yaml" not in str(error):
                raise Flaw(f"an error without its place: {error}") from error
            return error.message.split(":")[0][:40]
        return len(found.stages), tuple(sorted(found.profiles))


@dataclass
class Templates:
    """All prompts that ship, on a row whose columns are texts, numbers, lists and nothing."""

    folder: Path
    name: str = "template"

    def seeds(self) -> Sequence[bytes]:
        return [*(path.read_bytes() for path in sorted((ROOT / "prompts").glob("**/*.md"))), *honest(self.name)]

    def words(self) -> Sequence[bytes]:
        return words(self.name)

    def run(self, data: bytes, chance: random.Random) -> object:
        row = {"text": "a text", "n": 7, "rows": [{"a": "b"}, {"a": "c"}], "nothing": None}
        try:
            messages = parse(Source("p", Path("p.md"), data.decode("utf-8", "replace")), {"x": 1, "y": {"z": "w"}})
            texts = [message.texts(list(row), [tuple(row.values())])[0] for message in messages]
        except InputError as error:
            if not (error.where or "").startswith("p.md:"):
                raise Flaw(f"an error without its place: {error}") from error
            return "".join(char for char in error.message if char.isalpha())[:30]
        return len(texts), min(sum(map(len, texts)), 10_000) // 100


@dataclass
class Parameters:
    """JSON values as parameters of a SQL file."""

    folder: Path
    name: str = "parameters"

    def __post_init__(self) -> None:
        self.warehouse = Warehouse(self.folder / "parameters")
        self.source = Source("p.sql", Path("p.sql"), "-- p\nSELECT $a::VARCHAR AS a, typeof($b) AS b")

    def seeds(self) -> Sequence[bytes]:
        values = [["it's; DROP TABLE x --", 1], ["\u2028", [1, 2]], ["", {"a": None}], ["$b", 1.5], ["\\", ["a", "b"]]]
        return [json.dumps(value).encode() for value in values]

    def words(self) -> Sequence[bytes]:
        return [b"'", b"''", b"$a", b"$1", b"?", b"\\u0000", b"\\ud800", b"--", b"/*", b";", b"1e308", b"-0"]

    def run(self, data: bytes, chance: random.Random) -> object:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return None
        if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)):
            return None
        try:
            ((text, kind),) = self.warehouse.rows(self.source, {"a": value[0], "b": value[1]})
        except InputError as error:
            return error.message[:30]
        if text != value[0]:
            raise Flaw(f"{value[0]!r} came back as {text!r}")
        return str(kind)[:20]


@dataclass
class Queries:
    """SQL that a person, or a model, typed: over one table, beside a file that it must neither read nor change."""

    folder: Path
    name: str = "query"

    def __post_init__(self) -> None:
        with Warehouse(self.folder / "making") as house:
            house.write("SELECT i, 'b' AS s FROM range(3) t(i)", {}, self.folder / "t.parquet")
        (self.folder / "secret.csv").write_text("a\nPLANTED\n", "utf-8")

    def seeds(self) -> Sequence[bytes]:
        secret, out = self.folder / "secret.csv", self.folder / "out.csv"
        return [
            text.encode()
            for text in (
                "SELECT s, count(*) FROM t GROUP BY ALL",
                f"COPY (SELECT 1) TO '{out}'",
                f"WITH c AS (COPY (SELECT 1 AS x) TO '{out}') SELECT * FROM c",
                f"EXPLAIN ANALYZE COPY t TO '{out}'",
                f"SELECT * FROM read_csv('{secret}')",
                f"FROM '{secret}'",
                f"ATTACH '{out}' AS o",
                "SET enable_external_access = true",
                "SELECT getenv('HOME')",
                "PIVOT t ON s USING count(*)",
                "SELECT 1; SELECT 2",
                f"SELECT * FROM query('FROM ''{secret}''')",
                "INSTALL httpfs",
                "PRAGMA database_list",
                f"SELECT * FROM glob('{self.folder}/*')",
            )
        ]

    def words(self) -> Sequence[bytes]:
        return [*words(self.name), *(str(self.folder / name).encode() for name in ("secret.csv", "out.csv"))]

    def run(self, data: bytes, chance: random.Random) -> object:
        before = {path: path.stat().st_mtime_ns for path in self.folder.glob("*.*")}
        try:
            with open_query({"t": [self.folder / "t.parquet"]}, self.folder / "querying", threads=1) as query:
                result = query.query(data.decode("utf-8", "replace"))
                text = repr([row for row, _ in zip(result, range(1000), strict=False)])
        except ChimeraError as error:
            text = error.message.split(":")[0][:30]
        if "PLANTED" in text:
            raise Flaw("it read a file that is not the run's")
        if {path: path.stat().st_mtime_ns for path in self.folder.glob("*.*")} != before:
            raise Flaw("it wrote a file")
        return text[:30]
