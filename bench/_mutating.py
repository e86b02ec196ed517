"""Small changes of a module's meaning, one at a time. Pure: a syntax tree in, places and what could stand there out.

Left alone are annotations, decorators, docstrings, imports, aliases of types, and prose: a text with a space in it, or
in an error that is raised, is for a person to read, and no test should hold its every letter. So is ``strict`` of zip.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_NAMES = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "floor": "ceil",
    "ceil": "floor",
    "sorted": "list",
    "ROUND_UP": "ROUND_DOWN",
    "ROUND_DOWN": "ROUND_UP",
    "ROUND_CEILING": "ROUND_FLOOR",
    "ROUND_FLOOR": "ROUND_CEILING",
    "ROUND_HALF_UP": "ROUND_DOWN",
    "ROUND_HALF_EVEN": "ROUND_UP",
}
_NOT_ENTERED = {"annotation", "returns", "decorator_list", "type_params"}
_LONGEST = 40  # characters of a text that is data and not prose


@dataclass(frozen=True, eq=False)
class Mutant:
    """One change. ``line`` to ``end``: the statement that holds it; ``said``: how it reads, without line numbers."""

    where: str  # function, dotted; "" at the top of the module
    line: int
    end: int
    said: str
    parent: ast.AST
    field: str
    index: int | None
    node: ast.AST

    def apply(self) -> None:
        """Make the change in the tree that it was found in."""
        if self.index is None:
            setattr(self.parent, self.field, self.node)
        else:
            getattr(self.parent, self.field)[self.index] = self.node


def mutants(tree: ast.Module) -> Iterator[Mutant]:
    """Every change of a module, in the order of its text. The tree is left as it is until one is applied."""
    yield from _Finder().inside(tree, "", tree)


class _Finder:
    def inside(self, node: ast.AST, where: str, statement: ast.AST) -> Iterator[Mutant]:
        for field, value in ast.iter_fields(node):
            if field in _NOT_ENTERED:
                continue
            children = enumerate(value) if isinstance(value, list) else [(None, value)]
            for index, child in children:
                if isinstance(child, ast.AST) and not _left_alone(child, node, index):
                    yield from self.at(child, where, statement, (node, field, index))

    def at(
        self, node: ast.AST, where: str, statement: ast.AST, place: tuple[ast.AST, str, int | None]
    ) -> Iterator[Mutant]:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            where = f"{where}.{node.name}".lstrip(".")
        statement = node if isinstance(node, ast.stmt | ast.ExceptHandler) else statement
        for other in _others(node, place[0], place[1]):
            said = f"{_text(node)}  ->  {_text(other)}"
            line, end = _lines(node, statement)
            yield Mutant(where, line, end, said, *place, ast.copy_location(other, node))
        yield from self.inside(node, where, statement)


def _lines(node: ast.AST, statement: ast.AST) -> tuple[int, int]:
    """The lines that run when the change matters: the node's own, or the head of its statement."""
    line = getattr(node, "lineno", getattr(statement, "lineno", 1))
    if isinstance(node, ast.stmt) or not hasattr(node, "end_lineno"):
        return line, line
    return min(line, getattr(statement, "lineno", line)), node.end_lineno or line


def _text(node: ast.AST) -> str:
    text = ast.unparse(node).split("\n")[0]
    return text if len(text) <= 90 else text[:87] + "..."


def _left_alone(node: ast.AST, parent: ast.AST, index: int | None) -> bool:
    """What is no behaviour: docstrings, imports, aliases of types, what only a type checker sees, prose of errors."""
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()) | ast.keyword(arg="strict"):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.JoinedStr():
            return isinstance(parent, ast.Raise)
        case ast.Assign(targets=[ast.Name(id=name)]) if isinstance(parent, ast.Module):
            return name == "__all__" or _is_type(name)
    return (
        isinstance(parent, ast.Call) and isinstance(parent.func, ast.Name) and parent.func.id == "cast" and index == 0
    )


def _is_type(name: str) -> bool:
    bare = name.lstrip("_")
    return bare[:1].isupper() and not bare.isupper()


def _others(node: ast.AST, parent: ast.AST, field: str) -> Iterator[ast.AST]:
    """What could stand in the place of a node."""
    if isinstance(node, ast.Compare):
        for number, operator in enumerate(node.ops):
            changed = copy.deepcopy(node)
            changed.ops[number] = _COMPARED[type(operator)]()
            yield changed
    elif isinstance(node, ast.BinOp) and type(node.op) in _COMPUTED:
        yield ast.BinOp(node.left, _COMPUTED[type(node.op)](), node.right)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node.operand
    elif isinstance(node, ast.Name | ast.Attribute):
        yield from _named(node)
    elif isinstance(node, ast.Constant):
        yield from _constants(node, parent)
    elif isinstance(node, ast.stmt):
        yield from _statements(node)
    if field in {"test", "ifs"} and isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.NamedExpr):
        yield ast.UnaryOp(ast.Not(), node)  # type: ignore[arg-type]  # all of them are expressions


def _named(node: ast.Name | ast.Attribute) -> Iterator[ast.AST]:
    name = node.id if isinstance(node, ast.Name) else node.attr
    if name in _NAMES and isinstance(node.ctx, ast.Load):
        other = _NAMES[name]
        yield ast.Name(other, ast.Load()) if isinstance(node, ast.Name) else ast.Attribute(node.value, other, node.ctx)


def _constants(node: ast.Constant, parent: ast.AST) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
    elif isinstance(value, bytes):
        yield ast.Constant(value + b"_")
    elif isinstance(value, str) and not isinstance(parent, ast.JoinedStr) and not _prose(value):
        yield ast.Constant(value + "_")


def _prose(text: str) -> bool:
    return len(text) > _LONGEST or any(char.isspace() for char in text)


def _statements(node: ast.stmt) -> Iterator[ast.AST]:
    if isinstance(node, ast.Return) and node.value is not None:
        if not (isinstance(node.value, ast.Constant) and node.value.value is None):
            yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.AugAssign | ast.Raise | ast.Delete) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        yield ast.Pass()
    elif isinstance(node, ast.Continue):
        yield ast.Break()
    elif isinstance(node, ast.Break):
        yield ast.Continue()
