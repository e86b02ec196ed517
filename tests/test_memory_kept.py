"""What stays in memory: of what many short-lived threads took, and of text files that are read."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

THREADS = """
import ctypes, sys, threading
from pathlib import Path
from chimera_batch.warehouse import Warehouse
from chimera_batch.warehouse.connection import Inline

with Warehouse(Path(sys.argv[1])) as warehouse:
    warehouse.scalar(Inline('SELECT 1'), {})
    met = threading.Barrier(8)
    def work():
        met.wait()  # all at once, so that none takes over what another has given back
        assert len(bytes(60_000)) == 60_000
        met.wait()
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    libc = ctypes.CDLL(None)
    libc.fdopen.restype = ctypes.c_void_p
    out = libc.fdopen(1, b"w")
    libc.malloc_info(0, ctypes.c_void_p(out))
    libc.fflush(ctypes.c_void_p(out))
"""


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_info"), reason="this machine has another malloc than glibc's"
)
def test_many_threads_share_two_arenas(tmp_path: Path) -> None:
    told = subprocess.run([sys.executable, "-c", THREADS, str(tmp_path)], check=True, capture_output=True, text=True)
    assert len(re.findall(r"<heap nr=", told.stdout)) == 2, "one of the main thread, and one for all others"


TELLS = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this machine does not tell a process's peak")
PEAK = """
import sys
from pathlib import Path

def peak():
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(text.split()[1]) for text in status if text.startswith("VmHWM")) // 1000
"""
IDS = (
    PEAK
    + """
from chimera_batch.warehouse import QUICK, Warehouse
from chimera_batch.warehouse.connection import Inline

here = Path(sys.argv[1])
with Warehouse(here / "temp") as warehouse:
    for rows in (100_000, 4_000_000):
        with (here / "ids.csv").open("w") as out:
            out.writelines(f"{n},{n:032x}\\n" for n in range(rows))
        warehouse.listed("ids", {"place": "BIGINT", "ids": "VARCHAR"}, here / "ids.csv")
        assert warehouse.write(Inline("SELECT ids FROM ids"), {}, here / "ids.parquet", form=QUICK) == rows
        print(peak())
"""
)


@pytest.mark.slow
@TELLS
def test_ids_of_many_requests_are_read_in_as_little_memory_as_those_of_few(tmp_path: Path) -> None:
    told = subprocess.run([sys.executable, "-c", IDS, str(tmp_path)], check=True, capture_output=True, text=True)
    few, many = map(int, told.stdout.split())
    assert many < few + 100, "MB; 320 with the buffers that DuckDB itself would take for text files"


SORTED = (
    PEAK
    + """
from chimera_batch.warehouse import ROWS, Warehouse
from chimera_batch.warehouse.connection import Inline

here = Path(sys.argv[1])
read = "SELECT * FROM read_json('" + str(here / "rows.jsonl") + "', format = 'newline_delimited')"
with Warehouse(here / "temp") as warehouse:
    before = peak()
    assert warehouse.write(Inline(read + " ORDER BY row_key"), {}, here / "rows.parquet", form=ROWS) == 100_000
    print(peak() - before)
"""
)


@pytest.mark.slow
@TELLS
def test_a_query_that_sorts_what_it_reads_from_json_fits_the_first_time(tmp_path: Path) -> None:
    """With two threads in 160 MB it did not, and was run again with 512."""
    with (tmp_path / "rows.jsonl").open("w") as out:
        passage = "Of a passage as long as most are, a machine reads what is before it and behind it. " * 18
        out.writelines(f'{{"row_key": "{n:032x}", "passage": "{n} {passage}"}}\n' for n in range(100_000))
    told = subprocess.run([sys.executable, "-c", SORTED, str(tmp_path)], check=True, capture_output=True, text=True)
    assert int(told.stdout) < 260, (
        "MB on top of what the process had: 224 that DuckDB may take, and what it does not count"
    )


NUMBERS = """
import os, sys
from pathlib import Path
import chimera_batch.warehouse

assert "numpy" in sys.modules
tasks = Path("/proc/self/task")
print(len(list(tasks.iterdir())) if tasks.exists() else 1, os.environ.get("OPENBLAS_NUM_THREADS", "as it was"))
"""


@pytest.mark.parametrize(("said", "left"), [({}, "as it was"), ({"OPENBLAS_NUM_THREADS": "3"}, "3")])
def test_no_thread_waits_for_matrices_and_a_child_is_not_told_so(said: dict[str, str], left: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"} | said
    line = [sys.executable, "-c", NUMBERS]
    told = subprocess.run(line, check=True, capture_output=True, text=True, env=environment).stdout.split(maxsplit=1)
    assert told[1].strip() == left
    assert said or told[0] == "1"


FORGOTTEN = """
from pathlib import Path
from chimera_batch.cost import tokens
from chimera_batch.warehouse import give_back

def held():
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(text.split()[1]) for text in status if text.startswith("VmRSS")) // 1000

text = ["What a vocabulary counts, it counts again."]
counted = tokens.counter("MODEL").counts(text)
before = held()
tokens.forget()
give_back()
print(before - held())
assert tokens.counter("MODEL").counts(text) == counted
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim") or not Path("/proc/self/status").exists(),
    reason="this machine has another malloc than glibc's, or does not tell what a process holds",
)
@pytest.mark.parametrize("model", ["gpt-6-luna", "qwen3-8b"])
def test_a_vocabulary_that_is_forgotten_gives_its_memory_back(model: str) -> None:
    line = [sys.executable, "-c", FORGOTTEN.replace("MODEL", model)]
    told = subprocess.run(line, check=True, capture_output=True, text=True)
    assert int(told.stdout) > 25, "MB"
