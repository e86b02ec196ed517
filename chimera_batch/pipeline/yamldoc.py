"""A YAML file as plain data that remembers on which line everything stands. Floor 0.

Only YAML 1.2's core scalars are understood, so ``on`` is a word, ``12:30`` is a text and ``2026-01-01`` is a text; keys
are always texts. Tags that would build objects are refused, and so is a key that is written twice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from chimera_batch.errors import InputError

Loc = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the top of the document."""

_DEEPEST = 60  # nesting that no person writes
_LARGEST = 200_000  # values after aliases are followed: stops a file that unfolds into billions
_TOO_DEEP = "nested too deeply or too large"
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """PyYAML's reader with the scalars of YAML 1.2 in place of 1.1's surprises."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own attribute


def _resolve(tag: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(_TAG + tag, re.compile(pattern), list(first))


_resolve("null", r"^(?:~|null|Null|NULL|)$", "~nN")
_Loader.yaml_implicit_resolvers.setdefault("", []).append((_TAG + "null", re.compile(r"^$")))
_resolve("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF")
_resolve("int", r"^[-+]?[0-9][0-9_]*$", "-+0123456789")
_resolve("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+0123456789.")
_resolve("float", r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", "-+.")
_resolve("merge", r"^<<$", "<")


@dataclass(frozen=True)
class Document:
    """Parsed data with the lines of its values. ``data`` is None for an empty file."""

    path: Path
    data: Any
    lines: dict[Loc, int] = field(repr=False)

    def known(self, loc: Sequence[str | int]) -> Loc:
        """The part of ``loc`` that exists in the file; steps that are not in it are left out."""
        here: Loc = ()
        for step in loc:
            if (*here, step) in self.lines:
                here = (*here, step)
        return here

    def where(self, *loc: str | int) -> str:
        """``file:line`` of a value, or of the nearest thing around it that is written in the file."""
        return f"{self.path}:{self.lines.get(self.known(loc), 1)}"

    def at(self, loc: Loc) -> Any:
        """The value that stands at ``loc``, which must be ``known``."""
        value = self.data
        for step in loc:
            value = value[step]
        return value


def report(path: Path, problems: Sequence[tuple[str, str]], hint: str | None = None) -> InputError:
    """One error out of all ``(file:line, message)`` that were found."""
    if len(problems) == 1:
        where, message = problems[0]
        return InputError(message, where=where, hint=hint)
    lines = "".join(f"\n  {where}: {message}" for where, message in problems)
    return InputError(f"{len(problems)} problems{lines}", where=str(path), hint=hint)


def parse(text: str, path: Path) -> Document:
    """Read YAML text. Raises InputError with every duplicate key and unusable value, or with the syntax error."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        said = " ".join(part for part in (error.context, error.problem) if part)
        raise InputError(f"not valid YAML: {said}", where=f"{path}:{line}") from None
    except yaml.YAMLError as error:  # e.g. a control character, which carries no mark
        raise InputError(f"not valid YAML: {error}", where=str(path)) from None
    except RecursionError:
        raise InputError(_TOO_DEEP, where=str(path)) from None
    reader = _Reader(path)
    data = None if node is None else reader.value(node, ())
    if reader.problems:
        raise report(path, reader.problems)
    return Document(path, data, reader.lines)


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[Loc, int] = {(): 1}
        self.problems: list[tuple[str, str]] = []
        self.values = 0

    def problem(self, node: yaml.Node, message: str) -> None:
        self.problems.append((f"{self.path}:{node.start_mark.line + 1}", message))

    def value(self, node: yaml.Node, loc: Loc) -> Any:
        self.lines.setdefault(loc, node.start_mark.line + 1)
        self.values += 1
        if len(loc) > _DEEPEST or self.values > _LARGEST:
            raise InputError(_TOO_DEEP, where=f"{self.path}:{node.start_mark.line + 1}")
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self.mapping(node, loc)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(item, (*loc, n)) for n, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        self.problem(node, f"the tag {node.tag} is not used here")
        return None

    def mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        out: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.problem(key, "a key must be a word")
            elif key.tag == _TAG + "merge":
                merged = {**self.merge(value, loc), **merged}
            elif key.value in out:
                first = self.lines[(*loc, key.value)]
                self.problem(key, f"`{key.value}` is written twice (first on line {first})")
            else:
                self.lines[(*loc, key.value)] = key.start_mark.line + 1
                out[key.value] = self.value(value, (*loc, key.value))
        return {**merged, **out}

    def merge(self, node: yaml.Node, loc: Loc) -> dict[str, Any]:
        """``<<: *base`` or ``<<: [*a, *b]``: earlier ones win, and what is written beside it wins over all."""
        out: dict[str, Any] = {}
        for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(part, yaml.MappingNode):
                out = {**self.mapping(part, loc), **out}
            else:
                self.problem(part, "`<<` takes a mapping")
        return out

    def scalar(self, node: yaml.ScalarNode) -> Any:
        convert = _SCALARS.get(node.tag)
        if convert is None:
            self.problem(node, f"the tag {node.tag} is not used here")
            return None
        try:
            return convert(node.value)
        except ValueError:  # also an int of thousands of digits
            kind = "text" if node.tag == _TAG + "str" else "number"
            self.problem(node, f"{node.value[:40]!a} is not a usable {kind}")
            return None


def _text(text: str) -> str:
    """Refuses the lone surrogates that YAML's escapes can spell: they can be written nowhere."""
    text.encode()
    return text


def _number(text: str) -> float:
    """A finite float: JSON, money and templates have no use for the others."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


_SCALARS: dict[str, Callable[[str], Any]] = {
    _TAG + "str": _text,
    _TAG + "null": lambda text: None,
    _TAG + "bool": lambda text: text.lower() == "true",
    _TAG + "int": int,
    _TAG + "float": _number,
}
