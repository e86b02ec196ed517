"""A prompt file as messages whose texts are templates. Floor 2; pure; imports jinja2, so it is itself imported late.

``<!-- system -->``, ``<!-- user -->`` or ``<!-- assistant -->`` alone on a line starts a message; a file without such a
line is one user message. Each message is a sandboxed Jinja template over the row's columns and ``params``. Equal rows
must give equal text on every machine, so there is no randomness, and only texts, numbers and dates are printed. A line
that holds only a {% tag %} leaves no blank line behind.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter
from types import TracebackType
from typing import Any, Literal, cast, get_args

import jinja2
from jinja2 import meta, nodes

from chimera_batch.errors import InputError
from chimera_batch.pipeline.stage import Source
from chimera_batch.requests.sandbox import ENV, Unprintable, allowance, bounded, printed

Role = Literal["system", "user", "assistant"]
Row = Mapping[str, object]

_ROLES: tuple[str, ...] = get_args(Role)
_MARK = re.compile(r"[ \t]*<!--[ \t]*([A-Za-z]+)[ \t]*-->[ \t]*")
_COMMENT = re.compile(r"<!--.*?-->|\{#.*?#\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Hole:
    """A place in a message that each row fills. ``fill`` raises InputError naming file and line, not yet the row."""

    fill: Callable[[Row], str]
    column: str | None = None  # the one column that it shows; None: a message with logic in it

    def texts(self, columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> Iterable[str]:
        """What each row fills in."""
        if self.column is None or self.column not in columns:
            return [self.fill(dict(zip(columns, row, strict=True))) for row in rows]
        values = list(map(itemgetter(columns.index(self.column)), rows))
        if set(map(type, values)) <= {str}:  # all at once, and not a row at a time
            return cast("list[str]", values)
        return [self.fill({self.column: value}) for value in values]


@dataclass(frozen=True, slots=True)
class MessageTemplate:
    """One message: constant texts and holes in turn. A message with logic in it is a single hole."""

    role: Role
    parts: tuple[str | Hole, ...]
    columns: frozenset[str]  # the names that it takes from the row
    where: str

    @property
    def constant(self) -> bool:
        return not any(isinstance(part, Hole) for part in self.parts)

    @property
    def may_be_blank(self) -> bool:
        return not any(isinstance(part, str) and part.strip() for part in self.parts)

    def texts(self, columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> list[str]:
        """The message's text for each row. Raises InputError naming file and line, not yet the row."""
        parts = [repeat(part, len(rows)) if isinstance(part, str) else part.texts(columns, rows) for part in self.parts]
        return list(map("".join, zip(*parts, strict=True)))


def parse(prompt: Source, params: Mapping[str, Any]) -> tuple[MessageTemplate, ...]:
    """The messages of a prompt file. Raises InputError (file:line) for all that can be seen without a row."""
    messages = tuple(_message(prompt, params, *piece) for piece in _pieces(prompt))
    roles = [message.role for message in messages]
    if "system" in roles[1:]:
        late = messages[roles.index("system", 1)]
        raise InputError("there is one system message at most, and it comes first", where=late.where)
    if roles[-1] != "user":
        raise InputError("the last message must be the user's", where=messages[-1].where)
    return messages


def _pieces(prompt: Source) -> Iterator[tuple[Role, str, int]]:
    """(role, text, 1-based line of the text's first line) of each message."""
    role: str | None = None
    start, lines = 1, prompt.text.split("\n")
    for number, line in enumerate([*lines, "<!-- user -->"], 1):  # the mark behind the end closes the last message
        mark = _MARK.fullmatch(line)
        if not mark or not _is_role(mark[1], prompt.where(number)):
            continue
        text = "\n".join(lines[start - 1 : number - 1])
        if role is not None or (number > len(lines) and start == 1):
            yield cast(Role, role or "user"), text, start
        elif _COMMENT.sub("", text).strip():
            raise InputError("there is text before the first message", where=prompt.where(start))
        role, start = mark[1], number + 1


def _is_role(word: str, where: str) -> bool:
    if word in _ROLES:
        return True
    near = difflib.get_close_matches(word.lower(), _ROLES, n=1, cutoff=0.75)
    if near:
        raise InputError(f"<!-- {word} --> starts no message; did you mean <!-- {near[0]} -->?", where=where)
    return False  # an ordinary comment


def _message(prompt: Source, params: Mapping[str, Any], role: Role, text: str, start: int) -> MessageTemplate:
    body = text.strip()
    first = start + text[: len(text) - len(text.lstrip())].count("\n")
    where = prompt.where(first)
    if not body:
        raise InputError(f"the {role} message is empty", where=prompt.where(start - 1 or 1))
    line = first
    try:
        tree = ENV.parse(body)
        for node in tree.find_all(nodes.Node):  # so that every later error tells the file's own line
            node.lineno = (node.lineno or 1) + first - 1  # an operand carries no line of its own
        line = 1
        for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
            raise InputError("a prompt is one file: it cannot include others", where=prompt.where(node.lineno))
        columns = frozenset(meta.find_undeclared_variables(tree) - {"params"} - ENV.globals.keys())
        parts = _plain(tree, prompt, params)
        with allowance():  # constants are worked out now
            template = ENV.from_string(bounded(tree))
    except jinja2.TemplateSyntaxError as error:
        raise InputError(f"{error.message}", where=prompt.where(error.lineno + line - 1)) from None
    except (RecursionError, SyntaxError, ValueError, MemoryError) as error:  # Python's, of what Jinja makes of it
        raise InputError(f"this cannot be used as a template: {_said(error)}", where=where) from None
    if parts is not None and not any(isinstance(part, Hole) or part.strip() for part in parts):
        raise InputError(f"the {role} message is empty", where=where)  # but for comments
    if parts is None:
        parts = (Hole(_logic(template, columns, prompt, params, where)),)
    return MessageTemplate(role, parts, columns, where)


def _plain(tree: nodes.Template, prompt: Source, params: Mapping[str, Any]) -> tuple[str | Hole, ...] | None:
    """The parts of a template that is only text, columns and parameters; None if there is more to it."""
    parts: list[str | Hole] = []
    for output in tree.body:
        for node in output.nodes if isinstance(output, nodes.Output) else [None]:
            if isinstance(node, nodes.TemplateData):
                part: str | Hole | None = node.data
            elif isinstance(node, nodes.Name) and node.name != "params":
                part = Hole(_column(node.name, prompt.where(node.lineno)), node.name)
            else:
                part = _parameter(node, prompt, params)
            if part is None:
                return None
            if parts and isinstance(part, str) and isinstance(parts[-1], str):
                part = parts.pop() + part  # type: ignore[operator]  # the popped part is the str just looked at
            parts.append(part)
    return tuple(parts)


def _column(name: str, where: str) -> Callable[[Row], str]:
    def fill(row: Row) -> str:
        value = row.get(name, row)  # the row itself stands for "no such column": no row holds itself
        if isinstance(value, str):
            return value
        if value is row:
            near = difflib.get_close_matches(name, list(row), n=1)
            also = f"; did you mean `{near[0]}`?" if near else ""
            raise InputError(f"there is no column `{name}`{also}", where=where, hint=f"columns: {', '.join(row)}")
        try:
            return printed(value, name)
        except Unprintable as error:
            raise InputError(f"column `{name}` is {error}", where=where) from None

    return fill


def _parameter(node: nodes.Node | None, prompt: Source, params: Mapping[str, Any]) -> str | None:
    """The text of ``params.a.b``; None if the node is something else."""
    path: list[str] = []
    while isinstance(node, nodes.Getattr):
        path.insert(0, node.attr)
        node = node.node
    if not (path and isinstance(node, nodes.Name) and node.name == "params"):
        return None
    name, value = ".".join(["params", *path]), cast(object, params)
    try:
        for step in path:
            value = ENV.getattr(value, step)
        return printed(value, name)
    except jinja2.UndefinedError:
        message = f"there is no {name} in the manifest"
    except jinja2.TemplateRuntimeError as error:  # the sandbox's
        message = _said(error)
    except Unprintable as error:
        message = f"{name} is {error}"
    raise InputError(message, where=prompt.where(node.lineno))


def _logic(
    template: jinja2.Template, columns: frozenset[str], prompt: Source, params: Mapping[str, Any], where: str
) -> Callable[[Row], str]:
    """The slow road: Jinja renders the whole message."""

    def fill(row: Row) -> str:
        try:
            # Template.render does the same in 2.5 times the time; globals must then be given by hand.
            context = template.new_context({**ENV.globals, **row, "params": params}, shared=True)
            with allowance():
                return "".join(template.root_render_func(context))
        except Exception as error:  # noqa: BLE001 - a template can raise anything; all of it is the person's to mend
            line = _line(template, error.__traceback__)
            nulls = sorted(name for name in columns if row.get(name, "") is None)
            also = f" (NULL here: {', '.join(nulls)})" if nulls and isinstance(error, Unprintable) else ""
            raise InputError(
                f"{_said(error)}{also}",
                where=prompt.where(line) if line else where,
                hint=f"columns: {', '.join(row)}" if isinstance(error, jinja2.UndefinedError) else None,
            ) from None

    return fill


def _said(error: Exception) -> str:
    if isinstance(error, Unprintable):
        return f"what is printed here is {error}"
    if isinstance(error, jinja2.TemplateError):
        return error.message or type(error).__name__
    return f"{type(error).__name__}: {error}"


def _line(template: jinja2.Template, trace: TracebackType | None) -> int | None:
    """The prompt's line at which a rendering stopped: Jinja keeps a table from its generated code to the source."""
    line = None
    while trace is not None:
        if trace.tb_frame.f_globals.get("__jinja_template__") is template:
            line = template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line
