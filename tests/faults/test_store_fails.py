"""The store fails once, at each write in turn: before it is done, or after it (the reply is lost). Then run again.

The process does not die here: it sees an error, tidies up as it likes and ends. What it leaves must be as good as what
a kill leaves.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.invariants import Reference
from tests.faults.pipeline import Pipeline
from tests.faults.proxies import Act, When
from tests.faults.test_kill import every_point, judge, undisturbed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Pipeline().write(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def reference(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return undisturbed(manifest, tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize(("when", "act"), [("before", "error"), ("after", "error"), ("before", "broken")])
def test_every_write_fails_once(when: When, act: Act, manifest: Path, reference: Reference, tmp_path: Path) -> None:
    judge(list(every_point(tmp_path, manifest, reference, "store", when, act)), 40)
