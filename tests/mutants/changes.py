"""The small changes that a file's tests have to notice: each mutant is the file with one of them."""

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
_CALCULATED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_NOT_CODE = ("decorator_list", "annotation", "returns", "type_params")
"""What says nothing of what is done."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A file with one change, and what was changed where."""

    line: int
    before: str
    after: str
    tree: ast.Module


def mutants_of(source: str) -> Iterator[Mutant]:
    """Every mutant of a file, from its top to its end."""
    tree = ast.parse(source)
    for place, node in enumerate(_code(tree)):
        for number, changed in enumerate(_changes(node)):
            copied = copy.deepcopy(tree)
            there = next(one for at, one in enumerate(_code(copied)) if at == place)
            new = list(_changes(there))[number]
            _Replacing(there, new).visit(copied)
            line = getattr(node, "lineno", 0)
            yield Mutant(line, ast.unparse(node), ast.unparse(changed), ast.fix_missing_locations(copied))


class _Replacing(ast.NodeTransformer):
    """Puts one node where another was. A class because `ast` wants one."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        """The node, or what replaces it."""
        if node is self._old:
            return ast.copy_location(self._new, self._old)
        return super().generic_visit(node)


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below that do something: no docstring, decorator or annotation, nor the text of an error."""
    for field, value in ast.iter_fields(node):
        if field in _NOT_CODE:
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or _is_text(child):
                continue
            yield child
            if not isinstance(child, ast.Raise):
                yield from _code(child)


def _is_text(node: ast.AST) -> bool:
    """Whether it is a docstring, or the list of a class's slots."""
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == "__slots__" for target in node.targets)
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in a node's place."""
    if isinstance(node, ast.Constant):
        yield from _other_values(node.value)
    match node:
        case ast.Compare(ops=[op, *more]):
            yield ast.Compare(node.left, [_COMPARED[type(op)](), *more], node.comparators)
            if more and type(more[0]) in _COMPARED:
                yield ast.Compare(node.left, [op, _COMPARED[type(more[0])](), *more[1:]], node.comparators)
        case ast.BinOp(op=op) if type(op) in _CALCULATED:
            yield ast.BinOp(node.left, _CALCULATED[type(op)](), node.right)
        case ast.BoolOp(op=op):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), node.values)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.If():
            yield ast.If(_not(node.test), node.body, node.orelse)
        case ast.IfExp():
            yield ast.IfExp(_not(node.test), node.body, node.orelse)
        case ast.comprehension(ifs=[first, *more]):
            yield ast.comprehension(node.target, node.iter, [_not(first), *more], node.is_async)
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield ast.Return(ast.Constant(None))
        case ast.Raise() | ast.Expr() | ast.Continue() | ast.Break():
            yield ast.Pass()


def _other_values(value: object) -> Iterator[ast.Constant]:
    match value:
        case bool():
            yield ast.Constant(not value)
        case int():
            yield ast.Constant(value + 1)
        case str():
            yield ast.Constant(f"{value}!")
        case bytes():
            yield ast.Constant(value + b"!")


def _not(test: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), test)


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None
