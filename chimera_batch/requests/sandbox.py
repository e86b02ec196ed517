"""The language of prompts: Jinja's sandbox without chance, and with an end. Floor 2; pure; imports jinja2, so late.

A prompt of somebody else's must not be able to take this process along. So each message has an allowance: every item of
a loop, every call and every filter is a step, and text that they make costs more the longer it is. What would take more
raises SecurityError, which names what took it. Values that one operation could blow up are refused beforehand.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, time, timedelta
from decimal import Decimal
from functools import wraps
from typing import Any
from uuid import UUID

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

STEPS = 1_000_000
"""Of one message: about a second. A loop over all rows of a long table is a thousandth of it."""

LARGEST = 4_000_000
"""Characters of a text or items of a list that one operation may make."""

_PER_STEP = 100  # characters that a step pays for
_ITEMS = 10  # of a list
_BITS = 4_096  # of a whole number: more than anybody can print
_ARGUMENT = 100_000  # widths, counts: Jinja's own limit of range()

_PRINTED = (str, int, float, Decimal, date, time, timedelta, UUID)
_WIDE = re.compile(r"%[^a-zA-Z%]*(?:\d{6}|\*)|\{[^{}]*:[^{}]*(?:\d{6}|\{)")
"""A field of a format whose width is huge, or comes from elsewhere."""


_TOO_WIDE = "a format with such a width is not allowed"
_WIDENED = {"indent", "expandtabs", "wordwrap", "translate", "tojson", "xmlattr", "pprint"}
"""What can make a text so many times as long as an argument says."""

_HOLDS = (list, tuple, set, dict, Namespace)


class Unprintable(Exception):
    """A value that has no one way of being written as text."""


def printed(value: object, name: str = "name") -> str:
    """A value as a template writes it. Raises Unprintable for NULL, lists, structs and what else a row may hold.

    ``name``: what the template calls it.
    """
    if isinstance(value, _PRINTED):
        return str(value)
    if value is None:
        raise Unprintable(f'NULL; write {{{{ {name} or "" }}}} or {{% if {name} %}}')
    if isinstance(value, list | tuple | dict):
        raise Unprintable(f'a list or struct; write {{{{ {name} | join(", ") }}}}, {{{{ {name} | tojson }}}} or a loop')
    if isinstance(value, jinja2.Undefined):
        return str(value)  # raises UndefinedError with the name in it
    raise Unprintable(f"a {type(value).__name__}, which is not text")


class _Allowance(threading.local):
    """The steps that are left to the message that this thread renders."""

    left = STEPS


_ALLOWANCE = _Allowance()


@contextmanager
def allowance() -> Iterator[None]:
    """A message's own steps."""
    before, _ALLOWANCE.left = _ALLOWANCE.left, STEPS
    try:
        yield
    finally:
        _ALLOWANCE.left = before


def _take(steps: int) -> None:
    _ALLOWANCE.left -= steps
    if _ALLOWANCE.left < 0:
        raise SecurityError(f"this takes more than {STEPS:,} steps of loops, calls and text")


def _sized(size: int) -> None:
    if size > LARGEST:
        raise SecurityError(f"this makes a text or list of more than {LARGEST:,} characters or items")


def _unfolded(value: Any) -> int:
    """How many values a value holds: what is held twice counts twice, since writing or comparing it does."""
    count, open_ = 0, [value]
    while open_:
        one = open_.pop()
        count += 1
        _sized(count)
        if isinstance(one, list | tuple | set):
            open_ += one
        elif isinstance(one, dict):
            open_ += one.values()
        elif isinstance(one, Namespace):
            open_.append(one._Namespace__attrs)
    return count


def _paid(value: Any) -> Any:
    """A value that an operation made, once it is paid for; what comes bit by bit is paid so."""
    if isinstance(value, str):
        _sized(len(value))
        _take(1 + len(value) // _PER_STEP)
    elif isinstance(value, _HOLDS):
        _take(1 + _unfolded(value) // _ITEMS)
    else:
        _take(1)
    return _Counted(value, 1) if isinstance(value, Iterator) else value


class _Counted:
    """What a loop goes through: every item is paid for. As long as what it holds, for ``loop.length``."""

    def __init__(self, items: Iterable[Any], steps: int) -> None:
        self._items, self._steps = items, steps

    def __len__(self) -> int:
        return len(self._items)  # type: ignore[arg-type]  # a TypeError says to Jinja that the length is not known

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            _take(self._steps + (len(item) // _PER_STEP if isinstance(item, str) else 0))
            yield item


def _checked(name: str, first: Any, others: Sequence[Any]) -> None:
    """Refuse arguments of a call or filter that could make something huge before it can be paid for.

    ``first``: what a method belongs to or a filter is given.
    """
    for value in others:
        if isinstance(value, int) and abs(value) > _ARGUMENT:
            raise SecurityError(f"{name}: {value} is too large a number here")
    if isinstance(first, Namespace):
        _paid(first)
    text = first if isinstance(first, str) else ""
    texts = [value for value in others if isinstance(value, str)]
    if name == "format" and _WIDE.search(text):
        raise SecurityError(_TOO_WIDE)
    if name == "replace" and len(texts) > 1:
        _sized(len(text) + text.count(texts[0]) * len(texts[1]))
    elif name in _WIDENED:
        widest = max([8, *(value for value in others if type(value) is int), *map(len, texts)])
        _sized(widest * (len(text) + _unfolded(first)))
    elif name == "join":
        _join_sized(first, others[0] if others else "")
    elif name == "sum" and any(isinstance(value, _HOLDS) for value in others):
        raise SecurityError("sum() adds numbers")


def _join_sized(first: Any, other: Any) -> None:
    """Both ways round: ``items | join(between)`` and ``between.join(items)``."""
    between, items = (first, other) if isinstance(first, str) else (other, first)
    if isinstance(between, str) and isinstance(items, list | tuple):
        _sized(sum(len(item) if isinstance(item, str) else 1 for item in items) + len(between) * len(items))


def _bounded(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that is paid for. ``wraps`` keeps Jinja's mark of what it wants to be given first."""
    given = 1 if hasattr(call, "jinja_pass_arg") else 0

    @wraps(call)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        _checked(name, args[given] if len(args) > given else None, [*args[given + 1 :], *kwargs.values()])
        return _paid(call(*args, **kwargs))

    return bounded


def _joined(items: Iterable[Any]) -> Any:
    """``a ~ b``."""
    return _paid("".join(map(str, items)))


def _tojson(value: object, indent: int | None = None) -> str:
    """JSON as a model should read it: Jinja's own filter escapes < > & ' for web pages."""
    return json.dumps(value, ensure_ascii=False, indent=indent, default=printed)


def _written(value: object) -> str:
    text = printed(value)
    _take(len(text) // _PER_STEP)
    return text


class _Bounds(NodeTransformer):
    """Puts the counting into a template: around what loops go through, and in place of ``~``."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        self.generic_visit(node)
        constant = sum(len(part.data) for part in node.find_all(nodes.TemplateData))
        steps = nodes.Const(1 + constant // _PER_STEP, lineno=node.lineno)
        node.iter = nodes.Filter(node.iter, "_counted", [steps], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, "_joined", [], [], None, None, lineno=node.lineno)

    def _made(self, node: nodes.List | nodes.Tuple | nodes.Dict) -> nodes.Expr:
        self.generic_visit(node)
        if getattr(node, "ctx", "load") != "load":
            return node
        return nodes.Filter(node, "_made", [], [], None, None, lineno=node.lineno)

    visit_List = visit_Tuple = visit_Dict = _made


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``params.items`` is the key ``items`` if there is one, before any method of that name."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """``'…'.format``: Jinja guards what its fields reach, this how wide they are."""
        wrapped = super().wrap_str_format(value)
        if wrapped is not None and _WIDE.search(value.__self__):
            raise SecurityError(_TOO_WIDE)
        return wrapped

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(obj, LoopContext) and args:
            args = (_Counted(args[0], 1), *args[1:])
        if obj is not safe_range:
            _checked(getattr(obj, "__name__", ""), getattr(obj, "__self__", None), [*args, *kwargs.values()])
        return _paid(super().call(context, obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Refuses what would be huge before it is made."""
        whole = isinstance(left, int) and isinstance(right, int)
        sizes = [len(side) if isinstance(side, str | list | tuple) else 0 for side in (left, right)]
        if operator == "+":
            _sized(sum(sizes))
        elif operator == "*" and any(sizes):
            _sized(max(sizes) * max(side for side in (left, right, 0) if isinstance(side, int)))
        if operator == "%" and isinstance(left, str) and _WIDE.search(left):
            raise SecurityError(_TOO_WIDE)
        if whole and operator in {"*", "**"}:
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            if bits > _BITS:
                raise SecurityError(f"this makes a number of more than {_BITS:,} bits")
        return _paid(super().call_binop(context, operator, left, right))


def _environment() -> _Environment:
    env = _Environment(undefined=jinja2.StrictUndefined, finalize=_written, trim_blocks=True, lstrip_blocks=True)
    del env.filters["random"]
    env.filters["tojson"] = _tojson
    env.filters = {name: _bounded(name, call) for name, call in env.filters.items()}
    env.filters |= {"_counted": _Counted, "_joined": _joined, "_made": _paid}
    env.globals = {name: env.globals[name] for name in ("range", "dict", "namespace")}
    return env


ENV = _environment()


def bounded(tree: nodes.Template) -> nodes.Template:
    """The same template, counting."""
    done: nodes.Template = _Bounds().visit(tree)
    return done
