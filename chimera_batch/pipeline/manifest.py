"""The manifest: the YAML file that describes a run, checked as far as it can be without opening any other file.

Every problem is reported with ``file:line``, all problems at once. Floor 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from chimera_batch.errors import InputError
from chimera_batch.pipeline.shape import Manifest
from chimera_batch.pipeline.shape_stage import AskStage
from chimera_batch.pipeline.shape_values import Strict
from chimera_batch.pipeline.yamldoc import Document, Loc, parse, report

_ENGINE = """
    answers asked attempts batches best charged choices closed_ids closed_rounds costs drawn fates flying
    flying_shards forgiven fresh_asked fresh_keys fresh_known fresh_landed fresh_members fresh_packed fresh_rows
    fresh_todo history hosts_left ids ids_at_left kept keys landed landed_here landed_left later_table left_ids
    made_rows marked members offers ok_at_left outcomes params picked placed_before placed_ids previous quotes
    sent sent_left stage_table stages standing standing_before standings swept swept_lines traced whole_shards
"""
RESERVED = frozenset(_ENGINE.split())
"""Table names that the warehouse gives its own views, so no stage may have them."""

_SQL = """
    all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create default
    deferrable desc describe distinct do else end except false fetch for foreign from group having in initially
    intersect into lambda lateral leading limit not null offset on only or order pivot pivot_longer pivot_wider placing
    primary qualify references returning select show some summarize symmetric table then to trailing true union unique
    unpivot using variadic when where window with
"""
SQL_WORDS = frozenset(_SQL.split())
"""DuckDB's reserved words: as a stage name each would need quotes in every query."""

_OURS = frozenset({"model", "messages", "input", "instructions", "system", "stream", "n"}) | frozenset(
    {"max_tokens", "max_completion_tokens", "max_output_tokens", "service_tier"}
)
"""Body fields that the engine writes itself; ``extra`` may not overrule them."""


def load(path: Path) -> tuple[Manifest, Document]:
    """Read and check a manifest file; the Document tells where each part stands.

    Raises InputError listing every problem as ``file:line: message``.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError("there is no such manifest", where=str(path), hint="chimera-batch init my-pipeline") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from None
    return check(parse(text, path))


def check(document: Document) -> tuple[Manifest, Document]:
    """The manifest in a parsed file. Raises InputError like ``load``."""
    if not isinstance(document.data, dict):
        raise InputError("a manifest is a mapping that starts with `run:`", where=f"{document.path}:1")
    seen: dict[int, type[Strict]] = {}
    try:
        manifest = Manifest.model_validate(document.data, context=seen)
    except ValidationError as error:
        found = [_explain(document, detail, seen) for detail in error.errors()]
    else:
        found = [(document.where(*loc), message) for loc, message in _cross_checks(manifest)]
        if not found:
            return manifest, document
    raise report(document.path, sorted(dict.fromkeys(found), key=_by_line))


def _by_line(problem: tuple[str, str]) -> int:
    return int(problem[0].rpartition(":")[2])


def _explain(document: Document, detail: ErrorDetails, seen: Mapping[int, type[Strict]]) -> tuple[str, str]:
    """One of pydantic's findings in the manifest's own words, with its line."""
    loc = detail["loc"]
    where, name = document.where(*loc), _name(document, document.known(loc))
    if detail["type"] == "missing":
        return where, f"`{loc[-1]}` is missing" + (f" in `{name}`" if name else "")
    if detail["type"] == "extra_forbidden":
        parent = document.at(document.known(loc)[:-1])
        return where, f"unknown key `{loc[-1]}`" + suggestion(str(loc[-1]), _keys(seen.get(id(parent))))
    said = detail["msg"][:1].lower() + detail["msg"][1:]
    given = "" if isinstance(detail["input"], dict | list) else f" (it is {detail['input']!r})"
    return where, f"`{name}`: {said}{given}" if name else f"{said}{given}"


def _keys(model: type[Strict] | None) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _name(document: Document, loc: Loc) -> str:
    """What a person calls the thing at ``loc``: a stage by its name, anything else by its key."""
    value = document.at(loc)
    named = value.get("name") if loc and isinstance(loc[-1], int) and isinstance(value, dict) else None
    return named if isinstance(named, str) else next((step for step in reversed(loc) if isinstance(step, str)), "")


def suggestion(word: str, known: list[str]) -> str:
    """``; did you mean `x`?`` when one of the known words is near, else the empty text."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def _cross_checks(manifest: Manifest) -> Iterator[tuple[Loc, str]]:
    """What only the whole shows: names that must be unique, defined, or defined earlier."""
    earlier: list[str] = []
    for number, stage in enumerate(manifest.stages):
        here: Loc = ("stages", number)
        if stage.name in RESERVED:
            yield (*here, "name"), f"`{stage.name}` is a table of the engine's own; give the stage another name"
        if stage.name in SQL_WORDS:
            yield (*here, "name"), f"`{stage.name}` is a word of SQL; give the stage another name"
        if stage.name in earlier:
            yield (*here, "name"), f"a stage named `{stage.name}` stands above already"
        if isinstance(stage, AskStage):
            if stage.ask not in manifest.models:
                near = suggestion(stage.ask, list(manifest.models))
                yield (*here, "ask"), f"`{stage.ask}` is not among the models{near}"
            for name in stage.assume.rows_per:
                if name not in earlier:
                    yield (*here, "assume", "rows_per", name), f"`{name}` is not a stage above this one"
        earlier.append(stage.name)
    yield from _waves(manifest)
    for name, choices in manifest.models.items():
        for number, choice in enumerate(choices):
            for key in sorted(_OURS & choice.extra.keys()):
                yield ("models", name, number, "extra", key), f"`extra` may not set `{key}`: the engine writes it"


def _waves(manifest: Manifest) -> Iterator[tuple[Loc, str]]:
    """Rounds that wait for a later stage: it must be there, and no other stage's rounds may reach into theirs."""
    names = [stage.name for stage in manifest.stages]
    over = -1  # where the last wave so far is sized
    for number, stage in enumerate(manifest.stages):
        rounds = stage.rounds if isinstance(stage, AskStage) else None
        here: Loc = ("stages", number, "rounds")
        for name in rounds.sized_by if rounds else ():
            if name not in manifest.params:
                near = suggestion(name, list(manifest.params))
                yield (*here, "sized_by"), f"`{name}` is not among the params{near}"
        if rounds is None or rounds.after is None:
            continue
        if rounds.after not in names[number + 1 :]:
            near = suggestion(rounds.after, names[number + 1 :])
            yield (*here, "after"), f"`{rounds.after}` is not a stage below this one{near}"
        elif number <= over:
            yield (*here, "after"), f"the rounds of a stage above wait for `{names[over]}`: waves may not overlap"
        else:
            over = names.index(rounds.after)
