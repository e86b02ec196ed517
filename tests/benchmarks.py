"""Benchmark files of our own in the shapes of the known ones: questions of the rehearsal's families, never theirs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from chimera_batch.rehearsal.minds.catalogue import families
from chimera_batch.rehearsal.minds.dice import dice
from chimera_batch.rehearsal.minds.family import Family
from chimera_batch.rehearsal.minds.values import near
from tests.conftest import ROOT

Row = dict[str, Any]


def problems(count: int, seed: object, of: Sequence[Family] = ()) -> Iterator[tuple[Family, str, str]]:
    """Family, question and right answer, the families in turn."""
    chosen = [*(of or families())]
    dice("order").shuffle(chosen)  # else the first few are all of one subject
    for number in range(count):
        rng = dice("benchmark", seed, number)
        family = chosen[number % len(chosen)]
        question, params = family.make(rng, family.name.replace("_", " "))
        yield family, question, family.solve(params)


def aime(count: int, seed: object = 0) -> list[Row]:
    """Problem and a whole number as answer, as AIME and HMMT files have them."""
    whole = [family for family in families() if family.kind == "integer"]
    return [
        {"id": f"aime-{number:03d}", "problem": question, "answer": int(answer)}
        for number, (_, question, answer) in enumerate(problems(count, ("aime", seed), whole), 1)
    ]


def gpqa(count: int, seed: object = 0) -> list[Row]:
    """A right and three wrong answers, under GPQA's column names."""
    rows = []
    for number, (family, question, answer) in enumerate(problems(count, ("gpqa", seed)), 1):
        rng, wrong = dice("options", seed, number), list[str]()
        while len(wrong) < 3:
            other = near(answer, rng)
            wrong += [other] if other not in wrong else []
        names = (f"Incorrect Answer {place}" for place in (1, 2, 3))
        told = {"id": f"gpqa-{number:03d}", "Question": question, "Correct Answer": answer}
        rows.append(told | dict(zip(names, wrong, strict=True)) | {"High-level domain": family.subject})
    return rows


def hle(count: int, seed: object = 0) -> list[Row]:
    """HLE's columns; every fourth question has a picture, and is none for a model that reads text."""
    return [
        {
            "id": f"hle-{number:03d}",
            "question": question,
            "image": "data:image/png;base64,iVBORw0KGgo=" if number % 4 == 0 else "",
            "answer": answer,
            "answer_type": "exactMatch",
            "category": family.subject,
        }
        for number, (family, question, answer) in enumerate(problems(count, ("hle", seed)), 1)
    ]


def write(path: Path, rows: Iterable[Row], **more: Any) -> Path:
    """As JSON lines, with the columns of ``more`` added to each row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row | more, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def manifest(folder: Path, name: str, **changes: Any) -> Path:
    """A shipped manifest laid into ``folder`` with changes: ``params`` and ``stages`` are merged, by key and by name.

    The files that it names beside SQL and prompts are looked for where they ship.
    """
    told = yaml.safe_load((ROOT / "manifests" / f"{name}.yaml").read_text(encoding="utf-8"))
    if "prices" in told:
        told["prices"] = str(ROOT / "manifests" / told["prices"])
    stages = changes.pop("stages", {})
    for stage in told["stages"]:
        if "file" in stage:
            stage["file"] = str(ROOT / "manifests" / stage["file"])
        stage.update(stages.get(stage["name"], {}))
    told["params"] = told.get("params", {}) | changes.pop("params", {})
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(told | changes, sort_keys=False), encoding="utf-8")
    return path


def plain(count: int, seed: object = 0) -> list[Row]:
    """Question and right answer."""
    listed = enumerate(problems(count, ("plain", seed)), 1)
    return [
        {"id": f"plain-{number:04d}", "question": question, "answer": answer, "subject": family.subject}
        for number, (family, question, answer) in listed
    ]


def candidates(count: int, wrong_every: int = 4, seed: object = 0) -> list[Row]:
    """Questions with the answers that some collection claims: every so many-th is wrong (``minds.fault_of`` tells)."""
    rows = []
    for number, (_, question, answer) in enumerate(problems(count, ("candidates", seed)), 1):
        claimed = near(answer, dice("claimed", seed, number)) if number % wrong_every == 0 else answer
        rows.append({"id": f"row-{number:04d}", "question": question, "answer": claimed, "source": "ours"})
    return rows


def texts(count: int, seed: object = 0) -> list[Row]:
    """Raw passages: what a few families are about, said in a row, with the numbers of a case."""
    rows = []
    listed = iter(problems(5 * count, ("texts", seed)))
    for number in range(1, count + 1):
        told = []
        for family, _, _ in islice(listed, 5):
            params = family.draw(dice("text", seed, number, family.name))
            told += [family.setup.format_map(family.shown(params)), family.method, f"Here {family.claim(params)}."]
        rows.append({"id": f"text-{number:03d}", "text": " ".join(told)})
    return rows


def trained_on(count: int, seed: object = 0) -> list[Row]:
    """Whole texts to train on, of very different lengths."""
    return [
        {"id": f"{seed}-{number:04d}", "text": f"{question}\n\n{family.method} " * (1 + number % 4) + answer}
        for number, (family, question, answer) in enumerate(problems(count, ("trained", seed)), 1)
    ]
