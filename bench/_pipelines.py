"""The runs that ``bench.savings`` compares, as project folders: CHIMERA with every saving on, each one off, and naive.

What they are is data: ``bench/savings/bench.yaml``.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent / "savings"
CHIMERA = HERE.parent.parent / "manifests" / "chimera.yaml"
ALL, NAIVE = "all", "naive"
_BY_NAME = ("stages",)  # lists of a manifest whose entries a patch finds by `name`

Patch = Mapping[str, Any]


@cache
def bench() -> dict[str, Any]:
    return dict(yaml.safe_load((HERE / "bench.yaml").read_text("utf-8")))


def _chimera() -> dict[str, Any]:
    return dict(yaml.safe_load(CHIMERA.read_text("utf-8")))


def names() -> list[str]:
    """All runs, in the order of the table."""
    return [NAIVE, ALL, *bench()["techniques"]]


def patches(name: str) -> list[Patch]:
    """What is laid over the manifest for one run, in turn. A technique's name is the run without it."""
    told = bench()
    off = {technique: said["without"] for technique, said in told["techniques"].items()}
    if name not in {ALL, NAIVE, *off}:
        raise KeyError(name)
    without = [*off.values(), told["naive"]] if name == NAIVE else [off[name]] if name in off else []
    return [told["common"], told["savings"], *without]


def manifest(name: str, scale: float = 1.0, seed: int = 1) -> dict[str, Any]:
    """The whole manifest of a run; ``scale`` shrinks the quotas of topics and the target alike."""
    made = _chimera()
    asked = [stage["name"] for stage in made["stages"] if "ask" in stage]
    for patch in patches(name):
        each = {stage: patch.get("every_ask", {}) for stage in asked}
        for one in ({"stages": each}, {k: v for k, v in patch.items() if k not in {"every_ask", "files"}}):
            made = laid_over(made, one)
    params = made["params"]
    for subject in params["subjects"]:
        subject["topics"] = max(1, round(subject["topics"] * scale))
    if params["problems"] is not None:
        params["problems"] = target(scale)
    made["rehearsal"]["seed"] = seed
    return made


def target(scale: float = 1.0) -> int:
    """Problems that every run has to keep, in all."""
    return round(int(_chimera()["params"]["problems"]) * scale)


def targets(scale: float = 1.0) -> dict[str, int]:
    """The target shared out by the subjects' quotas, as ``problems_enough.sql`` does it: largest remainders first."""
    quotas = {one["subject"]: one["topics"] for one in manifest(ALL, scale)["params"]["subjects"]}
    whole, wanted = sum(quotas.values()), target(scale)
    shares = {subject: wanted * quota // whole for subject, quota in quotas.items()}
    by_rest = sorted(quotas, key=lambda subject: (-(wanted * quotas[subject] % whole), subject))
    for subject in by_rest[: wanted - sum(shares.values())]:
        shares[subject] += 1
    return shares


def files(name: str) -> dict[str, Path]:
    """The SQL that a run has in place of the shipped one: path in the project -> file."""
    found: dict[str, Path] = {}
    for patch in patches(name):
        for path, source in patch.get("files", {}).items():
            found.pop(path, None)
            if source is not None:
                found[path] = HERE / source
    return found


def write(name: str, folder: Path, *, scale: float = 1.0, seed: int = 1) -> Path:
    """Make the project of a run in ``folder``; returns its manifest. What it lacks is found among the shipped files."""
    for path, source in {**files(name), "prices.toml": HERE / "prices.toml"}.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)
    made = folder / "chimera.yaml"
    made.write_text(yaml.safe_dump(manifest(name, scale, seed), sort_keys=False, allow_unicode=True), "utf-8")
    return made


def laid_over(base: Any, patch: Any) -> Any:
    """``patch`` over ``base``: mappings key by key, lists of named entries by name, everything else replaced."""
    if isinstance(base, Mapping) and isinstance(patch, Mapping):
        return {
            **base,
            **{
                key: _named(base[key], value) if key in _BY_NAME and key in base else laid_over(base.get(key), value)
                for key, value in patch.items()
            },
        }
    return patch


def _named(entries: Sequence[Mapping[str, Any]], patch: Mapping[str, Any]) -> list[Any]:
    known = {entry["name"] for entry in entries}
    if strange := sorted(set(patch) - known):
        raise KeyError(f"there is no {', '.join(strange)} to lay a patch over")
    return [laid_over(entry, patch[entry["name"]]) if entry["name"] in patch else entry for entry in entries]
