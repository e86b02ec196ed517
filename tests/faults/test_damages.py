"""Damages on the wire: through real sockets and the real SDKs, to the answers of an undisturbed run.

``python -m bench.wire`` plays every kind; here the first three exchanges of every endpoint meet three different ones.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bench import wire as bench_wire
from tests.faults import damages
from tests.faults.everywhere import Played, Road, road, sweep
from tests.faults.invariants import Reference
from tests.faults.wire import ENDPOINTS, Seen, endpoint_of, proxy
from tests.rehearsal_kit import Hall

THREES = (
    ("429 retry-after", "reset in the body", "gzip"),
    ("html 200", "short, between lines", "clock behind"),
    ("503", "null id", "crlf"),
)


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Road, Reference]]:
    with road(tmp_path_factory.mktemp("road")) as made:
        yield made


@pytest.mark.parametrize("three", THREES, ids="+".join)
def test_one_damage_after_another_at_every_endpoint(ways: tuple[Road, Reference], three: tuple[str, ...]) -> None:
    way, reference = ways
    orders = [order for number, kind in enumerate(three, 1) for order in sweep(kind, number)]

    def judge(played: Played) -> tuple[list[str], list[str], int]:
        return list(played.flaws(reference)), played.told, len(played.struck)

    flaws, told, struck = way.play(orders, judge)
    assert flaws == [], "\n".join(told)
    assert struck > 20, "the damages were met"
    assert any("HTTP" in line or "reply" in line for line in told), "and a person heard of it"


# -- the proxy itself


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    with Hall(tmp_path_factory.mktemp("hall")) as served:
        yield served


def got(hall: Hall, kind: str, path: str = "/openai/v1/batches") -> Any:
    """What a client sees of a damaged list of batches: the reply, or the error."""
    with proxy(hall.url, damages.ALL) as through, httpx2.Client(timeout=60) as client:
        endpoint = endpoint_of("GET", path)
        through.order([(kind, endpoint, 1)])
        try:
            return client.get(through.url + path, headers={"authorization": "Bearer any"})
        except httpx2.HTTPError as error:
            return type(error)
        finally:
            assert through.struck == {(kind, endpoint): 1} and through.left == []


TRUTH = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


@pytest.mark.parametrize("kind", ["drip", "drip in chunks", "no length", "gzip", "crlf", "blank lines", "counts lie"])
def test_what_is_harmless_says_the_same(hall: Hall, kind: str) -> None:
    reply = got(hall, kind)
    assert (reply.status_code, reply.json()) == (200, TRUTH)


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("reset after", httpx2.ReadError),
        ("closed before", httpx2.RemoteProtocolError),
        ("reset in the body", httpx2.ReadError),
        ("short, told", httpx2.RemoteProtocolError),
        ("short, in chunks", httpx2.RemoteProtocolError),
    ],
)
def test_a_connection_ends_as_it_was_told(hall: Hall, kind: str, seen: type[Exception]) -> None:
    assert got(hall, kind) is seen


def test_a_short_body_without_a_length_is_silent(hall: Hall) -> None:
    reply = got(hall, "short, inside a line")
    assert reply.status_code == 200
    assert 0 < len(reply.content) < len(b'{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}')


@pytest.mark.parametrize(
    ("kind", "status", "header"),
    [("429 retry-after", 429, "retry-after"), ("429 retry-after-ms", 429, "retry-after-ms"), ("html 502", 502, "")],
)
def test_a_status_stands_in_the_place_of_the_reply(hall: Hall, kind: str, status: int, header: str) -> None:
    before = len(hall.server.seen)
    reply = got(hall, kind)
    assert reply.status_code == status and (not header or header in reply.headers)
    assert len(hall.server.seen) == before, "the host has heard of nothing"


def test_a_body_behind_the_first_line_is_cut_there() -> None:
    assert damages._line(Seen(body=b"one\ntwo\n")) == 4
    assert damages._line(Seen(body=b"one\n")) == 0
    assert damages._half(Seen(body=b"abc\ndefg")) == 3


def test_every_path_of_either_protocol_has_one_name() -> None:
    samples = {name: form.replace("[^/]+", "x") for name, (_, form) in ENDPOINTS.items()}
    assert {name: endpoint_of(ENDPOINTS[name][0], path) for name, path in samples.items()} == dict(
        zip(samples, samples, strict=True)
    )
    assert endpoint_of("GET", "/_rehearsal/health") == ""


def test_the_proxy_outlives_a_host_that_is_gone(hall: Hall) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    with proxy(nobody, damages.ALL) as through, httpx2.Client(timeout=60) as client:
        for _ in range(2):
            with pytest.raises(httpx2.HTTPError):
                client.get(f"{through.url}/openai/v1/batches")
        through.upstream = hall.url
        assert client.get(f"{through.url}/openai/v1/batches", headers={"authorization": "Bearer any"}).json() == TRUTH


# -- the command


def test_the_command_prints_a_row_and_fails_with_its_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def rows(kinds: Any, at: Any, root: Path) -> Iterator[bench_wire.Row]:
        assert root.is_dir() and at == "openai.poll"
        yield kinds[0], 1, 16, 0, ["told"], []
        yield kinds[1], 1, 17, 1, ["told"], ["paid twice"]

    monkeypatch.setattr(bench_wire, "rows", rows)
    assert bench_wire.main(["503", "gzip", "--at", "openai.poll"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[2:] == ["| 503 | 1 | 16 | 0 | 0 |", "| gzip | 1 | 17 | 1 | 1 |"]
    assert "WRONG with gzip: paid twice" in err


def test_a_drip_takes_its_time_and_no_more(hall: Hall) -> None:
    begun = time.monotonic()
    got(hall, "drip")
    assert time.monotonic() - begun >= 6 * 0.02
