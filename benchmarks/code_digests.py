"""What of the code a figure depends on, as a digest that comments, docstrings and blank lines do not change."""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

__all__ = ["digest_parts", "essence_of", "parts_of_file"]


def digest_parts(parts: Iterable[str]) -> str:
    """Return 16 hexadecimal digits that tell these texts, in this order, from others."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part.encode()).digest())
    return whole.hexdigest()[:16]


@lru_cache(maxsize=256)
def essence_of(path: Path) -> str:
    """Return what a Python file does: its lines without comments, docstrings and blank ones."""
    return _joined(_bared(path.read_text(encoding="utf-8")))


def parts_of_file(path: Path, names: Sequence[str]) -> str:
    """Return the essence of definitions of a Python file, and of all in it that they use.

    Args:
        path: The file.
        names: Of functions, classes or constants at its top level.

    Raises:
        KeyError: It does not define one of them.
    """
    source = path.read_text(encoding="utf-8")
    lines = _bared(source)
    statements = {name: node for node in ast.parse(source).body for name in _defined_by(node)}
    reached: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        reached.add(name)
        used = {node.id for node in ast.walk(statements[name]) if isinstance(node, ast.Name)}
        waiting += sorted(used & statements.keys() - reached)
    return _joined(line for name in sorted(reached) for line in lines[slice(*_span(statements[name]))])


def _joined(lines: Iterable[str]) -> str:
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _bared(source: str) -> list[str]:
    """Return the lines of a source, those that only readers see blank."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if _is_bare_string(node):
            start, end = _span(node)
            lines[start:end] = [""] * (end - start)
    return lines


def _is_bare_string(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _defined_by(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def _span(node: ast.AST) -> tuple[int, int]:
    """Return where a statement's lines begin and end, as places in the list of lines, decorators with it."""
    assert isinstance(node, ast.stmt)
    assert node.end_lineno is not None
    first = min((one.lineno for one in getattr(node, "decorator_list", [])), default=node.lineno)
    return min(first, node.lineno) - 1, node.end_lineno
