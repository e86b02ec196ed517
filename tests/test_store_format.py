"""The store of version 1 still reads, and docs/store-format.md says what the code does."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import zstandard

from chimera_batch import api
from chimera_batch.errors import InputError, MissingObject, NotFinished, StoreConflict
from chimera_batch.history import folding, journal
from chimera_batch.history.facts import Asked, Ended, Facts, Table
from chimera_batch.history.journal import FORMAT, Journal, event_key, segment_key
from chimera_batch.history.ledger import Ledger, doubt
from chimera_batch.history.sightings import Look
from chimera_batch.history.undone import OutOfMoney, Undone
from chimera_batch.opening import Options
from chimera_batch.pipeline.stage import Stage
from chimera_batch.providers import calling
from chimera_batch.records import Call
from chimera_batch.requests import wire
from chimera_batch.steps import collecting, leaving, preparing, standing, switching
from chimera_batch.stores import open_store
from chimera_batch.stores.base import Store
from tests.conftest import ROOT
from tests.support import NOW, Clock, MemoryStore, claimed, landing, packed

SAMPLE = ROOT / "tests" / "data" / "store-v1"
DOC = (ROOT / "docs" / "store-format.md").read_text(encoding="utf-8")
DRAFTS, REVIEWS = "drafts-3fe13eccf8d5", "reviews-2a6df50603f4"
SPENT = Decimal("0.0002725")
EVENTS = 30  # of the sample
SEGMENT = 16  # events that its one segment holds


def select(sql: str) -> list[tuple[Any, ...]]:
    return duckdb.connect().execute(sql).fetchall()


class Sample:
    """A copy of the sample store, which a test may write to."""

    def __init__(self, folder: Path) -> None:
        self.url = str(folder / "store")
        shutil.copytree(SAMPLE / "store", self.url)
        shutil.copytree(SAMPLE / "project", folder / "project")
        self.manifest = folder / "project" / "essays.yaml"
        self.side: Store = open_store(self.url, cache=folder / "cache").sub("rehearsal")
        self.options = Options(store=self.url, rehearse=True)

    def facts(self) -> Facts:
        ledger = Ledger(self.side, owner="reader")
        assert ledger.read()
        return ledger.facts

    def objects(self) -> set[str]:
        return set(self.side.list(""))

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(self.side.read(key)) for key in self.side.list("journal/")]

    def columns(self, key: str) -> dict[str, str]:
        shown = select(f"DESCRIBE SELECT * FROM read_parquet('{self.side.fetch(key)}')")
        return {name: kind for name, kind, *_ in shown}


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sample:
    # where nobody listens: whatever is sent fails the test
    monkeypatch.setenv("CHIMERA_REHEARSAL_URL", "http://127.0.0.1:9")
    return Sample(tmp_path)


# -- the sample


def test_the_sample_is_small_and_names_no_machine() -> None:
    files = [path for path in SAMPLE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 200_000
    assert {event["by"].partition(":")[0] for event in _sample_events()} == {"laptop"}


def _sample_events() -> Iterator[dict[str, Any]]:
    for path in sorted((SAMPLE / "store" / "rehearsal" / "journal").iterdir()):
        yield json.loads(path.read_bytes())


def test_facts_of_the_sample(sample: Sample) -> None:
    known = sample.facts()
    assert known.last_run == "essays"
    drafts = known.shards[f"openai@rehearsal/{DRAFTS}"]
    first, second = drafts.attempts
    assert (drafts.requests, drafts.ceiling, drafts.window, drafts.canary) == (5, 2000, "24h", False)
    assert (first.stand, first.outcomes, first.quarantined, first.ids) == ("landed", {"ok": 4, "error": 1}, 1, None)
    assert (second.stand, second.outcomes, second.requests) == ("landed", {"ok": 1}, 1)
    assert all(attempt.cleaned for _, attempt in known.attempts())
    assert known.spent("essays") == SPENT and known.reserved("essays") == 0
    assert {mark: table.rows for mark, table in known.tables.items()} == {
        ("essays", "drafts"): 4,
        ("essays", "reviews"): 4,
        ("essays", "dataset"): 4,
    }
    assert {mark: rounds[1].rows for mark, rounds in known.asked.items()} == {
        ("essays", "drafts"): 4,
        ("essays", "reviews"): 4,
    }


def test_a_lost_reply_and_a_halt_are_in_the_sample(sample: Sample) -> None:
    """Receipts that were found, not told; the price of the claim; a run that was cancelled and started again."""
    known = sample.facts()
    told, _ = known.shards[f"openai@rehearsal/{DRAFTS}"].attempts
    (found,) = known.shards[f"anthropic@rehearsal/{REVIEWS}"].attempts
    assert told.doubted_at is None and not told.adopted
    assert found.adopted and found.doubted_at is not None and found.at < found.doubted_at < (found.submitted_at or 0)
    assert [(a.price or {})["batch_output"] for a in (told, found)] == ["0.25", "0.25"]
    assert "halted" in {event["type"] for event in sample.events()} and known.halted == set()


def test_the_segment_stands_for_its_events(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SEGMENT", SEGMENT)
    (segment,) = sample.side.list("segments/")
    assert segment == segment_key(SEGMENT)
    lines = sample.side.read(segment).splitlines()
    assert lines == [sample.side.read(event_key(n)) for n in range(1, SEGMENT + 1)]
    whole = sample.facts()
    sample.side.delete([event_key(3)])  # not to be done; shows that the segment was read
    assert sample.facts() == whole
    sample.side.delete([segment])
    with pytest.raises(StoreConflict, match="missing"):
        sample.facts()


def test_without_segments_it_reads_the_same(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it matter that this version would make longer ones."""
    whole = sample.facts()
    monkeypatch.setattr(journal, "SEGMENT", SEGMENT)
    assert sample.facts() == whole
    sample.side.delete(list(sample.side.list("segments/")))
    assert sample.facts() == whole


def test_segments_are_as_long_as_the_document_says() -> None:
    lengths = {
        int(number) for number in re.findall(r"(\d+) events|every (\d+)th event", DOC) for number in number if number
    }
    assert lengths == {journal.SEGMENT}
    assert f"segments/{journal.SEGMENT:012d}.jsonl" in DOC


def test_status_of_the_sample(sample: Sample) -> None:
    document = api.status(sample.manifest, sample.options)
    assert document["state"] == "done"
    found = {s["stage"]: (s["wanted"], s["answered"], s["orphaned"], s["rows"]) for s in document["stages"]}
    assert found == {"drafts": (4, 4, 1, 4), "reviews": (4, 4, 1, 4), "dataset": (0, 0, 0, 4)}
    assert document["usd_spent"] == pytest.approx(float(SPENT), abs=1e-6)


def test_tables_of_the_sample_can_be_queried(sample: Sample) -> None:
    with api.query(sample.manifest, sample.options) as tables:
        rows = list(tables.query("SELECT topic, title, good FROM dataset ORDER BY topic"))
        assert [row[0] for row in rows] == ["ants", "bees", "cats", "dogs"]
        assert all(title and good in {"true", "false", True, False} for _, title, good in rows)
        outcomes = (
            "SELECT outcome, count(DISTINCT request_id) FROM outcomes WHERE stage = 'drafts' GROUP BY 1 ORDER BY 1"
        )
        assert list(tables.query(outcomes)) == [("error", 1), ("ok", 5)]
        (usd,) = next(iter(tables.query("SELECT sum(usd) FROM batches")))
        assert usd == SPENT


def test_a_run_with_nothing_to_do_sends_nothing_and_keeps_every_object(sample: Sample) -> None:
    before = {key: sample.side.read(key) for key in sample.objects()}
    known = len(sample.events())
    document = api.run(sample.manifest, sample.options)
    assert document["state"] == "done" and document["usd_spent"] == pytest.approx(float(SPENT), abs=1e-6)
    assert {event["type"] for event in sample.events()[known:]} <= {"run", "asked", "table"}
    assert {key: sample.side.read(key) for key in before} == before


def test_a_run_that_wants_more_stops_at_the_server_that_is_not_there(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above could not pass by never sending anything."""
    monkeypatch.setattr(calling, "TRIES", 1)
    text = sample.manifest.read_text().replace("dogs]", "dogs, foxes]")
    sample.manifest.write_text(text)
    with pytest.raises(NotFinished):
        api.run(sample.manifest, sample.options, detach=True)
    assert {"packed", "claimed"} <= {event["type"] for event in sample.events()[EVENTS:]}


def test_the_bytes_of_an_attempt_can_be_made_again(sample: Sample, tmp_path: Path) -> None:
    known = sample.facts()
    for shard in known.shards.values():
        for attempt in shard.attempts:
            key = attempt.ids or shard.members
            ids = [r[0] for r in select(f"SELECT request_id FROM '{sample.side.fetch(key)}'")]
            letter = wire.Letter(attempt.nonce, dict.fromkeys(ids, shard.ceiling))
            made = wire.build(sample.side.fetch(shard.key), tmp_path / "sent", letter, lambda line, _: line)
            assert (made.sha256, made.requests, made.bytes) == (attempt.sha256, attempt.requests, attempt.bytes)


def test_raw_lines_are_where_the_answers_say(sample: Sample) -> None:
    seen = 0
    for _, attempt in sample.facts().attempts():
        for key in attempt.answers:
            found = select(f"SELECT request_id, raw, line FROM '{sample.side.fetch(key)}'")
            for identity, raw, number in found:
                lines = list(wire.read_lines(sample.side.fetch(raw)))
                assert json.loads(lines[number - 1])["custom_id"] == f"{attempt.nonce}-{identity}"
                seen += 1
    assert seen == 5 + 1 + 5


def test_the_quarantined_line_names_its_place(sample: Sample) -> None:
    (key,) = sample.side.list("quarantine/")
    (line,) = sample.side.read(key).splitlines()
    record = json.loads(line)
    assert (
        set(record) == {"file", "line", "reason", "bytes"} == set(_example('{"file":')) - {"offset"}
    )  # later versions add it
    raw = zstandard.ZstdDecompressor().stream_reader(sample.side.read(record["file"])).read()
    assert raw.split(b"\n")[record["line"] - 1] == record["bytes"].encode("latin-1")


# -- versions


@pytest.mark.parametrize("version", [2, 17])
def test_a_newer_store_is_refused(sample: Sample, version: int) -> None:
    path = Path(sample.side.url) / "format.json"
    path.unlink()
    path.write_text(json.dumps({**FORMAT, "version": version}))
    for call in (api.status, api.run):
        with pytest.raises(InputError, match=f"version {version}") as refused:
            call(sample.manifest, sample.options)
        assert refused.value.exit_code == 2 and refused.value.hint
    assert len(sample.events()) == EVENTS


@pytest.mark.parametrize(
    "text",
    [
        '{"format": "something else", "version": 1}',
        "{}",
        "[]",
        "no JSON",
        '{"version": 1}',
        json.dumps({**FORMAT, "version": "x"}),
        json.dumps(FORMAT).replace(": 1", ": 1e999"),
        '{"a":' * 100_000,
    ],
)
def test_what_is_no_store_is_refused(text: str) -> None:
    store: Any = MemoryStore()
    store.create("format.json", text.encode())
    with pytest.raises(InputError, match=r"format\.json"):
        Journal(store, owner="o", clock=Clock()).open()


def test_events_that_a_later_version_writes_are_passed_over(sample: Sample) -> None:
    whole = sample.facts()
    number = len(sample.events()) + 1
    event = {"n": number, "at": NOW, "by": "later", "token": "0" * 16, "type": "something-new", "what": [1, {"a": 2}]}
    assert sample.side.create(event_key(number), json.dumps(event).encode())
    assert sample.facts() == whole


# -- what may be deleted


def _named(event: Any) -> Iterator[str]:
    """Every text in an event."""
    if isinstance(event, dict):
        event = list(event.values())
    if isinstance(event, list):
        for item in event:
            yield from _named(item)
    elif isinstance(event, str):
        yield event


def test_what_no_event_needs_may_go(sample: Sample) -> None:
    known = sample.facts()
    current = {table.key for table in known.tables.values()}
    current |= {key for rounds in known.asked.values() for asked in rounds.values() for key in asked.keys}
    spare = [key for key in sample.objects() if key.startswith("runs/") and key not in current]
    spare += [key for shelf in ("raw/", "quarantine/", "segments/") for key in sample.side.list(shelf)]
    spare += [shard.key for shard in known.shards.values()]  # all of whose requests are answered
    sample.side.delete(spare)
    assert len(spare) > 8
    assert api.run(sample.manifest, sample.options)["state"] == "done"
    with api.query(sample.manifest, sample.options) as tables:
        assert list(tables.query("SELECT count(*) FROM dataset")) == [(4,)]


@pytest.mark.parametrize("shelf", ["answers/", "requests/openai@rehearsal/drafts-3fe13eccf8d5.ids"])
def test_what_is_needed_is_missed_by_name(sample: Sample, shelf: str) -> None:
    key = next(iter(sample.side.list(shelf)))
    sample.side.delete([key])
    with pytest.raises(MissingObject, match=re.escape(key)):
        api.status(sample.manifest, sample.options)


def test_every_object_but_the_quarantine_is_named_by_an_event(sample: Sample) -> None:
    named = {text for event in sample.events() for text in _named(event)}
    spare = {key for key in sample.objects() - named if not key.startswith(("journal/", "segments/", "quarantine/"))}
    assert spare == {"format.json"}


# -- the document


def _examples() -> list[dict[str, Any]]:
    block = re.search(r"<!-- events -->\n(?:<!--.*?-->\n)?```jsonl\n(.*?)```", DOC, re.DOTALL)
    assert block is not None
    return [json.loads(line) for line in block[1].splitlines()]


def _example(start: str) -> dict[str, Any]:
    (line,) = [line for line in DOC.splitlines() if line.startswith(start)]
    found: dict[str, Any] = json.loads(line)
    return found


def _documented_columns(name: str) -> dict[str, str]:
    table = DOC.split(f"<!-- columns: {name} -->\n")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {cells[0].strip("`"): cells[1] for cells in rows}


def test_every_event_type_has_an_example_and_a_row() -> None:
    assert {event["type"] for event in _examples()} == folding.EVENT_TYPES
    table = DOC.split("| type | written | fields |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == folding.EVENT_TYPES


def test_every_field_of_an_event_is_in_its_row() -> None:
    table = DOC.split("| type | written | fields |")[1].split("\n\n")[0]
    rows = {row.split("`")[1]: row for row in table.splitlines()[2:]}
    address = {"realm", "shard", "attempt"}
    for event in _examples():
        said = set(re.findall(r"`(\w+)`", rows[event["type"]].split("|")[3]))
        implied = address if "the address" in rows[event["type"]] else set()
        assert set(event) - {"n", "at", "by", "token", "type"} == said | implied, event["type"]


def test_the_examples_fold_into_facts() -> None:
    known = Facts()
    for number, event in enumerate(_examples(), 1):
        assert event["n"] == number
        folding.apply(known, event)
    drafts, judged = known.shards.values()
    assert [attempt.stand for attempt in (*drafts.attempts, *judged.attempts)] == ["landed", "dropped", "claimed"]
    lost = drafts.attempts[1]
    assert drafts.attempts[0].adopted and drafts.attempts[0].cancel_asked
    assert lost.owner.startswith("ci-7:") and len(lost.disowned) == len(lost.strays) == len(lost.taken_from) == 1
    assert not lost.disowned & set(lost.strays) and not lost.written_off
    assert known.suspected("essays") == Decimal("0.0000513") < lost.usd
    assert known.reserved("essays") == judged.attempts[0].usd
    assert {stage: quotes[0].basis for (_, stage), quotes in known.quotes.items()} == {
        "drafts": "answered",
        "judged": "counted input, assumed output",
    }
    assert known.halted == {"essays"} and known.retries == {("essays", "drafts"): 1}


def _written() -> dict[str, set[str]]:
    """Every event type with its fields, as the code writes them now."""
    store: Any = MemoryStore()
    ledger = Ledger(store, owner="o", clock=Clock()).open()
    ledger.begin("tiny", "/m.yaml")
    ledger.asked("tiny", "one", Asked(1, "f", "k", 1, 1))
    ledger.pack(packed(), seen_packs=0)
    shard = ledger.shard(packed()["realm"], "s")
    for number in (1, 2):
        ledger.write(lambda _facts, n=number: claimed(attempt=n))  # type: ignore[misc]  # a lambda with a default
        attempt = shard.attempts[-1]
        ledger.take_over(shard, attempt, lease_until=NOW + 9)
        ledger.uploaded(shard, attempt, "file", NOW + 9)
        ledger.renewed(shard, attempt, NOW + 9)
        ledger.doubted(shard, attempt)
        ledger.submitted(shard, attempt, f"other-{number}", adopted=True)
        ledger.disowned(shard, attempt, f"other-{number}")
        ledger.submitted(shard, attempt, f"batch-{number}")
        ledger.seen(shard, attempt, Look("in_progress", 1))
        ledger.cancel(shard, attempt)
        ledger.stuck(shard, attempt, "why")
        ledger.stray(shard, attempt, f"stray-{number}")
        ledger.stray_over(shard, attempt, f"stray-{number}", Decimal("0.1"))
        if number == 1:
            ledger.landed(shard, attempt, landing(**doubt(Decimal(0), None)))
            ledger.cleaned(shard, attempt)
        else:
            ledger.dropped(shard, attempt, "why")
    ledger.ended("tiny", "one", Ended("f", 1, "enough"))
    here, there = (Call(host, "/v1/chat/completions", "tiny-1", 100) for host in ("openai", "other"))
    stage = Stage("one", "ask", "m.yaml:1", calls=(here, there))
    assert switching.write(ledger, "tiny", stage, there, "expired: 2 requests of s")
    ledger.table("tiny", "one", Table("f", "k", "s", 1, {}, {}))
    ledger.quoted("tiny", [], "f", anew=False)
    short = OutOfMoney((Undone("one", 1, Decimal(2), Decimal(1)),), ("two",), {"run": Decimal(1)}, ("run",))
    ledger.out_of_money("tiny", short)
    ledger.retry("tiny", "one")
    ledger.halt("tiny")
    ledger.told("tiny", "m")
    events = [json.loads(store.read(key)) for key in store.list("journal/")]
    return {event["type"]: set(event) for event in events}


def test_every_field_that_is_written_is_documented() -> None:
    assert {event["type"]: set(event) for event in _examples()} == _written()


def test_what_runs_write_has_the_documented_fields(sample: Sample) -> None:
    """Claims, packings and landings as the steps themselves made them. A later version may have added fields."""
    documented = {event["type"]: set(event) for event in _examples()}
    for event in sample.events():
        assert set(event) <= documented[event["type"]], event["type"]


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("answers", standing.LANDED_COLUMNS),
        ("members", leaving.MEMBER_COLUMNS),
        ("members", leaving.MEMBER_COLUMNS),
        ("sent", preparing._SENT_COLUMNS),
    ],
)
def test_columns_in_the_document_are_the_codes(name: str, columns: dict[str, str]) -> None:
    assert list(_documented_columns(name).items()) == list(columns.items())


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("answers", "answers/openai@rehearsal/"),
        ("members", f"requests/openai@rehearsal/{DRAFTS}.ids"),
        ("sent", f"requests/openai@rehearsal/{DRAFTS}.2-"),
        ("asked", "runs/essays/drafts/asked-"),
    ],
)
def test_columns_in_the_document_are_those_of_the_files(sample: Sample, name: str, prefix: str) -> None:
    found = sample.columns(next(iter(sample.side.list(prefix))))
    documented = _documented_columns(name)
    documented.pop("content", None)  # the sample store is older
    assert list(found) == list(documented)
    plain = {column: "STRUCT" if kind.startswith("STRUCT") else kind for column, kind in found.items()}
    assert plain == documented


def test_the_format_record_in_the_document_is_the_one_that_is_written() -> None:
    assert _example('{"format"') == FORMAT


def test_keys_of_the_sample_fit_the_tree() -> None:
    """Every object of the sample has its line in the tree."""
    tree = DOC.split("## The tree")[1].split("```")[1]
    lines = [re.split(r" {2,}", line)[0] for line in tree.strip().splitlines()]
    shapes = [_shape(line.removesuffix(" …")) for line in lines]
    side = SAMPLE / "store" / "rehearsal"
    keys = [str(path.relative_to(side)) for path in side.rglob("*") if path.is_file()]
    for key in keys:
        assert any(shape.fullmatch(key) for shape in shapes), key
    unseen = [line for line, shape in zip(lines, shapes, strict=True) if not any(shape.fullmatch(k) for k in keys)]
    assert unseen == []


def _shape(line: str) -> re.Pattern[str]:
    text = re.escape(re.sub(r"\d{12}", "{n}", line)).replace(r"\{", "{").replace(r"\}", "}")
    text = text.replace("{n}", r"\d{12}")
    text = re.sub(r"\{(\d+)\\? of\\? content\}", r"[0-9a-f]{\1}", text)
    return re.compile(re.sub(r"\{(realm|shard|attempt|nonce|run|stage|round)\}", r"[A-Za-z0-9._@=-]+?", text))


def test_quarantined_and_landed_keys_come_from_one_place() -> None:
    """The tree's shelves are the ones that collecting writes."""
    rooms = [Path(collecting.__file__), Path(collecting.__file__).with_name("landing.py")]
    source = "".join(room.read_text(encoding="utf-8") for room in rooms)
    assert set(re.findall(r'_key\("(\w+)"', source)) == {"quarantine", "answers", "raw"}
