"""Selections: expressions over split, subset, category and domain that pick rows of a data set (`--select`).

Examples: ``split == 'IHD_nonhuman_train' and subset != 'HCOCO'``, ``category in ('car', 'dog')``. A row can
be in several splits: ``split == 'x'`` holds if x is one of them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from pipelines.shards.stratum import Stratum

FIELDS = ("split", "subset", "category", "domain")
_MAX_CHARACTERS, _MAX_DEPTH = 100_000, 50
_HELP = f"expected comparisons (==, !=, in, not in) of {', '.join(FIELDS)} with quoted names; and, or, not"

_Predicate = Callable[[Stratum], bool]


@dataclass(frozen=True)
class Selection:
    """A predicate over strata; it can be compared, hashed and pickled by its expression.

    Attributes:
        expression: the expression; an empty one selects everything.

    Raises:
        ValueError: on construction, if the expression is invalid; the message names the part.
    """

    expression: str = ""

    def __post_init__(self) -> None:
        _compile(self.expression)

    def __call__(self, stratum: Stratum) -> bool:
        """Return whether rows of this stratum are selected."""
        return self._predicate(stratum)

    @cached_property
    def _predicate(self) -> _Predicate:
        return _compile(self.expression)

    def __reduce__(self) -> tuple[type[Selection], tuple[str]]:
        return Selection, (self.expression,)  # a compiled predicate does not pickle


@lru_cache(maxsize=64)
def _compile(expression: str) -> _Predicate:
    if not expression.strip():
        return lambda _: True
    if len(expression) > _MAX_CHARACTERS:
        raise ValueError(
            f"the selection: {len(expression):,} characters, expected at most {_MAX_CHARACTERS:,}"
        )
    try:
        return _compile_node(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise ValueError(f"the selection {expression!r}: {reason}; {_HELP}") from None


def _compile_node(node: ast.expr, depth: int = 0) -> _Predicate:
    if depth > _MAX_DEPTH:
        raise ValueError(f"nested more than {_MAX_DEPTH} deep")
    if isinstance(node, ast.BoolOp):
        parts = [_compile_node(value, depth + 1) for value in node.values]
        combine = all if isinstance(node.op, ast.And) else any
        return lambda stratum: combine(part(stratum) for part in parts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = _compile_node(node.operand, depth + 1)
        return lambda stratum: not inner(stratum)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return _compile_comparison(node)
    raise ValueError(f"{ast.unparse(node)!r} is not understood")


def _compile_comparison(node: ast.Compare) -> _Predicate:
    operator, right = node.ops[0], node.comparators[0]
    if not isinstance(node.left, ast.Name) or node.left.id not in FIELDS:
        raise ValueError(f"{ast.unparse(node.left)!r} is no field")
    field = node.left.id
    if isinstance(operator, ast.Eq | ast.NotEq):
        names = {_name(right)}
    elif isinstance(operator, ast.In | ast.NotIn) and isinstance(right, ast.Tuple | ast.List | ast.Set):
        names = {_name(element) for element in right.elts}
    else:
        raise ValueError(f"{ast.unparse(node)!r} is not understood")
    negated = isinstance(operator, ast.NotEq | ast.NotIn)
    return lambda stratum: bool(names & _values(stratum, field)) != negated


def _name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, str)):
        return node.value
    raise ValueError(f"{ast.unparse(node)!r} is no quoted name")


def _values(stratum: Stratum, field: str) -> set[str | None]:
    return set(stratum.splits) if field == "split" else {getattr(stratum, field)}


EVERYTHING = Selection()
