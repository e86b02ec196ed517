"""The catalogue is complete, and everything that it points to is there: an entry without an injection fails."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bench.bad_nights import NIGHTS
from tests.conftest import ROOT, SHARED
from tests.faults import damages
from tests.faults.sim import schedule
from tests.faults.wire import ENDPOINTS

CATALOGUE: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("catalogue.toml").read_text("utf-8"))
DIALECTS = ("openai", "anthropic", "bedrock", "now")
NEEDS = {"O": {"openai"}, "A": {"anthropic"}, "B": {"bedrock"}, "T": set(DIALECTS)}
KNOWN = {"O": 37, "A": 21, "T": 11, "B": 7}
_BY_NAME = {night.name: night for night in NIGHTS}


def places(entry: dict[str, Any], dialect: str) -> list[str]:
    said = entry.get(dialect, [])
    return said if isinstance(said, list) else []


@cache
def named_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def missing(place: str, dialect: str) -> str | None:
    """Why a place does not play a fault in a dialect; None where it does."""
    kind, _, name = place.partition(":")
    if kind == "night":
        night = _BY_NAME.get(name)
        return None if night and dialect in night.dialects else f"no night {name} of {dialect}"
    if kind == "sim":
        kinds = {fault.kind for seed in range(60) for fault in schedule.draw(seed)}
        return None if name in kinds else f"the simulated weeks draw no {name}"
    if kind == "wire":
        damage, _, endpoint = name.partition("@")
        right = endpoint.endswith(".ask") if dialect == "now" else endpoint.startswith(f"{dialect}.")
        return None if damage in damages.ALL and endpoint in ENDPOINTS and right else f"no damage {place} of {dialect}"
    path, _, test = place.partition("::")
    found = (ROOT / path).is_file() and test in named_in(path)
    return None if found and test.startswith("test_") else f"no test {place}"


def test_every_known_fault_is_in_the_catalogue() -> None:
    assert set(CATALOGUE) == {f"{letter}{n}" for letter, most in KNOWN.items() for n in range(1, most + 1)}
    for name, entry in CATALOGUE.items():
        assert set(entry) <= {"what", "must", *DIALECTS}, name
        assert entry["what"] and entry["must"], name


def test_it_is_the_catalogue_that_was_gathered() -> None:
    """The list of what can go wrong lies beside a developer's checkout."""
    page = SHARED / "reference" / "faults.md"
    if not page.is_file():
        pytest.skip("the gathered catalogue is not beside this checkout")
    gathered = set(re.findall(r"^- \[ \] \*\*([OAT]\d+) ", page.read_text("utf-8"), re.MULTILINE))
    assert len(gathered) > 60
    assert gathered <= set(CATALOGUE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_entry_is_injected_where_it_applies(name: str) -> None:
    entry = CATALOGUE[name]
    for dialect in NEEDS[name[0]]:
        said = entry.get(dialect)
        assert said, f"{name} ({entry['what']}) is not injected for {dialect}"
        assert isinstance(said, list) or dialect != {"O": "openai", "A": "anthropic", "B": "bedrock"}.get(name[0])
    wrong = [why for dialect in DIALECTS for place in places(entry, dialect) if (why := missing(place, dialect))]
    assert wrong == []


def test_every_damage_of_the_wire_is_of_some_entry_or_a_variation() -> None:
    """What the proxy can do is there because a host or a gateway did it."""
    named = {p.partition(":")[2].partition("@")[0] for e in CATALOGUE.values() for d in DIALECTS for p in places(e, d)}
    variations = {"429", "500", "500 after", "529 after", "reset before", "short, told", "short, in chunks", "empty id"}
    assert damages.ALL.keys() - named - variations <= {"invalid utf-8", "nul", "no length", "unknown fields"}


@pytest.mark.parametrize(
    ("place", "dialect"),
    [
        ("night:rows-mising", "openai"),
        ("night:rows-null", "anthropic"),
        ("sim:earthquake", "openai"),
        ("wire:503@anthropic.poll", "openai"),
        ("wire:503@openai.poll", "now"),
        ("wire:earthquake@openai.poll", "openai"),
        ("tests/faults/test_ends.py::test_nothing", "openai"),
        ("tests/faults/test_nowhere.py::test_nothing", "openai"),
        ("tests/faults/test_ends.py::hostile", "openai"),
    ],
)
def test_a_place_that_is_not_there_is_found_out(place: str, dialect: str) -> None:
    assert missing(place, dialect)
