"""The bench against the field: its host is strict, its measuring is whole, and it judges what it measures."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import _field, field
from bench._field import SCRIPTS, Cost, Failed, Host, Watched, host, make_job, measure
from bench._field_turns import OURS, PLAIN, Field, Row, write_project
from chimera_batch.pipeline import project
from tests.conftest import ROOT

MB = 1_000_000
TOOLS = tomllib.loads((SCRIPTS / "tools.toml").read_text("utf-8"))
LEFT_OUT = TOOLS.pop("left_out")
ENVIRONMENT = {"PATH": os.environ["PATH"]}


# -- the tools


def test_enough_tools_do_the_whole_job() -> None:
    whole = [name for name, tool in TOOLS.items() if tool.get("halves", "both") in {"both", "once"}]
    assert len(whole) >= 4
    assert {"curator", "instructor", "distilabel-llm"} <= set(whole)


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_has_its_script_its_exact_versions_and_its_reason(name: str) -> None:
    tool = TOOLS[name]
    pins = (SCRIPTS / "pins" / f"{tool.get('pins', name)}.txt").read_text().splitlines()
    assert [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []
    assert any(line.startswith(f"{tool['package']}==") for line in pins)
    assert (SCRIPTS / f"use_{name.replace('-', '_')}.py").is_file()
    assert tool["calls"]
    part = tool.get("halves") in {"files", "package"} or "most" in tool
    assert bool(tool.get("because")) == part, "who does a part only says why"


def test_what_is_left_out_says_why() -> None:
    assert all(len(why) > 10 for why in LEFT_OUT.values())
    assert not set(LEFT_OUT) & set(TOOLS)


def test_every_script_is_a_tools_or_shared() -> None:
    known = {f"use_{name.replace('-', '_')}.py" for name in [*TOOLS, "plain"]} | {"host.py", "job.py"}
    assert {path.name for path in SCRIPTS.glob("*.py")} == known


def test_an_interpreter_that_is_not_here_is_said() -> None:
    assert _field.interpreter(None) == _field.interpreter("3.2") == sys.executable
    with pytest.raises(LookupError, match=r"3\.99"):
        _field.interpreter("3.99")


# -- the job


def test_the_job_is_as_large_as_it_says_and_always_the_same(tmp_path: Path) -> None:
    job = make_job(tmp_path, 30)
    first = Path(job["rows"]).read_bytes()
    assert make_job(tmp_path, 30) == job
    assert Path(job["rows"]).read_bytes() == first
    rows = [json.loads(line) for line in first.splitlines()]
    assert len({row["row_key"] for row in rows}) == len({row["passage"] for row in rows}) == 30
    asked = [len((job["system"] + job["user"].format(**row)).encode()) for row in rows]
    assert 1_200 < sum(asked) / 30 < 1_500, "1.5 KB with the rest of the line"
    assert {"\\", "“", "\n"} <= set("".join(row["passage"] for row in rows)), "escapes are part of the job"


def test_our_project_is_one_that_a_person_could_write(tmp_path: Path) -> None:
    loaded = project.load(write_project(tmp_path, make_job(tmp_path, 3)))
    (stage,) = loaded.stages
    assert stage.calls[0].provider == "openai"
    assert stage.prompt is not None
    assert stage.prompt.text.count("{{") == 3
    assert "{audience}" not in stage.prompt.text


# -- the host


@pytest.fixture
def job(tmp_path: Path) -> dict[str, Any]:
    made = make_job(tmp_path, 5)
    (tmp_path / "job.json").write_text(json.dumps(made))
    return made


@pytest.fixture
def at(tmp_path: Path, job: dict[str, Any]) -> Iterator[Host]:
    with host(tmp_path / "host", tmp_path / "job.json") as running:
        yield running


def request(job: dict[str, Any], row: dict[str, Any], **changed: str) -> bytes:
    said = {"system": job["system"], "user": job["user"].format(**row), **changed}
    body = {"model": "m", "messages": [{"role": role, "content": said[role]} for role in ("system", "user")]}
    line = {"custom_id": row["row_key"], "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(line).encode() + b"\n"


def send(at: Host, data: bytes) -> dict[str, Any]:
    """By hand, so that the test does not depend on what the SDK makes of a reply."""
    import urllib.request

    parts = b"".join(
        b'--edge\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % part
        for part in [(b"purpose", b"", b"batch"), (b"file", b'; filename="in.jsonl"', data)]
    )
    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    asked = urllib.request.Request(f"{at.url}/v1/files", data=parts + b"--edge--\r\n", headers=headers)
    with opener.open(asked) as reply:
        sent = json.load(reply)
    assert (sent["bytes"], sent["filename"]) == (len(data), "in.jsonl")
    wanted = {"input_file_id": sent["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    with opener.open(f"{at.url}/v1/batches", data=json.dumps(wanted).encode()) as reply:
        return dict(json.load(reply))


def rows_of(job: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(job["rows"]).read_bytes().splitlines()]


def test_the_host_answers_when_it_is_told_to_and_not_in_order(at: Host, job: dict[str, Any]) -> None:
    rows = rows_of(job)
    batch = send(at, b"".join(request(job, row) for row in rows).rstrip(b"\n"))  # the last line may lack its newline
    assert (batch["status"], batch["request_counts"]["total"]) == ("in_progress", 5)
    assert at.state()["outputs"] == []
    state = at.release()
    assert (state["requests"], state["rows"], state["wrong"]) == (5, 5, "")
    (output,) = state["outputs"]
    results = [json.loads(line) for line in Path(output).read_bytes().splitlines()]
    ids = [result["custom_id"] for result in results]
    assert sorted(ids) == [row["row_key"] for row in rows] != ids
    assert all(1_900 < len(json.dumps(result, ensure_ascii=False).encode()) < 2_500 for result in results)
    assert json.loads(results[0]["response"]["body"]["choices"][0]["message"]["content"])["label"] in "bcdf"
    assert at.release() == state, "nothing is answered twice"


@pytest.mark.parametrize("changed", [{"system": "Be brief."}, {"user": "Audience: nobody."}])
def test_the_host_says_what_is_not_the_job(at: Host, job: dict[str, Any], changed: dict[str, str]) -> None:
    first, second, *_ = rows_of(job)
    send(at, request(job, first) + request(job, second, **changed))
    state = at.release()
    assert second["row_key"] in state["wrong"]


def test_the_host_notices_a_row_that_is_asked_twice(at: Host, job: dict[str, Any]) -> None:
    first = rows_of(job)[0]
    send(at, request(job, first) * 2)
    state = at.release()
    assert (state["requests"], state["rows"]) == (2, 1)
    assert "asked twice" in state["wrong"]


# -- measuring

BURN = """
import subprocess, sys, time
held = bytearray(60_000_000)
end = time.process_time() + 0.15
while time.process_time() < end: pass
if sys.argv[1:]: subprocess.run([sys.executable, *sys.argv])
else: time.sleep(1)  # so that a look at both at once cannot miss it
"""


@pytest.mark.slow
def test_a_process_is_measured_with_its_children_and_its_peak(tmp_path: Path) -> None:
    script = tmp_path / "burn.py"
    script.write_text(BURN.replace("sys.argv])", "sys.argv[:1]])"))
    alone = measure([sys.executable, script], tmp_path, ENVIRONMENT)
    both = measure([sys.executable, script, "again"], tmp_path, ENVIRONMENT)
    assert 0.15 <= alone.cpu < both.cpu
    assert both.cpu >= 0.3
    assert alone.wall >= 0.15
    assert alone.peak > 60 * MB
    assert both.peak > 120 * MB, "both at once"


@pytest.mark.slow
def test_a_process_is_parted_where_something_happens(tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(
        "import pathlib, time\nheld = bytearray(80_000_000)\nend = time.process_time() + 0.2\n"
        "while time.process_time() < end: pass\ndel held\npathlib.Path('half').touch()\n"
        "while not pathlib.Path('go').exists(): time.sleep(0.01)\n"
    )
    process = Watched([sys.executable, script], tmp_path, ENVIRONMENT)
    first = process.until((tmp_path / "half").exists, 120)
    process.resume()
    (tmp_path / "go").touch()
    second = process.end((0,), 120)
    assert first.cpu >= 0.2
    assert second.cpu < 0.1
    assert first.peak > 80 * MB > second.peak > 0


def test_a_process_that_fails_or_lasts_too_long_did_not_do_it(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"ended with 3: why"):
        measure([sys.executable, "-c", "print('why'); raise SystemExit(3)"], tmp_path, ENVIRONMENT)
    assert measure([sys.executable, "-c", "raise SystemExit(3)"], tmp_path, ENVIRONMENT, accept=[3]).wall > 0
    with pytest.raises(Failed, match="too slow"):
        measure([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, ENVIRONMENT, limit=0.1)
    process = Watched([sys.executable, "-c", "print('early')"], tmp_path, ENVIRONMENT)
    with pytest.raises(Failed, match="before every request was accepted"):
        process.until(lambda: False, 20)
    process.kill()


# -- the verdict


def row(name: str, package: float, collect: float | None, peak: int = 400, requests: int = 1_000) -> Row:
    halves = [cpu if cpu is None else Cost(cpu, cpu, peak * MB) for cpu in (package, collect)]
    return Row(name, halves[0], halves[1], requests)


OTHERS = [row("a", 8, 9), row("b", 12, 6, 300), row("c", 20, 30), row("d", 30, 40, 2_000)]


@pytest.mark.parametrize(
    ("ours", "missed"),
    [
        (row(OURS, 2.0, 2.0, 149), []),
        (row(OURS, 2.01, 2.0, 149), ["CPU to package and submit"]),
        (row(OURS, 2.0, 2.01, 149), ["CPU to collect, parse and join"]),
        (row(OURS, 2.0, 2.0, 150), ["peak memory"]),
        (row(OURS, 9, 9, 900), ["CPU to package and submit", "CPU to collect, parse and join", "peak memory"]),
    ],
)
def test_each_bar_is_held_against_the_best_of_the_others(ours: Row, missed: list[str]) -> None:
    found = field.flaws([ours, row(PLAIN, 0.1, 0.1, 10), *OTHERS], 1_000)
    assert [flaw.split(":")[0] for flaw in found] == missed


def test_who_does_a_part_or_a_smaller_job_sets_no_bar() -> None:
    parts = [row("files", 0.1, None, 10), row("small", 0.1, 0.1, 10, requests=10)]
    assert field.flaws([row(OURS, 2, 2, 149), *OTHERS, *parts], 1_000) == []
    (flaw,) = field.flaws([row(OURS, 2, 2, 149), *OTHERS[:3], *parts], 1_000)
    assert "only 3" in flaw


def test_the_table_says_how_much_more_the_others_take() -> None:
    lines = list(field.show([row(OURS, 2, 3, 149), row("files", 5, None)], 1_000))
    assert "×2.5" in lines[-1]
    assert lines[-1].endswith("–")
    assert "149" in lines[-2]


# -- the turns


@pytest.mark.slow
def test_the_plain_loop_does_the_job(tmp_path: Path) -> None:
    found = Field(tmp_path, tmp_path, 50).plain()
    assert found.package is not None
    assert found.collect is not None
    assert (tmp_path / "plain-loop" / "batch-0.jsonl").read_bytes().count(b"\n") == 50
    assert json.loads((tmp_path / "plain-loop" / "done.json").read_bytes())["joined"] == 50


@pytest.mark.slow
def test_ours_does_the_job_and_the_command_says_who_is_missing(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "bench.field", "--requests", "50", "--only", "--json", "--work", str(tmp_path)]
    ended = subprocess.run(line, cwd=ROOT, check=False, capture_output=True, text=True)
    assert ended.returncode == 1, ended.stderr
    found = json.loads(ended.stdout)
    assert [one["name"] for one in found["rows"]] == [OURS, PLAIN]
    assert found["rows"][0]["package"]["peak"] > 20 * MB
    assert found["flaws"] == ["only 0 other tools did the job: too few to compare with"]
    assert list(tmp_path.glob("turns-*")) == []
