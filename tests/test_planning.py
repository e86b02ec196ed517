"""Planning: rows into requests, requests into shards, and the row at fault named before money is involved."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from chimera_batch import runner
from chimera_batch.context import engine_sql
from chimera_batch.errors import InputError
from chimera_batch.history.facts import Asked
from chimera_batch.requests import wire
from chimera_batch.requests.render import Renderer
from chimera_batch.steps import drawing, planning
from chimera_batch.steps.columns import ANSWERS_OWN
from chimera_batch.steps.stepping import Step
from chimera_batch.verbs.shelves import _NEEDS, ENGINE_TABLES
from tests.support import PROMPT, SCHEMA, Bench, FakeHost, answered, bench, write_project

HEAD = "-- Rows.\n"


def made(folder: Path, rows: str | None = None, *, prompt: str = PROMPT, **said: Any) -> Bench:
    files = {"prompts/tiny/one.md": prompt, "prompts/tiny/n.json": SCHEMA}
    if rows is not None:
        files["sql/tiny/one_rows.sql"] = HEAD + rows
    profile = {
        name: said.pop(name) for name in list(said) if name.startswith(("max_", "distinct", "enqueued", "base_url"))
    }
    return bench(write_project(folder, files, **said), **profile)


def many(count: int) -> str:
    return f"SELECT 'k' || lpad(i::VARCHAR, 4, '0') AS row_key, 'q' || i AS q FROM range({count}) AS t(i)"


def asked_of(one: Bench) -> list[dict[str, Any]]:
    (path,) = one.draw()
    return one.parquet(path)


# -- drawing


def test_a_round_is_the_rows_with_their_requests(tmp_path: Path) -> None:
    one = made(tmp_path, stage=", samples: 2")
    rows = asked_of(one)
    assert [(row["position"], row["row_key"], row["sample"]) for row in rows] == [
        (0, "k000", 1),
        (1, "k000", 2),
        (2, "k001", 1),
        (3, "k001", 2),
        (4, "k002", 1),
        (5, "k002", 2),
    ]
    call, prompt = one.stage.calls[0], one.stage.prompt
    assert prompt is not None
    renderer = Renderer(call, prompt, {})
    for row in rows:
        request = renderer.render(row["row"], row["sample"])
        assert (row["request_id"], row["input_tokens"]) == (request.request_id, request.input_tokens)
        assert row["row"] == {"row_key": row["row_key"], "q": f"question {int(row['row_key'][1:])}"}
        assert (row["round"], row["ceiling"]) == (1, 100)
    assert len({row["request_id"] for row in rows}) == 6
    assert one.ctx.facts.asked["tiny", "one"][1].rows == 3
    assert one.ctx.facts.asked["tiny", "one"][1].requests == 6


def test_rows_and_prompt_read_the_parameters_and_the_round(tmp_path: Path) -> None:
    one = made(
        tmp_path,
        "-- $n: how many\n-- $round: its number\nSELECT i::VARCHAR AS row_key, $round AS r FROM range($n) AS t(i)",
        prompt="{{ params.style }} {{ r }}-{{ row_key }}",
        head="params: {n: 2, style: short}",
    )
    assert [row["row"]["r"] for row in asked_of(one)] == [1, 1]


def test_no_rows_are_a_round_too(tmp_path: Path) -> None:
    one = made(tmp_path, "SELECT 'a' AS row_key, 'x' AS q WHERE false")
    assert asked_of(one) == []
    assert one.ctx.facts.asked["tiny", "one"][1].requests == 0


BAD_KEYS = [
    ("twice", "SELECT 'a' AS row_key, 'x' AS q UNION ALL SELECT 'a', 'y'", "row_key 'a' stands on 2 rows"),
    ("missing", "SELECT 'a' AS key, 'x' AS q", "yields no column row_key"),
    ("empty", "SELECT '' AS row_key, 'x' AS q", "1 rows have an empty row_key"),
    ("null", "SELECT NULL AS row_key, 'x' AS q", "1 rows have an empty row_key"),
]


@pytest.mark.parametrize(("sql", "message"), [row[1:] for row in BAD_KEYS], ids=[row[0] for row in BAD_KEYS])
def test_row_keys_must_be_there_and_unique(tmp_path: Path, sql: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        made(tmp_path, sql).draw()
    assert "one_rows.sql" in str(caught.value.where)
    assert "row_key" in str(caught.value.hint)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["text", "round", "Answer"])
def test_a_column_may_not_have_the_name_of_an_answers_own(tmp_path: Path, name: str) -> None:
    """``answers`` would have two of it, and which one a table query gets would be chance."""
    with pytest.raises(InputError, match=f"column {name}") as caught:
        made(tmp_path, f"SELECT 'a' AS row_key, 'x' AS q, 'y' AS {name}").draw()
    assert "one_rows.sql" in str(caught.value.where)
    assert "AS" in str(caught.value.hint)


@pytest.mark.parametrize("key", ["7", "['a']"])
def test_a_key_is_text(tmp_path: Path, key: str) -> None:
    with pytest.raises(InputError, match="it must be text") as caught:
        made(tmp_path, f"SELECT {key} AS row_key, 'x' AS q").draw()
    assert "::VARCHAR AS row_key" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["r", "i", "row"])
def test_any_other_name_will_do_for_a_column(tmp_path: Path, name: str) -> None:
    one = made(tmp_path, f"SELECT 'k' AS row_key, 'x' AS q, 'mine' AS {name}")
    one.go()
    one.host.answer("batch-1", _ok)
    assert one.go().done
    (row,) = one.table()
    assert (row[name], row["q"], row["text"]) == ("mine", "x", "four")


def _ok(line: dict[str, Any]) -> bytes:
    return answered(line["custom_id"])


def test_a_template_error_names_the_row(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="k000") as caught:
        made(tmp_path, prompt="{{ nothing }}").draw()
    assert "one.md" in str(caught.value)


# -- facts of a round


def test_the_same_round_is_the_same_object_and_one_fact(tmp_path: Path) -> None:
    one = made(tmp_path)
    assert one.draw() == one.draw()
    (known,) = one.ctx.facts.asked["tiny", "one"].values()
    assert len(known.fingerprint) == 16
    assert known.key.startswith("runs/tiny/one/asked-1-")
    assert list(one.ctx.store.list("runs/")) == [known.key]


def test_another_machine_draws_the_same_bytes(tmp_path: Path) -> None:
    bytes_of = [made(tmp_path / name, stage=", samples: 2").draw()[0].read_bytes() for name in ("a", "b")]
    assert bytes_of[0] == bytes_of[1]


# -- packing


def test_a_shard_holds_the_rendered_lines(tmp_path: Path) -> None:
    one = made(tmp_path, stage=", schema: tiny/n.json, samples: 2")
    paths = one.draw()
    assert one.pack(paths)
    (shard,) = one.ctx.facts.shards.values()
    asked = one.parquet(paths[0])
    lines = list(wire.read_lines(one.ctx.store.fetch(shard.key)))
    assert [wire.request_id(line) for line in lines] == [row["request_id"] for row in asked]
    members = one.parquet(one.ctx.store.fetch(shard.members))
    assert [(row["request_id"], row["input_tokens"]) for row in members] == [
        (row["request_id"], row["input_tokens"]) for row in asked
    ]
    assert {row["shard"] for row in members} == {shard.id}
    assert all(row["input_bound"] >= row["input_tokens"] for row in members)
    assert shard.requests == 6
    assert shard.bytes == sum(len(line) + 1 + 9 for line in lines)  # as sent: newline, nonce and dash
    assert (shard.ceiling, shard.model, shard.window, shard.canary) == (100, "tiny-1", "24h", False)
    assert shard.schema is not None
    assert orjson.loads(one.ctx.store.read(shard.schema)) == orjson.loads(SCHEMA)


def test_what_is_packed_is_not_packed_again(tmp_path: Path) -> None:
    one = made(tmp_path)
    paths = one.draw()
    assert one.states(paths) == {"not_asked": 3}
    assert one.pack(paths)
    assert one.pack(paths)
    assert len(one.ctx.facts.shards) == 1
    assert one.states(paths) == {"packed": 3}


def test_equal_questions_are_one_request(tmp_path: Path) -> None:
    one = made(tmp_path, "SELECT 'k' || i AS row_key, 'same' AS q FROM range(3) AS t(i)", stage=", samples: 2")
    paths = one.draw()
    assert one.ctx.facts.asked["tiny", "one"][1].requests == 6
    assert one.pack(paths)
    (shard,) = one.ctx.facts.shards.values()
    assert shard.requests == 2  # one per sample
    assert one.states(paths) == {"packed": 2}


def test_new_rows_get_a_shard_of_their_own(tmp_path: Path) -> None:
    one = made(tmp_path)
    one.pack(one.draw())
    more = made(tmp_path, "SELECT 'n' || i AS row_key, 'question ' || i AS q FROM range(5) AS t(i)")
    paths = more.draw()
    assert more.states(paths) == {"packed": 3, "not_asked": 2}  # the row key is not part of the question
    more.pack(paths)
    assert sorted(shard.requests for shard in more.ctx.facts.shards.values()) == [2, 3]


def test_another_host_is_another_realm(tmp_path: Path) -> None:
    one = made(tmp_path)
    one.pack(one.draw())
    other = made(tmp_path, base_url="http://127.0.0.1:1/v1")
    assert other.states(other.draw()) == {"not_asked": 3}


def test_a_table_of_another_host_does_not_stand_in(tmp_path: Path) -> None:
    mock = made(tmp_path, base_url="http://127.0.0.1:1/v1")
    mock.go()
    mock.host.answer("batch-1", _ok)
    assert mock.go().done
    real = made(tmp_path)
    assert not real.go().done
    assert len(real.host.called("create")) == 1


def test_a_runner_that_packed_meanwhile_is_noticed(tmp_path: Path) -> None:
    one = made(tmp_path)
    paths = one.draw()
    two = bench(one.ctx.project, owner="other:boot:1:1")
    with one.step() as step:
        step.stand([tuple(paths)])
        assert two.pack(two.draw())
        assert not planning.pack(one.ctx, step.stage, step.warehouse, step.folder, planning.Extent(0))
    assert len(one.ctx.facts.shards) == 1
    assert one.states(paths) == {"packed": 3}


def test_what_a_failed_try_left_is_not_written_into(tmp_path: Path) -> None:
    """It may be an object of a store by now: the same file, under two names."""
    (tmp_path / "other").mkdir()
    one, two = made(tmp_path), made(tmp_path / "other")
    one.pack(one.draw())
    (shard,) = one.ctx.facts.shards.values()
    kept = one.ctx.store.fetch(shard.key)
    before = kept.read_bytes()
    paths = two.draw()
    with two.step() as step:
        step.stand([tuple(paths)])
        os.link(kept, step.folder / f"{shard.id}.jsonl.zst")
        assert planning.pack(two.ctx, step.stage, step.warehouse, step.folder, planning.Extent(0))
    assert list(two.ctx.facts.shards) == list(one.ctx.facts.shards)
    assert kept.read_bytes() == before == two.ctx.store.fetch(shard.key).read_bytes()
    assert not kept.samefile(two.ctx.store.fetch(shard.key))


def test_shards_are_cut_at_the_hosts_limits(tmp_path: Path) -> None:
    one = made(tmp_path, many(600), max_requests=300)
    paths = one.draw()
    assert one.pack(paths)
    shards = list(one.ctx.facts.shards.values())
    assert [(shard.requests, shard.canary) for shard in shards] == [(50, True), (300, False), (250, False)]
    order = [wire.request_id(line) for shard in shards for line in wire.read_lines(one.ctx.store.fetch(shard.key))]
    asked = [row["request_id"] for row in one.parquet(paths[0])]
    sample = set(sorted(asked)[:50])  # ids are digests: the smallest ones are a random sample
    assert order == [i for i in asked if i in sample] + [i for i in asked if i not in sample]
    largest = max(shard.bytes for shard in shards)
    assert largest == sum(
        len(line) + 1 + 9 for line in wire.read_lines(one.ctx.store.fetch(max(shards, key=lambda s: s.bytes).key))
    )


@pytest.mark.parametrize(
    ("said", "missing", "first"),
    [
        ("", 499, None),
        ("", 500, 50),
        (", canary: 7", 500, 7),
        (", canary: 0", 5000, None),
        (", canary: 7", 499, None),
        (", window: now", 5000, None),
    ],
)
def test_a_large_stage_has_a_canary(tmp_path: Path, said: str, missing: int, first: int | None) -> None:
    one = made(tmp_path, stage=said, enqueued_tokens=12345)
    found = planning.limits(one.ctx, one.stage, missing)
    profile = one.ctx.profile(one.stage)
    assert found.first == first
    assert (found.max_requests, found.max_bytes, found.max_tokens) == (profile.max_requests, profile.max_bytes, 12345)


def test_a_request_that_is_too_long_names_its_row(tmp_path: Path) -> None:
    one = made(
        tmp_path, "SELECT 'short' AS row_key, 'x' AS q UNION ALL SELECT 'long', repeat('x', 500)", max_line_bytes=400
    )
    with pytest.raises(InputError, match=r"is 7\d\d bytes; openai takes 400 a request") as caught:
        one.draw()
    assert caught.value.where == "stage one, row long"
    assert "one.md" in str(caught.value.hint)
    assert one.ctx.facts.shards == {}
    assert one.host.log == []


def test_what_the_provider_would_refuse_names_its_row(tmp_path: Path) -> None:
    one = made(tmp_path, model="gpt-6-luna", top_k=5)
    with pytest.raises(InputError, match="top_k is not a parameter of OpenAI") as caught:
        one.pack(one.draw())
    assert caught.value.where == "stage one, row k000"


def test_a_prompt_that_changes_between_drawing_and_packing_is_noticed(tmp_path: Path) -> None:
    """Only possible if something outside of the row shapes the text; it must never be sent under the old id."""
    one = made(tmp_path)
    paths = one.draw()
    stage = replace(one.stage, prompt=replace(one.stage.prompt, text="Other: {{ q }}\n"))
    project = replace(one.ctx.project, stages=(stage,))
    changed = replace(one.ctx, told=project)
    with one.ctx.warehouse() as (warehouse, folder):
        step = Step(changed, stage, {}, warehouse, folder)
        step.stand([tuple(paths)])
        with pytest.raises(InputError, match="does not render to the same request twice"):
            planning.pack(changed, stage, warehouse, folder, planning.Extent(0))


def test_asked_is_a_fact_that_replaces_the_old_one(tmp_path: Path) -> None:
    one = made(tmp_path)
    one.draw()
    with one.step() as step:
        drawn = drawing.draw(one.ctx, step.stage, 1, step.warehouse, step.folder)
        asked, _ = drawing.keep_asked(one.ctx, step.stage, 1, "new", drawn)
    assert isinstance(asked, Asked)
    assert one.ctx.facts.asked["tiny", "one"] == {1: asked}


def test_nothing_is_sent_by_planning(tmp_path: Path) -> None:
    one = made(tmp_path)
    one.pack(one.draw())
    assert isinstance(one.host, FakeHost)
    assert one.host.log == []


@pytest.mark.parametrize("name", ENGINE_TABLES)
def test_an_engine_table_is_made_from_what_it_reads(name: str) -> None:
    """Only the views that it needs are made for it."""
    (head,) = (line for line in engine_sql(f"table_{name}").text.splitlines() if line.startswith("-- reads:"))
    assert {said.strip() for said in head.removeprefix("-- reads:").split(",")} <= set(_NEEDS[name])


def test_the_answers_own_columns_are_the_ones_that_are_refused() -> None:
    """``answers`` is the row's columns and these."""
    assert set(re.findall(r"\b(\w+)(?:,\n|\n(?=FROM))", engine_sql("answers").text)) == ANSWERS_OWN


# -- what an earlier drawing knows


def drawn_rows(one: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Draw the first round anew; the keys of the rows that were rendered for it."""
    rendered: list[str] = []
    batch = Renderer.batch

    def noting(self: Renderer, columns: Sequence[str], rows: Sequence[tuple[object, ...]], *rest: Any) -> Any:
        rendered.extend(str(row[list(columns).index("row_key")]) for row in rows)
        return batch(self, columns, rows, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(Renderer, "batch", noting)
        one.draw()
    return rendered


def with_rows(one: Bench, sql: str, **changes: Any) -> Bench:
    """The same store, with another rows query."""
    stage = replace(one.stage, rows=replace(one.stage.rows, text=HEAD + sql), **changes)
    return replace(one, ctx=replace(one.ctx, told=replace(one.ctx.project, stages=(stage,))))


def test_only_rows_that_are_new_are_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = made(tmp_path, many(5), stage=", samples: 2")
    first = asked_of(one)
    more = with_rows(one, f"SELECT * FROM ({many(7)}) WHERE row_key <> 'k0001' ORDER BY row_key DESC")
    assert drawn_rows(more, monkeypatch) == ["k0006", "k0005"]
    again = sorted(
        one.parquet(one.ctx.store.fetch(one.ctx.facts.asked["tiny", "one"][1].key)), key=lambda row: row["row_key"]
    )
    assert [row["row_key"] for row in again[::2]] == ["k0000", "k0002", "k0003", "k0004", "k0005", "k0006"]
    known = {(row["row_key"], row["sample"]): row for row in first}
    for row in again:
        if before := known.get((row["row_key"], row["sample"])):
            assert {**before, "position": row["position"]} == row
    assert sorted(row["position"] for row in again) == list(range(12))
    fresh = made(
        tmp_path / "fresh",
        f"SELECT * FROM ({many(7)}) WHERE row_key <> 'k0001' ORDER BY row_key DESC",
        stage=", samples: 2",
    )
    assert [row["request_id"] for row in asked_of(fresh)] == [
        row["request_id"] for row in sorted(again, key=lambda row: row["position"])
    ]


CHANGED = [
    ("text", "SELECT row_key, if(row_key = 'k0002', 'other', q) AS q FROM ({})", ["k0002"]),
    ("null", "SELECT row_key, q, NULL::VARCHAR AS r FROM ({})", ["k0000", "k0001", "k0002"]),
    ("type", "SELECT row_key, row_key[4:]::INTEGER AS q FROM ({})", ["k0000", "k0001", "k0002"]),
    ("key", "SELECT 'x' || row_key AS row_key, q FROM ({})", ["xk0000", "xk0001", "xk0002"]),
    ("order", "SELECT row_key, q FROM ({}) ORDER BY row_key DESC", []),
]


@pytest.mark.parametrize(("sql", "rendered"), [row[1:] for row in CHANGED], ids=[row[0] for row in CHANGED])
def test_a_row_that_changed_is_rendered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str, rendered: list[str]
) -> None:
    one = made(tmp_path, many(3))
    one.draw()
    changed = with_rows(one, sql.format(many(3)))
    assert sorted(drawn_rows(changed, monkeypatch)) == rendered
    fresh = {row["row_key"]: row["request_id"] for row in asked_of(made(tmp_path / "b", sql.format(many(3))))}
    key = one.ctx.facts.asked["tiny", "one"][1].key
    assert {row["row_key"]: row["request_id"] for row in one.parquet(one.ctx.store.fetch(key))} == fresh


def test_nothing_is_remembered_of_another_prompt_or_an_older_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made(tmp_path, many(3))
    one.draw()
    prompt = replace(one.stage.prompt, text="Say {{ q }}.")  # type: ignore[type-var]  # an ask stage has one
    assert len(drawn_rows(with_rows(one, many(3), prompt=prompt), monkeypatch)) == 3
    known = one.ctx.facts.asked["tiny", "one"]
    known[1] = replace(known[1], rendering=None)
    assert len(drawn_rows(with_rows(one, many(4)), monkeypatch)) == 4


def test_new_rows_alone_are_packed_from_the_lines_just_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made(tmp_path, many(6), max_requests=2)
    assert one.pack(one.draw())
    more = with_rows(one, f"SELECT * FROM ({many(9)}) ORDER BY row_key DESC")
    monkeypatch.delattr(drawing, "render_again")
    with more.step() as step:
        step.walk(lambda paths: runner.packed(step, paths)[0], keep=True)
    fetch = one.ctx.store.fetch
    shards = one.ctx.facts.shards.values()
    ids = [wire.request_id(line) for shard in shards for line in wire.read_lines(fetch(shard.key))]
    asked = one.parquet(fetch(one.ctx.facts.asked["tiny", "one"][1].key))
    assert sorted(ids) == sorted(row["request_id"] for row in asked)
    assert len(ids) == 9


def test_lines_that_were_not_kept_are_rendered_again(tmp_path: Path) -> None:
    """As where a run died between drawing and packing, and more rows came before the next one."""
    one = made(tmp_path, many(4), stage=", samples: 2")
    one.draw()
    more = with_rows(one, many(6))
    with more.step() as step:
        counts = step.walk(lambda paths: runner.packed(step, paths)[0], keep=True).standing
    assert counts.states["packed"] == 12
    (shard,) = one.ctx.facts.shards.values()
    path = one.ctx.store.fetch(shard.key)
    renderer = Renderer(one.stage.calls[0], one.stage.prompt, {})  # type: ignore[arg-type]  # an ask stage has a prompt
    rows = [{"row_key": f"k{n:04}", "q": f"q{n}"} for n in range(6)]
    wanted = [renderer.render(row, sample).line for row in rows for sample in (1, 2)]
    assert [line + b"\n" for line in wire.read_lines(path)] == wanted
