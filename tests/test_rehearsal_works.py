"""The provider behind the counter, without HTTP: what becomes of batches, in which order, and across crashes."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.rehearsal import batches, generic
from chimera_batch.rehearsal.anthropic_api import AnthropicApi, _checked, _requests
from chimera_batch.rehearsal.asks import Refused
from chimera_batch.rehearsal.batches import Batch
from chimera_batch.rehearsal.bill import double_payments
from chimera_batch.rehearsal.desk import Desk, Options
from chimera_batch.rehearsal.openai_api import OpenAIApi
from chimera_batch.rehearsal.pace import Pace
from chimera_batch.rehearsal.talk import Ask, Said
from chimera_batch.rehearsal.web import Reply, Request, find
from chimera_batch.rehearsal.works import Works
from tests.rehearsal_kit import FAST, PRICES, ask_claude, chat_line, chat_lines, custom_id, jsonl, until

Body = dict[str, Any]


class House:
    """A desk and both dialects' routes, called as the server would."""

    def __init__(
        self, state: Path, *, speed: float = FAST, mind: Callable[[Ask], Said] | None = None, **more: Any
    ) -> None:
        self.state = state
        self.desk = Desk(Options(state, speed, 7, {"prices": PRICES, **more}, mind or generic.answer))
        self.routes = [*OpenAIApi(self.desk).routes, *AnthropicApi(self.desk).routes]

    def __enter__(self) -> House:
        return self

    def __exit__(self, *rest: object) -> None:
        self.desk.close()

    def ask(self, method: str, path: str, body: Any = None, profile: str = "openai", **query: str) -> Any:
        data = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
        headers = {"host": "h", "anthropic-version": "2026-10-21"}
        action, found = find(self.routes, method, path)
        reply: Reply = action(Request(method, path, profile, query, headers, iter([data])), *found)
        return reply.body if reply.file is None else reply.file.read_bytes()

    def upload(self, data: bytes) -> str:
        draft = self.desk.files.write([data], len(data) + 1)
        return str(self.desk.files.keep(draft, name="in.jsonl", purpose="batch")["id"])

    def submit(self, lines: list[Body] | bytes, **more: Any) -> str:
        data = lines if isinstance(lines, bytes) else jsonl(lines)
        body = {"input_file_id": self.upload(data), "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        return str(self.ask("POST", "/v1/batches", body | more)["id"])

    def send(self, count: int, **params: Any) -> str:
        requests = [ask_claude(n, **params) for n in range(count)]
        return str(self.ask("POST", "/v1/messages/batches", {"requests": requests}, "anthropic")["id"])

    def done(self, ident: str) -> Body:
        over = {"completed", "failed", "expired", "cancelled"}
        path = f"/v1/batches/{ident}" if ident.startswith("batch_") else f"/v1/messages/batches/{ident}"
        words = ("status", over) if ident.startswith("batch_") else ("processing_status", {"ended"})
        return dict(until(lambda: self.ask("GET", path), lambda told: told[words[0]] in words[1]))

    def rows(self, ident: str | None) -> list[Body]:
        if not ident:
            return []
        return [orjson.loads(line) for line in self.ask("GET", f"/v1/files/{ident}/content").splitlines()]

    @property
    def bill(self) -> list[Body]:
        return list(self.desk.bill.roll)


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path / "s") as opened:
        yield opened


def refused(work: Callable[[], object]) -> tuple[int, str | None, str | None]:
    with pytest.raises(Refused) as caught:
        work()
    return caught.value.status, caught.value.code, caught.value.param


# Pace


@given(st.integers(1, 10**6), st.integers(0, 100), st.floats(0.1, 1e6))
def test_durations_follow_seed_number_and_speed_alone(n: int, seed: int, speed: float) -> None:
    pace = Pace(speed, seed)
    wait, work, finish = pace.of(n)
    assert pace.of(n) == (wait, work, finish)
    assert (wait, finish) == (60 / speed, 60 / speed)
    assert 1200 / speed <= work <= 2400 / speed
    assert work * speed == pytest.approx(Pace(1.0, seed).of(n)[1])


def test_other_batches_take_other_times() -> None:
    assert len({Pace().of(n)[1] for n in range(50)}) == 50
    assert Pace(seed=1).of(1) != Pace(seed=2).of(1)


# Lives


def test_numbers_are_never_given_twice(counter: House) -> None:
    first = counter.send(1)
    counter.done(first)
    counter.ask("DELETE", f"/v1/messages/batches/{first}", profile="anthropic")
    second = counter.submit([chat_line(1)])
    counter.done(second)
    assert [batch.n for batch in counter.desk.works.all()] == [2]
    assert counter.desk.works.get(first) is None


def test_many_batches_at_once_are_each_executed_once(counter: House) -> None:
    ids = [counter.submit([chat_line(10 * n + m) for m in range(10)]) for n in range(6)]
    told = [counter.done(ident) for ident in ids]
    assert {one["status"] for one in told} == {"completed"}
    assert Counter(line["batch"] for line in counter.bill) == Counter(dict.fromkeys(ids, 10))
    for one in told:
        assert len(counter.rows(one["output_file_id"])) == 10
    assert double_payments(counter.bill) == []


def test_equal_questions_in_two_batches_are_two_attempts_and_a_double_payment(counter: House) -> None:
    for nonce in ("aaaaaaaa", "bbbbbbbb"):
        counter.done(counter.submit([chat_line(1, ident=custom_id(1, nonce))]))
    assert [line["attempt"] for line in counter.bill] == [1, 2]
    assert [line["custom_id"][:8] for line in double_payments(counter.bill)] == ["bbbbbbbb"]


def test_a_batch_has_its_own_copy_of_its_requests(tmp_path: Path) -> None:
    with House(tmp_path / "s", speed=5000.0) as counter:
        ident = counter.submit(chat_lines(3))
        until(lambda: counter.desk.works.get(ident), lambda batch: batch.total == 3)
        upload = counter.ask("GET", f"/v1/batches/{ident}")["input_file_id"]
        counter.ask("DELETE", f"/v1/files/{upload}")
        assert counter.done(ident)["request_counts"]["completed"] == 3
    left = {path.name for path in (tmp_path / "s" / "batches").iterdir()}
    assert left == {f"{ident}.json"}, "drafts and the copy are gone"


def test_a_file_for_another_purpose_is_no_input(counter: House) -> None:
    ident = counter.upload(b"{}\n")
    draft = counter.desk.files.write([b"{}\n"], 9)
    other = counter.desk.files.keep(draft, name="x", purpose="user_data")["id"]
    body = {"input_file_id": other, "endpoint": "/v1/responses", "completion_window": "24h"}
    told = counter.done(counter.ask("POST", "/v1/batches", body)["id"])
    assert (told["status"], told["errors"]["data"][0]["param"]) == ("failed", "file_id")
    assert ident not in told["errors"]["data"][0]["message"]


@pytest.mark.parametrize("most, status", [(3, "completed"), (2, "failed")])
def test_settings_may_lower_the_number_of_requests(tmp_path: Path, most: int, status: str) -> None:
    with House(tmp_path / "s", max_requests=most) as counter:
        told = counter.done(counter.submit(chat_lines(3)))
    assert told["status"] == status
    assert status == "completed" or told["errors"]["data"][0]["code"] == "too_many_tasks"


@pytest.mark.parametrize(
    "limits, status", [({"plain": 5}, "failed"), ({"other": 5}, "completed"), (5, "failed"), (10**6, "completed")]
)
def test_enqueued_tokens_are_limited_by_model_or_for_all(tmp_path: Path, limits: Any, status: str) -> None:
    with House(tmp_path / "s", enqueued_tokens=limits) as counter:
        told = counter.done(counter.submit(chat_lines(9)))
    assert told["status"] == status
    if status == "failed":
        (problem,) = told["errors"]["data"]
        assert (problem["code"], problem["line"]) == ("token_limit_exceeded", None)
        assert "Enqueued token limit reached for plain in organization" in problem["message"]


# Faults find their batch


@pytest.mark.parametrize(
    "match, hit", [({"model": "plain"}, True), ({"model": "pl*"}, True), ({"model": "gpt-*"}, False)]
)
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_a_fault_may_be_for_a_model(counter: House, dialect: str, match: Body, hit: bool) -> None:
    counter.desk.faults.add([{"kind": "expire", "match": match}])
    if dialect == "openai":
        assert counter.done(counter.submit([chat_line(1)]))["status"] == ("expired" if hit else "completed")
    else:
        model = {"plain": "claude", "pl*": "cl*"}.get(match["model"], match["model"])
        counter.desk.faults.clear()
        counter.desk.faults.add([{"kind": "expire", "match": {"model": model}}])
        counts = counter.done(counter.send(1))["request_counts"]
        assert counts["expired"] == (1 if hit else 0)


@pytest.mark.parametrize("data", [b"", b"{\n", b"[]\n", b'{"body": 5}\n', b'{"body": {}}\n', b"\xff\n"])
def test_a_file_that_tells_no_model_is_only_told_invalid(counter: House, data: bytes) -> None:
    counter.desk.faults.add([{"kind": "expire", "match": {"model": "*"}}])
    assert counter.done(counter.submit(data))["status"] == "failed"
    assert [one["kind"] for one in counter.desk.faults.waiting()] == ["expire"]


@pytest.mark.parametrize("kind", ["fail_validation", "token_limit", "empty_error_id"])
def test_a_fault_that_a_dialect_has_no_place_for_waits_for_the_other(counter: House, kind: str) -> None:
    counter.desk.faults.add([{"kind": kind}])
    assert counter.done(counter.send(1))["request_counts"]["succeeded"] == 1
    assert [one["kind"] for one in counter.desk.faults.waiting()] == [kind]
    told = counter.done(counter.submit([chat_line(1)]))
    assert counter.desk.faults.waiting() == []
    assert told["error_file_id"] == "" if kind == "empty_error_id" else told["status"] == "failed"


@pytest.mark.parametrize(
    "fault, expected",
    [
        ({}, [("invalid_request", None)]),
        ({"code": "invalid_url", "line": 3}, [("invalid_url", 3)]),
        ({"code": "x", "lines": [2, 5, 9]}, [("x", 2), ("x", 5), ("x", 9)]),
    ],
)
def test_ordered_validation_failures(counter: House, fault: Body, expected: list[Any]) -> None:
    counter.desk.faults.add([{"kind": "fail_validation", "message": "M", **fault}])
    told = counter.done(counter.submit(chat_lines(10)))
    assert [(one["code"], one["line"]) for one in told["errors"]["data"]] == expected
    assert {one["message"] for one in told["errors"]["data"]} == {"M"}
    assert (counter.bill, told["request_counts"]["total"], told["output_file_id"]) == ([], 0, None)


def test_a_token_limit_names_the_limit(counter: House) -> None:
    counter.desk.faults.add([{"kind": "token_limit", "limit": 1_234_567}])
    told = counter.done(counter.submit([chat_line(1)]))
    assert "Limit: 1,234,567 enqueued tokens" in told["errors"]["data"][0]["message"]


def test_a_fault_for_two_batches_strikes_two(counter: House) -> None:
    counter.desk.faults.add([{"kind": "drop_rows", "n": 1, "times": 2}])
    counts = [len(counter.rows(counter.done(counter.submit(chat_lines(4)))["output_file_id"])) for _ in range(3)]
    assert counts == [3, 3, 4]


# Lists and pages


def test_openai_pages_go_through_all_batches_of_a_profile_once(counter: House) -> None:
    ids = [counter.submit([chat_line(n)]) for n in range(5)]
    counter.send(1)
    seen: list[str] = []
    query: dict[str, str] = {"limit": "2"}
    while True:
        told = counter.ask("GET", "/v1/batches", **query)
        assert told["object"] == "list"
        seen += [one["id"] for one in told["data"]]
        if not told["has_more"]:
            break
        query["after"] = told["last_id"]
    assert seen == ids[::-1]


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_anthropic_pages_go_both_ways_without_repeating_any(counter: House, limit: int) -> None:
    """As its SDK walks them: by ``last_id`` into the past, by ``first_id`` into the future."""
    ids = [counter.send(1) for _ in range(5)]
    for cursor, end, start, wanted in [
        ("after_id", "last_id", ids[4], ids[3::-1]),
        ("before_id", "first_id", ids[0], ids[1:]),
    ]:
        seen: list[str] = []
        at = start
        while True:
            told = counter.ask("GET", "/v1/messages/batches", None, "anthropic", limit=str(limit), **{cursor: at})
            page = [one["id"] for one in told["data"]]
            assert (told["first_id"], told["last_id"]) == ((page[0], page[-1]) if page else (None, None))
            assert page == sorted(page, key=ids.index, reverse=True), "newest first on every page"
            seen += page if cursor == "after_id" else page[::-1]
            if not told["has_more"]:
                break
            at = told[end]
        assert seen == wanted


@pytest.mark.parametrize("limit", ["0", "1001", "x", "-1"])
def test_limits_of_lists(counter: House, limit: str) -> None:
    for path, profile in (("/v1/batches", "openai"), ("/v1/messages/batches", "anthropic")):
        assert refused(lambda p=path, q=profile: counter.ask("GET", p, None, q, limit=limit))[0] == 400  # type: ignore[misc]


# What the routes refuse


@pytest.mark.parametrize(
    "change, param",
    [
        ({"endpoint": ["/v1/responses"]}, "endpoint"),
        ({"endpoint": {"a": 1}}, "endpoint"),
        ({"completion_window": 24}, "completion_window"),
        ({"metadata": ["a"]}, "metadata"),
        ({"metadata": "a"}, "metadata"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"metadata": {"k" * 65: ""}}, "metadata"),
        ({"endpoint": None}, "endpoint"),
        ({"input_file_id": None}, "input_file_id"),
    ],
)
def test_create_refuses_by_name(counter: House, change: Body, param: str) -> None:
    body = {"input_file_id": "f", "endpoint": "/v1/responses", "completion_window": "24h"}
    status, _, named = refused(lambda: counter.ask("POST", "/v1/batches", body | change))
    assert (status, named) == (400, param)
    assert counter.desk.works.all() == []


def test_metadata_comes_back_as_text(counter: House) -> None:
    ident = counter.submit([chat_line(1)], metadata={"n": 5, "k" * 64: "v" * 512})
    assert counter.ask("GET", f"/v1/batches/{ident}")["metadata"] == {"n": "5", "k" * 64: "v" * 512}
    assert counter.done(counter.submit([chat_line(2)], metadata={}))["metadata"] == {}
    assert counter.done(counter.submit([chat_line(3)]))["metadata"] is None


def test_other_hosts_have_other_windows(counter: House) -> None:
    body = {"input_file_id": "f", "endpoint": "/v1/responses", "completion_window": "7d"}
    assert counter.ask("POST", "/v1/batches", body, "groq")["completion_window"] == "7d"


@pytest.mark.parametrize("ident", ["batch_none", "msgbatch_none"])
@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "/v1/batches/{}"), ("POST", "/v1/batches/{}/cancel"), ("GET", "/v1/messages/batches/{}"),
        ("GET", "/v1/messages/batches/{}/results"), ("POST", "/v1/messages/batches/{}/cancel"),
        ("DELETE", "/v1/messages/batches/{}"),
    ],
)  # fmt: skip
def test_an_unknown_batch_is_not_found(counter: House, method: str, path: str, ident: str) -> None:
    assert refused(lambda: counter.ask(method, path.format(ident)))[0] == 404


def test_a_batch_of_the_other_dialect_is_not_found(counter: House) -> None:
    openai, claude = counter.submit([chat_line(1)]), counter.send(1)
    assert refused(lambda: counter.ask("GET", f"/v1/batches/{claude}"))[0] == 404
    assert refused(lambda: counter.ask("GET", f"/v1/messages/batches/{openai}"))[0] == 404


@pytest.mark.parametrize("word, status", [("completed", 409), ("failed", 409), ("expired", 409)])
def test_what_is_over_cannot_be_cancelled(counter: House, word: str, status: int) -> None:
    if word == "expired":
        counter.desk.faults.add([{"kind": "expire"}])
    ident = counter.submit([chat_line(1)] if word != "failed" else b"x\n")
    assert counter.done(ident)["status"] == word
    assert refused(lambda: counter.ask("POST", f"/v1/batches/{ident}/cancel"))[0] == status
    claude = counter.send(1)
    counter.done(claude)
    assert refused(lambda: counter.ask("POST", f"/v1/messages/batches/{claude}/cancel"))[0] == 400


def test_cancelling_twice_keeps_the_first_moment(tmp_path: Path) -> None:
    with House(tmp_path / "s", speed=1.0) as counter:
        ident = counter.submit(chat_lines(2))
        first = counter.ask("POST", f"/v1/batches/{ident}/cancel")
        time.sleep(0.02)
        assert counter.ask("POST", f"/v1/batches/{ident}/cancel")["cancelling_at"] == first["cancelling_at"]
        batch = counter.desk.works.get(ident)
        assert batch is not None and batches.early(batch)


@pytest.mark.parametrize(
    "one, message",
    [
        ("text", "requests.1.params: Field required"),
        ({"custom_id": "a"}, "requests.1.params: Field required"),
        ({"params": {}}, "requests.1.custom_id"),
        ({"custom_id": 5, "params": {}}, "requests.1.custom_id"),
        ({"custom_id": "", "params": {}}, "requests.1.custom_id"),
        ({"custom_id": "a\n", "params": {}}, "requests.1.custom_id"),
        ({"custom_id": "ok", "params": {}}, "Duplicate custom_id found: ok"),
        ({"custom_id": "b", "params": {"n": 2**70}}, "requests.1.params: Integer"),
        ({"custom_id": "b", "params": {"s": "\ud800"}}, "requests.1.params: str is not valid UTF-8"),
    ],
)
def test_create_refuses_a_request_by_its_place(one: Any, message: str) -> None:
    with pytest.raises(Refused) as caught:
        list(_checked(iter([{"custom_id": "ok", "params": {}}, one]), set(), set()))
    assert message in caught.value.message


@given(
    st.lists(st.dictionaries(st.text(max_size=3), st.integers(-9, 9), max_size=2), max_size=4),
    st.sampled_from(["", " ", "\n\t"]),
)
def test_requests_are_read_one_at_a_time_with_any_blanks(requests: list[Body], gap: str) -> None:
    inner = f"{gap},{gap}".join(orjson.dumps(one).decode() for one in requests)
    text = f'{gap}{{{gap}"requests"{gap}:{gap}[{gap}{inner}{gap}]{gap}}}{gap}'
    assert list(_requests(text)) == requests


def test_fields_before_and_after_the_requests_are_let_pass() -> None:
    assert list(_requests('{"more": 1, "requests": [{}]}')) == [{}]
    with pytest.raises(Refused):
        list(_requests('{"requests": [{}], "more": 1}'))


def test_an_anthropic_create_that_is_refused_late_leaves_no_bytes(counter: House) -> None:
    bad = {"requests": [*(ask_claude(n) for n in range(50)), {"custom_id": "a b", "params": {}}]}
    assert refused(lambda: counter.ask("POST", "/v1/messages/batches", bad, "anthropic"))[0] == 400
    assert list((counter.state / "files").iterdir()) == []
    assert list((counter.state / "batches").iterdir()) == []


# Synchronous calls


def test_equal_synchronous_questions_get_successive_attempts(tmp_path: Path) -> None:
    seen: list[int] = []

    def mind(ask: Ask) -> Said:
        seen.append(ask.attempt)
        time.sleep(0.005)
        return generic.answer(ask)

    body = {"model": "plain", "messages": [{"role": "user", "content": "hi"}]}
    with House(tmp_path / "s", mind=mind) as counter:
        threads = [threading.Thread(target=counter.ask, args=("POST", "/v1/chat/completions", body)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [1, 2, 3, 4, 5] == [line["attempt"] for line in counter.bill]
        assert len(double_payments(counter.bill)) == 4


@pytest.mark.parametrize(
    "path, body",
    [
        ("/v1/chat/completions", {"model": "plain", "messages": [5]}),
        ("/v1/chat/completions", {"model": "gone", "messages": [{"role": "user", "content": "x"}]}),
        ("/v1/responses", {"model": "plain"}),
        ("/v1/embeddings", {"model": "embed", "input": 5}),
        ("/v1/messages", {"model": "claude", "messages": [{"role": "user", "content": "x"}]}),
    ],
)
def test_a_refused_synchronous_call_costs_nothing(counter: House, path: str, body: Body) -> None:
    assert refused(lambda: counter.ask("POST", path, body))[0] in {400, 404}
    assert (counter.bill, counter.desk.told()["usd"]) == ([], "0")


def test_faults_planted_in_synchronous_answers_are_written_down(tmp_path: Path) -> None:
    with House(tmp_path / "s", mind=lambda ask: Said("x", None, 3, 0, planted="wrong_answer")) as counter:
        counter.ask("POST", "/v1/responses", {"model": "plain", "input": "hi"})
        (planted,) = counter.desk.planted
    assert (planted["planted"], planted["batch"], planted["attempt"]) == ("wrong_answer", None, 1)


# Restarts


@pytest.mark.parametrize("crash_at", ["_file", "_bill", "_execute", "_check"])
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_a_crash_at_any_step_pays_each_row_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash_at: str, dialect: str
) -> None:
    def crash(self: Works, *rest: Any, **more: Any) -> None:
        self._stop.set()
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch, House(tmp_path / "s") as counter:
        patch.setattr(Works, crash_at, crash)
        ident = counter.submit(chat_lines(7)) if dialect == "openai" else counter.send(7)
        if dialect == "openai" or crash_at != "_check":
            until(counter.desk.works._stop.is_set, bool)
    with House(tmp_path / "s") as counter:
        counter.done(ident)
        assert Counter(line["custom_id"] for line in counter.bill) == Counter(custom_id(n) for n in range(7))
        assert {line["attempt"] for line in counter.bill} == {1}
        again = counter.desk.works.get(ident)
    with House(tmp_path / "s") as counter:
        assert counter.desk.works.get(ident) == again
        assert len(counter.bill) == 7


def test_an_order_that_was_taken_stays_with_its_batch_over_a_restart(tmp_path: Path) -> None:
    with House(tmp_path / "s", speed=100.0) as counter:
        counter.desk.faults.add([{"kind": "expire", "finished": 1}])
        ident = counter.submit(chat_lines(3))
    with House(tmp_path / "s", speed=FAST) as counter:
        batch = counter.desk.works.get(ident)
        assert batch is not None
        assert [fault["kind"] for fault in batch.faults] == ["expire"]
        assert counter.desk.faults.waiting() == []
        counter.desk.works.change(ident, lambda b: replace(b, validate=0.0, work=0.0, finalize=0.0))
        assert counter.done(ident)["status"] == "expired"


def test_closing_in_the_middle_of_work_is_quiet(tmp_path: Path) -> None:
    """The clock may be about to hand out work: what it hands to a closed pool would be an error of its thread."""
    for turn in range(6):
        with House(tmp_path / "s", speed=30_000.0) as counter:
            for n in range(6):
                counter.submit([chat_line(100 * turn + n)])
            time.sleep(0.002 * turn)
        assert not counter.desk.works._clock.is_alive()


def test_changes_reach_the_disk_before_they_are_seen(counter: House) -> None:
    ident = counter.send(1)
    counter.done(ident)
    changed = counter.desk.works.change(ident, lambda b: replace(b, metadata={"k": "v"}))
    on_disk = batches.unpack(orjson.loads((counter.state / "batches" / f"{ident}.json").read_bytes()))
    assert on_disk == changed == counter.desk.works.get(ident)


def test_told_state_names_every_batch_with_its_faults(counter: House) -> None:
    counter.desk.faults.add([{"kind": "counts_lie", "completed": 1}])
    ident = counter.submit([chat_line(1)], metadata={"a": "b"})
    counter.done(ident)
    (row,) = counter.desk.told()["batches"]
    assert (row["id"], row["n"], row["metadata"], row["total"]) == (ident, 1, {"a": "b"}, 1)
    assert [fault["kind"] for fault in row["faults"]] == ["counts_lie"]
    assert isinstance(counter.desk.works.get(ident), Batch)
