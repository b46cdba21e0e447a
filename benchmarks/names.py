"""Count placeholder names: variables and functions whose name says nothing about their content.

Part of `make check`. Exits with 1 if more than 0.3 % of the names bound in wtal/ and tests/ (Python and JavaScript) are
placeholders.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from typing import Annotated

import typer

from benchmarks.measure import ROOT

LIMIT = 0.003
PLACEHOLDERS = frozenset(
    "found place places told said heard one own ours theirs known there before most least wanted wishes book friends "
    "asked given taken thing things stuff it what".split()
)
JAVASCRIPT_BINDING = re.compile(
    r"\b(?:const|let|var|function|class)\s+([A-Za-z_$][\w$]*)|[(,]\s*([A-Za-z_$][\w$]*)\s*(?=\s*=>|[,)][^;]*=>)"
)


def python_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a module binds, and its line: variables, parameters, functions, classes, import aliases."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, node.lineno
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name, node.lineno


def javascript_names(text: str) -> Iterator[tuple[str, int]]:
    """Every name that a script declares, and its line."""
    for number, line in enumerate(text.splitlines(), 1):
        for match in JAVASCRIPT_BINDING.finditer(line):
            yield match[1] or match[2], number


def bound_names() -> Iterator[tuple[str, str]]:
    """Every bound name in the package and the tests, with `file:line`."""
    for folder in ("wtal", "tests"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix == ".py":
                names = python_names(ast.parse(path.read_text(encoding="utf-8")))
            elif path.suffix == ".js":
                names = javascript_names(path.read_text(encoding="utf-8"))
            else:
                continue
            for name, line in names:
                yield name, f"{path.relative_to(ROOT)}:{line}"


def is_placeholder(name: str) -> bool:
    return name.strip("_").rstrip("0123456789").lower() in PLACEHOLDERS


def main(
    show_all: Annotated[bool, typer.Option("--list", help="Also print each placeholder and its line")] = False,
) -> None:
    """Print the counts."""
    names = list(bound_names())
    placeholders = [(name, where) for name, where in names if is_placeholder(name)]
    if show_all:
        for name, where in placeholders:
            print(f"{where}: {name}")
    share = len(placeholders) / len(names)
    common = ", ".join(f"{name} {count}" for name, count in Counter(n for n, _ in placeholders).most_common(8))
    print(f"{len(placeholders):,} of {len(names):,} bound names are placeholders ({share:.1%}, limit {LIMIT:.1%})")
    print(common)
    raise typer.Exit(int(share > LIMIT))
