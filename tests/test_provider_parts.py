"""The pure parts beneath the adapters: faults, lists, counting rows."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chimera_batch.errors import AccountRefused, MaybeCreated, ProviderDown, ProviderError, ProviderRefused
from chimera_batch.providers import calling, faults, listing
from chimera_batch.providers.faults import Fault, told
from chimera_batch.providers.files import count_rows

# --- faults ---------------------------------------------------------------------------------------------------------

STATUSES = [None, 0, 200, 301, 400, 401, 402, 403, 404, 408, 409, 413, 422, 425, 429, 500, 502, 503, 529]
FAULTS = st.builds(
    Fault,
    message=st.text(max_size=9),
    status=st.sampled_from(STATUSES),
    code=st.sampled_from([None, "insufficient_quota", "overloaded_error", "invalid_request_error"]),
    sent=st.booleans(),
)


@given(FAULTS)
def test_a_create_that_may_have_worked_is_never_called_a_failure(fault: Fault) -> None:
    error = faults.as_create_error(fault, "openai: creating")
    unknown = fault.sent and (fault.status in {None, 200, 408, 409} or (fault.status or 0) >= 500)
    assert isinstance(error, MaybeCreated) == (unknown and not fault.account)


@given(FAULTS)
def test_each_fault_is_exactly_one_error(fault: Fault) -> None:
    error = faults.as_error(fault, "openai: polling b")
    expected: type[ProviderError] = ProviderRefused
    if fault.account:
        expected = AccountRefused
    elif fault.passing:
        expected = ProviderDown
    assert type(error) is expected and error.message.startswith("openai: polling b: ")
    assert not (fault.account and fault.passing)


@pytest.mark.parametrize(
    ("status", "code", "passing", "account"),
    [
        (None, None, True, False),
        (0, None, True, False),
        (408, None, True, False),
        (409, None, True, False),
        (429, "rate_limit_exceeded", True, False),
        (429, "insufficient_quota", False, True),
        (500, None, True, False),
        (529, "overloaded_error", True, False),
        (400, None, False, False),
        (404, "not_found_error", False, False),
        (301, None, False, False),
        (401, None, False, True),
        (402, None, False, True),
        (403, None, False, True),
        (400, "billing_hard_limit_reached", False, True),
    ],
)
def test_what_passes_and_what_is_the_accounts(
    status: int | None, code: str | None, passing: bool, account: bool
) -> None:
    fault = Fault("m", status, code)
    assert (fault.passing, fault.account) == (passing, account)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c"}}, ("c", "m")),  # OpenAI, whole
        ({"message": "m", "type": "t", "code": None}, ("t", "m")),  # OpenAI, as its SDK hands it on
        ({"type": "error", "error": {"type": "t", "message": "m"}}, ("t", "m")),  # Anthropic
        ({"error": {"error": {"message": "m", "type": "t", "code": 400}}}, ("400", "m")),  # vLLM
        ({"error": "m"}, (None, "m")),
        ("  m \n m ", (None, "m m")),
        ({"error": {"message": {"why": 1}}}, (None, '{"why": 1}')),
        ({"error": {}}, (None, None)),
        (None, (None, None)),
        ([], (None, None)),
        ("", (None, None)),
    ],
)
def test_errors_in_any_shape(body: Any, expected: tuple[str | None, str | None]) -> None:
    assert told(body) == expected


def test_a_redirect_is_told_as_a_wrong_address() -> None:
    assert faults.as_error(Fault("HTTP 301", 301), "x").hint == "check base_url"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e12"}, None),
        ({}, None),
    ],
)
def test_how_long_a_host_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    request = httpx2.Request("GET", "http://x.test")
    response = httpx2.Response(429, headers=headers, request=request)
    error = httpx2.HTTPStatusError("429", request=request, response=response)
    assert calling.fault_of(error).retry_after == seconds


def test_the_back_off_doubles_to_a_limit() -> None:
    assert [calling.delay(n) for n in range(7)] == [0.5, 1, 2, 4, 8, 8, 8]
    assert calling.delay(0, 3.0) == 3.0 and calling.delay(0, 9999.0) == calling.LONGEST_WAIT


@given(
    st.recursive(
        st.text() | st.integers(-(2**63), 2**64 - 1) | st.none(),  # orjson has floats for what is larger
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_mending_leaves_whole_json_alone(value: Any) -> None:
    assert faults.json_object(json.dumps({"v": value}).encode()) == {"v": value}
    assert faults._mended(value) == value


@given(st.text(st.characters(codec=None, categories=["Cs", "L"]), max_size=20))
def test_lone_surrogates_never_come_out(text: str) -> None:
    read = faults.json_object(json.dumps({"1": text, text: [text]}).encode())  # no drawn text is "1": a digit is no L
    for piece in (read["1"], *read):
        piece.encode("utf-8")


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, 2**64, -(2**63) - 1, 10**30])
def test_a_number_is_the_same_beside_half_an_emoji(number: int) -> None:
    """Which of two readers reads the line shows nowhere."""
    whole, half = (b'{"n": %d, "t": "%b"}' % (number, text) for text in (b"", rb"\ud800"))
    assert repr(faults.json_object(whole)["n"]) == repr(faults.json_object(half)["n"])


def test_a_number_beyond_all_measure_costs_no_answer() -> None:
    assert faults.json_object(b'{"n": %b}' % (b"9" * 400)) == {"n": 10**400 - 1}
    with pytest.raises(ValueError, match="digits"):  # Python's own bound
        faults.json_object(b'{"n": %b}' % (b"9" * 5_000))


# --- lists ----------------------------------------------------------------------------------------------------------


def pages(items: list[dict[str, Any]], size: int, *, says_more: bool = True) -> tuple[listing.Page, list[str | None]]:
    asked: list[str | None] = []

    def page(after: str | None) -> dict[str, Any]:
        asked.append(after)
        at = next((i + 1 for i, item in enumerate(items) if item["id"] == after), 0)
        more = {"has_more": at + size < len(items)} if says_more else {}
        return {"data": items[at : at + size], **more}

    return page, asked


TIMES = st.lists(st.integers(0, 60), max_size=20)


@given(TIMES, st.integers(1, 6), st.integers(0, 60), st.booleans(), st.booleans())
def test_sorted_lists_give_all_since_the_cutoff(
    times: list[int], size: int, cutoff: int, descending: bool, says_more: bool
) -> None:
    ordered = sorted(times, reverse=descending)
    items = [{"id": f"b{i}", "created_at": at} for i, at in enumerate(ordered)]
    page, _ = pages(items, size, says_more=says_more)
    found = [item["id"] for item in listing.since(page, cutoff, "host")]
    assert found == [item["id"] for item in items if item["created_at"] >= cutoff]


def test_a_page_that_is_partly_new_is_read_on_from() -> None:
    items = [{"id": f"b{at}", "created_at": at} for at in (9, 3, 8, 2, 1, 0)]  # not quite in order
    page, asked = pages(items, 2)
    assert [item["id"] for item in listing.since(page, 5, "host")] == ["b9", "b8"]
    assert len(asked) == 3


@pytest.mark.parametrize(
    "answer", [{}, {"data": None}, {"data": []}, {"data": [], "has_more": True}, {"data": ["x", None]}]
)
def test_an_empty_page_is_the_end(answer: dict[str, Any]) -> None:
    assert list(listing.since(lambda after: answer, 0, "host")) == []


def test_the_hosts_own_cursor_is_used() -> None:
    asked: list[str | None] = []

    def page(after: str | None) -> dict[str, Any]:
        asked.append(after)
        return {"data": [{"id": f"b{len(asked)}"}], "has_more": len(asked) < 3, "last_id": f"cursor-{len(asked)}"}

    assert len(list(listing.since(page, 0, "host"))) == 3
    assert asked == [None, "cursor-1", "cursor-2"]


@pytest.mark.parametrize("data", [7, "b1", {"id": "b1"}, True])
def test_a_list_that_is_none_does_not_mean_not_there(data: Any) -> None:
    with pytest.raises(ProviderDown, match="the list of batches is none"):
        list(listing.since(lambda after: {"data": data}, 0, "host"))


def test_an_object_without_an_id_is_kept_and_is_no_cursor() -> None:
    """Whoever knows it for his own must hear of it."""
    answer = {"data": [{"id": None, "n": 1}, {"id": "b2"}, {"n": 3}]}
    asked: list[str | None] = []

    def page(after: str | None) -> dict[str, Any]:
        asked.append(after)
        return answer if after is None else {"data": []}

    assert list(listing.since(page, 0, "host")) == answer["data"]
    assert asked == [None, "b2"]
    assert list(listing.since(lambda after: {"data": [{}]}, 0, "host")) == [{}]
    with pytest.raises(ProviderDown, match="names no batch by an id"):
        list(listing.since(lambda after: {"data": [{"id": None}], "has_more": True}, 0, "host"))


@pytest.mark.parametrize("ident", [7, ["b7"], {"b": 7}])
def test_a_list_of_odd_ids_that_goes_round_is_noticed(ident: Any) -> None:
    with pytest.raises(ProviderDown, match="repeats itself"):
        list(listing.since(lambda after: {"data": [{"id": ident}], "has_more": True}, 0, "host"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (12, 12.0),
        ("12.5", 12.5),
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T01:01:00+01:00", 60.0),
        (True, None),
        (None, None),
        ("soon", None),
        ([], None),
        ("nan", None),
        (math.nan, None),
        ("1e999", None),
        (10**400, None),
        ("0001-01-01T00:00:00", None),
    ],
)
def test_times_in_any_writing(value: Any, expected: float | None) -> None:
    assert listing.seconds(value) == expected


# --- rows on disk ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", (0, True)),
        (b"\n\n", (0, True)),
        (b"{}", (1, True)),
        (b"{}\n", (1, True)),
        (b"{}\r\n\r\n{}", (2, True)),
        (b'{}\n{"a', (1, False)),
        (b'{"a', (0, False)),
        (b"not json\n{}", (2, True)),  # the caller quarantines it; it is a row all the same
        ('{"a":"x\u2028y\u0085z"}\n{}'.encode(), (2, True)),
    ],
)
def test_rows_are_counted_at_the_newline_byte(tmp_path: Path, data: bytes, expected: tuple[int, bool]) -> None:
    path = tmp_path / "rows"
    path.write_bytes(data)
    assert count_rows(path) == expected


ROWS = st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=9), max_size=2), min_size=1, max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, cut=st.integers(0, 400), final=st.booleans())
def test_no_cut_ever_adds_a_row(tmp_path: Path, rows: list[dict[str, str]], cut: int, final: bool) -> None:
    data = b"\n".join(json.dumps(row, ensure_ascii=False).encode() for row in rows) + (b"\n" if final else b"")
    path = tmp_path / "rows"
    path.write_bytes(data)
    assert count_rows(path) == (len(rows), True)
    path.write_bytes(data[:cut])
    found, whole = count_rows(path)
    assert found <= len(rows)
    if found == len(rows) and whole:
        assert data[:cut].rstrip(b"\n") == data.rstrip(b"\n")
