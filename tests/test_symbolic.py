"""The process that reads answers as mathematics: started late, lost without harm, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chimera_batch.functions.answering import symbolic
from chimera_batch.functions.answering.mathtext import comparable, latex
from chimera_batch.functions.answering.symbolic import Worker, same_expression
from tests.conftest import ROOT

ANSWERING = """
import json, sys, time
print("ready", flush=True)
for line in sys.stdin:
    said = json.loads(line)["candidate"]
    if said == "hang": time.sleep(600)
    if said == "die": break
    print(json.dumps(said == "same"), flush=True)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "worker.py"
    path.write_text(ANSWERING, encoding="utf-8")
    return path


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone(pid: int, seconds: float = 60.0) -> bool:
    until = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not alive(pid)


def pid_of(worker: Worker) -> int:
    assert worker._process is not None
    return worker._process.pid


def test_it_answers_and_is_started_only_when_asked(script: Path) -> None:
    worker = Worker(script)
    assert worker._process is None
    assert worker.ask("a", "same", 0.0) is True
    first = pid_of(worker)
    assert worker.ask("a", "other", 0.0) is False
    assert pid_of(worker) == first
    worker.close()
    assert not alive(first), "a zombie is alive to its parent"


@pytest.mark.parametrize("fatal", ["hang", "die"])
def test_a_pair_that_is_too_much_costs_the_process_and_nothing_else(script: Path, fatal: str) -> None:
    worker = Worker(script, wall=0.3)
    assert worker.ask("a", "same", 0.0) is True
    first = pid_of(worker)
    assert worker.ask("a", fatal, 0.0) is None
    assert not alive(first)
    assert worker.ask("a", "same", 0.0) is True
    assert pid_of(worker) != first
    worker.close()


def test_a_process_that_somebody_else_killed_is_started_again(script: Path) -> None:
    worker = Worker(script)
    worker.ask("a", "same", 0.0)
    os.kill(pid_of(worker), signal.SIGKILL)
    assert worker.ask("a", "same", 0.0) in {None, True}
    assert worker.ask("a", "same", 0.0) is True
    worker.close()


def test_many_threads_share_it(script: Path) -> None:
    worker = Worker(script)
    asked = ["same", "other"] * 20
    with ThreadPoolExecutor(8) as threads:
        said = list(threads.map(lambda text: worker.ask("a", text, 0.0), asked))
    assert said == [text == "same" for text in asked]
    worker.close()


def test_one_that_cannot_start_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nothing_of_that_name", encoding="utf-8")
    with pytest.raises(OSError, match="pip install math-verify"):
        Worker(tmp_path / "broken.py").ask("1", "1", 0.0)


SPYING = """
import json, os, sys
print("ready", flush=True)
for line in sys.stdin:
    print(json.dumps("sk-planted" in repr(dict(os.environ))), flush=True)
"""


def test_it_is_told_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads what models wrote; what it cannot know it cannot give away."""
    for name in ("OPENAI_API_KEY", "DEEPINFRA_TOKEN", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD"):
        monkeypatch.setenv(name, "sk-planted")
    (tmp_path / "spying.py").write_text(SPYING, encoding="utf-8")
    worker = Worker(tmp_path / "spying.py")
    assert worker.ask("1", "1", 0.0) is False
    worker.close()


PARENT = """
import sys, time
from pathlib import Path
from chimera_batch.functions.answering import symbolic
symbolic._worker._path = Path(sys.argv[1])
symbolic.same_expression("a", "same")
print(symbolic._worker._process.pid, flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.parametrize("how", ["ends", "is killed"])
def test_it_ends_with_the_process_that_started_it(script: Path, how: str) -> None:
    wait = "0" if how == "ends" else "600"
    command = [sys.executable, "-c", PARENT, str(script), wait]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ) | {"PYTHONPATH": str(ROOT)})
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    if how == "is killed":
        parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(pid)


FORKING = """
import os, sys
from pathlib import Path
from chimera_batch.functions.answering import symbolic
worker = symbolic._worker
worker._path = Path(sys.argv[1])
assert worker.ask("a", "same", 0.0) is True
first = worker._process.pid
child = os.fork()
if not child:
    assert worker._process is None and worker.ask("a", "same", 0.0) is True and worker._process.pid != first
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert worker.ask("a", "other", 0.0) is False and worker._process.pid == first
"""


def test_a_fork_gets_a_process_of_its_own(script: Path) -> None:
    environment = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", FORKING, str(script)], env=environment, check=True, timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reference", "candidate"),
    [
        ("1", "9^{9^{9^{9}}}"),
        ("1", "(10^{9})!"),
        ("x", "\\sum_{k=1}^{10^{9}} \\sin(k^{2})"),
        ("x", "\\int_0^1 \\sin(x^{x^{x}}) e^{\\cos(x^5)} dx"),
        ("x", "(" * 190 + "x" + ")" * 190),
        ("x", "(x+y+z+1)^{4000} - (x-y+z)^{3999}"),
        ("1", "\\frac{" * 60 + "1" + "}{2}" * 60),
    ],
)
def test_hostile_mathematics_is_bounded(reference: str, candidate: str) -> None:
    worker = Worker()
    begin = time.monotonic()
    assert not worker.ask(reference, candidate, 0.0)
    assert time.monotonic() - begin < 60  # a busy machine; its CPU is what is limited
    assert worker.ask("x+1", "1+x", 0.0) is True, "and the next pair is read as ever"
    worker.close()


@pytest.mark.slow
def test_the_limit_on_cpu_counts_from_now(monkeypatch: pytest.MonkeyPatch) -> None:
    from chimera_batch.functions.answering import symbolic_worker as reading

    limits: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(reading.resource, "setrlimit", lambda what, value: limits.append((what, value)))
    reading.limit()
    [(what, (soft, _))] = limits
    used = time.process_time()
    assert what == reading.resource.RLIMIT_CPU
    assert used + reading.SECONDS <= soft + 1 <= used + reading.SECONDS + 3


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("2π", "2\\pi"),
        ("√2/2", "\\sqrt{2}/2"),
        ("sqrt(x)+1", "\\sqrt{x}+1"),
        ("sin(x)", "\\sin (x)"),
        ("x²", "x^{2}"),
        ("x**2", "x^2"),
        ("(1;2)", "(1,2)"),
    ],
)
def test_text_becomes_latex(text: str, spelt: str) -> None:
    assert latex(text) == spelt


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x", ""),
        ("P+1", "p+1"),
        ("204_5", "204"),
        ("3 apples", "3 papels"),
        ("\\{1,2\\}", "(1,2)"),
        ("a\\times b", "a b"),
        ("1", "10^{99999}"),
        ("1", "9" * 70),
        ("1", "x" * 500),
        ("red", "blue"),
    ],
)
def test_what_a_parser_would_misread_is_not_given_to_it(one: str, other: str) -> None:
    assert not comparable(one, other)
    assert not comparable(other, one)


def test_a_pair_is_asked_once(monkeypatch: pytest.MonkeyPatch, script: Path) -> None:
    worker = Worker(script)
    monkeypatch.setattr(symbolic, "_worker", worker)
    before = same_expression.cache_info().misses
    assert [same_expression("once", "same"), same_expression("once", "same")] == [True, True]
    assert same_expression.cache_info().misses == before + 1
    worker.close()
