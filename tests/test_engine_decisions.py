"""What the engine room decides, without an engine: whose process it is, what to do about it, is it stuck, try again?"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch import settings
from chimera_batch.engines import devices, failures, kernel, orphans, process, record, vllm
from chimera_batch.engines.kernel import Seen
from chimera_batch.engines.record import Record
from chimera_batch.engines.watchdog import Beat, Gauges, Lives, Progress, read
from chimera_batch.errors import EngineWhy
from chimera_batch.providers.base import Engine
from chimera_batch.settings import boot

LEFT = Record("mark", "boot", 8000, "m", "flags", "owner", pid=100, start="7", ready=True)
LEADER, WORKER = Seen(100, 100, "7"), Seen(101, 100, "9")


@pytest.mark.parametrize(
    ("seen", "mark", "leader", "ours"),
    [
        (LEADER, "mark", LEADER, True),
        (WORKER, "mark", None, True),  # it outlived its leader
        (Seen(300, 300, "8"), "mark", None, True),  # it went into a group of its own
        (LEADER, None, LEADER, True),  # its environment is not to be read, but it is the very process
        (WORKER, None, LEADER, True),  # in a group that our leader still leads
        (WORKER, None, None, False),  # the leader is gone: the group's id may be another's by now
        (WORKER, None, Seen(100, 100, "8"), False),  # it is another's
        (Seen(100, 100, "8"), None, Seen(100, 100, "8"), False),
        (LEADER, "another", LEADER, False),  # an engine of another folder
        (Seen(5, 5, "1"), None, LEADER, False),
    ],
)
def test_whose_process_it_is(seen: Seen, mark: str | None, leader: Seen | None, ours: bool) -> None:
    assert orphans.is_ours(seen, LEFT, mark, leader) is ours


@pytest.mark.parametrize(
    ("left", "wanted", "remains", "fate"),
    [
        (None, ("m", "flags"), [], "nothing"),
        (LEFT, ("m", "flags"), [], "nothing"),
        (LEFT, ("m", "flags"), [LEADER, WORKER], "reuse"),
        (replace(LEFT, ready=False), ("m", "flags"), [LEADER], "await"),
        (LEFT, ("other", "flags"), [LEADER, WORKER], "end"),
        (LEFT, ("m", "other"), [LEADER, WORKER], "end"),
        (LEFT, ("m", "flags"), [WORKER], "end"),
        (replace(LEFT, pid=0, start=""), ("m", "flags"), [LEADER], "end"),  # killed between the start and its record
        (replace(LEFT, boot="before"), ("m", "flags"), [LEADER, WORKER], "nothing"),
    ],
)
def test_what_becomes_of_what_is_left(
    left: Record | None, wanted: tuple[str, str], remains: list[Seen], fate: orphans.Fate
) -> None:
    assert orphans.fate(left, "boot", wanted, remains) == fate


def test_nothing_of_another_boot_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "everybody", lambda: pytest.fail("it looked"))
    assert orphans.left_of(LEFT, "another boot") == () == orphans.left_of(None, "boot")


def test_the_kernel_tells_of_this_process() -> None:
    me = kernel.look(os.getpid())
    assert me is not None and me.group == os.getpgid(0) and me.start.isdigit()
    assert me in list(kernel.everybody())
    assert kernel.look(2**30) is None and kernel.mark_of(2**30) is None
    assert kernel.can_look()
    assert not kernel.wait_until_gone([me], 0.01) and kernel.wait_until_gone([replace(me, start="1")], 0.01)


def test_a_signal_goes_to_the_very_process_only() -> None:
    me = kernel.look(os.getpid())
    assert me is not None
    kernel.signal_exactly(replace(me, start="1"), kernel.signal.SIGKILL)  # an earlier process of this id: nothing
    kernel.signal_exactly(Seen(2**22, 2**22, "1"), kernel.signal.SIGKILL)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert record.load(tmp_path) is None
    record.save(tmp_path, LEFT)
    assert record.load(tmp_path) == LEFT
    record.save(tmp_path, replace(LEFT, ready=False))
    assert record.load(tmp_path) == replace(LEFT, ready=False)
    record.forget(tmp_path)
    record.forget(tmp_path)
    assert record.load(tmp_path) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", json.dumps({**asdict(LEFT), "pid": "100"}), json.dumps({"mark": "x"})]
)
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "server.json").write_text(text)
    assert record.load(tmp_path) is None


# --- the watchdog, with a clock of our own

LIMIT = 900.0


def stalls_at(beats: list[Beat]) -> float | None:
    """When the watchdog of a series of looks would end the engine."""
    progress = Progress(0.0)
    for beat in beats:
        progress = progress.after(beat)
        if progress.stalled(beat.at, LIMIT):
            return beat.at
    return None


def every(seconds: float, tokens: object, *, busy: bool = True, finished: int = 0) -> list[Beat]:
    """Looks every ``seconds`` for an hour; ``tokens`` of the time."""
    times = [seconds * n for n in range(int(3600 / seconds))]
    return [Beat(at, finished, tokens(at) if callable(tokens) else None, busy) for at in times]


def test_what_makes_tokens_is_left_alone() -> None:
    assert stalls_at(every(15, lambda at: at * 20)) is None
    assert stalls_at(every(15, lambda at: at // 890)) is None  # one token now and then


def test_what_makes_none_is_stuck_after_the_limit() -> None:
    assert stalls_at(every(15, lambda _at: 5.0)) == 900
    assert stalls_at(every(15, lambda at: min(at, 300.0))) == 1200
    assert stalls_at(every(15, None)) == 900  # its gauges are silent and it holds requests


def test_an_idle_engine_owes_nothing() -> None:
    assert stalls_at(every(15, lambda _at: 5.0, busy=False)) is None
    assert stalls_at(every(15, None, busy=False)) is None


def test_replies_are_progress_without_gauges() -> None:
    assert stalls_at([Beat(15.0 * n, n // 50, None, True) for n in range(240)]) is None


@given(st.lists(st.tuples(st.floats(0, 400), st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_it_ends_an_engine_exactly_after_that_long_without_a_sign_of_life(
    looks: list[tuple[float, bool, bool]],
) -> None:
    """Held against the sentence itself: the last look with progress or without work was LIMIT ago."""
    at, tokens, last, progress = 0.0, 0.0, 0.0, Progress(0.0, 0, 0.0)
    for pause, made, busy in looks:
        at += pause
        tokens += made
        progress = progress.after(Beat(at, 0, tokens, busy))
        last = at if made or not busy else last
        assert progress.stalled(at, LIMIT) == (at - last >= LIMIT)


def test_gauges_are_summed_over_replicas() -> None:
    page = """# HELP vllm:generation_tokens_total Number of generation tokens processed.
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="a b}"} 1.5e+03
vllm:generation_tokens_total{engine="1",model_name="tiny"} 10.0
vllm:generation_tokens_created{engine="0"} 1.79e+09
vllm:num_requests_running{engine="0"} 3.0
vllm:num_requests_waiting{engine="0"} 4.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 4.0
plain_total 7
broken_total{a="1"} NaN
"""
    vllms = Gauges("vllm:generation_tokens_total", ("vllm:num_requests_running", "vllm:num_requests_waiting"), "none")
    assert read(page, vllms) == {"tokens": 1510, "holds": 7}
    assert read(page, Gauges("plain_total", ("absent",), "broken_total")) == {"tokens": 7, "preempted": 0}
    assert read("", vllms) == {} == read("<html>nobody here</html>", vllms)


@pytest.mark.parametrize(
    ("lives", "again"),
    [
        (Lives(), True),
        (Lives().died("crash", answered=False), False),  # it never came up
        (Lives().healthy().died("crash", answered=False), True),
        (Lives().healthy().died("stalled", answered=False).died("stalled", answered=False), True),
        (Lives(2, "crash", up=True).died("crash", answered=False), False),
        (Lives(2, "crash", up=True).died("crash", answered=True), True),  # it got on with the work in between
        (Lives().healthy().died("not_installed", answered=False), False),
        (Lives().healthy().died("out_of_memory", answered=False), True),
    ],
)
def test_may_it_be_started_again(lives: Lives, again: bool) -> None:
    assert lives.again(restarts=2) is again


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 5))
def test_it_is_given_up_after_so_many_fruitless_lives_in_a_row(answered: list[bool], restarts: int) -> None:
    lives, row = Lives().healthy(), 0
    for useful in answered:
        lives = lives.died("crash", answered=useful)
        row = 1 if useful else row + 1
        assert lives.again(restarts) == (row <= restarts)


# --- why it ended


@pytest.mark.parametrize(
    ("code", "log", "starting", "why", "words"),
    [
        (1, "INFO x\nRuntimeError: No CUDA GPUs are available\n", True, "no_gpu", "No CUDA GPUs are available"),
        (1, "ImportError: libcuda.so.1: cannot open shared object file: No such file", True, "no_gpu", "libcuda"),
        (1, "(Worker_TP0 pid=7) ERROR 11-22 03:41:48 [a.py:1] torch.OutOfMemoryError: CUDA out of memory. Tried\n"
            "RuntimeError: Engine core initialization failed. See root cause above.", True, "out_of_memory", "Tried"),
        (-9, "", True, "out_of_memory", "it was ended by SIGKILL"),
        (-9, "", False, "crash", "it was ended by SIGKILL"),
        (137, "Loading weights: 80%", True, "out_of_memory", "Loading weights: 80%"),
        (1, "ModuleNotFoundError: No module named 'flashinfer'", True, "not_installed", "flashinfer"),
        (1, "ModuleNotFoundError: No module named 'a' (passing)\nINFO\nValueError: bad", True, "crash", "Error: bad"),
        (2, "usage: x\napi_server.py: error: unrecognized arguments: --frob", True, "crash", "--frob"),
        (1, "AssertionError: kernel\nvllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue",
            False, "crash", "AssertionError: kernel"),
        (0, "", False, "crash", "it ended with exit code 0"),
        (1, "(APIServer pid=7) WARNING 11-22 04:25:26 [a.py:6] OSError: [Errno 24]; Cannot allocate memory\n"
            "(APIServer pid=7) ERROR 11-22 04:25:26 [a.py:9] v1.exceptions.EngineDeadError: EngineCore had an issue\n"
            "(APIServer pid=7) INFO 11-22 04:25:26 [a.py:9] MemoryError?", False, "crash", "EngineDeadError: Engine"),
        (1, "(EngineCore pid=9) ERROR 11-22 04:27:55 [core.py:1] AssertionError: Not enough NUMA nodes\n"
            "    raise RuntimeError(\nRuntimeError: Engine core initialization failed. See root cause above.",
            True, "crash", "AssertionError: Not enough NUMA nodes"),
        (None, "", False, "crash", "it is gone"),
        (-200, "", False, "crash", "signal 200"),
        (1, "10%\r50%\r100%\rdone", True, "crash", "done"),
    ],
)  # fmt: skip
def test_why_it_ended(code: int | None, log: str, starting: bool, why: EngineWhy, words: str) -> None:
    found = failures.classify(code, log, starting=starting)
    assert found.why == why and words in found.words
    assert "\n" not in found.words and not found.words.startswith("(")
    assert bool(found.hint) == (why != "crash")


@given(st.text("aE(): Error\r\n", max_size=300), st.integers(-70, 255) | st.none(), st.booleans())
def test_any_log_has_a_reason(log: str, code: int | None, starting: bool) -> None:
    found = failures.classify(code, log, starting=starting)
    assert found.words and len(found.words) <= 400


# --- the command line of vLLM


def test_the_manifest_becomes_options() -> None:
    engine = Engine(
        "vllm",
        max_model_len=40960,
        max_num_seqs=32,
        tensor_parallel=4,
        data_parallel=2,
        quantization="fp8",
        flags=(
            ("enable_prefix_caching", False),
            ("kv-cache-dtype", "fp8"),
            ("max-num-seqs", 64),
            ("trust-remote-code", True),
        ),
    )
    said = " ".join(vllm.flags(engine, cpu=False))
    for part in (
        "--max-model-len 40960",
        "--max-num-seqs 64",  # what flags say wins
        "--tensor-parallel-size 4",
        "--data-parallel-size 2",
        "--quantization fp8",
        "--no-enable-prefix-caching",
        "--kv-cache-dtype fp8",
        '--structured-outputs-config {"backend": "xgrammar", "disable_any_whitespace": true}',
    ):
        assert part in said
    assert said.endswith("--trust-remote-code") and said.count("max-num-seqs") == 1
    assert "gpu-memory-utilization" not in said


def test_a_build_for_cpus_asks_for_little_memory() -> None:
    said = " ".join(vllm.flags(Engine("vllm", flags=(("kv-cache-memory-bytes", 1 << 30),)), cpu=True))
    assert "--gpu-memory-utilization 0.3" in said and "--enforce-eager" in said
    assert f"--kv-cache-memory-bytes {1 << 30}" in said and said.count("kv-cache-memory-bytes") == 1


def test_a_record_of_this_boot_names_it() -> None:
    assert boot() and ":" not in boot()


def test_gpus_are_named_by_the_kernel(tmp_path: Path) -> None:
    nvidia, amd = tmp_path / "gpus", tmp_path / "nodes"
    assert devices.gpus(nvidia, amd) == ()
    for number, text in (("0", "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ: 7\n"), ("1", "IRQ: 8\n")):
        (nvidia / number).mkdir(parents=True)
        (nvidia / number / "information").write_text(text)
    for number, count in (("0", 0), ("1", 256)):
        (amd / number).mkdir(parents=True)
        (amd / number / "properties").write_text(f"cpu_cores_count 8\nsimd_count {count}\n")
    assert devices.gpus(nvidia, amd) == ("NVIDIA H100 80GB HBM3", "NVIDIA GPU", "AMD GPU")


def test_the_interpreter_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.engine_python() is None
    monkeypatch.setenv("CHIMERA_VLLM_PYTHON", " ~/venvs/vllm/bin/python ")
    assert settings.engine_python() == str(Path.home() / "venvs/vllm/bin/python")


def test_an_environment_without_secrets_keeps_what_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "OPENAI_API_KEY", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "x")
    kept = settings.without_secrets(keep=("HF_TOKEN", "NOT_SET"))
    assert {"HF_TOKEN", "CUDA_VISIBLE_DEVICES"} <= kept.keys() and not {"OPENAI_API_KEY", "NOT_SET"} & kept.keys()
    assert "HF_TOKEN" not in settings.without_secrets()


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("CHIMERA_WEBHOOK", "https://hooks.example/services/T0/B0/x", True),
        ("DATABASE_URL", "postgres://ann:word@db.example/one", True),
        ("INDEX", "https://token@wheels.example/simple", True),
        ("HTTPS_PROXY", "http://ann:word@proxy.example:3128", False),
        ("https_proxy", "http://ann:word@proxy.example:3128", False),
        ("HF_ENDPOINT", "https://ann:word@models.example", False),
        ("INDEX", "https://wheels.example/simple?to=a@b", False),
        ("GREETING", "ann@example", False),
    ],
)
def test_an_engine_gets_what_its_downloads_need_and_no_other_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, secret: bool
) -> None:
    monkeypatch.setenv(name, value)
    assert (name in settings.without_secrets(keep=process.DOWNLOADS)) is not secret
    proxy = name.lower() == "https_proxy" or name == "HF_ENDPOINT"
    assert (name in settings.without_secrets()) is not (secret or proxy)
