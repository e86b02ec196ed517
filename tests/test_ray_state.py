"""What follows from how a Ray job stands, as a table; and what a folder says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.engines import ray_state
from chimera_batch.engines.ray_state import Standing, Step, next_step
from chimera_batch.providers.base import Engine
from chimera_batch.providers.ray import engine_kwargs, job_of
from tests.ray_kit import intent_of

ENGINE = Engine("ray", start_s=100, stall_s=10, restarts=2)


@pytest.mark.parametrize(
    ("now", "step"),
    [
        (Standing(ended="completed", drivers=1, alive=True), "over"),
        (Standing(ended="cancelled"), "over"),
        (Standing(), "start"),
        # it runs
        (Standing(drivers=1, alive=True, silent=110, barren=1), "wait"),  # loading
        (Standing(drivers=1, alive=True, silent=111, barren=1), "restart"),
        (Standing(drivers=1, alive=True, silent=10, born=True), "wait"),
        (Standing(drivers=1, alive=True, silent=11, born=True), "restart"),
        (Standing(drivers=3, alive=True, silent=111, barren=3), "give_up"),
        # it died
        (Standing(drivers=1, alive=False, barren=1, why="crash"), "start"),
        (Standing(drivers=3, alive=False, barren=3, why="crash"), "give_up"),
        (Standing(drivers=9, alive=False, barren=0, why="crash"), "start"),  # each of them answered something
        (Standing(drivers=1, alive=False, barren=1, why="no_gpu"), "give_up"),
        (Standing(drivers=1, alive=False, barren=1, why="out_of_memory"), "give_up"),
        (Standing(drivers=1, alive=False, barren=0, why="out_of_memory"), "start"),  # it had room for some
        # on a machine that we cannot see
        (Standing(drivers=1, alive=None, silent=9, born=True), "wait"),
        (Standing(drivers=1, alive=None, silent=11, born=True), "restart"),
    ],
)
def test_the_next_step(now: Standing, step: Step) -> None:
    assert next_step(now, ENGINE) == step


def test_without_restarts_the_first_failure_is_the_last() -> None:
    none = Engine("ray", restarts=0)
    assert next_step(Standing(drivers=1, alive=False, barren=1, why="crash"), none) == "give_up"
    assert next_step(Standing(drivers=1, alive=False, barren=0, why="crash"), none) == "start"


def folder_of(path: Path, drivers: int, **parts: bytes) -> Path:
    for number in range(1, drivers + 1):
        ray_state.log_of(path, number).touch()
        (path / f"driver-{number}.started").touch()
        os.utime(path / f"driver-{number}.started", (1000 * number, 1000 * number))
    for name, data in parts.items():
        (path / f"part-{name[1:]}.jsonl").write_bytes(data)
        os.utime(path / f"part-{name[1:]}.jsonl", (1500, 1500))
    return path


def test_a_folders_standing(tmp_path: Path) -> None:
    def look(at: float) -> Standing:
        return ray_state.standing(tmp_path, alive=True, why=None, now=at)

    assert look(5.0) == Standing(alive=True, silent=5.0)
    folder_of(tmp_path, 1)
    assert look(1003.0) == Standing(drivers=1, alive=True, silent=3.0, barren=1)
    folder_of(tmp_path, 1, _1=b"{}\n")
    assert look(1503.0) == Standing(drivers=1, alive=True, silent=3.0, born=True)
    beat = tmp_path / "beat-a"
    beat.touch()
    os.utime(beat, (1502, 1502))
    assert look(1503.0).silent == 1.0
    folder_of(tmp_path, 3, _1=b"{}\n", _2=b"")
    assert look(3007.0) == Standing(drivers=3, alive=True, silent=7.0, barren=2)  # what came before it says nothing
    (tmp_path / "end.json").write_text('{"status": "completed"}')
    assert look(3007.0).ended == "completed"


def test_numbers_are_counted_as_numbers(tmp_path: Path) -> None:
    folder_of(tmp_path, 11, _2=b"2", _10=b"10")
    (tmp_path / "driver-x.log").touch()
    assert ray_state.numbers(tmp_path) == list(range(1, 12))
    assert [path.name for path in ray_state.parts(tmp_path)] == ["part-2.jsonl", "part-10.jsonl"]


def test_results_are_whole_lines_each_id_once(tmp_path: Path) -> None:
    def line(of: str, n: int) -> bytes:
        return json.dumps({"custom_id": of, "n": n}).encode() + b"\n"

    folder_of(tmp_path, 2, _1=line("a", 1) + line("b", 1) + line("c", 1)[:-9], _2=line("c", 2) + line("b", 2))
    assert list(ray_state.results(tmp_path)) == [line("a", 1), line("b", 1), line("c", 2)]


def test_what_the_driver_is_told() -> None:
    engine = Engine(
        "ray",
        max_model_len=4096,
        tensor_parallel=2,
        data_parallel=4,
        quantization="fp8",
        block=16,
        flags=(("enforce-eager", True), ("override-generation-config", '{"top_k": 5}'), ("reasoning-parser", "qwen3")),
    )
    job = job_of(intent_of(3), engine, "ray://head:10001")
    assert (job["model"], job["replicas"], job["block"], job["address"]) == ("tiny", 4, 16, "ray://head:10001")
    assert job["engine_kwargs"] == {
        "max_model_len": 4096,
        "max_num_seqs": 48,
        "tensor_parallel_size": 2,
        "quantization": "fp8",
        "enable_prefix_caching": True,
        "stream_interval": 128,
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        "enforce_eager": True,
        "override_generation_config": {"top_k": 5},
        "reasoning_parser": "qwen3",
    }
    assert job_of(intent_of(3), Engine("ray"), None)["address"] == "local"
    assert job_of(intent_of(3), Engine("ray", address="auto"), "elsewhere")["address"] == "auto"
    assert "max_model_len" not in engine_kwargs(Engine("ray"))


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 4))
def test_every_job_comes_to_an_end(answers: list[bool], restarts: int) -> None:
    """Drivers that die one after the other, each with or without an answer: only those without any end the job."""
    engine, drivers, barren = Engine("ray", restarts=restarts), 0, 0
    for answered in [*answers, *[False] * (restarts + 1)]:
        step = next_step(Standing(drivers=drivers, alive=False, barren=barren, why="crash"), engine)
        if step == "give_up":
            assert barren == restarts + 1
            return
        assert step == "start" and barren <= restarts
        drivers, barren = drivers + 1, 0 if answered else barren + 1
    last = next_step(Standing(drivers=drivers, alive=False, barren=barren, why="crash"), engine)
    assert last == "give_up"


@given(
    st.booleans() | st.none(), st.integers(0, 9), st.integers(0, 9), st.floats(0, 300), st.sampled_from(["crash", None])
)
def test_a_driver_that_may_run_is_never_joined_by_another(
    alive: bool | None, drivers: int, barren: int, silent: float, why: str | None
) -> None:
    """A second one is started only after the first is known to be dead, or has been ended (`restart`)."""
    step = next_step(Standing(drivers=drivers, alive=alive, barren=barren, silent=silent, why=why), ENGINE)
    if step == "start":
        assert alive is False or not drivers
    if step in {"restart", "give_up"} and alive is not False:
        assert silent > ENGINE.stall_s + ENGINE.start_s


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), max_size=60), st.integers(0, 40))
def test_whatever_lies_in_the_parts_each_id_comes_out_once(wrote: list[tuple[int, int]], torn: int) -> None:
    with TemporaryDirectory() as name:
        folder, found = Path(name), dict[int, list[bytes]]()
        for of, driver in wrote:
            line = json.dumps({"custom_id": f"id-{of}", "by": driver}).encode() + b"\n"
            found.setdefault(driver, []).append(line)
        for driver, lines in found.items():
            ray_state.log_of(folder, driver + 1).touch()
            cut = lines[-1][: min(torn, len(lines[-1]) - 1)]
            (folder / f"part-{driver + 1}.jsonl").write_bytes(b"".join(lines) + cut)
        got = [json.loads(line) for line in ray_state.results(folder)]
        assert sorted(one["custom_id"] for one in got) == sorted({f"id-{of}" for of, _ in wrote})
        first = {of: min(driver for other, driver in wrote if other == of) for of, _ in wrote}
        assert {one["custom_id"]: one["by"] for one in got} == {f"id-{of}": by for of, by in first.items()}


@given(st.lists(st.integers(0, 1), max_size=8))
def test_barren_counts_back_to_the_last_answer(answers: list[int]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        for number, answered in enumerate(answers, 1):
            (folder / f"part-{number}.jsonl").write_bytes(b"{}\n" * answered)
        known = list(range(1, len(answers) + 1))
        after = [at for at, answered in enumerate(answers, 1) if answered]
        assert ray_state.barren(folder, known) == len(answers) - (after[-1] if after else 0)
